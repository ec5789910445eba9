//! Lists, page by page, and scans of all that lies below a folder.

use std::collections::VecDeque;
use std::fmt;

use super::{Client, Operation};
use crate::call::kv2::list::{self, Folder, NAMES, Reading};
use crate::drive::Host;
use crate::error::{Code, Result};

/// How many names a page has where nothing else is said, and how many it may have.
const PAGE: usize = 1000;
const MAX_PAGE: usize = 10_000;

/// How many keys and folders a scan visits, and how deep, where it has to go from folder to folder.
pub(super) const MAX_SCAN: usize = 100_000;
const MAX_LEVELS: usize = 64;

/// A list of what lies in a folder, fetched page by page.
///
/// Each page is one request with a deadline of its own, and begins behind the last name of the page before: what
/// is made or deleted meanwhile is seen or not, and nothing comes twice. Names come in the order of their bytes; a
/// folder's ends in a slash, and a key of the same name comes apart from it. They are OpenBao's: in a path or URI
/// a `%` of theirs is written `%25`.
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// # let data = serde_json::json!({"token": "one"}).into();
/// # client.kv2_write("secret", "app", &data, None).await?;
/// let mut pages = client.kv2_list("secret", "")?.after("a").limit(100);
/// assert_eq!(pages.next(&client).await?, Some(vec!["app".to_owned()]));
/// # Ok(())
/// # });
/// ```
pub struct Pages<T = String> {
    folder: Folder,
    reading: Reading<T>,
    after: Option<String>,
    limit: usize,
    is_over: bool,
}

impl<T> Pages<T> {
    pub(super) fn new(folder: Folder, reading: Reading<T>) -> Self {
        Self { folder, reading, after: None, limit: PAGE, is_over: false }
    }

    /// Begins behind this name, whether it is there or not: `app`, or `app/` for a folder.
    #[must_use]
    pub fn after(mut self, name: impl Into<String>) -> Self {
        self.after = Some(name.into());
        self
    }

    /// At most so many names on a page: 1 to 10,000, and 1000 where nothing is said. What is outside is taken for
    /// the nearest.
    #[must_use]
    pub fn limit(mut self, names: usize) -> Self {
        self.limit = names.clamp(1, MAX_PAGE);
        self
    }

    /// The next page; none behind the last. An empty folder, or none at all, has no page. After an error the same
    /// page may be asked for again.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # let data = serde_json::json!({"token": "one"}).into();
    /// # client.kv2_write("secret", "app", &data, None).await?;
    /// let mut pages = client.kv2_list("secret", "")?;
    /// while let Some(names) = pages.next(&client).await? {
    ///     println!("{names:?}");
    /// }
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`] without the capability `list` on the folder (`mount/metadata/…/`, of a detailed
    /// list `mount/detailed-metadata/…/`).
    pub async fn next<H: Host>(&mut self, client: &Client<H>) -> Result<Option<Vec<T>>> {
        if self.is_over {
            return Ok(None);
        }
        self.turn(&client.begin().await?).await
    }

    async fn turn<H: Host>(&mut self, operation: &Operation<'_, H>) -> Result<Option<Vec<T>>> {
        let Reading { name, .. } = self.reading;
        let call = list::list(&self.folder, self.reading, self.after.as_deref(), self.limit);
        let mut page = operation.run(call).await?;
        self.is_over = page.len() != self.limit;
        if let Some(after) = &self.after {
            // A server that knows no pages answers with all there is.
            page.retain(|item| name(item) > after.as_str());
        }
        let Some(last) = page.last() else {
            self.is_over = true;
            return Ok(None);
        };
        self.after = Some(name(last).to_owned());
        Ok(Some(page))
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("folder", &self.folder)
            .field("after", &self.after)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// All keys below a folder.
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
/// let found = client.kv2_scan("secret", "").await?;
/// assert_eq!((found.keys, found.is_complete), (vec!["app".to_owned()], true));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scan {
    /// The keys by their paths below the folder, as OpenBao has them, in the order of their bytes.
    pub keys: Vec<String>,
    /// Whether these are all: not where the bounds of a scan were reached, nor where a folder has a name that no
    /// request can have.
    pub is_complete: bool,
}

/// Whether an error says that the end point is not to be had, by this token or on this server.
pub(super) fn is_not_offered(code: Code) -> bool {
    matches!(
        code,
        Code::PermissionDenied
            | Code::NotSupported
            | Code::NotFound
            | Code::RequestRejected
            | Code::MalformedAnswer
            | Code::AnswerTooLarge
    )
}

impl<H: Host> Operation<'_, H> {
    /// All keys below a folder, by one request where that is offered, else from folder to folder.
    pub(super) async fn scan(&self, folder: &Folder) -> Result<Scan> {
        match self.run(list::scan(folder, NAMES)).await {
            // An older server takes it for a read, and finds nothing.
            Ok(keys) if keys.is_empty() => {}
            Ok(mut keys) => {
                keys.sort_unstable();
                return Ok(Scan { keys, is_complete: true });
            }
            Err(error) if is_not_offered(error.code()) => {}
            Err(error) => return Err(error),
        }
        let mut scan = Scan { keys: Vec::new(), is_complete: true };
        let (mut folders, mut visited) = (VecDeque::from([String::new()]), 0);
        while let Some(names) = folders.pop_front() {
            let Some(folder) = (if names.is_empty() { Some(folder.clone()) } else { folder.enter(&names) }) else {
                scan.is_complete = false;
                continue;
            };
            let mut pages = Pages::new(folder, NAMES);
            while let Some(page) = if pages.is_over { None } else { pages.turn(self).await? } {
                for name in page {
                    visited += 1;
                    let path = [names.as_str(), name.as_str()].concat();
                    if visited > MAX_SCAN || path.matches('/').count() > MAX_LEVELS {
                        scan.is_complete = false;
                    } else if name.ends_with('/') {
                        folders.push_back(path);
                    } else {
                        scan.keys.push(path);
                    }
                }
                if visited > MAX_SCAN {
                    folders.clear();
                    break;
                }
            }
        }
        scan.keys.sort_unstable();
        Ok(scan)
    }
}
