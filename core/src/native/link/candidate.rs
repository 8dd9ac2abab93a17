//! Candidates, as str0m wants them and as texts.

use str0m::net::Protocol;
use str0m::{Candidate, CandidateKind};

use crate::native::gather::{self, HostAddress};
use crate::rng::fnv1a;

/// RFC 8445 section 5.1.2.2: the type preference of host candidates.
const HOST: u32 = 126;

/// A candidate with a priority of our own: str0m would give the first of each family the highest,
/// also when it is a tunnel.
pub(super) fn host(host: HostAddress) -> Candidate {
    let priority = HOST << 24 | u32::from(host.preference) << 8 | 255;
    let foundation = match host.address.ip() {
        core::net::IpAddr::V4(ip) => fnv1a(&ip.octets()),
        core::net::IpAddr::V6(ip) => fnv1a(&ip.octets()),
    };
    Candidate::from_parts(
        alloc::format!("{:08x}", foundation & 0xffff_ffff),
        1,
        Protocol::Udp,
        priority,
        host.address,
        CandidateKind::Host,
        None,
        None,
        None,
    )
}

/// A remote's candidate; `None` if it cannot be read or cannot be used: TCP, a name, addresses
/// that lead nowhere.
pub(super) fn remote(text: &str, loopback: bool) -> Option<Candidate> {
    let candidate = Candidate::from_sdp_string(text).ok()?;
    let usable =
        candidate.proto() == Protocol::Udp && gather::is_usable(candidate.addr(), loopback);
    usable.then_some(candidate)
}
