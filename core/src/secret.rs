//! Values that wipe themselves when they are dropped and leave only through an explicit `expose`.
//!
//! What is wiped: the text of every string, and every body that core builds or receives. What
//! can't be: keys of a map, numbers, and the copies that a TLS library, the operating system or the
//! caller makes.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
#[cfg(feature = "cache")]
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
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

    /// The value itself, to be changed. What is taken out of it is no longer wiped.
    pub fn expose_mut(&mut self) -> &mut Value {
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

/// Refuses an integer that KVv2 would give back as another one: it keeps numbers as `float64`, which is exact
/// up to 2^53, and writes them with as few digits as tell two of them apart.
pub(crate) fn require_exact(value: &SecretValue) -> Result<()> {
    let Some(pointer) = inexact(&value.0) else { return Ok(()) };
    let reason = [
        "OpenBao would give back another number than the integer beyond 2^53 at '",
        &pointer,
        "' of the value; write it as text",
    ];
    Err(Error::new(Code::InvalidValue).because(reason.concat()))
}

/// The JSON pointer of the first such integer.
fn inexact(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => (!is_exact(number)).then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(i, item)| Some(below(&i.to_string(), &inexact(item)?)))
        }
        Value::Object(map) => map.iter().find_map(|(name, item)| Some(below(name, &inexact(item)?))),
        _ => None,
    }
}

fn below(name: &str, rest: &str) -> String {
    let mut pointer = String::from("/");
    for character in name.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            _ => pointer.push(character),
        }
    }
    pointer + rest
}

/// Whether OpenBao gives the number back with the same digits: 2^60 it writes as 1152921504606847000.
fn is_exact(number: &Number) -> bool {
    let Some(integer) = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs)) else { return true };
    if integer <= 1 << 53 {
        return true;
    }
    // What ends in one zero more than the integer. A text of the float's digits would be longer code.
    let mut rounder = 10;
    while integer % rounder == 0 && rounder < 10_u64.pow(19) {
        rounder *= 10;
    }
    let rest = integer % rounder;
    let (down, float) = (integer - rest, integer as f64);
    let has_shorter = down as f64 == float || down.saturating_add(rounder) as f64 == float;
    let is_nearest = integer.abs_diff(float as u64) <= rounder / 20;
    is_nearest && (rest == 0 || !has_shorter)
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
///
/// ```
/// # use baokit_core_testing::{run, server};
/// # run(async {
/// # let client = server();
/// # client.write("openbao+kv2://secret/app", serde_json::json!({"token": "one"})).await?;
/// let secret = client.read("openbao+kv2://secret/app").await?;
/// assert_eq!((secret.version(), secret.expose()["token"].as_str()), (1, Some("one")));
/// assert!(!format!("{secret:?}").contains("one"), "values are not shown");
/// # Ok(())
/// # });
/// ```
#[derive(Clone, PartialEq)]
pub struct Secret {
    pub(crate) version: u64,
    pub(crate) created_time: String,
    pub(crate) custom_metadata: BTreeMap<String, String>,
    pub(crate) value: SecretValue,
    /// When the version deletes itself, by the server's clock and since the Unix epoch: the cache keeps to it.
    #[cfg(feature = "cache")]
    pub(crate) ends: Duration,
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

/// Serialises into a body.
pub(crate) fn to_body(value: &impl Serialize) -> Result<Body> {
    to_json(value).map(Body::new)
}

/// Serialises into bytes that are allocated once, since a vector that grows leaves copies behind, and wiped when they
/// are dropped.
///
/// ```
/// let bytes = baokit_core::to_json(&["a secret"])?;
/// assert_eq!(bytes.as_slice(), br#"["a secret"]"#);
/// # Ok::<(), baokit_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::InvalidValue`] where JSON can't hold the value; its text says nothing of it.
pub fn to_json(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>> {
    let mut size = Counter(0);
    serde_json::to_writer(&mut size, value).map_err(|_| unserialisable())?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.0));
    serde_json::to_writer(&mut *bytes, value).map_err(|_| unserialisable())?;
    Ok(bytes)
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
        for kept in [
            json!(two_53),
            json!(-two_53),
            json!(two_53 + 2),
            // What a server answers for 2^60 and -2^63 goes back as it came.
            json!(1_152_921_504_606_847_000_u64),
            json!(-9_223_372_036_854_776_000_f64),
            json!(0.1),
            json!(1e300),
            json!({"a": [1, "9007199254740993"]}),
        ] {
            assert!(require_exact(&SecretValue::from(kept.clone())).is_ok(), "{kept}");
        }
        for changed in [two_53 + 1, -two_53 - 1, 1 << 60, i64::MAX, i64::MIN] {
            assert!(require_exact(&SecretValue::from(json!(changed))).is_err(), "{changed}");
        }
        assert!(require_exact(&SecretValue::from(json!(u64::MAX))).is_err());
    }

    #[test]
    fn an_integer_is_kept_where_the_shortest_digits_of_its_float_are_its_own() {
        let is_kept = |integer: u64| is_exact(&Number::from(integer));
        let is_shortest = |integer: u64| (integer as f64).to_string() == integer.to_string();
        let mut integer = 1_u64;
        for _ in 0..50_000 {
            integer = integer.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // As it comes, near 2^53, with zeros at its end, and as the server would write its float.
            let near = (1 << 53) + integer % (1 << 9);
            let shown = (integer as f64).to_string().parse().unwrap_or(integer);
            for sample in [integer, near, near * 10, integer / 1000 * 1000, integer >> 8, shown] {
                assert_eq!(is_kept(sample), is_shortest(sample), "{sample}");
            }
        }
        assert!(is_kept(10_u64.pow(19)) && is_kept(10_u64.pow(18)) && !is_kept(u64::MAX));
    }

    #[test]
    fn such_an_integer_is_named_by_its_pointer_and_not_by_its_value() {
        let value = json!({"a": 1, "b~/c": [0, {"d": 9_007_199_254_740_993_u64}]});
        let error = require_exact(&SecretValue::from(value)).unwrap_err();
        assert_eq!(error.code(), Code::InvalidValue);
        let text = error.to_string();
        assert!(text.contains("'/b~0~1c/1/d'") && !text.contains("900719"), "{text}");
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
            #[cfg(feature = "cache")]
            ends: Duration::MAX,
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
