//! The cache on virtual time: whom an entry is served to, what ends it, and how much is kept.

#![cfg(feature = "cache")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "cache/kept.rs"]
mod kept;
mod scenario;

use std::time::Duration;

use baokit_core::config::CacheConfig;
use baokit_core::{Code, Host, Partition, ReadOptions, Result, SecretValue};
use kept::{
    Answer, LATER, MS, PINNED, Reading, STALE, TTL, URI, WHOLE, cached, client, code, is_read, pass, read, read_for,
    reads, told, unreachable, version,
};
use scenario::{EPOCH, Reply, SECOND, World, errors, gone, holding, json, no_right, nothing, secret, written};

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
fn a_path_that_is_refused_to_one_is_served_to_nobody_since_all_read_with_the_same_token() {
    let (world, says) = told(|| secret(1));
    let client = client(&world);
    for who in ["a", "b"] {
        read_for(&world, &client, who).unwrap();
    }
    says.set(no_right);
    pass(&world, 2 * SECOND);
    let options = ReadOptions::new().partition(Partition::new("tenant", "a", "purpose", None)).max_age(SECOND);
    assert_eq!(code(&world.run(client.read_with(URI, options))), Code::PermissionDenied);
    assert_eq!(client.cache_metrics().entries, 0);
    assert_eq!(code(&read_for(&world, &client, "b")), Code::PermissionDenied);
}

#[test]
fn what_is_too_old_is_served_where_the_cluster_can_not_be_had_and_not_for_what_a_server_answers() {
    let sealed: Answer = || errors(503, "Vault is sealed");
    let html: Answer = || scenario::raw(200, "text/html", b"<html>".to_vec());
    let cases: [(Answer, Option<Code>); 5] = [
        (unreachable, None),
        (sealed, None),
        (|| errors(429, "rate limit quota exceeded"), Some(Code::RateLimited)),
        (|| errors(500, "boom"), Some(Code::ServerError)),
        (html, Some(Code::MalformedAnswer)),
    ];
    for (answer, expected) in cases {
        let (world, says) = told(|| secret(1));
        let settings = cached(CacheConfig::new(TTL).stale_if_error(STALE)).deadline(5 * SECOND);
        let client = world.client(settings);
        read(&world, &client, URI).unwrap();
        says.set(answer);
        pass(&world, TTL * 96 / 100);
        assert!(read(&world, &client, URI).is_ok(), "it is not too old yet: {expected:?}");
        pass(&world, TTL * 5 / 100);
        for _ in 0..2 {
            let requests = world.seen().len();
            let result = read(&world, &client, URI);
            assert_eq!(result.as_ref().err().map(baokit_core::Error::code), expected);
            assert!(world.seen().len() - requests < 40, "{expected:?}: {}", world.seen().len() - requests);
        }
        if expected.is_some() {
            says.set(unreachable);
            assert!(read(&world, &client, URI).is_ok(), "it is still there for an outage");
        }
    }
}

#[test]
fn a_token_that_is_refused_ends_all_entries_and_nothing_is_served_for_a_later_error() {
    let (world, says) = told(|| secret(1));
    let client = world.client(cached(CacheConfig::new(TTL).stale_if_error(STALE)));
    read(&world, &client, URI).unwrap();
    says.set(|| errors(403, "permission denied"));
    pass(&world, TTL + SECOND);
    assert_eq!(code(&read(&world, &client, URI)), Code::AuthenticationFailed);
    says.set(unreachable);
    assert_eq!(code(&read(&world, &client, URI)), Code::ServerUnreachable);
}

#[test]
fn what_is_changed_by_calls_that_name_no_secret_ends_all_entries() {
    let (world, _) = told(|| secret(1));
    let client = client(&world);
    for _ in 0..2 {
        read(&world, &client, URI).unwrap();
    }
    assert_eq!(reads(&world), 1);
    world.run(client.request("POST", "secret/data/app", None)).unwrap();
    read(&world, &client, URI).unwrap();
    world.run(client.sys().disable_mount("secret")).unwrap();
    read(&world, &client, URI).unwrap();
    assert_eq!(reads(&world), 3);
}

#[test]
fn a_version_that_the_metadata_shows_to_be_gone_is_not_served() {
    let metadata = |gone: &str, destroyed: bool| {
        let version = |created: &str, deleted: &str, destroyed: bool| {
            format!(r#"{{"created_time":"{created}","deletion_time":"{deleted}","destroyed":{destroyed}}}"#)
        };
        let versions = format!(r#"{{"1":{},"2":{}}}"#, version(EPOCH, "", destroyed), version(LATER, gone, false));
        let about = r#""current_version":2,"current_metadata_version":0,"custom_metadata":null"#;
        json(200, format!(r#"{{"data":{{{about},"versions":{versions}}}}}"#))
    };
    for (uri, deleted, destroyed) in [(PINNED, "", true), (URI, LATER, false)] {
        let world = World::new(move |seen| match seen.target.contains("/metadata/") {
            true => metadata(deleted, destroyed),
            false if seen.target.contains("version=1") => secret(1),
            false => holding(2, "new", LATER),
        });
        let client = client(&world);
        read(&world, &client, uri).unwrap();
        world.run(client.versions(WHOLE)).unwrap();
        let before = reads(&world);
        read(&world, &client, uri).unwrap();
        assert_eq!(reads(&world), before + 1, "{uri}");
    }
}

#[test]
fn a_secret_that_is_too_large_leaves_the_others_where_they_are() {
    let world = World::new(|seen| match seen.target.contains("big") {
        true => holding(1, &"x".repeat(200_000), EPOCH),
        false => secret(1),
    });
    let client = world.client(cached(CacheConfig::new(TTL).max_bytes(100_000)));
    for name in 0..20 {
        read(&world, &client, &format!("openbao+kv2://secret/s{name}")).unwrap();
    }
    read(&world, &client, "openbao+kv2://secret/big").unwrap();
    assert_eq!(client.cache_metrics().entries, 20);
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
    use crate::scenario::no_right;
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
