//! The calls of an operator: the state of a node, opening and closing it, and what the cluster has.
//!
//! Those that concern a node or the whole cluster go out without the client's namespace.

pub(crate) mod app_role;
pub(crate) mod leases;
pub(crate) mod mounts;
pub(crate) mod policies;
pub(crate) mod raft;
pub(crate) mod wrapping;

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answer::Said;
use super::{Answer, Call, Replay, Spec};
use crate::error::Result;
use crate::http::Method;
use crate::secret::SecretValue;

/// How a node is, as it says itself. See [`Sys::health`](crate::Sys::health).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether the cluster was initialised.
    pub initialized: bool,
    /// Whether the node is sealed.
    pub sealed: bool,
    /// Whether the node is not the leader. A leader that slept through an election takes itself for
    /// one until it hears of the other.
    pub standby: bool,
    /// The version of the server.
    pub version: String,
    /// The name of the cluster; none while the node is sealed.
    pub cluster_name: Option<String>,
    /// The id of the cluster; none while the node is sealed.
    pub cluster_id: Option<String>,
    /// The node's clock, in seconds since the Unix epoch.
    pub server_time_utc: u64,
}

/// `GET sys/health`, told to answer 200 whatever the state: the state is in the document.
pub(crate) fn health() -> Call<Health> {
    let target = "/v1/sys/health?standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200";
    of_node(get(target, document))
}

/// The same question, to have the connection closed on which it is answered.
pub(crate) fn closing() -> Call<Health> {
    health().with(|spec| spec.closes = true)
}

/// How far a node is from being unsealed. See [`Sys::seal_status`](crate::Sys::seal_status).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SealStatus {
    /// The kind of seal: `shamir`, or where the key is kept.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the cluster was initialised.
    pub initialized: bool,
    /// Whether the node is sealed.
    pub sealed: bool,
    /// How many shares unseal it.
    #[serde(rename = "t")]
    pub threshold: u8,
    /// How many shares there are.
    #[serde(rename = "n")]
    pub shares: u8,
    /// How many shares it was given since it was sealed.
    pub progress: u8,
    /// The version of the server.
    pub version: String,
    /// The storage, such as `raft`.
    pub storage_type: String,
    /// The name of the cluster; none while the node is sealed.
    pub cluster_name: Option<String>,
    /// The id of the cluster; none while the node is sealed.
    pub cluster_id: Option<String>,
}

/// `GET sys/seal-status`.
pub(crate) fn seal_status() -> Call<SealStatus> {
    of_node(get("/v1/sys/seal-status", document))
}

/// Who leads, as a node believes. See [`Sys::leader`](crate::Sys::leader).
// OpenBao leaves out what is empty, and up to 2.6 also what is false.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Leader {
    /// Whether there are several nodes.
    pub ha_enabled: bool,
    /// Whether the node that answered is the leader.
    #[serde(default)]
    pub is_self: bool,
    /// The leader's address for clients; empty while there is none.
    #[serde(default)]
    pub leader_address: String,
    /// The leader's address for the other nodes; empty while there is none.
    #[serde(default)]
    pub leader_cluster_address: String,
    /// Since when the node that answered has been leading: RFC 3339.
    pub active_time: Option<String>,
    /// The newest entry of the Raft log that the node knows to be committed.
    #[serde(default)]
    pub raft_committed_index: u64,
    /// The newest entry that it has applied.
    #[serde(default)]
    pub raft_applied_index: u64,
}

/// `GET sys/leader`.
pub(crate) fn leader() -> Call<Leader> {
    of_node(get("/v1/sys/leader", document))
}

/// One unsealed node, as the leader sees it. See [`Sys::ha_status`](crate::Sys::ha_status).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct HaNode {
    /// The name of its machine.
    pub hostname: String,
    /// Its address for clients.
    pub api_address: String,
    /// Its address for the other nodes.
    pub cluster_address: String,
    /// Whether it is the leader.
    pub active_node: bool,
    /// When it was last heard of: RFC 3339; none for the leader.
    pub last_echo: Option<String>,
    /// The version of its server.
    pub version: String,
}

/// `GET sys/ha-status`.
pub(crate) fn ha_status() -> Call<Vec<HaNode>> {
    #[derive(Deserialize)]
    struct Nodes {
        nodes: Vec<HaNode>,
    }
    of_cluster(get("/v1/sys/ha-status", |spec, answer| answer.data::<Nodes>(spec).map(|data| data.nodes)))
}

/// A version that the cluster ran. See [`Sys::version_history`](crate::Sys::version_history).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstalledVersion {
    /// The version.
    pub version: String,
    /// When it was first run: RFC 3339.
    pub installed: String,
    /// The version before it; none for the first.
    pub previous: Option<String>,
}

/// `LIST sys/version-history`, oldest first.
pub(crate) fn version_history() -> Call<Vec<InstalledVersion>> {
    #[derive(Deserialize)]
    struct History {
        keys: Vec<String>,
        key_info: std::collections::BTreeMap<String, Info>,
    }
    #[derive(Deserialize)]
    struct Info {
        timestamp_installed: String,
        previous_version: Option<String>,
    }
    of_cluster(get("/v1/sys/version-history?list=true", |spec, answer| {
        let History { keys, mut key_info } = answer.data(spec)?;
        let installed = keys.into_iter().filter_map(|version| {
            let Info { timestamp_installed, previous_version } = key_info.remove(&version)?;
            Some(InstalledVersion { version, installed: timestamp_installed, previous: previous_version })
        });
        Ok(installed.collect())
    }))
}

/// What opens a new cluster. It is told once; whoever loses it loses the cluster. See [`Sys::init`](crate::Sys::init).
#[derive(Deserialize)]
#[non_exhaustive]
pub struct Initialization {
    /// The unseal key's shares, in base64, each for another keeper.
    #[serde(rename = "keys_base64")]
    pub shares: Vec<SecretValue>,
    /// A token that may do everything.
    pub root_token: SecretValue,
}

impl fmt::Debug for Initialization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Initialization({} shares, [redacted])", self.shares.len())
    }
}

/// `POST sys/init`. Never sent twice: the second answer would hold no keys. It takes some six seconds on
/// Raft, longer than a try otherwise gets.
pub(crate) fn init(shares: u8, threshold: u8) -> Result<Call<Initialization>> {
    #[derive(Serialize)]
    struct Body {
        secret_shares: u8,
        secret_threshold: u8,
    }
    let body = Body { secret_shares: shares, secret_threshold: threshold };
    let call = post("/v1/sys/init", Replay::Unsafe, &body, document)?;
    Ok(of_cluster(call).unauthenticated().with(|spec| spec.patient = true))
}

#[derive(Serialize)]
struct UnsealBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a SecretValue>,
    reset: bool,
}

/// `POST sys/unseal` with one share, or without one to forget those that were given. A share that
/// comes twice counts once.
pub(crate) fn unseal(share: Option<&SecretValue>) -> Result<Call<SealStatus>> {
    let body = UnsealBody { key: share, reset: share.is_none() };
    post("/v1/sys/unseal", Replay::Idempotent, &body, document).map(of_cluster).map(Call::unauthenticated)
}

/// `POST sys/seal`. One that comes late closes a node that was opened meanwhile.
pub(crate) fn seal() -> Call<()> {
    of_cluster(Call::new(Method::Post, "/v1/sys/seal".to_owned(), Replay::Unsafe, Answer::nothing))
}

/// `POST sys/step-down`. One that comes late deposes another leader.
pub(crate) fn step_down() -> Call<()> {
    of_cluster(Call::new(Method::Post, "/v1/sys/step-down".to_owned(), Replay::Unsafe, Answer::nothing))
}

type Reader<T> = fn(&Spec, Answer) -> Result<T>;

fn document<T: DeserializeOwned>(spec: &Spec, answer: Answer) -> Result<T> {
    answer.document(spec)
}

fn data<T: DeserializeOwned>(spec: &Spec, answer: Answer) -> Result<T> {
    answer.data(spec)
}

fn get<T>(target: impl Into<String>, read: Reader<T>) -> Call<T> {
    Call::new(Method::Get, target.into(), Replay::Idempotent, read)
}

fn post<T>(target: impl Into<String>, replay: Replay, body: &impl Serialize, read: Reader<T>) -> Result<Call<T>> {
    Call::with_body(Method::Post, target.into(), replay, body, read)
}

/// Something is removed. One that comes late removes what was put in its place.
fn remove(target: String) -> Call<()> {
    Call::new(Method::Delete, target, Replay::Unsafe, Answer::nothing)
}

/// The names that a list holds; an empty list is a 404.
fn names(spec: &Spec, answer: Answer) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Keys {
        keys: Vec<String>,
    }
    if answer.response.status() == 404 && answer.said == Some(Said::Nothing) {
        return Ok(Vec::new());
    }
    answer.data::<Keys>(spec).map(|data| data.keys)
}

/// A call that concerns the cluster, and so no namespace.
fn of_cluster<T>(call: Call<T>) -> Call<T> {
    call.with(|spec| spec.namespaced = false)
}

/// A call about the state of a node at this moment, which needs no token.
fn of_node<T>(call: Call<T>) -> Call<T> {
    of_cluster(call).unauthenticated().with(|spec| spec.momentary = true)
}
