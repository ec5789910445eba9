//! Every end point against every gate: what is refused is told as the contract has it, and never reaches a provider.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::keys::Key;
use support::shelf::{Shelf, shelf};
use support::{APP, Answer, Ask, OPEN, Party, SCOPES, Service, is_look_at_metadata};

/// What the table's URIs look like for one end point.
fn uri(path: &str, method: &str, rest: &str) -> String {
    let scheme = if (method, path) == ("GET", "/api/secrets") { "yaml" } else { "openbao+kv2" };
    format!("{scheme}://{rest}")
}

/// The end points, each with a request for it about a URI. A new end point has no row here until it gets one.
fn row(method: &str, path: &str, uri: &str) -> Option<Ask> {
    let versions = json!({"uri": uri, "versions": [1]});
    let transfer = json!({"fromUri": uri, "toUri": format!("{uri}-copy"), "overwrite": true});
    let operations = json!({"operations": [{"op": "set", "uri": uri, "value": {"token": "canary-value"}}]});
    Some(match (method, path) {
        ("GET", "/api/secrets" | "/api/secrets/value" | "/api/secrets/metadata/detail") => {
            Ask::get(path).query("uri", uri)
        }
        ("GET", "/api/secrets/versions" | "/api/secrets/keys") => Ask::get(path).query("uri", uri),
        ("GET", "/api/secrets/metadata") => Ask::get(path).query("prefix", uri),
        ("GET", "/api/secrets/search") => Ask::get(path).query("prefix", uri).query("q", "a"),
        ("GET", "/api/secrets/events" | "/api/secrets/audit") => Ask::get(path),
        ("DELETE", "/api/secrets") => Ask::delete(path).query("uri", uri),
        ("POST", "/api/secrets" | "/api/secrets/rotate") => {
            Ask::post(path, json!({"uri": uri, "value": {"token": "canary-value"}}))
        }
        ("POST", "/api/secrets/undelete" | "/api/secrets/destroy-versions") => Ask::post(path, versions),
        ("POST", "/api/secrets/metadata/owner") => Ask::post(path, json!({"uri": uri, "owner": "team"})),
        ("POST", "/api/secrets/copy" | "/api/secrets/move") => Ask::post(path, transfer),
        ("POST", "/api/secrets/bulk") => Ask::post(path, operations),
        ("GET", "/healthz" | "/readyz" | "/metrics" | "/openapi.json") => return None,
        other => panic!("{other:?} is in no row of this table"),
    })
}

struct EndPoint {
    method: String,
    path: String,
    /// What the description says that it takes; empty where each operation says itself.
    scopes: Vec<String>,
}

/// All end points but the probes.
fn end_points() -> Vec<EndPoint> {
    let service = Service::open();
    let paths = service.document()["paths"].as_object().unwrap();
    assert_eq!(paths.len(), baokit_service::api::paths().collect::<std::collections::BTreeSet<_>>().len());
    let mut all = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            if row(&method, path, APP).is_none() {
                continue;
            }
            let scopes = &operation["security"][0]["bearer"];
            let mut scopes: Vec<_> =
                scopes.as_array().into_iter().flatten().map(|scope| scope.as_str().unwrap().to_owned()).collect();
            if path.ends_with("/copy") || path.ends_with("/move") {
                scopes = vec!["secrets.read".into(), "secrets.write".into()];
            } else if path.ends_with("/bulk") {
                scopes = vec!["secrets.write".into()];
            }
            assert!(!scopes.is_empty(), "{method} {path}");
            all.push(EndPoint { method, path: path.clone(), scopes });
        }
    }
    assert_eq!(all.len(), 18);
    all
}

impl EndPoint {
    fn about(&self, rest: &str) -> Ask {
        row(&self.method, &self.path, &uri(&self.path, &self.method, rest)).unwrap()
    }

    fn ask(&self) -> Ask {
        self.about("secret/app")
    }

    fn has_uri(&self) -> bool {
        !matches!(self.path.as_str(), "/api/secrets/events" | "/api/secrets/audit")
    }

    fn has_secret(&self) -> bool {
        self.has_uri() && !matches!(self.path.as_str(), "/api/secrets/metadata" | "/api/secrets/search")
    }

    fn is_of_shelf(&self) -> bool {
        (self.method.as_str(), self.path.as_str()) == ("GET", "/api/secrets")
    }

    /// What is told of its one operation.
    #[track_caller]
    fn expect(&self, answer: &Answer, status: u16, code: &str, error: &str) {
        let about = format!("{} {}: {}", self.method, self.path, answer.body);
        if self.path.ends_with("/bulk") && status != 401 {
            let result = &answer.body["results"][0];
            assert_eq!(answer.status, 200, "{about}");
            assert_eq!(
                (result["status"].as_u64(), result["code"].as_str()),
                (Some(status.into()), Some(code)),
                "{about}"
            );
            return;
        }
        assert_eq!((answer.refusal(), answer.body["error"].as_str()), ((status, code), Some(error)), "{about}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{about}");
    }
}

/// A service, and what it knows of its providers.
struct Gated {
    service: Service,
    shelf: Shelf,
}

impl Gated {
    fn new(more: &[(&str, &str)]) -> Self {
        let there = Shelf::default();
        let service = Service::with(more, |enforcer, _| enforcer.providers(shelf(&["yaml"], &there)));
        service.put("app", json!({"token": "canary-value"}));
        service.forget();
        Self { service, shelf: there }
    }

    /// That no provider was asked; but for the one look at the secret's metadata where a PDP was.
    #[track_caller]
    fn untouched(&self, looks: usize, what: &EndPoint) {
        let mut asked = self.service.asked(Party::Bao);
        if looks > 0 {
            // What is mounted there is seen once, before the first look.
            asked.retain(|seen| seen.target != "/v1/sys/internal/ui/mounts/secret");
        }
        let is_look = asked.iter().all(|seen| is_look_at_metadata(seen, "app"));
        assert!(asked.len() <= looks && is_look, "{} {}: {asked:?}", what.method, what.path);
        assert_eq!(self.shelf.reads(), 0, "{} {}", what.method, what.path);
    }
}

#[test]
fn with_everything_in_order_every_end_point_works() {
    for what in end_points() {
        let gated = Gated::new(&[]);
        let answer = gated.service.alice(&what.ask());
        assert_eq!(answer.status, 200, "{} {}: {}", what.method, what.path, answer.body);
        let touched = gated.service.asked(Party::Bao).len() + gated.shelf.reads();
        assert_eq!(touched > 0, what.has_uri(), "{} {}", what.method, what.path);
    }
}

#[test]
fn a_uri_that_is_none_and_a_mount_of_another_tenant_are_refused_to_anybody() {
    for what in end_points().iter().filter(|what| what.has_uri()) {
        let gated = Gated::new(&[]);
        for token in [None, Some(gated.service.token(json!({})))] {
            let sent = |ask: Ask| gated.service.ask(&token.iter().fold(ask, |ask, token| ask.bearer(token)));
            what.expect(&sent(what.about("secret/../app")), 400, "ILLEGAL_SEGMENT", "caller");
            what.expect(&sent(what.about("secret/%2e%2e/app")), 400, "ILLEGAL_SEGMENT", "caller");
            what.expect(&sent(what.about("other/app")), 400, "TENANT_MOUNT_MISMATCH", "policy");
            what.expect(&sent(what.about("sys/app")), 400, "TENANT_MOUNT_MISMATCH", "policy");
        }
        gated.untouched(0, what);
        assert_eq!(gated.service.asked(Party::Issuer).len() + gated.service.asked(Party::Pdp).len(), 0);
        assert_eq!(gated.service.metric("tenant_mount_violation_total"), 4.0);
    }
}

#[test]
fn without_a_good_token_every_end_point_refuses() {
    for what in end_points() {
        let gated = Gated::new(&[]);
        let service = &gated.service;
        what.expect(&service.ask(&what.ask()), 401, "TOKEN_MISSING", "unauthorized");
        let expired = service.token(json!({"exp": service.wall()}));
        what.expect(&service.ask(&what.ask().bearer(&expired)), 401, "TOKEN_EXPIRED", "invalid_token");
        for alg in ["none", "HS256", "ES256"] {
            let header = json!({"alg": alg, "typ": "at+jwt", "kid": "k1"});
            let token = support::issuer_key().sign(&header, &service.claims());
            service.keep_secret(&token);
            what.expect(&service.ask(&what.ask().bearer(&token)), 401, "TOKEN_INVALID", "invalid_token");
        }
        let elsewhere = Key::ed(9).token("k1", &service.claims());
        what.expect(&service.ask(&what.ask().bearer(&elsewhere)), 401, "TOKEN_INVALID", "invalid_token");
        gated.untouched(0, &what);
    }
}

#[test]
fn a_token_for_somebody_else_or_without_the_scope_is_refused() {
    for what in end_points() {
        let gated = Gated::new(&[]);
        let service = &gated.service;
        let elsewhere = service.token(json!({"aud": ["billing"]}));
        what.expect(&service.ask(&what.ask().bearer(&elsewhere)), 403, "SECRET_AUTHZ_FAILED", "invalid_audience");
        for missing in &what.scopes {
            let scope = SCOPES.split(' ').filter(|scope| scope != missing).collect::<Vec<_>>().join(" ");
            let token = service.token(json!({"scope": scope}));
            let answer = service.ask(&what.ask().bearer(&token));
            what.expect(&answer, 403, "SECRET_AUTHZ_FAILED", "insufficient_scope");
            assert!(answer.body.to_string().contains(missing), "{}", answer.body);
        }
        // A move may look at the secret for the PDP before the second scope is asked for.
        gated.untouched(if what.scopes.len() > 1 { 1 } else { 0 }, &what);
    }
}

#[test]
fn a_proof_that_was_used_or_is_of_another_key_is_refused() {
    for what in end_points() {
        let gated = Gated::new(&[]);
        let service = &gated.service;
        let key = Key::ed(7);
        let token = service.token(json!({"cnf": {"jkt": key.thumbprint()}}));
        let ask = what.ask();
        let moved = service.proof(&Key::ed(8), &ask, &token, "p0");
        what.expect(&service.ask(&ask.clone().dpop(&token, &moved)), 401, "SENDER_KEY_MISMATCH", "invalid_token");
        what.expect(&service.ask(&ask.clone().bearer(&token)), 401, "DPOP_PROOF_INVALID", "invalid_dpop_proof");
        gated.untouched(0, &what);
        let proof = service.proof(&key, &ask, &token, "p1");
        assert_eq!(service.ask(&ask.clone().dpop(&token, &proof)).status, 200, "{} {}", what.method, what.path);
        let reads = gated.shelf.reads();
        service.forget();
        what.expect(&service.ask(&ask.dpop(&token, &proof)), 401, "DPOP_PROOF_REPLAYED", "invalid_dpop_proof");
        assert_eq!((service.asked(Party::Bao).len(), gated.shelf.reads()), (0, reads));
        assert_eq!(service.metric("anti_replay_total"), 1.0);
    }
}

#[test]
fn a_pdp_that_denies_or_is_down_lets_nothing_through_but_the_look_at_the_metadata() {
    for what in end_points() {
        let looks = usize::from(what.has_secret());
        let gated = Gated::new(&[]);
        gated.service.judge(|_| json!({"decision": false}));
        what.expect(&gated.service.alice(&what.ask()), 403, "SECRET_AUTHZ_FAILED", "access_denied");
        gated.untouched(looks, &what);
        assert_eq!(gated.service.asked(Party::Pdp).len(), 2, "its metadata, and the question");

        let gated = Gated::new(&[]);
        gated.service.down(Party::Pdp);
        what.expect(&gated.service.alice(&what.ask()), 503, "PDP_UNREACHABLE", "temporarily_unavailable");
        gated.untouched(looks, &what);
        assert_eq!(gated.service.metric("pdp_error_total"), 1.0);
    }
}

#[test]
fn a_provider_that_is_down_is_a_failure_of_the_provider() {
    for what in end_points().iter().filter(|what| what.has_uri() && !what.is_of_shelf()) {
        for more in [&[][..], OPEN] {
            let gated = Gated::new(more);
            gated.service.down(Party::Bao);
            what.expect(&gated.service.alice(&what.ask()), 502, "SERVER_UNREACHABLE", "transport");
        }
    }
}

#[test]
fn the_issuer_being_down_lets_nobody_in() {
    for what in end_points() {
        let gated = Gated::new(&[]);
        gated.service.down(Party::Issuer);
        let answer = gated.service.alice(&what.ask());
        assert_eq!(answer.refusal(), (503, "KEYS_UNREACHABLE"), "{} {}", what.method, what.path);
        assert!(answer.header("retry-after").is_some_and(|time| time.parse::<u64>().unwrap() > 0));
        gated.untouched(0, &what);
    }
}

#[test]
fn the_probes_ask_for_no_token() {
    let service = Service::new(&[]);
    assert_eq!(service.ask(&Ask::get("/healthz")).ok(), json!({"status": "ok"}));
    assert_eq!(service.ask(&Ask::get("/readyz")).ok(), json!({"status": "ready"}));
    let metrics = service.ask(&Ask::get("/metrics"));
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(metrics.ok().as_str().unwrap().contains("secrets_decisions_total{effect=\"deny\"} 0\n"));
    assert_eq!(service.ask(&Ask::get("/openapi.json")).ok()["openapi"], "3.1.0");
    service.state.borrow_mut().bao.seal();
    assert_eq!(service.ask(&Ask::get("/healthz")).status, 200, "the service itself runs");
    service.forget();
    assert_eq!(service.ask(&Ask::get("/readyz")).status, 200, "it was asked for a moment ago");
    assert_eq!(service.asked(Party::Bao).len(), 0, "and so nobody can have OpenBao asked without end");
    service.pass(1);
    assert_eq!(service.ask(&Ask::get("/readyz")).refusal(), (503, "SERVER_SEALED"));
    service.down(Party::Bao);
    service.pass(1);
    assert_eq!(service.ask(&Ask::get("/readyz")).refusal(), (503, "SERVER_UNREACHABLE"));
}

/// One request with every fault, which are mended one after the other: each time the next of the order is told.
#[test]
fn of_several_faults_the_first_in_the_order_of_the_checks_is_told() {
    let gated = Gated::new(&[]);
    let service = &gated.service;
    let (key, other) = (Key::ed(7), Key::ed(8));
    let claims = json!({"cnf": {"jkt": key.thumbprint()}});
    let token = |more: Value| service.token(support::keys::with(claims.clone(), more));
    let good = Ask::value(APP);
    let used = |token: &str| {
        let proof = service.proof(&key, &good, token, "used");
        service.judge(|_| json!({"decision": true}));
        service.ask(&good.clone().dpop(token, &proof));
        service.judge(|_| json!({"decision": false}));
        proof
    };
    let faulty = json!({"exp": service.wall(), "aud": "billing", "scope": "secrets.write"});
    let told = |uri: &str, token: &str, proof: &str| {
        let answer = service.ask(&Ask::value(uri).dpop(token, proof));
        (
            answer.status,
            answer.body["code"].as_str().unwrap().to_owned(),
            answer.body["error"].as_str().unwrap().to_owned(),
        )
    };
    let expect = |told: (u16, String, String), status, code: &str, error: &str| {
        assert_eq!(told, (status, code.to_owned(), error.to_owned()));
    };
    let expired = token(faulty);
    let moved = service.proof(&other, &good, &expired, "p");
    expect(told("openbao+kv2://other/../app", &expired, &moved), 400, "ILLEGAL_SEGMENT", "caller");
    expect(told("openbao+kv2://other/app", &expired, &moved), 400, "TENANT_MOUNT_MISMATCH", "policy");
    expect(told(APP, &expired, &moved), 401, "TOKEN_EXPIRED", "invalid_token");
    let elsewhere = token(json!({"aud": "billing", "scope": "secrets.write"}));
    let moved = service.proof(&other, &good, &elsewhere, "p");
    expect(told(APP, &elsewhere, &moved), 401, "SENDER_KEY_MISMATCH", "invalid_token");
    let proof = service.proof(&key, &good, &elsewhere, "fresh");
    expect(told(APP, &elsewhere, &proof), 403, "SECRET_AUTHZ_FAILED", "invalid_audience");
    let weak = token(json!({"scope": "secrets.write"}));
    let good_token = token(json!({}));
    // A proof is of one key, whatever the token: used with a good one, it is used for every other too.
    used(&good_token);
    let proof = service.proof(&key, &good, &weak, "used");
    expect(told(APP, &weak, &proof), 403, "SECRET_AUTHZ_FAILED", "insufficient_scope");
    let proof = service.proof(&key, &good, &good_token, "used");
    expect(told(APP, &good_token, &proof), 401, "DPOP_PROOF_REPLAYED", "invalid_dpop_proof");
    let proof = service.proof(&key, &good, &good_token, "new");
    expect(told(APP, &good_token, &proof), 403, "SECRET_AUTHZ_FAILED", "access_denied");
    service.judge(|_| json!({"decision": true}));
    let proof = service.proof(&key, &Ask::value("openbao+kv2://secret/absent"), &good_token, "last");
    expect(told("openbao+kv2://secret/absent", &good_token, &proof), 404, "SECRET_NOT_FOUND", "caller");
}

#[test]
fn each_refusal_is_on_record_once() {
    for what in end_points().iter().filter(|what| what.has_uri()) {
        let gated = Gated::new(&[]);
        let service = &gated.service;
        let told = |event: &Value| {
            let text = |name: &str| event[name].as_str().unwrap_or("none").to_owned();
            (text("event"), text("effect"), text("code"), text("subject"))
        };
        let of = |parts: [&str; 4]| {
            let [event, effect, code, subject] = parts.map(str::to_owned);
            (event, effect, code, subject)
        };
        service.ask(&what.about("other/app"));
        service.ask(&what.ask());
        service.ask(&what.ask().bearer(&service.token(json!({"aud": "billing"}))));
        service.judge(|_| json!({"decision": false}));
        service.alice(&what.ask());
        service.down(Party::Pdp);
        service.alice(&what.ask());
        let events: Vec<_> = service.events().iter().map(told).collect();
        let deny = |code, subject| of(["SECRET_DENY", "deny", code, subject]);
        assert_eq!(
            events,
            [
                deny("TENANT_MOUNT_MISMATCH", "anonymous"),
                deny("TOKEN_MISSING", "anonymous"),
                deny("SECRET_AUTHZ_FAILED", "alice"),
                deny("SECRET_AUTHZ_FAILED", "alice"),
                of(["SECRET_ERROR", "error", "PDP_UNREACHABLE", "alice"]),
            ],
            "{} {}",
            what.method,
            what.path
        );
    }
}
