//! The guide's three calls, typed into curl as the program prints them: open as it starts by default, and with
//! tokens, scopes and a PDP; on the server in memory and on a real one.
//!
//! What needs a real OpenBao or Cerbos is run where it is asked for: `tests/run service`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use baokit_openbao::{Server, Version};
use serde_json::{Value, json};
use support::issuer::Issuer;
use support::pdp::{Cerbos, Pdp};
use support::{CANARY, Service, code, shell};

/// What the three calls answer, which are sent with this header where there is one.
fn three_calls(service: &Service, authorization: Option<&str>) -> [Value; 3] {
    let [rotate, value, versions, _] = service.calls.as_slice() else { panic!("{:?}", service.calls) };
    let header = authorization.map(|text| format!(" -H 'Authorization: {text}'")).unwrap_or_default();
    let run = |line: &String| {
        let answer = shell(&format!("{line}{header} 2>/dev/null"));
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{line}: {answer}"))
    };
    [run(rotate), run(value), run(versions)]
}

/// What they must come to, as the first on a secret, and as the second.
fn succeed(service: &Service, authorization: Option<&str>) {
    for old in [Value::Null, json!(1)] {
        let [rotated, value, versions] = three_calls(service, authorization);
        let new = old.as_u64().unwrap_or_default() + 1;
        assert_eq!(rotated["uri"], "openbao+kv2://secret/app/api#token");
        assert_eq!((&rotated["old_version"], &rotated["new_version"]), (&old, &json!(new)));
        assert_eq!(rotated["resource_ref"].as_str().unwrap().len(), 43);
        // curl sends nothing from the # on, so the whole map is the answer, and the answer says so.
        let uri = "openbao+kv2://secret/app/api";
        assert_eq!(value, json!({"uri": uri, "value": {"token": "new-value"}, "version": new}));
        assert_eq!((&versions["uri"], &versions["current_version"]), (&json!(uri), &json!(new)));
        assert_eq!(versions["versions"].as_array().unwrap().len(), usize::try_from(new).unwrap());
    }
    let header = authorization.map(|text| format!(" -H 'Authorization: {text}'")).unwrap_or_default();
    let safe: Value = serde_json::from_str(&shell(&format!("{}{header} 2>/dev/null", service.calls[3]))).unwrap();
    assert_eq!(safe, json!({"uri": "openbao+kv2://secret/app/api#token", "value": "new-value", "version": 2}));
}

/// Everything that can be asked for is.
fn enforced<'a>(issuer: &'a str, pdp: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("SECRETS_API_REQUIRE_AUTH", "true"),
        ("SECRETS_ENFORCE_SCOPES", "true"),
        ("OIDC_ISSUER", issuer),
        ("ENABLE_AUTHORIZATION", "true"),
        ("PDP_URL", pdp),
    ]
}

fn on<'a>(server: &'a Server, environment: Vec<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let named =
        [("OPENBAO_URL", server.url()), ("OPENBAO_TOKEN", server.root_token()), ("TENANT_ALLOWED_MOUNTS", "secret")];
    environment.into_iter().chain(named).collect()
}

/// With everything on: one token that has a jti for all the calls, and each way to be refused.
fn succeed_with_one_token(environment: &[(&str, &str)], issuer: &Issuer) {
    let service = Service::start(environment);
    let token = issuer.bearer(json!({"client_id": CANARY, "jti": "the-one"}));
    succeed(&service, Some(&token));
    for (authorization, expected) in [
        (None, "unauthorized"),
        (Some("Bearer x.y.z".to_owned()), "invalid_token"),
        (Some(issuer.bearer(json!({"exp": 1_000_000_000}))), "invalid_token"),
        (Some(issuer.bearer(json!({"aud": "another"}))), "invalid_audience"),
        (Some(issuer.bearer(json!({"scope": "other"}))), "insufficient_scope"),
        (Some(issuer.bearer(json!({"sub": "svc-other"}))), "access_denied"),
    ] {
        let answers = three_calls(&service, authorization.as_deref());
        assert!(answers.iter().all(|answer| answer["error"] == expected), "{expected}: {answers:?}");
    }
    // The keys of the issuer change under way; the token that is known stays good, as its key does.
    issuer.rotate();
    let fresh = issuer.bearer(json!({}));
    assert_eq!(service.value(&[("Authorization", &fresh)]).status, 200);
    assert_eq!(service.value(&[("Authorization", &token)]).status, 200);
}

/// A PDP that lets the billing service do what its scopes allow.
fn own_pdp() -> Pdp {
    Pdp::start(|question| json!({"decision": question["subject"]["id"] == "svc-billing"}))
}

#[test]
fn they_work_as_they_stand_on_a_service_that_starts_without_any_setting() {
    succeed(&Service::start(&[]), None);
}

#[test]
fn they_work_with_tokens_scopes_and_a_pdp_and_one_token_does_for_all() {
    let (issuer, pdp) = (Issuer::start(), own_pdp());
    succeed_with_one_token(&enforced(&issuer.url(), &pdp.url()), &issuer);
    let questions = pdp.questions();
    let actions: Vec<_> = questions.iter().take(3).map(|question| question["action"]["name"].clone()).collect();
    assert_eq!(actions, ["rotate", "execute", "read_metadata"]);
    let first = &questions[0];
    assert_eq!(first["subject"]["id"], "svc-billing");
    assert_eq!(first["resource"], json!({"type": "secret", "id": "openbao+kv2://secret/app/api#token"}));
    assert_eq!(first["context"]["token_jti"], "the-one");
    // What the first rotation has stamped on the secret is what the PDP judges the next one by.
    assert_eq!(questions[3]["resource"]["properties"]["owner"], "svc-billing");
}

#[test]
#[ignore = "needs the real server: tests/run service"]
fn they_work_on_a_real_server_open_and_with_everything_on() {
    let server = Server::start(Version::V2_7_2).unwrap();
    succeed(&Service::start(&on(&server, vec![])), None);
    let server = Server::start(Version::V2_7_2).unwrap();
    let (issuer, pdp) = (Issuer::start(), own_pdp());
    succeed_with_one_token(&on(&server, enforced(&issuer.url(), &pdp.url())), &issuer);
}

#[test]
#[ignore = "needs the real server and Cerbos: tests/run service"]
fn they_work_with_cerbos_which_judges_by_the_owner() {
    let (server, issuer, cerbos) = (Server::start(Version::V2_7_2).unwrap(), Issuer::start(), Cerbos::start());
    let (issuer_url, pdp_url) = (issuer.url(), cerbos.url());
    let environment = on(&server, enforced(&issuer_url, &pdp_url));
    {
        // What nobody owns is nobody's to rotate by the project's policy.
        let service = Service::start(&environment);
        let answers = three_calls(&service, Some(&issuer.bearer(json!({}))));
        assert!(answers.iter().all(|answer| answer["code"] == "SECRET_AUTHZ_FAILED"), "{answers:?}");
    }
    // Metadata alone, so that the first rotation makes the first version.
    let token = [("X-Vault-Token", server.root_token())];
    let owner = json!({"custom_metadata": {"owner": "team-billing"}}).to_string();
    let made = support::send(server.address(), "POST", "/v1/secret/metadata/app/api", &token, &owner);
    assert_eq!(made.status, 204, "{}", code(&made));
    succeed_with_one_token(&environment, &issuer);
}
