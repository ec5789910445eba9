//! Everything that clients did: each operation with its start, end and result, each request that went
//! out for it, and what is wrong beyond doubt while it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::effect::Record;
use crate::rotations::Recorded;

/// A request that a client sent, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SendId(pub(crate) usize);

/// An operation, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpId(pub(crate) usize);

/// A client from its making to its end: one that was made anew after a crash is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientId(pub(crate) usize);

/// A copy or a move to the operation's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) from: String,
    /// The version of the source; the newest where none is named.
    pub(crate) pin: Option<u64>,
    pub(crate) overwrite: bool,
    pub(crate) moves: bool,
}

impl Transfer {
    /// The read of the source that it begins with.
    pub(crate) fn look(&self) -> Kind {
        self.pin.map_or(Kind::Read, Kind::ReadPinned)
    }
}

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
    /// The short form: one read and one write.
    Rotate,
    /// By intent, write and end.
    Recorded(Recorded),
    /// The newest version.
    Delete,
    DeleteVersions(Vec<u64>),
    Versions,
    LookupSelf,
    Transfer(Transfer),
    /// For so long; until everything has come to rest where nothing is said.
    Watch {
        every: Duration,
        lasts: Option<Duration>,
    },
}

impl Kind {
    /// Whether it makes a version.
    pub(crate) fn writes(&self) -> bool {
        matches!(self, Self::Write | Self::WriteFragment | Self::Put { .. } | Self::Rotate | Self::Transfer(_))
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
    /// By a copy or a move: the version that was copied, the one that was there, the one that was made.
    Copied {
        source: u64,
        old: u64,
        new: u64,
    },
    /// By a recorded rotation: its operation id, what it made, and whether it was recorded.
    Rotated {
        id: String,
        old: u64,
        new: u64,
        is_recorded: bool,
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
    /// What it writes contains this text, and nothing else does but for copies of it.
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
    /// The record of a rotation that it brings.
    pub(crate) record: Option<Record>,
    /// Whether it was said to lack a right.
    pub(crate) refused: bool,
    /// What it asks for: method and target.
    pub(crate) asks: String,
    /// When it was sent, and the length of the log then.
    pub(crate) at: Duration,
    pub(crate) length: usize,
}

/// A version that a watcher was told of.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) op: OpId,
    pub(crate) version: u64,
    /// When that was written, by the log's clock.
    pub(crate) created: Duration,
    /// When the watcher had asked, and when it was told.
    pub(crate) asked: Duration,
    pub(crate) at: Duration,
    /// The length of the log when it was told.
    pub(crate) length: usize,
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
    RotatedTwice,
    IntentLast,
    RotationLost,
    FalseFinish,
    OtherValue,
    RotationForgotten,
    FalseBusy,
    NeverFinished,
    OutsideDiffers,
    CopiedOther,
    Overwrote,
    MoveLost,
    MoveKept,
    WentBack,
    GaveUp,
    NeverTold,
    TooManyLooks,
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
    /// What watchers were told, in this order.
    pub(crate) told: Vec<Told>,
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
        let (asks, at, length) = (String::new(), Duration::ZERO, 0);
        self.sent.push(Sent { op, cas, of_token, node, record: None, refused: false, asks, at, length });
        SendId(self.sent.len() - 1)
    }

    /// Adds what becomes known of a request.
    pub(crate) fn tell(&mut self, id: SendId, tell: impl FnOnce(&mut Sent)) {
        if let Some(sent) = self.sent.get_mut(id.0) {
            tell(sent);
        }
    }

    /// The operation that a request went out for.
    pub(crate) fn operation_of(&self, send: SendId) -> Option<OpId> {
        self.sent.get(send.0)?.op
    }

    /// The recorded rotations of a key, by their calls.
    pub(crate) fn rotations<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (&'a Recorded, &'a Outcome)> {
        let of_key = self.operations.iter().filter(move |op| op.key == key);
        of_key.filter_map(|op| match &op.kind {
            Kind::Recorded(recorded) => Some((recorded, &op.outcome)),
            _ => None,
        })
    }

    pub(crate) fn violate(&mut self, invariant: Invariant, text: String) {
        self.violations.push(Violation { invariant, text });
    }
}
