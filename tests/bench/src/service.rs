//! What the service adds to a read: from the text of a URI to the permit, and a caller who comes back or is new.

// The host is of one thread.
#![allow(clippy::arc_with_non_send_sync)]

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use baokit_core::http::{Failure, Request, Response};
use baokit_core::uri::Provider;
use baokit_core::{Client, Host, Now};
use baokit_service::bearer::{Authenticated, Bearer, Presented};
use baokit_service::caller::{Caller, Context};
use baokit_service::operation::Operation;
use baokit_service::settings::Settings;
use baokit_service::{Enforcer, Permit, Result, Who};
use serde_json::json;
use zeroize::Zeroizing;

use crate::at_once;
use crate::keys::Key;

const START: u64 = 1_800_000_000;
const ISSUER: &str = "https://issuer.example";

/// A host that plays the issuer and a PDP that permits everything, a million times.
#[derive(Clone, Debug)]
struct Outside {
    keys: Arc<str>,
}

impl Host for Outside {
    fn now(&self) -> Now {
        Now { monotonic: Duration::from_secs(100), wall: Duration::from_secs(START) }
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }

    async fn send(&self, request: Request) -> std::result::Result<Response, Failure> {
        let (status, body) = match request.target() {
            "/keys" => (200, &*self.keys),
            "/access/v1/evaluation" => {
                let decision =
                    r#"{"decision":true,"context":{"ttl_seconds":3600,"max_uses":1000000,"decision_id":"d-1"}}"#;
                (200, decision)
            }
            "/v1/sys/internal/ui/mounts/secret" => (200, r#"{"data":{"type":"kv","options":{"version":"2"}}}"#),
            _ => (404, r#"{"errors":[]}"#),
        };
        let body = Zeroizing::new(body.as_bytes().to_vec());
        Ok(Response::new(status, body).header("content-type", b"application/json"))
    }

    async fn sleep(&self, _duration: Duration) {
        pending().await
    }
}

fn key(algorithm: &str) -> Key {
    match algorithm {
        "RS256" => Key::rsa(),
        "ES256" => Key::ec(1),
        _ => Key::ed(1),
    }
}

fn settings() -> Settings {
    let lookup = |key: &str| {
        let value = match key {
            "OIDC_ISSUER" => ISSUER,
            "AUTH_JWKS_URL" => "https://issuer.example/keys",
            "PDP_URL" => "https://pdp.example",
            "TENANT_SALT" => "0123456789abcdef0123456789abcdef",
            "SECRETS_API_REQUIRE_AUTH" | "SECRETS_ENFORCE_SCOPES" | "ENABLE_AUTHORIZATION" => "true",
            _ => return None,
        };
        Some(value.to_owned())
    };
    Settings::from_lookup(lookup).expect("the settings are legal")
}

/// A token as issuers make them, and the header that brings it.
fn authorization(key: &Key) -> String {
    let claims = json!({
        "iss": ISSUER, "sub": "svc-billing", "aud": "crud.secrets", "client_id": "billing",
        "scope": "secrets.read secrets.write", "jti": "9f1c2a44-5d1e-4c0e-9a51-1f2d3c4b5a69",
        "iat": START, "exp": START + 3600,
    });
    format!("Bearer {}", key.token("k1", &claims))
}

fn outside(key: &Key) -> Outside {
    let keys = json!({"keys": [key.jwk_with(json!({"kid": "k1", "use": "sig"}))]});
    Outside { keys: keys.to_string().into() }
}

fn presented<'a>(headers: &'a [&'a str]) -> Presented<'a> {
    let mut presented = Presented::new("GET", "/api/secrets/value");
    presented.authorization = headers;
    presented
}

/// A service that has permitted this caller this URI before.
pub struct Permitted {
    enforcer: Enforcer<Outside>,
    authorization: String,
    caller: Caller,
}

impl Permitted {
    /// Has the caller's token verified and the PDP asked, once.
    ///
    /// # Panics
    /// Where the service refuses: figures of a refusal would be worthless.
    #[must_use]
    pub fn new(uri: &str) -> Self {
        let lookup = |key: &str| match key {
            "OPENBAO_URL" => Some("https://openbao-1.example:8200".to_owned()),
            "OPENBAO_TOKEN" => Some("bench-token".to_owned()),
            "TENANT_ALLOWED_MOUNTS" => Some("secret".to_owned()),
            _ => None,
        };
        let of_client = baokit_core::Settings::from_lookup(Provider::OpenBao, lookup).expect("the settings are legal");
        let key = key("ES256");
        let outside = outside(&key);
        let client = Arc::new(Client::new(outside.clone(), of_client));
        let enforcer = Enforcer::new(client, outside.clone(), settings());
        let authorization = authorization(&key);
        let headers = [authorization.as_str()];
        let found = at_once(Bearer::new(&settings()).authenticate(&outside, &presented(&headers)));
        let caller = found.expect("the token is right").caller;
        let permitted = Self { enforcer, authorization, caller };
        for _ in 0..2 {
            drop(permitted.known(uri).0.expect("the PDP permits it"));
            drop(permitted.shown(uri).0.expect("the PDP permits it"));
        }
        let metrics = permitted.enforcer.audit().metrics().render();
        assert!(metrics.contains("grant_miss_total 1\n"), "the PDP was asked once:\n{metrics}");
        permitted
    }

    /// From the text of a URI to the permit, by the grant that is there, for a caller whom the host knows; and the name
    /// of the secret on record.
    pub fn known(&self, uri: &str) -> (Result<Permit>, String) {
        self.permit(Who::known(self.caller.clone()), uri)
    }

    /// The same for a caller who shows the token once more.
    pub fn shown(&self, uri: &str) -> (Result<Permit>, String) {
        let headers = [self.authorization.as_str()];
        self.permit(Who::presented(presented(&headers), Context::default()), uri)
    }

    fn permit(&self, mut who: Who<'_>, uri: &str) -> (Result<Permit>, String) {
        let resource = match self.enforcer.admit(&who, uri, &Operation::Read) {
            Ok(resource) => resource,
            Err(error) => return (Err(error), String::new()),
        };
        let reference = self.enforcer.audit().references().of(resource.as_str());
        (at_once(self.enforcer.permit(&mut who, Operation::Read.purpose(), resource)), reference)
    }
}

/// A service that has the issuer's keys.
#[derive(Debug)]
pub struct Door {
    outside: Outside,
    bearer: Bearer,
    /// Of a caller who was here before.
    known: String,
    /// Of one who was not.
    strange: String,
}

impl Door {
    /// With a key for this algorithm.
    ///
    /// # Panics
    /// Where a token is refused.
    #[must_use]
    pub fn new(algorithm: &str) -> Self {
        let key = key(algorithm);
        let known = authorization(&key);
        let strange = format!(
            "Bearer {}",
            key.token(
                "k1",
                &json!({
                    "iss": ISSUER, "sub": "svc-ledger", "aud": "crud.secrets", "client_id": "ledger",
                    "scope": "secrets.read secrets.write", "jti": "11111111-5d1e-4c0e-9a51-1f2d3c4b5a69",
                    "iat": START, "exp": START + 3600,
                })
            )
        );
        let door = Self { outside: outside(&key), bearer: Bearer::new(&settings()), known, strange };
        door.cached().expect("the token is right");
        door
    }

    /// Somebody who was here before.
    ///
    /// # Errors
    /// Those of [`Bearer::authenticate`].
    pub fn cached(&self) -> Result<Authenticated> {
        self.authenticate(&self.known)
    }

    /// Somebody who was not, the first time this is called.
    ///
    /// # Errors
    /// Those of [`Bearer::authenticate`].
    pub fn first(&self) -> Result<Authenticated> {
        self.authenticate(&self.strange)
    }

    fn authenticate(&self, authorization: &str) -> Result<Authenticated> {
        let headers = [authorization];
        at_once(self.bearer.authenticate(&self.outside, &presented(&headers)))
    }
}
