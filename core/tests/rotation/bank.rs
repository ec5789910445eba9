//! A server that keeps what it is told (the dev server's model) on virtual time, a database beside it, and a
//! count of all steps, so that a test can cut a process off at each of them.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use baokit_core::http::{FailureKind, Method, Response};
use baokit_core::{Apply, ApplyError, Client, Code, Host, Secret, SecretValue};
use baokit_devserver::model::{Model, Request};
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub use crate::scenario::Seen;
use crate::scenario::{CANARY_TOKEN, MISMATCH, Reply, SECOND, World, errors};

pub const SECRET: &str = "openbao+kv2://secret/app";
pub const PASSWORD: &str = "openbao+kv2://secret/app#password";

/// Longer than any lease of these tests: the deadline of 30 s and 30 s more.
pub const LEASE: Duration = Duration::from_secs(61);

pub fn is_intent(seen: &Seen) -> bool {
    seen.method == Method::Post && seen.target.ends_with("/metadata/app") && seen.body.contains("begun")
}

pub fn is_write(seen: &Seen) -> bool {
    seen.method == Method::Post && seen.target.ends_with("/data/app")
}

pub fn is_end(seen: &Seen) -> bool {
    seen.method == Method::Post && seen.target.ends_with("/metadata/app") && !seen.body.contains("begun")
}

pub fn is_stage(seen: &Seen) -> bool {
    seen.method == Method::Post && seen.target.ends_with("/data/app.baokit-stage")
}

pub fn code<T>(result: baokit_core::Result<T>) -> Code {
    result.map(drop).unwrap_err().code()
}

/// What happens to a request.
pub enum Fate {
    Answered,
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is not carried out, and called a mismatch, as a leader that was deposed does.
    FalseMismatch,
    /// It hangs, and is carried out when the test says so.
    Late,
    /// A standby answers that has not seen what came after [`Bank::freeze`].
    Behind,
}

type Judge = Box<dyn FnMut(&Seen) -> Fate>;

struct Inner {
    model: RefCell<Model>,
    frozen: RefCell<Model>,
    late: RefCell<Vec<Seen>>,
    judge: RefCell<Judge>,
    steps: Cell<usize>,
}

#[derive(Clone)]
pub struct Bank {
    pub world: World,
    inner: Rc<Inner>,
}

impl Bank {
    /// With `secret/app` at version 1: `{"user": "ada", "password": "old"}`.
    pub fn new() -> Self {
        let bank = Self::empty();
        bank.write(&json!({"user": "ada", "password": "old"}));
        bank
    }

    pub fn empty() -> Self {
        let inner = Rc::new(Inner {
            model: RefCell::new(Model::new(1, CANARY_TOKEN)),
            frozen: RefCell::new(Model::new(1, CANARY_TOKEN)),
            late: RefCell::default(),
            judge: RefCell::new(Box::new(|_| Fate::Answered)),
            steps: Cell::new(0),
        });
        let server = inner.clone();
        let world = World::new(move |seen| {
            server.steps.set(server.steps.get() + 1);
            match (server.judge.borrow_mut())(seen) {
                Fate::Answered => server.handle(seen),
                Fate::AnswerLost => {
                    server.handle(seen);
                    Reply::Fail(FailureKind::AfterSend)
                }
                Fate::FalseMismatch if seen.target.contains("/metadata/") => {
                    errors(400, "metadata check-and-set parameter does not match the current version")
                }
                Fate::FalseMismatch => errors(400, MISMATCH),
                Fate::Late => {
                    server.late.borrow_mut().push(seen.clone());
                    Reply::Never
                }
                Fate::Behind => server.handle_with(&server.frozen, seen),
            }
        });
        Self { world, inner }
    }

    /// A process of its own.
    pub fn client(&self) -> Client<World> {
        self.world.client(World::settings(1))
    }

    pub fn judge(&self, judge: impl FnMut(&Seen) -> Fate + 'static) {
        *self.inner.judge.borrow_mut() = Box::new(judge);
    }

    /// Standbys see nothing of what comes after this.
    pub fn freeze(&self) {
        *self.inner.frozen.borrow_mut() = self.inner.model.borrow().clone();
    }

    /// Carries out what hung.
    pub fn carry_out_late(&self) {
        for seen in self.inner.late.take() {
            self.inner.handle(&seen);
        }
    }

    pub fn steps(&self) -> usize {
        self.inner.steps.get()
    }

    pub fn step(&self) {
        self.inner.steps.set(self.steps() + 1);
    }

    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.world.run(work)
    }

    /// Runs a process until it has taken so many steps and is killed; its result where it was over before.
    pub fn cut<T>(&self, after: usize, work: impl Future<Output = T>) -> Option<T> {
        let mut work = Box::pin(work);
        let last = self.steps() + after;
        self.world.run(poll_fn(move |context| match work.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if self.steps() >= last => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }))
    }

    pub fn wait(&self, duration: Duration) {
        self.world.run(self.world.sleep(duration));
    }

    /// What another program does, without baokit and at once.
    pub fn request(&self, method: &str, target: &str, body: &str) -> Value {
        let request = Request::new(method, format!("/v1/{target}")).token(CANARY_TOKEN).body(body);
        let answer = self.inner.model.borrow_mut().handle(self.world.now().wall, &request);
        serde_json::from_str(&answer.text()).unwrap_or_default()
    }

    pub fn write(&self, data: &Value) {
        self.request("POST", "secret/data/app", &json!({"data": data}).to_string());
    }

    pub fn data(&self) -> Value {
        self.request("GET", "secret/data/app", "")["data"]["data"].clone()
    }

    pub fn password(&self) -> String {
        self.data()["password"].as_str().unwrap_or_default().to_owned()
    }

    pub fn version(&self) -> u64 {
        self.request("GET", "secret/metadata/app", "")["data"]["current_version"].as_u64().unwrap_or_default()
    }

    pub fn custom(&self) -> BTreeMap<String, String> {
        let metadata = self.request("GET", "secret/metadata/app", "");
        serde_json::from_value(metadata["data"]["custom_metadata"].clone()).unwrap_or_default()
    }

    /// The record's phase, where there is one.
    pub fn phase(&self) -> Option<String> {
        let record: Value = serde_json::from_str(self.custom().get("baokit_rotation")?).ok()?;
        Some(record["phase"].as_str()?.to_owned())
    }

    pub fn has_stage(&self) -> bool {
        !self.request("GET", "secret/metadata/app.baokit-stage", "")["data"].is_null()
    }

    /// A token with this policy alone, and the default one.
    pub fn token(&self, policy: &str) -> String {
        self.request("POST", "sys/policies/acl/test", &json!({"policy": policy}).to_string());
        let answer = self.request("POST", "auth/token/create", r#"{"policies":["test"]}"#);
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

impl Inner {
    fn handle(&self, seen: &Seen) -> Reply {
        self.handle_with(&self.model, seen)
    }

    fn handle_with(&self, model: &RefCell<Model>, seen: &Seen) -> Reply {
        let method = match seen.method {
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            _ => "POST",
        };
        let mut request = Request::new(method, seen.target.clone()).body(seen.body.clone());
        for (name, value) in &seen.headers {
            request = request.header(name, value);
        }
        let wall = Duration::from_secs(1_767_225_600) + seen.at;
        let answer = model.borrow_mut().handle(wall, &request);
        let mut response = Response::new(answer.status, Zeroizing::new(answer.body));
        for (name, value) in &answer.headers {
            response = response.header(name, value.as_bytes());
        }
        Reply::Answer(response)
    }
}

/// What is changed along with the secret: a database with one password.
#[derive(Clone)]
pub struct Database {
    bank: Bank,
    inner: Rc<State>,
}

struct State {
    password: RefCell<String>,
    /// A step that fails: `apply`, `test` or `undo`, several of them after one another.
    fails: RefCell<Vec<&'static str>>,
    log: RefCell<Vec<&'static str>>,
    /// How long it takes to apply.
    slow: Cell<Duration>,
}

impl Database {
    pub fn new(bank: &Bank) -> Self {
        let inner = Rc::new(State {
            password: RefCell::new(bank.password()),
            fails: RefCell::default(),
            log: RefCell::default(),
            slow: Cell::new(Duration::from_millis(1)),
        });
        Self { bank: bank.clone(), inner }
    }

    pub fn password(&self) -> String {
        self.inner.password.borrow().clone()
    }

    pub fn fails(&self, steps: &[&'static str]) {
        *self.inner.fails.borrow_mut() = steps.to_vec();
    }

    pub fn takes(&self, duration: Duration) {
        self.inner.slow.set(duration);
    }

    pub fn log(&self) -> Vec<&'static str> {
        self.inner.log.borrow().clone()
    }

    async fn step(&self, name: &'static str) -> Result<(), ApplyError> {
        self.inner.log.borrow_mut().push(name);
        self.bank.step();
        let takes = if name == "apply" { self.inner.slow.get() } else { SECOND / 1000 };
        self.bank.world.sleep(takes).await;
        if self.inner.fails.borrow().contains(&name) {
            return Err(ApplyError::new(format!("the database refuses to {name}")));
        }
        Ok(())
    }
}

fn password(value: &Value) -> String {
    value["password"].as_str().unwrap_or_default().to_owned()
}

impl Apply for Database {
    async fn apply(&self, _: Option<&Secret>, new: &SecretValue) -> Result<(), ApplyError> {
        self.step("apply").await?;
        *self.inner.password.borrow_mut() = password(new.expose());
        self.bank.step();
        self.bank.world.sleep(SECOND / 1000).await;
        Ok(())
    }

    async fn test(&self, new: &SecretValue) -> Result<(), ApplyError> {
        self.step("test").await?;
        if self.password() == password(new.expose()) { Ok(()) } else { Err(ApplyError::new("no log-in")) }
    }

    async fn undo(&self, old: Option<&Secret>, _: &SecretValue) -> Result<(), ApplyError> {
        self.step("undo").await?;
        *self.inner.password.borrow_mut() = old.map(|old| password(old.expose())).unwrap_or_default();
        Ok(())
    }
}
