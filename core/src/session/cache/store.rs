//! Where the entries lie: found by key in constant time, by path when one is purged, and left in about
//! the order in which they were used last.
//!
//! A table finds the number of a slot, and a second one the slots of a path. Who has to leave is found by
//! a hand that goes round: it passes over what was used since it came by last.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

use super::flight::Flight;
use super::kept::Kept;
use super::partition::Partition;

/// What names an entry: mount and path, the version that is pinned (0 for the newest), and for whom.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub path: &'a str,
    pub pin: u64,
    pub partition: Partition,
}

/// One key: what is kept of it, who is reading it, or both.
#[derive(Debug)]
pub(super) struct Slot {
    hash: u64,
    path: Arc<str>,
    pub pin: u64,
    pub partition: Partition,
    pub kept: Option<Entry>,
    pub flight: Option<Arc<Flight>>,
    pub is_used: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub secret: Arc<Kept>,
    /// When it was asked for.
    pub fetched: Duration,
    /// From when on a reader asks again.
    pub refresh_from: Duration,
    weight: usize,
}

/// The slots of one path.
#[derive(Debug)]
struct Place {
    hash: u64,
    path: Arc<str>,
    slots: Vec<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    /// A hasher that has taken in what nobody outside knows, so that nobody makes keys that meet.
    hasher: DefaultHasher,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    table: HashTable<u32>,
    places: HashTable<Place>,
    hand: usize,
    broom: usize,
    pub entries: usize,
    pub bytes: usize,
}

impl Store {
    pub fn new(seed: [u8; 16]) -> Self {
        let mut store = Self::default();
        store.hasher.write(&seed);
        store
    }

    /// An empty one that hashes as this one does.
    pub fn successor(&self) -> Self {
        Self { hasher: self.hasher.clone(), ..Self::default() }
    }

    /// Takes all flights out.
    pub fn flights(&mut self) -> impl Iterator<Item = Arc<Flight>> {
        self.slots.iter_mut().flatten().filter_map(|slot| slot.flight.take())
    }

    fn hash(&self, key: &Key<'_>) -> u64 {
        let mut hasher = self.hasher.clone();
        (key.path, key.pin, key.partition).hash(&mut hasher);
        hasher.finish()
    }

    fn hash_path(&self, path: &str) -> u64 {
        let mut hasher = self.hasher.clone();
        path.hash(&mut hasher);
        hasher.finish()
    }

    pub fn find(&self, key: &Key<'_>) -> Option<u32> {
        let is_it = |number: &u32| {
            self.get(*number)
                .is_some_and(|slot| *slot.path == *key.path && slot.pin == key.pin && slot.partition == key.partition)
        };
        self.table.find(self.hash(key), is_it).copied()
    }

    pub fn get(&self, number: u32) -> Option<&Slot> {
        self.slots.get(number as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut Slot> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    /// The slots of a path.
    pub fn of_path(&self, path: &str) -> Vec<u32> {
        let place = self.places.find(self.hash_path(path), |place| *place.path == *path);
        place.map(|place| place.slots.clone()).unwrap_or_default()
    }

    /// An empty slot for a key that has none.
    pub fn add(&mut self, key: &Key<'_>) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // There are fewer places and entries by far.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let (hash, path_hash) = (self.hash(key), self.hash_path(key.path));
        let known = self.places.find_mut(path_hash, |place| *place.path == *key.path);
        let path = match known {
            Some(place) => {
                place.slots.push(number);
                place.path.clone()
            }
            None => {
                let path: Arc<str> = key.path.into();
                let place = Place { hash: path_hash, path: path.clone(), slots: vec![number] };
                self.places.insert_unique(path_hash, place, |place| place.hash);
                path
            }
        };
        let Key { pin, partition, .. } = *key;
        let slot = Slot { hash, path, pin, partition, kept: None, flight: None, is_used: false };
        let slots = &mut self.slots;
        if let Some(place) = slots.get_mut(number as usize) {
            *place = Some(slot);
        }
        let hash_of = |number: &u32| slots.get(*number as usize).and_then(Option::as_ref).map_or(0, |slot| slot.hash);
        self.table.insert_unique(hash, number, hash_of);
        number
    }

    /// Puts a secret into a slot, in place of the one before.
    pub fn put(&mut self, number: u32, secret: Arc<Kept>, fetched: Duration, refresh_from: Duration) -> Option<Entry> {
        let before = self.take(number);
        let slot = self.slots.get_mut(number as usize)?.as_mut()?;
        // The slot itself, its share of the tables, and what allocations cost.
        let weight = secret.weight() + 2 * size_of::<Slot>() + slot.path.len();
        slot.kept = Some(Entry { secret, fetched, refresh_from, weight });
        slot.is_used = false;
        self.entries += 1;
        self.bytes += weight;
        before
    }

    /// Takes a secret out of its slot.
    pub fn take(&mut self, number: u32) -> Option<Entry> {
        let entry = self.get_mut(number)?.kept.take()?;
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(entry.weight);
        Some(entry)
    }

    /// Gives a slot back that holds nothing any more.
    pub fn tidy(&mut self, number: u32) {
        if !self.get(number).is_some_and(|slot| slot.kept.is_none() && slot.flight.is_none()) {
            return;
        }
        let Some(slot) = self.slots.get_mut(number as usize).and_then(Option::take) else { return };
        if let Ok(found) = self.table.find_entry(slot.hash, |other| *other == number) {
            found.remove();
        }
        self.free.push(number);
        let path_hash = self.hash_path(&slot.path);
        if let Ok(mut place) = self.places.find_entry(path_hash, |place| place.path == slot.path) {
            place.get_mut().slots.retain(|other| *other != number);
            if place.get().slots.is_empty() {
                place.remove();
            }
        }
    }

    /// The next slot under the hand with a secret in it that was not used since the hand came by last, and
    /// that nobody is reading anew; after two rounds, any secret. `spare` stays where there is another.
    pub fn victim(&mut self, spare: u32) -> Option<u32> {
        let count = self.slots.len();
        for step in 0..=2 * count {
            let number = u32::try_from(self.hand).unwrap_or_default();
            self.hand = (self.hand + 1) % count.max(1);
            let Some(slot) = self.get_mut(number).filter(|slot| slot.kept.is_some()) else { continue };
            let was_used = std::mem::take(&mut slot.is_used);
            let stays = was_used || slot.flight.is_some() || number == spare;
            if !stays || (step > count && number != spare && !was_used) {
                return Some(number);
            }
        }
        None
    }

    /// The slot after the one that was asked for last, for whoever looks through all of them bit by bit.
    pub fn next(&mut self) -> u32 {
        self.broom = (self.broom + 1) % self.slots.len().max(1);
        u32::try_from(self.broom).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Secret, SecretValue};

    fn secret() -> Arc<Kept> {
        let (version, created_time) = (1, "2026-01-01T00:00:00Z".to_owned());
        let value = SecretValue::from(serde_json::json!({"token": "value"}));
        let (custom_metadata, ends) = (Default::default(), Duration::MAX);
        Arc::new(Secret { version, created_time, custom_metadata, value, ends }.into())
    }

    fn key(path: &str, pin: u64) -> Key<'_> {
        Key { path, pin, partition: Partition::default() }
    }

    fn filled(store: &mut Store, path: &str, pin: u64) -> u32 {
        let number = store.add(&key(path, pin));
        store.put(number, secret(), Duration::ZERO, Duration::ZERO);
        number
    }

    #[test]
    fn what_is_given_back_is_found_no_more_and_its_slot_is_used_again() {
        let mut store = Store::new([7; 16]);
        let (first, second) = (filled(&mut store, "a", 0), filled(&mut store, "a", 3));
        assert_eq!(store.of_path("a"), [first, second]);
        assert!(store.take(first).is_some());
        store.tidy(first);
        store.tidy(second);
        assert_eq!((store.find(&key("a", 0)), store.find(&key("a", 3))), (None, Some(second)));
        assert_eq!(store.of_path("a"), [second]);
        assert_eq!(filled(&mut store, "b", 0), first);
        assert!(store.take(second).is_some());
        store.tidy(second);
        assert!(store.of_path("a").is_empty() && store.places.len() == 1 && store.table.len() == 1);
    }

    #[test]
    fn the_hand_passes_over_what_was_used_and_comes_back_to_it() {
        let mut store = Store::new([7; 16]);
        let all: Vec<u32> = ["a", "b", "c"].iter().map(|path| filled(&mut store, path, 0)).collect();
        store.get_mut(all[0]).unwrap().is_used = true;
        assert_eq!(store.victim(u32::MAX), Some(all[1]));
        assert_eq!(store.victim(all[2]), Some(all[0]), "used once, and not since");
        assert_eq!(Store::default().victim(0), None);
    }

    #[test]
    fn bytes_and_entries_are_those_of_what_is_there() {
        let mut store = Store::new([7; 16]);
        let number = filled(&mut store, "a", 0);
        let bytes = store.bytes;
        assert!(store.put(number, secret(), Duration::ZERO, Duration::ZERO).is_some());
        assert_eq!((store.entries, store.bytes), (1, bytes));
        store.take(number);
        assert_eq!((store.entries, store.bytes), (0, 0));
    }
}
