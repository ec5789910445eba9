//! A client for OpenBao's secrets: read, write, patch, rotate, delete, list, search, copy and move.
//!
//! ```no_run
//! # async fn example() -> baokit::Result<()> {
//! # fn connect(_: &str) {}
//! let client = baokit::Client::from_env()?; // OPENBAO_URL, OPENBAO_TOKEN, TENANT_ALLOWED_MOUNTS, …
//! let token = client.read("openbao+kv2://secret/app/api#token").await?;
//! connect(token.expose_str()?); // the only way to the value
//! let done = client.rotate("openbao+kv2://secret/app/api#token", "new-value").await?;
//! println!("{} -> {}", done.old_version, done.new_version);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] is cheap to clone and `Send + Sync`. Its futures may be dropped at any await without
//! harm, and have to run on tokio. Every operation has one deadline ([`Builder::deadline`],
//! `VAULT_TIMEOUT`), within which baokit logs in, retries what may be repeated and fails over to
//! other nodes by itself; what comes back as an [`Error`] names the node, the number of tries and
//! what to do next.
//!
//! URIs come from outside, so the tenant guard judges each: only mounts in
//! [`Builder::allowed_mounts`] (`TENANT_ALLOWED_MOUNTS`) are used, and none where it is not set.
//! [`Client::kv2`] and [`Client::request`] are for code that names the mount itself.
//!
//! Logs go to `tracing` (or `log`, where no subscriber is set): warnings about settings, and at
//! debug level one event for each request. Neither ever holds a token, a header or a body.

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!("baokit needs one of its features `ring` and `aws-lc-rs`, for TLS");

mod builder;
mod client;
mod host;
mod kv2;
mod manage;
mod pages;
mod tls;
mod transfer;
mod watch;

pub use baokit_core::config::{
    CacheConfig, Credential, JwtSource, Origin, Pem, Settings, SettingsBuilder, Warning, WarningCode,
};
pub use baokit_core::error::{Code, Error, Family, Result};
pub use baokit_core::sys;
pub use baokit_core::uri::{ParseOptions, Provider, SecretPointer, SecretPrefix, SecretRef, SecretUri};
pub use baokit_core::{
    Apply, ApplyError, CacheMetrics, Change, Copied, Entry, Generator, HIT_AGE_BOUNDS, Kv2Config, MAX_DEPTH, Metadata,
    MetadataChange, Partition, ReadOptions, Renewal, Reply, Rotated, Rotation, Scan, Search, Secret, SecretValue,
    TokenInfo, Version, Versions, Written,
};
pub use builder::Builder;
pub use client::{Client, Sys};
pub use host::NativeHost;
pub use kv2::{Kv2, Patch, Read, Subkeys, Write, WriteMetadata};
pub use pages::Pages;
pub use watch::Watch;
