//! The times of the same steps: figures to look at, on this machine and at this moment, never a
//! verdict. `tests/bench/run --times` starts it.

use std::fmt;

use baokit_bench::service::{Door, Permitted};
use baokit_bench::{ESCAPED, LONG, PINNED, TYPICAL, WHOLE, Warm};
use baokit_core::{Result, Secret, SecretUri};
use divan::{Bencher, black_box};

/// A URI under the name that the instruction counts give it.
#[derive(Clone, Copy)]
struct Case(&'static str, &'static str);

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

fn main() {
    divan::main();
}

#[divan::bench(sample_size = 1000, args = [
    Case("typical", TYPICAL), Case("pinned", PINNED), Case("escaped", ESCAPED), Case("long", LONG),
])]
fn parse(case: Case) -> Result<SecretUri> {
    SecretUri::parse(black_box(case.1))
}

#[divan::bench(sample_size = 100, args = [Case("key", TYPICAL), Case("whole", WHOLE)])]
fn read(bencher: Bencher, case: Case) {
    let client = Warm::new();
    bencher.with_inputs(|| client.load()).bench_local_values(|()| -> Result<Secret> { client.read(black_box(case.1)) });
}

/// From the text of a URI to the permit by a grant, and the reference for the record: for a caller whom the host knows.
#[divan::bench(sample_size = 1000)]
fn enforce_known(bencher: Bencher) {
    let service = Permitted::new(TYPICAL);
    bencher.bench_local(|| service.known(black_box(TYPICAL)));
}

/// The same for a token that is shown once more.
#[divan::bench(sample_size = 1000)]
fn enforce_shown(bencher: Bencher) {
    let service = Permitted::new(TYPICAL);
    bencher.bench_local(|| service.shown(black_box(TYPICAL)));
}

#[divan::bench(sample_size = 100, args = ["ES256", "RS256", "EdDSA"])]
fn token_cached(bencher: Bencher, algorithm: &str) {
    let door = Door::new(algorithm);
    bencher.bench_local(|| door.cached());
}

#[divan::bench(sample_count = 50, sample_size = 1, args = ["ES256", "RS256", "EdDSA"])]
fn token_new(bencher: Bencher, algorithm: &str) {
    bencher.with_inputs(|| Door::new(algorithm)).bench_local_values(|door| (door.first(), door).0);
}
