//! The password of a PostgreSQL role, rotated while clients go on connecting.
//!
//! A role has one password, and the moment in which it changes is never the one in which all clients learn the new
//! one. So there are two roles, `app_a` and `app_b`, with the rights of one owner, and the secret names the one that
//! is in use: `{"user": "app_a", "password": "…"}`. A rotation gives the *other* role a new password, logs in with it,
//! and then switches the secret. The role of before keeps its password until the next rotation, and so whoever still
//! has the old secret is let in.
//!
//! | file | what it is about |
//! |---|---|
//! | `roles` | the scheme: what the next secret is, and how it is applied, tested and undone; take this one along |
//! | `pool` | clients that read the secret and connect, and count |
//! | `server` | a PostgreSQL server of our own, in a folder that goes with it |
//! | `halt` | a process that dies in the middle of a rotation |

mod halt;
mod pool;
mod roles;
mod server;

pub use halt::{Halt, Step};
pub use pool::{Counts, Pool};
pub use roles::{TwoRoles, next_secret};
pub use server::Postgres;

/// What ends this example.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// A result with it.
pub type Result<T, E = Error> = std::result::Result<T, E>;
