//! JSON values as both languages can hold them.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;

use baokit::{Code, Error, MAX_DEPTH, SecretValue};
use serde_json::{Map, Number};
use uniffi::{Lift, Lower, MetadataBuffer, TypeId};

use crate::UniFfiTag;
use crate::error::Result;

/// A JSON value. Printing it shows nothing, since it mostly is a secret's.
#[allow(missing_docs, reason = "the one field of each case is the value, its items or its entries")]
#[derive(Clone, uniffi::Enum)]
#[uniffi::export(Display)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag { value: bool },
    /// A number without fraction that fits into 64 bits with sign.
    Integer { value: i64 },
    /// A number without fraction that fits into 64 bits only without sign.
    Unsigned { value: u64 },
    /// Any other number.
    Number { value: f64 },
    /// A string.
    Text { value: String },
    /// An array.
    Array { items: Nested<Vec<Value>> },
    /// An object.
    Object { entries: Nested<HashMap<String, Value>> },
}

/// Refuses a list or map so many levels deep (1 is the outermost) with the error that it gets when it
/// crosses over: for a language that walks a value of its own before that, and has to come to an end.
#[uniffi::export]
pub fn require_depth(levels: u32) -> Result<()> {
    if usize::try_from(levels).is_ok_and(|levels| levels <= MAX_DEPTH) {
        return Ok(());
    }
    let reason = format!("the value is nested deeper than {MAX_DEPTH} levels");
    Err(Error::new(Code::InvalidValue).because(reason).into())
}

/// What lies one level deeper. The other languages see what it holds in its place; here it keeps a
/// value that is deeper than any that core takes from being made, since making one, walking it and
/// dropping it all recurse, and the stack of a thread has an end.
#[derive(Clone)]
pub struct Nested<T>(pub T);

thread_local! {
    /// How many levels lie above what this thread reads just now.
    static LEVELS: Cell<u32> = const { Cell::new(0) };
}

/// One level on the way down, given back on every way up.
struct Level;

impl Level {
    fn enter() -> Result<Self> {
        let levels = LEVELS.get() + 1;
        require_depth(levels)?;
        LEVELS.set(levels);
        Ok(Self)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        LEVELS.set(LEVELS.get() - 1);
    }
}

impl<T: TypeId<UniFfiTag>> TypeId<UniFfiTag> for Nested<T> {
    const TYPE_ID_META: MetadataBuffer = T::TYPE_ID_META;
}

// Safety: it is the `Lower` of what it holds, which is also the type that the metadata above name.
unsafe impl<T: Lower<UniFfiTag>> Lower<UniFfiTag> for Nested<T> {
    type FfiType = T::FfiType;

    fn lower(nested: Self) -> Self::FfiType {
        T::lower(nested.0)
    }

    fn write(nested: Self, buffer: &mut Vec<u8>) {
        T::write(nested.0, buffer);
    }
}

// Safety: as for `Lower`; where it reads nothing it fails, and then nothing more is read.
unsafe impl<T: Lift<UniFfiTag>> Lift<UniFfiTag> for Nested<T> {
    type FfiType = T::FfiType;

    fn try_lift(lowered: Self::FfiType) -> uniffi::Result<Self> {
        let _level = Level::enter()?;
        T::try_lift(lowered).map(Self)
    }

    fn try_read(buffer: &mut &[u8]) -> uniffi::Result<Self> {
        let _level = Level::enter()?;
        T::try_read(buffer).map(Self)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value([redacted])")
    }
}

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Flag { value: *value },
            Json::Number(number) => number
                .as_i64()
                .map(|value| Self::Integer { value })
                .or_else(|| number.as_u64().map(|value| Self::Unsigned { value }))
                .unwrap_or_else(|| Self::Number { value: number.as_f64().unwrap_or(f64::NAN) }),
            Json::String(text) => Self::Text { value: text.clone() },
            Json::Array(items) => Self::Array { items: Nested(items.iter().map(Self::from).collect()) },
            Json::Object(map) => {
                Self::Object { entries: Nested(map.iter().map(|(key, value)| (key.clone(), value.into())).collect()) }
            }
        }
    }
}

impl Value {
    /// The value on its way into core, which wipes it. JSON has no infinity and no NaN.
    pub(crate) fn into_secret(self) -> Result<SecretValue> {
        self.into_json().map(SecretValue::from)
    }

    fn into_json(self) -> Result<serde_json::Value> {
        Ok(match self {
            Self::Null => serde_json::Value::Null,
            Self::Flag { value } => value.into(),
            Self::Integer { value } => value.into(),
            Self::Unsigned { value } => value.into(),
            Self::Number { value } => Number::from_f64(value)
                .ok_or_else(|| Error::new(Code::InvalidValue).because("JSON has no infinite number and no NaN"))?
                .into(),
            Self::Text { value } => value.into(),
            Self::Array { items } => items.0.into_iter().map(Self::into_json).collect::<Result<Vec<_>>>()?.into(),
            Self::Object { entries } => {
                let entries = entries.0.into_iter().map(|(key, value)| Ok((key, value.into_json()?)));
                entries.collect::<Result<Map<_, _>>>()?.into()
            }
        })
    }
}
