//! The operator's calls that take several nodes, on a real cluster of each version: a node that joins, votes, is
//! removed and goes on as a ghost; a leader that steps down; a standby that is sealed; a snapshot.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

mod support;

use std::io::Cursor;
use std::time::Duration;

use baokit::sys::Join;
use baokit::{Client, Code, SecretValue};
use baokit_openbao::{Server, Version};
use ha_cluster::{Cluster, NodeId};
use serde_json::{Value, json};
use support::{code, new_cluster, until};

/// Any policy.
const POLICY: &str = r#"path "secret/data/any" { capabilities = ["read"] }"#;

/// Any certificate that did not sign the cluster's.
fn other_ca() -> String {
    rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap().cert.pem()
}

fn shares(cluster: &Cluster) -> Vec<SecretValue> {
    let text = std::fs::read_to_string(cluster.path().join("keys.json")).unwrap();
    let keys: Value = serde_json::from_str(&text).unwrap();
    keys["unseal_keys_b64"].as_array().unwrap().iter().map(SecretValue::from).collect()
}

async fn a_standby(cluster: &Cluster) -> (NodeId, String) {
    let leader = cluster.leader().await.unwrap();
    cluster.nodes().find(|(id, _)| *id != leader).unwrap()
}

fn of_one_node(url: &str, token: &SecretValue) -> Client {
    // Short, since some questions are asked again until it is over.
    let builder = Client::builder().url(url).deadline(Duration::from_secs(10));
    builder.token(token.expose_str().unwrap()).build().unwrap()
}

async fn vote(client: &Client, id: &str) -> Option<bool> {
    let servers = client.sys().raft().configuration().await.unwrap().servers;
    servers.into_iter().find(|server| server.node_id == id).map(|server| server.voter)
}

/// A fourth node joins, gets and loses its vote, and is removed. It is returned running: a ghost.
async fn a_node_comes_and_goes(cluster: &Cluster, version: Version) -> Server {
    let (operator, root) = (cluster.operator().unwrap(), cluster.root_token().unwrap());
    let server = Server::start_uninitialized(version).unwrap();
    let node = of_one_node(server.url(), &root);
    let leader = cluster.url(cluster.leader().await.unwrap()).unwrap();

    for (what, join) in [
        ("the system's authorities", Join::to(&leader)),
        ("another authority", Join::to(&leader).ca_pem(other_ca())),
        ("nobody there", Join::to("https://127.0.0.1:1").ca_pem(cluster.ca_pem().unwrap())),
        ("no certificate", Join::to(&leader).ca_pem("no certificate")),
    ] {
        assert_eq!(code(node.sys().raft().join(join).await), Code::RequestRejected, "{what}");
    }
    assert_eq!(code(operator.sys().raft().join(&leader).await), Code::InvalidNode, "which of the nodes is to join?");
    assert!(!node.sys().health().await.unwrap().initialized, "nothing happened");

    let join = Join::to(&leader).ca_pem(cluster.ca_pem().unwrap()).non_voter();
    node.sys().raft().join(join.clone()).await.unwrap();
    node.sys().raft().join(join.clone()).await.unwrap();
    until("the node knows that it has joined", async || node.sys().seal_status().await.unwrap().initialized).await;
    for share in shares(cluster).into_iter().take(3) {
        node.sys().unseal(share).await.unwrap();
    }
    until("it is a member", async || vote(&operator, "one").await.is_some()).await;
    until("it answers as a standby", async || node.sys().health().await.is_ok_and(|it| !it.sealed && it.standby)).await;
    assert_eq!(vote(&operator, "one").await, Some(false));

    // Else it would have to be well for 10 s.
    let raft = operator.sys().raft();
    let mut autopilot = raft.autopilot_configuration().await.unwrap();
    autopilot.server_stabilization_time = "1s".to_owned();
    raft.set_autopilot_configuration(&autopilot).await.unwrap();
    // It has no vote to lose. The leader mostly says so, and sometimes takes it silently.
    if let Err(error) = raft.demote("one").await {
        assert_eq!(error.code(), Code::RequestRejected);
    }
    assert_eq!(vote(&operator, "one").await, Some(false));
    raft.promote("one").await.unwrap();
    until("it votes", async || vote(&operator, "one").await == Some(true)).await;
    raft.demote("one").await.unwrap();
    until("it votes no more", async || vote(&operator, "one").await == Some(false)).await;

    until("it sees itself", async || vote(&node, "one").await == Some(false)).await;
    until("it has a way to the leader", async || node.sys().raft().autopilot_state().await.is_ok()).await;
    raft.remove_peer("one").await.unwrap();
    until("it is removed", async || vote(&operator, "one").await.is_none()).await;
    node.sys().raft().join(join).await.unwrap();
    assert!(vote(&operator, "one").await.is_none(), "it says to have joined, and has not");
    raft.remove_peer("one").await.unwrap();
    server
}

/// What a node that was removed and still runs says, while the leader leads that it knows, and after that.
async fn a_ghost_and_a_leader_step_down(cluster: &Cluster, ghost: &Server) {
    let operator = cluster.operator().unwrap();
    let before = operator.sys().leader().await.unwrap().leader_address;
    // Each question by a client of its own: what one has seen of the cluster would make it doubt the ghost.
    let node = || of_one_node(ghost.url(), &cluster.root_token().unwrap());

    // To whoever asks it, it is a standby like any other. Whether it is itself among the members that it tells of
    // depends on whether the news of its removal still reached it.
    let looks_well = async || {
        let (health, leader) = (node().sys().health().await.unwrap(), node().sys().leader().await.unwrap());
        assert!(health.initialized && !health.sealed && health.standby, "{health:?}");
        assert_eq!(leader.leader_address, before);
        let servers = node().sys().raft().configuration().await.unwrap().servers;
        for (id, _) in cluster.nodes() {
            assert!(servers.iter().any(|server| server.node_id == id.to_string() && server.voter), "{servers:?}");
        }
    };
    let knows = async |policy| node().sys().policy(policy).await;
    looks_well().await;
    // It passes on what only the leader knows or can do, but learns nothing from that.
    node().sys().put_policy("of-the-ghost", POLICY).await.unwrap();
    assert_eq!(operator.sys().at(&before).unwrap().policy("of-the-ghost").await.unwrap(), POLICY);
    until("it passes on what the leader says of the members", async || {
        node().sys().raft().autopilot_state().await.unwrap().voters.len() == 3
    })
    .await;

    cluster_steps_down(&operator, &before).await;

    // Of another leader it never hears: it sends what it can't know to one that leads no more.
    looks_well().await;
    assert_eq!(code(node().sys().raft().autopilot_state().await), Code::RedirectRefused);
    let error = node().sys().put_policy("lost", POLICY).await.unwrap_err();
    assert!(error.code() == Code::Indeterminate && error.to_string().contains("redirect"), "{error}");
    assert_eq!(code(operator.sys().policy("lost").await), Code::NotFound);
    assert_eq!(operator.sys().policy("of-the-ghost").await.unwrap(), POLICY);
    assert_eq!(code(knows("of-the-ghost").await), Code::NotFound, "its own knowledge is that of its removal");
    assert!(knows("crudservice").await.is_ok());
}

async fn cluster_steps_down(operator: &Client, before: &str) {
    operator.sys().step_down().await.unwrap();
    until("another leads", async || {
        operator.sys().leader().await.is_ok_and(|it| ![before, ""].contains(&it.leader_address.as_str()))
    })
    .await;
    let one_is_active =
        async || operator.sys().ha_status().await.is_ok_and(|all| all.iter().filter(|it| it.active_node).count() == 1);
    until("it says so", one_is_active).await;
}

async fn a_standby_is_sealed(cluster: &Cluster) {
    let operator = cluster.operator().unwrap();
    let (id, url) = a_standby(cluster).await;
    let node = operator.sys().at(&url).unwrap();
    node.seal().await.unwrap();
    until("it is sealed", async || node.health().await.unwrap().sealed).await;
    assert_eq!(code(node.leader().await), Code::ServerSealed);
    assert_eq!(code(operator.sys().at("https://127.0.0.1:1").map(drop)), Code::InvalidNode);
    operator.sys().mounts().await.expect("the others serve");
    cluster.start(id).await.unwrap();
    assert!(!node.health().await.unwrap().sealed);
}

async fn a_snapshot_is_restored(cluster: &Cluster) {
    let operator = cluster.operator().unwrap();
    // Of the leader alone, which is never behind.
    let leader = cluster.url(cluster.leader().await.unwrap()).unwrap();
    let client = cluster.client_builder().unwrap().urls([leader]).build().unwrap();
    let uri = "openbao+kv2://secret/snapshot/kept";
    client.write(uri, json!({"v": "before"})).await.unwrap();
    let (_, standby) = a_standby(cluster).await;
    let at_standby = operator.sys().at(&standby).unwrap();
    // A standby's own would lack what was just written.
    let snapshot = operator.sys().raft().snapshot(Vec::new()).await.unwrap();
    assert!(!at_standby.raft().snapshot(Vec::new()).await.unwrap().is_empty());
    client.write(uri, json!({"v": "after"})).await.unwrap();

    // A standby that got it would seal itself.
    assert_eq!(code(at_standby.raft().restore(Cursor::new(snapshot.clone())).await), Code::InvalidNode);
    assert_eq!(client.read(uri).await.unwrap().expose()["v"], "after", "nothing was restored");
    operator.sys().raft().restore(Cursor::new(snapshot)).await.unwrap();
    until("the nodes are back", async || cluster.status().await.is_ok_and(|status| status.is_healthy())).await;
    let root = cluster.root_token().unwrap();
    for (_, url) in cluster.nodes() {
        let builder = Client::builder().url(url).ca_pem(cluster.ca_pem().unwrap()).allowed_mounts(["secret"]);
        let node = builder.token(root.expose_str().unwrap()).build().unwrap();
        until("it has what was saved", async || node.read(uri).await.is_ok_and(|it| it.expose()["v"] == "before"))
            .await;
    }
}

async fn several_nodes(version: Version) {
    let cluster = new_cluster(version, 3).await;
    let ghost = a_node_comes_and_goes(&cluster, version).await;
    a_ghost_and_a_leader_step_down(&cluster, &ghost).await;
    drop(ghost);
    a_standby_is_sealed(&cluster).await;
    a_snapshot_is_restored(&cluster).await;
}

#[tokio::test]
async fn nodes_join_vote_leave_step_down_and_are_restored_on_2_7_2() {
    several_nodes(Version::V2_7_2).await;
}

#[tokio::test]
async fn nodes_join_vote_leave_step_down_and_are_restored_on_2_6_2() {
    several_nodes(Version::V2_6_2).await;
}
