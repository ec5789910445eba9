//! The record of a rotation in the secret's `custom_metadata`: its intent before anything is changed, its
//! end afterwards. What to do next is a pure function of it, so that any process can take up a rotation
//! that another left.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};

/// The key of `custom_metadata` that holds the record.
pub(super) const KEY: &str = "baokit_rotation";

/// How far a rotation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// The version that follows the base belongs to it.
    Begun,
    /// That version was made.
    Finished,
    /// It was given up: another writer came first, or what is outside OpenBao could not be changed.
    Abandoned,
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
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is under way: write the intent.
    Begin,
    /// Carry this one on, once its lease is ours.
    TakeUp(Record),
    /// Carry this one on: its lease is ours.
    GoOn(Record),
    /// It is over.
    Over(Record),
    /// Another process is at work on this one.
    Busy(Record),
    /// The one that is to be resumed is not the last one of this secret.
    Unknown,
}

/// Who decides: an operation id, and whether it was begun before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotator<'a> {
    pub op: &'a str,
    /// It is to be resumed, perhaps after another process began it.
    pub resumes: bool,
    /// This process has written the intent, or taken the lease, already.
    pub holds: bool,
}

pub(super) fn decide(record: Option<Record>, rotator: Rotator<'_>, now: Duration) -> Decision {
    match record {
        Some(record) if record.op == rotator.op => match record.phase {
            Phase::Finished | Phase::Abandoned => Decision::Over(record),
            Phase::Begun if rotator.holds || !rotator.resumes => Decision::GoOn(record),
            Phase::Begun => Decision::TakeUp(record),
        },
        _ if rotator.resumes => Decision::Unknown,
        Some(record) if record.phase == Phase::Begun => {
            if now.as_secs() < record.until {
                Decision::Busy(record)
            } else {
                Decision::TakeUp(record)
            }
        }
        _ => Decision::Begin,
    }
}

impl Record {
    /// Reads the text of [`KEY`].
    ///
    /// What can't be understood is somebody's, and is not written over.
    pub fn read(text: &str, secret: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|_| {
            let reason = format!("its custom_metadata {KEY} is no record of a rotation; remove it if nobody needs it");
            Error::new(Code::RotationInProgress).about(secret.to_owned()).because(reason)
        })
    }

    pub fn write(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|_| Error::new(Code::Internal).because("a record that is no JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(op: &str, phase: Phase) -> Record {
        Record { op: op.into(), base: 3, phase, until: 100 }
    }

    fn decide_for(record: Option<Record>, resumes: bool, holds: bool, now: u64) -> Decision {
        decide(record, Rotator { op: "mine", resumes, holds }, Duration::from_secs(now))
    }

    #[test]
    fn nothing_under_way_is_a_beginning_unless_a_rotation_is_to_be_resumed() {
        for over in [None, Some(record("other", Phase::Finished)), Some(record("other", Phase::Abandoned))] {
            assert_eq!(decide_for(over.clone(), false, false, 0), Decision::Begin);
            assert_eq!(decide_for(over, true, false, 0), Decision::Unknown);
        }
    }

    #[test]
    fn another_s_rotation_is_left_alone_until_its_lease_is_over_and_then_taken_up() {
        let other = record("other", Phase::Begun);
        assert_eq!(decide_for(Some(other.clone()), false, false, 99), Decision::Busy(other.clone()));
        assert_eq!(decide_for(Some(other.clone()), false, false, 100), Decision::TakeUp(other.clone()));
        assert_eq!(decide_for(Some(other), true, false, 100), Decision::Unknown);
    }

    #[test]
    fn one_s_own_rotation_goes_on_and_a_resumed_one_takes_the_lease_first() {
        let mine = record("mine", Phase::Begun);
        assert_eq!(decide_for(Some(mine.clone()), false, true, 0), Decision::GoOn(mine.clone()));
        assert_eq!(decide_for(Some(mine.clone()), true, false, 0), Decision::TakeUp(mine.clone()));
        assert_eq!(decide_for(Some(mine.clone()), true, true, 0), Decision::GoOn(mine));
        let over = record("mine", Phase::Finished);
        assert_eq!(decide_for(Some(over.clone()), true, false, 0), Decision::Over(over));
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_anything_else_is_left_alone() {
        let record = Record { op: "f".repeat(32), base: u64::MAX, phase: Phase::Begun, until: u64::MAX };
        let text = record.write().unwrap();
        assert!(text.len() < 200, "{text}");
        assert_eq!(Record::read(&text, "secret/app").unwrap(), record);
        for wrong in ["", "{}", "canary"] {
            let error = Record::read(wrong, "secret/app").unwrap_err();
            assert_eq!(error.code(), Code::RotationInProgress);
            assert!(!error.to_string().contains("canary"));
        }
    }
}
