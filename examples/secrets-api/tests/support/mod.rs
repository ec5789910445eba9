//! The service as a process of its own, real curl, and whom it speaks with: an issuer, PDPs, the real server.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

pub mod issuer;
pub mod pdp;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use baokit_openbao::wire::{self, Reply};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::oneshot;

/// Longer than anything here takes.
pub const LIMIT: Duration = Duration::from_secs(30);
/// What no log, audit or error may ever hold.
pub const CANARY: &str = "canary-4a7e1d";

/// A folder that goes away with its value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("secrets-api-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file with this text; its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits until something is there, and not for ever.
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: it took too long");
}

/// Waits for the end of a process.
pub fn ended(child: &mut Child) -> ExitStatus {
    wait("a process's end", || child.try_wait().unwrap())
}

/// The program, with this environment and no other.
pub fn program(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secrets-api"));
    command.env_clear().env("BIND", "127.0.0.1:0").envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

/// The service, killed when its value is dropped.
pub struct Service {
    child: Child,
    pub address: SocketAddr,
    /// The commands that it has printed, ready to paste.
    pub calls: Vec<String>,
    folder: Folder,
}

impl Service {
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let log = fs::File::create(folder.path("log")).unwrap();
        let mut child = program(environment).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        // Ends with the process, whose output it empties.
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(send.send(line))));
        let mut text = String::new();
        while !text.contains("--data-urlencode") {
            match lines.recv_timeout(LIMIT) {
                Ok(line) => text = text + &line + "\n",
                Err(_) => panic!("it did not start: {}", fs::read_to_string(folder.path("log")).unwrap()),
            }
        }
        let first = text.lines().next().unwrap();
        let address = first.rsplit('/').next().unwrap().parse().unwrap();
        let joined = text.replace("\\\n", "");
        let calls = joined.lines().map(str::trim).filter(|line| line.starts_with("curl ")).map(str::to_owned);
        Self { address, calls: calls.collect(), folder, child }
    }

    /// What it has written to standard error: its log, and the audit where no file is named.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path("log")).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child)
    }

    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        send(self.address, method, target, headers, body)
    }

    pub fn get(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", target, headers, "")
    }

    /// `GET` of the secret that all tests use.
    pub fn value(&self, headers: &[(&str, &str)]) -> Reply {
        self.get(VALUE, headers)
    }
}

pub const VALUE: &str = "/api/secrets/value?uri=openbao%2Bkv2://secret/app/api%23token";

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn send(to: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    if !body.is_empty() {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    wire::exchange(to, method, target, &headers, body.as_bytes()).unwrap()
}

pub fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&reply.body)))
}

/// The code of an answer that is an error.
pub fn code(reply: &Reply) -> String {
    json(reply)["code"].as_str().unwrap().to_owned()
}

/// Runs a command line as a shell would, and returns what it wrote to standard output.
pub fn shell(line: &str) -> String {
    let mut child = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let text = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text).unwrap()
    });
    let status = ended(&mut child);
    let text = text.join().unwrap();
    assert!(status.success(), "{line}: {status}: {text}");
    text
}

/// Runs curl; `%{http_code}` comes behind the answer.
pub fn curl(arguments: &[&str]) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"]).args(arguments);
    let output = command.env_remove("http_proxy").env_remove("https_proxy").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    let status = status.parse().unwrap();
    assert!(status != 0, "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// A server of this process, on a thread of its own until it is dropped.
pub struct Web {
    pub address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    pub fn serve(app: Router) -> Self {
        let (end, ends) = oneshot::channel::<()>();
        let (send, address) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    served = async { axum::serve(listener, app).await } => served.unwrap(),
                    _ = ends => {}
                }
            });
        });
        let address = address.recv_timeout(LIMIT).unwrap();
        Self { address, end: Some(end), thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.thread.take().unwrap().join();
    }
}

/// Where the project's files are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
