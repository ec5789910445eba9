//! Lists that come page by page, to be asked for one after the other or as a stream.

use std::fmt;
use std::sync::Arc;

use baokit_core::Result;
use futures_util::Stream;
use futures_util::stream::try_unfold;

use crate::host::NativeHost;

type Core = Arc<baokit_core::Client<NativeHost>>;

/// A list of what lies in a folder, fetched page by page.
///
/// Each page is one request with a deadline of its own, and begins behind the last name of the page before: what
/// is made or deleted meanwhile is seen or not, and nothing comes twice. Names come in the order of their bytes; a
/// folder's ends in a slash, and a key of the same name comes apart from it. They are OpenBao's: in a path or URI
/// a `%` of theirs is written `%25`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = baokit_devserver::DevServer::start().await?;
/// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
/// # let kv2 = client.kv2("secret");
/// # for path in ["a", "b", "c"] { kv2.write(path, serde_json::json!({})).await?; }
/// let mut pages = kv2.list("")?.after("a").limit(1);
/// assert_eq!(pages.next().await?, Some(vec!["b".to_owned()]));
/// assert_eq!(pages.next().await?, Some(vec!["c".to_owned()]));
/// assert_eq!(pages.next().await?, None);
/// # Ok(())
/// # }
/// ```
pub struct Pages<T = String> {
    core: Core,
    pages: baokit_core::Pages<T>,
}

impl<T> Pages<T> {
    pub(crate) fn new(core: Core, pages: baokit_core::Pages<T>) -> Self {
        Self { core, pages }
    }

    /// Begins behind this name, whether it is there or not: `app`, or `app/` for a folder.
    #[must_use]
    pub fn after(self, name: impl Into<String>) -> Self {
        Self { pages: self.pages.after(name), ..self }
    }

    /// At most so many names on a page: 1 to 10,000, and 1000 where nothing is said. What is outside is taken for
    /// the nearest.
    #[must_use]
    pub fn limit(self, names: usize) -> Self {
        Self { pages: self.pages.limit(names), ..self }
    }

    /// The next page; none behind the last. An empty folder, or none at all, has no page. After an error the same
    /// page may be asked for again.
    ///
    /// End point: `LIST mount/metadata/folder`, of a detailed list `LIST mount/detailed-metadata/folder`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// # let kv2 = client.kv2("secret");
    /// # kv2.write("app/api", serde_json::json!({})).await?;
    /// let mut pages = kv2.list("app/")?;
    /// while let Some(names) = pages.next().await? {
    ///     println!("{names:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::Code::PermissionDenied) without the capability `list` on the folder
    /// (`mount/metadata/…/`, of a detailed list `mount/detailed-metadata/…/`).
    pub async fn next(&mut self) -> Result<Option<Vec<T>>> {
        self.pages.next(&self.core).await
    }

    /// The pages as a stream, which ends with the last page or the first error.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = baokit_devserver::DevServer::start().await?;
    /// # let client = baokit::Client::builder().url(server.url()).token(server.root_token()).build()?;
    /// use futures_util::TryStreamExt;
    ///
    /// let kv2 = client.kv2("secret");
    /// kv2.write("app/api", serde_json::json!({})).await?;
    /// let pages: Vec<Vec<String>> = kv2.list("app/")?.into_stream().try_collect().await?;
    /// assert_eq!(pages.concat(), ["api"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = Result<Vec<T>>> + Send + use<T>
    where
        T: Send,
    {
        try_unfold(self, |mut pages| async move { Ok(pages.next().await?.map(|page| (page, pages))) })
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pages.fmt(f)
    }
}
