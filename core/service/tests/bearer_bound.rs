//! Tokens that are bound to a key: proofs of possession (RFC 9449) and client certificates (RFC 8705), and every way in
//! which neither is proved.

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

use baokit_service::bearer::{Authenticated, Bearer, Presented, certificate};
use baokit_service::caller::SenderKey;
use baokit_service::{Code, Result};
use base64ct::{Base64, Encoding};
use keys::{Key, hash, with, without};
use serde_json::{Value, json};
use world::{START, World, claims, refusal, settings};

const PUBLIC: (&str, &str) = ("SECRETS_PUBLIC_URL", "https://api.example/crud");

fn world() -> World {
    World::new([Key::ec(1).jwk_with(json!({"kid": "k1"}))])
}

fn service() -> Bearer {
    Bearer::new(&settings(&[PUBLIC]))
}

/// A token that is bound to this key.
fn bound_to(key: &Key) -> String {
    Key::ec(1).token("k1", &with(claims(), json!({"cnf": {"jkt": key.thumbprint()}})))
}

fn proof_header(key: &Key) -> Value {
    json!({"typ": "dpop+jwt", "alg": key.alg(), "jwk": key.jwk()})
}

fn proof_claims(token: &str) -> Value {
    json!({
        "jti": "p1", "htm": "GET", "htu": "https://api.example/crud/api/secrets/value", "iat": START,
        "ath": hash(token.as_bytes()),
    })
}

fn show(bearer: &Bearer, token: &str, proofs: &[&str]) -> Result<Authenticated> {
    let header = format!("DPoP {token}");
    let authorization = [header.as_str()];
    let mut presented = Presented::new("GET", "/api/secrets/value?uri=x");
    presented.authorization = &authorization;
    presented.dpop = proofs;
    let world = world();
    world.run(bearer.authenticate(&world, &presented))
}

#[test]
fn a_bound_token_with_its_proof_is_accepted() {
    for key in [Key::ec(7), Key::ed(7), Key::rsa()] {
        let token = bound_to(&key);
        let proof = key.sign(&proof_header(&key), &proof_claims(&token));
        let authenticated = show(&service(), &token, &[&proof]).unwrap();
        let used = authenticated.proof.unwrap();
        assert_eq!((used.jkt.as_str(), used.jti.as_str()), (key.thumbprint().as_str(), "p1"));
        assert_eq!(used.until, Duration::from_secs(START + 60));
        assert_eq!(authenticated.caller.sender_key, Some(SenderKey::Jkt(key.thumbprint())));
    }
}

#[test]
fn every_other_proof_is_refused() {
    let key = Key::ec(7);
    let token = bound_to(&key);
    let header = |members: Value| key.sign(&with(proof_header(&key), members), &proof_claims(&token));
    let claim = |members: Value| key.sign(&proof_header(&key), &with(proof_claims(&token), members));
    let lacks = |name: &str| key.sign(&proof_header(&key), &without(proof_claims(&token), name));
    let good = claim(json!({}));
    let (input, signature) = good.rsplit_once('.').unwrap();
    let none = header(json!({"alg": "none"}));
    let private = with(key.jwk(), json!({"d": "AAAA"}));
    let symmetric = json!({"kty": "oct", "k": "AAAA"});
    let weak = json!({"kty": "RSA", "n": keys::encode(&[&[0x80; 127][..], &[1]].concat()), "e": "AQAB"});
    let at = |iat: u64| claim(json!({"iat": iat}));
    let url = |htu: &str| claim(json!({"htu": htu}));
    let cases = [
        (header(json!({"typ": "JWT"})), "typ"),
        (key.sign(&without(proof_header(&key), "typ"), &proof_claims(&token)), "typ"),
        (none, "none"),
        (header(json!({"alg": "HS256"})), "shared secret"),
        (header(json!({"alg": "RS256"})), "signature"),
        (key.sign(&without(proof_header(&key), "jwk"), &proof_claims(&token)), "jwk"),
        (header(json!({"jwk": "x"})), "jwk"),
        (header(json!({"jwk": private})), "private"),
        (header(json!({"jwk": symmetric})), "jwk"),
        (header(json!({"jwk": weak, "alg": "RS256"})), "2048"),
        (header(json!({"jwk": Key::ec(8).jwk()})), "signature"),
        (header(json!({"jku": "https://evil.example"})), "jku"),
        (header(json!({"crit": ["x"]})), "crit"),
        (format!("{input}.{}", &signature[..80]), "signature"),
        (format!("{good}."), "parts"),
        (format!("{good}, {good}"), "parts"),
        (format!("{good}="), "base64url"),
        (String::new(), "JWT"),
        ("x".repeat(8 * 1024 + 1), "8 KiB"),
        (claim(json!({"htm": "POST"})), "htm"),
        (claim(json!({"htm": "get"})), "htm"),
        (lacks("htm"), "htm"),
        (lacks("htu"), "htu"),
        (url("https://api.example/crud/api/secrets"), "htu"),
        (url("http://api.example/crud/api/secrets/value"), "htu"),
        (url("https://evil.example/crud/api/secrets/value"), "htu"),
        (url("https://api.example/api/secrets/value"), "htu"),
        (url("https://api.example:444/crud/api/secrets/value"), "htu"),
        (url("/crud/api/secrets/value"), "htu"),
        (claim(json!({"ath": hash(b"another")})), "ath"),
        (lacks("ath"), "ath"),
        (at(START - 60), "iat"),
        (at(START + 61), "iat"),
        (claim(json!({"iat": "1"})), "iat"),
        (lacks("iat"), "iat"),
        (claim(json!({"jti": ""})), "jti"),
        (claim(json!({"jti": "x".repeat(257)})), "jti"),
        (claim(json!({"jti": 1})), "jti"),
        (lacks("jti"), "jti"),
        (key.sign_texts(&proof_header(&key).to_string(), r#"{"jti":"a","jti":"b"}"#), "twice"),
    ];
    for (proof, reason) in &cases {
        let (code, text) = refusal(show(&service(), &token, &[proof]));
        assert_eq!(code, Code::ProofInvalid, "{text}");
        assert!(text.contains(reason), "{text} does not say {reason}");
    }
    for good in [
        at(START - 59),
        at(START + 60),
        url("HTTPS://API.example:443/crud/api/secrets/valu%65?uri=y#z"),
        header(json!({"typ": "DPoP+JWT"})),
    ] {
        assert!(show(&service(), &token, &[&good]).is_ok());
    }

    for proofs in [&[][..], &[good.as_str(), good.as_str()]] {
        assert_eq!(refusal(show(&service(), &token, proofs)).0, Code::ProofInvalid);
    }
    // Without a public URL there is nothing to compare with, least of all what the caller sends as Host.
    let (code, text) = refusal(show(&Bearer::new(&settings(&[])), &token, &[&good]));
    assert!(code == Code::ProofInvalid && text.contains("SECRETS_PUBLIC_URL is not set"), "{text}");
}

#[test]
fn a_token_is_sent_as_what_it_is() {
    let key = Key::ec(7);
    let token = bound_to(&key);
    let proof = key.sign(&proof_header(&key), &proof_claims(&token));
    // Bound, and sent as a bearer: with the proof or without.
    let header = format!("Bearer {token}");
    for proofs in [&[][..], &[proof.as_str()]] {
        let authorization = [header.as_str()];
        let mut presented = Presented::new("GET", "/api/secrets/value");
        presented.authorization = &authorization;
        presented.dpop = proofs;
        let world = world();
        assert_eq!(refusal(world.run(service().authenticate(&world, &presented))).0, Code::ProofInvalid);
    }
    // Not bound, and sent as if it were.
    let plain = Key::ec(1).token("k1", &claims());
    let proof = key.sign(&proof_header(&key), &proof_claims(&plain));
    let (code, text) = refusal(show(&service(), &plain, &[&proof]));
    assert!(code == Code::TokenInvalid && text.contains("cnf.jkt"), "{text}");
    // A proof of another key, which is right in itself.
    let other = Key::ec(8);
    let proof = other.sign(&proof_header(&other), &proof_claims(&token));
    assert_eq!(refusal(show(&service(), &token, &[&proof])).0, Code::SenderKeyMismatch);
}

/// The shortest DER that looks like a certificate, told apart by its last byte.
fn der(number: u8) -> Vec<u8> {
    vec![0x30, 3, 2, 1, number]
}

fn bound_to_certificate(number: u8) -> String {
    Key::ec(1).token("k1", &with(claims(), json!({"cnf": {"x5t#S256": hash(&der(number))}})))
}

#[test]
fn a_certificate_is_the_one_of_the_token() {
    let show = |token: &str, certificate: Option<&SenderKey>| {
        let header = format!("Bearer {token}");
        let authorization = [header.as_str()];
        let mut presented = Presented::new("GET", "/");
        presented.authorization = &authorization;
        presented.certificate = certificate;
        let world = world();
        world.run(service().authenticate(&world, &presented))
    };
    let settings = settings(&[]);
    let of = |number| certificate::of_request(&settings, Some(&der(number)), None, &[]).unwrap();
    let token = bound_to_certificate(1);
    assert_eq!(show(&token, of(1).as_ref()).unwrap().caller.sender_key, of(1));
    let wrong = SenderKey::Jkt(hash(&der(1)));
    for certificate in [None, of(2).as_ref(), Some(&wrong)] {
        assert_eq!(refusal(show(&token, certificate)).0, Code::SenderKeyMismatch);
    }
    // A certificate that the token does not ask for binds nothing.
    assert_eq!(show(&Key::ec(1).token("k1", &claims()), of(1).as_ref()).unwrap().caller.sender_key, None);

    // Bound to both: both are proved.
    let key = Key::ec(7);
    let both = json!({"cnf": {"jkt": key.thumbprint(), "x5t#S256": hash(&der(1))}});
    let token = Key::ec(1).token("k1", &with(claims(), both));
    let proof = key.sign(&proof_header(&key), &proof_claims(&token));
    assert_eq!(refusal(self::show(&service(), &token, &[&proof])).0, Code::SenderKeyMismatch);
    assert_eq!(refusal(show(&token, of(1).as_ref())).0, Code::ProofInvalid);
}

#[test]
fn the_mode_asks_for_a_binding() {
    let key = Key::ec(7);
    let certificate = SenderKey::CertificateThumbprint(hash(&der(1)));
    for (mode, plain, dpop, mtls) in [
        ("bearer", true, true, true),
        ("dpop", false, true, false),
        ("mtls", false, false, true),
        ("bound", false, true, true),
    ] {
        let bearer = Bearer::new(&settings(&[PUBLIC, ("INBOUND_AUTH_MODE", mode)]));
        let token = bound_to(&key);
        let proof = key.sign(&proof_header(&key), &proof_claims(&token));
        assert_eq!(show(&bearer, &token, &[&proof]).is_ok(), dpop, "{mode}");
        for (token, fits) in [(Key::ec(1).token("k1", &claims()), plain), (bound_to_certificate(1), mtls)] {
            let header = format!("Bearer {token}");
            let authorization = [header.as_str()];
            let mut presented = Presented::new("GET", "/");
            presented.authorization = &authorization;
            presented.certificate = Some(&certificate);
            let world = world();
            let result = world.run(bearer.authenticate(&world, &presented));
            assert_eq!(result.is_ok(), fits, "{mode}");
            assert!(result.err().is_none_or(|error| error.to_string().contains("INBOUND_AUTH_MODE")));
        }
    }
}

/// RFC 8705, appendix A.
const CERTIFICATE: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx\n\
    ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG\n\
    SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ\n\
    /Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID\n\
    SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV\n\
    bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";
const THUMBPRINT: &str = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";

#[test]
fn the_certificate_of_rfc_8705_is_read_in_every_form() {
    let settings = settings(&[("FORWARDED_CLIENT_CERT_HEADER", "Client-Cert"), ("TRUSTED_PROXY_CIDRS", "10.0.0.0/8")]);
    let peer = "10.1.2.3".parse().ok();
    let expected = Ok(Some(THUMBPRINT.to_owned()));
    let read = |header: &str| {
        let key = certificate::of_request(&settings, None, peer, &[header]);
        key.map(|key| key.map(|key| key.thumbprint().to_owned())).map_err(|error| error.code())
    };
    let body: String = CERTIFICATE.split_whitespace().collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{CERTIFICATE}\n-----END CERTIFICATE-----\n");
    let escaped = |text: &str, keep: &str| -> String {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || keep.as_bytes().contains(byte);
        let write = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        text.bytes().map(write).collect()
    };
    for header in [
        format!(":{body}:"),
        format!("  :{body}:\t"),
        body.clone(),
        format!("{body},{body}"),
        format!("{body},garbage that is the chain's"),
        escaped(&body, ""),
        pem.clone(),
        pem.replace('\n', " "),
        pem.replace('\n', "\n\t"),
        pem.replace('\n', ""),
        escaped(&pem, "-_.~"),
        escaped(&pem, "-_.~+=/"),
        escaped(&format!("{pem}{pem}"), "-"),
    ] {
        assert_eq!(read(&header), expected, "{header}");
    }
    for header in ["", " ", "::", "(null)"] {
        assert_eq!(read(header), Ok(None), "{header:?}");
    }
    let bytes = Base64::decode_vec(&body).unwrap();
    let encode = |bytes: &[u8]| format!(":{}:", Base64::encode_string(bytes));
    for header in [
        format!(":{body}"),
        format!(":{body}:, :{body}:"),
        format!(":{body}:;x=1"),
        format!(":{}:", body.trim_end_matches('=')),
        format!("-----BEGIN CERTIFICATE-----{body}"),
        format!("%zz{body}"),
        format!("{body}%2"),
        format!("Hash=aa;Cert=\"{body}\""),
        format!("{body}Ä"),
        encode(&bytes[..bytes.len() - 1]),
        encode(&[bytes.as_slice(), &[0]].concat()),
        encode(&[0x30]),
        encode(&[0x30, 0x80, 0, 0]),
        encode(&[0x30, 0x84, 0, 0, 0, 0]),
        encode(&[4, 1, 1]),
        "A".repeat(32 * 1024 + 1),
    ] {
        assert_eq!(read(&header), Err(Code::InvalidRequest), "{header}");
    }
    let direct = certificate::of_request(&settings, Some(&bytes), None, &[]).unwrap().unwrap();
    assert_eq!(direct, SenderKey::CertificateThumbprint(THUMBPRINT.to_owned()));
    assert!(certificate::of_request(&settings, Some(b"no DER"), None, &[]).is_err());
}

#[test]
fn the_header_counts_from_a_trusted_proxy_alone() {
    let settings =
        settings(&[("FORWARDED_CLIENT_CERT_HEADER", "Client-Cert"), ("TRUSTED_PROXY_CIDRS", "10.0.0.0/8, fd00::/8")]);
    let key = |number| Some(SenderKey::CertificateThumbprint(hash(&der(number))));
    let header = format!(":{}:", Base64::encode_string(&der(1)));
    let of = |direct: Option<u8>, peer: &str, headers: &[&str]| {
        let direct = direct.map(der);
        certificate::of_request(&settings, direct.as_deref(), peer.parse().ok(), headers)
    };
    // The connection of a proxy has the proxy's own certificate.
    for peer in ["10.1.2.3", "fd00::1", "::ffff:10.1.2.3"] {
        assert_eq!(of(None, peer, &[&header]).unwrap(), key(1), "{peer}");
        assert_eq!(of(Some(2), peer, &[&header]).unwrap(), key(1), "{peer}");
        assert_eq!(of(Some(2), peer, &[]).unwrap(), None, "{peer}");
        assert_eq!(refusal(of(None, peer, &[&header, &header])).0, Code::InvalidRequest);
    }
    // Whoever else sends it changes nothing, not even with nonsense; an unknown peer is nobody.
    for peer in ["192.0.2.1", "11.0.0.1", "::1", "unknown"] {
        for headers in [&[header.as_str()][..], &["nonsense"], &[&header, &header]] {
            assert_eq!(of(None, peer, headers).unwrap(), None, "{peer}");
            assert_eq!(of(Some(2), peer, headers).unwrap(), key(2), "{peer}");
        }
    }
    // Where no header is configured, none is looked at.
    let plain = world::settings(&[("TRUSTED_PROXY_CIDRS", "10.0.0.0/8")]);
    assert_eq!(certificate::of_request(&plain, None, "10.1.2.3".parse().ok(), &[&header]).unwrap(), None);
}
