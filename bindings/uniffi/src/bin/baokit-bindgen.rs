//! Generates the Kotlin and Swift sources from the built library, so that nobody has to install a
//! generator: `cargo run -p baokit-uniffi --features cli --bin baokit-bindgen -- generate --help`.

fn main() {
    uniffi::uniffi_bindgen_main();
}
