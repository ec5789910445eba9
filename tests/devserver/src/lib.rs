//! An OpenBao-compatible server in memory, to test your own programs with.
//!
//! `DevServer` listens on 127.0.0.1 and a free port and answers as `bao server -dev` does: KV version
//! 2 at `secret/` with versions, check-and-set, soft deletion, custom metadata and lists; tokens and
//! AppRole with times to live on a clock that tests can move; path policies, so that a 403 is real;
//! response wrapping; health, seal, mounts and policies. It starts in a millisecond and needs no files.
//! The same requests are run against it and against the real server, and the answers are compared; see
//! `tests/openbao` in the repository.
//!
//! ```
//! # #[cfg(feature = "http")]
//! # fn main() -> std::io::Result<()> {
//! use baokit_devserver::DevServer;
//! use std::io::{Read, Write};
//!
//! let server = DevServer::start_blocking()?; // or DevServer::start().await
//! let mut socket = std::net::TcpStream::connect(server.address())?;
//! write!(socket, "LIST /v1/secret/metadata/app HTTP/1.1\r\nHost: dev\r\nConnection: close\r\n")?;
//! write!(socket, "X-Vault-Token: {}\r\n\r\n", server.root_token())?;
//! let mut answer = String::new();
//! socket.read_to_string(&mut answer)?;
//! assert!(answer.starts_with("HTTP/1.1 404 Not Found"), "there is nothing yet");
//! assert_eq!(server.requests()[0].target, "/v1/secret/metadata/app");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "http"))]
//! # fn main() {}
//! ```
//!
//! # Without sockets
//! [`model`] is the server as a pure value: requests and the time go in, answers come out. It does no
//! input or output and compiles for wasm; build it alone with `default-features = false`.
//!
//! # What it does not model
//! - Namespaces: there is only the root; any other is answered as one that does not exist.
//! - Clusters: one active node, no Raft, no `X-Vault-Index`.
//! - Other engines and auth methods, identity, leases, audit, quotas, batch tokens, token roles, address
//!   bindings, the end points for single settings of an AppRole, parameter constraints in policies, an
//!   upgrade from KV 1 to 2, the keys of the seal.
//! - Storage limits, until [`model::Model::limit_entry`] sets one: Raft has 1 MiB, `bao server -dev` none.
//!
//! What it does not know it answers as OpenBao answers an unknown route or plugin. Where it knows an end
//! point and not a parameter that would change what happens, the answer is a 400 that says so: never a
//! success that did nothing.
//!
//! It protects nothing: ids come from a seed, values lie in memory in the clear.

mod json;
pub mod model;

#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
pub use http::{Builder, DevServer, Logged};
