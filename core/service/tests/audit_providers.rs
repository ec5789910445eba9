//! What a host registers: names, who is found for a reference, and that nothing is supported of itself.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use baokit_core::SecretValue;
use baokit_core::uri::SecretPointer;
use baokit_service::Code;
use baokit_service::providers::{AllowedFiles, BoxFuture, Found, Providers, Strategy, VersionEntry, VersionList};
use baokit_service::settings::Settings;

struct Reads;

impl Strategy for Reads {
    fn read<'a>(
        &'a self,
        reference: &'a str,
        version: Option<&'a str>,
    ) -> BoxFuture<'a, baokit_service::Result<Found>> {
        let value = format!("canary {reference} {version:?}");
        Box::pin(async move { Ok(Found::new(value).with_version(2)) })
    }
}

/// The result of a future that waits for nobody.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn a_strategy_is_found_by_the_first_word_of_a_canonical_reference() {
    let providers = Providers::default().with("azure", Arc::new(Reads)).unwrap().with("db", Arc::new(Reads)).unwrap();
    assert_eq!(providers.names().collect::<Vec<_>>(), ["azure", "db"]);
    assert_eq!(format!("{providers:?}"), r#"{"azure", "db"}"#);
    for there in ["azure://vault/name", "db:credentials:1"] {
        assert!(providers.find(there).is_some(), "{there}");
    }
    for absent in [
        "",
        "azur://x",
        "azure+kv://vault/name",
        "azure+://x",
        "azure2://x",
        "openbao+kv2://secret/azure:",
        "AZURE://x",
        "://azure",
        "+azure://x",
    ] {
        assert!(providers.find(absent).is_none(), "{absent}");
    }
}

#[test]
fn a_name_that_could_never_be_met_or_is_the_clients_is_refused() {
    for name in ["", "Azure", "azure+kv", "a:b", "a b", "ä", "openbao", "hashicorp", &"a".repeat(33)] {
        let error = Providers::default().with(name, Arc::new(Reads)).unwrap_err();
        assert_eq!(error.code(), Code::Core(baokit_core::Code::InvalidSetting), "{name}");
    }
}

#[test]
fn what_a_strategy_does_not_implement_is_501() {
    let reads: &dyn Strategy = &Reads;
    let value = || SecretValue::from("canary");
    let codes = [
        at_once(reads.write("r", value())).unwrap_err().code(),
        at_once(reads.rotate("r", value())).unwrap_err().code(),
        at_once(reads.delete("r")).unwrap_err().code(),
        at_once(reads.undelete("r", &[1])).unwrap_err().code(),
        at_once(reads.destroy_versions("r", &[1])).unwrap_err().code(),
        at_once(reads.destroy("r")).unwrap_err().code(),
        at_once(reads.versions("r")).unwrap_err().code(),
        at_once(reads.metadata("r")).unwrap_err().code(),
        at_once(reads.keys("r")).unwrap_err().code(),
        at_once(reads.set_owner("r", "o")).unwrap_err().code(),
        at_once(reads.list("r", 0, 1)).unwrap_err().code(),
        at_once(reads.search("r", "t", 0, 1)).unwrap_err().code(),
    ];
    assert!(codes.iter().all(|code| *code == Code::OperationNotSupported && code.status() == 501));
    assert_eq!(at_once(reads.attributes("r")).unwrap(), None);
}

#[test]
fn what_was_read_is_redacted() {
    let found = at_once(Reads.read("azure://v/n", Some("abc"))).unwrap();
    assert_eq!(found.value.expose_str().unwrap(), r#"canary azure://v/n Some("abc")"#);
    assert_eq!(found.version, Some(2));
    assert!(!format!("{found:?}").contains("canary"));
}

#[test]
fn the_newest_version_is_the_last() {
    let list = VersionList::new(vec![VersionEntry::new(1), VersionEntry::new(2)]);
    assert_eq!(list.current_version, Some(2));
    assert_eq!(VersionList::new(Vec::new()).current_version, None);
    let json = serde_json::to_string(&VersionEntry::new(1)).unwrap();
    assert_eq!(json, r#"{"version":1,"created_time":null,"deletion_time":null,"destroyed":false}"#);
}

fn allowed(names: &str) -> baokit_service::Result<AllowedFiles> {
    let lookup = |key: &str| (key == "FILE_ALLOWED_NAMES").then(|| names.to_owned());
    AllowedFiles::new(&Settings::from_lookup(lookup)?)
}

#[test]
fn only_listed_files_are_admitted() {
    let files = allowed("db-password, certs:key, FILE:other:a").unwrap();
    let admits = |text: &str| files.admit(&SecretPointer::parse(text).unwrap());
    for text in ["file:db-password", "file:primary:db-password", "File:certs:key", "file:other:a"] {
        assert!(admits(text).is_ok(), "{text}");
    }
    for text in ["file:key", "file:primary:key", "file:certs:db-password", "file:DB-password", "file:a"] {
        assert_eq!(admits(text).unwrap_err().code(), Code::PolicyDenied, "{text}");
    }
    assert!(admits("db:credentials:3f2504e0-4f89-11d3-9a0c-0305e82c3301").is_err());
    assert!(AllowedFiles::default().admit(&SecretPointer::parse("file:a").unwrap()).is_err());
    for names in ["../a", "primary:..", "a/b", "a:b:c", ".a", "*", "file:"] {
        let error = allowed(names).unwrap_err();
        assert_eq!(error.code(), Code::Core(baokit_core::Code::InvalidSetting), "{names}");
    }
}
