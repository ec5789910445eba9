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
    /// When it rose or fell last, by the count of all such moves.
    moved: u64,
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
        let known = self.state(version);
        let same_state = known.is_none_or(|was_gone| gone.is_none_or(|gone| gone == was_gone));
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
        if let Some(gone) = gone
            && (gone || self.state(version).is_some())
        {
            self.put_state(version, gone);
        }
    }

    /// Whether this version is gone, where that was seen.
    fn state(&self, version: u64) -> Option<bool> {
        self.states.iter().find(|(known, _)| *known == version).map(|(_, gone)| *gone)
    }

    fn put_state(&mut self, version: u64, gone: bool) {
        self.states.retain(|(known, _)| *known != version);
        if self.states.len() >= STATES {
            self.states.remove(0);
        }
        self.states.push((version, gone));
    }

    /// Whether all of this was seen before.
    fn knows(&self, seen: &Sighting) -> bool {
        let same_state = seen.gone.is_none_or(|gone| gone == self.state(seen.version).unwrap_or_default());
        self.version > seen.version || (self.version == seen.version && self.created == seen.created && same_state)
    }
}

/// The floors of one client. Its settings name one cluster and one namespace, so that mount and path
/// name a secret.
#[derive(Debug)]
pub(crate) struct Floors {
    seen: LruCache<String, Floor>,
    moves: u64,
}

impl Default for Floors {
    fn default() -> Self {
        Self { seen: LruCache::unbounded(), moves: 0 }
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

    /// How often any floor has moved, to be taken down when a read begins.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// A read that began when floors had moved `since` times showed this, and was admitted.
    ///
    /// What was seen while it was under way is newer than its answer, which can only add to it.
    pub fn note(&mut self, key: &str, seen: &Sighting, since: u64) {
        let adds_nothing = |floor: &Floor| {
            // The everyday case: it is known already.
            floor.knows(seen) || (floor.moved > since && floor.version >= seen.version)
        };
        if seen.version > 0 && !self.seen.get(key).is_some_and(adds_nothing) {
            self.touch(key).saw(seen);
        }
    }

    /// A write made this version.
    pub fn wrote(&mut self, key: &str, version: u64, created_time: &str) {
        let floor = self.touch(key);
        if version >= floor.version {
            floor.version = version;
            floor.created = Sighting::of(version, created_time, None).created;
        }
    }

    /// The newest version was changed in a way that no version shows.
    pub fn unsettle(&mut self, key: &str) {
        self.touch(key).unsettled = true;
    }

    /// These versions were deleted.
    pub fn deleted(&mut self, key: &str, versions: &[u64]) {
        let floor = self.touch(key);
        versions.iter().for_each(|version| floor.put_state(*version, true));
    }

    /// A strong read that began when floors had moved `since` times showed this: the floor is there now,
    /// higher or lower. Returns the version from which it fell.
    ///
    /// A floor that moved meanwhile is newer than the answer, which can raise it and no more. A version
    /// that is not there says nothing of the newest one: old versions are pruned.
    pub fn settle(&mut self, key: &str, seen: &Sighting, pin: Option<u64>, since: u64) -> Option<u64> {
        let floor = self.seen.get(key).cloned().unwrap_or_default();
        if floor.moved > since {
            self.note(key, seen, since);
            return None;
        }
        let Sighting { version, created, .. } = *seen;
        let fell = pin.is_none() && version < floor.version;
        let made_anew = version > 0 && version == floor.version && floor.created.is_some() && created != floor.created;
        let before = floor.version;
        let mut new = if fell || made_anew { Floor::default() } else { floor };
        new.unsettled &= pin.is_some();
        new.saw(seen);
        let floor = self.touch(key);
        *floor = Floor { moved: floor.moved, ..new };
        fell.then_some(before)
    }

    /// The cluster is another one: nothing that was seen counts any more.
    pub fn clear(&mut self) {
        self.seen.clear();
    }

    /// The floor of this secret, which is about to move.
    fn touch(&mut self, key: &str) -> &mut Floor {
        self.moves += 1;
        let moves = self.moves;
        if self.seen.len() >= SECRETS && !self.seen.contains(key) {
            self.seen.pop_lru();
        }
        let floor = self.seen.get_or_insert_mut_ref(key, Floor::default);
        floor.moved = moves;
        floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: u64, created: &str, gone: bool) -> Sighting {
        Sighting::of(version, created, Some(gone))
    }

    fn data(version: u64) -> Sighting {
        of(version, "old", false)
    }

    /// Floors that have seen these, one after the other.
    fn seen(sightings: &[Sighting]) -> Floors {
        let mut floors = Floors::default();
        for sighting in sightings {
            let since = floors.moves();
            floors.note("s", sighting, since);
        }
        floors
    }

    fn admits(floors: &mut Floors, sighting: &Sighting, pin: Option<u64>) -> bool {
        floors.at("s").admits(sighting, pin)
    }

    #[test]
    fn nothing_older_than_what_was_seen_is_admitted() {
        let mut floors = seen(&[data(5)]);
        assert!(!admits(&mut floors, &data(4), None));
        assert!(admits(&mut floors, &data(5), None) && admits(&mut floors, &data(6), None));
        assert!(!admits(&mut floors, &of(5, "anew", false), None), "the same number of another time");
        assert!(!admits(&mut floors, &Sighting::default(), None), "a secret that is gone");
        assert!(admits(&mut floors, &data(4), Some(4)), "an old version may be asked for");
        assert!(!admits(&mut floors, &Sighting::default(), Some(5)), "one that was there is not");
        assert!(admits(&mut floors, &Sighting::default(), Some(6)), "it was never seen");
        assert!(Floor::default().admits(&Sighting::default(), None) && Floor::default().admits(&data(1), None));
    }

    #[test]
    fn a_version_that_is_gone_does_not_come_back_without_a_doubt() {
        let mut floors = seen(&[data(5)]);
        assert!(admits(&mut floors, &of(5, "old", true), None));
        let mut floors = seen(&[data(5), of(5, "old", true)]);
        assert!(!admits(&mut floors, &data(5), None));
        let since = floors.moves();
        assert_eq!(floors.settle("s", &data(5), None, since), None);
        assert!(admits(&mut floors, &data(5), None), "it was undeleted");
        assert!(!admits(&mut floors, &of(5, "old", true), None), "and its deletion is an old story");
        floors.deleted("s", &[3, 4]);
        assert!(!admits(&mut floors, &data(3), Some(3)) && admits(&mut floors, &of(4, "old", true), Some(4)));
    }

    #[test]
    fn only_the_last_states_of_a_secret_are_kept() {
        let mut floors = Floors::default();
        floors.deleted("s", &[1, 2, 1]);
        floors.deleted("s", &(3..10).collect::<Vec<_>>());
        assert_eq!(floors.at("s").states.len(), STATES);
        assert_eq!((floors.at("s").state(2), floors.at("s").state(1)), (None, Some(true)));
    }

    #[test]
    fn an_answer_that_comes_late_can_only_add_to_what_was_seen_meanwhile() {
        let mut floors = seen(&[data(5)]);
        let since = floors.moves();
        floors.note("s", &of(5, "old", true), since);
        floors.note("s", &data(5), since);
        assert!(!admits(&mut floors, &data(5), None), "its deletion was seen later");
        floors.note("s", &data(6), since);
        assert_eq!(floors.at("s").version, 6);
        floors.settle("s", &data(8), None, since);
        assert_eq!(floors.at("s").version, 8, "a strong read may add too");
        assert_eq!(floors.settle("s", &data(2), None, since), None);
        assert_eq!(floors.at("s").version, 8, "and may not lower what rose since it began");
    }

    #[test]
    fn a_strong_read_lowers_the_floor_and_says_from_where() {
        let mut floors = seen(&[data(5), of(5, "old", true)]);
        let since = floors.moves();
        assert_eq!(floors.settle("s", &of(2, "anew", false), None, since), Some(5));
        assert!(admits(&mut floors, &of(2, "anew", false), None));
        assert!(admits(&mut floors, &of(5, "anew", false), None), "nothing is left of the old one");
        let since = floors.moves();
        assert_eq!(floors.settle("s", &Sighting::default(), None, since), Some(2));
        assert!(admits(&mut floors, &Sighting::default(), None));
    }

    #[test]
    fn a_pinned_read_says_nothing_of_the_newest_version() {
        let mut floors = seen(&[data(5)]);
        floors.unsettle("s");
        for sighting in [Sighting::default(), data(3)] {
            let since = floors.moves();
            assert_eq!(floors.settle("s", &sighting, Some(3), since), None);
            let since = floors.moves();
            assert_eq!(floors.settle("s", &Sighting::default(), Some(5), since), None);
        }
        assert_eq!((floors.at("s").version, floors.at("s").unsettled), (5, true));
        let since = floors.moves();
        floors.settle("s", &data(5), None, since);
        assert!(!floors.at("s").unsettled);
    }

    #[test]
    fn what_was_changed_while_a_strong_read_was_under_way_is_not_settled_by_it() {
        let mut floors = seen(&[data(5)]);
        let since = floors.moves();
        floors.unsettle("s");
        floors.settle("s", &data(5), None, since);
        assert!(floors.at("s").unsettled);
    }

    #[test]
    fn what_is_known_moves_nothing_and_everyday_reads_of_one_secret_do_not_disturb_another() {
        let mut floors = seen(&[data(5)]);
        let before = floors.moves();
        for sighting in [data(5), data(4), Sighting::default()] {
            floors.note("s", &sighting, before);
        }
        assert_eq!(floors.moves(), before);
        floors.note("other", &data(1), before);
        assert_eq!(floors.settle("s", &data(2), None, before), Some(5), "the other's rise does not count here");
    }

    #[test]
    fn the_secrets_used_last_are_remembered_however_they_were_read() {
        let mut floors = Floors::default();
        for i in 0..2 * SECRETS {
            let since = floors.moves();
            floors.settle(&i.to_string(), &data(1), None, since);
        }
        assert_eq!(floors.seen.len(), SECRETS);
        assert_eq!((floors.at("0").version, floors.at(&(2 * SECRETS - 1).to_string()).version), (0, 1));
    }
}
