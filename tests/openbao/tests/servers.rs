//! What `bao server -dev` can't show: a server that nobody has initialised, a sealed one, and the limit
//! of Raft storage; and that the dev server's model answers the same there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

#[path = "conformance/normal.rs"]
mod normal;

use baokit_devserver::DevServer;
use baokit_devserver::model::Model;
use baokit_openbao::wire::exchange;
use baokit_openbao::{Server, Version};
use normal::normal;
use std::net::SocketAddr;

const PROBES: [(&str, &str, &str); 9] = [
    ("GET", "/v1/secret/data/a", ""),
    ("POST", "/v1/secret/data/a", r#"{"data":{}}"#),
    ("POST", "/v1/auth/approle/login", r#"{"role_id":"x","secret_id":"y"}"#),
    ("GET", "/v1/auth/token/lookup-self", ""),
    ("GET", "/v1/sys/mounts", ""),
    ("GET", "/v1/nothing", ""),
    ("GET", "/v1/sys/init", ""),
    ("GET", "/v1/sys/health", ""),
    ("HEAD", "/v1/sys/health", ""),
];

fn token(token: &str) -> Vec<(String, String)> {
    vec![("X-Vault-Token".into(), token.into())]
}

fn alike(real: SocketAddr, dev: SocketAddr) {
    for (method, target, body) in PROBES {
        let [theirs, ours] =
            [real, dev].map(|to| normal(&exchange(to, method, target, &token("root"), body.as_bytes()).unwrap()));
        assert_eq!(theirs, ours, "{method} {target}: the real server, then the dev server");
    }
}

fn uninitialized_sealed_and_limited(version: Version) {
    let real = Server::start_uninitialized(version).unwrap_or_else(|e| panic!("{e}"));
    let dev = DevServer::start_blocking().unwrap();
    dev.with_model(Model::uninitialize);
    alike(real.address(), dev.address());

    let unsealing = real.initialize().unwrap();
    let dev = DevServer::builder().root_token(&unsealing.root_token).start_blocking().unwrap();
    dev.with_model(Model::seal);
    alike(real.address(), dev.address());

    real.unseal(&unsealing).unwrap();
    dev.with_model(|model| {
        model.unseal();
        model.limit_entry(Some(1 << 20));
    });
    let root = token(&unsealing.root_token);
    let mount = br#"{"type":"kv","options":{"version":"2"}}"#;
    let mounted = exchange(real.address(), "POST", "/v1/sys/mounts/secret", &root, mount).unwrap();
    assert_eq!(mounted.status, 204);
    // A value a good deal below the limit, and one above it; how the real server counts the bytes of
    // what it refuses is its own business.
    for (size, status) in [(1 << 19, 200), ((1 << 20) + 1, 500)] {
        let body = format!(r#"{{"data":{{"a":"{}"}}}}"#, "x".repeat(size));
        let [theirs, ours] = [real.address(), dev.address()].map(|to| {
            let reply = exchange(to, "POST", "/v1/secret/data/big", &root, body.as_bytes()).unwrap();
            assert_eq!(reply.status, status, "{size} bytes");
            without_count(&normal(&reply))
        });
        assert_eq!(theirs, ours, "{size} bytes: the real server, then the dev server");
    }
}

fn without_count(text: &str) -> String {
    match text.split_once("; got ") {
        Some((head, tail)) => format!("{head}{}", tail.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => text.to_owned(),
    }
}

#[test]
fn openbao_2_7_2_and_the_model_agree_before_initialisation_sealed_and_at_the_limit() {
    uninitialized_sealed_and_limited(Version::V2_7_2);
}

#[test]
fn openbao_2_6_2_and_the_model_agree_before_initialisation_sealed_and_at_the_limit() {
    uninitialized_sealed_and_limited(Version::V2_6_2);
}

#[test]
fn a_dropped_server_leaves_neither_process_nor_files() {
    let server = Server::start(Version::V2_7_2).unwrap_or_else(|e| panic!("{e}"));
    let address = server.address();
    assert_eq!((server.version(), server.root_token()), (Version::V2_7_2, "root"));
    assert!(server.log().contains("127.0.0.1"));
    drop(server);
    assert!(std::net::TcpStream::connect(address).is_err());
}
