//! Whole networks: bytes become a plan, the plan runs in a simulated world, and the laws judge it.

use wattle_core::sim::choices::{Choices, FromBytes};
use wattle_core::sim::plan::{Family, Plan, Verdict};

/// A plan drawn from the bytes. All laws hold while it runs, and the healed core comes to terms;
/// what is printed of it is the same plan when it is read.
///
/// # Panics
/// With the plan, which `wattle sim` and the tests can run.
pub fn world(data: &[u8]) {
    let mut choices = FromBytes::new(data);
    // Native nodes take a hundred times as long, so they are rare.
    let family = match choices.below(32) {
        0..=14 => Family::Mesh,
        15..=30 => Family::Star,
        _ => Family::Mixed,
    };
    let most = if family == Family::Mixed { 2 } else { 5 };
    let nodes = 2 + choices.below(most) as u8;
    let seed = choices.below(256).into();
    let plan = Plan::draw(family, nodes, seed, &mut choices);
    let text = plan.to_string();
    let read = text.parse::<Plan>().expect("what is printed can be read");
    assert_eq!(read, plan);
    match plan.run().verdict {
        Verdict::Held => {}
        verdict => panic!("{verdict}\nthe plan:\n{text}"),
    }
}
