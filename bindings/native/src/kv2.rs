//! The KVv2 engine at a mount, for code that names mount and path itself. Builders are awaited
//! directly: `client.kv2("secret").write("app/api", &data).cas(3).await?`.
//!
//! Lists and their pages are in [`crate::pages`].

mod builders;

use std::fmt;
use std::sync::Arc;

use baokit_core::{Entry, Kv2Config, Metadata, MetadataChange, ReadOptions, Result, Scan, SecretValue, Versions};

pub use self::builders::{Patch, Read, Subkeys, Write, WriteMetadata};
use crate::host::NativeHost;
use crate::pages::Pages;

type Core = Arc<baokit_core::Client<NativeHost>>;

/// The KVv2 engine at one mount. See [`Client::kv2`](crate::Client::kv2).
///
/// Versions count from 1. One that is 0 is an [`InvalidVersion`](crate::Code::InvalidVersion), and a mount or path
/// that a server or a proxy could read as another one an [`IllegalSegment`](crate::Code::IllegalSegment), both
/// before anything is sent.
///
/// Values come back as OpenBao stores them: as any JSON, with keys in another order than they were written, and
/// numbers as `float64`. So an integer beyond 2^53 that would come back as another one is refused before it is
/// written (write it as text); one that another client wrote was changed when it was stored, and nothing shows it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = baokit_devserver::DevServer::start().await?;
/// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
/// use baokit::MetadataChange;
/// use serde_json::json;
///
/// let kv2 = client.kv2("secret");
/// kv2.write("app/api", json!({"user": "api", "token": "one"})).cas(0).await?;
/// kv2.patch("app/api", json!({"token": "two"})).await?;
/// kv2.patch_metadata("app/api", MetadataChange::new().custom("owner", "payments")).await?;
///
/// let secret = kv2.read("app/api").await?;
/// assert_eq!(secret.expose(), &json!({"user": "api", "token": "two"}));
/// assert_eq!((secret.version(), secret.custom_metadata()["owner"].as_str()), (2, "payments"));
/// assert_eq!(kv2.subkeys("app/api").await?.expose(), &json!({"user": null, "token": null}));
///
/// kv2.delete("app/api", &[2]).await?;
/// assert_eq!(kv2.read("app/api").await.unwrap_err().code(), baokit::Code::SecretDeleted);
/// kv2.undelete("app/api", &[2]).await?;
/// kv2.destroy("app/api", &[1]).await?;
/// let metadata = kv2.metadata("app/api").await?;
/// assert!(metadata.versions().versions()[0].is_destroyed());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Kv2 {
    core: Core,
    mount: String,
}

impl Kv2 {
    pub(crate) fn new(core: Core, mount: String) -> Self {
        Self { core, mount }
    }

    /// Reads a secret; await it, or name a version first. End point: `GET mount/data/path`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// # kv2.write("app/api", serde_json::json!({"token": "one"})).await?;
    /// let newest = kv2.read("app/api").await?;
    /// let first = kv2.read("app/api").version(1).await?;
    /// assert_eq!(newest.expose(), first.expose());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Client::read_with`](crate::Client::read_with).
    #[must_use = "a read does nothing until it is awaited"]
    pub fn read(&self, path: impl Into<String>) -> Read {
        Read { kv2: self.clone(), path: path.into(), version: None, options: ReadOptions::new() }
    }

    /// The names of a secret's keys without their values: an object whose leaves are null; await it, or name a
    /// version or a depth first. End point: `GET mount/subkeys/path`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// use serde_json::json;
    ///
    /// kv2.write("app/api", json!({"user": "api", "keys": {"old": "1", "new": "2"}})).await?;
    /// assert_eq!(kv2.subkeys("app/api").depth(1).await?.expose(), &json!({"user": null, "keys": null}));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Client::read`](crate::Client::read).
    #[must_use = "a read does nothing until it is awaited"]
    pub fn subkeys(&self, path: impl Into<String>) -> Subkeys {
        Subkeys { read: self.read(path), depth: 0 }
    }

    /// Writes a whole secret; await it, or give the check-and-set parameter first. End point:
    /// `POST mount/data/path`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// let first = kv2.write("app/api", serde_json::json!({"token": "one"})).cas(0).await?;
    /// let second = kv2.write("app/api", serde_json::json!({"token": "two"})).cas(first.version()).await?;
    /// assert_eq!(second.version(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CasConflict`](crate::Code::CasConflict) where the newest version is another one;
    /// [`CasRequired`](crate::Code::CasRequired) of a mount or key that takes no write without;
    /// [`InvalidValue`](crate::Code::InvalidValue) and [`ValueTooLarge`](crate::Code::ValueTooLarge) as
    /// [`Client::write`](crate::Client::write); [`Indeterminate`](crate::Code::Indeterminate) where the write was
    /// sent and its outcome can't be known.
    #[must_use = "a write does nothing until it is awaited"]
    pub fn write(&self, path: impl Into<String>, data: impl Into<SecretValue>) -> Write {
        Write { kv2: self.clone(), path: path.into(), data: data.into(), cas: None }
    }

    /// Merges an object into the newest version (RFC 7396): a null takes its key away, an object is merged into
    /// the one that is there, everything else takes the place of what was there; await it, or give the
    /// check-and-set parameter first.
    ///
    /// End points: `GET` and `PATCH mount/data/path`. The newest version is read first, so that the patch can name
    /// it as its check-and-set parameter, one request more than without. Where the token lacks the capability
    /// `patch`, or the server the method, the merge is written by `POST` under the same parameter. Who may patch
    /// and not read sends it without.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// use serde_json::json;
    ///
    /// kv2.write("app/api", json!({"user": "api", "token": "one", "old": "x"})).await?;
    /// kv2.patch("app/api", json!({"token": "two", "old": null})).cas(1).await?;
    /// assert_eq!(kv2.read("app/api").await?.expose(), &json!({"user": "api", "token": "two"}));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Client::patch`](crate::Client::patch); [`CasConflict`](crate::Code::CasConflict) where the newest
    /// version is not the one that was given.
    #[must_use = "a patch does nothing until it is awaited"]
    pub fn patch(&self, path: impl Into<String>, changes: impl Into<SecretValue>) -> Patch {
        Patch { kv2: self.clone(), path: path.into(), changes: changes.into(), cas: None }
    }

    /// Deletes these versions, or the newest where none is named. Their data can be undeleted. End points:
    /// `POST mount/delete/path`, `DELETE mount/data/path`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// # kv2.write("app/api", serde_json::json!({})).await?;
    /// # kv2.write("app/api", serde_json::json!({})).await?;
    /// kv2.delete("app/api", &[1]).await?;
    /// kv2.delete("app/api", &[]).await?; // the newest, 2
    /// assert!(kv2.versions("app/api").await?.versions().iter().all(|version| version.deletion_time().is_some()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Client::delete`](crate::Client::delete).
    pub async fn delete(&self, path: &str, versions: &[u64]) -> Result<()> {
        self.core.kv2_delete(&self.mount, path, versions).await
    }

    /// Brings deleted versions back. What is not deleted, destroyed or not there is no error, as in OpenBao.
    ///
    /// End point: `POST mount/undelete/path`. It is sent once, since a late one would bring back what was deleted
    /// after it; a lost answer is a success where a version that this client has seen deleted is there again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// # kv2.write("app/api", serde_json::json!({})).await?;
    /// kv2.delete("app/api", &[1]).await?;
    /// kv2.undelete("app/api", &[1]).await?;
    /// assert_eq!(kv2.read("app/api").await?.version(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidVersion`](crate::Code::InvalidVersion) where no version is named;
    /// [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn undelete(&self, path: &str, versions: &[u64]) -> Result<()> {
        self.core.kv2_undelete(&self.mount, path, versions).await
    }

    /// Destroys the data of these versions for good. What is not there is no error, as in OpenBao.
    ///
    /// End point: `POST mount/destroy/path`, sent again where its answer is lost: twice is the same as once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// # kv2.write("app/api", serde_json::json!({})).await?;
    /// kv2.destroy("app/api", &[1]).await?;
    /// assert!(kv2.versions("app/api").await?.versions()[0].is_destroyed());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidVersion`](crate::Code::InvalidVersion) where no version is named;
    /// [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn destroy(&self, path: &str, versions: &[u64]) -> Result<()> {
        self.core.kv2_destroy(&self.mount, path, versions).await
    }

    /// Deletes a key with all its versions and its metadata, for good. What is not there is no error.
    ///
    /// End point: `DELETE mount/metadata/path`. It is sent once, since a late one would delete a key that was made
    /// anew.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// # kv2.write("app/api", serde_json::json!({})).await?;
    /// kv2.delete_key("app/api").await?;
    /// assert_eq!(kv2.metadata("app/api").await.unwrap_err().code(), baokit::Code::SecretNotFound);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::Code::PermissionDenied); [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn delete_key(&self, path: &str) -> Result<()> {
        self.core.kv2_delete_key(&self.mount, path).await
    }

    /// The versions of a secret, oldest first. End point: `GET mount/metadata/path`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// # kv2.write("app/api", serde_json::json!({})).await?;
    /// let versions = kv2.versions("app/api").await?;
    /// assert_eq!(versions.versions().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Client::versions`](crate::Client::versions).
    pub async fn versions(&self, path: &str) -> Result<Versions> {
        self.core.kv2_versions(&self.mount, path).await
    }

    /// The metadata of a secret: its versions, settings and `custom_metadata`. End point:
    /// `GET mount/metadata/path`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// # kv2.write("app/api", serde_json::json!({})).await?;
    /// let metadata = kv2.metadata("app/api").await?;
    /// println!("made {}, changed {}", metadata.created_time(), metadata.updated_time()); // RFC 3339
    /// assert!(metadata.custom_metadata().is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SecretNotFound`](crate::Code::SecretNotFound); [`PermissionDenied`](crate::Code::PermissionDenied).
    pub async fn metadata(&self, path: &str) -> Result<Metadata> {
        self.core.kv2_metadata(&self.mount, path).await
    }

    /// Writes metadata; await it, or give the check-and-set parameter first. `custom_metadata`, where the change
    /// names any, is replaced as a whole; settings that it does not name stay. A secret that is not there gets
    /// metadata without a version.
    ///
    /// End points: `GET` and `POST mount/metadata/path`, always under `metadata_cas`: where none is given, the
    /// version of the metadata is read first, and where another writer comes in between, it starts over.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// use std::time::Duration;
    /// use baokit::MetadataChange;
    ///
    /// let change = MetadataChange::new().max_versions(20).delete_version_after(Duration::from_secs(86_400));
    /// kv2.write_metadata("app/api", change).await?;
    /// assert_eq!(kv2.metadata("app/api").await?.max_versions(), 20);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CasConflict`](crate::Code::CasConflict) where the metadata is at another version than was given, or others
    /// came in between eight times; [`RequestRejected`](crate::Code::RequestRejected) for what is over OpenBao's
    /// limits ([`MetadataChange`]), before it is sent; [`NotSupported`](crate::Code::NotSupported) where none was given
    /// and the server does not say at which version its metadata is; [`Indeterminate`](crate::Code::Indeterminate).
    #[must_use = "a write does nothing until it is awaited"]
    pub fn write_metadata(&self, path: impl Into<String>, change: MetadataChange) -> WriteMetadata {
        WriteMetadata { kv2: self.clone(), path: path.into(), change, cas: None, merges: false }
    }

    /// Patches metadata: keys of `custom_metadata` that the change does not name stay as they are. Await it, or
    /// give the check-and-set parameter first.
    ///
    /// End points: `GET` and `PATCH mount/metadata/path`, `POST` where the token lacks the capability `patch`;
    /// under `metadata_cas` as [`Kv2::write_metadata`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// # kv2.write("app/api", serde_json::json!({})).await?;
    /// use baokit::MetadataChange;
    ///
    /// kv2.patch_metadata("app/api", MetadataChange::new().custom("owner", "payments")).await?;
    /// let seen = kv2.metadata("app/api").await?.versions().metadata_version().ok_or("the server does not say")?;
    /// kv2.patch_metadata("app/api", MetadataChange::new().remove_custom("owner")).cas(seen).await?;
    /// assert!(kv2.metadata("app/api").await?.custom_metadata().is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SecretNotFound`](crate::Code::SecretNotFound) where there is no metadata yet, and those of
    /// [`Kv2::write_metadata`].
    #[must_use = "a patch does nothing until it is awaited"]
    pub fn patch_metadata(&self, path: impl Into<String>, change: MetadataChange) -> WriteMetadata {
        WriteMetadata { kv2: self.clone(), path: path.into(), change, cas: None, merges: true }
    }

    /// What lies in a folder (`app/`; empty for the root), page by page. End point:
    /// `LIST mount/metadata/folder`, with `after` and `limit`. An empty folder is no error.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// let kv2 = client.kv2("secret");
    /// for path in ["app/api", "app/db/main", "app/db/spare"] {
    ///     kv2.write(path, serde_json::json!({})).await?;
    /// }
    /// let mut pages = kv2.list("app/")?.limit(1);
    /// assert_eq!(pages.next().await?.unwrap(), ["api"]);
    /// assert_eq!(pages.next().await?.unwrap(), ["db/"]);
    /// assert_eq!(pages.next().await?, None);
    /// assert_eq!(kv2.scan("app/").await?.keys, ["api", "db/main", "db/spare"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`IllegalSegment`](crate::Code::IllegalSegment); see [`Pages::next`] for those of its requests.
    pub fn list(&self, folder: &str) -> Result<Pages> {
        Ok(Pages::new(self.core.clone(), self.core.kv2_list(&self.mount, folder)?))
    }

    /// The same with the metadata of each key. End point: `LIST mount/detailed-metadata/folder`, with `after` and
    /// `limit`; a policy on `mount/metadata/…` does not allow it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// # kv2.write("app/api", serde_json::json!({})).await?;
    /// let mut pages = kv2.list_detailed("app/")?;
    /// for entry in pages.next().await?.unwrap_or_default() {
    ///     let newest = entry.metadata.map(|metadata| metadata.versions().current_version());
    ///     assert_eq!((entry.name.as_str(), newest), ("api", Some(1))); // none of a folder
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Kv2::list`].
    pub fn list_detailed(&self, folder: &str) -> Result<Pages<Entry>> {
        Ok(Pages::new(self.core.clone(), self.core.kv2_list_detailed(&self.mount, folder)?))
    }

    /// All keys below a folder, at any depth.
    ///
    /// End point: `SCAN mount/metadata/folder`, which takes the capability `scan`. Where that is missing, or the
    /// server does not know it, `LIST mount/metadata/…` goes from folder to folder, breadth first, through 100,000
    /// names and 64 levels at most, and within the one deadline.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// # kv2.write("app/db/main", serde_json::json!({})).await?;
    /// let found = kv2.scan("app/").await?;
    /// assert_eq!((found.keys, found.is_complete), (vec!["db/main".to_owned()], true));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::Code::PermissionDenied) where neither is allowed;
    /// [`DeadlineExceeded`](crate::Code::DeadlineExceeded).
    pub async fn scan(&self, folder: &str) -> Result<Scan> {
        self.core.kv2_scan(&self.mount, folder).await
    }

    /// The settings of the mount. End point: `GET mount/config`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// let config = kv2.config().await?;
    /// println!("{} versions, deleted after {} s", config.max_versions, config.delete_version_after);
    /// # assert_eq!(config, baokit::Kv2Config::default());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::Code::PermissionDenied); [`MountNotFound`](crate::Code::MountNotFound).
    pub async fn config(&self) -> Result<Kv2Config> {
        self.core.kv2_config(&self.mount).await
    }

    /// Writes the settings of the mount, all of them. End point: `POST mount/config`, sent once; a lost answer is
    /// a success where the settings are in place.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// let kv2 = client.kv2("secret");
    /// let mut config = kv2.config().await?;
    /// config.max_versions = 5;
    /// kv2.write_config(&config).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::Code::PermissionDenied); [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn write_config(&self, config: &Kv2Config) -> Result<()> {
        self.core.kv2_write_config(&self.mount, config).await
    }
}

impl fmt::Debug for Kv2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kv2").field("mount", &self.mount).finish_non_exhaustive()
    }
}
