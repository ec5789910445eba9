//! Changes: what was acknowledged happened once, what failed did not happen, and a conflict was another
//! writer's doing.

use std::collections::BTreeMap;

use super::{Case, violation};
use crate::cluster::effect::Effect;
use crate::history::{Invariant, Kind, Operation, Outcome, Violation};
use crate::workload::copied;

pub(super) fn check(case: &Case<'_>, found: &mut Vec<Violation>) {
    for (id, op) in case.operations() {
        if op.kind.writes() {
            acknowledged(case, id, op, found);
            once(case, id, op, Invariant::VersionMadeTwice, found);
        } else if op.kind == Kind::Delete {
            once(case, id, op, Invariant::DeletedTwice, found);
            late(case, id, op, found);
        } else {
            continue;
        }
        match op.code() {
            // A move that made its copy has done what is judged here.
            Some(_) if is_half_done(op) => {}
            Some("CAS_CONFLICT") => conflict(case, id, op, found),
            Some("INDETERMINATE") | None => {}
            Some(_) => not_executed(case, id, op, 0, found),
        }
    }
}

fn is_half_done(op: &Operation) -> bool {
    matches!(&op.outcome, Outcome::Failed(_, text) if matches!(op.kind, Kind::Transfer(_)) && copied(text).is_some())
}

/// Whether an entry is what the operation was for, and not a log-in on its way, nor what a move does to its source.
fn is_change(op: &Operation, effect: &Effect) -> bool {
    matches!(effect, Effect::Wrote { key, .. } | Effect::DeletedLatest { key } if *key == op.key)
}

fn acknowledged(case: &Case<'_>, id: usize, op: &Operation, found: &mut Vec<Violation>) {
    let Outcome::Written { version } = op.outcome else { return };
    let is_it = |effect: &Effect| match effect {
        Effect::Wrote { key, version: number, value } => {
            *key == op.key && *number == version && value.to_string().contains(&format!("\"{}\"", op.mark))
        }
        _ => false,
    };
    if !case.made_by(id).any(|(place, _, entry)| place < op.end_length && is_it(&entry.effect)) {
        found.push(violation(Invariant::AcknowledgedWriteLost, id, op, "no such version was committed"));
    }
}

/// Of one life of the key, one request of the operation at most was carried out. (What the network
/// delivers twice is one request. A request that executes late, after the key was made anew, passes
/// every guard there is.)
fn once(case: &Case<'_>, id: usize, op: &Operation, invariant: Invariant, found: &mut Vec<Violation>) {
    let mut requests: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, send, _) in case.made_by(id).filter(|(.., entry)| is_change(op, &entry.effect)) {
        let sends = requests.entry(case.timeline.epoch(&op.key, place)).or_default();
        if !sends.contains(&send) {
            sends.push(send);
        }
    }
    for sends in requests.values().filter(|sends| sends.len() > 1) {
        found.push(violation(invariant, id, op, format!("the sends {sends:?} were all carried out")));
    }
}

/// A delete of the newest version that was said to be done and is carried out afterwards takes away what
/// was written meanwhile. (What the network delivers twice is not the client's doing.)
fn late(case: &Case<'_>, id: usize, op: &Operation, found: &mut Vec<Violation>) {
    let done = op.outcome == Outcome::Done;
    let first = case.made_by(id).find(|(.., entry)| is_change(op, &entry.effect));
    if let Some((place, send, _)) = first.filter(|(place, ..)| done && *place >= op.end_length) {
        let text = format!("send {send} was carried out as entry {place}, after the operation's end");
        found.push(violation(Invariant::LateDelete, id, op, text));
    }
}

/// An error that is not Indeterminate says that the change did not happen and will not.
fn not_executed(case: &Case<'_>, id: usize, op: &Operation, from: usize, found: &mut Vec<Violation>) {
    let end = op.end_length.saturating_sub(1);
    let epoch = case.timeline.epoch(&op.key, end);
    let mut made = case.made_by(id).filter(|(.., entry)| is_change(op, &entry.effect));
    if let Some((place, send, _)) =
        made.find(|(place, ..)| *place >= from && case.timeline.epoch(&op.key, *place) == epoch)
    {
        let text = format!("send {send} was carried out as entry {place} (the operation ended after entry {end})");
        found.push(violation(Invariant::FailedButExecuted, id, op, text));
    }
}

fn conflict(case: &Case<'_>, id: usize, op: &Operation, found: &mut Vec<Violation>) {
    let own = case.made_by(id).find(|(place, _, entry)| *place < op.end_length && is_change(op, &entry.effect));
    // A snapshot that was restored since shows the base as it was, and another writer's version after it.
    let is_restored = |place: usize| {
        let since = case.log.iter().take(op.end_length).skip(place);
        since.into_iter().any(|entry| matches!(entry.effect, Effect::Restored { .. }))
    };
    if let Some((place, send, _)) = own.filter(|(place, ..)| !is_restored(*place)) {
        let text = format!("it was its own send {send} that made entry {place}");
        found.push(violation(Invariant::FalseConflict, id, op, text));
        return;
    }
    if own.is_some() {
        return;
    }
    not_executed(case, id, op, op.end_length, found);
    let sent = case.history.sent.iter().filter(|sent| sent.op.is_some_and(|op| op.0 == id));
    let guards: Vec<_> = sent.filter_map(|sent| sent.cas).collect();
    let moments = op.start_length.saturating_sub(1)..op.end_length;
    let differed = |cas: &u64| moments.clone().any(|place| case.timeline.current(&op.key, place) != *cas);
    if !guards.iter().any(differed) {
        let text = format!("the version was {guards:?} all the time");
        found.push(violation(Invariant::FalseConflict, id, op, text));
    }
}
