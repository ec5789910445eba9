//! The enforcer end to end: what a denial does not give away, the mount that is seen once, files,
//! and what is on record when nobody waits.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arc_with_non_send_sync)]

mod support;

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use baokit_core::http::{Failure, FailureKind, Response};
use baokit_core::{Client, Host, Now};
use baokit_service::providers::{BoxFuture, Providers, Strategy};
use baokit_service::purpose::Purpose;
use baokit_service::settings::Settings;
use baokit_service::{Caller, Code, Enforcer, Operation, SecretsApi, Who};
use serde_json::{Value, json};
use support::keys::Key;
use support::scenario::World;
use support::shelf::{Shelf, shelf};
use support::{APP, Ask, OPEN, Party, Service, client_settings};

#[test]
fn a_secret_that_is_not_there_and_one_that_is_denied_are_answered_alike() {
    let service = Service::new(&[]);
    service.put("app", json!({"token": "canary-value"}));
    service.judge(|question| json!({"decision": question["context"]["resource_attributes"]["owner"] == "alice"}));
    let operations: [fn(&str) -> Ask; 6] = [
        Ask::value,
        |uri| Ask::write(uri, json!({"x": 1})),
        |uri| Ask::delete("/api/secrets").query("uri", uri),
        |uri| Ask::get("/api/secrets/versions").query("uri", uri),
        |uri| Ask::get("/api/secrets/metadata/detail").query("uri", uri),
        |uri| Ask::get("/api/secrets/keys").query("uri", uri),
    ];
    for operation in operations {
        let denied = service.alice(&operation(APP));
        let absent = service.alice(&operation("openbao+kv2://secret/no"));
        assert_eq!(denied.refusal(), (403, "SECRET_AUTHZ_FAILED"));
        assert_eq!(
            (denied.refusal(), &denied.body, &denied.headers),
            (absent.refusal(), &absent.body, &absent.headers)
        );
    }
    // What the look at the metadata showed reaches the PDP alone.
    service.bao("POST", "secret/metadata/app", &json!({"custom_metadata": {"owner": "canary-owner"}}));
    service.keep_secret("canary-owner");
    assert_eq!(service.alice(&Ask::value(APP)).status, 403);
    service.bao("POST", "secret/metadata/app", &json!({"custom_metadata": {"owner": "alice"}}));
    assert_eq!(service.alice(&Ask::value(APP)).status, 200);
}

#[test]
fn a_mount_is_seen_to_be_kv2_once_before_anything_else_is_asked_of_it() {
    let service = Service::new(&[]);
    service.put("app", json!({"token": "canary-value"}));
    let look = "/v1/sys/internal/ui/mounts/secret";
    let looks = || service.asked(Party::Bao).iter().filter(|seen| seen.target == look).count();
    service.ask(&Ask::value(APP));
    assert_eq!(looks(), 0, "nor for nobody");
    assert_eq!(service.alice(&Ask::value(APP)).status, 200);
    service.alice(&Ask::write(APP, json!({"x": 1})));
    service.alice(&Ask::get("/api/secrets/metadata").query("mount", "secret"));
    assert_eq!(looks(), 1);
    let targets: Vec<_> = service.asked(Party::Bao).into_iter().map(|seen| seen.target).collect();
    let asked: Vec<_> = targets.iter().filter(|target| !target.contains("lookup-self")).take(3).collect();
    assert_eq!(asked, [look, "/v1/secret/metadata/app", "/v1/secret/data/app"]);
}

#[test]
fn a_mount_of_kv1_or_of_something_else_is_refused_before_it_is_used() {
    let service = Service::open();
    assert_eq!(service.bao("POST", "old/app", &json!({"token": "canary-value"})).0, 204);
    let asks = [
        Ask::value("openbao+kv2://old/app"),
        Ask::value("openbao+kv2://old/no"),
        Ask::write("openbao+kv2://old/app", json!({"x": 1})),
        Ask::delete("/api/secrets").query("uri", "openbao+kv2://old/app"),
        Ask::get("/api/secrets/metadata").query("mount", "old"),
        Ask::get("/api/secrets/search").query("mount", "old").query("q", "a"),
        Ask::post("/api/secrets/copy", json!({"fromUri": "openbao+kv2://old/app", "toUri": APP})),
        Ask::post("/api/secrets/copy", json!({"fromUri": APP, "toUri": "openbao+kv2://old/app"})),
    ];
    for ask in asks {
        assert_eq!(service.ask(&ask).refusal(), (400, "UNSUPPORTED_ENGINE"), "{ask:?}");
    }
    assert!(service.asked(Party::Bao).iter().all(|seen| !seen.target.starts_with("/v1/old/")));
    // A token that may not look goes on.
    let policy = r#"path "sys/internal/ui/mounts/*" { capabilities = ["deny"] }
                    path "secret/data/*" { capabilities = ["read"] }"#;
    service.bao("POST", "sys/policies/acl/blind", &json!({"policy": policy}));
    let made = service.bao("POST", "auth/token/create", &json!({"policies": ["blind"], "no_default_policy": true})).1;
    let token = made["auth"]["client_token"].as_str().unwrap().to_owned();
    let credential = baokit_core::config::Credential::token(token);
    let client = Arc::new(service.world.client(client_settings(World::settings(1)).credential(credential)));
    let enforcer = Enforcer::new(client, service.world.clone(), support::settings(OPEN));
    service.put("app", json!({"token": "canary-value"}));
    service.forget();
    for _ in 0..2 {
        let value = service.world.run(enforcer.get_credentials(APP, &Caller::anonymous())).unwrap();
        assert_eq!(value.expose()["token"], "canary-value");
    }
    let looks = service.asked(Party::Bao).iter().filter(|seen| seen.target.contains("/ui/mounts/")).count();
    assert_eq!(looks, 1);
}

#[test]
fn a_mount_that_can_not_be_looked_at_for_now_is_looked_at_again() {
    let service = Service::open();
    service.put("app", json!({"token": "canary-value"}));
    service.state.borrow_mut().bao.seal();
    assert_eq!(service.ask(&Ask::value(APP)).refusal(), (503, "SERVER_SEALED"));
    service.state.borrow_mut().bao.unseal();
    assert_eq!(service.ask(&Ask::value(APP)).status, 200);
}

#[test]
fn files_are_guarded_by_name_before_anybody_is_asked() {
    let there = Shelf::default();
    let more = [("FILE_ALLOWED_NAMES", "db-password, certs:key")];
    let service = Service::with(&more, |enforcer, _| enforcer.providers(shelf(&["file"], &there)));
    for pointer in
        ["file:primary:other", "file:certs:db-password", "file:key", "file:nowhere:key", "FILE:primary:DB-PASSWORD"]
    {
        let answer = service.ask(&Ask::value(pointer));
        assert_eq!(
            (answer.refusal(), &answer.body["error"]),
            ((403, "SECRET_AUTHZ_FAILED"), &json!("access_denied")),
            "{pointer}"
        );
        service.judge(|_| json!({"decision": false}));
        let denied = service.alice(&Ask::value("file:db-password"));
        assert_eq!((&answer.body, &answer.headers), (&denied.body, &denied.headers), "as a policy's denial is");
    }
    for pointer in
        ["file:..", "file:primary:..", "file:primary:../etc", "file:primary:.hidden", "file:a:b:c", "file:/etc/passwd"]
    {
        assert_eq!(service.ask(&Ask::value(pointer)).refusal(), (400, "INVALID_POINTER"), "{pointer}");
    }
    assert_eq!(
        service.ask(&Ask::value("file:db-password")).refusal(),
        (401, "TOKEN_MISSING"),
        "an allowed name goes on"
    );
    assert_eq!(there.reads(), 0);
    service.judge(|_| json!({"decision": true}));
    let read = service.alice(&Ask::value("file:db-password")).ok();
    assert_eq!(
        (&read["uri"], &read["value"]["reference"]),
        (&json!("file:primary:db-password"), &json!("file:primary:db-password"))
    );
    assert_eq!(service.alice(&Ask::value("file:certs:key")).status, 200);
    let beside = service.alice(&Ask::value("file:certs:key").query("version", "1"));
    assert_eq!(beside.refusal(), (400, "VERSION_NOT_ALLOWED"));
    assert_eq!(
        service.alice(&Ask::value("file:certs:key").query("mount", "secret")).refusal(),
        (400, "AMBIGUOUS_MOUNT")
    );
    assert_eq!(there.reads(), 2);
    assert_eq!(service.asked(Party::Bao).len(), 0);
    let none = Service::with(OPEN, |enforcer, _| enforcer.providers(shelf(&["file"], &there)));
    assert_eq!(none.ask(&Ask::value("file:db-password")).refusal(), (403, "SECRET_AUTHZ_FAILED"), "none by default");
    let bad = Settings::from_lookup(|key| (key == "FILE_ALLOWED_NAMES").then(|| "../etc".to_owned())).unwrap_err();
    assert!(bad.to_string().contains("FILE_ALLOWED_NAMES"), "{bad}");
}

#[test]
fn the_tenant_whose_mounts_are_guarded_is_the_one_on_record() {
    let service = Service::open();
    let settings = client_settings(World::settings(1)).tenant_id("acme");
    let client = Arc::new(service.world.client(settings));
    let enforcer = Enforcer::new(client, service.world.clone(), support::settings(OPEN));
    let _ = service.world.run(enforcer.get_credentials(APP, &Caller::anonymous()));
    assert_eq!(enforcer.audit().recent(None, 0, 1).items[0].event.tenant_id, "acme");
}

#[test]
fn what_was_permitted_is_on_record_though_nobody_waits_for_its_end() {
    let service = Service::open();
    service.put("app", json!({"token": "canary-value"}));
    let copy = Ask::post("/api/secrets/copy", json!({"fromUri": APP, "toUri": "openbao+kv2://secret/b"}));
    for (ask, events) in [(Ask::value(APP), 1), (Ask::write(APP, json!({"x": 1})), 1), (copy, 2)] {
        let before = service.events().len();
        let mut work = Box::pin(service.api.handle(ask.request()));
        service.world.poll_once(&mut work);
        assert_eq!(service.events().len(), before, "it is under way");
        drop(work);
        let new = service.events().split_off(before);
        assert_eq!(new.len(), events);
        for event in new {
            let told = (&event["event"], &event["effect"], &event["code"]);
            assert_eq!(told, (&json!("SECRET_ERROR"), &json!("permit"), &json!("INDETERMINATE")));
        }
    }
}

#[test]
fn a_permit_is_for_one_purpose() {
    let service = Service::open();
    service.put("app", json!({"token": "canary-value"}));
    let enforcer = service.api.enforcer();
    let mut who = Who::known(Caller::anonymous());
    let resource = enforcer.admit(&who, APP, &Operation::Versions).unwrap();
    let permit = service.world.run(enforcer.permit(&mut who, Purpose::ReadMetadata, resource)).unwrap();
    service.forget();
    let refused = service.world.run(enforcer.carry_out(permit, Operation::Read)).unwrap_err();
    assert_eq!((refused.code(), service.asked(Party::Bao).len()), (Code::PolicyDenied, 0));
}

#[test]
fn every_operation_is_on_record_once_with_the_versions_it_concerned() {
    let service = Service::new(&[]);
    let ask = |ask: Ask| assert_eq!(service.alice(&ask).status, 200, "{ask:?}");
    let versions = |path: &str| Ask::post(path, json!({"uri": APP, "versions": [1, 2]}));
    ask(Ask::write(APP, json!({"x": 1})));
    ask(Ask::post("/api/secrets/rotate", json!({"uri": APP, "value": {"x": 2}})));
    ask(Ask::value(APP));
    ask(versions("/api/secrets/undelete"));
    ask(versions("/api/secrets/destroy-versions"));
    ask(Ask::post("/api/secrets/metadata/owner", json!({"uri": APP, "owner": "team"})));
    ask(Ask::delete("/api/secrets").query("uri", APP));
    ask(Ask::delete("/api/secrets").query("uri", APP).query("destroy", "true"));
    let events: Vec<_> =
        service.events().iter().map(|event| (event["event"].clone(), event["kv_version"].clone())).collect();
    let of = |kind: &str, version: Value| (json!(kind), version);
    assert_eq!(
        events,
        [
            of("SECRET_WRITTEN", json!({"old": null, "new": 1})),
            of("SECRET_ROTATED", json!({"old": 1, "new": 2})),
            of("SECRET_PERMIT", json!(2)),
            of("SECRET_VERSIONS_UNDELETED", json!([1, 2])),
            of("SECRET_VERSIONS_DESTROYED", json!([1, 2])),
            of("SECRET_OWNER_CHANGED", Value::Null),
            of("SECRET_VERSION_DELETED", Value::Null),
            of("SECRET_DESTROYED", Value::Null),
        ]
    );
    assert_eq!(service.metric("secrets_decisions_total{effect=\"permit\"}"), 8.0);
}

/// A provider whose errors and panics would be told.
struct Failing;

impl Strategy for Failing {
    fn read<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, baokit_service::Result<baokit_service::providers::Found>> {
        Box::pin(ready(Err(baokit_service::Error::new(Code::ProviderFailed).because("its disk is full"))))
    }
}

#[test]
fn a_failing_provider_of_the_host_is_a_502_and_counted_by_its_name() {
    let providers = || Providers::default().with("redis", Arc::new(Failing)).unwrap();
    let service = Service::with(OPEN, |enforcer, _| enforcer.providers(providers()));
    assert_eq!(service.ask(&Ask::value("redis://secret/app")).refusal(), (502, "PROVIDER_FAILED"));
    let series = "provider_request_latency_seconds_count{provider=\"redis\",op=\"read\"}";
    assert_eq!(service.metric(series), 1.0, "{}", service.metrics());
    assert_eq!(service.metric("secrets_errors_total{code=\"PROVIDER_FAILED\"}"), 1.0);
}

/// Nothing that the service holds, or hands out, shows a secret when it is printed.
#[test]
fn debug_shows_no_secret() {
    let service = Service::new(&[]);
    service.put("app", json!({"token": "canary-value"}));
    let key = Key::ed(7);
    let token = service.token(json!({"cnf": {"jkt": key.thumbprint()}}));
    let ask = Ask::value(APP);
    let proof = service.proof(&key, &ask, &token, "p");
    let header = format!("DPoP {token}");
    let (authorization, dpop) = ([header.as_str()], [proof.as_str()]);
    let mut presented = baokit_service::bearer::Presented::new("GET", "/api/secrets/value");
    (presented.authorization, presented.dpop) = (&authorization, &dpop);
    let mut who = Who::presented(presented, baokit_service::caller::Context::default());
    let enforcer = service.api.enforcer();
    let operation = Operation::Write(json!({"token": "canary-value"}).into());
    let resource = enforcer.admit(&who, APP, &Operation::Read).unwrap();
    let permit = service.world.run(enforcer.permit(&mut who, Purpose::Execute, resource.clone())).unwrap();
    let mut shown = format!("{presented:?} {operation:?} {resource:?} {permit:?} {:?}", who.caller());
    let outcome = service.world.run(enforcer.carry_out(permit, Operation::Read)).unwrap();
    shown += &format!("{outcome:?} {:?} {:?} {:?}", enforcer.settings(), enforcer.audit(), enforcer.audit().metrics());
    if let baokit_service::Outcome::Value(found) = &outcome {
        assert_eq!(found.value.expose()["token"], "canary-value");
        shown += &format!("{found:?}");
    }
    for secret in
        [token.as_str(), proof.as_str(), "canary-value", "canary-pdp-token", "hvs.canary-token", "0123456789abcdef"]
    {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}

#[test]
fn the_credential_of_the_pdp_is_shown_to_nobody_else() {
    let token_url = format!("{}/token", support::ISSUER);
    let service = Service::new(&[
        ("PDP_TOKEN", ""),
        ("PDP_CLIENT_ID", "svc"),
        ("PDP_CLIENT_SECRET", "canary-client-secret"),
        ("PDP_TOKEN_URL", &token_url),
    ]);
    service.keep_secret("canary-client-secret");
    service.put("app", json!({"token": "canary-value"}));
    let ask = Ask::value(APP).bearer(&service.token(json!({})));
    assert_eq!(service.ask(&ask).status, 200);
    service.judge(|_| json!({"decision": "canary-value"}));
    assert_eq!(service.ask(&ask).refusal(), (503, "PDP_UNREACHABLE"), "what it says is not repeated");
    service.down(Party::Pdp);
    assert_eq!(service.ask(&ask).refusal(), (503, "PDP_UNREACHABLE"));
    service.pass(50);
    service.down(Party::Issuer);
    assert_eq!(service.ask(&ask).status, 503);
    let shown = format!("{:?}", service.api.enforcer().settings());
    assert!(!shown.contains("canary-client-secret"), "{shown}");
    for party in [Party::Bao, Party::Issuer] {
        for seen in service.asked(party) {
            let sent = format!("{:?} {:?} {}", seen.headers, seen.body, seen.target);
            assert!(!sent.contains(support::PDP_TOKEN) || seen.target == "/token", "{sent}");
        }
    }
}

/// A host of a server with threads: nobody answers.
struct Threaded;

impl Host for Threaded {
    fn now(&self) -> Now {
        Now { monotonic: std::time::Duration::ZERO, wall: std::time::Duration::from_secs(1_767_225_600) }
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(4);
    }

    async fn send(&self, _: baokit_core::http::Request) -> Result<Response, Failure> {
        Err(Failure::new(FailureKind::Connect, "nobody answers"))
    }

    async fn sleep(&self, _: std::time::Duration) {}
}

#[test]
fn a_request_may_move_between_threads_on_a_host_that_has_them() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let client = Client::new(Threaded, client_settings(World::settings(1)).build().unwrap());
    let enforcer = Enforcer::new(Arc::new(client), Threaded, support::settings(OPEN));
    let api = is_send(SecretsApi::new(Arc::new(enforcer)));
    let ask = Ask::get("/healthz");
    let mut work = Box::pin(is_send(api.handle(ask.request())));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(matches!(work.as_mut().poll(&mut context), std::task::Poll::Ready(answer) if answer.status == 200));
    let caller = Caller::anonymous();
    drop(is_send(api.enforcer().get_credentials(APP, &caller)));
}

#[test]
fn what_is_cached_for_one_caller_is_not_served_to_another() {
    use support::scenario::{Seen, World, json, secret};

    let is_data = |seen: &Seen| seen.target.contains("/data/");
    let world = World::new(move |seen| match is_data(seen) {
        true => secret(1),
        false => json(200, r#"{"data":{"type":"kv","options":{"version":"2"}}}"#),
    });
    let cache = baokit_core::config::CacheConfig::new(Duration::from_secs(60));
    let client = Arc::new(world.client(support::client_settings(World::settings(1)).cache(cache)));
    let enforcer = Enforcer::new(client, world.clone(), support::settings(OPEN));
    let mut caller = Caller::anonymous();
    for (subject, client_id, requests) in
        [("alice", None, 1), ("alice", None, 1), ("bob", None, 2), ("alice", Some("cli"), 3), ("alice", None, 3)]
    {
        (caller.subject, caller.client_id) = (Some(subject.to_owned()), client_id.map(str::to_owned));
        world.run(enforcer.get_credentials(APP, &caller)).unwrap();
        assert_eq!(world.seen().iter().filter(|seen| is_data(seen)).count(), requests, "{subject} {client_id:?}");
    }
}

#[test]
fn a_secret_of_the_hosts_provider_has_one_name() {
    let there = Shelf::default();
    let service = Service::with(&[], |enforcer, _| enforcer.providers(shelf(&["azure"], &there)));
    service.judge(|question| json!({"decision": question["resource"]["id"] != "azure://secret/app"}));
    for denied in ["azure://secret/app", "AZURE://secret/app", "azure://secret/%61pp"] {
        assert_eq!(service.alice(&Ask::value(denied)).refusal(), (403, "SECRET_AUTHZ_FAILED"), "{denied}");
    }
    for alias in ["azure+x://secret/app", "azure+://secret/app", "azure++://secret/app", "AZURE+kv2://secret/app"] {
        assert_eq!(service.alice(&Ask::value(alias)).status, 400, "{alias}");
    }
    for escaped in ["azure://secret/app#%61", "azure://secret/app?version=%31"] {
        assert_eq!(service.alice(&Ask::value(escaped)).status, 400, "{escaped}");
    }
}

#[test]
fn nothing_is_read_of_a_mount_before_it_is_known_to_be_of_kv2() {
    let service = Service::new(&[]);
    service.forget();
    assert_eq!(service.alice(&Ask::value("openbao+kv2://old/x")).refusal(), (400, "UNSUPPORTED_ENGINE"));
    let asked: Vec<_> = service.asked(Party::Bao).into_iter().map(|seen| seen.target).collect();
    assert_eq!(asked, ["/v1/sys/internal/ui/mounts/old"]);
    assert_eq!(service.state.borrow().questions.len(), 0);
}

#[test]
fn who_hangs_up_while_it_is_decided_is_on_record() {
    let service = Service::new(&[]);
    service.put("app", json!({"token": "canary-value"}));
    let ask = Ask::value(APP).bearer(&service.token(json!({})));
    for polls in 1.. {
        let before = service.events().len();
        let mut work = Box::pin(service.api.handle(ask.request()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let is_done = (0..polls).any(|_| {
            let is_done = work.as_mut().poll(&mut context).is_ready();
            service.pass(1);
            is_done
        });
        drop(work);
        assert_eq!(service.events().len() - before, 1, "after {polls}");
        if is_done {
            break;
        }
        assert_eq!(service.event()["code"], "INDETERMINATE");
    }
    let subjects: Vec<_> = service.events().iter().map(|event| event["subject"].clone()).collect();
    assert!(subjects.contains(&json!("anonymous")) && subjects.contains(&json!("alice")), "{subjects:?}");
}

#[test]
fn a_copy_that_may_be_read_and_not_written_is_on_record_for_both() {
    let service = Service::new(&[]);
    service.put("app", json!({"token": "canary-value"}));
    service.judge(|question| json!({"decision": question["action"]["name"] == "read"}));
    for path in ["/api/secrets/copy", "/api/secrets/move"] {
        let before = service.events().len();
        let copy = Ask::post(path, json!({"fromUri": APP, "toUri": "openbao+kv2://secret/b"}));
        assert_eq!(service.alice(&copy).status, 403);
        let told = |event: &Value| (event["event"].clone(), event["purpose"].clone(), event["code"].clone());
        let events: Vec<_> = service.events().split_off(before).iter().map(told).collect();
        let of = |kind: &str, purpose: &str| (json!(kind), json!(purpose), json!("SECRET_AUTHZ_FAILED"));
        assert_eq!(events, [of("SECRET_DENY", "write"), of("SECRET_ERROR", "read")]);
    }
}
