//! A world's whole course as data: what it is made of, and what happens to it when.

mod apply;
mod draw;
mod ledger;
mod liveness;
mod missing;
mod places;
mod reason;
mod run;
mod servers;
mod settings;
mod shrink;
#[cfg(test)]
mod tests;
mod text;

use alloc::vec::Vec;
use core::time::Duration;

pub use draw::{Family, FamilyError};
pub use liveness::{QUIET, bound, direct_bound};
pub use missing::Missing;
pub use places::{Nat, NatVerb, Spot, Stack};
pub use run::{Report, Verdict};
pub use servers::TurnVerb;
pub use shrink::Shrunk;
pub use text::{ParseError, ParseErrorKind};

use super::{Clock, Knowledge, Path, Quirks, SignalingFaults};
use crate::config::{Config, ConfigError, Credit, Limits, Topology};

/// The course of a world.
///
/// It is pure data: it can be drawn from a seed or from a fuzzer's bytes ([`Plan::draw`]), printed
/// and read (`Display`, `FromStr`), changed by hand, run ([`Plan::run`]) and made smaller
/// ([`Plan::shrink`]). Node 0 is the host.
///
/// A run has two parts. Up to [`heal_at`](Self::heal_at) the actions happen. Then the nodes of the
/// [`core`](Self::core) are healed, all others are broken for good, and the core has to come to
/// terms: that is its liveness.
///
/// ```
/// use wattle_core::sim::plan::{Plan, Verdict};
///
/// let plan: Plan = "
///     seed 7
///     nodes model model model
///     at 0ms host 0
///     at 100ms join 1
///     at 100ms join 2
///     at 2000ms send 1 to all size 100 times 20 every 50ms
///     at 2500ms crash 2
///     heal 5000ms core 0 1
/// ".parse()?;
/// assert_eq!(plan.run().verdict, Verdict::Held);
/// # Ok::<(), wattle_core::sim::plan::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by tests, with `..Plan::new(seed, nodes)`"
)]
pub struct Plan {
    /// What the world and its nodes draw from.
    pub seed: u64,
    /// Whom the joiners are linked to.
    pub topology: Topology,
    /// What each node is; the first hosts.
    pub nodes: Vec<NodeKind>,
    /// The NAT boxes, in the order of their numbers. Nodes are on the Internet until a
    /// [`Action::Roam`] takes them elsewhere.
    pub nats: Vec<Nat>,
    /// Which servers native nodes have: none, a STUN server, or a TURN server as well.
    pub servers: Knowledge,
    /// How many nodes the host lets in, itself included.
    pub max_nodes: u8,
    /// Whether the host relays.
    pub relay: bool,
    /// Whether applications say themselves when they have taken a message. Only then does
    /// [`NodeVerb::Pause`] have an effect.
    pub release: bool,
    /// The largest message, in bytes. The window is two of them.
    pub message: u32,
    /// What happens and when, in this order where times are equal.
    pub actions: Vec<Timed>,
    /// When the core is healed.
    pub heal_at: Duration,
    /// Which nodes are healed then, in rising order.
    pub core: Vec<u8>,
}

/// What a node of a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum NodeKind {
    /// Over model links: fast.
    Model,
    /// A full native node; a model node where the feature `native` is off.
    Native,
}

/// An action and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a plain pair with names")]
pub struct Timed {
    /// When, from the beginning of the world.
    pub at: Duration,
    /// What.
    pub action: Action,
}

/// Something that happens to a world.
///
/// What makes no sense at its time (a node that is not there leaves, a message without room) does
/// nothing, so any part of a plan is a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// About one node.
    Node(NodeVerb, u8),
    /// About the path between two nodes.
    Pair(PairVerb, u8, u8),
    /// About the signaling server.
    Server(ServerVerb),
    /// Reliable messages of a node to another, or to all.
    Send {
        /// Who sends.
        from: u8,
        /// To whom; `None`: to all.
        to: Option<u8>,
        /// How much and how often.
        repeat: Repeat,
    },
    /// States of a node.
    State {
        /// Whose.
        from: u8,
        /// How much and how often.
        repeat: Repeat,
    },
    /// From now on the path from one node to another is like this; `None` stands for every node
    /// without a path of its own.
    Path {
        /// The one direction.
        direction: Option<(u8, u8)>,
        /// How it is.
        path: Path,
    },
    /// From now on model links behave like this.
    Quirks(Quirks),
    /// From now on the connections to the signaling server behave like this.
    Signaling(SignalingFaults),
    /// From now on a node's clock runs like this.
    Clock(u8, Clock),
    /// A node sleeps, as a laptop does, for this long.
    Sleep(u8, Duration),
    /// A node moves; at 0ms it is there from the beginning. Not while it sleeps.
    Roam(u8, Spot),
    /// About a NAT box.
    Nat(NatVerb, u8),
    /// A NAT box starts anew, and nothing passes it for this long.
    Reboot(u8, Duration),
    /// About the TURN server.
    Turn(TurnVerb),
}

/// How much is sent, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Repeat {
    /// Bytes of each.
    pub size: u32,
    /// How many.
    pub times: u32,
    /// How long after each other.
    pub every: Duration,
}

/// What can happen to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum NodeVerb {
    /// It hosts: with the code of before, if there was one.
    Host,
    /// It joins, as soon as there is a code.
    Join,
    /// It leaves.
    Leave,
    /// The host removes it.
    Kick,
    /// Its application takes no more messages.
    Pause,
    /// Its application takes all that waits, and goes on.
    Resume,
    /// It is gone without a word.
    Crash,
    /// It begins a new life.
    Restart,
    /// Nothing passes between it and any other node.
    Isolate,
    /// Undoes [`Isolate`](Self::Isolate).
    Reconnect,
}

/// What can happen between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PairVerb {
    /// Nothing passes in either direction.
    Partition,
    /// Nothing passes from the first to the second.
    Cut,
    /// Both directions pass again.
    Heal,
    /// Everything from the first to the second is held back.
    Clog,
    /// Undoes [`Clog`](Self::Clog).
    Unclog,
}

/// What can happen to the signaling server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ServerVerb {
    /// It stops, and its connections break.
    Stop,
    /// It starts, and knows nothing.
    Start,
}

/// All verbs with their names in a plan's text.
const NODE_VERBS: [(NodeVerb, &str); 10] = [
    (NodeVerb::Host, "host"),
    (NodeVerb::Join, "join"),
    (NodeVerb::Leave, "leave"),
    (NodeVerb::Kick, "kick"),
    (NodeVerb::Pause, "pause"),
    (NodeVerb::Resume, "resume"),
    (NodeVerb::Crash, "crash"),
    (NodeVerb::Restart, "restart"),
    (NodeVerb::Isolate, "isolate"),
    (NodeVerb::Reconnect, "reconnect"),
];
const PAIR_VERBS: [(PairVerb, &str); 5] = [
    (PairVerb::Partition, "partition"),
    (PairVerb::Cut, "cut"),
    (PairVerb::Heal, "heal"),
    (PairVerb::Clog, "clog"),
    (PairVerb::Unclog, "unclog"),
];
const SERVER_VERBS: [(ServerVerb, &str); 2] =
    [(ServerVerb::Stop, "stop"), (ServerVerb::Start, "start")];
const KINDS: [(NodeKind, &str); 2] = [(NodeKind::Model, "model"), (NodeKind::Native, "native")];
const TOPOLOGIES: [(Topology, &str); 2] = [(Topology::Star, "star"), (Topology::Mesh, "mesh")];

/// More nodes than this no plan has: it is the most that a network can have.
pub(super) const MOST_NODES: usize = 64;

impl Plan {
    /// A plan of this many model nodes in which nothing happens, healed after a second.
    #[must_use]
    pub fn new(seed: u64, nodes: u8) -> Self {
        Self {
            seed,
            topology: Topology::Star,
            nodes: (0..nodes).map(|_| NodeKind::Model).collect(),
            nats: Vec::new(),
            servers: Knowledge::Host,
            max_nodes: 8,
            relay: true,
            release: false,
            message: Limits::default().message,
            actions: Vec::new(),
            heal_at: Duration::from_secs(1),
            core: (0..nodes).collect(),
        }
    }

    /// Adds an action at this many milliseconds.
    #[must_use]
    pub fn at(mut self, millis: u64, action: Action) -> Self {
        let at = Duration::from_millis(millis);
        let place = self.actions.partition_point(|other| other.at <= at);
        self.actions.insert(place, Timed { at, action });
        self
    }

    /// The settings of every node.
    fn config(&self) -> Result<Config, ConfigError> {
        let limits = Limits {
            message: self.message,
            window: self.message.saturating_mul(2).saturating_add(64),
            ..Limits::default()
        };
        let credit = if self.release {
            Credit::OnRelease
        } else {
            Credit::OnPoll
        };
        Config::default()
            .with_max_nodes(self.max_nodes)?
            .with_topology(self.topology)
            .with_auto_relay(self.relay)
            .with_credit(credit)
            .with_limits(limits)
    }
}

/// The name of a thing.
fn name_of<T: PartialEq + Copy>(table: &[(T, &'static str)], thing: T) -> &'static str {
    let found = table.iter().find(|(other, _)| *other == thing);
    found.map_or("?", |(_, name)| *name)
}

/// The thing of this name.
fn named<T: Copy>(table: &[(T, &'static str)], name: &str) -> Option<T> {
    let found = table.iter().find(|(_, other)| *other == name);
    found.map(|(thing, _)| *thing)
}
