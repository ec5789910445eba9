//! The write loop of tests/openbao/chaos with the crate vaultrs, as its documentation shows its use: one client for each
//! node, taken in turn, with nothing added.
//!
//! Each value is written once by way of one node, and read at once by way of the next. Prints a line for each:
//! `wrote PATH VALUE VERSION`, `failed PATH VALUE`, `read PATH WANTED FOUND`, `missing PATH WANTED`, `unread PATH WANTED`.
//! Ends after `COUNT` rounds, or when the reader of its output goes away.

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::time::Duration;
use std::{env, io};

use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::kv2;

/// How many versions a secret gets before the next one is begun.
const ROUNDS: u64 = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    rustls::crypto::ring::default_provider().install_default().map_err(|_| "another provider is installed")?;
    let (count, rest): (u64, u64) = (env::var("COUNT")?.parse()?, env::var("REST_MS")?.parse()?);
    let (mount, token, ca) = (env::var("MOUNT")?, env::var("TOKEN")?, env::var("CACERT")?);
    // Where it writes.
    let run = env::var("RUN")?;
    let mut clients = Vec::new();
    for url in env::var("URLS")?.split(',') {
        let mut settings = VaultClientSettingsBuilder::default();
        settings.address(url).token(&token).ca_certs(vec![ca.clone()]).timeout(Some(Duration::from_secs(5)));
        clients.push(VaultClient::new(settings.build()?)?);
    }
    let mut out = io::stdout();
    for number in 0..count {
        let (path, value) = (format!("peers/{run}/{}", number / ROUNDS), number.to_string());
        let at = |offset: u64| clients.get(((number + offset) % clients.len() as u64) as usize).ok_or("no nodes");
        let data = HashMap::from([("v", value.as_str())]);
        match kv2::set(at(0)?, &mount, &path, &data).await {
            Ok(made) => {
                writeln!(out, "wrote {path} {value} {}", made.version)?;
                match kv2::read::<HashMap<String, String>>(at(1)?, &mount, &path).await {
                    Ok(found) => writeln!(out, "read {path} {value} {}", found.get("v").map_or("-", String::as_str))?,
                    Err(ClientError::APIError { code: 404, .. }) => writeln!(out, "missing {path} {value}")?,
                    Err(_) => writeln!(out, "unread {path} {value}")?,
                }
            }
            Err(_) => writeln!(out, "failed {path} {value}")?,
        }
        out.flush()?;
        tokio::time::sleep(Duration::from_millis(rest)).await;
    }
    Ok(())
}
