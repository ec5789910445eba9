//! The scenario builder of core's tests: a host on virtual time whose server is a closure.
//!
//! Nothing sleeps: when no task can go on, the clock jumps to the next timer. A run is the same
//! every time.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use baokit_core::config::{Credential, Settings, SettingsBuilder};
use baokit_core::http::{Failure, FailureKind, Method, Request, Response, Transfer};
use baokit_core::uri::Provider;
use baokit_core::{Client, Host, Notice, Now};
use secrecy::SecretString;
use serde_json::json as value;
use zeroize::Zeroizing;

pub const SECOND: Duration = Duration::from_secs(1);
pub const CANARY_TOKEN: &str = "hvs.canary-token";
pub const CANARY_SECRET_ID: &str = "canary-secret-id";
pub const CANARY_VALUE: &str = "canary-value";
pub const CANARY_WRAP: &str = "canary-wrap";

/// A request as the server sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub at: Duration,
    pub method: Method,
    pub node: String,
    pub target: String,
    pub token: Option<String>,
    /// All of them, the token's as well.
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Seen {
    /// The node, counted from 1.
    pub fn place(&self) -> usize {
        self.node.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub fn is_wrapped(&self) -> bool {
        self.header("x-vault-wrap-ttl").is_some()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// What the server does with it.
pub enum Reply {
    Answer(Response),
    /// A version that is deleted: a 404 that is wrapped where that is asked for, as OpenBao does.
    Gone(Response),
    Fail(FailureKind),
    Never,
}

/// A JSON answer.
pub fn json(status: u16, body: impl Into<String>) -> Reply {
    raw(status, "application/json", body.into().into_bytes())
}

pub fn raw(status: u16, kind: &str, body: Vec<u8>) -> Reply {
    Reply::Answer(Response::new(status, Zeroizing::new(body)).header("Content-Type", kind.as_bytes()))
}

pub fn redirect(location: &str) -> Reply {
    Reply::Answer(Response::new(307, Zeroizing::new(Vec::new())).header("Location", location.as_bytes()))
}

/// The same answer, from a node that is so far.
pub fn at_index(reply: Reply, cluster: &str, value: u64) -> Reply {
    use base64ct::{Base64, Encoding};
    let index = Base64::encode_string(format!(r#"{{"cluster":"{cluster}","value":"{value}"}}"#).as_bytes());
    match reply {
        Reply::Answer(response) => Reply::Answer(response.header("X-Vault-Index", index.as_bytes())),
        Reply::Gone(response) => Reply::Gone(response.header("X-Vault-Index", index.as_bytes())),
        reply => reply,
    }
}

/// The same answer, with a wish to be left alone for so many seconds.
pub fn retry_after(reply: Reply, seconds: &str) -> Reply {
    match reply {
        Reply::Answer(response) => Reply::Answer(response.header("Retry-After", seconds.as_bytes())),
        reply => reply,
    }
}

/// A secret with one key, `token`.
pub fn secret(version: u64) -> Reply {
    holding(version, CANARY_VALUE, EPOCH)
}

/// When the versions of a secret were written that was never made anew.
pub const EPOCH: &str = "2026-01-01T00:00:00Z";

/// A secret whose `token` is this, written at this time.
pub fn holding(version: u64, token: &str, created: &str) -> Reply {
    json(
        200,
        format!(
            r#"{{"data":{{"data":{{"token":"{token}"}},"metadata":{{"created_time":"{created}","custom_metadata":null,"deletion_time":"","destroyed":false,"version":{version}}}}}}}"#
        ),
    )
}

/// A version that is there and deletes itself at this time.
pub fn ending(version: u64, deletion_time: &str) -> Reply {
    let metadata = value!({"created_time": EPOCH, "deletion_time": deletion_time, "version": version});
    json(200, value!({"data": {"data": {"token": CANARY_VALUE}, "metadata": metadata}}).to_string())
}

/// A version that was deleted.
pub fn gone(version: u64) -> Reply {
    let body = format!(
        r#"{{"data":{{"data":null,"metadata":{{"created_time":"{EPOCH}","custom_metadata":null,"deletion_time":"2026-02-01T00:00:00Z","destroyed":false,"version":{version}}}}}}}"#
    );
    let Reply::Answer(response) = json(404, body) else { panic!("an answer") };
    Reply::Gone(response)
}

/// What OpenBao has nothing of.
pub fn nothing() -> Reply {
    json(404, r#"{"errors":[]}"#)
}

/// A capability is missing.
pub fn no_right() -> Reply {
    errors(403, "1 error occurred:\n\t* permission denied\n\n")
}

pub fn written(version: u64) -> Reply {
    json(
        200,
        format!(
            r#"{{"data":{{"created_time":"2026-01-01T00:00:00Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":{version}}}}}"#
        ),
    )
}

pub fn wrap_info(token: &str) -> String {
    format!(
        r#"{{"wrap_info":{{"token":"{token}","accessor":"a","ttl":60,"creation_time":"2026-01-01T00:00:00Z","creation_path":"secret/data/app"}}}}"#
    )
}

pub fn errors(status: u16, text: &str) -> Reply {
    json(status, format!(r#"{{"errors":[{}]}}"#, serde_json::Value::from(text)))
}

pub fn logged_in(number: usize, lease: u64) -> Reply {
    json(
        200,
        format!(r#"{{"auth":{{"client_token":"{CANARY_TOKEN}-{number}","lease_duration":{lease},"renewable":true}}}}"#),
    )
}

pub const MISMATCH: &str = "check-and-set parameter did not match the current version";

type Server = Box<dyn FnMut(&Seen) -> (Duration, Reply)>;

struct Inner {
    now: Cell<Duration>,
    timers: RefCell<Vec<(Duration, Waker)>>,
    seen: RefCell<Vec<Seen>>,
    notices: RefCell<Vec<String>>,
    in_flight: Cell<usize>,
    most_in_flight: Cell<usize>,
    random: Cell<u64>,
    wakes_across_tasks: Cell<bool>,
    closes_connections: Cell<bool>,
    files: RefCell<HashMap<String, String>>,
    loads: Cell<usize>,
    server: RefCell<Server>,
}

/// The clock, the server, and everything that was sent.
#[derive(Clone)]
pub struct World(Rc<Inner>);

impl World {
    /// A world whose server answers after 1 ms.
    pub fn new(mut server: impl FnMut(&Seen) -> Reply + 'static) -> Self {
        Self::slow(move |seen| (Duration::from_millis(1), server(seen)))
    }

    /// A world whose server wraps answers where it is asked to, as OpenBao does: all but refusals and what
    /// is not there. A node to which the server answers a probe of the leader with 200 leads.
    pub fn wrapping(mut server: impl FnMut(&Seen) -> Reply + 'static) -> Self {
        let (mut wrapped, mut tokens) = (Vec::<(String, Reply)>::new(), 0);
        Self::new(move |seen| {
            if seen.target == "/v1/sys/wrapping/unwrap" {
                let position = wrapped.iter().position(|(token, _)| Some(token) == seen.token.as_ref());
                return match position {
                    Some(position) => wrapped.remove(position).1,
                    None => errors(400, "wrapping token is not valid or does not exist"),
                };
            }
            let reply = server(seen);
            if seen.target == "/v1/sys/wrapping/wrap" {
                return match reply {
                    Reply::Answer(response) if response.status() == 200 => json(200, wrap_info("wrap-nothing")),
                    refused => refused,
                };
            }
            let is_wrapped = seen.header("x-vault-wrap-ttl").is_some()
                && match &reply {
                    Reply::Answer(response) => response.status() == 200,
                    reply => matches!(reply, Reply::Gone(_)),
                };
            if !is_wrapped {
                return reply;
            }
            tokens += 1;
            let token = format!("{CANARY_WRAP}-{tokens}");
            wrapped.push((token.clone(), reply));
            json(200, wrap_info(&token))
        })
    }

    /// A world whose server says how long each answer takes.
    pub fn slow(server: impl FnMut(&Seen) -> (Duration, Reply) + 'static) -> Self {
        Self(Rc::new(Inner {
            now: Cell::default(),
            timers: RefCell::default(),
            seen: RefCell::default(),
            notices: RefCell::default(),
            in_flight: Cell::default(),
            most_in_flight: Cell::default(),
            random: Cell::new(1),
            wakes_across_tasks: Cell::new(true),
            closes_connections: Cell::new(false),
            files: RefCell::default(),
            loads: Cell::default(),
            server: RefCell::new(Box::new(server)),
        }))
    }

    /// A world as an isolate-per-request runtime is; see [`Host::wakes_across_tasks`].
    pub fn of_isolated_tasks(server: impl FnMut(&Seen) -> Reply + 'static) -> Self {
        let world = Self::new(server);
        world.0.wakes_across_tasks.set(false);
        world
    }

    /// A world whose host closes a connection where it is told to.
    pub fn of_closing_connections(server: impl FnMut(&Seen) -> Reply + 'static) -> Self {
        let world = Self::new(server);
        world.0.closes_connections.set(true);
        world
    }

    /// How often a task was woken while one was running, and not by a timer.
    pub fn wakes_across_tasks_seen() -> usize {
        WAKES.get()
    }

    /// Writes a file.
    pub fn put_file(&self, path: &str, text: &str) {
        self.0.files.borrow_mut().insert(path.to_owned(), text.to_owned());
    }

    /// How often a file was read.
    pub fn loads(&self) -> usize {
        self.0.loads.get()
    }

    pub fn settings(nodes: usize) -> SettingsBuilder {
        Settings::builder(Provider::OpenBao)
            .urls((1..=nodes).map(|i| format!("http://127.0.0.1:{i}")))
            .credential(Credential::token(CANARY_TOKEN))
            .allowed_mounts(["secret"])
    }

    pub fn app_role(nodes: usize) -> SettingsBuilder {
        Self::settings(nodes).credential(Credential::app_role("role", CANARY_SECRET_ID).unwrap())
    }

    pub fn client(&self, settings: SettingsBuilder) -> Client<World> {
        Client::new(self.clone(), settings.build().unwrap())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.now.get()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.0.seen.borrow().clone()
    }

    pub fn targets(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.target).collect()
    }

    pub fn most_in_flight(&self) -> usize {
        self.0.most_in_flight.get()
    }

    /// The places of the nodes that were asked, in order.
    pub fn places(&self) -> Vec<usize> {
        self.seen().iter().map(Seen::place).collect()
    }

    /// The most requests that fell into one second from `from` on.
    pub fn most_in_a_second(&self, from: Duration, until: Duration) -> usize {
        let times: Vec<_> = self.seen().iter().map(|seen| seen.at).filter(|at| (from..until).contains(at)).collect();
        times
            .iter()
            .map(|start| times.iter().filter(|at| (*start..*start + SECOND).contains(at)).count())
            .max()
            .unwrap_or(0)
    }

    /// How often data was written, or asked to be.
    pub fn writes(&self) -> usize {
        self.seen().iter().filter(|seen| seen.method != Method::Get && seen.target.contains("/data/")).count()
    }

    /// What an operator was told.
    pub fn notices(&self) -> Vec<String> {
        self.0.notices.borrow().clone()
    }

    /// Runs one future to its end.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.run_all([work]).pop().unwrap()
    }

    /// Runs futures side by side to their ends.
    pub fn run_all<T>(&self, work: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
        let mut tasks: Vec<_> = work.into_iter().map(|work| (Box::pin(work), Flag::new())).collect();
        let mut results: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
        for _ in 0..1_000_000 {
            let mut progress = false;
            for ((work, flag), result) in tasks.iter_mut().zip(&mut results) {
                if result.is_none() && flag.0.swap(false, Ordering::SeqCst) {
                    progress = true;
                    RUNNING.set(true);
                    if let Poll::Ready(value) = work.as_mut().poll(&mut Context::from_waker(&flag.clone().into())) {
                        *result = Some(value);
                    }
                    RUNNING.set(false);
                }
            }
            if results.iter().all(Option::is_some) {
                return results.into_iter().flatten().collect();
            }
            if !progress {
                self.advance();
            }
        }
        panic!("the futures do not end");
    }

    /// Polls a future once: it sends what it sends first and is then held or dropped by the test.
    pub fn poll_once<T>(&self, work: &mut Pin<Box<impl Future<Output = T>>>) {
        let flag = Flag::new();
        assert!(work.as_mut().poll(&mut Context::from_waker(&flag.into())).is_pending());
    }

    fn advance(&self) {
        let mut timers = self.0.timers.borrow_mut();
        let next =
            timers.iter().map(|(at, _)| *at).min().unwrap_or_else(|| panic!("nothing to wait for: a lost wake-up"));
        self.0.now.set(self.0.now.get().max(next));
        let due: Vec<_> = timers.extract_if(.., |(at, _)| *at <= next).collect();
        drop(timers);
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    async fn until(&self, at: Duration) {
        std::future::poll_fn(|context| {
            if self.0.now.get() >= at {
                return Poll::Ready(());
            }
            self.0.timers.borrow_mut().push((at, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    static WAKES: Cell<usize> = const { Cell::new(0) };
}

struct Flag(AtomicBool);

impl Flag {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        WAKES.set(WAKES.get() + usize::from(RUNNING.get()));
        self.0.store(true, Ordering::SeqCst);
    }
}

struct InFlight<'a>(&'a Cell<usize>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Host for World {
    fn now(&self) -> Now {
        Now { monotonic: self.0.now.get(), wall: Duration::from_secs(1_767_225_600) + self.0.now.get() }
    }

    fn random(&self, buffer: &mut [u8]) {
        for byte in buffer {
            let next =
                self.0.random.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.0.random.set(next);
            *byte = (next >> 56) as u8;
        }
    }

    async fn send(&self, request: Request) -> Result<Response, Failure> {
        let headers: Vec<_> =
            request.headers().iter().map(|header| (header.name(), header.expose().to_owned())).collect();
        let token = headers.iter().find(|(name, _)| *name == "x-vault-token").map(|(_, value)| value.clone());
        let seen = Seen {
            at: self.0.now.get(),
            method: request.method(),
            node: request.node().as_str().to_owned(),
            target: request.target().to_owned(),
            token,
            headers,
            body: request.body().map_or_else(String::new, |body| String::from_utf8(body.as_ref().to_vec()).unwrap()),
        };
        self.0.in_flight.set(self.0.in_flight.get() + 1);
        let _in_flight = InFlight(&self.0.in_flight);
        self.0.most_in_flight.set(self.0.most_in_flight.get().max(self.0.in_flight.get()));
        self.0.seen.borrow_mut().push(seen.clone());
        let (after, reply) = (self.0.server.borrow_mut())(&seen);
        self.until(seen.at + after).await;
        match reply {
            Reply::Answer(response) | Reply::Gone(response) => match request.transfer() {
                Some(Transfer::Download(sink)) if response.status() == 200 => {
                    sink.write(b"a snapshot").map(|()| response)
                }
                _ => Ok(response),
            },
            Reply::Fail(kind) => Err(Failure::new(kind, "as the test wants")),
            Reply::Never => std::future::pending().await,
        }
    }

    async fn load(&self, path: &str) -> Result<SecretString, Failure> {
        self.0.loads.set(self.0.loads.get() + 1);
        self.until(self.0.now.get() + Duration::from_millis(1)).await;
        match self.0.files.borrow().get(path) {
            Some(text) => Ok(text.as_str().into()),
            None => Err(Failure::new(FailureKind::Caller, "No such file or directory (os error 2)")),
        }
    }

    fn notice(&self, notice: &Notice<'_>) {
        self.0.notices.borrow_mut().push(notice.to_string());
    }

    async fn sleep(&self, duration: Duration) {
        self.until(self.0.now.get() + duration).await;
    }

    fn wakes_across_tasks(&self) -> bool {
        self.0.wakes_across_tasks.get()
    }

    fn closes_connections(&self) -> bool {
        self.0.closes_connections.get()
    }
}
