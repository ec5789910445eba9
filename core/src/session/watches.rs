//! Who watches which secret: one look for all who watch it, at times that are spread.
//!
//! Plain data, like the rest of the session. Whoever comes when a look is due takes it; the others wait for
//! what it shows.

use std::time::Duration;

use crate::call::kv2::Version;
use crate::error::Result;

/// How soon to look again where a look showed less than the client has seen.
const SOONEST: Duration = Duration::from_secs(1);

/// How many looks long a secret that nobody asks about is remembered.
const IDLE_LOOKS: u32 = 8;

/// One look at a secret, by its number among all looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Look(u64);

impl Look {
    /// The one that comes after it.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What the last look at a secret showed: its newest version; none where there is no such secret.
pub(crate) type Glance = Option<Version>;

#[derive(Debug)]
struct Watched {
    key: Box<str>,
    /// What the last look showed, or with what it was refused, and which one it was; none where the cluster could
    /// not be had.
    outcome: Option<(Look, Result<Glance>)>,
    /// When the last look ended, and when the next one is due.
    last: Duration,
    next: Duration,
    /// The look that is under way, and until when it is waited for.
    flight: Option<(Look, Duration)>,
    /// Until when it is remembered.
    until: Duration,
}

/// Who watches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watcher {
    /// The first look that it has not heard of; none for one who has just come.
    pub awaits: Option<Look>,
    /// The newest version that the client has seen.
    pub seen: u64,
    pub interval: Duration,
    /// After so long a look is lost.
    pub limit: Duration,
}

/// What a watcher has to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Hear what came of a look that this watcher has not heard of; it awaits the next one.
    Hear(Look, Result<Glance>),
    /// Look on behalf of all, and hear of it then.
    Look(Look),
    /// Wait for this look, which is under way, no longer than until this moment.
    Join(Look, Duration),
    /// Wait until a look is due.
    Wait(Duration),
}

/// The watched secrets of one client.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    list: Vec<Watched>,
    looks: u64,
    moved: bool,
}

impl Watches {
    /// What a watcher does now. A look is lost after so long a time.
    ///
    /// What is older than the version that the client has seen is not told, and looked at anew.
    pub fn turn(&mut self, key: &str, watcher: Watcher, now: Duration) -> Turn {
        let Watcher { awaits, seen, interval, limit } = watcher;
        let until = now.saturating_add(limit).saturating_add(interval * IDLE_LOOKS);
        let Some(watched) = self.list.iter_mut().find(|watched| *watched.key == *key) else {
            self.list.retain(|watched| now < watched.until);
            self.looks += 1;
            let look = Look(self.looks);
            let flight = Some((look, now.saturating_add(limit)));
            self.list.push(Watched { key: key.into(), outcome: None, last: now, next: now, flight, until });
            return Turn::Look(look);
        };
        watched.until = watched.until.max(until);
        // Who watches more closely than the one that looked last does not wait as long.
        let mut next = watched.next.min(watched.last.saturating_add(interval * 2));
        if let Some((look, outcome)) =
            watched.outcome.as_ref().filter(|(look, _)| awaits.is_none_or(|first| *look >= first))
        {
            // Who has just come wants to know what is there now, and may be allowed what was refused to others before.
            let is_recent = match awaits {
                Some(_) => now < watched.last.saturating_add(interval * 2),
                None => outcome.is_ok() && now < next.min(watched.last.saturating_add(interval)),
            };
            next = match outcome {
                // Not later than is due anyway: whoever waits is woken where a look was given up, and must find it due.
                outcome if is_old(outcome, seen) => next.min(watched.last.saturating_add(SOONEST)),
                outcome if is_recent => return Turn::Hear(*look, outcome.clone()),
                _ => now,
            };
        }
        match watched.flight {
            Some((look, lost)) if now < lost => Turn::Join(look, lost),
            _ if now < next => Turn::Wait(next),
            _ => {
                self.looks += 1;
                let look = Look(self.looks);
                watched.flight = Some((look, now.saturating_add(limit)));
                Turn::Look(look)
            }
        }
    }

    /// A look is over, and the next one is due then. What it showed, or was refused with, is told to all; where the
    /// cluster could not be had there is nothing to tell, nor is what was shown before.
    pub fn looked(&mut self, look: Look, outcome: Option<Result<Glance>>, now: Duration, next: Duration) {
        if let Some(watched) = self.end(look) {
            (watched.last, watched.next) = (now, next);
            watched.outcome = outcome.map(|outcome| (look, outcome));
        }
    }

    /// What was seen of the secret before may be no more, nor may what a look under way shows: the next one looks
    /// at once.
    pub fn doubt(&mut self, key: &str) {
        self.list.retain(|watched| *watched.key != *key);
        self.moved = true;
    }

    /// The same of all secrets.
    pub fn doubt_all(&mut self) {
        self.list.clear();
        self.moved = true;
    }

    /// Whoever looked went away: the next one looks at once.
    pub fn abandon(&mut self, look: Look) {
        if let Some(watched) = self.end(look) {
            watched.next = Duration::ZERO;
        }
    }

    fn end(&mut self, look: Look) -> Option<&mut Watched> {
        let is_it = |watched: &&mut Watched| watched.flight.is_some_and(|(flying, _)| flying == look);
        let watched = self.list.iter_mut().find(is_it)?;
        watched.flight = None;
        self.moved = true;
        Some(watched)
    }

    /// Whether one who waits has something to hear or to do; or, where it waits for a look, that is over.
    pub fn has_moved(&self, key: &str, awaits: Option<Look>, seen: u64, joined: bool) -> bool {
        self.list.iter().find(|watched| *watched.key == *key).is_none_or(|watched| {
            let is_news = watched
                .outcome
                .as_ref()
                .is_some_and(|(look, outcome)| awaits.is_none_or(|first| *look >= first) && !is_old(outcome, seen));
            is_news || (watched.flight.is_none() && (joined || watched.next.is_zero()))
        })
    }

    /// Whether those who wait must look again; asked once after each step.
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
}

/// Whether a look showed less than the client has seen.
fn is_old(outcome: &Result<Glance>, seen: u64) -> bool {
    outcome.as_ref().is_ok_and(|glance| glance.as_ref().map_or(0, Version::version) < seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Error};

    const SECOND: Duration = Duration::from_secs(1);

    /// One who has heard of this look; 0 for one who has just come.
    fn watcher(heard: u64, interval: u32) -> Watcher {
        Watcher { awaits: awaits(heard), seen: 0, interval: SECOND * interval, limit: 5 * SECOND }
    }

    fn awaits(heard: u64) -> Option<Look> {
        Some(Look(heard).next()).filter(|_| heard > 0)
    }

    fn turn(watches: &mut Watches, heard: u64, seconds: u32) -> Turn {
        watches.turn("s", watcher(heard, 10), SECOND * seconds)
    }

    #[test]
    fn one_looks_for_all_and_each_hears_of_it_once() {
        let mut watches = Watches::default();
        let Turn::Look(look) = turn(&mut watches, 0, 0) else { panic!("the first looks") };
        assert!(matches!(turn(&mut watches, 0, 1), Turn::Join(joined, until) if joined == look && until == 5 * SECOND));
        assert!(!watches.has_moved("s", None, 0, false));
        watches.looked(look, Some(Ok(None)), SECOND, 11 * SECOND);
        assert!(watches.has_moved("s", None, 0, false) && watches.take_moved());
        let Turn::Hear(Look(number), Ok(None)) = turn(&mut watches, 0, 2) else { panic!("it is told") };
        assert!(matches!(turn(&mut watches, number, 2), Turn::Wait(until) if until == 11 * SECOND));
        assert!(watches.has_moved("s", None, 0, true));
        assert!(matches!(turn(&mut watches, number, 11), Turn::Look(_)));
    }

    #[test]
    fn a_look_that_is_given_up_or_lost_is_taken_by_the_next() {
        let mut watches = Watches::default();
        let Turn::Look(look) = turn(&mut watches, 0, 0) else { panic!("the first looks") };
        watches.abandon(look);
        assert!(watches.has_moved("s", None, 0, false));
        let Turn::Look(second) = turn(&mut watches, 0, 0) else { panic!("the next looks") };
        assert!(matches!(turn(&mut watches, 0, 4), Turn::Join(..)));
        assert!(matches!(turn(&mut watches, 0, 5), Turn::Look(_)), "it took too long");
        watches.looked(second, Some(Ok(None)), SECOND, SECOND);
        assert!(matches!(turn(&mut watches, 0, 6), Turn::Join(..)), "what comes late is left out");
    }

    #[test]
    fn who_watches_closely_does_not_wait_as_long_as_who_does_not_however_often_it_wakes() {
        let mut watches = Watches::default();
        let Turn::Look(look) = watches.turn("s", watcher(0, 100), SECOND) else { panic!("the first looks") };
        watches.looked(look, Some(Ok(None)), SECOND, 100 * SECOND);
        for now in [1, 2] {
            let turn = watches.turn("s", watcher(1, 1), now * SECOND);
            assert!(matches!(turn, Turn::Wait(until) if until == 3 * SECOND), "{turn:?}");
        }
        assert!(matches!(watches.turn("s", watcher(1, 1), 3 * SECOND), Turn::Look(_)));
    }

    #[test]
    fn what_is_no_longer_so_is_not_told() {
        let mut watches = Watches::default();
        let Turn::Look(look) = turn(&mut watches, 0, 0) else { panic!("the first looks") };
        watches.looked(look, Some(Ok(None)), SECOND, 11 * SECOND);
        assert!(matches!(turn(&mut watches, 0, 10), Turn::Hear(..)));
        let after_a_write = Watcher { seen: 1, ..watcher(0, 10) };
        assert!(matches!(watches.turn("s", after_a_write, 2 * SECOND), Turn::Look(_)), "the client has seen more");
        let mut watches = Watches::default();
        let Turn::Look(look) = turn(&mut watches, 0, 0) else { panic!("the first looks") };
        watches.looked(look, Some(Ok(None)), SECOND, 11 * SECOND);
        assert!(matches!(turn(&mut watches, 0, 11), Turn::Look(_)), "an hour may have passed for one who comes late");
    }

    #[test]
    fn who_is_to_wait_has_nothing_to_do_yet_whatever_the_last_look_showed() {
        let mut watches = Watches::default();
        let Turn::Look(look) = turn(&mut watches, 0, 0) else { panic!("the first looks") };
        watches.looked(look, Some(Ok(None)), SECOND, 11 * SECOND);
        let Turn::Look(look) = turn(&mut watches, 1, 11) else { panic!("it is due") };
        assert!(matches!(turn(&mut watches, 0, 11), Turn::Join(joined, _) if joined == look), "who has just come");
        assert!(!watches.has_moved("s", Some(look), 0, true));
        watches.looked(look, Some(Ok(None)), 12 * SECOND, 22 * SECOND);
        assert!(watches.has_moved("s", Some(look), 0, true));
        // The client has seen more, and the next look was given up.
        let seen_more = Watcher { seen: 1, ..watcher(1, 10) };
        let Turn::Look(look) = watches.turn("s", seen_more, 13 * SECOND) else { panic!("it is due") };
        watches.looked(look, Some(Ok(None)), 13 * SECOND, 23 * SECOND);
        let Turn::Look(look) = watches.turn("s", seen_more, 14 * SECOND) else { panic!("it is due") };
        watches.abandon(look);
        assert!(watches.has_moved("s", awaits(1), 1, false));
        assert!(matches!(watches.turn("s", seen_more, 13 * SECOND), Turn::Look(_)), "who is woken looks");
    }

    #[test]
    fn what_was_looked_at_before_a_floor_fell_is_told_nobody() {
        let mut watches = Watches::default();
        let Turn::Look(look) = turn(&mut watches, 0, 0) else { panic!("the first looks") };
        watches.looked(look, Some(Ok(None)), SECOND, 11 * SECOND);
        watches.doubt("s");
        assert!(watches.has_moved("s", awaits(1), 0, false) && watches.take_moved());
        assert!(matches!(turn(&mut watches, 0, 2), Turn::Look(_)), "not even who has just come");
        assert!(!watches.has_moved("s", awaits(1), 0, true), "the others wait for it");
    }

    #[test]
    fn a_look_under_way_when_a_floor_falls_is_told_nobody() {
        let mut watches = Watches::default();
        let Turn::Look(early) = turn(&mut watches, 0, 0) else { panic!("the first looks") };
        watches.doubt("s");
        let Turn::Look(late) = watches.turn("s", Watcher { awaits: Some(early), ..watcher(0, 10) }, SECOND) else {
            panic!("who joined it looks")
        };
        watches.looked(early, Some(Ok(None)), SECOND, 11 * SECOND);
        assert!(!watches.has_moved("s", Some(early), 0, true), "it waits for the other look");
        watches.looked(late, Some(Ok(None)), SECOND, 11 * SECOND);
        assert!(matches!(turn(&mut watches, 0, 1), Turn::Hear(look, _) if look == late));
    }

    #[test]
    fn a_refusal_is_told_to_all_who_wait_and_to_nobody_who_has_just_come() {
        let mut watches = Watches::default();
        let Turn::Look(look) = turn(&mut watches, 0, 0) else { panic!("the first looks") };
        watches.looked(look, Some(Err(Error::new(Code::PermissionDenied))), SECOND, 11 * SECOND);
        let waiting = Watcher { awaits: Some(look), ..watcher(0, 10) };
        for _ in 0..2 {
            assert!(matches!(watches.turn("s", waiting, 2 * SECOND), Turn::Hear(_, Err(_))));
        }
        assert!(matches!(turn(&mut watches, 1, 2), Turn::Wait(_)), "who has heard of it does not ask at once");
        assert!(matches!(turn(&mut watches, 0, 2), Turn::Look(_)), "it may be allowed by now");
    }

    #[test]
    fn what_was_seen_before_a_look_that_failed_is_told_nobody() {
        let mut watches = Watches::default();
        let Turn::Look(look) = turn(&mut watches, 0, 0) else { panic!("the first looks") };
        watches.looked(look, Some(Ok(None)), SECOND, 11 * SECOND);
        let Turn::Look(look) = turn(&mut watches, 1, 11) else { panic!("it is due") };
        watches.looked(look, None, 12 * SECOND, 22 * SECOND);
        assert!(matches!(turn(&mut watches, 0, 13), Turn::Wait(_)));
    }

    #[test]
    fn a_secret_that_nobody_asks_about_is_forgotten_when_another_is_watched() {
        let mut watches = Watches::default();
        assert!(matches!(turn(&mut watches, 0, 0), Turn::Look(_)));
        assert!(matches!(watches.turn("other", watcher(0, 1), 1000 * SECOND), Turn::Look(_)));
        assert_eq!(watches.list.len(), 1);
    }
}
