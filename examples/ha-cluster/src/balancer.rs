//! HAProxy before the nodes: found, started, and seen to serve.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::process::ProcessState;
use crate::wait::Patience;
use crate::{Error, Result, config, files, ports, server};

/// How long HAProxy may take until a node answers through it.
const READY: Duration = Duration::from_secs(10);

/// Where Debian and others keep it, which is not on every user's `PATH`.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The program: `HAPROXY_BIN`, else on `PATH`, else where systems keep it.
fn find() -> Result<PathBuf> {
    let next = "install the package haproxy (apt-get install haproxy, brew install haproxy), or name the program with \
                HAPROXY_BIN, then run `up` again; the nodes run meanwhile, and `env --nodes` names them";
    if let Some(named) = env::var_os("HAPROXY_BIN").filter(|named| !named.is_empty()) {
        let program = Path::new(&named);
        return program
            .canonicalize()
            .ok()
            .filter(|program| program.is_file())
            .ok_or_else(|| Error::new(format!("HAPROXY_BIN names {}, which is no file", program.display()), next));
    }
    let kept = SYSTEM_FOLDERS.iter().map(|folder| Path::new(folder).join("haproxy")).filter(|path| path.is_file());
    let found = server::on_path("haproxy").into_iter().chain(kept).next();
    found.ok_or_else(|| Error::new("HAProxy, the load balancer, is not installed", next))
}

/// Brings HAProxy to serving; says what was done, nothing where it was right already.
pub(crate) async fn ensure(cluster: &Cluster, restart: bool) -> Result<Option<&'static str>> {
    let service = cluster.balancer();
    let config = cluster.folder().balancer_config();
    let text = config::balancer(cluster.folder(), cluster.state());
    let mut state = service.find()?.state();
    if state != ProcessState::Down && (restart || files::read(&config)?.as_ref() != Some(&text)) {
        // Ended before its configuration changes, so that a running one always has the one in the file.
        service.ensure_down().await?;
        state = ProcessState::Down;
    }
    files::bring_to(&config, &text)?;
    let mut done = match state {
        ProcessState::Running => None,
        ProcessState::Stopped => {
            service.resume().await?;
            Some("continued, it was stopped")
        }
        ProcessState::Down => {
            start(cluster).await?;
            Some("started")
        }
    };
    if done.is_none() && !serves(cluster).await? {
        service.ensure_down().await?;
        start(cluster).await?;
        done = Some("started anew, since nothing came through it");
    } else if done.is_some() && !serves(cluster).await? {
        return Err(Error::new(
            format!("no node answers through HAProxy within {} s; {}", READY.as_secs(), service.last_words()),
            "see what the log says and whether the nodes are up (`status`), then run `up` again",
        ));
    }
    Ok(done)
}

async fn start(cluster: &Cluster) -> Result<()> {
    let program = find()?;
    ports::check(cluster.state().balancer_port, "haproxy")?;
    cluster.balancer().start(&program)
}

/// Waits until a node answers through it; false where none does, or it ended.
async fn serves(cluster: &Cluster) -> Result<bool> {
    let client = cluster.probe([cluster.balancer_url()])?;
    let patience = Patience::of(READY);
    while client.sys().health().await.is_err() {
        if !patience.wait().await {
            return Ok(false);
        }
    }
    Ok(true)
}
