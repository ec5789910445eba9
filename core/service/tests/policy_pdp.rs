//! The PDP's client on virtual time, against a PDP that says what the test wants: questions, answers, discovery,
//! credentials, and everything that must not become a permit.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../tests/scenario/mod.rs"]
mod scenario;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use baokit_core::Host;
use baokit_core::http::{FailureKind, Method};
use baokit_service::caller::{Caller, SenderKey};
use baokit_service::policy::{Decision, Pdp, Question, ResourceAttributes};
use baokit_service::purpose::Purpose;
use baokit_service::settings::{PdpSettings, Settings};
use baokit_service::{Code, Result};
use proptest::prelude::*;
use scenario::{Reply, Seen, World, json, raw, redirect, retry_after};
use serde_json::{Value, json as value};

const URI: &str = "openbao+kv2://secret/app/api#token";
const PDP: &str = "https://pdp.example:443";

fn settings(pairs: &[(&str, &str)]) -> PdpSettings {
    let lookup = |key: &str| pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).to_owned());
    Settings::from_lookup(lookup).unwrap().pdp.unwrap()
}

fn pdp() -> Pdp {
    Pdp::new(&settings(&[("ENABLE_AUTHORIZATION", "true"), ("PDP_URL", "https://pdp.example")]))
}

/// A world whose PDP has no metadata, and answers evaluations so.
fn world(mut answer: impl FnMut(&Seen) -> Reply + 'static) -> World {
    World::new(move |seen| match seen.target.starts_with("/.well-known/") {
        true => raw(404, "text/plain", b"404 page not found".to_vec()),
        false => answer(seen),
    })
}

fn question(caller: &Caller) -> Question<'_> {
    Question {
        tenant_id: "dev",
        caller,
        purpose: Purpose::Execute,
        resource: URI,
        attributes: ResourceAttributes::default(),
    }
}

fn evaluate(world: &World, pdp: &Pdp) -> Result<Decision> {
    let caller = Caller::anonymous();
    world.run(pdp.evaluate(world, &question(&caller)))
}

/// What comes of this answer.
fn answered(body: &str) -> Result<Decision> {
    let body = body.to_owned();
    evaluate(&world(move |_| json(200, body.clone())), &pdp())
}

fn reason(result: Result<Decision>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.code(), Code::PdpUnreachable);
    error.to_string()
}

#[test]
fn the_question_has_every_field_that_is_known_and_no_other() {
    let mut caller = Caller::anonymous();
    caller.subject = Some("svc-billing".to_owned());
    caller.issuer = Some("https://issuer.example".to_owned());
    caller.client_id = Some("billing".to_owned());
    caller.audience = vec!["crud.secrets".to_owned()];
    caller.token_jti = Some("jti-1".to_owned());
    caller.sender_key = Some(SenderKey::Jkt("thumb".to_owned()));
    caller.context.correlation_id = Some("corr-1".to_owned());
    caller.context.workflow_run_id = Some("run-1".to_owned());
    caller.context.node_id = Some("node-1".to_owned());
    caller.context.system_id = Some("system-1".to_owned());
    let world = world(|_| json(200, r#"{"decision":true}"#));
    let owner = ResourceAttributes { owner: Some("team-a".to_owned()), ..ResourceAttributes::default() };
    let asked = Question { attributes: owner, ..question(&caller) };
    assert!(world.run(pdp().evaluate(&world, &asked)).unwrap().permit);
    let seen = world.seen().pop().unwrap();
    assert_eq!((seen.method, seen.node.as_str(), seen.target.as_str()), (Method::Post, PDP, "/access/v1/evaluation"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("x-request-id"), Some("corr-1"));
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(
        serde_json::from_str::<Value>(&seen.body).unwrap(),
        value!({
            "subject": {"type": "user", "id": "svc-billing"},
            "action": {"name": "execute"},
            "resource": {"type": "secret", "id": URI, "properties": {"owner": "team-a"}},
            "context": {
                "tenant_id": "dev",
                "cnf_binding": {"jkt": "thumb"},
                "issuer": "https://issuer.example",
                "client_id": "billing",
                "aud": ["crud.secrets"],
                "token_jti": "jti-1",
                "correlation_id": "corr-1",
                "workflow_run_id": "run-1",
                "node_id": "node-1",
                "system_id": "system-1",
                "resource_attributes": {"owner": "team-a"},
            },
        })
    );
}

#[test]
fn what_is_not_known_is_left_out_and_the_request_id_is_random_then() {
    let world = world(|_| json(200, r#"{"decision":false}"#));
    assert!(!evaluate(&world, &pdp()).unwrap().permit);
    let seen = world.seen().pop().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&seen.body).unwrap(),
        value!({
            "subject": {"type": "user", "id": "anonymous"},
            "action": {"name": "execute"},
            "resource": {"type": "secret", "id": URI},
            "context": {"tenant_id": "dev"},
        })
    );
    assert_eq!(seen.header("x-request-id").unwrap().len(), 32);
    let mut caller = Caller::anonymous();
    caller.context.correlation_id = Some("two\r\nlines".to_owned());
    caller.sender_key = Some(SenderKey::CertificateThumbprint("thumb".to_owned()));
    world.run(pdp().evaluate(&world, &question(&caller))).unwrap();
    let seen = world.seen().pop().unwrap();
    assert_eq!(seen.header("x-request-id").unwrap().len(), 32, "it can't be sent as a header");
    assert!(seen.body.contains(r#""cnf_binding":{"x5t#S256":"thumb"}"#));
}

#[test]
fn obligations_are_found_in_three_places_and_the_smallest_holds() {
    let all = [
        r#"{"ttl_seconds":60,"max_uses":3}"#,
        r#"{"ttl_seconds":60.0,"max_uses":3.0,"obligations":null}"#,
        r#"{"obligations":{"ttl_seconds":60,"max_uses":3,"mask":true}}"#,
        r#"{"obligations":[{"id":"ttl_seconds","value":60},{"type":"max_uses","value":3},{"id":"log"},"x"]}"#,
        r#"{"obligations":[{"type":"grant","ttl_seconds":60,"max_uses":3}]}"#,
        r#"{"ttl_seconds":600,"max_uses":3,"obligations":[{"name":"ttl_seconds","value":60},{"max_uses":30}]}"#,
    ];
    for context in all {
        let decision = answered(&format!(r#"{{"decision":true,"unknown":1,"context":{context}}}"#)).unwrap();
        let expected = (Some(Duration::from_secs(60)), Some(3));
        assert_eq!((decision.ttl, decision.max_uses), expected, "{context}");
    }
    let decision =
        answered(r#"{"decision":true,"context":{"id":"d-1","policy_version":7,"ttl_seconds":1e300,"max_uses":1e15}}"#);
    let decision = decision.unwrap();
    assert_eq!(decision.decision_id.as_deref(), Some("d-1"));
    assert_eq!(decision.policy_version.as_deref(), Some("7"));
    assert_eq!((decision.ttl, decision.max_uses), (Some(Duration::from_secs(86_400)), Some(1_000_000)));
    let decision =
        answered(r#"{"decision":true,"context":{"id":"0","decision_id":"d-2","ttl_seconds":null}}"#).unwrap();
    assert_eq!((decision.decision_id.as_deref(), decision.ttl), (Some("d-2"), None));
}

#[test]
fn what_is_no_decision_is_an_error() {
    let bad = [
        "",
        "null",
        "true",
        "[]",
        "[true]",
        r#"[true,{}]"#,
        "{}",
        r#"{"decision":null}"#,
        r#"{"decision":"true"}"#,
        r#"{"decision":1}"#,
        r#"{"decision":false,"decision":true}"#,
        r#"{"decision":true"#,
        r#"{"decision":true} {"decision":true}"#,
        r#"{"Decision":true}"#,
        r#"{"decision":true,"context":{"ttl_seconds":-1}}"#,
        r#"{"decision":true,"context":{"ttl_seconds":"60"}}"#,
        r#"{"decision":true,"context":{"ttl_seconds":NaN}}"#,
        r#"{"decision":true,"context":{"ttl_seconds":1e999}}"#,
        r#"{"decision":true,"context":{"max_uses":0}}"#,
        r#"{"decision":true,"context":{"max_uses":-1}}"#,
        r#"{"decision":true,"context":{"max_uses":1.5}}"#,
        r#"{"decision":true,"context":{"obligations":[{"id":"max_uses","value":0}]}}"#,
        r#"{"decision":true,"context":{"obligations":"none"}}"#,
    ];
    for body in bad {
        assert_eq!(answered(body).unwrap_err().code(), Code::PdpUnreachable, "{body}");
    }
    assert!(!answered(r#"{"decision":false,"context":{"max_uses":0}}"#).unwrap().permit, "a denial has no obligations");
    let text = reason(answered(r#"{"decision":"canary"}"#));
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn an_answer_that_is_not_200_and_json_is_an_error_and_a_redirect_is_not_followed() {
    let permit = || r#"{"decision":true}"#;
    type Case = (fn() -> Reply, &'static str);
    let cases: Vec<Case> = vec![
        (|| json(201, r#"{"decision":true}"#), "status 201"),
        (|| json(204, ""), "status 204"),
        (|| redirect("https://elsewhere.example/"), "redirects"),
        (|| json(400, "{}"), "malformed"),
        (|| json(401, "{}"), "PDP_TOKEN"),
        (|| json(403, "{}"), "PDP_TOKEN"),
        (|| json(500, r#"{"decision":true}"#), "status 500"),
        (|| raw(200, "text/html", br#"{"decision":true}"#.to_vec()), "log-in page"),
        (|| raw(200, "application/jsonp", br#"{"decision":true}"#.to_vec()), "log-in page"),
        (|| json(200, format!(r#"{{"decision":true,"x":"{}"}}"#, "x".repeat(256 * 1024))), "more than"),
        (|| Reply::Fail(FailureKind::AfterSend), "breaks"),
        (|| Reply::Fail(FailureKind::Tls), "TLS"),
    ];
    for (reply, part) in cases {
        let world = world(move |_| reply());
        let text = reason(evaluate(&world, &pdp()));
        assert!(text.contains(part), "{text}: {part}");
        assert_eq!(world.seen().len(), 2, "{part}");
    }
    let slow = world(|_| retry_after(json(503, ""), "7"));
    assert_eq!(evaluate(&slow, &pdp()).unwrap_err().when(), Some(Duration::from_secs(7)));
    let fine = world(move |_| raw(200, "Application/JSON; charset=utf-8", permit().as_bytes().to_vec()));
    assert!(evaluate(&fine, &pdp()).unwrap().permit);
}

#[test]
fn a_pdp_that_hangs_is_left_after_five_seconds_and_one_that_is_restarted_is_tried_once_more() {
    let hanging = world(|_| Reply::Never);
    assert!(reason(evaluate(&hanging, &pdp())).contains("5 s"));
    assert_eq!(hanging.elapsed(), Duration::from_secs(5));
    let count = Rc::new(Cell::new(0));
    let tries = count.clone();
    let restarted = world(move |_| {
        tries.set(tries.get() + 1);
        if tries.get() == 1 { Reply::Fail(FailureKind::Connect) } else { json(200, r#"{"decision":true}"#) }
    });
    assert!(evaluate(&restarted, &pdp()).unwrap().permit);
    assert_eq!(count.get(), 2);
    let gone = world(|_| Reply::Fail(FailureKind::Connect));
    assert!(reason(evaluate(&gone, &pdp())).contains("connected"));
    assert_eq!(gone.seen().len(), 3, "discovery, and two tries");
}

fn metadata(point: &str, one: &str, many: Option<&str>) -> Value {
    let mut all = value!({"policy_decision_point": point, "access_evaluation_endpoint": one, "unknown": true});
    if let Some(many) = many {
        all["access_evaluations_endpoint"] = many.into();
    }
    all
}

/// A PDP at this URL with this metadata, and what became of two evaluations of it.
fn discovered(url: &str, metadata: Value) -> (World, Result<Decision>) {
    let text = metadata.to_string();
    let world = World::new(move |seen| match seen.method {
        Method::Get => json(200, text.clone()),
        _ => json(200, r#"{"decision":true}"#),
    });
    let pdp = Pdp::new(&settings(&[("PDP_URL", url), ("ENABLE_AUTHORIZATION", "true")]));
    let first = evaluate(&world, &pdp);
    (world.clone(), first.and_then(|_| evaluate(&world, &pdp)))
}

#[test]
fn discovery_finds_the_end_points_once_and_only_at_home() {
    let home = metadata("https://pdp.example", "https://pdp.example/authz/one", None);
    let (world, result) = discovered("https://pdp.example", home);
    assert!(result.unwrap().permit);
    assert_eq!(world.targets(), ["/.well-known/authzen-configuration", "/authz/one", "/authz/one"]);
    let tenant = metadata("https://pdp.example/t1", "https://pdp.example/t1/one", None);
    let (world, result) = discovered("https://pdp.example/t1/", tenant);
    assert!(result.unwrap().permit);
    assert_eq!(world.targets()[..2], ["/.well-known/authzen-configuration/t1", "/t1/one"]);
    let refused = [
        metadata("https://other.example", "https://pdp.example/one", None),
        metadata("https://pdp.example/t1", "https://pdp.example/one", None),
        metadata("http://pdp.example", "https://pdp.example/one", None),
        metadata("https://pdp.example", "https://other.example/one", None),
        metadata("https://pdp.example", "https://pdp.example:8443/one", None),
        metadata("https://pdp.example", "/one", None),
        metadata("https://pdp.example", "https://pdp.example/one", Some("https://other.example/many")),
        value!({"policy_decision_point": "https://pdp.example"}),
        value!([]),
    ];
    for metadata in refused {
        let (world, result) = discovered("https://pdp.example", metadata.clone());
        reason(result);
        assert_eq!(world.seen().len(), 1, "{metadata}: nothing is asked, and nobody else");
    }
}

#[test]
fn without_metadata_the_paths_of_the_standard_are_used_and_every_other_failure_counts() {
    let world = world(|_| json(200, r#"{"decision":true}"#));
    let base = Pdp::new(&settings(&[("PDP_URL", "https://pdp.example/base"), ("ENABLE_AUTHORIZATION", "true")]));
    assert!(evaluate(&world, &base).unwrap().permit);
    assert!(evaluate(&world, &base).unwrap().permit);
    let one = "/base/access/v1/evaluation";
    assert_eq!(world.targets(), ["/.well-known/authzen-configuration/base", one, one]);
    for status in [301, 401, 403, 500, 503] {
        let world = World::new(move |_| json(status, "{}"));
        reason(evaluate(&world, &pdp()));
        assert_eq!(world.seen().len(), 1);
    }
}

#[test]
fn an_end_point_that_is_gone_is_looked_up_anew() {
    let count = Rc::new(Cell::new(0));
    let asked = count.clone();
    let world = world(move |_| {
        asked.set(asked.get() + 1);
        if asked.get() == 1 { json(404, "{}") } else { json(200, r#"{"decision":true}"#) }
    });
    let pdp = pdp();
    reason(evaluate(&world, &pdp));
    assert!(evaluate(&world, &pdp).unwrap().permit);
    assert_eq!(world.targets().iter().filter(|target| target.starts_with("/.well-known")).count(), 2);
}

#[test]
fn a_batch_keeps_the_order_and_a_missing_entry_is_a_denial() {
    let world = world(|seen| {
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        let count = body["evaluations"].as_array().unwrap().len();
        let mut all: Vec<_> = (0..count).map(|i| value!({"decision": i % 2 == 0})).collect();
        if count > 1 {
            all.pop();
        }
        json(200, value!({"evaluations": all, "decision": true}).to_string())
    });
    let caller = Caller::anonymous();
    let questions: Vec<_> = (0..53).map(|_| question(&caller)).collect();
    let decisions = world.run(pdp().evaluate_all(&world, &questions)).unwrap();
    let permits: Vec<_> = decisions.iter().map(|decision| decision.permit).collect();
    let expected: Vec<_> = (0..53).map(|i| (i < 49 && i % 2 == 0) || i == 50).collect();
    assert_eq!(permits, expected);
    assert_eq!(world.targets()[1..], ["/access/v1/evaluations", "/access/v1/evaluations"], "50 at a time");
    assert!(world.run(pdp().evaluate_all(&world, &[])).unwrap().is_empty());
}

#[test]
fn two_questions_of_one_resource_with_different_attributes_are_asked_apart() {
    let world = world(|seen| json(200, value!({"decision": !seen.body.contains("team-b")}).to_string()));
    let caller = Caller::anonymous();
    let of = |owner: &str| {
        let attributes = ResourceAttributes { owner: Some(owner.to_owned()), ..ResourceAttributes::default() };
        Question { attributes, ..question(&caller) }
    };
    let decisions = world.run(pdp().evaluate_all(&world, &[of("team-a"), of("team-b")])).unwrap();
    assert_eq!(decisions.iter().map(|decision| decision.permit).collect::<Vec<_>>(), [true, false]);
    assert_eq!(world.targets()[1..], ["/access/v1/evaluation", "/access/v1/evaluation"]);
}

#[test]
fn a_batch_that_is_too_long_or_has_an_entry_that_is_no_decision_is_an_error() {
    for body in [
        r#"{"evaluations":[{"decision":true},{"decision":true},{"decision":true}]}"#,
        r#"{"evaluations":[{"decision":true},{}]}"#,
        r#"{"evaluations":[{"decision":true},null]}"#,
        r#"{"evaluations":[[true],[true]]}"#,
        r#"[[{"decision":true}]]"#,
        r#"{"evaluations":[],"evaluations":[{"decision":true}]}"#,
        r#"{"evaluations":{}}"#,
        r#"{"decision":true}"#,
    ] {
        let world = world(move |_| json(200, body));
        let caller = Caller::anonymous();
        let result = world.run(pdp().evaluate_all(&world, &[question(&caller), question(&caller)]));
        assert_eq!(result.unwrap_err().code(), Code::PdpUnreachable, "{body}");
    }
    let single = metadata("https://pdp.example", "https://pdp.example/one", None).to_string();
    let world = World::new(move |seen| match seen.method {
        Method::Get => json(200, single.clone()),
        _ => json(200, r#"{"decision":true}"#),
    });
    let caller = Caller::anonymous();
    let decisions = world.run(pdp().evaluate_all(&world, &[question(&caller), question(&caller)])).unwrap();
    assert!(decisions.iter().all(|decision| decision.permit));
    assert_eq!(world.targets()[1..], ["/one", "/one"], "it takes no batches");
}

#[test]
fn a_token_is_shown_to_the_pdp_and_to_nobody_else() {
    let world = world(|seen| match seen.header("authorization") {
        Some("Bearer canary-pdp") => json(200, r#"{"decision":true}"#),
        _ => json(401, "{}"),
    });
    let good = [("PDP_URL", "https://pdp.example"), ("PDP_TOKEN", "canary-pdp"), ("ENABLE_AUTHORIZATION", "true")];
    let good = Pdp::new(&settings(&good));
    assert!(evaluate(&world, &good).unwrap().permit);
    assert_eq!(world.seen()[0].header("authorization"), None, "discovery needs none");
    assert!(!format!("{good:?}").contains("canary"));
    let bad = [("PDP_URL", "https://pdp.example"), ("PDP_TOKEN", "canary-bad"), ("ENABLE_AUTHORIZATION", "true")];
    let text = reason(evaluate(&world, &Pdp::new(&settings(&bad))));
    assert!(text.contains("PDP_TOKEN") && !text.contains("canary"), "{text}");
}

fn client() -> Pdp {
    Pdp::new(&settings(&[
        ("ENABLE_AUTHORIZATION", "true"),
        ("PDP_URL", "https://pdp.example"),
        ("PDP_CLIENT_ID", "pep 1"),
        ("PDP_CLIENT_SECRET", "canary:s/cret"),
        ("PDP_TOKEN_URL", "https://issuer.example/token"),
    ]))
}

#[test]
fn client_credentials_give_a_token_that_is_kept_until_shortly_before_its_end() {
    let count = Rc::new(Cell::new(0));
    let given = count.clone();
    let world = world(move |seen| {
        if seen.target == "/token" {
            // pep+1:canary%3As%2Fcret
            assert_eq!(seen.header("authorization"), Some("Basic cGVwKzE6Y2FuYXJ5JTNBcyUyRmNyZXQ="));
            assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
            assert_eq!(
                (seen.node.as_str(), seen.body.as_str()),
                ("https://issuer.example:443", "grant_type=client_credentials")
            );
            given.set(given.get() + 1);
            let token = format!("t{}", given.get());
            return json(200, value!({"access_token": token, "token_type": "Bearer", "expires_in": 300}).to_string());
        }
        // The second is revoked early.
        match seen.header("authorization") {
            Some("Bearer t2") if seen.at > Duration::from_secs(280) => json(401, "{}"),
            Some(_) => json(200, r#"{"decision":true}"#),
            None => json(401, "{}"),
        }
    });
    let pdp = client();
    let ask = |wait: u64, tokens: usize| {
        world.run(world.sleep(Duration::from_secs(wait)));
        assert!(evaluate(&world, &pdp).unwrap().permit);
        assert_eq!(count.get(), tokens);
    };
    ask(0, 1);
    ask(260, 1);
    ask(15, 2);
    ask(20, 3);
}

#[test]
fn a_token_end_point_that_gives_no_bearer_token_is_an_error_that_names_the_credential() {
    let cases: [(u16, &str, &str); 6] = [
        (401, "{}", "PDP_CLIENT_ID"),
        (400, r#"{"error":"invalid_client"}"#, "PDP_CLIENT_ID"),
        (500, "{}", "500"),
        (200, "{}", "no token"),
        (200, r#"{"access_token":"canary-t","token_type":"mac"}"#, "bearer"),
        (200, "{\"access_token\":\"canary\\nt\",\"token_type\":\"bearer\"}", "header"),
    ];
    for (status, body, part) in cases {
        let world = world(move |seen| match seen.target.as_str() {
            "/token" => json(status, body),
            _ => json(200, r#"{"decision":true}"#),
        });
        let text = reason(evaluate(&world, &client()));
        assert!(text.contains(part) && !text.contains("canary"), "{text}");
        assert!(!world.targets().contains(&"/access/v1/evaluation".to_owned()));
    }
    let refusing = world(|seen| match seen.target.as_str() {
        "/token" => json(200, r#"{"access_token":"t","token_type":"bearer"}"#),
        _ => json(401, "{}"),
    });
    assert!(reason(evaluate(&refusing, &client())).contains("PDP_CLIENT_ID"));
    assert_eq!(refusing.seen().len(), 3, "a new token is not asked for again");
}

proptest! {
    #[test]
    fn no_answer_but_a_true_decision_is_a_permit(body in r#"\{?("decision"|"context"|"evaluations"|[:,{}\[\]]|true|false|null|1| ){0,9}\}?"#) {
        let parsed = serde_json::from_str::<Value>(&body).ok();
        let is_permit = answered(&body).is_ok_and(|decision| decision.permit);
        prop_assert!(!is_permit || parsed.is_some_and(|parsed| parsed["decision"] == true));
    }
}
