//! The simulator's own tests: a judge that sees nothing wrong proves nothing, and neither does a cluster
//! that is kinder than real ones.

mod executor;
mod facts;
mod histories;
mod host;
mod judged;
mod rotation;
mod seeds;
mod transfers;
mod watchers;
