//! The calls around tokens: the log-ins of all methods, and what a token may ask about itself.

use std::fmt;
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Answer, Bearer, Call, Replay, Spec};
use crate::config::{Gate, check_token};
use crate::error::{Code, Error, Result};
use crate::http::{Header, Method};
use crate::secret::to_body;
use crate::uri::path::{ApiPath, Mount};

/// What a request shows for the client.
#[derive(Clone)]
pub(crate) enum Proof {
    /// A token.
    Token(Arc<SecretString>),
    /// A whole log-in, which the server carries out for this one request and stores nothing of.
    Inline(Arc<[Header]>, Gate),
}

impl Proof {
    /// The token, where it is one.
    pub fn token(&self) -> Option<&Arc<SecretString>> {
        match self {
            Self::Token(token) => Some(token),
            Self::Inline(..) => None,
        }
    }

    /// Whether both show the same.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Token(one), Self::Token(other)) => one.expose_secret() == other.expose_secret(),
            (Self::Inline(one, _), Self::Inline(other, _)) => {
                one.iter().map(Header::expose).eq(other.iter().map(Header::expose))
            }
            _ => false,
        }
    }
}

impl From<Arc<SecretString>> for Proof {
    fn from(token: Arc<SecretString>) -> Self {
        Self::Token(token)
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.token().is_some() { "Token([redacted])" } else { "Inline([redacted])" })
    }
}

/// What a client may show from now on, and how long it lives.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub proof: Proof,
    /// Seconds; 0 means that it does not expire, or that nobody said so.
    pub lease_duration: u64,
    /// Whether a renewal can lengthen its lease.
    pub renewable: bool,
}

impl Grant {
    /// What is used until a server refuses it.
    pub fn lasting(proof: Proof) -> Self {
        Self { proof, lease_duration: 0, renewable: false }
    }
}

/// What one request on the way to a token is answered with.
pub(crate) enum Gain {
    Grant(Grant),
    /// The path whose answer is wrapped.
    MadeAt(String),
    /// What was wrapped.
    SecretId(SecretString),
}

impl fmt::Debug for Gain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gain([redacted])")
    }
}

/// One log-in as data: end point and parameters. It goes into a body, or along with every request.
pub(crate) struct LogIn<'a> {
    /// From `auth/` on.
    path: String,
    parameters: Vec<(&'static str, &'a str)>,
}

impl<'a> LogIn<'a> {
    fn at(mount: &ApiPath, rest: &str, parameters: Vec<(&'static str, &'a str)>) -> Self {
        Self { path: format!("auth/{}/login{rest}", mount.wire()), parameters }
    }

    /// AppRole.
    pub fn app_role(mount: &ApiPath, role_id: &'a SecretString, secret_id: &'a SecretString) -> Self {
        let parameters = vec![("role_id", role_id.expose_secret()), ("secret_id", secret_id.expose_secret())];
        Self::at(mount, "", parameters)
    }

    /// Kubernetes and JWT, of the role or of the mount's default role.
    pub fn jwt(mount: &ApiPath, role: Option<&'a str>, jwt: &'a SecretString) -> Self {
        let role = role.map(|role| ("role", role));
        Self::at(mount, "", role.into_iter().chain([("jwt", jwt.expose_secret())]).collect())
    }

    /// A user's name and password.
    pub fn user_pass(mount: &ApiPath, name: &Mount, password: &'a SecretString) -> Self {
        Self::at(mount, &format!("/{}", name.wire()), vec![("password", password.expose_secret())])
    }

    /// The certificate that the connection shows, of the role or of any that fits.
    pub fn cert(mount: &ApiPath, name: Option<&'a str>) -> Self {
        Self::at(mount, "", name.map(|name| ("name", name)).into_iter().collect())
    }

    /// `POST auth/<mount>/login`.
    ///
    /// It may be sent again: a second log-in makes a second token, which its lease ends. (A secret id
    /// that may be used once is spent by the first; the second try is then refused, not repeated.)
    pub fn call(&self) -> Result<Call<Gain>> {
        struct Body<'a>(&'a [(&'static str, &'a str)]);
        impl Serialize for Body<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().copied())
            }
        }
        let body = Body(&self.parameters);
        Ok(Call::with_body(Method::Post, format!("/v1/{}", self.path), Replay::Idempotent, &body, gained)?
            .unauthenticated())
    }

    /// The same log-in as headers of another request.
    pub fn headers(&self, gate: Gate) -> Result<Proof> {
        let mut headers = vec![Header::secret(INLINE_PATH, Arc::new(self.path.as_str().into()))];
        for (name, (key, value)) in INLINE_PARAMETERS.into_iter().zip(&self.parameters) {
            #[derive(Serialize)]
            struct Parameter<'a> {
                key: &'a str,
                value: &'a str,
            }
            let json = to_body(&Parameter { key, value })?;
            let text = SecretString::from(Base64UrlUnpadded::encode_string(json.as_ref()));
            headers.push(Header::secret(name, Arc::new(text)));
        }
        Ok(Proof::Inline(headers.into(), gate))
    }
}

const INLINE_PATH: &str = "x-vault-inline-auth-path";

/// What follows the last dash is a name of ours, and only has to differ; no log-in has more parameters.
const INLINE_PARAMETERS: [&str; 2] = ["x-vault-inline-auth-parameter-1", "x-vault-inline-auth-parameter-2"];

/// In which namespace the log-in is; the one of the request does not count.
pub(crate) const INLINE_NAMESPACE: &str = "x-vault-inline-auth-namespace";

fn gained(spec: &Spec, answer: Answer) -> Result<Gain> {
    let in_doubt = answer.in_doubt;
    let grant = answer.auth_as(spec, |mut auth| {
        let (lease_duration, renewable) = (auth.number("lease_duration")?, auth.flag("renewable")?);
        let Value::String(token) = auth.take("client_token").take() else { return None };
        Some((SecretString::from(token), lease_duration, renewable))
    });
    let (token, lease_duration, renewable) = grant.map_err(|error| match error.code() {
        Code::AuthenticationFailed if in_doubt => {
            error.because("an earlier try may have been carried out: a secret id that may be used once is spent by it")
        }
        // Methods say in many words that they do not know somebody; what was sent is well-formed.
        Code::RequestRejected | Code::PermissionDenied if matches!(spec.bearer, Bearer::Nobody) => {
            Error::new(Code::AuthenticationFailed).about(spec.path().to_owned()).because(LOG_IN_REFUSED)
        }
        _ => error,
    })?;
    // It goes into a header from now on.
    match check_token("client_token", &token) {
        Ok(()) => Ok(Gain::Grant(Grant { proof: Proof::Token(Arc::new(token)), lease_duration, renewable })),
        Err(_) => {
            let error = Error::new(Code::MalformedAnswer).about(spec.path().to_owned());
            Err(error.because("a token with characters that none may have"))
        }
    }
}

const LOG_IN_REFUSED: &str = "the log-in is refused: the role, or what proves that one may have it, is not accepted";

/// What OpenBao says of the client's own token.
///
/// On a standby the times can lag behind; the answer to a log-in or a renewal is the better source.
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// let token = client.lookup_self().await?;
/// assert_eq!((token.policies(), token.ttl()), (&["root".to_owned()][..], 0)); // without an end
/// # Ok(())
/// # });
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    accessor: String,
    policies: Vec<String>,
    /// Seconds that are left; 0 for a token without an end.
    ttl: u64,
    renewable: bool,
    num_uses: u64,
}

impl TokenInfo {
    /// The accessor: it names the token without being one.
    #[must_use]
    pub fn accessor(&self) -> &str {
        &self.accessor
    }

    /// The names of the token's policies.
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// Seconds that are left, 0 for a token without an end.
    #[must_use]
    pub fn ttl(&self) -> u64 {
        self.ttl
    }

    /// Whether the token can be renewed.
    #[must_use]
    pub fn is_renewable(&self) -> bool {
        self.renewable
    }

    /// How many uses are left, 0 for a token without such a limit.
    #[must_use]
    pub fn num_uses(&self) -> u64 {
        self.num_uses
    }
}

/// Only numbers: names are a server's own text.
impl fmt::Debug for TokenInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenInfo")
            .field("ttl", &self.ttl)
            .field("renewable", &self.renewable)
            .field("num_uses", &self.num_uses)
            .finish_non_exhaustive()
    }
}

/// `GET auth/token/lookup-self`. It consumes a use where the token counts them.
pub(crate) fn lookup_self() -> Call<TokenInfo> {
    Call::new(Method::Get, "/v1/auth/token/lookup-self".to_owned(), Replay::Idempotent, |spec, answer| {
        answer.data_as(spec, |data| {
            Some(TokenInfo {
                accessor: data.text("accessor")?.to_owned(),
                policies: data.list("policies")?,
                ttl: data.number("ttl")?,
                renewable: data.flag("renewable")?,
                num_uses: data.number_or_zero("num_uses")?,
            })
        })
    })
}

#[derive(Serialize)]
struct RenewBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    increment: Option<String>,
}

/// A token's lease after a renewal.
///
/// ```
/// # use baokit_core_testing::{answering, run};
/// # run(async {
/// # let client = answering(r#"{"auth":{"client_token":"hvs.x","lease_duration":1800,"renewable":true}}"#);
/// let renewal = client.renew_self(Some(1800)).await?;
/// assert_eq!((renewal.lease_duration(), renewal.is_renewable()), (1800, true)); // seconds
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Renewal {
    lease_duration: u64,
    renewable: bool,
}

impl Renewal {
    /// Seconds that the token lives from now, 0 for a token without an end.
    #[must_use]
    pub fn lease_duration(&self) -> u64 {
        self.lease_duration
    }

    /// Whether it can be renewed once more.
    #[must_use]
    pub fn is_renewable(&self) -> bool {
        self.renewable
    }
}

/// `POST auth/token/renew-self`, by so many seconds, or by the token's own period.
///
/// OpenBao takes the increment as the new rest of the lease: a small one shortens it.
pub(crate) fn renew_self(increment: Option<u64>) -> Result<Call<Renewal>> {
    let body = RenewBody { increment: increment.map(|seconds| format!("{seconds}s")) };
    Call::with_body(Method::Post, RENEW_SELF.to_owned(), Replay::Idempotent, &body, |spec, answer| {
        answer.auth_as(spec, |auth| {
            Some(Renewal { lease_duration: auth.number("lease_duration")?, renewable: auth.flag("renewable")? })
        })
    })
}

const RENEW_SELF: &str = "/v1/auth/token/renew-self";

/// `POST auth/token/renew-self` by the token's own period. The answer has the form of a log-in's.
pub(crate) fn renew_self_as_grant(token: Arc<SecretString>) -> Call<Gain> {
    Call::new(Method::Post, RENEW_SELF.to_owned(), Replay::Idempotent, gained).borne_by(token)
}

/// `POST auth/token/revoke-self`. A second one finds no token.
pub(crate) fn revoke_self() -> Call<()> {
    Call::new(Method::Post, "/v1/auth/token/revoke-self".to_owned(), Replay::Idempotent, Answer::nothing)
}
