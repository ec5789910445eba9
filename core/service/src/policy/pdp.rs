//! The client of a policy decision point (PDP) that speaks OpenID AuthZEN's Authorization API 1.0: one question,
//! or several at once, and a decision for each. A PDP that can't be asked, or can't be understood, is an error and
//! never a permit.

mod answer;
mod credential;
mod discovery;
mod question;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baokit_core::http::{FailureKind, Method, Request, Response};
use baokit_core::{Host, within};
use zeroize::Zeroizing;

pub use self::answer::Decision;
pub use self::question::{Question, ResourceAttributes};

use self::credential::Token;
use self::discovery::EndPoints;
use crate::error::{Code, Error, Result};
use crate::settings::{Endpoint, PdpCredential, PdpSettings};

/// How long one evaluation may take, with everything that it needs: discovery, a token, one retry.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// The most questions in one request; more are asked in several. Cerbos takes no more.
pub const MAX_BATCH: usize = 50;

/// A PDP. What it remembers is where the end points are, and a token that it got by the client credentials grant.
///
/// End points: `POST /access/v1/evaluation` and `POST /access/v1/evaluations` below the configured URL, or those
/// that `GET /.well-known/authzen-configuration` names (sections 6, 7 and 9). Redirects are not followed, and a
/// token or question never goes to another origin than the configured one.
///
/// Every request carries `X-Request-ID` (section 10): the caller's correlation id where it is one to 128
/// visible ASCII characters, else a random one. An answer that does not repeat it is accepted.
///
/// ```
/// use baokit_core::Host;
/// use baokit_service::Result;
/// use baokit_service::caller::Caller;
/// use baokit_service::policy::{Pdp, Question, ResourceAttributes};
/// use baokit_service::purpose::Purpose;
///
/// async fn may_read<H: Host>(pdp: &Pdp, host: &H, caller: &Caller) -> Result<bool> {
///     let question = Question {
///         tenant_id: "dev",
///         caller,
///         purpose: Purpose::Execute,
///         resource: "openbao+kv2://secret/app/api#token",
///         attributes: ResourceAttributes::default(),
///     };
///     Ok(pdp.evaluate(host, &question).await?.permit)
/// }
/// ```
pub struct Pdp {
    url: Endpoint,
    credential: Option<PdpCredential>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    end_points: Option<EndPoints>,
    token: Option<Token>,
}

impl Pdp {
    /// A PDP with these settings. It sends nothing until it is asked.
    #[must_use]
    pub fn new(settings: &PdpSettings) -> Self {
        Self { url: settings.url.clone(), credential: settings.credential.clone(), state: Mutex::default() }
    }

    /// Asks one question (section 6), within [`TIMEOUT`].
    ///
    /// A connection that can't be made is tried once more, and so is a question whose token the PDP does not
    /// accept, with a new one.
    ///
    /// # Errors
    /// [`Code::PdpUnreachable`] for everything but a decision.
    pub async fn evaluate<H: Host>(&self, host: &H, question: &Question<'_>) -> Result<Decision> {
        let work = async {
            let end_points = self.end_points(host).await?;
            let response = self.ask(host, &end_points.one, question::one(question)?, question).await?;
            answer::one(response.body())
        };
        limited(host, work).await
    }

    /// Asks several questions at once (section 7): one decision for each, in their order. An entry that the PDP
    /// leaves out is a denial. [`MAX_BATCH`] questions make one request, which has [`TIMEOUT`].
    ///
    /// Each question is a request of its own where the PDP says that it takes no batches, and where two of a batch
    /// name one resource with different attributes: Cerbos 0.55 decides both by those of the first.
    ///
    /// # Errors
    /// As [`Pdp::evaluate`]; one entry that is no decision makes the whole answer an error.
    pub async fn evaluate_all<H: Host>(&self, host: &H, questions: &[Question<'_>]) -> Result<Vec<Decision>> {
        let mut decisions = Vec::with_capacity(questions.len());
        for batch in questions.chunks(MAX_BATCH) {
            match limited(host, self.ask_all(host, batch)).await? {
                Some(answers) => decisions.extend(answers),
                None => {
                    for question in batch {
                        decisions.push(self.evaluate(host, question).await?);
                    }
                }
            }
        }
        Ok(decisions)
    }

    /// The decisions of one batch; none where it is to be asked one by one.
    async fn ask_all<H: Host>(&self, host: &H, batch: &[Question<'_>]) -> Result<Option<Vec<Decision>>> {
        let (Some(first), Some(target)) = (batch.first(), self.end_points(host).await?.many) else { return Ok(None) };
        if question::is_ambiguous(batch) {
            return Ok(None);
        }
        let response = self.ask(host, &target, question::many(batch)?, first).await?;
        answer::many(response.body(), batch.len()).map(Some)
    }

    /// Posts a question, and gives the answer where it is JSON with status 200.
    async fn ask<H: Host>(
        &self,
        host: &H,
        target: &str,
        body: Zeroizing<Vec<u8>>,
        question: &Question<'_>,
    ) -> Result<Response> {
        let id = request_id(host, question);
        let mut tries = 0;
        loop {
            tries += 1;
            let authorization = self.authorization(host).await?;
            let was_remembered = authorization.as_ref().is_some_and(|(_, was_remembered)| *was_remembered);
            let mut request = Request::new(Method::Post, self.url.origin().clone(), target)
                .with_header("content-type", "application/json")
                .with_header("accept", "application/json")
                .with_header("x-request-id", id.clone())
                .with_body(body.clone());
            if let Some((value, _)) = authorization {
                request = request.with_secret_header("authorization", value);
            }
            let response = send(host, request, "the PDP").await?;
            match response.status() {
                // Revoked early, perhaps: a new one may do.
                401 if was_remembered && tries == 1 => self.state().token = None,
                200 => return json(response, "the PDP"),
                status => return Err(self.refusal(status).pressed(&response)),
            }
        }
    }

    fn refusal(&self, status: u16) -> Error {
        let credential = match &self.credential {
            None => "it asks for a credential: set PDP_TOKEN, or PDP_CLIENT_ID, PDP_CLIENT_SECRET and PDP_TOKEN_URL",
            Some(PdpCredential::Token(_)) => "it refuses the credential PDP_TOKEN",
            Some(PdpCredential::Client { .. }) => "it refuses the token of the client PDP_CLIENT_ID",
        };
        match status {
            401 | 403 => unreachable(credential),
            404 | 405 => {
                // Its paths may have changed: they are looked up anew the next time.
                self.state().end_points = None;
                unreachable("it has no AuthZEN end point there: see PDP_URL")
            }
            400 => unreachable("it calls the question malformed (status 400)"),
            300..=399 => unreachable("it redirects, which is not followed: see PDP_URL"),
            status => unreachable(format!("it answers with status {status}")),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment, so what a panic left is valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pdp").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Carries the wish to be left alone for some time over to an error.
trait Pressed {
    fn pressed(self, response: &Response) -> Self;
}

impl Pressed for Error {
    fn pressed(self, response: &Response) -> Self {
        match response.retry_after() {
            Some(time) if matches!(response.status(), 429 | 503) => self.retry_after(time),
            _ => self,
        }
    }
}

fn unreachable(reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::PdpUnreachable).because(reason)
}

async fn limited<H: Host, T>(host: &H, work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || Err(unreachable(format!("no answer within {} s", TIMEOUT.as_secs())));
    within(host, TIMEOUT, work).await.unwrap_or_else(late)
}

/// Sends a request that may be sent again, once more where no connection was made.
async fn send<H: Host>(host: &H, request: Request, whom: &str) -> Result<Response> {
    let again = request.clone();
    let result = match host.send(request).await {
        Err(failure) if failure.kind() == FailureKind::Connect => host.send(again).await,
        result => result,
    };
    result.map_err(|failure| {
        let what = match failure.kind() {
            FailureKind::Connect => "can't be connected to",
            FailureKind::Tls => "fails the TLS handshake",
            FailureKind::TooLarge => "answers too much",
            FailureKind::Timeout => "does not answer in time",
            FailureKind::BeforeSend => "can't be sent the request",
            _ => "breaks the connection",
        };
        unreachable(format!("{whom} {what}"))
    })
}

/// The answer, where it is JSON of a size that is read.
fn json(response: Response, whom: &str) -> Result<Response> {
    let kind = response.content_type().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    if !is_json {
        return Err(unreachable(format!("{whom} answers with something else than JSON: a log-in page, perhaps")));
    }
    if response.body().len() > MAX_ANSWER_BYTES {
        return Err(unreachable(format!("{whom} answers with more than {MAX_ANSWER_BYTES} bytes")));
    }
    Ok(response)
}

/// The correlation id where it can be sent as a header, else a random one.
fn request_id<H: Host>(host: &H, question: &Question<'_>) -> String {
    let is_sendable = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    match question.caller.context.correlation_id.as_deref().filter(is_sendable) {
        Some(id) => id.to_owned(),
        None => {
            let mut bytes = [0; 16];
            host.random(&mut bytes);
            super::key::hex(&bytes)
        }
    }
}
