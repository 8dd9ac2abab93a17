//! Native nodes with TURN servers, in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    reason = "what the tests share is as much a test as they are"
)]

use core::net::SocketAddr;
use core::time::Duration;

use wattle_core::sim::{
    Dependence, Knowledge, NatConfig, NodeIndex, Path, Place, PortChoice, Reach, StunConfig,
    TurnConfig, TurnFault, World,
};
use wattle_core::{
    CandidateKind, Config, ConnectReport, EndReason, Event, IcePolicy, IceServer, LeaveReason,
    Phase, Topology, Verdict,
};
use wattle_tests::{assemble, ended, messages, settle};

const MINUTE: Duration = Duration::from_secs(60);

fn turn(address: SocketAddr, password: &str) -> IceServer {
    IceServer::turn(&format!("turn:{address}"), "player", password).unwrap()
}

/// Settings with these servers, asked for relay addresses (which tells the mapped one, too).
fn asking(servers: &[SocketAddr]) -> Config {
    let servers = servers.iter().map(|address| turn(*address, "secret"));
    Config::default().with_ice_servers(servers.collect())
}

/// Settings with a STUN server alone: whoever has a relay must be told whom to let in.
fn stun(server: SocketAddr) -> Config {
    let stun = IceServer::stun(&format!("stun:{server}")).unwrap();
    Config::default().with_ice_servers(vec![stun])
}

/// A strict box: nobody gets in who was not sent to, and every destination sees another port.
fn strict() -> NatConfig {
    NatConfig {
        ports: PortChoice::Random,
        ..NatConfig::symmetric()
    }
}

fn native(world: &mut World, config: Config, place: Place) -> NodeIndex {
    let servers = config.ice_servers();
    let knowledge = match servers.first().and_then(IceServer::username) {
        Some(_) => Knowledge::Turn,
        None if servers.is_empty() => Knowledge::Host,
        None => Knowledge::Stun,
    };
    let node = world.add_native_at(config, place);
    world.set_knowledge(node, knowledge);
    node
}

fn joins(world: &mut World, host: NodeIndex, joiner: NodeIndex) -> bool {
    let code = world.host(host);
    settle(world);
    world.join(joiner, &code);
    world.run_until(MINUTE, |world| {
        world.nodes(joiner).len() == 2 || ended(world, joiner).is_some()
    });
    world.nodes(joiner).len() == 2
}

fn report(world: &World, node: NodeIndex) -> ConnectReport {
    let report = world.events(node).find_map(|event| match event {
        Event::ConnectReport(report) => Some(report.clone()),
        _ => None,
    });
    *report.unwrap()
}

/// Two nodes behind strict boxes, a TURN server for those of them that are told of it.
fn strict_pair(
    world: &mut World,
    config: TurnConfig,
    who: [bool; 2],
) -> ([NodeIndex; 2], SocketAddr) {
    let server = world.add_turn_server(config);
    let nodes = who.map(|has| {
        let config = if has {
            asking(&server[..1])
        } else {
            stun(server[0])
        };
        let home = world.add_nat(strict());
        native(world, config, home.into())
    });
    (nodes, server[0])
}

fn talk(world: &mut World, nodes: &[NodeIndex]) {
    let before: Vec<usize> = nodes
        .iter()
        .map(|node| messages(world, *node).len())
        .collect();
    for node in nodes {
        world.broadcast(*node, "hello").unwrap();
    }
    world.run_for(Duration::from_secs(3));
    for (node, before) in nodes.iter().zip(before) {
        assert_eq!(messages(world, *node).len(), before + nodes.len() - 1);
    }
}

#[test]
fn one_relay_is_enough_whoever_has_it() {
    for who in [[true, true], [true, false], [false, true]] {
        let mut world = World::new(1);
        let (nodes, server) = strict_pair(&mut world, TurnConfig::default(), who);
        let [host, joiner] = nodes;
        assert_eq!(world.reach(host, joiner), Reach::RelayOnly);
        let start = world.now();
        assert!(joins(&mut world, host, joiner), "{who:?}");
        println!("{who:?}: in after {:?}", world.now().since(start));
        talk(&mut world, &nodes);
        let report = report(&world, joiner);
        assert_eq!(report.verdict, Verdict::ConnectedByRelay, "{report:#?}");
        let count = who.iter().filter(|has| **has).count();
        assert_eq!(world.turn_allocations(server), count);
        world.leave(joiner);
        world.leave(host);
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.turn_allocations(server), 0, "{who:?}: not given back");
    }
}

#[test]
fn with_turn_all_pairs_connect_by_what_the_oracle_says() {
    let whole = std::env::var_os("WATTLE_WHOLE").is_some();
    let ports: &[PortChoice] = if whole {
        &PortChoice::ALL
    } else {
        &[PortChoice::Random]
    };
    let mut kinds = Vec::new();
    for mapping in Dependence::ALL {
        for filtering in Dependence::ALL {
            kinds.extend(ports.iter().map(|ports| NatConfig {
                mapping,
                filtering,
                ports: *ports,
                ..NatConfig::default()
            }));
        }
    }
    let mut tally = [0, 0];
    for (n, one) in kinds.iter().enumerate() {
        for (m, other) in kinds.iter().enumerate().skip(if whole { 0 } else { n }) {
            let mut world = World::new(2);
            let server = world.add_turn_server(TurnConfig::default());
            // Every other time only one of the two has it.
            let both = (n + m) % 2 == 0;
            let nodes = [(one, true), (other, both)].map(|(kind, has)| {
                let home = world.add_nat(*kind);
                let config = if has {
                    asking(&server[..1])
                } else {
                    stun(server[0])
                };
                native(&mut world, config, home.into())
            });
            let reach = world.reach(nodes[0], nodes[1]);
            assert!(
                joins(&mut world, nodes[0], nodes[1]),
                "{one:?} and {other:?}"
            );
            // A relay may be there first, and be replaced.
            settle(&mut world);
            talk(&mut world, &nodes);
            tally[usize::from(reach == Reach::Direct)] += 1;
        }
    }
    println!("{} pairs direct, {} by relay", tally[1], tally[0]);
    assert_eq!(tally, if whole { [36 * 9, 45 * 9] } else { [20, 25] });
}

/// Both have a relay, which may well be found first.
#[test]
fn who_can_go_directly_does() {
    let whole = std::env::var_os("WATTLE_WHOLE").is_some();
    let seeds = if whole { 0..20 } else { 0..2 };
    let mut kinds = Vec::new();
    for mapping in Dependence::ALL {
        for filtering in Dependence::ALL {
            kinds.push(NatConfig {
                mapping,
                filtering,
                ports: PortChoice::Random,
                ..NatConfig::default()
            });
        }
    }
    let looks = [0, 200, 1000, 3000];
    let (mut worlds, mut relayed) = (0, [0; 4]);
    for seed in seeds {
        for (n, one) in kinds.iter().enumerate() {
            for other in kinds.iter().skip(n) {
                let mut world = World::new(seed);
                let server = world.add_turn_server(TurnConfig::default());
                world.set_default_path(Path {
                    jitter: Duration::from_millis(20),
                    loss_per_mille: 50,
                    ..Path::default()
                });
                let nodes = [one, other].map(|kind| {
                    let home = world.add_nat(*kind);
                    native(&mut world, asking(&server[..1]), home.into())
                });
                if world.reach(nodes[0], nodes[1]) != Reach::Direct {
                    continue;
                }
                // To the server it is not far, and so the relay comes first.
                world.set_path(
                    nodes[0],
                    nodes[1],
                    Path {
                        delay: Duration::from_millis(120),
                        loss_per_mille: 100,
                        ..Path::default()
                    },
                );
                assert!(joins(&mut world, nodes[0], nodes[1]));
                worlds += 1;
                let begin = world.now();
                for (look, relayed) in looks.into_iter().zip(&mut relayed) {
                    let passed = world.now().since(begin);
                    world.run_for(Duration::from_millis(look).saturating_sub(passed));
                    // Which way it goes, what is sent shows.
                    for node in nodes {
                        world.broadcast(node, "hello").unwrap();
                    }
                    let count = nodes.map(|node| world.links_by_relay(node));
                    *relayed += usize::from(count != [0, 0]);
                }
                let count = nodes.map(|node| world.links_by_relay(node));
                assert_eq!(count, [0, 0], "{seed}: {one:?} and {other:?}");
            }
        }
    }
    println!("of {worlds} links, by a relay {looks:?} ms after joining: {relayed:?}");
}

/// A direct path that was dark for long is found again, though str0m has given it up.
#[test]
fn a_link_that_went_over_to_a_relay_comes_back() {
    for dark in [10, 60, 300] {
        let mut world = World::new(11);
        let server = world.add_turn_server(TurnConfig::default());
        let nodes = [(); 2].map(|()| {
            let home = world.add_nat(NatConfig::default());
            native(&mut world, asking(&server[..1]), home.into())
        });
        assert!(joins(&mut world, nodes[0], nodes[1]));
        let by_relay = |world: &World| nodes.map(|node| world.links_by_relay(node));
        world.run_for(Duration::from_secs(20));
        assert_eq!(by_relay(&world), [0, 0]);
        world.partition(nodes[0], nodes[1]);
        world.run_for(Duration::from_secs(dark));
        talk(&mut world, &nodes);
        assert_eq!(by_relay(&world), [1, 1], "after {dark} s");
        world.heal(nodes[0], nodes[1]);
        let healed = world.now();
        while by_relay(&world) != [0, 0] {
            // Which way it goes, what is sent shows.
            talk(&mut world, &nodes);
            let waited = world.now().since(healed);
            assert!(waited < Duration::from_secs(70), "after {dark} s");
        }
        println!(
            "{dark} s dark: direct again after {:?}",
            world.now().since(healed)
        );
        talk(&mut world, &nodes);
        let left = |event: &Event| matches!(event, Event::NodeLeft { .. });
        assert!(
            nodes
                .iter()
                .all(|node| world.count_events(*node, left) == 0)
        );
    }
}

/// Nothing of ours may be seen: not in a candidate, and not as the source of a datagram.
#[test]
fn with_relay_only_no_address_leaves() {
    for who in [[true, true], [true, false], [false, true]] {
        let mut world = World::new(3);
        world.keep_timeline();
        let server = world.add_turn_server(TurnConfig::default());
        let nodes = who.map(|relay_only| {
            let config = asking(&server[..1]);
            let config = if relay_only {
                config.with_ice_policy(IcePolicy::RelayOnly)
            } else {
                config
            };
            native(&mut world, config, Place::internet().dual_stack())
        });
        assert!(joins(&mut world, nodes[0], nodes[1]), "{who:?}");
        talk(&mut world, &nodes);
        world.run_for(MINUTE);
        talk(&mut world, &nodes);
        let hidden = [(0, "node-0"), (1, "node-1")];
        let hidden = hidden.into_iter().filter(|(n, _)| who[*n]);
        for (_, name) in hidden {
            let lines = world.timeline().lines();
            let sent: Vec<&str> = lines
                .filter(|line| {
                    line.contains(name) && line.contains("-> ") && line.contains("Transmit(")
                })
                .collect();
            assert!(sent.len() > 50, "{}", sent.len());
            let elsewhere = sent.iter().find(|line| {
                let to = line.split("Transmit(").nth(1).unwrap();
                to.split(", ").nth(1).unwrap().trim_end_matches(')') != server[0].to_string()
            });
            assert_eq!(elsewhere, None, "{who:?}");
        }
        // What the other side was told.
        let report = report(&world, nodes[1]);
        for (n, candidates) in [(1, &report.local), (0, &report.remote)] {
            let kinds = candidates.iter().map(|candidate| candidate.kind);
            let relays = kinds
                .clone()
                .filter(|kind| *kind == CandidateKind::Relay)
                .count();
            assert!(relays > 0);
            assert!(!who[n] || relays == kinds.count(), "{report:#?}");
            assert!(
                !who[n]
                    || candidates
                        .iter()
                        .all(|candidate| candidate.related.is_none())
            );
        }
        assert_eq!(report.verdict, Verdict::ConnectedByRelay);
    }
}

#[test]
fn one_allocation_serves_all_links() {
    let mut world = World::new(4);
    let server = world.add_turn_server(TurnConfig::default());
    let config = asking(&server[..1]).with_topology(Topology::Star);
    let mut nodes = Vec::new();
    for n in 0..4 {
        let home = world.add_nat(strict());
        let config = if n == 0 {
            config.clone()
        } else {
            stun(server[0])
        };
        nodes.push(native(&mut world, config, home.into()));
    }
    assemble(&mut world, &nodes);
    assert_eq!(world.turn_allocations(server[0]), 1);
    talk(&mut world, &nodes);
}

#[test]
fn short_lives_of_everything_at_the_server_are_not_noticed() {
    // Refreshed at half time: at least so often in a minute, by one node.
    for (lifetime, refreshes) in [(30, 4), (10, 12), (5, 24)] {
        let mut world = World::new(5);
        let config = TurnConfig {
            lifetime: Duration::from_secs(lifetime),
            nonce_lifetime: Duration::from_secs(45),
            ..TurnConfig::default()
        };
        let (nodes, server) = strict_pair(&mut world, config, [true, false]);
        assert!(joins(&mut world, nodes[0], nodes[1]));
        for _ in 0..20 {
            let before = world.turn_requests(server);
            world.run_for(MINUTE);
            let requests = world.turn_requests(server) - before;
            // Stale nonces, permissions and the STUN bindings of both come to a few more.
            assert!(
                (refreshes..=refreshes + 10).contains(&requests),
                "{lifetime} s: {requests}"
            );
            talk(&mut world, &nodes);
        }
        assert_eq!(world.turn_allocations(server), 1);
        for node in nodes {
            let noticed = world.events(node).any(|event| {
                matches!(
                    event,
                    Event::NodeSuspect { .. } | Event::NodeLost { .. } | Event::NodeBack { .. }
                )
            });
            assert!(!noticed, "{lifetime} s");
        }
    }
}

#[test]
fn wrong_credentials_are_told_and_can_be_replaced() {
    let mut world = World::new(6);
    let config = TurnConfig {
        password: "other".into(),
        ..TurnConfig::default()
    };
    let (nodes, server) = strict_pair(&mut world, config, [true, true]);
    let [host, joiner] = nodes;
    let stun = IceServer::stun(&format!("stun:{server}")).unwrap();
    world.set_ice_servers(joiner, vec![turn(server, "secret"), stun]);
    assert!(!joins(&mut world, host, joiner));
    assert_eq!(ended(&world, joiner), Some(EndReason::TimedOut(Phase::Ice)));
    assert_eq!(
        report(&world, joiner).verdict,
        Verdict::TurnCredentialsRefused
    );
    world.set_ice_servers(host, vec![turn(server, "other")]);
    settle(&mut world);
    assert_eq!(world.turn_allocations(server), 1);
    let code = world.code(host).unwrap();
    world.join(joiner, &code);
    assert!(world.run_until(MINUTE, |world| world.nodes(joiner).len() == 2));
    // New ones, before the old ones expire.
    let config = TurnConfig {
        password: "third".into(),
        lifetime: Duration::from_secs(60),
        ..TurnConfig::default()
    };
    world.set_turn_server(server, config);
    world.set_ice_servers(host, vec![turn(server, "third")]);
    for _ in 0..5 {
        world.run_for(MINUTE * 3);
        talk(&mut world, &nodes);
    }
    let left = world.events(host).any(
        |event| matches!(event, Event::NodeLeft { reason, .. } if *reason == LeaveReason::Lost),
    );
    assert!(!left);
}

/// As services do it: each credential has a name of its own, which the server ties the allocation to.
#[test]
fn names_that_run_out_are_replaced_and_nothing_is_lost() {
    let mut world = World::new(12);
    let config = TurnConfig {
        lifetime: Duration::from_secs(60),
        ..TurnConfig::default()
    };
    let (nodes, server) = strict_pair(&mut world, config.clone(), [true, true]);
    assert!(joins(&mut world, nodes[0], nodes[1]));
    let mut sent = 0;
    let mut longest = Duration::ZERO;
    for round in 0..5 {
        let username = format!("{round}:player");
        let url = format!("turn:{server}");
        let fresh = IceServer::turn(&url, &username, "secret").unwrap();
        for node in nodes {
            world.set_ice_servers(node, vec![fresh.clone()]);
        }
        world.run_for(Duration::from_secs(10));
        world.set_turn_server(
            server,
            TurnConfig {
                username,
                ..config.clone()
            },
        );
        for _ in 0..180 {
            let before = messages(&world, nodes[1]).len();
            let begin = world.now();
            world.broadcast(nodes[0], "tick").unwrap();
            sent += 1;
            world.run_until(MINUTE, |world| messages(world, nodes[1]).len() > before);
            longest = longest.max(world.now().since(begin));
            let passed = world.now().since(begin);
            world.run_for(Duration::from_secs(1).saturating_sub(passed));
        }
    }
    println!("the longest that a message took: {longest:?}");
    assert_eq!(messages(&world, nodes[1]).len(), sent);
    assert!(longest < Duration::from_secs(6));
    let left = |event: &Event| matches!(event, Event::NodeLeft { .. });
    assert!(
        nodes
            .iter()
            .all(|node| world.count_events(*node, left) == 0)
    );
}

/// The server lets in addresses, and what is inside a box has none that others know.
#[test]
fn a_relay_is_of_no_use_to_whom_nobody_knows() {
    for strict_side in [true, false] {
        let mut world = World::new(13);
        let server = world.add_turn_server(TurnConfig::default());
        let homes = [(); 2].map(|()| world.add_nat(strict()));
        let host = native(&mut world, asking(&server[..1]), homes[0].into());
        let place = if strict_side {
            homes[1].into()
        } else {
            Place::internet()
        };
        let nothing = Config::default().with_ice_servers(Vec::new());
        let joiner = native(&mut world, nothing, place);
        let expected = if strict_side {
            Reach::Unreachable
        } else {
            Reach::Direct
        };
        assert_eq!(world.reach(host, joiner), expected);
        assert_eq!(joins(&mut world, host, joiner), !strict_side);
    }
}

#[test]
fn a_server_that_forgets_everything_is_asked_anew() {
    let mut world = World::new(7);
    let (nodes, server) = strict_pair(&mut world, TurnConfig::default(), [true, true]);
    assert!(joins(&mut world, nodes[0], nodes[1]));
    world.restart_turn_server(server);
    assert_eq!(world.turn_allocations(server), 0);
    assert!(world.run_until(
        Duration::from_secs(30),
        |world| world.turn_allocations(server) == 2
    ));
    // Over the new addresses, which takes a negotiation. Nobody waits until the other is lost.
    let begin = world.now();
    world.broadcast(nodes[0], "again").unwrap();
    let passes = |world: &World| !messages(world, nodes[1]).is_empty();
    assert!(world.run_until(Duration::from_secs(5), passes));
    println!(
        "through {:?} after the allocations",
        world.now().since(begin)
    );
    let lost = |event: &Event| matches!(event, Event::NodeLost { .. });
    assert!(
        nodes
            .iter()
            .all(|node| world.count_events(*node, lost) == 0)
    );
    talk(&mut world, &nodes);
}

/// A host behind a box that lets nobody in is reached by its relay alone. It cannot tell its joiners that this is
/// gone; they find out by its silence. It has another one at once, from a second server or the same.
#[test]
fn a_host_that_lost_its_relay_is_found_again_soon() {
    for (second, talks) in [(false, true), (false, false), (true, true), (true, false)] {
        let mut world = World::new(21);
        let servers = [(); 2].map(|()| world.add_turn_server(TurnConfig::default())[0]);
        let homes = [(); 2].map(|()| world.add_nat(strict()));
        let host = asking(&servers[..1 + usize::from(second)]);
        let host = native(&mut world, host, homes[0].into());
        let joiner = native(&mut world, stun(servers[1]), homes[1].into());
        assert!(joins(&mut world, host, joiner));
        pause(&mut world, [host, joiner], talks, 2_000);
        if second {
            let silent = TurnConfig {
                fault: TurnFault::Silence,
                ..TurnConfig::default()
            };
            world.set_turn_server(servers[0], silent);
        }
        world.restart_turn_server(servers[0]);
        let longest = pause(&mut world, [host, joiner], talks, 12_000);
        println!("second {second}, talks {talks}: {longest:?}");
        assert!(longest <= Duration::from_millis(1_500), "{longest:?}");
    }
}

/// The longest that one of two heard nothing of the other while both talked for so long, or until each heard the
/// only word that was said.
fn pause(world: &mut World, nodes: [NodeIndex; 2], talks: bool, millis: u64) -> Duration {
    let begin = world.now();
    let count = |world: &World, node| messages(world, node).len();
    let mut last = nodes.map(|node| (count(world, node), begin));
    let first = last;
    let mut longest = Duration::ZERO;
    while world.now().since(begin) < Duration::from_millis(millis) {
        if talks || world.now() == begin {
            for node in nodes {
                world.broadcast(node, "tick").unwrap();
            }
        }
        world.run_for(Duration::from_millis(20));
        for ((node, last), first) in nodes.into_iter().zip(&mut last).zip(first) {
            let count = count(world, node);
            if count > last.0 || (!talks && count > first.0) {
                *last = (count, world.now());
            }
            longest = longest.max(world.now().since(last.1));
        }
    }
    longest
}

#[test]
fn a_redirection_is_followed_and_bad_servers_harm_nobody() {
    let mut world = World::new(8);
    let good = world.add_turn_server(TurnConfig::default());
    let faults = [
        TurnFault::Silence,
        TurnFault::Error(508),
        TurnFault::StaleNonce,
        TurnFault::BadIntegrity,
        TurnFault::Garbage,
        TurnFault::Noise,
        TurnFault::Redirect(good[0]),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let bad = world.add_turn_server(TurnConfig {
            fault,
            ..TurnConfig::default()
        });
        let homes = [(); 2].map(|()| world.add_nat(strict()));
        let follows = matches!(fault, TurnFault::Redirect(_));
        let servers = if follows {
            vec![bad[0]]
        } else {
            vec![bad[0], good[0]]
        };
        // Named, so that the world lets them send there.
        let mut config = asking(&servers);
        if follows {
            let stun = IceServer::stun(&format!("stun:{}", good[0])).unwrap();
            let servers = [config.ice_servers(), &[stun]].concat();
            config = config.with_ice_servers(servers);
        }
        let nodes = homes.map(|home| native(&mut world, config.clone(), home.into()));
        assert!(joins(&mut world, nodes[0], nodes[1]), "{fault:?}");
        talk(&mut world, &nodes);
        assert_eq!(world.turn_allocations(good[0]), 2, "{n}");
        for node in nodes {
            world.leave(node);
        }
        world.run_for(Duration::from_secs(5));
    }
}

/// One socket has one allocation at one address of a server (RFC 8656 section 5), so that this takes
/// a second one.
#[test]
fn an_address_of_the_other_family_is_borrowed_when_somebody_needs_it() {
    let mut world = World::new(9);
    let server = world.add_turn_server(TurnConfig::default());
    world.set_name_addresses("turn.example", &server.map(|address| address.ip()));
    let named = IceServer::turn("turn:turn.example", "player", "secret").unwrap();
    let config = Config::default()
        .with_ice_servers(vec![named])
        .with_ice_policy(IcePolicy::RelayOnly);
    let host = native(&mut world, config, Place::internet().dual_stack());
    let place = Place::internet().ipv6_only();
    let joiner = native(&mut world, Config::default(), place);
    assert!(joins(&mut world, host, joiner));
    talk(&mut world, &[host, joiner]);
    assert_eq!(world.turn_allocations(server[0]), 2);
}

/// Two names of one server: the second allocation would push the first away, and so on.
#[test]
fn two_urls_of_one_server_do_not_fight() {
    let mut world = World::new(10);
    let server = world.add_turn_server(TurnConfig::default());
    world.set_name_addresses("turn.example", &[server[0].ip()]);
    let named = IceServer::turn("turn:turn.example", "player", "secret").unwrap();
    let config = Config::default().with_ice_servers(vec![named, turn(server[0], "secret")]);
    let homes = [(); 2].map(|()| world.add_nat(strict()));
    let nodes = homes.map(|home| native(&mut world, config.clone(), home.into()));
    assert!(joins(&mut world, nodes[0], nodes[1]));
    let before = world.datagram_count(nodes[0]);
    world.run_for(MINUTE);
    talk(&mut world, &nodes);
    assert_eq!(world.turn_allocations(server[0]), 2);
    assert!(world.datagram_count(nodes[0]) - before < 2000);
}

/// The old name has run out by then, so that the new one alone opens the door; and where the old one was
/// refused, the server takes no other for a minute. However long the allocation would have lasted.
#[test]
fn after_a_restart_the_new_name_is_used() {
    for lifetime in [6, 600] {
        let waited = new_name_after_a_restart(Duration::from_secs(lifetime));
        println!("lifetime {lifetime} s: through after {waited:?}");
    }
}

fn new_name_after_a_restart(lifetime: Duration) -> Duration {
    let mut world = World::new(12);
    let config = TurnConfig {
        lifetime,
        ..TurnConfig::default()
    };
    let (nodes, server) = strict_pair(&mut world, config.clone(), [true, true]);
    assert!(joins(&mut world, nodes[0], nodes[1]));
    world.run_for(Duration::from_secs(3));
    let username = "late:player";
    let url = format!("turn:{server}");
    for node in nodes {
        let fresh = IceServer::turn(&url, username, "secret").unwrap();
        world.set_ice_servers(node, vec![fresh]);
    }
    world.run_for(Duration::from_secs(5));
    world.set_turn_server(
        server,
        TurnConfig {
            username: username.into(),
            ..config
        },
    );
    world.restart_turn_server(server);
    let restarted = world.now();
    world.broadcast(nodes[0], "again").unwrap();
    let passes = |world: &World| !messages(world, nodes[1]).is_empty();
    assert!(world.run_until(Duration::from_secs(8), passes));
    let waited = world.now().since(restarted);
    let gone = |event: &Event| matches!(event, Event::NodeLeft { .. });
    assert!(!world.events(nodes[0]).any(gone));
    // Both have a new address there, and keep it.
    world.run_for(MINUTE);
    assert_eq!(world.turn_allocations(server), 2);
    talk(&mut world, &nodes);
    waited
}

/// What servers cost whoever joins: datagrams until it is in. (`tests/nat/figures.test.mjs` shows the same with
/// real servers, on a machine that may be busy.)
#[test]
fn servers_cost_few_datagrams() {
    let datagrams = |ask: &dyn Fn(&mut World) -> Vec<IceServer>| {
        let mut world = World::new(3);
        let servers = ask(&mut world);
        let config = || Config::default().with_ice_servers(servers.clone());
        let home = world.add_nat(NatConfig::default());
        let host = native(&mut world, config(), Place::internet());
        let joiner = native(&mut world, config(), home.into());
        assert!(joins(&mut world, host, joiner));
        world.datagram_count(joiner)
    };
    let stuns = |world: &mut World| -> Vec<IceServer> {
        let servers = [(); 2].map(|()| world.add_stun_server(StunConfig::default()));
        servers
            .iter()
            .map(|server| IceServer::stun(&format!("stun:{}", server[0])).unwrap())
            .collect()
    };
    let none = datagrams(&|_| Vec::new());
    let stun = datagrams(&stuns);
    let both = datagrams(&|world| {
        let mut servers = stuns(world);
        let relay = world.add_turn_server(TurnConfig::default());
        servers.push(turn(relay[0], "secret"));
        servers
    });
    println!("{none} without servers, {stun} with STUN, {both} with TURN as well");
    // One request to each server, and one more check for each candidate that comes of it.
    assert!(stun <= none + 8, "{stun} with STUN, {none} without");
    assert!(both <= stun + 20, "{both} with TURN, {stun} without");
}
