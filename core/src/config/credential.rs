//! What a client logs in with. Every part is wiped when it is dropped, and no `Debug` shows one.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Code, Error, Result};
use crate::uri::path::{ApiPath, Mount};

/// Longest token, role id, secret id, password or JWT, in bytes: more does not fit into the headers that the usual
/// proxies take.
pub const MAX_CREDENTIAL: usize = 8192;

/// Where Kubernetes puts the token of a pod's service account.
pub const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// A token, or what one is had for.
///
/// The methods are expected at their default mounts; [`Credential::at`] names another.
///
/// ```
/// use baokit_core::config::Credential;
///
/// # fn main() -> baokit_core::Result<()> {
/// let _given = Credential::token("hvs.example");
/// let _agent = Credential::token_file("/run/openbao/token");
/// let _pod = Credential::kubernetes("app")?.at("kubernetes-west")?;
/// let _ci = Credential::jwt("deploy", "eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl")?;
/// let _delivered = Credential::wrapped_app_role("role-id", "hvs.wrapping-token", Some("app"))?;
/// let _person = Credential::user_pass("ada", "correct horse battery staple")?;
/// let _machine = Credential::certificate(Some("app".to_owned()))?;
/// let _job = Credential::app_role("role-id", "secret-id")?.inline();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Credential {
    /// Nothing: for calls that need no token, such as those that open a sealed server.
    None,
    /// A token that somebody else obtained. It can't be replaced when it is dead.
    Token(SecretString),
    /// A file with a token that somebody else keeps fresh, such as OpenBao's agent. It is read when a token is
    /// first needed, and again when a server does not know the token that it held.
    TokenFile(Arc<str>, Gate),
    /// AppRole: tokens are had for a role id and a secret id, and had anew when they die.
    AppRole {
        /// Where the method is mounted, below `auth/`; `approle` by default.
        mount: ApiPath,
        /// The role id.
        role_id: SecretString,
        /// The secret id.
        secret_id: SecretString,
    },
    /// AppRole with a secret id that came wrapped. It is unwrapped once, at the first log-in, and kept from then
    /// on in the client's memory only.
    WrappedAppRole {
        /// Where the method is mounted, below `auth/`; `approle` by default.
        mount: ApiPath,
        /// The role id.
        role_id: SecretString,
        /// The wrapping token that stands for the secret id.
        wrapping_token: Arc<SecretString>,
        /// The name of the role. Where it is known, the wrapping token must have been made for a secret id of
        /// this role, which is asked before it is unwrapped.
        role: Option<Mount>,
        #[doc(hidden)]
        gate: Gate,
    },
    /// A user's name and password.
    UserPass {
        /// Where the method is mounted, below `auth/`; `userpass` by default.
        mount: ApiPath,
        /// The name.
        name: Mount,
        /// The password.
        password: SecretString,
        #[doc(hidden)]
        gate: Gate,
    },
    /// A JWT that the method of that name checks, or the one for Kubernetes.
    Jwt {
        /// Where the method is mounted, below `auth/`; `jwt` or `kubernetes` by default.
        mount: ApiPath,
        /// The role; the default role of the mount where there is none.
        role: Option<String>,
        /// The JWT, or the file that it is read from at each log-in.
        jwt: JwtSource,
        #[doc(hidden)]
        gate: Gate,
    },
    /// The TLS certificate of [`SettingsBuilder::client_certificate`](super::SettingsBuilder::client_certificate).
    Certificate {
        /// Where the method is mounted, below `auth/`; `cert` by default.
        mount: ApiPath,
        /// The role; any that fits the certificate where there is none.
        name: Option<String>,
        #[doc(hidden)]
        gate: Gate,
    },
    /// Another of these, shown with every request in place of a token: the server carries the log-in out for that
    /// one request and stores nothing. See [`Credential::inline`].
    Inline(Box<Credential>, Gate),
}

/// There is one only where core's feature `log-ins` is on. Without it, what holds one can't exist either, and the
/// compiler leaves out all that deals with it.
#[derive(Clone, Copy, Debug)]
pub struct Gate(Presence);

#[cfg(feature = "log-ins")]
type Presence = ();
#[cfg(not(feature = "log-ins"))]
type Presence = std::convert::Infallible;

/// Where a JWT comes from.
///
/// ```
/// use baokit_core::config::{Credential, JwtSource};
///
/// # fn main() -> baokit_core::Result<()> {
/// let credential = Credential::jwt_file("app", "/run/identity/jwt")?;
/// assert!(matches!(credential, Credential::Jwt { jwt: JwtSource::File(_), .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub enum JwtSource {
    /// The text itself.
    Text(SecretString),
    /// A file, which is read at each log-in: whoever issues JWTs replaces them before they expire.
    File(Arc<str>),
}

impl Credential {
    /// A token.
    #[must_use]
    pub fn token(token: impl Into<SecretString>) -> Self {
        Self::Token(token.into())
    }

    /// AppRole at its default mount. End point: `POST auth/approle/login`.
    ///
    /// # Errors
    /// None in practice: the default mount is a legal path.
    pub fn app_role(role_id: impl Into<SecretString>, secret_id: impl Into<SecretString>) -> Result<Self> {
        Self::app_role_at("approle", role_id, secret_id)
    }

    /// AppRole at another mount, such as `team-approle`. End point: `POST auth/team-approle/login`.
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

    /// The same method at another mount below `auth/`, such as `team-approle`. A token has none and stays as it is.
    ///
    /// # Errors
    /// Those of [`ApiPath::parse`].
    pub fn at(mut self, path: &str) -> Result<Self> {
        let path = ApiPath::parse(path)?;
        if let Some(mount) = self.mount() {
            *mount = path;
        }
        Ok(self)
    }

    fn mount(&mut self) -> Option<&mut ApiPath> {
        match self {
            Self::AppRole { mount, .. }
            | Self::WrappedAppRole { mount, .. }
            | Self::UserPass { mount, .. }
            | Self::Jwt { mount, .. }
            | Self::Certificate { mount, .. } => Some(mount),
            Self::Inline(inner, _) => inner.mount(),
            Self::None | Self::Token(_) | Self::TokenFile(..) => None,
        }
    }

    /// Checks every part, by the name that errors are to show.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Token(token) => check_token("token", token),
            Self::TokenFile(path, _) => check_path("token_file", path),
            Self::AppRole { role_id, secret_id, .. } => {
                check_secret("role_id", role_id)?;
                check_secret("secret_id", secret_id)
            }
            Self::WrappedAppRole { role_id, wrapping_token, .. } => {
                check_secret("role_id", role_id)?;
                check_token("wrapping_token", wrapping_token)
            }
            // A password may be anything; only its size is limited.
            Self::UserPass { password, .. } => check_size("password", password),
            Self::Jwt { jwt: JwtSource::Text(jwt), .. } => check_secret("jwt", jwt),
            Self::Jwt { jwt: JwtSource::File(path), .. } => check_path("jwt_file", path),
            Self::Certificate { .. } => Ok(()),
            Self::Inline(inner, _) => match **inner {
                Self::AppRole { .. } | Self::UserPass { .. } | Self::Jwt { .. } => inner.check(),
                _ => Err(refusal("inline", "this credential can't be shown with every request")),
            },
        }
    }

    /// The file that it is read from, where there is one.
    pub(crate) fn file(&self) -> Option<(&Arc<str>, Gate)> {
        match self {
            Self::TokenFile(path, gate) | Self::Jwt { jwt: JwtSource::File(path), gate, .. } => Some((path, *gate)),
            Self::Inline(inner, _) => inner.file(),
            _ => None,
        }
    }

    /// Whether a new token can be had for it at any time.
    pub(crate) fn logs_in(&self) -> bool {
        !matches!(self, Self::None | Self::Token(_) | Self::TokenFile(..) | Self::Inline(..))
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Token(_) => "token",
            Self::TokenFile(..) => "token_file",
            Self::AppRole { .. } => "app_role",
            Self::WrappedAppRole { .. } => "wrapped_app_role",
            Self::UserPass { .. } => "user_pass",
            Self::Jwt { .. } => "jwt",
            Self::Certificate { .. } => "certificate",
            Self::Inline(..) => "inline",
        }
    }
}

/// Where core's feature `log-ins` is on.
#[cfg(feature = "log-ins")]
impl Credential {
    const GATE: Gate = Gate(());

    /// A file with a token, as OpenBao's agent writes it; one line break at its end does not count.
    ///
    /// Where a server does not know the token, the file is read again. If it still holds the same, the operation
    /// ends with [`Code::AuthenticationFailed`].
    #[must_use]
    pub fn token_file(path: impl Into<Arc<str>>) -> Self {
        Self::TokenFile(path.into(), Self::GATE)
    }

    /// AppRole with a secret id that came wrapped (`X-Vault-Wrap-TTL`): whoever delivers it never sees it, and if
    /// anybody else unwrapped it on the way, this client finds out.
    ///
    /// End points: `POST sys/wrapping/lookup` where `role` is given, `POST sys/wrapping/unwrap`, both once, and
    /// `POST auth/approle/login`.
    ///
    /// The first operation fails with [`Code::WrappingTokenSpent`] where it was unwrapped before, and with
    /// [`Code::AuthenticationFailed`] where it was made for something else than a secret id of `role`; with
    /// [`Code::Indeterminate`] where the answer to the unwrapping was lost, and the secret id most likely with it.
    ///
    /// # Errors
    /// [`Code::IllegalSegment`] for an illegal name of a role.
    pub fn wrapped_app_role(
        role_id: impl Into<SecretString>,
        wrapping_token: impl Into<SecretString>,
        role: Option<&str>,
    ) -> Result<Self> {
        Ok(Self::WrappedAppRole {
            mount: ApiPath::parse("approle")?,
            role_id: role_id.into(),
            wrapping_token: Arc::new(wrapping_token.into()),
            role: role.map(Mount::parse).transpose()?,
            gate: Self::GATE,
        })
    }

    /// A user's name and password. End point: `POST auth/userpass/login/name`.
    ///
    /// # Errors
    /// [`Code::IllegalSegment`] for a name that can't be part of a path.
    pub fn user_pass(name: &str, password: impl Into<SecretString>) -> Result<Self> {
        Ok(Self::UserPass {
            mount: ApiPath::parse("userpass")?,
            name: Mount::parse(name)?,
            password: password.into(),
            gate: Self::GATE,
        })
    }

    /// A role and a JWT. End point: `POST auth/jwt/login`.
    ///
    /// # Errors
    /// None in practice: the default mount is a legal path.
    pub fn jwt(role: impl Into<String>, jwt: impl Into<SecretString>) -> Result<Self> {
        let mount = ApiPath::parse("jwt")?;
        Ok(Self::Jwt { mount, role: Some(role.into()), jwt: JwtSource::Text(jwt.into()), gate: Self::GATE })
    }

    /// The same with a file that the JWT is read from at each log-in; one line break at its end does not count. End
    /// point: `POST auth/jwt/login`.
    ///
    /// # Errors
    /// None in practice: the default mount is a legal path.
    pub fn jwt_file(role: impl Into<String>, path: impl Into<Arc<str>>) -> Result<Self> {
        let mount = ApiPath::parse("jwt")?;
        Ok(Self::Jwt { mount, role: Some(role.into()), jwt: JwtSource::File(path.into()), gate: Self::GATE })
    }

    /// The service account of a pod in Kubernetes, whose token is read from [`SERVICE_ACCOUNT_TOKEN`] at each
    /// log-in. End point: `POST auth/kubernetes/login`.
    ///
    /// # Errors
    /// None in practice: the default mount is a legal path.
    pub fn kubernetes(role: impl Into<String>) -> Result<Self> {
        Self::jwt_file(role, SERVICE_ACCOUNT_TOKEN)?.at("kubernetes")
    }

    /// The TLS certificate of [`SettingsBuilder::client_certificate`](super::SettingsBuilder::client_certificate),
    /// with a role or with any that fits. End point: `POST auth/cert/login`.
    ///
    /// # Errors
    /// None in practice: the default mount is a legal path.
    pub fn certificate(name: Option<String>) -> Result<Self> {
        Ok(Self::Certificate { mount: ApiPath::parse("cert")?, name, gate: Self::GATE })
    }

    /// The same, shown with every request (OpenBao's inline auth, since 2.4): no log-in goes ahead, no token is
    /// stored on the server, and none is left when the client ends. For AppRole, user and password, and JWT.
    ///
    /// The server checks the credential at every request, which takes it longer. `lookup_self` and `renew_self`
    /// don't work without a stored token (403, 400), nor does what makes a lease or a child token. Each request,
    /// retries too, uses a secret id up that counts its uses. A wrapped answer can be had, so strong reads work.
    #[must_use]
    pub fn inline(self) -> Self {
        Self::Inline(Box::new(self), Self::GATE)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenFile(path, _) => write!(f, "TokenFile({path:?})"),
            Self::Inline(inner, _) => write!(f, "Inline({inner:?})"),
            Self::None | Self::Certificate { .. } => f.write_str(self.kind()),
            _ => write!(f, "{}([redacted])", self.kind()),
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
pub(crate) fn check_secret(key: &str, secret: &SecretString) -> Result<()> {
    check_size(key, secret)?;
    let secret = secret.expose_secret();
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

fn check_size(key: &str, secret: &SecretString) -> Result<()> {
    if secret.expose_secret().is_empty() {
        return Err(refusal(key, "it is empty"));
    }
    if secret.expose_secret().len() > MAX_CREDENTIAL {
        return Err(refusal(key, "it is longer than 8192 bytes"));
    }
    Ok(())
}

fn check_path(key: &str, path: &str) -> Result<()> {
    if path.is_empty() || path.contains(char::is_control) {
        return Err(refusal(key, "a path is not empty and has no control characters in it"));
    }
    Ok(())
}

fn refusal(key: &str, reason: &'static str) -> Error {
    Error::new(Code::InvalidSetting).about(key.to_owned()).because(reason)
}
