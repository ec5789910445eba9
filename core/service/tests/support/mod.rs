//! The Secrets API on virtual time, with everybody that it speaks with: OpenBao (the dev server's model), the issuer and
//! its keys, and a PDP that says what the test wants. Each can be down, and what was asked of each is counted.
//!
//! Every answer is held against the API's own description, and nothing that is secret may be in any of them, nor in the
//! audit or the metrics: whatever a test is about, it tests that too.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arc_with_non_send_sync)]

#[path = "../bearer/keys.rs"]
pub mod keys;
#[path = "../../../tests/scenario/mod.rs"]
pub mod scenario;
pub mod schema;
pub mod shelf;

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use baokit_core::Host;
use baokit_core::config::{Credential, SettingsBuilder};
use baokit_core::http::{FailureKind, Method, Response};
use baokit_devserver::model::{self, Model};
use baokit_service::api::{Body, Request};
use baokit_service::audit::Subscription;
use baokit_service::settings::Settings;
use baokit_service::{Enforcer, SecretsApi};
use keys::{Key, hash, with};
use scenario::{CANARY_TOKEN, CANARY_VALUE, Reply, Seen, World, json as reply};
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub const ISSUER: &str = "https://issuer.example";
pub const PUBLIC: &str = "https://secrets.example";
pub const PDP_TOKEN: &str = "canary-pdp-token";
pub const SCOPES: &str = "secrets.read secrets.write secrets.rotate secrets.delete secrets.destroy secrets.read_metadata \
                          secrets.set_owner";
/// A secret of the tenant's mount.
pub const APP: &str = "openbao+kv2://secret/app";

/// Whom the service speaks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    Bao,
    /// A second server, of the provider `hashicorp`.
    Spare,
    Issuer,
    Pdp,
}

impl Party {
    fn of(node: &str) -> Self {
        match node {
            "http://127.0.0.1:1" => Self::Bao,
            "http://127.0.0.1:2" => Self::Spare,
            "https://issuer.example:443" => Self::Issuer,
            "https://pdp.example:443" => Self::Pdp,
            other => panic!("nobody may be asked at {other}"),
        }
    }
}

type Judge = Box<dyn FnMut(&Value) -> Value>;

pub struct State {
    pub bao: Model,
    pub spare: Model,
    pub down: Vec<Party>,
    /// The issuer's key set.
    pub keys: Vec<Value>,
    /// What the PDP says to an evaluation.
    pub judge: Judge,
    /// What the PDP was asked.
    pub questions: Vec<Value>,
}

impl State {
    fn answer(&mut self, seen: &Seen) -> Reply {
        let party = Party::of(&seen.node);
        if self.down.contains(&party) {
            return Reply::Fail(FailureKind::Connect);
        }
        match (party, seen.target.as_str()) {
            (Party::Bao, _) => modelled(&mut self.bao, seen),
            (Party::Spare, _) => modelled(&mut self.spare, seen),
            (Party::Issuer, "/.well-known/openid-configuration") => {
                reply(200, json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks")}).to_string())
            }
            (Party::Issuer, "/token") => {
                reply(200, json!({"access_token": PDP_TOKEN, "token_type": "Bearer", "expires_in": 300}).to_string())
            }
            (Party::Issuer, "/jwks") => reply(200, json!({"keys": self.keys}).to_string()),
            (Party::Pdp, "/access/v1/evaluation") => {
                assert_eq!(seen.header("authorization"), Some(format!("Bearer {PDP_TOKEN}").as_str()));
                let question: Value = serde_json::from_str(&seen.body).unwrap();
                let answer = (self.judge)(&question);
                self.questions.push(question);
                reply(200, answer.to_string())
            }
            _ => reply(404, "{}"),
        }
    }
}

fn modelled(model: &mut Model, seen: &Seen) -> Reply {
    let mut request = model::Request::new(seen.method.as_str(), seen.target.clone()).body(seen.body.clone());
    for (name, value) in &seen.headers {
        request = request.header(name, value);
    }
    let answer = model.handle(Duration::from_secs(1_767_225_600) + seen.at, &request);
    let mut response = Response::new(answer.status, Zeroizing::new(answer.body));
    for (name, value) in &answer.headers {
        response = response.header(name, value.as_bytes());
    }
    Reply::Answer(response)
}

/// A service, and its world.
pub struct Service {
    pub world: World,
    pub state: Rc<RefCell<State>>,
    pub api: SecretsApi<World>,
    document: Value,
    /// Of the world's requests, how many do not count any more.
    forgotten: Cell<usize>,
    tokens: Cell<u64>,
    /// What no answer, event or metric may hold.
    secrets: RefCell<Vec<String>>,
}

/// Everything on: authentication, scopes, the PDP, proofs.
const SETTINGS: &[(&str, &str)] = &[
    ("OIDC_ISSUER", ISSUER),
    ("SECRETS_API_REQUIRE_AUTH", "true"),
    ("SECRETS_ENFORCE_SCOPES", "true"),
    ("ENABLE_AUTHORIZATION", "true"),
    ("PDP_URL", "https://pdp.example"),
    ("PDP_TOKEN", PDP_TOKEN),
    ("SECRETS_PUBLIC_URL", PUBLIC),
    ("TENANT_SALT", "0123456789abcdef"),
];

/// Nothing on but the tenant guard.
pub const OPEN: &[(&str, &str)] =
    &[("SECRETS_API_REQUIRE_AUTH", "0"), ("SECRETS_ENFORCE_SCOPES", "0"), ("ENABLE_AUTHORIZATION", "0")];

pub fn settings(more: &[(&str, &str)]) -> Settings {
    let of = |pairs: &[(&str, &str)], key: &str| {
        pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).to_owned())
    };
    Settings::from_lookup(|key| of(more, key).or_else(|| of(SETTINGS, key))).unwrap()
}

impl Service {
    /// A service with everything on, except what these settings say.
    pub fn new(more: &[(&str, &str)]) -> Self {
        Self::with(more, |enforcer, _| enforcer)
    }

    /// One that enforces nothing but the tenant guard.
    pub fn open() -> Self {
        Self::new(OPEN)
    }

    pub fn with(more: &[(&str, &str)], host: impl FnOnce(Enforcer<World>, &World) -> Enforcer<World>) -> Self {
        let mut bao = Model::new(7, CANARY_TOKEN);
        // A mount of the tenant's that is of KVv1, and one that is not the tenant's.
        for (mount, version) in [("old", "1"), ("other", "2")] {
            let body = json!({"type": "kv", "options": {"version": version}}).to_string();
            let request = model::Request::new("POST", format!("/v1/sys/mounts/{mount}")).token(CANARY_TOKEN).body(body);
            assert_eq!(bao.handle(Duration::from_secs(1_767_225_600), &request).status, 204);
        }
        let state = Rc::new(RefCell::new(State {
            bao,
            spare: Model::new(8, CANARY_TOKEN),
            down: Vec::new(),
            keys: vec![issuer_key().jwk_with(json!({"kid": "k1"}))],
            judge: Box::new(|_| json!({"decision": true})),
            questions: Vec::new(),
        }));
        let server = state.clone();
        let world = World::new(move |seen| server.borrow_mut().answer(seen));
        let client = Arc::new(world.client(client_settings(World::settings(1))));
        let enforcer = host(Enforcer::new(client, world.clone(), settings(more)), &world);
        let api = SecretsApi::new(Arc::new(enforcer));
        let description = world.run(api.handle(Request::new("GET", "/openapi.json", "")));
        let Body::Bytes(bytes) = description.body else { panic!("no document") };
        Self {
            world,
            state,
            api,
            document: serde_json::from_slice(&bytes).unwrap(),
            forgotten: Cell::new(0),
            tokens: Cell::new(0),
            secrets: RefCell::new(vec![CANARY_TOKEN.to_owned(), PDP_TOKEN.to_owned(), CANARY_VALUE.to_owned()]),
        }
    }

    pub fn document(&self) -> &Value {
        &self.document
    }

    pub fn wall(&self) -> u64 {
        self.world.now().wall.as_secs()
    }

    pub fn pass(&self, seconds: u64) {
        self.world.run(self.world.sleep(Duration::from_secs(seconds)));
    }

    pub fn down(&self, party: Party) {
        self.state.borrow_mut().down.push(party);
    }

    pub fn judge(&self, judge: impl FnMut(&Value) -> Value + 'static) {
        self.state.borrow_mut().judge = Box::new(judge);
    }

    /// Forgets what was asked by now.
    pub fn forget(&self) {
        self.forgotten.set(self.world.seen().len());
    }

    /// What a party was asked since.
    pub fn asked(&self, party: Party) -> Vec<Seen> {
        let seen = self.world.seen().split_off(self.forgotten.get());
        seen.into_iter().filter(|seen| Party::of(&seen.node) == party).collect()
    }

    /// Asks the server itself, as its root.
    pub fn bao(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = model::Request::new(method, format!("/v1/{target}")).token(CANARY_TOKEN).body(body);
        let answer = self.state.borrow_mut().bao.handle(self.world.now().wall, &request);
        (answer.status, serde_json::from_str(&answer.text()).unwrap_or_default())
    }

    /// Writes a secret past the service.
    pub fn put(&self, path: &str, data: Value) {
        assert_eq!(self.bao("POST", &format!("secret/data/{path}"), &json!({"data": data})).0, 200);
    }

    pub fn claims(&self) -> Value {
        self.tokens.set(self.tokens.get() + 1);
        let (wall, jti) = (self.wall(), format!("jti-{}", self.tokens.get()));
        json!({
            "iss": ISSUER, "sub": "alice", "aud": "crud.secrets", "client_id": "cli", "scope": SCOPES, "jti": jti,
            "iat": wall, "exp": wall + 3600,
        })
    }

    /// A token with these claims in place of the usual ones.
    pub fn token(&self, claims: Value) -> String {
        let token = issuer_key().token("k1", &with(self.claims(), claims));
        self.secrets.borrow_mut().push(token.clone());
        token
    }

    /// What no answer may hold from now on.
    pub fn keep_secret(&self, text: &str) {
        self.secrets.borrow_mut().push(text.to_owned());
    }

    /// A proof for this request by this key.
    pub fn proof(&self, key: &Key, ask: &Ask, token: &str, jti: &str) -> String {
        let header = json!({"typ": "dpop+jwt", "alg": key.alg(), "jwk": key.jwk()});
        let claims = json!({
            "jti": jti, "htm": ask.method, "htu": format!("{PUBLIC}{}", ask.path), "iat": self.wall(),
            "ath": hash(token.as_bytes()),
        });
        let proof = key.sign(&header, &claims);
        self.secrets.borrow_mut().push(proof.clone());
        proof
    }

    /// Sends a request.
    pub fn ask(&self, ask: &Ask) -> Answer {
        self.told(ask, self.world.run(self.api.handle(ask.request())))
    }

    /// Sends a request as alice, who may do everything.
    pub fn alice(&self, ask: &Ask) -> Answer {
        self.ask(&ask.clone().bearer(&self.token(json!({}))))
    }

    /// Sends many at once.
    pub fn ask_all(&self, asks: &[Ask]) -> Vec<Answer> {
        let answers = self.world.run_all(asks.iter().map(|ask| self.api.handle(ask.request())));
        answers.into_iter().zip(asks).map(|(answer, ask)| self.told(ask, answer)).collect()
    }

    fn told(&self, ask: &Ask, response: baokit_service::api::Response) -> Answer {
        let shown = format!("{response:?}");
        let mut headers = response.headers;
        headers.sort();
        let no_store = headers.iter().any(|header| *header == ("cache-control", "no-store".to_owned()));
        assert!(no_store, "{headers:?}");
        let (text, events) = match response.body {
            Body::Bytes(bytes) => (String::from_utf8(bytes.to_vec()).unwrap(), None),
            Body::Events(events) => (String::new(), Some(events)),
            _ => panic!("another body"),
        };
        self.refuse_secrets(&format!("{shown} {headers:?}"), false);
        let shows_value = response.status == 200
            && ask.method != "POST"
            && (ask.path == "/api/secrets" || ask.path == "/api/secrets/value");
        self.refuse_secrets(&text, shows_value);
        for node in ["127.0.0.1", "(node ", "issuer.example", "pdp.example"] {
            assert!(!text.contains(node) && !format!("{headers:?}").contains(node), "{node} is in {text}");
        }
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let answer = Answer { status: response.status, headers, body, events };
        schema::check_answer(&self.document, ask, &answer);
        answer
    }

    fn refuse_secrets(&self, text: &str, is_value: bool) {
        for secret in self.secrets.borrow().iter().filter(|secret| !is_value || *secret != CANARY_VALUE) {
            assert!(!text.contains(secret.as_str()), "{secret} is in {text}");
        }
    }

    /// The events on record, the oldest first.
    pub fn events(&self) -> Vec<Value> {
        let page = serde_json::to_value(self.api.enforcer().audit().recent(None, 0, 1000)).unwrap();
        let mut events = page["items"].as_array().unwrap().clone();
        events.reverse();
        events
    }

    /// The newest event.
    pub fn event(&self) -> Value {
        self.events().pop().unwrap()
    }

    pub fn metrics(&self) -> String {
        self.api.enforcer().audit().metrics().render()
    }

    /// The value of one line of the metrics.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.refuse_secrets(&format!("{:?} {} {:?}", self.events(), self.metrics(), self.world.notices()), false);
        }
    }
}

pub fn client_settings(settings: SettingsBuilder) -> SettingsBuilder {
    settings.credential(Credential::token(CANARY_TOKEN)).allowed_mounts(["secret", "old"])
}

/// What the issuer signs with.
pub fn issuer_key() -> Key {
    Key::ed(1)
}

/// A request, as a test spells it.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub query: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// Who connects.
    pub peer: Option<IpAddr>,
}

impl Ask {
    fn new(method: &'static str, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: String::new(),
            peer: None,
        }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn delete(path: &str) -> Self {
        Self::new("DELETE", path)
    }

    pub fn post(path: &str, body: Value) -> Self {
        Self { body: body.to_string(), ..Self::new("POST", path) }.header("content-type", "application/json")
    }

    /// The value of a secret.
    pub fn value(uri: &str) -> Self {
        Self::get("/api/secrets/value").query("uri", uri)
    }

    pub fn write(uri: &str, value: Value) -> Self {
        Self::post("/api/secrets", json!({"uri": uri, "value": value}))
    }

    pub fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    /// One key of the query, escaped.
    pub fn query(mut self, key: &str, value: &str) -> Self {
        let escaped: String = value
            .bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect();
        let and = if self.query.is_empty() { "" } else { "&" };
        self.query = format!("{}{and}{key}={escaped}", self.query);
        self
    }

    /// The query as it is.
    pub fn raw(self, query: &str) -> Self {
        Self { query: query.to_owned(), ..self }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(there, _)| *there != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn dpop(self, token: &str, proof: &str) -> Self {
        self.header("authorization", &format!("DPoP {token}")).header("dpop", proof)
    }

    /// Through the proxy at this address.
    pub fn from(self, peer: &str) -> Self {
        Self { peer: Some(peer.parse().unwrap()), ..self }
    }

    pub fn request(&self) -> Request<'_> {
        let mut request = Request::new(self.method, &self.path, &self.query);
        request.peer = self.peer;
        request.headers = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        request.body = Zeroizing::new(self.body.clone().into_bytes());
        request
    }
}

/// What came back.
pub struct Answer {
    pub status: u16,
    /// In the order of their names.
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
    pub events: Option<Subscription>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(there, _)| *there == name).map(|(_, value)| value.as_str())
    }

    /// Status and code.
    pub fn refusal(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or("no code"))
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }
}

/// Whether a request to OpenBao looks at a secret's metadata and at nothing else.
pub fn is_look_at_metadata(seen: &Seen, path: &str) -> bool {
    seen.method == Method::Get && seen.target == format!("/v1/secret/metadata/{path}")
}
