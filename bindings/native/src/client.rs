//! The client as a Rust program sees it: core's operations on the native host. More of those on a URI are in
//! [`crate::manage`].

use std::fmt;
use std::sync::Arc;

use baokit_core::config::Settings;
use baokit_core::uri::Provider;
use baokit_core::{
    Apply, CacheMetrics, Change, ReadOptions, Renewal, Reply, Result, Rotated, Rotation, Secret, SecretUri,
    SecretValue, TokenInfo, Versions,
};

use crate::builder::Builder;
use crate::host::NativeHost;
use crate::kv2::Kv2;
use crate::watch::Watch;

/// The operator's calls of a [`Client`].
pub type Sys<'a> = baokit_core::Sys<'a, NativeHost>;

/// A client of one OpenBao cluster. Clones share the session: token, connections and limits.
#[derive(Clone)]
pub struct Client {
    pub(crate) core: Arc<baokit_core::Client<NativeHost>>,
}

impl Client {
    /// A client with the settings of the environment: `OPENBAO_URL` and `OPENBAO_TOKEN` (or
    /// `OPENBAO_ROLE_ID` and `OPENBAO_SECRET_ID`), else the same with `BAO_` or `VAULT_`, and
    /// `TENANT_ALLOWED_MOUNTS`. [`baokit_core::config`] lists all keys.
    ///
    /// Sends nothing: the first operation logs in.
    ///
    /// # Errors
    /// [`crate::Code::MissingSetting`], [`crate::Code::InvalidSetting`]; each names the key.
    pub fn from_env() -> Result<Self> {
        Self::builder_from_env().build()
    }

    /// The settings of the environment, to be completed or overruled in code.
    pub fn builder_from_env() -> Builder {
        Builder::from_env(Provider::OpenBao)
    }

    /// A client whose settings are given in code.
    pub fn builder() -> Builder {
        Builder::new(Provider::OpenBao)
    }

    /// A client with these settings. What they warn of is logged.
    ///
    /// # Errors
    /// [`crate::Code::InvalidSetting`] where a certificate or key can't be read or used.
    pub fn new(settings: Settings) -> Result<Self> {
        for warning in settings.warnings() {
            tracing::warn!(code = warning.code().as_str(), "{}", warning.text());
        }
        let host = NativeHost::new(&settings)?;
        Ok(Self { core: Arc::new(baokit_core::Client::new(host, settings)) })
    }

    /// Reads a secret, or one key of it where the URI has a fragment; the newest version, or the
    /// one that `?version=` pins.
    ///
    /// End point: `GET mount/data/path`.
    ///
    /// # Errors
    /// [`SecretNotFound`](crate::Code::SecretNotFound),
    /// [`SecretDeleted`](crate::Code::SecretDeleted),
    /// [`FragmentNotFound`](crate::Code::FragmentNotFound); of a pinned version
    /// [`VersionNotFound`](crate::Code::VersionNotFound),
    /// [`VersionDeleted`](crate::Code::VersionDeleted),
    /// [`VersionDestroyed`](crate::Code::VersionDestroyed).
    pub async fn read(&self, uri: impl AsRef<str>) -> Result<Secret> {
        self.core.read(uri.as_ref()).await
    }

    /// Reads a secret as [`Client::read`] does, with more demands on what it is shown.
    ///
    /// ```no_run
    /// # async fn example(client: baokit::Client) -> baokit::Result<()> {
    /// use baokit::ReadOptions;
    ///
    /// // Another process said that it wrote version 7.
    /// let options = ReadOptions::new().min_version(7);
    /// let secret = client.read_with("openbao+kv2://secret/app/api", options).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::read`], and [`StaleRead`](crate::Code::StaleRead) where the demands can't be
    /// met before the deadline.
    pub async fn read_with(&self, uri: impl AsRef<str>, options: ReadOptions) -> Result<Secret> {
        self.core.read_with(uri.as_ref(), options).await
    }

    /// Reads as [`Client::read_with`] does, what was parsed before: for a URI that is read again and again.
    ///
    /// ```
    /// # async fn served() -> (baokit_devserver::DevServer, baokit::Client) {
    /// #     let server = baokit_devserver::DevServer::start().await.unwrap();
    /// #     let client = baokit::Client::builder().url(server.url()).token("root").allowed_mounts(["secret"]);
    /// #     let cache = baokit::CacheConfig::new(std::time::Duration::from_secs(60));
    /// #     (server, client.cache(cache).build().unwrap())
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> baokit::Result<()> {
    /// use baokit::{ReadOptions, SecretUri};
    ///
    /// # let (_server, client) = served().await; // its cache is on
    /// # client.write("openbao+kv2://secret/app/api#token", "value").await?;
    /// let uri = SecretUri::parse("openbao+kv2://secret/app/api#token")?;
    /// client.read_uri(&uri, ReadOptions::new()).await?;
    /// client.read_uri(&uri, ReadOptions::new()).await?;
    /// assert_eq!((client.cache_metrics().misses, client.cache_metrics().hits), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::read_with`].
    pub async fn read_uri(&self, uri: &SecretUri, options: ReadOptions) -> Result<Secret> {
        self.core.read_uri(uri, options).await
    }

    /// What the cache did, and what it holds; all zeros where [`Builder::cache`] has not turned it on.
    #[must_use]
    pub fn cache_metrics(&self) -> CacheMetrics {
        self.core.cache_metrics()
    }

    /// Writes a new version: the whole secret (a JSON object), or with a fragment that key alone.
    ///
    /// It reads the current version first and writes with it as the check-and-set parameter, so
    /// that an answer that was lost can't become a second version. Where another writer comes in
    /// between, it starts over: the last write wins, and no other key is lost.
    ///
    /// End points: `GET` and `POST mount/data/path`.
    ///
    /// # Errors
    /// [`InvalidValue`](crate::Code::InvalidValue) for a whole secret that is no object;
    /// [`Indeterminate`](crate::Code::Indeterminate) where the write was sent and its outcome is
    /// not known.
    pub async fn write(&self, uri: impl AsRef<str>, value: impl Into<SecretValue>) -> Result<Change> {
        self.core.write(uri.as_ref(), value).await
    }

    /// Replaces a value: like [`Client::write`], but where another writer comes in between it
    /// stops, since two rotations of one credential must not both count as done.
    ///
    /// End points: `GET` and `POST mount/data/path`.
    ///
    /// # Errors
    /// Those of [`Client::write`], and [`CasConflict`](crate::Code::CasConflict).
    pub async fn rotate(&self, uri: impl AsRef<str>, value: impl Into<SecretValue>) -> Result<Change> {
        self.core.rotate(uri.as_ref(), value).await
    }

    /// A new rotation that any process can resume by its operation id, for [`Client::rotate_with`]: to a
    /// generated value of 32 letters and digits unless something else is said.
    pub fn rotation(&self) -> Rotation {
        self.core.rotation()
    }

    /// A rotation that was begun before, by this process or another: it goes on from what the server holds,
    /// and does nothing where it is over. It takes the lease at once: whoever resumes a rotation says that
    /// the process that was at work on it is gone.
    ///
    /// Say again what it rotates to (a value, a generator, how to make the secret): a value that was not
    /// written before is given or made anew.
    pub fn resume_rotation(&self, operation_id: impl Into<String>) -> Rotation {
        self.core.resume_rotation(operation_id)
    }

    /// Carries a rotation out: exactly one new version, however often it is cut off and resumed.
    ///
    /// The intent is recorded in the secret's `custom_metadata` before anything is changed, and the end
    /// afterwards. Where the token may not change the metadata, the rotation is carried out without a record,
    /// and the result says so.
    ///
    /// ```no_run
    /// # async fn example(client: baokit::Client) -> baokit::Result<()> {
    /// # fn keep(_: &str) {}
    /// let uri = "openbao+kv2://secret/app/api#token";
    /// let rotation = client.rotation(); // to 32 letters and digits
    /// keep(rotation.operation_id());
    /// let done = client.rotate_with(uri, &rotation).await?;
    /// println!("{} -> {}", done.old_version, done.new_version);
    ///
    /// // After a crash, in any process: makes no second version.
    /// client.rotate_with(uri, &client.resume_rotation(done.operation_id)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// End points: `GET` and `POST mount/metadata/path`, `GET` and `POST mount/data/path`.
    ///
    /// # Errors
    /// [`RotationInProgress`](crate::Code::RotationInProgress) where another process is at work on one;
    /// [`CasConflict`](crate::Code::CasConflict) where a writer came in between, who did not ask;
    /// [`RotationUnknown`](crate::Code::RotationUnknown) where the one to be resumed is not the last one of the
    /// secret; [`Indeterminate`](crate::Code::Indeterminate) where the outcome is not known: resume it.
    pub async fn rotate_with(&self, uri: impl AsRef<str>, rotation: &Rotation) -> Result<Rotated> {
        self.core.rotate_with(uri.as_ref(), rotation).await
    }

    /// The same along with something outside OpenBao, such as a database's password; see [`Apply`]. All steps
    /// together have the client's deadline: where applying and testing take longer, they are undone.
    ///
    /// ```no_run
    /// use baokit::{Apply, ApplyError, Secret, SecretValue};
    ///
    /// struct Database;
    ///
    /// impl Apply for Database {
    ///     async fn apply(&self, old: Option<&Secret>, new: &SecretValue) -> Result<(), ApplyError> {
    ///         // ALTER ROLE …
    ///         Ok(())
    ///     }
    ///
    ///     async fn test(&self, new: &SecretValue) -> Result<(), ApplyError> {
    ///         Err(ApplyError::new("the new password does not let anybody in"))
    ///     }
    ///
    ///     async fn undo(&self, old: Option<&Secret>, new: &SecretValue) -> Result<(), ApplyError> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # async fn example(client: baokit::Client) -> baokit::Result<()> {
    /// let uri = "openbao+kv2://secret/app/database#password";
    /// client.rotate_applied(uri, &client.rotation(), &Database).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The program `rotate-postgres` among the examples does it for real, with [`Rotation::make`] for a secret
    /// that names one of two database users in turn.
    ///
    /// # Errors
    /// Those of [`Client::rotate_with`]; [`RotationFailed`](crate::Code::RotationFailed) where a step outside
    /// failed; [`PermissionDenied`](crate::Code::PermissionDenied) where the token may not change the metadata or
    /// the stage, without which nothing outside is touched.
    pub async fn rotate_applied<A: Apply>(
        &self,
        uri: impl AsRef<str>,
        rotation: &Rotation,
        apply: &A,
    ) -> Result<Rotated> {
        self.core.rotate_applied(uri.as_ref(), rotation, apply).await
    }

    /// Deletes the newest version, or the one that `?version=` pins. Its data can be undeleted.
    ///
    /// End points: `DELETE mount/data/path`, `POST mount/delete/path`. Deleting what is not there
    /// is no error, as in OpenBao.
    ///
    /// # Errors
    /// [`FragmentNotAllowed`](crate::Code::FragmentNotAllowed);
    /// [`Indeterminate`](crate::Code::Indeterminate) where the deletion of the newest version was
    /// sent and not answered.
    pub async fn delete(&self, uri: impl AsRef<str>) -> Result<()> {
        self.core.delete(uri.as_ref()).await
    }

    /// The versions of a secret, oldest first, without their data.
    ///
    /// End point: `GET mount/metadata/path`.
    ///
    /// # Errors
    /// [`SecretNotFound`](crate::Code::SecretNotFound);
    /// [`FragmentNotAllowed`](crate::Code::FragmentNotAllowed).
    pub async fn versions(&self, uri: impl AsRef<str>) -> Result<Versions> {
        self.core.versions(uri.as_ref()).await
    }

    /// Watches a secret: its new versions one after the other, found by looking at its metadata from time to
    /// time. All who watch a secret through clones of one client share each look.
    ///
    /// ```no_run
    /// # async fn example(client: baokit::Client) -> baokit::Result<()> {
    /// use baokit::ReadOptions;
    ///
    /// let uri = "openbao+kv2://secret/app/api";
    /// let mut watch = client.watch(uri)?;
    /// loop {
    ///     let version = watch.next().await?.version();
    ///     let secret = client.read_with(uri, ReadOptions::new().min_version(version)).await?;
    ///     println!("version {} is there", secret.version());
    /// }
    /// # }
    /// ```
    ///
    /// End point: `GET mount/metadata/path`, every 30 s unless [`Watch::every`] says something else.
    ///
    /// # Errors
    /// Those of the URI and of the tenant guard;
    /// [`VersionNotAllowed`](crate::Code::VersionNotAllowed) for one that pins a version, which never
    /// changes, and [`FragmentNotAllowed`](crate::Code::FragmentNotAllowed), since a version is of the whole
    /// secret.
    pub fn watch(&self, uri: impl AsRef<str>) -> Result<Watch> {
        Ok(Watch::new(self.core.clone(), self.core.watch(uri.as_ref())?))
    }

    /// The KVv2 engine at a mount, below the level of URIs and of the tenant guard.
    #[must_use]
    pub fn kv2(&self, mount: impl Into<String>) -> Kv2 {
        Kv2::new(self.core.clone(), mount.into())
    }

    /// What an operator does: the state of the nodes, unsealing, the Raft cluster, mounts, policies,
    /// AppRole.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = baokit::Client::builder_from_env().build()?;
    /// for node in client.settings().nodes() {
    ///     let health = client.sys().at(node.as_str())?.health().await?;
    ///     println!("{node}: version {}, sealed: {}", health.version, health.sealed);
    /// }
    /// client.sys().raft().snapshot(std::fs::File::create("openbao.snapshot")?).await?.sync_all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sys(&self) -> Sys<'_> {
        self.core.sys()
    }

    /// Sends a request that baokit does not model, with the same failover, retry and redaction.
    /// `LIST` is a method here as in OpenBao.
    ///
    /// The answer is the whole JSON document, null where the server sends none, with the lease that may be in
    /// it. Only `GET` and `LIST` are sent again after a try that may have been executed.
    ///
    /// ```no_run
    /// # async fn example(client: baokit::Client) -> baokit::Result<()> {
    /// let user = client.request("GET", "database/creds/app", None).await?;
    /// println!("{} for {} s", user.expose()["data"]["username"], user.lease_duration());
    /// if let Some(lease) = user.lease_id() {
    ///     client.sys().renew_lease(lease, None).await?;
    ///     client.sys().revoke_lease(lease).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`IllegalSegment`](crate::Code::IllegalSegment) for a path that a server or a proxy could
    /// read as another one; [`NotFound`](crate::Code::NotFound),
    /// [`PermissionDenied`](crate::Code::PermissionDenied),
    /// [`RequestRejected`](crate::Code::RequestRejected) as OpenBao answers.
    pub async fn request(&self, method: &str, path: &str, body: Option<SecretValue>) -> Result<Reply> {
        self.core.request(method, path, body.as_ref()).await.map(Reply::from)
    }

    /// What OpenBao says of the client's own token. A token that counts its uses loses one.
    ///
    /// End point: `GET auth/token/lookup-self`.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::Code::PermissionDenied) where the token lacks the default policy.
    pub async fn lookup_self(&self) -> Result<TokenInfo> {
        self.core.lookup_self().await
    }

    /// Renews the client's token by so many seconds, or by its own period.
    ///
    /// End point: `POST auth/token/renew-self`. The increment is the new rest of the lease: a small
    /// one shortens it.
    ///
    /// # Errors
    /// [`RequestRejected`](crate::Code::RequestRejected) where the token can't be renewed.
    pub async fn renew_self(&self, increment: Option<u64>) -> Result<Renewal> {
        self.core.renew_self(increment).await
    }

    /// Wipes token and credential. Later operations, of any clone, fail with
    /// [`ClientClosed`](crate::Code::ClientClosed).
    ///
    /// Nothing more is sent for those under way: one whose answer arrives still gets it, the others
    /// end with `ClientClosed`, or with [`Indeterminate`](crate::Code::Indeterminate) where a change
    /// may have been carried out.
    pub fn close(&self) {
        self.core.close();
    }

    /// Revokes the client's own token, where it has one, and closes the client as [`Client::close`] does.
    ///
    /// End point: `POST auth/token/revoke-self`.
    ///
    /// # Errors
    /// Those of the network; the client is closed all the same, and the token ends with its lease.
    pub async fn revoke_self(&self) -> Result<()> {
        self.core.revoke_self().await
    }

    /// The settings that the client was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.core.settings()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("nodes", &self.settings().nodes()).finish_non_exhaustive()
    }
}
