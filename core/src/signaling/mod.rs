//! Signaling: how two nodes exchange descriptions before they have a link.

mod client;
mod io;
mod message;
#[cfg(not(any(feature = "server", test)))]
mod no_server;
#[cfg(any(feature = "server", test))]
mod server;
mod url;

pub use io::{
    ConnectionId, ServerInput, ServerOutput, SignalingCommand, SignalingFailure, SignalingId,
    SignalingUpdate,
};
#[cfg(any(feature = "server", test))]
pub use server::{Server, ServerConfig, ServerCounters, ServerLoad};
pub use url::{SignalingUrl, SignalingUrlError};

#[cfg(not(any(feature = "server", test)))]
pub(crate) use no_server::Server;

pub(crate) use client::{Client, ClientEvent, Relayed, RelayedKind, read_relayed, write_relayed};
