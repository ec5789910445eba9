//! Finds the OpenBao server: `BAO_BIN`, then `PATH`, then the copy that `tests/openbao/fetch` put in place; always one
//! that really is of the version that is asked for.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::{Error, Result};

/// How long a program may take to say its version: it is large, and the disk may be cold.
const LIMIT: Duration = Duration::from_secs(20);

/// A program and what it says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub program: PathBuf,
    pub version: String,
}

/// The server of this version, or any where none is asked for. `known` is where it was found before.
///
/// `BAO_BIN` is an order: where it is set, nothing else is looked at, and it must fit.
pub(crate) async fn find(version: Option<&str>, known: Option<&Path>) -> Result<Server> {
    let wanted = version.map_or("OpenBao".to_owned(), |version| format!("OpenBao {version}"));
    if let Some(named) = env::var_os("BAO_BIN").filter(|named| !named.is_empty()) {
        let next = "let BAO_BIN name the program `bao` of that version, or unset it";
        let found = ask(Path::new(&named)).await.map_err(|reason| {
            Error::new(format!("BAO_BIN names {}, which is no OpenBao: {reason}", Path::new(&named).display()), next)
        })?;
        return if version.is_none_or(|version| version == found.version) {
            Ok(found)
        } else {
            Err(Error::new(format!("BAO_BIN names OpenBao {}, and {wanted} is needed", found.version), next))
        };
    }
    let mut seen = Vec::new();
    for program in known.map(Path::to_owned).into_iter().chain(on_path("bao")).chain(fetched()) {
        match ask(&program).await {
            Ok(found) if version.is_none_or(|version| version == found.version) => return Ok(found),
            Ok(found) => seen.push(format!("{} is {}", found.program.display(), found.version)),
            Err(reason) => seen.push(format!("{}: {reason}", program.display())),
        }
    }
    let seen = if seen.is_empty() { String::new() } else { format!(" ({})", seen.join("; ")) };
    Err(Error::new(
        format!("{wanted} was not found on PATH, nor where tests/openbao/fetch puts it{seen}"),
        "run tests/openbao/fetch in baokit's repository, or name the program with BAO_BIN",
    ))
}

/// Asks a program for its version; the reason where it says none.
async fn ask(program: &Path) -> Result<Server, String> {
    let program = program.canonicalize().map_err(|error| error.to_string())?;
    let run = Command::new(&program)
        .arg("version")
        .env_clear()
        .env("PATH", crate::process::PATH)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match timeout(LIMIT, run).await {
        Err(_) => return Err(format!("`version` did not end within {} s", LIMIT.as_secs())),
        Ok(Err(error)) => return Err(error.to_string()),
        Ok(Ok(output)) => output,
    };
    let version = parse_version(&String::from_utf8_lossy(&output.stdout));
    version.map(|version| Server { program, version }).ok_or_else(|| "`version` names no version of OpenBao".to_owned())
}

/// `OpenBao v2.7.2 (…), built …` → `2.7.2`.
fn parse_version(text: &str) -> Option<String> {
    let version = text.strip_prefix("OpenBao v")?.split_whitespace().next()?;
    let plain = version.starts_with(|c: char| c.is_ascii_digit())
        && version.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'));
    plain.then(|| version.to_owned())
}

/// The programs of this name in the folders of `PATH`.
pub(crate) fn on_path(name: &str) -> Vec<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .filter(|program| program.is_file())
        .collect()
}

/// The copies of tests/openbao, the newest first.
fn fetched() -> Vec<PathBuf> {
    // BAO_BIN, which it looks at as well, is unset or empty here.
    baokit_openbao::Version::ALL.iter().filter_map(|version| version.binary().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_where_it_is_one() {
        let real = "OpenBao v2.7.2 (9e0a0d3c3504a0a00b45e61355afac5e35c78379), committed 2026-10-26T20:32:27Z\n";
        assert_eq!(parse_version(real).as_deref(), Some("2.7.2"));
        assert_eq!(parse_version("OpenBao v2.8.0-beta1\n").as_deref(), Some("2.8.0-beta1"));
        for wrong in ["", "Vault v1.14.0 (x)", "OpenBao v", "OpenBao vx", "OpenBao v2;rm"] {
            assert_eq!(parse_version(wrong), None, "{wrong}");
        }
    }
}
