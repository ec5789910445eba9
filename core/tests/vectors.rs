//! Runs the shared vectors of `tests/vectors` through core's public API, as every face does.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeMap;

use baokit_core::config::{Credential, Settings};
use baokit_core::uri::path::{ApiPath, Mount, SecretPath};
use baokit_core::uri::tenant::TenantGuard;
use baokit_core::uri::{ParseOptions, Provider, SecretPointer, SecretPrefix, SecretRef, SecretUri};
use baokit_core::{Code, Error, Result};
use secrecy::ExposeSecret;
use serde_json::Value;

/// The cases of one file, each with its name.
fn cases(file: &str) -> Vec<(String, Value)> {
    let path = format!("{}/../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let cases = document["cases"].as_array().unwrap();
    println!("{file}: {} cases", cases.len());
    cases.iter().map(|case| (format!("{file}: {}", case["name"].as_str().unwrap()), case.clone())).collect()
}

/// Runs every case of a file before it fails, so that one run shows all differences.
fn run(file: &str, judge: impl Fn(&Value) -> Result<(), String>) {
    let faults = cases(file).into_iter().filter_map(|(name, case)| Some(format!("{name}: {}", judge(&case).err()?)));
    let faults: Vec<_> = faults.collect();
    assert!(faults.is_empty(), "{} differences\n{}", faults.len(), faults.join("\n"));
}

/// Compares a result's text or code with what the case demands under `key`.
fn judge(case: &Value, key: &str, result: &Result<String>) -> Result<(), String> {
    let (wanted, got) = match (case[key].as_str(), result) {
        (Some(wanted), Ok(got)) => (wanted, got.as_str()),
        (Some(wanted), Err(error)) => return Err(format!("{wanted:?} expected, {error} came")),
        (None, Ok(got)) => return Err(format!("{} expected, {got:?} came", case["code"])),
        (None, Err(error)) => (case["code"].as_str().unwrap(), error.code().as_str()),
    };
    if wanted == got { Ok(()) } else { Err(format!("{wanted:?} expected, {got:?} came")) }
}

fn judge_names(case: &Value, error: &Error) -> Result<(), String> {
    let text = error.to_string();
    for name in case["names"].as_array().into_iter().flatten() {
        if !text.contains(name.as_str().unwrap()) {
            return Err(format!("{name} is not named in {text:?}"));
        }
    }
    Ok(())
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} in {case}"))
}

fn prefix(case: &Value, options: &ParseOptions<'_>) -> Option<Result<SecretPrefix>> {
    let input = text(case, "input");
    match case["as"].as_str() {
        Some("prefix") => Some(options.parse_prefix(input)),
        Some("wildcard") => Some(options.wildcard(true).parse_prefix(input)),
        _ => None,
    }
}

#[test]
fn uris() {
    run("uri.json", |case| {
        let legacy = case["legacy"].as_bool().unwrap_or_default();
        let options = ParseOptions::new().accept_legacy(legacy).mount(case["mount"].as_str());
        if let Some(prefix) = prefix(case, &options) {
            let again =
                |text: &str| ParseOptions::new().wildcard(true).parse_prefix(text).map(|again| again.to_string());
            return judge_canonical(case, prefix.map(|prefix| prefix.to_string()), again);
        }
        let uri = options.parse(text(case, "input"));
        if let (Ok(uri), Some(parts)) = (&uri, case["parts"].as_object()) {
            let version = uri.version().map(|version| Value::from(version.get()));
            let found = [
                ("provider", Some(uri.provider().as_str().into())),
                ("mount", Some(uri.mount().into())),
                ("path", Some(uri.path().into())),
                ("fragment", uri.fragment().map(Value::from)),
                ("version", version),
            ];
            for (part, found) in found {
                if parts.get(part) != found.as_ref() {
                    return Err(format!("{part}: {:?} expected, {found:?} came", parts.get(part)));
                }
            }
        }
        judge_canonical(case, uri.map(|uri| uri.to_string()), |text| {
            SecretUri::parse(text).map(|again| again.to_string())
        })
    });
}

/// Canonical text parses, by the strict rules and without a second mount, to itself.
fn judge_canonical(case: &Value, result: Result<String>, again: impl Fn(&str) -> Result<String>) -> Result<(), String> {
    judge(case, "canonical", &result)?;
    match &result {
        Ok(canonical) => judge(case, "canonical", &again(canonical)),
        Err(_) => Ok(()),
    }
}

#[test]
fn paths() {
    run("path.json", |case| {
        let input = text(case, "input");
        let wire = match text(case, "kind") {
            "mount" => Mount::parse(input).map(|path| path.wire().to_owned()),
            "secret" => SecretPath::parse(input).map(|path| path.wire().to_owned()),
            "api" => ApiPath::parse(input).map(|path| path.wire().to_owned()),
            kind => return Err(format!("unknown kind {kind}")),
        };
        judge(case, "wire", &wire)
    });
}

#[test]
fn pointers() {
    run("pointer.json", |case| {
        let input = text(case, "input");
        if case["ref"].as_bool().unwrap_or_default() {
            return judge(case, "canonical", &SecretRef::parse(input).map(|reference| reference.as_str().to_owned()));
        }
        let parse = |text: &str| SecretPointer::parse(text).map(|pointer| pointer.to_string());
        judge_canonical(case, parse(input), parse)
    });
}

#[test]
fn tenants() {
    run("tenant.json", |case| {
        let mounts = case["mounts"].as_array().unwrap().iter().map(|mount| mount.as_str().unwrap());
        let admit =
            TenantGuard::new(text(case, "tenant"), mounts).and_then(|guard| match prefix(case, &ParseOptions::new()) {
                Some(prefix) => guard.admit_prefix(prefix?).map(drop),
                None => guard.admit(SecretUri::parse(text(case, "input"))?).map(drop),
            });
        match (case["code"].as_str(), admit) {
            (None, Ok(())) => Ok(()),
            (Some(code), Err(error)) if error.code().as_str() == code => judge_names(case, &error),
            (code, found) => Err(format!("{code:?} expected, {found:?} came")),
        }
    });
}

#[test]
fn configurations() {
    run("config.json", |case| {
        let provider = match case["provider"].as_str() {
            None => Provider::OpenBao,
            Some("hashicorp+kv2") => Provider::HashiCorp,
            Some("yaml") => Provider::Yaml,
            Some(provider) => return Err(format!("unknown provider {provider}")),
        };
        let environment: BTreeMap<_, _> = case["env"].as_object().unwrap().iter().collect();
        let lookup = |key: &str| environment.get(&key.to_owned())?.as_str().map(str::to_owned);
        let settings = match (case["code"].as_str(), Settings::from_lookup(provider, lookup)) {
            (None, Ok(settings)) => settings,
            (Some(code), Err(error)) if error.code().as_str() == code => {
                // An error repeats no value at all, whatever its key.
                let leak = environment.values().filter_map(|value| value.as_str()).find(|value| {
                    let value = value.trim();
                    value.len() > 5 && format!("{error} {error:?}").contains(value)
                });
                return leak.map_or_else(|| judge_names(case, &error), |value| Err(format!("{value:?} in {error}")));
            }
            (code, found) => return Err(format!("{code:?} expected, {found:?} came")),
        };
        let shown = format!("{settings:?} {:?}", settings.warnings());
        if shown.contains("canary") {
            return Err(format!("a credential in {shown}"));
        }
        judge_settings(&case["expect"], &settings)
    });
}

/// Compares what a case expects; fields that it does not name are free, save the warnings.
fn judge_settings(expect: &Value, settings: &Settings) -> Result<(), String> {
    let mut found = settings.describe();
    let (token, app_role) = match settings.credential() {
        Some(Credential::Token(token)) => (Some(token), None),
        Some(Credential::AppRole { role_id, secret_id, .. }) => (None, Some((role_id, secret_id))),
        other => return Err(format!("unknown credential {other:?}")),
    };
    let exposed = |secret: Option<&secrecy::SecretString>| secret.map(ExposeSecret::expose_secret).into();
    found["token"] = exposed(token);
    found["role_id"] = exposed(app_role.map(|(role_id, _)| role_id));
    found["secret_id"] = exposed(app_role.map(|(_, secret_id)| secret_id));
    for (field, wanted) in expect.as_object().unwrap() {
        let wanted = match field.as_str() {
            "timeout" | "renewal_threshold" => Value::from(wanted.as_str().unwrap().parse::<f64>().unwrap()),
            _ => wanted.clone(),
        };
        if found.get(field) != Some(&wanted) {
            return Err(format!("{field}: {wanted} expected, {:?} came", found.get(field)));
        }
    }
    if expect.get("warnings").is_none() && !settings.warnings().is_empty() {
        return Err(format!("unexpected warnings {:?}", settings.warnings()));
    }
    Ok(())
}

/// The vectors exercise every code that parsing, the guard and the settings can give.
#[test]
fn every_code_occurs() {
    let files = ["uri.json", "path.json", "pointer.json", "tenant.json", "config.json"];
    let cases: Vec<_> = files.into_iter().flat_map(cases).collect();
    let codes = [
        Code::InvalidUri,
        Code::UriTooLong,
        Code::IllegalSegment,
        Code::InvalidWildcard,
        Code::UnsupportedEngine,
        Code::AmbiguousMount,
        Code::DoubleMountSource,
        Code::AmbiguousQuery,
        Code::TrailingSlash,
        Code::InvalidVersion,
        Code::InvalidFragment,
        Code::FragmentNotAllowed,
        Code::VersionNotAllowed,
        Code::InvalidPointer,
        Code::TenantMountMismatch,
        Code::MissingSetting,
        Code::InvalidSetting,
    ];
    for code in codes {
        assert!(cases.iter().any(|(_, case)| case["code"] == code.as_str()), "no case for {code}");
    }
    println!("{} cases altogether", cases.len());
}
