//! How an attempt to connect went, and what was in its way.

mod candidate;
mod judge;
mod mapping;
#[cfg(test)]
mod tests;
mod verdict;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

pub(crate) use candidate::is_public;
pub use candidate::{CandidateCounts, CandidateReport};
pub(crate) use judge::{Facts, judge, servers};
pub use mapping::{NatMapping, Observation};
pub use verdict::Verdict;

use crate::event::{CandidateKind, Phase, PhaseTiming};
use crate::id::NodeId;

/// How an attempt to connect to a node went: what was tried, what came of it, and the likely reason.
///
/// A joiner is told once for every `join`: after [`Event::Joined`](crate::Event::Joined), or right
/// before [`Event::Ended`](crate::Event::Ended). With
/// [`Config::with_verbose`](crate::Config::with_verbose) a host is told of every join, and a joiner in
/// a mesh of every link to another joiner. It stays on this machine; it holds addresses, so think
/// before it is sent anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ConnectReport {
    /// The node at the other end, if its name was learnt.
    pub node: Option<NodeId>,
    /// In which phase it failed; `None`: it is connected.
    pub ended_in: Option<Phase>,
    /// How long each phase took that was completed.
    pub timing: PhaseTiming,
    /// How long the whole attempt took, to success or failure.
    pub took: Duration,
    /// Every STUN and TURN server, with what became of it. Empty if none is used, and if the driver
    /// cannot tell (a browser does not).
    pub servers: Vec<ServerReport>,
    /// What our own NAT does with ports.
    pub local_mapping: NatMapping,
    /// What the other node's NAT does with ports, as far as its candidates show it.
    pub remote_mapping: NatMapping,
    /// Our candidates, in the order in which they were found.
    pub local: Vec<CandidateReport>,
    /// The other node's candidates, in the order in which they came.
    pub remote: Vec<CandidateReport>,
    /// What was tried between them.
    pub checks: Checks,
    /// The path that was found, if the driver can tell.
    pub selected: Option<SelectedPair>,
    /// What all this means.
    pub verdict: Verdict,
}

/// What a link knows of its own attempt, for the [`ConnectReport`].
///
/// A driver gives it with [`LinkUpdate::Report`](crate::LinkUpdate::Report) whenever something of it
/// has changed while the link is being made; it always holds everything, and the last one counts.
/// Whatever a driver cannot know stays as in `LinkReport::default()`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by drivers, with `..Default::default()`"
)]
pub struct LinkReport {
    /// Every STUN and TURN server that is configured, with what became of it so far.
    pub servers: Vec<ServerReport>,
    /// What our NAT does with ports: [`NatMapping::of`] all that the servers saw.
    pub mapping: NatMapping,
    /// What was tried.
    pub checks: Checks,
    /// The path in use.
    pub selected: Option<SelectedPair>,
}

/// ICE's connectivity checks of one link, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by drivers, with `..Default::default()`"
)]
pub struct Checks {
    /// Pairs of candidates that at least one check was sent for.
    pub pairs: u32,
    /// Checks of the other node that came.
    pub received: u32,
    /// Answers of the other node to our checks that came.
    pub answered: u32,
}

/// A STUN or TURN server, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "made by drivers")]
pub struct ServerReport {
    /// Its URL, as it is shown: one of each server's `urls`.
    pub url: String,
    /// What became of it.
    pub result: ServerResult,
}

impl ServerReport {
    /// Whether it is a TURN server, by its URL.
    #[must_use]
    pub fn is_turn(&self) -> bool {
        let scheme = self.url.split(':').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("turn") || scheme.eq_ignore_ascii_case("turns")
    }

    /// Whether it is asked over UDP, by its URL.
    #[must_use]
    pub fn is_udp(&self) -> bool {
        let scheme = self.url.split(':').next().unwrap_or_default();
        !scheme.eq_ignore_ascii_case("turns") && !self.url.ends_with("transport=tcp")
    }

    /// The name or address in its URL.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.url.split_once(':').map_or("", |(_, rest)| rest);
        let place = rest.split('?').next().unwrap_or_default();
        match place.strip_prefix('[') {
            Some(literal) => literal.split(']').next().unwrap_or_default(),
            None => place.split(':').next().unwrap_or_default(),
        }
    }
}

/// What became of a STUN or TURN server. Of several addresses and sockets the best result counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerResult {
    /// Nothing is known yet: its name is being resolved, or it has been asked.
    Pending,
    /// It answered.
    Answered {
        /// The address that it saw us at.
        mapped: SocketAddr,
        /// TURN: the address that it lends us.
        relayed: Option<SocketAddr>,
        /// How long the answer took, the name's resolution not included.
        after: Duration,
    },
    /// It did not answer.
    Silent,
    /// It answered with this STUN error: 401 means that our credentials are wrong.
    Refused(u16),
    /// Its name has no address.
    Unresolved,
    /// The TCP or TLS connection to it could not be made, or broke.
    StreamFailed(StreamFailure),
}

impl ServerResult {
    /// The result's name in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Answered { .. } => "answered",
            Self::Silent => "silent",
            Self::Refused(_) => "refused",
            Self::Unresolved => "unresolved",
            Self::StreamFailed(_) => "stream_failed",
        }
    }

    /// Whether the server was reached: an error is an answer, too.
    #[must_use]
    pub const fn is_reached(self) -> bool {
        matches!(self, Self::Answered { .. } | Self::Refused(_))
    }
}

/// Why a TCP or TLS connection to a server is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum StreamFailure {
    /// Nobody listens there.
    #[error("the connection was refused")]
    Refused,
    /// There is no way there.
    #[error("there is no way to the server")]
    Unreachable,
    /// No answer came.
    #[error("the server did not answer in time")]
    TimedOut,
    /// The TLS handshake failed, or the certificate is not that of the name.
    #[error("TLS failed: the server's certificate was not accepted, or it does not speak TLS")]
    Tls,
    /// It was open, and broke.
    #[error("the connection broke")]
    Broken,
}

impl StreamFailure {
    /// A short name, as the `wattle` command writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Tls => "tls",
            Self::Broken => "broken",
        }
    }
}

/// The pair of candidates that a link uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "made by drivers")]
pub struct SelectedPair {
    /// The type of our candidate.
    pub local: CandidateKind,
    /// Its address, if known.
    pub local_address: Option<SocketAddr>,
    /// The type of the other node's candidate.
    pub remote: CandidateKind,
    /// Its address, if known.
    pub remote_address: Option<SocketAddr>,
}

impl SelectedPair {
    /// Whether a TURN server is in between, ours or theirs.
    #[must_use]
    pub const fn is_relayed(&self) -> bool {
        matches!(self.local, CandidateKind::Relay) || matches!(self.remote, CandidateKind::Relay)
    }
}
