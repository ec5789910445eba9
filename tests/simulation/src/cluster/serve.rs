//! What a node does with a request: serve it, pass it on to the leader, send the client away, or keep
//! it hanging. Each branch is a fact that was measured on real clusters (contract.md, section 5).

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use baokit_devserver::model::{Request, Response};

use super::node::{Belief, Power, address};
use super::{Era, answers, asked_index};
use crate::history::SendId;
use crate::tally::{Fault, Notable};
use crate::world::World;

/// A request as it arrives at a node.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) request: Request,
    pub(crate) send: Option<SendId>,
    /// Whether it needs no write: a wrapped read needs one.
    pub(crate) reads: bool,
    pub(crate) wrapped: bool,
    /// How far the node must be.
    index: Option<u64>,
    /// Whether a standby that is not so far passes it on.
    forward: bool,
}

impl Inbound {
    pub(crate) fn new(request: Request, send: Option<SendId>) -> Self {
        let header = |name: &str| request.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        let wrapped = header("x-vault-wrap-ttl").is_some();
        let index = header("x-vault-index").and_then(|text| asked_index(text));
        let forward = header("x-vault-inconsistent").is_some_and(|text| text == "forward-active-node");
        let reads = request.method == "GET" && !wrapped;
        Self { request, send, reads, wrapped, index, forward }
    }

    fn path(&self) -> &str {
        let target = self.request.target.trim_start_matches("/v1/");
        target.split_once('?').map_or(target, |(path, _)| path)
    }
}

/// What comes back. A node that keeps a request hanging lets nothing come back.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Response),
    /// The connection was closed.
    Closed,
}

/// What a node decides on, at the moment when it looks at a request.
enum Decision {
    Say(Response),
    Lead,
    PassOn(usize),
    /// To look again later: the leader lost its quorum.
    Stuck,
    Hang,
}

/// Serves a request at a node. `hops` counts how often it was passed on.
pub(crate) fn serve(
    world: Rc<World>,
    place: usize,
    inbound: Rc<Inbound>,
    hops: u8,
) -> Pin<Box<dyn Future<Output = Reply>>> {
    Box::pin(async move {
        let Some(starts) = world.awake(place).await else { return Reply::Closed };
        let slow = world.cluster.borrow().node(place).map_or(Duration::ZERO, |node| node.slow);
        let work = world.draw(|random| random.millis(0, 2));
        world.executor.sleep(slow + work).await;
        if world.awake(place).await != Some(starts) {
            return Reply::Closed;
        }
        let mut decision = decide(&world, place, &inbound);
        if matches!(decision, Decision::Stuck) {
            world.pause(800, 2500).await;
            if world.awake(place).await != Some(starts) {
                return Reply::Closed;
            }
            decision = match decide(&world, place, &inbound) {
                Decision::Stuck => Decision::Say(answers::lost_leadership()),
                decision => decision,
            };
        }
        let reply = match decision {
            Decision::Say(answer) => Reply::Answer(answer),
            Decision::Lead => lead(&world, place, &inbound),
            Decision::PassOn(leader) => pass_on(&world, leader, inbound, hops).await,
            Decision::Stuck | Decision::Hang => std::future::pending().await,
        };
        world.pause(0, 2).await;
        // What a process was about to say it says when it goes on, or never.
        if world.awake(place).await == Some(starts) { reply } else { Reply::Closed }
    })
}

fn decide(world: &World, place: usize, inbound: &Inbound) -> Decision {
    let now = world.now();
    let mut cluster = world.cluster.borrow_mut();
    cluster.catch_up(place, now);
    let Some(node) = cluster.node(place) else { return Decision::Hang };
    let leads = node.belief == Belief::Leads;
    match inbound.path() {
        "sys/health" => return Decision::Say(answers::health(node.sealed, !leads)),
        "sys/seal-status" => return Decision::Say(answers::seal_status(node.sealed)),
        _ if node.sealed => return Decision::Say(answers::sealed()),
        "sys/leader" => {
            let known = if leads { Some(place) } else { cluster.leader };
            return Decision::Say(answers::leader(leads, &known.map(address).unwrap_or_default()));
        }
        _ => {}
    }
    if let Some(storm) = node.storm.filter(|storm| now < storm.until) {
        return Decision::Say(match storm.quota {
            true => answers::quota(inbound.path(), storm.retry_after),
            false => answers::unavailable(storm.retry_after),
        });
    }
    let belief = node.belief;
    drop(cluster);
    match belief {
        Belief::Leads => at_leader(world, place, inbound),
        Belief::Follows(_) | Belief::Alone if inbound.reads => at_standby(world, place, inbound),
        Belief::Follows(_) | Belief::Alone => change_at_standby(world, place, inbound),
    }
}

/// A standby works on a change with what it has, and passes it on when it comes to write: so what it
/// refuses, and what changes nothing in its eyes, never reaches the leader.
fn change_at_standby(world: &World, place: usize, inbound: &Inbound) -> Decision {
    let now = world.now();
    let cluster = world.cluster.borrow();
    let asked = inbound.index.filter(|_| cluster.era == Era::Indexed);
    if asked.is_some_and(|asked| asked > cluster.index(place)) {
        drop(cluster);
        if inbound.forward {
            world.note(Notable::PassedOnForIndex);
            return to_leader(world, place, inbound);
        }
        world.note(Notable::RefusedForIndex);
        return Decision::Say(answers::behind());
    }
    // Measured: it can't store what it wraps of its own.
    if inbound.path() == "sys/wrapping/wrap" {
        return Decision::Say(answers::internal_error());
    }
    let behind = cluster.node(place).is_some_and(|node| node.applied < cluster.log.len());
    if behind && inbound.path().starts_with("secret/") {
        let answer = cluster.try_out(place, now, &inbound.request).filter(|answer| match answer.status {
            400 => true,
            404 => answer.body.starts_with(br#"{"errors":"#),
            204 => cluster.is_nothing_to(place, now, &inbound.request),
            _ => false,
        });
        if let Some(answer) = answer {
            let answer = cluster.stamp(place, answer);
            drop(cluster);
            world.note(if answer.status == 204 { Notable::DidNothing } else { Notable::JudgedBehind });
            return Decision::Say(answer);
        }
    }
    drop(cluster);
    to_leader(world, place, inbound)
}

fn at_leader(world: &World, place: usize, inbound: &Inbound) -> Decision {
    let now = world.now();
    let mut cluster = world.cluster.borrow_mut();
    if cluster.is_deposed(place) {
        drop(cluster);
        return at_deposed(world, place, inbound);
    }
    if inbound.reads {
        // A leader ignores any index.
        let answer = cluster.look(place, now, &inbound.request);
        return Decision::Say(cluster.stamp(place, answer));
    }
    if cluster.commits(place) { Decision::Lead } else { Decision::Stuck }
}

/// It serves what it had, and can write nothing; it finds that out only where it has to write.
fn at_deposed(world: &World, place: usize, inbound: &Inbound) -> Decision {
    let now = world.now();
    let mut cluster = world.cluster.borrow_mut();
    if inbound.reads {
        let behind = cluster.node(place).is_some_and(|node| node.applied < cluster.log.len());
        let answer = cluster.look(place, now, &inbound.request);
        if behind {
            world.note(Notable::StaleAtDeposed);
        }
        return Decision::Say(cluster.stamp(place, answer));
    }
    if inbound.wrapped {
        world.note(Notable::WrappedReadRefused);
        return Decision::Say(answers::lost_leadership());
    }
    // What it refuses by its own state it refuses before it writes.
    let refusal = cluster.try_out(place, now, &inbound.request).filter(|answer| answer.status == 400);
    if let Some(answer) = refusal {
        world.note(Notable::FalseMismatch);
        return Decision::Say(answer);
    }
    drop(cluster);
    if world.draw(|random| random.chance(0.8)) {
        world.note(Notable::SelfRedirect);
        Decision::Say(answers::redirect(&address(place), &inbound.request.target))
    } else {
        Decision::Say(answers::lost_leadership())
    }
}

fn at_standby(world: &World, place: usize, inbound: &Inbound) -> Decision {
    let now = world.now();
    let mut cluster = world.cluster.borrow_mut();
    let Some(node) = cluster.node(place) else { return Decision::Hang };
    let secret = inbound.path().starts_with("secret/");
    if secret && now < node.no_mount {
        return Decision::Say(answers::no_route(inbound.path()));
    }
    if secret && now < node.no_policy {
        return Decision::Say(answers::denied());
    }
    let alone = node.belief == Belief::Alone;
    let asked = inbound.index.filter(|_| cluster.era == Era::Indexed);
    if asked.is_some_and(|asked| asked > cluster.index(place)) {
        drop(cluster);
        if inbound.forward {
            world.note(Notable::PassedOnForIndex);
            return to_leader(world, place, inbound);
        }
        world.note(Notable::RefusedForIndex);
        return Decision::Say(answers::behind());
    }
    let behind = node.applied < cluster.log.len();
    if alone && world.draw(|random| random.chance(0.4)) {
        return Decision::Say(answers::no_leader());
    }
    let answer = cluster.look(place, now, &inbound.request);
    // A token that was given out a moment ago is good everywhere at once.
    if answer.status == 403 && behind && !alone {
        drop(cluster);
        return to_leader(world, place, inbound);
    }
    if behind {
        world.note(Notable::StaleAtStandby);
    }
    Decision::Say(cluster.stamp(place, answer))
}

/// What only a leader can do, at a node that is none.
fn to_leader(world: &World, place: usize, inbound: &Inbound) -> Decision {
    let cluster = world.cluster.borrow();
    let Some(node) = cluster.node(place) else { return Decision::Hang };
    let cut_off = node.isolated || !node.member;
    let leader = match node.belief {
        // A removed node finds the leader through its old configuration.
        _ if cut_off && node.passes_on => cluster.leader,
        Belief::Follows(leader) if !cut_off => Some(leader),
        _ => None,
    };
    let Some(leader) = leader else {
        drop(cluster);
        return if world.draw(|random| random.chance(0.2)) {
            Decision::Hang
        } else {
            Decision::Say(answers::no_leader())
        };
    };
    let gone = cluster.node(leader).is_none_or(|node| node.power == Power::Down);
    drop(cluster);
    if !gone {
        return Decision::PassOn(leader);
    }
    match world.draw(|random| random.below(5)) {
        0 => Decision::Hang,
        1 => Decision::Say(answers::no_leader()),
        _ => {
            world.note(Notable::FailedForward);
            Decision::Say(answers::redirect(&address(leader), &inbound.request.target))
        }
    }
}

async fn pass_on(world: &Rc<World>, leader: usize, inbound: Rc<Inbound>, hops: u8) -> Reply {
    if hops >= 2 {
        return Reply::Answer(answers::no_leader());
    }
    world.note(Notable::PassedOn);
    world.pause(0, 1).await;
    let share = if world.calm.get() { 0.0 } else { world.profile.share(Fault::LostForward) };
    let reply = match serve(world.clone(), leader, inbound.clone(), hops + 1).await {
        Reply::Answer(_) if share > 0.0 && world.draw(|random| random.chance(share)) => {
            world.fault(Fault::LostForward);
            Reply::Closed
        }
        reply => reply,
    };
    match reply {
        // A standby that could not pass a request on sends the client to the leader, whatever became of
        // the request there: it may have been executed.
        Reply::Closed => {
            world.note(Notable::FailedForward);
            Reply::Answer(answers::redirect(&address(leader), &inbound.request.target))
        }
        answer @ Reply::Answer(_) => answer,
    }
}

/// The leader carries a request out.
fn lead(world: &Rc<World>, place: usize, inbound: &Inbound) -> Reply {
    let now = world.now();
    let mut cluster = world.cluster.borrow_mut();
    let before = cluster.log.len();
    let answer = cluster.execute(now, &inbound.request, inbound.send);
    let answer = cluster.stamp(place, answer);
    let committed = cluster.log.len() > before;
    if inbound.wrapped && committed {
        world.note(Notable::WrappedRead);
    }
    let dies = committed && cluster.node(place).is_some_and(|node| node.dies_at_commit);
    let effect = cluster.log.last().filter(|_| committed).map(|entry| entry.effect.clone());
    drop(cluster);
    if let Some(effect) = effect {
        world.trace(|| format!("  committed as entry {before}: {effect:?} of send {:?}", inbound.send.map(|id| id.0)));
        let history = world.history.borrow();
        let op = inbound.send.and_then(|send| history.operation_of(send)).and_then(|op| history.get(op));
        let over = op.is_some_and(|op| op.end.is_some()) && effect.key().is_some();
        drop(history);
        if over {
            world.note(Notable::ExecutedAfterEnd);
        }
    }
    if dies {
        world.fault(Fault::CrashAtCommit);
        world.note(Notable::ExecutedUnanswered);
        crate::faults::crash(world, place);
        return Reply::Closed;
    }
    Reply::Answer(answer)
}
