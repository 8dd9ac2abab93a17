//! How long a receiver lets its sender wait.

use core::time::Duration;

use crate::time::Timestamp;
use crate::wire::Ack;

/// A receiver that says nothing of itself has this many times as long as one that says that its
/// application takes nothing: a bad path must not look like a slow reader. The longest pause that
/// was measured of native links is 3.3 s, at 30 % loss; SCTP alone, as in a browser, has longer ones.
const SILENT_FACTOR: u32 = 4;

/// For so long it counts that something moves: pieces that come in, or a channel that empties. In this
/// time a path of 5 kB/s carries a full window.
const MOVING: Duration = Duration::from_secs(120);

/// Whether a window is full, and whose fault that is.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    /// Since when the largest message would not fit, and nothing was taken or moved.
    since: Option<Timestamp>,
    /// How long the receiver's application had taken nothing when we last heard.
    idle: Duration,
    /// When it last took something, or the window was first full.
    began: Option<Timestamp>,
}

/// What an acknowledgement says of its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// It took something.
    Progress,
    /// Another message is whole.
    Received,
    /// Nothing has changed.
    Still,
}

impl Account {
    pub(super) const fn of(progress: bool, received: bool) -> Self {
        match (progress, received) {
            (true, _) => Self::Progress,
            (false, true) => Self::Received,
            (false, false) => Self::Still,
        }
    }
}

impl Stall {
    /// Something was sent.
    pub(super) fn sent(&mut self, now: Timestamp, full: bool) {
        if full {
            self.since.get_or_insert(now);
            self.began.get_or_insert(now);
        }
    }

    /// The receiver acknowledged.
    pub(super) fn acknowledged(&mut self, now: Timestamp, ack: Ack, said: Account, full: bool) {
        self.idle = Duration::from_millis(ack.idle.into());
        match said {
            Account::Progress => {
                self.since = full.then_some(now);
                self.began = self.since;
            }
            // It says so only while a message comes in, slowly.
            Account::Still if ack.idle == 0 => self.moved(now),
            Account::Received | Account::Still => {}
        }
    }

    /// What is on the way to the receiver moves, if slowly: that nothing is taken may not be its fault.
    pub(crate) fn moved(&mut self, now: Timestamp) {
        if self.began.is_some_and(|began| now.since(began) < MOVING) {
            self.since = self.since.map(|_| now);
        }
    }

    /// Whether the sender may be waiting.
    pub(super) const fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Since when the sender may be waiting, and nothing was taken or moved.
    pub(crate) const fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// When the receiver has had its time, as things are.
    pub(crate) fn over_at(&self, patience: Duration) -> Option<Timestamp> {
        let since = self.since?;
        let says_so = self.idle >= patience;
        let patience = if says_so {
            patience
        } else {
            patience.saturating_mul(SILENT_FACTOR)
        };
        Some(since.plus(patience))
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
        stall.acknowledged(Timestamp::ZERO, ack(9_000), Account::Received, false);
        assert_eq!(stall.over_at(PATIENCE), None);
    }

    #[test]
    fn a_receiver_that_admits_to_take_nothing_has_less_time_than_a_silent_one() {
        let mut stall = Stall::default();
        let at = Timestamp::from_millis;
        stall.sent(at(100), true);
        stall.sent(at(200), true);
        assert_eq!(stall.over_at(PATIENCE), Some(at(20_100)));
        stall.acknowledged(at(5_300), ack(5_000), Account::Received, true);
        assert_eq!(stall.over_at(PATIENCE), Some(at(5_100)));
        stall.acknowledged(at(5_400), ack(0), Account::Progress, true);
        assert_eq!(stall.over_at(PATIENCE), Some(at(25_400)), "it moves again");
        stall.acknowledged(at(5_500), ack(0), Account::Progress, false);
        assert_eq!(stall.over_at(PATIENCE), None);
    }

    #[test]
    fn a_message_that_comes_in_slowly_has_longer_but_not_for_ever() {
        let mut stall = Stall::default();
        let at = |seconds: u64| Timestamp::from_millis(1000 * seconds);
        stall.sent(at(0), true);
        for nth in 1..=100 {
            stall.acknowledged(at(2 * nth), ack(0), Account::Still, true);
        }
        // The last that counts is before two minutes.
        assert_eq!(stall.over_at(PATIENCE), Some(at(118 + 20)));
        stall.acknowledged(at(130), ack(0), Account::Progress, true);
        stall.acknowledged(at(140), ack(0), Account::Still, true);
        assert_eq!(stall.over_at(PATIENCE), Some(at(160)));
    }
}
