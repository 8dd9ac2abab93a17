//! Nodes behind NAT boxes: who reaches whom, and what happens when boxes change.

use core::time::Duration;

use wattle_core::sim::{
    Change, Dependence, Dropped, Knowledge, NatConfig, NatIndex, NodeIndex, Place, PortChoice,
    Reach, World,
};
use wattle_core::{Config, EndReason, Phase, Timeouts, Topology};
use wattle_tests::{assemble, ended, messages, settle};

const MINUTE: Duration = Duration::from_secs(60);

/// Mapping and filtering in all nine ways.
fn kinds() -> Vec<NatConfig> {
    let both = |mapping| {
        Dependence::ALL.map(|filtering| NatConfig {
            mapping,
            filtering,
            ports: PortChoice::Random,
            ..NatConfig::default()
        })
    };
    Dependence::ALL.into_iter().flat_map(both).collect()
}

/// Lets the first host and the second join: whether that works within a minute.
fn joins(world: &mut World, host: NodeIndex, joiner: NodeIndex) -> bool {
    let code = world.host(host);
    world.join(joiner, &code);
    let is_in = |world: &World| world.nodes(joiner).len() == 2;
    let joined = world.run_until(MINUTE, is_in);
    if !joined {
        let reason = EndReason::TimedOut(Phase::Ice);
        assert_eq!(ended(world, joiner), Some(reason));
    }
    assert_eq!(joined, world.reach(host, joiner) == Reach::Direct);
    joined
}

fn native(world: &mut World, place: Place) -> NodeIndex {
    world.add_native_at(Config::default(), place)
}

fn count(world: &World, why: Dropped) -> u64 {
    let mut all = world.dropped();
    all.find(|(dropped, _)| *dropped == why)
        .map_or(0, |(_, count)| count)
}

#[test]
fn a_public_node_and_one_behind_any_box_find_each_other() {
    for kind in kinds() {
        for hosts_behind in [false, true] {
            let mut world = World::new(1);
            let nat = world.add_nat(kind);
            let (public, behind) = (
                native(&mut world, Place::internet()),
                native(&mut world, nat.into()),
            );
            let (host, joiner) = if hosts_behind {
                (behind, public)
            } else {
                (public, behind)
            };
            assert!(joins(&mut world, host, joiner), "{kind:?}");
            world.broadcast(host, "welcome").unwrap();
            world.broadcast(joiner, "thanks").unwrap();
            settle(&mut world);
            assert_eq!(messages(&world, host).len(), 1);
            assert_eq!(messages(&world, joiner).len(), 1);
        }
    }
}

#[test]
fn two_nodes_behind_boxes_need_to_know_their_outside_addresses() {
    for kind in kinds() {
        let mut world = World::new(2);
        let homes = [world.add_nat(kind), world.add_nat(kind)];
        let nodes = homes.map(|home| native(&mut world, home.into()));
        // Their private addresses are the same. Neither takes itself for the other.
        assert!(!joins(&mut world, nodes[0], nodes[1]), "{kind:?}");
    }
}

#[test]
fn two_nodes_in_one_lan_do_not_need_its_box() {
    let mut world = World::new(3);
    let home = world.add_nat(NatConfig::symmetric());
    world.block_udp(home, true);
    let nodes = [(); 2].map(|()| native(&mut world, home.into()));
    assert!(joins(&mut world, nodes[0], nodes[1]));
}

#[test]
fn a_box_behind_a_box_leads_out_to_the_lan_between() {
    let mut world = World::new(4);
    let outer = world.add_nat(NatConfig::symmetric());
    let inner = world.add_nat_behind(NatConfig::symmetric(), outer);
    let host = native(&mut world, inner.into());
    let joiner = native(&mut world, outer.into());
    assert!(joins(&mut world, host, joiner));
}

#[test]
fn ipv6_passes_filters_that_ipv4_would_not() {
    for ipv6 in Dependence::ALL.map(Some).into_iter().chain([None]) {
        let mut world = World::new(5);
        let nodes = [(); 2].map(|()| {
            let home = world.add_nat(NatConfig {
                ipv6,
                ..NatConfig::symmetric()
            });
            native(&mut world, Place::behind(home).dual_stack())
        });
        assert!(joins(&mut world, nodes[0], nodes[1]), "{ipv6:?}");
    }
    let mut world = World::new(5);
    let only_v6 = native(&mut world, Place::internet().ipv6_only());
    let only_v4 = native(&mut world, Place::internet());
    assert!(!joins(&mut world, only_v6, only_v4));
}

#[test]
fn where_udp_is_blocked_joining_ends_in_the_phase_of_ice() {
    let mut world = World::new(6);
    world.keep_timeline();
    let office = world.add_nat(NatConfig::default());
    let joiner = native(&mut world, office.into());
    let host = native(&mut world, Place::internet());
    world.block_udp(office, true);
    assert!(!joins(&mut world, host, joiner));
    assert!(count(&world, Dropped::UdpBlocked) > 0);
    assert!(world.timeline().contains("UdpBlocked"));
    world.block_udp(office, false);
    let other = native(&mut world, office.into());
    let code = world.host(joiner);
    world.join(other, &code);
    assert!(world.run_until(MINUTE, |world| world.nodes(other).len() == 2));
}

#[test]
fn an_idle_network_keeps_its_mappings_alive() {
    let mut world = World::new(7);
    let home = world.add_nat(NatConfig {
        lifetime: Duration::from_secs(5),
        ..NatConfig::symmetric()
    });
    let nodes = [
        native(&mut world, Place::internet()),
        native(&mut world, home.into()),
    ];
    assemble(&mut world, &nodes);
    world.run_for(60 * MINUTE);
    assert_eq!(ended(&world, nodes[1]), None);
    world.broadcast(nodes[0], "still there").unwrap();
    settle(&mut world);
    assert_eq!(messages(&world, nodes[1]).len(), 1);
}

/// A host on the Internet and a joiner at home, or the other way round, who talk to each other.
fn talking(seed: u64, joiner_at_home: bool) -> (World, [NodeIndex; 2], NodeIndex, [NatIndex; 2]) {
    let mut world = World::new(seed);
    let homes = [(); 2].map(|()| world.add_nat(NatConfig::default()));
    let mut nodes = [
        native(&mut world, Place::internet()),
        native(&mut world, homes[0].into()),
    ];
    let at_home = nodes[1];
    if !joiner_at_home {
        nodes.reverse();
    }
    assemble(&mut world, &nodes);
    settle(&mut world);
    (world, nodes, at_home, homes)
}

/// Both say something every 50 ms, for half a minute: the longest silence that each of them heard.
fn longest_silence(world: &mut World, nodes: [NodeIndex; 2]) -> [Duration; 2] {
    let mut last = nodes.map(|node| (messages(world, node).len(), world.now()));
    let mut longest = [Duration::ZERO; 2];
    for _ in 0..600 {
        for node in nodes {
            assert_eq!(world.broadcast(node, "tick"), Ok(()));
        }
        world.run_for(Duration::from_millis(50));
        for ((node, last), longest) in nodes.into_iter().zip(&mut last).zip(&mut longest) {
            let heard = messages(world, node).len();
            if heard > last.0 {
                *longest = world.now().since(last.1).max(*longest);
                *last = (heard, world.now());
            }
        }
    }
    settle(world);
    for node in nodes {
        assert_eq!(messages(world, node).len(), 600, "all arrives, once");
        assert_eq!(ended(world, node), None);
    }
    longest
}

#[test]
fn links_outlive_what_boxes_and_nodes_do_as_long_as_one_side_is_public() {
    type Change = fn(&mut World, NodeIndex, [NatIndex; 2]);
    let soon = Duration::from_millis(2500);
    let changes: [(&str, Change, Duration); 5] = [
        ("rebind", |world, _, [home, _]| world.rebind(home), soon),
        (
            "reboot, 2 s dark",
            |world, _, [home, _]| world.reboot(home, Duration::from_secs(2)),
            soon,
        ),
        (
            "another outside address",
            |world, _, [home, _]| world.change_outside_address(home),
            soon,
        ),
        (
            "roam to another home",
            |world, node, [_, other]| world.roam(node, other.into()),
            soon,
        ),
        (
            "another address in the same LAN",
            |world, node, [home, _]| world.roam(node, home.into()),
            soon,
        ),
    ];
    for (what, change, most) in changes {
        for joiner_at_home in [true, false] {
            let (mut world, nodes, at_home, homes) = talking(8, joiner_at_home);
            change(&mut world, at_home, homes);
            let [host, joiner] = longest_silence(&mut world, nodes);
            let who = if joiner_at_home { "joiner" } else { "host" };
            println!("{what}, {who} at home: host hears nothing for {host:?}, joiner {joiner:?}");
            assert!(host.max(joiner) < most, "{what}");
            let dropped: Vec<_> = world.dropped().collect();
            println!("    dropped: {dropped:?}");
            assert!(!dropped.is_empty(), "the change was noticed");
        }
    }
}

#[test]
fn a_link_through_a_box_that_begins_to_block_udp_is_lost() {
    for model in [false, true] {
        let mut world = World::new(9);
        let home = world.add_nat(NatConfig::default());
        let nodes = if model {
            [
                world.add_model(Config::default()),
                world.add_model_behind(Config::default(), home),
            ]
        } else {
            [
                native(&mut world, Place::internet()),
                native(&mut world, home.into()),
            ]
        };
        assemble(&mut world, &nodes);
        settle(&mut world);
        world.block_udp(home, true);
        world.run_for(MINUTE);
        assert_eq!(ended(&world, nodes[1]), Some(EndReason::HostLost));
        assert_eq!(world.nodes(nodes[0]).len(), 1);
    }
}

#[test]
fn a_model_link_waits_while_a_box_is_dark() {
    let mut world = World::new(13);
    let timeouts = Timeouts {
        lost_after: Duration::from_secs(100),
        ..Timeouts::default()
    };
    let config = Config::default().with_timeouts(timeouts).unwrap();
    let home = world.add_nat(NatConfig::default());
    let nodes = [
        world.add_model(config.clone()),
        world.add_model_behind(config, home),
    ];
    assemble(&mut world, &nodes);
    let dark = Duration::from_secs(10);
    let at = world.now().plus(Duration::from_secs(1));
    world.at(at, Change::Reboot { nat: home, dark });
    world.run_for(Duration::from_secs(2));
    world.broadcast(nodes[0], "in the dark").unwrap();
    world.run_for(Duration::from_secs(8));
    assert_eq!(messages(&world, nodes[1]).len(), 0);
    world.run_for(MINUTE);
    assert_eq!(messages(&world, nodes[1]).len(), 1);
    assert_eq!(ended(&world, nodes[1]), None);
}

#[test]
fn in_a_mesh_the_host_relays_for_those_who_cannot_meet() {
    let mut world = World::new(14);
    let config = Config::default().with_topology(Topology::Mesh);
    let homes = [(); 2].map(|()| world.add_nat(NatConfig::symmetric()));
    let places = [
        Place::internet(),
        homes[0].into(),
        homes[0].into(),
        homes[1].into(),
    ];
    let nodes = places.map(|place| world.add_native_at(config.clone(), place));
    assemble(&mut world, &nodes);
    world.run_for(MINUTE);
    let mut relayed = 0;
    for one in nodes {
        for other in nodes {
            let stats = world.stats(one).unwrap();
            let id = world.id(other).unwrap();
            if let Some(seen) = stats.nodes.iter().find(|seen| seen.node == id) {
                assert_eq!(seen.relayed, world.reach(one, other) != Reach::Direct);
                relayed += u32::from(seen.relayed);
            }
        }
    }
    assert_eq!(relayed, 4, "two pairs, seen from both sides");
    for node in nodes {
        world.broadcast(node, "hello").unwrap();
    }
    settle(&mut world);
    assert!(nodes.iter().all(|node| messages(&world, *node).len() == 3));
}

#[test]
fn two_homes_behind_one_carrier_need_its_hairpin() {
    for hairpin in [true, false] {
        let mut world = World::new(10);
        let carrier = world.add_nat(NatConfig {
            hairpin,
            ..NatConfig::default()
        });
        let homes = [(); 2].map(|()| world.add_nat_behind(NatConfig::default(), carrier));
        let nodes = homes.map(|home| world.add_model_behind(Config::default(), home));
        assert_eq!(joins(&mut world, nodes[0], nodes[1]), hairpin);
        // With host candidates alone it does not help.
        for node in nodes {
            world.set_knowledge(node, Knowledge::Host);
        }
        assert_eq!(world.reach(nodes[0], nodes[1]), Reach::Unreachable);
        // A relay lets in only whom it can name, and an address at home is no name.
        world.set_knowledge(nodes[0], Knowledge::Turn);
        assert_eq!(world.reach(nodes[0], nodes[1]), Reach::Unreachable);
        // One relay is enough, if both know an address that it can.
        world.set_knowledge(nodes[1], Knowledge::Stun);
        let reach = if hairpin {
            Reach::Direct
        } else {
            Reach::RelayOnly
        };
        assert_eq!(world.reach(nodes[0], nodes[1]), reach);
        world.block_udp(homes[1], true);
        assert_eq!(world.reach(nodes[0], nodes[1]), Reach::Unreachable);
    }
}

/// Full nodes in drawn trees of boxes: what the oracle says for host candidates is what happens.
#[test]
fn full_nodes_do_as_the_oracle_says() {
    let (mut direct, mut never) = (0, 0);
    for seed in 0..250u64 {
        let mut state = seed;
        let mut below = |n: u64| {
            // Knuth's multiplier for 64 bits; a test needs no better draw.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            ((state >> 33) % n) as usize
        };
        let mut world = World::new(seed);
        let mut nats = Vec::new();
        for _ in 0..=below(5) {
            let config = NatConfig {
                mapping: Dependence::ALL[below(3)],
                filtering: Dependence::ALL[below(3)],
                ports: PortChoice::ALL[below(3)],
                ipv6: Dependence::ALL.get(below(4)).copied(),
                subnet: (below(4) == 0).then_some([192, 168, 2]),
                ..NatConfig::default()
            };
            let outer = below(nats.len() as u64 + 1).checked_sub(1);
            let nat = match outer {
                Some(outer) => world.add_nat_behind(config, nats[outer]),
                None => world.add_nat(config),
            };
            nats.push(nat);
        }
        let mut node = |world: &mut World| {
            let nat = nats.get(below(nats.len() as u64 + 1));
            let place = nat.map_or(Place::internet(), |nat| (*nat).into());
            native(
                world,
                if below(4) == 0 {
                    place.dual_stack()
                } else {
                    place
                },
            )
        };
        let nodes = [(); 4].map(|()| node(&mut world));
        if joins(&mut world, nodes[1], nodes[2]) {
            direct += 1;
        } else {
            never += 1;
        }
    }
    println!("{direct} pairs connected, {never} did not");
    assert!(direct > 40 && never > 40);
}

/// How a box is named in the table of `docs/nat.md`.
fn name(kind: &NatConfig) -> String {
    let short = |dependence| match dependence {
        Dependence::EndpointIndependent => "EI",
        Dependence::AddressDependent => "AD",
        Dependence::AddressAndPortDependent => "APD",
    };
    format!("{}/{}", short(kind.mapping), short(kind.filtering))
}

/// Every cell is a world in which two nodes with STUN try to join.
///
/// `cargo test -p wattle-tests --test nat table -- --nocapture` prints the table for the document.
#[test]
fn the_table_in_the_documentation_is_what_happens() {
    let kinds = kinds();
    let mut table = String::from("| mapping/filtering |");
    for kind in &kinds {
        table += &format!(" {} |", name(kind));
    }
    table += &format!("\n|---|{}\n", "---|".repeat(kinds.len()));
    for one in &kinds {
        table += &format!("| **{}** |", name(one));
        for other in &kinds {
            let mut world = World::new(11);
            let homes = [one, other].map(|kind| world.add_nat(*kind));
            let nodes = homes.map(|home| world.add_model_behind(Config::default(), home));
            let joined = joins(&mut world, nodes[0], nodes[1]);
            table += if joined { " direct |" } else { " relay |" };
            for node in nodes {
                world.set_knowledge(node, Knowledge::Turn);
            }
            let relayed = world.reach(nodes[0], nodes[1]) == Reach::RelayOnly;
            assert_eq!(relayed, !joined);
        }
        table += "\n";
    }
    println!("{table}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/nat.md");
    let document = std::fs::read_to_string(path).unwrap();
    assert!(document.contains(&table), "docs/nat.md has another table");
}
