//! Stars over model links: who is in, who hears what, and how it ends.

use core::net::SocketAddr;
use core::time::Duration;

use wattle_core::sim::{Path, World};
use wattle_core::{
    Config, Credit, EndReason, Event, Hosting, LeaveReason, Phase, Refusal, SendError,
    SignalingFailure, Status, Timeouts,
};
use wattle_tests::{assemble, ended, messages, settle, star};

#[test]
fn everybody_sees_the_same_nodes_in_join_order() {
    let mut world = World::new(1);
    let (nodes, _) = star(&mut world, &Config::default(), 8);
    let roster = world.nodes(nodes[0]);
    assert_eq!(roster[0], world.id(nodes[0]).unwrap());
    for node in &nodes {
        assert_eq!(world.nodes(*node), roster);
        assert_eq!(world.present(*node).len(), 7);
        assert_eq!(world.stats(*node).unwrap().status, Status::Joined);
    }
}

#[test]
fn a_joiner_is_told_its_phases_and_timings() {
    let mut world = World::new(2);
    let (nodes, _) = star(&mut world, &Config::default(), 2);
    let events: Vec<_> = world.events(nodes[1]).cloned().collect();
    assert_eq!(
        events[..3],
        [
            Event::Phase(Phase::Signaling),
            Event::Phase(Phase::Ice),
            Event::Phase(Phase::Datachannel)
        ]
    );
    let Event::Joined {
        node,
        nodes: all,
        timing,
    } = &events[3]
    else {
        panic!("{events:?}")
    };
    assert_eq!(Some(*node), world.id(nodes[1]));
    assert_eq!(*all, world.nodes(nodes[0]));
    let parts = [timing.signaling, timing.ice, timing.datachannel].map(Option::unwrap);
    assert_eq!(timing.total, Some(parts.iter().sum()));
    assert!(parts.iter().all(|part| !part.is_zero()));
    assert!(matches!(&events[4], Event::ConnectReport(report) if report.ended_in.is_none()));
    assert_eq!(
        events[5],
        Event::NodeJoined {
            node: world.id(nodes[0]).unwrap()
        }
    );
}

#[test]
fn messages_reach_whom_they_are_for_in_order() {
    let mut world = World::new(3);
    let (nodes, _) = star(&mut world, &Config::default(), 4);
    let ids: Vec<_> = nodes.iter().map(|node| world.id(*node).unwrap()).collect();
    for (index, node) in nodes.iter().enumerate() {
        world.broadcast(*node, format!("all {index}")).unwrap();
        for to in ids.iter().filter(|to| **to != ids[index]) {
            world.send_to(*node, *to, format!("one {index}")).unwrap();
        }
        world.broadcast(*node, vec![0xff; index]).unwrap();
    }
    settle(&mut world);
    for (me, node) in nodes.iter().enumerate() {
        for (index, from) in ids.iter().enumerate().filter(|(index, _)| *index != me) {
            let got: Vec<_> = messages(&world, *node)
                .into_iter()
                .filter(|(sender, _)| sender == from)
                .collect();
            let payloads: Vec<_> = got.into_iter().map(|(_, payload)| payload).collect();
            let expected = [
                format!("all {index}").into(),
                format!("one {index}").into(),
                vec![0xff; index],
            ];
            assert_eq!(payloads, expected, "{index} to {me}");
        }
    }
}

#[test]
fn large_messages_arrive_whole_and_too_large_ones_are_refused() {
    let mut world = World::new(4);
    let (nodes, _) = star(&mut world, &Config::default(), 3);
    let payload: Vec<u8> = (0..256 * 1024u32)
        .map(|n| n as u8 ^ (n >> 8) as u8)
        .collect();
    world.broadcast(nodes[1], payload.clone()).unwrap();
    world.broadcast(nodes[1], "after it").unwrap();
    settle(&mut world);
    for node in [nodes[0], nodes[2]] {
        let got: Vec<_> = messages(&world, node)
            .into_iter()
            .map(|(_, payload)| payload)
            .collect();
        assert_eq!(got, [payload.clone(), b"after it".to_vec()]);
    }
    let too_large = SendError::TooLarge { max: 256 * 1024 };
    assert_eq!(
        world.broadcast(nodes[1], vec![0; 256 * 1024 + 1]),
        Err(too_large)
    );
}

#[test]
fn errors_of_the_caller_are_named() {
    let mut world = World::new(5);
    let (nodes, code) = star(&mut world, &Config::default(), 2);
    let lonely = world.add_model(Config::default());
    let (host, joiner) = (world.id(nodes[0]).unwrap(), world.id(nodes[1]).unwrap());
    assert_eq!(world.broadcast(lonely, "x"), Err(SendError::NotJoined));
    assert_eq!(world.send_to(nodes[1], joiner, "x"), Err(SendError::Myself));
    assert_eq!(
        world.send_to(nodes[1], world.id(lonely).unwrap(), "x"),
        Err(SendError::UnknownNode)
    );
    assert!(world.try_join(nodes[1], &code).is_err());
    assert!(
        world
            .try_host(nodes[0], Hosting::Signaling { code: None })
            .is_err()
    );
    assert!(world.kick(nodes[1], host).is_err());
    assert!(world.kick(nodes[0], host).is_err());
}

#[test]
fn the_ninth_is_refused_within_one_signaling_round_trip() {
    let mut world = World::new(6);
    let (_, code) = star(&mut world, &Config::default(), 8);
    let ninth = world.add_model(Config::default());
    world.set_signaling_delay(Duration::from_millis(100));
    world.join(ninth, &code);
    world.run_for(Duration::from_secs(10));
    assert_eq!(
        ended(&world, ninth),
        Some(EndReason::Refused(Refusal::NetworkFull))
    );
    let at = world.timed_events(ninth).last().unwrap().0;
    let start = world.timed_events(ninth).next().unwrap().0;
    // Half a delay to open the WebSocket and half for the OPEN; then the offer and the answer.
    assert_eq!(at.since(start), Duration::from_millis(50 + 50 + 100 + 100));
}

#[test]
fn joins_under_way_count() {
    let mut world = World::new(7);
    let config = Config::default().with_max_nodes(3).unwrap();
    let host = world.add_model(config);
    let code = world.host(host);
    let joiners: Vec<_> = (0..6).map(|_| world.add_model(Config::default())).collect();
    for joiner in &joiners {
        world.join(*joiner, &code);
    }
    world.run_for(Duration::from_secs(10));
    let refused = joiners
        .iter()
        .filter(|joiner| ended(&world, **joiner) == Some(EndReason::Refused(Refusal::NetworkFull)))
        .count();
    assert_eq!((world.nodes(host).len(), refused), (3, 4));
}

#[test]
fn a_join_that_goes_nowhere_frees_its_place() {
    let mut world = World::new(8);
    let host = world.add_model(Config::default().with_max_nodes(2).unwrap());
    let code = world.host(host);
    let (cut_off, later) = (
        world.add_model(Config::default()),
        world.add_model(Config::default()),
    );
    world.partition(host, cut_off);
    world.join(cut_off, &code);
    world.run_for(Duration::from_secs(6));
    world.join(later, &code);
    assert!(
        world.run_until(Duration::from_secs(2), |world| world.nodes(later).len()
            == 2)
    );
    world.run_for(Duration::from_secs(20));
    assert_eq!(
        ended(&world, cut_off),
        Some(EndReason::TimedOut(Phase::Ice))
    );
}

#[test]
fn a_joiner_that_gives_up_frees_its_place_at_once() {
    let mut world = World::new(30);
    let host = world.add_model(Config::default().with_max_nodes(2).unwrap());
    let code = world.host(host);
    let (first, second) = (
        world.add_model(Config::default()),
        world.add_model(Config::default()),
    );
    world.partition(host, first);
    world.join(first, &code);
    world.run_for(Duration::from_millis(100));
    world.leave(first);
    world.run_for(Duration::from_millis(20));
    world.join(second, &code);
    assert!(
        world.run_until(Duration::from_secs(2), |world| world.nodes(second).len()
            == 2)
    );
}

#[test]
fn room_at_one_node_is_told_while_another_is_still_full() {
    let mut world = World::new(31);
    let config = Config::default().with_credit(Credit::OnRelease);
    let (nodes, _) = star(&mut world, &config, 3);
    let ids: Vec<_> = nodes.iter().map(|node| world.id(*node).unwrap()).collect();
    for node in &nodes[1..] {
        world.pause_application(*node, true);
    }
    for to in &ids[1..] {
        while world.send_to(nodes[0], *to, vec![0; 100_000]).is_ok() {}
    }
    settle(&mut world);
    for _ in 0..5 {
        world.release(nodes[1], ids[0], 100_000);
    }
    settle(&mut world);
    let writable = world
        .events(nodes[0])
        .filter(|event| **event == Event::Writable);
    assert_eq!(writable.count(), 1);
    assert!(world.send_to(nodes[0], ids[1], vec![0; 100_000]).is_ok());
    assert_eq!(
        world.send_to(nodes[0], ids[2], vec![0; 100_000]),
        Err(SendError::Full)
    );
}

#[test]
fn wrong_codes_are_not_found_and_a_dead_server_is_unreachable() {
    let mut world = World::new(9);
    let joiner = world.add_model(Config::default());
    world.join(joiner, &"ABCDEF".parse().unwrap());
    world.run_for(Duration::from_secs(15));
    assert_eq!(ended(&world, joiner), Some(EndReason::CodeNotFound));

    world.stop_server();
    let joiner = world.add_model(Config::default());
    world.join(joiner, &"ABCDEF".parse().unwrap());
    world.run_for(Duration::from_secs(2));
    let failure = SignalingFailure::ConnectionRefused;
    assert_eq!(
        ended(&world, joiner),
        Some(EndReason::SignalingUnreachable(failure))
    );
    let host = world.add_model(Config::default());
    world
        .try_host(host, Hosting::Signaling { code: None })
        .unwrap();
    world.run_for(Duration::from_secs(2));
    assert_eq!(
        ended(&world, host),
        Some(EndReason::SignalingUnreachable(failure))
    );
}

#[test]
fn a_taken_code_is_told_and_a_random_one_is_replaced() {
    let mut world = World::new(10);
    let code = "ABCDEF".parse().unwrap();
    let (first, second) = (
        world.add_model(Config::default()),
        world.add_model(Config::default()),
    );
    world
        .try_host(first, Hosting::Signaling { code: Some(code) })
        .unwrap();
    settle(&mut world);
    world
        .try_host(second, Hosting::Signaling { code: Some(code) })
        .unwrap();
    settle(&mut world);
    assert_eq!(ended(&world, first), None);
    assert_eq!(ended(&world, second), Some(EndReason::CodeTaken));
}

#[test]
fn the_server_restarts_links_live_on_and_the_code_comes_back() {
    let mut world = World::new(11);
    let (nodes, code) = star(&mut world, &Config::default(), 3);
    world.stop_server();
    world.run_for(Duration::from_secs(30));
    world.broadcast(nodes[1], "still here").unwrap();
    settle(&mut world);
    assert_eq!(messages(&world, nodes[2]).len(), 1);
    world.start_server();
    let restored = |world: &World| {
        world
            .events(nodes[0])
            .any(|e| *e == Event::SignalingRestored)
    };
    assert!(world.run_until(Duration::from_secs(10), restored));
    let lost = |event: &&Event| matches!(event, Event::SignalingLost { .. });
    assert_eq!(
        world.events(nodes[0]).filter(lost).count(),
        1,
        "one outage, one event"
    );
    let fourth = world.add_model(Config::default());
    world.join(fourth, &code);
    assert!(
        world.run_until(Duration::from_secs(5), |world| world.nodes(fourth).len()
            == 4)
    );
    assert!(nodes.iter().all(|node| ended(&world, *node).is_none()));
}

#[test]
fn an_idle_host_stays_joinable() {
    let mut world = World::new(12);
    let host = world.add_model(Config::default());
    let code = world.host(host);
    world.run_for(Duration::from_secs(600));
    let joiner = world.add_model(Config::default());
    world.join(joiner, &code);
    assert!(
        world.run_until(Duration::from_secs(5), |world| world.nodes(joiner).len()
            == 2)
    );
}

#[test]
fn leaving_is_told_with_its_reason_and_after_what_was_said_before() {
    let mut world = World::new(13);
    let (nodes, _) = star(&mut world, &Config::default(), 4);
    let leaver = world.id(nodes[1]).unwrap();
    for n in 0..100 {
        world.broadcast(nodes[1], format!("{n}")).unwrap();
    }
    world.leave(nodes[1]);
    settle(&mut world);
    assert_eq!(ended(&world, nodes[1]), Some(EndReason::Left));
    for node in [nodes[0], nodes[2], nodes[3]] {
        assert_eq!(messages(&world, node).len(), 100);
        let left = Event::NodeLeft {
            node: leaver,
            reason: LeaveReason::Left,
        };
        assert_eq!(world.events(node).last(), Some(&left));
        assert_eq!(world.nodes(node).len(), 3);
    }
}

#[test]
fn a_kick_reaches_its_target_and_the_others() {
    let mut world = World::new(14);
    let (nodes, code) = star(&mut world, &Config::default(), 3);
    let target = world.id(nodes[1]).unwrap();
    world.kick(nodes[0], target).unwrap();
    settle(&mut world);
    assert_eq!(ended(&world, nodes[1]), Some(EndReason::Kicked));
    let left = Event::NodeLeft {
        node: target,
        reason: LeaveReason::Kicked,
    };
    assert!(world.events(nodes[2]).any(|event| *event == left));
    // It may come back with the code, if the host does not mind.
    world.join(nodes[1], &code);
    assert!(
        world.run_until(Duration::from_secs(5), |world| world.nodes(nodes[1]).len()
            == 3)
    );
}

#[test]
fn the_host_closes_or_dies_and_everybody_gets_one_clear_end() {
    for crash in [false, true] {
        let mut world = World::new(15);
        let (nodes, _) = star(&mut world, &Config::default(), 4);
        if crash {
            world.crash(nodes[0]);
        } else {
            world.leave(nodes[0]);
        }
        world.run_for(Duration::from_secs(21));
        for node in &nodes[1..] {
            let expected = if crash {
                EndReason::HostLost
            } else {
                EndReason::HostClosed
            };
            assert_eq!(ended(&world, *node), Some(expected));
            assert_eq!(world.stats(*node).unwrap().status, Status::Idle);
            assert!(world.nodes(*node).is_empty());
        }
        assert_eq!(world.leftovers(), (0, 0));
    }
}

#[test]
fn a_host_that_closes_tells_those_who_are_still_joining() {
    let mut world = World::new(16);
    let (nodes, code) = star(&mut world, &Config::default(), 2);
    let third = world.add_model(Config::default());
    world.join(third, &code);
    world.run_for(Duration::from_millis(45));
    world.leave(nodes[0]);
    settle(&mut world);
    assert_eq!(ended(&world, third), Some(EndReason::HostClosed));
}

#[test]
fn a_dead_joiner_is_suspected_then_lost_then_gone_for_everybody() {
    let mut world = World::new(17);
    let (nodes, _) = star(&mut world, &Config::default(), 3);
    let dead = world.id(nodes[1]).unwrap();
    let died = world.now();
    world.crash(nodes[1]);
    world.run_for(Duration::from_secs(21));
    let at = |wanted: Event| {
        world
            .timed_events(nodes[0])
            .find(|(_, event)| **event == wanted)
            .unwrap()
            .0
            .since(died)
    };
    let suspected = at(Event::NodeSuspect { node: dead });
    let lost = at(Event::NodeLost { node: dead });
    let gone = at(Event::NodeLeft {
        node: dead,
        reason: LeaveReason::Lost,
    });
    assert!(suspected <= Duration::from_millis(2_100), "{suspected:?}");
    assert!(lost <= Duration::from_millis(5_100), "{lost:?}");
    assert!(gone <= Duration::from_millis(20_100), "{gone:?}");
    let left = Event::NodeLeft {
        node: dead,
        reason: LeaveReason::Lost,
    };
    assert!(world.events(nodes[2]).any(|event| *event == left));
    assert!(world.run_until(Duration::ZERO, |world| world.nodes(nodes[0]).len() == 2));
}

#[test]
fn a_short_darkness_is_survived() {
    let mut world = World::new(18);
    let (nodes, _) = star(&mut world, &Config::default(), 2);
    world.partition(nodes[0], nodes[1]);
    world.broadcast(nodes[0], "in the dark").unwrap();
    world.run_for(Duration::from_secs(4));
    world.heal(nodes[0], nodes[1]);
    world.run_for(Duration::from_secs(4));
    let joiner = world.id(nodes[1]).unwrap();
    assert!(
        world
            .events(nodes[0])
            .any(|event| *event == Event::NodeBack { node: joiner })
    );
    assert!(
        !world
            .events(nodes[0])
            .any(|event| matches!(event, Event::NodeLeft { .. }))
    );
    assert_eq!(messages(&world, nodes[1]).len(), 1);
}

#[test]
fn no_false_loss_in_an_hour_at_thirty_percent() {
    for busy in [false, true] {
        let mut world = World::new(19);
        let (nodes, _) = star(&mut world, &Config::default(), 3);
        world.set_default_path(Path {
            loss_per_mille: 300,
            ..Path::default()
        });
        for _ in 0..3600 {
            world.run_for(Duration::from_secs(1));
            for node in &nodes {
                if busy {
                    let _ = world.broadcast(*node, vec![0; 10_000]);
                }
                assert_eq!(ended(&world, *node), None);
                assert!(
                    !world
                        .events(*node)
                        .any(|e| matches!(e, Event::NodeLeft { .. }))
                );
                world.forget_events(*node);
            }
        }
        assert_eq!(world.nodes(nodes[0]).len(), 3);
    }
}

#[test]
fn states_arrive_newest_first_wins_and_never_go_back() {
    let mut world = World::new(20);
    let (nodes, _) = star(&mut world, &Config::default(), 4);
    let jitter = Duration::from_millis(100);
    world.set_default_path(Path {
        loss_per_mille: 100,
        jitter,
        ..Path::default()
    });
    for n in 0..500u32 {
        for node in &nodes {
            world
                .broadcast_state(*node, n.to_be_bytes().to_vec())
                .unwrap();
        }
        world.run_for(Duration::from_millis(50));
    }
    settle(&mut world);
    // The laws of the world check that none is older than the last.
    for node in &nodes {
        for other in world.stats(*node).unwrap().nodes {
            assert!(other.state.received > 200, "{other:?}");
            assert!(other.state.stale > 0, "jitter reorders: {other:?}");
            assert!(other.state.received + other.state.stale <= 500);
            assert!(other.state.sequence.is_some_and(|last| last > 480));
        }
    }
}

#[test]
fn a_refereeing_host_hears_all_and_relays_nothing() {
    let mut world = World::new(21);
    let host = world.add_model(Config::default().with_auto_relay(false));
    let joiners = [
        world.add_model(Config::default()),
        world.add_model(Config::default()),
    ];
    assemble(&mut world, &[host, joiners[0], joiners[1]]);
    world.broadcast(joiners[0], "move").unwrap();
    world.broadcast_state(joiners[0], "at 1,1").unwrap();
    let other = world.id(joiners[1]).unwrap();
    assert_eq!(
        world.send_to(joiners[0], other, "psst"),
        Err(SendError::NotRelayed)
    );
    settle(&mut world);
    assert_eq!(world.message_count(host), 2);
    assert_eq!(world.message_count(joiners[1]), 0);
    world.broadcast(host, "moved").unwrap();
    settle(&mut world);
    assert_eq!(messages(&world, joiners[1]).len(), 1);
}

#[test]
fn a_slow_reader_holds_the_others_back_and_then_goes() {
    let mut world = World::new(22);
    let config = Config::default().with_credit(Credit::OnRelease);
    let (nodes, _) = star(&mut world, &config, 3);
    world.pause_application(nodes[2], true);
    let mut sent = 0;
    while world.broadcast(nodes[1], vec![0; 32 * 1024]).is_ok() {
        sent += 1;
        world.run_for(Duration::from_millis(20));
        assert!(sent < 100, "the window must fill");
    }
    assert_eq!(sent, 15, "15 * (32 KiB + 32) fit into 512 KiB");
    world.run_for(Duration::from_secs(3));
    assert!(
        !world
            .events(nodes[1])
            .any(|event| *event == Event::Writable)
    );
    world.run_for(Duration::from_secs(4));
    let slow = world.id(nodes[2]).unwrap();
    let left = Event::NodeLeft {
        node: slow,
        reason: LeaveReason::TooSlow,
    };
    assert!(world.events(nodes[1]).any(|event| *event == left));
    assert!(
        world
            .events(nodes[1])
            .any(|event| *event == Event::Writable)
    );
    assert_eq!(ended(&world, nodes[2]), Some(EndReason::TooSlow));
    world.broadcast(nodes[1], "on we go").unwrap();
    settle(&mut world);
    assert_eq!(messages(&world, nodes[0]).len(), 16);
}

#[test]
fn a_reader_that_is_only_slow_is_kept_and_nothing_is_lost() {
    let mut world = World::new(23);
    let config = Config::default().with_credit(Credit::OnRelease);
    let (nodes, _) = star(&mut world, &config, 3);
    world.pause_application(nodes[2], true);
    let from = world.id(nodes[1]).unwrap();
    let (mut sent, mut taken) = (0u32, 0);
    let mut writable = 0;
    for _ in 0..200 {
        while world
            .broadcast(nodes[1], vec![sent as u8; 32 * 1024])
            .is_ok()
        {
            sent += 1;
        }
        world.run_for(Duration::from_millis(400));
        if taken < messages(&world, nodes[2]).len() {
            world.release(nodes[2], from, 32 * 1024);
            taken += 1;
        }
        writable += world
            .take_events(nodes[1])
            .iter()
            .filter(|e| **e == Event::Writable)
            .count();
    }
    assert!(sent > 100 && writable > 50, "{sent} {writable}");
    let got = messages(&world, nodes[2]);
    assert!(
        got.iter()
            .enumerate()
            .all(|(n, (_, payload))| payload[0] == n as u8)
    );
    assert_eq!(world.nodes(nodes[0]).len(), 3);
}

#[test]
fn a_host_on_the_lan_needs_no_server_but_its_own() {
    let mut world = World::new(24);
    world.stop_server();
    let address: SocketAddr = "192.168.1.42:9000".parse().unwrap();
    let nodes = [
        world.add_model(Config::default()),
        world.add_model(Config::default()),
    ];
    world.try_host(nodes[0], Hosting::Lan { address }).unwrap();
    let created = Event::NetworkCreated {
        code: "L1HGE14A-6Y0".parse().unwrap(),
    };
    assert_eq!(world.events(nodes[0]).next(), Some(&created));
    world.join(nodes[1], &"l1hge14a-6y0".parse().unwrap());
    assert!(
        world.run_until(Duration::from_secs(2), |world| world.nodes(nodes[1]).len()
            == 2)
    );
    world.leave(nodes[0]);
    settle(&mut world);
    assert_eq!(ended(&world, nodes[1]), Some(EndReason::HostClosed));
    assert_eq!(world.leftovers(), (0, 0));
}

#[test]
fn a_thousand_joins_leave_nothing_behind() {
    let mut world = World::new(25);
    let (nodes, code) = star(&mut world, &Config::default(), 2);
    let guest = world.add_model(Config::default());
    for round in 0..1000 {
        world.join(guest, &code);
        assert!(
            world.run_until(Duration::from_secs(2), |world| world.nodes(guest).len()
                == 3)
        );
        world.broadcast(guest, "hi").unwrap();
        if round % 2 == 0 {
            world.leave(guest);
        } else {
            world.kick(nodes[0], world.id(guest).unwrap()).unwrap();
        }
        let alone = |world: &World| world.leftovers() == (2, 1);
        assert!(
            world.run_until(Duration::from_secs(2), alone),
            "{:?}",
            world.leftovers()
        );
        for node in [nodes[0], nodes[1], guest] {
            world.forget_events(node);
        }
    }
    assert_eq!(world.nodes(nodes[0]).len(), 2);
    // What a leaver said is delivered first; what a kicked one had on its way is not.
    assert_eq!(world.message_count(nodes[1]), 500);
}

#[test]
fn a_crashed_node_comes_back_under_a_new_name() {
    let mut world = World::new(26);
    let (nodes, code) = star(&mut world, &Config::default(), 3);
    let before = world.id(nodes[1]);
    world.crash(nodes[1]);
    world.restart(nodes[1]);
    assert_ne!(world.id(nodes[1]), before);
    world.join(nodes[1], &code);
    world.run_for(Duration::from_secs(21));
    assert_eq!(world.nodes(nodes[1]).len(), 3);
    assert_eq!(world.nodes(nodes[2]), world.nodes(nodes[0]));
}

#[test]
fn both_directions_cut_in_the_middle_of_a_join_end_in_its_phase() {
    for (after, phase) in [(60, Phase::Ice), (100, Phase::Datachannel)] {
        let mut world = World::new(27);
        let host = world.add_model(Config::default());
        let code = world.host(host);
        let joiner = world.add_model(Config::default());
        world.join(joiner, &code);
        world.run_for(Duration::from_millis(after));
        world.crash(host);
        world.run_for(Duration::from_secs(40));
        let end = ended(&world, joiner).unwrap();
        assert_eq!(end, EndReason::TimedOut(phase), "{after}");
    }
}

#[test]
fn deadlines_can_be_set() {
    let mut world = World::new(28);
    let timeouts = Timeouts {
        signaling: Duration::from_secs(2),
        ..Timeouts::default()
    };
    let config = Config::default().with_timeouts(timeouts).unwrap();
    let joiner = world.add_model(config);
    world.join(joiner, &"ABCDEF".parse().unwrap());
    world.run_for(Duration::from_secs(3));
    assert_eq!(
        ended(&world, joiner),
        Some(EndReason::TimedOut(Phase::Signaling))
    );
}

#[test]
fn all_phases_together_have_a_deadline_too() {
    let mut world = World::new(29);
    let timeouts = Timeouts {
        connect: Duration::from_secs(3),
        ..Timeouts::default()
    };
    let joiner = world.add_model(Config::default().with_timeouts(timeouts).unwrap());
    let host = world.add_model(Config::default());
    let code = world.host(host);
    let start = world.now();
    world.partition(host, joiner);
    world.join(joiner, &code);
    world.run_for(Duration::from_secs(10));
    let (at, end) = world.timed_events(joiner).last().unwrap();
    let reason = EndReason::TimedOut(Phase::Ice);
    assert_eq!(*end, Event::Ended { reason });
    assert_eq!(at.since(start), Duration::from_secs(3));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = |seed| {
        let mut world = World::new(seed);
        world.set_default_path(Path {
            loss_per_mille: 50,
            ..Path::default()
        });
        let (nodes, _) = star(&mut world, &Config::default(), 5);
        for node in &nodes {
            world.broadcast(*node, vec![1; 50_000]).unwrap();
        }
        world.run_for(Duration::from_secs(20));
        (world.trace_hash(), world.trace_entries())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}
