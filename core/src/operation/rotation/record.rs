//! The record of a rotation in the secret's `custom_metadata`: its intent before anything is changed, its
//! end afterwards. What to do next is a pure function of it, so that any process can take up a rotation
//! that another left.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Code, Error, Result};
use crate::hash::{EMPTY, hash_on};

/// The key of `custom_metadata` that holds the record.
pub(super) const KEY: &str = "baokit_rotation";

/// How many marks are kept: one is added each time that a rotation is resumed before it has written.
const MARKS: usize = 16;

/// How far a rotation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// It is under way, or was cut off.
    Begun,
    /// The version that follows the base was made.
    Finished,
    /// It was given up: another writer came first, or what is outside OpenBao could not be changed.
    Abandoned,
    /// It was given up, and whose the version is that follows the base can't be said.
    Unclear,
}

/// One rotation. It fits well into the 512 bytes that OpenBao allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The operation id.
    pub op: String,
    /// The version that was the newest when it began.
    pub base: u64,
    pub phase: Phase,
    /// Until when nobody else takes it up: seconds since the Unix epoch.
    pub until: u64,
    /// Who holds the lease: a random text, another one for each call.
    pub by: String,
    /// Which key it changes, as [`key_of`] says.
    pub of: u64,
    /// Something outside OpenBao is changed along with it.
    pub applied: bool,
    /// The marks of the values that its processes have generated: by them its version is told from one that
    /// another writer made. None where the value was given.
    pub marks: Vec<u16>,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is under way that matters: write the intent.
    Begin,
    /// Carry this one on, once its lease is ours.
    TakeUp(Record),
    /// It is over.
    Over(Record),
    /// Another process is at work on this one.
    Busy(Record),
    /// It was left, and may have changed something outside that this rotator can't go on with.
    Left(Record),
    /// The one that is to be resumed is not the last one of this secret.
    Unknown,
    /// The one that is to be resumed changes another key, or what only one of both changes outside.
    Other,
}

/// Who decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotator<'a> {
    pub op: &'a str,
    /// It is to be resumed, perhaps after another process began it.
    pub resumes: bool,
    /// Its own lease is given up, if it has one: this call has not tried to take it.
    pub is_first: bool,
    pub of: u64,
    pub applies: bool,
    /// It has a value of its own, so that another's does not do.
    pub has_value: bool,
}

pub(super) fn decide(record: Option<Record>, rotator: Rotator<'_>, now: Duration) -> Decision {
    let Some(record) = record else {
        return if rotator.resumes { Decision::Unknown } else { Decision::Begin };
    };
    let is_over = record.phase != Phase::Begun;
    let is_same_key = record.of == rotator.of;
    if record.op == rotator.op {
        return match (is_over, rotator.resumes || rotator.is_first) {
            _ if !is_same_key => Decision::Other,
            (true, _) => Decision::Over(record),
            _ if record.applied != rotator.applies => Decision::Other,
            (false, true) => Decision::TakeUp(record),
            // Somebody has resumed it meanwhile.
            (false, false) => Decision::Busy(record),
        };
    }
    if rotator.resumes {
        return Decision::Unknown;
    }
    match record {
        _ if is_over => Decision::Begin,
        record if now.as_secs() < record.until => Decision::Busy(record),
        // What is outside may have its value already, which only the stage knows.
        record if record.applied && !(is_same_key && rotator.applies) => Decision::Left(record),
        record if record.applied => Decision::TakeUp(record),
        // Its value is known where it was generated; one that was given is its owner's, who must not be told that
        // another one was brought in for it.
        record if is_same_key && !rotator.applies && !rotator.has_value && !record.marks.is_empty() => {
            Decision::TakeUp(record)
        }
        // It has changed nothing, or made a version that ours follows.
        _ => Decision::Begin,
    }
}

impl Record {
    /// Reads the text of [`KEY`].
    ///
    /// What can't be understood is somebody's, and is not written over.
    pub fn read(text: &str, secret: &str) -> Result<Self> {
        let read = serde_json::from_str::<Self>(text).ok().filter(|record| is_id(&record.op));
        read.ok_or_else(|| {
            let reason = format!("its custom_metadata {KEY} is no record of a rotation; remove it if nobody needs it");
            Error::new(Code::RotationInProgress).about(secret.to_owned()).because(reason)
        })
    }

    pub fn write(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|_| Error::new(Code::Internal).because("a record that is no JSON"))
    }

    /// Keeps the mark of a value that is going to be written.
    pub fn mark(&mut self, value: &Value) {
        if self.marks.len() >= MARKS {
            self.marks.remove(0);
        }
        self.marks.push(mark_of(value));
    }

    /// Whether the value is one that was generated for it.
    pub fn knows(&self, value: &Value) -> bool {
        self.marks.contains(&mark_of(value))
    }
}

/// A mark of a generated value. Whoever reads it learns 16 bits of the value and no more, whatever they
/// compute; so a given value, which might be guessed, has none.
fn mark_of(value: &Value) -> u16 {
    let hash = hashed(value, EMPTY);
    (hash ^ (hash >> 16) ^ (hash >> 32) ^ (hash >> 48)) as u16
}

/// The key of the secret that a fragment names, as a number; 0 for the whole secret.
pub(super) fn key_of(fragment: Option<&str>) -> u64 {
    fragment.map_or(0, |fragment| hash_on(EMPTY, fragment.as_bytes()))
}

/// Numbers count as OpenBao stores them, as `float64`.
fn hashed(value: &Value, hash: u64) -> u64 {
    match value {
        Value::Null => hash_on(hash, b"n"),
        Value::Bool(value) => hash_on(hash, if *value { b"t" } else { b"f" }),
        Value::Number(number) => hash_on(hash, &number.as_f64().unwrap_or_default().to_be_bytes()),
        Value::String(text) => hash_on(hash_on(hash, text.as_bytes()), b"\xff"),
        Value::Array(items) => items.iter().fold(hash_on(hash, b"["), |hash, item| hashed(item, hash)),
        // In the order of the keys, which a map of serde_json may not have.
        Value::Object(map) => {
            let each = |(name, value): (&String, &Value)| hashed(value, hash_on(EMPTY, name.as_bytes()));
            hash_on(hash, b"{") ^ map.iter().map(each).fold(0, |all, one| all ^ one)
        }
    }
}

/// Whether a text can be an operation id: it is shown in errors.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(op: &str, phase: Phase) -> Record {
        Record { op: op.into(), base: 3, phase, until: 100, by: "b".into(), of: 7, applied: false, marks: vec![1] }
    }

    fn rotator() -> Rotator<'static> {
        Rotator { op: "mine", resumes: false, is_first: true, of: 7, applies: false, has_value: false }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_under_way_is_a_beginning_unless_a_rotation_is_to_be_resumed() {
        for over in [None, Some(record("other", Phase::Finished)), Some(record("other", Phase::Abandoned))] {
            assert_eq!(decide(over.clone(), rotator(), at(0)), Decision::Begin);
            assert_eq!(decide(over, Rotator { resumes: true, ..rotator() }, at(0)), Decision::Unknown);
        }
    }

    #[test]
    fn another_s_rotation_is_left_alone_until_its_lease_is_over_and_then_taken_up() {
        let other = record("other", Phase::Begun);
        assert_eq!(decide(Some(other.clone()), rotator(), at(99)), Decision::Busy(other.clone()));
        assert_eq!(decide(Some(other.clone()), rotator(), at(100)), Decision::TakeUp(other.clone()));
        assert_eq!(decide(Some(other), Rotator { resumes: true, ..rotator() }, at(100)), Decision::Unknown);
    }

    #[test]
    fn a_rotation_that_was_left_is_taken_up_only_by_one_of_its_kind() {
        let left = record("other", Phase::Begun);
        for unlike in [
            Rotator { of: 8, ..rotator() },
            Rotator { applies: true, ..rotator() },
            Rotator { has_value: true, ..rotator() },
        ] {
            assert_eq!(decide(Some(left.clone()), unlike, at(100)), Decision::Begin);
        }
        let given = Record { marks: Vec::new(), ..left.clone() };
        assert_eq!(decide(Some(given), rotator(), at(100)), Decision::Begin);
        let applied = Record { applied: true, ..left };
        for unlike in [rotator(), Rotator { of: 8, applies: true, ..rotator() }] {
            assert_eq!(decide(Some(applied.clone()), unlike, at(100)), Decision::Left(applied.clone()));
        }
        let alike = Rotator { applies: true, has_value: true, ..rotator() };
        assert_eq!(decide(Some(applied.clone()), alike, at(100)), Decision::TakeUp(applied));
    }

    #[test]
    fn one_s_own_rotation_is_taken_up_at_once_unless_somebody_resumed_it_meanwhile() {
        let mine = record("mine", Phase::Begun);
        assert_eq!(decide(Some(mine.clone()), rotator(), at(0)), Decision::TakeUp(mine.clone()));
        let later = Rotator { is_first: false, ..rotator() };
        assert_eq!(decide(Some(mine.clone()), later, at(0)), Decision::Busy(mine.clone()));
        let resumed = Rotator { resumes: true, ..later };
        assert_eq!(decide(Some(mine.clone()), resumed, at(0)), Decision::TakeUp(mine.clone()));
        assert_eq!(decide(Some(mine.clone()), Rotator { of: 8, ..resumed }, at(0)), Decision::Other);
        assert_eq!(decide(Some(Record { applied: true, ..mine }), resumed, at(0)), Decision::Other);
        let over = record("mine", Phase::Finished);
        assert_eq!(decide(Some(over.clone()), resumed, at(0)), Decision::Over(over));
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_anything_else_is_left_alone() {
        let record = Record {
            op: "f".repeat(32),
            base: u64::MAX,
            phase: Phase::Abandoned,
            until: u64::MAX,
            by: "f".repeat(16),
            of: u64::MAX,
            applied: false,
            marks: vec![u16::MAX; MARKS],
        };
        let text = record.write().unwrap();
        assert!(text.len() < 400, "{text}");
        assert_eq!(Record::read(&text, "secret/app").unwrap(), record);
        for wrong in ["", "{}", "canary"] {
            let error = Record::read(wrong, "secret/app").unwrap_err();
            assert_eq!(error.code(), Code::RotationInProgress);
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn a_value_is_known_by_its_mark_as_openbao_stores_it_and_the_last_ones_are_kept() {
        let mut record = record("mine", Phase::Begun);
        record.mark(&json!({"password": "canary", "port": 1, "list": [true, null]}));
        assert!(record.knows(&json!({"list": [true, null], "port": 1.0, "password": "canary"})));
        for other in [json!({"password": "canary", "port": 2, "list": [true, null]}), json!("canary"), json!(null)] {
            assert!(!record.knows(&other));
        }
        (0..20).for_each(|i| record.mark(&json!(i)));
        assert_eq!(record.marks.len(), MARKS);
        assert!(record.knows(&json!(19)) && !record.knows(&json!({"password": "canary"})));
    }
}
