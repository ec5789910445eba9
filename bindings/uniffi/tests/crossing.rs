//! What crosses over to the other languages, seen from this side: errors by family, no secrets.
//! The rest is tested from Kotlin, through the packed jar.

use std::collections::HashMap;

use baokit::{Code, Error, MAX_DEPTH};
use baokit_uniffi::{BaokitError, Client, Nested, UniFfiTag, Value, codes, describe_settings, require_depth};
use uniffi::{Lift, Lower};

fn environment(entries: &[(&str, &str)]) -> HashMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn an_error_is_of_its_family_and_says_what_core_says() {
    let Err(BaokitError::Caller { failure }) = Client::from_env(HashMap::new(), "openbao+kv2".to_owned()) else {
        panic!("an empty environment is the caller's mistake");
    };
    let row = codes().into_iter().find(|row| row.code == "MISSING_SETTING").unwrap();
    assert_eq!((failure.code.code.as_str(), failure.code.family.as_str()), ("MISSING_SETTING", "caller"));
    assert_eq!((failure.code.http_status, failure.code.advice), (row.http_status, row.advice));
    assert!(failure.message.starts_with("MISSING_SETTING: OPENBAO_URL"));
}

#[test]
fn every_code_of_core_becomes_an_error_of_its_family() {
    for code in Code::ALL {
        let case = match BaokitError::from(Error::new(*code)) {
            BaokitError::Caller { .. } => "caller",
            BaokitError::Policy { .. } => "policy",
            BaokitError::Server { .. } => "server",
            BaokitError::Transport { .. } => "transport",
            BaokitError::Internal { .. } => "bug",
        };
        assert_eq!(case, code.family().as_str(), "{}", code.as_str());
    }
}

/// A list in a list and so on, as the other languages write it: no value of that depth is made here.
fn lists(levels: usize) -> Vec<u8> {
    let (mut list, mut null) = (Vec::new(), Vec::new());
    <Value as Lower<UniFfiTag>>::write(Value::Array { items: Nested(vec![Value::Null]) }, &mut list);
    <Value as Lower<UniFfiTag>>::write(Value::Null, &mut null);
    list.truncate(list.len() - null.len());
    [list.repeat(levels), null].concat()
}

#[test]
fn a_value_is_read_as_deep_as_core_takes_one() {
    fn read(levels: usize) -> uniffi::Result<Value> {
        <Value as Lift<UniFfiTag>>::try_read(&mut lists(levels).as_slice())
    }
    assert!(require_depth(100).is_ok() && require_depth(101).is_err() && require_depth(u32::MAX).is_err());
    for levels in [MAX_DEPTH + 1, 1_000_000, MAX_DEPTH + 1] {
        let Err(refused) = read(levels) else { panic!("{levels} levels were read") };
        let Ok(BaokitError::Caller { failure }) = refused.downcast() else { panic!("no error of this crate") };
        assert_eq!(failure.code.code, "INVALID_VALUE");
    }
    let mut value = read(MAX_DEPTH).unwrap_or_else(|error| panic!("{error}"));
    let mut levels = 0;
    while let Value::Array { items: Nested(mut items) } = value {
        levels += 1;
        value = items.remove(0);
    }
    assert_eq!(levels, MAX_DEPTH);
}

#[test]
fn one_node_or_a_list_of_them() {
    let node = || "http://127.0.0.1:1".to_owned();
    #[rustfmt::skip]
    #[allow(clippy::result_large_err, reason = "as in the library")]
    let client = |url, urls| {
        Client::new(
            url, urls, Some("t".to_owned()), None, None, None, None, None, None, None, None, None, None, None, None,
            None, None, "openbao+kv2".to_owned(),
        )
    };
    assert!(client(Some(node()), None).is_ok() && client(None, Some(vec![node()])).is_ok());
    let Err(BaokitError::Caller { failure }) = client(Some(node()), Some(vec![node()])) else {
        panic!("both were taken");
    };
    assert_eq!((failure.code.code.as_str(), failure.subject.as_deref()), ("INVALID_SETTING", Some("urls")));
}

#[test]
fn the_settings_of_an_environment_hold_no_credential() {
    let env = environment(&[("OPENBAO_URL", "http://127.0.0.1:1"), ("OPENBAO_TOKEN", "canary")]);
    let Value::Object { entries: Nested(entries) } = describe_settings(env, "openbao+kv2".to_owned()).unwrap() else {
        panic!("no object")
    };
    assert!(matches!(&entries["credential"], Value::Text { value } if value == "token"));
    assert!(matches!(&entries["pool_size"], Value::Integer { value: 10 }));
}

#[test]
fn printing_a_value_shows_nothing_of_it() {
    let text = Value::Text { value: "canary".to_owned() };
    assert_eq!(Value::Array { items: Nested(vec![text]) }.to_string(), "Value([redacted])");
}
