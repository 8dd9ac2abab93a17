//! Frames between two nodes; docs/wire.md is their description.

mod bundle;
mod coding;
#[cfg(test)]
mod documented;
mod frame;
mod hello;
pub(crate) mod json;
#[cfg(test)]
mod properties;
mod signal;
mod varint;

pub(crate) use bundle::{Bundle, Outgoing};
pub(crate) use coding::{decode, decode_into};
pub(crate) use frame::{Ack, Body, Farewell, Frame, Piece, State, pieces};
pub(crate) use hello::{Hello, Member, Resume, Resumed, Token, Version, Welcome};
pub(crate) use signal::{Signal, Step};

/// The number of a node within one epoch of a network; 0 is the host. Never used again.
pub(crate) type Number = u16;

/// How many frames a channel message may carry: enough for small messages to travel together, and
/// few enough that one channel message leads to a bounded number of outputs.
pub(crate) const FRAMES_PER_MESSAGE: u16 = 256;

/// The host's number.
pub(crate) const HOST: Number = 0;
