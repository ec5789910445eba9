//! `up` as a list of steps. Each looks first, changes only what is not right yet, and says in one line what it did, so
//! that running them all again is both how a half-finished cluster is carried on and how a broken one is mended.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::folder::{Folder, check_name};
use crate::keys::{Found, Keys, SHARES, THRESHOLD, is_refused, lost_keys, refused};
use crate::node::NodeId;
use crate::ports::{self, Ports};
use crate::process::ProcessState;
use crate::state::State;
use crate::status::{REMOVED, members};
use crate::wait::Patience;
use crate::{Error, Result, access, balancer, config, files, nodes, pki, server};

/// How long nodes may take to become voters: autopilot watches a new one for 10 s, or anew where it was unwell
/// meanwhile.
const VOTE: Duration = Duration::from_secs(120);

/// How long the leader must have missed a node before that is believed.
const BELIEVED: Duration = Duration::from_secs(3);

/// How often in turn the root token must be refused before that is believed.
const REFUSALS: u8 = 3;

/// How many nodes a cluster has where nobody asks for a number.
const NODES: u8 = 3;

/// What a cluster is to be. What is not given is taken from the cluster that there is, else from the defaults; what
/// contradicts the cluster that there is is refused.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Options {
    /// What it is called; `default` where nothing is given.
    pub name: Option<String>,
    /// How many nodes: 3 or 5.
    pub nodes: Option<u8>,
    /// The version of OpenBao, such as `2.7.2`; any that is found where nothing is given.
    pub version: Option<String>,
    /// Where the load balancer listens; node N listens 10 times N further, and on the port after that. Free ports are
    /// chosen where nothing is given.
    pub port_base: Option<u16>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It changed something.
    Changed,
    /// All was right already.
    Unchanged,
    /// It waits for something that takes a while; it will be heard of again.
    Waiting,
}

/// A step of `up`, as `progress` hears of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// Its name, such as `certificates`.
    pub name: &'a str,
    /// What happened, in one line.
    pub text: String,
    /// Whether that changed anything.
    pub outcome: Outcome,
}

impl<'a> Step<'a> {
    fn new(name: &'a str, text: String, changed: bool) -> Self {
        Self { name, text, outcome: if changed { Outcome::Changed } else { Outcome::Unchanged } }
    }
}

struct Up<'a> {
    cluster: Cluster,
    progress: &'a (dyn Fn(&Step<'_>) + Send + Sync),
}

pub(crate) async fn up(
    path: &Path,
    options: &Options,
    progress: &(dyn Fn(&Step<'_>) + Send + Sync),
) -> Result<Cluster> {
    let options = &options.checked()?;
    let folder = Folder::make(path)?;
    let _lock = folder.lock().await?;
    let state = folder.load()?;
    let text = folder.path().display().to_string();
    progress(&Step::new("folder", text, state.is_none()));
    let state = match state {
        Some(state) => known(&folder, state, options, progress).await?,
        None => create(&folder, options, progress).await?,
    };

    let mut up = Up { cluster: Cluster::new(folder, state), progress };
    up.privacy()?;
    up.require_own_processes()?;
    up.ports()?;
    let new_authority = up.certificates()?;
    up.configurations()?;
    up.start().await?;
    let keys = up.initialize().await?;
    up.open(&keys).await?;
    up.cluster.wait_for_leader().await?;
    up.voters().await?;
    up.access().await?;
    up.balance(new_authority).await?;
    Ok(up.cluster)
}

impl Options {
    /// The same, with the version as it is kept.
    fn checked(&self) -> Result<Self> {
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        match self.nodes {
            None | Some(3 | 5) => {
                // `bao version` writes v2.7.2.
                let version = self.version.as_deref().map(|version| version.strip_prefix('v').unwrap_or(version));
                Ok(Self { version: version.map(str::to_owned), ..self.clone() })
            }
            Some(other) => Err(Error::new(
                format!("a cluster of {other} nodes can't be made"),
                "choose 3 or 5: an even number survives no more failures than one less",
            )),
        }
    }
}

/// The state of a new cluster. It is the marker of the folder, so it is written before anything else.
async fn create(folder: &Folder, options: &Options, progress: &(dyn Fn(&Step<'_>) + Send + Sync)) -> Result<State> {
    let found = server::find(options.version.as_deref(), None).await?;
    let nodes = options.nodes.unwrap_or(NODES);
    let ports = match options.port_base {
        Some(base) => {
            let ports = Ports::at(base, nodes)?;
            ports.check()?;
            ports
        }
        None => Ports::choose(folder.path(), nodes)?,
    };
    let name = options.name.clone().unwrap_or_else(|| "default".to_owned());
    let text = format!("OpenBao {} from {}", found.version, found.program.display());
    progress(&Step::new("server", text, true));
    let state = State::new(name, found.version, found.program, ports);
    folder.save(&state)?;
    Ok(state)
}

/// The state of the cluster that there is, where it is what was asked for.
async fn known(
    folder: &Folder,
    mut state: State,
    options: &Options,
    progress: &(dyn Fn(&Step<'_>) + Send + Sync),
) -> Result<State> {
    let differs = |what: String| {
        let next = "leave that option out, or make another cluster with another --name or --dir";
        Err(Error::new(format!("the cluster in {} {what}", folder.path().display()), next))
    };
    let nodes = state.nodes.len();
    if options.nodes.is_some_and(|wanted| usize::from(wanted) != nodes) {
        return differs(format!("has {nodes} nodes"));
    }
    if options.version.as_ref().is_some_and(|wanted| *wanted != state.version) {
        return differs(format!("runs OpenBao {}", state.version));
    }
    if options.port_base.is_some_and(|wanted| wanted != state.balancer_port) {
        return differs(format!("has its ports at {}", state.balancer_port));
    }
    if options.name.as_ref().is_some_and(|wanted| *wanted != state.name) {
        return differs(format!("is called {}", state.name));
    }
    let found = server::find(Some(&state.version), Some(&state.program)).await?;
    let text = format!("OpenBao {} from {}", found.version, found.program.display());
    let changed = found.program != state.program;
    if changed {
        state.program = found.program;
        folder.save(&state)?;
    }
    progress(&Step::new("server", text, changed));
    Ok(state)
}

impl Up<'_> {
    fn say(&self, name: &str, text: impl Into<String>, changed: bool) {
        (self.progress)(&Step::new(name, text.into(), changed));
    }

    fn ids(&self) -> Vec<NodeId> {
        self.cluster.state().node_ids().collect()
    }

    /// Returns whether the authority is a new one.
    fn certificates(&self) -> Result<bool> {
        let folder = self.cluster.folder();
        for id in self.ids() {
            folder.make_node(id)?;
        }
        let made = pki::ensure(folder, self.cluster.name(), self.ids().into_iter())?;
        for id in &made.nodes {
            let service = self.cluster.service(*id)?;
            if !service.find()?.pids().is_empty() {
                service.reload()?;
            }
        }
        let text = match (made.authority, made.nodes.as_slice()) {
            (false, []) => "a private authority and one for each node".to_owned(),
            (true, _) => "made a private authority (ca.crt) and one for each node".to_owned(),
            (false, nodes) => format!("made one for {}", list(nodes)),
        };
        self.say("certificates", text, made != pki::Made::default());
        Ok(made.authority)
    }

    fn configurations(&self) -> Result<()> {
        let (folder, state) = (self.cluster.folder(), self.cluster.state());
        let mut written = Vec::new();
        for node in &state.nodes {
            if files::bring_to(&folder.node(node.id).config(), &config::node(folder, state, node))? {
                written.push(node.id);
            }
        }
        let text = if written.is_empty() {
            "node.hcl for each node".to_owned()
        } else {
            format!("wrote node.hcl for {}; it counts from a node's next start", list(&written))
        };
        self.say("configuration", text, !written.is_empty());
        Ok(())
    }

    fn privacy(&self) -> Result<()> {
        let mended = self.cluster.folder().make_private(self.cluster.state())?;
        if !mended.is_empty() {
            let mended: Vec<String> = mended.iter().map(|path| path.display().to_string()).collect();
            self.say("privacy", format!("others could use {}; now you alone can", mended.join(", ")), true);
        }
        Ok(())
    }

    /// Refuses processes that go by this folder's path and are another's: it was moved, or deleted, while they ran.
    fn require_own_processes(&self) -> Result<()> {
        let nodes: Result<Vec<_>> = self.ids().into_iter().map(|id| self.cluster.service(id)).collect();
        for service in nodes?.into_iter().chain([self.cluster.balancer()]) {
            if let Some(pid) = service.displaced()? {
                return Err(Error::new(
                    format!(
                        "{} (process {pid}) was started from {} and does not run there: that folder was moved or \
                         deleted meanwhile",
                        service.who,
                        self.cluster.path().display()
                    ),
                    "move the old folder back; or end its processes with `down` and run `up` again",
                ));
            }
        }
        Ok(())
    }

    /// Looks at all ports before anything is started on one.
    fn ports(&self) -> Result<()> {
        let state = self.cluster.state();
        for node in &state.nodes {
            if self.cluster.process_state(node.id)? == ProcessState::Down {
                node.check()?;
            }
        }
        if self.cluster.balancer().find()?.state() == ProcessState::Down {
            ports::check(state.balancer_port, "haproxy")?;
        }
        self.say("ports", format!("{} for clients, the nodes' after it", state.balancer_port), false);
        Ok(())
    }

    async fn start(&self) -> Result<()> {
        let mut done = Vec::new();
        for id in self.ids() {
            if let Some(what) = nodes::ensure_running(&self.cluster, id).await? {
                done.push(format!("{what} {id}"));
            }
        }
        for id in self.ids() {
            nodes::answers(&self.cluster, id).await?;
        }
        let text = if done.is_empty() { "all nodes run".to_owned() } else { done.join(", ") };
        self.say("processes", text, !done.is_empty());
        Ok(())
    }

    async fn initialize(&self) -> Result<Keys> {
        let keys = self.cluster.folder().keys();
        let initialized = self.initialized().await?;
        let found = match Keys::find(self.cluster.folder())? {
            Found::Unplaced(found) => {
                Keys::place(self.cluster.folder())?;
                Found::Keys(found)
            }
            found => found,
        };
        match (found, initialized.as_slice()) {
            (Found::Keys(found) | Found::Unplaced(found), [_, ..]) => {
                self.say("initialise", format!("the keys are in {}", keys.display()), false);
                Ok(found)
            }
            (Found::Keys(_) | Found::Unplaced(_), []) => Err(Error::new(
                format!("{} holds the keys of a cluster, and no node holds its data", keys.display()),
                "put the nodes' data folders back, or move keys.json away to begin anew, then run `up` again",
            )),
            (Found::Interrupted, [only]) if self.is_first(*only) && self.cluster.state().cluster_id.is_none() => {
                self.begin_anew(*only).await
            }
            (_, [id, ..]) => Err(Error::new(
                format!("{id} is initialised, and its keys are not there: {} is missing", keys.display()),
                lost_keys(),
            )),
            (Found::Interrupted, []) => match self.initialize_first().await {
                Err(error) => match self.initialized().await?.as_slice() {
                    // The node was still at what the interrupted `up` had asked for.
                    [only] if self.is_first(*only) && self.cluster.state().cluster_id.is_none() => {
                        self.begin_anew(*only).await
                    }
                    _ => Err(error),
                },
                keys => keys,
            },
            (Found::Nothing, []) => self.initialize_first().await,
        }
    }

    /// The nodes that hold data.
    async fn initialized(&self) -> Result<Vec<NodeId>> {
        let mut found = Vec::new();
        for id in self.ids() {
            if nodes::answers(&self.cluster, id).await?.initialized {
                found.push(id);
            }
        }
        Ok(found)
    }

    fn is_first(&self, id: NodeId) -> bool {
        self.cluster.state().node_ids().next() == Some(id)
    }

    async fn initialize_first(&self) -> Result<Keys> {
        let Some((id, url)) = self.cluster.nodes().next() else {
            return Err(Error::new("the cluster has no nodes", "remove it with `down --delete-data`"));
        };
        let pending = Keys::begin(self.cluster.folder())?;
        let client = self.cluster.opener(id)?;
        let told = client.sys().at(&url)?.init(SHARES, THRESHOLD).await?;
        let keys = Keys::keep(pending, told)?;
        let path = self.cluster.folder().keys();
        let text =
            format!("{SHARES} unseal keys, of which {THRESHOLD} open a node, and the root token: {}", path.display());
        self.say("initialise", text, true);
        Ok(keys)
    }

    /// The node was initialised, and all tells that its keys were lost before anybody saw them, so that its storage
    /// holds nothing. Should that be another cluster's data after all, it is only moved aside, and so is what there is
    /// of the keys.
    async fn begin_anew(&self, id: NodeId) -> Result<Keys> {
        self.cluster.service(id)?.ensure_down().await?;
        let aside = self.cluster.folder().abandon_data(id)?;
        self.cluster.folder().make_node(id)?;
        nodes::ensure_running(&self.cluster, id).await?;
        nodes::answers(&self.cluster, id).await?;
        let text = format!(
            "{id} was initialised by an `up` that ended before it had the keys; {id} begins anew, and what it stored \
             is kept in {}",
            aside.display()
        );
        self.say("initialise", text, true);
        self.initialize_first().await
    }

    async fn open(&mut self, keys: &Keys) -> Result<()> {
        let opened = nodes::open(&self.cluster, keys, &self.ids()).await?;
        let text = if opened.is_empty() { "all nodes are".to_owned() } else { list(&opened) };
        self.say("unseal", text, !opened.is_empty());
        if self.cluster.state().cluster_id.is_some() {
            return Ok(());
        }
        for id in self.ids() {
            let cluster_id = nodes::answers(&self.cluster, id).await?.cluster_id;
            self.cluster.require_same(id, cluster_id.as_deref())?;
            if self.cluster.state().cluster_id.is_none() && cluster_id.is_some() {
                self.cluster.state_mut().cluster_id = cluster_id;
                self.cluster.folder().save(self.cluster.state())?;
            }
        }
        Ok(())
    }

    async fn voters(&self) -> Result<()> {
        let connect = || Ok::<_, Error>(self.cluster.operator_builder()?.deadline(Duration::from_secs(5)).build()?);
        let mut client = connect()?;
        let patience = Patience::of(VOTE);
        let (mut waited, mut refusals, mut removed_since) = (false, 0, None);
        loop {
            let state = client.sys().raft().autopilot_state().await;
            let missing: Vec<NodeId> = match &state {
                Ok(state) => self.ids().into_iter().filter(|id| !state.voters.contains(&id.to_string())).collect(),
                Err(_) => self.ids(),
            };
            // Autopilot goes on naming a node that was removed for some seconds, and the list of members does not.
            let known = match &state {
                Ok(state) => members(&self.cluster, &client, state).await.ok(),
                Err(_) => None,
            };
            let removed = known.and_then(|known| self.ids().into_iter().find(|id| !known.contains(id)));
            if missing.is_empty() && removed.is_none() && state.as_ref().is_ok_and(|state| state.healthy) {
                break;
            }
            removed_since = removed.map(|id| removed_since.unwrap_or((id, Instant::now())));
            if let Some((id, since)) = removed_since
                && since.elapsed() >= BELIEVED
            {
                return Err(self.removed(id));
            }
            if let Err(error) = &state
                && is_refused(error)
            {
                // No waiting helps. It is asked anew, since a client gives up a token that was refused.
                refusals += 1;
                if refusals == REFUSALS {
                    return Err(refused(self.cluster.folder()));
                }
                client = connect()?;
            } else {
                refusals = 0;
            }
            if !waited {
                let text = "waiting until autopilot trusts every node, which takes about 10 s".to_owned();
                (self.progress)(&Step { name: "voters", text, outcome: Outcome::Waiting });
                waited = true;
            }
            if !patience.wait().await {
                return Err(self.no_voters(&missing, state, &patience));
            }
        }
        self.say("voters", "all nodes vote, and autopilot calls the cluster healthy", waited);
        Ok(())
    }

    fn removed(&self, id: NodeId) -> Error {
        let data = self.cluster.folder().node(id).data();
        Error::new(
            format!("{id} {REMOVED}"),
            format!(
                "end it (`kill {id}`); to have it join as a new one, move {} away as well and run `up` again",
                data.display()
            ),
        )
    }

    fn no_voters(
        &self,
        missing: &[NodeId],
        state: baokit::Result<baokit::sys::AutopilotState>,
        patience: &Patience,
    ) -> Error {
        let within = patience.within();
        match (state, missing) {
            (Err(error), _) => Error::from(error).during(format!("autopilot did not answer {within}")),
            (Ok(_), []) => Error::new(
                format!("autopilot does not call the cluster healthy {within}"),
                "see `status` and `logs`, then run `up` again",
            ),
            (Ok(_), [id, ..]) => {
                let words = self.cluster.service(*id).map(|service| service.last_words()).unwrap_or_default();
                let data = self.cluster.folder().node(*id).data();
                Error::new(
                    format!("{} did not become a voter {within}; {words}", list(missing)),
                    format!(
                        "mend what the log names and run `up` again; a node that was removed from the cluster joins \
                         as a new one when it is ended (`kill {id}`) and {} is moved away",
                        data.display()
                    ),
                )
            }
        }
    }

    async fn access(&self) -> Result<()> {
        let changed = access::ensure(&self.cluster).await?;
        let text = if changed.is_empty() {
            "KVv2 at secret, policy, AppRole and credential of crudservice".to_owned()
        } else {
            changed.join(", ")
        };
        self.say("access", text, !changed.is_empty());
        Ok(())
    }

    async fn balance(&self, restart: bool) -> Result<()> {
        let done = balancer::ensure(&self.cluster, restart).await?;
        let text = format!("HAProxy serves on {}", self.cluster.balancer_url());
        match done {
            Some(done) => self.say("balancer", format!("{text} ({done})"), true),
            None => self.say("balancer", text, false),
        }
        Ok(())
    }
}

fn list(ids: &[NodeId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
