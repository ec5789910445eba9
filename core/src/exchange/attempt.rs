//! Carrying out one call with a given token: which node to ask, what to send again, when to stop.
//!
//! The only place where a retry is decided (redirects are in [`super::redirect`], refusals in
//! [`super::refusal`]). The rules, and the faults that they answer:
//! - every try goes to another node, and only when all have failed it waits: an election or a dead
//!   node costs one round trip, an outage is not hammered;
//! - a change that no guard protects is not sent again once a byte of it may have left: a request
//!   without an answer can be executed at any later time;
//! - a redirect is followed to a configured node and for the very same path only: everything else
//!   would carry the token to a stranger, or to another secret;
//! - a request says how much of the cluster's state the client has seen: a standby is behind the leader,
//!   and would answer with what was there before the client's own write, call a right check-and-set
//!   parameter a mismatch, and delete nothing with a success. An answer that is behind all the same comes
//!   from a leader that was deposed while it slept; it is asked elsewhere;
//! - while no node serves, one operation at a time asks on behalf of all ([`crate::session::recovery`]).

use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::refusal::Refusal;
use super::verdict::{self, Executed, Verdict};
use super::{Input, Step};
use crate::call::answer::Said;
use crate::call::auth::{INLINE_NAMESPACE, Proof};
use crate::call::{Answer, Replay, Spec};
use crate::error::{Code, Error, Result};
use crate::http::{Header, Method, Request, Response};
use crate::rules::Rule;
use crate::session::Session;
use crate::session::consistency::{Mark, Noted};
use crate::session::nodes::NodeId;
use crate::session::recovery::{Entry, Lane};

/// The longest that one request may take; the deadline shortens it.
const TRY_LIMIT: Duration = Duration::from_secs(5);

/// How long a node may be silent, at least, while there are others; twice as long when all have been silent, and
/// so on. OpenBao answers within milliseconds; one that hangs is noticed by its silence only.
const SILENCE: Duration = Duration::from_secs(1);

/// A try that was cut off earlier than this, by a short deadline, says nothing about its node.
const FAIR_TRY: Duration = Duration::from_secs(1);

/// What the attempt wants next.
#[derive(Debug)]
pub(super) enum Progress {
    /// This is to be done first.
    Next(Step),
    /// The server does not know the token. With another, [`Attempt::step`] may be started again.
    TokenDead(Error),
    Done(Result<Answer>),
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) spec: Arc<Spec>,
    /// The only node that is asked, where the caller named one.
    pub(super) only: Option<NodeId>,
    pub(super) proof: Option<Proof>,
    deadline: Duration,
    backoff: Backoff,
    pub(super) node: Option<NodeId>,
    /// The nodes that were asked since the last wait.
    pub(super) asked: Vec<NodeId>,
    tries: u32,
    /// When the last request was sent, and how far a state it asked for.
    sent: Duration,
    /// Whether that was not given all the time that a try may take, and how many such tries got no answer.
    is_hasty: bool,
    silences: usize,
    asked_for: Option<Arc<Mark>>,
    /// Whether the last answer came from a state that is as far as that.
    is_current: bool,
    /// Whether a try may have been executed without our having seen its answer.
    pub(super) in_doubt: bool,
    /// Why the last try failed.
    cause: Option<Error>,
    /// What throttled us since the last wait, and the longest wait that was asked for.
    throttled: Option<Option<Duration>>,
    /// Whether it was the deadline that ended the attempt.
    expired: bool,
    /// Handshakes that failed in a row: when it is all nodes', waiting will not mend it.
    tls_failures: usize,
    /// What one node refused, until another has been asked.
    pub(super) refusal: Option<Box<Refusal>>,
    /// Whether the token is one that was got since another died: it is not simply replaced again.
    token_is_new: bool,
    /// Whether it waited for the end of an outage: what it sends then is no retry that adds to a load.
    released: bool,
}

impl Attempt {
    pub fn new(spec: Arc<Spec>, only: Option<NodeId>, deadline: Duration, seed: u64) -> Self {
        Self::with(spec, only, deadline, Backoff::new(seed))
    }

    fn with(spec: Arc<Spec>, only: Option<NodeId>, deadline: Duration, backoff: Backoff) -> Self {
        Self {
            spec,
            only,
            proof: None,
            deadline,
            backoff,
            node: None,
            asked: Vec::new(),
            tries: 0,
            sent: Duration::ZERO,
            is_hasty: false,
            silences: 0,
            asked_for: None,
            is_current: false,
            in_doubt: false,
            cause: None,
            throttled: None,
            expired: false,
            tls_failures: 0,
            refusal: None,
            token_is_new: false,
            released: false,
        }
    }

    /// The same attempt, for so long at most.
    pub fn until(mut self, deadline: Duration) -> Self {
        self.deadline = self.deadline.min(deadline);
        self
    }

    /// A try before this attempt may have been executed without our having seen its answer.
    pub fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// Another call under the same deadline.
    pub fn sibling(&mut self, spec: Arc<Spec>) -> Self {
        Self::with(spec, None, self.deadline, self.backoff.fork())
    }

    /// What is shown from now on.
    pub fn carry(&mut self, proof: impl Into<Proof>) {
        self.proof = Some(proof.into());
    }

    /// The token that comes next takes the place of one that died.
    pub fn replace_token(&mut self) {
        self.token_is_new = true;
    }

    pub fn sent(&self) -> Duration {
        self.sent
    }

    /// How often it was sent.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Whether a try may have been executed without our having seen its answer.
    pub fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Whether the node that answered said to be as far as it was asked to be.
    pub fn is_current(&self) -> bool {
        self.is_current
    }

    /// The node that was asked last.
    pub fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// Whether it was the deadline that ended the attempt, and not what the servers said.
    pub fn has_expired(&self) -> bool {
        self.expired
    }

    /// Adds the node and the number of tries to an error.
    pub fn place(&self, session: &Session, error: Error) -> Error {
        match self.node.and_then(|node| session.nodes.origin(node)) {
            Some(origin) => error.at(origin.as_str(), self.tries),
            None => error,
        }
    }

    pub fn step(&mut self, session: &mut Session, now: Duration, input: Input) -> Progress {
        match input {
            Input::Start => {
                self.asked.clear();
                self.refusal = None;
                self.next_node(session, now)
            }
            Input::Elapsed | Input::FlightMoved => {
                // Who has refused does not confirm it himself.
                if self.refusal.is_none() {
                    self.asked.clear();
                }
                self.next_node(session, now)
            }
            Input::Response(response) => self.on_response(session, now, response),
            Input::Failed(failure) => {
                let verdict = verdict::of_failure(&self.spec, failure);
                self.on_trouble(session, now, verdict)
            }
            Input::Loaded(..) => Progress::Done(Err(
                Error::new(Code::Internal).because("an attempt was given an input that it did not wait for")
            )),
        }
    }

    /// Sends to the next node that was not asked yet, or waits where there is none.
    pub(super) fn next_node(&mut self, session: &mut Session, now: Duration) -> Progress {
        if now >= self.deadline {
            self.expired = true;
            return self.give_up(session);
        }
        if self.only.is_some() || self.spec.momentary {
            let left = match self.only {
                Some(only) => Some(only).filter(|only| !self.asked.contains(only)),
                None => session.nodes.choose(&self.asked),
            };
            return match left {
                Some(node) => self.send_again(session, now, node),
                None if self.spec.momentary => self.give_up(session),
                None => self.wait(session, now),
            };
        }
        if self.refusal.is_some() {
            return match session.nodes.choose_trusted(&self.asked) {
                Some(node) => self.send_again(session, now, node),
                // No other is left to ask: it stands.
                None => self.give_up(session),
            };
        }
        match session.recovery.enter(self.spec.lane(), now) {
            Entry::Open => match session.nodes.choose(&self.asked) {
                Some(node) if std::mem::take(&mut self.released) => self.send(session, now, node),
                Some(node) => self.send_again(session, now, node),
                None => self.wait(session, now),
            },
            Entry::Probe => {
                self.asked.clear();
                match session.nodes.take_turn() {
                    Some(node) => self.send(session, now, node),
                    None => self.give_up(session),
                }
            }
            Entry::Wait(ticket, until) => {
                let until = until.min(self.deadline);
                self.released = true;
                Progress::Next(Step::Join(ticket, until.saturating_sub(now)))
            }
        }
    }

    /// Whether what becomes of the call says which node to ask first: not where the caller named it,
    /// and not where a node that can't serve answers as well.
    pub(super) fn is_telling(&self) -> bool {
        self.only.is_none() && !self.spec.momentary
    }

    /// Sends, as soon as the client may make one more retry. The first try is none.
    fn send_again(&mut self, session: &mut Session, now: Duration, node: NodeId) -> Progress {
        if self.tries > 0
            && let Err(wait) = session.quota.take(now)
        {
            return self.pause(session, now, wait);
        }
        self.send(session, now, node)
    }

    /// Sends at once: a first try, one that goes to the node which was named as the leader, one that the
    /// gate let through.
    pub(super) fn send(&mut self, session: &mut Session, now: Duration, node: NodeId) -> Progress {
        let left = self.deadline.saturating_sub(now);
        let Some(origin) = session.nodes.origin(node).filter(|_| !left.is_zero()) else {
            self.expired = true;
            return self.give_up(session);
        };
        let mut headers = Vec::with_capacity(6);
        // OpenBao can be told to refuse requests without it, as a page in a browser would send them.
        headers.push(Header::plain("x-vault-request", "true"));
        match &self.proof {
            Some(Proof::Token(token)) => headers.push(Header::secret("x-vault-token", token.clone())),
            Some(Proof::Inline(log_in, _)) => {
                headers.extend(log_in.iter().cloned());
                if let Some(namespace) = &session.namespace {
                    headers.push(Header::plain(INLINE_NAMESPACE, namespace.to_string()));
                }
            }
            None => {}
        }
        if let Some(namespace) = session.namespace.as_ref().filter(|_| self.spec.namespaced) {
            headers.push(Header::plain("x-vault-namespace", namespace.to_string()));
        }
        if self.spec.body.is_some() {
            // The only kind of PATCH that OpenBao knows.
            let patch = self.spec.method == Method::Patch;
            let kind = if patch { "application/merge-patch+json" } else { "application/json" };
            headers.push(Header::plain("content-type", kind));
        }
        self.asked_for = session.consistency.furthest().filter(|_| self.spec.is_of_state());
        if let Some(mark) = &self.asked_for {
            headers.push(Header::shared("x-vault-index", mark.text.clone()));
            // Without it a standby that is behind refuses the request, instead of passing it on.
            headers.push(Header::plain("x-vault-inconsistent", "forward-active-node"));
        }
        if let Some(seconds) = self.spec.wrap_ttl {
            headers.push(Header::plain("x-vault-wrap-ttl", format!("{seconds}s")));
        }
        let request = Request {
            method: self.spec.method,
            node: origin.clone(),
            target: self.spec.target.clone(),
            headers,
            body: self.spec.body.clone(),
            transfer: self.spec.transfer.clone(),
            closes: self.spec.closes,
        };
        self.node = Some(node);
        self.asked.push(node);
        self.tries = self.tries.saturating_add(1);
        self.sent = now;
        let limit = self.limit(session, left);
        Progress::Next(Step::Send(request, limit))
    }

    /// How long the node that is asked now may take.
    fn limit(&mut self, session: &Session, left: Duration) -> Duration {
        let nodes = session.nodes.len();
        self.is_hasty = nodes > 1 && self.is_telling() && self.spec.may_be_hastened();
        let limit = match (self.spec.patient, self.is_hasty) {
            (true, _) => left,
            (_, true) => {
                // Of a cluster that is slow, four times what it takes.
                let patience = SILENCE.max(session.nodes.answer_time() * 4);
                TRY_LIMIT.min(patience * (1 << (self.silences / nodes).min(3)))
            }
            _ => TRY_LIMIT,
        };
        limit.min(left)
    }

    /// Waits until all nodes may be asked once more.
    fn wait(&mut self, session: &Session, now: Duration) -> Progress {
        let wait = match self.throttled.take() {
            Some(wish) => self.backoff.throttled(wish),
            None => self.backoff.failed(),
        };
        self.pause(session, now, wait)
    }

    fn pause(&mut self, session: &Session, now: Duration, wait: Duration) -> Progress {
        // A wait that outlives the deadline helps nobody: what is known now is the answer.
        if now.saturating_add(wait) >= self.deadline {
            self.expired = true;
            return self.give_up(session);
        }
        Progress::Next(Step::Wait(wait))
    }

    fn on_response(&mut self, session: &mut Session, now: Duration, response: Response) -> Progress {
        match verdict::of_response(&self.spec, &response) {
            // A log-in that goes along and is refused is what a dead token is to others.
            Verdict::Final(Some(said)) if self.is_inline() && said.refuses_log_in() => {
                let error = said.into_error(&self.spec, response.status());
                self.on_token_dead(session, now, error)
            }
            Verdict::Final(said) => self.on_final(session, now, response, said),
            Verdict::TokenDead(error) => self.on_token_dead(session, now, error),
            Verdict::Redirect => self.on_redirect(session, now, &response),
            verdict => self.on_trouble(session, now, verdict),
        }
    }

    fn is_inline(&self) -> bool {
        matches!(self.proof, Some(Proof::Inline(..)))
    }

    fn on_token_dead(&mut self, session: &mut Session, now: Duration, error: Error) -> Progress {
        self.served(session, Lane::Read);
        let error = self.place(session, error);
        // A token that can be replaced is, which is quicker than asking another node. Whether a file holds
        // another by now, nobody knows.
        let is_final = !session.tokens.logs_in() || self.token_is_new;
        if is_final && self.awaits_confirmation(session) {
            return self.ask_another(session, now, Refusal::TokenDead(error));
        }
        Progress::TokenDead(error)
    }

    fn on_final(&mut self, session: &mut Session, now: Duration, response: Response, said: Option<Said>) -> Progress {
        // What came wrapped was stored by the leader: where its index is lower, so is the cluster's, which was
        // restored from a snapshot.
        let is_leaders = self.spec.wrap_ttl.is_some() && said.is_none();
        let asked = self.asked_for.as_deref();
        let noted = response.index().map(|index| session.consistency.note(index, asked, is_leaders));
        self.is_current = matches!(noted, Some(Noted::Fresh));
        match noted {
            // A change is never sent again for that: what it did, it did.
            Some(Noted::Behind) if self.spec.is_read() && session.rules.keep(Rule::IndexIsJudged) => {
                return self.on_stale(session, now);
            }
            Some(Noted::OtherCluster) => session.forget_cluster(),
            _ => {}
        }
        if said.is_none() {
            session.quota.earn();
        }
        // A standby refuses by what it has, and finds nothing without a leader too.
        self.served(session, if said.is_none() { self.spec.lane() } else { Lane::Read });
        if said.is_some_and(Said::may_be_late) && self.awaits_confirmation(session) {
            return self.ask_another(session, now, Refusal::Final(response, said));
        }
        if let Some(node) = self.node.filter(|_| self.is_telling()) {
            session.nodes.took(now.saturating_sub(self.sent));
            // Other changes of what it does not know are a success to a node that is behind.
            if said.is_none() && self.spec.replay == Replay::Guarded {
                session.nodes.acknowledged(node);
            } else {
                session.nodes.answered(node);
            }
        }
        Progress::Done(Ok(Answer { response, said, in_doubt: self.in_doubt }))
    }

    fn served(&self, session: &mut Session, lane: Lane) {
        if self.is_telling() {
            session.recovery.served(lane);
        }
    }

    /// The node answered with less than the client has seen.
    fn on_stale(&mut self, session: &mut Session, now: Duration) -> Progress {
        let node = self.node.filter(|_| self.is_telling());
        if let Some(node) = node {
            session.nodes.suspect(node);
        }
        let reason = "the node is behind what was seen before, and does not know it";
        self.cause = Some(Error::new(Code::StaleRead).about(self.spec.path().to_owned()).because(reason));
        match session.nodes.choose(&self.asked).filter(|_| node.is_some()) {
            Some(next) => self.send(session, now, next),
            // Asking again would not help: a read that needs the leader will.
            None => self.give_up(session),
        }
    }

    pub(super) fn on_trouble(&mut self, session: &mut Session, now: Duration, verdict: Verdict) -> Progress {
        let is_down = matches!(verdict, Verdict::Down(..));
        let (executed, error, throttled, stop) = match verdict {
            Verdict::Again(executed, error) | Verdict::Down(executed, error) => (executed, error, None, false),
            // A node that says when to come back is asked then.
            Verdict::Throttled(executed, error) => {
                let wish = error.retry_after();
                (executed, error, Some(wish), false)
            }
            Verdict::Stop(executed, error) => (executed, error, None, true),
            Verdict::Final(_) | Verdict::TokenDead(_) | Verdict::Redirect => {
                (Executed::Maybe, Error::new(Code::Internal).because("a verdict that is no trouble"), None, true)
            }
        };
        self.tls_failures = if error.code() == Code::TlsFailed { self.tls_failures + 1 } else { 0 };
        self.in_doubt |= executed == Executed::Maybe;
        let is_silent = error.code() == Code::DeadlineExceeded;
        if is_silent && self.is_hasty {
            self.silences += 1;
            if self.silences >= session.nodes.len() {
                // It may be that they are slow and not dead: until answers show how long they take, all have time.
                session.nodes.took(TRY_LIMIT);
            }
        }
        // A try that the deadline cut short says less than the one before it.
        let cut_short = now >= self.deadline && error.code() == Code::DeadlineExceeded;
        if !cut_short || self.cause.is_none() {
            self.cause = Some(error);
        }
        if let Some(node) = self.node.filter(|_| self.is_telling()) {
            session.nodes.failed(node);
            if is_down || (is_silent && now.saturating_sub(self.sent) >= FAIR_TRY) {
                let why = (self.cause.as_ref().map_or(Code::NoLeader, Error::code), Some(node));
                session.recovery.failed(self.spec.lane(), now, session.nodes.len(), why);
            }
        }
        let nodes = if self.only.is_some() { 1 } else { session.nodes.len() };
        let distrusted = self.tls_failures > 0 && self.tls_failures >= nodes;
        let is_done_for = self.in_doubt && self.spec.replay == Replay::Unsafe && session.rules.keep(Rule::NoBlindRetry);
        if stop || distrusted || is_done_for {
            return self.give_up(session);
        }
        if let Some(wish) = throttled {
            self.throttled = Some(self.throttled.flatten().max(wish));
        }
        self.next_node(session, now)
    }

    /// No try is left: what is known is the answer. The exchange adds what a doubt makes of it.
    fn give_up(&mut self, session: &Session) -> Progress {
        if let Some(refusal) = self.refusal.take() {
            return self.refuse(session, *refusal);
        }
        let cause = self.cause.take().unwrap_or_else(|| self.never_sent(session));
        Progress::Done(Err(self.place(session, cause)))
    }

    /// It never came to ask a node; in an outage others did, and were told why.
    fn never_sent(&self, session: &Session) -> Error {
        let outage = session.recovery.reason(self.spec.lane()).filter(|_| self.released);
        let (code, node) = outage.unwrap_or((Code::DeadlineExceeded, None));
        let reason =
            if outage.is_some() { "no node served before the deadline" } else { "no time was left to send it" };
        let error = Error::new(code).about(self.spec.path().to_owned()).because(reason);
        match node.and_then(|node| session.nodes.origin(node)) {
            Some(origin) => error.at(origin.as_str(), 0),
            None => error,
        }
    }
}
