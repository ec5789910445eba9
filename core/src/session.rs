//! What the operations of one client share: the token, the nodes' health, how much of the
//! cluster's state was seen, who is logging in or probing, and the places under the concurrency limit.
//!
//! Plain data. It is changed only in [`crate::exchange`] and by what [`crate::operation`] draws from
//! answers, under the lock that [`crate::drive`] holds for the length of a step.

pub(crate) mod consistency;
pub(crate) mod errand;
pub(crate) mod floors;
pub(crate) mod nodes;
pub(crate) mod places;
pub(crate) mod quota;
pub(crate) mod recovery;
pub(crate) mod token;

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Credential, Settings};
use crate::rules::Rules;
use consistency::Consistency;
use floors::Floors;
use nodes::Nodes;
use quota::Quota;
use recovery::Recovery;
use token::Tokens;

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
    pub recovery: Recovery,
    pub quota: Quota,
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
            recovery: Recovery::default(),
            quota: Quota::default(),
            rules: Rules::default(),
            namespace: settings.namespace().map(Into::into),
            closed: false,
        }
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
        tokens || recovery
    }

    /// Ends the session: the token is wiped, and every later step is refused.
    pub fn close(&mut self) {
        self.closed = true;
        self.tokens.forget();
    }
}
