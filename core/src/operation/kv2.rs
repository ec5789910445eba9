//! The same engine below the URI level, for code that names mount and path itself. The tenant guard
//! judges URIs, which come from outside; a mount that stands in a program's own code is its choice.

use super::secrets::{present, require_object};
use super::{Client, ReadOptions};
use crate::call::kv2::{Address, Versions, Written};
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::secret::{Secret, SecretValue};
use crate::uri::MAX_VERSION;
use crate::uri::path::{Mount, SecretPath};

impl<H: Host> Client<H> {
    /// Reads the newest version, or the one that is named. End point: `GET mount/data/path`.
    ///
    /// # Errors
    /// As [`Client::read`]; [`crate::Code::IllegalSegment`] for a mount or path that is none.
    pub async fn kv2_read(
        &self,
        mount: &str,
        path: &str,
        version: Option<u64>,
        options: ReadOptions,
    ) -> Result<Secret> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        check_versions(version.as_slice())?;
        let operation = self.begin().await?;
        let (held, exchange) = operation.held(Address::new(&mount, &path), version, options).await?;
        let secret = present(held, format_args!("{}/{}", mount.wire(), path.wire()), version);
        secret.map_err(|error| operation.place(&exchange, error))
    }

    /// Writes a whole secret. End point: `POST mount/data/path`.
    ///
    /// With `cas` (the current version, 0 for a secret that was never written) a lost answer is
    /// made good by sending it again. Without, the write is sent once; where its answer is lost, a strong
    /// read looks whether the value is there.
    ///
    /// # Errors
    /// [`crate::Code::CasConflict`], [`crate::Code::CasRequired`], [`crate::Code::ValueTooLarge`];
    /// [`crate::Code::Indeterminate`] where the write was sent and its outcome can't be known.
    pub async fn kv2_write(&self, mount: &str, path: &str, data: &SecretValue, cas: Option<u64>) -> Result<Written> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        require_object(data, format_args!("{}/{}", mount.wire(), path.wire()))?;
        let (at, operation) = (Address::new(&mount, &path), self.begin().await?);
        match cas {
            Some(cas) => operation.write_after(at, data, cas, None).await,
            None => operation.write_blindly(at, data).await,
        }
    }

    /// Deletes these versions, or the newest where none is named. End points:
    /// `POST mount/delete/path`, `DELETE mount/data/path`.
    ///
    /// # Errors
    /// As [`Client::delete`].
    pub async fn kv2_delete(&self, mount: &str, path: &str, versions: &[u64]) -> Result<()> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        check_versions(versions)?;
        self.begin().await?.delete(Address::new(&mount, &path), versions).await
    }

    /// The versions of a secret. End point: `GET mount/metadata/path`.
    ///
    /// # Errors
    /// As [`Client::versions`].
    pub async fn kv2_versions(&self, mount: &str, path: &str) -> Result<Versions> {
        let (mount, path) = (Mount::parse(mount)?, SecretPath::parse(path)?);
        self.begin().await?.versions(Address::new(&mount, &path)).await
    }
}

/// OpenBao takes version 0 for the newest; who writes it here means something else.
fn check_versions(versions: &[u64]) -> Result<()> {
    match versions.iter().find(|version| !(1..=MAX_VERSION).contains(*version)) {
        None => Ok(()),
        Some(version) => Err(Error::new(Code::InvalidVersion).about(format!("version {version}"))),
    }
}
