//! The model over HTTP/1.1 on 127.0.0.1: sockets, the clock and a log of the requests.
//!
//! Each server runs on a thread of its own, so it answers whatever the caller's runtime is doing, and
//! synchronous tests need no runtime at all.

use crate::model::{Model, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How much of a body is read: one byte more than the model takes, so that it can tell.
const BODY_READ: usize = (32 << 20) + 1;
/// The log keeps this many requests, the newest.
const LOG_LENGTH: usize = 100_000;

type Clock = Box<dyn Fn() -> Duration + Send + Sync>;
type Setup = Box<dyn FnOnce(&mut Model) + Send>;

/// A request that reached the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The method.
    pub method: String,
    /// Path and query, byte for byte as they came over the wire.
    pub target: String,
    /// The names of the headers, in lower case. Their values are not kept, nor is the body: both may
    /// hold secrets.
    pub headers: Vec<String>,
    /// The status of the answer.
    pub status: u16,
}

/// A running server. Dropping it stops it.
///
/// ```
/// use baokit_devserver::DevServer;
/// use std::time::Duration;
///
/// let server = DevServer::start_blocking()?;
/// // Point the program under test to it…
/// let _settings = [("OPENBAO_URL", server.url()), ("OPENBAO_TOKEN", server.root_token())];
/// // …let its tokens grow old, seal it, and see what was asked of it.
/// server.advance(Duration::from_secs(3600));
/// server.with_model(|model| model.seal());
/// assert!(server.requests().is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct DevServer {
    address: SocketAddr,
    url: String,
    root_token: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    model: Model,
    log: std::collections::VecDeque<Logged>,
    advanced: Duration,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a caller's closure leaves the model whole enough to go on with.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, request: &Request) -> Response {
        let now = (self.clock)();
        let mut state = self.lock();
        let now = now.saturating_add(state.advanced);
        let response = state.model.handle(now, request);
        if state.log.len() == LOG_LENGTH {
            state.log.pop_front();
        }
        state.log.push_back(Logged {
            method: request.method.clone(),
            target: request.target.clone(),
            headers: request.headers.iter().map(|(name, _)| name.clone()).collect(),
            status: response.status,
        });
        response
    }
}

/// Settings of a [`DevServer`].
pub struct Builder {
    root_token: String,
    seed: u64,
    port: u16,
    clock: Clock,
    setup: Vec<Setup>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("seed", &self.seed).field("port", &self.port).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for DevServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevServer").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Builder {
    /// The root token; `root` where nothing is said.
    pub fn root_token(mut self, token: impl Into<String>) -> Builder {
        self.root_token = token.into();
        self
    }

    /// The seed of all ids; fixed where nothing is said, so that runs are alike.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = seed;
        self
    }

    /// The port; a free one where nothing is said.
    pub fn port(mut self, port: u16) -> Builder {
        self.port = port;
        self
    }

    /// The clock: the time since 1970. The system's where nothing is said.
    pub fn clock(mut self, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Builder {
        self.clock = Box::new(clock);
        self
    }

    /// Something to do to the model before the first request.
    pub fn setup(mut self, setup: impl FnOnce(&mut Model) + Send + 'static) -> Builder {
        self.setup.push(Box::new(setup));
        self
    }

    /// Starts the server, from asynchronous code.
    pub async fn start(self) -> io::Result<DevServer> {
        // Nothing here waits: the socket is bound at once, the thread takes over.
        self.start_blocking()
    }

    /// Starts the server. It accepts connections when this returns.
    pub fn start_blocking(self) -> io::Result<DevServer> {
        let mut model = Model::new(self.seed, &self.root_token);
        for setup in self.setup {
            setup(&mut model);
        }
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let state = State { model, log: std::collections::VecDeque::new(), advanced: Duration::ZERO };
        let shared = Arc::new(Shared { clock: self.clock, state: Mutex::new(state) });
        let (stop, stopped) = oneshot::channel();
        let serving = shared.clone();
        let thread = std::thread::Builder::new().name("baokit-devserver".into()).spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = accept(listener, serving) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(DevServer {
            address,
            url: format!("http://{address}"),
            root_token: self.root_token,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl DevServer {
    /// Settings to start from.
    pub fn builder() -> Builder {
        Builder {
            root_token: "root".into(),
            seed: 1,
            port: 0,
            clock: Box::new(|| SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()),
            setup: Vec::new(),
        }
    }

    /// Starts a server with the root token `root` on a free port.
    pub async fn start() -> io::Result<DevServer> {
        Self::builder().start().await
    }

    /// The same from synchronous code.
    pub fn start_blocking() -> io::Result<DevServer> {
        Self::builder().start_blocking()
    }

    /// Where it is, as `http://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The socket that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root token.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// Moves the clock on: tokens and secret ids expire as if that time had passed.
    pub fn advance(&self, by: Duration) {
        let mut state = self.shared.lock();
        state.advanced = state.advanced.saturating_add(by);
    }

    /// Looks into the model, or changes it. Requests wait meanwhile.
    pub fn with_model<T>(&self, look: impl FnOnce(&mut Model) -> T) -> T {
        look(&mut self.shared.lock().model)
    }

    /// The requests so far, in the order of their answers.
    pub fn requests(&self) -> Vec<Logged> {
        self.shared.lock().log.iter().cloned().collect()
    }

    /// Empties the log of requests.
    pub fn clear_requests(&self) {
        self.shared.lock().log.clear();
    }
}

impl Drop for DevServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // Nothing blocks in the thread: it drops its connections and ends.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely; it passes.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(shared.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            // A connection that breaks is the client's business.
            let _ = connection.await;
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, hyper::Error> {
    let (head, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while body.len() < BODY_READ {
        let Some(frame) = incoming.frame().await else { break };
        if let Ok(data) = frame?.into_data() {
            let room = BODY_READ - body.len();
            body.extend(data.iter().take(room));
        }
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let response = shared.handle(&Request { method: head.method.to_string(), target, headers, body });
    let mut answer = hyper::Response::new(Full::new(Bytes::from(response.body)));
    if let Ok(status) = hyper::StatusCode::from_u16(response.status) {
        *answer.status_mut() = status;
    }
    for (name, value) in response.headers {
        let name = hyper::header::HeaderName::from_bytes(name.as_bytes());
        let value = hyper::header::HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.headers_mut().append(name, value);
        }
    }
    Ok(answer)
}
