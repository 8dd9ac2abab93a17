//! Numbers to look at, as plain data.

use alloc::vec::Vec;
use core::time::Duration;

use crate::event::PhaseTiming;
use crate::id::NodeId;

/// The state of the whole node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Status {
    /// In no network.
    Idle,
    /// Host: registering the code. Joiner: connecting.
    Connecting,
    /// In a network.
    Joined,
    /// Saying goodbye.
    Leaving,
}

/// What is known of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStats {
    /// Which node.
    pub node: NodeId,
    /// Round-trip time on the path to it, smoothed as RFC 6298 does (1/8 of each new sample).
    /// For a relayed node: our round trip to the host plus the host's to it, told every 2 s.
    /// `None` before the first sample.
    pub latency: Option<Duration>,
    /// The shortest round trip that was seen on a link of our own.
    pub latency_best: Option<Duration>,
    /// How long ago the last authenticated packet came over our link to it.
    pub silent_for: Option<Duration>,
    /// Whether it is reached through the host.
    pub relayed: bool,
    /// Reliable messages sent to it.
    pub messages_sent: u64,
    /// Reliable messages received from it.
    pub messages_received: u64,
    /// Payload bytes of reliable messages sent to it.
    pub bytes_sent: u64,
    /// Payload bytes of reliable messages received from it.
    pub bytes_received: u64,
    /// Bytes of messages (with 32 for each) that it has not taken yet.
    pub bytes_in_flight: u32,
    /// Its states as they arrive here.
    pub state: StateStats,
    /// How long its connection to us took, phase by phase (only over our own link).
    pub timing: PhaseTiming,
}

/// How the states of one node arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateStats {
    /// The number of the last one delivered.
    pub sequence: Option<u32>,
    /// How many were delivered.
    pub received: u64,
    /// How many came too late (or twice) and were dropped.
    pub stale: u64,
    /// How long ago the last one was delivered.
    pub age: Option<Duration>,
}

/// Counters of the whole node, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Signaling frames that could not be read or made no sense, and were dropped.
    pub signaling_dropped: u64,
    /// Channel messages or frames that could not be read; each ended its link.
    pub frames_bad: u64,
    /// Frames for or from nodes that are not here any more, and were dropped.
    pub frames_stale: u64,
    /// Candidates over the limit or not readable, and dropped.
    pub candidates_dropped: u64,
    /// Joins that were refused.
    pub joins_refused: u64,
    /// News of links that are closed.
    pub late_updates: u64,
    /// Messages that this host passed on, once per receiver.
    pub messages_relayed: u64,
    /// States of our own or passed on that were replaced by newer ones before they could be sent.
    pub states_superseded: u64,
    /// Messages and states that were not JSON objects, and so were not passed on to a node of the JSON
    /// dialect. Its sender is told ([`SendError::NotJson`](crate::SendError::NotJson)), unless it is older.
    pub payloads_skipped: u64,
    /// What nodes of the JSON dialect said that makes no sense, and was dropped.
    pub json_dropped: u64,
    /// Datagrams that belong to no link, and were dropped (native).
    pub datagrams_dropped: u64,
}

/// Everything at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The node's state.
    pub status: Status,
    /// The other nodes, in join order.
    pub nodes: Vec<NodeStats>,
    /// The best latency of them.
    pub latency_best: Option<Duration>,
    /// Counters.
    pub counters: Counters,
}
