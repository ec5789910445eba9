//! An issuer on virtual time: discovery, a key set that the test changes, delays and failures, and how often it was
//! asked. And a loop that runs many requests at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use baokit_core::http::{Failure, FailureKind, Request, Response};
use baokit_core::{Host, Now};
use baokit_service::bearer::{Authenticated, Bearer, Presented};
use baokit_service::settings::Settings;
use baokit_service::{Code, Result};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://issuer.example";
/// When a world begins, in seconds since 1970.
pub const START: u64 = 1_800_000_000;
const DOCUMENT: &str = "https://issuer.example:443/.well-known/openid-configuration";

pub struct World(Mutex<State>);

pub struct State {
    /// Since the beginning.
    pub now: Duration,
    /// What the issuer says of itself.
    pub document: Value,
    pub keys: Vec<Value>,
    /// The keys at another address.
    pub moved: Vec<Value>,
    /// How long an answer takes.
    pub delay: Duration,
    /// The status of its answers.
    pub status: u16,
    /// Whether nobody can connect.
    pub down: bool,
    /// Every address that was asked for.
    pub asked: Vec<String>,
    /// A body in place of the key set.
    pub body: Option<String>,
    pub wakes: bool,
    timers: Vec<Duration>,
}

impl World {
    pub fn new(keys: impl IntoIterator<Item = Value>) -> Self {
        Self(Mutex::new(State {
            now: Duration::ZERO,
            document: json!({"issuer": ISSUER, "jwks_uri": "https://keys.example/set?p=1"}),
            keys: keys.into_iter().collect(),
            moved: Vec::new(),
            delay: Duration::ZERO,
            status: 200,
            down: false,
            asked: Vec::new(),
            body: None,
            wakes: true,
            timers: Vec::new(),
        }))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn pass(&self, seconds: u64) {
        self.state().now += Duration::from_secs(seconds);
    }

    /// Seconds since 1970.
    pub fn wall(&self) -> u64 {
        self.now().wall.as_secs()
    }

    /// How often the key set was fetched.
    pub fn fetches(&self) -> usize {
        self.state().asked.iter().filter(|url| *url != DOCUMENT).count()
    }

    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    /// Runs one request to its end.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.run_all(vec![future]).pop().unwrap()
    }

    /// Runs all, in turn; time passes when nobody can go on.
    pub fn run_all<T>(&self, futures: Vec<impl Future<Output = T>>) -> Vec<T> {
        let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
        let mut idle = 0;
        loop {
            let mut moved = false;
            for (future, result) in &mut futures {
                if result.is_none()
                    && let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                {
                    *result = Some(value);
                    moved = true;
                }
            }
            if futures.iter().all(|(_, result)| result.is_some()) {
                return futures.into_iter().filter_map(|(_, result)| result).collect();
            }
            idle = if moved { 0 } else { idle + 1 };
            if idle > 3 {
                let mut state = self.state();
                let now = state.now;
                state.now = state.timers.iter().copied().filter(|at| *at > now).min().expect("all wait for ever");
                state.timers.retain(|at| *at > now);
                idle = 0;
            }
        }
    }

    /// Sees who sent these headers.
    pub fn show(&self, bearer: &Bearer, authorization: &[&str]) -> Result<Authenticated> {
        let mut presented = Presented::new("GET", "/api/secrets/value");
        presented.authorization = authorization;
        self.run(bearer.authenticate(self, &presented))
    }

    /// Sees who sent this token as a bearer.
    pub fn bearer(&self, bearer: &Bearer, token: &str) -> Result<Authenticated> {
        self.show(bearer, &[&format!("Bearer {token}")])
    }
}

impl Host for World {
    fn now(&self) -> Now {
        let now = self.state().now;
        Now { monotonic: now, wall: Duration::from_secs(START) + now }
    }

    fn random(&self, _: &mut [u8]) {
        panic!("nothing here is random");
    }

    async fn send(&self, request: Request) -> Result<Response, Failure> {
        assert!(request.body().is_none());
        let url = request.url();
        let delay = {
            let mut state = self.state();
            state.asked.push(url.clone());
            state.delay
        };
        self.sleep(delay).await;
        let state = self.state();
        if state.down {
            return Err(Failure::new(FailureKind::Connect, "refused"));
        }
        let body = match (&state.body, url.as_str()) {
            (_, DOCUMENT) => state.document.to_string(),
            (Some(body), _) => body.clone(),
            (None, "https://keys.example:443/set?p=1") => json!({"keys": state.keys}).to_string(),
            (None, "https://keys.example:443/moved") => json!({"keys": state.moved}).to_string(),
            (None, _) => return Ok(Response::new(404, Vec::new().into())),
        };
        Ok(Response::new(state.status, body.into_bytes().into()))
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.state().now + duration;
        poll_fn(|_| {
            let mut state = self.state();
            if state.now >= until {
                return Poll::Ready(());
            }
            if !state.timers.contains(&until) {
                state.timers.push(until);
            }
            Poll::Pending
        })
        .await;
    }

    fn wakes_across_tasks(&self) -> bool {
        self.state().wakes
    }
}

/// Settings of these keys, beside the issuer.
pub fn settings(more: &[(&str, &str)]) -> Settings {
    let lookup = |key: &str| {
        let more = more.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
        more.or_else(|| match key {
            "OIDC_ISSUER" => Some(ISSUER.to_owned()),
            "SECRETS_API_REQUIRE_AUTH" => Some("true".to_owned()),
            _ => None,
        })
    };
    Settings::from_lookup(lookup).unwrap()
}

pub fn service() -> Bearer {
    Bearer::new(&settings(&[]))
}

/// The claims of a usual token.
pub fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "aud": "crud.secrets", "client_id": "cli", "scope": "secrets.read secrets.write",
        "jti": "t1", "iat": START, "exp": START + 3600,
    })
}

/// The code and the text of a refusal.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(result: Result<T>) -> (Code, String) {
    let error = result.expect_err("it was accepted");
    (error.code(), error.to_string())
}

/// A future that can be held half-way and dropped.
pub fn poll_once<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}
