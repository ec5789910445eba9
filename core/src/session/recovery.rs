//! What the client does while no node serves it: one probe at a time for all its operations.
//!
//! Without this, every operation would ask every node again and again: an outage would be amplified by
//! the very clients that suffer from it. So the first failure closes a gate. Those who come while it
//! is closed wait; one of them at a time sends its own request, to another node each time, and the
//! first that is served opens the gate for all. So the first answer after an election is noticed at
//! once, and a single dead node costs one round trip.

use std::time::Duration;

use super::Ticket;
use super::nodes::NodeId;
use crate::error::Code;

/// How often a node is asked while none serves, by reads and by what needs the leader together.
const PACE: Duration = Duration::from_millis(500);

/// What a request needs of the cluster. During an election the standbys still serve reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Any node that is up and unsealed.
    Read,
    /// The leader, if only behind a standby.
    Leader,
}

/// Whether a request may be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// As usual.
    Open,
    /// On behalf of all who wait.
    Probe,
    /// Not before the gate opens, or this moment comes.
    Wait(Ticket, Duration),
}

#[derive(Debug)]
struct Outage {
    number: u64,
    /// Nodes that may still be asked at once, since they were not yet in this outage.
    untried: usize,
    /// What the last failure was, and whose: for those who never came to ask themselves.
    last: (Code, Option<NodeId>),
}

/// The gates of one client.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    read: Option<Outage>,
    leader: Option<Outage>,
    /// One pace for both gates: where nobody answers at all, both are closed.
    next_probe: Duration,
    /// Who probed last.
    last_lane: Option<Lane>,
    outages: u64,
    moved: bool,
}

impl Recovery {
    fn gate(&mut self, lane: Lane) -> &mut Option<Outage> {
        match lane {
            Lane::Read => &mut self.read,
            Lane::Leader => &mut self.leader,
        }
    }

    /// Whether a request may be sent now.
    pub fn enter(&mut self, lane: Lane, now: Duration) -> Entry {
        let both_closed = self.read.is_some() && self.leader.is_some();
        // They take turns, or those at one gate would probe for ever and those at the other never.
        let pause = if both_closed && self.last_lane == Some(lane) { PACE } else { Duration::ZERO };
        let next_probe = self.next_probe.saturating_add(pause);
        let Some(outage) = self.gate(lane) else { return Entry::Open };
        if let Some(left) = outage.untried.checked_sub(1) {
            outage.untried = left;
            return Entry::Probe;
        }
        let ticket = Ticket::Outage(outage.number);
        if now >= next_probe {
            self.next_probe = now.saturating_add(PACE);
            self.last_lane = Some(lane);
            return Entry::Probe;
        }
        Entry::Wait(ticket, next_probe)
    }

    /// A node did not serve a request, for this reason. There are so many nodes.
    pub fn failed(&mut self, lane: Lane, now: Duration, nodes: usize, last: (Code, Option<NodeId>)) {
        let number = self.outages + 1;
        let both_open = self.read.is_none() && self.leader.is_none();
        match self.gate(lane) {
            Some(outage) => outage.last = last,
            gate => {
                // Behind one address there may be other nodes: it is asked once more at once.
                let untried = nodes.saturating_sub(1).max(1);
                *gate = Some(Outage { number, untried, last });
                self.outages = number;
                if both_open {
                    // Else those who wait at the other gate would wait longer each time this one closes.
                    self.next_probe = now.saturating_add(PACE);
                }
            }
        }
    }

    /// A probe was followed by a second request, to where it was redirected: the next one comes later.
    pub fn spend(&mut self) {
        if self.read.is_some() || self.leader.is_some() {
            self.next_probe = self.next_probe.saturating_add(PACE);
        }
    }

    /// Why nobody may ask at the moment, and which node said so.
    pub fn reason(&self, lane: Lane) -> Option<(Code, Option<NodeId>)> {
        let gate = match lane {
            Lane::Read => &self.read,
            Lane::Leader => &self.leader,
        };
        gate.as_ref().map(|outage| outage.last)
    }

    /// A node served a request. One that the leader had to serve shows that nodes answer as well.
    pub fn served(&mut self, lane: Lane) {
        let read = self.read.take().is_some();
        let leader = lane == Lane::Leader && self.leader.take().is_some();
        self.moved |= read || leader;
    }

    /// Whether an outage is over, for one who waits for that.
    pub fn is_over(&self, number: u64) -> bool {
        [&self.read, &self.leader].into_iter().flatten().all(|outage| outage.number != number)
    }

    /// Whether those who wait must look again; asked once after each step.
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SEALED: (Code, Option<NodeId>) = (Code::ServerSealed, None);

    #[test]
    fn in_an_outage_each_other_node_is_asked_once_and_then_one_every_half_second() {
        let mut recovery = Recovery::default();
        assert_eq!(recovery.enter(Lane::Read, SECOND), Entry::Open);
        recovery.failed(Lane::Read, SECOND, 3, SEALED);
        assert_eq!(recovery.enter(Lane::Read, SECOND), Entry::Probe);
        assert_eq!(recovery.enter(Lane::Read, SECOND), Entry::Probe);
        let next = SECOND + PACE;
        for _ in 0..3 {
            assert_eq!(recovery.enter(Lane::Read, SECOND), Entry::Wait(Ticket::Outage(1), next));
        }
        recovery.failed(Lane::Read, SECOND, 3, SEALED);
        assert_eq!(recovery.enter(Lane::Read, next), Entry::Probe);
        assert_eq!(recovery.enter(Lane::Read, next), Entry::Wait(Ticket::Outage(1), next + PACE));
    }

    #[test]
    fn while_nobody_answers_reads_and_writes_together_ask_one_node_every_half_second() {
        let mut recovery = Recovery::default();
        let mut probes = 0;
        for step in 0..600_u32 {
            let now = SECOND + step * Duration::from_millis(100);
            for lane in [Lane::Read, Lane::Leader] {
                recovery.failed(lane, now, 3, SEALED);
                probes += u32::from(recovery.enter(lane, now) == Entry::Probe);
            }
        }
        // The other nodes at once, for each; then two in a second.
        assert!((4 + 118..=4 + 120).contains(&probes), "{probes}");
    }

    #[test]
    fn reads_that_fail_now_and_then_do_not_put_off_the_search_for_the_leader() {
        let mut recovery = Recovery::default();
        recovery.failed(Lane::Leader, SECOND, 1, SEALED);
        assert_eq!(recovery.enter(Lane::Leader, SECOND), Entry::Probe);
        for step in 1..50 {
            recovery.failed(Lane::Read, SECOND + step * Duration::from_millis(10), 3, SEALED);
            recovery.served(Lane::Read);
        }
        assert_eq!(recovery.enter(Lane::Leader, SECOND + PACE), Entry::Probe);
    }

    #[test]
    fn without_a_leader_reads_go_on_and_a_served_write_opens_both_gates() {
        let mut recovery = Recovery::default();
        recovery.failed(Lane::Leader, SECOND, 1, SEALED);
        assert_eq!(recovery.enter(Lane::Read, SECOND), Entry::Open);
        assert_eq!(recovery.enter(Lane::Leader, SECOND), Entry::Probe, "behind one address there may be several nodes");
        assert!(matches!(recovery.enter(Lane::Leader, SECOND), Entry::Wait(..)));
        recovery.failed(Lane::Read, SECOND, 1, SEALED);
        recovery.served(Lane::Read);
        assert!(recovery.take_moved());
        assert!(matches!(recovery.enter(Lane::Leader, SECOND), Entry::Wait(..)));
        assert!(!recovery.is_over(1));
        recovery.served(Lane::Leader);
        assert!(recovery.is_over(1) && recovery.take_moved() && !recovery.take_moved());
        assert_eq!(recovery.enter(Lane::Leader, SECOND), Entry::Open);
    }

    #[test]
    fn where_neither_reads_nor_writes_are_served_both_together_ask_as_often_as_one_alone() {
        let mut recovery = Recovery::default();
        recovery.failed(Lane::Read, SECOND, 1, SEALED);
        recovery.failed(Lane::Leader, SECOND, 1, SEALED);
        let mut probes = [0, 0];
        for tick in 0..1000 {
            let now = SECOND + PACE * tick / 10;
            for (count, lane) in probes.iter_mut().zip([Lane::Read, Lane::Leader]) {
                *count += usize::from(recovery.enter(lane, now) == Entry::Probe);
            }
        }
        // In 50 s, and one at once.
        assert_eq!(probes, [51, 50]);
        recovery.served(Lane::Read);
        let mut alone = 0;
        for tick in 0..1000 {
            alone += usize::from(recovery.enter(Lane::Leader, SECOND * 60 + PACE * tick / 10) == Entry::Probe);
        }
        assert_eq!(alone, 100, "alone, it asks twice as often");
    }
}
