//! Short forms of all programs on real clusters of both versions. The long forms are commands; see the README.
//!
//! One cluster for each version serves all of them: to make one takes half a minute. Needs the servers of
//! `tests/openbao/fetch`, HAProxy, `ps`, and Go where toxiproxy is not built yet.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail by panicking, as tests do")]

use std::time::{Duration, Instant};

use baokit_openbao::Version;
use chaos::{OutageWay, Report};
use tokio::sync::Mutex;

/// How many writes with their reads in each of the four ways.
const WRITES: u64 = 1000;

/// One cluster at a time: nodes that wait for a processor hold elections.
static TURN: Mutex<()> = Mutex::const_new(());

fn judge(start: Instant, report: &Report, found: &mut Vec<String>) {
    println!("{:.0} s: {}", start.elapsed().as_secs_f64(), report.summary);
    found.extend(report.violations.iter().cloned());
}

async fn short_form(version: Version) {
    let _turn = TURN.lock().await;
    let mut found = Vec::new();
    let run = chaos::with_cluster(version, async |cluster| {
        let start = Instant::now();
        judge(start, &chaos::reads(cluster, WRITES).await?, &mut found);
        judge(start, &chaos::kills(cluster, 3).await?, &mut found);
        judge(start, &chaos::pauses(cluster, 2).await?, &mut found);
        judge(start, &chaos::outage(cluster, 12, 100, &[OutageWay::Stopped]).await?, &mut found);
        judge(start, &chaos::mixed(cluster, Duration::from_secs(20)).await?, &mut found);
        Ok(())
    });
    if let Err(error) = run.await {
        panic!("{error}");
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_stale_or_made_twice_on_2_7_2() {
    short_form(Version::V2_7_2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_stale_or_made_twice_on_2_6_2() {
    short_form(Version::V2_6_2).await;
}
