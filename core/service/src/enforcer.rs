//! The order of the checks, and the one way to a provider.
//!
//! ```text
//! parse → tenant guard → authentication → audience → scope → replay → PDP → provider → audit
//! ```
//!
//! A [`Permit`] is what the checks end with and all that a provider is called with: one that was not given can't be
//! made up. Each operation ends with one event, however it ended.

mod provider;
mod readiness;
mod record;
mod who;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use baokit_core::uri::Provider;
use baokit_core::{Client, Code as CoreCode, Error as CoreError, Host, SecretValue};

use self::provider::Mounts;
use self::readiness::Readiness;
use self::record::{Ending, Unfinished, kind_of, named};
pub use self::who::Who;
use crate::audit::{Audit, Effect, Kind, KvVersion, Metrics, Sink, Subscription};
use crate::bearer::Bearer;
use crate::caller::Caller;
use crate::error::{Code, Error, Result};
use crate::kv2::{self, Behalf};
use crate::operation::{Operation, Outcome};
use crate::policy::{self, Basis, Binding, Grants, MemoryStore, Outcome as Decided, Pdp, Question, Store};
use crate::providers::{AllowedFiles, Providers};
use crate::purpose::Purpose;
use crate::resource::{Gate, Resource};
use crate::settings::Settings;

/// How long a stream of events lasts: as long as the issuer's keys count.
const LONGEST_STREAM: Duration = Duration::from_secs(60);

/// Everything between a caller and the secrets.
pub struct Enforcer<H, S = MemoryStore> {
    settings: Settings,
    clients: BTreeMap<Provider, Arc<Client<H>>>,
    providers: Providers,
    /// Speaks with the issuer and the PDP, whose certificates have other roots than OpenBao's.
    outward: H,
    gate: Gate,
    mounts: Mounts,
    readiness: Readiness,
    bearer: Bearer,
    pdp: Option<Pdp>,
    grants: Grants,
    store: S,
    audit: Audit,
}

/// A decision that lets one operation pass.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    purpose: Purpose,
    resource: Resource,
    caller: Arc<Caller>,
    basis: Basis,
}

impl<H: Host> Enforcer<H> {
    /// An enforcer before this client.
    ///
    /// `outward` speaks with the issuer and the PDP, whose certificates have other roots than OpenBao's.
    pub fn new(client: Arc<Client<H>>, outward: H, settings: Settings) -> Self {
        Self::with_store(client, outward, settings, MemoryStore::new())
    }
}

impl<H: Host, S: Store> Enforcer<H, S> {
    /// An enforcer whose grants and used proofs are kept in this store.
    pub fn with_store(client: Arc<Client<H>>, outward: H, mut settings: Settings, store: S) -> Self {
        // Whose mounts are guarded is whose events are recorded.
        client.settings().tenant().tenant().clone_into(&mut settings.tenant_id);
        let mut key = [0; 32];
        outward.random(&mut key);
        // A list that can't be read allows no file.
        let files = AllowedFiles::new(&settings).unwrap_or_default();
        let gate = Gate::new(client.settings(), files);
        let audit = Audit::new(&settings, key);
        Self {
            clients: BTreeMap::from([(client.settings().provider(), client)]),
            providers: Providers::default(),
            gate,
            mounts: Mounts::default(),
            readiness: Readiness::default(),
            bearer: Bearer::new(&settings),
            pdp: settings.pdp.as_ref().map(Pdp::new),
            grants: Grants::new(&settings),
            store,
            audit,
            outward,
            settings,
        }
    }

    /// One more client, of another provider.
    #[must_use]
    pub fn client(mut self, client: Arc<Client<H>>) -> Self {
        self.clients.insert(client.settings().provider(), client);
        self
    }

    /// The host's strategies, for the URIs of other schemes and for pointers.
    #[must_use]
    pub fn providers(mut self, providers: Providers) -> Self {
        self.gate.serve(providers.names().map(str::to_owned).collect());
        self.audit = self.audit.with_metrics(Arc::new(Metrics::new(&providers.names().collect::<Vec<_>>())));
        self.providers = providers;
        self
    }

    /// One more place for the events.
    #[must_use]
    pub fn sink(mut self, sink: impl Sink + 'static) -> Self {
        self.audit = self.audit.with_sink(sink);
        self
    }

    /// What is enforced.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is on record, and the metrics.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The value behind a URI or a pointer: [`Operation::Read`].
    ///
    /// # Errors
    /// Those of the checks, in their order, and those of the provider.
    pub async fn get_credentials(&self, uri: &str, caller: &Caller) -> Result<SecretValue> {
        let mut who = Who::known(caller.clone());
        let resource = self.secret(&who, Purpose::Execute, uri, None, None)?;
        match self.run(&mut who, resource, Operation::Read).await? {
            Outcome::Value(found) => Ok(found.value),
            _ => Err(CoreError::new(CoreCode::Internal).into()),
        }
    }

    /// Admits what an operation is about: a prefix for a list or a search, else a secret or a pointer.
    ///
    /// # Errors
    /// Those of a URI that is none, and `TENANT_MOUNT_MISMATCH`.
    pub fn admit(&self, who: &Who<'_>, text: &str, operation: &Operation) -> Result<Resource> {
        match operation {
            Operation::List(_) | Operation::Search(..) => self.prefix(who, text, None),
            _ => self.secret(who, operation.purpose(), text, None, None),
        }
    }

    /// Admits a secret or pointer, with a mount and a version that may be given beside it.
    pub(crate) fn secret(
        &self,
        who: &Who<'_>,
        purpose: Purpose,
        text: &str,
        mount: Option<&str>,
        version: Option<&str>,
    ) -> Result<Resource> {
        self.gate.secret(text, mount, version).map_err(|error| self.refuse(who, purpose, None, error))
    }

    /// Admits a prefix, with a mount that may be given beside it.
    pub(crate) fn prefix(&self, who: &Who<'_>, prefix: &str, mount: Option<&str>) -> Result<Resource> {
        let provider = self.clients.keys().next().copied().unwrap_or(Provider::OpenBao);
        let admitted = self.gate.prefix(provider, prefix, mount);
        admitted.map_err(|error| self.refuse(who, Purpose::ReadMetadata, None, error))
    }

    /// The tenant, for what concerns no single secret.
    pub(crate) fn tenant(&self) -> Resource {
        Resource::Tenant(self.gate.tenant_resource())
    }

    /// Checks a caller, and carries out what it asks for.
    ///
    /// # Errors
    /// Those of the checks, in their order, and those of the provider.
    pub async fn run(&self, who: &mut Who<'_>, resource: Resource, operation: Operation) -> Result<Outcome> {
        let permit = self.permit(who, operation.purpose(), resource).await?;
        self.carry_out(permit, operation).await
    }

    /// Sees who asks where nothing that was asked by now has seen to it.
    pub(crate) async fn authenticate(&self, who: &mut Who<'_>, purpose: Purpose) -> Result<()> {
        if who.is_identified() {
            return Ok(());
        }
        let seen = who.identify(&self.bearer, &self.outward).await;
        seen.map(drop).map_err(|error| self.refuse(who, purpose, None, error))
    }

    /// Every check before the provider. The guard is asked again, since a resource may have been admitted by another.
    ///
    /// # Errors
    /// In this order: `TENANT_MOUNT_MISMATCH`, [`Code::TokenMissing`] and the others of authentication, [`Code::AudienceMismatch`],
    /// [`Code::ScopeMissing`], [`Code::ProofReplayed`], [`Code::PolicyDenied`], [`Code::PdpUnreachable`].
    pub async fn permit(&self, who: &mut Who<'_>, purpose: Purpose, resource: Resource) -> Result<Permit> {
        let started = self.outward.now().monotonic;
        // Whoever hangs up while it is decided leaves an event too, in the caller's name once that is known.
        let (known, context) = (OnceLock::<Arc<Caller>>::new(), who.shared_context());
        let cut_off = Unfinished::new(|| self.cut_off(purpose, &resource, known.get().map(Arc::as_ref), &context));
        let decided = self.decide(who, purpose, &resource, &known).await;
        cut_off.finish();
        let (caller, basis) = decided.map_err(|error| self.refuse(who, purpose, Some(&resource), error))?;
        let spent = self.outward.now().monotonic.saturating_sub(started);
        self.audit.metrics().pep_latency(basis.is_known, spent);
        self.audit.metrics().decision(Effect::Permit);
        Ok(Permit { purpose, resource, caller, basis })
    }

    async fn decide(
        &self,
        who: &mut Who<'_>,
        purpose: Purpose,
        resource: &Resource,
        known: &OnceLock<Arc<Caller>>,
    ) -> Result<(Arc<Caller>, Basis)> {
        self.gate.check(resource)?;
        let caller = who.identify(&self.bearer, &self.outward).await?;
        let _ = known.set(caller.clone());
        policy::check_audience(&self.settings, &caller)?;
        policy::check_scope(&self.settings, &caller, purpose)?;
        who.admit_once(&self.settings, &self.store, &self.outward).await?;
        let Some(pdp) = &self.pdp else { return Ok((caller, Basis::default())) };
        let metrics = self.audit.metrics();
        let binding = Binding::new(self.gate.tenant(), &caller, purpose, resource.as_str());
        match self.grants.find(&self.store, &binding, self.outward.now()).await? {
            Decided::Granted(basis) => {
                metrics.grant_hit();
                return Ok((caller, basis));
            }
            Decided::Denied(_) => {
                metrics.grant_negative_hit();
                return Err(Error::new(Code::PolicyDenied));
            }
            Decided::NotKnown => metrics.grant_miss(),
        }
        let attributes = self.attributes(purpose, resource).await.map_err(Error::reticent)?;
        let tenant_id = self.gate.tenant();
        let question = Question { tenant_id, caller: &caller, purpose, resource: resource.as_str(), attributes };
        let asked = self.outward.now().monotonic;
        let decision = pdp.evaluate(&self.outward, &question).await.inspect_err(|_| metrics.pdp_error())?;
        let now = self.outward.now();
        metrics.pdp_latency(now.monotonic.saturating_sub(asked));
        match self.grants.keep(&self.store, &binding, &decision, now).await? {
            Decided::Granted(basis) => Ok((caller, basis)),
            Decided::Denied(_) | Decided::NotKnown => Err(Error::new(Code::PolicyDenied)),
        }
    }

    /// The permits to read from one resource and to write another. Where the second is denied or nobody waits for it,
    /// that leaves an event of the first too.
    pub(crate) async fn permit_both(
        &self,
        who: &mut Who<'_>,
        from: Resource,
        to: Resource,
    ) -> Result<(Permit, Permit)> {
        let read = self.permit(who, Purpose::Read, from).await?;
        let cut_off = Unfinished::new(|| self.conclude(&read, Kind::Permit, Ending::cut_off()));
        let write = self.permit(who, Purpose::Write, to).await;
        cut_off.finish();
        match write {
            Ok(write) => Ok((read, write)),
            Err(error) => {
                self.conclude(&read, Kind::Permit, Ending { code: Some(error.code()), ..Ending::default() });
                Err(error)
            }
        }
    }

    /// Carries out what was permitted.
    ///
    /// # Errors
    /// Those of the provider; [`Code::OperationNotSupported`] where it can't do it.
    pub async fn carry_out(&self, permit: Permit, operation: Operation) -> Result<Outcome> {
        let (name, began, kind, named) = (operation.name(), self.outward.now(), kind_of(&operation), named(&operation));
        let cut_off = Unfinished::new(|| self.conclude(&permit, kind, Ending::cut_off()));
        let (result, elsewhere) = if permit.purpose == operation.purpose() {
            self.perform(&permit, operation, began.wall).await
        } else {
            (Err(Error::new(Code::PolicyDenied).because("the permit is for another purpose")), None)
        };
        cut_off.finish();
        let spent = self.outward.now().monotonic.saturating_sub(began.monotonic);
        self.audit.metrics().provider_latency(permit.resource.provider(), name, spent);
        self.conclude(&permit, kind, Ending { elsewhere, ..Ending::of(&result, named) });
        result
    }

    /// Copies, and then where it is to move deletes what was copied.
    ///
    /// # Errors
    /// Those of the provider; [`Code::OperationNotSupported`] where the two are not of one provider that can do it.
    pub(crate) async fn transfer(&self, read: Permit, write: Permit, overwrite: bool, moves: bool) -> Result<Outcome> {
        let (began, taken) = (self.outward.now(), if moves { Kind::VersionDeleted } else { Kind::Permit });
        let cut_off = Unfinished::new(|| {
            self.conclude(&read, taken, Ending::cut_off());
            self.conclude(&write, Kind::Written, Ending::cut_off());
        });
        let copied = self.copy(&read, &write, overwrite, moves, began.wall).await;
        cut_off.finish();
        let spent = self.outward.now().monotonic.saturating_sub(began.monotonic);
        let name = if moves { "move" } else { "copy" };
        self.audit.metrics().provider_latency(write.resource.provider(), name, spent);
        let source = copied.as_ref().ok().map(|(version, _)| KvVersion::One(*version));
        let result = copied.map(|(_, outcome)| outcome);
        self.conclude(&read, taken, Ending { version: source, ..Ending::of(&result, None) });
        self.conclude(&write, Kind::Written, Ending::of(&result, None));
        result
    }

    async fn copy(
        &self,
        read: &Permit,
        write: &Permit,
        overwrite: bool,
        moves: bool,
        wall: Duration,
    ) -> Result<(u64, Outcome)> {
        if (read.purpose, write.purpose) != (Purpose::Read, Purpose::Write) {
            return Err(Error::new(Code::PolicyDenied).because("the permits are for other purposes"));
        }
        let (Some(from), Some(to)) = (self.client_of(&read.resource), self.client_of(&write.resource)) else {
            return Err(Error::new(Code::OperationNotSupported));
        };
        if !std::ptr::eq(from, to) {
            return Err(Error::new(Code::OperationNotSupported).because("source and destination are of two providers"));
        }
        self.verify_mount(from, &read.resource).await?;
        self.verify_mount(to, &write.resource).await?;
        let behalf = Behalf { caller: &write.caller, wall };
        kv2::transfer(from, &read.resource, &write.resource, overwrite, moves, behalf).await
    }

    /// Puts on record that something was shown that no provider holds.
    pub(crate) fn shown(&self, permit: Permit) {
        self.conclude(&permit, Kind::Permit, Ending::default());
    }

    /// The events, as long as the caller's token lasts, and not longer than a withdrawn key or right may count.
    pub(crate) fn subscribe(&self, permit: Permit, after: Option<u64>) -> Subscription {
        let wall = self.outward.now().wall;
        let left = permit.caller.expires.map(|end| Duration::from_secs(end).saturating_sub(wall));
        self.shown(permit);
        self.audit.subscribe(after).lasting(left.unwrap_or(LONGEST_STREAM).min(LONGEST_STREAM))
    }

    /// Whether secrets can be reached: a node of each cluster is there, initialised and unsealed. OpenBao is asked once
    /// a second at most, and waited for two.
    ///
    /// # Errors
    /// That of the last node that was asked.
    pub async fn ready(&self) -> Result<()> {
        self.readiness.of(&self.outward, self.clients.values().map(|client| &**client)).await
    }

    fn client_of(&self, resource: &Resource) -> Option<&Client<H>> {
        let provider = match resource {
            Resource::Secret(uri) => uri.provider(),
            Resource::Prefix(prefix) => prefix.provider(),
            _ => return None,
        };
        self.clients.get(&provider).map(|client| &**client)
    }
}
