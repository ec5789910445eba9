//! FNV-1a: a quick number for a text, the same in every process and on every machine. Whoever wants to can
//! find texts that meet in one number, so nothing may depend on their not meeting.

/// What an empty text hashes to.
pub(crate) const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// Goes on from the hash of what came before.
pub(crate) fn hash_on(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_published_function() {
        // Of the authors' table: a record that one version wrote must be read by the next.
        assert_eq!(hash_on(EMPTY, b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(hash_on(hash_on(EMPTY, b"foo"), b"bar"), hash_on(EMPTY, b"foobar"));
    }
}
