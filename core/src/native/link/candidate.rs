//! Candidates, as str0m wants them and as texts.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use str0m::net::Protocol;
use str0m::{Candidate, CandidateKind};

use crate::event;
use crate::native::gather::{self, HostAddress, Local, Reflexive, Relayed};
use crate::rng::fnv1a;

/// RFC 8445 section 5.1.2.2: the type preferences.
const HOST: u32 = 126;
const REFLEXIVE: u32 = 100;

/// The candidate that str0m has to know, if it is one.
pub(super) fn own(local: Local) -> Option<Candidate> {
    match local {
        Local::Host(address) => Some(host(address)),
        Local::Relayed(address) => Some(relayed(address)),
        Local::Reflexive(_) => None,
    }
}

/// The text of a candidate that is only told to others. A server-reflexive one is such: to send from
/// it is to send from its base, which is a candidate of its own, so that every pair with it would be
/// redundant (RFC 8445 section 6.1.2.4).
pub(super) fn told(local: Local, ufrag: &str) -> Option<String> {
    match local {
        Local::Host(_) | Local::Relayed(_) => None,
        Local::Reflexive(reflexive) => Some(server_reflexive(reflexive, ufrag)),
    }
}

/// Its related address is not told: it would be ours.
fn relayed(relayed: Relayed) -> Candidate {
    let unspecified: IpAddr = match relayed.address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    Candidate::from_parts(
        foundation("relay", relayed.address),
        1,
        Protocol::Udp,
        priority(relayed.kind.into(), relayed.preference),
        relayed.address,
        CandidateKind::Relayed,
        Some(SocketAddr::new(unspecified, 0)),
        None,
        None,
    )
}

fn server_reflexive(reflexive: Reflexive, ufrag: &str) -> String {
    let mut candidate = Candidate::from_parts(
        foundation("srflx", reflexive.base),
        1,
        Protocol::Udp,
        priority(REFLEXIVE, reflexive.preference),
        reflexive.address,
        CandidateKind::ServerReflexive,
        // It is told anyway, as a host candidate.
        Some(reflexive.base),
        None,
        None,
    );
    candidate.set_ufrag(ufrag);
    candidate.to_sdp_string()
}

fn priority(kind: u32, preference: u16) -> u32 {
    kind << 24 | u32::from(preference) << 8 | 255
}

/// The same for the same kind and base (RFC 8445 section 5.1.1.3), the server apart.
fn foundation(kind: &str, base: SocketAddr) -> String {
    let mut bytes = Vec::from(kind);
    match base.ip() {
        IpAddr::V4(ip) => bytes.extend(ip.octets()),
        IpAddr::V6(ip) => bytes.extend(ip.octets()),
    }
    alloc::format!("{:08x}", fnv1a(&bytes) & 0xffff_ffff)
}

/// A candidate with a priority of our own: str0m would give the first of each family the highest,
/// also when it is a tunnel.
fn host(host: HostAddress) -> Candidate {
    Candidate::from_parts(
        foundation("", host.address),
        1,
        Protocol::Udp,
        priority(HOST, host.preference),
        host.address,
        CandidateKind::Host,
        None,
        None,
        None,
    )
}

/// The type of the candidate that datagrams are sent from.
pub(super) fn kind_of(address: SocketAddr, locals: &[Local]) -> event::CandidateKind {
    let is_relayed =
        |local: &Local| matches!(local, Local::Relayed(relayed) if relayed.address == address);
    if locals.iter().any(is_relayed) {
        event::CandidateKind::Relay
    } else {
        event::CandidateKind::Host
    }
}

/// The type of a remote's candidate, in our words.
pub(super) fn kind(candidate: &Candidate) -> event::CandidateKind {
    match candidate.kind() {
        CandidateKind::Host => event::CandidateKind::Host,
        CandidateKind::PeerReflexive => event::CandidateKind::PeerReflexive,
        CandidateKind::ServerReflexive => event::CandidateKind::ServerReflexive,
        CandidateKind::Relayed => event::CandidateKind::Relay,
    }
}

/// A remote's candidate; `None` if it cannot be read or cannot be used: TCP, a name, addresses
/// that lead nowhere.
pub(super) fn remote(text: &str, loopback: bool) -> Option<Candidate> {
    let candidate = Candidate::from_sdp_string(text).ok()?;
    let usable =
        candidate.proto() == Protocol::Udp && gather::is_usable(candidate.addr(), loopback);
    usable.then_some(candidate)
}
