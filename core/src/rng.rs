//! The only source of randomness: ChaCha12 from the driver's seed, forked by label.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A stream of random numbers.
///
/// ChaCha12 is taken by name because a "standard" generator may change between releases, and with
/// it every replayed seed. Every part of the core draws from a fork of its own, so that one more
/// draw in one part never shifts another.
#[derive(Clone)]
pub(crate) struct Rng {
    seed: [u8; 32],
    stream: ChaCha12Rng,
}

impl Rng {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            seed,
            stream: ChaCha12Rng::from_seed(seed),
        }
    }

    /// An independent stream named by `label`, the same whenever it is taken from the same seed.
    pub(crate) fn fork(&self, label: &str) -> Self {
        let mut stream = ChaCha12Rng::from_seed(self.seed);
        // Stream 0 is our own; labels get the others.
        stream.set_stream(fnv1a(label.as_bytes()) | 1 << 63);
        let mut seed = [0; 32];
        stream.fill_bytes(&mut seed);
        Self::new(seed)
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.stream.fill_bytes(&mut out);
        out
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// A number in `0..n`, without bias; 0 if `n` is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        if n <= 1 {
            return 0;
        }
        // Reject the last, incomplete multiple of n.
        let limit = u64::MAX - u64::MAX % n;
        loop {
            let drawn = self.u64();
            if drawn < limit {
                return drawn % n;
            }
        }
    }
}

impl core::fmt::Debug for Rng {
    /// The seed makes keys: it is never printed.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Rng").finish_non_exhaustive()
    }
}

/// The 64-bit FNV-1a hash: small, well known, and the same everywhere.
pub(crate) const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        hash = (hash ^ *first as u64).wrapping_mul(0x0100_0000_01b3);
        rest = tail;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_do_not_depend_on_draws() {
        let mut a = Rng::new([7; 32]);
        let b = Rng::new([7; 32]);
        let _ = a.u64();
        assert_eq!(a.fork("turn").u64(), b.fork("turn").u64());
        assert_ne!(a.fork("turn").u64(), a.fork("stun").u64());
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::new([1; 32]);
        assert_eq!(rng.below(0), 0);
        for n in 1..200 {
            assert!(rng.below(n) < n);
        }
    }

    #[test]
    fn the_stream_is_fixed_by_the_seed() {
        // A change here breaks every recorded seed.
        assert_eq!(Rng::new([0; 32]).u64(), 0x53f9_5507_6a9a_f49b);
    }
}
