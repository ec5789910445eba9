//! The one validating path to [`Settings`], whether they come from a lookup or from code.

use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::credential::{check_secret, check_token};
use super::{ClientCertificate, Credential, MAX_NODES, Origin, Pem, Settings, Tls, Warning, WarningCode};
use crate::error::{Code, Error, Result};
use crate::uri::Provider;
use crate::uri::path::ApiPath;
use crate::uri::tenant::TenantGuard;

const DAY: Duration = Duration::from_secs(86_400);
const DEADLINE: RangeInclusive<Duration> = Duration::from_nanos(1)..=DAY;
const RENEWAL: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(30 * 86_400);
const POOL_SIZE: RangeInclusive<usize> = 1..=10_000;
const MAX_CONCURRENT: RangeInclusive<usize> = 1..=100_000;

/// Settings on their way: defaults, changed step by step, checked by [`build`](Self::build).
///
/// A setter that is given something illegal does nothing; `build` reports the first of them. Where
/// the setter was called in code, the error names the setter.
///
/// ```
/// use std::time::Duration;
/// use baokit_core::{config::{Credential, Settings}, uri::Provider};
///
/// # fn main() -> baokit_core::Result<()> {
/// let settings = Settings::builder(Provider::OpenBao)
///     .urls(["https://openbao.internal:8200"])
///     .credential(Credential::token("hvs.example"))
///     .namespace("team")
///     .deadline(Duration::from_secs(10))
///     .renewal_threshold(Duration::from_secs(60))
///     .pool_size(4)
///     .max_concurrent(200)
///     .tenant_id("billing")
///     .allowed_mounts(["secret"])
///     .build()?;
/// assert_eq!((settings.deadline().as_secs(), settings.max_concurrent()), (10, 200));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SettingsBuilder {
    provider: Provider,
    urls: Vec<Origin>,
    urls_key: String,
    credential: Option<Credential>,
    token_ignored: Option<Warning>,
    namespace: Option<String>,
    tls: Tls,
    verify_key: String,
    deadline: Duration,
    renewal_threshold: Duration,
    pool_size: usize,
    max_concurrent: usize,
    tenant_id: String,
    mounts: Vec<String>,
    accept_legacy: bool,
    #[cfg(feature = "cache")]
    cache: Option<super::CacheConfig>,
    fault: Option<Error>,
}

impl SettingsBuilder {
    /// The defaults, without nodes and credential.
    pub fn new(provider: Provider) -> Self {
        Self {
            provider,
            urls: Vec::new(),
            urls_key: String::new(),
            credential: None,
            token_ignored: None,
            namespace: None,
            tls: Tls { ca: None, client: None, verify: true },
            verify_key: String::new(),
            deadline: Duration::from_secs(30),
            renewal_threshold: Duration::from_secs(600),
            pool_size: 10,
            max_concurrent: 50,
            tenant_id: "dev".to_owned(),
            mounts: Vec::new(),
            accept_legacy: false,
            #[cfg(feature = "cache")]
            cache: None,
            fault: None,
        }
    }

    /// What a lookup says, to be completed or overruled in code. What is illegal in it stays so.
    pub fn from_lookup(provider: Provider, lookup: impl Fn(&str) -> Option<String>) -> Self {
        Self::new(provider).attempt(|builder| super::lookup::read(builder, &lookup))
    }

    /// The nodes of one cluster, 1 to [`MAX_NODES`]; see [`Origin`].
    pub fn urls<I>(self, urls: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let urls: Vec<_> = urls.into_iter().collect();
        self.attempt(|builder| builder.put_urls("urls", urls.iter().map(AsRef::as_ref)))
    }

    /// What the client logs in with.
    pub fn credential(self, credential: Credential) -> Self {
        self.attempt(|builder| {
            credential.check()?;
            builder.set_credential(credential);
            Ok(())
        })
    }

    /// The same, where making it may have failed, which [`build`](Self::build) reports then.
    pub fn try_credential(self, credential: Result<Credential>) -> Self {
        match credential {
            Ok(credential) => self.credential(credential),
            Err(error) => self.attempt(|_| Err(error)),
        }
    }

    /// The credential that was given last is shown with every request; see [`Credential::inline`].
    #[cfg(feature = "log-ins")]
    pub fn inline(mut self) -> Self {
        match self.credential.take() {
            Some(credential) => self.credential(credential.inline()),
            None => self.attempt(|_| Err(invalid("inline", "a credential is given first"))),
        }
    }

    /// The namespace: plain ASCII names separated by slashes; empty or `/` for the root namespace.
    pub fn namespace(self, namespace: &str) -> Self {
        self.attempt(|builder| builder.put_namespace("namespace", namespace))
    }

    /// The private CA that signs the nodes' certificates.
    pub fn ca(self, ca: Pem) -> Self {
        self.attempt(|builder| builder.put_ca("ca", ca))
    }

    /// The certificate that the client shows, and its key.
    pub fn client_certificate(self, certificate: Pem, key: Pem) -> Self {
        let keys = ("client_certificate", "client_certificate key");
        self.attempt(|builder| builder.put_client_certificate(keys, certificate, key))
    }

    /// Whether the nodes' certificates are verified, true by default. Switching it off earns a warning.
    pub fn verify_tls(self, verify: bool) -> Self {
        self.attempt(|builder| builder.put_verify("verify_tls", verify))
    }

    /// The deadline of a whole operation: 30 s by default, above zero, up to a day.
    pub fn deadline(self, deadline: Duration) -> Self {
        self.attempt(|builder| builder.put_deadline("deadline", deadline))
    }

    /// How long before its end a token is renewed: 600 s by default, up to 30 days, and a third of its lease at most.
    pub fn renewal_threshold(self, threshold: Duration) -> Self {
        self.attempt(|builder| builder.put_renewal_threshold("renewal_threshold", threshold))
    }

    /// How many idle connections are kept for each node: 10 by default, 1 to 10,000.
    pub fn pool_size(self, size: usize) -> Self {
        self.attempt(|builder| builder.put_pool_size("pool_size", size))
    }

    /// How many operations may be in flight at once: 50 by default, 1 to 100,000.
    pub fn max_concurrent(self, operations: usize) -> Self {
        self.attempt(|builder| builder.put_max_concurrent("max_concurrent", operations))
    }

    /// The tenant's id, `dev` by default; see [`TenantGuard`].
    pub fn tenant_id(mut self, id: impl Into<String>) -> Self {
        self.put_tenant_id(id.into());
        self
    }

    /// The mounts that the tenant may use, none by default; see [`TenantGuard`].
    pub fn allowed_mounts<I>(mut self, mounts: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.put_mounts(mounts.into_iter().map(Into::into).collect());
        self
    }

    /// Whether URIs are read leniently, as [`ParseOptions::accept_legacy`](crate::uri::ParseOptions::accept_legacy)
    /// says; false by default.
    pub fn accept_legacy(mut self, accept: bool) -> Self {
        self.put_accept_legacy(accept);
        self
    }

    /// Keeps what [`Client::read`](crate::Client::read) has read, and answers later reads from it; off by
    /// default. Errors name `cache.ttl` and so on.
    #[cfg(feature = "cache")]
    pub fn cache(self, cache: super::CacheConfig) -> Self {
        self.attempt(|builder| {
            builder.cache = Some(cache.check("cache")?);
            Ok(())
        })
    }

    /// Checks the whole.
    ///
    /// # Errors
    /// [`Code::InvalidSetting`] for the first illegal setting, [`Code::MissingSetting`] where there
    /// are no nodes or no credential, [`Code::UnsupportedEngine`] for a provider without a server.
    pub fn build(self) -> Result<Settings> {
        let missing = |key: String| Err(Error::new(Code::MissingSetting).about(key));
        let family = family(self.provider)?;
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.urls.is_empty() {
            return missing(format!("{family}_URL"));
        }
        let Some(credential) = self.credential else {
            return missing(format!("{family}_TOKEN, or {family}_ROLE_ID and {family}_SECRET_ID"));
        };
        let tenant = TenantGuard::new(&self.tenant_id, &self.mounts)?;
        let mut warnings = Vec::from_iter(self.token_ignored);
        let mut nodes: Vec<Origin> = Vec::with_capacity(self.urls.len());
        for node in self.urls {
            if nodes.contains(&node) {
                let text = format!("{} names {node} twice; it is used once", self.urls_key);
                warnings.push(Warning::new(WarningCode::DuplicateNode, text));
                continue;
            }
            if node.scheme() == super::Scheme::Http && !node.is_loopback() {
                let text = format!(
                    "{}: {node} is reached without TLS: tokens and secrets can be read on the way",
                    self.urls_key
                );
                warnings.push(Warning::new(WarningCode::PlainHttp, text));
            }
            nodes.push(node);
        }
        if !self.tls.verify {
            let text = format!(
                "{} is off: whoever stands between can pose as OpenBao; set a private CA instead",
                self.verify_key
            );
            warnings.push(Warning::new(WarningCode::TlsNotVerified, text));
        }
        Ok(Settings {
            provider: self.provider,
            nodes,
            credential_kind: credential.kind(),
            credential: Some(credential),
            namespace: self.namespace,
            tls: self.tls,
            deadline: self.deadline,
            renewal_threshold: self.renewal_threshold,
            pool_size: self.pool_size,
            max_concurrent: self.max_concurrent,
            tenant,
            accept_legacy: self.accept_legacy,
            #[cfg(feature = "cache")]
            cache: self.cache,
            warnings,
        })
    }

    /// Runs a setter, unless one failed before it, and keeps its fault.
    pub(super) fn attempt(mut self, setter: impl FnOnce(&mut Self) -> Result<()>) -> Self {
        if self.fault.is_none() {
            self.fault = setter(&mut self).err();
        }
        self
    }
}

/// The setters proper, with the key that their errors name.
impl SettingsBuilder {
    pub(super) fn provider(&self) -> Provider {
        self.provider
    }

    pub(super) fn put_urls<'a>(&mut self, key: &str, urls: impl ExactSizeIterator<Item = &'a str>) -> Result<()> {
        let count = urls.len();
        if count > MAX_NODES {
            return Err(invalid(key, format!("{count} nodes; {MAX_NODES} are allowed")));
        }
        let place = |index: usize| if count == 1 { key.to_owned() } else { format!("{key}, entry {}", index + 1) };
        let urls = urls.enumerate().map(|(index, url)| Origin::parse(url).map_err(|error| error.about(place(index))));
        self.urls = urls.collect::<Result<_>>()?;
        self.urls_key = key.to_owned();
        Ok(())
    }

    pub(super) fn put_token(&mut self, key: &str, token: SecretString) -> Result<()> {
        check_token(key, &token)?;
        self.set_credential(Credential::Token(token));
        Ok(())
    }

    pub(super) fn put_app_role(
        &mut self,
        keys: (&str, &str),
        role_id: SecretString,
        secret_id: SecretString,
    ) -> Result<()> {
        check_secret(keys.0, &role_id)?;
        check_secret(keys.1, &secret_id)?;
        self.set_credential(Credential::app_role(role_id, secret_id)?);
        Ok(())
    }

    /// A warning about the credential before it is no longer true.
    fn set_credential(&mut self, credential: Credential) {
        self.token_ignored = None;
        self.credential = Some(credential);
    }

    pub(super) fn warn_of_token(&mut self, token: &str, role_id: &str) {
        let text = format!("{token} is ignored: an AppRole is set as well ({role_id}), and is used");
        self.token_ignored = Some(Warning::new(WarningCode::TokenIgnored, text));
    }

    pub(super) fn put_namespace(&mut self, key: &str, namespace: &str) -> Result<()> {
        let path = namespace.strip_prefix('/').unwrap_or(namespace);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() && namespace.len() < 2 {
            self.namespace = None;
            return Ok(());
        }
        // It goes into a header as it is: nothing may need an escape, and nothing is decoded.
        if !ApiPath::parse(path).is_ok_and(|parsed| parsed.wire() == path) {
            return Err(invalid(
                key,
                "a namespace is a row of names of plain ASCII characters, separated by single slashes",
            ));
        }
        self.namespace = Some(path.to_owned());
        Ok(())
    }

    pub(super) fn put_ca(&mut self, key: &str, ca: Pem) -> Result<()> {
        self.tls.ca = Some(checked_pem(key, ca)?);
        Ok(())
    }

    pub(super) fn put_client_certificate(&mut self, keys: (&str, &str), certificate: Pem, key: Pem) -> Result<()> {
        let (certificate, key) = (checked_pem(keys.0, certificate)?, checked_pem(keys.1, key)?);
        self.tls.client = Some(ClientCertificate { certificate, key });
        Ok(())
    }

    pub(super) fn put_verify(&mut self, key: &str, verify: bool) -> Result<()> {
        self.tls.verify = verify;
        self.verify_key = key.to_owned();
        Ok(())
    }

    pub(super) fn put_deadline(&mut self, key: &str, deadline: Duration) -> Result<()> {
        let reason = "a deadline is longer than 0 seconds, and at most 86400";
        put(key, &DEADLINE, deadline, &mut self.deadline, reason)
    }

    pub(super) fn put_renewal_threshold(&mut self, key: &str, threshold: Duration) -> Result<()> {
        put(key, &RENEWAL, threshold, &mut self.renewal_threshold, "it is at most 2592000 seconds")
    }

    pub(super) fn put_pool_size(&mut self, key: &str, size: usize) -> Result<()> {
        put(key, &POOL_SIZE, size, &mut self.pool_size, "it is at least 1 and at most 10000")
    }

    pub(super) fn put_tenant_id(&mut self, id: String) {
        self.tenant_id = id;
    }

    pub(super) fn put_mounts(&mut self, mounts: Vec<String>) {
        self.mounts = mounts;
    }

    pub(super) fn put_accept_legacy(&mut self, accept: bool) {
        self.accept_legacy = accept;
    }

    pub(super) fn put_max_concurrent(&mut self, key: &str, operations: usize) -> Result<()> {
        put(key, &MAX_CONCURRENT, operations, &mut self.max_concurrent, "it is at least 1 and at most 100000")
    }
}

/// The first prefix of a provider's keys, which errors name.
pub(super) fn family(provider: Provider) -> Result<&'static str> {
    match provider {
        Provider::OpenBao => Ok("OPENBAO"),
        Provider::HashiCorp => Ok("HASHICORP"),
        Provider::Yaml => {
            let error = Error::new(Code::UnsupportedEngine).about(provider.as_str());
            Err(error.because("it is a file, which no client of a server can serve"))
        }
    }
}

pub(super) fn put<T: PartialOrd>(
    key: &str,
    range: &RangeInclusive<T>,
    value: T,
    slot: &mut T,
    reason: &'static str,
) -> Result<()> {
    if !range.contains(&value) {
        return Err(invalid(key, reason));
    }
    *slot = value;
    Ok(())
}

fn checked_pem(key: &str, pem: Pem) -> Result<Pem> {
    match &pem {
        Pem::File(path) if path.is_empty() || path.contains(char::is_control) => {
            Err(invalid(key, "a path is not empty and has no control characters in it"))
        }
        Pem::Text(text) if !text.expose_secret().contains("-----BEGIN ") => Err(invalid(key, "this is no PEM text")),
        _ => Ok(pem),
    }
}

pub(super) fn invalid(key: &str, reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::InvalidSetting).about(key.to_owned()).because(reason)
}
