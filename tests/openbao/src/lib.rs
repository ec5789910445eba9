//! The real OpenBao server for tests: finds the binary that `tests/openbao/fetch` put in place, starts
//! it on a free port of 127.0.0.1, waits until it answers, and ends it when the [`Server`] is dropped.
//!
//! ```no_run
//! use baokit_openbao::{Server, Version};
//!
//! let server = Server::start(Version::V2_7_2)?;
//! let _settings = [("OPENBAO_URL", server.url()), ("OPENBAO_TOKEN", server.root_token())];
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The environment variable `BAO_BIN` names another binary, used for every version.

mod server;
pub mod wire;

pub use server::{Server, Unsealing};

use std::io;
use std::path::{Path, PathBuf};

/// The versions that are tested: the one in use and the last before the consistency headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// 2.7.2
    V2_7_2,
    /// 2.6.2
    V2_6_2,
}

impl Version {
    /// All of them.
    pub const ALL: [Version; 2] = [Version::V2_7_2, Version::V2_6_2];

    /// As text: `2.7.2`.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V2_7_2 => "2.7.2",
            Version::V2_6_2 => "2.6.2",
        }
    }

    /// The binary, or an error that says how to get it.
    pub fn binary(self) -> io::Result<PathBuf> {
        if let Some(named) = std::env::var_os("BAO_BIN").filter(|named| !named.is_empty()) {
            return Ok(PathBuf::from(named));
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".servers").join(self.as_str()).join("bao");
        if path.is_file() {
            return Ok(path);
        }
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("the OpenBao {} server is not there: run tests/openbao/fetch first", self.as_str()),
        ))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
