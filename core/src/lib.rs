//! wattle's Sans-IO core. (being written)
#![cfg_attr(not(any(feature = "native", feature = "sim", test)), no_std)]

extern crate alloc;

mod code;
mod config;
mod error;
mod event;
mod id;
mod io;
mod link;
mod membership;
mod network;
mod rng;
mod stats;
mod time;
mod wire;

pub mod signaling;

#[cfg(feature = "native")]
pub mod native;
#[cfg(any(feature = "sim", test))]
pub mod sim;

pub use code::{CodeError, NetworkCode};
pub use config::{Config, ConfigError, Credit, Limits, Probing, Timeouts};
pub use error::{EndReason, HostError, JoinError, KickError, SendError, ServerRefusal};
pub use event::{
    CandidateKind, Diagnostic, Event, LeaveReason, LinkState, Phase, PhaseTiming, Refusal, Side,
    SignalingDiagnostic,
};
pub use id::{LinkId, NodeId, NodeIdError};
pub use io::{Channel, ChannelMessage, Input, LinkCommand, LinkFailure, LinkUpdate, Output};
pub use network::{Hosting, Network};
pub use signaling::{SignalingFailure, SignalingUrl, SignalingUrlError};
pub use stats::{Counters, NodeStats, StateStats, Stats, Status};
pub use time::Timestamp;
