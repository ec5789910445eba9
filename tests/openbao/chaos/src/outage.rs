//! A total outage, while operations are begun as if nothing had happened: what reaches the cluster of it, and what
//! becomes of the operations when the cluster is back.
//!
//! A client has one deadline for all its operations, so there are two clients, each with half of the operations, and each
//! is judged alone. Both stand behind forwarders of their own, which count what arrives: connections,
//! and requests on connections that were there before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ha_cluster::{Cluster, Error, NodeId, Result};
use tokio::task::JoinSet;

use crate::bare::Bare;
use crate::checker::check;
use crate::forward::Forwarder;
use crate::history::{Kind, Operation, Outcome, Recorder};
use crate::load::Actor;
use crate::place::{mend, whole, within};
use crate::{Report, say, wire};

/// The deadlines of the two clients.
const DEADLINES: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(90)];

/// When everybody has noticed: the longest that one request may take, and a second.
const ESTABLISHED: Duration = Duration::from_secs(6);

/// What one client may send while nobody answers.
const MOST: f64 = 3.0;

/// What an operation may need for itself when the cluster is back, as much as one request: whose deadline comes within it
/// may fail.
const GRACE: Duration = Duration::from_secs(5);

/// How long the operations go on after the return.
const AFTER: Duration = Duration::from_secs(3);

/// One operation in so many is a write.
const WRITES: u64 = 10;

/// How many secrets are read.
const SECRETS: u64 = 10;

/// How long the cluster may take to come back.
const RETURN: Duration = Duration::from_secs(90);

/// What happens to all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutageWay {
    /// They are stopped: they accept and never answer.
    Stopped,
    /// They are killed: connections end.
    Killed,
    /// The network swallows everything.
    Cut,
}

/// One client with what stands before the nodes for it.
struct Line {
    actor: Actor,
    deadline: Duration,
    gates: Vec<Forwarder>,
}

/// One outage of so many seconds in each of these ways, while `rate` operations a second are begun.
///
/// # Errors
/// Where the cluster does not come up, or not back.
pub async fn outage(cluster: &Cluster, seconds: u64, rate: u64, ways: &[OutageWay]) -> Result<Report> {
    let mut report = Report::default();
    let mut parts = Vec::new();
    for way in ways {
        parts.push(one(cluster, *way, Duration::from_secs(seconds), rate, &mut report).await?);
    }
    report.summary = format!("outage on {}: {}; {} violations", cluster.version(), parts.join("; "), report.count);
    Ok(report)
}

async fn one(cluster: &Cluster, way: OutageWay, length: Duration, rate: u64, report: &mut Report) -> Result<String> {
    wire::listen(None)?;
    whole(cluster).await?;
    let bare = Bare::new(cluster)?;
    let recorder = Arc::new(Recorder::default());
    let mut lines = Vec::new();
    for (number, deadline) in DEADLINES.into_iter().enumerate() {
        lines.push(Line::new(cluster, &recorder, number, deadline).await?);
    }
    for secret in 0..SECRETS {
        let path = format!("outage/{way:?}/{secret}");
        for line in &lines {
            line.actor.read(&path, 0, false).await;
        }
        if let Some(line) = lines.first() {
            line.actor.write(&path, Kind::Cas(0, format!("{way:?}-{secret}"))).await;
        }
    }

    let mut work = JoinSet::new();
    let end = tokio::sync::watch::Sender::new(false);
    for line in &lines {
        work.spawn(begin_all(line.actor.clone(), way, rate.div_ceil(DEADLINES.len() as u64), end.subscribe()));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;

    let fault = Instant::now();
    wire::note(format_args!("outage: {way:?}"));
    disturb(cluster, way, &lines).await?;
    tokio::time::sleep_until((fault + ESTABLISHED.min(length)).into()).await;
    let before: Vec<_> = lines.iter().map(Line::arrived).collect();
    tokio::time::sleep_until((fault + length).into()).await;
    let seconds = length.saturating_sub(ESTABLISHED).as_secs_f64().max(0.1);
    let rates: Vec<_> =
        lines.iter().zip(&before).map(|(line, before)| (line.arrived() - before) as f64 / seconds).collect();

    wire::note("the cluster comes back");
    let back = Instant::now();
    let (started, first) = tokio::join!(restore(cluster, way, &lines), bare.first_write(back, RETURN));
    started?;
    let took = first.ok_or_else(|| Error::new("the cluster took no write after the outage", "see the nodes' logs"))?;
    let returned = recorder.now().saturating_sub(back.elapsed().saturating_sub(took));
    wire::note(format_args!("a bare write got through {:.2} s after that", took.as_secs_f64()));
    tokio::time::sleep(AFTER).await;
    end.send_replace(true);
    let longest = DEADLINES.iter().max().copied().unwrap_or_default();
    within(longest + Duration::from_secs(30), "the operations", async { while work.join_next().await.is_some() {} })
        .await?;

    let leader = mend(cluster).await?;
    let history = recorder.operations();
    let unanswered = judge(&history, &lines, returned, report);
    verify(&bare, leader, &history, longest, report).await?;
    let mut texts = Vec::new();
    for ((line, rate), unanswered) in lines.iter().zip(&rates).zip(unanswered) {
        let seconds = line.deadline.as_secs();
        if *rate > MOST {
            report.violation(format_args!("{way:?}: the client of {seconds} s sent {rate:.2} requests a second"));
        }
        texts.push(format!("deadline {seconds} s: {rate:.2} requests a second, {unanswered}"));
    }
    let text = format!("{way:?}, back after {:.1} s: {}", took.as_secs_f64(), texts.join(", "));
    say(&text);
    Ok(text)
}

async fn disturb(cluster: &Cluster, way: OutageWay, lines: &[Line]) -> Result<()> {
    match way {
        OutageWay::Cut => lines.iter().flat_map(|line| &line.gates).for_each(Forwarder::cut),
        OutageWay::Stopped => {
            for (id, _) in cluster.nodes() {
                cluster.stop(id).await?;
            }
        }
        OutageWay::Killed => {
            for (id, _) in cluster.nodes() {
                cluster.kill(id).await?;
            }
        }
    }
    Ok(())
}

async fn restore(cluster: &Cluster, way: OutageWay, lines: &[Line]) -> Result<()> {
    for (id, _) in cluster.nodes() {
        match way {
            OutageWay::Cut => {}
            OutageWay::Stopped => cluster.continue_(id).await?,
            OutageWay::Killed => cluster.start(id).await?,
        }
    }
    if way == OutageWay::Cut {
        lines.iter().flat_map(|line| &line.gates).for_each(Forwarder::lift);
    }
    Ok(())
}

/// Begins operations until it is told to end, then waits for all of them.
async fn begin_all(actor: Actor, way: OutageWay, rate: u64, end: tokio::sync::watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate.max(1)).unwrap_or(u32::MAX));
    let (mut number, mut work) = (0u64, JoinSet::new());
    while !*end.borrow() {
        ticks.tick().await;
        let actor = actor.clone();
        work.spawn(async move {
            if number.is_multiple_of(WRITES) {
                let path = format!("outage/{way:?}/{}-{number}", actor.number);
                let value = format!("{way:?}-{}-{number}", actor.number);
                actor.write(&path, Kind::Cas(0, value)).await;
            } else {
                actor.read(&format!("outage/{way:?}/{}", number % SECRETS), 0, false).await;
            }
        });
        number += 1;
        while work.try_join_next().is_some() {}
    }
    while work.join_next().await.is_some() {}
}

/// What of each client's operations failed, in words; those whose time was not up when the cluster was back must not.
fn judge(history: &[Operation], lines: &[Line], returned: Duration, report: &mut Report) -> Vec<String> {
    let mut texts = Vec::new();
    for line in lines {
        let all = history.iter().filter(|operation| operation.client == line.actor.number);
        let (mut begun, mut failed, mut wrong, mut short) = (0, BTreeMap::<&str, usize>::new(), 0, 0);
        for operation in all {
            begun += 1;
            let late = operation.end > operation.start + line.deadline + GRACE;
            if late {
                report.violation(format_args!("it was over long after its deadline: {operation:?}"));
            }
            let Outcome::Failed(code, text) = &operation.outcome else { continue };
            *failed.entry(code.as_str()).or_default() += 1;
            let deadline = operation.start + line.deadline;
            short += usize::from(deadline > returned && deadline <= returned + GRACE);
            if deadline > returned + GRACE {
                wrong += 1;
                if wrong <= 5 {
                    let left = deadline.saturating_sub(returned).as_secs_f64();
                    report.violation(format_args!("it failed with {left:.1} s left after the return: {text}"));
                } else {
                    report.count += 1;
                }
            }
        }
        let failed: Vec<String> = failed.iter().map(|(code, count)| format!("{count} {code}")).collect();
        let failed = if failed.is_empty() { "none failed".to_owned() } else { failed.join(", ") };
        texts.push(format!(
            "{begun} begun, {failed}; {short} of them with less than {} s left at the return, {wrong} with more",
            GRACE.as_secs()
        ));
    }
    texts
}

/// Nothing was lost, made twice or read stale meanwhile.
async fn verify(
    bare: &Bare,
    leader: NodeId,
    history: &[Operation],
    longest: Duration,
    report: &mut Report,
) -> Result<()> {
    let paths: std::collections::BTreeSet<_> = history.iter().map(|operation| operation.path.clone()).collect();
    let truth = bare.truth(leader, paths).await?;
    check(history, &truth, longest).violations.iter().for_each(|violation| report.violation(violation));
    Ok(())
}

impl Line {
    async fn new(cluster: &Cluster, recorder: &Arc<Recorder>, number: usize, deadline: Duration) -> Result<Self> {
        let mut gates = Vec::new();
        for url in cluster.urls() {
            gates.push(Forwarder::before(&url).await?);
        }
        let client = cluster.client_builder()?.urls(gates.iter().map(Forwarder::url)).deadline(deadline).build()?;
        Ok(Self { actor: Actor { number, client, recorder: recorder.clone() }, deadline, gates })
    }

    /// How much of this client arrived until now: a connection on which nothing is ever answered counts as one request.
    fn arrived(&self) -> u64 {
        self.gates.iter().map(Forwarder::arrived).sum()
    }
}
