//! A PostgreSQL server of our own on 127.0.0.1, in a temporary folder that goes with it. A cluster of the system is
//! neither used nor touched.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tokio_postgres::Config;

use crate::Result;
use crate::roles::connect;

/// Where Debian puts the programs of each version, which are not on the PATH.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The role that may do everything.
const ADMIN: &str = "admin";
/// How long the server may take to start, on a busy machine.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end, before it is killed.
const END: Duration = Duration::from_secs(10);

/// A running server. Dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct Postgres {
    // Ended before the folder goes.
    server: Server,
    _folder: Folder,
    admin: Config,
    version: String,
}

impl Postgres {
    /// Makes a cluster and starts it. PostgreSQL refuses to run as root; started as root, it runs as `postgres`, or as
    /// `nobody`.
    ///
    /// # Errors
    /// Where PostgreSQL is not installed, or does not start.
    pub async fn start() -> Result<Self> {
        let programs = programs()?;
        let user = User::unprivileged()?;
        let folder = Folder::new(user)?;
        let password = random_text()?;
        let mut first =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.path("password"))?;
        first.write_all(password.as_bytes())?;
        user.own(&folder.path("password"))?;
        let data = folder.path("data");
        let words = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--username", ADMIN];
        let made = user
            .command(&programs.join("initdb"), &folder)
            .args(words)
            .args([OsStr::new("--pwfile"), folder.path("password").as_os_str(), "-D".as_ref(), data.as_os_str()])
            .output()?;
        fs::remove_file(folder.path("password"))?;
        if !made.status.success() {
            return Err(format!("initdb failed: {}", String::from_utf8_lossy(&made.stderr)).into());
        }

        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let log = fs::File::create(folder.path("log"))?;
        let child = user
            .command(&programs.join("postgres"), &folder)
            .args([OsStr::new("-D"), data.as_os_str(), "-p".as_ref(), port.to_string().as_ref()])
            // Only this machine's programs; and as the folder does not outlive them, nothing need reach the disk.
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"])
            .args(["-c", "max_connections=200"])
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Server(child);
        let mut admin = Config::new();
        admin.host("127.0.0.1").port(port).user(ADMIN).password(password).dbname("postgres");
        admin.connect_timeout(Duration::from_secs(10));
        let version = version_of(&admin, &mut server, &folder).await?;
        Ok(Self { server, _folder: folder, admin, version })
    }

    /// The log-in of the role that may do everything.
    #[must_use]
    pub fn admin(&self) -> &Config {
        &self.admin
    }

    /// The version that the server says it is.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.0.id()
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.admin.get_ports().first().copied().unwrap_or_default()
    }
}

/// Waits until it lets the administrator in.
async fn version_of(admin: &Config, server: &mut Server, folder: &Folder) -> Result<String> {
    let start = Instant::now();
    loop {
        match connect(admin).await {
            Ok(client) => return Ok(client.query_one("SHOW server_version", &[]).await?.try_get(0)?),
            Err(error) if start.elapsed() > START || server.0.try_wait()?.is_some() => {
                let log = fs::read_to_string(folder.path("log")).unwrap_or_default();
                return Err(format!("PostgreSQL did not start: {error}\n{log}").into());
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The folder with `initdb` and `postgres`: that on the PATH, else Debian's newest.
fn programs() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    debian.sort();
    let newest = debian.into_iter().rev().map(|(_, folder)| folder);
    std::env::split_paths(&path)
        .chain(newest)
        .find(|folder| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file()))
        .ok_or_else(|| "PostgreSQL is missing: install Debian's package postgresql, or put initdb on the PATH".into())
}

/// Who the server runs as, where not as we do.
#[derive(Clone, Copy, Debug)]
struct User(Option<(u32, u32)>);

impl User {
    fn unprivileged() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self(None));
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let find = |name: &str| {
            let mut fields =
                users.lines().map(|line| line.split(':')).find(|line| line.clone().next() == Some(name))?;
            Some((fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        match find("postgres").or_else(|| find("nobody")) {
            Some(ids) => Ok(Self(Some(ids))),
            None => Err("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody".into()),
        }
    }

    fn own(self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.0 {
            chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }

    fn command(self, program: &Path, folder: &Folder) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&folder.0).stdin(Stdio::null());
        // Settings of the environment would lead to another cluster.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }
}

/// A folder that goes with this value.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new(user: User) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("rotate-postgres-{}", random_text()?));
        fs::create_dir(&path)?;
        let folder = Self(path);
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o700))?;
        user.own(&folder.0)?;
        Ok(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with this value.
#[derive(Debug)]
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Fast: clients are cut off, everything ends in order.
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| matches!(self.0.try_wait(), Ok(None))) {
            let _ = kill_process(pid, Signal::INT);
        }
        let start = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) {
            if start.elapsed() > END {
                let _ = self.0.kill();
                let _ = self.0.wait();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn random_text() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
