//! Pointers: credentials that lie outside any mount.
//!
//! `file:<store>:<name>` is a file that the host opens in the folder of that store, without
//! following links; `db:credentials:<uuid>` is a row that the host's own strategy finds. core only
//! validates the text: names are one plain segment, so that no pointer leads out of its folder.

use super::{ParseOptions, SecretUri, shown};
use crate::error::{Code, Error, Result};

/// Longest store or name, in bytes: what file systems allow.
const MAX_NAME: usize = 255;

const FILE: &str = "file:";
const DB: &str = "db:";
const CREDENTIALS: &str = "credentials:";

/// The store of a file pointer that names none.
pub const DEFAULT_STORE: &str = "primary";

/// A validated pointer in its canonical text.
///
/// Store and name consist of ASCII letters, digits, `.`, `_` and `-`, do not begin with a dot and
/// have 1 to 255 bytes; a UUID is written with hyphens, and canonically in lower case. The first
/// word may be in any case, as a provider may. There are no escapes, fragments or versions.
///
/// ```
/// use baokit_core::uri::{PointerTarget, SecretPointer};
///
/// # fn main() -> baokit_core::Result<()> {
/// let pointer = SecretPointer::parse("file:db-password")?;
/// assert_eq!(pointer.as_str(), "file:primary:db-password");
/// assert_eq!(pointer.target(), PointerTarget::File { store: "primary", name: "db-password" });
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SecretPointer(Box<str>);

/// What a [`SecretPointer`] points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PointerTarget<'a> {
    /// A file in a store.
    File {
        /// The store; `primary` by default.
        store: &'a str,
        /// The file's name, one segment.
        name: &'a str,
    },
    /// A row in the host's table of credentials.
    DbCredentials {
        /// The UUID, in lower case.
        id: &'a str,
    },
}

impl SecretPointer {
    /// Parses a pointer.
    ///
    /// # Errors
    /// [`Code::InvalidPointer`].
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(rest) = strip_word(text, FILE) {
            let (store, name) = rest.split_once(':').unwrap_or((DEFAULT_STORE, rest));
            if is_name(store) && is_name(name) {
                return Ok(Self(format!("{FILE}{store}:{name}").into()));
            }
            let reason = "store and name are one segment of letters, digits, dots, _ and -, and begin with no dot";
            return Err(refusal(text, reason));
        }
        if let Some(id) = strip_word(text, DB).and_then(|rest| rest.strip_prefix(CREDENTIALS)) {
            if is_uuid(id) {
                return Ok(Self(format!("{DB}{CREDENTIALS}{}", id.to_ascii_lowercase()).into()));
            }
            return Err(refusal(text, "what follows db:credentials: is no UUID"));
        }
        Err(Error::new(Code::InvalidPointer).because("it begins with neither file: nor db:credentials:"))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it points to.
    #[must_use]
    pub fn target(&self) -> PointerTarget<'_> {
        let file = self.0.strip_prefix(FILE).and_then(|rest| rest.split_once(':'));
        match file {
            Some((store, name)) => PointerTarget::File { store, name },
            None => PointerTarget::DbCredentials { id: self.0.rsplit(':').next().unwrap_or_default() },
        }
    }
}

/// A reference to a secret in either notation.
///
/// ```
/// use baokit_core::uri::SecretRef;
///
/// # fn main() -> baokit_core::Result<()> {
/// assert!(matches!(SecretRef::parse("openbao+kv2://secret/app#token")?, SecretRef::Uri(_)));
/// assert!(matches!(SecretRef::parse("file:db-password")?, SecretRef::Pointer(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretRef {
    /// A secret URI, strictly parsed.
    Uri(SecretUri),
    /// A pointer.
    Pointer(SecretPointer),
}

impl SecretRef {
    /// Parses a pointer where the text begins with `file:` or `db:` and has no `://` there, else a
    /// URI.
    ///
    /// # Errors
    /// Those of [`SecretPointer::parse`] or of [`SecretUri::parse`].
    pub fn parse(text: &str) -> Result<Self> {
        ParseOptions::new().parse_ref(text)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Uri(uri) => uri.as_str(),
            Self::Pointer(pointer) => pointer.as_str(),
        }
    }
}

/// Strips a first word that may be in any case.
/// Parses what begins with `file:` or `db:` and has no `://` there; none for anything else.
pub(super) fn pointer(text: &str) -> Option<Result<SecretPointer>> {
    let rest = strip_word(text, FILE).or_else(|| strip_word(text, DB))?;
    if rest.starts_with("//") { None } else { Some(SecretPointer::parse(text)) }
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_NAME).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(legal)
}

fn is_uuid(id: &str) -> bool {
    let mut groups = id.split('-');
    let hex = |group: &str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    [8, 4, 4, 4, 12].iter().all(|length| groups.next().is_some_and(|group| group.len() == *length && hex(group)))
        && groups.next().is_none()
}

#[cold]
fn refusal(text: &str, reason: &'static str) -> Error {
    Error::new(Code::InvalidPointer).about(format!("\"{}\"", shown(text))).because(reason)
}
