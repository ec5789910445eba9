//! What is counted and timed, as text that Prometheus reads. The names are the contract; every label has a bounded
//! set of values, so that no caller can make series.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::event::Effect;

/// The upper bounds of a provider's latencies, in seconds.
pub const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// The upper bounds of the latencies of enforcement and of the PDP, in milliseconds.
pub const MILLISECONDS: [f64; 13] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 500.0, 5000.0];

/// The providers that the service knows of itself.
const PROVIDERS: [&str; 6] = ["azure", "db", "file", "hashicorp", "openbao", "yaml"];
/// The label of a provider that nobody registered.
const OTHER: &str = "other";

type Label = [(&'static str, &'static str); 1];
type ProviderLabel = [(&'static str, String); 1];
type RequestLabels = [(&'static str, String); 2];
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The metrics of one service.
///
/// ```
/// use baokit_service::audit::{Effect, Metrics};
///
/// let metrics = Metrics::default();
/// metrics.decision(Effect::Deny);
/// assert!(metrics.render().contains("secrets_decisions_total{effect=\"deny\"} 1\n"));
/// ```
pub struct Metrics {
    registry: Registry,
    providers: BTreeSet<String>,
    decisions: Family<Label, Counter>,
    provider_latency: Histograms<RequestLabels>,
    errors: Family<Label, Counter>,
    tenant_violations: Counter,
    pep_latency: Histograms<Label>,
    grant_hits: Counter,
    grant_misses: Counter,
    grant_negative_hits: Counter,
    pdp_latency: Histogram,
    pdp_errors: Counter,
    circuits_open: Family<ProviderLabel, Counter>,
    replays: Counter,
    sinks_failed: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Metrics {
    /// The `Content-Type` of [`Metrics::render`].
    pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

    /// Metrics that know the host's own providers by name, beside `openbao`, `hashicorp`, `yaml`, `file`, `db` and
    /// `azure`. Every other provider counts as `other`.
    #[must_use]
    pub fn new(providers: &[&str]) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            providers: PROVIDERS.iter().chain(providers).map(|name| (*name).to_owned()).collect(),
            decisions: Family::default(),
            provider_latency: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            errors: Family::default(),
            tenant_violations: Counter::default(),
            pep_latency: Family::new_with_constructor(|| Histogram::new(MILLISECONDS)),
            grant_hits: Counter::default(),
            grant_misses: Counter::default(),
            grant_negative_hits: Counter::default(),
            pdp_latency: Histogram::new(MILLISECONDS),
            pdp_errors: Counter::default(),
            circuits_open: Family::default(),
            replays: Counter::default(),
            sinks_failed: Counter::default(),
        };
        metrics.register();
        metrics.begin();
        metrics
    }

    /// The library adds `_total` to a counter's name, and a full stop to its help.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("secrets_decisions", "Decisions by their effect", self.decisions.clone());
        registry.register(
            "provider_request_latency_seconds",
            "Requests to a provider, in seconds",
            self.provider_latency.clone(),
        );
        registry.register("secrets_errors", "Refusals and failures by their code", self.errors.clone());
        registry.register(
            "tenant_mount_violation",
            "Requests for mounts that are not the tenant's",
            self.tenant_violations.clone(),
        );
        registry.register(
            "pep_latency_ms",
            "Enforcement, with a grant that was there or without, in milliseconds",
            self.pep_latency.clone(),
        );
        registry.register("grant_hit", "Operations that found a grant", self.grant_hits.clone());
        registry.register("grant_miss", "Operations that found no grant", self.grant_misses.clone());
        registry.register("grant_negative_cache_hit", "Denials that were remembered", self.grant_negative_hits.clone());
        registry.register("pdp_latency_ms", "Questions to the PDP, in milliseconds", self.pdp_latency.clone());
        registry.register("pdp_error", "Questions that the PDP did not decide", self.pdp_errors.clone());
        registry.register(
            "provider_circuit_open",
            "Operations that found a provider out of order",
            self.circuits_open.clone(),
        );
        registry.register("anti_replay", "Proofs and tokens that were used before", self.replays.clone());
        registry.register("audit_sink_failed", "Events that a sink did not take", self.sinks_failed.clone());
    }

    /// Series that begin at zero, so that the first event already is a rise that an alert can see.
    fn begin(&self) {
        for effect in Effect::ALL {
            let _ = self.decisions.get_or_create_owned(&[("effect", effect.as_str())]);
        }
        for provider in &self.providers {
            let _ = self.circuits_open.get_or_create_owned(&[("provider", provider.clone())]);
        }
    }

    /// Something was decided.
    pub fn decision(&self, effect: Effect) {
        self.decisions.get_or_create_owned(&[("effect", effect.as_str())]).inc();
    }

    /// A provider has answered, or failed to, within this time. `provider` is its name without an engine, or with one
    /// that is left out: `openbao`, `openbao+kv2`.
    pub fn provider_latency(&self, provider: &str, op: &'static str, time: Duration) {
        let labels = [("provider", self.provider(provider)), ("op", op.to_owned())];
        self.provider_latency.get_or_create_owned(&labels).observe(time.as_secs_f64());
    }

    /// An operation was refused or failed with this code: a [`Code`](crate::Code)'s text.
    pub fn error(&self, code: &'static str) {
        self.errors.get_or_create_owned(&[("code", code)]).inc();
    }

    /// A mount was asked for that is not the tenant's.
    pub fn tenant_violation(&self) {
        self.tenant_violations.inc();
    }

    /// Enforcement took this time; `hit` where a grant was there.
    pub fn pep_latency(&self, hit: bool, time: Duration) {
        let hit = if hit { "true" } else { "false" };
        self.pep_latency.get_or_create_owned(&[("hit", hit)]).observe(milliseconds(time));
    }

    /// A grant was found.
    pub fn grant_hit(&self) {
        self.grant_hits.inc();
    }

    /// No grant was found.
    pub fn grant_miss(&self) {
        self.grant_misses.inc();
    }

    /// A denial was remembered.
    pub fn grant_negative_hit(&self) {
        self.grant_negative_hits.inc();
    }

    /// The PDP has answered, or failed to, within this time.
    pub fn pdp_latency(&self, time: Duration) {
        self.pdp_latency.observe(milliseconds(time));
    }

    /// The PDP gave no decision.
    pub fn pdp_error(&self) {
        self.pdp_errors.inc();
    }

    /// An operation found a provider out of order.
    pub fn circuit_open(&self, provider: &str) {
        self.circuits_open.get_or_create_owned(&[("provider", self.provider(provider))]).inc();
    }

    /// A proof or token was used before.
    pub fn anti_replay(&self) {
        self.replays.inc();
    }

    /// A sink did not take an event.
    pub fn sink_failed(&self) {
        self.sinks_failed.inc();
    }

    /// All of it in Prometheus's text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a text in memory does not fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }

    fn provider(&self, name: &str) -> String {
        let name = name.split('+').next().unwrap_or(name);
        self.providers.get(name).map_or(OTHER, String::as_str).to_owned()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("providers", &self.providers).finish_non_exhaustive()
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
