//! A client for OpenBao's secrets: read, write, patch, rotate, delete, list, search, copy and move.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # fn connect(_: &str) {}
//! # let server = baokit_devserver::DevServer::start().await?;
//! # // SAFETY: nothing else in this process reads or writes the environment now.
//! # for (key, value) in [
//! #     ("OPENBAO_URL", server.url()), ("OPENBAO_TOKEN", server.root_token()), ("TENANT_ALLOWED_MOUNTS", "secret"),
//! # ] { unsafe { std::env::set_var(key, value) } }
//! # baokit::Client::from_env()?.write("openbao+kv2://secret/app/api#token", "value").await?;
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
//! # What is where
//!
//! | what | where |
//! |---|---|
//! | settings | [`Client::from_env`], [`Client::builder_from_env`], [`Client::builder`]; all keys in [`baokit_core::config`] |
//! | log in by AppRole, its secret id plain or wrapped | [`Builder::app_role`], [`Builder::wrapped_secret_id`] |
//! | … by a token, or a file that holds one | [`Builder::token`], [`Builder::token_file`] |
//! | … by Kubernetes, JWT, user and password, TLS certificate | [`Builder::kubernetes`], [`Builder::jwt`], [`Builder::jwt_file`], [`Builder::userpass`], [`Builder::certificate`] |
//! | … with every request, so that the server stores no token | [`Builder::inline`] |
//! | … at another mount | [`Builder::credential`] and [`Credential::at`] |
//! | the client's own token | [`Client::lookup_self`], [`Client::renew_self`], [`Client::revoke_self`], [`Client::close`] |
//! | read | [`Client::read`]; no older than a version, or from the leader: [`Client::read_with`]; a parsed URI: [`Client::read_uri`] |
//! | write, patch, delete | [`Client::write`], [`Client::patch`], [`Client::delete`] |
//! | versions | [`Client::versions`], [`Client::undelete`], [`Client::destroy`] |
//! | metadata | [`Client::metadata`], [`Client::set_owner`] |
//! | list and search | [`Client::list`], [`Client::search`] |
//! | copy and move | [`Client::copy`], [`Client::move_to`] |
//! | hear of new versions | [`Client::watch`] |
//! | rotate | [`Client::rotate`]; so that it survives a crash: [`Client::rotate_with`]; with something outside: [`Client::rotate_applied`] |
//! | all of KVv2 by mount and path: `cas`, subkeys, `metadata_cas`, detailed lists, scans, the mount's settings | [`Client::kv2`], [`Kv2`] |
//! | the cache | [`Builder::cache`], [`CacheConfig`], [`Client::cache_metrics`]; for several callers: [`Partition`] |
//! | dynamic secrets and their leases, and any other request | [`Client::request`], [`Reply`]; [`Sys::renew_lease`], [`Sys::revoke_lease`], [`Sys::lookup_lease`] |
//! | an operator's calls: seal, Raft, mounts, policies, AppRole, wrapping | [`Client::sys`], [`Sys`], [`sys`] |
//!
//! # Enforcement and the Secrets API
//!
//! With the feature `service`, an [`Enforcer`] stands between callers and the secrets: tenant, token, scope and a PDP
//! are asked before each operation, and every decision is on record. With `axum`, [`axum::router`] serves it as the
//! Secrets API; the program `examples/secrets-api` is that with TLS and limits.
//!
#![cfg_attr(feature = "axum", doc = "```")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = baokit_devserver::DevServer::start().await?;
//! # let client = baokit::Client::builder().url(server.url()).token("root").allowed_mounts(["secret"]).build()?;
//! # client.write("openbao+kv2://secret/app/api#token", "value").await?;
//! # let settings = baokit::service::Settings::from_lookup(|_| None)?;
//! let enforcer = baokit::Enforcer::builder(client, settings).build()?; // or Enforcer::from_env(client)?
//! let mut caller = baokit::Caller::anonymous(); // as the host has authenticated it
//! caller.subject = Some("billing".to_owned());
//! let token = enforcer.get_credentials("openbao+kv2://secret/app/api#token", &caller).await?;
//! assert_eq!(token.expose_str()?, "value");
//! println!("{}", enforcer.audit().metrics().render());
//! # #[cfg(feature = "axum")]
//! let app = axum::Router::new().merge(baokit::axum::router(baokit::SecretsApi::new(enforcer)));
//! # Ok(())
//! # }
//! ```
//!
//! | what | where |
//! |---|---|
//! | settings | `Enforcer::from_env`, or `Enforcer::builder` with [`service::Settings`]; all keys in [`baokit_service::settings`] |
//! | checked operations | `Enforcer::get_credentials`, `Enforcer::run` with a [`service::Operation`] |
//! | the audit as lines of JSON, or as events of `tracing` | [`service::JsonLines`], [`service::TracingSink`], [`service::EnforcerBuilder::sink`] |
//! | grants and used proofs that processes share | [`service::EnforcerBuilder::shared_store`], `SECRETS_STORE` |
//! | secrets in files, and in a development's YAML | [`service::FileStrategy`], [`service::YamlStrategy`] |
//! | other providers | [`service::EnforcerBuilder::provider`] |
//! | end points of the Secrets API | [`service::api`] |
//!
//! # Errors
//!
//! Each method names the codes that are its own. Besides, every request may end with one of these:
//!
//! - before anything is sent: a URI that is none ([`Code::InvalidUri`] and the codes after it), another provider's
//!   ([`Code::UnsupportedEngine`]), or one of a mount that is not allowed ([`Code::TenantMountMismatch`]);
//!   [`Code::ClientClosed`];
//! - as OpenBao answers: [`Code::AuthenticationFailed`], [`Code::PermissionDenied`], [`Code::MountNotFound`],
//!   [`Code::RequestRejected`], [`Code::RateLimited`], [`Code::ServerError`];
//! - where no node serves: [`Code::ServerUnreachable`], [`Code::TlsFailed`], [`Code::ServerSealed`],
//!   [`Code::ServerNotInitialized`], [`Code::NoLeader`], [`Code::ConnectionLost`], [`Code::DeadlineExceeded`];
//! - where no node could show what this client has seen of the secret: [`Code::StaleRead`];
//! - where what answers is not OpenBao, or a proxy interferes: [`Code::MalformedAnswer`], [`Code::AnswerTooLarge`],
//!   [`Code::RedirectRefused`], [`Code::PathRewritten`];
//! - of a change that was sent and not answered: [`Code::Indeterminate`].
//!
//! [`Code`] has all of them, with their texts, HTTP statuses, and whether the same call may succeed later.
//!
//! # Sources
//!
//! An end point, such as `GET mount/data/path`, is named as OpenBao's API documents it, without the `/v1/` before it;
//! `LIST` and `SCAN` are sent as `GET` with `list=true` and `scan=true`. Times that the server tells are texts as in
//! RFC 3339; patches are those of RFC 7396.
//!
//! # Logs
//!
//! Logs go to `tracing` (or `log`, where no subscriber is set): warnings about settings, and at
//! debug level one event for each request. Neither ever holds a token, a header or a body.

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!("baokit needs one of its features `ring` and `aws-lc-rs`, for TLS");

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "service")]
pub mod service;

mod builder;
mod client;
mod host;
mod kv2;
mod manage;
mod pages;
mod rotate;
mod tls;
mod transfer;
mod watch;

pub use baokit_core::config::{
    CacheConfig, ClientCertificate, Credential, JwtSource, MAX_CREDENTIAL, MAX_NODES, Origin, Pem, Scheme, Settings,
    SettingsBuilder, Tls, Warning, WarningCode,
};
pub use baokit_core::error::{Code, Error, Family, Result};
pub use baokit_core::sys;
pub use baokit_core::uri::tenant::TenantGuard;
pub use baokit_core::uri::{ParseOptions, PointerTarget, Provider, SecretPointer, SecretPrefix, SecretRef, SecretUri};
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
#[cfg(feature = "service")]
pub use service::{Caller, Enforcer, SecretsApi};
pub use watch::Watch;
