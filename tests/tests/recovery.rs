//! Nodes that are lost and come back: their applications notice a pause, and nothing else.

use core::time::Duration;

use wattle_core::sim::{NodeIndex, Place, World};
use wattle_core::{Config, Event, LeaveReason, NodeId, Topology};
use wattle_tests::{assemble, ended, messages, settle};

const STEP: Duration = Duration::from_millis(100);

/// A number as a message.
fn number(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// What one node has of another, as numbers.
fn heard(world: &World, node: NodeIndex, from: NodeId) -> Vec<u32> {
    messages(world, node)
        .into_iter()
        .filter(|(origin, _)| *origin == from)
        .map(|(_, payload)| u32::from_be_bytes(payload.try_into().expect("a number")))
        .collect()
}

fn count(world: &World, node: NodeIndex, wanted: impl Fn(&Event) -> bool) -> usize {
    world.count_events(node, |event| wanted(event))
}

/// Everybody sends numbered messages to everybody for this long, one each 100 ms; then everything
/// must arrive once and in order, and nobody may have left.
fn talk(world: &mut World, nodes: &[NodeIndex], first: u32, time: Duration) -> u32 {
    let steps = u32::try_from(time.as_millis() / STEP.as_millis()).expect("not for days");
    for step in 0..steps {
        for node in nodes {
            let sent = world.broadcast(*node, number(first + step));
            assert_eq!(sent, Ok(()), "{node:?} {:?}", ended(world, *node));
        }
        world.run_for(STEP);
    }
    first + steps
}

fn all_arrived(world: &World, nodes: &[NodeIndex], last: u32) {
    let expected: Vec<u32> = (0..last).collect();
    for node in nodes {
        for other in nodes.iter().filter(|other| *other != node) {
            let from = world.id(*other).expect("it lives");
            assert_eq!(heard(world, *node, from), expected, "{other:?} to {node:?}");
        }
        let left = count(world, *node, |event| {
            matches!(event, Event::NodeLeft { .. } | Event::Ended { .. })
        });
        assert_eq!(left, 0, "{node:?} lost somebody for good");
    }
}

fn nodes(world: &mut World, native: bool, topology: Topology, count: usize) -> Vec<NodeIndex> {
    let config = Config::default().with_topology(topology);
    let nodes: Vec<NodeIndex> = (0..count)
        .map(|_| match native {
            true => world.add_native(config.clone()),
            false => world.add_model(config.clone()),
        })
        .collect();
    assemble(world, &nodes);
    nodes
}

const ALL: [(bool, Topology); 4] = [
    (false, Topology::Star),
    (false, Topology::Mesh),
    (true, Topology::Star),
    (true, Topology::Mesh),
];

#[test]
fn darkness_costs_a_pause_and_no_message() {
    for (native, topology) in ALL {
        for dark in [1, 5, 8, 15].map(Duration::from_secs) {
            let mut world = World::new(dark.as_secs());
            let all = nodes(&mut world, native, topology, 4);
            let mut next = talk(&mut world, &all, 0, Duration::from_secs(1));
            world.isolate(all[1]);
            next = talk(&mut world, &all, next, dark);
            world.reconnect(all[1]);
            next = talk(&mut world, &all, next, Duration::from_secs(2));
            world.run_for(Duration::from_secs(4));
            all_arrived(&world, &all, next);
            let lost = |event: &Event| matches!(event, Event::NodeLost { .. });
            let back = |event: &Event| matches!(event, Event::NodeBack { .. });
            if dark > Duration::from_secs(5) {
                assert_eq!(
                    count(&world, all[0], lost),
                    1,
                    "{native} {topology:?} {dark:?}"
                );
                // Who is cut off loses all with whom it has links.
                let others = if topology == Topology::Mesh { 3 } else { 1 };
                // The others are told, once each.
                for other in &all[2..] {
                    for (what, times) in [
                        (count(&world, *other, lost), 1),
                        (count(&world, *other, back), 1),
                    ] {
                        assert_eq!(what, times, "{other:?} {native} {topology:?} {dark:?}");
                    }
                }
                let seen = count(&world, all[1], lost);
                assert!(
                    (1..=others).contains(&seen),
                    "{native} {topology:?} {dark:?}"
                );
            }
            assert_eq!(
                count(&world, all[0], back) >= 1,
                dark > Duration::from_secs(2),
                "{native} {topology:?} {dark:?}"
            );
        }
    }
}

/// Sends long numbered messages, to all or to one, for as long as there is room; gives the longest time in
/// which there was none.
fn flood(
    world: &mut World,
    from: NodeIndex,
    to: Option<NodeId>,
    next: &mut u32,
    time: Duration,
) -> Duration {
    let end = world.now().plus(time);
    let (mut since, mut longest) = (world.now(), Duration::ZERO);
    while world.now() < end {
        for _ in 0..4 {
            let mut payload = number(*next);
            payload.resize(16 * 1024, 7);
            let sent = match to {
                None => world.broadcast(from, payload),
                Some(to) => world.send_to(from, to, payload),
            };
            if sent.is_ok() {
                *next += 1;
                since = world.now();
            }
        }
        longest = longest.max(world.now().since(since));
        world.run_for(STEP);
    }
    longest
}

/// The numbers of `flood` that a node has.
fn flooded(world: &World, node: NodeIndex) -> Vec<u32> {
    let first = |payload: Vec<u8>| payload.first_chunk().copied().expect("a number");
    let all = messages(world, node).into_iter();
    all.map(|(_, payload)| u32::from_be_bytes(first(payload)))
        .collect()
}

#[test]
fn a_lost_node_does_not_keep_the_others_silent() {
    for topology in [Topology::Star, Topology::Mesh] {
        for from in [0, 1] {
            let mut world = World::new(3);
            let all = nodes(&mut world, false, topology, 4);
            let mut next = 0;
            let second = Duration::from_secs(1);
            assert!(flood(&mut world, all[from], None, &mut next, second) < second);
            world.isolate(all[2]);
            let longest = flood(&mut world, all[from], None, &mut next, second * 30);
            println!("{topology:?}, of {from}: no room for {longest:?}");
            // It is lost after 5 s, and has 5 more.
            assert!((second * 6..second * 10).contains(&longest), "{longest:?}");
            settle(&mut world);
            let expected: Vec<u32> = (0..next).collect();
            for node in [all[1 - from], all[3]] {
                assert_eq!(flooded(&world, node), expected);
            }
            // In a mesh a joiner has no say in who leaves.
            let reason = match (topology, from) {
                (Topology::Mesh, 1) => LeaveReason::Lost,
                _ => LeaveReason::TooSlow,
            };
            for node in [all[0], all[1], all[3]] {
                let left = count(
                    &world,
                    node,
                    |event| matches!(event, Event::NodeLeft { reason: why, .. } if *why == reason),
                );
                assert_eq!(left, 1, "{topology:?}, of {from}");
            }
        }
    }
}

#[test]
fn who_is_left_out_while_lost_is_meant_again_from_node_back_on() {
    let second = Duration::from_secs(1);
    let mut world = World::new(3);
    let all = nodes(&mut world, false, Topology::Mesh, 4);
    let (from, other) = (all[1], all[2]);
    let mut next = 0;
    flood(&mut world, from, None, &mut next, second);
    world.isolate(other);
    flood(&mut world, from, None, &mut next, second * 14);
    let told = |world: &World, what: fn(&Event) -> bool| world.count_events(from, what);
    let is_stalled = |event: &Event| matches!(event, Event::NodeStalled { .. });
    let is_back = |event: &Event| matches!(event, Event::NodeBack { .. });
    assert_eq!((told(&world, is_stalled), told(&world, is_back)), (1, 0));
    world.reconnect(other);
    while told(&world, is_back) == 0 {
        flood(&mut world, from, None, &mut next, STEP);
    }
    let since_back = next;
    flood(&mut world, from, None, &mut next, second * 5);
    settle(&mut world);
    assert_eq!((told(&world, is_stalled), told(&world, is_back)), (1, 1));
    let heard = flooded(&world, other);
    let gaps = heard.windows(2).filter(|two| two[0] + 1 != two[1]).count();
    assert_eq!((heard[0], gaps), (0, 1), "what was for the others alone");
    let after = heard.iter().filter(|number| **number >= since_back);
    assert!(after.copied().eq(since_back..next));
    assert_eq!(flooded(&world, all[3]), (0..next).collect::<Vec<u32>>());
}

#[test]
fn a_lost_node_that_is_alone_in_the_way_is_waited_for() {
    let second = Duration::from_secs(1);
    for (from, count, to_one) in [(0, 2, false), (1, 2, false), (0, 4, true), (1, 4, true)] {
        let mut world = World::new(4);
        let all = nodes(&mut world, false, Topology::Star, count);
        let other = if count == 2 { all[1 - from] } else { all[2] };
        let to = world.id(other).filter(|_| to_one);
        let mut next = 0;
        flood(&mut world, all[from], to, &mut next, second);
        world.isolate(other);
        let longest = flood(&mut world, all[from], to, &mut next, second * 15);
        assert!(longest > second * 11, "{longest:?}");
        world.reconnect(other);
        flood(&mut world, all[from], to, &mut next, second * 5);
        settle(&mut world);
        assert_eq!(flooded(&world, other), (0..next).collect::<Vec<u32>>());
        let left = all.iter().any(|node| {
            world.count_events(*node, |event| matches!(event, Event::NodeLeft { .. })) > 0
        });
        assert!(!left, "from {from} of {count}");
    }
}

#[test]
fn who_does_not_come_back_has_left_once() {
    for (native, topology) in ALL {
        let mut world = World::new(7);
        let all = nodes(&mut world, native, topology, 3);
        world.crash(all[1]);
        world.run_for(Duration::from_secs(25));
        for node in [all[0], all[2]] {
            let left = count(&world, node, |event| {
                matches!(
                    event,
                    Event::NodeLeft {
                        reason: LeaveReason::Lost,
                        ..
                    }
                )
            });
            assert_eq!(left, 1, "{native} {topology:?} {node:?}");
            let lost = count(&world, node, |event| {
                matches!(event, Event::NodeLost { .. })
            });
            assert_eq!(lost, 1, "{native} {topology:?} {node:?}");
        }
    }
}

#[test]
fn a_node_that_moves_to_another_network_keeps_its_place() {
    for topology in [Topology::Star, Topology::Mesh] {
        for moving in [1, 0] {
            let mut world = World::new(11);
            let config = Config::default().with_topology(topology);
            let all: Vec<NodeIndex> = (0..3)
                .map(|_| world.add_native_at(config.clone(), Place::internet()))
                .collect();
            assemble(&mut world, &all);
            let mut next = talk(&mut world, &all, 0, Duration::from_secs(1));
            world.roam(all[moving], Place::internet());
            next = talk(&mut world, &all, next, Duration::from_secs(5));
            settle(&mut world);
            all_arrived(&world, &all, next);
        }
    }
}
