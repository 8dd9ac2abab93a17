//! The `wattle` command: see `docs/cli.md`.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "nothing here works without std"
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the core's enums grow; what is new passes through"
)]

mod args;
mod command;
mod demo;
mod doctor;
mod human;
mod ice;
mod input;
mod json;
mod output;
mod report;
mod run;
mod serve;
mod sim;

use std::process::ExitCode;

use args::{Action, Args};

/// Exit status when something went wrong.
const FAILED: u8 = 1;

/// Exit status for wrong arguments.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        Err(error) => return refuse(&error),
    };
    start_log(args.action.is_verbose());
    smol::block_on(async {
        match args.action {
            Action::Demo(demo) => demo::run(demo).await,
            Action::Doctor(doctor) => doctor::run(doctor).await,
            Action::Host(host) => run::host(host).await,
            Action::Join(join) => run::join(join).await,
            Action::Serve(serve) => serve::run(serve).await,
            Action::Sim(sim) => sim::run(sim).await,
        }
    })
}

/// Help and version are answers; everything else is a wrong argument.
fn refuse(error: &clap::Error) -> ExitCode {
    let wrong = error.use_stderr();
    // Nothing to be done if the terminal is gone.
    let _ = error.print();
    if !wrong {
        return ExitCode::SUCCESS;
    }
    if std::env::args_os().any(|arg| arg == "--json") {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let message = first.strip_prefix("error: ").unwrap_or(first);
        json::print(&json::Line::error("usage", message, ""));
    }
    ExitCode::from(USAGE)
}

/// The log goes to the standard error, as `WATTLE_LOG` says (`debug`, `wattle_smol=trace`, …).
fn start_log(verbose: bool) {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let wanted = std::env::var("WATTLE_LOG").unwrap_or_default();
    let level = if verbose {
        LevelFilter::WARN
    } else {
        LevelFilter::ERROR
    };
    let filter = match wanted.parse::<Targets>() {
        // A level alone means our own crates: others write addresses and secrets at debug.
        Ok(targets) if !wanted.is_empty() => Targets::new()
            .with_default(level)
            .with_target("wattle", targets.default_level().unwrap_or(level))
            .with_targets(targets),
        _ => Targets::new().with_default(level),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
}
