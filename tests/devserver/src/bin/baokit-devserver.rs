//! The dev server as a program: starts it, says where it is, and runs until it is stopped.

use baokit_devserver::DevServer;
use std::process::ExitCode;

const HELP: &str = "\
An OpenBao-compatible server in memory, for tests. It protects nothing.

usage: baokit-devserver [--port N] [--root-token TOKEN]

  --port N             the port on 127.0.0.1; a free one if not given
  --root-token TOKEN   the root token; `root` if not given
  --help               this text";

fn main() -> ExitCode {
    let mut builder = DevServer::builder();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().filter(|value| !value.is_empty());
        builder = match argument.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            "--port" => match value().and_then(|port| port.parse().ok()) {
                Some(port) => builder.port(port),
                None => return wrong("--port needs a number from 0 to 65535"),
            },
            "--root-token" => match value() {
                Some(token) => builder.root_token(token),
                None => return wrong("--root-token needs a value"),
            },
            other => return wrong(&format!("unknown argument {other:?}")),
        };
    }
    let server = match builder.start_blocking() {
        Ok(server) => server,
        Err(error) => return wrong(&format!("can't listen: {error}")),
    };
    println!("listening on {}", server.url());
    loop {
        std::thread::park();
    }
}

fn wrong(text: &str) -> ExitCode {
    eprintln!("baokit-devserver: {text}");
    ExitCode::from(2)
}
