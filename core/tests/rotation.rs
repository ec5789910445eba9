//! The recorded rotation on virtual time, against a server that keeps what it is told: cut off at every step,
//! in company, with answers that are lost or wrong.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "rotation/bank.rs"]
mod bank;
mod scenario;

use std::cell::Cell;
use std::rc::Rc;

use bank::{Bank, Database, Fate, LEASE, PASSWORD, code, is_end, is_intent, is_stage, is_write};
use baokit_core::{Code, Host, Result, Rotated};
use scenario::{SECOND, World};

#[test]
fn a_rotation_makes_one_version_with_a_generated_value_and_is_recorded_before_and_after() {
    let bank = Bank::new();
    let client = bank.client();
    let rotation = client.rotation();
    let done = bank.run(client.rotate_with(PASSWORD, &rotation)).unwrap();
    assert_eq!((done.old_version, done.new_version, done.is_recorded), (1, 2, true));
    assert_eq!(done.operation_id, rotation.operation_id());
    assert_eq!(bank.version(), 2);
    assert_eq!(bank.data()["user"], "ada", "the other key stays");
    assert_eq!(bank.password().len(), 32);
    let changes: Vec<_> = bank.world.seen().into_iter().filter(|seen| seen.target.ends_with("/app")).collect();
    let order: Vec<_> = [is_intent, is_write, is_end].iter().map(|is| changes.iter().position(is).unwrap()).collect();
    assert!(order.is_sorted(), "{order:?}");
    assert!(!bank.custom()["baokit_rotation"].contains(&bank.password()));
    assert!(!bank.has_stage());
}

/// Cuts a rotation off after each of its steps and lets `finish` go on; `check` looks at the end.
fn cut_everywhere(finish: impl Fn(&Bank, &str) -> Result<Rotated>) -> usize {
    for after in 1..100 {
        let bank = Bank::new();
        let first = bank.client();
        let rotation = first.rotation();
        let is_over = bank.cut(after, first.rotate_with(PASSWORD, &rotation)).is_some();
        let done = finish(&bank, rotation.operation_id());
        let done = done.unwrap_or_else(|error| panic!("cut after {after}: {error}"));
        assert_eq!((after, done.old_version, done.new_version, bank.version()), (after, 1, 2, 2));
        assert_eq!((after, bank.phase().as_deref()), (after, Some("finished")));
        assert_ne!(bank.password(), "old");
        if is_over {
            return after;
        }
    }
    panic!("it does not end");
}

fn resume_or_begin(bank: &Bank, op: &str) -> Result<Rotated> {
    let client = bank.client();
    match bank.run(client.rotate_with(PASSWORD, &client.resume_rotation(op))) {
        // It was cut off before the intent was there: nothing has begun.
        Err(error) if error.code() == Code::RotationUnknown => {
            bank.run(client.rotate_with(PASSWORD, &client.rotation()))
        }
        result => result,
    }
}

#[test]
fn cut_off_at_every_step_and_resumed_at_once_it_makes_exactly_one_version() {
    let steps = cut_everywhere(resume_or_begin);
    assert!(steps >= 5, "{steps}");
}

#[test]
fn cut_off_at_every_step_and_resumed_twice_it_makes_exactly_one_version() {
    cut_everywhere(|bank, op| {
        let first = resume_or_begin(bank, op)?;
        let client = bank.client();
        let again = bank.run(client.rotate_with(PASSWORD, &client.resume_rotation(first.operation_id.as_str())))?;
        assert_eq!(first, again);
        Ok(again)
    });
}

#[test]
fn cut_off_at_every_step_and_taken_up_by_another_after_the_lease_it_makes_exactly_one_version() {
    for after in 1..100 {
        let bank = Bank::new();
        let first = bank.client();
        let rotation = first.rotation();
        let is_over = bank.cut(after, first.rotate_with(PASSWORD, &rotation)).is_some();
        let is_finished = bank.phase().as_deref() == Some("finished");
        let is_begun = bank.phase().as_deref() == Some("begun");
        let client = bank.client();
        if is_begun {
            assert_eq!(code(bank.run(client.rotate_with(PASSWORD, &client.rotation()))), Code::RotationInProgress);
        }
        bank.wait(LEASE);
        if !is_finished {
            let done = bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap();
            assert_eq!(done.operation_id == rotation.operation_id(), is_begun);
        }
        assert_eq!((after, bank.version(), bank.phase().as_deref()), (after, 2, Some("finished")));
        // Its owner comes back.
        let own = bank.run(client.rotate_with(PASSWORD, &client.resume_rotation(rotation.operation_id())));
        match own {
            Ok(done) => assert_eq!(done.new_version, 2),
            Err(error) => assert_eq!((error.code(), is_begun || is_finished), (Code::RotationUnknown, false)),
        }
        assert_eq!(bank.version(), 2);
        if is_over {
            return;
        }
    }
}

#[test]
fn cut_off_at_every_step_with_a_given_value_it_makes_exactly_one_version() {
    for after in 1..100 {
        let bank = Bank::new();
        let first = bank.client();
        let rotation = first.rotation().value("given");
        let is_over = bank.cut(after, first.rotate_with(PASSWORD, &rotation)).is_some();
        let client = bank.client();
        let resumed = client.resume_rotation(rotation.operation_id()).value("given");
        match bank.run(client.rotate_with(PASSWORD, &resumed)) {
            Ok(done) => assert_eq!((done.new_version, bank.version(), bank.password().as_str()), (2, 2, "given")),
            Err(error) => assert_eq!((error.code(), bank.version()), (Code::RotationUnknown, 1)),
        }
        if is_over {
            return;
        }
    }
}

#[test]
fn applied_and_cut_off_at_every_step_it_makes_one_version_and_leaves_no_stage() {
    for is_resumed in [true, false] {
        for after in 1..100 {
            let bank = Bank::new();
            let database = Database::new(&bank);
            let first = bank.client();
            let rotation = first.rotation();
            let is_over = bank.cut(after, first.rotate_applied(PASSWORD, &rotation, &database)).is_some();
            let client = bank.client();
            let again = client.resume_rotation(rotation.operation_id());
            let phase = bank.phase();
            let result = if is_resumed {
                bank.run(client.rotate_applied(PASSWORD, &again, &database))
            } else {
                bank.wait(LEASE);
                match phase.as_deref() {
                    Some("finished") => bank.run(client.rotate_applied(PASSWORD, &again, &database)),
                    _ => bank.run(client.rotate_applied(PASSWORD, &client.rotation(), &database)),
                }
            };
            match result {
                Ok(done) => assert_eq!((after, done.new_version, bank.version()), (after, 2, 2)),
                Err(error) => assert_eq!((after, error.code(), bank.version()), (after, Code::RotationUnknown, 1)),
            }
            assert_eq!((after, database.password(), bank.has_stage()), (after, bank.password(), false));
            if is_over {
                break;
            }
            assert!(after < 99);
        }
    }
}

#[test]
fn of_two_rotators_at_once_one_wins_and_the_other_is_told() {
    for first_by in 0..12 {
        let bank = Bank::new();
        let (one, two) = (bank.client(), bank.client());
        let (rotation_one, rotation_two) = (one.rotation(), two.rotation());
        let results = bank.world.run_all([(&one, &rotation_one, 0), (&two, &rotation_two, first_by)].map(
            |(client, rotation, wait)| {
                let world = bank.world.clone();
                async move {
                    world.sleep(SECOND / 2000 * wait).await;
                    client.rotate_with(PASSWORD, rotation).await
                }
            },
        ));
        let won = results.iter().filter(|result| result.is_ok()).count();
        let told =
            results.iter().filter(|result| matches!(result, Err(error) if error.code() == Code::RotationInProgress));
        match won {
            1 => assert_eq!((told.count(), bank.version()), (1, 2)),
            // The second began when the first was over.
            _ => assert_eq!((won, bank.version()), (2, 3)),
        }
        assert_eq!(bank.phase().as_deref(), Some("finished"));
    }
}

#[test]
fn an_answer_that_is_lost_at_any_step_changes_nothing_about_the_outcome() {
    for lost in 1..100 {
        let bank = Bank::new();
        let database = Database::new(&bank);
        let client = bank.client();
        let mut count = 0;
        let reached = Rc::new(Cell::new(false));
        let seen_it = reached.clone();
        bank.judge(move |_| {
            count += 1;
            seen_it.set(seen_it.get() || count == lost);
            if count == lost { Fate::AnswerLost } else { Fate::Answered }
        });
        let rotation = client.rotation();
        let done = bank.run(client.rotate_applied(PASSWORD, &rotation, &database)).unwrap();
        assert_eq!((lost, done.new_version, bank.version()), (lost, 2, 2));
        assert_eq!((lost, database.password(), database.log().contains(&"undo")), (lost, bank.password(), false));
        assert_eq!((lost, bank.phase().as_deref()), (lost, Some("finished")));
        if !reached.get() {
            return;
        }
    }
}

#[test]
fn a_false_mismatch_of_data_or_metadata_is_not_believed() {
    for is in [is_intent, is_write, is_end, is_stage] {
        for times in [1, 3] {
            let bank = Bank::new();
            let database = Database::new(&bank);
            let client = bank.client();
            let mut left = times;
            bank.judge(move |seen| {
                if left > 0 && is(seen) {
                    left -= 1;
                    return Fate::FalseMismatch;
                }
                Fate::Answered
            });
            let done = bank.run(client.rotate_applied(PASSWORD, &client.rotation(), &database)).unwrap();
            assert_eq!((done.new_version, bank.version(), bank.phase().as_deref()), (2, 2, Some("finished")));
            assert_eq!(database.password(), bank.password());
        }
    }
}

#[test]
fn a_node_that_keeps_calling_true_intents_mismatches_is_left_for_another() {
    let bank = Bank::new();
    bank.judge(|seen| if is_intent(seen) && seen.node.ends_with(":1") { Fate::FalseMismatch } else { Fate::Answered });
    let client = bank.world.client(World::settings(2));
    bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap();
    assert_eq!(bank.version(), 2);
}

#[test]
fn a_node_that_is_behind_for_seconds_is_waited_for_and_is_no_other_process() {
    for (seconds, expected) in [(5, None), (60, Some(Code::DeadlineExceeded))] {
        let bank = Bank::new();
        let world = bank.world.clone();
        bank.judge(move |seen| {
            let is_behind = is_intent(seen) && world.elapsed() < SECOND * seconds;
            if is_behind { Fate::FalseMismatch } else { Fate::Answered }
        });
        let client = bank.client();
        let result = bank.run(client.rotate_with(PASSWORD, &client.rotation()));
        assert_eq!(result.err().map(|error| error.code()), expected);
        assert_eq!(bank.version(), if expected.is_none() { 2 } else { 1 });
    }
}
