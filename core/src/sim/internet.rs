//! The simulated Internet: who has which address, who is behind which box, and where a datagram
//! goes.
//!
//! A *realm* is a space of IPv4 addresses: the Internet itself, or the inside of a NAT box. A
//! datagram climbs from its sender's realm, translated by each box, until a realm knows its
//! destination; there it travels; then it descends through the boxes on the receiver's side.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::nat::{Nat, NatConfig};
use crate::rng::Rng;
use crate::time::Timestamp;

/// The port of every node's socket.
const PORT: u16 = 5000;
/// The port of STUN servers (RFC 8489 section 18.6).
const STUN_PORT: u16 = 3478;

/// Names a NAT box of a world, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatIndex(pub(super) usize);

/// Where a node is: on the Internet itself or behind a NAT box, and which addresses it gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by tests")]
pub struct Place {
    /// In the LAN of which box; `None`: on the Internet.
    pub nat: Option<NatIndex>,
    /// Whether it has an IPv4 address, private behind a box.
    pub ipv4: bool,
    /// Whether it has a global IPv6 address.
    pub ipv6: bool,
}

impl Place {
    /// On the Internet, with a public IPv4 address.
    #[must_use]
    pub const fn internet() -> Self {
        Self {
            nat: None,
            ipv4: true,
            ipv6: false,
        }
    }

    /// In the LAN of this box, with a private IPv4 address.
    #[must_use]
    pub const fn behind(nat: NatIndex) -> Self {
        Self {
            nat: Some(nat),
            ipv4: true,
            ipv6: false,
        }
    }

    /// With a global IPv6 address beside the other.
    #[must_use]
    pub const fn dual_stack(mut self) -> Self {
        self.ipv4 = true;
        self.ipv6 = true;
        self
    }

    /// With a global IPv6 address alone.
    #[must_use]
    pub const fn ipv6_only(mut self) -> Self {
        self.ipv4 = false;
        self.ipv6 = true;
        self
    }
}

/// Why a datagram did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Dropped {
    /// A box on the way lets no UDP through.
    UdpBlocked,
    /// A box on the way is rebooting.
    Rebooting,
    /// A box on the way has no room for another mapping or permission.
    TableFull,
    /// The box at the destination knows no such port (any more).
    NoMapping,
    /// A filter at the destination does not expect this sender.
    Filtered,
    /// It was for an outside address of the sender's own box, which does not hairpin.
    NoHairpin,
    /// Nobody has the destination's address, in any realm that the datagram came to.
    NoRoute,
    /// The sender does not have the address that it sent from (any more).
    NoSource,
}

/// `None`: the Internet; else the inside of this box.
pub(super) type Realm = Option<usize>;

/// Who sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Host {
    Node(usize),
    Server(usize),
}

/// What has an address in a realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Host(Host),
    Box(usize),
}

/// A datagram that travels in some realm, from and to endpoints of that realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crossing {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    next: Next,
}

/// A datagram that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) host: Host,
    /// At which of the receiver's own addresses.
    pub(super) local: SocketAddr,
    /// The sender, as the receiver sees it.
    pub(super) remote: SocketAddr,
}

#[derive(Debug)]
pub(super) struct Gate {
    pub(super) nat: Nat,
    pub(super) outer: Realm,
    subnet: [u8; 3],
    /// How many addresses of its inside were given out.
    given: u16,
}

#[derive(Debug)]
pub(super) struct Site {
    pub(super) realm: Realm,
    pub(super) addresses: Vec<SocketAddr>,
    moves: u8,
    /// It has sockets on other ports of its addresses, too: relay addresses.
    relays: bool,
    /// How many further sockets it has opened, on the ports behind that of the first.
    ports: u16,
}

impl Site {
    fn has(&self, address: SocketAddr) -> bool {
        let is_port = |own: &SocketAddr| {
            let further = address.port().saturating_sub(own.port());
            own.ip() == address.ip() && (self.relays || (1..=self.ports).contains(&further))
        };
        self.addresses
            .iter()
            .any(|own| *own == address || is_port(own))
    }
}

#[derive(Debug)]
pub(super) struct Internet {
    rng: Rng,
    pub(super) gates: Vec<Gate>,
    pub(super) sites: BTreeMap<Host, Site>,
    at: BTreeMap<(Realm, IpAddr), Next>,
    global: BTreeMap<Ipv6Addr, Host>,
    /// How many public addresses were given to boxes.
    given: u16,
}

impl Internet {
    pub(super) const fn new(rng: Rng) -> Self {
        Self {
            rng,
            gates: Vec::new(),
            sites: BTreeMap::new(),
            at: BTreeMap::new(),
            global: BTreeMap::new(),
            given: 0,
        }
    }

    pub(super) fn add_nat(&mut self, config: NatConfig, outer: Realm) -> NatIndex {
        let index = self.gates.len();
        let depth = self.chain(outer).len().saturating_add(1);
        let depth = u8::try_from(depth).unwrap_or(u8::MAX);
        let outside = self.outside_address(outer);
        let rng = self.rng.fork(&alloc::format!("nat {index}"));
        self.gates.push(Gate {
            nat: Nat::new(config, rng, outside),
            outer,
            subnet: config.subnet.unwrap_or([192, 168, depth]),
            given: 0,
        });
        self.at
            .insert((outer, IpAddr::V4(outside)), Next::Box(index));
        NatIndex(index)
    }

    /// A STUN server with a public address of each family.
    pub(super) fn add_server(&mut self, index: usize) -> [SocketAddr; 2] {
        let number = u16::try_from(index).unwrap_or(u16::MAX).saturating_add(1);
        let [high, low] = number.to_be_bytes();
        let addresses = [
            SocketAddr::from((
                Ipv4Addr::new(192, 0, high.saturating_add(2), low),
                STUN_PORT,
            )),
            SocketAddr::from((
                Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, number),
                STUN_PORT,
            )),
        ];
        self.settle(Host::Server(index), None, addresses.to_vec());
        addresses
    }

    /// A TURN server: it has all ports.
    #[cfg(feature = "native")]
    pub(super) fn add_relay_server(&mut self, index: usize) -> [SocketAddr; 2] {
        let addresses = self.add_server(index);
        if let Some(site) = self.sites.get_mut(&Host::Server(index)) {
            site.relays = true;
        }
        addresses
    }

    /// Puts a node somewhere, from wherever it was: its new addresses.
    pub(super) fn place(&mut self, node: usize, place: Place) -> &[SocketAddr] {
        let host = Host::Node(node);
        let realm = place.nat.map(|NatIndex(nat)| nat);
        let moves = self.leave_place(host);
        let number = match realm.and_then(|nat| self.gates.get_mut(nat)) {
            Some(gate) => gate.number(),
            None => u16::try_from(node).unwrap_or(u16::MAX).saturating_add(1),
        };
        let mut addresses = Vec::new();
        if place.ipv6 {
            let (site, number) = match realm {
                None => (u16::from(moves), [number, 1]),
                Some(nat) => (
                    u16::try_from(nat)
                        .unwrap_or(u16::MAX)
                        .saturating_add(0x1000),
                    [0, number],
                ),
            };
            let [network, interface] = number;
            let ip = Ipv6Addr::new(0x2001, 0xdb8, site, network, 0, 0, 0, interface);
            addresses.push(SocketAddr::from((ip, PORT)));
        }
        if place.ipv4 {
            let ip = match realm.and_then(|nat| self.gates.get(nat)) {
                Some(gate) => gate.inside_address(number),
                None => {
                    let [high, low] = number.saturating_sub(1).to_be_bytes();
                    Ipv4Addr::new(10, moves, high, low.saturating_add(1))
                }
            };
            addresses.push(SocketAddr::from((ip, PORT)));
        }
        self.settle(host, realm, addresses);
        if let Some(site) = self.sites.get_mut(&host) {
            site.moves = moves;
        }
        self.addresses(node)
    }

    /// Another socket of a node on one of its addresses, if it has that.
    #[cfg(feature = "native")]
    pub(super) fn open_port(&mut self, node: usize, beside: SocketAddr) -> Option<SocketAddr> {
        let site = self.sites.get_mut(&Host::Node(node))?;
        let own = site.addresses.iter().find(|own| **own == beside)?;
        let port = own.port().checked_add(site.ports.checked_add(1)?)?;
        site.ports = site.ports.checked_add(1)?;
        Some(SocketAddr::new(beside.ip(), port))
    }

    /// A node's addresses as it knows them.
    pub(super) fn addresses(&self, node: usize) -> &[SocketAddr] {
        self.sites
            .get(&Host::Node(node))
            .map_or(&[], |site| site.addresses.as_slice())
    }

    /// Gives a box another outside address.
    pub(super) fn readdress(&mut self, now: Timestamp, NatIndex(index): NatIndex) {
        let Some(outer) = self.gates.get(index).map(|gate| gate.outer) else {
            return;
        };
        let outside = self.outside_address(outer);
        if let Some(gate) = self.gates.get_mut(index) {
            self.at.remove(&(outer, IpAddr::V4(gate.nat.outside())));
            gate.nat.readdress(now, outside);
            self.at
                .insert((outer, IpAddr::V4(outside)), Next::Box(index));
        }
    }

    /// Who has this public address.
    #[cfg(feature = "native")]
    pub(super) fn host(&self, address: SocketAddr) -> Option<Host> {
        match self.next(None, address.ip())? {
            Next::Host(host) => Some(host),
            Next::Box(_) => None,
        }
    }

    pub(super) fn nat_mut(&mut self, NatIndex(index): NatIndex) -> Option<&mut Nat> {
        self.gates.get_mut(index).map(|gate| &mut gate.nat)
    }

    /// The boxes around a realm, innermost first.
    pub(super) fn chain(&self, mut realm: Realm) -> Vec<usize> {
        let mut chain = Vec::new();
        while let Some((index, gate)) = realm.and_then(|nat| Some((nat, self.gates.get(nat)?))) {
            chain.push(index);
            realm = gate.outer;
        }
        chain
    }

    /// A datagram leaves its sender and climbs to the realm in which it travels.
    pub(super) fn leave(
        &mut self,
        now: Timestamp,
        sender: Host,
        local: SocketAddr,
        to: SocketAddr,
    ) -> Result<Crossing, Dropped> {
        let site = self.sites.get(&sender).ok_or(Dropped::NoSource)?;
        if !site.has(local) {
            return Err(Dropped::NoSource);
        }
        if local.is_ipv4() != to.is_ipv4() {
            return Err(Dropped::NoRoute);
        }
        let (mut realm, mut from) = (site.realm, local);
        let mut left = None;
        loop {
            if let Some(next) = self.next(realm, to.ip()) {
                let back = left.filter(|left| next == Next::Box(*left));
                let turns = back.and_then(|nat| self.gates.get(nat));
                if turns.is_some_and(|gate| !gate.nat.config.hairpin) {
                    return Err(Dropped::NoHairpin);
                }
                return Ok(Crossing { from, to, next });
            }
            if is_on_link(from, to) && realm.is_some() {
                return Err(Dropped::NoRoute);
            }
            let index = realm.ok_or(Dropped::NoRoute)?;
            let gate = self.gates.get_mut(index).ok_or(Dropped::NoRoute)?;
            from = gate.nat.outbound(now, from, to)?;
            realm = gate.outer;
            left = Some(index);
        }
    }

    /// Who will get it, if nothing changes on the way and no filter is against it.
    pub(super) fn receiver(&self, crossing: &Crossing) -> Option<Host> {
        let Crossing {
            mut to, mut next, ..
        } = *crossing;
        loop {
            match next {
                Next::Host(host) => return Some(host),
                Next::Box(index) => {
                    to = self.gates.get(index)?.nat.owner(to)?;
                    next = self.next(Some(index), to.ip())?;
                }
            }
        }
    }

    /// A datagram has travelled and descends to its receiver.
    pub(super) fn arrive(
        &mut self,
        now: Timestamp,
        crossing: Crossing,
    ) -> Result<Delivery, Dropped> {
        let Crossing {
            from: remote,
            mut to,
            mut next,
        } = crossing;
        loop {
            match next {
                Next::Host(host) => {
                    let site = self.sites.get(&host).ok_or(Dropped::NoRoute)?;
                    if !site.has(to) {
                        return Err(Dropped::NoRoute);
                    }
                    let local = to;
                    return Ok(Delivery {
                        host,
                        local,
                        remote,
                    });
                }
                Next::Box(index) => {
                    let gate = self.gates.get_mut(index).ok_or(Dropped::NoRoute)?;
                    // It may have another address by now.
                    if to.is_ipv4() && to.ip() != gate.nat.outside() {
                        return Err(Dropped::NoRoute);
                    }
                    to = gate.nat.inbound(now, to, remote)?;
                    next = self.next(Some(index), to.ip()).ok_or(Dropped::NoRoute)?;
                }
            }
        }
    }

    /// What a realm knows under an address: a host or box in it, or (IPv6) the box on the way down.
    pub(super) fn next(&self, realm: Realm, ip: IpAddr) -> Option<Next> {
        let IpAddr::V6(global) = ip else {
            return self.at.get(&(realm, ip)).copied();
        };
        let host = *self.global.get(&global)?;
        let mut inner = self.sites.get(&host)?.realm;
        let mut next = Next::Host(host);
        while inner != realm {
            let index = inner?;
            next = Next::Box(index);
            inner = self.gates.get(index)?.outer;
        }
        Some(next)
    }

    fn settle(&mut self, host: Host, realm: Realm, addresses: Vec<SocketAddr>) {
        for address in &addresses {
            match address.ip() {
                IpAddr::V6(ip) => {
                    self.global.insert(ip, host);
                }
                ip @ IpAddr::V4(_) => {
                    self.at.insert((realm, ip), Next::Host(host));
                }
            }
        }
        let site = Site {
            realm,
            addresses,
            moves: 0,
            relays: false,
            ports: 0,
        };
        self.sites.insert(host, site);
    }

    /// How often this host has moved, now included; 0 if it was nowhere.
    fn leave_place(&mut self, host: Host) -> u8 {
        let Some(site) = self.sites.remove(&host) else {
            return 0;
        };
        for address in &site.addresses {
            match address.ip() {
                IpAddr::V6(ip) => {
                    self.global.remove(&ip);
                }
                ip @ IpAddr::V4(_) => {
                    self.at.remove(&(site.realm, ip));
                }
            }
        }
        site.moves.wrapping_add(1)
    }

    fn outside_address(&mut self, outer: Realm) -> Ipv4Addr {
        if let Some(gate) = outer.and_then(|nat| self.gates.get_mut(nat)) {
            let number = gate.number();
            return gate.inside_address(number);
        }
        self.given = self.given.saturating_add(1);
        let [high, low] = self.given.to_be_bytes();
        // RFC 2544's range, which nobody else uses.
        Ipv4Addr::new(198, 18, high, low)
    }
}

impl Gate {
    /// The number of the next address inside; 1 is the box itself.
    const fn number(&mut self) -> u16 {
        self.given = self.given.saturating_add(1);
        self.given.saturating_add(1)
    }

    fn inside_address(&self, number: u16) -> Ipv4Addr {
        let [a, b, c] = self.subnet;
        let [high, low] = number.to_be_bytes();
        Ipv4Addr::new(a, b, c.wrapping_add(high), low)
    }
}

/// Whether both are in one subnet, /24 or /64: what is for there never leaves it.
pub(super) fn is_on_link(a: SocketAddr, b: SocketAddr) -> bool {
    match (a.ip(), b.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets().first_chunk::<3>() == b.octets().first_chunk(),
        (IpAddr::V6(a), IpAddr::V6(b)) => a.octets().first_chunk::<8>() == b.octets().first_chunk(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::nat::Dependence;

    const NOW: Timestamp = Timestamp::ZERO;

    fn internet() -> Internet {
        Internet::new(Rng::new([1; 32]))
    }

    /// Places a node; gives the address of its only socket.
    fn put(internet: &mut Internet, node: usize, place: Place) -> SocketAddr {
        internet.place(node, place)[0]
    }

    /// Sends and lets arrive at once.
    fn pass(
        internet: &mut Internet,
        from: (usize, SocketAddr),
        to: SocketAddr,
    ) -> Result<Delivery, Dropped> {
        let crossing = internet.leave(NOW, Host::Node(from.0), from.1, to)?;
        let delivery = internet.arrive(NOW, crossing);
        if let Ok(delivery) = &delivery {
            assert_eq!(internet.receiver(&crossing), Some(delivery.host));
        }
        delivery
    }

    #[test]
    fn without_boxes_all_reach_all_under_their_own_addresses() {
        let mut net = internet();
        let [one, other] = [0, 1].map(|node| put(&mut net, node, Place::internet()));
        assert_eq!(
            [one, other].map(|a| alloc::format!("{a}")),
            ["10.0.0.1:5000", "10.0.0.2:5000"]
        );
        let expected = Delivery {
            host: Host::Node(1),
            local: other,
            remote: one,
        };
        assert_eq!(pass(&mut net, (0, one), other), Ok(expected));
        let wrong_port = SocketAddr::new(other.ip(), 1);
        assert_eq!(pass(&mut net, (0, one), wrong_port), Err(Dropped::NoRoute));
    }

    #[test]
    fn the_same_private_address_is_somebody_else_in_another_lan() {
        let mut net = internet();
        let homes = [0, 1].map(|_| net.add_nat(NatConfig::default(), None));
        let [a, b] = [0, 1].map(|node| put(&mut net, node, Place::behind(homes[0])));
        let [c, d] = [2, 3].map(|node| put(&mut net, node, Place::behind(homes[1])));
        assert_eq!((a, b), (c, d));
        let host = |delivery: Result<Delivery, Dropped>| delivery.unwrap().host;
        assert_eq!(host(pass(&mut net, (0, a), b)), Host::Node(1));
        assert_eq!(host(pass(&mut net, (2, c), d)), Host::Node(3));
        // What is for nobody in its own LAN does not leave it.
        let nobody = "192.168.1.77:5000".parse().unwrap();
        assert_eq!(pass(&mut net, (0, a), nobody), Err(Dropped::NoRoute));
    }

    #[test]
    fn each_box_on_the_way_translates() {
        let mut net = internet();
        let carrier = net.add_nat(NatConfig::symmetric(), None);
        let home = net.add_nat(NatConfig::symmetric(), Some(carrier.0));
        let inside = put(&mut net, 0, Place::behind(home));
        let between = put(&mut net, 1, Place::behind(carrier));
        let public = put(&mut net, 2, Place::internet());
        assert_eq!(inside.ip().to_string(), "192.168.2.2");
        let seen = pass(&mut net, (0, inside), between).unwrap().remote;
        assert_eq!(seen.ip().to_string(), "192.168.1.2");
        let seen = pass(&mut net, (0, inside), public).unwrap().remote;
        assert_eq!(seen.ip().to_string(), "198.18.0.1");
        let back = pass(&mut net, (2, public), seen).unwrap();
        assert_eq!((back.host, back.local), (Host::Node(0), inside));
    }

    #[test]
    fn a_hairpin_shows_the_outside_address() {
        for hairpin in [true, false] {
            let mut net = internet();
            let home = net.add_nat(
                NatConfig {
                    hairpin,
                    filtering: Dependence::EndpointIndependent,
                    ..NatConfig::default()
                },
                None,
            );
            let [a, b] = [0, 1].map(|node| put(&mut net, node, Place::behind(home)));
            let server = net.add_server(0)[0];
            let [a_seen, b_seen] =
                [(0, a), (1, b)].map(|from| pass(&mut net, from, server).unwrap().remote);
            let turned = pass(&mut net, (0, a), b_seen);
            let expected = Delivery {
                host: Host::Node(1),
                local: b,
                remote: a_seen,
            };
            if hairpin {
                assert_eq!(turned, Ok(expected));
            } else {
                assert_eq!(turned, Err(Dropped::NoHairpin));
            }
        }
    }

    #[test]
    fn what_changes_while_a_datagram_travels_counts() {
        let mut net = internet();
        let home = net.add_nat(NatConfig::default(), None);
        let inside = put(&mut net, 0, Place::behind(home));
        let public = put(&mut net, 1, Place::internet());
        let on_its_way = |net: &mut Internet| {
            let seen = pass(net, (0, inside), public).unwrap().remote;
            net.leave(NOW, Host::Node(1), public, seen).unwrap()
        };
        let crossing = on_its_way(&mut net);
        assert!(net.arrive(NOW, crossing).is_ok());
        net.nat_mut(home).unwrap().rebind(NOW);
        assert_eq!(net.arrive(NOW, crossing), Err(Dropped::NoMapping));
        let crossing = on_its_way(&mut net);
        net.readdress(NOW, home);
        assert_eq!(net.arrive(NOW, crossing), Err(Dropped::NoRoute));
        let crossing = on_its_way(&mut net);
        let moved = put(&mut net, 0, Place::behind(home));
        assert_ne!(inside, moved);
        assert_eq!(net.arrive(NOW, crossing), Err(Dropped::NoRoute));
        assert_eq!(pass(&mut net, (0, inside), public), Err(Dropped::NoSource));
        assert!(pass(&mut net, (0, moved), public).is_ok());
    }

    #[test]
    fn ipv6_is_found_wherever_it_is() {
        let mut net = internet();
        let outer = net.add_nat(NatConfig::default(), None);
        let inner = net.add_nat(NatConfig::default(), Some(outer.0));
        let deep = put(&mut net, 0, Place::behind(inner).ipv6_only());
        let public = put(&mut net, 1, Place::internet().ipv6_only());
        assert_eq!(pass(&mut net, (1, public), deep), Err(Dropped::Filtered));
        assert_eq!(pass(&mut net, (0, deep), public).unwrap().remote, deep);
        assert_eq!(pass(&mut net, (1, public), deep).unwrap().local, deep);
        let v4 = put(&mut net, 2, Place::internet());
        assert_eq!(pass(&mut net, (0, deep), v4), Err(Dropped::NoRoute));
    }

    use alloc::string::ToString as _;
}
