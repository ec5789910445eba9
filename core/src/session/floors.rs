//! What the client has seen of each secret, below which no later read of it may fall.
//!
//! A standby is behind the leader, and a leader that slept through an election stays behind for
//! minutes. Where the server says how far it is ([`super::consistency`]), that finds most of it; the
//! floors find the rest on every version: an older version, a version that was deleted and is back,
//! a secret that is gone.
//!
//! A floor is no proof: a key can be deleted and made anew, a snapshot restored. So an answer below it
//! is a doubt, which a strong read settles, and the floor falls to what that shows.

use crate::hash::{EMPTY, hash_on};

/// How many secrets are remembered: so many rows of so many.
const ROWS: usize = 1024;
const ROW: usize = 8;

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
        Self { version, created: Some(hash_on(EMPTY, created_time.as_bytes())), gone }
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
    /// The version from which it fell last. Whatever lies between may be what was there before.
    fallen_from: u64,
    /// Versions that were seen to be gone, or to be there (again), the newest sighting last.
    states: Vec<(u64, bool)>,
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
        let from_before = version > self.version && version <= self.fallen_from;
        (pin.is_some() || version >= self.version) && same_state && same_epoch && !from_before
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

    /// Whether this version was seen to be gone.
    pub fn is_gone(&self, version: u64) -> bool {
        self.state(version) == Some(true)
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
///
/// A table of fixed size: a secret's hash names the row, in which the secrets used last stay.
#[derive(Debug, Default)]
pub(crate) struct Floors {
    rows: Vec<Vec<(Box<str>, Floor)>>,
    moves: u64,
}

impl Floors {
    /// What was seen of this secret until now, as far as it is still known here: a reader asks
    /// [`super::Session::floor`], which knows more.
    pub fn at(&self, key: &str) -> Floor {
        self.get(key).cloned().unwrap_or_default()
    }

    /// The time at which this version was written, where it is the newest that was seen.
    pub fn created(&self, key: &str, version: u64) -> Option<u64> {
        self.get(key).filter(|floor| floor.version == version)?.created
    }

    /// How often any floor has moved, to be taken down when a read begins.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// A read that began when floors had moved `since` times showed this, and was admitted.
    ///
    /// What was seen while it was under way is newer than its answer, which can only add to it. Where the floor
    /// has fallen since, the answer may be of what was there before, and adds nothing.
    pub fn note(&mut self, key: &str, seen: &Sighting, since: u64) {
        let adds_nothing = |floor: &Floor| {
            // The everyday case: it is known already.
            floor.knows(seen) || (floor.moved > since && seen.version <= floor.version.max(floor.fallen_from))
        };
        if self.get(key).is_some_and(adds_nothing) {
            // Used again, it is not the next that is forgotten.
            self.used(key);
        } else if seen.version > 0
            && let Some(floor) = self.moved(key)
        {
            floor.saw(seen);
        }
    }

    /// These versions were deleted or destroyed, or were undeleted.
    pub fn changed(&mut self, key: &str, versions: &[u64], gone: bool) {
        if let Some(floor) = self.moved(key) {
            versions.iter().for_each(|version| floor.put_state(*version, gone));
        }
    }

    /// A strong read that began when floors had moved `since` times showed this: the floor is there now,
    /// higher or lower. Returns the version from which it fell; it is the same one where that was made anew.
    ///
    /// A floor that moved meanwhile is newer than the answer, which can raise it and no more. A version
    /// that is not there says nothing of the newest one: old versions are pruned.
    pub fn settle(&mut self, key: &str, seen: &Sighting, pin: Option<u64>, since: u64) -> Option<u64> {
        let floor = self.get(key).cloned().unwrap_or_default();
        if floor.moved > since {
            self.note(key, seen, since);
            return None;
        }
        let Sighting { version, created, gone } = *seen;
        let fell = pin.is_none() && version < floor.version;
        let made_anew = version > 0 && version == floor.version && floor.created.is_some() && created != floor.created;
        let before = floor.version;
        let is_another = fell || made_anew;
        let mut new = if is_another {
            Floor { fallen_from: floor.version.max(floor.fallen_from), ..Floor::default() }
        } else {
            floor
        };
        new.saw(seen);
        if let Some(gone) = gone.filter(|_| is_another) {
            // Or the same version of before, when it was gone, would be taken for this one.
            new.put_state(version, gone);
        }
        if let Some(floor) = self.moved(key) {
            *floor = Floor { moved: floor.moved, ..new };
        }
        is_another.then_some(before)
    }

    /// The cluster is another one: nothing that was seen counts any more.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// The floor of this secret, which moves now.
    fn moved(&mut self, key: &str) -> Option<&mut Floor> {
        self.moves += 1;
        let moves = self.moves;
        let floor = self.used(key)?;
        floor.moved = moves;
        Some(floor)
    }

    /// What was seen of this secret, where anything was.
    pub fn get(&self, key: &str) -> Option<&Floor> {
        let row = self.rows.get(row_of(key))?;
        row.iter().find(|(known, _)| **known == *key).map(|(_, floor)| floor)
    }

    /// The floor of this secret, which is the last one used in its row from now on.
    fn used(&mut self, key: &str) -> Option<&mut Floor> {
        if self.rows.is_empty() {
            self.rows.resize_with(ROWS, Vec::new);
        }
        let row = self.rows.get_mut(row_of(key))?;
        let entry = match row.iter().position(|(known, _)| **known == *key) {
            Some(place) => row.remove(place),
            None => {
                row.truncate(ROW - 1);
                (key.into(), Floor::default())
            }
        };
        row.insert(0, entry);
        row.first_mut().map(|(_, floor)| floor)
    }
}

/// The row of a secret, by the hash of its name. Whoever finds names that meet makes rows forget, no more.
fn row_of(key: &str) -> usize {
    hash_on(EMPTY, key.as_bytes()) as usize % ROWS
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

    fn admits(floors: &Floors, sighting: &Sighting, pin: Option<u64>) -> bool {
        floors.at("s").admits(sighting, pin)
    }

    #[test]
    fn nothing_older_than_what_was_seen_is_admitted() {
        let floors = seen(&[data(5)]);
        assert!(!admits(&floors, &data(4), None));
        assert!(admits(&floors, &data(5), None) && admits(&floors, &data(6), None));
        assert!(!admits(&floors, &of(5, "anew", false), None), "the same number of another time");
        assert!(!admits(&floors, &Sighting::default(), None), "a secret that is gone");
        assert!(admits(&floors, &data(4), Some(4)), "an old version may be asked for");
        assert!(!admits(&floors, &Sighting::default(), Some(5)), "one that was there is not");
        assert!(admits(&floors, &Sighting::default(), Some(6)), "it was never seen");
        assert!(Floor::default().admits(&Sighting::default(), None) && Floor::default().admits(&data(1), None));
    }

    #[test]
    fn a_version_that_is_gone_does_not_come_back_without_a_doubt() {
        let floors = seen(&[data(5)]);
        assert!(admits(&floors, &of(5, "old", true), None));
        let mut floors = seen(&[data(5), of(5, "old", true)]);
        assert!(!admits(&floors, &data(5), None));
        let since = floors.moves();
        assert_eq!(floors.settle("s", &data(5), None, since), None);
        assert!(admits(&floors, &data(5), None), "it was undeleted");
        assert!(!admits(&floors, &of(5, "old", true), None), "and its deletion is an old story");
        floors.changed("s", &[3, 4], true);
        assert!(!admits(&floors, &data(3), Some(3)) && admits(&floors, &of(4, "old", true), Some(4)));
    }

    #[test]
    fn only_the_last_states_of_a_secret_are_kept() {
        let mut floors = Floors::default();
        floors.changed("s", &[1, 2, 1], true);
        floors.changed("s", &(3..10).collect::<Vec<_>>(), true);
        assert_eq!(floors.at("s").states.len(), STATES);
        assert_eq!((floors.at("s").state(2), floors.at("s").state(1)), (None, Some(true)));
    }

    #[test]
    fn an_answer_that_comes_late_can_only_add_to_what_was_seen_meanwhile() {
        let mut floors = seen(&[data(5)]);
        let since = floors.moves();
        floors.note("s", &of(5, "old", true), since);
        floors.note("s", &data(5), since);
        assert!(!admits(&floors, &data(5), None), "its deletion was seen later");
        floors.note("s", &data(6), since);
        assert_eq!(floors.at("s").version, 6);
        floors.settle("s", &data(8), None, since);
        assert_eq!(floors.at("s").version, 8, "a strong read may add too");
        assert_eq!(floors.settle("s", &data(2), None, since), None);
        assert_eq!(floors.at("s").version, 8, "and may not lower what rose since it began");
    }

    #[test]
    fn an_answer_that_comes_late_does_not_raise_a_floor_that_fell_meanwhile() {
        let mut floors = seen(&[data(5)]);
        let since = floors.moves();
        assert_eq!(floors.settle("s", &of(2, "anew", false), None, since), Some(5));
        floors.note("s", &data(5), since);
        floors.settle("s", &data(4), None, since);
        assert_eq!(floors.at("s").version, 2, "it may be what was there before");
        floors.note("s", &of(6, "anew", false), since);
        assert_eq!(floors.at("s").version, 6);
    }

    #[test]
    fn a_strong_read_that_shows_the_same_version_of_another_time_says_so() {
        let mut floors = seen(&[data(5)]);
        let since = floors.moves();
        assert_eq!(floors.settle("s", &of(5, "anew", false), None, since), Some(5));
        let since = floors.moves();
        assert_eq!(floors.settle("s", &of(5, "anew", false), None, since), None);
    }

    #[test]
    fn a_strong_read_lowers_the_floor_and_says_from_where() {
        let mut floors = seen(&[data(5), of(5, "old", true)]);
        let since = floors.moves();
        assert_eq!(floors.settle("s", &of(2, "anew", false), None, since), Some(5));
        assert!(admits(&floors, &of(2, "anew", false), None));
        assert!(!admits(&floors, &data(5), None), "it may be what was there before");
        assert!(admits(&floors, &of(6, "anew", false), None));
        assert!(!admits(&floors, &of(2, "old", true), Some(2)), "what that was before, and is no more");
        let since = floors.moves();
        assert_eq!(floors.settle("s", &Sighting::default(), None, since), Some(2));
        assert!(admits(&floors, &Sighting::default(), None));
    }

    #[test]
    fn a_pinned_read_says_nothing_of_the_newest_version() {
        let mut floors = seen(&[data(5)]);
        for sighting in [Sighting::default(), data(3)] {
            let since = floors.moves();
            assert_eq!(floors.settle("s", &sighting, Some(3), since), None);
            let since = floors.moves();
            assert_eq!(floors.settle("s", &Sighting::default(), Some(5), since), None);
        }
        assert_eq!(floors.at("s").version, 5);
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
    fn a_secret_that_is_read_again_and_again_is_remembered_however_many_others_are_read() {
        let mut floors = seen(&[data(5)]);
        for i in 0..2 * ROWS * ROW {
            floors.note(&i.to_string(), &data(1), 0);
            assert_eq!(floors.at("s").version, 5);
            floors.note("s", &data(5), 0);
        }
    }

    #[test]
    fn no_more_secrets_are_remembered_than_the_table_holds_however_they_were_read() {
        let mut floors = Floors::default();
        for i in 0..2 * ROWS * ROW {
            let since = floors.moves();
            floors.settle(&i.to_string(), &data(1), None, since);
        }
        assert!(floors.rows.iter().all(|row| row.len() <= ROW));
        assert_eq!(floors.at(&(2 * ROWS * ROW - 1).to_string()).version, 1, "the last is there");
    }
}
