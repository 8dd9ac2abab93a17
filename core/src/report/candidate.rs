//! Candidates, as a report shows them.

use core::net::{IpAddr, SocketAddr};

use crate::event::CandidateKind;

/// A candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CandidateReport {
    /// Its type.
    pub kind: CandidateKind,
    /// Its address; `None` if it is hidden behind a `.local` name.
    pub address: Option<SocketAddr>,
    /// The address that it belongs to: of a server-reflexive candidate, the socket's own.
    pub related: Option<SocketAddr>,
}

impl CandidateReport {
    /// Reads a candidate line (RFC 8839, section 5.1); `None` if it is none that we know.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().skip(4);
        let (host, port) = (words.next()?, words.next()?);
        let (mut kind, mut related_host, mut related_port) = (None, None, None);
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            match key {
                "typ" => kind = Some(value),
                "raddr" => related_host = Some(value),
                "rport" => related_port = Some(value),
                _ => {}
            }
        }
        let kind = match kind? {
            "host" if host.ends_with(".local") => CandidateKind::Mdns,
            "host" => CandidateKind::Host,
            "srflx" => CandidateKind::ServerReflexive,
            "prflx" => CandidateKind::PeerReflexive,
            "relay" => CandidateKind::Relay,
            _ => return None,
        };
        let related = related_host.zip(related_port);
        Some(Self {
            kind,
            address: address(host, port),
            // Browsers that hide it say 0.0.0.0, port 0 or 9.
            related: related
                .and_then(|(host, port)| address(host, port))
                .filter(|address| !address.ip().is_unspecified() && address.port() != 0),
        })
    }

    /// Whether it can be reached from everywhere, as far as the address alone tells.
    pub(crate) fn is_public(&self) -> bool {
        self.address.is_some_and(|address| is_public(address.ip()))
    }
}

fn address(host: &str, port: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(host.parse().ok()?, port.parse().ok()?))
}

/// Whether an address is one of the internet, not of a private network, a carrier's, or a link.
pub(crate) const fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let carrier = first == 100 && second & 0xc0 == 64;
            !(carrier
                || first == 0
                || first >= 224
                || ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local())
        }
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_public(IpAddr::V4(ip)),
            // All that is given out today is in 2000::/3.
            None => ip.octets()[0] & 0xe0 == 0x20,
        },
    }
}

/// How many candidates of each type there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CandidateCounts {
    /// Addresses of interfaces.
    pub host: u32,
    /// Host candidates behind `.local` names.
    pub mdns: u32,
    /// Addresses that a STUN server saw.
    pub server_reflexive: u32,
    /// Addresses that a check came from.
    pub peer_reflexive: u32,
    /// Addresses at a TURN server.
    pub relay: u32,
}

impl CandidateCounts {
    /// Counts.
    #[must_use]
    pub fn of(candidates: &[CandidateReport]) -> Self {
        let mut counts = Self::default();
        for candidate in candidates {
            let count = match candidate.kind {
                CandidateKind::Host => &mut counts.host,
                CandidateKind::Mdns => &mut counts.mdns,
                CandidateKind::ServerReflexive => &mut counts.server_reflexive,
                CandidateKind::PeerReflexive => &mut counts.peer_reflexive,
                CandidateKind::Relay => &mut counts.relay,
            };
            *count = count.saturating_add(1);
        }
        counts
    }
}
