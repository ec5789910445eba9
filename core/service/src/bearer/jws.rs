//! Signed texts in compact form (RFC 7515, section 7.1), read strictly: one text, one reading.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};

use super::json;
use super::jwk::{Algorithm, Key};

/// Header members that would have the signer choose what the signature is checked with, or add rules that are
/// not known here. A proof's `jwk` is the exception, and its reader's business.
const REFUSED: [(&str, &str); 4] = [
    ("crit", "has a header member crit: no extension is understood here"),
    ("jku", "has a header member jku: keys come from the configured issuer alone"),
    ("x5u", "has a header member x5u: keys come from the configured issuer alone"),
    ("x5c", "has a header member x5c: keys come from the configured issuer alone"),
];

/// A signed text. Nothing in it is to be believed before [`Jws::is_signed_by`] has said yes.
pub(super) struct Jws<'a> {
    pub header: Map<String, Value>,
    pub algorithm: Algorithm,
    pub payload: Vec<u8>,
    input: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a text apart. The reason of a refusal goes on from "the token", or "the proof".
    pub fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (input, signature) = text.rsplit_once('.').ok_or("is no JWT: it has no three parts")?;
        let (header, payload) = input.split_once('.').ok_or("is no JWT: it has no three parts")?;
        if payload.contains('.') {
            return Err("has more than three parts: it is encrypted, or no JWT");
        }
        let header = json::object(&decode(header)?)?;
        let algorithm = Algorithm::of(&header)?;
        if let Some((_, reason)) = REFUSED.iter().find(|(name, _)| header.contains_key(*name)) {
            return Err(reason);
        }
        Ok(Self { header, algorithm, payload: decode(payload)?, input, signature: decode(signature)? })
    }

    /// The header's `typ` in lower case, or an empty text.
    pub fn kind(&self) -> Result<String, &'static str> {
        match self.header.get("typ") {
            None => Ok(String::new()),
            Some(Value::String(kind)) => Ok(kind.to_ascii_lowercase()),
            Some(_) => Err("has a header member typ that is no text"),
        }
    }

    /// What is signed: header and payload as they came.
    pub fn signed(&self) -> &'a str {
        self.input
    }

    /// Whether this key signed it, with an algorithm that the key is for.
    pub fn is_signed_by(&self, key: &Key) -> bool {
        key.verifies(self.algorithm, self.input.as_bytes(), &self.signature)
    }
}

/// Decodes base64url without padding, white space and bits that do not count (RFC 4648, section 3.5).
pub(super) fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| "is no strict base64url without padding")
}

/// Encodes as base64url without padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_has_one_text_for_each_value() {
        assert_eq!(decode("AQ"), Ok(vec![1]));
        for other in ["AQ==", "AR", "AQ ", " AQ", "A\nQ", "A", "+/8", "AQ=", "AQAAA", "A.Q", "AÄ"] {
            assert!(decode(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_text_has_three_parts_and_a_plain_header() {
        let parse = |header: &str| Jws::parse(&format!("{}.e30.AQ", encode(header.as_bytes()))).err();
        assert_eq!(parse(r#"{"alg":"ES256"}"#), None);
        for (header, reason) in [
            (r#"{"alg":"none"}"#, "none"),
            (r#"{"alg":"None"}"#, "none"),
            (r#"{"alg":"HS256"}"#, "shared"),
            (r#"{"alg":"RS512"}"#, "RS256"),
            (r#"{"alg":1}"#, "alg"),
            (r"{}", "alg"),
            (r#"{"alg":"ES256","alg":"ES256"}"#, "twice"),
            (r#"{"alg":"ES256","crit":["b64"],"b64":false}"#, "crit"),
            (r#"{"alg":"ES256","jku":"https://evil.example"}"#, "jku"),
            (r#"{"alg":"ES256","x5u":"https://evil.example"}"#, "x5u"),
            (r#"{"alg":"ES256","x5c":[]}"#, "x5c"),
            (r#"["alg"]"#, "object"),
        ] {
            assert!(parse(header).is_some_and(|text| text.contains(reason)), "{header}: {:?}", parse(header));
        }
        for text in ["", ".", "..", "a", "a.b", "e30.e30.AQ.AQ", "e30.e30.AQ.AQ.AQ", "eyJhbGciOiJFUzI1NiJ9.e30.AQ\n"] {
            assert!(Jws::parse(text).is_err(), "{text}");
        }
    }
}
