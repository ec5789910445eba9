//! The command line: reads arguments, runs one program, prints its figures. It ends with 0 where nothing was found that
//! must not be, 1 where something was or where the program could not run, 2 for wrong arguments.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use baokit_openbao::Version;
use chaos::{OutageWay, Report};
use clap::{Parser, Subcommand, ValueEnum};
use ha_cluster::{Error, Result};

/// Uses baokit on a real cluster while it fails, and checks all it did.
#[derive(Parser)]
#[command(name = "chaos", after_help = AFTER)]
struct Cli {
    /// The version of OpenBao
    #[arg(long, global = true, default_value = "2.7.2", value_parser = version)]
    version: Version,
    /// Keep every request of baokit, with the faults between them, in this file
    #[arg(long, global = true)]
    log: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
Each makes a cluster of three nodes behind HAProxy in a temporary folder and removes it. Progress is on the standard \
error, the last line with the figures on the standard output. The exit status is 0 where nothing was found that must \
not be, 1 where something was or the program could not run, and 2 for wrong arguments.";

#[derive(Subcommand)]
enum Command {
    /// Each write followed at once by a read, in four ways
    Reads {
        /// How many writes in each way
        #[arg(long, default_value_t = 1000)]
        writes: u64,
    },
    /// The leader is killed (SIGKILL) under load, again and again
    Kills {
        /// How many kills
        #[arg(long, default_value_t = 100)]
        kills: usize,
    },
    /// The leader is stopped until another is elected, then goes on
    Pauses {
        /// How many pauses
        #[arg(long, default_value_t = 20)]
        pauses: usize,
    },
    /// Faults of every kind, one after the other: killed, stopped, stepped down, sealed, cut off, slowed
    Mixed {
        /// For how many minutes
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
    },
    /// The same loop with hvac and with the crate vaultrs, printed beside baokit's figures
    Peers {
        /// How many writes, each followed by a read by way of another node
        #[arg(long, default_value_t = 300)]
        writes: u64,
    },
    /// Nobody answers for a while, and operations are begun all the same
    Outage {
        /// How long
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// How many operations are begun in a second, half of them by each of two clients
        #[arg(long, default_value_t = 100)]
        rate: u64,
        /// What happens to the nodes; one outage for each
        #[arg(long, value_enum, value_delimiter = ',', default_values = ["stopped", "killed"])]
        ways: Vec<Way>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    /// All are stopped: they accept and never answer
    Stopped,
    /// All are killed
    Killed,
    /// The network swallows everything
    Cut,
}

impl From<Way> for OutageWay {
    fn from(way: Way) -> Self {
        match way {
            Way::Stopped => Self::Stopped,
            Way::Killed => Self::Killed,
            Way::Cut => Self::Cut,
        }
    }
}

fn version(text: &str) -> Result<Version, String> {
    let known = Version::ALL.into_iter().find(|version| version.as_str() == text);
    known.ok_or_else(|| format!("there are {}", Version::ALL.map(Version::as_str).join(" and ")))
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(report) => {
            println!("{}", report.summary);
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<Report> {
    if let Some(file) = &cli.log {
        chaos::log_to(file)?;
    }
    chaos::with_cluster(cli.version, async |cluster| match cli.command {
        Command::Reads { writes } => chaos::reads(cluster, writes).await,
        Command::Kills { kills } => chaos::kills(cluster, kills).await,
        Command::Pauses { pauses } => chaos::pauses(cluster, pauses).await,
        Command::Mixed { minutes } => {
            let length = Duration::try_from_secs_f64(minutes * 60.0);
            let length =
                length.map_err(|_| Error::new("--minutes is no length of time", "give a number, as in 0.5"))?;
            chaos::mixed(cluster, length).await
        }
        Command::Peers { writes } => chaos::peers(cluster, writes).await,
        Command::Outage { seconds, rate, ways } => {
            let ways: Vec<_> = ways.into_iter().map(OutageWay::from).collect();
            chaos::outage(cluster, seconds, rate, &ways).await
        }
    })
    .await
}
