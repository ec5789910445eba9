//! The name of a resource on record: a keyed hash, so that whoever reads the record learns that two events concern
//! one secret, and not which.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// What the salt's id is the hash of. No canonical URI is equal to it, since each has a colon.
const SALT_ID: &str = "salt_id";
/// Length of a salt's id: 48 bits tell a tenant's salts apart.
const SALT_ID_LENGTH: usize = 8;

/// Makes references under one salt.
///
/// A reference is HMAC-SHA256 of the canonical URI under the tenant's salt, in base64url without padding: 43
/// characters. Whoever knows the salt finds the events of a URI by computing its reference:
///
/// ```
/// use baokit_service::audit::References;
///
/// let references = References::new(Some(&"0123456789abcdef".into()), [0; 32]);
/// let reference = references.of("openbao+kv2://secret/app/api#token");
/// assert_eq!(reference, "0Mdte39B7Bra3dUbTpiQYanz1Y6OJ2VkqtVsCAOhLv0");
/// ```
pub struct References {
    /// Has read the key, which is half the work of a short text's hash, and wipes what it made of it.
    keyed: Hmac<Sha256>,
    salt_id: String,
}

impl References {
    /// With the tenant's salt, or, where there is none (in development), with a key that the host has drawn from its
    /// source of randomness: references then hold until the process ends.
    #[must_use]
    pub fn new(salt: Option<&SecretString>, mut random: [u8; 32]) -> Self {
        let key = block(salt.map_or(random.as_slice(), |salt| salt.expose_secret().as_bytes()));
        random.zeroize();
        let mut references = Self { keyed: Hmac::new((&*key).into()), salt_id: String::new() };
        references.salt_id = references.of(SALT_ID).chars().take(SALT_ID_LENGTH).collect();
        references
    }

    /// The reference of a resource: its canonical text is a `SecretRef`'s `as_str`, or a prefix's.
    #[must_use]
    pub fn of(&self, canonical: &str) -> String {
        let mut mac = self.keyed.clone();
        mac.update(canonical.as_bytes());
        Base64UrlUnpadded::encode_string(&mac.finalize().into_bytes())
    }

    /// Which salt it is, without giving it away: 8 characters. It changes when the salt does, so that an event says
    /// with which of a tenant's salts its reference was made.
    #[must_use]
    pub fn salt_id(&self) -> &str {
        &self.salt_id
    }
}

impl fmt::Debug for References {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("References").field("salt_id", &self.salt_id).finish_non_exhaustive()
    }
}

/// A block of the hash function, as RFC 2104 makes it of a key of any length.
fn block(key: &[u8]) -> Zeroizing<[u8; 64]> {
    let mut block = Zeroizing::new([0; 64]);
    if key.len() > block.len() {
        let hashed = Sha256::digest(key);
        block.iter_mut().zip(hashed).for_each(|(to, from)| *to = from);
    } else {
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    }
    block
}
