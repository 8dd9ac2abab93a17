//! The way to a link between two joiners: attempts, and how long to wait between them.

use core::time::Duration;

use crate::event::LeaveReason;
use crate::id::LinkId;
use crate::time::Timestamp;

/// The wait after the first attempt that came to nothing; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait: what keeps two nodes apart seldom goes away sooner.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// An offer that comes sooner than this after the last one is not looked at: its sender waits longer.
const LEAST_WAIT: Duration = Duration::from_millis(500);

/// What one joiner knows of its link to another.
#[derive(Debug, Default)]
pub(crate) struct Direct {
    /// The attempt that is under way or was the last.
    attempt: u32,
    link: Option<LinkId>,
    /// When to try next, if it is ours to try.
    retry: Option<Timestamp>,
    /// Attempts since the link last worked.
    failures: u8,
    /// When the last offer was accepted.
    offered: Option<Timestamp>,
    /// Messages go directly, and the application knows.
    pub(crate) in_use: bool,
    /// Somebody said that the node leaves.
    pub(crate) leaves: Option<Leaves>,
}

/// A node that leaves: the other of the two who know it is heard first, but not waited for for long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaves {
    pub(crate) until: Timestamp,
    pub(crate) reason: LeaveReason,
    /// The host says so, and the node's last words may still come directly. Else the node itself did, and the
    /// host's word is awaited.
    pub(crate) by_host: bool,
}

/// Who gives up a link, and so whether the other side has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GiveUp {
    /// We do: the other side may still believe in it.
    Ours,
    /// The other side did, and said so.
    Theirs,
}

impl Direct {
    pub(crate) const fn link(&self) -> Option<LinkId> {
        self.link
    }

    /// We offer: the number of the attempt.
    pub(crate) fn offer(&mut self, link: LinkId) -> u32 {
        self.attempt = self.attempt.saturating_add(1);
        self.link = Some(link);
        self.retry = None;
        self.attempt
    }

    /// Whether an offer of the other side is to be answered.
    pub(crate) fn accepts(&self, now: Timestamp, attempt: u32) -> bool {
        let soon = self
            .offered
            .is_some_and(|offered| now.since(offered) < LEAST_WAIT);
        attempt > self.attempt && !soon
    }

    /// We answer the other side's attempt.
    pub(crate) const fn answer(&mut self, now: Timestamp, attempt: u32, link: LinkId) {
        self.attempt = attempt;
        self.link = Some(link);
        self.offered = Some(now);
    }

    /// The link of this attempt, if it is the one under way.
    pub(crate) fn link_of(&self, attempt: u32) -> Option<LinkId> {
        self.link.filter(|_| attempt == self.attempt)
    }

    /// What the host says of its leaving.
    pub(crate) fn left(&self) -> Option<Leaves> {
        self.leaves.filter(|leaves| leaves.by_host)
    }

    /// The link works.
    pub(crate) const fn opened(&mut self) {
        self.failures = 0;
    }

    /// The link is no more; `ours`: it is ours to try again.
    pub(crate) fn failed(&mut self, now: Timestamp, ours: bool) {
        self.link = None;
        let doublings = u32::from(self.failures.min(6));
        let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        self.retry = ours.then(|| now.plus(wait));
    }

    pub(crate) const fn retry_at(&self) -> Option<Timestamp> {
        self.retry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const LINK: LinkId = LinkId(1);

    #[test]
    fn attempts_wait_longer_and_longer_until_one_works() {
        let mut direct = Direct::default();
        let mut now = Timestamp::ZERO;
        let mut waits = Vec::new();
        for attempt in 1..10 {
            assert_eq!(direct.offer(LINK), attempt);
            assert_eq!(direct.retry_at(), None);
            direct.failed(now, true);
            let next = direct.retry_at().unwrap();
            waits.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        direct.offer(LINK);
        direct.opened();
        direct.failed(now, true);
        assert_eq!(direct.retry_at(), Some(now.plus(FIRST_WAIT)));
        direct.failed(now, false);
        assert_eq!(direct.retry_at(), None, "the other side tries");
    }

    #[test]
    fn late_and_hasty_offers_are_not_looked_at() {
        let mut direct = Direct::default();
        let at = Timestamp::from_millis;
        assert!(direct.accepts(at(0), 1));
        direct.answer(at(0), 5, LINK);
        assert_eq!(direct.link_of(5), Some(LINK));
        assert_eq!(direct.link_of(4), None);
        assert!(!direct.accepts(at(499), 6));
        assert!(direct.accepts(at(500), 6));
        assert!(!direct.accepts(at(5_000), 5));
    }
}
