//! toxiproxy between clients and nodes: built from `tests/openbao/toxiproxy` where it is missing, started, and told over
//! its HTTP API to cut a connection off or to slow it down.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ha_cluster::{Cluster, Error, Result};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::bare::provide_cryptography;
use crate::place::{until, within};
use crate::say;

/// How long the build may take, with what it downloads, on a slow machine.
const BUILD: Duration = Duration::from_secs(600);

/// How long the program may take to answer.
const READY: Duration = Duration::from_secs(10);

/// What is built.
const PACKAGE: &str = "github.com/Shopify/toxiproxy/v2/cmd/server";

/// A running toxiproxy with one proxy before each node. Ends with its value.
pub(crate) struct Toxiproxy {
    _child: Child,
    http: reqwest::Client,
    api: String,
    /// The address of each proxy, in the order of the nodes.
    urls: Vec<String>,
}

/// What a proxy does to connections.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Toxic {
    /// Swallows everything, and keeps the connections open.
    Cut,
    /// Closes the connections and refuses new ones.
    Down,
    /// Answers come this much later, give or take a half.
    Late(u64),
    /// So many kilobytes pass in a second, each way.
    Narrow(u64),
}

/// The program, built where it is not there yet.
async fn build() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../toxiproxy");
    let program = folder.join(".bin/toxiproxy-server");
    if program.is_file() {
        return Ok(program);
    }
    say("building toxiproxy, which takes a minute or two");
    let mut command = Command::new("go");
    command.args(["build", "-o"]).arg(&program).arg(PACKAGE).current_dir(&folder).kill_on_drop(true);
    let next = "install Go 1.24 or later";
    let status = within(BUILD, "the build of toxiproxy", command.status()).await?;
    match status {
        Ok(status) if status.success() => Ok(program),
        Ok(status) => Err(Error::new(format!("toxiproxy could not be built: {status}"), next)),
        Err(error) => Err(Error::new(format!("go can't be started: {error}"), next)),
    }
}

impl Toxiproxy {
    /// Stands before every node.
    pub(crate) async fn before(cluster: &Cluster) -> Result<Self> {
        let program = build().await?;
        // Between this look and toxiproxy's start somebody else may take it; then toxiproxy ends, and that is seen.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(failed)?.port();
        let mut command = Command::new(&program);
        command.args(["-host", "127.0.0.1", "-port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().map_err(failed)?;
        provide_cryptography();
        let http = reqwest::Client::builder().no_proxy().timeout(READY).build().map_err(failed)?;
        let api = format!("http://127.0.0.1:{port}");
        let mut proxy = Self { _child: child, http, api, urls: Vec::new() };
        until(READY, "toxiproxy answers", async || {
            Ok(proxy.http.get(format!("{}/version", proxy.api)).send().await.is_ok())
        })
        .await?;
        for (at, url) in cluster.urls().iter().enumerate() {
            let upstream = url.trim_start_matches("https://");
            let body = json!({ "name": name(at), "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true });
            let answer = proxy.post("/proxies", body).await?;
            let listen = answer.get("listen").and_then(Value::as_str).ok_or_else(|| failed("it names no address"))?;
            proxy.urls.push(format!("https://{listen}"));
        }
        Ok(proxy)
    }

    /// The addresses for clients, in the order of the nodes.
    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Does this to the connections to one node, from now on.
    pub(crate) async fn poison(&self, at: usize, toxic: Toxic) -> Result<()> {
        let (kind, attributes) = match toxic {
            Toxic::Down => {
                return self.post(&format!("/proxies/{}", name(at)), json!({ "enabled": false })).await.map(drop);
            }
            Toxic::Cut => ("timeout", json!({ "timeout": 0 })),
            Toxic::Late(ms) => ("latency", json!({ "latency": ms, "jitter": ms / 2 })),
            Toxic::Narrow(rate) => ("bandwidth", json!({ "rate": rate })),
        };
        let streams: &[&str] =
            if matches!(toxic, Toxic::Late(_)) { &["downstream"] } else { &["upstream", "downstream"] };
        for stream in streams {
            let body = json!({ "name": stream, "type": kind, "stream": stream, "attributes": attributes });
            self.post(&format!("/proxies/{}/toxics", name(at)), body).await?;
        }
        Ok(())
    }

    /// Everything passes again.
    pub(crate) async fn heal(&self) -> Result<()> {
        let sent = self.http.post(format!("{}/reset", self.api)).send().await.map_err(failed)?;
        if sent.status().is_success() { Ok(()) } else { Err(failed(sent.status())) }
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let request = self.http.post(format!("{}{path}", self.api)).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.map_err(failed)?;
        let (status, text) = (answer.status(), answer.bytes().await.map_err(failed)?);
        if status.is_success() { Ok(serde_json::from_slice(&text).unwrap_or(Value::Null)) } else { Err(failed(status)) }
    }
}

fn name(at: usize) -> String {
    format!("node-{}", at + 1)
}

fn failed(what: impl std::fmt::Display) -> Error {
    Error::new(
        format!("toxiproxy failed: {what}"),
        "start it again; remove tests/openbao/toxiproxy/.bin to build it anew",
    )
}
