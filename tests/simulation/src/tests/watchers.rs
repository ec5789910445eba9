//! The judge of watchers notices: each of its invariants has a history that breaches it, and one beside it that does
//! not. And the clock by which it tells versions apart.

use std::time::Duration;

use super::histories::{KEY, ME, Story, failed};
use crate::cluster::effect::Effect;
use crate::cluster::moment;
use crate::history::{Invariant, Kind, OpId, Outcome, Told};

const EVERY: Duration = Duration::from_millis(10);

impl Story {
    /// Somebody who watches for so long as the run goes on.
    fn watch(&mut self) -> OpId {
        self.begin(ME, Kind::Watch { every: EVERY, lasts: None })
    }

    /// The watcher is told of the version that this entry of the log wrote.
    fn told(&mut self, op: OpId, entry: usize) {
        let Effect::Wrote { version, .. } = self.log[entry].effect else { panic!("it wrote nothing") };
        let created = self.log[entry].at;
        let (asked, at, length) = (self.tick(), self.tick(), self.log.len());
        self.history.told.push(Told { op, version, created, asked, at, length });
    }

    fn gone(&mut self) {
        self.entry(None, None, Effect::Gone { key: KEY.to_owned() });
    }
}

/// A story of a watcher, and a key with versions 1 to 3, which the entries 1 to 3 wrote.
fn story() -> (Story, OpId) {
    let mut story = Story::new();
    (1..=3).for_each(|version| story.foreign(version));
    let op = story.watch();
    (story, op)
}

#[test]
fn versions_are_told_in_their_order_each_once_and_some_may_be_left_out() {
    for (told, found) in [
        (&[1, 2, 3][..], vec![]),
        (&[1, 3], vec![]),
        (&[2, 2], vec![Invariant::WentBack]),
        (&[3, 1], vec![Invariant::StaleRead, Invariant::WentBack]),
    ] {
        let mut story = Story::new();
        let op = story.watch();
        for version in 1..=3 {
            story.foreign(version);
            told.iter()
                .filter(|entry| **entry == usize::try_from(version).unwrap() && told.is_sorted())
                .for_each(|entry| story.told(op, *entry));
        }
        if !told.is_sorted() {
            told.iter().for_each(|entry| story.told(op, *entry));
        }
        let mut breaches = story.breaches();
        breaches.sort_unstable();
        assert_eq!(breaches, found, "{told:?}");
    }
}

#[test]
fn a_secret_that_is_made_anew_is_told_and_one_that_a_snapshot_brought_back_again() {
    let (mut anew, op) = story();
    anew.told(op, 3);
    anew.gone();
    anew.foreign(1);
    anew.told(op, 5);
    assert_eq!(anew.breaches(), []);
    let (mut back, op) = story();
    back.told(op, 3);
    back.entry(None, None, Effect::Restored { length: 3 });
    back.told(op, 2);
    assert_eq!(back.breaches(), []);
    back.told(op, 3);
    assert_eq!(back.breaches(), [Invariant::WentBack], "it was taken back");
}

#[test]
fn what_nobody_wrote_is_not_told_nor_the_same_number_of_another_time() {
    let (mut story, op) = story();
    story.told(op, 3);
    assert_eq!(story.breaches(), []);
    story.history.told[0].created += Duration::from_millis(1);
    assert_eq!(story.breaches(), [Invariant::UncommittedRead]);
}

#[test]
fn what_is_told_is_no_older_than_what_the_client_has_seen_and_counts_as_seen() {
    let read = |version: u64| {
        let value = serde_json::json!({ "w": format!("foreign-{version}") });
        Outcome::Read { version, value }
    };
    for (client, found) in [(ME, vec![Invariant::StaleRead]), (crate::history::ClientId(1), vec![])] {
        let mut story = Story::new();
        story.foreign(1);
        story.foreign(2);
        story.tell(client, Kind::Read, read(2));
        let op = story.watch();
        story.told(op, 1);
        assert_eq!(story.breaches(), found);
    }
    // A deletion of the newest version does not say which one that was.
    let mut story = Story::new();
    story.foreign(1);
    story.foreign(2);
    let op = story.begin(ME, Kind::Delete);
    story.entry(Some(op), None, Effect::DeletedLatest { key: KEY.to_owned() });
    story.end(op, Outcome::Done);
    let op = story.watch();
    story.told(op, 1);
    assert_eq!(story.breaches(), []);
    let (mut story, op) = self::story();
    story.told(op, 3);
    story.tell(ME, Kind::Read, read(2));
    assert_eq!(story.breaches(), [Invariant::StaleRead]);
}

#[test]
fn a_watcher_goes_on_whatever_waiting_mends() {
    for (code, found) in [("AUTHENTICATION_FAILED", vec![]), ("NO_LEADER", vec![Invariant::GaveUp])] {
        let (mut story, op) = story();
        story.end(op, failed(code));
        assert_eq!(story.breaches(), found);
    }
}

#[test]
fn the_newest_version_is_told_in_time_to_whoever_watches_to_the_end() {
    for (told, late, lasts, found) in [
        (Some(3), 6000, None, vec![]),
        (Some(2), 6000, None, vec![Invariant::NeverTold]),
        (None, 6000, None, vec![Invariant::NeverTold]),
        (Some(2), 1000, None, vec![]),
        (Some(2), 6000, Some(EVERY), vec![]),
    ] {
        let mut story = Story::new();
        let op = story.begin(ME, Kind::Watch { every: EVERY, lasts });
        story.foreign(1);
        story.foreign(2);
        if told == Some(2) {
            story.told(op, 2);
        }
        story.foreign(3);
        if told == Some(3) {
            story.told(op, 3);
        }
        story.pass(Duration::from_millis(late));
        story.end(op, Outcome::Done);
        assert_eq!(story.breaches(), found, "{told:?} after {late} ms");
    }
}

#[test]
fn the_servers_clock_is_told_as_the_log_s() {
    assert_eq!(moment("2027-01-15T08:00:00Z"), Some(Duration::ZERO));
    assert_eq!(moment("2027-01-15T08:01:41.655873Z"), Some(Duration::from_micros(101_655_873)));
    assert_eq!(moment("2027-01-16T07:59:59.5Z"), Some(Duration::from_millis(86_399_500)));
    assert_eq!(moment("yesterday"), None);
}
