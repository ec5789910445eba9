//! What a cache serves: only what the cluster was asked for on the same behalf.

use super::{Case, violation};
use crate::history::{Invariant, Outcome, Violation};

pub(super) fn check(case: &Case<'_>, found: &mut Vec<Violation>) {
    let partition = |id: usize| case.history.partitions.get(&id);
    let asked = |id: usize| case.history.sent.iter().any(|sent| !sent.of_token && sent.op.is_some_and(|op| op.0 == id));
    for (id, op) in case.operations().filter(|(id, _)| partition(*id).is_some()) {
        if !matches!(op.outcome, Outcome::Read { .. }) {
            continue;
        }
        // The one that asked has begun before the other was over, and heard the same.
        let is_source = |other: usize| {
            case.history.operations.get(other).is_some_and(|source| {
                (source.client, &source.key, &source.kind) == (op.client, &op.key, &op.kind)
                    && source.outcome == op.outcome
                    && op.end.is_none_or(|end| source.start <= end)
            })
        };
        let mut sources = case.history.partitions.iter().filter(|(_, other)| Some(*other) == partition(id));
        if !sources.any(|(other, _)| is_source(*other) && asked(*other)) {
            found.push(violation(Invariant::ServedAnother, id, op, "nobody has asked for that on the same behalf"));
        }
    }
}
