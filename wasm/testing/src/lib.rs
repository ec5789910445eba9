//! The dev server for JavaScript: the pure model, to be put behind a `fetch` function.
//!
//! A module of its own, so that the main one carries none of it. `npm/testing.js` makes the
//! `DevServer` of it that users see.

use std::time::Duration;

use baokit_devserver::model::{Model, Request, Response};
use wasm_bindgen::prelude::*;

/// The state of one server.
#[wasm_bindgen]
pub struct RawServer(Model);

#[wasm_bindgen]
impl RawServer {
    /// A fresh server; the seed decides its ids.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(seed: u32, root_token: &str) -> Self {
        Self(Model::new(seed.into(), root_token))
    }

    /// Answers a request. `headers` are names and values in turn; `now` is the time since 1970.
    pub fn handle(
        &mut self,
        now_milliseconds: f64,
        method: String,
        target: String,
        headers: Vec<String>,
        body: Vec<u8>,
    ) -> RawResponse {
        let now = Duration::try_from_secs_f64(now_milliseconds / 1000.0).unwrap_or_default();
        let headers = headers.chunks(2).filter_map(|pair| match pair {
            [name, value] => Some((name.clone(), value.clone())),
            _ => None,
        });
        let request = Request { method, target, headers: headers.collect(), body };
        RawResponse(self.0.handle(now, &request))
    }

    /// All but the status end points answers 503 from now on.
    pub fn seal(&mut self) {
        self.0.seal();
    }

    /// Opens the server again.
    pub fn unseal(&mut self) {
        self.0.unseal();
    }

    /// Forgets a token.
    pub fn revoke(&mut self, token: &str) {
        self.0.revoke(token);
    }
}

/// An answer.
#[wasm_bindgen]
pub struct RawResponse(Response);

#[wasm_bindgen]
impl RawResponse {
    /// The status.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// Names and values in turn.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn headers(&self) -> Vec<String> {
        self.0.headers.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect()
    }

    /// The body.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        self.0.body.clone()
    }
}
