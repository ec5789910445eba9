//! JSON objects in which no member stands twice: two readers of a token must not see two tokens.
//!
//! RFC 7515, section 4, and RFC 7519, section 4, let a reader refuse what is there twice; this one does, at any
//! depth.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Parses an object and nothing around it but white space.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, &'static str> {
    match serde_json::from_slice(bytes) {
        Ok(Unique(Value::Object(object))) => Ok(object),
        Ok(_) => Err("is no JSON object"),
        // The only mistake that is about the data, and not about the syntax, is ours.
        Err(error) if error.is_data() => Err("has a member twice"),
        Err(_) => Err("is no JSON"),
    }
}

/// Any JSON value without doubled members.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without doubled members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_may_stand_once_at_any_depth() {
        assert!(object(br#" {"a":{"b":[1,-2,3.5,null,true,"x"]},"c":{"b":1}} "#).is_ok());
        for twice in [r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":[{"b":1,"\u0062":2}]}"#] {
            assert_eq!(object(twice.as_bytes()), Err("has a member twice"), "{twice}");
        }
        assert_eq!(object(b"[]"), Err("is no JSON object"));
        for broken in ["", "{", "{}{}", "{} x", "{\"a\":1e999}", "\u{feff}{}", "{\"a\":\"\\ud800\"}"] {
            assert_eq!(object(broken.as_bytes()), Err("is no JSON"), "{broken}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err("is no JSON"));
        let deep = format!("{}{}", "{\"a\":".repeat(100_000), "1");
        assert_eq!(object(deep.as_bytes()), Err("is no JSON"));
    }
}
