//! What clients did and were told, in the order of their ends, and what the cluster holds when all is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use baokit::Code;

/// One operation of one client, from its start to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Whose memory it draws on: clones of a client have one.
    pub client: usize,
    /// The secret.
    pub path: String,
    /// What was asked.
    pub kind: Kind,
    /// When it began.
    pub start: Duration,
    /// When it was over.
    pub end: Duration,
    /// What the client was told.
    pub outcome: Outcome,
}

/// What was asked. Every value is written by one operation only.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A write with a check-and-set parameter.
    Cas(u64, String),
    /// A write by URI, which reads first and starts over where another came first.
    Write(String),
    /// A rotation, which reads first and gives up where another came first.
    Rotate(String),
    /// A recorded rotation, which is resumed by its operation id where it was cut off.
    Recorded(String),
    /// A read that must show this version or a later one.
    Read(u64),
}

impl Kind {
    /// The value that it writes.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Cas(_, value) | Self::Write(value) | Self::Rotate(value) | Self::Recorded(value) => Some(value),
            Self::Read(_) => None,
        }
    }
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// This version was made.
    Wrote(u64),
    /// This version holds this value.
    Read(u64, String),
    /// There is no such secret.
    Absent,
    /// An error, and what it says.
    Failed(Code, String),
}

impl Outcome {
    /// The version that the client has seen to be there.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        match self {
            Self::Wrote(version) | Self::Read(version, _) => Some(*version),
            Self::Absent | Self::Failed(..) => None,
        }
    }
}

/// The versions of every secret, as they are at the end.
pub type Truth = BTreeMap<String, BTreeMap<u64, String>>;

/// Takes operations down while they happen.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    operations: Mutex<Vec<Operation>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { start: Instant::now(), operations: Mutex::default() }
    }
}

impl Recorder {
    /// The moment by the clock of the history.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// An operation is over.
    pub fn add(&self, client: usize, path: &str, kind: Kind, start: Duration, outcome: Outcome) {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that they stand in the order of their ends.
        let end = self.now();
        operations.push(Operation { client, path: path.to_owned(), kind, start, end, outcome });
    }

    /// The moment of the first write of this client, or of any, that was acknowledged after that one.
    #[must_use]
    pub fn first_write_after(&self, moment: Duration, client: Option<usize>) -> Option<Duration> {
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let from = operations.partition_point(|operation| operation.end <= moment);
        let mut later = operations.iter().skip(from);
        let found = later.find(|operation| {
            matches!(operation.outcome, Outcome::Wrote(_)) && client.is_none_or(|client| client == operation.client)
        });
        found.map(|operation| operation.end)
    }

    /// All that happened.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
