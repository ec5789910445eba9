//! The calls about wrapped answers: a token that stands for an answer, which can be had once.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{data, post};
use crate::call::auth::Gain;
use crate::call::{Answer, Call, Replay, Spec};
use crate::config::{check_secret, check_token};
use crate::error::Result;
use crate::secret::SecretValue;

/// A token that stands for an answer. Whoever unwraps it first has the answer, and nobody else.
/// See [`Sys::wrap`](crate::Sys::wrap).
#[derive(Clone, Deserialize)]
#[non_exhaustive]
pub struct Wrapped {
    /// The wrapping token.
    pub token: SecretValue,
    /// Its accessor.
    pub accessor: String,
    /// Seconds that it lives.
    pub ttl: u64,
    /// When it was made: RFC 3339.
    pub creation_time: String,
    /// The path whose answer is wrapped. Check it before unwrapping: another one means that somebody
    /// put a token of his own in its place.
    pub creation_path: String,
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapped").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Document {
    wrap_info: Wrapped,
}

/// Reads an answer that was asked for wrapped.
pub(super) fn wrapped(spec: &Spec, answer: Answer) -> Result<Wrapped> {
    answer.document::<Document>(spec).map(|document| document.wrap_info)
}

/// The wrapping token of a success that was asked for wrapped.
pub(crate) fn token_of(spec: &Spec, answer: &Answer) -> Result<SecretValue> {
    answer.part(spec, "wrap_info", |mut info| Some(info.take("token")))
}

/// `POST sys/wrapping/wrap` of nothing that matters. Only the leader can store it: a standby, and a
/// leader that was deposed, answer 500.
pub(crate) fn probe(seconds: u64) -> Result<Call<()>> {
    #[derive(Serialize)]
    struct Body {
        baokit: &'static str,
    }
    let call = post("/v1/sys/wrapping/wrap", Replay::Idempotent, &Body { baokit: "who leads?" }, Answer::nothing)?;
    Ok(call.with(|spec| {
        spec.wrap_ttl = Some(seconds);
        spec.momentary = true;
    }))
}

/// `POST sys/wrapping/wrap`: wraps a JSON object for so many seconds. It may be sent again: the first
/// token, which nobody knows, ends with its time to live.
pub(crate) fn wrap(object: &SecretValue, ttl: u64) -> Result<Call<Wrapped>> {
    let call = post("/v1/sys/wrapping/wrap", Replay::Idempotent, object, wrapped)?;
    Ok(call.with(|spec| spec.wrap_ttl = Some(ttl)))
}

#[derive(Serialize)]
struct Token<'a> {
    token: &'a SecretValue,
}

/// What a wrapping token says of itself without being used up.
/// See [`Sys::wrapping_lookup`](crate::Sys::wrapping_lookup).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct WrappingInfo {
    /// The path whose answer is wrapped.
    pub creation_path: String,
    /// When it was made: RFC 3339.
    pub creation_time: String,
    /// Seconds that it lives from then on.
    pub creation_ttl: u64,
}

/// `POST sys/wrapping/lookup`.
pub(crate) fn lookup(token: &SecretValue) -> Result<Call<WrappingInfo>> {
    let call = post("/v1/sys/wrapping/lookup", Replay::Idempotent, &Token { token }, data)?;
    Ok(call.unauthenticated())
}

/// `POST sys/wrapping/rewrap`: another token in its place, which ends the first.
pub(crate) fn rewrap(token: &SecretValue) -> Result<Call<Wrapped>> {
    post("/v1/sys/wrapping/rewrap", Replay::Unsafe, &Token { token }, wrapped)
}

/// `POST sys/wrapping/unwrap` with the wrapping token as its own right, so that no other is needed.
pub(crate) fn unwrap(token: &SecretValue) -> Result<Call<SecretValue>> {
    unwrap_as(Arc::new(SecretString::from(token.expose_str()?)), Answer::whole)
}

fn unwrap_as<T>(token: Arc<SecretString>, read: super::Reader<T>) -> Result<Call<T>> {
    #[derive(Serialize)]
    struct Empty {}
    check_token("the wrapping token", &token)?;
    Ok(post("/v1/sys/wrapping/unwrap", Replay::Unsafe, &Empty {}, read)?.borne_by(token))
}

/// [`lookup`] on the way to a token: where was it made?
pub(crate) fn lookup_place(token: &SecretString) -> Result<Call<Gain>> {
    #[derive(Serialize)]
    struct Token<'a> {
        token: &'a str,
    }
    let body = Token { token: token.expose_secret() };
    let call = post("/v1/sys/wrapping/lookup", Replay::Idempotent, &body, |spec, answer| {
        answer.data_as(spec, |data| data.text("creation_path").map(|path| Gain::MadeAt(path.to_owned())))
    })?;
    Ok(call.unauthenticated())
}

/// [`unwrap`] on the way to a token: the secret id that is in it.
pub(crate) fn unwrap_secret_id(token: Arc<SecretString>) -> Result<Call<Gain>> {
    unwrap_as(token, |spec, answer| {
        answer.data_as(spec, |mut data| {
            let Value::String(text) = data.take("secret_id").take() else { return None };
            let secret_id = SecretString::from(text);
            check_secret("secret_id", &secret_id).ok().map(|()| Gain::SecretId(secret_id))
        })
    })
}
