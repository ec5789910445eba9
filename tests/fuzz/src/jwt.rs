//! Access tokens: raw text, texts put together from true tokens, and whatever an issuer might sign.

use std::cell::OnceCell;

use baokit_service::bearer::{Bearer, Presented};
use baokit_service::caller::Caller;
use serde_json::{Value, json};

use crate::Judged;
use crate::keys::Key;
use crate::world::{ISSUER, START, World, at_once, settings};

/// The issuer's keys, a service that trusts them, and tokens that it accepts.
struct Stage {
    world: World,
    bearer: Bearer,
    signer: Key,
    stranger: Key,
    tokens: Vec<String>,
}

thread_local!(static STAGE: OnceCell<Stage> = const { OnceCell::new() });

fn stage() -> Stage {
    let keys = [("ed", Key::ed(1)), ("ec", Key::ec(1)), ("rsa", Key::rsa())];
    let set: Vec<Value> = keys.iter().map(|(kid, key)| key.jwk_with(json!({"kid": kid, "use": "sig"}))).collect();
    let set = json!({"keys": set}).to_string();
    let claims = json!({
        "iss": ISSUER, "sub": "alice", "aud": "crud.secrets", "client_id": "cli", "scope": "secrets.read",
        "jti": "t1", "iat": START, "exp": START + 3600,
    });
    let stage = Stage {
        world: World::new(move |_, _| crate::world::json(200, set.as_bytes())),
        bearer: Bearer::new(&settings(&[
            ("OIDC_ISSUER", ISSUER),
            ("AUTH_JWKS_URL", "https://issuer.example/keys"),
            ("SECRETS_API_REQUIRE_AUTH", "true"),
        ])),
        signer: Key::ed(1),
        stranger: Key::ed(2),
        tokens: keys.iter().map(|(kid, key)| key.token(kid, &claims)).collect(),
    };
    for token in &stage.tokens {
        assert!(stage.accepts(token).is_some(), "a true token is accepted");
    }
    stage
}

impl Stage {
    fn accepts(&self, token: &str) -> Option<Caller> {
        let authorization = format!("Bearer {token}");
        let headers = [authorization.as_str()];
        let mut presented = Presented::new("GET", "/api/secrets/value");
        presented.authorization = &headers;
        match at_once(self.bearer.authenticate(&self.world, &presented)) {
            Ok(authenticated) => Some(authenticated.caller),
            Err(error) => {
                assert!(!error.to_string().chars().any(char::is_control), "a control character in an error");
                None
            }
        }
    }
}

/// The first byte says what the rest is: a text (0), a text and one byte that is changed in it (1), or a header and
/// below it a payload, signed by the issuer (2) or by somebody else (3). In texts `@0` stands for the first true token,
/// and `@h0`, `@p0` and `@s0` for its parts.
pub fn run(data: &[u8]) -> Judged {
    let Some((mode, data)) = data.split_first() else { return Judged::NoInput };
    STAGE.with(|cell| {
        let stage = cell.get_or_init(stage);
        match mode % 4 {
            2 | 3 => signed(stage, data, mode % 4 == 2),
            change => match text(data, change == 1, &stage.tokens) {
                None => Judged::NoInput,
                Some(text) => {
                    if stage.accepts(&text).is_some() {
                        let sent = text.trim_matches([' ', '\t']);
                        assert!(stage.tokens.iter().any(|token| token == sent), "a token that nobody made");
                    }
                    Judged::Worth
                }
            },
        }
    })
}

fn signed(stage: &Stage, data: &[u8], by_issuer: bool) -> Judged {
    let Some((header, payload)) = halves(data) else { return Judged::NoInput };
    let key = if by_issuer { &stage.signer } else { &stage.stranger };
    let Some(caller) = stage.accepts(&key.sign_texts(header, payload)) else { return Judged::Worth };
    assert!(by_issuer, "a token of a stranger");
    let header: Value = serde_json::from_str(header).expect("the header is JSON");
    assert_eq!(header["alg"], "EdDSA");
    assert!(["crit", "jku", "x5u", "x5c", "jwk"].iter().all(|name| header.get(name).is_none()));
    let claims: Value = serde_json::from_str(payload).expect("the payload is JSON");
    assert_eq!(claims["iss"], ISSUER);
    assert!(claims["exp"].as_f64().is_some_and(|end| end > START as f64), "it has ended");
    for name in ["nbf", "iat"] {
        let begins = claims.get(name).map(|value| value.as_f64().expect("it is a number"));
        assert!(begins.is_none_or(|begins| begins < START as f64 + 61.0), "{name} lies in the future");
    }
    assert_eq!(caller.subject.as_deref(), claims["sub"].as_str());
    assert_eq!(caller.token_jti.as_deref(), claims["jti"].as_str());
    assert!(claims.get("cnf").is_none(), "it is bound to a key, and none was shown");
    assert_eq!(claims.get("aud").is_some(), !caller.audience.is_empty(), "an audience came or went");
    Judged::Worth
}

/// Header and payload, at the first line's end.
pub(crate) fn halves(data: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(data).ok()?.split_once('\n')
}

/// A text in which true tokens stand where they are named, and, where `change` says so, one byte is another: the
/// first three bytes say where and which.
pub(crate) fn text(data: &[u8], change: bool, tokens: &[String]) -> Option<String> {
    let (edit, data) = if change { data.split_at_checked(3)? } else { data.split_at(0) };
    let mut text = std::str::from_utf8(data).ok()?.to_owned();
    for (number, token) in tokens.iter().enumerate() {
        let mut parts = token.split('.');
        for name in ["h", "p", "s"] {
            text = text.replace(&format!("@{name}{number}"), parts.next().unwrap_or_default());
        }
        text = text.replace(&format!("@{number}"), token);
    }
    if let [high, low, byte] = edit {
        let mut bytes = text.into_bytes();
        let length = bytes.len().max(1);
        *bytes.get_mut(usize::from(u16::from_be_bytes([*high, *low])) % length)? = *byte;
        text = String::from_utf8(bytes).ok()?;
    }
    // No host lets a header with these through.
    (!text.contains(['\0', '\r', '\n'])).then_some(text)
}
