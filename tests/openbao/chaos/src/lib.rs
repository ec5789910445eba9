//! Programs that read, write and rotate on a real cluster while it fails, and a checker that reads the whole history.
//!
//! | file | what it is about |
//! |---|---|
//! | `reads` | each write followed at once by a read: another node, the list of nodes, HAProxy |
//! | `kills` | the leader is killed under load, and how long writes are gone |
//! | `pauses` | the leader sleeps through an election, and wakes |
//! | `outage`, `forward` | nobody answers for a minute; what arrives of it is counted |
//! | `mixed`, `proxy` | faults of every kind, some by toxiproxy |
//! | `peers` | the same with other clients, for comparison |
//! | `load` | the clients that write, rotate and read meanwhile |
//! | `history`, `checker` | what was done and told, and what of it must not be |
//! | `place`, `wire`, `bare` | a cluster for one program; every request that baokit sends; a client without rules |
//! | `figures` | medians |

mod bare;
pub mod checker;
mod figures;
mod forward;
pub mod history;
mod kills;
mod load;
mod mixed;
mod outage;
mod pauses;
mod peers;
mod place;
mod proxy;
mod reads;
mod wire;

use std::fmt;

pub use kills::kills;
pub use mixed::mixed;
pub use outage::{OutageWay, outage};
pub use pauses::pauses;
pub use peers::peers;
pub use place::with_cluster;
pub use reads::reads;

/// What a program found out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What must not be, in words; the first hundred.
    pub violations: Vec<String>,
    /// How many there are.
    pub count: usize,
    /// The last line: the figures.
    pub summary: String,
}

impl Report {
    /// Whether nothing was found that must not be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn violation(&mut self, text: impl fmt::Display) {
        wire::note(format_args!("VIOLATION {text}"));
        say(format_args!("violation: {text}"));
        self.count += 1;
        if self.violations.len() < 100 {
            self.violations.push(text.to_string());
        }
    }
}

/// Progress, on the standard error.
pub(crate) fn say(text: impl fmt::Display) {
    eprintln!("chaos: {text}");
}

/// Keeps what baokit sends in a file, with the faults between the requests.
///
/// # Errors
/// Where the file can't be made.
pub fn log_to(file: &std::path::Path) -> ha_cluster::Result<()> {
    wire::listen(Some(file)).map(drop)
}
