//! The nodes of the cluster, and which of them to ask first.

use crate::config::Origin;

/// One node, by its place in the list of URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(usize);

/// The configured nodes. A client stays with the node that answered last, so that it is one whose
/// connection is open; a node that failed goes to the back until the others have failed as well.
#[derive(Debug)]
pub(crate) struct Nodes {
    list: Vec<Origin>,
    /// In the order in which they are to be asked.
    order: Vec<NodeId>,
}

impl Nodes {
    pub fn new(origins: impl Iterator<Item = Origin>) -> Self {
        let list: Vec<_> = origins.collect();
        let order = (0..list.len()).map(NodeId).collect();
        Self { list, order }
    }

    /// The first node that is not among those already asked.
    pub fn choose(&self, asked: &[NodeId]) -> Option<NodeId> {
        self.order.iter().copied().find(|id| !asked.contains(id))
    }

    pub fn origin(&self, id: NodeId) -> Option<&Origin> {
        self.list.get(id.0)
    }

    pub fn find(&self, origin: &Origin) -> Option<NodeId> {
        self.list.iter().position(|known| known == origin).map(NodeId)
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The node answered as a node should: it is asked first from now on.
    pub fn answered(&mut self, id: NodeId) {
        if self.order.first() != Some(&id) {
            self.order.retain(|other| *other != id);
            self.order.insert(0, id);
        }
    }

    /// The node failed: it is asked last from now on.
    pub fn failed(&mut self, id: NodeId) {
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
    fn the_node_that_answered_is_asked_first() {
        let mut nodes = nodes(3);
        nodes.answered(NodeId(2));
        assert_eq!(nodes.choose(&[]), Some(NodeId(2)));
    }
}
