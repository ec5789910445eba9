//! A cluster as a program sees it: what it is made of, clients for it, and the faults that tests inject.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

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

    /// The leader, as most of the nodes see it that answer.
    ///
    /// # Errors
    /// Where no node knows of a leader: they are down or sealed, or an election is under way.
    pub async fn leader(&self) -> Result<NodeId> {
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
        let count = |id: &NodeId, url: &String| (votes.iter().filter(|vote| *vote == url).count(), *id);
        let best = self.nodes().map(|(id, url)| count(&id, &url)).max().filter(|(votes, _)| *votes > 0);
        best.map(|(_, id)| id).ok_or_else(|| {
            Error::new(
                format!("no node of the cluster {} knows of a leader", self.name()),
                "wait some seconds where an election is under way; else see `status`",
            )
        })
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

    /// Makes the leader give up its place, and waits until there is one again. Returns the leaders before and after;
    /// the election may choose the same one.
    ///
    /// # Errors
    /// Where there is no leader, or none within a minute.
    pub async fn step_down(&self) -> Result<(NodeId, NodeId)> {
        let before = self.leader().await?;
        let operator = self.operator()?;
        let told = operator.sys().at(&self.url(before)?)?.step_down().await;
        told.map_err(|error| self.operator_error(error))?;
        Ok((before, self.wait_for_leader().await?))
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
                return Err(Error::new(
                    format!("the nodes elected no leader {}", patience.within()),
                    "see `status`: more than half of the nodes must be up and unsealed",
                ));
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
        let mut pids: Vec<String> = held.iter().filter_map(|held| Some(held.pid?.to_string())).collect();
        pids.dedup();
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

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("name", &self.state.name).field("path", &self.path()).finish_non_exhaustive()
    }
}
