//! Prefixes: what a list, a search or a policy names instead of one secret.

use std::borrow::Cow;
use std::str::FromStr;

use super::{ParseOptions, Provider, decoded};
use crate::error::{Error, Result};

/// A place in a mount below which secrets lie; its canonical text ends in one slash, or in `/*`.
///
/// It is a type of its own, so that an operation on a secret can't receive one. `…/app/` is the
/// folder `app`; `…/app/*`, which only [`ParseOptions::wildcard`] allows, is everything below it
/// at any depth. A prefix has neither fragment nor version.
///
/// ```
/// use baokit_core::uri::SecretPrefix;
///
/// # fn main() -> baokit_core::Result<()> {
/// let folder = SecretPrefix::parse("openbao+kv2://secret/app")?;
/// assert_eq!(folder.as_str(), "openbao+kv2://secret/app/");
/// assert_eq!(SecretPrefix::parse("openbao+kv2://secret/")?.path_wire(), "");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SecretPrefix {
    pub(super) text: Box<str>,
    pub(super) mount_end: u16,
    /// Where the last name ends, without the slash; equal to `mount_end` at the mount's root.
    pub(super) path_end: u16,
    pub(super) provider: Provider,
    pub(super) wildcard: bool,
}

impl SecretPrefix {
    /// Parses a prefix; one trailing slash may be there or not, a wildcard may not.
    ///
    /// # Errors
    /// Those of [`SecretUri::parse`](super::SecretUri::parse) save the trailing slash, and
    /// [`FragmentNotAllowed`](crate::Code::FragmentNotAllowed) or
    /// [`VersionNotAllowed`](crate::Code::VersionNotAllowed).
    pub fn parse(text: &str) -> Result<Self> {
        ParseOptions::new().parse_prefix(text)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Provider and engine.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Whether it ends in `/*`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The mount as OpenBao knows it, decoded.
    #[must_use]
    pub fn mount(&self) -> Cow<'_, str> {
        decoded(self.mount_wire())
    }

    /// The path below the mount, decoded, without a trailing slash; empty at the mount's root.
    #[must_use]
    pub fn path(&self) -> Cow<'_, str> {
        decoded(self.path_wire())
    }

    /// The mount as it goes onto the wire: one segment, percent-encoded.
    #[must_use]
    pub fn mount_wire(&self) -> &str {
        self.text.get(self.provider.prefix().len()..self.mount_end.into()).unwrap_or_default()
    }

    /// The path as it goes onto the wire, percent-encoded, without slashes around it; empty at the
    /// mount's root.
    #[must_use]
    pub fn path_wire(&self) -> &str {
        self.text.get(usize::from(self.mount_end) + 1..self.path_end.into()).unwrap_or_default()
    }
}

impl FromStr for SecretPrefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}
