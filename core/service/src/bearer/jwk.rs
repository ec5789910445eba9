//! Public keys (RFC 7517), what each may verify, and their thumbprints (RFC 7638).
//!
//! The key says which algorithms are possible, and the header of a token only which of those was used: so
//! neither `none` nor a keyed hash made with a public key can pass (RFC 8725, section 3.1).

use ed25519_dalek::{Signature as EdSignature, VerifyingKey as EdKey};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature as EcSignature, VerifyingKey as EcKey};
use rsa::{BoxedUint, PublicKey as RsaKey, pkcs1v15, pss};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::jws::{decode, encode};

/// Sizes of an RSA key, in bits: less is too weak (RFC 7518, section 3.3), more costs whoever verifies too much.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// Longest key id, in bytes.
const MAX_KID: usize = 256;
/// What only a private or a symmetric key has.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// An algorithm of signatures (RFC 7518, section 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

impl Algorithm {
    /// That of a header.
    pub fn of(header: &Map<String, Value>) -> Result<Self, &'static str> {
        let name = header.get("alg").and_then(Value::as_str).ok_or("has no header member alg")?;
        match Self::parse(name) {
            Some(algorithm) => Ok(algorithm),
            None if name.eq_ignore_ascii_case("none") => Err("is not signed: its alg is none"),
            None if name.starts_with("HS") => Err("is signed with a shared secret (HS…), which nobody has here"),
            None => Err("has an alg other than RS256, PS256, ES256 and EdDSA"),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            // RFC 9864 gives the same algorithm a name that also says the curve.
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A public key, with what it is for.
#[derive(Debug)]
pub(super) struct Key {
    pub kid: Option<String>,
    /// The SHA-256 of its required members, in base64url (RFC 7638).
    pub thumbprint: String,
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa(RsaKey),
    P256(EcKey),
    Ed25519(EdKey),
}

impl Key {
    /// Reads a JWK. A key that is not for signatures, or shows what must be kept secret, is none.
    pub fn parse(jwk: &Map<String, Value>) -> Result<Self, &'static str> {
        if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
            return Err("has private members: whoever reads it can sign");
        }
        let (material, canonical) = match text(jwk, "kty")? {
            "RSA" => rsa(jwk)?,
            "EC" => ec(jwk)?,
            "OKP" => okp(jwk)?,
            _ => return Err("has a kty other than RSA, EC and OKP"),
        };
        let key = Self {
            kid: kid(jwk)?.map(str::to_owned),
            thumbprint: encode(&Sha256::digest(canonical)),
            algorithm: algorithm(jwk)?,
            material,
        };
        if key.algorithm.is_some_and(|algorithm| !key.can(algorithm)) {
            return Err("has an alg that is not for its kty");
        }
        if !for_signatures(jwk) {
            return Err("is not for verifying signatures: its use, or its key_ops, says so");
        }
        Ok(key)
    }

    /// Whether it is for this algorithm. An RSA key whose `alg` is not given is for both of its kind.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.can(algorithm)
    }

    fn can(&self, algorithm: Algorithm) -> bool {
        match self.material {
            Material::Rsa(_) => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
            Material::P256(_) => algorithm == Algorithm::Es256,
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }

    /// Whether it signed the message, with this algorithm and no other.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        match &self.material {
            Material::Rsa(key) if algorithm == Algorithm::Ps256 => {
                pss::Signature::try_from(signature).is_ok_and(|signature| {
                    pss::VerifyingKey::<Sha256>::new(key.clone()).verify(message, &signature).is_ok()
                })
            }
            Material::Rsa(key) => pkcs1v15::Signature::try_from(signature).is_ok_and(|signature| {
                pkcs1v15::VerifyingKey::<Sha256>::new(key.clone()).verify(message, &signature).is_ok()
            }),
            Material::P256(key) => {
                EcSignature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            // Strict: a signature that other verifiers may see differently, and keys of small order, are refused.
            Material::Ed25519(key) => {
                EdSignature::from_slice(signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
            }
        }
    }
}

/// The key id of a JWK or a header, which is only ever compared.
pub(super) fn kid(of: &Map<String, Value>) -> Result<Option<&str>, &'static str> {
    match of.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if (1..=MAX_KID).contains(&kid.len()) => Ok(Some(kid)),
        Some(_) => Err("has a kid that is no text of 1 to 256 bytes"),
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<&'a str, &'static str> {
    jwk.get(name).and_then(Value::as_str).ok_or("lacks a member that its kty asks for")
}

fn algorithm(jwk: &Map<String, Value>) -> Result<Option<Algorithm>, &'static str> {
    match jwk.get("alg") {
        None => Ok(None),
        Some(name) => match name.as_str().and_then(Algorithm::parse) {
            Some(algorithm) => Ok(Some(algorithm)),
            None => Err("has an alg other than RS256, PS256, ES256 and EdDSA"),
        },
    }
}

fn for_signatures(jwk: &Map<String, Value>) -> bool {
    let verify = |operations: &Value| {
        operations.as_array().is_some_and(|names| names.iter().any(|name| name.as_str() == Some("verify")))
    };
    jwk.get("use").is_none_or(|name| name.as_str() == Some("sig")) && jwk.get("key_ops").is_none_or(verify)
}

fn rsa(jwk: &Map<String, Value>) -> Result<(Material, String), &'static str> {
    let (n, e) = (text(jwk, "n")?, text(jwk, "e")?);
    let (modulus, exponent) = (decode(n)?, decode(e)?);
    // RFC 7518, section 6.3.1.1: without zero bytes in front, so that one key has one thumbprint.
    if modulus.first().is_none_or(|byte| *byte == 0) || exponent.first().is_none_or(|byte| *byte == 0) {
        return Err("has a number with zeros in front");
    }
    if modulus.len() > RSA_BITS.end() / 8 || exponent.len() > 8 {
        return Err("is an RSA key of more than 4096 bits, or has too great an exponent");
    }
    let (modulus, exponent) = (BoxedUint::from_be_slice_vartime(&modulus), BoxedUint::from_be_slice_vartime(&exponent));
    let key = RsaKey::new_with_size_limits(modulus, exponent, RSA_BITS);
    let key = key.map_err(|_| "is no RSA key of 2048 to 4096 bits")?;
    Ok((Material::Rsa(key), format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)))
}

fn ec(jwk: &Map<String, Value>) -> Result<(Material, String), &'static str> {
    if text(jwk, "crv")? != "P-256" {
        return Err("is on a curve other than P-256");
    }
    let (x, y) = (text(jwk, "x")?, text(jwk, "y")?);
    let (first, second) = (decode(x)?, decode(y)?);
    if first.len() != 32 || second.len() != 32 {
        return Err("has a coordinate that is not 32 bytes long");
    }
    let point = [&[4], first.as_slice(), second.as_slice()].concat();
    let key = EcKey::from_sec1_bytes(&point).map_err(|_| "is no point on its curve")?;
    Ok((Material::P256(key), format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)))
}

fn okp(jwk: &Map<String, Value>) -> Result<(Material, String), &'static str> {
    if text(jwk, "crv")? != "Ed25519" {
        return Err("is on a curve other than Ed25519");
    }
    let x = text(jwk, "x")?;
    let bytes = decode(x)?.try_into().map_err(|_| "has a coordinate that is not 32 bytes long")?;
    let key = EdKey::from_bytes(&bytes).map_err(|_| "is no point on its curve")?;
    Ok((Material::Ed25519(key), format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}
