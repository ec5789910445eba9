//! Errors: core's error as a plain record, in one case for each family.

use std::fmt;

use baokit::{Code, Error, Family};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, BaokitError>;

/// What core says of an error, in its own words.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Failure {
    /// The code's row in core's table.
    pub code: CodeInfo,
    /// The key, path or host at fault, where one is known.
    pub subject: Option<String>,
    /// The node that was asked last, where one was asked.
    pub node: Option<String>,
    /// How many requests were sent.
    pub tries: u32,
    /// All of it in one line, for people. It holds no value and no token.
    pub message: String,
}

/// A failed operation, by who has to act.
#[allow(missing_docs, reason = "the one field of each case is what happened")]
#[derive(Clone, Debug, uniffi::Error)]
#[uniffi::export(Display)]
pub enum BaokitError {
    /// The program that called.
    Caller { failure: Failure },
    /// Whoever grants rights.
    Policy { failure: Failure },
    /// Whoever runs the server.
    Server { failure: Failure },
    /// The network between.
    Transport { failure: Failure },
    /// baokit itself.
    Internal { failure: Failure },
}

impl From<Error> for BaokitError {
    fn from(error: Error) -> Self {
        let code = error.code();
        let failure = Failure {
            code: code.into(),
            subject: error.subject().map(str::to_owned),
            node: error.node().map(str::to_owned),
            tries: error.tries(),
            message: error.to_string(),
        };
        match code.family() {
            Family::Caller => Self::Caller { failure },
            Family::Policy => Self::Policy { failure },
            Family::Server => Self::Server { failure },
            Family::Transport => Self::Transport { failure },
            // Family is open to core, so the compiler asks for this; tests/crossing.rs holds the rest of it
            // to the table.
            _ => Self::Internal { failure },
        }
    }
}

impl fmt::Display for BaokitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Caller { failure }
        | Self::Policy { failure }
        | Self::Server { failure }
        | Self::Transport { failure }
        | Self::Internal { failure }) = self;
        f.write_str(&failure.message)
    }
}

impl std::error::Error for BaokitError {}

/// One row of core's table of codes.
#[derive(Clone, Debug, uniffi::Record)]
pub struct CodeInfo {
    /// The stable code, such as `SECRET_NOT_FOUND`.
    pub code: String,
    /// Who has to act: `caller`, `policy`, `server`, `transport` or `bug`.
    pub family: String,
    /// The HTTP status with which the Secrets API reports it.
    pub http_status: u16,
    /// Whether the same call may succeed later without anybody changing anything.
    pub retryable: bool,
    /// What to do next, in one line.
    pub advice: String,
}

impl From<Code> for CodeInfo {
    fn from(code: Code) -> Self {
        Self {
            code: code.as_str().to_owned(),
            family: code.family().as_str().to_owned(),
            http_status: code.http_status(),
            retryable: code.is_retryable(),
            advice: code.advice().to_owned(),
        }
    }
}

/// Every code that there is, in the order of core's table.
#[uniffi::export]
pub fn codes() -> Vec<CodeInfo> {
    Code::ALL.iter().copied().map(CodeInfo::from).collect()
}
