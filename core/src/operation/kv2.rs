//! The same engine below the URI level, for code that names mount and path itself. The tenant guard
//! judges URIs, which come from outside; a mount that stands in a program's own code is its choice.

use super::list::{Pages, Scan};
use super::secrets::{present, require_object};
use super::{Change, Client, ReadOptions};
use crate::call::kv2::config::{self, Kv2Config};
use crate::call::kv2::list::{ENTRIES, Entry, Folder, NAMES};
use crate::call::kv2::{Address, Fate, Versions, Written};
use crate::call::metadata::{How, Metadata, MetadataChange};
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::secret::{Secret, SecretValue};
use crate::uri::MAX_VERSION;
use crate::uri::path::{Mount, SecretPath};

impl<H: Host> Client<H> {
    /// Reads the newest version, or the one that is named. End point: `GET mount/data/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// use baokit_core::ReadOptions;
    ///
    /// let newest = client.kv2_read("secret", "app", None, ReadOptions::new()).await?;
    /// assert_eq!(newest.version(), 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Client::read`]; [`crate::Code::IllegalSegment`] for a mount or path that is none.
    pub async fn kv2_read(
        &self,
        mount: &str,
        path: &str,
        version: Option<u64>,
        options: ReadOptions,
    ) -> Result<Secret> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        check_versions(version.as_slice())?;
        let operation = self.begin().await?;
        let (held, exchange) = operation.held(Address::new(&mount, &path), version, options).await?;
        let secret = present(held, format_args!("{}/{}", mount.wire(), path.wire()), version);
        secret.map_err(|error| operation.place(&exchange, error))
    }

    /// Writes a whole secret. End point: `POST mount/data/path`.
    ///
    /// With `cas` (the current version, 0 for a secret that was never written) a lost answer is
    /// made good by sending it again. Without, the write is sent once; where its answer is lost, a strong
    /// read looks whether the value is there.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let data = serde_json::json!({"token": "one"}).into();
    /// assert_eq!(client.kv2_write("secret", "app", &data, Some(0)).await?.version(), 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`crate::Code::CasConflict`], [`crate::Code::CasRequired`], [`crate::Code::ValueTooLarge`];
    /// [`crate::Code::Indeterminate`] where the write was sent and its outcome can't be known.
    pub async fn kv2_write(&self, mount: &str, path: &str, data: &SecretValue, cas: Option<u64>) -> Result<Written> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        require_object(data, format_args!("{}/{}", mount.wire(), path.wire()))?;
        let (at, operation) = (Address::new(&mount, &path), self.begin().await?);
        match cas {
            Some(cas) => operation.write_after(at, data, cas, None).await,
            None => operation.write_blindly(at, data).await,
        }
    }

    /// Merges an object into the newest version (RFC 7396): a null takes its key away, an object is merged into
    /// the one that is there, everything else takes the place of what was there.
    ///
    /// End points: `GET` and `PATCH mount/data/path`. The newest version is read first, for `cas`, so that a lost
    /// answer can be made good by sending it again; where another writer comes in between, it starts over. With
    /// `cas` the newest version must be that one. Where the token lacks the capability `patch`, or the server the
    /// method, the merge is written by `POST` under the same `cas`. Who may patch and not read sends it without.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// let changes = serde_json::json!({"token": "two"}).into();
    /// assert_eq!(client.kv2_patch("secret", "app", &changes, Some(1)).await?.new_version, 2);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::SecretNotFound`], [`Code::SecretDeleted`], [`Code::SecretDestroyed`]; [`Code::InvalidValue`] for
    /// what is no object; those of [`Client::kv2_write`].
    pub async fn kv2_patch(&self, mount: &str, path: &str, changes: &SecretValue, cas: Option<u64>) -> Result<Change> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        let name = format!("{}/{}", mount.wire(), path.wire());
        require_object(changes, &name)?;
        self.begin().await?.patch(Address::new(&mount, &path), changes, cas, &name).await
    }

    /// Deletes these versions, or the newest where none is named. End points:
    /// `POST mount/delete/path`, `DELETE mount/data/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// client.kv2_delete("secret", "app", &[1]).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Client::delete`].
    pub async fn kv2_delete(&self, mount: &str, path: &str, versions: &[u64]) -> Result<()> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        check_versions(versions)?;
        self.begin().await?.change_versions(Address::new(&mount, &path), Fate::Delete, versions).await
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
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// client.kv2_delete("secret", "app", &[1]).await?;
    /// client.kv2_undelete("secret", "app", &[1]).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::InvalidVersion`] where no version is named; [`Code::Indeterminate`].
    pub async fn kv2_undelete(&self, mount: &str, path: &str, versions: &[u64]) -> Result<()> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        check_named(versions)?;
        self.begin().await?.undelete(Address::new(&mount, &path), versions).await
    }

    /// Destroys the data of these versions for good. What is not there is no error, as in OpenBao.
    ///
    /// End point: `POST mount/destroy/path`, sent again where its answer is lost: twice is the same as once.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// client.kv2_destroy("secret", "app", &[1]).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::InvalidVersion`] where no version is named; [`Code::Indeterminate`].
    pub async fn kv2_destroy(&self, mount: &str, path: &str, versions: &[u64]) -> Result<()> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        check_named(versions)?;
        self.begin().await?.change_versions(Address::new(&mount, &path), Fate::Destroy, versions).await
    }

    /// The versions of a secret. End point: `GET mount/metadata/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// assert_eq!(client.kv2_versions("secret", "app").await?.current_version(), 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Client::versions`].
    pub async fn kv2_versions(&self, mount: &str, path: &str) -> Result<Versions> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        self.begin().await?.metadata_there(Address::new(&mount, &path)).await
    }

    /// The metadata of a secret: its versions, settings and `custom_metadata`. End point:
    /// `GET mount/metadata/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// assert_eq!(client.kv2_metadata("secret", "app").await?.max_versions(), 0); // the mount decides
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::SecretNotFound`]; [`Code::PermissionDenied`].
    pub async fn kv2_metadata(&self, mount: &str, path: &str) -> Result<Metadata> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        self.begin().await?.metadata_there(Address::new(&mount, &path)).await
    }

    /// Writes metadata: `custom_metadata`, where the change names any, is replaced as a whole; settings that it
    /// does not name stay. A secret that is not there gets metadata without a version.
    ///
    /// End points: `GET` and `POST mount/metadata/path`. The version of the metadata is read first, for
    /// `metadata_cas`, so that a lost answer can be made good; where another writer comes in between, it starts
    /// over. With `cas` (0 where metadata was never written) it must be that one.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// use baokit_core::MetadataChange;
    ///
    /// client.kv2_write_metadata("secret", "app", &MetadataChange::new().max_versions(20), Some(0)).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::CasConflict`]; [`Code::RequestRejected`] for what is over OpenBao's limits, before it is sent;
    /// [`Code::NotSupported`] where no `cas` is given and the server does not say at which version its metadata is;
    /// [`Code::Indeterminate`].
    pub async fn kv2_write_metadata(
        &self,
        mount: &str,
        path: &str,
        change: &MetadataChange,
        cas: Option<u64>,
    ) -> Result<()> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        self.begin().await?.change_metadata(Address::new(&mount, &path), change, How::Replace, cas).await
    }

    /// Patches metadata: keys of `custom_metadata` that the change does not name stay as they are.
    ///
    /// End points: `GET` and `PATCH mount/metadata/path`, `POST` where the token lacks the capability `patch`;
    /// under `metadata_cas` as [`Client::kv2_write_metadata`].
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// use baokit_core::MetadataChange;
    ///
    /// client.kv2_patch_metadata("secret", "app", &MetadataChange::new().custom("owner", "payments"), None).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::SecretNotFound`], and those of [`Client::kv2_write_metadata`].
    pub async fn kv2_patch_metadata(
        &self,
        mount: &str,
        path: &str,
        change: &MetadataChange,
        cas: Option<u64>,
    ) -> Result<()> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        self.begin().await?.change_metadata(Address::new(&mount, &path), change, How::Merge, cas).await
    }

    /// Deletes a key with all its versions and its metadata, for good. What is not there is no error.
    ///
    /// End point: `DELETE mount/metadata/path`. It is sent once, since a late one would delete a key that was made
    /// anew.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// client.kv2_delete_key("secret", "app").await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`]; [`Code::Indeterminate`].
    pub async fn kv2_delete_key(&self, mount: &str, path: &str) -> Result<()> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        self.begin().await?.delete_whole(Address::new(&mount, &path)).await
    }

    /// What lies in a folder (`app/`; empty for the root), page by page. End point:
    /// `LIST mount/metadata/folder`, with `after` and `limit`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// let mut pages = client.kv2_list("secret", "")?;
    /// assert_eq!(pages.next(&client).await?, Some(vec!["app".to_owned()]));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::IllegalSegment`]; see [`Pages::next`] for those of its requests.
    pub fn kv2_list(&self, mount: &str, folder: &str) -> Result<Pages> {
        Ok(Pages::new(Folder::parse(mount, folder)?, NAMES))
    }

    /// The same with the metadata of each key. End point: `LIST mount/detailed-metadata/folder`, with `after` and
    /// `limit`; a policy on `mount/metadata/…` does not allow it.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// let mut pages = client.kv2_list_detailed("secret", "")?;
    /// for entry in pages.next(&client).await?.unwrap_or_default() {
    ///     println!("{} {:?}", entry.name, entry.metadata.map(|metadata| metadata.versions().current_version()));
    /// }
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Client::kv2_list`].
    pub fn kv2_list_detailed(&self, mount: &str, folder: &str) -> Result<Pages<Entry>> {
        Ok(Pages::new(Folder::parse(mount, folder)?, ENTRIES))
    }

    /// All keys below a folder, at any depth.
    ///
    /// End point: `SCAN mount/metadata/folder`, which takes the capability `scan`. Where that is missing, or the
    /// server does not know it, `LIST mount/metadata/…` goes from folder to folder, breadth first, through 100,000
    /// names and 64 levels at most, and within the one deadline.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// assert_eq!(client.kv2_scan("secret", "").await?.keys, ["app"]);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`] where neither is allowed; [`Code::DeadlineExceeded`].
    pub async fn kv2_scan(&self, mount: &str, folder: &str) -> Result<Scan> {
        let folder = Folder::parse(mount, folder)?;
        self.begin().await?.scan(&folder).await
    }

    /// The names of a secret's keys without their values: an object whose leaves are null. Objects in it are
    /// followed `depth` levels deep, 0 for all.
    ///
    /// End point: `GET mount/subkeys/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// use baokit_core::ReadOptions;
    ///
    /// let names = client.kv2_subkeys("secret", "app", None, 0, ReadOptions::new()).await?;
    /// assert_eq!(names.expose(), &serde_json::json!({"token": null}));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`Client::kv2_read`].
    pub async fn kv2_subkeys(
        &self,
        mount: &str,
        path: &str,
        version: Option<u64>,
        depth: u64,
        options: ReadOptions,
    ) -> Result<Secret> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        check_versions(version.as_slice())?;
        let operation = self.begin().await?;
        let (held, exchange) = operation.subkeys(Address::new(&mount, &path), version, depth, options).await?;
        let secret = present(held, format_args!("{}/{}", mount.wire(), path.wire()), version);
        secret.map_err(|error| operation.place(&exchange, error))
    }

    /// The settings of a mount. End point: `GET mount/config`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// assert_eq!(client.kv2_config("secret").await?.max_versions, 0); // which means 10
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`]; [`Code::MountNotFound`].
    pub async fn kv2_config(&self, mount: &str) -> Result<Kv2Config> {
        let mount = Mount::parse(mount)?;
        self.begin().await?.run(config::read(&mount)).await
    }

    /// Writes the settings of a mount, all of them. End point: `POST mount/config`, sent once; a lost answer is a
    /// success where the settings are in place.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// let mut config = client.kv2_config("secret").await?;
    /// config.cas_required = true;
    /// client.kv2_write_config("secret", &config).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`]; [`Code::Indeterminate`].
    pub async fn kv2_write_config(&self, mount: &str, config: &Kv2Config) -> Result<()> {
        let mount = Mount::parse(mount)?;
        self.begin().await?.write_config(&mount, config).await
    }
}

/// OpenBao takes version 0 for the newest; who writes it here means something else.
fn check_versions(versions: &[u64]) -> Result<()> {
    match versions.iter().find(|version| !(1..=MAX_VERSION).contains(*version)) {
        None => Ok(()),
        Some(version) => Err(Error::new(Code::InvalidVersion).about(format!("version {version}"))),
    }
}

/// The same, of versions of which there must be one.
pub(super) fn check_named(versions: &[u64]) -> Result<()> {
    if versions.is_empty() {
        return Err(Error::new(Code::InvalidVersion).about("versions").because("none is named"));
    }
    check_versions(versions)
}
