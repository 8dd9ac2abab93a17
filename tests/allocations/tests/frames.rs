//! Drawing allocates nothing: neither a frame nor a state that is taken in.
//!
//! One test in one process, because the allocator counts for all of it.

use std::time::Duration;

use wattle_core::{Component, Interpolator, Timestamp};
use wattle_tests_allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

#[test]
fn nothing_is_allocated_per_frame() {
    let mut player = Interpolator::new([Component::Linear, Component::Linear, Component::Angle]);
    let mut sum = 0.0;
    let before = ALLOCATOR.allocated();
    for millis in 0..60_000_u64 {
        let now = Timestamp::from_millis(millis);
        if millis % 50 == 0 {
            let values = [millis as f32, 1.0, millis as f32 / 100.0];
            assert!(player.push(now, Duration::from_millis(millis), values));
        }
        if millis % 16 == 0 {
            sum += player.sample(now).map_or(0.0, |[x, ..]| x);
        }
    }
    assert_eq!(ALLOCATOR.allocated(), before);
    assert!(sum > 0.0);
}
