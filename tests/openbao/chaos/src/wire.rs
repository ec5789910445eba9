//! Every request that baokit sends, as its own log at debug level tells it: counted, and written to a file where one is
//! asked for. This is how a read that took more than one request is seen, and how a fault is followed afterwards.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use ha_cluster::{Error, Result};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// What baokit's requests are logged under.
const TARGET: &str = "baokit";

/// The log of this process. tracing has one for all, so this is one for all as well.
static WIRE: OnceLock<Wire> = OnceLock::new();

/// What was sent so far.
#[derive(Debug)]
pub struct Wire {
    start: Instant,
    counts: Counters,
    file: Mutex<Option<BufWriter<File>>>,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    reads: AtomicU64,
    unwraps: AtomicU64,
    logins: AtomicU64,
    notices: AtomicU64,
}

/// Numbers of requests, of this process until a moment; two of them are subtracted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub requests: u64,
    /// Those that read a secret's data.
    pub reads: u64,
    /// Those that unwrap: one for each strong read.
    pub strong: u64,
    /// Those that log in.
    pub logins: u64,
    /// What an operator was told, such as a version that went back.
    pub notices: u64,
}

impl Counts {
    /// What came after an earlier moment.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests - earlier.requests,
            reads: self.reads - earlier.reads,
            strong: self.strong - earlier.strong,
            logins: self.logins - earlier.logins,
            notices: self.notices - earlier.notices,
        }
    }
}

/// Begins to listen; later calls give the same listener, whose `start` is the beginning of the file's times.
///
/// # Errors
/// Where the file can't be made, or another listener is there already.
pub fn listen(file: Option<&Path>) -> Result<&'static Wire> {
    if let Some(wire) = WIRE.get() {
        return Ok(wire);
    }
    let make = |path: &Path| {
        File::create(path).map(BufWriter::new).map_err(|error| {
            Error::new(format!("could not make the log {}: {error}", path.display()), "name another file with --log")
        })
    };
    let file = file.map(make).transpose()?;
    let wire = WIRE.get_or_init(|| Wire { start: Instant::now(), counts: Counters::default(), file: Mutex::new(file) });
    // Where two tests begin at once, the second finds it set.
    let _ = tracing::subscriber::set_global_default(Listener);
    Ok(wire)
}

/// A line of our own in the same file, so that requests and faults stand in one order.
pub fn note(text: impl fmt::Display) {
    if let Some(wire) = WIRE.get() {
        wire.line(format_args!("-- {text}"));
    }
}

impl Wire {
    /// What was sent until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let Counters { requests, reads, unwraps, logins, notices } = &self.counts;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            requests: get(requests),
            reads: get(reads),
            strong: get(unwraps),
            logins: get(logins),
            notices: get(notices),
        }
    }

    fn line(&self, text: fmt::Arguments<'_>) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = file.as_mut() {
            let at = self.start.elapsed().as_secs_f64();
            // A full disk must not end a test that takes hours.
            let _ = writeln!(file, "{at:10.4} {text}").and_then(|()| file.flush());
        }
    }

    fn hear(&self, level: Level, line: &Line) {
        let counts = &self.counts;
        let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        if line.path.is_empty() {
            if level <= Level::WARN {
                add(&counts.notices);
            }
        } else {
            add(&counts.requests);
            match line.path.as_str() {
                path if path.contains("/data/") && line.method == "GET" => _ = add(&counts.reads),
                "/v1/sys/wrapping/unwrap" => _ = add(&counts.unwraps),
                "/v1/auth/approle/login" => _ = add(&counts.logins),
                _ => {}
            }
        }
        self.line(format_args!("{level} {}", line.text));
    }
}

/// The parts of an event that are told apart.
#[derive(Default)]
struct Line {
    method: String,
    path: String,
    text: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "method" => value.clone_into(&mut self.method),
            "target" => value.clone_into(&mut self.path),
            _ => {}
        }
        let _ = write!(self.text, "{}={value} ", field.name());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?} "),
            name => write!(self.text, "{name}={value:?} "),
        };
    }
}

/// Takes in events of baokit and nothing else.
struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        target == TARGET || target.strip_prefix(TARGET).is_some_and(|rest| rest.starts_with("::"))
    }

    fn event(&self, event: &Event<'_>) {
        let Some(wire) = WIRE.get() else { return };
        let mut line = Line::default();
        event.record(&mut line);
        wire.hear(*event.metadata().level(), &line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
