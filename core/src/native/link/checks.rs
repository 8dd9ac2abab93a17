//! Connectivity checks, as they go by: where each went, and how many there were.

use alloc::collections::{BTreeSet, VecDeque};
use core::net::SocketAddr;

use crate::native::stun::Transaction;
use crate::report;

/// How many checks may wait for their answers: str0m sends 20 a second at the most, and again after
/// 1.5 s at the latest.
const OUTSTANDING: usize = 128;

/// How many pairs are told apart: str0m has 100.
const PAIRS: usize = 128;

/// From where and to where.
type Ends = (SocketAddr, SocketAddr);

/// What str0m's checks of one link come to.
#[derive(Debug, Default)]
pub(super) struct Checks {
    outstanding: VecDeque<(Transaction, Ends)>,
    pairs: BTreeSet<Ends>,
    received: u32,
    answered: u32,
}

impl Checks {
    pub(super) fn sent(&mut self, transaction: Transaction, ends: Ends) {
        if self.outstanding.len() == OUTSTANDING {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back((transaction, ends));
        if self.pairs.len() < PAIRS {
            self.pairs.insert(ends);
        }
    }

    pub(super) fn received(&mut self) {
        self.received = self.received.saturating_add(1);
    }

    /// An answer came. `false`: not from where the check went to, or not to where it came from
    /// (RFC 8445 section 7.2.5.2.1). str0m does not look at that, and would take a path that
    /// leads only one way for one that works.
    pub(super) fn answered(&mut self, transaction: &Transaction, ends: Ends) -> bool {
        let sent = self.outstanding.iter();
        let mut sent = sent.filter(|(ours, _)| ours == transaction);
        let is_back = sent.next().is_some_and(|(_, sent)| *sent == ends);
        self.answered = self.answered.saturating_add(u32::from(is_back));
        is_back
    }

    pub(super) fn report(&self) -> report::Checks {
        report::Checks {
            pairs: u32::try_from(self.pairs.len()).unwrap_or(u32::MAX),
            received: self.received,
            answered: self.answered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_the_way_the_check_went() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (here, there) = (address("192.0.2.1:1"), address("192.0.2.2:2"));
        let mut checks = Checks::default();
        checks.sent([1; 12], (here, there));
        assert!(!checks.answered(&[2; 12], (here, there)));
        assert!(!checks.answered(&[1; 12], (here, address("192.0.2.2:3"))));
        assert!(!checks.answered(&[1; 12], (there, there)));
        assert!(checks.answered(&[1; 12], (here, there)));
        for n in 0..=255 {
            checks.sent([n; 12], (here, there));
        }
        assert!(checks.outstanding.len() == OUTSTANDING && checks.pairs.len() == 1);
    }
}
