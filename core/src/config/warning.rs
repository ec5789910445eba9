//! Settings that work and deserve a second look. They are data; the host logs them.

use std::fmt;

/// What a [`Warning`] is about, as a stable name that programs may compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WarningCode {
    /// A token and an AppRole are set; the AppRole is used.
    TokenIgnored,
    /// A node that is not this machine is reached without TLS.
    PlainHttp,
    /// TLS certificates are not verified.
    TlsNotVerified,
    /// A node stands twice in the list; it is used once.
    DuplicateNode,
}

impl WarningCode {
    /// The stable text, such as `PLAIN_HTTP`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenIgnored => "TOKEN_IGNORED",
            Self::PlainHttp => "PLAIN_HTTP",
            Self::TlsNotVerified => "TLS_NOT_VERIFIED",
            Self::DuplicateNode => "DUPLICATE_NODE",
        }
    }
}

impl fmt::Display for WarningCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A warning: a stable code, and a text that names the keys and shows no value of a credential.
///
/// ```
/// use baokit_core::config::{Credential, Settings, WarningCode};
/// use baokit_core::uri::Provider;
///
/// # fn main() -> baokit_core::Result<()> {
/// let builder = Settings::builder(Provider::OpenBao).credential(Credential::token("hvs.example"));
/// let settings = builder.urls(["http://openbao.internal:8200"]).build()?;
/// assert_eq!(settings.warnings()[0].code(), WarningCode::PlainHttp);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    code: WarningCode,
    text: String,
}

impl Warning {
    pub(super) fn new(code: WarningCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> WarningCode {
        self.code
    }

    /// What is unusual, and what to do about it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}
