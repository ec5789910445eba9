//! The cluster: nodes over one replicated log, each entry of which keeps the dev server's model as it
//! was then. A standby reads an older entry's model than the leader, so all answers are the dev server's
//! own, and stale ones are stale in just the way that a real node's are.
//!
//! What a node does with a request is in [`serve`]; what becomes of leadership is here.

pub(crate) mod answers;
pub(crate) mod effect;
pub(crate) mod node;
pub(crate) mod serve;

use std::time::Duration;

use baokit_devserver::model::{Model, Request, Response};
use base64ct::{Base64, Encoding};

use crate::history::SendId;
use crate::random::Random;
use effect::Effect;
use node::{Belief, Node, Power};

pub(crate) const ROOT: &str = "root-token";
/// The token of clients that have no other way in.
pub(crate) const FIXED: &str = "fixed-token";
pub(crate) const ROLE_ID: &str = "role-id";
pub(crate) const SECRET_ID: &str = "secret-id";
const CLUSTER_ID: &str = "c0ffee00-0000-4000-8000-000000000001";
/// The servers' clock when the run begins. Clients' clocks may jump; this one does not.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// Whether servers say how far they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2.7: `X-Vault-Index` in both directions.
    Indexed,
    /// 2.6 and before: nothing is said.
    Silent,
}

/// One committed change.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Duration,
    /// The request that made it; none of an operator's or a foreign writer's.
    pub(crate) by: Option<SendId>,
    pub(crate) effect: Effect,
}

pub(crate) struct Cluster {
    pub(crate) era: Era,
    pub(crate) nodes: Vec<Node>,
    pub(crate) leader: Option<usize>,
    pub(crate) log: Vec<Entry>,
    /// The state after each entry.
    states: Vec<Model>,
    random: Random,
}

impl Cluster {
    pub(crate) fn new(era: Era, count: usize, lease: u64, mut random: Random) -> Self {
        let model = set_up(random.next(), lease);
        let nodes = (0..count).map(|place| {
            let belief = if place == 0 { Belief::Leads } else { Belief::Follows(0) };
            Node::new(belief, random.millis(20, 120))
        });
        let mut nodes: Vec<_> = nodes.collect();
        nodes.iter_mut().for_each(|node| node.applied = 1);
        let log = vec![Entry { at: Duration::ZERO, by: None, effect: Effect::Setup }];
        Self { era, nodes, leader: Some(0), log, states: vec![model], random }
    }

    pub(crate) fn node(&self, place: usize) -> Option<&Node> {
        self.nodes.get(place)
    }

    /// Whether a majority of the members can reach each other.
    pub(crate) fn has_quorum(&self) -> bool {
        let members = self.nodes.iter().filter(|node| node.member).count();
        self.nodes.iter().filter(|node| node.votes()).count() * 2 > members
    }

    /// Whether this node leads and can commit.
    pub(crate) fn commits(&self, place: usize) -> bool {
        self.leader == Some(place) && self.node(place).is_some_and(Node::votes) && self.has_quorum()
    }

    /// Brings a standby as far as it has come by now.
    pub(crate) fn catch_up(&mut self, place: usize, now: Duration) {
        let leads = self.leader == Some(place);
        let has_leader = self.leader.is_some();
        let Some(node) = self.nodes.get_mut(place) else { return };
        if leads {
            node.applied = self.log.len();
            return;
        }
        if !node.votes() || node.belief == Belief::Leads || !has_leader {
            return;
        }
        let here = |entry: &Entry| entry.at.max(node.linked).saturating_add(node.lag) <= now;
        while self.log.get(node.applied).is_some_and(here) {
            node.applied += 1;
        }
    }

    /// The node gets entries again from now on, as one that follows the leader.
    pub(crate) fn link(&mut self, place: usize, now: Duration) {
        let leader = self.leader;
        if let Some(node) = self.nodes.get_mut(place) {
            node.linked = now;
            if leader != Some(place) {
                node.belief = leader.map_or(Belief::Alone, Belief::Follows);
            }
        }
    }

    /// The leader is no more. What it was is still believed by the others for a while.
    pub(crate) fn depose(&mut self, now: Duration) {
        let places = 0..self.nodes.len();
        places.for_each(|place| self.catch_up(place, now));
        self.leader = None;
    }

    /// The others have noticed that there is no leader.
    pub(crate) fn notice_absence(&mut self) {
        if self.leader.is_none() {
            self.nodes.iter_mut().filter(|node| node.votes() && node.belief != Belief::Leads).for_each(|node| {
                node.belief = Belief::Alone;
            });
        }
    }

    /// Elects one of those that can vote, where they are a majority. Raft lets only one win that has
    /// every committed entry.
    pub(crate) fn elect(&mut self, now: Duration) -> Option<usize> {
        if self.leader.is_some() || !self.has_quorum() {
            return None;
        }
        let able = |node: &Node| node.votes() && node.belief != Belief::Leads;
        let able: Vec<_> = self.nodes.iter().enumerate().filter(|(_, node)| able(node)).map(|(i, _)| i).collect();
        let winner = *self.random.pick(&able)?;
        self.leader = Some(winner);
        let length = self.log.len();
        for (place, node) in self.nodes.iter_mut().enumerate() {
            if place == winner {
                (node.belief, node.applied) = (Belief::Leads, length);
            } else if node.votes() && node.belief != Belief::Leads {
                (node.belief, node.linked) = (Belief::Follows(winner), now);
            }
        }
        Some(winner)
    }

    /// Whether this node believes that it leads, and is wrong.
    pub(crate) fn is_deposed(&self, place: usize) -> bool {
        self.leader != Some(place)
            && self.node(place).is_some_and(|node| node.belief == Belief::Leads && node.power != Power::Down)
    }

    /// Carries a request out at the leader, and commits what it changes.
    pub(crate) fn execute(&mut self, now: Duration, request: &Request, by: Option<SendId>) -> Response {
        let Some(latest) = self.states.last() else { return answers::no_leader() };
        let mut next = latest.clone();
        let answer = next.handle(EPOCH.saturating_add(now), request);
        if (200..300).contains(&answer.status) {
            let effect = Effect::of(request, &answer);
            self.commit(now, next, by, effect);
        }
        answer
    }

    fn commit(&mut self, at: Duration, state: Model, by: Option<SendId>, effect: Effect) {
        self.states.push(state);
        self.log.push(Entry { at, by, effect });
        let length = self.log.len();
        if let Some(node) = self.leader.and_then(|leader| self.nodes.get_mut(leader)) {
            node.applied = length;
        }
    }

    /// Puts an older state in place, as `raft snapshot restore` does: the log goes on.
    pub(crate) fn restore(&mut self, now: Duration, length: usize) {
        let Some(mut state) = length.checked_sub(1).and_then(|place| self.states.get(place)).cloned() else { return };
        state.reseed(self.random.next());
        self.commit(now, state, None, Effect::Restored { length });
    }

    /// Answers a read from the state that the node has.
    pub(crate) fn look(&mut self, place: usize, now: Duration, request: &Request) -> Response {
        let Some(applied) = self.node(place).map(|node| node.applied) else { return answers::no_leader() };
        let state = applied.checked_sub(1).and_then(|place| self.states.get_mut(place));
        match state {
            // Only the ids of later answers are changed by it; no entry depends on them.
            Some(state) => state.handle(EPOCH.saturating_add(now), request),
            None => answers::no_leader(),
        }
    }

    /// Whether a request would pass at this node's state: without any effect on it.
    pub(crate) fn try_out(&self, place: usize, now: Duration, request: &Request) -> Option<Response> {
        let applied = self.node(place)?.applied;
        let mut state = self.states.get(applied.checked_sub(1)?)?.clone();
        Some(state.handle(EPOCH.saturating_add(now), request))
    }

    /// Whether a deletion concerns nothing that the node knows: no such key, none of those versions.
    pub(crate) fn is_nothing_to(&self, place: usize, now: Duration, request: &Request) -> bool {
        let mut parts = request.target.trim_start_matches("/v1/secret/").splitn(2, '/');
        let (Some(kind), Some(key)) = (parts.next(), parts.next()) else { return false };
        if !matches!((request.method.as_str(), kind), ("DELETE", _) | ("POST", "delete" | "undelete" | "destroy")) {
            return false;
        }
        let look = Request {
            method: "GET".to_owned(),
            target: format!("/v1/secret/metadata/{key}"),
            body: Vec::new(),
            ..request.clone()
        };
        let Some(known) = self.try_out(place, now, &look) else { return false };
        let parse = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap_or_default();
        let versions = parse(&known.body).pointer("/data/versions").and_then(|it| it.as_object().cloned());
        let Some(versions) = versions else { return known.status == 404 };
        match parse(&request.body).get("versions").and_then(|it| it.as_array()) {
            Some(asked) => !asked.iter().any(|version| versions.contains_key(&version.to_string())),
            None => versions.is_empty(),
        }
    }

    /// How far a node is, as `X-Vault-Index` counts.
    pub(crate) fn index(&self, place: usize) -> u64 {
        // Raft's own entries count as well, so the numbers are not those of the log.
        self.node(place).map_or(0, |node| 96 + node.applied as u64 * 2)
    }

    /// The same answer with the node's index, where the server says it.
    pub(crate) fn stamp(&self, place: usize, mut answer: Response) -> Response {
        let missing = answer.status == 404 && answer.body.starts_with(br#"{"errors":"#);
        if self.era == Era::Indexed && !missing && !matches!(answer.status, 400 | 403) {
            let text = format!(r#"{{"cluster":"{CLUSTER_ID}","value":"{}"}}"#, self.index(place));
            answer.headers.push(("X-Vault-Index".to_owned(), Base64::encode_string(text.as_bytes())));
        }
        answer
    }
}

/// When something was written, by the log's clock, from the time that a server says. No run lasts a day.
pub(crate) fn moment(created_time: &str) -> Option<Duration> {
    const DAY: u64 = 24 * 60 * 60;
    let time = created_time.split_once('T')?.1.strip_suffix('Z')?;
    let (whole, part) = time.split_once('.').unwrap_or((time, "0"));
    let seconds = whole.split(':').try_fold(0, |sum, part| Some(sum * 60 + part.parse::<u64>().ok()?))?;
    let since = (seconds + DAY).checked_sub(EPOCH.as_secs() % DAY)? % DAY;
    Some(Duration::new(since, format!("{part:0<9}").parse().ok()?))
}

/// The index that a request asks for; none where it is no index, or another cluster's, which OpenBao
/// ignores.
pub(crate) fn asked_index(text: &str) -> Option<u64> {
    let bytes = Base64::decode_vec(text).ok()?;
    let index: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let value = index.get("value")?.as_str()?.parse().ok()?;
    (index.get("cluster")?.as_str() == Some(CLUSTER_ID)).then_some(value)
}

/// A dev server with what clients need: a policy, a token and a role whose tokens live so many seconds.
fn set_up(seed: u64, lease: u64) -> Model {
    let mut model = Model::new(seed, ROOT);
    let policy = r#"path \"secret/*\" { capabilities = [\"create\", \"read\", \"update\", \"delete\", \"list\"] }"#;
    let steps = [
        ("sys/policies/acl/app", format!(r#"{{"policy":"{policy}"}}"#)),
        ("auth/token/create", format!(r#"{{"id":"{FIXED}","policies":["app"],"ttl":"700h"}}"#)),
        ("sys/auth/approle", r#"{"type":"approle"}"#.to_owned()),
        ("auth/approle/role/app", format!(r#"{{"token_policies":["app"],"token_ttl":"{lease}s"}}"#)),
        ("auth/approle/role/app/role-id", format!(r#"{{"role_id":"{ROLE_ID}"}}"#)),
        ("auth/approle/role/app/custom-secret-id", format!(r#"{{"secret_id":"{SECRET_ID}"}}"#)),
    ];
    for (path, body) in steps {
        model.handle(EPOCH, &Request::new("POST", format!("/v1/{path}")).token(ROOT).body(body));
    }
    model
}
