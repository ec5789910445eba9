//! Clients that leave one of core's rules out: each must be caught, or the rule was not proved.

use std::process::ExitCode;

use baokit_core::Rule;

use crate::campaign::{Campaign, Verdict, processors};
use crate::run::Plan;

/// The first of so many seeds that notices that this rule is missing. What clients breach that keep every
/// rule does not count.
#[must_use]
pub fn caught_within(rule: Rule, seeds: u64) -> Option<u64> {
    let whole = Campaign {
        first: 1,
        count: seeds,
        threads: processors(),
        plan: Plan::default(),
        ignored: Vec::new(),
        survey: false,
        progress: false,
    };
    without(&whole, rule, breached(&whole)).failed
}

/// The invariants that clients breach that keep every rule.
fn breached(campaign: &Campaign) -> Vec<&'static str> {
    let plan = Plan { without: None, ..campaign.plan.clone() };
    let verdict = Campaign { plan, survey: true, ..campaign.clone() }.run();
    verdict.breaches.into_keys().collect()
}

fn without(campaign: &Campaign, rule: Rule, ignored: Vec<&'static str>) -> Verdict {
    let plan = Plan { without: Some(rule), ..campaign.plan.clone() };
    Campaign { plan, ignored, survey: false, ..campaign.clone() }.run()
}

/// Leaves out each rule in turn, and prints which seed notices.
pub(crate) fn print_table(campaign: &Campaign) -> ExitCode {
    let ignored = breached(campaign);
    if !ignored.is_empty() {
        println!("breached with every rule kept, and so not counted: {}", ignored.join(", "));
    }
    let mut missed = 0;
    for rule in Rule::ALL {
        let verdict = without(campaign, *rule, ignored.clone());
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
