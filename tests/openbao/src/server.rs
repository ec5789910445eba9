//! Starting and ending a server process.

use crate::{Version, wire};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const READY: Duration = Duration::from_secs(30);
/// How often a start is tried again when another program took the port.
const TRIES: usize = 5;

/// A running server. Dropping it ends the process and removes its files.
#[derive(Debug)]
pub struct Server {
    version: Version,
    address: SocketAddr,
    url: String,
    tls_url: Option<String>,
    child: Child,
    folder: Folder,
}

/// A folder that goes away with its value, also where a start fails half-way.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What opens an initialised server.
#[derive(Clone, Debug)]
pub struct Unsealing {
    /// The one key share.
    pub key: String,
    /// The root token.
    pub root_token: String,
}

impl Server {
    /// `bao server -dev`: unsealed, in memory, KVv2 at `secret/`, root token `root`.
    pub fn start(version: Version) -> io::Result<Server> {
        retry(|| {
            let (address, folder) = place(version)?;
            Server::spawn(version, address, folder, &dev(address), true)
        })
    }

    /// The same as [`Server::start`], with a second listener that speaks TLS with this certificate and key, as PEM
    /// texts, and asks for the client's. [`Server::tls_url`] names it.
    pub fn start_with_tls(version: Version, certificate: &str, key: &str) -> io::Result<Server> {
        retry(|| {
            let (address, folder) = place(version)?;
            let tls = free_address()?;
            let [certificate, key] = [("server.pem", certificate), ("server.key", key)].map(|(name, text)| {
                let path = folder.0.join(name);
                fs::write(&path, text).map(|()| path)
            });
            let listener = serde_json::json!({
                "address": tls.to_string(),
                "tls_cert_file": certificate?,
                "tls_key_file": key?,
            });
            let config = serde_json::json!({ "listener": [{ "tcp": listener }] });
            let file = folder.0.join("config.json");
            fs::write(&file, config.to_string())?;
            let mut arguments = dev(address);
            arguments.push(format!("-config={}", file.display()));
            let mut server = Server::spawn(version, address, folder, &arguments, true)?;
            server.tls_url = Some(format!("https://{tls}"));
            Ok(server)
        })
    }

    /// A server on Raft storage that nobody has initialised yet.
    pub fn start_uninitialized(version: Version) -> io::Result<Server> {
        retry(|| {
            let (address, folder) = place(version)?;
            let cluster = free_address()?;
            let data = folder.0.join("data");
            fs::create_dir_all(&data)?;
            // Written as JSON, so that no path needs escaping by hand.
            let config = serde_json::json!({
                "ui": false,
                "api_addr": format!("http://{address}"),
                "cluster_addr": format!("http://{cluster}"),
                "storage": { "raft": { "path": data, "node_id": "one" } },
                "listener": [{ "tcp": {
                    "address": address.to_string(),
                    "cluster_address": cluster.to_string(),
                    "tls_disable": true,
                } }],
            });
            let file = folder.0.join("config.json");
            fs::write(&file, config.to_string())?;
            let arguments = ["server".to_owned(), format!("-config={}", file.display())];
            Server::spawn(version, address, folder, &arguments, false)
        })
    }

    /// Initialises a server with one key share. It stays sealed.
    pub fn initialize(&self) -> io::Result<Unsealing> {
        let body = br#"{"secret_shares":1,"secret_threshold":1}"#;
        let reply = wire::exchange(self.address, "PUT", "/v1/sys/init", &[], body)?;
        let answer: serde_json::Value = serde_json::from_slice(&reply.body)?;
        let text = |value: Option<&serde_json::Value>| value.and_then(|v| v.as_str()).map(str::to_owned);
        let key = text(answer.get("keys_base64").and_then(|keys| keys.get(0)));
        match (key, text(answer.get("root_token"))) {
            (Some(key), Some(root_token)) => Ok(Unsealing { key, root_token }),
            _ => Err(io::Error::other(format!("the initialisation answered {}", reply.status))),
        }
    }

    /// Unseals an initialised server and waits until it is active.
    pub fn unseal(&self, unsealing: &Unsealing) -> io::Result<()> {
        let body = serde_json::json!({ "key": unsealing.key }).to_string();
        let reply = wire::exchange(self.address, "PUT", "/v1/sys/unseal", &[], body.as_bytes())?;
        if reply.status != 200 {
            return Err(io::Error::other(format!("unsealing answered {}", reply.status)));
        }
        let end = Instant::now() + READY;
        while Instant::now() < end {
            if self.health().is_some_and(|status| status == 200) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the server did not become active"))
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where it is, as `http://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it speaks TLS, as `https://127.0.0.1:port`; none where it does not.
    pub fn tls_url(&self) -> Option<&str> {
        self.tls_url.as_deref()
    }

    /// The socket that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root token of [`Server::start`]; [`Server::initialize`] returns another.
    pub fn root_token(&self) -> &str {
        "root"
    }

    /// The process id, for tests that stop and continue it.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// What the server has written to its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()
    }

    fn spawn(
        version: Version,
        address: SocketAddr,
        folder: Folder,
        arguments: &[String],
        dev: bool,
    ) -> io::Result<Server> {
        let log = fs::File::create(folder.0.join("log"))?;
        let child = Command::new(version.binary()?)
            .args(arguments)
            // Settings of the caller's are not for this server, and it shall write nothing at home.
            .env_clear()
            .env("HOME", &folder.0)
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let url = format!("http://{address}");
        let mut server = Server { version, address, url, tls_url: None, child, folder };
        let end = Instant::now() + READY;
        while Instant::now() < end {
            if let Some(status) = server.child.try_wait()? {
                // Most likely the port was taken between choosing and binding it.
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    format!("the server ended with {status}: {}", last_lines(&server.log())),
                ));
            }
            let ready = match server.health() {
                Some(200) => !dev || server.has_secret_mount(),
                Some(501) => !dev,
                _ => false,
            };
            if ready {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the server did not answer: {}", last_lines(&server.log())),
        ))
    }

    fn health(&self) -> Option<u16> {
        wire::exchange(self.address, "GET", "/v1/sys/health", &[], b"").ok().map(|reply| reply.status)
    }

    /// A dev server is healthy a moment before it mounts `secret/`.
    fn has_secret_mount(&self) -> bool {
        let token = [("X-Vault-Token".to_owned(), "root".to_owned())];
        wire::exchange(self.address, "GET", "/v1/secret/config", &token, b"").is_ok_and(|reply| reply.status == 200)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn dev(address: SocketAddr) -> Vec<String> {
    let words = ["server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token"];
    words.into_iter().map(str::to_owned).chain([format!("-dev-listen-address={address}")]).collect()
}

fn retry(start: impl Fn() -> io::Result<Server>) -> io::Result<Server> {
    let mut last = io::Error::other("not tried");
    for _ in 0..TRIES {
        match start() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            other => return other,
        }
    }
    Err(last)
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A free port and a new folder.
fn place(version: Version) -> io::Result<(SocketAddr, Folder)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    version.binary()?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("baokit-openbao-{}-{count}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(name));
    fs::create_dir_all(&folder.0)?;
    Ok((free_address()?, folder))
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
