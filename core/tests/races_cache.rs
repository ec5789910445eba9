//! Races for the cache's flights: one request brings what many want, whoever of them goes away, and what a change of
//! this client has ended is served to nobody who comes after it. How the orders are made is told in races.rs.

#![cfg(feature = "cache")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "races/orders.rs"]
mod orders;

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use baokit_core::config::{CacheConfig, Credential, Settings};
use baokit_core::http::{Failure, Method, Request, Response};
use baokit_core::uri::Provider;
use baokit_core::{Client, Host, Now, SecretValue};
use orders::{SCHEDULES, TASKS, code, explore, impatient, json, pause};
use shuttle::rand::Rng;

const URI: &str = "openbao+kv2://secret/app#token";

/// A server of one secret.
#[derive(Default)]
struct Server {
    reads: Mutex<Reads>,
    /// The version that was written last, after the first.
    written: AtomicU64,
}

/// Reads that were sent, and of them at one time at most.
#[derive(Clone, Copy, Debug, Default)]
struct Reads {
    sent: u64,
    under_way: u64,
    at_once: u64,
}

impl Server {
    fn version(&self) -> u64 {
        1 + self.written.load(Ordering::SeqCst)
    }
}

/// A read under way, answered or dropped.
struct UnderWay<'a>(&'a Server);

impl<'a> UnderWay<'a> {
    fn begin(server: &'a Server) -> Self {
        let mut reads = server.reads.lock().unwrap();
        reads.sent += 1;
        reads.under_way += 1;
        reads.at_once = reads.at_once.max(reads.under_way);
        Self(server)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.reads.lock().unwrap().under_way -= 1;
    }
}

struct Racing(Arc<Server>);

impl Host for Racing {
    fn now(&self) -> Now {
        shuttle::thread::yield_now();
        Now { monotonic: Duration::ZERO, wall: Duration::ZERO }
    }

    fn random(&self, buffer: &mut [u8]) {
        shuttle::thread::yield_now();
        buffer.fill(7);
    }

    async fn send(&self, request: Request) -> Result<Response, Failure> {
        let is_read = request.method() == Method::Get;
        let _under_way = is_read.then(|| UnderWay::begin(&self.0));
        pause().await;
        if !is_read {
            self.0.written.fetch_add(1, Ordering::SeqCst);
        }
        let version = self.0.version();
        // The answer is made, and on its way.
        pause().await;
        shuttle::thread::yield_now();
        let about = format!(r#""created_time":"2026-01-01T00:00:0{version}Z","deletion_time":"","version":{version}"#);
        Ok(json(
            200,
            match is_read {
                true => format!(r#"{{"data":{{"data":{{"token":"x"}},"metadata":{{{about}}}}}}}"#),
                false => format!(r#"{{"data":{{{about}}}}}"#),
            },
        ))
    }

    /// Nothing takes time, so nobody's time is ever over.
    async fn sleep(&self, _: Duration) {
        poll_fn(|_| {
            shuttle::thread::yield_now();
            Poll::Pending
        })
        .await
    }
}

/// Leaves a rule out, or none.
type Change = fn(Client<Racing>) -> Client<Racing>;

/// What came of one race.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    reads: Reads,
    /// Flights that were begun.
    flights: u64,
    /// Whether the one reader that may be dropped was not through by then.
    is_dropped: bool,
    /// Readers that were served a version which a change had ended before they began.
    old: usize,
}

/// Many read a cold key, one of them is dropped on its way, and this client writes meanwhile, or does not.
fn race(writes: bool, change: Change) -> Outcome {
    let server = Arc::new(Server::default());
    let settings = Settings::builder(Provider::OpenBao)
        .urls(["http://127.0.0.1:1"])
        .credential(Credential::token("t"))
        .allowed_mounts(["secret"])
        .cache(CacheConfig::new(Duration::from_secs(60)))
        .build()
        .unwrap();
    let client = Arc::new(change(Client::new(Racing(server.clone()), settings)));
    // The version below which no reader is served who begins from now on.
    let ended = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..TASKS)
        .map(|i| {
            let (client, ended) = (client.clone(), ended.clone());
            let polls = if i == 0 { shuttle::rand::thread_rng().gen_range(0..6) } else { usize::MAX };
            shuttle::thread::spawn(move || {
                let least = ended.load(Ordering::SeqCst);
                let read = shuttle::future::block_on(impatient(client.read(URI), polls));
                read.map(|secret| secret.unwrap().version() < least)
            })
        })
        .collect();
    if writes {
        let data = SecretValue::from(serde_json::json!({"token": "new"}));
        let written = shuttle::future::block_on(client.kv2_write("secret", "app", &data, None));
        ended.store(written.unwrap().version(), Ordering::SeqCst);
    }
    let served: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    // Whoever comes last is served from the cache, what there is.
    let before = server.reads.lock().unwrap().sent;
    let least = ended.load(Ordering::SeqCst);
    let last = shuttle::future::block_on(client.read(URI));
    assert_eq!(code(last.as_ref().map_err(Clone::clone)), None);
    let reads = *server.reads.lock().unwrap();
    assert!(reads.sent <= before + 1);
    let old = served.iter().flatten().chain([&(last.unwrap().version() < least)]).filter(|is_old| **is_old).count();
    Outcome { reads, flights: client.cache_metrics().misses, is_dropped: served.iter().any(Option::is_none), old }
}

fn outcomes(writes: bool, change: Change) -> Vec<Outcome> {
    let outcomes = explore(SCHEDULES, move || race(writes, change));
    assert_eq!(outcomes.len(), SCHEDULES);
    outcomes
}

/// How many of the races this is true of.
fn count(outcomes: &[Outcome], is_so: fn(&Outcome) -> bool) -> usize {
    outcomes.iter().filter(|outcome| is_so(outcome)).count()
}

#[test]
fn many_readers_of_a_cold_key_make_one_request_and_one_more_where_its_leader_is_dropped() {
    let outcomes = outcomes(false, |client| client);
    for outcome in &outcomes {
        let Outcome { reads, flights, is_dropped, .. } = *outcome;
        assert!(reads.at_once == 1 && reads.sent <= flights && flights <= 1 + u64::from(is_dropped), "{outcome:?}");
    }
    let passed_on = count(&outcomes, |outcome| outcome.flights == 2);
    assert!(passed_on > SCHEDULES / 50, "the leader was dropped in {passed_on} of {SCHEDULES} races");
}

#[test]
fn nobody_is_served_what_a_write_ended_before_they_began_and_each_flight_is_one_request() {
    let outcomes = outcomes(true, |client| client);
    for outcome in &outcomes {
        let Outcome { reads, flights, is_dropped, old } = *outcome;
        assert_eq!(old, 0, "{outcome:?}");
        // One from before the write and one after it, and one for who was dropped.
        assert!(reads.at_once <= 2 && reads.sent <= flights && flights <= 2 + u64::from(is_dropped), "{outcome:?}");
    }
    let ended = count(&outcomes, |outcome| outcome.reads.at_once == 2);
    assert!(ended > SCHEDULES / 50, "the write ended a flight under way in {ended} of {SCHEDULES} races");
}

#[cfg(feature = "broken-rules")]
mod broken {
    use super::*;
    use baokit_core::Rule;

    #[test]
    fn without_purging_some_are_served_what_was_there_before() {
        let outcomes = outcomes(true, |client| client.without(Rule::CacheIsPurged));
        assert!(count(&outcomes, |outcome| outcome.old > 0) > 0);
    }
}
