//! wattle in a browser page: small peer-to-peer networks over `RTCPeerConnection`.
//!
//! One node hosts and gets a short code; others join with it; messages then flow directly between
//! them over WebRTC data channels. Nodes in pages and native ones (`wattle-smol`) meet in one network.
//!
//! ```no_run
//! use wattle_wasm::{Config, Event, Hosting, Network};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let network = Network::host(Hosting::Signaling, Config::default()).await?;
//! println!("join with {}", network.code().map(|code| code.to_string()).unwrap_or_default());
//! while let Some(event) = network.next_event().await {
//!     if let Event::Message { from, payload } = event {
//!         network.send_to_when_room(from, payload).await?; // an echo
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Everything happens on the page's own thread, in the browser's events: there is nothing to be run.
//! A game loop takes events with [`Network::try_next_event`] once per frame; a hidden page has no frames, so in a
//! timer, too.
//!
//! From JavaScript, use the package that `driver-wasm/build` makes of this crate; its README tells how.
//!
//! All that this crate does is I/O: what a node says and when is decided by [`wattle_core`].

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "nothing here works without std"
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the core's and the browser's enums grow; what is new passes through"
)]

mod error;
mod ice;
mod link;
mod network;
mod page;
mod rehearsal;
#[cfg(feature = "script")]
mod script;
mod shared;
mod signaling;
mod statistics;
mod timer;

pub use error::{ConnectError, WaitError};
pub use network::{Hosting, Network};
#[cfg(feature = "script")]
pub use script::{Interpolator as ScriptInterpolator, Node};

pub use wattle_core::signaling::{SignalingFailure, SignalingUrl, SignalingUrlError};
pub use wattle_core::{
    CandidateCounts, CandidateKind, CandidateReport, Checks, CodeError, Component, Config,
    ConfigError, ConnectReport, Counters, Diagnostic, EndReason, Event, HostError, IceHost,
    IcePolicy, IceScheme, IceServer, IceServerError, IceTransport, IceUrl, IceUrlError,
    Interpolator, JoinError, KickError, LeaveReason, Limits, LinkFailure, LinkState, NatMapping,
    NetworkCode, NodeId, NodeIdError, NodeStats, Observation, Phase, PhaseTiming, Refusal, Route,
    SelectedPair, SendError, ServerRefusal, ServerReport, ServerResult, Side, SignalingDiagnostic,
    StateStats, Stats, Status, StreamFailure, Timeouts, Topology, Verdict,
};

use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

/// Connects once within the page, with nobody, so that the first connection is nearly as quick as later ones:
/// browsers compile a function when it is first called.
///
/// To be called while nobody waits, when the page begins: it keeps the page busy for some 30 ms. Nothing leaves the
/// page.
pub fn rehearse() {
    let mut rehearsal = rehearsal::Rehearsal::new();
    while rehearsal.step(drop) {}
}

/// What the browser calls. It lives as long as what it was given to, and is told nothing after that.
type Callback = Closure<dyn FnMut(JsValue)>;

fn callback(call: impl FnMut(JsValue) + 'static) -> Callback {
    Closure::new(call)
}

/// The function to hand to the browser.
fn function(callback: &Callback) -> &js_sys::Function {
    use wasm_bindgen::JsCast as _;
    callback.as_ref().unchecked_ref()
}
