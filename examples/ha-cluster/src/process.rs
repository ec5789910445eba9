//! The cluster's processes: started so that they outlive the command that started them, found by their command line,
//! and signalled.
//!
//! There are no files with process ids. A process is ours exactly when its command line names a configuration file of
//! this cluster by its absolute path, so an interrupted `up` leaves no process that nobody knows of, and an id that
//! the system used again is never signalled.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::Patience;
use crate::{Error, Result, files};

/// The programs of the system; a caller's own `PATH` plays no part.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// How long a killed process may take to be gone, or a stopped one to stand still: the system needs milliseconds.
const SETTLED: Duration = Duration::from_secs(10);

/// A program with its configuration file, running or not.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// Who it is, for messages: `node-1` or `haproxy`.
    pub who: String,
    /// The name that it runs under.
    name: &'static str,
    /// Its arguments, of which one holds the absolute path of its configuration.
    arguments: Vec<String>,
    /// Where it runs and what it takes for its home, so that it writes nothing anywhere else.
    folder: PathBuf,
    log: PathBuf,
}

/// Whether a process works, and which ones they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pids: Vec<i32>,
    stopped: bool,
}

/// What the system does with a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessState {
    /// It runs.
    Running,
    /// It was stopped (`SIGSTOP`): its ports accept, and nothing answers.
    Stopped,
    /// There is none.
    Down,
}

impl ProcessState {
    /// `running`, `stopped` or `down`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Down => "down",
        }
    }
}

impl Found {
    pub(crate) fn state(&self) -> ProcessState {
        match self {
            Self { pids, .. } if pids.is_empty() => ProcessState::Down,
            Self { stopped: true, .. } => ProcessState::Stopped,
            _ => ProcessState::Running,
        }
    }

    /// The process ids, mostly one; none where it is down.
    pub(crate) fn pids(&self) -> &[i32] {
        &self.pids
    }
}

impl Service {
    /// An OpenBao node.
    pub(crate) fn node(who: String, config: &Path, folder: PathBuf, log: PathBuf) -> Self {
        let arguments = vec!["server".to_owned(), format!("-config={}", config.display())];
        Self { who, name: "bao", arguments, folder, log }
    }

    /// HAProxy, in the foreground (`-db`), so that it is one process.
    pub(crate) fn balancer(config: &Path, folder: PathBuf, log: PathBuf) -> Self {
        let arguments = vec!["-db".to_owned(), "-f".to_owned(), config.display().to_string()];
        Self { who: "haproxy".to_owned(), name: "haproxy", arguments, folder, log }
    }

    /// Looks for it among the processes of this machine.
    pub(crate) fn find(&self) -> Result<Found> {
        Ok(self.pick(&processes()?))
    }

    /// Picks its processes from what `ps` printed.
    fn pick(&self, listing: &str) -> Found {
        let arguments = format!(" {}", self.arguments.join(" "));
        let is_ours = |command: &str| {
            let program = command.strip_suffix(&arguments);
            // Not `sh -c "bao server …"` nor an editor: the program alone stands before.
            program.is_some_and(|program| {
                program == self.name || program.starts_with('/') && program.ends_with(&format!("/{}", self.name))
            })
        };
        let mut found = Found { pids: Vec::new(), stopped: false };
        for line in listing.lines() {
            let Some((pid, state, command)) = parse_line(line) else { continue };
            if is_ours(command) {
                found.pids.push(pid);
                found.stopped |= state.starts_with('T');
            }
        }
        found
    }

    /// Starts it in a process group of its own, with nothing of the caller's environment.
    pub(crate) fn start(&self, program: &Path) -> Result<()> {
        let failed = |error: &std::io::Error| Error::file("open", &self.log, error).during(&self.who);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(files::PRIVATE)
            .open(&self.log)
            .map_err(|error| failed(&error))?;
        let second = log.try_clone().map_err(|error| failed(&error))?;
        let mut command = Command::new(program);
        command
            .arg0(self.name)
            .args(&self.arguments)
            .process_group(0)
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", &self.folder)
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(second);
        // Tokio collects the process when it ends, so that a long-running caller gathers no dead ones.
        tokio::process::Command::from(command).spawn().map(drop).map_err(|error| {
            Error::new(
                format!("{} could not be started with {}: {error}", self.who, program.display()),
                "see whether that program runs on this machine",
            )
        })
    }

    /// Ends it at once (`SIGKILL`) and waits until it is gone.
    pub(crate) async fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.settle(ProcessState::Down, SETTLED).await
    }

    /// Stops it (`SIGSTOP`): it stays, and does nothing.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        self.settle(ProcessState::Stopped, SETTLED).await
    }

    /// Lets it go on (`SIGCONT`).
    pub(crate) async fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)?;
        self.settle(ProcessState::Running, SETTLED).await
    }

    /// Asks OpenBao to read its certificates again.
    pub(crate) fn reload(&self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    /// Asks it to end, also where it is stopped; one that is down is left so.
    pub(crate) fn terminate(&self) -> Result<()> {
        let found = self.find()?;
        self.send(&found, Signal::TERM)?;
        self.send(&found, Signal::CONT)
    }

    /// Like [`Service::kill`], for one that may have ended by itself.
    pub(crate) async fn ensure_down(&self) -> Result<()> {
        self.send(&self.find()?, Signal::KILL)?;
        self.settle(ProcessState::Down, SETTLED).await
    }

    /// Waits so long until it is in this state.
    pub(crate) async fn settle(&self, state: ProcessState, limit: Duration) -> Result<()> {
        let patience = Patience::of(limit);
        while self.find()?.state() != state {
            if !patience.wait().await {
                return Err(Error::new(
                    format!("{} was not {} {}", self.who, state.as_str(), patience.within()),
                    "see what `status` and the system's `ps` say of it, then try again",
                ));
            }
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let found = self.find()?;
        if found.pids.is_empty() {
            return Err(Error::new(format!("{} is not running", self.who), "start it with `up`"));
        }
        self.send(&found, signal)
    }

    fn send(&self, found: &Found, signal: Signal) -> Result<()> {
        for pid in found.pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            match kill_process(pid, signal) {
                // Gone since it was found.
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(errno) => {
                    return Err(Error::new(
                        format!("{} (process {}) could not be signalled: {errno}", self.who, pid.as_raw_nonzero()),
                        "run this as the user who started the cluster",
                    ));
                }
            }
        }
        Ok(())
    }

    /// The last telling lines of its log: warnings and errors, else whatever is there.
    pub(crate) fn last_words(&self) -> String {
        let log = tail(&self.log);
        let telling = |line: &&str| ["[ERROR]", "[WARN]", "[ALERT]", "rror"].iter().any(|word| line.contains(word));
        let mut lines: Vec<&str> = log.lines().rev().filter(telling).take(3).collect();
        if lines.is_empty() {
            lines = log.lines().rev().take(3).collect();
        }
        let lines: Vec<String> = lines.iter().rev().map(|line| format!("\n    {}", line.trim())).collect();
        if lines.is_empty() {
            return format!("{} is empty", self.log.display());
        }
        format!("{} ends with:{}", self.log.display(), lines.concat())
    }
}

/// The end of a log, at most 64 KiB.
fn tail(path: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    const MOST: u64 = 64 * 1024;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
        let mut text = Vec::new();
        file.take(MOST).read_to_end(&mut text)?;
        Ok(text)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// All processes: id, state and command line, one a line.
fn processes() -> Result<String> {
    let output = Command::new("ps")
        // One option for each column, which every `ps` understands.
        .args(["-axww", "-o", "pid=", "-o", "stat=", "-o", "command="])
        .env_clear()
        .env("PATH", PATH)
        // Or letters beyond ASCII are written as question marks.
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(Error::new(
            format!("`ps` failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim()),
            "see whether `ps -axww -o pid= -o stat= -o command=` works on this machine",
        )),
        Err(error) => Err(Error::new(
            format!("`ps` could not be run: {error}"),
            "install the package that holds it (procps on Debian)",
        )),
    }
}

/// A line of `ps`: process id, state, command line.
fn parse_line(line: &str) -> Option<(i32, &str, &str)> {
    let (pid, rest) = line.trim_start().split_once(' ')?;
    let (state, command) = rest.trim_start().split_once(' ')?;
    Some((pid.parse().ok()?, state, command.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        let folder = PathBuf::from("/a b/node-1");
        Service::node("node-1".into(), &folder.join("node.hcl"), folder.clone(), folder.join("server.log"))
    }

    #[test]
    fn only_the_process_with_our_configuration_is_ours() {
        let listing = "    1 Ss   /sbin/init\n\
            \x20 200 Sl   bao server -config=/a b/node-1/node.hcl\n\
            \x20 201 Sl   bao server -config=/a b/node-1/node.hcl.old\n\
            \x20 202 Sl   bao server -config=/a b/node-2/node.hcl\n\
            \x20 203 S    sh -c bao server -config=/a b/node-1/node.hcl\n\
            \x20 204 S    vi server -config=/a b/node-1/node.hcl\n\
            \x20 205 Z    [bao] <defunct>\n\
            \x20 206 S    grep bao server -config=/a b/node-1/node.hcl\n\
            99999 S    xbao server -config=/a b/node-1/node.hcl\n";
        let found = service().pick(listing);
        assert_eq!(found, Found { pids: vec![200], stopped: false });
        assert_eq!(found.state(), ProcessState::Running);
        assert_eq!(service().pick("").state(), ProcessState::Down);
    }

    #[test]
    fn a_stopped_process_and_a_program_with_its_path_are_known() {
        let listing = " 7 Tl  /opt/my bao/bao server -config=/a b/node-1/node.hcl\n";
        assert_eq!(service().pick(listing), Found { pids: vec![7], stopped: true });
        assert_eq!(service().pick(listing).state(), ProcessState::Stopped);
    }

    #[test]
    fn the_balancer_is_known_by_its_configuration() {
        let balancer = Service::balancer(Path::new("/c/haproxy.cfg"), "/c".into(), "/c/haproxy.log".into());
        assert_eq!(balancer.pick("1 S haproxy -db -f /c/haproxy.cfg\n2 S haproxy -f /c/haproxy.cfg\n").pids(), [1]);
    }

    #[tokio::test]
    async fn a_process_is_started_stopped_continued_and_killed() {
        let folder = std::env::temp_dir().join(format!("ha-cluster process ü {}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // The shell takes the argument `server` for the name of a script.
        std::fs::write(folder.join("server"), "env; while :; do sleep 0.1; done").unwrap();
        let log = folder.join("log");
        let service = Service::node("node-1".into(), &folder.join("node.hcl"), folder.clone(), log.clone());
        let state = || service.find().unwrap().state();

        assert!(service.kill().await.unwrap_err().to_string().contains("not running"));
        service.start(Path::new("/bin/sh")).unwrap();
        service.settle(ProcessState::Running, SETTLED).await.unwrap();
        service.stop().await.unwrap();
        assert_eq!(state(), ProcessState::Stopped);
        service.resume().await.unwrap();
        assert_eq!(state(), ProcessState::Running);
        service.kill().await.unwrap();
        assert_eq!(state(), ProcessState::Down);
        service.terminate().unwrap();
        service.ensure_down().await.unwrap();

        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.contains("HOME=") && !log.contains("CARGO"), "{log}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
