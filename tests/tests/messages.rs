//! Messages and states in virtual time: order, limits, what is told when there is no room.

use core::time::Duration;

use wattle_core::sim::{Path, World};
use wattle_core::{Config, Credit, Event, SendError, Timeouts};
use wattle_tests::{ended, messages, settle, star};

#[test]
fn full_is_told_once_and_so_is_writable() {
    let mut world = World::new(101);
    let (nodes, _) = star(&mut world, &Config::default(), 3);
    let mut refused = 0;
    for _ in 0..40 {
        match world.broadcast(nodes[1], vec![7; 32 * 1024]) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error, SendError::Full);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 40 - 15);
    world.run_for(Duration::from_secs(5));
    let told = world
        .events(nodes[1])
        .filter(|event| **event == Event::Writable)
        .count();
    assert_eq!(told, 1, "however often it was refused");
    world.broadcast(nodes[1], vec![7; 32 * 1024]).unwrap();
    world.run_for(Duration::from_secs(5));
    let told = world
        .events(nodes[1])
        .filter(|event| **event == Event::Writable)
        .count();
    assert_eq!(told, 1, "nobody was refused since");
}

/// PROTOCOL.md, section 3, item 13: a payload that is not an object becomes `{}`.
#[test]
fn any_bytes_are_a_payload_and_so_are_none() {
    let mut world = World::new(102);
    let (nodes, _) = star(&mut world, &Config::default(), 3);
    let payloads: [&[u8]; 6] = [b"", b"{}", b"null", b"\0", b"\xff\xfe", b""];
    for payload in payloads {
        world.broadcast(nodes[1], payload.to_vec()).unwrap();
        world.broadcast_state(nodes[1], payload.to_vec()).unwrap();
        settle(&mut world);
    }
    for node in [nodes[0], nodes[2]] {
        let got: Vec<_> = messages(&world, node).into_iter().map(|(_, p)| p).collect();
        assert_eq!(got, payloads);
        let states: Vec<_> = world
            .events(node)
            .filter_map(|event| {
                if let Event::State { payload, .. } = event {
                    Some(payload.to_vec())
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(states, payloads);
    }
}

/// PROTOCOL.md, section 3, item 8: from joiner to joiner, although the roster lists the target.
#[test]
fn a_joiner_reaches_every_node_of_its_roster() {
    let mut world = World::new(103);
    let (nodes, _) = star(&mut world, &Config::default(), 5);
    for node in &nodes {
        let me = world.id(*node).unwrap();
        for other in world.nodes(*node).into_iter().filter(|other| *other != me) {
            world.send_to(*node, other, "to you").unwrap();
        }
    }
    settle(&mut world);
    assert!(nodes.iter().all(|node| messages(&world, *node).len() == 4));
}

/// PROTOCOL.md, section 3, item 15: a sender that comes back under its name is heard from its first
/// state on.
#[test]
fn states_begin_anew_with_each_join() {
    let mut world = World::new(104);
    let (nodes, code) = star(&mut world, &Config::default(), 3);
    for _ in 0..50 {
        world.broadcast_state(nodes[1], "before").unwrap();
        world.run_for(Duration::from_millis(20));
    }
    world.leave(nodes[1]);
    settle(&mut world);
    world.join(nodes[1], &code);
    assert!(
        world.run_until(Duration::from_secs(5), |world| world.nodes(nodes[1]).len()
            == 3)
    );
    world.broadcast_state(nodes[1], "after").unwrap();
    settle(&mut world);
    for node in [nodes[0], nodes[2]] {
        let last = world.events(node).last().unwrap();
        assert!(
            matches!(last, Event::State { payload, .. } if payload == "after"),
            "{last:?}"
        );
    }
}

/// PROTOCOL.md, section 3, item 14: round trips are measured beside the messages, by our own clock.
#[test]
fn latency_is_that_of_the_path_whatever_waits_for_it() {
    let mut world = World::new(105);
    let delay = Duration::from_millis(70);
    world.set_default_path(Path {
        delay,
        ..Path::default()
    });
    let (nodes, _) = star(&mut world, &Config::default(), 3);
    for _ in 0..40 {
        let _ = world.broadcast(nodes[1], vec![1; 100_000]);
        world.run_for(Duration::from_millis(250));
    }
    for node in world.stats(nodes[0]).unwrap().nodes {
        assert_eq!(node.latency, Some(delay * 2), "{node:?}");
    }
}

/// PROTOCOL.md, section 3, item 18: sizes are bounded, and who sends too much is told.
#[test]
fn states_and_messages_have_their_limits() {
    let mut world = World::new(106);
    let (nodes, _) = star(&mut world, &Config::default(), 2);
    for node in nodes {
        assert_eq!(
            world.broadcast_state(node, vec![0; 16 * 1024 + 1]),
            Err(SendError::TooLarge { max: 16 * 1024 })
        );
        assert_eq!(
            world.broadcast(node, vec![0; 256 * 1024 + 1]),
            Err(SendError::TooLarge { max: 256 * 1024 })
        );
    }
}

#[test]
fn sixty_four_nodes_hear_each_other() {
    let mut world = World::new(107);
    let config = Config::default().with_max_nodes(64).unwrap();
    let (nodes, _) = star(&mut world, &config, 64);
    for node in &nodes {
        world.broadcast(*node, vec![3; 2_000]).unwrap();
        world.broadcast_state(*node, vec![4; 100]).unwrap();
    }
    world.run_for(Duration::from_secs(3));
    let roster = world.nodes(nodes[0]);
    for node in &nodes {
        assert_eq!(messages(&world, *node).len(), 63);
        assert_eq!(world.message_count(*node), 126);
        assert_eq!(world.nodes(*node), roster);
    }
}

#[test]
fn a_kick_in_the_middle_of_a_large_transfer_leaves_the_others_in_peace() {
    let mut world = World::new(108);
    let (nodes, _) = star(&mut world, &Config::default(), 4);
    let kicked = world.id(nodes[1]).unwrap();
    world.broadcast(nodes[1], vec![1; 256 * 1024]).unwrap();
    world.broadcast(nodes[2], vec![2; 256 * 1024]).unwrap();
    world.broadcast(nodes[0], vec![0; 256 * 1024]).unwrap();
    world.run_for(Duration::from_millis(30));
    world.kick(nodes[0], kicked).unwrap();
    world.broadcast(nodes[2], "after").unwrap();
    settle(&mut world);
    let sizes = |node| -> Vec<_> {
        let all = messages(&world, node).into_iter();
        all.map(|(_, payload)| (payload.first().copied(), payload.len()))
            .collect()
    };
    let after = (Some(b'a'), 5);
    assert!(sizes(nodes[0]).ends_with(&[(Some(2), 256 * 1024), after]));
    let third = sizes(nodes[3]);
    assert!(third.contains(&(Some(2), 256 * 1024)) && third.contains(&(Some(0), 256 * 1024)));
    assert_eq!(third.last(), Some(&after));
    for node in [nodes[0], nodes[2], nodes[3]] {
        assert_eq!(world.nodes(node).len(), 3);
    }
}

#[test]
fn who_leaves_with_a_full_queue_is_heard_to_the_end() {
    let mut world = World::new(109);
    let timeouts = Timeouts {
        leave: Duration::from_secs(30),
        ..Timeouts::default()
    };
    let config = Config::default().with_timeouts(timeouts).unwrap();
    let (nodes, _) = star(&mut world, &config, 3);
    let mut sent = 0;
    while world.broadcast(nodes[1], vec![sent as u8; 20_000]).is_ok() {
        sent += 1;
    }
    world.leave(nodes[1]);
    world.run_for(Duration::from_secs(30));
    for node in [nodes[0], nodes[2]] {
        let got: Vec<_> = messages(&world, node)
            .into_iter()
            .map(|(_, p)| p[0])
            .collect();
        assert_eq!(got, (0..sent as u8).collect::<Vec<_>>());
        assert!(matches!(
            world.events(node).last(),
            Some(Event::NodeLeft { .. })
        ));
    }
}

#[test]
fn what_a_host_said_before_its_goodbye_arrives() {
    let mut world = World::new(110);
    let (nodes, _) = star(&mut world, &Config::default(), 4);
    world.broadcast(nodes[0], vec![1; 256 * 1024]).unwrap();
    world.broadcast(nodes[0], vec![2; 200 * 1024]).unwrap();
    world.leave(nodes[0]);
    world.run_for(Duration::from_secs(3));
    for node in &nodes[1..] {
        let got: Vec<_> = messages(&world, *node)
            .into_iter()
            .map(|(_, p)| p.len())
            .collect();
        assert_eq!(got, [256 * 1024, 200 * 1024]);
        assert_eq!(
            ended(&world, *node),
            Some(wattle_core::EndReason::HostClosed)
        );
    }
    assert_eq!(world.leftovers(), (0, 0));
}

#[test]
fn an_application_that_sleeps_and_wakes_loses_nothing() {
    let mut world = World::new(111);
    let config = Config::default().with_credit(Credit::OnRelease);
    let (nodes, _) = star(&mut world, &config, 3);
    let from = world.id(nodes[1]).unwrap();
    world.pause_application(nodes[2], true);
    let mut sent: u32 = 0;
    while world
        .broadcast(nodes[1], vec![sent as u8; 16 * 1024])
        .is_ok()
    {
        sent += 1;
        world.run_for(Duration::from_millis(10));
    }
    world.run_for(Duration::from_secs(2));
    world.pause_application(nodes[2], false);
    for _ in 0..sent {
        world.release(nodes[2], from, 16 * 1024);
    }
    settle(&mut world);
    assert!(
        world
            .events(nodes[1])
            .any(|event| *event == Event::Writable)
    );
    world
        .broadcast(nodes[1], vec![sent as u8; 16 * 1024])
        .unwrap();
    settle(&mut world);
    let got: Vec<_> = messages(&world, nodes[2])
        .into_iter()
        .map(|(_, p)| p[0])
        .collect();
    assert_eq!(got, (0..=sent as u8).collect::<Vec<_>>());
}
