//! A deterministic simulator: clients of baokit-core on virtual time, a cluster of dev server models
//! that fails in every way that was measured on real ones, and a checker of everything that happened.
//!
//! One seed is one run. The same seed gives the same run, byte for byte, on every machine.
//!
//! | room | what it is for |
//! |---|---|
//! | `executor` | tasks on virtual time |
//! | `random`, `profile` | all chance there is, and what kind of run a seed makes |
//! | `cluster` | nodes, their log and their leader, and what each does with a request |
//! | `network` | the host that core runs on, and what can happen to a request on its way |
//! | `faults`, `foreign` | what is done to the cluster, and to the keys by another client |
//! | `workload`, `operations`, `rotations`, `watches` | what the clients do |
//! | `history`, `tally` | what happened, and how often |
//! | `checker` | whether it may happen: the table of invariants |
//! | `run` | one seed from its beginning to its verdict |
//! | `campaign`, [`command`] | many seeds, and the command line |

mod campaign;
mod checker;
mod cluster;
pub mod command;
mod executor;
mod faults;
mod foreign;
mod history;
mod network;
mod operations;
mod profile;
mod random;
mod rotations;
mod run;
mod tally;
mod watches;
mod workload;
mod world;

#[cfg(feature = "broken-rules")]
mod variants;

#[cfg(test)]
mod tests;

pub use run::{Plan, Report, run};
pub use tally::Tally;
#[cfg(feature = "broken-rules")]
pub use variants::caught_within;
