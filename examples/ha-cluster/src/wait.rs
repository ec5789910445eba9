//! Waiting for something to become true, never without an end.

use std::time::{Duration, Instant};

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a loop goes on looking.
///
/// ```ignore
/// let patience = Patience::of(LIMIT);
/// while !is_true() {
///     if !patience.wait().await {
///         return Err(too_late());
///     }
/// }
/// ```
pub(crate) struct Patience {
    limit: Duration,
    end: Instant,
}

impl Patience {
    pub(crate) fn of(limit: Duration) -> Self {
        Self { limit, end: Instant::now() + limit }
    }

    /// Waits a moment; false where the time is up.
    pub(crate) async fn wait(&self) -> bool {
        if Instant::now() >= self.end {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
        true
    }

    /// For messages: `within 30 s`.
    pub(crate) fn within(&self) -> String {
        format!("within {} s", self.limit.as_secs())
    }
}
