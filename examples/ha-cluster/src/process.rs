//! The cluster's processes: started so that they outlive the command that started them, found by their command line,
//! and signalled.
//!
//! There are no files with process ids. A process is ours exactly when its command line is, word for word, the one
//! that we start it with, which names a configuration file of this cluster by its absolute path. So an interrupted `up`
//! leaves no process that nobody knows of, and an id that the system used again is never signalled.

use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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

    /// Picks its processes: not `sh -c "bao server …"`, nor `timeout 300 bao server …`, nor an editor.
    fn pick(&self, processes: &[Process]) -> Found {
        let words: Vec<&str> = [self.name].into_iter().chain(self.arguments.iter().map(String::as_str)).collect();
        let mut found = Found { pids: Vec::new(), stopped: false };
        for process in processes.iter().filter(|process| process.command.is(&words)) {
            found.pids.push(process.pid);
            found.stopped |= process.stopped;
        }
        found
    }

    /// The process that was started by this name and runs in another folder: the cluster's was moved, or deleted and
    /// made anew, while it ran. None where all is as it should be, or the system can't say.
    pub(crate) fn displaced(&self) -> Result<Option<i32>> {
        let place = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        let ours = place(&self.folder);
        let is_elsewhere = |pid: &i32| {
            let theirs = place(&PathBuf::from(format!("/proc/{pid}/cwd")));
            theirs.is_some() && theirs != ours
        };
        Ok(self.find()?.pids.into_iter().find(is_elsewhere))
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

/// A process of this machine.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    stopped: bool,
    command: CommandLine,
}

/// A command line, as exactly as the system tells it.
#[derive(Debug, PartialEq, Eq)]
enum CommandLine {
    /// Every word, each ended by a zero byte: Linux.
    Words(Vec<u8>),
    /// What `ps` prints: words with spaces between them, some letters perhaps as question marks.
    Line(String),
}

impl CommandLine {
    fn is(&self, words: &[&str]) -> bool {
        match self {
            Self::Words(bytes) => words.iter().map(|word| format!("{word}\0")).collect::<String>().as_bytes() == bytes,
            Self::Line(line) => words.join(" ") == *line,
        }
    }

    /// For messages: whole where it is that of a server with its configuration, else the program alone, since others'
    /// arguments may hold secrets.
    fn shown(&self) -> String {
        let text = match self {
            Self::Words(bytes) => String::from_utf8_lossy(bytes).trim_end_matches('\0').replace('\0', " "),
            Self::Line(line) => line.clone(),
        };
        if text.starts_with("bao server -config=") || text.starts_with("haproxy -db -f ") {
            return text;
        }
        match self {
            Self::Words(bytes) => {
                String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
            }
            Self::Line(line) => line.split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// All processes. Where Linux has its own list, byte for byte; `ps` knows fewer letters than a path may hold.
fn processes() -> Result<Vec<Process>> {
    if !cfg!(target_os = "linux") {
        return Ok(listing()?.lines().filter_map(parse_line).collect());
    }
    let failed = |error| Error::file("list the processes in", Path::new("/proc"), &error);
    let entries = std::fs::read_dir("/proc").map_err(failed)?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let process = |pid: i32| {
        // Whatever can't be read has ended meanwhile.
        let command = CommandLine::Words(std::fs::read(format!("/proc/{pid}/cmdline")).ok()?);
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Some(Process { pid, stopped: is_stopped(&stat), command })
    };
    Ok(pids.filter_map(process).collect())
}

/// Reads the state in `/proc/PID/stat`. It stands after the program's name in brackets, which may hold brackets.
fn is_stopped(stat: &[u8]) -> bool {
    let state = stat.rsplit(|byte| *byte == b')').next().and_then(|rest| rest.get(1));
    matches!(state, Some(b'T' | b't'))
}

/// The process that listens on this port of the machine, for messages: its id, and what it is. None where the system
/// can't say: the process is another user's, or this is no Linux.
pub(crate) fn listener(port: u16) -> Option<(i32, String)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let sockets: Vec<PathBuf> = tables.iter().flat_map(|table| listening(table, port)).collect();
    if sockets.is_empty() {
        return None;
    }
    let holds = |process: &Process| {
        let Ok(files) = std::fs::read_dir(format!("/proc/{}/fd", process.pid)) else { return false };
        files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|to| sockets.contains(&to)))
    };
    let process = processes().ok()?.into_iter().find(holds)?;
    Some((process.pid, process.command.shown()))
}

/// The sockets in this table of the kernel's that listen on a port, as links to them read: `socket:[123]`.
fn listening(table: &str, port: u16) -> impl Iterator<Item = PathBuf> {
    const LISTENS: &str = "0A";
    let port = format!(":{port:04X}");
    table.lines().filter_map(move |line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (address, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        (address.ends_with(&port) && *state == LISTENS).then(|| PathBuf::from(format!("socket:[{inode}]")))
    })
}

/// What `ps` says of all processes: id, state and command line, one a line.
fn listing() -> Result<String> {
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
fn parse_line(line: &str) -> Option<Process> {
    let (pid, rest) = line.trim_start().split_once(' ')?;
    let (state, command) = rest.trim_start().split_once(' ')?;
    let command = CommandLine::Line(command.trim_start().to_owned());
    Some(Process { pid: pid.parse().ok()?, stopped: state.starts_with('T'), command })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        let folder = PathBuf::from("/a b/node-1");
        Service::node("node-1".into(), &folder.join("node.hcl"), folder.clone(), folder.join("server.log"))
    }

    /// What `/proc` tells, of words that are parted by `|`.
    fn told(processes: &[(i32, &str)]) -> Vec<Process> {
        let words =
            |text: &str| CommandLine::Words(text.split('|').map(|word| format!("{word}\0")).collect::<String>().into());
        processes.iter().map(|(pid, text)| Process { pid: *pid, stopped: false, command: words(text) }).collect()
    }

    fn listed(lines: &str) -> Vec<Process> {
        lines.lines().filter_map(parse_line).collect()
    }

    #[test]
    fn only_the_process_with_our_command_line_is_ours() {
        let found = service().pick(&told(&[
            (1, "/sbin/init"),
            (200, "bao|server|-config=/a b/node-1/node.hcl"),
            (201, "bao|server|-config=/a b/node-1/node.hcl.old"),
            (202, "bao|server|-config=/a b/node-2/node.hcl"),
            (203, "sh|-c|bao server -config=/a b/node-1/node.hcl"),
            (204, "vi|server|-config=/a b/node-1/node.hcl"),
            (205, "grep|bao|server|-config=/a b/node-1/node.hcl"),
            (206, "/usr/bin/timeout|300|/tmp/x/bao|server|-config=/a b/node-1/node.hcl"),
            (207, "bao|server|-config=/a b/node-1/node.hcl|-dev"),
            (208, "bao|server|-config=/a|b/node-1/node.hcl"),
            (209, "bao server|-config=/a b/node-1/node.hcl"),
            (210, "/opt/bao|server|-config=/a b/node-1/node.hcl"),
            (211, ""),
        ]));
        assert_eq!(found, Found { pids: vec![200], stopped: false });
        assert_eq!(found.state(), ProcessState::Running);
        assert_eq!(service().pick(&[]).state(), ProcessState::Down);
    }

    #[test]
    fn where_only_ps_tells_of_processes_the_whole_line_counts() {
        let listing = "    1 Ss   /sbin/init\n\
            \x20 200 Sl   bao server -config=/a b/node-1/node.hcl\n\
            \x20 201 Sl   bao server -config=/a b/node-1/node.hcl.old\n\
            \x20 203 S    sh -c bao server -config=/a b/node-1/node.hcl\n\
            \x20 205 Z    [bao] <defunct>\n\
            \x20 206 S    /usr/bin/timeout 300 /x/bao server -config=/a b/node-1/node.hcl\n\
            99999 S    xbao server -config=/a b/node-1/node.hcl\n";
        assert_eq!(service().pick(&listed(listing)), Found { pids: vec![200], stopped: false });
        let stopped = listed(" 7 Tl  bao server -config=/a b/node-1/node.hcl\n");
        assert_eq!(service().pick(&stopped), Found { pids: vec![7], stopped: true });
        assert_eq!(service().pick(&stopped).state(), ProcessState::Stopped);
    }

    #[test]
    fn the_balancer_is_known_by_its_configuration() {
        let balancer = Service::balancer(Path::new("/c/haproxy.cfg"), "/c".into(), "/c/haproxy.log".into());
        let found = balancer.pick(&told(&[(1, "haproxy|-db|-f|/c/haproxy.cfg"), (2, "haproxy|-f|/c/haproxy.cfg")]));
        assert_eq!(found.pids(), [1]);
    }

    #[test]
    fn a_stopped_process_is_told_by_its_state_and_not_by_its_name() {
        for (stat, stopped) in [("7 (bao) T 1 7", true), ("7 (a) T) S 1 7", false), ("7 (bao) S 1", false), ("", false)]
        {
            assert_eq!(is_stopped(stat.as_bytes()), stopped, "{stat}");
        }
    }

    #[test]
    fn who_listens_is_named_without_the_arguments_of_others() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:2008 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1\n\
            \x20  1: 0100007F:2008 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 78 1\n";
        assert_eq!(listening(table, 8200).collect::<Vec<_>>(), [PathBuf::from("socket:[77]")]);
        assert_eq!(listening(table, 8201).count(), 0);
        let shown = |text| told(&[(1, text)])[0].command.shown();
        assert_eq!(shown("mysql|--password=canary"), "mysql");
        assert_eq!(shown("bao|server|-config=/x/node.hcl"), "bao server -config=/x/node.hcl");
        assert_eq!(shown("bao|login|canary"), "bao");
        if cfg!(target_os = "linux") {
            let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let (pid, _) = listener(held.local_addr().unwrap().port()).unwrap();
            assert_eq!(u32::try_from(pid).unwrap(), std::process::id());
        }
    }

    #[tokio::test]
    async fn a_process_is_started_stopped_continued_and_killed() {
        let folder =
            std::env::temp_dir().join(format!("ha-cluster process ü \u{1fae8} \u{200b} {}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // The shell takes the argument `server` for the name of a script.
        std::fs::write(folder.join("server"), "env; while :; do sleep 0.1; done").unwrap();
        let log = folder.join("log");
        let service = Service::node("node-1".into(), &folder.join("node.hcl"), folder.clone(), log.clone());
        let state = || service.find().unwrap().state();

        assert!(service.kill().await.unwrap_err().to_string().contains("not running"));
        service.start(Path::new("/bin/sh")).unwrap();
        service.settle(ProcessState::Running, SETTLED).await.unwrap();
        // Moved away while it runs.
        assert_eq!(service.displaced().unwrap(), None);
        let moved = folder.with_extension("moved");
        std::fs::rename(&folder, &moved).unwrap();
        assert_eq!(service.displaced().unwrap().is_some(), cfg!(target_os = "linux"));
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(service.displaced().unwrap().is_some(), cfg!(target_os = "linux"));
        std::fs::remove_dir(&folder).unwrap();
        std::fs::rename(&moved, &folder).unwrap();
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
