//! The judge: it reads the whole history and what the cluster holds at the end, and says what must not be.
//!
//! It trusts no client: which value became which version stands in the cluster. Every secret has one writer, and every
//! value is written by one operation, which is what makes each rule below a plain comparison. Each has a hand-made
//! history in the tests that breaks it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use baokit::Code;

use crate::history::{Kind, Operation, Outcome, Truth};

/// How much later than its deadline an operation may be seen to end, on a machine that is busy with three nodes.
const SLACK: Duration = Duration::from_secs(3);

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// What was acknowledged is there.
    Lost,
    /// One operation makes one version, and two make two.
    Duplicate,
    /// No read is older than what the same client has seen, nor than what it was told to expect.
    Stale,
    /// What is read was written.
    Unwritten,
    /// Where there is one writer, nothing conflicts but its own earlier write that was Indeterminate.
    FalseConflict,
    /// What failed, and is not Indeterminate, did not happen.
    FailedButExecuted,
    /// Rights and mounts are there all the time, and no state is impossible.
    FalseRefusal,
    /// An operation is over at its deadline.
    Late,
}

/// One breach.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Of which rule.
    pub rule: Rule,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

/// What the history says in numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// What must not be.
    pub violations: Vec<Violation>,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Reads that were answered.
    pub read: usize,
    /// Writes whose outcome the client could not know, and how many of those are there.
    pub indeterminate: (usize, usize),
    /// Conflicts with the writer's own earlier write that was Indeterminate.
    pub own_conflicts: usize,
    /// The other errors, by code.
    pub errors: BTreeMap<&'static str, usize>,
}

impl Verdict {
    fn add(&mut self, rule: Rule, operation: &Operation, text: impl fmt::Display) {
        let Operation { client, path, kind, start, end, outcome } = operation;
        let (start, end) = (start.as_secs_f64(), end.as_secs_f64());
        let text = format!("{path}, client {client}, {start:.4} to {end:.4} s, {kind:?}: {outcome:?}; {text}");
        self.violations.push(Violation { rule, text });
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unknown, there) = self.indeterminate;
        write!(f, "{} writes and {} reads answered, {unknown} writes Indeterminate", self.acknowledged, self.read)?;
        write!(f, " ({there} of them there), {} conflicts with these", self.own_conflicts)?;
        for (code, count) in &self.errors {
            write!(f, ", {count} {code}")?;
        }
        Ok(())
    }
}

/// Judges a history that is over. `deadline` is that of every operation.
#[must_use]
pub fn check(history: &[Operation], truth: &Truth, deadline: Duration) -> Verdict {
    let mut verdict = Verdict::default();
    let places = Places::new(truth);
    for operation in history {
        count(&mut verdict, operation, &places);
        if operation.end.saturating_sub(operation.start) > deadline + SLACK {
            verdict.add(Rule::Late, operation, "it was over long after its deadline");
        }
    }
    writes(&mut verdict, history, &places);
    conflicts(&mut verdict, history, &places);
    reads(&mut verdict, history, &places);
    verdict
}

/// Where each value is, by secret.
struct Places<'a> {
    truth: &'a Truth,
    versions: BTreeMap<&'a str, BTreeMap<&'a str, Vec<u64>>>,
}

impl<'a> Places<'a> {
    fn new(truth: &'a Truth) -> Self {
        let mut versions: BTreeMap<&str, BTreeMap<&str, Vec<u64>>> = BTreeMap::new();
        for (path, held) in truth {
            for (version, value) in held {
                versions.entry(path).or_default().entry(value).or_default().push(*version);
            }
        }
        Self { truth, versions }
    }

    fn of(&self, path: &str, value: &str) -> &[u64] {
        self.versions.get(path).and_then(|values| values.get(value)).map_or(&[], Vec::as_slice)
    }

    fn holds(&self, path: &str, version: u64, value: &str) -> bool {
        self.truth.get(path).and_then(|held| held.get(&version)).is_some_and(|held| held == value)
    }
}

fn count(verdict: &mut Verdict, operation: &Operation, places: &Places<'_>) {
    let is_there = operation.kind.value().is_some_and(|value| !places.of(&operation.path, value).is_empty());
    match &operation.outcome {
        Outcome::Wrote(_) => verdict.acknowledged += 1,
        Outcome::Read(..) | Outcome::Absent => verdict.read += 1,
        Outcome::Failed(Code::Indeterminate, _) => {
            verdict.indeterminate.0 += 1;
            verdict.indeterminate.1 += usize::from(is_there);
        }
        Outcome::Failed(code, _) => *verdict.errors.entry(code.as_str()).or_default() += 1,
    }
    let Outcome::Failed(code, _) = &operation.outcome else { return };
    let refusals = [Code::PermissionDenied, Code::AuthenticationFailed, Code::MountNotFound, Code::RequestRejected];
    if refusals.contains(code) || matches!(code, Code::Internal | Code::MalformedAnswer | Code::PathRewritten) {
        verdict.add(Rule::FalseRefusal, operation, "nothing was changed that would deserve it");
    }
    if is_there && *code != Code::Indeterminate && *code != Code::CasConflict {
        verdict.add(Rule::FailedButExecuted, operation, "its value is there");
    }
}

fn writes(verdict: &mut Verdict, history: &[Operation], places: &Places<'_>) {
    let mut made = BTreeSet::new();
    for operation in history {
        let Some(value) = operation.kind.value() else { continue };
        let path = operation.path.as_str();
        let versions = places.of(path, value);
        if versions.len() > 1 {
            verdict.add(Rule::Duplicate, operation, format_args!("its value is in the versions {versions:?}"));
        }
        let Outcome::Wrote(version) = operation.outcome else { continue };
        if !places.holds(path, version, value) {
            let held = places.truth.get(path).and_then(|held| held.get(&version));
            verdict.add(Rule::Lost, operation, format_args!("that version holds {held:?}"));
        }
        if !made.insert((path, version)) {
            verdict.add(Rule::Duplicate, operation, "another write was told the same version");
        }
    }
}

fn conflicts(verdict: &mut Verdict, history: &[Operation], places: &Places<'_>) {
    // What a writer did not know of its own earlier writes: the only thing that it may conflict with.
    let mut unknown: BTreeMap<&str, Vec<(&Operation, u64)>> = BTreeMap::new();
    for operation in history {
        if let (Outcome::Failed(Code::Indeterminate, _), Some(value)) = (&operation.outcome, operation.kind.value()) {
            let versions = places.of(&operation.path, value);
            unknown.entry(&operation.path).or_default().extend(versions.iter().map(|version| (operation, *version)));
        }
    }
    for operation in history {
        let (Outcome::Failed(Code::CasConflict, _), Some(value)) = (&operation.outcome, operation.kind.value()) else {
            continue;
        };
        let earlier = unknown.get(operation.path.as_str()).into_iter().flatten();
        let mut earlier = earlier.filter(|(other, _)| other.start < operation.start);
        if !places.of(&operation.path, value).is_empty() {
            verdict.add(Rule::FalseConflict, operation, "its own value is there");
        } else if earlier.any(|(_, version)| !matches!(operation.kind, Kind::Cas(cas, _) if *version != cas + 1)) {
            verdict.own_conflicts += 1;
        } else {
            verdict.add(Rule::FalseConflict, operation, "nobody else writes this secret");
        }
    }
}

/// From when on a client has seen a version, and by which operation.
type Step = (Duration, u64, usize);

fn reads(verdict: &mut Verdict, history: &[Operation], places: &Places<'_>) {
    // For each client and secret: from when on it has seen which version, as rising steps.
    let mut seen: BTreeMap<(usize, &str), Vec<Step>> = BTreeMap::new();
    for (at, operation) in history.iter().enumerate() {
        let Some(version) = operation.outcome.version() else { continue };
        let steps = seen.entry((operation.client, &operation.path)).or_default();
        if steps.last().is_none_or(|(_, highest, _)| version > *highest) {
            steps.push((operation.end, version, at));
        }
    }
    for operation in history {
        let Kind::Read(told) = operation.kind else { continue };
        let version = match &operation.outcome {
            Outcome::Read(version, value) => {
                if !places.holds(&operation.path, *version, value) {
                    verdict.add(Rule::Unwritten, operation, "that version does not hold that");
                }
                *version
            }
            Outcome::Absent => 0,
            _ => continue,
        };
        let steps = seen.get(&(operation.client, operation.path.as_str())).map_or(&[][..], Vec::as_slice);
        let known =
            steps.partition_point(|(end, ..)| *end < operation.start).checked_sub(1).and_then(|at| steps.get(at));
        if let Some((end, highest, at)) = known.filter(|(_, highest, _)| version < *highest) {
            let text = format!("at {:.4} s it had seen version {highest} (operation {at})", end.as_secs_f64());
            verdict.add(Rule::Stale, operation, text);
        } else if version < told {
            verdict.add(Rule::Stale, operation, "it was told to expect more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice::from_ref;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn operation(client: usize, times: (u64, u64), kind: Kind, outcome: Outcome) -> Operation {
        let (start, end) = (Duration::from_millis(times.0), Duration::from_millis(times.1));
        Operation { client, path: "p".to_owned(), kind, start, end, outcome }
    }

    fn cas(times: (u64, u64), cas: u64, value: &str, outcome: Outcome) -> Operation {
        operation(1, times, Kind::Cas(cas, value.to_owned()), outcome)
    }

    fn read(client: usize, times: (u64, u64), outcome: Outcome) -> Operation {
        operation(client, times, Kind::Read(0), outcome)
    }

    fn found(version: u64, value: &str) -> Outcome {
        Outcome::Read(version, value.to_owned())
    }

    fn failed(code: Code) -> Outcome {
        Outcome::Failed(code, String::new())
    }

    /// The rules that a history breaks, where the cluster holds these values as versions 1, 2, ….
    fn broken(history: &[Operation], held: &[&str]) -> Vec<Rule> {
        let held = (1..).zip(held.iter().map(|value| (*value).to_owned())).collect();
        let verdict = check(history, &Truth::from([("p".to_owned(), held)]), DEADLINE);
        verdict.violations.iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn what_is_right_is_not_called_wrong() {
        let history = [
            cas((0, 10), 0, "a", Outcome::Wrote(1)),
            read(1, (11, 12), found(1, "a")),
            // Another client has seen nothing yet.
            read(2, (11, 13), Outcome::Absent),
            // Begun before the write was acknowledged.
            read(1, (15, 30), found(1, "a")),
            cas((14, 20), 1, "b", Outcome::Wrote(2)),
            cas((31, 40), 2, "c", failed(Code::Indeterminate)),
            // The earlier write was carried out late.
            cas((41, 50), 2, "d", failed(Code::CasConflict)),
            cas((51, 60), 3, "e", failed(Code::NoLeader)),
            operation(1, (61, 70), Kind::Rotate("f".to_owned()), Outcome::Wrote(4)),
        ];
        let held = (1..).zip(["a", "b", "c", "f"].map(str::to_owned)).collect();
        let verdict = check(&history, &Truth::from([("p".to_owned(), held)]), DEADLINE);
        assert_eq!(verdict.violations, []);
        assert_eq!((verdict.acknowledged, verdict.read, verdict.indeterminate), (3, 3, (1, 1)));
        assert_eq!((verdict.own_conflicts, verdict.errors["NO_LEADER"]), (1, 1));
    }

    #[test]
    fn a_lost_write_is_found() {
        assert_eq!(broken(&[cas((0, 9), 0, "a", Outcome::Wrote(1))], &[]), [Rule::Lost]);
        assert_eq!(broken(&[cas((0, 9), 0, "a", Outcome::Wrote(1))], &["x"]), [Rule::Lost]);
    }

    #[test]
    fn a_version_that_was_made_twice_is_found() {
        let one = operation(1, (0, 9), Kind::Write("a".to_owned()), Outcome::Wrote(2));
        assert_eq!(broken(from_ref(&one), &["a", "a"]), [Rule::Duplicate]);
        let other = operation(1, (10, 19), Kind::Write("b".to_owned()), Outcome::Wrote(2));
        assert_eq!(broken(&[one, other], &["x", "a"]), [Rule::Lost, Rule::Duplicate]);
    }

    #[test]
    fn a_stale_read_is_found() {
        let wrote = cas((0, 9), 1, "b", Outcome::Wrote(2));
        assert_eq!(broken(&[wrote.clone(), read(1, (10, 11), found(1, "a"))], &["a", "b"]), [Rule::Stale]);
        assert_eq!(broken(&[wrote.clone(), read(1, (10, 11), Outcome::Absent)], &["a", "b"]), [Rule::Stale]);
        assert_eq!(broken(&[wrote, read(2, (10, 11), found(1, "a"))], &["a", "b"]), []);
        let twice = [read(2, (0, 1), found(2, "b")), read(2, (2, 3), found(1, "a"))];
        assert_eq!(broken(&twice, &["a", "b"]), [Rule::Stale]);
        let told = operation(2, (0, 1), Kind::Read(2), found(1, "a"));
        assert_eq!(broken(&[told], &["a", "b"]), [Rule::Stale]);
    }

    #[test]
    fn a_read_of_what_nobody_wrote_is_found() {
        assert_eq!(broken(&[read(1, (0, 1), found(1, "z"))], &["a"]), [Rule::Unwritten]);
    }

    #[test]
    fn a_false_conflict_is_found() {
        let alone = cas((0, 9), 0, "a", failed(Code::CasConflict));
        assert_eq!(broken(from_ref(&alone), &[]), [Rule::FalseConflict]);
        assert_eq!(broken(from_ref(&alone), &["a"]), [Rule::FalseConflict]);
        // An Indeterminate one that was never carried out explains nothing, nor does one of another version.
        let unknown = cas((0, 5), 0, "u", failed(Code::Indeterminate));
        let after = cas((6, 9), 0, "a", failed(Code::CasConflict));
        assert_eq!(broken(&[unknown.clone(), after], &["x"]), [Rule::FalseConflict]);
        let later = cas((6, 9), 4, "a", failed(Code::CasConflict));
        assert_eq!(broken(&[unknown, later], &["u"]), [Rule::FalseConflict]);
        let rotation = operation(1, (0, 9), Kind::Rotate("a".to_owned()), failed(Code::CasConflict));
        assert_eq!(broken(&[rotation], &["x"]), [Rule::FalseConflict]);
    }

    #[test]
    fn a_failure_that_happened_all_the_same_is_found() {
        let history = [cas((0, 9), 0, "a", failed(Code::DeadlineExceeded))];
        assert_eq!(broken(&history, &["a"]), [Rule::FailedButExecuted]);
        assert_eq!(broken(&history, &[]), []);
    }

    #[test]
    fn refusals_and_late_ends_are_found() {
        assert_eq!(broken(&[read(1, (0, 1), failed(Code::PermissionDenied))], &[]), [Rule::FalseRefusal]);
        assert_eq!(broken(&[read(1, (0, 1), failed(Code::Internal))], &[]), [Rule::FalseRefusal]);
        assert_eq!(broken(&[read(1, (0, 34_000), failed(Code::NoLeader))], &[]), [Rule::Late]);
    }
}
