//! The cache on virtual time: what it serves, to whom, for how long, and what ends it.

#![cfg(feature = "cache")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use baokit_core::config::{CacheConfig, SettingsBuilder};
use baokit_core::http::{FailureKind, Method};
use baokit_core::{CacheMetrics, Client, Code, Host, Partition, ReadOptions, Result, Secret, SecretUri, SecretValue};
use scenario::{EPOCH, Reply, SECOND, Seen, World, errors, gone, holding, json, no_right, nothing, secret, written};

const URI: &str = "openbao+kv2://secret/app#token";
const WHOLE: &str = "openbao+kv2://secret/app";
const PINNED: &str = "openbao+kv2://secret/app?version=1#token";
const LATER: &str = "2026-03-01T00:00:00Z";
const TTL: Duration = Duration::from_secs(100);
const STALE: Duration = Duration::from_secs(50);
const MS: Duration = Duration::from_millis(1);

type Answer = fn() -> Reply;
type Reading<'a> = Pin<Box<dyn Future<Output = Result<Secret>> + 'a>>;

fn cached(cache: CacheConfig) -> SettingsBuilder {
    World::settings(1).cache(cache)
}

fn client(world: &World) -> Client<World> {
    world.client(cached(CacheConfig::new(TTL)))
}

/// A world whose server can be told what to answer to reads; each answer takes 1 ms.
fn told(first: Answer) -> (World, Rc<Cell<Answer>>) {
    let says = Rc::new(Cell::new(first));
    let server = says.clone();
    let world = World::wrapping(move |seen| if is_read(seen) { server.get()() } else { written(2) });
    (world, says)
}

fn is_read(seen: &Seen) -> bool {
    seen.method == Method::Get
}

fn read(world: &World, client: &Client<World>, uri: &str) -> Result<Secret> {
    world.run(client.read(uri))
}

fn read_for(world: &World, client: &Client<World>, who: &str) -> Result<Secret> {
    let options = ReadOptions::new().partition(Partition::new("tenant", who, "purpose", None));
    world.run(client.read_with(URI, options))
}

fn version(result: &Result<Secret>) -> u64 {
    result.as_ref().unwrap().version()
}

fn code(result: &Result<Secret>) -> Code {
    result.as_ref().unwrap_err().code()
}

fn pass(world: &World, duration: Duration) {
    world.run(world.sleep(duration));
}

/// How many reads the server saw.
fn reads(world: &World) -> usize {
    world.seen().iter().filter(|seen| is_read(seen)).count()
}

fn unreachable() -> Reply {
    Reply::Fail(FailureKind::Connect)
}

#[test]
fn without_being_asked_for_nothing_is_kept() {
    let world = World::new(|_| secret(1));
    let client = world.client(World::settings(1));
    for _ in 0..2 {
        assert_eq!(version(&read(&world, &client, URI)), 1);
    }
    assert_eq!((reads(&world), client.cache_metrics()), (2, CacheMetrics::default()));
}

#[test]
fn keys_and_the_whole_secret_share_one_entry_from_text_and_from_a_parsed_uri() {
    let body = r#"{"data":{"data":{"a":"1","b":{"c":[2]}},"metadata":{"created_time":"2026-01-01T00:00:00Z","custom_metadata":{"owner":"me"},"deletion_time":"","destroyed":false,"version":4}}}"#;
    let world = World::new(move |_| json(200, body));
    let client = client(&world);
    let whole = read(&world, &client, WHOLE).unwrap();
    assert_eq!(*whole.expose(), serde_json::json!({"a": "1", "b": {"c": [2]}}));
    assert_eq!((whole.version(), whole.created_time(), whole.custom_metadata()["owner"].as_str()), (4, EPOCH, "me"));
    let parsed = SecretUri::parse("openbao+kv2://secret/app#b").unwrap();
    let key = world.run(client.read_uri(&parsed, ReadOptions::new())).unwrap();
    assert_eq!((key.expose(), key.custom_metadata()), (&serde_json::json!({"c": [2]}), whole.custom_metadata()));
    assert_eq!(read(&world, &client, WHOLE).unwrap(), whole);
    assert_eq!(code(&read(&world, &client, "openbao+kv2://secret/app#c")), Code::FragmentNotFound);
    assert_eq!(reads(&world), 1);
}

#[test]
fn the_guard_judges_a_parsed_uri_as_it_judges_text() {
    let world = World::new(|_| secret(1));
    let client = client(&world);
    for (uri, expected) in [
        ("openbao+kv2://other/app", Code::TenantMountMismatch),
        ("hashicorp+kv2://secret/app", Code::UnsupportedEngine),
    ] {
        let parsed = SecretUri::parse(uri).unwrap();
        assert_eq!(code(&world.run(client.read_uri(&parsed, ReadOptions::new()))), expected);
    }
    assert_eq!(reads(&world), 0);
}

#[test]
fn a_thousand_simultaneous_reads_of_one_cold_key_make_one_request() {
    for world in [World::new(|_| secret(1)), World::of_isolated_tasks(|_| secret(1))] {
        // More than the places under the concurrency limit: who waits for a flight needs none.
        let client = world.client(cached(CacheConfig::new(TTL)).max_concurrent(1));
        let results = world.run_all((0..1000).map(|i| client.read(if i % 2 == 0 { URI } else { WHOLE })));
        assert!(results.iter().all(|result| version(result) == 1));
        assert_eq!(reads(&world), 1);
        let metrics = client.cache_metrics();
        assert!(metrics.misses == 1 && metrics.joined >= 999, "{metrics:?}");
    }
}

#[test]
fn a_hit_takes_no_place_under_the_concurrency_limit() {
    let world = World::new(|seen| if seen.target.ends_with("/slow") { Reply::Never } else { secret(1) });
    let client = world.client(cached(CacheConfig::new(TTL)).max_concurrent(1));
    assert_eq!(version(&read(&world, &client, URI)), 1);
    let mut slow = Box::pin(client.read("openbao+kv2://secret/slow"));
    world.poll_once(&mut slow);
    let before = world.elapsed();
    assert_eq!(version(&read(&world, &client, URI)), 1);
    assert_eq!(world.elapsed(), before);
}

#[test]
fn a_leader_that_is_dropped_hands_over_at_once() {
    let mut first = true;
    let world = World::new(move |_| if std::mem::take(&mut first) { Reply::Never } else { secret(1) });
    let client = client(&world);
    let mut leader = Box::pin(client.read(URI));
    world.poll_once(&mut leader);
    let mut follower = Box::pin(client.read(URI));
    world.poll_once(&mut follower);
    drop(leader);
    assert_eq!(version(&world.run(follower)), 1);
    assert!(world.elapsed() < SECOND && reads(&world) == 2);
}

#[test]
fn a_leader_that_nobody_polls_loses_its_flight_when_its_lease_is_over() {
    let world = World::new(|_| secret(1));
    let client = client(&world);
    let mut leader = Box::pin(client.read(URI));
    world.poll_once(&mut leader);
    let results = world.run_all((0..10).map(|_| client.read(URI)));
    assert!(results.iter().all(|result| version(result) == 1));
    assert_eq!((reads(&world), world.elapsed().as_secs()), (2, 6));
    // It comes back, and what it brings is for its caller alone.
    assert_eq!(version(&world.run(leader)), 1);
}

#[test]
fn a_refusal_is_shared_with_those_who_waited() {
    let world = World::new(|_| no_right());
    let client = client(&world);
    let results = world.run_all((0..100).map(|_| client.read(URI)));
    assert!(results.iter().all(|result| code(result) == Code::PermissionDenied));
    assert_eq!(reads(&world), 1);
    assert_eq!(code(&read(&world, &client, URI)), Code::PermissionDenied);
    assert_eq!(reads(&world), 2, "a failure is not kept");
}

#[test]
fn a_leaders_deadline_is_not_that_of_a_follower_with_more_time() {
    let start = Cell::new(Duration::ZERO);
    let world = World::new(move |seen| {
        if start.get().is_zero() {
            start.set(seen.at + MS);
        }
        if seen.at < 4 * SECOND { unreachable() } else { secret(1) }
    });
    let client = world.client(cached(CacheConfig::new(TTL)).deadline(3 * SECOND));
    let late = async {
        world.sleep(2 * SECOND).await;
        client.read(URI).await
    };
    let both: [Reading<'_>; 2] = [Box::pin(client.read(URI)), Box::pin(late)];
    let results = world.run_all(both);
    assert!(results[0].is_err());
    assert_eq!(version(&results[1]), 1);
}

#[test]
fn an_entry_is_asked_for_again_before_its_time_is_over_by_one_reader_on_the_way() {
    let (world, says) = told(|| secret(1));
    let client = client(&world);
    assert_eq!(version(&read(&world, &client, URI)), 1);
    pass(&world, TTL * 79 / 100);
    assert_eq!(version(&read(&world, &client, URI)), 1);
    assert_eq!(reads(&world), 1, "not before four fifths of its time");
    pass(&world, TTL * 17 / 100);
    says.set(|| secret(2));
    let results = world.run_all((0..10).map(|_| client.read(URI)));
    let mut versions: Vec<_> = results.iter().map(version).collect();
    versions.sort_unstable();
    assert_eq!((versions, reads(&world)), (vec![1, 1, 1, 1, 1, 1, 1, 1, 1, 2], 2));
    assert_eq!(client.cache_metrics().refreshes, 1);
    pass(&world, TTL / 2);
    assert_eq!(version(&read(&world, &client, URI)), 2);
    assert_eq!(reads(&world), 2);
}

#[test]
fn entries_of_one_moment_are_asked_for_again_at_different_ones() {
    let world = World::new(|_| secret(1));
    let client = client(&world);
    let uris: Vec<_> = (0..100).map(|i| format!("openbao+kv2://secret/app{i}")).collect();
    world.run_all(uris.iter().map(|uri| client.read(uri)));
    pass(&world, TTL * 87 / 100);
    world.run_all(uris.iter().map(|uri| client.read(uri)));
    let refreshes = client.cache_metrics().refreshes;
    assert!((20..80).contains(&refreshes), "{refreshes} of 100");
}

#[test]
fn a_refresh_that_fails_leaves_the_entry_until_its_time_is_over() {
    let (world, says) = told(|| secret(1));
    let client = client(&world);
    read(&world, &client, URI).unwrap();
    says.set(unreachable);
    pass(&world, TTL * 96 / 100);
    let before = world.elapsed();
    assert_eq!(version(&read(&world, &client, URI)), 1);
    assert!(world.elapsed() - before <= 2 * SECOND, "it does not wait for the whole deadline");
    let after = world.elapsed();
    assert_eq!(version(&read(&world, &client, URI)), 1);
    assert_eq!(world.elapsed(), after, "the next does not try at once");
    pass(&world, TTL - world.elapsed() + MS);
    assert_eq!(code(&read(&world, &client, URI)), Code::ServerUnreachable);
}

#[test]
fn beyond_its_time_an_entry_is_served_while_nobody_answers_up_to_its_bound() {
    let (world, says) = told(|| secret(1));
    let client = world.client(cached(CacheConfig::new(TTL).stale_if_error(STALE)));
    read(&world, &client, URI).unwrap();
    pass(&world, TTL + SECOND);
    says.set(unreachable);
    let results = world.run_all((0..10).map(|_| client.read(URI)));
    assert!(results.iter().all(|result| version(result) == 1));
    assert_eq!(client.cache_metrics().stale, 10);
    let options = ReadOptions::new().max_age(TTL);
    assert_eq!(code(&world.run(client.read_with(URI, options))), Code::ServerUnreachable, "a bound of the caller's");
    pass(&world, STALE);
    assert_eq!(code(&read(&world, &client, URI)), Code::ServerUnreachable);
}

#[test]
fn beyond_its_time_an_entry_is_not_served_while_the_cluster_answers() {
    let (world, says) = told(|| secret(1));
    let client = world.client(cached(CacheConfig::new(TTL).stale_if_error(STALE)));
    read(&world, &client, URI).unwrap();
    pass(&world, TTL + SECOND);
    says.set(|| secret(2));
    let results = world.run_all((0..10).map(|_| client.read(URI)));
    assert!(results.iter().all(|result| version(result) == 2));
    assert_eq!((reads(&world), client.cache_metrics().stale), (2, 0));
}

#[test]
fn a_refusal_is_not_overruled_by_what_was_read_before_and_ends_that_partition_alone() {
    let (world, says) = told(|| secret(1));
    let client = world.client(cached(CacheConfig::new(TTL).stale_if_error(STALE)));
    for who in ["a", "b"] {
        read_for(&world, &client, who).unwrap();
    }
    says.set(no_right);
    pass(&world, TTL * 96 / 100);
    assert_eq!(code(&read_for(&world, &client, "a")), Code::PermissionDenied);
    assert_eq!(client.cache_metrics().entries, 1);
    says.set(unreachable);
    assert_eq!(code(&read_for(&world, &client, "a")), Code::ServerUnreachable);
    assert_eq!(version(&read_for(&world, &client, "b")), 1);
}

#[test]
fn one_partition_is_not_served_what_was_read_for_another() {
    let world = World::new(|_| secret(1));
    let client = client(&world);
    let of = |key| ReadOptions::new().partition(Partition::new("t", "p", "why", key));
    for options in [ReadOptions::new(), of(None), of(Some("thumbprint"))] {
        for _ in 0..2 {
            world.run(client.read_with(URI, options)).unwrap();
        }
    }
    assert_eq!((reads(&world), client.cache_metrics().entries), (3, 3));
    // Not while it is being read either.
    world.run_all(["x", "y", "x", "y"].map(|who| {
        let options = ReadOptions::new().partition(Partition::new("t", who, "why", None));
        client.read_with("openbao+kv2://secret/cold", options)
    }));
    assert_eq!(reads(&world), 5);
}

#[test]
fn what_this_client_writes_or_deletes_ends_all_entries_of_the_path_pinned_ones_too() {
    let (world, says) = told(|| secret(1));
    let client = client(&world);
    let fill = || {
        says.set(|| secret(1));
        for uri in [URI, PINNED, "openbao+kv2://secret/other"] {
            let _ = read(&world, &client, uri);
        }
        read_for(&world, &client, "a").unwrap();
    };
    fill();
    assert_eq!(client.cache_metrics().entries, 4);
    let data = SecretValue::from(serde_json::json!({"token": "new"}));
    world.run(client.kv2_write("secret", "app", &data, Some(1))).unwrap();
    assert_eq!(client.cache_metrics().entries, 1, "that of the other secret");
    says.set(|| secret(2));
    assert_eq!(version(&read(&world, &client, URI)), 2);
    assert_eq!(version(&read_for(&world, &client, "a")), 2);
    says.set(|| gone(1));
    world.run(client.kv2_delete("secret", "app", &[1])).unwrap();
    assert_eq!(client.cache_metrics().entries, 1);
}

#[test]
fn a_write_whose_outcome_is_not_known_ends_the_entry_and_so_does_one_that_is_dropped() {
    let world = World::new(|seen| if is_read(seen) { secret(1) } else { Reply::Never });
    let client = world.client(cached(CacheConfig::new(TTL)).deadline(3 * SECOND));
    let data = SecretValue::from(serde_json::json!({"token": "new"}));
    read(&world, &client, URI).unwrap();
    let outcome = world.run(client.kv2_write("secret", "app", &data, None));
    assert_eq!(outcome.unwrap_err().code(), Code::Indeterminate);
    assert_eq!(client.cache_metrics().entries, 0);
    read(&world, &client, URI).unwrap();
    let mut write = Box::pin(client.kv2_write("secret", "app", &data, None));
    world.poll_once(&mut write);
    drop(write);
    assert_eq!(client.cache_metrics().entries, 0);
}

#[test]
fn a_read_that_was_overtaken_by_a_write_is_kept_by_nobody_and_joined_by_nobody() {
    // The read takes 5 s, and the write is over in between.
    let mut count = 0;
    let world = World::slow(move |seen| {
        if !is_read(seen) {
            return (MS, written(2));
        }
        count += 1;
        if count == 1 { (4 * SECOND, secret(1)) } else { (MS, secret(2)) }
    });
    let client = client(&world);
    let late = async {
        world.sleep(SECOND).await;
        let data = SecretValue::from(serde_json::json!({"token": "new"}));
        client.kv2_write("secret", "app", &data, Some(1)).await.unwrap();
        client.read(URI).await
    };
    let follower = async {
        world.sleep(MS).await;
        client.read(URI).await
    };
    let all: [Reading<'_>; 3] = [Box::pin(client.read(URI)), Box::pin(late), Box::pin(follower)];
    let versions: Vec<_> = world.run_all(all).iter().map(version).collect();
    assert_eq!(versions, [1, 2, 2], "who waited looks again; the leader's own answer is as old as its question");
    assert_eq!(version(&read(&world, &client, URI)), 2);
    assert_eq!(reads(&world), 2);
}

#[test]
fn a_newer_version_that_is_seen_in_any_other_way_ends_what_is_older_and_leaves_what_is_pinned() {
    let world = World::new(|seen| match seen.target.contains("version=1") {
        true => secret(1),
        false if seen.at < SECOND => secret(1),
        false => secret(2),
    });
    let client = client(&world);
    for uri in [URI, PINNED] {
        read(&world, &client, uri).unwrap();
    }
    read_for(&world, &client, "a").unwrap();
    pass(&world, SECOND);
    world.run(client.kv2_read("secret", "app", None, ReadOptions::new())).unwrap();
    let before = reads(&world);
    assert_eq!(version(&read(&world, &client, PINNED)), 1);
    assert_eq!(reads(&world), before);
    assert_eq!((version(&read(&world, &client, URI)), version(&read_for(&world, &client, "a"))), (2, 2));
}

#[test]
fn a_floor_that_falls_ends_all_entries_of_the_path_pinned_ones_too() {
    let (world, says) = told(|| secret(5));
    let client = client(&world);
    read(&world, &client, URI).unwrap();
    says.set(|| secret(1));
    read(&world, &client, PINNED).unwrap();
    // The secret was deleted and made anew.
    says.set(|| holding(2, "x", LATER));
    assert_eq!(version(&world.run(client.read_with(WHOLE, ReadOptions::new().strong()))), 2);
    assert_eq!(world.notices().len(), 1);
    assert_eq!(client.cache_metrics().entries, 1);
    assert_eq!(version(&read(&world, &client, URI)), 2);
    says.set(|| holding(1, "y", LATER));
    assert_eq!(read(&world, &client, PINNED).unwrap().created_time(), LATER);
}

#[test]
fn a_secret_that_is_gone_ends_all_entries_of_the_path_and_is_not_served_for_an_error() {
    for absent in [nothing as Answer, || gone(1), || errors(404, "no handler for route \"secret/data/app\"")] {
        let (world, says) = told(|| secret(1));
        let client = world.client(cached(CacheConfig::new(TTL).stale_if_error(STALE)));
        for uri in [URI, PINNED] {
            read(&world, &client, uri).unwrap();
        }
        read_for(&world, &client, "a").unwrap();
        says.set(absent);
        pass(&world, TTL * 96 / 100);
        let result = read(&world, &client, URI);
        // Before, version 1 was seen: that there is nothing has to be settled first.
        assert!(result.is_err() && code(&result) != Code::ServerUnreachable, "{result:?}");
        if code(&result) != Code::StaleRead {
            assert_eq!(client.cache_metrics().entries, 0, "{result:?}");
        }
    }
}

#[test]
fn a_strong_read_goes_to_the_leader_and_what_it_shows_is_kept() {
    let (world, says) = told(|| secret(1));
    let client = client(&world);
    read(&world, &client, URI).unwrap();
    says.set(|| secret(2));
    assert_eq!(version(&read(&world, &client, URI)), 1);
    assert_eq!(version(&world.run(client.read_with(URI, ReadOptions::new().strong()))), 2);
    let before = world.seen().len();
    assert_eq!(version(&read(&world, &client, URI)), 2);
    assert_eq!(world.seen().len(), before);
}

#[test]
fn a_strong_read_does_not_join_one_that_was_begun_before() {
    let mut count = 0;
    let world = World::wrapping(move |_| {
        count += 1;
        secret(count)
    });
    let client = client(&world);
    let strong = ReadOptions::new().strong();
    let results = world.run_all([client.read_with(URI, ReadOptions::new()), client.read_with(URI, strong)]);
    assert!(version(&results[1]) == 2, "{results:?}");
    assert_eq!(version(&read(&world, &client, URI)), 2);
}

#[test]
fn a_read_that_asks_for_a_newer_version_than_there_is_asks_the_cluster_and_keeps_the_answer() {
    let (world, says) = told(|| secret(1));
    let client = client(&world);
    read(&world, &client, URI).unwrap();
    says.set(|| secret(7));
    let least = |version| ReadOptions::new().min_version(version);
    assert_eq!(version(&world.run(client.read_with(URI, least(1)))), 1);
    assert_eq!(version(&world.run(client.read_with(URI, least(7)))), 7);
    assert_eq!(version(&read(&world, &client, URI)), 7);
    assert_eq!(reads(&world), 2);
    let results = world.run_all((0..50).map(|i| client.read_with("openbao+kv2://secret/cold", least(i % 2 * 7))));
    assert!(results.iter().all(|result| version(result) == 7));
    assert_eq!(reads(&world), 3);
}

#[test]
fn what_is_older_than_a_reader_allows_is_asked_for_again() {
    let world = World::new(|_| secret(1));
    let client = client(&world);
    let young = ReadOptions::new().max_age(10 * SECOND);
    read(&world, &client, URI).unwrap();
    pass(&world, 9 * SECOND);
    world.run(client.read_with(URI, young)).unwrap();
    assert_eq!(reads(&world), 1);
    pass(&world, 2 * SECOND);
    world.run(client.read_with(URI, young)).unwrap();
    assert_eq!(reads(&world), 2);
}

#[test]
fn no_more_entries_are_kept_than_are_allowed_and_what_was_used_stays() {
    let world = World::new(|_| secret(1));
    let client = world.client(cached(CacheConfig::new(TTL).max_entries(10)));
    for i in 0..100 {
        read(&world, &client, &format!("openbao+kv2://secret/app{i}")).unwrap();
        read(&world, &client, URI).unwrap();
    }
    let metrics = client.cache_metrics();
    assert_eq!((metrics.entries, metrics.evictions), (10, 91));
    assert_eq!(reads(&world), 101, "the one that is read again and again never left");
}

#[test]
fn no_more_bytes_are_kept_than_are_allowed_and_what_is_too_large_alone_is_not_kept() {
    let large = |size: usize| holding(1, &"x".repeat(size), EPOCH);
    let world = World::new(move |seen| large(if seen.target.ends_with("huge") { 20_000 } else { 1000 }));
    let client = world.client(cached(CacheConfig::new(TTL).max_bytes(10_000)));
    for i in 0..100 {
        read(&world, &client, &format!("openbao+kv2://secret/app{i}")).unwrap();
        let metrics = client.cache_metrics();
        assert!(metrics.bytes <= 10_000 && metrics.entries > 0);
    }
    assert!(client.cache_metrics().entries >= 5);
    let results = world.run_all((0..100).map(|_| client.read("openbao+kv2://secret/huge")));
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(reads(&world), 101, "those who wait for it have it all the same");
    assert!(client.cache_metrics().bytes <= 10_000);
}

#[test]
fn what_nobody_may_be_served_any_more_leaves_as_others_come() {
    let world = World::new(|_| secret(1));
    let client = client(&world);
    for i in 0..10 {
        read(&world, &client, &format!("openbao+kv2://secret/old{i}")).unwrap();
    }
    pass(&world, TTL);
    for i in 0..10 {
        read(&world, &client, &format!("openbao+kv2://secret/new{i}")).unwrap();
    }
    assert_eq!(client.cache_metrics().entries, 10);
}

#[test]
fn to_close_a_client_wipes_its_cache_and_wakes_those_who_wait() {
    let world = World::new(|seen| if seen.target.ends_with("never") { Reply::Never } else { secret(1) });
    let client = client(&world);
    read(&world, &client, URI).unwrap();
    let closing = async {
        world.sleep(SECOND).await;
        client.close();
        client.read(URI).await
    };
    let never = "openbao+kv2://secret/never";
    let all: [Reading<'_>; 3] = [Box::pin(client.read(never)), Box::pin(client.read(never)), Box::pin(closing)];
    let results = world.run_all(all);
    assert_eq!((code(&results[1]), code(&results[2])), (Code::ClientClosed, Code::ClientClosed));
    let metrics = client.cache_metrics();
    assert_eq!((metrics.entries, metrics.bytes), (0, 0));
}

#[test]
fn hits_and_their_ages_are_counted() {
    let world = World::new(|_| secret(1));
    let client = client(&world);
    read(&world, &client, URI).unwrap();
    for _ in 0..3 {
        pass(&world, 5 * SECOND);
        read(&world, &client, URI).unwrap();
    }
    let metrics = client.cache_metrics();
    assert_eq!((metrics.misses, metrics.hits, metrics.hit_ages), (1, 3, [0, 1, 2, 0, 0, 0]));
    assert_eq!(metrics.hit_age.as_secs(), 30);
}

#[test]
fn settings_beyond_their_limits_are_refused_by_name() {
    let config = || CacheConfig::new(TTL);
    for (cache, name) in [
        (CacheConfig::new(Duration::ZERO), "cache.ttl"),
        (config().stale_if_error(Duration::MAX), "cache.stale_if_error"),
        (config().max_entries(0), "cache.max_entries"),
        (config().max_bytes(1), "cache.max_bytes"),
    ] {
        let error = cached(cache).build().unwrap_err();
        assert_eq!(error.code(), Code::InvalidSetting);
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// The rules are needed: without one, what they prevent happens.
#[cfg(feature = "broken-rules")]
mod broken {
    use super::*;
    use baokit_core::Rule;

    #[test]
    fn without_partitions_one_caller_is_served_what_was_read_for_another() {
        let (world, says) = told(|| secret(1));
        let client = client(&world).without(Rule::CacheIsPartitioned);
        read_for(&world, &client, "a").unwrap();
        says.set(no_right);
        assert_eq!(version(&read_for(&world, &client, "b")), 1);
    }

    #[test]
    fn without_purging_a_client_does_not_see_what_it_has_written() {
        let (world, says) = told(|| secret(1));
        let client = client(&world).without(Rule::CacheIsPurged);
        read(&world, &client, URI).unwrap();
        let data = SecretValue::from(serde_json::json!({"token": "new"}));
        world.run(client.kv2_write("secret", "app", &data, Some(1))).unwrap();
        says.set(|| secret(2));
        assert_eq!(version(&read(&world, &client, URI)), 1);
    }
}
