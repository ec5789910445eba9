//! The sinks of the audit: lines that stay lines, whatever happens to the writer, and attributes of `tracing`.

#![cfg(feature = "service")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baokit::service::{JsonLines, TracingSink};
use baokit_service::audit::{Audit, Effect, Event, Kind, KvVersion};
use baokit_service::caller::{Caller, SenderKey};
use baokit_service::purpose::Purpose;
use baokit_service::settings::Settings;
use tracing::field::{Field, Visit};
use tracing::span;

const URI: &str = "openbao+kv2://secret/canary#canary";
const NOW: Duration = Duration::from_millis(1_767_225_600_042);

fn audit() -> Audit {
    let lookup = |key: &str| (key == "TENANT_SALT").then(|| "0123456789abcdef".to_owned());
    Audit::new(&Settings::from_lookup(lookup).unwrap(), [0; 32])
}

fn caller() -> Caller {
    let mut caller = Caller::anonymous();
    caller.subject = Some("alice\n{\"event\":\"SECRET_PERMIT\"}".into());
    caller.token_jti = Some("jti-1".into());
    caller.sender_key = Some(SenderKey::Jkt("jkt-1".into()));
    caller.context.correlation_id = Some("correlation-1".into());
    caller.context.trace_id = Some("4bf92f3577b34da6a3ce929d0e0e4736".into());
    caller
}

fn rotated(audit: &Audit) -> Event {
    let mut event = audit.event(Kind::Rotated, Effect::Permit, Purpose::Rotate, &caller(), Some(URI), NOW);
    event.kv_version = Some(KvVersion::Replaced { old: Some(3), new: 4 });
    event
}

/// Keeps each write, and fails when it is told to, after a part.
#[derive(Clone, Default)]
struct Writer(Arc<Mutex<(Vec<Vec<u8>>, bool)>>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        let was_cut = state.0.last().is_some_and(|last| last.len() == 5);
        if state.1 && was_cut {
            return Err(io::Error::other("the disk is full"));
        }
        let taken = if state.1 { 5 } else { bytes.len() };
        state.0.push(bytes[..taken].to_vec());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_event_is_one_line_and_one_write() {
    let writer = Writer::default();
    let audit = audit().with_sink(JsonLines::new(writer.clone()));
    audit.record(rotated(&audit));
    audit.record(rotated(&audit));
    let writes = writer.0.lock().unwrap().0.clone();
    assert_eq!(writes.len(), 2);
    for write in writes {
        let line = String::from_utf8(write).unwrap();
        assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&json["event"], &json["kv_version"]["new"]), (&"SECRET_ROTATED".into(), &4.into()));
        assert!(!line.contains("canary"));
    }
}

#[test]
fn a_torn_line_is_counted_and_spoils_no_other() {
    let writer = Writer::default();
    let audit = audit().with_sink(JsonLines::new(writer.clone()));
    writer.0.lock().unwrap().1 = true;
    audit.record(rotated(&audit));
    assert!(audit.metrics().render().contains("\naudit_sink_failed_total 1\n"));
    writer.0.lock().unwrap().1 = false;
    audit.record(rotated(&audit));
    audit.record(rotated(&audit));
    let text = String::from_utf8(writer.0.lock().unwrap().0.concat()).unwrap();
    let lines: Vec<_> = text.lines().map(serde_json::from_str::<serde_json::Value>).collect();
    assert_eq!(lines.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, true], "{text}");
}

#[test]
fn a_file_is_appended_to_and_its_owners_alone() {
    let path = std::env::temp_dir().join(format!("baokit-audit-{}.jsonl", std::process::id()));
    for _ in 0..2 {
        let audit = audit().with_sink(JsonLines::append(&path).unwrap());
        audit.record(rotated(&audit));
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 2);
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn lines_of_several_threads_and_handles_do_not_mix() {
    let path = std::env::temp_dir().join(format!("baokit-audit-threads-{}.jsonl", std::process::id()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let audit = audit().with_sink(JsonLines::append(path).unwrap());
                (0..200).for_each(|_| audit.record(rotated(&audit)));
            });
        }
    });
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(text.lines().count(), 800);
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

type Fields = BTreeMap<String, String>;

/// Keeps target, level and fields of each event.
#[derive(Clone, Default)]
struct Subscriber(Arc<Mutex<Vec<(String, tracing::Level, Fields)>>>);

struct Visitor(Fields);

impl Visit for Visitor {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl tracing::Subscriber for Subscriber {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut visitor = Visitor(Fields::new());
        event.record(&mut visitor);
        let metadata = event.metadata();
        self.0.lock().unwrap().push((metadata.target().to_owned(), *metadata.level(), visitor.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn tracing_gets_every_field_by_its_documented_name() {
    let subscriber = Subscriber::default();
    tracing::subscriber::with_default(subscriber.clone(), || {
        let audit = audit().with_sink(TracingSink);
        audit.record(rotated(&audit));
        let mut denied = audit.event(Kind::Deny, Effect::Deny, Purpose::Execute, &Caller::anonymous(), None, NOW);
        denied.code = Some("SECRET_AUTHZ_FAILED");
        audit.record(denied);
        audit.record(audit.event(Kind::Error, Effect::Permit, Purpose::Read, &Caller::anonymous(), None, NOW));
    });
    let events = subscriber.0.lock().unwrap().clone();
    let levels: Vec<_> = events.iter().map(|(target, level, _)| (target.as_str(), *level)).collect();
    let target = "baokit::audit";
    assert_eq!(
        levels,
        [(target, tracing::Level::INFO), (target, tracing::Level::WARN), (target, tracing::Level::WARN)]
    );

    let fields: Vec<_> = events[0].2.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("correlation.id", "correlation-1"),
        ("enduser.id", "alice\u{fffd}{\"event\":\"SECRET_PERMIT\"}"),
        ("event.name", "SECRET_ROTATED"),
        ("event.time", "2026-01-01T00:00:00.042Z"),
        ("secret.effect", "permit"),
        ("secret.purpose", "rotate"),
        ("secret.ref", &audit().references().of(URI)),
        ("secret.salt_id", "BMrW5RS1"),
        ("secret.sampled", "1"),
        ("secret.version", "3->4"),
        ("tenant.id", "dev"),
        ("token.cnf.jkt", "jkt-1"),
        ("token.jti", "jti-1"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ];
    assert_eq!(fields, expected);
    assert_eq!(events[1].2["error.type"], "SECRET_AUTHZ_FAILED");
    assert!(!events[1].2.contains_key("secret.ref"));
    assert!(!format!("{events:?}").contains("canary"));
}
