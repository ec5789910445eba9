//! The examples of the RFCs, and what can't be seen from outside: how much is kept.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::claims::Claims;
use super::dpop::{Expected, UsedProof, verify};
use super::jwk::Key;
use super::jws::{Jws, encode};
use super::verified::{Cache, Verified};
use crate::settings::Endpoint;
use crate::{Code, Result};

/// RFC 9449, section 4.1.
const AT_TOKEN_ENDPOINT: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
/// RFC 9449, section 7.1: the proof, and the access token that it is for.
const AT_RESOURCE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
/// RFC 9449, section 6.1.
const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => panic!("no object"),
    }
}

fn at_resource(path: &str, token: &str, wall: u64) -> Result<UsedProof> {
    let public = Endpoint::parse("https://resource.example.org").unwrap();
    let wall = Duration::from_secs(wall);
    verify(&[AT_RESOURCE], &Expected { token, method: "GET", path, public: Some(&public), wall })
}

#[test]
fn the_proof_of_rfc_9449_at_a_resource() {
    let used = at_resource("/protectedresource", TOKEN, 1_562_262_618).unwrap();
    assert_eq!((used.jkt.as_str(), used.jti.as_str()), (JKT, "e1j3V_bKic8-LAEB"));
    assert_eq!(used.until, Duration::from_secs(1_562_262_678));
    assert!(at_resource("/protectedresource", TOKEN, 1_562_262_677).is_ok());
    for (path, token, wall) in [
        ("/another", TOKEN, 1_562_262_618),
        ("/protectedresource", "another", 1_562_262_618),
        ("/protectedresource", TOKEN, 1_562_262_678),
        ("/protectedresource", TOKEN, 1_562_262_557),
    ] {
        assert_eq!(at_resource(path, token, wall).unwrap_err().code(), Code::ProofInvalid);
    }
}

#[test]
fn the_proof_of_rfc_9449_at_a_token_endpoint() {
    let jws = Jws::parse(AT_TOKEN_ENDPOINT).unwrap();
    let key = Key::parse(jws.header["jwk"].as_object().unwrap()).unwrap();
    assert!(jws.is_signed_by(&key));
    assert_eq!(key.thumbprint, JKT);
    // It is right, and for no resource: no token is named.
    let public = Endpoint::parse("https://server.example.com").unwrap();
    let wall = Duration::from_secs(1_562_262_616);
    let expected = Expected { token: TOKEN, method: "POST", path: "/token", public: Some(&public), wall };
    assert!(verify(&[AT_TOKEN_ENDPOINT], &expected).unwrap_err().to_string().contains("ath"));
}

#[test]
fn the_thumbprint_of_rfc_7638() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3ok\
             njhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6\
             qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awa\
             pJzKnqDKgw";
    let key = Key::parse(&object(json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})));
    assert_eq!(key.unwrap().thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn the_key_of_rfc_8037() {
    // Its appendix A: the thumbprint and the signature.
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let key = Key::parse(&object(jwk)).unwrap();
    assert_eq!(key.thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let jws = Jws::parse(
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
         hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    assert!(jws.unwrap().is_signed_by(&key));
}

#[test]
fn the_claims_of_rfc_8705() {
    // Its section 3.1.
    let payload = json!({
        "iss": "https://server.example.com", "sub": "ty.webb@example.com", "exp": 1_493_726_400, "nbf": 1_493_722_800,
        "cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
    });
    let text = format!("{}.{}.AAAA", encode(br#"{"alg":"ES256"}"#), encode(payload.to_string().as_bytes()));
    let claims = Claims::read(&Jws::parse(&text).unwrap(), Some("https://server.example.com")).unwrap();
    assert_eq!(claims.certificate.as_deref(), Some("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"));
    assert!(claims.check_time(Duration::from_secs(1_493_722_800)).is_ok());
    assert_eq!(claims.check_time(Duration::from_secs(1_493_726_400)).unwrap_err().code(), Code::TokenExpired);
}

#[test]
fn an_ed25519_key_of_small_order_signs_nothing() {
    // The neutral point: a plain check would accept this signature of any message.
    let mut one = [0; 32];
    one[0] = 1;
    let key = Key::parse(&object(json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&one)})));
    let text = format!("eyJhbGciOiJFZERTQSJ9.e30.{}", encode(&[one, [0; 32]].concat()));
    let jws = Jws::parse(&text).unwrap();
    assert!(key.is_err() || !jws.is_signed_by(&key.unwrap()));
}

#[test]
fn the_cache_is_bounded_and_keeps_who_comes_often() {
    let text = format!("{}.{}.AAAA", encode(br#"{"alg":"ES256","typ":"at+jwt"}"#), encode(br#"{"exp":1}"#));
    let claims = Arc::new(Claims::read(&Jws::parse(&text).unwrap(), None).unwrap());
    let verified = |bytes| Verified { claims: claims.clone(), thumbprint: "t".into(), bytes };
    let hash = |number: u32| -> [u8; 32] { Sha256::digest(number.to_be_bytes()).into() };
    let kept = |cache: &Cache| {
        // Without moving anything: a look at a copy.
        let mut copy = cache.clone();
        (0..60_000).filter(|number| copy.remove(&hash(*number))).count()
    };
    let mut cache = Cache::default();
    for number in 0..30_000 {
        cache.put(hash(number), verified(1000));
        assert!(cache.get(&hash(0)).is_some(), "the first comes often");
    }
    assert!((5_000..=10_000).contains(&kept(&cache)), "{}", kept(&cache));
    // Long tokens: 8 MiB in each half.
    for number in 30_000..60_000 {
        cache.put(hash(number), verified(16 * 1024));
    }
    assert!((512..=1024).contains(&kept(&cache)), "{}", kept(&cache));
    assert!(cache.get(&hash(59_999)).is_some() && cache.get(&hash(0)).is_none());
}
