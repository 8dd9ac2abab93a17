//! A failing plan is made smaller as long as it fails in the same way.

use alloc::vec::Vec;
use core::time::Duration;

use super::places::{Nat, Spot, Stack};
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
        self.fewer_nats();
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

    fn fewer_nats(&mut self) {
        for nat in (0..self.best.nats.len()).rev() {
            let plan = without_nat(&self.best, u8::try_from(nat).unwrap_or(u8::MAX));
            if self.take(plan) {
                continue;
            }
            let Some(old) = self.best.nats.get(nat).copied() else {
                continue;
            };
            let on_the_internet = Nat {
                behind: None,
                ..old
            };
            let simpler = nearer(old.config).map(|config| Nat { config, ..old });
            for new in core::iter::once(on_the_internet).chain(simpler) {
                let mut plan = self.best.clone();
                if let Some(nat) = plan.nats.get_mut(nat) {
                    *nat = new;
                }
                self.take(plan);
            }
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
        let changes: [fn(&mut Plan, &Plan); 6] = [
            |plan, usual| plan.servers = usual.servers,
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
        Action::Reboot(nat, dark) if dark > Duration::from_millis(1) => {
            [Action::Reboot(nat, dark / 2)].into()
        }
        Action::Roam(node, spot) if spot.stack != Stack::Ipv4 => {
            let stack = Stack::Ipv4;
            [Action::Roam(node, Spot { stack, ..spot })].into()
        }
        Action::Node(..)
        | Action::Pair(..)
        | Action::Server(_)
        | Action::Sleep(..)
        | Action::Roam(..)
        | Action::Nat(..)
        | Action::Reboot(..)
        | Action::Turn(_) => Vec::new(),
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
    let moved = |other: u8| moved(other, node);
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
                Action::Roam(node, spot) => Action::Roam(moved(node)?, spot),
                Action::Server(_)
                | Action::Quirks(_)
                | Action::Signaling(_)
                | Action::Nat(..)
                | Action::Reboot(..)
                | Action::Turn(_) => action,
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

/// The plan without a NAT box and everything about it; what was in its LAN is on the Internet.
fn without_nat(plan: &Plan, nat: u8) -> Plan {
    let mut plan = plan.clone();
    if plan.nats.len() > usize::from(nat) {
        plan.nats.remove(usize::from(nat));
    }
    let behind = |other: Option<u8>| other.and_then(|other| moved(other, nat));
    for other in &mut plan.nats {
        other.behind = behind(other.behind);
    }
    plan.actions.retain_mut(|timed| match &mut timed.action {
        Action::Roam(_, spot) => {
            spot.nat = behind(spot.nat);
            true
        }
        Action::Nat(_, other) | Action::Reboot(other, _) => match moved(*other, nat) {
            Some(number) => {
                *other = number;
                true
            }
            None => false,
        },
        Action::Node(..)
        | Action::Pair(..)
        | Action::Server(_)
        | Action::Send { .. }
        | Action::State { .. }
        | Action::Path { .. }
        | Action::Quirks(_)
        | Action::Signaling(_)
        | Action::Clock(..)
        | Action::Sleep(..)
        | Action::Turn(_) => true,
    });
    plan
}

/// The number of something when another one before it is gone; `None` if it is that one.
const fn moved(number: u8, gone: u8) -> Option<u8> {
    if number == gone {
        None
    } else if number > gone {
        Some(number.saturating_sub(1))
    } else {
        Some(number)
    }
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

#[cfg(test)]
mod tests {
    use super::super::places::NatVerb;
    use super::super::{NodeVerb, PairVerb, Repeat};
    use super::*;
    use crate::sim::{NatConfig, Path, Quirks};
    use alloc::string::ToString as _;

    /// Nobody lets in a second joiner, whatever the plan says.
    fn narrow(config: Config) -> Config {
        config.with_max_nodes(2).unwrap()
    }

    fn spot(nat: Option<u8>) -> Spot {
        let stack = Stack::Ipv4;
        Spot { nat, stack }
    }

    fn eventful() -> Plan {
        let mut plan = Plan::new(3, 5)
            .at(0, Action::Roam(1, spot(Some(1))))
            .at(0, Action::Node(NodeVerb::Host, 0))
            .at(100, Action::Node(NodeVerb::Join, 1))
            .at(700, Action::Pair(PairVerb::Partition, 1, 2))
            .at(800, Action::Nat(NatVerb::Rebind, 0))
            .at(900, Action::Node(NodeVerb::Crash, 4));
        let nat = |behind| Nat {
            behind,
            config: NatConfig::default(),
        };
        plan.nats = [nat(None), nat(Some(0))].into();
        plan
    }

    #[test]
    fn what_does_not_fail_is_not_made_smaller() {
        assert_eq!(eventful().shrink(100, |config| config), None);
    }

    #[test]
    fn what_has_nothing_to_do_with_a_failure_goes() {
        let plan = eventful();
        let shrunk = plan.shrink(500, narrow).unwrap();
        assert_eq!(shrunk.verdict.law(), Some(Law::Liveness));
        assert!((1..=500).contains(&shrunk.runs), "{}", shrunk.runs);
        let least = Plan {
            heal_at: Duration::ZERO,
            ..Plan::new(3, 3)
        };
        assert_eq!(shrunk.plan, least, "{}", shrunk.plan);
        // It says the same when it is run again.
        assert_eq!(shrunk.plan.run_with(narrow).verdict, shrunk.verdict);
    }

    #[test]
    fn no_more_runs_are_made_than_allowed() {
        assert_eq!(eventful().shrink(3, narrow).unwrap().runs, 3);
    }

    #[test]
    fn a_node_goes_with_all_that_is_about_it() {
        let plan = without(&eventful(), 1);
        assert_eq!((plan.nodes.len(), plan.core), (4, [0, 1, 2, 3].into()));
        let left: Vec<_> = plan.actions.iter().map(|timed| timed.action).collect();
        assert_eq!(
            left,
            [
                Action::Node(NodeVerb::Host, 0),
                Action::Nat(NatVerb::Rebind, 0),
                Action::Node(NodeVerb::Crash, 3),
            ]
        );
    }

    #[test]
    fn what_was_behind_a_box_that_goes_is_on_the_internet() {
        let plan = without_nat(&eventful(), 1);
        assert_eq!(plan.nats.len(), 1);
        assert_eq!(plan.actions[0].action, Action::Roam(1, spot(None)));
        let plan = without_nat(&eventful(), 0);
        assert_eq!(plan.nats[0].behind, None);
        assert_eq!(plan.actions[0].action, Action::Roam(1, spot(Some(0))));
        assert_eq!(plan.actions.len(), 5, "{plan}");
        // Both are still plans.
        assert_eq!(plan.to_string().parse(), Ok(plan));
    }

    #[test]
    fn simpler_actions_are_simpler() {
        let repeat = Repeat {
            size: 500,
            times: 20,
            every: Duration::from_millis(5),
        };
        let path = Path {
            loss_per_mille: 5,
            clogged: true,
            ..Path::default()
        };
        let quirks = Quirks {
            fail_per_mille: 5,
            ..Quirks::default()
        };
        let direction = None;
        let count = |action| simpler(action).len();
        let second = Duration::from_secs(1);
        assert_eq!(count(Action::State { from: 0, repeat }), 5);
        assert_eq!(count(Action::Path { direction, path }), 2);
        assert_eq!(
            simpler(Action::Quirks(quirks)),
            [Action::Quirks(Quirks::default())]
        );
        assert_eq!(
            simpler(Action::Sleep(1, second)),
            [Action::Sleep(1, second / 2)]
        );
        assert_eq!(count(Action::Node(NodeVerb::Leave, 1)), 0);
        for action in simpler(Action::State { from: 0, repeat }) {
            assert!(
                matches!(action, Action::State { repeat: r, .. } if r.size <= 500 && r.times <= 20)
            );
        }
    }
}
