//! Access tokens: which are accepted, what is read of them, and every way in which one is refused.

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

use baokit_service::Code;
use baokit_service::bearer::{Bearer, Presented};
use base64ct::{Base64UrlUnpadded, Encoding};
use keys::{Key, encode, with, without};
use serde_json::{Value, json};
use world::{START, World, claims, refusal, service, settings};

/// An issuer with a key of each kind.
fn issuer() -> World {
    World::new([
        Key::rsa().jwk_with(json!({"kid": "rsa", "use": "sig"})),
        Key::ec(1).jwk_with(json!({"kid": "ec", "alg": "ES256", "key_ops": ["verify"]})),
        Key::ed(1).jwk_with(json!({"kid": "ed", "alg": "EdDSA"})),
    ])
}

#[track_caller]
fn refused(token: &str, code: Code, reason: &str) {
    let world = issuer();
    let (found, text) = refusal(world.bearer(&service(), token));
    assert_eq!(found, code, "{text}");
    assert!(text.contains(reason), "{text} does not say {reason}");
    // No part of a token is repeated.
    assert!(token.split('.').all(|part| part.len() < 8 || !text.contains(part)), "{text}");
}

#[track_caller]
fn claims_refused(claims: &Value, reason: &str) {
    refused(&Key::ec(1).token("ec", claims), Code::TokenInvalid, reason);
}

#[test]
fn each_algorithm_is_accepted() {
    let (world, bearer) = (issuer(), service());
    for (key, kid, alg) in [
        (Key::rsa(), "rsa", "RS256"),
        (Key::rsa(), "rsa", "PS256"),
        (Key::ec(1), "ec", "ES256"),
        (Key::ed(1), "ed", "EdDSA"),
        (Key::ed(1), "ed", "Ed25519"),
    ] {
        let token = key.sign(&json!({"alg": alg, "typ": "at+jwt", "kid": kid}), &claims());
        let caller = world.bearer(&bearer, &token).unwrap().caller;
        assert_eq!(caller.subject.as_deref(), Some("alice"), "{alg}");
        // Without a kid, the keys that fit are tried.
        let token = key.sign(&json!({"alg": alg, "typ": "at+jwt"}), &claims());
        assert!(world.bearer(&bearer, &token).is_ok(), "{alg}");
    }
    assert_eq!(
        world.asked(),
        ["https://issuer.example:443/.well-known/openid-configuration", "https://keys.example:443/set?p=1"]
    );
}

#[test]
fn a_caller_is_what_the_token_says() {
    let (world, bearer) = (issuer(), service());
    let authenticated = world.bearer(&bearer, &Key::ec(1).token("ec", &claims())).unwrap();
    assert_eq!(authenticated.proof, None);
    let caller = authenticated.caller;
    assert_eq!(caller.issuer.as_deref(), Some("https://issuer.example"));
    assert_eq!(caller.client_id.as_deref(), Some("cli"));
    assert_eq!(caller.audience, ["crud.secrets"]);
    assert_eq!(caller.scopes.iter().map(String::as_str).collect::<Vec<_>>(), ["secrets.read", "secrets.write"]);
    assert_eq!(caller.token_jti.as_deref(), Some("t1"));
    assert_eq!(caller.expires, Some(START + 3600));
    assert!(caller.token_hash.is_some() && caller.sender_key.is_none());

    let other = without(without(claims(), "client_id"), "scope");
    let other = with(other, json!({"azp": "web", "aud": ["a", "b"], "scp": ["x", "y"], "exp": START as f64 + 9.9}));
    let caller = world.bearer(&bearer, &Key::ec(1).token("ec", &other)).unwrap().caller;
    assert_eq!(caller.client_id.as_deref(), Some("web"));
    assert_eq!(caller.audience, ["a", "b"]);
    assert_eq!(caller.scopes.into_iter().collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(caller.expires, Some(START + 9), "a fraction is cut off");

    // Either claim comes as a text or a list.
    let other = with(without(claims(), "scope"), json!({"scp": "x y"}));
    let caller = world.bearer(&bearer, &Key::ec(1).token("ec", &other)).unwrap().caller;
    assert_eq!(caller.scopes.len(), 2);
    let bare = json!({"iss": world::ISSUER, "exp": START + 1});
    let caller = world.bearer(&bearer, &Key::ec(1).token("ec", &bare)).unwrap().caller;
    assert_eq!((caller.subject(), caller.audience.len(), caller.scopes.len()), ("anonymous", 0, 0));
}

#[test]
fn the_key_says_which_algorithm() {
    // Signed with nothing.
    for alg in ["none", "None", "NONE"] {
        let header = encode(format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"ec"}}"#).as_bytes());
        let payload = encode(claims().to_string().as_bytes());
        refused(&format!("{header}.{payload}."), Code::TokenInvalid, "none");
        refused(&format!("{header}.{payload}.AAAA"), Code::TokenInvalid, "none");
    }
    // A keyed hash, whose key would be the public one.
    refused(&Key::ec(1).sign(&json!({"alg": "HS256", "kid": "rsa"}), &claims()), Code::TokenInvalid, "shared secret");
    refused(&Key::ec(1).sign(&json!({"alg": "RS512", "kid": "rsa"}), &claims()), Code::TokenInvalid, "RS256");
    // The right key, and another algorithm in the header.
    for (alg, kid) in [("RS256", "ec"), ("EdDSA", "ec"), ("ES256", "rsa"), ("ES256", "ed")] {
        let token = Key::ec(1).sign(&json!({"alg": alg, "typ": "at+jwt", "kid": kid}), &claims());
        refused(&token, Code::TokenInvalid, "no such key for the token's alg");
    }
    // A key that is for one of the two alone.
    let world = World::new([Key::rsa().jwk_with(json!({"kid": "rsa", "alg": "PS256"}))]);
    let token = |alg: &str| Key::rsa().sign(&json!({"alg": alg, "kid": "rsa", "typ": "at+jwt"}), &claims());
    assert!(world.bearer(&service(), &token("PS256")).is_ok());
    assert_eq!(refusal(world.bearer(&service(), &token("RS256"))).0, Code::TokenInvalid);
}

#[test]
fn a_token_whose_signature_is_written_in_another_way_is_the_same_token() {
    let (world, bearer) = (issuer(), service());
    let token = Key::ec(1).token("ec", &without(claims(), "jti"));
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = p256::ecdsa::Signature::from_slice(&Base64UrlUnpadded::decode_vec(signature).unwrap()).unwrap();
    let (r, s) = signature.split_scalars();
    let other = p256::ecdsa::Signature::from_scalars(*r, -*s).unwrap();
    let other = format!("{input}.{}", Base64UrlUnpadded::encode_string(&other.to_bytes()));
    assert_ne!(token, other);
    let hash = |token: &str| world.bearer(&bearer, token).unwrap().caller.token_hash.unwrap();
    assert_eq!(hash(&token), hash(&other));
}

#[test]
fn a_signature_is_of_this_text_and_this_key() {
    refused(&Key::ec(2).token("ec", &claims()), Code::TokenInvalid, "signature");
    refused(&Key::ed(2).token("ed", &claims()), Code::TokenInvalid, "signature");
    let good = Key::ec(1).token("ec", &claims());
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = input.split_once('.').unwrap();
    let other = encode(with(claims(), json!({"sub": "root"})).to_string().as_bytes());
    refused(&format!("{header}.{other}.{signature}"), Code::TokenInvalid, "signature");
    // A signature in DER, an empty one, one of zeros, and one that is too long.
    for bytes in [vec![0x30, 6, 2, 1, 1, 2, 1, 1], vec![], vec![0; 64], vec![1; 65]] {
        refused(&format!("{input}.{}", encode(&bytes)), Code::TokenInvalid, "signature");
    }
    // RSA: a zero in front makes no second signature of the first, and PKCS #1 is not PSS.
    let good = Key::rsa().token("rsa", &claims());
    let (input, signature) = good.rsplit_once('.').unwrap();
    let longer = format!("AAAA{signature}");
    refused(&format!("{input}.{longer}"), Code::TokenInvalid, "signature");
    let (_, payload) = input.split_once('.').unwrap();
    let header = encode(br#"{"alg":"PS256","kid":"rsa","typ":"at+jwt"}"#);
    refused(&format!("{header}.{payload}.{signature}"), Code::TokenInvalid, "signature");
}

#[test]
fn a_header_chooses_no_key() {
    let evil = Key::ec(9);
    for (name, value) in [
        ("jwk", evil.jwk()),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
    ] {
        let header = with(json!({"alg": "ES256", "typ": "at+jwt", "kid": "ec"}), json!({name: value}));
        refused(&evil.sign(&header, &claims()), Code::TokenInvalid, name);
        // Not even where the signature is right.
        refused(&Key::ec(1).sign(&header, &claims()), Code::TokenInvalid, name);
    }
    let header = |kid: Value| json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
    for kid in [json!(1), json!(""), json!("k".repeat(257)), json!(null), json!(["ec"])] {
        refused(&Key::ec(1).sign(&header(kid), &claims()), Code::TokenInvalid, "kid");
    }
    // A key id is compared, and leads nowhere; one that is not plain is not shown.
    for kid in ["../../etc/passwd", "ec\n", "EC", "https://evil.example", "x' OR 1=1"] {
        let token = Key::ec(1).sign(&header(json!(kid)), &claims());
        let (code, text) = refusal(issuer().bearer(&service(), &token));
        assert_eq!(code, Code::TokenInvalid);
        assert!(text.contains("has no key with its kid"), "{text}");
        assert_eq!(text.contains(kid), kid == "EC", "{text}");
    }
}

#[test]
fn a_token_has_one_reading() {
    let good = Key::ec(1).token("ec", &claims());
    assert!(issuer().bearer(&service(), &good).is_ok());
    let (input, signature) = good.rsplit_once('.').unwrap();
    for text in [
        format!("{good}="),
        format!("{good}=="),
        format!("{good}."),
        format!("{good}.AAAA"),
        format!("{good}.AAAA.AAAA"),
        format!("{good}\n"),
        format!("{good}, {good}"),
        format!("{input} .{signature}"),
        format!("{input}=.{signature}"),
        format!(".{good}"),
        "opaque".to_owned(),
        "a.b.c".to_owned(),
        "..".to_owned(),
    ] {
        let (code, _) = refusal(issuer().bearer(&service(), &text));
        assert_eq!(code, Code::TokenInvalid, "{text}");
    }
    // Bits of the last character that do not count.
    let last = signature.chars().last().unwrap();
    let twin = char::from(if last == 'A' { b'B' } else { last as u8 + 1 });
    let twin = format!("{input}.{}{twin}", &signature[..signature.len() - 1]);
    assert_eq!(refusal(issuer().bearer(&service(), &twin)).0, Code::TokenInvalid);

    let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"ec"}"#;
    let payload = claims().to_string();
    let sign = |header: &str, payload: &str| Key::ec(1).sign_texts(header, payload);
    refused(&sign(r#"{"alg":"none","alg":"ES256","kid":"ec"}"#, &payload), Code::TokenInvalid, "twice");
    let doubled = payload.replacen('{', r#"{"sub":"root","#, 1);
    refused(&sign(header, &doubled), Code::TokenInvalid, "twice");
    let nested = payload.replacen('{', r#"{"cnf":{"jkt":"a","jkt":"b"},"#, 1);
    refused(&sign(header, &nested), Code::TokenInvalid, "twice");
    refused(&sign(header, &format!("{payload}{payload}")), Code::TokenInvalid, "JSON");
    refused(&sign(header, "[1]"), Code::TokenInvalid, "object");
    let long = with(claims(), json!({"x": "x".repeat(16 * 1024)}));
    refused(&Key::ec(1).token("ec", &long), Code::TokenInvalid, "16 KiB");
}

#[test]
fn only_access_tokens_are_access_tokens() {
    let (world, bearer) = (issuer(), service());
    let typed = |typ: Value, claims: &Value| Key::ec(1).sign(&json!({"alg": "ES256", "kid": "ec", "typ": typ}), claims);
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt"] {
        assert!(world.bearer(&bearer, &typed(json!(typ), &claims())).is_ok(), "{typ}");
    }
    let keycloak = with(claims(), json!({"typ": "Bearer"}));
    assert!(world.bearer(&bearer, &typed(json!("JWT"), &keycloak)).is_ok());
    assert!(world.bearer(&bearer, &Key::ec(1).sign(&json!({"alg": "ES256", "kid": "ec"}), &claims())).is_ok());

    for typ in [json!("dpop+jwt"), json!("logout+jwt"), json!("id+jwt"), json!(1), json!(null)] {
        let (code, text) = refusal(world.bearer(&bearer, &typed(typ, &claims())));
        assert!(code == Code::TokenInvalid && text.contains("typ"), "{text}");
    }
    for (name, value) in [
        ("nonce", json!("n")),
        ("at_hash", json!("h")),
        ("c_hash", json!("h")),
        ("s_hash", json!("h")),
        ("events", json!({})),
        ("typ", json!("ID")),
        ("typ", json!("Refresh")),
        ("typ", json!(1)),
    ] {
        let (code, text) = refusal(world.bearer(&bearer, &typed(json!("JWT"), &with(claims(), json!({name: value})))));
        assert!(code == Code::TokenInvalid && text.contains(name), "{name}: {text}");
    }
}

#[test]
fn time_and_issuer_are_checked() {
    let with = |members| with(claims(), members);
    refused(&Key::ec(1).token("ec", &with(json!({"exp": START}))), Code::TokenExpired, "exp");
    refused(&Key::ec(1).token("ec", &with(json!({"exp": 0}))), Code::TokenExpired, "exp");
    for exp in [json!(null), json!("1900000000"), json!(-1), json!(1e300), json!([1])] {
        claims_refused(&with(json!({"exp": exp})), "exp");
    }
    claims_refused(&without(claims(), "exp"), "exp");
    claims_refused(&with(json!({"nbf": START + 61})), "nbf");
    claims_refused(&with(json!({"iat": START + 61})), "iat");
    claims_refused(&with(json!({"nbf": "x"})), "nbf");
    for issuer in ["https://issuer.example/", "https://ISSUER.example", "https://evil.example", ""] {
        claims_refused(&with(json!({"iss": issuer})), "iss");
    }
    claims_refused(&without(claims(), "iss"), "iss");

    let (world, bearer) = (issuer(), service());
    let token = Key::ec(1).token("ec", &with(json!({"nbf": START + 60, "iat": START + 60, "exp": START + 90})));
    assert!(world.bearer(&bearer, &token).is_ok(), "a minute of leeway");
    world.pass(89);
    assert!(world.bearer(&bearer, &token).is_ok());
    world.pass(1);
    assert_eq!(refusal(world.bearer(&bearer, &token)).0, Code::TokenExpired, "none for the end, seen before or not");
}

#[test]
fn claims_are_of_their_kind_and_bounded() {
    let with = |members| with(claims(), members);
    let many = |count: usize| (0..count).map(|number| format!("s{number}")).collect::<Vec<_>>();
    for sub in [json!(1), json!(null), json!(""), json!("a\nb"), json!("x".repeat(2049))] {
        claims_refused(&with(json!({"sub": sub})), "sub");
    }
    for aud in [json!([]), json!([1]), json!(null), json!({}), json!(""), json!(many(65))] {
        claims_refused(&with(json!({"aud": aud})), "aud");
    }
    for scope in [json!(1), json!([1]), json!(null), json!(many(65)), json!(many(65).join(" "))] {
        claims_refused(&with(json!({"scope": scope})), "scope");
    }
    for cnf in [json!(1), json!({}), json!({"kid": "x"}), json!({"jkt": "short"}), json!({"x5t#S256": 1})] {
        claims_refused(&with(json!({"cnf": cnf})), "cnf");
    }
    claims_refused(&with(json!({"client_id": 1})), "client_id");
    claims_refused(&with(json!({"jti": 1})), "jti");
    let token = Key::ec(1).token("ec", &with(json!({"aud": many(64), "scope": many(64)})));
    assert_eq!(issuer().bearer(&service(), &token).unwrap().caller.scopes.len(), 64);
}

#[test]
fn headers_that_hold_no_token() {
    let world = issuer();
    let strict = service();
    let lax = Bearer::new(&settings(&[("SECRETS_API_REQUIRE_AUTH", "false")]));
    let good = Key::ec(1).token("ec", &claims());
    for headers in [&[][..], &["Basic YTpi"], &[""], &["Digest x"]] {
        assert_eq!(refusal(world.show(&strict, headers)).0, Code::TokenMissing, "{headers:?}");
        assert_eq!(world.show(&lax, headers).unwrap().caller.subject(), "anonymous");
    }
    // What could be verified and is wrong makes nobody anonymous.
    let expired = Key::ec(1).token("ec", &with(claims(), json!({"exp": 1})));
    for headers in [
        &["Bearer"][..],
        &["Bearer "],
        &["DPoP"],
        &["Bearer x"],
        &[&format!("Bearer {expired}")],
        &[&format!("Bearer {good}"), &format!("Bearer {good}")],
        &[&format!("Bearer {good}"), "Basic YTpi"],
    ] {
        for bearer in [&strict, &lax] {
            let (code, text) = refusal(world.show(bearer, headers));
            assert!(matches!(code, Code::TokenInvalid | Code::TokenExpired), "{text}");
        }
    }
    for header in [format!("bearer {good}"), format!("BEARER   {good}"), format!(" Bearer {good}\t")] {
        assert_eq!(world.show(&lax, &[&header]).unwrap().caller.subject(), "alice", "{header}");
    }
    // Nobody's tokens count: nobody is believed, and nobody is asked.
    let nobody = Bearer::new(&settings(&[("SECRETS_API_REQUIRE_AUTH", "false"), ("OIDC_ISSUER", "")]));
    let world = issuer();
    assert_eq!(world.bearer(&nobody, &good).unwrap().caller, baokit_service::caller::Caller::anonymous());
    assert!(world.asked().is_empty());
}

#[test]
fn nothing_shows_a_token() {
    let (world, bearer) = (issuer(), service());
    let token = Key::ec(1).token("ec", &claims());
    let header = format!("Bearer {token}");
    let headers = [header.as_str()];
    let mut presented = Presented::new("GET", "/");
    presented.authorization = &headers;
    let authenticated = world.bearer(&bearer, &token).unwrap();
    for shown in [format!("{presented:?}"), format!("{bearer:?}"), format!("{authenticated:?}")] {
        assert!(token.split('.').all(|part| !shown.contains(part)), "{shown}");
    }
}
