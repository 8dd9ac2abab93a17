//! The machine.
//! (being written)

use bytes::Bytes;
use core::time::Duration;
#[expect(
    clippy::disallowed_types,
    reason = "str0m's time; only mapped here, never read"
)]
use std::time::Instant;

use super::io::{Input, Output};
use crate::code::NetworkCode;
use crate::config::Config;
use crate::error::{HostError, JoinError, KickError, SendError};
use crate::event::{Phase, PhaseTiming};
use crate::id::NodeId;
use crate::network::{Hosting, Network};
use crate::stats::{Stats, Status};
use crate::time::Timestamp;

/// A node with native links: datagrams in, datagrams out.
#[derive(Debug)]
pub struct Node {
    network: Network,
}

#[expect(clippy::disallowed_types, reason = "str0m's time")]
impl Node {
    /// Makes a node that is in no network yet; `origin` is the instant that `Timestamp::ZERO` stands for.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Timestamp, origin: Instant) -> Self {
        let _ = (origin, Duration::ZERO);
        Self {
            network: Network::new(config, seed, now),
        }
    }
    /// See [`Network::host`].
    /// # Errors
    /// see type
    pub fn host(&mut self, now: Timestamp, hosting: Hosting) -> Result<(), HostError> {
        self.network.host(now, hosting)
    }
    /// See [`Network::join`].
    /// # Errors
    /// see type
    pub fn join(&mut self, now: Timestamp, code: &NetworkCode) -> Result<(), JoinError> {
        self.network.join(now, code)
    }
    /// See [`Network::leave`].
    pub fn leave(&mut self, now: Timestamp) {
        self.network.leave(now);
    }
    /// See [`Network::kick`].
    /// # Errors
    /// see type
    pub fn kick(&mut self, now: Timestamp, node: NodeId) -> Result<(), KickError> {
        self.network.kick(now, node)
    }
    /// See [`Network::broadcast`].
    /// # Errors
    /// see type
    pub fn broadcast(&mut self, now: Timestamp, payload: Bytes) -> Result<(), SendError> {
        self.network.broadcast(now, payload)
    }
    /// See [`Network::send_to`].
    /// # Errors
    /// see type
    pub fn send_to(
        &mut self,
        now: Timestamp,
        node: NodeId,
        payload: Bytes,
    ) -> Result<(), SendError> {
        self.network.send_to(now, node, payload)
    }
    /// See [`Network::broadcast_state`].
    /// # Errors
    /// see type
    pub fn broadcast_state(&mut self, now: Timestamp, payload: Bytes) -> Result<u32, SendError> {
        self.network.broadcast_state(now, payload)
    }
    /// See [`Network::release`].
    pub fn release(&mut self, now: Timestamp, from: NodeId, bytes: u32) {
        self.network.release(now, from, bytes);
    }
    /// News.
    pub fn handle_input(&mut self, _now: Timestamp, _input: Input<'_>) {}
    /// Time.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.network.handle_timeout(now);
    }
    /// Next output.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }
    /// Next deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.network.poll_timeout()
    }
    /// See [`Network::id`].
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.network.id()
    }
    /// See [`Network::status`].
    #[must_use]
    pub fn status(&self) -> Status {
        self.network.status()
    }
    /// See [`Network::phase`].
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.network.phase()
    }
    /// See [`Network::timing`].
    #[must_use]
    pub fn timing(&self) -> PhaseTiming {
        self.network.timing()
    }
    /// See [`Network::code`].
    #[must_use]
    pub fn code(&self) -> Option<NetworkCode> {
        self.network.code()
    }
    /// See [`Network::nodes`].
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.network.nodes()
    }
    /// See [`Network::stats`].
    #[must_use]
    pub fn stats(&self, now: Timestamp) -> Stats {
        self.network.stats(now)
    }
}
