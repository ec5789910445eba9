//! What was decided, on record: events, references that give no URI away, and metrics.
//!
//! Every operation leaves one event for each resource that it concerns, whether it succeeds, is refused or fails.
//! Events go to the host's [`Sink`]s, to subscribers, and into a ring of the newest [`RECENT_EVENTS`] in memory. No
//! sink can fail an operation: a failure is counted in the metric `audit_sink_failed_total`.
//!
//! | metric | type, labels | what it counts |
//! |---|---|---|
//! | `secrets_decisions_total` | counter, `effect` | decisions: `permit`, `deny`, `error` |
//! | `secrets_errors_total` | counter, `code` | refusals and failures by their code |
//! | `tenant_mount_violation_total` | counter | mounts that are not the tenant's |
//! | `provider_request_latency_seconds` | histogram, `provider`, `op` | requests to a provider, see [`SECONDS`] |
//! | `provider_circuit_open_total` | counter, `provider` | operations refused, or sent elsewhere, while a provider is out |
//! | `pep_latency_ms` | histogram, `hit` | enforcement with a grant that was there (`true`) or not, see [`MILLISECONDS`] |
//! | `pdp_latency_ms` | histogram | questions to the PDP, see [`MILLISECONDS`] |
//! | `pdp_error_total` | counter | questions that the PDP did not answer with a decision |
//! | `grant_hit_total`, `grant_miss_total` | counter | operations that found a grant, and that found none |
//! | `grant_negative_cache_hit_total` | counter | denials that were remembered |
//! | `anti_replay_total` | counter | proofs and tokens that were used before |
//! | `audit_sink_failed_total` | counter | events that a sink did not take |

mod event;
mod metrics;
mod recent;
mod reference;
mod time;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use self::event::{Effect, Event, Kind, KvVersion, MAX_TEXT, MAX_VERSIONS};
pub use self::metrics::{MILLISECONDS, Metrics, SECONDS};
pub use self::recent::{Delivery, Page, RECENT_EVENTS, Recorded, Subscription};
pub use self::reference::References;
pub use self::time::rfc3339;

use self::recent::Recent;
use crate::caller::{Caller, SenderKey};
use crate::purpose::Purpose;
use crate::settings::Settings;
use crate::shared::Shared;

/// Where events go: a file, a log, a host's own system.
pub trait Sink: Shared {
    /// Takes one event. It is called on the way of a request, so what takes time belongs behind a queue.
    ///
    /// # Errors
    /// [`SinkFailed`] where the event is lost; the operation goes on.
    fn record(&self, event: &Event) -> Result<(), SinkFailed>;
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn record(&self, event: &Event) -> Result<(), SinkFailed> {
        (**self).record(event)
    }
}

/// A sink could not take an event. Why is for the sink itself to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkFailed;

impl fmt::Display for SinkFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an audit sink could not take an event")
    }
}

impl std::error::Error for SinkFailed {}

/// Puts on record what was decided.
///
/// ```
/// use std::time::Duration;
///
/// use baokit_service::audit::{Audit, Effect, Event, Kind, Sink, SinkFailed};
/// use baokit_service::caller::Caller;
/// use baokit_service::purpose::Purpose;
/// use baokit_service::settings::Settings;
///
/// struct Printer;
///
/// impl Sink for Printer {
///     fn record(&self, event: &Event) -> Result<(), SinkFailed> {
///         println!("{}", serde_json::to_string(event).map_err(|_| SinkFailed)?);
///         Ok(())
///     }
/// }
///
/// # fn main() -> baokit_core::Result<()> {
/// let settings = Settings::from_lookup(|_| None)?;
/// let random = [7; 32]; // of the host's source of randomness
/// let audit = Audit::new(&settings, random).with_sink(Printer);
///
/// let (uri, now) = ("openbao+kv2://secret/app/api", Duration::from_secs(1_767_225_600));
/// let event = audit.event(Kind::Permit, Effect::Permit, Purpose::Execute, &Caller::anonymous(), Some(uri), now);
/// audit.record(event);
/// assert_eq!(audit.recent(Some("SECRET_PERMIT"), 0, 10).total, 1);
/// # Ok(())
/// # }
/// ```
pub struct Audit {
    tenant: String,
    references: References,
    sample: u32,
    hits: AtomicU32,
    sinks: Vec<Box<dyn Sink>>,
    recent: Arc<Recent>,
    metrics: Arc<Metrics>,
}

impl Audit {
    /// For the tenant and with the salt of the settings. `random` comes from the host's source of randomness; it is
    /// the key of references where there is no salt.
    #[must_use]
    pub fn new(settings: &Settings, random: [u8; 32]) -> Self {
        Self {
            tenant: settings.tenant_id.clone(),
            references: References::new(settings.salt.as_ref(), random),
            sample: settings.sample_cache_hits.max(1),
            hits: AtomicU32::new(0),
            sinks: Vec::new(),
            recent: Arc::default(),
            metrics: Arc::default(),
        }
    }

    /// Sends events to this sink as well.
    #[must_use]
    pub fn with_sink(mut self, sink: impl Sink + 'static) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    /// Counts with these metrics, which know the names of the host's own providers.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// What makes references.
    #[must_use]
    pub fn references(&self) -> &References {
        &self.references
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Begins an event with what the caller and the settings say. `resource` is the canonical text of what it
    /// concerns, of which only the reference is kept; `now` is the host's wall clock, as time since 1970. The fields
    /// that the operation itself knows are for the caller of this function to fill.
    #[must_use]
    pub fn event(
        &self,
        kind: Kind,
        effect: Effect,
        purpose: Purpose,
        caller: &Caller,
        resource: Option<&str>,
        now: Duration,
    ) -> Event {
        let (cnf_jkt, mtls_thumbprint) = match &caller.sender_key {
            Some(SenderKey::Jkt(thumbprint)) => (Some(thumbprint.clone()), None),
            Some(SenderKey::CertificateThumbprint(thumbprint)) => (None, Some(thumbprint.clone())),
            None => (None, None),
        };
        let context = &caller.context;
        Event {
            event: kind,
            ts: rfc3339(now),
            tenant_id: self.tenant.clone(),
            subject: caller.subject().to_owned(),
            purpose,
            effect,
            resource_ref: resource.map(|resource| self.references.of(resource)),
            salt_id: self.references.salt_id().to_owned(),
            decision_id: None,
            policy_version: None,
            kv_version: None,
            answered_by: None,
            code: None,
            system_id: context.system_id.clone(),
            workflow_run_id: context.workflow_run_id.clone(),
            node_id: context.node_id.clone(),
            correlation_id: context.correlation_id.clone(),
            trace_id: context.trace_id.clone(),
            cnf_jkt,
            mtls_thumbprint,
            token_jti: caller.token_jti.clone(),
            sampled: 1,
        }
    }

    /// Puts an event on record. It waits for nothing but the sinks and can't fail, so that it may stand in a `drop`.
    pub fn record(&self, event: Event) {
        let recorded = self.recent.push(event.bounded());
        for sink in &self.sinks {
            // A host's sink that panics must not take the operation with it, whose secret is already read or written.
            let result = catch_unwind(AssertUnwindSafe(|| sink.record(&recorded.event)));
            if !matches!(result, Ok(Ok(()))) {
                self.metrics.sink_failed();
            }
        }
    }

    /// Puts one in `AUDIT_SAMPLE_CACHE_HIT_N` of these events on record, the first among them, and says whether it
    /// was this one: for permits by a grant, which may be many. Only a [`Kind::Permit`] is ever left out.
    pub fn record_hit(&self, mut event: Event) -> bool {
        if event.event == Kind::Permit {
            let next = |hits: u32| Some(if hits + 1 >= self.sample { 0 } else { hits + 1 });
            let hits = self.hits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
            if hits != 0 {
                return false;
            }
            event.sampled = self.sample;
        }
        self.record(event);
        true
    }

    /// Of the newest [`RECENT_EVENTS`], newest first, those of which some text contains `filter`: a kind, a subject,
    /// a code, a reference.
    #[must_use]
    pub fn recent(&self, filter: Option<&str>, offset: usize, limit: usize) -> Page {
        self.recent.page(filter, offset, limit)
    }

    /// Events from now on, or those after a number, such as a `Last-Event-ID`. Where that is no longer in memory, the
    /// oldest that is comes first; where it was given out by an earlier process and is greater than any of this one,
    /// all of this one's come.
    #[must_use]
    pub fn subscribe(&self, after: Option<u64>) -> Subscription {
        Subscription::new(Arc::clone(&self.recent), after)
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, references, sinks, .. } = self;
        let sinks = sinks.len();
        f.debug_struct("Audit")
            .field("tenant", tenant)
            .field("references", references)
            .field("sinks", &sinks)
            .finish_non_exhaustive()
    }
}
