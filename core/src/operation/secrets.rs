//! The operations on a URI: read, write, rotate, delete, versions.

use std::fmt::Display;

use serde_json::Value;

use super::rotation::plan;
use super::{Change, Client, Operation};
use crate::call::kv2::{self, Address, Held, Versions, Written};
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::secret::{MAX_DEPTH, Secret, SecretValue, kind, require_depth};
use crate::uri::tenant::TenantUri;
use crate::uri::{ParseOptions, SecretUri};

/// How often a write that lost against another writer starts over before it says so.
const WRITE_ROUNDS: usize = 8;

impl<H: Host> Client<H> {
    /// Reads a secret, or one key of it where the URI has a fragment; the newest version, or the
    /// one that `?version=` pins.
    ///
    /// End point: `GET mount/data/path`.
    ///
    /// # Errors
    /// [`Code::SecretNotFound`], [`Code::SecretDeleted`], [`Code::FragmentNotFound`]; of a pinned
    /// version [`Code::VersionNotFound`], [`Code::VersionDeleted`], [`Code::VersionDestroyed`].
    pub async fn read(&self, uri: &str) -> Result<Secret> {
        let uri = self.admit(uri)?;
        let uri = uri.uri();
        let version = uri.version().map(u64::from);
        let conclude = |held, _| {
            let secret = present(held, uri, version)?;
            match uri.fragment() {
                None => Ok(secret),
                Some(fragment) => pick(secret, &fragment, uri),
            }
        };
        self.begin().await?.run_then(kv2::read(Address::of(uri), version), conclude).await
    }

    /// Writes a new version: the whole secret, or with a fragment that key alone.
    ///
    /// It reads the current version first and writes with it as the check-and-set parameter, so
    /// that an answer that was lost can't become a second version. Where another writer comes in
    /// between, it starts over: the last write wins, and no other key is lost.
    ///
    /// End points: `GET` and `POST mount/data/path`.
    ///
    /// # Errors
    /// [`Code::InvalidValue`] for a whole secret that is no object; [`Code::Indeterminate`] where
    /// the write was sent and its outcome is not known.
    pub async fn write(&self, uri: &str, value: impl Into<SecretValue>) -> Result<Change> {
        self.change(uri, value.into(), WRITE_ROUNDS).await
    }

    /// Replaces a value: like [`Client::write`], but where another writer comes in between it
    /// stops, since two rotations of one credential must not both count as done.
    ///
    /// End points: `GET` and `POST mount/data/path`.
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
    /// # Errors
    /// [`Code::FragmentNotAllowed`]; [`Code::Indeterminate`] where the deletion of the newest
    /// version was sent and not answered.
    pub async fn delete(&self, uri: &str) -> Result<()> {
        let uri = self.whole(uri)?;
        let at = Address::of(uri.uri());
        let call = match uri.uri().version() {
            Some(version) => kv2::delete_versions(at, &[version.get()])?,
            None => kv2::delete_latest(at),
        };
        self.begin().await?.run(call).await
    }

    /// The versions of a secret, oldest first, without their data.
    ///
    /// End point: `GET mount/metadata/path`.
    ///
    /// # Errors
    /// [`Code::SecretNotFound`]; [`Code::FragmentNotAllowed`].
    pub async fn versions(&self, uri: &str) -> Result<Versions> {
        let uri = self.whole(uri)?;
        self.begin().await?.run(kv2::metadata(Address::of(uri.uri()))).await
    }

    /// Past here a URI is legal, this client's, and the tenant's.
    fn admit(&self, uri: &str) -> Result<TenantUri> {
        let options = ParseOptions::new().accept_legacy(self.settings.accept_legacy());
        let uri = options.parse(uri)?;
        if uri.provider() != self.settings.provider() {
            let reason = format!("this client serves {}", self.settings.provider().as_str());
            return Err(Error::new(Code::UnsupportedEngine).about(uri.to_string()).because(reason));
        }
        self.settings.tenant().admit(uri)
    }

    /// A URI of a whole secret.
    fn whole(&self, uri: &str) -> Result<TenantUri> {
        let uri = self.admit(uri)?;
        match uri.uri().fragment() {
            Some(_) => Err(Error::new(Code::FragmentNotAllowed).about(uri.uri().to_string())),
            None => Ok(uri),
        }
    }

    async fn change(&self, uri: &str, value: SecretValue, rounds: usize) -> Result<Change> {
        let uri = self.admit(uri)?;
        let uri = uri.uri();
        if uri.version().is_some() {
            return Err(Error::new(Code::VersionNotAllowed).about(uri.to_string()));
        }
        match uri.fragment() {
            Some(_) => require_depth(&value, MAX_DEPTH - 1)?,
            None => require_object(&value, uri)?,
        }
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

async fn write_after_read<H: Host>(
    operation: &Operation<'_, H>,
    uri: &SecretUri,
    value: &SecretValue,
) -> Result<Change> {
    let at = Address::of(uri);
    let held = operation.run(kv2::read(at, None)).await?;
    let old_version = held.version();
    let data = plan(uri, held, value)?;
    let written = operation
        .run_then(kv2::write(at, &data, Some(old_version))?, |written, _| follows(written, old_version))
        .await?;
    Ok(Change { old_version, new_version: written.version() })
}

/// Refuses what OpenBao would refuse: the data of a whole secret that is no object.
pub(super) fn require_object(value: &SecretValue, name: impl Display) -> Result<()> {
    if value.expose().is_object() {
        return require_depth(value, MAX_DEPTH);
    }
    let value = value.expose();
    let reason = format!("a whole secret is an object, and the value is {}", kind(value));
    Err(Error::new(Code::InvalidValue).about(name.to_string()).because(reason))
}

/// A write under `cas` makes the version that follows it, or it was not this one that was answered.
pub(super) fn follows(written: Written, cas: u64) -> Result<Written> {
    if Some(written.version()) == cas.checked_add(1) {
        return Ok(written);
    }
    let reason = format!("the answer speaks of version {} after a write that follows {cas}", written.version());
    Err(Error::new(Code::Indeterminate).because(reason))
}

/// The data, or the reason why there is none. A pinned version that is gone is a conflict with what
/// the caller believes; a newest one that is gone is an absent secret.
pub(super) fn present(held: Held, name: impl Display, pin: Option<u64>) -> Result<Secret> {
    let pinned = pin.is_some();
    let (code, reason) = match held {
        Held::Data(secret) if pin.is_none_or(|pin| pin == secret.version) => return Ok(secret),
        Held::Data(secret) => (Code::MalformedAnswer, Some(format!("version {} came instead", secret.version))),
        Held::Nothing if pinned => (Code::VersionNotFound, None),
        Held::Nothing => (Code::SecretNotFound, None),
        Held::Deleted { version, deletion_time } => {
            let code = if pinned { Code::VersionDeleted } else { Code::SecretDeleted };
            (code, Some(format!("version {version} was deleted at {deletion_time}")))
        }
        Held::Destroyed { version } => {
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
            Err(Error::new(Code::FragmentNotFound)
                .about(uri.to_string())
                .because(format!("version {} has no such key", secret.version)))
        }
    }
}
