//! Recorded rotations: one version for each operation id, whoever goes on with it and however often; what
//! is said of it and recorded of it is so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Case, violation};
use crate::cluster::effect::{Effect, Phase, Record};
use crate::history::{Invariant, Kind, Operation, Outcome, Violation};
use crate::rotations::Recorded;
use crate::tally::{Fault, Tally};

/// The operation ids that versions were made for, by the entries that made them; and those of which
/// something came late, in another life of the key than its call began in: that passes every guard there is.
struct Made(BTreeMap<usize, String>, BTreeSet<String>);

impl Made {
    fn new(case: &Case<'_>) -> Self {
        let all = case.log.iter().enumerate();
        let late = all.clone().filter_map(|(place, entry)| match &entry.effect {
            Effect::Metadata { record: Some(record), .. } => is_late(case, place).then(|| record.id.clone()),
            Effect::Wrote { .. } => maker(case, place).map(|made| made.1).filter(|_| is_late(case, place)),
            _ => None,
        });
        let late = late.collect();
        Self(all.filter_map(|(place, _)| Some((place, maker(case, place)?.1))).collect(), late)
    }

    /// The entries among these that were made for a rotation.
    fn of(&self, id: &str, places: &[usize]) -> Vec<usize> {
        places.iter().copied().filter(|place| self.0.get(place).is_some_and(|made| made == id)).collect()
    }
}

/// Whether the call that made this entry began in another life of the key.
fn is_late(case: &Case<'_>, place: usize) -> bool {
    let Some(entry) = case.log.get(place) else { return false };
    let op = entry.by.and_then(|send| case.history.get(case.history.operation_of(send)?));
    let epochs = entry
        .effect
        .key()
        .zip(op)
        .map(|(key, op)| [op.start_length.saturating_sub(1), place].map(|place| case.timeline.epoch(key, place)));
    epochs.is_some_and(|[begun, made]| begun != made)
}

/// The call that made the version of this entry, and the rotation that it was made for: the one that the
/// call had last said to carry out, since it may finish another's before its own.
fn maker<'a>(case: &Case<'a>, place: usize) -> Option<(usize, String, &'a Recorded)> {
    let entry = case.log.get(place)?;
    let (Effect::Wrote { key, .. }, send) = (&entry.effect, entry.by?) else { return None };
    let op_id = case.history.operation_of(send)?;
    let op = case.history.get(op_id).filter(|op| op.key == *key)?;
    let Kind::Recorded(recorded) = &op.kind else { return None };
    let before = case.history.sent.iter().take(send.0).rev().filter(|sent| sent.op == Some(op_id));
    let intent = before.filter_map(|sent| sent.record.as_ref()).find(|record| record.phase == Phase::Begun);
    Some((op_id.0, intent.map_or_else(|| recorded.id().to_owned(), |record| record.id.clone()), recorded))
}

pub(super) fn check(case: &Case<'_>, found: &mut Vec<Violation>) {
    let made = Made::new(case);
    for place in made.0.keys() {
        version(case, &made, *place, found);
    }
    finished(case, &made, found);
    for (id, op) in case.operations() {
        let Kind::Recorded(recorded) = &op.kind else { continue };
        match &op.outcome {
            Outcome::Rotated { id: said, old, new, is_recorded } => {
                let is_it = |place: &usize| match case.log.get(*place).map(|entry| &entry.effect) {
                    Some(Effect::Wrote { key, version, .. }) => *key == op.key && version == new,
                    _ => false,
                };
                let is_own = said == recorded.id() || (!recorded.resumes && *is_recorded);
                let all: Vec<_> = (0..op.end_length).collect();
                if *new != old + 1 || !is_own || !made.of(said, &all).iter().any(is_it) {
                    found.push(violation(Invariant::RotationLost, id, op, "no such version was made for it"));
                }
            }
            Outcome::Failed(code, _) => failed(case, &made, id, op, recorded, code, found),
            _ => {}
        }
        let is_over = matches!(op.outcome, Outcome::Rotated { .. })
            || matches!(
                op.code(),
                Some("CAS_CONFLICT" | "INDETERMINATE" | "ROTATION_UNKNOWN" | "AUTHENTICATION_FAILED")
            );
        if op.fresh.is_some() && !is_over {
            found.push(violation(Invariant::NeverFinished, id, op, "all was mended"));
        }
    }
}

fn was_refused(case: &Case<'_>, id: usize) -> bool {
    case.history.sent.iter().any(|sent| sent.refused && sent.op.is_some_and(|op| op.0 == id))
}

/// A version that was made for a rotation: the only one, announced, and with the value that was given.
fn version(case: &Case<'_>, made: &Made, place: usize, found: &mut Vec<Violation>) {
    let (Some((id, of, _)), Some(entry)) = (maker(case, place), case.log.get(place)) else { return };
    let Some((op, Effect::Wrote { key, value, .. })) = case.history.operations.get(id).map(|op| (op, &entry.effect))
    else {
        return;
    };
    let all = made.of(&of, case.timeline.made(key, place));
    if all.len() > 1 && !made.1.contains(&of) {
        let text = format!("the entries {all:?} were all made for rotation {of}");
        found.push(violation(Invariant::RotatedTwice, id, op, text));
    }
    let announces = |record: &Record| record.id == of && record.phase == Phase::Begun;
    let mut before = case.made_by(id).take_while(|(at, ..)| *at < place);
    let is_announced = before.any(|(.., entry)| match &entry.effect {
        Effect::Metadata { record: Some(record), .. } => announces(record),
        _ => false,
    });
    // Without a right on the metadata there is no record.
    if !is_announced && !was_refused(case, id) {
        found.push(violation(Invariant::IntentLast, id, op, format!("entry {place} was made without an intent")));
    }
    let asked = case.history.rotations(key).map(|(recorded, _)| recorded).find(|recorded| recorded.id() == of);
    if let Some(asked) = asked.filter(|asked| asked.given)
        && !value.to_string().contains(&asked.mark())
    {
        let text = format!("entry {place} was made for rotation {of}, which gave another value");
        found.push(violation(Invariant::OtherValue, id, op, text));
    }
}

/// What is recorded as finished has its version, unless the key began another life while that was recorded.
fn finished(case: &Case<'_>, made: &Made, found: &mut Vec<Violation>) {
    for (place, entry) in case.log.iter().enumerate() {
        let Effect::Metadata { key, record: Some(record), .. } = &entry.effect else { continue };
        let Some(id) = entry.by.and_then(|send| case.history.operation_of(send)) else { continue };
        let Some(op) = case.history.get(id).filter(|_| record.phase == Phase::Finished) else { continue };
        let epoch = |place| case.timeline.epoch(key, place);
        let is_it = |place: &usize| match case.log.get(*place).map(|entry| &entry.effect) {
            Some(Effect::Wrote { version, .. }) => *version == record.base + 1,
            _ => false,
        };
        let has_version = made.of(&record.id, case.timeline.made(key, place)).iter().any(is_it);
        if !has_version && epoch(op.start_length.saturating_sub(1)) == epoch(place) {
            let text = format!("entry {place} says that rotation {} is finished", record.id);
            found.push(violation(Invariant::FalseFinish, id.0, op, text));
        }
    }
}

fn failed(
    case: &Case<'_>,
    made: &Made,
    id: usize,
    op: &Operation,
    recorded: &Recorded,
    code: &str,
    found: &mut Vec<Violation>,
) {
    let window = op.start_length.saturating_sub(1)..op.end_length;
    let end = op.end_length.saturating_sub(1);
    let epoch = |place| case.timeline.epoch(&op.key, place);
    // A snapshot brings back what was recorded and made before, and takes away what was since.
    let is_restored = window.clone().any(|place| epoch(place) != epoch(end));
    let records = || window.clone().map(|place| case.timeline.record(&op.key, place));
    let own = |places: &[usize]| made.of(recorded.id(), places);
    let by_this = |place: &usize| maker(case, *place).is_some_and(|(by, ..)| by == id);
    let later: Vec<_> = (op.end_length..case.log.len()).filter(|place| epoch(*place) == epoch(end)).collect();
    let mut breach = |invariant, text: String| found.push(violation(invariant, id, op, text));
    match code {
        "CAS_CONFLICT" => {
            let before = own(case.timeline.made(&op.key, end));
            if !before.is_empty() && !is_restored && !made.1.contains(recorded.id()) {
                breach(Invariant::FalseConflict, format!("its own version was made by the entries {before:?}"));
            }
            let after = own(&later);
            // What it says is about the life of the key in which it looked; in the next one another call may begin anew.
            if !after.is_empty() && !is_restored {
                breach(Invariant::FailedButExecuted, format!("the entries {after:?} were made for it afterwards"));
            }
            if before.is_empty() && after.is_empty() && !recorded.applied && !has_rival(case, made, op, recorded) {
                breach(Invariant::FalseConflict, "nobody else has changed the secret".to_owned());
            }
        }
        "ROTATION_UNKNOWN" => {
            if records().all(|record| record.is_some_and(|record| record.id == recorded.id())) {
                breach(Invariant::RotationForgotten, "it was recorded all the time".to_owned());
            }
            let is_made = window.clone().all(|place| !own(case.timeline.made(&op.key, place)).is_empty());
            let was_recorded = !case.operations().any(|(call, other)| {
                matches!(&other.kind, Kind::Recorded(it) if it.id() == recorded.id()) && was_refused(case, call)
            });
            if is_made && was_recorded && !made.1.contains(recorded.id()) && records().all(|record| record.is_none()) {
                breach(Invariant::RotationForgotten, "its version is there, and no record".to_owned());
            }
        }
        "ROTATION_IN_PROGRESS" => {
            let is_begun = |record: Option<&Record>| record.is_some_and(|record| record.phase == Phase::Begun);
            if !records().any(is_begun) && !is_restored {
                breach(Invariant::FalseBusy, "none is recorded as begun".to_owned());
            }
        }
        "INDETERMINATE" => {}
        _ => {
            let all: Vec<_> = case.timeline.made(&op.key, end).iter().copied().chain(later).collect();
            let mut executed = own(&all);
            executed.retain(by_this);
            if !executed.is_empty() {
                breach(Invariant::FailedButExecuted, format!("it made the entries {executed:?}"));
            }
        }
    }
}

/// Whether anybody else made a version, or the key began another life, since the rotation began.
fn has_rival(case: &Case<'_>, made: &Made, op: &Operation, recorded: &Recorded) -> bool {
    let calls = case.operations().filter(|(_, other)| other.key == op.key);
    let own = calls.filter(|(_, other)| matches!(&other.kind, Kind::Recorded(it) if it.id() == recorded.id()));
    let begun = own.map(|(_, other)| other.start_length).min().unwrap_or_default();
    let since = case.log.iter().enumerate().take(op.end_length).skip(begun);
    since.into_iter().any(|(place, entry)| match &entry.effect {
        Effect::Wrote { key, .. } => *key == op.key && made.0.get(&place).is_none_or(|id| id != recorded.id()),
        Effect::Gone { key } => *key == op.key,
        Effect::Restored { .. } => true,
        _ => false,
    })
}

/// What is outside has the value of the newest version of its secret when everything has come to its end.
/// A snapshot that is restored does not reach it, and leases are of no use where clocks jump.
pub(crate) fn outside(case: &Case<'_>, held: &BTreeMap<String, Value>, tally: &Tally) -> Vec<Violation> {
    let is_spoilt = tally.of_fault(Fault::ClockJump) + tally.of_fault(Fault::ForeignRestore) > 0;
    let last = case.log.len().saturating_sub(1);
    let mut found = Vec::new();
    for (key, value) in held.iter().filter(|_| !is_spoilt) {
        let is_open = case.timeline.record(key, last).is_none_or(|record| record.phase == Phase::Begun);
        let newest = case.timeline.made(key, last).last().and_then(|place| case.log.get(*place));
        let wanted = match newest.map(|entry| &entry.effect) {
            Some(Effect::Wrote { value, .. }) => value,
            _ => &Value::Null,
        };
        if value != wanted && !is_open {
            let text = format!("{key} holds {wanted}, and outside there is {value}");
            found.push(Violation { invariant: Invariant::OutsideDiffers, text });
        }
    }
    found
}
