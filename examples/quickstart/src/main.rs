//! baokit in a minute: write, read and rotate a secret, look at its versions, and see two refusals.
//!
//! It starts the dev server in memory, or uses the server that `OPENBAO_URL` (or `BAO_ADDR`,
//! `VAULT_ADDR`) names, with the credential of the same environment.

use std::process::ExitCode;
use std::time::Duration;

use baokit::{Client, Code, Error, Result};
use baokit_devserver::DevServer;
use serde_json::json;

const HELP: &str = "\
quickstart: writes, reads and rotates a secret with baokit

usage: cargo run -p quickstart

Without settings it starts an OpenBao-compatible dev server in memory. To use a real one:

  bao server -dev -dev-root-token-id=root
  OPENBAO_URL=http://127.0.0.1:8200 OPENBAO_TOKEN=root cargo run -p quickstart

It needs a KVv2 mount called `secret`, and writes to secret/baokit/quickstart only.
The exit status is 0 when every step went as it should.";

const SECRET: &str = "openbao+kv2://secret/baokit/quickstart";
const TOKEN: &str = "openbao+kv2://secret/baokit/quickstart#token";

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(argument) = std::env::args().nth(1) {
        println!("{HELP}");
        return if matches!(argument.as_str(), "-h" | "--help") { ExitCode::SUCCESS } else { ExitCode::from(2) };
    }
    match run().await {
        Ok(()) => {
            println!("quickstart: ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    // The server lives as long as this value.
    let (client, _server) = connect().await?;
    let node = client.settings().nodes().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    step("connect", &format!("{node}, tenant mounts: secret"));

    let written = client.write(SECRET, json!({"user": "app", "token": "first-value"})).await?;
    step("write", &format!("{SECRET} is now version {}", written.new_version));

    let secret = client.read(SECRET).await?;
    step("read", &format!("version {} of {}: {secret:?}", secret.version(), secret.created_time()));

    let rotated = client.rotate(TOKEN, "second-value").await?;
    step("rotate", &format!("{TOKEN}: {} -> {}", rotated.old_version, rotated.new_version));

    let token = client.read(TOKEN).await?;
    // The only way to a value, and the one place where this program shows one.
    step("expose", &format!("the token is now {:?} (shown because expose_str() was called)", token.expose_str()?));

    for version in client.versions(SECRET).await?.versions() {
        let state = if version.is_destroyed() { "destroyed" } else { version.deletion_time().unwrap_or("readable") };
        step("versions", &format!("{} of {}, {state}", version.version(), version.created_time()));
    }

    let pinned = client.read(format!("{TOKEN}?version={}", rotated.old_version)).await?;
    step(
        "pin",
        &format!(
            "version {} still holds what was written first: {}",
            pinned.version(),
            pinned.expose_str()? == "first-value"
        ),
    );

    let refused = client.read("openbao+kv2://another-team/app/api#token").await;
    step("refused", &expect(refused, Code::TenantMountMismatch)?);

    let missing = client.read("openbao+kv2://secret/baokit/there-is-none").await;
    step("missing", &expect(missing, Code::SecretNotFound)?);
    Ok(())
}

/// A client for the server that the environment names, or for one in memory.
async fn connect() -> Result<(Client, Option<DevServer>)> {
    let named = ["OPENBAO_URL", "BAO_URL", "BAO_ADDR", "VAULT_URL", "VAULT_ADDR"];
    if named.iter().any(|key| std::env::var_os(key).is_some_and(|value| !value.is_empty())) {
        let client = Client::builder_from_env().allowed_mounts(["secret"]).deadline(Duration::from_secs(5)).build()?;
        return Ok((client, None));
    }
    let server = DevServer::start()
        .await
        .map_err(|error| Error::new(Code::ServerUnreachable).about("the dev server").because(error.to_string()))?;
    let client = Client::builder().url(server.url()).token(server.root_token()).allowed_mounts(["secret"]).build()?;
    Ok((client, Some(server)))
}

fn step(name: &str, text: &str) {
    println!("{name:>9}  {text}");
}

/// The text of the error that a step is meant to end with.
fn expect<T>(result: Result<T>, code: Code) -> Result<String> {
    match result {
        Err(error) if error.code() == code => Ok(error.to_string()),
        Err(error) => Err(error),
        Ok(_) => Err(Error::new(Code::Internal).because(format!("a step should have ended with {code}"))),
    }
}
