//! The issuer's keys: when they are fetched, how long they count, and who waits for whom.
//!
//! | rule | time |
//! |---|---|
//! | keys count after their fetch began, so that a withdrawn one is out by then | [`MAX_AGE`], 60 s |
//! | they are fetched anew before that, while everybody but one goes on with them | after [`REFRESH`], 30 s |
//! | a token with an unknown `kid` has them fetched at once, and not again | for [`UNKNOWN_PAUSE`], 60 s |
//! | after a fetch that failed, none is tried | for [`FAILURE_PAUSE`], 5 s |
//! | a fetch, which begins with discovery where no address is configured, takes at most | [`FETCH_LIMIT`], 5 s |
//!
//! So an issuer that does not answer is not noticed for 30 s at least, and after 60 s at most no token is accepted:
//! whether a key was withdrawn can't be known then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baokit_core::{Host, within};
use event_listener::Event;

use super::issuer::Source;
use super::jwk::{Algorithm, Key};
use crate::{Code, Error, Result};

/// How long keys count.
pub(super) const MAX_AGE: Duration = Duration::from_secs(60);
/// After how long they are fetched anew.
pub(super) const REFRESH: Duration = Duration::from_secs(30);
/// How long unknown key ids cause no further fetch.
pub(super) const UNKNOWN_PAUSE: Duration = Duration::from_secs(60);
/// How long a failure is shared instead of tried again.
pub(super) const FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// How long a fetch may take.
const FETCH_LIMIT: Duration = Duration::from_secs(5);
/// When others stop waiting for whoever fetches: they may have been suspended.
const LEASE: Duration = Duration::from_secs(6);
/// How often a task looks again, on a host without wake-ups across tasks.
const POLL: Duration = Duration::from_millis(25);
/// How many keys are tried for one token.
const MAX_TRIES: usize = 4;

/// The keys of one fetch.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// Which fetch it was.
    pub generation: u64,
    fetched: Duration,
}

impl KeySet {
    /// Whether there is a key of this id, whatever it is for.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// The keys that may have signed a token with this header: at most four, for a set may have a name twice.
    pub fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        let named = move |key: &&Key| kid.is_none_or(|kid| key.kid.as_deref() == Some(kid));
        self.keys.iter().filter(named).filter(move |key| key.fits(algorithm)).take(MAX_TRIES)
    }
}

/// The cache of the keys of one issuer.
#[derive(Debug)]
pub(super) struct Keys {
    source: Source,
    state: Mutex<State>,
    /// Rings when a fetch has ended.
    moved: Event,
}

/// Which keys are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want {
    /// Those that count.
    Current,
    /// Others than those of this generation, if there are any.
    Other(u64),
}

impl Keys {
    pub fn new(source: Source) -> Self {
        Self { source, state: Mutex::default(), moved: Event::new() }
    }

    /// How often keys were fetched: a set with another generation was fetched since.
    pub fn generation(&self) -> u64 {
        self.lock().set.as_ref().map_or(0, |set| set.generation)
    }

    /// The keys; fetches them where that is called for, or waits for whoever does.
    pub async fn get<H: Host>(&self, host: &H, want: Want) -> Result<Arc<KeySet>> {
        loop {
            let ended = self.moved.listen();
            let now = host.now().monotonic;
            // The lock is let go before anything is awaited.
            let next = self.lock().next(now, want);
            match next {
                Next::Use(set) => return Ok(set),
                Next::Refuse(error) => return Err(error),
                Next::Wait(limit) if host.wakes_across_tasks() => {
                    within(host, limit, ended).await;
                }
                Next::Wait(limit) => host.sleep(limit.min(POLL)).await,
                Next::Fetch(number) => {
                    let mut flight = Flight { keys: self, number, outcome: None };
                    let fetched = within(host, FETCH_LIMIT, self.source.fetch(host)).await;
                    let late = || Err(unreachable("the issuer did not answer within 5 s"));
                    flight.outcome = Some((now, host.now().monotonic, fetched.unwrap_or_else(late)));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change leaves it valid, so what a panic left behind is, too.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error that says what is wrong with the issuer.
pub(super) fn unreachable(reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::KeysUnreachable).because(reason)
}

/// A fetch under way. Dropped, it is over: with an outcome, or without one where its caller went away.
struct Flight<'a> {
    keys: &'a Keys,
    number: u64,
    outcome: Option<(Duration, Duration, Fetched)>,
}

type Fetched = Result<Vec<Key>>;

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.keys.lock().end(self.number, self.outcome.take());
        self.keys.moved.notify(usize::MAX);
    }
}

/// What is known of the keys. It decides, and does nothing.
#[derive(Debug, Default)]
struct State {
    set: Option<Arc<KeySet>>,
    /// The fetch under way, and when others stop waiting for it.
    flight: Option<(u64, Duration)>,
    /// How many fetches there were.
    fetches: u64,
    /// When the last fetch failed, and why.
    failed: Option<(Duration, Error)>,
    /// When an unknown key id last caused a fetch.
    asked: Option<Duration>,
}

#[derive(Debug)]
enum Next {
    Use(Arc<KeySet>),
    Fetch(u64),
    Wait(Duration),
    Refuse(Error),
}

impl State {
    fn next(&mut self, now: Duration, want: Want) -> Next {
        let age = |set: &KeySet| now.saturating_sub(set.fetched);
        let current = self.set.clone().filter(|set| age(set) < MAX_AGE);
        let flight = self.flight.filter(|(_, until)| now < *until);
        let failed = self.failed.clone().filter(|(at, _)| now.saturating_sub(*at) < FAILURE_PAUSE);
        match (&current, want) {
            (Some(set), Want::Current) if age(set) < REFRESH || flight.is_some() || failed.is_some() => {
                return Next::Use(set.clone());
            }
            (Some(set), Want::Other(generation)) if set.generation != generation => return Next::Use(set.clone()),
            _ => {}
        }
        if let Some((_, until)) = flight {
            return Next::Wait(until.saturating_sub(now));
        }
        if let Some((at, error)) = failed {
            return Next::Refuse(error.retry_after(FAILURE_PAUSE.saturating_sub(now.saturating_sub(at))));
        }
        if let (Some(set), Want::Other(_)) = (current, want) {
            if self.asked.is_some_and(|at| now.saturating_sub(at) < UNKNOWN_PAUSE) {
                return Next::Use(set);
            }
            self.asked = Some(now);
        }
        self.fetches = self.fetches.saturating_add(1);
        self.flight = Some((self.fetches, now.saturating_add(LEASE)));
        Next::Fetch(self.fetches)
    }

    fn end(&mut self, number: u64, outcome: Option<(Duration, Duration, Fetched)>) {
        // Whoever was suspended for longer than the lease brings keys from before somebody else's.
        if self.flight.is_none_or(|(current, _)| current != number) {
            return;
        }
        self.flight = None;
        match outcome {
            None => {}
            Some((began, _, Ok(keys))) => {
                self.set = Some(Arc::new(KeySet { keys, generation: number, fetched: began }));
                self.failed = None;
            }
            Some((_, ended, Err(error))) => self.failed = Some((ended, error)),
        }
    }
}
