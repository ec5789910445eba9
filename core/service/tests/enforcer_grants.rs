//! Grants, proofs and tokens end to end, under a thousand racers: through the API, a PDP and a store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::cell::Cell;

use serde_json::{Value, json};
use support::keys::Key;
use support::{APP, Answer, Ask, Party, Service};

const RACERS: usize = 1000;

fn passed(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status == 200).count()
}

/// A service whose PDP permits once, with these obligations, and denies after that.
fn permitting_once(context: Value) -> Service {
    let service = Service::new(&[("TRUSTED_PROXY_CIDRS", "10.0.0.0/8")]);
    service.put("app", json!({"token": "canary-value"}));
    let permits = Cell::new(1);
    service.judge(move |_| json!({"decision": permits.replace(0) > 0, "context": context.clone()}));
    service
}

#[test]
fn of_a_thousand_racers_with_one_permit_of_one_use_one_reads() {
    let service = permitting_once(json!({"max_uses": 1}));
    let ask = Ask::value(APP).bearer(&service.token(json!({})));
    let answers = service.ask_all(&vec![ask; RACERS]);
    assert_eq!(passed(&answers), 1);
    assert!(answers.iter().all(|answer| answer.status == 200 || answer.refusal() == (403, "SECRET_AUTHZ_FAILED")));
    let reads = service.asked(Party::Bao).iter().filter(|seen| seen.target.starts_with("/v1/secret/data/")).count();
    assert_eq!(reads, 1, "the others never reached the value");
    assert_eq!(service.metric("secrets_decisions_total{effect=\"deny\"}"), 999.0);
}

#[test]
fn a_grant_is_used_as_often_as_it_says_and_no_longer_than_it_lasts() {
    let service = permitting_once(json!({"max_uses": 5, "ttl_seconds": 60, "id": "d-1", "policy_version": "7"}));
    let token = service.token(json!({}));
    let ask = Ask::value(APP).bearer(&token);
    assert_eq!(service.ask(&ask).status, 200);
    // Fewer than the ring of events holds.
    let answers = service.ask_all(&vec![ask.clone(); 900]);
    assert_eq!(passed(&answers), 4);
    assert_eq!(service.metric("grant_hit_total"), 4.0);
    let hits: Vec<_> = service.events().into_iter().filter(|event| event["event"] == "SECRET_PERMIT").collect();
    assert_eq!(hits.len(), 5);
    assert!(hits.iter().all(|event| event["decision_id"] == "d-1" && event["policy_version"] == "7"));

    let service = permitting_once(json!({"max_uses": 5, "ttl_seconds": 60}));
    let ask = Ask::value(APP).bearer(&service.token(json!({})));
    assert_eq!((service.ask(&ask).status, service.ask(&ask).status), (200, 200));
    service.pass(60);
    assert_eq!(service.ask(&ask).refusal(), (403, "SECRET_AUTHZ_FAILED"));

    // A grant is for one purpose, one secret and one token.
    let service = permitting_once(json!({"max_uses": 100}));
    let token = service.token(json!({}));
    assert_eq!(service.ask(&Ask::value(APP).bearer(&token)).status, 200);
    let others = [
        Ask::write(APP, json!({"x": 1})).bearer(&token),
        Ask::value("openbao+kv2://secret/app#token").bearer(&token),
        Ask::value("openbao+kv2://secret/app?version=1").bearer(&token),
        Ask::value(APP).bearer(&service.token(json!({}))),
        Ask::value(APP).bearer(&token).header("x-system-id", "another").from("10.1.1.1"),
    ];
    for other in others {
        assert_eq!(service.ask(&other).refusal(), (403, "SECRET_AUTHZ_FAILED"), "{}", other.query);
    }
    assert_eq!(service.ask(&Ask::value(APP).bearer(&token)).status, 200);
}

#[test]
fn a_use_is_not_given_back_when_the_provider_fails() {
    let service = permitting_once(json!({"max_uses": 2}));
    let ask = Ask::value(APP).bearer(&service.token(json!({})));
    assert_eq!(service.ask(&ask).status, 200);
    service.down(Party::Bao);
    assert_eq!(service.ask(&ask).refusal(), (502, "SERVER_UNREACHABLE"));
    let event = service.event();
    assert_eq!((&event["event"], &event["effect"]), (&json!("SECRET_ERROR"), &json!("permit")), "it was permitted");
    service.state.borrow_mut().down.clear();
    assert_eq!(service.ask(&ask).refusal(), (403, "SECRET_AUTHZ_FAILED"));
}

#[test]
fn a_denial_is_remembered_for_as_long_as_the_settings_say() {
    let service = Service::new(&[("NEGATIVE_CACHE_TTL_S", "30")]);
    service.judge(|_| json!({"decision": false}));
    let ask = Ask::value(APP).bearer(&service.token(json!({})));
    let first = service.ask(&ask);
    service.forget();
    let again = service.ask(&ask);
    assert_eq!((first.refusal(), &first.body, &first.headers), (again.refusal(), &again.body, &again.headers));
    assert_eq!(service.asked(Party::Pdp).len() + service.asked(Party::Bao).len(), 0);
    assert_eq!(service.metric("grant_negative_cache_hit_total"), 1.0);
    service.judge(|_| json!({"decision": true}));
    assert_eq!(service.ask(&ask).status, 403);
    service.pass(30);
    assert_eq!(service.ask(&ask).refusal(), (404, "SECRET_NOT_FOUND"));
}

#[test]
fn of_a_thousand_racers_with_one_proof_one_wins() {
    let service = Service::new(&[]);
    service.put("app", json!({"token": "canary-value"}));
    let key = Key::ed(7);
    let token = service.token(json!({"cnf": {"jkt": key.thumbprint()}}));
    let proof = service.proof(&key, &Ask::value(APP), &token, "once");
    let answers = service.ask_all(&vec![Ask::value(APP).dpop(&token, &proof); RACERS]);
    assert_eq!(passed(&answers), 1);
    let lost = answers.iter().filter(|answer| answer.refusal() == (401, "DPOP_PROOF_REPLAYED")).count();
    assert_eq!(lost, RACERS - 1);
    assert_eq!(service.metric("anti_replay_total"), 999.0);
}

#[test]
fn one_token_serves_the_three_calls_of_the_guide() {
    let service = Service::new(&[]);
    service.put("app/api", json!({"token": "canary-value"}));
    let token = service.token(json!({"jti": "the-one"}));
    let uri = "openbao+kv2://secret/app/api";
    let rotated = Ask::post("/api/secrets/rotate", json!({"uri": format!("{uri}#token"), "value": "canary-value"}));
    let rotated = service.ask(&rotated.bearer(&token)).ok();
    assert_eq!((&rotated["old_version"], &rotated["new_version"]), (&json!(1), &json!(2)));
    let value =
        service.ask(&Ask::get("/api/secrets/value").raw("uri=openbao+kv2://secret/app/api").bearer(&token)).ok();
    assert_eq!((&value["value"], &value["version"]), (&json!({"token": "canary-value"}), &json!(2)));
    let versions = Ask::get("/api/secrets/versions").raw("uri=openbao+kv2://secret/app/api").bearer(&token);
    assert_eq!(service.ask(&versions).ok()["current_version"], 2);
    let once = Service::new(&[("ANTI_REPLAY_TTL_S", "60")]);
    let ask = Ask::value(APP).bearer(&once.token(json!({})));
    assert_eq!(once.ask(&ask).status, 404);
    assert_eq!(once.ask(&ask).refusal(), (401, "TOKEN_REPLAYED"));
    once.pass(60);
    assert_eq!(once.ask(&ask).status, 404);
}
