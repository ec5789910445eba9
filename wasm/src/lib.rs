//! baokit for JavaScript: core's operations over the platform's `fetch`.
//!
//! This crate is the inner half of the npm package `baokit`. The outer half, `npm/client.js`, is
//! what users import: it checks the types of arguments, since those are JavaScript's own matter, and
//! names things as JavaScript does. `npm/host.js` does what touches the platform. Nothing is decided in either.
//!
//! | room | what it is for |
//! |---|---|
//! | `client` | the operations, each a task |
//! | `settings` | options and environments into core's settings |
//! | `values` | secrets, URIs and errors on their way to JavaScript |
//! | `shapes` | the plain objects that results become |
//! | `host` | one request over `fetch`, both clocks, randomness |
//! | `task` | operations under way, and what they wait for |

mod client;
mod host;
mod settings;
mod shapes;
mod task;
mod values;

pub use client::RawClient;
pub use settings::{Lookup, describe_settings};
pub use task::RawTask;
pub use values::{Notation, RawSecret, parse};

/// Smaller than the standard library's. It serves one thread only, and a module without atomics has no other.
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
