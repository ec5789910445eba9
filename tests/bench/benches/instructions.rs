//! Instructions (Callgrind) and allocations (DHAT) of the steps that every read takes.
//!
//! `tests/bench/run` starts it and compares with the baseline. What a benchmark returns is dropped
//! outside of what is counted.

#![allow(missing_docs, reason = "the macros make public items without documentation")]

use std::hint::black_box;

use baokit_bench::service::{Door, Permitted};
use baokit_bench::{Cached, ESCAPED, LONG, PINNED, TYPICAL, WHOLE, Warm};
use baokit_core::{Result, Secret, SecretUri};
use baokit_service::bearer::Authenticated;
use baokit_service::{Permit, Result as Answer};
use gungraun::{Dhat, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};

/// Parses once before it counts: the first allocation of a size costs whatever the allocator's
/// state makes of it, which depends on the length of paths and arguments.
fn parsed_before(uri: &'static str) -> &'static str {
    drop(black_box(SecretUri::parse(uri)));
    uri
}

#[library_benchmark(setup = parsed_before)]
#[bench::typical(TYPICAL)]
#[bench::pinned(PINNED)]
#[bench::escaped(ESCAPED)]
#[bench::long(LONG)]
fn parse(uri: &str) -> Result<SecretUri> {
    black_box(SecretUri::parse(black_box(uri)))
}

fn warm(uri: &'static str) -> (Warm, &'static str) {
    let client = Warm::new();
    client.load();
    (client, uri)
}

#[library_benchmark]
#[bench::key(args = (TYPICAL), setup = warm)]
#[bench::whole(args = (WHOLE), setup = warm)]
fn read((client, uri): (Warm, &'static str)) -> (Warm, Result<Secret>) {
    let secret = black_box(client.read(black_box(uri)));
    (client, secret)
}

/// A cache of so many secrets, and the URI of one that was read before it counts.
fn cached(entries: usize) -> (Cached, String, SecretUri) {
    let (client, text) = (Cached::new(entries), Cached::uri(entries / 2));
    let uri = SecretUri::parse(&text).expect("it is legal");
    drop((client.read(&text), client.read_uri(&uri)));
    (client, text, uri)
}

#[library_benchmark]
#[bench::of_100(args = (100), setup = cached)]
#[bench::of_100k(args = (100_000), setup = cached)]
fn cached_parsed((client, text, uri): (Cached, String, SecretUri)) -> (Cached, String, SecretUri, Result<Secret>) {
    let secret = black_box(client.read_uri(black_box(&uri)));
    (client, text, uri, secret)
}

#[library_benchmark]
#[bench::of_100(args = (100), setup = cached)]
fn cached_text((client, text, uri): (Cached, String, SecretUri)) -> (Cached, String, SecretUri, Result<Secret>) {
    let secret = black_box(client.read(black_box(&text)));
    (client, text, uri, secret)
}

/// A service that has permitted the typical read before.
fn permitted() -> Permitted {
    let service = Permitted::new(TYPICAL);
    drop((service.known(TYPICAL), service.shown(TYPICAL)));
    service
}

#[library_benchmark]
#[bench::known(setup = permitted)]
fn enforce(service: Permitted) -> (Permitted, (Answer<Permit>, String)) {
    let permit = black_box(service.known(black_box(TYPICAL)));
    (service, permit)
}

#[library_benchmark]
#[bench::shown(setup = permitted)]
fn enforce_token(service: Permitted) -> (Permitted, (Answer<Permit>, String)) {
    let permit = black_box(service.shown(black_box(TYPICAL)));
    (service, permit)
}

#[library_benchmark]
#[bench::cached(args = ("ES256"), setup = Door::new)]
fn token(door: Door) -> (Door, Answer<Authenticated>) {
    let caller = black_box(door.cached());
    (door, caller)
}

#[library_benchmark]
#[bench::es256(args = ("ES256"), setup = Door::new)]
#[bench::rs256(args = ("RS256"), setup = Door::new)]
#[bench::eddsa(args = ("EdDSA"), setup = Door::new)]
fn new_token(door: Door) -> (Door, Answer<Authenticated>) {
    let caller = black_box(door.first());
    (door, caller)
}

library_benchmark_group!(name = core; benchmarks = parse, read, cached_parsed, cached_text);
library_benchmark_group!(name = service; benchmarks = enforce, enforce_token, token, new_token);

main!(
    config = LibraryBenchmarkConfig::default().tool(Dhat::default());
    library_benchmark_groups = core, service
);
