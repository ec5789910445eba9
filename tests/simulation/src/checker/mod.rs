//! The judge: it reads the whole history and the cluster's authoritative log, and says which
//! invariants were breached.
//!
//! It trusts nothing that a client was told: what was committed, when, and by which request stands in
//! the log. Each check has a hand-made history in the tests that breaches it.

mod cache;
mod reads;
mod rotations;
pub(crate) mod timeline;
mod transfers;
mod watches;
mod writes;

use crate::cluster::{Entry, Era};
use crate::history::{History, Invariant, Kind, Operation, Violation};
use crate::network::SLACK;
use crate::world::World;
#[cfg(test)]
pub(crate) use rotations::outside;
use timeline::Timeline;

/// Every invariant: whether core is expected to keep it already, its name, and what it says. One that it
/// does not keep yet is switched off here, and nowhere else, so that the others can still be seen to
/// hold; a plan for all of them checks it nevertheless.
///
/// A false refusal is told of with `--all` only: where the other nodes are suspect, nobody is there to
/// confirm it, and a suspect one must not overrule it: a removed node goes on serving by policies that were
/// withdrawn.
const TABLE: &[(Invariant, bool, &str, &str)] = &[
    (Invariant::AcknowledgedWriteLost, true, "acknowledged-write-lost", "what was acknowledged was committed"),
    (Invariant::VersionMadeTwice, true, "version-made-twice", "one operation makes one version"),
    (Invariant::StaleRead, true, "stale-read", "no read is older than what its client has seen"),
    (Invariant::StaleAfterDelete, true, "stale-after-delete", "nor than what its client has deleted (2.7)"),
    (Invariant::BehindIndex, true, "behind-its-index", "nor than anything else that its client has seen (2.7)"),
    (Invariant::UncommittedRead, true, "uncommitted-read", "what is read was committed"),
    (Invariant::ServedAnother, true, "served-another", "what a cache serves was read for the same partition"),
    (Invariant::FalseConflict, true, "false-conflict", "a conflict is another writer's doing"),
    (Invariant::FailedButExecuted, true, "failed-but-executed", "what failed does not happen after all"),
    (Invariant::DeletedTwice, true, "deleted-twice", "one delete of the newest version deletes once"),
    (Invariant::LateDelete, true, "late-delete", "what was said to be deleted is not deleted later"),
    (
        Invariant::FalseRefusal,
        false,
        "false-refusal",
        "no refusal of a single node is believed where another can be asked",
    ),
    (Invariant::TwoLogIns, true, "two-log-ins", "a client logs in once at a time"),
    (Invariant::NeedlessLogIn, true, "needless-log-in", "and not while it has a token that nobody refused"),
    (Invariant::StepAfterDone, true, "step-after-done", "no machine is driven past its end"),
    (Invariant::LateEnd, true, "late-end", "an operation is over at its deadline"),
    (Invariant::WaitPastDeadline, true, "wait-past-deadline", "no wait reaches beyond it"),
    (Invariant::NoAgreement, true, "no-agreement", "when all is mended, every client reads what is there"),
    (Invariant::NeverSettles, true, "never-settles", "and a read that follows another is one request again"),
    (Invariant::RotatedTwice, true, "rotated-twice", "one operation id makes one version, whoever goes on with it"),
    (Invariant::IntentLast, true, "intent-last", "the intent is recorded before the version is made"),
    (Invariant::RotationLost, true, "rotation-lost", "the version that a rotation reports is there and is its own"),
    (Invariant::FalseFinish, true, "false-finish", "so is that of a rotation that is recorded as finished"),
    (Invariant::OtherValue, true, "other-value", "and it holds the value that was given"),
    (Invariant::RotationForgotten, true, "rotation-forgotten", "a rotation that is recorded can be resumed"),
    (Invariant::FalseBusy, true, "false-busy", "a rotation under way is one that is recorded"),
    (Invariant::NeverFinished, true, "never-finished", "when all is mended, every rotation comes to its end"),
    (Invariant::OutsideDiffers, true, "outside-differs", "and what is outside has the value of the secret"),
    (Invariant::CopiedOther, true, "copied-other", "a copy is of what its source held meanwhile"),
    (Invariant::Overwrote, true, "overwrote", "a copy that may not replace what is there does not"),
    (Invariant::MoveLost, true, "move-lost", "a move takes away nothing that it has not copied"),
    (Invariant::MoveKept, true, "move-kept", "and where it is done, its source is gone"),
    (Invariant::WentBack, true, "went-back", "a watcher is told versions in their order, each once"),
    (Invariant::GaveUp, true, "gave-up", "and goes on while no node serves"),
    (Invariant::NeverTold, true, "never-told", "and when all is mended, it is told the newest in time"),
    (Invariant::TooManyLooks, true, "too-many-looks", "and all who watch a key share one look for each interval"),
];

impl Invariant {
    /// Its name, as reports and the command line use it.
    pub(crate) fn as_str(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).map_or("unknown", |row| row.2)
    }

    fn is_expected(self) -> bool {
        TABLE.iter().any(|row| row.0 == self && row.1)
    }
}

/// The invariants by name, with what each says.
pub(crate) fn table() -> impl Iterator<Item = (&'static str, bool, &'static str)> {
    TABLE.iter().map(|(_, checked, name, text)| (*name, *checked, *text))
}

/// What the checks look at.
pub(crate) struct Case<'a> {
    pub(crate) era: Era,
    pub(crate) log: &'a [Entry],
    pub(crate) history: &'a History,
    pub(crate) timeline: Timeline,
}

impl<'a> Case<'a> {
    pub(crate) fn new(era: Era, log: &'a [Entry], history: &'a History) -> Self {
        Self { era, log, history, timeline: Timeline::new(log) }
    }

    /// The operations with their numbers.
    fn operations(&self) -> impl Iterator<Item = (usize, &'a Operation)> {
        self.history.operations.iter().enumerate()
    }

    /// The entries that an operation's requests made: place in the log, request, entry.
    fn made_by(&self, op: usize) -> impl Iterator<Item = (usize, usize, &'a Entry)> {
        let entries = self.log.iter().enumerate();
        entries.filter_map(move |(place, entry)| {
            let send = entry.by?;
            (self.history.operation_of(send)?.0 == op).then_some((place, send.0, entry))
        })
    }
}

/// Judges a run that is over.
pub(crate) fn check(world: &World, all: bool) -> Vec<Violation> {
    let (cluster, history) = (world.cluster.borrow(), world.history.borrow());
    let case = Case::new(cluster.era, &cluster.log, &history);
    let lives = world.lives.borrow();
    let alive = |op: &Operation| lives.get(op.client.0).is_some_and(|life| !life.dead);
    let mut found = judge(&case);
    found.extend(endings(&case, alive));
    found.extend(rotations::outside(&case, &world.outside.borrow(), &world.tally.borrow()));
    found.extend(history.violations.iter().cloned());
    found.retain(|violation| all || violation.invariant.is_expected());
    let old = reads::old_epochs(&case);
    (0..old).for_each(|_| world.note(crate::tally::Notable::OldEpoch));
    found
}

/// All that can be told from history and log.
pub(crate) fn judge(case: &Case<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    reads::check(case, &mut found);
    cache::check(case, &mut found);
    writes::check(case, &mut found);
    rotations::check(case, &mut found);
    transfers::check(case, &mut found);
    watches::check(case, &mut found);
    refusals(case, &mut found);
    agreement(case, &mut found);
    found
}

fn violation(invariant: Invariant, op: usize, operation: &Operation, text: impl AsRef<str>) -> Violation {
    let Operation { client, kind, key, outcome, .. } = operation;
    let outcome = crate::world::describe(outcome);
    let text = format!("op {op} of client {} ({kind:?} {key}: {outcome}): {}", client.0, text.as_ref());
    Violation { invariant, text }
}

/// Policy and mount are there all the time: who says otherwise has not heard of them yet. A client that
/// knows several nodes has another one confirm it; behind one address there is nobody to ask, and two
/// standbys may both be late.
fn refusals(case: &Case<'_>, found: &mut Vec<Violation>) {
    for (id, op) in case.operations() {
        let of_op = case.history.sent.iter().filter(|sent| sent.op.is_some_and(|op| op.0 == id) && !sent.of_token);
        let mut nodes: Vec<_> = of_op.map(|sent| sent.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let is_alone = matches!(nodes.as_slice(), [Some(_)]);
        if is_alone && matches!(op.code(), Some("PERMISSION_DENIED" | "MOUNT_NOT_FOUND")) {
            found.push(violation(Invariant::FalseRefusal, id, op, "policy and mount were there all the time"));
        }
        if op.code() == Some("INTERNAL") {
            found.push(violation(Invariant::StepAfterDone, id, op, "a state that should not be possible"));
        }
    }
}

/// Operations end in time, and none is forgotten.
pub(crate) fn endings(case: &Case<'_>, alive: impl Fn(&Operation) -> bool) -> Vec<Violation> {
    let late = |op: &Operation| match op.end {
        Some(end) => end > op.start.saturating_add(op.limit).saturating_add(SLACK),
        None => alive(op),
    };
    let all = case.operations().filter(|(_, op)| late(op));
    all.map(|(id, op)| {
        let text = match op.end {
            Some(end) => format!("took {} ms of {}", (end - op.start).as_millis(), op.limit.as_millis()),
            None => "never ended".to_owned(),
        };
        violation(Invariant::LateEnd, id, op, text)
    })
    .collect()
}

/// What is read after everything was mended is what is there.
fn agreement(case: &Case<'_>, found: &mut Vec<Violation>) {
    let last = case.log.len().saturating_sub(1);
    // A token that was given to a client may have been revoked for good.
    let has_token = |op: &Operation| op.code() != Some("AUTHENTICATION_FAILED");
    let is_read = |op: &Operation| op.fresh.is_some() && !matches!(op.kind, Kind::Recorded(_));
    for (id, op) in case.operations().filter(|(_, op)| is_read(op) && has_token(op)) {
        if !case.timeline.shows(case.log, &op.key, last, &op.kind, &op.outcome) {
            found.push(violation(Invariant::NoAgreement, id, op, "the cluster holds something else"));
        }
        let sent = case.history.sent.iter().filter(|sent| sent.op.is_some_and(|op| op.0 == id) && !sent.of_token);
        let count = sent.count();
        if op.fresh > Some(1) && count > 1 {
            found.push(violation(Invariant::NeverSettles, id, op, format!("it took {count} requests")));
        }
    }
}
