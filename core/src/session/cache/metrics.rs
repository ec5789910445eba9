//! What the cache did, in plain numbers.

use std::time::Duration;

/// Where the classes of [`CacheMetrics::hit_ages`] end.
pub const HIT_AGE_BOUNDS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(3600),
];

/// What the cache of a client did since it was made, and what it holds. Counts only rise, but for
/// `entries` and `bytes`. See [`Client::cache_metrics`](crate::Client::cache_metrics).
///
/// ```
/// use baokit_core::{CacheMetrics, HIT_AGE_BOUNDS};
///
/// let metrics = CacheMetrics::default(); // client.cache_metrics()
/// for (bound, hits) in HIT_AGE_BOUNDS.iter().zip(metrics.hit_ages) {
///     println!("younger than {} s: {hits}", bound.as_secs());
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheMetrics {
    /// Reads that were answered from it.
    pub hits: u64,
    /// Those among them that were served beyond their time, since the cluster could not be had.
    pub stale: u64,
    /// Reads that went to the cluster, since there was nothing, or nothing that would do.
    pub misses: u64,
    /// Reads that waited for one of those, instead of going there too.
    pub joined: u64,
    /// Reads that went to the cluster before the time of what was there was over.
    pub refreshes: u64,
    /// Entries that had to leave for others.
    pub evictions: u64,
    /// Entries that left because the secret was changed, or is gone, or may not be read any more.
    pub purges: u64,
    /// Entries at this moment.
    pub entries: usize,
    /// About how many bytes they take.
    pub bytes: usize,
    /// How old what was served was, all hits together.
    pub hit_age: Duration,
    /// How many hits were younger than each of [`HIT_AGE_BOUNDS`] and no younger than the one before;
    /// the last are the rest.
    pub hit_ages: [u64; 6],
}

impl CacheMetrics {
    pub(super) fn hit(&mut self, age: Duration) {
        self.hits += 1;
        self.hit_age = self.hit_age.saturating_add(age);
        let class = HIT_AGE_BOUNDS.iter().take_while(|bound| age >= **bound).count();
        if let Some(count) = self.hit_ages.get_mut(class) {
            *count += 1;
        }
    }
}
