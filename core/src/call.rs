//! One exchange with OpenBao described as data: what is asked, whether it may be asked twice, and
//! how its answer is read. A new end point is a new value in [`kv2`], [`auth`] or beside them, and
//! nothing else.
//!
//! Calls decide nothing about nodes, tokens, retries or time: that is [`crate::exchange`]'s work.

pub(crate) mod answer;
pub(crate) mod auth;
pub(crate) mod kv2;
pub(crate) mod metadata;
pub(crate) mod object;
pub(crate) mod sys;
#[cfg(feature = "cache")]
mod time;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use serde::Serialize;

use crate::error::{Code, Error, Result};
use crate::http::{Body, Method, Transfer};
use crate::secret::{MAX_DEPTH, SecretValue, require_depth, to_body};
use crate::session::recovery::Lane;
use crate::uri::path::ApiPath;
pub(crate) use answer::Answer;

/// OpenBao's limit for a request, 32 MiB (`max_request_size`).
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// What sending a request a second time can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// Nothing: a read, a list, or what leaves nothing behind that matters.
    Idempotent,
    /// Nothing either: it is a change that twice is the same as once.
    Repeatable,
    /// Nothing, since a check-and-set parameter lets only one of them through.
    Guarded,
    /// A second change. Never sent again once a byte of it may have left.
    Unsafe,
}

/// Whose token goes along.
#[derive(Clone, Debug)]
pub(crate) enum Bearer {
    /// The client's, which it logs in for.
    Client,
    /// Nobody's.
    Nobody,
    /// This one, which can't be replaced.
    Token(Arc<SecretString>),
}

/// The request of a call, without node and client's token.
#[derive(Debug)]
pub(crate) struct Spec {
    pub method: Method,
    /// Path and query, from `/v1/` on.
    pub target: Arc<str>,
    pub body: Option<Body>,
    pub transfer: Option<Transfer>,
    pub replay: Replay,
    pub bearer: Bearer,
    /// Whether it concerns the client's namespace; the nodes and the cluster are in none.
    pub namespaced: bool,
    /// Whether it asks how things are at this moment: no node is asked twice, and nobody waits.
    pub momentary: bool,
    /// Whether one try may take all the time there is, since the work of it is long.
    pub patient: bool,
    /// Seconds that the answer is to be wrapped for.
    pub wrap_ttl: Option<u64>,
    /// Whether the connection is to be closed after it.
    pub closes: bool,
}

impl Spec {
    fn new(method: Method, target: String, replay: Replay) -> Self {
        Self {
            method,
            target: target.into(),
            body: None,
            transfer: None,
            replay,
            bearer: Bearer::Client,
            namespaced: true,
            momentary: false,
            patient: false,
            wrap_ttl: None,
            closes: false,
        }
    }

    /// Whether it concerns what the cluster stores, of which the node must not know less than the client has
    /// seen. How a node is, is no such thing: the header would change what the answer means. A download is
    /// as old as it is: what was written of it can't be taken back for a newer one.
    pub fn is_of_state(&self) -> bool {
        !self.momentary && self.transfer.is_none()
    }

    /// Whether it reads what the cluster stores.
    pub fn is_read(&self) -> bool {
        self.method == Method::Get && self.is_of_state()
    }

    /// Whether a try that takes long is given up for one at another node: what is read can be read twice, and of
    /// changes under a guard only one is carried out.
    pub fn may_be_hastened(&self) -> bool {
        self.is_read() || self.replay == Replay::Guarded
    }

    /// What the request needs of the cluster. A wrapped answer is stored, so it takes the leader.
    pub fn lane(&self) -> Lane {
        if self.method == Method::Get && self.wrap_ttl.is_none() { Lane::Read } else { Lane::Leader }
    }

    /// The same request for an answer that is wrapped for so many seconds.
    pub fn wrapped(&self, seconds: u64) -> Self {
        Self {
            method: self.method,
            target: self.target.clone(),
            body: self.body.clone(),
            transfer: self.transfer.clone(),
            bearer: self.bearer.clone(),
            wrap_ttl: Some(seconds),
            ..*self
        }
    }

    /// The path as OpenBao's policies name it, for error texts.
    pub fn path(&self) -> &str {
        let path = self.target.strip_prefix("/v1/").unwrap_or(&self.target);
        path.split_once('?').map_or(path, |(path, _)| path)
    }
}

/// A request, and how its answer becomes a `T`.
#[derive(Debug)]
pub(crate) struct Call<T> {
    pub spec: Arc<Spec>,
    read: fn(&Spec, Answer) -> Result<T>,
}

impl<T> Call<T> {
    /// The same, which names a time of so many seconds; refused where that is longer than OpenBao counts.
    pub fn with_time(self, name: &str, seconds: u64) -> Result<Self> {
        if seconds > MOST_SECONDS {
            let error = Error::new(Code::RequestRejected).about(self.spec.path().to_owned());
            return Err(error.because(format!("{name} is longer than 292 years")));
        }
        Ok(self)
    }

    fn new(method: Method, target: String, replay: Replay, read: fn(&Spec, Answer) -> Result<T>) -> Self {
        Self { spec: Arc::new(Spec::new(method, target, replay)), read }
    }

    fn with_body(
        method: Method,
        target: String,
        replay: Replay,
        body: &impl Serialize,
        read: fn(&Spec, Answer) -> Result<T>,
    ) -> Result<Self> {
        let body = to_body(body)?;
        let size = body.as_ref().len();
        let spec = Spec { body: Some(body), ..Spec::new(method, target, replay) };
        if size > MAX_BODY_BYTES {
            let reason = format!("{size} bytes are over OpenBao's limit of {MAX_BODY_BYTES} for a request");
            return Err(Error::new(Code::ValueTooLarge).about(spec.path().to_owned()).because(reason));
        }
        Ok(Self { spec: Arc::new(spec), read })
    }

    /// The same call with this much changed.
    fn with(mut self, change: impl FnOnce(&mut Spec)) -> Self {
        // A call is changed while it is made only, when nobody shares it yet.
        if let Some(spec) = Arc::get_mut(&mut self.spec) {
            change(spec);
        }
        self
    }

    /// The call without the client's token.
    fn unauthenticated(self) -> Self {
        self.with(|spec| spec.bearer = Bearer::Nobody)
    }

    /// The call with this token, which can't be replaced.
    pub fn borne_by(self, token: Arc<SecretString>) -> Self {
        self.with(|spec| spec.bearer = Bearer::Token(token))
    }

    /// Reads the answer.
    ///
    /// Of a change, an error tells nothing while an earlier try of it is in doubt: a mismatch may be
    /// that try's own work, a refusal may have come after it.
    pub fn read(&self, answer: Answer) -> Result<T> {
        let (in_doubt, success) = (answer.in_doubt, answer.is_success());
        (self.read)(&self.spec, answer).map_err(|error| {
            let unknown = in_doubt || (success && error.code() == Code::MalformedAnswer);
            if unknown && self.spec.replay != Replay::Idempotent { error.into_indeterminate() } else { error }
        })
    }
}

/// 292 years: OpenBao counts times in nanoseconds, and takes what is longer for something else.
pub(crate) const MOST_SECONDS: u64 = i64::MAX as u64 / 1_000_000_000;

/// Whole seconds, as OpenBao counts them, rounded up: a moment is not for ever.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

/// Any request that baokit does not model. The answer is the whole JSON document, null where the
/// server sent none.
///
/// A `GET` is idempotent; every other method counts as unsafe, since nothing is known of it.
///
/// # Errors
/// [`crate::Code::InvalidValue`] where the body can't be written as JSON.
pub(crate) fn request(
    method: Method,
    path: &ApiPath,
    list: bool,
    body: Option<&SecretValue>,
) -> Result<Call<SecretValue>> {
    let replay = if method == Method::Get { Replay::Idempotent } else { Replay::Unsafe };
    let target = format!("/v1/{}{}", path.wire(), if list { "?list=true" } else { "" });
    match body {
        Some(body) => {
            require_depth(body, MAX_DEPTH)?;
            Call::with_body(method, target, replay, body, Answer::whole)
        }
        None => Ok(Call::new(method, target, replay, Answer::whole)),
    }
}
