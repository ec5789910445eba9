//! Rotation: from what the server holds to the one write that follows it.
//!
//! The plan is a pure function, so that any process that reads the same version plans the same
//! write; the check-and-set parameter lets one of them through. [`protocol`] records it around that, so
//! that a rotation can be resumed, and [`steps`] carries out what is recorded.

mod apply;
mod generator;
mod protocol;
mod record;
mod request;
mod steps;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::call::kv2::Held;
use crate::error::{Code, Error, Result};
use crate::secret::SecretValue;
use crate::uri::SecretUri;

pub use apply::{Apply, ApplyError};
pub use generator::Generator;
pub use request::{Rotated, Rotation};

/// A write or rotation that was carried out.
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// let change = client.write("openbao+kv2://secret/app#token", "one").await?;
/// assert_eq!((change.old_version, change.new_version), (0, 1));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The version that was the newest before, 0 where there was none.
    pub old_version: u64,
    /// The version that was made.
    pub new_version: u64,
}

/// The write that brings `value` in: the data of the new version, to be written with `cas` = the
/// version that is held.
///
/// With a fragment, only that key changes; a secret that is absent, deleted or destroyed counts as
/// empty. Without one, the value is the whole secret, and was checked to be an object.
pub(super) fn plan(uri: &SecretUri, held: Held, value: &SecretValue) -> Result<SecretValue> {
    let value = value.expose();
    let Some(fragment) = uri.fragment() else {
        return Ok(SecretValue::from(value));
    };
    let held = match held {
        Held::Data(mut secret) => match secret.value.take() {
            Value::Null => Value::Object(Map::new()),
            data => data,
        },
        Held::Deleted { .. } | Held::Destroyed { .. } | Held::Nothing => Value::Object(Map::new()),
    };
    let Value::Object(mut data) = held else {
        return Err(Error::new(Code::MalformedAnswer)
            .about(uri.to_string())
            .because("the secret that is held is no object"));
    };
    // The old value is wiped by its own drop.
    drop(data.insert(fragment.into_owned(), value.clone()).map(SecretValue::from));
    Ok(SecretValue::from(data))
}
