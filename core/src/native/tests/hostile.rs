//! What a hostile network or a hostile peer can send: no panic, no hang, no harm to others.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use std::println;

use super::world::{L, Parcel, Plan, R, TRIP, World, address};
use crate::io::{Channel, LinkFailure};
use crate::native::link::Update;
use crate::rng::Rng;

const ROUNDS: usize = 1000;

/// Bytes that look like something, now and then like something genuine.
fn datagram(rng: &mut Rng, genuine: &[Vec<u8>]) -> Vec<u8> {
    let pick = |rng: &mut Rng, n: usize| usize::try_from(rng.below(n as u64)).unwrap();
    let mut bytes = if rng.below(4) == 0 || genuine.is_empty() {
        let length = pick(rng, 200);
        let mut bytes: Vec<u8> = (0..length).map(|_| rng.bytes::<1>()[0]).collect();
        if let Some(first) = bytes.first_mut() {
            *first = [0, 1, 20, 21, 22, 23, 25, 32, 47, 63, 64, 128, 255][pick(rng, 13)];
        }
        if bytes.len() > 20 && rng.below(2) == 0 {
            bytes[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
            bytes[3] = u8::try_from(bytes.len() - 20).unwrap_or(0) & !3;
        }
        bytes
    } else {
        genuine[pick(rng, genuine.len())].clone()
    };
    for _ in 0..rng.below(6) {
        if bytes.is_empty() {
            break;
        }
        let at = pick(rng, bytes.len());
        match rng.below(5) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.bytes::<1>()[0],
            2 => bytes.truncate(at),
            3 => bytes.insert(at, 0xff),
            _ => {
                bytes.remove(at);
            }
        }
    }
    bytes
}

fn genuine(world: &World) -> Vec<Vec<u8>> {
    world.wire.iter().map(|(_, _, d)| d.to_vec()).collect()
}

#[test]
fn hostile_datagrams_do_not_break_a_link() {
    for seed in 0..3 {
        let mut world = World::connected(&Plan {
            seed,
            ..Plan::default()
        });
        for n in 0..20u8 {
            world.send(L, Channel::Data, alloc::vec![n; 500]);
        }
        world.settle(Duration::from_secs(1));
        let genuine = genuine(&world);
        let mut rng = Rng::new([seed; 32]);
        for (local, remote, side) in [
            ("192.0.2.1:1000", "192.0.2.2:2000", L),
            ("192.0.2.1:1000", "203.0.113.9:9", L),
            ("192.0.2.2:2000", "192.0.2.1:1000", R),
            ("192.0.2.2:2000", "203.0.113.9:9", R),
            // At a socket that we do not have.
            ("192.0.2.77:2000", "192.0.2.1:1000", R),
        ] {
            for round in 0..ROUNDS {
                let bytes = datagram(&mut rng, &genuine);
                world.deliver(side, address(local), address(remote), &bytes);
                if round % 50 == 0 {
                    world.settle(Duration::from_millis(20));
                }
            }
        }
        world.send(L, Channel::Data, &b"still here"[..]);
        world.send(R, Channel::Data, &b"me too"[..]);
        world.settle(Duration::from_secs(5));
        assert!(world.messages(R).contains(&(&b"still here"[..]).into()));
        assert!(world.messages(L).contains(&(&b"me too"[..]).into()));
        assert_eq!(
            world.count(L, Update::is_last) + world.count(R, Update::is_last),
            0
        );
    }
}

#[test]
fn hostile_datagrams_during_the_handshake() {
    let genuine = genuine(&World::connected(&Plan {
        seed: 200,
        ..Plan::default()
    }));
    // From strangers: nothing happens. From the peer's own address, which takes somebody who knows
    // it and can forge it: a ClientHello of another connection is as good as the right one, so a
    // handshake can be stopped (RFC 9147 section 11); the network's deadline names that.
    for (known, stranger) in [(false, "203.0.113.9:9"), (true, "192.0.2.1:1000")] {
        let (mut connected, mut failed, mut stuck) = (0, 0, 0);
        for seed in 0..100 {
            let mut rng = Rng::new([seed; 32]);
            let mut world = World::new(&Plan {
                seed,
                ..Plan::default()
            });
            world.start();
            for _ in 0..50 {
                world.settle(Duration::from_millis(7));
                let bytes = datagram(&mut rng, &genuine);
                world.deliver(R, address("192.0.2.2:2000"), address(stranger), &bytes);
            }
            world.settle(Duration::from_secs(10));
            if world.opened(L) && world.opened(R) {
                connected += 1;
            } else if world.count(R, Update::is_last) == 1 {
                failed += 1;
            } else {
                stuck += 1;
            }
        }
        println!(
            "known address {known:5}: {connected} connected, {failed} failed, {stuck} neither"
        );
        assert!(known || connected == 100);
    }
}

fn description(of: usize) -> String {
    let world = World::connected(&Plan::default());
    world.sides[of]
        .log
        .iter()
        .find_map(|(_, update)| match update {
            Update::LocalDescription(sdp) => Some(sdp.clone()),
            _ => None,
        })
        .unwrap()
}

/// Lines changed, dropped, doubled, swapped; bytes changed; sometimes very long.
fn mangled(rng: &mut Rng, text: &str) -> String {
    const SPICE: [&str; 14] = [
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "a=group:BUNDLE 0 1 2",
        "a=setup:active",
        "a=setup:passive",
        "a=ice-lite",
        "a=sctp-init:AAAA",
        "a=sctp-init:AQAAGo3QI/UAEAAA/////1vNN6WACAAGgsA=",
        "a=max-message-size:0",
        "a=max-message-size:99999999999999999999",
        "a=fingerprint:sha-256 00",
        "a=rtpmap:111 opus/48000/2",
        "a=candidate:1 1 udp 1 10.0.0.1 9 typ host",
    ];
    let pick = |rng: &mut Rng, n: usize| usize::try_from(rng.below(n as u64)).unwrap();
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    for _ in 0..=rng.below(4) {
        let at = pick(rng, lines.len().max(1));
        match rng.below(7) {
            _ if lines.is_empty() => break,
            0 => {
                lines.remove(at);
            }
            1 => {
                let line = lines[at].clone();
                lines.insert(at, line);
            }
            2 => {
                let other = pick(rng, lines.len());
                lines.swap(at, other);
            }
            3 => lines.insert(at, String::from(SPICE[pick(rng, SPICE.len())])),
            4 => lines[at] = String::from(SPICE[pick(rng, SPICE.len())]),
            5 => lines[at] = lines[at].repeat(1 + pick(rng, 40)),
            _ => {
                let mut bytes = lines[at].clone().into_bytes();
                let place = pick(rng, bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = rng.bytes::<1>()[0];
                }
                lines[at] = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
    }
    lines.join("\r\n") + "\r\n"
}

#[test]
fn hostile_descriptions_end_with_a_name_or_do_no_harm() {
    let (offer, answer) = (description(L), description(R));
    let mut rng = Rng::new([5; 32]);
    let mut refused = 0;
    for round in 0..ROUNDS {
        let mut world = World::new(&Plan::default());
        world.tamper = |_| Vec::new();
        if round % 2 == 0 {
            let sdp = mangled(&mut rng, &offer);
            world.post(Duration::ZERO, R, Parcel::Offer(sdp));
        } else {
            world.start();
            let sdp = mangled(&mut rng, &answer);
            world.post(Duration::ZERO, L, Parcel::Answer(sdp));
        }
        let text = String::from("candidate:1 1 udp 1 10.0.0.1 9 typ host");
        world.post(Duration::ZERO, round % 2, Parcel::Candidate(text));
        world.settle(Duration::from_secs(2));
        for side in [L, R] {
            let named = |u: &Update| *u == Update::Failed(LinkFailure::Description);
            assert_eq!(world.count(side, named), world.count(side, Update::is_last));
            refused += world.count(side, named);
        }
    }
    println!("{refused} of {ROUNDS} descriptions refused");
    assert!(refused > ROUNDS / 10);
}

#[test]
fn hostile_candidates_do_not_break_a_link() {
    let mut rng = Rng::new([6; 32]);
    let mut world = World::connected(&Plan::default());
    for _ in 0..ROUNDS {
        let text = mangled(
            &mut rng,
            "candidate:1 1 udp 2130706431 192.0.2.9 1000 typ srflx raddr 10.0.0.1 rport 5 ufrag abc",
        );
        world.post(Duration::ZERO, R, Parcel::Candidate(text));
    }
    world.settle(Duration::from_secs(5));
    world.send(L, Channel::Data, &b"still here"[..]);
    world.settle(Duration::from_secs(1));
    assert_eq!(world.messages(R).len(), 1);
}

#[test]
fn a_peer_with_endless_addresses_is_bounded() {
    let mut world = World::connected(&Plan::default());
    let from = world.wire.len();
    world.probe(L);
    let (_, _, request) = world.wire[from].clone();
    // Authentic, and from everywhere.
    for port in 1..=2000 {
        let remote = SocketAddr::from(([198, 51, 100, 1], port));
        world.deliver(R, address("192.0.2.2:2000"), remote, &request);
    }
    assert!(world.sides[R].refused > 1900);
    world.settle(Duration::from_secs(60));
    world.send(L, Channel::Data, &b"still here"[..]);
    world.settle(Duration::from_secs(1));
    assert_eq!(world.messages(R).len(), 1);
}

/// DTLS says at once that something in the middle of a flight is missing; it must not say so for
/// ever while it is missing.
#[test]
fn a_gap_in_the_handshake_is_not_acknowledged_for_ever() {
    let mut world = World::new(&Plan::default());
    let is_flight = |(_, side, payload): &(_, usize, Bytes)| {
        *side == L && payload.first() == Some(&22) && payload.get(13) == Some(&2)
    };
    world.start();
    assert!(world.run_until(Duration::from_secs(5), |world| {
        world.wire.iter().any(is_flight)
    }));
    let (_, _, flight) = world.wire.iter().find(|sent| is_flight(sent)).unwrap();
    let mut damaged = flight.to_vec();
    // Behind the plain ServerHello begins what is encrypted; the first record of it is damaged.
    let encrypted = 13 + usize::from(u16::from_be_bytes([damaged[11], damaged[12]]));
    damaged[encrypted + 10] ^= 1;
    let before = world.datagrams;
    let (local, remote) = (address("192.0.2.2:2000"), address("192.0.2.1:1000"));
    world.deliver(R, local, remote, &damaged);
    world.settle(TRIP * 9 / 10);
    let sent = world.datagrams - before;
    assert!((1..10).contains(&sent), "{sent} datagrams about one gap");
    assert!(world.run_until(Duration::from_secs(5), |world| {
        world.opened(L) && world.opened(R)
    }));
}
