//! One seed from its beginning to its verdict.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use baokit_core::Client;

use crate::checker;
use crate::checker::timeline::Timeline;
use crate::cluster::Cluster;
use crate::cluster::effect::Phase;
use crate::faults;
use crate::history::{Kind, Outcome, Violation};
use crate::network::SimulatedHost;
use crate::profile::Profile;
use crate::random::Random;
use crate::tally::Tally;
use crate::workload::{Script, User, name_of};
use crate::world::World;

/// Faults go on for so long at most; a run whose clients are done sooner ends sooner.
const TROUBLE: Duration = Duration::from_secs(90);
/// So long after the last fault, nothing that was sent before is on its way any more.
const SETTLING: Duration = Duration::from_secs(40);
/// The longest deadline, and some more.
const LAST_READS: Duration = Duration::from_secs(35);

/// How runs are made, beside their seed.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The rule that clients leave out.
    #[cfg(feature = "broken-rules")]
    pub without: Option<baokit_core::Rule>,
    /// Whether invariants are checked that core is not expected to keep yet.
    pub all: bool,
    /// Whether a trace is kept.
    pub traced: bool,
}

impl Plan {
    /// Takes a rule away from a client where one is to be left out.
    #[cfg(feature = "broken-rules")]
    pub(crate) fn spoil(&self, client: Client<SimulatedHost>) -> Client<SimulatedHost> {
        match self.without {
            Some(rule) => client.without(rule),
            None => client,
        }
    }

    /// Leaves the client as it is: this build can't break rules.
    #[cfg(not(feature = "broken-rules"))]
    #[allow(clippy::unused_self)]
    pub(crate) fn spoil(&self, client: Client<SimulatedHost>) -> Client<SimulatedHost> {
        client
    }
}

/// What came of one seed.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How often what happened.
    pub tally: Tally,
    /// The invariants that were breached, by name, with what happened.
    pub violations: Vec<(&'static str, String)>,
    /// What happened, in the order in which it did, where it was asked for.
    pub trace: Vec<String>,
    /// How often a task ran.
    pub polls: u64,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, plan: &Plan) -> Report {
    let mut random = Random::new(seed);
    let profile = Profile::draw(&mut random);
    let (world, violations) = play(profile, random, plan);
    Report {
        seed,
        tally: world.tally.borrow().clone(),
        violations: violations.into_iter().map(|found| (found.invariant.as_str(), found.text)).collect(),
        trace: world.take_trace(),
        polls: world.executor.polls(),
    }
}

/// Plays a profile and judges what happened.
pub(crate) fn play(profile: Profile, mut random: Random, plan: &Plan) -> (Rc<World>, Vec<Violation>) {
    let cluster = Cluster::new(profile.era, profile.nodes, profile.lease, random.fork());
    let world = Rc::new(World::new(profile, cluster, random.fork(), plan.traced));
    world.trace(|| format!("{:?}", world.profile));
    let mut scripts = Vec::new();
    let mut users = Vec::new();
    for profile in world.profile.clients.clone() {
        let left = Cell::new(profile.tasks * profile.operations);
        let script = Rc::new(Script { profile, left });
        if let Some(user) = begin(&world, &script, plan, &mut random) {
            users.push(user);
            scripts.push(script);
        }
    }
    world.executor.spawn(faults::inject(world.clone(), random.fork()));
    let busy = |world: &World| world.lives.borrow().iter().any(|life| life.running > 0);
    while busy(&world) && world.executor.turn(TROUBLE) {
        bury(&world, &mut users, &mut scripts, plan, &mut random);
    }
    faults::heal(&world);
    let settled = world.now().saturating_add(SETTLING);
    while world.executor.turn(settled) {
        bury(&world, &mut users, &mut scripts, plan, &mut random);
    }
    world.executor.pass(settled);
    let spare = world.profile.clients.first().and_then(|profile| User::new(&world, profile, plan, random.fork()));
    finish(&world, spare.as_ref());
    // One who was there all along, and one who knows nothing yet, must find the same.
    for user in users.iter().cloned().chain(spare) {
        let world = user.world.clone();
        world.executor.clone().spawn(async move {
            // Of those that nobody has copied anything to, there is nothing to say.
            let profile = &user.world.profile;
            let is_used = |key: &usize| *key < profile.all_keys() || user.world.is_written(&name_of(*key));
            for key in (0..profile.keys_and_spares()).filter(is_used) {
                for (before, kind) in [Kind::Read, Kind::Versions, Kind::Read].into_iter().enumerate() {
                    user.perform(kind, key, Some(before)).await;
                }
            }
        });
    }
    let end = world.now().saturating_add(SETTLING).saturating_add(LAST_READS);
    while world.executor.turn(end) {}
    world.executor.pass(end);
    let found = checker::check(&world, plan.all);
    // Tasks hold the world and the world holds the tasks.
    world.executor.clear();
    (world, found)
}

/// Has all rotations finished that were left.
fn finish(world: &Rc<World>, by: Option<&Rc<User>>) {
    let left: Vec<_> = {
        let (cluster, history) = (world.cluster.borrow(), world.history.borrow());
        let timeline = Timeline::new(&cluster.log);
        let last = cluster.log.len().saturating_sub(1);
        let open = |key: &usize| {
            let name = name_of(*key);
            let record = timeline.record(&name, last).filter(|record| record.phase == Phase::Begun)?;
            let recorded = history.rotations(&name).map(|(recorded, _)| recorded).find(|it| it.id() == record.id)?;
            Some((*key, recorded.clone()))
        };
        (0..world.profile.all_keys()).filter_map(|key| open(&key)).collect()
    };
    if left.is_empty() {
        return;
    }
    let Some(user) = by.cloned() else { return };
    world.executor.spawn(async move {
        for (key, recorded) in left {
            user.finish(&recorded, key).await;
        }
    });
    let end = world.now().saturating_add(SETTLING).saturating_add(LAST_READS);
    while world.executor.turn(end) {}
    // Every standby hears of it.
    world.executor.pass(world.now().saturating_add(Duration::from_secs(1)));
}

fn begin(world: &Rc<World>, script: &Rc<Script>, plan: &Plan, random: &mut Random) -> Option<Rc<User>> {
    let user = User::new(world, &script.profile, plan, random.fork())?;
    user.clone().start(script);
    Some(user)
}

/// Ends the tasks of clients that died, and makes new ones that go on with their work.
fn bury(world: &Rc<World>, users: &mut Vec<Rc<User>>, scripts: &mut Vec<Rc<Script>>, plan: &Plan, random: &mut Random) {
    let died = |world: &World| world.lives.borrow().iter().position(|life| life.dead && !life.buried);
    while let Some(place) = died(world) {
        let tasks = world.lives.borrow_mut().get_mut(place).map(|life| {
            (life.buried, life.running) = (true, 0);
            std::mem::take(&mut life.tasks)
        });
        tasks.into_iter().flatten().for_each(|task| world.executor.kill(task));
        world.trace(|| format!("client {place} is dead"));
        let cut: Vec<_> = {
            let history = world.history.borrow();
            let mine = history.operations.iter().enumerate();
            mine.filter(|(_, op)| op.client.0 == place && op.end.is_none()).map(|(id, _)| id).collect()
        };
        cut.into_iter().for_each(|id| world.end(crate::history::OpId(id), Outcome::Cut));
        let Some(at) = users.iter().position(|user| user.id.0 == place) else { continue };
        users.remove(at);
        let script = scripts.remove(at);
        if let Some(user) = begin(world, &script, plan, random) {
            users.push(user);
            scripts.push(script);
        }
    }
}
