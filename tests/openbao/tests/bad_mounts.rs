//! Bad input against a real server of each version: what the server says to it, and what a caller is told. The
//! same on virtual time, and what no server is needed for, is in core/tests/bad_input.rs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

mod told;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime};

use baokit::{Client, Code, SecretValue};
use baokit_core::http::{Failure, FailureKind, Method, Request, Response};
use baokit_core::{Host, Now};
use baokit_openbao::{Server, Version, wire};
use serde_json::{Value, json};
use told::{CANARY, tells};
use zeroize::Zeroizing;

const URI: &str = "openbao+kv2://secret/app";
const KEY: &str = "openbao+kv2://secret/app#token";

fn started(version: Version) -> (Server, Client) {
    let server = Server::start(version).unwrap_or_else(|e| panic!("{e}"));
    let client = client(&server, "root");
    (server, client)
}

fn client(server: &Server, token: &str) -> Client {
    Client::builder().url(server.url()).token(token).allowed_mounts(["secret", "kv1"]).build().unwrap()
}

fn data(value: &str) -> Value {
    json!({ "token": value })
}

/// What the server answers, without a client between.
fn raw(to: SocketAddr, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let token = [("X-Vault-Token".to_owned(), "root".to_owned())];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = wire::exchange(to, method, target, &token, body.as_bytes()).unwrap();
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

async fn moved_cas(version: Version) {
    let (_server, client) = started(version);
    let kv2 = client.kv2("secret");
    for cas in 0..3 {
        kv2.write("app", data("x")).cas(cas).await.unwrap();
    }
    let names = ["secret/data/app", "version 3 is the newest", "to follow 1"];
    tells(kv2.write("app", data(CANARY)).cas(1).await, Code::CasConflict, &names);
    assert_eq!(client.versions(URI).await.unwrap().current_version(), 3);
}

async fn too_large(version: Version) {
    // Storage in memory takes what Raft does not.
    let server = Server::start_uninitialized(version).unwrap_or_else(|e| panic!("{e}"));
    let unsealing = server.initialize().unwrap();
    server.unseal(&unsealing).unwrap();
    let client = client(&server, &unsealing.root_token);
    let mount = SecretValue::from(json!({"type": "kv", "options": {"version": "2"}}));
    client.request("POST", "sys/mounts/secret", Some(mount)).await.unwrap();
    // It is being upgraded for a moment, which the first write waits for.
    let kv2 = client.kv2("secret");
    let names = ["secret/data/app", "1 MiB", "1000"];
    let large = data(&CANARY.repeat(100_000));
    let many = json!({ "token": vec![CANARY; 1000] });
    for value in [&large, &many] {
        tells(kv2.write("app", value.clone()).cas(0).await, Code::ValueTooLarge, &names);
        tells(kv2.write("app", value.clone()).await, Code::ValueTooLarge, &names);
    }
    tells(client.write(URI, large).await, Code::ValueTooLarge, &names);
    tells(client.read(URI).await, Code::SecretNotFound, &[URI]);
}

async fn versions_that_do_not_exist(version: Version) {
    let (_server, client) = started(version);
    let pinned = "openbao+kv2://secret/app?version=9";
    tells(client.read(pinned).await, Code::VersionNotFound, &[pinned, "no version 9"]);
    client.write(URI, data(CANARY)).await.unwrap();
    tells(client.read(pinned).await, Code::VersionNotFound, &[pinned, "no version 9"]);
    tells(client.kv2("secret").read("app").version(9).await, Code::VersionNotFound, &["secret/app", "no version 9"]);
    tells(client.read("openbao+kv2://secret/none").await, Code::SecretNotFound, &["secret/none"]);
    // OpenBao makes nothing of it, and neither do we.
    client.delete(pinned).await.unwrap();
    assert_eq!(client.read(URI).await.unwrap().version(), 1);
}

async fn kv1(version: Version) {
    let (server, client) = started(version);
    let mount = SecretValue::from(json!({"type": "kv", "options": {"version": "1"}}));
    client.request("POST", "sys/mounts/kv1", Some(mount)).await.unwrap();
    let (whole, key) = ("openbao+kv2://kv1/app", "openbao+kv2://kv1/app#token");

    // What is not there is not there in the same words as in KVv2.
    let absent = raw(server.address(), "GET", "/v1/kv1/data/app", &Value::Null);
    assert_eq!(absent, (404, json!({"errors": []})));
    assert_eq!(absent, raw(server.address(), "GET", "/v1/secret/data/app", &Value::Null));
    tells(client.read(whole).await, Code::SecretNotFound, &[whole, "the mount is KVv2"]);
    tells(client.versions(whole).await, Code::SecretNotFound, &["kv1/metadata/app", "the mount is KVv2"]);

    // Written, it is stored all the same, and is told then and from then on.
    let names = ["kv1/data/app", "KVv1", "a mount of KVv2"];
    tells(client.write(whole, data(CANARY)).await, Code::UnsupportedEngine, &names);
    let (_, stored) = raw(server.address(), "GET", "/v1/kv1/data/app", &Value::Null);
    assert_eq!(stored["data"], json!({"data": {"token": CANARY}, "options": {"cas": 0}}));
    tells(client.read(whole).await, Code::UnsupportedEngine, &names);
    tells(client.read(key).await, Code::UnsupportedEngine, &names);
    tells(client.write(key, CANARY).await, Code::UnsupportedEngine, &names);
    tells(client.kv2("kv1").read("app").strong().await, Code::UnsupportedEngine, &names);
    tells(client.kv2("kv1").write("app", data(CANARY)).await, Code::UnsupportedEngine, &names);
    // A secret of KVv1's own, which happens to lie there.
    raw(server.address(), "POST", "/v1/kv1/data/own", &data(CANARY));
    tells(client.read("openbao+kv2://kv1/own").await, Code::UnsupportedEngine, &["kv1/data/own", "KVv1"]);
    raw(server.address(), "POST", "/v1/kv1/metadata/own", &data(CANARY));
    tells(client.versions("openbao+kv2://kv1/own").await, Code::UnsupportedEngine, &["kv1/metadata/own", "KVv1"]);
    let rotated = client.rotate_with("openbao+kv2://kv1/new#token", &client.rotation()).await;
    tells(rotated, Code::UnsupportedEngine, &["kv1/data/new", "KVv1"]);
}

async fn no_right_on_metadata(version: Version) {
    let (server, client) = started(version);
    client.write(URI, data(CANARY)).await.unwrap();
    let policy = r#"path "secret/data/app" { capabilities = ["create", "update", "read"] }"#;
    let limited = self::client(&server, &told::limited(&client, policy).await);

    let done = limited.rotate_with(KEY, &limited.rotation()).await.unwrap();
    assert_eq!((done.old_version, done.new_version, done.is_recorded), (1, 2, false));
    let names = ["secret/metadata/app", "mount/metadata/"];
    let resumed = limited.resume_rotation(done.operation_id);
    tells(limited.rotate_with(KEY, &resumed).await, Code::PermissionDenied, &names);
    tells(limited.versions(URI).await, Code::PermissionDenied, &names);
    assert_eq!(client.versions(URI).await.unwrap().current_version(), 2);
}

/// A host that loses the answer to the first write of data; before that is noticed, another writer writes.
struct Losing {
    server: SocketAddr,
    start: Instant,
    random: AtomicU8,
    has_lost: AtomicBool,
}

impl Host for Losing {
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Now { monotonic: self.start.elapsed(), wall }
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill_with(|| self.random.fetch_add(1, Ordering::Relaxed));
    }

    async fn send(&self, request: Request) -> Result<Response, Failure> {
        let headers: Vec<_> =
            request.headers().iter().map(|header| (header.name().to_owned(), header.expose().to_owned())).collect();
        let body = request.body().map(|body| body.as_ref().to_vec()).unwrap_or_default();
        let reply = wire::exchange(self.server, request.method().as_str(), request.target(), &headers, &body).unwrap();
        let is_write = request.method() == Method::Post && request.target() == "/v1/secret/data/app";
        if is_write && !self.has_lost.swap(true, Ordering::Relaxed) {
            assert_eq!(reply.status, 200);
            raw(self.server, "POST", "/v1/secret/data/app", &json!({ "data": data("another writer's") }));
            return Err(Failure::new(FailureKind::AfterSend, "the answer is lost"));
        }
        let response = Response::new(reply.status, Zeroizing::new(reply.body));
        Ok(reply.headers.iter().fold(response, |response, (name, value)| response.header(name, value.as_bytes())))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

async fn max_versions_1(version: Version) {
    let (server, client) = started(version);
    client.write(URI, data("x")).await.unwrap();
    let one = SecretValue::from(json!({"max_versions": 1}));
    client.request("POST", "secret/metadata/app", Some(one)).await.unwrap();
    let settings = baokit::Settings::builder(baokit::Provider::OpenBao)
        .urls([server.url()])
        .credential(baokit::Credential::token("root"))
        .build()
        .unwrap();
    let losing = Losing {
        server: server.address(),
        start: Instant::now(),
        random: AtomicU8::new(0),
        has_lost: AtomicBool::new(false),
    };
    let losing = baokit_core::Client::new(losing, settings);
    let written = losing.kv2_write("secret", "app", &SecretValue::from(data(CANARY)), Some(1)).await;
    tells(written, Code::Indeterminate, &["secret/data/app", "pruned"]);
    // Exactly those two wrote, and what ours made is gone.
    let versions = client.versions(URI).await.unwrap();
    let left: Vec<_> = versions.versions().iter().map(baokit::Version::version).collect();
    assert_eq!((versions.current_version(), left), (3, vec![3]));
    let pruned = "openbao+kv2://secret/app?version=2";
    tells(client.read(pruned).await, Code::VersionNotFound, &[pruned, "list the versions"]);
    let late = client.kv2("secret").write("app", data(CANARY)).cas(2).await;
    tells(late, Code::CasConflict, &["version 3 is the newest", "to follow 2"]);
}

async fn numbers(version: Version) {
    let (server, client) = started(version);
    // Why: the first is rounded, the second is not, and comes back with other digits; the third is kept.
    let numbers = json!({"data": {"a": 9_007_199_254_740_993_u64, "b": 1_u64 << 60, "c": (1_u64 << 53) + 2}});
    assert_eq!(raw(server.address(), "POST", "/v1/secret/data/raw", &numbers).0, 200);
    let (_, back) = raw(server.address(), "GET", "/v1/secret/data/raw", &Value::Null);
    let kept = json!({"a": 9_007_199_254_740_992_u64, "b": 1_152_921_504_606_847_000_u64, "c": (1_u64 << 53) + 2});
    assert_eq!(back["data"]["data"], kept);

    for (name, number) in numbers["data"].as_object().unwrap() {
        let whole = json!({ name: number });
        let written = client.write(URI, whole.clone()).await;
        if name == "c" {
            written.unwrap();
            assert_eq!(client.read(URI).await.unwrap().expose(), &whole);
            continue;
        }
        let place = format!("'/{name}'");
        tells(written, Code::InvalidValue, &[URI, &place, "as text"]);
        tells(client.write(KEY, whole.clone()).await, Code::InvalidValue, &[KEY, &place, "as text"]);
        tells(client.rotate(URI, whole.clone()).await, Code::InvalidValue, &[URI, &place, "as text"]);
        let written = client.kv2("secret").write("app", whole.clone()).await;
        tells(written, Code::InvalidValue, &["secret/app", &place, "as text"]);
        let given = client.rotation().value(whole);
        tells(client.rotate_with(URI, &given).await, Code::InvalidValue, &[URI, &place, "as text"]);
    }
    assert_eq!(client.versions(URI).await.unwrap().current_version(), 1, "none of them was written");

    // What comes back can be written again, and comes back the same.
    let read = client.read("openbao+kv2://secret/raw").await.unwrap();
    client.write("openbao+kv2://secret/copy", read.expose().clone()).await.unwrap();
    assert_eq!(client.read("openbao+kv2://secret/copy").await.unwrap().expose(), &kept);
}

macro_rules! on_both_versions {
    ($($test:ident: $name:ident)+) => { $(
        #[tokio::test]
        async fn $name() {
            for version in Version::ALL {
                $test(version).await;
            }
        }
    )+ }
}

on_both_versions! {
    moved_cas: cas_on_a_version_that_has_moved_is_a_conflict_that_names_both_versions
    too_large: a_value_over_the_limits_is_told_with_the_limits
    versions_that_do_not_exist: a_version_that_does_not_exist_is_named
    kv1: a_mount_that_is_kv1_is_told_on_reads_and_writes_wherever_it_shows_itself
    no_right_on_metadata: without_rights_on_metadata_a_rotation_has_no_record_and_can_not_be_resumed
    max_versions_1: where_max_versions_is_1_a_lost_answer_and_a_second_writer_leave_the_outcome_open
    numbers: a_number_beyond_2_53_is_refused_before_it_is_sent
}
