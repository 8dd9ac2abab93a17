//! What an application can set, and every limit in one place.

use alloc::vec::Vec;
use core::time::Duration;

use crate::ice::{IcePolicy, IceServer};
use crate::signaling::{SignalingUrl, SignalingUrlError};
use crate::wire::FRAMES_PER_MESSAGE;

/// The settings of one node. `Config::default()` is right for most games.
///
/// What holds for a whole network (`max_nodes`, `topology`, `auto_relay`, `limits.message`,
/// `limits.window`) is the host's; a joiner learns them when it is admitted.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) signaling_url: SignalingUrl,
    pub(crate) max_nodes: u8,
    pub(crate) topology: Topology,
    pub(crate) auto_relay: bool,
    pub(crate) verbose: bool,
    pub(crate) loopback: bool,
    pub(crate) credit: Credit,
    pub(crate) probing: Probing,
    pub(crate) native: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) ice_servers: Vec<IceServer>,
    pub(crate) ice_policy: IcePolicy,
    #[cfg(wattle_planted)]
    pub(crate) planted: Option<crate::Planted>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            signaling_url: SignalingUrl::default(),
            max_nodes: 8,
            topology: Topology::Star,
            auto_relay: true,
            verbose: false,
            loopback: false,
            credit: Credit::OnPoll,
            probing: Probing::ByFrames,
            native: false,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            ice_servers: IceServer::defaults(),
            ice_policy: IcePolicy::All,
            #[cfg(wattle_planted)]
            planted: None,
        }
    }
}

impl Config {
    /// Where the signaling server is: `ws://` or `wss://`, host, optional port, path and `?key=`.
    ///
    /// Default: the public PeerJS server, `wss://0.peerjs.com/peerjs?key=peerjs`. A game that
    /// matters should run its own (`wattle serve`). LAN codes bring their own address and do not
    /// use this.
    ///
    /// # Errors
    /// [`ConfigError::SignalingUrl`] if it cannot be read.
    pub fn with_signaling_url(mut self, url: &str) -> Result<Self, ConfigError> {
        self.signaling_url = url.parse().map_err(ConfigError::SignalingUrl)?;
        Ok(self)
    }

    /// How many nodes the network may have, the host included: 2 to 64, default 8.
    ///
    /// In a star the host sends everything to everyone, so its upload grows with this number.
    ///
    /// # Errors
    /// [`ConfigError::MaxNodes`] if it is out of range.
    pub fn with_max_nodes(mut self, max_nodes: u8) -> Result<Self, ConfigError> {
        if !(2..=MOST_NODES).contains(&max_nodes) {
            return Err(ConfigError::MaxNodes { max_nodes });
        }
        self.max_nodes = max_nodes;
        Ok(self)
    }

    /// Host: whom the joiners are linked to; default [`Topology::Star`].
    #[must_use]
    pub const fn with_topology(mut self, topology: Topology) -> Self {
        self.topology = topology;
        self
    }

    /// Whether the host passes the joiners' messages on to each other; default yes.
    ///
    /// Switch it off for a host that referees: joiners then reach the host alone, and it decides
    /// what the others hear. In a mesh, joiners that cannot connect directly then do not hear each
    /// other.
    #[must_use]
    pub const fn with_auto_relay(mut self, auto_relay: bool) -> Self {
        self.auto_relay = auto_relay;
        self
    }

    /// Whether [`Event::Diagnostic`](crate::Event::Diagnostic) events are wanted; default no.
    #[must_use]
    pub const fn with_verbose(mut self, verbose: bool) -> Self {
        self.verbose = verbose;
        self
    }

    /// Whether loopback addresses are offered to other nodes; default no.
    ///
    /// For tests and for several nodes on a machine without any other network.
    #[must_use]
    pub const fn with_loopback(mut self, loopback: bool) -> Self {
        self.loopback = loopback;
        self
    }

    /// When a received message counts as taken by the application; default [`Credit::OnPoll`].
    #[must_use]
    pub const fn with_credit(mut self, credit: Credit) -> Self {
        self.credit = credit;
        self
    }

    /// How a silent node is asked for a sign of life; default [`Probing::ByFrames`].
    ///
    /// `native::Node` sets [`Probing::ByLink`] by itself.
    #[must_use]
    pub const fn with_probing(mut self, probing: Probing) -> Self {
        self.probing = probing;
        self
    }

    /// Replaces the deadlines.
    ///
    /// # Errors
    /// [`ConfigError::Timeouts`] if one is zero or `lost_after` is not later than `suspect_after`.
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Result<Self, ConfigError> {
        let Timeouts {
            signaling,
            ice,
            datachannel,
            connect,
            suspect_after,
            lost_after,
            grace,
            too_slow,
            leave,
        } = timeouts;
        let all = [
            signaling,
            ice,
            datachannel,
            connect,
            suspect_after,
            lost_after,
            grace,
            too_slow,
            leave,
        ];
        if all.contains(&Duration::ZERO) || lost_after <= suspect_after {
            return Err(ConfigError::Timeouts);
        }
        self.timeouts = timeouts;
        Ok(self)
    }

    /// Replaces the limits.
    ///
    /// # Errors
    /// [`ConfigError::Limits`] if a message would not fit the window, a piece is smaller than 1 KiB,
    /// or nobody could ever join or send with one of them.
    pub fn with_limits(mut self, limits: Limits) -> Result<Self, ConfigError> {
        if limits.message == 0
            || limits.message > 16 * 1024 * 1024
            || limits.window < limits.message.saturating_add(MESSAGE_COST)
            || limits.piece < LEAST_PIECE
            || limits.frames_per_message == 0
            || limits.frames_per_message > FRAMES_PER_MESSAGE
            || limits.channel_buffer == 0
            || limits.outputs_per_input < LEAST_OUTPUTS
            || limits.signaling_frame < LEAST_FRAME
            || limits.description < LEAST_DESCRIPTION
            || limits.joins_per_signaling_id == 0
        {
            return Err(ConfigError::Limits);
        }
        self.limits = limits;
        Ok(self)
    }

    /// Replaces the STUN and TURN servers; default [`IceServer::defaults`], the public ones.
    ///
    /// With STUN servers most nodes find each other through their routers; where both routers are
    /// strict, only a TURN server helps. Without any (an empty list) nodes in one LAN and those with
    /// public addresses connect. `native::Node` uses the first 16 URLs.
    #[must_use]
    pub fn with_ice_servers(mut self, servers: Vec<IceServer>) -> Self {
        self.ice_servers = servers;
        self
    }

    /// Which ways to another node may be used; default [`IcePolicy::All`].
    #[must_use]
    pub const fn with_ice_policy(mut self, policy: IcePolicy) -> Self {
        self.ice_policy = policy;
        self
    }

    /// Lets a planted bug act.
    #[cfg(wattle_planted)]
    #[must_use]
    pub const fn with_planted(mut self, bug: crate::Planted) -> Self {
        self.planted = Some(bug);
        self
    }

    /// Whether loopback addresses are offered: a driver opens sockets there only then.
    #[must_use]
    pub const fn loopback(&self) -> bool {
        self.loopback
    }

    /// The address of the signaling server.
    #[must_use]
    pub const fn signaling_url(&self) -> &SignalingUrl {
        &self.signaling_url
    }

    /// The STUN and TURN servers.
    #[must_use]
    pub fn ice_servers(&self) -> &[IceServer] {
        &self.ice_servers
    }

    /// Which ways to another node may be used.
    #[must_use]
    pub const fn ice_policy(&self) -> IcePolicy {
        self.ice_policy
    }

    /// The deadlines.
    #[must_use]
    pub const fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// The limits.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The URL of the signaling server cannot be read.
    #[error("signaling URL: {0}")]
    SignalingUrl(SignalingUrlError),
    /// `max_nodes` is out of range.
    #[error("a network has 2 to 64 nodes, not {max_nodes}")]
    MaxNodes {
        /// What was asked for.
        max_nodes: u8,
    },
    /// A deadline is zero, or `lost_after` is not later than `suspect_after`.
    #[error("every timeout must be longer than zero, and lost_after longer than suspect_after")]
    Timeouts,
    /// A message would not fit the window or is over 16 MiB, or something else is too small to work.
    #[error(
        "a message is 1 byte to 16 MiB, the window must hold one message and 32 bytes, a piece 1 KiB \
         or more, a channel message 1 to 256 frames, one input at least 1024 outputs, a signaling frame \
         8 KiB and a description 4 KiB or more, and no other limit but that of candidates can be 0"
    )]
    Limits,
}

/// Whom the nodes of a network are linked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Topology {
    /// Everybody to the host, which passes on what the joiners say to each other: the fewest links,
    /// and the host's upload grows with the number of nodes.
    Star,
    /// Everybody to everybody: one trip instead of two, and no load on the host. Pairs that cannot
    /// connect are relayed by the host; the others live on if the host goes.
    Mesh,
}

/// When a received message counts as taken, which is what lets its sender send more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credit {
    /// When `poll_output` hands it out: right for a loop that acts on events at once.
    OnPoll,
    /// When `release` says so: for a driver that queues events for a slower reader.
    OnRelease,
}

/// How a silent node is asked for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probing {
    /// By ping frames on the state channel, for links that can do nothing else.
    ByFrames,
    /// By ping frames, and by [`LinkCommand::Probe`](crate::LinkCommand::Probe) as well: for links that
    /// cannot ask, but can tell whether something came below SCTP (browsers).
    ByBoth,
    /// By [`LinkCommand::Probe`](crate::LinkCommand::Probe), for links that can ask below SCTP,
    /// whose back-off would silence pings.
    ByLink,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by its users, with `..Default::default()`"
)]
pub struct Timeouts {
    /// From `host` to the code, from `join` to the host's answer. Default 15 s: a PeerServer needs
    /// up to 6 s to say that nobody has the code.
    pub signaling: Duration,
    /// From the answer to a path between the two nodes. Default 10 s.
    pub ice: Duration,
    /// From the path to the welcome: DTLS, SCTP and the first frame. Default 10 s.
    pub datachannel: Duration,
    /// All three together, at most. Default 35 s, which leaves each its own time.
    pub connect: Duration,
    /// Silence after which a node is suspected. Default 2 s.
    pub suspect_after: Duration,
    /// Silence after which a node is lost: what is sent to it waits, and another path is looked for.
    /// Default 5 s.
    pub lost_after: Duration,
    /// Silence after which a lost node has left: not before it is lost. Default 20 s.
    pub grace: Duration,
    /// How long a node may take nothing while others wait for it, by its own account. Default 5 s.
    /// One that gives no account has four times as long: its path may be bad.
    pub too_slow: Duration,
    /// How long a goodbye may take to arrive. Default 2 s.
    pub leave: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            signaling: Duration::from_secs(15),
            ice: Duration::from_secs(10),
            datachannel: Duration::from_secs(10),
            connect: Duration::from_secs(35),
            suspect_after: Duration::from_secs(2),
            lost_after: Duration::from_secs(5),
            grace: Duration::from_secs(20),
            too_slow: Duration::from_secs(5),
            leave: Duration::from_secs(2),
        }
    }
}

/// Everything that is bounded, and by how much.
///
/// Reaching a limit is always a typed outcome: an `Err` of a call, a refusal, or a reason why a
/// link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by its users, with `..Default::default()`"
)]
pub struct Limits {
    /// The largest message, in bytes; one number per network. Default 256 KiB.
    pub message: u32,
    /// How many bytes a node may have on the way to another, not yet taken there (each message
    /// costs its length and 32). Default 512 KiB.
    pub window: u32,
    /// The largest state payload and the largest piece of a message, in bytes: 1 KiB or more. To be the same
    /// at all nodes: a host does not pass on states that are larger than its own. Default 16 KiB.
    pub piece: u16,
    /// How many outputs one input may yield: 1024 or more. Default 4096.
    pub outputs_per_input: u32,
    /// The largest signaling frame, in bytes: 8 KiB or more. Default 64 KiB.
    pub signaling_frame: u32,
    /// The largest session description, in bytes: 4 KiB or more. Default 16 KiB.
    pub description: u32,
    /// How many candidates of one remote node are used; more are counted and dropped. Default 32.
    pub candidates: u8,
    /// How many frames of ours one channel message may carry: 1 to 256, which is what every node
    /// takes. Default 256.
    pub frames_per_message: u16,
    /// How many bytes may wait inside a channel before we queue above it: not more than `piece` times
    /// `outputs_per_input` / 128, whatever is set, so that one call cannot fill 64 channels with more messages
    /// than that. Default 128 KiB.
    pub channel_buffer: u32,
    /// How many joins of one signaling id may be under way at once. Default 2.
    pub joins_per_signaling_id: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 256 * 1024,
            window: 512 * 1024,
            piece: 16 * 1024,
            outputs_per_input: 4096,
            signaling_frame: 64 * 1024,
            description: 16 * 1024,
            candidates: 32,
            frames_per_message: 256,
            channel_buffer: 128 * 1024,
            joins_per_signaling_id: 2,
        }
    }
}

/// The least that a piece holds unless it is the last of its message. Every piece costs a receiver's
/// queue some hundred bytes of its own: cut into crumbs, a window of messages would fill gigabytes.
pub(crate) const LEAST_PIECE: u16 = 1024;

/// The least that one input may yield: a word and some pieces for each of 64 nodes.
const LEAST_OUTPUTS: u32 = 1024;

/// The least that a description may have: those of nodes and browsers have 500 to 2,000 bytes. With less the
/// other side would be blamed for its own.
const LEAST_DESCRIPTION: u32 = 4 * 1024;

/// The least that a signaling frame holds: such a description, and what stands around it.
const LEAST_FRAME: u32 = 8 * 1024;

/// The most nodes that a network may have.
pub(crate) const MOST_NODES: u8 = 64;

/// What a message costs of the window besides its length, so that empty messages are bounded too.
pub(crate) const MESSAGE_COST: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_with_which_nothing_could_work_are_refused() {
        let refused = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            let config = Config::default().with_limits(limits);
            assert_eq!(config.err(), Some(ConfigError::Limits), "{limits:?}");
        };
        refused(|limits| limits.message = 0);
        refused(|limits| limits.window = limits.message + 31);
        refused(|limits| limits.piece = 1023);
        refused(|limits| limits.frames_per_message = 0);
        refused(|limits| limits.frames_per_message = 257);
        refused(|limits| limits.channel_buffer = 0);
        refused(|limits| limits.outputs_per_input = 1023);
        refused(|limits| limits.signaling_frame = 8191);
        refused(|limits| limits.description = 4095);
        refused(|limits| limits.joins_per_signaling_id = 0);
        assert!(Config::default().with_limits(Limits::default()).is_ok());
    }
}
