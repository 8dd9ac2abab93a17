//! Whose datagram is this? One socket serves all links (RFC 9443).
//!
//! str0m's own `accepts` is not asked: it refuses DTLS of a pair that has not succeeded locally, so
//! that a ClientHello right behind the first check would be lost for a second (trap 2).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::stun::{self, Glance, Transaction};
use crate::id::LinkId;

/// What a datagram is, from its first byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A connectivity check, or a probe, for the link with this name.
    Request {
        /// The local name in USERNAME.
        local_ufrag: &'a str,
    },
    /// An answer to a check or a probe of ours.
    Response {
        /// Which.
        transaction: Transaction,
    },
    /// DTLS: the handshake and all data.
    Dtls,
    /// Nothing that we speak.
    Other,
}

/// Classifies as RFC 9443 section 3 does.
pub(super) fn classify(datagram: &[u8]) -> Kind<'_> {
    match datagram.first() {
        Some(0..=3) => match stun::glance(datagram) {
            Some(Glance::Request { local_ufrag }) => Kind::Request { local_ufrag },
            Some(Glance::Response { transaction }) => Kind::Response { transaction },
            None => Kind::Other,
        },
        Some(20..=63) => Kind::Dtls,
        Some(_) | None => Kind::Other,
    }
}

/// Which links are known by which name and address.
#[derive(Debug, Default)]
pub(super) struct Demux {
    by_ufrag: BTreeMap<String, LinkId>,
    by_address: BTreeMap<SocketAddr, Vec<LinkId>>,
}

impl Demux {
    pub(super) fn add_ufrag(&mut self, ufrag: &str, link: LinkId) {
        self.by_ufrag.insert(ufrag.into(), link);
    }

    /// Notes that a link has to do with an address. Several may: when a node joins again from the
    /// same socket, its old link is not gone yet. What one sends, only the right one can decrypt.
    pub(super) fn add_address(&mut self, address: SocketAddr, link: LinkId) {
        let links = self.by_address.entry(address).or_default();
        if !links.contains(&link) {
            links.push(link);
        }
    }

    pub(super) fn link_of_ufrag(&self, ufrag: &str) -> Option<LinkId> {
        self.by_ufrag.get(ufrag).copied()
    }

    pub(super) fn links_of_address(&self, address: SocketAddr) -> &[LinkId] {
        self.by_address.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Forgets a link; gives the addresses that no other link has to do with.
    pub(super) fn forget(&mut self, link: LinkId) -> Vec<SocketAddr> {
        self.by_ufrag.retain(|_, other| *other != link);
        let mut gone = Vec::new();
        self.by_address.retain(|address, links| {
            links.retain(|other| *other != link);
            if links.is_empty() {
                gone.push(*address);
            }
            !links.is_empty()
        });
        gone
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_ufrag.is_empty() && self.by_address.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells() {
        assert_eq!(classify(&[]), Kind::Other);
        assert_eq!(classify(&[0; 20]), Kind::Other);
        assert_eq!(classify(&[22, 254, 253]), Kind::Dtls);
        assert_eq!(classify(&[0x2f]), Kind::Dtls);
        assert_eq!(classify(&[0x40, 0, 0, 0]), Kind::Other);
        assert_eq!(classify(&[0x80; 30]), Kind::Other);
    }

    #[test]
    fn a_link_that_is_forgotten_leaves_nothing() {
        let mut demux = Demux::default();
        let (one, two) = (LinkId(1), LinkId(2));
        let address = "192.0.2.1:5000".parse().unwrap();
        demux.add_ufrag("one", one);
        demux.add_ufrag("two", two);
        demux.add_address(address, one);
        demux.add_address(address, two);
        demux.add_address(address, two);
        assert_eq!(demux.links_of_address(address), [one, two]);
        demux.forget(one);
        assert_eq!(demux.links_of_address(address), [two]);
        assert_eq!(demux.link_of_ufrag("one"), None);
        demux.forget(two);
        assert!(demux.is_empty());
    }
}
