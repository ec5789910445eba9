//! No token and no value in any log, error or `Debug`, at the most verbose logging of every crate.
//!
//! One test in a process of its own, since the logger of the `log` crate is the process's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod support;

use std::sync::Mutex;
use std::time::Duration;

use baokit::{Client, Code, SecretValue};
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::json;
use support::{Authority, Behaviour, Hostile, answer, json as json_answer};

const CANARY: &str = "canary7f3a";
const URI: &str = "openbao+kv2://secret/app/api#token";

struct Capture(Mutex<Vec<String>>);

static CAPTURE: Capture = Capture(Mutex::new(Vec::new()));

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push(format!("{} {} {}", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}

/// The canary as text, in base64 and as a list of bytes.
fn shows(text: &str) -> bool {
    let bytes = format!("{:?}", CANARY.as_bytes());
    let list = bytes.trim_matches(['[', ']']);
    ["canary7f3a", "Y2FuYXJ5N2YzY", "NhbmFyeTdmM2", "jYW5hcnk3ZjNh", "63616e61727937663361"]
        .iter()
        .any(|form| text.contains(form))
        || text.contains(list)
}

#[tokio::test]
async fn a_canary_never_shows() {
    log::set_logger(&CAPTURE).unwrap();
    log::set_max_level(LevelFilter::Trace);
    let mut texts = Vec::new();
    let ca = Authority::new();

    let secret = format!(
        r#"{{"data":{{"data":{{"token":"{CANARY}","other":"{CANARY}"}},"metadata":{{"version":1,"created_time":"2026-01-01T00:00:00Z"}}}}}}"#
    );
    let login = format!(r#"{{"auth":{{"client_token":"{CANARY}","lease_duration":60,"renewable":true}}}}"#);
    let deleted = format!(
        r#"{{"data":{{"data":null,"metadata":{{"version":1,"created_time":"{CANARY}","deletion_time":"{CANARY}"}}}}}}"#
    );
    let versions = format!(
        r#"{{"data":{{"current_version":1,"custom_metadata":{{"{CANARY}":"{CANARY}"}},"versions":{{"1":{{"created_time":"{CANARY}"}}}}}}}}"#
    );
    let token = format!(r#"{{"data":{{"accessor":"{CANARY}","policies":["{CANARY}"],"ttl":1}}}}"#);
    let renewal = format!(r#"{{"auth":{{"client_token":"{CANARY}","lease_duration":60,"renewable":true}}}}"#);
    let echo = format!(r#"{{"errors":["{CANARY} check-and-set parameter required for this call {CANARY}"]}}"#);
    let behaviours = [
        json_answer(200, &secret),
        json_answer(200, &login),
        json_answer(200, &secret[..secret.len() - 9]),
        json_answer(200, &secret.replace("\"version\":1", &format!("\"version\":\"{CANARY}\""))),
        json_answer(400, &echo),
        json_answer(403, &echo),
        json_answer(404, &echo),
        json_answer(500, &echo),
        json_answer(429, &echo),
        answer(200, "Content-Type: text/html\r\n", CANARY.as_bytes()),
        answer(502, &format!("X-Echo: {CANARY}\r\nContent-Type: text/{CANARY}\r\n"), CANARY.as_bytes()),
        answer(307, &format!("Location: http://127.0.0.1/{CANARY}\r\n"), b""),
        answer(307, &format!("Location: http://{CANARY}:{CANARY}@127.0.0.1/v1/\r\n"), b""),
        answer(307, &format!("Location: /{CANARY}\r\n"), b""),
        Behaviour::Bytes(
            format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\nContent-Type: application/json\r\n\r\n{CANARY}")
                .into_bytes(),
        ),
        Behaviour::Bytes(format!("HTTP/1.1 {CANARY}\r\n\r\n").into_bytes()),
        Behaviour::Bytes(format!("HTTP/1.1 200 OK\r\n{CANARY} bad header: {CANARY}\r\n\r\n").into_bytes()),
        answer(307, &format!("Location: http://{CANARY}.example/v1/secret/data/app/api\r\n"), b""),
        json_answer(400, r#"{"errors":["invalid role or secret ID"]}"#),
        json_answer(403, r#"{"errors":["permission denied"]}"#),
        json_answer(403, r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#),
        json_answer(404, &deleted),
        json_answer(200, &versions),
        json_answer(200, &token),
        json_answer(200, &renewal),
        Behaviour::Close,
        Behaviour::Alert,
        Behaviour::Silence,
    ];
    for behaviour in behaviours {
        for tls in [false, true] {
            let server = Hostile::serve(behaviour.clone(), tls.then(|| ca.server("127.0.0.1", None))).await;
            let base = Client::builder()
                .url(&server.url)
                .ca_pem(ca.pem())
                .allowed_mounts(["secret"])
                .deadline(Duration::from_millis(60));
            for builder in [base.clone().token(CANARY), base.app_role(CANARY, CANARY)] {
                texts.push(format!("{builder:?}"));
                let client = builder.build().unwrap();
                texts.push(format!("{client:?} {:?}", client.settings()));
                let value = SecretValue::from(json!({"token": CANARY, "deep": [{"er": CANARY}]}));
                let write = client.kv2("secret").write("app", value.clone());
                texts.push(format!("{value:?} {write:?}"));
                texts.push(report(client.read(URI).await));
                texts.push(report(client.write(URI, CANARY).await));
                texts.push(report(client.rotate(URI, json!([CANARY])).await));
                texts.push(report(client.write("openbao+kv2://secret/app", CANARY).await));
                texts.push(report(write.await));
                texts.push(report(client.request("POST", "sys/thing", Some(value)).await));
                texts.push(report(client.lookup_self().await));
                texts.push(report(client.renew_self(None).await));
                texts.push(report(client.versions("openbao+kv2://secret/app").await));
                texts.push(report(client.delete("openbao+kv2://secret/app").await));
            }
        }
    }
    let unexposable = SecretValue::from(json!([CANARY]));
    texts.push(report(unexposable.expose_str().map(drop)));

    // Answers of every kind were really met, or there was nothing to keep still about.
    for code in [
        "AUTHENTICATION_FAILED",
        "PERMISSION_DENIED",
        "REDIRECT_REFUSED",
        "PATH_REWRITTEN",
        "MALFORMED_ANSWER",
        "CONNECTION_LOST",
        "INDETERMINATE",
        "DEADLINE_EXCEEDED",
        "RATE_LIMITED",
        "TokenInfo {",
        "Secret {",
    ] {
        assert!(texts.iter().any(|text| text.contains(code)), "{code} was not met");
    }

    let logs = CAPTURE.0.lock().unwrap();
    for source in ["baokit", "reqwest", "hyper_util", "rustls"] {
        assert!(
            logs.iter().any(|line| line.split(' ').nth(1).unwrap().starts_with(source)),
            "{source} logged nothing: the test looks at too little"
        );
    }
    assert!(logs.iter().any(|line| line.starts_with("TRACE")));
    assert!(
        shows(&format!("{:?}", CANARY.as_bytes())) && shows(&format!("x{CANARY}y")),
        "the search finds what it must"
    );
    let shown: Vec<_> = texts.iter().chain(logs.iter()).filter(|text| shows(text)).collect();
    assert!(shown.is_empty(), "{shown:#?}");
    println!("{} log lines and {} texts without the canary", logs.len(), texts.len());
}

fn report<T: std::fmt::Debug>(result: baokit::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => {
            assert_ne!(error.code(), Code::Internal, "{error}");
            format!("{error} {error:?} {error:#?}")
        }
    }
}
