//! The cache on virtual time: who asks the cluster, who waits for it, and for how long an entry is served.

#![cfg(feature = "cache")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "cache/kept.rs"]
mod kept;
mod scenario;

use std::cell::Cell;
use std::time::Duration;

use baokit_core::config::CacheConfig;
use baokit_core::{CacheMetrics, Code, Host, ReadOptions, SecretUri};
use kept::{
    MS, Reading, STALE, TTL, URI, WHOLE, cached, client, code, pass, read, read_for, reads, told, unreachable, version,
};
use scenario::{EPOCH, Reply, SECOND, World, json, no_right, secret};

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
fn a_refusal_is_not_overruled_by_what_was_read_before_in_any_partition() {
    let (world, says) = told(|| secret(1));
    let client = world.client(cached(CacheConfig::new(TTL).stale_if_error(STALE)));
    for who in ["a", "b"] {
        read_for(&world, &client, who).unwrap();
    }
    says.set(no_right);
    pass(&world, TTL * 96 / 100);
    assert_eq!(code(&read_for(&world, &client, "a")), Code::PermissionDenied);
    assert_eq!(client.cache_metrics().entries, 0);
    says.set(unreachable);
    for who in ["a", "b"] {
        assert_eq!(code(&read_for(&world, &client, who)), Code::ServerUnreachable);
    }
}
