//! Copying and moving a secret to another path.
//!
//! A move is a copy and then a deletion of the very version that was copied, never the other way round: cut off
//! anywhere, it leaves the source as it was, or both.

use serde::Serialize;

use super::secrets::{WRITE_ROUNDS, present};
use super::{Client, Operation, ReadOptions};
use crate::call::kv2::{Address, Fate, Held};
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::rules::Rule;
use crate::uri::SecretUri;

/// A copy that was made.
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
/// let copied = client.copy("openbao+kv2://secret/app", "openbao+kv2://secret/spare", false).await?;
/// assert_eq!((copied.source_version, copied.old_version, copied.new_version), (1, 0, 1));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Copied {
    /// The version of the source that was copied.
    pub source_version: u64,
    /// The version that was the destination's newest before, 0 where there was none.
    pub old_version: u64,
    /// The version that was made there.
    pub new_version: u64,
}

impl<H: Host> Client<H> {
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
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// client.copy("openbao+kv2://secret/app", "openbao+kv2://secret/spare", false).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::read`] about the source, those of [`Client::write`] about the destination;
    /// [`Code::CasConflict`] where something is there and is not to be overwritten;
    /// [`Code::FragmentNotAllowed`]; [`Code::RequestRejected`] where both are the same secret.
    pub async fn copy(&self, from: &str, to: &str, overwrite: bool) -> Result<Copied> {
        let (from, to) = (self.whole(from)?, self.unpinned(to)?);
        let (from, to) = (from.uri(), to.uri());
        check_apart(from, to)?;
        Ok(self.begin().await?.copy(from, to, overwrite).await?.0)
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
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// client.move_to("openbao+kv2://secret/app", "openbao+kv2://secret/new", false).await?;
    /// assert!(client.read("openbao+kv2://secret/app").await.is_err());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::copy`] and of [`Client::delete`]; [`Code::VersionNotAllowed`].
    pub async fn move_to(&self, from: &str, to: &str, overwrite: bool) -> Result<Copied> {
        let (from, to) = (self.unpinned(from)?, self.unpinned(to)?);
        let (from, to) = (from.uri(), to.uri());
        check_apart(from, to)?;
        let operation = self.begin().await?;
        let (copied, created) = operation.copy(from, to, overwrite).await?;
        let deleted = operation.delete_copied(from, copied.source_version, created).await;
        deleted.map(|()| copied.clone()).map_err(|error| {
            let Copied { source_version, new_version, .. } = copied;
            let code = error.code();
            let reason = format!(
                "the copy is made as version {new_version} of {to}, and the deletion of the source's version \
                 {source_version} failed ({code})"
            );
            error.about(from.to_string()).because(reason)
        })
    }
}

fn check_apart(from: &SecretUri, to: &SecretUri) -> Result<()> {
    if from.whole() != to.whole() {
        return Ok(());
    }
    let reason = "source and destination are the same secret";
    Err(Error::new(Code::RequestRejected).about(to.to_string()).because(reason))
}

impl<H: Host> Operation<'_, H> {
    /// Deletes the version that was copied, if it is still the one.
    async fn delete_copied(&self, from: &SecretUri, version: u64, created: Option<u64>) -> Result<()> {
        let at = Address::of(from);
        let (held, exchange) = self.held(at, Some(version), ReadOptions::new().strong()).await?;
        match held {
            Held::Data(_) if held.sighting().created != created => {
                let reason = "the source was made anew meanwhile";
                Err(self.place(&exchange, Error::new(Code::CasConflict).about(at.key()).because(reason)))
            }
            Held::Data(_) => {
                let is_named = self.session(|session| session.rules.keep(Rule::MoveNamesItsVersion));
                let versions: &[u64] = if is_named { &[version] } else { &[] };
                self.change_versions_of(at, Fate::Delete, versions, created).await
            }
            // Another deleted it.
            Held::Deleted { .. } | Held::Destroyed { .. } | Held::Nothing => Ok(()),
        }
    }

    /// The copy, and when the version that was copied was written.
    async fn copy(&self, from: &SecretUri, to: &SecretUri, overwrite: bool) -> Result<(Copied, Option<u64>)> {
        let pin = from.version().map(u64::from);
        let (held, exchange) = self.held(Address::of(from), pin, ReadOptions::new().strong()).await?;
        let created = held.sighting().created;
        let source = present(held, from, pin).map_err(|error| self.place(&exchange, error))?;
        let (source_version, at) = (source.version(), Address::of(to));
        let data = source.into_value();
        let copied = |old_version, new_version| (Copied { source_version, old_version, new_version }, created);
        if !overwrite {
            let written = self.write_after(at, &data, 0, None).await?;
            return Ok(copied(0, written.version()));
        }
        let mut round = 1;
        loop {
            let (held, _) = self.held(at, None, ReadOptions::new()).await?;
            let (version, base) = (held.version(), held.sighting().created);
            match self.write_after(at, &data, version, base).await {
                Err(error) if error.code() == Code::CasConflict && round < WRITE_ROUNDS => round += 1,
                written => return Ok(copied(version, written?.version())),
            }
        }
    }
}
