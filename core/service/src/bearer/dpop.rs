//! Proofs of possession (RFC 9449): that whoever sends a request holds the key that the token is bound to.
//!
//! That a proof is used once is checked later, by whoever keeps the used ones: see [`UsedProof`].

use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::claims::cut;
use super::jwk::Key;
use super::jws::{Jws, encode};
use super::{LEEWAY, htu, json};
use crate::settings::Endpoint;
use crate::{Code, Error, Result};

/// Longest proof, in bytes: one with an RSA key of 4096 bits has about 2,000.
const MAX_PROOF: usize = 8 * 1024;
/// Longest `jti`, in bytes.
const MAX_JTI: usize = 256;

/// A proof that is right, and must be remembered until it can't be used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedProof {
    /// The thumbprint of its key (RFC 7638): a `jti` is unique for each key alone.
    pub jkt: String,
    /// Its name, of 1 to 256 bytes.
    pub jti: String,
    /// When it is of no use any more: on the wall clock, since 1970.
    pub until: Duration,
}

/// What a proof must be made for.
pub(super) struct Expected<'a> {
    pub token: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    pub public: Option<&'a Endpoint>,
    pub wall: Duration,
}

fn refused(reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::ProofInvalid).because(reason)
}

/// Checks a proof as RFC 9449, section 4.3, lists it, but for two of its steps: whether it was used before, and whether
/// its key is the token's.
pub(super) fn verify(proofs: &[&str], expected: &Expected<'_>) -> Result<UsedProof> {
    let proof = match proofs {
        [proof] => proof.trim_matches([' ', '\t']),
        [] => return Err(refused("there is no header DPoP, and the token is bound to a key")),
        _ => return Err(refused("there is more than one header DPoP")),
    };
    if proof.len() > MAX_PROOF {
        return Err(refused("the proof is longer than 8 KiB"));
    }
    let Some(public) = expected.public else {
        return Err(refused("SECRETS_PUBLIC_URL is not set, so no proof can be compared with the address it is for"));
    };
    let read = |reason: &'static str| refused(format!("the proof {reason}"));
    let jws = Jws::parse(proof).map_err(read)?;
    if jws.kind().map_err(read)? != "dpop+jwt" {
        return Err(refused("the proof's typ is not dpop+jwt"));
    }
    let jwk = jws.header.get("jwk").and_then(Value::as_object);
    let jwk = jwk.ok_or_else(|| refused("the proof's header has no jwk"))?;
    let key = Key::parse(jwk).map_err(|reason| refused(format!("the proof's jwk {reason}")))?;
    if !jws.is_signed_by(&key) {
        return Err(refused("the proof's signature is not of its jwk"));
    }
    let claims = json::object(&jws.payload).map_err(read)?;
    if text(&claims, "htm")? != expected.method {
        return Err(refused("the proof's htm is not the method of this request"));
    }
    let address = htu::of_request(public, expected.path);
    if address.is_none() || htu::of_proof(text(&claims, "htu")?) != address {
        return Err(refused("the proof's htu is not SECRETS_PUBLIC_URL and the path of this request"));
    }
    if text(&claims, "ath")? != encode(&Sha256::digest(expected.token)) {
        return Err(refused("the proof's ath is not the SHA-256 of the access token"));
    }
    let until = end(&claims, expected.wall)?;
    let jti = text(&claims, "jti")?;
    if !(1..=MAX_JTI).contains(&jti.len()) {
        return Err(refused("the proof's jti is not 1 to 256 bytes long"));
    }
    Ok(UsedProof { jkt: key.thumbprint, jti: jti.to_owned(), until })
}

/// When the proof ends, where its `iat` is at most [`LEEWAY`] away from now.
fn end(claims: &Map<String, Value>, wall: Duration) -> Result<Duration> {
    let made = claims.get("iat").and_then(|value| value.as_u64().or_else(|| value.as_f64().and_then(cut)));
    let made = Duration::from_secs(made.ok_or_else(|| refused("the proof has no iat"))?);
    let until = made.saturating_add(LEEWAY);
    if wall >= until {
        return Err(refused("the proof's iat is a minute ago, or longer: make one for each request"));
    }
    if made > wall.saturating_add(LEEWAY) {
        return Err(refused("the proof's iat lies in the future; see whether the clocks agree"));
    }
    Ok(until)
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str> {
    claims.get(name).and_then(Value::as_str).ok_or_else(|| refused(format!("the proof has no {name}")))
}
