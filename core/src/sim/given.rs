//! Which addresses a native node was given: to no other it may send.

use alloc::collections::BTreeSet;
use alloc::format;
use core::net::{IpAddr, SocketAddr};

use super::laws::{Held, Law, demand};
use super::world::World;
use crate::config::Config;
use crate::event::Event;
use crate::ice::{IceHost, IceServer};
use crate::id::NodeId;
use crate::native::{Input, StreamUpdate, turn};
use crate::signaling::{ServerInput, SignalingUpdate};

/// What one life of a node was told.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// From where datagrams came, and what signaling said.
    addresses: BTreeSet<SocketAddr>,
    /// The machines of STUN and TURN servers.
    servers: BTreeSet<IpAddr>,
    /// Who it was told is in its network: in a mesh these tell their addresses through the host,
    /// encrypted, so their every address counts as told.
    members: BTreeSet<NodeId>,
}

impl Given {
    /// What its settings say.
    pub(super) fn config(&mut self, config: &Config) {
        let servers = config.ice_servers.iter().flat_map(IceServer::urls);
        for url in servers {
            if let IceHost::Address(address) = url.host() {
                self.servers.insert(*address);
            }
        }
    }

    /// Takes in what goes into the node.
    pub(super) fn input(&mut self, input: &Input<'_>) {
        match input {
            Input::Datagram {
                remote, payload, ..
            } => {
                self.addresses.insert(*remote);
                // What came through a TURN server came from somewhere, too.
                if self.servers.contains(&remote.ip()) {
                    self.addresses.extend(turn::peer_of_data(payload));
                }
            }
            Input::Signaling(SignalingUpdate::Frame(_, text))
            | Input::Server(ServerInput::Frame { text, .. }) => {
                self.addresses.extend(candidates(text));
            }
            Input::Signaling(_)
            | Input::Server(_)
            | Input::Interfaces(_)
            | Input::NetworkChanged => {}
            Input::Stream { update, .. } => {
                if let StreamUpdate::Bytes(payload) = update {
                    self.addresses.extend(turn::peer_of_data(payload));
                }
            }
            Input::Resolved { addresses, .. } => self.servers.extend(*addresses),
        }
    }

    /// Takes in what its application is told.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "these two events alone name nodes that were not there before"
    )]
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::NodeJoined { node } => {
                self.members.insert(*node);
            }
            Event::Joined { nodes, .. } => self.members.extend(nodes),
            _ => {}
        }
    }
}

impl World {
    /// A node is told its own addresses, and may tell them to others.
    pub(super) fn note_own(&mut self, index: usize, input: &Input<'_>) {
        if let Input::Interfaces(interfaces) = input
            && let Some(machine) = self.machine(index)
        {
            let id = machine.id();
            let addresses = interfaces.iter().map(|interface| interface.address);
            self.own_addresses.entry(id).or_default().extend(addresses);
        }
    }

    /// A server will tell a node that it sees it at this address, and the node may tell others.
    pub(super) fn note_seen(&mut self, index: usize, address: SocketAddr) {
        if let Some(machine) = self.machine(index) {
            let id = machine.id();
            self.own_addresses.entry(id).or_default().insert(address);
        }
    }

    /// The address law, for a datagram that a node sends.
    pub(super) fn check_address(&mut self, index: usize, to: SocketAddr) {
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        if node.given.addresses.contains(&to) || node.given.servers.contains(&to.ip()) {
            return;
        }
        let of_member = node.given.members.iter().any(|member| {
            let own = self.own_addresses.get(member);
            own.is_some_and(|own| own.contains(&to))
        });
        if of_member {
            node.given.addresses.insert(to);
        }
        self.watch.judge(self.now, index, may_send(of_member, to));
    }
}

fn may_send(given: bool, to: SocketAddr) -> Held {
    demand(given, Law::Address, || {
        format!("a datagram to {to}, which nobody gave to it")
    })
}

/// The addresses of all candidates in a text, as RFC 8839 section 5.1 writes them: the fifth and
/// the sixth word of each.
fn candidates(text: &str) -> impl Iterator<Item = SocketAddr> {
    text.split("candidate:").skip(1).filter_map(|candidate| {
        let mut words = candidate.split_ascii_whitespace().skip(4);
        let ip: IpAddr = words.next()?.parse().ok()?;
        Some(SocketAddr::new(ip, words.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::native::Transmit;
    use crate::sim::{NodeIndex, Place};
    use core::time::Duration;

    #[test]
    fn candidates_are_read_from_frames() {
        let text = r#"{"type":"OFFER","payload":{"sdp":"a=candidate:1 1 udp 5 10.0.0.1 5000 typ host\r\na=candidate:2 1 udp 4 2001:db8::1 7 typ host\r\n","candidate":"candidate:nonsense"}}"#;
        let read: Vec<_> = candidates(text).collect();
        let expected = ["10.0.0.1:5000", "[2001:db8::1]:7"];
        assert_eq!(read, expected.map(|address| address.parse().unwrap()));
    }

    fn pair() -> (World, [NodeIndex; 2]) {
        let mut world = World::new(1);
        world.watch.collect();
        let nodes = [(); 2].map(|()| world.add_native(Config::default()));
        (world, nodes)
    }

    /// What comes of a datagram of a node to this address.
    fn send(world: &mut World, NodeIndex(from): NodeIndex, to: SocketAddr) -> Option<Law> {
        let local = world.places.internet.addresses(from)[0];
        let transmit = Transmit {
            local,
            remote: to,
            payload: [9; 4].as_slice().to_vec().into(),
        };
        world.transmit(from, transmit);
        world.watch.first().map(|violation| violation.law)
    }

    fn address(world: &World, NodeIndex(node): NodeIndex) -> SocketAddr {
        world.places.internet.addresses(node)[0]
    }

    #[test]
    fn an_address_that_nobody_gave_is_noticed() {
        let (mut world, [a, b]) = pair();
        let to = address(&world, b);
        assert_eq!(send(&mut world, a, to), Some(Law::Address));
    }

    #[test]
    fn who_sent_something_may_be_answered_until_a_restart() {
        let (mut world, [a, b]) = pair();
        let (to_a, to_b) = (address(&world, a), address(&world, b));
        let input = Input::Datagram {
            local: to_a,
            remote: to_b,
            payload: &[9],
        };
        world.input_native(a.0, input);
        assert_eq!(send(&mut world, a, to_b), None);
        world.crash(a);
        world.restart(a);
        assert_eq!(send(&mut world, a, to_b), Some(Law::Address));
    }

    #[test]
    fn members_of_ones_network_may_be_sent_to_wherever_they_are() {
        let (mut world, [a, b]) = pair();
        let code = world.host(a);
        world.join(b, &code);
        let joined = |world: &World| world.nodes(b).len() == 2;
        assert!(world.run_until(Duration::from_secs(10), joined));
        world.roam(b, Place::internet());
        let to = address(&world, b);
        assert_eq!(send(&mut world, a, to), None);
        let stranger = "10.9.9.9:5000".parse().unwrap();
        assert_eq!(send(&mut world, a, stranger), Some(Law::Address));
    }
}
