//! What theory says about two nodes: can they reach each other, and how.
//!
//! The oracle knows the boxes' behaviour, not their tables. It speaks of boxes that have room and
//! of mappings that have not expired, and it assumes that both sides do what ICE does (RFC 8445):
//! learn their mapped address from a STUN server, tell each other all candidates, check all pairs
//! from both sides, learn *peer-reflexive* candidates from checks that come from elsewhere, and
//! take a pair as valid only if the answer comes from where the check went to (section 7.2.5.2.1).

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::internet::{Host, Internet, Site, is_on_link};
use super::nat::Dependence::{
    self, AddressAndPortDependent, AddressDependent, EndpointIndependent,
};
use super::nat::NatConfig;
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
        // One relay is enough: the other side sends to the relayed address, where it is let in by the
        // permission for its public address (RFC 8656 section 9), whatever its port. So it has to
        // know that address, and tell it: behind a box only a server shows it.
        let has_public = |(node, knowledge)| {
            knowledge >= Knowledge::Stun
                || self
                    .member((node, knowledge))
                    .is_some_and(|member| member.chain.is_empty())
        };
        let lends = |one: (usize, Knowledge), other| one.1 == Knowledge::Turn && has_public(other);
        if (lends(a, b) || lends(b, a))
            && [a.0, b.0].iter().all(|node| self.reaches_out(now, *node))
        {
            return Reach::RelayOnly;
        }
        Reach::Unreachable
    }

    fn is_direct(&self, now: Timestamp, a: (usize, Knowledge), b: (usize, Knowledge)) -> bool {
        let (Some(mut a), Some(mut b)) = (self.member(a), self.member(b)) else {
            return false;
        };
        // The boxes that both are behind are the outermost of both chains.
        let shared = a.chain.iter().rev().zip(b.chain.iter().rev());
        let shared = shared.take_while(|(a, b)| a == b).count();
        a.own = a.chain.len().saturating_sub(shared);
        b.own = b.chain.len().saturating_sub(shared);
        self.by_ipv6(now, &a, &b)
            || self.where_both_are(now, &a, &b)
            || self.on_the_internet(now, &a, &b)
    }

    /// IPv6: addresses are global and not translated, so both know the other's, and every filter
    /// sees both directions (RFC 6092 section 3.2.3 wants just this to work).
    fn by_ipv6(&self, now: Timestamp, a: &Member<'_>, b: &Member<'_>) -> bool {
        let side = |member: &Member<'_>| {
            member.address(true)?;
            let hops = self.hops(now, member.below(), |nat| Hop {
                mapping: EndpointIndependent,
                filtering: nat.ipv6.unwrap_or(EndpointIndependent),
            })?;
            Some(Side { hops, known: true })
        };
        meet(side(a), side(b))
    }

    /// IPv4 in the innermost realm that both are in or under: a host candidate is an address of it
    /// if there is no box between. One LAN is the case without boxes on either side.
    fn where_both_are(&self, now: Timestamp, a: &Member<'_>, b: &Member<'_>) -> bool {
        let side = |member: &Member<'_>, other: &Member<'_>| {
            let known = member.below().is_empty() && self.leads(other, member)?;
            let hops = self.hops(now, member.below(), as_ipv4)?;
            Some(Side { hops, known })
        };
        meet(side(a, b), side(b, a))
    }

    /// IPv4 at the addresses that STUN servers on the Internet see.
    fn on_the_internet(&self, now: Timestamp, a: &Member<'_>, b: &Member<'_>) -> bool {
        // If both are behind the same outermost box, it must turn their datagrams around
        // (RFC 4787 section 6); it shows the outside address as their sender's, so that nothing
        // else is different.
        if let (Some(outermost), true) = (a.chain.last(), a.chain.last() == b.chain.last())
            && let Some(gate) = self.gates.get(*outermost)
            && !gate.nat.config.hairpin
        {
            return false;
        }
        let side = |member: &Member<'_>| {
            member.address(false)?;
            let hops = self.hops(now, &member.chain, as_ipv4)?;
            let known = member.chain.is_empty() || member.knowledge >= Knowledge::Stun;
            Some(Side { hops, known })
        };
        meet(side(a), side(b))
    }

    fn member(&self, (node, knowledge): (usize, Knowledge)) -> Option<Member<'_>> {
        let site = self.sites.get(&Host::Node(node))?;
        Some(Member {
            site,
            knowledge,
            chain: self.chain(site.realm),
            own: 0,
        })
    }

    /// Whether datagrams of one node to the own IPv4 address of another get there, if that is in
    /// the realm that both are in or under: not if a realm below has that address itself, or takes
    /// it for one of its own. `None` if one of them has none.
    fn leads(&self, from: &Member<'_>, to: &Member<'_>) -> Option<bool> {
        let (mut source, to) = (from.address(false)?, to.address(false)?);
        for index in from.below() {
            if self.next(Some(*index), to.ip()).is_some() || is_on_link(source, to) {
                return Some(false);
            }
            source.set_ip(self.gates.get(*index)?.nat.outside().into());
        }
        Some(true)
    }

    /// The boxes of a chain; `None` if one lets no UDP through.
    fn hops(
        &self,
        now: Timestamp,
        chain: &[usize],
        hop: impl Fn(&NatConfig) -> Hop,
    ) -> Option<Vec<Hop>> {
        let look = |index: &usize| {
            let nat = &self.gates.get(*index)?.nat;
            nat.check(now).ok()?;
            Some(hop(&nat.config))
        };
        chain.iter().map(look).collect()
    }

    /// Whether a node's datagrams get as far as a server on the Internet.
    fn reaches_out(&self, now: Timestamp, node: usize) -> bool {
        self.member((node, Knowledge::Host))
            .is_some_and(|member| self.hops(now, &member.chain, as_ipv4).is_some())
    }
}

/// A node of a pair.
#[derive(Debug)]
struct Member<'a> {
    site: &'a Site,
    knowledge: Knowledge,
    /// The boxes around it, innermost first.
    chain: Vec<usize>,
    /// How many of them the other one is not behind.
    own: usize,
}

impl Member<'_> {
    fn address(&self, v6: bool) -> Option<SocketAddr> {
        let mut addresses = self.site.addresses.iter();
        addresses.find(|own| own.is_ipv6() == v6).copied()
    }

    /// The boxes between it and the realm that both are in or under.
    fn below(&self) -> &[usize] {
        self.chain.get(..self.own).unwrap_or_default()
    }
}

const fn as_ipv4(nat: &NatConfig) -> Hop {
    Hop {
        mapping: nat.mapping,
        filtering: nat.filtering,
    }
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
