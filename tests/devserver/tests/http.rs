//! The dev server over a socket: its clock, its log, its end; and the model as a pure value.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

use baokit_devserver::DevServer;
use baokit_devserver::model::{Model, Request};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

fn send(to: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn get(server: &DevServer, target: &str, token: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: {token}\r\n\r\n");
    send(server.address(), &request)
}

fn text_of(answer: &str, key: &str) -> String {
    let (_, rest) = answer.split_once(&format!("\"{key}\":\"")).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn the_log_holds_each_target_byte_for_byte_and_no_header_values() {
    let server = DevServer::start_blocking().unwrap();
    let targets = ["/v1/secret/data/%2e%2E/a%20b?version=1&x=%C3%a9", "/v1//a/../b", "/v1/secret/data/é\\"];
    for target in targets {
        get(&server, target, "canary-token");
    }
    let log = server.requests();
    let seen: Vec<&str> = log.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(seen, targets);
    assert_eq!(log[0].headers, ["host", "connection", "x-vault-token"]);
    assert_eq!((log[0].method.as_str(), log[0].status, log[1].status), ("GET", 400, 307));
    assert!(!format!("{log:?}{server:?}").contains("canary"));
    server.clear_requests();
    assert!(server.requests().is_empty());
}

#[test]
fn a_token_expires_when_the_clock_is_moved_on() {
    let server = DevServer::start_blocking().unwrap();
    let body = r#"{"policies":["default"],"ttl":"1h"}"#;
    let answer = send(
        server.address(),
        &format!(
            "POST /v1/auth/token/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: root\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let token = text_of(&answer, "client_token");
    server.advance(Duration::from_secs(3590));
    assert!(get(&server, "/v1/auth/token/lookup-self", &token).starts_with("HTTP/1.1 200"));
    server.advance(Duration::from_secs(11));
    let answer = get(&server, "/v1/auth/token/lookup-self", &token);
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains(r#"{"errors":["permission denied"]}"#));
}

#[test]
fn the_builder_sets_root_token_clock_and_model() {
    let server = DevServer::builder()
        .root_token("s3cret")
        .clock(|| Duration::from_secs(1_700_000_000))
        .setup(Model::seal)
        .start_blocking()
        .unwrap();
    assert_eq!(server.root_token(), "s3cret");
    let answer = get(&server, "/v1/sys/health", "");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("1700000000"), "{answer}");
    server.with_model(Model::unseal);
    assert!(get(&server, "/v1/secret/config", "s3cret").starts_with("HTTP/1.1 200"));
    assert!(get(&server, "/v1/secret/config", "root").starts_with("HTTP/1.1 403"));
}

#[test]
fn a_dropped_server_is_gone_and_open_connections_do_not_hold_it() {
    let server = DevServer::start_blocking().unwrap();
    let address = server.address();
    let mut idle = TcpStream::connect(address).unwrap();
    drop(server);
    idle.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert!(matches!(idle.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_body_beyond_the_limit_is_refused_without_being_kept() {
    let server = DevServer::start_blocking().unwrap();
    let mut socket = TcpStream::connect(server.address()).unwrap();
    let size = (32 << 20) + 1;
    write!(socket, "POST /v1/secret/data/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: root\r\nContent-Length: {size}\r\n\r\n").unwrap();
    let block = vec![b' '; 1 << 20];
    for _ in 0..32 {
        socket.write_all(&block).unwrap();
    }
    socket.write_all(b" ").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn it_starts_from_asynchronous_code_and_answers_while_that_code_blocks() {
    let server = DevServer::start().await.unwrap();
    // This blocks the only thread of the test's runtime; the server has its own.
    assert!(get(&server, "/v1/sys/health", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn two_servers_do_not_share_anything() {
    let (one, two) = (DevServer::start_blocking().unwrap(), DevServer::start_blocking().unwrap());
    one.with_model(Model::seal);
    assert!(get(&two, "/v1/secret/config", "root").starts_with("HTTP/1.1 200"));
    assert_ne!(one.url(), two.url());
}

fn write(value: &str) -> Request {
    Request::new("POST", "/v1/secret/data/a").token("root").body(format!(r#"{{"data":{{"v":{value}}}}}"#))
}

#[test]
fn the_same_seed_times_and_requests_give_the_same_bytes() {
    let run = |seed| {
        let mut model = Model::new(seed, "root");
        let mut out = String::new();
        for (n, request) in [write("1"), Request::new("POST", "/v1/auth/token/create").token("root")].iter().enumerate()
        {
            out.push_str(&model.handle(Duration::from_secs(1_800_000_000 + n as u64), request).text());
        }
        out
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_clone_of_the_model_goes_its_own_way() {
    let at = Duration::from_secs(1_800_000_000);
    let mut model = Model::new(1, "root");
    model.handle(at, &write("1"));
    let mut other = model.clone();
    other.handle(at, &write("2"));
    let read = Request::new("GET", "/v1/secret/data/a").token("root");
    assert!(model.handle(at, &read).text().contains(r#""version":1"#));
    assert!(other.handle(at, &read).text().contains(r#""version":2"#));
}

#[test]
fn a_limited_entry_is_refused_for_good_and_leaves_no_version() {
    let at = Duration::from_secs(1_800_000_000);
    let mut model = Model::new(1, "root");
    model.limit_entry(Some(1 << 20));
    let big = write(&format!("{:?}", "x".repeat(1 << 20)));
    assert_eq!(model.handle(at, &big).status, 500);
    let read = Request::new("GET", "/v1/secret/data/a").token("root");
    assert_eq!(model.handle(at, &read).status, 404);
}

#[test]
fn no_request_makes_the_model_panic() {
    let at = Duration::from_secs(1_800_000_000);
    let mut model = Model::new(1, "root");
    let paths = [
        "",
        "*",
        "/",
        "/v1",
        "/v1/",
        "/v1/sys",
        "/v1/auth/",
        "/v1/auth/token/",
        "/v1/secret",
        "/v1/secret/data/",
        "/v1/secret/data/a",
        "/v1/secret/metadata/a",
        "/v1/secret/subkeys/a",
        "/v1/secret/config",
        "/v1/cubbyhole/",
        "/v1/sys/mounts/",
        "/v1/sys/mounts//tune",
        "/v1/sys/policies/acl/",
        "/v1/sys/wrapping/",
        "/v1/auth/approle/role/",
        "/v1/sys/internal/ui/mounts/",
        "/v1/%",
        "/v1/%e9",
        "/v1/secret/data/%00",
        "?",
        "/v1/secret/data/a?version=-9223372036854775808",
    ];
    let bodies = [
        "",
        "{}",
        "[]",
        "null",
        "{\"data\":[[]]}",
        "{\"versions\":[9223372036854775807,-1]}",
        "{\"policy\":\"path \\\"\"}",
        "{\"ttl\":\"9e99h\",\"increment\":-1,\"max_versions\":-1,\"options\":[],\"config\":{\"max_lease_ttl\":[]}}",
    ];
    model.handle(at, &Request::new("POST", "/v1/sys/auth/approle").token("root").body("{\"type\":\"approle\"}"));
    for method in ["GET", "LIST", "SCAN", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ODD"] {
        for path in paths {
            for body in bodies {
                for token in ["root", "none", ""] {
                    let request =
                        Request::new(method, path).token(token).header("Content-Type", "application/merge-patch+json");
                    let status = model.handle(at, &request.body(body)).status;
                    assert!((200..600).contains(&status), "{method} {path}");
                }
            }
        }
    }
}
