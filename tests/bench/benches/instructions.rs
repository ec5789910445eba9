//! Instructions (Callgrind) and allocations (DHAT) of the steps that every read takes.
//!
//! `tests/bench/run` starts it and compares with the baseline. What a benchmark returns is dropped
//! outside of what is counted.

#![allow(missing_docs, reason = "the macros make public items without documentation")]

use std::hint::black_box;

use baokit_bench::{Cached, ESCAPED, LONG, PINNED, TYPICAL, WHOLE, Warm};
use baokit_core::{Result, Secret, SecretUri};
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

library_benchmark_group!(name = core; benchmarks = parse, read, cached_parsed, cached_text);

main!(
    config = LibraryBenchmarkConfig::default().tool(Dhat::default());
    library_benchmark_groups = core
);
