//! Watching secrets on virtual time: each new version once, one look for all who watch.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use baokit_core::http::FailureKind;
use baokit_core::{Client, Code, Host, ReadOptions, Result};
use scenario::{
    EPOCH, Reply, SECOND, Seen, World, at_index, holding, json, no_right, nothing, secret, wrap_info, written,
};

const URI: &str = "openbao+kv2://secret/app";
const METADATA: &str = "/v1/secret/metadata/app";
const LATER: &str = "2026-03-01T00:00:00Z";
const EVERY: Duration = Duration::from_secs(20);

/// The metadata of a secret whose newest version is this one.
fn newest(version: u64, created: &str) -> Reply {
    json(
        200,
        format!(
            r#"{{"data":{{"current_version":{version},"current_metadata_version":0,"custom_metadata":null,"versions":{{"{version}":{{"created_time":"{created}","deletion_time":"","destroyed":false}}}}}}}}"#
        ),
    )
}

/// A world in which the secret's newest version is whatever the cell says.
fn world() -> (World, Rc<Cell<u64>>) {
    let current = Rc::new(Cell::new(1));
    let shown = current.clone();
    let world = World::new(move |seen| match (seen.target.as_str(), shown.get()) {
        (METADATA, 0) => nothing(),
        (METADATA, version) => newest(version, EPOCH),
        _ => secret(1),
    });
    (world, current)
}

/// The next versions that a watcher is told, and when.
async fn follow(world: &World, client: &Client<World>, count: usize) -> Told {
    let mut watch = client.watch(URI).unwrap().every(EVERY);
    let mut told = Vec::new();
    while told.len() < count {
        let version = client.next_version(&mut watch).await.unwrap();
        told.push((version.version(), world.elapsed()));
    }
    told
}

type Told = Vec<(u64, Duration)>;

fn side_by_side(world: &World, one: impl Future<Output = Told>, other: impl Future<Output = Told>) -> Vec<Told> {
    let both: [Pin<Box<dyn Future<Output = Told> + '_>>; 2] = [Box::pin(one), Box::pin(other)];
    world.run_all(both)
}

#[test]
fn what_is_there_is_told_at_once_and_each_later_version_once_within_the_interval() {
    let (world, current) = world();
    let client = world.client(World::settings(1));
    let writer = async {
        for version in [2, 3, 5] {
            world.sleep(100 * SECOND).await;
            current.set(version);
        }
        Vec::new()
    };
    let told = side_by_side(&world, follow(&world, &client, 4), writer);
    assert_eq!(told[0].iter().map(|(version, _)| *version).collect::<Vec<_>>(), [1, 2, 3, 5]);
    assert!(told[0][0].1 <= SECOND);
    for (place, (_, at)) in told[0].iter().enumerate().skip(1) {
        let written = 100 * SECOND * u32::try_from(place).unwrap();
        assert!(*at >= written && *at <= written + EVERY * 5 / 4 + SECOND, "{at:?} after {written:?}");
    }
}

#[test]
fn looks_are_spread_by_a_quarter_of_the_interval() {
    let (world, current) = world();
    let client = world.client(World::settings(1));
    let end = async {
        world.sleep(EVERY * 40).await;
        current.set(2);
        Vec::new()
    };
    side_by_side(&world, follow(&world, &client, 2), end);
    let at: Vec<_> = world.seen().iter().map(|seen| seen.at).collect();
    let gaps: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= EVERY * 3 / 4 && *gap <= EVERY * 5 / 4 + SECOND), "{gaps:?}");
    assert!(gaps.iter().max().unwrap().saturating_sub(*gaps.iter().min().unwrap()) > EVERY / 4, "{gaps:?}");
}

#[test]
fn a_hundred_watchers_of_one_secret_share_each_look_and_all_are_told() {
    let (world, current) = world();
    let client = world.client(World::settings(1).max_concurrent(1));
    let told = world.run_all((0..100).map(|i| {
        let (world, client, current) = (&world, &client, &current);
        async move {
            if i == 0 {
                world.sleep(50 * SECOND).await;
                current.set(2);
            }
            follow(world, client, if i == 0 { 1 } else { 2 }).await
        }
    }));
    assert!(told[1..].iter().all(|told| told.iter().map(|(version, _)| *version).eq([1, 2])));
    assert!(world.seen().len() <= 6, "{} requests in {:?}", world.seen().len(), world.elapsed());
}

#[test]
fn who_waits_for_a_version_holds_no_place_that_an_operation_needs() {
    let (world, current) = world();
    let client = world.client(World::settings(1).max_concurrent(1));
    let results = world.run_all((0..2).map(|i| {
        let (world, client, current) = (&world, &client, &current);
        async move {
            if i == 0 {
                return follow(world, client, 2).await;
            }
            world.sleep(SECOND).await;
            let before = world.elapsed();
            client.read(URI).await.unwrap();
            current.set(2);
            vec![(0, world.elapsed() - before)]
        }
    }));
    assert!(results[1][0].1 < SECOND);
}

#[test]
fn a_look_whose_task_is_dropped_is_taken_by_another_watcher_at_once() {
    let world = World::slow(|_| (2 * SECOND, newest(1, EPOCH)));
    let client = world.client(World::settings(1));
    let mut first = client.watch(URI).unwrap();
    let mut leader = Box::pin(client.next_version(&mut first));
    world.poll_once(&mut leader);
    let mut second = client.watch(URI).unwrap();
    let mut follower = Box::pin(client.next_version(&mut second));
    world.poll_once(&mut follower);
    assert_eq!(world.seen().len(), 1, "they share it");
    drop(leader);
    assert_eq!(world.run(follower).unwrap().version(), 1);
    assert!(world.elapsed() < 5 * SECOND, "{:?}", world.elapsed());
}

#[test]
fn who_comes_while_a_look_is_under_way_waits_for_it_and_lets_others_go_on() {
    let world = World::slow(|_| (2 * SECOND, newest(1, EPOCH)));
    let client = world.client(World::settings(1));
    let told = world.run_all((0..2).map(|i| {
        let (world, client) = (&world, &client);
        async move {
            // The first look ends after 2 s, and the second has begun after 25 s at the latest, and ends after 29 s.
            let mut watch = client.watch(URI).unwrap().every(EVERY);
            if i == 1 {
                while world.seen().len() < 2 {
                    world.sleep(SECOND / 2).await;
                }
                return client.next_version(&mut watch).await.unwrap().version();
            }
            client.next_version(&mut watch).await.unwrap();
            let mut rest = Box::pin(world.sleep(40 * SECOND));
            let mut next = Box::pin(client.next_version(&mut watch));
            std::future::poll_fn(|context| {
                assert!(next.as_mut().poll(context).is_pending());
                rest.as_mut().poll(context).map(|()| 0)
            })
            .await
        }
    }));
    assert_eq!(told, [0, 1]);
}

#[test]
fn an_outage_is_waited_out_and_a_refusal_is_told_and_may_be_mended() {
    let mut count = 0;
    let world = World::new(move |seen| match seen.at {
        at if at < 100 * SECOND => Reply::Fail(FailureKind::Connect),
        _ => {
            count += 1;
            if count == 1 { no_right() } else { newest(4, EPOCH) }
        }
    });
    let client = world.client(World::settings(1));
    let mut watch = client.watch(URI).unwrap();
    assert_eq!(world.run(client.next_version(&mut watch)).unwrap_err().code(), Code::PermissionDenied);
    assert!(world.elapsed() >= 100 * SECOND);
    assert_eq!(world.run(client.next_version(&mut watch)).unwrap().version(), 4);
}

#[test]
fn a_secret_that_is_made_anew_is_told_with_its_lower_version() {
    let mut looks = 0;
    let world = World::wrapping(move |seen| {
        looks += usize::from(!seen.is_wrapped() && seen.target == METADATA);
        if looks <= 1 { newest(5, EPOCH) } else { newest(1, LATER) }
    });
    let client = world.client(World::settings(1));
    let told = world.run(follow(&world, &client, 2));
    assert_eq!(told.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [5, 1]);
    assert_eq!(world.notices().len(), 1, "an operator hears of it");
}

#[test]
fn a_secret_that_is_not_there_yet_is_told_when_it_is_written() {
    let (world, current) = world();
    current.set(0);
    let client = world.client(World::settings(1));
    let results = world.run_all((0..2).map(|i| {
        let (world, client, current) = (&world, &client, &current);
        async move {
            if i == 0 {
                return follow(world, client, 1).await;
            }
            world.sleep(100 * SECOND).await;
            current.set(1);
            Vec::new()
        }
    }));
    assert!(results[0][0].1 >= 100 * SECOND);
}

#[test]
fn who_watches_closely_is_told_in_time_beside_one_who_does_not() {
    let (world, current) = world();
    let client = world.client(World::settings(1));
    let told = world.run_all((0..3).map(|i| {
        let (world, client, current) = (&world, &client, &current);
        async move {
            if i == 2 {
                world.sleep(60 * SECOND).await;
                current.set(2);
                return Duration::ZERO;
            }
            world.sleep(i * SECOND).await;
            let interval = if i == 0 { Duration::MAX } else { 5 * SECOND };
            let mut watch = client.watch(URI).unwrap().every(interval);
            client.next_version(&mut watch).await.unwrap();
            client.next_version(&mut watch).await.unwrap();
            world.elapsed()
        }
    }));
    assert!(told[..2].iter().all(|at| *at >= 60 * SECOND && *at <= 71 * SECOND), "{told:?}");
}

#[test]
fn who_begins_to_watch_is_told_what_is_there_now_and_never_less_than_the_client_wrote() {
    let current = Rc::new(Cell::new(1));
    let shown = current.clone();
    let world = World::new(move |seen| match seen.target.as_str() {
        METADATA => newest(shown.get(), EPOCH),
        _ => written(shown.get()),
    });
    let client = world.client(World::settings(1));
    for pause in [SECOND, 3600 * SECOND] {
        world.run(follow(&world, &client, 1));
        world.run(world.sleep(pause));
        let before = current.replace(current.get() + 1);
        let data = serde_json::json!({}).into();
        world.run(client.kv2_write("secret", "app", &data, Some(before))).unwrap();
        assert_eq!(world.run(follow(&world, &client, 1))[0].0, current.get());
    }
}

#[test]
fn a_server_that_shows_less_than_was_seen_is_not_asked_more_than_once_a_second() {
    let odd = r#"{"data":{"current_version":5,"current_metadata_version":0,"custom_metadata":null,"versions":{}}}"#;
    let world = World::new(move |_| json(200, odd));
    let client = world.client(World::settings(1));
    let mut watch = client.watch(URI).unwrap();
    let mut look = Box::pin(client.next_version(&mut watch));
    let mut rest = Box::pin(world.sleep(20 * SECOND));
    world.run(std::future::poll_fn(|context| {
        assert!(look.as_mut().poll(context).is_pending());
        rest.as_mut().poll(context)
    }));
    assert!(world.seen().len() <= 21, "{} looks in 20 s", world.seen().len());
}

/// What one who begins to watch now is told first.
fn first_told(world: &World, client: &Client<World>) -> Result<(u64, String)> {
    let mut watch = client.watch(URI).unwrap();
    world.run(client.next_version(&mut watch)).map(|version| (version.version(), version.created_time().to_owned()))
}

#[test]
fn who_begins_in_an_outage_is_not_told_what_was_seen_before_it() {
    let world = World::new(|seen| match seen.at {
        at if at < 10 * SECOND => newest(1, EPOCH),
        at if at < 1200 * SECOND => Reply::Fail(FailureKind::Connect),
        _ => newest(2, EPOCH),
    });
    let client = world.client(World::settings(1));
    let late = async {
        world.sleep(600 * SECOND).await;
        follow(&world, &client, 1).await
    };
    let told = side_by_side(&world, follow(&world, &client, 2), late);
    assert_eq!((told[0][1].0, told[1][0].0), (2, 2));
    assert!(told[1][0].1 >= 1200 * SECOND, "{told:?}");
}

#[test]
fn who_begins_after_a_refusal_looks_itself_and_is_not_told_what_was_seen_before() {
    let mut looks = 0;
    let world = World::new(move |_| {
        looks += 1;
        if looks == 2 { no_right() } else { newest(looks, EPOCH) }
    });
    let client = world.client(World::settings(1));
    let mut watch = client.watch(URI).unwrap();
    assert_eq!(world.run(client.next_version(&mut watch)).unwrap().version(), 1);
    assert_eq!(world.run(client.next_version(&mut watch)).unwrap_err().code(), Code::PermissionDenied);
    let before = world.elapsed();
    assert_eq!(first_told(&world, &client).unwrap().0, 3);
    assert!(world.elapsed() - before < SECOND);
}

#[test]
fn a_refusal_is_told_to_all_who_wait_for_the_look_and_to_each_once() {
    let world = World::new(|seen| if seen.at < SECOND { no_right() } else { newest(4, EPOCH) });
    let client = world.client(World::settings(1));
    let told = world.run_all((0..4).map(|_| {
        let (world, client) = (&world, &client);
        async move {
            let mut watch = client.watch(URI).unwrap();
            let code = client.next_version(&mut watch).await.unwrap_err().code();
            let at = world.elapsed();
            (code, at, client.next_version(&mut watch).await.unwrap().version())
        }
    }));
    assert!(told.iter().all(|(code, at, next)| *code == Code::PermissionDenied && *at < SECOND && *next == 4));
    assert_eq!(world.seen().len(), 2, "{told:?}");
}

/// A world whose secret has version 5, until a strong read shows this version of another life.
fn made_anew(version: u64, first_look: Duration) -> (World, Client<World>) {
    let (mut is_anew, mut looks) = (false, 0);
    let world = World::slow(move |seen: &Seen| match seen.target.as_str() {
        METADATA => {
            looks += 1;
            let reply = if is_anew { newest(version, LATER) } else { newest(5, EPOCH) };
            (if looks == 1 { first_look } else { Duration::ZERO }, reply)
        }
        "/v1/sys/wrapping/unwrap" => (Duration::ZERO, holding(version, "x", LATER)),
        _ if seen.is_wrapped() => {
            is_anew = true;
            (Duration::ZERO, json(200, wrap_info("w")))
        }
        _ => (Duration::ZERO, secret(5)),
    });
    let client = world.client(World::settings(1));
    world.run(client.read(URI)).unwrap();
    (world, client)
}

#[test]
fn a_look_under_way_when_its_secret_regresses_is_told_nobody() {
    let (world, client) = made_anew(2, 3 * SECOND);
    let strong = async {
        world.sleep(SECOND).await;
        client.read_with(URI, ReadOptions::new().strong()).await.unwrap();
        Vec::new()
    };
    let told = side_by_side(&world, follow(&world, &client, 1), strong);
    assert_eq!(told[0][0].0, 2);
}

#[test]
fn a_secret_that_is_made_anew_with_the_same_version_is_looked_at_anew() {
    let (world, client) = made_anew(5, Duration::ZERO);
    assert_eq!(first_told(&world, &client).unwrap(), (5, EPOCH.to_owned()));
    world.run(client.read_with(URI, ReadOptions::new().strong())).unwrap();
    assert_eq!(first_told(&world, &client).unwrap(), (5, LATER.to_owned()));
    assert!(world.notices().is_empty(), "no version regressed: {:?}", world.notices());
}

#[test]
fn what_was_seen_of_another_cluster_is_told_nobody() {
    let mut cluster = "a";
    let world = World::new(move |seen| match (seen.target.as_str(), cluster) {
        (METADATA, "a") => at_index(newest(5, EPOCH), cluster, 9),
        (METADATA, _) => at_index(newest(2, LATER), cluster, 1),
        _ => {
            cluster = "b";
            at_index(secret(1), cluster, 1)
        }
    });
    let client = world.client(World::settings(1));
    assert_eq!(first_told(&world, &client).unwrap().0, 5);
    world.run(client.read("openbao+kv2://secret/other")).unwrap();
    assert_eq!(first_told(&world, &client).unwrap().0, 2);
}

#[test]
fn a_watch_of_another_client_is_refused_before_anything_is_sent() {
    let (world, _) = world();
    let of_others = world.client(World::settings(1).allowed_mounts(["other"]));
    let mut watch = world.client(World::settings(1)).watch(URI).unwrap();
    assert_eq!(world.run(of_others.next_version(&mut watch)).unwrap_err().code(), Code::RequestRejected);
    assert!(world.seen().is_empty());
}

#[test]
fn closing_the_client_ends_all_watching() {
    for isolated in [false, true] {
        let server = |_: &Seen| newest(1, EPOCH);
        let world = if isolated { World::of_isolated_tasks(server) } else { World::new(server) };
        let client = world.client(World::settings(1));
        let results: Vec<Result<u64>> = world.run_all((0..3).map(|i| {
            let (world, client) = (&world, &client);
            async move {
                if i == 0 {
                    world.sleep(5 * SECOND).await;
                    client.close();
                    return Ok(0);
                }
                let mut watch = client.watch(URI)?;
                client.next_version(&mut watch).await?;
                client.next_version(&mut watch).await.map(|version| version.version())
            }
        }));
        assert!(results[1..].iter().all(|result| result.as_ref().unwrap_err().code() == Code::ClientClosed));
        assert!(world.elapsed() <= 7 * SECOND, "{:?}", world.elapsed());
    }
}

#[test]
fn what_can_not_be_watched_is_refused_before_anything_is_sent() {
    let (world, _) = world();
    let client = world.client(World::settings(1));
    let code = |uri: &str| client.watch(uri).unwrap_err().code();
    assert_eq!(code("openbao+kv2://secret/app?version=3"), Code::VersionNotAllowed);
    assert_eq!(code("openbao+kv2://secret/app#token"), Code::FragmentNotAllowed);
    assert_eq!(code("openbao+kv2://other/app"), Code::TenantMountMismatch);
    assert!(world.seen().is_empty());
}

#[cfg(feature = "broken-rules")]
mod broken {
    use super::*;
    use baokit_core::Rule;

    #[test]
    fn without_its_floor_a_watcher_is_told_less_than_its_client_has_written() {
        let first_told = |rule| {
            let current = Rc::new(Cell::new(1));
            let shown = current.clone();
            let world = World::new(move |seen| match seen.target.as_str() {
                METADATA => newest(shown.get(), EPOCH),
                _ => written(2),
            });
            let client = world.client(World::settings(1)).without(rule);
            world.run(follow(&world, &client, 1));
            current.set(2);
            let data = serde_json::json!({}).into();
            world.run(client.kv2_write("secret", "app", &data, Some(1))).unwrap();
            world.run(follow(&world, &client, 1))[0].0
        };
        assert_eq!(first_told(Rule::MoveNamesItsVersion), 2, "another rule makes no difference");
        assert_eq!(first_told(Rule::WatchIsJudged), 1);
    }
}
