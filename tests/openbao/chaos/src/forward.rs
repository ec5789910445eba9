//! A forwarder in front of one node, which counts what comes to it, and can swallow it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ha_cluster::{Error, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a connection is kept at most.
const LIFE: Duration = Duration::from_secs(600);

/// Listens on an address of its own. Ends with its value.
pub(crate) struct Forwarder {
    address: SocketAddr,
    state: Arc<State>,
    lifted: watch::Sender<u64>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    arrived: AtomicU64,
    is_cut: AtomicBool,
}

impl Forwarder {
    /// Stands before an address such as `https://127.0.0.1:8210`.
    pub(crate) async fn before(url: &str) -> Result<Self> {
        let wrong = |what: String| Error::new(format!("no forwarder before {url}: {what}"), "please report it");
        let target: SocketAddr =
            url.trim_start_matches("https://").parse().map_err(|_| wrong("no address and port".to_owned()))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| wrong(error.to_string()))?;
        let address = listener.local_addr().map_err(|error| wrong(error.to_string()))?;
        let state = Arc::new(State::default());
        let (lifted, _) = watch::channel(0);
        let (shared, cut) = (state.clone(), lifted.subscribe());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                shared.arrived.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(client, target, shared.clone(), cut.clone()));
            }
        });
        Ok(Self { address, state, lifted, task })
    }

    /// The address for clients.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How much came: connections, and pieces of data on those that had been answered before. A request is one or two
    /// of these, so this is never too little.
    pub(crate) fn arrived(&self) -> u64 {
        self.state.arrived.load(Ordering::Relaxed)
    }

    /// Accepts and swallows from now on.
    pub(crate) fn cut(&self) {
        self.state.is_cut.store(true, Ordering::Relaxed);
    }

    /// Forwards again. What was swallowed is lost, so the connections that lost something end.
    pub(crate) fn lift(&self) {
        self.state.is_cut.store(false, Ordering::Relaxed);
        self.lifted.send_modify(|count| *count += 1);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(client: TcpStream, target: SocketAddr, state: Arc<State>, mut lifted: watch::Receiver<u64>) {
    lifted.mark_unchanged();
    let run = async {
        if state.is_cut.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let Ok(node) = TcpStream::connect(target).await else { return };
        // What is asked and answered in small pieces must not wait for more to come.
        let _ = (client.set_nodelay(true), node.set_nodelay(true));
        pass_on(client, node, &state).await;
    };
    // Ends with what it held: the connection closes.
    let _ = tokio::time::timeout(LIFE, async {
        tokio::select! {
            () = run => {}
            _ = lifted.changed() => {}
        }
    })
    .await;
}

async fn pass_on(mut client: TcpStream, mut node: TcpStream, state: &State) {
    let (mut asked, mut answered) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut is_known = false;
    loop {
        let sent = tokio::select! {
            read = client.read(&mut asked) => {
                let Some(piece) = piece(read, &asked) else { return };
                if is_known {
                    state.arrived.fetch_add(1, Ordering::Relaxed);
                }
                if state.is_cut.load(Ordering::Relaxed) { Ok(()) } else { node.write_all(piece).await }
            }
            read = node.read(&mut answered) => {
                let Some(piece) = piece(read, &answered) else { return };
                is_known = true;
                if state.is_cut.load(Ordering::Relaxed) { Ok(()) } else { client.write_all(piece).await }
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// What was read; none at the end.
fn piece(read: std::io::Result<usize>, buffer: &[u8]) -> Option<&[u8]> {
    read.ok().filter(|length| *length > 0).and_then(|length| buffer.get(..length))
}
