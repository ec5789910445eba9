//! The flow server as a program: one run of one face over the control API, then the report.

use std::process::ExitCode;

use baokit_vectors::Suite;
use baokit_vectors::control::Control;
use tokio::io::AsyncReadExt;

const HELP: &str = "\
Plays the vectors of tests/vectors to a face of baokit and keeps the tally.

usage: flow-server [--face NAME] [--report FILE] [--watch-stdin]

  --face NAME      the name in the table and the report; `face` if not given
  --report FILE    where the tally goes as JSON when the run is over
  --watch-stdin    ends the run when stdin is closed, so that it does not outlive who started it
  --help           this text

The first line on stdout is `listening http://127.0.0.1:PORT`. The run ends with POST /end, SIGTERM,
or five minutes without a request; the exit status is 0 if every case passed or was skipped.";

#[derive(Default)]
struct Options {
    face: Option<String>,
    report: Option<String>,
    watch_stdin: bool,
}

fn main() -> ExitCode {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().filter(|value| !value.is_empty());
        match argument.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            "--watch-stdin" => options.watch_stdin = true,
            "--face" => match value() {
                Some(face) => options.face = Some(face),
                None => return wrong("--face needs a value"),
            },
            "--report" => match value() {
                Some(file) => options.report = Some(file),
                None => return wrong("--report needs a value"),
            },
            other => return wrong(&format!("unknown argument {other:?}")),
        }
    }
    match run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => wrong(&text),
    }
}

fn wrong(text: &str) -> ExitCode {
    eprintln!("flow-server: {text}");
    ExitCode::from(2)
}

fn run(options: Options) -> Result<bool, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let suite = Suite::load(options.face.unwrap_or_else(|| "face".to_owned()))?;
    let good = runtime.block_on(async {
        let control = Control::bind(suite).await.map_err(|error| format!("can't listen: {error}"))?;
        let address = control.address().map_err(|error| format!("can't listen: {error}"))?;
        println!("listening http://{address}");
        control.serve(stop(options.watch_stdin)).await;
        let suite = control.suite();
        eprint!("{}", suite.table());
        if let Some(file) = options.report {
            std::fs::write(&file, format!("{:#}\n", suite.tally())).map_err(|error| format!("{file}: {error}"))?;
        }
        Ok(suite.is_good())
    });
    // A read of stdin that is still under way can't be cancelled.
    runtime.shutdown_background();
    good
}

/// Done when somebody wants the run to end.
async fn stop(watch_stdin: bool) {
    tokio::select! {
        () = terminated() => {}
        () = stdin_closed(), if watch_stdin => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        // Without it, the program just ends without a report.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn stdin_closed() {
    let mut stdin = tokio::io::stdin();
    let mut bytes = [0; 256];
    while let Ok(1..) = stdin.read(&mut bytes).await {}
}
