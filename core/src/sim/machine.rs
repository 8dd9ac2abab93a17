//! The two machines behind one face.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use super::foreign::ForeignNode;
use crate::code::NetworkCode;
use crate::error::{HostError, JoinError, KickError, SendError};
use crate::id::NodeId;
use crate::network::{Hosting, Network};
use crate::stats::{Stats, Status};
use crate::time::Timestamp;

#[cfg(feature = "native")]
use crate::ice::IceServer;
#[cfg(feature = "native")]
use crate::native::Node;

/// A node of a world.
#[derive(Debug)]
pub(super) enum Machine {
    Model(Box<Network>),
    #[cfg(feature = "native")]
    Native(Box<Node>),
    /// Not wattle's.
    Foreign(Box<ForeignNode>),
}

macro_rules! either {
    ($machine:expr, $inner:ident => $call:expr) => {
        either!($machine, $inner => $call, $inner => $call)
    };
    ($machine:expr, $inner:ident => $call:expr, $foreign:pat => $other:expr) => {
        match $machine {
            Machine::Model($inner) => $call,
            #[cfg(feature = "native")]
            Machine::Native($inner) => $call,
            Machine::Foreign($foreign) => $other,
        }
    };
}

impl Machine {
    pub(super) fn host(&mut self, now: Timestamp, hosting: Hosting) -> Result<(), HostError> {
        either!(self, inner => inner.host(now, hosting))
    }

    pub(super) fn join(&mut self, now: Timestamp, code: &NetworkCode) -> Result<(), JoinError> {
        either!(self, inner => inner.join(now, code))
    }

    #[cfg(feature = "native")]
    pub(super) fn set_ice_servers(&mut self, now: Timestamp, servers: &[IceServer]) {
        if let Self::Native(node) = self {
            node.set_ice_servers(now, servers);
        }
    }

    /// How many links go through a TURN server.
    #[cfg(feature = "native")]
    pub(super) fn links_by_relay(&self) -> usize {
        match self {
            Self::Native(node) => node.links_by_relay(),
            Self::Model(_) | Self::Foreign(_) => 0,
        }
    }

    pub(super) fn leave(&mut self, now: Timestamp) {
        either!(self, inner => inner.leave(now), foreign => foreign.leave());
    }

    pub(super) fn kick(&mut self, now: Timestamp, node: NodeId) -> Result<(), KickError> {
        either!(self, inner => inner.kick(now, node), _ => Err(KickError::NotHost))
    }

    pub(super) fn send(
        &mut self,
        now: Timestamp,
        to: Option<NodeId>,
        payload: Bytes,
    ) -> Result<(), SendError> {
        if let Self::Foreign(foreign) = self {
            // It speaks to all or to nobody.
            return match to {
                Some(_) => Err(SendError::BroadcastOnly),
                None => foreign.say(false, &payload),
            };
        }
        match to {
            Some(to) => either!(self, inner => inner.send_to(now, to, payload), _ => Ok(())),
            None => either!(self, inner => inner.broadcast(now, payload), _ => Ok(())),
        }
    }

    pub(super) fn state(&mut self, now: Timestamp, payload: Bytes) -> Result<u32, SendError> {
        either!(self, inner => inner.broadcast_state(now, payload), foreign => foreign.say(true, &payload).map(|()| 0))
    }

    pub(super) fn release(&mut self, now: Timestamp, from: NodeId, bytes: u32) {
        either!(self, inner => inner.release(now, from, bytes), _ => ());
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        either!(self, inner => inner.handle_timeout(now));
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        either!(self, inner => inner.poll_timeout())
    }

    pub(super) fn id(&self) -> NodeId {
        either!(self, inner => inner.id())
    }

    pub(super) fn code(&self) -> Option<NetworkCode> {
        either!(self, inner => inner.code())
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        either!(self, inner => inner.nodes().collect(), _ => Vec::new())
    }

    pub(super) fn stats(&self, now: Timestamp) -> Option<Stats> {
        either!(self, inner => Some(inner.stats(now)), _ => None)
    }

    pub(super) fn status(&self) -> Status {
        either!(self, inner => inner.status())
    }

    pub(super) const fn is_model(&self) -> bool {
        matches!(self, Self::Model(_))
    }
}
