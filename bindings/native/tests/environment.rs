//! `from_env`: the README's five lines, certificates in files, and the warning that verification is
//! off. Each in a process of its own: the environment and the logger are the process's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use baokit::{Client, Code};
use baokit_devserver::DevServer;
use log::{Level, LevelFilter, Log, Metadata, Record};
use support::{Authority, Hostile, json as json_answer};

const URI: &str = "openbao+kv2://secret/app/api#token";
const SECRET: &str =
    r#"{"data":{"data":{"token":"v"},"metadata":{"version":1,"created_time":"2026-01-01T00:00:00Z"}}}"#;

struct Warnings(Mutex<Vec<String>>);

static WARNINGS: Warnings = Warnings(Mutex::new(Vec::new()));

impl Log for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// The environment can't be set safely from within a program with threads, so each case is this
/// test once more, in a child with that environment.
fn child(test: &str, environment: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
#[ignore = "run by the test below, in an environment of its own"]
async fn as_the_child() {
    log::set_logger(&WARNINGS).unwrap();
    log::set_max_level(LevelFilter::Trace);
    let result = match Client::from_env() {
        Ok(client) => client.read(URI).await.map(|secret| secret.version().to_string()),
        Err(error) => Err(error),
    };
    println!("result: {}", result.unwrap_or_else(|error| error.to_string()));
    for warning in WARNINGS.0.lock().unwrap().iter() {
        println!("warning: {warning}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_s_files_and_switches_are_honoured() {
    let ca = Authority::new();
    let server = Hostile::serve(json_answer(200, SECRET), Some(ca.server("127.0.0.1", Some(&ca)))).await;
    let folder = std::env::temp_dir().join(format!("baokit-environment-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name).to_str().unwrap().to_owned()
    };
    let (certificate, key) = ca.sign("app.internal");
    let (ca_file, certificate, key) =
        (file("ca.pem", &ca.pem()), file("client.pem", &certificate), file("client.key", &key));
    let base = [
        ("OPENBAO_URL", server.url.as_str()),
        ("VAULT_TOKEN", "root"),
        ("TENANT_ALLOWED_MOUNTS", "secret"),
        ("VAULT_TIMEOUT", "5"),
    ];
    let client = [("OPENBAO_CLIENT_CERT", certificate.as_str()), ("OPENBAO_CLIENT_KEY", key.as_str())];

    let with = |more: &[(&str, &str)]| child("as_the_child", &[&base[..], &client[..], more].concat());
    let trusted = with(&[("OPENBAO_CACERT", ca_file.as_str())]);
    assert!(trusted.contains("result: 1\n") && !trusted.contains("warning:"), "{trusted}");
    let bundle = with(&[("REQUESTS_CA_BUNDLE", ca_file.as_str())]);
    assert!(bundle.contains("result: 1\n"), "{bundle}");
    let unverified = with(&[("VAULT_VERIFY_SSL", "false")]);
    assert!(
        unverified.contains("result: 1\n") && unverified.contains("warning: VAULT_VERIFY_SSL is off"),
        "{unverified}"
    );
    let untrusted = with(&[]);
    assert!(
        untrusted.contains(Code::TlsFailed.as_str()) || untrusted.contains(Code::InvalidSetting.as_str()),
        "{untrusted}"
    );
    let absent = with(&[("OPENBAO_CACERT", "/absent/ca.pem")]);
    assert!(absent.contains("INVALID_SETTING") && absent.contains("/absent/ca.pem"), "{absent}");
    assert!(child("as_the_child", &[]).contains("MISSING_SETTING"), "an empty environment names what is missing");
    remove(&folder);
}

#[tokio::test]
#[ignore = "run by the test below, in an environment of its own"]
async fn as_the_readme() -> baokit::Result<()> {
    let connect = |token: &str| println!("connected with {token}");
    let client = baokit::Client::from_env()?;
    let token = client.read("openbao+kv2://secret/app/api#token").await?;
    connect(token.expose_str()?);
    let done = client.rotate("openbao+kv2://secret/app/api#token", "new-value").await?;
    println!("{} -> {}", done.old_version, done.new_version);
    Ok(())
}

#[tokio::test]
async fn the_five_lines_of_the_readme_work() {
    let server = DevServer::start().await.unwrap();
    let client = Client::builder().url(server.url()).token("root").allowed_mounts(["secret"]).build().unwrap();
    client.write(URI, "old-value").await.unwrap();
    let environment = [("OPENBAO_URL", server.url()), ("OPENBAO_TOKEN", "root"), ("TENANT_ALLOWED_MOUNTS", "secret")];
    let printed = child("as_the_readme", &environment);
    assert!(printed.contains("connected with old-value\n1 -> 2\n"), "{printed}");
}

fn remove(folder: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
}
