//! The names of grants and of used proofs and tokens: hashes of their parts, so that a store holds no secrets and
//! no names of any.

use std::fmt;

use sha2::{Digest, Sha256};

/// The SHA-256 of a list of parts, none of which can be shifted into another.
///
/// Each part is hashed behind its length in eight bytes, and a part that is absent is not an empty one. The first
/// part says what the key is for, so that a proof never meets a token.
///
/// ```
/// use baokit_service::policy::Key;
///
/// assert_ne!(Key::of("proof", &[Some("ab"), Some("c")]), Key::of("proof", &[Some("a"), Some("bc")]));
/// assert_ne!(Key::of("proof", &[None]), Key::of("proof", &[Some("")]));
/// assert_eq!(Key::of("proof", &[Some("a")]).to_hex().len(), 64);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of these parts.
    #[must_use]
    pub fn of(kind: &str, parts: &[Option<&str>]) -> Self {
        Self::of_all(kind, parts.iter().copied())
    }

    /// The key of as many parts as there are.
    pub(super) fn of_all<'a>(kind: &'a str, parts: impl Iterator<Item = Option<&'a str>>) -> Self {
        let parts = std::iter::once(Some(kind)).chain(parts);
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        Self(hash.finalize().into())
    }

    /// The key with these bytes, as a store reads it back.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its bytes as 64 hexadecimal digits in lower case: a name that every store takes.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// The key that these digits stand for.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        let bytes: Vec<u8> =
            digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
        (text.len() == 64).then_some(())?;
        bytes.try_into().ok().map(Self)
    }
}

/// Bytes as hexadecimal digits in lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(if half < 10 { b'0' + half } else { b'a' - 10 + half });
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Key({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_can_be_shifted_and_the_digits_name_the_key() {
        let all = [
            Key::of("", &[]),
            Key::of("", &[None]),
            Key::of("", &[Some("")]),
            Key::of("a", &[Some("b")]),
            Key::of("ab", &[]),
            Key::of("a", &[Some("b"), None]),
            Key::of("a", &[None, Some("b")]),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(all.iter().skip(place + 1).all(|other| one != other), "{place}");
            assert_eq!(Key::from_hex(&one.to_hex()), Some(*one));
        }
        for bad in ["", "00", &"g".repeat(64), &"0".repeat(63), &"0".repeat(66)] {
            assert_eq!(Key::from_hex(bad), None);
        }
    }
}
