//! Frames between two nodes; docs/wire.md is their description.

mod bundle;
#[cfg(test)]
mod documented;
mod frame;
mod hello;
mod varint;

pub(crate) use bundle::{Bundle, Outgoing};
pub(crate) use frame::{Ack, Body, Farewell, Frame, Piece, State, decode};
pub(crate) use hello::{Hello, Member, Token, Version, Welcome};

/// The number of a node within one epoch of a network; 0 is the host. Never used again.
pub(crate) type Number = u16;

/// The host's number.
pub(crate) const HOST: Number = 0;
