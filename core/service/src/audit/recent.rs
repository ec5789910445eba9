//! The newest events, in memory: for looking back in development, and for subscribers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::event::Event;

/// How many events are kept in memory.
pub const RECENT_EVENTS: usize = 1000;

/// An event and its number, counted from 1 since the process began.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Recorded {
    /// Its number. Numbers are in the order of recording and none is left out.
    pub sequence: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// Some of the newest events.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Page {
    /// The events, newest first.
    #[serde(serialize_with = "items")]
    pub items: Vec<Arc<Recorded>>,
    /// How many were left out before the first.
    pub offset: usize,
    /// The most that were asked for.
    pub limit: usize,
    /// How many there are altogether.
    pub total: usize,
}

fn items<S: Serializer>(items: &[Arc<Recorded>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(|recorded| &**recorded))
}

#[derive(Default)]
pub(super) struct Recent {
    state: Mutex<State>,
    changed: event_listener::Event,
}

#[derive(Default)]
struct State {
    last: u64,
    events: VecDeque<Arc<Recorded>>,
}

impl Recent {
    pub(super) fn push(&self, event: Event) -> Arc<Recorded> {
        let recorded = {
            let mut state = self.lock();
            state.last += 1;
            let recorded = Arc::new(Recorded { sequence: state.last, event });
            if state.events.len() == RECENT_EVENTS {
                state.events.pop_front();
            }
            state.events.push_back(Arc::clone(&recorded));
            recorded
        };
        // Outside the lock, since it may run a waker.
        self.changed.notify(usize::MAX);
        recorded
    }

    pub(super) fn page(&self, filter: Option<&str>, offset: usize, limit: usize) -> Page {
        let state = self.lock();
        let matching = |recorded: &&Arc<Recorded>| filter.is_none_or(|text| recorded.event.mentions(text));
        let total = state.events.iter().filter(matching).count();
        let items = state.events.iter().rev().filter(matching).skip(offset).take(limit).cloned().collect();
        Page { items, offset, limit, total }
    }

    pub(super) fn last(&self) -> u64 {
        self.lock().last
    }

    /// The event after this one, or the oldest there is.
    fn after(&self, sequence: u64) -> Option<Arc<Recorded>> {
        let state = self.lock();
        let oldest = state.events.front()?.sequence;
        let index = sequence.saturating_add(1).saturating_sub(oldest);
        state.events.get(usize::try_from(index).ok()?).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events as they come. Whoever is slower than [`RECENT_EVENTS`] loses the oldest, and is told how many.
///
/// ```
/// # use baokit_service::audit::{Audit, Effect, Kind};
/// # use baokit_service::{caller::Caller, purpose::Purpose, settings::Settings};
/// # let audit = Audit::new(&Settings::from_lookup(|_| None).unwrap(), [7; 32]);
/// # let now = std::time::Duration::ZERO;
/// let mut subscription = audit.subscribe(None);
/// audit.record(audit.event(Kind::Deny, Effect::Deny, Purpose::Write, &Caller::anonymous(), None, now));
/// // A server awaits `next()` instead.
/// let delivery = subscription.try_next().unwrap();
/// assert!(delivery.to_server_sent_event().starts_with("id: 1\nevent: SECRET_DENY\ndata: {"));
/// ```
pub struct Subscription {
    recent: Arc<Recent>,
    seen: u64,
    lasts: Option<Duration>,
}

impl Subscription {
    pub(super) fn new(recent: Arc<Recent>, after: Option<u64>) -> Self {
        let last = recent.last();
        // A number that was not given out yet is of a process before this one, of whose events none are left.
        let seen = after.map_or(last, |after| if after > last { 0 } else { after });
        Self { recent, seen, lasts: None }
    }

    pub(crate) fn lasting(mut self, time: Duration) -> Self {
        self.lasts = Some(time);
        self
    }

    /// How long it is to be read from when it was made; none where nothing ends it. It has no clock itself: whoever
    /// reads ends it.
    #[must_use]
    pub fn lasts(&self) -> Option<Duration> {
        self.lasts
    }

    /// Waits for the next event. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Delivery {
        loop {
            if let Some(delivery) = self.try_next() {
                return delivery;
            }
            let changed = self.recent.changed.listen();
            // What came before the listener was there woke nobody.
            if let Some(delivery) = self.try_next() {
                return delivery;
            }
            changed.await;
        }
    }

    /// The next event, where there is one already: for hosts whose requests must not wake each other.
    pub fn try_next(&mut self) -> Option<Delivery> {
        let recorded = self.recent.after(self.seen)?;
        let missed = recorded.sequence.saturating_sub(self.seen).saturating_sub(1);
        self.seen = recorded.sequence;
        Some(Delivery { missed, recorded })
    }
}

/// What a subscriber gets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// How many events directly before this one were lost.
    pub missed: u64,
    /// The event and its number.
    pub recorded: Arc<Recorded>,
}

impl Delivery {
    /// The text of a server-sent event: its id is the number, its name the event's kind, its data the event as JSON.
    /// Where events were lost, one of the name `EVENTS_MISSED` with `{"missed": n}` stands before it.
    #[must_use]
    pub fn to_server_sent_event(&self) -> String {
        let Recorded { sequence, event } = &*self.recorded;
        let mut text = String::new();
        if self.missed > 0 {
            text = format!("event: EVENTS_MISSED\ndata: {{\"missed\":{}}}\n\n", self.missed);
        }
        // An event has only texts and numbers, so it can always be written.
        let data = serde_json::to_string(event).unwrap_or_default();
        text + &format!("id: {sequence}\nevent: {}\ndata: {data}\n\n", event.event.as_str())
    }
}
