//! Everything that clients did: each operation with its start, end and result, each request that went
//! out for it, and what is wrong beyond doubt while it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// A request that a client sent, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SendId(pub(crate) usize);

/// An operation, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpId(pub(crate) usize);

/// A client from its making to its end: one that was made anew after a crash is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientId(pub(crate) usize);

/// What an operation asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Read,
    /// One version.
    ReadPinned(u64),
    /// By URI, the whole secret.
    Write,
    /// By URI, one key of it.
    WriteFragment,
    /// By mount and path.
    Put {
        cas: Option<u64>,
    },
    Rotate,
    /// The newest version.
    Delete,
    DeleteVersions(Vec<u64>),
    Versions,
    LookupSelf,
}

impl Kind {
    /// Whether it makes a version.
    pub(crate) fn writes(&self) -> bool {
        matches!(self, Self::Write | Self::WriteFragment | Self::Put { .. } | Self::Rotate)
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Running,
    /// Its caller dropped it, or crashed.
    Cut,
    Read {
        version: u64,
        value: Value,
    },
    Written {
        version: u64,
    },
    Versions {
        current: u64,
    },
    Done,
    /// With this code and text.
    Failed(&'static str, String),
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) client: ClientId,
    pub(crate) kind: Kind,
    pub(crate) key: String,
    /// What it writes contains this text, and nothing else does.
    pub(crate) mark: String,
    pub(crate) start: Duration,
    pub(crate) end: Option<Duration>,
    /// The lengths of the log at these moments.
    pub(crate) start_length: usize,
    pub(crate) end_length: usize,
    /// How long it may take.
    pub(crate) limit: Duration,
    /// Whether it ran after everything was mended, and how many reads of the same key had done so before.
    pub(crate) fresh: Option<usize>,
    pub(crate) outcome: Outcome,
}

impl Operation {
    /// The code of its error.
    pub(crate) fn code(&self) -> Option<&'static str> {
        match self.outcome {
            Outcome::Failed(code, _) => Some(code),
            _ => None,
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) op: Option<OpId>,
    pub(crate) cas: Option<u64>,
    /// Whether it is about the token: a log-in, a renewal.
    pub(crate) of_token: bool,
    /// The node that it names; none where that is the load balancer.
    pub(crate) node: Option<usize>,
}

/// What must never happen, by name; see [`crate::checker`] for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    AcknowledgedWriteLost,
    VersionMadeTwice,
    StaleRead,
    StaleAfterDelete,
    BehindIndex,
    UncommittedRead,
    ServedAnother,
    FalseConflict,
    FailedButExecuted,
    DeletedTwice,
    LateDelete,
    FalseRefusal,
    TwoLogIns,
    NeedlessLogIn,
    StepAfterDone,
    LateEnd,
    WaitPastDeadline,
    NoAgreement,
    NeverSettles,
}

/// One breach.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) text: String,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) operations: Vec<Operation>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) violations: Vec<Violation>,
    /// For which partition an operation read that a cache may have answered, by the operation's number.
    pub(crate) partitions: BTreeMap<usize, u64>,
}

impl History {
    pub(crate) fn begin(&mut self, operation: Operation) -> OpId {
        self.operations.push(operation);
        OpId(self.operations.len() - 1)
    }

    pub(crate) fn get(&self, id: OpId) -> Option<&Operation> {
        self.operations.get(id.0)
    }

    /// The first end stays.
    pub(crate) fn end(&mut self, id: OpId, at: Duration, length: usize, outcome: Outcome) {
        if let Some(operation) = self.operations.get_mut(id.0).filter(|operation| operation.end.is_none()) {
            operation.end = Some(at);
            operation.end_length = length;
            operation.outcome = outcome;
        }
    }

    pub(crate) fn send(&mut self, op: Option<OpId>, cas: Option<u64>, of_token: bool, node: Option<usize>) -> SendId {
        self.sent.push(Sent { op, cas, of_token, node });
        SendId(self.sent.len() - 1)
    }

    /// The operation that a request went out for.
    pub(crate) fn operation_of(&self, send: SendId) -> Option<OpId> {
        self.sent.get(send.0)?.op
    }

    pub(crate) fn violate(&mut self, invariant: Invariant, text: String) {
        self.violations.push(Violation { invariant, text });
    }
}
