//! Each planted bug is found within 200 seeds, and without them nothing is.
//!
//! Runs only with `RUSTFLAGS="--cfg wattle_planted"`: `tests/run planted`.
#![cfg(wattle_planted)]

use core::time::Duration;
use std::time::Instant;

use wattle_core::Planted;
use wattle_core::sim::campaign::{Options, plan_of};
use wattle_core::sim::plan::Family;

/// Within so many seeds each must be found.
const SEEDS: u64 = 200;
/// All together within this time.
const TIME: Duration = Duration::from_secs(60);

fn options(mesh: bool) -> Options {
    let family = if mesh { Family::Mesh } else { Family::Star };
    Options {
        family,
        ..Options::default()
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the time that it takes is part of the promise"
)]
fn every_planted_bug_is_found() {
    let begin = Instant::now();
    let mut missed = Vec::new();
    for bug in Planted::ALL {
        let options = options(bug.needs_mesh());
        let found = (0..SEEDS).find_map(|seed| {
            let report = plan_of(&options, seed).run_with(|config| config.with_planted(bug));
            report.verdict.law().map(|_| (seed, report.verdict))
        });
        match found {
            Some((seed, verdict)) => {
                let text: String = verdict.to_string().chars().take(120).collect();
                println!("{bug:?}: seed {seed}: {text}");
            }
            None => missed.push(bug),
        }
    }
    println!("{:?}", begin.elapsed());
    assert!(
        missed.is_empty(),
        "not found within {SEEDS} seeds: {missed:?}"
    );
    assert!(begin.elapsed() < TIME, "it took {:?}", begin.elapsed());
}

#[test]
fn nothing_is_found_while_they_are_switched_off() {
    for mesh in [false, true] {
        for seed in 0..SEEDS {
            let report = plan_of(&options(mesh), seed).run();
            assert_eq!(
                report.verdict.law(),
                None,
                "seed {seed}: {}",
                report.verdict
            );
        }
    }
}
