//! The query of a request: `application/x-www-form-urlencoded`, decoded once, every key known and given once.

use std::borrow::Cow;

use baokit_core::config::parse;
use baokit_core::{Code as CoreCode, Error as CoreError};
use percent_encoding::percent_decode_str;

use crate::error::{Code, Error, Result};
use crate::operation::Window;

/// Longest query, in bytes: two URIs of 2048 bytes, each of their characters escaped.
const MAX_QUERY: usize = 16 * 1024;

/// A query whose keys are all known.
#[derive(Debug)]
pub(crate) struct Query<'a>(Vec<(&'static str, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads a query that may have these keys.
    pub fn parse(raw: &'a str, known: &[&'static str]) -> Result<Self> {
        if raw.len() > MAX_QUERY {
            return Err(invalid("the query is longer than 16 KiB"));
        }
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decoded(key)?;
            let key =
                known.iter().find(|known| **known == key).ok_or_else(|| ambiguous("a key that it does not take"))?;
            if pairs.iter().any(|(earlier, _)| earlier == key) {
                return Err(ambiguous("a key that is given twice"));
            }
            let value = decoded(value)?;
            // Taken for absent, they would name the newest version, or delete where destroying was meant.
            if value.is_empty() && matches!(*key, "version" | "destroy") {
                return Err(invalid(format!("{key} is empty")));
            }
            pairs.push((*key, value));
        }
        Ok(Self(pairs))
    }

    /// The value of a key, where it is there and not empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.iter().find(|(there, _)| *there == key).map(|(_, value)| value.as_ref());
        value.filter(|value| !value.is_empty())
    }

    /// The value of a key that must be there.
    pub fn require(&self, key: &'static str) -> Result<&str> {
        self.get(key).ok_or_else(|| invalid(format!("the query lacks {key}")))
    }

    /// `true` or `false`, false where it is not there.
    pub fn flag(&self, key: &'static str) -> Result<bool> {
        self.get(key)
            .map_or(Ok(false), |text| parse::boolean(text).map_err(|reason| invalid(format!("{key}: {reason}"))))
    }

    /// `offset` and `limit`.
    pub fn window(&self) -> Result<Window> {
        let number = |key: &str, default| {
            let Some(text) = self.get(key) else { return Ok(default) };
            parse::whole(text).map_err(|reason| invalid(format!("{key}: {reason}")))
        };
        let default = Window::default();
        let window = Window { offset: number("offset", default.offset)?, limit: number("limit", default.limit)? };
        if (1..=Window::MOST).contains(&window.limit) {
            return Ok(window);
        }
        Err(invalid(format!("limit is a number from 1 to {}", Window::MOST)))
    }
}

/// A `+` is a space in a form, and an escape is decoded once. What is no UTF-8 is refused: replaced, it could name
/// another secret.
fn decoded(text: &str) -> Result<Cow<'_, str>> {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let text = match spaced {
        Cow::Borrowed(text) => percent_decode_str(text).decode_utf8(),
        Cow::Owned(text) => {
            return percent_decode_str(&text).decode_utf8().map(|text| text.into_owned().into()).map_err(no_text);
        }
    };
    text.map_err(no_text)
}

fn no_text(_: std::str::Utf8Error) -> Error {
    invalid("the query is no UTF-8")
}

fn invalid(reason: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Code::InvalidRequest).because(reason)
}

fn ambiguous(reason: &'static str) -> Error {
    CoreError::new(CoreCode::AmbiguousQuery).because(reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] = &["uri", "version", "destroy", "offset", "limit"];

    #[test]
    fn a_query_is_decoded_once_and_a_plus_is_a_space_as_forms_have_it() {
        let query = Query::parse("uri=openbao+kv2://secret/app/api?version=3", KEYS).unwrap();
        assert_eq!(query.get("uri"), Some("openbao kv2://secret/app/api?version=3"));
        let query = Query::parse("uri=openbao%2Bkv2%3A%2F%2Fsecret%2Fa%2520b%23token", KEYS).unwrap();
        assert_eq!(query.get("uri"), Some("openbao+kv2://secret/a%20b#token"));
    }

    #[test]
    fn a_key_twice_or_unknown_is_refused_and_so_is_what_is_no_text() {
        let code = |raw| Query::parse(raw, KEYS).unwrap_err().code();
        assert_eq!(code("uri=a&uri=a"), Code::Core(CoreCode::AmbiguousQuery));
        assert_eq!(code("u%72i=a&uri=a"), Code::Core(CoreCode::AmbiguousQuery));
        assert_eq!(code("URI=a"), Code::Core(CoreCode::AmbiguousQuery));
        assert_eq!(code("uri=%ff"), Code::InvalidRequest);
        assert_eq!(Query::parse(&"a".repeat(MAX_QUERY + 1), KEYS).unwrap_err().code(), Code::InvalidRequest);
    }

    #[test]
    fn a_version_or_a_destruction_that_is_given_says_something() {
        for raw in ["uri=a&version=", "uri=a&version", "uri=a&destroy=", "destroy"] {
            assert_eq!(Query::parse(raw, KEYS).unwrap_err().code(), Code::InvalidRequest, "{raw}");
        }
    }

    #[test]
    fn a_window_outside_its_bounds_is_refused() {
        assert_eq!(Query::parse("", KEYS).unwrap().window().unwrap(), Window { offset: 0, limit: 100 });
        for raw in ["limit=0", "limit=1001", "limit=-1", "offset=x", "offset=1e3", "limit=01"] {
            assert_eq!(Query::parse(raw, KEYS).unwrap().window().unwrap_err().code(), Code::InvalidRequest, "{raw}");
        }
    }
}
