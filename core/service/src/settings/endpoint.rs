//! The address of an issuer, a PDP or the service itself: an origin that is safe to speak to, and a path.

use std::fmt;

use baokit_core::config::{Origin, Scheme};
use baokit_core::{Code, Error, Result};

/// An https URL, or an http one on this machine: without user, query and fragment.
///
/// ```
/// use baokit_service::settings::Endpoint;
///
/// # fn main() -> baokit_core::Result<()> {
/// let issuer = Endpoint::parse("https://issuer.example/tenant/")?;
/// assert_eq!(issuer.join("/.well-known/openid-configuration"), "/tenant/.well-known/openid-configuration");
/// assert!(Endpoint::parse("http://issuer.example").is_err());
/// assert!(Endpoint::parse("http://127.0.0.1:8080").is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    origin: Origin,
    path: String,
}

impl Endpoint {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`Code::InvalidSetting`], which says what is wrong and does not repeat the text.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |reason| Error::new(Code::InvalidSetting).because(reason);
        let start = text.find("://").map_or(0, |at| at + 3);
        let end = text.get(start..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(text.len(), |at| start + at);
        let (origin, path) = text.split_at_checked(end).unwrap_or((text, ""));
        let origin = Origin::parse(origin)?;
        if origin.scheme() == Scheme::Http && !origin.is_loopback() {
            return Err(refused("http is for this machine alone; use https"));
        }
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
        let dots = |segment: &str| matches!(segment, "." | "..");
        if !path.bytes().all(legal) || path.split('/').any(dots) || path.contains("//") {
            return Err(refused("its path is plain segments, without escapes; there is no query and no fragment"));
        }
        Ok(Self { origin, path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Its path: empty, or beginning with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its path with another one behind it, which begins with a slash.
    #[must_use]
    pub fn join(&self, below: &str) -> String {
        format!("{}{below}", self.path.strip_suffix('/').unwrap_or(&self.path))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}
