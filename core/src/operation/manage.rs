//! More operations on a URI: patch, undelete, destroy, metadata, its owner, and what lies in a folder.

use serde_json::{Map, Value};

use super::kv2::check_named;
use super::list::Pages;
use super::{Change, Client};
use crate::call::kv2::list::{Folder, NAMES};
use crate::call::kv2::{Address, Fate};
use crate::call::metadata::{How, Metadata, MetadataChange};
use crate::drive::Host;
use crate::error::Result;
use crate::secret::SecretValue;

/// The key of `custom_metadata` that says whose a secret is.
pub(super) const OWNER: &str = "owner";

impl<H: Host> Client<H> {
    /// Merges a value into the newest version (RFC 7396): an object into the whole secret, or with a fragment any
    /// value into that key. A null takes its key away, an object is merged into the one that is there, everything
    /// else takes the place of what was there.
    ///
    /// End points: `GET` and `PATCH mount/data/path`. The newest version is read first, one request more than a
    /// patch takes, so that the patch can name it as its check-and-set parameter: a lost answer can't become a
    /// second version, and where another writer comes in between, it starts over. Where the token lacks the
    /// capability `patch`, or the server the method, the merge is written by `POST` under the same parameter.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// client.patch("openbao+kv2://secret/app", serde_json::json!({"user": "api"})).await?;
    /// let data = client.read("openbao+kv2://secret/app").await?;
    /// assert_eq!(data.expose(), &serde_json::json!({"token": "one", "user": "api"}));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`SecretNotFound`](crate::Code::SecretNotFound), [`SecretDeleted`](crate::Code::SecretDeleted),
    /// [`SecretDestroyed`](crate::Code::SecretDestroyed), and those of [`Client::write`].
    pub async fn patch(&self, uri: &str, changes: impl Into<SecretValue>) -> Result<Change> {
        let uri = self.admit_change(uri)?;
        let (uri, mut changes) = (uri.uri(), changes.into());
        self.check_value(uri, &changes)?;
        if let Some(fragment) = uri.fragment() {
            let mut map = Map::new();
            map.insert(fragment.into_owned(), changes.take());
            changes = SecretValue::from(Value::Object(map));
        }
        self.begin().await?.patch(Address::of(uri), &changes, None, uri).await
    }

    /// Brings deleted versions back. What is not deleted, destroyed or not there is no error, as in OpenBao.
    ///
    /// End point: `POST mount/undelete/path`. It is sent once, since a late one would bring back what was deleted
    /// after it; a lost answer is a success where a version that this client has seen deleted is there again.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// client.delete("openbao+kv2://secret/app").await?;
    /// client.undelete("openbao+kv2://secret/app", &[1]).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`InvalidVersion`](crate::Code::InvalidVersion) where no version is named;
    /// [`FragmentNotAllowed`](crate::Code::FragmentNotAllowed);
    /// [`VersionNotAllowed`](crate::Code::VersionNotAllowed), since they are named beside the URI;
    /// [`Indeterminate`](crate::Code::Indeterminate).
    pub async fn undelete(&self, uri: &str, versions: &[u64]) -> Result<()> {
        let uri = self.unpinned(uri)?;
        check_named(versions)?;
        self.begin().await?.undelete(Address::of(uri.uri()), versions).await
    }

    /// Destroys the data of these versions for good. What is not there is no error, as in OpenBao.
    ///
    /// End point: `POST mount/destroy/path`, sent again where its answer is lost: twice is the same as once.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// client.destroy("openbao+kv2://secret/app", &[1]).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Client::undelete`].
    pub async fn destroy(&self, uri: &str, versions: &[u64]) -> Result<()> {
        let uri = self.unpinned(uri)?;
        check_named(versions)?;
        self.begin().await?.change_versions(Address::of(uri.uri()), Fate::Destroy, versions).await
    }

    /// The metadata of a secret: its versions, settings and `custom_metadata`.
    ///
    /// End point: `GET mount/metadata/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// let metadata = client.metadata("openbao+kv2://secret/app").await?;
    /// assert!(metadata.custom_metadata().is_empty());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`SecretNotFound`](crate::Code::SecretNotFound); [`PermissionDenied`](crate::Code::PermissionDenied);
    /// [`FragmentNotAllowed`](crate::Code::FragmentNotAllowed);
    /// [`VersionNotAllowed`](crate::Code::VersionNotAllowed).
    pub async fn metadata(&self, uri: &str) -> Result<Metadata> {
        let uri = self.unpinned(uri)?;
        self.begin().await?.metadata_there(Address::of(uri.uri())).await
    }

    /// Says whose a secret is: `owner` in its `custom_metadata`, whose other keys stay as they are.
    ///
    /// End points: `GET` and `PATCH mount/metadata/path`, `POST` where the token lacks the capability `patch`; under
    /// `metadata_cas`, and from anew where another writer comes in between.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// client.set_owner("openbao+kv2://secret/app", "payments").await?;
    /// assert_eq!(client.metadata("openbao+kv2://secret/app").await?.custom_metadata()["owner"], "payments");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`RequestRejected`](crate::Code::RequestRejected) where the owner is empty or longer than 512 bytes;
    /// [`NotSupported`](crate::Code::NotSupported) where the server does not say at which version its metadata is;
    /// [`Indeterminate`](crate::Code::Indeterminate), and those of [`Client::metadata`].
    pub async fn set_owner(&self, uri: &str, owner: &str) -> Result<()> {
        let uri = self.unpinned(uri)?;
        let change = MetadataChange::new().custom(OWNER, owner);
        self.begin().await?.change_metadata(Address::of(uri.uri()), &change, How::Merge, None).await
    }

    /// What lies in a folder (`openbao+kv2://secret/app/`), page by page.
    ///
    /// End point: `LIST mount/metadata/folder`, with `after` and `limit`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// let mut pages = client.list("openbao+kv2://secret/")?;
    /// assert_eq!(pages.next(&client).await?, Some(vec!["app".to_owned()]));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// Those of a URI that is none, and [`TenantMountMismatch`](crate::Code::TenantMountMismatch); see
    /// [`Pages::next`] for those of its requests.
    pub fn list(&self, prefix: &str) -> Result<Pages> {
        let prefix = self.admit_prefix(prefix)?;
        Ok(Pages::new(Folder::of(prefix.prefix()), NAMES))
    }
}
