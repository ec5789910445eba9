//! The Rust face's run of all shared vectors, through its public API, against the flow server in this
//! process. tests/vectors/README.md says what a case is and what a runner does. With VECTORS_REPORT, the
//! tally goes into that file, as the flow server writes it for other faces.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use baokit::{Client, Error, Provider, Result, Secret, SecretPointer, SecretValue, Settings, Versions};
use baokit_core::uri::{ParseOptions, SecretRef};
use baokit_vectors::Suite;
use serde_json::{Value, json};

/// Cases that may be run beside each other: some wait for a deadline.
const LANES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_vector_holds() {
    let suite = std::sync::Arc::new(Suite::load("rust").unwrap());
    let cases = suite.cases(None);
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (suite, cases) = (suite.clone(), cases.clone());
            tokio::spawn(async move {
                for case in cases.iter().skip(lane).step_by(LANES) {
                    let id = case["id"].as_str().unwrap();
                    let outcome = run(&suite, case).await;
                    suite.finish(id, outcome).unwrap();
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    print!("{}", suite.table());
    let tally = suite.tally();
    if let Some(file) = std::env::var_os("VECTORS_REPORT") {
        std::fs::write(file, tally.to_string()).unwrap();
    }
    assert!(suite.is_good(), "{:#}", tally["failures"]);
    assert_eq!(tally["skipped"], json!([]), "this face has all that the cases need");
}

/// What the face gets for a case.
async fn run(suite: &Suite, case: &Value) -> Value {
    match case["kind"].as_str().unwrap() {
        "uri" => single(parse(case)),
        "pointer" => single(parse_pointer(case)),
        "config" => single(settings(case, &case["env"]).map(|settings| settings.describe())),
        _ => {
            let start = suite.start(case["id"].as_str().unwrap()).unwrap();
            let client = match client(case, &start["env"]) {
                Ok(client) => client,
                Err(error) => return json!({"error": shown(&error)}),
            };
            let mut results = Vec::new();
            for step in case["steps"].as_array().unwrap() {
                results.push(perform(&client, step).await);
            }
            json!({"results": results})
        }
    }
}

fn single(result: Result<Value>) -> Value {
    json!({"results": [either(result)]})
}

fn either(result: Result<Value>) -> Value {
    result.unwrap_or_else(|error| shown(&error))
}

fn shown(error: &Error) -> Value {
    json!({"code": error.code().as_str(), "subject": error.subject()})
}

fn text<'a>(fields: &'a Value, name: &str) -> &'a str {
    fields[name].as_str().unwrap_or_else(|| panic!("{name} in {fields}"))
}

fn parse(case: &Value) -> Result<Value> {
    let options = ParseOptions::new().accept_legacy(case["legacy"].as_bool().unwrap()).mount(case["mount"].as_str());
    let input = text(case, "input");
    match text(case, "as") {
        "prefix" => Ok(json!({"canonical": options.parse_prefix(input)?.to_string()})),
        "wildcard" => Ok(json!({"canonical": options.wildcard(true).parse_prefix(input)?.to_string()})),
        _ => {
            let uri = options.parse(input)?;
            Ok(json!({
                "canonical": uri.to_string(),
                "provider": uri.provider().as_str(),
                "mount": uri.mount(),
                "path": uri.path(),
                "fragment": uri.fragment(),
                "version": uri.version(),
            }))
        }
    }
}

fn parse_pointer(case: &Value) -> Result<Value> {
    let input = text(case, "input");
    let canonical = match text(case, "as") {
        "ref" => SecretRef::parse(input)?.as_str().to_owned(),
        _ => SecretPointer::parse(input)?.to_string(),
    };
    Ok(json!({"canonical": canonical}))
}

fn builder(case: &Value, env: &Value) -> baokit_core::config::SettingsBuilder {
    let provider = match text(case, "provider") {
        "openbao+kv2" => Provider::OpenBao,
        "hashicorp+kv2" => Provider::HashiCorp,
        "yaml" => Provider::Yaml,
        provider => panic!("unknown provider {provider}"),
    };
    let env: BTreeMap<String, String> = serde_json::from_value(env.clone()).unwrap();
    baokit_core::config::SettingsBuilder::from_lookup(provider, |key| env.get(key).cloned())
}

fn settings(case: &Value, env: &Value) -> Result<Settings> {
    builder(case, env).build()
}

fn client(case: &Value, env: &Value) -> Result<Client> {
    let builder = builder(case, env);
    Client::new(match case["tenant"].as_str() {
        Some(tenant) => builder.tenant_id(tenant).build()?,
        None => builder.build()?,
    })
}

/// A step's result, or the list of results where it is made more than once at a time.
async fn perform(client: &Client, step: &Value) -> Value {
    let Some(parallel) = step["parallel"].as_u64() else {
        return either(call(client, step).await);
    };
    let calls: Vec<_> = (0..parallel)
        .map(|_| {
            let (client, step) = (client.clone(), step.clone());
            tokio::spawn(async move { either(call(&client, &step).await) })
        })
        .collect();
    let mut results = Vec::new();
    for call in calls {
        results.push(call.await.unwrap());
    }
    results.into()
}

async fn call(client: &Client, step: &Value) -> Result<Value> {
    let uri = || text(step, "uri");
    let kv2 = || client.kv2(text(step, "mount"));
    let path = || text(step, "path");
    let value = || SecretValue::from(&step["value"]);
    match text(step, "op") {
        "read" => client.read(uri()).await.map(|secret| read(&secret)),
        "read_text" => Ok(json!({"value": client.read(uri()).await?.expose_str()?})),
        "write" => client.write(uri(), value()).await.map(change),
        "rotate" => client.rotate(uri(), value()).await.map(change),
        "delete" => client.delete(uri()).await.map(|()| json!({})),
        "versions" => client.versions(uri()).await.map(|found| versions(&found)),
        "kv2_read" => match step["version"].as_u64() {
            Some(version) => kv2().read(path()).version(version).await,
            None => kv2().read(path()).await,
        }
        .map(|secret| read(&secret)),
        "kv2_write" => match step["cas"].as_u64() {
            Some(cas) => kv2().write(path(), value()).cas(cas).await,
            None => kv2().write(path(), value()).await,
        }
        .map(|written| json!({"version": written.version(), "created_time": written.created_time()})),
        "kv2_delete" => {
            let versions: Vec<u64> = serde_json::from_value(step["versions"].clone()).unwrap();
            kv2().delete(path(), &versions).await.map(|()| json!({}))
        }
        "kv2_versions" => kv2().versions(path()).await.map(|found| versions(&found)),
        "request" => {
            let body = (!step["body"].is_null()).then(|| SecretValue::from(&step["body"]));
            let answer = client.request(text(step, "method"), path(), body).await?;
            Ok(json!({"value": answer.expose()}))
        }
        "lookup_self" => client.lookup_self().await.map(|token| {
            json!({
                "accessor": token.accessor(),
                "policies": token.policies(),
                "ttl": token.ttl(),
                "renewable": token.is_renewable(),
                "num_uses": token.num_uses(),
            })
        }),
        "renew_self" => client
            .renew_self(step["increment"].as_u64())
            .await
            .map(|renewal| json!({"lease_duration": renewal.lease_duration(), "renewable": renewal.is_renewable()})),
        "close" => {
            client.close();
            Ok(json!({}))
        }
        "admit_prefix" => {
            let prefix = ParseOptions::new().parse_prefix(uri())?;
            client.settings().tenant().admit_prefix(prefix).map(|_| json!({}))
        }
        op => panic!("unknown op {op}"),
    }
}

fn read(secret: &Secret) -> Value {
    json!({
        "value": secret.expose(),
        "version": secret.version(),
        "created_time": secret.created_time(),
        "custom_metadata": secret.custom_metadata(),
    })
}

fn change(change: baokit::Change) -> Value {
    json!({"old_version": change.old_version, "new_version": change.new_version})
}

fn versions(found: &Versions) -> Value {
    let versions: Vec<_> = found
        .versions()
        .iter()
        .map(|version| {
            json!({
                "version": version.version(),
                "created_time": version.created_time(),
                "deletion_time": version.deletion_time(),
                "destroyed": version.is_destroyed(),
            })
        })
        .collect();
    json!({
        "current_version": found.current_version(),
        "custom_metadata": found.custom_metadata(),
        "versions": versions,
    })
}
