//! Reads side by side are not older than what the client has seen, on virtual time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod scenario;

use std::time::Duration;

use baokit_core::config::SettingsBuilder;
use baokit_core::http::Method;
use baokit_core::{Client, Host, ReadOptions, SecretValue};
use scenario::{EPOCH, SECOND, World, at_index, holding, json, secret, wrap_info, written};

const URI: &str = "openbao+kv2://secret/app#token";
const LATER: &str = "2026-03-01T00:00:00Z";
const UNWRAP: &str = "/v1/sys/wrapping/unwrap";

/// Writes the version that follows this one.
fn write(world: &World, client: &Client<World>, cas: u64) {
    let data = SecretValue::from(serde_json::json!({"token": "new"}));
    world.run(client.kv2_write("secret", "app", &data, Some(cas))).unwrap();
}

#[test]
fn the_leader_s_own_lower_index_is_believed_by_all_who_asked_before_it_was_known() {
    // After a restore from a disk's copy the cluster counts on from a lower number.
    for (count, options) in [(2, ReadOptions::new().strong()), (20, ReadOptions::new())] {
        let world = World::new(|seen| match seen.target.as_str() {
            UNWRAP => secret(2),
            _ if seen.method == Method::Post => at_index(written(1), "c", 9),
            _ if seen.is_wrapped() => at_index(json(200, wrap_info("w")), "c", 5),
            _ => at_index(secret(2), "c", 5),
        });
        let client = world.client(World::settings(1));
        write(&world, &client, 0);
        let results = world.run_all((0..count).map(|i| {
            let client = &client;
            async move { client.read_with(&format!("openbao+kv2://secret/other{i}"), options).await }
        }));
        assert!(results.iter().all(|result| result.as_ref().is_ok_and(|read| read.version() == 2)), "{results:?}");
    }
}

/// What is read where a read that began before version 5 became version 2 of another life ends after that: its own
/// version, that of the read in between, and those of two later ones from a node that still shows version 5.
fn around_a_fall(settings: SettingsBuilder, between: ReadOptions) -> Vec<u64> {
    let mut plain = 0;
    let world = World::slow(move |seen| {
        if seen.method == Method::Post && seen.target != UNWRAP {
            return (Duration::ZERO, written(5));
        }
        if seen.is_wrapped() {
            return (Duration::ZERO, json(200, wrap_info("w")));
        }
        plain += usize::from(seen.target != UNWRAP);
        match (seen.target.as_str(), plain) {
            (UNWRAP, _) | (_, 2) => (Duration::ZERO, holding(2, "new", LATER)),
            (_, 1) => (3 * SECOND, holding(5, "old", EPOCH)),
            _ => (Duration::ZERO, holding(5, "old", EPOCH)),
        }
    });
    let client = world.client(settings);
    write(&world, &client, 4);
    let mut versions = world.run_all((0..2).map(|i| {
        let (client, world) = (&client, &world);
        async move {
            world.sleep(i * 2 * SECOND).await;
            let options = if i == 0 { ReadOptions::new() } else { between };
            client.read_with(URI, options).await.unwrap().version()
        }
    }));
    versions.extend([(); 2].map(|()| world.run(client.read(URI)).unwrap().version()));
    versions
}

#[test]
fn an_answer_of_before_that_comes_late_does_not_raise_a_floor_that_fell() {
    assert_eq!(around_a_fall(World::settings(1), ReadOptions::new()), [5, 2, 2, 2]);
    #[cfg(feature = "cache")]
    {
        let cached = World::settings(1).cache(baokit_core::config::CacheConfig::new(100 * SECOND));
        // Or it would wait for the first.
        let between = ReadOptions::new().max_age(SECOND);
        assert_eq!(around_a_fall(cached, between), [5, 2, 2, 2]);
    }
}

#[test]
fn who_has_made_a_secret_anew_is_not_shown_what_it_was_before() {
    // A standby that is behind, and whose answers bear no index.
    let world = World::new(|seen| match seen.target.as_str() {
        UNWRAP => secret(1),
        _ if seen.method == Method::Post => written(1),
        _ if seen.is_wrapped() => json(200, wrap_info("w")),
        _ => secret(5),
    });
    let client = world.client(World::settings(1));
    assert_eq!(world.run(client.read(URI)).unwrap().version(), 5);
    write(&world, &client, 0);
    assert_eq!(world.run(client.read(URI)).unwrap().version(), 1);
}
