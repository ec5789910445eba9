//! Runs seeds, and says whether clients ever did what they must not: see `--help`.

fn main() -> std::process::ExitCode {
    simulation::command::main(std::env::args().skip(1))
}
