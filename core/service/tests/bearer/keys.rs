//! Test keys of every kind, and the tokens and proofs that they sign. None of them is used anywhere else.

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::Signer as _;
use p256::ecdsa::SigningKey as EcKey;
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{BoxedUint, PrivateKey, pkcs1v15, pss};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const P: &str = "ccb376d28d0da59cbaae06b044e59cb83a3e9217a4d7fadb128509990ef9fd8df27a02b026797d456307e7ae293f2fff6498\
                 fccb5e4377048458 13fcd6df7c65aef828b3fbadc8cabdc0290e793aca9b7cc480e346a801b8ed56049e462ac38ec689477\
                 2c60ae4f4128414dec2e39fbe33bf01e52408a6304ce0b236af4986e5";
const Q: &str = "bc1e3f94e6c238261b1a3a97a2e47db9d327e0d51191829986e34cfa6ec24f79f76c18db8d8db4e5db0cde7c26f2e94a386e\
                 6bc494643611 48d4b2e9a665c6b5128ee23ed68e04387ab7482efa6f6851e3682b1f876e097fc7973f1e6d3637184645d96b\
                 b82f8dc7cf68f57a1deb392b16223688f6986a5a441f1b9cdde75ea5";

/// A private key.
#[derive(Clone)]
pub enum Key {
    Rsa(Box<PrivateKey>),
    Ec(EcKey),
    Ed(ed25519_dalek::SigningKey),
}

/// A source that is anything but random: good enough for the salt of a test.
struct Counter(u8);

impl TryRng for Counter {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(7)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(7)
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Self::Error> {
        for byte in buffer {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

impl Key {
    pub fn rsa() -> Self {
        let number = |hex: &str| {
            let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
            let bytes =
                digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
            BoxedUint::from_be_slice_vartime(&bytes.collect::<Vec<u8>>())
        };
        let key = PrivateKey::from_p_q(number(P), number(Q), BoxedUint::from(65_537_u64));
        Self::Rsa(Box::new(key.unwrap()))
    }

    /// One of many.
    pub fn ec(number: u8) -> Self {
        Self::Ec(EcKey::from_slice(&[number; 32]).unwrap())
    }

    pub fn ed(number: u8) -> Self {
        Self::Ed(ed25519_dalek::SigningKey::from_bytes(&[number; 32]))
    }

    /// The public key without id and algorithm.
    pub fn jwk(&self) -> Value {
        match self {
            Self::Rsa(key) => {
                let (n, e) = (key.n().to_be_bytes_trimmed_vartime(), key.e().to_be_bytes_trimmed_vartime());
                json!({"kty": "RSA", "n": encode(&n), "e": encode(&e)})
            }
            Self::Ec(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                json!({"kty": "EC", "crv": "P-256", "x": encode(point.x().unwrap()), "y": encode(point.y().unwrap())})
            }
            Self::Ed(key) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.verifying_key().as_bytes())}),
        }
    }

    /// The public key with members more.
    pub fn jwk_with(&self, members: Value) -> Value {
        with(self.jwk(), members)
    }

    /// The algorithm that it is usually used with.
    pub fn alg(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    pub fn thumbprint(&self) -> String {
        // serde_json's maps are sorted by name, as RFC 7638 asks.
        hash(self.jwk().to_string().as_bytes())
    }

    /// Signs whatever header and payload say.
    pub fn sign(&self, header: &Value, payload: &Value) -> String {
        self.sign_texts(&header.to_string(), &payload.to_string())
    }

    pub fn sign_texts(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        let signature = match self {
            Self::Rsa(key) if header.contains("PS256") => {
                let key = pss::SigningKey::<Sha256>::new((**key).clone());
                key.sign_with_rng(&mut Counter(0), input.as_bytes()).to_vec()
            }
            Self::Rsa(key) => {
                let key = pkcs1v15::SigningKey::<Sha256>::new((**key).clone());
                key.sign_with_rng(&mut Counter(0), input.as_bytes()).to_vec()
            }
            Self::Ec(key) => {
                let signature: p256::ecdsa::Signature = key.sign(input.as_bytes());
                signature.to_bytes().to_vec()
            }
            Self::Ed(key) => key.sign(input.as_bytes()).to_bytes().to_vec(),
        };
        format!("{input}.{}", encode(&signature))
    }

    /// An access token with a plain header.
    pub fn token(&self, kid: &str, claims: &Value) -> String {
        self.sign(&json!({"alg": self.alg(), "typ": "at+jwt", "kid": kid}), claims)
    }
}

/// One object with the members of another, which win.
pub fn with(mut object: Value, members: Value) -> Value {
    let Value::Object(members) = members else { panic!("no object") };
    object.as_object_mut().unwrap().extend(members);
    object
}

pub fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

pub fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// SHA-256 in base64url.
pub fn hash(bytes: &[u8]) -> String {
    encode(&Sha256::digest(bytes))
}
