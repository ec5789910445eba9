//! The Secrets API as HTTP: methods, bodies, headers, bulk requests, the stream of events, the page of the audit, and
//! the description that all answers of all tests are held against.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arc_with_non_send_sync)]

mod support;

use std::collections::BTreeSet;

use baokit_service::api::Request;
use serde_json::{Value, json};
use support::keys::Key;
use support::scenario::{World, json as reply};
use support::schema::{check, resolve};
use support::{APP, Ask, OPEN, Party, Service};

fn bulk(operations: Value, on: bool) -> Ask {
    Ask::post("/api/secrets/bulk", json!({"operations": operations, "continueOnError": on}))
}

fn told(body: &Value) -> Vec<(u64, Option<&str>)> {
    let results = body["results"].as_array().unwrap();
    results.iter().map(|result| (result["status"].as_u64().unwrap(), result["code"].as_str())).collect()
}

#[test]
fn paths_and_methods_that_are_not_there_are_told_so() {
    let service = Service::new(&[]);
    for path in ["/", "/api/secret", "/api/secrets/", "/api/secrets/value/", "/api/%73ecrets", "//healthz"] {
        assert_eq!(service.ask(&Ask::get(path)).refusal(), (404, "ROUTE_NOT_FOUND"), "{path}");
    }
    let allow = |path: &str, method| service.ask(&Ask::get(path).method(method));
    let answer = allow("/api/secrets", "PATCH");
    assert_eq!(
        (answer.refusal(), answer.header("allow")),
        ((405, "METHOD_NOT_ALLOWED"), Some("GET, HEAD, POST, DELETE"))
    );
    assert_eq!(allow("/api/secrets/rotate", "GET").header("allow"), Some("POST"));
    assert_eq!(allow("/healthz", "POST").header("allow"), Some("GET, HEAD"));
    assert_eq!(allow("/healthz", "get").status, 405, "a method has its own case");
    assert_eq!(service.ask(&Ask::get("/healthz").raw("x=1")).refusal(), (400, "AMBIGUOUS_QUERY"));
    assert_eq!(service.world.seen().len(), 0);
}

#[test]
fn a_head_is_answered_as_a_get_is_behind_the_same_gates() {
    let service = Service::new(&[]);
    service.put("app", json!({"token": "canary-value"}));
    let head = Ask::value(APP).method("HEAD");
    assert_eq!(service.ask(&head).refusal(), (401, "TOKEN_MISSING"));
    assert_eq!(service.alice(&head).status, 200);
    let key = Key::ed(7);
    let token = service.token(json!({"cnf": {"jkt": key.thumbprint()}}));
    let proof = service.proof(&key, &Ask::value(APP), &token, "p");
    assert_eq!(service.ask(&head.clone().dpop(&token, &proof)).refusal(), (401, "DPOP_PROOF_INVALID"), "it is for GET");
    let proof = service.proof(&key, &head, &token, "p");
    assert_eq!(service.ask(&head.dpop(&token, &proof)).status, 200);
}

#[test]
fn a_search_says_where_it_could_not_look() {
    let mut service = Service::open();
    // There is no right to scan, and one folder has a name that no request can have.
    let world = World::new(|seen| match seen.target.as_str() {
        target if target.contains("scan=") => reply(403, r#"{"errors":["1 error occurred: permission denied"]}"#),
        target if target.contains("list=") => reply(200, r#"{"data":{"keys":["../","deep"]}}"#),
        target if target.contains("mounts") => {
            reply(200, r#"{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}"#)
        }
        _ => reply(404, r#"{"errors":[]}"#),
    });
    let client = std::sync::Arc::new(world.client(support::client_settings(World::settings(1))));
    let enforcer = baokit_service::Enforcer::new(client, world.clone(), support::settings(OPEN));
    service.api = baokit_service::SecretsApi::new(std::sync::Arc::new(enforcer));
    service.world = world;
    let search = Ask::get("/api/secrets/search").query("q", "deep").query("prefix", "openbao+kv2://secret/");
    let found = service.ask(&search).ok();
    assert_eq!((&found["items"], &found["total"]), (&json!(["openbao+kv2://secret/deep"]), &json!(1)));
    assert_eq!(found["complete"], false);
}

#[test]
fn a_subject_that_is_longer_than_metadata_may_be_is_cut_where_it_is_stamped() {
    let service = Service::new(&[]);
    let token = service.token(json!({"sub": format!("s{}", "é".repeat(300))}));
    service.ask(&Ask::write(APP, json!({"token": "canary-value"})).bearer(&token)).ok();
    let (_, metadata) = service.bao("GET", "secret/metadata/app", &Value::Null);
    let custom = &metadata["data"]["custom_metadata"];
    let stamped = format!("s{}", "é".repeat(255));
    assert_eq!((&custom["owner"], &custom["created_by"]), (&json!(stamped), &json!(stamped)), "{metadata}");
}

#[test]
fn bodies_are_json_of_the_right_shape_and_size() {
    let service = Service::new(OPEN);
    let post = Ask::write(APP, json!({"token": "canary-value"}));
    assert_eq!(
        service.ask(&post.clone().header("content-type", "text/plain")).refusal(),
        (415, "UNSUPPORTED_MEDIA_TYPE")
    );
    let utf8 = service.ask(&post.clone().header("content-type", "Application/JSON; charset=utf-8"));
    assert_eq!(utf8.status, 200);
    for body in [
        "",
        "{",
        "null",
        "[\"canary-value\"]",
        "{\"uri\":\"canary-value\"}",
        "{\"uri\":\"a\",\"value\":\"canary-value\",\"x\":\"canary-value\"}",
        "{\"uri\":{\"canary-value\":1},\"value\":1}",
        "{\"uri\":\"a\",\"value\":\"canary-value\"}}",
    ] {
        let answer = service.ask(&Ask { body: body.to_owned(), ..post.clone() });
        assert_eq!(answer.refusal(), (400, "INVALID_REQUEST"), "{body}");
    }
    let longest = |length: usize| Ask { body: " ".repeat(length), ..post.clone() };
    assert_eq!(service.ask(&longest(Request::MAX_BODY)).refusal(), (400, "INVALID_REQUEST"));
    assert_eq!(service.ask(&longest(Request::MAX_BODY + 1)).refusal(), (413, "BODY_TOO_LARGE"));
    service.state.borrow_mut().bao.limit_entry(Some(1024 * 1024));
    let large = Ask::write(APP, json!({"token": "x".repeat(1024 * 1024 + 1)}));
    assert_eq!(service.ask(&large).refusal(), (413, "VALUE_TOO_LARGE"));
}

#[test]
fn a_401_says_how_to_authenticate_and_503_when_to_come_back() {
    let service = Service::new(&[]);
    let challenge = |ask: &Ask| service.ask(ask).header("www-authenticate").unwrap().to_owned();
    let dpop = "DPoP realm=\"secrets\", algs=\"ES256 EdDSA RS256 PS256\", Bearer realm=\"secrets\"";
    assert_eq!(challenge(&Ask::value(APP)), dpop);
    let expired = service.token(json!({"exp": service.wall()}));
    assert!(challenge(&Ask::value(APP).bearer(&expired)).contains("Bearer realm=\"secrets\", error=\"invalid_token\""));
    let plain = Service::new(&[("SECRETS_PUBLIC_URL", "")]);
    let answer = plain.ask(&Ask::value(APP));
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer realm=\"secrets\""),
        "proofs are refused without an address"
    );
    // A store of two proofs is full at the third.
    let mut open = Service::new(&[]);
    let client =
        std::sync::Arc::new(open.world.client(support::client_settings(support::scenario::World::settings(1))));
    let store = baokit_service::policy::MemoryStore::with_capacity(2);
    let world = open.world.clone();
    let enforcer =
        baokit_service::Enforcer::with_store(client, world, support::settings(&[("ENABLE_AUTHORIZATION", "0")]), store);
    open.api = baokit_service::SecretsApi::new(std::sync::Arc::new(enforcer));
    open.put("app", json!({"token": "canary-value"}));
    let key = Key::ed(7);
    let token = open.token(json!({"cnf": {"jkt": key.thumbprint()}}));
    let answers: Vec<_> = ["a", "b", "c"]
        .map(|jti| open.ask(&Ask::value(APP).dpop(&token, &open.proof(&key, &Ask::value(APP), &token, jti))))
        .into();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 503]);
    let time: u64 = answers[2].header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&time) && answers[2].refusal().1 == "REPLAY_STORE_FULL");
}

#[test]
fn what_openbao_says_of_a_quota_is_passed_on() {
    use support::scenario::{World, json, retry_after};

    let world = World::new(|_| retry_after(json(429, r#"{"errors":["rate limit quota exceeded"]}"#), "60"));
    let client = std::sync::Arc::new(world.client(support::client_settings(World::settings(1))));
    let settings = support::settings(OPEN);
    let enforcer = baokit_service::Enforcer::new(client, world.clone(), settings);
    let api = baokit_service::SecretsApi::new(std::sync::Arc::new(enforcer));
    let ask = Ask::value(APP);
    let answer = world.run(api.handle(ask.request()));
    assert_eq!(answer.status, 429);
    assert!(answer.headers.contains(&("retry-after", "60".to_owned())), "{:?}", answer.headers);
}

#[test]
fn a_bulk_request_tells_what_became_of_each_operation() {
    let service = Service::open();
    let uri = |name: &str| format!("openbao+kv2://secret/{name}");
    let operations = json!([
        {"op": "set", "uri": uri("a"), "value": {"token": "canary-value"}},
        {"op": "rotate", "uri": uri("a#token"), "value": "canary-value"},
        {"op": "delete", "uri": uri("a")},
        {"op": "undelete", "uri": uri("a"), "versions": [2]},
        {"op": "destroy", "uri": uri("a"), "versions": [1]},
        {"op": "owner", "uri": uri("a"), "owner": "team"},
    ]);
    let body = service.ask(&bulk(operations, false)).ok();
    assert_eq!(told(&body), [(200, None); 6]);
    let first = json!({"op": "set", "uri": uri("a"), "status": 200, "old_version": null, "new_version": 1});
    assert_eq!(body["results"][0], first);
    assert_eq!(body["results"][5], json!({"op": "owner", "uri": uri("a"), "status": 200}));
    let metadata = service.bao("GET", "secret/metadata/a", &Value::Null).1;
    let versions = &metadata["data"]["versions"];
    assert_eq!((&versions["1"]["destroyed"], &versions["2"]["destroyed"]), (&json!(true), &json!(false)));
    assert_eq!(metadata["data"]["custom_metadata"]["owner"], "team");
    assert_eq!(service.events().iter().filter(|event| event["effect"] == "permit").count(), 6);
    service.ask(&bulk(json!([{"op": "destroy", "uri": uri("a")}]), false)).ok();
    assert_eq!(service.bao("GET", "secret/metadata/a", &Value::Null).0, 404);
}

#[test]
fn after_a_failure_a_bulk_request_stops_or_goes_on_as_it_was_asked_to() {
    let service = Service::open();
    let operations = json!([
        {"op": "set", "uri": "openbao+kv2://secret/a", "value": {"x": 1}},
        {"op": "set", "uri": "openbao+kv2://other/a", "value": {"x": 1}},
        {"op": "set", "uri": "openbao+kv2://secret/b", "value": "canary-value"},
        {"op": "set", "uri": "openbao+kv2://secret/c", "value": {"x": 1}},
    ]);
    let mismatch = (400, Some("TENANT_MOUNT_MISMATCH"));
    let body = service.ask(&bulk(operations.clone(), false)).ok();
    let left_out = (424, Some("NOT_ATTEMPTED"));
    assert_eq!(told(&body), [(200, None), mismatch, left_out, left_out]);
    assert_eq!(service.bao("GET", "secret/data/c", &Value::Null).0, 404);
    let body = service.ask(&bulk(operations, true)).ok();
    assert_eq!(told(&body), [(200, None), mismatch, (400, Some("INVALID_VALUE")), (200, None)]);
    let keys: BTreeSet<_> = body["results"][1].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["code", "message", "op", "status", "uri"]));
    let default = Ask::post(
        "/api/secrets/bulk",
        json!({"operations": [
            {"op": "set", "uri": "nonsense", "value": {}}, {"op": "delete", "uri": APP},
        ]}),
    );
    assert_eq!(told(&service.ask(&default).ok()), [(400, Some("INVALID_URI")), left_out]);
    let many = |count: usize| bulk(Value::Array(vec![json!({"op": "delete", "uri": APP}); count]), true);
    assert_eq!(service.ask(&many(0)).refusal(), (400, "INVALID_REQUEST"));
    assert_eq!(service.ask(&many(101)).refusal(), (400, "INVALID_REQUEST"));
    assert_eq!(service.ask(&many(100)).status, 200);
    let unknown = bulk(json!([{"op": "read", "uri": APP}]), true);
    assert_eq!(service.ask(&unknown).refusal(), (400, "INVALID_REQUEST"));
}

#[test]
fn one_token_and_one_proof_serve_a_whole_bulk_request_and_each_operation_needs_its_own_scope() {
    let service = Service::new(&[("ANTI_REPLAY_TTL_S", "60")]);
    service.put("a", json!({"x": 1}));
    let key = Key::ed(7);
    let claims = json!({"cnf": {"jkt": key.thumbprint()}, "scope": "secrets.write secrets.delete"});
    let token = service.token(claims);
    let ask = bulk(
        json!([
            {"op": "destroy", "uri": "openbao+kv2://secret/a"},
            {"op": "set", "uri": "openbao+kv2://secret/a", "value": {"x": 2}},
            {"op": "rotate", "uri": "openbao+kv2://secret/a", "value": {"x": 3}},
            {"op": "delete", "uri": "openbao+kv2://secret/a"},
            {"op": "owner", "uri": "openbao+kv2://secret/a", "owner": "mallory"},
        ]),
        true,
    );
    let ask = ask.clone().dpop(&token, &service.proof(&key, &ask, &token, "p"));
    let denied = (403, Some("SECRET_AUTHZ_FAILED"));
    assert_eq!(told(&service.ask(&ask).ok()), [denied, (200, None), denied, (200, None), denied]);
    let asked: Vec<_> = service.state.borrow().questions.iter().map(|q| q["action"]["name"].clone()).collect();
    assert_eq!(asked, ["write", "delete"], "each is a question of its own");
    assert_eq!(service.ask(&ask).refusal(), (401, "DPOP_PROOF_REPLAYED"), "a caller who is refused is told once");
    let fresh = ask.clone().dpop(&token, &service.proof(&key, &ask, &token, "q"));
    assert_eq!(service.ask(&fresh).refusal(), (401, "TOKEN_REPLAYED"));
    assert_eq!(service.ask(&bulk(json!([{"op": "delete", "uri": APP}]), true)).refusal(), (401, "TOKEN_MISSING"));
}

#[test]
fn events_come_as_they_happen_and_go_on_where_a_subscriber_was_cut_off() {
    let service = Service::new(&[]);
    let events = || Ask::get("/api/secrets/events");
    let answer = service.alice(&events());
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let mut subscription = answer.events.unwrap();
    assert!(subscription.try_next().is_none(), "only what happens from now on");
    service.alice(&Ask::write(APP, json!({"token": "canary-value"})));
    service.ask(&Ask::value(APP));
    let (written, denied) = (subscription.try_next().unwrap(), subscription.try_next().unwrap());
    let text = written.to_server_sent_event();
    assert!(text.starts_with("id: 2\nevent: SECRET_WRITTEN\ndata: {"), "{text}");
    let data = text.lines().nth(2).unwrap().strip_prefix("data: ").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!((&data["subject"], &data["kv_version"]), (&json!("alice"), &json!({"old": null, "new": 1})));
    assert_eq!(denied.recorded.event.event.as_str(), "SECRET_DENY");
    let again = service.alice(&events().header("last-event-id", "1"));
    assert_eq!(again.events.unwrap().try_next().unwrap().recorded.sequence, 2);
    let question = service.state.borrow().questions.last().unwrap().clone();
    assert_eq!(
        (&question["resource"]["id"], &question["action"]["name"]),
        (&json!("tenant:dev"), &json!("read_metadata"))
    );
    // Whoever waits is woken.
    let mut waiting = service.alice(&events()).events.unwrap();
    let mut next = Box::pin(waiting.next());
    service.world.poll_once(&mut next);
    service.ask(&Ask::value(APP));
    assert_eq!(service.world.run(next).recorded.event.event.as_str(), "SECRET_DENY");
}

#[test]
fn the_audit_is_shown_in_development_alone() {
    let service = Service::new(&[]);
    service.alice(&Ask::write(APP, json!({"token": "canary-value"})));
    service.ask(&Ask::value(APP));
    let audit = || Ask::get("/api/secrets/audit");
    let page = service.alice(&audit()).ok();
    let kinds: Vec<_> = page["items"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(kinds, ["SECRET_PERMIT", "SECRET_DENY", "SECRET_WRITTEN"], "the newest first, this look among them");
    assert_eq!((&page["offset"], &page["limit"], &page["total"]), (&json!(0), &json!(100), &json!(3)));
    let part = service.alice(&audit().query("filter", "SECRET_DENY").query("limit", "1")).ok();
    assert_eq!((part["items"].as_array().unwrap().len(), &part["total"]), (1, &json!(1)));
    assert_eq!(service.alice(&audit().query("limit", "0")).refusal(), (400, "INVALID_REQUEST"));
    let production = Service::new(&[("ENVIRONMENT", "production")]);
    assert_eq!(production.alice(&audit()).refusal(), (501, "OPERATION_NOT_SUPPORTED"));
    assert_eq!(production.alice(&Ask::get("/api/secrets/events")).status, 200);
}

#[test]
fn a_stream_of_events_ends_with_the_token_and_after_a_minute() {
    let service = Service::new(&[]);
    let lasts = |seconds: u64| {
        let token = service.token(json!({"exp": service.wall() + seconds}));
        service.ask(&Ask::get("/api/secrets/events").bearer(&token)).events.unwrap().lasts().unwrap().as_secs()
    };
    assert!((29..=30).contains(&lasts(30)));
    assert_eq!(lasts(3600), 60);
}

#[test]
fn what_ties_a_request_to_others_reaches_the_pdp_and_the_audit() {
    let service = Service::new(&[("TRUSTED_PROXY_CIDRS", "10.0.0.0/8")]);
    service.put("app", json!({"token": "canary-value"}));
    let ask = Ask::value(APP)
        .header("x-correlation-id", "c-1")
        .header("x-workflow-run-id", "w-1")
        .header("x-node-id", "n-1")
        .header("x-system-id", "s\u{7}-1")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .from("10.1.1.1");
    assert_eq!(service.alice(&ask).status, 200);
    let event = service.event();
    let question = service.state.borrow().questions.last().unwrap()["context"].clone();
    for (name, value) in
        [("correlation_id", "c-1"), ("workflow_run_id", "w-1"), ("node_id", "n-1"), ("system_id", "s-1")]
    {
        assert_eq!((&event[name], &question[name]), (&json!(value), &json!(value)));
    }
    assert_eq!(event["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(
        (&event["token_jti"], &event["resource_ref"]),
        (&question["token_jti"], &json!(service.api.enforcer().audit().references().of(APP)))
    );
    service.ask(&ask.header("x-correlation-id", "c-2"));
    assert_eq!(service.event()["correlation_id"], "c-2", "a refusal without a caller too");
}

#[test]
fn a_caller_whom_the_host_has_authenticated_needs_no_token_and_passes_the_other_gates() {
    let service = Service::new(&[]);
    service.put("app", json!({"token": "canary-value"}));
    let mut caller = baokit_service::Caller::anonymous();
    caller.subject = Some("svc".to_owned());
    let status = |caller: &baokit_service::Caller| {
        let ask = Ask::value(APP);
        let mut request = ask.request();
        request.caller = Some(caller.clone());
        service.world.run(service.api.handle(request)).status
    };
    assert_eq!(status(&caller), 403, "it has no scope");
    caller.scopes.insert("secrets.read".to_owned());
    assert_eq!(status(&caller), 200);
    assert_eq!(service.event()["subject"], "svc");
    caller.audience = vec!["billing".to_owned()];
    assert_eq!(status(&caller), 403);
    caller.audience.clear();
    service.judge(|_| json!({"decision": false}));
    assert_eq!(status(&caller), 403);
    assert_eq!(service.asked(Party::Issuer).len(), 0);
}

#[test]
fn the_description_is_whole() {
    let service = Service::open();
    let document = service.document();
    let mut ids = BTreeSet::new();
    let mut described = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described += 1;
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
            assert_eq!(method == "post", operation.get("requestBody").is_some(), "{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()));
        }
    }
    assert_eq!(described, baokit_service::api::paths().count());
    // Each reference leads to a schema, and no schema is there for nobody.
    let mut used = BTreeSet::new();
    let mut walk = vec![document];
    while let Some(value) = walk.pop() {
        match value {
            Value::Object(map) => {
                if let Some(reference) = map.get("$ref") {
                    assert!(resolve(document, reference).is_object());
                    used.insert(reference.as_str().unwrap().rsplit('/').next().unwrap());
                }
                walk.extend(map.values());
            }
            Value::Array(list) => walk.extend(list),
            _ => {}
        }
    }
    let there: BTreeSet<_> =
        document["components"]["schemas"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(used, there);
    // The bodies that are described are those that are taken.
    let schema = json!({"$ref": "#/components/schemas/Bulk"});
    let operations = [
        json!({"op": "set", "uri": APP, "value": {}}),
        json!({"op": "destroy", "uri": APP}),
        json!({"op": "undelete", "uri": APP, "versions": [1]}),
        json!({"op": "owner", "uri": APP, "owner": "team"}),
    ];
    for operation in operations {
        let body = json!({"operations": [operation], "continueOnError": true});
        check(document, &schema, &body).unwrap();
        assert_eq!(service.ask(&Ask::post("/api/secrets/bulk", body)).status, 200);
    }
    check(document, &schema, &json!({"operations": []})).unwrap_err();
    check(document, &schema, &json!({"operations": [{"op": "read", "uri": APP}]})).unwrap_err();
}

#[test]
fn a_bulk_request_of_nobody_is_refused_as_a_whole_whatever_comes_first() {
    let service = Service::new(&[]);
    for first in ["openbao+kv2://other/app", "nonsense", "openbao+kv2://secret/app"] {
        let before = service.events().len();
        let operations = vec![json!({"op": "delete", "uri": first}); 100];
        for continues in [true, false] {
            let body = json!({"operations": operations, "continueOnError": continues});
            assert_eq!(service.ask(&Ask::post("/api/secrets/bulk", body)).refusal(), (401, "TOKEN_MISSING"), "{first}");
        }
        assert!(service.events().len() - before <= 4, "{first}");
    }
    // For somebody they are refused one by one.
    let body = json!({"operations": [{"op": "delete", "uri": "openbao+kv2://other/app"}]});
    assert_eq!(service.alice(&Ask::post("/api/secrets/bulk", body)).ok()["results"][0]["status"], 400);
}

#[test]
fn a_caller_is_told_less_of_a_failure_than_the_host() {
    let service = Service::new(&[]);
    service.put("app", json!({"a": 1}));
    service.down(Party::Bao);
    let ask = Ask::value(APP).bearer(&service.token(json!({})));
    // That an answer names no node is tested of all of them.
    let told = service.ask(&ask);
    let advice = baokit_core::Code::ServerUnreachable.advice();
    assert_eq!(told.body["message"], format!("SERVER_UNREACHABLE: {advice}"));
    let answer = service.world.run(service.api.handle(ask.request()));
    assert!(answer.failure.unwrap().to_string().contains("127.0.0.1"));
    assert_eq!(service.ask(&Ask::get("/readyz")).status, 503);
    let bulk = json!({"operations": [{"op": "delete", "uri": APP}]});
    service.alice(&Ask::post("/api/secrets/bulk", bulk)).ok();

    service.pass(120);
    service.down(Party::Issuer);
    let told = service.alice(&Ask::value(APP)).body;
    assert_eq!(told["message"], format!("KEYS_UNREACHABLE: {}", baokit_service::Code::KeysUnreachable.advice()));

    // What is wrong with a request itself is told.
    let told = service.ask(&Ask::value("openbao+kv2://secret/a/../b")).body;
    assert!(told["message"].as_str().unwrap().contains(".."), "{told}");

    // An absent secret is named, and not who was asked for it.
    let open = Service::open();
    let told = open.ask(&Ask::value("openbao+kv2://secret/none")).body;
    assert!(told["message"].as_str().unwrap().starts_with("SECRET_NOT_FOUND: openbao+kv2://secret/none; "), "{told}");
}

#[test]
fn which_system_asks_is_taken_from_a_trusted_proxy_alone() {
    let service = Service::new(&[("TRUSTED_PROXY_CIDRS", "10.0.0.0/8")]);
    service.put("app", json!({"a": 1}));
    service.judge(|question| json!({"decision": question["context"]["system_id"] == "payroll"}));
    let ask = Ask::value(APP).header("x-system-id", "payroll").header("x-correlation-id", "c-1");
    for ask in [ask.clone(), ask.clone().from("192.0.2.1")] {
        assert_eq!(service.alice(&ask).status, 403);
        assert_eq!(service.event()["correlation_id"], "c-1");
        let question = service.state.borrow().questions.last().unwrap()["context"].clone();
        assert!(["system_id", "node_id", "workflow_run_id"].iter().all(|fact| question[fact].is_null()), "{question}");
    }
    assert_eq!(service.alice(&ask.from("10.1.1.1")).status, 200);
}
