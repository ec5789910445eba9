//! The control API: the suite over HTTP/1.1 on 127.0.0.1, for faces in other languages.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::http::{Connection, Request};
use crate::suite::{Misuse, Suite};

/// Without a request for so long, nobody is there any more.
const IDLE: Duration = Duration::from_secs(300);
/// How long connections may take to end when the run is over.
const FAREWELL: Duration = Duration::from_millis(500);

/// The control API of one run.
#[derive(Debug)]
pub struct Control {
    listener: TcpListener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    suite: Suite,
    heard: Notify,
    ended: watch::Sender<bool>,
}

impl Control {
    /// Binds a free port on 127.0.0.1.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn bind(suite: Suite) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (ended, _) = watch::channel(false);
        Ok(Self { listener, shared: Arc::new(Shared { suite, heard: Notify::new(), ended }) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `POST /end`, until `stop` is done, or until nobody has asked for five minutes.
    pub async fn serve(&self, stop: impl Future<Output = ()>) {
        let mut ended = self.shared.ended.subscribe();
        let mut connections = JoinSet::new();
        let over = async {
            tokio::select! {
                () = stop => {}
                () = idle(&self.shared.heard) => {}
                // The sender lives as long as this does.
                _ = ended.wait_for(|ended| *ended) => {}
            }
        };
        tokio::select! {
            () = over => {}
            () = accept(&self.listener, &self.shared, &mut connections) => {}
        }
        // The one who ended the run still waits for its answer.
        self.shared.ended.send_replace(true);
        let _ = tokio::time::timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
    }

    /// The run.
    #[must_use]
    pub fn suite(&self) -> &Suite {
        &self.shared.suite
    }
}

async fn idle(heard: &Notify) {
    while tokio::time::timeout(IDLE, heard.notified()).await.is_ok() {}
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>, connections: &mut JoinSet<()>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(converse(stream, shared.clone())); }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let mut ended = shared.ended.subscribe();
    let mut connection = Connection::new(stream);
    while !*ended.borrow() {
        let request = tokio::select! {
            request = connection.read() => request,
            _ = ended.wait_for(|ended| *ended) => return,
        };
        // A client that breaks off, or speaks no HTTP, is not answered.
        let Ok(Some(request)) = request else { return };
        shared.heard.notify_one();
        let (status, answer) = match answer(&shared, &request) {
            Ok(answer) => (200, answer),
            Err(Refusal(status, text)) => (status, json!({"error": text})),
        };
        if connection.write_json(status, &answer.to_string()).await.is_err() {
            return;
        }
        if (request.method.as_str(), request.target.as_str()) == ("POST", "/end") {
            shared.ended.send_replace(true);
            return connection.finish().await;
        }
    }
}

struct Refusal(u16, String);

impl From<Misuse> for Refusal {
    fn from(misuse: Misuse) -> Self {
        match misuse {
            Misuse::Unknown => Self(404, "there is no such case".to_owned()),
            Misuse::Twice => Self(409, "the case was started or finished before".to_owned()),
            Misuse::Malformed(text) => Self(400, text),
        }
    }
}

fn answer(shared: &Shared, request: &Request) -> Result<Value, Refusal> {
    let suite = &shared.suite;
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let names: Vec<_> = path.trim_start_matches('/').split('/').collect();
    match (request.method.as_str(), names.as_slice()) {
        ("GET", ["cases"]) => Ok(json!({"cases": suite.cases(query.strip_prefix("kind="))})),
        ("POST", ["cases", id, "start"]) => Ok(suite.start(id)?),
        ("POST", ["cases", id, "finish"]) => {
            let outcome = serde_json::from_slice(&request.body)
                .map_err(|error| Refusal(400, format!("the outcome is not JSON: {error}")))?;
            Ok(match suite.finish(id, outcome)? {
                None => json!({"ok": true}),
                Some(problem) => json!({"ok": false, "problem": problem}),
            })
        }
        ("GET", ["tally"]) | ("POST", ["end"]) => Ok(suite.tally()),
        _ => Err(Refusal(404, "unknown: see tests/vectors/README.md".to_owned())),
    }
}
