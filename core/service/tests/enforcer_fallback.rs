//! Another provider in place of one that is out of reach: when, for what, and who is asked whether it may be.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arc_with_non_send_sync)]

mod support;

use std::sync::Arc;

use baokit_core::{Client, Host};
use serde_json::json;
use support::{APP, Ask, OPEN, Party, Service, client_settings};

/// A service of two servers, the second for what the first can't be reached for.
fn with_spare(more: &[(&str, &str)]) -> Service {
    let all: Vec<_> = more.iter().chain(OPEN).copied().collect();
    let service = Service::with(&all, |enforcer, world| {
        let settings = baokit_core::config::Settings::builder(baokit_core::uri::Provider::HashiCorp);
        let settings = client_settings(settings.urls(["http://127.0.0.1:2"])).build().unwrap();
        enforcer.client(Arc::new(Client::new(world.clone(), settings)))
    });
    service.put("app", json!({"from": "bao"}));
    let body = json!({"data": {"from": "spare"}}).to_string();
    let request = baokit_devserver::model::Request::new("POST", "/v1/secret/data/app");
    let request = request.token(support::scenario::CANARY_TOKEN).body(body);
    assert_eq!(service.state.borrow_mut().spare.handle(service.world.now().wall, &request).status, 200);
    service
}

const FALLBACK: [(&str, &str); 2] = [("VAULT_ENABLE_FALLBACK", "true"), ("VAULT_FALLBACK_ORDER", "openbao, hashicorp")];
const ELSEWHERE: &str = "provider_circuit_open_total{provider=\"openbao\"}";

#[test]
fn a_read_that_reaches_nobody_is_answered_by_the_next_provider() {
    let service = with_spare(&FALLBACK);
    assert_eq!(service.ask(&Ask::value(APP)).ok()["value"]["from"], "bao");
    assert!(service.event().get("answered_by").is_none());
    service.down(Party::Bao);
    let read = service.ask(&Ask::value("openbao+kv2://secret/app#from")).ok();
    assert_eq!(read, json!({"uri": "openbao+kv2://secret/app#from", "value": "spare", "version": 1}));
    assert_eq!(service.event()["answered_by"], "hashicorp+kv2");
    assert_eq!(service.metric(ELSEWHERE), 1.0);
    // What it says counts, an absent secret too.
    assert_eq!(service.ask(&Ask::value("openbao+kv2://secret/no")).refusal(), (404, "SECRET_NOT_FOUND"));
    service.down(Party::Spare);
    assert_eq!(service.ask(&Ask::value(APP)).refusal(), (502, "SERVER_UNREACHABLE"));
}

#[test]
fn where_a_pdp_decides_it_judges_by_what_the_next_provider_says() {
    let on = [("ENABLE_AUTHORIZATION", "1"), FALLBACK[0], FALLBACK[1]];
    let service = with_spare(&on);
    let owner = json!({"custom_metadata": {"owner": "anonymous"}}).to_string();
    let request = baokit_devserver::model::Request::new("POST", "/v1/secret/metadata/app");
    let request = request.token(support::scenario::CANARY_TOKEN).body(owner);
    service.state.borrow_mut().spare.handle(service.world.now().wall, &request);
    service.judge(|question| json!({"decision": question["context"]["resource_attributes"]["owner"] == "anonymous"}));
    assert_eq!(service.ask(&Ask::value(APP)).status, 403);
    service.down(Party::Bao);
    assert_eq!(service.ask(&Ask::value(APP)).ok()["value"]["from"], "spare");
    assert_eq!(service.ask(&Ask::write(APP, json!({"x": 1}))).refusal(), (502, "SERVER_UNREACHABLE"));
}

#[test]
fn the_next_provider_is_another_resource_about_which_the_pdp_is_asked_too() {
    let service = with_spare(&[("ENABLE_AUTHORIZATION", "1"), FALLBACK[0], FALLBACK[1]]);
    service.judge(|question| json!({"decision": question["resource"]["id"] != "hashicorp+kv2://secret/app"}));
    assert_eq!(service.ask(&Ask::value("hashicorp+kv2://secret/app")).status, 403);
    service.down(Party::Bao);
    assert_eq!(service.ask(&Ask::value(APP)).refusal(), (403, "SECRET_AUTHZ_FAILED"));
    let reads = service.asked(Party::Spare);
    assert!(reads.iter().all(|seen| !seen.target.starts_with("/v1/secret/data/")), "nobody read what is denied");
    service.judge(|_| json!({"decision": true}));
    assert_eq!(service.ask(&Ask::value(APP)).ok()["value"]["from"], "spare");
    let asked: Vec<_> =
        service.state.borrow().questions.iter().rev().map(|asked| asked["resource"]["id"].clone()).collect();
    assert_eq!(asked[..2], ["hashicorp+kv2://secret/app", APP]);
}

#[test]
fn neither_a_refusal_nor_an_absent_secret_nor_a_write_goes_elsewhere() {
    let service = with_spare(&FALLBACK);
    assert_eq!(service.ask(&Ask::value("openbao+kv2://secret/no")).refusal(), (404, "SECRET_NOT_FOUND"));
    assert_eq!(service.ask(&Ask::value("openbao+kv2://secret/app#no")).refusal(), (404, "FRAGMENT_NOT_FOUND"));
    assert_eq!(service.ask(&Ask::value("openbao+kv2://old/app")).refusal(), (400, "UNSUPPORTED_ENGINE"));
    service.state.borrow_mut().bao.revoke(support::scenario::CANARY_TOKEN);
    let revoked = service.ask(&Ask::value(APP));
    assert!(
        matches!(revoked.refusal(), (502, "AUTHENTICATION_FAILED") | (403, "PERMISSION_DENIED")),
        "{}",
        revoked.body
    );
    service.down(Party::Bao);
    for ask in [
        Ask::write(APP, json!({"x": 1})),
        Ask::get("/api/secrets/versions").query("uri", APP),
        Ask::delete("/api/secrets").query("uri", APP),
    ] {
        assert_eq!(service.ask(&ask).status, 502, "{ask:?}");
    }
    assert_eq!(service.asked(Party::Spare).len(), 0);
    assert_eq!(service.metric(ELSEWHERE), 0.0);
    let off = with_spare(&[]);
    off.down(Party::Bao);
    assert_eq!(off.ask(&Ask::value(APP)).refusal(), (502, "SERVER_UNREACHABLE"));
    assert_eq!(off.asked(Party::Spare).len(), 0);
}
