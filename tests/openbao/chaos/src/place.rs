//! A cluster for one program: made in a folder of its own, gone with everything in it when the program's body ends,
//! however that ends.

use std::env;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use baokit::SecretValue;
use baokit_openbao::Version;
use ha_cluster::{Cluster, Error, NodeId, Options, Result};
use serde_json::json;

use crate::{say, wire};

/// The mount that all programs write to: the one that `ha-cluster` makes.
pub const MOUNT: &str = "secret";

/// How many versions of a secret the cluster keeps, so that the checker can see each that was ever made.
const VERSIONS: u64 = 1000;

/// How long a cluster may take until every node is healthy and votes.
const WHOLE: Duration = Duration::from_secs(120);

/// How long two nodes may say that they lead before one of them is started anew.
const CLAIMS: Duration = Duration::from_secs(10);

/// Runs the body on a new cluster of three nodes, and removes the cluster.
///
/// # Errors
/// Those of the cluster and of the body; and where the user interrupts.
pub async fn with_cluster<T, F>(version: Version, body: F) -> Result<T>
where
    F: AsyncFnOnce(&Cluster) -> Result<T>,
{
    let folder = folder();
    let options = Options { nodes: Some(3), version: Some(version.as_str().to_owned()), ..Options::default() };
    say(format_args!("a cluster of OpenBao {version} in {}", folder.display()));
    let _guard = Guard(folder.clone());
    let up = Cluster::up(&folder, &options, &|_| ());
    let run = async {
        let cluster = up.await?;
        keep_versions(&cluster).await?;
        body(&cluster).await
    };
    let result = tokio::select! {
        result = run => result,
        stopped = interrupted() => Err(stopped),
    };
    remove(&folder).await?;
    result
}

async fn remove(folder: &Path) -> Result<()> {
    if let Ok(cluster) = Cluster::open(folder) {
        cluster.down(true).await?;
    }
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}

/// Removes the cluster where the body panics: its processes are not ours, and would outlive us.
struct Guard(PathBuf);

impl Drop for Guard {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let folder = self.0.clone();
        // A thread of its own, since this one may be a runtime's.
        let removal = std::thread::spawn(move || {
            if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
                let _ = runtime.block_on(remove(&folder));
            }
        });
        let _ = removal.join();
    }
}

fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("baokit-chaos-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    // By its real path, which is how the cluster names itself.
    let parent = env::temp_dir();
    parent.canonicalize().unwrap_or(parent).join(name)
}

/// Ends when the user or the system wants this program to end.
async fn interrupted() -> Error {
    let stopped = Error::new("interrupted", "start it again");
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return stopped;
    }
    let _ = tokio::signal::ctrl_c().await;
    stopped
}

async fn keep_versions(cluster: &Cluster) -> Result<()> {
    let body = SecretValue::from(json!({ "max_versions": VERSIONS }));
    let operator = cluster.operator()?;
    // In its first second a new mount answers that it is being upgraded.
    let set = async || operator.request("POST", &format!("{MOUNT}/config"), Some(body.clone())).await;
    until(WHOLE, "the mount takes its settings", async || Ok(set().await.is_ok())).await
}

/// Waits until something is true, for so long at most.
///
/// # Errors
/// Where it does not come true in time, or looking fails.
pub async fn until(limit: Duration, what: &str, mut is_true: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + limit;
    while !is_true().await? {
        if Instant::now() >= end {
            let what = format!("not within {} s: {what}", limit.as_secs());
            return Err(Error::new(what, "see the logs of the nodes with a cluster that is kept, or try again"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Waits until every node is unsealed and votes, and one of them leads; returns that one. Before that, the loss of
/// another node would be the loss of the quorum.
///
/// # Errors
/// Where that does not come true within two minutes.
pub async fn whole(cluster: &Cluster) -> Result<NodeId> {
    until(WHOLE, "every node is healthy and votes", async || {
        let status = cluster.status().await?;
        // A leader that was deposed while it slept goes on saying that it leads.
        let leaders = status.nodes.iter().filter(|node| node.leader == Some(true)).count();
        Ok(status.is_healthy() && leaders == 1)
    })
    .await?;
    cluster.leader().await
}

/// Brings every node back that is down, stopped or sealed, and waits until the cluster is whole.
///
/// A leader that slept through an election may go on saying that it leads, for minutes. It is started anew, as an
/// operator would.
///
/// # Errors
/// Where a node does not come back.
pub async fn mend(cluster: &Cluster) -> Result<NodeId> {
    for (id, _) in cluster.nodes() {
        cluster.start(id).await?;
    }
    let claims = async || {
        let status = cluster.status().await?;
        let leaders = status.nodes.iter().filter(|node| node.leader == Some(true));
        Ok::<_, Error>(leaders.map(|node| node.id).collect::<Vec<_>>())
    };
    let patience = Instant::now() + CLAIMS;
    while claims().await?.len() > 1 {
        if Instant::now() > patience {
            let leader = cluster.leader().await?;
            for id in claims().await?.into_iter().filter(|id| *id != leader) {
                say(format_args!("{id} still says that it leads: it is started anew"));
                wire::note(format_args!("{id} still says that it leads: killed and started"));
                cluster.kill(id).await?;
                cluster.start(id).await?;
            }
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let leader = whole(cluster).await?;
    wire::note(format_args!("whole again, {leader} leads"));
    Ok(leader)
}

/// Runs something for so long at most.
///
/// # Errors
/// Where the time is up.
pub async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        Error::new(format!("{what} did not end within {} s", limit.as_secs()), "a loop has no end: please report it")
    })
}
