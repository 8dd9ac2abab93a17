//! What a signaling server can be told, and what it counts.

use alloc::string::{String, ToString as _};
use core::time::Duration;

/// The settings and limits of a signaling server.
///
/// [`ServerConfig::default`] is a standalone server for many networks, [`ServerConfig::embedded`]
/// the one that a host brings along for its own network. Reaching a limit is counted in
/// [`ServerCounters`], and each field says what happens then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by its users, with `..Default::default()`"
)]
pub struct ServerConfig {
    /// The key that clients name in their URL. Default `peerjs`, which is what PeerJS sends.
    ///
    /// With another one they get the error `Invalid key provided`.
    pub key: String,
    /// Whether a client may bring an id and neither key nor token. Default yes.
    ///
    /// Clayground's LAN client does so; PeerServer refuses it as it refuses any missing parameter.
    /// An id that was registered without a token cannot be taken over: whoever asks for it gets
    /// `ID-TAKEN` until its connection is gone.
    pub bare_ids: bool,
    /// How many WebSockets may be open. Default 5000, as PeerServer's `concurrent_limit`.
    ///
    /// One more gets the error `Server has reached its concurrent user limit` and is closed, unless
    /// it takes its own id again: then the connection that had it makes room.
    pub connections: u32,
    /// How many WebSockets may be open from one IP address, or from one IPv6 network of 64 bits,
    /// which is what a single customer gets. Default 256, for a household or a school behind one
    /// address. Behind a reverse proxy all clients have one address: set it to `connections`.
    ///
    /// One more is refused as above.
    pub connections_per_address: u32,
    /// How many connections may be accepted and not have made their request yet; a quarter of them
    /// from one address. Default 256.
    ///
    /// One more is closed.
    pub pending: u32,
    /// The longest id and the longest token, in bytes. Default 128; PeerJS's own ids have 36.
    ///
    /// An id has printable ASCII characters and blanks only. Any other gets the error
    /// `No id, token, or key supplied to websocket server`; a frame to such an id is answered with
    /// `EXPIRE` at once.
    pub id: u32,
    /// The largest frame, in bytes. Default 64 KiB: an OFFER with its description has 1 to 4 KiB.
    ///
    /// A larger one closes the connection.
    pub frame: u32,
    /// How many frames a connection may send each second, in the long run. Default 100.
    ///
    /// More are dropped. A joiner sends about a dozen in all, a host as many for each joiner.
    pub frames_per_second: u32,
    /// How many frames may come at once before that. Default 1000: a host answers 63 joiners that
    /// arrive together.
    pub frame_burst: u32,
    /// How many frames above the rate close the connection. Default 10 000.
    pub flood: u32,
    /// How long a client may send no `HEARTBEAT`. Default 90 s, as PeerServer; PeerJS sends one
    /// every 5 s. Other frames do not count.
    ///
    /// After it the connection is closed without a word, and the id is free.
    pub alive: Duration,
    /// How long a connection may be without an id: before its request came, and after a client gave
    /// its id up. Default 10 s.
    ///
    /// After it the connection is closed.
    pub idle: Duration,
    /// How long a frame waits for its target to register. Default 5 s, as PeerServer.
    ///
    /// After it the sender gets one `EXPIRE` for all its frames to that target.
    pub expire: Duration,
    /// How many frames may wait for targets that are not registered. Default 2048.
    ///
    /// One more is dropped, and answered with `EXPIRE` at once if none of the same sender waits for
    /// the same target; otherwise the `EXPIRE` of those stands for it. The same holds for the
    /// three limits that follow.
    pub waiting_frames: u32,
    /// How many bytes may wait. Default 8 MiB.
    pub waiting_bytes: u32,
    /// How many frames of one sender may wait. Default 128.
    pub waiting_frames_per_sender: u32,
    /// How many bytes of one sender may wait. Default 256 KiB.
    pub waiting_bytes_per_sender: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            key: "peerjs".to_string(),
            bare_ids: true,
            connections: 5000,
            connections_per_address: 256,
            pending: 256,
            id: 128,
            frame: 64 * 1024,
            frames_per_second: 100,
            frame_burst: 1000,
            flood: 10_000,
            alive: Duration::from_secs(90),
            idle: Duration::from_secs(10),
            expire: Duration::from_secs(5),
            waiting_frames: 2048,
            waiting_bytes: 8 * 1024 * 1024,
            waiting_frames_per_sender: 128,
            waiting_bytes_per_sender: 256 * 1024,
        }
    }
}

impl ServerConfig {
    /// The settings of a server that serves the one network of the host that embeds it.
    ///
    /// It has room for four times the largest network, so that joiners who come and go, or try
    /// again, do not shut others out; all of them may share one address.
    #[must_use]
    pub fn embedded() -> Self {
        Self {
            connections: 256,
            waiting_frames: 512,
            waiting_bytes: 1024 * 1024,
            ..Self::default()
        }
    }
}

/// What a signaling server has seen, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCounters {
    /// Clients that got their id.
    pub registered: u64,
    /// Clients that took their own id again, with its token, on another connection.
    pub replaced: u64,
    /// Plain HTTP requests that were answered, whatever the answer.
    pub http_requests: u64,
    /// WebSocket handshakes to a path or with a method that is not ours.
    pub refused_path: u64,
    /// Clients without an id, token or key, or with ones that are not allowed.
    pub refused_parameters: u64,
    /// Clients with another key.
    pub refused_key: u64,
    /// Clients whose id somebody else has.
    pub refused_id_taken: u64,
    /// Clients that came when [`ServerConfig::connections`] were open.
    pub refused_full: u64,
    /// Clients that came when [`ServerConfig::connections_per_address`] were open from there.
    pub refused_address: u64,
    /// Connections that came when [`ServerConfig::pending`] had not made their request.
    pub refused_pending: u64,
    /// Connections that made no request, or had no id, for [`ServerConfig::idle`].
    pub closed_idle: u64,
    /// Clients that sent no heartbeat for [`ServerConfig::alive`].
    pub closed_silent: u64,
    /// Connections that sent a frame over [`ServerConfig::frame`].
    pub closed_frame_size: u64,
    /// Connections that sent [`ServerConfig::flood`] frames above the rate.
    pub closed_flood: u64,
    /// Frames above [`ServerConfig::frames_per_second`], dropped.
    pub dropped_rate: u64,
    /// Frames that are not a JSON object with a type, dropped.
    pub dropped_malformed: u64,
    /// Frames of a type that PeerServer does not relay, dropped.
    pub dropped_type: u64,
    /// Frames without a target, and LEAVE and EXPIRE to targets that are not registered, dropped.
    pub dropped_target: u64,
    /// Frames from a connection that has no id any more, dropped.
    pub dropped_unregistered: u64,
    /// Frames to an id that nobody can have, answered with EXPIRE at once.
    pub dropped_target_id: u64,
    /// Frames over [`ServerConfig::waiting_frames`] or [`ServerConfig::waiting_bytes`].
    pub dropped_waiting: u64,
    /// Frames over [`ServerConfig::waiting_frames_per_sender`] or
    /// [`ServerConfig::waiting_bytes_per_sender`].
    pub dropped_waiting_sender: u64,
    /// Frames that were passed on at once.
    pub relayed: u64,
    /// Frames that were passed on when their target registered.
    pub relayed_late: u64,
    /// Frames whose target did not register in time.
    pub expired: u64,
    /// Requests and frames on connections that are not known, or not in a state for it; ignored.
    pub unexpected: u64,
}

/// What a signaling server holds right now; all zero when nobody is there and nothing waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerLoad {
    /// Connections, those before their request included.
    pub connections: u32,
    /// Registered ids, an embedding host's included.
    pub clients: u32,
    /// Frames that wait for their target.
    pub waiting_frames: u32,
    /// Bytes of these frames.
    pub waiting_bytes: u32,
}
