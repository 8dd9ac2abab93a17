//! Whole networks of native nodes in virtual time: str0m, DTLS and SCTP and all.

#![allow(
    clippy::indexing_slicing,
    reason = "a test that is wrong about its nodes has to fail"
)]

use core::time::Duration;
use std::println;

use bytes::Bytes;
use wattle_core::sim::{NodeIndex, Path, World};
use wattle_core::{Config, EndReason, Event, LeaveReason, NetworkCode, Phase};

const TRIP: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);

fn star(world: &mut World, count: usize, path: Path) -> (Vec<NodeIndex>, NetworkCode) {
    world.set_signaling_delay(TRIP);
    let nodes: Vec<_> = (0..count)
        .map(|_| world.add_native(Config::default()))
        .collect();
    for a in &nodes {
        for b in &nodes {
            world.set_one_way(*a, *b, path);
        }
    }
    let code = world.host(nodes[0]);
    for node in &nodes[1..] {
        world.join(*node, &code);
    }
    (nodes, code)
}

fn path(loss_per_mille: u16) -> Path {
    Path {
        delay: TRIP,
        loss_per_mille,
        ..Path::default()
    }
}

fn are_together(world: &World, nodes: &[NodeIndex]) -> bool {
    nodes
        .iter()
        .all(|node| world.nodes(*node).len() == nodes.len())
}

fn when(world: &World, node: NodeIndex, what: impl Fn(&Event) -> bool) -> Option<Duration> {
    world
        .timed_events(node)
        .find(|(_, event)| what(event))
        .map(|(at, _)| at.since(wattle_core::Timestamp::ZERO))
}

#[test]
fn six_trips_from_the_offer_to_joined_and_the_first_message() {
    let mut world = World::new(1);
    let (nodes, _) = star(&mut world, 2, path(0));
    let [host, joiner] = nodes[..] else {
        unreachable!("two nodes")
    };
    // The host writes as soon as it sees the joiner.
    let joined = |event: &Event| matches!(event, Event::NodeJoined { .. });
    assert!(world.run_until(10 * SECOND, |world| when(world, host, joined).is_some()));
    world
        .broadcast(host, Bytes::from_static(b"right behind"))
        .unwrap();
    world.run_for(SECOND);
    // The answer comes two trips after the offer left.
    let answer = when(&world, joiner, |event| *event == Event::Phase(Phase::Ice));
    let offer = answer.unwrap().checked_sub(2 * TRIP).unwrap();
    let welcome = when(&world, joiner, |event| {
        matches!(event, Event::Joined { .. })
    })
    .unwrap();
    let message = when(&world, joiner, |event| {
        matches!(event, Event::Message { .. })
    })
    .unwrap();
    let seen = when(&world, host, joined).unwrap();
    println!(
        "after the offer left: joined {:?}, first message {:?}; the host sees the joiner {:?}",
        welcome - offer,
        message - offer,
        seen - offer
    );
    assert_eq!(welcome - offer, 6 * TRIP);
}

#[test]
fn eight_nodes_hear_each_other_and_leave() {
    let mut world = World::new(2);
    let (nodes, _) = star(&mut world, 8, path(0));
    assert!(world.run_until(10 * SECOND, |world| are_together(world, &nodes)));
    for node in &nodes {
        let text = format!("from {node:?}");
        world.broadcast(*node, text).unwrap();
    }
    world.run_for(2 * SECOND);
    for node in &nodes {
        assert_eq!(world.message_count(*node), 7);
        assert_eq!(world.stats(*node).unwrap().counters.datagrams_dropped, 0);
    }
    // One leaves, one crashes, then the host goes.
    let ids: Vec<_> = nodes.iter().map(|node| world.id(*node).unwrap()).collect();
    world.leave(nodes[7]);
    world.crash(nodes[6]);
    world.run_for(21 * SECOND);
    for node in &nodes[..6] {
        for (gone, why) in [(7, LeaveReason::Left), (6, LeaveReason::Lost)] {
            let left = Event::NodeLeft {
                node: ids[gone],
                reason: why,
            };
            assert!(world.events(*node).any(|event| *event == left), "{left:?}");
        }
    }
    world.leave(nodes[0]);
    world.run_for(5 * SECOND);
    for node in &nodes[1..6] {
        let ended = Event::Ended {
            reason: EndReason::HostClosed,
        };
        assert!(world.events(*node).any(|event| *event == ended));
    }
}

#[test]
fn joins_and_large_messages_survive_losses() {
    for loss in [10, 100, 300] {
        let mut slowest = Duration::ZERO;
        for seed in 0..10 {
            let mut world = World::new(seed);
            let (nodes, _) = star(&mut world, 3, path(loss));
            assert!(
                world.run_until(20 * SECOND, |world| are_together(world, &nodes)),
                "loss {loss}, seed {seed}: {:?}",
                nodes
                    .iter()
                    .map(|node| world.events(*node).last())
                    .collect::<Vec<_>>()
            );
            for node in &nodes[1..] {
                let joined = |event: &Event| matches!(event, Event::Joined { .. });
                slowest = slowest.max(when(&world, *node, joined).unwrap());
            }
            if loss < 300 {
                let large = Bytes::from(vec![7; 100_000]);
                world.broadcast(nodes[1], large).unwrap();
                let arrived = world.run_until(60 * SECOND, |world| {
                    world.message_count(nodes[0]) == 1 && world.message_count(nodes[2]) == 1
                });
                assert!(arrived, "loss {loss}, seed {seed}");
            }
        }
        println!(
            "loss {} %: the slowest of 20 joined after {slowest:?}",
            loss / 10
        );
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |loss| {
        let mut world = World::new(7);
        let (nodes, _) = star(&mut world, 4, path(loss));
        world.run_until(20 * SECOND, |world| are_together(world, &nodes));
        for node in &nodes {
            world.broadcast(*node, vec![1; 5000]).unwrap();
        }
        world.run_for(10 * SECOND);
        nodes
            .iter()
            .map(|node| {
                let events = world.timed_events(*node);
                events.map(|(at, event)| (at, event.clone())).collect()
            })
            .collect::<Vec<Vec<_>>>()
    };
    let first = story(0);
    assert!((0..3).all(|_| story(0) == first));
    // With losses DTLS repeats itself, after times that dimpl draws on its own.
    let first = story(50);
    println!(
        "the same with losses: {} of 3",
        (0..3).filter(|_| story(50) == first).count()
    );
}

#[test]
fn an_idle_network_at_thirty_percent_loss_loses_nobody() {
    let mut world = World::new(3);
    let (nodes, _) = star(&mut world, 3, path(300));
    assert!(world.run_until(20 * SECOND, |world| are_together(world, &nodes)));
    for _ in 0..20 {
        world.run_for(60 * SECOND);
        assert!(are_together(&world, &nodes));
    }
}
