//! What can go wrong: the caller's mistakes (`Err` of a call) and the ends of a network.

use core::fmt;

use crate::event::{Phase, Refusal};
use crate::io::LinkFailure;
use crate::signaling::SignalingFailure;

/// `host` was not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The node hosts or joins already; `leave` first and wait for `Ended`.
    #[error("this node is already in a network")]
    Busy,
    /// A LAN code cannot be chosen, it follows from the address.
    #[error("a host on a signaling server needs a 6-character code, not a LAN code")]
    NotAShortCode,
    /// The address cannot be written as a LAN code: unspecified, multicast or without a port.
    #[error("no LAN code can be made for this address")]
    NotAnAddress,
}

/// `join` was not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The node hosts or joins already; `leave` first and wait for `Ended`.
    #[error("this node is already in a network")]
    Busy,
}

/// A message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Not in a network.
    #[error("this node is in no network")]
    NotJoined,
    /// Nobody of that name is in the network. Where events wait in a queue, as with the drivers, it may have
    /// left although the application has not come to its `NodeLeft`: no reason for a program to stop.
    #[error("no such node in the network")]
    UnknownNode,
    /// A node does not send to itself.
    #[error("a node cannot send to itself")]
    Myself,
    /// The host does not relay in this network: joiners reach only the host.
    #[error("the host of this network does not relay: joiners reach only the host")]
    NotRelayed,
    /// In a mesh: the node has taken nothing for too long ([`Event::NodeStalled`](crate::Event));
    /// `NodeBack` tells when it does.
    #[error("the node takes no messages any more")]
    NotTaking,
    /// The message is longer than the network allows.
    #[error("the message is too large: at most {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: u32,
    },
    /// A receiver speaks the JSON dialect (a Clayground node or PeerJS page), and the payload is not the
    /// text of one JSON object. Nobody gets it.
    #[error("a receiver takes nothing but JSON objects")]
    NotJson,
    /// The network's host speaks the JSON dialect, in which a joiner can only say something to all.
    #[error("in a network of this kind of host a joiner can only broadcast")]
    BroadcastOnly,
    /// A receiver has not taken what was sent before; wait for `Writable`.
    #[error("a receiver has not taken what was sent before: wait for room")]
    Full,
}

impl SendError {
    /// The error's name: the `kind` of the command's JSON output and of JavaScript errors.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NotJoined => "not_joined",
            Self::UnknownNode => "unknown_node",
            Self::Myself => "myself",
            Self::NotRelayed => "not_relayed",
            Self::NotTaking => "not_taking",
            Self::TooLarge { .. } => "too_large",
            Self::NotJson => "not_json",
            Self::BroadcastOnly => "broadcast_only",
            Self::Full => "full",
        }
    }
}

/// `kick` was not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KickError {
    /// Only the host removes nodes.
    #[error("only the host can remove a node")]
    NotHost,
    /// Nobody of that name is in the network.
    #[error("no such node in the network")]
    UnknownNode,
}

impl KickError {
    /// The error's name: the `kind` of the command's JSON output and of JavaScript errors.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NotHost => "not_host",
            Self::UnknownNode => "unknown_node",
        }
    }
}

/// Why a network ended for this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// `leave` was called.
    Left,
    /// The host closed the network.
    HostClosed,
    /// Nothing was heard of the host any more.
    HostLost,
    /// The link to the host broke for good after joining.
    HostLinkFailed(LinkFailure),
    /// The host removed us.
    Kicked,
    /// The host removed us because we did not take our messages in time.
    TooSlow,
    /// The host removed us because we broke the protocol.
    Misbehaved,
    /// The host broke the protocol.
    HostMisbehaved,
    /// Nobody hosts a network with this code.
    CodeNotFound,
    /// The code that was asked for belongs to another network.
    CodeTaken,
    /// The host is not a wattle node, and its answer cannot be used.
    ForeignHost,
    /// The host does not let us in.
    Refused(Refusal),
    /// The signaling server cannot be reached.
    SignalingUnreachable(SignalingFailure),
    /// The signaling server does not want us.
    SignalingRefused(ServerRefusal),
    /// No link could be made.
    LinkFailed(LinkFailure),
    /// A phase took too long.
    TimedOut(Phase),
}

/// Why a signaling server does not want us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerRefusal {
    /// Our id stays taken.
    IdTaken,
    /// The key in the URL is not the server's.
    InvalidKey,
    /// It has as many clients as it takes.
    Full,
    /// Something else.
    Other,
}

impl EndReason {
    /// The reason's name: the `kind` of the command's JSON output and of JavaScript errors.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::HostClosed => "host_closed",
            Self::HostLost => "host_lost",
            Self::HostLinkFailed(_) => "host_link_failed",
            Self::Kicked => "kicked",
            Self::TooSlow => "too_slow",
            Self::Misbehaved => "misbehaved",
            Self::HostMisbehaved => "host_misbehaved",
            Self::CodeNotFound => "code_not_found",
            Self::CodeTaken => "code_taken",
            Self::ForeignHost => "foreign_host",
            Self::Refused(refusal) => refusal.name(),
            Self::SignalingUnreachable(failure) => failure.kind(),
            Self::SignalingRefused(ServerRefusal::IdTaken) => "signaling_id_taken",
            Self::SignalingRefused(ServerRefusal::InvalidKey) => "signaling_invalid_key",
            Self::SignalingRefused(ServerRefusal::Full) => "signaling_full",
            Self::SignalingRefused(ServerRefusal::Other) => "signaling_refused",
            Self::LinkFailed(LinkFailure::FingerprintMismatch) => "fingerprint_mismatch",
            Self::LinkFailed(LinkFailure::Ice) => "ice_failed",
            Self::LinkFailed(LinkFailure::Dtls) => "dtls_failed",
            Self::LinkFailed(_) => "link_failed",
            Self::TimedOut(Phase::Signaling) => "timed_out_signaling",
            Self::TimedOut(Phase::Ice) => "timed_out_ice",
            Self::TimedOut(Phase::Datachannel) => "timed_out_datachannel",
        }
    }

    /// Whether the network ended as one of the nodes wanted it to.
    #[must_use]
    pub const fn is_clean(self) -> bool {
        matches!(self, Self::Left | Self::HostClosed)
    }

    /// What a person can do about it; empty where there is nothing to do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Left | Self::HostClosed => "",
            Self::HostLost | Self::HostLinkFailed(_) => {
                "Check both nodes' network connections, then join again."
            }
            Self::Kicked => "Ask the host.",
            Self::TooSlow => "Take messages faster, or send fewer.",
            Self::Misbehaved | Self::HostMisbehaved => {
                "Use the same version of wattle on all nodes; report it if they are the same."
            }
            Self::CodeNotFound => {
                "Check the code, and that host and joiner use the same signaling server."
            }
            Self::ForeignHost => "Host the network with wattle.",
            Self::CodeTaken => "Choose another code, or none to get a free one.",
            Self::Refused(Refusal::NetworkFull) => {
                "Wait until somebody leaves, or host with a larger --max-nodes."
            }
            Self::Refused(Refusal::Version) => "Update the older of the two nodes.",
            Self::Refused(_) => "Join again.",
            Self::SignalingUnreachable(failure) => failure.remedy(),
            Self::SignalingRefused(ServerRefusal::InvalidKey) => {
                "Put the server's key into the signaling URL: ?key=…"
            }
            Self::SignalingRefused(_) => "Try again later or use another signaling server.",
            Self::LinkFailed(LinkFailure::FingerprintMismatch) => {
                "Somebody may be listening in between: use a signaling server that you trust."
            }
            Self::LinkFailed(LinkFailure::Dtls) => {
                "The other node's WebRTC must have an ECDSA certificate, as browsers do: with RSA alone it cannot connect."
            }
            Self::LinkFailed(_) | Self::TimedOut(Phase::Ice) => {
                "Check that UDP is not blocked between the nodes; both must be in networks that reach each other."
            }
            Self::TimedOut(Phase::Signaling) => {
                "The host did not answer: check that it still runs, then try again."
            }
            Self::TimedOut(Phase::Datachannel) => {
                "A path was found but stopped working: check for packet loss or a firewall, then try again."
            }
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("left the network"),
            Self::HostClosed => f.write_str("the host closed the network"),
            Self::HostLost => f.write_str("nothing was heard of the host any more"),
            Self::HostLinkFailed(failure) => write!(f, "the link to the host broke: {failure}"),
            Self::Kicked => f.write_str("the host removed this node"),
            Self::TooSlow => f.write_str("this node did not take its messages in time"),
            Self::Misbehaved => f.write_str("the host says that this node broke the protocol"),
            Self::HostMisbehaved => f.write_str("the host broke the protocol"),
            Self::CodeNotFound => f.write_str("nobody hosts a network with this code"),
            Self::CodeTaken => f.write_str("this code belongs to another network"),
            Self::ForeignHost => {
                f.write_str("the host is not a wattle node, and its answer cannot be used")
            }
            Self::Refused(Refusal::NetworkFull) => f.write_str("the network is full"),
            Self::Refused(Refusal::NodeIdTaken) => {
                f.write_str("a node with this name is in the network already")
            }
            Self::Refused(Refusal::Version) => {
                f.write_str("the host speaks another version of the protocol")
            }
            Self::Refused(Refusal::TooManyAttempts) => {
                f.write_str("the host has too many attempts of this node under way")
            }
            Self::Refused(Refusal::BadOffer) => f.write_str("the host could not use our offer"),
            Self::Refused(Refusal::PlaceGone) => {
                f.write_str("the host has given up this node's place")
            }
            Self::SignalingUnreachable(failure) => {
                write!(f, "the signaling server cannot be reached: {failure}")
            }
            Self::SignalingRefused(ServerRefusal::IdTaken) => {
                f.write_str("the signaling server says that our id is taken")
            }
            Self::SignalingRefused(ServerRefusal::InvalidKey) => {
                f.write_str("the signaling server does not accept the key")
            }
            Self::SignalingRefused(ServerRefusal::Full) => {
                f.write_str("the signaling server has as many clients as it takes")
            }
            Self::SignalingRefused(ServerRefusal::Other) => {
                f.write_str("the signaling server does not want this node")
            }
            Self::LinkFailed(failure) => write!(f, "{failure}"),
            Self::TimedOut(Phase::Signaling) => {
                f.write_str("no answer came through the signaling server in time")
            }
            Self::TimedOut(Phase::Ice) => {
                f.write_str("no path between the two nodes was found in time")
            }
            Self::TimedOut(Phase::Datachannel) => {
                f.write_str("the data channel did not open in time")
            }
        }
    }
}

impl core::error::Error for EndReason {}
