//! A pair in the place of the selected one, when that is dead and str0m still believes in it.
//!
//! When a NAT in between forgets the mapping of a path, the other side is heard from a new address at
//! once, but str0m keeps to the old pair until its checks have failed for long. So the new one is
//! probed as soon as something authentic comes from there, and DTLS goes there if the probe is answered
//! and the one on the old pair is not. Not sooner: anybody can send a check of the remote again. A probe
//! may be lost, so they are repeated until one of the two is settled.

use alloc::collections::VecDeque;
use core::net::SocketAddr;
use core::time::Duration;

use crate::native::stun::Transaction;
use crate::time::Timestamp;

/// From where and to where.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// How many probes of other pairs may wait for their answers.
const OUTSTANDING: usize = 8;

/// How soon both pairs are probed again.
const AGAIN: Duration = Duration::from_millis(100);

/// How often: as long as it takes until a node is suspected.
const TRIES: u8 = 20;

/// What is known of other pairs than the selected one.
#[derive(Debug, Default)]
pub(super) struct Detour {
    tried: VecDeque<(Transaction, Ends)>,
    /// While the pair that is used is in doubt: when both are probed next, and how often still.
    doubt: Option<(Timestamp, u8)>,
    /// In the place of which pair, and which is taken.
    taken: Option<(Ends, Ends)>,
}

impl Detour {
    /// The pair that is used for what str0m would send on this one.
    pub(super) fn instead_of(&self, ends: Ends) -> Ends {
        self.taken
            .filter(|(from, _)| *from == ends)
            .map_or(ends, |(_, to)| to)
    }

    /// The pair that is used may be dead.
    pub(super) fn doubt(&mut self, now: Timestamp) {
        self.doubt.get_or_insert((now, TRIES));
    }

    /// The pair that is used works.
    pub(super) const fn trust(&mut self) {
        self.doubt = None;
    }

    /// When both pairs are probed next.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.doubt.map(|(due, _)| due)
    }

    /// Whether both pairs are to be probed now.
    pub(super) fn take_turn(&mut self, now: Timestamp) -> bool {
        let Some((due, left)) = self.doubt else {
            return false;
        };
        if due > now {
            return false;
        }
        let left = left.saturating_sub(1);
        self.doubt = (left > 0).then(|| (now.plus(AGAIN), left));
        true
    }

    /// Nothing is due before this.
    pub(super) fn rest(&mut self, until: Timestamp) {
        if let Some((due, _)) = &mut self.doubt {
            *due = until.max(*due);
        }
    }

    /// A probe was sent on another pair.
    pub(super) fn tried(&mut self, transaction: Transaction, ends: Ends) {
        if self.tried.len() == OUTSTANDING {
            self.tried.pop_front();
        }
        self.tried.push_back((transaction, ends));
    }

    /// A probe was answered: on which pair, if it was on another one.
    pub(super) fn answered(&mut self, transaction: &Transaction) -> Option<Ends> {
        let place = self
            .tried
            .iter()
            .position(|(ours, _)| ours == transaction)?;
        let (_, ends) = self.tried.remove(place)?;
        Some(ends)
    }

    /// From now on DTLS goes to the second in the place of the first.
    pub(super) fn take(&mut self, from: Ends, to: Ends) {
        self.taken = Some((from, to));
        self.trust();
    }

    /// A check on this pair was answered: if another one is taken in its place, it need not be.
    pub(super) fn works(&mut self, ends: Ends) {
        self.taken = self.taken.filter(|(from, _)| *from != ends);
    }

    /// Forgets pairs that are no more.
    pub(super) fn retain(&mut self, is_left: impl Fn(&Ends) -> bool) {
        self.tried.retain(|(_, ends)| is_left(ends));
        self.taken = self.taken.filter(|(_, to)| is_left(to));
    }
}
