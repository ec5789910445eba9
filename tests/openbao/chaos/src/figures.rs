//! Medians and the like, of times.

use std::fmt;
use std::time::Duration;

/// Times that were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that so large a share of them does not exceed; none where there are none.
    fn quantile(&self, share: f64) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort();
        let last = sorted.len().checked_sub(1)?;
        sorted.get((last as f64 * share).round() as usize).copied()
    }

    pub(crate) fn median(&self) -> Option<Duration> {
        self.quantile(0.5)
    }

    pub(crate) fn high(&self) -> Option<Duration> {
        self.quantile(0.99)
    }

    pub(crate) fn longest(&self) -> Option<Duration> {
        self.0.iter().max().copied()
    }
}

/// A time as people read it, or a dash.
pub(crate) struct Shown(pub(crate) Option<Duration>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) if time < Duration::from_secs(1) => write!(f, "{:.1} ms", time.as_secs_f64() * 1000.0),
            Some(time) => write!(f, "{:.2} s", time.as_secs_f64()),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        let mut times = Times::default();
        assert_eq!(times.median(), None);
        for ms in [5, 1, 900, 3, 2] {
            times.add(Duration::from_millis(ms));
        }
        assert_eq!(times.median(), Some(Duration::from_millis(3)));
        assert_eq!(times.longest(), Some(Duration::from_millis(900)));
        assert_eq!(Shown(times.median()).to_string(), "3.0 ms");
        assert_eq!(Shown(Some(Duration::from_millis(1500))).to_string(), "1.50 s");
    }
}
