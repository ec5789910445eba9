//! Copies and moves: what is made is what the source held meanwhile, nothing is replaced unasked, and a move takes
//! away no more than what it has copied. That one operation makes one version at most is in [`super::writes`].

use super::{Case, violation};
use crate::cluster::effect::Effect;
use crate::history::{Invariant, Kind, Operation, Outcome, Transfer, Violation};
use crate::workload::{copied, number_after};

/// One copy or move.
struct Judged<'a> {
    case: &'a Case<'a>,
    id: usize,
    op: &'a Operation,
    transfer: &'a Transfer,
}

pub(super) fn check(case: &Case<'_>, found: &mut Vec<Violation>) {
    for (id, op) in case.operations() {
        let Kind::Transfer(transfer) = &op.kind else { continue };
        let judged = Judged { case, id, op, transfer };
        judged.made(found);
        judged.deleted(found);
        match &op.outcome {
            Outcome::Copied { source, old, new } => judged.done(*source, *old, *new, found),
            Outcome::Failed(code, text) => judged.failed(code, text, found),
            _ => {}
        }
    }
}

impl<'a> Judged<'a> {
    fn breach(&self, found: &mut Vec<Violation>, invariant: Invariant, text: impl AsRef<str>) {
        found.push(violation(invariant, self.id, self.op, text));
    }

    /// The entries from before the operation's beginning to that one.
    fn moments(&self, end: usize) -> impl Iterator<Item = usize> {
        self.op.start_length.saturating_sub(1)..end
    }

    fn value(&self, place: usize) -> Option<&'a serde_json::Value> {
        match &self.case.log.get(place)?.effect {
            Effect::Wrote { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The entries that wrote what the source held, at moments before this one.
    fn sources(&self, end: usize) -> impl Iterator<Item = usize> {
        let held = |place| self.case.timeline.holds(&self.transfer.from, place, self.transfer.pin);
        self.moments(end).filter_map(held)
    }

    /// The versions that it made: place in the log, and value.
    fn versions(&self) -> impl Iterator<Item = (usize, u64, &'a serde_json::Value)> {
        self.case.made_by(self.id).filter_map(|(place, _, entry)| match &entry.effect {
            Effect::Wrote { key, version, value } if *key == self.op.key => Some((place, *version, value)),
            _ => None,
        })
    }

    /// How many requests asked for this.
    fn asked(&self, is_it: impl Fn(&crate::history::Sent) -> bool) -> usize {
        self.case.history.sent.iter().filter(|sent| sent.op.is_some_and(|op| op.0 == self.id) && is_it(sent)).count()
    }

    /// What it wrote is what the source held at a moment between its beginning and then.
    fn made(&self, found: &mut Vec<Violation>) {
        for (place, _, value) in self.versions() {
            if !self.sources(place).any(|source| self.value(source) == Some(value)) {
                let text = format!("entry {place} holds what the source did not hold meanwhile");
                self.breach(found, Invariant::CopiedOther, text);
            }
            if !self.transfer.overwrite && self.case.timeline.current(&self.op.key, place - 1) != 0 {
                self.breach(found, Invariant::Overwrote, format!("entry {place} follows what was there"));
            }
        }
    }

    /// What it reports is there. Where it was sent again, the same value of another writer counts as well: nobody
    /// can tell.
    fn done(&self, source: u64, old: u64, new: u64, found: &mut Vec<Violation>) {
        let end = self.op.end_length;
        let is_in_doubt = self.asked(|sent| sent.cas == Some(old)) > 1;
        let is_it = |place: usize| match self.case.log.get(place).map(|entry| &entry.effect) {
            Some(Effect::Wrote { key, version, .. }) => *key == self.op.key && *version == new,
            _ => false,
        };
        let own: Vec<_> = self.versions().map(|(place, ..)| place).collect();
        let is_made = |place: &usize| is_it(*place) && (is_in_doubt || own.contains(place));
        let made: Vec<_> = (0..end).filter(is_made).filter_map(|place| self.value(place)).collect();
        let is_source = |place: &usize| match self.case.log.get(*place).map(|entry| &entry.effect) {
            Some(Effect::Wrote { version, .. }) => *version == source,
            _ => false,
        };
        let is_copied =
            |place: &usize| is_source(place) && self.value(*place).is_some_and(|value| made.contains(&value));
        let copied: Vec<_> = self.sources(end).filter(is_copied).collect();
        let is_guarded = new == old + 1 && (self.transfer.overwrite || old == 0);
        if !is_guarded || copied.is_empty() {
            let text = "no such copy of that version was committed";
            self.breach(found, Invariant::AcknowledgedWriteLost, text);
        }
        // A source that came meanwhile is there from its writing on. Where several with this number would do, one
        // that is gone is enough.
        let held = |place| self.case.timeline.holds(&self.transfer.from, place, Some(source));
        let stays = |source: &usize| {
            self.moments(end).filter(|place| place >= source).all(|place| held(place) == Some(*source))
        };
        if self.transfer.moves && copied.iter().all(stays) {
            self.breach(found, Invariant::MoveKept, "its source was there all the time");
        }
    }

    /// What it took away is what it had copied.
    fn deleted(&self, found: &mut Vec<Violation>) {
        for (place, send, entry) in self.case.made_by(self.id) {
            let before = place.saturating_sub(1);
            let newest = [self.case.timeline.current(&self.transfer.from, before)];
            let versions: &[u64] = match &entry.effect {
                Effect::Deleted { key, versions } if *key == self.transfer.from => versions,
                Effect::DeletedLatest { key } if *key == self.transfer.from => &newest,
                Effect::Deleted { .. } | Effect::DeletedLatest { .. } => {
                    self.breach(found, Invariant::MoveLost, format!("entry {place} deletes another secret"));
                    continue;
                }
                _ => continue,
            };
            for version in versions {
                let Some(held) = self.case.timeline.holds(&self.transfer.from, before, Some(*version)) else {
                    continue;
                };
                if !self.transfer.moves
                    || !(self.is_copied(held, place) || self.was_made_late(*version, held, send, place))
                {
                    let text = format!("entry {place} deletes version {version}, which it has not copied");
                    self.breach(found, Invariant::MoveLost, text);
                }
            }
        }
    }

    /// Whether what the entry `held` wrote was the source, and at the destination, before this place of the log.
    fn is_copied(&self, held: usize, place: usize) -> bool {
        let is_in_doubt = self.asked(|sent| sent.cas.is_some()) > 1;
        let own: Vec<_> = self.versions().map(|(place, ..)| place).collect();
        let is_copy = |at: &usize| match self.case.log.get(*at).map(|entry| &entry.effect) {
            Some(Effect::Wrote { key, value, .. }) => {
                *key == self.op.key && self.value(held) == Some(value) && (is_in_doubt || own.contains(at))
            }
            _ => false,
        };
        let made = (0..place).rfind(is_copy);
        made.is_some_and(|made| self.sources(made.max(self.op.start_length)).any(|source| source == held))
    }

    /// Whether this version came after the last look at it before the deletion: OpenBao deletes by number alone.
    fn was_made_late(&self, version: u64, held: usize, send: usize, place: usize) -> bool {
        let asks = format!("GET /v1/secret/data/{}?version={version}", self.transfer.from);
        let is_look = |sent: &&crate::history::Sent| sent.op.is_some_and(|op| op.0 == self.id) && sent.asks == asks;
        let look = self.case.history.sent.iter().take(send).rfind(is_look);
        let is_other = |at: usize| self.case.timeline.holds(&self.transfer.from, at, Some(version)) != Some(held);
        look.is_some_and(|look| (look.length.saturating_sub(1)..place).any(is_other))
    }

    fn failed(&self, code: &str, text: &str, found: &mut Vec<Violation>) {
        let end = self.op.end_length;
        let Some(new) = copied(text) else {
            let absent = ["SECRET_NOT_FOUND", "SECRET_DELETED", "SECRET_DESTROYED"];
            let pinned = ["VERSION_NOT_FOUND", "VERSION_DELETED", "VERSION_DESTROYED"];
            let (from, look) = (&self.transfer.from, self.transfer.look());
            let shown = |place| self.case.timeline.shows(self.case.log, from, place, &look, &self.op.outcome);
            if (absent.contains(&code) || pinned.contains(&code)) && !self.moments(end).any(shown) {
                self.breach(found, Invariant::StaleRead, "the source was there all the time");
            }
            return;
        };
        let is_it = |place: usize| match self.case.log.get(place).map(|entry| &entry.effect) {
            Some(Effect::Wrote { key, version, .. }) => *key == self.op.key && *version == new,
            _ => false,
        };
        if !(0..end).any(is_it) {
            self.breach(found, Invariant::AcknowledgedWriteLost, "no such copy was committed");
        }
        let source = number_after(text, "the deletion of the source's version ");
        let held = |place| self.case.timeline.holds(&self.transfer.from, place, source);
        let first = held(self.op.start_length.saturating_sub(1));
        if code == "CAS_CONFLICT" && self.moments(end).all(|place| held(place) == first) {
            self.breach(found, Invariant::FalseConflict, "the source was the same all the time");
        }
        let last = end.saturating_sub(1);
        let epoch = |place| self.case.timeline.epoch(&self.transfer.from, place);
        let is_deletion = |effect: &Effect| matches!(effect, Effect::Deleted { .. } | Effect::DeletedLatest { .. });
        let mut deletions = self.case.made_by(self.id).filter(|(.., entry)| is_deletion(&entry.effect));
        if code != "INDETERMINATE"
            && let Some((place, ..)) = deletions.find(|(place, ..)| epoch(*place) == epoch(last))
        {
            self.breach(found, Invariant::FailedButExecuted, format!("entry {place} deletes the source"));
        }
    }
}
