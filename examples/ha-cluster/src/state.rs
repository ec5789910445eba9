//! `cluster.json`: what a cluster is made of. It marks a folder as ours and holds no secret.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::node::NodeId;
use crate::{Error, Result};

/// The format that this program writes.
const FORMAT: u32 = 1;

/// The content of `cluster.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    format: u32,
    /// What the user calls the cluster.
    pub name: String,
    /// The version of OpenBao, such as `2.7.2`.
    pub version: String,
    /// The program that was found for it.
    pub program: PathBuf,
    /// Where HAProxy listens.
    pub balancer_port: u16,
    /// The nodes, in the order of their numbers.
    pub nodes: Vec<NodePorts>,
    /// OpenBao's own name of the cluster, once it is initialised.
    pub cluster_id: Option<String>,
}

/// A node and its ports on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodePorts {
    /// Its name.
    pub id: NodeId,
    /// Where clients ask.
    pub port: u16,
    /// Where the other nodes ask.
    pub cluster_port: u16,
}

/// Read before the rest, so that a newer format is called by its name.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl State {
    pub(crate) fn new(name: String, version: String, program: PathBuf, ports: crate::ports::Ports) -> Self {
        let crate::ports::Ports { balancer_port, nodes } = ports;
        Self { format: FORMAT, name, version, program, balancer_port, nodes, cluster_id: None }
    }

    /// Reads what [`State::to_text`] wrote; the reason where it can't.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Format { format } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if format != FORMAT {
            return Err(format!("it has format {format}, and this ha-cluster knows format {FORMAT}"));
        }
        let state: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let names: Vec<NodeId> = state.nodes.iter().map(|node| node.id).collect();
        if names.is_empty() || !names.is_sorted_by(|a, b| a < b) {
            return Err("its nodes are not in the order of their numbers".to_owned());
        }
        Ok(state)
    }

    pub(crate) fn to_text(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|error| Error::new(format!("could not write cluster.json: {error}"), "please report this"))
    }

    /// The node of this name.
    pub(crate) fn node(&self, id: NodeId) -> Result<&NodePorts> {
        self.nodes.iter().find(|node| node.id == id).ok_or_else(|| {
            let names: Vec<String> = self.nodes.iter().map(|node| node.id.to_string()).collect();
            Error::new(
                format!("the cluster {} has no {id}", self.name),
                format!("name one of its nodes: {}", names.join(", ")),
            )
        })
    }

    /// Every port that it listens on.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        let nodes = self.nodes.iter().flat_map(|node| [node.port, node.cluster_port]);
        std::iter::once(self.balancer_port).chain(nodes)
    }

    /// The names of its nodes.
    pub(crate) fn node_ids(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().map(|node| node.id)
    }
}

impl NodePorts {
    /// Where clients reach it.
    pub(crate) fn url(&self) -> String {
        url(self.port)
    }
}

/// The address of a port of this machine.
pub(crate) fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let ports = crate::ports::Ports::at(8200, 3).unwrap();
        State::new("default".into(), "2.7.2".into(), "/opt/bao".into(), ports)
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(State::parse(&state().to_text().unwrap()).unwrap(), state());
    }

    #[test]
    fn what_is_not_ours_is_refused_with_a_reason() {
        let text = state().to_text().unwrap();
        for (wrong, reason) in [
            (String::new(), "EOF"),
            ("{}".to_owned(), "format"),
            (text.replace("\"format\": 1", "\"format\": 2"), "format 2"),
            (text.replace("node-2", "../2"), "is no node"),
            (text.replace("node-2", "node-1"), "order"),
            (text.replace("\"name\"", "\"other\""), "other"),
        ] {
            let error = State::parse(&wrong).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
