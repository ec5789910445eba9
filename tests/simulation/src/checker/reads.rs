//! Reads: they show what was committed, and nothing older than what the same client has seen.

use std::time::Duration;

use super::{Case, violation, watches};
use crate::cluster::Era;
use crate::cluster::effect::Effect;
use crate::history::{ClientId, Invariant, Kind, Operation, Outcome, Transfer, Violation};

/// What a client has seen of a key: the entry of the log that it can't go behind.
#[derive(Clone, Copy, Debug)]
struct Floor {
    place: usize,
    /// Whether what it did was to delete.
    deleted: bool,
}

/// What a client has seen, and when.
struct Sight<'a> {
    key: &'a str,
    floor: Floor,
    at: Duration,
    /// Whether it showed what the key's newest version was: a version that was asked for does not, and one that was
    /// written tells no more than its number.
    is_look: bool,
}

pub(super) fn check(case: &Case<'_>, found: &mut Vec<Violation>) {
    for (id, op) in case.operations() {
        if let Outcome::Read { .. } = op.outcome
            && source(case, op).is_none()
        {
            found.push(violation(Invariant::UncommittedRead, id, op, "nobody has written that"));
            continue;
        }
        // After a deletion, not to find the secret at all is no sight of what was deleted.
        let shows = matches!(op.outcome, Outcome::Read { .. } | Outcome::Versions { .. });
        // What others change, a cache may miss for its time: an index tells of others, and so does the state of
        // a version that is pinned.
        let is_cached = case.history.partitions.contains_key(&id);
        if is_cached && matches!(op.kind, Kind::ReadPinned(_)) {
            continue;
        }
        let floor = below_floor(case, op).filter(|floor| can_tell(case, op, *floor) && (shows || !floor.deleted));
        if let Some(floor) = floor {
            let invariant = if floor.deleted { Invariant::StaleAfterDelete } else { Invariant::StaleRead };
            let text = format!("the client has seen entry {} of the log before, which is newer", floor.place);
            found.push(violation(invariant, id, op, text));
        } else if let Some(place) = behind_index(case, op).filter(|_| !is_cached) {
            let text = format!("the client has seen entry {place} of the log before, of another secret");
            found.push(violation(Invariant::BehindIndex, id, op, text));
        }
    }
}

/// What the client has seen of any secret, where servers say how far they are, and the read shows what was
/// before that. The answer for a missing key says nothing.
fn behind_index(case: &Case<'_>, op: &Operation) -> Option<usize> {
    let says = !matches!(op.code(), Some("SECRET_NOT_FOUND" | "VERSION_NOT_FOUND"));
    if case.era == Era::Silent || !says || !is_read(op) {
        return None;
    }
    let place = sights(case, op.client, op.start).map(|sight| sight.floor.place).max()?;
    let shown = |place| case.timeline.shows(case.log, &op.key, place, &op.kind, &op.outcome);
    (!(place..op.end_length).any(shown)).then_some(place)
}

/// How many reads went back behind the making anew of a key, and their client could not tell.
pub(super) fn old_epochs(case: &Case<'_>) -> usize {
    let old = |op: &Operation| below_floor(case, op).is_some_and(|floor| !can_tell(case, op, floor));
    case.operations().filter(|(_, op)| old(op)).count()
}

fn is_read(op: &Operation) -> bool {
    let found = matches!(op.outcome, Outcome::Read { .. } | Outcome::Versions { .. });
    let codes = ["SECRET_NOT_FOUND", "SECRET_DELETED", "SECRET_DESTROYED"];
    let pinned = ["VERSION_NOT_FOUND", "VERSION_DELETED", "VERSION_DESTROYED"];
    let absent = op.code().is_some_and(|code| codes.contains(&code) || pinned.contains(&code));
    found || (absent && matches!(op.kind, Kind::Read | Kind::ReadPinned(_) | Kind::Versions))
}

/// The floor that a read fell below, if it did: no state of the key from there to the read's end shows
/// what it was answered.
fn below_floor(case: &Case<'_>, op: &Operation) -> Option<Floor> {
    // What a version holds never changes; that it was pruned, deleted or brought back by others shows
    // nowhere before 2.7.
    let of_others = matches!(op.kind, Kind::ReadPinned(_)) && case.era == Era::Silent;
    if !is_read(op) || of_others {
        return None;
    }
    let floor = highest(case, op.client, &op.key, op.start)?;
    let shown = |place| case.timeline.shows(case.log, &op.key, place, &op.kind, &op.outcome);
    (!(floor.place..op.end_length).any(shown)).then_some(floor)
}

/// Whether the client can tell that the read's answer is older than the floor: it is of the same life of the key, or of
/// one that the client knows to be over.
fn can_tell(case: &Case<'_>, op: &Operation, floor: Floor) -> bool {
    let epoch = |place| case.timeline.epoch(&op.key, place);
    let shown = |place: &usize| case.timeline.shows(case.log, &op.key, *place, &op.kind, &op.outcome);
    // What is absent has no entry of its own: it is as it was before the floor, if it ever was so.
    let answered = source(case, op).or_else(|| (0..floor.place).rev().find(shown));
    let Some(answered) = answered.filter(|answered| epoch(*answered) != epoch(floor.place)) else { return true };
    // A read of one version says nothing of the newest, and any life may have had that one.
    if matches!(op.kind, Kind::ReadPinned(_)) {
        return false;
    }
    let version = case.timeline.current(&op.key, answered);
    let over = over(case, op.client, &op.key, op.start, answered, version);
    over.is_some_and(|place| !(place..op.end_length).any(|place| shown(&place)))
}

/// The entry of a later life of a key that a client had seen before a moment, if that told it that this version of this
/// entry is of a life that is over.
///
/// It can't tell where the version is higher than all that it ever saw: that looks like one more of the new life; nor
/// after it has seen something of the former life again, which looked like that.
pub(super) fn over(
    case: &Case<'_>,
    client: ClientId,
    key: &str,
    before: Duration,
    entry: usize,
    version: u64,
) -> Option<usize> {
    let of_key: Vec<_> =
        sights(case, client, before).filter(|sight| sight.key == key && !sight.floor.deleted).collect();
    let highest = of_key.iter().map(|sight| case.timeline.current(key, sight.floor.place)).max()?;
    let last = of_key.iter().filter(|sight| sight.is_look).max_by_key(|sight| sight.at)?.floor.place;
    let is_other = case.timeline.epoch(key, last) != case.timeline.epoch(key, entry);
    (version <= highest && is_other && entry < last).then_some(last)
}

/// What a client had seen before a moment.
fn sights<'a>(case: &'a Case<'a>, client: ClientId, before: Duration) -> impl Iterator<Item = Sight<'a>> {
    let all = case.operations().filter(move |(_, other)| other.client == client);
    let of_operations = all.filter_map(move |(id, other)| Some((id, other, other.end.filter(|end| *end < before)?)));
    let of_operations = of_operations.flat_map(|(id, other, at)| {
        let is_look = matches!(other.kind, Kind::Read | Kind::Versions);
        let own = seen(case, id, other).map(|floor| Sight { key: &other.key, floor, at, is_look });
        let of_source = seen_of_source(case, id, other).into_iter();
        own.into_iter().chain(of_source.map(move |(key, floor)| Sight { key, floor, at, is_look: false }))
    });
    let of_watchers = case.history.told.iter().filter(move |told| told.at < before).filter_map(move |told| {
        let op = case.history.get(told.op).filter(|op| op.client == client)?;
        let floor = Floor { place: watches::source(case, &op.key, told)?, deleted: false };
        Some(Sight { key: &op.key, floor, at: told.at, is_look: true })
    });
    of_operations.chain(of_watchers)
}

fn highest(case: &Case<'_>, client: ClientId, key: &str, before: Duration) -> Option<Floor> {
    let of_key = sights(case, client, before).filter(|sight| sight.key == key);
    of_key.map(|sight| sight.floor).max_by_key(|floor| floor.place)
}

/// The last entry of a key whose version a client had seen before a moment. That it had the newest version deleted
/// tells it no number.
pub(super) fn floor(case: &Case<'_>, client: ClientId, key: &str, before: Duration) -> Option<usize> {
    let of_key = sights(case, client, before).filter(|sight| sight.key == key && !sight.floor.deleted);
    of_key.map(|sight| sight.floor.place).max()
}

/// What a copy or a move showed of its source, and what a move did to it.
fn seen_of_source<'a>(case: &Case<'_>, id: usize, op: &'a Operation) -> Vec<(&'a str, Floor)> {
    let (Kind::Transfer(Transfer { from, .. }), Outcome::Copied { source, .. }) = (&op.kind, &op.outcome) else {
        return Vec::new();
    };
    let is_it =
        |effect: &Effect| matches!(effect, Effect::Wrote { key, version, .. } if key == from && version == source);
    let shown = case.log.iter().take(op.end_length).position(|entry| is_it(&entry.effect));
    let made = case.made_by(id).filter(|(place, ..)| *place < op.end_length);
    let deletion = made.filter(|(.., entry)| matches!(entry.effect, Effect::Deleted { .. })).map(|(place, ..)| place);
    let asks = format!("POST /v1/secret/delete/{from}");
    let sent = case.history.sent.iter().filter(|sent| sent.op.is_some_and(|op| op.0 == id) && sent.asks == asks);
    // As with other deletions.
    let deleted = deletion.min().filter(|_| case.era == Era::Indexed && sent.count() == 1);
    let places = [(shown, false), (deleted, true)].into_iter();
    places.filter_map(|(place, deleted)| Some((from.as_str(), Floor { place: place?, deleted }))).collect()
}

/// The entry that what an operation was told goes back to. The earliest, where several would do.
fn seen(case: &Case<'_>, id: usize, op: &Operation) -> Option<Floor> {
    let of_versions = |effect: &Effect| matches!(effect, Effect::DeletedLatest { .. } | Effect::Deleted { .. });
    match op.outcome {
        Outcome::Written { .. } | Outcome::Copied { .. } => {
            let place = case.made_by(id).find(|(.., entry)| matches!(entry.effect, Effect::Wrote { .. }))?.0;
            Some(Floor { place, deleted: false })
        }
        Outcome::Rotated { new, .. } => {
            let is_it = |effect: &Effect| matches!(effect, Effect::Wrote { key, version, .. } if *key == op.key && *version == new);
            let place = case.log.iter().take(op.end_length).position(|entry| is_it(&entry.effect))?;
            Some(Floor { place, deleted: false })
        }
        // Before 2.7 nothing that a client sees tells how far a node is that has deleted.
        // Where it was sent twice, the answer may be of the other one, which found nothing to do.
        Outcome::Done if case.era == Era::Indexed && changes(case, id) == 1 => {
            // What is carried out later nobody has seen yet.
            let mut made = case.made_by(id).filter(|(place, ..)| *place < op.end_length);
            let place = made.find(|(.., entry)| of_versions(&entry.effect))?.0;
            Some(Floor { place, deleted: true })
        }
        _ => source(case, op).map(|place| Floor { place, deleted: false }),
    }
}

/// How many requests of an operation were not about its token.
fn changes(case: &Case<'_>, id: usize) -> usize {
    case.history.sent.iter().filter(|sent| sent.op.is_some_and(|op| op.0 == id) && !sent.of_token).count()
}

/// The entry that wrote what was read.
fn source(case: &Case<'_>, op: &Operation) -> Option<usize> {
    let wrote = |effect: &Effect| match (effect, &op.outcome) {
        (Effect::Wrote { key, version, value }, Outcome::Read { version: number, value: read }) => {
            *key == op.key && version == number && value == read
        }
        (Effect::Wrote { key, version, .. }, Outcome::Versions { current }) => *key == op.key && version == current,
        _ => false,
    };
    case.log.iter().take(op.end_length).position(|entry| wrote(&entry.effect))
}
