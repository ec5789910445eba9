//! What the benchmarks have in common: their inputs, and a host that answers at once.
//!
//! The figures are of core alone, so the host does as little as a host can: its answer lies ready,
//! its clock stands still, and no future ever waits.

#[cfg(not(target_family = "wasm"))]
pub mod service;

/// Keys and the tokens that they sign: those of the service's own tests.
#[allow(missing_docs, reason = "it is a part of another crate's tests")]
#[cfg(not(target_family = "wasm"))]
#[path = "../../../core/service/tests/bearer/keys.rs"]
pub mod keys;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use baokit_core::config::{CacheConfig, Credential};
use baokit_core::http::{Failure, FailureKind, Request, Response};
use baokit_core::uri::Provider;
use baokit_core::{Client, Host, Now, ReadOptions, Result, Secret, SecretUri, Settings};
use zeroize::Zeroizing;

/// A URI as most callers write it.
pub const TYPICAL: &str = "openbao+kv2://secret/app/api#token";
/// The whole secret instead of one of its keys.
pub const WHOLE: &str = "openbao+kv2://secret/app/api";
/// One key of a version that is pinned.
pub const PINNED: &str = "openbao+kv2://secret/app/api?version=3#token";
/// Escapes in the path and in the fragment.
pub const ESCAPED: &str = "openbao+kv2://secret/app/api%20key%20%C3%BC#my%20token";
/// A deep path: 17 segments, 195 bytes.
pub const LONG: &str = concat!(
    "openbao+kv2://secret/organisation/department/team-seven/environment/production/region-one/cluster-two/namespace",
    "/application/component/subsystem/database/primary/credentials/rotation/current#token",
);

/// What OpenBao 2.7 answers to the read of a small secret.
const ANSWER: &str = concat!(
    r#"{"request_id":"c9a1b5ee-0a2b-9d4f-5a43-2d4d3d4a3c11","lease_id":"","renewable":false,"lease_duration":0,"#,
    r#""data":{"data":{"password":"correct horse battery staple","token":"a1b2c3d4e5f6a7b8c9d0","user":"app"},"#,
    r#""metadata":{"created_time":"2026-01-02T03:04:05.678901234Z","custom_metadata":null,"deletion_time":"","#,
    r#""destroyed":false,"version":3}},"wrap_info":null,"warnings":null,"auth":null}"#,
);

/// A host without a world: it answers each request with the next answer that was laid ready.
#[derive(Clone, Debug, Default)]
struct Canned(Rc<RefCell<VecDeque<Response>>>);

impl Host for Canned {
    fn now(&self) -> Now {
        Now { monotonic: Duration::from_secs(100), wall: Duration::from_secs(1_800_000_000) }
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }

    async fn send(&self, _request: Request) -> std::result::Result<Response, Failure> {
        let answer = self.0.borrow_mut().pop_front();
        answer.ok_or_else(|| Failure::new(FailureKind::Connect, "no answer was laid ready"))
    }

    async fn sleep(&self, _duration: Duration) {
        pending().await
    }
}

/// A client that has read once: what a service that runs for a while does, not what the first call
/// of a program costs.
#[derive(Debug)]
pub struct Warm {
    host: Canned,
    client: Client<Canned>,
}

impl Warm {
    /// Makes the client and reads once.
    ///
    /// # Panics
    /// Where the read does not give the value: figures of a failure would be worthless.
    #[must_use]
    pub fn new() -> Self {
        let lookup = |key: &str| match key {
            "OPENBAO_URL" => Some("https://openbao-1.example:8200".to_owned()),
            "OPENBAO_TOKEN" => Some("bench-token".to_owned()),
            "TENANT_ALLOWED_MOUNTS" => Some("secret".to_owned()),
            _ => None,
        };
        let settings = Settings::from_lookup(Provider::OpenBao, lookup).expect("the settings are legal");
        let host = Canned::default();
        let client = Client::new(host.clone(), settings);
        let warm = Self { host, client };
        warm.load();
        let secret = warm.read(TYPICAL).expect("the answer is a legal one");
        assert_eq!(secret.expose_str().expect("the key holds a string"), "a1b2c3d4e5f6a7b8c9d0");
        warm
    }

    /// Lays one answer ready, so that making it is no part of what is measured.
    pub fn load(&self) {
        let body = Zeroizing::new(ANSWER.as_bytes().to_vec());
        let answer = Response::new(200, body).header("content-type", b"application/json");
        self.host.0.borrow_mut().push_back(answer);
    }

    /// One read, from the text of the URI to the secret, with the answer that was loaded.
    ///
    /// # Errors
    /// Those of [`Client::read`].
    pub fn read(&self, uri: &str) -> Result<Secret> {
        at_once(self.client.read(uri))
    }
}

/// How many bytes of keys and values the secret of [`ANSWER`] holds.
pub const DATA: usize = "password".len()
    + "correct horse battery staple".len()
    + "token".len()
    + "a1b2c3d4e5f6a7b8c9d0".len()
    + "user".len()
    + "app".len();

/// A client whose cache holds so many secrets, each of a path of its own.
#[derive(Debug)]
pub struct Cached(Warm);

impl Cached {
    /// Makes the client and reads all the secrets once.
    ///
    /// # Panics
    /// Where they can't be read, or are not all kept.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        let cache = CacheConfig::new(Duration::from_secs(3600)).max_entries(entries).max_bytes(1 << 30);
        let settings = Settings::builder(Provider::OpenBao)
            .urls(["https://openbao-1.example:8200"])
            .credential(Credential::token("bench-token"))
            .allowed_mounts(["secret"])
            .cache(cache);
        let host = Canned::default();
        let client = Client::new(host.clone(), settings.build().expect("the settings are legal"));
        let cached = Self(Warm { host, client });
        for place in 0..entries {
            cached.0.load();
            drop(cached.0.read(&Self::uri(place)).expect("the answer is a legal one"));
        }
        assert_eq!(cached.0.client.cache_metrics().entries, entries);
        cached
    }

    /// The URI of one key of the secret at this place.
    #[must_use]
    pub fn uri(place: usize) -> String {
        format!("openbao+kv2://secret/app/api-{place}#token")
    }

    /// One read that the cache answers, from text.
    ///
    /// # Errors
    /// Those of [`Client::read`]: the host has no answer to anything else.
    pub fn read(&self, uri: &str) -> Result<Secret> {
        self.0.read(uri)
    }

    /// One read that the cache answers, of what was parsed before.
    ///
    /// # Errors
    /// The same.
    pub fn read_uri(&self, uri: &SecretUri) -> Result<Secret> {
        at_once(self.0.client.read_uri(uri, ReadOptions::new()))
    }
}

impl Default for Warm {
    fn default() -> Self {
        Self::new()
    }
}

/// The result of work that never waits.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the host answers at once, so nothing may wait"),
    }
}
