//! The pure model of the server: requests and the time in, answers out.
//!
//! It has no clock, no sockets and no randomness: the time is an argument and ids come from a seed, so
//! the same requests at the same times give the same bytes. It can be cloned, and a clone goes its own
//! way from there; that is how a simulator replicates it or tries out a future.
//!
//! ```
//! use baokit_devserver::model::{Model, Request};
//! use std::time::Duration;
//!
//! let mut model = Model::new(7, "root");
//! let at = Duration::from_secs(1_800_000_000);
//! let write = Request::new("POST", "/v1/secret/data/app")
//!     .token("root")
//!     .body(r#"{"data":{"user":"ada"},"options":{"cas":0}}"#);
//! assert_eq!(model.handle(at, &write).status, 200);
//! assert_eq!(model.handle(at, &write).status, 400, "cas=0 passes once");
//! ```

mod answer;
mod approle;
mod approle_login;
mod auths;
mod dispatch;
mod fields;
mod hcl;
mod ids;
mod kv1;
mod kv2;
mod kv2_list;
mod kv2_metadata;
mod mounts;
mod policies;
mod policy;
mod renewal;
mod sys;
mod text;
mod token;
mod wire;
mod wrapping;

use answer::Body;
use fields::Fields;
use ids::Ids;
use std::collections::BTreeMap;
use std::time::Duration;

/// The version of OpenBao that the model speaks as.
pub const VERSION: &str = "2.7.2";

/// A request as it came over the wire.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query, exactly as sent.
    pub target: String,
    /// Names and values of the headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> Request {
        Request { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// The same with a token.
    pub fn token(self, token: &str) -> Request {
        self.header("X-Vault-Token", token)
    }

    /// The same with one more header.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// The value of a header, whatever the case of its name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// Shows the path only: headers and body may hold secrets.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({} {})", self.method, self.target)
    }
}

/// An answer.
#[derive(Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names and values of the headers, those of the transport (length, date) left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Shows the status only: a body may hold secrets.
impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response({}, {} bytes)", self.status, self.body.len())
    }
}

/// What is asked of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    Update,
    Read,
    List,
    Scan,
    Delete,
    Patch,
    Head,
}

/// A request on its way through the backends.
pub(crate) struct Call {
    op: Op,
    /// Without `/v1/`.
    path: String,
    fields: Fields,
    token: Option<String>,
    now: Duration,
    /// Seconds that the answer shall be wrapped for; 0 for not at all.
    wrap: i64,
    /// The end point's parameters and those of them that its path captures; for the warnings.
    known: Option<Vec<&'static str>>,
    captured: Vec<&'static str>,
}

/// The state of the server.
#[derive(Clone)]
pub struct Model {
    ids: Ids,
    cluster_id: String,
    cluster_name: String,
    started: Option<Duration>,
    initialized: bool,
    sealed: bool,
    max_entry: Option<usize>,
    mounts: BTreeMap<String, mounts::Mount>,
    auths: BTreeMap<String, auths::AuthMount>,
    policies: BTreeMap<String, policies::Policy>,
    tokens: BTreeMap<String, token::Token>,
    cubbyholes: BTreeMap<String, kv1::Store>,
    wrapped: BTreeMap<String, Body>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("sealed", &self.sealed)
            .field("mounts", &self.mounts.keys())
            .finish_non_exhaustive()
    }
}

impl Model {
    /// A server as `bao server -dev` starts it: unsealed, with a KVv2 mount at `secret/` and a root
    /// token. The seed decides all ids.
    pub fn new(seed: u64, root_token: &str) -> Model {
        let mut ids = Ids::new(seed);
        let mut model = Model {
            cluster_id: ids.uuid(),
            cluster_name: format!("vault-cluster-{}", ids.mount("").trim_start_matches('_')),
            mounts: mounts::initial(&mut ids),
            auths: auths::initial(&mut ids),
            policies: policies::initial(),
            tokens: BTreeMap::new(),
            cubbyholes: BTreeMap::new(),
            wrapped: BTreeMap::new(),
            started: None,
            initialized: true,
            sealed: false,
            max_entry: None,
            ids,
        };
        let root = token::Token::root(root_token, model.ids.letters(24));
        model.tokens.insert(root_token.to_owned(), root);
        model
    }

    /// Answers a request. `now` is the time since 1970; it may stand still and must not run backwards.
    pub fn handle(&mut self, now: Duration, request: &Request) -> Response {
        self.start_at(now);
        wire::handle(self, now, request)
    }

    /// The server's life begins with its first request: what it held before was made at that time.
    fn start_at(&mut self, now: Duration) {
        if self.started.is_none() {
            self.started = Some(now);
            for token in self.tokens.values_mut() {
                token.created = now;
            }
            for policy in self.policies.values_mut() {
                policy.modified = now;
            }
        }
    }

    /// Seals the server: all but the status end points answers 503 until [`Model::unseal`].
    pub fn seal(&mut self) {
        self.sealed = true;
    }

    /// Opens the server again; what it held is still there.
    pub fn unseal(&mut self) {
        if self.initialized {
            self.sealed = false;
        }
    }

    /// Whether it is sealed.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Makes it a server that nobody has initialised: sealed, and not to be unsealed.
    pub fn uninitialize(&mut self) {
        self.initialized = false;
        self.sealed = true;
    }

    /// Limits a stored value, in bytes. A server on Raft storage has 1 MiB; the in-memory storage of
    /// `bao server -dev`, and so the model at first, has no limit but that of the body.
    pub fn limit_entry(&mut self, bytes: Option<usize>) {
        self.max_entry = bytes;
    }

    /// Gives other ids from here on. Of a clone that is put in the place of a later state, as a restored
    /// snapshot is, new tokens would otherwise bear the names of those that were given out since.
    pub fn reseed(&mut self, seed: u64) {
        self.ids = Ids::new(seed);
    }

    /// Forgets a token, as if it had been revoked elsewhere.
    pub fn revoke(&mut self, token: &str) {
        self.revoke_tree(token);
    }
}
