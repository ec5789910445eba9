//! A client without any rules: it shows when the cluster itself serves again, and what it really holds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ha_cluster::{Cluster, Error, NodeId, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::history::Truth;
use crate::place::{MOUNT, until};

/// How often each node is asked.
const POLL: Duration = Duration::from_millis(50);

/// How long a poll may take. Another is under way by then, so this hides nothing, and requests don't pile up.
const POLL_LIMIT: Duration = Duration::from_secs(1);

/// How long any other request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What reqwest needs before it makes any client here. The second caller in one process finds it done.
pub(crate) fn provide_cryptography() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client with the root token.
#[derive(Clone)]
pub(crate) struct Bare {
    http: reqwest::Client,
    token: String,
    nodes: Vec<(NodeId, String)>,
}

impl Bare {
    pub(crate) fn new(cluster: &Cluster) -> Result<Self> {
        provide_cryptography();
        let certificate = reqwest::Certificate::from_pem(cluster.ca_pem()?.as_bytes()).map_err(unusable)?;
        let builder = reqwest::Client::builder().tls_certs_only([certificate]).no_proxy();
        let http = builder.redirect(reqwest::redirect::Policy::none()).build().map_err(unusable)?;
        Ok(Self { http, token: cluster.root_token()?.expose_str()?.to_owned(), nodes: cluster.nodes().collect() })
    }

    fn url(&self, node: NodeId) -> &str {
        self.nodes.iter().find(|(id, _)| *id == node).map_or("", |(_, url)| url)
    }

    async fn send(&self, method: Method, url: String, body: Option<Value>, limit: Duration) -> Option<(u16, Value)> {
        let mut request = self.http.request(method, url).header("x-vault-token", &self.token).timeout(limit);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let body = response.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// The first write that gets through after a moment, of polls at every node every 50 ms; how long after that moment
    /// it was acknowledged.
    pub(crate) async fn first_write(&self, since: Instant, limit: Duration) -> Option<Duration> {
        let mut polls = JoinSet::new();
        let mut ticks = tokio::time::interval(POLL);
        while since.elapsed() < limit {
            tokio::select! {
                Some(done) = polls.join_next() => {
                    if matches!(done, Ok(Some((200, _)))) {
                        return Some(since.elapsed());
                    }
                }
                _ = ticks.tick() => {
                    for (id, url) in &self.nodes {
                        let (this, url) = (self.clone(), format!("{url}/v1/{MOUNT}/data/bare/{id}"));
                        let body = json!({ "data": { "v": "bare" } });
                        polls.spawn(async move { this.send(Method::POST, url, Some(body), POLL_LIMIT).await });
                    }
                }
            }
        }
        None
    }

    /// Whether a node says that it leads.
    pub(crate) async fn claims_to_lead(&self, node: NodeId) -> bool {
        let url = format!("{}/v1/sys/health", self.url(node));
        matches!(self.send(Method::GET, url, None, POLL_LIMIT).await, Some((200, _)))
    }

    /// Seals the leader.
    pub(crate) async fn seal(&self, node: NodeId) -> bool {
        let sealed = async || {
            let status = self.send(Method::GET, format!("{}/v1/sys/seal-status", self.url(node)), None, LIMIT).await;
            status.is_some_and(|(_, status)| status.get("sealed") == Some(&Value::Bool(true)))
        };
        for _ in 0..5 {
            self.send(Method::POST, format!("{}/v1/sys/seal", self.url(node)), Some(json!({})), LIMIT).await;
            if sealed().await {
                return true;
            }
            tokio::time::sleep(POLL).await;
        }
        false
    }

    /// The versions of these secrets, as the leader has them. That it leads is shown by a write first.
    pub(crate) async fn truth(&self, leader: NodeId, paths: impl IntoIterator<Item = String>) -> Result<Truth> {
        let at = self.url(leader);
        let body = json!({ "data": { "v": "bare" } });
        let probe = async || {
            let url = format!("{at}/v1/{MOUNT}/data/bare/{leader}");
            Ok(matches!(self.send(Method::POST, url, Some(body.clone()), LIMIT).await, Some((200, _))))
        };
        until(LIMIT, "the leader takes a write", probe).await?;
        let mut truth = Truth::new();
        for path in paths {
            let versions = self.versions(at, &path).await?;
            truth.insert(path, versions);
        }
        Ok(truth)
    }

    async fn versions(&self, at: &str, path: &str) -> Result<BTreeMap<u64, String>> {
        let odd = |what: &str| Error::new(format!("{path}: {what}"), "see the leader's log");
        let metadata = self.send(Method::GET, format!("{at}/v1/{MOUNT}/metadata/{path}"), None, LIMIT).await;
        let current = match metadata {
            Some((200, answer)) => answer.pointer("/data/current_version").and_then(Value::as_u64),
            Some((404, _)) => Some(0),
            _ => None,
        };
        let current = current.ok_or_else(|| odd("its metadata could not be read"))?;
        let mut versions = BTreeMap::new();
        for version in 1..=current {
            let url = format!("{at}/v1/{MOUNT}/data/{path}?version={version}");
            let Some((200, answer)) = self.send(Method::GET, url, None, LIMIT).await else {
                return Err(odd(&format!("version {version} could not be read")));
            };
            let value = answer.pointer("/data/data/v").and_then(Value::as_str).unwrap_or_default();
            versions.insert(version, value.to_owned());
        }
        Ok(versions)
    }
}

fn unusable(error: reqwest::Error) -> Error {
    Error::new(format!("the bare client can't be made: {error}"), "please report it")
}
