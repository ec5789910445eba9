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

use baokit::sys::Join;
use baokit::{Client, Code, SecretValue};
use baokit_openbao::{Server, Version};
use ha_cluster::{Cluster, NodeId};
use serde_json::{Value, json};
use support::{code, new_cluster, until};

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
    Client::builder().url(url).token(token.expose_str().unwrap()).build().unwrap()
}

async fn vote(client: &Client, id: &str) -> Option<bool> {
    let servers = client.sys().raft().configuration().await.unwrap().servers;
    servers.into_iter().find(|server| server.node_id == id).map(|server| server.voter)
}

/// A fourth node joins, gets and loses its vote, is removed, and goes on answering.
async fn a_node_comes_and_goes(cluster: &Cluster, version: Version) {
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

    let raft = operator.sys().raft();
    assert_eq!(code(raft.demote("one").await), Code::RequestRejected, "it has no vote to lose");
    raft.promote("one").await.unwrap();
    until("it votes", async || vote(&operator, "one").await == Some(true)).await;
    raft.demote("one").await.unwrap();
    until("it votes no more", async || vote(&operator, "one").await == Some(false)).await;

    // Removed, and still running: it tells of a cluster that is no more.
    until("it sees itself", async || vote(&node, "one").await.is_some()).await;
    raft.remove_peer("one").await.unwrap();
    until("it is removed", async || vote(&operator, "one").await.is_none()).await;
    let ghost = node.sys();
    let health = ghost.health().await.unwrap();
    assert!(health.initialized && !health.sealed && health.standby, "{health:?}");
    assert_eq!(ghost.leader().await.unwrap().leader_address, leader, "as it was");
    assert!(vote(&node, "one").await.is_some(), "it believes to be a member");
    assert_eq!(code(ghost.raft().autopilot_state().await), Code::RedirectRefused, "it sends on what it can't know");
    assert_eq!(code(ghost.put_policy("ghost", "").await), Code::RedirectRefused);
    ghost.raft().join(join).await.unwrap();
    assert!(vote(&operator, "one").await.is_none(), "it says to have joined, and has not");
    raft.remove_peer("one").await.unwrap();
}

async fn a_leader_steps_down(cluster: &Cluster) {
    let operator = cluster.operator().unwrap();
    let before = operator.sys().leader().await.unwrap().leader_address;
    operator.sys().step_down().await.unwrap();
    until("another leads", async || {
        operator.sys().leader().await.is_ok_and(|it| ![before.as_str(), ""].contains(&it.leader_address.as_str()))
    })
    .await;
    let active = operator.sys().ha_status().await.unwrap().into_iter().filter(|node| node.active_node).count();
    assert_eq!(active, 1);
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
    let (operator, client) = (cluster.operator().unwrap(), cluster.client_builder().unwrap().build().unwrap());
    let uri = "openbao+kv2://secret/snapshot/kept";
    client.write(uri, json!({"v": "before"})).await.unwrap();
    let (_, standby) = a_standby(cluster).await;
    let at_standby = operator.sys().at(&standby).unwrap();
    let snapshot = at_standby.raft().snapshot(Vec::new()).await.unwrap();
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
    a_node_comes_and_goes(&cluster, version).await;
    a_leader_steps_down(&cluster).await;
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
