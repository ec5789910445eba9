//! The sans-IO core of baokit, a client for OpenBao's secrets.
//!
//! Everything that decides is here and does no input or output; everything that moves bytes is a
//! thin host around it. There is no clock, no randomness, no socket, no environment variable and no
//! async runtime in this crate: a [`Host`] brings them, and [`Client`] is the same on all hosts.
//!
//! Programs import a face of it: the crate `baokit` on reqwest and tokio, or the packages of the
//! same name for other languages.
//!
//! # How a request walks through it
//!
//! ```text
//! text → uri → tenant guard → operation → call → exchange → (host: send, sleep) → exchange → call → Secret → expose
//! ```
//!
//! | room | what it is for |
//! |---|---|
//! | [`uri`] | secret URIs and pointers, their canonical form, and the guard of the tenant's mounts |
//! | [`config`] | settings, from any source of keys and values |
//! | [`http`] | requests, answers and failures as plain data |
//! | `call` | one exchange with OpenBao as data: what is asked, and how its answer is read |
//! | `exchange` | the machine that carries out one call: token, node, retry, deadline |
//! | `drive` | the host trait, and the one driver |
//! | `operation` | what a user asks for: read, write, patch, rotate, delete, metadata, lists; what an operator does |
//! | [`sys`] | what the operator's calls take and answer |
//! | `session` | what operations share: the token, the nodes' health, what was seen, what was read, who is logging in |
//! | `rules` | the rules of the machine by name, for the simulator to leave one out |
//! | `hash` | the one hash function: no randomness, the same everywhere |
//! | `secret` | values that wipe themselves and leave only through `expose` |
//! | [`error`] | every error code, in one table |

pub mod config;
pub mod error;
pub mod http;
pub mod uri;

mod call;
mod drive;
mod exchange;
mod hash;
mod operation;
mod rules;
mod secret;
mod session;

/// What the operator's calls take and answer; see [`Sys`].
pub mod sys {
    pub use crate::call::sys::app_role::{Role, SecretId};
    pub use crate::call::sys::leases::{Lease, LeaseInfo};
    pub use crate::call::sys::mounts::{Mount, MountConfig};
    pub use crate::call::sys::raft::{
        AutopilotConfiguration, AutopilotServer, AutopilotState, Join, RaftConfiguration, RaftServer,
    };
    pub use crate::call::sys::wrapping::{Wrapped, WrappingInfo};
    pub use crate::call::sys::{HaNode, Health, Initialization, InstalledVersion, Leader, SealStatus};
    pub use crate::operation::sys::{AppRole, Raft};
}

pub use call::auth::{Renewal, TokenInfo};
pub use call::kv2::config::Kv2Config;
pub use call::kv2::list::Entry;
pub use call::kv2::{Version, Versions, Written};
pub use call::metadata::{Metadata, MetadataChange};
pub use config::Settings;
pub use drive::{Host, Notice, within};
pub use error::{Code, Error, Family, Result};
pub use operation::sys::{Reply, Sys};
pub use operation::{
    Apply, ApplyError, Change, Client, Copied, Generator, Pages, ReadOptions, Rotated, Rotation, Scan, Search, Watch,
};
#[cfg(feature = "broken-rules")]
pub use rules::Rule;
pub use secret::{MAX_DEPTH, Secret, SecretValue, to_json};
pub use session::Now;
#[cfg(feature = "cache")]
pub use session::cache::{CacheMetrics, HIT_AGE_BOUNDS, Partition};
pub use uri::SecretUri;
