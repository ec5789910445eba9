//! Settings of a client: read from a lookup function, given as options, or made in code, and validated
//! in one place.
//!
//! core reads no environment. A host passes a function from key to value, which may read the
//! process's environment, a Worker's bindings or a map in a test:
//!
//! ```
//! use std::collections::HashMap;
//! use baokit_core::{config::Settings, uri::Provider};
//!
//! # fn main() -> baokit_core::Result<()> {
//! let environment = HashMap::from([
//!     ("OPENBAO_URL", "https://openbao-1.internal:8200, https://openbao-2.internal:8200"),
//!     ("VAULT_TOKEN", "hvs.example"),
//!     ("TENANT_ALLOWED_MOUNTS", "secret"),
//! ]);
//! let lookup = |key: &str| environment.get(key).map(|value| value.to_string());
//! let settings = Settings::from_lookup(Provider::OpenBao, lookup)?;
//! assert_eq!(settings.nodes().len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! | key | meaning | default, limits |
//! |---|---|---|
//! | `…_URL` (`BAO_`, `VAULT_`: also `…_ADDR`) | the nodes of one cluster, comma-separated; see [`Origin`] | required, 1 to [`MAX_NODES`] |
//! | `…_TOKEN`, or `…_ROLE_ID` and `…_SECRET_ID` | the credential; AppRole wins over a token | one of them is required |
//! | `…_NAMESPACE` | names of plain ASCII characters, separated by slashes | the root namespace |
//! | `…_CACERT`, else `REQUESTS_CA_BUNDLE`, else `SSL_CERT_FILE` | a file with the private CA | the host's own roots |
//! | `…_CLIENT_CERT`, `…_CLIENT_KEY` | files with a client certificate and its key | none |
//! | `TIMEOUT` | deadline of a whole operation, in seconds | 30, above 0, up to a day |
//! | `VERIFY_SSL` | whether certificates are verified | true |
//! | `POOL_SIZE` | connections kept for each node | 10, 1 to 10,000 |
//! | `TOKEN_RENEWAL_THRESHOLD` | seconds before its end at which a token is renewed, a third of its lease at most | 600, 0 to 30 days |
//! | `MAX_CONCURRENT_OPERATIONS` | operations in flight at once | 50, 1 to 100,000 |
//! | `TENANT_ID`, `TENANT_ALLOWED_MOUNTS` | see [`TenantGuard`] | `dev`, nothing is allowed |
//! | `SECRET_URI_ACCEPT_LEGACY` | see [`ParseOptions`](crate::uri::ParseOptions::accept_legacy) | false |
//!
//! The other methods of logging in ([`Credential`]) have no keys that OpenBao's own tools would know, so they are
//! given in code: with [`SettingsBuilder::credential`] over what the environment says of the rest.
//!
//! `…` is `OPENBAO`, or `HASHICORP` for that provider, else `BAO`, else `VAULT`, for each key apart.
//! The five without a prefix are `OPENBAO_X`, else `VAULT_X`. A text that is set but empty counts as
//! unset; an empty boolean or number is an error. Every error names its key and repeats no value.

mod builder;
#[cfg(feature = "cache")]
mod cache;
mod credential;
mod lookup;
mod options;
mod origin;
pub mod parse;
mod warning;

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};

pub use self::builder::SettingsBuilder;
#[cfg(feature = "cache")]
pub use self::cache::CacheConfig;
pub use self::credential::{Credential, Gate, JwtSource, MAX_CREDENTIAL, SERVICE_ACCOUNT_TOKEN};
pub(crate) use self::credential::{check_secret, check_token};
pub use self::options::Options;
pub use self::origin::{Origin, Scheme};
pub use self::warning::{Warning, WarningCode};
use crate::error::Result;
use crate::uri::tenant::{TenantGuard, TenantPrefix};
use crate::uri::{ParseOptions, Provider};

/// Most nodes that a list of URLs may name.
pub const MAX_NODES: usize = 64;

/// The validated settings of one client. They are made by [`Settings::from_lookup`] or by a
/// [`SettingsBuilder`], and can't be changed afterwards. `Debug` shows no credential.
///
/// ```
/// use baokit_core::config::{Credential, Settings};
/// use baokit_core::uri::Provider;
///
/// # fn main() -> baokit_core::Result<()> {
/// let settings = Settings::builder(Provider::OpenBao)
///     .urls(["https://openbao.internal:8200"])
///     .credential(Credential::token("hvs.example"))
///     .build()?;
/// assert_eq!((settings.deadline().as_secs(), settings.pool_size(), settings.max_concurrent()), (30, 10, 50));
/// assert_eq!(settings.describe()["credential"], "token"); // the kind alone
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    provider: Provider,
    nodes: Vec<Origin>,
    credential: Option<Credential>,
    credential_kind: &'static str,
    namespace: Option<String>,
    tls: Tls,
    deadline: Duration,
    renewal_threshold: Duration,
    pool_size: usize,
    max_concurrent: usize,
    tenant: TenantGuard,
    accept_legacy: bool,
    #[cfg(feature = "cache")]
    cache: Option<CacheConfig>,
    warnings: Vec<Warning>,
}

impl Settings {
    /// Reads settings through a function from key to value.
    ///
    /// # Errors
    /// [`Code::MissingSetting`](crate::Code::MissingSetting) and
    /// [`Code::InvalidSetting`](crate::Code::InvalidSetting), which name the key, and
    /// [`Code::UnsupportedEngine`](crate::Code::UnsupportedEngine) for a provider without a server.
    pub fn from_lookup(provider: Provider, lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        SettingsBuilder::from_lookup(provider, lookup).build()
    }

    /// Starts settings in code: the defaults, without nodes and credential.
    pub fn builder(provider: Provider) -> SettingsBuilder {
        SettingsBuilder::new(provider)
    }

    /// Whose secrets the client reads.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// The nodes, each once, in the order given; never empty.
    #[must_use]
    pub fn nodes(&self) -> &[Origin] {
        &self.nodes
    }

    /// What a client logs in with; none once a client was made of the settings, which then holds,
    /// and wipes, the only copy.
    #[must_use]
    pub fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    pub(crate) fn take_credential(&mut self) -> Option<Credential> {
        self.credential.take()
    }

    /// The namespace, without slashes around it; `None` for the root namespace.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// How connections are secured.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The deadline of a whole operation, with its retries and log-ins.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// How long before its end a token is renewed; a third of its lease at most.
    #[must_use]
    pub fn renewal_threshold(&self) -> Duration {
        self.renewal_threshold
    }

    /// How many idle connections a host keeps for each node.
    #[must_use]
    pub fn pool_size(&self) -> usize {
        self.pool_size
    }

    /// How many operations may be in flight at once.
    #[must_use]
    pub fn max_concurrent(&self) -> usize {
        self.max_concurrent
    }

    /// The tenant and its mounts.
    #[must_use]
    pub fn tenant(&self) -> &TenantGuard {
        &self.tenant
    }

    /// Whether URIs are read leniently.
    #[must_use]
    pub fn accept_legacy(&self) -> bool {
        self.accept_legacy
    }

    /// How what was read is kept, where anything is.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn cache(&self) -> Option<&CacheConfig> {
        self.cache.as_ref()
    }

    /// Parses a prefix by these settings and shows it to the guard of the tenant's mounts.
    ///
    /// # Errors
    /// Those of [`ParseOptions::parse_prefix`], and [`Code::TenantMountMismatch`](crate::Code::TenantMountMismatch).
    pub fn admit_prefix(&self, text: &str) -> Result<TenantPrefix> {
        let prefix = ParseOptions::new().accept_legacy(self.accept_legacy).parse_prefix(text)?;
        self.tenant.admit_prefix(prefix)
    }

    /// What deserves a second look. The host logs it, once for each client.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The settings as a JSON object for people and programs to look at, without the credential:
    /// of that only the kind. The fields are those of `tests/vectors/config.json`; durations are
    /// seconds.
    #[must_use]
    pub fn describe(&self) -> Value {
        let file = |pem: &Pem| match pem {
            Pem::File(path) => Value::from(path.as_str()),
            Pem::Text(_) => Value::from("[text]"),
        };
        json!({
            "provider": self.provider.as_str(),
            "nodes": self.nodes.iter().map(Origin::as_str).collect::<Vec<_>>(),
            "credential": self.credential_kind,
            "namespace": self.namespace,
            "ca": self.tls.ca().map(file),
            "client_certificate": self.tls.client().map(|client| [file(&client.certificate), file(&client.key)]),
            "verify_tls": self.tls.verify(),
            "timeout": self.deadline.as_secs_f64(),
            "renewal_threshold": self.renewal_threshold.as_secs_f64(),
            "pool_size": self.pool_size,
            "max_concurrent": self.max_concurrent,
            "tenant_id": self.tenant.tenant(),
            "allowed_mounts": self.tenant.mounts().iter().map(|mount| mount.decoded()).collect::<Vec<_>>(),
            "accept_legacy": self.accept_legacy,
            "warnings": self.warnings.iter().map(|warning| warning.code().as_str()).collect::<Vec<_>>(),
        })
    }
}

/// How connections to the nodes are secured. A host without a say in it, such as a browser, must
/// refuse what it can't honour.
///
/// ```
/// use baokit_core::config::{Credential, Pem, Settings};
/// use baokit_core::uri::Provider;
///
/// # fn main() -> baokit_core::Result<()> {
/// let settings = Settings::builder(Provider::OpenBao)
///     .urls(["https://openbao.internal:8200"])
///     .credential(Credential::token("hvs.example"))
///     .ca(Pem::File("/etc/ssl/openbao-ca.pem".to_owned()))
///     .build()?;
/// assert!(settings.tls().verify() && settings.tls().ca().is_some() && settings.tls().client().is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tls {
    ca: Option<Pem>,
    client: Option<ClientCertificate>,
    verify: bool,
}

impl Tls {
    /// The private CA that signs the nodes' certificates, if any.
    #[must_use]
    pub fn ca(&self) -> Option<&Pem> {
        self.ca.as_ref()
    }

    /// The certificate that the client shows, if any.
    #[must_use]
    pub fn client(&self) -> Option<&ClientCertificate> {
        self.client.as_ref()
    }

    /// Whether the nodes' certificates are verified.
    #[must_use]
    pub fn verify(&self) -> bool {
        self.verify
    }
}

/// A client certificate and its private key.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate, with its intermediates.
    pub certificate: Pem,
    /// The private key.
    pub key: Pem,
}

/// Where PEM text comes from.
///
/// ```
/// use baokit_core::config::Pem;
///
/// let file = Pem::File("/etc/ssl/openbao-ca.pem".to_owned());
/// let text = Pem::Text("-----BEGIN PRIVATE KEY-----\n…".into());
/// assert_eq!(format!("{file:?} {text:?}"), r#"File("/etc/ssl/openbao-ca.pem") Text([redacted])"#);
/// ```
#[derive(Clone)]
pub enum Pem {
    /// A file, which the host reads.
    File(String),
    /// The text itself.
    Text(SecretString),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Text(_) => f.write_str("Text([redacted])"),
        }
    }
}
