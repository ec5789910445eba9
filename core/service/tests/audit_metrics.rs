//! The metrics' text: that Prometheus can read it, the names and labels of the contract, and that no caller can make
//! series.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baokit_service::audit::{Effect, MILLISECONDS, Metrics, SECONDS};

/// One sample: its labels and its value.
type Sample = (BTreeMap<String, String>, f64);

/// What the text says: the type of each family, and the samples of each name. Strict about everything of the format
/// that the service uses.
#[derive(Default)]
struct Parsed {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, Vec<Sample>>,
}

impl Parsed {
    fn of(text: &str) -> Self {
        assert!(text.ends_with('\n'));
        let mut parsed = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let (word, rest) = rest.split_once(' ').unwrap();
                let (name, rest) = rest.split_once(' ').unwrap();
                assert!(matches!(word, "HELP" | "TYPE") && !rest.is_empty(), "{line}");
                if word == "TYPE" {
                    assert!(parsed.types.insert(name.into(), rest.into()).is_none(), "twice: {name}");
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(legal), "{line}");
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let is_histogram = family.is_some_and(|family| parsed.types.get(family).is_some_and(|t| t == "histogram"));
            assert!(is_histogram || parsed.types.get(name).is_some_and(|t| t == "counter"), "no type: {line}");
            let labels = labels.strip_suffix('}').unwrap().split(',').filter(|label| !label.is_empty());
            let labels = labels.map(|label| {
                let (key, value) = label.split_once('=').unwrap();
                let value = value.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
                assert!(!value.contains(['"', '\\', '\n']));
                (key.to_owned(), value.to_owned())
            });
            let value = value.parse().unwrap();
            parsed.samples.entry(name.into()).or_default().push((labels.collect(), value));
        }
        parsed
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: BTreeMap<_, _> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let found = self.samples.get(name).and_then(|samples| samples.iter().find(|(l, _)| *l == labels));
        found.unwrap_or_else(|| panic!("no {name} {labels:?}")).1
    }

    fn labels(&self, name: &str) -> BTreeSet<&str> {
        self.samples[name].iter().flat_map(|(labels, _)| labels.keys()).map(String::as_str).collect()
    }
}

fn used() -> Metrics {
    let metrics = Metrics::new(&["ours"]);
    metrics.decision(Effect::Permit);
    metrics.decision(Effect::Permit);
    metrics.decision(Effect::Deny);
    metrics.provider_latency("openbao+kv2", "read", Duration::from_millis(3));
    metrics.provider_latency("ours", "read", Duration::from_secs(40));
    metrics.error("SECRET_AUTHZ_FAILED");
    metrics.tenant_violation();
    metrics.pep_latency(true, Duration::from_micros(70));
    metrics.pep_latency(false, Duration::from_millis(20));
    metrics.grant_hit();
    metrics.grant_miss();
    metrics.grant_negative_hit();
    metrics.pdp_latency(Duration::from_millis(12));
    metrics.pdp_error();
    metrics.circuit_open("openbao");
    metrics.anti_replay();
    metrics.sink_failed();
    metrics
}

#[test]
fn names_types_and_labels_are_those_of_the_contract() {
    let parsed = Parsed::of(&used().render());
    let types: Vec<_> = parsed.types.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    let expected = [
        ("anti_replay_total", "counter"),
        ("audit_sink_failed_total", "counter"),
        ("grant_hit_total", "counter"),
        ("grant_miss_total", "counter"),
        ("grant_negative_cache_hit_total", "counter"),
        ("pdp_error_total", "counter"),
        ("pdp_latency_ms", "histogram"),
        ("pep_latency_ms", "histogram"),
        ("provider_circuit_open_total", "counter"),
        ("provider_request_latency_seconds", "histogram"),
        ("secrets_decisions_total", "counter"),
        ("secrets_errors_total", "counter"),
        ("tenant_mount_violation_total", "counter"),
    ];
    assert_eq!(types, expected);
    assert_eq!(parsed.labels("secrets_decisions_total"), BTreeSet::from(["effect"]));
    assert_eq!(parsed.labels("secrets_errors_total"), BTreeSet::from(["code"]));
    assert_eq!(parsed.labels("provider_request_latency_seconds_count"), BTreeSet::from(["op", "provider"]));
    assert_eq!(parsed.labels("pep_latency_ms_bucket"), BTreeSet::from(["hit", "le"]));
    assert_eq!(parsed.labels("pdp_latency_ms_bucket"), BTreeSet::from(["le"]));
    assert!(parsed.labels("tenant_mount_violation_total").is_empty());
}

#[test]
fn counts_are_counted_once() {
    let parsed = Parsed::of(&used().render());
    assert_eq!(parsed.value("secrets_decisions_total", &[("effect", "permit")]), 2.0);
    assert_eq!(parsed.value("secrets_decisions_total", &[("effect", "deny")]), 1.0);
    assert_eq!(parsed.value("secrets_decisions_total", &[("effect", "error")]), 0.0);
    assert_eq!(parsed.value("secrets_errors_total", &[("code", "SECRET_AUTHZ_FAILED")]), 1.0);
    assert_eq!(parsed.value("provider_circuit_open_total", &[("provider", "openbao")]), 1.0);
    assert_eq!(parsed.value("provider_circuit_open_total", &[("provider", "ours")]), 0.0);
    for name in ["tenant_mount_violation", "grant_hit", "grant_miss", "grant_negative_cache_hit", "pdp_error"] {
        assert_eq!(parsed.value(&format!("{name}_total"), &[]), 1.0, "{name}");
    }
    for name in ["anti_replay_total", "audit_sink_failed_total"] {
        assert_eq!(parsed.value(name, &[]), 1.0, "{name}");
    }
}

#[test]
fn latencies_fall_into_the_documented_buckets() {
    let parsed = Parsed::of(&used().render());
    let read = |provider, le| {
        parsed.value("provider_request_latency_seconds_bucket", &[("provider", provider), ("op", "read"), ("le", le)])
    };
    assert_eq!((read("openbao", "0.0025"), read("openbao", "0.005"), read("openbao", "+Inf")), (0.0, 1.0, 1.0));
    assert_eq!((read("ours", "30"), read("ours", "+Inf")), (0.0, 1.0));
    let pep = |hit, le| parsed.value("pep_latency_ms_bucket", &[("hit", hit), ("le", le)]);
    assert_eq!((pep("true", "0.05"), pep("true", "0.1"), pep("false", "10"), pep("false", "25")), (0.0, 1.0, 0.0, 1.0));
    assert_eq!(parsed.value("pdp_latency_ms_sum", &[]), 12.0);
    assert_eq!(parsed.samples["pdp_latency_ms_bucket"].len(), MILLISECONDS.len() + 1);
    assert_eq!(parsed.samples["provider_request_latency_seconds_bucket"].len(), 2 * (SECONDS.len() + 1));
    assert!(SECONDS.is_sorted() && MILLISECONDS.is_sorted());
}

#[test]
fn nobody_can_make_series_by_naming_providers() {
    let metrics = Metrics::default();
    for number in 0..1000 {
        metrics.provider_latency(&format!("made-up-{number}\"\n"), "read", Duration::ZERO);
        metrics.circuit_open(&format!("made-up-{number}"));
    }
    let parsed = Parsed::of(&metrics.render());
    assert_eq!(parsed.samples["provider_request_latency_seconds_count"].len(), 1);
    assert_eq!(
        parsed.value("provider_request_latency_seconds_count", &[("provider", "other"), ("op", "read")]),
        1000.0
    );
    assert_eq!(parsed.samples["provider_circuit_open_total"].len(), 7);
}

#[test]
fn an_unused_service_shows_its_counters_at_zero() {
    let text = Metrics::default().render();
    let parsed = Parsed::of(&text);
    assert_eq!(parsed.value("secrets_decisions_total", &[("effect", "deny")]), 0.0);
    assert_eq!(parsed.value("anti_replay_total", &[]), 0.0);
    assert_eq!(Metrics::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
}
