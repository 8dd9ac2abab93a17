//! Networks with settings that nobody would choose: whatever `Config` lets through, the laws hold, all ends,
//! and nobody is blamed who keeps the rules.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what the tests share is as much a test as they are"
)]

use core::time::Duration;

use wattle_core::sim::choices::{Choices, FromSeed};
use wattle_core::sim::{NodeIndex, World};
use wattle_core::{
    Config, Credit, EndReason, Event, Hosting, LeaveReason, Limits, NetworkCode, Probing, Status,
    Timeouts, Topology,
};

/// One of these.
fn of<T: Copy>(choices: &mut FromSeed, all: &[T]) -> T {
    *choices.pick(all).unwrap()
}

/// Changes a setting to one of these, so many times in a thousand.
fn change<T: Copy>(choices: &mut FromSeed, per_mille: u32, setting: &mut T, to: &[T]) {
    if choices.chance(per_mille) {
        *setting = of(choices, to);
    }
}

fn timeouts(choices: &mut FromSeed, wild: u32) -> Timeouts {
    let nanos = Duration::from_nanos;
    let to = [
        nanos(1),
        nanos(1_000),
        Duration::from_millis(1),
        Duration::from_millis(20),
        Duration::from_millis(300),
        Duration::from_millis(700),
        Duration::from_millis(1_500),
        Duration::from_secs(3),
        Duration::from_secs(3_600),
        Duration::MAX,
    ];
    let mut drawn = Timeouts::default();
    for setting in [
        &mut drawn.signaling,
        &mut drawn.ice,
        &mut drawn.datachannel,
        &mut drawn.connect,
        &mut drawn.suspect_after,
        &mut drawn.lost_after,
        &mut drawn.grace,
        &mut drawn.too_slow,
        &mut drawn.leave,
    ] {
        change(choices, wild, setting, &to);
    }
    drawn
}

fn limits(choices: &mut FromSeed, wild: u32) -> Limits {
    let mut drawn = Limits::default();
    let mut draw = |set: fn(&mut Limits, &mut FromSeed)| {
        let mut next = drawn;
        set(&mut next, choices);
        let fits = Config::default().with_limits(next).is_ok();
        if fits && choices.chance(wild) {
            drawn = next;
        }
    };
    draw(|set, choices| set.message = of(choices, &[1, 100, 5_000, 16 << 20]));
    draw(|set, choices| set.window = of(choices, &[33, set.message + 32, 20_000, u32::MAX]));
    draw(|set, choices| set.piece = of(choices, &[1024, 1500, u16::MAX]));
    draw(|set, choices| set.outputs_per_input = of(choices, &[0, 1, 1024, u32::MAX]));
    draw(|set, choices| set.signaling_frame = of(choices, &[0, 1024, 8 * 1024, u32::MAX]));
    draw(|set, choices| set.description = of(choices, &[0, 100, 4096, u32::MAX]));
    draw(|set, choices| set.candidates = of(choices, &[0, 1, u8::MAX]));
    draw(|set, choices| set.frames_per_message = of(choices, &[1, 2, 17]));
    draw(|set, choices| set.channel_buffer = of(choices, &[1, 1000, u32::MAX]));
    draw(|set, choices| set.joins_per_signaling_id = of(choices, &[0, 1, u8::MAX]));
    drawn
}

/// Settings as `Config` takes them: what it refuses stays as it is.
fn config(choices: &mut FromSeed, wild: u32) -> Config {
    let config = Config::default()
        .with_max_nodes(of(choices, &[2, 4, 8, 64]))
        .unwrap()
        .with_topology(of(choices, &[Topology::Star, Topology::Mesh]))
        .with_auto_relay(choices.chance(750))
        .with_verbose(choices.chance(500))
        .with_probing(of(choices, &[Probing::ByFrames, Probing::ByBoth]))
        .with_credit(of(choices, &[Credit::OnPoll, Credit::OnRelease]));
    let timeouts = timeouts(choices, wild);
    let config = config.clone().with_timeouts(timeouts).unwrap_or(config);
    let limits = limits(choices, wild);
    config.clone().with_limits(limits).unwrap_or(config)
}

/// Something happens.
fn act(world: &mut World, choices: &mut FromSeed, nodes: &[NodeIndex], code: &NetworkCode) {
    let (node, other) = (of(choices, nodes), of(choices, nodes));
    // Whether it may be done does not matter, but what comes of it.
    match choices.below(24) {
        0..=4 => {
            let lengths = [0, 1, 33, 1_000, 20_000, 70_000, 262_144, 1_000_000];
            let _ = world.broadcast(node, vec![1; of(choices, &lengths)]);
        }
        5..=8 => {
            let lengths = [0, 1, 1_000, 16_384, 65_535];
            let _ = world.broadcast_state(node, vec![2; of(choices, &lengths)]);
        }
        9..=11 => {
            if let Some(to) = world.id(other) {
                let _ = world.send_to(node, to, vec![3; of(choices, &[0, 1_000, 20_000])]);
            }
        }
        12 => world.isolate(node),
        13 | 14 => world.heal_all(),
        15 if node != other => world.partition(node, other),
        16 => {
            if let Some(whom) = world.id(node) {
                let _ = world.kick(nodes[0], whom);
            }
        }
        17 => world.leave(node),
        18 if node != nodes[0] => {
            let _ = world.try_join(node, code);
        }
        19 => world.crash(node),
        20 => world.restart(node),
        21 => world.stop_server(),
        22 => world.start_server(),
        _ => world.pause_application(node, choices.chance(500)),
    }
}

fn run(seed: u64, native: bool) {
    println!("seed {seed}, native {native}");
    let mut world = World::new(seed);
    let mut choices = world.choices();
    let wild = of(&mut choices, &[50, 200, 500]);
    let one = config(&mut choices, wild);
    let same = choices.chance(500);
    let mut leave = Duration::ZERO;
    let nodes: Vec<NodeIndex> = (0..of(&mut choices, &[2, 3, 4, 6]))
        .map(|_| {
            let config = if same {
                one.clone()
            } else {
                config(&mut choices, wild)
            };
            leave = leave.max(config.timeouts().leave);
            if native && choices.chance(500) {
                world.add_native(config)
            } else {
                world.add_model(config)
            }
        })
        .collect();
    let hosting = Hosting::Signaling { code: None };
    world.try_host(nodes[0], hosting).unwrap();
    world.run_for(Duration::from_millis(500));
    if let Some(code) = world.code(nodes[0]) {
        for node in &nodes[1..] {
            let _ = world.try_join(*node, &code);
            world.run_for(Duration::from_millis(choices.below(300).into()));
        }
        for _ in 0..40 {
            act(&mut world, &mut choices, &nodes, &code);
            let wait = of(&mut choices, &[0, 1, 30, 300, 1500, 6000]);
            world.run_for(Duration::from_millis(wait));
        }
    }
    world.heal_all();
    for node in &nodes {
        world.leave(*node);
    }
    world.run_for(Duration::from_secs(5));
    for node in &nodes {
        let blamed = world.find_event(*node, |event| {
            matches!(
                event,
                Event::Ended {
                    reason: EndReason::Misbehaved | EndReason::HostMisbehaved
                } | Event::NodeLeft {
                    reason: LeaveReason::Misbehaved,
                    ..
                }
            )
        });
        assert_eq!(blamed, None, "{node:?}");
        let status = world.status(*node);
        let over = status.is_none_or(|status| status == Status::Idle);
        assert!(over || leave > Duration::from_secs(5), "{status:?}");
    }
}

/// With `WATTLE_WHOLE=COUNT` so many worlds of each kind, from the seed `WATTLE_FROM` on.
#[test]
fn whatever_can_be_set_the_laws_hold() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("WATTLE_FROM").unwrap_or(0);
    let count = number("WATTLE_WHOLE");
    for seed in first..first + count.unwrap_or(300) {
        run(seed, false);
    }
    for seed in first..first + count.unwrap_or(100) {
        run(seed, true);
    }
}
