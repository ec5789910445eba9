//! The KVv2 engine at a mount, for code that names mount and path itself. Builders are awaited
//! directly: `client.kv2("secret").write("app/api", &data).cas(3).await?`.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use baokit_core::{ReadOptions, Result, Secret, SecretValue, Versions, Written};

use crate::host::NativeHost;

type Core = Arc<baokit_core::Client<NativeHost>>;
type Boxed<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// The KVv2 engine at one mount. See [`Client::kv2`](crate::Client::kv2).
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
    #[must_use = "a read does nothing until it is awaited"]
    pub fn read(&self, path: impl Into<String>) -> Read {
        Read { kv2: self.clone(), path: path.into(), version: None, options: ReadOptions::new() }
    }

    /// Writes a whole secret; await it, or give the check-and-set parameter first. End point:
    /// `POST mount/data/path`.
    #[must_use = "a write does nothing until it is awaited"]
    pub fn write(&self, path: impl Into<String>, data: impl Into<SecretValue>) -> Write {
        Write { kv2: self.clone(), path: path.into(), data: data.into(), cas: None }
    }

    /// Deletes these versions, or the newest where none is named. End points:
    /// `POST mount/delete/path`, `DELETE mount/data/path`.
    ///
    /// # Errors
    /// As [`Client::delete`](crate::Client::delete).
    pub async fn delete(&self, path: &str, versions: &[u64]) -> Result<()> {
        self.core.kv2_delete(&self.mount, path, versions).await
    }

    /// The versions of a secret, oldest first. End point: `GET mount/metadata/path`.
    ///
    /// # Errors
    /// As [`Client::versions`](crate::Client::versions).
    pub async fn versions(&self, path: &str) -> Result<Versions> {
        self.core.kv2_versions(&self.mount, path).await
    }
}

impl fmt::Debug for Kv2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kv2").field("mount", &self.mount).finish_non_exhaustive()
    }
}

/// A read that is about to be awaited.
#[derive(Clone, Debug)]
#[must_use = "a read does nothing until it is awaited"]
pub struct Read {
    kv2: Kv2,
    path: String,
    version: Option<u64>,
    options: ReadOptions,
}

impl Read {
    /// Reads this version instead of the newest; versions count from 1.
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// The newest version must be this one or a later one; see [`ReadOptions::min_version`].
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
#[derive(Clone, Debug)]
#[must_use = "a write does nothing until it is awaited"]
pub struct Write {
    kv2: Kv2,
    path: String,
    data: SecretValue,
    cas: Option<u64>,
}

impl Write {
    /// Writes only if this is the current version; 0 for a secret that was never written.
    ///
    /// It also makes the write safe to repeat: without it, a lost answer is reported as
    /// [`Indeterminate`](crate::Code::Indeterminate).
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
