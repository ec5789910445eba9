//! The load: clients that write, rotate and read without a pause until they are told to stop, all of it taken down.
//!
//! Three clients: one over the list of nodes, one that knows the load balancer alone, and one over the list that is told
//! versions by the others. Each secret has one writer. A writer begins another secret from time to time, since a new one
//! is a case of its own: a standby that is behind calls it absent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baokit::{Client, Code, ReadOptions, Rotated};
use ha_cluster::{Cluster, Error, Result};
use serde_json::json;
use tokio::task::JoinSet;

use crate::history::{Kind, Outcome, Recorder};
use crate::place::{MOUNT, within};

/// The deadline of every operation: baokit's default.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How many versions a secret gets before the next one is begun.
const ROUNDS: u64 = 150;

/// A recorded rotation is dropped in one of its first so many milliseconds; most are over before that.
const CUTS: u64 = 600;

/// How long a writer and a reader rest between two operations: two processors have to carry three nodes as well.
const WRITER_REST: Duration = Duration::from_millis(60);
const READER_REST: Duration = Duration::from_millis(25);

/// The numbers of the clients in the history.
pub(crate) const NODES: usize = 0;
pub(crate) const BALANCER: usize = 1;
const TOLD: usize = 2;
/// The first number for clients of others.
pub(crate) const OTHERS: usize = 10;

/// A client as it stands in the history.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) number: usize,
    pub(crate) client: Client,
    pub(crate) recorder: Arc<Recorder>,
}

impl Actor {
    pub(crate) async fn read(&self, path: &str, min_version: u64, strong: bool) -> Outcome {
        let start = self.recorder.now();
        let mut options = ReadOptions::new().min_version(min_version);
        if strong {
            options = options.strong();
        }
        let outcome = match self.client.read_with(format!("openbao+kv2://{MOUNT}/{path}#v"), options).await {
            Ok(secret) => Outcome::Read(secret.version(), secret.expose_str().unwrap_or_default().to_owned()),
            Err(error) if error.code() == Code::SecretNotFound => Outcome::Absent,
            Err(error) => Outcome::Failed(error.code(), error.to_string()),
        };
        self.recorder.add(self.number, path, Kind::Read(min_version), start, outcome.clone());
        outcome
    }

    pub(crate) async fn write(&self, path: &str, kind: Kind) -> Outcome {
        let start = self.recorder.now();
        let uri = format!("openbao+kv2://{MOUNT}/{path}#v");
        let result = match &kind {
            Kind::Cas(cas, value) => {
                let write = self.client.kv2(MOUNT).write(path, json!({ "v": value })).cas(*cas).await;
                write.map(|written| written.version())
            }
            Kind::Write(value) => self.client.write(uri, value.as_str()).await.map(|change| change.new_version),
            Kind::Rotate(value) => self.client.rotate(uri, value.as_str()).await.map(|change| change.new_version),
            Kind::Recorded(value) => match self.rotate(&uri, value, start).await {
                Some(result) => result.map(|rotated| rotated.new_version),
                None => {
                    let outcome = Outcome::Failed(Code::Indeterminate, "it was dropped by its caller".to_owned());
                    self.recorder.add(self.number, path, kind, start, outcome.clone());
                    return outcome;
                }
            },
            Kind::Read(_) => Ok(0),
        };
        let outcome = match result {
            Ok(version) => Outcome::Wrote(version),
            Err(error) => Outcome::Failed(error.code(), error.to_string()),
        };
        self.recorder.add(self.number, path, kind, start, outcome.clone());
        outcome
    }

    /// Rotates, is cut off by dropping the future at some moment, and goes on by the operation id until half of the time
    /// is over. None where even the last of it was dropped, so that nobody was told what became of it.
    async fn rotate(&self, uri: &str, value: &str, start: Duration) -> Option<baokit::Result<Rotated>> {
        let new = self.client.rotation().value(value);
        let moment = value.bytes().fold(0_u64, |sum, byte| sum * 31 + u64::from(byte)) % CUTS;
        let mut result = within_time(Duration::from_millis(moment), self.client.rotate_with(uri, &new)).await;
        let mut resumed = self.client.resume_rotation(new.operation_id()).value(value);
        while !matches!(result, Some(Ok(_))) && self.recorder.now() < start + DEADLINE / 2 {
            tokio::time::sleep(WRITER_REST).await;
            result = within_time(DEADLINE / 2, self.client.rotate_with(uri, &resumed)).await;
            if matches!(&result, Some(Err(error)) if error.code() == Code::RotationUnknown) {
                // It was cut off before its intent was there, and is begun again under its id.
                resumed = new.clone();
            }
        }
        result
    }
}

/// The result, or none where the time was over first: the future is dropped then.
async fn within_time<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

/// How a writer writes.
#[derive(Clone, Copy, Debug)]
enum How {
    Cas,
    Write,
    Rotate,
    Recorded,
}

/// The newest version that each writer was acknowledged, with its secret.
#[derive(Debug, Default)]
struct Board(Mutex<Vec<(String, u64)>>);

impl Board {
    fn open(&self, slots: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = vec![(String::new(), 0); slots];
    }

    fn post(&self, slot: usize, path: &str, version: u64) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(posted) = slots.get_mut(slot) {
            *posted = (path.to_owned(), version);
        }
    }

    fn get(&self, slot: usize) -> Option<(String, u64)> {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(slot).filter(|(path, _)| !path.is_empty()).cloned()
    }
}

/// How many loads this process has begun. Each writes to secrets of its own: a cluster may carry several, one after the
/// other, and every value must have one place.
static LOADS: AtomicU64 = AtomicU64::new(0);

/// The load while it runs.
pub(crate) struct Load {
    pub(crate) recorder: Arc<Recorder>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Begins. `nodes` are the addresses by which the first and the third client reach the nodes.
    pub(crate) fn start(cluster: &Cluster, nodes: &[String]) -> Result<Self> {
        let recorder = Arc::new(Recorder::default());
        let actor = |number: usize, urls: Vec<String>| {
            let client = cluster.client_builder()?.urls(urls).deadline(DEADLINE).build()?;
            Ok::<_, Error>(Actor { number, client, recorder: recorder.clone() })
        };
        let turned = nodes.iter().cycle().skip(1).take(nodes.len()).cloned().collect();
        let first = actor(NODES, nodes.to_vec())?;
        let balanced = actor(BALANCER, vec![cluster.balancer_url()])?;
        let told = actor(TOLD, turned)?;

        let writers = [
            (&first, How::Cas),
            (&first, How::Write),
            (&balanced, How::Cas),
            (&balanced, How::Rotate),
            (&told, How::Recorded),
        ];
        let board = Arc::new(Board::default());
        board.open(writers.len());
        let load = LOADS.fetch_add(1, Ordering::Relaxed);
        let (stop, mut tasks) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for (slot, (actor, how)) in writers.into_iter().enumerate() {
            let place = format!("load/{load}/{slot}");
            tasks.spawn(write(actor.clone(), how, slot, place, board.clone(), stop.clone()));
        }
        for (actor, slots, is_told) in
            [(&first, vec![0, 1, 2], false), (&balanced, vec![2, 3, 0], false), (&told, vec![0, 1, 2, 3, 4], true)]
        {
            tasks.spawn(read(actor.clone(), slots, is_told, board.clone(), stop.clone()));
        }
        Ok(Self { recorder, stop, tasks })
    }

    /// Lets every operation end, and ends.
    pub(crate) async fn stop(mut self) -> Result<Arc<Recorder>> {
        self.stop.store(true, Ordering::Relaxed);
        let all = async {
            while let Some(done) = self.tasks.join_next().await {
                done.map_err(|error| Error::new(format!("a writer or reader ended: {error}"), "please report it"))?;
            }
            Ok::<_, Error>(())
        };
        within(3 * DEADLINE, "the load", all).await??;
        Ok(self.recorder)
    }
}

async fn write(actor: Actor, how: How, slot: usize, place: String, board: Arc<Board>, stop: Arc<AtomicBool>) {
    let (mut round, mut version, mut number) = (0, 0, 0u64);
    while !stop.load(Ordering::Relaxed) {
        let path = format!("{place}/{round}");
        let value = format!("{slot}-{round}-{number}");
        number += 1;
        let kind = match how {
            How::Cas => Kind::Cas(version, value),
            How::Write => Kind::Write(value),
            How::Rotate => Kind::Rotate(value),
            How::Recorded => Kind::Recorded(value),
        };
        match actor.write(&path, kind).await {
            Outcome::Wrote(made) => {
                version = made;
                board.post(slot, &path, made);
            }
            // Who uses check-and-set has to know where it stands.
            _ => match actor.read(&path, 0, true).await {
                Outcome::Read(found, _) => version = found,
                Outcome::Absent => version = 0,
                _ => {}
            },
        }
        if version >= ROUNDS {
            (round, version) = (round + 1, 0);
        }
        tokio::time::sleep(WRITER_REST).await;
    }
}

async fn read(actor: Actor, slots: Vec<usize>, is_told: bool, board: Arc<Board>, stop: Arc<AtomicBool>) {
    for slot in slots.into_iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if let Some((path, version)) = board.get(slot) {
            actor.read(&path, if is_told { version } else { 0 }, false).await;
        }
        tokio::time::sleep(READER_REST).await;
    }
}
