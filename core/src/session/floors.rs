//! What the client has seen of each secret, below which no later read of it may fall.
//!
//! A standby is behind the leader, and a leader that slept through an election stays behind for
//! minutes. Where the server says how far it is ([`super::consistency`]), that finds most of it; the
//! floors find the rest on every version: an older version, a version that was deleted and is back,
//! a secret that is gone.
//!
//! A floor is no proof: a key can be deleted and made anew, a snapshot restored. So an answer below it
//! is a doubt, which a strong read settles, and the floor falls to what that shows.

use std::hash::{DefaultHasher, Hash, Hasher};

use lru::LruCache;

/// How many secrets are remembered, the ones used last.
const SECRETS: usize = 8192;

/// Of how many versions of one secret it is remembered whether they were gone.
const STATES: usize = 8;

/// What one answer shows of a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// The version that it is about; 0 where there is none.
    pub version: u64,
    /// The time at which that was written, as a hash.
    pub created: Option<u64>,
    /// Whether its data is deleted or destroyed, where the answer tells.
    pub gone: Option<bool>,
}

impl Sighting {
    pub fn of(version: u64, created_time: &str, gone: Option<bool>) -> Self {
        let mut hasher = DefaultHasher::new();
        created_time.hash(&mut hasher);
        Self { version, created: Some(hasher.finish()), gone }
    }
}

/// What was seen of one secret.
#[derive(Clone, Debug, Default)]
pub(crate) struct Floor {
    /// The newest version that was read or written; 0 where none was.
    pub version: u64,
    /// The time at which that was written. It tells a key that was made anew, where the same version
    /// comes with another time.
    pub created: Option<u64>,
    /// Versions that were seen to be gone, or to be there (again), the newest sighting last.
    states: Vec<(u64, bool)>,
    /// Something was changed in a way that no version shows, at a server that does not say how far it
    /// is: the next read has to be a strong one.
    pub unsettled: bool,
    /// When it rose last, by the count of all rises.
    raised: u64,
}

impl Floor {
    /// Whether an answer, of the newest version or of the one that was asked for, shows no less than
    /// was seen before.
    pub fn admits(&self, seen: &Sighting, pin: Option<u64>) -> bool {
        let Sighting { version, created, gone } = *seen;
        if version == 0 {
            // Nothing there, of a version that must have been there.
            return pin.unwrap_or(1) > self.version;
        }
        let known = self.states.iter().rev().find(|(known, _)| *known == version);
        let same_state = known.is_none_or(|(_, was_gone)| gone.is_none_or(|gone| gone == *was_gone));
        let same_epoch = version != self.version || self.created.is_none_or(|known| Some(known) == created);
        (pin.is_some() || version >= self.version) && same_state && same_epoch
    }

    fn saw(&mut self, seen: &Sighting) {
        let Sighting { version, created, gone } = *seen;
        if version >= self.version {
            self.version = version;
            self.created = created;
        }
        // Of most secrets nothing is ever gone, and nothing is kept.
        let Some(gone) = gone else { return };
        let known = self.states.iter().position(|(known, _)| *known == version);
        if gone || known.is_some() {
            if let Some(known) = known {
                self.states.remove(known);
            } else if self.states.len() >= STATES {
                self.states.remove(0);
            }
            self.states.push((version, gone));
        }
    }
}

/// The floors of one client. Its settings name one cluster and one namespace, so that mount and path
/// name a secret.
#[derive(Debug)]
pub(crate) struct Floors {
    seen: LruCache<String, Floor>,
    rises: u64,
}

impl Default for Floors {
    fn default() -> Self {
        Self { seen: LruCache::unbounded(), rises: 0 }
    }
}

impl Floors {
    /// What was seen of this secret until now.
    pub fn at(&mut self, key: &str) -> Floor {
        self.seen.get(key).cloned().unwrap_or_default()
    }

    /// The time at which this version was written, where it is the newest that was seen.
    pub fn created(&mut self, key: &str, version: u64) -> Option<u64> {
        self.seen.get(key).filter(|floor| floor.version == version)?.created
    }

    /// How often any floor has risen, for [`Floors::settle`].
    pub fn rises(&self) -> u64 {
        self.rises
    }

    /// An everyday read showed this, and was admitted.
    pub fn note(&mut self, key: &str, seen: &Sighting) {
        let Sighting { version, created, gone } = *seen;
        // The everyday case: it is known already.
        if version == 0
            || self.seen.get(key).is_some_and(|floor| {
                floor.version > version
                    || (floor.version == version
                        && floor.created == created
                        && floor.states.is_empty()
                        && gone != Some(true))
            })
        {
            return;
        }
        self.rise(key).saw(seen);
    }

    /// A write made this version.
    pub fn wrote(&mut self, key: &str, version: u64, created_time: &str) {
        let floor = self.rise(key);
        if version >= floor.version {
            floor.version = version;
            floor.created = Sighting::of(version, created_time, None).created;
        }
    }

    /// Something was changed that no version shows.
    pub fn unsettle(&mut self, key: &str) {
        self.rise(key).unsettled = true;
    }

    /// A strong read that began when floors had risen `since` times showed this: the floor is there now,
    /// higher or lower. Returns the version from which it fell.
    ///
    /// A floor that rose meanwhile is newer than the answer, and stays.
    pub fn settle(&mut self, key: &str, seen: &Sighting, pin: Option<u64>, since: u64) -> Option<u64> {
        let floor = self.seen.get(key).cloned().unwrap_or_default();
        if floor.raised > since {
            return None;
        }
        let Sighting { version, created, .. } = *seen;
        let fell = match pin {
            None => version < floor.version,
            Some(pin) => version == 0 && pin == floor.version,
        };
        let made_anew = version == floor.version && floor.created.is_some() && created != floor.created;
        let mut new = if fell || made_anew { Floor::default() } else { floor.clone() };
        new.unsettled = false;
        new.saw(seen);
        new.raised = floor.raised;
        self.seen.put(key.to_owned(), new);
        fell.then_some(floor.version)
    }

    /// The cluster is another one: nothing that was seen counts any more.
    pub fn clear(&mut self) {
        self.seen.clear();
    }

    fn rise(&mut self, key: &str) -> &mut Floor {
        self.rises += 1;
        let rises = self.rises;
        if self.seen.len() >= SECRETS && !self.seen.contains(key) {
            self.seen.pop_lru();
        }
        let floor = self.seen.get_or_insert_mut_ref(key, Floor::default);
        floor.raised = rises;
        floor
    }
}
