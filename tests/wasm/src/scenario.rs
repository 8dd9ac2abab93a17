//! What is run: a star or a mesh with all kinds of trouble on its paths, messages, states, a cut, a
//! kick and a goodbye, in virtual time.

use core::time::Duration;

use wattle_core::sim::{Path, World};
use wattle_core::{Config, Topology};

/// Runs the scenario from `seed` and gives the hash over every input and output of every node.
pub(crate) fn run(seed: u64) -> u64 {
    let mut world = World::new(seed);
    world.set_default_path(Path {
        tail: Duration::from_millis(5),
        jitter: Duration::from_millis(30),
        loss_per_mille: 50,
        duplicate_per_mille: 20,
        corrupt_per_mille: 5,
        capacity: Some(500_000),
        ..Path::default()
    });
    let topology = if seed.is_multiple_of(2) {
        Topology::Star
    } else {
        Topology::Mesh
    };
    let config = Config::default().with_verbose(true).with_topology(topology);
    let nodes: Vec<_> = (0..4).map(|_| world.add_model(config.clone())).collect();
    let code = world.host(nodes[0]);
    for joiner in &nodes[1..] {
        world.join(*joiner, &code);
    }
    let all_in = |world: &World| nodes.iter().all(|node| world.nodes(*node).len() == 4);
    assert!(
        world.run_until(Duration::from_secs(10), all_in),
        "not all nodes joined"
    );
    for round in 0..60u8 {
        match round {
            10 => world.partition(nodes[1], nodes[3]),
            50 => world.heal(nodes[1], nodes[3]),
            _ => {}
        }
        for node in &nodes {
            // A refusal for want of room is a result like any other.
            let _ = world.broadcast(*node, vec![round; 3_000]);
            let _ = world.broadcast_state(*node, vec![round]);
        }
        world.run_for(Duration::from_millis(50));
    }
    let third = world.id(nodes[2]).expect("the node runs");
    world
        .kick(nodes[0], third)
        .expect("the host removes a node");
    world.leave(nodes[1]);
    world.run_for(Duration::from_secs(10));
    world.leave(nodes[0]);
    world.run_for(Duration::from_secs(10));
    world.trace_hash()
}
