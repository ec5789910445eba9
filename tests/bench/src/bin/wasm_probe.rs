//! A program that uses core from the text of a URI to a secret, over a host without a world.
//!
//! `tests/run wasm-core` builds it for wasm32-unknown-unknown and looks at what the module imports:
//! core must ask its surroundings for nothing. It also runs it natively, so that what is linked is
//! known to work. It stands here, and not among core's examples, since those are built with core's
//! development dependencies, which do not exist for wasm.

use baokit_bench::{TYPICAL, Warm};
use baokit_core::{Result, SecretUri};

fn main() -> Result<()> {
    let uri = SecretUri::parse(TYPICAL)?;
    let client = Warm::new();
    client.load();
    let secret = client.read(TYPICAL)?;
    println!("{uri}: {} bytes", secret.expose_str()?.len());
    Ok(())
}
