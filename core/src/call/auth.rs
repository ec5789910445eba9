//! The calls around tokens: log-in by AppRole, and what a token may ask about itself.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;

use super::{Answer, Call, Replay, Spec};
use crate::config::check_token;
use crate::error::{Code, Error, Result};
use crate::http::Method;
use crate::uri::path::ApiPath;

/// A token that OpenBao gave, and how long it lives.
#[derive(Clone)]
pub(crate) struct Grant {
    pub token: SecretString,
    /// Seconds; 0 means that the token does not expire.
    pub lease_duration: u64,
    /// Whether a renewal can lengthen its lease.
    pub renewable: bool,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("lease_duration", &self.lease_duration).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct AppRoleBody<'a> {
    role_id: &'a str,
    secret_id: &'a str,
}

/// `POST auth/approle/login`.
///
/// It may be sent again: a second log-in makes a second token, which its lease ends. (A secret id
/// that may be used once is spent by the first; the second try is then refused, not repeated.)
pub(crate) fn app_role_login(mount: &ApiPath, role_id: &SecretString, secret_id: &SecretString) -> Result<Call<Grant>> {
    let body = AppRoleBody { role_id: role_id.expose_secret(), secret_id: secret_id.expose_secret() };
    let target = format!("/v1/auth/{}/login", mount.wire());
    Ok(Call::with_body(Method::Post, target, Replay::Idempotent, &body, grant)?.unauthenticated())
}

fn grant(spec: &Spec, answer: Answer) -> Result<Grant> {
    let in_doubt = answer.in_doubt;
    let grant = answer.auth_as(spec, |mut auth| {
        let (lease_duration, renewable) = (auth.number("lease_duration")?, auth.flag("renewable")?);
        let Value::String(token) = auth.take("client_token").take() else { return None };
        Some(Grant { token: token.into(), lease_duration, renewable })
    });
    let grant = grant.map_err(|error| match error.code() {
        Code::AuthenticationFailed if in_doubt => {
            error.because("an earlier try may have been carried out: a secret id that may be used once is spent by it")
        }
        _ => error,
    })?;
    // It goes into a header from now on.
    match check_token("client_token", &grant.token) {
        Ok(()) => Ok(grant),
        Err(_) => {
            let error = Error::new(Code::MalformedAnswer).about(spec.path().to_owned());
            Err(error.because("a token with characters that none may have"))
        }
    }
}

/// What OpenBao says of the client's own token.
///
/// On a standby the times can lag behind; the answer to a log-in or a renewal is the better source.
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
pub(crate) fn renew_self_as_grant() -> Call<Grant> {
    Call::new(Method::Post, RENEW_SELF.to_owned(), Replay::Idempotent, grant)
}

/// `POST auth/token/revoke-self`. A second one finds no token.
pub(crate) fn revoke_self() -> Call<()> {
    Call::new(Method::Post, "/v1/auth/token/revoke-self".to_owned(), Replay::Idempotent, Answer::nothing)
}
