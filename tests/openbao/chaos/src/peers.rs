//! What other clients make of the same: hvac and vaultrs, each with a plain loop that writes by way of one node, reads by
//! way of the next, and lives through the death of the leader. Their figures stand beside baokit's; they break no rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ha_cluster::{Cluster, Error, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::bare::Bare;
use crate::figures::Shown;
use crate::kills::{Gaps, finish};
use crate::load::Load;
use crate::place::{MOUNT, mend, until, within};
use crate::{Report, reads, say, wire};

/// How long an installation or a build may take.
const BUILD: Duration = Duration::from_secs(900);

/// How long the rounds without a fault may take.
const ROUNDS: Duration = Duration::from_secs(300);

/// How long the loop rests, in milliseconds: not at all where reads are judged, as long as baokit's where writes are.
const NO_REST: u64 = 0;
const REST: u64 = 60;

/// How long the cluster, and a peer, may take until a write gets through.
const ELECTION: Duration = Duration::from_secs(60);

/// More rounds than there is time for.
const ENDLESS: u64 = 1_000_000;

/// A program that is started with a cluster's addresses, and says what it does.
#[derive(Clone, Debug)]
struct Peer {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<PathBuf>,
}

/// Lets each client write and read so often, then lives through one kill with each.
///
/// # Errors
/// Where the peers can't be installed, or the cluster does not come back.
pub async fn peers(cluster: &Cluster, writes: u64) -> Result<Report> {
    wire::listen(None)?;
    let peers = [hvac().await?, vaultrs().await?];
    let bare = Bare::new(cluster)?;
    let mut lines = Vec::new();
    for peer in &peers {
        mend(cluster).await?;
        let seen = run_to_end(cluster, peer, writes).await?;
        let reads = seen.counts();
        let (seen, own) = through_a_kill(cluster, &bare, peer).await?;
        let kill = seen.counts();
        let executed = executed(cluster, &bare, &seen).await?;
        let line = format!(
            "{}: {} reads, {} older, {} missing, {} failed; one kill: {} without a write (the cluster {}), {} writes \
             failed, {executed} of them done all the same, {} reads older or missing",
            peer.name,
            reads.read,
            reads.older,
            reads.missing,
            reads.unread,
            Shown(seen.gap()),
            Shown(Some(own)),
            kill.failed,
            kill.older + kill.missing,
        );
        say(&line);
        lines.push(line);
    }

    mend(cluster).await?;
    let ours = reads::other_node(cluster, writes).await?;
    let load = Load::start(cluster, &cluster.urls())?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let leader = cluster.leader().await?;
    cluster.kill(leader).await?;
    let mut gaps = Gaps::default();
    gaps.watch(&bare, &load.recorder, &format!("kill ({leader})")).await?;
    let mut report = finish(cluster, &bare, load, &gaps, format!("baokit: {}", ours.summary)).await?;
    ours.violations.iter().for_each(|text| report.violation(text));
    report.summary = format!("peers on {}: {}; {}", cluster.version(), lines.join("; "), report.summary);
    Ok(report)
}

/// Python's client, in a virtual environment of its own.
async fn hvac() -> Result<Peer> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let folder = built().join("chaos-peers");
    let python = folder.join("bin/python");
    if !folder.join("complete").is_file() {
        say("installing hvac");
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).await?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        run(pip.arg(here.join("requirements.txt"))).await?;
        std::fs::write(folder.join("complete"), "").map_err(|error| unusable(&folder, error))?;
    }
    Ok(Peer { name: "hvac", program: python, arguments: vec![here.join("hvac_loop.py")] })
}

/// Rust's other client. It is built in tests/bench, whose lock file is not that of the main workspace.
async fn vaultrs() -> Result<Peer> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/Cargo.toml");
    let target = built().join("chaos-vaultrs");
    say("building the loop of vaultrs, which takes a minute or two at first");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--locked", "--features", "peers", "--bin", "vaultrs_loop", "--manifest-path"]);
    run(cargo.arg(&manifest).arg("--target-dir").arg(&target)).await?;
    Ok(Peer { name: "vaultrs", program: target.join("debug/vaultrs_loop"), arguments: Vec::new() })
}

/// Where things go that are built and not committed.
fn built() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../target")
}

async fn run(command: &mut Command) -> Result<()> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let status = within(BUILD, "an installation", command.status()).await?;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::new(format!("an installation failed: {status}"), "see what it said")),
        Err(error) => Err(Error::new(format!("a program can't be started: {error}"), "install Python 3 and cargo")),
    }
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    Error::new(format!("{} can't be used: {error}", path.display()), "see who owns it")
}

/// What a peer said so far.
#[derive(Debug, Default)]
struct Seen {
    lines: Vec<(Instant, String)>,
    /// The moment of the kill.
    fault: Option<Instant>,
}

#[derive(Debug, Default)]
struct Counts {
    read: usize,
    older: usize,
    missing: usize,
    unread: usize,
    failed: usize,
}

impl Seen {
    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (_, line) in &self.lines {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["read", _, wanted, found] => {
                    counts.read += 1;
                    counts.older += usize::from(wanted != found);
                }
                ["missing", ..] => {
                    counts.read += 1;
                    counts.missing += 1;
                }
                ["unread", ..] => {
                    counts.read += 1;
                    counts.unread += 1;
                }
                ["failed", ..] => counts.failed += 1,
                _ => {}
            }
        }
        counts
    }

    /// From the kill to the first acknowledged write after it. Only a plain loop's is so simple: it does nothing while
    /// it waits.
    fn gap(&self) -> Option<Duration> {
        let fault = self.fault?;
        let acknowledged = self.lines.iter().filter(|(_, line)| line.starts_with("wrote "));
        let mut after = acknowledged.map(|(at, _)| at.saturating_duration_since(fault));
        after.find(|time| *time > Duration::from_millis(200))
    }

    /// The writes that failed, by secret.
    fn failed(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut failed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (_, line) in &self.lines {
            if let ["failed", path, value] = line.split(' ').collect::<Vec<_>>().as_slice() {
                failed.entry((*path).to_owned()).or_default().insert((*value).to_owned());
            }
        }
        failed
    }
}

fn start(cluster: &Cluster, peer: &Peer, count: u64, rest: u64) -> Result<Child> {
    let mut command = Command::new(&peer.program);
    command.args(&peer.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command.env("URLS", cluster.urls().join(",")).env("CACERT", cluster.ca_file()).env("MOUNT", MOUNT);
    command.env("TOKEN", cluster.root_token()?.expose_str()?);
    // A value counts as written where it is found, so each run has secrets of its own.
    command.env("RUN", format!("{}-{count}", peer.name));
    command.env("COUNT", count.to_string()).env("REST_MS", rest.to_string());
    command.spawn().map_err(|error| unusable(&peer.program, error))
}

/// Takes down what the program says, until it ends.
async fn listen(child: &mut Child, seen: &Mutex<Seen>) {
    let Some(output) = child.stdout.take() else { return };
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        seen.lock().unwrap_or_else(PoisonError::into_inner).lines.push((Instant::now(), line));
    }
}

async fn run_to_end(cluster: &Cluster, peer: &Peer, writes: u64) -> Result<Seen> {
    let mut child = start(cluster, peer, writes, NO_REST)?;
    let seen = Mutex::new(Seen::default());
    within(ROUNDS, peer.name, listen(&mut child, &seen)).await?;
    Ok(seen.into_inner().unwrap_or_else(PoisonError::into_inner))
}

async fn through_a_kill(cluster: &Cluster, bare: &Bare, peer: &Peer) -> Result<(Seen, Duration)> {
    let mut child = start(cluster, peer, ENDLESS, REST)?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = seen.clone();
    // Ends with the child, which ends with this task.
    let task = tokio::spawn(async move { listen(&mut child, &shared).await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    let leader = cluster.leader().await?;
    cluster.kill(leader).await?;
    let fault = Instant::now();
    let locked = || seen.lock().unwrap_or_else(PoisonError::into_inner);
    locked().fault = Some(fault);
    let own = bare.first_write(fault, ELECTION).await;
    let own = own.ok_or_else(|| Error::new("the cluster took no write for a minute", "see the nodes' logs"))?;
    let through = until(ELECTION, "a write of the peer got through", async || Ok(locked().gap().is_some())).await;
    if through.is_err() {
        say(format_args!("no write of {} got through for a minute", peer.name));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    task.abort();
    let _ = task.await;
    Ok((std::mem::take(&mut *locked()), own))
}

/// How many of the writes that failed are there all the same.
async fn executed(cluster: &Cluster, bare: &Bare, seen: &Seen) -> Result<usize> {
    let leader = mend(cluster).await?;
    let failed = seen.failed();
    let truth = bare.truth(leader, failed.keys().cloned()).await?;
    let there = |(path, values): (&String, &BTreeSet<String>)| {
        let held = truth.get(path).into_iter().flat_map(BTreeMap::values);
        held.filter(|value| values.contains(*value)).count()
    };
    Ok(failed.iter().map(there).sum())
}
