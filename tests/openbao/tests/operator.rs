//! The operator's calls against a real server of each version: opened, closed, set up, saved and put
//! back. What takes several nodes is in examples/ha-cluster/tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::time::Duration;

use baokit::sys::{Initialization, MountConfig, Role};
use baokit::{Client, Code, SecretValue};
use baokit_openbao::{Server, Version};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

fn code<T: std::fmt::Debug>(result: baokit::Result<T>) -> Code {
    result.unwrap_err().code()
}

fn without_token(server: &Server) -> Client {
    Client::builder().url(server.url()).without_credential().build().unwrap()
}

fn with_token(server: &Server, token: &SecretValue) -> Client {
    Client::builder().url(server.url()).token(token.expose_str().unwrap()).allowed_mounts(["secret"]).build().unwrap()
}

async fn until_active(client: &Client) {
    for _ in 0..500 {
        if client.sys().leader().await.is_ok_and(|leader| leader.is_self) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the server did not become active");
}

/// A share like this one with one bit turned.
fn wrong(share: &SecretValue) -> SecretValue {
    let text = share.expose_str().unwrap();
    let (first, rest) = text.split_at(1);
    SecretValue::from(format!("{}{rest}", if first == "A" { "B" } else { "A" }))
}

/// A new server with five shares and threshold three, initialised and sealed.
async fn initialised(version: Version) -> (Server, Client, Initialization) {
    let server = Server::start_uninitialized(version).unwrap();
    let client = without_token(&server);
    let sys = client.sys();
    let health = sys.health().await.unwrap();
    assert_eq!((health.initialized, health.sealed, health.version.as_str()), (false, true, version.as_str()));
    assert_eq!(code(sys.unseal("AAAA").await), Code::ServerNotInitialized, "there is nothing to unseal");
    for (shares, threshold) in [(2, 5), (0, 0), (5, 1)] {
        assert_eq!(code(sys.init(shares, threshold).await), Code::RequestRejected, "{shares}, {threshold}");
    }
    let init = sys.init(5, 3).await.unwrap();
    assert_eq!(init.shares.len(), 5);
    assert_eq!(code(sys.init(5, 3).await), Code::RequestRejected, "there are keys already");
    (server, client, init)
}

async fn opened(version: Version) -> (Server, Client, Initialization) {
    let (server, client, init) = initialised(version).await;
    for share in &init.shares[..3] {
        client.sys().unseal(share.clone()).await.unwrap();
    }
    until_active(&client).await;
    let client = with_token(&server, &init.root_token);
    (server, client, init)
}

async fn shares(version: Version) {
    let (server, client, init) = initialised(version).await;
    let sys = client.sys();
    let status = sys.seal_status().await.unwrap();
    assert_eq!((status.sealed, status.threshold, status.shares, status.progress), (true, 3, 5, 0));
    assert_eq!((status.kind.as_str(), status.storage_type.as_str()), ("shamir", "raft"));

    for nonsense in ["", "not a share", "AAAA"] {
        assert_eq!(code(sys.unseal(nonsense).await), Code::RequestRejected, "{nonsense:?}");
    }
    // Too few, and the same one twice.
    assert_eq!(sys.unseal(init.shares[0].clone()).await.unwrap().progress, 1);
    assert_eq!(sys.unseal(init.shares[0].clone()).await.unwrap().progress, 1, "it counts once");
    assert_eq!(sys.unseal(init.shares[1].clone()).await.unwrap().progress, 2);
    assert!(sys.seal_status().await.unwrap().sealed);
    assert_eq!(code(with_short_deadline(&server, &init).sys().mounts().await), Code::ServerSealed);
    // A share of somebody else's.
    let error = sys.unseal(wrong(&init.shares[2])).await.unwrap_err();
    assert_eq!(error.code(), Code::RequestRejected);
    assert!(error.to_string().contains("failed to decrypt keys"), "{error}");
    assert_eq!(sys.seal_status().await.unwrap().progress, 0, "all were forgotten");
    // Forgotten when asked to.
    assert_eq!(sys.unseal(init.shares[4].clone()).await.unwrap().progress, 1);
    assert_eq!(sys.reset_unseal().await.unwrap().progress, 0);
    // Any three, in any order.
    for share in [4, 0] {
        assert!(sys.unseal(init.shares[share].clone()).await.unwrap().sealed);
    }
    let status = sys.unseal(init.shares[2].clone()).await.unwrap();
    assert!(!status.sealed && status.cluster_id.is_some());
    assert!(!sys.unseal(init.shares[2].clone()).await.unwrap().sealed, "once more does no harm");

    until_active(&client).await;
    let root = with_token(&server, &init.root_token);
    assert_eq!(code(sys.seal().await), Code::AuthenticationFailed, "not without a token");
    root.sys().seal().await.unwrap();
    assert!(root.sys().health().await.unwrap().sealed);
    for share in &init.shares[..3] {
        root.sys().unseal(share.clone()).await.unwrap();
    }
    until_active(&client).await;
    for secret in init.shares.iter().chain([&init.root_token]) {
        assert!(!server.log().contains(secret.expose_str().unwrap()), "the server's log holds a key");
    }
}

fn with_short_deadline(server: &Server, init: &Initialization) -> Client {
    let token = init.root_token.expose_str().unwrap();
    Client::builder().url(server.url()).token(token).deadline(Duration::from_secs(1)).build().unwrap()
}

async fn cluster_of_one(version: Version) {
    let (server, client, _init) = opened(version).await;
    let sys = client.sys();
    let leader = sys.leader().await.unwrap();
    assert!(leader.is_self && leader.ha_enabled && leader.active_time.is_some());
    assert_eq!(leader.leader_address, server.url());
    let health = sys.health().await.unwrap();
    assert!(health.initialized && !health.sealed && !health.standby && health.cluster_id.is_some());
    let nodes = sys.ha_status().await.unwrap();
    assert_eq!((nodes.len(), nodes[0].active_node, nodes[0].api_address.as_str()), (1, true, server.url()));
    let history = sys.version_history().await.unwrap();
    assert_eq!((history.len(), history[0].version.as_str(), &history[0].previous), (1, version.as_str(), &None));

    let raft = sys.raft();
    let members = raft.configuration().await.unwrap().servers;
    assert_eq!((members.len(), members[0].node_id.as_str()), (1, "one"));
    assert!(members[0].leader && members[0].voter);
    let state = raft.autopilot_state().await.unwrap();
    assert_eq!((state.leader.as_str(), state.failure_tolerance), ("one", 0));
    assert_eq!(state.servers["one"].status, "leader");
    let mut autopilot = raft.autopilot_configuration().await.unwrap();
    assert_eq!(autopilot.server_stabilization_time, "10s");
    autopilot.server_stabilization_time = "5s".to_owned();
    raft.set_autopilot_configuration(&autopilot).await.unwrap();
    assert_eq!(raft.autopilot_configuration().await.unwrap(), autopilot);
    autopilot.server_stabilization_time = "soon".to_owned();
    assert_eq!(code(raft.set_autopilot_configuration(&autopilot).await), Code::RequestRejected);
    assert_eq!(code(raft.promote("one").await), Code::RequestRejected, "it has a vote");
    assert_eq!(code(raft.promote("none").await), Code::RequestRejected);
    raft.remove_peer("none").await.unwrap();
}

async fn what_is_mounted(version: Version) {
    let (_server, client, _init) = opened(version).await;
    let sys = client.sys();
    sys.enable_mount("team/kv", &MountConfig::kv2().description("of the team")).await.unwrap();
    let mounts = sys.mounts().await.unwrap();
    let mount = &mounts["team/kv/"];
    assert!(mount.is_kv2() && !mounts["sys/"].is_kv2());
    assert_eq!((mount.kind.as_str(), mount.description.as_str()), ("kv", "of the team"));
    let error = sys.enable_mount("team/kv", &MountConfig::kv2()).await.unwrap_err();
    assert!(error.code() == Code::RequestRejected && error.to_string().contains("already in use"), "{error}");
    assert_eq!(code(sys.enable_mount("x", &MountConfig::new("nonsense")).await), Code::RequestRejected);
    for illegal in ["", "../sys", "a//b", "a/"] {
        assert!(sys.enable_mount(illegal, &MountConfig::kv2()).await.is_err(), "{illegal}");
    }
    sys.disable_mount("team/kv").await.unwrap();
    sys.disable_mount("team/kv").await.unwrap();
    assert!(!sys.mounts().await.unwrap().contains_key("team/kv/"));

    sys.enable_auth("people", &MountConfig::new("userpass")).await.unwrap();
    assert_eq!(sys.auths().await.unwrap()["people/"].kind, "userpass");
    assert_eq!(code(sys.enable_auth("people", &MountConfig::new("userpass")).await), Code::RequestRejected);
    sys.disable_auth("people").await.unwrap();
    assert!(!sys.auths().await.unwrap().contains_key("people/"));
}

async fn who_may_do_what(version: Version) {
    let (server, client, _init) = opened(version).await;
    let sys = client.sys();
    let text = r#"path "secret/data/app/*" { capabilities = ["create", "update", "read"] }"#;
    sys.put_policy("app", text).await.unwrap();
    assert_eq!(sys.policy("app").await.unwrap(), text);
    assert!(sys.policies().await.unwrap().contains(&"app".to_owned()));
    assert_eq!(code(sys.policy("none").await), Code::NotFound);
    assert_eq!(code(sys.put_policy("bad", r#"path "a" { capabilities = ["fly"] }"#).await), Code::RequestRejected);
    assert_eq!(code(sys.put_policy("root", text).await), Code::RequestRejected);
    sys.delete_policy("none").await.unwrap();

    sys.enable_mount("secret", &MountConfig::kv2()).await.unwrap();
    sys.enable_auth("approle", &MountConfig::new("approle")).await.unwrap();
    let app_role = sys.app_role("approle").unwrap();
    assert_eq!(app_role.roles().await.unwrap(), Vec::<String>::new());
    let role = Role::new(["app"]).token_ttl(20 * MINUTE).token_max_ttl(60 * MINUTE).secret_id_num_uses(7);
    app_role.put_role("app", &role).await.unwrap();
    assert_eq!(app_role.role("app").await.unwrap(), role);
    assert_eq!(app_role.roles().await.unwrap(), ["app"]);
    assert_eq!(code(app_role.role("none").await), Code::NotFound);
    assert_eq!(code(app_role.role_id("none").await), Code::NotFound);
    assert_eq!(code(app_role.secret_id("none").await), Code::NotFound);
    assert!(sys.app_role("nowhere").unwrap().roles().await.is_err());

    let role_id = app_role.role_id("app").await.unwrap();
    let secret_id = app_role.secret_id("app").await.unwrap();
    assert_eq!((secret_id.num_uses, secret_id.ttl), (7, 0));
    let log_in = |secret_id: &SecretValue| {
        let (role_id, secret_id) = (role_id.expose_str().unwrap(), secret_id.expose_str().unwrap());
        let client = Client::builder().url(server.url()).app_role(role_id, secret_id).allowed_mounts(["secret"]);
        client.build().unwrap()
    };
    let app = log_in(&secret_id.secret_id);
    app.write("openbao+kv2://secret/app/api", json!({"token": "t"})).await.unwrap();
    assert_eq!(code(app.read("openbao+kv2://secret/other").await), Code::PermissionDenied);
    assert_eq!(code(app.sys().mounts().await), Code::PermissionDenied);
    assert_eq!(code(app.sys().seal().await), Code::PermissionDenied);

    // The same by way of somebody who must not see it.
    let wrapped = app_role.wrapped_secret_id("app", MINUTE).await.unwrap();
    assert_eq!((wrapped.ttl, wrapped.creation_path.as_str()), (60, "auth/approle/role/app/secret-id"));
    let stranger = without_token(&server);
    let info = stranger.sys().wrapping_lookup(wrapped.token.clone()).await.unwrap();
    assert_eq!((info.creation_path.as_str(), info.creation_ttl), ("auth/approle/role/app/secret-id", 60));
    let answer = stranger.sys().unwrap(wrapped.token.clone()).await.unwrap();
    let unwrapped = SecretValue::from(&answer.expose()["data"]["secret_id"]);
    log_in(&unwrapped).read("openbao+kv2://secret/app/api").await.unwrap();
    assert_eq!(
        code(stranger.sys().unwrap(wrapped.token.clone()).await),
        Code::WrappingTokenSpent,
        "it can be had once"
    );
    assert_eq!(code(stranger.sys().wrapping_lookup(wrapped.token.clone()).await), Code::WrappingTokenSpent);

    app_role.destroy_secret_id("app", &secret_id.accessor).await.unwrap();
    assert_eq!(code(log_in(&secret_id.secret_id).lookup_self().await), Code::AuthenticationFailed);
    app_role.delete_role("app").await.unwrap();
    app_role.delete_role("app").await.unwrap();
    assert_eq!(app_role.roles().await.unwrap(), Vec::<String>::new());

    let first = sys.wrap(json!({"a": [1, null]}), MINUTE).await.unwrap();
    let second = sys.rewrap(first.token.clone()).await.unwrap();
    assert_eq!(code(sys.unwrap(first.token).await), Code::WrappingTokenSpent, "the second took its place");
    assert_eq!(sys.unwrap(second.token).await.unwrap().expose()["data"], json!({"a": [1, null]}));
}

async fn saved_and_put_back(version: Version) {
    let (_server, client, _init) = opened(version).await;
    client.sys().enable_mount("secret", &MountConfig::kv2()).await.unwrap();
    let uri = "openbao+kv2://secret/app/api";
    client.write(uri, json!({"v": 1})).await.unwrap();
    let mut file: File = client.sys().raft().snapshot(tempfile()).await.unwrap();
    let size = file.stream_position().unwrap();
    file.rewind().unwrap();
    let mut head = [0; 2];
    file.read_exact(&mut head).unwrap();
    assert_eq!((head, size > 1024), ([0x1f, 0x8b], true), "a gzip file, {size} bytes");

    client.write(uri, json!({"v": 2})).await.unwrap();
    client.sys().raft().restore(file).await.unwrap();
    until_active(&client).await;
    let secret = client.read(uri).await.unwrap();
    assert_eq!((secret.version(), secret.expose()), (1, &json!({"v": 1})));

    for broken in [b"".as_slice(), b"no snapshot"] {
        assert_eq!(code(client.sys().raft().restore(Cursor::new(broken)).await), Code::RequestRejected);
    }
    assert_eq!(client.read(uri).await.unwrap().version(), 1, "nothing was harmed");

    // Another cluster's: refused, unless that is what is wanted; then its unseal key holds.
    let (_other_server, other, other_init) = opened(version).await;
    let foreign = other.sys().raft().snapshot(Vec::new()).await.unwrap();
    let error = client.sys().raft().restore(Cursor::new(foreign.clone())).await.unwrap_err();
    assert!(!error.is_retryable() || error.code() == Code::ServerError, "{error}");
    client.sys().raft().restore_force(Cursor::new(foreign)).await.unwrap();
    let sys = client.sys();
    for _ in 0..200 {
        if sys.health().await.is_ok_and(|health| health.sealed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for share in &other_init.shares[2..] {
        sys.unseal(share.clone()).await.unwrap();
    }
    assert!(!sys.seal_status().await.unwrap().sealed);
}

fn tempfile() -> File {
    let path = std::env::temp_dir().join(format!("baokit-snapshot-{}", std::process::id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

macro_rules! for_each_version {
    ($($test:ident: $name_new:ident, $name_old:ident;)+) => {$(
        #[tokio::test]
        async fn $name_new() {
            $test(Version::V2_7_2).await;
        }

        #[tokio::test]
        async fn $name_old() {
            $test(Version::V2_6_2).await;
        }
    )+};
}

for_each_version! {
    shares: any_three_shares_open_2_7_2_and_wrong_too_few_or_repeated_ones_do_not,
        any_three_shares_open_2_6_2_and_wrong_too_few_or_repeated_ones_do_not;
    cluster_of_one: the_state_of_a_cluster_is_told_by_2_7_2, the_state_of_a_cluster_is_told_by_2_6_2;
    what_is_mounted: engines_and_methods_are_mounted_and_unmounted_on_2_7_2,
        engines_and_methods_are_mounted_and_unmounted_on_2_6_2;
    who_may_do_what: policies_roles_and_wrapped_secret_ids_work_on_2_7_2,
        policies_roles_and_wrapped_secret_ids_work_on_2_6_2;
    saved_and_put_back: a_snapshot_is_saved_and_restored_on_2_7_2, a_snapshot_is_saved_and_restored_on_2_6_2;
}
