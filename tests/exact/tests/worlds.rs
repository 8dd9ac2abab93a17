//! The same seed, twice: the same bytes in every datagram.
#![cfg(getrandom_backend = "custom")]

use std::sync::Once;
use std::time::Duration;

use wattle_core::sim::{NodeIndex, Path, World};
use wattle_core::{Config, Topology};
use wattle_tests_exact::seeded;

/// The hash over everything, bytes included, and the number of its entries.
fn run(draws: u64, seed: u64, topology: Topology) -> (u64, u64) {
    // dimpl tries out its cryptography before the first link of a process, and draws for that.
    static TRIED: Once = Once::new();
    TRIED.call_once(|| network(&mut World::new(0), Topology::Star));
    seeded(draws, || {
        let mut world = World::new(seed);
        world.trace_bytes();
        network(&mut world, topology);
        (world.trace_hash(), world.trace_entries())
    })
}

fn network(world: &mut World, topology: Topology) {
    world.set_default_path(Path {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(10),
        loss_per_mille: 30,
        ..Path::default()
    });
    let config = Config::default().with_topology(topology);
    let nodes: Vec<NodeIndex> = (0..4).map(|_| world.add_native(config.clone())).collect();
    let code = world.host(nodes[0]);
    for node in &nodes[1..] {
        world.join(*node, &code);
    }
    let all_in = |world: &World| nodes.iter().all(|node| world.nodes(*node).len() == 4);
    assert!(world.run_until(Duration::from_secs(10), all_in));
    for round in 0..20 {
        for node in &nodes {
            world.broadcast(*node, vec![round; 3_000]).unwrap();
            world.broadcast_state(*node, vec![round; 100]).unwrap();
        }
        world.run_for(Duration::from_millis(100));
    }
    world.crash(nodes[3]);
    world.run_for(Duration::from_secs(7));
}

#[test]
fn the_same_seed_sends_the_same_bytes() {
    for topology in [Topology::Star, Topology::Mesh] {
        for seed in 0..5 {
            let first = run(seed, seed, topology);
            assert_eq!(first, run(seed, seed, topology), "{topology:?} {seed}");
        }
    }
}

#[test]
fn another_seed_of_the_parts_sends_others() {
    let (one, other) = (run(1, 0, Topology::Star), run(2, 0, Topology::Star));
    assert_ne!(one.0, other.0, "the hash covers the bytes");
}

#[test]
fn another_process_sends_the_same_bytes() {
    const ASKED: &str = "WATTLE_EXACT_HASH";
    let hash = format!("{:?}", run(7, 7, Topology::Mesh));
    if std::env::var_os(ASKED).is_some() {
        println!("hash {hash}");
        return;
    }
    let other = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["another_process", "--nocapture"])
        .env(ASKED, "yes")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&other.stdout);
    assert!(said.contains(&format!("hash {hash}")), "{hash}: {said}");
}
