//! The judge of recorded rotations notices: each of its invariants has a history that breaches it, and one
//! beside it that does not.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::json;

use super::histories::{KEY, ME, Story, failed};
use super::rotation::user;
use crate::checker::{Case, outside};
use crate::cluster::effect::{Effect, Phase, Record};
use crate::cluster::{Cluster, Era};
use crate::history::{Invariant, Kind, OpId, Outcome};
use crate::profile::Profile;
use crate::random::Random;
use crate::rotations::Recorded;
use crate::tally::{Fault, Tally};
use crate::world::World;

/// A new rotation with a given value, and the same to be resumed.
fn rotation() -> (Recorded, Recorded) {
    let mut random = Random::new(7);
    let cluster = Cluster::new(Era::Indexed, 3, 3600, random.fork());
    let world = Rc::new(World::new(Profile::calm(Era::Indexed, 3), cluster, random, false));
    let client = &user(&world, 1).client;
    let begun = Recorded::begin(client, true, true, false);
    (begun.clone(), begun.resumed(client))
}

/// A story of one key at version 1.
struct Rotating {
    story: Story,
    begun: Recorded,
    resumed: Recorded,
}

impl Rotating {
    fn new() -> Self {
        let mut story = Story::new();
        story.foreign(1);
        let (begun, resumed) = rotation();
        Self { story, begun, resumed }
    }

    fn begin(&mut self) -> OpId {
        self.story.begin(ME, Kind::Recorded(self.begun.clone()))
    }

    fn resume(&mut self) -> OpId {
        self.story.begin(ME, Kind::Recorded(self.resumed.clone()))
    }

    fn record(&mut self, op: OpId, base: u64, phase: Phase) {
        let record = Some(Record { id: self.begun.id().to_owned(), base, phase });
        let effect = Effect::Metadata { key: KEY.to_owned(), max_versions: None, record: record.clone() };
        self.story.entry(Some(op), None, effect);
        self.story.history.sent.last_mut().unwrap().record = record;
    }

    fn write(&mut self, op: OpId, version: u64) {
        let value = json!({ "w": self.begun.mark() });
        self.story.wrote(Some(op), version, value);
    }

    fn made(&self, new: u64) -> Outcome {
        Outcome::Rotated { id: self.begun.id().to_owned(), old: new - 1, new, is_recorded: true }
    }

    fn breaches(&self) -> Vec<Invariant> {
        self.story.breaches()
    }
}

#[test]
fn one_operation_id_makes_one_version_of_one_life_of_a_key() {
    for (restored, found) in [(false, vec![Invariant::RotatedTwice]), (true, vec![])] {
        let mut it = Rotating::new();
        let first = it.begin();
        it.record(first, 1, Phase::Begun);
        it.write(first, 2);
        it.story.end(first, Outcome::Cut);
        if restored {
            it.story.entry(None, None, Effect::Restored { length: 3 });
        }
        let second = it.resume();
        let base = if restored { 1 } else { 2 };
        it.record(second, base, Phase::Begun);
        it.write(second, base + 1);
        let outcome = it.made(base + 1);
        it.story.end(second, outcome);
        assert_eq!(it.breaches(), found);
    }
}

#[test]
fn the_intent_comes_first_where_it_may_be_recorded() {
    for (refused, found) in [(false, vec![Invariant::IntentLast]), (true, vec![])] {
        let mut it = Rotating::new();
        let op = it.begin();
        it.write(op, 2);
        it.story.history.sent.last_mut().unwrap().refused = refused;
        it.record(op, 1, Phase::Finished);
        let outcome = it.made(2);
        it.story.end(op, outcome);
        assert_eq!(it.breaches(), found);
    }
}

#[test]
fn what_is_reported_or_recorded_as_finished_is_there_and_is_its_own() {
    // Another writer's version.
    let mut it = Rotating::new();
    let op = it.begin();
    it.record(op, 1, Phase::Begun);
    it.story.foreign(2);
    it.record(op, 1, Phase::Finished);
    let outcome = it.made(2);
    it.story.end(op, outcome);
    assert_eq!(it.breaches(), [Invariant::FalseFinish, Invariant::RotationLost]);
    // A value that was not asked for.
    let mut it = Rotating::new();
    let op = it.begin();
    it.record(op, 1, Phase::Begun);
    it.story.wrote(Some(op), 2, json!({ "w": "generated" }));
    it.record(op, 1, Phase::Finished);
    let outcome = it.made(2);
    it.story.end(op, outcome);
    assert_eq!(it.breaches(), [Invariant::OtherValue]);
}

#[test]
fn a_rotation_that_is_recorded_is_known_and_no_other_is_under_way() {
    for (recorded, code, found) in [
        (true, "ROTATION_UNKNOWN", vec![Invariant::RotationForgotten]),
        (false, "ROTATION_UNKNOWN", vec![]),
        (true, "ROTATION_IN_PROGRESS", vec![]),
        (false, "ROTATION_IN_PROGRESS", vec![Invariant::FalseBusy]),
    ] {
        let mut it = Rotating::new();
        let first = it.begin();
        if recorded {
            it.record(first, 1, Phase::Begun);
        }
        it.story.end(first, Outcome::Cut);
        let second = it.resume();
        it.story.end(second, failed(code));
        assert_eq!(it.breaches(), found, "{recorded} {code}");
    }
}

#[test]
fn a_conflict_is_another_writer_s_and_what_failed_does_not_happen() {
    for (own, foreign, code, found) in [
        (true, false, "CAS_CONFLICT", vec![Invariant::FalseConflict]),
        (false, true, "CAS_CONFLICT", vec![]),
        (false, false, "CAS_CONFLICT", vec![Invariant::FalseConflict]),
        (true, false, "NO_LEADER", vec![Invariant::FailedButExecuted]),
        (true, false, "INDETERMINATE", vec![]),
    ] {
        let mut it = Rotating::new();
        let op = it.begin();
        it.record(op, 1, Phase::Begun);
        if own {
            it.write(op, 2);
        }
        if foreign {
            it.story.foreign(2);
        }
        it.story.end(op, failed(code));
        assert_eq!(it.breaches(), found, "{own} {foreign} {code}");
    }
}

#[test]
fn when_all_is_mended_a_rotation_comes_to_its_end() {
    for (code, found) in [("ROTATION_FAILED", vec![Invariant::NeverFinished]), ("INDETERMINATE", vec![])] {
        let mut it = Rotating::new();
        let op = it.resume();
        it.story.history.operations[op.0].fresh = Some(0);
        it.story.end(op, failed(code));
        assert_eq!(it.breaches(), found);
    }
}

#[test]
fn what_is_outside_has_the_value_of_the_secret_in_the_end() {
    let mut it = Rotating::new();
    let op = it.begin();
    it.record(op, 1, Phase::Begun);
    it.write(op, 2);
    it.record(op, 1, Phase::Finished);
    let case = Case::new(Era::Indexed, &it.story.log, &it.story.history);
    let holds = |value| BTreeMap::from([(KEY.to_owned(), value)]);
    assert_eq!(outside(&case, &holds(json!({ "w": it.begun.mark() })), &Tally::default()), []);
    let found = outside(&case, &holds(json!({ "w": "foreign-1" })), &Tally::default());
    assert_eq!(found.len(), 1);
    let mut spoilt = Tally::default();
    spoilt.fault(Fault::ClockJump);
    assert_eq!(outside(&case, &holds(json!({ "w": "foreign-1" })), &spoilt), []);
}
