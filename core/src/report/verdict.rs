//! The verdicts: what was in the way, and what to do about it.

use core::fmt;

use crate::error::{EndReason, ServerRefusal};
use crate::event::{Phase, Refusal, Side};
use crate::io::LinkFailure;
use crate::signaling::SignalingFailure;

/// What an attempt to connect came to, and why: the most that is certain, not more.
///
/// `docs/troubleshooting.md` of the repository lists all of them, by [`name`](Self::name).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The nodes are connected; natively that means with nobody in between.
    Connected,
    /// The nodes are connected through a TURN server.
    ConnectedByRelay,
    /// The attempt was given up by this node before it came to anything.
    GivenUp,

    /// The signaling server cannot be reached.
    SignalingUnreachable(SignalingFailure),
    /// The signaling server was reached or may have been, but says nothing.
    SignalingSilent,
    /// The signaling server does not want us.
    SignalingRefused(ServerRefusal),
    /// Nobody hosts a network with this code.
    CodeNotFound,
    /// Somebody has this code, but is not a wattle node.
    ForeignHost,
    /// The signaling server works, but the host does not answer.
    HostSilent,
    /// The host closed its network, or gave us up, before we were in.
    HostClosed,
    /// Every place in the network is taken.
    NetworkFull,
    /// The host does not let us in, for another reason than a full network.
    Refused(Refusal),
    /// The other node broke the protocol.
    Misbehaved,

    /// One side has no candidates at all.
    NoCandidates(Side),
    /// No name of a STUN or TURN server has an address.
    ServersUnresolved,
    /// No STUN server that was asked answers, and nothing tells whether UDP is blocked or they are down.
    StunSilent,
    /// TCP gets out, UDP does not: no server answered over UDP.
    UdpBlocked,
    /// One side has nothing but addresses of its own network.
    OnlyHostCandidates(Side),
    /// Both sides' NATs take another port for every destination, and neither has a relay.
    SymmetricNats,
    /// One side's NAT takes another port for every destination, and neither side has a relay.
    SymmetricNat(Side),
    /// No pair of addresses works, and neither side has a relay.
    NoDirectPath,
    /// The TURN server does not accept the credentials.
    TurnCredentialsRefused,
    /// The TURN server cannot be reached, or does not answer.
    TurnUnreachable,
    /// The TURN server answers, but lends no address; with its error code.
    TurnRefused(u16),
    /// There is a relay, but not even through it is there a path.
    RelayUseless,
    /// The other node's packets arrive here, but ours do not arrive there.
    OneWay,

    /// The other side is not the one that its fingerprint names.
    FingerprintMismatch,
    /// A path was found, and then nothing was heard any more.
    PeerSilent,
    /// The link could not be made, for another reason.
    LinkFailed(LinkFailure),
    /// A phase took too long, and nothing tells why.
    TimedOut(Phase),
}

impl Verdict {
    /// The verdict's name in JSON output and in `docs/troubleshooting.md`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::ConnectedByRelay => "connected_by_relay",
            Self::GivenUp => "given_up",
            Self::SignalingUnreachable(failure) => failure.kind(),
            Self::SignalingSilent => "signaling_silent",
            Self::SignalingRefused(refusal) => EndReason::SignalingRefused(refusal).kind(),
            Self::CodeNotFound => "code_not_found",
            Self::ForeignHost => "foreign_host",
            Self::HostSilent => "host_silent",
            Self::HostClosed => "host_closed",
            Self::NetworkFull => "network_full",
            Self::Refused(refusal) => refusal.name(),
            Self::Misbehaved => "misbehaved",
            Self::NoCandidates(Side::Local) => "no_candidates",
            Self::NoCandidates(Side::Remote) => "no_remote_candidates",
            Self::ServersUnresolved => "servers_unresolved",
            Self::StunSilent => "stun_silent",
            Self::UdpBlocked => "udp_blocked",
            Self::OnlyHostCandidates(Side::Local) => "only_host_candidates",
            Self::OnlyHostCandidates(Side::Remote) => "only_remote_host_candidates",
            Self::SymmetricNats => "symmetric_nats",
            Self::SymmetricNat(Side::Local) => "symmetric_nat",
            Self::SymmetricNat(Side::Remote) => "symmetric_remote_nat",
            Self::NoDirectPath => "no_direct_path",
            Self::TurnCredentialsRefused => "turn_credentials_refused",
            Self::TurnUnreachable => "turn_unreachable",
            Self::TurnRefused(_) => "turn_refused",
            Self::RelayUseless => "relay_useless",
            Self::OneWay => "one_way",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::PeerSilent => "peer_silent",
            Self::LinkFailed(LinkFailure::Dtls) => "dtls_failed",
            Self::LinkFailed(_) => "link_failed",
            Self::TimedOut(Phase::Signaling) => "timed_out_signaling",
            Self::TimedOut(Phase::Ice) => "timed_out_ice",
            Self::TimedOut(Phase::Datachannel) => "timed_out_datachannel",
        }
    }

    /// Whether the nodes are connected.
    #[must_use]
    pub const fn is_connected(self) -> bool {
        matches!(self, Self::Connected | Self::ConnectedByRelay)
    }

    /// What a person can do about it, in one sentence; empty where there is nothing to do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Connected | Self::ConnectedByRelay | Self::GivenUp => "",
            Self::SignalingUnreachable(failure) => failure.remedy(),
            Self::SignalingSilent => {
                "Check that the signaling URL names a PeerJS server, and try again later or with another server."
            }
            Self::SignalingRefused(refusal) => EndReason::SignalingRefused(refusal).remedy(),
            Self::CodeNotFound => EndReason::CodeNotFound.remedy(),
            Self::ForeignHost => EndReason::ForeignHost.remedy(),
            Self::HostSilent => "Check that the host still runs and is online, then join again.",
            Self::HostClosed => "Ask the host for a new code.",
            Self::NetworkFull => EndReason::Refused(Refusal::NetworkFull).remedy(),
            Self::Refused(refusal) => EndReason::Refused(refusal).remedy(),
            Self::Misbehaved => EndReason::Misbehaved.remedy(),
            Self::NoCandidates(Side::Local) => {
                "Connect this machine to a network; with --ice-policy relay-only, configure a TURN server."
            }
            Self::NoCandidates(Side::Remote) => {
                "Check the other node's network connection: it found no address of its own."
            }
            Self::ServersUnresolved => {
                "Check the names of the STUN and TURN servers, and this machine's DNS."
            }
            Self::StunSilent => {
                "Check the address of the STUN server and add another one; if that is silent too, UDP is blocked here."
            }
            Self::UdpBlocked => {
                "Allow UDP in the firewall, or configure a TURN server over TLS: turns:HOST:443."
            }
            Self::OnlyHostCandidates(Side::Local) => {
                "Configure a STUN server that answers on this side: without one, only nodes in the same network can connect."
            }
            Self::OnlyHostCandidates(Side::Remote) => {
                "Configure a STUN server that answers on the other side, and check that UDP is not blocked there."
            }
            Self::SymmetricNats | Self::SymmetricNat(_) | Self::NoDirectPath => {
                "Configure a TURN server on at least one of the two nodes."
            }
            Self::TurnCredentialsRefused => {
                "Check the TURN server's username and credential; those with a time limit must be fresh, and the clocks right."
            }
            Self::TurnUnreachable => {
                "Check the TURN server's address, and that it runs; where UDP is blocked, use turns:HOST:443."
            }
            Self::TurnRefused(_) => {
                "Look at the TURN server's log and quotas: it has no address to lend."
            }
            Self::RelayUseless => {
                "Open the TURN server's relay ports (UDP 49152 to 65535) in its firewall, and check that UDP is not blocked at the other node."
            }
            Self::OneWay => {
                "Let the other side's firewall take in UDP, or configure a TURN server there."
            }
            Self::FingerprintMismatch => {
                EndReason::LinkFailed(LinkFailure::FingerprintMismatch).remedy()
            }
            Self::PeerSilent => {
                "Check that the other node still runs and is online, then try again."
            }
            Self::LinkFailed(LinkFailure::Dtls) => {
                EndReason::LinkFailed(LinkFailure::Dtls).remedy()
            }
            Self::LinkFailed(_) => "Try again, with the same version of wattle on both nodes.",
            Self::TimedOut(Phase::Signaling) => EndReason::TimedOut(Phase::Signaling).remedy(),
            Self::TimedOut(Phase::Ice) => "Give it more time: a path may take 10 s to be found.",
            Self::TimedOut(Phase::Datachannel) => EndReason::TimedOut(Phase::Datachannel).remedy(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::ConnectedByRelay => f.write_str("connected through a TURN server"),
            Self::GivenUp => f.write_str("given up before it came to anything"),
            Self::SignalingUnreachable(failure) => {
                write!(f, "the signaling server cannot be reached: {failure}")
            }
            Self::SignalingSilent => f.write_str("the signaling server says nothing"),
            Self::SignalingRefused(refusal) => {
                fmt::Display::fmt(&EndReason::SignalingRefused(*refusal), f)
            }
            Self::CodeNotFound => fmt::Display::fmt(&EndReason::CodeNotFound, f),
            Self::ForeignHost => fmt::Display::fmt(&EndReason::ForeignHost, f),
            Self::HostSilent => {
                f.write_str("the signaling server works, but the host does not answer")
            }
            Self::HostClosed => f.write_str("the host closed the network before we were in"),
            Self::NetworkFull => f.write_str("the network is full"),
            Self::Refused(refusal) => fmt::Display::fmt(&EndReason::Refused(*refusal), f),
            Self::Misbehaved => f.write_str("one of the two nodes broke the protocol"),
            Self::NoCandidates(Side::Local) => f.write_str("this node has no address to offer"),
            Self::NoCandidates(Side::Remote) => {
                f.write_str("the other node has sent no address of its own")
            }
            Self::ServersUnresolved => {
                f.write_str("the names of the STUN and TURN servers have no address")
            }
            Self::StunSilent => f.write_str("no STUN server answers"),
            Self::UdpBlocked => {
                f.write_str("UDP is blocked here: no server answers over UDP, over TCP one does")
            }
            Self::OnlyHostCandidates(Side::Local) => {
                f.write_str("this node knows only addresses of its own network")
            }
            Self::OnlyHostCandidates(Side::Remote) => {
                f.write_str("the other node knows only addresses of its own network")
            }
            Self::SymmetricNats => f.write_str(
                "both sides' NATs take another port for every destination, and there is no relay",
            ),
            Self::SymmetricNat(Side::Local) => f.write_str(
                "this side's NAT takes another port for every destination, and there is no relay",
            ),
            Self::SymmetricNat(Side::Remote) => f.write_str(
                "the other side's NAT takes another port for every destination, and there is no relay",
            ),
            Self::NoDirectPath => {
                f.write_str("no direct path between the two nodes works, and there is no relay")
            }
            Self::TurnCredentialsRefused => {
                f.write_str("the TURN server does not accept the credentials")
            }
            Self::TurnUnreachable => f.write_str("the TURN server cannot be reached"),
            Self::TurnRefused(code) => {
                write!(f, "the TURN server lends no address (error {code})")
            }
            Self::RelayUseless => f.write_str("not even through the TURN server is there a path"),
            Self::OneWay => {
                f.write_str("packets come from the other node, but none of ours arrives there")
            }
            Self::FingerprintMismatch => fmt::Display::fmt(&LinkFailure::FingerprintMismatch, f),
            Self::PeerSilent => {
                f.write_str("a path was found, but then nothing was heard of the other node")
            }
            Self::LinkFailed(failure) => fmt::Display::fmt(failure, f),
            Self::TimedOut(phase) => fmt::Display::fmt(&EndReason::TimedOut(*phase), f),
        }
    }
}
