//! How a cluster is, seen from outside: processes, nodes, the load balancer, and whether all of it is well.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use baokit::Client;
use baokit::sys::{AutopilotState, Health};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::keys::Keys;
use crate::node::NodeId;
use crate::process::ProcessState;
use crate::{Error, Result, ports};

/// How long the question about the voters may take.
const VOTERS: Duration = Duration::from_secs(3);

/// What is to be said of a node that was removed from the cluster and still runs: nothing tells HAProxy.
pub(crate) const REMOVED: &str = "is no member of the cluster any more and still runs, and HAProxy sends it requests, \
                                  which it answers with what it knew when it was removed";

/// A look at a cluster.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// What the user calls it.
    pub name: String,
    /// Its folder.
    pub folder: String,
    /// The nodes, in the order of their numbers.
    pub nodes: Vec<NodeStatus>,
    /// HAProxy.
    pub balancer: BalancerStatus,
    /// What is not well; empty where the cluster is healthy.
    pub problems: Vec<String>,
}

/// How a node is.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its name.
    pub id: NodeId,
    /// Its address.
    pub url: String,
    /// Its process.
    pub process: ProcessState,
    /// Whether it answers, and is sealed; none where it does not answer.
    pub sealed: Option<bool>,
    /// Whether it says that it leads; none where it does not answer or is sealed.
    pub leader: Option<bool>,
    /// Whether it votes; none where nobody could say.
    pub voter: Option<bool>,
    /// Whether the cluster knows it as a member; none where nobody could say. One that was removed and still runs looks
    /// well to whoever asks it, and answers with what it knew.
    pub member: Option<bool>,
    /// Its version of OpenBao; none where it does not answer.
    pub version: Option<String>,
}

/// How the load balancer is.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BalancerStatus {
    /// Its address.
    pub url: String,
    /// Its process.
    pub process: ProcessState,
    /// Whether a node answers through it.
    pub serves: bool,
}

/// Asks everybody at once, with short limits.
pub(crate) async fn look(cluster: &Cluster) -> Result<Status> {
    let mut nodes = Vec::new();
    for (id, url) in cluster.nodes() {
        let process = cluster.process_state(id)?;
        let (sealed, leader, voter, member, version) = (None, None, None, None, None);
        nodes.push(NodeStatus { id, url, process, sealed, leader, voter, member, version });
    }
    let (answers, serves) = ask(cluster, &nodes).await;
    for node in &mut nodes {
        if let Some(health) = answers.get(&node.id) {
            node.sealed = Some(health.sealed);
            node.leader = (!health.sealed && health.initialized).then_some(!health.standby);
            node.version = Some(health.version.clone());
        }
    }
    let leader = leader(cluster, &nodes).await;
    if let Ok(Told { autopilot, members }) = &leader {
        for node in &mut nodes {
            node.voter = Some(autopilot.voters.contains(&node.id.to_string()));
            node.member = members.as_ref().map(|members| members.contains(&node.id));
        }
    }
    let process = cluster.balancer().find()?.state();
    let balancer = BalancerStatus { url: cluster.balancer_url(), process, serves };
    let mut problems = problems(&nodes, &balancer, &leader);
    problems.extend(strangers(cluster, &nodes, &balancer)?);
    let (name, folder) = (cluster.name().to_owned(), cluster.path().display().to_string());
    Ok(Status { name, folder, nodes, balancer, problems })
}

/// Whoever listens where a node or HAProxy would that is down, and processes that run in another folder: this one was
/// moved.
fn strangers(cluster: &Cluster, nodes: &[NodeStatus], balancer: &BalancerStatus) -> Result<Vec<String>> {
    let (mut free, mut services) = (Vec::new(), vec![cluster.balancer()]);
    if balancer.process == ProcessState::Down {
        free.push(cluster.state().balancer_port);
    }
    for node in nodes {
        let ports = cluster.state().node(node.id)?;
        if node.process == ProcessState::Down {
            free.extend([ports.port, ports.cluster_port]);
        }
        services.push(cluster.service(node.id)?);
    }
    let mut strangers: Vec<String> = ports::held(free).iter().map(ToString::to_string).collect();
    for service in services {
        if let Some(pid) = service.displaced()? {
            strangers.push(format!("{} (process {pid}) runs in a folder that was moved or deleted", service.who));
        }
    }
    Ok(strangers)
}

/// The health of the nodes that answer, and whether one does so through the load balancer.
async fn ask(cluster: &Cluster, nodes: &[NodeStatus]) -> (BTreeMap<NodeId, Health>, bool) {
    let mut questions = JoinSet::new();
    let running = nodes.iter().filter(|node| node.process == ProcessState::Running);
    let places = running.map(|node| (Some(node.id), node.url.clone())).chain([(None, cluster.balancer_url())]);
    for (id, url) in places {
        // Where the certificates are missing, nothing can be asked, and that shows in every line.
        let Ok(client) = cluster.probe([url]) else { continue };
        questions.spawn(async move { (id, client.sys().health().await) });
    }
    let (mut answers, mut serves) = (BTreeMap::new(), false);
    while let Some(answer) = questions.join_next().await {
        match answer {
            Ok((Some(id), Ok(health))) => drop(answers.insert(id, health)),
            Ok((None, Ok(_))) => serves = true,
            _ => {}
        }
    }
    (answers, serves)
}

/// What the leader says of the members.
struct Told {
    autopilot: AutopilotState,
    /// None where it did not answer.
    members: Option<Vec<NodeId>>,
}

/// Asks the leader about the members; what keeps it from being asked otherwise.
async fn leader(cluster: &Cluster, nodes: &[NodeStatus]) -> Result<Told, String> {
    // A stopped node would use the time up.
    let open: Vec<&String> = nodes.iter().filter(|node| node.sealed == Some(false)).map(|node| &node.url).collect();
    let ask = async || -> Result<Told> {
        Keys::load(cluster.folder())?;
        if open.is_empty() {
            return Err(Error::new("no node is unsealed", "run `up`"));
        }
        let client = cluster.operator_builder()?.urls(open).deadline(VOTERS).build()?;
        let autopilot = client.sys().raft().autopilot_state().await.map_err(|error| cluster.operator_error(error))?;
        let members = members(cluster, &client, &autopilot).await.ok();
        Ok(Told { autopilot, members })
    };
    ask().await.map_err(|error| error.what().to_owned())
}

/// The members, as the leader knows them: one that was removed may still count itself among them.
pub(crate) async fn members(cluster: &Cluster, client: &Client, state: &AutopilotState) -> Result<Vec<NodeId>> {
    let leader = cluster.url(state.leader.parse()?)?;
    let configuration = client.sys().at(&leader)?.raft().configuration().await?;
    Ok(configuration.servers.iter().filter_map(|server| server.node_id.parse().ok()).collect())
}

fn problems(nodes: &[NodeStatus], balancer: &BalancerStatus, leader: &Result<Told, String>) -> Vec<String> {
    let mut problems: Vec<String> = nodes.iter().filter_map(NodeStatus::problem).collect();
    match nodes.iter().filter(|node| node.leader == Some(true)).count() {
        0 => problems.push("no node leads".to_owned()),
        1 => {}
        _ => {
            problems.push("more than one node says that it leads: one of them was deposed and does not know".to_owned())
        }
    }
    match leader {
        Err(reason) => problems.push(format!("nobody could say who votes: {reason}")),
        Ok(told) if !told.autopilot.healthy => problems.push("autopilot does not call the cluster healthy".to_owned()),
        Ok(_) => {}
    }
    match balancer.process {
        ProcessState::Running if balancer.serves => {}
        ProcessState::Running => problems.push("no node answers through haproxy".to_owned()),
        state => problems.push(format!("haproxy is {}", state.as_str())),
    }
    problems
}

impl NodeStatus {
    fn problem(&self) -> Option<String> {
        let what = match (self.process, self.sealed, self.voter) {
            (ProcessState::Down | ProcessState::Stopped, ..) => format!("is {}", self.process.as_str()),
            (_, None, _) => "does not answer".to_owned(),
            (_, Some(true), _) => "is sealed".to_owned(),
            _ if self.member == Some(false) => {
                format!("{REMOVED}: end it with `kill {}`", self.id)
            }
            (_, _, Some(false)) => "does not vote".to_owned(),
            _ => return None,
        };
        Some(format!("{} {what}", self.id))
    }

    fn row(&self) -> [String; 7] {
        let word = |value: Option<bool>, yes: &str, no: &str| {
            value.map_or("-", |value| if value { yes } else { no }.trim()).to_owned()
        };
        [
            self.id.to_string(),
            self.process.as_str().to_owned(),
            word(self.sealed, "sealed", "unsealed"),
            word(self.leader, "leader", "standby"),
            word(self.voter, "voter", "no"),
            self.version.clone().unwrap_or_else(|| "-".to_owned()),
            self.url.clone(),
        ]
    }
}

impl BalancerStatus {
    fn row(&self) -> [String; 7] {
        let serves = if self.serves { "serves" } else { "-" };
        let none = || "-".to_owned();
        [
            "haproxy".to_owned(),
            self.process.as_str().to_owned(),
            none(),
            serves.to_owned(),
            none(),
            none(),
            self.url.clone(),
        ]
    }
}

impl Status {
    /// Whether every node runs, is unsealed and votes, one of them leads, and the load balancer serves.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.problems.is_empty()
    }

    /// One JSON object.
    ///
    /// # Errors
    /// None in practice: everything in it is text, numbers and truth.
    pub fn to_json(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Document<'a> {
            healthy: bool,
            #[serde(flatten)]
            status: &'a Status,
        }
        let text = serde_json::to_string_pretty(&Document { healthy: self.is_healthy(), status: self });
        text.map(|text| text + "\n").map_err(|error| {
            Error::new(format!("the status could not be written as JSON: {error}"), "please report this")
        })
    }
}

/// A table, and what is not well below it.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["NODE", "PROCESS", "SEAL", "ROLE", "VOTER", "VERSION", "URL"].map(str::to_owned);
        let rows: Vec<[String; 7]> =
            [head].into_iter().chain(self.nodes.iter().map(NodeStatus::row)).chain([self.balancer.row()]).collect();
        writeln!(f, "cluster {} in {}", self.name, self.folder)?;
        for row in &rows {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let width = rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
                format!("{cell:width$}")
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        if self.is_healthy() {
            return writeln!(f, "healthy");
        }
        writeln!(f, "not healthy: {}", self.problems.join("; "))
    }
}
