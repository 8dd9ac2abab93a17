//! How fast simulated worlds run: the figures of `docs/simulation.md`.
//!
//! An 8-node star: until all nodes see all, and then for a while with pings on and one reliable and
//! one state broadcast per node and tick. Over model links, and (with the feature `native`) with real
//! ICE, DTLS and SCTP.
//!
//! `cargo run --release -p wattle-core --features sim --example world_speed [worlds]`: ten by default;
//! with less the dearer ones are left out.

#![expect(clippy::panic, reason = "a measurement that goes wrong has to say so")]

use core::time::Duration;
use std::println;

use wattle_core::Config;
use wattle_core::sim::{NodeIndex, World};

const NODES: usize = 8;

fn main() {
    let worlds = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let worlds: u32 = worlds.unwrap_or(10);
    set_ups("model", worlds * 10, World::add_model);
    // Before the long runs: what those leave of the heap would make it slower by half.
    #[cfg(feature = "native")]
    set_ups("native", worlds, World::add_native);
    run("model", 600, 1, worlds, World::add_model);
    run("model", 600, 20, worlds / 10, World::add_model);
    #[cfg(feature = "native")]
    {
        run("native", 60, 1, worlds / 10, World::add_native);
        run("native", 60, 20, worlds / 10, World::add_native);
    }
}

type Add = fn(&mut World, Config) -> NodeIndex;

fn star(seed: u32, add: Add) -> (World, Vec<NodeIndex>) {
    let mut world = World::new(seed.into());
    let nodes: Vec<_> = (0..NODES)
        .map(|_| add(&mut world, Config::default()))
        .collect();
    world.assemble(&nodes);
    (world, nodes)
}

fn set_ups(kind: &str, worlds: u32, add: Add) {
    let took = time(|| (0..worlds).for_each(|seed| drop(star(seed, add))));
    println!(
        "{kind} star, {NODES} nodes, until all see all: {:.1} set-ups per second, {:.2} ms each",
        f64::from(worlds) / took.as_secs_f64(),
        took.as_secs_f64() * 1000.0 / f64::from(worlds),
    );
}

/// The set-up is not counted.
fn run(kind: &str, seconds: u32, rate: u32, worlds: u32, add: Add) {
    if worlds == 0 {
        return;
    }
    let (mut messages, mut entries, mut took) = (0, 0, Duration::ZERO);
    for seed in 0..worlds {
        let (mut world, nodes) = star(seed, add);
        let before = world.trace_entries();
        took += time(|| talk(&mut world, &nodes, seconds, rate));
        messages += nodes
            .iter()
            .map(|node| world.message_count(*node))
            .sum::<u64>();
        entries += world.trace_entries() - before;
    }
    println!(
        "{kind} star, {NODES} nodes, {seconds} virtual seconds, {rate} Hz: {:.1} ms of CPU per world \
         ({} messages delivered, {} trace entries, {} ns per entry)",
        took.as_secs_f64() * 1000.0 / f64::from(worlds),
        messages / u64::from(worlds),
        entries / u64::from(worlds),
        took.as_nanos() as u64 / entries.max(1),
    );
}

fn talk(world: &mut World, nodes: &[NodeIndex], seconds: u32, rate: u32) {
    let (payload, state) = (vec![1; 50], vec![2; 50]);
    let (payload, state) = (bytes::Bytes::from(payload), bytes::Bytes::from(state));
    for _ in 0..seconds * rate {
        for node in nodes {
            if let Err(error) = world.broadcast(*node, payload.clone()) {
                panic!("{node:?} cannot send: {error}");
            }
            if let Err(error) = world.broadcast_state(*node, state.clone()) {
                panic!("{node:?} cannot send its state: {error}");
            }
        }
        world.run_for(Duration::from_secs(1) / rate);
    }
}

/// How long this takes: the time of the processor where Linux tells it, else that of the wall.
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a measurement reads the clock"
)]
fn time(run: impl FnOnce()) -> Duration {
    // The first number is the time spent on a processor, in nanoseconds.
    let spent = || {
        let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
        text.split(' ')
            .next()?
            .parse()
            .map(Duration::from_nanos)
            .ok()
    };
    let (start, before) = (std::time::Instant::now(), spent());
    run();
    match (before, spent()) {
        (Some(before), Some(after)) => after.saturating_sub(before),
        _ => start.elapsed(),
    }
}
