//! More operations on a URI: patch, undelete, destroy, metadata, owner, list, search, copy and move.

use baokit_core::{Change, Copied, Metadata, Result, Search, SecretValue};

use crate::client::Client;
use crate::pages::Pages;

impl Client {
    /// Merges a value into the newest version (RFC 7396): an object into the whole secret, or with a fragment any
    /// value into that key. A null takes its key away, an object is merged into the one that is there, everything
    /// else takes the place of what was there.
    ///
    /// End points: `GET` and `PATCH mount/data/path`. The newest version is read first, one request more than a
    /// patch takes, so that the patch can name it as its check-and-set parameter: a lost answer can't become a
    /// second version, and where another writer comes in between, it starts over, eight times at most. Where the
    /// token lacks the capability `patch`, or the server the method, the merge is written by `POST` under the same
    /// parameter. Who may patch and not read sends it without.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// use serde_json::json;
    ///
    /// let uri = "openbao+kv2://secret/app/api";
    /// client.write(uri, json!({"token": "one", "old": "x"})).await?;
    /// client.patch(uri, json!({"token": "two", "old": null})).await?;
    /// assert_eq!(client.read(uri).await?.expose(), &json!({"token": "two"}));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SecretNotFound`](crate::Code::SecretNotFound), [`SecretDeleted`](crate::Code::SecretDeleted),
    /// [`SecretDestroyed`](crate::Code::SecretDestroyed), and those of [`Client::write`].
    pub async fn patch(&self, uri: impl AsRef<str>, changes: impl Into<SecretValue>) -> Result<Change> {
        self.core.patch(uri.as_ref(), changes).await
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
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// let uri = "openbao+kv2://secret/app/api";
    /// let version = client.write(uri, serde_json::json!({"token": "one"})).await?.new_version;
    /// client.delete(uri).await?;
    /// client.undelete(uri, &[version]).await?;
    /// assert_eq!(client.read(uri).await?.version(), version);
    /// client.destroy(uri, &[version]).await?; // for good
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidVersion`](crate::Code::InvalidVersion) where no version is named;
    /// [`FragmentNotAllowed`](crate::Code::FragmentNotAllowed);
    /// [`VersionNotAllowed`](crate::Code::VersionNotAllowed), since they are named beside the URI;
    /// [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn undelete(&self, uri: impl AsRef<str>, versions: &[u64]) -> Result<()> {
        self.core.undelete(uri.as_ref(), versions).await
    }

    /// Destroys the data of these versions for good. What is not there is no error, as in OpenBao.
    ///
    /// End point: `POST mount/destroy/path`, sent again where its answer is lost: twice is the same as once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// let uri = "openbao+kv2://secret/app/api";
    /// client.write(uri, serde_json::json!({"token": "one"})).await?;
    /// client.destroy(uri, &[1]).await?;
    /// assert_eq!(client.read(uri).await.unwrap_err().code(), baokit::Code::SecretDestroyed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Client::undelete`].
    pub async fn destroy(&self, uri: impl AsRef<str>, versions: &[u64]) -> Result<()> {
        self.core.destroy(uri.as_ref(), versions).await
    }

    /// The metadata of a secret: its versions, settings and `custom_metadata`, of a secret that has no version left
    /// as well.
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
    /// let metadata = client.metadata("openbao+kv2://secret/app/api").await?;
    /// assert_eq!((metadata.versions().current_version(), metadata.max_versions()), (1, 0)); // 0: as the mount says
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SecretNotFound`](crate::Code::SecretNotFound); [`PermissionDenied`](crate::Code::PermissionDenied);
    /// [`FragmentNotAllowed`](crate::Code::FragmentNotAllowed);
    /// [`VersionNotAllowed`](crate::Code::VersionNotAllowed).
    pub async fn metadata(&self, uri: impl AsRef<str>) -> Result<Metadata> {
        self.core.metadata(uri.as_ref()).await
    }

    /// Says whose a secret is: `owner` in its `custom_metadata`, whose other keys stay as they are.
    ///
    /// End points: `GET` and `PATCH mount/metadata/path`, `POST` where the token lacks the capability `patch`; under
    /// `metadata_cas`, and from anew where another writer comes in between.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// let uri = "openbao+kv2://secret/app/api";
    /// client.write(uri, serde_json::json!({})).await?;
    /// client.set_owner(uri, "payments").await?;
    /// assert_eq!(client.metadata(uri).await?.custom_metadata()["owner"], "payments");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RequestRejected`](crate::Code::RequestRejected) where the owner is empty or longer than 512 bytes;
    /// [`NotSupported`](crate::Code::NotSupported) where the server does not say at which version its metadata is;
    /// [`Indeterminate`](crate::Code::Indeterminate), and those of [`Client::metadata`].
    pub async fn set_owner(&self, uri: impl AsRef<str>, owner: &str) -> Result<()> {
        self.core.set_owner(uri.as_ref(), owner).await
    }

    /// What lies in a folder (`openbao+kv2://secret/app/`), page by page. An empty folder is no error.
    ///
    /// End point: `LIST mount/metadata/folder`, with `after` and `limit`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// # client.write("openbao+kv2://secret/app/api#token", "one").await?;
    /// let mut pages = client.list("openbao+kv2://secret/app/")?.limit(100);
    /// while let Some(names) = pages.next().await? {
    ///     assert_eq!(names, ["api"]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of a URI that is none, and [`TenantMountMismatch`](crate::Code::TenantMountMismatch); see
    /// [`Pages::next`] for those of its requests.
    pub fn list(&self, prefix: impl AsRef<str>) -> Result<Pages> {
        Ok(Pages::new(self.core.clone(), self.core.list(prefix.as_ref())?))
    }

    /// The secrets below a prefix that have this text in their path below it, or in `owner` of their
    /// `custom_metadata`; upper and lower case are the same. An empty text finds all.
    ///
    /// End points: `SCAN mount/detailed-metadata/folder`, one request, which takes the capability `scan` there. Else
    /// the keys are found as [`Kv2::scan`](crate::Kv2::scan) does, and `GET mount/metadata/path` tells the owners of
    /// those whose path does not have the text, of 1000 secrets at most.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// client.write("openbao+kv2://secret/app/api", serde_json::json!({})).await?;
    /// let mut pages = client.list("openbao+kv2://secret/app/")?;
    /// assert_eq!(pages.next().await?.unwrap(), ["api"]);
    /// let found = client.search("openbao+kv2://secret/", "API").await?;
    /// assert_eq!(found.uris[0].as_str(), "openbao+kv2://secret/app/api");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::Code::PermissionDenied) where neither scans nor lists are allowed;
    /// [`DeadlineExceeded`](crate::Code::DeadlineExceeded); those of [`Client::list`].
    pub async fn search(&self, prefix: impl AsRef<str>, text: &str) -> Result<Search> {
        self.core.search(prefix.as_ref(), text).await
    }

    /// Copies the data of a secret, of its newest version or of the one that `?version=` pins, to another path as a
    /// new version. Metadata is not copied.
    ///
    /// The source is read from the leader as it is at that moment. Without `overwrite` nothing may ever have been
    /// written to the destination (one that is deleted has been); with it, the copy follows the destination's
    /// newest version, and starts over where another writer comes in between. Either way it is written with a
    /// check-and-set parameter, so that a lost answer can't become a second version.
    ///
    /// End points: `GET mount/data/path` of both (of the destination only with `overwrite`), `POST mount/data/path`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// let (from, to) = ("openbao+kv2://secret/app/api", "openbao+kv2://secret/app/spare");
    /// client.write(from, serde_json::json!({"token": "one"})).await?;
    /// let copied = client.copy(from, to, false).await?;
    /// assert_eq!((copied.source_version, copied.old_version, copied.new_version), (1, 0, 1));
    /// assert_eq!(client.copy(from, to, false).await.unwrap_err().code(), baokit::Code::CasConflict);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::read`] and [`StaleRead`](crate::Code::StaleRead) about the source, those of
    /// [`Client::write`] about the destination;
    /// [`CasConflict`](crate::Code::CasConflict) where something is there and is not to be overwritten;
    /// [`FragmentNotAllowed`](crate::Code::FragmentNotAllowed);
    /// [`RequestRejected`](crate::Code::RequestRejected) where both are the same secret.
    pub async fn copy(&self, from: impl AsRef<str>, to: impl AsRef<str>, overwrite: bool) -> Result<Copied> {
        self.core.copy(from.as_ref(), to.as_ref(), overwrite).await
    }

    /// Moves the data of a secret's newest version to another path: [`Client::copy`], and then a deletion of the
    /// version that was copied. Its older versions and its metadata stay, and undelete brings it back; a version
    /// that another writer adds to the source meanwhile is not deleted. Nor is one of a source that was made anew
    /// meanwhile, as far as a look right before the deletion can tell: OpenBao deletes by number alone.
    ///
    /// A move that fails half-way leaves the source. Where the copy was made and the deletion failed, the error
    /// says so: delete the source's version then, or move again with `overwrite`.
    ///
    /// End points: those of [`Client::copy`], and `POST mount/delete/path` of the source.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// let (old, new) = ("openbao+kv2://secret/app/old", "openbao+kv2://secret/app/new");
    /// client.write(old, serde_json::json!({"token": "one"})).await?;
    /// let moved = client.move_to(old, new, false).await?;
    /// assert_eq!((moved.source_version, moved.new_version), (1, 1));
    /// assert_eq!(client.read(old).await.unwrap_err().code(), baokit::Code::SecretDeleted);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::copy`] and of [`Client::delete`]; [`CasConflict`](crate::Code::CasConflict) too where the
    /// source was made anew; [`VersionNotAllowed`](crate::Code::VersionNotAllowed).
    pub async fn move_to(&self, from: impl AsRef<str>, to: impl AsRef<str>, overwrite: bool) -> Result<Copied> {
        self.core.move_to(from.as_ref(), to.as_ref(), overwrite).await
    }
}
