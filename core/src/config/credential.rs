//! What a client logs in with. Every part is wiped when it is dropped, and no `Debug` shows one.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Code, Error, Result};
use crate::uri::path::ApiPath;

/// Longest token, role id or secret id, in bytes: more does not fit into the headers that the usual
/// proxies take.
pub const MAX_CREDENTIAL: usize = 8192;

/// Where AppRole is mounted by default.
const APP_ROLE_MOUNT: &str = "approle";

/// A token, or what one is had for.
#[derive(Clone)]
#[non_exhaustive]
pub enum Credential {
    /// Nothing: for calls that need no token, such as those that open a sealed server.
    None,
    /// A token that somebody else obtained. It can't be replaced when it is dead.
    Token(SecretString),
    /// AppRole: tokens are had for a role id and a secret id, and had anew when they die.
    AppRole {
        /// Where the method is mounted, below `auth/`; `approle` by default.
        mount: ApiPath,
        /// The role id.
        role_id: SecretString,
        /// The secret id.
        secret_id: SecretString,
    },
}

impl Credential {
    /// A token.
    #[must_use]
    pub fn token(token: impl Into<SecretString>) -> Self {
        Self::Token(token.into())
    }

    /// AppRole at its default mount.
    ///
    /// # Errors
    /// None in practice: the default mount is a legal path.
    pub fn app_role(role_id: impl Into<SecretString>, secret_id: impl Into<SecretString>) -> Result<Self> {
        Self::app_role_at(APP_ROLE_MOUNT, role_id, secret_id)
    }

    /// AppRole at another mount, such as `team-approle`.
    ///
    /// # Errors
    /// Those of [`ApiPath::parse`].
    pub fn app_role_at(
        mount: &str,
        role_id: impl Into<SecretString>,
        secret_id: impl Into<SecretString>,
    ) -> Result<Self> {
        let mount = ApiPath::parse(mount)?;
        Ok(Self::AppRole { mount, role_id: role_id.into(), secret_id: secret_id.into() })
    }
}

impl Credential {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Token(_) => "token",
            Self::AppRole { .. } => "app_role",
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Token(_) => f.write_str("Token([redacted])"),
            Self::AppRole { mount, .. } => write!(f, "AppRole({}, [redacted])", mount.wire()),
        }
    }
}

/// Checks a token: it goes into a header, where only visible ASCII arrives unchanged everywhere.
pub(crate) fn check_token(key: &str, token: &SecretString) -> Result<()> {
    check_secret(key, token)?;
    if token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(refusal(key, "a token consists of visible ASCII characters, without white space"))
}

/// Checks a role id or secret id: it goes into a JSON body, so any readable text will do.
pub(super) fn check_secret(key: &str, secret: &SecretString) -> Result<()> {
    let secret = secret.expose_secret();
    if secret.is_empty() {
        return Err(refusal(key, "it is empty"));
    }
    if secret.len() > MAX_CREDENTIAL {
        return Err(refusal(key, "it is longer than 8192 bytes"));
    }
    if secret.ends_with('\n') {
        return Err(refusal(key, "it ends with a line break: was it read from a file?"));
    }
    if secret.chars().any(char::is_control) {
        return Err(refusal(key, "it has control characters in it"));
    }
    if secret.trim().len() != secret.len() {
        return Err(refusal(key, "it begins or ends with white space"));
    }
    Ok(())
}

fn refusal(key: &str, reason: &'static str) -> Error {
    Error::new(Code::InvalidSetting).about(key.to_owned()).because(reason)
}
