//! Many seeds on many threads, with a verdict that does not depend on how the threads were scheduled.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::run::{Plan, Report, run};
use crate::tally::Tally;

/// Which seeds to run, and how.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) threads: usize,
    pub(crate) plan: Plan,
    /// The invariants whose breaches are no news.
    pub(crate) ignored: Vec<&'static str>,
    /// Whether to go on after a seed that fails.
    pub(crate) survey: bool,
    /// Whether to say on a terminal how far it is.
    pub(crate) progress: bool,
}

/// What came of them.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) tally: Tally,
    /// How many seeds were run.
    pub(crate) seeds: u64,
    /// The lowest seed that fails.
    pub(crate) failed: Option<u64>,
    /// For each invariant: how many seeds breach it, and the first few of them.
    pub(crate) breaches: BTreeMap<&'static str, (u64, Vec<u64>)>,
    pub(crate) time: Duration,
}

impl Verdict {
    fn take(&mut self, report: &Report) {
        self.seeds += 1;
        self.tally.add(&report.tally);
        if !report.violations.is_empty() {
            self.failed = Some(self.failed.map_or(report.seed, |seed| seed.min(report.seed)));
        }
        let mut names: Vec<_> = report.violations.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let (count, seeds) = self.breaches.entry(name).or_default();
            *count += 1;
            seeds.push(report.seed);
            seeds.sort_unstable();
            seeds.truncate(5);
        }
    }
}

/// As many threads as the machine has processors.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

impl Campaign {
    /// Runs the seeds. It ends early at the first that fails, unless all of them are asked for.
    pub(crate) fn run(&self) -> Verdict {
        let begun = Instant::now();
        let next = AtomicU64::new(self.first);
        // Seeds beyond one that failed are of no interest.
        let end = AtomicU64::new(self.first.saturating_add(self.count));
        let verdict = Mutex::new(Verdict::default());
        let work = || loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                return;
            }
            let mut report = run(seed, &self.plan);
            report.violations.retain(|(name, _)| !self.ignored.contains(name));
            if !self.survey && !report.violations.is_empty() {
                end.fetch_min(seed, Ordering::Relaxed);
            }
            let mut verdict = verdict.lock().unwrap_or_else(PoisonError::into_inner);
            verdict.take(&report);
            if self.progress && verdict.seeds.is_multiple_of(500) {
                say(verdict.seeds, self.count, begun.elapsed());
            }
        };
        std::thread::scope(|scope| {
            (1..self.threads.max(1)).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        if self.progress && std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        let mut verdict = verdict.into_inner().unwrap_or_else(PoisonError::into_inner);
        verdict.time = begun.elapsed();
        verdict
    }
}

/// Progress is for people: a log has no use for it.
fn say(done: u64, of: u64, time: Duration) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        let rate = done as f64 / time.as_secs_f64().max(0.001);
        let _ = write!(out, "\r\x1b[K{done} of {of} seeds, {rate:.0} a second");
        let _ = out.flush();
    }
}
