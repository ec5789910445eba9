//! What the client does while no node serves it, on virtual time: the gate, the quota, failover.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use baokit_core::http::{FailureKind, Method};
use baokit_core::{Client, Code, Host, Result, SecretValue};
use scenario::{Reply, SECOND, Seen, World, errors, json, logged_in, no_right, raw, redirect, secret, written};

const URI: &str = "openbao+kv2://secret/app#token";
const NO_LEADER: &str = "local node not active but active cluster node not found";

fn data() -> SecretValue {
    SecretValue::from(serde_json::json!({"token": "new"}))
}

fn serve(seen: &Seen) -> Reply {
    match (seen.method, seen.target.as_str()) {
        (_, "/v1/auth/approle/login") => logged_in(1, 3600),
        (Method::Get, _) => secret(1),
        _ => written(1),
    }
}

fn connect() -> Reply {
    Reply::Fail(FailureKind::Connect)
}

/// A cluster that answers so until this moment, and serves after it.
fn down_until(end: Duration, reply: fn() -> Reply) -> impl FnMut(&Seen) -> Reply {
    move |seen| if seen.at < end { reply() } else { serve(seen) }
}

async fn read(client: &Client<World>) -> Result<()> {
    client.read(URI).await.map(drop)
}

async fn write(client: &Client<World>) -> Result<()> {
    client.kv2_write("secret", "app", &data(), None).await.map(drop)
}

/// `count` operations that begin one after the other over so long; every third a write where `mixed`.
fn run_over(world: &World, client: &Client<World>, count: u32, over: Duration, mixed: bool) -> Vec<Result<()>> {
    world.run_all((0..count).map(|i| async move {
        world.sleep(over * i / count).await;
        if mixed && i % 3 == 0 { write(client).await } else { read(client).await }
    }))
}

#[test]
fn a_thousand_waiting_operations_ask_three_times_a_second_at_most_and_all_succeed_once_a_node_serves() {
    let of_a_proxy = || raw(502, "text/html", b"<html>no node is up</html>".to_vec());
    for reply in [connect, || errors(503, "Vault is sealed"), || errors(500, NO_LEADER), of_a_proxy] {
        let world = World::new(down_until(20 * SECOND, reply));
        let client = world.client(World::settings(3).max_concurrent(10_000));
        let results = run_over(&world, &client, 1000, 10 * SECOND, false);
        assert!(results.iter().all(Result::is_ok));
        assert!(world.most_in_a_second(SECOND, 20 * SECOND) <= 3, "{:?}", world.most_in_a_second(SECOND, 20 * SECOND));
        let first = world.seen().iter().map(|seen| seen.at).find(|at| *at >= 20 * SECOND).unwrap();
        assert!(first <= 20 * SECOND + SECOND / 2, "{first:?}");
        assert!(world.elapsed() <= first + SECOND / 100, "it is noticed by all at once: {:?}", world.elapsed());
    }
}

#[test]
fn a_thousand_operations_that_were_all_under_way_when_it_began_succeed_as_well() {
    // Each has made its first try: what follows the outage is no retry that adds to a load.
    let world = World::new(down_until(20 * SECOND, connect));
    let client = world.client(World::settings(3).max_concurrent(1000));
    let results = world.run_all((0..1000).map(|_| read(&client)));
    assert!(results.iter().all(Result::is_ok));
    assert!(world.most_in_a_second(SECOND, 20 * SECOND) <= 3);
    assert!(world.elapsed() < 21 * SECOND, "{:?}", world.elapsed());
}

#[test]
fn reads_writes_and_log_ins_together_ask_three_times_a_second_at_most() {
    let world = World::new(down_until(20 * SECOND, connect));
    let client = world.client(World::settings(3).max_concurrent(10_000));
    let results = run_over(&world, &client, 2000, 19 * SECOND, true);
    assert!(results.iter().all(Result::is_ok));
    assert!(world.most_in_a_second(SECOND, 20 * SECOND) <= 3, "{}", world.most_in_a_second(SECOND, 20 * SECOND));
    assert!(world.elapsed() < 22 * SECOND, "{:?}", world.elapsed());

    let world = World::new(down_until(20 * SECOND, connect));
    let client = world.client(World::app_role(3).max_concurrent(10_000));
    let results = run_over(&world, &client, 2000, 19 * SECOND, true);
    assert!(results.iter().all(Result::is_ok));
    assert!(world.most_in_a_second(SECOND, 20 * SECOND) <= 3);
    let logins = world.seen().iter().filter(|seen| seen.at >= 20 * SECOND && seen.target.ends_with("login")).count();
    assert_eq!(logins, 1, "one for all");
}

#[test]
fn in_an_outage_that_outlives_them_operations_fail_at_their_deadlines_and_are_told_why() {
    let world = World::new(|_| errors(503, "Vault is sealed"));
    let client = world.client(World::settings(2).max_concurrent(1000).deadline(5 * SECOND));
    let results = world.run_all((0..100).map(|i| {
        let (client, world) = (&client, &world);
        async move {
            world.sleep(SECOND * i / 10).await;
            let begun = world.elapsed();
            let result = read(client).await;
            (result.unwrap_err(), world.elapsed() - begun)
        }
    }));
    for (error, took) in results {
        assert_eq!(error.code(), Code::ServerSealed, "{error}");
        assert!(error.node().is_some(), "{error}");
        assert!(took > 4 * SECOND && took <= 5 * SECOND, "{took:?}");
    }
}

#[test]
fn nodes_that_never_answer_hold_nobody_beyond_the_deadline() {
    let world = World::new(|_| Reply::Never);
    let client = world.client(World::settings(3).max_concurrent(1000).deadline(8 * SECOND));
    let results = world.run_all((0..100).map(|i| {
        let (client, world) = (&client, &world);
        async move {
            world.sleep(SECOND * i / 10).await;
            let begun = world.elapsed();
            let code = if i % 2 == 0 { read(client).await } else { write(client).await }.unwrap_err().code();
            (code, world.elapsed() - begun)
        }
    }));
    assert!(results.iter().all(|(_, took)| *took <= 8 * SECOND), "{results:?}");
    let known = [Code::DeadlineExceeded, Code::Indeterminate];
    assert!(results.iter().all(|(code, _)| known.contains(code)), "{results:?}");
}

#[test]
fn a_dead_node_among_three_costs_one_more_request_and_no_wait() {
    let world = World::new(|seen| if seen.place() == 1 { connect() } else { serve(seen) });
    let client = world.client(World::settings(3));
    world.run(write(&client)).unwrap();
    assert_eq!(world.elapsed(), Duration::from_millis(2));
    world.run(write(&client)).unwrap();
    assert_eq!(world.places().len(), 3, "it is known now");
}

#[test]
fn the_end_of_an_election_is_noticed_within_half_a_second_and_reads_go_on_meanwhile() {
    let end = 7 * SECOND + Duration::from_millis(123);
    let world = World::new(move |seen| match seen.method {
        Method::Get => secret(1),
        _ if seen.at < end => errors(500, NO_LEADER),
        _ => written(1),
    });
    let client = world.client(World::settings(3));
    let took = world.run_all((0..2).map(|i| {
        let (client, world) = (&client, &world);
        async move {
            if i == 0 {
                write(client).await.unwrap();
                return world.elapsed();
            }
            let mut longest = Duration::ZERO;
            for _ in 0..60 {
                let begun = world.elapsed();
                read(client).await.unwrap();
                longest = longest.max(world.elapsed() - begun);
                world.sleep(SECOND / 10).await;
            }
            longest
        }
    }));
    assert!(took[0] > end && took[0] <= end + SECOND / 2 + Duration::from_millis(2), "{:?}", took[0]);
    assert!(took[1] <= Duration::from_millis(3), "{:?}", took[1]);
}

#[test]
fn in_isolated_tasks_nobody_is_woken_by_another_and_all_succeed() {
    let before = World::wakes_across_tasks_seen();
    let world = World::of_isolated_tasks(down_until(5 * SECOND, connect));
    let client = world.client(World::settings(3).max_concurrent(200));
    let results = world.run_all((0..200).map(|_| read(&client)));
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(World::wakes_across_tasks_seen(), before);
    assert!(world.most_in_a_second(SECOND, 5 * SECOND) <= 3);
    assert!(world.elapsed() < 6 * SECOND, "{:?}", world.elapsed());
}

#[test]
fn who_asks_for_all_and_is_dropped_does_not_hold_up_the_others() {
    let world = World::new(|seen| if seen.at < SECOND / 2 { Reply::Never } else { serve(seen) });
    let client = world.client(World::settings(1));
    // It closes the gate after its first try, asks at once again, and is dropped there.
    let dropped = baokit_core_within(&world, 7 * SECOND, read(&client));
    world.run(dropped);
    let begun = world.elapsed();
    world.run(read(&client)).unwrap();
    assert!(world.elapsed() - begun <= SECOND, "{:?}", world.elapsed() - begun);
}

/// The work, dropped after so long.
async fn baokit_core_within(world: &World, limit: Duration, work: impl Future<Output = Result<()>>) {
    let (mut work, mut limit) = (std::pin::pin!(work), std::pin::pin!(world.sleep(limit)));
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        std::task::Poll::Ready(_) => std::task::Poll::Ready(()),
        std::task::Poll::Pending => limit.as_mut().poll(context),
    })
    .await;
}

#[test]
fn a_suspect_node_that_is_the_first_to_serve_again_is_found() {
    // Node 1 was a deposed leader; the others die, and it serves again.
    let dead = Rc::new(Cell::new(false));
    let others = dead.clone();
    let world = World::new(move |seen| match (seen.place(), others.get()) {
        (1, false) => redirect(&format!("{}{}", seen.node, seen.target)),
        (1, true) if seen.at >= 3 * SECOND => serve(seen),
        (_, true) => connect(),
        _ => serve(seen),
    });
    let client = world.client(World::settings(3));
    world.run(client.kv2_write("secret", "app", &data(), Some(0))).unwrap();
    dead.set(true);
    world.run(write(&client)).unwrap();
    assert!(world.elapsed() < 5 * SECOND, "{:?}", world.elapsed());
}

#[test]
fn calls_to_a_named_node_and_of_the_moment_pass_the_gate_and_do_not_move_it() {
    let health = r#"{"initialized":true,"sealed":true,"standby":true,"version":"2.7.2","server_time_utc":1}"#;
    let world = World::new(move |seen| match seen.target.contains("sys/health") {
        true => json(200, health),
        false if seen.target.contains("sys/mounts") => json(200, r#"{"data":{}}"#),
        false => errors(503, "Vault is sealed"),
    });
    let client = world.client(World::settings(2).deadline(4 * SECOND));
    let results = world.run_all((0..3).map(|i| {
        let (client, world) = (&client, &world);
        async move {
            world.sleep(i * SECOND).await;
            let begun = world.elapsed();
            match i {
                0 => drop(read(client).await),
                1 => drop(client.sys().health().await.unwrap_or_else(|error| panic!("{error}"))),
                _ => {
                    let sys = client.sys().at("http://127.0.0.1:2").unwrap_or_else(|error| panic!("{error}"));
                    drop(sys.mounts().await.unwrap_or_else(|error| panic!("{error}")));
                }
            }
            world.elapsed() - begun
        }
    }));
    assert!(results[0] >= 3 * SECOND, "the gate stays closed: {results:?}");
    assert!(results[1] < SECOND / 10 && results[2] < SECOND / 10, "{results:?}");
    let reads = world.seen().iter().filter(|seen| seen.target.contains("/data/")).count();
    assert!(reads <= 9, "{reads}");
}

#[test]
fn closing_wakes_those_who_wait_for_the_end_of_an_outage() {
    let world = World::new(|_| connect());
    let client = world.client(World::settings(1));
    let results = world.run_all((0..10).map(|i| {
        let (client, world) = (&client, &world);
        async move {
            if i < 9 {
                return read(client).await.map_err(|error| error.code());
            }
            world.sleep(SECOND + SECOND / 4).await;
            client.close();
            Ok(())
        }
    }));
    assert!(results[..9].iter().all(|result| *result == Err(Code::ClientClosed)), "{results:?}");
    assert_eq!(world.elapsed(), SECOND + SECOND / 4);
}

#[test]
fn what_fails_for_all_is_sent_again_a_hundred_times_and_then_twenty_times_a_second() {
    let world = World::new(|_| errors(500, "boom"));
    let client = world.client(World::settings(3).max_concurrent(1000).deadline(10 * SECOND));
    let results = world.run_all((0..1000).map(|_| read(&client)));
    let codes: Vec<_> = results.iter().map(|result| result.as_ref().unwrap_err().code()).collect();
    assert!(codes.iter().all(|code| *code == Code::ServerError), "{codes:?}");
    assert!(world.seen().len() <= 1000 + 100 + 200, "{} requests", world.seen().len());
    assert!(world.elapsed() <= 10 * SECOND);
}

#[test]
fn a_redirect_to_the_leader_is_followed_however_many_there_were() {
    let world = World::new(|seen| match seen.place() {
        1 => redirect(&format!("http://127.0.0.1:2{}", seen.target)),
        _ => serve(seen),
    });
    let client = world.client(World::settings(2).max_concurrent(1000));
    let results = world.run_all((0..1000).map(|_| read(&client)));
    assert!(results.iter().all(Result::is_ok));
    assert!(world.elapsed() < SECOND / 10, "{:?}", world.elapsed());
}

#[test]
fn a_refusal_is_confirmed_by_one_other_node_and_by_no_more() {
    let refusals: [(fn() -> Reply, Code); 3] = [
        (no_right, Code::PermissionDenied),
        (|| errors(404, "no handler for route \"secret/data/app\". route entry not found."), Code::MountNotFound),
        // Of a token that was given, which can't be replaced.
        (|| errors(403, "permission denied"), Code::AuthenticationFailed),
    ];
    for (refusal, code) in refusals {
        let world = World::new(move |_| refusal());
        let client = world.client(World::settings(3));
        let error = world.run(read(&client)).unwrap_err();
        assert_eq!((error.code(), error.tries(), world.places()), (code, 2, vec![1, 2]));
        assert!(error.node().is_some());

        let world = World::new(move |seen| if seen.place() == 1 { refusal() } else { serve(seen) });
        let client = world.client(World::settings(3));
        world.run(read(&client)).unwrap();
        assert_eq!(world.places(), [1, 2], "the first was behind");

        // The second can't be asked: the third is, and never the first again.
        let world = World::new(move |seen| if seen.place() == 2 { connect() } else { refusal() });
        let client = world.client(World::settings(3));
        assert_eq!(world.run(read(&client)).unwrap_err().code(), code);
        assert_eq!(world.places(), [1, 2, 3]);
    }
}

#[test]
fn a_refusal_that_waits_for_its_confirmation_is_the_answer_at_the_deadline() {
    let world = World::new(|_| no_right());
    let client = world.client(World::settings(2).max_concurrent(1000).deadline(2 * SECOND));
    let results = world.run_all((0..1000).map(|_| read(&client)));
    let codes: Vec<_> = results.iter().map(|result| result.as_ref().unwrap_err().code()).collect();
    assert!(codes.iter().all(|code| *code == Code::PermissionDenied), "{:?}", codes.last());
    let asked_twice = world.seen().len() - 1000;
    assert!((100..=140).contains(&asked_twice), "{asked_twice}");
    assert!(world.places()[1000..].iter().all(|place| *place == 2), "nobody confirms himself");
}

#[test]
fn a_refused_write_whose_confirmation_is_lost_is_in_doubt() {
    let world = World::new(|seen| if seen.place() == 1 { no_right() } else { Reply::Fail(FailureKind::AfterSend) });
    let client = world.client(World::settings(2));
    assert_eq!(world.run(write(&client)).unwrap_err().code(), Code::Indeterminate);
}

#[test]
fn a_new_token_that_a_node_does_not_know_yet_is_asked_about_elsewhere() {
    // Node 1 is behind: it knows no token but the first, which was revoked everywhere else.
    let mut logins = 0;
    let world = World::new(move |seen| {
        if seen.target.ends_with("login") {
            logins += 1;
            return logged_in(logins, 3600);
        }
        let is_new = seen.token.as_deref() == Some("hvs.canary-token-2");
        if is_new && seen.place() == 2 { secret(1) } else { errors(403, "permission denied") }
    });
    let client = world.client(World::app_role(2));
    world.run(read(&client)).unwrap();
    assert_eq!(world.seen().iter().filter(|seen| seen.target.ends_with("login")).count(), 2);
}
