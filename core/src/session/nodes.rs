//! The nodes of the cluster, and which of them to ask first.

use std::time::Duration;

use crate::config::Origin;

/// One node, by its place in the list of URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(usize);

/// Of a node that failed and is suspect.
const MAX_RANK: u8 = 3;

/// The configured nodes. A client stays with the node that answered last, so that it is one whose
/// connection is open; a node that failed goes to the back until the others have failed as well.
///
/// A node that answered what the leader would not is suspect: a leader that slept through an election
/// goes on answering for minutes, a removed node without end. It is asked when no other is left that did
/// not fail, until it acknowledges a write under check-and-set, which takes a leader, or a strong read
/// shows that it was right.
#[derive(Debug)]
pub(crate) struct Nodes {
    list: Vec<Node>,
    /// In the order in which they are to be asked.
    order: Vec<NodeId>,
    /// How long answers take: the slowest of the last ones, forgotten by an eighth with each that is faster.
    answer_time: Duration,
}

#[derive(Debug)]
struct Node {
    origin: Origin,
    suspect: bool,
    /// It failed when it was asked last. What can't answer is no better than what answers wrongly, which
    /// is noticed.
    failed: bool,
}

impl Nodes {
    pub fn new(origins: impl Iterator<Item = Origin>) -> Self {
        let list: Vec<_> = origins.map(|origin| Node { origin, suspect: false, failed: false }).collect();
        let order = (0..list.len()).map(NodeId).collect();
        Self { list, order, answer_time: Duration::ZERO }
    }

    /// The first node that is not among those already asked.
    pub fn choose(&self, asked: &[NodeId]) -> Option<NodeId> {
        let left = self.order.iter().copied().filter(|id| !asked.contains(id));
        left.min_by_key(|id| self.rank(*id))
    }

    /// The first of those not yet asked that is not suspect.
    pub fn choose_trusted(&self, asked: &[NodeId]) -> Option<NodeId> {
        let left = self.order.iter().copied().filter(|id| !asked.contains(id) && !self.is_suspect(*id));
        left.min_by_key(|id| self.rank(*id))
    }

    /// The node whose turn it is while none serves: every one has its turn, suspect or not. Else a client that
    /// trusts only a node which is down would never ask the others, and they may long have another leader.
    pub fn take_turn(&mut self) -> Option<NodeId> {
        let id = self.order.first().copied()?;
        self.put_last(id);
        Some(id)
    }

    /// An answer took so long.
    pub fn took(&mut self, time: Duration) {
        self.answer_time = time.max(self.answer_time * 7 / 8);
    }

    /// How long answers take at the moment.
    pub fn answer_time(&self) -> Duration {
        self.answer_time
    }

    pub fn origin(&self, id: NodeId) -> Option<&Origin> {
        self.list.get(id.0).map(|node| &node.origin)
    }

    pub fn find(&self, origin: &Origin) -> Option<NodeId> {
        self.list.iter().position(|known| known.origin == *origin).map(NodeId)
    }

    /// All of them, in the order in which they are to be asked.
    pub fn in_order(&self) -> Vec<NodeId> {
        let ranked = |rank| self.order.iter().copied().filter(move |id| self.rank(*id) == rank);
        (0..=MAX_RANK).flat_map(ranked).collect()
    }

    fn is_suspect(&self, id: NodeId) -> bool {
        self.list.get(id.0).is_some_and(|node| node.suspect)
    }

    /// Lower ones are asked first.
    fn rank(&self, id: NodeId) -> u8 {
        self.list.get(id.0).map_or(MAX_RANK, |node| 2 * u8::from(node.failed) + u8::from(node.suspect))
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The node answered what it should not have; true where it was not suspect before. The only address
    /// may be one of many nodes behind it.
    pub fn suspect(&mut self, id: NodeId) -> bool {
        self.list.len() > 1 && self.list.get_mut(id.0).is_some_and(|node| !std::mem::replace(&mut node.suspect, true))
    }

    /// What the node answered turned out to be right.
    pub fn trust(&mut self, id: NodeId) {
        if let Some(node) = self.list.get_mut(id.0) {
            node.suspect = false;
        }
    }

    /// The node acknowledged a write, so it is, or has, a leader.
    pub fn acknowledged(&mut self, id: NodeId) {
        self.trust(id);
        self.answered(id);
    }

    /// The node answered as a node should: it is asked first from now on.
    pub fn answered(&mut self, id: NodeId) {
        if let Some(node) = self.list.get_mut(id.0) {
            node.failed = false;
        }
        if self.order.first() != Some(&id) {
            self.order.retain(|other| *other != id);
            self.order.insert(0, id);
        }
    }

    /// The node failed: it is asked last from now on.
    pub fn failed(&mut self, id: NodeId) {
        if let Some(node) = self.list.get_mut(id.0) {
            node.failed = true;
        }
        self.put_last(id);
    }

    fn put_last(&mut self, id: NodeId) {
        self.order.retain(|other| *other != id);
        self.order.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: usize) -> Nodes {
        Nodes::new((1..=count).map(|i| Origin::parse(&format!("http://127.0.0.1:{i}")).unwrap()))
    }

    #[test]
    fn a_node_that_failed_is_asked_after_the_others_and_is_never_dropped() {
        let mut nodes = nodes(3);
        nodes.failed(NodeId(0));
        assert_eq!(nodes.choose(&[]), Some(NodeId(1)));
        assert_eq!(nodes.choose(&[NodeId(1), NodeId(2)]), Some(NodeId(0)));
        nodes.failed(NodeId(1));
        nodes.failed(NodeId(2));
        assert_eq!(nodes.choose(&[]), Some(NodeId(0)));
        assert_eq!(nodes.choose(&[NodeId(0), NodeId(1), NodeId(2)]), None);
    }

    #[test]
    fn a_suspect_node_is_asked_when_no_other_is_left_until_it_acknowledges_a_write() {
        let mut nodes = nodes(3);
        nodes.suspect(NodeId(0));
        nodes.answered(NodeId(0));
        assert_eq!(nodes.choose(&[]), Some(NodeId(1)));
        assert_eq!(nodes.choose(&[NodeId(1), NodeId(2)]), Some(NodeId(0)));
        assert_eq!(nodes.in_order(), [NodeId(1), NodeId(2), NodeId(0)]);
        nodes.acknowledged(NodeId(0));
        assert_eq!(nodes.choose(&[]), Some(NodeId(0)));
    }

    #[test]
    fn a_suspect_node_is_asked_before_one_that_failed() {
        let mut nodes = nodes(3);
        nodes.suspect(NodeId(0));
        nodes.suspect(NodeId(1));
        assert_eq!(nodes.choose(&[]), Some(NodeId(2)));
        nodes.failed(NodeId(2));
        assert_eq!(nodes.choose(&[]), Some(NodeId(0)));
        nodes.answered(NodeId(2));
        assert_eq!(nodes.choose(&[]), Some(NodeId(2)));
    }

    #[test]
    fn in_an_outage_the_nodes_take_turns_and_those_that_are_suspect_too() {
        let mut nodes = nodes(3);
        assert!(nodes.suspect(NodeId(0)) && nodes.suspect(NodeId(1)) && !nodes.suspect(NodeId(1)));
        let turns: Vec<_> = (0..4).filter_map(|_| nodes.take_turn()).collect();
        assert_eq!(turns, [NodeId(0), NodeId(1), NodeId(2), NodeId(0)]);
    }

    #[test]
    fn the_node_that_answered_is_asked_first() {
        let mut nodes = nodes(3);
        nodes.answered(NodeId(2));
        assert_eq!(nodes.choose(&[]), Some(NodeId(2)));
    }
}
