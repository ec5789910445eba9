//! JSON values as both languages can hold them.

use std::collections::HashMap;
use std::fmt;

use baokit::{Code, Error, MAX_DEPTH, SecretValue};
use serde_json::{Map, Number};

use crate::error::Result;

/// A JSON value. Printing it shows nothing, since it mostly is a secret's.
#[derive(Clone, uniffi::Enum)]
#[uniffi::export(Display)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag {
        /// The value.
        value: bool,
    },
    /// A number without fraction that fits into 64 bits with sign.
    Integer {
        /// The value.
        value: i64,
    },
    /// A number without fraction that fits into 64 bits only without sign.
    Unsigned {
        /// The value.
        value: u64,
    },
    /// Any other number.
    Number {
        /// The value.
        value: f64,
    },
    /// A string.
    Text {
        /// The value.
        value: String,
    },
    /// An array.
    Array {
        /// The items.
        items: Vec<Value>,
    },
    /// An object.
    Object {
        /// The values by their keys.
        entries: HashMap<String, Value>,
    },
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
            Json::Array(items) => Self::Array { items: items.iter().map(Self::from).collect() },
            Json::Object(map) => {
                Self::Object { entries: map.iter().map(|(key, value)| (key.clone(), value.into())).collect() }
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
            Self::Array { items } => items.into_iter().map(Self::into_json).collect::<Result<Vec<_>>>()?.into(),
            Self::Object { entries } => {
                let entries = entries.into_iter().map(|(key, value)| Ok((key, value.into_json()?)));
                entries.collect::<Result<Map<_, _>>>()?.into()
            }
        })
    }
}
