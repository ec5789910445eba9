//! Writes whose answer is lost, or a mismatch, on virtual time: what is there decides.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use baokit_core::http::{FailureKind, Method};
use baokit_core::{Client, Code, Error, SecretValue};
use scenario::{
    EPOCH, MISMATCH, Reply, SECOND, Seen, World, errors, gone, holding, json, no_right, nothing, redirect, secret,
    written,
};

const URI: &str = "openbao+kv2://secret/app#token";
const DATA: &str = "/v1/secret/data/app";
const LATER: &str = "2026-03-01T00:00:00Z";

fn data() -> SecretValue {
    SecretValue::from(serde_json::json!({"token": "new"}))
}

fn is_write(seen: &Seen) -> bool {
    seen.method == Method::Post && seen.target == DATA
}

fn write(world: &World, client: &Client<World>, cas: u64) -> Result<u64, Error> {
    world.run(client.kv2_write("secret", "app", &data(), Some(cas))).map(|written| written.version())
}

/// A server that loses the answer to the first write, calls the next a mismatch, and holds this.
fn after_a_lost_answer(mut held: impl FnMut(&Seen) -> Reply + 'static) -> World {
    let mut first = true;
    World::wrapping(move |seen| match is_write(seen) {
        true if std::mem::take(&mut first) => Reply::Fail(FailureKind::AfterSend),
        true => errors(400, MISMATCH),
        false => held(seen),
    })
}

#[test]
fn a_mismatch_of_a_deposed_leader_is_not_believed_and_the_write_goes_to_another_node() {
    let world = World::wrapping(|seen| match (is_write(seen), seen.place()) {
        (true, 1) => errors(400, MISMATCH),
        (true, _) => written(4),
        (false, 1) => errors(500, "can't store what is wrapped"),
        _ => secret(3),
    });
    let client = world.client(World::settings(2));
    assert_eq!(write(&world, &client, 3).unwrap(), 4);
    let writes: Vec<_> = world.seen().iter().filter(|seen| is_write(seen)).map(Seen::place).collect();
    assert_eq!(writes, [1, 2]);
    assert_eq!(write(&world, &client, 3).unwrap(), 4);
    assert_eq!(world.places().last(), Some(&2), "the one that was wrong is suspect");
    assert!(world.elapsed() < SECOND);
}

#[test]
fn a_mismatch_that_a_strong_read_confirms_is_a_conflict_of_one_write_with_node_and_tries() {
    for newest in [4, 9, 2] {
        let world = World::wrapping(move |seen| if is_write(seen) { errors(400, MISMATCH) } else { secret(newest) });
        let client = world.client(World::settings(1));
        let error = write(&world, &client, 3).unwrap_err();
        assert_eq!((error.code(), world.writes(), world.seen().len()), (Code::CasConflict, 1, 3));
        assert_eq!((error.node(), error.tries()), (Some("http://127.0.0.1:1"), 1));
    }
}

#[test]
fn a_mismatch_that_nothing_explains_is_never_called_a_conflict() {
    // Behind one address there are nodes that are behind, and the leader can't be reached.
    let world = World::wrapping(|seen| if is_write(seen) { errors(400, MISMATCH) } else { secret(3) });
    let client = world.client(World::settings(1).deadline(2 * SECOND));
    let error = write(&world, &client, 3).unwrap_err();
    assert_eq!((error.code(), error.node()), (Code::StaleRead, Some("http://127.0.0.1:1")), "{error}");
    assert!(world.elapsed() > SECOND && world.elapsed() <= 2 * SECOND);
    assert!(world.seen().len() < 70, "{}", world.seen().len());
}

#[test]
fn who_may_write_and_not_read_takes_the_server_s_word_unless_an_answer_was_lost() {
    let world = World::wrapping(|seen| if is_write(seen) { errors(400, MISMATCH) } else { no_right() });
    let client = world.client(World::settings(2));
    assert_eq!(write(&world, &client, 3).unwrap_err().code(), Code::CasConflict);

    let world = after_a_lost_answer(|_| no_right());
    let client = world.client(World::settings(2));
    assert_eq!(write(&world, &client, 3).unwrap_err().code(), Code::Indeterminate);
}

#[test]
fn a_mismatch_that_can_not_be_looked_into_is_no_conflict() {
    let world = World::wrapping(|seen| if is_write(seen) { errors(400, MISMATCH) } else { errors(500, "boom") });
    let client = world.client(World::settings(2).deadline(2 * SECOND));
    assert_eq!(write(&world, &client, 3).unwrap_err().code(), Code::StaleRead);

    let world = after_a_lost_answer(|_| errors(500, "boom"));
    let client = world.client(World::settings(2).deadline(2 * SECOND));
    assert_eq!(write(&world, &client, 3).unwrap_err().code(), Code::Indeterminate);
    assert!(world.elapsed() <= 2 * SECOND);
}

#[test]
fn after_a_lost_answer_the_value_in_place_is_ours() {
    let world = after_a_lost_answer(|_| holding(4, "new", EPOCH));
    let client = world.client(World::settings(1));
    assert_eq!((write(&world, &client, 3).unwrap(), world.writes()), (4, 2));

    // Others have written after it.
    let world = after_a_lost_answer(|seen| match seen.target.ends_with("?version=4") {
        true => holding(4, "new", EPOCH),
        false => holding(6, "theirs", EPOCH),
    });
    let client = world.client(World::settings(1));
    assert_eq!((write(&world, &client, 3).unwrap(), world.writes()), (4, 2));
}

#[test]
fn after_a_lost_answer_another_value_is_a_conflict_where_what_it_followed_is_known() {
    let held = |seen: &Seen| match (seen.target.ends_with("?version=3"), seen.is_wrapped()) {
        (true, _) | (_, false) => holding(3, "base", EPOCH),
        _ => holding(4, "theirs", EPOCH),
    };
    let world = after_a_lost_answer(held);
    let client = world.client(World::settings(1));
    // The client read version 3 before it wrote.
    let error = world.run(client.rotate(URI, "new")).unwrap_err();
    assert_eq!((error.code(), world.writes()), (Code::CasConflict, 2));

    // A caller's own number, of which the client has seen nothing.
    let world = after_a_lost_answer(held);
    let client = world.client(World::settings(1));
    assert_eq!(write(&world, &client, 3).unwrap_err().code(), Code::Indeterminate);
}

#[test]
fn a_conflict_that_a_restored_snapshot_undid_before_it_was_told_is_none() {
    // Between the looks at version 4 and at what it followed the cluster goes back to version 3.
    let (mut newest, mut writes) = (3, 0);
    let world =
        World::wrapping(move |seen| match (is_write(seen), seen.target.ends_with("?version=3"), seen.is_wrapped()) {
            (true, ..) => {
                writes += 1;
                match writes {
                    1 => return Reply::Fail(FailureKind::AfterSend),
                    2 => newest = 4,
                    _ => return written(4),
                }
                errors(400, MISMATCH)
            }
            (_, true, true) => {
                newest = 3;
                holding(3, "base", EPOCH)
            }
            _ if newest == 4 => holding(4, "theirs", LATER),
            _ => holding(3, "base", EPOCH),
        });
    let client = world.client(World::settings(1));
    assert_eq!(world.run(client.rotate(URI, "new")).unwrap().new_version, 4);
    assert_eq!(world.writes(), 3);
}

#[test]
fn after_a_lost_answer_what_proves_nothing_leaves_the_write_indeterminate() {
    type Server = fn(&Seen) -> Reply;
    let cases: [(&str, Server); 6] = [
        ("deleted", |_| gone(4)),
        ("deleted since", |seen| if seen.target.ends_with("?version=4") { gone(4) } else { holding(6, "x", EPOCH) }),
        ("pruned", |seen| match seen.target.as_str() {
            "/v1/sys/wrapping/wrap" => json(200, "{}"),
            target if target.ends_with("?version=4") => nothing(),
            _ => holding(6, "x", EPOCH),
        }),
        ("made anew, shorter", |_| holding(1, "new", LATER)),
        ("gone altogether", |seen| if seen.target.contains("wrapping") { json(200, "{}") } else { nothing() }),
        ("made anew, as long", |seen| {
            let version = if seen.target.ends_with("?version=3") { 3 } else { 4 };
            holding(version, "theirs", LATER)
        }),
    ];
    for (name, held) in cases {
        let mut read = false;
        let world = after_a_lost_answer(move |seen| {
            // The everyday read before the write.
            if std::mem::replace(&mut read, true) { held(seen) } else { holding(3, "base", EPOCH) }
        });
        let client = world.client(World::settings(1));
        let error = world.run(client.rotate(URI, "new")).unwrap_err();
        assert_eq!((name, error.code(), world.writes()), (name, Code::Indeterminate, 2), "{error}");
        assert!(error.node().is_some(), "{name}: {error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[test]
fn a_mismatch_before_anything_was_lost_is_written_again_and_then_a_loss_still_counts() {
    // A deposed leader's mismatch, then an answer that is lost, then our own version's mismatch.
    let mut step = 0;
    let world = World::wrapping(move |seen| {
        if is_write(seen) {
            step += 1;
            return if step == 2 { Reply::Fail(FailureKind::AfterSend) } else { errors(400, MISMATCH) };
        }
        if step < 2 { secret(3) } else { holding(4, "new", EPOCH) }
    });
    let client = world.client(World::settings(1));
    assert_eq!((write(&world, &client, 3).unwrap(), world.writes()), (4, 3));
}

#[test]
fn a_lost_answer_to_a_write_without_cas_is_made_good_by_a_look_and_never_by_another_write() {
    let lost = |before: u64, held: fn() -> Reply| {
        let written = std::cell::Cell::new(false);
        let world = World::wrapping(move |seen| match is_write(seen) {
            true => {
                written.set(true);
                Reply::Fail(FailureKind::AfterSend)
            }
            false if written.get() => held(),
            false => holding(before, "old", EPOCH),
        });
        let client = world.client(World::settings(2));
        if before > 0 {
            world.run(client.read("openbao+kv2://secret/app")).unwrap();
        }
        let result = world.run(client.kv2_write("secret", "app", &data(), None));
        assert_eq!(world.writes(), 1);
        result.map(|written| written.version()).map_err(|error| error.code())
    };
    assert_eq!(lost(6, || holding(7, "new", EPOCH)), Ok(7));
    assert_eq!(lost(6, || holding(7, "old", EPOCH)), Err(Code::Indeterminate));
    assert_eq!(lost(6, || gone(7)), Err(Code::Indeterminate));
    assert_eq!(lost(6, no_right), Err(Code::Indeterminate));
    // It may have been there before.
    assert_eq!(lost(7, || holding(7, "new", EPOCH)), Err(Code::Indeterminate));
    assert_eq!(lost(0, || holding(7, "new", EPOCH)), Err(Code::Indeterminate));
}

#[test]
fn a_lost_answer_to_a_deletion_of_the_newest_version_proves_nothing_whatever_is_there() {
    let lost = |held: fn() -> Reply| {
        let world = World::wrapping(move |seen| match (seen.method, seen.target.as_str()) {
            (Method::Delete, _) => Reply::Fail(FailureKind::AfterSend),
            (_, "/v1/sys/wrapping/wrap") => json(200, "{}"),
            _ => held(),
        });
        let client = world.client(World::settings(2));
        let result = world.run(client.delete("openbao+kv2://secret/app")).map_err(|error| error.code());
        assert_eq!(world.seen().iter().filter(|seen| seen.method == Method::Delete).count(), 1);
        result
    };
    // Another client may have deleted it, and ours still be on its way to a newer one.
    assert_eq!(lost(|| gone(3)), Err(Code::Indeterminate));
    assert_eq!(lost(nothing), Err(Code::Indeterminate));
    assert_eq!(lost(|| secret(3)), Err(Code::Indeterminate));
}

/// A server that is behind with its first answers: it deletes nothing and calls that a success.
fn deletions(behind: usize, before: bool) -> (Result<(), Code>, Vec<String>) {
    let deleted = std::rc::Rc::new(std::cell::Cell::new(0));
    let seen_deleted = deleted.clone();
    let world = World::wrapping(move |seen| match seen.method {
        Method::Delete | Method::Post => {
            deleted.set(deleted.get() + 1);
            json(204, "")
        }
        _ if seen.target.contains("version=3") && !before => gone(3),
        _ if seen.target.contains("version=3") => secret(3),
        _ if seen_deleted.get() > behind => gone(4),
        _ => secret(4),
    });
    let client = world.client(World::settings(2).deadline(5 * SECOND));
    let result = world.run(client.delete("openbao+kv2://secret/app")).map_err(|error| error.code());
    let changes =
        world.seen().into_iter().filter(|seen| seen.target.contains("/secret/") && seen.method != Method::Get);
    (result, changes.map(|seen| format!("{} {}", seen.method.as_str(), seen.body)).collect())
}

#[test]
fn a_deletion_that_a_node_behind_did_not_carry_out_is_sent_again_by_its_number() {
    assert_eq!(deletions(0, true), (Ok(()), vec!["DELETE ".to_owned()]));
    let again = r#"POST {"versions":[4]}"#.to_owned();
    assert_eq!(deletions(1, true), (Ok(()), vec!["DELETE ".to_owned(), again]));
    let (result, sent) = deletions(usize::MAX, true);
    assert_eq!(result, Err(Code::Indeterminate));
    assert!(sent.len() > 2 && sent.len() < 50, "{sent:?}");
}

#[test]
fn a_deletion_that_may_have_hit_the_version_before_is_not_sent_again() {
    assert_eq!(deletions(1, false), (Err(Code::Indeterminate), vec!["DELETE ".to_owned()]));
}

#[test]
fn versions_that_the_client_deleted_are_not_shown_to_it_again_by_a_node_that_is_behind() {
    let world = World::wrapping(|seen| match (seen.method, seen.is_wrapped()) {
        (Method::Post, _) => json(204, ""),
        (_, true) if seen.target.contains('?') => gone(2),
        (_, true) => secret(3),
        _ if seen.target.contains('?') => secret(2),
        _ => secret(3),
    });
    let client = world.client(World::settings(1));
    world.run(client.delete("openbao+kv2://secret/app?version=2")).unwrap();
    world.run(client.read(URI)).unwrap();
    let error = world.run(client.read("openbao+kv2://secret/app?version=2")).unwrap_err();
    assert_eq!(error.code(), Code::VersionDeleted);
}

#[test]
fn a_read_of_a_pinned_version_does_not_settle_what_became_of_the_newest() {
    let world = World::wrapping(|seen| match (seen.method, seen.target.contains('?'), seen.is_wrapped()) {
        (Method::Delete, ..) => json(204, ""),
        (_, true, _) => secret(2),
        (_, _, true) => gone(3),
        _ => secret(3),
    });
    let client = world.client(World::settings(1));
    world.run(client.delete("openbao+kv2://secret/app")).unwrap();
    world.run(client.read("openbao+kv2://secret/app?version=2")).unwrap();
    assert_eq!(world.run(client.read(URI)).unwrap_err().code(), Code::SecretDeleted);
}

#[test]
fn an_operator_hears_of_a_secret_made_anew_that_a_write_came_across() {
    let mut first = true;
    let world = World::wrapping(move |seen| match is_write(seen) {
        true if std::mem::take(&mut first) => written(5),
        true => errors(400, MISMATCH),
        false => holding(2, "x", LATER),
    });
    let client = world.client(World::settings(1));
    write(&world, &client, 4).unwrap();
    assert_eq!(write(&world, &client, 5).unwrap_err().code(), Code::CasConflict);
    assert_eq!(world.notices().len(), 1, "{:?}", world.notices());
}

#[test]
fn a_node_that_redirects_to_itself_is_left_for_another_and_a_plain_write_is_not_repeated() {
    let run = |cas: Option<u64>| {
        let world = World::wrapping(|seen| match seen.place() {
            1 => redirect(&format!("{}{}", seen.node, seen.target)),
            _ if is_write(seen) => written(4),
            _ => secret(3),
        });
        let client = world.client(World::settings(2));
        let result = world.run(client.kv2_write("secret", "app", &data(), cas));
        let result = result.map(|written| written.version()).map_err(|error| error.code());
        world.run(client.read(URI)).unwrap();
        assert_eq!(world.places().last(), Some(&2));
        (result, world.writes())
    };
    assert_eq!(run(Some(3)), (Ok(4), 2));
    assert_eq!(run(None), (Err(Code::Indeterminate), 1));
}

#[test]
fn an_answer_of_another_version_than_was_written_names_its_node() {
    let world = World::wrapping(|_| written(9));
    let client = world.client(World::settings(1));
    let error = write(&world, &client, 3).unwrap_err();
    assert_eq!((error.code(), error.node(), error.tries()), (Code::Indeterminate, Some("http://127.0.0.1:1"), 1));
}

#[cfg(feature = "broken-rules")]
mod broken {
    use super::*;
    use baokit_core::Rule;

    #[test]
    fn each_rule_here_is_needed() {
        let conflict = |rule: Rule, world: World| {
            let client = world.client(World::settings(2)).without(rule);
            write(&world, &client, 3).map_err(|error| error.code())
        };
        let deposed = || {
            World::wrapping(|seen| match (is_write(seen), seen.place()) {
                (true, 1) => errors(400, MISMATCH),
                (true, _) => written(4),
                _ => secret(3),
            })
        };
        assert_eq!(conflict(Rule::MismatchIsConfirmed, deposed()), Err(Code::CasConflict));
        assert_eq!(conflict(Rule::DoubtIsTold, deposed()), Ok(4), "another rule makes no difference");
        let lost = || after_a_lost_answer(|_| holding(4, "new", EPOCH));
        assert_eq!(conflict(Rule::MismatchIsResolved, lost()), Err(Code::CasConflict));
        assert_eq!(conflict(Rule::IndexIsJudged, lost()), Ok(4));
    }
}
