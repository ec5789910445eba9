//! The Raft cluster as an operator sees it: members, autopilot, snapshots.

use std::io::{Read, Seek, Write};
use std::sync::{Arc, PoisonError};

use super::Sys;
use crate::call::sys::Leader;
use crate::call::sys::raft::{self, AutopilotConfiguration, AutopilotState, Join, RaftConfiguration};
use crate::config::Origin;
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::http::{Sink, Source};
use crate::session::nodes::NodeId;

/// The Raft cluster. See [`Sys::raft`].
///
/// ```
/// # use baokit_core_testing::{answering, run};
/// # run(async {
/// # let client = answering(r#"{"data":{"healthy":true,"failure_tolerance":1,"leader":"n1","voters":["n1","n2","n3"],"servers":{}}}"#);
/// let raft = client.sys().raft();
/// assert_eq!(raft.autopilot_state().await?.voters.len(), 3);
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct Raft<'a, H>(Sys<'a, H>);

impl<'a, H: Host> Raft<'a, H> {
    pub(super) fn new(sys: Sys<'a, H>) -> Self {
        Self(sys)
    }

    /// Lets one node join a cluster, through any node of that. It stays sealed, and is no voter
    /// before autopilot has seen it well for some ten seconds.
    ///
    /// End point: `POST sys/storage/raft/join`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"joined":true}"#);
    /// use baokit_core::sys::Join;
    ///
    /// client.sys().raft().join("https://openbao-1.internal:8200").await?;
    /// client.sys().raft().join(Join::to("https://openbao-1.internal:8200").non_voter()).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::RequestRejected`] where the other node can't be reached, its certificate is not
    /// trusted, or it has no cluster yet; [`Code::InvalidNode`].
    pub async fn join(&self, leader: impl Into<Join>) -> Result<()> {
        let join = leader.into();
        self.0.one()?.run(raft::join(&join)?).await
    }

    /// The members.
    ///
    /// End point: `GET sys/storage/raft/configuration`. A node tells what it knows: one that was
    /// removed tells how it was then.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"data":{"config":{"index":7,"servers":[{"node_id":"n1","address":"openbao-1.internal:8201","leader":true,"voter":true}]}}}"#);
    /// let members = client.sys().raft().configuration().await?.servers;
    /// assert!(members.iter().any(|member| member.leader && member.voter));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`].
    pub async fn configuration(&self) -> Result<RaftConfiguration> {
        self.0.run(raft::configuration()).await
    }

    /// Removes a member, by its id. Removing what is not there is no error. The node itself goes on:
    /// it answers reads as things were at that moment, without an end, and sends writes on to the leader
    /// of that moment as long as that one leads. So stop it first.
    ///
    /// End point: `POST sys/storage/raft/remove-peer`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"null"#);
    /// client.sys().raft().remove_peer("n3").await?; // the node was stopped before
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`]; [`Code::Indeterminate`].
    pub async fn remove_peer(&self, id: &str) -> Result<()> {
        self.0.run(raft::remove_peer(id)?).await
    }

    /// Lets autopilot give a member a vote, which it does some seconds later, once the member has been
    /// well for long enough.
    ///
    /// End point: `POST sys/storage/raft/promote`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"null"#);
    /// client.sys().raft().promote("n3").await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::RequestRejected`] where it is no member, or has one; [`Code::Indeterminate`].
    pub async fn promote(&self, id: &str) -> Result<()> {
        self.0.run(raft::promote(id)?).await
    }

    /// Lets autopilot take a member's vote away, which it does some seconds later.
    ///
    /// End point: `POST sys/storage/raft/demote`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"null"#);
    /// client.sys().raft().demote("n3").await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::RequestRejected`] where it has none, though that passes too at times;
    /// [`Code::Indeterminate`].
    pub async fn demote(&self, id: &str) -> Result<()> {
        self.0.run(raft::demote(id)?).await
    }

    /// How autopilot sees the cluster.
    ///
    /// End point: `GET sys/storage/raft/autopilot/state`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"data":{"healthy":true,"failure_tolerance":1,"leader":"n1","voters":["n1","n2","n3"],"servers":{}}}"#);
    /// let state = client.sys().raft().autopilot_state().await?;
    /// assert!(state.healthy && state.failure_tolerance > 0); // voters that may fail
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`].
    pub async fn autopilot_state(&self) -> Result<AutopilotState> {
        self.0.run(raft::autopilot_state()).await
    }

    /// What autopilot goes by.
    ///
    /// End point: `GET sys/storage/raft/autopilot/configuration`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"data":{"cleanup_dead_servers":false,"dead_server_last_contact_threshold":"24h0m0s","last_contact_threshold":"10s","max_trailing_logs":1000,"min_quorum":0,"server_stabilization_time":"10s"}}"#);
    /// let configuration = client.sys().raft().autopilot_configuration().await?;
    /// assert_eq!(configuration.last_contact_threshold, "10s");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`].
    pub async fn autopilot_configuration(&self) -> Result<AutopilotConfiguration> {
        self.0.run(raft::autopilot_configuration()).await
    }

    /// Changes what autopilot goes by.
    ///
    /// End point: `POST sys/storage/raft/autopilot/configuration`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"data":{"cleanup_dead_servers":false,"dead_server_last_contact_threshold":"24h0m0s","last_contact_threshold":"10s","max_trailing_logs":1000,"min_quorum":0,"server_stabilization_time":"10s"}}"#);
    /// let mut configuration = client.sys().raft().autopilot_configuration().await?;
    /// configuration.cleanup_dead_servers = true;
    /// configuration.min_quorum = 3;
    /// client.sys().raft().set_autopilot_configuration(&configuration).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::RequestRejected`] where a field is malformed; [`Code::Indeterminate`].
    pub async fn set_autopilot_configuration(&self, configuration: &AutopilotConfiguration) -> Result<()> {
        self.0.run(raft::set_autopilot_configuration(configuration)?).await
    }

    /// Writes a snapshot of everything that the cluster stores, as it comes, and returns the writer.
    /// It holds every secret, encrypted with the key that the unseal key protects.
    ///
    /// It is the leader's where the client has the leader among its nodes. Any other node, behind a load
    /// balancer or named with [`Sys::at`], gives what it has itself: the last writes may be missing.
    ///
    /// The writer is called between two reads from the network and should not block for long. The
    /// client's deadline holds for the whole of it.
    ///
    /// End point: `GET sys/storage/raft/snapshot`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"ha_enabled":true,"is_self":true,"leader_address":"http://127.0.0.1:8200"}"#);
    /// let snapshot: Vec<u8> = client.sys().raft().snapshot(Vec::new()).await?; // or a std::fs::File
    /// assert!(!snapshot.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::ConnectionLost`] where it broke off: what was written is worthless then;
    /// [`Code::LocalIo`] where the writer failed; [`Code::PermissionDenied`].
    pub async fn snapshot<W: Write + Send + 'static>(&self, writer: W) -> Result<W> {
        let (sink, writer) = Sink::new(writer);
        let node = match (self.0.node, self.0.client.settings.nodes()) {
            (None, [_, _, ..]) => self.0.leader().await.ok().and_then(|leader| self.find(&leader)),
            (named, _) => named,
        };
        Sys { node, ..self.0 }.run(raft::snapshot(sink)).await?;
        let writer = Arc::into_inner(writer).ok_or_else(|| {
            Error::new(Code::Internal).because("the host kept the writer of a snapshot that is complete")
        })?;
        Ok(writer.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces everything that the cluster stores by a snapshot of the same cluster. What was written
    /// since is lost, and versions of secrets repeat.
    ///
    /// It is sent to the leader, which must be one of the client's nodes: a standby that it is sent
    /// through seals itself.
    ///
    /// End point: `POST sys/storage/raft/snapshot`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"ha_enabled":true,"is_self":true,"leader_address":"http://127.0.0.1:8200"}"#);
    /// # let file = std::io::Cursor::new(b"a snapshot".to_vec());
    /// client.sys().raft().restore(file).await?; // a std::fs::File, say
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::RequestRejected`] where it is no snapshot, [`Code::ServerError`] where it is another
    /// cluster's; [`Code::LocalIo`] where the reader failed; [`Code::NoLeader`];
    /// [`Code::InvalidNode`] where the leader is not among the client's nodes;
    /// [`Code::Indeterminate`].
    pub async fn restore(&self, snapshot: impl Read + Seek + Send + 'static) -> Result<()> {
        self.put_back(snapshot, false).await
    }

    /// The same with a snapshot of another cluster, whose unseal key holds from then on.
    ///
    /// End point: `POST sys/storage/raft/snapshot-force`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"ha_enabled":true,"is_self":true,"leader_address":"http://127.0.0.1:8200"}"#);
    /// # let file = std::io::Cursor::new(b"a snapshot".to_vec());
    /// client.sys().raft().restore_force(file).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Raft::restore`].
    pub async fn restore_force(&self, snapshot: impl Read + Seek + Send + 'static) -> Result<()> {
        self.put_back(snapshot, true).await
    }

    async fn put_back(&self, snapshot: impl Read + Seek + Send + 'static, force: bool) -> Result<()> {
        let leader = self.0.leader().await?;
        if leader.leader_address.is_empty() {
            return Err(Error::new(Code::NoLeader).because("a snapshot is restored at the leader"));
        }
        // Where a node is named, it has to be the leader.
        match self.find(&leader).filter(|_| leader.is_self || self.0.node.is_none()) {
            Some(node) => Sys { node: Some(node), ..self.0 }.run(raft::restore(Source::new(snapshot), force)).await,
            None => Err(Error::new(Code::InvalidNode).about("the leader").because(
                "a snapshot is restored at the leader, which is not among the client's nodes, or not the named one",
            )),
        }
    }

    /// The leader, where it is one of the client's nodes.
    fn find(&self, leader: &Leader) -> Option<NodeId> {
        let origin = Origin::parse(&leader.leader_address).ok()?;
        self.0.client.shared.with(|session| session.nodes.find(&origin))
    }
}
