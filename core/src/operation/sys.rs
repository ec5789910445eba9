//! What an operator does: see how the nodes are, open and close them, and set up what is mounted,
//! who may log in and what they may do.
//!
//! A call goes to any node of the client, as reads and writes do, or to the one that [`Sys::at`]
//! names. What concerns one node only (unsealing it, say) must name it, unless the client has just
//! one. A named node is the only one that is asked: no failover, and no redirect is followed.

mod access;
mod cluster;
mod leases;
mod mounts;
mod raft;
mod wrapping;

use std::fmt;

use super::Client;
use crate::call::Call;
use crate::config::Origin;
use crate::drive::Host;
use crate::error::{Code, Error, Result};
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
}
