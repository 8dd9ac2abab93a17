//! Whole networks in virtual time, replayed from a seed.
//!
//! A [`World`] holds nodes, the paths between them and a signaling server. Nothing in it reads a
//! clock: time jumps from one event to the next, so a virtual hour takes as long as its events.
//! Nodes are [`Network`](crate::Network)s over *model links*, which do what a browser's connections
//! would do at the level of `RTCPeerConnection`, or (with the feature `native`) full
//! `native::Node`s with real ICE, DTLS and SCTP over virtual datagrams.
//!
//! ```
//! use core::time::Duration;
//! use wattle_core::sim::World;
//! use wattle_core::{Config, Event};
//!
//! let mut world = World::new(7);
//! let host = world.add_model(Config::default());
//! let joiner = world.add_model(Config::default());
//! let code = world.host(host);
//! world.join(joiner, &code);
//! assert!(world.run_until(Duration::from_secs(5), |world| world.nodes(joiner).len() == 2));
//!
//! world.broadcast(host, "hello").unwrap();
//! world.run_for(Duration::from_secs(1));
//! assert!(world.events(joiner).any(|event| matches!(
//!     event,
//!     Event::Message { payload, .. } if payload.as_ref() == b"hello"
//! )));
//! ```
//!
//! The file `docs/simulation.md` of the repository shows how to test a game in it, the example
//! `sim_game` does so.

mod application;
pub mod campaign;
mod change;
pub mod choices;
mod clock;
mod compare;
mod draw;
#[cfg_attr(
    not(feature = "native"),
    allow(
        dead_code,
        reason = "without datagrams only the oracle looks at the boxes"
    )
)]
mod internet;
pub(crate) mod laws;
mod look;
mod machine;
mod model_link;
#[cfg_attr(
    not(feature = "native"),
    allow(
        dead_code,
        reason = "without datagrams only the oracle looks at the boxes"
    )
)]
mod nat;
mod oracle;
mod path;
mod places;
pub mod plan;
mod quirks;
mod run;
mod signaling;
#[cfg(feature = "native")]
mod stun;
#[cfg(test)]
mod tests;
mod trace;
mod world;

/// The code of the guide is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/simulation.md")]
mod guide {}

pub use change::Change;
pub use clock::Clock;
pub use compare::{Difference, first_difference};
pub use internet::{Dropped, NatIndex, Place};
pub use laws::{Law, Violation};
pub use nat::{Dependence, NatConfig, PortChoice};
pub use oracle::{Knowledge, Reach};
pub use path::{Burst, Path};
pub use quirks::Quirks;
pub use signaling::SignalingFaults;
#[cfg(feature = "native")]
pub use stun::{StunAnswer, StunConfig};
pub use world::{NodeIndex, World};
