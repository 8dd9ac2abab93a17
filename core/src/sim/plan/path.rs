//! The settings of a path, as a table: what is added to [`Path`] is one line here.

use core::time::Duration;

use super::super::choices::Choices;
use super::super::path::Path;

/// One setting of a path.
pub(super) struct Knob {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) get: fn(&Path) -> u64,
    pub(super) set: fn(&mut Path, u64),
    /// The most that is drawn; 0: never drawn, since an action does it.
    wild: u32,
}

/// How a setting is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A time, in microseconds here.
    Micros,
    Number,
    /// On if it is there.
    Flag,
}

pub(super) const KNOBS: [Knob; 4] = [
    Knob {
        name: "delay",
        unit: Unit::Micros,
        get: |path| micros(path.delay),
        set: |path, value| path.delay = Duration::from_micros(value),
        wild: 200_000,
    },
    Knob {
        name: "jitter",
        unit: Unit::Micros,
        get: |path| micros(path.jitter),
        set: |path, value| path.jitter = Duration::from_micros(value),
        wild: 200_000,
    },
    Knob {
        name: "loss",
        unit: Unit::Number,
        get: |path| path.loss_per_mille.into(),
        set: |path, value| path.loss_per_mille = u16::try_from(value).unwrap_or(u16::MAX),
        wild: 300,
    },
    Knob {
        name: "cut",
        unit: Unit::Flag,
        get: |path| path.cut.into(),
        set: |path, value| path.cut = value > 0,
        wild: 0,
    },
];

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Which settings a plan plays with at all.
pub(super) fn draw_knobs(choices: &mut impl Choices) -> [bool; KNOBS.len()] {
    core::array::from_fn(|_| choices.chance(350))
}

/// A path with some of these settings changed.
pub(super) fn draw_path(choices: &mut impl Choices, knobs: &[bool; KNOBS.len()]) -> Path {
    let mut path = Path::default();
    for (knob, _) in KNOBS.iter().zip(knobs).filter(|(_, plays)| **plays) {
        if knob.wild > 0 {
            // Half of the paths are only a little bad.
            let most = if choices.chance(500) {
                knob.wild
            } else {
                knob.wild / 10
            };
            let value = choices.below(most.saturating_add(1));
            (knob.set)(&mut path, value.into());
        }
    }
    path
}

/// Whether packets may be lost on this path, or wait for others.
pub(super) fn is_dark(path: &Path) -> bool {
    path.cut || path.loss_per_mille > 0
}
