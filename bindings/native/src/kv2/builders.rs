//! What is about to be awaited: reads, writes, patches and changes of metadata.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use baokit_core::{Change, MetadataChange, ReadOptions, Result, Secret, SecretValue, Written};

use super::Kv2;

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// A read that is about to be awaited.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = baokit_devserver::DevServer::start().await?;
/// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
/// # let kv2 = client.kv2("secret");
/// # kv2.write("app/api", serde_json::json!({"token": "one"})).await?;
/// kv2.read("app/api").version(1).await?; // that version
/// kv2.read("app/api").min_version(1).await?; // it, or a later one
/// kv2.read("app/api").strong().await?; // as the leader has it now
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a read does nothing until it is awaited"]
pub struct Read {
    pub(super) kv2: Kv2,
    pub(super) path: String,
    pub(super) version: Option<u64>,
    pub(super) options: ReadOptions,
}

impl Read {
    /// Reads this version instead of the newest; versions count from 1.
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// The newest version must be this one or a later one, 0 by default; see [`ReadOptions::min_version`].
    pub fn min_version(mut self, version: u64) -> Self {
        self.options = self.options.min_version(version);
        self
    }

    /// The answer must come from the leader as it is at this moment; see [`ReadOptions::strong`].
    pub fn strong(mut self) -> Self {
        self.options = self.options.strong();
        self
    }
}

impl IntoFuture for Read {
    type Output = Result<Secret>;
    type IntoFuture = Boxed<Secret>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { kv2: Kv2 { core, mount }, path, version, options } = self;
        Box::pin(async move { core.kv2_read(&mount, &path, version, options).await })
    }
}

/// A write that is about to be awaited.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = baokit_devserver::DevServer::start().await?;
/// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
/// # let kv2 = client.kv2("secret");
/// let written = kv2.write("app/api", serde_json::json!({"token": "one"})).cas(0).await?; // it is new
/// let late = kv2.write("app/api", serde_json::json!({"token": "two"})).cas(0).await.unwrap_err();
/// assert_eq!((written.version(), late.code()), (1, baokit::Code::CasConflict));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a write does nothing until it is awaited"]
pub struct Write {
    pub(super) kv2: Kv2,
    pub(super) path: String,
    pub(super) data: SecretValue,
    pub(super) cas: Option<u64>,
}

impl Write {
    /// Writes only if this is the current version; 0 for a secret that was never written.
    ///
    /// It also makes the write safe to repeat. Without it the write is sent once; where its answer is lost and a
    /// read can't show that it was done, it is reported as [`Indeterminate`](crate::Code::Indeterminate).
    pub fn cas(mut self, version: u64) -> Self {
        self.cas = Some(version);
        self
    }
}

impl IntoFuture for Write {
    type Output = Result<Written>;
    type IntoFuture = Boxed<Written>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { kv2: Kv2 { core, mount }, path, data, cas } = self;
        Box::pin(async move { core.kv2_write(&mount, &path, &data, cas).await })
    }
}

/// A read of a secret's keys that is about to be awaited.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = baokit_devserver::DevServer::start().await?;
/// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
/// # let kv2 = client.kv2("secret");
/// # kv2.write("app/api", serde_json::json!({"token": "one"})).await?;
/// let names = kv2.subkeys("app/api").version(1).depth(1).await?;
/// assert_eq!(names.expose(), &serde_json::json!({"token": null}));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a read does nothing until it is awaited"]
pub struct Subkeys {
    pub(super) read: Read,
    pub(super) depth: u64,
}

impl Subkeys {
    /// Reads this version instead of the newest; versions count from 1.
    pub fn version(mut self, version: u64) -> Self {
        self.read = self.read.version(version);
        self
    }

    /// Follows objects so many levels deep; 0, the default, for all.
    pub fn depth(mut self, levels: u64) -> Self {
        self.depth = levels;
        self
    }
}

impl IntoFuture for Subkeys {
    type Output = Result<Secret>;
    type IntoFuture = Boxed<Secret>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { read: Read { kv2: Kv2 { core, mount }, path, version, options }, depth } = self;
        Box::pin(async move { core.kv2_subkeys(&mount, &path, version, depth, options).await })
    }
}

/// A patch that is about to be awaited.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = baokit_devserver::DevServer::start().await?;
/// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
/// # let kv2 = client.kv2("secret");
/// # kv2.write("app/api", serde_json::json!({"token": "one"})).await?;
/// let change = kv2.patch("app/api", serde_json::json!({"token": "two"})).cas(1).await?;
/// assert_eq!(change.new_version, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a patch does nothing until it is awaited"]
pub struct Patch {
    pub(super) kv2: Kv2,
    pub(super) path: String,
    pub(super) changes: SecretValue,
    pub(super) cas: Option<u64>,
}

impl Patch {
    /// Patches only if this is the current version, and does not start over: without it, it does so eight times at
    /// most.
    pub fn cas(mut self, version: u64) -> Self {
        self.cas = Some(version);
        self
    }
}

impl IntoFuture for Patch {
    type Output = Result<Change>;
    type IntoFuture = Boxed<Change>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { kv2: Kv2 { core, mount }, path, changes, cas } = self;
        Box::pin(async move { core.kv2_patch(&mount, &path, &changes, cas).await })
    }
}

/// A change of metadata that is about to be awaited.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = baokit_devserver::DevServer::start().await?;
/// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
/// # let kv2 = client.kv2("secret");
/// use baokit::MetadataChange;
///
/// let change = MetadataChange::new().cas_required(true);
/// kv2.write_metadata("app/api", change).cas(0).await?; // it has no metadata yet
/// let refused = kv2.write("app/api", serde_json::json!({})).await.unwrap_err();
/// assert_eq!(refused.code(), baokit::Code::CasRequired);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a change does nothing until it is awaited"]
pub struct WriteMetadata {
    pub(super) kv2: Kv2,
    pub(super) path: String,
    pub(super) change: MetadataChange,
    pub(super) cas: Option<u64>,
    pub(super) merges: bool,
}

impl WriteMetadata {
    /// Changes it only if this is the version of the metadata (0 where it was never written), and does not start
    /// over. See [`Versions::metadata_version`](crate::Versions::metadata_version).
    pub fn cas(mut self, version: u64) -> Self {
        self.cas = Some(version);
        self
    }
}

impl IntoFuture for WriteMetadata {
    type Output = Result<()>;
    type IntoFuture = Boxed<()>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { kv2: Kv2 { core, mount }, path, change, cas, merges } = self;
        Box::pin(async move {
            match merges {
                true => core.kv2_patch_metadata(&mount, &path, &change, cas).await,
                false => core.kv2_write_metadata(&mount, &path, &change, cas).await,
            }
        })
    }
}
