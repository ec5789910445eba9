//! The client: one call of the native client behind each function.

use std::collections::HashMap;
use std::fmt;

use baokit::{Error, Settings, SettingsBuilder};
use baokit_core::config::Options;
use zeroize::Zeroizing;

use crate::error::Result;
use crate::secret::{Secret, SecretValue};
use crate::uri::SecretPrefix;
use crate::value::Value;

/// A write or rotation that was carried out.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Change {
    /// The version that was the newest before, 0 where there was none.
    pub old_version: u64,
    /// The version that was made.
    pub new_version: u64,
}

impl From<baokit::Change> for Change {
    fn from(change: baokit::Change) -> Self {
        Self { old_version: change.old_version, new_version: change.new_version }
    }
}

/// One version of a secret, without its data.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Version {
    /// Its number, counted from 1.
    pub version: u64,
    /// When it was written: RFC 3339 in UTC.
    pub created_time: String,
    /// When it was deleted, where it was.
    pub deletion_time: Option<String>,
    /// Whether its data is gone for good.
    pub destroyed: bool,
}

/// The versions of a secret, oldest first. Printing it leaves `custom_metadata` out.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Display)]
pub struct Versions {
    /// The newest version.
    pub current_version: u64,
    /// All that OpenBao still knows.
    pub versions: Vec<Version>,
    /// The key's `custom_metadata`.
    pub custom_metadata: HashMap<String, String>,
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Versions(current_version={}, versions={:?}, …)", self.current_version, self.versions)
    }
}

impl From<baokit::Versions> for Versions {
    fn from(versions: baokit::Versions) -> Self {
        let version = |version: &baokit::Version| Version {
            version: version.version(),
            created_time: version.created_time().to_owned(),
            deletion_time: version.deletion_time().map(str::to_owned),
            destroyed: version.is_destroyed(),
        };
        Self {
            current_version: versions.current_version(),
            versions: versions.versions().iter().map(version).collect(),
            custom_metadata: versions.custom_metadata().clone().into_iter().collect(),
        }
    }
}

/// A write below the level of URIs that was carried out.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Written {
    /// The version that was made.
    pub version: u64,
    /// When: RFC 3339 in UTC, by the server's clock.
    pub created_time: String,
}

/// What OpenBao says of the client's own token.
#[derive(Clone, Debug, uniffi::Record)]
pub struct TokenInfo {
    /// The accessor: it names the token without being one.
    pub accessor: String,
    /// The names of the token's policies.
    pub policies: Vec<String>,
    /// Seconds that are left, 0 for a token without an end.
    pub ttl: u64,
    /// Whether the token can be renewed.
    pub renewable: bool,
    /// How many uses are left, 0 for a token without such a limit.
    pub num_uses: u64,
}

/// A token's lease after a renewal.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Renewal {
    /// Seconds that the token lives from now, 0 for a token without an end.
    pub lease_duration: u64,
    /// Whether it can be renewed once more.
    pub renewable: bool,
}

/// The settings that an environment comes to, without the credential and without a client.
#[uniffi::export(default(provider = "openbao+kv2"))]
pub fn describe_settings(env: HashMap<String, String>, provider: String) -> Result<Value> {
    Ok((&from_env(env, provider)?.describe()).into())
}

fn from_env(env: HashMap<String, String>, provider: String) -> Result<Settings> {
    // Some of it may be tokens: the copies that came over are wiped.
    let env: HashMap<_, _> = env.into_iter().map(|(key, value)| (key, Zeroizing::new(value))).collect();
    settings(Options { provider: Some(provider), ..Options::default() }, |key| env.get(key).map(|it| it.to_string()))
}

fn settings(options: Options, env: impl Fn(&str) -> Option<String>) -> Result<Settings> {
    Ok(SettingsBuilder::from_options(options, |key| Ok::<_, Error>(env(key)))?.build()?)
}

/// A client of one OpenBao cluster. Its functions may be called from any thread or coroutine.
#[derive(Debug, uniffi::Object)]
pub struct Client(baokit::Client);

#[uniffi::export(async_runtime = "tokio")]
impl Client {
    /// A client with the settings of an environment. Sends nothing: the first operation logs in.
    #[uniffi::constructor(default(provider = "openbao+kv2"))]
    pub fn from_env(env: HashMap<String, String>, provider: String) -> Result<Self> {
        Ok(Self(baokit::Client::new(from_env(env, provider)?)?))
    }

    /// A client whose settings are given in code; what is left out has core's default.
    #[allow(clippy::too_many_arguments, reason = "they are named arguments with defaults in both languages")]
    #[uniffi::constructor(default(
        url = None, urls = None, token = None, role_id = None, secret_id = None, namespace = None, ca_pem = None,
        client_certificate_pem = None, client_key_pem = None, verify_tls = None, timeout = None,
        renewal_threshold = None, pool_size = None, max_concurrent = None, tenant_id = None, allowed_mounts = None,
        accept_legacy = None, provider = "openbao+kv2"
    ))]
    pub fn new(
        url: Option<String>,
        urls: Option<Vec<String>>,
        token: Option<String>,
        role_id: Option<String>,
        secret_id: Option<String>,
        namespace: Option<String>,
        ca_pem: Option<String>,
        client_certificate_pem: Option<String>,
        client_key_pem: Option<String>,
        verify_tls: Option<bool>,
        timeout: Option<f64>,
        renewal_threshold: Option<f64>,
        pool_size: Option<u32>,
        max_concurrent: Option<u32>,
        tenant_id: Option<String>,
        allowed_mounts: Option<Vec<String>>,
        accept_legacy: Option<bool>,
        provider: String,
    ) -> Result<Self> {
        let options = Options {
            provider: Some(provider),
            url,
            urls,
            token,
            role_id,
            secret_id,
            namespace,
            ca_pem,
            client_certificate_pem,
            client_key_pem,
            verify_tls,
            timeout,
            renewal_threshold,
            pool_size: pool_size.map(f64::from),
            max_concurrent: max_concurrent.map(f64::from),
            tenant_id,
            allowed_mounts,
            accept_legacy,
        };
        Ok(Self(baokit::Client::new(settings(options, |_| None)?)?))
    }

    /// Reads a secret, or one key of it where the URI has a fragment.
    pub async fn read(&self, uri: String) -> Result<Secret> {
        Ok(Secret(self.0.read(uri).await?))
    }

    /// Writes a new version: the whole secret, or with a fragment that key alone.
    pub async fn write(&self, uri: String, value: Value) -> Result<Change> {
        Ok(self.0.write(uri, value.into_secret()?).await?.into())
    }

    /// Replaces a value; where another writer comes in between it stops with `CAS_CONFLICT`.
    pub async fn rotate(&self, uri: String, value: Value) -> Result<Change> {
        Ok(self.0.rotate(uri, value.into_secret()?).await?.into())
    }

    /// Deletes the newest version, or the one that `?version=` pins. It can be undeleted.
    pub async fn delete(&self, uri: String) -> Result<()> {
        Ok(self.0.delete(uri).await?)
    }

    /// The versions of a secret, oldest first, without their data.
    pub async fn versions(&self, uri: String) -> Result<Versions> {
        Ok(self.0.versions(uri).await?.into())
    }

    /// The KVv2 engine at a mount, below the level of URIs and of the tenant guard.
    pub fn kv2(&self, mount: String) -> Kv2 {
        Kv2(self.0.kv2(mount))
    }

    /// Parses a prefix and shows it to the guard of the tenant's mounts. Sends nothing.
    pub fn admit_prefix(&self, uri: &str) -> Result<SecretPrefix> {
        Ok(SecretPrefix(self.0.settings().admit_prefix(uri)?.prefix().clone()))
    }

    /// Sends a request that baokit does not model. The answer is the whole JSON document.
    #[uniffi::method(default(body = None))]
    pub async fn request(&self, method: String, path: String, body: Option<Value>) -> Result<SecretValue> {
        let body = body.map(Value::into_secret).transpose()?;
        Ok(SecretValue(self.0.request(&method, &path, body).await?.into_document()))
    }

    /// What OpenBao says of the client's own token. A token that counts its uses loses one.
    pub async fn lookup_self(&self) -> Result<TokenInfo> {
        let info = self.0.lookup_self().await?;
        Ok(TokenInfo {
            accessor: info.accessor().to_owned(),
            policies: info.policies().to_vec(),
            ttl: info.ttl(),
            renewable: info.is_renewable(),
            num_uses: info.num_uses(),
        })
    }

    /// Renews the client's token by so many seconds, or by its own period.
    #[uniffi::method(default(increment = None))]
    pub async fn renew_self(&self, increment: Option<u64>) -> Result<Renewal> {
        let renewal = self.0.renew_self(increment).await?;
        Ok(Renewal { lease_duration: renewal.lease_duration(), renewable: renewal.is_renewable() })
    }

    /// Wipes token and credential. Nothing more is sent for what is under way, and everything later
    /// fails with `CLIENT_CLOSED`.
    pub fn close(&self) {
        self.0.close();
    }

    /// The settings that the client was made with, without the credential.
    pub fn settings(&self) -> Value {
        (&self.0.settings().describe()).into()
    }
}

/// The KVv2 engine at one mount.
#[derive(Debug, uniffi::Object)]
pub struct Kv2(baokit::Kv2);

#[uniffi::export(async_runtime = "tokio")]
impl Kv2 {
    /// Reads a secret, or one version of it.
    #[uniffi::method(default(version = None))]
    pub async fn read(&self, path: String, version: Option<u64>) -> Result<Secret> {
        let read = self.0.read(path);
        Ok(Secret(match version {
            Some(version) => read.version(version).await?,
            None => read.await?,
        }))
    }

    /// Writes a whole secret, where `cas` is given only if that is the current version.
    #[uniffi::method(default(cas = None))]
    pub async fn write(&self, path: String, data: Value, cas: Option<u64>) -> Result<Written> {
        let write = self.0.write(path, data.into_secret()?);
        let written = match cas {
            Some(version) => write.cas(version).await?,
            None => write.await?,
        };
        Ok(Written { version: written.version(), created_time: written.created_time().to_owned() })
    }

    /// Deletes these versions, or the newest where none is named.
    #[uniffi::method(default(versions = []))]
    pub async fn delete(&self, path: String, versions: Vec<u64>) -> Result<()> {
        Ok(self.0.delete(&path, &versions).await?)
    }

    /// The versions of a secret, oldest first.
    pub async fn versions(&self, path: String) -> Result<Versions> {
        Ok(self.0.versions(&path).await?.into())
    }
}
