//! What theory says about two nodes: can they reach each other, and how.
//!
//! The oracle knows the boxes' behaviour, not their tables. It speaks of boxes that have room and
//! of mappings that have not expired, and it assumes that both sides do what ICE does (RFC 8445):
//! learn their mapped address from a STUN server, tell each other all candidates, check all pairs
//! from both sides, learn *peer-reflexive* candidates from checks that come from elsewhere, and
//! take a pair as valid only if the answer comes from where the check went to (section 7.2.5.2.1).

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::internet::{Host, Internet, Next, Realm, is_on_link};
use super::nat::Dependence::{
    self, AddressAndPortDependent, AddressDependent, EndpointIndependent,
};
use crate::time::Timestamp;

/// Which addresses of itself a node can tell, and what it can fall back on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the kinds of candidates that ICE has"
)]
pub enum Knowledge {
    /// Those of its interfaces alone (host candidates).
    Host,
    /// Also the one that a STUN server on the Internet saw (server-reflexive candidates).
    Stun,
    /// It has a TURN server on the Internet as well, over UDP (relayed candidates).
    Turn,
}

/// How two nodes can reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth")]
pub enum Reach {
    /// Datagrams pass between them.
    Direct,
    /// Only through a TURN server, which one of them has.
    RelayOnly,
    /// Not at all: neither finds the other, and no relay is known, or no UDP gets as far as there.
    Unreachable,
}

/// A box as far as the other side notices it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hop {
    mapping: Dependence,
    filtering: Dependence,
}

/// One side of a pair, as it appears in the realm where both meet.
#[derive(Clone, Debug)]
struct Side {
    /// The boxes between it and that realm, innermost first.
    hops: Vec<Hop>,
    /// Whether the other side is told an address of that realm that leads to this one (or would,
    /// if the filters let it).
    known: bool,
}

impl Side {
    /// How much of the destination decides the endpoint under which this side appears. Boxes in a
    /// row depend on all that any of them depends on: another endpoint on the inside of one is
    /// another on its outside.
    fn mapping(&self) -> Dependence {
        let hops = self.hops.iter().map(|hop| hop.mapping);
        hops.max().unwrap_or(EndpointIndependent)
    }

    /// Whether all filters let in an endpoint whose address this side has sent to *on this very
    /// path*, but at another port.
    fn tolerates_other_ports(&self) -> bool {
        self.hops
            .iter()
            .all(|hop| hop.filtering != AddressAndPortDependent)
    }

    /// Whether `other`'s first check, to the address of this side that was told, gets in.
    ///
    /// RFC 4787 section 5: a filter asks whether the *inside endpoint* has sent to the sender. This
    /// side's own checks count, but they leave on the path for the other's address; behind a box
    /// whose mapping depends on the destination the next one sees another inside endpoint there
    /// than on the path of the address that was told (that for the STUN server). So:
    fn lets_in(&self, other: &Self) -> bool {
        // The endpoint from which `other`'s check comes is the one that it told only if its
        // mapping does not depend on the destination.
        let expected = other.known && other.mapping() == EndpointIndependent;
        let mut same_path = true;
        self.hops.iter().all(|hop| {
            let lets_in = match hop.filtering {
                EndpointIndependent => true,
                AddressDependent => same_path && other.known,
                AddressAndPortDependent => same_path && expected,
            };
            same_path &= hop.mapping == EndpointIndependent;
            lets_in
        })
    }

    /// Whether a pair is found that begins with a check of `self` to the told address of `other`.
    fn opens(&self, other: &Self) -> bool {
        if !other.known || !other.lets_in(self) {
            return false;
        }
        // Now `other` knows the endpoint that `self` has for it, as a peer-reflexive candidate, and
        // answers. If its own mapping does not depend on the destination, the answer comes from
        // where the check went to: all filters of `self` have seen exactly that, and the pair is
        // valid.
        if other.mapping() == EndpointIndependent {
            return true;
        }
        // Else the answer, and the check that goes with it (RFC 8445 section 7.3.1.4), come from a
        // new port, which a filter that looks at ports does not let in.
        if !self.tolerates_other_ports() {
            return false;
        }
        // `self` learns this endpoint as peer-reflexive and answers. The answer comes from where
        // the check went to, unless `self` has an endpoint for every port of the other.
        if self.mapping() != AddressAndPortDependent {
            return true;
        }
        // Then its own check to that endpoint comes from a new port again; the other side answers
        // it from the same one as before if it looks at the address alone. If both have an endpoint
        // for every port of the other they run after each other for ever.
        other.tolerates_other_ports() && other.mapping() == AddressDependent
    }
}

impl Internet {
    /// How two nodes can reach each other now, given what each knows.
    pub(super) fn reach(
        &self,
        now: Timestamp,
        a: (usize, Knowledge),
        b: (usize, Knowledge),
    ) -> Reach {
        if self.is_direct(now, a, b) {
            return Reach::Direct;
        }
        // One relay is enough: the other side sends to the relayed address, from which it is let
        // in by the permission for its own public address (RFC 8656 section 9), whatever its port.
        let relay = a.1.max(b.1) == Knowledge::Turn;
        if relay && [a.0, b.0].iter().all(|node| self.reaches_out(now, *node)) {
            return Reach::RelayOnly;
        }
        Reach::Unreachable
    }

    fn is_direct(&self, now: Timestamp, a: (usize, Knowledge), b: (usize, Knowledge)) -> bool {
        let (Some(site_a), Some(site_b)) = (
            self.sites.get(&Host::Node(a.0)),
            self.sites.get(&Host::Node(b.0)),
        ) else {
            return false;
        };
        let (chain_a, chain_b) = (self.chain(site_a.realm), self.chain(site_b.realm));
        // The boxes that both are behind are the outermost of both chains.
        let shared = chain_a
            .iter()
            .rev()
            .zip(chain_b.iter().rev())
            .take_while(|(a, b)| a == b)
            .count();
        let below = |chain: &[usize]| -> Vec<usize> {
            let own = chain.len().saturating_sub(shared);
            chain.iter().take(own).copied().collect()
        };
        let (below_a, below_b) = (below(&chain_a), below(&chain_b));
        let meeting = chain_a.iter().rev().take(shared).last().copied();
        let addresses = |site: &super::internet::Site, v6: bool| {
            let of_family = site.addresses.iter().find(|own| own.is_ipv6() == v6);
            of_family.copied()
        };

        // IPv6: addresses are global and not translated, so that both know the other's and every
        // filter sees both directions (RFC 6092 section 3.3 wants just this).
        if addresses(site_a, true).is_some() && addresses(site_b, true).is_some() {
            let side = |chain: &[usize]| self.filters(now, chain).map(told);
            if meet(side(&below_a), side(&below_b)) {
                return true;
            }
        }
        let (Some(v4_a), Some(v4_b)) = (addresses(site_a, false), addresses(site_b, false)) else {
            return false;
        };

        // IPv4 in the innermost realm that both are in or under: a host candidate is an address of
        // it if there is no box between. The same LAN is the case without boxes on both sides.
        let side = |own: SocketAddr, below: &[usize], other: (SocketAddr, Realm)| {
            let known = below.is_empty() && self.leads(other, own, meeting);
            let hops = self.translators(now, below)?;
            Some(Side { hops, known })
        };
        let in_meeting = meet(
            side(v4_a, &below_a, (v4_b, site_b.realm)),
            side(v4_b, &below_b, (v4_a, site_a.realm)),
        );
        if in_meeting {
            return true;
        }

        // IPv4 on the Internet, at the addresses that STUN servers see. If both are behind the same
        // outermost box, it must turn their datagrams around (RFC 4787 section 6).
        if let Some(index) = chain_a.last().filter(|_| shared > 0)
            && !self
                .gates
                .get(*index)
                .is_some_and(|gate| gate.nat.config.hairpin)
        {
            return false;
        }
        let side = |chain: &[usize], knowledge| {
            let hops = self.translators(now, chain)?;
            let known = chain.is_empty() || knowledge >= Knowledge::Stun;
            Some(Side { hops, known })
        };
        meet(side(&chain_a, a.1), side(&chain_b, b.1))
    }

    /// Whether datagrams from a node (its own address, its realm) to an address of the realm
    /// `meeting` get there: not if a realm below has that address itself, or takes it for one of
    /// its own.
    fn leads(&self, from: (SocketAddr, Realm), to: SocketAddr, meeting: Realm) -> bool {
        let (mut source, mut realm) = from;
        while realm != meeting {
            let Some(gate) = realm.and_then(|nat| self.gates.get(nat)) else {
                return false;
            };
            if self.next(realm, to.ip()).is_some() || is_on_link(source, to) {
                return false;
            }
            source.set_ip(gate.nat.outside().into());
            realm = gate.outer;
        }
        // Two homes may both have it; of two nodes in one LAN nobody has the other's.
        matches!(self.next(realm, to.ip()), Some(Next::Host(_))) && source != to
    }

    /// The boxes as IPv4 sees them; `None` if one lets no UDP through.
    fn translators(&self, now: Timestamp, chain: &[usize]) -> Option<Vec<Hop>> {
        let hop = |nat: &usize| {
            let nat = &self.gates.get(*nat)?.nat;
            nat.check(now).ok()?;
            Some(Hop {
                mapping: nat.config.mapping,
                filtering: nat.config.filtering,
            })
        };
        chain.iter().map(hop).collect()
    }

    /// The boxes as IPv6 sees them.
    fn filters(&self, now: Timestamp, chain: &[usize]) -> Option<Vec<Hop>> {
        let hop = |nat: &usize| {
            let nat = &self.gates.get(*nat)?.nat;
            nat.check(now).ok()?;
            Some(Hop {
                mapping: EndpointIndependent,
                filtering: nat.config.ipv6.unwrap_or(EndpointIndependent),
            })
        };
        chain.iter().map(hop).collect()
    }

    /// Whether a node's datagrams get as far as a server on the Internet.
    fn reaches_out(&self, now: Timestamp, node: usize) -> bool {
        self.sites
            .get(&Host::Node(node))
            .is_some_and(|site| self.translators(now, &self.chain(site.realm)).is_some())
    }
}

fn told(hops: Vec<Hop>) -> Side {
    Side { hops, known: true }
}

/// Whether either side can begin.
fn meet(a: Option<Side>, b: Option<Side>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return false;
    };
    a.opens(&b) || b.opens(&a)
}

#[cfg(test)]
#[path = "oracle_table.rs"]
mod table;
