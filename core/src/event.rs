//! What the application is told.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::time::Duration;

use crate::code::NetworkCode;
use crate::error::EndReason;
use crate::id::NodeId;
use crate::io::LinkFailure;
use crate::report::ConnectReport;
use crate::signaling::SignalingFailure;

/// What happened, for the application.
///
/// Every `host` and every `join` ends in exactly one [`Event::Ended`]; everything else falls before
/// it. `NodeJoined` and `NodeLeft` strictly alternate per node, and messages of a node fall only
/// between them. `Ended` stands for the leaving of all nodes that are still there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// Host: the network can be joined with this code.
    NetworkCreated {
        /// What to give to the others.
        code: NetworkCode,
    },
    /// Joiner: the connection entered this phase.
    Phase(Phase),
    /// Joiner: welcomed by the host. A `NodeJoined` for every node that is already there follows.
    Joined {
        /// Our own name.
        node: NodeId,
        /// All nodes in join order, the host first, ourselves included.
        nodes: Vec<NodeId>,
        /// How long each phase took.
        timing: Box<PhaseTiming>,
    },
    /// A node is part of the network.
    NodeJoined {
        /// Which.
        node: NodeId,
    },
    /// A node has been silent for [`Timeouts::suspect_after`](crate::Timeouts::suspect_after).
    NodeSuspect {
        /// Which.
        node: NodeId,
    },
    /// A suspected node has been silent for [`Timeouts::lost_after`](crate::Timeouts::lost_after), the
    /// link to it broke, or the host has lost it and says so. What is sent to it waits, while another path
    /// is looked for: `NodeBack` follows, or `NodeLeft` after [`Timeouts::grace`](crate::Timeouts::grace).
    NodeLost {
        /// Which.
        node: NodeId,
    },
    /// A suspected or lost node was heard again, or a stalled one has taken something. Nothing that was sent
    /// to it meanwhile is missing, and from now on broadcasts are for it again.
    NodeBack {
        /// Which.
        node: NodeId,
    },
    /// In a mesh: from now on messages between a node and us go this way. A node that has just joined
    /// is relayed. Of one that said goodbye nothing comes but `NodeLeft`.
    NodeRoute {
        /// Which.
        node: NodeId,
        /// Which way.
        route: Route,
    },
    /// In a mesh: a node has taken nothing for four times
    /// [`Timeouts::too_slow`](crate::Timeouts::too_slow) while there was no more room; for once that, if it
    /// is lost and others wait. Broadcasts leave it out until `NodeBack`.
    NodeStalled {
        /// Which.
        node: NodeId,
    },
    /// A node is no longer part of the network.
    NodeLeft {
        /// Which.
        node: NodeId,
        /// Why.
        reason: LeaveReason,
    },
    /// In a mesh: the host is gone, after its `NodeLeft`. Nodes that have links to each other go on;
    /// nobody can join any more. Whom the last of them leaves alone is at its end: as if its host had
    /// gone just then.
    HostLost {
        /// Why it left.
        reason: LeaveReason,
    },
    /// A reliable message.
    Message {
        /// Who sent it (vouched for by the host).
        from: NodeId,
        /// What was sent.
        payload: Bytes,
    },
    /// A state, newer than every state of this node delivered before.
    State {
        /// Who sent it (vouched for by the host).
        from: NodeId,
        /// Its number; wraps after 2^32 - 1.
        sequence: u32,
        /// What was sent.
        payload: Bytes,
    },
    /// A send that was refused with [`SendError::Full`](crate::SendError::Full) would fit now.
    Writable,
    /// The signaling server was lost; links live on, a host cannot be joined meanwhile.
    SignalingLost {
        /// Why.
        failure: SignalingFailure,
    },
    /// The signaling server is back: a host can be joined again, with the same code.
    SignalingRestored,
    /// How an attempt to connect went. A joiner is told once: after `Joined`, or right before `Ended`.
    /// With [`Config::with_verbose`](crate::Config::with_verbose) also a host, of every join, and a
    /// joiner in a mesh, of every attempt at a link to another joiner.
    ConnectReport(Box<ConnectReport>),
    /// What goes on inside, if [`Config::with_verbose`](crate::Config::with_verbose) asked for it.
    Diagnostic(Diagnostic),
    /// The network has ended for this node. The machine can host or join again.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// The steps of a connection, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the three phases are the design's")]
pub enum Phase {
    /// Offer and answer go through the signaling server.
    Signaling,
    /// A path is searched.
    Ice,
    /// DTLS, SCTP and the welcome.
    Datachannel,
}

impl Phase {
    /// The phase's name in diagnostics and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signaling => "signaling",
            Self::Ice => "ice",
            Self::Datachannel => "datachannel",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which way the messages between two nodes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Route {
    /// Over a link of their own.
    Direct,
    /// Through the host.
    Relayed,
}

/// How long each phase of a connection took; `None` for what has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PhaseTiming {
    /// From `join` (at the host: from the offer) to the answer.
    pub signaling: Option<Duration>,
    /// From the answer to a path.
    pub ice: Option<Duration>,
    /// From the path to the welcome.
    pub datachannel: Option<Duration>,
    /// All together.
    pub total: Option<Duration>,
}

/// Why a node left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It said goodbye.
    Left,
    /// The host removed it.
    Kicked,
    /// It was silent for too long.
    Lost,
    /// It took no messages while others waited for it.
    TooSlow,
    /// It broke the protocol.
    Misbehaved,
    /// Its link broke for good.
    LinkFailed(LinkFailure),
}

impl LeaveReason {
    /// The reason's name in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Kicked => "kicked",
            Self::Lost => "lost",
            Self::TooSlow => "too_slow",
            Self::Misbehaved => "misbehaved",
            Self::LinkFailed(_) => "link_failed",
        }
    }
}

impl fmt::Display for LeaveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("it left"),
            Self::Kicked => f.write_str("the host removed it"),
            Self::Lost => f.write_str("nothing was heard of it any more"),
            Self::TooSlow => f.write_str("it did not take its messages in time"),
            Self::Misbehaved => f.write_str("it broke the protocol"),
            Self::LinkFailed(failure) => write!(f, "its link broke: {failure}"),
        }
    }
}

/// A look inside, as data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Diagnostic {
    /// The connection to the signaling server changed.
    Signaling(SignalingDiagnostic),
    /// A candidate was found or received.
    Candidate {
        /// Of which node, if its name is known.
        node: Option<NodeId>,
        /// Ours or theirs.
        side: Side,
        /// Its type.
        kind: CandidateKind,
    },
    /// A link changed its state.
    Link {
        /// To which node, if its name is known.
        node: Option<NodeId>,
        /// Its new state.
        state: LinkState,
    },
    /// Host: somebody could not be let in.
    Refused {
        /// Who, if it said so.
        node: Option<NodeId>,
        /// Why.
        reason: Refusal,
    },
    /// Host: an offer without our marker came, of a Clayground node or a PeerJS page.
    ForeignOffer {
        /// The signaling id of the peer, shortened to 64 characters.
        signaling_id: String,
    },
}

impl Diagnostic {
    /// In which phase this happens.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Signaling(_) | Self::Refused { .. } | Self::ForeignOffer { .. } => {
                Phase::Signaling
            }
            Self::Candidate { .. } => Phase::Ice,
            Self::Link { state, .. } => match state {
                LinkState::Negotiating => Phase::Signaling,
                LinkState::Checking | LinkState::Disconnected => Phase::Ice,
                LinkState::Connected
                | LinkState::Open
                | LinkState::Closed
                | LinkState::Failed(_) => Phase::Datachannel,
            },
        }
    }
}

/// What the signaling server or the way to it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignalingDiagnostic {
    /// A connection is being made.
    Connecting {
        /// The how-manieth attempt since the last success, from 1.
        attempt: u32,
    },
    /// The server has registered our id.
    Registered,
    /// Our id belongs to somebody else.
    IdTaken,
    /// The connection failed or was lost.
    Failed(SignalingFailure),
    /// The target of our offer never registered.
    Expired,
}

/// Ours or theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a link has two sides")]
pub enum Side {
    /// This node's.
    Local,
    /// The other node's.
    Remote,
}

impl Side {
    /// The side's name in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// The candidate types of RFC 8445, and those that name a host by multicast DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CandidateKind {
    /// An address of an interface.
    Host,
    /// A host candidate hidden behind a `.local` name.
    Mdns,
    /// An address that a STUN server saw.
    ServerReflexive,
    /// An address that a check came from.
    PeerReflexive,
    /// An address at a TURN server.
    Relay,
}

impl CandidateKind {
    /// RFC 8445's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Mdns => "mdns",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relay => "relay",
        }
    }
}

/// The states of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkState {
    /// Descriptions are being exchanged.
    Negotiating,
    /// A path is searched.
    Checking,
    /// There is a path.
    Connected,
    /// The channels are open.
    Open,
    /// The path does not work at the moment.
    Disconnected,
    /// It was closed.
    Closed,
    /// It failed.
    Failed(LinkFailure),
}

impl LinkState {
    /// The state's name in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Negotiating => "negotiating",
            Self::Checking => "checking",
            Self::Connected => "connected",
            Self::Open => "open",
            Self::Disconnected => "disconnected",
            Self::Closed => "closed",
            Self::Failed(_) => "failed",
        }
    }
}

/// Why a host does not let somebody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Every place is taken (joins under way count).
    NetworkFull,
    /// A node of that name is here already.
    NodeIdTaken,
    /// Another major version of the wire format.
    Version,
    /// Too many joins of the same signaling id at once.
    TooManyAttempts,
    /// The offer cannot be used.
    BadOffer,
    /// It wants to come back, but its place has been given up.
    PlaceGone,
}

impl Refusal {
    /// The reason's name on the wire and in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetworkFull => "network_full",
            Self::NodeIdTaken => "node_id_taken",
            Self::Version => "version",
            Self::TooManyAttempts => "too_many_attempts",
            Self::BadOffer => "bad_offer",
            Self::PlaceGone => "place_gone",
        }
    }

    /// The refusal with this name on the wire.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [
            Self::NetworkFull,
            Self::NodeIdTaken,
            Self::Version,
            Self::TooManyAttempts,
            Self::BadOffer,
            Self::PlaceGone,
        ]
        .into_iter()
        .find(|refusal| refusal.name() == name)
    }
}
