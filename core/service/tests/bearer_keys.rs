//! The issuer's keys on virtual time: when they are fetched, by whom, how long they count, and what is never fetched.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

#[path = "bearer/keys.rs"]
mod keys;
#[path = "bearer/world.rs"]
mod world;

use std::time::Duration;

use baokit_service::Code;
use baokit_service::bearer::{Bearer, Presented};
use keys::{Key, with};
use serde_json::{Value, json};
use world::{World, claims, poll_once, refusal, service, settings};

#[test]
fn requests_may_move_between_threads() {
    fn check<T: Send>(_: &T) {}
    let (world, bearer) = (World::new([]), service());
    let presented = Presented::new("GET", "/");
    check(&bearer.authenticate(&world, &presented));
    check(&&bearer);
}

fn jwk(number: u8) -> Value {
    Key::ec(number).jwk_with(json!({"kid": format!("k{number}")}))
}

fn token(number: u8) -> String {
    Key::ec(number).token(&format!("k{number}"), &claims())
}

#[test]
fn a_thousand_callers_at_the_start_cause_one_fetch() {
    for wakes in [true, false] {
        let (world, bearer) = (World::new([jwk(1)]), service());
        world.state().delay = Duration::from_millis(300);
        world.state().wakes = wakes;
        // Different callers: none is spared by another's token. Twenty tokens, since signing takes its time.
        let headers: Vec<_> = (0..20)
            .map(|number| {
                format!("Bearer {}", Key::ec(1).token("k1", &with(claims(), json!({"jti": number.to_string()}))))
            })
            .collect();
        let headers: Vec<_> = (0..1000).map(|number| [headers[number % 20].as_str()]).collect();
        let presented = headers.iter().map(|headers| {
            let mut presented = Presented::new("GET", "/");
            presented.authorization = headers;
            presented
        });
        let presented: Vec<_> = presented.collect();
        let callers = world.run_all(presented.iter().map(|presented| bearer.authenticate(&world, presented)).collect());
        assert!(callers.iter().all(Result::is_ok));
        assert_eq!(world.fetches(), 1);
        assert_eq!(world.asked().len(), 2, "and one look at the issuer's document");
        assert_eq!(bearer.signatures_checked(), 20);
        // Nobody waited for longer than it took, and a last look.
        assert!(world.state().now <= Duration::from_millis(630));
    }
}

#[test]
fn a_thousand_callers_share_one_failure() {
    let (world, bearer) = (World::new([jwk(1)]), service());
    world.state().down = true;
    let header = format!("Bearer {}", token(1));
    let headers = [header.as_str()];
    let mut presented = Presented::new("GET", "/");
    presented.authorization = &headers;
    for failed in world.run_all((0..1000).map(|_| bearer.authenticate(&world, &presented)).collect()) {
        let error = failed.unwrap_err();
        assert_eq!(error.code(), Code::KeysUnreachable);
        assert!(error.when().is_some_and(|time| time <= Duration::from_secs(5)));
    }
    assert_eq!(world.asked().len(), 1);
    world.state().down = false;
    world.pass(4);
    assert!(world.bearer(&bearer, &token(1)).is_err());
    assert_eq!(world.asked().len(), 1, "not tried again for 5 s");
    world.pass(1);
    assert!(world.bearer(&bearer, &token(1)).is_ok());
}

#[test]
fn a_caller_who_comes_back_costs_no_signature() {
    let (world, bearer) = (World::new([jwk(1)]), service());
    for second in 0..300 {
        assert!(world.bearer(&bearer, &token(1)).is_ok(), "after {second} s");
        world.pass(1);
    }
    assert_eq!(bearer.signatures_checked(), 1);
    assert_eq!(world.fetches(), 10, "keys are fetched anew every 30 s of use");
    assert_eq!(world.asked().len(), 20, "and each time the issuer's document");
}

#[test]
fn a_withdrawn_key_is_out_within_a_minute() {
    for busy in [true, false] {
        let (world, bearer) = (World::new([jwk(1)]), service());
        assert!(world.bearer(&bearer, &token(1)).is_ok());
        world.state().keys = vec![jwk(2)];
        for _ in 0..60 {
            world.pass(1);
            if busy {
                let _ = world.bearer(&bearer, &token(1));
            }
        }
        let (code, text) = refusal(world.bearer(&bearer, &token(1)));
        assert!(code == Code::TokenInvalid && text.contains("no key with its kid (k1)"), "{text}");
        assert!(world.bearer(&bearer, &token(2)).is_ok());
    }
}

#[test]
fn a_verified_token_does_not_outlive_its_key() {
    // The same name, another key: what was verified with the first counts no more.
    let (world, bearer) = (World::new([jwk(1)]), service());
    assert!(world.bearer(&bearer, &token(1)).is_ok());
    world.state().keys = vec![with(jwk(2), json!({"kid": "k1"}))];
    world.pass(60);
    assert!(refusal(world.bearer(&bearer, &token(1))).1.contains("signature"));
    // The same key, for something else.
    for other in [json!({"use": "enc"}), json!({"key_ops": ["sign"]}), json!({"alg": "ES384"}), json!({"kid": "k9"})] {
        let (world, bearer) = (World::new([jwk(1)]), service());
        assert!(world.bearer(&bearer, &token(1)).is_ok());
        world.state().keys = vec![with(jwk(1), other)];
        world.pass(60);
        assert_eq!(refusal(world.bearer(&bearer, &token(1))).0, Code::TokenInvalid);
    }
}

#[test]
fn an_issuer_that_is_away_is_noticed_after_a_minute_and_not_before() {
    let (world, bearer) = (World::new([jwk(1)]), service());
    assert!(world.bearer(&bearer, &token(1)).is_ok());
    world.state().down = true;
    world.pass(59);
    for _ in 0..100 {
        assert!(world.bearer(&bearer, &token(1)).is_ok());
    }
    assert_eq!(world.asked().len(), 3, "one try was made on the way");
    world.pass(1);
    // Whether the key was withdrawn can't be known any more.
    let (code, text) = refusal(world.bearer(&bearer, &token(1)));
    assert!(code == Code::KeysUnreachable && text.contains("issuer.example"), "{text}");
    world.state().down = false;
    world.pass(5);
    assert!(world.bearer(&bearer, &token(1)).is_ok());
}

#[test]
fn an_issuer_that_hangs_holds_up_one_caller_at_a_time() {
    let (world, bearer) = (World::new([jwk(1)]), service());
    assert!(world.bearer(&bearer, &token(1)).is_ok());
    world.state().delay = Duration::from_secs(3600);
    world.pass(30);
    let header = format!("Bearer {}", token(1));
    let headers = [header.as_str()];
    let mut presented = Presented::new("GET", "/");
    presented.authorization = &headers;
    let mut slow = Box::pin(bearer.authenticate(&world, &presented));
    assert!(poll_once(&mut slow).is_pending());
    let before = world.state().now;
    assert!(world.bearer(&bearer, &token(1)).is_ok());
    assert_eq!(world.state().now, before, "the others go on with keys that count");
    assert!(world.run(slow).is_ok());
    assert_eq!(world.state().now, before + Duration::from_secs(5));
    world.pass(30);
    let before = world.state().now;
    let (code, text) = refusal(world.bearer(&bearer, &token(1)));
    assert!(code == Code::KeysUnreachable && text.contains("5 s"), "{text}");
    assert_eq!(world.state().now, before + Duration::from_secs(5));
}

#[test]
fn a_caller_who_goes_away_leaves_the_fetch_to_the_next() {
    let (world, bearer) = (World::new([jwk(1)]), service());
    world.state().delay = Duration::from_secs(1);
    let header = format!("Bearer {}", token(1));
    let headers = [header.as_str()];
    let mut presented = Presented::new("GET", "/");
    presented.authorization = &headers;
    let mut gone = Box::pin(bearer.authenticate(&world, &presented));
    assert!(poll_once(&mut gone).is_pending());
    let mut waits = Box::pin(bearer.authenticate(&world, &presented));
    assert!(poll_once(&mut waits).is_pending());
    drop(gone);
    assert!(world.run(waits).is_ok());
    assert!(world.state().now <= Duration::from_secs(3));

    // One that is held half-way loses its place, and what it brings at last counts no more: it is older.
    let (world, bearer) = (World::new([jwk(1)]), service());
    world.state().delay = Duration::from_secs(1);
    let mut held = Box::pin(bearer.authenticate(&world, &presented));
    assert!(poll_once(&mut held).is_pending());
    world.pass(1);
    assert!(poll_once(&mut held).is_pending(), "it has asked for the keys");
    world.pass(6);
    let mut next = Box::pin(bearer.authenticate(&world, &presented));
    assert!(poll_once(&mut next).is_pending());
    assert!(poll_once(&mut held).is_pending(), "it has its keys, and waits for newer ones");
    world.state().keys = vec![jwk(2)];
    for late in world.run_all(vec![held, next]) {
        assert_eq!(refusal(late).0, Code::TokenInvalid);
    }
    assert!(world.bearer(&bearer, &token(2)).is_ok());
}

#[test]
fn an_unknown_key_id_causes_one_fetch_more_and_one_a_minute() {
    let (world, bearer) = (World::new([jwk(1)]), service());
    // The first request has just had the keys fetched: they are not fetched again for it.
    assert!(refusal(world.bearer(&bearer, &token(2))).1.contains("k2"));
    assert_eq!(world.fetches(), 1);
    // A new key is known at once.
    world.state().keys = vec![jwk(1), jwk(2)];
    assert!(world.bearer(&bearer, &token(2)).is_ok());
    assert_eq!(world.fetches(), 2);
    // Keys that nobody has cause nothing more, whoever asks, and however often.
    let others: Vec<_> = (0..20).map(|number| Key::ec(1).token(&format!("x{number}"), &claims())).collect();
    for other in &others {
        assert_eq!(refusal(world.bearer(&bearer, other)).0, Code::TokenInvalid);
    }
    assert_eq!(world.fetches(), 2);
    assert!(world.bearer(&bearer, &token(1)).is_ok());
    for second in 0..600 {
        world.pass(1);
        assert_eq!(refusal(world.bearer(&bearer, &others[second % 20])).0, Code::TokenInvalid);
    }
    // In ten minutes: every 30 s at most, and one a minute at most.
    assert!(world.fetches() <= 2 + 20 + 10, "{}", world.fetches());
    // A thousand at once are one.
    world.pass(29);
    assert!(world.bearer(&bearer, &token(1)).is_ok());
    let before = world.fetches();
    world.pass(29);
    world.state().keys.push(jwk(3));
    world.state().delay = Duration::from_millis(50);
    let header = format!("Bearer {}", token(3));
    let headers = [header.as_str()];
    let mut presented = Presented::new("GET", "/");
    presented.authorization = &headers;
    let callers = world.run_all((0..1000).map(|_| bearer.authenticate(&world, &presented)).collect());
    assert!(callers.iter().all(Result::is_ok));
    assert_eq!(world.fetches(), before + 1);
    // The issuer is away: the caller hears so, instead of that the token is wrong.
    let (world, bearer) = (World::new([jwk(1)]), service());
    assert!(world.bearer(&bearer, &token(1)).is_ok());
    world.state().down = true;
    assert_eq!(refusal(world.bearer(&bearer, &token(2))).0, Code::KeysUnreachable);
    assert!(world.bearer(&bearer, &token(1)).is_ok(), "which harms nobody else");
}

#[test]
fn a_key_set_is_read_with_care() {
    let unusable = [
        json!({"kty": "oct", "k": "AAAA", "kid": "k1"}),
        json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "k1"}),
        json!({"kty": "new", "kid": "k1"}),
        json!({"kid": "k1"}),
        json!("text"),
        with(jwk(1), json!({"d": "AAAA"})),
        with(jwk(1), json!({"use": "enc"})),
        with(jwk(1), json!({"key_ops": ["sign"]})),
        with(jwk(1), json!({"key_ops": "verify"})),
        with(jwk(1), json!({"alg": "ES384"})),
        with(jwk(1), json!({"alg": "RS256"})),
        with(jwk(1), json!({"kty": "OKP"})),
        with(jwk(1), json!({"x": "AAAA"})),
        with(jwk(1), json!({"y": keys::encode(&[1; 32])})),
        with(jwk(1), json!({"kid": 1})),
    ];
    let world = World::new(unusable.clone());
    assert!(refusal(world.bearer(&service(), &token(1))).1.contains("no key"));
    // They don't hide the one that can be used.
    let world = World::new(unusable.into_iter().chain([jwk(1)]));
    assert!(world.bearer(&service(), &token(1)).is_ok());
    // Of several with one name, four are tried.
    let named = |number: u8| with(jwk(number), json!({"kid": "k1"}));
    assert!(World::new([4, 3, 2, 1].map(named)).bearer(&service(), &token(1)).is_ok());
    assert!(World::new([5, 4, 3, 2, 1].map(named)).bearer(&service(), &token(1)).is_err());
    // No keys: all were withdrawn.
    assert_eq!(refusal(World::new([]).bearer(&service(), &token(1))).0, Code::TokenInvalid);
    assert_eq!(refusal(World::new((0..101).map(|_| jwk(1))).bearer(&service(), &token(1))).0, Code::KeysUnreachable);

    for body in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, &" ".repeat(256 * 1024 + 1)] {
        let world = World::new([]);
        world.state().body = Some(body.to_owned());
        assert_eq!(refusal(world.bearer(&service(), &token(1))).0, Code::KeysUnreachable, "{}", body.len());
    }
    for status in [204, 302, 307, 404, 500] {
        let world = World::new([jwk(1)]);
        world.state().status = status;
        let (code, text) = refusal(world.bearer(&service(), &token(1)));
        assert!(code == Code::KeysUnreachable && text.contains("issuer.example"), "{text}");
        assert_eq!(world.asked().len(), 1);
    }
}

#[test]
fn weak_and_huge_rsa_keys_count_for_nothing() {
    for (bits, fits) in [(1024, false), (2040, false), (2048, true), (4096, true), (4104, false), (16_384, false)] {
        let mut modulus = vec![0x80; bits / 8];
        modulus[bits / 8 - 1] = 1;
        let jwk = json!({"kty": "RSA", "kid": "r", "n": keys::encode(&modulus), "e": "AQAB"});
        let token = Key::rsa().token("r", &claims());
        let (_, text) = refusal(World::new([jwk]).bearer(&service(), &token));
        // A key that counts is tried, and one that does not is not there.
        assert_eq!(text.contains("its signature"), fits, "{bits}: {text}");
    }
    for e in ["AQ", "Ag", "AAEAAQ", "__________8", "", "////"] {
        let jwk = Key::rsa().jwk_with(json!({"kid": "r", "e": e}));
        let (_, text) = refusal(World::new([jwk]).bearer(&service(), &Key::rsa().token("r", &claims())));
        assert!(text.contains("no key"), "{e}: {text}");
    }
}

#[test]
fn discovery_leads_nowhere_but_to_the_issuers_keys() {
    for document in [
        json!({"jwks_uri": "https://keys.example/set?p=1"}),
        json!({"issuer": "https://issuer.example/", "jwks_uri": "https://keys.example/set?p=1"}),
        json!({"issuer": "https://evil.example", "jwks_uri": "https://keys.example/set?p=1"}),
        json!({"issuer": world::ISSUER}),
        json!({"issuer": world::ISSUER, "jwks_uri": 1}),
        json!({"issuer": world::ISSUER, "jwks_uri": "http://keys.example/set"}),
        json!({"issuer": world::ISSUER, "jwks_uri": "http://127.0.0.1/set"}),
        json!({"issuer": world::ISSUER, "jwks_uri": "https://user:word@keys.example/set"}),
        json!({"issuer": world::ISSUER, "jwks_uri": "https://keys.example/set#x"}),
        json!({"issuer": world::ISSUER, "jwks_uri": "https://keys.example/set?p=1 HTTP/1.1"}),
        json!({"issuer": world::ISSUER, "jwks_uri": "file:///etc/passwd"}),
        json!({"issuer": world::ISSUER, "jwks_uri": "/set"}),
        json!([]),
    ] {
        let world = World::new([jwk(1)]);
        world.state().document = document.clone();
        let (code, text) = refusal(world.bearer(&service(), &token(1)));
        assert_eq!(code, Code::KeysUnreachable, "{document}: {text}");
        assert_eq!(world.asked().len(), 1, "{document}");
    }
    // A configured address needs no discovery, and its issuer is checked none the less.
    let at = ("AUTH_JWKS_URL", "https://keys.example/set");
    let world = World::new([]);
    world.state().body = Some(json!({"keys": [jwk(1)]}).to_string());
    assert!(world.bearer(&Bearer::new(&settings(&[at])), &token(1)).is_ok());
    assert_eq!(world.asked(), ["https://keys.example:443/set"]);
    let other = Key::ec(1).token("k1", &with(claims(), json!({"iss": "https://other.example"})));
    assert!(refusal(world.bearer(&Bearer::new(&settings(&[at])), &other)).1.contains("iss"));
    // Without a configured issuer, whoever has the keys is one.
    let any = Bearer::new(&settings(&[at, ("OIDC_ISSUER", "")]));
    let caller = world.bearer(&any, &other).unwrap().caller;
    assert_eq!(caller.issuer.as_deref(), Some("https://other.example"));
    // On this machine, http will do.
    let local = Bearer::new(&settings(&[("OIDC_ISSUER", "http://localhost:8080/realms/x")]));
    let world = World::new([]);
    assert!(world.bearer(&local, &token(1)).is_err());
    assert_eq!(world.asked(), ["http://localhost:8080/realms/x/.well-known/openid-configuration"]);
}

#[test]
fn keys_that_were_withdrawn_by_moving_their_address_count_for_a_minute() {
    let (old, new) = (Key::ed(1), Key::ed(2));
    let world = World::new([old.jwk_with(json!({"kid": "k1"}))]);
    let bearer = service();
    let token = old.token("k1", &claims());
    world.bearer(&bearer, &token).unwrap();
    // The old address goes on to answer with the key that was withdrawn.
    world.state().document["jwks_uri"] = json!("https://keys.example/moved");
    world.state().moved = vec![new.jwk_with(json!({"kid": "k1"}))];
    for _ in 0..7 {
        world.pass(10);
        let _ = world.bearer(&bearer, &token);
    }
    assert_eq!(refusal(world.bearer(&bearer, &token)).0, Code::TokenInvalid);
    world.bearer(&bearer, &new.token("k1", &claims())).unwrap();
}
