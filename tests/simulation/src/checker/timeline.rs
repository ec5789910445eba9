//! What each key was after each entry of the log, worked out from the log alone: a second opinion on
//! KVv2, apart from the dev server's.

use std::collections::BTreeMap;

use crate::cluster::Entry;
use crate::cluster::effect::{Effect, Record};
use crate::history::{Kind, Outcome};

/// How many versions OpenBao keeps where nothing says otherwise.
const DEFAULT_VERSIONS: u64 = 10;

#[derive(Clone, Debug)]
struct Version {
    /// The entry that wrote it.
    entry: usize,
    deleted: bool,
    destroyed: bool,
}

/// A key at one moment.
#[derive(Clone, Debug, Default)]
struct State {
    /// Changes when the key is deleted whole and when a snapshot is restored: version numbers begin
    /// again then.
    epoch: usize,
    exists: bool,
    current: u64,
    oldest: u64,
    max: u64,
    versions: BTreeMap<u64, Version>,
    /// The entries that wrote its versions, those that were pruned too.
    made: Vec<usize>,
    /// The record of the last rotation.
    record: Option<Record>,
}

impl State {
    fn add(&mut self, number: u64, entry: usize) {
        self.exists = true;
        self.current = number;
        self.made.push(entry);
        self.versions.insert(number, Version { entry, deleted: false, destroyed: false });
        let max = if self.max == 0 { DEFAULT_VERSIONS } else { self.max };
        if self.current - self.oldest >= max {
            self.oldest = self.current - max + 1;
            self.versions = self.versions.split_off(&self.oldest);
        }
    }

    fn change(&mut self, numbers: &[u64], change: impl Fn(&mut Version)) {
        for number in numbers {
            self.versions.get_mut(number).into_iter().for_each(&change);
        }
    }

    fn apply(&mut self, place: usize, effect: &Effect) {
        let current = self.current;
        match effect {
            Effect::Wrote { version, .. } => self.add(*version, place),
            Effect::DeletedLatest { .. } => self.change(&[current], |version| version.deleted = true),
            Effect::Deleted { versions, .. } => self.change(versions, |version| version.deleted = true),
            Effect::Undeleted { versions, .. } => self.change(versions, |version| version.deleted = false),
            Effect::Destroyed { versions, .. } => self.change(versions, |version| version.destroyed = true),
            Effect::Gone { .. } => *self = Self { epoch: place, ..Self::default() },
            Effect::Metadata { max_versions, record, .. } => {
                self.exists = true;
                self.max = max_versions.unwrap_or(self.max);
                self.record = record.clone().or_else(|| self.record.take());
            }
            Effect::Setup | Effect::Restored { .. } | Effect::LoggedIn { .. } | Effect::Other => {}
        }
    }
}

/// The states of every key, each from the entry on that made it.
pub(crate) struct Timeline(BTreeMap<String, Vec<(usize, State)>>);

impl Timeline {
    pub(crate) fn new(log: &[Entry]) -> Self {
        let mut keys: BTreeMap<String, Vec<(usize, State)>> = BTreeMap::new();
        for (place, entry) in log.iter().enumerate() {
            if let Effect::Restored { length } = entry.effect {
                for states in keys.values_mut() {
                    let then = states.iter().rev().find(|(since, _)| *since < length).map(|(_, state)| state.clone());
                    states.push((place, State { epoch: place, ..then.unwrap_or_default() }));
                }
            }
            let Some(key) = entry.effect.key() else { continue };
            let states = keys.entry(key.to_owned()).or_default();
            let mut state = states.last().map(|(_, state)| state.clone()).unwrap_or_default();
            state.apply(place, &entry.effect);
            states.push((place, state));
        }
        Self(keys)
    }

    fn at(&self, key: &str, place: usize) -> Option<&State> {
        let states = self.0.get(key)?;
        states.iter().rev().find(|(since, _)| *since <= place).map(|(_, state)| state)
    }

    /// The epoch of a key after an entry of the log.
    pub(crate) fn epoch(&self, key: &str, place: usize) -> usize {
        self.at(key, place).map_or(0, |state| state.epoch)
    }

    /// The entries that wrote the versions that a key has had, in this life of it, after an entry of the log.
    pub(crate) fn made(&self, key: &str, place: usize) -> &[usize] {
        self.at(key, place).map_or(&[], |state| &state.made)
    }

    /// The record of the last rotation of a key after an entry of the log.
    pub(crate) fn record(&self, key: &str, place: usize) -> Option<&Record> {
        self.at(key, place)?.record.as_ref()
    }

    /// The entry that wrote the version of a key that can be read after an entry of the log: this one, or the newest.
    pub(crate) fn holds(&self, key: &str, place: usize, version: Option<u64>) -> Option<usize> {
        let state = self.at(key, place)?;
        let held = state.versions.get(&version.unwrap_or(state.current))?;
        (!held.deleted && !held.destroyed).then_some(held.entry)
    }

    /// The entry that wrote the newest version that is listed of a key after an entry of the log.
    pub(crate) fn newest(&self, key: &str, place: usize) -> Option<usize> {
        self.at(key, place)?.versions.last_key_value().map(|(_, version)| version.entry)
    }

    /// The newest version of a key after an entry of the log, 0 where there was none.
    pub(crate) fn current(&self, key: &str, place: usize) -> u64 {
        self.at(key, place).map_or(0, |state| state.current)
    }

    /// Whether a read of this kind would have seen this after this entry of the log.
    pub(crate) fn shows(&self, log: &[Entry], key: &str, place: usize, kind: &Kind, outcome: &Outcome) -> bool {
        let nothing = State::default();
        let state = self.at(key, place).unwrap_or(&nothing);
        let pin = match kind {
            Kind::ReadPinned(version) => Some(*version),
            _ => None,
        };
        let held = state.versions.get(&pin.unwrap_or(state.current));
        match outcome {
            Outcome::Read { version, value } => held.is_some_and(|held| {
                let written = match log.get(held.entry).map(|entry| &entry.effect) {
                    Some(Effect::Wrote { version: number, value: written, .. }) => {
                        number == version && written == value
                    }
                    _ => false,
                };
                written && !held.deleted && !held.destroyed
            }),
            Outcome::Versions { current } => state.exists && state.current == *current,
            Outcome::Failed("SECRET_NOT_FOUND", _) if *kind == Kind::Versions => !state.exists,
            Outcome::Failed("SECRET_NOT_FOUND" | "VERSION_NOT_FOUND", _) => held.is_none(),
            Outcome::Failed("SECRET_DELETED" | "VERSION_DELETED", _) => {
                held.is_some_and(|held| held.deleted && !held.destroyed)
            }
            Outcome::Failed("SECRET_DESTROYED" | "VERSION_DESTROYED", _) => held.is_some_and(|held| held.destroyed),
            _ => false,
        }
    }
}
