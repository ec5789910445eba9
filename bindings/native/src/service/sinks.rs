//! Where a native program's audit goes: lines of JSON, or `tracing`.

use std::fs::{File, OpenOptions};
use std::io::{self, Stderr, Stdout, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use baokit_service::audit::{Effect, Event, Kind, KvVersion, Sink, SinkFailed};
use tracing::Level;

/// Each event as one line of JSON, written with one call, so that the lines of several processes do not mix in a
/// file that is opened for appending.
///
/// Writing happens on the way of the request: give it a file or a terminal, not a pipe that nobody empties. A line
/// that could not be written is lost, counted by the audit, and can't join the next one.
///
/// ```
/// use baokit::service::JsonLines;
/// use baokit_service::audit::Audit;
/// use baokit_service::settings::Settings;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("baokit-audit-doc-{}.jsonl", std::process::id()));
/// let random = [7; 32]; // of the system's source of randomness
/// let audit = Audit::new(&Settings::from_lookup(|_| None)?, random)
///     .with_sink(JsonLines::append(&path)?)
///     .with_sink(JsonLines::stderr());
/// # drop(audit);
/// # std::fs::remove_file(path)?;
/// # Ok(())
/// # }
/// ```
pub struct JsonLines<W>(Mutex<Lines<W>>);

struct Lines<W> {
    writer: W,
    /// The last write failed and may have left a part of its line.
    is_torn: bool,
}

impl<W: Write + Send> JsonLines<W> {
    /// To any writer.
    pub fn new(writer: W) -> Self {
        Self(Mutex::new(Lines { writer, is_torn: false }))
    }
}

impl JsonLines<File> {
    /// To the end of a file. One that is made here can be read by its owner alone.
    ///
    /// # Errors
    /// Those of opening it.
    pub fn append(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map(Self::new)
    }
}

impl JsonLines<Stdout> {
    /// To standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::new(io::stdout())
    }
}

impl JsonLines<Stderr> {
    /// To standard error.
    #[must_use]
    pub fn stderr() -> Self {
        Self::new(io::stderr())
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn record(&self, event: &Event) -> Result<(), SinkFailed> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // An empty line ends what a failed write may have begun.
        let mut line = if lines.is_torn { b"\n".to_vec() } else { Vec::new() };
        serde_json::to_writer(&mut line, event).map_err(|_| SinkFailed)?;
        line.push(b'\n');
        // Until it is known to be whole: a writer may panic too.
        lines.is_torn = true;
        lines.writer.write_all(&line).and_then(|()| lines.writer.flush()).map_err(|_| SinkFailed)?;
        lines.is_torn = false;
        Ok(())
    }
}

/// Each event as an event of `tracing`, of the target `baokit::audit`: at the level `INFO` what was permitted and
/// succeeded, at `WARN` the rest. Subscribers that export to OpenTelemetry pass the fields on as attributes.
///
/// | attribute | field of the event |
/// |---|---|
/// | `event.name` | `event` |
/// | `enduser.id` | `subject` |
/// | `tenant.id` | `tenant_id` |
/// | `secret.purpose`, `secret.effect`, `secret.ref`, `secret.salt_id` | `purpose`, `effect`, `resource_ref`, `salt_id` |
/// | `secret.decision_id`, `secret.policy_version` | `decision_id`, `policy_version` |
/// | `secret.version` | `kv_version`: `4`, `1,2`, or `3->4` of a change |
/// | `error.type` | `code` |
/// | `system.id`, `workflow.run_id`, `workflow.node_id` | `system_id`, `workflow_run_id`, `node_id` |
/// | `correlation.id`, `trace_id` | `correlation_id`, `trace_id` |
/// | `token.jti`, `token.cnf.jkt`, `tls.client.thumbprint` | `token_jti`, `cnf_jkt`, `mtls_thumbprint` |
/// | `secret.sampled`, `event.time` | `sampled`, `ts` |
///
/// What is not known is left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingSink;

impl Sink for TracingSink {
    fn record(&self, event: &Event) -> Result<(), SinkFailed> {
        if event.effect == Effect::Permit && event.event != Kind::Error {
            emit!(Level::INFO, event);
        } else {
            emit!(Level::WARN, event);
        }
        Ok(())
    }
}

/// A level is part of what `tracing` makes of each place in the program, and can't be chosen at run time.
macro_rules! emit {
    ($level:expr, $event:ident) => {
        tracing::event!(
            target: "baokit::audit",
            $level,
            event.name = $event.event.as_str(),
            event.time = $event.ts.as_str(),
            tenant.id = $event.tenant_id.as_str(),
            enduser.id = $event.subject.as_str(),
            secret.purpose = $event.purpose.as_str(),
            secret.effect = $event.effect.as_str(),
            secret.r#ref = $event.resource_ref.as_deref(),
            secret.salt_id = $event.salt_id.as_str(),
            secret.decision_id = $event.decision_id.as_deref(),
            secret.policy_version = $event.policy_version.as_deref(),
            secret.version = $event.kv_version.as_ref().map(version).as_deref(),
            error.r#type = $event.code,
            system.id = $event.system_id.as_deref(),
            workflow.run_id = $event.workflow_run_id.as_deref(),
            workflow.node_id = $event.node_id.as_deref(),
            correlation.id = $event.correlation_id.as_deref(),
            trace_id = $event.trace_id.as_deref(),
            token.jti = $event.token_jti.as_deref(),
            token.cnf.jkt = $event.cnf_jkt.as_deref(),
            tls.client.thumbprint = $event.mtls_thumbprint.as_deref(),
            secret.sampled = $event.sampled,
        )
    };
}
use emit;

fn version(version: &KvVersion) -> String {
    match version {
        KvVersion::One(version) => version.to_string(),
        KvVersion::Several(versions) => versions.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
        KvVersion::Replaced { old, new } => format!("{}->{new}", old.map(|old| old.to_string()).unwrap_or_default()),
        _ => String::new(),
    }
}
