//! Secrets in a YAML file: found by mount, path and fragment, read anew, and in development alone.

#![cfg(feature = "service")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::PathBuf;

use baokit::service::YamlStrategy;
use baokit_core::SecretValue;
use baokit_service::Code;
use baokit_service::providers::Strategy;
use baokit_service::settings::Settings;
use serde_json::json;

const SECRETS: &str = "
secret:
  app:
    api: &api { token: hunter2, port: 8080, on: true }
    text: |
      two
      lines
    123: { name: number }
  'with space': { a: 1 }
  plain: scalar
  copy: *api
";

struct File(PathBuf);

impl File {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = std::env::temp_dir().join(format!("baokit-yaml-{name}-{}.yaml", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn strategy(&self) -> YamlStrategy {
        let path = self.0.to_str().unwrap().to_owned();
        let lookup = |key: &str| (key == "YAML_VAULT_PATH").then(|| path.clone());
        YamlStrategy::new(&Settings::from_lookup(lookup).unwrap()).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

async fn value(yaml: &YamlStrategy, uri: &str) -> serde_json::Value {
    yaml.read(uri, None).await.unwrap().value.expose().clone()
}

async fn code(yaml: &YamlStrategy, uri: &str) -> Code {
    yaml.read(uri, None).await.unwrap_err().code()
}

#[tokio::test]
async fn mount_path_and_fragment_walk_the_map() {
    let file = File::new("walk", SECRETS);
    let yaml = file.strategy();
    assert_eq!(value(&yaml, "yaml://secret/app/api#token").await, json!("hunter2"));
    assert_eq!(value(&yaml, "yaml://secret/app/api").await, json!({"token": "hunter2", "port": 8080, "on": true}));
    assert_eq!(value(&yaml, "yaml://secret/app#text").await, json!("two\nlines\n"));
    assert_eq!(value(&yaml, "yaml://secret/app/123#name").await, json!("number"));
    assert_eq!(value(&yaml, "yaml://secret/copy#token").await, json!("hunter2"));
    assert_eq!(value(&yaml, "yaml://secret/with%20space").await, json!({"a": 1}));
}

#[tokio::test]
async fn what_is_absent_is_told_apart() {
    use baokit_core::Code as Core;
    let file = File::new("absent", SECRETS);
    let yaml = file.strategy();
    for (uri, expected) in [
        ("yaml://secret/app/api#absent", Core::FragmentNotFound),
        ("yaml://secret/absent", Core::SecretNotFound),
        ("yaml://absent/app/api", Core::SecretNotFound),
        ("yaml://secret/app/api/token", Core::SecretNotFound),
        ("yaml://secret/plain", Core::SecretNotFound),
        ("yaml://secret/plain#scalar", Core::SecretNotFound),
        ("yaml://secret/app/api?version=1", Core::VersionNotAllowed),
        ("openbao+kv2://secret/app/api", Core::UnsupportedEngine),
        ("yaml://secret/../app", Core::IllegalSegment),
    ] {
        assert_eq!(code(&yaml, uri).await, Code::Core(expected), "{uri}");
    }
    let error = yaml.read("yaml://secret/app/api", Some("1")).await.unwrap_err();
    assert_eq!(error.code(), Code::Core(Core::VersionNotAllowed));
}

#[tokio::test]
async fn the_file_is_read_anew_and_written_never() {
    let file = File::new("anew", SECRETS);
    let yaml = file.strategy();
    fs::write(&file.0, "secret: { app: { api: { token: other } } }").unwrap();
    assert_eq!(value(&yaml, "yaml://secret/app/api#token").await, json!("other"));
    let error = yaml.write("yaml://secret/app/api", SecretValue::from("x")).await.unwrap_err();
    assert_eq!(error.code(), Code::OperationNotSupported);
    fs::remove_file(&file.0).unwrap();
    assert_eq!(code(&yaml, "yaml://secret/app/api").await, Code::ProviderFailed);
}

#[tokio::test]
async fn a_file_that_is_no_such_yaml_is_refused_and_never_quoted() {
    let bomb = (1..12).fold("a0: &a0 [canary, canary]\n".to_owned(), |text, n| {
        text + &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","))
    });
    let deep = format!("secret: {}canary{}", "[".repeat(50_000), "]".repeat(50_000));
    let block: String = (0..1_000).map(|n| format!("{}canary:\n", " ".repeat(n))).collect();
    for (name, content) in [
        ("broken", b"secret: { canary: 'canary\n".to_vec()),
        ("twice", b"secret:\n  canary: 1\n  canary: 2\n".to_vec()),
        ("binary", b"secret: canary\xff\n".to_vec()),
        ("long", format!("secret: {}", "canary ".repeat(200_000)).into_bytes()),
        ("bomb", bomb.into_bytes()),
        ("deep", deep.into_bytes()),
        ("block", block.into_bytes()),
    ] {
        let file = File::new(name, content);
        let yaml = file.strategy();
        let error = yaml.read("yaml://secret/canary", None).await.unwrap_err();
        assert_eq!(error.code(), Code::ProviderFailed, "{name}: {error}");
        assert!(!format!("{error} {error:?} {yaml:?}").contains("canary"), "{name}: {error}");
    }
    let file = File::new("empty", "");
    assert_eq!(code(&file.strategy(), "yaml://secret/a").await, Code::Core(baokit_core::Code::SecretNotFound));
}

#[test]
fn it_is_refused_outside_development_and_without_a_file() {
    let made = |keys: &[(&str, &str)]| {
        let lookup = |key: &str| keys.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
        let settings = Settings::from_lookup(lookup);
        settings.map_err(Into::into).and_then(|settings| YamlStrategy::new(&settings))
    };
    let salt = ("TENANT_SALT", "0123456789abcdef");
    let file = ("YAML_VAULT_PATH", "secrets.yaml");
    assert!(made(&[file]).is_ok() && made(&[file, ("ENVIRONMENT", "test")]).is_ok());
    for environment in ["production", "staging", "Dev", "dev "] {
        let error = made(&[file, salt, ("ENVIRONMENT", environment)]).unwrap_err();
        assert!(error.to_string().contains("YAML_VAULT_PATH"), "{error}");
    }
    let error = made(&[]).unwrap_err();
    assert_eq!(error.code(), Code::Core(baokit_core::Code::MissingSetting));
}
