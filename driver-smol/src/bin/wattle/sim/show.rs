//! What is seen of simulated networks, by a person or a program.

use std::io::{IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use wattle_core::sim::campaign::{Failure, Options};
use wattle_core::sim::plan::{Family, Plan, Report, Verdict};

use super::workers::{Tally, threads};
use crate::FAILED;
use crate::human::{self, BRIGHT, FAINT, WRONG, say, styled};
use crate::json;

/// How much of a timeline is shown of a plan that fails.
const LAST_LINES: usize = 60;

/// How wide the bar is.
const BAR: u64 = 30;

/// The lines of `--json`; `docs/cli.md` documents them.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Progress {
        worlds: u64,
        of: u64,
        seconds: f64,
        virtual_seconds: f64,
    },
    World {
        seed: Option<u64>,
        verdict: &'static str,
        law: Option<&'static str>,
        message: String,
        hash: String,
        steps: u64,
        virtual_seconds: f64,
    },
    Failure {
        seed: u64,
        command: String,
        plan: String,
        timeline: &'a str,
    },
    Panic {
        seed: u64,
    },
    Replay {
        seed: u64,
        command: String,
    },
    Trace {
        plan: String,
        timeline: &'a str,
    },
    Summary {
        worlds: u64,
        failed: bool,
        steps: u64,
        seconds: f64,
        virtual_seconds: f64,
        hash: String,
    },
    Ended {
        reason: &'static str,
        message: &'static str,
    },
}

/// Where it is shown.
pub(super) struct Show {
    json: bool,
    moves: bool,
    /// Whether the moving line is on the screen.
    drawn: bool,
}

impl Show {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            moves: !json && std::io::stderr().is_terminal(),
            drawn: false,
        }
    }

    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether there is a line that moves.
    pub(super) const fn moves(&self) -> bool {
        self.moves
    }

    /// Many worlds begin.
    pub(super) fn campaign(&self, family: Option<Family>, first: u64, count: u64) {
        if !self.json {
            say(format_args!(
                "{} {count} worlds ({}), from seed {first} on, on {} threads",
                styled(BRIGHT, "wattle sim:"),
                family.map_or("star and mesh", Family::name),
                threads()
            ));
        }
    }

    pub(super) fn progress(&mut self, tally: &Tally, of: u64, taken: Duration) {
        if self.json {
            json::print(&Line::Progress {
                worlds: tally.worlds,
                of,
                seconds: seconds(taken),
                virtual_seconds: seconds(tally.time),
            });
            return;
        }
        let text = format!("{} of {of} worlds, {}", tally.worlds, speed(tally, taken));
        if !self.moves {
            say(styled(FAINT, text));
            return;
        }
        let full = tally.worlds.saturating_mul(BAR) / of.max(1);
        let bar: String = (0..BAR)
            .map(|place| if place < full { '█' } else { '░' })
            .collect();
        let mut err = anstream::stderr().lock();
        let _ = write!(err, "\r\x1b[2K{} {text}", styled(BRIGHT, bar));
        let _ = err.flush();
        self.drawn = true;
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let mut err = anstream::stderr().lock();
            let _ = write!(err, "\r\x1b[2K");
            let _ = err.flush();
        }
    }

    /// What many worlds came to.
    pub(super) fn summary(&mut self, tally: &Tally, failed: bool, taken: Duration) {
        self.clear();
        if self.json {
            json::print(&Line::Summary {
                worlds: tally.worlds,
                failed,
                steps: tally.steps,
                seconds: seconds(taken),
                virtual_seconds: seconds(tally.time),
                hash: hex(tally.hash),
            });
            return;
        }
        if !failed {
            say(format_args!(
                "{} in {} worlds.",
                styled(BRIGHT, "All laws held"),
                tally.worlds
            ));
        }
        let (real, simulated) = (seconds(taken), seconds(tally.time));
        say(styled(
            FAINT,
            format_args!(
                "{real:.1} s, in which {simulated:.0} s passed in the worlds: {}",
                speed(tally, taken)
            ),
        ));
    }

    /// One world has ended.
    pub(super) fn world(&self, seed: Option<u64>, report: &Report) {
        let verdict = &report.verdict;
        if self.json {
            json::print(&Line::World {
                seed,
                verdict: match verdict {
                    Verdict::Held => "held",
                    Verdict::Unfit(_) => "unfit",
                    _ => "broken",
                },
                law: verdict.law().map(|law| law.name()),
                message: verdict.to_string(),
                hash: hex(report.hash),
                steps: report.steps,
                virtual_seconds: seconds(report.time),
            });
            return;
        }
        let name = seed.map_or_else(|| "the plan".to_owned(), |seed| format!("seed {seed}"));
        let style = if verdict.law().is_some() {
            WRONG
        } else {
            BRIGHT
        };
        say(format_args!("{name}: {}", styled(style, verdict)));
        say(styled(
            FAINT,
            format_args!(
                "{} steps in {:.1} s of its time, trace hash {}",
                report.steps,
                seconds(report.time),
                hex(report.hash)
            ),
        ));
    }

    /// A failing plan is about to be made smaller, which takes a while.
    pub(super) fn shrinking(&self) {
        if self.moves {
            let mut err = anstream::stderr().lock();
            let _ = writeln!(err, "{}", styled(FAINT, "looking for a smaller plan …"));
        }
    }

    pub(super) fn failure(&self, failure: &Failure) {
        if !self.json {
            say(format_args!("\n{failure}"));
            return;
        }
        let plan = failure
            .shrunk
            .as_ref()
            .map(|shrunk| shrunk.plan.to_string());
        json::print(&Line::Failure {
            seed: failure.seed,
            command: failure.command(),
            plan: plan.unwrap_or_default(),
            timeline: &failure.timeline,
        });
    }

    /// The code panicked: the message of that stands on the standard error.
    pub(super) fn panicked(&self, seed: u64) {
        if self.json {
            json::print(&Line::Panic { seed });
        } else {
            let what = styled(WRONG, "the code panicked");
            say(format_args!("seed {seed}: {what}"));
        }
    }

    /// How to see a failure again.
    pub(super) fn command(&self, options: &Options, seed: u64) {
        let command = options.command(seed);
        if self.json {
            json::print(&Line::Replay { seed, command });
        } else {
            say(format_args!("to see it again: {command}"));
        }
    }

    /// Runs a world alone. If the code panics there (its message stands on the standard error), that
    /// is a failure like others.
    pub(super) fn guard(&self, world: impl FnOnce() -> ExitCode) -> ExitCode {
        catch_unwind(AssertUnwindSafe(world)).unwrap_or_else(|_| {
            self.ended("failed");
            ExitCode::from(FAILED)
        })
    }

    /// What happened last in a world that failed.
    pub(super) fn last_of(&self, timeline: &str) {
        if !self.json {
            let lines: Vec<&str> = timeline.lines().collect();
            let from = lines.len().saturating_sub(LAST_LINES);
            let last = lines.get(from..).unwrap_or_default().join("\n");
            say(format_args!("\nwhat happened last:\n\n{last}\n"));
        }
    }

    /// All of a world.
    pub(super) fn trace(&self, plan: &Plan, timeline: &str) {
        if self.json {
            let plan = plan.to_string();
            json::print(&Line::Trace { plan, timeline });
        } else {
            say(format_args!("{plan}\n{timeline}"));
        }
    }

    pub(super) fn ended(&self, reason: &'static str) {
        if self.json {
            let message = match reason {
                "held" => "all laws held",
                "stopped" => "stopped by a signal",
                _ => "a law did not hold",
            };
            json::print(&Line::Ended { reason, message });
        }
    }

    /// What was asked for makes no sense.
    pub(super) fn misused(&self, message: &str) {
        if self.json {
            json::print(&json::Line::error("usage", message, ""));
        } else {
            human::failure(message, "");
        }
    }
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

fn seconds(time: Duration) -> f64 {
    json::milliseconds(time) / 1_000.0
}

fn speed(tally: &Tally, taken: Duration) -> String {
    let taken = taken.as_secs_f64().max(0.001);
    format!(
        "{:.0} worlds and {:.0} virtual seconds a second",
        tally.worlds as f64 / taken,
        tally.time.as_secs_f64() / taken
    )
}
