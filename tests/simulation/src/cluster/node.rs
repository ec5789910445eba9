//! One node: whether it runs, what it believes, and how far it has come in the log.

use std::time::Duration;

/// Whether its process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    Up,
    /// Nobody listens at its port.
    Down,
    /// Stopped: it takes connections, and answers nothing until it goes on.
    Frozen,
}

/// What a node believes of the leadership. It can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belief {
    /// That it leads.
    Leads,
    /// That this one leads.
    Follows(usize),
    /// That there is no leader.
    Alone,
}

/// A storm: every request is refused until then, with this wish for a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storm {
    pub(crate) until: Duration,
    pub(crate) retry_after: Option<Duration>,
    /// 429 of the quota, else 503 of a proxy.
    pub(crate) quota: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) power: Power,
    /// Counts the starts of its process: what a former one was about to answer is never answered.
    pub(crate) starts: u32,
    pub(crate) sealed: bool,
    /// Whether it is in the cluster's configuration.
    pub(crate) member: bool,
    /// Cut off from the other nodes' Raft.
    pub(crate) isolated: bool,
    /// Whether it can pass requests on although it is cut off, as a removed one can.
    pub(crate) passes_on: bool,
    /// Cut off from the clients.
    pub(crate) unreachable: bool,
    pub(crate) belief: Belief,
    /// How many entries of the log it has.
    pub(crate) applied: usize,
    /// How far it is behind the leader.
    pub(crate) lag: Duration,
    /// Since when it has been getting entries without a break.
    pub(crate) linked: Duration,
    /// What every request to it takes longer.
    pub(crate) slow: Duration,
    pub(crate) storm: Option<Storm>,
    /// Until when it does not know the policy that clients need, and the mount.
    pub(crate) no_policy: Duration,
    pub(crate) no_mount: Duration,
    /// It dies right after the next commit, before it answers.
    pub(crate) dies_at_commit: bool,
}

impl Node {
    pub(crate) fn new(belief: Belief, lag: Duration) -> Self {
        Self {
            power: Power::Up,
            starts: 0,
            sealed: false,
            member: true,
            isolated: false,
            passes_on: false,
            unreachable: false,
            belief,
            applied: 0,
            lag,
            linked: Duration::ZERO,
            slow: Duration::ZERO,
            storm: None,
            no_policy: Duration::ZERO,
            no_mount: Duration::ZERO,
            dies_at_commit: false,
        }
    }

    /// Whether it takes part in Raft.
    pub(crate) fn votes(&self) -> bool {
        self.power == Power::Up && self.member && !self.isolated && !self.sealed
    }
}

/// The address at which clients find a node. Addresses count from 1.
pub(crate) fn address(node: usize) -> String {
    format!("https://node-{}.test:8200", node + 1)
}
