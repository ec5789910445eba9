//! What one answer, or the lack of one, means for the call. The only list of statuses that are
//! acted on before a call reads its answer.

use crate::call::answer::Said;
use crate::call::{Bearer, Spec};
use crate::error::{Code, Error};
use crate::http::{Failure, FailureKind, Response, Transfer};

/// Whether the request may have been carried out, now or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Executed {
    No,
    Maybe,
}

#[derive(Debug)]
pub(super) enum Verdict {
    /// For the call to read.
    Final(Option<Said>),
    /// The token is dead; the request was not carried out.
    TokenDead(Error),
    /// To be followed, or not, by [`super::attempt`].
    Redirect,
    /// The node could not serve the call.
    Again(Executed, Error),
    /// Nor does it serve any other at the moment, by itself or by the leader behind it.
    Down(Executed, Error),
    /// The node serves it later.
    Throttled(Executed, Error),
    /// No try at any node will go better.
    Stop(Executed, Error),
}

pub(super) fn of_response(spec: &Spec, response: &Response) -> Verdict {
    let status = response.status();
    if (200..300).contains(&status) {
        return Verdict::Final(None);
    }
    if matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Verdict::Redirect;
    }
    let said = Said::read(response);
    if said == Said::TokenDead && status == 403 && matches!(spec.bearer, Bearer::Client) {
        return Verdict::TokenDead(said.into_error(spec, status));
    }
    let executed = if said.is_refusal_at_the_door(status) { Executed::No } else { Executed::Maybe };
    let error = said.into_error(spec, status);
    match (status, error.code()) {
        (_, Code::ValueTooLarge) => Verdict::Stop(Executed::No, error),
        (_, Code::ServerNotInitialized) => Verdict::Stop(executed, error),
        // It was carried out and failed, by what the request says.
        (500, Code::RequestRejected) => Verdict::Final(Some(said)),
        // What Vault's standbys of other kinds say of themselves.
        (472 | 473, _) => Verdict::Down(executed, Error::new(Code::NoLeader).because(format!("a status {status}"))),
        (429, _) => Verdict::Throttled(executed, error.after(response.retry_after())),
        (503, _) if response.retry_after().is_some() => {
            Verdict::Throttled(executed, error.after(response.retry_after()))
        }
        // Of a proxy that has no node behind it.
        (502..=504, _) => Verdict::Down(executed, error),
        (412 | 500, _) => again(executed, error),
        (400..=499, _) if executed == Executed::No => again(executed, error),
        (400..=499 | 501, _) => Verdict::Final(Some(said)),
        _ => Verdict::Stop(
            executed,
            Error::new(Code::MalformedAnswer).about(spec.path().to_owned()).because(format!("a status {status}")),
        ),
    }
}

/// The node did not serve this request, and perhaps nobody: a 500 may be one secret's own trouble.
pub(super) fn again(executed: Executed, error: Error) -> Verdict {
    let is_down = matches!(
        error.code(),
        Code::ServerUnreachable
            | Code::TlsFailed
            | Code::ConnectionLost
            | Code::ServerSealed
            | Code::NoLeader
            | Code::RedirectRefused
    );
    if is_down { Verdict::Down(executed, error) } else { Verdict::Again(executed, error) }
}

pub(super) fn of_failure(spec: &Spec, failure: Failure) -> Verdict {
    let (code, executed, sent_again) = match failure.kind() {
        FailureKind::Connect => (Code::ServerUnreachable, Executed::No, true),
        FailureKind::Tls => (Code::TlsFailed, Executed::No, true),
        FailureKind::BeforeSend => (Code::Internal, Executed::No, false),
        FailureKind::Caller => (Code::LocalIo, Executed::Maybe, false),
        // What was written of a download can't be taken back.
        FailureKind::Body | FailureKind::Timeout if matches!(spec.transfer, Some(Transfer::Download(_))) => {
            (Code::ConnectionLost, Executed::Maybe, false)
        }
        FailureKind::AfterSend | FailureKind::Body => (Code::ConnectionLost, Executed::Maybe, true),
        FailureKind::TooLarge => (Code::AnswerTooLarge, Executed::Maybe, false),
        FailureKind::Timeout => (Code::DeadlineExceeded, Executed::Maybe, true),
    };
    let error = Error::new(code).about(spec.path().to_owned()).because(failure.into_reason());
    if sent_again { again(executed, error) } else { Verdict::Stop(executed, error) }
}
