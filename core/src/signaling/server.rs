//! The embedded signaling server.
//! (being written)

use super::io::{ServerInput, ServerOutput};
use crate::time::Timestamp;

/// Limits of a signaling server.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServerConfig {}

/// Counters of a signaling server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCounters {}

/// A signaling server as PeerServer, as a machine.
#[derive(Debug)]
pub struct Server {}

impl Server {
    /// Makes a server.
    #[must_use]
    pub fn new(_config: ServerConfig, _seed: [u8; 32], _now: Timestamp) -> Self {
        Self {}
    }
    /// News of a connection.
    pub fn handle_input(&mut self, _now: Timestamp, _input: ServerInput<'_>) {}
    /// Time has passed.
    pub fn handle_timeout(&mut self, _now: Timestamp) {}
    /// What to do next.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<ServerOutput> {
        None
    }
    /// When to call `handle_timeout`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }
}
