//! What the scenarios share.
#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::panic,
    reason = "tests look for the one event they want, and end when it does not come"
)]

use core::time::Duration;

use wattle_core::sim::{NodeIndex, World};
use wattle_core::{Config, EndReason, Event, NetworkCode, NodeId};

/// Why a node's network ended, if it did.
#[must_use]
pub fn ended(world: &World, node: NodeIndex) -> Option<EndReason> {
    world.events(node).find_map(|event| match event {
        Event::Ended { reason } => Some(*reason),
        _ => None,
    })
}

/// The reliable messages that a node got: who sent them, and what.
#[must_use]
pub fn messages(world: &World, node: NodeIndex) -> Vec<(NodeId, Vec<u8>)> {
    world
        .events(node)
        .filter_map(|event| match event {
            Event::Message { from, payload } => Some((*from, payload.to_vec())),
            _ => None,
        })
        .collect()
}

/// A star of model nodes that have all joined; the first is the host.
///
/// # Panics
/// If they have not all joined within ten seconds.
pub fn star(world: &mut World, config: &Config, nodes: usize) -> (Vec<NodeIndex>, NetworkCode) {
    let all: Vec<NodeIndex> = (0..nodes)
        .map(|_| world.add_model(config.clone()))
        .collect();
    let code = assemble(world, &all);
    (all, code)
}

/// Lets the first node host and the others join.
///
/// # Panics
/// If they have not all joined within ten seconds.
pub fn assemble(world: &mut World, nodes: &[NodeIndex]) -> NetworkCode {
    let [host, joiners @ ..] = nodes else {
        panic!("a network has a host")
    };
    let code = world.host(*host);
    for joiner in joiners {
        world.join(*joiner, &code);
    }
    let all_in = |world: &World| {
        nodes
            .iter()
            .all(|node| world.nodes(*node).len() == nodes.len())
    };
    assert!(
        world.run_until(Duration::from_secs(10), all_in),
        "not all nodes joined"
    );
    code
}

/// A moment of virtual time, long enough for whatever is on the way.
pub fn settle(world: &mut World) {
    world.run_for(Duration::from_secs(1));
}
