//! The operations on a URI: read, write, rotate, delete, versions. The others are in [`super::manage`],
//! [`super::search`] and [`super::transfer`].

use std::fmt::Display;

use serde_json::Value;

use super::rotation::plan;
use super::{Change, Client, Operation, ReadOptions};
use crate::call::kv2::{Address, Fate, Held, Versions};
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::exchange::Exchange;
use crate::secret::{MAX_DEPTH, Secret, SecretValue, kind, require_depth, require_exact};
use crate::uri::tenant::{Admitted, TenantPrefix, TenantUri};
use crate::uri::{ParseOptions, Provider, SecretUri};

/// How often a write that lost against another writer starts over before it says so.
pub(super) const WRITE_ROUNDS: usize = 8;

impl<H: Host> Client<H> {
    /// Reads a secret, or one key of it where the URI has a fragment; the newest version, or the
    /// one that `?version=` pins.
    ///
    /// End point: `GET mount/data/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// let token = client.read("openbao+kv2://secret/app#token").await?;
    /// assert_eq!((token.expose_str()?, token.version()), ("one", 1));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::SecretNotFound`], [`Code::SecretDeleted`], [`Code::FragmentNotFound`]; of a pinned
    /// version [`Code::VersionNotFound`], [`Code::VersionDeleted`], [`Code::VersionDestroyed`].
    pub async fn read(&self, uri: &str) -> Result<Secret> {
        self.read_with(uri, ReadOptions::new()).await
    }

    /// Reads a secret as [`Client::read`] does, with more demands on what it is shown.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// use baokit_core::ReadOptions;
    ///
    /// client.read_with("openbao+kv2://secret/app", ReadOptions::new().min_version(1)).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::read`], and [`Code::StaleRead`] where the demands can't be met before the
    /// deadline.
    pub async fn read_with(&self, uri: &str, options: ReadOptions) -> Result<Secret> {
        let uri = self.admit(uri)?;
        self.read_admitted(uri.admitted(), options).await
    }

    /// Reads as [`Client::read_with`] does, what was parsed before.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// use baokit_core::{ReadOptions, SecretUri};
    ///
    /// let uri = SecretUri::parse("openbao+kv2://secret/app")?;
    /// assert_eq!(client.read_uri(&uri, ReadOptions::new()).await?.version(), 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::read_with`].
    pub async fn read_uri(&self, uri: &SecretUri, options: ReadOptions) -> Result<Secret> {
        self.check_provider(uri.provider(), uri.as_str())?;
        self.read_admitted(self.settings.tenant().admit_borrowed(uri)?, options).await
    }

    async fn read_admitted(&self, uri: Admitted<'_>, options: ReadOptions) -> Result<Secret> {
        #[cfg(feature = "cache")]
        if self.settings.cache().is_some() {
            return self.read_cached(uri, options).await;
        }
        let operation = self.begin().await?;
        let (secret, exchange) = operation.whole(uri.uri(), options).await?;
        let secret = match uri.uri().fragment() {
            None => Ok(secret),
            Some(fragment) => pick(secret, &fragment, uri.uri()),
        };
        secret.map_err(|error| operation.place(&exchange, error))
    }

    /// Writes a new version: the whole secret, or with a fragment that key alone.
    ///
    /// It reads the current version first and writes with it as the check-and-set parameter, so
    /// that an answer that was lost can't become a second version. Where another writer comes in
    /// between, it starts over, eight times at most: the last write wins, and no other key is lost.
    ///
    /// End points: `GET` and `POST mount/data/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// let change = client.write("openbao+kv2://secret/app#token", "two").await?;
    /// assert_eq!((change.old_version, change.new_version), (1, 2));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::InvalidValue`] for a whole secret that is no object; [`Code::CasConflict`] where others came in
    /// between each time; [`Code::Indeterminate`] where the write was sent and its outcome is not known.
    pub async fn write(&self, uri: &str, value: impl Into<SecretValue>) -> Result<Change> {
        self.change(uri, value.into(), WRITE_ROUNDS).await
    }

    /// Replaces a value: like [`Client::write`], but where another writer comes in between it
    /// stops, since two rotations of one credential must not both count as done.
    ///
    /// End points: `GET` and `POST mount/data/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// let change = client.rotate("openbao+kv2://secret/app#token", "two").await?;
    /// assert_eq!((change.old_version, change.new_version), (1, 2));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::write`], and [`Code::CasConflict`].
    pub async fn rotate(&self, uri: &str, value: impl Into<SecretValue>) -> Result<Change> {
        self.change(uri, value.into(), 1).await
    }

    /// Deletes the newest version, or the one that `?version=` pins. Its data can be undeleted.
    ///
    /// End points: `DELETE mount/data/path`, `POST mount/delete/path`. Deleting what is not there
    /// is no error, as in OpenBao.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// client.delete("openbao+kv2://secret/app").await?;
    /// assert!(client.read("openbao+kv2://secret/app").await.is_err());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::FragmentNotAllowed`]; [`Code::Indeterminate`] where the deletion of the newest
    /// version was sent and not answered.
    pub async fn delete(&self, uri: &str) -> Result<()> {
        let uri = self.whole(uri)?;
        let version = uri.uri().version().map(u64::from);
        self.begin().await?.change_versions(Address::of(uri.uri()), Fate::Delete, version.as_slice()).await
    }

    /// The versions of a secret, oldest first, without their data.
    ///
    /// End point: `GET mount/metadata/path`.
    ///
    /// ```
    /// # use baokit_core_testing::{run, server};
    /// # run(async {
    /// # let client = server();
    /// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
    /// assert_eq!(client.versions("openbao+kv2://secret/app").await?.current_version(), 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Code::SecretNotFound`]; [`Code::FragmentNotAllowed`].
    pub async fn versions(&self, uri: &str) -> Result<Versions> {
        let uri = self.whole(uri)?;
        self.begin().await?.metadata_there(Address::of(uri.uri())).await
    }

    /// Past here a URI is legal, this client's, and the tenant's.
    fn admit(&self, uri: &str) -> Result<TenantUri> {
        let uri = self.parsing().parse(uri)?;
        self.check_provider(uri.provider(), uri.as_str())?;
        self.settings.tenant().admit(uri)
    }

    /// The same of a prefix.
    pub(super) fn admit_prefix(&self, prefix: &str) -> Result<TenantPrefix> {
        let prefix = self.parsing().parse_prefix(prefix)?;
        self.check_provider(prefix.provider(), prefix.as_str())?;
        self.settings.tenant().admit_prefix(prefix)
    }

    fn parsing(&self) -> ParseOptions<'static> {
        ParseOptions::new().accept_legacy(self.settings.accept_legacy())
    }

    fn check_provider(&self, provider: Provider, text: &str) -> Result<()> {
        if provider == self.settings.provider() {
            return Ok(());
        }
        let reason = format!("this client serves {}", self.settings.provider().as_str());
        Err(Error::new(Code::UnsupportedEngine).about(text.to_owned()).because(reason))
    }

    /// A URI of a whole secret.
    pub(super) fn whole(&self, uri: &str) -> Result<TenantUri> {
        let uri = self.admit(uri)?;
        match uri.uri().fragment() {
            Some(_) => Err(Error::new(Code::FragmentNotAllowed).about(uri.uri().to_string())),
            None => Ok(uri),
        }
    }

    /// A URI of a whole secret, of no version of it.
    pub(super) fn unpinned(&self, uri: &str) -> Result<TenantUri> {
        self.whole(uri)?;
        self.admit_change(uri)
    }

    /// A URI of what a new version is made of.
    pub(super) fn admit_change(&self, uri: &str) -> Result<TenantUri> {
        let uri = self.admit(uri)?;
        match uri.uri().version() {
            Some(_) => Err(Error::new(Code::VersionNotAllowed).about(uri.uri().to_string())),
            None => Ok(uri),
        }
    }

    /// Refuses a value that can't be what the URI names, as every write does before it asks OpenBao for anything. It
    /// sends nothing.
    ///
    /// # Errors
    /// [`Code::InvalidValue`] for a whole secret that is no object, and for what could not be read again as it is: what
    /// is nested deeper than [`MAX_DEPTH`] levels, and integers beyond 2^53.
    pub fn check_value(&self, uri: &SecretUri, value: &SecretValue) -> Result<()> {
        match uri.fragment() {
            Some(_) => require_kept(value, MAX_DEPTH - 1, uri),
            None => require_object(value, uri),
        }
    }

    async fn change(&self, uri: &str, value: SecretValue, rounds: usize) -> Result<Change> {
        let uri = self.admit_change(uri)?;
        let uri = uri.uri();
        self.check_value(uri, &value)?;
        let operation = self.begin().await?;
        let mut round = 1;
        loop {
            match write_after_read(&operation, uri, &value).await {
                Err(error) if error.code() == Code::CasConflict && round < rounds => round += 1,
                result => return result,
            }
        }
    }
}

impl<H: Host> Operation<'_, H> {
    /// Reads the whole secret that a URI names, whatever key of it is meant.
    pub(super) async fn whole(&self, uri: &SecretUri, options: ReadOptions) -> Result<(Secret, Exchange)> {
        let version = uri.version().map(u64::from);
        let (held, exchange) = self.held(Address::of(uri), version, options).await?;
        self.placed(present(held, uri, version), exchange)
    }
}

async fn write_after_read<H: Host>(
    operation: &Operation<'_, H>,
    uri: &SecretUri,
    value: &SecretValue,
) -> Result<Change> {
    let at = Address::of(uri);
    let (held, _) = operation.held(at, None, ReadOptions::new()).await?;
    let (old_version, base) = (held.version(), held.sighting().created);
    let data = plan(uri, held, value)?;
    let written = operation.write_after(at, &data, old_version, base).await?;
    Ok(Change { old_version, new_version: written.version() })
}

/// Refuses what could be written and would not be read again as it is. It is asked of a caller's own value:
/// what else a secret holds came from OpenBao and goes back as it came.
fn require_kept(value: &SecretValue, deepest: usize, name: impl Display) -> Result<()> {
    let kept = require_depth(value, deepest).and_then(|()| require_exact(value));
    kept.map_err(|error| error.about(name.to_string()))
}

/// Refuses what OpenBao would refuse, the data of a whole secret that is no object, and what it would change.
pub(super) fn require_object(value: &SecretValue, name: impl Display) -> Result<()> {
    if value.expose().is_object() {
        return require_kept(value, MAX_DEPTH, name);
    }
    let value = value.expose();
    let reason = format!("a whole secret is an object, and the value is {}", kind(value));
    Err(Error::new(Code::InvalidValue).about(name.to_string()).because(reason))
}

/// The data, or the reason why there is none. A pinned version that is gone is a conflict with what
/// the caller believes; a newest one that is gone is an absent secret.
pub(super) fn present(held: Held, name: impl Display, pin: Option<u64>) -> Result<Secret> {
    let pinned = pin.is_some();
    let (code, reason) = match held {
        Held::Data(secret) if pin.is_none_or(|pin| pin == secret.version) => return Ok(secret),
        Held::Data(secret) => (Code::MalformedAnswer, Some(format!("version {} came instead", secret.version))),
        Held::Nothing => match pin {
            Some(pin) => (Code::VersionNotFound, Some(format!("there is no version {pin}"))),
            None => (Code::SecretNotFound, None),
        },
        Held::Deleted { version, deletion_time, .. } => {
            let code = if pinned { Code::VersionDeleted } else { Code::SecretDeleted };
            (code, Some(format!("version {version} was deleted at {deletion_time}")))
        }
        Held::Destroyed { version, .. } => {
            let code = if pinned { Code::VersionDestroyed } else { Code::SecretDestroyed };
            (code, Some(format!("version {version} was destroyed")))
        }
    };
    let error = Error::new(code).about(name.to_string());
    Err(match reason {
        Some(reason) => error.because(reason),
        None => error,
    })
}

fn pick(mut secret: Secret, fragment: &str, uri: &SecretUri) -> Result<Secret> {
    let mut whole = secret.value.take();
    // Taken, not removed: the map's code for that is the largest of all, in a module that travels.
    match whole.as_object_mut().and_then(|map| map.get_mut(fragment)).map(Value::take) {
        Some(value) => {
            // The other keys are wiped, not just dropped.
            drop(SecretValue::from(whole));
            secret.value = SecretValue::from(value);
            Ok(secret)
        }
        None => {
            drop(SecretValue::from(whole));
            Err(no_such_key(uri, secret.version))
        }
    }
}

pub(super) fn no_such_key(uri: &SecretUri, version: u64) -> Error {
    let reason = format!("version {version} has no such key");
    Error::new(Code::FragmentNotFound).about(uri.to_string()).because(reason)
}
