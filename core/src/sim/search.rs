//! A game's scenario in many worlds, and what a person wants to see of the first that fails.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use super::change::Change;
use super::world::World;
use crate::time::Timestamp;

/// How many runs the search for a smaller failure may take.
const SHRINK_RUNS: u32 = 300;
/// How many lines of the timeline are shown.
const SHOWN: usize = 60;

/// Runs a scenario in a world of each of these seeds, until it fails in one: with an error, or with a
/// panic (an `assert!`, or a broken law of this library).
///
/// Of a failure the troubles that it does not need are left out, as far as they were given with
/// [`World::at`]: the scenario runs again with fewer of them, at most 300 times. A trouble and what ends
/// it (`Isolate` and `Reconnect`, `Crash` and `Restart`) stay together. So plan them first, and not as an
/// answer to what happens; and let all that is left to chance follow from [`World::choices`].
///
/// Rust reports a panic each time it happens, so a failure that is one shows more than once.
///
/// # Errors
/// The failure. Print it, or `unwrap` the result: its `Debug` is as readable as its `Display`.
///
/// ```
/// use core::time::Duration;
/// use wattle_core::Config;
/// use wattle_core::sim::choices::Choices as _;
/// use wattle_core::sim::{Change, search};
///
/// let found = search(0..20, |world| {
///     let mut choices = world.choices();
///     let nodes = [(); 3].map(|()| world.add_model(Config::default()));
///     world.assemble(&nodes);
///     // What does no harm, and what does.
///     let at = world.now().plus(choices.duration(Duration::ZERO, Duration::from_secs(2)));
///     world.at(at, Change::StopServer);
///     if choices.chance(300) {
///         world.at(at, Change::Crash { node: nodes[1] });
///     }
///     world.run_for(Duration::from_secs(30));
///     match world.nodes(nodes[0]).len() {
///         3 => Ok(()),
///         left => Err(format!("{left} players are left").into()),
///     }
/// });
/// let failure = found.unwrap_err();
/// assert_eq!(failure.wrong, "2 players are left");
/// assert!(matches!(failure.changes[..], [(_, Change::Crash { .. })]));
/// println!("{failure}");
/// ```
pub fn search(
    seeds: impl IntoIterator<Item = u64>,
    mut scenario: impl FnMut(&mut World) -> Result<(), Box<dyn Error>>,
) -> Result<(), Failure> {
    for seed in seeds {
        let mut run = |left_out: &BTreeSet<usize>, timeline: bool| {
            let mut world = World::new(seed);
            world.left_out.clone_from(left_out);
            if timeline {
                world.keep_timeline();
            }
            let wrong = outcome(&mut world, &mut scenario);
            (world, wrong)
        };
        let (world, wrong) = run(&BTreeSet::new(), false);
        if wrong.is_some() {
            let fails = |left_out: &BTreeSet<usize>| run(left_out, false).1.is_some();
            let left_out = shrink(&world.planned, fails);
            let (shown, again) = run(&left_out, true);
            return Err(Failure {
                seed,
                planned: world.planned.len(),
                changes: without(&shown.planned, &left_out),
                // If it does not fail again, the scenario is not the same twice.
                is_repeatable: again.is_some(),
                wrong: shown.trace.with_names(again.or(wrong).unwrap_or_default()),
                timeline: shown.timeline().into(),
            });
        }
    }
    Ok(())
}

/// What is wrong, if it is.
fn outcome(
    world: &mut World,
    scenario: &mut impl FnMut(&mut World) -> Result<(), Box<dyn Error>>,
) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| scenario(world))) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(panic) => Some(
            panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into()))
                .unwrap_or_else(|| "a panic".into()),
        ),
    }
}

/// Which changes need not happen for the failure.
fn shrink(
    planned: &[(Timestamp, Change)],
    mut fails: impl FnMut(&BTreeSet<usize>) -> bool,
) -> BTreeSet<usize> {
    let mut left_out = BTreeSet::new();
    let mut kept = troubles(planned);
    let mut runs = SHRINK_RUNS;
    // Half of them at once, then fewer, then one by one, until none can be spared.
    let mut size = kept.len();
    while size > 0 {
        let mut from = 0;
        let before = kept.len();
        while from < kept.len() {
            let Some(left) = runs.checked_sub(1) else {
                return left_out;
            };
            runs = left;
            let to = from.saturating_add(size).min(kept.len());
            let mut fewer = left_out.clone();
            fewer.extend(kept.get(from..to).into_iter().flatten().flatten());
            if fails(&fewer) {
                left_out = fewer;
                kept.drain(from..to);
            } else {
                from = to;
            }
        }
        if size > 1 {
            size /= 2;
        } else if kept.len() == before {
            break;
        }
    }
    left_out
}

/// The numbers of the changes, those that belong together in one: a trouble and its end.
fn troubles(planned: &[(Timestamp, Change)]) -> Vec<Vec<usize>> {
    let mut in_order: Vec<_> = planned.iter().enumerate().collect();
    in_order.sort_by_key(|(number, (at, _))| (*at, *number));
    let mut troubles: Vec<(&Change, Vec<usize>)> = Vec::new();
    for (number, (_, change)) in in_order {
        // It ends whatever it may end, but what makes all well again is left to itself.
        let begun = troubles
            .iter_mut()
            .rev()
            .find(|(last, _)| change.ends(last));
        match begun {
            Some((last, numbers)) => {
                *last = change;
                numbers.push(number);
            }
            None if matches!(change, Change::HealAll) => {}
            None => troubles.push((change, Vec::from([number]))),
        }
    }
    troubles.into_iter().map(|(_, numbers)| numbers).collect()
}

fn without(
    planned: &[(Timestamp, Change)],
    left_out: &BTreeSet<usize>,
) -> Vec<(Timestamp, Change)> {
    let kept = planned.iter().enumerate();
    let kept = kept.filter(|(number, _)| !left_out.contains(number));
    let mut kept: Vec<_> = kept.map(|(_, planned)| planned.clone()).collect();
    kept.sort_by_key(|(at, _)| *at);
    kept
}

/// A world in which a scenario failed, from [`search`].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed: `search([seed], …)` runs this world alone.
    pub seed: u64,
    /// What the scenario said, or the panic's message, with the changes below; nodes' names stand for their
    /// ids.
    pub wrong: String,
    /// What was given to [`World::at`] and is needed for the failure, in the order of time.
    pub changes: Vec<(Timestamp, Change)>,
    /// How many changes there were in the beginning.
    pub planned: usize,
    /// Whether the same seed failed again. If not, something in the scenario does not follow from the seed:
    /// [`first_difference`](super::first_difference) finds it.
    pub is_repeatable: bool,
    /// All that happened, as [`World::timeline`].
    pub timeline: String,
}

impl Failure {
    /// What of the timeline concerns a game: the changes in the world (`!!`), notes (`--`), and events of
    /// applications but states and phases.
    pub fn story(&self) -> impl Iterator<Item = &str> {
        let dull = ["Event(State", "Event(Phase", "Event(ConnectReport"];
        self.timeline.lines().filter(move |line| {
            let is_told = [" !! ", " -- ", " -> Event("].map(|sign| line.contains(sign));
            is_told.contains(&true) && !dull.iter().any(|dull| line.contains(dull))
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.wrong)?;
        if !self.is_repeatable {
            writeln!(
                f,
                "It did not fail again: not all of it follows from the seed."
            )?;
        }
        let needed = self.changes.len();
        if self.planned > 0 {
            writeln!(f, "It takes {needed} of {} planned changes.", self.planned)?;
        }
        let lines = self.story().count();
        let passed_over = lines.saturating_sub(SHOWN);
        if passed_over > 0 {
            writeln!(f, "The last {SHOWN} of {lines} lines of what happened:")?;
        }
        for line in self.story().skip(passed_over) {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

/// As `Display`, since this is what `unwrap` and a test that returns it print.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::event::Event;
    use crate::sim::NodeIndex;
    use crate::sim::choices::Choices as _;
    use alloc::format;
    use core::time::Duration;

    fn star(world: &mut World) -> [NodeIndex; 3] {
        let nodes = [(); 3].map(|()| world.add_model(Config::default()));
        for (node, name) in nodes.into_iter().zip(["anna", "ben", "carla"]) {
            world.set_name(node, name);
        }
        world.assemble(&nodes);
        nodes
    }

    #[test]
    fn a_failure_is_brought_down_to_what_it_needs() {
        let found = search(3..9, |world| {
            let [anna, ben, carla] = star(world);
            let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
            world.at(at(6), Change::StopServer);
            world.at(at(7), Change::Isolate { node: anna });
            world.at(at(8), Change::Reconnect { node: anna });
            world.at(at(9), Change::StartServer);
            // This it is: longer than anybody waits.
            world.at(at(40), Change::Reconnect { node: carla });
            world.at(at(10), Change::Isolate { node: carla });
            world.at(at(12), Change::Partition { a: anna, b: ben });
            world.at(at(13), Change::Heal { a: ben, b: anna });
            world.run_for(Duration::from_secs(60));
            match world.nodes(anna).len() {
                3 => Ok(()),
                _ => Err(format!("{:?} are left", world.nodes(anna)).into()),
            }
        });
        let failure = found.unwrap_err();
        assert_eq!((failure.seed, failure.planned), (3, 8));
        assert_eq!(failure.wrong, "[anna, ben] are left");
        let carla = NodeIndex(2);
        let needed = failure.changes.iter().map(|(_, change)| change);
        let expected = [
            Change::Isolate { node: carla },
            Change::Reconnect { node: carla },
        ];
        assert!(needed.eq(&expected), "{failure}");
        let text = failure.to_string();
        assert!(
            text.starts_with("seed 3: [anna, ben] are left\nIt takes 2 of 8"),
            "{text}"
        );
        assert!(
            text.contains("world    !! Isolate { node: carla }"),
            "{text}"
        );
        assert!(
            text.contains("anna     -> Event(NodeLeft { node: carla"),
            "{text}"
        );
        assert!(!text.contains("Heal"), "{text}");
        assert_eq!(format!("{failure:?}"), text);
    }

    #[test]
    fn a_panic_is_a_failure_and_what_holds_is_none() {
        let mut runs = 0;
        let all = search(0..5, |world| {
            star(world);
            runs += 1;
            Ok(())
        });
        assert_eq!((all, runs), (Ok(()), 5));
        let one = search([7], |world| {
            assert!(world.choices().below(1) > 0, "nought");
            Ok(())
        });
        let failure = one.unwrap_err();
        assert_eq!((failure.seed, failure.wrong.as_str()), (7, "nought"));
        assert!(failure.is_repeatable && failure.changes.is_empty());
    }

    #[test]
    fn a_player_leaves_when_it_is_planned() {
        let none_leaves = search([1], |world| {
            let [anna, _, carla] = star(world);
            let at = world.now().plus(Duration::from_secs(1));
            world.at(at, Change::Leave { node: carla });
            world.run_for(Duration::from_secs(2));
            let left = |event: &Event| matches!(event, Event::NodeLeft { .. });
            match world.find_event(anna, left) {
                Some((when, event)) => Err(format!("{when}: {event:?}").into()),
                None => Ok(()),
            }
        });
        let failure = none_leaves.unwrap_err();
        assert!(
            failure
                .wrong
                .ends_with("NodeLeft { node: carla, reason: Left }"),
            "{failure}"
        );
        assert!(
            failure.to_string().contains("!! Leave { node: carla }"),
            "{failure}"
        );
    }

    #[test]
    fn what_does_not_fail_again_is_told() {
        let mut runs = 0;
        let once = search([1], |_| {
            runs += 1;
            if runs == 1 {
                Err("only once".into())
            } else {
                Ok(())
            }
        });
        let failure = once.unwrap_err();
        assert!(!failure.is_repeatable);
        assert!(failure.to_string().contains("It did not fail again"));
    }

    #[test]
    fn a_trouble_and_its_end_belong_together() {
        let nodes = [0, 1].map(NodeIndex);
        let [a, b] = nodes;
        let planned = [
            Change::Isolate { node: a },
            Change::Isolate { node: b },
            Change::Reconnect { node: a },
            Change::HealAll,
            Change::Isolate { node: a },
            Change::Sleep {
                node: a,
                time: Duration::ZERO,
            },
            Change::Crash { node: a },
            Change::Restart { node: a },
        ];
        let planned: Vec<_> = planned.map(|change| (Timestamp::ZERO, change)).into();
        let expected = [vec![0, 2], vec![1], vec![4], vec![5], vec![6, 7]];
        assert_eq!(troubles(&planned), expected);
    }
}
