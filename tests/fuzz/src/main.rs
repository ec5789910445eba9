//! The program that libFuzzer drives. `tests/fuzz/run` builds it, and says by `FUZZ_TARGET` what is to be fuzzed.

#![no_main]

use std::sync::OnceLock;

use baokit_fuzz::{Judged, Target, target};
use libfuzzer_sys::{Corpus, fuzz_target};

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let Some(found) = target(&name) else { panic!("FUZZ_TARGET is {name:?}, which is no target") };
        let _ = TARGET.set(found);
    },
    |data: &[u8]| -> Corpus {
        let Some(target) = TARGET.get() else { panic!("nothing was chosen") };
        match target(data) {
            Judged::Worth => Corpus::Keep,
            Judged::NoInput => Corpus::Reject,
        }
    }
);
