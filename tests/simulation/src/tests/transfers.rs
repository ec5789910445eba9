//! The judge of copies and moves notices: each of its invariants has a history that breaches it, and one beside it
//! that does not.

use serde_json::{Value, json};

use super::histories::{KEY, ME, Story, failed};
use crate::cluster::effect::Effect;
use crate::history::{Invariant, Kind, OpId, Outcome, Transfer};

const FROM: &str = "key-1";

fn value(name: &str) -> Value {
    json!({ "w": name })
}

fn copy(overwrite: bool) -> Kind {
    Kind::Transfer(Transfer { from: FROM.to_owned(), pin: None, overwrite, moves: false })
}

fn moves() -> Kind {
    Kind::Transfer(Transfer { from: FROM.to_owned(), pin: None, overwrite: true, moves: true })
}

const fn done(source: u64, old: u64) -> Outcome {
    Outcome::Copied { source, old, new: old + 1 }
}

/// A move that says that its copy is made as version 1, and that its source's version 1 is not deleted.
fn half(code: &'static str) -> Outcome {
    let text = "the copy is made as version 1 of it, and the deletion of the source's version 1 failed";
    Outcome::Failed(code, text.to_owned())
}

impl Story {
    /// Another writer makes a version of the source.
    fn source(&mut self, version: u64, name: &str) {
        self.entry(None, None, Effect::Wrote { key: FROM.to_owned(), version, value: value(name) });
    }

    /// A version of the source is deleted, by an operation or by another.
    fn delete_source(&mut self, op: Option<OpId>, version: u64) {
        self.entry(op, None, Effect::Deleted { key: FROM.to_owned(), versions: vec![version] });
    }

    /// The operation looks at a version of the source.
    fn look(&mut self, op: OpId, version: u64) {
        let (send, length) = (self.history.send(Some(op), None, false, None), self.log.len());
        let asks = format!("GET /v1/secret/data/{FROM}?version={version}");
        self.history.tell(send, |sent| (sent.asks, sent.length) = (asks, length));
    }
}

/// A story whose source is at version 1, and an operation in it that has begun.
fn story(kind: Kind) -> (Story, OpId) {
    let mut story = Story::new();
    story.source(1, "first");
    let op = story.begin(ME, kind);
    (story, op)
}

#[test]
fn a_copy_is_of_what_its_source_held_meanwhile() {
    for (name, found) in [
        ("first", vec![]),
        ("second", vec![]),
        ("older", vec![Invariant::CopiedOther, Invariant::AcknowledgedWriteLost]),
    ] {
        let mut story = Story::new();
        story.source(1, "older");
        story.source(2, "first");
        let op = story.begin(ME, copy(true));
        story.source(3, "second");
        story.wrote(Some(op), 1, value(name));
        let source = match name {
            "older" => 1,
            "first" => 2,
            _ => 3,
        };
        story.end(op, done(source, 0));
        assert_eq!(story.breaches(), found, "{name}");
    }
}

#[test]
fn a_copy_of_a_version_is_of_that_one_however_old() {
    let mut story = Story::new();
    story.source(1, "first");
    story.source(2, "second");
    let pinned = Transfer { from: FROM.to_owned(), pin: Some(1), overwrite: false, moves: false };
    let op = story.begin(ME, Kind::Transfer(pinned));
    story.wrote(Some(op), 1, value("first"));
    story.end(op, done(1, 0));
    assert_eq!(story.breaches(), []);
    story.history.operations[op.0].outcome = done(2, 0);
    assert_eq!(story.breaches(), [Invariant::AcknowledgedWriteLost]);
}

#[test]
fn an_acknowledged_copy_is_its_own_or_where_it_was_sent_again_the_same_of_another() {
    for (sends, found) in [(1, vec![Invariant::AcknowledgedWriteLost]), (2, vec![])] {
        let (mut story, op) = story(copy(true));
        story.wrote(None, 1, value("first"));
        (0..sends).for_each(|_| _ = story.history.send(Some(op), Some(0), false, None));
        story.end(op, done(1, 0));
        assert_eq!(story.breaches(), found);
    }
    let (mut story, op) = story(copy(true));
    story.wrote(None, 1, value("another"));
    (0..2).for_each(|_| _ = story.history.send(Some(op), Some(0), false, None));
    story.end(op, done(1, 0));
    assert_eq!(story.breaches(), [Invariant::AcknowledgedWriteLost]);
}

#[test]
fn a_copy_makes_one_version_and_none_where_it_failed() {
    let (mut twice, op) = story(copy(true));
    twice.wrote(Some(op), 1, value("first"));
    twice.wrote(Some(op), 2, value("first"));
    twice.end(op, done(1, 1));
    assert_eq!(twice.breaches(), [Invariant::VersionMadeTwice]);
    for (code, found) in [("NO_LEADER", vec![Invariant::FailedButExecuted]), ("INDETERMINATE", vec![])] {
        let (mut story, op) = story(copy(true));
        story.wrote(Some(op), 1, value("first"));
        story.end(op, failed(code));
        assert_eq!(story.breaches(), found);
    }
}

#[test]
fn what_is_not_to_be_replaced_is_not() {
    for (overwrite, found) in [(true, vec![]), (false, vec![Invariant::Overwrote, Invariant::AcknowledgedWriteLost])] {
        let (mut story, op) = story(copy(overwrite));
        story.foreign(1);
        story.wrote(Some(op), 2, value("first"));
        story.end(op, done(1, 1));
        assert_eq!(story.breaches(), found);
    }
    // A conflict where nothing was there.
    for (is_there, found) in [(true, vec![]), (false, vec![Invariant::FalseConflict])] {
        let (mut story, op) = story(copy(false));
        story.history.send(Some(op), Some(0), false, None);
        if is_there {
            story.foreign(1);
        }
        story.end(op, failed("CAS_CONFLICT"));
        assert_eq!(story.breaches(), found);
    }
}

#[test]
fn a_source_that_is_there_is_found() {
    for (is_deleted, found) in [(true, vec![]), (false, vec![Invariant::StaleRead])] {
        let (mut story, op) = story(copy(true));
        if is_deleted {
            story.delete_source(None, 1);
        }
        story.end(op, failed("SECRET_DELETED"));
        assert_eq!(story.breaches(), found);
    }
}

#[test]
fn a_move_deletes_what_it_has_copied_and_nothing_before() {
    let (mut right, op) = story(moves());
    right.wrote(Some(op), 1, value("first"));
    right.delete_source(Some(op), 1);
    right.end(op, done(1, 0));
    assert_eq!(right.breaches(), []);
    // Deleted first, or the copy never came.
    for comes in [true, false] {
        let (mut story, op) = story(moves());
        story.delete_source(Some(op), 1);
        if comes {
            story.wrote(Some(op), 1, value("first"));
        }
        story.end(op, failed("INDETERMINATE"));
        assert_eq!(story.breaches(), [Invariant::MoveLost]);
    }
    // A copy deletes nothing, and a move nothing else.
    let (mut story, op) = story(copy(true));
    story.wrote(Some(op), 1, value("first"));
    story.delete_source(Some(op), 1);
    story.entry(Some(op), None, Effect::Deleted { key: "key-2".to_owned(), versions: vec![1] });
    story.end(op, done(1, 0));
    assert_eq!(story.breaches(), [Invariant::MoveLost; 2]);
}

#[test]
fn what_another_adds_to_the_source_of_a_move_stays() {
    let newest = Effect::DeletedLatest { key: FROM.to_owned() };
    for (is_added, found) in [(false, vec![]), (true, vec![Invariant::MoveKept, Invariant::MoveLost])] {
        let (mut story, op) = story(moves());
        story.wrote(Some(op), 1, value("first"));
        if is_added {
            story.source(2, "added");
        }
        story.entry(Some(op), None, newest.clone());
        story.end(op, done(1, 0));
        let mut breaches = story.breaches();
        breaches.sort_unstable_by_key(|invariant| invariant.as_str());
        assert_eq!(breaches, found);
    }
}

#[test]
fn a_source_that_was_made_anew_before_the_last_look_is_not_deleted() {
    for (looks_after, found) in [(false, vec![]), (true, vec![Invariant::MoveLost])] {
        let (mut story, op) = story(moves());
        story.wrote(Some(op), 1, value("first"));
        story.look(op, 1);
        story.entry(None, None, Effect::Gone { key: FROM.to_owned() });
        story.source(1, "anew");
        if looks_after {
            story.look(op, 1);
        }
        story.delete_source(Some(op), 1);
        story.end(op, done(1, 0));
        assert_eq!(story.breaches(), found);
    }
}

#[test]
fn the_source_of_a_move_that_is_done_is_gone_whoever_deleted_it() {
    for (is_deleted, found) in [(true, vec![]), (false, vec![Invariant::MoveKept])] {
        let (mut story, op) = story(moves());
        story.wrote(Some(op), 1, value("first"));
        if is_deleted {
            story.delete_source(None, 1);
        }
        story.end(op, done(1, 0));
        assert_eq!(story.breaches(), found);
    }
}

#[test]
fn a_source_that_came_during_the_move_and_stays_is_noticed() {
    for (is_deleted, found) in [(true, vec![]), (false, vec![Invariant::MoveKept])] {
        let (mut story, op) = story(moves());
        story.source(2, "second");
        story.wrote(Some(op), 1, value("second"));
        if is_deleted {
            story.delete_source(Some(op), 2);
        }
        story.end(op, done(2, 0));
        assert_eq!(story.breaches(), found);
    }
}

#[test]
fn a_move_that_is_half_done_has_made_its_copy_and_left_its_source() {
    for (code, is_copied, is_deleted, found) in [
        ("STALE_READ", true, false, vec![]),
        ("INDETERMINATE", true, true, vec![]),
        ("STALE_READ", true, true, vec![Invariant::FailedButExecuted]),
        ("STALE_READ", false, false, vec![Invariant::AcknowledgedWriteLost]),
        ("CAS_CONFLICT", true, false, vec![Invariant::FalseConflict]),
    ] {
        let (mut story, op) = story(moves());
        if is_copied {
            story.wrote(Some(op), 1, value("first"));
        }
        if is_deleted {
            story.delete_source(Some(op), 1);
        }
        story.end(op, half(code));
        assert_eq!(story.breaches(), found, "{code}");
    }
    let (mut story, op) = story(moves());
    story.wrote(Some(op), 1, value("first"));
    story.entry(None, None, Effect::Gone { key: FROM.to_owned() });
    story.end(op, half("CAS_CONFLICT"));
    assert_eq!(story.breaches(), []);
}

#[test]
fn a_client_has_seen_what_it_copied_and_what_it_made() {
    for (key, stale, fresh) in [(KEY, ("foreign-1", 1), ("second", 2)), (FROM, ("first", 1), ("second", 2))] {
        for ((name, version), found) in [(stale, vec![Invariant::StaleRead]), (fresh, vec![])] {
            let mut story = Story::new();
            story.foreign(1);
            story.source(1, "first");
            story.source(2, "second");
            let op = story.begin(ME, copy(true));
            story.wrote(Some(op), 2, value("second"));
            story.end(op, done(2, 1));
            let read = story.begin(ME, Kind::Read);
            story.history.operations[read.0].key = key.to_owned();
            story.end(read, Outcome::Read { version, value: value(name) });
            assert_eq!(story.breaches(), found, "{key} {name}");
        }
    }
    // And what it moved away.
    let (mut story, op) = story(moves());
    story.wrote(Some(op), 1, value("first"));
    story.delete_source(Some(op), 1);
    let asks = format!("POST /v1/secret/delete/{FROM}");
    story.history.sent.last_mut().unwrap().asks = asks;
    story.end(op, done(1, 0));
    let read = story.begin(ME, Kind::Read);
    story.history.operations[read.0].key = FROM.to_owned();
    story.end(read, Outcome::Read { version: 1, value: value("first") });
    assert_eq!(story.breaches(), [Invariant::StaleAfterDelete]);
}
