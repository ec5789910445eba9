//! What the cache costs: the time of a read that it answers, of a few secrets and of many, and the memory
//! of each secret. Figures to look at, never a verdict; `tests/bench/run --times` starts it.

#![allow(missing_docs, reason = "it is a program")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use baokit_bench::{Cached, DATA};
use baokit_core::SecretUri;

const FEW: usize = 100;
const MANY: usize = 100_000;
/// Reads in one sample.
const READS: usize = 5_000;
/// The best of so many samples counts: whatever else runs on the machine only adds.
const SAMPLES: usize = 60;

/// The bytes that are allocated, as they were asked for.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator can't be written without; it hands everything on to the system's")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The nanoseconds of one read, of these keys in turn.
fn sample<T>(keys: &[T], read: impl Fn(&T)) -> f64 {
    let start = Instant::now();
    keys.iter().cycle().take(READS).for_each(read);
    start.elapsed().as_nanos() as f64 / READS as f64
}

/// The best of several samples in each of two caches, taken in turn, so that both have the same weather.
fn compare<T>(caches: [(&Cached, &[T]); 2], read: impl Fn(&Cached, &T)) -> [f64; 2] {
    let mut best = [f64::MAX; 2];
    for _ in 0..SAMPLES {
        for (best, (cache, keys)) in best.iter_mut().zip(caches) {
            *best = best.min(sample(keys, |key| read(cache, key)));
        }
    }
    best
}

fn uris(places: impl Iterator<Item = usize>) -> (Vec<String>, Vec<SecretUri>) {
    let texts: Vec<_> = places.map(Cached::uri).collect();
    let parsed = texts.iter().map(|text| SecretUri::parse(text).expect("it is legal")).collect();
    (texts, parsed)
}

fn row(name: &str, [few, many]: [f64; 2]) {
    println!("{name:<44}{few:>10.0} ns{many:>14.0} ns{:>10.2}", many / few);
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // A test of all targets only wants to see it compile.
        return;
    }
    let few = Cached::new(FEW);
    let before = ALLOCATED.load(Ordering::Relaxed);
    let many = Cached::new(MANY);
    let bytes = (ALLOCATED.load(Ordering::Relaxed) - before) as f64 / MANY as f64;
    println!("each of {MANY} cached secrets takes {:.0} bytes beyond its {DATA} bytes of data", bytes - DATA as f64);

    let (texts, parsed) = uris(0..FEW);
    println!("\n{:<44}{:>10}{:>18}{:>13}", "a cached read", "of 100", "of 100,000", "ratio");
    // The same 100 in both: what a program reads again and again, among all that it has ever read.
    let from_parsed = |cache: &Cached, uri: &SecretUri| drop(black_box(cache.read_uri(uri)));
    row("100 secrets in turn, from parsed URIs", compare([(&few, &parsed[..]), (&many, &parsed[..])], from_parsed));
    let from_text = |cache: &Cached, text: &String| drop(black_box(cache.read(text)));
    row("100 secrets in turn, from text", compare([(&few, &texts[..]), (&many, &texts[..])], from_text));
    // What follows does not fit into the processor's caches: it is the memory that gets slower.
    let (_, spread) = uris((0..FEW).map(|place| place * (MANY / FEW)));
    row("100 spread over all", compare([(&few, &parsed[..]), (&many, &spread[..])], from_parsed));
    let (_, all) = uris((0..READS).map(|place| place * 7919 % MANY));
    row("5,000 far apart", compare([(&few, &parsed[..]), (&many, &all[..])], from_parsed));
}
