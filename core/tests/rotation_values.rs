//! What a recorded rotation starts from, and what it makes: of any secret, to any value. On virtual time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "rotation/bank.rs"]
mod bank;
mod scenario;

use bank::{Bank, Fate, PASSWORD, SECRET, code, is_write};
use baokit_core::{Code, Generator, SecretValue};
use scenario::World;
use serde_json::json;

#[test]
fn a_rotation_that_is_unknown_is_not_begun_by_resuming_it() {
    let bank = Bank::new();
    let client = bank.client();
    assert_eq!(code(bank.run(client.rotate_with(PASSWORD, &client.resume_rotation("f")))), Code::RotationUnknown);
    bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap();
    assert_eq!(code(bank.run(client.rotate_with(PASSWORD, &client.resume_rotation("f")))), Code::RotationUnknown);
    assert_eq!(bank.version(), 2);
}

#[test]
fn a_record_that_cannot_be_read_is_left_alone() {
    let bank = Bank::new();
    bank.request("POST", "secret/metadata/app", r#"{"custom_metadata":{"baokit_rotation":"canary","owner":"me"}}"#);
    let client = bank.client();
    let error = bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap_err();
    assert_eq!(error.code(), Code::RotationInProgress);
    assert!(!error.to_string().contains("canary"), "{error}");
    assert_eq!((bank.version(), bank.custom()["baokit_rotation"].as_str()), (1, "canary"));
}

#[test]
fn what_others_keep_in_custom_metadata_stays() {
    let bank = Bank::new();
    bank.request("POST", "secret/metadata/app", r#"{"custom_metadata":{"owner":"me"},"max_versions":7}"#);
    let client = bank.client();
    let other = bank.clone();
    let mut is_first = true;
    bank.judge(move |seen| {
        if is_write(seen) && std::mem::take(&mut is_first) {
            other.request("PATCH", "secret/metadata/app", "");
            let mut custom = other.custom();
            custom.insert("note".into(), "added meanwhile".into());
            other.request("POST", "secret/metadata/app", &json!({"custom_metadata": custom}).to_string());
        }
        Fate::Answered
    });
    bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap();
    let custom = bank.custom();
    assert_eq!((custom["owner"].as_str(), custom["note"].as_str()), ("me", "added meanwhile"));
    assert_eq!(bank.phase().as_deref(), Some("finished"));
    assert_eq!(bank.request("GET", "secret/metadata/app", "")["data"]["max_versions"], 7);
}

#[test]
fn a_secret_that_is_not_there_is_made() {
    let bank = Bank::empty();
    let client = bank.client();
    let done = bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap();
    assert_eq!((done.old_version, done.new_version, bank.version()), (0, 1, 1));
    assert_eq!(bank.data().as_object().unwrap().len(), 1);
}

#[test]
fn a_version_that_is_deleted_or_destroyed_is_followed_by_a_new_one() {
    for (method, target, body) in
        [("DELETE", "secret/data/app", ""), ("PUT", "secret/destroy/app", r#"{"versions":[1]}"#)]
    {
        let bank = Bank::new();
        bank.request(method, target, body);
        let client = bank.client();
        let done = bank.run(client.rotate_with(PASSWORD, &client.rotation())).unwrap();
        assert_eq!((done.old_version, done.new_version, bank.version()), (1, 2, 2));
        assert_eq!(bank.data().as_object().unwrap().len(), 1);
    }
}

#[test]
fn generated_values_have_the_length_and_the_alphabet_and_differ() {
    let bank = Bank::new();
    let client = bank.client();
    let mut values = Vec::new();
    for _ in 0..20 {
        let rotation = client.rotation().generate(Generator::new().length(40).alphabet("aé0-").unwrap());
        bank.run(client.rotate_with(PASSWORD, &rotation)).unwrap();
        let value = bank.password();
        assert_eq!(value.chars().count(), 40);
        assert!(value.chars().all(|character| "aé0-".contains(character)), "{value}");
        assert!(!values.contains(&value));
        values.push(value);
    }
    let all: String = values.concat();
    assert!("aé0-".chars().all(|character| all.contains(character)));
    for weak in [Generator::new().length(0), Generator::new().length(8), Generator::new().length(4097)] {
        let rotation = client.rotation().generate(weak);
        assert_eq!(code(bank.run(client.rotate_with(PASSWORD, &rotation))), Code::InvalidValue);
    }
    assert_eq!((bank.version(), bank.phase().as_deref()), (21, Some("finished")), "refused before the intent");
    for wrong in ["", "a", "aa", "aba"] {
        assert_eq!(code(Generator::new().alphabet(wrong)), Code::InvalidValue);
    }
}

#[test]
fn a_whole_secret_is_rotated_to_the_value_that_is_given() {
    let bank = Bank::new();
    let client = bank.client();
    assert_eq!(code(bank.run(client.rotate_with(SECRET, &client.rotation()))), Code::InvalidValue);
    let rotation = client.rotation().value(SecretValue::from(json!({"password": "new", "port": 5432})));
    let done = bank.run(client.rotate_with(SECRET, &rotation)).unwrap();
    assert_eq!((done.new_version, bank.data()), (2, json!({"password": "new", "port": 5432})));
}

#[test]
fn a_whole_secret_is_made_from_the_one_before_and_a_generated_value() {
    let rotation = |client: &baokit_core::Client<World>, op: Option<&str>| {
        let rotation = op.map_or_else(|| client.rotation(), |op| client.resume_rotation(op));
        rotation.generate(Generator::new().length(24)).make(|old, password| {
            let is_a = old.is_some_and(|old| old.expose()["user"] == "a");
            json!({"user": if is_a { "b" } else { "a" }, "password": password.expose(), "port": 5432})
        })
    };
    let bank = Bank::empty();
    let client = bank.client();
    for user in ["a", "b", "a"] {
        bank.run(client.rotate_with(SECRET, &rotation(&client, None))).unwrap();
        assert_eq!((bank.data()["user"].as_str(), bank.password().len()), (Some(user), 24));
    }
    for after in 1..100 {
        let first = rotation(&client, None);
        let before = bank.version();
        let is_over = bank.cut(after, client.rotate_with(SECRET, &first)).is_some();
        let again = bank.run(client.rotate_with(SECRET, &rotation(&client, Some(first.operation_id()))));
        match again {
            Ok(done) => assert_eq!((after, done.new_version, bank.version()), (after, before + 1, before + 1)),
            Err(error) => assert_eq!((after, error.code(), bank.version()), (after, Code::RotationUnknown, before)),
        }
        if is_over {
            break;
        }
    }
    let wrong = client.rotation().make(|_, password| password.clone());
    assert_eq!(code(bank.run(client.rotate_with(SECRET, &wrong))), Code::InvalidValue);
    assert_eq!(code(bank.run(client.rotate_with(PASSWORD, &rotation(&client, None)))), Code::InvalidValue);
    assert!(!format!("{:?}", client.rotation().value("canary")).contains("canary"));
}
