//! The operator's calls: which node they go to, what goes along, and what is never sent twice. What
//! OpenBao makes of each is held to the real server in tests/openbao.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod scenario;

use std::io::{self, Cursor, Write};

use baokit_core::Code;
use baokit_core::config::Credential;
use baokit_core::http::FailureKind;
use baokit_core::sys::{Join, MountConfig};
use scenario::{Reply, SECOND, World, errors, json, raw, redirect, secret};

const HEALTH: &str = r#"{"initialized":true,"sealed":true,"standby":true,"version":"2.7.2","server_time_utc":1}"#;
const SEALED: &str = r#"{"type":"shamir","initialized":true,"sealed":true,"t":3,"n":5,"progress":1,"version":"2.7.2","storage_type":"raft"}"#;

fn leader(address: &str, is_self: bool) -> Reply {
    let cluster = r#""leader_cluster_address":"https://127.0.0.1:2""#;
    json(200, format!(r#"{{"ha_enabled":true,"is_self":{is_self},"leader_address":"{address}",{cluster}}}"#))
}

#[test]
fn a_call_at_a_node_goes_to_that_node_and_to_no_other_though_it_fails() {
    let world = World::new(|_| Reply::Fail(FailureKind::Connect));
    let client = world.client(World::settings(3).deadline(3 * SECOND));
    let error = world.run(client.sys().at("http://127.0.0.1:2").unwrap().mounts()).unwrap_err();
    assert_eq!(error.code(), Code::ServerUnreachable);
    assert!(world.seen().len() > 1, "it is tried again");
    assert!(world.seen().iter().all(|seen| seen.node == "http://127.0.0.1:2"));
}

#[test]
fn a_node_that_is_not_the_clients_is_refused_before_anything_is_sent() {
    let world = World::new(|_| panic!("nothing is sent"));
    let client = world.client(World::settings(2));
    for node in ["http://127.0.0.1:9", "https://127.0.0.1:1", "nonsense", ""] {
        assert_eq!(client.sys().at(node).unwrap_err().code(), Code::InvalidNode, "{node}");
    }
}

#[test]
fn what_concerns_one_node_must_name_it_unless_there_is_just_one() {
    let world = World::new(|_| json(200, SEALED));
    let client = world.client(World::settings(2));
    assert_eq!(world.run(client.sys().unseal("share")).unwrap_err().code(), Code::InvalidNode);
    assert_eq!(world.run(client.sys().reset_unseal()).unwrap_err().code(), Code::InvalidNode);
    assert_eq!(world.run(client.sys().init(5, 3)).unwrap_err().code(), Code::InvalidNode);
    assert_eq!(world.run(client.sys().seal()).unwrap_err().code(), Code::InvalidNode);
    assert_eq!(world.run(client.sys().raft().join("https://x")).unwrap_err().code(), Code::InvalidNode);
    assert!(world.seen().is_empty());

    world.run(world.client(World::settings(1)).sys().unseal("share")).unwrap();
    world.run(client.sys().at("http://127.0.0.1:2").unwrap().unseal("share")).unwrap();
    assert_eq!(world.seen()[1].node, "http://127.0.0.1:2");
    assert_eq!(world.seen()[1].body, r#"{"key":"share","reset":false}"#);
}

#[test]
fn a_named_node_that_redirects_is_not_followed() {
    let world = World::new(|seen| redirect(&format!("http://127.0.0.1:1{}", seen.target)));
    let client = world.client(World::settings(2));
    let error = world.run(client.sys().at("http://127.0.0.1:2").unwrap().mounts()).unwrap_err();
    assert_eq!((error.code(), world.seen().len()), (Code::RedirectRefused, 1));
}

#[test]
fn the_state_of_a_node_is_asked_for_once_and_without_token_and_namespace() {
    let world = World::new(|seen| if seen.node.ends_with(":3") { json(200, HEALTH) } else { Reply::Never });
    let client = world.client(World::settings(3).namespace("team"));
    let at = |node| client.sys().at(node).unwrap();
    let error = world.run(at("http://127.0.0.1:1").health()).unwrap_err();
    assert_eq!((error.code(), error.tries(), world.elapsed()), (Code::DeadlineExceeded, 1, 5 * SECOND));
    assert!(world.run(at("http://127.0.0.1:3").health()).unwrap().sealed);
    // Without a name, each is asked once.
    world.run(client.sys().health()).unwrap();
    assert_eq!(world.seen().len(), 5);
    for seen in world.seen() {
        assert!(seen.target.contains("standbyok=true") && seen.target.contains("sealedcode=200"));
        assert_eq!((seen.token.as_deref(), seen.header("x-vault-namespace")), (None, None));
    }
    let world = World::new(|_| Reply::Fail(FailureKind::Connect));
    let client = world.client(World::settings(3));
    assert_eq!(world.run(client.sys().leader()).unwrap_err().code(), Code::ServerUnreachable);
    assert_eq!((world.seen().len(), world.elapsed()), (3, SECOND / 1000 * 3), "nobody waits");
}

#[test]
fn a_standby_that_leaves_out_what_is_false_or_empty_is_understood() {
    // As 2.6.2 answers, with a leader and while there is none, and 2.7.2 while there is none.
    for (document, address) in [
        (r#"{"ha_enabled":true,"leader_address":"https://a:1","leader_cluster_address":"https://a:2"}"#, "https://a:1"),
        (r#"{"ha_enabled":true,"raft_committed_index":56,"raft_applied_index":56}"#, ""),
        (r#"{"ha_enabled":true,"is_self":false,"raft_committed_index":55,"raft_applied_index":55}"#, ""),
    ] {
        let world = World::new(move |_| json(200, document));
        let leader = world.run(world.client(World::settings(1)).sys().leader()).unwrap();
        assert_eq!((leader.is_self, leader.leader_address.as_str()), (false, address), "{document}");
    }
}

#[test]
fn probing_nodes_does_not_change_whom_reads_go_to() {
    let world = World::new(|seen| if seen.target.contains("health") { json(200, HEALTH) } else { secret(1) });
    let client = world.client(World::settings(3));
    world.run(client.read("openbao+kv2://secret/a")).unwrap();
    for node in ["http://127.0.0.1:2", "http://127.0.0.1:3"] {
        world.run(client.sys().at(node).unwrap().health()).unwrap();
    }
    world.run(client.read("openbao+kv2://secret/a")).unwrap();
    let seen = world.seen();
    assert_eq!(seen[0].node, seen[3].node);
}

#[test]
fn what_a_namespace_has_is_asked_for_in_it_and_what_the_cluster_has_is_not() {
    let world = World::new(|_| json(200, r#"{"data":{"config":{"servers":[]}}}"#));
    let client = world.client(World::settings(1).namespace("team"));
    world.run(client.sys().mounts()).unwrap_err();
    world.run(client.sys().raft().configuration()).unwrap();
    let seen = world.seen();
    assert_eq!(seen[0].header("x-vault-namespace"), Some("team"));
    assert_eq!(seen[1].header("x-vault-namespace"), None);
}

#[test]
fn a_client_without_credential_opens_servers_and_is_told_so_elsewhere() {
    let world = World::new(|_| json(200, SEALED));
    let client = world.client(World::settings(1).credential(Credential::None));
    world.run(client.sys().unseal("share")).unwrap();
    let error = world.run(client.sys().mounts()).unwrap_err();
    assert_eq!(error.code(), Code::AuthenticationFailed);
    assert!(error.to_string().contains("without a credential"), "{error}");
    assert_eq!(world.seen().len(), 1);
}

#[test]
fn a_change_whose_answer_is_lost_is_not_sent_again() {
    let world = World::new(|_| Reply::Fail(FailureKind::AfterSend));
    let client = world.client(World::settings(1));
    let sys = client.sys();
    assert_eq!(world.run(sys.init(5, 3)).unwrap_err().code(), Code::Indeterminate);
    assert_eq!(world.run(sys.seal()).unwrap_err().code(), Code::Indeterminate);
    assert_eq!(world.run(sys.step_down()).unwrap_err().code(), Code::Indeterminate);
    assert_eq!(world.run(sys.enable_mount("kv", &MountConfig::kv2())).unwrap_err().code(), Code::Indeterminate);
    assert_eq!(world.run(sys.put_policy("p", "")).unwrap_err().code(), Code::Indeterminate);
    assert_eq!(world.run(sys.raft().remove_peer("node-3")).unwrap_err().code(), Code::Indeterminate);
    assert_eq!(world.run(sys.unwrap("token")).unwrap_err().code(), Code::Indeterminate);
    assert_eq!(world.run(sys.app_role("approle").unwrap().secret_id("role")).unwrap_err().code(), Code::Indeterminate);
    assert_eq!(world.seen().len(), 8);
}

#[test]
fn a_wrapping_token_is_its_own_right() {
    let world = World::new(|_| json(200, r#"{"data":{"secret_id":"canary-value"}}"#));
    let client = world.client(World::settings(1).credential(Credential::None));
    let answer = world.run(client.sys().unwrap("s.wrapping")).unwrap();
    assert_eq!(answer.expose()["data"]["secret_id"], "canary-value");
    assert_eq!(world.seen()[0].token.as_deref(), Some("s.wrapping"));
    assert_eq!(world.run(client.sys().unwrap("no token\n")).unwrap_err().code(), Code::InvalidSetting);
}

#[test]
fn a_dead_wrapping_token_does_not_end_the_clients_own() {
    let dead = |seen: &scenario::Seen| {
        if seen.target.contains("unwrap") { errors(403, "permission denied") } else { secret(1) }
    };
    let world = World::new(dead);
    let client = world.client(World::settings(1));
    assert_eq!(world.run(client.sys().unwrap("s.wrapping")).unwrap_err().code(), Code::AuthenticationFailed);
    world.run(client.read("openbao+kv2://secret/a")).unwrap();
    assert_eq!(world.seen().len(), 2);
}

#[test]
fn what_is_wrapped_is_asked_for_in_whole_seconds_rounded_up() {
    let wrapped =
        r#"{"wrap_info":{"token":"canary-value","accessor":"a","ttl":2,"creation_time":"t","creation_path":"p"}}"#;
    let world = World::new(move |_| json(200, wrapped));
    let client = world.client(World::settings(1));
    let object = serde_json::json!({"a": 1});
    let wrapped = world.run(client.sys().wrap(object, 1_500 * SECOND / 1000)).unwrap();
    assert_eq!(world.seen()[0].header("x-vault-wrap-ttl"), Some("2s"));
    assert!(!format!("{wrapped:?}").contains("canary"));
    assert_eq!(world.run(client.sys().wrap("scalar", SECOND)).unwrap_err().code(), Code::InvalidValue);
}

#[test]
fn an_initialization_shows_neither_shares_nor_token() {
    let world = World::new(|_| json(200, r#"{"keys_base64":["canary-1","canary-2"],"root_token":"canary-3"}"#));
    let init = world.run(world.client(World::settings(1)).sys().init(2, 2)).unwrap();
    assert_eq!(format!("{init:?}"), "Initialization(2 shares, [redacted])");
    assert_eq!(init.shares[1].expose_str().unwrap(), "canary-2");
    assert_eq!(world.seen()[0].body, r#"{"secret_shares":2,"secret_threshold":2}"#);
}

#[test]
fn a_snapshot_takes_as_long_as_the_deadline_allows_and_gives_the_writer_back() {
    let world = World::slow(|_| (20 * SECOND, raw(200, "application/gzip", Vec::new())));
    let client = world.client(World::settings(1));
    let written = world.run(client.sys().raft().snapshot(Vec::new())).unwrap();
    assert_eq!(written, b"a snapshot");
    assert_eq!((world.elapsed(), world.seen().len()), (20 * SECOND, 1));
}

#[test]
fn a_snapshot_that_broke_off_is_not_begun_again_in_the_same_writer() {
    for kind in [FailureKind::Body, FailureKind::Timeout] {
        let world = World::new(move |_| Reply::Fail(kind));
        let client = world.client(World::settings(3));
        let error = world.run(client.sys().raft().snapshot(Vec::new())).unwrap_err();
        let begun = world.seen().iter().filter(|seen| seen.target.contains("snapshot")).count();
        assert_eq!((error.code(), begun), (Code::ConnectionLost, 1));
    }
    // Nothing was written yet, so another node can do it.
    let world = World::new(|seen| match seen.node.ends_with(":1") {
        true => errors(500, "internal error"),
        false => raw(200, "application/gzip", Vec::new()),
    });
    let client = world.client(World::settings(2));
    assert_eq!(world.run(client.sys().raft().snapshot(Vec::new())).unwrap(), b"a snapshot");
}

struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is full"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_fails_is_the_callers_own_fault_and_said_to_be() {
    let world = World::new(|_| raw(200, "application/gzip", Vec::new()));
    let client = world.client(World::settings(1));
    let error = world.run(client.sys().raft().snapshot(Full)).map(drop).unwrap_err();
    assert_eq!((error.code(), world.seen().len()), (Code::LocalIo, 1));
    assert!(error.to_string().contains("the disk is full"), "{error}");
}

#[test]
fn a_snapshot_is_the_leaders_where_it_can_be_since_a_standby_gives_its_own() {
    let taken = |settings, node: Option<&'static str>, leads: &'static str| {
        let world = World::new(move |seen| match seen.target.contains("leader") {
            true => leader(leads, false),
            false => raw(200, "application/gzip", b"a snapshot".to_vec()),
        });
        let client = world.client(settings);
        let sys = node.map_or_else(|| client.sys(), |node| client.sys().at(node).unwrap());
        world.run(sys.raft().snapshot(Vec::new())).unwrap();
        world.seen().into_iter().filter(|seen| seen.target.contains("snapshot")).map(|seen| seen.node).next().unwrap()
    };
    for leads in ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"] {
        assert_eq!(taken(World::settings(3), None, leads), leads);
        assert_eq!(taken(World::settings(3), Some("http://127.0.0.1:2"), leads), "http://127.0.0.1:2", "as was asked");
    }
    // Behind a load balancer, and while nobody leads.
    assert_eq!(taken(World::settings(1), None, "http://10.0.0.1:8200"), "http://127.0.0.1:1");
    assert!(taken(World::settings(2), None, "").starts_with("http://127.0.0.1:"));
}

#[test]
fn a_snapshot_is_restored_at_the_leader_only() {
    let restore = |settings, node: Option<&'static str>, leads: &'static str, is_self| {
        let world = World::new(move |seen| match seen.target.contains("leader") {
            true => leader(leads, is_self),
            false => raw(204, "application/json", Vec::new()),
        });
        let client = world.client(settings);
        let sys = node.map_or_else(|| client.sys(), |node| client.sys().at(node).unwrap());
        let result = world.run(sys.raft().restore(Cursor::new(b"bytes"))).map_err(|error| error.code());
        (result, world.seen().into_iter().filter(|seen| seen.target.contains("snapshot")).map(|seen| seen.node).next())
    };
    let second = "http://127.0.0.1:2".to_owned();
    assert_eq!(restore(World::settings(2), None, "http://127.0.0.1:2", false), (Ok(()), Some(second.clone())));
    assert_eq!(
        restore(World::settings(2), Some("http://127.0.0.1:2"), "http://127.0.0.1:2", true),
        (Ok(()), Some(second))
    );
    let refused = (Err(Code::InvalidNode), None);
    assert_eq!(restore(World::settings(2), Some("http://127.0.0.1:1"), "http://127.0.0.1:2", false), refused);
    assert_eq!(restore(World::settings(1), None, "http://10.0.0.1:8200", false), refused);
    assert_eq!(restore(World::settings(1), None, "", false), (Err(Code::NoLeader), None));
}

#[test]
fn a_500_that_says_what_was_wrong_with_the_request_is_final() {
    for text in [
        "failed to join raft cluster: failed to get raft challenge",
        "1 error occurred:\n\t* server is already a non-voter\n\n",
    ] {
        let world = World::new(move |_| errors(500, text));
        let client = world.client(World::settings(1));
        let error = world.run(client.sys().raft().join(Join::to("https://127.0.0.1:1").retry())).unwrap_err();
        assert_eq!((error.code(), world.seen().len()), (Code::RequestRejected, 1), "{text}");
    }
}
