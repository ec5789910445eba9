//! What an operator does: see how the nodes are, open and close them, and set up what is mounted,
//! who may log in and what they may do.
//!
//! A call goes to any node of the client, as reads and writes do, or to the one that [`Sys::at`]
//! names. What concerns one node only (unsealing it, say) must name it, unless the client has just
//! one. A named node is the only one that is asked: no failover, and no redirect is followed.

mod access;
mod leases;
mod raft;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Client;
use crate::call::sys::mounts::{self, Kind, Mount, MountConfig};
use crate::call::sys::wrapping::{Wrapped, WrappingInfo};
use crate::call::sys::{self, HaNode, Health, Initialization, InstalledVersion, Leader, SealStatus};
use crate::call::{Call, whole_seconds};
use crate::config::Origin;
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::secret::{MAX_DEPTH, SecretValue, require_depth};
use crate::session::nodes::NodeId;
use crate::uri::path::ApiPath;

pub use access::AppRole;
pub use leases::Reply;
pub use raft::Raft;

/// The operator's calls of a client. See [`Client::sys`].
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// let sys = client.sys(); // of any node; sys.at(url) of that one
/// assert!(sys.mounts().await?.contains_key("secret/"));
/// # Ok(())
/// # });
/// ```
pub struct Sys<'a, H> {
    client: &'a Client<H>,
    node: Option<NodeId>,
}

impl<H> Clone for Sys<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for Sys<'_, H> {}

impl<H> fmt::Debug for Sys<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sys").field("node", &self.node).finish_non_exhaustive()
    }
}

impl<H: Host> Client<H> {
    /// What an operator does.
    pub fn sys(&self) -> Sys<'_, H> {
        Sys { client: self, node: None }
    }
}

impl<'a, H: Host> Sys<'a, H> {
    /// The same calls, to this node alone: one of the client's, as `https://host:port`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// for node in client.settings().nodes() {
    ///     let health = client.sys().at(node.as_str())?.health().await?;
    ///     println!("{node}: sealed: {}", health.sealed);
    /// }
    /// assert!(client.sys().at("https://stranger.example").is_err());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::InvalidNode`] where the client has no such node.
    pub fn at(self, node: &str) -> Result<Self> {
        let origin = Origin::parse(node).map_err(|_| self.unknown("it is no address of a node"))?;
        let Some(node) = self.client.shared.with(|session| session.nodes.find(&origin)) else {
            return Err(self.unknown("the client was made without it").about(origin.as_str().to_owned()));
        };
        Ok(Self { node: Some(node), ..self })
    }

    fn unknown(self, reason: &'static str) -> Error {
        Error::new(Code::InvalidNode).about("sys().at").because(reason)
    }

    async fn run<T>(self, call: Call<T>) -> Result<T> {
        let mut operation = self.client.begin().await?;
        operation.node = self.node;
        operation.run(call).await
    }

    /// For what concerns one node: these calls at the one that is meant.
    fn one(self) -> Result<Self> {
        match (self.node, self.client.settings.nodes()) {
            (Some(_), _) => Ok(self),
            (None, [only]) => self.at(only.as_str()),
            (None, nodes) => {
                let reason = format!("this concerns one node, and the client has {}", nodes.len());
                Err(Error::new(Code::InvalidNode).because(reason))
            }
        }
    }

    /// How a node is. Any state is an answer, of a sealed node too; every node is asked once at most,
    /// and without a token.
    ///
    /// End point: `GET sys/health`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let health = client.sys().health().await?;
    /// assert!(health.initialized && !health.sealed && !health.standby);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// Those of the network, such as [`Code::ServerUnreachable`], after one try, 5 s at most.
    pub async fn health(self) -> Result<Health> {
        self.run(sys::health()).await
    }

    /// How far a node is from being unsealed. Asked as [`Sys::health`] is.
    ///
    /// End point: `GET sys/seal-status`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let status = client.sys().seal_status().await?;
    /// println!("{} of {} shares given", status.progress, status.threshold);
    /// assert!(!status.sealed);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Sys::health`].
    pub async fn seal_status(self) -> Result<SealStatus> {
        self.run(sys::seal_status()).await
    }

    /// Who leads, as a node believes. Asked as [`Sys::health`] is.
    ///
    /// End point: `GET sys/leader`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"ha_enabled":true,"is_self":false,"leader_address":"https://openbao-2.internal:8200"}"#);
    /// let leader = client.sys().leader().await?;
    /// assert_eq!(leader.leader_address, "https://openbao-2.internal:8200"); // empty while there is none
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Sys::health`]; [`Code::ServerSealed`].
    pub async fn leader(self) -> Result<Leader> {
        self.run(sys::leader()).await
    }

    /// The unsealed nodes, as the leader sees them.
    ///
    /// End point: `GET sys/ha-status`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"data":{"nodes":[{"hostname":"openbao-1","api_address":"https://openbao-1.internal:8200","cluster_address":"https://openbao-1.internal:8201","active_node":true,"last_echo":null,"version":"2.7.2"}]}}"#);
    /// let nodes = client.sys().ha_status().await?;
    /// let leader = nodes.iter().find(|node| node.active_node);
    /// assert_eq!(leader.map(|node| node.hostname.as_str()), Some("openbao-1"));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`].
    pub async fn ha_status(self) -> Result<Vec<HaNode>> {
        self.run(sys::ha_status()).await
    }

    /// The versions of OpenBao that the cluster ran, oldest first.
    ///
    /// End point: `LIST sys/version-history`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"data":{"keys":["2.6.2","2.7.2"],"key_info":{"2.6.2":{"timestamp_installed":"2026-01-01T00:00:00Z","previous_version":null},"2.7.2":{"timestamp_installed":"2026-06-01T00:00:00Z","previous_version":"2.6.2"}}}}"#);
    /// let history = client.sys().version_history().await?;
    /// assert_eq!(history.last().map(|last| last.version.as_str()), Some("2.7.2"));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`].
    pub async fn version_history(self) -> Result<Vec<InstalledVersion>> {
        self.run(sys::version_history()).await
    }

    /// Initialises a new cluster at one node: makes the unseal key in so many shares, of which
    /// `threshold` open a node, and a root token. Both are told once. There are 1 to 255 shares; the threshold is 2
    /// to their number, or 1 of a single one. It takes some six seconds on Raft storage: leave the deadline above 10 s.
    ///
    /// End point: `POST sys/init`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"keys_base64":["c2hhcmUtMQ==","c2hhcmUtMg==","c2hhcmUtMw=="],"root_token":"hvs.root"}"#);
    /// # fn hand_over(_: &str) {}
    /// let made = client.sys().init(3, 2).await?; // three shares, of which two open a node
    /// for share in &made.shares {
    ///     hand_over(share.expose_str()?);
    /// }
    /// assert_eq!(made.root_token.expose_str()?, "hvs.root");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::RequestRejected`] where it was initialised already, or for numbers that don't fit;
    /// [`Code::Indeterminate`] where the answer was lost: then nobody has the keys, and the node has
    /// to begin anew with empty storage. [`Code::InvalidNode`].
    pub async fn init(self, shares: u8, threshold: u8) -> Result<Initialization> {
        self.one()?.run(sys::init(shares, threshold)?).await
    }

    /// Gives a node one share of the unseal key. The last one opens it; a share that comes twice
    /// counts once. Where the shares do not fit together, the node forgets them all.
    ///
    /// End point: `POST sys/unseal`.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"type":"shamir","initialized":true,"sealed":true,"t":3,"n":5,"progress":1,"version":"2.7.2","storage_type":"raft"}"#);
    /// let status = client.sys().unseal("c2hhcmUtMQ==").await?; // base64 as `init` told it, or hexadecimal
    /// assert_eq!((status.progress, status.threshold, status.sealed), (1, 3, true));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::RequestRejected`] for what is no share, and where the shares do not fit;
    /// [`Code::InvalidNode`].
    pub async fn unseal(self, share: impl Into<SecretValue>) -> Result<SealStatus> {
        let share = share.into();
        self.one()?.run(sys::unseal(Some(&share))?).await
    }

    /// Lets a node forget the shares that it was given so far.
    ///
    /// End point: `POST sys/unseal` with `reset`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let status = client.sys().reset_unseal().await?;
    /// assert_eq!(status.progress, 0);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::InvalidNode`].
    pub async fn reset_unseal(self) -> Result<SealStatus> {
        self.one()?.run(sys::unseal(None)?).await
    }

    /// Seals one node. It serves nothing until it is unsealed.
    ///
    /// End point: `POST sys/seal`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// client.sys().seal().await?;
    /// assert!(client.sys().health().await?.sealed);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`]; [`Code::Indeterminate`]; [`Code::InvalidNode`].
    pub async fn seal(self) -> Result<()> {
        self.one()?.run(sys::seal()).await
    }

    /// The leader gives up its place, and another is elected. A standby passes it on to the leader; a
    /// leader that was deposed without knowing answers as if it had obeyed.
    ///
    /// End point: `POST sys/step-down`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// client.sys().step_down().await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`]; [`Code::Indeterminate`].
    pub async fn step_down(self) -> Result<()> {
        self.run(sys::step_down()).await
    }

    /// The Raft cluster: members, autopilot, snapshots.
    ///
    /// ```
    /// # use baokit_core_testing::{answering, run};
    /// # run(async {
    /// # let client = answering(r#"{"data":{"config":{"servers":[]}}}"#);
    /// let raft = client.sys().raft();
    /// println!("{} members", raft.configuration().await?.servers.len());
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn raft(self) -> Raft<'a, H> {
        Raft::new(self)
    }

    /// The secrets engines, by their mounts with a slash behind them.
    ///
    /// End point: `GET sys/mounts`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let mounts = client.sys().mounts().await?;
    /// assert!(mounts["secret/"].is_kv2());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`].
    pub async fn mounts(self) -> Result<BTreeMap<String, Mount>> {
        self.run(mounts::list(Kind::Engine)).await
    }

    /// Mounts a secrets engine. A standby knows of it a second later.
    ///
    /// End point: `POST sys/mounts/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// use baokit_core::sys::MountConfig;
    ///
    /// client.sys().enable_mount("team", &MountConfig::kv2().description("the team's secrets")).await?;
    /// client.kv2_write("team", "app/api", &"{}".parse::<serde_json::Value>().unwrap().into(), None).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::RequestRejected`] where something is mounted there, or the type is unknown;
    /// [`Code::IllegalSegment`]; [`Code::Indeterminate`].
    pub async fn enable_mount(self, path: &str, config: &MountConfig) -> Result<()> {
        self.run(mounts::enable(Kind::Engine, &ApiPath::parse(path)?, config)?).await
    }

    /// Unmounts a secrets engine, with all its data. Unmounting what is not there is no error.
    ///
    /// End point: `DELETE sys/mounts/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// client.sys().disable_mount("secret").await?; // with every secret in it
    /// assert!(!client.sys().mounts().await?.contains_key("secret/"));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`]; [`Code::IllegalSegment`]; [`Code::Indeterminate`].
    pub async fn disable_mount(self, path: &str) -> Result<()> {
        self.run(mounts::disable(Kind::Engine, &ApiPath::parse(path)?)).await
    }

    /// The auth methods, by their mounts with a slash behind them.
    ///
    /// End point: `GET sys/auth`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let methods = client.sys().auths().await?;
    /// assert_eq!(methods["token/"].kind, "token");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`].
    pub async fn auths(self) -> Result<BTreeMap<String, Mount>> {
        self.run(mounts::list(Kind::AuthMethod)).await
    }

    /// Mounts an auth method below `auth/`.
    ///
    /// End point: `POST sys/auth/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// use baokit_core::sys::MountConfig;
    ///
    /// client.sys().enable_auth("approle", &MountConfig::new("approle")).await?;
    /// assert!(client.sys().auths().await?.contains_key("approle/"));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Sys::enable_mount`].
    pub async fn enable_auth(self, path: &str, config: &MountConfig) -> Result<()> {
        self.run(mounts::enable(Kind::AuthMethod, &ApiPath::parse(path)?, config)?).await
    }

    /// Unmounts an auth method, and ends the tokens that it gave.
    ///
    /// End point: `DELETE sys/auth/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.sys().enable_auth("approle", &baokit_core::sys::MountConfig::new("approle")).await?;
    /// client.sys().disable_auth("approle").await?;
    /// assert!(!client.sys().auths().await?.contains_key("approle/"));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Sys::disable_mount`].
    pub async fn disable_auth(self, path: &str) -> Result<()> {
        self.run(mounts::disable(Kind::AuthMethod, &ApiPath::parse(path)?)).await
    }

    /// AppRole at a mount below `auth/`, `approle` by default in OpenBao.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// use baokit_core::sys::{MountConfig, Role};
    ///
    /// client.sys().enable_auth("approle", &MountConfig::new("approle")).await?;
    /// let app_role = client.sys().app_role("approle")?;
    /// app_role.put_role("app", &Role::new(["default"])).await?;
    /// let (role_id, secret_id) = (app_role.role_id("app").await?, app_role.secret_id("app").await?);
    /// # let _ = (role_id, secret_id);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::IllegalSegment`].
    pub fn app_role(self, mount: &str) -> Result<AppRole<'a, H>> {
        Ok(AppRole::new(self, ApiPath::parse(mount)?))
    }

    /// Wraps a JSON object for so long, in whole seconds, rounded up, above 0: whoever has the token can have the
    /// object once.
    ///
    /// End point: `POST sys/wrapping/wrap`. Standbys answer 500 to it, so it goes on to the leader.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// use std::time::Duration;
    ///
    /// let wrapped = client.sys().wrap(serde_json::json!({"pin": "1234"}), Duration::from_secs(60)).await?;
    /// let document = client.sys().unwrap(wrapped.token).await?; // once
    /// assert_eq!(document.expose()["data"]["pin"], "1234");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::InvalidValue`] where it is no object; [`Code::RequestRejected`] for a time of 0.
    pub async fn wrap(self, object: impl Into<SecretValue>, ttl: Duration) -> Result<Wrapped> {
        let object = object.into();
        if !object.expose().is_object() {
            return Err(Error::new(Code::InvalidValue).because("a JSON object is wrapped, no other value"));
        }
        require_depth(&object, MAX_DEPTH)?;
        self.run(sys::wrapping::wrap(&object, whole_seconds(ttl))?).await
    }

    /// What a wrapping token says of itself. It is not used up.
    ///
    /// End point: `POST sys/wrapping/lookup`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let ttl = std::time::Duration::from_secs(60);
    /// # let wrapped = client.sys().wrap(serde_json::json!({"pin": "1234"}), ttl).await?;
    /// let info = client.sys().wrapping_lookup(wrapped.token).await?;
    /// assert_eq!((info.creation_path.as_str(), info.creation_ttl), ("sys/wrapping/wrap", 60));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::WrappingTokenSpent`] where it was unwrapped, or its time is over.
    pub async fn wrapping_lookup(self, token: impl Into<SecretValue>) -> Result<WrappingInfo> {
        let token = token.into();
        self.run(sys::wrapping::lookup(&token)?).await
    }

    /// Another wrapping token in place of this one, with the same time to live.
    ///
    /// End point: `POST sys/wrapping/rewrap`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let ttl = std::time::Duration::from_secs(60);
    /// # let wrapped = client.sys().wrap(serde_json::json!({"pin": "1234"}), ttl).await?;
    /// let fresh = client.sys().rewrap(wrapped.token.clone()).await?;
    /// assert!(client.sys().unwrap(wrapped.token).await.is_err(), "the old one is spent");
    /// assert_eq!(client.sys().unwrap(fresh.token).await?.expose()["data"]["pin"], "1234");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Sys::wrapping_lookup`]; [`Code::Indeterminate`].
    pub async fn rewrap(self, token: impl Into<SecretValue>) -> Result<Wrapped> {
        let token = token.into();
        self.run(sys::wrapping::rewrap(&token)?).await
    }

    /// The answer that a wrapping token stands for, as the whole JSON document: what was wrapped is
    /// its `data`. It needs no other token, and can be had once.
    ///
    /// End point: `POST sys/wrapping/unwrap`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let ttl = std::time::Duration::from_secs(60);
    /// # let wrapped = client.sys().wrap(serde_json::json!({"pin": "1234"}), ttl).await?;
    /// use baokit_core::Code;
    ///
    /// let document = client.sys().unwrap(wrapped.token.clone()).await?;
    /// assert_eq!(document.expose()["data"]["pin"], "1234");
    /// let again = client.sys().unwrap(wrapped.token).await.unwrap_err();
    /// assert_eq!(again.code(), Code::WrappingTokenSpent);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Sys::wrapping_lookup`]: somebody else may have unwrapped it. [`Code::Indeterminate`] where
    /// the answer was lost, and what it held with it.
    pub async fn unwrap(self, token: impl Into<SecretValue>) -> Result<SecretValue> {
        let token = token.into();
        self.run(sys::wrapping::unwrap(&token)?).await
    }
}
