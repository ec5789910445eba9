//! The way to a token, errand by errand: files that the host reads, requests, each an attempt of its own.
//!
//! What comes next is [`crate::session::errand`]'s to say; when to begin and for whom, the exchange's.

use std::time::Duration;

use super::attempt::{Attempt, Progress};
use super::{Input, Step};
use crate::call::auth::{Gain, Grant};
use crate::call::{Bearer, Call};
use crate::error::{Code, Error, Result};
use crate::session::errand::Errand;
use crate::session::{Session, Ticket};

/// The longest that a host may take to read a file.
const LOAD_LIMIT: Duration = Duration::from_secs(5);

/// What the way to a token comes to.
pub(super) enum Way {
    Next(Step),
    /// The grant and when it was asked for.
    Done(Result<(Grant, Duration)>),
}

#[derive(Debug)]
pub(super) struct LogIn {
    pub ticket: Ticket,
    /// Whether it lengthens the lease of the token that is there.
    pub renews: bool,
    until: Duration,
    /// When a server was asked last.
    sent: Duration,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The host reads a file.
    Loading,
    /// A server is asked.
    Asking(Call<Gain>, Box<Attempt>),
}

impl LogIn {
    pub fn new(ticket: Ticket, renews: bool, until: Duration) -> Self {
        Self { ticket, renews, until, sent: Duration::ZERO, stage: Stage::Loading }
    }

    /// Begins the next errand, or ends with what the last one came to.
    pub fn begin(&mut self, session: &mut Session, now: Duration, parent: &mut Attempt, next: Result<Errand>) -> Way {
        match next {
            Ok(Errand::Have(grant)) => {
                let sent = if matches!(self.stage, Stage::Loading) { now } else { self.sent };
                Way::Done(Ok((grant, sent)))
            }
            Ok(Errand::Load(path, gate)) => {
                self.stage = Stage::Loading;
                let left = self.until.saturating_sub(now);
                Way::Next(Step::Load(path, LOAD_LIMIT.min(left), gate))
            }
            Ok(Errand::Ask(call)) => {
                let mut attempt = parent.sibling(call.spec.clone()).until(self.until);
                if let Bearer::Token(token) = &call.spec.bearer {
                    attempt.carry(token.clone());
                }
                self.stage = Stage::Asking(call, Box::new(attempt));
                self.step(session, now, parent, Input::Start)
            }
            Err(error) => Way::Done(Err(error)),
        }
    }

    /// Takes in what happened.
    pub fn step(&mut self, session: &mut Session, now: Duration, parent: &mut Attempt, input: Input) -> Way {
        let next = match (&mut self.stage, input) {
            (Stage::Loading, Input::Loaded(loaded, _)) => session.tokens.loaded(loaded),
            (Stage::Loading, _) => {
                Err(Error::new(Code::Internal).because("a log-in was given an input that it did not wait for"))
            }
            (Stage::Asking(call, attempt), input) => {
                let gain = match attempt.step(session, now, input) {
                    Progress::Next(step) => return Way::Next(step),
                    Progress::TokenDead(error) | Progress::Done(Err(error)) => Err(error),
                    Progress::Done(Ok(answer)) => call.read(answer).map_err(|error| attempt.place(session, error)),
                };
                self.sent = attempt.sent();
                let (unwraps, in_doubt) = (session.tokens.unwraps(&call.spec), attempt.in_doubt());
                match gain {
                    Err(error) if unwraps => Err(not_unwrapped(session, error, in_doubt)),
                    // Another had the secret id meanwhile: what was wrapped is there.
                    Err(error) if error.code() == Code::WrappingTokenSpent => session.tokens.unwrapped().ok_or(error),
                    gain => gain.and_then(|gain| session.tokens.gained(gain)),
                }
            }
        };
        self.begin(session, now, parent, next)
    }

    /// Whether it was the deadline that ended it, and not what the servers said.
    pub fn has_expired(&self) -> bool {
        matches!(&self.stage, Stage::Asking(_, attempt) if attempt.has_expired())
    }

    /// It is given up. An answer under way, with what can be had once, is lost then.
    pub fn abandon(&self, session: &mut Session) {
        if matches!(&self.stage, Stage::Asking(call, _) if session.tokens.unwraps(&call.spec)) {
            session.tokens.lost_unwrapping();
        }
        session.tokens.abandon(self.ticket);
    }

    /// Another leads the flight by now. An answer that can't be had again counts all the same; the log-in that
    /// it was for is the other's.
    pub fn keep_what_it_gained(&mut self, session: &mut Session, now: Duration, input: Input) {
        if let (Stage::Asking(call, attempt), Input::Response(_)) = (&mut self.stage, &input)
            && session.tokens.unwraps(&call.spec)
            && let Progress::Done(Ok(answer)) = attempt.step(session, now, input)
            && let Ok(gain) = call.read(answer)
        {
            let _ = session.tokens.gained(gain);
        }
    }
}

/// What failed is the unwrapping.
fn not_unwrapped(session: &mut Session, error: Error, in_doubt: bool) -> Error {
    if in_doubt {
        session.tokens.lost_unwrapping();
        let reason = "the answer that held the secret id was lost, and the secret id most likely with it";
        return error.because(reason).into_indeterminate();
    }
    if error.code() == Code::WrappingTokenSpent && session.tokens.has_lost_unwrapping() {
        return error.because("an answer that held the secret id did not reach this client before: its own, perhaps");
    }
    error
}
