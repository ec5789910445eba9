//! What a client of the cluster needs inside it: a KVv2 engine at `secret`, a policy that allows what baokit does
//! there and nothing else, and an AppRole credential that is kept in `client.json`.

use std::time::Duration;

use baokit::sys::{MountConfig, Role};
use baokit::{Client, Code, SecretValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cluster::Cluster;
use crate::folder::Folder;
use crate::wait::Patience;
use crate::{Error, Result, files};

/// The engine's mount.
pub(crate) const MOUNT: &str = "secret";

/// The name of the policy, and of the role that has it.
const NAME: &str = "crudservice";

/// Where AppRole is mounted.
const APP_ROLE: &str = "approle";

/// How long a token lives at first, and at most with its renewals.
const TOKEN_TTL: Duration = Duration::from_secs(20 * 60);
const TOKEN_MAX_TTL: Duration = Duration::from_secs(4 * 60 * 60);

/// How long a standby may be behind with a mount or a policy: a second, mostly.
const KNOWN: Duration = Duration::from_secs(30);

/// A path that is allowed and that nobody writes.
const PROBE: &str = "ha-cluster/probe";

/// KVv2's paths on the wire. A policy on `secret/*`, as in many guides, allows the engine's settings as well, and one
/// on `secret/app/*` allows nothing at all.
const POLICY: &str = r#"# Written by ha-cluster up; changes are overwritten.

# Read, write, and delete the newest version.
path "secret/data/*" {
  capabilities = ["create", "read", "update", "patch", "delete"]
}

# List, versions, owner and other custom metadata; delete with every version.
path "secret/metadata/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list"]
}

# Delete, bring back and destroy by version.
path "secret/delete/*" {
  capabilities = ["update"]
}

path "secret/undelete/*" {
  capabilities = ["update"]
}

path "secret/destroy/*" {
  capabilities = ["update"]
}
"#;

/// What a client logs in with, by AppRole.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Credentials {
    /// The role id.
    pub role_id: SecretValue,
    /// The secret id.
    pub secret_id: SecretValue,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}

impl Credentials {
    /// The credential in `client.json`; none where there is no such file, or it holds something else.
    pub(crate) fn load(folder: &Folder) -> Result<Option<Self>> {
        let text = files::read(&folder.credentials())?.map(Zeroizing::new);
        let credentials: Option<Self> = text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(credentials.filter(|found| found.role_id.expose_str().is_ok() && found.secret_id.expose_str().is_ok()))
    }

    fn save(&self, folder: &Folder) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map(Zeroizing::new)
            .map_err(|_| Error::new("the client's credential could not be written as JSON", "run `up` again"))?;
        files::replace(&folder.credentials(), text.as_bytes())
    }
}

/// Brings all of it in order; says what was changed.
pub(crate) async fn ensure(cluster: &Cluster) -> Result<Vec<&'static str>> {
    let operator = cluster.operator()?;
    let mut changed = Vec::new();
    if ensure_engine(&operator).await? {
        changed.push("enabled KVv2 at secret");
    }
    if ensure_policy(&operator).await? {
        changed.push("wrote the policy crudservice");
    }
    if ensure_role(&operator).await? {
        changed.push("made the AppRole crudservice");
    }
    if ensure_credentials(cluster, &operator).await? {
        changed.push("made a secret id (client.json)");
    }
    known_everywhere(cluster).await?;
    Ok(changed)
}

async fn ensure_engine(operator: &Client) -> Result<bool> {
    match operator.sys().mounts().await?.get(&format!("{MOUNT}/")) {
        Some(mount) if mount.is_kv2() => Ok(false),
        Some(mount) => Err(Error::new(
            format!("at {MOUNT} an engine of type {} is mounted, which is no KVv2", mount.kind),
            format!("move it elsewhere or disable it (`bao secrets disable {MOUNT}` deletes its content)"),
        )),
        None => {
            operator.sys().enable_mount(MOUNT, &MountConfig::kv2()).await?;
            Ok(true)
        }
    }
}

async fn ensure_policy(operator: &Client) -> Result<bool> {
    match operator.sys().policy(NAME).await {
        Ok(text) if text == POLICY => return Ok(false),
        Err(error) if error.code() != Code::NotFound => return Err(error.into()),
        _ => operator.sys().put_policy(NAME, POLICY).await?,
    }
    Ok(true)
}

async fn ensure_role(operator: &Client) -> Result<bool> {
    let mut changed = false;
    match operator.sys().auths().await?.get(&format!("{APP_ROLE}/")) {
        Some(auth) if auth.kind == APP_ROLE => {}
        Some(auth) => {
            return Err(Error::new(
                format!("at auth/{APP_ROLE} the method {} is mounted, not AppRole", auth.kind),
                format!("disable it (`bao auth disable {APP_ROLE}`), then run `up` again"),
            ));
        }
        None => {
            operator.sys().enable_auth(APP_ROLE, &MountConfig::new(APP_ROLE)).await?;
            changed = true;
        }
    }
    let app_role = operator.sys().app_role(APP_ROLE)?;
    let wanted = Role::new([NAME]).token_ttl(TOKEN_TTL).token_max_ttl(TOKEN_MAX_TTL);
    match app_role.role(NAME).await {
        Ok(role) if role == wanted => {}
        Err(error) if error.code() != Code::NotFound => return Err(error.into()),
        _ => {
            app_role.put_role(NAME, &wanted).await?;
            changed = true;
        }
    }
    Ok(changed)
}

/// Keeps a credential that works: whoever was given it goes on.
async fn ensure_credentials(cluster: &Cluster, operator: &Client) -> Result<bool> {
    if Credentials::load(cluster.folder())?.is_some() {
        match cluster.client_builder()?.build()?.lookup_self().await {
            Ok(_) => return Ok(false),
            Err(error) if error.code() == Code::AuthenticationFailed => {}
            Err(error) => return Err(error.into()),
        }
    }
    let app_role = operator.sys().app_role(APP_ROLE)?;
    let role_id = app_role.role_id(NAME).await?;
    let secret_id = app_role.secret_id(NAME).await?.secret_id;
    Credentials { role_id, secret_id }.save(cluster.folder())?;
    Ok(true)
}

/// Waits until every node knows the engine, the policy and the role: a standby is a moment behind.
async fn known_everywhere(cluster: &Cluster) -> Result<()> {
    let patience = Patience::of(KNOWN);
    for (id, url) in cluster.nodes() {
        let client = cluster.client_builder()?.urls([url]).build()?;
        loop {
            let error = match client.kv2(MOUNT).read(PROBE).await {
                Ok(_) => break,
                Err(error) if error.code() == Code::SecretNotFound => break,
                Err(error) => error,
            };
            if !patience.wait().await {
                let what = format!("{id} did not serve the client's credential {}", patience.within());
                return Err(Error::from(error).during(what));
            }
        }
    }
    Ok(())
}
