//! The steps of a recorded rotation: intent, new version, end.
//!
//! ```text
//! read metadata ─► intent (metadata_cas) ─► [stage ─► apply ─► test] ─► write (cas = base) ─► finished
//! ```
//!
//! Each step is guarded by a check-and-set parameter, and what to do next follows from what the server
//! holds ([`super::record`]). So a rotation that is cut off anywhere, or meets another one, makes exactly one
//! version: whoever goes on finds either the base still the newest, or the version that follows it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::apply::{self, Apply, Nothing, Stage};
use super::generator::Generator;
use super::plan;
use super::record::{Decision, KEY, Phase, Record, Rotator, decide};
use crate::call::kv2::{Address, Held};
use crate::call::metadata::{self, Changed};
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::operation::{Client, Operation, ReadOptions};
use crate::secret::{Secret, SecretValue};
use crate::uri::SecretUri;

/// How often the steps begin anew after another process changed the metadata in between.
const ROUNDS: usize = 8;

/// How much longer than the deadline of the operation its lease is.
const GRACE: Duration = Duration::from_secs(30);

/// A rotation that is recorded in the secret's `custom_metadata`, so that any process can resume it. See
/// [`Client::rotation`].
#[derive(Clone, Debug)]
#[must_use = "a rotation does nothing until it is passed to rotate_with"]
pub struct Rotation {
    op: String,
    resumes: bool,
    new: New,
}

#[derive(Clone, Debug)]
enum New {
    Given(SecretValue),
    Generated(Generator),
}

impl Rotation {
    /// The operation id. Keep it before the rotation begins: whoever has it can resume the rotation.
    #[must_use]
    pub fn operation_id(&self) -> &str {
        &self.op
    }

    /// Rotates to this value instead of a generated one.
    pub fn value(mut self, value: impl Into<SecretValue>) -> Self {
        self.new = New::Given(value.into());
        self
    }

    /// Rotates to a value that this generator makes. With a URI of a whole secret, a value must be given.
    pub fn generate(mut self, generator: Generator) -> Self {
        self.new = New::Generated(generator);
        self
    }

    fn value_for<H: Host>(&self, host: &H) -> Result<SecretValue> {
        match &self.new {
            New::Given(value) => Ok(value.clone()),
            New::Generated(generator) => generator.generate(host),
        }
    }
}

/// What a recorded rotation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotated {
    /// The operation id: this rotation's own, or that of one that was left by another process and is
    /// finished now.
    pub operation_id: String,
    /// The version that was the newest before, 0 where there was none.
    pub old_version: u64,
    /// The version that was made.
    pub new_version: u64,
    /// Whether it was recorded. It is not where the token may not change the metadata; a rotation that is cut
    /// off then can't be resumed.
    pub is_recorded: bool,
}

impl<H: Host> Client<H> {
    /// A new rotation, to a generated value of 32 letters and digits unless something else is said.
    pub fn rotation(&self) -> Rotation {
        let mut random = [0; 16];
        self.host.random(&mut random);
        let op = random.iter().fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        Rotation { op, resumes: false, new: New::Generated(Generator::new()) }
    }

    /// A rotation that was begun before, by this process or another: it goes on from what the server holds,
    /// and does nothing where it is over.
    pub fn resume_rotation(&self, operation_id: impl Into<String>) -> Rotation {
        Rotation { op: operation_id.into(), resumes: true, new: New::Generated(Generator::new()) }
    }

    /// Carries a rotation out: exactly one new version, however often it is cut off and resumed.
    ///
    /// The intent is recorded in `custom_metadata` before anything is changed, and the end afterwards. A
    /// rotation that another process left is taken up where its lease is over (the deadline and 30 s), and
    /// finished under its own operation id. Where the token may not change the metadata, the rotation is
    /// carried out without a record, and the result says so.
    ///
    /// End points: `GET` and `POST mount/metadata/path`, `GET` and `POST mount/data/path`.
    ///
    /// # Errors
    /// [`Code::RotationInProgress`] where another process is at work on one; [`Code::CasConflict`] where a
    /// writer came in between, who did not ask; [`Code::RotationUnknown`] where the one to be resumed is not
    /// the last one of the secret; [`Code::Indeterminate`] where the outcome is not known: resume it.
    pub async fn rotate_with(&self, uri: &str, rotation: &Rotation) -> Result<Rotated> {
        self.rotate_in(uri, rotation, None::<&Nothing>).await
    }

    /// The same along with something outside OpenBao; see [`Apply`].
    ///
    /// # Errors
    /// Those of [`Client::rotate_with`]; [`Code::RotationFailed`] where a step outside failed;
    /// [`Code::PermissionDenied`] where the token may not change the metadata or the stage, without which
    /// nothing outside is touched.
    pub async fn rotate_applied<A: Apply>(&self, uri: &str, rotation: &Rotation, apply: &A) -> Result<Rotated> {
        self.rotate_in(uri, rotation, Some(apply)).await
    }

    async fn rotate_in<A: Apply>(&self, uri: &str, rotation: &Rotation, apply: Option<&A>) -> Result<Rotated> {
        let uri = self.admit_change(uri)?;
        let uri = uri.uri();
        match &rotation.new {
            New::Given(value) => self.check_value(uri, value)?,
            New::Generated(_) if uri.fragment().is_none() => {
                let reason = "a generated value is for one key: name it after a #, or give the whole secret";
                return Err(Error::new(Code::InvalidValue).about(uri.to_string()).because(reason));
            }
            New::Generated(_) => {}
        }
        let operation = self.begin().await?;
        let (at, key) = (Address::of(uri), Address::of(uri).key());
        Protocol { operation: &operation, uri, at, key, rotation, apply }.run().await
    }
}

struct Protocol<'a, H, A> {
    operation: &'a Operation<'a, H>,
    uri: &'a SecretUri,
    at: Address<'a>,
    key: String,
    rotation: &'a Rotation,
    apply: Option<&'a A>,
}

/// The metadata as it was read: its version, its custom part, the newest version of the data.
struct Found {
    version: u64,
    custom: BTreeMap<String, String>,
    current: u64,
}

impl<H: Host, A: Apply> Protocol<'_, H, A> {
    async fn run(&self) -> Result<Rotated> {
        let mut holds: Option<String> = None;
        for round in 0..ROUNDS {
            // After a surprise, what needs the leader: a standby that is behind would surprise again.
            let options = if round == 0 { ReadOptions::new() } else { ReadOptions::new().strong() };
            let found = match self.metadata(options).await {
                Err(error) if error.code() == Code::PermissionDenied => return self.unrecorded(error).await,
                found => found?,
            };
            let record = found.custom.get(KEY).map(|text| Record::read(text, &self.key)).transpose()?;
            let op = holds.as_deref().unwrap_or(&self.rotation.op);
            let rotator = Rotator { op, resumes: self.rotation.resumes, holds: holds.is_some() };
            let now = self.operation.client.host.now().wall;
            let record = match decide(record, rotator, now) {
                Decision::Over(record) if record.phase == Phase::Finished => return Ok(rotated(&record, true)),
                Decision::Over(_) => {
                    let reason = "it was given up: another writer came first, or it could not be applied";
                    return Err(Error::new(Code::CasConflict).about(self.key.clone()).because(reason));
                }
                Decision::Unknown => {
                    let reason = format!("the last rotation of this secret is another one than {}", self.rotation.op);
                    return Err(Error::new(Code::RotationUnknown).about(self.key.clone()).because(reason));
                }
                Decision::Busy(record) => {
                    let left = record.until.saturating_sub(now.as_secs());
                    let reason = format!("rotation {} is under way, with a lease of {left} s", record.op);
                    return Err(Error::new(Code::RotationInProgress).about(self.key.clone()).because(reason));
                }
                Decision::GoOn(record) => return self.go_on(&found, record).await,
                Decision::TakeUp(record) => Record { until: self.lease(now), ..record },
                Decision::Begin => Record {
                    op: self.rotation.op.clone(),
                    base: found.current,
                    phase: Phase::Begun,
                    until: self.lease(now),
                },
            };
            match self.record(&found, &record).await {
                Ok(Changed::Done) => {
                    let found = Found { version: found.version.saturating_add(1), ..found };
                    let is_left = record.op != self.rotation.op && found.current > record.base;
                    if is_left && self.made_before(&record).await.is_err() {
                        // Another process made its version and went away. Ours comes after that.
                        self.end(&found, Record { phase: Phase::Finished, ..record }).await;
                        continue;
                    }
                    return self.go_on(&found, record).await;
                }
                // It may be this very record, whose answer was lost; or another process was quicker.
                Ok(Changed::Mismatch) => {
                    holds = Some(record.op);
                    if !self.operation.pause().await {
                        return Err(self.too_late());
                    }
                }
                Err(error) if error.code() == Code::PermissionDenied => return self.unrecorded(error).await,
                Err(error) => return Err(error),
            }
        }
        Err(self.too_late())
    }

    fn too_late(&self) -> Error {
        let reason = "the metadata was changed by others again and again";
        Error::new(Code::RotationInProgress).about(self.key.clone()).because(reason)
    }

    /// Until when nobody else may take the rotation up, in seconds since the Unix epoch.
    fn lease(&self, now: Duration) -> u64 {
        now.saturating_add(self.operation.client.settings.deadline()).saturating_add(GRACE).as_secs()
    }

    async fn metadata(&self, options: ReadOptions) -> Result<Found> {
        match self.operation.metadata(self.at, options).await?.0 {
            Some(versions) => Ok(Found {
                version: versions.metadata_version(),
                custom: versions.custom_metadata().clone(),
                current: versions.current_version(),
            }),
            None => Ok(Found { version: 0, custom: BTreeMap::new(), current: 0 }),
        }
    }

    async fn record(&self, found: &Found, record: &Record) -> Result<Changed> {
        let mut custom = found.custom.clone();
        custom.insert(KEY.to_owned(), record.write()?);
        self.operation.run(metadata::replace_custom(self.at, &custom, found.version)?).await
    }

    /// The lease is ours.
    async fn go_on(&self, found: &Found, record: Record) -> Result<Rotated> {
        let stage = self.apply.map(|apply| Stage::beside(self.at).map(|stage| (stage, apply))).transpose()?;
        let made = match found.current.checked_sub(record.base) {
            Some(0) => self.make(&record, stage.as_ref()).await,
            // It was made before the rotation was cut off; or a writer came in between who did not ask.
            Some(_) => self.made_before(&record).await,
            None => {
                let reason = "the secret was made anew since the rotation began";
                Err(Error::new(Code::CasConflict).about(self.key.clone()).because(reason))
            }
        };
        let phase = match &made {
            Ok(()) => Phase::Finished,
            Err(error) if matches!(error.code(), Code::CasConflict | Code::RotationFailed) => Phase::Abandoned,
            // It is resumed, from here on.
            Err(_) => return made.map(|()| rotated(&record, true)),
        };
        if let Some((stage, _)) = &stage {
            stage.remove(self.operation).await;
        }
        self.end(found, Record { phase, ..record.clone() }).await;
        made.map(|()| rotated(&record, true))
    }

    /// Makes the version that follows the base.
    async fn make(&self, record: &Record, stage: Option<&(Stage, &A)>) -> Result<()> {
        let (held, _) = self.operation.held(self.at, None, ReadOptions::new()).await?;
        if held.version() != record.base {
            return self.made_before(record).await;
        }
        let (base, host) = (held.sighting().created, &self.operation.client.host);
        let Some((stage, apply)) = stage else {
            let data = plan(self.uri, held, &self.rotation.value_for(host)?)?;
            return self.write(record, &data, base).await;
        };
        let value = stage.value(self.operation, &record.op, || self.rotation.value_for(host)).await?;
        let old = old(&held);
        let data = plan(self.uri, held, &value)?;
        let undo = async |what: &str, error: apply::ApplyError| {
            let undone = apply.undo(old.as_ref(), &data).await;
            Err(apply::failed(&self.key, what, &error, undone))
        };
        if let Err(error) = apply.apply(old.as_ref(), &data).await {
            return undo("apply", error).await;
        }
        if let Err(error) = apply.test(&data).await {
            return undo("test", error).await;
        }
        match self.write(record, &data, base).await {
            Err(error) if error.code() == Code::CasConflict => {
                let undone = apply.undo(old.as_ref(), &data).await;
                Err(if undone.is_ok() {
                    error
                } else {
                    apply::failed(&self.key, "the write", &apply::ApplyError::new("another writer came first"), undone)
                })
            }
            result => result,
        }
    }

    async fn write(&self, record: &Record, data: &SecretValue, base: Option<u64>) -> Result<()> {
        match self.operation.write_after(self.at, data, record.base, base).await {
            Err(error) if error.code() == Code::CasConflict && self.rotation.resumes => self.made_before(record).await,
            result => result.map(drop),
        }
    }

    /// The version that follows the base is there: this rotation's, unless it holds another value than the
    /// one that was given.
    async fn made_before(&self, record: &Record) -> Result<()> {
        let New::Given(value) = &self.rotation.new else { return Ok(()) };
        let follower = record.base.saturating_add(1);
        let (held, _) = self.operation.held(self.at, Some(follower), ReadOptions::new().strong()).await?;
        let is_ours = match &held {
            Held::Data(secret) => match self.uri.fragment() {
                Some(fragment) => secret.value.expose().get(&*fragment) == Some(value.expose()),
                None => secret.value == *value,
            },
            _ => false,
        };
        if is_ours {
            return Ok(());
        }
        let reason = format!("version {follower} is another writer's");
        Err(Error::new(Code::CasConflict).about(self.key.clone()).because(reason))
    }

    /// Records the end, as far as that can be done: what counts is the version.
    async fn end(&self, found: &Found, record: Record) {
        let mut found = Found { version: found.version, custom: found.custom.clone(), current: found.current };
        for _ in 0..ROUNDS {
            match self.record(&found, &record).await {
                Ok(Changed::Mismatch) => {}
                Ok(Changed::Done) | Err(_) => return,
            }
            let Ok(newer) = self.metadata(ReadOptions::new().strong()).await else { return };
            let theirs = newer.custom.get(KEY).and_then(|text| Record::read(text, &self.key).ok());
            // Recorded already, or another rotation has begun since.
            if theirs.is_none_or(|theirs| theirs.op != record.op || theirs.phase != Phase::Begun) {
                return;
            }
            found = newer;
        }
    }

    /// Without rights on the metadata.
    async fn unrecorded(&self, denied: Error) -> Result<Rotated> {
        if self.apply.is_some() || self.rotation.resumes {
            return Err(denied);
        }
        let (held, _) = self.operation.held(self.at, None, ReadOptions::new()).await?;
        let (base, created) = (held.version(), held.sighting().created);
        let data = plan(self.uri, held, &self.rotation.value_for(&self.operation.client.host)?)?;
        self.operation.write_after(self.at, &data, base, created).await?;
        let record = Record { op: self.rotation.op.clone(), base, phase: Phase::Finished, until: 0 };
        Ok(rotated(&record, false))
    }
}

fn old(held: &Held) -> Option<Secret> {
    match held {
        Held::Data(secret) => Some(secret.clone()),
        Held::Deleted { .. } | Held::Destroyed { .. } | Held::Nothing => None,
    }
}

fn rotated(record: &Record, is_recorded: bool) -> Rotated {
    Rotated {
        operation_id: record.op.clone(),
        old_version: record.base,
        new_version: record.base.saturating_add(1),
        is_recorded,
    }
}
