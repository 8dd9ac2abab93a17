//! Meshes over model links: who is linked to whom, what is relayed, and what happens in between.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::std_instead_of_alloc,
    reason = "what the tests share is as much a test as they are, and has std"
)]

use core::time::Duration;
use std::collections::BTreeSet;

use wattle_core::sim::{NodeIndex, Path, World};
use wattle_core::{Config, Credit, EndReason, Event, LeaveReason, NodeId, Route, Topology};
use wattle_tests::{assemble, ended, messages, settle};

fn config() -> Config {
    Config::default().with_topology(Topology::Mesh)
}

/// A mesh that has been assembled, and whose links have had their time.
fn mesh(world: &mut World, nodes: usize) -> Vec<NodeIndex> {
    let all: Vec<_> = (0..nodes).map(|_| world.add_model(config())).collect();
    assemble(world, &all);
    settle(world);
    all
}

/// To how many others a node has a link of its own.
fn direct(world: &World, node: NodeIndex) -> usize {
    let stats = world.stats(node).unwrap();
    stats.nodes.iter().filter(|node| !node.relayed).count()
}

/// The messages of each sender in the order in which they came, as numbers.
fn numbers(world: &World, node: NodeIndex, from: NodeId) -> Vec<u32> {
    messages(world, node)
        .into_iter()
        .filter(|(sender, _)| *sender == from)
        .map(|(_, payload)| u32::from_le_bytes(payload[..4].try_into().unwrap()))
        .collect()
}

#[test]
fn everybody_is_linked_to_everybody() {
    let mut world = World::new(1);
    let nodes = mesh(&mut world, 8);
    for node in &nodes {
        assert_eq!(direct(&world, *node), 7);
    }
    for node in &nodes[1..] {
        let routes: Vec<_> = world
            .events(*node)
            .filter_map(|event| match event {
                Event::NodeRoute { node, route } => Some((*node, *route)),
                _ => None,
            })
            .collect();
        assert_eq!(routes.len(), 6, "one for every other joiner");
        assert!(routes.iter().all(|(_, route)| *route == Route::Direct));
    }
}

/// Sends numbered messages from everybody, some to one and most to all, while `chaos` goes on; then
/// checks that everybody who is still there heard everything once and in order.
fn talk(world: &mut World, nodes: &[NodeIndex], mut chaos: impl FnMut(&mut World, u32)) {
    let mut next = vec![0u32; nodes.len()];
    for round in 0..200 {
        chaos(world, round);
        for (place, node) in nodes.iter().enumerate() {
            // Some are large enough to be cut into pieces.
            let length = if round % 10 == 0 { 40_000 } else { 40 };
            let mut payload = next[place].to_le_bytes().to_vec();
            payload.resize(length, place as u8);
            if world.broadcast(*node, payload).is_ok() {
                next[place] += 1;
            }
        }
        world.run_for(Duration::from_millis(100));
    }
    world.run_for(Duration::from_secs(30));
    for (place, from) in nodes.iter().enumerate() {
        let id = world.id(*from).unwrap();
        let expected: Vec<u32> = (0..next[place]).collect();
        for to in nodes.iter().filter(|to| *to != from) {
            assert_eq!(numbers(world, *to, id), expected, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn any_pairs_of_joiners_may_be_broken() {
    for seed in 0..20u64 {
        let mut world = World::new(seed);
        let nodes: Vec<_> = (0..8).map(|_| world.add_model(config())).collect();
        let mut broken = BTreeSet::new();
        for a in 1..8 {
            for b in a + 1..8 {
                // From none of the pairs to all of them.
                if (seed * 31 + a * 7 + b * 13) % 20 < seed {
                    world.partition(nodes[a as usize], nodes[b as usize]);
                    broken.insert((a, b));
                }
            }
        }
        assemble(&mut world, &nodes);
        talk(&mut world, &nodes, |_, _| {});
        for (place, node) in (0u64..).zip(&nodes) {
            let apart = broken.iter().filter(|(a, b)| *a == place || *b == place);
            assert_eq!(direct(&world, *node), 7 - apart.count());
        }
    }
}

#[test]
fn messages_are_in_order_and_once_while_paths_come_and_go() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        world.set_default_path(Path {
            jitter: Duration::from_millis(30),
            loss_per_mille: 50,
            ..Path::default()
        });
        let nodes = mesh(&mut world, 4);
        talk(&mut world, &nodes, |world, round| {
            // A different pair of joiners every ten seconds of its own, dark for seven.
            let pairs = [(1, 2), (2, 3), (1, 3)];
            for (nth, (a, b)) in (0..).zip(pairs) {
                match (round + nth * 25) % 100 {
                    10 => world.partition(nodes[a], nodes[b]),
                    80 => world.heal(nodes[a], nodes[b]),
                    _ => {}
                }
            }
        });
        let routes = world
            .events(nodes[2])
            .filter(|event| matches!(event, Event::NodeRoute { .. }))
            .count();
        assert!(routes >= 4, "the way changed: {routes}");
    }
}

#[test]
fn a_broken_pair_is_direct_again_once_it_can_be() {
    let mut world = World::new(3);
    let nodes = mesh(&mut world, 3);
    world.partition(nodes[1], nodes[2]);
    world.run_for(Duration::from_secs(40));
    assert_eq!(direct(&world, nodes[1]), 1);
    let latency = |world: &World| {
        let stats = world.stats(nodes[1]).unwrap();
        stats.nodes[1].latency.unwrap()
    };
    let relayed = latency(&world);
    world.heal(nodes[1], nodes[2]);
    world.run_for(Duration::from_secs(65));
    assert_eq!(direct(&world, nodes[1]), 2);
    let direct = latency(&world);
    assert!(relayed > direct * 3 / 2, "{relayed:?} {direct:?}");
}

#[test]
fn the_host_relays_for_those_alone_who_need_it() {
    let mut world = World::new(4);
    let nodes: Vec<_> = (0..5).map(|_| world.add_model(config())).collect();
    world.partition(nodes[1], nodes[2]);
    assemble(&mut world, &nodes);
    settle(&mut world);
    let relayed = |world: &World| world.stats(nodes[0]).unwrap().counters.messages_relayed;
    let before = relayed(&world);
    for node in &nodes {
        world.broadcast(*node, "to all").unwrap();
        world.broadcast_state(*node, "state").unwrap();
    }
    settle(&mut world);
    assert_eq!(relayed(&world) - before, 2, "from 1 to 2, and from 2 to 1");
    for node in &nodes {
        assert_eq!(world.message_count(*node), 8);
    }
}

#[test]
fn a_mesh_outlives_its_host() {
    for crash in [true, false] {
        let mut world = World::new(5);
        let nodes = mesh(&mut world, 4);
        let host = world.id(nodes[0]).unwrap();
        if crash {
            world.crash(nodes[0]);
        } else {
            world.leave(nodes[0]);
        }
        world.run_for(Duration::from_secs(21));
        for node in &nodes[1..] {
            assert_eq!(ended(&world, *node), None);
            let events: Vec<_> = world.events(*node).collect();
            let reason = if crash {
                LeaveReason::Lost
            } else {
                LeaveReason::Left
            };
            assert!(events.contains(&&Event::HostLost { reason }));
            assert!(events.contains(&&Event::NodeLeft { node: host, reason }));
            assert_eq!(world.nodes(*node).len(), 3);
        }
        talk(&mut world, &nodes[1..], |_, _| {});
        world.leave(nodes[1]);
        settle(&mut world);
        assert_eq!(world.nodes(nodes[2]).len(), 2);
        world.crash(nodes[2]);
        world.run_for(Duration::from_secs(21));
        let end = if crash {
            EndReason::HostLost
        } else {
            EndReason::HostClosed
        };
        assert_eq!(ended(&world, nodes[3]), Some(end), "nobody is left");
    }
}

#[test]
fn a_mesh_of_two_ends_as_its_host_does() {
    for crash in [true, false] {
        let mut world = World::new(9);
        let nodes = mesh(&mut world, 2);
        let end = if crash {
            world.crash(nodes[0]);
            EndReason::HostLost
        } else {
            world.leave(nodes[0]);
            EndReason::HostClosed
        };
        world.run_for(Duration::from_secs(21));
        assert_eq!(ended(&world, nodes[1]), Some(end));
    }
}

#[test]
fn whoever_cannot_be_reached_without_the_host_leaves_with_it() {
    let mut world = World::new(6);
    let nodes: Vec<_> = (0..4).map(|_| world.add_model(config())).collect();
    world.partition(nodes[1], nodes[2]);
    assemble(&mut world, &nodes);
    world.run_for(Duration::from_secs(15));
    world.crash(nodes[0]);
    world.run_for(Duration::from_secs(25));
    assert_eq!(world.nodes(nodes[1]).len(), 2);
    assert_eq!(world.nodes(nodes[2]).len(), 2);
    assert_eq!(world.nodes(nodes[3]).len(), 3);
    world.broadcast(nodes[3], "still here").unwrap();
    settle(&mut world);
    assert_eq!(messages(&world, nodes[1]).len(), 1);
    assert_eq!(messages(&world, nodes[2]).len(), 1);
}

#[test]
fn last_words_arrive_before_the_leaving() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let nodes = mesh(&mut world, 4);
        // The direct way is the slower one.
        world.set_path(
            nodes[1],
            nodes[2],
            Path {
                delay: Duration::from_millis(300),
                ..Path::default()
            },
        );
        for number in 0..50u32 {
            world
                .broadcast(nodes[1], number.to_le_bytes().to_vec())
                .unwrap();
        }
        let id = world.id(nodes[1]).unwrap();
        world.leave(nodes[1]);
        world.run_for(Duration::from_secs(5));
        for node in [nodes[0], nodes[2], nodes[3]] {
            assert_eq!(numbers(&world, node, id), (0..50).collect::<Vec<_>>());
            assert!(!world.nodes(node).contains(&id));
        }
    }
}

/// A goodbye goes directly and to the host, who tells it to all: whichever comes first, a node's leaving is one
/// event, and not a change of the way to it as well.
#[test]
fn a_goodbye_is_told_once_whichever_way_comes_first() {
    let ways = |[direct, to_host, from_host]: [u64; 3]| {
        let mut world = World::new(direct + to_host);
        let nodes = mesh(&mut world, 3);
        for (a, b, delay) in [(1, 2, direct), (1, 0, to_host), (0, 2, from_host)] {
            let delay = Duration::from_millis(delay);
            let jitter = Duration::from_millis(3);
            let path = Path {
                delay,
                jitter,
                loss_per_mille: 50,
                ..Path::default()
            };
            world.set_path(nodes[a], nodes[b], path);
        }
        world.run_for(Duration::from_secs(3));
        let _ = world.take_events(nodes[2]);
        let id = world.id(nodes[1]).unwrap();
        world.leave(nodes[1]);
        world.run_for(Duration::from_secs(5));
        let reason = LeaveReason::Left;
        assert_eq!(
            world.take_events(nodes[2]),
            [Event::NodeLeft { node: id, reason }],
            "{direct}, {to_host} and {from_host} ms"
        );
    };
    for times in 0..10 {
        ways([1, 200 + times, 1]);
        ways([1, 1, 300 + times]);
        ways([300 + times, 1, 1]);
        ways([20 + times, 10, 10]);
    }
}

#[test]
fn nodes_come_and_go_while_others_are_still_connecting() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        world.set_default_path(Path {
            delay: Duration::from_millis(20 + seed),
            jitter: Duration::from_millis(40),
            loss_per_mille: 20,
            ..Path::default()
        });
        let nodes: Vec<_> = (0..8).map(|_| world.add_model(config())).collect();
        let code = world.host(nodes[0]);
        for (place, node) in (0u64..).zip(&nodes[1..]) {
            world.join(*node, &code);
            world.run_for(Duration::from_millis((place * seed) % 150));
        }
        world.crash(nodes[1]);
        world.run_for(Duration::from_millis(seed * 4));
        world.leave(nodes[2]);
        world.leave(nodes[3]);
        world.run_for(Duration::from_secs(3));
        world.join(nodes[2], &code);
        world.restart(nodes[1]);
        world.join(nodes[1], &code);
        world.run_for(Duration::from_secs(30));
        let all: BTreeSet<_> = world.nodes(nodes[0]).into_iter().collect();
        assert_eq!(all.len(), 7);
        for node in nodes.iter().filter(|node| **node != nodes[3]) {
            let seen: BTreeSet<_> = world.nodes(*node).into_iter().collect();
            assert_eq!(seen, all, "seed {seed}");
            assert_eq!(direct(&world, *node), 6, "seed {seed}");
        }
        assert_eq!(world.leftovers().0, 7 * 6);
    }
}

#[test]
fn joiners_that_may_not_be_relayed_hear_each_other_over_links_of_their_own_alone() {
    let mut world = World::new(8);
    let config = config().with_auto_relay(false);
    let nodes: Vec<_> = (0..4).map(|_| world.add_model(config.clone())).collect();
    world.partition(nodes[1], nodes[2]);
    assemble(&mut world, &nodes);
    settle(&mut world);
    let far = world.id(nodes[2]).unwrap();
    let error = world.send_to(nodes[1], far, "hello");
    assert_eq!(error, Err(wattle_core::SendError::NotRelayed));
    world.broadcast(nodes[1], "hello").unwrap();
    settle(&mut world);
    assert_eq!(world.message_count(nodes[0]), 1);
    assert_eq!(world.message_count(nodes[2]), 0);
    assert_eq!(world.message_count(nodes[3]), 1);
}

#[test]
fn a_node_that_takes_nothing_leaves_by_itself_and_the_others_go_on() {
    let mut world = World::new(9);
    let config = config().with_credit(Credit::OnRelease);
    let nodes: Vec<_> = (0..4).map(|_| world.add_model(config.clone())).collect();
    assemble(&mut world, &nodes);
    settle(&mut world);
    world.pause_application(nodes[2], true);
    let slow = world.id(nodes[2]).unwrap();
    let mut sent = 0;
    for _ in 0..150 {
        if world.broadcast(nodes[1], vec![0; 50_000]).is_ok() {
            sent += 1;
        }
        world.run_for(Duration::from_millis(100));
    }
    assert_eq!(ended(&world, nodes[2]), Some(EndReason::TooSlow));
    let left = Event::NodeLeft {
        node: slow,
        reason: LeaveReason::TooSlow,
    };
    for node in [nodes[0], nodes[1], nodes[3]] {
        assert!(world.events(node).any(|event| *event == left));
    }
    assert!((60..150).contains(&sent), "it waited five seconds: {sent}");
    settle(&mut world);
    assert_eq!(world.message_count(nodes[3]), sent);
}

#[test]
fn who_is_sent_away_has_left_and_is_nothing_else_before() {
    // The others hear of it from the host first, from the node first, or from both at about the same time;
    // and the node from them before the host's word comes.
    for (home, slow, fast) in [
        (5, 0, 0),
        (5, 5, 400),
        (5, 400, 5),
        (5, 60, 60),
        (400, 5, 5),
    ] {
        let mut world = World::new(9);
        let nodes = mesh(&mut world, 4);
        let delay = |millis| Path {
            delay: Duration::from_millis(millis),
            ..Path::default()
        };
        world.set_path(nodes[0], nodes[1], delay(home));
        for other in &nodes[2..] {
            world.set_path(nodes[0], *other, delay(slow));
            world.set_path(nodes[1], *other, delay(fast));
        }
        for node in &nodes {
            world.forget_events(*node);
        }
        let gone = world.id(nodes[1]).unwrap();
        world.kick(nodes[0], gone).unwrap();
        world.run_for(Duration::from_secs(5));
        let end = Event::Ended {
            reason: EndReason::Kicked,
        };
        let heard: Vec<&Event> = world.events(nodes[1]).collect();
        assert_eq!(heard, [&end], "{home}, {slow} and {fast} ms");
        for other in &nodes[2..] {
            let heard: Vec<&Event> = world.events(*other).collect();
            let left = Event::NodeLeft {
                node: gone,
                reason: LeaveReason::Kicked,
            };
            assert_eq!(heard, [&left], "{home}, {slow} and {fast} ms");
        }
    }
}
