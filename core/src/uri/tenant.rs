//! The tenant guard: which mounts a process may touch at all.
//!
//! It fails closed: a guard with no mounts admits nothing. It is the first check behind the parser
//! and the only maker of [`TenantUri`] and [`TenantPrefix`], which are all that operations accept.
//! So no operation can be reached with a URI that the guard has not seen.

use std::fmt;
use std::ops::Deref;

use super::path::Mount;
use super::{SecretPrefix, SecretUri, shown};
use crate::error::{Code, Error, Result};

/// Longest tenant id, in bytes.
pub const MAX_TENANT_ID: usize = 128;

/// Mounts that OpenBao keeps for itself: no secrets of a tenant are there.
const RESERVED: [&str; 4] = ["sys", "auth", "identity", "cubbyhole"];

const KEY_ID: &str = "TENANT_ID";
const KEY_MOUNTS: &str = "TENANT_ALLOWED_MOUNTS";

/// A tenant and the mounts it may use.
///
/// ```
/// use baokit_core::{Code, uri::{SecretUri, tenant::TenantGuard}};
///
/// # fn main() -> baokit_core::Result<()> {
/// let guard = TenantGuard::new("dev", ["secret"])?;
/// let uri = guard.admit(SecretUri::parse("openbao+kv2://secret/app")?)?;
/// assert_eq!(uri.path(), "app");
///
/// let refused = guard.admit(SecretUri::parse("openbao+kv2://other/app")?).unwrap_err();
/// assert_eq!(refused.code(), Code::TenantMountMismatch);
/// assert_eq!(TenantGuard::new("dev", ["sys"]).unwrap_err().code(), Code::InvalidSetting);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TenantGuard {
    tenant: Box<str>,
    mounts: Vec<Mount>,
}

impl TenantGuard {
    /// A guard for this tenant; an empty list of mounts allows nothing.
    ///
    /// # Errors
    /// [`Code::InvalidSetting`] about `TENANT_ID`, where the id is empty, too long or has white
    /// space or control characters in it, and about `TENANT_ALLOWED_MOUNTS`, where a mount is `*`,
    /// one of OpenBao's own (`sys`, `auth`, `identity`, `cubbyhole`) or not one plain segment.
    pub fn new<I>(tenant: &str, mounts: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let illegal = |c: char| c.is_whitespace() || c.is_control();
        if tenant.is_empty() || tenant.len() > MAX_TENANT_ID || tenant.contains(illegal) {
            let reason = "a tenant id has 1 to 128 bytes, no white space and no control characters";
            return Err(Error::new(Code::InvalidSetting).about(KEY_ID).because(reason));
        }
        let mounts = mounts.into_iter().zip(1..).map(|(mount, entry)| allowed_mount(mount.as_ref(), entry));
        Ok(Self { tenant: tenant.into(), mounts: mounts.collect::<Result<_>>()? })
    }

    /// The tenant's id.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The mounts that are allowed.
    #[must_use]
    pub fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// Lets a URI pass if its mount is allowed.
    ///
    /// # Errors
    /// [`Code::TenantMountMismatch`], which names the mount and the tenant.
    pub fn admit(&self, uri: SecretUri) -> Result<TenantUri> {
        self.check(uri.mount_wire())?;
        Ok(TenantUri(uri))
    }

    /// Lets a URI pass that the caller keeps.
    pub(crate) fn admit_borrowed<'a>(&self, uri: &'a SecretUri) -> Result<Admitted<'a>> {
        self.check(uri.mount_wire())?;
        Ok(Admitted(uri))
    }

    /// Lets a prefix pass if its mount is allowed.
    ///
    /// # Errors
    /// [`Code::TenantMountMismatch`], which names the mount and the tenant.
    pub fn admit_prefix(&self, prefix: SecretPrefix) -> Result<TenantPrefix> {
        self.check(prefix.mount_wire())?;
        Ok(TenantPrefix(prefix))
    }

    /// Checks a mount that is given on its own.
    ///
    /// # Errors
    /// [`Code::TenantMountMismatch`], which names the mount and the tenant.
    pub fn check_mount(&self, mount: &Mount) -> Result<()> {
        self.check(mount.wire())
    }

    /// Checks a mount in wire form, as a URI or a prefix has it.
    ///
    /// # Errors
    /// [`Code::TenantMountMismatch`].
    pub fn check(&self, mount: &str) -> Result<()> {
        if self.mounts.iter().any(|allowed| allowed.wire() == mount) {
            return Ok(());
        }
        let subject = format!("mount \"{}\"", shown(mount));
        let reason = format!("tenant \"{}\" may not use it", shown(&self.tenant));
        Err(Error::new(Code::TenantMountMismatch).about(subject).because(reason))
    }
}

/// Checks one entry of the list. Its place is named and not its text, as for every setting.
fn allowed_mount(text: &str, entry: usize) -> Result<Mount> {
    let refused = |reason| {
        let reason = format!("entry {entry} {reason}");
        Error::new(Code::InvalidSetting).about(KEY_MOUNTS).because(reason)
    };
    let mount = Mount::parse(text).map_err(|error| match error.code() {
        Code::InvalidWildcard => refused("allows everything; name the mounts one by one"),
        _ => refused("is not one plain segment"),
    })?;
    if RESERVED.contains(&mount.wire()) {
        return Err(refused("is one of OpenBao's own mounts"));
    }
    Ok(mount)
}

/// A URI that the guard has admitted, and that somebody else holds.
#[derive(Clone, Copy)]
pub(crate) struct Admitted<'a>(&'a SecretUri);

impl<'a> Admitted<'a> {
    pub fn uri(self) -> &'a SecretUri {
        self.0
    }
}

/// A secret URI that the guard has admitted. Only [`TenantGuard::admit`] makes one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TenantUri(SecretUri);

impl TenantUri {
    /// The URI.
    #[must_use]
    pub fn uri(&self) -> &SecretUri {
        &self.0
    }

    pub(crate) fn admitted(&self) -> Admitted<'_> {
        Admitted(&self.0)
    }

    /// The same mount and path in its latest version, without a fragment; admitted as well.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self(self.0.whole())
    }
}

/// A prefix that the guard has admitted. Only [`TenantGuard::admit_prefix`] makes one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TenantPrefix(SecretPrefix);

impl TenantPrefix {
    /// The prefix.
    #[must_use]
    pub fn prefix(&self) -> &SecretPrefix {
        &self.0
    }
}

macro_rules! transparent {
    ($name:ident, $inner:ident) => {
        impl Deref for $name {
            type Target = $inner;

            fn deref(&self) -> &$inner {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0.as_str())
            }
        }
    };
}

transparent!(TenantUri, SecretUri);
transparent!(TenantPrefix, SecretPrefix);
