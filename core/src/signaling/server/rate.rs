//! How fast one connection may send.

use super::config::ServerConfig;
use crate::time::Timestamp;
use core::time::Duration;

/// Two leaky buckets, each as the moment at which it will be empty (the GCRA of ATM).
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// Of the frames that passed.
    passed: Timestamp,
    /// Of all that came.
    offered: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Drop,
    Close,
}

impl Rate {
    /// One frame came.
    pub(super) fn admit(&mut self, now: Timestamp, config: &ServerConfig) -> Verdict {
        let cost = Duration::from_secs(1) / config.frames_per_second.max(1);
        let burst = cost.saturating_mul(config.frame_burst);
        let flood = burst.saturating_add(cost.saturating_mul(config.flood));
        self.offered = self.offered.max(now).plus(cost);
        if self.offered.since(now) > flood {
            return Verdict::Close;
        }
        let passed = self.passed.max(now).plus(cost);
        if passed.since(now) > burst {
            return Verdict::Drop;
        }
        self.passed = passed;
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_burst_then_the_rate_then_the_end() {
        let config = ServerConfig {
            frames_per_second: 10,
            frame_burst: 5,
            flood: 20,
            ..ServerConfig::default()
        };
        let mut rate = Rate::default();
        let at = Timestamp::from_millis;
        for _ in 0..5 {
            assert_eq!(rate.admit(at(1000), &config), Verdict::Pass);
        }
        assert_eq!(rate.admit(at(1000), &config), Verdict::Drop);
        assert_eq!(rate.admit(at(1099), &config), Verdict::Drop);
        assert_eq!(rate.admit(at(1100), &config), Verdict::Pass);
        // What was dropped does not count against what passes.
        for second in 2..100 {
            for tenth in 0..10 {
                let now = at(second * 1000 + tenth * 100);
                assert_eq!(rate.admit(now, &config), Verdict::Pass);
            }
        }
        let verdicts: Vec<_> = (0..40).map(|_| rate.admit(at(200_000), &config)).collect();
        assert_eq!(
            &verdicts[..6],
            [[Verdict::Pass; 5].as_slice(), &[Verdict::Drop]].concat()
        );
        assert_eq!(verdicts[24], Verdict::Drop);
        assert_eq!(verdicts[25], Verdict::Close);
    }

    #[test]
    fn the_end_of_time_lets_frames_pass() {
        let mut rate = Rate::default();
        let end = Timestamp::from_nanos(u64::MAX);
        assert_eq!(rate.admit(end, &ServerConfig::default()), Verdict::Pass);
    }
}
