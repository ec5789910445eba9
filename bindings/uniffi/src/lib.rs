//! baokit for Kotlin and Swift: the native client in types that UniFFI can carry over.
//!
//! Nothing is decided here. Texts and values go through to core and come back; rules about URIs,
//! settings, retries and answers are core's. The sources of both languages are generated from what
//! this crate exports (`baokit-bindgen`); Kotlin has a thin layer by hand on top, in `kotlin/`.

#![allow(clippy::result_large_err, reason = "UniFFI carries records by value; an error is made once and crosses over")]

mod client;
mod error;
mod secret;
mod uri;
mod value;

pub use client::{Change, Client, Kv2, Renewal, TokenInfo, Version, Versions, Written, describe_settings};
pub use error::{BaokitError, CodeInfo, Failure, Result, codes};
pub use secret::{Secret, SecretValue};
pub use uri::{SecretPointer, SecretPrefix, SecretRef, SecretUri, parse_secret_ref};
pub use value::{Nested, Value, require_depth};

uniffi::setup_scaffolding!("baokit");
