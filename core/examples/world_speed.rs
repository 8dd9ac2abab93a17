//! How fast simulated worlds run: an 8-node star over model links for ten virtual minutes, with pings
//! on and one reliable and one state broadcast per node and tick; and (with the feature `native`) how
//! many full 8-node networks with real ICE, DTLS and SCTP can be set up in a second.
//!
//! `cargo run --release -p wattle-core --features sim --example world_speed [worlds]`: ten by default;
//! with less the dear worlds of 20 Hz are left out.

#![expect(clippy::panic, reason = "a measurement that goes wrong has to say so")]

use core::time::Duration;
use std::println;

use wattle_core::Config;
use wattle_core::sim::World;

const NODES: usize = 8;

fn main() {
    let worlds = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let worlds: u32 = worlds.unwrap_or(10);
    for (rate, worlds) in [(1, worlds), (20, worlds / 10)] {
        if worlds == 0 {
            continue;
        }
        let (mut messages, mut entries) = (0, 0);
        let took = time(|| {
            for seed in 0..worlds {
                let (heard, traced) = model_star(seed.into(), rate);
                messages += heard;
                entries += traced;
            }
        });
        let worlds = u64::from(worlds);
        println!(
            "model star, {NODES} nodes, 10 virtual minutes, {rate} Hz: {:.1} ms of CPU per world \
             ({} messages delivered, {} trace entries, {} ns per entry)",
            took.as_secs_f64() * 1000.0 / worlds as f64,
            messages / worlds,
            entries / worlds,
            took.as_nanos() as u64 / entries.max(1),
        );
    }
    #[cfg(feature = "native")]
    {
        let setups = worlds;
        let took = time(|| (0..setups).for_each(|seed| native_star(seed.into())));
        println!(
            "native star, {NODES} nodes, until all see all: {:.1} set-ups per second",
            f64::from(setups) / took.as_secs_f64()
        );
    }
}

/// Gives how many messages were delivered and how many entries the trace has.
fn model_star(seed: u64, rate: u32) -> (u64, u64) {
    let mut world = World::new(seed);
    let nodes: Vec<_> = (0..NODES)
        .map(|_| world.add_model(Config::default()))
        .collect();
    world.assemble(&nodes);
    let (payload, state) = (vec![1; 50], vec![2; 50]);
    let (payload, state) = (bytes::Bytes::from(payload), bytes::Bytes::from(state));
    for _ in 0..600 * rate {
        for node in &nodes {
            if let Err(error) = world.broadcast(*node, payload.clone()) {
                panic!("{node:?} cannot send: {error}");
            }
            if let Err(error) = world.broadcast_state(*node, state.clone()) {
                panic!("{node:?} cannot send its state: {error}");
            }
        }
        world.run_for(Duration::from_secs(1) / rate);
    }
    let messages = nodes.iter().map(|node| world.message_count(*node)).sum();
    (messages, world.trace_entries())
}

#[cfg(feature = "native")]
fn native_star(seed: u64) {
    let mut world = World::new(seed);
    let nodes: Vec<_> = (0..NODES)
        .map(|_| world.add_native(Config::default()))
        .collect();
    world.assemble(&nodes);
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
