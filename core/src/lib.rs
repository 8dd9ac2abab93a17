//! Small peer-to-peer networks over WebRTC data channels, without any I/O.
//!
//! One node *hosts* a network and gets a short code, others *join* with it; messages then flow over
//! direct links, in a star around the host or in a mesh. This crate decides what a node says and
//! when. It has no sockets, clocks, threads, callbacks, async or traits to implement: bytes and the
//! time go in, bytes and events come out, and somebody else (a *driver*) carries them. The crate
//! `wattle-smol` is such a driver; a game loop can be one.
//!
//! There are two machines with the same methods:
//!
//! - [`Network`]: signaling, phases, negotiation, membership, messages. It asks for links in JSEP
//!   terms ([`LinkCommand`]) and is told what became of them ([`LinkUpdate`]). It needs `alloc` alone;
//!   in a browser `RTCPeerConnection` makes the links.
//! - [`native::Node`] (feature `native`, on by default): a `Network` with links of its own: ICE, DTLS
//!   and SCTP over datagrams.
//!
//! ```text
//! signaling frames ─► signaling ─┐                            ┌─► signaling frames
//!                                ├─► network ─► membership ───┼─► events to the application
//! link updates ─► link phases ───┘                            └─► link commands ─┐
//!        ▲                                                                       │
//!        │   browser: RTCPeerConnection                                          │
//!        └── native:  str0m ◄─ demux ◄─ datagrams;  gather ◄─ interfaces ◄───────┘
//! ```
//!
//! # The loop
//!
//! Whoever drives a machine does three things over and over: carry out all outputs, wait for input
//! or the timeout, hand in what came and the time.
//!
//! ```
//! use wattle_core::signaling::{SignalingCommand, SignalingUpdate};
//! use wattle_core::{Config, Event, Hosting, Input, Network, Output, Timestamp};
//!
//! let mut now = Timestamp::ZERO; // from a clock that never goes back
//! let seed = [7; 32]; // from the system's secure randomness
//! let mut network = Network::new(Config::default(), seed, now);
//! network.host(now, Hosting::Signaling { code: None })?;
//! let mut opened = None;
//! let code = 'running: loop {
//!     while let Some(output) = network.poll_output() {
//!         match output {
//!             Output::Event(Event::NetworkCreated { code }) => break 'running code,
//!             Output::Event(event) => println!("{event:?}"),
//!             // Here a driver opens a WebSocket. This one pretends that it has.
//!             Output::Signaling(SignalingCommand::Open(id, _url)) => opened = Some(id),
//!             Output::Signaling(_) | Output::Server(_) | Output::Link { .. } => {}
//!             _ => {}
//!         }
//!     }
//!     // Wait for whichever is first: something from the world, or the timeout.
//!     if let Some(id) = opened.take() {
//!         let frame = SignalingUpdate::Frame(id, r#"{"type":"OPEN"}"#);
//!         network.handle_input(now, Input::Signaling(frame));
//!     } else if let Some(timeout) = network.poll_timeout() {
//!         now = timeout;
//!         network.handle_timeout(now);
//!     }
//! };
//! assert_eq!(network.code(), Some(code));
//! # Ok::<(), wattle_core::HostError>(())
//! ```
//!
//! `examples/manual_loop.rs` is a whole one: two [`native::Node`]s on sockets of `std`. The file
//! `docs/driving.md` of the repository goes through all inputs and outputs, `docs/wire.md` through the
//! bytes between two nodes.
//!
//! # The laws
//!
//! They hold for both machines. The simulation checks them after every step.
//!
//! 1. **Any order of calls is safe**, and several inputs may come before one drain.
//! 2. **Time is clamped.** A machine's time is the latest that it has seen. Going backwards never
//!    panics and never schedules in the past.
//! 3. **No spin.** After `handle_timeout(t)` and a drain, `poll_timeout()` is `None` or later than `t`
//!    (but for the last `t` that there is, 584 years after the epoch).
//! 4. **No hang.** Whatever is under way has a deadline, so `poll_timeout()` is `Some`, and every
//!    deadline ends in a typed event.
//! 5. **Work happens in `handle_*`** and in the application's calls; `poll_*` do none. (With
//!    [`Credit::OnPoll`], `poll_output` notes that a message was taken; what follows is sent by the
//!    next call.)
//! 6. **Bounded.** One input yields at most [`Limits::outputs_per_input`] outputs, so draining bounds
//!    the output queue; every other queue, table and buffer has a limit, mostly in [`Limits`], and
//!    reaching it is a typed outcome.
//! 7. **Late news is harmless.** A [`LinkId`] is never used again; an update for a closed link is
//!    counted and ignored.
//! 8. **[`Event::NodeJoined`] and [`Event::NodeLeft`] alternate** per node, messages fall only between
//!    them, and every `host` or `join` ends in exactly one [`Event::Ended`] with a reason (which stands
//!    for the leaving of all who are still there).
//!
//! `Err` means the caller's mistake or a full limit. What a remote or the world did is an event, and
//! hostile input is counted ([`Counters`]), never an `Err` and never a panic.
//!
//! # Determinism
//!
//! The same seed and the same inputs give the same outputs of a `Network`, byte for byte. In the worlds of
//! the module `sim` a `native::Node` gives the same events and packets at the same times, of the same
//! lengths; the bytes inside DTLS, SCTP and STUN differ. Outside, the moments when lost parts of a DTLS
//! handshake are sent again differ, too: they are drawn from the system's randomness, as is all that
//! should be a secret.
//!
//! # Features
//!
//! - `native` (default): [`native::Node`]. Brings std.
//! - `server` (with `native` and `sim`): `signaling::Server`, and hosting on a LAN with it.
//! - `sim`: the module `sim`, whole networks in virtual time, replayed from a seed, for the tests of a
//!   game as much as for our own. Brings std.
#![cfg_attr(not(any(feature = "native", feature = "sim", test)), no_std)]

extern crate alloc;

mod code;
mod config;
mod error;
mod event;
mod event_queue;
mod ice;
mod id;
mod interpolation;
mod io;
mod json;
mod link;
mod map;
mod membership;
mod network;
mod planted;
#[cfg(test)]
mod properties;
mod report;
mod rng;
mod stats;
mod time;
mod wire;

pub mod doctor;
pub mod signaling;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "native")]
pub mod native;
#[cfg(any(feature = "sim", test))]
pub mod sim;

pub use code::{CodeError, NetworkCode};
pub use config::{Config, ConfigError, Credit, Limits, Probing, Timeouts, Topology};
pub use error::{EndReason, HostError, JoinError, KickError, SendError, ServerRefusal};
pub use event::{
    CandidateKind, Diagnostic, Event, LeaveReason, LinkState, Phase, PhaseTiming, Refusal, Route,
    Side, SignalingDiagnostic,
};
pub use event_queue::EventQueue;
pub use ice::{
    IceHost, IcePolicy, IceScheme, IceServer, IceServerError, IceTransport, IceUrl, IceUrlError,
};
pub use id::{LinkId, NodeId, NodeIdError};
pub use interpolation::{Component, Interpolator};
pub use io::{Channel, ChannelMessage, Input, LinkCommand, LinkFailure, LinkUpdate, Output};
pub use network::{Hosting, Network};
#[cfg(wattle_planted)]
pub use planted::Planted;
pub use report::{
    CandidateCounts, CandidateReport, Checks, ConnectReport, LinkReport, NatMapping, Observation,
    SelectedPair, ServerReport, ServerResult, StreamFailure, Verdict,
};
pub use signaling::{SignalingFailure, SignalingUrl, SignalingUrlError};
pub use stats::{Counters, NodeStats, StateStats, Stats, Status};
pub use time::Timestamp;
