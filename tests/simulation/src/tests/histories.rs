//! The judge notices: each invariant has a history that breaches it, and one beside it that does not.

use std::time::Duration;

use serde_json::{Value, json};

use crate::checker::{Case, endings, judge};
use crate::cluster::effect::Effect;
use crate::cluster::{Entry, Era};
use crate::history::{ClientId, History, Invariant, Kind, OpId, Operation, Outcome};

pub(super) const KEY: &str = "key-0";
pub(super) const ME: ClientId = ClientId(0);
const OTHER: ClientId = ClientId(1);

/// A log and a history that are told one event after another.
pub(super) struct Story {
    pub(super) era: Era,
    now: Duration,
    pub(super) log: Vec<Entry>,
    pub(super) history: History,
}

impl Story {
    pub(super) fn new() -> Self {
        let log = vec![Entry { at: Duration::ZERO, by: None, effect: Effect::Setup }];
        Self { era: Era::Indexed, now: Duration::ZERO, log, history: History::default() }
    }

    pub(super) fn tick(&mut self) -> Duration {
        self.now += Duration::from_millis(1);
        self.now
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn begin(&mut self, client: ClientId, kind: Kind) -> OpId {
        let (start, mark) = (self.tick(), format!("op-{}", self.history.operations.len()));
        let length = self.log.len();
        self.history.begin(Operation {
            client,
            kind,
            key: KEY.to_owned(),
            mark,
            start,
            end: None,
            start_length: length,
            end_length: length,
            limit: Duration::from_secs(1),
            fresh: None,
            outcome: Outcome::Running,
        })
    }

    pub(super) fn end(&mut self, op: OpId, outcome: Outcome) {
        let now = self.tick();
        self.history.end(op, now, self.log.len(), outcome);
    }

    /// An entry of the log, made by a new request of this operation, or by somebody else.
    pub(super) fn entry(&mut self, op: Option<OpId>, cas: Option<u64>, effect: Effect) {
        let (at, by) = (self.tick(), op.map(|op| self.history.send(Some(op), cas, false, None)));
        self.log.push(Entry { at, by, effect });
    }

    pub(super) fn wrote(&mut self, op: Option<OpId>, version: u64, value: Value) {
        self.entry(op, Some(version - 1), Effect::Wrote { key: KEY.to_owned(), version, value });
    }

    /// A foreign write.
    pub(super) fn foreign(&mut self, version: u64) {
        self.wrote(None, version, json!({ "w": format!("foreign-{version}") }));
    }

    /// A whole operation that nothing is committed for.
    pub(super) fn tell(&mut self, client: ClientId, kind: Kind, outcome: Outcome) {
        let op = self.begin(client, kind);
        self.end(op, outcome);
    }

    pub(super) fn breaches(&self) -> Vec<Invariant> {
        let case = Case::new(self.era, &self.log, &self.history);
        judge(&case).into_iter().map(|violation| violation.invariant).collect()
    }
}

fn read(version: u64) -> Outcome {
    Outcome::Read { version, value: json!({ "w": format!("foreign-{version}") }) }
}

pub(super) fn failed(code: &'static str) -> Outcome {
    Outcome::Failed(code, String::new())
}

fn mark(op: OpId) -> Value {
    json!({ "w": format!("op-{}", op.0) })
}

#[test]
fn an_acknowledged_write_that_was_not_committed_is_lost() {
    let mut story = Story::new();
    let op = story.begin(ME, Kind::Write);
    story.wrote(Some(op), 1, mark(op));
    story.end(op, Outcome::Written { version: 1 });
    assert_eq!(story.breaches(), []);
    story.tell(ME, Kind::Write, Outcome::Written { version: 2 });
    assert_eq!(story.breaches(), [Invariant::AcknowledgedWriteLost]);
    // The version is there, and is another's.
    let mut story = Story::new();
    let op = story.begin(ME, Kind::Write);
    story.foreign(1);
    story.end(op, Outcome::Written { version: 1 });
    assert_eq!(story.breaches(), [Invariant::AcknowledgedWriteLost]);
}

#[test]
fn one_operation_makes_one_version_of_one_life_of_a_key() {
    let mut story = Story::new();
    let op = story.begin(ME, Kind::Put { cas: None });
    story.wrote(Some(op), 1, mark(op));
    story.wrote(Some(op), 2, mark(op));
    story.end(op, Outcome::Written { version: 2 });
    assert_eq!(story.breaches(), [Invariant::VersionMadeTwice]);
    // Twice delivered is not twice sent; and after the key was made anew no guard can hold.
    let mut story = Story::new();
    let op = story.begin(ME, Kind::Put { cas: Some(0) });
    story.wrote(Some(op), 1, mark(op));
    let again = story.log.last().unwrap().by;
    story.wrote(None, 2, mark(op));
    story.log.last_mut().unwrap().by = again;
    story.entry(None, None, Effect::Gone { key: KEY.to_owned() });
    story.wrote(Some(op), 1, mark(op));
    story.end(op, Outcome::Written { version: 1 });
    assert_eq!(story.breaches(), []);
}

#[test]
fn a_read_behind_what_its_client_has_seen_is_stale_and_another_client_s_is_not() {
    let mut story = Story::new();
    story.foreign(1);
    story.foreign(2);
    story.tell(ME, Kind::Read, read(2));
    story.tell(OTHER, Kind::Read, read(1));
    assert_eq!(story.breaches(), []);
    story.tell(ME, Kind::Read, read(1));
    assert_eq!(story.breaches(), [Invariant::StaleRead]);
    story.tell(ME, Kind::Read, failed("SECRET_NOT_FOUND"));
    story.tell(ME, Kind::Versions, Outcome::Versions { current: 1 });
    assert_eq!(story.breaches(), [Invariant::StaleRead; 3]);
}

#[test]
fn what_overlaps_may_see_either_and_a_floor_is_of_one_life() {
    let mut story = Story::new();
    story.foreign(1);
    let early = story.begin(ME, Kind::Read);
    story.foreign(2);
    story.tell(ME, Kind::Read, read(2));
    story.end(early, read(1));
    assert_eq!(story.breaches(), []);
    story.entry(None, None, Effect::Gone { key: KEY.to_owned() });
    story.wrote(None, 1, json!({ "w": "anew" }));
    story.tell(ME, Kind::Read, Outcome::Read { version: 1, value: json!({ "w": "anew" }) });
    assert_eq!(story.breaches(), []);
    // And the same by a snapshot that takes the second version back.
    let mut story = Story::new();
    story.foreign(1);
    story.foreign(2);
    story.tell(ME, Kind::Read, read(2));
    story.entry(None, None, Effect::Restored { length: 2 });
    story.tell(ME, Kind::Read, read(1));
    assert_eq!(story.breaches(), []);
}

#[test]
fn what_the_client_deleted_is_gone_where_servers_say_how_far_they_are() {
    let mut story = Story::new();
    story.foreign(1);
    let op = story.begin(ME, Kind::Delete);
    story.entry(Some(op), None, Effect::DeletedLatest { key: KEY.to_owned() });
    story.end(op, Outcome::Done);
    story.tell(ME, Kind::Read, failed("SECRET_DELETED"));
    assert_eq!(story.breaches(), []);
    story.tell(ME, Kind::Read, read(1));
    assert_eq!(story.breaches(), [Invariant::StaleAfterDelete]);
    story.era = Era::Silent;
    assert_eq!(story.breaches(), []);
}

#[test]
fn what_the_client_has_seen_of_one_secret_counts_for_another_where_servers_say_how_far_they_are() {
    let mut story = Story::new();
    story.foreign(1);
    story.foreign(2);
    let other = Effect::Wrote { key: "key-1".to_owned(), version: 1, value: json!({ "w": "other" }) };
    story.entry(None, None, other);
    let op = story.begin(ME, Kind::Read);
    story.history.operations[op.0].key = "key-1".to_owned();
    story.end(op, Outcome::Read { version: 1, value: json!({ "w": "other" }) });
    story.tell(ME, Kind::Read, read(2));
    story.tell(OTHER, Kind::Read, read(1));
    assert_eq!(story.breaches(), []);
    story.tell(ME, Kind::ReadPinned(2), read(2));
    story.tell(ME, Kind::Versions, Outcome::Versions { current: 2 });
    assert_eq!(story.breaches(), []);
    let mut again = Story { log: story.log.clone(), ..Story::new() };
    let op = again.begin(ME, Kind::Read);
    again.history.operations[op.0].key = "key-1".to_owned();
    again.end(op, Outcome::Read { version: 1, value: json!({ "w": "other" }) });
    again.tell(ME, Kind::Read, read(1));
    assert_eq!(again.breaches(), [Invariant::BehindIndex]);
    again.era = Era::Silent;
    assert_eq!(again.breaches(), []);
}

#[test]
fn what_nobody_wrote_is_not_read() {
    let mut story = Story::new();
    story.foreign(1);
    story.tell(ME, Kind::Read, Outcome::Read { version: 1, value: json!({ "w": "made up" }) });
    story.tell(ME, Kind::Read, read(2));
    assert_eq!(story.breaches(), [Invariant::UncommittedRead; 2]);
}

#[test]
fn a_conflict_is_another_writer_s_doing() {
    // The version never was another one.
    let mut story = Story::new();
    let op = story.begin(ME, Kind::Put { cas: Some(0) });
    story.history.send(Some(op), Some(0), false, None);
    story.end(op, failed("CAS_CONFLICT"));
    assert_eq!(story.breaches(), [Invariant::FalseConflict]);
    // Its own write moved it.
    let mut story = Story::new();
    let op = story.begin(ME, Kind::Put { cas: Some(0) });
    story.wrote(Some(op), 1, mark(op));
    story.end(op, failed("CAS_CONFLICT"));
    assert_eq!(story.breaches(), [Invariant::FalseConflict]);
    // Somebody else did.
    let mut story = Story::new();
    let op = story.begin(ME, Kind::Put { cas: Some(0) });
    story.history.send(Some(op), Some(0), false, None);
    story.foreign(1);
    story.end(op, failed("CAS_CONFLICT"));
    assert_eq!(story.breaches(), []);
}

#[test]
fn what_failed_does_not_happen_after_all_unless_its_outcome_was_open() {
    for (code, found) in [("NO_LEADER", vec![Invariant::FailedButExecuted]), ("INDETERMINATE", vec![])] {
        let mut story = Story::new();
        let op = story.begin(ME, Kind::Write);
        story.end(op, failed(code));
        story.wrote(Some(op), 1, mark(op));
        assert_eq!(story.breaches(), found);
    }
}

#[test]
fn a_delete_of_the_newest_version_is_not_sent_again() {
    let mut story = Story::new();
    story.foreign(1);
    let op = story.begin(ME, Kind::Delete);
    story.entry(Some(op), None, Effect::DeletedLatest { key: KEY.to_owned() });
    story.end(op, Outcome::Done);
    story.foreign(2);
    assert_eq!(story.breaches(), []);
    story.entry(Some(op), None, Effect::DeletedLatest { key: KEY.to_owned() });
    assert_eq!(story.breaches(), [Invariant::DeletedTwice]);
}

#[test]
fn what_was_said_to_be_deleted_is_not_deleted_later() {
    for (outcome, found) in [(Outcome::Done, vec![Invariant::LateDelete]), (failed("INDETERMINATE"), vec![])] {
        let mut story = Story::new();
        story.foreign(1);
        let op = story.begin(ME, Kind::Delete);
        story.end(op, outcome);
        story.foreign(2);
        story.entry(Some(op), None, Effect::DeletedLatest { key: KEY.to_owned() });
        assert_eq!(story.breaches(), found);
    }
}

#[test]
fn a_refusal_of_one_node_and_an_impossible_state_are_never_right() {
    let mut story = Story::new();
    for (code, nodes) in [("PERMISSION_DENIED", [0, 0]), ("MOUNT_NOT_FOUND", [1, 1]), ("PERMISSION_DENIED", [0, 1])] {
        let op = story.begin(ME, Kind::Read);
        nodes.iter().for_each(|node| _ = story.history.send(Some(op), None, false, Some(*node)));
        story.end(op, failed(code));
    }
    story.tell(ME, Kind::Read, failed("INTERNAL"));
    assert_eq!(story.breaches(), [Invariant::FalseRefusal, Invariant::FalseRefusal, Invariant::StepAfterDone]);
}

#[test]
fn when_all_is_mended_reads_agree_with_the_cluster() {
    let mut story = Story::new();
    story.foreign(1);
    story.foreign(2);
    for (outcome, agrees) in [(read(2), true), (read(1), false), (failed("NO_LEADER"), false)] {
        let op = story.begin(OTHER, Kind::Read);
        story.history.operations[op.0].fresh = Some(0);
        story.end(op, outcome);
        assert_eq!(story.breaches().is_empty(), agrees);
        story.history.operations.clear();
    }
}

#[test]
fn when_all_is_mended_a_read_that_follows_another_is_one_request() {
    let mut story = Story::new();
    story.foreign(1);
    for (before, requests, found) in [(0, 5, vec![]), (2, 1, vec![]), (2, 2, vec![Invariant::NeverSettles])] {
        let op = story.begin(OTHER, Kind::Read);
        story.history.operations[op.0].fresh = Some(before);
        story.history.send(Some(op), None, true, None);
        (0..requests).for_each(|_| _ = story.history.send(Some(op), None, false, None));
        story.end(op, read(1));
        assert_eq!(story.breaches(), found);
    }
}

#[test]
fn an_operation_is_over_at_its_deadline() {
    let mut story = Story::new();
    let op = story.begin(ME, Kind::Read);
    let late = |story: &Story, alive: bool| {
        let case = Case::new(story.era, &story.log, &story.history);
        endings(&case, |_| alive).into_iter().map(|violation| violation.invariant).collect::<Vec<_>>()
    };
    assert_eq!(late(&story, true), [Invariant::LateEnd], "it never ended");
    assert_eq!(late(&story, false), [], "nor did its client live on");
    story.now += Duration::from_millis(1200);
    story.end(op, failed("DEADLINE_EXCEEDED"));
    assert_eq!(late(&story, true), [Invariant::LateEnd]);
}

#[test]
fn versions_beyond_the_limit_are_pruned() {
    let mut story = Story::new();
    story.entry(None, None, Effect::Metadata { key: KEY.to_owned(), max_versions: Some(1), record: None });
    story.foreign(1);
    story.foreign(2);
    story.tell(ME, Kind::Read, read(2));
    story.tell(ME, Kind::ReadPinned(1), failed("VERSION_NOT_FOUND"));
    assert_eq!(story.breaches(), []);
    story.tell(ME, Kind::ReadPinned(2), failed("VERSION_NOT_FOUND"));
    assert_eq!(story.breaches(), [Invariant::StaleRead]);
}

#[test]
fn what_a_cache_serves_was_asked_for_on_the_same_behalf() {
    let mut story = Story::new();
    story.foreign(1);
    let mut reads_for = |client, partition, asks: bool| {
        let op = story.begin(client, Kind::Read);
        story.history.partitions.insert(op.0, partition);
        if asks {
            story.history.send(Some(op), None, false, None);
        }
        story.end(op, read(1));
        story.breaches()
    };
    assert_eq!(reads_for(ME, 0, true), []);
    assert_eq!(reads_for(ME, 0, false), []);
    assert_eq!(reads_for(ME, 1, false), [Invariant::ServedAnother]);
    assert_eq!(reads_for(OTHER, 0, false), [Invariant::ServedAnother; 2]);
}

#[test]
fn a_cache_may_miss_what_others_changed_and_nothing_that_its_client_has_seen() {
    let mut story = Story::new();
    story.foreign(1);
    let reads = |story: &mut Story, version| {
        let op = story.begin(ME, Kind::Read);
        story.history.partitions.insert(op.0, 0);
        story.history.send(Some(op), None, false, None);
        story.end(op, read(version));
        story.breaches()
    };
    assert_eq!(reads(&mut story, 1), []);
    story.foreign(2);
    assert_eq!(reads(&mut story, 1), []);
    assert_eq!(reads(&mut story, 2), []);
    assert_eq!(reads(&mut story, 1), [Invariant::StaleRead]);
}
