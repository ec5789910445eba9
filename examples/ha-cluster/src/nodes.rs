//! One node at a time: started, answering, unsealed.

use std::time::{Duration, Instant};

use baokit::sys::SealStatus;
use baokit::{Client, Code};

use crate::cluster::Cluster;
use crate::keys::{Keys, lost_keys};
use crate::node::NodeId;
use crate::process::ProcessState;
use crate::wait::Patience;
use crate::{Error, Result};

/// How long a node may take to answer after its start, on a busy machine.
const ANSWERS: Duration = Duration::from_secs(60);

/// How long nodes may take to join and to be unsealed; joining takes 2 to 4 s.
const OPENS: Duration = Duration::from_secs(60);

/// How long unsealed nodes may take to agree on a leader; an election takes up to 20 s.
pub(crate) const ELECTS: Duration = Duration::from_secs(60);

/// When shares are given once more to a node that took them and stayed sealed.
const AGAIN: Duration = Duration::from_secs(5);

/// How often a node must refuse the shares before that is believed: in the moment in which it joins, OpenBao calls good
/// ones an invalid key.
const REFUSALS: u8 = 3;

/// What is seen of a node that holds no data.
const NOT_JOINED: &str = "did not join the cluster";

/// Starts a node's process where there is none, and continues one that was stopped. Says what was done.
pub(crate) async fn ensure_running(cluster: &Cluster, id: NodeId) -> Result<Option<&'static str>> {
    let service = cluster.service(id)?;
    match service.find()?.state() {
        ProcessState::Running => Ok(None),
        ProcessState::Stopped => {
            service.resume().await?;
            Ok(Some("continued"))
        }
        ProcessState::Down => {
            cluster.state().node(id)?.check()?;
            service.start(&cluster.state().program)?;
            Ok(Some("started"))
        }
    }
}

/// Waits until a node answers, in whatever state it is.
pub(crate) async fn answers(cluster: &Cluster, id: NodeId) -> Result<SealStatus> {
    let service = cluster.service(id)?;
    let client = cluster.probe([cluster.url(id)?])?;
    let patience = Patience::of(ANSWERS);
    let mut was_down = false;
    loop {
        let error = match client.sys().seal_status().await {
            Ok(status) => return Ok(status),
            Err(error) => error,
        };
        // The system does not show a process by its name yet at the very moment at which it begins.
        let is_down = service.find()?.state() == ProcessState::Down;
        if is_down && std::mem::replace(&mut was_down, true) {
            return Err(Error::new(
                format!("{id} ended after it was started; {}", service.last_words()),
                format!(
                    "mend what the log names and run `up` again; where the data is broken, move {} away first, and the \
                     node gets it anew from the others",
                    cluster.folder().node(id).data().display()
                ),
            ));
        }
        if error.code() == Code::TlsFailed {
            // It still shows a certificate that was made anew meanwhile.
            service.reload()?;
        }
        if !patience.wait().await {
            let what = format!("{id} does not answer {}: {error}; {}", patience.within(), service.last_words());
            return Err(Error::new(what, format!("end it with `kill {id}`, then run `up` again")));
        }
    }
}

/// Waits until these nodes have joined the cluster, unsealing each as soon as it has. Returns those that were sealed.
pub(crate) async fn open(cluster: &Cluster, keys: &Keys, ids: &[NodeId]) -> Result<Vec<NodeId>> {
    open_within(cluster, keys, ids, OPENS).await
}

async fn open_within(cluster: &Cluster, keys: &Keys, ids: &[NodeId], limit: Duration) -> Result<Vec<NodeId>> {
    let client = cluster.probe(cluster.urls())?;
    let patience = Patience::of(limit);
    let mut waiting: Vec<Waiting> =
        ids.iter().map(|id| Waiting { id: *id, given: None, refusals: 0, seen: String::new() }).collect();
    let mut opened = Vec::new();
    while !waiting.is_empty() {
        let mut still = Vec::new();
        for mut node in waiting {
            match node.advance(cluster, &client, keys).await? {
                Progress::Open if node.given.is_some() => opened.push(node.id),
                Progress::Open => {}
                Progress::Waiting => still.push(node),
            }
        }
        waiting = still;
        if let Some(node) = waiting.first()
            && !patience.wait().await
        {
            return Err(node.late(cluster, &patience));
        }
    }
    opened.sort();
    Ok(opened)
}

enum Progress {
    Open,
    Waiting,
}

/// A node that is not open yet.
struct Waiting {
    id: NodeId,
    /// When it was given shares.
    given: Option<Instant>,
    /// How often it refused them.
    refusals: u8,
    /// What was seen last, for messages.
    seen: String,
}

impl Waiting {
    async fn advance(&mut self, cluster: &Cluster, client: &Client, keys: &Keys) -> Result<Progress> {
        let sys = client.sys().at(&cluster.url(self.id)?)?;
        let status = match sys.seal_status().await {
            Ok(status) => status,
            Err(error) => {
                self.seen = format!("does not answer: {}", Error::from(error).what());
                return Ok(Progress::Waiting);
            }
        };
        if !status.initialized {
            NOT_JOINED.clone_into(&mut self.seen);
            return Ok(Progress::Waiting);
        }
        if !status.sealed {
            cluster.require_same(self.id, status.cluster_id.as_deref())?;
            return Ok(Progress::Open);
        }
        "was given the unseal keys and stayed sealed".clone_into(&mut self.seen);
        if self.given.is_none_or(|at| at.elapsed() >= AGAIN) {
            self.given = Some(Instant::now());
            self.unseal(cluster, keys).await?;
        }
        Ok(Progress::Waiting)
    }

    /// Gives a node as many shares as it needs.
    async fn unseal(&mut self, cluster: &Cluster, keys: &Keys) -> Result<()> {
        let client = cluster.opener(self.id)?;
        // Shares that an interrupted `up` gave, or somebody else, are forgotten first.
        let mut result = client.sys().reset_unseal().await;
        for share in keys.shares() {
            if result.as_ref().is_ok_and(|status| status.sealed) {
                result = client.sys().unseal(share.clone()).await;
            }
        }
        match result {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Code::RequestRejected && self.refusals + 1 == REFUSALS => {
                Err(self.refused(cluster, error))
            }
            // It is looked at again, and given the shares again.
            Err(error) => {
                self.refusals += u8::from(error.code() == Code::RequestRejected);
                self.seen = format!("could not be unsealed: {}", Error::from(error).what());
                Ok(())
            }
        }
    }

    fn refused(&self, cluster: &Cluster, error: baokit::Error) -> Error {
        let data = cluster.folder().node(self.id).data();
        Error::new(
            format!(
                "{} refuses the unseal keys of this cluster: {} holds the data of another cluster, or keys.json the \
                 keys of another one: {}",
                self.id,
                data.display(),
                Error::from(error).what()
            ),
            format!(
                "where only this node refuses, end it (`kill {}`), move that data folder away and run `up` again: the \
                 node then joins as a new one. Else {}",
                self.id,
                lost_keys()
            ),
        )
    }

    fn late(&self, cluster: &Cluster, patience: &Patience) -> Error {
        let words = cluster.service(self.id).map(|service| service.last_words()).unwrap_or_default();
        let data = cluster.folder().node(self.id).data();
        let what = format!("{} {} ({}); {words}", self.id, self.seen, patience.within());
        if self.seen == NOT_JOINED {
            let next = "mend what the log names and run `up` again. Only a leader lets a node in, and one is elected where \
                        more than half of the members run and hold their data: put `data` folders back that were moved \
                        away";
            return Error::new(what, next);
        }
        Error::new(
            what,
            format!(
                "mend what the log names and run `up` again; a node that can't join any more joins as a new one when \
                 it is ended (`kill {}`) and {} is moved away",
                self.id,
                data.display()
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use crate::ports::Ports;
    use crate::state::State;
    use crate::{config, files, pki, server};

    #[tokio::test]
    async fn a_node_that_finds_nobody_to_join_is_named_with_what_its_log_says() {
        let path = std::env::temp_dir().join(format!("ha-cluster-join-{}", std::process::id()));
        let folder = Folder::make(&path).unwrap();
        let found = server::find(Some("2.7.2"), None).await.unwrap();
        let ports = Ports::choose(folder.path(), 3).unwrap();
        let state = State::new("join".into(), found.version, found.program, ports);
        let id = NodeId::new(2).unwrap();
        folder.make_node(id).unwrap();
        pki::ensure(&folder, "join", [id].into_iter()).unwrap();
        let text = config::node(&folder, &state, state.node(id).unwrap());
        files::bring_to(&folder.node(id).config(), &text).unwrap();
        let keys = r#"{"unseal_keys_b64":["a"],"unseal_threshold":1,"root_token":"s.x"}"#;
        files::bring_to(&folder.keys(), keys).unwrap();
        let keys = Keys::load(&folder).unwrap();

        let cluster = Cluster::new(folder, state);
        ensure_running(&cluster, id).await.unwrap();
        let answered = answers(&cluster, id).await;
        let opened = open_within(&cluster, &keys, &[id], Duration::from_secs(1)).await;
        cluster.service(id).unwrap().ensure_down().await.unwrap();
        assert!(!answered.unwrap().initialized);
        let error = opened.unwrap_err().to_string();
        for words in ["node-2 did not join the cluster", "server.log ends with", "refused", "`data` folders"] {
            assert!(error.contains(words), "{words} is missing in {error}");
        }
        std::fs::remove_dir_all(path).unwrap();
    }
}
