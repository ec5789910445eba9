//! Whole runs: the same seed does the same, every kind of fault comes up, and core keeps what it is
//! expected to keep.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use crate::campaign::Campaign;
use crate::cluster::Era;
use crate::history::{Kind, Operation};
use crate::profile::Profile;
use crate::random::Random;
use crate::run::{Plan, play, run};
use crate::tally::Notable;

fn fingerprint(seed: u64) -> (u64, usize) {
    let report = run(seed, &Plan { traced: true, ..Plan::default() });
    let mut hasher = DefaultHasher::new();
    report.trace.hash(&mut hasher);
    (hasher.finish(), report.trace.len())
}

#[test]
fn the_same_seed_does_the_same_and_another_does_not() {
    for seed in 1..20 {
        let (first, second) = (fingerprint(seed), fingerprint(seed));
        assert_eq!(first, second, "seed {seed}");
        assert!(first.1 > 20, "seed {seed} does next to nothing");
        assert_ne!(first, fingerprint(seed + 1), "seed {seed}");
    }
}

#[test]
fn a_trace_changes_nothing() {
    for seed in 1..10 {
        let (quiet, traced) = (run(seed, &Plan::default()), run(seed, &Plan { traced: true, ..Plan::default() }));
        assert_eq!((quiet.polls, quiet.tally), (traced.polls, traced.tally), "seed {seed}");
        assert!(quiet.trace.is_empty());
    }
}

#[test]
fn without_faults_nothing_fails() {
    for (seed, era) in [(1, Era::Indexed), (2, Era::Silent)] {
        let (world, _) = play(Profile::calm(era, 3), Random::new(seed), &Plan::default());
        let tally = world.tally.borrow();
        assert!(tally.of(Notable::OperationSucceeded) > 10);
        assert_eq!(tally.of(Notable::OperationCut), 0);
        // Before 2.7, a deletion of the newest version that others write over can't be told from one that a
        // standby did not carry out.
        let in_doubt =
            |op: &&Operation| op.code() == Some("INDETERMINATE") && !(era == Era::Silent && op.kind == Kind::Delete);
        assert_eq!(world.history.borrow().operations.iter().filter(in_doubt).count(), 0);
    }
}

#[test]
fn some_hundred_seeds_hit_every_fault_and_breach_nothing_that_core_keeps() {
    let plan = Plan::default();
    let verdict =
        Campaign { first: 1, count: 300, threads: 2, plan, ignored: Vec::new(), survey: true, progress: false }.run();
    assert_eq!(verdict.breaches, std::collections::BTreeMap::new());
    assert_eq!(verdict.seeds, 300);
    let never = verdict.tally.never();
    // The one that is switched off in the profile's table.
    assert_eq!(never, ["request delivered twice, and the second answered"]);
}
