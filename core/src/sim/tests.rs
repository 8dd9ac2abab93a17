//! The world keeps its promises.

use core::time::Duration;

use super::draw::{self, Draw, Kind};
use super::*;
use crate::config::{Config, Limits, Timeouts, Topology};
use crate::event::{Diagnostic, Event, LinkState};
use crate::io::LinkFailure;
use crate::time::Timestamp;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Nodes are lost after a minute only, and say what their links do.
fn patient() -> Config {
    Config::default()
        .with_timeouts(Timeouts {
            lost_after: 60 * SECOND,
            too_slow: 60 * SECOND,
            ice: 100 * SECOND,
            connect: 200 * SECOND,
            signaling: 100 * SECOND,
            ..Timeouts::default()
        })
        .unwrap()
        .with_verbose(true)
}

fn star(world: &mut World, config: &Config, count: usize) -> Vec<NodeIndex> {
    let nodes: Vec<_> = (0..count)
        .map(|_| world.add_model(config.clone()))
        .collect();
    let code = world.host(nodes[0]);
    for node in &nodes[1..] {
        world.join(*node, &code);
    }
    let whole = |world: &World| nodes.iter().all(|node| world.nodes(*node).len() == count);
    assert!(world.run_until(20 * SECOND, whole));
    nodes
}

#[test]
fn small_pieces_and_wide_channels_do_not_make_one_call_many_outputs() {
    let small = Limits {
        piece: 1024,
        ..Limits::default()
    };
    let wide = Limits {
        channel_buffer: u32::MAX,
        message: 16 * 1024 * 1024,
        window: 32 * 1024 * 1024,
        ..small
    };
    for (limits, nodes, length) in [(small, 64, 256 * 1024), (wide, 4, 4 * 1024 * 1024)] {
        let config = Config::default().with_limits(limits).unwrap();
        let config = config.with_max_nodes(64).unwrap();
        let mut world = World::new(1);
        let all = star(&mut world, &config, nodes);
        world.broadcast(all[0], vec![1; length]).unwrap();
        world.run_for(20 * SECOND);
        assert!(all[1..].iter().all(|node| world.message_count(*node) == 1));
    }
}

fn is_state(event: &Event) -> bool {
    matches!(event, Event::State { .. })
}

fn texts(world: &World, node: NodeIndex) -> Vec<String> {
    let text = |event: &Event| {
        if let Event::Message { payload, .. } = event {
            Some(String::from_utf8_lossy(payload).into_owned())
        } else {
            None
        }
    };
    world.events(node).filter_map(text).collect()
}

fn link_states(world: &World, node: NodeIndex) -> Vec<LinkState> {
    let state = |event: &Event| {
        if let Event::Diagnostic(Diagnostic::Link { state, .. }) = event {
            Some(*state)
        } else {
            None
        }
    };
    world.events(node).filter_map(state).collect()
}

#[test]
fn jitter_reorders_states_and_not_messages() {
    let mut world = World::new(1);
    let nodes = star(&mut world, &patient(), 2);
    world.set_default_path(Path {
        jitter: 100 * MS,
        tail: 10 * MS,
        ..Path::default()
    });
    for n in 0..200u32 {
        world.broadcast(nodes[0], n.to_string()).unwrap();
        world.broadcast_state(nodes[0], n.to_string()).unwrap();
        world.run_for(20 * MS);
    }
    world.run_for(SECOND);
    let heard = world.stats(nodes[1]).unwrap().nodes[0].state;
    assert!(heard.stale > 20, "{heard:?}");
    let expected: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    assert_eq!(texts(&world, nodes[1]), expected);
}

#[test]
fn a_clog_releases_everything_at_once_and_in_order() {
    let mut world = World::new(2);
    let nodes = star(&mut world, &patient(), 2);
    world.clog(nodes[0], nodes[1]);
    let before = world.events(nodes[1]).count();
    for n in 0..10 {
        world.broadcast(nodes[0], n.to_string()).unwrap();
        world.broadcast_state(nodes[0], n.to_string()).unwrap();
        world.run_for(150 * MS);
    }
    let told = |world: &World| world.message_count(nodes[1]);
    assert_eq!(told(&world), 0, "{before}");
    let at = world.now().plus(SECOND);
    world.at(
        at,
        Change::Unclog {
            from: nodes[0],
            to: nodes[1],
        },
    );
    world.run_for(SECOND + 50 * MS);
    let expected: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(texts(&world, nodes[1]), expected);
    // None was stale: they came in order, too, and right away.
    let states: Vec<_> = world
        .timed_events(nodes[1])
        .filter(|(_, event)| is_state(event))
        .collect();
    assert!(states.len() > 1, "{states:?}");
    assert!(states.iter().all(|(when, _)| *when == at), "{states:?}");
    assert_eq!(world.stats(nodes[1]).unwrap().nodes[0].state.stale, 0);
}

#[test]
fn what_is_left_out_changes_nothing_elsewhere() {
    let run = |partition: bool| {
        let mut world = World::new(3);
        let nodes = star(&mut world, &patient(), 3);
        world.set_default_path(Path {
            jitter: 10 * MS,
            loss_per_mille: 300,
            ..Path::default()
        });
        if partition {
            world.partition(nodes[0], nodes[1]);
        }
        for _ in 0..100 {
            world.broadcast_state(nodes[0], "here").unwrap();
            world.run_for(17 * MS);
        }
        let heard = |node: NodeIndex| -> Vec<_> {
            let events = world
                .timed_events(node)
                .filter(|(_, event)| is_state(event));
            events.map(|(at, event)| (at, event.clone())).collect()
        };
        (heard(nodes[1]), heard(nodes[2]))
    };
    let (with, without) = (run(true), run(false));
    assert!(with.0.is_empty() && without.0.len() > 40);
    assert_eq!(with.1, without.1);
    assert!((50..95).contains(&with.1.len()), "{}", with.1.len());
}

#[test]
fn a_dark_link_is_disconnected_and_back_and_its_data_waits() {
    let mut world = World::new(4);
    let nodes = star(&mut world, &patient(), 2);
    // Without a server there is no other link.
    world.stop_server();
    world.partition(nodes[0], nodes[1]);
    let sent = world.now();
    world.broadcast(nodes[0], "waits").unwrap();
    world.run_for(15 * SECOND);
    world.heal(nodes[0], nodes[1]);
    world.run_for(30 * SECOND);
    for node in &nodes {
        let states = link_states(&world, *node);
        let [.., LinkState::Disconnected, LinkState::Connected] = states[..] else {
            panic!("{states:?}")
        };
    }
    let message = |event: &Event| matches!(event, Event::Message { .. });
    let (at, _) = world.find_event(nodes[1], message).unwrap();
    // Sent again after 0.4, 0.8, 1.6, 3.2, 6.4 and 12.8 seconds: the last comes through.
    assert_eq!(at.since(sent), Duration::from_millis(25_220));
}

#[test]
fn ice_fails_when_no_path_comes_and_when_none_comes_back() {
    let mut world = World::new(5);
    let nodes = star(&mut world, &patient(), 2);
    let third = world.add_model(patient());
    let code = world.code(nodes[0]).unwrap();
    world.partition(nodes[0], third);
    world.join(third, &code);
    world.run_for(25 * SECOND);
    assert!(!link_states(&world, third).contains(&LinkState::Failed(LinkFailure::Ice)));
    world.run_for(10 * SECOND);
    assert!(link_states(&world, third).contains(&LinkState::Failed(LinkFailure::Ice)));
    // One way is enough: consent needs both.
    world.partition_one_way(nodes[1], nodes[0]);
    world.run_for(29 * SECOND);
    assert!(link_states(&world, nodes[0]).contains(&LinkState::Disconnected));
    assert!(!link_states(&world, nodes[0]).contains(&LinkState::Failed(LinkFailure::Ice)));
    world.run_for(2 * SECOND);
    assert!(link_states(&world, nodes[0]).contains(&LinkState::Failed(LinkFailure::Ice)));
}

#[test]
fn a_sleeping_node_hears_nothing_and_then_everything() {
    let mut world = World::new(6);
    let nodes = star(&mut world, &patient(), 3);
    let asleep = world.now();
    world.at(
        asleep,
        Change::Sleep {
            node: nodes[1],
            time: 20 * SECOND,
        },
    );
    for n in 0..19 {
        world.broadcast(nodes[0], n.to_string()).unwrap();
        world.broadcast_state(nodes[0], n.to_string()).unwrap();
        world.run_for(SECOND);
        if n > 0 {
            assert!(world.broadcast(nodes[1], "in a dream").is_err());
        }
    }
    world.run_for(10 * SECOND);
    let woken = asleep.plus(20 * SECOND);
    let between = |at: Timestamp| at > asleep.plus(20 * MS) && at < woken;
    assert!(world.timed_events(nodes[1]).all(|(at, _)| !between(at)));
    let expected: Vec<_> = (0..19).map(|n| n.to_string()).collect();
    assert_eq!(texts(&world, nodes[1]), expected);
    assert_eq!(texts(&world, nodes[2]), expected);
    let first = |event: &Event| matches!(event, Event::Message { .. });
    assert_eq!(world.find_event(nodes[1], first).unwrap().0, woken);
}

#[test]
fn clocks_that_run_wrong_do_no_harm() {
    let mut world = World::new(7);
    let nodes = star(&mut world, &Config::default(), 4);
    for (node, drift_ppm) in nodes.iter().zip([200, -200, 0, 100_000i32]) {
        world.set_clock(
            *node,
            Clock {
                // At once: a jump of more than the grace time is a silence that nobody comes back from.
                ahead: MS * drift_ppm.unsigned_abs().min(1000),
                drift_ppm,
                late: 30 * MS,
                early_per_mille: 500,
                repeated_per_mille: 500,
                backward_per_mille: 300,
                backward: 3 * SECOND,
            },
        );
    }
    for n in 0..300 {
        for node in &nodes {
            world.broadcast(*node, n.to_string()).unwrap();
        }
        world.run_for(SECOND);
    }
    world.run_for(SECOND);
    for node in &nodes {
        assert_eq!(world.nodes(*node).len(), 4);
        assert_eq!(world.message_count(*node), 900);
        assert_eq!(
            world.count_events(*node, |event| matches!(event, Event::NodeLeft { .. })),
            0
        );
    }
}

#[test]
fn stale_and_repeated_news_do_no_harm() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        world.set_quirks(Quirks {
            late_per_mille: 300,
            repeated_per_mille: 1000,
            stale_per_mille: 1000,
            flicker_per_mille: 1000,
            ..Quirks::default()
        });
        let nodes = star(&mut world, &Config::default(), 4);
        for round in 0..5 {
            for node in &nodes {
                world.broadcast(*node, round.to_string()).unwrap();
            }
            world.run_for(SECOND);
        }
        world.run_for(2 * SECOND);
        for node in &nodes {
            assert_eq!(world.message_count(*node), 15, "seed {seed}");
        }
        world.leave(nodes[3]);
        world.run_for(5 * SECOND);
        assert_eq!(world.nodes(nodes[0]).len(), 3);
        let late = world.stats(nodes[3]).unwrap().counters.late_updates;
        assert!(late >= 10, "{late}");
        world.leave(nodes[0]);
        world.run_for(20 * SECOND);
        assert_eq!(world.leftovers(), (0, 0));
    }
}

#[test]
fn a_close_may_go_unnoticed() {
    let mut world = World::new(9);
    world.set_quirks(Quirks {
        close_unnoticed_per_mille: 1000,
        ..Quirks::default()
    });
    let nodes = star(&mut world, &patient(), 2);
    world.leave(nodes[0]);
    world.run_for(60 * SECOND);
    assert_eq!(world.leftovers().0, 0);
    let states = link_states(&world, nodes[1]);
    assert!(!states.contains(&LinkState::Closed), "{states:?}");
}

#[test]
fn a_network_is_made_through_a_bad_signaling_server() {
    let mut made = 0;
    for seed in 0..30 {
        let mut world = World::new(seed);
        world.set_signaling_faults(SignalingFaults {
            jitter: 200 * MS,
            loss_per_mille: 50,
            duplicate_per_mille: 300,
            stale_per_mille: 300,
            refuse_per_mille: 100,
            ..SignalingFaults::default()
        });
        let nodes = [(); 3].map(|()| world.add_model(Config::default()));
        let code = world.host(nodes[0]);
        world.join(nodes[1], &code);
        world.join(nodes[2], &code);
        let at = world.now().plus(100 * MS);
        world.at(at, Change::StopServer);
        world.at(at.plus(2 * SECOND), Change::StartServer);
        for _ in 0..4 {
            world.run_for(20 * SECOND);
            for node in &nodes[1..] {
                if world.nodes(*node).is_empty() {
                    let _ = world.try_join(*node, &code);
                }
            }
        }
        made += world.nodes(nodes[0]).len() - 1;
        // Nothing is left in between.
        for node in &nodes[1..] {
            assert_ne!(world.nodes(*node).len(), 1);
        }
    }
    assert!(made > 20, "{made}");
}

#[test]
fn an_isolated_node_reaches_nobody_until_it_is_back() {
    let mut world = World::new(11);
    let nodes = star(&mut world, &Config::default(), 3);
    let code = world.code(nodes[0]).unwrap();
    world.isolate(nodes[0]);
    let third = world.add_model(Config::default());
    world.join(third, &code);
    world.run_for(3 * SECOND);
    assert!(world.nodes(third).len() < 2);
    let suspect = |event: &Event| matches!(event, Event::NodeSuspect { .. });
    assert_eq!(world.count_events(nodes[0], suspect), 2);
    world.heal_all();
    // What its signaling connection kept arrives, and the joiner gets in.
    let whole = |world: &World| world.nodes(third).len() == 4;
    assert!(world.run_until(10 * SECOND, whole));
}

#[test]
fn a_new_life_hears_nothing_of_the_old_one() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let nodes = star(&mut world, &Config::default(), 3);
        let code = world.code(nodes[0]).unwrap();
        for _ in 0..5 {
            world.broadcast(nodes[0], "to whoever is there").unwrap();
        }
        world.run_for(10 * MS);
        world.crash(nodes[1]);
        world.restart(nodes[1]);
        world.join(nodes[1], &code);
        let whole = |world: &World| world.nodes(nodes[1]).len() >= 3;
        assert!(world.run_until(10 * SECOND, whole));
        assert_eq!(world.message_count(nodes[1]), 0);
        world.run_for(10 * SECOND);
        assert_eq!(world.nodes(nodes[0]).len(), 3, "the old life is gone");
    }
}

#[test]
fn capacity_makes_large_messages_slow() {
    let mut world = World::new(12);
    let nodes = star(&mut world, &patient(), 2);
    world.set_default_path(Path {
        capacity: Some(20_000),
        ..Path::default()
    });
    let sent = world.now();
    world.broadcast(nodes[0], vec![7; 100_000]).unwrap();
    world.run_for(20 * SECOND);
    let message = |event: &Event| matches!(event, Event::Message { .. });
    let (at, _) = world.find_event(nodes[1], message).unwrap();
    let took = at.since(sent);
    assert!(took > 5 * SECOND && took < 6 * SECOND, "{took:?}");
}

#[test]
fn the_timeline_is_for_people() {
    let mut world = World::new(13);
    let host = world.add_model(Config::default());
    let bob = world.add_model(Config::default());
    world.set_name(host, "alice");
    world.set_name(bob, "bob");
    let code = world.host(host);
    world.join(bob, &code);
    world.run_for(SECOND);
    world.keep_timeline();
    world.broadcast(bob, vec![b'x'; 1000]).unwrap();
    world.run_for(50 * MS);
    let told = "alice    -> Event(Message { from: bob, payload: b\"xxxxxxxx";
    assert!(world.timeline().contains(told), "{}", world.timeline());
    assert!(world.timeline().lines().all(|line| line.len() < 400));
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    let run = |seed| {
        let mut world = World::new(seed);
        chaos(&mut world, seed);
        (world.trace_hash(), world.trace_entries())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert_eq!(first_difference(3, |world| chaos(world, 3)), None);
}

/// Stars and meshes with everything on at once, whose nodes come and go: the laws hold.
///
/// More seeds by `WATTLE_SEEDS=from..to`.
#[test]
fn the_core_survives_everything_at_once() {
    let seeds = std::env::var("WATTLE_SEEDS").ok().and_then(|range| {
        let (from, to) = range.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    let mut heard = 0;
    for seed in seeds.unwrap_or(0..40) {
        std::print!("seed {seed}: ");
        let mut world = World::new(seed);
        chaos(&mut world, seed);
        let messages = world.nodes.iter().map(|node| node.messages).sum::<u64>();
        std::println!("{messages} messages heard");
        heard += messages;
    }
    assert!(heard > 1000, "{heard}");
}

/// A star of which every part may fail, drawn from a seed.
fn chaos(world: &mut World, seed: u64) {
    let key = draw::key(seed, Kind::Path, 77, 77);
    let draw = Draw::of(key, 0);
    // Which faults there are at all.
    let on = |lane: u64, most: u16| -> u16 {
        let chosen = draw.chance(lane, 500);
        if chosen {
            draw.below(lane + 100, u64::from(most) + 1) as u16
        } else {
            0
        }
    };
    let path = Path {
        delay: draw.up_to(1, 100 * MS),
        tail: draw.up_to(2, 20 * MS) * u32::from(on(3, 1)),
        jitter: draw.up_to(4, 80 * MS) * u32::from(on(5, 1)),
        loss_per_mille: on(6, 200),
        burst: Burst {
            enter_per_mille: on(7, 10),
            leave_per_mille: 30,
            loss_per_mille: 800,
        },
        duplicate_per_mille: on(8, 200),
        corrupt_per_mille: on(9, 50),
        capacity: draw.chance(10, 200).then_some(60_000),
        ..Path::default()
    };
    world.set_default_path(path);
    world.set_quirks(Quirks {
        late_per_mille: on(11, 300),
        repeated_per_mille: on(12, 500),
        stale_per_mille: on(13, 500),
        close_unnoticed_per_mille: on(14, 500),
        close_late_per_mille: on(15, 500),
        flicker_per_mille: on(16, 500),
        fail_per_mille: on(17, 100),
        ..Quirks::default()
    });
    world.set_signaling_faults(SignalingFaults {
        jitter: draw.up_to(18, SECOND),
        loss_per_mille: on(19, 100),
        duplicate_per_mille: on(20, 300),
        stale_per_mille: on(21, 300),
        refuse_per_mille: on(22, 200),
        refusing: false,
    });
    let count = 2 + draw.below(23, 7) as usize;
    let topology = if draw.chance(28, 500) {
        Topology::Mesh
    } else {
        Topology::Star
    };
    let config = Config::default().with_topology(topology);
    let nodes: Vec<_> = (0..count)
        .map(|_| world.add_model(config.clone()))
        .collect();
    for (lane, node) in (200..).zip(&nodes) {
        world.set_clock(
            *node,
            Clock {
                ahead: draw.up_to(lane, SECOND),
                drift_ppm: draw.below(lane + 100, 401) as i32 - 200,
                late: draw.up_to(lane + 200, 50 * MS) * u32::from(on(24, 1)),
                early_per_mille: on(25, 300),
                repeated_per_mille: on(26, 300),
                backward_per_mille: on(27, 300),
                backward: SECOND,
            },
        );
    }
    let code = hosted(world, nodes[0]);
    for step in 1..400 {
        let draw = Draw::of(key, step);
        let node = nodes[draw.below(0, count as u64) as usize];
        let other = nodes[draw.below(1, count as u64) as usize];
        let id = world.id(other);
        match draw.below(2, 40) {
            0 if node != nodes[0] => world.crash(node),
            1 | 2 => world.restart(node),
            3 => world.partition(node, other),
            4 => world.partition_one_way(node, other),
            5..=8 => world.heal(node, other),
            9 => world.isolate(node),
            10 | 11 => world.heal_all(),
            12 => world.clog(node, other),
            13 => world.unclog(node, other),
            14 => world.sleep(node, draw.up_to(3, 8 * SECOND)),
            15 => world.stop_server(),
            16..=18 => world.start_server(),
            19 if node != nodes[0] => world.leave(node),
            20 => {
                let _ = id.map(|id| world.kick(nodes[0], id));
            }
            21..=30 => {
                if let Some(code) = code {
                    let _ = world.try_join(node, &code);
                }
            }
            31..=36 => {
                let payload = vec![9; draw.below(4, 30_000) as usize];
                let _ = id.map(|id| world.send_to(node, id, payload));
            }
            _ => {}
        }
        for node in &nodes {
            let _ = world.broadcast(*node, vec![1; 1 + draw.below(5, 300) as usize]);
            let _ = world.broadcast_state(*node, vec![2; 1 + draw.below(6, 300) as usize]);
        }
        world.run_for(draw.up_to(7, 500 * MS));
    }
    world.heal_all();
    world.run_for(60 * SECOND);
    for node in nodes {
        world.leave(node);
    }
    world.run_for(60 * SECOND);
}

/// The code of a network that is hosted, if the faults let it be.
fn hosted(world: &mut World, node: NodeIndex) -> Option<crate::code::NetworkCode> {
    for _ in 0..20 {
        let _ = world.try_host(node, crate::network::Hosting::Signaling { code: None });
        world.run_until(60 * SECOND, |world| world.code(node).is_some());
        if let Some(code) = world.code(node) {
            return Some(code);
        }
    }
    None
}

#[cfg(feature = "native")]
mod native {
    use super::*;

    fn pair(world: &mut World) -> [NodeIndex; 2] {
        let nodes = [(); 2].map(|()| world.add_native(Config::default()));
        let code = world.host(nodes[0]);
        world.join(nodes[1], &code);
        let whole = |world: &World| nodes.iter().all(|node| world.nodes(*node).len() == 2);
        assert!(world.run_until(30 * SECOND, whole));
        nodes
    }

    #[test]
    fn full_nodes_survive_what_happens_to_datagrams() {
        for seed in 0..5 {
            let mut world = World::new(seed);
            world.set_default_path(Path {
                jitter: 30 * MS,
                loss_per_mille: 30,
                duplicate_per_mille: 200,
                corrupt_per_mille: 50,
                mtu: 1280,
                capacity: Some(200_000),
                ..Path::default()
            });
            let nodes = pair(&mut world);
            for n in 0..20 {
                world.broadcast(nodes[0], n.to_string()).unwrap();
                world.run_for(100 * MS);
            }
            world.clog(nodes[0], nodes[1]);
            world.run_for(2 * SECOND);
            world.unclog(nodes[0], nodes[1]);
            world.sleep(nodes[1], 2 * SECOND);
            world.run_for(10 * SECOND);
            let expected: Vec<_> = (0..20).map(|n| n.to_string()).collect();
            assert_eq!(texts(&world, nodes[1]), expected, "seed {seed}");
        }
    }

    #[test]
    fn two_runs_of_full_nodes_leave_the_same_trace() {
        let difference = first_difference(1, |world| {
            let nodes = pair(world);
            for n in 0..20 {
                world.broadcast(nodes[0], n.to_string()).unwrap();
                world.run_for(100 * MS);
            }
        });
        assert_eq!(difference, None);
    }

    #[test]
    fn old_datagrams_reach_the_new_life_at_the_same_address() {
        let mut world = World::new(3);
        let nodes = pair(&mut world);
        for _ in 0..10 {
            world.broadcast(nodes[0], "to whoever is there").unwrap();
        }
        world.crash(nodes[1]);
        world.restart(nodes[1]);
        world.run_for(SECOND);
        assert_eq!(world.message_count(nodes[1]), 0);
        let counters = world.stats(nodes[1]).unwrap().counters;
        assert!(counters.datagrams_dropped > 0, "{counters:?}");
    }
}
