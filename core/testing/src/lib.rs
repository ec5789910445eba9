//! What the examples in core's documentation run on, out of their readers' sight: a host without input and output.
//!
//! A crate of its own, so that one program holds all the examples and what is generic in the host is compiled once.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use baokit_core::config::{Credential, Settings};
use baokit_core::http::{Failure, Request, Response, Transfer};
use baokit_core::uri::Provider;
use baokit_core::{Client, Error, Host, Now};
use baokit_devserver::model::{self, Model};
use zeroize::Zeroizing;

/// A host whose server is a value in memory.
pub struct Memory {
    server: Server,
    random: AtomicU8,
}

enum Server {
    Model(Box<Mutex<Model>>),
    Document(String),
}

/// A client of the dev server's model, as its root.
#[must_use]
pub fn server() -> Client<Memory> {
    client(Server::Model(Box::new(Mutex::new(Model::new(1, "root")))))
}

/// A client of a node that answers everything with this document: for what the dev server does not model, such as
/// a cluster.
#[must_use]
pub fn answering(document: &str) -> Client<Memory> {
    client(Server::Document(document.to_owned()))
}

fn client(server: Server) -> Client<Memory> {
    let settings = Settings::builder(Provider::OpenBao)
        .urls(["http://127.0.0.1:8200"])
        .credential(Credential::token("root"))
        .allowed_mounts(["secret"]);
    Client::new(Memory { server, random: AtomicU8::new(0) }, settings.build().unwrap())
}

/// Runs an example. Nothing in memory has to be waited for.
///
/// # Panics
/// Where the example fails, or waits.
pub fn run(example: impl Future<Output = Result<(), Error>>) {
    let mut example = pin!(example);
    for _ in 0..1000 {
        if let Poll::Ready(result) = example.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result.unwrap();
        }
    }
    panic!("the example does not end");
}

impl Host for Memory {
    fn now(&self) -> Now {
        Now { monotonic: Duration::ZERO, wall: Duration::from_secs(1_767_225_600) }
    }

    fn random(&self, buffer: &mut [u8]) {
        // Never the same twice is enough, and every run is alike.
        buffer.fill_with(|| self.random.fetch_add(1, Ordering::Relaxed));
    }

    async fn send(&self, request: Request) -> Result<Response, Failure> {
        if let Some(Transfer::Download(sink)) = request.transfer() {
            sink.write(b"a snapshot")?;
        }
        let model = match &self.server {
            Server::Model(model) => model,
            Server::Document(document) => return Ok(json(200, document.clone().into_bytes())),
        };
        let mut asked = model::Request::new(request.method().as_str(), request.target());
        for header in request.headers() {
            asked = asked.header(header.name(), header.expose());
        }
        if let Some(body) = request.body() {
            asked = asked.body(body.as_ref().to_vec());
        }
        let answer = model.lock().unwrap_or_else(PoisonError::into_inner).handle(self.now().wall, &asked);
        Ok(json(answer.status, answer.body))
    }

    async fn sleep(&self, _: Duration) {}
}

fn json(status: u16, body: Vec<u8>) -> Response {
    Response::new(status, Zeroizing::new(body)).header("Content-Type", b"application/json")
}
