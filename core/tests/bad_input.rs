//! Bad input: each is answered by a code of its own, in a text that names the secret and says what to do, and
//! never by a value. On virtual time; the same on real servers is in tests/openbao/tests/bad_mounts.rs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::cell::Cell;
use std::time::Duration;

use baokit_core::http::{FailureKind, Method};
use baokit_core::sys::Role;
use baokit_core::{Code, Error, Kv2Config, MetadataChange, ReadOptions, SecretValue};
use scenario::{
    CANARY_VALUE, EPOCH, MISMATCH, Reply, Seen, World, errors, holding, json, no_right, nothing, secret, written,
};
use serde_json::json as value;

const URI: &str = "openbao+kv2://secret/app";
const KEY: &str = "openbao+kv2://secret/app#token";

fn data() -> SecretValue {
    SecretValue::from(value!({"token": CANARY_VALUE}))
}

/// The error has this code, names these, says what to do, and shows no value.
#[track_caller]
fn tells<T: std::fmt::Debug>(result: Result<T, Error>, code: Code, names: &[&str]) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    assert!(names.iter().all(|name| text.contains(name)), "{names:?} in: {text}");
    assert!(text.ends_with(code.advice()), "{text}");
    assert!(!format!("{text} {error:?}").contains("canary"), "{text}");
}

#[test]
fn cas_on_a_version_that_has_moved_is_a_conflict_that_names_both_versions() {
    let world = World::wrapping(|seen| if seen.method == Method::Get { secret(5) } else { errors(400, MISMATCH) });
    let client = world.client(World::settings(1));
    let names = ["secret/data/app", "version 5 is the newest", "to follow 3"];
    tells(world.run(client.kv2_write("secret", "app", &data(), Some(3))), Code::CasConflict, &names);
    assert_eq!(world.writes(), 1);
}

#[test]
fn cas_on_a_version_that_has_moved_is_a_conflict_for_who_may_not_read_as_well() {
    let world = World::wrapping(|seen| if seen.method == Method::Get { no_right() } else { errors(400, MISMATCH) });
    let client = world.client(World::settings(1));
    tells(world.run(client.kv2_write("secret", "app", &data(), Some(3))), Code::CasConflict, &["secret/data/app"]);
}

#[test]
fn a_value_over_the_limits_is_told_with_the_limits_and_not_sent_again() {
    let world = World::new(|_| written(1));
    let client = world.client(World::settings(1));
    let large = SecretValue::from(value!({"token": CANARY_VALUE.repeat(3 << 20)}));
    let names = ["secret/data/app", "33554432"];
    tells(world.run(client.kv2_write("secret", "app", &large, Some(0))), Code::ValueTooLarge, &names);
    assert!(world.seen().is_empty(), "no server takes more than 32 MiB");

    let answers: [fn() -> Reply; 3] = [
        || errors(500, "1 error occurred:\n\t* put failed due to value being too large; got 2097177, max: 1048576\n\n"),
        || errors(400, "refused JSON input due to high complexity: exceeded maximum number of strings"),
        || errors(413, "http: request body too large"),
    ];
    for answer in answers {
        let world = World::new(move |_| answer());
        let client = world.client(World::settings(2));
        let names = ["secret/data/app", "1 MiB", "1000"];
        tells(world.run(client.kv2_write("secret", "app", &data(), Some(0))), Code::ValueTooLarge, &names);
        assert_eq!(world.writes(), 1);
    }
}

#[test]
fn a_version_that_does_not_exist_is_named_and_is_another_case_than_a_secret_that_does_not() {
    let world = World::new(|_| nothing());
    let client = world.client(World::settings(1));
    let pinned = "openbao+kv2://secret/app?version=9";
    tells(world.run(client.read(pinned)), Code::VersionNotFound, &[pinned, "no version 9"]);
    let read = client.kv2_read("secret", "app", Some(9), ReadOptions::new());
    tells(world.run(read), Code::VersionNotFound, &["secret/app", "no version 9"]);
    tells(world.run(client.read(URI)), Code::SecretNotFound, &[URI]);
    // OpenBao would take it for the newest.
    let none = "openbao+kv2://secret/app?version=0";
    tells(world.run(client.read(none)), Code::InvalidVersion, &["version"]);
    let read = client.kv2_read("secret", "app", Some(0), ReadOptions::new());
    tells(world.run(read), Code::InvalidVersion, &["version 0"]);
    tells(world.run(client.kv2_delete("secret", "app", &[1, 0])), Code::InvalidVersion, &["version 0"]);
    assert_eq!(world.seen().len(), 3);
}

/// A mount of KVv1: any path holds whatever was written there.
fn kv1(held: &'static str) -> World {
    World::wrapping(move |seen| match (seen.method, held) {
        (Method::Get, "") => nothing(),
        (Method::Get, held) => {
            json(200, format!(r#"{{"request_id":"r","lease_id":"","lease_duration":2764800,"data":{held}}}"#))
        }
        _ => json(204, ""),
    })
}

#[test]
fn a_mount_that_is_kv1_is_told_on_reads_and_writes_wherever_it_shows_itself() {
    let world = kv1("");
    let client = world.client(World::settings(1));
    let names = ["secret/data/app", "KVv1"];
    for cas in [None, Some(0)] {
        tells(world.run(client.kv2_write("secret", "app", &data(), cas)), Code::UnsupportedEngine, &names);
    }
    tells(world.run(client.write(URI, data())), Code::UnsupportedEngine, &names);
    tells(world.run(client.rotate(KEY, CANARY_VALUE)), Code::UnsupportedEngine, &names);
    tells(world.run(client.rotate_with(KEY, &client.rotation())), Code::UnsupportedEngine, &names);
    // Nothing tells it from a secret that is missing, so the advice does.
    tells(world.run(client.read(URI)), Code::SecretNotFound, &[URI, "the mount is KVv2"]);
    tells(world.run(client.versions(URI)), Code::SecretNotFound, &["secret/metadata/app", "the mount is KVv2"]);

    let held = [
        r#"{"token":"canary-value"}"#,
        // What a client of KVv2 wrote there.
        r#"{"data":{"token":"canary-value"},"options":{"cas":0}}"#,
        r#"{"custom_metadata":{"token":"canary-value"}}"#,
        "{}",
    ];
    for held in held {
        let world = kv1(held);
        let client = world.client(World::settings(1));
        tells(world.run(client.read(URI)), Code::UnsupportedEngine, &names);
        let strong = client.read_with(KEY, ReadOptions::new().strong());
        tells(world.run(strong), Code::UnsupportedEngine, &names);
        tells(world.run(client.write(KEY, CANARY_VALUE)), Code::UnsupportedEngine, &names);
        let names = ["secret/metadata/app", "KVv1"];
        tells(world.run(client.versions(URI)), Code::UnsupportedEngine, &names);
        tells(world.run(client.rotate_with(KEY, &client.rotation())), Code::UnsupportedEngine, &names);
        let changes = |seen: &Seen| seen.method != Method::Get && seen.target.starts_with("/v1/secret/");
        assert!(!world.seen().iter().any(changes), "nothing is written there");
    }
}

#[test]
fn without_rights_on_metadata_a_rotation_says_that_it_has_no_record_and_names_the_right_where_it_needs_one() {
    let world = World::wrapping(|seen| match (seen.method, seen.target.contains("/metadata/")) {
        (_, true) => no_right(),
        (Method::Get, _) => secret(3),
        _ => written(4),
    });
    let client = world.client(World::settings(1));
    let done = world.run(client.rotate_with(KEY, &client.rotation())).unwrap();
    assert_eq!((done.old_version, done.new_version, done.is_recorded), (3, 4, false));
    let names = ["secret/metadata/app", "mount/metadata/"];
    let resumed = client.resume_rotation(done.operation_id);
    tells(world.run(client.rotate_with(KEY, &resumed)), Code::PermissionDenied, &names);
    tells(world.run(client.versions(URI)), Code::PermissionDenied, &names);
}

#[test]
fn a_rotation_whose_rights_end_after_it_tried_to_record_itself_writes_nothing_without_a_record() {
    for (is_lost, code) in [(true, Code::Indeterminate), (false, Code::PermissionDenied)] {
        let mut tries = 0;
        let world = World::wrapping(move |seen| match (seen.target.as_str(), seen.method) {
            ("/v1/secret/metadata/app", Method::Get) if tries > 0 => no_right(),
            ("/v1/secret/metadata/app", Method::Get) => json(
                200,
                r#"{"data":{"current_version":1,"current_metadata_version":0,"custom_metadata":null,"versions":{"1":{"created_time":"2026-01-01T00:00:00Z","deletion_time":"","destroyed":false}}}}"#,
            ),
            ("/v1/secret/metadata/app", _) => {
                tries += 1;
                match tries {
                    1 if is_lost => Reply::Fail(FailureKind::AfterSend),
                    _ => errors(400, "metadata check-and-set parameter does not match the current version"),
                }
            }
            (_, Method::Get) => secret(1),
            _ => written(2),
        });
        let client = world.client(World::settings(1));
        let error = world.run(client.rotate_with(KEY, &client.rotation())).unwrap_err();
        assert_eq!((error.code(), world.writes()), (code, 0), "{error}");
    }
}

#[test]
fn metadata_that_does_not_say_its_version_is_read_and_not_taken_for_version_0() {
    // As Vault answers, which would take no notice of `metadata_cas`.
    let about = value!({"created_time": EPOCH, "deletion_time": "", "destroyed": false});
    let unversioned = value!({"data": {"current_version": 3, "versions": {"3": about}}}).to_string();
    let world = World::wrapping(move |seen| match (seen.method, seen.target.contains("/metadata/")) {
        (Method::Get, true) => json(200, unversioned.clone()),
        (Method::Get, _) => secret(3),
        (_, true) => json(204, ""),
        _ => written(4),
    });
    let client = world.client(World::settings(1));
    let versions = world.run(client.versions(URI)).unwrap();
    assert_eq!((versions.current_version(), versions.metadata_version()), (3, None));
    let (change, names) =
        (MetadataChange::new().custom("owner", CANARY_VALUE), ["secret/metadata/app", "does not say"]);
    for cas in [None, Some(0)] {
        let written = client.kv2_write_metadata("secret", "app", &change, cas);
        tells(world.run(written), Code::NotSupported, &names);
        let patched = client.kv2_patch_metadata("secret", "app", &change, cas);
        tells(world.run(patched), Code::NotSupported, &names);
    }
    tells(world.run(client.set_owner(URI, CANARY_VALUE)), Code::NotSupported, &names);
    // A rotation goes without its record, and one that has to be resumed does not go.
    let rotated = world.run(client.rotate_with(KEY, &client.rotation())).unwrap();
    assert_eq!((rotated.new_version, rotated.is_recorded), (4, false));
    let resumed = client.resume_rotation(rotated.operation_id);
    tells(world.run(client.rotate_with(KEY, &resumed)), Code::NotSupported, &names);
    let is_change = |seen: &Seen| seen.method != Method::Get && seen.target.contains("/metadata/");
    assert!(!world.seen().iter().any(is_change), "none goes unguarded");
}

#[test]
fn where_max_versions_is_1_a_lost_answer_and_a_second_writer_leave_the_outcome_open() {
    let count = Cell::new(0);
    let world = World::wrapping(move |seen| match seen.method {
        Method::Post if seen.target.contains("/data/") => {
            count.set(count.get() + 1);
            // Version 4 is made, another writer makes version 5, and version 4 is pruned.
            if count.get() == 1 { Reply::Fail(FailureKind::AfterSend) } else { errors(400, MISMATCH) }
        }
        _ if seen.target.contains("version=") => nothing(),
        _ if seen.target.contains("/wrapping/wrap") => json(200, "{}"),
        _ => holding(5, "another", EPOCH),
    });
    let client = world.client(World::settings(1));
    let names = ["secret/data/app", "pruned"];
    tells(world.run(client.kv2_write("secret", "app", &data(), Some(3))), Code::Indeterminate, &names);
    assert_eq!(world.writes(), 2);
    // Who knows that the answer came has lost no more than the race.
    tells(
        world.run(client.kv2_write("secret", "app", &data(), Some(3))),
        Code::CasConflict,
        &["version 5", "follow 3"],
    );
}

#[test]
fn a_number_beyond_2_53_is_refused_before_anything_is_sent_and_named_by_its_place() {
    let world = World::wrapping(|seen| match seen.target.contains("/metadata/") {
        true => nothing(),
        false => secret(3),
    });
    let client = world.client(World::settings(1));
    // The first is rounded, the second comes back with other digits: 1152921504606847000.
    for number in [9_007_199_254_740_993_u64, 1 << 60] {
        let (scalar, whole) = (value!(number), SecretValue::from(value!({"a": [1, {"token": number}]})));
        let place = "'/a/1/token'";
        tells(world.run(client.write(URI, whole.clone())), Code::InvalidValue, &[URI, place, "as text"]);
        tells(world.run(client.write(KEY, whole.clone())), Code::InvalidValue, &[KEY, place, "as text"]);
        tells(world.run(client.write(KEY, scalar.clone())), Code::InvalidValue, &[KEY, "''", "as text"]);
        tells(world.run(client.rotate(KEY, scalar)), Code::InvalidValue, &[KEY, "as text"]);
        for cas in [None, Some(3)] {
            let write = client.kv2_write("secret", "app", &whole, cas);
            tells(world.run(write), Code::InvalidValue, &["secret/app", place, "as text"]);
        }
        let given = client.rotation().value(whole.clone());
        tells(world.run(client.rotate_with(URI, &given)), Code::InvalidValue, &[URI, place, "as text"]);
    }
    assert!(world.seen().is_empty());

    // What is made of the secret that is there is looked at as soon as it is made.
    let made = client.rotation().make(|_, _| value!({"n": u64::MAX}));
    tells(world.run(client.rotate_with(URI, &made)), Code::InvalidValue, &[URI, "'/n'", "as text"]);
    assert_eq!(world.writes(), 0);

    // What others wrote is no error: it goes back as it came.
    let version = Cell::new(3);
    let world = World::new(move |seen| match seen.method {
        Method::Get => {
            let (data, version) = (r#"{"n":1152921504606847000}"#, version.get());
            let metadata = format!(r#"{{"created_time":"{EPOCH}","deletion_time":"","version":{version}}}"#);
            json(200, format!(r#"{{"data":{{"data":{data},"metadata":{metadata}}}}}"#))
        }
        _ => {
            version.set(version.get() + 1);
            written(version.get())
        }
    });
    let client = world.client(World::settings(1));
    world.run(client.write(KEY, "x")).unwrap();
    assert_eq!(world.seen()[1].body, r#"{"data":{"n":1152921504606847000,"token":"x"},"options":{"cas":3}}"#);
    let read = world.run(client.read(URI)).unwrap();
    world.run(client.write(URI, read.expose().clone())).unwrap();
}

#[test]
fn a_path_that_ends_in_a_slash_or_no_versions_are_told_before_anything_is_sent() {
    let world = World::new(|_| nothing());
    let client = world.client(World::settings(1));
    let folder = "openbao+kv2://secret/app/";
    tells(world.run(client.read(folder)), Code::TrailingSlash, &[]);
    tells(world.run(client.write(folder, data())), Code::TrailingSlash, &[]);
    tells(world.run(client.delete(folder)), Code::TrailingSlash, &[]);
    let read = client.kv2_read("secret", "app/", None, ReadOptions::new());
    tells(world.run(read), Code::TrailingSlash, &[]);
    tells(world.run(client.kv2_write("secret", "app/", &data(), None)), Code::TrailingSlash, &[]);
    tells(world.run(client.kv2_patch("secret", "app/", &data(), None)), Code::TrailingSlash, &[]);
    tells(world.run(client.kv2_delete("secret", "app/", &[])), Code::TrailingSlash, &[]);
    tells(world.run(client.kv2_delete_key("secret", "app/")), Code::TrailingSlash, &[]);
    tells(world.run(client.kv2_versions("secret", "app/")), Code::TrailingSlash, &[]);
    tells(client.kv2_list("secret", "a//b"), Code::IllegalSegment, &[]);

    for none in [&[][..], &[0], &[1, 0]] {
        tells(world.run(client.kv2_undelete("secret", "app", none)), Code::InvalidVersion, &["version"]);
        tells(world.run(client.kv2_destroy("secret", "app", none)), Code::InvalidVersion, &["version"]);
        tells(world.run(client.undelete(URI, none)), Code::InvalidVersion, &["version"]);
        tells(world.run(client.destroy(URI, none)), Code::InvalidVersion, &["version"]);
    }
    assert!(world.seen().is_empty());
}

#[test]
fn a_time_of_less_than_a_second_is_not_taken_for_none() {
    let world = World::new(|seen| {
        assert!(seen.body.contains("\"secret_id_ttl\":1,"), "{}", seen.body);
        json(204, "")
    });
    let client = world.client(World::settings(1));
    let roles = client.sys().app_role("approle").unwrap();
    let role = Role::new(["default"]).secret_id_ttl(Duration::from_millis(500));
    world.run(roles.put_role("app", &role)).unwrap();
    // Wrapped for no time, it would come back as it is.
    tells(world.run(roles.wrapped_secret_id("app", Duration::ZERO)), Code::RequestRejected, &["ttl", "a second"]);
    assert_eq!(world.seen().len(), 1);
}

#[test]
fn metadata_over_its_limits_is_told_by_place_and_limit_before_anything_is_sent() {
    let world = World::wrapping(|seen| if seen.method == Method::Get { nothing() } else { json(204, "") });
    let client = world.client(World::settings(1));
    let new = MetadataChange::new;
    let many = |keys: usize| (0..keys).fold(new(), |change, i| change.custom(format!("key{i}"), "canary"));
    let key = |bytes: usize| new().custom("canary".repeat(30).split_at(bytes).0, "x");
    let value = |bytes: usize| new().custom("key", "canary".repeat(100).split_at(bytes).0);
    for (change, names) in [
        (many(65), &["more than 64 keys"][..]),
        (key(129), &["key 1 of custom_metadata has 129 bytes", "1 to 128"]),
        (key(0), &["key 1 of custom_metadata has 0 bytes"]),
        (value(513), &["value 1 of custom_metadata has 513 bytes", "1 to 512"]),
        (value(0), &["value 1 of custom_metadata has 0 bytes"]),
        (new().delete_version_after(Duration::MAX), &["292 years"]),
        // Rounded up to seconds, it is more than OpenBao counts.
        (new().delete_version_after(Duration::from_nanos(i64::MAX as u64)), &["292 years"]),
    ] {
        let names: Vec<_> = names.iter().copied().chain(["secret/metadata/app"]).collect();
        let written = client.kv2_write_metadata("secret", "app", &change, None);
        tells(world.run(written), Code::RequestRejected, &names);
        tells(world.run(client.kv2_patch_metadata("secret", "app", &change, None)), Code::RequestRejected, &names);
    }
    let removed = new().remove_custom("canary");
    let written = client.kv2_write_metadata("secret", "app", &removed, None);
    tells(world.run(written), Code::RequestRejected, &["by a patch, not by a write"]);
    let owner = "canary".repeat(100);
    tells(world.run(client.set_owner(URI, &owner)), Code::RequestRejected, &["secret/metadata/app", "1 to 512"]);
    assert!(world.seen().is_empty());
    // What is right at the limits is sent.
    for change in [many(64), key(128), value(512)] {
        world.run(client.kv2_write_metadata("secret", "app", &change, None)).unwrap();
    }
}

#[test]
fn times_that_openbao_can_not_count_are_told_before_anything_is_sent() {
    let world = World::new(|_| json(204, ""));
    let client = world.client(World::settings(1));
    let roles = client.sys().app_role("approle").unwrap();
    let role = || Role::new(["app"]);
    for (role, name) in [
        (role().token_ttl(Duration::MAX), "token_ttl"),
        (role().token_max_ttl(Duration::MAX), "token_max_ttl"),
        (role().secret_id_ttl(Duration::MAX), "secret_id_ttl"),
    ] {
        tells(
            world.run(roles.put_role("app", &role)),
            Code::RequestRejected,
            &["auth/approle/role/app", name, "292 years"],
        );
    }
    for seconds in [i64::MAX, i64::MIN, 9_223_372_037] {
        let mut config = Kv2Config::default();
        config.delete_version_after = seconds;
        let written = client.kv2_write_config("secret", &config);
        tells(world.run(written), Code::RequestRejected, &["secret/config", "292 years"]);
    }
    assert!(world.seen().is_empty());
    world.run(roles.put_role("app", &role().token_ttl(Duration::from_secs(9_223_372_036)))).unwrap();
}

#[test]
fn a_patch_of_no_object_is_told_before_anything_is_sent_and_one_that_is_not_allowed_names_the_right() {
    let world = World::wrapping(|seen| if seen.method == Method::Get { secret(3) } else { no_right() });
    let client = world.client(World::settings(1));
    let scalar = SecretValue::from(CANARY_VALUE);
    let names = ["secret/app", "an object"];
    tells(world.run(client.kv2_patch("secret", "app", &scalar, None)), Code::InvalidValue, &names);
    assert!(world.seen().is_empty());
    // Neither `patch` nor `update`: the client can't make it good by a write.
    let names = ["secret/data/app", "mount/data/"];
    tells(world.run(client.kv2_patch("secret", "app", &data(), None)), Code::PermissionDenied, &names);
    let methods: Vec<_> = world.seen().iter().map(|seen| seen.method).collect();
    assert_eq!(methods, [Method::Get, Method::Patch, Method::Post]);
}
