//! What a simulated world allocates while its nodes talk: an exact measure of needless work, where a
//! time would depend on the machine.
//!
//! One test in one process, because the allocator counts for all of it.

use std::time::Duration;

use bytes::Bytes;
use wattle_core::Config;
use wattle_core::sim::World;
use wattle_tests_allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Bytes for each input and output: 60, and room for a standard library that lets lists grow otherwise. Asking
/// a node for its numbers at each input makes it nearly twenty times as much.
const MOST: usize = 90;

#[test]
fn a_talking_world_allocates_little_more_than_it_keeps() {
    let mut world = World::new(1);
    let nodes: Vec<_> = (0..8).map(|_| world.add_model(Config::default())).collect();
    world.assemble(&nodes);
    let payload = Bytes::from(vec![1; 50]);
    let (entries, before) = (world.trace_entries(), ALLOCATOR.allocated());
    for _ in 0..120 {
        for node in &nodes {
            world.broadcast(*node, payload.clone()).unwrap();
            world.broadcast_state(*node, payload.clone()).unwrap();
        }
        world.run_for(Duration::from_secs(1));
    }
    let allocated = ALLOCATOR.allocated() - before;
    let entries = usize::try_from(world.trace_entries() - entries).unwrap();
    assert!(entries > 50_000, "they talked: {entries}");
    println!(
        "{allocated} bytes for {entries} entries: {} each",
        allocated / entries
    );
    assert!(
        allocated < MOST * entries,
        "{allocated} bytes for {entries} entries"
    );
}
