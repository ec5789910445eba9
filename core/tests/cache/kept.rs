//! Clients that keep what they read, and servers for them.

#![allow(dead_code, clippy::unwrap_used)]

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use baokit_core::config::{CacheConfig, SettingsBuilder};
use baokit_core::http::{FailureKind, Method};
use baokit_core::{Client, Code, Host, Partition, ReadOptions, Result, Secret};

use crate::scenario::{Reply, Seen, World, written};

pub const URI: &str = "openbao+kv2://secret/app#token";
pub const WHOLE: &str = "openbao+kv2://secret/app";
pub const PINNED: &str = "openbao+kv2://secret/app?version=1#token";
pub const LATER: &str = "2026-03-01T00:00:00Z";
pub const TTL: Duration = Duration::from_secs(100);
pub const STALE: Duration = Duration::from_secs(50);
pub const MS: Duration = Duration::from_millis(1);

pub type Answer = fn() -> Reply;
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<Secret>> + 'a>>;

pub fn cached(cache: CacheConfig) -> SettingsBuilder {
    World::settings(1).cache(cache)
}

pub fn client(world: &World) -> Client<World> {
    world.client(cached(CacheConfig::new(TTL)))
}

/// A world whose server can be told what to answer to reads; each answer takes 1 ms.
pub fn told(first: Answer) -> (World, Rc<Cell<Answer>>) {
    let says = Rc::new(Cell::new(first));
    let server = says.clone();
    let world = World::wrapping(move |seen| if is_read(seen) { server.get()() } else { written(2) });
    (world, says)
}

pub fn is_read(seen: &Seen) -> bool {
    seen.method == Method::Get
}

pub fn read(world: &World, client: &Client<World>, uri: &str) -> Result<Secret> {
    world.run(client.read(uri))
}

pub fn read_for(world: &World, client: &Client<World>, who: &str) -> Result<Secret> {
    let options = ReadOptions::new().partition(Partition::new("tenant", who, "purpose", None));
    world.run(client.read_with(URI, options))
}

pub fn version(result: &Result<Secret>) -> u64 {
    result.as_ref().unwrap().version()
}

pub fn code(result: &Result<Secret>) -> Code {
    result.as_ref().unwrap_err().code()
}

pub fn pass(world: &World, duration: Duration) {
    world.run(world.sleep(duration));
}

/// How many reads the server saw.
pub fn reads(world: &World) -> usize {
    world.seen().iter().filter(|seen| is_read(seen)).count()
}

pub fn unreachable() -> Reply {
    Reply::Fail(FailureKind::Connect)
}
