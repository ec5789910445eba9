//! For whom a secret is kept.

use std::fmt;

use sha2::{Digest, Sha256};

/// On whose behalf a read is made: what one partition of the cache holds is never served to another.
///
/// The cluster, the namespace and the tenant's mounts are those of the client, which has a cache of its
/// own. A program that reads for several callers with the rights of one token names them here; whether
/// they may read is for it to decide, before each read. The default is the client itself.
///
/// It is a hash of its parts, none of which can be shifted into another.
///
/// ```
/// use baokit_core::{Partition, ReadOptions};
///
/// let caller = Partition::new("tenant-a", "user-1", "billing", Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"));
/// assert_ne!(caller, Partition::new("tenant-a", "user-1billing", "", None));
/// let options = ReadOptions::new().partition(caller);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Partition([u8; 32]);

impl Partition {
    /// The partition of a principal of a tenant, who reads for a purpose, and proves possession of a key
    /// (by its thumbprint) where requests are bound to one.
    #[must_use]
    pub fn new(tenant: &str, principal: &str, purpose: &str, sender_key: Option<&str>) -> Self {
        let mut hash = Sha256::new();
        for part in [Some(tenant), Some(principal), Some(purpose), sender_key] {
            // Its length comes first, and a key that is absent is not an empty one.
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Partition({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_can_be_shifted_into_another_and_an_empty_key_is_not_an_absent_one() {
        let all = [
            Partition::default(),
            Partition::new("", "", "", None),
            Partition::new("", "", "", Some("")),
            Partition::new("ab", "c", "d", None),
            Partition::new("a", "bc", "d", None),
            Partition::new("a", "b", "cd", None),
            Partition::new("a", "b", "c", Some("d")),
            Partition::new("a", "b", "d", Some("c")),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(all.iter().skip(place + 1).all(|other| one != other), "{place}");
        }
        assert_eq!(Partition::new("a", "b", "c", Some("d")), Partition::new("a", "b", "c", Some("d")));
    }
}
