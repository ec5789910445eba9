//! The bodies that the end points take, as types. What does not fit is refused without a word of what it held.

use baokit_core::SecretValue;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Code, Error, Result};

/// How many operations a bulk request may have.
pub const MAX_BULK: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Value {
    pub uri: String,
    pub value: SecretValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Versions {
    pub uri: String,
    pub versions: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owner {
    pub uri: String,
    pub owner: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer {
    #[serde(rename = "fromUri")]
    pub from: String,
    #[serde(rename = "toUri")]
    pub to: String,
    #[serde(default)]
    pub overwrite: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bulk {
    pub operations: Vec<One>,
    #[serde(rename = "continueOnError", default)]
    pub continue_on_error: bool,
}

/// One operation of many.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum One {
    Set { uri: String, value: SecretValue },
    Rotate { uri: String, value: SecretValue },
    Delete { uri: String },
    Undelete { uri: String, versions: Vec<u64> },
    Destroy { uri: String, versions: Option<Vec<u64>> },
    Owner { uri: String, owner: String },
}

/// Reads a body.
pub(crate) fn read<T: DeserializeOwned>(content_type: Option<&str>, body: &[u8]) -> Result<T> {
    let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Error::new(Code::UnsupportedMediaType));
    }
    serde_json::from_slice(body).map_err(|error| {
        // serde's own text may quote the value.
        let (line, column) = (error.line(), error.column());
        let what = if error.is_data() {
            "the body has other fields, or other types, than this end point takes"
        } else {
            "the body is no JSON"
        };
        Error::new(Code::InvalidRequest).because(format!("{what} (line {line}, column {column})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Option<&str> = Some("application/json; charset=utf-8");

    fn code<T: DeserializeOwned>(body: &str) -> (Code, String) {
        let error = read::<T>(JSON, body.as_bytes()).err().unwrap();
        (error.code(), error.to_string())
    }

    #[test]
    fn what_does_not_fit_is_refused_without_a_word_of_what_it_held() {
        for body in [
            "",
            "[]",
            "{\"uri\":\"a\"}",
            "{\"uri\":\"a\",\"value\":1,\"canary\":2}",
            "{\"uri\":\"a\",\"uri\":\"canary\",\"value\":1}",
            "{\"uri\":7,\"value\":\"canary\"}",
            "{\"uri\":\"a\",\"value\":\"canary\"} trailing",
            "{\"uri\":\"a\",\"value\":canary}",
        ] {
            let (code, text) = code::<Value>(body);
            assert_eq!(code, Code::InvalidRequest, "{body}");
            assert!(!text.contains("canary") && !text.contains('7'), "{text}");
        }
        assert_eq!(code::<Versions>("{\"uri\":\"a\",\"versions\":[1.5]}").0, Code::InvalidRequest);
        assert_eq!(code::<Bulk>("{\"operations\":[{\"op\":\"canary\",\"uri\":\"a\"}]}").0, Code::InvalidRequest);
        assert!(!code::<Bulk>("{\"operations\":[{\"op\":\"canary\",\"uri\":\"a\"}]}").1.contains("canary"));
    }

    #[test]
    fn only_json_is_read() {
        let read = |kind| read::<Value>(kind, br#"{"uri":"a","value":null}"#);
        assert_eq!(read(None).err().unwrap().code(), Code::UnsupportedMediaType);
        assert_eq!(read(Some("text/plain")).err().unwrap().code(), Code::UnsupportedMediaType);
        assert!(read(Some("Application/JSON")).is_ok());
    }
}
