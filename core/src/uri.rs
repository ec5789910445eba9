//! Secret URIs: one canonical text for each resource.
//!
//! ```text
//! provider[+engine]://mount/path#fragment?version=N
//! openbao+kv2://secret/app/api#token?version=3
//! ```
//!
//! There is no authority: the first segment is the mount. The fragment names one key of the
//! secret, the version pins one version of it. What [`SecretUri`] accepts:
//!
//! - Provider and engine in any case: `openbao+kv2`, `hashicorp+kv2`, `yaml`. Mount, path and
//!   fragment are case-sensitive. `openbao kv2://` means `openbao+kv2://`: a form decoder has
//!   turned the `+` into a space.
//! - Names of any characters but white space, control and format characters, backslashes, `*`, and
//!   whatever looks like a dot, a slash, a backslash or a percent sign. `%XX` is decoded exactly
//!   once and must spell UTF-8; it may not spell a slash, a dot, a backslash or anything refused
//!   above, except that `%20` is a space inside a name. A name is not empty, `.` or `..`.
//! - A fragment may hold slashes, and its pieces keep the rules of names. It ends at a `?`; a
//!   literal `?` or `#` is written `%3F` or `%23`.
//! - The one query key is `version`, a decimal number from 1 to [`MAX_VERSION`] without sign or
//!   leading zeros. It may stand behind the fragment or, in RFC 3986's order, before it.
//! - At most [`MAX_LENGTH`] bytes, in the input and in the canonical text.
//!
//! Canonical text is ASCII, and canonicalising it changes nothing. Two inputs have one canonical
//! text exactly when they name the same resource: nothing is normalised beyond the escapes and the
//! provider's case. In particular there is no Unicode normalisation, since OpenBao compares bytes:
//! `é` as one code point and `e` with a combining accent name two different secrets.
//!
//! The rooms: [`path`] has the same rules for mounts and paths that are given on their own,
//! [`SecretPrefix`] is what a list or a policy names, [`SecretPointer`] is a credential outside any
//! mount, and [`tenant`] decides which mounts may be used.

mod characters;
mod grammar;
mod names;
pub mod path;
mod pointer;
mod prefix;
mod provider;
pub mod tenant;

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

pub(crate) use self::names::shown;
use self::path::{Mount, SecretPath};
pub use self::pointer::{PointerTarget, SecretPointer, SecretRef};
pub use self::prefix::SecretPrefix;
pub use self::provider::Provider;
use crate::error::{Code, Error, Result};

/// Longest URI or path, in bytes: of the input, and of the canonical text with its escapes.
pub const MAX_LENGTH: usize = 2048;

/// Greatest version: OpenBao reads versions as signed 64-bit integers.
pub const MAX_VERSION: u64 = i64::MAX as u64;

/// The canonical URI of one secret, or of one key in it.
///
/// Two URIs are equal exactly when they name the same resource; they are ordered by their text.
/// A wildcard or a prefix is never a `SecretUri`: see [`SecretPrefix`].
///
/// ```
/// use baokit_core::uri::SecretUri;
///
/// # fn main() -> baokit_core::Result<()> {
/// let uri = SecretUri::parse("OpenBao+KV2://secret/app/%61pi?version=3#token")?;
/// assert_eq!(uri.as_str(), "openbao+kv2://secret/app/api#token?version=3");
/// assert_eq!((uri.mount().as_ref(), uri.path().as_ref()), ("secret", "app/api"));
/// assert_eq!(uri.fragment().as_deref(), Some("token"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SecretUri {
    /// The canonical text; everything below is an offset into it.
    text: Box<str>,
    mount_end: u16,
    path_end: u16,
    /// Equal to `path_end` where there is no fragment.
    fragment_end: u16,
    provider: Provider,
    version: Option<NonZeroU64>,
}

impl SecretUri {
    /// Parses a URI of one secret by the strict rules; for others see [`ParseOptions`].
    ///
    /// # Errors
    /// One of [`Code::InvalidUri`], [`Code::UriTooLong`], [`Code::IllegalSegment`],
    /// [`Code::InvalidWildcard`], [`Code::UnsupportedEngine`], [`Code::AmbiguousQuery`],
    /// [`Code::TrailingSlash`], [`Code::InvalidVersion`], [`Code::InvalidFragment`].
    pub fn parse(text: &str) -> Result<Self> {
        ParseOptions::new().parse(text)
    }

    /// The URI of a whole secret below a mount.
    ///
    /// # Errors
    /// [`Code::UriTooLong`] where the three together exceed [`MAX_LENGTH`].
    pub fn new(provider: Provider, mount: &Mount, path: &SecretPath) -> Result<Self> {
        grammar::assemble(provider, mount.wire(), path.wire())
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

    /// The mount as OpenBao knows it, decoded.
    #[must_use]
    pub fn mount(&self) -> Cow<'_, str> {
        decoded(self.mount_wire())
    }

    /// The path below the mount, decoded.
    #[must_use]
    pub fn path(&self) -> Cow<'_, str> {
        decoded(self.path_wire())
    }

    /// The key inside the secret, decoded, where one is named.
    #[must_use]
    pub fn fragment(&self) -> Option<Cow<'_, str>> {
        let start = usize::from(self.path_end) + 1;
        self.text.get(start..self.fragment_end.into()).map(decoded)
    }

    /// The pinned version, if any.
    #[must_use]
    pub fn version(&self) -> Option<NonZeroU64> {
        self.version
    }

    /// The mount as it goes onto the wire: one segment, percent-encoded.
    #[must_use]
    pub fn mount_wire(&self) -> &str {
        self.text.get(self.provider.prefix().len()..self.mount_end.into()).unwrap_or_default()
    }

    /// The path below the mount as it goes onto the wire, percent-encoded, without a leading slash.
    #[must_use]
    pub fn path_wire(&self) -> &str {
        self.text.get(usize::from(self.mount_end) + 1..self.path_end.into()).unwrap_or_default()
    }

    /// Mount and path as on the wire, which is what a client remembers a secret by.
    #[cfg(feature = "cache")]
    pub(crate) fn key(&self) -> &str {
        self.text.get(self.provider.prefix().len()..self.path_end.into()).unwrap_or_default()
    }

    /// The URI of the whole secret in its latest version: without fragment and version.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self {
            text: self.text.get(..self.path_end.into()).unwrap_or_default().into(),
            fragment_end: self.path_end,
            version: None,
            ..*self
        }
    }

    /// The same URI, pinned to this version, or to none.
    ///
    /// # Errors
    /// [`Code::InvalidVersion`] above [`MAX_VERSION`], [`Code::UriTooLong`] where the version makes
    /// the URI exceed [`MAX_LENGTH`].
    pub fn with_version(&self, version: Option<NonZeroU64>) -> Result<Self> {
        let mut text = self.text.get(..self.fragment_end.into()).unwrap_or_default().to_owned();
        if let Some(version) = version {
            if version.get() > MAX_VERSION {
                return Err(Error::new(Code::InvalidVersion));
            }
            text.push_str("?version=");
            text.push_str(&version.to_string());
        }
        Ok(Self { text: grammar::finish(text)?, version, ..*self })
    }
}

/// How to read a URI, where the strict rules of [`SecretUri::parse`] are not what is wanted.
///
/// ```
/// use baokit_core::uri::{ParseOptions, SecretUri};
///
/// # fn main() -> baokit_core::Result<()> {
/// let legacy = ParseOptions::new().accept_legacy(true);
/// assert_eq!(legacy.parse(" openbao+kv2://secret//app ")?, SecretUri::parse("openbao+kv2://secret/app")?);
///
/// let everything = ParseOptions::new().wildcard(true).parse_prefix("openbao+kv2://secret/app/*")?;
/// assert!(everything.is_wildcard());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ParseOptions<'a> {
    accept_legacy: bool,
    wildcard: bool,
    mount: Option<&'a str>,
}

impl<'a> ParseOptions<'a> {
    /// The strict rules.
    #[must_use]
    pub const fn new() -> Self {
        Self { accept_legacy: false, wildcard: false, mount: None }
    }

    /// Collapses duplicate slashes in mount and path, and trims ASCII white space around the
    /// whole (`SECRET_URI_ACCEPT_LEGACY`). Nothing else is forgiven.
    #[must_use]
    pub const fn accept_legacy(mut self, accept: bool) -> Self {
        self.accept_legacy = accept;
        self
    }

    /// Lets [`parse_prefix`](Self::parse_prefix) take a terminal `/*`.
    #[must_use]
    pub const fn wildcard(mut self, allow: bool) -> Self {
        self.wildcard = allow;
        self
    }

    /// A mount that was given beside the URI, as a parameter for instance.
    ///
    /// A URI has its mount in it, so a second source is always an error: one that agrees is
    /// [`Code::DoubleMountSource`], one that differs, or is no mount, [`Code::AmbiguousMount`].
    #[must_use]
    pub const fn mount(mut self, mount: Option<&'a str>) -> Self {
        self.mount = mount;
        self
    }

    /// Parses the URI of one secret.
    ///
    /// # Errors
    /// Those of [`SecretUri::parse`], and those of [`mount`](Self::mount).
    pub fn parse(&self, text: &str) -> Result<SecretUri> {
        let uri = grammar::secret(text, self.accept_legacy)?;
        self.refuse_second_mount(uri.mount_wire())?;
        Ok(uri)
    }

    /// Parses a pointer, or else a secret URI: what names one credential.
    ///
    /// # Errors
    /// Those of [`SecretPointer::parse`] or of [`ParseOptions::parse`]; a pointer has no mount, so that one given
    /// beside it is [`Code::AmbiguousMount`].
    pub fn parse_ref(&self, text: &str) -> Result<SecretRef> {
        match (pointer::pointer(text), self.mount) {
            (None, _) => self.parse(text).map(SecretRef::Uri),
            (Some(pointer), None) => pointer.map(SecretRef::Pointer),
            (Some(_), Some(mount)) => {
                Err(Error::new(Code::AmbiguousMount).about(format!("mount \"{}\"", shown(mount))))
            }
        }
    }

    /// Parses a prefix: what a list, a search or a policy names.
    ///
    /// # Errors
    /// Those of [`SecretPrefix::parse`], and those of [`mount`](Self::mount).
    pub fn parse_prefix(&self, text: &str) -> Result<SecretPrefix> {
        let prefix = grammar::prefix(text, self.accept_legacy, self.wildcard)?;
        self.refuse_second_mount(prefix.mount_wire())?;
        Ok(prefix)
    }

    fn refuse_second_mount(&self, mount: &str) -> Result<()> {
        let Some(second) = self.mount else { return Ok(()) };
        let code = match Mount::parse(second) {
            Ok(second) if second.wire() == mount => Code::DoubleMountSource,
            _ => Code::AmbiguousMount,
        };
        Err(Error::new(code).about(format!("mount \"{}\"", shown(second))))
    }
}

/// Decodes canonical text, whose escapes are always well-formed UTF-8.
fn decoded(canonical: &str) -> Cow<'_, str> {
    percent_decode_str(canonical).decode_utf8_lossy()
}

impl FromStr for SecretUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for SecretUri {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// Gives a type its identity from its canonical text: equality, order, hash and printing.
macro_rules! identity {
    ($name:ident) => {
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.as_str().cmp(other.as_str())
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.as_str())
            }
        }
    };
}

identity!(SecretUri);
identity!(SecretPrefix);
identity!(SecretPointer);
