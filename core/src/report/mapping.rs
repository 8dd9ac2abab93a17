//! What a NAT does with ports, from what several servers saw (RFC 5780, section 4.3).

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::CandidateReport;
use crate::event::CandidateKind;

/// What a NAT does with the ports of one socket, seen from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NatMapping {
    /// Too little was seen: it takes answers of two servers to one socket.
    #[default]
    Unknown,
    /// There is no NAT: the servers see the socket's own address.
    Open,
    /// The same address and port for all destinations: others can be told where we are.
    Independent,
    /// Another address or port for each destination ("symmetric"): where we are is known only to whom
    /// we talk to.
    Dependent,
}

impl NatMapping {
    /// The mapping's name in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Open => "open",
            Self::Independent => "independent",
            Self::Dependent => "dependent",
        }
    }

    /// What was seen, put together. With several sockets the worst that one of them shows counts, for a
    /// node is no easier to reach than that says.
    #[must_use]
    pub fn of(observations: &[Observation]) -> Self {
        let mut worst = None;
        for (place, one) in observations.iter().enumerate() {
            let others = observations.get(..place).unwrap_or_default();
            let mut others = others
                .iter()
                .filter(|other| other.local == one.local && other.server != one.server)
                .filter(|other| other.mapped.is_ipv4() == one.mapped.is_ipv4())
                .peekable();
            let same = others.peek().is_some();
            let seen = if others.any(|other| other.mapped != one.mapped) {
                Seen::Different
            } else if one.mapped == one.local {
                Seen::Ourselves
            } else if same {
                Seen::Same
            } else {
                Seen::Once
            };
            worst = worst.max(Some(seen));
        }
        match worst {
            None | Some(Seen::Once) => Self::Unknown,
            Some(Seen::Ourselves) => Self::Open,
            Some(Seen::Same) => Self::Independent,
            Some(Seen::Different) => Self::Dependent,
        }
    }

    /// What candidates tell of their NAT: two server-reflexive ones of the same socket are two different
    /// mappings. (If both servers saw the same, there is one candidate, as with a single server.)
    pub(crate) fn of_candidates(candidates: &[CandidateReport]) -> Self {
        let reflexive: Vec<(SocketAddr, SocketAddr)> = candidates
            .iter()
            .filter(|candidate| candidate.kind == CandidateKind::ServerReflexive)
            .filter_map(|candidate| candidate.related.zip(candidate.address))
            .collect();
        let differ = reflexive.iter().enumerate().any(|(place, (base, mapped))| {
            let others = reflexive.get(..place).unwrap_or_default();
            others.iter().any(|(other, seen)| {
                other == base && seen != mapped && seen.is_ipv4() == mapped.is_ipv4()
            })
        });
        if differ {
            Self::Dependent
        } else {
            Self::Unknown
        }
    }
}

/// What one answer shows, beside those before it; the worse, the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Ourselves,
    Once,
    Same,
    Different,
}

/// A server's answer to one of our sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "made by its users")]
pub struct Observation {
    /// The socket.
    pub local: SocketAddr,
    /// The server that was asked.
    pub server: SocketAddr,
    /// The address that it saw.
    pub mapped: SocketAddr,
}
