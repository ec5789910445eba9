//! The vectors that every face of baokit is held to, and the server that plays them.
//!
//! README.md beside the files says what is in them and how a face runs them. [`Suite`] is one face's
//! run; [`control`] puts it behind a socket.

mod cases;
pub mod control;
mod flow;
mod http;
mod judge;
mod play;
mod script;
mod suite;

pub use suite::{Misuse, Suite};
