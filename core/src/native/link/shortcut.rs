//! When a link that goes through a TURN server tries to go without.
//!
//! str0m takes the best pair that works, also later, but gives up pairs that do not answer for a while; so
//! what was dark at first, or for some time, would stay with its relay for good. Both ends knock again at
//! all addresses of the other's sockets: that opens their boxes, and what gets through is a check, by which
//! str0m learns of the pair anew. Both count from the moment when the link was made, so that they knock
//! together: a box lets in who was knocked at, for a while.

use core::time::Duration;

use crate::time::Timestamp;

/// The first time after the link is made; then after twice as long, and so on.
const FIRST: Duration = Duration::from_secs(5);

/// The longest pause. A box remembers for at least two minutes whom it may let in (RFC 4787 section 4.3),
/// many do so for 30 s; a minute costs little.
const LONGEST: Duration = Duration::from_secs(60);

/// How often both knock, and how soon again: the second time the boxes are open.
const KNOCKS: u8 = 4;
const AGAIN: Duration = Duration::from_millis(200);

/// When to knock.
#[derive(Debug, Default)]
pub(super) struct Shortcut {
    /// The next knock; `None` before the link is made.
    next: Option<Timestamp>,
    /// How long after the link was made, or after the round before, this one began.
    pause: Duration,
    /// When this round began.
    round: Timestamp,
    /// How many knocks of it are done.
    knocks: u8,
}

impl Shortcut {
    /// The link is made; to be said as often as you like.
    pub(super) fn begin(&mut self, now: Timestamp) {
        if self.next.is_none() {
            self.pause = FIRST;
            self.round = now.plus(FIRST);
            self.next = Some(self.round);
        }
    }

    pub(super) const fn due(&self) -> Option<Timestamp> {
        self.next
    }

    /// Whether to knock now. A round goes on if nobody knocks: only the time counts.
    pub(super) fn take_turn(&mut self, now: Timestamp) -> bool {
        if self.next.is_none_or(|next| next > now) {
            return false;
        }
        self.knocks = self.knocks.saturating_add(1);
        if self.knocks >= KNOCKS {
            self.knocks = 0;
            while self.round <= now {
                self.pause = self.pause.saturating_mul(2).min(LONGEST);
                self.round = self.round.plus(self.pause);
            }
            self.next = Some(self.round);
        } else {
            self.next = Some(now.plus(AGAIN));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn rounds_come_ever_more_rarely_and_at_the_same_times_on_both_ends() {
        let mut shortcut = Shortcut::default();
        assert_eq!(shortcut.due(), None);
        let made = Timestamp::from_millis(500);
        shortcut.begin(made);
        shortcut.begin(made.plus(FIRST));
        let mut rounds = Vec::new();
        for _ in 0..8 {
            rounds.push(shortcut.due().unwrap().since(made).as_secs());
            for _ in 0..KNOCKS {
                let now = shortcut.due().unwrap();
                assert!(!shortcut.take_turn(made));
                // Awake a little late.
                assert!(shortcut.take_turn(now.plus(Duration::from_millis(3))));
                assert!(shortcut.due().unwrap() > now.plus(Duration::from_millis(3)));
            }
        }
        assert_eq!(rounds, [5, 15, 35, 75, 135, 195, 255, 315]);
        // After a long sleep it is in step again.
        let late = made.plus(Duration::from_secs(1000));
        while shortcut.due().is_some_and(|due| due <= late) {
            shortcut.take_turn(late);
        }
        for _ in 1..KNOCKS {
            shortcut.take_turn(shortcut.due().unwrap());
        }
        assert_eq!(shortcut.due().unwrap().since(made).as_secs() % 60, 15);
    }
}
