//! What is run: a star with losses, messages, states, a kick and a goodbye, in virtual time.

use core::time::Duration;

use wattle_core::Config;
use wattle_core::sim::{Path, World};

/// Runs the scenario from `seed` and gives the hash over every input and output of every node.
pub(crate) fn run(seed: u64) -> u64 {
    let mut world = World::new(seed);
    world.set_default_path(Path {
        jitter: Duration::from_millis(30),
        loss_per_mille: 50,
        ..Path::default()
    });
    let config = Config::default().with_verbose(true);
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
    for round in 0..20u8 {
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
