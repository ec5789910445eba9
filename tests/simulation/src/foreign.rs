//! Another client, which is not ours and speaks to the leader directly: what it does to keys is what
//! ours must cope with.

use baokit_devserver::model::Request;

use crate::cluster::effect::Effect;
use crate::cluster::{FIXED, ROOT};
use crate::random::Random;
use crate::tally::Fault;
use crate::world::World;

/// Does one thing to one key, where there is a leader to do it.
pub(crate) fn act(world: &World, random: &mut Random, fault: Fault) {
    let key = random.place(world.profile.keys);
    let number = random.below(1_000_000);
    let write = |part: &str, body: String| Request::new("POST", path(part, key)).token(ROOT).body(body);
    let value = format!(r#"{{"data":{{"w":"foreign-{number}"}}}}"#);
    let newest = newest(world, key);
    let some = random.between(1, newest.max(1));
    let version = if random.chance(0.6) { newest } else { some };
    let versions = format!(r#"{{"versions":[{version}]}}"#);
    let requests = match fault {
        Fault::ForeignWrite => vec![write("data", value)],
        Fault::ForeignDelete => vec![write("delete", versions)],
        Fault::ForeignUndelete => vec![write("undelete", versions)],
        Fault::ForeignDestroy => vec![write("destroy", versions)],
        Fault::ForeignRecreate => vec![Request::new("DELETE", path("metadata", key)).token(ROOT), write("data", value)],
        Fault::ForeignPrune => {
            let max = random.between(1, 3);
            vec![write("metadata", format!(r#"{{"max_versions":{max}}}"#)), write("data", value)]
        }
        Fault::ForeignRestore => return restore(world, random),
        _ => return,
    };
    if requests.into_iter().filter(|request| carry_out(world, request)).count() > 0 {
        world.fault(fault);
    }
}

fn path(part: &str, key: usize) -> String {
    format!("/v1/secret/{part}/key-{key}")
}

fn carry_out(world: &World, request: &Request) -> bool {
    let now = world.now();
    let mut cluster = world.cluster.borrow_mut();
    if cluster.leader.is_none_or(|leader| !cluster.commits(leader)) {
        return false;
    }
    let answer = cluster.execute(now, request, None);
    drop(cluster);
    world.trace(|| format!("FOREIGN {} {} {}", request.method, request.target, answer.status));
    (200..300).contains(&answer.status)
}

fn newest(world: &World, key: usize) -> u64 {
    let name = format!("key-{key}");
    let cluster = world.cluster.borrow();
    let version = |effect: &Effect| match effect {
        Effect::Wrote { key, version, .. } if *key == name => Some(*version),
        _ => None,
    };
    cluster.log.iter().rev().find_map(|entry| version(&entry.effect)).unwrap_or_default()
}

fn restore(world: &World, random: &mut Random) {
    let now = world.now();
    let mut cluster = world.cluster.borrow_mut();
    let length = cluster.log.len();
    if cluster.leader.is_some_and(|leader| cluster.commits(leader)) {
        let back = random.between(1, 12).min(length as u64 - 1);
        let kept = length.saturating_sub(usize::try_from(back).unwrap_or(1)).max(1);
        cluster.restore(now, kept);
        drop(cluster);
        world.fault(Fault::ForeignRestore);
        world.trace(|| format!("FOREIGN restores the snapshot of entry {} (of {length})", kept - 1));
    }
}

/// Revokes one of the clients' tokens; that of log-ins, as a rule, since another can be had then.
pub(crate) fn revoke(world: &World, random: &mut Random) {
    let logged_in = |effect: &Effect| match effect {
        Effect::LoggedIn { token } => Some(token.clone()),
        _ => None,
    };
    let mut tokens: Vec<_> =
        world.cluster.borrow().log.iter().rev().filter_map(|entry| logged_in(&entry.effect)).take(4).collect();
    if random.chance(0.05) {
        tokens.push(FIXED.to_owned());
    }
    let Some(token) = random.pick(&tokens) else { return };
    let body = format!(r#"{{"token":"{token}"}}"#);
    if carry_out(world, &Request::new("POST", "/v1/auth/token/revoke").token(ROOT).body(body)) {
        world.fault(Fault::TokenRevoked);
    }
}
