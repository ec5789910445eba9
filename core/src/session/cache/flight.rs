//! One read on behalf of all who want the same: who waits for it, and what came of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use event_listener::Event;

use super::kept::Kept;
use crate::error::Error;

/// A read on its way. Its leader reads; the others wait.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Where the cache keeps what it is for.
    pub slot: u32,
    pub began: Duration,
    /// Until when others wait for it: its leader may be a task that nobody polls any more.
    pub lease_until: Duration,
    /// What its leader demands of the version.
    pub min_version: u64,
    /// Whether the floor of its path has moved since it began: nobody joins it any more, and what it brings
    /// counts only if it is not below that.
    pub is_overtaken: AtomicBool,
    /// None where it was overtaken or given up: who waited looks again.
    outcome: OnceLock<Result<Arc<Kept>, Failed>>,
    is_over: AtomicBool,
    over: Event,
}

#[derive(Debug)]
struct Failed {
    error: Error,
    /// It holds for those with a deadline up to this.
    until: Duration,
}

impl Flight {
    pub fn new(slot: u32, began: Duration, lease_until: Duration, min_version: u64) -> Self {
        let (is_overtaken, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        let (outcome, over) = (OnceLock::new(), Event::new());
        Self { slot, began, lease_until, min_version, is_overtaken, outcome, is_over, over }
    }

    /// What a follower with this deadline and this demand takes over.
    pub fn outcome(&self, deadline: Duration, min_version: u64) -> Option<Result<Arc<Kept>, Error>> {
        match self.outcome.get()? {
            Ok(kept) if kept.version() >= min_version => Some(Ok(kept.clone())),
            Err(failed) if deadline <= failed.until && min_version == self.min_version => {
                Some(Err(failed.error.clone()))
            }
            _ => None,
        }
    }

    /// Ends when it is over.
    pub async fn ended(&self) {
        loop {
            let listener = self.over.listen();
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            listener.await;
        }
    }

    pub(super) fn land(&self, kept: Arc<Kept>) {
        // Only its leader sets it, once.
        let _ = self.outcome.set(Ok(kept));
    }

    pub(super) fn fail(&self, error: Error, until: Duration) {
        let _ = self.outcome.set(Err(Failed { error, until }));
    }

    /// It is over; [`Flight::ring`] tells those who wait.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    pub(super) fn ring(&self) {
        self.over.notify(usize::MAX);
    }
}
