//! What is done to the cluster while clients use it, and the elections that follow.

use std::rc::Rc;
use std::time::Duration;

use crate::cluster::node::{Belief, Power, Storm};
use crate::foreign;
use crate::random::Random;
use crate::tally::{Fault, Notable};
use crate::world::World;

/// Puts in faults until the run is calm.
pub(crate) async fn inject(world: Rc<World>, mut random: Random) {
    // Those that come with a request, and those that a client's own script draws, are not among these.
    let timed = |fault: &Fault| {
        !matches!(
            fault,
            Fault::LostRequest
                | Fault::LostAnswer
                | Fault::LateExecution
                | Fault::LostForward
                | Fault::Duplicate
                | Fault::DuplicateAnswered
                | Fault::TruncatedBody
                | Fault::Cancelled
                | Fault::OutsideFails
                | Fault::Restart
                | Fault::Resume
        )
    };
    let all: Vec<_> = Fault::ALL.iter().copied().filter(timed).collect();
    let weight = |fault: &Fault| world.profile.weight(*fault);
    loop {
        let pause = random.millis(50, world.profile.fault_pause);
        world.executor.sleep(pause).await;
        if world.calm.get() {
            return;
        }
        let Some(fault) = random.weighted(all.iter().map(weight)).and_then(|place| all.get(place)) else { return };
        put_in(&world, &mut random, *fault).await;
    }
}

async fn put_in(world: &Rc<World>, random: &mut Random, fault: Fault) {
    let (count, leader) = {
        let cluster = world.cluster.borrow();
        (cluster.nodes.len(), cluster.leader)
    };
    // The leader is where it hurts most.
    let place = leader.filter(|_| random.chance(0.5)).unwrap_or_else(|| random.place(count));
    let brief = random.millis(200, 6000);
    match fault {
        Fault::Crash => begin(world, fault, place, brief, crash, World::start),
        Fault::CrashAtCommit => {
            change(world, leader.unwrap_or(place), |node| node.dies_at_commit = true);
        }
        Fault::NodePartition => {
            let passes_on = random.chance(0.3);
            begin(world, fault, place, brief, move |world, place| isolate(world, place, passes_on), join);
        }
        Fault::ClientPartition => {
            let set = |on| move |world: &World, place| change(world, place, |node| node.unreachable = on);
            begin(world, fault, place, brief, move |world, place| set(true)(world, place), set(false));
        }
        Fault::SlowLink => {
            let slow = random.millis(20, 3000);
            let end = |world: &World, place| change(world, place, |node| node.slow = Duration::ZERO);
            begin(world, fault, place, brief, move |world, place| change(world, place, |n| n.slow = slow), end);
        }
        Fault::SlowReplication => {
            let lag = random.millis(300, 4000);
            let end = |world: &World, place| change(world, place, |node| node.lag = Duration::from_millis(80));
            begin(world, fault, place, brief, move |world, place| change(world, place, |n| n.lag = lag), end);
        }
        Fault::StepDown => {
            world.fault(fault);
            step_down(world);
        }
        Fault::Freeze => {
            let long = random.millis(500, 14_000);
            let start = |world: &Rc<World>, place| freeze(world, place, (5000, 9000));
            begin(world, fault, place, long, start, |world, place| resume(world, place, false));
        }
        // Frozen until another leads, and for a while after.
        Fault::Deposed => {
            if let Some(leader) = leader {
                // They find out sooner than usual: clients must be there still when it wakes.
                freeze(world, leader, (800, 2500));
                let world = world.clone();
                let more = random.millis(0, 2000);
                world.executor.clone().spawn(async move { depose(&world, leader, more).await });
            }
        }
        Fault::Removed => {
            if Some(place) != leader && world.cluster.borrow().nodes.iter().all(|node| node.member) {
                begin(world, fault, place, brief * 3, remove, readmit);
            }
        }
        Fault::Sealed => begin(world, fault, place, brief, seal, World::start),
        Fault::LatePolicy | Fault::LateMount if Some(place) != leader => {
            world.fault(fault);
            let until = world.now().saturating_add(random.millis(50, 1200));
            change(world, place, |node| match fault {
                Fault::LatePolicy => node.no_policy = until,
                _ => node.no_mount = until,
            });
        }
        Fault::Quota | Fault::Unavailable => {
            world.fault(fault);
            let until = world.now().saturating_add(random.millis(100, 4000));
            let retry_after = random.chance(0.3).then(|| Duration::from_secs(random.between(1, 3)));
            let storm = Storm { until, retry_after, quota: fault == Fault::Quota };
            let everywhere = random.chance(0.5);
            for node in (0..count).filter(|node| everywhere || *node == place) {
                change(world, node, |node| node.storm = Some(storm));
            }
        }
        Fault::ClockJump => {
            let mut lives = world.lives.borrow_mut();
            let count = lives.len();
            if let Some(life) = lives.get_mut(random.place(count)) {
                let jump = i64::try_from(random.between(1, 100_000)).unwrap_or(1);
                life.clock += if random.chance(0.5) { jump } else { -jump };
                drop(lives);
                world.fault(fault);
            }
        }
        Fault::ClientCrash => {
            let mut lives = world.lives.borrow_mut();
            let alive: Vec<_> = (0..lives.len()).filter(|i| lives.get(*i).is_some_and(|life| !life.dead)).collect();
            if let Some(life) = random.pick(&alive).and_then(|place| lives.get_mut(*place)) {
                life.dead = true;
                drop(lives);
                world.fault(fault);
            }
        }
        Fault::TokenRevoked => foreign::revoke(world, random),
        fault => foreign::act(world, random, fault),
    }
}

/// Begins a fault at a node, and mends it after a while.
fn begin(
    world: &Rc<World>,
    fault: Fault,
    place: usize,
    length: Duration,
    start: impl FnOnce(&Rc<World>, usize),
    mend: impl FnOnce(&World, usize) + 'static,
) {
    world.fault(fault);
    world.trace(|| format!("FAULT {} at node {} for {} ms", fault.as_str(), place + 1, length.as_millis()));
    start(world, place);
    let later = world.clone();
    world.executor.spawn(async move {
        later.executor.sleep(length).await;
        mend(&later, place);
        let mended = match fault {
            Fault::Crash => Some(Fault::Restart),
            Fault::Freeze => Some(Fault::Resume),
            _ => None,
        };
        mended.into_iter().for_each(|fault| later.fault(fault));
    });
}

fn change(world: &World, place: usize, change: impl FnOnce(&mut crate::cluster::node::Node)) {
    if let Some(node) = world.cluster.borrow_mut().nodes.get_mut(place) {
        change(node);
    }
}

/// Ends a node's process, and lets the others elect where it led.
pub(crate) fn crash(world: &Rc<World>, place: usize) {
    let led = world.cluster.borrow().leader == Some(place);
    world.crash(place);
    if led {
        after_leader(world, (1000, 12_000));
    }
}

/// The leader is gone: the others notice after a while, and elect after some more.
fn after_leader(world: &Rc<World>, (least, most): (u64, u64)) {
    let later = world.clone();
    world.executor.spawn(async move {
        let notice = later.draw(|random| random.millis(least / 4, most / 4));
        later.executor.sleep(notice).await;
        later.cluster.borrow_mut().notice_absence();
        loop {
            later.pause(least / 2, most / 2).await;
            if later.cluster.borrow().leader.is_some() {
                return;
            }
            let now = later.now();
            let winner = later.cluster.borrow_mut().elect(now);
            if let Some(winner) = winner {
                later.note(Notable::Elected);
                later.trace(|| format!("node {} leads", winner + 1));
                return;
            }
        }
    });
}

fn step_down(world: &Rc<World>) {
    let now = world.now();
    let mut cluster = world.cluster.borrow_mut();
    let Some(leader) = cluster.leader else { return };
    cluster.depose(now);
    if let Some(node) = cluster.nodes.get_mut(leader) {
        node.belief = Belief::Alone;
        node.linked = now;
    }
    drop(cluster);
    world.trace(|| format!("node {} steps down", leader + 1));
    after_leader(world, (600, 2800));
}

/// Cuts a node off from the others. A leader gives up after a second without them.
fn isolate(world: &Rc<World>, place: usize, passes_on: bool) {
    let now = world.now();
    world.cluster.borrow_mut().catch_up(place, now);
    change(world, place, |node| (node.isolated, node.passes_on) = (true, passes_on));
    let later = world.clone();
    world.executor.spawn(async move {
        later.pause(500, 2000).await;
        let now = later.now();
        let mut cluster = later.cluster.borrow_mut();
        if cluster.node(place).is_none_or(|node| !node.isolated) {
            return;
        }
        let led = cluster.leader == Some(place);
        if led {
            cluster.depose(now);
        }
        if let Some(node) = cluster.nodes.get_mut(place) {
            node.belief = Belief::Alone;
        }
        drop(cluster);
        if led {
            after_leader(&later, (1000, 6000));
        }
    });
}

fn join(world: &World, place: usize) {
    let now = world.now();
    change(world, place, |node| (node.isolated, node.passes_on) = (false, false));
    let mut cluster = world.cluster.borrow_mut();
    if cluster.node(place).is_some_and(|node| node.power == Power::Up) {
        cluster.link(place, now);
    }
}

/// Stops a node's process. The others elect another where it led and stays away for long enough.
fn freeze(world: &Rc<World>, place: usize, (least, most): (u64, u64)) {
    let now = world.now();
    world.cluster.borrow_mut().catch_up(place, now);
    if world.cluster.borrow().node(place).is_none_or(|node| node.power != Power::Up) {
        return;
    }
    change(world, place, |node| node.power = Power::Frozen);
    let later = world.clone();
    world.executor.spawn(async move {
        later.pause(least, most).await;
        let now = later.now();
        let mut cluster = later.cluster.borrow_mut();
        let away = cluster.node(place).is_some_and(|node| node.power == Power::Frozen);
        if away && cluster.leader == Some(place) && cluster.has_quorum() {
            cluster.depose(now);
            cluster.notice_absence();
            drop(cluster);
            after_leader(&later, (400, 2000));
        }
    });
}

/// A frozen node goes on. One that led and was replaced may not notice.
fn resume(world: &World, place: usize, stubborn: bool) {
    let now = world.now();
    let mut cluster = world.cluster.borrow_mut();
    if cluster.node(place).is_none_or(|node| node.power != Power::Frozen) {
        return;
    }
    let replaced = cluster.leader != Some(place);
    let led = cluster.node(place).is_some_and(|node| node.belief == Belief::Leads);
    if let Some(node) = cluster.nodes.get_mut(place) {
        node.power = Power::Up;
    }
    // One at a time: it is rare enough on real clusters.
    let another = (0..cluster.nodes.len()).any(|other| other != place && cluster.is_deposed(other));
    let notices = another || (!stubborn && world.draw(|random| random.chance(0.74)));
    if !(replaced && led) || notices {
        cluster.link(place, now);
    } else {
        drop(cluster);
        world.fault(Fault::Deposed);
        world.trace(|| format!("node {} still believes that it leads", place + 1));
    }
}

async fn depose(world: &Rc<World>, place: usize, more: Duration) {
    world.trace(|| format!("FAULT node {} is frozen until another leads", place + 1));
    for _ in 0..100 {
        world.executor.sleep(Duration::from_millis(200)).await;
        let leader = world.cluster.borrow().leader;
        if world.calm.get() || leader.is_some_and(|leader| leader != place) {
            break;
        }
    }
    world.executor.sleep(more).await;
    resume(world, place, true);
    // Clients turn to it where they can't reach the others for a while.
    let others: Vec<_> = (0..world.cluster.borrow().nodes.len()).filter(|other| *other != place).collect();
    if world.calm.get() || !world.draw(|random| random.chance(0.5)) {
        return;
    }
    for other in others {
        let length = world.draw(|random| random.millis(20, 400));
        let set = |on| move |world: &World, place| change(world, place, |node| node.unreachable = on);
        let start = move |world: &Rc<World>, place| set(true)(world, place);
        begin(world, Fault::ClientPartition, other, length, start, set(false));
    }
}

fn remove(world: &Rc<World>, place: usize) {
    let now = world.now();
    world.cluster.borrow_mut().catch_up(place, now);
    change(world, place, |node| (node.member, node.passes_on) = (false, true));
}

fn readmit(world: &World, place: usize) {
    change(world, place, |node| node.member = true);
    join(world, place);
}

fn seal(world: &Rc<World>, place: usize) {
    let now = world.now();
    let mut cluster = world.cluster.borrow_mut();
    cluster.catch_up(place, now);
    let led = cluster.leader == Some(place);
    if led {
        cluster.depose(now);
    }
    if let Some(node) = cluster.nodes.get_mut(place) {
        (node.sealed, node.belief) = (true, Belief::Alone);
    }
    drop(cluster);
    if led {
        after_leader(world, (600, 6000));
    }
}

/// Ends all faults: every node runs, is a member, and follows the one leader.
pub(crate) fn heal(world: &Rc<World>) {
    let now = world.now();
    world.calm.set(true);
    let mut cluster = world.cluster.borrow_mut();
    let places = 0..cluster.nodes.len();
    let leader = cluster.leader;
    for place in places.clone() {
        cluster.catch_up(place, now);
        if let Some(node) = cluster.nodes.get_mut(place) {
            // A leader that was deposed does not notice by itself: it is started again.
            let deposed = node.belief == Belief::Leads && leader != Some(place);
            if node.power == Power::Down || node.sealed || deposed {
                node.starts += 1;
                node.belief = Belief::Alone;
            }
            let mut fresh = crate::cluster::node::Node::new(node.belief, node.lag.min(Duration::from_millis(120)));
            (fresh.starts, fresh.applied) = (node.starts, node.applied);
            *node = fresh;
        }
    }
    places.for_each(|place| cluster.link(place, now));
    if cluster.leader.is_none() {
        cluster.elect(now);
    }
    drop(cluster);
    world.trace(|| "everything is mended".to_owned());
}
