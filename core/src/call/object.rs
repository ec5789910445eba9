//! Objects of OpenBao's answers, whose fields are taken out by name.
//!
//! Everything is read by serde_json's one reader of any JSON, not by a reader of each type: those would be
//! a fifth of the module that travels to browsers.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::secret::SecretValue;

/// A JSON object. What is not taken out of it is wiped.
pub(crate) struct Object(SecretValue);

impl Object {
    /// The object that a document is.
    pub fn of(document: SecretValue) -> Option<Self> {
        document.expose().is_object().then_some(Self(document))
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.expose().get(name)
    }

    /// Whether there is such a field, null or not.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Takes a field out, null where it is absent.
    pub fn take(&mut self, name: &str) -> SecretValue {
        SecretValue::from(self.0.expose_mut().get_mut(name).map(Value::take).unwrap_or_default())
    }

    /// A field that is an object.
    pub fn object(&mut self, name: &str) -> Option<Self> {
        Self::of(self.take(name))
    }

    /// The fields of an object that is used as a map.
    pub fn entries(&self) -> Option<&Map<String, Value>> {
        self.0.expose().as_object()
    }

    /// A whole number that is not negative.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    /// The same, none inside where it is absent.
    pub fn number_if_any(&self, name: &str) -> Option<Option<u64>> {
        self.get(name).map_or(Some(None), |value| value.as_u64().map(Some))
    }

    /// The same, 0 where it is absent.
    pub fn number_or_zero(&self, name: &str) -> Option<u64> {
        self.number_if_any(name).map(Option::unwrap_or_default)
    }

    /// What is true or false; false where it is absent.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map_or(Some(false), Value::as_bool)
    }

    /// Text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A time as OpenBao writes it, RFC 3339 in UTC, or nothing; also where it is absent. Times are shown in
    /// errors and `Debug`, so no other text may pass for one.
    pub fn time(&self, name: &str) -> Option<String> {
        let text = self.get(name).map_or(Some(""), Value::as_str)?;
        let legal = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b'+' | b'T' | b'Z');
        (text.len() <= 35 && text.bytes().all(legal)).then(|| text.to_owned())
    }

    /// A map of text to text; empty where it is absent or null.
    pub fn texts(&self, name: &str) -> Option<BTreeMap<String, String>> {
        match self.get(name) {
            None | Some(Value::Null) => Some(BTreeMap::new()),
            Some(Value::Object(map)) => {
                map.iter().map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
            }
            Some(_) => None,
        }
    }

    /// A list of texts.
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        self.get(name)?.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    }
}
