//! Carrying out one call with a given token: which node to ask, what to send again, when to stop.
//!
//! The only place where a retry is decided. The rules, and the faults that they answer:
//! - every try goes to another node, and only when all have failed it waits: an election or a dead
//!   node costs one round trip, an outage is not hammered;
//! - a change that no guard protects is not sent again once a byte of it may have left: a request
//!   without an answer can be executed at any later time;
//! - a redirect is followed to a configured node and for the very same path only: everything else
//!   would carry the token to a stranger, or to another secret;
//! - a read says how much of the cluster's state the client has seen: a standby is behind the leader,
//!   and would answer with what was there before the client's own write.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::Input;
use super::backoff::Backoff;
use super::verdict::{self, Executed, Verdict};
use crate::call::{Answer, Replay, Spec};
use crate::config::Origin;
use crate::error::{Code, Error, Result};
use crate::http::{Header, Method, Request, Response};
use crate::session::Session;
use crate::session::nodes::NodeId;

/// The longest that one request may take; the deadline shortens it.
const TRY_LIMIT: Duration = Duration::from_secs(5);

/// What the attempt wants next.
#[derive(Debug)]
pub(super) enum Progress {
    Send(Request, Duration),
    Wait(Duration),
    /// The server does not know the token. With another, [`Attempt::step`] may be started again.
    TokenDead(Error),
    Done(Result<Answer>),
}

#[derive(Debug)]
pub(super) struct Attempt {
    spec: Arc<Spec>,
    /// The only node that is asked, where the caller named one.
    only: Option<NodeId>,
    token: Option<Arc<SecretString>>,
    deadline: Duration,
    backoff: Backoff,
    node: Option<NodeId>,
    /// The nodes that were asked since the last wait.
    asked: Vec<NodeId>,
    tries: u32,
    /// When the last request was sent.
    sent: Duration,
    /// Whether a try may have been executed without our having seen its answer.
    in_doubt: bool,
    /// Why the last try failed.
    cause: Option<Error>,
    /// What throttled us since the last wait, and the longest wait that was asked for.
    throttled: Option<Option<Duration>>,
    /// Whether it was the deadline that ended the attempt.
    expired: bool,
    /// Handshakes that failed in a row: when it is all nodes', waiting will not mend it.
    tls_failures: usize,
}

impl Attempt {
    pub fn new(spec: Arc<Spec>, only: Option<NodeId>, deadline: Duration, seed: u64) -> Self {
        Self::with(spec, only, deadline, Backoff::new(seed))
    }

    fn with(spec: Arc<Spec>, only: Option<NodeId>, deadline: Duration, backoff: Backoff) -> Self {
        Self {
            spec,
            only,
            token: None,
            deadline,
            backoff,
            node: None,
            asked: Vec::new(),
            tries: 0,
            sent: Duration::ZERO,
            in_doubt: false,
            cause: None,
            throttled: None,
            expired: false,
            tls_failures: 0,
        }
    }

    /// Another call under the same deadline.
    pub fn sibling(&mut self, spec: Arc<Spec>) -> Self {
        Self::with(spec, None, self.deadline, self.backoff.fork())
    }

    /// The token that goes along from now on.
    pub fn carry(&mut self, token: Arc<SecretString>) {
        self.token = Some(token);
    }

    pub fn sent(&self) -> Duration {
        self.sent
    }

    /// Whether a try may have been executed without our having seen its answer.
    pub fn in_doubt(&self) -> bool {
        self.in_doubt
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
            Input::Start | Input::Elapsed | Input::FlightMoved => {
                self.asked.clear();
                self.next_node(session, now)
            }
            Input::Response(response) => self.on_response(session, now, response),
            Input::Failed(failure) => {
                let verdict = verdict::of_failure(&self.spec, failure);
                self.on_trouble(session, now, verdict)
            }
        }
    }

    /// Sends to the next node that was not asked yet, or waits where there is none.
    fn next_node(&mut self, session: &mut Session, now: Duration) -> Progress {
        let node = match self.only {
            Some(only) => Some(only).filter(|only| !self.asked.contains(only)),
            None => session.nodes.choose(&self.asked),
        };
        match node {
            Some(node) => self.send(session, now, node),
            None if self.spec.momentary => self.give_up(session),
            None => self.wait(session, now),
        }
    }

    /// Whether it reads what the cluster stores, of which it must not see less than the client has
    /// seen. How a node is, is no such thing: the header would change what the answer means.
    fn is_read(&self) -> bool {
        self.spec.method == Method::Get && !self.spec.momentary
    }

    /// Whether what becomes of the call says which node to ask first: not where the caller named it,
    /// and not where a node that can't serve answers as well.
    fn is_telling(&self) -> bool {
        self.only.is_none() && !self.spec.momentary
    }

    fn send(&mut self, session: &mut Session, now: Duration, node: NodeId) -> Progress {
        let left = self.deadline.saturating_sub(now);
        let Some(origin) = session.nodes.origin(node).filter(|_| !left.is_zero()) else {
            self.expired = true;
            return self.give_up(session);
        };
        let mut headers = Vec::with_capacity(6);
        // OpenBao can be told to refuse requests without it, as a page in a browser would send them.
        headers.push(Header::plain("x-vault-request", "true"));
        if let Some(token) = &self.token {
            headers.push(Header::secret("x-vault-token", token.clone()));
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
        if self.is_read()
            && let Some(index) = session.consistency.index()
        {
            headers.push(Header::shared("x-vault-index", index));
            // Without it a standby that is behind refuses the read, instead of passing it on.
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
        };
        self.node = Some(node);
        self.asked.push(node);
        self.tries = self.tries.saturating_add(1);
        self.sent = now;
        let limit = if self.spec.patient { left } else { TRY_LIMIT.min(left) };
        Progress::Send(request, limit)
    }

    /// Waits until all nodes may be asked once more.
    fn wait(&mut self, session: &Session, now: Duration) -> Progress {
        let wait = match self.throttled.take() {
            Some(wish) => self.backoff.throttled(wish),
            None => self.backoff.failed(),
        };
        // A wait that outlives the deadline helps nobody: what is known now is the answer.
        if now.saturating_add(wait) >= self.deadline {
            self.expired = true;
            return self.give_up(session);
        }
        Progress::Wait(wait)
    }

    fn on_response(&mut self, session: &mut Session, now: Duration, response: Response) -> Progress {
        match verdict::of_response(&self.spec, &response) {
            Verdict::Final(said) => {
                if let Some(index) = response.index() {
                    session.consistency.note(index);
                }
                if let Some(node) = self.node.filter(|_| self.is_telling()) {
                    session.nodes.answered(node);
                }
                Progress::Done(Ok(Answer { response, said, in_doubt: self.in_doubt }))
            }
            Verdict::TokenDead(error) => Progress::TokenDead(self.place(session, error)),
            Verdict::Redirect => self.on_redirect(session, now, &response),
            verdict => self.on_trouble(session, now, verdict),
        }
    }

    fn on_trouble(&mut self, session: &mut Session, now: Duration, verdict: Verdict) -> Progress {
        let (executed, error, throttled, stop) = match verdict {
            Verdict::Again(executed, error) => (executed, error, None, false),
            Verdict::Throttled(executed, error, wish) => (executed, error, Some(wish), false),
            Verdict::Stop(executed, error) => (executed, error, None, true),
            Verdict::Final(_) | Verdict::TokenDead(_) | Verdict::Redirect => {
                (Executed::Maybe, Error::new(Code::Internal).because("a verdict that is no trouble"), None, true)
            }
        };
        self.tls_failures = if error.code() == Code::TlsFailed { self.tls_failures + 1 } else { 0 };
        self.in_doubt |= executed == Executed::Maybe;
        // A try that the deadline cut short says less than the one before it.
        let cut_short = now >= self.deadline && error.code() == Code::DeadlineExceeded;
        if !cut_short || self.cause.is_none() {
            self.cause = Some(error);
        }
        if let Some(node) = self.node.filter(|_| self.is_telling()) {
            session.nodes.failed(node);
        }
        let nodes = if self.only.is_some() { 1 } else { session.nodes.len() };
        let distrusted = self.tls_failures > 0 && self.tls_failures >= nodes;
        if stop || distrusted || (self.in_doubt && self.spec.replay == Replay::Unsafe) {
            return self.give_up(session);
        }
        if let Some(wish) = throttled {
            self.throttled = Some(self.throttled.flatten().max(wish));
        }
        self.next_node(session, now)
    }

    fn on_redirect(&mut self, session: &mut Session, now: Duration, response: &Response) -> Progress {
        let refused = |code, reason: &'static str| Error::new(code).about(self.spec.path().to_owned()).because(reason);
        let Some(location) = response.location() else {
            let error = refused(Code::RedirectRefused, "a redirect to nowhere");
            return self.on_trouble(session, now, Verdict::Again(Executed::Maybe, error));
        };
        let Some((origin, target)) = Origin::of_location(location) else {
            // OpenBao answers so to a path that it would clean, before it does anything.
            let verdict = if location.starts_with("//") || location.contains("://") {
                Verdict::Again(Executed::Maybe, refused(Code::RedirectRefused, "a redirect to no address of a node"))
            } else {
                Verdict::Stop(Executed::No, refused(Code::PathRewritten, "a redirect to another path of the same node"))
            };
            return self.on_trouble(session, now, verdict);
        };
        if self.only.is_some() {
            let error = refused(Code::RedirectRefused, "the node sends the request on, and it is for this node alone");
            return self.on_trouble(session, now, Verdict::Stop(Executed::Maybe, error));
        }
        if target != &*self.spec.target {
            let error = refused(Code::PathRewritten, "a redirect to another path");
            return self.on_trouble(session, now, Verdict::Stop(Executed::Maybe, error));
        }
        match session.nodes.find(&origin) {
            Some(node) if !self.asked.contains(&node) && self.spec.replay != Replay::Unsafe => {
                self.in_doubt = true;
                self.send(session, now, node)
            }
            Some(_) if self.spec.replay == Replay::Unsafe => {
                let error =
                    refused(Code::NoLeader, "a redirect, which is not followed with a change that no guard protects");
                self.on_trouble(session, now, Verdict::Again(Executed::Maybe, error))
            }
            Some(_) => {
                let error = refused(Code::NoLeader, "the nodes send each other the request");
                self.on_trouble(session, now, Verdict::Again(Executed::Maybe, error))
            }
            None => {
                let error = refused(Code::RedirectRefused, "a redirect to a node that is not configured");
                let error =
                    if self.repeats_token(origin.as_str()) { error } else { error.about(origin.as_str().to_owned()) };
                self.on_trouble(session, now, Verdict::Again(Executed::Maybe, error))
            }
        }
    }

    /// Whether a server put our token into the address that it sends us to.
    fn repeats_token(&self, origin: &str) -> bool {
        self.token.as_ref().is_some_and(|token| origin.contains(&token.expose_secret().to_ascii_lowercase()))
    }

    /// No try is left. The exchange adds what a doubt makes of the result.
    fn give_up(&mut self, session: &Session) -> Progress {
        let cause = self.cause.take().unwrap_or_else(|| {
            Error::new(Code::DeadlineExceeded).about(self.spec.path().to_owned()).because("no time was left to send it")
        });
        Progress::Done(Err(self.place(session, cause)))
    }
}
