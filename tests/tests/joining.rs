//! Joins that meet trouble: servers that go, frames that come twice, nodes that come back.

use core::time::Duration;

use wattle_core::sim::{Path, World};
use wattle_core::{Config, EndReason, Event, LeaveReason, Phase};
use wattle_tests::{ended, messages, settle, star};

/// PROTOCOL.md, section 3, item 1: without a heartbeat a host is unreachable after 90 seconds.
#[test]
fn a_host_can_be_joined_after_two_minutes_of_silence() {
    let mut world = World::new(201);
    let host = world.add_model(Config::default());
    let code = world.host(host);
    world.run_for(Duration::from_secs(120));
    let joiner = world.add_model(Config::default());
    world.join(joiner, &code);
    assert!(
        world.run_until(Duration::from_secs(2), |world| world.nodes(joiner).len()
            == 2)
    );
}

#[test]
fn a_join_survives_a_restart_of_the_server_at_any_moment() {
    // Every 5 ms of the first 150 ms: while it opens, registers, offers, is answered.
    for millis in (0..150).step_by(5) {
        let mut world = World::new(202);
        let (nodes, code) = star(&mut world, &Config::default(), 2);
        let joiner = world.add_model(Config::default());
        world.join(joiner, &code);
        world.run_for(Duration::from_millis(millis));
        world.stop_server();
        world.run_for(Duration::from_millis(100));
        world.start_server();
        let is_in = world.run_until(Duration::from_secs(12), |world| {
            world.nodes(joiner).len() == 3
        });
        assert!(is_in, "after {millis} ms: {:?}", ended(&world, joiner));
        world.broadcast(joiner, "hello").unwrap();
        settle(&mut world);
        assert!(nodes.iter().all(|node| messages(&world, *node).len() == 1));
    }
}

/// PROTOCOL.md, section 3, items 5 and 12: several at once, each with a link of its own.
#[test]
fn many_joins_at_once_get_as_many_places_as_there_are() {
    let mut world = World::new(203);
    let host = world.add_model(Config::default());
    let code = world.host(host);
    let joiners: Vec<_> = (0..20)
        .map(|_| world.add_model(Config::default()))
        .collect();
    for joiner in &joiners {
        world.join(*joiner, &code);
    }
    world.run_for(Duration::from_secs(5));
    let is_in = |joiner: &&_| ended(&world, **joiner).is_none();
    assert_eq!(joiners.iter().filter(is_in).count(), 7);
    assert_eq!(world.nodes(host).len(), 8);
}

/// PROTOCOL.md, section 3, item 10: what fails before the channel opens leaves nothing behind.
#[test]
fn joins_that_fail_leave_nothing_behind() {
    let mut world = World::new(204);
    let (nodes, code) = star(&mut world, &Config::default(), 2);
    settle(&mut world);
    let before = world.leftovers();
    for nth in 0..30u64 {
        let joiner = world.add_model(Config::default());
        world.join(joiner, &code);
        world.run_for(Duration::from_millis(nth * 6));
        world.crash(joiner);
    }
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.leftovers(), before);
    assert_eq!(world.nodes(nodes[0]).len(), 2);
    assert_eq!(world.stats(nodes[0]).unwrap().nodes.len(), 1);
}

#[test]
fn who_gives_up_at_any_moment_of_a_join_can_join_again() {
    let mut world = World::new(205);
    let (nodes, code) = star(&mut world, &Config::default(), 2);
    let joiner = world.add_model(Config::default());
    for millis in (0..260).step_by(13) {
        world.join(joiner, &code);
        world.run_for(Duration::from_millis(millis));
        world.leave(joiner);
        assert!(world.run_until(Duration::from_secs(3), |world| {
            world.nodes(joiner).is_empty()
        }));
        // What it leaves half done at the host is over after five seconds at the latest.
        world.run_for(Duration::from_secs(6));
        assert_eq!(world.nodes(nodes[0]).len(), 2, "after {millis} ms");
    }
    world.join(joiner, &code);
    assert!(
        world.run_until(Duration::from_secs(2), |world| world.nodes(joiner).len()
            == 3)
    );
}

/// PROTOCOL.md, section 3, item 9: a passing darkness costs nobody its place.
#[test]
fn a_path_that_is_dark_for_a_while_is_no_end() {
    let mut world = World::new(206);
    let (nodes, _) = star(&mut world, &Config::default(), 3);
    for _ in 0..10 {
        world.partition(nodes[0], nodes[1]);
        world.broadcast(nodes[1], "in the dark").unwrap();
        world.run_for(Duration::from_millis(3_500));
        world.heal(nodes[0], nodes[1]);
        world.run_for(Duration::from_secs(3));
    }
    for node in &nodes {
        assert_eq!(ended(&world, *node), None);
        assert_eq!(world.nodes(*node).len(), 3);
    }
    assert_eq!(messages(&world, nodes[2]).len(), 10);
    let suspect = world.id(nodes[1]).unwrap();
    let count = |wanted: Event| {
        world
            .events(nodes[0])
            .filter(|event| **event == wanted)
            .count()
    };
    assert_eq!(count(Event::NodeSuspect { node: suspect }), 10);
    assert_eq!(count(Event::NodeBack { node: suspect }), 10);
}

/// PROTOCOL.md, section 3, item 11: the host goes, and with it everything.
#[test]
fn nobody_stays_in_a_network_without_its_host() {
    let mut world = World::new(207);
    let (nodes, code) = star(&mut world, &Config::default(), 4);
    world.crash(nodes[0]);
    world.run_for(Duration::from_secs(21));
    for node in &nodes[1..] {
        assert_eq!(ended(&world, *node), Some(EndReason::HostLost));
        assert!(world.nodes(*node).is_empty());
    }
    assert_eq!(world.leftovers().0, 0);
    // Nobody has the code any more.
    let late = world.add_model(Config::default());
    world.join(late, &code);
    world.run_for(Duration::from_secs(20));
    let end = ended(&world, late);
    assert!(matches!(
        end,
        Some(EndReason::CodeNotFound | EndReason::TimedOut(Phase::Signaling))
    ));
}

/// PROTOCOL.md, section 3, item 17: an error of the signaling server is no error of the links.
#[test]
fn a_server_that_is_gone_for_good_ends_no_network() {
    let mut world = World::new(208);
    let (nodes, _) = star(&mut world, &Config::default(), 3);
    world.stop_server();
    world.run_for(Duration::from_secs(600));
    for node in &nodes {
        assert_eq!(ended(&world, *node), None);
    }
    world.broadcast(nodes[2], "well").unwrap();
    settle(&mut world);
    assert_eq!(messages(&world, nodes[1]).len(), 1);
}

/// A node comes back under its name while another is far behind: see `network/tests/harm.rs` for the
/// same with a link that stands still.
#[test]
fn a_node_that_comes_and_goes_is_seen_by_a_distant_one_in_order() {
    let mut world = World::new(209);
    let (nodes, code) = star(&mut world, &Config::default(), 4);
    let path = Path {
        delay: Duration::from_millis(400),
        ..Path::default()
    };
    world.set_path(nodes[0], nodes[3], path);
    let guest = world.id(nodes[1]).unwrap();
    for round in 0..8u8 {
        for _ in 0..20 {
            let _ = world.broadcast(nodes[1], vec![round; 20_000]);
        }
        world.leave(nodes[1]);
        assert!(world.run_until(Duration::from_secs(3), |world| {
            world.nodes(nodes[1]).is_empty()
        }));
        world.join(nodes[1], &code);
        let back = |world: &World| world.nodes(nodes[1]).len() == 4;
        assert!(world.run_until(Duration::from_secs(3), back));
    }
    world.run_for(Duration::from_secs(20));
    // The laws of the world check that joining and leaving alternate.
    assert_eq!(ended(&world, nodes[3]), None);
    let left = Event::NodeLeft {
        node: guest,
        reason: LeaveReason::Left,
    };
    assert_eq!(
        world
            .events(nodes[3])
            .filter(|event| **event == left)
            .count(),
        8
    );
    assert_eq!(world.nodes(nodes[3]), world.nodes(nodes[0]));
}
