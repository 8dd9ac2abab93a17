//! Random numbers that depend on nothing but their name: no draw shifts another.

use core::time::Duration;

/// What is drawn for: each has keys of its own.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Path = 1,
    Burst = 2,
    Link = 3,
    Signaling = 4,
    Clock = 5,
}

/// SplitMix64's output function: every bit of the input changes half of the output's.
pub(super) const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The key of a row of draws, to be made once.
pub(super) const fn key(seed: u64, kind: Kind, a: u64, b: u64) -> u64 {
    mix(mix(mix(seed ^ kind as u64) ^ a) ^ b)
}

/// All that is drawn for the n-th thing of a key.
///
/// Every question has a *lane* of its own, so that asking one more (a jitter where there was none)
/// leaves the answers to the others (what is lost) as they were.
#[derive(Clone, Copy)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) const fn of(key: u64, n: u64) -> Self {
        Self(mix(key ^ mix(n)))
    }

    pub(super) const fn bits(self, lane: u64) -> u64 {
        mix(self.0 ^ lane)
    }

    /// A number in `0..n`; 0 if `n` is 0.
    pub(super) const fn below(self, lane: u64, n: u64) -> u64 {
        ((self.bits(lane) as u128 * n as u128) >> 64) as u64
    }

    pub(super) const fn chance(self, lane: u64, per_mille: u16) -> bool {
        per_mille > 0 && self.below(lane, 1000) < per_mille as u64
    }

    /// Evenly from zero to `most`.
    pub(super) fn up_to(self, lane: u64, most: Duration) -> Duration {
        if most.is_zero() {
            return most;
        }
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.below(lane, most.saturating_add(1)))
    }

    /// Exponentially distributed with this mean, in integers alone; never over 45 means.
    pub(super) fn exponential(self, lane: u64, mean: Duration) -> Duration {
        if mean.is_zero() {
            return mean;
        }
        // ln 2, as a fraction of 2^32.
        const LN_2: u128 = 0xb172_17f7;
        let halvings = u128::from(minus_log2(self.bits(lane)));
        let nanos = (mean.as_nanos().saturating_mul(halvings) >> 32).saturating_mul(LN_2) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// -log2(bits / 2^64), as a fraction of 2^32.
fn minus_log2(bits: u64) -> u64 {
    let bits = bits.max(1);
    let zeros = bits.leading_zeros();
    // bits = x / 2^(zeros + 1) with x from 1 to 2, here as a fraction of 2^31.
    let mut x = (bits << zeros) >> 32;
    let mut log: u64 = 0;
    // Each squaring gives one more binary digit of log2(x).
    for place in 1..=16u32 {
        x = (x * x) >> 31;
        if x >= 1 << 32 {
            x >>= 1;
            log |= 1 << (32 - place);
        }
    }
    ((u64::from(zeros) + 1) << 32) - log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_right() {
        for (bits, expected) in [
            (u64::MAX, 0),
            (1 << 63, 1 << 32),
            (1 << 62, 2 << 32),
            // -log2(3/4) = 0.41504
            (3 << 62, 1_782_567_000),
            (1, 64 << 32),
        ] {
            let log = minus_log2(bits);
            assert!(log.abs_diff(expected) < 1 << 18, "{bits:x}: {log}");
        }
    }

    #[test]
    fn an_exponential_has_its_mean_and_its_tail() {
        let key = key(7, Kind::Path, 0, 1);
        let mean = Duration::from_millis(10);
        let draws = 20_000u32;
        let mut sum = Duration::ZERO;
        let mut over = [0u32; 2];
        for n in 0..draws {
            let drawn = Draw::of(key, n.into()).exponential(0, mean);
            sum += drawn;
            over[0] += u32::from(drawn > mean);
            over[1] += u32::from(drawn > 3 * mean);
        }
        let average = sum / draws;
        assert!(average > Duration::from_micros(9_800) && average < Duration::from_micros(10_200));
        // e^-1 is 36.8 %, e^-3 is 4.98 %.
        assert!((7_100..7_600).contains(&over[0]), "{over:?}");
        assert!((900..1_100).contains(&over[1]), "{over:?}");
    }

    #[test]
    fn chances_come_as_often_as_they_say() {
        let key = key(1, Kind::Path, 3, 4);
        let hits = (0..100_000)
            .filter(|n| Draw::of(key, *n).chance(2, 30))
            .count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
        assert!((0..1000).all(|n| !Draw::of(key, n).chance(2, 0)));
        assert!((0..1000).all(|n| Draw::of(key, n).chance(2, 1000)));
    }
}
