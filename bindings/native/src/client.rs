//! The client as a Rust program sees it: core's operations on the native host. More of those on a URI are in
//! [`crate::manage`], [`crate::rotate`] and [`crate::watch`].

use std::fmt;
use std::sync::Arc;

use baokit_core::config::Settings;
use baokit_core::uri::Provider;
use baokit_core::{
    CacheMetrics, Change, ReadOptions, Renewal, Reply, Result, Secret, SecretUri, SecretValue, TokenInfo, Versions,
};

use crate::builder::Builder;
use crate::host::NativeHost;
use crate::kv2::Kv2;

/// The operator's calls of a [`Client`]; [`Client::sys`] has an example, and so has each call.
pub type Sys<'a> = baokit_core::Sys<'a, NativeHost>;

/// A client of one OpenBao cluster. Clones share the session: token, connections and limits.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = baokit_devserver::DevServer::start().await?;
/// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
/// # let client = builder.allowed_mounts(["secret"]).build()?;
/// let client = client.clone(); // shares everything
/// client.write("openbao+kv2://secret/app/api#token", "value").await?;
/// let task = tokio::spawn(async move { client.read("openbao+kv2://secret/app/api#token").await });
/// assert_eq!(task.await??.expose_str()?, "value");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) core: Arc<baokit_core::Client<NativeHost>>,
}

impl Client {
    /// A client with the settings of the environment: `OPENBAO_URL` and `OPENBAO_TOKEN` (or
    /// `OPENBAO_ROLE_ID` and `OPENBAO_SECRET_ID`), else the same with `BAO_` or `VAULT_`, and
    /// `TENANT_ALLOWED_MOUNTS`. [`baokit_core::config`] lists all keys with their units, defaults and bounds.
    ///
    /// Sends nothing: the first operation logs in.
    ///
    /// ```
    /// match baokit::Client::from_env() {
    ///     Ok(client) => println!("{} nodes", client.settings().nodes().len()),
    ///     Err(error) => eprintln!("{error}"), // MISSING_SETTING: OPENBAO_URL; set the key that is named
    /// }
    /// ```
    ///
    /// # Errors
    /// [`crate::Code::MissingSetting`], [`crate::Code::InvalidSetting`]; each names the key.
    pub fn from_env() -> Result<Self> {
        Self::builder_from_env().build()
    }

    /// The settings of the environment, to be completed or overruled in code.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let client = baokit::Client::builder_from_env()
    ///     .url("https://openbao.internal:8200")
    ///     .kubernetes("app") // instead of a token or AppRole of the environment
    ///     .deadline(Duration::from_secs(10))
    ///     .build();
    /// # let _ = client;
    /// ```
    pub fn builder_from_env() -> Builder {
        Builder::from_env(Provider::OpenBao)
    }

    /// A client whose settings are given in code; see [`Builder`].
    pub fn builder() -> Builder {
        Builder::new(Provider::OpenBao)
    }

    /// A client with these settings. What they warn of is logged.
    ///
    /// ```
    /// use baokit::{Client, Credential, Provider, Settings};
    ///
    /// # fn main() -> baokit::Result<()> {
    /// let settings = Settings::builder(Provider::OpenBao)
    ///     .urls(["https://openbao.internal:8200"])
    ///     .credential(Credential::token("hvs.example"))
    ///     .build()?;
    /// let client = Client::new(settings)?;
    /// assert!(client.settings().warnings().is_empty());
    /// # Ok(())
    /// # }
    /// ```
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
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// # client.write("openbao+kv2://secret/app/api", serde_json::json!({"token": "value"})).await?;
    /// let secret = client.read("openbao+kv2://secret/app/api").await?;
    /// assert_eq!(secret.expose()["token"], "value");
    /// let token = client.read("openbao+kv2://secret/app/api?version=1#token").await?;
    /// assert_eq!((token.expose_str()?, token.version()), ("value", 1));
    /// # Ok(())
    /// # }
    /// ```
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
    /// End point: `GET mount/data/path`, and those of [`ReadOptions::strong`] where its answer does not meet the
    /// demands.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// use baokit::ReadOptions;
    ///
    /// let uri = "openbao+kv2://secret/app/api";
    /// # let told = client.write(uri, serde_json::json!({})).await?.new_version;
    /// // Another process said which version it wrote.
    /// let secret = client.read_with(uri, ReadOptions::new().min_version(told)).await?;
    /// assert!(secret.version() >= told);
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
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # use std::time::Duration;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let builder = builder.allowed_mounts(["secret"]);
    /// let client = builder.cache(baokit::CacheConfig::new(Duration::from_secs(60))).build()?;
    /// client.write("openbao+kv2://secret/app/api#token", "value").await?;
    /// for _ in 0..3 {
    ///     client.read("openbao+kv2://secret/app/api#token").await?;
    /// }
    /// assert_eq!((client.cache_metrics().misses, client.cache_metrics().hits), (1, 2));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn cache_metrics(&self) -> CacheMetrics {
        self.core.cache_metrics()
    }

    /// Writes a new version: the whole secret (a JSON object), or with a fragment that key alone.
    ///
    /// It reads the current version first and writes with it as the check-and-set parameter, so
    /// that an answer that was lost can't become a second version. Where another writer comes in
    /// between, it starts over, eight times at most: the last write wins, and no other key is lost.
    ///
    /// End points: `GET` and `POST mount/data/path`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// let uri = "openbao+kv2://secret/app/api";
    /// client.write(uri, serde_json::json!({"user": "api", "token": "one"})).await?;
    /// let change = client.write("openbao+kv2://secret/app/api#token", "two").await?;
    /// assert_eq!((change.old_version, change.new_version), (1, 2));
    /// assert_eq!(client.read(uri).await?.expose()["user"], "api");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidValue`](crate::Code::InvalidValue) for a whole secret that is no object, a value that is nested
    /// deeper than [`MAX_DEPTH`](crate::MAX_DEPTH) levels, or an integer beyond 2^53 that OpenBao would change;
    /// [`ValueTooLarge`](crate::Code::ValueTooLarge); [`VersionNotAllowed`](crate::Code::VersionNotAllowed);
    /// [`CasConflict`](crate::Code::CasConflict) where others came in between each time;
    /// [`Indeterminate`](crate::Code::Indeterminate) where the write was sent and its outcome is
    /// not known.
    pub async fn write(&self, uri: impl AsRef<str>, value: impl Into<SecretValue>) -> Result<Change> {
        self.core.write(uri.as_ref(), value).await
    }

    /// Deletes the newest version, or the one that `?version=` pins. Its data can be undeleted.
    ///
    /// End points: `DELETE mount/data/path`, `POST mount/delete/path`. Deleting what is not there
    /// is no error, as in OpenBao.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// use baokit::Code;
    ///
    /// let uri = "openbao+kv2://secret/app/api";
    /// client.write(uri, serde_json::json!({"token": "one"})).await?;
    /// client.delete(uri).await?;
    /// assert_eq!(client.read(uri).await.unwrap_err().code(), Code::SecretDeleted);
    /// client.undelete(uri, &[1]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`FragmentNotAllowed`](crate::Code::FragmentNotAllowed);
    /// [`Indeterminate`](crate::Code::Indeterminate) where the deletion of the newest version was
    /// sent and not answered.
    pub async fn delete(&self, uri: impl AsRef<str>) -> Result<()> {
        self.core.delete(uri.as_ref()).await
    }

    /// The versions of a secret that OpenBao still knows, oldest first, without their data.
    ///
    /// End point: `GET mount/metadata/path`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// # client.write("openbao+kv2://secret/app/api#token", "one").await?;
    /// let versions = client.versions("openbao+kv2://secret/app/api").await?;
    /// for version in versions.versions() {
    ///     println!("{} of {}, deleted: {:?}", version.version(), version.created_time(), version.deletion_time());
    /// }
    /// assert_eq!(versions.current_version(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SecretNotFound`](crate::Code::SecretNotFound);
    /// [`FragmentNotAllowed`](crate::Code::FragmentNotAllowed).
    pub async fn versions(&self, uri: impl AsRef<str>) -> Result<Versions> {
        self.core.versions(uri.as_ref()).await
    }

    /// The KVv2 engine at a mount, below the level of URIs and of the tenant guard. Sends nothing; an illegal mount
    /// is refused by the first call, with [`IllegalSegment`](crate::Code::IllegalSegment).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// let secrets = client.kv2("secret");
    /// secrets.write("app/api", serde_json::json!({"token": "one"})).await?;
    /// assert_eq!(secrets.read("app/api").await?.version(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn kv2(&self, mount: impl Into<String>) -> Kv2 {
        Kv2::new(self.core.clone(), mount.into())
    }

    /// What an operator does: the state of the nodes, unsealing, the Raft cluster, mounts, policies,
    /// AppRole.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// for node in client.settings().nodes() {
    ///     let health = client.sys().at(node.as_str())?.health().await?;
    ///     println!("{node}: version {}, sealed: {}", health.version, health.sealed);
    /// }
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
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// # client.sys().enable_mount("database", &baokit::sys::MountConfig::new("kv")).await?;
    /// # client.request("POST", "database/creds/app", Some(serde_json::json!({"username": "v-1"}).into())).await?;
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
    /// read as another one; [`NotSupported`](crate::Code::NotSupported) for a method other than `GET`, `LIST`,
    /// `POST`, `PUT`, `PATCH` and `DELETE`; [`Indeterminate`](crate::Code::Indeterminate) where one that changes
    /// something was sent and not answered; [`NotFound`](crate::Code::NotFound),
    /// [`PermissionDenied`](crate::Code::PermissionDenied),
    /// [`RequestRejected`](crate::Code::RequestRejected) as OpenBao answers.
    pub async fn request(&self, method: &str, path: &str, body: Option<SecretValue>) -> Result<Reply> {
        self.core.request(method, path, body.as_ref()).await.map(Reply::from)
    }

    /// What OpenBao says of the client's own token. A token that counts its uses loses one.
    ///
    /// End point: `GET auth/token/lookup-self`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// let token = client.lookup_self().await?;
    /// println!("{:?}, for {} s", token.policies(), token.ttl()); // 0 s: without an end
    /// assert_eq!(token.policies(), ["root"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::Code::PermissionDenied) where the token lacks the default policy.
    pub async fn lookup_self(&self) -> Result<TokenInfo> {
        self.core.lookup_self().await
    }

    /// Renews the client's token by so many seconds, or by its own period. The client does so by itself, see
    /// [`Builder::renewal_threshold`].
    ///
    /// End point: `POST auth/token/renew-self`. The increment is the new rest of the lease: a small
    /// one shortens it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let root = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let body = serde_json::json!({"ttl": "1h"}).into();
    /// # let made = root.request("POST", "auth/token/create", Some(body)).await?;
    /// # let token = made.expose()["auth"]["client_token"].as_str().unwrap();
    /// # let client = baokit::Client::builder().url(server.url()).token(token).build()?;
    /// let renewal = client.renew_self(Some(1800)).await?; // half an hour from now
    /// assert_eq!(renewal.lease_duration(), 1800);
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// client.close();
    /// let error = client.read("openbao+kv2://secret/app/api").await.unwrap_err();
    /// assert_eq!(error.code(), baokit::Code::ClientClosed);
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&self) {
        self.core.close();
    }

    /// Revokes the client's own token, where it has one, and closes the client as [`Client::close`] does.
    ///
    /// End point: `POST auth/token/revoke-self`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let root = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let made = root.request("POST", "auth/token/create", None).await?;
    /// # let token = made.expose()["auth"]["client_token"].as_str().unwrap();
    /// # let client = baokit::Client::builder().url(server.url()).token(token).build()?;
    /// client.revoke_self().await?;
    /// assert_eq!(client.lookup_self().await.unwrap_err().code(), baokit::Code::ClientClosed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the network; the client is closed all the same, and the token ends with its lease.
    pub async fn revoke_self(&self) -> Result<()> {
        self.core.revoke_self().await
    }

    /// The settings that the client was made with.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// assert_eq!(client.settings().deadline().as_secs(), 30);
    /// assert!(client.settings().credential().is_none(), "the client holds the only copy");
    /// # Ok(())
    /// # }
    /// ```
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
