//! The host: one request over `fetch`, both clocks, the platform's randomness. It decides nothing.
//!
//! What touches the platform stands in `npm/host.js`, where it can be read as what it is.

use std::time::Duration;

use baokit_core::http::{Failure, FailureKind, MAX_ANSWER_BYTES, Request, Response};
use baokit_core::{Host, Now};
use wasm_bindgen::prelude::*;
use zeroize::Zeroizing;

use crate::task::{Effect, Outcome, done};

#[wasm_bindgen(raw_module = "../host.js")]
extern "C" {
    fn monotonic() -> f64;
    fn wall() -> f64;
    fn random(buffer: &mut [u8]);
    fn sleep(milliseconds: f64) -> Effect;
    #[wasm_bindgen(js_name = wakesAcrossTasks)]
    fn wakes_across_tasks() -> bool;

    /// A request that is being put together.
    type Outgoing;

    #[wasm_bindgen(constructor)]
    fn new(method: &str, node: &str, target: &str) -> Outgoing;
    #[wasm_bindgen(method)]
    fn header(this: &Outgoing, name: &str, value: &str);
    #[wasm_bindgen(method)]
    fn body(this: &Outgoing, bytes: &[u8]);
    #[wasm_bindgen(method)]
    fn send(this: &Outgoing, fetch: &JsValue, limit: usize) -> Effect;
}

/// The host of one client.
pub(crate) struct FetchHost {
    fetch: JsValue,
}

impl FetchHost {
    /// `fetch` is a function like the platform's, or undefined for the platform's own.
    pub fn new(fetch: JsValue) -> Self {
        Self { fetch }
    }
}

impl Host for FetchHost {
    fn now(&self) -> Now {
        Now { monotonic: milliseconds(monotonic()), wall: milliseconds(wall()) }
    }

    fn random(&self, buffer: &mut [u8]) {
        random(buffer);
    }

    async fn send(&self, request: Request) -> Result<Response, Failure> {
        let outgoing = Outgoing::new(request.method().as_str(), request.node().as_str(), request.target());
        for header in request.headers() {
            outgoing.header(header.name(), header.expose());
        }
        if let Some(body) = request.body() {
            outgoing.body(body.as_ref());
        }
        answer(&done(outgoing.send(&self.fetch, MAX_ANSWER_BYTES)).await)
    }

    async fn sleep(&self, duration: Duration) {
        done(sleep(duration.as_secs_f64() * 1000.0)).await;
    }

    fn wakes_across_tasks(&self) -> bool {
        wakes_across_tasks()
    }
}

fn milliseconds(milliseconds: f64) -> Duration {
    Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default()
}

fn answer(outcome: &Outcome) -> Result<Response, Failure> {
    if let Some(kind) = outcome.failure() {
        let kind = match kind.as_str() {
            "connect" => FailureKind::Connect,
            "tls" => FailureKind::Tls,
            "before-send" => FailureKind::BeforeSend,
            "body" => FailureKind::Body,
            "too-large" => FailureKind::TooLarge,
            _ => FailureKind::AfterSend,
        };
        return Err(Failure::new(kind, outcome.reason()));
    }
    let mut response = Response::new(outcome.status(), Zeroizing::new(outcome.body()));
    for pair in outcome.headers().chunks(2) {
        if let [name, value] = pair {
            response = response.header(name, value.as_bytes());
        }
    }
    Ok(response)
}
