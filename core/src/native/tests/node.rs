//! The machine around the links, as far as it can be seen without a network that works.

use super::*;
use crate::ice::IcePolicy;
use crate::io::Channel;
use crate::io::LinkCommand;
use crate::native::io::Interface;
use core::net::IpAddr;

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "an instant can only be had from the clock"
)]
fn node_with(policy: IcePolicy) -> Node {
    let config = Config::default()
        .with_ice_servers(Vec::new())
        .with_ice_policy(policy);
    Node::new(config, [7; 32], Timestamp::ZERO, Instant::now())
}

fn node() -> Node {
    node_with(IcePolicy::All)
}

fn interfaces(addresses: &[&str]) -> Vec<Interface> {
    addresses
        .iter()
        .map(|address| Interface {
            name: "eth0".into(),
            address: address.parse().unwrap(),
        })
        .collect()
}

#[test]
fn a_node_can_move_to_another_thread() {
    fn is_send<T: Send + Sync>() {}
    is_send::<Node>();
}

#[test]
fn time_does_not_go_back() {
    let mut node = node();
    node.handle_timeout(Timestamp::from_millis(100));
    node.command(
        Timestamp::from_millis(100),
        LinkId(1),
        LinkCommand::Open { offerer: true },
    );
    node.command(
        Timestamp::from_millis(100),
        LinkId(1),
        LinkCommand::CreateOffer,
    );
    node.handle_timeout(Timestamp::from_millis(5));
    assert!(
        node.poll_timeout()
            .is_none_or(|due| due > Timestamp::from_millis(100))
    );
}

#[test]
fn datagrams_from_nowhere_and_to_nowhere_are_counted() {
    let mut node = node();
    let now = Timestamp::ZERO;
    let payloads: [&[u8]; 4] = [&[], &[0; 20], &[22; 40], &[128; 12]];
    for local in ["192.0.2.1:1", "192.0.2.2:2"] {
        for payload in payloads {
            node.handle_input(
                now,
                Input::Datagram {
                    local: local.parse().unwrap(),
                    remote: "203.0.113.1:5".parse().unwrap(),
                    payload,
                },
            );
        }
        node.handle_input(now, Input::Interfaces(&interfaces(&["192.0.2.2:2"])));
    }
    assert_eq!(node.stats(now).counters.datagrams_dropped, 8);
}

/// Two nodes whose links are commanded by hand: what they would send goes to the other at once.
struct Pair {
    nodes: [Node; 2],
    ids: [LinkId; 2],
    now: Timestamp,
    updates: [Vec<Update>; 2],
    /// How many datagrams each has sent.
    sent: [usize; 2],
    /// Candidates have names, for which the resolver has these addresses.
    names: Option<Vec<IpAddr>>,
}

const NAME: &str = "d0b3ae24-5ba4-4b3c-a5ac-31a0a5b4d1f0.local";

impl Pair {
    fn new() -> Self {
        Self::of([node(), node()])
    }

    fn of(nodes: [Node; 2]) -> Self {
        let mut pair = Self {
            nodes,
            sent: [0, 0],
            ids: [LinkId(3), LinkId(8)],
            now: Timestamp::from_millis(1),
            updates: [Vec::new(), Vec::new()],
            names: None,
        };
        for (n, address) in ["[2001:db8::1%4]:1", "[2001:db8::2%9]:2"]
            .iter()
            .enumerate()
        {
            pair.nodes[n].handle_input(pair.now, Input::Interfaces(&interfaces(&[address])));
            pair.command(n, LinkCommand::Open { offerer: n == 0 });
        }
        pair.command(0, LinkCommand::CreateOffer);
        pair
    }

    fn command(&mut self, which: usize, command: LinkCommand) {
        self.nodes[which].command(self.now, self.ids[which], command);
    }

    /// Everything that is under way, for so many milliseconds.
    fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            loop {
                let mut quiet = true;
                for n in 0..2 {
                    while let Some((_, update)) = self.nodes[n].updates.pop_front() {
                        quiet = false;
                        let command = match update.clone() {
                            Update::LocalDescription(sdp) if n == 0 => {
                                Some(LinkCommand::AcceptOffer { sdp, lead: true })
                            }
                            Update::LocalDescription(sdp) => {
                                Some(LinkCommand::AcceptAnswer { sdp, led: true })
                            }
                            Update::LocalCandidate(text) if self.names.is_some() => {
                                let address = text.split(' ').nth(4).unwrap();
                                let named = text.replace(address, NAME);
                                Some(LinkCommand::AddCandidate(named))
                            }
                            Update::LocalCandidate(text) => Some(LinkCommand::AddCandidate(text)),
                            _ => None,
                        };
                        self.updates[n].push(update);
                        if let Some(command) = command {
                            self.command(1 - n, command);
                        }
                    }
                    while let Some(output) = self.nodes[n].outputs.pop_front() {
                        quiet = false;
                        let transmit = match output {
                            Output::Transmit(transmit) => transmit,
                            Output::Resolve { name } if n == 0 => {
                                let addresses = self.names.clone().unwrap();
                                let now = self.now;
                                let addresses = &addresses;
                                let name = &name;
                                let answer = Input::Resolved { name, addresses };
                                self.nodes[0].handle_input(now, answer);
                                continue;
                            }
                            // The other one's resolver does not work.
                            Output::Resolve { .. } => continue,
                            other => panic!("{other:?}"),
                        };
                        self.sent[n] += 1;
                        // As the driver gave them, and as a socket would tell them.
                        let local = transmit.remote;
                        let remote = transmit.local;
                        let now = self.now;
                        self.nodes[1 - n].datagram(now, local, remote, &transmit.payload);
                    }
                }
                if quiet {
                    break;
                }
            }
            self.now = self.now.plus(Duration::from_millis(1));
            for node in &mut self.nodes {
                let due: Vec<_> = node.links.keys().copied().collect();
                for id in due {
                    let now = self.now;
                    node.with_link(id, |link, out| link.handle_timeout(now, out));
                }
            }
        }
    }
}

#[test]
fn links_of_two_nodes_connect_through_the_demultiplexer() {
    let mut pair = Pair::new();
    pair.run(500);
    for n in 0..2 {
        let opened = Update::ChannelOpened(Channel::Data);
        assert!(pair.updates[n].contains(&opened), "{:?}", pair.updates[n]);
        assert_eq!(pair.nodes[n].datagrams_dropped, 0);
    }
    // Sockets are named as the driver named them, scope and all.
    let now = pair.now;
    pair.nodes[0].command(now, LinkId(3), LinkCommand::Probe);
    let Some(Output::Transmit(transmit)) = pair.nodes[0].outputs.front() else {
        panic!("no probe");
    };
    assert_eq!(transmit.local, "[2001:db8::1%4]:1".parse().unwrap());
    pair.run(10);

    pair.command(0, LinkCommand::Close);
    assert!(pair.nodes[0].links.is_empty() && pair.nodes[0].demux.is_empty());
    pair.run(10);
    assert_eq!(pair.updates[1].last(), Some(&Update::Closed));
    assert!(pair.nodes[1].links.is_empty() && pair.nodes[1].demux.is_empty());
    // Late commands name nothing.
    for n in 0..2 {
        pair.command(n, LinkCommand::Probe);
        pair.command(n, LinkCommand::Close);
    }
    pair.run(10);
    assert_eq!(pair.nodes[0].poll_timeout(), None);
    assert_eq!(pair.nodes[1].poll_timeout(), None);
}

/// Who knows name and password of a link, and guesses where its node is, must not learn whether that
/// is so.
#[test]
fn with_relay_only_who_guesses_our_address_gets_no_answer() {
    let mut pair = Pair::of([node(), node_with(IcePolicy::RelayOnly)]);
    pair.run(100);
    let told = |update: &Update| matches!(update, Update::LocalCandidate(_));
    assert!(pair.updates[0].iter().any(told) && !pair.updates[1].iter().any(told));
    let guess = "candidate:1 1 udp 2130706431 2001:db8::2 2 typ host";
    pair.command(0, LinkCommand::AddCandidate(guess.into()));
    pair.run(500);
    pair.command(1, LinkCommand::Probe);
    pair.run(500);
    assert!(pair.sent[0] > 3 && pair.nodes[1].datagrams_dropped > 3);
    assert_eq!(pair.sent[1], 0);
    // And nobody in our LAN is asked who that is.
    let named = guess.replace("2001:db8::2", NAME);
    let dropped = pair.nodes[1].candidates_dropped;
    pair.command(1, LinkCommand::AddCandidate(named));
    assert!(pair.nodes[1].outputs.is_empty());
    assert_eq!(pair.nodes[1].candidates_dropped, dropped + 1);
}

#[test]
fn a_node_that_joins_again_from_the_same_socket_is_not_mistaken_for_its_old_link() {
    let mut pair = Pair::new();
    pair.run(500);
    // The joiner forgets its link without a word, and joins again. The host still has the old one.
    pair.nodes[0].forget(LinkId(3));
    pair.ids = [LinkId(4), LinkId(9)];
    pair.updates = [Vec::new(), Vec::new()];
    for n in 0..2 {
        pair.command(n, LinkCommand::Open { offerer: n == 0 });
    }
    pair.command(0, LinkCommand::CreateOffer);
    pair.run(500);
    for n in 0..2 {
        assert!(pair.updates[n].contains(&Update::ChannelOpened(Channel::Data)));
    }
    assert_eq!(pair.nodes[1].links.len(), 2);
}

#[test]
fn a_candidate_with_a_name_is_of_use_once_it_is_looked_up() {
    for (addresses, connects) in [
        (&["192.0.2.9", "2001:db8::2"][..], true),
        (&["192.0.2.9"], false),
        (&[], false),
    ] {
        let mut pair = Pair::new();
        pair.names = Some(addresses.iter().map(|ip| ip.parse().unwrap()).collect());
        pair.run(500);
        let opened = Update::ChannelOpened(Channel::Data);
        for updates in &pair.updates {
            assert_eq!(updates.contains(&opened), connects, "{addresses:?}");
        }
    }
}

#[test]
fn other_names_are_not_looked_up() {
    let mut pair = Pair::new();
    pair.run(20);
    let candidate = alloc::format!("candidate:1 1 udp 2122 {NAME} 5000 typ host");
    for name in ["printer.local", "www.example", "localhost", "local"] {
        pair.command(0, LinkCommand::AddCandidate(candidate.replace(NAME, name)));
    }
    let asked = |output: &Output| matches!(output, Output::Resolve { .. });
    assert!(!pair.nodes[0].outputs.iter().any(asked));
    assert_eq!(pair.nodes[0].candidates_dropped, 4);
    pair.command(0, LinkCommand::AddCandidate(candidate));
    assert!(pair.nodes[0].outputs.iter().any(asked));
}
