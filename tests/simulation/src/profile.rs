//! What kind of run a seed makes: how large the cluster is, how its clients are set up, and which faults
//! come how often. Some seeds are calm, some know one kind of fault only, some know many.

use std::time::Duration;

use crate::cluster::Era;
use crate::random::Random;
use crate::tally::Fault;

/// Faults that are never put in: those that core is not yet made for. They are switched off here, and
/// nowhere else.
const OFF: &[Fault] = &[Fault::DuplicateAnswered];

/// How many keys only copies and moves write to.
pub(crate) const SPARES: usize = 2;

/// How one client is made.
#[derive(Clone, Debug)]
pub(crate) struct ClientProfile {
    /// Whether it knows all nodes; else one load balancer's address.
    pub(crate) knows_nodes: bool,
    /// Whether it logs in by AppRole; else it has a token.
    pub(crate) logs_in: bool,
    pub(crate) deadline: Duration,
    pub(crate) places: usize,
    pub(crate) wakes_across_tasks: bool,
    pub(crate) tasks: usize,
    /// What each task does before the client ends.
    pub(crate) operations: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) era: Era,
    pub(crate) nodes: usize,
    /// The life of a log-in's token, in seconds.
    pub(crate) lease: u64,
    pub(crate) keys: usize,
    pub(crate) clients: Vec<ClientProfile>,
    /// For how long every other client keeps what it reads, and for how long more where nobody answers, in
    /// seconds.
    pub(crate) cache: Option<(u64, u64)>,
    /// The longest pause between two operations of a task, in milliseconds.
    pub(crate) pause: u64,
    /// The longest pause between two faults, in milliseconds.
    pub(crate) fault_pause: u64,
    /// How often each fault comes, relative to the others; 0 for never.
    weights: Vec<u32>,
    /// Whether clients are busy with recorded rotations.
    pub(crate) rotates: bool,
    /// Whether there is one more key, which only rotations change that change something outside as well.
    pub(crate) outside: bool,
    /// Whether clients leave rotations and rest, for so long that leases end.
    pub(crate) lingers: bool,
}

impl Profile {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let era = if random.chance(0.7) { Era::Indexed } else { Era::Silent };
        let nodes = random.pick(&[3, 3, 3, 5, 4]).copied().unwrap_or(3);
        let count = random.between(2, 3);
        let clients = (0..count).map(|_| client(random)).collect();
        let rotates = random.chance(0.3);
        // Beside the draws of all the others: a run without a cache is what it was before there was one.
        let mut aside = random.clone();
        let cache = aside.chance(0.3).then(|| {
            let one_of = |random: &mut Random, seconds: &[u64]| random.pick(seconds).copied().unwrap_or_default();
            (one_of(&mut aside, &[1, 5, 20]), one_of(&mut aside, &[0, 10]))
        });
        Self {
            era,
            nodes,
            lease: random.between(3, 60),
            keys: random.pick(&[1, 2, 2, 3]).copied().unwrap_or(2),
            clients,
            cache,
            pause: random.pick(&[100, 400, 1500]).copied().unwrap_or(400),
            fault_pause: random.pick(&[400, 2000, 6000]).copied().unwrap_or(2000),
            weights: weights(random),
            rotates,
            outside: random.chance(0.15),
            lingers: rotates && random.chance(0.25),
        }
    }

    /// All keys: the last is the one of [`Profile::outside`].
    pub(crate) fn all_keys(&self) -> usize {
        self.keys + usize::from(self.outside)
    }

    /// Those and the keys that nothing but copies and moves writes to.
    pub(crate) fn keys_and_spares(&self) -> usize {
        self.all_keys() + SPARES
    }

    pub(crate) fn weight(&self, fault: Fault) -> u32 {
        let weight = self.weights.get(fault as usize).copied().unwrap_or_default();
        if OFF.contains(&fault) { 0 } else { weight }
    }

    /// How often a request meets this fault.
    pub(crate) fn share(&self, fault: Fault) -> f64 {
        f64::from(self.weight(fault)) / 40.0
    }

    /// A run without faults, for tests.
    #[cfg(test)]
    pub(crate) fn calm(era: Era, nodes: usize) -> Self {
        let mut random = Random::new(1);
        let weights = vec![0; Fault::ALL.len()];
        Self { era, nodes, lease: 3600, cache: None, weights, lingers: false, ..Self::draw(&mut random) }
    }
}

fn client(random: &mut Random) -> ClientProfile {
    ClientProfile {
        knows_nodes: random.chance(0.7),
        logs_in: random.chance(0.6),
        deadline: Duration::from_millis(random.pick(&[900, 2000, 5000, 12_000, 30_000]).copied().unwrap_or(5000)),
        places: random.pick(&[1, 2, 50]).copied().unwrap_or(50),
        wakes_across_tasks: random.chance(0.8),
        tasks: random.pick(&[1, 2, 3]).copied().unwrap_or(1),
        operations: usize::try_from(random.between(4, 12)).unwrap_or(8),
    }
}

/// So large a share of all faults.
fn some(random: &mut Random, share: f64, weight: u32) -> Vec<u32> {
    let one = |fault: &Fault| if random.chance(share) { weight * emphasis(*fault) } else { 0 };
    Fault::ALL.iter().map(one).collect()
}

/// What takes long to come about, or hurts at one moment only, is put in more often.
fn emphasis(fault: Fault) -> u32 {
    match fault {
        Fault::Deposed => 12,
        Fault::CrashAtCommit | Fault::LostForward | Fault::Removed => 3,
        Fault::TokenRevoked | Fault::LostAnswer => 2,
        _ => 1,
    }
}

fn weights(random: &mut Random) -> Vec<u32> {
    let all = Fault::ALL.len();
    match random.below(10) {
        0 => vec![0; all],
        1..=3 => {
            let mut weights = vec![0; all];
            // Its own remedy comes with a fault: what crashes starts again.
            let emphases = Fault::ALL.iter().map(|fault| emphasis(*fault));
            if let Some(weight) = random.weighted(emphases).and_then(|place| weights.get_mut(place)) {
                *weight = 4;
            }
            weights
        }
        4..=6 => some(random, 0.2, 2),
        _ => some(random, 0.5, 1),
    }
}
