//! The calls about the Raft cluster: its members, autopilot, snapshots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{data, get, of_cluster, post};
use crate::call::{Answer, Call, Replay};
use crate::error::Result;
use crate::http::{Method, Sink, Source, Transfer};

/// How a node is to join a cluster.
///
/// ```
/// use baokit_core::sys::Join;
///
/// let leader = Join::to("https://openbao-1.internal:8200");
/// let leader = leader.ca_pem("-----BEGIN CERTIFICATE-----\n…").non_voter();
/// ```
#[derive(Clone, Debug, Serialize)]
#[must_use]
pub struct Join {
    leader_api_addr: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader_ca_cert: Option<String>,
    non_voter: bool,
    retry: bool,
}

impl Join {
    /// Through this node of the cluster, by its address for clients. It need not be the leader.
    pub fn to(url: impl Into<String>) -> Self {
        Self { leader_api_addr: url.into(), leader_ca_cert: None, non_voter: false, retry: false }
    }

    /// The authority that signed that node's certificate, as PEM text; the system's where none is given.
    pub fn ca_pem(mut self, pem: impl Into<String>) -> Self {
        self.leader_ca_cert = Some(pem.into());
        self
    }

    /// As a node that has no vote and never leads.
    pub fn non_voter(mut self) -> Self {
        self.non_voter = true;
        self
    }

    /// The node goes on trying by itself where it fails at first.
    pub fn retry(mut self) -> Self {
        self.retry = true;
        self
    }
}

impl<T: Into<String>> From<T> for Join {
    fn from(url: T) -> Self {
        Self::to(url)
    }
}

/// `POST sys/storage/raft/join`. A node that has joined answers a second one as the first.
pub(crate) fn join(join: &Join) -> Result<Call<()>> {
    post("/v1/sys/storage/raft/join", Replay::Idempotent, join, Answer::nothing)
        .map(of_cluster)
        .map(Call::unauthenticated)
}

/// The members of the cluster. See [`Raft::configuration`](crate::sys::Raft::configuration).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RaftConfiguration {
    /// The members, in no certain order.
    pub servers: Vec<RaftServer>,
    /// The entry of the Raft log that this stands in; 0 where the server does not say.
    #[serde(default)]
    pub index: u64,
}

/// One member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RaftServer {
    /// Its id.
    pub node_id: String,
    /// Its address for the other nodes.
    pub address: String,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it has a vote.
    pub voter: bool,
}

/// `GET sys/storage/raft/configuration`.
pub(crate) fn configuration() -> Call<RaftConfiguration> {
    #[derive(Deserialize)]
    struct Data {
        config: RaftConfiguration,
    }
    of_cluster(get("/v1/sys/storage/raft/configuration", |spec, answer| {
        answer.data::<Data>(spec).map(|data| data.config)
    }))
}

#[derive(Serialize)]
struct ServerId<'a> {
    server_id: &'a str,
}

/// `POST sys/storage/raft/remove-peer`. One that comes late removes a node that joined anew.
pub(crate) fn remove_peer(id: &str) -> Result<Call<()>> {
    member("/v1/sys/storage/raft/remove-peer", id)
}

/// `POST sys/storage/raft/promote`.
pub(crate) fn promote(id: &str) -> Result<Call<()>> {
    member("/v1/sys/storage/raft/promote", id)
}

/// `POST sys/storage/raft/demote`.
pub(crate) fn demote(id: &str) -> Result<Call<()>> {
    member("/v1/sys/storage/raft/demote", id)
}

fn member(target: &str, id: &str) -> Result<Call<()>> {
    post(target, Replay::Unsafe, &ServerId { server_id: id }, Answer::nothing).map(of_cluster)
}

/// How autopilot sees the cluster. See [`Raft::autopilot_state`](crate::sys::Raft::autopilot_state).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct AutopilotState {
    /// Whether every member is well.
    pub healthy: bool,
    /// How many voters may fail before the quorum is lost.
    pub failure_tolerance: u64,
    /// The id of the leader.
    pub leader: String,
    /// The ids of those that have a vote.
    #[serde(default)]
    pub voters: Vec<String>,
    /// The members by their ids.
    pub servers: BTreeMap<String, AutopilotServer>,
}

/// How autopilot sees one member.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct AutopilotServer {
    /// Its id.
    pub id: String,
    /// Its address for the other nodes.
    pub address: String,
    /// Whether it is heard of: `alive`, or `left`.
    pub node_status: String,
    /// Its part: `leader`, `voter` or `non-voter`.
    pub status: String,
    /// Whether it is well.
    pub healthy: bool,
    /// When it was last heard of before now, in Go's notation, as `1.01s`.
    pub last_contact: String,
    /// The newest entry of its Raft log.
    pub last_index: u64,
    /// The version of its server.
    #[serde(default)]
    pub version: String,
}

/// `GET sys/storage/raft/autopilot/state`.
pub(crate) fn autopilot_state() -> Call<AutopilotState> {
    of_cluster(get("/v1/sys/storage/raft/autopilot/state", data))
}

/// What autopilot goes by. To change it, read it, change fields, and set it.
/// See [`Raft::set_autopilot_configuration`](crate::sys::Raft::set_autopilot_configuration).
///
/// Durations are in Go's notation, such as `10s` or `24h0m0s`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AutopilotConfiguration {
    /// Whether dead members are removed.
    pub cleanup_dead_servers: bool,
    /// After what silence a member counts as dead; at least a minute.
    pub dead_server_last_contact_threshold: String,
    /// After what silence a member counts as unwell.
    pub last_contact_threshold: String,
    /// How many entries behind the leader's a member counts as unwell.
    pub max_trailing_logs: u64,
    /// How many voters are kept when dead ones are removed; at least 3 then.
    pub min_quorum: u64,
    /// How long a member must have been well before it is given a vote.
    pub server_stabilization_time: String,
}

/// `GET sys/storage/raft/autopilot/configuration`.
pub(crate) fn autopilot_configuration() -> Call<AutopilotConfiguration> {
    of_cluster(get("/v1/sys/storage/raft/autopilot/configuration", data))
}

/// `POST sys/storage/raft/autopilot/configuration`.
pub(crate) fn set_autopilot_configuration(configuration: &AutopilotConfiguration) -> Result<Call<()>> {
    let target = "/v1/sys/storage/raft/autopilot/configuration";
    post(target, Replay::Unsafe, configuration, Answer::nothing).map(of_cluster)
}

/// `GET sys/storage/raft/snapshot`.
pub(crate) fn snapshot(sink: Sink) -> Call<()> {
    let call =
        get(
            "/v1/sys/storage/raft/snapshot",
            |spec, answer| {
                if answer.is_success() { Ok(()) } else { Err(answer.into_error(spec)) }
            },
        );
    transferred(call, Transfer::Download(sink))
}

/// `POST sys/storage/raft/snapshot`, or, of another cluster's, `…/snapshot-force`. One that comes
/// late undoes what was written meanwhile.
pub(crate) fn restore(source: Source, force: bool) -> Call<()> {
    let target = if force { "/v1/sys/storage/raft/snapshot-force" } else { "/v1/sys/storage/raft/snapshot" };
    let call = Call::new(Method::Post, target.to_owned(), Replay::Unsafe, Answer::nothing);
    transferred(call, Transfer::Upload(source))
}

/// A call of the cluster with a transfer, which is longer than memory and takes its time.
fn transferred(call: Call<()>, transfer: Transfer) -> Call<()> {
    of_cluster(call).with(|spec| {
        spec.transfer = Some(transfer);
        spec.patient = true;
    })
}
