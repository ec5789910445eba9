//! Tokens whose signature was right, so that a caller who comes back costs none: bounded, and of no use without
//! the key that signed them.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use super::claims::Claims;

/// Most tokens in one half of the cache.
const MAX_TOKENS: usize = 5_000;
/// Most bytes of tokens in one half: what is kept of a token is no longer than the token.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// A token that was verified, and what with.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub claims: Arc<Claims>,
    /// Of the key that signed it.
    pub thumbprint: Arc<str>,
    /// How long the token is, in bytes.
    pub bytes: usize,
}

/// The cache, in two halves: a full young one becomes the old one, and what was in that is forgotten. What is used
/// goes back to the young half, so that whoever comes often stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    young: BTreeMap<[u8; 32], Verified>,
    old: BTreeMap<[u8; 32], Verified>,
    bytes: usize,
}

impl Cache {
    /// What is known of the token with this SHA-256.
    pub fn get(&mut self, token: &[u8; 32]) -> Option<Verified> {
        if let Some(verified) = self.young.get(token) {
            return Some(verified.clone());
        }
        let verified = self.old.remove(token)?;
        self.put(*token, verified.clone());
        Some(verified)
    }

    pub fn put(&mut self, token: [u8; 32], verified: Verified) {
        if self.young.len() >= MAX_TOKENS || self.bytes.saturating_add(verified.bytes) > MAX_BYTES {
            self.old = mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(verified.bytes);
        self.young.insert(token, verified);
    }

    /// Forgets a token; says whether it was known.
    pub fn remove(&mut self, token: &[u8; 32]) -> bool {
        // The bytes stay counted: that ends this half sooner, and does no harm.
        let young = self.young.remove(token).is_some();
        self.old.remove(token).is_some() || young
    }
}
