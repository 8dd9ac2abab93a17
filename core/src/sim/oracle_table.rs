//! The oracle against what really happens: two sides that do what ICE does, over the simulated
//! Internet without loss, for the whole product of boxes.

#[path = "oracle_table/meeting.rs"]
mod meeting;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use std::println;

use self::meeting::Meeting;
use super::{Knowledge, Reach};
use crate::rng::Rng;
use crate::sim::internet::{Internet, NatIndex, Place};
use crate::sim::nat::{Dependence, NatConfig, PortChoice};
use crate::time::Timestamp;

use Knowledge::{Host as HostOnly, Stun, Turn};

/// What came of many cases.
#[derive(Debug, Default)]
struct Tally(BTreeMap<&'static str, [u32; 3]>);

impl Tally {
    /// One case: boxes, places, and what both know. The oracle and the sides must agree.
    fn case(
        &mut self,
        name: &'static str,
        build: impl Fn(&mut Internet) -> [Place; 2],
        knowledge: [Knowledge; 2],
    ) -> Reach {
        let mut internet = Internet::new(Rng::new([3; 32]));
        let places = build(&mut internet);
        let mut meeting = Meeting::new(internet, places, knowledge);
        let ask = |internet: &Internet, one: usize, other: usize| {
            let (one, other) = ((one, knowledge[one]), (other, knowledge[other]));
            internet.reach(Timestamp::ZERO, one, other)
        };
        let reach = ask(&meeting.internet, 0, 1);
        assert_eq!(
            reach,
            ask(&meeting.internet, 1, 0),
            "not the same both ways"
        );
        let found = meeting.run();
        assert_eq!(
            reach == Reach::Direct,
            found,
            "{name}, {knowledge:?}: the oracle says {reach:?}\n{:#?}\n{:?}",
            meeting.sides,
            meeting
                .internet
                .gates
                .iter()
                .map(|gate| (gate.outer, gate.nat.config))
                .collect::<Vec<_>>(),
        );
        let row = self.0.entry(name).or_default();
        row[reach as usize] += 1;
        reach
    }

    fn print(&self) -> [u32; 3] {
        println!("{:<44} direct  relay  never", "");
        let mut sum = [0; 3];
        for (name, row) in &self.0 {
            println!("{name:<44} {:>6} {:>6} {:>6}", row[0], row[1], row[2]);
            for (sum, n) in sum.iter_mut().zip(row) {
                *sum += n;
            }
        }
        println!("{:<44} {:>6} {:>6} {:>6}", "sum", sum[0], sum[1], sum[2]);
        sum
    }
}

/// What both know; the mixed ones in both orders, as halves of the table are left out.
const KNOWN: [[Knowledge; 2]; 6] = [
    [HostOnly, HostOnly],
    [Stun, HostOnly],
    [HostOnly, Stun],
    [Stun, Stun],
    [Turn, Stun],
    [Turn, HostOnly],
];

fn kinds() -> impl Iterator<Item = NatConfig> + Clone {
    Dependence::ALL.into_iter().flat_map(|mapping| {
        Dependence::ALL.into_iter().map(move |filtering| NatConfig {
            mapping,
            filtering,
            ports: PortChoice::Random,
            ..NatConfig::default()
        })
    })
}

fn with_ports(kinds: impl Iterator<Item = NatConfig> + Clone) -> Vec<NatConfig> {
    let all = |ports| move |nat| NatConfig { ports, ..nat };
    PortChoice::ALL
        .into_iter()
        .flat_map(|ports| kinds.clone().map(all(ports)))
        .collect()
}

fn with_hairpin(kinds: impl IntoIterator<Item = NatConfig>) -> Vec<NatConfig> {
    let both = |nat| [true, false].map(|hairpin| NatConfig { hairpin, ..nat });
    kinds.into_iter().flat_map(both).collect()
}

/// Every pair once.
fn pairs<T: Copy>(all: &[T]) -> impl Iterator<Item = (T, T)> {
    let second = |(n, one)| all[n..].iter().map(move |other| (one, *other));
    all.iter().copied().enumerate().flat_map(second)
}

fn behind(internet: &mut Internet, chain: &[NatConfig]) -> NatIndex {
    let mut realm = None;
    for config in chain.iter().rev() {
        realm = Some(internet.add_nat(*config, realm).0);
    }
    NatIndex(realm.unwrap())
}

#[test]
fn one_box_each() {
    let mut tally = Tally::default();
    let all = with_hairpin(with_ports(kinds()));
    for knowledge in KNOWN {
        for nat in &all {
            tally.case(
                "public - box",
                |net| [Place::internet(), Place::behind(net.add_nat(*nat, None))],
                knowledge,
            );
            tally.case(
                "one LAN",
                |net| [Place::behind(net.add_nat(*nat, None)); 2],
                knowledge,
            );
        }
        for (one, other) in pairs(&all) {
            tally.case(
                "box - box",
                |net| [one, other].map(|nat| Place::behind(net.add_nat(nat, None))),
                knowledge,
            );
        }
    }
    assert_eq!(tally.print(), [3372, 660, 5526]);
}

#[test]
fn boxes_behind_boxes() {
    let mut tally = Tally::default();
    let kinds: Vec<_> = kinds().collect();
    for ports in PortChoice::ALL {
        let set = |nat: NatConfig| NatConfig { ports, ..nat };
        let all: Vec<_> = kinds.iter().copied().map(set).collect();
        let chains: Vec<_> = all
            .iter()
            .flat_map(|inner| all.iter().map(|outer| [*inner, *outer]))
            .collect();
        for knowledge in KNOWN {
            for outer in with_hairpin(all.iter().copied()) {
                for (one, other) in pairs(&all) {
                    tally.case(
                        "two boxes behind one",
                        |net| {
                            let outer = Some(behind(net, &[outer]).0);
                            [one, other].map(|nat| Place::behind(net.add_nat(nat, outer)))
                        },
                        knowledge,
                    );
                }
                for inner in &all {
                    tally.case(
                        "box behind a box - the LAN between",
                        |net| {
                            let outer = behind(net, &[outer]);
                            let inner = net.add_nat(*inner, Some(outer.0));
                            [Place::behind(inner), Place::behind(outer)]
                        },
                        knowledge,
                    );
                }
            }
            for chain in &chains {
                tally.case(
                    "box behind a box - public",
                    |net| [Place::behind(behind(net, chain)), Place::internet()],
                    knowledge,
                );
                for nat in &all {
                    tally.case(
                        "box behind a box - box",
                        |net| [&chain[..], &[*nat]].map(|c| Place::behind(behind(net, c))),
                        knowledge,
                    );
                }
            }
            if ports == PortChoice::Random && knowledge[0] == knowledge[1] {
                for (one, other) in pairs(&chains) {
                    tally.case(
                        "box behind a box - box behind a box",
                        |net| [one, other].map(|c| Place::behind(behind(net, &c))),
                        knowledge,
                    );
                }
            }
        }
    }
    assert_eq!(tally.print(), [8016, 3534, 27168]);
}

#[test]
fn ipv6_and_both_families() {
    let mut tally = Tally::default();
    let filters: Vec<_> = Dependence::ALL
        .map(Some)
        .into_iter()
        .chain([None])
        .collect();
    type Stack = (&'static str, fn(Place) -> Place);
    let stacks: [Stack; 3] = [
        ("IPv4", |place| place),
        ("both", Place::dual_stack),
        ("IPv6", Place::ipv6_only),
    ];
    for knowledge in KNOWN {
        for (one, other) in pairs(&filters) {
            for (name_one, stack_one) in stacks {
                for (name_other, stack_other) in stacks {
                    let name = match (name_one, name_other) {
                        ("IPv4", "IPv6") | ("IPv6", "IPv4") => "symmetric boxes, no common family",
                        ("IPv4", _) | (_, "IPv4") => "symmetric boxes, IPv4 in common",
                        _ => "symmetric boxes, IPv6 in common",
                    };
                    let nat = |ipv6| NatConfig {
                        ipv6,
                        ..NatConfig::symmetric()
                    };
                    tally.case(
                        name,
                        |net| {
                            let outer = net.add_nat(nat(other), None).0;
                            [
                                stack_one(Place::behind(net.add_nat(nat(one), None))),
                                stack_other(Place::behind(net.add_nat(nat(one), Some(outer)))),
                            ]
                        },
                        knowledge,
                    );
                }
            }
        }
    }
    assert_eq!(tally.print(), [240, 50, 250]);
}

#[test]
fn boxes_that_block_udp() {
    let mut tally = Tally::default();
    for knowledge in KNOWN {
        for (one, other) in pairs(&kinds().collect::<Vec<_>>()) {
            for blocked in 0..3 {
                let blocking = |net: &mut Internet| {
                    net.gates[blocked].nat.block(true);
                };
                let separate = tally.case(
                    "one of two boxes blocks UDP",
                    |net| {
                        let places = [one, other].map(|nat| Place::behind(net.add_nat(nat, None)));
                        if blocked < 2 {
                            blocking(net);
                        }
                        places.map(Place::dual_stack)
                    },
                    knowledge,
                );
                assert_eq!(separate == Reach::Direct, blocked == 2);
                let name = "two boxes behind one, one blocks UDP";
                let shared = tally.case(
                    name,
                    |net| {
                        let outer = Some(net.add_nat(NatConfig::default(), None).0);
                        let places = [one, other].map(|nat| Place::behind(net.add_nat(nat, outer)));
                        blocking(net);
                        places
                    },
                    knowledge,
                );
                assert_eq!(shared, Reach::Unreachable);
                let lan = tally.case(
                    "one LAN behind a box that blocks UDP",
                    |net| {
                        let nat = net.add_nat(one, None);
                        net.gates[0].nat.block(true);
                        [Place::behind(nat); 2]
                    },
                    knowledge,
                );
                assert_eq!(lan, Reach::Direct);
            }
        }
    }
    assert_eq!(tally.print(), [1080, 0, 1350]);
}

/// Whatever the tables above have left out: deep trees of boxes, everything drawn.
#[test]
fn drawn_trees() {
    let mut tally = Tally::default();
    let rng = Rng::new([9; 32]);
    for n in 0..30_000 {
        let mut draw = rng.fork(&alloc::format!("{n}"));
        let knowledge = [0, 1].map(|_| [HostOnly, Stun, Turn][draw.below(3) as usize]);
        let draws: Vec<u64> = (0..100).map(|_| draw.u64()).collect();
        let build = |net: &mut Internet| {
            let mut draws = draws.iter();
            let mut below = |n: u64| (*draws.next().unwrap() % n) as usize;
            let boxes = below(7);
            for index in 0..boxes {
                let outer = below(index as u64 + 1).checked_sub(1);
                let config = NatConfig {
                    mapping: Dependence::ALL[below(3)],
                    filtering: Dependence::ALL[below(3)],
                    ports: PortChoice::ALL[below(3)],
                    hairpin: below(4) > 0,
                    ipv6: Dependence::ALL.get(below(4)).copied(),
                    // Homes whose inside overlaps with that of the carrier.
                    subnet: (below(4) == 0).then_some([192, 168, 2]),
                    ..NatConfig::default()
                };
                net.add_nat(config, outer);
                if below(20) == 0 {
                    net.gates[index].nat.block(true);
                }
            }
            let mut place = || {
                let realm = below(boxes as u64 + 1).checked_sub(1);
                let place = realm.map_or(Place::internet(), |nat| Place::behind(NatIndex(nat)));
                match below(12) {
                    0 => place.ipv6_only(),
                    1 | 2 => place.dual_stack(),
                    _ => place,
                }
            };
            let places = [place(), place()];
            // Bystanders, whose addresses are those of others elsewhere.
            for node in 2..6 {
                net.place(node, place());
            }
            places
        };
        tally.case("trees of up to six boxes", build, knowledge);
    }
    assert_eq!(tally.print(), [21095, 2489, 6416]);
}
