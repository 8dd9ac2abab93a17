//! `wattle sim`: simulated networks, one for each seed, under the laws.

mod show;
mod workers;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smol::Timer;
use smol::channel::Receiver;
use smol::future::or;
use wattle_core::sim::campaign::{Options, Outcome, plan_of, run_seed};
use wattle_core::sim::plan::{Family, Plan, Report, Verdict};

use crate::args::Sim;
use crate::{FAILED, USAGE, run};
use show::Show;
use workers::{Ran, Tally};

pub(crate) async fn run(args: Sim) -> ExitCode {
    let show = Show::new(args.report.json);
    match (args.seed, &args.plan) {
        (Some(seed), _) => show.guard(|| {
            let options = options(&args, seed);
            if args.trace {
                trace(&show, Some(seed), &plan_of(&options, seed))
            } else {
                one(&show, &options, seed)
            }
        }),
        (None, Some(path)) => match read(path) {
            Ok(plan) if args.trace => show.guard(|| trace(&show, None, &plan)),
            Ok(plan) => show.guard(|| alone(&show, &plan)),
            Err(error) => misused(&show, &format!("{}: {error}", path.display())),
        },
        (None, None) => campaign(show, args).await,
    }
}

/// What is drawn for a seed. Worlds of model nodes are fast, so these are the usual ones.
fn options(args: &Sim, seed: u64) -> Options {
    let usual = if seed.is_multiple_of(2) {
        Family::Star
    } else {
        Family::Mesh
    };
    Options {
        family: args.topology.unwrap_or(usual),
        nodes: args.nodes,
        ..Options::default()
    }
}

fn read(path: &Path) -> Result<Plan, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    text.parse().map_err(|error| format!("{error}"))
}

fn misused(show: &Show, message: &str) -> ExitCode {
    show.misused(message);
    ExitCode::from(USAGE)
}

/// The world of one seed.
fn one(show: &Show, options: &Options, seed: u64) -> ExitCode {
    let outcome = run_seed(options, seed);
    show.world(Some(seed), &outcome.report);
    if outcome.has_failed() {
        show.shrinking();
        show.failure(&outcome.explain(options));
    }
    judge(show, &outcome.report)
}

/// The world of a plan from a file.
fn alone(show: &Show, plan: &Plan) -> ExitCode {
    let report = plan.run();
    if let Verdict::Unfit(error) = &report.verdict {
        return misused(show, &format!("the plan: {error}"));
    }
    show.world(None, &report);
    if report.verdict.law().is_some() {
        show.last_of(&plan.run_with_timeline(|config| config).timeline);
    }
    judge(show, &report)
}

/// The plan and everything that happens.
fn trace(show: &Show, seed: Option<u64>, plan: &Plan) -> ExitCode {
    let report = plan.run_with_timeline(|config| config);
    show.trace(plan, &report.timeline);
    show.world(seed, &report);
    judge(show, &report)
}

fn judge(show: &Show, report: &Report) -> ExitCode {
    let failed = report.verdict.law().is_some();
    show.ended(if failed { "failed" } else { "held" });
    if failed {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    }
}

/// Makes the plan of a failure smaller, unless a signal comes before.
async fn explain(show: &Show, options: Options, outcome: Box<Outcome>) {
    show.shrinking();
    let seed = outcome.seed;
    let failure = smol::unblock(move || outcome.explain(&options));
    let failure = or(async { Some(failure.await) }, async {
        run::stop_signal().await;
        None
    });
    match failure.await {
        Some(failure) => show.failure(&failure),
        None => show.command(&options, seed),
    }
}

/// How often progress is shown: where a line moves, to a program, and where lines pile up.
const MOVING: Duration = Duration::from_millis(100);
const PROGRAM: Duration = Duration::from_secs(1);
const LINES: Duration = Duration::from_secs(5);

/// Many worlds, on all cores.
async fn campaign(mut show: Show, args: Sim) -> ExitCode {
    let (first, count) = (args.first, args.seeds);
    let begun = Instant::now();
    show.campaign(args.topology, first, count);
    let args = Arc::new(args);
    let of = Arc::clone(&args);
    let worlds = workers::start(first, count, move |seed| {
        Ran::of(run_seed(&options(&of, seed), seed))
    });
    let mut tally = Tally::default();
    let stopped = or(take(&worlds, &mut tally, &mut show, count, begun), async {
        run::stop_signal().await;
        true
    })
    .await;
    // Those that are under way end with this process.
    worlds.close();
    let failure = tally.failure.take();
    show.summary(&tally, failure.is_some(), begun.elapsed());
    if let Some((seed, failed)) = failure {
        let options = options(&args, seed);
        match failed {
            Some(outcome) => {
                show.world(Some(seed), &outcome.report);
                explain(&show, options, outcome).await;
            }
            None => {
                show.panicked(seed);
                show.command(&options, seed);
            }
        }
        show.ended("failed");
        return ExitCode::from(FAILED);
    }
    show.ended(if stopped { "stopped" } else { "held" });
    ExitCode::SUCCESS
}

/// Counts worlds until there are no more; `false`: it was not stopped.
async fn take(
    worlds: &Receiver<Ran>,
    tally: &mut Tally,
    show: &mut Show,
    count: u64,
    begun: Instant,
) -> bool {
    let interval = match (show.is_json(), show.moves()) {
        (true, _) => PROGRAM,
        (false, true) => MOVING,
        (false, false) => LINES,
    };
    let mut due = Instant::now() + interval;
    loop {
        let next = async { Some(worlds.recv().await) };
        let tick = async {
            Timer::at(due).await;
            None
        };
        // Progress is shown even if worlds come faster than they can be counted.
        match or(tick, next).await {
            Some(Ok(ran)) => tally.add(ran),
            Some(Err(_)) => return false,
            None => {
                due = Instant::now() + interval;
                show.progress(tally, count, begun.elapsed());
            }
        }
    }
}
