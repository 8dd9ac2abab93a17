//! Full native nodes in virtual time: real ICE, DTLS and SCTP over virtual datagrams.

use core::time::Duration;

use wattle_core::sim::{NodeIndex, Path, World};
use wattle_core::{Config, EndReason, Event, NetworkCode, Timestamp};
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
    let run = || {
        let mut world = World::new(4);
        let nodes: Vec<_> = (0..3)
            .map(|_| world.add_native(Config::default()))
            .collect();
        world.set_default_path(Path {
            loss_per_mille: 30,
            ..Path::default()
        });
        assemble(&mut world, &nodes);
        for node in &nodes {
            world.broadcast(*node, vec![1; 30_000]).unwrap();
        }
        world.run_for(Duration::from_secs(5));
        let events: Vec<_> = nodes
            .iter()
            .flat_map(|node| world.timed_events(*node))
            .map(|(at, event)| format!("{at} {event:.0?}"))
            .map(|line| line.chars().take(120).collect::<String>())
            .collect();
        events
    };
    let (one, two) = (run(), run());
    for (one, two) in one.iter().zip(&two) {
        assert_eq!(one, two, "the first difference");
    }
    assert_eq!(one.len(), two.len());
}
