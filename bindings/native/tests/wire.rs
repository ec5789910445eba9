//! What leaves the machine, and what comes back, over real sockets: hostile answers, deadlines,
//! redirects, paths byte for byte, TLS.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use baokit::{Builder, Client, Code};
use serde_json::json;
use support::{Authority, Behaviour, Hostile, answer, json as json_answer};

const URI: &str = "openbao+kv2://secret/app/api#token";
const SECRET: &str =
    r#"{"data":{"data":{"token":"v"},"metadata":{"version":1,"created_time":"2026-01-01T00:00:00Z"}}}"#;

fn builder(server: &Hostile) -> Builder {
    Client::builder().url(&server.url).token("root").allowed_mounts(["secret"]).deadline(Duration::from_secs(1))
}

#[tokio::test]
async fn hostile_answers_are_typed_errors_that_name_the_node() {
    let long = vec![b'x'; 10 << 20];
    let cut = [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n", SECRET.as_bytes()]
        .concat();
    let huge = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{".to_vec();
    let table = [
        (answer(200, "Content-Type: application/json\r\n", &long), Code::MalformedAnswer),
        (answer(200, "Content-Type: text/html\r\n", b"<html>log in here</html>"), Code::MalformedAnswer),
        (answer(404, "Content-Type: text/html\r\n", b"<html>not found</html>"), Code::MalformedAnswer),
        (answer(200, "Content-Type: text/plain\r\n", SECRET.as_bytes()), Code::MalformedAnswer),
        (json_answer(200, r#"{"data":{"data":{"token""#), Code::MalformedAnswer),
        (json_answer(200, r#"{"data":{"data":[],"metadata":{"version":"one"}}}"#), Code::MalformedAnswer),
        (Behaviour::Bytes(cut), Code::ConnectionLost),
        (Behaviour::Bytes(huge), Code::AnswerTooLarge),
        (Behaviour::Bytes(b"\x15\x03\x01 this is not HTTP\r\n\r\n".to_vec()), Code::ConnectionLost),
        (Behaviour::Close, Code::ConnectionLost),
        (answer(502, "Content-Type: text/html\r\n", b"<html>bad gateway</html>"), Code::ServerError),
        (json_answer(503, r#"{"errors":["Vault is sealed"]}"#), Code::ServerSealed),
        (json_answer(403, r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#), Code::PermissionDenied),
        (json_answer(403, r#"{"errors":["permission denied"]}"#), Code::AuthenticationFailed),
    ];
    for (behaviour, code) in table {
        let server = Hostile::start(behaviour).await;
        let error = builder(&server).build().unwrap().read(URI).await.unwrap_err();
        assert_eq!((error.code(), error.node()), (code, Some(server.url.as_str())), "{error}");
        assert!(error.to_string().contains("secret/"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_fails_within_100_ms_after_the_deadline() {
    let server = Hostile::start(Behaviour::Silence).await;
    for milliseconds in [300, 1000] {
        let deadline = Duration::from_millis(milliseconds);
        let client = builder(&server).deadline(deadline).build().unwrap();
        let start = Instant::now();
        let error = client.read(URI).await.unwrap_err();
        let late = start.elapsed().saturating_sub(deadline);
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(late < Duration::from_millis(100), "{late:?} late");
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_unreachable_and_named() {
    let url = {
        let gone = Hostile::start(Behaviour::Close).await;
        gone.url.clone()
    };
    // The listener is closed by its task's end, which an abort only asks for.
    tokio::task::yield_now().await;
    let client = Client::builder()
        .url(&url)
        .token("root")
        .allowed_mounts(["secret"])
        .deadline(Duration::from_millis(500))
        .build()
        .unwrap();
    let error = client.read(URI).await.unwrap_err();
    assert_eq!((error.code(), error.node()), (Code::ServerUnreachable, Some(url.as_str())), "{error}");
}

#[tokio::test]
async fn a_redirect_carries_nothing_to_a_stranger() {
    let stranger = Hostile::start(json_answer(200, SECRET)).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: {}/v1/secret/data/app/api\r\n", stranger.url);
        let server = Hostile::start(answer(status, &location, b"")).await;
        let client = builder(&server).deadline(Duration::from_millis(300)).build().unwrap();
        let error = client.read(URI).await.unwrap_err();
        assert_eq!((error.code(), error.subject()), (Code::RedirectRefused, Some(stranger.url.as_str())));
        let error = client.kv2("secret").write("app/api", json!({"token": "v"})).await.unwrap_err();
        assert_eq!(error.code(), Code::Indeterminate);
    }
    assert!(stranger.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_to_a_configured_node_is_followed_with_the_same_bytes() {
    let leader = Hostile::start(json_answer(200, SECRET)).await;
    let location = format!("Location: {}/v1/secret/data/a%20b/%C3%A9?version=1\r\n", leader.url);
    let standby = Hostile::start(answer(307, &location, b"")).await;
    let client = builder(&standby).urls([&standby.url, &leader.url]).build().unwrap();
    client.read("openbao+kv2://secret/a%20b/%C3%A9?version=1").await.unwrap();
    assert!(leader.seen()[0].starts_with("GET /v1/secret/data/a%20b/%C3%A9?version=1 HTTP/1.1\r\n"));
}

#[tokio::test]
async fn paths_that_could_be_read_as_others_are_refused_before_the_wire() {
    let server = Hostile::start(json_answer(200, SECRET)).await;
    let client = builder(&server).build().unwrap();
    let evil = [
        "..",
        ".",
        "a/../b",
        "a/./b",
        "a//b",
        "/a",
        "a/",
        "%2e%2e",
        "a/%2E%2e/b",
        "a%2fb",
        "a%2Fb",
        "a%5cb",
        "a\\b",
        "a\t..",
        ".\t.",
        "a/.\n./b",
        "a\0b",
        "a%00b",
        "a%0ab",
        "a%0d%0aX-Vault-Token:x",
        "a b",
        "\u{ff0e}\u{ff0e}",
        "a\u{2215}b",
        "a\u{2044}b",
        "a\u{ff0f}b",
        "\u{2024}\u{2024}",
        "a\u{ff3c}b",
        "a\u{200b}b",
        "a\u{202e}b",
        "a?list=true",
        "a#b",
        "*",
        "a/*",
        "a%2a",
        "%",
        "a%zz",
        "a%ff",
    ];
    for path in evil {
        let uri = client.read(format!("openbao+kv2://secret/{path}")).await;
        // In a URI, `?` and `#` begin a query and a fragment; below it they are characters of a path.
        if !path.contains(['?', '#']) {
            assert!(uri.is_err(), "URI {path:?}");
        }
        let kv2 = client.kv2("secret").read(path).await;
        assert!(kv2.is_err(), "kv2 path {path:?}");
        assert!(client.kv2(path).read("app").await.is_err(), "kv2 mount {path:?}");
        assert!(client.request("GET", path, None).await.is_err(), "request {path:?}");
    }
    for path in ["../sys/health", "sys/../x", "/sys/health", "sys//health"] {
        assert_eq!(client.request("GET", path, None).await.unwrap_err().code(), Code::IllegalSegment, "{path}");
    }
    assert_eq!(client.kv2("team/data").read("a").await.unwrap_err().code(), Code::IllegalSegment);
    let seen: Vec<_> = server.seen().iter().map(|request| request.lines().next().unwrap().to_owned()).collect();
    assert!(
        seen.iter()
            .all(|line| line == "GET /v1/secret/data/a HTTP/1.1" || line == "GET /v1/secret/data/a?list=true HTTP/1.1"),
        "{seen:?}"
    );
}

#[tokio::test]
async fn every_path_goes_out_byte_for_byte_as_core_wrote_it() {
    let server = Hostile::start(json_answer(200, SECRET)).await;
    let client = builder(&server).build().unwrap();
    let table = [
        ("openbao+kv2://secret/app/api", "secret/data/app/api"),
        ("openbao+kv2://secret/a%20b", "secret/data/a%20b"),
        ("openbao+kv2://secret/a%25b", "secret/data/a%25b"),
        ("openbao+kv2://secret/a%252fb", "secret/data/a%252fb"),
        ("openbao+kv2://secret/caf\u{e9}", "secret/data/caf%C3%A9"),
        ("openbao+kv2://secret/a%7Cb%5Ec%60%7B%7D%22%3C%3E", "secret/data/a%7Cb%5Ec%60%7B%7D%22%3C%3E"),
        ("openbao+kv2://secret/a!$&'()+,;=:@~b", "secret/data/a%21$&%27%28%29+,;=:@~b"),
        ("openbao+kv2://secret/.hidden/..x/x..", "secret/data/.hidden/..x/x.."),
        ("openbao+kv2://secret/a%3Fb%23c", "secret/data/a%3Fb%23c"),
    ];
    for (i, (uri, target)) in table.into_iter().enumerate() {
        client.read(uri).await.unwrap();
        assert!(server.seen()[i].starts_with(&format!("GET /v1/{target} HTTP/1.1\r\n")), "{}", server.seen()[i]);
    }
}

#[tokio::test]
async fn a_dropped_operation_stops_its_request() {
    let server = Hostile::start(Behaviour::Silence).await;
    let client = builder(&server).deadline(Duration::from_secs(60)).build().unwrap();
    let read = tokio::spawn(async move { client.read(URI).await });
    while server.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    read.abort();
    tokio::time::timeout(Duration::from_secs(20), server.client_gone()).await.expect("the connection closes");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_alert_in_the_middle_of_the_work_leaves_a_write_in_doubt() {
    let ca = Authority::new();
    let server = Hostile::serve(Behaviour::Alert, Some(ca.server("127.0.0.1", None))).await;
    let other = Hostile::serve(Behaviour::Alert, Some(ca.server("127.0.0.1", None))).await;
    let client = tls(&server, &ca).urls([&server.url, &other.url]).build().unwrap();
    let body = json!({"token": "v"});
    let error = client.kv2("secret").write("app/api", body).await.unwrap_err();
    // What follows are reads, which look what became of it.
    let seen = [server.seen(), other.seen()].concat();
    let writes = seen.iter().filter(|seen| seen.starts_with("POST /v1/secret/data/")).count();
    assert_eq!((error.code(), writes), (Code::Indeterminate, 1), "{error}");
    let error = client.read(URI).await.unwrap_err();
    assert_eq!(error.code(), Code::ConnectionLost, "{error}");
}

#[tokio::test]
async fn the_namespace_goes_along_with_every_request_and_the_log_in_too() {
    let login = r#"{"auth":{"client_token":"t","lease_duration":60,"renewable":true}}"#;
    let server = Hostile::start(json_answer(200, login)).await;
    let client = builder(&server).app_role("r", "s").namespace("team/a").build().unwrap();
    let _ = client.read(URI).await;
    let seen = server.seen();
    assert!(
        seen.len() >= 2 && seen.iter().all(|request| request.contains("\r\nx-vault-namespace: team/a\r\n")),
        "{seen:?}"
    );
}

fn tls(server: &Hostile, ca: &Authority) -> Builder {
    builder(server).ca_pem(ca.pem())
}

#[tokio::test]
async fn a_private_authority_is_trusted_and_no_other() {
    let (ca, other) = (Authority::new(), Authority::new());
    let server = Hostile::serve(json_answer(200, SECRET), Some(ca.server("127.0.0.1", None))).await;
    tls(&server, &ca).build().unwrap().read(URI).await.unwrap();
    let error = tls(&server, &other).deadline(Duration::from_secs(20)).build().unwrap().read(URI).await.unwrap_err();
    assert_eq!((error.code(), error.tries()), (Code::TlsFailed, 1), "{error}");

    let misnamed = Hostile::serve(json_answer(200, SECRET), Some(ca.server("127.0.0.2", None))).await;
    let error = tls(&misnamed, &ca).build().unwrap().read(URI).await.unwrap_err();
    assert_eq!(error.code(), Code::TlsFailed, "{error}");
    assert!(misnamed.seen().is_empty() && server.seen().len() == 1);

    tls(&misnamed, &other).verify_tls(false).build().unwrap().read(URI).await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_the_server_asks() {
    let ca = Authority::new();
    let server = Hostile::serve(json_answer(200, SECRET), Some(ca.server("127.0.0.1", Some(&ca)))).await;
    let (certificate, key) = ca.sign("app.internal");
    tls(&server, &ca).client_certificate_pem(certificate, key).build().unwrap().read(URI).await.unwrap();
    let error = tls(&server, &ca).build().unwrap().read(URI).await.unwrap_err();
    assert_eq!(error.code(), Code::TlsFailed, "{error}");
}

#[tokio::test]
async fn files_that_hold_no_certificate_are_named() {
    let server = Hostile::start(Behaviour::Close).await;
    for (pem, code) in [
        ("", Code::InvalidSetting),
        ("canary", Code::InvalidSetting),
        ("-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----\n", Code::InvalidSetting),
    ] {
        let error = builder(&server).ca_pem(pem).build().unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let error = builder(&server).client_certificate_pem(Authority::new().pem(), "canary").build().unwrap_err();
    assert_eq!(error.code(), Code::InvalidSetting);
    assert!(!error.to_string().contains("canary"), "{error}");
}
