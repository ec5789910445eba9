//! How long to wait before the next round of tries: doubled, capped, with full jitter.

use std::time::Duration;

const BASE: Duration = Duration::from_millis(50);
const CAP: Duration = Duration::from_secs(1);
/// A server that throttles is asked less often from the start.
const THROTTLED_BASE: Duration = Duration::from_secs(1);
const THROTTLED_CAP: Duration = Duration::from_secs(10);

/// The waits of one call.
#[derive(Debug)]
pub(super) struct Backoff {
    rounds: u32,
    state: u64,
}

impl Backoff {
    pub fn new(seed: u64) -> Self {
        Self { rounds: 0, state: seed }
    }

    /// The same kind of waits for another call, from other random numbers.
    pub fn fork(&mut self) -> Self {
        Self::new(self.random())
    }

    /// After every node has failed once more.
    pub fn failed(&mut self) -> Duration {
        self.next(BASE, CAP)
    }

    /// After a node asked for less. Its own wish counts where it gave one; the jitter on top keeps
    /// those who were throttled together from coming back together.
    pub fn throttled(&mut self, wish: Option<Duration>) -> Duration {
        match wish {
            Some(wish) => wish.saturating_add(self.next(BASE, CAP)),
            None => self.next(THROTTLED_BASE, THROTTLED_CAP),
        }
    }

    fn next(&mut self, base: Duration, cap: Duration) -> Duration {
        let longest = base.saturating_mul(1 << self.rounds.min(16)).min(cap);
        self.rounds = self.rounds.saturating_add(1);
        let share = self.random() >> 11;
        // 53 random bits, the precision of an f64, make a number in [0, 1).
        longest.mul_f64(share as f64 / (1u64 << 53) as f64)
    }

    /// splitmix64: jitter has to differ between clients, not to be unpredictable.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_are_spread_over_their_whole_range() {
        let mut longest = [Duration::ZERO; 8];
        let mut shortest = [Duration::MAX; 8];
        for seed in 0..2000 {
            let mut backoff = Backoff::new(seed);
            for (longest, shortest) in longest.iter_mut().zip(&mut shortest) {
                let wait = backoff.failed();
                *longest = wait.max(*longest);
                *shortest = wait.min(*shortest);
            }
        }
        for (i, (longest, shortest)) in longest.into_iter().zip(shortest).enumerate() {
            let limit = Duration::from_millis(50 << i).min(CAP);
            assert!(longest <= limit && longest > limit.mul_f64(0.98), "round {i}: {longest:?} of {limit:?}");
            assert!(shortest < limit.mul_f64(0.02), "round {i}: {shortest:?}");
        }
    }

    #[test]
    fn a_server_s_own_wish_is_never_undercut() {
        for seed in 0..100 {
            let wish = Duration::from_secs(3);
            assert!(Backoff::new(seed).throttled(Some(wish)) >= wish);
        }
    }
}
