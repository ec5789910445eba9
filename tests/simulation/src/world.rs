//! What all parts of one run share: time, chance, the cluster, the history, the counts and the trace.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::cluster::node::{Belief, Power};
use crate::executor::{Executor, TaskId};
use crate::history::{ClientId, History, Invariant, OpId, Outcome};
use crate::network::Fate;
use crate::profile::Profile;
use crate::random::Random;
use crate::tally::{Fault, Notable, Tally};

/// A client's tasks, and whether it still lives.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) dead: bool,
    /// Log-ins that wait for their answer.
    pub(crate) logging_in: usize,
    /// The token that it was given last, and until when it is good beyond doubt.
    pub(crate) token: Option<(String, Duration)>,
    /// The node behind its connection to the load balancer.
    pub(crate) connection: Option<usize>,
    /// How far its wall clock is off, in seconds.
    pub(crate) clock: i64,
    /// Whether its tasks were ended, and another client goes on with its work.
    pub(crate) buried: bool,
    /// Tasks that still have something to do.
    pub(crate) running: usize,
}

pub(crate) struct World {
    pub(crate) executor: Executor,
    pub(crate) profile: Profile,
    pub(crate) cluster: RefCell<Cluster>,
    pub(crate) history: RefCell<History>,
    pub(crate) tally: RefCell<Tally>,
    /// Chance of the network and of the servers.
    pub(crate) random: RefCell<Random>,
    pub(crate) lives: RefCell<Vec<Life>>,
    /// How many connections the load balancer has passed on.
    pub(crate) turn: Cell<usize>,
    /// Which operation runs at this moment.
    pub(crate) current: Cell<Option<OpId>>,
    /// What a test wants to happen to a request of an operation, after so many others of it.
    pub(crate) planned: Cell<Option<(OpId, usize, Fate)>>,
    /// What is outside OpenBao, by the key of its secret: the value that it takes.
    pub(crate) outside: RefCell<BTreeMap<String, Value>>,
    /// Set when the faults are over.
    pub(crate) calm: Cell<bool>,
    trace: Option<RefCell<Vec<String>>>,
}

impl World {
    pub(crate) fn new(profile: Profile, cluster: Cluster, random: Random, traced: bool) -> Self {
        Self {
            executor: Executor::default(),
            profile,
            cluster: RefCell::new(cluster),
            history: RefCell::default(),
            tally: RefCell::default(),
            random: RefCell::new(random),
            lives: RefCell::default(),
            turn: Cell::default(),
            current: Cell::new(None),
            planned: Cell::new(None),
            outside: RefCell::default(),
            calm: Cell::new(false),
            trace: traced.then(RefCell::default),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.executor.now()
    }

    /// Adds a line to the trace, where one is kept.
    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let now = self.now();
            trace.borrow_mut().push(format!("{:>10.3} {}", now.as_secs_f64() * 1000.0, line()));
        }
    }

    pub(crate) fn take_trace(&self) -> Vec<String> {
        self.trace.as_ref().map(RefCell::take).unwrap_or_default()
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.tally.borrow_mut().fault(fault);
    }

    pub(crate) fn note(&self, notable: Notable) {
        self.tally.borrow_mut().note(notable);
    }

    pub(crate) fn violate(&self, invariant: Invariant, text: String) {
        self.trace(|| format!("VIOLATION {invariant:?}: {text}"));
        self.history.borrow_mut().violate(invariant, text);
    }

    /// Draws from the network's chance.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.borrow_mut())
    }

    pub(crate) async fn pause(&self, least: u64, most: u64) {
        let duration = self.draw(|random| random.millis(least, most));
        self.executor.sleep(duration).await;
    }

    pub(crate) fn log_length(&self) -> usize {
        self.cluster.borrow().log.len()
    }

    /// Whether anything was ever written to this key.
    pub(crate) fn is_written(&self, key: &str) -> bool {
        self.cluster.borrow().log.iter().any(|entry| entry.effect.key() == Some(key))
    }

    pub(crate) fn end(&self, op: OpId, outcome: Outcome) {
        self.trace(|| format!("op {} ends: {}", op.0, describe(&outcome)));
        self.note(match &outcome {
            Outcome::Cut | Outcome::Running => Notable::OperationCut,
            Outcome::Failed("CAS_CONFLICT", _) => Notable::OperationConflicted,
            Outcome::Failed("INDETERMINATE", _) => Notable::OperationIndeterminate,
            Outcome::Failed("ROTATION_IN_PROGRESS", _) => Notable::RotationBusy,
            Outcome::Failed("SECRET_NOT_FOUND" | "SECRET_DELETED" | "SECRET_DESTROYED", _)
            | Outcome::Failed("VERSION_NOT_FOUND" | "VERSION_DELETED" | "VERSION_DESTROYED", _) => {
                Notable::OperationAbsent
            }
            Outcome::Failed(..) => Notable::OperationFailed,
            _ => Notable::OperationSucceeded,
        });
        let (now, length) = (self.now(), self.log_length());
        self.history.borrow_mut().end(op, now, length, outcome);
    }

    /// Looks at a client's life, and may change it.
    pub(crate) fn life<T>(&self, client: ClientId, look: impl FnOnce(&mut Life) -> T) -> Option<T> {
        self.lives.borrow_mut().get_mut(client.0).map(look)
    }

    /// Waits until a node's process goes on, and says which start of it this is; none where it is down.
    pub(crate) async fn awake(&self, place: usize) -> Option<u32> {
        loop {
            let (power, starts) = self.cluster.borrow().node(place).map(|node| (node.power, node.starts))?;
            match power {
                Power::Up => return Some(starts),
                Power::Down => return None,
                Power::Frozen => self.executor.sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Ends a node's process: connections to it break.
    pub(crate) fn crash(&self, place: usize) {
        let now = self.now();
        let mut cluster = self.cluster.borrow_mut();
        cluster.catch_up(place, now);
        if cluster.leader == Some(place) {
            cluster.depose(now);
        }
        if let Some(node) = cluster.nodes.get_mut(place) {
            node.power = Power::Down;
            node.belief = Belief::Alone;
            node.dies_at_commit = false;
            node.storm = None;
        }
        drop(cluster);
        self.trace(|| format!("node {} is down", place + 1));
    }

    /// Starts a node that is down: it joins as a standby.
    pub(crate) fn start(&self, place: usize) {
        let now = self.now();
        let mut cluster = self.cluster.borrow_mut();
        if let Some(node) = cluster.nodes.get_mut(place) {
            node.power = Power::Up;
            node.starts += 1;
            node.sealed = false;
        }
        cluster.link(place, now);
        drop(cluster);
        self.trace(|| format!("node {} is up", place + 1));
    }
}

/// An outcome as a line of the trace shows it.
pub(crate) fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Read { version, value } => format!("version {version} {value}"),
        Outcome::Written { version } => format!("wrote version {version}"),
        Outcome::Rotated { id, old, new, is_recorded } => {
            format!("rotation {id} made version {new} of {old}{}", if *is_recorded { "" } else { ", without a record" })
        }
        Outcome::Copied { source, old, new } => format!("copied version {source} as version {new} after {old}"),
        Outcome::Versions { current } => format!("current version {current}"),
        Outcome::Failed(_, text) => text.clone(),
        other => format!("{other:?}"),
    }
}
