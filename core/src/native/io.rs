//! What goes into and comes out of [`Node`](super::Node).

use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use crate::event::Event;
use crate::report::StreamFailure;
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
    /// What a name of [`Output::Resolve`] stands for.
    Resolved {
        /// The name, as it was asked for.
        name: &'a str,
        /// All its addresses, of both families, in the resolver's order; none: there is no such
        /// name, or nobody to ask.
        addresses: &'a [IpAddr],
    },
    /// News of a connection of [`Output::Stream`].
    Stream {
        /// Which.
        stream: StreamId,
        /// What became of it.
        update: StreamUpdate<'a>,
    },
}

/// A connection to a TURN server: TCP, TLS, or UDP from a port of its own. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct StreamId(pub u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.0)
    }
}

/// News of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamUpdate<'a> {
    /// It is open, TLS included: bytes may be sent.
    Opened {
        /// Our end of it.
        local: SocketAddr,
    },
    /// Bytes came; how many at once does not matter. With UDP it is one datagram.
    Bytes(&'a [u8]),
    /// The server closed it. Nothing follows.
    Closed,
    /// It could not be opened, or broke. Nothing follows.
    Failed(StreamFailure),
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
    /// Look up a name and answer with [`Input::Resolved`], once: by multicast DNS if it ends in
    /// `.local`, else by the system's resolver. The same name may be asked for again.
    Resolve {
        /// The name.
        name: String,
    },
    /// For a connection to a TURN server.
    Stream {
        /// Which.
        stream: StreamId,
        /// What to do with it.
        command: StreamCommand,
    },
}

/// What is to be done with a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamCommand {
    /// Connect. Always the first command of a stream, answered by [`StreamUpdate::Opened`] or
    /// [`StreamUpdate::Failed`].
    Open {
        /// To where.
        remote: SocketAddr,
        /// With TLS, for this server name (a name, or an address without brackets). The
        /// certificate is to be verified, always.
        tls: Option<String>,
    },
    /// Open a UDP socket with a port of its own, which sends to this server and takes what it sends
    /// alone: in [`Open`](Self::Open)'s place, and answered in the same way. It is asked for when the
    /// server will not have us, or does not hear us, at the port that all else uses. It is not among
    /// those of [`Input::Interfaces`], and an error of it (as that nobody listens there) does not end it.
    OpenUdp {
        /// To where.
        remote: SocketAddr,
        /// Our socket on whose address it is to be, as it was given in [`Input::Interfaces`].
        beside: SocketAddr,
    },
    /// Send bytes: always one whole message of TURN, with UDP one datagram. It is as good as a datagram:
    /// when more than 256 KiB wait, drop it whole.
    Send(Bytes),
    /// Close it after what was sent, and forget it. Nothing is said about it any more.
    Close,
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
