//! What each end point answers, against the model of OpenBao: fields, versions, fragments, ownership, lists.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arc_with_non_send_sync)]

mod support;

use baokit_core::Host;
use serde_json::{Value, json};
use support::shelf::{Shelf, shelf};
use support::{APP, Ask, Party, Service};

const TOKEN: &str = "openbao+kv2://secret/app#token";

fn versions(uri: &str) -> Ask {
    Ask::get("/api/secrets/versions").query("uri", uri)
}

fn detail(uri: &str) -> Ask {
    Ask::get("/api/secrets/metadata/detail").query("uri", uri)
}

fn numbers(path: &str, uri: &str, versions: Value) -> Ask {
    Ask::post(path, json!({"uri": uri, "versions": versions}))
}

fn rotate(uri: &str, value: Value) -> Ask {
    Ask::post("/api/secrets/rotate", json!({"uri": uri, "value": value}))
}

fn transfer(path: &str, from: &str, to: &str, overwrite: bool) -> Ask {
    Ask::post(path, json!({"fromUri": from, "toUri": to, "overwrite": overwrite}))
}

fn custom(service: &Service, path: &str) -> Value {
    service.bao("GET", &format!("secret/metadata/{path}"), &Value::Null).1["data"]["custom_metadata"].clone()
}

#[test]
fn writes_and_rotations_tell_the_versions_before_and_after_and_reads_the_value() {
    let service = Service::open();
    let reference = service.api.enforcer().audit().references().of(APP);
    let first = service.ask(&Ask::write(APP, json!({"token": "canary-value", "user": "app"}))).ok();
    assert_eq!(first, json!({"uri": APP, "old_version": null, "new_version": 1, "resource_ref": reference}));
    let second = service.ask(&rotate(APP, json!({"token": "canary-value"}))).ok();
    assert_eq!(second, json!({"uri": APP, "old_version": 1, "new_version": 2, "resource_ref": reference}));
    let newest = service.ask(&Ask::value(APP)).ok();
    assert_eq!(newest, json!({"uri": APP, "value": {"token": "canary-value"}, "version": 2}));
    for pinned in [Ask::value(APP).query("version", "1"), Ask::value(&format!("{APP}?version=1"))] {
        let uri = format!("{APP}?version=1");
        let value = json!({"token": "canary-value", "user": "app"});
        assert_eq!(service.ask(&pinned).ok(), json!({"uri": uri, "value": value, "version": 1}));
    }
}

#[test]
fn with_a_fragment_only_that_key_is_read_and_changed() {
    let service = Service::open();
    service.put("app", json!({"token": "one", "user": "app"}));
    let mut version = 1;
    for ask in [Ask::write, rotate] as [fn(&str, Value) -> Ask; 2] {
        for value in [json!("canary-value"), json!({"token": "canary-value"}), json!(7), json!(null), json!([1])] {
            let changed = service.ask(&ask(TOKEN, value.clone())).ok();
            assert_eq!((&changed["uri"], &changed["old_version"]), (&json!(TOKEN), &json!(version)));
            version += 1;
            let scalar = value.get("token").unwrap_or(&value);
            let read = service.ask(&Ask::value(TOKEN)).ok();
            assert_eq!(read, json!({"uri": TOKEN, "value": scalar, "version": version}));
            assert_eq!(service.ask(&Ask::value(APP)).ok()["value"], json!({"token": scalar, "user": "app"}));
        }
        for value in [json!({"other": "canary-value"}), json!({"token": 1, "user": 2}), json!({})] {
            assert_eq!(service.ask(&ask(TOKEN, value)).refusal(), (400, "INVALID_VALUE"));
        }
    }
    let first = service.ask(&Ask::write("openbao+kv2://secret/new#token", json!("canary-value"))).ok();
    assert_eq!(first["old_version"], Value::Null);
    let absent = service.ask(&Ask::value("openbao+kv2://secret/app#absent"));
    assert_eq!(absent.refusal(), (404, "FRAGMENT_NOT_FOUND"));
}

#[test]
fn without_a_fragment_a_value_is_an_object_and_what_is_refused_leaves_nothing_behind() {
    let service = Service::open();
    for value in [json!("canary-value"), json!(1), json!(null), json!(["canary-value"])] {
        for ask in [Ask::write(APP, value.clone()), rotate(APP, value.clone())] {
            assert_eq!(service.ask(&ask).refusal(), (400, "INVALID_VALUE"));
        }
    }
    for ask in [Ask::write, rotate] as [fn(&str, Value) -> Ask; 2] {
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        for value in [json!({"token": deep}), json!({"token": 9_007_199_254_740_993_u64})] {
            assert_eq!(service.ask(&ask(APP, value)).refusal(), (400, "INVALID_VALUE"));
        }
        let pinned = service.ask(&ask(&format!("{APP}?version=1"), json!({"token": 1})));
        assert_eq!(pinned.refusal(), (400, "VERSION_NOT_ALLOWED"));
    }
    assert_eq!(service.bao("GET", "secret/metadata/app", &Value::Null).0, 404, "no key without a version");
}

#[test]
fn a_version_or_a_mount_that_is_given_twice_is_refused() {
    let service = Service::open();
    service.put("app", json!({"token": "canary-value"}));
    let pinned = format!("{APP}?version=1");
    assert_eq!(service.ask(&Ask::value(&pinned).query("version", "1")).refusal(), (400, "AMBIGUOUS_QUERY"));
    for raw in ["version=1&version=1&uri=x", "uri=a&uri=b", "URI=a", "uri=a&q=b"] {
        assert_eq!(service.ask(&Ask::get("/api/secrets/value").raw(raw)).refusal(), (400, "AMBIGUOUS_QUERY"));
    }
    for version in ["0", "-1", "1.5", "one", "01", "18446744073709551616"] {
        assert_eq!(service.ask(&Ask::value(APP).query("version", version)).refusal(), (400, "INVALID_VERSION"));
    }
    let asks = [Ask::value(APP), versions(APP), detail(APP), Ask::delete("/api/secrets").query("uri", APP)];
    let below = Ask::get("/api/secrets/metadata").query("prefix", "openbao+kv2://secret/");
    for ask in asks.into_iter().chain([below, Ask::get("/api/secrets/keys").query("uri", APP)]) {
        let twice = service.ask(&ask.clone().query("mount", "secret"));
        assert_eq!(twice.refusal(), (400, "DOUBLE_MOUNT_SOURCE"), "{ask:?}");
        assert_eq!(service.ask(&ask.query("mount", "other")).refusal(), (400, "AMBIGUOUS_MOUNT"));
    }
    assert_eq!(service.asked(Party::Bao).len(), 0);
    assert_eq!(service.ask(&Ask::value(&format!("{APP}/"))).refusal(), (400, "PROVIDER_TRAILING_SLASH_MISMATCH"));
    assert_eq!(service.ask(&Ask::value("openbao+kv2://secret/*")).refusal(), (400, "INVALID_WILDCARD"));
    assert_eq!(service.ask(&Ask::get("/api/secrets/value")).refusal(), (400, "INVALID_REQUEST"));
}

#[test]
fn the_calls_of_the_guide_are_understood_and_told_as_they_were_understood() {
    let service = Service::open();
    service.put("app/api", json!({"token": "canary-value", "user": "app"}));
    let asked = Ask::get("/api/secrets/value").raw("uri=openbao+kv2://secret/app/api");
    let uri = "openbao+kv2://secret/app/api";
    assert_eq!(service.ask(&asked).ok()["uri"], uri, "a form decoder turns the + into a space");
    let legacy = Ask::get("/api/secrets/value").raw("uri=OpenBao%2BKV2://secret/app/api?version=1%23token");
    assert_eq!(service.ask(&legacy).ok()["uri"], "openbao+kv2://secret/app/api#token?version=1");
    let spelled = Ask::get("/api/secrets/value").query("uri", "openbao+kv2://secret/%61pp/api#token");
    assert_eq!(
        service.ask(&spelled).ok(),
        json!({"uri": format!("{uri}#token"), "value": "canary-value", "version": 1})
    );
    let written = service.ask(&Ask::write("openbao kv2://secret/app/b", json!({"a": 1}))).ok();
    assert_eq!(written["uri"], "openbao+kv2://secret/app/b");
}

#[test]
fn a_delete_is_soft_of_the_newest_version_and_never_of_one_key() {
    let service = Service::open();
    let delete = |uri: &str| Ask::delete("/api/secrets").query("uri", uri);
    service.put("app", json!({"token": "canary-value"}));
    service.put("app", json!({"token": "canary-value"}));
    assert_eq!(service.ask(&delete(TOKEN)).refusal(), (400, "FRAGMENT_NOT_ALLOWED"));
    let fragment = delete(TOKEN).query("destroy", "true");
    assert_eq!(service.ask(&fragment).refusal(), (400, "FRAGMENT_NOT_ALLOWED"));
    assert_eq!(service.ask(&delete(APP).query("destroy", "maybe")).refusal(), (400, "INVALID_REQUEST"));
    assert_eq!(service.ask(&delete(APP)).ok(), json!({"uri": APP}));
    assert_eq!(service.ask(&Ask::value(APP)).refusal(), (404, "SECRET_DELETED"));
    let pinned = |version: &str| service.ask(&Ask::value(APP).query("version", version));
    assert_eq!(pinned("2").refusal(), (409, "VERSION_DELETED"));
    assert_eq!(pinned("1").status, 200);
    assert_eq!(pinned("3").refusal(), (404, "VERSION_NOT_FOUND"));
    assert_eq!(service.ask(&numbers("/api/secrets/undelete", APP, json!([2]))).ok(), json!({"uri": APP}));
    assert_eq!(pinned("2").status, 200);
    let destroyed = service.ask(&numbers("/api/secrets/destroy-versions", APP, json!([2])));
    assert_eq!(destroyed.ok(), json!({"uri": APP}));
    assert_eq!(pinned("2").refusal(), (409, "VERSION_DESTROYED"));
    for path in ["/api/secrets/undelete", "/api/secrets/destroy-versions"] {
        for bad in [json!([]), json!([0])] {
            assert_eq!(service.ask(&numbers(path, APP, bad)).refusal(), (400, "INVALID_VERSION"));
        }
        assert_eq!(service.ask(&numbers(path, APP, json!(["1"]))).refusal(), (400, "INVALID_REQUEST"));
    }
    let kinds: Vec<_> = service.events().iter().map(|event| event["event"].clone()).collect();
    for kind in ["SECRET_VERSION_DELETED", "SECRET_VERSIONS_UNDELETED", "SECRET_VERSIONS_DESTROYED"] {
        assert_eq!(kinds.iter().filter(|there| *there == kind).count(), 1, "{kind}");
    }
    assert_eq!(service.ask(&delete(APP).query("destroy", "true")).ok(), json!({"uri": APP}));
    assert_eq!(service.bao("GET", "secret/metadata/app", &Value::Null).0, 404);
    assert_eq!(service.event()["event"], "SECRET_DESTROYED");
    assert_eq!(service.ask(&Ask::value(APP)).refusal(), (404, "SECRET_NOT_FOUND"));
}

#[test]
fn destroying_takes_a_scope_of_its_own() {
    let service = Service::new(&[]);
    service.put("app", json!({"token": "canary-value"}));
    let token = service.token(json!({"scope": "secrets.delete"}));
    let delete = Ask::delete("/api/secrets").query("uri", APP).bearer(&token);
    let refused = service.ask(&delete.clone().query("destroy", "true"));
    assert_eq!(
        (refused.refusal(), &refused.body["error"]),
        ((403, "SECRET_AUTHZ_FAILED"), &json!("insufficient_scope"))
    );
    assert!(refused.body["message"].as_str().unwrap().contains("secrets.destroy"));
    assert_eq!(service.ask(&delete).status, 200);
    assert_eq!(service.bao("GET", "secret/metadata/app", &Value::Null).0, 200, "the secret is still there");
    let question = service.state.borrow().questions.last().unwrap()["action"].clone();
    assert_eq!(question, json!({"name": "delete"}));
}

#[test]
fn the_first_write_rotation_or_copy_says_who_made_it_and_nothing_later_changes_that() {
    let service = Service::new(&[]);
    let ask = |who: &str, ask: Ask| service.ask(&ask.bearer(&service.token(json!({"sub": who})))).ok();
    let stamp = |who: &str, at: &str| json!({"created_by": who, "created_at": at, "owner": who});
    let firsts = [
        ("a", Ask::write("openbao+kv2://secret/a", json!({"x": 1}))),
        ("b", rotate("openbao+kv2://secret/b#x", json!(1))),
        ("c", transfer("/api/secrets/copy", "openbao+kv2://secret/a", "openbao+kv2://secret/c", false)),
    ];
    for (path, first) in firsts {
        let minute = baokit_service::audit::rfc3339(service.world.now().wall).split_at(17).0.to_owned();
        ask("alice", first);
        let made = custom(&service, path);
        let at = made["created_at"].as_str().unwrap().to_owned();
        assert_eq!((made, at.len(), at.starts_with(&minute)), (stamp("alice", &at), 24, true));
        service.pass(100);
        let uri = format!("openbao+kv2://secret/{path}");
        ask("bob", Ask::write(&uri, json!({"x": 2})));
        ask("bob", rotate(&uri, json!({"x": 3})));
        ask("bob", transfer("/api/secrets/copy", "openbao+kv2://secret/a", "openbao+kv2://secret/d", true));
        if path != "a" {
            ask("bob", transfer("/api/secrets/copy", "openbao+kv2://secret/a", &uri, true));
        }
        assert_eq!(custom(&service, path), stamp("alice", &at));
        ask("bob", Ask::post("/api/secrets/metadata/owner", json!({"uri": uri, "owner": "payments"})));
        ask("bob", rotate(&uri, json!({"x": 4})));
        let owned = json!({"created_by": "alice", "created_at": at, "owner": "payments"});
        assert_eq!(custom(&service, path), owned);
        assert_eq!(ask("bob", detail(&uri))["custom_metadata"], owned);
    }
    assert_eq!(custom(&service, "d")["created_by"], "bob");
    let question = service.state.borrow().questions.last().unwrap().clone();
    assert_eq!(question["context"]["resource_attributes"]["owner"], "payments", "the PDP is told");
}

#[test]
fn a_secret_that_has_metadata_and_no_version_keeps_what_it_says() {
    let service = Service::new(&[]);
    let firsts = |uri: &str| {
        [Ask::write(uri, json!({"x": 1})), rotate(uri, json!({"x": 1})), transfer("/api/secrets/copy", APP, uri, false)]
    };
    service.put("app", json!({"x": 1}));
    for number in 0..3 {
        let told = |path: &str, there: Value| {
            let body = json!({"custom_metadata": there});
            assert_eq!(service.bao("POST", &format!("secret/metadata/{path}"), &body).0, 204);
            let first = firsts(&format!("openbao+kv2://secret/{path}"))[number].clone();
            assert_eq!(service.alice(&first).ok()["old_version"], Value::Null);
            custom(&service, path)
        };
        let owned = told(&format!("owned-{number}"), json!({"owner": "payments", "env": "prod"}));
        assert_eq!((&owned["owner"], &owned["env"]), (&json!("payments"), &json!("prod")));
        assert_eq!(owned["created_by"], "alice");
        let made = json!({"created_by": "carol"});
        assert_eq!(told(&format!("made-{number}"), made.clone()), made);
    }
}

#[test]
fn of_many_first_writers_one_is_the_maker() {
    let service = Service::new(&[]);
    let asks: Vec<_> = (0..20)
        .map(|n| Ask::write(APP, json!({"x": n})).bearer(&service.token(json!({"sub": format!("user-{n}")}))))
        .collect();
    let made: Vec<_> = service.ask_all(&asks).into_iter().filter(|answer| answer.status == 200).collect();
    assert!(made.iter().any(|answer| answer.body["old_version"].is_null()));
    let stamp = custom(&service, "app");
    assert_eq!(stamp["created_by"], stamp["owner"]);
    assert!(stamp["created_by"].as_str().unwrap().starts_with("user-"));
    assert_eq!(service.bao("GET", "secret/metadata/app", &Value::Null).1["data"]["current_version"], made.len());
}

#[test]
fn a_token_that_may_not_touch_metadata_writes_without_a_stamp() {
    let service = Service::open();
    let policy = r#"path "secret/data/*" { capabilities = ["create", "read", "update"] }"#;
    service.bao("POST", "sys/policies/acl/data", &json!({"policy": policy}));
    let made = service.bao("POST", "auth/token/create", &json!({"policies": ["data"]})).1;
    let token = made["auth"]["client_token"].as_str().unwrap().to_owned();
    let settings = support::scenario::World::settings(1);
    let settings = support::client_settings(settings).credential(baokit_core::config::Credential::token(token));
    let client = std::sync::Arc::new(service.world.client(settings));
    let enforcer = baokit_service::Enforcer::new(client, service.world.clone(), support::settings(support::OPEN));
    let caller = baokit_service::Caller::anonymous();
    let mut who = baokit_service::Who::known(caller);
    let operation = baokit_service::Operation::Write(json!({"x": 1}).into());
    let resource = enforcer.admit(&who, APP, &operation).unwrap();
    service.world.run(enforcer.run(&mut who, resource, operation)).unwrap();
    assert_eq!(custom(&service, "app"), Value::Null);
}

#[test]
fn versions_and_metadata_are_told_without_the_values() {
    let service = Service::open();
    service.put("app", json!({"token": "canary-value", "deep": {"er": "canary-value"}}));
    service.put("app", json!({"token": "canary-value", "deep": {"er": "canary-value"}}));
    service.bao("POST", "secret/delete/app", &json!({"versions": [1]}));
    let told = service.ask(&versions(APP)).ok();
    let created = told["versions"][1]["created_time"].clone();
    let deleted = told["versions"][0]["deletion_time"].clone();
    assert!(created.as_str().unwrap().starts_with("2026-01-01T00:00:00") && deleted.is_string());
    let first = json!({"version": 1, "created_time": created, "deletion_time": deleted, "destroyed": false});
    let second = json!({"version": 2, "created_time": created, "deletion_time": null, "destroyed": false});
    assert_eq!(told, json!({"uri": APP, "current_version": 2, "versions": [first, second]}));
    let metadata = service.ask(&detail(APP)).ok();
    assert_eq!((&metadata["current_version"], &metadata["versions"]), (&json!(2), &told["versions"]));
    assert_eq!(metadata["custom_metadata"], json!({}));
    let keys = service.ask(&Ask::get("/api/secrets/keys").query("uri", APP)).ok();
    assert_eq!(keys, json!({"items": ["deep", "token"], "offset": 0, "limit": 2, "total": 2, "complete": true}));
    for ask in [versions("openbao+kv2://secret/no"), detail("openbao+kv2://secret/no")] {
        assert_eq!(service.ask(&ask).refusal(), (404, "SECRET_NOT_FOUND"));
    }
    assert_eq!(service.ask(&versions(TOKEN)).refusal(), (400, "FRAGMENT_NOT_ALLOWED"));
}

#[test]
fn copies_and_moves_follow_their_rules() {
    let service = Service::new(&[]);
    let (from, to) = (APP, "openbao+kv2://secret/spare");
    service.put("app", json!({"token": "canary-value"}));
    service.put("app", json!({"token": "canary-value", "n": 2}));
    let copied = service.alice(&transfer("/api/secrets/copy", from, to, false)).ok();
    let reference = service.api.enforcer().audit().references().of(to);
    assert_eq!(copied, json!({"uri": to, "old_version": null, "new_version": 1, "resource_ref": reference}));
    let events = service.events();
    let [read, written] = &events[events.len() - 2..] else { panic!("two events") };
    assert_eq!((&read["event"], &read["kv_version"]), (&json!("SECRET_PERMIT"), &json!(2)));
    assert_eq!(
        (&written["event"], &written["kv_version"]),
        (&json!("SECRET_WRITTEN"), &json!({"old": null, "new": 1}))
    );
    let purposes: Vec<_> = service.state.borrow().questions.iter().map(|q| q["action"]["name"].clone()).collect();
    assert_eq!(purposes, ["read", "write"]);
    let again = service.alice(&transfer("/api/secrets/copy", from, to, false));
    assert_eq!(again.refusal(), (409, "CAS_CONFLICT"));
    let over = service.alice(&transfer("/api/secrets/move", from, to, true)).ok();
    assert_eq!((&over["old_version"], &over["new_version"]), (&json!(1), &json!(2)));
    let (status, source) = service.bao("GET", "secret/data/app", &Value::Null);
    assert_eq!((status, &source["data"]["data"]), (404, &Value::Null), "the source's newest version is deleted");
    assert_eq!(service.bao("GET", "secret/data/app?version=1", &Value::Null).0, 200);
    assert_eq!(service.alice(&Ask::value(to)).ok()["value"]["n"], 2);
    let gone = service.alice(&transfer("/api/secrets/copy", from, "openbao+kv2://secret/x", false));
    assert_eq!(gone.refusal(), (404, "SECRET_DELETED"));
    assert_eq!(service.bao("GET", "secret/metadata/x", &Value::Null).0, 404, "nothing is left where it was to go");
    let part =
        service.alice(&transfer("/api/secrets/copy", "openbao+kv2://secret/spare#n", "openbao+kv2://secret/y", false));
    assert_eq!(part.refusal(), (400, "FRAGMENT_NOT_ALLOWED"));
}

#[test]
fn lists_and_searches_are_shown_in_parts() {
    let service = Service::open();
    for path in ["app/a", "app/b", "app/deep/c", "app/deep/d", "billing/e"] {
        service.put(path, json!({"token": "canary-value"}));
    }
    let list = |ask: Ask| service.ask(&ask).ok();
    let metadata = || Ask::get("/api/secrets/metadata");
    let all = json!({"items": ["a", "b", "deep/"], "offset": 0, "limit": 100, "total": 3, "complete": true});
    for prefix in ["openbao+kv2://secret/app", "openbao+kv2://secret/app/"] {
        assert_eq!(list(metadata().query("prefix", prefix)), all);
    }
    for prefix in ["app", "app/"] {
        assert_eq!(list(metadata().query("mount", "secret").query("prefix", prefix)), all);
    }
    assert_eq!(list(metadata().query("mount", "secret"))["items"], json!(["app/", "billing/"]));
    let window = metadata().query("prefix", "openbao+kv2://secret/app").query("offset", "1").query("limit", "1");
    assert_eq!(list(window), json!({"items": ["b"], "offset": 1, "limit": 1, "total": 3, "complete": true}));
    let beyond = metadata().query("prefix", "openbao+kv2://secret/app").query("offset", "7");
    assert_eq!(list(beyond), json!({"items": [], "offset": 7, "limit": 100, "total": 3, "complete": true}));
    let empty = list(metadata().query("prefix", "openbao+kv2://secret/none"));
    assert_eq!(empty, json!({"items": [], "offset": 0, "limit": 100, "total": 0, "complete": true}));
    let search = |q: &str| Ask::get("/api/secrets/search").query("q", q);
    let found = list(search("DEEP").query("prefix", "openbao+kv2://secret/"));
    let deep = ["openbao+kv2://secret/app/deep/c", "openbao+kv2://secret/app/deep/d"];
    assert_eq!(found, json!({"items": deep, "offset": 0, "limit": 100, "total": 2, "complete": true}));
    let one = search("deep").query("mount", "secret").query("limit", "1").query("offset", "1");
    assert_eq!(list(one), json!({"items": [deep[1]], "offset": 1, "limit": 1, "total": 2, "complete": true}));
    for bad in [
        metadata(),
        metadata().query("prefix", "app"),
        metadata().query("prefix", "openbao+kv2://secret/a#b"),
        metadata().query("mount", "secret").query("prefix", "../x"),
        metadata().query("mount", "secret").query("prefix", "/x"),
        metadata().query("mount", "secret/app"),
        metadata().query("mount", "secret").query("limit", "0"),
        Ask::get("/api/secrets/search").query("mount", "secret"),
    ] {
        assert_eq!(service.ask(&bad).status, 400, "{bad:?}");
    }
    assert_eq!(service.ask(&metadata().query("mount", "other")).refusal(), (400, "TENANT_MOUNT_MISMATCH"));
}

#[test]
fn what_another_provider_can_not_do_is_told_so() {
    let there = Shelf::default();
    let service = Service::with(support::OPEN, |enforcer, _| enforcer.providers(shelf(&["yaml", "azure"], &there)));
    let yaml = "yaml://secret/app#token";
    let read = service.ask(&Ask::get("/api/secrets").query("uri", yaml)).ok();
    assert_eq!(
        read,
        json!({"uri": yaml, "value": {"reference": yaml, "version": null, "token": "canary-value"}, "version": null})
    );
    assert_eq!(service.ask(&Ask::get("/api/secrets").query("uri", APP)).refusal(), (501, "OPERATION_NOT_SUPPORTED"));
    let azure = "azure://secret/app";
    let operations = [
        Ask::write(azure, json!({"a": 1})),
        rotate(azure, json!({"a": 1})),
        Ask::delete("/api/secrets").query("uri", azure),
        Ask::delete("/api/secrets").query("uri", azure).query("destroy", "true"),
        versions(azure),
        detail(azure),
        Ask::get("/api/secrets/keys").query("uri", azure),
        numbers("/api/secrets/undelete", azure, json!([1])),
        numbers("/api/secrets/destroy-versions", azure, json!([1])),
        Ask::post("/api/secrets/metadata/owner", json!({"uri": azure, "owner": "team"})),
        transfer("/api/secrets/copy", azure, "azure://secret/b", false),
        transfer("/api/secrets/copy", APP, azure, false),
        Ask::get("/api/secrets/search").query("prefix", "azure://secret/").query("q", "a"),
        Ask::value("db:credentials:3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
        Ask::value("hashicorp+kv2://secret/app"),
    ];
    for ask in operations {
        assert_eq!(service.ask(&ask).refusal(), (501, "OPERATION_NOT_SUPPORTED"), "{ask:?}");
    }
    assert_eq!(there.reads(), 1, "only what was asked for was read");
    assert_eq!(service.asked(Party::Bao).len(), 0);
}

#[test]
fn a_uri_of_the_hosts_own_provider_obeys_the_rules_of_every_uri() {
    let there = Shelf::default();
    let service = Service::with(support::OPEN, |enforcer, _| enforcer.providers(shelf(&["azure", "db"], &there)));
    let spellings = [
        "azure://secret/a/b#key?version=abc",
        "azure://secret/a/b?version=abc#key",
        "AZURE://secret/%61/b#key?version=abc",
    ];
    for spelling in spellings {
        let read = service.ask(&Ask::value(spelling)).ok();
        assert_eq!(read["uri"], spellings[0]);
        assert_eq!(read["value"]["reference"], "azure://secret/a/b#key");
        assert_eq!(read["value"]["version"], "abc");
    }
    let beside = service.ask(&Ask::value("azure://secret/a/b#key").query("version", "abc")).ok();
    assert_eq!(beside["uri"], spellings[0]);
    let row = "db:credentials:3f2504e0-4f89-11d3-9a0c-0305e82c3301";
    assert_eq!(service.ask(&Ask::value(row)).ok()["value"]["reference"], row);
    let reads = there.reads();
    for (uri, code) in [
        ("azure://secret", "INVALID_URI"),
        ("azure://secret/a/../b", "ILLEGAL_SEGMENT"),
        ("azure://secret/a//b", "ILLEGAL_SEGMENT"),
        ("azure://secret/a%2fb", "ILLEGAL_SEGMENT"),
        ("azure://secret/a/", "PROVIDER_TRAILING_SLASH_MISMATCH"),
        ("azure://secret/*", "INVALID_WILDCARD"),
        ("azure://secret/a#", "INVALID_FRAGMENT"),
        ("azure://secret/a#b#c", "INVALID_FRAGMENT"),
        ("azure://secret/a?version=", "INVALID_VERSION"),
        ("azure://secret/a?version=1&version=2", "AMBIGUOUS_QUERY"),
        ("azure://secret/a?v=1", "AMBIGUOUS_QUERY"),
        ("azure://other/a", "TENANT_MOUNT_MISMATCH"),
    ] {
        assert_eq!(service.ask(&Ask::value(uri)).refusal(), (400, code), "{uri}");
    }
    let list = |prefix: &str| service.ask(&Ask::get("/api/secrets/metadata").query("prefix", prefix));
    for (prefix, canonical) in [
        ("azure://secret", "azure://secret/"),
        ("Azure://secret/", "azure://secret/"),
        ("azure://secret/%61", "azure://secret/a/"),
        ("azure://secret/a/", "azure://secret/a/"),
    ] {
        assert_eq!(list(prefix).ok()["items"], json!([canonical]));
    }
    for (prefix, code) in [
        ("azure://secret/a/../b/", "ILLEGAL_SEGMENT"),
        ("azure://secret//", "ILLEGAL_SEGMENT"),
        ("azure://secret/a#b", "FRAGMENT_NOT_ALLOWED"),
        ("azure://secret/a?version=1", "VERSION_NOT_ALLOWED"),
        ("azure://other/", "TENANT_MOUNT_MISMATCH"),
        ("redis://secret/", "UNSUPPORTED_ENGINE"),
    ] {
        assert_eq!(list(prefix).refusal(), (400, code), "{prefix}");
    }
    let twice = Ask::value("azure://secret/a?version=1").query("version", "2");
    assert_eq!(service.ask(&twice).refusal(), (400, "AMBIGUOUS_QUERY"));
    let mount = Ask::value("azure://secret/a");
    assert_eq!(service.ask(&mount.clone().query("mount", "secret")).refusal(), (400, "DOUBLE_MOUNT_SOURCE"));
    assert_eq!(service.ask(&mount.query("mount", "other")).refusal(), (400, "AMBIGUOUS_MOUNT"));
    let pinned = Ask::delete("/api/secrets").query("uri", "azure://secret/a?version=1");
    assert_eq!(service.ask(&pinned).refusal(), (400, "VERSION_NOT_ALLOWED"), "the newest must not go in its place");
    assert_eq!(there.reads(), reads);
}
