//! Where the nodes of a world are: NAT boxes, roaming, servers, and the way of a datagram.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;

use super::change::Change;
use super::internet::{Internet, NatIndex, Place};
use super::nat::NatConfig;
use super::oracle::{Knowledge, Reach};
use super::run::What;
use super::world::{NodeIndex, World};
use crate::config::Config;
use crate::rng::Rng;

#[cfg(feature = "native")]
use super::internet::{Crossing, Delivery, Dropped, Host};
#[cfg(feature = "native")]
use super::ports::Ports;
#[cfg(feature = "native")]
use super::stun::{Stun, StunConfig};
#[cfg(feature = "native")]
use super::trace::To;
#[cfg(feature = "native")]
use super::turn::{Sent, TurnConfig, TurnServer};
#[cfg(feature = "native")]
use crate::native;
#[cfg(feature = "native")]
use alloc::boxed::Box;
#[cfg(feature = "native")]
use alloc::string::String;
#[cfg(feature = "native")]
use alloc::vec::Vec;
#[cfg(feature = "native")]
use bytes::Bytes;
#[cfg(feature = "native")]
use core::net::SocketAddr;

/// The Internet of a world, and what is on it.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) internet: Internet,
    /// What nodes know that are told something else than the default.
    knowledge: BTreeMap<usize, Knowledge>,
    #[cfg(feature = "native")]
    servers: Vec<Server>,
    /// What the names of servers stand for.
    #[cfg(feature = "native")]
    names: BTreeMap<String, Vec<IpAddr>>,
    #[cfg(feature = "native")]
    pub(super) ports: Ports,
    #[cfg(feature = "native")]
    dropped: BTreeMap<Dropped, u64>,
}

#[cfg(feature = "native")]
#[derive(Debug)]
enum Server {
    Stun(Box<Stun>),
    Turn(Box<TurnServer>),
}

impl Places {
    pub(super) fn new(rng: &Rng) -> Self {
        Self {
            internet: Internet::new(rng.fork("internet")),
            knowledge: BTreeMap::new(),
            #[cfg(feature = "native")]
            servers: Vec::new(),
            #[cfg(feature = "native")]
            names: BTreeMap::new(),
            #[cfg(feature = "native")]
            ports: Ports::default(),
            #[cfg(feature = "native")]
            dropped: BTreeMap::new(),
        }
    }

    /// A node that has just been added is somewhere.
    pub(super) fn settle(&mut self, node: usize) {
        if self.internet.addresses(node).is_empty() {
            self.internet.place(node, Place::internet());
        }
    }

    /// What every node's resolver says.
    #[cfg(feature = "native")]
    pub(super) fn look_up(&self, name: &str) -> Vec<IpAddr> {
        self.names.get(name).cloned().unwrap_or_default()
    }

    /// The sockets of a node.
    #[cfg(feature = "native")]
    pub(super) fn interfaces(&self, node: usize) -> Vec<native::Interface> {
        let addresses = self.internet.addresses(node).iter();
        let socket = |address: &SocketAddr| native::Interface {
            name: "eth0".into(),
            address: *address,
        };
        addresses.map(socket).collect()
    }
}

/// NAT boxes, and who is behind which.
///
/// Without any of these calls every node has a public address (node `n` has 10.0.0.n + 1, port
/// 5000), and all reach all.
impl World {
    /// Adds a NAT box on the Internet, with a public address.
    ///
    /// ```
    /// use core::time::Duration;
    /// use wattle_core::Config;
    /// use wattle_core::sim::{NatConfig, Reach, World};
    ///
    /// let mut world = World::new(1);
    /// let home = world.add_nat(NatConfig::default());
    /// let phone_network = world.add_nat(NatConfig::symmetric());
    /// let host = world.add_model_behind(Config::default(), home);
    /// let joiner = world.add_model_behind(Config::default(), phone_network);
    ///
    /// // The home's box lets in only who was sent to, and it cannot know the phone's next port.
    /// assert_eq!(world.reach(host, joiner), Reach::Unreachable);
    /// let code = world.host(host);
    /// world.join(joiner, &code);
    /// world.run_for(Duration::from_secs(60));
    /// assert_eq!(world.nodes(joiner).len(), 0);
    ///
    /// // At home, too, the phone reaches the host through the LAN.
    /// world.roam(joiner, home.into());
    /// assert_eq!(world.reach(host, joiner), Reach::Direct);
    /// world.join(joiner, &code);
    /// assert!(world.run_until(Duration::from_secs(5), |world| world.nodes(joiner).len() == 2));
    /// ```
    pub fn add_nat(&mut self, config: NatConfig) -> NatIndex {
        self.places.internet.add_nat(config, None)
    }

    /// Adds a NAT box in the LAN of another one, as at homes behind a carrier-grade NAT; as deep as
    /// you like.
    pub fn add_nat_behind(&mut self, config: NatConfig, outer: NatIndex) -> NatIndex {
        let NatIndex(outer) = outer;
        self.places.internet.add_nat(config, Some(outer))
    }

    /// Adds a node with model links in the LAN of a box.
    pub fn add_model_behind(&mut self, config: Config, nat: NatIndex) -> NodeIndex {
        self.add_model_at(config, Place::behind(nat))
    }

    /// Adds a node with model links anywhere.
    pub fn add_model_at(&mut self, config: Config, place: Place) -> NodeIndex {
        self.places.internet.place(self.nodes.len(), place);
        self.add_model(config)
    }

    /// Adds a full native node in the LAN of a box.
    #[cfg(feature = "native")]
    pub fn add_native_behind(&mut self, config: Config, nat: NatIndex) -> NodeIndex {
        self.add_native_at(config, Place::behind(nat))
    }

    /// Adds a full native node anywhere.
    #[cfg(feature = "native")]
    pub fn add_native_at(&mut self, config: Config, place: Place) -> NodeIndex {
        self.places.internet.place(self.nodes.len(), place);
        self.add_native(config)
    }

    /// Moves a node, as when a phone leaves its home: its old addresses are gone, it gets new ones,
    /// also if it stays in the same LAN. A native node is told at once.
    pub fn roam(&mut self, node: NodeIndex, place: Place) {
        self.mark(&Change::Roam { node, place });
        let NodeIndex(index) = node;
        if index >= self.nodes.len() {
            return;
        }
        self.places.internet.place(index, place);
        #[cfg(feature = "native")]
        if let Some(super::machine::Machine::Native(_)) = self.machine(index) {
            let interfaces = self.places.interfaces(index);
            self.input_native(index, native::Input::Interfaces(&interfaces));
            // As a driver does, which sees addresses go, also if they come back.
            self.input_native(index, native::Input::NetworkChanged);
        }
        self.links_may_be_dark();
    }

    /// A box forgets all its mappings; what leaves from now on gets other outside ports.
    pub fn rebind(&mut self, nat: NatIndex) {
        self.mark(&Change::Rebind { nat });
        let now = self.now;
        if let Some(nat) = self.places.internet.nat_mut(nat) {
            nat.rebind(now);
        }
    }

    /// A box starts anew: it has forgotten everything, and nothing passes it for this long.
    ///
    /// Ports are then given out as if for the first time: where they are preserved, the same as
    /// before.
    pub fn reboot(&mut self, nat: NatIndex, dark: Duration) {
        self.mark(&Change::Reboot { nat, dark });
        let until = self.now.plus(dark);
        if let Some(nat) = self.places.internet.nat_mut(nat) {
            nat.reboot(until);
        }
        self.links_may_be_dark();
        self.schedule(until, What::BoxIsBack);
    }

    /// A box gets another outside address, as homes do every night; its mappings are gone.
    pub fn change_outside_address(&mut self, nat: NatIndex) {
        self.mark(&Change::ChangeOutsideAddress { nat });
        let now = self.now;
        self.places.internet.readdress(now, nat);
    }

    /// Whether a box stops all UDP, as in some offices; nodes in its LAN still reach each other.
    pub fn block_udp(&mut self, nat: NatIndex, blocked: bool) {
        self.mark(&Change::BlockUdp { nat, blocked });
        if let Some(nat) = self.places.internet.nat_mut(nat) {
            nat.block(blocked);
        }
        self.links_may_be_dark();
    }

    /// The address under which the outside sees a box.
    #[must_use]
    pub fn outside_address(&self, nat: NatIndex) -> Option<IpAddr> {
        let NatIndex(nat) = nat;
        let gate = self.places.internet.gates.get(nat)?;
        Some(gate.nat.outside().into())
    }

    /// What a node knows of its own addresses and of relays, for the oracle.
    ///
    /// Nodes with model links stand for browsers that have a STUN server ([`Knowledge::Stun`]);
    /// native nodes have their interfaces' addresses alone ([`Knowledge::Host`]).
    pub fn set_knowledge(&mut self, node: NodeIndex, knowledge: Knowledge) {
        let NodeIndex(node) = node;
        self.places.knowledge.insert(node, knowledge);
        self.links_may_be_dark();
    }

    /// The oracle: how two nodes can reach each other now, in theory.
    ///
    /// It follows from the boxes' behaviour (`docs/nat.md` of the repository shows the table), for
    /// mappings that have not expired and tables that are not full. Partitions and losses of
    /// [`Path`](super::Path)s do not count.
    #[must_use]
    pub fn reach(&self, a: NodeIndex, b: NodeIndex) -> Reach {
        let known = |NodeIndex(node): NodeIndex| (node, self.knowledge(node));
        self.places.internet.reach(self.now, known(a), known(b))
    }

    /// Whether packets of model links pass between two nodes.
    pub(super) fn meets(&self, a: usize, b: usize) -> bool {
        self.places.internet.gates.is_empty()
            || self.reach(NodeIndex(a), NodeIndex(b)) == Reach::Direct
    }

    fn knowledge(&self, node: usize) -> Knowledge {
        let default = if self.is_native(node) {
            Knowledge::Host
        } else {
            Knowledge::Stun
        };
        self.places.knowledge.get(&node).copied().unwrap_or(default)
    }
}

/// Servers, and the way of datagrams.
#[cfg(feature = "native")]
impl World {
    /// Adds a STUN server on the Internet; gives its addresses, IPv4 and IPv6.
    ///
    /// Packets to it and back take as long as on the default path, and none is lost but those that
    /// the server loses itself.
    pub fn add_stun_server(&mut self, config: StunConfig) -> [SocketAddr; 2] {
        let index = self.places.servers.len();
        let rng = self.rng.fork(&alloc::format!("stun server {index}"));
        let server = Server::Stun(Box::new(Stun::new(config, rng)));
        self.places.servers.push(server);
        self.places.internet.add_server(index)
    }

    /// Gives a name addresses, for STUN and TURN servers; none: there is no such name any more.
    pub fn set_name_addresses(&mut self, name: impl Into<String>, addresses: &[IpAddr]) {
        self.places.names.insert(name.into(), addresses.to_vec());
    }

    /// Changes how a STUN server, named by one of its addresses, behaves from now on.
    pub fn set_stun_server(&mut self, address: SocketAddr, config: StunConfig) {
        if let Some(Server::Stun(server)) = self.server_mut(address) {
            server.config = config;
        }
    }

    /// Adds a TURN server on the Internet; gives its addresses, IPv4 and IPv6, where it answers
    /// Binding requests, too. It relays from other ports of these.
    ///
    /// Packets to it and back take as long as on the default path, and none is lost but those that
    /// the server loses itself.
    ///
    /// ```
    /// use wattle_core::sim::{TurnConfig, World};
    ///
    /// let mut world = World::new(1);
    /// let [ipv4, _ipv6] = world.add_turn_server(TurnConfig {
    ///     username: "player".into(),
    ///     password: "secret".into(),
    ///     ..TurnConfig::default()
    /// });
    /// assert_eq!(world.turn_allocations(ipv4), 0);
    /// ```
    pub fn add_turn_server(&mut self, config: TurnConfig) -> [SocketAddr; 2] {
        let index = self.places.servers.len();
        let rng = self.rng.fork(&alloc::format!("turn server {index}"));
        let addresses = self.places.internet.add_relay_server(index);
        let server = TurnServer::new(config, rng, addresses);
        self.places.servers.push(Server::Turn(Box::new(server)));
        addresses
    }

    /// Changes how a TURN server, named by one of its addresses, behaves from now on. What it has
    /// promised for a time stands for that time.
    pub fn set_turn_server(&mut self, address: SocketAddr, config: TurnConfig) {
        if let Some(Server::Turn(server)) = self.server_mut(address) {
            server.config = config;
        }
    }

    /// A TURN server starts anew: it has forgotten all allocations.
    pub fn restart_turn_server(&mut self, address: SocketAddr) {
        if let Some(Server::Turn(server)) = self.server_mut(address) {
            server.restart();
        }
    }

    /// How many allocations stand at a TURN server, named by one of its addresses.
    #[must_use]
    pub fn turn_allocations(&self, address: SocketAddr) -> usize {
        self.turn_server(address)
            .map_or(0, |server| server.allocations(self.now))
    }

    /// How many requests a TURN server, named by one of its addresses, has taken so far.
    #[must_use]
    pub fn turn_requests(&self, address: SocketAddr) -> u64 {
        self.turn_server(address).map_or(0, TurnServer::requests)
    }

    fn turn_server(&self, address: SocketAddr) -> Option<&TurnServer> {
        match self.places.internet.host(address) {
            Some(Host::Server(index)) => match self.places.servers.get(index) {
                Some(Server::Turn(server)) => Some(server),
                Some(Server::Stun(_)) | None => None,
            },
            Some(Host::Node(_)) | None => None,
        }
    }

    fn server_mut(&mut self, address: SocketAddr) -> Option<&mut Server> {
        match self.places.internet.host(address)? {
            Host::Server(index) => self.places.servers.get_mut(index),
            Host::Node(_) => None,
        }
    }

    /// How many datagrams did not arrive, by what stopped them. Losses on paths are not counted.
    pub fn dropped(&self) -> impl Iterator<Item = (Dropped, u64)> + '_ {
        self.places
            .dropped
            .iter()
            .map(|(why, count)| (*why, *count))
    }

    /// A node's datagram climbs out of its networks. If it is for another node: for which, and what
    /// to give to [`datagram`](Self::datagram) when it has travelled.
    pub(super) fn depart(
        &mut self,
        index: usize,
        local: SocketAddr,
        to: SocketAddr,
        payload: &Bytes,
    ) -> Option<(usize, Crossing)> {
        let sender = Host::Node(index);
        let crossing = match self.places.internet.leave(self.now, sender, local, to) {
            Ok(crossing) => crossing,
            Err(why) => {
                self.drop_datagram(Some(sender), to, why);
                return None;
            }
        };
        match self.places.internet.receiver(&crossing) {
            Some(Host::Node(to)) => return Some((to, crossing)),
            Some(Host::Server(_)) if self.is_isolated(index) => {}
            Some(Host::Server(_)) => {
                self.travel(None, crossing, Duration::ZERO, payload.clone());
            }
            // Whoever had this endpoint has it no more; the box there would say the same.
            None => self.drop_datagram(Some(sender), to, Dropped::NoMapping),
        }
        None
    }

    /// A datagram has travelled: it descends to its receiver.
    pub(super) fn datagram(&mut self, crossing: Crossing, payload: &Bytes) {
        let receiver = self.places.internet.receiver(&crossing);
        let delivery = match self.places.internet.arrive(self.now, crossing) {
            Ok(delivery) => delivery,
            Err(why) => {
                self.drop_datagram(receiver, crossing.from, why);
                return;
            }
        };
        let Delivery { local, remote, .. } = delivery;
        match delivery.host {
            Host::Node(index) if !self.places.internet.addresses(index).contains(&local) => {
                self.datagram_at_port(index, (local, remote), payload);
            }
            Host::Node(index) => {
                let input = native::Input::Datagram {
                    local,
                    remote,
                    payload,
                };
                self.input_native(index, input);
            }
            Host::Server(index) => {
                let now = self.now;
                let sent = match self.places.servers.get_mut(index) {
                    Some(Server::Stun(server)) => {
                        let answer = server.answer(remote, payload);
                        answer.map(|(pause, bytes)| Sent {
                            pause,
                            from: local,
                            to: remote,
                            bytes,
                        })
                    }
                    Some(Server::Turn(server)) => server.receive(now, local, remote, payload),
                    None => None,
                };
                if let Some(sent) = sent {
                    self.server_sends(delivery.host, sent);
                }
            }
        }
    }

    fn server_sends(&mut self, server: Host, sent: Sent) {
        let Sent {
            pause,
            from,
            to,
            bytes,
        } = sent;
        let Ok(crossing) = self.places.internet.leave(self.now, server, from, to) else {
            return;
        };
        match self.places.internet.receiver(&crossing) {
            Some(Host::Node(node)) if self.is_isolated(node) => {}
            Some(Host::Node(node)) => {
                self.note_seen(node, to);
                self.travel(Some(node), crossing, pause, bytes);
            }
            // From one relay address to another.
            Some(Host::Server(_)) => self.travel(None, crossing, pause, bytes),
            None => {}
        }
    }

    /// To a server or from one.
    fn travel(&mut self, to: Option<usize>, crossing: Crossing, pause: Duration, payload: Bytes) {
        let at = self.now.plus(self.default_path.delay + pause);
        let datagram = What::Datagram {
            to,
            crossing,
            payload,
        };
        self.schedule(at, datagram);
    }

    /// Counts it, and lets the timeline of the node at whose end it happened say why.
    fn drop_datagram(&mut self, at: Option<Host>, other: SocketAddr, why: Dropped) {
        if let Some(Host::Node(index)) = at {
            let what = ("dropped", other, why);
            self.trace.add(self.now, index, To::World, &what);
        }
        let count = self.places.dropped.entry(why).or_default();
        *count = count.saturating_add(1);
    }
}

impl From<NatIndex> for Place {
    fn from(nat: NatIndex) -> Self {
        Self::behind(nat)
    }
}

#[cfg(test)]
#[cfg(feature = "native")]
mod tests {
    use super::*;
    use crate::native::turn::{Credentials, Family, Transport, Turn, TurnEvent};
    use crate::sim::stun::{StunAnswer, request};

    /// A native node at home asks a STUN server; how many datagrams come back, and after how long.
    fn ask(world: &mut World, address: SocketAddr) -> Option<Duration> {
        let home = world.add_nat(NatConfig::default());
        let NodeIndex(node) = world.add_native_behind(Config::default(), home);
        let local = world.places.internet.addresses(node)[0];
        let asked = world.now();
        let passed = world.depart(node, local, address, &request([1; 12]).into());
        assert_eq!(passed, None, "it is not for a node");
        let came = |world: &World| {
            // This one has asked nobody, and has no use for the answer.
            let stats = world.stats(NodeIndex(node)).unwrap();
            stats.counters.datagrams_dropped > 0
        };
        let came = world.run_until(Duration::from_secs(10), came);
        came.then(|| world.now().since(asked))
    }

    #[test]
    fn stun_servers_answer_through_boxes() {
        let mut world = World::new(1);
        let honest = world.add_stun_server(StunConfig::default());
        let slow = world.add_stun_server(StunConfig {
            pause: Duration::from_secs(2),
            ..StunConfig::default()
        });
        let silent = world.add_stun_server(StunConfig {
            answer: StunAnswer::Silence,
            ..StunConfig::default()
        });
        assert_eq!(honest[0].to_string(), "192.0.2.1:3478");
        assert_eq!(silent[1].to_string(), "[2001:db8:ffff::3]:3478");
        let trip = Duration::from_millis(20);
        assert_eq!(ask(&mut world, honest[0]), Some(trip * 2));
        assert_eq!(
            ask(&mut world, slow[0]),
            Some(trip * 2 + Duration::from_secs(2))
        );
        assert_eq!(ask(&mut world, silent[0]), None);
        world.set_stun_server(silent[1], StunConfig::default());
        assert_eq!(ask(&mut world, silent[0]), Some(trip * 2));
        // No IPv6 at home.
        assert_eq!(ask(&mut world, honest[1]), None);
        let dropped: Vec<_> = world.dropped().collect();
        assert_eq!(dropped, [(Dropped::NoRoute, 1)]);
    }

    /// Lets a datagram pass at once, and what a server makes of it, until it is at a node.
    fn pass(
        world: &mut World,
        from: Host,
        local: SocketAddr,
        to: SocketAddr,
        bytes: &Bytes,
    ) -> Option<(Delivery, Bytes)> {
        let now = world.now;
        let internet = &mut world.places.internet;
        let crossing = internet.leave(now, from, local, to).ok()?;
        let delivery = internet.arrive(now, crossing).ok()?;
        let Host::Server(index) = delivery.host else {
            return Some((delivery, bytes.clone()));
        };
        let Server::Turn(server) = &mut world.places.servers[index] else {
            return None;
        };
        let sent = server.receive(now, delivery.local, delivery.remote, bytes)?;
        pass(world, delivery.host, sent.from, sent.to, &sent.bytes)
    }

    #[test]
    fn relays_lead_from_box_to_box() {
        let mut world = World::new(1);
        let [server, _] = world.add_turn_server(TurnConfig::default());
        let mut ends = [0, 1].map(|_| {
            let home = world.add_nat(NatConfig::symmetric());
            let node = world.add_native_behind(Config::default(), home);
            let credentials = Credentials {
                username: "player".into(),
                password: "secret".into(),
            };
            let (rng, server) = (Rng::new([1; 32]), (server, Transport::Datagram));
            (
                node,
                Turn::new(world.now, rng, server, credentials, Family::V4),
            )
        });
        let exchange = |world: &mut World, (node, turn): &mut (NodeIndex, Turn)| {
            let local = world.places.internet.addresses(node.0)[0];
            while let Some(bytes) = turn.poll_transmit() {
                let from = Host::Node(node.0);
                if let Some((_, answer)) = pass(world, from, local, server, &bytes) {
                    turn.handle_message(world.now, &answer);
                }
            }
        };
        let relayed = ends.each_mut().map(|end| {
            exchange(&mut world, end);
            let Some(TurnEvent::Allocated {
                relayed, mapped, ..
            }) = end.1.poll_event()
            else {
                panic!("no allocation");
            };
            assert_eq!(mapped.ip().to_string()[..7], *"198.18.");
            relayed
        });
        assert_eq!(world.turn_allocations(server), 2);
        for (end, other) in ends.iter_mut().zip([relayed[1], relayed[0]]) {
            assert!(end.1.permit(world.now, other));
            exchange(&mut world, end);
        }
        // From node to server, from relay to relay, and to the other node: three trips.
        assert!(ends[0].1.send(world.now, relayed[1], b"\x16data"));
        let bytes = ends[0].1.poll_transmit().unwrap();
        let NodeIndex(from) = ends[0].0;
        let local = world.places.internet.addresses(from)[0];
        assert_eq!(world.depart(from, local, server, &bytes), None);
        let came = |world: &World| {
            let stats = world.stats(ends[1].0).unwrap();
            stats.counters.datagrams_dropped > 0
        };
        let begun = world.now();
        assert!(world.run_until(Duration::from_secs(1), came));
        assert_eq!(world.now().since(begun), Duration::from_millis(60));
        assert_eq!(world.dropped().count(), 0);

        world.restart_turn_server(server);
        assert_eq!(world.turn_allocations(server), 0);
        let silent = TurnConfig {
            fault: TurnFault::Silence,
            ..TurnConfig::default()
        };
        world.set_turn_server(server, silent);
        let local = world.places.internet.addresses(from)[0];
        let bytes = Bytes::from(request([2; 12]));
        let answer = pass(&mut world, Host::Node(from), local, server, &bytes);
        assert_eq!(answer, None);
    }

    use crate::sim::turn::TurnFault;
    use alloc::string::ToString as _;
}
