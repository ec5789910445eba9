//! Reads that the cache answers: without a request, without a place under the concurrency limit, and
//! where it can't, with one request for all who want the same.

use std::sync::Arc;
use std::time::Duration;

use super::secrets::no_such_key;
use super::{Client, ReadOptions};
use crate::drive::{Host, POLL, Shared, within};
use crate::error::{Code, Error, Result};
use crate::exchange::GRACE;
use crate::rules::Rule;
use crate::secret::Secret;
use crate::session::cache::{CacheMetrics, Flight, Kept, Look, Partition, Want};
use crate::uri::SecretUri;
use crate::uri::tenant::Admitted;

/// How long a read may take that has something to fall back on.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a read demands of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demands {
    partition: Option<Partition>,
    max_age: Duration,
}

impl Demands {
    pub const NONE: Self = Self { partition: None, max_age: Duration::MAX };
}

impl Default for Demands {
    fn default() -> Self {
        Self::NONE
    }
}

impl ReadOptions {
    /// On whose behalf the secret is read: it comes from the cluster, or from what was read on the same
    /// behalf. By default that of the client itself. See [`Partition`].
    #[must_use]
    pub const fn partition(mut self, partition: Partition) -> Self {
        self.cached.partition = Some(partition);
        self
    }

    /// What comes from the cache was asked for so long ago at most, even where the cluster can't be had. Without it
    /// the times of [`CacheConfig`](crate::config::CacheConfig) hold.
    ///
    /// ```
    /// use std::time::Duration;
    /// use baokit_core::ReadOptions;
    ///
    /// let options = ReadOptions::new().max_age(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.cached.max_age = age;
        self
    }
}

impl<H: Host> Client<H> {
    /// What the cache did, and what it holds; all zeros where it is off. Sends nothing.
    #[must_use]
    pub fn cache_metrics(&self) -> CacheMetrics {
        self.shared.with(|session| session.cache.metrics())
    }

    /// Reads from the cache, or for it.
    pub(super) async fn read_cached(&self, uri: Admitted<'_>, options: ReadOptions) -> Result<Secret> {
        let uri = uri.uri();
        let pin = uri.version().map_or(0, u64::from);
        let mut want = Want {
            path: uri.key(),
            pin,
            partition: options.cached.partition.unwrap_or_default(),
            // Of a pinned version, a newer one is not asked for.
            min_version: if pin == 0 { options.min_version } else { 0 },
            strong: options.strong,
            max_age: options.cached.max_age,
        };
        let mut at = self.host.now();
        let deadline = at.monotonic.saturating_add(self.settings.deadline());
        let mut is_patient = false;
        loop {
            let look = self.shared.with(|session| {
                if !session.rules.keep(Rule::CacheIsPartitioned) {
                    want.partition = Partition::default();
                }
                session.cache.look(&want, at)
            });
            let now = at.monotonic;
            let outcome = match look {
                Look::Hit(kept) => Some(Ok(kept)),
                Look::Join(flight, lease) => {
                    let left = deadline.saturating_sub(now);
                    if left.is_zero() {
                        let error = Error::new(Code::DeadlineExceeded).about(uri.to_string());
                        return Err(error.because("a read of the same secret that it waited for took too long"));
                    }
                    self.wait(&flight, lease.min(left)).await;
                    flight.outcome(deadline, want.min_version)
                }
                Look::Lead(flight, has_fallback) => {
                    let by =
                        if has_fallback && !is_patient { deadline.min(now.saturating_add(PATIENCE)) } else { deadline };
                    match self.lead(uri, options, &want, flight, by).await {
                        // What there was to fall back on was purged meanwhile, or is too old for this error.
                        Err(error) if error.is_retryable() && by < deadline => {
                            is_patient = true;
                            None
                        }
                        result => Some(result),
                    }
                }
            };
            if let Some(outcome) = outcome {
                let kept = outcome?;
                let fragment = uri.fragment();
                let secret = kept.show(fragment.as_deref());
                return secret.ok_or_else(|| no_such_key(uri, kept.version()));
            }
            at = self.host.now();
        }
    }

    async fn wait(&self, flight: &Flight, limit: Duration) {
        if self.host.wakes_across_tasks() {
            within(&self.host, limit, flight.ended()).await;
        } else {
            self.host.sleep(limit.min(POLL)).await;
        }
    }

    /// Reads on behalf of all who want the same.
    async fn lead(
        &self,
        uri: &SecretUri,
        options: ReadOptions,
        want: &Want<'_>,
        flight: Arc<Flight>,
        deadline: Duration,
    ) -> Result<Arc<Kept>> {
        let leading = Leading { shared: &self.shared, flight: &flight };
        let mut operation = self.begin_by(deadline).await;
        // An answer is as old as the first request that could have brought it.
        let fetched = self.host.now().monotonic;
        let result = match &mut operation {
            Ok(operation) => {
                operation.leads = Some(flight.clone());
                operation.whole(uri, options).await
            }
            Err(error) => Err(error.clone()),
        };
        let now = self.host.now();
        let result = match result {
            Ok((secret, _)) => {
                let mut jitter = [0; 8];
                self.host.random(&mut jitter);
                let kept = Arc::new(Kept::from(secret));
                let jitter = u64::from_ne_bytes(jitter);
                self.shared.with(|session| {
                    let floor = session.floors.get(want.path);
                    session.cache.land(&flight, &kept, floor, (fetched, now), jitter);
                });
                Ok(kept)
            }
            Err(error) => {
                // A refusal holds for all; who has more time than this read had may try on.
                let until = if error.is_retryable() { deadline.saturating_add(GRACE) } else { Duration::MAX };
                let kept = self.shared.with(|session| session.cache.fail(&flight, want, &error, until, now));
                kept.ok_or(error)
            }
        };
        drop(leading);
        result
    }
}

/// Gives the flight up when the caller drops the future.
struct Leading<'a> {
    shared: &'a Shared,
    flight: &'a Arc<Flight>,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.shared.with(|session| session.cache.abandon(self.flight));
    }
}
