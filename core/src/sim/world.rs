//! The world as a test sees it.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::agenda::{Agenda, Wakes};
use super::change::Change;
use super::clock::Clock;
use super::foreign::{Foreign, ForeignNode};
use super::laws::{Laws, Watch};
use super::machine::Machine;
use super::model_link::{EndIndex, ModelLinks};
use super::path::{Path, Way};
use super::places::Places;
use super::quirks::Quirks;
use super::run::What;
use super::signaling::{Connections, Served, SignalingFaults};
use super::trace::Trace;
use crate::config::Config;
use crate::event::Event;
use crate::ice::IceServer;
use crate::id::LinkId;
use crate::map::Map;
use crate::network::Network;
use crate::rng::Rng;
use crate::signaling::{Server, ServerConfig};
use crate::time::{NEVER, Timestamp};

#[cfg(feature = "native")]
use super::given::Given;
#[cfg(feature = "native")]
use crate::id::NodeId;
#[cfg(feature = "native")]
use crate::native;
#[cfg(feature = "native")]
use alloc::collections::BTreeMap;

/// Names a node of a world, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub(super) usize);

/// A world in virtual time.
///
/// The laws of the contract are checked all the time: a broken one panics and names itself.
#[derive(Debug)]
pub struct World {
    pub(super) seed: u64,
    pub(super) rng: Rng,
    pub(super) now: Timestamp,
    pub(super) agenda: Agenda,
    pub(super) nodes: Vec<WorldNode>,
    pub(super) wakes: Wakes,
    pub(super) links: ModelLinks,
    pub(super) places: Places,
    pub(super) quirks: Quirks,
    pub(super) default_path: Path,
    /// From every node to every node.
    pub(super) ways: Vec<Vec<Way>>,
    pub(super) signaling_delay: Duration,
    pub(super) signaling_faults: SignalingFaults,
    pub(super) server: Option<Server>,
    pub(super) server_wake: Timestamp,
    server_starts: u64,
    pub(super) connections: Connections,
    pub(super) trace: Trace,
    /// What was given to [`at`](Self::at), and which of it is to do nothing.
    pub(super) planned: Vec<(Timestamp, Change)>,
    pub(super) left_out: BTreeSet<usize>,
    pub(super) watch: Watch,
    /// The addresses that each life of a native node was told to be its own.
    #[cfg(feature = "native")]
    pub(super) own_addresses: BTreeMap<NodeId, BTreeSet<SocketAddr>>,
    #[cfg(feature = "native")]
    pub(super) trace_bytes: bool,
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
    /// It is not wattle's, but this.
    foreign: Option<Foreign>,
    life: u64,
    pub(super) events: Vec<(Timestamp, Event)>,
    pub(super) taken: usize,
    pub(super) laws: Laws,
    #[cfg(feature = "native")]
    pub(super) given: Given,
    pub(super) lan: Option<SocketAddr>,
    pub(super) paused: bool,
    pub(super) messages: u64,
    /// How many it asked to be sent.
    pub(super) datagrams: u64,
    /// How many model links it has opened in all its lives.
    pub(super) links_opened: u64,
    /// Its ends of model links.
    pub(super) ends: Map<LinkId, EndIndex>,
    /// Cut off from everybody, the signaling server included.
    pub(super) isolated: bool,
    pub(super) clock: Clock,
    /// The latest time that its machine was told.
    pub(super) latest: Timestamp,
    /// How often its machine was told a time, with a clock that goes back.
    pub(super) calls: u64,
    /// For which time it was woken too early.
    pub(super) early: Timestamp,
    /// The last drain gave messages to its application.
    pub(super) took: bool,
    pub(super) asleep: Option<Timestamp>,
    /// What waits for it to wake up, or to be reachable again.
    pub(super) held: Vec<What>,
    /// How many bytes of that may be lost.
    pub(super) held_bytes: usize,
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
            seed,
            rng: Rng::new(bytes),
            now: Timestamp::ZERO,
            agenda: Agenda::default(),
            nodes: Vec::new(),
            wakes: Wakes::default(),
            links: ModelLinks::default(),
            places: Places::new(&Rng::new(bytes)),
            quirks: Quirks::default(),
            default_path: Path::default(),
            ways: Vec::new(),
            signaling_delay: Duration::from_millis(10),
            signaling_faults: SignalingFaults::default(),
            server: None,
            server_wake: NEVER,
            server_starts: 0,
            connections: Connections::default(),
            trace: Trace::new(),
            planned: Vec::new(),
            left_out: BTreeSet::new(),
            watch: Watch::default(),
            #[cfg(feature = "native")]
            own_addresses: BTreeMap::new(),
            #[cfg(feature = "native")]
            trace_bytes: false,
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
        self.add_machine(config, native, None)
    }

    pub(super) fn add_machine(
        &mut self,
        mut config: Config,
        native: bool,
        foreign: Option<Foreign>,
    ) -> NodeIndex {
        let index = self.nodes.len();
        // The public servers are not of this world.
        if config.ice_servers == IceServer::defaults() {
            config.ice_servers.clear();
        }
        self.nodes.push(WorldNode {
            machine: None,
            config,
            native,
            foreign,
            life: 0,
            events: Vec::new(),
            taken: 0,
            laws: Laws::default(),
            #[cfg(feature = "native")]
            given: Given::default(),
            lan: None,
            paused: false,
            messages: 0,
            datagrams: 0,
            links_opened: 0,
            ends: Map::new(),
            isolated: false,
            clock: Clock::default(),
            latest: Timestamp::ZERO,
            calls: 0,
            early: Timestamp::ZERO,
            took: false,
            asleep: None,
            held: Vec::new(),
            held_bytes: 0,
        });
        self.wakes.add();
        for (from, ways) in self.ways.iter_mut().enumerate() {
            ways.push(Way::new(self.seed, from, index));
        }
        let ways = (0..=index).map(|to| Way::new(self.seed, index, to));
        self.ways.push(ways.collect());
        self.places.settle(index);
        self.begin_life(index);
        NodeIndex(index)
    }

    /// Gives a node a name, for the lines of [`timeline`](Self::timeline). It is `node-0` and so on
    /// otherwise.
    pub fn set_name(&mut self, node: NodeIndex, name: impl Into<String>) {
        self.trace.set_name(node.0, name.into());
    }

    /// Starts a crashed node again: a new life, with a new seed and so a new name. Its application
    /// takes messages, even if that of the last life did not.
    ///
    /// Datagrams that were on their way to a native node reach the new life, as they have the same
    /// address; of old model links and signaling connections it hears nothing.
    pub fn restart(&mut self, node: NodeIndex) {
        self.mark(&Change::Restart { node });
        self.begin_life(node.0);
    }

    fn begin_life(&mut self, index: usize) {
        let Some(node) = self
            .nodes
            .get_mut(index)
            .filter(|node| node.machine.is_none())
        else {
            return;
        };
        let now = node.clock.to_node(self.now);
        node.latest = now;
        let (config, native) = (node.config.clone(), node.native);
        let seed = self
            .rng
            .fork(&alloc::format!("node {index} life {}", node.life))
            .bytes();
        node.life = node.life.saturating_add(1);
        node.paused = false;
        #[cfg(feature = "native")]
        if native {
            #[expect(
                clippy::disallowed_methods,
                clippy::disallowed_types,
                reason = "an arbitrary instant to count from; it is never compared with a clock"
            )]
            let origin = *self.origin.get_or_insert_with(std::time::Instant::now);
            let mut machine = native::Node::new(config, seed, now, origin);
            machine.simulate();
            self.trace.set_id(index, machine.id());
            node.given.config(&node.config);
            node.machine = Some(Machine::Native(Box::new(machine)));
            let interfaces = self.places.interfaces(index);
            self.input_native(index, native::Input::Interfaces(&interfaces));
            return;
        }
        let _ = native;
        if let Some(foreign) = node.foreign.clone() {
            let machine = ForeignNode::new(foreign, seed, now);
            node.machine = Some(Machine::Foreign(Box::new(machine)));
            return;
        }
        let machine = Network::new(config, seed, now);
        self.trace.set_id(index, machine.id());
        node.machine = Some(Machine::Model(Box::new(machine)));
        self.ask_for_wake(index);
    }

    /// Ends a node without a word; what is on the way to it finds nobody.
    pub fn crash(&mut self, node: NodeIndex) {
        self.mark(&Change::Crash { node });
        let NodeIndex(index) = node;
        if let Some(node) = self.nodes.get_mut(index) {
            node.machine = None;
            node.laws = Laws::default();
            #[cfg(feature = "native")]
            {
                node.given = Given::default();
            }
            node.lan = None;
            node.asleep = None;
            node.held.clear();
            node.held_bytes = 0;
        }
        self.wakes.set(index, NEVER);
        self.forget_links(index);
        self.drop_client(index);
        self.break_connections(Served::By(index));
    }

    /// How paths are that have not been set one by one.
    pub fn set_default_path(&mut self, path: Path) {
        self.mark(&Change::DefaultPath(path));
        self.default_path = path;
        self.paths_changed();
    }

    /// Sets both directions between two nodes.
    pub fn set_path(&mut self, a: NodeIndex, b: NodeIndex, path: Path) {
        self.mark(&Change::Path { a, b, path });
        self.set_way(a, b, path);
        self.set_way(b, a, path);
    }

    /// Sets one direction.
    pub fn set_one_way(&mut self, from: NodeIndex, to: NodeIndex, path: Path) {
        self.mark(&Change::OneWay { from, to, path });
        self.set_way(from, to, path);
    }

    pub(super) fn set_way(&mut self, from: NodeIndex, to: NodeIndex, path: Path) {
        if let Some(way) = self.way(from.0, to.0) {
            way.own = Some(path);
            self.paths_changed();
        }
    }

    /// How model links behave from now on.
    pub fn set_quirks(&mut self, quirks: Quirks) {
        self.mark(&Change::Quirks(quirks));
        self.quirks = quirks;
    }

    /// How the connections to signaling servers behave from now on.
    pub fn set_signaling_faults(&mut self, faults: SignalingFaults) {
        self.mark(&Change::SignalingFaults(faults));
        self.signaling_faults = faults;
    }

    /// How long a signaling frame takes from one node to another, through the server.
    pub fn set_signaling_delay(&mut self, node_to_node: Duration) {
        self.signaling_delay = node_to_node / 2;
    }

    /// Stops the signaling server: its connections break, and nobody answers.
    pub fn stop_server(&mut self) {
        self.mark(&Change::StopServer);
        self.end_server();
    }

    fn end_server(&mut self) {
        self.server = None;
        self.server_wake = NEVER;
        self.break_connections(Served::World);
    }

    /// Starts it again; it has forgotten everything.
    ///
    /// If it runs, it starts over: its connections break.
    pub fn start_server(&mut self) {
        self.mark(&Change::StartServer);
        self.end_server();
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

    pub(super) fn way(&mut self, from: usize, to: usize) -> Option<&mut Way> {
        self.ways.get_mut(from)?.get_mut(to)
    }

    pub(super) fn is_isolated(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| node.isolated)
    }
}
