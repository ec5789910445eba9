//! Policy decision points: one of the test's own, which judges as it is told to, and Cerbos.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::{any, post};
use serde_json::{Value, json};

use super::issuer::axum_json;
use super::{LIMIT, Web, root, wait};

type Judge = Box<dyn FnMut(&Value) -> Value + Send>;

/// A PDP that speaks AuthZEN.
pub struct Pdp {
    web: Web,
    state: Arc<State>,
}

struct State {
    judge: Mutex<Judge>,
    questions: Mutex<Vec<Value>>,
    /// Whether answers are held back.
    held: Mutex<bool>,
    let_go: Condvar,
}

impl Pdp {
    /// It answers each question as `judge` does.
    pub fn start(judge: impl FnMut(&Value) -> Value + Send + 'static) -> Self {
        let state = Arc::new(State {
            judge: Mutex::new(Box::new(judge)),
            questions: Mutex::default(),
            held: Mutex::new(false),
            let_go: Condvar::new(),
        });
        let shared = state.clone();
        let evaluate =
            move |body: String| async move { tokio::task::spawn_blocking(move || shared.answer(&body)).await };
        let moved = || async { (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/access/v1/evaluation")]) };
        let app = Router::new()
            .route("/access/v1/evaluation", post(|body| async { axum_json(&evaluate(body).await.unwrap()) }))
            .route("/moved/access/v1/evaluation", any(moved));
        Self { web: Web::serve(app), state }
    }

    /// It permits what it is asked.
    pub fn permitting() -> Self {
        Self::start(|_| json!({"decision": true}))
    }

    pub fn url(&self) -> String {
        self.web.url()
    }

    pub fn questions(&self) -> Vec<Value> {
        self.state.questions.lock().unwrap().clone()
    }

    /// Holds answers back, until told otherwise.
    pub fn hold(&self, held: bool) {
        *self.state.held.lock().unwrap() = held;
        self.state.let_go.notify_all();
    }
}

impl Drop for Pdp {
    fn drop(&mut self) {
        self.hold(false);
    }
}

impl State {
    fn answer(&self, body: &str) -> Value {
        let question: Value = serde_json::from_str(body).unwrap();
        self.questions.lock().unwrap().push(question.clone());
        drop(self.let_go.wait_timeout_while(self.held.lock().unwrap(), LIMIT, |held| *held));
        (self.judge.lock().unwrap())(&question)
    }
}

/// Cerbos with the project's policy, whose program the environment variable `CERBOS` names.
pub struct Cerbos(Child, u16);

impl Cerbos {
    pub fn start() -> Self {
        let program = std::env::var("CERBOS").unwrap_or_else(|_| panic!("CERBOS is the path of the program"));
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (port, other) = (free(), free());
        let child = Command::new(program)
            .current_dir(root().join("tests/pdp/cerbos"))
            .args(["server", "--config=config.yaml", "--log-level=error"])
            .arg(format!("--set=server.httpListenAddr=127.0.0.1:{port}"))
            .arg(format!("--set=server.grpcListenAddr=127.0.0.1:{other}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let cerbos = Self(child, port);
        wait("Cerbos", || TcpStream::connect(("127.0.0.1", port)).ok());
        cerbos
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.1)
    }
}

impl Drop for Cerbos {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
