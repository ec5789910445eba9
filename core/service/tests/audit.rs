//! What goes on record: the fields, references, bounds, sinks that fail, sampling, and subscribers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use baokit_service::audit::{
    Audit, Effect, Event, Kind, KvVersion, MAX_TEXT, MAX_VERSIONS, RECENT_EVENTS, References, Sink, SinkFailed, rfc3339,
};
use baokit_service::caller::{Caller, SenderKey};
use baokit_service::purpose::Purpose;
use baokit_service::settings::Settings;

const URI: &str = "openbao+kv2://secret/app/api#token";
const SALT: &str = "0123456789abcdef";
const NOW: Duration = Duration::from_millis(1_767_225_600_042);

fn settings(keys: &'static [(&'static str, &'static str)]) -> Settings {
    let lookup = |key: &str| keys.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
    Settings::from_lookup(lookup).unwrap()
}

fn audit() -> Audit {
    Audit::new(&settings(&[("TENANT_ID", "acme"), ("TENANT_SALT", SALT)]), [0; 32])
}

fn caller() -> Caller {
    let mut caller = Caller::anonymous();
    caller.subject = Some("alice".into());
    caller.token_jti = Some("jti-1".into());
    caller.sender_key = Some(SenderKey::Jkt("jkt-1".into()));
    caller.context.correlation_id = Some("correlation-1".into());
    caller.context.workflow_run_id = Some("run-1".into());
    caller.context.node_id = Some("node-1".into());
    caller.context.system_id = Some("system-1".into());
    caller.context.trace_id = Some("4bf92f3577b34da6a3ce929d0e0e4736".into());
    caller
}

fn permit(audit: &Audit) -> Event {
    audit.event(Kind::Permit, Effect::Permit, Purpose::Execute, &caller(), Some(URI), NOW)
}

/// Keeps the JSON of what it gets, as any sink would write it.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Sink for Kept {
    fn record(&self, event: &Event) -> Result<(), SinkFailed> {
        self.0.lock().unwrap().push(serde_json::to_string(event).unwrap());
        Ok(())
    }
}

#[test]
fn an_event_has_the_fields_of_the_contract() {
    let kept = Kept::default();
    let audit = audit().with_sink(kept.clone());
    let mut event = audit.event(Kind::Rotated, Effect::Permit, Purpose::Rotate, &caller(), Some(URI), NOW);
    event.decision_id = Some("decision-1".into());
    event.policy_version = Some("7".into());
    event.kv_version = Some(KvVersion::Replaced { old: Some(3), new: 4 });
    event.code = Some("CAS_CONFLICT");
    audit.record(event);

    let json: serde_json::Value = serde_json::from_str(&kept.0.lock().unwrap()[0]).unwrap();
    let expected = serde_json::json!({
        "event": "SECRET_ROTATED",
        "ts": "2026-01-01T00:00:00.042Z",
        "tenant_id": "acme",
        "subject": "alice",
        "purpose": "rotate",
        "effect": "permit",
        "resource_ref": "0Mdte39B7Bra3dUbTpiQYanz1Y6OJ2VkqtVsCAOhLv0",
        "salt_id": "BMrW5RS1",
        "decision_id": "decision-1",
        "policy_version": "7",
        "kv_version": {"old": 3, "new": 4},
        "code": "CAS_CONFLICT",
        "system_id": "system-1",
        "workflow_run_id": "run-1",
        "node_id": "node-1",
        "correlation_id": "correlation-1",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "cnf_jkt": "jkt-1",
        "token_jti": "jti-1",
        "sampled": 1,
    });
    assert_eq!(json, expected);
}

#[test]
fn what_is_not_known_is_left_out_and_a_certificate_has_its_own_field() {
    let audit = audit();
    let mut caller = Caller::anonymous();
    caller.sender_key = Some(SenderKey::CertificateThumbprint("x5t".into()));
    let event = audit.event(Kind::Deny, Effect::Deny, Purpose::Write, &caller, None, NOW);
    let json = serde_json::to_value(&event).unwrap();
    let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected =
        ["event", "ts", "tenant_id", "subject", "purpose", "effect", "salt_id", "mtls_thumbprint", "sampled"];
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!((&json["subject"], &json["mtls_thumbprint"]), (&"anonymous".into(), &"x5t".into()));
}

#[test]
fn versions_are_a_number_a_list_or_both_of_a_change() {
    let json = |version: KvVersion| serde_json::to_string(&version).unwrap();
    assert_eq!(json(KvVersion::One(3)), "3");
    assert_eq!(json(KvVersion::Several(vec![1, 2])), "[1,2]");
    assert_eq!(json(KvVersion::Replaced { old: None, new: 1 }), r#"{"old":null,"new":1}"#);
}

#[test]
fn kinds_and_effects_have_stable_names() {
    let kinds: Vec<_> = Kind::ALL.into_iter().map(Kind::as_str).collect();
    let expected = [
        "SECRET_PERMIT",
        "SECRET_DENY",
        "SECRET_WRITTEN",
        "SECRET_ROTATED",
        "SECRET_VERSION_DELETED",
        "SECRET_VERSIONS_UNDELETED",
        "SECRET_VERSIONS_DESTROYED",
        "SECRET_DESTROYED",
        "SECRET_OWNER_CHANGED",
        "SECRET_ERROR",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(Effect::ALL.map(Effect::as_str), ["permit", "deny", "error"]);
    let of: Vec<_> = Purpose::ALL.into_iter().map(|purpose| Kind::of(purpose).as_str()).collect();
    assert_eq!(of[..4], ["SECRET_PERMIT", "SECRET_PERMIT", "SECRET_WRITTEN", "SECRET_ROTATED"]);
    assert_eq!(of[4..7], ["SECRET_VERSION_DELETED", "SECRET_VERSIONS_UNDELETED", "SECRET_VERSIONS_DESTROYED"]);
    assert_eq!(of[7..], ["SECRET_PERMIT", "SECRET_OWNER_CHANGED"]);
}

#[test]
fn references_are_what_another_implementation_computes() {
    // By Python's hmac and base64.
    let references = |salt: &str| References::new(Some(&salt.into()), [9; 32]);
    let short = references(SALT);
    assert_eq!(short.of(URI), "0Mdte39B7Bra3dUbTpiQYanz1Y6OJ2VkqtVsCAOhLv0");
    assert_eq!(short.of("openbao+kv2://secret/bücher"), "2JdgKvqlh2dLvAHHWph75poA6YlM27unNVcvpbfbbH0");
    assert_eq!(short.salt_id(), "BMrW5RS1");
    let long = references(&"tenant-salt-of-more-than-sixty-four-bytes-".repeat(3));
    assert_eq!(long.of(URI), "5Yd5esZjKu6iDYglLBEPI-8Gj8goFPzCXv8ahOgWHO8");
    assert_eq!(long.salt_id(), "-dz8DGvE");
    let drawn = References::new(None, [7; 32]);
    assert_eq!((drawn.of(URI).as_str(), drawn.salt_id()), ("H5KaMCyRaQPeGGpWEQD4lVguhEPeDfTEl0otMwEsScA", "eivGzX1v"));
}

#[test]
fn times_are_right_at_the_edges_of_the_calendar() {
    // By GNU date.
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (68_169_599, "1972-02-28T23:59:59.000Z"),
        (68_169_600, "1972-02-29T00:00:00.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (951_868_800, "2000-03-01T00:00:00.000Z"),
        (1_798_761_599, "2026-12-31T23:59:59.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        (253_402_300_799, "9999-12-31T23:59:59.000Z"),
        (u64::MAX, "9999-12-31T23:59:59.000Z"),
    ] {
        assert_eq!(rfc3339(Duration::from_secs(seconds)), text);
    }
}

#[test]
fn no_caller_can_fill_a_disk_or_forge_a_line() {
    let kept = Kept::default();
    let audit = audit().with_sink(kept.clone());
    let mut caller = caller();
    caller.subject = Some("ä".repeat(10_000));
    caller.token_jti = Some("a\n{\"event\":\"SECRET_PERMIT\"}\r\u{1b}[2J\u{85}\u{2028}\u{202e}z".into());
    let mut event = audit.event(Kind::VersionsDestroyed, Effect::Permit, Purpose::DestroyVersions, &caller, None, NOW);
    event.kv_version = Some(KvVersion::Several((1..10_000).collect()));
    audit.record(event);

    let line = kept.0.lock().unwrap()[0].clone();
    assert!(!line.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}')), "{line}");
    assert!(line.len() < 2000, "{}", line.len());
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    let subject = json["subject"].as_str().unwrap();
    assert!(subject.len() <= MAX_TEXT && subject.starts_with("ää") && subject.ends_with("ä…"), "{subject}");
    assert!(json["token_jti"].as_str().unwrap().starts_with("a\u{fffd}{\"event\""));
    assert_eq!(json["kv_version"].as_array().unwrap().len(), MAX_VERSIONS);
}

struct Broken;

impl Sink for Broken {
    fn record(&self, _: &Event) -> Result<(), SinkFailed> {
        Err(SinkFailed)
    }
}

struct Panics;

impl Sink for Panics {
    fn record(&self, _: &Event) -> Result<(), SinkFailed> {
        panic!("a host's mistake")
    }
}

#[test]
fn a_sink_that_fails_is_counted_and_fails_nobody() {
    let kept = Kept::default();
    let audit = audit().with_sink(Broken).with_sink(Panics).with_sink(kept.clone());
    audit.record(permit(&audit));
    assert_eq!(kept.0.lock().unwrap().len(), 1);
    assert!(audit.metrics().render().contains("\naudit_sink_failed_total 2\n"));
}

#[test]
fn of_permits_by_a_grant_one_in_n_is_on_record() {
    let kept = Kept::default();
    let settings = settings(&[("AUDIT_SAMPLE_CACHE_HIT_N", "3")]);
    let audit = Audit::new(&settings, [1; 32]).with_sink(kept.clone());
    let recorded: Vec<_> = (0..7).map(|_| audit.record_hit(permit(&audit))).collect();
    assert_eq!(recorded, [true, false, false, true, false, false, true]);
    assert!(kept.0.lock().unwrap().iter().all(|line| line.contains("\"sampled\":3")));

    // What changes something, or fails, is never left out.
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Permit) {
        let event = audit.event(kind, Effect::Permit, Purpose::Write, &caller(), None, NOW);
        assert!(audit.record_hit(event));
        assert!(kept.0.lock().unwrap().last().unwrap().contains("\"sampled\":1"));
    }
}

#[test]
fn the_newest_events_are_kept_and_can_be_leafed_through() {
    let audit = audit();
    for number in 0..RECENT_EVENTS + 5 {
        let mut event = permit(&audit);
        event.decision_id = Some(format!("decision-{number}"));
        audit.record(event);
    }
    let page = audit.recent(None, 0, 2);
    assert_eq!((page.total, page.items.len()), (RECENT_EVENTS, 2));
    assert_eq!((page.items[0].sequence, page.items[1].sequence), (1005, 1004));
    let page = audit.recent(None, RECENT_EVENTS - 1, 10);
    assert_eq!((page.items.len(), page.items[0].sequence), (1, 6));
    assert!(audit.recent(None, usize::MAX, usize::MAX).items.is_empty());

    let page = audit.recent(Some("decision-1004"), 0, 10);
    assert_eq!((page.total, page.items[0].sequence), (1, 1005));
    assert_eq!(audit.recent(Some(&audit.references().of(URI)), 0, 1).total, RECENT_EVENTS);
    assert_eq!(audit.recent(Some("SECRET_DENY"), 0, 1).total, 0);
    let json = serde_json::to_value(&page).unwrap();
    assert_eq!((&json["total"], &json["items"][0]["sequence"]), (&1.into(), &1005.into()));
    assert_eq!(json["items"][0]["event"], "SECRET_PERMIT");
}

struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn subscribers_are_woken_in_order_and_each_gets_all() {
    let audit = audit();
    audit.record(permit(&audit));
    let (mut first, mut second) = (audit.subscribe(None), audit.subscribe(Some(0)));
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);

    // One from before it subscribed is for the second alone.
    assert_eq!(second.try_next().unwrap().recorded.sequence, 1);
    assert!(first.try_next().is_none() && second.try_next().is_none());
    let mut next = pin!(first.next());
    assert!(next.as_mut().poll(&mut context).is_pending());
    audit.record(permit(&audit));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    let Poll::Ready(delivery) = next.poll(&mut context) else { panic!("it was woken") };
    assert_eq!((delivery.recorded.sequence, delivery.missed), (2, 0));
    assert_eq!(second.try_next().unwrap().recorded.sequence, 2);
}

#[test]
fn a_wait_that_is_dropped_loses_nothing() {
    let audit = audit();
    let mut subscription = audit.subscribe(None);
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(subscription.next()).poll(&mut context).is_pending());
    audit.record(permit(&audit));
    assert_eq!(subscription.try_next().unwrap().recorded.sequence, 1);
}

#[test]
fn a_slow_subscriber_loses_the_oldest_and_is_told_how_many() {
    let audit = audit();
    let mut slow = audit.subscribe(None);
    for _ in 0..RECENT_EVENTS + 12 {
        audit.record(permit(&audit));
    }
    let delivery = slow.try_next().unwrap();
    assert_eq!((delivery.missed, delivery.recorded.sequence), (12, 13));
    let text = delivery.to_server_sent_event();
    assert!(text.starts_with("event: EVENTS_MISSED\ndata: {\"missed\":12}\n\nid: 13\nevent: SECRET_PERMIT\ndata: {"));
    let delivery = slow.try_next().unwrap();
    assert_eq!((delivery.missed, delivery.recorded.sequence), (0, 14));
    let text = delivery.to_server_sent_event();
    assert!(text.starts_with("id: 14\n") && text.ends_with("}\n\n") && text.lines().count() == 4, "{text}");
}

#[test]
fn a_subscriber_that_comes_back_goes_on_where_it_was() {
    let audit = audit();
    for _ in 0..5 {
        audit.record(permit(&audit));
    }
    assert_eq!(audit.subscribe(Some(3)).try_next().unwrap().recorded.sequence, 4);
    assert!(audit.subscribe(Some(5)).try_next().is_none());
    // The number of a process that is gone: none of this one's is left out.
    let delivery = audit.subscribe(Some(900)).try_next().unwrap();
    assert_eq!((delivery.recorded.sequence, delivery.missed), (1, 0));
}

#[test]
fn threads_share_one_record() {
    let audit = Arc::new(audit());
    let mut subscription = audit.subscribe(None);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| audit.record(permit(&audit))));
        }
    });
    let sequences: Vec<_> = std::iter::from_fn(|| subscription.try_next()).map(|one| one.recorded.sequence).collect();
    assert_eq!(sequences, (1..=400).collect::<Vec<u64>>());
}

#[test]
fn neither_salt_nor_uri_is_shown_anywhere() {
    let kept = Kept::default();
    let canary = settings(&[("TENANT_SALT", "canary-canary-canary")]);
    let audit = Audit::new(&canary, [0; 32]).with_sink(kept.clone());
    let uri = "openbao+kv2://secret/canary#canary";
    let event = audit.event(Kind::Permit, Effect::Permit, Purpose::Execute, &caller(), Some(uri), NOW);
    let mut shown = format!("{event:?} {audit:?} {:?} {canary:?}", audit.metrics());
    audit.record(event);
    shown += &format!("{:?}", audit.recent(None, 0, 10));
    shown += &audit.metrics().render();
    shown += &kept.0.lock().unwrap().concat();
    shown += &format!("{SinkFailed} {SinkFailed:?}");
    assert!(!shown.contains("canary"), "{shown}");
}
