//! What actions do to a world, and that liveness complains of every world in which it must.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::places::{Nat, NatVerb, Spot, Stack};
use super::run::Run;
use super::{Action, Family, Missing, NodeVerb, PairVerb, Plan, Repeat, ServerVerb, Verdict};
use crate::config::Topology;
use crate::sim::choices::FromSeed;
use crate::sim::{Dependence, NatConfig, NodeIndex, PortChoice, Reach, World};
use crate::stats::Status;
use crate::time::Timestamp;

const FIRST: NodeIndex = NodeIndex(1);
const SECOND: NodeIndex = NodeIndex(2);

/// Nothing but actions for a while.
fn long(nodes: u8) -> Plan {
    Plan {
        heal_at: Duration::from_secs(30),
        ..Plan::new(1, nodes)
    }
}

/// A host and two joiners.
fn three() -> Plan {
    long(3)
        .at(0, Action::Node(NodeVerb::Host, 0))
        .at(100, Action::Node(NodeVerb::Join, 1))
        .at(100, Action::Node(NodeVerb::Join, 2))
}

fn mesh(plan: Plan) -> Plan {
    Plan {
        topology: Topology::Mesh,
        ..plan
    }
}

/// A plan, run up to this time and not healed.
fn run_to(plan: &Plan, millis: u64) -> Run<'_> {
    let mut world = World::new(plan.seed);
    world.watch.collect();
    let mut run = Run::new(plan, world);
    run.populate(&plan.config().unwrap());
    run.run_until(Timestamp::from_millis(millis)).unwrap();
    run
}

fn seconds(run: &mut Run<'_>, seconds: u64) {
    let until = run.world.now().plus(Duration::from_secs(seconds));
    run.run_until(until).unwrap();
}

#[test]
fn nodes_go_in_and_out() {
    let plan = three()
        .at(2000, Action::Node(NodeVerb::Leave, 1))
        .at(2000, Action::Node(NodeVerb::Kick, 2))
        .at(4000, Action::Node(NodeVerb::Crash, 1));
    let mut run = run_to(&plan, 1900);
    assert_eq!(run.world.nodes(FIRST).len(), 3);
    run.run_until(Timestamp::from_millis(3900)).unwrap();
    for node in [FIRST, SECOND] {
        assert_eq!(run.world.status(node), Some(Status::Idle));
    }
    run.run_until(Timestamp::from_millis(4100)).unwrap();
    assert_eq!(run.world.status(FIRST), None);
    run.node(NodeVerb::Restart, 1);
    assert_eq!(run.world.status(FIRST), Some(Status::Idle));
    assert_eq!(run.apps[1].lives, 2);
}

#[test]
fn who_joins_before_there_is_a_code_joins_when_there_is_one() {
    let plan = long(2)
        .at(0, Action::Node(NodeVerb::Join, 1))
        .at(3000, Action::Node(NodeVerb::Host, 0));
    assert_eq!(run_to(&plan, 2900).world.status(FIRST), Some(Status::Idle));
    assert_eq!(run_to(&plan, 6000).world.nodes(FIRST).len(), 2);
}

#[test]
fn messages_are_repeated_and_counted() {
    let repeat = Repeat {
        size: 40,
        times: 7,
        every: Duration::from_millis(100),
    };
    let (from, to) = (1, Some(2));
    let plan = three()
        .at(2000, Action::Send { from, to, repeat })
        .at(2000, Action::State { from, repeat });
    let run = run_to(&plan, 5000);
    assert_eq!(run.world.message_count(SECOND), 14);
    assert_eq!(run.world.message_count(NodeIndex(0)), 7, "states go to all");
}

#[test]
fn paths_servers_and_sleep_are_changed() {
    let plan = three()
        .at(2000, Action::Pair(PairVerb::Cut, 1, 0))
        .at(2000, Action::Server(ServerVerb::Stop))
        .at(2000, Action::Sleep(2, Duration::from_secs(5)));
    let mut run = run_to(&plan, 2100);
    assert!(run.world.path(FIRST, NodeIndex(0)).cut);
    assert!(!run.world.path(NodeIndex(0), FIRST).cut);
    assert!(run.world.server.is_none());
    assert!(run.is_asleep(2));
    run.start_server();
    assert!(run.world.server.is_some());
    run.run_until(Timestamp::from_millis(7100)).unwrap();
    assert!(!run.is_asleep(2));
}

/// Both joiners behind boxes of their own.
fn at_homes(mapping: Dependence) -> Plan {
    let config = NatConfig {
        mapping,
        ports: PortChoice::Random,
        ..NatConfig::default()
    };
    let nat = |behind| Nat { behind, config };
    let spot = |nat| Spot {
        nat: Some(nat),
        stack: Stack::Ipv4,
    };
    Plan {
        nats: [nat(None), nat(None), nat(Some(1))].into(),
        ..three()
    }
    .at(0, Action::Roam(1, spot(0)))
    .at(0, Action::Roam(2, spot(2)))
}

#[test]
fn boxes_are_where_the_plan_has_them() {
    let symmetric = at_homes(Dependence::AddressAndPortDependent)
        .at(2000, Action::Nat(NatVerb::Readdress, 0))
        .at(2000, Action::Nat(NatVerb::Block, 1))
        .at(9000, Action::Nat(NatVerb::Unblock, 1))
        .at(9000, Action::Reboot(0, Duration::from_secs(3)));
    let mut run = run_to(&symmetric, 1900);
    let host = NodeIndex(0);
    let reach = |run: &Run<'_>, a, b| run.world.reach(a, b);
    assert_eq!(reach(&run, host, FIRST), Reach::Direct);
    assert_eq!(reach(&run, FIRST, SECOND), Reach::Unreachable);
    let nat = crate::sim::NatIndex(0);
    let before = run.world.outside_address(nat);
    run.run_until(Timestamp::from_millis(2000)).unwrap();
    assert_ne!(run.world.outside_address(nat), before);
    assert_eq!(reach(&run, host, SECOND), Reach::Unreachable, "blocked");
    run.run_until(Timestamp::from_millis(9000)).unwrap();
    assert_eq!(reach(&run, host, SECOND), Reach::Direct, "not any more");
    assert_eq!(reach(&run, host, FIRST), Reach::Unreachable, "rebooting");
    seconds(&mut run, 3);
    assert_eq!(reach(&run, host, FIRST), Reach::Direct);
}

#[test]
fn plans_with_boxes_still_have_networks() {
    let (mut boxes, mut networks, mut relayed) = (0, 0, 0);
    for seed in 0..300 {
        let plan = Plan::draw(Family::Mesh, 6, seed, &mut FromSeed::new(seed));
        if plan.nats.is_empty() {
            continue;
        }
        boxes += 1;
        let mut run = run_to(&plan, 0);
        let _ = run.run_until(Timestamp::ZERO.plus(plan.heal_at));
        let seen = (0..6).map(|node| run.world.nodes(NodeIndex(node)).len());
        networks += u32::from(seen.max() > Some(2));
        let stats = (1..6).filter_map(|node| run.world.stats(NodeIndex(node)));
        let mut nodes = stats.flat_map(|stats| stats.nodes);
        relayed += u32::from(nodes.any(|node| node.relayed));
    }
    let found = format!("{boxes} plans with boxes, {networks} networks, {relayed} with relays");
    assert!((90..150).contains(&boxes), "{found}");
    assert!(networks > boxes / 2 && relayed > boxes / 10, "{found}");
}

#[test]
fn a_core_that_comes_to_terms_is_not_complained_of() {
    for plan in [three(), mesh(three())] {
        for plan in [
            plan.clone(),
            Plan {
                core: [0, 2].into(),
                ..plan
            },
        ] {
            assert_eq!(plan.run().verdict, Verdict::Held);
        }
    }
    let symmetric = mesh(at_homes(Dependence::AddressAndPortDependent));
    assert_eq!(symmetric.run().verdict, Verdict::Held);
    let cone = mesh(at_homes(Dependence::EndpointIndependent));
    assert_eq!(cone.run().verdict, Verdict::Held);
}

#[test]
fn who_does_not_get_in_is_missed() {
    let plan = Plan {
        core: [0, 1].into(),
        ..three()
    };
    let mut run = run_to(&plan, 2000);
    run.node(NodeVerb::Leave, 1);
    seconds(&mut run, 3);
    let status = Some(Status::Idle);
    assert_eq!(
        run.apart(&[0, 1]),
        [
            Missing::Roster {
                node: 0,
                sees: [Some(0), Some(2)].into()
            },
            Missing::NotJoined { node: 1, status }
        ]
    );
}

#[test]
fn who_sees_too_many_or_a_host_that_is_lost_is_noticed() {
    let plan = three();
    let mut run = run_to(&plan, 2000);
    assert_eq!(run.apart(&[0, 1, 2]), []);
    let sees: Vec<_> = [0, 1, 2].map(Some).into();
    let roster = |node| Missing::Roster {
        node,
        sees: sees.clone(),
    };
    assert_eq!(run.apart(&[0, 1]), [roster(0), roster(1)]);
    assert_eq!(run.apart(&[1]), [Missing::NotTold { node: 1 }]);
}

#[test]
fn who_cannot_reach_the_host_is_excused_but_must_come_to_an_end() {
    let blocked = at_homes(Dependence::EndpointIndependent).at(50, Action::Nat(NatVerb::Block, 1));
    let mut run = run_to(&blocked, 2000);
    assert_eq!(run.apart(&[0, 1, 2]), [Missing::NotEnded { node: 2 }]);
    seconds(&mut run, 40);
    assert_eq!(run.apart(&[0, 1, 2]), []);
    assert_eq!(blocked.run().verdict, Verdict::Held);
}

#[test]
fn what_was_not_heard_is_missed() {
    let plan = three();
    let mut run = run_to(&plan, 2000);
    assert_eq!(run.unheard(&[0, 1, 2], &[]), []);
    let ids: Vec<_> = run.apps.iter().filter_map(|app| app.id).collect();
    // The ledger has it for sent, and no node has sent it.
    run.ledger.sent(ids[1], &[ids[2]], 10);
    let (from, to, messages) = (1, 2, Some(1));
    assert_eq!(
        run.unheard(&[0, 1, 2], &[]),
        [Missing::Unheard { from, to, messages }]
    );
    let (from, to, messages) = (0, 1, None);
    assert_eq!(
        run.unheard(&[0, 1], &[0]),
        [Missing::Unheard { from, to, messages }]
    );
}

#[test]
fn a_pair_that_is_relayed_without_need_is_noticed() {
    let plan = mesh(three()).at(50, Action::Pair(PairVerb::Partition, 1, 2));
    let mut run = run_to(&plan, 5000);
    let missing = |from, to| Missing::Relayed { from, to };
    assert_eq!(run.relayed(&[0, 1, 2]), [missing(1, 2), missing(2, 1)]);
    assert_eq!(run.relayed(&[1, 2]), [], "without a host nobody says more");
    run.world.heal(FIRST, SECOND);
    seconds(&mut run, 40);
    assert_eq!(run.relayed(&[0, 1, 2]), []);
    let apart = mesh(at_homes(Dependence::AddressAndPortDependent));
    let run = run_to(&apart, 5000);
    let stats = run.world.stats(FIRST).unwrap();
    assert!(stats.nodes.iter().any(|node| node.relayed));
    assert_eq!(run.relayed(&[0, 1, 2]), [], "there is no other way");
}

#[test]
fn what_should_be_gone_and_is_not_is_noticed() {
    let plan = three();
    // Just joining: a link and a connection, and nobody is seen yet.
    let run = run_to(&plan, 200);
    let of_first = run.leftovers(&[1]);
    assert!(
        matches!(
            of_first[..],
            [Missing::Leftovers {
                node: 1,
                connections: (1, 0),
                ..
            }]
        ),
        "{of_first:?}"
    );
    assert_eq!(run_to(&plan, 5000).leftovers(&[0, 1, 2]), []);
}

#[test]
fn a_core_that_does_not_fall_quiet_is_noticed() {
    let repeat = Repeat {
        size: 1,
        times: u32::MAX,
        every: Duration::from_millis(5),
    };
    let (from, to) = (0, None);
    let plan = three().at(1000, Action::Send { from, to, repeat });
    let mut run = run_to(&plan, 2000);
    let missing = run.rest(&[0, 1, 2]).unwrap();
    assert!(matches!(missing[..], [Missing::Loud { .. }]), "{missing:?}");
    let plan = three();
    let mut run = run_to(&plan, 2000);
    assert_eq!(run.rest(&[0, 1, 2]).unwrap(), []);
}

#[test]
fn the_others_are_gone_or_frozen_or_cut_off() {
    let plan = Plan {
        core: [0].into(),
        ..Plan::new(1, 6)
    };
    let mut run = run_to(&plan, 900);
    assert_eq!(run.heal(), [0]);
    let is = |node: usize| (run.apps[node].id.is_some(), run.is_asleep(node));
    let [gone, frozen, cut] = [(false, false), (true, true), (true, false)];
    let all = [cut, gone, cut, gone, frozen];
    let found: Vec<_> = (1..6).map(is).collect();
    assert_eq!(found.len(), all.len());
    for kind in [gone, frozen, cut] {
        assert!(found.contains(&kind), "{found:?}");
    }
    assert!((1..6).all(|node| run.world.path(NodeIndex(0), NodeIndex(node)).cut));
}
