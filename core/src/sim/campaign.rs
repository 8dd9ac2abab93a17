//! Many plans, one per seed: what `wattle sim` and the tests run.
//!
//! Nothing here does any I/O: the caller counts, prints, and runs seeds on as many threads as it
//! likes.
//!
//! ```
//! use wattle_core::sim::campaign::{Options, run_seed};
//! use wattle_core::sim::plan::Family;
//!
//! let options = Options { family: Family::Star, ..Options::default() };
//! for seed in 0..20 {
//!     let outcome = run_seed(&options, seed);
//!     if outcome.has_failed() {
//!         println!("{}", outcome.explain(&options));
//!     }
//! }
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::choices::{Choices as _, FromSeed};
use super::plan::{Family, Plan, Report, Shrunk};
use crate::config::Config;

/// What is drawn, and how a failure is looked into.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by its users, with `..Default::default()`"
)]
pub struct Options {
    /// What kind of plans. Default [`Family::Star`].
    pub family: Family,
    /// How many nodes each world has; `None`: drawn, from 2 to 8. Default `None`.
    pub nodes: Option<u8>,
    /// Changes the settings of every node of every world. Default: as they are.
    ///
    /// Not what plans themselves decide (topology, relaying, credit, the numbers of nodes and bytes),
    /// nor the timeouts: what is checked goes by the plan and the usual timeouts.
    pub configure: fn(Config) -> Config,
    /// How many runs the shrinking of a failing plan may take. Default 500.
    pub shrink_runs: u32,
    /// How many lines of the timeline are kept, up to the failure. Default 60.
    pub timeline_lines: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            family: Family::Star,
            nodes: None,
            configure: |config| config,
            shrink_runs: 500,
            timeline_lines: 60,
        }
    }
}

impl Options {
    /// The command that runs the world of this seed. It knows nothing of [`Self::configure`].
    #[must_use]
    pub fn command(&self, seed: u64) -> String {
        command(self.family, self.nodes, seed)
    }
}

fn command(family: Family, nodes: Option<u8>, seed: u64) -> String {
    let nodes = match nodes {
        Some(nodes) => alloc::format!(" --nodes {nodes}"),
        None => String::new(),
    };
    let family = family.name();
    alloc::format!("wattle sim --topology {family}{nodes} --seed {seed}")
}

/// What became of a seed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The plan that it stands for.
    pub plan: Plan,
    /// What the plan led to.
    pub report: Report,
}

/// The plan of a seed.
#[must_use]
pub fn plan_of(options: &Options, seed: u64) -> Plan {
    let mut choices = FromSeed::new(seed);
    let nodes = match options.nodes {
        Some(nodes) => nodes,
        None => u8::try_from(choices.range(2, 8)).unwrap_or(2),
    };
    Plan::draw(options.family, nodes, seed, &mut choices)
}

/// Draws the plan of a seed and runs it.
#[must_use]
pub fn run_seed(options: &Options, seed: u64) -> Outcome {
    let plan = plan_of(options, seed);
    let report = plan.run_with(options.configure);
    Outcome { seed, plan, report }
}

impl Outcome {
    /// Whether a law was broken.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.report.verdict.law().is_some()
    }

    /// Looks into a failure: makes the plan smaller, and runs it once more for its timeline.
    #[must_use]
    pub fn explain(&self, options: &Options) -> Failure {
        let shrunk = self.plan.shrink(options.shrink_runs, options.configure);
        let plan = shrunk.as_ref().map_or(&self.plan, |shrunk| &shrunk.plan);
        let timeline = plan.run_with_timeline(options.configure).timeline;
        Failure {
            seed: self.seed,
            family: options.family,
            nodes: options.nodes,
            shrunk,
            timeline: last_lines(&timeline, options.timeline_lines),
        }
    }
}

/// A failure as a person wants to see it (`Display`): how to see it again, the smallest plan that
/// fails in this way, and what happened last.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The family of its plan.
    pub family: Family,
    /// How many nodes were asked for.
    pub nodes: Option<u8>,
    /// The smaller plan; `None` if the plan does not fail.
    pub shrunk: Option<Shrunk>,
    /// The last lines of its timeline.
    pub timeline: String,
}

impl Failure {
    /// The command that replays the seed.
    #[must_use]
    pub fn command(&self) -> String {
        command(self.family, self.nodes, self.seed)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(shrunk) = &self.shrunk else {
            return writeln!(f, "seed {} does not fail", self.seed);
        };
        writeln!(f, "seed {}: {}", self.seed, shrunk.verdict)?;
        writeln!(f, "to see it again: {}", self.command())?;
        writeln!(f, "\nthe plan, made smaller in {} runs:\n", shrunk.runs)?;
        write!(f, "{}", shrunk.plan)?;
        writeln!(f, "\nwhat happened last:\n\n{}", self.timeline)
    }
}

fn last_lines(text: &str, most: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(most);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn a_seed_always_leads_to_the_same() {
        let options = Options::default();
        for seed in 0..10 {
            let (one, other) = (run_seed(&options, seed), run_seed(&options, seed));
            assert_eq!(one.plan, other.plan);
            assert_eq!(one.report, other.report);
        }
    }

    #[test]
    fn the_last_lines_are_the_last() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
        assert_eq!(last_lines("", 2), "");
    }

    #[test]
    fn a_failure_names_its_command() {
        let options = Options {
            nodes: Some(3),
            ..Options::default()
        };
        let failure = run_seed(&options, 9).explain(&options);
        assert_eq!(
            failure.command(),
            "wattle sim --topology star --nodes 3 --seed 9"
        );
        assert_eq!(failure.to_string(), "seed 9 does not fail\n");
    }
}
