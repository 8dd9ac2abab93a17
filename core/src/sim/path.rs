//! What a path between two nodes does to what is sent over it.

use core::time::Duration;

use crate::rng::Rng;

/// One direction between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by tests, with `..Default::default()`"
)]
pub struct Path {
    /// How long a packet takes. Default 20 ms.
    pub delay: Duration,
    /// Up to how much longer a packet may take, drawn evenly; packets may overtake each other.
    pub jitter: Duration,
    /// How many packets in a thousand are lost. Default 0.
    pub loss_per_mille: u16,
    /// Nothing passes at all.
    pub cut: bool,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
            loss_per_mille: 0,
            cut: false,
        }
    }
}

impl Path {
    /// How long the `nth` packet takes; `None` if it is lost.
    ///
    /// A function of the seed, the path and the number alone: what happens to one packet does not
    /// depend on what was drawn for others.
    pub(super) fn pass(&self, rng: &Rng, nth: u64) -> Option<Duration> {
        if self.cut {
            return None;
        }
        if self.loss_per_mille == 0 && self.jitter.is_zero() {
            return Some(self.delay);
        }
        let mut draw = rng.fork(&alloc::format!("packet {nth}"));
        if draw.below(1000) < self.loss_per_mille.into() {
            return None;
        }
        let jitter = draw.below((self.jitter.as_nanos() as u64).saturating_add(1));
        Some(self.delay + Duration::from_nanos(jitter))
    }
}
