//! What one machine alone can find out about its network, and what it means for connections.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

#[cfg(test)]
mod tests;

use crate::event::Side;
use crate::report::{
    Checks, Facts, LinkReport, NatMapping, ServerReport, ServerResult, Verdict, is_public, servers,
};

/// What an examination of this machine's network has found by asking its signaling, STUN and TURN
/// servers, without any other node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Examination {
    /// The signaling server; `None` if it was not asked.
    pub signaling: Option<SignalingReport>,
    /// Every STUN and TURN server that is configured.
    pub servers: Vec<ServerReport>,
    /// The same TURN servers over the transports that are not configured.
    pub others: Vec<ServerReport>,
    /// Addresses of this machine's interfaces.
    pub addresses: Vec<IpAddr>,
    /// Where the world sees our sockets, each address once.
    pub mapped: Vec<SocketAddr>,
    /// What our NAT does with ports.
    pub mapping: NatMapping,
    /// How long all this took.
    pub took: Duration,
}

/// A signaling server, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignalingReport {
    /// Its URL, without what is secret in it.
    pub url: String,
    /// What is wrong with it; `None`: it has registered us.
    pub verdict: Option<Verdict>,
    /// How long that took.
    pub after: Duration,
    /// Whether it is in the internet, as far as its name or address tells.
    pub outside: bool,
}

/// Something that is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// What, and what to do about it.
    pub verdict: Verdict,
    /// Whether it keeps nodes apart. What does not may still be worth mending.
    pub stops: bool,
}

/// Whether UDP gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Udp {
    /// A server answered over UDP.
    Works,
    /// Several servers are silent over UDP, while TCP gets through.
    Blocked,
    /// No server was there to tell.
    Unknown,
}

impl Udp {
    /// The word for it in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether IPv6 can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ipv6 {
    /// A server was reached over IPv6.
    Works,
    /// There is an address of the internet, but no server was reached from it.
    Unproven,
    /// There is no such address.
    Missing,
}

impl Ipv6 {
    /// The word for it in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Unproven => "unproven",
            Self::Missing => "missing",
        }
    }
}

/// Where the node at the other end may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// In the same local network.
    SameNetwork,
    /// At an address of the internet, without a NAT or firewall.
    Open,
    /// Behind a NAT that keeps one port for all, as most homes have.
    Independent,
    /// Behind a NAT that takes another port for everybody, as some phones and offices have.
    Dependent,
    /// Where UDP is blocked.
    UdpBlocked,
}

impl Peer {
    /// All of them, from the nearest to the most difficult.
    pub const ALL: [Self; 5] = [
        Self::SameNetwork,
        Self::Open,
        Self::Independent,
        Self::Dependent,
        Self::UdpBlocked,
    ];

    /// The word for it in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SameNetwork => "same_network",
            Self::Open => "open",
            Self::Independent => "independent",
            Self::Dependent => "dependent",
            Self::UdpBlocked => "udp_blocked",
        }
    }
}

/// How likely a direct connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fifth answer")]
pub enum Chance {
    /// It works.
    Yes,
    /// It depends on how strict a firewall is.
    Sometimes,
    /// It does not work.
    No,
    /// Too little is known.
    Unknown,
}

impl Chance {
    /// The word for it in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Sometimes => "sometimes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// How a kind of node can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reachability {
    /// With nobody in between.
    pub direct: Chance,
    /// Through the TURN servers that are configured.
    pub relayed: bool,
}

impl Examination {
    /// Whether UDP gets through.
    #[must_use]
    pub fn udp(&self) -> Udp {
        let all = || self.servers.iter().chain(&self.others);
        if !self.mapped.is_empty() || all().any(|one| one.is_udp() && one.result.is_reached()) {
            Udp::Works
        } else if self.server_problem() == Some(Verdict::UdpBlocked) || self.is_blocked() {
            Udp::Blocked
        } else {
            Udp::Unknown
        }
    }

    /// Whether IPv6 can be used.
    #[must_use]
    pub fn ipv6(&self) -> Ipv6 {
        if self.mapped.iter().any(SocketAddr::is_ipv6) {
            Ipv6::Works
        } else if self
            .addresses
            .iter()
            .any(|ip| ip.is_ipv6() && is_public(*ip))
        {
            Ipv6::Unproven
        } else {
            Ipv6::Missing
        }
    }

    /// Whether a TURN server that is configured lends an address.
    #[must_use]
    pub fn has_relay(&self) -> bool {
        self.servers.iter().any(lends)
    }

    /// What is in the way, the most important first.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |verdict, stops| problems.push(Problem { verdict, stops });
        if let Some(verdict) = self.signaling.as_ref().and_then(|one| one.verdict) {
            add(verdict, true);
        }
        let relay = self.has_relay();
        if self.addresses.is_empty() {
            add(Verdict::NoCandidates(Side::Local), true);
        } else if let Some(verdict) = self.server_problem() {
            let of_turn = matches!(
                verdict,
                Verdict::TurnCredentialsRefused
                    | Verdict::TurnUnreachable
                    | Verdict::TurnRefused(_)
            );
            // Who has configured one wants it.
            add(verdict, of_turn || !relay);
        } else if self.servers.is_empty() && !self.addresses.iter().any(|ip| is_public(*ip)) {
            add(Verdict::OnlyHostCandidates(Side::Local), false);
        }
        if self.mapping == NatMapping::Dependent && !relay {
            add(Verdict::SymmetricNat(Side::Local), true);
        }
        problems
    }

    /// How a node at such a place can be reached from here.
    #[must_use]
    pub fn reach(&self, peer: Peer) -> Reachability {
        let direct = match (peer, self.udp(), self.mapping) {
            (Peer::SameNetwork, _, _) => Chance::Yes,
            (Peer::UdpBlocked, _, _) | (_, Udp::Blocked, _) => Chance::No,
            (_, Udp::Unknown, _) => Chance::Unknown,
            (Peer::Open, Udp::Works, _)
            | (Peer::Independent, Udp::Works, NatMapping::Open | NatMapping::Independent) => {
                Chance::Yes
            }
            // A public address may be behind a firewall, which our own servers do not show.
            (Peer::Independent, Udp::Works, NatMapping::Dependent)
            | (Peer::Dependent, Udp::Works, NatMapping::Open | NatMapping::Independent) => {
                Chance::Sometimes
            }
            (Peer::Dependent, Udp::Works, NatMapping::Dependent) => Chance::No,
            (Peer::Independent | Peer::Dependent, Udp::Works, NatMapping::Unknown) => {
                Chance::Unknown
            }
        };
        let relayed = match peer {
            // It needs a relay of its own, over TCP: with the same servers it has one.
            Peer::UdpBlocked => self.servers.iter().any(|one| lends(one) && !one.is_udp()),
            Peer::SameNetwork | Peer::Open | Peer::Independent | Peer::Dependent => {
                self.has_relay()
            }
        };
        Reachability { direct, relayed }
    }

    /// A TURN server that would also work in a way that is not configured: where UDP is blocked, that is
    /// the only one.
    #[must_use]
    pub fn better_transport(&self) -> Option<&ServerReport> {
        let has_stream = self.servers.iter().any(|one| lends(one) && !one.is_udp());
        let mut others = self.others.iter();
        others.find(|one| lends(one) && !one.is_udp() && !has_stream)
    }

    fn server_problem(&self) -> Option<Verdict> {
        self.judged(&self.servers)
    }

    /// Whether it is UDP that does not get out, by all that was asked.
    fn is_blocked(&self) -> bool {
        let all: Vec<ServerReport> = self.servers.iter().chain(&self.others).cloned().collect();
        self.judged(&all) == Some(Verdict::UdpBlocked)
    }

    fn judged(&self, asked: &[ServerReport]) -> Option<Verdict> {
        let signaling = self.signaling.as_ref();
        let registered = signaling.is_some_and(|one| one.verdict.is_none());
        let link = LinkReport {
            servers: asked.to_vec(),
            checks: Checks {
                // An answer over UDP, whoever gave it.
                answered: u32::from(!self.mapped.is_empty()),
                ..Checks::default()
            },
            ..LinkReport::default()
        };
        servers(&Facts {
            end: None,
            took: self.took,
            registered,
            outside: signaling.is_some_and(|one| one.verdict.is_none() && one.outside),
            silent: false,
            link: &link,
            local: &[],
            remote: &[],
        })
    }
}

fn lends(server: &ServerReport) -> bool {
    matches!(
        server.result,
        ServerResult::Answered {
            relayed: Some(_),
            ..
        }
    )
}
