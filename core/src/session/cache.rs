//! What was read, kept for a while, and the reads under way on behalf of several: plain data under the
//! session's lock.
//!
//! An entry goes through three times: at first it is served as it is; from `refresh_from` on one reader
//! asks again on the way, while the others are served; beyond its time somebody has to ask before
//! anybody is served, and only where the cluster can't be had it is served for a bounded time more.
//!
//! What this client learns of a secret in any other way (a newer version, a deletion, a refusal) ends the
//! entries that don't know it yet. A flight that began before is ended as well, or joined no more, and then
//! it counts only where its answer is as new. So what a flight brings that is still in its slot when it
//! lands may be kept, and served to those who waited.

mod flight;
mod kept;
mod metrics;
mod partition;
mod store;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::floors::{Floor, Sighting};
use crate::call::kv2::{Version, Versions};
use crate::config::CacheConfig;
use crate::error::{Code, Error, Family};
use crate::session::Now;
pub(crate) use flight::Flight;
pub(crate) use kept::Kept;
pub use metrics::{CacheMetrics, HIT_AGE_BOUNDS};
pub use partition::Partition;
use store::{Entry, Key, Slot, Store};

/// A leader that has not come back for so long has lost its flight; the same as for log-ins.
const FLIGHT_LEASE: Duration = Duration::from_secs(6);

/// How long to leave alone what could not be had.
const PAUSE: Duration = Duration::from_secs(1);

/// The flight that an operation reads for, where it reads for others too.
pub(crate) type Leads = Option<Arc<Flight>>;

/// What is asked for, and what will do.
#[derive(Clone, Copy)]
pub(crate) struct Want<'a> {
    pub path: &'a str,
    /// 0 for the newest version.
    pub pin: u64,
    pub partition: Partition,
    pub min_version: u64,
    pub strong: bool,
    pub max_age: Duration,
}

impl Want<'_> {
    fn key(&self) -> Key<'_> {
        Key { path: self.path, pin: self.pin, partition: self.partition }
    }

    fn accepts(&self, entry: &Entry, now: Now) -> bool {
        let age = now.monotonic.saturating_sub(entry.fetched);
        let is_there = entry.secret.is_there(now.wall);
        !self.strong && is_there && entry.secret.version() >= self.min_version && age <= self.max_age
    }

    fn joins(&self, flight: &Flight, now: Duration) -> bool {
        let is_overtaken = flight.is_overtaken.load(Ordering::Relaxed);
        !self.strong && !is_overtaken && now < flight.lease_until && now.saturating_sub(flight.began) <= self.max_age
    }
}

/// What a reader has to do.
#[derive(Debug)]
pub(crate) enum Look {
    /// Take this.
    Hit(Arc<Kept>),
    /// Wait for this read, no longer than so long.
    Join(Arc<Flight>, Duration),
    /// Read, on behalf of all who want the same. With true, there is something to fall back on.
    Lead(Arc<Flight>, bool),
}

/// What left the cache during a step. It is wiped, and those who waited are woken, when the lock is
/// released.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    entries: Vec<Entry>,
    flights: Vec<Arc<Flight>>,
    store: Option<Box<Store>>,
}

impl Leaving {
    pub fn settle(self) {
        self.flights.iter().for_each(|flight| flight.ring());
    }

    fn end(&mut self, flight: Arc<Flight>) {
        flight.end();
        self.flights.push(flight);
    }
}

/// The cache of one client.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    config: Option<CacheConfig>,
    store: Store,
    leaving: Leaving,
    metrics: CacheMetrics,
}

impl Cache {
    /// A cache with these settings. The seed is secret: it keeps outsiders from choosing keys that meet.
    pub fn new(config: CacheConfig, seed: [u8; 16]) -> Self {
        Self { config: Some(config), store: Store::new(seed), ..Self::default() }
    }

    pub fn metrics(&self) -> CacheMetrics {
        CacheMetrics { entries: self.store.entries, bytes: self.store.bytes, ..self.metrics.clone() }
    }

    /// What there is for a reader.
    pub fn look(&mut self, want: &Want<'_>, at: Now) -> Look {
        let now = at.monotonic;
        let (ttl, stale) = self.config.map_or_else(Default::default, |config| (config.ttl, config.stale_if_error));
        let key = want.key();
        let number = match self.store.find(&key) {
            Some(number) => number,
            None => self.store.add(&key),
        };
        let mut has_fallback = false;
        let mut before = None;
        if let Some(slot) = self.store.get_mut(number) {
            let flies = slot.flight.as_ref().filter(|flight| now < flight.lease_until);
            if let Some(entry) = slot.kept.as_ref().filter(|entry| want.accepts(entry, at)) {
                let age = now.saturating_sub(entry.fetched);
                let (is_fresh, is_left_alone) = (age < ttl, now < entry.refresh_from);
                has_fallback = age < ttl.saturating_add(stale);
                if is_left_alone && has_fallback || is_fresh && flies.is_some() {
                    slot.is_used = true;
                    self.metrics.hit(age);
                    self.metrics.stale += u64::from(!is_fresh);
                    return Look::Hit(entry.secret.clone());
                }
                self.metrics.refreshes += u64::from(is_fresh);
                self.metrics.misses += u64::from(!is_fresh && flies.is_none());
            } else {
                self.metrics.misses += u64::from(!flies.is_some_and(|flight| want.joins(flight, now)));
            }
            if let Some(flight) = flies.filter(|flight| want.joins(flight, now)) {
                self.metrics.joined += 1;
                return Look::Join(flight.clone(), flight.lease_until.saturating_sub(now));
            }
            before = slot.flight.take();
        }
        if let Some(before) = before {
            self.leaving.end(before);
        }
        // Who waits is served what was asked for before; not for longer than an entry would be.
        let lease_until = now.saturating_add(FLIGHT_LEASE.min(ttl));
        let flight = Arc::new(Flight::new(number, now, lease_until, want.min_version));
        if let Some(slot) = self.store.get_mut(number) {
            slot.flight = Some(flight.clone());
        }
        Look::Lead(flight, has_fallback)
    }

    /// The slot of a flight that nothing has overtaken, which it leaves.
    fn leave(&mut self, flight: &Arc<Flight>) -> Option<u32> {
        let is_it = |own: &mut Arc<Flight>| Arc::ptr_eq(own, flight);
        let own = self.store.get_mut(flight.slot)?.flight.take_if(is_it)?;
        self.leaving.end(own);
        Some(flight.slot)
    }

    /// A flight brought this, which was asked for at `fetched`, while the floor of its path is there. It is kept
    /// unless its version has deleted itself by now, or nobody can say when it will. It is asked for again after
    /// four fifths of its time or somewhat later, as `jitter` wants, so that many clients don't do so at once.
    pub fn land(
        &mut self,
        flight: &Arc<Flight>,
        secret: &Arc<Kept>,
        floor: Option<&Floor>,
        (fetched, at): (Duration, Now),
        jitter: u64,
    ) {
        let now = at.monotonic;
        let Some(config) = self.config else { return };
        let Some(slot) = self.store.get(flight.slot).filter(|slot| is_flown_by(slot, flight)) else { return };
        if flight.is_overtaken.load(Ordering::Relaxed) && !is_admitted(floor, slot, secret) {
            return self.abandon(flight);
        }
        // Before it is over, or a follower could look too early.
        flight.land(secret.clone());
        let Some(number) = self.leave(flight) else { return };
        // What is too large would drive all others out, and leave itself.
        if secret.weight() > config.max_bytes || !secret.is_there(at.wall) {
            return self.drop_entry(number);
        }
        let thousandths = 800 + u32::try_from(jitter % 150).unwrap_or_default();
        let refresh_from = fetched.saturating_add(config.ttl.saturating_mul(thousandths) / 1000);
        let before = self.store.put(number, secret.clone(), fetched, refresh_from);
        self.leaving.entries.extend(before);
        self.make_room(config, number, now);
    }

    /// Lets others leave where there are too many, and now and then what nobody may be served any more.
    fn make_room(&mut self, config: CacheConfig, number: u32, now: Duration) {
        let is_too_full = |store: &Store| store.entries > config.max_entries || store.bytes > config.max_bytes;
        while is_too_full(&self.store) {
            // Where it is alone, it is too large itself.
            let victim = self.store.victim(number).unwrap_or(number);
            self.metrics.evictions += 1;
            self.leaving.entries.extend(self.store.take(victim));
            self.store.tidy(victim);
        }
        for _ in 0..2 {
            let next = self.store.next();
            let longest = config.ttl.saturating_add(config.stale_if_error);
            let is_over = |entry: &Entry| now.saturating_sub(entry.fetched) >= longest;
            if self.store.get(next).is_some_and(|slot| slot.kept.as_ref().is_some_and(is_over)) {
                self.leaving.entries.extend(self.store.take(next));
                self.store.tidy(next);
            }
        }
    }

    /// A flight failed. Returns what is served all the same; where there is nothing, those who waited, with
    /// deadlines up to `until`, hear the same error.
    pub fn fail(
        &mut self,
        flight: &Arc<Flight>,
        want: &Want<'_>,
        error: &Error,
        until: Duration,
        at: Now,
    ) -> Option<Arc<Kept>> {
        let now = at.monotonic;
        let config = self.config?;
        let slot = self.store.get_mut(flight.slot).filter(|slot| is_flown_by(slot, flight))?;
        let mut served = None;
        // Whoever answers is no reason to serve what is too old.
        let longest = if is_no_cluster(error) { config.ttl.saturating_add(config.stale_if_error) } else { config.ttl };
        if let Some(entry) = slot.kept.as_mut().filter(|_| error.is_retryable()) {
            // The others are served what there is, and one asks again later.
            entry.refresh_from = now.saturating_add(PAUSE).min(entry.fetched.saturating_add(longest));
            let age = now.saturating_sub(entry.fetched);
            if want.accepts(entry, at) && age < longest {
                self.metrics.hit(age);
                self.metrics.stale += u64::from(age >= config.ttl);
                served = Some(entry.secret.clone());
            }
        }
        if served.is_none() {
            flight.fail(error.clone(), until);
        }
        let number = flight.slot;
        self.abandon(flight);
        if !error.is_retryable() && self.store.get(number).is_some_and(|slot| slot.kept.is_some()) {
            // A refusal is not overruled by what was read before.
            self.drop_entry(number);
        }
        served
    }

    /// A leader gives up for reasons of its own, or is done.
    pub fn abandon(&mut self, flight: &Arc<Flight>) {
        if let Some(number) = self.leave(flight) {
            self.store.tidy(number);
        }
    }

    /// What the entries of a path show of it.
    pub fn sightings(&self, path: &str) -> Vec<Sighting> {
        let slots = self.store.of_path(path).into_iter().filter_map(|number| self.store.get(number));
        slots.filter_map(|slot| slot.kept.as_ref()).map(|entry| entry.secret.sighting()).collect()
    }

    /// The floor of a path moved to this, by an answer to `by`: what falls below it leaves, and who reads
    /// on behalf of others began too early for those who come now.
    pub fn overtake(&mut self, path: &str, floor: Option<&Floor>, by: &Leads) {
        if self.config.is_none() {
            return;
        }
        for number in self.store.of_path(path) {
            let Some(slot) = self.store.get(number) else { continue };
            if let Some(flight) = slot.flight.as_ref().filter(|flight| !is_of(by, flight)) {
                flight.is_overtaken.store(true, Ordering::Relaxed);
            }
            if slot.kept.as_ref().is_some_and(|entry| !is_admitted(floor, slot, &entry.secret)) {
                self.drop_entry(number);
            }
        }
    }

    /// A path was changed, is not what it was, or may not be read by the token with which all was read: nothing that
    /// is known of it counts.
    pub fn purge(&mut self, path: &str, by: &Leads) {
        self.end_where(path, by, |_| true);
    }

    /// There is no such secret, or no such version.
    pub fn gone(&mut self, path: &str, pin: Option<u64>, by: &Leads) {
        self.end_where(path, by, |slot| pin.is_none_or(|pin| slot.pin == pin));
    }

    /// The metadata of a path shows this; none where there is no such secret. A version that is deleted, or
    /// will be, is read anew.
    pub fn shown(&mut self, path: &str, versions: Option<&Versions>, by: &Leads) {
        let Some(versions) = versions else { return self.gone(path, None, by) };
        let is_gone = |version: &&Version| version.is_destroyed() || version.deletion_time().is_some();
        for version in versions.versions().iter().filter(is_gone).map(Version::version) {
            self.gone(path, Some(version), by);
            if version == versions.current_version() {
                self.end_where(path, by, |slot| slot.pin == 0);
            }
        }
    }

    /// Ends the entries of a path that are concerned, and their flights but for `by`.
    fn end_where(&mut self, path: &str, by: &Leads, is_concerned: impl Fn(&Slot) -> bool) {
        if self.config.is_none() {
            return;
        }
        for number in self.store.of_path(path) {
            let Some(slot) = self.store.get_mut(number).filter(|slot| is_concerned(slot)) else { continue };
            if let Some(flight) = slot.flight.take_if(|flight| !is_of(by, flight)) {
                self.leaving.end(flight);
            }
            self.drop_entry(number);
        }
    }

    fn drop_entry(&mut self, number: u32) {
        let entry = self.store.take(number);
        self.metrics.purges += u64::from(entry.is_some());
        self.leaving.entries.extend(entry);
        self.store.tidy(number);
    }

    /// Everything leaves: the client is closed, or the cluster is another one.
    pub fn clear(&mut self) {
        let mut store = Box::new(std::mem::take(&mut self.store));
        self.store = store.successor();
        store.flights().for_each(|flight| self.leaving.end(flight));
        self.leaving.store = Some(store);
    }

    /// What is to be wiped and woken when the lock is released; asked for after each step.
    pub fn take_leaving(&mut self) -> Leaving {
        std::mem::take(&mut self.leaving)
    }
}

/// Whether the cluster can't be had: no node answers, or none that serves.
fn is_no_cluster(error: &Error) -> bool {
    let code = error.code();
    code.family() == Family::Transport || matches!(code, Code::ServerSealed | Code::NoLeader)
}

fn is_admitted(floor: Option<&Floor>, slot: &Slot, secret: &Kept) -> bool {
    let pin = Some(slot.pin).filter(|pin| *pin > 0);
    floor.is_some_and(|floor| floor.admits(&secret.sighting(), pin))
}

fn is_of(by: &Leads, flight: &Arc<Flight>) -> bool {
    by.as_ref().is_some_and(|by| Arc::ptr_eq(by, flight))
}

fn is_flown_by(slot: &Slot, flight: &Arc<Flight>) -> bool {
    slot.flight.as_ref().is_some_and(|own| Arc::ptr_eq(own, flight))
}
