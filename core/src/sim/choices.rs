//! Where a plan's decisions come from: a seed, or a fuzzer's bytes.

use core::time::Duration;

use crate::rng::Rng;

/// Decides, one question after the other.
///
/// Everything that is drawn is drawn through this one interface, so that a pseudo-random generator
/// ([`FromSeed`]) and a fuzzer ([`FromBytes`]) search the same space. The smallest answer is always
/// the most boring one: whoever asks arranges its question so that zero means "nothing special".
pub trait Choices {
    /// A number in `0..bound`; 0 if `bound` is 0.
    fn below(&mut self, bound: u32) -> u32;

    /// Whether something happens that does so `per_mille` times in a thousand.
    fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) >= 1000u32.saturating_sub(per_mille)
    }

    /// A number from `least` to `most`, both included.
    fn range(&mut self, least: u32, most: u32) -> u32 {
        let span = most.saturating_sub(least).saturating_add(1);
        least.saturating_add(self.below(span))
    }

    /// One of these; `None` if there are none.
    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T>
    where
        Self: Sized,
    {
        let nth = self.below(u32::try_from(from.len()).unwrap_or(u32::MAX));
        from.get(nth as usize)
    }

    /// The place of one of these weights, each as likely as it is heavy; `None` if all are zero.
    fn weighted(&mut self, weights: &[u32]) -> Option<usize> {
        let total = weights.iter().fold(0u32, |sum, w| sum.saturating_add(*w));
        let mut left = self.below(total);
        for (place, weight) in weights.iter().enumerate() {
            if left < *weight {
                return Some(place);
            }
            left = left.saturating_sub(*weight);
        }
        None
    }

    /// A time from `least` to `most`, in whole milliseconds.
    fn duration(&mut self, least: Duration, most: Duration) -> Duration {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Duration::from_millis(self.range(millis(least), millis(most)).into())
    }
}

/// Choices of a pseudo-random generator: another seed, other choices.
#[derive(Debug)]
pub struct FromSeed(Rng);

impl FromSeed {
    /// The choices of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(seed.to_le_bytes()) {
            *to = from;
        }
        // The world draws from the same seed; a fork keeps the two apart.
        Self(Rng::new(bytes).fork("choices"))
    }
}

impl Choices for FromSeed {
    fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.0.below(bound.into())).unwrap_or(0)
    }
}

/// Choices of a fuzzer: each takes as many bytes as its bound needs, and zero once they run out, so
/// a short input is a short plan.
#[derive(Debug)]
pub struct FromBytes<'a>(&'a [u8]);

impl<'a> FromBytes<'a> {
    /// The choices that these bytes make.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all bytes are used up: from here on every choice is zero.
    #[must_use]
    pub const fn is_dry(&self) -> bool {
        self.0.is_empty()
    }
}

impl Choices for FromBytes<'_> {
    fn below(&mut self, bound: u32) -> u32 {
        let Some(most) = bound.checked_sub(1).filter(|most| *most > 0) else {
            return 0;
        };
        let mut drawn = 0;
        let mut span = most;
        while span > 0 {
            let Some((first, rest)) = self.0.split_first() else {
                break;
            };
            self.0 = rest;
            drawn = drawn << 8 | u32::from(*first);
            span >>= 8;
        }
        drawn.checked_rem(bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_seed_always_chooses_the_same() {
        let draw = |seed| {
            let mut choices = FromSeed::new(seed);
            (0..50).map(|_| choices.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn answers_keep_to_their_bounds() {
        let bytes: Vec<u8> = (0..=255).cycle().take(40_000).collect();
        let (mut seeded, mut fed) = (FromSeed::new(3), FromBytes::new(&bytes));
        let both: [&mut dyn Choices; 2] = [&mut seeded, &mut fed];
        for choices in both {
            for bound in [1, 2, 255, 256, 257, 65_536, 65_537, u32::MAX] {
                for _ in 0..100 {
                    assert!(choices.below(bound) < bound);
                }
            }
            assert_eq!(choices.below(0), 0);
            for _ in 0..100 {
                assert!((5..=7).contains(&choices.range(5, 7)));
            }
            assert_eq!(choices.range(7, 5), 7);
            assert_eq!(choices.weighted(&[0, 0, 4, 0]), Some(2));
            assert_eq!(choices.weighted(&[]), None);
            let second = Duration::from_secs(1);
            assert!((second..=second * 2).contains(&choices.duration(second, second * 2)));
        }
    }

    #[test]
    fn chances_are_what_they_say() {
        let mut choices = FromSeed::new(9);
        let hits = (0..10_000).filter(|_| choices.chance(250)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!(!choices.chance(0));
        assert!(choices.chance(1000));
    }

    #[test]
    fn bytes_that_run_out_choose_what_is_boring() {
        let mut choices = FromBytes::new(&[7]);
        assert_eq!(choices.below(256), 7);
        assert!(choices.is_dry());
        assert_eq!(choices.below(256), 0);
        assert!(!choices.chance(999));
        assert_eq!(choices.range(3, 9), 3);
        assert_eq!(choices.pick(&["boring", "wild"]), Some(&"boring"));
        assert_eq!(choices.weighted(&[1, 9]), Some(0));
    }

    #[test]
    fn small_questions_take_one_byte() {
        let mut choices = FromBytes::new(&[1, 2, 3, 4]);
        assert_eq!((choices.below(10), choices.below(256)), (1, 2));
        assert_eq!(choices.below(257), 0x0304 % 257);
        assert!(choices.is_dry());
    }
}
