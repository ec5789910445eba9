//! The cache on virtual time: that no older version takes an entry's place, that a version is not served past the
//! moment at which it deletes itself, and what answers other than those of its data tell it.

#![cfg(feature = "cache")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "cache/kept.rs"]
mod kept;
mod scenario;

use baokit_core::config::CacheConfig;
use baokit_core::http::{FailureKind, Method};
use baokit_core::{Client, Code, Error, ReadOptions, SecretValue};
use kept::{
    Answer, PINNED, STALE, TTL, URI, WHOLE, cached, client, code, pass, read, read_for, reads, told, unreachable,
    version,
};
use scenario::{CANARY_VALUE, Reply, SECOND, Seen, World, ending, errors, holding, json, no_right, nothing, secret};

/// Reads, past the cache, as many secrets as one row of floors holds, of those that share the row of `secret/app`:
/// 1024 rows of 8, found by FNV-1a.
fn forget_floor(world: &World, client: &Client<World>) {
    let row = |key: &str| {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        key.bytes().fold(0xcbf2_9ce4_8422_2325, hash) % 1024
    };
    let others = (0..).map(|i| format!("other{i}")).filter(|name| row(&format!("secret/{name}")) == row("secret/app"));
    for name in others.take(8) {
        world.run(client.kv2_read("secret", &name, None, ReadOptions::new())).unwrap();
    }
}

/// A world whose everyday reads of `secret/app` are answered from the second second on by a standby that is behind,
/// and does not say so.
fn with_standby_behind() -> World {
    World::wrapping(|seen| match seen.target.ends_with("/app") {
        true if seen.is_wrapped() || seen.at < SECOND => secret(2),
        _ => secret(1),
    })
}

#[test]
fn a_refresh_does_not_put_an_older_version_in_an_entry_s_place_where_the_floor_was_forgotten() {
    let world = with_standby_behind();
    // It is forgotten indeed: who keeps nothing does not know better.
    let forgetful = world.client(World::settings(1));
    assert_eq!(version(&read(&world, &forgetful, URI)), 2);
    let client = client(&world);
    assert_eq!(version(&read(&world, &client, URI)), 2);
    for client in [&forgetful, &client] {
        forget_floor(&world, client);
    }
    pass(&world, TTL * 96 / 100);
    assert_eq!(version(&read(&world, &forgetful, URI)), 1);
    assert_eq!(version(&read(&world, &client, URI)), 2);
    assert_eq!(client.cache_metrics().refreshes, 1);
    assert_eq!(version(&read(&world, &client, URI)), 2, "it stays");
}

#[test]
fn what_is_cached_for_one_is_a_floor_for_all_where_the_table_has_forgotten_it() {
    let world = with_standby_behind();
    let client = client(&world);
    assert_eq!(version(&read_for(&world, &client, "a")), 2);
    forget_floor(&world, &client);
    pass(&world, SECOND);
    assert_eq!(version(&read(&world, &client, URI)), 2);
    forget_floor(&world, &client);
    assert_eq!(world.run(client.kv2_read("secret", "app", None, ReadOptions::new())).unwrap().version(), 2);
}

#[test]
fn a_write_whose_answer_is_lost_is_judged_by_what_is_cached_where_the_floor_was_forgotten() {
    let is_write = |seen: &Seen| seen.method == Method::Post && seen.target.ends_with("/data/app");
    let mut is_written = false;
    let world = World::wrapping(move |seen| {
        is_written |= is_write(seen);
        match is_written {
            _ if is_write(seen) => Reply::Fail(FailureKind::AfterSend),
            true => secret(2),
            false => secret(1),
        }
    });
    let client = client(&world);
    assert_eq!(version(&read(&world, &client, URI)), 1);
    forget_floor(&world, &client);
    let data = SecretValue::from(serde_json::json!({"token": CANARY_VALUE}));
    let written = world.run(client.kv2_write("secret", "app", &data, None)).unwrap();
    assert_eq!(written.version(), 2);
}

#[test]
fn an_older_version_takes_an_entry_s_place_where_a_strong_read_shows_that_it_is_the_newest() {
    let world = World::wrapping(|seen| match seen.target.ends_with("/app") && seen.at < SECOND {
        true => secret(2),
        false => holding(1, "anew", kept::LATER),
    });
    let client = client(&world);
    assert_eq!(version(&read(&world, &client, URI)), 2);
    forget_floor(&world, &client);
    pass(&world, TTL * 96 / 100);
    assert_eq!(version(&read(&world, &client, URI)), 1);
    assert_eq!(world.notices().len(), 1, "it is told: {:?}", world.notices());
}

/// What a server says of a version that deletes itself 30 s after the world begins.
fn short_lived() -> Reply {
    ending(1, "2026-01-01T00:00:30.5Z")
}

#[test]
fn a_version_is_not_served_past_the_moment_at_which_it_deletes_itself() {
    let (world, says) = told(short_lived);
    let client = world.client(cached(CacheConfig::new(TTL).stale_if_error(STALE)));
    assert_eq!(version(&read(&world, &client, URI)), 1);
    pass(&world, 29 * SECOND);
    assert_eq!((version(&read(&world, &client, URI)), reads(&world)), (1, 1));
    pass(&world, SECOND);
    says.set(unreachable);
    assert_eq!(code(&read(&world, &client, URI)), Code::ServerUnreachable, "neither fresh nor stale");
    says.set(|| secret(2));
    assert_eq!(version(&read(&world, &client, URI)), 2);
}

#[test]
fn a_version_whose_end_is_over_or_can_not_be_read_is_served_and_not_kept() {
    let answers: [Answer; 4] = [
        || ending(1, "2025-12-31T23:59:59Z"),
        || ending(1, "2026-13-01T00:00:00Z"),
        || ending(1, "2026-02-01T00:00:00+01:00"),
        || ending(1, "-"),
    ];
    for answer in answers {
        let (world, _) = told(answer);
        let client = client(&world);
        for _ in 0..2 {
            assert_eq!(version(&read(&world, &client, URI)), 1);
        }
        assert_eq!((reads(&world), client.cache_metrics().entries), (2, 0));
        // Those who wait for it have it all the same.
        assert!(world.run_all((0..10).map(|_| client.read(URI))).iter().all(|result| version(result) == 1));
        assert_eq!(reads(&world), 3);
    }
}

/// A world whose data is version 1, and whose other answers are these from the second second on.
fn with_metadata(answer: Answer) -> World {
    World::wrapping(move |seen| match seen.target.contains("/data/") || seen.at < SECOND {
        true if seen.is_wrapped() && seen.at >= SECOND => nothing(),
        true => secret(1),
        // A node that leads: what is missing there is missing.
        false if seen.target == "/v1/sys/wrapping/wrap" => json(200, "{}"),
        false => answer(),
    })
}

#[test]
fn metadata_or_keys_that_are_gone_with_their_secret_or_their_mount_end_all_entries_of_the_path() {
    let no_mount: Answer = || errors(404, "no handler for route \"secret/metadata/app\"");
    type Ask = fn(&World, &Client<World>) -> Option<Error>;
    let asked: [Ask; 3] = [
        |world, client| world.run(client.versions(WHOLE)).err(),
        |world, client| world.run(client.metadata(WHOLE)).err(),
        |world, client| world.run(client.kv2_subkeys("secret", "app", None, 0, ReadOptions::new())).err(),
    ];
    for (answer, expected) in [(nothing as Answer, Code::SecretNotFound), (no_mount, Code::MountNotFound)] {
        for ask in asked {
            let world = with_metadata(answer);
            let client = client(&world);
            for uri in [URI, PINNED] {
                read(&world, &client, uri).unwrap();
            }
            read_for(&world, &client, "a").unwrap();
            assert_eq!(client.cache_metrics().entries, 3);
            pass(&world, SECOND);
            assert_eq!(ask(&world, &client).unwrap().code(), expected);
            assert_eq!(client.cache_metrics().entries, 0, "{expected}");
        }
    }
}

#[test]
fn who_may_not_read_the_metadata_is_served_the_data_all_the_same() {
    let world = with_metadata(no_right);
    let client = client(&world);
    read(&world, &client, URI).unwrap();
    pass(&world, SECOND);
    assert_eq!(world.run(client.versions(WHOLE)).unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(world.run(client.metadata(WHOLE)).unwrap_err().code(), Code::PermissionDenied);
    let before = reads(&world);
    assert_eq!(version(&read(&world, &client, URI)), 1);
    assert_eq!(reads(&world), before);
}

#[test]
fn a_token_that_is_refused_for_metadata_ends_all_entries() {
    let world = with_metadata(|| errors(403, "permission denied"));
    let client = client(&world);
    read(&world, &client, URI).unwrap();
    pass(&world, SECOND);
    assert_eq!(world.run(client.versions(WHOLE)).unwrap_err().code(), Code::AuthenticationFailed);
    assert_eq!(client.cache_metrics().entries, 0);
}
