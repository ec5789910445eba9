//! What may stand behind a key, and what each operation makes of it: pure functions, so that every store counts
//! uses in the same way.

use std::time::Duration;

use super::{Denial, Grant, Taken};
use crate::policy::Key;

/// A grant or a denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    Grant(Grant),
    Denial(Denial),
}

impl Row {
    pub fn until(&self) -> Duration {
        match self {
            Self::Grant(grant) => grant.until,
            Self::Denial(denial) => denial.until,
        }
    }

    fn sender(&self) -> Option<&Key> {
        match self {
            Self::Grant(grant) => grant.sender.as_ref(),
            Self::Denial(denial) => denial.sender.as_ref(),
        }
    }
}

/// The row, unless it has ended.
pub(super) fn living(row: Option<&Row>, wall: Duration) -> Option<&Row> {
    row.filter(|row| wall < row.until())
}

/// What a caller with this sender key gets of what is there; and what must take its place for that.
pub(super) fn take(row: Option<&Row>, sender: Option<&Key>, wall: Duration) -> (Taken, Option<Row>) {
    match living(row, wall) {
        Some(Row::Denial(denial)) if denial.sender.as_ref() == sender => (Taken::Denied(denial.clone()), None),
        Some(Row::Grant(grant)) if grant.sender.as_ref() != sender => (Taken::OtherSender, None),
        Some(Row::Grant(grant)) => match grant.uses.checked_sub(1) {
            Some(uses) => {
                let rest = Grant { uses, ..grant.clone() };
                (Taken::Use(rest.clone()), Some(Row::Grant(rest)))
            }
            None => (Taken::Nothing, None),
        },
        Some(Row::Denial(_)) | None => (Taken::Nothing, None),
    }
}

/// Whether a new row may take the place of what is there.
pub(super) fn may_replace(row: Option<&Row>, new: &Row, wall: Duration) -> bool {
    match living(row, wall) {
        Some(old @ Row::Grant(_)) => old.sender() == new.sender(),
        _ => true,
    }
}
