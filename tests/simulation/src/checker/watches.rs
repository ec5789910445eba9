//! Watchers: each is told versions that were written, in the order in which they came, each once, nothing older than
//! what its client has seen, and when all is mended the newest one in time.

use std::time::Duration;

use super::{Case, reads, violation};
use crate::cluster::Era;
use crate::cluster::effect::Effect;
use crate::history::{Invariant, Kind, Operation, Outcome, Told, Violation};

/// How much longer than two intervals it may take until the newest version is told, when all is mended.
const MORE: Duration = Duration::from_secs(5);

pub(super) fn check(case: &Case<'_>, found: &mut Vec<Violation>) {
    for (id, op) in case.operations() {
        let Kind::Watch { every, lasts } = &op.kind else { continue };
        let told: Vec<_> = case.history.told.iter().filter(|told| told.op.0 == id).collect();
        in_order(case, id, op, &told, found);
        for told in &told {
            since_seen(case, id, op, told, found);
        }
        // Everything else is waited out.
        if op.code().is_some_and(|code| code != "AUTHENTICATION_FAILED") {
            found.push(violation(Invariant::GaveUp, id, op, "it should have gone on"));
        }
        if lasts.is_none() && op.outcome == Outcome::Done {
            in_time(case, id, op, *every, told.last(), found);
        }
    }
}

/// The entry that wrote what was told.
pub(super) fn source(case: &Case<'_>, key: &str, told: &Told) -> Option<usize> {
    let all = case.log.iter().take(told.length);
    all.into_iter().position(|entry| match &entry.effect {
        Effect::Wrote { key: of, version, .. } => of == key && *version == told.version && entry.at == told.created,
        _ => false,
    })
}

/// Each version was the newest at a moment after the one at which the version told before was. The same one is told
/// again only where another was the newest in between, or none: a snapshot can bring it back.
fn in_order(case: &Case<'_>, id: usize, op: &Operation, told: &[&Told], found: &mut Vec<Violation>) {
    // The entry told last, and the first moment at which it can have been seen.
    let mut last: Option<(usize, usize)> = None;
    for told in told {
        let Some(entry) = source(case, &op.key, told) else {
            let text = format!("nobody has written version {} at {} ms", told.version, told.created.as_millis());
            found.push(violation(Invariant::UncommittedRead, id, op, text));
            continue;
        };
        let is_newest = |place: &usize| case.timeline.newest(&op.key, *place) == Some(entry);
        let from = match last {
            Some((before, at)) if before == entry => (at..told.length).find(|place| !is_newest(place)),
            Some((_, at)) => Some(at),
            None => Some(0),
        };
        let seen = from.and_then(|from| (from..told.length).find(is_newest));
        let epoch = |entry| case.timeline.epoch(&op.key, entry);
        let is_one_life = |(before, _): (usize, usize)| case.era == Era::Indexed || epoch(before) == epoch(entry);
        if seen.is_none() && last.is_none_or(is_one_life) {
            let text = format!("version {} of entry {entry} came before what was told last", told.version);
            found.push(violation(Invariant::WentBack, id, op, text));
        }
        last = Some((entry, seen.unwrap_or(entry)));
    }
}

/// What is told is no older than what its client had seen when it was asked for, as far as it can tell.
fn since_seen(case: &Case<'_>, id: usize, op: &Operation, told: &Told, found: &mut Vec<Violation>) {
    let (Some(entry), Some(floor)) = (source(case, &op.key, told), reads::floor(case, op.client, &op.key, told.asked))
    else {
        return;
    };
    let epoch = |place| case.timeline.epoch(&op.key, place);
    let floor = match case.era {
        // An index tells of another life as well.
        Era::Indexed => Some(floor),
        Era::Silent if epoch(entry) == epoch(floor) => Some(floor),
        Era::Silent => reads::over(case, op.client, &op.key, told.asked, entry, told.version),
    };
    let is_newest = |place| case.timeline.newest(&op.key, place) == Some(entry);
    if let Some(floor) = floor.filter(|floor| !(*floor..told.length).any(is_newest)) {
        let text = format!("it is told of entry {entry}, and its client has seen entry {floor} before");
        found.push(violation(Invariant::StaleRead, id, op, text));
    }
}

/// What was told last is what was the newest shortly before the end, if there was any.
fn in_time(
    case: &Case<'_>,
    id: usize,
    op: &Operation,
    every: Duration,
    told: Option<&&Told>,
    found: &mut Vec<Violation>,
) {
    let since = op.end.unwrap_or_default().saturating_sub(every.saturating_mul(2)).saturating_sub(MORE);
    let from = case.log.partition_point(|entry| entry.at <= since).saturating_sub(1);
    let entry = told.and_then(|told| source(case, &op.key, told));
    let newest = |place| case.timeline.newest(&op.key, place);
    if !(from..op.end_length).any(|place| newest(place).is_none_or(|newest| Some(newest) == entry)) {
        found.push(violation(Invariant::NeverTold, id, op, format!("it knows entry {entry:?}")));
    }
}
