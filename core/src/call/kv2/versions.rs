//! The versions of a secret, as its metadata lists them: `mount/metadata/path` without its settings.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Address, OfMetadata, Shown, another_engine};
use crate::call::object::Object;
use crate::call::{Call, Replay};
use crate::error::{Code, Error, Result};
use crate::http::Method;
use crate::session::floors::Sighting;

/// One version of a secret, without its data. See [`Versions`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    version: u64,
    created_time: String,
    deletion_time: Option<String>,
    destroyed: bool,
}

impl Version {
    /// The version, counted from 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it was written: RFC 3339 in UTC, by the server's clock.
    #[must_use]
    pub fn created_time(&self) -> &str {
        &self.created_time
    }

    /// When it was deleted, or will be where that lies ahead; RFC 3339.
    #[must_use]
    pub fn deletion_time(&self) -> Option<&str> {
        self.deletion_time.as_deref()
    }

    /// Whether its data is gone for good.
    #[must_use]
    pub fn is_destroyed(&self) -> bool {
        self.destroyed
    }
}

/// The versions of a secret that OpenBao still knows, oldest first.
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
/// let versions = client.versions("openbao+kv2://secret/app").await?;
/// for version in versions.versions() {
///     println!("{}: {}, destroyed: {}", version.version(), version.created_time(), version.is_destroyed());
/// }
/// # assert_eq!(versions.current_version(), 1);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Versions {
    // For whoever changes metadata; what operations answer in other languages does without.
    #[serde(skip)]
    metadata_version: Option<u64>,
    current_version: u64,
    versions: Vec<Version>,
    custom_metadata: BTreeMap<String, String>,
}

impl Versions {
    /// The newest version; 0 where only metadata was ever written.
    #[must_use]
    pub fn current_version(&self) -> u64 {
        self.current_version
    }

    /// The version of the metadata itself, which `metadata_cas` compares; 0 where it was never written. None where
    /// the server does not say, as Vault and old versions of OpenBao do, which compare nothing either.
    #[must_use]
    pub fn metadata_version(&self) -> Option<u64> {
        self.metadata_version
    }

    /// The same for whoever changes the metadata: without it the change would go unguarded.
    pub(crate) fn metadata_cas(&self, at: Address<'_>) -> Result<u64> {
        self.metadata_version.ok_or_else(|| {
            let reason = "the server does not say which version the metadata has, and would not compare it";
            Error::new(Code::NotSupported).about(at.metadata_path()).because(reason)
        })
    }

    /// The versions, oldest first. Those beyond `max_versions` have been pruned.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The newest version; none where only metadata was ever written.
    pub(crate) fn newest(&self) -> Option<&Version> {
        self.versions.iter().rev().find(|version| version.version == self.current_version)
    }

    /// What it shows of the secret. Whether a version is deleted is left to reads of its data: here a
    /// deletion can lie ahead, by the server's clock.
    pub(crate) fn sighting(&self) -> Sighting {
        match self.newest() {
            Some(newest) => Sighting::of(newest.version, &newest.created_time, newest.destroyed.then_some(true)),
            None => Sighting { version: self.current_version, ..Sighting::default() },
        }
    }

    /// None inside where it is no answer of KVv2's.
    pub(in crate::call) fn read(mut data: Object) -> Option<Option<Self>> {
        if !data.has("versions") {
            return Some(None);
        }
        let mut known = data.object("versions")?;
        let numbers: Vec<String> = known.entries()?.keys().cloned().collect();
        let mut versions: Vec<Version> = Vec::with_capacity(numbers.len());
        for number in numbers {
            let about = known.object(&number)?;
            let version = Version {
                version: number.parse().ok()?,
                created_time: about.time("created_time")?,
                deletion_time: Some(about.time("deletion_time")?).filter(|time| !time.is_empty()),
                destroyed: about.flag("destroyed")?,
            };
            // They come sorted as text; a sort of its own would be the largest function of all.
            let place = versions.partition_point(|other| other.version < version.version);
            versions.insert(place, version);
        }
        Some(Some(Self {
            metadata_version: data.number_if_any("current_metadata_version")?,
            current_version: data.number("current_version")?,
            versions,
            custom_metadata: data.texts("custom_metadata")?,
        }))
    }

    /// The key's `custom_metadata`.
    #[must_use]
    pub fn custom_metadata(&self) -> &BTreeMap<String, String> {
        &self.custom_metadata
    }
}

impl std::fmt::Debug for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Versions")
            .field("current_version", &self.current_version)
            .field("versions", &self.versions)
            .finish_non_exhaustive()
    }
}

/// `GET mount/metadata/path`; none where there is no such secret.
pub(crate) fn metadata(at: Address<'_>) -> Call<Shown> {
    Call::new(Method::Get, at.target("metadata"), Replay::Idempotent, |spec, answer| {
        if answer.is_of_nothing() {
            return Ok(Shown::Versions(None));
        }
        let found = answer.data_as(spec, Versions::read)?;
        found.map(|versions| Shown::Versions(Some(versions))).ok_or_else(|| another_engine(spec))
    })
}

impl OfMetadata for Versions {
    fn call(at: Address<'_>) -> Call<Shown> {
        metadata(at)
    }

    fn of(shown: Shown) -> Option<Self> {
        if let Shown::Versions(versions) = shown { versions } else { None }
    }
}
