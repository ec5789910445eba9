//! Faults of every kind, one after the other, as they come: nodes killed, stopped, sealed and stepped down, connections
//! cut off and slowed down.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ha_cluster::{Cluster, Error, NodeId, Result};

use crate::bare::Bare;
use crate::kills::{Gaps, finish};
use crate::load::Load;
use crate::place::mend;
use crate::proxy::{Toxic, Toxiproxy};
use crate::{Report, say, wire};

/// One fault. It strikes a node, often the leader; or what lies between the clients and one node, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    Stop,
    StepDown,
    Seal,
    Cut,
    CutAll,
    Down,
    Late,
    Narrow,
}

impl Fault {
    const ALL: [Self; 9] = [
        Self::Kill,
        Self::Stop,
        Self::StepDown,
        Self::Seal,
        Self::Cut,
        Self::CutAll,
        Self::Down,
        Self::Late,
        Self::Narrow,
    ];
}

/// Random numbers of the system: what happens here can't be replayed anyway.
fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    // Without randomness every fault is the first of its kind, and the run is still a run.
    let _ = getrandom::fill(&mut bytes);
    u64::from_ne_bytes(bytes) % below.max(1)
}

/// Faults one after the other, for so long.
///
/// # Errors
/// Where the cluster does not come up, or not back.
pub async fn mixed(cluster: &Cluster, length: Duration) -> Result<Report> {
    wire::listen(None)?;
    mend(cluster).await?;
    let proxy = Toxiproxy::before(cluster).await?;
    let (bare, load) = (Bare::new(cluster)?, Load::start(cluster, proxy.urls())?);
    let end = Instant::now() + length;
    let mut counts: BTreeMap<Fault, usize> = BTreeMap::new();
    // Each kind once, in any order, before chance decides.
    let mut first = Fault::ALL.to_vec();
    while Instant::now() < end {
        let fault = if first.is_empty() {
            *Fault::ALL.get(random(Fault::ALL.len() as u64) as usize).unwrap_or(&Fault::Kill)
        } else {
            first.swap_remove(random(first.len() as u64) as usize)
        };
        strike(cluster, &proxy, &bare, fault).await?;
        *counts.entry(fault).or_default() += 1;
        mend(cluster).await?;
        tokio::time::sleep(Duration::from_millis(500 + random(1500))).await;
    }
    let counts: Vec<String> = counts.iter().map(|(fault, count)| format!("{count} {fault:?}")).collect();
    let title = format!("mixed on {}: {}", cluster.version(), counts.join(", "));
    finish(cluster, &bare, load, &Gaps::default(), title).await
}

async fn strike(cluster: &Cluster, proxy: &Toxiproxy, bare: &Bare, fault: Fault) -> Result<()> {
    let nodes: Vec<NodeId> = cluster.nodes().map(|(id, _)| id).collect();
    let leader = cluster.leader().await?;
    let at = random(nodes.len() as u64) as usize;
    let any = nodes.get(at).copied().unwrap_or(leader);
    // A standby refuses to be sealed.
    let node = if fault == Fault::Seal || random(2) == 0 { leader } else { any };
    let place = nodes.iter().position(|id| *id == node).unwrap_or_default();
    let time = Duration::from_millis(2000 + random(8000));
    let text = format!(
        "{fault:?} {node}{} for {:.1} s",
        if node == leader { ", the leader," } else { "" },
        time.as_secs_f64()
    );
    say(&text);
    wire::note(&text);
    match fault {
        Fault::StepDown => return cluster.step_down().await.map(drop),
        Fault::Kill => cluster.kill(node).await?,
        Fault::Stop => cluster.stop(node).await?,
        Fault::Seal => seal(bare, node).await?,
        Fault::Cut => proxy.poison(place, Toxic::Cut).await?,
        Fault::Down => proxy.poison(place, Toxic::Down).await?,
        Fault::Late => proxy.poison(place, Toxic::Late(400)).await?,
        Fault::Narrow => proxy.poison(place, Toxic::Narrow(1)).await?,
        Fault::CutAll => {
            for place in 0..nodes.len() {
                proxy.poison(place, Toxic::Cut).await?;
            }
        }
    }
    tokio::time::sleep(time).await;
    proxy.heal().await?;
    if fault == Fault::Stop { cluster.continue_(node).await } else { Ok(()) }
}

async fn seal(bare: &Bare, node: NodeId) -> Result<()> {
    let sealed = bare.seal(node).await;
    if sealed { Ok(()) } else { Err(Error::new(format!("{node} could not be sealed"), "see its log")) }
}
