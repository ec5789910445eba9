//! Who watches which secret: one look for all who watch it, at times that are spread.
//!
//! Plain data, like the rest of the session. Whoever comes when a look is due takes it; the others wait for
//! what it shows.

use std::time::Duration;

use crate::call::kv2::Version;

/// How many looks long a secret that nobody asks about is remembered.
const IDLE_LOOKS: u32 = 8;

/// One look at a secret, by its number among all looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Look(u64);

/// What the last look at a secret showed: its newest version; none where there is no such secret.
pub(crate) type Glance = Option<Version>;

#[derive(Debug)]
struct Watched {
    key: Box<str>,
    /// What the last look showed, and which one it was.
    glance: Option<(u64, Glance)>,
    /// When the next look is due.
    next: Duration,
    /// The look that is under way, and until when it is waited for.
    flight: Option<(Look, Duration)>,
    /// Until when it is remembered.
    until: Duration,
}

/// What a watcher has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Hear what a look showed that this watcher has not heard of; the number is to be given next time.
    Hear(u64, Glance),
    /// Look on behalf of all.
    Look(Look),
    /// Wait for the look that is under way, no longer than until this moment.
    Join(Duration),
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
    /// What one who has heard of `heard` does now. A look is lost after so long a time.
    pub fn turn(&mut self, key: &str, heard: u64, now: Duration, interval: Duration, limit: Duration) -> Turn {
        let until = now.saturating_add(limit).saturating_add(interval * IDLE_LOOKS);
        let Some(watched) = self.list.iter_mut().find(|watched| *watched.key == *key) else {
            self.list.retain(|watched| now < watched.until);
            self.looks += 1;
            let look = Look(self.looks);
            let flight = Some((look, now.saturating_add(limit)));
            self.list.push(Watched { key: key.into(), glance: None, next: now, flight, until });
            return Turn::Look(look);
        };
        watched.until = watched.until.max(until);
        if let Some((number, glance)) = watched.glance.as_ref().filter(|(number, _)| *number > heard) {
            return Turn::Hear(*number, glance.clone());
        }
        // Who watches more closely than the one that looked last does not wait as long.
        let next = watched.next.min(now.saturating_add(interval * 2));
        match watched.flight {
            Some((_, lost)) if now < lost => Turn::Join(lost),
            _ if now < next => Turn::Wait(next),
            _ => {
                self.looks += 1;
                let look = Look(self.looks);
                watched.flight = Some((look, now.saturating_add(limit)));
                Turn::Look(look)
            }
        }
    }

    /// A look is over, and the next one is due then. It showed this, or failed.
    pub fn looked(&mut self, look: Look, glance: Option<Glance>, next: Duration) {
        if let Some(watched) = self.end(look) {
            watched.next = next;
            if let Some(glance) = glance {
                watched.glance = Some((look.0, glance));
            }
        }
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

    /// Whether one who waits has something to hear or to do.
    pub fn has_moved(&self, key: &str, heard: u64) -> bool {
        self.list.iter().find(|watched| *watched.key == *key).is_none_or(|watched| {
            let is_news = watched.glance.as_ref().is_some_and(|(number, _)| *number > heard);
            is_news || (watched.flight.is_none() && watched.next.is_zero())
        })
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

    fn turn(watches: &mut Watches, heard: u64, seconds: u32) -> Turn {
        watches.turn("s", heard, SECOND * seconds, 10 * SECOND, 5 * SECOND)
    }

    #[test]
    fn one_looks_for_all_and_each_hears_of_it_once() {
        let mut watches = Watches::default();
        let Turn::Look(look) = turn(&mut watches, 0, 0) else { panic!("the first looks") };
        assert_eq!(turn(&mut watches, 0, 1), Turn::Join(5 * SECOND));
        assert!(!watches.has_moved("s", 0));
        watches.looked(look, Some(None), 11 * SECOND);
        assert!(watches.has_moved("s", 0) && watches.take_moved());
        let Turn::Hear(number, None) = turn(&mut watches, 0, 2) else { panic!("it is told") };
        assert_eq!(turn(&mut watches, number, 2), Turn::Wait(11 * SECOND));
        assert!(matches!(turn(&mut watches, number, 11), Turn::Look(_)));
    }

    #[test]
    fn a_look_that_is_given_up_or_lost_is_taken_by_the_next() {
        let mut watches = Watches::default();
        let Turn::Look(look) = turn(&mut watches, 0, 0) else { panic!("the first looks") };
        watches.abandon(look);
        assert!(watches.has_moved("s", 0));
        let Turn::Look(second) = turn(&mut watches, 0, 0) else { panic!("the next looks") };
        assert!(matches!(turn(&mut watches, 0, 4), Turn::Join(..)));
        assert!(matches!(turn(&mut watches, 0, 5), Turn::Look(_)), "it took too long");
        watches.looked(second, Some(None), SECOND);
        assert!(matches!(turn(&mut watches, 0, 6), Turn::Join(..)), "what comes late is left out");
    }

    #[test]
    fn who_watches_closely_does_not_wait_as_long_as_who_does_not() {
        let mut watches = Watches::default();
        let Turn::Look(look) = watches.turn("s", 0, SECOND, 100 * SECOND, SECOND) else { panic!("the first looks") };
        watches.looked(look, Some(None), 100 * SECOND);
        assert_eq!(watches.turn("s", 1, 2 * SECOND, SECOND, SECOND), Turn::Wait(4 * SECOND));
    }

    #[test]
    fn a_secret_that_nobody_asks_about_is_forgotten_when_another_is_watched() {
        let mut watches = Watches::default();
        assert!(matches!(turn(&mut watches, 0, 0), Turn::Look(_)));
        assert!(matches!(watches.turn("other", 0, 1000 * SECOND, SECOND, SECOND), Turn::Look(_)));
        assert_eq!(watches.list.len(), 1);
    }
}
