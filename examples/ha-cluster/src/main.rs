//! The command line of ha-cluster: reads arguments, calls the library, prints.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ha_cluster::{Cluster, Error, NodeId, Options, Outcome, Reach, Result, Step};

/// The name of a cluster that nobody named.
const DEFAULT: &str = "default";

/// A real OpenBao cluster on this machine: Raft nodes with TLS behind HAProxy.
#[derive(Parser)]
#[command(name = "ha-cluster", after_help = AFTER)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
The exit status is 0 where the command did what it says, 1 where it failed (`status`: where the cluster is not healthy), \
and 2 for wrong arguments.

  eval \"$(ha-cluster env)\" && cargo run -p quickstart

BAO_BIN and HAPROXY_BIN name the programs where PATH does not find the right ones.";

#[derive(Args)]
struct Place {
    /// Which cluster: its folder is $XDG_STATE_HOME/baokit/ha-cluster/NAME, or below $HOME/.local/state [default: default]
    #[arg(long, global = true)]
    name: Option<String>,
    /// The cluster's folder, instead of a name
    #[arg(long, global = true, conflicts_with = "name")]
    dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Bring the cluster up, or carry on where it is half up; prints the environment for a client
    Up {
        /// How many nodes [default: 3]
        #[arg(long, value_parser = ["3", "5"])]
        nodes: Option<String>,
        /// The version of OpenBao, such as 2.7.2 or 2.6.2 [default: what BAO_BIN or PATH has, else 2.7.2]
        #[arg(long)]
        version: Option<String>,
        /// The load balancer's port; node N listens 10 times N further, and on the port after that [default: free ones]
        #[arg(long)]
        port_base: Option<u16>,
    },
    /// Show how nodes and load balancer are; the exit status says whether all is well
    Status {
        #[arg(long, value_enum, default_value_t)]
        format: StatusFormat,
    },
    /// Print the environment for a client: address, CA, and the AppRole credential
    Env {
        #[arg(long, value_enum, default_value_t)]
        format: EnvironmentFormat,
        /// The list of the nodes' addresses instead of the load balancer's
        #[arg(long)]
        nodes: bool,
    },
    /// End a node at once (SIGKILL); `up` brings it back
    Kill { node: Which },
    /// Stop a node (SIGSTOP): it accepts and never answers
    Stop { node: Which },
    /// Let a stopped node go on (SIGCONT)
    Continue { node: Which },
    /// Make the leader give up its place
    StepDown,
    /// Show the last lines of the logs, of one node or of all and the load balancer
    Logs {
        node: Option<Which>,
        /// How many lines of each
        #[arg(long, default_value_t = 50)]
        lines: usize,
    },
    /// End everything; the data stays, and `up` goes on with it
    Down {
        /// Remove the cluster's files as well, with all secrets in them
        #[arg(long)]
        delete_data: bool,
    },
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum EnvironmentFormat {
    /// Lines for eval
    #[default]
    Shell,
    /// One object
    Json,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum StatusFormat {
    /// For people
    #[default]
    Table,
    /// One object
    Json,
}

/// A node by its name, or the one that leads.
#[derive(Clone, Copy)]
enum Which {
    Node(NodeId),
    Leader,
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "leader" => Ok(Self::Leader),
            _ => text.parse().map(Self::Node).map_err(|_| "name node-1, node-2 and so on, or leader".to_owned()),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Cli { place, command } = Cli::parse();
    match run(&place, command).await {
        Ok(status) => status,
        Err(error) => {
            tell(&format!("ha-cluster: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(place: &Place, command: Command) -> Result<ExitCode> {
    let folder = place.folder()?;
    let open = || Cluster::open(&folder);
    match command {
        Command::Up { nodes, version, port_base } => {
            let nodes = nodes.and_then(|nodes| nodes.parse().ok());
            let options = Options { name: place.name_of_cluster(), nodes, version, port_base };
            let cluster = Cluster::up(&folder, &options, &show).await?;
            print(&cluster.environment(Reach::Balancer)?.to_shell())?;
        }
        Command::Status { format } => {
            let status = open()?.status().await?;
            match format {
                StatusFormat::Table => print(&status.to_string())?,
                StatusFormat::Json => print(&status.to_json()?)?,
            }
            return Ok(if status.is_healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Env { format, nodes } => {
            let environment = open()?.environment(if nodes { Reach::Nodes } else { Reach::Balancer })?;
            print(&match format {
                EnvironmentFormat::Shell => environment.to_shell(),
                EnvironmentFormat::Json => environment.to_json(),
            })?;
        }
        Command::Kill { node } => {
            let cluster = open()?;
            let id = node.find(&cluster).await?;
            cluster.kill(id).await?;
            print(&format!("killed {id}; `up` brings it back\n"))?;
        }
        Command::Stop { node } => {
            let cluster = open()?;
            let id = node.find(&cluster).await?;
            cluster.stop(id).await?;
            print(&format!("stopped {id}; `continue {id}` lets it go on\n"))?;
        }
        Command::Continue { node } => {
            let cluster = open()?;
            let id = node.find(&cluster).await?;
            cluster.continue_(id).await?;
            print(&format!("{id} goes on\n"))?;
        }
        Command::StepDown => {
            let (before, after) = open()?.step_down().await?;
            print(&format!("{before} gave up its place; {after} leads\n"))?;
        }
        Command::Logs { node, lines } => logs(&open()?, node, lines).await?,
        Command::Down { delete_data } => {
            let left = open()?.down(delete_data).await?;
            let text =
                if delete_data { "the cluster is down and its files are removed" } else { "the cluster is down" };
            print(&format!("{text}\n"))?;
            for path in left {
                print(&format!("left, since it is not the cluster's: {}\n", path.display()))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Place {
    fn folder(&self) -> Result<PathBuf> {
        match &self.dir {
            Some(dir) => Ok(dir.clone()),
            None => Cluster::folder_of(self.name.as_deref().unwrap_or(DEFAULT)),
        }
    }

    /// A folder that is named says nothing about the name.
    fn name_of_cluster(&self) -> Option<String> {
        if self.dir.is_some() { None } else { Some(self.name.clone().unwrap_or_else(|| DEFAULT.to_owned())) }
    }
}

impl Which {
    async fn find(self, cluster: &Cluster) -> Result<NodeId> {
        match self {
            Self::Node(id) => Ok(id),
            Self::Leader => cluster.leader().await,
        }
    }
}

/// Progress is for people; what programs read goes to the standard output.
fn show(step: &Step<'_>) {
    let mark = match step.outcome {
        Outcome::Changed => "done",
        Outcome::Unchanged => "ok",
        Outcome::Waiting => "...",
    };
    tell(&format!("{mark:>6}  {:<13}  {}", step.name, step.text));
}

/// Like `eprintln!`, but work that is under way goes on where nobody reads, or the disk is full.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

async fn logs(cluster: &Cluster, node: Option<Which>, lines: usize) -> Result<()> {
    let files = match node {
        Some(which) => vec![cluster.log_file(which.find(cluster).await?)?],
        None => {
            let nodes = cluster.nodes().map(|(id, _)| cluster.log_file(id));
            nodes.chain([Ok(cluster.balancer_log_file())]).collect::<Result<_>>()?
        }
    };
    for file in files {
        let text = last_lines(&file, lines)?;
        print(&format!("==> {} <==\n{text}", file.display()))?;
    }
    Ok(())
}

fn last_lines(path: &Path, lines: usize) -> Result<String> {
    match File::open(path).and_then(|file| end_of(file, lines)) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok("(nothing yet)\n".to_owned()),
        Err(error) => {
            let next = "check who owns it";
            Err(Error::new(format!("could not read {}: {error}", path.display()), next))
        }
    }
}

/// The last lines of a file, which is read from its end: a log may be large.
fn end_of(mut file: impl Read + Seek, lines: usize) -> io::Result<Vec<u8>> {
    const BLOCK: u64 = 64 * 1024;
    let mut start = file.seek(SeekFrom::End(0))?;
    let mut end = Vec::new();
    let begin_of_lines = loop {
        // The line feed at the very end begins no line.
        let feeds = end.iter().enumerate().rev().skip(1).filter(|(_, byte)| **byte == b'\n');
        match feeds.map(|(at, _)| at + 1).nth(lines.saturating_sub(1)) {
            _ if lines == 0 => break end.len(),
            Some(at) => break at,
            None if start == 0 => break 0,
            None => {}
        }
        let length = start.min(BLOCK.max(end.len() as u64));
        start -= length;
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        file.by_ref().take(length).read_to_end(&mut block)?;
        block.append(&mut end);
        end = block;
    };
    let mut text = end.split_off(begin_of_lines);
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    Ok(text)
}

/// Like `print!`, but a reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(format!("could not write the output: {error}"), "see where the output goes"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use std::io::Cursor;

    #[test]
    fn the_last_lines_are_those_of_the_whole_text() {
        let long: String = (0..40_000).map(|number| format!("line {number}\n")).collect();
        for text in ["", "\n", "a", "a\n", "a\nb", "\n\na\n", &long, &format!("{long}{}", "x".repeat(200_000))] {
            let all: Vec<&str> = text.lines().collect();
            for lines in [0, 1, 2, 3, 30_000, 100_000] {
                let last = all.iter().skip(all.len().saturating_sub(lines));
                let expected: String = last.map(|line| format!("{line}\n")).collect();
                let found = end_of(Cursor::new(text), lines).unwrap();
                assert!(found == expected.as_bytes(), "{lines} of {} bytes", text.len());
            }
        }
    }

    #[test]
    fn the_begin_of_a_large_log_is_not_read() {
        /// Counts what is read.
        struct Counted(Cursor<Vec<u8>>, usize);
        impl Read for Counted {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let read = self.0.read(into)?;
                self.1 += read;
                Ok(read)
            }
        }
        impl Seek for Counted {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                self.0.seek(to)
            }
        }
        let mut log = Counted(Cursor::new(b"a line of a log\n".repeat(1_000_000)), 0);
        assert_eq!(end_of(&mut log, 50).unwrap().len(), 50 * 16);
        assert!(log.1 <= 64 * 1024, "{}", log.1);
    }
}
