//! What the tests share: the program as a user runs it, and clusters that go away with their value.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test uses a part, and the helpers fail by panicking, as tests do"
)]

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use baokit::Code;
use baokit_openbao::Version;
use ha_cluster::{Cluster, Options};
use tokio::sync::{Mutex, MutexGuard};

/// How long something may take that is waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// One test with a cluster at a time: nodes that wait for a processor hold elections.
static TURN: Mutex<()> = Mutex::const_new(());

/// A folder for one cluster. What runs in it ends with this value, and its files are removed.
pub struct Place {
    path: PathBuf,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Place {
    /// A folder that is not there yet, for the only cluster of its time.
    pub async fn new() -> Self {
        let turn = TURN.lock().await;
        let mut place = Self::beside();
        place._turn = Some(turn);
        place
    }

    /// Another one, beside that.
    pub fn beside() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ha-cluster-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // By its real path, which is how the cluster names itself.
        Self { path: env::temp_dir().canonicalize().unwrap().join(name), _turn: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn text(&self, name: &str) -> String {
        let path = self.file(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The program on this folder, not started yet.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ha-cluster"));
        command.args(arguments).arg("--dir").arg(&self.path).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        Ran::new(self.command(arguments).output().unwrap())
    }

    pub fn open(&self) -> Cluster {
        Cluster::open(&self.path).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Also where a test failed half-way, or cluster.json was broken on purpose and put back.
        if self.file("cluster.json").exists() {
            self.run(["down", "--delete-data"]);
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What a run of the program said.
#[derive(Debug, Default)]
pub struct Ran {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The run did what it says.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, Some(0), "{}", self.err);
        self
    }

    /// The run failed, and says these words.
    #[track_caller]
    pub fn refused(self, words: &[&str]) -> Self {
        assert_eq!(self.status, Some(1), "{}{}", self.out, self.err);
        for word in words.iter().chain(&["what to do: "]) {
            assert!(self.err.contains(word), "{word:?} is missing in: {}", self.err);
        }
        self
    }
}

/// A cluster that goes away with its value.
pub struct Running {
    cluster: Cluster,
    _place: Place,
}

impl Deref for Running {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

/// A cluster of its own for a test.
pub async fn new_cluster(version: Version, nodes: u8) -> Running {
    let place = Place::new().await;
    let options = Options { nodes: Some(nodes), version: Some(version.as_str().to_owned()), ..Options::default() };
    let cluster = Cluster::up(place.path(), &options, &|_| ()).await.unwrap();
    Running { cluster, _place: place }
}

/// The code of the error that a call is meant to end with.
#[track_caller]
pub fn code<T>(result: baokit::Result<T>) -> Code {
    match result {
        Ok(_) => panic!("it should have been refused"),
        Err(error) => error.code(),
    }
}

/// Waits until something is true.
pub async fn until(what: &str, is_true: impl AsyncFn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_true().await {
        assert!(Instant::now() < end, "not within {} s: {what}", LIMIT.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
