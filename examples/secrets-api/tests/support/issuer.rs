//! An issuer: discovery, keys that rotate, and the tokens and proofs that they sign.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use base64ct::{Base64UrlUnpadded, Encoding};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Web;

/// A key of an issuer, or of a caller.
#[derive(Clone)]
pub struct Key(SigningKey);

impl Key {
    /// One of many.
    pub fn new(number: u8) -> Self {
        Self(SigningKey::from_slice(&[number; 32]).unwrap())
    }

    fn jwk(&self) -> Value {
        let point = self.0.verifying_key().to_sec1_point(false);
        json!({"kty": "EC", "crv": "P-256", "x": encode(point.x().unwrap()), "y": encode(point.y().unwrap())})
    }

    /// The name of RFC 7638, whose order of members is also that of the maps here.
    pub fn thumbprint(&self) -> String {
        hash(self.jwk().to_string().as_bytes())
    }

    fn sign(&self, header: &Value, payload: &Value) -> String {
        let text = format!("{}.{}", encode(header.to_string().as_bytes()), encode(payload.to_string().as_bytes()));
        let signature: Signature = self.0.sign(text.as_bytes());
        format!("{text}.{}", encode(&signature.to_bytes()))
    }

    /// A proof of possession (RFC 9449) for a request with this token.
    pub fn proof(&self, method: &str, htu: &str, token: &str) -> String {
        let header = json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": self.jwk()});
        let claims = json!({
            "htm": method, "htu": htu, "ath": hash(token.as_bytes()), "iat": now(), "jti": unique("proof"),
        });
        self.sign(&header, &claims)
    }
}

pub fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// SHA-256 in base64url.
pub fn hash(bytes: &[u8]) -> String {
    encode(&Sha256::digest(bytes))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A name that was not given before.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub struct Issuer {
    web: Web,
    /// The key that signs, and the one before it, which is still there after a rotation.
    keys: Arc<Mutex<Vec<(String, Key)>>>,
    /// How often the keys were asked for.
    asked: Arc<AtomicU64>,
}

impl Issuer {
    pub fn start() -> Self {
        let keys = Arc::new(Mutex::new(vec![("key-1".to_owned(), Key::new(1))]));
        let asked = Arc::new(AtomicU64::new(0));
        let (held, count) = (keys.clone(), asked.clone());
        let document = |headers: axum::http::HeaderMap| async move {
            let url = format!("http://{}", headers[header::HOST].to_str().unwrap());
            axum_json(&json!({"issuer": url, "jwks_uri": format!("{url}/jwks")}))
        };
        let set = move || async move {
            count.fetch_add(1, Ordering::Relaxed);
            let keys: Vec<_> = held.lock().unwrap().iter().map(|(kid, key)| with_id(key, kid)).collect();
            axum_json(&json!({ "keys": keys }))
        };
        let moved = || async { (StatusCode::FOUND, [(header::LOCATION, "/jwks")]) };
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/jwks", get(set))
            .route("/moved", get(moved));
        Self { web: Web::serve(app), keys, asked }
    }

    pub fn url(&self) -> String {
        self.web.url()
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Signs with another key from now on; the one before stays, and those before that go.
    pub fn rotate(&self) {
        let mut keys = self.keys.lock().unwrap();
        let number = keys.last().unwrap().0.trim_start_matches("key-").parse::<u8>().unwrap() + 1;
        keys.push((format!("key-{number}"), Key::new(number)));
        let gone = keys.len() - 2;
        keys.drain(..gone);
    }

    /// A token of the service that the examples know, with claims more.
    pub fn token(&self, more: Value) -> String {
        let Value::Object(mut claims) = json!({
            "iss": self.url(), "sub": "svc-billing", "client_id": "billing", "aud": "crud.secrets",
            "iat": now(), "exp": now() + 300, "jti": unique("token"),
            "scope": "secrets.read secrets.rotate secrets.read_metadata",
        }) else {
            return String::new();
        };
        let Value::Object(more) = more else { return String::new() };
        claims.extend::<Map<String, Value>>(more);
        let keys = self.keys.lock().unwrap();
        let (kid, key) = keys.last().unwrap();
        key.sign(&json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}), &Value::Object(claims))
    }

    /// The header with such a token.
    pub fn bearer(&self, more: Value) -> String {
        format!("Bearer {}", self.token(more))
    }
}

fn with_id(key: &Key, kid: &str) -> Value {
    let mut jwk = key.jwk();
    jwk["kid"] = kid.into();
    jwk["alg"] = "ES256".into();
    jwk
}

pub fn axum_json(value: &Value) -> axum::response::Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
