//! Worlds on all cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use smol::channel::{Receiver, Sender};
use wattle_core::sim::campaign::Outcome;

/// What became of a seed.
pub(super) struct Ran {
    seed: u64,
    /// `None`: the code panicked.
    outcome: Option<Box<Outcome>>,
}

impl Ran {
    pub(super) fn of(outcome: Outcome) -> Self {
        Self {
            seed: outcome.seed,
            outcome: Some(Box::new(outcome)),
        }
    }

    fn has_failed(&self) -> bool {
        self.outcome.as_ref().is_none_or(|one| one.has_failed())
    }
}

/// What many worlds came to.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) worlds: u64,
    pub(super) steps: u64,
    /// How much time passed in all of them.
    pub(super) time: Duration,
    /// Over the hashes of all worlds, in whatever order they came.
    pub(super) hash: u64,
    /// The lowest seed that failed, with `None` if the code panicked there.
    pub(super) failure: Option<(u64, Option<Box<Outcome>>)>,
}

impl Tally {
    pub(super) fn add(&mut self, ran: Ran) {
        let has_failed = ran.has_failed();
        self.worlds = self.worlds.saturating_add(1);
        if let Some(outcome) = &ran.outcome {
            let report = &outcome.report;
            self.steps = self.steps.saturating_add(report.steps);
            self.time = self.time.saturating_add(report.time);
            self.hash = self.hash.wrapping_add(report.hash);
        }
        let is_lowest = self
            .failure
            .as_ref()
            .is_none_or(|(seed, _)| ran.seed < *seed);
        if has_failed && is_lowest {
            self.failure = Some((ran.seed, ran.outcome));
        }
    }
}

/// How many results may wait to be counted.
const AHEAD: usize = 1024;

/// Runs `count` seeds from `first` on, on all cores, in rising order; none after one that failed. The
/// channel closes when all are through; closing it ends the threads after the worlds under way.
pub(super) fn start(
    first: u64,
    count: u64,
    world: impl Fn(u64) -> Ran + Send + Sync + 'static,
) -> Receiver<Ran> {
    let (sender, receiver) = smol::channel::bounded(AHEAD);
    let work = Arc::new(Work {
        first,
        count,
        taken: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        world,
    });
    for _ in 0..threads() {
        let (work, sender) = (Arc::clone(&work), sender.clone());
        let thread = std::thread::Builder::new().name("world".to_owned());
        // Whatever the others can do without it, they do.
        if let Err(error) = thread.spawn(move || work.work(&sender)) {
            tracing::error!(%error, "a thread cannot be started");
        }
    }
    receiver
}

/// On how many threads worlds run.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

struct Work<F> {
    first: u64,
    count: u64,
    taken: AtomicU64,
    stop: AtomicBool,
    world: F,
}

impl<F: Fn(u64) -> Ran> Work<F> {
    fn work(&self, sender: &Sender<Ran>) {
        while !self.stop.load(Ordering::Relaxed) {
            let nth = self.taken.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = self.first.checked_add(nth).filter(|_| nth < self.count) else {
                return;
            };
            // A world is not used any more after a panic.
            let ran = catch_unwind(AssertUnwindSafe(|| (self.world)(seed)));
            let ran = ran.unwrap_or(Ran {
                seed,
                outcome: None,
            });
            if ran.has_failed() {
                self.stop.store(true, Ordering::Relaxed);
            }
            if sender.send_blocking(ran).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wattle_core::sim::campaign::{Options, run_seed};

    fn tally(first: u64, count: u64, world: impl Fn(u64) -> Ran + Send + Sync + 'static) -> Tally {
        let worlds = start(first, count, world);
        let mut tally = Tally::default();
        while let Ok(ran) = worlds.recv_blocking() {
            tally.add(ran);
        }
        tally
    }

    fn held(seed: u64) -> Ran {
        let options = Options {
            nodes: Some(1),
            ..Options::default()
        };
        Ran::of(run_seed(&options, seed))
    }

    #[test]
    fn every_seed_has_its_world() {
        let all = tally(5, 20, held);
        assert_eq!(all.worlds, 20);
        assert!(all.failure.is_none());
        let alone: u64 = (5..25).fold(0, |hash, seed| {
            let ran = tally(seed, 1, held);
            ran.hash.wrapping_add(hash)
        });
        assert_eq!(all.hash, alone, "in whatever order they came");
    }

    #[test]
    fn the_end_of_the_numbers_is_the_end() {
        assert_eq!(tally(u64::MAX - 1, 10, held).worlds, 2);
    }

    #[test]
    fn a_panic_is_a_failure_and_the_lowest_seed_is_told() {
        let ran = tally(0, 100_000, |seed| {
            assert!(seed < 7, "a defect that this test has planted");
            held(seed)
        });
        assert!(ran.worlds < 100, "it goes on: {}", ran.worlds);
        let (seed, outcome) = ran.failure.unwrap();
        assert_eq!((seed, outcome.is_none()), (7, true));
    }
}
