//! KVv2 below the URI level, on virtual time: what is sent again, what is believed, and what a right that is missing
//! is made good by. Lists are in kv2_lists.rs; the same calls against real
//! servers are in tests/openbao/tests/kv2.rs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::cell::Cell;
use std::rc::Rc;

use baokit_core::http::{FailureKind, Method};
use baokit_core::{Code, Error, MetadataChange, ReadOptions, SecretValue};
use scenario::{
    EPOCH, MISMATCH, Reply, SECOND, Seen, World, at_index, errors, gone, holding, json, no_right, nothing, secret,
    written,
};
use serde_json::json as value;

const LATER: &str = "2026-03-01T00:00:00Z";
const METADATA_MISMATCH: &str = "metadata check-and-set parameter does not match the current version";

fn changes() -> SecretValue {
    SecretValue::from(value!({"token": "new"}))
}

fn owner() -> MetadataChange {
    MetadataChange::new().custom("owner", "canary")
}

/// The metadata of a secret of three versions; `owner` is told where it is not empty.
fn metadata(version: u64, owner: &str) -> Reply {
    let custom = if owner.is_empty() { value!(null) } else { value!({"owner": owner, "kept": "x"}) };
    let about = value!({"created_time": EPOCH, "deletion_time": "", "destroyed": false});
    let document = value!({"data": {
        "created_time": EPOCH, "updated_time": EPOCH, "current_version": 3, "oldest_version": 0, "max_versions": 0,
        "cas_required": false, "metadata_cas_required": false, "delete_version_after": "0s",
        "current_metadata_version": version, "custom_metadata": custom, "versions": {"3": about},
    }});
    json(200, document.to_string())
}

/// What was sent that changes a secret, as method, path and body.
fn sent(world: &World) -> Vec<String> {
    let is_change = |seen: &Seen| seen.method != Method::Get && seen.target.starts_with("/v1/secret/");
    let text = |seen: Seen| {
        format!("{} {} {}", seen.method.as_str(), seen.target.trim_start_matches("/v1/secret/"), seen.body)
    };
    world.seen().into_iter().filter(is_change).map(text).collect()
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Result<T, Code> {
    result.map_err(|error| {
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        error.code()
    })
}

/// Loses the answer to the first request that this is true of.
fn losing(is_lost: fn(&Seen) -> bool, mut server: impl FnMut(&Seen) -> Reply + 'static) -> World {
    let mut first = true;
    World::wrapping(move |seen| {
        if is_lost(seen) && std::mem::take(&mut first) {
            return Reply::Fail(FailureKind::AfterSend);
        }
        server(seen)
    })
}

#[test]
fn a_lost_answer_to_a_destruction_is_made_good_by_another_and_to_an_undelete_by_a_look() {
    let is_post = |seen: &Seen| seen.method == Method::Post && seen.target.starts_with("/v1/secret/");
    let world = losing(is_post, |seen| match seen.method {
        Method::Post => json(204, ""),
        _ => gone(2),
    });
    let client = world.client(World::settings(1));
    world.run(client.kv2_destroy("secret", "app", &[1, 2])).unwrap_err();
    // Deleted is not destroyed: it is told so only when it is.
    assert_eq!(sent(&world)[..2], vec![r#"POST destroy/app {"versions":[1,2]}"#; 2]);

    let undelete = |seen_before: bool, held: fn() -> Reply| {
        let is_lost = Rc::new(Cell::new(false));
        let lost = is_lost.clone();
        let world = World::wrapping(move |seen| match seen.method {
            Method::Post if seen.target.starts_with("/v1/secret/") => {
                lost.set(true);
                Reply::Fail(FailureKind::AfterSend)
            }
            _ if lost.get() => held(),
            _ => gone(2),
        });
        let client = world.client(World::settings(2));
        if seen_before {
            let read = client.kv2_read("secret", "app", Some(2), ReadOptions::new());
            assert_eq!(code(world.run(read)).unwrap_err(), Code::VersionDeleted);
        }
        let result = code(world.run(client.kv2_undelete("secret", "app", &[2])));
        assert_eq!(sent(&world), [r#"POST undelete/app {"versions":[2]}"#]);
        result
    };
    assert_eq!(undelete(true, || secret(2)), Ok(()));
    assert_eq!(undelete(true, || gone(2)), Err(Code::Indeterminate));
    assert_eq!(undelete(true, no_right), Err(Code::Indeterminate));
    // It may never have been deleted, and ours still be on its way.
    assert_eq!(undelete(false, || secret(2)), Err(Code::Indeterminate));
}

#[test]
fn a_change_of_versions_that_a_node_behind_took_for_nothing_is_sent_again() {
    let run = |endpoint: &'static str, before: fn() -> Reply, after: fn() -> Reply| {
        let count = Rc::new(Cell::new(0));
        let seen_count = count.clone();
        let world = World::wrapping(move |seen| match seen.method {
            Method::Post if seen.target.starts_with("/v1/secret/") => {
                count.set(count.get() + 1);
                json(204, "")
            }
            _ if seen_count.get() < 2 => before(),
            _ => after(),
        });
        let client = world.client(World::settings(2).deadline(5 * SECOND));
        let result = match endpoint {
            "undelete" => world.run(client.kv2_undelete("secret", "app", &[2])),
            "destroy" => world.run(client.kv2_destroy("secret", "app", &[2])),
            _ => world.run(client.kv2_delete("secret", "app", &[2])),
        };
        result.unwrap();
        assert_eq!(sent(&world), vec![format!(r#"POST {endpoint}/app {{"versions":[2]}}"#); 2]);
    };
    run("undelete", || gone(2), || secret(2));
    run("delete", || secret(2), || gone(2));
    run("destroy", || gone(2), destroyed);
}

fn destroyed() -> Reply {
    let body = format!(
        r#"{{"data":{{"data":null,"metadata":{{"created_time":"{EPOCH}","custom_metadata":null,"deletion_time":"","destroyed":true,"version":2}}}}}}"#
    );
    let Reply::Answer(response) = json(404, body) else { panic!("an answer") };
    Reply::Gone(response)
}

#[test]
fn where_the_servers_say_how_far_they_are_a_change_takes_one_request() {
    let world =
        World::wrapping(|seen| at_index(if seen.method == Method::Get { secret(2) } else { json(204, "") }, "c", 7));
    let client = world.client(World::settings(3));
    world.run(client.kv2_read("secret", "app", None, ReadOptions::new())).unwrap();
    world.run(client.kv2_undelete("secret", "app", &[2])).unwrap();
    world.run(client.kv2_destroy("secret", "app", &[1])).unwrap();
    world.run(client.kv2_delete_key("secret", "app")).unwrap();
    assert_eq!(world.seen().len(), 4);
}

#[test]
fn a_node_that_is_behind_is_not_believed_about_versions_that_were_destroyed_or_brought_back() {
    // Everyday reads show what was before.
    let run = |change: &str, before: fn() -> Reply, after: fn() -> Reply| {
        let world = World::wrapping(move |seen| match (seen.method, seen.is_wrapped()) {
            (Method::Post, _) => json(204, ""),
            (_, true) => after(),
            _ => before(),
        });
        let client = world.client(World::settings(1));
        match change {
            "undelete" => world.run(client.kv2_undelete("secret", "app", &[2])).unwrap(),
            _ => world.run(client.kv2_destroy("secret", "app", &[2])).unwrap(),
        }
        let read = client.kv2_read("secret", "app", Some(2), ReadOptions::new());
        code(world.run(read)).map(|secret| secret.version())
    };
    assert_eq!(run("undelete", || gone(2), || secret(2)), Ok(2));
    assert_eq!(run("destroy", || secret(2), destroyed), Err(Code::VersionDestroyed));
}

#[test]
fn a_key_that_was_deleted_whole_is_not_shown_again_and_its_floor_falls_by_a_strong_read() {
    let count = Rc::new(Cell::new(0));
    let deleted = count.clone();
    let world = World::wrapping(move |seen| match (seen.method, seen.is_wrapped()) {
        (Method::Delete, _) => {
            deleted.set(deleted.get() + 1);
            at_index(json(204, ""), "c", 9)
        }
        _ if seen.target == "/v1/sys/wrapping/wrap" => json(200, "{}"),
        // The node that answers everyday reads is behind, and says that it is not.
        (_, false) if count.get() == 0 => at_index(secret(3), "c", 9),
        (_, false) if seen.at < 20 * SECOND => at_index(nothing(), "c", 9),
        (_, true) if count.get() == 0 => secret(3),
        _ => nothing(),
    });
    let client = world.client(World::settings(1));
    world.run(client.kv2_read("secret", "app", None, ReadOptions::new())).unwrap();
    world.run(client.kv2_delete_key("secret", "app")).unwrap();
    let read = client.kv2_read("secret", "app", None, ReadOptions::new());
    assert_eq!(code(world.run(read)).unwrap_err(), Code::SecretNotFound);
    assert_eq!(world.notices().len(), 1, "the floor fell: {:?}", world.notices());
    assert_eq!(sent(&world), ["DELETE metadata/app "]);
}

#[test]
fn a_deletion_of_a_whole_key_is_sent_once_and_again_only_for_what_was_seen_before() {
    let world = losing(|seen| seen.method == Method::Delete, |_| secret(3));
    let client = world.client(World::settings(2));
    assert_eq!(code(world.run(client.kv2_delete_key("secret", "app"))), Err(Code::Indeterminate));
    assert_eq!(sent(&world).len(), 1);

    let behind = |created: &'static str| {
        let count = Rc::new(Cell::new(0));
        let deleted = count.clone();
        let world = World::wrapping(move |seen| match seen.method {
            Method::Delete => {
                deleted.set(deleted.get() + 1);
                json(204, "")
            }
            _ if count.get() == 2 && seen.target == "/v1/sys/wrapping/wrap" => json(200, "{}"),
            _ if count.get() == 2 => nothing(),
            _ => holding(3, "x", if count.get() == 0 { EPOCH } else { created }),
        });
        let client = world.client(World::settings(2));
        world.run(client.kv2_read("secret", "app", None, ReadOptions::new())).unwrap();
        (code(world.run(client.kv2_delete_key("secret", "app"))), sent(&world).len())
    };
    assert_eq!(behind(EPOCH), (Ok(()), 2));
    assert_eq!(behind(LATER), (Err(Code::Indeterminate), 1), "a key made anew stays");
}

#[test]
fn a_patch_names_the_version_that_was_read_and_is_sent_again_under_it() {
    let is_patch = |seen: &Seen| seen.method == Method::Patch;
    let patched = r#"PATCH data/app {"data":{"token":"new"},"options":{"cas":3}}"#;
    let world = losing(is_patch, |seen| if seen.method == Method::Patch { written(4) } else { secret(3) });
    let client = world.client(World::settings(2));
    let change = world.run(client.kv2_patch("secret", "app", &changes(), None)).unwrap();
    assert_eq!((change.old_version, change.new_version, sent(&world)), (3, 4, vec![patched.to_owned(); 2]));

    // The first try was carried out.
    let is_sent = Rc::new(Cell::new(0));
    let sent_before = is_sent.clone();
    let world = World::wrapping(move |seen| match (seen.method, is_sent.get()) {
        (Method::Patch, tries) => {
            sent_before.set(tries + 1);
            if tries == 0 { Reply::Fail(FailureKind::AfterSend) } else { errors(400, MISMATCH) }
        }
        (_, 0) => secret(3),
        _ => holding(4, "new", EPOCH),
    });
    let client = world.client(World::settings(1));
    assert_eq!(world.run(client.kv2_patch("secret", "app", &changes(), None)).unwrap().new_version, 4);

    // Another writer came in between: it starts over, unless the caller named the version.
    let run = |cas: Option<u64>| {
        let newest = Rc::new(Cell::new(3));
        let world = World::wrapping(move |seen| match (seen.method, newest.get()) {
            (Method::Patch, 3) => {
                newest.set(4);
                errors(400, MISMATCH)
            }
            (Method::Patch, _) => written(5),
            (_, newest) => holding(newest, "theirs", EPOCH),
        });
        let client = world.client(World::settings(1));
        code(world.run(client.kv2_patch("secret", "app", &changes(), cas))).map(|change| change.new_version)
    };
    assert_eq!((run(None), run(Some(3)), run(Some(2))), (Ok(5), Err(Code::CasConflict), Err(Code::CasConflict)));
}

#[test]
fn a_patch_that_is_not_to_be_had_is_merged_here_and_written_under_the_same_version() {
    let refusals: [fn() -> Reply; 5] = [
        no_right,
        || errors(405, "1 error occurred:\n\t* unsupported operation\n\n"),
        || errors(415, "PATCH requires Content-Type of application/merge-patch+json, provided application/json"),
        || errors(400, "no such method"),
        || scenario::raw(405, "text/html", b"a proxy".to_vec()),
    ];
    for refusal in refusals {
        let world = World::wrapping(move |seen| match seen.method {
            Method::Patch => refusal(),
            Method::Get => secret(3),
            _ => written(4),
        });
        let client = world.client(World::settings(1));
        let patch = SecretValue::from(value!({"a": {"b": null, "c": 1}}));
        world.run(client.kv2_patch("secret", "app", &patch, None)).unwrap();
        let body = r#"POST data/app {"data":{"a":{"c":1},"token":"canary-value"},"options":{"cas":3}}"#;
        assert_eq!(sent(&world)[1..], [body]);
    }

    // After a try in doubt, a refusal is no reason to write.
    let world = losing(
        |seen| seen.method == Method::Patch,
        |seen| if seen.method == Method::Patch { no_right() } else { secret(3) },
    );
    let client = world.client(World::settings(1));
    assert_eq!(code(world.run(client.kv2_patch("secret", "app", &changes(), None))).unwrap_err(), Code::Indeterminate);
    assert!(sent(&world).iter().all(|sent| sent.starts_with("PATCH")));
}

#[test]
fn who_may_patch_and_not_read_patches_without_a_version_and_once() {
    let world = World::wrapping(|seen| if seen.method == Method::Patch { written(8) } else { no_right() });
    let client = world.client(World::settings(1));
    let change = world.run(client.kv2_patch("secret", "app", &changes(), None)).unwrap();
    assert_eq!((change.new_version, sent(&world)), (8, vec![r#"PATCH data/app {"data":{"token":"new"}}"#.to_owned()]));

    let world = losing(|seen| seen.method == Method::Patch, |_| no_right());
    let client = world.client(World::settings(1));
    assert_eq!(code(world.run(client.kv2_patch("secret", "app", &changes(), None))).unwrap_err(), Code::Indeterminate);
    assert_eq!(sent(&world).len(), 1);
}

#[test]
fn a_patch_of_what_a_node_does_not_have_is_settled_by_a_strong_read() {
    let run = |strong: fn() -> Reply| {
        let world = World::wrapping(move |seen| match (seen.method, seen.place(), seen.is_wrapped()) {
            (Method::Patch, 1, _) => json(404, ""),
            (Method::Patch, ..) => written(4),
            (_, _, true) => strong(),
            _ => secret(3),
        });
        let client = world.client(World::settings(2).deadline(5 * SECOND));
        code(world.run(client.kv2_patch("secret", "app", &changes(), None))).map(|change| change.new_version)
    };
    assert_eq!(run(|| gone(3)), Err(Code::SecretDeleted));
    assert_eq!(run(|| secret(3)), Ok(4));
}

/// A client changes metadata on such a server.
fn change(world: &World, cas: Option<u64>, merges: bool) -> Result<(), Code> {
    let client = world.client(World::settings(2).deadline(5 * SECOND));
    code(match merges {
        true => world.run(client.kv2_patch_metadata("secret", "app", &owner(), cas)),
        false => world.run(client.kv2_write_metadata("secret", "app", &owner(), cas)),
    })
}

#[test]
fn metadata_is_changed_under_the_version_that_was_read_and_sent_again_under_it() {
    let is_change = |seen: &Seen| seen.method != Method::Get;
    for (merges, method) in [(true, "PATCH"), (false, "POST")] {
        let world = losing(is_change, |seen| if seen.method == Method::Get { metadata(5, "") } else { json(204, "") });
        assert_eq!(change(&world, None, merges), Ok(()));
        let body = r#"{"metadata_cas":5,"custom_metadata":{"owner":"canary"}}"#;
        assert_eq!(sent(&world), vec![format!("{method} metadata/app {body}"); 2]);
    }
}

/// Reads show metadata at a version, before and after the first change was sent; that is lost or not, and all others
/// are a mismatch.
fn mismatches(is_lost: bool, merges: bool, cas: Option<u64>, after: fn() -> Reply) -> (Result<(), Code>, usize) {
    let tries = Rc::new(Cell::new(0));
    let world = World::wrapping(move |seen| match (seen.method, tries.get()) {
        (Method::Get, 0) => metadata(5, ""),
        (Method::Get, _) if seen.target.starts_with("/v1/secret/") => after(),
        _ if !seen.target.starts_with("/v1/secret/") => json(200, "{}"),
        (_, count) => {
            tries.set(count + 1);
            if is_lost && count == 0 { Reply::Fail(FailureKind::AfterSend) } else { errors(400, METADATA_MISMATCH) }
        }
    });
    (change(&world, cas, merges), sent(&world).len())
}

#[test]
fn a_mismatch_of_metadata_is_believed_after_a_strong_read_only() {
    for merges in [true, false] {
        // Our own try.
        assert_eq!(mismatches(true, true, None, || metadata(6, "canary")), (Ok(()), 2));
        // Another writer's, or perhaps ours with another's behind it.
        assert_eq!(mismatches(true, merges, None, || metadata(6, "theirs")), (Err(Code::Indeterminate), 2));
        assert_eq!(mismatches(true, merges, None, || metadata(7, "canary")), (Err(Code::Indeterminate), 2));
        assert_eq!(mismatches(true, merges, None, || metadata(1, "canary")), (Err(Code::Indeterminate), 2));
        // Nothing was lost: a conflict, where the caller named the version.
        assert_eq!(mismatches(false, merges, Some(5), || metadata(6, "theirs")), (Err(Code::CasConflict), 1));
        // A node that is behind is not believed.
        let (result, count) = mismatches(false, merges, Some(5), || metadata(5, ""));
        assert!(result == Err(Code::StaleRead) && count > 2, "{result:?} {count}");
    }
    // A write replaces all: another's key beside ours is another's write.
    assert_eq!(mismatches(true, false, None, || metadata(6, "canary")), (Err(Code::Indeterminate), 2));
}

#[test]
fn where_another_writer_comes_in_between_a_change_of_metadata_starts_over() {
    let version = Rc::new(Cell::new(5));
    let world = World::wrapping(move |seen| match seen.method {
        Method::Get => metadata(version.get(), "theirs"),
        _ if version.get() == 5 => {
            version.set(6);
            errors(400, METADATA_MISMATCH)
        }
        _ => json(204, ""),
    });
    assert_eq!(change(&world, None, true), Ok(()));
    assert_eq!(sent(&world)[1], r#"PATCH metadata/app {"metadata_cas":6,"custom_metadata":{"owner":"canary"}}"#);
}

#[test]
fn without_the_right_to_patch_metadata_is_merged_here_and_written_under_the_same_version() {
    let world = World::wrapping(|seen| match seen.method {
        Method::Get => metadata(5, "theirs"),
        Method::Patch => no_right(),
        _ => json(204, ""),
    });
    assert_eq!(change(&world, None, true), Ok(()));
    let body = r#"{"metadata_cas":5,"custom_metadata":{"kept":"x","owner":"canary"}}"#;
    assert_eq!(sent(&world).last().unwrap(), &format!("POST metadata/app {body}"));
    assert!(!sent(&world)[0].contains("kept"));
}

#[test]
fn who_may_change_metadata_and_not_read_it_sends_the_change_once_and_without_a_version() {
    let world = World::wrapping(|seen| if seen.method == Method::Get { no_right() } else { json(204, "") });
    assert_eq!(change(&world, None, false), Ok(()));
    assert_eq!(sent(&world), [r#"POST metadata/app {"custom_metadata":{"owner":"canary"}}"#]);
    let world = losing(|seen| seen.method == Method::Post, |_| no_right());
    assert_eq!(change(&world, None, false), Err(Code::Indeterminate));
    assert_eq!(sent(&world).len(), 1);
    let world =
        World::wrapping(|seen| if seen.method == Method::Get { no_right() } else { errors(400, METADATA_MISMATCH) });
    assert_eq!(change(&world, Some(2), false), Err(Code::CasConflict));
}

#[test]
fn the_settings_of_a_mount_are_written_once_and_looked_for_after_a_lost_answer() {
    let run = |held: u64| {
        let world = losing(
            |seen| seen.method == Method::Post,
            move |_| {
                json(
                    200,
                    format!(
                        r#"{{"data":{{"max_versions":{held},"cas_required":false,"metadata_cas_required":false,"delete_version_after":"1h0m0s"}}}}"#
                    ),
                )
            },
        );
        let client = world.client(World::settings(2));
        let mut config = world.run(client.kv2_config("secret")).unwrap();
        (config.max_versions, config.delete_version_after) = (7, 3600);
        let result = code(world.run(client.kv2_write_config("secret", &config)));
        assert_eq!(sent(&world).len(), 1);
        result
    };
    assert_eq!((run(7), run(5)), (Ok(()), Err(Code::Indeterminate)));
}

#[test]
fn of_several_versions_each_is_looked_at_before_it_counts_as_done() {
    // A node that is behind answers and does nothing.
    let world = World::wrapping(|seen| match seen.method {
        Method::Post if seen.target.starts_with("/v1/secret/") => scenario::json(204, ""),
        _ if seen.target.contains("version=100") => scenario::nothing(),
        _ => scenario::secret(3),
    });
    let client = world.client(World::settings(2).deadline(5 * scenario::SECOND));
    let error = world.run(client.kv2_destroy("secret", "app", &[3, 100])).unwrap_err();
    assert_eq!(error.code(), Code::Indeterminate);

    // The answer to an undeletion is lost, and another client brought one of the two back.
    let lost = std::rc::Rc::new(std::cell::Cell::new(false));
    let is_lost = lost.clone();
    let world = World::wrapping(move |seen| match seen.method {
        Method::Post if seen.target.starts_with("/v1/secret/") => {
            is_lost.set(true);
            scenario::Reply::Fail(baokit_core::http::FailureKind::AfterSend)
        }
        _ if is_lost.get() && seen.target.contains("version=2") => scenario::secret(2),
        _ if seen.target.contains("version=2") => scenario::gone(2),
        _ => scenario::gone(3),
    });
    let client = world.client(World::settings(2));
    for version in [2, 3] {
        world.run(client.kv2_read("secret", "app", Some(version), baokit_core::ReadOptions::new())).unwrap_err();
    }
    let error = world.run(client.kv2_undelete("secret", "app", &[2, 3])).unwrap_err();
    assert_eq!(error.code(), Code::Indeterminate);
}
