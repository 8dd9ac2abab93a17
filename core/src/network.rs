//! [`Network`]: owns the parts, routes input to part to output.
//! (being written)

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

use crate::code::NetworkCode;
use crate::config::Config;
use crate::error::{HostError, JoinError, KickError, SendError};
use crate::event::{Phase, PhaseTiming};
use crate::id::NodeId;
use crate::io::{Input, Output};
use crate::stats::{Stats, Status};
use crate::time::Timestamp;

/// Where a network is hosted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "made by its users")]
pub enum Hosting {
    /// On the configured signaling server; with a random code if none is given.
    Signaling {
        /// The code to register.
        code: Option<NetworkCode>,
    },
    /// On the embedded signaling server, which the driver makes reachable at this address.
    Lan {
        /// The address that the LAN code names.
        address: SocketAddr,
    },
}

/// One node's part in a network, without I/O and without links of its own.
#[derive(Debug)]
pub struct Network {
    id: NodeId,
    outputs: VecDeque<Output>,
}

impl Network {
    /// Makes a node that is in no network yet.
    #[must_use]
    pub fn new(_config: Config, seed: [u8; 32], _now: Timestamp) -> Self {
        let id = crate::rng::Rng::new(seed).fork("node id").bytes();
        Self {
            id: NodeId::from_bytes(id),
            outputs: VecDeque::new(),
        }
    }
    /// Hosts.
    /// # Errors
    /// see type
    pub fn host(&mut self, _now: Timestamp, _hosting: Hosting) -> Result<(), HostError> {
        Ok(())
    }
    /// Joins.
    /// # Errors
    /// see type
    pub fn join(&mut self, _now: Timestamp, _code: &NetworkCode) -> Result<(), JoinError> {
        Ok(())
    }
    /// Leaves.
    pub fn leave(&mut self, _now: Timestamp) {}
    /// Removes a node.
    /// # Errors
    /// see type
    pub fn kick(&mut self, _now: Timestamp, _node: NodeId) -> Result<(), KickError> {
        Ok(())
    }
    /// Sends to all.
    /// # Errors
    /// see type
    pub fn broadcast(&mut self, _now: Timestamp, _payload: Bytes) -> Result<(), SendError> {
        Ok(())
    }
    /// Sends to one.
    /// # Errors
    /// see type
    pub fn send_to(
        &mut self,
        _now: Timestamp,
        _node: NodeId,
        _payload: Bytes,
    ) -> Result<(), SendError> {
        Ok(())
    }
    /// Sends a state to all; gives its sequence number.
    /// # Errors
    /// see type
    pub fn broadcast_state(&mut self, _now: Timestamp, _payload: Bytes) -> Result<u32, SendError> {
        Ok(0)
    }
    /// With [`Credit::OnRelease`](crate::Credit::OnRelease): the application took a message of `bytes` bytes from `from`.
    pub fn release(&mut self, _now: Timestamp, _from: NodeId, _bytes: u32) {}
    /// News.
    pub fn handle_input(&mut self, _now: Timestamp, _input: Input<'_>) {}
    /// Time.
    pub fn handle_timeout(&mut self, _now: Timestamp) {}
    /// Next output.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
    /// Next deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }
    /// Our name.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }
    /// State.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::Idle
    }
    /// Phase of a join under way.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        None
    }
    /// Timing of our own join.
    #[must_use]
    pub fn timing(&self) -> PhaseTiming {
        PhaseTiming::default()
    }
    /// Code.
    #[must_use]
    pub fn code(&self) -> Option<NetworkCode> {
        None
    }
    /// All nodes in join order, ourselves included; empty unless joined.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        core::iter::empty()
    }
    /// Numbers.
    #[must_use]
    pub fn stats(&self, now: Timestamp) -> Stats {
        let _ = now;
        Stats {
            status: Status::Idle,
            nodes: Vec::new(),
            latency_best: None,
            counters: crate::stats::Counters::default(),
        }
    }
}
