//! A cluster as a program sees it: what it is made of, clients for it, and the faults that tests inject.

use std::cmp::Reverse;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use baokit::{Builder, Client, SecretValue};
use tokio::task::JoinSet;

use crate::access::{Credentials, MOUNT};
use crate::environment::Environment;
use crate::folder::Folder;
use crate::keys::{Keys, is_refused, refused};
use crate::node::NodeId;
use crate::process::{ProcessState, Service};
use crate::state::{State, url};
use crate::status::Status;
use crate::up::{Options, Step};
use crate::wait::Patience;
use crate::{Error, Result, files, nodes, ports, status, up};

/// How long one question to a node may take. A stopped node accepts and never answers.
pub(crate) const PROBE: Duration = Duration::from_secs(2);

/// How long a node may take over a share: the last one opens its storage.
const UNSEAL: Duration = Duration::from_secs(10);

/// How long processes may take to end when they are asked to.
const ENDS: Duration = Duration::from_secs(15);

/// How long a leader may take to obey; an election takes up to 20 s.
const OBEYS: Duration = Duration::from_secs(20);

/// How long the ports of processes that are gone may stay taken.
const CLOSES: Duration = Duration::from_secs(2);

/// A cluster in a folder. It lives in processes of its own, so dropping this value ends nothing.
#[derive(Clone)]
pub struct Cluster {
    folder: Folder,
    state: State,
}

/// Where a client of the cluster connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the load balancer, as programs in production do.
    Balancer,
    /// To the nodes themselves.
    Nodes,
}

impl Cluster {
    /// The folder of the cluster with this name: `$XDG_STATE_HOME/baokit/ha-cluster/NAME`, else the same below
    /// `$HOME/.local/state`. Nothing is made.
    ///
    /// # Errors
    /// For a name that is no plain one of 1 to 64 letters, and where neither variable is set.
    pub fn folder_of(name: &str) -> Result<PathBuf> {
        Folder::of_name(name)
    }

    /// The cluster in this folder, running or not. Nothing is started or changed.
    ///
    /// # Errors
    /// Where the folder holds no cluster, or one of another program version.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = Folder::existing(folder.as_ref())?;
        match folder.load()? {
            Some(state) => Ok(Self { folder, state }),
            None => Err(Error::new("the folder was removed meanwhile", "run `up` again")),
        }
    }

    /// Brings the cluster in this folder up: makes, starts, initialises and unseals what is not yet, and changes
    /// nothing that is right already. `progress` hears of every step. Takes about a quarter of a minute for a new cluster.
    ///
    /// A run that was interrupted at any moment is carried on by the next one.
    ///
    /// # Errors
    /// Where a step fails; the text names the node or file and what to do. What was done until then stays.
    pub async fn up(
        folder: impl AsRef<Path>,
        options: &Options,
        progress: &(dyn Fn(&Step<'_>) + Send + Sync),
    ) -> Result<Self> {
        up::up(folder.as_ref(), options, progress).await
    }

    pub(crate) fn new(folder: Folder, state: State) -> Self {
        Self { folder, state }
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// What the user calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The version of OpenBao, such as `2.7.2`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.state.version
    }

    /// Its folder, as an absolute path without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The nodes' names and addresses, in the order of their numbers.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, String)> {
        self.state.nodes.iter().map(|node| (node.id, node.url()))
    }

    /// The nodes' addresses: `https://127.0.0.1:port`.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes().map(|(_, url)| url).collect()
    }

    /// The address of one node.
    ///
    /// # Errors
    /// Where the cluster has no such node.
    pub fn url(&self, id: NodeId) -> Result<String> {
        self.state.node(id).map(crate::state::NodePorts::url)
    }

    /// The address of the load balancer.
    #[must_use]
    pub fn balancer_url(&self) -> String {
        url(self.state.balancer_port)
    }

    /// The file with the certificate of the private authority.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.ca()
    }

    /// The certificate of the private authority.
    ///
    /// # Errors
    /// Where `up` has not made it yet.
    pub fn ca_pem(&self) -> Result<String> {
        files::read(&self.folder.ca())?
            .ok_or_else(|| Error::new("the cluster has no certificates yet", "run `up`, which makes them"))
    }

    /// The client's AppRole credential.
    ///
    /// # Errors
    /// Where `up` has not made it yet.
    pub fn credentials(&self) -> Result<Credentials> {
        Credentials::load(&self.folder)?
            .ok_or_else(|| Error::new("the cluster has no credential for clients yet", "run `up`, which makes it"))
    }

    /// The token that may do everything.
    ///
    /// # Errors
    /// Where the cluster is not initialised yet, or `keys.json` can't be used.
    pub fn root_token(&self) -> Result<SecretValue> {
        Ok(Keys::load(&self.folder)?.root_token().clone())
    }

    /// What a client needs, for a shell or a program's settings.
    ///
    /// # Errors
    /// Those of [`Cluster::credentials`].
    pub fn environment(&self, reach: Reach) -> Result<Environment> {
        let credentials = self.credentials()?;
        let url = match reach {
            Reach::Balancer => self.balancer_url(),
            Reach::Nodes => self.urls().join(","),
        };
        Ok(Environment::new([
            ("OPENBAO_URL", url),
            ("OPENBAO_CACERT", self.ca_file().display().to_string()),
            ("OPENBAO_ROLE_ID", credentials.role_id.expose_str()?.to_owned()),
            ("OPENBAO_SECRET_ID", credentials.secret_id.expose_str()?.to_owned()),
            ("TENANT_ALLOWED_MOUNTS", MOUNT.to_owned()),
        ]))
    }

    /// A client of the nodes with the AppRole credential, to be completed in code: with other `urls`, say.
    ///
    /// # Errors
    /// Those of [`Cluster::credentials`] and [`Cluster::ca_pem`].
    pub fn client_builder(&self) -> Result<Builder> {
        let Credentials { role_id, secret_id } = self.credentials()?;
        let builder = Client::builder().urls(self.urls()).ca_pem(self.ca_pem()?).allowed_mounts([MOUNT]);
        Ok(builder.app_role(role_id.expose_str()?, secret_id.expose_str()?))
    }

    /// A client of the nodes with the root token.
    ///
    /// # Errors
    /// Those of [`Cluster::root_token`] and [`Cluster::ca_pem`].
    pub fn operator(&self) -> Result<Client> {
        Ok(self.operator_builder()?.build()?)
    }

    pub(crate) fn operator_builder(&self) -> Result<Builder> {
        let root = self.root_token()?;
        Ok(Client::builder().urls(self.urls()).ca_pem(self.ca_pem()?).token(root.expose_str()?))
    }

    /// What an answer to a client with the root token means.
    pub(crate) fn operator_error(&self, error: baokit::Error) -> Error {
        if is_refused(&error) { refused(&self.folder) } else { error.into() }
    }

    /// A client for questions that need no credential.
    pub(crate) fn probe(&self, urls: impl IntoIterator<Item = String>) -> Result<Client> {
        let builder = Client::builder().urls(urls).ca_pem(self.ca_pem()?).without_credential();
        Ok(builder.deadline(PROBE).build()?)
    }

    /// A client for one node that is to be unsealed.
    pub(crate) fn opener(&self, id: NodeId) -> Result<Client> {
        let builder = Client::builder().url(self.url(id)?).ca_pem(self.ca_pem()?).without_credential();
        Ok(builder.deadline(UNSEAL).build()?)
    }

    pub(crate) fn service(&self, id: NodeId) -> Result<Service> {
        let id = self.state.node(id)?.id;
        let node = self.folder.node(id);
        Ok(Service::node(id.to_string(), &node.config(), node.path().to_owned(), node.log()))
    }

    pub(crate) fn balancer(&self) -> Service {
        let (config, log) = (self.folder.balancer_config(), self.folder.balancer_log());
        Service::balancer(&config, self.path().to_owned(), log)
    }

    /// The file that a node writes its log to.
    ///
    /// # Errors
    /// Where the cluster has no such node.
    pub fn log_file(&self, id: NodeId) -> Result<PathBuf> {
        Ok(self.folder.node(self.state.node(id)?.id).log())
    }

    /// The file that the load balancer writes its log to.
    #[must_use]
    pub fn balancer_log_file(&self) -> PathBuf {
        self.folder.balancer_log()
    }

    /// How the nodes and the load balancer are. Ends within about 5 s, also where nodes are stopped.
    ///
    /// # Errors
    /// Where the system's processes can't be listed, or files of the cluster can't be used. A cluster that is down is
    /// no error.
    pub async fn status(&self) -> Result<Status> {
        status::look(self).await
    }

    /// Whether a node's process runs.
    ///
    /// # Errors
    /// Where the cluster has no such node, or the system's processes can't be listed.
    pub fn process_state(&self, id: NodeId) -> Result<ProcessState> {
        Ok(self.service(id)?.find()?.state())
    }

    /// The ids of a node's processes, mostly one; none where it is down.
    ///
    /// # Errors
    /// As [`Cluster::process_state`].
    pub fn process_ids(&self, id: NodeId) -> Result<Vec<i32>> {
        Ok(self.service(id)?.find()?.pids().to_vec())
    }

    /// The leader, as most of the nodes see it that answer. Where as many name another, the one that can store
    /// something: a leader that was deposed without knowing still names itself.
    ///
    /// # Errors
    /// Where no node knows of a leader: they are down or sealed, or an election is under way.
    pub async fn leader(&self) -> Result<NodeId> {
        let named = self.named_leaders().await?;
        let most = named.first().map_or(0, |(_, votes)| *votes);
        let mut best = named.iter().filter(|(_, votes)| *votes == most).map(|(id, _)| *id);
        match (best.next(), best.next()) {
            (Some(only), None) => Ok(only),
            _ => self.proven(named.iter().map(|(id, _)| *id)).await,
        }
    }

    /// The nodes that others, or they themselves, call the leader, with how many do, the most first.
    async fn named_leaders(&self) -> Result<Vec<(NodeId, usize)>> {
        let client = self.probe(self.urls())?;
        let mut questions = JoinSet::new();
        for (_, url) in self.nodes() {
            let client = client.clone();
            questions
                .spawn(async move { Ok::<_, baokit::Error>(client.sys().at(&url)?.leader().await?.leader_address) });
        }
        let mut votes = Vec::new();
        while let Some(answer) = questions.join_next().await {
            if let Ok(Ok(address)) = answer {
                votes.push(address);
            }
        }
        Ok(count(self.nodes(), &votes))
    }

    /// The first of these that proves to lead.
    async fn proven(&self, named: impl Iterator<Item = NodeId>) -> Result<NodeId> {
        let mut tried = Vec::new();
        for id in named {
            if self.can_store(id).await? {
                return Ok(id);
            }
            tried.push(id.to_string());
        }
        let what = match tried.as_slice() {
            [] => format!("no node of the cluster {} knows of a leader", self.name()),
            tried => format!("{} is called the leader and can't store anything", tried.join(", and so is ")),
        };
        Err(Error::new(what, "wait some seconds where an election is under way; else see `status`"))
    }

    /// Whether a node can store something, as only a real leader can. What it stores is gone in a minute.
    async fn can_store(&self, id: NodeId) -> Result<bool> {
        let client = self.operator_builder()?.deadline(PROBE).build()?;
        let nothing = serde_json::json!({});
        match client.sys().at(&self.url(id)?)?.wrap(nothing, Duration::from_secs(60)).await {
            Ok(_) => Ok(true),
            Err(error) if is_refused(&error) => Err(self.operator_error(error)),
            Err(_) => Ok(false),
        }
    }

    /// Ends a node at once, as a crash would (`SIGKILL`). Its data stays.
    ///
    /// # Errors
    /// Where it does not run.
    pub async fn kill(&self, id: NodeId) -> Result<()> {
        self.service(id)?.kill().await
    }

    /// Stops a node (`SIGSTOP`), as a machine that hangs would: its ports accept, and nothing answers.
    ///
    /// # Errors
    /// Where it does not run.
    pub async fn stop(&self, id: NodeId) -> Result<()> {
        self.service(id)?.stop().await
    }

    /// Lets a stopped node go on (`SIGCONT`).
    ///
    /// # Errors
    /// Where it does not run.
    pub async fn continue_(&self, id: NodeId) -> Result<()> {
        self.service(id)?.resume().await
    }

    /// Starts a node that is down, or continues one that is stopped, and unseals it. Other nodes are left as they are.
    /// Returns when it is unsealed; where no other node is up, it has no leader yet then.
    ///
    /// # Errors
    /// Where it does not come up, or the cluster is not initialised.
    pub async fn start(&self, id: NodeId) -> Result<()> {
        let keys = Keys::load(&self.folder)?;
        nodes::ensure_running(self, id).await?;
        nodes::answers(self, id).await?;
        nodes::open(self, &keys, &[id]).await.map(drop)
    }

    /// Makes the leader give up its place, and waits until another one leads. Returns the leaders before and after.
    ///
    /// # Errors
    /// Where no node proves to lead, before or within a minute after, and where the same one leads still or again.
    pub async fn step_down(&self) -> Result<(NodeId, NodeId)> {
        // One that was deposed obeys gladly.
        let named = self.named_leaders().await?;
        let before = self.proven(named.into_iter().map(|(id, _)| id)).await?;
        let told = self.operator()?.sys().at(&self.url(before)?)?.step_down().await;
        told.map_err(|error| self.operator_error(error))?;
        let (patience, obeys) = (Patience::of(nodes::ELECTS), Instant::now() + OBEYS);
        loop {
            match self.leader().await {
                Ok(id) if id != before && self.can_store(id).await? => return Ok((before, id)),
                Ok(id) if id == before && Instant::now() > obeys => {
                    return Err(Error::new(
                        format!("the step-down had no effect: {before} leads still, or was elected again"),
                        "see `status`: another node must be up, unsealed and a voter; then run it again",
                    ));
                }
                _ => {}
            }
            if !patience.wait().await {
                return Err(no_leader(&patience));
            }
        }
    }

    /// Waits until a node says of itself that it leads.
    pub(crate) async fn wait_for_leader(&self) -> Result<NodeId> {
        let client = self.probe(self.urls())?;
        let patience = Patience::of(nodes::ELECTS);
        loop {
            if let Ok(id) = self.leader().await
                && client.sys().at(&self.url(id)?)?.health().await.is_ok_and(|health| !health.standby)
            {
                return Ok(id);
            }
            if !patience.wait().await {
                return Err(no_leader(&patience));
            }
        }
    }

    /// Ends every process of the cluster. Its files stay, so that `up` brings it back; with `delete_data` they are
    /// removed, and those in the folder that are not of the cluster are returned.
    ///
    /// # Errors
    /// Where another command is at work in the folder, a process does not end, or somebody else holds its ports.
    pub async fn down(self, delete_data: bool) -> Result<Vec<PathBuf>> {
        let _lock = self.folder.lock().await?;
        let mut services = vec![self.balancer()];
        for id in self.state.node_ids() {
            services.push(self.service(id)?);
        }
        for service in &services {
            service.terminate()?;
        }
        for service in &services {
            if service.settle(ProcessState::Down, ENDS).await.is_err() {
                service.ensure_down().await?;
            }
        }
        self.require_free_ports().await?;
        if delete_data { self.folder.delete(&self.state) } else { Ok(Vec::new()) }
    }

    /// Refuses to call the cluster down while somebody still listens where it did: where its folder was moved, its
    /// processes go by the old path, and none of them was found.
    async fn require_free_ports(&self) -> Result<()> {
        let patience = Patience::of(CLOSES);
        let mut held = ports::held(self.state.ports());
        // A process that is gone leaves its ports a moment later.
        while !held.is_empty() && patience.wait().await {
            held = ports::held(self.state.ports());
        }
        if held.is_empty() {
            return Ok(());
        }
        let pids: Vec<String> = held.iter().filter_map(|held| Some(held.by.as_ref()?.0.to_string())).collect();
        let end = match pids.as_slice() {
            [] => "end it (`lsof -i` names it)".to_owned(),
            pids => format!("end it (`kill {}`)", pids.join(" ")),
        };
        let held: Vec<String> = held.iter().map(ToString::to_string).collect();
        Err(Error::new(
            format!("no process of {} runs any more, but {}", self.path().display(), held.join(", ")),
            format!(
                "where the folder was moved while the cluster ran, that is the cluster: {end} and run `down` again. \
                 No file was removed"
            ),
        ))
    }

    /// Refuses a node that belongs to another cluster.
    pub(crate) fn require_same(&self, id: NodeId, cluster_id: Option<&str>) -> Result<()> {
        match (&self.state.cluster_id, cluster_id) {
            (Some(ours), Some(theirs)) if ours != theirs => Err(Error::new(
                format!(
                    "{id} belongs to another cluster: its id is {theirs}, and that of {} is {ours}",
                    self.folder.path().display()
                ),
                format!(
                    "end it (`kill {id}`), move {} away and run `up` again: the node then joins as a new one",
                    self.folder.node(id).data().display()
                ),
            )),
            _ => Ok(()),
        }
    }
}

fn no_leader(patience: &Patience) -> Error {
    Error::new(
        format!("the nodes elected no leader {}", patience.within()),
        "see `status`: more than half of the nodes must be up and unsealed",
    )
}

/// The nodes that have votes, each an address, the most first.
fn count(nodes: impl Iterator<Item = (NodeId, String)>, votes: &[String]) -> Vec<(NodeId, usize)> {
    let of = |url: &String| votes.iter().filter(|vote| *vote == url).count();
    let mut named: Vec<_> = nodes.map(|(id, url)| (id, of(&url))).filter(|(_, votes)| *votes > 0).collect();
    named.sort_by_key(|(id, votes)| (Reverse(*votes), *id));
    named
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("name", &self.state.name).field("path", &self.path()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_most_name_comes_first_and_who_is_named_by_nobody_not_at_all() {
        let ids: Vec<NodeId> = (1..=3).map(|number| NodeId::new(number).unwrap()).collect();
        let named = |votes: &[u16]| {
            let votes: Vec<String> = votes.iter().map(|port| url(*port)).collect();
            let nodes = ids.iter().map(|id| (*id, url(u16::from(id.number()))));
            count(nodes, &votes)
        };
        assert_eq!(named(&[2, 3, 2]), [(ids[1], 2), (ids[2], 1)]);
        assert_eq!(named(&[3, 1]), [(ids[0], 1), (ids[2], 1)]);
        assert_eq!(named(&[9]), []);
        assert_eq!(count(ids.iter().map(|id| (*id, url(1))), &[String::new()]), []);
    }
}
