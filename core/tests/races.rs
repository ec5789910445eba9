//! Races for what the operations of one client share: the one log-in, the token's generations, the places. Those for
//! the cache are in races_cache.rs.
//!
//! Shuttle runs tasks one at a time and chooses which of them goes on, by a seed, so that a run is the same
//! every time. A task gives way wherever core asks its host for something: before each step of the machine,
//! around each request, when it has begun to wait. So what is explored is the order of whole steps. Core's
//! `std::sync::Mutex` and event_listener are not shuttle's, and between two such points a task is alone: a
//! wake-up lost within a step, or a wrong memory order, is not found here. For those the last test starts a
//! thousand threads of the operating system, which can only meet them by chance.
//!
//! Time stands still: no lease and no deadline saves anybody, and where all wait for ever, shuttle says so.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "races/orders.rs"]
mod orders;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Wake};
use std::time::{Duration, Instant};

use baokit_core::config::{Credential, Settings};
use baokit_core::http::{Failure, Request, Response};
use baokit_core::uri::Provider;
use baokit_core::{Client, Code, Host, Now};
use event_listener::Event;
use orders::{SCHEDULES, TASKS, code, explore, impatient, json, pause};
use shuttle::rand::Rng;

const URI: &str = "openbao+kv2://secret/app/api#token";

/// After how long a thread of the operating system is taken to wait for ever.
const HANGS: Duration = Duration::from_secs(15);

/// A server that knows one token at a time, the one of the last log-in.
#[derive(Default)]
struct Server {
    tally: Mutex<Tally>,
    /// Log-ins are not answered before it is released.
    is_held: AtomicBool,
    released: Event,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    /// Log-ins that were sent, of them at one time at most, and those that were answered.
    sent: usize,
    under_way: usize,
    at_once: usize,
    answered: usize,
    /// The tokens before this one are dead.
    first_good: usize,
}

impl Server {
    fn tally(&self) -> Tally {
        *self.tally.lock().unwrap()
    }

    fn revoke_all(&self) {
        let mut tally = self.tally.lock().unwrap();
        tally.first_good = tally.answered + 1;
    }

    fn release(&self) {
        self.is_held.store(false, Ordering::SeqCst);
        self.released.notify(usize::MAX);
    }

    async fn until_released(&self) {
        loop {
            let released = self.released.listen();
            if !self.is_held.load(Ordering::SeqCst) {
                return;
            }
            released.await;
        }
    }
}

/// A log-in under way. One that is dropped is not answered.
struct LogIn<'a>(&'a Server);

impl<'a> LogIn<'a> {
    fn begin(server: &'a Server) -> Self {
        let mut tally = server.tally.lock().unwrap();
        tally.sent += 1;
        tally.under_way += 1;
        tally.at_once = tally.at_once.max(tally.under_way);
        Self(server)
    }

    fn answer(self) -> Response {
        let mut tally = self.0.tally.lock().unwrap();
        tally.answered += 1;
        let number = tally.answered;
        json(200, format!(r#"{{"auth":{{"client_token":"t{number}","lease_duration":3600,"renewable":true}}}}"#))
    }
}

impl Drop for LogIn<'_> {
    fn drop(&mut self) {
        self.0.tally.lock().unwrap().under_way -= 1;
    }
}

struct Racing {
    server: Arc<Server>,
    /// Lets others go on.
    give_way: fn(),
}

impl Host for Racing {
    fn now(&self) -> Now {
        (self.give_way)();
        Now { monotonic: Duration::ZERO, wall: Duration::ZERO }
    }

    fn random(&self, buffer: &mut [u8]) {
        (self.give_way)();
        buffer.fill(7);
    }

    async fn send(&self, request: Request) -> Result<Response, Failure> {
        let is_login = request.target() == "/v1/auth/approle/login";
        let login = is_login.then(|| LogIn::begin(&self.server));
        (self.give_way)();
        pause().await;
        if let Some(login) = login {
            self.server.until_released().await;
            pause().await;
            return Ok(login.answer());
        }
        let token = request.headers().iter().find(|header| header.name() == "x-vault-token").unwrap();
        let tally = self.server.tally();
        let is_good = (tally.first_good.max(1)..=tally.answered).any(|number| token.expose() == format!("t{number}"));
        // The answer is made, and on its way.
        pause().await;
        (self.give_way)();
        Ok(match is_good {
            true => json(
                200,
                r#"{"data":{"data":{"token":"x"},"metadata":{"created_time":"","deletion_time":"","destroyed":false,"version":1}}}"#,
            ),
            false => json(403, r#"{"errors":["permission denied"]}"#),
        })
    }

    /// Nothing takes time, so nobody's time is ever over.
    async fn sleep(&self, _: Duration) {
        poll_fn(|_| {
            (self.give_way)();
            Poll::Pending
        })
        .await
    }
}

/// Leaves a rule out, or none.
type Change = fn(Client<Racing>) -> Client<Racing>;

fn with_all_rules(client: Client<Racing>) -> Client<Racing> {
    client
}

fn client(give_way: fn(), places: usize) -> (Arc<Server>, Client<Racing>) {
    let server = Arc::new(Server::default());
    let settings = Settings::builder(Provider::OpenBao)
        .urls(["http://127.0.0.1:1"])
        .credential(Credential::app_role("role", "secret-id").unwrap())
        .allowed_mounts(["secret"])
        .max_concurrent(places)
        .build()
        .unwrap();
    let client = Client::new(Racing { server: server.clone(), give_way }, settings);
    (server, client)
}

/// So many reads at once, each in a task of shuttle's. Returns their codes.
fn reads(client: &Arc<Client<Racing>>, count: usize) -> Vec<Option<Code>> {
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let client = client.clone();
            shuttle::thread::spawn(move || code(shuttle::future::block_on(client.read(URI))))
        })
        .collect();
    tasks.into_iter().map(|task| task.join().unwrap()).collect()
}

/// The most log-ins that simultaneous first operations made.
fn first_operations(tasks: usize, schedules: usize, change: Change) -> usize {
    let sent = explore(schedules, move || {
        let (server, client) = client(shuttle::thread::yield_now, tasks);
        assert!(reads(&Arc::new(change(client)), tasks).iter().all(Option::is_none));
        server.tally().sent
    });
    assert_eq!(sent.len(), schedules);
    sent.into_iter().max().unwrap()
}

/// The most log-ins that a token took which died while many used it, the first one not counted.
fn dead_token(tasks: usize, schedules: usize, change: Change) -> usize {
    let sent = explore(schedules, move || {
        let (server, client) = client(shuttle::thread::yield_now, tasks);
        let client = Arc::new(change(client));
        shuttle::future::block_on(client.read(URI)).unwrap();
        server.revoke_all();
        assert!(reads(&client, tasks).iter().all(Option::is_none));
        server.tally().sent - 1
    });
    sent.into_iter().max().unwrap()
}

#[test]
fn simultaneous_first_operations_make_one_log_in_in_whatever_order_they_go_on() {
    assert_eq!(first_operations(TASKS, SCHEDULES, with_all_rules), 1);
}

#[test]
fn a_thousand_simultaneous_first_operations_make_one_log_in() {
    assert_eq!(first_operations(1000, 2, with_all_rules), 1);
}

#[test]
fn a_token_that_dies_while_many_use_it_is_replaced_once() {
    assert_eq!(dead_token(TASKS, SCHEDULES, with_all_rules), 1);
}

#[test]
fn a_log_in_whose_leader_is_dropped_passes_to_one_who_waits_and_nobody_hangs() {
    let tallies = explore(SCHEDULES, || {
        let (server, client) = client(shuttle::thread::yield_now, TASKS);
        let client = Arc::new(client);
        // Half of them are dropped somewhere on their way, where they are not through by then.
        let tasks: Vec<_> = (0..TASKS)
            .map(|i| {
                let client = client.clone();
                let polls = if i % 2 == 0 { usize::MAX } else { shuttle::rand::thread_rng().gen_range(0..4) };
                shuttle::thread::spawn(move || shuttle::future::block_on(impatient(client.read(URI), polls)))
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            match task.join().unwrap() {
                Some(result) => drop(result.unwrap()),
                None => assert_eq!(i % 2, 1),
            }
        }
        server.tally()
    });
    assert!(tallies.iter().all(|tally| (tally.at_once, tally.answered) == (1, 1)), "{tallies:?}");
    let passed_on = tallies.iter().filter(|tally| tally.sent > 1).count();
    assert!(passed_on > SCHEDULES / 10, "the leader was dropped in {passed_on} of {SCHEDULES} runs");
}

#[test]
fn closing_ends_all_who_wait_for_a_log_in_or_for_a_place() {
    let waiting = explore(SCHEDULES, || {
        let places = shuttle::rand::thread_rng().gen_range(1..=TASKS);
        let (server, client) = client(shuttle::thread::yield_now, places);
        server.is_held.store(true, Ordering::SeqCst);
        let client = Arc::new(client);
        let (ended, ends) = shuttle::sync::mpsc::channel();
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let (client, ended) = (client.clone(), ended.clone());
                shuttle::thread::spawn(move || {
                    ended.send(code(shuttle::future::block_on(client.read(URI)))).unwrap();
                })
            })
            .collect();
        for _ in 0..shuttle::rand::thread_rng().gen_range(0..40) {
            shuttle::thread::yield_now();
        }
        let is_waited_for = server.tally().under_way == 1;
        client.close();
        // All but the one whose log-in is on its way end before that is answered.
        for _ in 1..TASKS {
            assert_eq!(ends.recv().unwrap(), Some(Code::ClientClosed));
        }
        server.release();
        assert_eq!(ends.recv().unwrap(), Some(Code::ClientClosed));
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert!(server.tally().sent <= 1, "nothing is sent after it");
        is_waited_for
    });
    let during = waiting.into_iter().filter(|is_waited_for| *is_waited_for).count();
    assert!(during > SCHEDULES / 10, "it was closed during the log-in in {during} of {SCHEDULES} runs");
}

/// Runs a future in this thread of the operating system, and says when it waits; fails where it hangs.
fn block_on<T>(work: impl Future<Output = T>, waits: impl Fn()) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut work = pin!(work);
    let end = Instant::now() + HANGS;
    loop {
        if let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        assert!(Instant::now() < end, "a wake-up was lost");
        waits();
        std::thread::park_timeout(end.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn a_thousand_threads_of_the_operating_system_make_one_log_in_and_one_more_for_a_dead_token() {
    let (server, client) = client(std::thread::yield_now, 1000);
    for round in 1..=2 {
        server.is_held.store(true, Ordering::SeqCst);
        let (waited, start, (results, all)) = (AtomicUsize::new(0), Barrier::new(1000), mpsc::channel());
        std::thread::scope(|scope| {
            for _ in 0..1000 {
                let (client, server, waited, start, results) = (&client, &server, &waited, &start, results.clone());
                let work = move || {
                    start.wait();
                    // The log-in is answered when half of them wait for it and the others are about to.
                    let release = || {
                        if server.tally().under_way == 1 && waited.fetch_add(1, Ordering::SeqCst) + 1 == 500 {
                            server.release();
                        }
                    };
                    results.send(code(block_on(client.read(URI), release))).unwrap();
                };
                std::thread::Builder::new().stack_size(1 << 18).spawn_scoped(scope, work).unwrap();
            }
        });
        assert_eq!(all.try_iter().collect::<Vec<_>>(), [None; 1000]);
        assert_eq!((server.tally().sent, server.tally().at_once), (round, 1));
        server.revoke_all();
    }
}

#[cfg(feature = "broken-rules")]
mod broken {
    use super::*;
    use baokit_core::Rule;

    #[test]
    fn each_rule_here_is_needed() {
        assert!(first_operations(TASKS, 10, |client| client.without(Rule::OneLogIn)) > 1);
        assert_eq!(first_operations(TASKS, 10, |client| client.without(Rule::OnlyItsGeneration)), 1);
        assert!(dead_token(TASKS, SCHEDULES, |client| client.without(Rule::OnlyItsGeneration)) > 1);
        assert!(dead_token(TASKS, 10, |client| client.without(Rule::OneLogIn)) > 1);
    }
}
