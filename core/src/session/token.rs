//! The client's token: its generation, its lease, and the one log-in that serves all who wait.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::Ticket;
use super::errand::{Errand, check_place, first, without_line_break};
use crate::call::auth::{Gain, Grant, Proof, Renewal, renew_self_as_grant};
use crate::call::sys::wrapping::unwrap_secret_id;
use crate::call::{Replay, Spec};
use crate::config::Credential;
use crate::error::{Code, Error, Result};
use crate::http::Failure;
use crate::rules::{Rule, Rules};

/// A leader that has not moved for so long has lost its flight: it was dropped without its guard,
/// or is held by a task that nobody polls. Longer than one try may take.
const FLIGHT_LEASE: Duration = Duration::from_secs(6);

/// A token this near its end is not sent any more, since it could die on the way: a tenth of its
/// lease, at most so long.
const LONGEST_MARGIN: Duration = Duration::from_secs(30);

/// How long to leave a token alone that could not be renewed, at least.
const SOONEST_AGAIN: Duration = Duration::from_secs(1);

/// Which log-in a token came from. A refusal evicts the generation that was refused and no later
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

#[derive(Clone, Debug)]
struct Token {
    proof: Proof,
    generation: Generation,
    /// Where it has an end that is known.
    lease: Option<Lease>,
}

/// How long a token is good, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Lease {
    /// How long it was good when it was given.
    length: Duration,
    /// Until when it is sent, the margin already taken off.
    use_until: Duration,
    /// From when on it is to be renewed, or replaced, on the way.
    refresh_from: Duration,
    /// Whether a renewal can lengthen it.
    renewable: bool,
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
    Use(Proof, Generation),
    /// Log in on behalf of all.
    LogIn(Ticket, Errand),
    /// Renew or replace the token on the way, if that goes quickly; this one is good until then.
    Refresh(Refresh, Proof, Generation),
    /// Wait for the log-in of another, no longer than its lease.
    Join(Ticket, Duration),
}

/// What a refresh came to.
pub(crate) enum Refreshed {
    /// The same token, for longer: asked for at this moment.
    Renewed(Grant, Duration),
    /// Another token: asked for at this moment.
    Replaced(Grant, Duration),
    /// The server does not renew it.
    Refused,
    /// No answer for now.
    NotNow,
}

/// A renewal, or a log-in while the token before it is still good.
pub(crate) struct Refresh {
    pub ticket: Ticket,
    pub errand: Errand,
    /// Whether it lengthens the lease of the token that is there.
    pub renews: bool,
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
    /// How long before its end a token is renewed.
    threshold: Duration,
    moved: bool,
    /// What a file held that a server did not know.
    dead: Option<Proof>,
    /// Whether an answer that held the secret id was lost: who finds it gone then need not look for a thief.
    unwrapping_lost: bool,
}

impl Tokens {
    pub fn new(credential: Option<Credential>, threshold: Duration) -> Self {
        let mut tokens = Self {
            credential: None,
            token: None,
            generations: 0,
            flight: None,
            flights: 0,
            failed: None,
            threshold,
            moved: false,
            dead: None,
            unwrapping_lost: false,
        };
        if let Some(Credential::Token(text)) = &credential {
            tokens.put(Proof::Token(Arc::new(text.clone())), None);
        }
        tokens.credential = credential;
        tokens
    }

    fn put(&mut self, proof: Proof, lease: Option<Lease>) {
        self.generations += 1;
        self.token = Some(Token { proof, generation: Generation(self.generations), lease });
        self.dead = None;
    }

    /// What to do for a token at this moment.
    pub fn need(&mut self, now: Duration, rules: Rules) -> Result<Need> {
        if let Some(token) = &self.token
            && token.lease.is_none_or(|lease| now < lease.use_until)
        {
            let (proof, generation) = (token.proof.clone(), token.generation);
            return match token.lease {
                Some(lease) if now >= lease.refresh_from && !self.is_flying(now) => {
                    self.refresh(lease, proof, generation, now)
                }
                _ => Ok(Need::Use(proof, generation)),
            };
        }
        if let Some(flight) = &self.flight
            && now < flight.lease_until
            && rules.keep(Rule::OneLogIn)
        {
            return Ok(Need::Join(flight.ticket, flight.lease_until.saturating_sub(now)));
        }
        let errand = self.errand(None)?;
        Ok(Need::LogIn(self.take_off(now), errand))
    }

    fn errand(&self, loaded: Option<&SecretString>) -> Result<Errand> {
        first(self.credential.as_ref(), loaded)
    }

    /// A file was read on the way to a token, or could not be.
    pub fn loaded(&mut self, loaded: std::result::Result<SecretString, Failure>) -> Result<Errand> {
        let path = self.credential.as_ref().and_then(Credential::file);
        let path = path.map(|(path, _)| path.clone()).unwrap_or_default();
        let text = loaded.map_err(|failure| {
            Error::new(Code::InvalidSetting).about(path.to_string()).because(failure.into_reason())
        })?;
        let errand = self.errand(Some(&without_line_break(text)))?;
        match (&errand, self.dead.take()) {
            (Errand::Have(grant), Some(dead)) if grant.proof.is(&dead) => {
                let reason = "the file still holds what the server does not know";
                Err(Error::new(Code::AuthenticationFailed).about(path.to_string()).because(reason))
            }
            _ => Ok(errand),
        }
    }

    /// A server answered on the way to a token.
    pub fn gained(&mut self, gain: Gain) -> Result<Errand> {
        match (gain, &mut self.credential) {
            (Gain::Grant(grant), _) => Ok(Errand::Have(grant)),
            (Gain::MadeAt(path), Some(Credential::WrappedAppRole { mount, role, wrapping_token, .. })) => {
                check_place(mount, role.as_ref(), &path)?;
                // It was asked once, and need not be again.
                *role = None;
                unwrap_secret_id(wrapping_token.clone()).map(Errand::Ask)
            }
            (Gain::SecretId(secret_id), Some(Credential::WrappedAppRole { mount, role_id, .. })) => {
                let (mount, role_id) = (mount.clone(), role_id.clone());
                self.credential = Some(Credential::AppRole { mount, role_id, secret_id });
                self.errand(None)
            }
            _ => self.errand(None),
        }
    }

    /// What comes next where the secret id was unwrapped by another flight.
    pub fn unwrapped(&self) -> Option<Errand> {
        let is_wrapped = matches!(self.credential, Some(Credential::WrappedAppRole { .. }) | None);
        self.errand(None).ok().filter(|_| !is_wrapped)
    }

    /// Whether this is the request that takes the secret id out, the only one on the way that is not sent twice.
    pub fn unwraps(&self, spec: &Spec) -> bool {
        matches!(self.credential, Some(Credential::WrappedAppRole { .. })) && spec.replay == Replay::Unsafe
    }

    /// An answer that held the secret id did not arrive.
    pub fn lost_unwrapping(&mut self) {
        self.unwrapping_lost = true;
    }

    /// Whether one did not arrive before.
    pub fn has_lost_unwrapping(&self) -> bool {
        self.unwrapping_lost
    }

    /// The token is near its end. What can't be renewed is replaced, where another can be had.
    fn refresh(&mut self, lease: Lease, proof: Proof, generation: Generation, now: Duration) -> Result<Need> {
        let (errand, renews) = match proof.token() {
            Some(token) if lease.renewable => (Errand::Ask(renew_self_as_grant(token.clone())), true),
            _ if self.logs_in() => (self.errand(None)?, false),
            _ => return Ok(Need::Use(proof, generation)),
        };
        let refresh = Refresh { ticket: self.take_off(now), errand, renews };
        Ok(Need::Refresh(refresh, proof, generation))
    }

    fn is_flying(&self, now: Duration) -> bool {
        self.flight.as_ref().is_some_and(|flight| now < flight.lease_until)
    }

    fn take_off(&mut self, now: Duration) -> Ticket {
        // Whoever led the one before was held up, perhaps with the secret id on its way to him.
        self.unwrapping_lost |= self.flight.is_some();
        self.flights += 1;
        let ticket = Ticket::LogIn(self.flights);
        self.flight = Some(Flight { ticket, lease_until: now.saturating_add(FLIGHT_LEASE) });
        self.moved = true;
        ticket
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
        let lease = self.lease(grant.lease_duration, grant.renewable, sent);
        self.put(grant.proof, lease);
    }

    /// A refresh ended: with a grant for the token of this generation, or without one. It is tried
    /// again later then, and the token is used as long as it is good.
    ///
    /// A renewal that was refused, or that gives less than there was, will not do better: the token is
    /// replaced next time.
    pub fn refreshed(&mut self, ticket: Ticket, generation: Generation, outcome: Refreshed, now: Duration) {
        if !self.end(ticket) {
            return;
        }
        if let Refreshed::Replaced(grant, sent) = outcome {
            // Also where the token before it has died meanwhile: those who joined wait for this one.
            let lease = self.lease(grant.lease_duration, grant.renewable, sent);
            self.put(grant.proof, lease);
            return;
        }
        let Some(before) = self.token.as_ref().filter(|token| token.generation == generation).and_then(|it| it.lease)
        else {
            return;
        };
        let later = now.saturating_add((before.use_until.saturating_sub(now) / 4).max(SOONEST_AGAIN));
        let lease = match outcome {
            Refreshed::Renewed(grant, sent) => {
                self.lease(grant.lease_duration, grant.renewable, sent).map(|mut lease| {
                    lease.renewable &= lease.length >= before.length;
                    lease.length = lease.length.max(before.length);
                    lease
                })
            }
            Refreshed::Replaced(..) => return,
            Refreshed::Refused => Some(Lease { renewable: false, refresh_from: now, ..before }),
            Refreshed::NotNow => Some(Lease { refresh_from: later, ..before }),
        };
        if let Some(token) = &mut self.token {
            token.lease = lease;
        }
    }

    /// The lease of a token that was asked for at `sent`; none for one without an end.
    fn lease(&self, seconds: u64, renewable: bool, sent: Duration) -> Option<Lease> {
        let length = Duration::from_secs(seconds);
        if length.is_zero() {
            return None;
        }
        let left = |before_end: Duration| sent.saturating_add(length.saturating_sub(before_end));
        // Of a short lease, a third is early enough.
        let refresh_from = left(self.threshold.min(length / 3));
        let use_until = left((length / 10).min(LONGEST_MARGIN));
        Some(Lease { length, use_until, refresh_from, renewable })
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

    /// Whether a new token can be had at any time.
    pub fn logs_in(&self) -> bool {
        self.credential.as_ref().is_some_and(Credential::logs_in)
    }

    /// The server does not know the token of this generation; true where another can be had, or looked for.
    pub fn evict(&mut self, generation: Generation, rules: Rules) -> bool {
        let is_read = self.credential.as_ref().is_some_and(|credential| credential.file().is_some());
        let replaceable = is_read || self.logs_in();
        let is_it = |token: &Token| token.generation == generation || !rules.keep(Rule::OnlyItsGeneration);
        if replaceable && self.token.as_ref().is_some_and(is_it) {
            let dead = self.token.take();
            if !self.logs_in() {
                self.dead = dead.map(|token| token.proof);
            }
        }
        replaceable
    }

    /// The token in use, where there is one. There will be no other.
    pub fn retire(&mut self) -> Option<Arc<SecretString>> {
        self.credential = None;
        self.token.as_ref().and_then(|token| token.proof.token().cloned())
    }

    /// The token of this generation was renewed, because the caller wished so, by an answer to a request
    /// that was sent at `sent`.
    ///
    /// A token that was given is used until the server refuses it: whoever gave it may renew it too.
    pub fn renewed(&mut self, generation: Generation, renewal: Renewal, sent: Duration) {
        let lease = self.lease(renewal.lease_duration(), renewal.is_renewable(), sent);
        if let Some(token) = &mut self.token
            && token.generation == generation
            && token.lease.is_some()
        {
            token.lease = lease;
        }
    }

    /// Wipes token and credential.
    pub fn forget(&mut self) {
        self.token = None;
        self.dead = None;
        self.credential = None;
        self.flight = None;
        self.moved = true;
    }

    /// Whether those who wait must look again; asked once after each step.
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn grant(name: &str, seconds: u64, renewable: bool) -> Grant {
        let proof = Proof::Token(Arc::new(name.to_owned().into()));
        Grant { proof, lease_duration: seconds, renewable }
    }

    /// Tokens of an AppRole that logged in at 0 for 300 s, with a threshold of 60 s.
    fn logged_in(renewable: bool) -> Tokens {
        let credential = Credential::app_role("role", "secret").unwrap();
        let mut tokens = Tokens::new(Some(credential), 60 * SECOND);
        let Ok(Need::LogIn(ticket, _)) = tokens.need(Duration::ZERO, Rules::default()) else { panic!("a log-in") };
        tokens.land(ticket, grant("one", 300, renewable), Duration::ZERO);
        tokens
    }

    /// What there is to do at this moment, in a word.
    fn need(tokens: &mut Tokens, seconds: u32) -> &'static str {
        match tokens.need(SECOND * seconds, Rules::default()) {
            Ok(Need::Use(..)) => "use",
            Ok(Need::LogIn(..)) => "log in",
            Ok(Need::Refresh(refresh, ..)) if refresh.renews => "renew",
            Ok(Need::Refresh(..)) => "replace",
            Ok(Need::Join(..)) => "join",
            Err(_) => "error",
        }
    }

    /// Begins a refresh and ends it so.
    fn refresh(tokens: &mut Tokens, seconds: u32, outcome: Refreshed) {
        let now = SECOND * seconds;
        let Ok(Need::Refresh(refresh, _, generation)) = tokens.need(now, Rules::default()) else { panic!("a refresh") };
        tokens.refreshed(refresh.ticket, generation, outcome, now);
    }

    #[test]
    fn a_token_is_used_renewed_by_one_while_others_use_it_and_waited_for_only_at_its_end() {
        let mut tokens = logged_in(true);
        assert_eq!(need(&mut tokens, 239), "use");
        assert_eq!(need(&mut tokens, 240), "renew");
        assert_eq!(need(&mut tokens, 241), "use", "one renews it");
        assert_eq!(need(&mut tokens, 247), "renew", "whoever did has not moved for its lease");
        assert_eq!(need(&mut tokens, 270), "log in");
        assert_eq!(need(&mut tokens, 271), "join");
    }

    #[test]
    fn a_renewal_counts_from_when_it_was_asked_for() {
        let mut tokens = logged_in(true);
        refresh(&mut tokens, 240, Refreshed::Renewed(grant("one", 300, true), 238 * SECOND));
        assert_eq!((need(&mut tokens, 238 + 239), need(&mut tokens, 238 + 240)), ("use", "renew"));
    }

    #[test]
    fn what_can_not_be_renewed_is_replaced_at_the_same_time_before_its_end() {
        let mut tokens = logged_in(false);
        assert_eq!((need(&mut tokens, 239), need(&mut tokens, 240)), ("use", "replace"));
        let mut tokens = logged_in(true);
        refresh(&mut tokens, 240, Refreshed::Refused);
        assert_eq!(need(&mut tokens, 240), "replace");
        let mut tokens = logged_in(true);
        refresh(&mut tokens, 240, Refreshed::Renewed(grant("one", 90, true), 240 * SECOND));
        assert_eq!((need(&mut tokens, 240 + 59), need(&mut tokens, 240 + 60)), ("use", "replace"));
    }

    #[test]
    fn a_renewal_without_an_answer_is_tried_again_in_a_quarter_of_what_is_left() {
        let mut tokens = logged_in(true);
        refresh(&mut tokens, 250, Refreshed::NotNow);
        assert_eq!((need(&mut tokens, 254), need(&mut tokens, 255)), ("use", "renew"));
        let mut tokens = logged_in(true);
        refresh(&mut tokens, 269, Refreshed::NotNow);
        assert_eq!(need(&mut tokens, 269), "use", "not at once");
    }

    #[test]
    fn a_refresh_that_ends_late_changes_no_token_that_came_since() {
        let mut tokens = logged_in(true);
        let Ok(Need::Refresh(refresh, _, generation)) = tokens.need(240 * SECOND, Rules::default()) else {
            panic!("a refresh")
        };
        assert!(tokens.evict(generation, Rules::default()));
        let Ok(Need::Join(ticket, _)) = tokens.need(241 * SECOND, Rules::default()) else { panic!("it is waited for") };
        assert_eq!(ticket, refresh.ticket);
        let late = Refreshed::Renewed(grant("one", 3000, true), 240 * SECOND);
        tokens.refreshed(refresh.ticket, generation, late, 242 * SECOND);
        assert!(tokens.has_moved(ticket) && tokens.failure(ticket, SECOND).is_none());
        assert_eq!(need(&mut tokens, 242), "log in", "the one that was renewed is dead");
    }

    #[test]
    fn a_token_without_an_end_and_one_that_was_given_are_just_used() {
        let mut tokens = logged_in(true);
        refresh(&mut tokens, 240, Refreshed::Renewed(grant("one", 0, false), 240 * SECOND));
        assert_eq!(need(&mut tokens, 1_000_000), "use");
        let mut tokens = Tokens::new(Some(Credential::token("given")), 60 * SECOND);
        assert_eq!(need(&mut tokens, 1_000_000), "use");
    }
}
