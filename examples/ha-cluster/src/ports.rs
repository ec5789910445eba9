//! The ports of a cluster: chosen once, kept in `cluster.json`, and checked before anything is started on them.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use crate::node::NodeId;
use crate::process::listener;
use crate::state::NodePorts;
use crate::{Error, Result};

/// Blocks of ports begin here and are a hundred apart. All of them lie below the ports that systems hand out for
/// outgoing connections, so that none is taken by accident while the cluster is down.
const FIRST: u16 = 18_200;
const BLOCKS: u16 = 140;
const BLOCK: u16 = 100;

/// A node's ports are ten after those of the node before: 8210 and 8211, 8220 and 8221, ….
const STEP: u16 = 10;

/// A cluster's clients and members know its ports.
const KEPT: &str = "a cluster that is made keeps its ports until `down --delete-data`";

/// Where everything listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub balancer_port: u16,
    pub nodes: Vec<NodePorts>,
}

impl Ports {
    /// The ports that count from `base`: the load balancer there, node N ten times N further.
    ///
    /// # Errors
    /// Where the last one would be over 65535, or the first one is 0.
    pub(crate) fn at(base: u16, nodes: u8) -> Result<Self> {
        let too_high = || {
            let highest = u16::MAX - u16::from(nodes) * STEP - 1;
            Error::new(
                format!("{base} is no base for the ports of {nodes} nodes"),
                format!("choose 1 to {highest}, such as 8200"),
            )
        };
        let place = |number: u8| -> Result<NodePorts> {
            let port = base.checked_add(u16::from(number) * STEP).ok_or_else(too_high)?;
            let cluster_port = port.checked_add(1).ok_or_else(too_high)?;
            Ok(NodePorts { id: NodeId::new(number)?, port, cluster_port })
        };
        if base == 0 {
            return Err(too_high());
        }
        Ok(Self { balancer_port: base, nodes: (1..=nodes).map(place).collect::<Result<_>>()? })
    }

    /// A block of ports that are all free now. Where it starts to look depends on the folder, so that clusters that
    /// begin at the same time hardly meet.
    pub(crate) fn choose(folder: &Path, nodes: u8) -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        folder.hash(&mut hasher);
        let start = u16::try_from(hasher.finish() % u64::from(BLOCKS)).unwrap_or(0);
        for turn in 0..BLOCKS {
            let ports = Self::at(FIRST + (start + turn) % BLOCKS * BLOCK, nodes)?;
            if ports.all().all(is_free) {
                return Ok(ports);
            }
        }
        Err(Error::new(
            format!("no block of free ports between {FIRST} and {}", FIRST + BLOCKS * BLOCK),
            "end what listens there, or choose ports with --port-base",
        ))
    }

    /// Refuses ports that somebody else listens on.
    pub(crate) fn check(&self) -> Result<()> {
        check(self.balancer_port, "haproxy")?;
        self.nodes.iter().try_for_each(NodePorts::check)
    }

    fn all(&self) -> impl Iterator<Item = u16> {
        std::iter::once(self.balancer_port).chain(self.nodes.iter().flat_map(|node| [node.port, node.cluster_port]))
    }
}

impl NodePorts {
    /// Refuses ports that somebody else listens on.
    pub(crate) fn check(&self) -> Result<()> {
        let who = self.id.to_string();
        check(self.port, &who)?;
        check(self.cluster_port, &who)
    }
}

/// Refuses a port that somebody else listens on.
pub(crate) fn check(port: u16, who: &str) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(Error::new(
            format!("{who} may not listen on port {port}: {error}"),
            format!("choose a --port-base above 1023; {KEPT}"),
        )),
        Err(error) => {
            let (holder, end) = match listener(port) {
                Some((pid, command)) => (format!("process {pid} ({command})"), format!("`kill {pid}`")),
                None => (format!("another program ({error})"), format!("`lsof -i :{port}` names it")),
            };
            Err(Error::new(
                format!("port {port}, which {who} needs, is held by {holder}"),
                format!("end that program ({end}) and run `up` again, or choose another --port-base; {KEPT}"),
            ))
        }
    }
}

/// Ports that one program listens on.
pub(crate) struct Held {
    pub ports: Vec<u16>,
    /// The process and what it is, where the system tells.
    pub by: Option<(i32, String)>,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ports.as_slice() {
            [port] => write!(f, "port {port} is held by ")?,
            ports => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                write!(f, "ports {} are held by ", ports.join(", "))?;
            }
        }
        match &self.by {
            Some((pid, who)) => write!(f, "process {pid} ({who})"),
            None => write!(f, "a program that can't be named"),
        }
    }
}

/// Those of these ports that somebody listens on, by whom.
pub(crate) fn held(ports: impl IntoIterator<Item = u16>) -> Vec<Held> {
    let mut all: Vec<Held> = Vec::new();
    for port in ports {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        if bound.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse) {
            let by = listener(port);
            match all.iter_mut().find(|held| held.by == by) {
                Some(held) => held.ports.push(port),
                None => all.push(Held { ports: vec![port], by }),
            }
        }
    }
    all
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_count_from_the_base() {
        let ports = Ports::at(8200, 3).unwrap();
        assert_eq!(ports.all().collect::<Vec<_>>(), [8200, 8210, 8211, 8220, 8221, 8230, 8231]);
    }

    #[test]
    fn a_base_without_room_is_refused() {
        assert!(Ports::at(0, 3).is_err());
        assert!(Ports::at(65_500, 5).is_err());
        assert!(Ports::at(65_484, 5).is_ok());
        let error = Ports::at(65_485, 5).unwrap_err().to_string();
        assert!(error.contains("65484"), "{error}");
    }

    #[test]
    fn a_chosen_block_is_free_and_another_is_taken_where_it_is_not() {
        let folder = Path::new("/a/folder/for/this/test");
        let first = Ports::choose(folder, 3).unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first.nodes[1].cluster_port)).unwrap();
        assert_ne!(Ports::choose(folder, 3).unwrap(), first);
        let error = check(first.nodes[1].cluster_port, "node-2").unwrap_err().to_string();
        assert!(error.contains("node-2") && error.contains("--port-base"), "{error}");
        let held = held(first.all());
        assert_eq!(held.iter().map(|held| held.ports.as_slice()).collect::<Vec<_>>(), [[first.nodes[1].cluster_port]]);
        let ours = format!("process {}", std::process::id());
        assert!(!cfg!(target_os = "linux") || error.contains(&ours) && held[0].to_string().contains(&ours), "{error}");
        drop(taken);
        assert!(check(first.nodes[1].cluster_port, "node-2").is_ok());
    }

    #[test]
    fn every_block_stays_below_the_ephemeral_ports() {
        const { assert!(FIRST + BLOCKS * BLOCK + 99 < 32_768) };
    }
}
