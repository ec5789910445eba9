//! Values that wipe themselves when they are dropped and leave only through an explicit `expose`.
//!
//! What is wiped: the text of every string, and every body that core builds or receives. What
//! can't be: keys of a map, numbers, and the copies that a TLS library, the operating system or the
//! caller makes.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Code, Error, Result};
use crate::http::Body;

/// A JSON value that is kept secret: redacted in `Debug`, wiped on drop.
///
/// ```
/// use baokit_core::SecretValue;
///
/// let value = SecretValue::from("hunter2");
/// assert_eq!(format!("{value:?}"), "SecretValue([redacted])");
/// assert_eq!(value.expose(), "hunter2");
/// ```
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretValue(Value);

impl SecretValue {
    /// The value itself.
    #[must_use]
    pub fn expose(&self) -> &Value {
        &self.0
    }

    /// The value as text.
    ///
    /// # Errors
    /// [`Code::WrongType`] where it is no string.
    pub fn expose_str(&self) -> Result<&str> {
        self.0
            .as_str()
            .ok_or_else(|| Error::new(Code::WrongType).because(format!("the value is {}, not a string", kind(&self.0))))
    }

    pub(crate) fn expose_mut(&mut self) -> &mut Value {
        &mut self.0
    }

    pub(crate) fn take(&mut self) -> Value {
        std::mem::take(&mut self.0)
    }
}

/// The deepest that a whole secret, or the body of any request, may be nested; the outermost object
/// counts as one. An answer nests what it carries in two more, and JSON is read to 128 levels.
pub const MAX_DEPTH: usize = 100;

/// Refuses what could be written and not be read again.
pub(crate) fn require_depth(value: &SecretValue, deepest: usize) -> Result<()> {
    if is_within(&value.0, deepest) {
        return Ok(());
    }
    let reason = format!("the value is nested deeper than {MAX_DEPTH} levels");
    Err(Error::new(Code::InvalidValue).because(reason))
}

/// Refuses an integer that KVv2 would change: it keeps numbers as `float64`, which is exact up to 2^53.
pub(crate) fn require_exact(value: &SecretValue) -> Result<()> {
    if is_exact(&value.0) {
        return Ok(());
    }
    let reason = "OpenBao would store another number than an integer beyond 2^53 that is in it; write it as text";
    Err(Error::new(Code::InvalidValue).because(reason))
}

fn is_exact(value: &Value) -> bool {
    match value {
        // Through 128 bits, since a cast back to 64 would saturate to the same number.
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => integer as f64 as i128 == i128::from(integer),
            (_, Some(integer)) => integer as f64 as i128 == i128::from(integer),
            _ => true,
        },
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(map) => map.values().all(is_exact),
        _ => true,
    }
}

fn is_within(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return !(value.is_object() || value.is_array());
    };
    match value {
        Value::Array(items) => items.iter().all(|item| is_within(item, below)),
        Value::Object(map) => map.values().all(|item| is_within(item, below)),
        _ => true,
    }
}

/// What sort of JSON value it is, for error texts.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

impl Drop for SecretValue {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue([redacted])")
    }
}

impl From<Value> for SecretValue {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl From<&Value> for SecretValue {
    fn from(value: &Value) -> Self {
        Self(value.clone())
    }
}

impl From<Map<String, Value>> for SecretValue {
    fn from(map: Map<String, Value>) -> Self {
        Self(Value::Object(map))
    }
}

impl From<String> for SecretValue {
    fn from(text: String) -> Self {
        Self(Value::String(text))
    }
}

impl From<&str> for SecretValue {
    fn from(text: &str) -> Self {
        Self(Value::String(text.to_owned()))
    }
}

/// A secret as it was read: which version, when it was written, and the value behind `expose`.
#[derive(Clone, PartialEq)]
pub struct Secret {
    pub(crate) version: u64,
    pub(crate) created_time: String,
    pub(crate) custom_metadata: BTreeMap<String, String>,
    pub(crate) value: SecretValue,
}

impl Secret {
    /// The version, counted from 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When the version was written: RFC 3339 in UTC, by the server's clock.
    #[must_use]
    pub fn created_time(&self) -> &str {
        &self.created_time
    }

    /// The key's `custom_metadata`, which belongs to all its versions.
    #[must_use]
    pub fn custom_metadata(&self) -> &BTreeMap<String, String> {
        &self.custom_metadata
    }

    /// The whole map, or the one value where the URI had a fragment.
    #[must_use]
    pub fn expose(&self) -> &Value {
        self.value.expose()
    }

    /// The value as text.
    ///
    /// # Errors
    /// [`Code::WrongType`] where it is no string: a whole secret is a map, so read with a fragment.
    pub fn expose_str(&self) -> Result<&str> {
        self.value.expose_str()
    }

    /// The value without the rest, still redacted.
    #[must_use]
    pub fn into_value(self) -> SecretValue {
        self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("version", &self.version)
            .field("created_time", &self.created_time)
            .field("value", &format_args!("[redacted]"))
            .finish_non_exhaustive()
    }
}

/// Serialises into a body that is allocated once, since a vector that grows leaves copies behind.
pub(crate) fn to_body(value: &impl Serialize) -> Result<Body> {
    let mut size = Counter(0);
    serde_json::to_writer(&mut size, value).map_err(|_| unserialisable())?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.0));
    serde_json::to_writer(&mut *bytes, value).map_err(|_| unserialisable())?;
    Ok(Body::new(bytes))
}

/// serde's own text is dropped, since it may quote the value.
fn unserialisable() -> Error {
    Error::new(Code::InvalidValue).because("the value can't be written as JSON")
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_integer_that_a_float_would_change_is_refused() {
        let two_53 = 1_i64 << 53;
        for kept in
            [json!(two_53), json!(-two_53), json!(1_u64 << 63), json!(0.1), json!({"a": [1, "9007199254740993"]})]
        {
            assert!(require_exact(&SecretValue::from(kept)).is_ok());
        }
        for changed in [json!(two_53 + 1), json!({"a": [i64::MAX]}), json!(u64::MAX), json!(-two_53 - 1)] {
            let error = require_exact(&SecretValue::from(changed)).unwrap_err();
            assert_eq!(error.code(), Code::InvalidValue);
        }
    }

    #[test]
    fn a_body_is_allocated_once_and_exactly() {
        let body = to_body(&SecretValue::from("x\"y".repeat(1000))).unwrap();
        assert_eq!(body.as_ref().len(), 4002);
    }

    #[test]
    fn debug_of_a_secret_shows_neither_values_nor_keys_of_custom_metadata() {
        let secret = Secret {
            version: 3,
            created_time: "2026-01-01T00:00:00Z".into(),
            custom_metadata: BTreeMap::from([("owner".into(), "canary".into())]),
            value: SecretValue::from("canary"),
        };
        assert!(!format!("{secret:?} {:?}", secret.value).contains("canary"));
    }

    #[test]
    fn exposing_a_map_as_text_says_what_it_is() {
        let error = SecretValue::from(Map::new()).expose_str().unwrap_err();
        assert_eq!(error.code(), Code::WrongType);
        assert!(error.to_string().contains("an object"));
    }
}
