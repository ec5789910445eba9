//! A real OpenBao cluster on this machine: Raft nodes with TLS behind HAProxy, as in OpenBao's guide for production,
//! made by one call and driven by baokit's own operator API.
//!
//! ```no_run
//! # async fn example() -> ha_cluster::Result<()> {
//! use ha_cluster::{Cluster, Options};
//!
//! let cluster = Cluster::up("/tmp/my-cluster", &Options::default(), &|step| eprintln!("{}", step.text)).await?;
//! let client = cluster.client_builder()?.build()?;
//! let leader = cluster.leader().await?;
//! cluster.kill(leader).await?; // as a crash would
//! client.write("openbao+kv2://secret/app/api#token", "value").await?;
//! cluster.start(leader).await?;
//! cluster.down(true).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The cluster lives in processes of its own and in one folder: it outlives the program that made it, and any other
//! program opens it by its folder. Several clusters run side by side.
//!
//! | file | what it is about |
//! |---|---|
//! | `cluster` | the cluster as a program sees it: clients, faults, down |
//! | `up` | the steps of `up`, in their order |
//! | `nodes` | one node: started, answering, unsealed |
//! | `access` | the engine, the policy and the credential inside the cluster |
//! | `balancer` | HAProxy |
//! | `status` | how everything is |
//! | `environment` | the settings that a client needs |
//! | `folder`, `files`, `state`, `keys` | what lies where, whole or not at all, and for whose eyes |
//! | `server`, `ports`, `pki`, `config`, `process` | programs, ports, certificates, configurations, processes |

mod access;
mod balancer;
mod cluster;
mod config;
mod environment;
mod error;
mod files;
mod folder;
mod keys;
mod node;
mod nodes;
mod pki;
mod ports;
mod process;
mod server;
mod state;
mod status;
mod up;
mod wait;

pub use access::Credentials;
pub use cluster::{Cluster, Reach};
pub use environment::Environment;
pub use error::{Error, Result};
pub use node::NodeId;
pub use process::ProcessState;
pub use status::{BalancerStatus, NodeStatus, Status};
pub use up::{Options, Outcome, Step};
