//! A failing plan is made smaller as long as it fails in the same way.

use alloc::vec::Vec;
use core::time::Duration;

use super::run::Verdict;
use super::settings::Settings;
use super::{Action, Plan, Repeat, Timed};
use crate::config::Config;
use crate::sim::Law;

/// What became of making a plan smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shrunk {
    /// The smallest plan that was found.
    pub plan: Plan,
    /// What it leads to: the same law fails as with the plan that it was made of.
    pub verdict: Verdict,
    /// How many plans were run.
    pub runs: u32,
}

impl Plan {
    /// Makes the plan smaller, by running at most this many others; `None` if it does not fail.
    ///
    /// A smaller plan counts if the same law fails: one with fewer actions, fewer nodes, less time,
    /// or a setting that is the usual one.
    #[must_use]
    pub fn shrink(&self, runs: u32, configure: impl Fn(Config) -> Config) -> Option<Shrunk> {
        let verdict = self.run_with(&configure).verdict;
        let law = verdict.law()?;
        let mut search = Search {
            law,
            configure: &configure,
            left: runs,
            best: self.clone(),
            verdict,
        };
        // As long as a round makes it smaller and runs are left, there may be more to gain.
        while search.round() {}
        Some(Shrunk {
            runs: runs.saturating_sub(search.left),
            plan: search.best,
            verdict: search.verdict,
        })
    }
}

struct Search<'a> {
    law: Law,
    configure: &'a dyn Fn(Config) -> Config,
    left: u32,
    best: Plan,
    verdict: Verdict,
}

impl Search<'_> {
    /// Takes the plan if it is another one, and fails in the same way.
    fn take(&mut self, plan: Plan) -> bool {
        if plan == self.best || self.left == 0 {
            return false;
        }
        self.left = self.left.saturating_sub(1);
        let verdict = plan.run_with(self.configure).verdict;
        let same = verdict.law() == Some(self.law);
        if same {
            self.best = plan;
            self.verdict = verdict;
        }
        same
    }

    fn round(&mut self) -> bool {
        let before = self.best.clone();
        self.fewer_actions();
        self.fewer_nodes();
        self.less_time();
        self.simpler_actions();
        self.usual_settings();
        self.left > 0 && self.best != before
    }

    /// Leaves out ever smaller parts: halves, quarters, single actions.
    fn fewer_actions(&mut self) {
        let mut part = self.best.actions.len().div_ceil(2);
        while part > 0 && self.left > 0 {
            let mut from = 0;
            while from < self.best.actions.len() && self.left > 0 {
                let mut plan = self.best.clone();
                let to = from.saturating_add(part).min(plan.actions.len());
                plan.actions.drain(from..to);
                if !self.take(plan) {
                    from = to;
                }
            }
            part /= 2;
        }
    }

    fn fewer_nodes(&mut self) {
        let mut node = self.best.nodes.len();
        while node > 1 {
            node = node.saturating_sub(1);
            let plan = without(&self.best, u8::try_from(node).unwrap_or(u8::MAX));
            self.take(plan);
        }
        for node in self.best.core.clone() {
            let mut plan = self.best.clone();
            plan.core.retain(|other| *other != node);
            self.take(plan);
        }
    }

    /// Heals earlier, and lets actions happen sooner after each other.
    fn less_time(&mut self) {
        let last = self.best.actions.last().map_or(Duration::ZERO, |t| t.at);
        let mut plan = self.best.clone();
        plan.heal_at = last.saturating_add(Duration::from_millis(1));
        if plan.heal_at < self.best.heal_at {
            self.take(plan);
        }
        let mut plan = self.best.clone();
        plan.heal_at /= 2;
        plan.heal_at = plan.heal_at.max(last);
        self.take(whole_millis(plan));
        for place in 0..self.best.actions.len() {
            let at = |plan: &Plan, place: usize| {
                plan.actions
                    .get(place)
                    .map_or(Duration::ZERO, |timed| timed.at)
            };
            let before = match place.checked_sub(1) {
                Some(before) => at(&self.best, before),
                None => Duration::ZERO,
            };
            let gap = at(&self.best, place).saturating_sub(before);
            for less in [gap, gap / 2] {
                let mut plan = self.best.clone();
                for timed in plan.actions.iter_mut().skip(place) {
                    timed.at = timed.at.saturating_sub(less);
                }
                plan.heal_at = plan.heal_at.saturating_sub(less);
                if !less.is_zero() && self.take(whole_millis(plan)) {
                    break;
                }
            }
        }
    }

    fn simpler_actions(&mut self) {
        for place in 0..self.best.actions.len() {
            let Some(timed) = self.best.actions.get(place).copied() else {
                return;
            };
            for action in simpler(timed.action) {
                let mut plan = self.best.clone();
                if let Some(timed) = plan.actions.get_mut(place) {
                    timed.action = action;
                }
                if self.take(plan) {
                    break;
                }
            }
        }
    }

    fn usual_settings(&mut self) {
        let usual = Plan::new(self.best.seed, 1);
        let changes: [fn(&mut Plan, &Plan); 5] = [
            |plan, usual| plan.max_nodes = usual.max_nodes,
            |plan, usual| plan.relay = usual.relay,
            |plan, usual| plan.release = usual.release,
            |plan, usual| plan.message = usual.message,
            |plan, usual| plan.topology = usual.topology,
        ];
        for change in changes {
            let mut plan = self.best.clone();
            change(&mut plan, &usual);
            self.take(plan);
        }
    }
}

/// Simpler ones in place of an action, the simplest first.
fn simpler(action: Action) -> Vec<Action> {
    let repeats = |repeat: Repeat| {
        [
            Repeat {
                size: 8,
                times: 1,
                every: Duration::ZERO,
            },
            Repeat {
                times: 1,
                every: Duration::ZERO,
                ..repeat
            },
            Repeat { size: 8, ..repeat },
            Repeat {
                times: repeat.times / 2,
                ..repeat
            },
            Repeat {
                size: repeat.size / 2,
                ..repeat
            },
        ]
        .into_iter()
        .filter(move |other| {
            other.times > 0 && (other.size, other.times) < (repeat.size.max(9), repeat.times.max(1))
                || other.times > 0 && other.size < repeat.size && other.times <= repeat.times
        })
    };
    match action {
        Action::Send { from, to, repeat } => repeats(repeat)
            .map(|repeat| Action::Send { from, to, repeat })
            .collect(),
        Action::State { from, repeat } => repeats(repeat)
            .map(|repeat| Action::State { from, repeat })
            .collect(),
        Action::Path { direction, path } => nearer(path)
            .map(|path| Action::Path { direction, path })
            .collect(),
        Action::Quirks(quirks) => nearer(quirks).map(Action::Quirks).collect(),
        Action::Signaling(faults) => nearer(faults).map(Action::Signaling).collect(),
        Action::Clock(node, clock) => nearer(clock)
            .map(|clock| Action::Clock(node, clock))
            .collect(),
        Action::Sleep(node, time) if time > Duration::from_millis(1) => {
            [Action::Sleep(node, time / 2)].into()
        }
        Action::Node(..) | Action::Pair(..) | Action::Server(_) | Action::Sleep(..) => Vec::new(),
    }
}

/// The same with one setting less that is not the usual one.
fn nearer<T: Settings>(it: T) -> impl Iterator<Item = T> {
    let usual = T::default();
    T::KNOBS
        .iter()
        .filter(move |knob| (knob.get)(&it) != (knob.get)(&usual))
        .map(move |knob| {
            let mut it = it;
            (knob.set)(&mut it, (knob.get)(&usual));
            it
        })
}

/// The plan without a node and everything about it; those behind it move up.
fn without(plan: &Plan, node: u8) -> Plan {
    let mut plan = plan.clone();
    if plan.nodes.len() > usize::from(node) {
        plan.nodes.remove(usize::from(node));
    }
    let moved = |other: u8| match other {
        other if other == node => None,
        other if other > node => Some(other.saturating_sub(1)),
        other => Some(other),
    };
    plan.core = plan.core.into_iter().filter_map(moved).collect();
    plan.actions = plan
        .actions
        .into_iter()
        .filter_map(|Timed { at, action }| {
            let action = match action {
                Action::Node(verb, node) => Action::Node(verb, moved(node)?),
                Action::Pair(verb, a, b) => Action::Pair(verb, moved(a)?, moved(b)?),
                Action::Clock(node, clock) => Action::Clock(moved(node)?, clock),
                Action::Sleep(node, time) => Action::Sleep(moved(node)?, time),
                Action::Server(_) | Action::Quirks(_) | Action::Signaling(_) => action,
                Action::Send { from, to, repeat } => Action::Send {
                    from: moved(from)?,
                    to: match to {
                        Some(to) => Some(moved(to)?),
                        None => None,
                    },
                    repeat,
                },
                Action::State { from, repeat } => Action::State {
                    from: moved(from)?,
                    repeat,
                },
                Action::Path { direction, path } => Action::Path {
                    direction: match direction {
                        Some((from, to)) => Some((moved(from)?, moved(to)?)),
                        None => None,
                    },
                    path,
                },
            };
            Some(Timed { at, action })
        })
        .collect();
    plan
}

/// Times as the text of a plan writes them best.
fn whole_millis(mut plan: Plan) -> Plan {
    let whole =
        |time: Duration| Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(0));
    plan.heal_at = whole(plan.heal_at);
    for timed in &mut plan.actions {
        timed.at = whole(timed.at);
    }
    plan
}
