//! The judge of watchers notices: each of its invariants has a history that breaches it, and one beside it that does
//! not. And the clock by which it tells versions apart.

use std::time::Duration;

use super::histories::{KEY, ME, Story, failed};
use crate::cluster::effect::Effect;
use crate::cluster::{Era, moment};
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

    /// The watcher's request for a look at the key goes out.
    fn asks(&mut self, op: OpId) {
        let (send, at) = (self.history.send(Some(op), None, false, None), self.tick());
        self.history.tell(send, |sent| (sent.asks, sent.at) = (format!("GET /v1/secret/metadata/{KEY}"), at));
    }

    fn read_anew(&mut self) {
        let value = serde_json::json!({ "w": "anew" });
        self.tell(ME, Kind::Read, Outcome::Read { version: 1, value });
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

/// A key with versions 1 and 2, of which the client reads the second or not, and which is then made anew, with version 1
/// as entry 4.
fn anew(is_seen: bool, era: Era) -> Story {
    let mut story = Story::new();
    story.era = era;
    story.foreign(1);
    story.foreign(2);
    if is_seen {
        story.tell(ME, Kind::Read, second());
    }
    story.gone();
    story.wrote(None, 1, serde_json::json!({ "w": "anew" }));
    story
}

fn second() -> Outcome {
    Outcome::Read { version: 2, value: serde_json::json!({ "w": "foreign-2" }) }
}

#[test]
fn a_former_life_is_not_told_after_the_client_has_read_the_new_one() {
    // Without an index, a version that is higher than all that it has seen looks like one more of the new life.
    for (is_seen, era, found) in [
        (true, Era::Indexed, vec![Invariant::StaleRead]),
        (false, Era::Indexed, vec![Invariant::StaleRead]),
        (true, Era::Silent, vec![Invariant::StaleRead]),
        (false, Era::Silent, vec![]),
    ] {
        let mut story = anew(is_seen, era);
        story.read_anew();
        let op = story.watch();
        story.told(op, 2);
        assert_eq!(story.breaches(), found, "{is_seen} {era:?}");
    }
    // The same number of another time it can tell in any case.
    let mut story = anew(false, Era::Silent);
    story.read_anew();
    let op = story.watch();
    story.told(op, 1);
    assert_eq!(story.breaches(), [Invariant::StaleRead]);
}

#[test]
fn a_former_life_is_not_read_after_the_new_one_unless_it_looks_like_more_of_that() {
    for (is_seen, era, found) in [
        (true, Era::Silent, vec![Invariant::StaleRead]),
        (false, Era::Silent, vec![]),
        (false, Era::Indexed, vec![Invariant::BehindIndex]),
    ] {
        let mut story = anew(is_seen, era);
        story.read_anew();
        story.tell(ME, Kind::Read, second());
        assert_eq!(story.breaches(), found, "{is_seen} {era:?}");
    }
    // Who took it for that goes on to.
    let mut story = anew(false, Era::Silent);
    story.read_anew();
    story.tell(ME, Kind::Read, second());
    story.tell(ME, Kind::Read, second());
    assert_eq!(story.breaches(), []);
    // And who only wrote the new life has not seen that the former one is over.
    let mut story = anew(true, Era::Silent);
    let op = story.begin(ME, Kind::Put { cas: None });
    let value = serde_json::json!({ "w": format!("op-{}", op.0) });
    story.wrote(Some(op), 2, value);
    story.end(op, Outcome::Written { version: 2 });
    story.tell(ME, Kind::Read, second());
    assert_eq!(story.breaches(), []);
}

#[test]
fn a_watcher_that_polls_without_end_is_noticed() {
    let (mut story, op) = story();
    story.told(op, 3);
    (0..20).for_each(|_| story.asks(op));
    assert_eq!(story.breaches(), []);
    (0..10_000).for_each(|_| story.asks(op));
    story.end(op, Outcome::Done);
    assert_eq!(story.breaches(), [Invariant::TooManyLooks]);
}

#[test]
fn when_all_is_at_rest_those_who_watch_a_key_share_one_look() {
    for (is_rest, shares, found) in
        [(true, true, vec![]), (true, false, vec![Invariant::TooManyLooks]), (false, false, vec![])]
    {
        let (mut story, first) = story();
        let second = story.watch();
        let read = story.begin(crate::history::ClientId(1), Kind::LookupSelf);
        story.history.operations[read.0].fresh = is_rest.then_some(0);
        story.end(read, failed("AUTHENTICATION_FAILED"));
        for _ in 0..3 {
            story.asks(first);
            if !shares {
                story.asks(second);
            }
            story.pass(EVERY);
        }
        assert_eq!(story.breaches(), found, "{is_rest} {shares}");
        // Who goes away while it looks leaves its look to another.
        if shares {
            story.asks(first);
            story.end(first, failed("AUTHENTICATION_FAILED"));
            story.asks(second);
            assert_eq!(story.breaches(), found, "taken over");
        }
    }
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
