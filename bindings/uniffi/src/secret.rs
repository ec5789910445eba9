//! Secrets: what `expose` alone lets out. Neither type prints, compares or serialises its value.

use std::collections::HashMap;

use crate::error::Result;
use crate::value::Value;

/// A secret as it was read. Its memory is wiped when the last reference to it is given back.
#[derive(Debug, uniffi::Object)]
pub struct Secret(pub(crate) baokit::Secret);

#[uniffi::export]
impl Secret {
    /// The version, counted from 1.
    pub fn version(&self) -> u64 {
        self.0.version()
    }

    /// When the version was written: RFC 3339 in UTC, by the server's clock.
    pub fn created_time(&self) -> String {
        self.0.created_time().to_owned()
    }

    /// The key's `custom_metadata`, which belongs to all its versions.
    pub fn custom_metadata(&self) -> HashMap<String, String> {
        self.0.custom_metadata().clone().into_iter().collect()
    }

    /// The value: the whole object, or what the URI's fragment names.
    pub fn expose_value(&self) -> Value {
        self.0.expose().into()
    }

    /// The value as text; `WRONG_TYPE` where it is no string.
    pub fn expose_string(&self) -> Result<String> {
        Ok(self.0.expose_str()?.to_owned())
    }

    /// The value as a JSON document.
    pub fn expose_json(&self) -> String {
        self.0.expose().to_string()
    }
}

/// A JSON document that is kept secret: what `request` answers.
#[derive(Debug, uniffi::Object)]
pub struct SecretValue(pub(crate) baokit::SecretValue);

#[uniffi::export]
impl SecretValue {
    /// The value.
    pub fn expose_value(&self) -> Value {
        self.0.expose().into()
    }

    /// The value as text; `WRONG_TYPE` where it is no string.
    pub fn expose_string(&self) -> Result<String> {
        Ok(self.0.expose_str()?.to_owned())
    }

    /// The value as a JSON document.
    pub fn expose_json(&self) -> String {
        self.0.expose().to_string()
    }
}
