//! What goes into and comes out of [`Node`](super::Node).

use alloc::string::String;
use core::net::SocketAddr;

use crate::event::Event;
use crate::signaling::{ServerInput, ServerOutput, SignalingCommand, SignalingUpdate};
use bytes::Bytes;

/// What happened in the world, for [`Node::handle_input`](super::Node::handle_input).
#[derive(Clone, Debug, Hash)]
#[non_exhaustive]
pub enum Input<'a> {
    /// News of the connection to the signaling server.
    Signaling(SignalingUpdate<'a>),
    /// News of a connection to the embedded signaling server (a host on the LAN).
    Server(ServerInput<'a>),
    /// A UDP datagram came.
    Datagram {
        /// At which of our sockets: its address as it was given in [`Input::Interfaces`].
        local: SocketAddr,
        /// From where.
        remote: SocketAddr,
        /// What.
        payload: &'a [u8],
    },
    /// The sockets that there are now, all of them: what is missing is gone.
    Interfaces(&'a [Interface]),
    /// The machine's network is another although its sockets are the same, such as after it slept. A
    /// change of [`Input::Interfaces`] says so by itself.
    NetworkChanged,
}

/// A UDP socket on an interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "made by drivers")]
pub struct Interface {
    /// The system's name of the interface, such as `eth0`; it tells bridges and tunnels.
    pub name: String,
    /// The address that the socket is bound to: a concrete one, with its port.
    pub address: SocketAddr,
}

/// What the driver must do, from [`Node::poll_output`](super::Node::poll_output).
#[derive(Clone, Debug, Hash)]
#[non_exhaustive]
pub enum Output {
    /// For the connection to the signaling server.
    Signaling(SignalingCommand),
    /// For a connection to the embedded signaling server.
    Server(ServerOutput),
    /// Send a UDP datagram.
    Transmit(Transmit),
    /// For the application.
    Event(Event),
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Transmit {
    /// From which of our sockets.
    pub local: SocketAddr,
    /// To where.
    pub remote: SocketAddr,
    /// What.
    pub payload: Bytes,
}
