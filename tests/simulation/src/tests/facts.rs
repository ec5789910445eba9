//! The cluster does what real ones were measured to do: each fact of contract.md, section 5, by name.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use baokit_devserver::model::{Request, Response};
use serde_json::Value;

use crate::cluster::node::{Belief, Power};
use crate::cluster::serve::{Inbound, Reply, serve};
use crate::cluster::{Cluster, Era, ROOT};
use crate::faults;
use crate::profile::Profile;
use crate::random::Random;
use crate::world::World;

const LEADER: usize = 0;
const STANDBY: usize = 1;
const FORWARD: (&str, &str) = ("X-Vault-Inconsistent", "forward-active-node");

fn world(era: Era) -> Rc<World> {
    let mut random = Random::new(11);
    let profile = Profile::calm(era, 3);
    let mut cluster = Cluster::new(era, 3, 3600, random.fork());
    cluster.nodes.iter_mut().for_each(|node| node.lag = Duration::from_millis(80));
    Rc::new(World::new(profile, cluster, random, false))
}

fn pass(world: &World, millis: u64) {
    let end = world.now() + Duration::from_millis(millis);
    while world.executor.turn(end) {}
    world.executor.pass(end);
}

/// Sends a request to a node; none where no answer comes within so many milliseconds.
fn ask_for(world: &Rc<World>, node: usize, request: Request, millis: u64) -> Option<Reply> {
    let seen = Rc::new(RefCell::new(None));
    let (result, task) = (seen.clone(), serve(world.clone(), node, Rc::new(Inbound::new(request, None)), 0));
    world.executor.spawn(async move { *result.borrow_mut() = Some(task.await) });
    let end = world.now() + Duration::from_millis(millis);
    while seen.borrow().is_none() && world.executor.turn(end) {}
    seen.take()
}

fn ask(world: &Rc<World>, node: usize, request: Request) -> Response {
    match ask_for(world, node, request, 60_000) {
        Some(Reply::Answer(answer)) => answer,
        other => panic!("no answer: {other:?}"),
    }
}

fn get(path: &str) -> Request {
    Request::new("GET", format!("/v1/{path}")).token(ROOT)
}

fn post(path: &str, body: &str) -> Request {
    Request::new("POST", format!("/v1/{path}")).token(ROOT).body(body)
}

fn write(key: &str, cas: u64) -> Request {
    post(&format!("secret/data/{key}"), &format!(r#"{{"data":{{"w":"{cas}"}},"options":{{"cas":{cas}}}}}"#))
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn index(answer: &Response) -> String {
    header(answer, "X-Vault-Index").unwrap().to_owned()
}

fn number(answer: &Response) -> u64 {
    crate::cluster::asked_index(&index(answer)).unwrap()
}

fn version(answer: &Response) -> u64 {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body.pointer("/data/metadata/version").and_then(Value::as_u64).unwrap_or_default()
}

#[test]
fn read_your_writes_fail_at_a_standby_until_it_has_caught_up() {
    for era in [Era::Indexed, Era::Silent] {
        let world = world(era);
        assert_eq!(ask(&world, LEADER, write("a", 0)).status, 200);
        assert_eq!(ask(&world, STANDBY, get("secret/data/a")).text(), "{\"errors\":[]}\n");
        pass(&world, 200);
        assert_eq!(ask(&world, LEADER, write("a", 1)).status, 200);
        assert_eq!(version(&ask(&world, STANDBY, get("secret/data/a"))), 1);
        pass(&world, 200);
        assert_eq!(version(&ask(&world, STANDBY, get("secret/data/a"))), 2);
    }
}

#[test]
fn an_index_sent_back_with_forward_active_node_makes_reads_right() {
    let world = world(Era::Indexed);
    for cas in 0..20 {
        let written = ask(&world, LEADER, write("a", cas));
        let read = get("secret/data/a").header("X-Vault-Index", &index(&written)).header(FORWARD.0, FORWARD.1);
        assert_eq!(version(&ask(&world, STANDBY, read)), cas + 1);
    }
}

#[test]
fn without_the_second_header_a_standby_behind_answers_429() {
    let world = world(Era::Indexed);
    let written = ask(&world, LEADER, write("a", 0));
    let read = get("secret/data/a").header("X-Vault-Index", &index(&written));
    let answer = ask(&world, STANDBY, read.clone());
    assert_eq!((answer.status, answer.text().as_str()), (429, r#"{"errors":[]}"#));
    assert_eq!(header(&answer, "Retry-After"), Some("1"));
    pass(&world, 200);
    assert_eq!(version(&ask(&world, STANDBY, read)), 1);
}

#[test]
fn the_index_is_absent_on_400_403_and_the_404_of_a_missing_key_and_present_on_a_deleted_version() {
    let world = world(Era::Indexed);
    ask(&world, LEADER, write("a", 0));
    let missing = ask(&world, LEADER, get("secret/data/none"));
    let mismatch = ask(&world, LEADER, write("a", 7));
    let denied = ask(&world, LEADER, Request::new("GET", "/v1/secret/data/a").token("unknown"));
    assert_eq!((missing.status, mismatch.status, denied.status), (404, 400, 403));
    assert!([missing, mismatch, denied].iter().all(|answer| header(answer, "X-Vault-Index").is_none()));
    ask(&world, LEADER, Request::new("DELETE", "/v1/secret/data/a").token(ROOT));
    let deleted = ask(&world, LEADER, get("secret/data/a"));
    assert_eq!(deleted.status, 404);
    assert!(header(&deleted, "X-Vault-Index").is_some());
}

#[test]
fn another_cluster_s_index_is_ignored_and_so_is_any_at_a_leader() {
    use base64ct::{Base64, Encoding};
    let world = world(Era::Indexed);
    let foreign = Base64::encode_string(br#"{"cluster":"another","value":"999999"}"#);
    assert_eq!(ask(&world, STANDBY, get("secret/data/a").header("X-Vault-Index", &foreign)).status, 404);
    let mine = index(&ask(&world, LEADER, write("a", 0)));
    let text = String::from_utf8(Base64::decode_vec(&mine).unwrap()).unwrap();
    let value = crate::cluster::asked_index(&mine).unwrap();
    let far = Base64::encode_string(text.replace(&value.to_string(), "999999").as_bytes());
    assert_eq!(ask(&world, LEADER, get("secret/data/a").header("X-Vault-Index", &far)).status, 200);
    assert_eq!(ask(&world, STANDBY, get("secret/data/a").header("X-Vault-Index", &far)).status, 429);
}

#[test]
fn before_2_7_nothing_is_said_and_nothing_is_heard() {
    let world = world(Era::Silent);
    let written = ask(&world, LEADER, write("a", 0));
    assert!(header(&written, "X-Vault-Index").is_none());
    let read = get("secret/data/a").header("X-Vault-Index", "eyJ9").header(FORWARD.0, FORWARD.1);
    assert_eq!(ask(&world, STANDBY, read).status, 404);
}

#[test]
fn a_deposed_leader_serves_what_it_had_and_calls_what_is_right_wrong() {
    for era in [Era::Indexed, Era::Silent] {
        let world = world(era);
        let first = ask(&world, LEADER, write("a", 0));
        pass(&world, 200);
        depose(&world);
        let leader = world.cluster.borrow().leader.unwrap();
        assert_eq!(ask(&world, leader, write("a", 1)).status, 200);
        assert_eq!(ask(&world, leader, write("new", 0)).status, 200);
        let stale = ask(&world, LEADER, get("secret/data/a"));
        assert_eq!((stale.status, version(&stale)), (200, 1));
        if era == Era::Indexed {
            let fresh = ask(&world, leader, get("secret/data/a"));
            assert!(number(&stale) < number(&fresh));
            let read = get("secret/data/a").header("X-Vault-Index", &index(&fresh)).header(FORWARD.0, FORWARD.1);
            assert_eq!(version(&ask(&world, LEADER, read)), 1, "in spite of index and header");
            assert!(number(&stale) >= number(&first));
        }
        assert_eq!(ask(&world, LEADER, get("secret/data/new")).status, 404);
        assert!(ask(&world, LEADER, write("a", 2)).text().contains("check-and-set parameter did not match"));
        assert_eq!(ask(&world, LEADER, get("sys/health")).status, 200, "it believes that it leads");
        // What it would allow it can't commit: it sends the client to itself, or says so.
        let answers: Vec<_> = (0..30).map(|_| ask(&world, LEADER, write("a", 1))).collect();
        let location = "https://node-1.test:8200/v1/secret/data/a";
        assert!(answers.iter().all(|answer| match answer.status {
            307 => header(answer, "Location") == Some(location) && answer.body.is_empty(),
            status => status == 500,
        }));
        assert!(answers.iter().any(|answer| answer.status == 307));
        let wrapped = ask(&world, LEADER, get("secret/data/a").header("X-Vault-Wrap-TTL", "60s"));
        assert_eq!(wrapped.status, 500, "never stale");
    }
}

/// Freezes the leader through an election, and lets it go on without noticing.
fn depose(world: &Rc<World>) {
    let mut cluster = world.cluster.borrow_mut();
    cluster.nodes[LEADER].power = Power::Frozen;
    cluster.depose(world.now());
    cluster.elect(world.now()).unwrap();
    cluster.nodes[LEADER].power = Power::Up;
    assert!(cluster.is_deposed(LEADER));
}

#[test]
fn a_wrapped_read_at_a_standby_is_fresh() {
    for era in [Era::Indexed, Era::Silent] {
        let world = world(era);
        ask(&world, LEADER, write("a", 0));
        let unknown = ask(&world, STANDBY, get("secret/data/a").header("X-Vault-Wrap-TTL", "60s"));
        assert_eq!(unknown.status, 404, "there is nothing to wrap, so it asks nobody");
        pass(&world, 1000);
        ask(&world, LEADER, write("a", 1));
        let wrapped = ask(&world, STANDBY, get("secret/data/a").header("X-Vault-Wrap-TTL", "60s"));
        let body: Value = serde_json::from_slice(&wrapped.body).unwrap();
        let token = body.pointer("/wrap_info/token").and_then(Value::as_str).unwrap().to_owned();
        let unwrap = Request::new("POST", "/v1/sys/wrapping/unwrap").token(&token);
        assert_eq!(version(&ask(&world, STANDBY, unwrap.clone())), 2);
        assert_eq!(ask(&world, LEADER, unwrap).status, 400, "it opens once");
    }
}

#[test]
fn a_leader_may_die_between_commit_and_answer() {
    for through in [LEADER, STANDBY] {
        let world = world(Era::Indexed);
        world.cluster.borrow_mut().nodes[LEADER].dies_at_commit = true;
        let reply = ask_for(&world, through, write("a", 0), 60_000).unwrap();
        match reply {
            Reply::Answer(answer) => {
                assert_eq!((answer.status, answer.body.len(), through), (307, 0, STANDBY));
                assert_eq!(header(&answer, "Location"), Some("https://node-1.test:8200/v1/secret/data/a"));
            }
            Reply::Closed => assert_eq!(through, LEADER),
        }
        pass(&world, 30_000);
        let leader = world.cluster.borrow().leader.unwrap();
        assert_ne!(leader, LEADER, "another was elected");
        assert_eq!(version(&ask(&world, leader, get("secret/data/a"))), 1, "it was executed");
    }
}

#[test]
fn during_an_election_standbys_answer_307_to_the_dead_leader_or_500_or_hang() {
    let world = world(Era::Indexed);
    world.crash(LEADER);
    let mut seen = [0; 3];
    for _ in 0..60 {
        match ask_for(&world, STANDBY, write("a", 0), 100) {
            Some(Reply::Answer(answer)) if answer.status == 307 => seen[0] += 1,
            Some(Reply::Answer(answer)) => {
                assert!(answer.text().contains("local node not active but active cluster node not found"));
                seen[1] += 1;
            }
            _ => seen[2] += 1,
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    world.cluster.borrow_mut().notice_absence();
    let answer = (0..60).find_map(|_| match ask_for(&world, STANDBY, write("a", 0), 100) {
        Some(Reply::Answer(answer)) => Some(answer),
        _ => None,
    });
    assert_eq!(answer.unwrap().status, 500);
}

#[test]
fn a_request_whose_client_gave_up_is_executed_when_the_node_wakes() {
    let world = world(Era::Indexed);
    world.cluster.borrow_mut().nodes[LEADER].power = Power::Frozen;
    assert!(ask_for(&world, LEADER, write("a", 0), 5000).is_none());
    assert!(ask_for(&world, STANDBY, write("b", 0), 5000).is_none());
    world.cluster.borrow_mut().nodes[LEADER].power = Power::Up;
    pass(&world, 1000);
    assert_eq!(version(&ask(&world, LEADER, get("secret/data/a"))), 1);
    assert_eq!(version(&ask(&world, LEADER, get("secret/data/b"))), 1);
}

#[test]
fn a_removed_node_answers_health_429_forwards_writes_and_serves_frozen_reads() {
    let world = world(Era::Silent);
    ask(&world, LEADER, write("a", 0));
    let made = ask(&world, LEADER, post("auth/token/create", r#"{"id":"mine","policies":["app"]}"#));
    assert_eq!(made.status, 200);
    pass(&world, 200);
    ask(&world, STANDBY, get("secret/data/a"));
    let mut cluster = world.cluster.borrow_mut();
    (cluster.nodes[STANDBY].member, cluster.nodes[STANDBY].passes_on) = (false, true);
    drop(cluster);
    assert_eq!(ask(&world, STANDBY, get("sys/health")).status, 429);
    assert_eq!(ask(&world, STANDBY, write("a", 1)).status, 200, "forwarded");
    ask(&world, LEADER, post("auth/token/revoke", r#"{"token":"mine"}"#));
    pass(&world, 5000);
    let read = || Request::new("GET", "/v1/secret/data/a").token("mine");
    let frozen = ask(&world, STANDBY, read());
    assert_eq!((frozen.status, version(&frozen)), (200, 1), "with a revoked token");
    assert_eq!(ask(&world, LEADER, read()).text(), "{\"errors\":[\"permission denied\"]}\n");
}

#[test]
fn a_log_in_at_one_standby_is_good_at_another_at_once() {
    let world = world(Era::Silent);
    for _ in 0..20 {
        let login =
            Request::new("POST", "/v1/auth/approle/login").body(r#"{"role_id":"role-id","secret_id":"secret-id"}"#);
        let body: Value = serde_json::from_slice(&ask(&world, STANDBY, login).body).unwrap();
        let token = body.pointer("/auth/client_token").and_then(Value::as_str).unwrap().to_owned();
        let read = Request::new("GET", "/v1/auth/token/lookup-self").token(&token);
        assert_eq!(ask(&world, 2, read).status, 200);
    }
}

#[test]
fn a_policy_and_a_mount_reach_a_standby_late() {
    let world = world(Era::Indexed);
    let soon = world.now() + Duration::from_millis(100);
    world.cluster.borrow_mut().nodes[STANDBY].no_policy = soon;
    world.cluster.borrow_mut().nodes[2].no_mount = soon;
    let denied = ask(&world, STANDBY, get("secret/data/a"));
    assert_eq!((denied.status, denied.text().contains("1 error occurred")), (403, true));
    let unknown = ask(&world, 2, get("secret/data/a"));
    assert_eq!((unknown.status, unknown.text().contains("no handler for route")), (404, true));
    pass(&world, 200);
    assert_eq!(ask(&world, STANDBY, get("secret/data/a")).text(), "{\"errors\":[]}\n");
}

#[test]
fn a_sealed_node_answers_503_to_all_and_its_seal_status() {
    let world = world(Era::Indexed);
    world.cluster.borrow_mut().nodes[STANDBY].sealed = true;
    for request in [get("secret/data/a"), write("a", 0), get("sys/leader")] {
        let answer = ask(&world, STANDBY, request);
        assert_eq!((answer.status, answer.text().as_str()), (503, r#"{"errors":["Vault is sealed"]}"#));
    }
    assert_eq!(ask(&world, STANDBY, get("sys/seal-status")).status, 200);
}

#[test]
fn a_restored_snapshot_moves_the_index_on_and_versions_back() {
    let world = world(Era::Indexed);
    for cas in 0..5 {
        ask(&world, LEADER, write("a", cas));
    }
    let before = ask(&world, LEADER, get("secret/data/a"));
    world.cluster.borrow_mut().restore(world.now(), 3);
    let after = ask(&world, LEADER, get("secret/data/a"));
    assert_eq!((version(&before), version(&after)), (5, 2));
    assert!(number(&after) > number(&before));
}

#[test]
fn an_isolated_leader_commits_nothing_and_gives_up() {
    let world = world(Era::Indexed);
    world.cluster.borrow_mut().nodes[LEADER].isolated = true;
    let answer = ask(&world, LEADER, write("a", 0));
    assert_eq!(answer.status, 500);
    assert_eq!(world.cluster.borrow().log.len(), 1);
}

#[test]
fn a_node_that_starts_again_follows() {
    let world = world(Era::Indexed);
    faults::crash(&world, LEADER);
    assert!(matches!(ask_for(&world, LEADER, write("a", 0), 1000), Some(Reply::Closed)));
    pass(&world, 30_000);
    world.start(LEADER);
    let leader = world.cluster.borrow().leader.unwrap();
    assert_eq!(world.cluster.borrow().nodes[LEADER].belief, Belief::Follows(leader));
    assert_eq!(ask(&world, LEADER, write("a", 0)).status, 200);
}
