//! The settings of the cache: how long, how much, and for how long more when nobody answers.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::builder::put;
use crate::error::Result;

const DAY: Duration = Duration::from_secs(86_400);
const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;
const STALE: RangeInclusive<Duration> = Duration::ZERO..=DAY;
const ENTRIES: RangeInclusive<usize> = 1..=10_000_000;
const BYTES: RangeInclusive<usize> = 1024..=usize::MAX / 2;

/// How a client keeps what it has read, where it is to keep anything; see
/// [`SettingsBuilder::cache`](super::SettingsBuilder::cache).
///
/// A read that is answered from the cache may miss what *other* clients have changed, for `ttl` at
/// most, and for `stale_if_error` more while the cluster can't be had: no node is reached or answers in time, all
/// are sealed, or none leads. What this client itself has
/// seen, written or deleted it never misses. What was read is wiped when it leaves the cache: when it
/// is replaced, purged or evicted, found to be too old, or the client is closed.
///
/// What is outside its bounds is refused when the client is made, with
/// [`InvalidSetting`](crate::Code::InvalidSetting) about `cache.ttl` and so on.
///
/// ```
/// use std::time::Duration;
/// use baokit_core::config::{CacheConfig, Credential, Settings};
/// use baokit_core::uri::Provider;
///
/// # fn main() -> baokit_core::Result<()> {
/// let cache = CacheConfig::new(Duration::from_secs(60)) // how old an answer may be
///     .stale_if_error(Duration::from_secs(300)) // how much older where nobody answers
///     .max_entries(1000)
///     .max_bytes(8 << 20);
/// let settings = Settings::builder(Provider::OpenBao)
///     .urls(["https://openbao.internal:8200"])
///     .credential(Credential::token("hvs.example"))
///     .allowed_mounts(["secret"])
///     .cache(cache)
///     .build()?;
/// assert_eq!(settings.cache(), Some(&cache));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct CacheConfig {
    pub(crate) ttl: Duration,
    pub(crate) stale_if_error: Duration,
    pub(crate) max_entries: usize,
    pub(crate) max_bytes: usize,
}

impl CacheConfig {
    /// Keeps what was read for so long, 1 s to a day: up to 10,000 secrets and 64 MiB, and nothing
    /// beyond its time.
    pub const fn new(ttl: Duration) -> Self {
        Self { ttl, stale_if_error: Duration::ZERO, max_entries: 10_000, max_bytes: 64 << 20 }
    }

    /// For how long more it serves what it has while the cluster can't be had: up to a day; not at all by
    /// default. What a server answers is never overruled: a refusal, that there is no such secret, too many requests
    /// or an error of its own.
    pub const fn stale_if_error(mut self, duration: Duration) -> Self {
        self.stale_if_error = duration;
        self
    }

    /// How many secrets it keeps: 10,000 by default, 1 to 10,000,000. A pinned version counts as one, and so does
    /// the same secret in another partition.
    pub const fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// How many bytes they may take, 64 MiB by default, at least 1024: an estimate of their data and of what it
    /// takes to keep them. A secret that is larger than that is not kept.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    pub(super) fn check(self, key: &str) -> Result<Self> {
        let mut checked = self;
        let name = |part: &str| [key, ".", part].concat();
        put(&name("ttl"), &TTL, self.ttl, &mut checked.ttl, "it is at least 1 second and at most 86400")?;
        let reason = "it is at most 86400 seconds";
        put(&name("stale_if_error"), &STALE, self.stale_if_error, &mut checked.stale_if_error, reason)?;
        let reason = "it is at least 1 and at most 10000000";
        put(&name("max_entries"), &ENTRIES, self.max_entries, &mut checked.max_entries, reason)?;
        put(&name("max_bytes"), &BYTES, self.max_bytes, &mut checked.max_bytes, "it is at least 1024")?;
        Ok(checked)
    }
}
