//! What goes in and out for a connection to a signaling server, and for the embedded server.

use alloc::string::String;
use core::fmt;
use core::net::IpAddr;

/// One connection to the signaling server, never used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalingId(pub(crate) u64);

/// News of the connection to the signaling server.
#[derive(Clone, Debug, Hash)]
#[non_exhaustive]
pub enum SignalingUpdate<'a> {
    /// The WebSocket is open.
    Opened(SignalingId),
    /// A text frame came.
    Frame(SignalingId, &'a str),
    /// It could not be opened, or was closed. Nothing comes after it.
    Closed(SignalingId, SignalingFailure),
}

/// What to do with the connection to the signaling server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignalingCommand {
    /// Open a WebSocket to this URL. TLS certificates are to be verified, always.
    Open(SignalingId, String),
    /// Send a text frame.
    Send(SignalingId, String),
    /// Close the WebSocket after what was sent. Nothing is said about it any more.
    Close(SignalingId),
}

/// Why a signaling server cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignalingFailure {
    /// Its name is not known.
    UnknownHost,
    /// Nothing listens there.
    ConnectionRefused,
    /// No way leads there.
    Unreachable,
    /// Its TLS certificate is not valid for it, or not by anybody we trust.
    Certificate,
    /// TLS failed in another way.
    Tls,
    /// It answered with this HTTP status instead of a WebSocket.
    Http(u16),
    /// It does not speak WebSocket, or broke its rules.
    Protocol,
    /// It closed the connection.
    Closed,
    /// It did not answer in time.
    TimedOut,
}

impl SignalingFailure {
    /// The failure's name in JSON output.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::UnknownHost => "signaling_unknown_host",
            Self::ConnectionRefused => "signaling_connection_refused",
            Self::Unreachable => "signaling_unreachable",
            Self::Certificate => "signaling_certificate",
            Self::Tls => "signaling_tls",
            Self::Http(_) => "signaling_http",
            Self::Protocol => "signaling_protocol",
            Self::Closed => "signaling_closed",
            Self::TimedOut => "signaling_timed_out",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::UnknownHost => "Check the server's name in the signaling URL, and the DNS.",
            Self::ConnectionRefused => {
                "Check that the signaling server runs, and its port in the signaling URL."
            }
            Self::Unreachable | Self::TimedOut => {
                "Check the network connection and the address in the code or signaling URL."
            }
            Self::Certificate => {
                "The server's certificate must be valid for its name; do not trust this server otherwise."
            }
            Self::Tls => "Check that the server speaks TLS at this port (wss:// or ws://).",
            Self::Http(_) => "Check the path in the signaling URL; it usually ends in /peerjs.",
            Self::Protocol => "Check that this is a PeerJS signaling server.",
            Self::Closed => "Try again; look at the signaling server's log.",
        }
    }

    /// Whether another attempt may help.
    pub(crate) const fn is_passing(self) -> bool {
        match self {
            Self::ConnectionRefused
            | Self::Unreachable
            | Self::UnknownHost
            | Self::Closed
            | Self::TimedOut => true,
            Self::Http(status) => status >= 500 || status == 429,
            Self::Certificate | Self::Tls | Self::Protocol => false,
        }
    }
}

impl fmt::Display for SignalingFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownHost => f.write_str("its name is not known"),
            Self::ConnectionRefused => f.write_str("nothing listens there"),
            Self::Unreachable => f.write_str("no way leads there"),
            Self::Certificate => f.write_str("its TLS certificate is not valid"),
            Self::Tls => f.write_str("TLS failed"),
            Self::Http(status) => write!(f, "it answered with HTTP status {status}"),
            Self::Protocol => f.write_str("it does not speak WebSocket as it should"),
            Self::Closed => f.write_str("it closed the connection"),
            Self::TimedOut => f.write_str("it did not answer in time"),
        }
    }
}

/// One connection at the embedded server, numbered by the driver; never used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// News of a connection to the embedded signaling server.
#[derive(Clone, Debug, Hash)]
#[non_exhaustive]
pub enum ServerInput<'a> {
    /// A connection was accepted, and has not made its request yet.
    ///
    /// A driver need not say so; but then it is the driver that has to bound the number of such
    /// connections, and the time that they may take.
    Accepted {
        /// Which connection.
        connection: ConnectionId,
        /// From where.
        peer: IpAddr,
    },
    /// The head of an HTTP request came: a WebSocket handshake or a plain GET.
    Request {
        /// On which connection.
        connection: ConnectionId,
        /// From where.
        peer: IpAddr,
        /// The method, such as `GET`.
        method: &'a str,
        /// The request target: path and query.
        target: &'a str,
        /// Whether it asks for a WebSocket.
        upgrade: bool,
    },
    /// A text or binary frame came; binary ones are read as text, as PeerServer does.
    Frame {
        /// On which connection.
        connection: ConnectionId,
        /// The frame.
        text: &'a str,
    },
    /// The connection is gone.
    Closed {
        /// Which connection.
        connection: ConnectionId,
    },
}

/// What to do with a connection to the embedded signaling server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerOutput {
    /// Complete the WebSocket handshake.
    Upgrade {
        /// Of which connection.
        connection: ConnectionId,
    },
    /// Answer the HTTP request (plain text, any origin may read it) and close the connection.
    /// Nothing need be said about it any more.
    Respond {
        /// On which connection.
        connection: ConnectionId,
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
    /// Send a text frame.
    ///
    /// What waits for a client that does not read is the driver's to bound: past some hundred
    /// kilobytes it closes the connection and says [`ServerInput::Closed`].
    Send {
        /// On which connection.
        connection: ConnectionId,
        /// The frame.
        text: String,
    },
    /// Close the connection after what was sent. Nothing need be said about it any more.
    Close {
        /// Which connection.
        connection: ConnectionId,
    },
}
