//! Key sets, and the documents that say where they are.

use std::cell::OnceCell;

use baokit_service::bearer::{Bearer, Presented};
use baokit_service::settings::Settings;
use serde_json::{Value, json};

use crate::Judged;
use crate::keys::Key;
use crate::world::{ISSUER, START, World, at_once, json as answer, settings};

struct Stage {
    of_keys: Settings,
    of_issuer: Settings,
    /// The names that stand for keys in an input, the keys, and a token of each.
    keys: Vec<(&'static str, String, String)>,
    set: String,
}

thread_local!(static STAGE: OnceCell<Stage> = const { OnceCell::new() });

fn stage() -> Stage {
    let claims = json!({"iss": ISSUER, "sub": "alice", "exp": START + 3600});
    // Without a kid: each key of the set is tried.
    let token = |key: &Key| key.sign(&json!({"alg": key.alg(), "typ": "at+jwt"}), &claims);
    let keys = [("@ed", Key::ed(1)), ("@ec", Key::ec(1)), ("@rsa", Key::rsa())];
    let auth = ("SECRETS_API_REQUIRE_AUTH", "true");
    Stage {
        of_keys: settings(&[("OIDC_ISSUER", ISSUER), ("AUTH_JWKS_URL", "https://issuer.example/keys"), auth]),
        of_issuer: settings(&[("OIDC_ISSUER", ISSUER), auth]),
        set: json!({"keys": [keys[0].1.jwk()]}).to_string(),
        keys: keys.iter().map(|(name, key)| (*name, key.jwk().to_string(), token(key))).collect(),
    }
}

/// The first byte says what the rest is: a key set (0), or an issuer's document (1). `@ed`, `@ec` and `@rsa` stand for
/// keys.
pub fn run(data: &[u8]) -> Judged {
    let Some((mode, data)) = data.split_first() else { return Judged::NoInput };
    STAGE.with(|cell| {
        let stage = cell.get_or_init(stage);
        if mode % 2 == 0 { key_set(stage, data) } else { document(stage, data) }
    })
}

fn accepts(world: &World, bearer: &Bearer, token: &str) -> bool {
    let authorization = format!("Bearer {token}");
    let headers = [authorization.as_str()];
    let mut presented = Presented::new("GET", "/api/secrets/value");
    presented.authorization = &headers;
    at_once(bearer.authenticate(world, &presented)).is_ok()
}

fn key_set(stage: &Stage, data: &[u8]) -> Judged {
    let mut body = data.to_vec();
    if let Ok(text) = std::str::from_utf8(data) {
        let filled = stage.keys.iter().fold(text.to_owned(), |text, (name, key, _)| text.replace(name, key));
        body = filled.into_bytes();
    }
    let held = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let world = World::new(move |_, _| answer(200, &body));
    let bearer = Bearer::new(&stage.of_keys);
    for (_, key, token) in &stage.keys {
        if accepts(&world, &bearer, token) {
            let key: Value = serde_json::from_str(key).expect("the key is JSON");
            let set = held["keys"].as_array().expect("the set has keys");
            let is_it = |there: &Value| {
                ["kty", "crv", "x", "y", "n", "e"]
                    .iter()
                    .all(|name| key[name] == there[name] || key.get(name).is_none())
            };
            assert!(set.iter().any(is_it), "a token was accepted whose key is not in the set");
        }
    }
    Judged::Worth
}

fn document(stage: &Stage, data: &[u8]) -> Judged {
    let (body, set) = (data.to_vec(), stage.set.clone());
    let world = World::new(move |request, _| {
        let is_document = request.target() == "/.well-known/openid-configuration";
        answer(200, if is_document { &body } else { set.as_bytes() })
    });
    let bearer = Bearer::new(&stage.of_issuer);
    let token = &stage.keys[0].2;
    if accepts(&world, &bearer, token) {
        let said: Value = serde_json::from_slice(data).expect("the document is JSON");
        assert_eq!(said["issuer"], ISSUER);
    }
    for address in world.asked() {
        let read = url::Url::parse(&address).expect("what is asked for is an address");
        assert_eq!(read.scheme(), "https", "keys come over TLS");
        assert!(read.username().is_empty() && read.password().is_none() && read.fragment().is_none());
    }
    Judged::Worth
}
