//! Policy enforcement and the Secrets API, over [`baokit_core`] and as pure as it: no clock, no randomness, no
//! socket, no file, no environment variable. A host brings them, so that Rust, Python and the edge enforce one set
//! of rules.
//!
//! Nobody reaches a secret without tenant, token, scope and policy saying yes, and every decision is on record.
//!
//! ```text
//! parse → tenant guard → authentication → audience → scope → replay → PDP → provider → audit
//! ```
//!
//! | room | what it is for |
//! |---|---|
//! | [`settings`] | what is enforced, from any source of keys and values |
//! | [`purpose`] | what a caller wants to do, and the scope it takes |
//! | [`resource`] | what a request is about, once the tenant guard has admitted it |
//! | [`operation`] | what can be done with it, and what comes of it |
//! | [`caller`] | who asks, as a token or the host says |
//! | [`bearer`] | access tokens, proofs of possession and client certificates |
//! | [`policy`] | the PDP, grants and replay, and the store they are kept in |
//! | [`audit`] | events, metrics, and where they go |
//! | [`enforcer`] | the order of the checks, and the one way to a provider |
//! | [`api`] | the Secrets API: an HTTP-shaped request in, an HTTP-shaped answer out |
//! | [`providers`] | what a host registers for providers other than OpenBao |
//! | [`shared`] | what crosses threads on hosts that have them |
//! | [`error`] | every code that is not core's |

pub mod api;
pub mod audit;
pub mod bearer;
pub mod caller;
pub mod enforcer;
pub mod error;
pub mod operation;
pub mod policy;
pub mod providers;
pub mod purpose;
pub mod resource;
pub mod settings;
pub mod shared;

mod kv2;
mod strategy;

pub use api::SecretsApi;
pub use caller::Caller;
pub use enforcer::{Enforcer, Permit, Who};
pub use error::{Code, Error, Result};
pub use operation::{Operation, Outcome};
pub use settings::Settings;
