//! wattle with sockets and timers: an async handle for small peer-to-peer networks.
//!
//! One node hosts and gets a short code; others join with it; messages then flow directly between
//! them over WebRTC data channels.
//!
//! ```no_run
//! use wattle_smol::{Config, Event, Hosting, Network};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! smol::block_on(async {
//!     let network = Network::host(Hosting::Lan, Config::default()).await?;
//!     println!("join with {}", network.code().map(|code| code.to_string()).unwrap_or_default());
//!     while let Some(event) = network.next_event().await {
//!         if let Event::Message { from, payload } = event {
//!             let _ = network.send_to_when_room(from, payload).await; // an echo, if it is still there
//!         }
//!     }
//!     Ok(())
//! })
//! # }
//! ```
//!
//! In a star, the default, the network ends with its host. In a mesh ([`Topology::Mesh`], which the
//! host sets) the joiners have links to each other, too, and go on without it: [`Event::NodeRoute`]
//! tells which way a node is reached, [`Event::HostLost`] that the host is gone.
//!
//! Each [`Network`] is driven on a thread of its own, so it works under any executor, and an
//! application that is busy for a while does not look lost to the others. All that this crate does
//! is I/O: what a node says and when is decided by [`wattle_core`].

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "nothing here works without std"
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the core's enums grow; what is new passes through"
)]

mod error;
mod event_loop;
mod examine;
mod http_head;
mod interfaces;
mod mdns;
mod names;
mod network;
mod options;
mod outbox;
mod port;
mod server;
mod shared;
mod signaling;
mod streams;
mod tcp;
mod tls;
mod udp;
mod websocket;

#[cfg(test)]
#[cfg(target_os = "linux")]
#[path = "tests/namespace.rs"]
mod namespace;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

pub use error::{ConnectError, WaitError};
pub use examine::examine;
pub use network::Network;
pub use options::{Hosting, Options};
pub use server::SignalingServer;

/// What messages are made of and come as.
pub use bytes::Bytes;

pub use wattle_core::doctor;
pub use wattle_core::signaling::{
    ServerConfig, ServerCounters, SignalingFailure, SignalingUrl, SignalingUrlError,
};
pub use wattle_core::{
    CandidateCounts, CandidateKind, CandidateReport, Checks, CodeError, Component, Config,
    ConfigError, ConnectReport, Counters, Diagnostic, EndReason, Event, HostError, IceHost,
    IcePolicy, IceScheme, IceServer, IceServerError, IceTransport, IceUrl, IceUrlError,
    Interpolator, JoinError, KickError, LeaveReason, Limits, LinkFailure, LinkState, NatMapping,
    NetworkCode, NodeId, NodeIdError, NodeStats, Observation, Phase, PhaseTiming, Refusal, Route,
    SelectedPair, SendError, ServerRefusal, ServerReport, ServerResult, Side, SignalingDiagnostic,
    StateStats, Stats, Status, StreamFailure, Timeouts, Timestamp, Topology, Verdict,
};

use std::time::Instant;

/// The driver's clock: `Timestamp::ZERO` is when it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    pub(crate) const fn origin(&self) -> Instant {
        self.origin
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::ZERO.plus(self.origin.elapsed())
    }

    /// The instant of `timestamp`; `None` if it is too far away for the system's clock.
    pub(crate) fn instant(&self, timestamp: Timestamp) -> Option<Instant> {
        self.origin.checked_add(timestamp.since(Timestamp::ZERO))
    }
}

/// 32 bytes from the system's random number generator.
pub(crate) fn seed() -> std::io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
    Ok(seed)
}
