//! What settings promise beyond the vectors: the builder, origins, and that nothing leaks.

#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::time::Duration;

use baokit_core::config::{Credential, Options, Origin, Pem, Scheme, Settings, SettingsBuilder, WarningCode};
use baokit_core::uri::Provider;
use baokit_core::{Code, Error};
use secrecy::SecretString;

const URL: &str = "https://bao.example:8200";
const PEM: &str = "-----BEGIN CERTIFICATE----- canary";

fn builder() -> SettingsBuilder {
    Settings::builder(Provider::OpenBao).urls([URL]).credential(Credential::token("canary-token"))
}

fn refusal(builder: SettingsBuilder) -> Error {
    builder.build().unwrap_err()
}

#[test]
fn code_and_lookup_agree() {
    let lookup = |key: &str| match key {
        "OPENBAO_URL" => Some(URL.to_owned()),
        "OPENBAO_TOKEN" => Some("canary-token".to_owned()),
        "VAULT_TIMEOUT" => Some("12".to_owned()),
        "TENANT_ALLOWED_MOUNTS" => Some("secret".to_owned()),
        _ => None,
    };
    let found = Settings::from_lookup(Provider::OpenBao, lookup).unwrap();
    let built = builder().deadline(Duration::from_secs(12)).allowed_mounts(["secret"]).build().unwrap();
    assert_eq!(format!("{found:?}"), format!("{built:?}"));
}

#[test]
fn code_overrules_a_lookup() {
    let lookup = |key: &str| (key == "VAULT_TIMEOUT").then(|| "12".to_owned());
    let settings = SettingsBuilder::from_lookup(Provider::OpenBao, lookup)
        .urls([URL])
        .credential(Credential::token("canary-token"))
        .build()
        .unwrap();
    assert_eq!(settings.deadline(), Duration::from_secs(12));
}

#[test]
fn the_builder_checks_what_a_lookup_checks() {
    let invalid: [(SettingsBuilder, &str); 14] = [
        (builder().urls(["bao.example"]), "urls"),
        (builder().urls([URL, "ftp://x"]), "urls, entry 2"),
        (builder().credential(Credential::token("canary\n")), "token"),
        (builder().credential(Credential::token("")), "token"),
        (builder().credential(Credential::app_role("canary\n", "canary").unwrap()), "role_id"),
        (builder().credential(Credential::app_role("canary", "").unwrap()), "secret_id"),
        (builder().namespace("a//b"), "namespace"),
        (builder().ca(Pem::Text("canary".into())), "ca"),
        (builder().client_certificate(Pem::File("/c".into()), Pem::File(String::new())), "client_certificate key"),
        (builder().deadline(Duration::ZERO), "deadline"),
        (builder().deadline(Duration::from_secs(86_401)), "deadline"),
        (builder().renewal_threshold(Duration::from_secs(2_592_001)), "renewal_threshold"),
        (builder().pool_size(0), "pool_size"),
        (builder().max_concurrent(100_001), "max_concurrent"),
    ];
    for (builder, key) in invalid {
        let error = refusal(builder);
        assert_eq!((error.code(), error.subject()), (Code::InvalidSetting, Some(key)));
        assert!(!error.to_string().contains("canary"));
    }
    assert_eq!(refusal(builder().allowed_mounts(["*"])).subject(), Some("TENANT_ALLOWED_MOUNTS"));
    assert_eq!(refusal(builder().tenant_id("")).subject(), Some("TENANT_ID"));
    assert_eq!(refusal(builder().urls(Vec::<String>::new())).code(), Code::MissingSetting);
    assert_eq!(refusal(Settings::builder(Provider::OpenBao).urls([URL])).code(), Code::MissingSetting);
    assert_eq!(refusal(Settings::builder(Provider::Yaml)).code(), Code::UnsupportedEngine);
    let mount = Credential::app_role_at("../sys", "canary", "canary").unwrap_err();
    assert_eq!(mount.code(), Code::IllegalSegment);
}

#[test]
fn the_first_fault_is_reported() {
    let error = refusal(builder().pool_size(0).max_concurrent(0).urls(["x"]));
    assert_eq!(error.subject(), Some("pool_size"));
}

#[test]
fn no_debug_shows_a_credential() {
    let pem = || Pem::Text(SecretString::from("-----BEGIN PRIVATE KEY----- canary"));
    let builder = builder()
        .credential(Credential::app_role("canary-role", "canary-secret").unwrap())
        .ca(pem())
        .client_certificate(pem(), pem());
    assert!(!format!("{builder:?}").contains("canary"));
    let settings = builder.build().unwrap();
    assert!(!format!("{settings:?} {:#?}", settings.credential()).contains("canary"));
    assert!(!format!("{:?}", Credential::token("canary")).contains("canary"));
}

#[test]
fn warnings_name_their_keys() {
    let lookup = |key: &str| {
        let value = match key {
            "VAULT_ADDR" => "http://bao.example:8200",
            "BAO_TOKEN" => "canary-token",
            "VAULT_ROLE_ID" | "VAULT_SECRET_ID" => "canary-role",
            "OPENBAO_VERIFY_SSL" => "no",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let settings = Settings::from_lookup(Provider::OpenBao, lookup).unwrap();
    let codes = [
        (WarningCode::TokenIgnored, "BAO_TOKEN"),
        (WarningCode::PlainHttp, "VAULT_ADDR"),
        (WarningCode::TlsNotVerified, "OPENBAO_VERIFY_SSL"),
    ];
    assert_eq!(settings.warnings().len(), codes.len());
    for (warning, (code, key)) in settings.warnings().iter().zip(codes) {
        assert_eq!(warning.code(), code);
        assert!(warning.text().contains(key), "{warning}");
        assert!(!warning.to_string().contains("canary"));
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// What is needed, so that one option can be tried at a time.
fn needed() -> Options {
    Options { url: text(URL), token: text("canary-token"), ..Options::default() }
}

fn given(options: Options) -> SettingsBuilder {
    SettingsBuilder::from_options(options, |_| Ok::<_, Infallible>(None)).unwrap()
}

#[test]
fn options_say_what_setters_say() {
    let options = Options {
        provider: text("HashiCorp+KV2"),
        url: None,
        urls: Some(vec![URL.to_owned()]),
        token: text("canary-token"),
        role_id: text("role"),
        secret_id: text("canary"),
        namespace: text("/team/"),
        ca_pem: text(PEM),
        client_certificate_pem: text(PEM),
        client_key_pem: text(PEM),
        verify_tls: Some(false),
        timeout: Some(2.5),
        renewal_threshold: Some(0.0),
        pool_size: Some(3.0),
        max_concurrent: Some(4.0),
        tenant_id: text("acme"),
        allowed_mounts: Some(vec!["secret".to_owned()]),
        accept_legacy: Some(true),
    };
    let pem = || Pem::Text(PEM.into());
    let built = Settings::builder(Provider::HashiCorp)
        .urls([URL])
        .credential(Credential::app_role("role", "canary").unwrap())
        .namespace("team")
        .ca(pem())
        .client_certificate(pem(), pem())
        .verify_tls(false)
        .deadline(Duration::from_millis(2500))
        .renewal_threshold(Duration::ZERO)
        .pool_size(3)
        .max_concurrent(4)
        .tenant_id("acme")
        .allowed_mounts(["secret"])
        .accept_legacy(true);
    let (given, built) = (given(options).build().unwrap(), built.build().unwrap());
    assert_eq!(format!("{given:?}"), format!("{built:?}"));
}

#[test]
fn options_overrule_a_lookup_which_may_fail() {
    let lookup = |key: &str| match key {
        "OPENBAO_URL" => Ok(text("https://another.example")),
        "OPENBAO_TOKEN" | "OPENBAO_ROLE_ID" | "OPENBAO_SECRET_ID" => Ok(text("canary-token")),
        "VAULT_TIMEOUT" => Ok(text("12")),
        "VAULT_POOL_SIZE" | "VAULT_NAMESPACE" => Err(key.to_owned()),
        _ => Ok(None),
    };
    let healthy = |key: &str| lookup(key).or(Ok::<_, Infallible>(None));
    let settings = SettingsBuilder::from_options(needed(), healthy).unwrap().build().unwrap();
    assert_eq!((settings.nodes()[0].as_str(), settings.deadline().as_secs()), ("https://bao.example:8200", 12));
    assert!(matches!(settings.credential(), Some(Credential::Token(_))));
    // The token of the lookup was ignored, and the one that is given is not.
    assert!(settings.warnings().is_empty());
    assert_eq!(SettingsBuilder::from_options(needed(), lookup).unwrap_err(), "VAULT_NAMESPACE");
}

#[test]
fn an_option_that_is_refused_is_named() {
    let urls = |urls: &[&str]| Some(urls.iter().map(|url| (*url).to_owned()).collect());
    let cases: [(Options, &str); 25] = [
        (Options { urls: urls(&[URL]), ..needed() }, "urls"),
        (Options { url: text("canary"), ..needed() }, "url"),
        (Options { url: None, urls: urls(&[URL, "canary"]), ..needed() }, "urls, entry 2"),
        (Options { token: text("canary\n"), ..needed() }, "token"),
        (Options { role_id: text("canary"), ..needed() }, "secret_id"),
        (Options { secret_id: text("canary"), ..needed() }, "role_id"),
        (Options { role_id: text("canary"), secret_id: text(""), ..needed() }, "secret_id"),
        (Options { namespace: text("a//canary"), ..needed() }, "namespace"),
        (Options { ca_pem: text("canary"), ..needed() }, "ca_pem"),
        (Options { client_certificate_pem: text(PEM), ..needed() }, "client_key_pem"),
        (Options { client_key_pem: text(PEM), ..needed() }, "client_certificate_pem"),
        (Options { client_certificate_pem: text(PEM), client_key_pem: text("canary"), ..needed() }, "client_key_pem"),
        (Options { timeout: Some(0.0), ..needed() }, "timeout"),
        (Options { timeout: Some(-1.0), ..needed() }, "timeout"),
        (Options { timeout: Some(f64::NAN), ..needed() }, "timeout"),
        (Options { timeout: Some(f64::INFINITY), ..needed() }, "timeout"),
        (Options { timeout: Some(86_400.5), ..needed() }, "timeout"),
        (Options { renewal_threshold: Some(-1.0), ..needed() }, "renewal_threshold"),
        (Options { renewal_threshold: Some(1e30), ..needed() }, "renewal_threshold"),
        (Options { pool_size: Some(0.0), ..needed() }, "pool_size"),
        (Options { pool_size: Some(-1.0), ..needed() }, "pool_size"),
        (Options { pool_size: Some(1.5), ..needed() }, "pool_size"),
        (Options { max_concurrent: Some(1e30), ..needed() }, "max_concurrent"),
        (Options { max_concurrent: Some(f64::NAN), ..needed() }, "max_concurrent"),
        (Options { max_concurrent: Some(f64::INFINITY), ..needed() }, "max_concurrent"),
    ];
    for (options, name) in cases {
        let error = refusal(given(options));
        assert_eq!((error.code(), error.subject()), (Code::InvalidSetting, Some(name)), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let provider = |name| refusal(given(Options { provider: text(name), ..needed() })).code();
    assert_eq!(provider("openbao+kv1"), Code::UnsupportedEngine);
    assert_eq!(provider("yaml"), Code::UnsupportedEngine);
    assert_eq!(provider(""), Code::InvalidUri);
    assert_eq!(refusal(given(Options::default())).code(), Code::MissingSetting);
}

#[test]
fn a_prefix_is_read_by_the_settings_and_shown_to_the_guard() {
    let settings = builder().allowed_mounts(["secret"]).accept_legacy(true).build().unwrap();
    let admit = |text| settings.admit_prefix(text);
    assert_eq!(admit("openbao+kv2://secret/app/").unwrap().prefix().as_str(), "openbao+kv2://secret/app/");
    assert_eq!(admit(" openbao+kv2://secret//app/").unwrap().prefix().as_str(), "openbao+kv2://secret/app/");
    assert_eq!(admit("openbao+kv2://other/app/").unwrap_err().code(), Code::TenantMountMismatch);
    let strict = builder().allowed_mounts(["secret"]).build().unwrap();
    assert!(strict.admit_prefix(" openbao+kv2://secret/app/").is_err());
}

#[test]
fn origins_have_one_text() {
    let origin = Origin::parse("HTTPS://Bao.Example/").unwrap();
    assert_eq!((origin.scheme(), origin.host(), origin.port()), (Scheme::Https, "bao.example", 443));
    assert_eq!(origin, Origin::parse("https://bao.example:443").unwrap());
    assert_eq!(origin.to_string(), "https://bao.example:443");
    assert_eq!(origin, origin.as_str().parse().unwrap());
    let v6 = Origin::parse("http://[::1]:8200").unwrap();
    assert_eq!((v6.host(), v6.port(), v6.is_loopback()), ("[::1]", 8200, true));
    assert_eq!(v6, Origin::parse("http://[0:0:0:0:0:0:0:1]:8200").unwrap());
    assert!(!Origin::parse("http://0.0.0.0:8200").unwrap().is_loopback());
}

#[test]
fn a_redirect_is_split_without_touching_its_path() {
    let split = |location| Origin::of_location(location).map(|(origin, rest)| (origin.to_string(), rest.to_owned()));
    let found = |origin: &str, rest: &str| Some((origin.to_owned(), rest.to_owned()));
    assert_eq!(
        split("https://B.example:8200/v1/secret/data/k%C3%A4se?version=1"),
        found("https://b.example:8200", "/v1/secret/data/k%C3%A4se?version=1")
    );
    assert_eq!(split("https://b.example"), found("https://b.example:443", ""));
    assert_eq!(split("https://b.example/v1/../sys"), found("https://b.example:443", "/v1/../sys"));
    for relative in ["/v1/secret", "v1/secret", "//b.example/v1", "", "https:///v1", "https://u:p@b.example/v1"] {
        assert_eq!(split(relative), None, "{relative}");
    }
}
