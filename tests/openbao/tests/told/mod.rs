//! What the tests of more than one file here ask: whether an error tells what it has to, and who may do little.

use baokit::{Client, Code, Error, SecretValue};
use serde_json::json;

/// What is written as a secret, and no error may show.
pub const CANARY: &str = "canary-value";

/// The error has this code, names these, says what to do, and shows no value.
#[track_caller]
pub fn tells<T: std::fmt::Debug>(result: Result<T, Error>, code: Code, names: &[&str]) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    assert!(names.iter().all(|name| text.contains(name)), "{names:?} in: {text}");
    assert!(text.ends_with(code.advice()), "{text}");
    assert!(!format!("{text} {error:?}").contains("canary"), "{text}");
}

/// A token that has this policy and the default one.
pub async fn limited(root: &Client, policy: &str) -> String {
    let policy = SecretValue::from(json!({ "policy": policy }));
    root.request("POST", "sys/policies/acl/limited", Some(policy)).await.unwrap();
    let policies = SecretValue::from(json!({"policies": ["limited"]}));
    let created = root.request("POST", "auth/token/create", Some(policies)).await.unwrap();
    created.expose()["auth"]["client_token"].as_str().unwrap().to_owned()
}
