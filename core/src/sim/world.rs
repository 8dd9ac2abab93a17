//! The world as a test sees it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;

use super::laws::Laws;
use super::machine::Machine;
use super::model_link::ModelLinks;
use super::path::Path;
use super::places::Places;
use super::run::Scheduled;
use super::signaling::{Connections, Served};
use super::trace::Trace;
use crate::config::Config;
use crate::event::Event;
use crate::network::Network;
use crate::rng::Rng;
use crate::signaling::{Server, ServerConfig};
use crate::time::Timestamp;

#[cfg(feature = "native")]
use crate::native;

/// Names a node of a world, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeIndex(pub(super) usize);

/// A world in virtual time.
///
/// The laws of the contract are checked all the time: a broken one panics and names itself.
#[derive(Debug)]
pub struct World {
    pub(super) rng: Rng,
    pub(super) now: Timestamp,
    pub(super) sequence: u64,
    pub(super) heap: BinaryHeap<Reverse<Scheduled>>,
    pub(super) nodes: Vec<WorldNode>,
    pub(super) links: ModelLinks,
    pub(super) places: Places,
    pub(super) default_path: Path,
    pub(super) paths: BTreeMap<(usize, usize), Path>,
    pub(super) packets: BTreeMap<(usize, usize), u64>,
    pub(super) signaling_delay: Duration,
    pub(super) server: Option<Server>,
    server_starts: u64,
    pub(super) connections: Connections,
    pub(super) trace: Trace,
    #[cfg(feature = "native")]
    #[expect(
        clippy::disallowed_types,
        reason = "what a native node's time zero stands for"
    )]
    origin: Option<std::time::Instant>,
}

#[derive(Debug)]
pub(super) struct WorldNode {
    /// `None`: crashed.
    pub(super) machine: Option<Machine>,
    pub(super) config: Config,
    native: bool,
    life: u64,
    pub(super) events: Vec<(Timestamp, Event)>,
    pub(super) taken: usize,
    pub(super) laws: Laws,
    pub(super) lan: Option<SocketAddr>,
    pub(super) paused: bool,
    pub(super) messages: u64,
}

impl World {
    /// Makes a world with a signaling server and no nodes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(seed.to_le_bytes()) {
            *to = from;
        }
        let mut world = Self {
            rng: Rng::new(bytes),
            now: Timestamp::ZERO,
            sequence: 0,
            heap: BinaryHeap::new(),
            nodes: Vec::new(),
            links: ModelLinks::default(),
            places: Places::new(&Rng::new(bytes)),
            default_path: Path::default(),
            paths: BTreeMap::new(),
            packets: BTreeMap::new(),
            signaling_delay: Duration::from_millis(10),
            server: None,
            server_starts: 0,
            connections: Connections::default(),
            trace: Trace::new(),
            #[cfg(feature = "native")]
            origin: None,
        };
        world.start_server();
        world
    }

    /// Adds a node whose links are model links.
    pub fn add_model(&mut self, config: Config) -> NodeIndex {
        self.add(config, false)
    }

    /// Adds a full native node on the Internet, with one interface.
    #[cfg(feature = "native")]
    pub fn add_native(&mut self, config: Config) -> NodeIndex {
        self.add(config, true)
    }

    fn add(&mut self, config: Config, native: bool) -> NodeIndex {
        let index = NodeIndex(self.nodes.len());
        self.nodes.push(WorldNode {
            machine: None,
            config,
            native,
            life: 0,
            events: Vec::new(),
            taken: 0,
            laws: Laws::default(),
            lan: None,
            paused: false,
            messages: 0,
        });
        self.places.settle(index.0);
        self.restart(index);
        index
    }

    /// Starts a crashed node again: a new life, with a new seed and so a new name.
    pub fn restart(&mut self, NodeIndex(index): NodeIndex) {
        let now = self.now;
        let Some(node) = self
            .nodes
            .get_mut(index)
            .filter(|node| node.machine.is_none())
        else {
            return;
        };
        let (config, native) = (node.config.clone(), node.native);
        let seed = self
            .rng
            .fork(&alloc::format!("node {index} life {}", node.life))
            .bytes();
        node.life = node.life.saturating_add(1);
        #[cfg(feature = "native")]
        if native {
            #[expect(
                clippy::disallowed_methods,
                clippy::disallowed_types,
                reason = "an arbitrary instant to count from; it is never compared with a clock"
            )]
            let origin = *self.origin.get_or_insert_with(std::time::Instant::now);
            let machine = native::Node::new(config, seed, now, origin);
            node.machine = Some(Machine::Native(Box::new(machine)));
            let interfaces = self.places.interfaces(index);
            self.input_native(index, native::Input::Interfaces(&interfaces));
            return;
        }
        let _ = native;
        node.machine = Some(Machine::Model(Box::new(Network::new(config, seed, now))));
    }

    /// Ends a node without a word; what is on the way to it finds nobody.
    pub fn crash(&mut self, NodeIndex(index): NodeIndex) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.machine = None;
            node.laws = Laws::default();
            node.lan = None;
        }
        self.links.forget_node(index);
        self.drop_client(index);
        self.break_connections(Served::By(index));
    }

    /// How paths are that have not been set one by one.
    pub const fn set_default_path(&mut self, path: Path) {
        self.default_path = path;
    }

    /// Sets both directions between two nodes.
    pub fn set_path(&mut self, a: NodeIndex, b: NodeIndex, path: Path) {
        self.set_one_way(a, b, path);
        self.set_one_way(b, a, path);
    }

    /// Sets one direction.
    pub fn set_one_way(&mut self, from: NodeIndex, to: NodeIndex, path: Path) {
        self.paths.insert((from.0, to.0), path);
    }

    /// Cuts both directions between two nodes; links that exist go silent.
    pub fn partition(&mut self, a: NodeIndex, b: NodeIndex) {
        self.set_cut(a, b, true);
    }

    /// Undoes [`partition`](Self::partition).
    pub fn heal(&mut self, a: NodeIndex, b: NodeIndex) {
        self.set_cut(a, b, false);
    }

    fn set_cut(&mut self, a: NodeIndex, b: NodeIndex, cut: bool) {
        for (from, to) in [(a, b), (b, a)] {
            let path = Path {
                cut,
                ..self.path(from, to)
            };
            self.set_one_way(from, to, path);
        }
    }

    /// How long a signaling frame takes from one node to another, through the server.
    pub fn set_signaling_delay(&mut self, node_to_node: Duration) {
        self.signaling_delay = node_to_node / 2;
    }

    /// Stops the signaling server: its connections break, and nobody answers.
    pub fn stop_server(&mut self) {
        self.server = None;
        self.break_connections(Served::World);
    }

    /// Starts it again; it has forgotten everything.
    pub fn start_server(&mut self) {
        self.server_starts = self.server_starts.saturating_add(1);
        let label = alloc::format!("signaling server {}", self.server_starts);
        let seed = self.rng.fork(&label).bytes();
        self.server = Some(Server::new(ServerConfig::default(), seed, self.now));
    }

    /// Runs for this long.
    pub fn run_for(&mut self, time: Duration) {
        let deadline = self.now.plus(time);
        while self.step(deadline) {}
    }

    /// Runs until the condition holds, at most for this long; says whether it came to hold.
    pub fn run_until(&mut self, time: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let deadline = self.now.plus(time);
        loop {
            if condition(self) {
                return true;
            }
            if !self.step(deadline) {
                return condition(self);
            }
        }
    }

    /// Which life a node is in; `None` if it is crashed.
    pub(super) fn life(&self, index: usize) -> Option<u64> {
        self.nodes
            .get(index)
            .filter(|node| node.machine.is_some())
            .map(|node| node.life)
    }

    pub(super) fn is_native(&self, index: usize) -> bool {
        self.nodes.get(index).is_some_and(|node| node.native)
    }

    /// The node that hosts on the LAN at this address.
    pub(super) fn lan_host(&self, address: SocketAddr) -> Option<usize> {
        self.nodes.iter().position(|node| node.lan == Some(address))
    }
}
