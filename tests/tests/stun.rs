//! Native nodes with STUN servers, in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "what the tests share is as much a test as they are"
)]

use core::net::SocketAddr;
use core::time::Duration;

use wattle_core::sim::{
    Dependence, Knowledge, NatConfig, NodeIndex, Path, Place, PortChoice, Reach, StunAnswer,
    StunConfig, World,
};
use wattle_core::{Config, EndReason, Event, IceServer, Phase, Topology};
use wattle_tests::{assemble, ended, messages, settle};

const MINUTE: Duration = Duration::from_secs(60);

/// Settings with these servers.
fn asking(servers: &[SocketAddr]) -> Config {
    let server = |address| IceServer::stun(&format!("stun:{address}")).unwrap();
    Config::default().with_ice_servers(servers.iter().map(server).collect())
}

/// A node that has a STUN server, which the oracle is told, too.
fn native(world: &mut World, servers: &[SocketAddr], place: Place) -> NodeIndex {
    let node = world.add_native_at(asking(servers), place);
    world.set_knowledge(node, Knowledge::Stun);
    node
}

/// Mapping, filtering and choice of ports in all ways.
fn kinds(ports: &[PortChoice]) -> Vec<NatConfig> {
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
    kinds
}

/// Lets the second join the first: whether that works, and that the oracle said so.
fn joins(world: &mut World, host: NodeIndex, joiner: NodeIndex) -> bool {
    let code = world.host(host);
    settle(world);
    world.join(joiner, &code);
    let joined = world.run_until(MINUTE, |world| {
        world.nodes(joiner).len() == 2 || ended(world, joiner).is_some()
    });
    assert!(joined, "neither in nor out");
    let joined = world.nodes(joiner).len() == 2;
    if !joined {
        let reason = EndReason::TimedOut(Phase::Ice);
        assert_eq!(ended(world, joiner), Some(reason));
    }
    joined
}

/// Every pair of boxes is a world in which two nodes with STUN try to join.
///
/// With `WATTLE_WHOLE=1` all choices of ports are tried against all; else those that are the hardest
/// to guess.
#[test]
fn nodes_with_stun_connect_where_the_oracle_says_so() {
    let whole = std::env::var_os("WATTLE_WHOLE").is_some();
    let kinds = kinds(if whole {
        &PortChoice::ALL
    } else {
        &[PortChoice::Random]
    });
    let mut tally = [0, 0];
    for (n, one) in kinds.iter().enumerate() {
        for other in kinds.iter().skip(if whole { 0 } else { n }) {
            let mut world = World::new(1);
            let server = world.add_stun_server(StunConfig::default());
            let homes = [one, other].map(|kind| world.add_nat(*kind));
            let [host, joiner] = homes.map(|home| native(&mut world, &server, Place::behind(home)));
            let reach = world.reach(host, joiner);
            let joined = joins(&mut world, host, joiner);
            assert_eq!(joined, reach == Reach::Direct, "{one:?} and {other:?}");
            tally[usize::from(joined)] += 1;
        }
    }
    println!("{} pairs connected, {} did not", tally[1], tally[0]);
    assert_eq!(tally, if whole { [36 * 9, 45 * 9] } else { [20, 25] });
}

/// Boxes behind boxes, two homes behind one carrier, a shared box with and without hairpinning.
#[test]
fn nodes_with_stun_behind_several_boxes_connect_where_the_oracle_says_so() {
    let kinds = kinds(&[PortChoice::Preserve, PortChoice::Random]);
    let whole = std::env::var_os("WATTLE_WHOLE").is_some();
    let step = if whole { 1 } else { 17 };
    let mut tally = [0, 0];
    let pairs = kinds.len() * kinds.len() * 4;
    for n in (0..pairs).step_by(step) {
        let (shape, one, other) = (n % 4, n / 4 % kinds.len(), n / 4 / kinds.len());
        let (one, other) = (kinds.get(one).unwrap(), kinds.get(other).unwrap());
        let mut world = World::new(2);
        let server = world.add_stun_server(StunConfig::default());
        let outer = NatConfig {
            hairpin: shape != 0,
            ..*one
        };
        let outer = world.add_nat(outer);
        let homes = match shape {
            // Two homes behind one carrier.
            0 | 1 => [outer, world.add_nat_behind(*other, outer)],
            2 => [*one, *other].map(|kind| world.add_nat_behind(kind, outer)),
            _ => [world.add_nat_behind(*other, outer), world.add_nat(*other)],
        };
        let [host, joiner] = homes.map(|home| native(&mut world, &server, Place::behind(home)));
        let reach = world.reach(host, joiner);
        let joined = joins(&mut world, host, joiner);
        assert_eq!(
            joined,
            reach == Reach::Direct,
            "{shape}: {one:?}, {other:?}"
        );
        tally[usize::from(joined)] += 1;
    }
    println!("{} pairs connected, {} did not", tally[1], tally[0]);
    assert!(tally[0] > 5 && tally[1] > 5);
}

/// When a joiner is in, and after how many datagrams of both.
fn joined_after(config: [Config; 2], seed: u64, set: impl FnOnce(&mut World)) -> (Duration, u64) {
    let mut world = World::new(seed);
    let delay = Duration::from_millis(50);
    world.set_default_path(Path {
        delay,
        ..Path::default()
    });
    world.set_signaling_delay(delay);
    set(&mut world);
    let [host, joiner] = config.map(|config| world.add_native(config));
    let code = world.host(host);
    settle(&mut world);
    let start = world.now();
    world.join(joiner, &code);
    assert!(world.run_until(MINUTE, |world| world.nodes(joiner).len() == 2));
    let after = world.now().since(start);
    settle(&mut world);
    let datagrams = [host, joiner].map(|node| world.datagram_count(node));
    (after, datagrams.iter().sum())
}

#[test]
fn a_stun_server_costs_no_trip_when_host_candidates_work() {
    for seed in 0..5 {
        let server: [SocketAddr; 2] =
            ["192.0.2.1:3478", "[2001:db8:ffff::1]:3478"].map(|address| address.parse().unwrap());
        let without = joined_after([Config::default(), Config::default()], seed, |_| {});
        for answer in [StunAnswer::Mapped, StunAnswer::Silence, StunAnswer::Garbage] {
            let config = StunConfig {
                answer,
                ..StunConfig::default()
            };
            let with = joined_after([asking(&server), asking(&server)], seed, |world| {
                assert_eq!(world.add_stun_server(config), server);
            });
            println!("{answer:?}: {with:?}; without a server {without:?}");
            assert_eq!(with.0, without.0, "{answer:?}");
        }
    }
}

#[test]
fn the_first_answer_counts_and_a_silent_server_delays_nobody() {
    let mut took = Vec::new();
    for silent in [false, true] {
        let mut world = World::new(3);
        let good = world.add_stun_server(StunConfig::default());
        let bad = world.add_stun_server(StunConfig {
            answer: StunAnswer::Silence,
            ..StunConfig::default()
        });
        let servers = if silent {
            [bad, good].concat()
        } else {
            good.to_vec()
        };
        let homes = [(); 2].map(|()| world.add_nat(NatConfig::default()));
        let [host, joiner] = homes.map(|home| native(&mut world, &servers, home.into()));
        let start = world.now();
        assert!(joins(&mut world, host, joiner));
        took.push(world.now().since(start));
    }
    assert_eq!(took.first(), took.last());
}

#[test]
fn names_are_looked_up_again_until_they_have_an_address() {
    let mut world = World::new(4);
    let server = world.add_stun_server(StunConfig::default());
    let stun = IceServer::stun("stun:stun.example").unwrap();
    let config = Config::default().with_ice_servers(vec![stun]);
    let homes = [(); 2].map(|()| world.add_nat(NatConfig::default()));
    let [host, joiner] = homes.map(|home| world.add_native_at(config.clone(), Place::behind(home)));
    let code = world.host(host);
    world.join(joiner, &code);
    world.run_for(Duration::from_secs(20));
    let reason = EndReason::TimedOut(Phase::Ice);
    assert_eq!(ended(&world, joiner), Some(reason));
    world.set_name_addresses("stun.example", &server.map(|address| address.ip()));
    world.run_for(Duration::from_secs(15));
    world.join(joiner, &code);
    assert!(world.run_until(MINUTE, |world| world.nodes(joiner).len() == 2));
}

/// A host's binding would be forgotten long before somebody comes.
#[test]
fn a_host_that_waits_keeps_its_binding() {
    for lifetime in [30, 120] {
        let mut world = World::new(5);
        let server = world.add_stun_server(StunConfig::default());
        let homes = [(); 2].map(|()| {
            world.add_nat(NatConfig {
                lifetime: Duration::from_secs(lifetime),
                filtering: Dependence::AddressAndPortDependent,
                ports: PortChoice::Random,
                ..NatConfig::default()
            })
        });
        let [host, joiner] = homes.map(|home| native(&mut world, &server, home.into()));
        let code = world.host(host);
        let before = world.datagram_count(host);
        world.run_for(MINUTE * 60);
        let sent = world.datagram_count(host) - before;
        assert!((230..250).contains(&sent), "{sent} datagrams in an hour");
        world.join(joiner, &code);
        assert!(world.run_until(MINUTE, |world| world.nodes(joiner).len() == 2));
        // Nobody is asked without a network.
        world.leave(host);
        world.leave(joiner);
        world.run_for(MINUTE);
        let before = world.datagram_count(host);
        world.run_for(MINUTE * 60);
        assert_eq!(world.datagram_count(host), before);
    }
}

#[test]
fn a_box_that_rebinds_is_noticed_before_the_next_joiner_comes() {
    let mut world = World::new(6);
    let server = world.add_stun_server(StunConfig::default());
    let homes = [(); 2].map(|()| {
        world.add_nat(NatConfig {
            ports: PortChoice::Random,
            ..NatConfig::default()
        })
    });
    let [host, joiner] = homes.map(|home| native(&mut world, &server, home.into()));
    let code = world.host(host);
    settle(&mut world);
    world.rebind(homes[0]);
    world.change_outside_address(homes[0]);
    world.run_for(Duration::from_secs(16));
    world.join(joiner, &code);
    assert!(
        world.run_until(Duration::from_secs(5), |world| world.nodes(joiner).len()
            == 2)
    );
}

#[test]
fn whatever_servers_answer_nodes_connect_by_what_works() {
    let wrong = |text: &str| StunAnswer::Wrong(text.parse().unwrap());
    for (n, answer) in [
        StunAnswer::Error(420),
        StunAnswer::Error(500),
        StunAnswer::Garbage,
        StunAnswer::Noise,
        StunAnswer::Silence,
        wrong("0.0.0.0:0"),
        wrong("255.255.255.255:1"),
        wrong("127.0.0.1:5000"),
        wrong("[2001:db8::1]:5000"),
        wrong("203.0.113.9:9"),
        wrong("10.0.0.1:5000"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut world = World::new(7);
        let server = world.add_stun_server(StunConfig {
            answer,
            ..StunConfig::default()
        });
        let nodes = [(); 2].map(|()| native(&mut world, &server, Place::internet()));
        assert!(joins(&mut world, nodes[0], nodes[1]), "{answer:?}");
        let dropped = world.stats(nodes[0]).unwrap().counters.datagrams_dropped;
        let is_read = matches!(answer, StunAnswer::Error(_) | StunAnswer::Silence);
        // The last two could be true, until somebody tries them.
        assert!(n > 8 || (dropped == 0) == is_read, "{answer:?}: {dropped}");
        world.broadcast(nodes[0], "hello").unwrap();
        settle(&mut world);
        assert_eq!(messages(&world, nodes[1]).len(), 1);
    }
}

#[test]
fn joiners_of_a_mesh_behind_boxes_find_each_other() {
    let mut world = World::new(8);
    let server = world.add_stun_server(StunConfig::default());
    let config = asking(&server).with_topology(Topology::Mesh);
    let nodes: Vec<NodeIndex> = (0..4)
        .map(|_| {
            let home = world.add_nat(NatConfig {
                ports: PortChoice::Random,
                ..NatConfig::default()
            });
            world.add_native_behind(config.clone(), home)
        })
        .collect();
    assemble(&mut world, &nodes);
    settle(&mut world);
    for node in nodes {
        let stats = world.stats(node).unwrap();
        assert!(stats.nodes.iter().all(|other| !other.relayed), "{stats:?}");
    }
}

/// A joiner's attempt is told with what became of the servers.
#[test]
fn the_report_has_the_servers() {
    let mut world = World::new(9);
    let good = world.add_stun_server(StunConfig::default());
    let bad = world.add_stun_server(StunConfig {
        answer: StunAnswer::Error(500),
        ..StunConfig::default()
    });
    let homes = [(); 2].map(|()| world.add_nat(NatConfig::default()));
    let [host, joiner] = homes.map(|home| native(&mut world, &[good[0], bad[0]], home.into()));
    assert!(joins(&mut world, host, joiner));
    settle(&mut world);
    let report = world.events(joiner).find_map(|event| match event {
        Event::ConnectReport(report) => Some(report.clone()),
        _ => None,
    });
    let report = report.unwrap();
    println!("{report:#?}");
    let results: Vec<_> = report
        .servers
        .iter()
        .map(|server| server.result.name())
        .collect();
    assert_eq!(results, ["answered", "refused"]);
    assert!(report.selected.is_some() && report.checks.pairs > 0 && report.checks.received > 0);
}
