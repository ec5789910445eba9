//! The leader is killed under load, again and again, and the time until writes get through again is compared with the
//! cluster's own.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ha_cluster::{Cluster, Error, NodeId, Result};

use crate::bare::Bare;
use crate::checker::check;
use crate::figures::{Shown, Times};
use crate::history::Recorder;
use crate::load::{BALANCER, DEADLINE, Load, NODES};
use crate::place::{mend, whole};
use crate::{Report, say, wire};

/// How long the cluster may take until a write gets through.
const ELECTION: Duration = Duration::from_secs(60);

/// What was acknowledged so shortly after the kill had been answered before it, and lay in a buffer.
const RESIDUE: Duration = Duration::from_millis(200);

/// The goal, for nodes that are killed and for nodes that hang.
const GOAL: Duration = Duration::from_secs(1);

/// With fewer, a median says little, and the goal is only printed.
const ENOUGH: usize = 10;

/// The times without an acknowledged write, one for each fault.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    nodes: Times,
    balancer: Times,
    cluster: Times,
}

/// Kills the leader so often, under load.
///
/// # Errors
/// Where the cluster does not come up, or not back.
pub async fn kills(cluster: &Cluster, kills: usize) -> Result<Report> {
    wire::listen(None)?;
    whole(cluster).await?;
    let (bare, load) = (Bare::new(cluster)?, Load::start(cluster, &cluster.urls())?);
    let mut gaps = Gaps::default();
    for number in 1..=kills {
        let leader = mend(cluster).await?;
        tokio::time::sleep(Duration::from_millis(1000)).await;
        cluster.kill(leader).await?;
        gaps.watch(&bare, &load.recorder, &format!("kill {number} of {kills} ({leader})")).await?;
    }
    finish(cluster, &bare, load, &gaps, format!("kills on {}: {kills} kills", cluster.version())).await
}

impl Gaps {
    /// Waits until bare writes and those of both clients get through again, and notes how long that took from now.
    pub(crate) async fn watch(&mut self, bare: &Bare, recorder: &Recorder, what: &str) -> Result<()> {
        let (fault, start) = (recorder.now(), Instant::now());
        wire::note(what);
        let own = bare.first_write(start, ELECTION).await;
        let own = own.ok_or_else(|| Error::new("the cluster took no write for a minute", "see the nodes' logs"))?;
        wire::note(format_args!("a bare write got through {}", Shown(Some(own))));
        let first = async |client| {
            loop {
                if let Some(end) = recorder.first_write_after(fault + RESIDUE, Some(client)) {
                    return end.saturating_sub(fault);
                }
                if start.elapsed() > ELECTION {
                    return ELECTION;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let (nodes, balancer) = tokio::join!(first(NODES), first(BALANCER));
        say(format_args!(
            "{what}: without a write {} over the list of nodes, {} through HAProxy; the cluster itself {}",
            Shown(Some(nodes)),
            Shown(Some(balancer)),
            Shown(Some(own))
        ));
        self.nodes.add(nodes);
        self.balancer.add(balancer);
        self.cluster.add(own);
        Ok(())
    }
}

/// Mends the cluster, ends the load, and has the whole history judged.
pub(crate) async fn finish(cluster: &Cluster, bare: &Bare, load: Load, gaps: &Gaps, title: String) -> Result<Report> {
    let leader = mend(cluster).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let recorder = load.stop().await?;
    let mut report = Report::default();
    let figures = judge(bare, leader, &recorder, &mut report).await?;
    let mut text = format!("{title}; {figures}");
    if let (Some(nodes), Some(own)) = (gaps.nodes.median(), gaps.cluster.median()) {
        let line = |times: &Times| format!("{} (longest {})", Shown(times.median()), Shown(times.longest()));
        text = format!(
            "{text}; without a write, median: {} over the list of nodes, {} through HAProxy, {} the cluster itself; \
             difference {:+.2} s",
            line(&gaps.nodes),
            line(&gaps.balancer),
            line(&gaps.cluster),
            nodes.as_secs_f64() - own.as_secs_f64(),
        );
        if gaps.nodes.len() >= ENOUGH && nodes > own + GOAL {
            report.violation("in the median, writes come back more than a second after the cluster");
        }
    }
    report.summary = format!("{text}; {} violations", report.count);
    Ok(report)
}

/// Compares the history with what the cluster holds; the figures of it as text.
async fn judge(bare: &Bare, leader: NodeId, recorder: &Recorder, report: &mut Report) -> Result<String> {
    let history = recorder.operations();
    let paths: BTreeSet<String> = history.iter().map(|operation| operation.path.clone()).collect();
    say(format_args!("reading what {leader} holds of {} secrets", paths.len()));
    let truth = bare.truth(leader, paths).await?;
    let verdict = check(&history, &truth, DEADLINE);
    verdict.violations.iter().for_each(|violation| report.violation(violation));
    Ok(verdict.to_string())
}
