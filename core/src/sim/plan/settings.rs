//! The settings of paths, links, signaling and clocks as tables: what is added to one of them is
//! one line here.

use core::time::Duration;

use crate::sim::choices::Choices;
use crate::sim::{Clock, Dependence, NatConfig, Path, PortChoice, Quirks, SignalingFaults};

/// Plain data whose settings have names, and whose default is nothing special.
pub(super) trait Settings: Default + Copy + PartialEq + 'static {
    const KNOBS: &'static [Knob<Self>];

    /// With some of its settings changed: those that the mask plays with.
    fn draw(choices: &mut impl Choices, mask: u32) -> Self {
        let mut drawn = Self::default();
        let knobs = Self::KNOBS.iter().enumerate();
        for (_, knob) in knobs.filter(|(nth, _)| mask >> nth & 1 == 1) {
            if knob.wild > 0 {
                // Half of them are only a little bad.
                let most = if choices.chance(500) {
                    knob.wild
                } else {
                    knob.wild / 10
                };
                let value = choices.below(most.saturating_add(1));
                (knob.set)(&mut drawn, knob.least.saturating_add(value).into());
            }
        }
        drawn
    }

    /// Which settings a plan plays with at all: one bit for each.
    fn draw_mask(choices: &mut impl Choices) -> u32 {
        (0..Self::KNOBS.len()).fold(0, |mask, _| mask << 1 | u32::from(choices.chance(300)))
    }
}

/// One setting.
pub(super) struct Knob<T> {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) get: fn(&T) -> u64,
    pub(super) set: fn(&mut T, u64),
    /// The most that is drawn; 0: never drawn.
    wild: u32,
    /// The least that is drawn.
    least: u32,
}

/// How a setting is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A time, in microseconds here.
    Micros,
    Number,
    /// On if it is there.
    Flag,
    /// One of these words, by its place.
    Word(&'static [&'static str]),
}

macro_rules! time {
    ($name:literal, $($field:ident).+, $wild:literal) => {
        Knob {
            name: $name,
            unit: Unit::Micros,
            get: |it| micros(it.$($field).+),
            set: |it, value| it.$($field).+ = Duration::from_micros(value),
            wild: $wild,
            least: 0,
        }
    };
}

macro_rules! number {
    ($name:literal, $($field:ident).+, $wild:literal) => {
        Knob {
            name: $name,
            unit: Unit::Number,
            get: |it| it.$($field).+.into(),
            set: |it, value| it.$($field).+ = value.try_into().unwrap_or_default(),
            wild: $wild,
            least: 0,
        }
    };
}

macro_rules! flag {
    ($name:literal, $($field:ident).+) => {
        Knob {
            name: $name,
            unit: Unit::Flag,
            get: |it| it.$($field).+.into(),
            set: |it, value| it.$($field).+ = value > 0,
            wild: 0,
            least: 0,
        }
    };
}

impl Settings for Path {
    const KNOBS: &'static [Knob<Self>] = &[
        time!("delay", delay, 200_000),
        time!("tail", tail, 50_000),
        time!("jitter", jitter, 200_000),
        number!("loss", loss_per_mille, 300),
        number!("burst-enter", burst.enter_per_mille, 20),
        number!("burst-leave", burst.leave_per_mille, 200),
        number!("burst-loss", burst.loss_per_mille, 1000),
        number!("duplicate", duplicate_per_mille, 200),
        number!("corrupt", corrupt_per_mille, 50),
        Knob {
            name: "capacity",
            unit: Unit::Number,
            get: |path| path.capacity.map_or(0, u64::from),
            set: |path, value| {
                path.capacity = u32::try_from(value).ok().filter(|bytes| *bytes > 0);
            },
            wild: 300_000,
            // With less than this a queue that was filled takes minutes to empty, healed or not.
            least: 4_000,
        },
        number!("queue", queue, 0),
        number!("mtu", mtu, 0),
        flag!("clogged", clogged),
        flag!("cut", cut),
    ];
}

impl Settings for Quirks {
    const KNOBS: &'static [Knob<Self>] = &[
        number!("late", late_per_mille, 300),
        time!("late-by", late, 0),
        number!("repeated", repeated_per_mille, 300),
        number!("stale", stale_per_mille, 500),
        number!("close-unnoticed", close_unnoticed_per_mille, 1000),
        number!("close-late", close_late_per_mille, 1000),
        number!("flicker", flicker_per_mille, 1000),
        number!("fail", fail_per_mille, 200),
    ];
}

impl Settings for SignalingFaults {
    const KNOBS: &'static [Knob<Self>] = &[
        time!("jitter", jitter, 1_000_000),
        number!("loss", loss_per_mille, 200),
        number!("duplicate", duplicate_per_mille, 300),
        number!("stale", stale_per_mille, 300),
        number!("refuse", refuse_per_mille, 500),
        flag!("refusing", refusing),
    ];
}

impl Settings for Clock {
    const KNOBS: &'static [Knob<Self>] = &[
        time!("ahead", ahead, 0),
        Knob {
            name: "fast",
            unit: Unit::Number,
            get: |clock| clock.drift_ppm.max(0).unsigned_abs().into(),
            set: |clock, value| clock.drift_ppm = i32::try_from(value).unwrap_or(0),
            wild: 500,
            least: 0,
        },
        Knob {
            name: "slow",
            unit: Unit::Number,
            get: |clock| clock.drift_ppm.min(0).unsigned_abs().into(),
            set: |clock, value| {
                clock.drift_ppm = i32::try_from(value).unwrap_or(0).saturating_neg();
            },
            wild: 500,
            least: 0,
        },
        time!("late", late, 100_000),
        number!("early", early_per_mille, 500),
        number!("repeated", repeated_per_mille, 500),
        number!("backward", backward_per_mille, 300),
        time!("backward-by", backward, 2_000_000),
    ];
}

/// How much of a sender's address filters look at; the usual one first.
const FILTERS: [Dependence; 3] = [
    Dependence::AddressAndPortDependent,
    Dependence::AddressDependent,
    Dependence::EndpointIndependent,
];
const IPV6_FILTERS: [Option<Dependence>; 4] = [
    Some(Dependence::AddressAndPortDependent),
    Some(Dependence::AddressDependent),
    Some(Dependence::EndpointIndependent),
    None,
];

/// Where a thing stands in its list.
fn place<T: PartialEq>(all: &[T], it: T) -> u64 {
    let place = all.iter().position(|other| *other == it);
    u64::try_from(place.unwrap_or(0)).unwrap_or(0)
}

/// What stands there; if nothing does, what was.
fn at<T: Copy>(all: &[T], place: u64, was: T) -> T {
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    all.get(place).copied().unwrap_or(was)
}

impl Settings for NatConfig {
    const KNOBS: &'static [Knob<Self>] = &[
        Knob {
            name: "mapping",
            unit: Unit::Word(&["none", "address", "port"]),
            get: |nat| place(&Dependence::ALL, nat.mapping),
            set: |nat, value| nat.mapping = at(&Dependence::ALL, value, nat.mapping),
            wild: 2,
            least: 0,
        },
        Knob {
            name: "filtering",
            unit: Unit::Word(&["port", "address", "none"]),
            get: |nat| place(&FILTERS, nat.filtering),
            set: |nat, value| nat.filtering = at(&FILTERS, value, nat.filtering),
            wild: 2,
            least: 0,
        },
        Knob {
            name: "ports",
            unit: Unit::Word(&["preserved", "sequential", "random"]),
            get: |nat| place(&PortChoice::ALL, nat.ports),
            set: |nat, value| nat.ports = at(&PortChoice::ALL, value, nat.ports),
            wild: 2,
            least: 0,
        },
        time!("lifetime", lifetime, 0),
        flag!("inbound-refreshes", inbound_refreshes),
        Knob {
            name: "no-hairpin",
            unit: Unit::Flag,
            get: |nat| (!nat.hairpin).into(),
            set: |nat, value| nat.hairpin = value == 0,
            wild: 1,
            least: 0,
        },
        number!("table", table, 0),
        Knob {
            name: "ipv6",
            unit: Unit::Word(&["port", "address", "none", "open"]),
            get: |nat| place(&IPV6_FILTERS, nat.ipv6),
            set: |nat, value| nat.ipv6 = at(&IPV6_FILTERS, value, nat.ipv6),
            wild: 3,
            least: 0,
        },
    ];
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Whether packets may be lost on this path, or be so late that it looks like it.
pub(super) fn is_dark(path: &Path) -> bool {
    const SLOW: Duration = Duration::from_millis(500);
    path.cut
        || path.clogged
        || path.loss_per_mille > 0
        || path.burst.enter_per_mille > 0
        || path.corrupt_per_mille > 0
        || path.capacity.is_some()
        || path.mtu < 1500
        || path.delay.saturating_add(path.jitter) > SLOW
        || path.tail.saturating_mul(20) > SLOW
}

/// Whether links may end for no reason, or nobody is told that they did.
pub(super) const fn is_breaking(quirks: &Quirks) -> bool {
    quirks.fail_per_mille > 0
        || quirks.flicker_per_mille > 0
        || quirks.close_unnoticed_per_mille > 0
        || quirks.close_late_per_mille > 0
}
