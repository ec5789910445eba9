//! Each write followed at once by a read, which must show it: by another client that knows one other node and is told
//! the version, by the same client over the list of nodes, through HAProxy, and through HAProxy by a client that can
//! reach no node itself.
//!
//! "Can reach no node itself" means: the balancer is the only address that the client is configured with, and core
//! follows a redirect to a configured address only. That nothing was sent elsewhere is seen in the errors and in the
//! count of requests; no packet filter is involved.

use std::time::Instant;

use baokit::{Client, Code, Secret};
use ha_cluster::{Cluster, Error, Result};
use serde_json::json;
use tokio::task::JoinSet;

use crate::figures::{Shown, Times};
use crate::place::{MOUNT, whole};
use crate::{Report, say, wire};

/// How many write at once. Their requests share the client's connections, which lead to different nodes behind HAProxy:
/// one alone would always come to the same node.
const AT_ONCE: usize = 3;

/// How often a secret is written before the next one is begun: new secrets matter, a standby calls them absent.
const ROUNDS: u64 = 10;

/// How the read is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    OtherNode,
    Nodes,
    Balancer,
    BalancerAlone,
}

impl Way {
    const ALL: [Self; 4] = [Self::OtherNode, Self::Nodes, Self::Balancer, Self::BalancerAlone];

    fn name(self) -> &'static str {
        match self {
            Self::OtherNode => "another node, told the version",
            Self::Nodes => "the list of nodes",
            Self::Balancer => "HAProxy",
            Self::BalancerAlone => "HAProxy, no node reachable",
        }
    }

    /// The clients of each of those who write: one that writes, one that reads.
    fn clients(self, cluster: &Cluster) -> Result<Vec<(Client, Client)>> {
        let urls = cluster.urls();
        let build = |urls: Vec<String>| Ok::<_, Error>(cluster.client_builder()?.urls(urls).build()?);
        let shared = |urls: Vec<String>| build(urls).map(|client| vec![(client.clone(), client); AT_ONCE]);
        match self {
            Self::OtherNode => {
                let writer = build(urls.clone())?;
                (0..AT_ONCE).map(|at| Ok((writer.clone(), build(only(&urls, at))?))).collect()
            }
            // One client for each, and each begins with another node of the list.
            Self::Nodes => {
                (0..AT_ONCE).map(|at| build(turned(&urls, at)).map(|client| (client.clone(), client))).collect()
            }
            Self::Balancer => shared([cluster.balancer_url()].into_iter().chain(urls).collect()),
            Self::BalancerAlone => shared(vec![cluster.balancer_url()]),
        }
    }
}

fn only(urls: &[String], at: usize) -> Vec<String> {
    urls.iter().cycle().skip(at).take(1).cloned().collect()
}

fn turned(urls: &[String], at: usize) -> Vec<String> {
    urls.iter().cycle().skip(at).take(urls.len()).cloned().collect()
}

/// What became of the reads.
#[derive(Debug, Default)]
struct Tally {
    reads: u64,
    older: u64,
    missing: u64,
    failed: u64,
    write_times: Times,
    read_times: Times,
    violations: Vec<String>,
}

/// Writes and reads so often in each of the four ways.
///
/// # Errors
/// Where the cluster does not come up, or not back.
pub async fn reads(cluster: &Cluster, writes: u64) -> Result<Report> {
    in_ways(cluster, &Way::ALL, writes).await
}

/// The first way alone.
pub(crate) async fn other_node(cluster: &Cluster, writes: u64) -> Result<Report> {
    in_ways(cluster, &[Way::OtherNode], writes).await
}

async fn in_ways(cluster: &Cluster, ways: &[Way], writes: u64) -> Result<Report> {
    let wire = wire::listen(None)?;
    whole(cluster).await?;
    let mut report = Report::default();
    let mut parts = Vec::new();
    for way in ways.iter().copied() {
        let before = wire.counts();
        let start = Instant::now();
        let tally = one_way(cluster, way, writes).await?;
        let sent = wire.counts().since(before);
        let Tally { reads, older, missing, failed, write_times, read_times, violations } = &tally;
        violations.iter().for_each(|text| report.violation(text));
        say(format_args!(
            "{}: {reads} reads, {older} older, {missing} missing, {failed} failed; read median {} (99 %: {}), write median {}; \
             {} strong reads, {} requests for {} writes and reads; {:.1} s",
            way.name(),
            Shown(read_times.median()),
            Shown(read_times.high()),
            Shown(write_times.median()),
            sent.strong,
            sent.requests,
            2 * reads,
            start.elapsed().as_secs_f64(),
        ));
        parts.push(format!(
            "{}: {reads} reads, {} wrong, median {}, {} strong",
            way.name(),
            older + missing + failed,
            Shown(read_times.median()),
            sent.strong
        ));
    }
    report.summary = format!("reads on {}: {}; {} violations", cluster.version(), parts.join("; "), report.count);
    Ok(report)
}

async fn one_way(cluster: &Cluster, way: Way, writes: u64) -> Result<Tally> {
    let mut tasks = JoinSet::new();
    let share = writes.div_ceil(AT_ONCE as u64);
    for (at, (writer, reader)) in way.clients(cluster)?.into_iter().enumerate() {
        let count = share.min(writes.saturating_sub(share * at as u64));
        tasks.spawn(async move { write_and_read(way, at, writer, reader, count).await });
    }
    let mut all = Tally::default();
    while let Some(done) = tasks.join_next().await {
        let one = done.map_err(|error| Error::new(format!("a task ended: {error}"), "please report it"))?;
        all.reads += one.reads;
        all.older += one.older;
        all.missing += one.missing;
        all.failed += one.failed;
        all.write_times.extend(one.write_times);
        all.read_times.extend(one.read_times);
        all.violations.extend(one.violations);
    }
    Ok(all)
}

async fn write_and_read(way: Way, at: usize, writer: Client, reader: Client, count: u64) -> Tally {
    let mut tally = Tally::default();
    let (writer, reader) = (writer.kv2(MOUNT), reader.kv2(MOUNT));
    for number in 0..count {
        let path = format!("reads/{}/{at}/{}", way as u8, number / ROUNDS);
        let value = format!("{way:?}-{at}-{number}");
        let start = Instant::now();
        let written = match writer.write(&path, json!({ "v": value })).cas(number % ROUNDS).await {
            Ok(written) => written.version(),
            Err(error) => {
                tally.failed += 1;
                tally.violations.push(format!("{}: the write of {path} failed: {error}", way.name()));
                continue;
            }
        };
        let wrote = Instant::now();
        let read = reader.read(&path);
        let result = if way == Way::OtherNode { read.min_version(written).await } else { read.await };
        tally.read_times.add(wrote.elapsed());
        tally.write_times.add(wrote - start);
        tally.judge(way, &path, written, &value, result);
    }
    tally
}

impl Tally {
    fn judge(&mut self, way: Way, path: &str, written: u64, value: &str, result: baokit::Result<Secret>) {
        self.reads += 1;
        let wrong = match result {
            Ok(secret) if secret.version() == written && secret.expose().get("v").is_some_and(|v| v == value) => return,
            Ok(secret) if secret.version() < written => {
                self.older += 1;
                format!("version {} was read", secret.version())
            }
            Err(error) if matches!(error.code(), Code::SecretNotFound | Code::SecretDeleted) => {
                self.missing += 1;
                "it was not there".to_owned()
            }
            Ok(secret) => {
                self.failed += 1;
                format!("another value was read as version {}", secret.version())
            }
            Err(error) => {
                self.failed += 1;
                error.to_string()
            }
        };
        self.violations.push(format!("{}: after version {written} of {path}: {wrong}", way.name()));
    }
}
