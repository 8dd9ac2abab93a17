//! Runs the plans of many seeds on all cores: `seeds FAMILY COUNT [FIRST]`.
//!
//! It ends with 1 after the first seed that fails, and explains it; with 0 if all laws held.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it says how fast it was"
)]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use wattle_core::sim::campaign::{Options, Outcome, run_seed};
use wattle_core::sim::plan::Family;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let parsed = match words.as_slice() {
        [family, count] => parse(family, count, "0"),
        [family, count, first] => parse(family, count, first),
        _ => None,
    };
    let Some((family, count, first)) = parsed else {
        eprintln!("usage: seeds star|mesh|mixed COUNT [FIRST]");
        return ExitCode::from(2);
    };
    let options = Options {
        family,
        ..Options::default()
    };
    let begin = Instant::now();
    let (failed, steps, time) = run(&options, first, count);
    let taken = begin.elapsed().as_secs_f64();
    if let Some(outcome) = failed {
        println!("{}", outcome.explain(&options));
        return ExitCode::FAILURE;
    }
    println!(
        "{count} {} plans held: {:.0} worlds, {:.0} steps and {:.0} virtual seconds per second",
        family.name(),
        count as f64 / taken,
        steps as f64 / taken,
        time as f64 / taken,
    );
    ExitCode::SUCCESS
}

fn parse(family: &str, count: &str, first: &str) -> Option<(Family, u64, u64)> {
    Some((
        family.parse().ok()?,
        count.parse().ok()?,
        first.parse().ok()?,
    ))
}

/// Runs all seeds; the failing one with the lowest number, and how much happened in all.
fn run(options: &Options, first: u64, count: u64) -> (Option<Outcome>, u64, u64) {
    let next = AtomicU64::new(first);
    let (steps, time) = (AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let failed: Mutex<Option<Outcome>> = Mutex::new(None);
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed - first >= count {
                break;
            }
            let outcome = run_seed(options, seed);
            steps.fetch_add(outcome.report.steps, Ordering::Relaxed);
            time.fetch_add(outcome.report.time.as_secs(), Ordering::Relaxed);
            if outcome.has_failed() {
                stop.store(true, Ordering::Relaxed);
                if let Ok(mut failed) = failed.lock()
                    && failed.as_ref().is_none_or(|other| other.seed > seed)
                {
                    *failed = Some(outcome);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    (failed, steps.into_inner(), time.into_inner())
}
