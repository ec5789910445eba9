//! The leader is stopped until another is elected, then continued: for a while it may believe that it still leads. Right
//! after that, clients read and write by way of it what was written without it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ha_cluster::{Cluster, NodeId, Result};

use crate::bare::Bare;
use crate::history::{Kind, Outcome, Recorder};
use crate::kills::{Gaps, finish};
use crate::load::{Actor, DEADLINE, Load, OTHERS};
use crate::place::{mend, until, whole};
use crate::{Report, wire};

/// How long an election may take.
const ELECTION: Duration = Duration::from_secs(60);

/// How many secrets are written while the old leader sleeps, and looked at when it wakes.
const SECRETS: usize = 6;

/// The deadline of a client that knows the old leader alone, and how long it goes on: what it asks for may not be had.
const ALONE: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(12);

/// Stops the leader so often, under load.
///
/// # Errors
/// Where the cluster does not come up, or not back.
pub async fn pauses(cluster: &Cluster, pauses: usize) -> Result<Report> {
    wire::listen(None)?;
    whole(cluster).await?;
    let (bare, load) = (Bare::new(cluster)?, Load::start(cluster, &cluster.urls())?);
    let (mut gaps, mut claims) = (Gaps::default(), 0);
    for number in 1..=pauses {
        let old = cluster.leader().await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.stop(old).await?;
        gaps.watch(&bare, &load.recorder, &format!("pause {number} of {pauses} ({old})")).await?;
        let new = elected(cluster, old).await?;
        let witnesses = Witnesses::new(cluster, &load.recorder, number, old)?;
        witnesses.write().await;
        cluster.continue_(old).await?;
        wire::note(format_args!("{old} goes on, {new} leads"));
        let claimed = bare.claims_to_lead(old).await;
        witnesses.look().await;
        claims += usize::from(claimed && bare.claims_to_lead(old).await);
        mend(cluster).await?;
    }
    let title = format!("pauses on {}: {pauses} pauses, {claims} old leaders went on claiming", cluster.version());
    finish(cluster, &bare, load, &gaps, title).await
}

/// Waits until the others have a leader.
async fn elected(cluster: &Cluster, old: NodeId) -> Result<NodeId> {
    let mut new = old;
    until(ELECTION, "another leader is elected", async || {
        new = cluster.leader().await.unwrap_or(old);
        Ok(new != old)
    })
    .await?;
    Ok(new)
}

/// Clients that use what was written while the old leader slept.
struct Witnesses {
    number: usize,
    author: Actor,
    /// Knows all nodes, and asks the old leader first.
    first: Actor,
    /// Knows the old leader alone.
    only: Actor,
}

impl Witnesses {
    fn new(cluster: &Cluster, recorder: &Arc<Recorder>, number: usize, old: NodeId) -> Result<Self> {
        let actor = |place: usize, urls: Vec<String>, deadline| {
            let client = cluster.client_builder()?.urls(urls).deadline(deadline).build()?;
            Ok::<_, ha_cluster::Error>(Actor {
                number: OTHERS + 3 * number + place,
                client,
                recorder: recorder.clone(),
            })
        };
        let old = cluster.url(old)?;
        let others: Vec<String> = cluster.urls().into_iter().filter(|url| *url != old).collect();
        let first = [old.clone()].into_iter().chain(others.iter().cloned()).collect();
        Ok(Self {
            number,
            author: actor(0, others, DEADLINE)?,
            first: actor(1, first, DEADLINE)?,
            only: actor(2, vec![old], ALONE)?,
        })
    }

    fn path(&self, secret: usize) -> String {
        format!("pauses/{}/{secret}", self.number)
    }

    fn value(&self, secret: usize, version: u64) -> String {
        format!("{}-{secret}-{version}", self.number)
    }

    async fn write(&self) {
        for secret in 0..SECRETS {
            self.author.write(&self.path(secret), Kind::Cas(0, self.value(secret, 1))).await;
        }
    }

    /// Reads each secret and writes what follows, one half by way of each client. Each is told version 1, which it has
    /// not seen itself.
    async fn look(&self) {
        let (even, odd) = ((0..SECRETS).step_by(2), (1..SECRETS).step_by(2));
        let end = Instant::now() + PATIENCE;
        tokio::join!(self.look_at(&self.first, even, end), self.look_at(&self.only, odd, end));
    }

    async fn look_at(&self, actor: &Actor, secrets: impl Iterator<Item = usize>, end: Instant) {
        for secret in secrets {
            if Instant::now() > end {
                break;
            }
            let path = self.path(secret);
            let read = actor.read(&path, 1, false).await;
            let wrote = actor.write(&path, Kind::Cas(1, self.value(secret, 2))).await;
            if let Outcome::Wrote(version) = wrote {
                actor.read(&path, version, false).await;
            }
            let plain = |outcome: &Outcome| match outcome {
                Outcome::Failed(code, _) => code.as_str().to_owned(),
                outcome => format!("{outcome:?}"),
            };
            wire::note(format_args!("client {}: {path}: {}, {}", actor.number, plain(&read), plain(&wrote)));
        }
    }
}
