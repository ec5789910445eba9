//! The parameters of a request and their lenient conversion: a number may come as text, a boolean as a
//! number and so on, with the error texts of the real server where it can't be done.

use crate::json::Json;
use std::collections::BTreeMap;

use super::text::parse_duration;

/// The parameters, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub(crate) BTreeMap<String, Json>);

/// What a parameter must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Any,
    Int,
    Bool,
    Text,
    Map,
    /// Seconds, never negative.
    Seconds,
    /// Seconds of either sign.
    SignedSeconds,
    Ints,
    Texts,
    /// Pairs of texts.
    Pairs,
}

impl Fields {
    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The error of the first parameter that is not of its kind.
    pub(crate) fn check(&self, schema: &[(&str, Kind)]) -> Result<(), String> {
        for (name, kind) in schema {
            let Some(value) = self.get(name) else { continue };
            let result = match kind {
                Kind::Any => Ok(()),
                Kind::Int => int(value, "").map(drop),
                Kind::Bool => boolean(value).map(drop),
                Kind::Text => text(value, "").map(drop),
                Kind::Map => map(value).map(drop),
                Kind::Seconds => seconds(value).and_then(|s| match s {
                    Some(s) if s < 0 => Err(format!("cannot provide negative value '{s}'")),
                    _ => Ok(()),
                }),
                Kind::SignedSeconds => seconds(value).map(drop),
                Kind::Ints => ints(value).map(drop),
                Kind::Texts => texts(value).map(drop),
                Kind::Pairs => pairs(value, name).map(drop),
            };
            result.map_err(|e| format!("error converting input for field \"{name}\": {e}"))?;
        }
        Ok(())
    }

    // The readers below are used after `check`: what does not convert there has been refused.

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|v| int(v, "").ok())
    }

    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(|v| boolean(v).ok())
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(|v| text(v, "").ok())
    }

    pub(crate) fn map(&self, name: &str) -> Option<Vec<(String, Json)>> {
        self.get(name).and_then(|v| map(v).ok()).map(Option::unwrap_or_default)
    }

    /// `null` counts as not given.
    pub(crate) fn seconds(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|v| seconds(v).ok()).flatten()
    }

    pub(crate) fn ints(&self, name: &str) -> Vec<i64> {
        self.get(name).and_then(|v| ints(v).ok()).unwrap_or_default()
    }

    pub(crate) fn texts(&self, name: &str) -> Option<Vec<String>> {
        self.get(name).and_then(|v| texts(v).ok())
    }

    pub(crate) fn pairs(&self, name: &str) -> BTreeMap<String, String> {
        self.get(name).and_then(|v| pairs(v, name).ok()).unwrap_or_default()
    }
}

/// The Go name of a value's type.
fn type_name(value: &Json) -> &'static str {
    match value {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(_) => "json.Number",
        Json::Text(_) => "string",
        Json::List(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

fn wrong_type(value: &Json, place: &str, expected: &str) -> String {
    format!("'{place}' expected type '{expected}', got unconvertible type '{}'", type_name(value))
}

pub(crate) fn int(value: &Json, place: &str) -> Result<i64, String> {
    match value {
        Json::Null => Ok(0),
        Json::Bool(yes) => Ok(i64::from(*yes)),
        Json::Number(digits) | Json::Text(digits) if !digits.is_empty() => {
            go_int(digits).map_err(|e| format!("'{place}' cannot parse value as 'int': strconv.ParseInt: {e}"))
        }
        Json::Text(_) => Ok(0),
        other => Err(wrong_type(other, place, "int")),
    }
}

/// A whole number as Go reads it with the base left open: `0x1f`, `0b1`, `0o7` and `07` are numbers too.
fn go_int(text: &str) -> Result<i64, &'static str> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, base) = [("0x", 16), ("0b", 2), ("0o", 8)]
        .iter()
        .find_map(|(prefix, base)| lower.strip_prefix(prefix).map(|rest| (rest, *base)))
        .unwrap_or(match lower.strip_prefix('0').filter(|rest| !rest.is_empty()) {
            Some(rest) => (rest, 8),
            None => (lower.as_str(), 10),
        });
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err("invalid syntax");
    }
    let size = i128::from_str_radix(digits, base).map_err(|_| "value out of range")?;
    i64::try_from(if negative { -size } else { size }).map_err(|_| "value out of range")
}

fn boolean(value: &Json) -> Result<bool, String> {
    match value {
        Json::Null => Ok(false),
        Json::Bool(yes) => Ok(*yes),
        Json::Number(word) | Json::Text(word) => match word.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err("'' cannot parse value as 'bool': strconv.ParseBool: invalid syntax".into()),
        },
        other => Err(wrong_type(other, "", "bool")),
    }
}

pub(crate) fn text(value: &Json, place: &str) -> Result<String, String> {
    match value {
        Json::Null => Ok(String::new()),
        Json::Bool(yes) => Ok(if *yes { "1" } else { "0" }.into()),
        Json::Number(word) | Json::Text(word) => Ok(word.clone()),
        other => Err(wrong_type(other, place, "string")),
    }
}

/// A map; `null` stays apart, an empty list is an empty map, a list of maps is their union.
pub(crate) fn map(value: &Json) -> Result<Option<Vec<(String, Json)>>, String> {
    const MAP: &str = "map[string]interface {}";
    match value {
        Json::Null => Ok(None),
        Json::Object(pairs) => Ok(Some(pairs.clone())),
        Json::List(items) => {
            let mut all = BTreeMap::new();
            for (n, item) in items.iter().enumerate() {
                match item {
                    Json::Object(pairs) => all.extend(pairs.iter().cloned()),
                    Json::Null => {}
                    other => return Err(wrong_type(other, &format!("[{n}]"), MAP)),
                }
            }
            Ok(Some(all.into_iter().collect()))
        }
        other => Err(wrong_type(other, "", MAP)),
    }
}

fn seconds(value: &Json) -> Result<Option<i64>, String> {
    match value {
        Json::Null => Ok(None),
        Json::Number(word) | Json::Text(word) => parse_duration(word).map(Some),
        _ => Err("could not parse duration from input".into()),
    }
}

fn ints(value: &Json) -> Result<Vec<i64>, String> {
    let one = |n: usize, v: &Json| {
        int(v, &format!("[{n}]")).map_err(|e| format!("decoding failed due to the following error(s):\n\n{e}"))
    };
    match value {
        Json::Null => Ok(Vec::new()),
        Json::Object(pairs) if pairs.is_empty() => Ok(Vec::new()),
        Json::List(items) => items.iter().enumerate().map(|(n, v)| one(n, v)).collect(),
        Json::Text(list) => list
            .split(',')
            .filter(|_| !list.is_empty())
            .enumerate()
            .map(|(n, word)| one(n, &Json::text(word.trim())))
            .collect(),
        other => Ok(vec![one(0, other)?]),
    }
}

fn texts(value: &Json) -> Result<Vec<String>, String> {
    match value {
        Json::Null => Ok(Vec::new()),
        Json::Object(pairs) if pairs.is_empty() => Ok(Vec::new()),
        Json::List(items) => items.iter().enumerate().map(|(n, v)| text(v, &format!("[{n}]"))).collect(),
        Json::Text(list) => {
            Ok(list.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect())
        }
        other => Ok(vec![text(other, "[0]")?]),
    }
}

fn pairs(value: &Json, name: &str) -> Result<BTreeMap<String, String>, String> {
    match value {
        Json::Null => Ok(BTreeMap::new()),
        Json::Object(pairs) => pairs.iter().map(|(k, v)| text(v, k).map(|v| (k.clone(), v))).collect(),
        _ => Err(format!("invalid key pair at index 0 in field {name:?}")),
    }
}
