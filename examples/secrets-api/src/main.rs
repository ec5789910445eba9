//! The Secrets API as a service: over the dev server in memory, or the cluster that `OPENBAO_URL` names.

mod layers;
mod serve;
mod settings;
mod shutdown;
mod tls;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use axum::middleware;
use baokit::service::JsonLines;
use baokit::{Client, Enforcer, SecretsApi};
use baokit_devserver::DevServer;
use tokio::net::TcpListener;

use crate::settings::Settings;

const HELP: &str = "\
secrets-api: the Secrets API of baokit as a service

usage: cargo run -p secrets-api

Without settings it serves an OpenBao-compatible dev server in memory, open to whoever reaches 127.0.0.1:8000, and
prints three calls to try. Its settings are environment variables:

  BIND                     address and port; 127.0.0.1:8000 by default
  MAX_CONNECTIONS          connections at once, beyond which callers wait; 1024 by default
  MAX_CONCURRENT_REQUESTS  requests in flight, beyond which callers get a 503; 256 by default
  SHUTDOWN_TIMEOUT         seconds that requests in flight have at the end; 10 by default
  TLS_CERT, TLS_KEY        files in PEM; TLS is off without them
  TLS_CLIENT_CA            a file in PEM: client certificates of this authority are asked for, and not required
  AUDIT_FILE               a file that the audit is appended to, as JSON lines; standard error by default
  NO_COLOR                 no colours in the log, which has them on a terminal alone

Those of the client (OPENBAO_URL, OPENBAO_TOKEN, TENANT_ALLOWED_MOUNTS and others) and of the enforcement
(SECRETS_API_REQUIRE_AUTH, OIDC_ISSUER, SECRETS_ENFORCE_SCOPES, ENABLE_AUTHORIZATION, PDP_URL and others) are listed
in the documentation of the crates: baokit_core::config, baokit_service::settings and baokit::service::Enforcer.

exit status: 0 after SIGINT or SIGTERM, once every request in flight is answered; 1 where it could not start, or had
to cut requests off at the end; 2 where it is called with arguments; 130 after a second signal.";

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(argument) = std::env::args_os().nth(1) {
        if argument == "-h" || argument == "--help" {
            say(HELP);
            return ExitCode::SUCCESS;
        }
        eprintln!("secrets-api: it takes no arguments but --help");
        return ExitCode::from(2);
    }
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    let colour = std::io::stderr().is_terminal() && !no_colour;
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colour).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("secrets-api: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let settings = Settings::from_env()?;
    let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
    // The server lives as long as this value.
    let (client, _server) = connect().await?;
    let builder = Enforcer::builder_from_env(client)?;
    let enforcer = match &settings.audit_file {
        Some(path) => builder.sink(JsonLines::append(path).map_err(|error| format!("AUDIT_FILE: {error}"))?),
        None => builder.sink(JsonLines::stderr()),
    };
    let enforcer = enforcer.build()?;
    settings.refuse_to_be_open(enforcer.settings())?;

    let end = shutdown::signal(settings.shutdown_timeout)?;
    let app = baokit::axum::limited(SecretsApi::new(enforcer), settings.max_requests)
        .fallback(layers::nothing_there)
        .layer(middleware::from_fn_with_state(end.clone(), layers::end_streams))
        .layer(middleware::from_fn(layers::request_id));
    let listener =
        TcpListener::bind(settings.bind).await.map_err(|error| format!("BIND {}: {error}", settings.bind))?;
    say(&calls(if tls.is_some() { "https" } else { "http" }, listener.local_addr()?));
    serve::serve(listener, tls, app, settings.max_connections, &end).await?;
    say("secrets-api: ended");
    Ok(())
}

/// Writes to standard output, which may be closed: that is no reason to end.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A client for the cluster that the environment names, or for a server in memory.
async fn connect() -> Result<(Client, Option<DevServer>), Error> {
    let named = ["OPENBAO_URL", "BAO_URL", "BAO_ADDR", "VAULT_URL", "VAULT_ADDR"];
    if named.iter().any(|key| std::env::var_os(key).is_some_and(|value| !value.is_empty())) {
        return Ok((Client::from_env()?, None));
    }
    let server = DevServer::start().await?;
    let client = Client::builder_from_env().url(server.url()).token(server.root_token()).allowed_mounts(["secret"]);
    Ok((client.build()?, Some(server)))
}

/// The calls of the guide, as they stand there. Typed so, curl sends the `+` as it is and nothing from the `#` on.
fn calls(scheme: &str, address: SocketAddr) -> String {
    let api = format!("{scheme}://{address}/api/secrets");
    format!(
        "secrets-api: {scheme}://{address}

  curl -X POST {api}/rotate -H 'Content-Type: application/json' \\
    -d '{{\"uri\": \"openbao+kv2://secret/app/api#token\", \"value\": \"new-value\"}}'
  curl '{api}/value?uri=openbao+kv2://secret/app/api#token'
  curl '{api}/versions?uri=openbao+kv2://secret/app/api'

The safe form, which sends the whole URI:
  curl -G {api}/value --data-urlencode 'uri=openbao+kv2://secret/app/api#token'
"
    )
}
