//! Plans of some seeds, of every family. `tests/run seeds` runs many more.

use wattle_core::sim::campaign::{Options, run_seed};
use wattle_core::sim::plan::Family;

fn hold(family: Family, seeds: u64) {
    let options = Options {
        family,
        ..Options::default()
    };
    for seed in 0..seeds {
        let outcome = run_seed(&options, seed);
        assert!(!outcome.has_failed(), "{}", outcome.explain(&options));
    }
}

#[test]
fn star_plans_hold() {
    hold(Family::Star, 300);
}

#[test]
fn mesh_plans_hold() {
    hold(Family::Mesh, 200);
}

/// The real DTLS draws what changes times, too: from the seed, here.
#[test]
fn mixed_plans_hold_and_are_the_same_each_time() {
    let options = Options {
        family: Family::Mixed,
        ..Options::default()
    };
    for seed in 0..20 {
        let outcome = run_seed(&options, seed);
        assert!(!outcome.has_failed(), "{}", outcome.explain(&options));
        assert_eq!(
            outcome.report.hash,
            run_seed(&options, seed).report.hash,
            "seed {seed}"
        );
    }
}
