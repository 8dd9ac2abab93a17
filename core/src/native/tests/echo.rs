//! How long reliable delivery stands still on a bad path, and what it costs that it does not.

use alloc::vec::Vec;
use core::time::Duration;
use std::println;

use super::world::{L, Plan, R, SECOND, World};
use crate::io::Channel;
use crate::native::link::Update;
use crate::time::Timestamp;

/// What a link did in some time.
#[derive(Debug, Default)]
struct Traffic {
    /// Without a message, at L and R.
    longest: [Duration; 2],
    bytes: [usize; 2],
    datagrams: u64,
    wire: usize,
}

/// A message from both sides in every interval, and a probe a second.
fn busy(world: &mut World, time: Duration, interval: Duration, size: usize) -> Traffic {
    let mut traffic = Traffic::default();
    let (start, end) = (world.now, world.now.plus(time));
    let mut last = [start; 2];
    let mut probed = start;
    let before = world.datagrams;
    world.wire.clear();
    while world.now < end {
        for side in [L, R] {
            if world.now.since(probed) >= SECOND || world.now == start {
                world.probe(side);
            }
            // As much as the network gives a link.
            if size > 0 && world.sides[side].link.inside(Channel::Data) < 64 * 1024 {
                world.send(side, Channel::Data, alloc::vec![7; size]);
            }
        }
        if world.now.since(probed) >= SECOND {
            probed = world.now;
        }
        world.settle(interval);
        traffic.wire += world.wire.iter().map(|(_, _, d)| d.len()).sum::<usize>();
        world.wire.clear();
        for side in [L, R] {
            for (at, update) in world.sides[side].log.split_off(0) {
                assert!(!update.is_last(), "{update:?}");
                if let Update::Message { payload, .. } = update {
                    traffic.longest[side] = traffic.longest[side].max(at.since(last[side]));
                    traffic.bytes[side] += payload.len();
                    last[side] = at;
                }
            }
            traffic.longest[side] = traffic.longest[side].max(world.now.since(last[side]));
        }
    }
    traffic.datagrams = world.datagrams - before;
    traffic
}

/// RFC 7983 section 7.
fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

/// How long after a darkness a message that was sent in it arrives, and one sent after it.
fn back_after(seed: u8, dark: Duration, loss: u64, alone: bool) -> [Duration; 2] {
    let mut world = World::connected(&Plan {
        seed,
        ..Plan::default()
    });
    if !alone {
        busy(&mut world, 5 * SECOND, SECOND, 10_000);
    }
    for side in [L, R] {
        world.sides[side].log.clear();
    }
    world.loss = 1000;
    world.send(L, Channel::Data, &b"in the dark"[..]);
    for _ in 0..dark.as_secs() {
        for side in [L, R] {
            world.probe(side);
        }
        world.settle(SECOND);
    }
    world.loss = loss;
    let light = world.now;
    world.send(L, Channel::Data, &b"after it"[..]);
    let came = |world: &World, what: &[u8]| -> Option<Timestamp> {
        world.sides[R]
            .log
            .iter()
            .find_map(|(at, update)| match update {
                Update::Message { payload, .. } if payload == what => Some(*at),
                _ => None,
            })
    };
    world.run_until(120 * SECOND, |world| came(world, b"after it").is_some());
    [&b"in the dark"[..], b"after it"]
        .map(|what| came(&world, what).map_or(Duration::MAX, |at| at.since(light)))
}

#[test]
fn at_thirty_percent_loss_delivery_never_stands_still_for_five_seconds() {
    for seed in 1..=3 {
        let mut world = World::connected(&Plan {
            seed,
            ..Plan::default()
        });
        world.loss = 300;
        let traffic = busy(&mut world, 600 * SECOND, SECOND, 10_000);
        println!("{:?}, {:?} bytes", traffic.longest, traffic.bytes);
        // A message a second: one of them is waiting.
        assert!(traffic.longest.into_iter().all(|time| time < 5 * SECOND));
        assert!(traffic.bytes.into_iter().all(|bytes| bytes > 5_900_000));
    }
}

#[test]
fn after_darkness_a_message_passes_within_a_second() {
    for dark in [3, 8, 15, 61] {
        for alone in [false, true] {
            for came in back_after(1, Duration::from_secs(dark), 0, alone) {
                println!("dark for {dark} s: {came:?}");
                assert!(came <= SECOND, "dark for {dark} s");
            }
        }
    }
}

#[test]
fn in_darkness_little_is_sent() {
    let mut world = World::connected(&Plan::default());
    world.loss = 1000;
    for n in 0..30u8 {
        world.send(L, Channel::Data, alloc::vec![n; 1000]);
    }
    world.wire.clear();
    world.settle(60 * SECOND);
    let dtls = world.wire.iter().filter(|(_, _, d)| is_dtls(d)).count();
    println!("{dtls} datagrams of DTLS in a minute of darkness");
    // One every 600 ms, four at a time in the beginning, and what SCTP does.
    assert!((90..=160).contains(&dtls), "{dtls}");
}

#[test]
fn an_idle_link_falls_quiet() {
    let mut world = World::connected(&Plan::default());
    world.loss = 300;
    busy(&mut world, 10 * SECOND, SECOND, 10_000);
    world.loss = 0;
    world.settle(10 * SECOND);
    world.wire.clear();
    world.settle(60 * SECOND);
    let wire = &world.wire;
    // A check from both sides every 1.5 s and its answer are str0m's.
    assert_eq!(wire.iter().filter(|(_, _, d)| is_dtls(d)).count(), 0);
    assert!(wire.len() <= 164, "{} datagrams in a minute", wire.len());
}

#[test]
fn without_loss_nothing_is_sent_again() {
    let mut world = World::connected(&Plan::default());
    let once = busy(&mut world, 60 * SECOND, SECOND, 10_000);
    // Nine chunks a message, five acknowledgements, checks and probes.
    let kilobytes = once.bytes.iter().sum::<usize>() as u64 / 1000;
    assert_eq!(kilobytes, 1200);
    assert!(
        once.datagrams <= kilobytes * 185 / 100,
        "{} datagrams",
        once.datagrams
    );
}

#[test]
fn a_network_that_brings_everything_twice_makes_no_storm() {
    for loss in [0, 100] {
        let [once, twice] = [false, true].map(|twice| {
            let mut world = World::connected(&Plan::default());
            world.twice = twice;
            world.loss = loss;
            busy(&mut world, 120 * SECOND, SECOND, 10_000).datagrams
        });
        println!("once: {once}, twice: {twice} datagrams at {loss} in a thousand");
        assert!(twice * 2 <= once * 3);
    }
}

/// Nothing stands still for long at any loss. The figures are those of a release build, which runs
/// for hours and over more seeds: `cargo test --release -p wattle-core --lib figures_of_the_echo -- --nocapture`.
#[test]
fn figures_of_the_echo() {
    let brief = cfg!(debug_assertions);
    let (seeds, dark_seeds) = if brief { (1, 3) } else { (5, 20) };
    println!("loss seed | longest silence at L, R | bytes/s at L, R | datagrams, bytes per KB");
    let hour = Duration::from_secs(if brief { 60 } else { 3600 });
    for (loss, interval, size) in [
        (0, 1000, 10_000),
        (10, 1000, 10_000),
        (100, 1000, 10_000),
        (300, 1000, 10_000),
        (300, 500, 100),
    ] {
        for seed in 1..=seeds {
            let mut world = World::connected(&Plan {
                seed,
                ..Plan::default()
            });
            world.loss = loss;
            let traffic = busy(&mut world, hour, Duration::from_millis(interval), size);
            let kilobytes = traffic.bytes.iter().sum::<usize>() as f64 / 1000.0;
            println!(
                "{loss:4} {seed} {size:5} | {:6.2} {:6.2} | {:6} {:6} | {:.2} {:.0}",
                traffic.longest[L].as_secs_f64(),
                traffic.longest[R].as_secs_f64(),
                traffic.bytes[L] as u64 / hour.as_secs(),
                traffic.bytes[R] as u64 / hour.as_secs(),
                traffic.datagrams as f64 / kilobytes,
                traffic.wire as f64 / kilobytes,
            );
            assert!(traffic.longest.iter().all(|pause| *pause < 5 * SECOND));
        }
    }
    for loss in [0, 10, 100, 300] {
        let mut world = World::connected(&Plan::default());
        world.loss = loss;
        let bulk = busy(&mut world, 60 * SECOND, Duration::from_millis(10), 16_000);
        let kilobytes = bulk.bytes.iter().sum::<usize>() as f64 / 1000.0;
        println!(
            "bulk at {loss}: {:?} bytes/s, {:.3} datagrams per KB, silent {:?}",
            bulk.bytes.map(|bytes| bytes / 60),
            bulk.datagrams as f64 / kilobytes,
            bulk.longest
        );
    }
    for (alone, loss) in [(true, 0), (false, 0), (true, 300), (false, 300)] {
        for dark in [3, 8, 15, 60] {
            let mut all: Vec<_> = (1..=dark_seeds)
                .map(|seed| back_after(seed, Duration::from_secs(dark), loss, alone))
                .map(|[during, after]| (during.as_millis(), after.as_millis()))
                .collect();
            all.sort_unstable_by_key(|(_, after)| *after);
            println!(
                "dark {dark} s, alone {alone}, then loss {loss}: (during, after) median {:?} worst {:?} ms",
                all[all.len() / 2],
                all[all.len() - 1]
            );
        }
    }
    for seed in 1..=2 {
        let mut world = World::connected(&Plan {
            seed,
            ..Plan::default()
        });
        let idle = busy(&mut world, 10 * 60 * SECOND, SECOND, 0);
        println!("idle: {} datagrams in ten minutes", idle.datagrams);
    }
}

/// The longest that nothing arrived since the path is back, while both send `size` bytes every `tick`.
fn pause_after(dark: Duration, tick: Duration, size: usize, delay: Duration) -> Duration {
    let mut world = World::connected(&Plan::default());
    world.delay = delay;
    busy(&mut world, SECOND, tick, size);
    world.loss = 1000;
    busy(&mut world, dark, tick, size);
    world.loss = 0;
    let traffic = busy(&mut world, 3 * SECOND, tick, size);
    traffic.longest.into_iter().max().unwrap_or_default()
}

#[test]
fn a_stream_goes_on_soon_after_darkness() {
    let ms = Duration::from_millis;
    // Many small messages, as many as fit into a packet, and more than one packet each time.
    for (size, tick) in [(15, ms(2)), (300, ms(10)), (3000, ms(10))] {
        for delay in [ms(1), ms(50)] {
            for dark in [ms(1000), ms(1400), ms(2000), ms(5000)] {
                let pause = pause_after(dark, tick, size, delay);
                println!("{size} bytes, {delay:?}, dark for {dark:?}: {pause:?}");
                assert!(
                    pause <= ms(500),
                    "{size} bytes, {delay:?}, dark for {dark:?}"
                );
            }
        }
    }
}
