//! Watched secrets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use baokit_core::{Result, Version};
use futures_util::Stream;
use futures_util::stream::try_unfold;

use crate::client::Client;
use crate::host::NativeHost;

impl Client {
    /// Watches a secret: its new versions one after the other, found by looking at its metadata from time to
    /// time. All who watch a secret through clones of one client share each look.
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
    /// # client.write(uri, serde_json::json!({})).await?;
    /// let mut watch = client.watch(uri)?;
    /// loop {
    ///     let version = watch.next().await?.version();
    ///     let secret = client.read_with(uri, ReadOptions::new().min_version(version)).await?;
    ///     println!("version {} is there", secret.version());
    /// #   break;
    /// }
    /// # Ok(())
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
}

/// A secret that is watched; [`Client::watch`](crate::Client::watch) makes one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = baokit_devserver::DevServer::start().await?;
/// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
/// # let client = builder.allowed_mounts(["secret"]).build()?;
/// # client.write("openbao+kv2://secret/app#token", "first").await?;
/// use std::time::Duration;
///
/// let mut watch = client.watch("openbao+kv2://secret/app")?.every(Duration::from_secs(5));
/// assert_eq!(watch.next().await?.version(), 1); // the newest at first, then each that follows
/// # Ok(())
/// # }
/// ```
pub struct Watch {
    core: Arc<baokit_core::Client<NativeHost>>,
    watch: baokit_core::Watch,
}

impl Watch {
    pub(crate) fn new(core: Arc<baokit_core::Client<NativeHost>>, watch: baokit_core::Watch) -> Self {
        Self { core, watch }
    }

    /// The time from one look to the next: 30 s by default, 1 s to a week, spread by a quarter either way. What is
    /// outside is taken for the nearest.
    #[must_use]
    pub fn every(self, interval: Duration) -> Self {
        Self { watch: self.watch.every(interval), ..self }
    }

    /// Waits for the next version: at first the newest one that is there, then each that is found to be the
    /// newest at a look. Versions that came and went between two looks are left out; a secret that is made
    /// anew is told as well, with a version that may be lower.
    ///
    /// While no node serves, it goes on waiting, beyond the client's deadline too. Its future may be dropped and asked
    /// for again.
    ///
    /// End point: `GET mount/metadata/path`, at each look.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let builder = baokit::Client::builder().url(server.url()).token(server.root_token());
    /// # let client = builder.allowed_mounts(["secret"]).build()?;
    /// # client.write("openbao+kv2://secret/app#token", "first").await?;
    /// use std::time::Duration;
    ///
    /// let mut watch = client.watch("openbao+kv2://secret/app")?.every(Duration::from_secs(1));
    /// watch.next().await?;
    /// client.write("openbao+kv2://secret/app#token", "second").await?;
    /// assert_eq!(watch.next().await?.version(), 2); // after a second or so
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What can't be mended by waiting: [`PermissionDenied`](crate::Code::PermissionDenied),
    /// [`AuthenticationFailed`](crate::Code::AuthenticationFailed),
    /// [`MountNotFound`](crate::Code::MountNotFound), [`UnsupportedEngine`](crate::Code::UnsupportedEngine),
    /// [`MalformedAnswer`](crate::Code::MalformedAnswer), [`ClientClosed`](crate::Code::ClientClosed). It may be
    /// called again after that.
    pub async fn next(&mut self) -> Result<Version> {
        self.core.next_version(&mut self.watch).await
    }

    /// The versions as a stream, which ends with the first error only.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder()
    /// #     .url(server.url()).token(server.root_token()).allowed_mounts(["secret"]).build()?;
    /// use std::pin::pin;
    ///
    /// use futures_util::TryStreamExt;
    ///
    /// client.write("openbao+kv2://secret/app#token", "first").await?;
    /// let mut versions = pin!(client.watch("openbao+kv2://secret/app")?.into_stream());
    /// assert_eq!(versions.try_next().await?.map(|version| version.version()), Some(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = Result<Version>> + Send + use<> {
        try_unfold(self, |mut watch| async move { Ok(Some((watch.next().await?, watch))) })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.watch.fmt(f)
    }
}
