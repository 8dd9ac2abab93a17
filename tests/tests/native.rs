//! Full native nodes in virtual time: real ICE, DTLS and SCTP over virtual datagrams.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "what the tests share is as much a test as they are"
)]

use core::time::Duration;

use wattle_core::sim::{NodeIndex, Path, World};
use wattle_core::{
    Config, EndReason, Event, LeaveReason, NetworkCode, NodeId, Route, Timestamp, Topology,
};
use wattle_tests::{assemble, ended, messages, settle};

const ONE_WAY: Duration = Duration::from_millis(50);

/// A host and a joiner with 50 ms between them, about to join.
fn two(seed: u64) -> (World, NodeIndex, NodeIndex, NetworkCode) {
    let mut world = World::new(seed);
    world.set_default_path(Path {
        delay: ONE_WAY,
        ..Path::default()
    });
    world.set_signaling_delay(ONE_WAY);
    let host = world.add_native(Config::default());
    let joiner = world.add_native(Config::default());
    let code = world.host(host);
    (world, host, joiner, code)
}

/// Each flight of the handshake waits from when it went out, not from when DTLS was called last.
#[test]
fn nothing_is_sent_twice_on_a_path_that_loses_nothing() {
    let datagrams = |seed, delay| {
        let (mut world, host, joiner, code) = two(seed);
        world.set_default_path(Path {
            delay,
            ..Path::default()
        });
        world.join(joiner, &code);
        let is_in = |world: &World| world.nodes(joiner).len() == 2;
        assert!(world.run_until(Duration::from_secs(3), is_in));
        [host, joiner].map(|node| world.datagram_count(node))
    };
    for seed in 0..20 {
        let quick = datagrams(seed, Duration::from_millis(10));
        assert_eq!(datagrams(seed, ONE_WAY), quick, "seed {seed}");
    }
}

/// How many one-way trips lie between two moments.
fn trips(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from).as_secs_f64() / ONE_WAY.as_secs_f64()
}

#[test]
fn the_welcome_and_a_message_behind_it_come_six_trips_after_the_offer() {
    for seed in 0..5 {
        let (mut world, host, joiner, code) = two(seed);
        world.join(joiner, &code);
        // The WebSocket takes half a trip to the server and half a trip back; the offer leaves then.
        let offer = world.now().plus(ONE_WAY);
        let is_in = |world: &World| {
            world
                .events(host)
                .any(|event| matches!(event, Event::NodeJoined { .. }))
        };
        assert!(world.run_until(Duration::from_secs(3), is_in));
        let admitted = world.now();
        world.broadcast(host, "right behind it").unwrap();
        settle(&mut world);
        let at = |wanted: fn(&Event) -> bool| {
            world
                .timed_events(joiner)
                .find(|(_, event)| wanted(event))
                .unwrap()
                .0
        };
        let joined = at(|event| matches!(event, Event::Joined { .. }));
        let message = at(|event| matches!(event, Event::Message { .. }));
        println!(
            "one-way trips after the offer left: host admits {:.2}, joined {:.2}, message {:.2}",
            trips(offer, admitted),
            trips(offer, joined),
            trips(offer, message)
        );
        assert_eq!(joined.since(offer), ONE_WAY * 6);
        assert_eq!(message, joined);
    }
}

#[test]
fn eight_nodes_hear_each_other() {
    let mut world = World::new(1);
    let nodes: Vec<_> = (0..8)
        .map(|_| world.add_native(Config::default()))
        .collect();
    assemble(&mut world, &nodes);
    for node in &nodes {
        world.broadcast(*node, vec![7; 40_000]).unwrap();
        world.broadcast_state(*node, "here").unwrap();
    }
    world.run_for(Duration::from_secs(3));
    for node in &nodes {
        assert_eq!(messages(&world, *node).len(), 7);
        assert_eq!(world.message_count(*node), 14);
    }
    world.leave(nodes[0]);
    world.run_for(Duration::from_secs(3));
    for node in &nodes[1..] {
        assert_eq!(ended(&world, *node), Some(EndReason::HostClosed));
    }
}

#[test]
fn no_false_loss_in_an_hour_at_thirty_percent() {
    for busy in [false, true] {
        let mut world = World::new(2);
        let nodes = [
            world.add_native(Config::default()),
            world.add_native(Config::default()),
        ];
        assemble(&mut world, &nodes);
        world.set_default_path(Path {
            delay: ONE_WAY,
            loss_per_mille: 300,
            ..Path::default()
        });
        let mut sent = 0u32;
        for _ in 0..3600 {
            world.run_for(Duration::from_secs(1));
            for node in nodes {
                if busy && world.broadcast(node, vec![0; 10_000]).is_ok() {
                    sent += 1;
                }
                assert_eq!(ended(&world, node), None, "at {}", world.now());
                let left = world
                    .events(node)
                    .find(|event| matches!(event, Event::NodeLeft { .. }));
                assert_eq!(left, None, "at {}, busy: {busy}", world.now());
                world.forget_events(node);
            }
        }
        if busy {
            println!("{sent} of 7200 messages of 10 kB could be sent at 30 % loss");
        }
    }
}

#[test]
fn a_thousand_full_joins_leave_no_link_behind() {
    let mut world = World::new(3);
    let host = world.add_native(Config::default());
    let guest = world.add_native(Config::default());
    let code = world.host(host);
    for _ in 0..1000 {
        world.join(guest, &code);
        assert!(
            world.run_until(Duration::from_secs(2), |world| world.nodes(guest).len()
                == 2)
        );
        world.leave(guest);
        let gone = |world: &World| {
            world.nodes(host).len() == 1 && ended(world, guest) == Some(EndReason::Left)
        };
        assert!(world.run_until(Duration::from_secs(3), gone));
        world.forget_events(guest);
        world.forget_events(host);
    }
}

#[test]
fn full_stack_worlds_tell_the_same_events_at_the_same_times() {
    let run = |seed| {
        let mut world = World::new(seed);
        let nodes: Vec<_> = (0..3)
            .map(|_| world.add_native(Config::default()))
            .collect();
        world.set_default_path(Path {
            loss_per_mille: 200,
            ..Path::default()
        });
        assemble(&mut world, &nodes);
        for node in &nodes {
            world.broadcast(*node, vec![1; 30_000]).unwrap();
        }
        world.run_for(Duration::from_secs(10));
        let events: Vec<_> = nodes
            .iter()
            .flat_map(|node| world.timed_events(*node))
            .map(|(at, event)| format!("{at} {event:.0?}"))
            .map(|line| line.chars().take(120).collect::<String>())
            .collect();
        events
    };
    for seed in 0..10 {
        let (one, two) = (run(seed), run(seed));
        for (one, two) in one.iter().zip(&two) {
            assert_eq!(one, two, "the first difference of seed {seed}");
        }
        assert_eq!(one.len(), two.len(), "seed {seed}");
    }
}

// ---------------------------------------------------------------------------------------- meshes

fn native(world: &mut World, topology: Topology, nodes: usize) -> Vec<NodeIndex> {
    let config = Config::default().with_topology(topology);
    (0..nodes)
        .map(|_| world.add_native(config.clone()))
        .collect()
}

/// To whom a node has a link of its own.
fn direct(world: &World, node: NodeIndex) -> Vec<NodeId> {
    let stats = world.stats(node).unwrap();
    let nodes = stats.nodes.iter().filter(|node| !node.relayed);
    nodes.map(|node| node.node).collect()
}

fn is_complete(world: &World, nodes: &[NodeIndex]) -> bool {
    let others = nodes.len() - 1;
    nodes
        .iter()
        .all(|node| direct(world, *node).len() == others)
}

/// Everybody sends 40 kB to all and to one; each is to come once.
fn everybody_hears_everybody(world: &mut World, nodes: &[NodeIndex]) {
    for node in nodes {
        world.forget_events(*node);
    }
    for (place, node) in nodes.iter().enumerate() {
        world.broadcast(*node, vec![place as u8; 40_000]).unwrap();
        let next = world.id(nodes[(place + 1) % nodes.len()]).unwrap();
        world.send_to(*node, next, vec![100; 40_000]).unwrap();
    }
    world.run_for(Duration::from_secs(5));
    for (place, node) in nodes.iter().enumerate() {
        let mut expected: Vec<_> = nodes
            .iter()
            .enumerate()
            .filter(|(_, from)| *from != node)
            .map(|(number, from)| (world.id(*from).unwrap(), vec![number as u8; 40_000]))
            .collect();
        let previous = nodes[(place + nodes.len() - 1) % nodes.len()];
        expected.push((world.id(previous).unwrap(), vec![100; 40_000]));
        let mut got = messages(world, *node);
        expected.sort();
        got.sort();
        assert!(got == expected, "node {place}");
    }
}

#[test]
fn a_mesh_of_eight_is_complete_and_lives_on_without_its_host() {
    let mut world = World::new(5);
    let nodes = native(&mut world, Topology::Mesh, 8);
    assemble(&mut world, &nodes);
    let begun = world.now();
    assert!(
        world.run_until(Duration::from_secs(5), |world| is_complete(world, &nodes)),
        "every pair has a link of its own"
    );
    println!(
        "28 links of eight joiners at once: {:?} after everybody knew everybody",
        world.now().since(begun)
    );
    everybody_hears_everybody(&mut world, &nodes);
    let relayed = world.stats(nodes[0]).unwrap().counters.messages_relayed;
    assert_eq!(relayed, 0, "nothing went through the host");

    let host = world.id(nodes[0]).unwrap();
    world.crash(nodes[0]);
    let rest = &nodes[1..];
    world.run_for(Duration::from_secs(21));
    for node in rest {
        let events: Vec<_> = world.events(*node).collect();
        let reason = LeaveReason::Lost;
        assert!(events.contains(&&Event::NodeLeft { node: host, reason }));
        assert!(events.contains(&&Event::HostLost { reason }));
        assert_eq!(direct(&world, *node).len(), 6);
    }
    everybody_hears_everybody(&mut world, rest);
    world.leave(nodes[7]);
    world.crash(nodes[6]);
    world.run_for(Duration::from_secs(21));
    for node in &nodes[1..6] {
        assert_eq!(world.nodes(*node).len(), 5);
    }
}

#[test]
fn a_broken_pair_of_a_native_mesh_is_relayed_and_comes_back() {
    let mut world = World::new(6);
    let nodes = native(&mut world, Topology::Mesh, 4);
    let (one, two) = (nodes[1], nodes[2]);
    // They never could connect.
    world.partition(one, two);
    assemble(&mut world, &nodes);
    world.run_for(Duration::from_secs(12));
    let (near, far) = (world.id(one).unwrap(), world.id(two).unwrap());
    let is_direct =
        |world: &World| direct(world, one).contains(&far) && direct(world, two).contains(&near);
    assert!(!is_direct(&world));
    everybody_hears_everybody(&mut world, &nodes);
    world.heal(one, two);
    let healed = world.now();
    assert!(world.run_until(Duration::from_secs(70), is_direct));
    println!(
        "a pair that never could connect is direct {:?} after it can",
        world.now().since(healed)
    );
    everybody_hears_everybody(&mut world, &nodes);

    // Their link breaks in the middle of a transfer.
    world.forget_events(two);
    for number in 0..10u8 {
        world.send_to(one, far, vec![number; 40_000]).unwrap();
        if number == 4 {
            world.partition(one, two);
        }
    }
    world.run_for(Duration::from_secs(10));
    assert!(!is_direct(&world));
    let numbers = |world: &World| -> Vec<u8> {
        let all = messages(world, two).into_iter();
        all.map(|(_, payload)| payload[0]).collect()
    };
    assert_eq!(numbers(&world), (0..10).collect::<Vec<_>>());
    world.heal(one, two);
    let healed = world.now();
    assert!(world.run_until(Duration::from_secs(70), is_direct));
    println!(
        "a pair that lost its link is direct {:?} after it can",
        world.now().since(healed)
    );
    let routes = world.events(two).filter_map(|event| match event {
        Event::NodeRoute { route, .. } => Some(*route),
        _ => None,
    });
    assert_eq!(routes.collect::<Vec<_>>(), [Route::Relayed, Route::Direct]);
    everybody_hears_everybody(&mut world, &nodes);
}

#[test]
fn a_direct_link_of_two_joiners_is_there_so_many_trips_after_the_later_one_joined() {
    for seed in 0..5 {
        let mut world = World::new(seed);
        world.set_default_path(Path {
            delay: ONE_WAY,
            ..Path::default()
        });
        world.set_signaling_delay(ONE_WAY);
        let nodes = native(&mut world, Topology::Mesh, 3);
        let (early, late) = (nodes[1], nodes[2]);
        let code = assemble(&mut world, &nodes[..2]);
        settle(&mut world);
        world.join(late, &code);
        settle(&mut world);
        let at = |node: NodeIndex, wanted: fn(&Event) -> bool| {
            let mut events = world.timed_events(node);
            events.find(|(_, event)| wanted(event)).unwrap().0
        };
        let is_direct = |event: &Event| {
            matches!(
                event,
                Event::NodeRoute {
                    route: Route::Direct,
                    ..
                }
            )
        };
        let joined = at(late, |event| matches!(event, Event::Joined { .. }));
        let (here, there) = (at(late, is_direct), at(early, is_direct));
        println!(
            "one-way trips after JOINED of the later joiner: direct there {:.2}, at the other {:.2}",
            trips(joined, here),
            trips(joined, there)
        );
        // As from the offer to a host's welcome, and one more for each time that it is the host who
        // passes the negotiation on.
        assert_eq!(here.since(joined), ONE_WAY * 8);
        assert_eq!(there.since(joined), ONE_WAY * 7);
    }
}

#[test]
fn what_the_links_of_a_mesh_cost() {
    // Datagrams to assemble eight nodes, those of a quiet minute, and those of a minute in which
    // everybody tells everybody its state 20 times a second: of all, and of the host alone.
    let cost = |topology| {
        let mut world = World::new(7);
        let nodes = native(&mut world, topology, 8);
        assemble(&mut world, &nodes);
        world.run_for(Duration::from_secs(5));
        let sent = |world: &World, nodes: &[NodeIndex]| -> u64 {
            nodes.iter().map(|node| world.datagram_count(*node)).sum()
        };
        let setup = sent(&world, &nodes);
        world.run_for(Duration::from_secs(60));
        let quiet = sent(&world, &nodes) - setup;
        let host = sent(&world, &nodes[..1]);
        for _ in 0..20 * 60 {
            for node in &nodes {
                world.broadcast_state(*node, vec![0; 100]).unwrap();
            }
            world.run_for(Duration::from_millis(50));
        }
        let busy = sent(&world, &nodes) - quiet - setup;
        let host = sent(&world, &nodes[..1]) - host;
        println!(
            "{topology:?}: {setup} datagrams to assemble eight, {quiet} in a quiet minute, \
             {busy} in a busy one, {host} of them the host's"
        );
        (setup, quiet, busy, host)
    };
    let (star, mesh) = (cost(Topology::Star), cost(Topology::Mesh));
    // 28 links instead of 7.
    assert!(mesh.0 < star.0 * 5 && mesh.1 < star.1 * 4);
    // The host of a star sends one datagram for all that others say to one; here everybody sends its
    // own, and the host no more than the others.
    assert!(mesh.2 < star.2 * 5 / 4);
    assert!(mesh.3 < mesh.2 / 7);
}
