//! The operations as a user types them, against the dev server over real HTTP.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use baokit::{Builder, Client, Code, SecretValue};
use baokit_devserver::DevServer;
use serde_json::json;

const SECRET: &str = "openbao+kv2://secret/app/api";
const TOKEN: &str = "openbao+kv2://secret/app/api#token";

async fn server() -> DevServer {
    DevServer::start().await.unwrap()
}

fn builder(server: &DevServer) -> Builder {
    Client::builder()
        .url(server.url())
        .token(server.root_token())
        .allowed_mounts(["secret"])
        .deadline(Duration::from_secs(5))
}

fn client(server: &DevServer) -> Client {
    builder(server).build().unwrap()
}

/// A role that may use `secret/app/*` and nothing else; its role id and secret id.
async fn app_role(root: &Client) -> (String, String) {
    let policy = r#"
        path "secret/data/app/*" { capabilities = ["create", "update", "read", "delete"] }
        path "secret/metadata/app/*" { capabilities = ["read", "list"] }
    "#;
    let post = async |path: &str, body| root.request("POST", path, Some(SecretValue::from(body))).await.unwrap();
    post("sys/policies/acl/app", json!({"policy": policy})).await;
    post("sys/auth/approle", json!({"type": "approle"})).await;
    post("auth/approle/role/app", json!({"token_policies": ["app"], "token_ttl": "1h"})).await;
    let role = root.request("GET", "auth/approle/role/app/role-id", None).await.unwrap();
    let secret = post("auth/approle/role/app/secret-id", json!({})).await;
    let text = |value: &SecretValue, key: &str| value.expose()["data"][key].as_str().unwrap().to_owned();
    (text(&role, "role_id"), text(&secret, "secret_id"))
}

#[tokio::test]
async fn a_secret_is_written_read_rotated_listed_and_deleted() {
    let server = server().await;
    let client = client(&server);
    let written = client.write(SECRET, json!({"user": "app", "token": "one"})).await.unwrap();
    assert_eq!((written.old_version, written.new_version), (0, 1));
    let rotated = client.rotate(TOKEN, "two").await.unwrap();
    assert_eq!((rotated.old_version, rotated.new_version), (1, 2));
    assert_eq!(client.read(SECRET).await.unwrap().expose(), &json!({"user": "app", "token": "two"}));
    assert_eq!(client.read(TOKEN).await.unwrap().expose_str().unwrap(), "two");
    assert_eq!(client.read(format!("{TOKEN}?version=1")).await.unwrap().expose_str().unwrap(), "one");
    let versions = client.versions(SECRET).await.unwrap();
    let numbers: Vec<_> = versions.versions().iter().map(baokit::Version::version).collect();
    assert_eq!((versions.current_version(), numbers), (2, vec![1, 2]));

    client.delete(SECRET).await.unwrap();
    assert_eq!(client.read(SECRET).await.unwrap_err().code(), Code::SecretDeleted);
    assert_eq!(client.read(format!("{SECRET}?version=2")).await.unwrap_err().code(), Code::VersionDeleted);
    client.delete(format!("{SECRET}?version=1")).await.unwrap();
    assert_eq!(client.read(format!("{SECRET}?version=1")).await.unwrap_err().code(), Code::VersionDeleted);
    let deleted = client.versions(SECRET).await.unwrap();
    assert!(deleted.versions().iter().all(|version| version.deletion_time().is_some()));

    let again = client.write(TOKEN, "three").await.unwrap();
    assert_eq!((again.old_version, again.new_version), (2, 3));
    assert_eq!(
        client.read(SECRET).await.unwrap().expose(),
        &json!({"token": "three"}),
        "a deleted version counts as empty"
    );
}

#[tokio::test]
async fn missing_deleted_destroyed_and_pruned_are_told_apart() {
    let server = server().await;
    let client = client(&server);
    assert_eq!(client.read(SECRET).await.unwrap_err().code(), Code::SecretNotFound);
    assert_eq!(client.versions(SECRET).await.unwrap_err().code(), Code::SecretNotFound);
    client.write(TOKEN, "one").await.unwrap();
    assert_eq!(client.read(format!("{SECRET}#other")).await.unwrap_err().code(), Code::FragmentNotFound);
    assert_eq!(client.read(format!("{SECRET}?version=9")).await.unwrap_err().code(), Code::VersionNotFound);
    let body = SecretValue::from(json!({"versions": [1]}));
    client.request("POST", "secret/destroy/app/api", Some(body)).await.unwrap();
    assert_eq!(client.read(SECRET).await.unwrap_err().code(), Code::SecretDestroyed);
    assert_eq!(client.read(format!("{SECRET}?version=1")).await.unwrap_err().code(), Code::VersionDestroyed);
    assert!(client.versions(SECRET).await.unwrap().versions()[0].is_destroyed());
}

#[tokio::test]
async fn a_secret_that_is_null_is_not_one_that_is_gone() {
    let server = server().await;
    let client = client(&server);
    client.request("POST", "secret/data/app/api", Some(SecretValue::from(json!({"data": null})))).await.unwrap();
    assert_eq!(client.read(SECRET).await.unwrap().expose(), &json!(null));
    assert_eq!(client.read(TOKEN).await.unwrap_err().code(), Code::FragmentNotFound);
    client.write(TOKEN, "one").await.unwrap();
    assert_eq!(client.read(SECRET).await.unwrap().expose(), &json!({"token": "one"}));
}

#[tokio::test]
async fn a_path_with_every_legal_character_arrives_as_it_was_meant() {
    let server = server().await;
    let client = client(&server);
    for name in ["a b", "caf\u{e9}", "a%b", "a?b#c", "100% +1;x=y&z", "\u{1f511}", "..x", "'\"<>^`{|}"] {
        let escaped: String = name
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() || byte == b'.' {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
        let uri = format!("openbao+kv2://secret/names/{escaped}");
        client.write(&uri, json!({"name": name})).await.unwrap();
        assert_eq!(client.read(&uri).await.unwrap().expose(), &json!({"name": name}));
        let list = client.request("LIST", "secret/metadata/names", None).await.unwrap();
        assert!(list.expose()["data"]["keys"].as_array().unwrap().iter().any(|key| key == name), "{name}");
    }
}

#[tokio::test]
async fn the_tenant_guard_refuses_before_anything_is_sent() {
    let server = server().await;
    let nothing = Client::builder().url(server.url()).token("root").build().unwrap();
    for (client, uri) in [
        (&nothing, SECRET),
        (&client(&server), "openbao+kv2://other/app"),
        (&client(&server), "openbao+kv2://Secret/app"),
    ] {
        assert_eq!(client.read(uri).await.unwrap_err().code(), Code::TenantMountMismatch);
        assert_eq!(client.write(uri, json!({})).await.unwrap_err().code(), Code::TenantMountMismatch);
        assert_eq!(client.rotate(uri, json!({})).await.unwrap_err().code(), Code::TenantMountMismatch);
        assert_eq!(client.delete(uri).await.unwrap_err().code(), Code::TenantMountMismatch);
        assert_eq!(client.versions(uri).await.unwrap_err().code(), Code::TenantMountMismatch);
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn operations_refuse_uris_that_say_more_than_they_can_honour() {
    let server = server().await;
    let client = client(&server);
    let pinned = format!("{SECRET}?version=1");
    assert_eq!(client.write(&pinned, json!({})).await.unwrap_err().code(), Code::VersionNotAllowed);
    assert_eq!(client.rotate(&pinned, json!({})).await.unwrap_err().code(), Code::VersionNotAllowed);
    assert_eq!(client.delete(TOKEN).await.unwrap_err().code(), Code::FragmentNotAllowed);
    assert_eq!(client.versions(TOKEN).await.unwrap_err().code(), Code::FragmentNotAllowed);
    assert_eq!(client.read("hashicorp+kv2://secret/app").await.unwrap_err().code(), Code::UnsupportedEngine);
    assert_eq!(client.read("yaml://secret/app").await.unwrap_err().code(), Code::UnsupportedEngine);
    assert_eq!(client.read("openbao+kv2://secret/app/").await.unwrap_err().code(), Code::TrailingSlash);
    assert!(server.requests().is_empty());
    assert_eq!(client.write(SECRET, "scalar").await.unwrap_err().code(), Code::InvalidValue);
}

#[tokio::test]
async fn app_role_logs_in_and_its_policy_is_enforced() {
    let server = server().await;
    let (role_id, secret_id) = app_role(&client(&server)).await;
    let app = builder(&server).app_role(&role_id, &secret_id).build().unwrap();
    app.write(TOKEN, "one").await.unwrap();
    assert_eq!(app.read(TOKEN).await.unwrap().expose_str().unwrap(), "one");
    let error = app.read("openbao+kv2://secret/other").await.unwrap_err();
    assert_eq!((error.code(), error.subject()), (Code::PermissionDenied, Some("secret/data/other")), "{error}");
    assert!(app.lookup_self().await.unwrap().policies().contains(&"app".to_owned()));
    assert_eq!(app.renew_self(None).await.unwrap().lease_duration(), 3600);
    let wrong = builder(&server).app_role(&role_id, "wrong").build().unwrap();
    assert_eq!(wrong.read(TOKEN).await.unwrap_err().code(), Code::AuthenticationFailed);
    let logins = server.requests().iter().filter(|request| request.target == "/v1/auth/approle/login").count();
    assert_eq!(logins, 2);
}

#[tokio::test]
async fn a_token_that_expired_is_replaced_without_the_caller_s_notice() {
    let server = server().await;
    let (role_id, secret_id) = app_role(&client(&server)).await;
    let app = builder(&server).app_role(role_id, secret_id).build().unwrap();
    app.write(TOKEN, "one").await.unwrap();
    server.advance(Duration::from_secs(7200));
    assert_eq!(app.read(TOKEN).await.unwrap().expose_str().unwrap(), "one");
}

#[tokio::test]
async fn writers_of_different_keys_lose_nothing_and_make_one_version_each() {
    let server = server().await;
    let client = client(&server);
    client.write(SECRET, json!({})).await.unwrap();
    let writers: Vec<_> = (0..5)
        .map(|i| {
            let client = client.clone();
            tokio::spawn(async move { client.write(format!("{SECRET}#key{i}"), json!(i)).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    let secret = client.read(SECRET).await.unwrap();
    assert_eq!(secret.expose(), &json!({"key0": 0, "key1": 1, "key2": 2, "key3": 3, "key4": 4}));
    assert_eq!(secret.version(), 6);
}

#[tokio::test]
async fn of_many_rotators_at_once_each_version_has_one_and_the_others_are_told() {
    let server = server().await;
    let client = client(&server);
    client.write(TOKEN, "zero").await.unwrap();
    let rotators: Vec<_> = (0..20)
        .map(|i| {
            let client = client.clone();
            tokio::spawn(async move { client.rotate(TOKEN, format!("value {i}")).await })
        })
        .collect();
    let mut made = Vec::new();
    for rotator in rotators {
        match rotator.await.unwrap() {
            Ok(change) => made.push(change.new_version),
            Err(error) => assert_eq!(error.code(), Code::CasConflict),
        }
    }
    made.sort_unstable();
    let expected: Vec<_> = (2..2 + made.len() as u64).collect();
    assert_eq!(made, expected);
    assert_eq!(client.read(SECRET).await.unwrap().version(), 1 + made.len() as u64);
}

#[tokio::test]
async fn below_the_uri_level_cas_is_the_caller_s() {
    let server = server().await;
    let client = client(&server);
    let kv2 = client.kv2("secret");
    assert_eq!(kv2.write("app", json!({"a": 1})).cas(0).await.unwrap().version(), 1);
    assert_eq!(kv2.write("app", json!({"a": 2})).cas(0).await.unwrap_err().code(), Code::CasConflict);
    assert_eq!(kv2.write("app", json!({"a": 2})).cas(1).await.unwrap().version(), 2);
    assert_eq!(kv2.write("app", json!({"a": 3})).await.unwrap().version(), 3);
    assert_eq!(kv2.read("app").version(2).await.unwrap().expose(), &json!({"a": 2}));
    kv2.delete("app", &[2]).await.unwrap();
    assert_eq!(kv2.read("app").version(2).await.unwrap_err().code(), Code::VersionDeleted);
    kv2.delete("app", &[]).await.unwrap();
    assert_eq!(kv2.read("app").await.unwrap_err().code(), Code::SecretDeleted);
    assert_eq!(kv2.versions("app").await.unwrap().versions().len(), 3);
    let absent = client.kv2("absent");
    assert_eq!(absent.read("app").await.unwrap_err().code(), Code::MountNotFound);
    assert_eq!(absent.write("app", json!({})).await.unwrap_err().code(), Code::MountNotFound);
}

#[tokio::test]
async fn a_mount_that_requires_cas_says_so() {
    let server = server().await;
    let client = client(&server);
    client.request("POST", "secret/config", Some(SecretValue::from(json!({"cas_required": true})))).await.unwrap();
    assert_eq!(client.kv2("secret").write("app", json!({})).await.unwrap_err().code(), Code::CasRequired);
    client.write(SECRET, json!({"a": 1})).await.unwrap();
}

#[tokio::test]
async fn a_sealed_server_and_a_dead_token_are_named() {
    let server = server().await;
    let dead = builder(&server).token("hvs.unknown").build().unwrap();
    assert_eq!(dead.read(SECRET).await.unwrap_err().code(), Code::AuthenticationFailed);
    server.with_model(|model| model.seal());
    let client = builder(&server).deadline(Duration::from_millis(300)).build().unwrap();
    let error = client.read(SECRET).await.unwrap_err();
    assert_eq!((error.code(), error.node()), (Code::ServerSealed, Some(server.url())), "{error}");
}

#[tokio::test]
async fn what_is_not_modelled_is_asked_by_request() {
    let server = server().await;
    let client = client(&server);
    let mounts = client.request("GET", "sys/mounts", None).await.unwrap();
    assert_eq!(mounts.expose()["data"]["secret/"]["type"], "kv");
    assert_eq!(client.request("GET", "sys/policies/acl/absent", None).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.request("BREW", "sys/mounts", None).await.unwrap_err().code(), Code::NotSupported);
}

#[test]
fn a_client_and_its_futures_are_send_and_a_client_is_cheap_to_clone() {
    fn send<T: Send>(_: T) {}
    fn sync<T: Send + Sync + Clone>(_: &T) {}
    let client = Client::builder().url("http://127.0.0.1:1").token("t").build().unwrap();
    sync(&client);
    send(client.read(SECRET));
    send(client.write(SECRET, "x"));
    send(client.rotate(SECRET, "x"));
    send(client.delete(SECRET));
    send(client.versions(SECRET));
    send(client.request("GET", "sys/mounts", None));
    assert_eq!(size_of_val(&client), size_of::<usize>());
}
