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
//!
//! # What can go wrong
//!
//! Everything is perfect until a test says otherwise:
//!
//! - [`Path`]: delay, jitter, loss, capacity and so on, in one direction between two nodes;
//!   [`partition`](World::partition), [`isolate`](World::isolate), [`clog`](World::clog) and
//!   [`heal_all`](World::heal_all) for the common cases.
//! - [`Quirks`]: what browsers do with connections, such as news that come late, twice, or never.
//! - [`SignalingFaults`], and a server that [stops](World::stop_server) and
//!   [forgets](World::start_server).
//! - [`Clock`]: clocks that drift and drivers that wake a node late or twice;
//!   [`sleep`](World::sleep), as a laptop does; [`crash`](World::crash) and
//!   [`restart`](World::restart).
//!
//! Each of these can be done at once, or at a time to come: a [`Change`] is the same as data.
//!
//! ```
//! use core::time::Duration;
//! use wattle_core::sim::{Change, Path, World};
//! use wattle_core::{Config, Event};
//!
//! let mut world = World::new(1);
//! world.set_default_path(Path {
//!     delay: Duration::from_millis(80),
//!     jitter: Duration::from_millis(30),
//!     loss_per_mille: 50,
//!     ..Path::default()
//! });
//! let nodes = [(); 3].map(|()| world.add_model(Config::default()));
//! let code = world.host(nodes[0]);
//! for node in &nodes[1..] {
//!     world.join(*node, &code);
//! }
//! world.run_for(Duration::from_secs(5));
//!
//! // The host falls asleep for three seconds, ten seconds from now.
//! let at = world.now().plus(Duration::from_secs(10));
//! world.at(at, Change::Sleep { node: nodes[0], time: Duration::from_secs(3) });
//! world.run_for(Duration::from_secs(20));
//! for node in &nodes[1..] {
//!     let (when, _) = world
//!         .find_event(*node, |event| matches!(event, Event::NodeBack { .. }))
//!         .expect("the host is heard again");
//!     assert!(when > at.plus(Duration::from_secs(3)));
//! }
//! ```
//!
//! # The same again
//!
//! A world does the same whenever it is made from the same seed and treated the same, and what is
//! drawn for one packet never depends on others: a fault that is left out leaves the rest as it was.
//! [`World::trace_hash`] is a hash over every input and output of every node, [`first_difference`]
//! says where two runs part, and [`World::timeline`] shows what happened, line by line. [`search()`] runs a
//! game's scenario from one seed after the other, and looks into the first failure.
//!
//! The laws of the contract (in the [crate's documentation](crate)) are checked all the time, and a
//! broken one panics.

mod agenda;
mod application;
pub mod campaign;
mod change;
pub mod choices;
mod clock;
mod compare;
mod draw;
mod foreign;
#[cfg(feature = "native")]
mod given;
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
#[cfg(feature = "native")]
mod ports;
mod quirks;
mod run;
mod search;
mod signaling;
#[cfg(feature = "native")]
mod stun;
#[cfg(test)]
mod tests;
mod trace;
#[cfg(feature = "native")]
pub(crate) mod turn;
mod world;

/// The code of the guide is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/simulation.md")]
mod guide {}

pub use change::Change;
pub use clock::Clock;
pub use compare::{Difference, first_difference};
pub use foreign::{Foreign, ForeignFrame};
pub use internet::{Dropped, NatIndex, Place};
pub use laws::{Law, Violation};
pub use nat::{Dependence, NatConfig, PortChoice};
pub use oracle::{Knowledge, Reach};
pub use path::{Burst, Path};
pub use quirks::Quirks;
pub use search::{Failure, search};
pub use signaling::SignalingFaults;
#[cfg(feature = "native")]
pub use stun::{StunAnswer, StunConfig};
#[cfg(feature = "native")]
pub use turn::{TurnConfig, TurnFault};
pub use world::{NodeIndex, World};
