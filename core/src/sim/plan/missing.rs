//! What may be missing in the end.

use alloc::vec::Vec;
use core::fmt;

use crate::stats::Status;

/// What a healed core did not come to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// The host lives, and this node is not in its network.
    NotJoined {
        /// Which node.
        node: u8,
        /// What it is instead; `None`: crashed.
        status: Option<Status>,
    },
    /// A node of the core does not see exactly the others of the core.
    Roster {
        /// Which node.
        node: u8,
        /// Whom it sees; `None` for one that is none of ours.
        sees: Vec<Option<u8>>,
    },
    /// Two nodes of the core can reach each other again, both are in the network, and one still counts
    /// the other as lost.
    StillLost {
        /// Which node.
        from: u8,
        /// Whom it misses.
        to: u8,
    },
    /// The host is lost, and this node still believes to be in its network.
    NotTold {
        /// Which node.
        node: u8,
    },
    /// A node of the core did not hear all that another one said.
    Unheard {
        /// Who said it.
        from: u8,
        /// Who did not hear it.
        to: u8,
        /// How many messages; `None`: it was not even possible to send them.
        messages: Option<u32>,
    },
    /// A node counts messages as under way to another that has taken all: its credit did not come
    /// back.
    Uncredited {
        /// Who sent them.
        from: u8,
        /// Who took them.
        to: u8,
        /// How many bytes, with what each message costs.
        bytes: u32,
    },
    /// A node cannot reach the host, and its attempt to join has not ended.
    NotEnded {
        /// Which node.
        node: u8,
    },
    /// In a mesh: a node reaches another only through the host, though there is a direct path.
    Relayed {
        /// Which node.
        from: u8,
        /// The other.
        to: u8,
    },
    /// A node has links or connections that it needs no more.
    Leftovers {
        /// Which node.
        node: u8,
        /// Links, and those it needs.
        links: (u32, u32),
        /// Connections to signaling servers, and those it needs.
        connections: (u32, u32),
    },
    /// A node that is in no network still wants to be woken.
    Awake {
        /// Which node.
        node: u8,
    },
    /// There is more traffic than liveness needs.
    Loud {
        /// Inputs and outputs of all nodes in [`QUIET`](super::QUIET) of rest.
        entries: u64,
        /// The most there should be.
        most: u64,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJoined { node, status } => {
                write!(f, "node {node} is not in the network but {status:?}")
            }
            Self::Roster { node, sees } => write!(f, "node {node} sees the nodes {sees:?}"),
            Self::StillLost { from, to } => {
                write!(
                    f,
                    "node {from} has not found node {to} again, which is there"
                )
            }
            Self::NotTold { node } => {
                write!(f, "node {node} was not told that the host is lost")
            }
            Self::Unheard {
                from,
                to,
                messages: Some(messages),
            } => write!(f, "node {to} misses {messages} messages of node {from}"),
            Self::Unheard { from, to, .. } => write!(f, "node {from} cannot send to node {to}"),
            Self::Uncredited { from, to, bytes } => write!(
                f,
                "node {from} counts {bytes} bytes as under way to node {to}, which has taken all"
            ),
            Self::NotEnded { node } => write!(
                f,
                "node {node} cannot reach the host, and its join has not ended"
            ),
            Self::Relayed { from, to } => write!(
                f,
                "node {from} reaches node {to} only through the host, though there is a direct path"
            ),
            Self::Leftovers {
                node,
                links,
                connections,
            } => write!(
                f,
                "node {node} has {} links of {} that it needs, and {} connections of {}",
                links.0, links.1, connections.0, connections.1
            ),
            Self::Awake { node } => write!(f, "node {node} is idle and wants to be woken"),
            Self::Loud { entries, most } => {
                write!(f, "{entries} inputs and outputs at rest instead of {most}")
            }
        }
    }
}
