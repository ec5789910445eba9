//! Secret URIs, prefixes and pointers: core's parser, and the parts of what it accepted.

use std::fmt;
use std::sync::Arc;

use baokit::{Code, Error, ParseOptions};

use crate::error::Result;

/// The canonical URI of one secret, or of one key in it.
#[derive(Debug, PartialEq, Eq, Hash, uniffi::Object)]
#[uniffi::export(Display, Eq, Hash)]
pub struct SecretUri(baokit::SecretUri);

#[uniffi::export]
impl SecretUri {
    /// Parses a URI by the strict rules, or forgiving duplicate slashes and white space around it.
    /// A mount that was given beside it is refused.
    #[uniffi::constructor(default(accept_legacy = false, mount = None))]
    pub fn parse(text: &str, accept_legacy: bool, mount: Option<String>) -> Result<Self> {
        let options = ParseOptions::new().accept_legacy(accept_legacy).mount(mount.as_deref());
        Ok(Self(options.parse(text)?))
    }

    /// Provider and engine, such as `openbao+kv2`.
    pub fn provider(&self) -> String {
        self.0.provider().to_string()
    }

    /// The mount, decoded.
    pub fn mount(&self) -> String {
        self.0.mount().into_owned()
    }

    /// The path below the mount, decoded.
    pub fn path(&self) -> String {
        self.0.path().into_owned()
    }

    /// The key inside the secret, decoded, where one is named.
    pub fn fragment(&self) -> Option<String> {
        self.0.fragment().map(Into::into)
    }

    /// The pinned version, if any.
    pub fn version(&self) -> Option<u64> {
        self.0.version().map(u64::from)
    }
}

impl fmt::Display for SecretUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A prefix: what a list, a search or a policy names.
#[derive(Debug, PartialEq, Eq, Hash, uniffi::Object)]
#[uniffi::export(Display, Eq, Hash)]
pub struct SecretPrefix(pub(crate) baokit::SecretPrefix);

#[uniffi::export]
impl SecretPrefix {
    /// Parses a prefix; with `wildcard` it may end in a slash and a star. (Kotlin would take the two
    /// side by side for the beginning of a comment.)
    #[uniffi::constructor(default(accept_legacy = false, wildcard = false, mount = None))]
    pub fn parse(text: &str, accept_legacy: bool, wildcard: bool, mount: Option<String>) -> Result<Self> {
        let options = ParseOptions::new().accept_legacy(accept_legacy).wildcard(wildcard).mount(mount.as_deref());
        Ok(Self(options.parse_prefix(text)?))
    }
}

impl fmt::Display for SecretPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A `file:` or `db:credentials:` pointer in its canonical text.
#[derive(Debug, PartialEq, Eq, Hash, uniffi::Object)]
#[uniffi::export(Display, Eq, Hash)]
pub struct SecretPointer(baokit::SecretPointer);

#[uniffi::export]
impl SecretPointer {
    /// Parses a pointer.
    #[uniffi::constructor]
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self(baokit::SecretPointer::parse(text)?))
    }
}

impl fmt::Display for SecretPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A reference to a secret in either notation.
#[allow(missing_docs, reason = "the one field of each case is the case itself, parsed")]
#[derive(uniffi::Enum)]
pub enum SecretRef {
    /// A secret URI.
    Uri { uri: Arc<SecretUri> },
    /// A pointer.
    Pointer { pointer: Arc<SecretPointer> },
}

/// Parses a pointer where the text is one, else a URI.
#[uniffi::export]
pub fn parse_secret_ref(text: &str) -> Result<SecretRef> {
    use baokit::SecretRef as Ref;
    Ok(match Ref::parse(text)? {
        Ref::Uri(uri) => SecretRef::Uri { uri: Arc::new(SecretUri(uri)) },
        Ref::Pointer(pointer) => SecretRef::Pointer { pointer: Arc::new(SecretPointer(pointer)) },
        // Ref is open: a notation that core adds is unknown here until this face is made anew.
        _ => return Err(Error::new(Code::Internal).because("a reference in a notation that is new").into()),
    })
}
