//! What a host registers for providers other than OpenBao: `azure`, `db`, `yaml`, files. A [`Strategy`] stands behind
//! the same guard, PDP and audit as OpenBao does, and decides nothing of that.
//!
//! What a strategy returns as an error reaches the caller: it must hold neither a value nor a credential.

mod allowed_files;

use std::collections::BTreeMap;
use std::fmt;
use std::future::ready;
use std::sync::Arc;

use baokit_core::SecretValue;
use serde::Serialize;

pub use self::allowed_files::AllowedFiles;
pub use crate::shared::BoxFuture;

use crate::error::{Code, Error, Result};
use crate::shared::Shared;

/// Longest name of a provider, in bytes.
pub const MAX_NAME: usize = 32;

/// What a strategy has read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The value: the whole map, or what the fragment names.
    pub value: SecretValue,
    /// Its version, where the provider counts versions.
    pub version: Option<u64>,
}

impl Found {
    /// A value of a provider without versions.
    #[must_use]
    pub fn new(value: impl Into<SecretValue>) -> Self {
        Self { value: value.into(), version: None }
    }

    /// Says which version it is.
    #[must_use]
    pub fn with_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }
}

/// What a strategy has changed: the versions before and after, where the provider counts versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Changed {
    /// The version before; none at the first.
    pub old_version: Option<u64>,
    /// The version that was made.
    pub new_version: Option<u64>,
}

impl Changed {
    /// From this version to that one.
    #[must_use]
    pub fn new(old_version: Option<u64>, new_version: Option<u64>) -> Self {
        Self { old_version, new_version }
    }
}

/// The versions of a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VersionList {
    /// The newest.
    pub current_version: Option<u64>,
    /// All of them, in ascending order.
    pub versions: Vec<VersionEntry>,
}

impl VersionList {
    /// These versions, in ascending order.
    #[must_use]
    pub fn new(versions: Vec<VersionEntry>) -> Self {
        Self { current_version: versions.last().map(|entry| entry.version), versions }
    }
}

/// One version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VersionEntry {
    /// Its number, counted from 1.
    pub version: u64,
    /// When it was written: RFC 3339 in UTC.
    pub created_time: Option<String>,
    /// When it was deleted, or will be.
    pub deletion_time: Option<String>,
    /// Whether it is gone for good.
    pub destroyed: bool,
}

impl VersionEntry {
    /// A version that is there. What else is known of it goes into its fields.
    #[must_use]
    pub fn new(version: u64) -> Self {
        Self { version, ..Self::default() }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Listed {
    /// Names below the prefix; a folder's ends in a slash.
    pub items: Vec<String>,
    /// How many there are altogether; where the list is not complete, how many were found.
    pub total: usize,
    /// Whether they are all that there are: not where there were too many to look at, or some could not be listed.
    pub complete: bool,
}

impl Listed {
    /// These of so many, which are all that there are.
    #[must_use]
    pub fn new(items: Vec<String>, total: usize) -> Self {
        Self { items, total, complete: true }
    }
}

/// Another provider. A strategy implements what its provider can do; everything else answers
/// [`Code::OperationNotSupported`] (501).
///
/// A `reference` is the canonical text without the version; `version` is that of the request, in the provider's own
/// syntax, which the strategy checks. Only a read has one: what else names a version is refused before. A `reference`
/// of `yaml://`, whose syntax is the built-in providers', may end in `?version=N` instead.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::future::ready;
///
/// use baokit_service::providers::{BoxFuture, Found, Providers, Strategy};
/// use baokit_service::{Code, Error, Result};
///
/// struct Table(BTreeMap<String, String>);
///
/// impl Strategy for Table {
///     fn read<'a>(&'a self, reference: &'a str, _version: Option<&'a str>) -> BoxFuture<'a, Result<Found>> {
///         let absent = || Error::from(baokit_core::Error::new(baokit_core::Code::SecretNotFound));
///         let found = self.0.get(reference).map(|value| Found::new(value.as_str()));
///         Box::pin(ready(found.ok_or_else(absent)))
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let providers = Providers::default().with("db", std::sync::Arc::new(Table(BTreeMap::new())))?;
/// assert!(providers.find("db:credentials:3f2504e0-4f89-11d3-9a0c-0305e82c3301").is_some());
/// assert!(providers.find("openbao+kv2://secret/app").is_none());
/// # Ok(())
/// # }
/// ```
pub trait Strategy: Shared {
    /// Reads a secret, or what the reference's fragment names.
    fn read<'a>(&'a self, reference: &'a str, version: Option<&'a str>) -> BoxFuture<'a, Result<Found>>;

    /// Writes a new version.
    fn write<'a>(&'a self, _reference: &'a str, _value: SecretValue) -> BoxFuture<'a, Result<Changed>> {
        unsupported()
    }

    /// Replaces a value that is there.
    fn rotate<'a>(&'a self, _reference: &'a str, _value: SecretValue) -> BoxFuture<'a, Result<Changed>> {
        unsupported()
    }

    /// Deletes the newest version, so that it can be undeleted.
    fn delete<'a>(&'a self, _reference: &'a str) -> BoxFuture<'a, Result<()>> {
        unsupported()
    }

    /// Brings versions back.
    fn undelete<'a>(&'a self, _reference: &'a str, _versions: &'a [u64]) -> BoxFuture<'a, Result<()>> {
        unsupported()
    }

    /// Destroys versions for good.
    fn destroy_versions<'a>(&'a self, _reference: &'a str, _versions: &'a [u64]) -> BoxFuture<'a, Result<()>> {
        unsupported()
    }

    /// Destroys every version and the metadata for good.
    fn destroy<'a>(&'a self, _reference: &'a str) -> BoxFuture<'a, Result<()>> {
        unsupported()
    }

    /// The versions that there are.
    fn versions<'a>(&'a self, _reference: &'a str) -> BoxFuture<'a, Result<VersionList>> {
        unsupported()
    }

    /// What the provider knows about the secret beside its value. It is shown to callers with the right scope.
    fn metadata<'a>(&'a self, _reference: &'a str) -> BoxFuture<'a, Result<serde_json::Value>> {
        unsupported()
    }

    /// The names of the secret's keys.
    fn keys<'a>(&'a self, _reference: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        unsupported()
    }

    /// Says whose it is.
    fn set_owner<'a>(&'a self, _reference: &'a str, _owner: &'a str) -> BoxFuture<'a, Result<()>> {
        unsupported()
    }

    /// What is below a prefix.
    fn list<'a>(&'a self, _prefix: &'a str, _offset: usize, _limit: usize) -> BoxFuture<'a, Result<Listed>> {
        unsupported()
    }

    /// What is below a prefix, at any depth, and has the text in its name.
    fn search<'a>(
        &'a self,
        _prefix: &'a str,
        _text: &'a str,
        _offset: usize,
        _limit: usize,
    ) -> BoxFuture<'a, Result<Listed>> {
        unsupported()
    }

    /// What the PDP is told of the secret as `resource_attributes`, such as its owner, before it decides; never
    /// shown to the caller. By default nothing.
    fn attributes<'a>(&'a self, _reference: &'a str) -> BoxFuture<'a, Result<Option<BTreeMap<String, String>>>> {
        Box::pin(ready(Ok(None)))
    }
}

fn unsupported<'a, T: Shared + 'a>() -> BoxFuture<'a, Result<T>> {
    Box::pin(ready(Err(Error::new(Code::OperationNotSupported))))
}

/// The strategies of a host, by the name of their provider.
#[derive(Clone, Default)]
pub struct Providers(BTreeMap<Box<str>, Arc<dyn Strategy>>);

impl Providers {
    /// Registers a strategy. The name is what stands before the `:` of a reference, without an engine: 1 to
    /// [`MAX_NAME`] lower-case ASCII letters and digits. A later strategy takes the place of an earlier one.
    ///
    /// # Errors
    /// [`baokit_core::Code::InvalidSetting`] for another name, and for `openbao` and `hashicorp`, which the client
    /// serves itself.
    pub fn with(mut self, provider: &str, strategy: Arc<dyn Strategy>) -> Result<Self> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let invalid = |reason| baokit_core::Error::new(baokit_core::Code::InvalidSetting).because(reason);
        if !(1..=MAX_NAME).contains(&provider.len()) || !provider.bytes().all(legal) {
            return Err(invalid("a provider's name is 1 to 32 lower-case letters and digits").into());
        }
        if matches!(provider, "openbao" | "hashicorp") {
            return Err(invalid("the client itself serves openbao and hashicorp").into());
        }
        self.0.insert(provider.into(), strategy);
        Ok(self)
    }

    /// The strategy for a canonical reference or prefix.
    #[must_use]
    pub fn find(&self, reference: &str) -> Option<&Arc<dyn Strategy>> {
        let scheme = reference.split(':').next().unwrap_or_default();
        self.0.get(scheme.split('+').next().unwrap_or_default())
    }

    /// The names of the providers, for [`Metrics::new`](crate::audit::Metrics::new).
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
