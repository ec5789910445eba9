//! Copies and moves on virtual time: nothing stale is copied, nothing is overwritten unasked, nothing comes twice, and
//! a move that fails half-way leaves the source. And the guard before all operations on a URI. The same on real servers
//! is in tests/openbao/tests/kv2.rs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::cell::Cell;
use std::rc::Rc;

use baokit_core::http::{FailureKind, Method};
use baokit_core::{Client, Code, Copied, Error};
use scenario::{
    EPOCH, MISMATCH, Reply, SECOND, Seen, World, errors, gone, holding, json, no_right, nothing, secret, written,
};
use serde_json::json as value;

const FROM: &str = "openbao+kv2://secret/from";
const TO: &str = "openbao+kv2://secret/to";

/// A server of two secrets, `from` at version 3 and `to` at version `newest`, which answers changes so.
fn world(newest: u64, mut change: impl FnMut(&Seen) -> Reply + 'static) -> World {
    World::wrapping(move |seen| match (seen.method, seen.target.as_str()) {
        (Method::Get, target) if target.starts_with("/v1/secret/data/from") => secret(3),
        (Method::Get, "/v1/secret/data/to") if newest == 0 => nothing(),
        (Method::Get, "/v1/secret/data/to") => holding(newest, "there", EPOCH),
        (_, target) if target.starts_with("/v1/secret/") => change(seen),
        _ => json(200, "{}"),
    })
}

fn sent(world: &World) -> Vec<String> {
    let is_change = |seen: &Seen| seen.method != Method::Get && seen.target.starts_with("/v1/secret/");
    let text = |seen: Seen| format!("{} {}", seen.target.trim_start_matches("/v1/secret/"), seen.body);
    world.seen().into_iter().filter(is_change).map(text).collect()
}

fn client(world: &World) -> Client<World> {
    world.client(World::settings(2).deadline(5 * SECOND))
}

#[track_caller]
fn code(result: Result<Copied, Error>) -> Code {
    let error = result.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    error.code()
}

const COPY: &str = r#"data/to {"data":{"token":"canary-value"},"options":{"cas":0}}"#;
const DELETION: &str = r#"delete/from {"versions":[3]}"#;

#[test]
fn a_move_copies_first_and_then_deletes_the_version_that_it_copied() {
    let world = world(0, |seen| if seen.target.ends_with("to") { written(1) } else { json(204, "") });
    // The deletion is looked at, since this server does not say how far it is.
    let moved = code(world.run(client(&world).move_to(FROM, TO, false)));
    assert_eq!(moved, Code::Indeterminate, "the source is still there");
    assert_eq!(sent(&world)[..2], [COPY, DELETION]);

    let deleted = Rc::new(Cell::new(false));
    let world = World::wrapping(move |seen| match (seen.method, seen.target.as_str()) {
        (Method::Get, _) if deleted.get() => gone(3),
        (Method::Get, _) => secret(3),
        (_, "/v1/secret/data/to") => written(1),
        _ => {
            deleted.set(true);
            json(204, "")
        }
    });
    let moved = world.run(client(&world).move_to(FROM, TO, false)).unwrap();
    assert_eq!((moved.source_version, moved.old_version, moved.new_version), (3, 0, 1));
    assert_eq!(sent(&world), [COPY, DELETION]);
}

#[test]
fn a_move_whose_copy_fails_leaves_the_source() {
    type Server = fn(&Seen) -> Reply;
    let cases: [(u64, Server, Code); 3] = [
        (7, |_| errors(400, MISMATCH), Code::CasConflict),
        (0, |_| no_right(), Code::PermissionDenied),
        (0, |_| errors(413, "http: request body too large"), Code::ValueTooLarge),
    ];
    for (newest, server, wanted) in cases {
        let world = world(newest, server);
        assert_eq!(code(world.run(client(&world).move_to(FROM, TO, false))), wanted);
        assert!(sent(&world).iter().all(|sent| sent == COPY), "{:?}", sent(&world));
    }
    // Not known to have been made: the source is left as well.
    let world = world(0, |_| Reply::Fail(FailureKind::AfterSend));
    assert_eq!(code(world.run(client(&world).move_to(FROM, TO, false))), Code::Indeterminate);
    assert!(sent(&world).iter().all(|sent| sent == COPY));
}

#[test]
fn a_move_that_can_not_delete_the_source_says_that_the_copy_is_made() {
    let world = world(0, |seen| if seen.target.ends_with("to") { written(1) } else { no_right() });
    let error = world.run(client(&world).move_to(FROM, TO, false)).unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    let text = error.to_string();
    assert!(text.contains(FROM) && text.contains("the copy is made as version 1 of openbao+kv2://secret/to"), "{text}");
}

#[test]
fn a_copy_whose_answer_was_lost_is_made_once() {
    let tries = Rc::new(Cell::new(0));
    let count = tries.clone();
    let world = World::wrapping(move |seen| match (seen.method, tries.get()) {
        (Method::Get, _) if seen.target.ends_with("from") => secret(3),
        (Method::Get, _) => secret(1),
        (_, 0) => {
            tries.set(1);
            Reply::Fail(FailureKind::AfterSend)
        }
        _ => errors(400, MISMATCH),
    });
    assert_eq!(world.run(client(&world).copy(FROM, TO, false)).unwrap().new_version, 1);
    assert_eq!((sent(&world), count.get()), (vec![COPY.to_owned(); 2], 1));
}

#[test]
fn a_copy_that_overwrites_follows_what_is_there_and_starts_over_where_another_comes_in_between() {
    let newest = Rc::new(Cell::new(7));
    let world = World::wrapping(move |seen| match (seen.method, newest.get()) {
        (Method::Get, newest) if seen.target.ends_with("to") => holding(newest, "there", EPOCH),
        (Method::Get, _) => secret(3),
        (_, 7) => {
            newest.set(8);
            errors(400, MISMATCH)
        }
        _ => written(9),
    });
    let copied = world.run(client(&world).copy(FROM, TO, true)).unwrap();
    assert_eq!((copied.source_version, copied.old_version, copied.new_version), (3, 8, 9));
    assert!(sent(&world)[1].ends_with(r#""options":{"cas":8}}"#));
}

#[test]
fn what_is_copied_is_what_the_leader_has() {
    let world = World::wrapping(|seen| match (seen.method, seen.is_wrapped()) {
        (Method::Get, true) => holding(4, "fresh", EPOCH),
        (Method::Get, false) => secret(3),
        _ => written(1),
    });
    assert_eq!(world.run(client(&world).copy(FROM, TO, false)).unwrap().source_version, 4);
    assert!(sent(&world)[0].contains("fresh"));
    // A version that is gone.
    let world = World::wrapping(|seen| if seen.method == Method::Get { gone(3) } else { written(1) });
    assert_eq!(code(world.run(client(&world).copy(FROM, TO, false))), Code::SecretDeleted);
    assert!(sent(&world).is_empty());
}

#[test]
fn a_uri_that_is_not_what_the_operation_takes_is_refused_before_anything_is_sent() {
    let world = World::new(|_| nothing());
    let client = client(&world);
    let (other, pinned, key) =
        ("openbao+kv2://other/x", "openbao+kv2://secret/x?version=1", "openbao+kv2://secret/x#k");
    for (from, to, wanted) in [
        (FROM, other, Code::TenantMountMismatch),
        (other, TO, Code::TenantMountMismatch),
        (FROM, pinned, Code::VersionNotAllowed),
        (key, TO, Code::FragmentNotAllowed),
        (FROM, key, Code::FragmentNotAllowed),
        (FROM, FROM, Code::RequestRejected),
    ] {
        assert_eq!(code(world.run(client.copy(from, to, true))), wanted, "{from} {to}");
        assert_eq!(code(world.run(client.move_to(from, to, true))), wanted, "{from} {to}");
    }
    assert_eq!(code(world.run(client.move_to(pinned, TO, true))), Code::VersionNotAllowed);
    for (uri, wanted) in [
        (other, Code::TenantMountMismatch),
        (pinned, Code::VersionNotAllowed),
        (key, Code::FragmentNotAllowed),
        ("openbao+kv2://secret/x/", Code::TrailingSlash),
        ("hashicorp+kv2://secret/x", Code::UnsupportedEngine),
    ] {
        assert_eq!(world.run(client.undelete(uri, &[1])).unwrap_err().code(), wanted, "{uri}");
        assert_eq!(world.run(client.destroy(uri, &[1])).unwrap_err().code(), wanted, "{uri}");
        assert_eq!(world.run(client.metadata(uri)).unwrap_err().code(), wanted, "{uri}");
        assert_eq!(world.run(client.set_owner(uri, "x")).unwrap_err().code(), wanted, "{uri}");
        if uri != key {
            assert_eq!(world.run(client.patch(uri, value!({}))).unwrap_err().code(), wanted, "{uri}");
        }
    }
    assert!(world.seen().is_empty());
}

#[test]
fn a_source_that_is_made_anew_during_a_move_keeps_its_version() {
    let copied = std::rc::Rc::new(std::cell::Cell::new(false));
    let is_copied = copied.clone();
    let world = World::wrapping(move |seen| match seen.method {
        Method::Post if seen.target.contains("/data/to") => {
            is_copied.set(true);
            scenario::written(1)
        }
        Method::Post if seen.target.starts_with("/v1/secret/") => scenario::json(204, ""),
        _ if is_copied.get() => scenario::holding(1, "another", "2026-03-01T00:00:00Z"),
        _ => scenario::secret(1),
    });
    let client = world.client(World::settings(1).deadline(3 * scenario::SECOND));
    let error = world.run(client.move_to("openbao+kv2://secret/from", "openbao+kv2://secret/to", false)).unwrap_err();
    assert_eq!(error.code(), Code::CasConflict, "{error}");
    assert!(!world.targets().iter().any(|target| target.contains("/delete/")), "nothing was deleted");
}

#[cfg(feature = "broken-rules")]
mod broken {
    use super::*;
    use baokit_core::Rule;

    #[test]
    fn without_its_number_a_move_deletes_what_another_has_added() {
        let deletions = |rule| {
            let world = world(0, |seen| if seen.target.ends_with("to") { written(1) } else { json(204, "") });
            let _ = world.run(client(&world).without(rule).move_to(FROM, TO, false));
            sent(&world)[1].clone()
        };
        assert_eq!(deletions(Rule::WatchIsJudged), DELETION, "another rule makes no difference");
        assert_eq!(deletions(Rule::MoveNamesItsVersion), "data/from ");
    }
}
