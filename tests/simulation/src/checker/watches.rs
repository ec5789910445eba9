//! Watchers: each is told versions that were written, in the order in which they came, each once, nothing older than
//! what its client has seen, and when all is mended the newest one in time. And all who watch share one look.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Case, reads, violation};
use crate::cluster::Era;
use crate::cluster::effect::Effect;
use crate::history::{ClientId, Invariant, Kind, Operation, Outcome, Told, Violation};

/// How much longer than two intervals it may take until the newest version is told, when all is mended.
const MORE: Duration = Duration::from_secs(5);

/// How many requests for looks at one key a client sends in a second at most. Looks are a second apart, and one in doubt
/// asks ten times, 100 ms apart, at two nodes: the one it doubts, and the leader.
const BUSY: usize = 20;

pub(super) fn check(case: &Case<'_>, found: &mut Vec<Violation>) {
    looks(case, found);
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

/// Those who watch a key through one client share one look for each interval.
fn looks(case: &Case<'_>, found: &mut Vec<Violation>) {
    // By client and key: the first who watches it, the shortest interval, and when the first of them is at the end.
    let mut watched: BTreeMap<(ClientId, &str), (usize, Duration, Duration)> = BTreeMap::new();
    for (id, op) in case.operations() {
        if let Kind::Watch { every, .. } = op.kind {
            let of_key = watched.entry((op.client, &op.key));
            let (_, shortest, first_end) = of_key.or_insert((id, every, Duration::MAX));
            *shortest = every.min(*shortest);
            if let Some(end) = op.end.filter(|_| lasts(op)) {
                *first_end = end.min(*first_end);
            }
        }
    }
    let rest = rest(case);
    for ((client, key), (id, every, first_end)) in watched {
        let is_look = |op: &Operation| op.client == client && op.key == key && matches!(op.kind, Kind::Watch { .. });
        let looks = case.history.sent.iter().filter(|sent| {
            let op = sent.op.and_then(|op| case.history.get(op));
            op.is_some_and(is_look) && sent.asks.starts_with("GET /v1/secret/metadata/")
        });
        let looks: Vec<_> = looks.map(|sent| sent.at).collect();
        let come_within = |looks: &[Duration], count: usize, time: Duration| {
            let span =
                |many: &[Duration]| many.last().zip(many.first()).map(|(last, first)| last.saturating_sub(*first));
            looks.windows(count).filter_map(span).any(|span| span < time)
        };
        let from = rest.map_or(looks.len(), |rest| looks.partition_point(|at| *at <= rest));
        // Who goes away while it looks leaves its look to another.
        let to = looks.partition_point(|at| *at < first_end);
        let at_rest = looks.get(from..to).unwrap_or_default();
        let text = if come_within(&looks, BUSY + 1, Duration::from_secs(1)) {
            format!("more than {BUSY} requests within a second")
        } else if come_within(at_rest, 2, every.saturating_mul(3) / 4) {
            "two looks in one interval, with everything at rest".to_owned()
        } else {
            continue;
        };
        if let Some(op) = case.history.operations.get(id) {
            found.push(violation(Invariant::TooManyLooks, id, op, text));
        }
    }
}

/// Whether this is to watch to the end.
fn lasts(op: &Operation) -> bool {
    matches!(op.kind, Kind::Watch { lasts: None, .. })
}

/// When everything was mended and nobody did anything any more, but for those who watch to the end.
fn rest(case: &Case<'_>) -> Option<Duration> {
    let is_mended = case.operations().any(|(_, op)| op.fresh.is_some());
    let ends = case.operations().filter(|(_, op)| !lasts(op)).filter_map(|(_, op)| op.end);
    ends.max().filter(|_| is_mended)
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
