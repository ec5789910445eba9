//! The service while it runs, and its end: exit statuses, overload, slow clients, events, audit, redirects.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::issuer::Issuer;
use support::pdp::Pdp;
use support::{CANARY, Folder, LIMIT, Service, Web, code, json, program, wait};

/// The service with a PDP.
fn judged(pdp: &Pdp, more: &[(&str, &str)]) -> Service {
    let url = pdp.url();
    Service::start(&[&[("ENABLE_AUTHORIZATION", "true"), ("PDP_URL", url.as_str())], more].concat())
}

fn write(service: &Service, value: &str) -> u16 {
    let body = json!({"uri": "openbao+kv2://secret/app/api#token", "value": value}).to_string();
    service.send("POST", "/api/secrets", &[], &body).status
}

/// Runs the program to its end, which comes at once.
fn run(environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut child = program(environment)
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    support::ended(&mut child);
    child.wait_with_output().unwrap()
}

#[test]
fn exit_statuses_and_help_are_honest() {
    for word in ["-h", "--help"] {
        let output = run(&[], &[word]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(["BIND", "MAX_CONNECTIONS", "SHUTDOWN_TIMEOUT", "exit status"].iter().all(|word| text.contains(word)));
    }
    assert_eq!(run(&[], &["serve"]).status.code(), Some(2));
    let folder = Folder::new();
    let none = folder.write("none.pem", "no certificate\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (environment, word) in [
        (vec![("BIND", "8000")], "BIND"),
        (vec![("BIND", taken.as_str())], "BIND"),
        (vec![("MAX_CONCURRENT_REQUESTS", "0")], "MAX_CONCURRENT_REQUESTS"),
        (vec![("MAX_CONNECTIONS", "many")], "MAX_CONNECTIONS"),
        (vec![("TLS_CERT", &none), ("TLS_KEY", &none)], "TLS_KEY"),
        (vec![("TLS_CERT", &none)], "TLS_KEY"),
        (vec![("AUDIT_FILE", "/nowhere/audit.jsonl")], "AUDIT_FILE"),
        (vec![("SECRETS_API_REQUIRE_AUTH", "true")], "OIDC_ISSUER"),
        (vec![("ENABLE_AUTHORIZATION", "true")], "PDP_URL"),
        (vec![("ENVIRONMENT", "production")], "TENANT_SALT"),
        (vec![("BIND", "0.0.0.0:0")], "SECRETS_API_REQUIRE_AUTH"),
        (vec![("SECRETS_STORE", "openbao+kv2://secret/state")], "SECRETS_STORE"),
        (vec![("SECRETS_STORE", "hashicorp+kv2://pep/state")], "SECRETS_STORE"),
        (vec![("SECRETS_STORE", "openbao+kv2://pep/state#x")], "SECRETS_STORE"),
        (vec![("SECRETS_STORE", "pep")], "SECRETS_STORE"),
    ] {
        let output = run(&environment, &[]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{environment:?}: {text}");
        assert!(text.lines().last().unwrap().contains(word), "{environment:?}: {text}");
    }
    // Who says that it is for development may have it open to others, in a container say.
    let service = Service::start(&[("BIND", "0.0.0.0:0"), ("ENVIRONMENT", "dev")]);
    assert!(service.log().contains("SECRETS_API_REQUIRE_AUTH is off"), "{}", service.log());
    assert!(!service.log().contains('\u{1b}'), "no colour goes into a file");
}

#[test]
fn a_request_in_flight_is_answered_before_the_service_ends_with_0() {
    let pdp = Pdp::permitting();
    let mut service = judged(&pdp, &[]);
    assert_eq!(write(&service, "v"), 200);
    pdp.hold(true);
    let asked = pdp.questions().len();
    let status = std::thread::scope(|scope| {
        let in_flight = scope.spawn(|| service.value(&[]).status);
        wait("the question", || (pdp.questions().len() > asked).then_some(()));
        // A stream of events does not hold the end up.
        service.signal(Signal::TERM);
        wait("the end's begin", || TcpStream::connect(service.address).err());
        pdp.hold(false);
        in_flight.join().unwrap()
    });
    assert_eq!(status, 200);
    assert_eq!(service.ended().code(), Some(0));
}

#[test]
fn a_stream_of_events_and_an_idle_connection_do_not_hold_the_end_up() {
    let mut service = Service::start(&[]);
    let mut stream = events(&service);
    let _idle = TcpStream::connect(service.address).unwrap();
    let begun = Instant::now();
    service.signal(Signal::INT);
    assert_eq!(service.ended().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "the stream ends as streams do: {rest:?}");
}

#[test]
fn what_is_not_answered_in_time_is_cut_off_and_the_status_says_so() {
    let pdp = Pdp::permitting();
    let mut service = judged(&pdp, &[("SHUTDOWN_TIMEOUT", "1")]);
    pdp.hold(true);
    let mut socket = TcpStream::connect(service.address).unwrap();
    write!(socket, "GET {} HTTP/1.1\r\nHost: x\r\n\r\n", support::VALUE).unwrap();
    wait("the question", || pdp.questions().first().cloned());
    service.signal(Signal::TERM);
    assert_eq!(service.ended().code(), Some(1));
    assert!(service.log().contains("cut off"), "{}", service.log());
}

#[test]
fn too_many_requests_are_answered_503_at_once_and_health_is_still_told() {
    let pdp = Pdp::permitting();
    let service = judged(&pdp, &[("MAX_CONCURRENT_REQUESTS", "1")]);
    assert_eq!(write(&service, "v"), 200);
    pdp.hold(true);
    let asked = pdp.questions().len();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| service.value(&[]).status);
        wait("the question", || (pdp.questions().len() > asked).then_some(()));
        let second = service.value(&[("X-Request-ID", "mine")]);
        assert_eq!((second.status, code(&second).as_str()), (503, "OVERLOADED"));
        assert_eq!(second.header("retry-after"), Some("1"));
        assert_eq!(second.header("x-request-id"), Some("mine"));
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(service.get(path, &[]).status, 200, "{path}");
        }
        pdp.hold(false);
        assert_eq!(first.join().unwrap(), 200);
    });
    assert_eq!(service.value(&[]).status, 200, "the place is free again");
}

#[test]
fn bodies_that_come_slowly_hold_up_nobody() {
    let service = Service::start(&[("MAX_CONCURRENT_REQUESTS", "1")]);
    let head = "POST /api/secrets HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    let open = |_| {
        let mut socket = TcpStream::connect(service.address).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        socket
    };
    let slow: Vec<_> = (0..8).map(open).collect();
    // Time for their heads to be read.
    std::thread::sleep(Duration::from_millis(300));
    for value in ["a", "b", "c"] {
        assert_eq!(write(&service, value), 200);
        assert_eq!(service.value(&[]).status, 200);
    }
    drop(slow);
}

#[test]
fn connections_beyond_the_bound_wait_until_one_is_closed() {
    let service = Service::start(&[("MAX_CONNECTIONS", "2")]);
    let ask = |socket: &mut TcpStream| write!(socket, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut open: Vec<_> = (0..3).map(|_| TcpStream::connect(service.address).unwrap()).collect();
    open.iter_mut().for_each(ask);
    let mut byte = [0];
    open[2].set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(open[2].read(&mut byte).is_err(), "the third waits");
    open[2].set_read_timeout(Some(LIMIT)).unwrap();
    drop(open.remove(0));
    assert_eq!(open[1].read(&mut byte).unwrap(), 1);
}

#[test]
fn a_head_that_is_too_long_is_refused_and_an_unknown_path_is_json_too() {
    let service = Service::start(&[]);
    let answer = service.get("/healthz", &[("X-Long", &"x".repeat(200 * 1024))]);
    assert_eq!(answer.status, 431);
    let answer = service.get("/api/nothing", &[]);
    assert_eq!((answer.status, code(&answer).as_str()), (404, "ROUTE_NOT_FOUND"));
    assert_eq!(answer.header("x-request-id").unwrap().len(), 32);
    let long = json!({"uri": "openbao+kv2://secret/app/api#token", "value": "x".repeat(3_000_000)}).to_string();
    assert_eq!(service.send("POST", "/api/secrets", &[], &long).status, 413);
}

/// A connection that listens to the events; its answer has begun.
fn events(service: &Service) -> TcpStream {
    let mut socket = TcpStream::connect(service.address).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    write!(socket, "GET /api/secrets/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let head = until(&mut socket, "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
    socket
}

/// What comes until this text does.
fn until(socket: &mut TcpStream, end: &str) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(end.as_bytes()) {
        assert_eq!(socket.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn events_arrive_as_they_happen() {
    let service = Service::start(&[]);
    let mut socket = events(&service);
    assert_eq!(write(&service, CANARY), 200);
    let text = until(&mut socket, "event: SECRET_WRITTEN\n") + &until(&mut socket, "\n\n");
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
    assert!(text.contains("\"purpose\":\"write\"") && !text.contains(CANARY), "{data} {text}");
}

#[test]
fn the_audit_is_lines_of_json_and_holds_neither_values_nor_tokens() {
    let (folder, issuer, pdp) = (Folder::new(), Issuer::start(), Pdp::permitting());
    let path = folder.write("audit.jsonl", "");
    let issuer_url = issuer.url();
    let environment = [
        ("AUDIT_FILE", path.as_str()),
        ("TENANT_SALT", "canary-4a7e1d-salt-of-the-tenant"),
        ("OIDC_ISSUER", &issuer_url),
        ("SECRETS_API_REQUIRE_AUTH", "true"),
    ];
    let service = judged(&pdp, &environment);
    let token = issuer.token(json!({}));
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("X-Correlation-ID", "order-1")];
    let body = json!({"uri": format!("openbao+kv2://secret/{CANARY}/api#token"), "value": CANARY}).to_string();
    assert_eq!(service.send("POST", "/api/secrets", &headers, &body).status, 200);
    let target = format!("/api/secrets/value?uri=openbao%2Bkv2://secret/{CANARY}/api%23token");
    assert_eq!(service.get(&target, &headers).status, 200);
    assert_eq!(service.get(&target, &[("Authorization", &format!("Bearer {CANARY}"))]).status, 401);
    assert_eq!(service.get(&format!("/api/secrets/value?uri=openbao%2Bkv2://sys/{CANARY}"), &headers).status, 400);
    let audit = std::fs::read_to_string(&path).unwrap();
    let events: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["SECRET_WRITTEN", "SECRET_PERMIT", "SECRET_DENY", "SECRET_DENY"]);
    assert_eq!((&events[0]["subject"], &events[0]["correlation_id"]), (&json!("svc-billing"), &json!("order-1")));
    assert_eq!(events[0]["resource_ref"], events[1]["resource_ref"]);
    let signature = token.rsplit('.').next().unwrap();
    let metrics = String::from_utf8(service.get("/metrics", &[]).body).unwrap();
    assert!(metrics.contains("secrets_decisions_total{effect=\"permit\"} 2"), "{metrics}");
    for (name, text) in [("audit", &audit), ("log", &service.log()), ("metrics", &metrics)] {
        assert!(!text.contains(CANARY) && !text.contains(signature), "{name}: {text}");
    }
}

#[test]
fn redirects_of_keys_and_pdp_are_not_followed() {
    let (issuer, pdp) = (Issuer::start(), Pdp::permitting());
    let keys = format!("{}/moved", issuer.url());
    let service = Service::start(&[("SECRETS_API_REQUIRE_AUTH", "true"), ("AUTH_JWKS_URL", &keys)]);
    let answer = service.value(&[("Authorization", &issuer.bearer(json!({})))]);
    assert_eq!((answer.status, code(&answer).as_str()), (503, "KEYS_UNREACHABLE"));
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert_eq!(issuer.asked(), 0);
    let elsewhere = format!("{}/moved", pdp.url());
    let service = Service::start(&[("ENABLE_AUTHORIZATION", "true"), ("PDP_URL", &elsewhere)]);
    let answer = service.value(&[]);
    assert_eq!((answer.status, code(&answer).as_str()), (503, "PDP_UNREACHABLE"));
    assert!(pdp.questions().is_empty());
}

#[test]
fn a_service_whose_server_is_gone_is_alive_and_not_ready() {
    // An address that nobody listens at any more.
    let url = Web::serve(axum::Router::new()).url();
    let service =
        Service::start(&[("OPENBAO_URL", &url), ("OPENBAO_TOKEN", CANARY), ("TENANT_ALLOWED_MOUNTS", "secret")]);
    assert_eq!(service.get("/healthz", &[]).status, 200);
    let answer = service.get("/readyz", &[]);
    assert_eq!((answer.status, json(&answer)["code"].as_str().unwrap()), (503, "SERVER_UNREACHABLE"));
}
