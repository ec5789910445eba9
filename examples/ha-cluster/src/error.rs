//! What went wrong, and what to do next: every error of this crate has both halves.

use std::fmt;
use std::io;
use std::path::Path;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure in words: what failed, on which node or file, and what to do next. Never a secret.
#[derive(Clone, Debug)]
pub struct Error {
    what: String,
    next: String,
}

impl Error {
    /// Both halves: what failed, and what to do next.
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }

    /// A file or folder that could not be used; the reason is the system's.
    pub(crate) fn file(action: &str, path: &Path, error: &io::Error) -> Self {
        let next = match error.kind() {
            io::ErrorKind::PermissionDenied => "check who owns it, and whether you may write there",
            io::ErrorKind::StorageFull => "free some space, then run the command again",
            io::ErrorKind::NotFound => {
                "see whether it, or a folder above it, was moved or removed, then run the command again"
            }
            _ => "mend that, then run the command again",
        };
        Self::new(format!("could not {action} {}: {error}", path.display()), next)
    }

    /// The first half.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The same failure, with what was being done written before it.
    pub(crate) fn during(self, what: impl fmt::Display) -> Self {
        Self { what: format!("{what}: {}", self.what), next: self.next }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  what to do: {}", self.what, self.next)
    }
}

impl std::error::Error for Error {}

/// baokit's errors name the node and hold their advice after the last semicolon.
impl From<baokit::Error> for Error {
    fn from(error: baokit::Error) -> Self {
        let text = error.to_string();
        let what = text.strip_suffix(error.code().advice()).unwrap_or(&text).trim_end_matches("; ");
        Self::new(what, error.code().advice())
    }
}
