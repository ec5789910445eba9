//! The names of nodes: `node-1`, `node-2`, ….

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A node's name, `node-1` to `node-99`. It is the Raft node id and the name of the node's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(u8);

impl NodeId {
    /// The highest number.
    pub const MAX: u8 = 99;

    /// The node of this number.
    ///
    /// # Errors
    /// Where the number is not 1 to [`NodeId::MAX`].
    pub fn new(number: u8) -> Result<Self> {
        if (1..=Self::MAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(Error::new(format!("there is no node {number}"), "nodes are node-1, node-2 and so on"))
        }
    }

    /// Its number, from 1.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("node-{}", self.0))
    }
}

impl FromStr for NodeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = text.strip_prefix("node-").and_then(|number| number.parse().ok());
        match number.map(Self::new) {
            // One spelling for each: not `node-01`, not `node-+1`.
            Some(Ok(id)) if id.to_string() == text => Ok(id),
            _ => Err(Error::new(format!("{text:?} is no node"), "name node-1, node-2 and so on")),
        }
    }
}

impl TryFrom<String> for NodeId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_one_spelling() {
        assert_eq!("node-3".parse::<NodeId>().unwrap().number(), 3);
        for wrong in ["node-0", "node-01", "node-+1", "node-100", "node-", "3", "leader", "node-1/.."] {
            assert!(wrong.parse::<NodeId>().is_err(), "{wrong}");
        }
    }
}
