//! Rotations that change something outside OpenBao as well, such as a database's password: the new value
//! is staged beside the secret, so that a rotation which was cut off goes on with the same one.
//!
//! The stage is the sibling path `PATH.baokit-stage`, a secret of its own: the policy must allow
//! `create`, `update` and `read` on `MOUNT/data/PATH.baokit-stage` and `delete` on
//! `MOUNT/metadata/PATH.baokit-stage`. It is deleted with all its versions when the rotation is over. Where
//! a rotation was given up half-way and nobody resumes it, it stays, and may be deleted by hand; the next
//! rotation of the secret takes its place.

use std::fmt;

use serde_json::{Value, json};

use crate::call::kv2::{Address, Held};
use crate::call::metadata;
use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::operation::{Operation, ReadOptions};
use crate::secret::{Secret, SecretValue};
use crate::uri::path::{Mount, SecretPath};

/// What the name of a stage ends with.
const SUFFIX: &str = ".baokit-stage";

/// What is changed outside OpenBao along with a secret. Every step may be carried out more than once with
/// the same values: after a crash, whoever resumes the rotation begins again with `apply`.
///
/// A step that never ends holds the operation up for ever: limit it below the client's deadline.
///
/// An error's text goes into the rotation's error: it must hold no secret.
///
/// The new value is kept beside the secret until the rotation is over, at `PATH.baokit-stage`: the policy must allow
/// `create`, `update` and `read` on `MOUNT/data/PATH.baokit-stage` and `delete` on
/// `MOUNT/metadata/PATH.baokit-stage`. A stage that was left may be deleted by hand; the next rotation takes its place.
///
/// ```
/// use baokit_core::{Apply, ApplyError, Secret, SecretValue};
///
/// struct Database;
///
/// impl Apply for Database {
///     async fn apply(&self, old: Option<&Secret>, new: &SecretValue) -> Result<(), ApplyError> {
///         Ok(()) // ALTER ROLE …
///     }
///     async fn test(&self, new: &SecretValue) -> Result<(), ApplyError> {
///         Ok(()) // log in with it
///     }
///     async fn undo(&self, old: Option<&Secret>, new: &SecretValue) -> Result<(), ApplyError> {
///         Ok(()) // ALTER ROLE … as it was
///     }
/// }
/// # baokit_core_testing::run(async {
/// # let client = baokit_core_testing::server();
/// client.rotate_applied("openbao+kv2://secret/database#password", &client.rotation(), &Database).await?;
/// # Ok(())
/// # });
/// ```
pub trait Apply {
    /// Brings the new value in, such as `ALTER ROLE … PASSWORD`. `old` is the whole secret as it was, where
    /// there was one; `new` the whole secret as it will be.
    fn apply(&self, old: Option<&Secret>, new: &SecretValue) -> impl Future<Output = Result<(), ApplyError>>;

    /// Sees whether the new value works, such as by logging in with it.
    fn test(&self, new: &SecretValue) -> impl Future<Output = Result<(), ApplyError>>;

    /// Brings the old value back, after `apply` or `test` failed, another writer came first, or the secret
    /// could not be written. It is called too where `apply` has changed nothing, which is no failure. Where it
    /// fails, the rotation stays as it is, to be resumed.
    fn undo(&self, old: Option<&Secret>, new: &SecretValue) -> impl Future<Output = Result<(), ApplyError>>;
}

/// Why a step of [`Apply`] failed.
///
/// ```
/// use baokit_core::ApplyError;
///
/// let error = ApplyError::new("the database refuses the new password"); // which is not repeated
/// assert_eq!(error.to_string(), "the database refuses the new password");
/// ```
#[derive(Clone, Debug)]
pub struct ApplyError(String);

impl ApplyError {
    /// With a reason that holds no secret.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ApplyError {}

/// Nothing outside OpenBao is changed.
pub(super) struct Nothing;

impl Apply for Nothing {
    async fn apply(&self, _old: Option<&Secret>, _new: &SecretValue) -> Result<(), ApplyError> {
        Ok(())
    }

    async fn test(&self, _new: &SecretValue) -> Result<(), ApplyError> {
        Ok(())
    }

    async fn undo(&self, _old: Option<&Secret>, _new: &SecretValue) -> Result<(), ApplyError> {
        Ok(())
    }
}

/// The sibling path where a rotation keeps its new value until it is over.
pub(super) struct Stage {
    mount: Mount,
    path: SecretPath,
}

impl Stage {
    pub fn beside(at: Address<'_>) -> Result<Self> {
        let (mount, path) = at.parts();
        Ok(Self { mount: Mount::parse(mount)?, path: SecretPath::parse(&format!("{path}{SUFFIX}"))? })
    }

    fn at(&self) -> Address<'_> {
        Address::new(&self.mount, &self.path)
    }

    /// The value that this rotation has staged, where it has.
    pub async fn staged<H: Host>(&self, operation: &Operation<'_, H>, op: &str) -> Result<Option<SecretValue>> {
        Ok(staged(&self.held(operation).await?, op))
    }

    /// The value that this rotation has staged; else `value` is staged.
    pub async fn value<H: Host>(
        &self,
        operation: &Operation<'_, H>,
        op: &str,
        value: SecretValue,
    ) -> Result<SecretValue> {
        let held = self.held(operation).await?;
        if let Some(value) = staged(&held, op) {
            return Ok(value);
        }
        let data = SecretValue::from(json!({"operation_id": op, "value": value.expose()}));
        let (version, base) = (held.version(), held.sighting().created);
        match operation.write_after(self.at(), &data, version, base).await {
            Ok(_) => Ok(value),
            // Another process works on the same rotation: its value counts.
            Err(error) if error.code() == Code::CasConflict => {
                staged(&self.held(operation).await?, op).ok_or_else(|| {
                    let reason = "another rotation of the secret has staged its value meanwhile";
                    Error::new(Code::RotationInProgress).about(self.at().key()).because(reason)
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn held<H: Host>(&self, operation: &Operation<'_, H>) -> Result<Held> {
        Ok(operation.held(self.at(), None, ReadOptions::new().strong()).await?.0)
    }

    /// Removes it with all its versions, as far as that can be done: the next rotation takes its place.
    pub async fn remove<H: Host>(&self, operation: &Operation<'_, H>) {
        let _changes = operation.changes(self.at());
        let _ = operation.run(metadata::delete(self.at())).await;
    }
}

fn staged(held: &Held, op: &str) -> Option<SecretValue> {
    let Held::Data(secret) = held else { return None };
    let data = secret.value.expose();
    let is_its = data.get("operation_id").and_then(Value::as_str) == Some(op);
    data.get("value").filter(|_| is_its).map(SecretValue::from)
}
