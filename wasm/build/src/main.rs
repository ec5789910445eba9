//! Builds the npm package `baokit` into a folder:
//!
//! ```sh
//! npm ci --prefix wasm            # binaryen's wasm-opt
//! cargo run -p baokit-wasm-build  # wasm/npm and the modules, ready for npm pack, in target/npm
//! ```
//!
//! cargo compiles the two modules, wasm-bindgen writes their glue, wasm-opt makes them small. The
//! rest of the package is copied from `wasm/npm` as it is, but for the version and the type of error
//! codes, which come from the workspace and from core's table.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use baokit_core::Code;
use wasm_bindgen_cli_support::Bindgen;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HELP: &str = "usage: baokit-wasm-build [FOLDER]   (target/npm where none is named)";
const TARGET: &str = "wasm32-unknown-unknown";
/// See the workspace's Cargo.toml.
const PROFILE: &str = "wasm-release";
/// The crates, and what their modules are called in the package.
const MODULES: [(&str, &str); 2] = [("baokit-wasm", "baokit"), ("baokit-wasm-testing", "testing")];
/// What the modules may use: what every runtime of the last years has.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Found by trying what gives the smallest module after brotli; none of them changes what it does.
/// (Rust keeps the lowest addresses for the end of its stack, so no data lies there.)
const SHRINK: [&str; 10] = [
    "--strip-debug",
    "--strip-producers",
    "--strip-target-features",
    "--low-memory-unused",
    "--generate-global-effects",
    "--flatten",
    "--rereloop",
    "-Oz",
    "-Oz",
    "--reorder-functions",
];

fn main() -> ExitCode {
    let argument = env::args().nth(1);
    if argument.as_deref().is_some_and(|argument| argument.starts_with('-')) {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match build(argument.map(PathBuf::from)) {
        Ok(folder) => {
            println!("{}", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("baokit-wasm-build: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build(folder: Option<PathBuf>) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let built = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = folder.unwrap_or_else(|| built.join("npm"));
    if folder.exists() {
        // Only what an earlier run made is replaced.
        if !folder.join("package.json").exists() {
            return Err(format!("{} is no earlier package; name another folder", folder.display()).into());
        }
        fs::remove_dir_all(&folder)?;
    }
    copy(&root.join("wasm/npm"), &folder)?;
    for file in ["LICENSE-APACHE", "LICENSE-MIT", "wasm/README.md"] {
        let source = root.join(file);
        let name = source.file_name().ok_or("a file without a name")?;
        fs::copy(&source, folder.join(name))?;
    }
    let package = fs::read_to_string(folder.join("package.json"))?;
    fs::write(folder.join("package.json"), package.replace("0.0.0", env!("CARGO_PKG_VERSION")))?;
    fs::write(folder.join("codes.d.ts"), codes())?;

    let glue = folder.join("wasm");
    fs::create_dir_all(&glue)?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&root).args(["build", "--locked", "--lib", "--profile", PROFILE, "--target", TARGET]);
    // Where the sources lay on the machine that built it is nobody's business.
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let mut flags: Vec<_> = home.iter().flat_map(|home| sources(home)).collect();
    flags.push(format!("--remap-path-prefix={}/=", root.display()));
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    run(cargo.args(MODULES.iter().flat_map(|(name, _)| ["-p", name])))?;
    for (name, module) in MODULES {
        let compiled = built.join(TARGET).join(PROFILE).join(name.replace('-', "_")).with_extension("wasm");
        let mut bindgen = Bindgen::new();
        // Without a default path, since each entry of the package loads the module in its own way.
        bindgen.input_path(compiled).out_name(module).web(true)?.omit_default_module_path(true);
        bindgen.typescript(false).remove_name_section(true).remove_producers_section(true).generate(&glue)?;
        shrink(&root, &glue.join(format!("{module}_bg.wasm")))?;
    }
    Ok(folder)
}

/// Flags that cut the registry's folder off the paths of its crates.
fn sources(home: &Path) -> Vec<String> {
    let folders = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    folders.map(|folder| format!("--remap-path-prefix={}/=", folder.path().display())).collect()
}

fn shrink(root: &Path, module: &Path) -> Result<()> {
    let tool = root.join("wasm/node_modules/binaryen/bin/wasm-opt");
    if !tool.exists() {
        return Err("wasm-opt is missing: npm ci --prefix wasm".into());
    }
    let before = fs::metadata(module)?.len();
    let mut command = Command::new("node");
    run(command.arg(tool).args(FEATURES).args(SHRINK).arg(module).arg("-o").arg(module))?;
    println!("{}: {before} → {} bytes", module.display(), fs::metadata(module)?.len());
    Ok(())
}

/// The codes as a type of TypeScript, each with its advice.
fn codes() -> String {
    let mut text = String::from("// Made by baokit-wasm-build from the table of codes in core/src/error.rs.\n");
    text.push_str("export type Code =\n");
    for code in Code::ALL {
        let (family, status) = (code.family().as_str(), code.http_status());
        // Writing to a string does not fail.
        let _ = writeln!(text, "  /** {family}, {status}: {} */\n  | \"{code}\"", code.advice());
    }
    text.push_str("  ;\n");
    text
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
