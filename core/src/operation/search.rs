//! Search: the secrets below a prefix whose path, or whose owner, has a text in it.

use super::list::is_not_offered;
use super::manage::OWNER;
use super::{Client, Operation};
use crate::call::kv2::list::{self, ENTRIES, Folder};
use crate::call::kv2::{self, Address, Shown};
use crate::drive::Host;
use crate::error::{Code, Result};
use crate::uri::{Provider, SecretUri};

/// Of how many secrets the metadata is read, one by one, where it does not come with the scan.
const MAX_READS: usize = 1000;

/// What a search has found.
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
/// let found = client.search("openbao+kv2://secret/", "APP").await?;
/// assert_eq!(found.uris[0].as_str(), "openbao+kv2://secret/app");
/// assert!(found.is_complete);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Search {
    /// The secrets, in the order of their paths.
    pub uris: Vec<SecretUri>,
    /// Whether all that lies below the prefix was looked at: not where the bounds of the search were reached, where
    /// a name can't be asked for, nor where the metadata of a secret may not be read.
    pub is_complete: bool,
}

impl<H: Host> Client<H> {
    /// The secrets below a prefix that have this text in their path below it, or in `owner` of their
    /// `custom_metadata`; upper and lower case are the same. An empty text finds all.
    ///
    /// End points: `SCAN mount/detailed-metadata/folder`, one request, which takes the capability `scan` there. Else
    /// the keys are found as [`Client::kv2_scan`] does, and `GET mount/metadata/path` tells the owners of those
    /// whose path does not have the text, of 1000 secrets at most.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// assert_eq!(client.search("openbao+kv2://secret/", "app").await?.uris.len(), 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::PermissionDenied`] where neither scans nor lists are allowed; [`Code::DeadlineExceeded`]; those of
    /// [`Client::list`].
    pub async fn search(&self, prefix: &str, text: &str) -> Result<Search> {
        let prefix = self.admit_prefix(prefix)?;
        let prefix = prefix.prefix();
        let (folder, text) = (Folder::of(prefix), text.to_lowercase());
        self.begin().await?.search(prefix.provider(), &folder, &text).await
    }
}

impl<H: Host> Operation<'_, H> {
    async fn search(&self, provider: Provider, folder: &Folder, text: &str) -> Result<Search> {
        let has_text = |name: &str| name.to_lowercase().contains(text);
        let mut found = Search { uris: Vec::new(), is_complete: true };
        match self.run(list::scan(folder, ENTRIES)).await {
            // An older server takes it for a read, and finds nothing.
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => {
                for entry in entries {
                    let owner = entry.metadata.as_ref().and_then(|metadata| metadata.custom_metadata().get(OWNER));
                    if has_text(&entry.name) || owner.is_some_and(|owner| has_text(owner)) {
                        found.add(provider, folder, &entry.name);
                    }
                }
                found.uris.sort_unstable();
                return Ok(found);
            }
            Err(error) if is_not_offered(error.code()) => {}
            Err(error) => return Err(error),
        }
        let scan = self.scan(folder).await?;
        found.is_complete = scan.is_complete;
        let mut reads = 0;
        for name in scan.keys {
            if has_text(&name) {
                found.add(provider, folder, &name);
                continue;
            }
            let Some((mount, path)) = folder.below(&name).filter(|_| reads < MAX_READS) else {
                found.is_complete = false;
                continue;
            };
            reads += 1;
            // Not compared with what was seen before: so many secrets would push out those that are in use.
            match self.run(kv2::metadata(Address::new(&mount, &path))).await {
                Ok(Shown::Versions(Some(versions))) => {
                    if versions.custom_metadata().get(OWNER).is_some_and(|owner| has_text(owner)) {
                        found.add(provider, folder, &name);
                    }
                }
                Ok(_) => {}
                Err(error) if error.code() == Code::PermissionDenied => found.is_complete = false,
                Err(error) => return Err(error),
            }
        }
        found.uris.sort_unstable();
        Ok(found)
    }
}

impl Search {
    fn add(&mut self, provider: Provider, folder: &Folder, name: &str) {
        let uri = folder.below(name).and_then(|(mount, path)| SecretUri::new(provider, &mount, &path).ok());
        match uri {
            Some(uri) => self.uris.push(uri),
            None => self.is_complete = false,
        }
    }
}
