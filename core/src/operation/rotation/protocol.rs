//! The record around a rotation: intent, lease, end. What lies between is in [`super::steps`].
//!
//! ```text
//! strong read of the metadata ─► read of the data ─► intent (metadata_cas)
//!   ─► [stage ─► apply ─► test] ─► write (cas = base) ─► [stage removed] ─► finished
//! ```
//!
//! Each step is guarded by a check-and-set parameter, and what to do next follows from what the server
//! holds ([`super::record`]). So a rotation that is cut off anywhere, or meets another one, makes exactly one
//! version: whoever goes on finds either the base still the newest, or the version that follows it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::apply::{Apply, Stage};
use super::plan;
use super::record::{Decision, KEY, Phase, Record, Rotator, decide, key_of};
use super::request::{Rotated, Rotation, random_text};
use super::steps::{Outcome, readable};
use crate::call::kv2::{Address, Held, Versions};
use crate::call::metadata::{self, Changed};
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::operation::{Operation, ReadOptions};
use crate::rules::Rule;
use crate::secret::SecretValue;
use crate::session::nodes::NodeId;
use crate::uri::SecretUri;

/// How often the steps begin anew after another process changed the metadata in between.
const ROUNDS: usize = 8;

/// How much longer than the deadline of the operation its lease is.
const GRACE: Duration = Duration::from_secs(30);

/// One call that carries a rotation out.
pub(super) struct Protocol<'a, H, A> {
    pub operation: &'a Operation<'a, H>,
    pub uri: &'a SecretUri,
    pub at: Address<'a>,
    pub rotation: &'a Rotation,
    /// What is changed outside, and where its value is kept until then.
    pub outside: Option<(Stage, &'a A)>,
    /// This call, as the holder of a lease.
    by: String,
}

/// The metadata as it was read: its version, its custom part, the newest version of the data.
pub(super) struct Found {
    version: u64,
    custom: BTreeMap<String, String>,
    pub current: u64,
}

impl Found {
    /// Whether a record that came after this may have been followed by the one that is there now.
    fn is_overtaken_by(&self, now: &Self) -> bool {
        now.version > self.version.saturating_add(1) && now.custom.get(KEY) != self.custom.get(KEY)
    }
}

/// A record with our lease, written or about to be.
pub(super) struct Intent {
    pub record: Record,
    /// It begins with this call, so that nothing was done for it before.
    pub is_new: bool,
    /// The newest version.
    pub held: Held,
    /// The new value, where the newest version is still the base.
    pub value: Option<SecretValue>,
}

/// A mismatch, and where it came from.
struct Mismatch {
    node: Option<NodeId>,
    version: u64,
    /// The record may have been written by an attempt before.
    in_doubt: bool,
}

impl<'a, H: Host, A: Apply> Protocol<'a, H, A> {
    pub fn new(
        operation: &'a Operation<'a, H>,
        uri: &'a SecretUri,
        rotation: &'a Rotation,
        apply: Option<&'a A>,
    ) -> Result<Self> {
        let at = Address::of(uri);
        let outside = apply.map(|apply| Ok((Stage::beside(at)?, apply))).transpose()?;
        let by = random_text::<H, 8>(&operation.client.host);
        Ok(Self { operation, uri, at, rotation, outside, by })
    }

    pub async fn run(&self) -> Result<Rotated> {
        let mut tried: Option<Intent> = None;
        let mut is_first = true;
        let mut mismatch = None;
        // The metadata as it was when our own beginning may have been recorded.
        let mut doubt: Option<Found> = None;
        // Whether an attempt to record it may have been carried out.
        let mut in_doubt = false;
        let told = |error: Error, in_doubt| if in_doubt { error.into_indeterminate() } else { error };
        let mut rounds = 0;
        while rounds < ROUNDS {
            let found = match self.metadata().await {
                // Nor can it be recorded where the server would not compare the metadata's version. Once it may have
                // been recorded, whoever takes it up makes its version, and another one would be the second.
                Err(error) if is_first && matches!(error.code(), Code::PermissionDenied | Code::NotSupported) => {
                    return self.unrecorded(error).await;
                }
                found => found.map_err(|error| told(error, in_doubt))?,
            };
            // Where nothing was changed, only time can tell: a node that is behind catches up.
            rounds += usize::from(!self.suspect(mismatch.take(), &found));
            let record = self.record_in(&found)?;
            let intent = match tried.take() {
                // It was written, and the answer was lost.
                Some(intent) if record.as_ref() == Some(&intent.record) => match self.go_on(found, intent).await? {
                    Some(rotated) => return Ok(rotated),
                    None => continue,
                },
                _ => match self.decide(record, is_first)? {
                    Next::Over(rotated) => return Ok(rotated),
                    // Another process may have taken ours up, and finished it, before the next one began.
                    Next::Begin if doubt.as_ref().is_some_and(|before| before.is_overtaken_by(&found)) => {
                        let reason = "other rotations came in between, and this one may be among what they finished";
                        return Err(self.error(Code::RotationInProgress, reason));
                    }
                    Next::Begin => self.intent(&found, None).await?,
                    Next::TakeUp(record) => self.intent(&found, Some(record)).await?,
                },
            };
            let was_first = std::mem::take(&mut is_first);
            let is_recorded = self.operation.session(|session| session.rules.keep(Rule::IntentIsFirst));
            let written = if is_recorded { self.write_record(&found, &intent.record).await } else { Ok(None) };
            match written {
                Ok(None) => {
                    let found = Found { version: found.version.saturating_add(u64::from(is_recorded)), ..found };
                    if let Some(rotated) = self.go_on(found, intent).await? {
                        return Ok(rotated);
                    }
                }
                // It may be this very record, whose answer was lost; or another process was quicker.
                Ok(Some(was)) => {
                    if was.in_doubt && intent.is_new {
                        doubt.get_or_insert(found);
                    }
                    in_doubt |= was.in_doubt;
                    (tried, mismatch) = (Some(intent), Some(was));
                    if !self.operation.pause().await {
                        let reason = "no time was left to see why the metadata is said to be at another version";
                        let error = self.error(Code::DeadlineExceeded, reason);
                        return Err(told(error, in_doubt));
                    }
                }
                Err(error) if was_first && error.code() == Code::PermissionDenied => {
                    return self.unrecorded(error).await;
                }
                Err(error) => return Err(told(error, in_doubt)),
            }
        }
        Err(self.error(Code::RotationInProgress, "the metadata was changed by others again and again"))
    }

    fn decide(&self, record: Option<Record>, is_first: bool) -> Result<Next> {
        let now = self.operation.client.host.now().wall;
        let rotator = Rotator {
            op: &self.rotation.op,
            resumes: self.rotation.resumes,
            is_first,
            of: key_of(self.uri.fragment().as_deref()),
            applies: self.outside.is_some(),
            has_value: self.rotation.given().is_some(),
        };
        match decide(record, rotator, now) {
            Decision::Begin => Ok(Next::Begin),
            Decision::TakeUp(record) => Ok(Next::TakeUp(record)),
            Decision::Over(record) if record.phase == Phase::Finished => Ok(Next::Over(rotated(&record))),
            Decision::Over(record) if record.phase == Phase::Unclear => Err(self
                .error(Code::Indeterminate, "the rotation was given up, and whether it made a version can't be said")),
            Decision::Over(_) => {
                let reason = "the rotation was given up: another writer came first, or it could not be applied";
                Err(self.error(Code::CasConflict, reason))
            }
            Decision::Busy(record) => {
                let left = record.until.saturating_sub(now.as_secs());
                let reason = format!("rotation {} is under way, with a lease of {left} s", record.op);
                Err(self.error(Code::RotationInProgress, reason))
            }
            Decision::Left(record) => {
                let reason = format!(
                    "rotation {} was left, and may have changed something outside OpenBao; it must be resumed as it \
                     was begun",
                    record.op
                );
                Err(self.error(Code::RotationInProgress, reason))
            }
            Decision::Unknown => {
                let reason = format!("the last rotation of this secret is another one than {}", rotator.op);
                Err(self.error(Code::RotationUnknown, reason))
            }
            Decision::Other => {
                let reason = format!(
                    "rotation {} changes another key, or was begun without, or with, something outside OpenBao; resume \
                     it as it was begun",
                    rotator.op
                );
                Err(self.error(Code::RotationUnknown, reason))
            }
        }
    }

    pub fn error(&self, code: Code, reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::new(code).about(self.at.key()).because(reason)
    }

    /// The metadata as the leader has it: the data moves on without it, so that no check-and-set parameter
    /// would show that it was old.
    pub async fn metadata(&self) -> Result<Found> {
        let versions: Option<Versions> = match self.operation.metadata(self.at, ReadOptions::new().strong()).await {
            // Where nothing is there, a strong read takes a right that the default policy grants.
            Err(error) if error.code() == Code::PermissionDenied => {
                self.operation.metadata(self.at, ReadOptions::new()).await?.0
            }
            result => result?.0,
        };
        Ok(match versions {
            Some(versions) => Found {
                version: versions.metadata_cas(self.at)?,
                custom: versions.custom_metadata().clone(),
                current: versions.current_version(),
            },
            None => Found { version: 0, custom: BTreeMap::new(), current: 0 },
        })
    }

    pub fn record_in(&self, found: &Found) -> Result<Option<Record>> {
        found.custom.get(KEY).map(|text| Record::read(text, &self.at.key())).transpose()
    }

    /// What is going to be recorded: our lease, and the mark of the value that is going to be written.
    async fn intent(&self, found: &Found, left: Option<Record>) -> Result<Intent> {
        let client = self.operation.client;
        let (mut held, _) = self.operation.held(self.at, None, ReadOptions::new()).await?;
        // A standby may still show what was there before a snapshot was restored: more than there is.
        if held.version() != found.current {
            held = self.operation.held(self.at, None, ReadOptions::new().strong()).await?.0;
        }
        let is_new = left.is_none();
        let mut record = left.unwrap_or_else(|| Record {
            op: self.rotation.op.clone(),
            base: held.version(),
            phase: Phase::Begun,
            until: 0,
            by: String::new(),
            of: key_of(self.uri.fragment().as_deref()),
            applied: false,
            marks: Vec::new(),
        });
        let lease = client.settings.deadline().saturating_add(GRACE);
        record.until = client.host.now().wall.saturating_add(lease).as_secs();
        record.by.clone_from(&self.by);
        record.applied |= self.outside.is_some();
        let mut value = None;
        if held.version() == record.base {
            let new = self.rotation.new_value(&client.host, self.uri, readable(&held))?;
            if self.rotation.given().is_none() && !self.is_known_by_stage(&record) {
                record.mark(new.expose());
            }
            value = Some(new);
        }
        Ok(Intent { record, is_new, held, value })
    }

    /// Writes the record; a mismatch where the metadata is said to be at another version.
    async fn write_record(&self, found: &Found, record: &Record) -> Result<Option<Mismatch>> {
        let mut custom = found.custom.clone();
        custom.insert(KEY.to_owned(), record.write()?);
        let call = metadata::replace_custom(self.at, &custom, found.version)?;
        let _changes = self.operation.changes(self.at);
        Ok(match self.operation.once(&call).await? {
            (Changed::Done, _) => None,
            (Changed::Mismatch, exchange) => {
                Some(Mismatch { node: exchange.node(), version: found.version, in_doubt: exchange.in_doubt() })
            }
        })
    }

    /// A mismatch was false where the metadata is still at the version that it was said not to be at.
    fn suspect(&self, mismatch: Option<Mismatch>, found: &Found) -> bool {
        let is_false = mismatch.as_ref().is_some_and(|mismatch| mismatch.version == found.version);
        if let Some(node) = mismatch.and_then(|mismatch| mismatch.node).filter(|_| is_false) {
            self.operation.session(|session| session.nodes.suspect(node));
        }
        is_false
    }

    /// The lease is ours. None where another process's rotation is over now, and ours begins.
    async fn go_on(&self, found: Found, intent: Intent) -> Result<Option<Rotated>> {
        let record = intent.record.clone();
        let is_left = record.op != self.rotation.op;
        let (phase, result) = match self.carry_out(intent).await {
            Outcome::Made => (Phase::Finished, Ok(())),
            Outcome::GivenUp(error) if error.code() == Code::Indeterminate => (Phase::Unclear, Err(error)),
            Outcome::GivenUp(error) => (Phase::Abandoned, Err(error)),
            Outcome::Open(error) => return Err(error),
        };
        if let Some((stage, _)) = &self.outside
            && !self.is_late(&record)
        {
            stage.remove(self.operation).await;
        }
        self.end(found, Record { phase, ..record.clone() }).await;
        match result {
            // Who has a value of their own did not get it.
            Ok(()) if is_left && self.rotation.given().is_some() => Ok(None),
            Ok(()) => Ok(Some(rotated(&record))),
            // It was not this caller's.
            Err(error) if is_left && error.code() != Code::RotationFailed => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether another process's value is known here only where it is staged: it was given, or ours is, which is not
    /// for that rotation.
    pub fn is_known_by_stage(&self, record: &Record) -> bool {
        record.op != self.rotation.op && (record.marks.is_empty() || self.rotation.given().is_some())
    }

    /// Whether the lease is over, so that another process may be at work.
    pub fn is_late(&self, record: &Record) -> bool {
        self.operation.client.host.now().wall.as_secs() >= record.until
    }

    /// Whether another process holds the rotation now, or has written its end.
    pub fn is_lost(&self, record: &Record, theirs: &Record) -> bool {
        theirs.op != record.op || theirs.by != record.by || theirs.phase != Phase::Begun
    }

    /// Records the end, as far as that can be done: what counts is the version.
    async fn end(&self, mut found: Found, record: Record) {
        for _ in 0..ROUNDS {
            let Ok(Some(mismatch)) = self.write_record(&found, &record).await else { return };
            let Ok(newer) = self.metadata().await else { return };
            self.suspect(Some(mismatch), &newer);
            match self.record_in(&newer) {
                Ok(Some(theirs)) if !self.is_lost(&record, &theirs) => found = newer,
                // Recorded already, or another rotation has begun since.
                _ => return,
            }
        }
    }

    /// Without rights on the metadata.
    async fn unrecorded(&self, denied: Error) -> Result<Rotated> {
        if self.outside.is_some() || self.rotation.resumes {
            return Err(denied);
        }
        let (held, _) = self.operation.held(self.at, None, ReadOptions::new()).await?;
        let (old_version, created) = (held.version(), held.sighting().created);
        let value = self.rotation.new_value(&self.operation.client.host, self.uri, readable(&held))?;
        let data = plan(self.uri, held, &value)?;
        let written = self.operation.write_after(self.at, &data, old_version, created).await?;
        let operation_id = self.rotation.op.clone();
        Ok(Rotated { operation_id, old_version, new_version: written.version(), is_recorded: false })
    }
}

/// What follows from the record that was found.
enum Next {
    Begin,
    TakeUp(Record),
    Over(Rotated),
}

fn rotated(record: &Record) -> Rotated {
    Rotated {
        operation_id: record.op.clone(),
        old_version: record.base,
        new_version: record.base.saturating_add(1),
        is_recorded: true,
    }
}
