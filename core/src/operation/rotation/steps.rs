//! The steps of a rotation whose lease is ours: what is outside, and the one write.
//!
//! Where the version that follows the base is there already, it is told from another writer's by its value:
//! the one that was given, the one that is staged, or one whose mark is in the record.

use super::apply::{Apply, ApplyError};
use super::plan;
use super::protocol::{Intent, Protocol};
use super::record::{Phase, Record};
use crate::call::kv2::Held;
use crate::drive::Host;
use crate::error::{Code, Error};
use crate::operation::ReadOptions;
use crate::operation::settle::is_stored_as;
use crate::secret::{Secret, SecretValue};

/// How a rotation goes on.
pub(super) enum Outcome {
    /// Its version is there.
    Made,
    /// Its version is not there and will not be; what is outside is as it was.
    GivenUp(Error),
    /// It is to be resumed.
    Open(Error),
}

/// Whose the version is that follows the base.
enum Whose {
    Ours,
    Others(Error),
    /// Not to be said, and perhaps never.
    Lost(Error),
    /// Not to be said now, or another process is at work on it.
    Open(Error),
}

impl<H: Host, A: Apply> Protocol<'_, H, A> {
    /// Makes the version that follows the base, unless it is there.
    pub async fn carry_out(&self, intent: Intent) -> Outcome {
        let Intent { record, is_new, held, value } = intent;
        let Some(mut value) = value else { return self.settle(&record).await };
        if let Some((stage, _)) = &self.outside {
            let staged = match self.is_known_by_stage(&record) {
                true => stage.staged(self.operation, &record.op).await,
                false => stage.value(self.operation, &record.op, value).await.map(Some),
            };
            value = match staged {
                Ok(Some(value)) => value,
                // So nothing outside was changed for it.
                Ok(None) => {
                    return Outcome::GivenUp(self.error(Code::CasConflict, "it was left before it did anything"));
                }
                // Nothing was touched, and nothing will be.
                Err(error) if is_new && is_certain(&error) && error.code() != Code::RotationInProgress => {
                    return Outcome::GivenUp(error);
                }
                Err(error) => return Outcome::Open(error),
            };
            // Who resumed this meanwhile may be through: the stage was gone then, and the value is a new one.
            match self.operation.held(self.at, None, ReadOptions::new().strong()).await {
                Ok((newest, _)) if newest.version() == record.base => {}
                Ok(_) => return self.settle(&record).await,
                Err(error) => return Outcome::Open(error),
            }
            if self.is_late(&record) {
                return Outcome::Open(self.late());
            }
        }
        let (base, old) = (held.sighting().created, readable(&held).cloned());
        let data = match plan(self.uri, held, &value) {
            Ok(data) => data,
            Err(error) => return Outcome::GivenUp(error),
        };
        let old = old.as_ref();
        if let Some((_, apply)) = &self.outside {
            if let Err(error) = apply.apply(old, &data).await {
                return self.undo(&record, old, &data, self.failed("apply", &error)).await;
            }
            if let Err(error) = apply.test(&data).await {
                return self.undo(&record, old, &data, self.failed("test", &error)).await;
            }
            if self.is_late(&record) {
                return Outcome::Open(self.late());
            }
        }
        match self.operation.write_after(self.at, &data, record.base, base).await {
            Ok(_) => Outcome::Made,
            Err(error) if error.code() == Code::Indeterminate => Outcome::Open(error),
            Err(error) if error.code() == Code::CasConflict => match self.whose(&record, Some(&value)).await {
                Whose::Ours => Outcome::Made,
                // This call's own write was refused for good, whatever became of the version that it lost against.
                Whose::Others(error) | Whose::Lost(error) => self.undo(&record, old, &data, error).await,
                Whose::Open(error) => Outcome::Open(error),
            },
            // It was not written, and so what is outside must not stay as it is.
            Err(error) if self.outside.is_some() => self.undo(&record, old, &data, error).await,
            Err(error) if is_certain(&error) => Outcome::GivenUp(error),
            Err(error) => Outcome::Open(error),
        }
    }

    /// The base is not the newest version any more: the rotation was cut off after its write, or a writer
    /// came in between who did not ask.
    async fn settle(&self, record: &Record) -> Outcome {
        let mut staged = None;
        if let Some((stage, _)) = &self.outside {
            staged = match stage.staged(self.operation, &record.op).await {
                Ok(staged) => staged,
                Err(error) => return Outcome::Open(error),
            };
        }
        let (error, is_lost) = match self.whose(record, staged.as_ref()).await {
            Whose::Ours => return Outcome::Made,
            Whose::Open(error) => return Outcome::Open(error),
            Whose::Others(error) => (error, false),
            Whose::Lost(error) => (error, true),
        };
        // What is staged may have been applied.
        let Some(staged) = staged else { return Outcome::GivenUp(error) };
        let base = match record.base {
            0 => Held::Nothing,
            base => match self.operation.held(self.at, Some(base), ReadOptions::new().strong()).await {
                Ok((held, _)) => held,
                Err(error) => return Outcome::Open(error),
            },
        };
        let old = readable(&base).cloned();
        if is_lost && record.base > 0 && old.is_none() {
            // There is nothing to go back to: what is staged is the only copy of what may be in use.
            return Outcome::Open(error);
        }
        match plan(self.uri, base, &staged) {
            Ok(data) => self.undo(record, old.as_ref(), &data, error).await,
            Err(error) => Outcome::GivenUp(error),
        }
    }

    /// Whose the version is that follows the base. `value` is the one that this rotation writes, where that
    /// is known.
    async fn whose(&self, record: &Record, value: Option<&SecretValue>) -> Whose {
        let found = match self.metadata().await {
            Ok(found) => found,
            Err(error) => return Whose::Open(error),
        };
        // Another process may hold the lease by now, and have written a value of its own.
        match self.record_in(&found) {
            Ok(Some(theirs)) if theirs.op == record.op && theirs.phase == Phase::Finished => return Whose::Ours,
            // Also where the next rotation has begun by now.
            Ok(Some(theirs)) if self.is_lost(record, &theirs) => return Whose::Open(self.late()),
            _ => {}
        }
        let follower = record.base.saturating_add(1);
        if found.current < follower {
            return Whose::Others(
                self.error(Code::CasConflict, "the secret was deleted or made anew since the rotation began"),
            );
        }
        match self.operation.held(self.at, Some(follower), ReadOptions::new().strong()).await {
            Ok((Held::Data(secret), _)) => match self.is_ours(record, value, &secret).await {
                Ok(true) => Whose::Ours,
                Ok(false) => {
                    Whose::Others(self.error(Code::CasConflict, format!("version {follower} is another writer's")))
                }
                Err(error) if error.code() == Code::Indeterminate => Whose::Lost(error),
                Err(error) => Whose::Open(error),
            },
            Ok((held, _)) => {
                let reason =
                    format!("version {follower} is deleted, destroyed or pruned, and whose it was can't be said");
                let error = self.error(Code::Indeterminate, reason);
                match held {
                    // Who undeletes it must find what is outside as it says.
                    Held::Deleted { .. } if self.outside.is_some() => Whose::Open(error),
                    _ => Whose::Lost(error),
                }
            }
            Err(error) => Whose::Open(error),
        }
    }

    async fn is_ours(&self, record: &Record, value: Option<&SecretValue>, secret: &Secret) -> Result<bool, Error> {
        let fragment = self.uri.fragment();
        let stored = match &fragment {
            Some(fragment) => secret.value.expose().get(&**fragment),
            None => Some(secret.value.expose()),
        };
        let Some(stored) = stored else { return Ok(false) };
        // What is staged counts, also where another value was given to whoever goes on with it.
        let value = value.or_else(|| self.rotation.given().filter(|_| record.op == self.rotation.op));
        if value.is_some_and(|value| is_stored_as(value.expose(), stored)) || record.knows(stored) {
            return Ok(true);
        }
        if value.is_some() || !record.marks.is_empty() {
            return Ok(false);
        }
        if self.is_known_by_stage(record) {
            return Err(self.error(Code::Indeterminate, "the value that was given to another process is not known"));
        }
        // A value was given to a process that is gone, and is not known here: so much is known that it
        // changed no other key.
        let Some(fragment) = fragment else { return Ok(true) };
        let (base, _) = self.operation.held(self.at, Some(record.base), ReadOptions::new().strong()).await?;
        let Some(base) = readable(&base) else { return Ok(true) };
        let others = |secret: &Secret| {
            let mut data = secret.value.clone();
            data.expose_mut().as_object_mut().map(|map| map.remove(&*fragment).map(SecretValue::from));
            data
        };
        Ok(is_stored_as(others(base).expose(), others(secret).expose()))
    }

    /// Brings back what is outside, after this went wrong. Where that can't be done, the value stays staged.
    async fn undo(&self, record: &Record, old: Option<&Secret>, data: &SecretValue, error: Error) -> Outcome {
        let Some((_, apply)) = &self.outside else { return Outcome::GivenUp(error) };
        // Who holds the rotation now goes on with the value that would be taken away. Where nobody can say, the
        // lease is believed.
        let holder = self.metadata().await.and_then(|found| self.record_in(&found));
        if self.is_late(record) || holder.is_ok_and(|holder| holder.is_some_and(|it| self.is_lost(record, &it))) {
            return Outcome::Open(self.late());
        }
        match apply.undo(old, data).await {
            Ok(()) => Outcome::GivenUp(error),
            Err(undo) => {
                let reason = format!("{error}, and the old value could not be brought back: {undo}");
                Outcome::Open(self.error(Code::RotationFailed, reason))
            }
        }
    }

    fn failed(&self, step: &str, error: &ApplyError) -> Error {
        self.error(Code::RotationFailed, format!("{step} failed: {error}"))
    }

    fn late(&self) -> Error {
        let reason = "it took longer than its lease, or was resumed meanwhile: another process may be at work on it";
        self.error(Code::RotationInProgress, reason)
    }
}

/// Whether the request was refused for good, as far as it goes.
fn is_certain(error: &Error) -> bool {
    !error.code().is_retryable() && error.code() != Code::Indeterminate
}

/// The secret, where it can be read.
pub(super) fn readable(held: &Held) -> Option<&Secret> {
    match held {
        Held::Data(secret) => Some(secret),
        Held::Deleted { .. } | Held::Destroyed { .. } | Held::Nothing => None,
    }
}
