//! Policy enforcement in a native program: core's checks on the native host.

use std::fmt;
use std::sync::Arc;

use baokit_core::config::{Credential, Pem};
use baokit_core::uri::path::Mount;
use baokit_core::uri::{Provider, SecretUri};
use baokit_core::{Now, SecretValue, Settings as ClientSettings};
use baokit_service::audit::{Audit, Sink};
use baokit_service::policy::{Denial, Grant, Key, MemoryStore, OpenBaoStore, Store, Taken};
use baokit_service::providers::{Providers, Strategy};
use baokit_service::{Caller, Operation, Outcome, Result, Settings, Who};

use crate::client::Client;
use crate::host::NativeHost;

/// The key of the shared store.
const STORE: &str = "SECRETS_STORE";

/// Everything between a caller and the secrets: tenant, token, scope and policy are asked before each, and every
/// decision is on record. Clones share it.
///
/// ```no_run
/// # async fn example(uri: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use baokit::{Caller, Client, Enforcer};
///
/// let enforcer = Enforcer::from_env(Client::from_env()?)?;
/// let mut caller = Caller::anonymous(); // as the host has authenticated it
/// caller.subject = Some("billing".to_owned());
/// caller.scopes.insert("secrets.read".to_owned());
/// let value = enforcer.get_credentials(uri, &caller).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Enforcer(pub(crate) Arc<baokit_service::Enforcer<NativeHost, AnyStore>>);

impl Enforcer {
    /// An enforcer with the settings of the environment; [`Settings`] lists all keys.
    ///
    /// `SECRETS_STORE` is this host's own: `openbao+kv2://mount/prefix` has several processes share grants and used
    /// proofs there, which this client keeps; see [`OpenBaoStore`] for the policy that it needs. The mount must not
    /// be one that callers may name. Unset, each process has its own.
    ///
    /// # Errors
    /// [`Code::MissingSetting`](crate::Code::MissingSetting), [`Code::InvalidSetting`](crate::Code::InvalidSetting);
    /// each names the key.
    pub fn from_env(client: Client) -> crate::Result<Self> {
        Self::builder_from_env(client)?.build()
    }

    /// The settings of the environment, to be completed in code.
    ///
    /// # Errors
    /// As [`Enforcer::from_env`].
    pub fn builder_from_env(client: Client) -> crate::Result<EnforcerBuilder> {
        let settings = Settings::from_lookup(|key| std::env::var(key).ok())?;
        let ca = ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"].into_iter().find_map(|key| std::env::var(key).ok());
        let mut builder = Self::builder(client, settings);
        builder.ca = ca.filter(|path| !path.is_empty()).map(Pem::File);
        match std::env::var(STORE).ok().filter(|text| !text.is_empty()) {
            Some(text) => builder.store_named(&text).map_err(|error| error.about(STORE)),
            None => Ok(builder),
        }
    }

    /// An enforcer with these settings.
    #[must_use]
    pub fn builder(client: Client, settings: Settings) -> EnforcerBuilder {
        EnforcerBuilder {
            client,
            others: Vec::new(),
            settings,
            ca: None,
            store: None,
            strategies: Vec::new(),
            sinks: Vec::new(),
        }
    }

    /// The value behind a URI or a pointer, for a caller that the host has authenticated.
    ///
    /// # Errors
    /// Those of the checks, in their order, and those of the provider.
    pub async fn get_credentials(&self, uri: impl AsRef<str>, caller: &Caller) -> Result<SecretValue> {
        self.0.get_credentials(uri.as_ref(), caller).await
    }

    /// Checks a caller that the host has authenticated, and carries out what it asks for.
    ///
    /// # Errors
    /// Those of the checks, in their order, and those of the provider.
    pub async fn run(&self, uri: impl AsRef<str>, caller: &Caller, operation: Operation) -> Result<Outcome> {
        let mut who = Who::known(caller.clone());
        let resource = self.0.admit(&who, uri.as_ref(), &operation)?;
        self.0.run(&mut who, resource, operation).await
    }

    /// What is on record, and the metrics.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        self.0.audit()
    }

    /// What is enforced.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.0.settings()
    }
}

impl fmt::Debug for Enforcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enforcer").field("settings", self.settings()).finish_non_exhaustive()
    }
}

/// What an [`Enforcer`] is made of.
pub struct EnforcerBuilder {
    client: Client,
    others: Vec<Client>,
    settings: Settings,
    ca: Option<Pem>,
    store: Option<AnyStore>,
    strategies: Vec<(String, Arc<dyn Strategy>)>,
    sinks: Vec<Box<dyn Sink>>,
}

impl EnforcerBuilder {
    /// A client of another provider, for the URIs of that provider: `hashicorp+kv2`.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.others.push(client);
        self
    }

    /// The authority that the issuer's and the PDP's certificates are of; the system's own where none is named.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<String>) -> Self {
        self.ca = Some(Pem::Text(pem.into().into()));
        self
    }

    /// Keeps grants and used proofs in OpenBao, for several processes; see [`OpenBaoStore`].
    ///
    /// # Errors
    /// [`Code::IllegalSegment`](crate::Code::IllegalSegment) and the others of mounts and paths;
    /// [`Code::InvalidSetting`](crate::Code::InvalidSetting) for a mount that callers may name, on whichever server.
    pub fn shared_store(mut self, client: &Client, mount: &str, prefix: &str) -> crate::Result<Self> {
        if self.client.core.settings().tenant().check_mount(&Mount::parse(mount)?).is_ok() {
            let reason = "callers may name this mount, and could write grants for themselves: use one of its own";
            return Err(crate::Error::new(crate::Code::InvalidSetting).because(reason));
        }
        self.store = Some(AnyStore::OpenBao(OpenBaoStore::new(client.core.clone(), mount, prefix)?));
        Ok(self)
    }

    fn store_named(self, text: &str) -> crate::Result<Self> {
        let refused = |reason| Err(crate::Error::new(crate::Code::InvalidSetting).because(reason));
        let (uri, settings) = (SecretUri::parse(text)?, self.client.core.settings());
        if uri.provider() != settings.provider() || uri.fragment().is_some() || uri.version().is_some() {
            return refused(
                "it is openbao+kv2://mount/prefix, or hashicorp+kv2:// where the client is of that provider",
            );
        }
        let client = self.client.clone();
        self.shared_store(&client, uri.mount_wire(), uri.path_wire())
    }

    /// What the host serves besides OpenBao: the URIs of this provider, or for `db` the pointers of that name. Files
    /// and `yaml://` are there where the settings name them.
    #[must_use]
    pub fn provider(mut self, name: impl Into<String>, strategy: impl Strategy + 'static) -> Self {
        self.strategies.push((name.into(), Arc::new(strategy)));
        self
    }

    /// One more place for the audit's events.
    #[must_use]
    pub fn sink(mut self, sink: impl Sink + 'static) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    /// The enforcer. What its settings leave open is warned of in the log.
    ///
    /// # Errors
    /// [`Code::InvalidSetting`](crate::Code::InvalidSetting) where the certificate of an authority can't be used.
    pub fn build(self) -> crate::Result<Enforcer> {
        for warning in self.settings.warnings() {
            tracing::warn!("{warning}");
        }
        let outward = outward(&self.settings, self.ca)?;
        let providers = providers(&self.settings, self.strategies)?;
        let store = self.store.unwrap_or_else(|| AnyStore::Memory(MemoryStore::new()));
        let mut enforcer = baokit_service::Enforcer::with_store(self.client.core, outward, self.settings, store);
        for client in self.others {
            enforcer = enforcer.client(client.core);
        }
        enforcer = enforcer.providers(providers);
        for sink in self.sinks {
            enforcer = enforcer.sink(sink);
        }
        Ok(Enforcer(Arc::new(enforcer)))
    }
}

/// What the settings name, and what the host has added to it or put in its place.
fn providers(settings: &Settings, strategies: Vec<(String, Arc<dyn Strategy>)>) -> crate::Result<Providers> {
    let mut providers = Providers::default();
    #[cfg(unix)]
    if !settings.file_names.is_empty() {
        providers =
            providers.with("file", Arc::new(super::FileStrategy::new(settings).map_err(setting)?)).map_err(setting)?;
    }
    if settings.yaml_file.is_some() {
        providers =
            providers.with("yaml", Arc::new(super::YamlStrategy::new(settings).map_err(setting)?)).map_err(setting)?;
    }
    for (name, strategy) in strategies {
        providers = providers.with(&name, strategy).map_err(setting)?;
    }
    Ok(providers)
}

/// An error of the settings, in core's words.
fn setting(error: baokit_service::Error) -> crate::Error {
    error.core().cloned().unwrap_or_else(|| crate::Error::new(crate::Code::InvalidSetting).because(error.to_string()))
}

/// A host that speaks with the issuer and the PDP, and shows them no certificate of OpenBao's client.
fn outward(settings: &Settings, ca: Option<Pem>) -> crate::Result<NativeHost> {
    let mut origins: Vec<_> = settings.origins().iter().map(ToString::to_string).collect();
    if origins.is_empty() {
        // Nobody is asked; a client has a node all the same.
        origins.push("http://localhost".to_owned());
    }
    let builder = ClientSettings::builder(Provider::OpenBao).credential(Credential::None).urls(origins);
    let builder = match ca {
        Some(ca) => builder.ca(ca),
        None => builder,
    };
    NativeHost::new(&builder.build()?)
}

/// One of the stores there are.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyStore {
    /// In memory.
    Memory(MemoryStore),
    /// In OpenBao.
    OpenBao(OpenBaoStore<NativeHost>),
}

impl Store for AnyStore {
    async fn insert_if_absent(&self, key: &Key, until: std::time::Duration, now: Now) -> Result<bool> {
        match self {
            Self::Memory(store) => store.insert_if_absent(key, until, now).await,
            Self::OpenBao(store) => store.insert_if_absent(key, until, now).await,
        }
    }

    async fn insert_for(&self, key: &Key, time: std::time::Duration, now: Now) -> Result<bool> {
        match self {
            Self::Memory(store) => store.insert_for(key, time, now).await,
            Self::OpenBao(store) => store.insert_for(key, time, now).await,
        }
    }

    async fn put_grant(&self, key: &Key, grant: Grant, now: Now) -> Result<bool> {
        match self {
            Self::Memory(store) => store.put_grant(key, grant, now).await,
            Self::OpenBao(store) => store.put_grant(key, grant, now).await,
        }
    }

    async fn put_denial(&self, key: &Key, denial: Denial, now: Now) -> Result<()> {
        match self {
            Self::Memory(store) => store.put_denial(key, denial, now).await,
            Self::OpenBao(store) => store.put_denial(key, denial, now).await,
        }
    }

    async fn take_use(&self, key: &Key, sender: Option<&Key>, now: Now) -> Result<Taken> {
        match self {
            Self::Memory(store) => store.take_use(key, sender, now).await,
            Self::OpenBao(store) => store.take_use(key, sender, now).await,
        }
    }
}
