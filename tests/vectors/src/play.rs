//! The nodes of one case: sockets on 127.0.0.1 that do what its script says.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::cases::Play;
use crate::flow::{Answer, Exchange, Fault};
use crate::http::Connection;
use crate::script::Script;

/// Most requests on one connection.
const MOST_REQUESTS: usize = 10_000;
/// How long a connection is held open after all of a short answer with a long length was sent.
const HOLD: Duration = Duration::from_secs(60);
/// Not HTTP, whoever reads it.
const GARBAGE: &[u8] = b"\x15\x03\x01\x00\x02this is not HTTP\r\n\r\n";
/// The node that no client knows.
const STRANGER: &str = "{stranger}";

/// A running case; dropping it closes every socket.
pub(crate) struct Stage {
    script: Arc<Shared>,
    tasks: Vec<AbortHandle>,
    /// Bound and not listening, so that a connection is refused and no other program takes the port.
    _unreachable: Vec<TcpSocket>,
}

struct Shared {
    script: Mutex<Script>,
    origins: Vec<String>,
    stranger: String,
    /// Connections are not used again where one may break: a client may repeat what it sent on an old one.
    one_each: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

fn bind() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(socket)
}

fn origin(socket: &TcpSocket) -> io::Result<String> {
    Ok(format!("http://{}", socket.local_addr()?))
}

impl Stage {
    /// Binds fresh ports and plays; has to run on tokio.
    pub fn start(play: &Play) -> io::Result<Self> {
        let sockets = (0..play.nodes).map(|_| bind()).collect::<io::Result<Vec<_>>>()?;
        let stranger = bind()?;
        let shared = Arc::new(Shared {
            script: Mutex::new(Script::new(&play.exchanges, play.any_order, play.token())),
            origins: sockets.iter().map(origin).collect::<io::Result<_>>()?,
            stranger: origin(&stranger)?,
            one_each: play.exchanges.iter().any(|exchange| exchange.fault.is_some()),
        });
        let mut stage = Self { script: shared.clone(), tasks: Vec::new(), _unreachable: Vec::new() };
        for (node, socket) in sockets.into_iter().enumerate() {
            if play.unreachable.contains(&node) {
                stage._unreachable.push(socket);
            } else {
                stage.serve(Some(node), socket)?;
            }
        }
        stage.serve(None, stranger)?;
        Ok(stage)
    }

    fn serve(&mut self, node: Option<usize>, socket: TcpSocket) -> io::Result<()> {
        let listener = socket.listen(1024)?;
        self.tasks.push(tokio::spawn(accept(listener, node, self.script.clone())).abort_handle());
        Ok(())
    }

    /// What the client's settings name.
    pub fn urls(&self) -> String {
        self.script.origins.join(",")
    }

    /// What was wrong with the requests.
    pub fn verdict(&self) -> Vec<String> {
        self.script.lock().verdict()
    }
}

async fn accept(listener: TcpListener, node: Option<usize>, shared: Arc<Shared>) {
    // The connections end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(converse(stream, node, shared.clone())); }
                // Out of file descriptors, most likely; it passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, node: Option<usize>, shared: Arc<Shared>) {
    let mut connection = Connection::new(stream);
    for _ in 0..MOST_REQUESTS {
        let request = match connection.read().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return shared.lock().problem(format!("a request that can't be read: {error}"));
            }
            // The client broke off.
            Err(_) => return,
        };
        let Some(node) = node else {
            return shared.lock().problem(format!("the stranger was sent {} {}", request.method, request.target));
        };
        let Some(exchange) = shared.lock().arrive(node, &request) else {
            // Something that no operation takes for success, and none sends again.
            let refusal = r#"{"errors":["an unexpected request"]}"#;
            let _ = connection.write_json(400, refusal).await;
            return connection.finish().await;
        };
        match perform(connection, &exchange, &shared).await {
            Some(open) => connection = open,
            None => return,
        }
    }
}

/// Does what the exchange says; gives the connection back where it stays open.
async fn perform(mut connection: Connection, exchange: &Exchange, shared: &Shared) -> Option<Connection> {
    match exchange.fault {
        Some(Fault::Close) => return None,
        Some(Fault::Reset) => {
            connection.reset();
            return None;
        }
        // The stage ends it.
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Garbage) => {
            let _ = connection.write(GARBAGE).await;
            connection.finish().await;
            return None;
        }
        Some(Fault::Truncate) | None => {}
    }
    let answer = exchange.answer.as_ref()?;
    let (head, mut body) = compose(answer, shared);
    if exchange.fault == Some(Fault::Truncate) {
        body.truncate(body.len() / 2);
    }
    // Where the client has gone already, there is nothing to be done about it.
    let written = connection.write(&[head.as_bytes(), &body].concat()).await;
    if answer.announce.is_some() {
        let _ = tokio::time::timeout(HOLD, connection.until_closed()).await;
        return None;
    }
    if shared.one_each || answer.until_close || written.is_err() || exchange.fault.is_some() {
        connection.finish().await;
        return None;
    }
    Some(connection)
}

fn compose(answer: &Answer, shared: &Shared) -> (String, Vec<u8>) {
    let mut head = format!("HTTP/1.1 {} \r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {}\r\n", resolve(value, shared)));
    }
    let (body, kind) = answer.body().unwrap_or((Vec::new(), ""));
    if !kind.is_empty() {
        head.push_str(&format!("Content-Type: {kind}\r\n"));
    }
    // An answer of status 204 has no body, and so no length.
    if answer.status != 204 && !answer.until_close {
        let length = answer.announce.unwrap_or(body.len() as u64);
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    if shared.one_each || answer.until_close {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    (head, body)
}

/// A header's value with the origins that it names.
fn resolve(value: &str, shared: &Shared) -> String {
    let value = value.replace(STRANGER, &shared.stranger);
    shared
        .origins
        .iter()
        .enumerate()
        .fold(value, |value, (node, origin)| value.replace(&format!("{{node{node}}}"), origin))
}
