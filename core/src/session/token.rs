//! The client's token: its generation, its lease, and the one log-in that serves all who wait.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::call::Call;
use crate::call::auth::{Grant, app_role_login};
use crate::config::Credential;
use crate::error::{Code, Error, Result};

/// A leader that has not moved for so long has lost its flight: it was dropped without its guard,
/// or is held by a task that nobody polls. Longer than one try may take.
const FLIGHT_LEASE: Duration = Duration::from_secs(6);

/// A token this near its end is not sent any more, since it could die on the way: a tenth of its
/// lease, at most so long.
const LONGEST_MARGIN: Duration = Duration::from_secs(30);

/// Which log-in a token came from. A refusal evicts the generation that was refused and no later
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

/// A log-in under way, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

#[derive(Clone, Debug)]
struct Token {
    text: Arc<SecretString>,
    generation: Generation,
    /// On the monotonic clock, the margin already taken off; none for a token without an end.
    use_until: Option<Duration>,
}

#[derive(Debug)]
struct Flight {
    ticket: Ticket,
    lease_until: Duration,
}

#[derive(Debug)]
struct Failed {
    ticket: Ticket,
    error: Error,
    /// The failure holds for exchanges with a deadline up to this.
    until: Duration,
}

/// What an exchange that needs a token has to do.
pub(crate) enum Need {
    /// Use this one.
    Use(Arc<SecretString>, Generation),
    /// Log in on behalf of all.
    LogIn(Ticket, Call<Grant>),
    /// Wait for the log-in of another, no longer than its lease.
    Join(Ticket, Duration),
}

#[derive(Debug)]
pub(crate) struct Tokens {
    credential: Option<Credential>,
    token: Option<Token>,
    generations: u64,
    flight: Option<Flight>,
    flights: u64,
    /// The last flight that failed, so that those who waited for it need not try the same.
    failed: Option<Failed>,
    moved: bool,
}

impl Tokens {
    pub fn new(credential: Option<Credential>) -> Self {
        let mut tokens = Self {
            credential: None,
            token: None,
            generations: 0,
            flight: None,
            flights: 0,
            failed: None,
            moved: false,
        };
        if let Some(Credential::Token(text)) = &credential {
            tokens.put(Arc::new(text.clone()), None);
        }
        tokens.credential = credential;
        tokens
    }

    fn put(&mut self, text: Arc<SecretString>, use_until: Option<Duration>) -> Generation {
        self.generations += 1;
        let generation = Generation(self.generations);
        self.token = Some(Token { text, generation, use_until });
        generation
    }

    /// What to do for a token at this moment.
    pub fn need(&mut self, now: Duration) -> Result<Need> {
        if let Some(token) = &self.token
            && token.use_until.is_none_or(|until| now < until)
        {
            return Ok(Need::Use(token.text.clone(), token.generation));
        }
        let Some(Credential::AppRole { mount, role_id, secret_id }) = &self.credential else {
            let reason = match self.credential {
                Some(Credential::None) => "the client was made without a credential",
                _ => "the token is dead, and there is no credential to log in with",
            };
            return Err(Error::new(Code::AuthenticationFailed).because(reason));
        };
        if let Some(flight) = &self.flight
            && now < flight.lease_until
        {
            return Ok(Need::Join(flight.ticket, flight.lease_until.saturating_sub(now)));
        }
        let call = app_role_login(mount, role_id, secret_id)?;
        self.flights += 1;
        let ticket = Ticket(self.flights);
        self.flight = Some(Flight { ticket, lease_until: now.saturating_add(FLIGHT_LEASE) });
        self.moved = true;
        Ok(Need::LogIn(ticket, call))
    }

    /// Whether a flight is over, for one who waits for it.
    pub fn has_moved(&self, ticket: Ticket) -> bool {
        self.flight.as_ref().is_none_or(|flight| flight.ticket != ticket)
    }

    /// Why a flight failed, for one who waited for it until this deadline at most.
    pub fn failure(&self, ticket: Ticket, deadline: Duration) -> Option<Error> {
        let failed = self.failed.as_ref().filter(|failed| failed.ticket == ticket && deadline <= failed.until)?;
        Some(failed.error.clone())
    }

    /// The leader is alive; false where it lost its flight.
    pub fn keep(&mut self, ticket: Ticket, now: Duration) -> bool {
        match &mut self.flight {
            Some(flight) if flight.ticket == ticket => {
                flight.lease_until = now.saturating_add(FLIGHT_LEASE);
                true
            }
            _ => false,
        }
    }

    /// The log-in that was sent at `sent` succeeded.
    pub fn land(&mut self, ticket: Ticket, grant: Grant, sent: Duration) {
        if !self.end(ticket) {
            // Another took the flight over and its token is the one in use.
            return;
        }
        self.put(Arc::new(grant.token), use_until(grant.lease_duration, sent));
    }

    /// The log-in failed: all who wait for it, until `until` at most, hear the same.
    pub fn fail(&mut self, ticket: Ticket, error: Error, until: Duration) {
        if self.end(ticket) {
            self.failed = Some(Failed { ticket, error, until });
        }
    }

    /// The leader gives up for reasons of its own; the next who wants a token tries again.
    pub fn abandon(&mut self, ticket: Ticket) {
        self.end(ticket);
    }

    fn end(&mut self, ticket: Ticket) -> bool {
        let mine = !self.has_moved(ticket);
        if mine {
            self.flight = None;
            self.moved = true;
        }
        mine
    }

    /// The server does not know the token of this generation; true where another can be had.
    pub fn evict(&mut self, generation: Generation) -> bool {
        let replaceable = matches!(self.credential, Some(Credential::AppRole { .. }));
        if replaceable && self.token.as_ref().is_some_and(|token| token.generation == generation) {
            self.token = None;
        }
        replaceable
    }

    /// The token of this generation was renewed by an answer to a request that was sent at `sent`.
    ///
    /// A token that was given is used until the server refuses it: whoever gave it may renew it too.
    pub fn renewed(&mut self, generation: Generation, lease_duration: u64, sent: Duration) {
        if let Some(token) = &mut self.token
            && token.generation == generation
            && token.use_until.is_some()
        {
            token.use_until = use_until(lease_duration, sent);
        }
    }

    /// Wipes token and credential.
    pub fn forget(&mut self) {
        self.token = None;
        self.credential = None;
        self.flight = None;
        self.moved = true;
    }

    /// Whether those who wait must look again; asked once after each step.
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
}

/// Until when a token with a lease of so many seconds is sent; none for one without an end.
fn use_until(lease_duration: u64, sent: Duration) -> Option<Duration> {
    let lease = Duration::from_secs(lease_duration);
    let margin = (lease / 10).min(LONGEST_MARGIN);
    (!lease.is_zero()).then(|| sent.saturating_add(lease.saturating_sub(margin)))
}
