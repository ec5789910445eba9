//! The machine that carries out one call: a token first, then the call, both by [`attempt`].
//!
//! It does no input or output. [`crate::drive`] feeds it what happened and does what it asks for,
//! one effect at a time, until it says [`Step::Done`].
//!
//! ```text
//! Fresh ──token at hand──────────────► Calling ──answer──► Done
//!   │ ▲                                   │
//!   │ └──────── token dead, once ─────────┘
//!   ├──near its end──► Refreshing ──renewed, replaced, or not now──► Calling
//!   ├──nobody logs in──► LoggingIn ──token──► Fresh
//!   └──somebody does───► Joining ──moved, or its lease is over──► Fresh
//! ```

mod attempt;
mod backoff;
mod login;
mod redirect;
mod refusal;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::call::{Answer, Bearer, Replay, Spec};
use crate::config::Gate;
use crate::error::{Code, Error, Result};
use crate::http::{Failure, Request, Response};
use crate::rules::Rule;
use crate::session::nodes::NodeId;
use crate::session::token::{Generation, Need, Refresh, Refreshed};
use crate::session::{Now, Session, Ticket};
use attempt::{Attempt, Progress};
use login::{LogIn, Way};

/// Followers whose deadline comes so shortly after their leader's share its failure: a try of their
/// own could not end, and all of them would make one.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// How long an operation waits for a renewal on the way, at most: its token is still good.
const REFRESH_LIMIT: Duration = Duration::from_secs(2);

/// What happened since the last step.
#[derive(Debug)]
pub(crate) enum Input {
    /// Nothing yet.
    Start,
    /// The request was answered.
    Response(Response),
    /// The request was not answered, or not within its limit.
    Failed(Failure),
    /// The wait, or the limit of a join, is over.
    Elapsed,
    /// The flight that was joined is over.
    FlightMoved,
    /// The file was read, or could not be.
    Loaded(std::result::Result<SecretString, Failure>, Gate),
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send this, and give up on it after so long.
    Send(Request, Duration),
    /// Let so much time pass.
    Wait(Duration),
    /// Wait until this flight is over, but no longer than this.
    Join(Ticket, Duration),
    /// Read this file, and give up on it after so long.
    Load(Arc<str>, Duration, Gate),
    /// Nothing more: this is the result.
    Done(Result<Answer>),
}

/// One call on its way.
#[derive(Debug)]
pub(crate) struct Exchange {
    spec: Arc<Spec>,
    phase: Phase,
    attempt: Attempt,
    deadline: Duration,
    /// The generation of the token that the attempt carries.
    generation: Option<Generation>,
    /// A second dead token in one call is no accident: the answer stands.
    replaced: bool,
}

#[derive(Debug)]
enum Phase {
    Fresh,
    Joining(Ticket),
    Refreshing(Box<LogIn>),
    LoggingIn(Box<LogIn>),
    Calling,
    Done,
}

impl Exchange {
    /// A call that must be over at `deadline`, on the monotonic clock, of one node where it is named.
    /// `seed` feeds its jitter.
    pub fn new(spec: Arc<Spec>, node: Option<NodeId>, deadline: Duration, seed: u64) -> Self {
        let attempt = Attempt::new(spec.clone(), node, deadline, seed);
        Self { spec, phase: Phase::Fresh, attempt, deadline, generation: None, replaced: false }
    }

    /// Takes in what happened and says what to do next. Not to be called after [`Step::Done`].
    pub fn step(&mut self, session: &mut Session, now: Now, input: Input) -> Step {
        let now = now.monotonic;
        if session.closed {
            return self.close(session, now, input);
        }
        match (std::mem::replace(&mut self.phase, Phase::Done), input) {
            (Phase::Fresh, Input::Start) => self.begin(session, now),
            (Phase::Joining(ticket), Input::FlightMoved | Input::Elapsed) => {
                match session.tokens.failure(ticket, self.deadline) {
                    Some(error) => self.done(session, Err(error)),
                    None => self.begin(session, now),
                }
            }
            (Phase::LoggingIn(login), input) => self.on_way(session, now, login, input, Self::log_in),
            (Phase::Refreshing(login), input) => self.on_way(session, now, login, input, Self::refresh),
            (Phase::Calling, input) => {
                let progress = self.attempt.step(session, now, input);
                self.call(session, now, progress)
            }
            (Phase::Fresh | Phase::Joining(_) | Phase::Done, _) => self.done(
                session,
                Err(Error::new(Code::Internal).because("an exchange was given an input that it did not wait for")),
            ),
        }
    }

    /// The caller went away: whoever waits for this exchange's log-in must not wait any longer.
    pub fn abandon(&mut self, session: &mut Session) {
        if let Phase::LoggingIn(login) | Phase::Refreshing(login) = std::mem::replace(&mut self.phase, Phase::Done) {
            login.abandon(session);
        }
    }

    /// The one way out: whatever ended the call, a change whose earlier try is in doubt is not said
    /// to have failed.
    fn done(&mut self, session: &Session, result: Result<Answer>) -> Step {
        self.phase = Phase::Done;
        let is_change = self.spec.replay != Replay::Idempotent && session.rules.keep(Rule::DoubtIsTold);
        let in_doubt = self.attempt.in_doubt() && is_change;
        Step::Done(result.map_err(|error| if in_doubt { error.into_indeterminate() } else { error }))
    }

    /// The client was closed meanwhile: an answer that is there counts, nothing more is sent.
    fn close(&mut self, session: &mut Session, now: Duration, input: Input) -> Step {
        let sent = matches!(self.phase, Phase::Calling) && matches!(input, Input::Response(_) | Input::Failed(_));
        match sent.then(|| self.attempt.step(session, now, input)) {
            Some(Progress::Done(result)) => self.done(session, result),
            _ => self.done(session, Err(Error::new(Code::ClientClosed).about(self.spec.path().to_owned()))),
        }
    }

    /// The generation of the token that the call went out with.
    pub fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// How often the call was sent.
    pub fn tries(&self) -> u32 {
        self.attempt.tries()
    }

    /// Whether a try may have been executed without our having seen its answer.
    pub fn in_doubt(&self) -> bool {
        self.attempt.in_doubt()
    }

    /// Such a try was made before this exchange.
    pub fn doubt(&mut self) {
        self.attempt.doubt();
    }

    /// Whether the node that answered said to be as far as it was asked to be.
    pub fn is_current(&self) -> bool {
        self.attempt.is_current()
    }

    /// The node that was asked last.
    pub fn node(&self) -> Option<NodeId> {
        self.attempt.node()
    }

    /// Gets hold of a token where the call needs one, then makes the call.
    fn begin(&mut self, session: &mut Session, now: Duration) -> Step {
        match &self.spec.bearer {
            Bearer::Nobody => {}
            Bearer::Token(token) => self.attempt.carry(token.clone()),
            Bearer::Client => match session.tokens.need(now, session.rules) {
                Ok(Need::Use(proof, generation)) => {
                    self.generation = Some(generation);
                    self.attempt.carry(proof);
                }
                Ok(Need::Refresh(refresh, proof, generation)) => {
                    let Refresh { ticket, errand, renews } = refresh;
                    self.generation = Some(generation);
                    self.attempt.carry(proof);
                    // The call that comes after it needs time as well.
                    let limit = REFRESH_LIMIT.min(self.deadline.saturating_sub(now) / 2);
                    let mut login = Box::new(LogIn::new(ticket, renews, now.saturating_add(limit)));
                    let way = login.begin(session, now, &mut self.attempt, Ok(errand));
                    return self.refresh(session, now, login, way);
                }
                Ok(Need::Join(ticket, lease)) => {
                    let left = self.deadline.saturating_sub(now);
                    if left.is_zero() {
                        let error = Error::new(Code::DeadlineExceeded).about(self.spec.path().to_owned());
                        return self.done(session, Err(error.because("a log-in that it waited for took too long")));
                    }
                    self.phase = Phase::Joining(ticket);
                    return Step::Join(ticket, lease.min(left));
                }
                Ok(Need::LogIn(ticket, errand)) => {
                    let mut login = Box::new(LogIn::new(ticket, false, self.deadline));
                    let way = login.begin(session, now, &mut self.attempt, Ok(errand));
                    return self.log_in(session, now, login, way);
                }
                Err(error) => return self.done(session, Err(error.about(self.spec.path().to_owned()))),
            },
        }
        self.start(session, now)
    }

    /// The token, where one is needed, is at hand.
    fn start(&mut self, session: &mut Session, now: Duration) -> Step {
        let progress = self.attempt.step(session, now, Input::Start);
        self.call(session, now, progress)
    }

    /// One step on the way to a token, unless another took over while this one was held up; its token serves
    /// as well.
    fn on_way(
        &mut self,
        session: &mut Session,
        now: Duration,
        mut login: Box<LogIn>,
        input: Input,
        then: fn(&mut Self, &mut Session, Duration, Box<LogIn>, Way) -> Step,
    ) -> Step {
        if !session.tokens.keep(login.ticket, now) {
            login.keep_what_it_gained(session, now, input);
            return self.begin(session, now);
        }
        let way = login.step(session, now, &mut self.attempt, input);
        then(self, session, now, login, way)
    }

    /// Renews or replaces the token on the way. Whatever becomes of it, the call is made with a token
    /// that was good when this began.
    fn refresh(&mut self, session: &mut Session, now: Duration, login: Box<LogIn>, way: Way) -> Step {
        let refreshed = match way {
            Way::Next(step) => return self.hold(session, now, step, Phase::Refreshing, login),
            Way::Done(Ok((grant, sent))) if login.renews => Refreshed::Renewed(grant, sent),
            Way::Done(Ok((grant, sent))) => Refreshed::Replaced(grant, sent),
            Way::Done(Err(error)) if error.is_retryable() || !login.renews => Refreshed::NotNow,
            Way::Done(Err(_)) => Refreshed::Refused,
        };
        if let Some(generation) = self.generation {
            session.tokens.refreshed(login.ticket, generation, refreshed, now);
        }
        self.start(session, now)
    }

    /// Keeps the flight while its next step is done.
    fn hold(
        &mut self,
        session: &mut Session,
        now: Duration,
        step: Step,
        phase: fn(Box<LogIn>) -> Phase,
        login: Box<LogIn>,
    ) -> Step {
        if let Step::Wait(duration) | Step::Join(_, duration) = &step {
            session.tokens.keep(login.ticket, now.saturating_add(*duration));
        }
        self.phase = phase(login);
        step
    }

    fn log_in(&mut self, session: &mut Session, now: Duration, login: Box<LogIn>, way: Way) -> Step {
        match way {
            Way::Next(step) => self.hold(session, now, step, Phase::LoggingIn, login),
            Way::Done(Ok((grant, sent))) => {
                session.tokens.land(login.ticket, grant, sent);
                self.begin(session, now)
            }
            Way::Done(Err(error)) => {
                // Who has more time than this exchange had may try on; a refusal holds for all.
                let told = if login.has_expired() { self.deadline.saturating_add(GRACE) } else { Duration::MAX };
                session.tokens.fail(login.ticket, error.clone(), told);
                self.done(session, Err(error))
            }
        }
    }

    fn call(&mut self, session: &mut Session, now: Duration, progress: Progress) -> Step {
        match progress {
            Progress::Next(step) => {
                self.phase = Phase::Calling;
                step
            }
            Progress::Done(result) => self.done(session, result),
            Progress::TokenDead(error) => {
                let rules = session.rules;
                let evicted = self.generation.is_some_and(|generation| session.tokens.evict(generation, rules));
                if !evicted || self.replaced {
                    return self.done(session, Err(error));
                }
                self.replaced = true;
                self.attempt.replace_token();
                self.begin(session, now)
            }
        }
    }

    /// Adds node and number of tries to an error of the call's reader.
    pub fn place(&self, session: &Session, error: Error) -> Error {
        self.attempt.place(session, error)
    }
}
