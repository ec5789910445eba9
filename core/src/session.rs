//! What the operations of one client share: the token, the nodes' health, how much of the
//! cluster's state was seen, who is logging in, and the places under the concurrency limit.
//!
//! Plain data. It is changed only in [`crate::exchange`], under the lock that [`crate::drive`]
//! holds for the length of a step.

pub(crate) mod consistency;
pub(crate) mod nodes;
pub(crate) mod places;
pub(crate) mod token;

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Credential, Settings};
use consistency::Consistency;
use nodes::Nodes;
use token::Tokens;

/// A point on the host's two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since any fixed moment, never going back: deadlines and leases are counted on it.
    pub monotonic: Duration,
    /// Since the Unix epoch, as the host believes. It may jump.
    pub wall: Duration,
}

/// The shared state of one client.
#[derive(Debug)]
pub(crate) struct Session {
    pub nodes: Nodes,
    pub tokens: Tokens,
    pub consistency: Consistency,
    pub namespace: Option<Arc<str>>,
    pub closed: bool,
}

impl Session {
    pub fn new(settings: &Settings, credential: Option<Credential>) -> Self {
        Self {
            nodes: Nodes::new(settings.nodes().iter().cloned()),
            tokens: Tokens::new(credential),
            consistency: Consistency::default(),
            namespace: settings.namespace().map(Into::into),
            closed: false,
        }
    }

    /// Ends the session: the token is wiped, and every later step is refused.
    pub fn close(&mut self) {
        self.closed = true;
        self.tokens.forget();
    }
}
