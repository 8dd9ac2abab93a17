//! Signaling: how two nodes exchange descriptions before they have a link.

mod client;
mod io;
mod message;
mod server;
mod url;

pub use io::{
    ConnectionId, ServerInput, ServerOutput, SignalingCommand, SignalingFailure, SignalingId,
    SignalingUpdate,
};
pub use server::{Server, ServerConfig, ServerCounters, ServerLoad};
pub use url::{SignalingUrl, SignalingUrlError};

pub(crate) use client::{Client, ClientEvent, Relayed, RelayedKind, read_relayed, write_relayed};
