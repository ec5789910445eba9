//! Answers: an HTTP-shaped one for each outcome and each error.

use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::audit::Subscription;
use crate::error::{Code, Error};
use crate::operation::{Outcome, Window};
use crate::providers::{Changed, Listed, VersionList};

/// An answer, for the host to send.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
    /// Why a request failed, with all that is known: for the host's log. The body tells a caller less.
    pub failure: Option<Error>,
}

/// The body of an answer.
#[non_exhaustive]
pub enum Body {
    /// Bytes, which are wiped when they are dropped.
    Bytes(Zeroizing<Vec<u8>>),
    /// Server-sent events (`text/event-stream`), until the caller goes, and no longer than [`Subscription::lasts`]: the
    /// host ends the answer then. The caller comes back with `Last-Event-ID`, and is looked at anew.
    Events(Subscription),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "[redacted, {} bytes]", bytes.len()),
            Self::Events(_) => f.write_str("Events"),
        }
    }
}

impl Response {
    pub(crate) fn new(status: u16, kind: &str, body: Zeroizing<Vec<u8>>) -> Self {
        let headers = vec![("content-type", kind.to_owned()), ("cache-control", "no-store".to_owned())];
        Self { status, headers, body: Body::Bytes(body), failure: None }
    }

    pub(crate) fn json(status: u16, value: &impl Serialize) -> Self {
        match baokit_core::to_json(value) {
            Ok(bytes) => Self::new(status, "application/json", bytes),
            Err(_) => Self::error(&baokit_core::Error::new(baokit_core::Code::Internal).into(), false),
        }
    }

    pub(crate) fn events(subscription: Subscription) -> Self {
        let mut answer = Self::new(200, "text/event-stream", Zeroizing::default());
        answer.body = Body::Events(subscription);
        answer
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer that says why a request was refused.
    pub(crate) fn error(error: &Error, dpop: bool) -> Self {
        let code = error.code();
        let mut answer = Self::json(code.status(), &problem(error));
        if code.status() == 401 {
            answer = answer.with("www-authenticate", challenge(code, dpop));
        }
        if let Some(time) = error.when() {
            let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            answer = answer.with("retry-after", seconds.max(1).to_string());
        }
        answer.failing(error)
    }

    pub(crate) fn failing(mut self, error: &Error) -> Self {
        self.failure = Some(error.clone());
        self
    }
}

/// What an error says to a caller: `{"error", "code", "message"}`.
pub(crate) fn problem(error: &Error) -> Value {
    json!({"error": error.code().kind(), "code": error.code().as_str(), "message": error.outward()})
}

/// RFC 6750, section 3, and RFC 9449, section 7.1. Without credentials there is nothing to say of them.
fn challenge(code: Code, dpop: bool) -> String {
    let schemes: &[&str] = if dpop { &["DPoP", "Bearer"] } else { &["Bearer"] };
    let challenges = schemes.iter().map(|scheme| {
        let algorithms = if *scheme == "DPoP" { ", algs=\"ES256 EdDSA RS256 PS256\"" } else { "" };
        let error = if code == Code::TokenMissing { String::new() } else { format!(", error=\"{}\"", code.kind()) };
        format!("{scheme} realm=\"secrets\"{error}{algorithms}")
    });
    challenges.collect::<Vec<_>>().join(", ")
}

/// What an operation on this URI came to.
pub(crate) fn outcome(uri: &str, reference: &str, outcome: &Outcome, window: Option<Window>) -> Response {
    match outcome {
        Outcome::Value(found) => {
            #[derive(Serialize)]
            struct Answer<'a> {
                uri: &'a str,
                value: &'a Value,
                version: Option<u64>,
            }
            Response::json(200, &Answer { uri, value: found.value.expose(), version: found.version })
        }
        Outcome::Changed(changed) => {
            #[derive(Serialize)]
            struct Answer<'a> {
                uri: &'a str,
                #[serde(flatten)]
                changed: Changed,
                resource_ref: &'a str,
            }
            Response::json(200, &Answer { uri, changed: *changed, resource_ref: reference })
        }
        Outcome::Done => Response::json(200, &json!({"uri": uri})),
        Outcome::Versions(there) => {
            let VersionList { current_version, versions, .. } = there;
            Response::json(200, &json!({"uri": uri, "current_version": current_version, "versions": versions}))
        }
        Outcome::Metadata(metadata) => {
            let mut answer = json!({"uri": uri});
            if let (Value::Object(answer), Value::Object(metadata)) = (&mut answer, metadata) {
                answer.extend(metadata.clone());
            }
            Response::json(200, &answer)
        }
        Outcome::Items(Listed { items, total, complete }) => {
            let Window { offset, limit } = window.unwrap_or(Window { offset: 0, limit: *total });
            Response::json(
                200,
                &json!({"items": items, "offset": offset, "limit": limit, "total": total, "complete": complete}),
            )
        }
    }
}
