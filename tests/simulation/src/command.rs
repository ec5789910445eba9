//! The command line. It ends with 0 where no invariant was breached, 1 where one was, 2 where it was
//! not understood.

use std::process::ExitCode;

use crate::campaign::{Campaign, Verdict, processors};
use crate::checker;
use crate::run::{Plan, run};

const HELP: &str = "\
Runs clients of baokit-core against a simulated cluster that fails, and judges all they did.

Usage: simulation [OPTIONS]

  --seeds N        run N seeds (default 1000)
  --first-seed S   begin with seed S (default 1)
  --seed S         run this seed alone and print what happened in it
  --threads N      run on N threads (default: one for each processor)
  --survey         go on after a seed that fails, and count the seeds for each invariant
  --all            check the invariants too that core is not expected to keep yet
  --without RULE   clients leave this rule of core out (a build with --features broken-rules)
  --variants       leave out each rule in turn, and say which seed of the first --seeds notices
  --invariants     list the invariants
  --help           print this

One seed is one run: the same seed does the same on every machine. The exit status is 0 where no
invariant was breached, 1 where one was, and 2 for arguments that are not understood.
";

#[derive(Debug, Default)]
struct Arguments {
    seeds: Option<u64>,
    first: Option<u64>,
    only: Option<u64>,
    threads: Option<usize>,
    survey: bool,
    all: bool,
    without: Option<String>,
    variants: bool,
    invariants: bool,
    help: bool,
}

impl Arguments {
    fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut all = Self::default();
        while let Some(name) = given.next() {
            let (name, mut inline) = match name.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (name, None),
            };
            let takes_value =
                matches!(name.as_str(), "--seeds" | "--first-seed" | "--seed" | "--threads" | "--without");
            let mut value = || match inline.take().or_else(|| given.next()) {
                Some(value) => Ok(value),
                None => Err(format!("{name} needs a value")),
            };
            match name.as_str() {
                "--seeds" => all.seeds = Some(number(&name, &value()?)?),
                "--first-seed" => all.first = Some(number(&name, &value()?)?),
                "--seed" => all.only = Some(number(&name, &value()?)?),
                "--threads" => all.threads = Some(number(&name, &value()?)?),
                "--without" => all.without = Some(value()?),
                "--survey" => all.survey = true,
                "--all" => all.all = true,
                "--variants" => all.variants = true,
                "--invariants" => all.invariants = true,
                "--help" | "-h" => all.help = true,
                _ => return Err(format!("{name} is not known")),
            }
            if !takes_value && inline.is_some() {
                return Err(format!("{name} takes no value"));
            }
        }
        if all.threads == Some(0) || all.seeds == Some(0) {
            return Err("--seeds and --threads begin at 1".to_owned());
        }
        if all.only.is_some() && (all.seeds.is_some() || all.first.is_some() || all.survey || all.variants) {
            return Err("--seed is one seed alone: leave --seeds, --first-seed, --survey, --variants out".to_owned());
        }
        Ok(all)
    }
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name} takes a whole number, not {text:?}"))
}

/// The whole program: arguments in, exit status out.
#[must_use]
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let parsed = Arguments::parse(arguments).and_then(|all| Ok((plan(&all)?, all)));
    let (plan, all) = match parsed {
        Ok(parsed) => parsed,
        Err(problem) => {
            eprintln!("simulation: {problem}; see --help");
            return ExitCode::from(2);
        }
    };
    if all.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if all.invariants {
        for (name, checked, text) in checker::table() {
            println!("{name:<24} {}{text}", if checked { "" } else { "(not yet) " });
        }
        return ExitCode::SUCCESS;
    }
    if let Some(seed) = all.only {
        return replay(seed, plan, all.without.as_deref());
    }
    let campaign = Campaign {
        first: all.first.unwrap_or(1),
        count: all.seeds.unwrap_or(1000),
        threads: all.threads.unwrap_or_else(processors),
        plan,
        ignored: Vec::new(),
        survey: all.survey,
        progress: true,
    };
    if all.variants {
        return variants(&campaign);
    }
    report(&campaign, &campaign.run(), all.without.as_deref())
}

fn report(campaign: &Campaign, verdict: &Verdict, without: Option<&str>) -> ExitCode {
    let failed = match verdict.failed {
        Some(seed) if !campaign.survey => return replay(seed, campaign.plan.clone(), without),
        failed => failed,
    };
    print!("{}", verdict.tally.table());
    for fault in verdict.tally.never() {
        println!("never put in: {fault}");
    }
    for (name, (count, seeds)) in &verdict.breaches {
        println!("{name}: {count} seeds, the first of them {seeds:?}");
    }
    let rate = verdict.seeds as f64 / verdict.time.as_secs_f64().max(0.001);
    println!("{:.1} s, {rate:.0} seeds a second", verdict.time.as_secs_f64());
    let broken: u64 = verdict.breaches.values().map(|(count, _)| count).sum();
    println!("{} seeds, {broken} violations", verdict.seeds);
    if failed.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs one seed and prints what happened in it.
fn replay(seed: u64, mut plan: Plan, without: Option<&str>) -> ExitCode {
    plan.traced = true;
    let report = run(seed, &plan);
    report.trace.iter().for_each(|line| println!("{line}"));
    if report.violations.is_empty() {
        println!("1 seeds, 0 violations");
        return ExitCode::SUCCESS;
    }
    println!("seed {seed} fails:");
    for (name, text) in &report.violations {
        println!("  {name}: {text}");
    }
    let without = without.map_or_else(String::new, |rule| format!(" --without {rule}"));
    let features = if cfg!(feature = "broken-rules") { " --features broken-rules" } else { "" };
    let every = if plan.all { " --all" } else { "" };
    println!("replay it with: cargo run --release -p simulation{features} -- --seed {seed}{every}{without}");
    ExitCode::FAILURE
}

#[cfg(feature = "broken-rules")]
fn plan(all: &Arguments) -> Result<Plan, String> {
    let find = |name: &String| {
        let rule = baokit_core::Rule::ALL.iter().find(|rule| rule.as_str() == name);
        let names: Vec<_> = baokit_core::Rule::ALL.iter().map(|rule| rule.as_str()).collect();
        rule.copied().ok_or_else(|| format!("there is no rule {name:?}; there are {}", names.join(", ")))
    };
    Ok(Plan { without: all.without.as_ref().map(find).transpose()?, all: all.all, traced: false })
}

#[cfg(not(feature = "broken-rules"))]
fn plan(all: &Arguments) -> Result<Plan, String> {
    if all.without.is_some() || all.variants {
        return Err("--without and --variants need a build with --features broken-rules".to_owned());
    }
    Ok(Plan { all: all.all, traced: false })
}

#[cfg(feature = "broken-rules")]
fn variants(campaign: &Campaign) -> ExitCode {
    crate::variants::print_table(campaign)
}

#[cfg(not(feature = "broken-rules"))]
fn variants(_: &Campaign) -> ExitCode {
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, String> {
        Arguments::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_understood_or_named() {
        let all = parse("--seeds 5 --first-seed=7 --threads 2").unwrap();
        assert_eq!((all.seeds, all.first, all.threads), (Some(5), Some(7), Some(2)));
        for (text, part) in [
            ("--seeds", "needs a value"),
            ("--seeds x", "whole number"),
            ("--seeds 0", "begin at 1"),
            ("--survey=1", "takes no value"),
            ("--sedes 5", "not known"),
            ("--seed 5 --seeds 6", "one seed alone"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[cfg(not(feature = "broken-rules"))]
    #[test]
    fn a_build_that_can_not_break_rules_says_so() {
        assert!(plan(&parse("--without x").unwrap()).is_err());
    }
}
