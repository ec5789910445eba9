//! What a request is about: a secret, a prefix or a pointer that the tenant guard has admitted.
//!
//! Nothing else can be asked about, so nothing that the guard has not seen reaches a PDP or a provider.

mod foreign;

use std::num::NonZeroU64;

use baokit_core::config::parse;
use baokit_core::uri::path::Mount;
use baokit_core::uri::tenant::{TenantGuard, TenantPrefix, TenantUri};
use baokit_core::uri::{ParseOptions, PointerTarget, Provider, SecretPointer, SecretRef, SecretUri};
use baokit_core::{Code as CoreCode, Error as CoreError};

pub use self::foreign::ForeignUri;
use crate::error::{Code, Error, Result};
use crate::providers::AllowedFiles;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// A secret of a mount, or one key of it.
    Secret(TenantUri),
    /// What lies below a path.
    Prefix(TenantPrefix),
    /// A credential outside any mount.
    Pointer(SecretPointer),
    /// A secret of a provider that the host has registered.
    Foreign(ForeignUri),
    /// The tenant itself, for what concerns no single secret.
    Tenant(String),
}

/// What admits a resource: the tenant's guard, which files may be served, how URIs are read, and whose URIs the host
/// has registered.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    guard: TenantGuard,
    files: AllowedFiles,
    accept_legacy: bool,
    providers: Vec<String>,
}

impl Gate {
    pub fn new(settings: &baokit_core::Settings, files: AllowedFiles) -> Self {
        let (guard, accept_legacy) = (settings.tenant().clone(), settings.accept_legacy());
        Self { guard, files, accept_legacy, providers: Vec::new() }
    }

    /// Has the URIs of the host's providers admitted.
    pub fn serve(&mut self, providers: Vec<String>) {
        self.providers = providers;
    }

    pub fn tenant(&self) -> &str {
        self.guard.tenant()
    }

    /// Admits a secret or a pointer. A mount or a version that is given beside it must not be one more source of it.
    pub fn secret(&self, text: &str, mount: Option<&str>, version: Option<&str>) -> Result<Resource> {
        if let Some(foreign) = ForeignUri::parse(text, &self.providers, version)? {
            return self.foreign(foreign, mount);
        }
        match self.parsing().mount(mount).parse_ref(text)? {
            SecretRef::Pointer(pointer) if version.is_none() => {
                if let PointerTarget::File { .. } = pointer.target() {
                    self.files.admit(&pointer)?;
                }
                Ok(Resource::Pointer(pointer))
            }
            SecretRef::Uri(uri) => Ok(Resource::Secret(self.guard.admit(pinned(uri, version)?)?)),
            _ => Err(CoreError::new(CoreCode::VersionNotAllowed).because("a pointer has no versions").into()),
        }
    }

    /// Admits a prefix: a URI that may end in a slash, or a mount and a path below it.
    pub fn prefix(&self, provider: Provider, prefix: &str, mount: Option<&str>) -> Result<Resource> {
        if let Some(foreign) = ForeignUri::parse_prefix(prefix, &self.providers)? {
            return self.foreign(foreign, mount);
        }
        let spelled;
        let (text, mount) = match mount {
            Some(mount) if !prefix.contains("://") => {
                let mount = Mount::parse(mount)?;
                spelled = format!("{provider}://{}/{prefix}", mount.wire());
                (spelled.as_str(), None)
            }
            mount => (prefix, mount),
        };
        let prefix = self.parsing().mount(mount).parse_prefix(text)?;
        Ok(Resource::Prefix(self.guard.admit_prefix(prefix)?))
    }

    /// Checks a resource that another gate may have admitted, or nobody: anyone can make one of a guard of its own.
    pub fn check(&self, resource: &Resource) -> Result<()> {
        match resource {
            Resource::Secret(uri) => Ok(self.guard.check(uri.mount_wire())?),
            Resource::Prefix(prefix) => Ok(self.guard.check(prefix.mount_wire())?),
            Resource::Foreign(uri) => Ok(self.guard.check(uri.mount_wire())?),
            Resource::Pointer(pointer) => match pointer.target() {
                PointerTarget::File { .. } => self.files.admit(pointer),
                _ => Ok(()),
            },
            Resource::Tenant(text) if *text == self.tenant_resource() => Ok(()),
            Resource::Tenant(_) => Err(CoreError::new(CoreCode::TenantMountMismatch).into()),
        }
    }

    /// What stands for the tenant itself.
    pub fn tenant_resource(&self) -> String {
        format!("tenant:{}", self.tenant())
    }

    fn parsing<'a>(&self) -> ParseOptions<'a> {
        ParseOptions::new().accept_legacy(self.accept_legacy)
    }

    fn foreign(&self, (mount, uri): (Mount, ForeignUri), beside: Option<&str>) -> Result<Resource> {
        if let Some(beside) = beside {
            let is_same = Mount::parse(beside).is_ok_and(|beside| beside == mount);
            let code = if is_same { CoreCode::DoubleMountSource } else { CoreCode::AmbiguousMount };
            return Err(CoreError::new(code).into());
        }
        self.guard.check_mount(&mount)?;
        Ok(Resource::Foreign(uri))
    }
}

/// The URI with the version that is given beside it.
fn pinned(uri: SecretUri, version: Option<&str>) -> Result<SecretUri> {
    let Some(version) = version else { return Ok(uri) };
    if uri.version().is_some() {
        return Err(CoreError::new(CoreCode::AmbiguousQuery).because("the version is given twice").into());
    }
    let number = parse::whole(version).ok().and_then(|number| u64::try_from(number).ok()).and_then(NonZeroU64::new);
    let number = number.ok_or_else(|| CoreError::new(CoreCode::InvalidVersion))?;
    Ok(uri.with_version(Some(number))?)
}

impl Resource {
    /// The canonical text: the id that a PDP is asked about, and what an audit reference is made of.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Secret(uri) => uri.as_str(),
            Self::Prefix(prefix) => prefix.as_str(),
            Self::Pointer(pointer) => pointer.as_str(),
            Self::Foreign(uri) => uri.as_str(),
            Self::Tenant(text) => text,
        }
    }

    /// The provider, as metrics and strategies name it.
    #[must_use]
    pub fn provider(&self) -> &str {
        match self {
            Self::Secret(uri) => uri.provider().as_str(),
            Self::Prefix(prefix) => prefix.provider().as_str(),
            Self::Pointer(pointer) => match pointer.target() {
                PointerTarget::File { .. } => "file",
                _ => "db",
            },
            Self::Foreign(uri) => uri.scheme(),
            Self::Tenant(_) => "none",
        }
    }

    /// What a strategy is asked for: the text, and the version of a provider with a syntax of its own.
    pub(crate) fn reference(&self) -> (&str, Option<&str>) {
        match self {
            Self::Foreign(uri) => (uri.reference(), uri.version()),
            _ => (self.as_str(), None),
        }
    }

    /// The secret, where it is one of a mount.
    ///
    /// # Errors
    /// [`Code::OperationNotSupported`] where it is something else.
    pub(crate) fn uri(&self) -> Result<&TenantUri> {
        match self {
            Self::Secret(uri) => Ok(uri),
            _ => Err(Error::new(Code::OperationNotSupported)),
        }
    }
}
