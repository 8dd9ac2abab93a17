//! How long a receiver lets its sender wait.

use core::time::Duration;

use crate::time::Timestamp;
use crate::wire::Ack;

/// A receiver that says nothing of itself has this many times as long as one that says that its
/// application takes nothing: a bad path must not look like a slow reader. The longest pause that
/// was measured of native links is 3.3 s, at 30 % loss; SCTP alone, as in a browser, has longer ones.
const SILENT_FACTOR: u32 = 4;

/// Whether a window is full, and whose fault that is.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    /// Since when the largest message would not fit, and nothing was taken.
    since: Option<Timestamp>,
    /// How long the receiver's application had taken nothing when we last heard.
    idle: Duration,
}

impl Stall {
    /// Something was sent.
    pub(super) fn sent(&mut self, now: Timestamp, full: bool) {
        if full {
            self.since.get_or_insert(now);
        }
    }

    /// The receiver acknowledged; `progress`: it took something.
    pub(super) fn acknowledged(&mut self, now: Timestamp, ack: Ack, progress: bool, full: bool) {
        self.idle = Duration::from_millis(ack.idle.into());
        if progress {
            self.since = full.then_some(now);
        }
    }

    /// Whether the sender may be waiting.
    pub(super) const fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// When the receiver has had its time, as things are.
    pub(crate) fn over_at(&self, patience: Duration) -> Option<Timestamp> {
        let says_so = self.idle >= patience;
        let patience = if says_so {
            patience
        } else {
            patience.saturating_mul(SILENT_FACTOR)
        };
        self.since.map(|since| since.plus(patience))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn ack(idle: u32) -> Ack {
        Ack {
            next: 0,
            limit: 0,
            idle,
        }
    }

    #[test]
    fn only_a_full_window_counts() {
        let mut stall = Stall::default();
        stall.sent(Timestamp::ZERO, false);
        stall.acknowledged(Timestamp::ZERO, ack(9_000), false, false);
        assert_eq!(stall.over_at(PATIENCE), None);
    }

    #[test]
    fn a_receiver_that_admits_to_take_nothing_has_less_time_than_a_silent_one() {
        let mut stall = Stall::default();
        let at = Timestamp::from_millis;
        stall.sent(at(100), true);
        stall.sent(at(200), true);
        assert_eq!(stall.over_at(PATIENCE), Some(at(20_100)));
        stall.acknowledged(at(5_300), ack(5_000), false, true);
        assert_eq!(stall.over_at(PATIENCE), Some(at(5_100)));
        stall.acknowledged(at(5_400), ack(0), true, true);
        assert_eq!(stall.over_at(PATIENCE), Some(at(25_400)), "it moves again");
        stall.acknowledged(at(5_500), ack(0), true, false);
        assert_eq!(stall.over_at(PATIENCE), None);
    }
}
