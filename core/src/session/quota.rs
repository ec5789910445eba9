//! The retry quota of one client: what fails for one operation in ten thousand may be sent again at
//! once, and as often as others are served; what fails for all must not double the load of a cluster that
//! has too much of it already.

use std::time::Duration;

/// How many retries may come in a burst.
const BURST: u32 = 100;

/// How long it takes until one more may be made: 20 in a second.
const REFILL: Duration = Duration::from_millis(50);

/// As many retries as may be made at the moment.
#[derive(Debug)]
pub(crate) struct Quota {
    left: u32,
    /// Until when what came back was counted.
    counted: Duration,
}

impl Default for Quota {
    fn default() -> Self {
        Self { left: BURST, counted: Duration::ZERO }
    }
}

impl Quota {
    /// A request was served, so that one more may be made: when an outage is over, those who waited get through.
    pub fn earn(&mut self) {
        self.left = BURST.min(self.left + 1);
    }

    /// Takes one retry, or says how long to wait for it.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let passed = now.saturating_sub(self.counted);
        let back = u32::try_from(passed.as_nanos() / REFILL.as_nanos()).unwrap_or(u32::MAX);
        if self.left.saturating_add(back) >= BURST {
            (self.left, self.counted) = (BURST, now);
        } else {
            self.left += back;
            self.counted += REFILL * back;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.counted.saturating_add(REFILL).saturating_sub(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_retries_is_followed_by_twenty_a_second() {
        let mut quota = Quota::default();
        let start = Duration::from_secs(1000);
        assert_eq!((0..1000).filter(|_| quota.take(start).is_ok()).count(), 100);
        let (mut now, mut taken) = (start, 0);
        while now < start + Duration::from_secs(10) {
            match quota.take(now) {
                Ok(()) => taken += 1,
                Err(wait) => {
                    assert!(wait > Duration::ZERO && wait <= REFILL);
                    now += wait;
                }
            }
        }
        assert_eq!(taken, 199);
        assert_eq!((0..1000).filter(|_| quota.take(now + Duration::from_secs(60)).is_ok()).count(), 100);
    }
}
