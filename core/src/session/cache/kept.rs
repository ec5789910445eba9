//! A secret as the cache holds it: in less memory than a map, and wiped when the last who holds it lets
//! go.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::secret::{Secret, SecretValue};
use crate::session::floors::Sighting;

/// A whole secret. A key of it is picked when it is read.
pub(crate) struct Kept {
    version: u64,
    created_time: Box<str>,
    custom_metadata: BTreeMap<String, String>,
    data: Data,
    ends: Duration,
}

enum Data {
    /// The keys of an object, sorted.
    Keys(Box<[(Box<str>, SecretValue)]>),
    /// What is no object: `null`.
    Other(SecretValue),
}

impl From<Secret> for Kept {
    fn from(secret: Secret) -> Self {
        let Secret { version, created_time, custom_metadata, mut value, ends } = secret;
        let data = match value.take() {
            Value::Object(map) => Data::Keys(map.into_iter().map(|(key, value)| (key.into(), value.into())).collect()),
            other => Data::Other(other.into()),
        };
        Self { version, created_time: created_time.into(), custom_metadata, data, ends }
    }
}

impl Kept {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn sighting(&self) -> Sighting {
        Sighting::of(self.version, &self.created_time, Some(false))
    }

    /// Whether the version has not deleted itself by then, on the wall clock.
    pub fn is_there(&self, wall: Duration) -> bool {
        wall < self.ends
    }

    /// The whole secret, or one key of it; none where it has no such key.
    pub fn show(&self, key: Option<&str>) -> Option<Secret> {
        let value = match (&self.data, key) {
            (Data::Keys(keys), None) => {
                Value::Object(keys.iter().map(|(key, value)| (String::from(&**key), value.expose().clone())).collect())
            }
            (Data::Keys(keys), Some(key)) => {
                let place = keys.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
                keys.get(place)?.1.expose().clone()
            }
            (Data::Other(value), None) => value.expose().clone(),
            (Data::Other(_), Some(_)) => return None,
        };
        Some(Secret {
            version: self.version,
            created_time: self.created_time.as_ref().into(),
            custom_metadata: self.custom_metadata.clone(),
            value: value.into(),
            ends: self.ends,
        })
    }

    /// About how many bytes it takes.
    pub fn weight(&self) -> usize {
        let data = match &self.data {
            Data::Keys(keys) => keys.iter().map(|(key, value)| 16 + key.len() + weight(value.expose())).sum(),
            Data::Other(value) => weight(value.expose()),
        };
        let texts = self.custom_metadata.iter().map(|(key, value)| 48 + key.len() + value.len());
        size_of::<Self>() + self.created_time.len() + texts.sum::<usize>() + data
    }
}

fn weight(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| 24 + key.len() + weight(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inside
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("version", &self.version).finish_non_exhaustive()
    }
}
