//! Peer-reflexive addresses of the remote (RFC 8445): its checks come from there, and nobody told us of them.
//!
//! A box that gives each pair a port of its own, and leads back what those behind it send to its
//! outside, shows two nodes behind it to each other at a new port with every check: the answer to that
//! is a check to the new port, which comes from a new one again. str0m remembers each, and goes on
//! checking what has answered. So only a few are let in at once, and then ever so often another one: the
//! staircase ends when nobody has answered for as long as a pair is tried.

use alloc::collections::BTreeSet;
use core::net::SocketAddr;
use core::time::Duration;

use crate::time::Timestamp;

/// How many at once: a box between has a port for each of our addresses and each of the remote's
/// interfaces behind it; four and two are many.
const AT_ONCE: u64 = 8;

/// How soon another one, as when a box has forgotten its mappings. A pair that does not answer is tried
/// nine times, 1.5 s apart at the most.
const ANOTHER: Duration = Duration::from_secs(30);

/// Who was let in, and how many more may be.
#[derive(Debug)]
pub(super) struct PeerReflexive {
    known: BTreeSet<SocketAddr>,
    places: u64,
    /// Since when time counts for the next place.
    since: Timestamp,
}

impl PeerReflexive {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            known: BTreeSet::new(),
            places: AT_ONCE,
            since: now,
        }
    }

    /// Whether this one may come in; to be asked once for each.
    pub(super) fn admit(&mut self, now: Timestamp, address: SocketAddr) -> bool {
        while self.places < AT_ONCE && now.since(self.since) >= ANOTHER {
            self.since = self.since.plus(ANOTHER);
            self.places += 1;
        }
        if self.places == AT_ONCE {
            self.since = now;
        }
        let Some(left) = self.places.checked_sub(1) else {
            return false;
        };
        self.places = left;
        self.known.insert(address);
        true
    }

    /// The remote has told of this address: its check was only faster.
    pub(super) fn told(&mut self, address: SocketAddr) {
        if self.known.remove(&address) {
            self.places = AT_ONCE.min(self.places.saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_at_once_and_then_ever_so_often_another() {
        let address = |port: u16| SocketAddr::from(([198, 51, 100, 1], port));
        let at = Timestamp::from_millis;
        let mut peer_reflexive = PeerReflexive::new(at(0));
        let let_in = |peer_reflexive: &mut PeerReflexive, now| {
            let mut ports = 0..100;
            ports.find(|port| !peer_reflexive.admit(now, address(*port)))
        };
        assert_eq!(let_in(&mut peer_reflexive, at(100_000)), Some(8));
        assert!(!peer_reflexive.admit(at(129_999), address(9)));
        assert!(peer_reflexive.admit(at(130_000), address(9)));
        assert!(!peer_reflexive.admit(at(130_000), address(10)));
        peer_reflexive.told(address(50));
        assert!(!peer_reflexive.admit(at(130_000), address(10)));
        peer_reflexive.told(address(3));
        assert!(peer_reflexive.admit(at(130_000), address(10)));
        assert_eq!(let_in(&mut peer_reflexive, at(10_000_000)), Some(8));
    }
}
