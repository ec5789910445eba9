//! Where ids come from: a seeded generator, so that the same seed and requests give the same ids.
//! It is no source of secrets; the dev server protects nothing.

/// The generator (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Ids(u64);

impl Ids {
    pub(crate) fn new(seed: u64) -> Ids {
        Ids(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// As many letters and digits as asked for.
    pub(crate) fn letters(&mut self, count: usize) -> String {
        const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        (0..count)
            .map(|_| {
                let at = usize::try_from(self.next() % 62).unwrap_or(0);
                ALPHABET.get(at).map_or('0', |&byte| char::from(byte))
            })
            .collect()
    }

    /// A service token.
    pub(crate) fn token(&mut self) -> String {
        format!("s.{}", self.letters(24))
    }

    /// A UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xffff,
            b >> 48,
            b & 0xffff_ffff_ffff
        )
    }

    /// An accessor of a mount.
    pub(crate) fn mount(&mut self, kind: &str) -> String {
        format!("{kind}_{:08x}", self.next() >> 32)
    }
}
