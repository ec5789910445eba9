//! The store of one process: three bounded tables behind a lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baokit_core::Now;

use super::row::{self, Row};
use super::{Denial, Grant, Store, Taken};
use crate::error::{Code, Error, Result};
use crate::policy::Key;

/// Grants, denials, and used proofs and tokens in the memory of this process.
///
/// **Its reach is this process.** Several processes, or several isolates of an edge runtime, each with its own,
/// multiply what a grant allows: `max_uses: 1` is one use in each of them, and a proof can be used once in each. A
/// restart forgets what was used. Where that matters, share an [`OpenBaoStore`](super::OpenBaoStore) or a store of
/// the host's own.
///
/// It is bounded: [`MemoryStore::CAPACITY`] used proofs, as many used tokens, and as many grants and denials, some
/// 30 MiB when full. What has ended is swept first. A used proof or token is never forgotten before its end: where there
/// is no place, the request is refused; a full table of tokens refuses no proof. A grant may be, the one that ends
/// first: the PDP is asked again.
///
/// A wall clock that is set back or forward neither lengthens a grant, which ends on the first of the two clocks, nor
/// opens a window of replay: what was used is forgotten when both are past its end, since its age is judged by the wall
/// clock.
///
/// ```
/// use std::time::Duration;
/// use baokit_core::Now;
/// use baokit_service::Result;
/// use baokit_service::policy::{Key, MemoryStore, Store};
///
/// async fn use_twice(store: &MemoryStore) -> Result<()> {
///     let now = Now { monotonic: Duration::ZERO, wall: Duration::from_secs(1_800_000_000) };
///     let (key, until) = (Key::of("proof", &[Some("jkt"), Some("jti")]), now.wall + Duration::from_secs(300));
///     assert!(store.insert_if_absent(&key, until, now).await?);
///     assert!(!store.insert_if_absent(&key, until, now).await?, "used before");
///     Ok(())
/// }
/// # let store = MemoryStore::new();
/// # let mut work = std::pin::pin!(use_twice(&store));
/// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// # assert!(matches!(work.as_mut().poll(&mut context), std::task::Poll::Ready(Ok(()))));
/// ```
pub struct MemoryStore {
    tables: Mutex<Tables>,
    capacity: usize,
}

#[derive(Default)]
struct Tables {
    /// Each with its end on the wall clock, as the tokens.
    proofs: Table<Duration>,
    /// Apart from the proofs, since they are kept for longer.
    tokens: Table<Duration>,
    rows: Table<Row>,
}

/// Entries by their key, and by their end on the monotonic clock.
struct Table<T> {
    entries: BTreeMap<Key, (Duration, T)>,
    ends: BTreeSet<(Duration, Key)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), ends: BTreeSet::new() }
    }
}

impl<T> Table<T> {
    fn sweep(&mut self, now: Duration) {
        while self.ends.first().is_some_and(|(end, _)| *end <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.ends.pop_first() {
            self.entries.remove(&key);
        }
    }

    fn get(&self, key: &Key) -> Option<&T> {
        self.entries.get(key).map(|(_, entry)| entry)
    }

    fn put(&mut self, key: Key, end: Duration, entry: T) {
        if let Some((old, _)) = self.entries.insert(key, (end, entry)) {
            self.ends.remove(&(old, key));
        }
        self.ends.insert((end, key));
    }
}

impl Table<Duration> {
    /// Forgets what both clocks are past the end of. What the wall clock is not past yet, since it was set back, is kept
    /// for as long as that takes.
    fn sweep_both(&mut self, now: Now) {
        while let Some((end, key)) = self.ends.first().copied().filter(|(end, _)| *end <= now.monotonic) {
            self.ends.remove(&(end, key));
            if let Some((_, until)) = self.entries.remove(&key)
                && until > now.wall
            {
                self.put(key, monotonic(until, now), until);
            }
        }
    }

    fn note(&mut self, key: &Key, until: Duration, now: Now, capacity: usize) -> Result<bool> {
        self.sweep_both(now);
        if self.get(key).is_some() {
            return Ok(false);
        }
        if self.entries.len() >= capacity {
            let first = self.ends.first().map_or(Duration::ZERO, |(end, _)| end.saturating_sub(now.monotonic));
            // In whole seconds, as the header has it, and never none.
            let wait = Duration::from_secs(first.as_secs().saturating_add(1));
            return Err(Error::new(Code::ReplayStoreFull).retry_after(wait));
        }
        self.put(*key, monotonic(until, now), until);
        Ok(true)
    }
}

impl MemoryStore {
    /// How many used proofs, how many used tokens, and how many grants and denials there may be by default.
    pub const CAPACITY: usize = 65_536;

    /// An empty store of the default capacity.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::CAPACITY)
    }

    /// An empty store for so many used proofs, as many used tokens, and as many grants and denials; for one at least.
    ///
    /// A service that accepts proofs for five minutes and answers `n` requests a second needs `300 × n`; one whose tokens
    /// may be used once, and last for an hour, `3600 × n`.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Self {
        Self { tables: Mutex::default(), capacity: entries.max(1) }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // No step between lock and release can panic.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, key: &Key, new: Row, now: Now) -> bool {
        let rows = &mut self.tables().rows;
        rows.sweep(now.monotonic);
        if !row::may_replace(rows.get(key), &new, now.wall) {
            return false;
        }
        if rows.get(key).is_none() && rows.entries.len() >= self.capacity {
            rows.forget_first();
        }
        rows.put(*key, monotonic(new.until(), now), new);
        true
    }
}

/// A moment of the wall clock on the monotonic one.
fn monotonic(until: Duration, now: Now) -> Duration {
    now.monotonic.saturating_add(until.saturating_sub(now.wall))
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    async fn insert_if_absent(&self, key: &Key, until: Duration, now: Now) -> Result<bool> {
        self.tables().proofs.note(key, until, now, self.capacity)
    }

    async fn insert_for(&self, key: &Key, time: Duration, now: Now) -> Result<bool> {
        self.tables().tokens.note(key, now.wall.saturating_add(time), now, self.capacity)
    }

    async fn put_grant(&self, key: &Key, grant: Grant, now: Now) -> Result<bool> {
        Ok(self.put(key, Row::Grant(grant), now))
    }

    async fn put_denial(&self, key: &Key, denial: Denial, now: Now) -> Result<()> {
        self.put(key, Row::Denial(denial), now);
        Ok(())
    }

    async fn take_use(&self, key: &Key, sender: Option<&Key>, now: Now) -> Result<Taken> {
        let rows = &mut self.tables().rows;
        rows.sweep(now.monotonic);
        let (taken, rest) = row::take(rows.get(key), sender, now.wall);
        if let Some(rest) = rest
            && let Some((_, entry)) = rows.entries.get_mut(key)
        {
            *entry = rest;
        }
        Ok(taken)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.tables();
        f.debug_struct("MemoryStore")
            .field("proofs", &tables.proofs.entries.len())
            .field("tokens", &tables.tokens.entries.len())
            .field("grants", &tables.rows.entries.len())
            .field("capacity", &self.capacity)
            .finish()
    }
}
