//! What the operations of one client share: the token, the nodes' health, how much of the
//! cluster's state was seen, what was read, who is logging in or probing, and the places under the concurrency limit.
//!
//! Plain data. It is changed only in [`crate::exchange`] and by what [`crate::operation`] draws from
//! answers, under the lock that [`crate::drive`] holds for the length of a step.

#[cfg(feature = "cache")]
pub(crate) mod cache;
#[cfg(not(feature = "cache"))]
#[path = "session/cache_off.rs"]
pub(crate) mod cache;
pub(crate) mod consistency;
pub(crate) mod errand;
pub(crate) mod floors;
pub(crate) mod nodes;
pub(crate) mod places;
pub(crate) mod quota;
pub(crate) mod recovery;
pub(crate) mod token;
pub(crate) mod watches;

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Credential, Settings};
use crate::rules::{Rule, Rules};
use cache::{Cache, Leads};
use consistency::Consistency;
use floors::{Floor, Floors, Sighting};
use nodes::Nodes;
use quota::Quota;
use recovery::Recovery;
use token::Tokens;
use watches::Watches;

/// A point on the host's two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since any fixed moment, never going back: deadlines and leases are counted on it.
    pub monotonic: Duration,
    /// Since the Unix epoch, as the host believes. It may jump.
    pub wall: Duration,
}

/// What others may wait for, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// A log-in under way.
    LogIn(u64),
    /// The end of an outage.
    Outage(u64),
}

/// The shared state of one client.
#[derive(Debug)]
pub(crate) struct Session {
    pub nodes: Nodes,
    pub tokens: Tokens,
    pub consistency: Consistency,
    pub floors: Floors,
    pub cache: Cache,
    pub recovery: Recovery,
    pub quota: Quota,
    pub watches: Watches,
    pub rules: Rules,
    pub namespace: Option<Arc<str>>,
    pub closed: bool,
}

impl Session {
    pub fn new(settings: &Settings, credential: Option<Credential>) -> Self {
        Self {
            nodes: Nodes::new(settings.nodes().iter().cloned()),
            tokens: Tokens::new(credential, settings.renewal_threshold()),
            consistency: Consistency::default(),
            floors: Floors::default(),
            cache: Default::default(),
            recovery: Recovery::default(),
            quota: Quota::default(),
            watches: Watches::default(),
            rules: Rules::default(),
            namespace: settings.namespace().map(Into::into),
            closed: false,
        }
    }

    /// What was seen of a secret until now, and how often floors have moved, for a read that begins.
    ///
    /// The table of floors forgets, and then what is cached tells: it was seen too, and nothing older may take
    /// its place.
    pub fn floor(&mut self, key: &str) -> (Floor, u64) {
        #[cfg(feature = "cache")]
        if self.floors.get(key).is_none() {
            for seen in self.cache.sightings(key) {
                let since = self.floors.moves();
                self.floors.note(key, &seen, since);
            }
        }
        (self.floors.at(key), self.floors.moves())
    }

    /// A read that began when floors had moved `since` times showed this, and was admitted; it was made for
    /// `by`.
    pub fn note(&mut self, key: &str, seen: &Sighting, since: u64, by: &Leads) {
        let before = self.floors.moves();
        self.floors.note(key, seen, since);
        if self.floors.moves() != before {
            self.cache.overtake(key, self.floors.get(key), by);
        }
    }

    /// A strong read that began when floors had moved `since` times showed this. Returns the version from
    /// which the floor fell, or that was made anew.
    pub fn settle(&mut self, key: &str, seen: &Sighting, pin: Option<u64>, since: u64, by: &Leads) -> Option<u64> {
        let fell = self.place_floor(key, seen, pin, since);
        // Pinned versions too: it may be another secret of that name.
        self.cache.purge(key, by);
        fell
    }

    /// The same of a write that was sent then: what is cached ends with every change, whatever comes of it.
    pub fn place_floor(&mut self, key: &str, seen: &Sighting, pin: Option<u64>, since: u64) -> Option<u64> {
        if !self.rules.keep(Rule::FloorsFall) {
            self.floors.note(key, seen, since);
            return None;
        }
        let fell = self.floors.settle(key, seen, pin, since);
        if fell.is_some() {
            self.watches.doubt(key);
        }
        fell
    }

    /// This client has changed a secret, or has tried to.
    #[cfg(feature = "cache")]
    pub fn changed(&mut self, key: &str) {
        if self.rules.keep(Rule::CacheIsPurged) {
            self.cache.purge(key, &Leads::default());
        }
    }

    /// The cluster is another one: nothing that was seen counts any more.
    pub fn forget_cluster(&mut self) {
        self.floors.clear();
        self.cache.clear();
        self.watches.doubt_all();
    }

    /// Whether what is waited for is over.
    pub fn has_moved(&self, ticket: Ticket) -> bool {
        match ticket {
            Ticket::LogIn(_) => self.tokens.has_moved(ticket),
            Ticket::Outage(number) => self.recovery.is_over(number),
        }
    }

    /// Whether those who wait must look again; asked once after each step.
    pub fn take_moved(&mut self) -> bool {
        let (tokens, recovery) = (self.tokens.take_moved(), self.recovery.take_moved());
        self.watches.take_moved() || tokens || recovery
    }

    /// Ends the session: the token and what was read are wiped, and every later step is refused.
    pub fn close(&mut self) {
        self.closed = true;
        self.tokens.forget();
        self.cache.clear();
    }
}
