//! How the nodes are, and how they are opened and closed.

use super::Sys;
use crate::call::sys::{self, HaNode, Health, Initialization, InstalledVersion, Leader, SealStatus};
use crate::drive::Host;
use crate::error::Result;
use crate::secret::SecretValue;

impl<H: Host> Sys<'_, H> {
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
    /// Those of the network, such as [`ServerUnreachable`](crate::Code::ServerUnreachable), after one try, 5 s at most.
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
    /// As [`Sys::health`]; [`ServerSealed`](crate::Code::ServerSealed).
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
    /// [`PermissionDenied`](crate::Code::PermissionDenied).
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
    /// [`PermissionDenied`](crate::Code::PermissionDenied).
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
    /// [`RequestRejected`](crate::Code::RequestRejected) where it was initialised already, or for numbers that don't
    /// fit;
    /// [`Indeterminate`](crate::Code::Indeterminate) where the answer was lost: then nobody has the keys, and the node
    /// has
    /// to begin anew with empty storage. [`InvalidNode`](crate::Code::InvalidNode).
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
    /// [`RequestRejected`](crate::Code::RequestRejected) for what is no share, and where the shares do not fit;
    /// [`InvalidNode`](crate::Code::InvalidNode).
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
    /// [`InvalidNode`](crate::Code::InvalidNode).
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
    /// [`PermissionDenied`](crate::Code::PermissionDenied); [`Indeterminate`](crate::Code::Indeterminate);
    /// [`InvalidNode`](crate::Code::InvalidNode).
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
    /// [`PermissionDenied`](crate::Code::PermissionDenied); [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn step_down(self) -> Result<()> {
        self.run(sys::step_down()).await
    }
}
