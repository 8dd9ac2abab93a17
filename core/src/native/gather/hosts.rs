//! From the driver's sockets to host candidates, the likeliest ones first.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::native::io::Interface;

/// More sockets than this are not offered: every one is paired with every candidate of the other
/// side, and str0m stops at 100 pairs.
const MOST: usize = 16;

/// Names of interfaces that rarely lead to another node: container bridges, virtual machines,
/// tunnels. Compared without regard to case.
const VIRTUAL: [&str; 29] = [
    "docker",
    "br-",
    "bridge",
    "veth",
    "virbr",
    "vnet",
    "cni",
    "cali",
    "flannel",
    "podman",
    "lxc",
    "lxd",
    "tun",
    "tap",
    "wg",
    "tailscale",
    "zt",
    "utun",
    "ppp",
    "ipsec",
    "kube",
    "nordlynx",
    "vmnet",
    "vboxnet",
    "vethernet",
    "hyper-v",
    "awdl",
    "llw",
    "anpi",
];

/// A socket of ours that others may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::native) struct HostAddress {
    /// Its address, without scope and flow label: what ICE compares.
    pub(in crate::native) address: SocketAddr,
    /// Its address as the driver gave it.
    pub(in crate::native) given: SocketAddr,
    /// RFC 8445 section 5.1.2.1: unique, and higher is better.
    pub(in crate::native) preference: u16,
}

impl HostAddress {
    /// Whether there is a way to this address, as far as the two tell.
    pub(in crate::native) fn leads_to(&self, server: SocketAddr) -> bool {
        let goes_out = server.ip().is_loopback() || !self.address.ip().is_loopback();
        self.address.is_ipv4() == server.is_ipv4() && goes_out
    }
}

/// The difference that a new set of sockets makes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::native) struct Change {
    pub(in crate::native) added: Vec<HostAddress>,
    pub(in crate::native) removed: Vec<HostAddress>,
}

/// All our sockets, best first.
#[derive(Debug)]
pub(in crate::native) struct Hosts {
    loopback: bool,
    addresses: Vec<HostAddress>,
    /// The lowest and the highest preference given so far, per class: none is given twice.
    given: [(u16, u16); 3],
}

impl Hosts {
    pub(in crate::native) fn new(loopback: bool) -> Self {
        Self {
            loopback,
            addresses: Vec::new(),
            given: Class::ALL.map(Class::middle),
        }
    }

    pub(in crate::native) fn addresses(&self) -> &[HostAddress] {
        &self.addresses
    }

    /// Our address as ICE knows it, for one that the driver uses.
    pub(in crate::native) fn by_given(&self, given: SocketAddr) -> Option<HostAddress> {
        let address = plain(given);
        self.addresses
            .iter()
            .find(|known| known.address == address)
            .copied()
    }

    /// The address that the driver uses, for one that ICE knows.
    pub(in crate::native) fn given(&self, address: SocketAddr) -> Option<SocketAddr> {
        let known = self.addresses.iter().find(|known| known.address == address);
        known.map(|known| known.given)
    }

    /// Takes the new set of sockets.
    pub(in crate::native) fn update(&mut self, interfaces: &[Interface]) -> Change {
        let ranked = rank(interfaces, self.loopback);
        let (kept, removed): (Vec<HostAddress>, Vec<HostAddress>) = self
            .addresses
            .iter()
            .partition(|known| ranked.iter().any(|(_, address)| known.given == *address));
        let is_kept = |given| kept.iter().find(|known| known.given == given).copied();
        // What replaces all that we had must be tried first by both sides: the other one goes on
        // with the old pair for as long as that has the higher priority and is not given up.
        let replaces = kept.is_empty();
        let count = |class| {
            let of_class = ranked.iter().filter(|(other, _)| *other == class);
            u16::try_from(of_class.count()).unwrap_or(u16::MAX)
        };
        let mut next = self.given;
        for (place, class) in Class::ALL.into_iter().enumerate() {
            if let (true, Some(next)) = (replaces, next.get_mut(place)) {
                next.1 = next.1.saturating_add(count(class)).min(class.top());
                next.0 = next.1;
            }
        }
        let mut added = Vec::new();
        let mut addresses = Vec::new();
        for (class, given) in ranked {
            if let Some(known) = is_kept(given) {
                addresses.push(known);
                continue;
            }
            let Some((low, high)) = next.get_mut(class as usize) else {
                continue;
            };
            let new = HostAddress {
                address: plain(given),
                given,
                preference: *low,
            };
            *low = low.saturating_sub(1);
            *high = (*high).max(new.preference);
            added.push(new);
            addresses.push(new);
        }
        for (given, next) in self.given.iter_mut().zip(next) {
            *given = (given.0.min(next.0), given.1.max(next.1));
        }
        self.addresses = addresses;
        Change { added, removed }
    }
}

/// Whether an interface with this name is a container bridge, a virtual machine's network or a
/// tunnel, by the names that systems give them: such have addresses like any other, but other
/// nodes rarely reach them.
#[must_use]
pub fn is_virtual_interface(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    VIRTUAL.iter().any(|prefix| name.starts_with(prefix))
}

/// How likely an interface leads to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Real,
    Virtual,
    Loopback,
}

impl Class {
    fn of(interface: &Interface) -> Self {
        if interface.address.ip().is_loopback() {
            Self::Loopback
        } else if is_virtual_interface(&interface.name) {
            Self::Virtual
        } else {
            Self::Real
        }
    }

    const ALL: [Self; 3] = [Self::Real, Self::Virtual, Self::Loopback];

    /// Three ranges of local preferences, so that a late real interface still beats a bridge.
    const fn top(self) -> u16 {
        match self {
            Self::Real => u16::MAX,
            Self::Virtual => 0x7fff,
            Self::Loopback => 0x3fff,
        }
    }

    /// Where a range begins, with room for what comes later on both sides.
    const fn middle(self) -> (u16, u16) {
        let middle = self.top() - 0x1000;
        (middle, middle)
    }
}

/// The addresses that can be offered, best first: real interfaces, then bridges and tunnels; within
/// a class IPv6 and IPv4 in turn, IPv6 first (RFC 8421 section 4).
fn rank(interfaces: &[Interface], loopback: bool) -> Vec<(Class, SocketAddr)> {
    let mut ranked = Vec::new();
    for class in [Class::Real, Class::Virtual, Class::Loopback] {
        let of_class = |v6: bool| {
            interfaces
                .iter()
                .filter(move |i| i.address.is_ipv6() == v6)
                .filter(|i| is_usable(i.address, loopback) && Class::of(i) == class)
                .map(|i| i.address)
        };
        let (mut v6, mut v4) = (of_class(true), of_class(false));
        loop {
            let pair = [v6.next(), v4.next()];
            if pair == [None, None] {
                break;
            }
            for address in pair.into_iter().flatten() {
                let is_new = ranked
                    .iter()
                    .all(|(_, other)| plain(*other) != plain(address));
                if is_new && ranked.len() < MOST {
                    ranked.push((class, address));
                }
            }
        }
    }
    ranked
}

/// Whether others can do anything with this address. Link-local ones need a scope that candidates
/// cannot carry.
pub(in crate::native) fn is_usable(address: SocketAddr, loopback: bool) -> bool {
    let ip = address.ip();
    if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    if ip.is_loopback() {
        return loopback;
    }
    match ip {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && v6.to_ipv4_mapped().is_none(),
    }
}

/// Without scope and flow label, which differ between what was bound and what is received.
pub(in crate::native) const fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn interfaces(list: &[(&str, &str)]) -> Vec<Interface> {
        list.iter()
            .map(|(name, address)| Interface {
                name: (*name).into(),
                address: address.parse().unwrap(),
            })
            .collect()
    }

    fn order(hosts: &Hosts) -> Vec<String> {
        use alloc::string::ToString as _;
        hosts
            .addresses()
            .iter()
            .map(|a| a.address.ip().to_string())
            .collect()
    }

    #[test]
    fn bridges_and_tunnels_come_last_and_families_take_turns() {
        let mut hosts = Hosts::new(false);
        hosts.update(&interfaces(&[
            ("docker0", "172.17.0.1:1"),
            ("eth0", "192.168.1.2:1"),
            ("eth0", "[2001:db8::1]:1"),
            ("wlan0", "192.168.2.2:1"),
            ("eth1", "[2001:db8::2]:1"),
            ("tailscale0", "[fd7a::1]:1"),
            ("vEthernet (WSL)", "172.30.0.1:1"),
        ]));
        assert_eq!(
            order(&hosts),
            [
                "2001:db8::1",
                "192.168.1.2",
                "2001:db8::2",
                "192.168.2.2",
                "fd7a::1",
                "172.17.0.1",
                "172.30.0.1"
            ]
        );
        let preferences: Vec<_> = hosts.addresses().iter().map(|a| a.preference).collect();
        assert!(preferences.windows(2).all(|pair| pair[0] > pair[1]));
    }

    #[test]
    fn what_others_cannot_use_is_not_offered() {
        let list = interfaces(&[
            ("eth0", "0.0.0.0:1"),
            ("eth0", "169.254.3.4:1"),
            ("eth0", "224.0.0.1:1"),
            ("eth0", "[fe80::1%3]:1"),
            ("eth0", "[::ffff:10.0.0.1]:1"),
            ("eth0", "10.0.0.1:0"),
            ("lo", "127.0.0.1:1"),
            ("lo", "[::1]:1"),
            ("eth0", "10.0.0.1:1"),
            ("eth0", "10.0.0.1:1"),
        ]);
        let mut hosts = Hosts::new(false);
        hosts.update(&list);
        assert_eq!(order(&hosts), ["10.0.0.1"]);
        let mut hosts = Hosts::new(true);
        hosts.update(&list);
        assert_eq!(order(&hosts), ["10.0.0.1", "::1", "127.0.0.1"]);
    }

    #[test]
    fn changes_are_told() {
        let mut hosts = Hosts::new(false);
        let first = hosts.update(&interfaces(&[("a", "10.0.0.1:1"), ("b", "10.0.0.2:1")]));
        assert_eq!((first.added.len(), first.removed.len()), (2, 0));
        let second = hosts.update(&interfaces(&[("c", "10.0.0.3:1"), ("b", "10.0.0.2:1")]));
        assert_eq!((second.added.len(), second.removed.len()), (1, 1));
        assert_eq!(second.removed[0].address.ip().to_string(), "10.0.0.1");
        // The late one has a preference of its own, below those that were there first.
        let preference = |hosts: &Hosts, place: usize| hosts.addresses()[place].preference;
        assert!(preference(&hosts, 0) < preference(&hosts, 1));
        assert_eq!(
            hosts.update(&interfaces(&[("c", "10.0.0.3:1"), ("b", "10.0.0.2:1")])),
            Change::default()
        );
    }

    #[test]
    fn what_replaces_everything_comes_first() {
        let mut hosts = Hosts::new(false);
        let mut last = hosts
            .update(&interfaces(&[("a", "10.0.0.1:1"), ("b", "10.0.0.2:1")]))
            .added;
        for n in 3..200 {
            // Sometimes there is nothing for a while.
            if n % 2 == 0 {
                hosts.update(&[]);
            }
            let (one, two) = (
                alloc::format!("10.0.{n}.1:1"),
                alloc::format!("10.0.{n}.2:1"),
            );
            let added = hosts.update(&interfaces(&[("c", &one), ("d", &two)])).added;
            let lowest = added.iter().map(|new| new.preference).min();
            assert!(lowest > last.iter().map(|old| old.preference).max());
            assert!(added[0].preference > added[1].preference);
            last = added;
        }
    }

    #[test]
    fn there_are_not_too_many() {
        let list: Vec<_> = (0..100u8)
            .map(|n| Interface {
                name: "eth0".into(),
                address: SocketAddr::from(([10, 0, 0, n], 1)),
            })
            .collect();
        let mut hosts = Hosts::new(false);
        assert_eq!(hosts.update(&list).added.len(), MOST);
    }

    use alloc::string::ToString as _;
}
