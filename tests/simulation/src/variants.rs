//! Clients that leave one of core's rules out: each must be caught, or the rule was not proved.

use std::process::ExitCode;

use baokit_core::Rule;

use crate::campaign::{Campaign, processors};
use crate::run::Plan;

/// The first of so many seeds that notices that this rule is missing.
#[must_use]
pub fn caught_within(rule: Rule, seeds: u64) -> Option<u64> {
    let plan = Plan { without: Some(rule), ..Plan::default() };
    Campaign { first: 1, count: seeds, threads: processors(), plan, survey: false, progress: false }.run().failed
}

/// Leaves out each rule in turn, and prints which seed notices.
pub(crate) fn print_table(campaign: &Campaign) -> ExitCode {
    let mut missed = 0;
    for rule in Rule::ALL {
        let plan = Plan { without: Some(*rule), ..campaign.plan.clone() };
        let verdict = Campaign { plan, ..campaign.clone() }.run();
        let names: Vec<_> = verdict.breaches.keys().copied().collect();
        match verdict.failed {
            Some(seed) => println!("{:<32} caught by seed {seed} ({})", rule.as_str(), names.join(", ")),
            None => {
                missed += 1;
                println!("{:<32} NOT CAUGHT in {} seeds", rule.as_str(), verdict.seeds);
            }
        }
    }
    println!("{} rules, {missed} not caught", Rule::ALL.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
