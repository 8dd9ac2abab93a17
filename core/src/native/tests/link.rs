//! What a link promises.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;
use std::println;

use bytes::Bytes;

use super::world::{
    L, Parcel, Plan, R, SECOND, World, address, is_alive, is_client_hello, is_last,
};
use crate::config::Limits;
use crate::io::{Channel, LinkFailure};
use crate::native::link::Update;
use crate::native::stun::{self, Glance};
use crate::time::Timestamp;

fn round_trips(world: &World, side: usize) -> Vec<Duration> {
    world.sides[side]
        .log
        .iter()
        .filter_map(|(_, update)| match update {
            Update::Alive { round_trip } => *round_trip,
            _ => None,
        })
        .collect()
}

/// Milliseconds from the offer's leaving to (ICE, data channel, first message) at L and R.
fn trips(lead: bool, led: bool, v6: bool, signaling: u64) -> [[u64; 3]; 2] {
    let mut plan = Plan {
        lead,
        ..Plan::default()
    };
    if v6 {
        plan.addresses = [
            alloc::vec!["[2001:db8::1]:1000"],
            alloc::vec!["[2001:db8::2]:2000"],
        ];
    }
    let mut world = World::new(&plan);
    world.led = led;
    world.signaling = Duration::from_millis(signaling);
    for side in [L, R] {
        world.sides[side].greeting = Some(Bytes::from_static(b"hello"));
    }
    world.start();
    assert!(world.run_until(10 * SECOND, |world| {
        world.greeted(L).is_some() && world.greeted(R).is_some()
    }));
    [L, R].map(|side| {
        [
            world.when(side, |u| *u == Update::Connected).unwrap(),
            world
                .when(side, |u| *u == Update::ChannelOpened(Channel::Data))
                .unwrap(),
            world.greeted(side).unwrap(),
        ]
    })
}

#[test]
fn six_trips_from_offer_to_the_hosts_first_message() {
    println!("one-way delay 50 ms; ms after the offer left: ice, data channel, first message");
    for signaling in [10, 50, 200] {
        for v6 in [false, true] {
            for (name, lead, led) in [
                ("default roles", false, false),
                ("lead", true, true),
                ("lead, offerer not told", true, false),
            ] {
                let [l, r] = trips(lead, led, v6, signaling);
                let family = if v6 { "IPv6" } else { "IPv4" };
                println!(
                    "signaling {signaling:3} {family} {name:22} offerer {l:3?} answerer {r:3?}"
                );
                // Who leads starts with the offer, but nobody answers its check before the answer
                // is there: it waits at the offerer.
                let wanted = if lead {
                    signaling + 4 * 50 + signaling.max(50)
                } else {
                    2 * signaling + 6 * 50
                };
                if lead == led {
                    assert_eq!(l[2], wanted, "{name}");
                }
            }
        }
    }
}

#[test]
fn everybody_connects_at_every_loss() {
    println!("ms until the offerer hears the answerer: median, 90 %, worst of 50 seeds");
    for loss in [0, 10, 50, 100, 200, 300] {
        for lead in [false, true] {
            let mut times = Vec::new();
            for seed in 0..50 {
                let mut world = World::new(&Plan {
                    seed,
                    lead,
                    ..Plan::default()
                });
                world.loss = loss;
                world.sides[R].greeting = Some(Bytes::from_static(b"hello"));
                world.start();
                let connected = world.run_until(20 * SECOND, |world| {
                    world.greeted(L).is_some() || world.when(R, is_last).is_some()
                });
                assert!(connected, "loss {loss}, lead {lead}, seed {seed}");
                let opened = |u: &Update| *u == Update::ChannelOpened(Channel::Data);
                times.push([
                    world.greeted(L).expect("a message, not an end"),
                    world.when(R, |u| *u == Update::Connected).unwrap(),
                    world.when(R, opened).unwrap(),
                ]);
            }
            let spread = |which: usize| {
                let mut times: Vec<u64> = times.iter().map(|times| times[which]).collect();
                times.sort_unstable();
                [times[25], times[45], times[49]]
            };
            println!(
                "loss {:2} % lead {lead:5}: message {:?} (ice {:?}, open {:?})",
                loss / 10,
                spread(0),
                spread(1),
                spread(2)
            );
        }
    }
}

#[test]
fn a_lone_message_does_not_wait_for_sctps_timer() {
    let mut times = Vec::new();
    for seed in 0..50 {
        let mut world = World::connected(&Plan {
            seed,
            ..Plan::default()
        });
        world.loss = 300;
        let sent = world.now;
        world.send(L, Channel::Data, &b"alone"[..]);
        assert!(world.run_until(20 * SECOND, |world| !world.messages(R).is_empty()));
        times.push(world.now.since(sent));
    }
    times.sort_unstable();
    println!(
        "a lone message at 30 % loss: median {:?}, worst {:?}",
        times[25], times[49]
    );
    // SCTP alone takes 3 s for every message that is lost once, 9 s for every one lost twice.
    assert!(times[49] < 5 * SECOND);
}

#[test]
fn what_is_sent_after_a_silence_is_timed_from_now_on() {
    let mut world = World::connected(&Plan::default());
    world.delay = Duration::from_millis(20);
    for _ in 0..100 {
        // SCTP learns how short the round trip is: its timer comes after a second then.
        for side in [L, R] {
            world.send(side, Channel::Data, vec![1; 15_000]);
        }
        world.settle(Duration::from_millis(100));
    }
    // str0m has something to do every 1.5 s.
    for silence in (10_000..13_000).step_by(100) {
        world.settle(Duration::from_millis(silence));
        world.send(L, Channel::Data, "a lone message");
        let due = world.sides[L].link.poll_timeout().unwrap();
        assert!(due > world.now, "{due} at {}", world.now);
    }
}

#[test]
fn dead_interfaces_do_not_cost_more_than_their_checks() {
    let plan = Plan {
        addresses: [
            alloc::vec![
                "[2001:db8::1]:1000",
                "10.1.0.1:1001",
                "10.2.0.1:1002",
                "192.0.2.1:1003",
            ],
            alloc::vec![
                "[2001:db8::2]:2000",
                "10.1.0.2:2001",
                "10.3.0.2:2002",
                "192.0.2.2:2003",
            ],
        ],
        ..Plan::default()
    };
    let mut world = World::new(&plan);
    // Only the last pair works.
    world.dead = ["[2001:db8::1]:1000", "10.1.0.1:1001", "10.2.0.1:1002"]
        .into_iter()
        .chain(["[2001:db8::2]:2000", "10.1.0.2:2001", "10.3.0.2:2002"])
        .map(address)
        .collect();
    world.sides[R].greeting = Some(Bytes::from_static(b"hello"));
    world.start();
    assert!(world.run_until(10 * SECOND, |world| world.greeted(L).is_some()));
    println!("one pair of ten works: {:?} ms", world.greeted(L));
    assert!(world.greeted(L).unwrap() <= 1000);
}

#[test]
fn candidates_may_come_late_twice_and_before_the_description() {
    // Late: not before 3 s.
    let mut world = World::new(&Plan::default());
    world.tamper = |parcel| match parcel {
        Parcel::Candidate(_) => Vec::new(),
        other => alloc::vec![other],
    };
    world.start();
    world.settle(3 * SECOND);
    assert!(!world.opened(L));
    let late = world.sides[R]
        .log
        .iter()
        .find_map(|(_, update)| match update {
            Update::LocalCandidate(text) => Some(text.clone()),
            _ => None,
        })
        .unwrap();
    // One side's are enough: the other's checks make peer-reflexive ones.
    world.post(Duration::ZERO, L, Parcel::Candidate(late));
    assert!(world.run_until(SECOND, |world| world.opened(L) && world.opened(R)));

    // Twice.
    let mut world = World::new(&Plan::default());
    world.tamper = |parcel| alloc::vec![parcel.clone(), parcel];
    world.start();
    assert!(world.run_until(SECOND, |world| world.opened(L) && world.opened(R)));
    assert_eq!(world.count(L, is_last) + world.count(R, is_last), 0);

    // Before the description: the answer is overtaken by its candidates.
    let mut world = World::new(&Plan::default());
    world.signaling = Duration::from_millis(10);
    world.start();
    world.settle(Duration::from_millis(15));
    let mut answer = None;
    for (_, update) in world.sides[R].log.clone() {
        match update {
            Update::LocalDescription(sdp) => answer = Some(sdp),
            Update::LocalCandidate(text) => {
                world.post(Duration::ZERO, L, Parcel::Candidate(text));
            }
            _ => {}
        }
    }
    assert_eq!(
        world.sides[L].log.len(),
        2,
        "an offer and its candidate, nothing else"
    );
    world.post(Duration::from_millis(1), L, Parcel::Answer(answer.unwrap()));
    assert!(world.run_until(SECOND, |world| world.opened(L) && world.opened(R)));
}

#[test]
fn sockets_may_come_after_the_description() {
    let mut world = World::new(&Plan {
        addresses: [Vec::new(), Vec::new()],
        ..Plan::default()
    });
    world.start();
    world.settle(SECOND);
    world.interfaces(L, &["192.0.2.1:1000"]);
    world.interfaces(R, &["192.0.2.2:2000"]);
    assert!(world.run_until(SECOND, |world| world.opened(L) && world.opened(R)));
}

#[test]
fn a_link_moves_to_another_interface() {
    for lead in [false, true] {
        for pause in [0, 2] {
            let mut world = World::connected(&Plan {
                lead,
                ..Plan::default()
            });
            world.dead.insert(address("192.0.2.1:1000"));
            if pause > 0 {
                world.interfaces(L, &[]);
                world.settle(SECOND * pause);
            }
            world.interfaces(L, &["198.51.100.1:1001"]);
            let moved = world.now;
            let back = |world: &World| {
                world.sides[L].log.iter().any(|(_, u)| {
                    matches!(
                        u,
                        Update::Alive {
                            round_trip: Some(_)
                        }
                    )
                })
            };
            // As the network does.
            for _ in 0..40 {
                world.probe(L);
                if world.run_until(SECOND / 4, back) {
                    break;
                }
            }
            println!(
                "lead {lead:5} pause {pause}: moved in {:?}",
                world.now.since(moved)
            );
            assert!(world.now.since(moved) <= SECOND);
            world.send(L, Channel::Data, &b"from elsewhere"[..]);
            world.send(R, Channel::Data, &b"to elsewhere"[..]);
            assert!(world.run_until(SECOND, |world| {
                !world.messages(R).is_empty() && !world.messages(L).is_empty()
            }));
            assert_eq!(world.count(L, is_last) + world.count(R, is_last), 0);
        }
    }
}

#[test]
fn unusable_candidates_are_counted_and_harmless() {
    let mut world = World::new(&Plan::default());
    world.start();
    for text in [
        "candidate:1 1 udp 1 printer.local 5 typ host",
        "candidate:1 1 tcp 1 10.0.0.1 9 typ host tcptype active",
        "candidate:1 1 udp 1 127.0.0.1 9 typ host",
        "candidate:1 1 udp 1 169.254.0.1 9 typ host",
        "candidate:1 1 udp 1 224.0.0.1 9 typ host",
        "candidate:1 1 udp 1 0.0.0.0 9 typ host",
        "candidate:1 1 udp 1 10.0.0.1 0 typ host",
        "candidate:1 1 udp 1 fe80::1 9 typ host",
        "candidate:",
        "rubbish",
    ] {
        world.post(Duration::ZERO, R, Parcel::Candidate(text.to_string()));
    }
    world.post(Duration::ZERO, R, Parcel::Candidate(String::new()));
    assert!(world.run_until(SECOND, |world| world.opened(L) && world.opened(R)));
    assert_eq!(world.sides[R].candidates_dropped, 10);

    let most = Limits::default().candidates;
    for n in 0..200u8 {
        let text = alloc::format!("candidate:1 1 udp 1 10.0.0.{n} 9 typ host");
        world.post(Duration::ZERO, R, Parcel::Candidate(text));
    }
    world.settle(SECOND);
    assert_eq!(
        world.sides[R].candidates_dropped,
        10 + 200 - u64::from(most - 1)
    );
}

#[test]
fn there_is_no_candidate_in_a_description_and_they_come_best_first() {
    let mut world = World::new(&Plan {
        addresses: [
            alloc::vec!["10.0.0.1:1", "[2001:db8::1]:1", "10.0.0.2:1"],
            alloc::vec!["10.0.0.3:1"],
        ],
        ..Plan::default()
    });
    world.start();
    let mut texts = world.sides[L].log.iter().map(|(_, update)| update);
    let Some(Update::LocalDescription(sdp)) = texts.next() else {
        panic!("the description comes first");
    };
    println!("{sdp}");
    assert!(!sdp.contains("candidate"));
    assert!(sdp.contains("a=setup:actpass") && sdp.contains("a=sctp-init:"));
    assert_eq!(sdp.matches("m=").count(), 1);
    // As the candidates' payloads say, whoever signals them.
    assert!(sdp.contains("a=mid:0\r\n") && sdp.contains("a=group:BUNDLE 0\r\n"));
    let mut priorities = Vec::new();
    let mut order = Vec::new();
    for update in texts {
        let Update::LocalCandidate(text) = update else {
            panic!("{update:?}");
        };
        let words: Vec<_> = text.split(' ').collect();
        order.push(words[4]);
        priorities.push(words[3].parse::<u32>().unwrap());
    }
    assert_eq!(order, ["2001:db8::1", "10.0.0.1", "10.0.0.2"]);
    assert!(priorities.windows(2).all(|pair| pair[0] > pair[1]));
}

#[test]
fn two_hundred_kilobytes_arrive_in_order_by_buffered_amount() {
    for (loss, side) in [(0, L), (0, R), (20, R)] {
        let mut world = World::connected(&Plan::default());
        world.loss = loss;
        let pieces: Vec<Bytes> = (0..200u8)
            .map(|n| Bytes::from(alloc::vec![n; 1024]))
            .collect();
        let limit = Limits::default().channel_buffer as usize / 2;
        let (mut buffered, mut seen) = (0usize, world.sides[side].log.len());
        let mut left = pieces.iter();
        let mut next = left.next();
        while world.messages(1 - side).len() < pieces.len() {
            while let Some(piece) = next.filter(|piece| buffered + piece.len() <= limit) {
                world.send(side, Channel::Data, piece.clone());
                buffered += piece.len();
                next = left.next();
            }
            assert!(world.run_until(60 * SECOND, |world| {
                world.sides[side].log.len() > seen || world.messages(1 - side).len() == pieces.len()
            }));
            for (_, update) in &world.sides[side].log[seen..] {
                if let Update::BufferedAmount { bytes, .. } = update {
                    buffered = *bytes as usize;
                }
            }
            seen = world.sides[side].log.len();
        }
        assert!(world.messages(1 - side) == pieces);
        world.settle(2 * SECOND);
        // It is also told when everything has gone.
        let last = world.sides[side]
            .log
            .iter()
            .rev()
            .find_map(|(_, update)| match update {
                Update::BufferedAmount { bytes, .. } => Some(*bytes),
                _ => None,
            });
        assert_eq!(last, Some(0));
    }
}

#[test]
fn the_other_side_sees_a_close_one_trip_later() {
    for side in [L, R] {
        let mut world = World::connected(&Plan::default());
        let before = world.now;
        world.with(side, |link, now, out| link.close(now, out));
        assert_eq!(world.sides[side].link.poll_timeout(), None);
        world.settle(SECOND);
        let closed = world.sides[1 - side]
            .log
            .iter()
            .find(|(_, update)| *update == Update::Closed)
            .map(|(at, _)| at.since(before));
        assert_eq!(closed, Some(Duration::from_millis(50)));
        // Nothing is said about a link that was closed, nor after its end.
        assert_eq!(world.count(side, is_last), 0);
        assert_eq!(world.count(1 - side, is_last), 1);
        assert_eq!(world.sides[1 - side].log.last().unwrap().1, Update::Closed);
    }
}

#[test]
fn a_link_can_be_closed_at_any_moment() {
    for at in (0..500).step_by(10) {
        let mut world = World::new(&Plan::default());
        world.start();
        world.settle(Duration::from_millis(at));
        world.with(R, |link, now, out| link.close(now, out));
        world.with(R, |link, now, out| link.close(now, out));
        world.settle(3 * SECOND);
        assert_eq!(world.count(R, is_last), 0);
    }
}

#[test]
fn probes_are_answered_whoever_leads() {
    for lead in [false, true] {
        for side in [L, R] {
            let mut world = World::connected(&Plan {
                lead,
                ..Plan::default()
            });
            let heard = world.count(1 - side, is_alive);
            for _ in 0..5 {
                world.probe(side);
                world.settle(SECOND);
            }
            assert_eq!(
                round_trips(&world, side),
                alloc::vec![Duration::from_millis(100); 5]
            );
            // The other side has heard of us by that, too.
            assert!(world.count(1 - side, is_alive) >= heard + 5);
        }
    }
}

#[test]
fn a_probe_before_there_is_a_path_does_nothing() {
    let mut world = World::new(&Plan::default());
    world.probe(L);
    world.start();
    world.probe(L);
    assert_eq!(world.datagrams, 0);
}

#[test]
fn forged_answers_to_probes_are_ignored() {
    let mut world = World::connected(&Plan::default());
    let from = world.wire.len();
    world.probe(L);
    let (_, _, request) = world.wire[from].clone();
    assert!(matches!(
        stun::glance(&request),
        Some(Glance::Request { .. })
    ));
    world.loss = 1000;
    // The request itself, turned into a response: the transaction is right, the integrity is not.
    let mut forged = request.to_vec();
    forged[0] = 1;
    let heard = world.count(L, is_alive);
    world.deliver(
        L,
        address("192.0.2.1:1000"),
        address("192.0.2.2:2000"),
        &forged,
    );
    assert_eq!(world.count(L, is_alive), heard);
    assert!(round_trips(&world, L).is_empty());
    assert_eq!(world.sides[L].refused, 1);
}

#[test]
fn a_check_that_is_not_authentic_is_no_life() {
    let mut world = World::connected(&Plan::default());
    let from = world.wire.len();
    world.probe(L);
    let (_, _, request) = world.wire[from].clone();
    let heard = world.count(R, is_alive);
    // FINGERPRINT at the end is not covered.
    for bit in 0..(request.len() - 8) * 8 {
        let mut forged = request.to_vec();
        forged[bit / 8] ^= 1 << (bit % 8);
        world.deliver(
            R,
            address("192.0.2.2:2000"),
            address("192.0.2.1:1000"),
            &forged,
        );
    }
    assert_eq!(world.count(R, is_alive), heard);
    // The genuine one was not used up by that.
    world.settle(SECOND);
    assert!(world.count(R, is_alive) > heard);
}

#[test]
fn one_input_brings_at_most_one_sign_of_life() {
    let mut world = World::connected(&Plan::default());
    for n in 0..50u8 {
        world.send(L, Channel::Data, alloc::vec![n; 3000]);
        world.send(L, Channel::State, alloc::vec![n; 3000]);
        world.probe(L);
    }
    world.settle(2 * SECOND);
    let mut last = None;
    let mut datagrams = 0;
    for (at, update) in &world.sides[R].log {
        if is_alive(update) {
            datagrams += 1;
            last = Some(*at);
        }
        // A message is the sign of the datagram that completed it.
        if matches!(update, Update::Message { .. }) {
            assert_eq!(last, Some(*at));
        }
    }
    assert!(datagrams as u64 <= world.datagrams);
}

#[test]
fn a_wrong_fingerprint_has_a_name_of_its_own() {
    for which in [L, R] {
        let mut world = World::new(&Plan::default());
        // Each side gets the description with one digit of the fingerprint changed.
        let tampers: [fn(Parcel) -> Vec<Parcel>; 2] = [
            |parcel| match parcel {
                Parcel::Answer(sdp) => alloc::vec![Parcel::Answer(spoiled(&sdp))],
                other => alloc::vec![other],
            },
            |parcel| match parcel {
                Parcel::Offer(sdp) => alloc::vec![Parcel::Offer(spoiled(&sdp))],
                other => alloc::vec![other],
            },
        ];
        world.tamper = tampers[which];
        world.start();
        world.settle(5 * SECOND);
        assert_eq!(
            world.count(which, |u| *u
                == Update::Failed(LinkFailure::FingerprintMismatch)),
            1
        );
        assert!(!world.opened(which));
        assert_eq!(world.count(which, is_last), 1);
    }
}

/// A fatal alert in the clear: no set of parameters is acceptable.
const HANDSHAKE_FAILURE: &[u8] = &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];

/// R says hello; L's DTLS says this, and it takes hellos or not.
fn refusing(takes_hellos: bool) -> World {
    let mut world = World::new(&Plan::default());
    world.deaf = [!takes_hellos, false];
    world.start();
    let hello = |world: &World| {
        let mut sent = world.wire.iter();
        sent.any(|(_, side, datagram)| *side == R && is_client_hello(datagram))
    };
    assert!(world.run_until(SECOND, hello));
    world.settle(world.delay);
    let (local, remote) = (address("192.0.2.2:2000"), address("192.0.2.1:1000"));
    world.deliver(R, local, remote, HANDSHAKE_FAILURE);
    world
}

#[test]
fn whose_dtls_is_refused_says_so_a_second_later() {
    let mut world = refusing(false);
    let refused = world.now;
    world.settle(5 * SECOND);
    let failed = world.when(R, |u| *u == Update::Failed(LinkFailure::Dtls));
    assert_eq!(failed, Some(refused.plus(SECOND).as_millis()));
    assert_eq!(world.count(R, is_last), 1);
}

#[test]
fn a_forged_refusal_does_not_keep_a_link_from_opening() {
    let mut world = refusing(true);
    world.settle(5 * SECOND);
    assert!(world.opened(L) && world.opened(R));
    assert_eq!(world.count(L, is_last) + world.count(R, is_last), 0);
}

fn spoiled(sdp: &str) -> String {
    let at = sdp.find("a=fingerprint:sha-256 ").unwrap() + "a=fingerprint:sha-256 ".len();
    let digit = if sdp[at..].starts_with('A') { "B" } else { "A" };
    [&sdp[..at], digit, &sdp[at + 1..]].concat()
}

#[test]
fn a_seed_tells_everything_but_what_str0m_draws() {
    let run = || {
        let mut world = World::new(&Plan::default());
        world.sides[R].greeting = Some(Bytes::from_static(b"hello"));
        world.start();
        world.settle(5 * SECOND);
        let strip = |update: &Update| match update {
            Update::LocalDescription(_) => Update::LocalDescription(String::new()),
            other => other.clone(),
        };
        [L, R].map(|side| {
            world.sides[side]
                .log
                .iter()
                .map(|(at, update)| (*at, strip(update)))
                .collect::<Vec<(Timestamp, Update)>>()
        })
    };
    let first = run();
    for _ in 0..5 {
        assert!(run() == first);
    }
}

#[test]
fn an_hour_at_thirty_percent_loss_with_a_probe_a_second() {
    let mut world = World::connected(&Plan::default());
    world.loss = 300;
    let mut longest = [Duration::ZERO; 2];
    let mut last = [world.now; 2];
    for _ in 0..3600 {
        for side in [L, R] {
            world.probe(side);
        }
        world.settle(SECOND);
        world.wire.clear();
        for side in [L, R] {
            for (at, update) in world.sides[side].log.split_off(0) {
                assert!(!update.is_last());
                if is_alive(&update) {
                    longest[side] = longest[side].max(at.since(last[side]));
                    last[side] = at;
                }
            }
        }
    }
    println!("an hour at 30 % loss, a probe a second: silent for {longest:?} at the most");
    // The network asks more often when it hears nothing; this is what one probe a second gives.
    assert!(longest.into_iter().all(|silence| silence < 8 * SECOND));
}

#[test]
fn what_was_dark_comes_back_by_the_probes() {
    for dark in [10, 30, 90] {
        let mut world = World::connected(&Plan::default());
        for phase in [dark, 5] {
            world.loss = if phase == dark { 1000 } else { 0 };
            for side in [L, R] {
                world.sides[side].log.clear();
            }
            let since = world.now;
            for _ in 0..phase {
                world.probe(L);
                world.probe(R);
                world.settle(SECOND);
            }
            if phase == 5 {
                let answered = world.sides[L]
                    .log
                    .iter()
                    .find(|(_, u)| is_alive(u))
                    .unwrap();
                println!(
                    "dark for {dark} s: alive {:?} later",
                    answered.0.since(since)
                );
                world.send(L, Channel::Data, &b"back"[..]);
                world.settle(SECOND);
                println!("   a message passes: {}", world.messages(R).len() == 1);
            }
        }
        assert_eq!(world.count(L, is_last) + world.count(R, is_last), 0);
    }
}

/// All of it arrives; how fast is a figure of a release build, where there is more of it:
/// `cargo test --release -p wattle-core --lib throughput -- --nocapture`.
#[test]
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "it measures real time"
)]
fn throughput_of_two_links_in_memory_all_of_it_arrives() {
    for (size, count) in [
        (100usize, 200_000usize),
        (1024, 100_000),
        (16 * 1024, 10_000),
    ] {
        let count = if cfg!(debug_assertions) {
            count / 100
        } else {
            count
        };
        let mut world = World::connected(&Plan::default());
        world.delay = Duration::ZERO;
        let piece = Bytes::from(alloc::vec![7; size]);
        let begin = std::time::Instant::now();
        let (mut given, mut got, mut buffered, mut seen) = (0, 0, 0usize, [0, 0]);
        while got < count {
            while given < count && buffered + size <= 64 * 1024 {
                world.send(L, Channel::Data, piece.clone());
                buffered += size;
                given += 1;
            }
            world.settle(Duration::from_micros(1));
            for side in [L, R] {
                for (_, update) in world.sides[side].log.split_off(seen[side]) {
                    match update {
                        Update::BufferedAmount { bytes, .. } => buffered = bytes as usize,
                        Update::Message { .. } => got += 1,
                        _ => {}
                    }
                }
                seen[side] = world.sides[side].log.len();
            }
            world.wire.clear();
        }
        let took = begin.elapsed().as_secs_f64();
        println!(
            "{size:6} B: {:6.1} MB/s, {:7.0} messages/s",
            (size * count) as f64 / took / 1e6,
            count as f64 / took
        );
    }
}
