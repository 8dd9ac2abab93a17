//! The traps of the parts that a link is made of: str0m's ICE, DTLS and SCTP. Comments in `native` call them by
//! their numbers.

use alloc::collections::BTreeSet;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::time::Duration;
use std::println;

use bytes::Bytes;

use super::world::{L, Plan, R, SECOND, World, address, is_alive, is_client_hello, is_last};
use crate::config::Limits;
use crate::io::{Channel, LinkFailure};
use crate::native::link::Update;
use crate::native::stun;

#[test]
fn trap_01_an_empty_write_does_not_reach_the_channel() {
    let mut world = World::connected(&Plan::default());
    for channel in Channel::ALL {
        world.send(L, channel, Bytes::new());
        world.send(L, channel, &b"after"[..]);
        world.send(L, channel, Bytes::new());
        world.send(L, channel, &b"wards"[..]);
    }
    world.settle(SECOND);
    assert_eq!(world.messages(R).len(), 4);
}

#[test]
fn trap_02_a_client_hello_with_the_first_check_is_not_lost() {
    for lead in [false, true] {
        let world = World::connected(&Plan {
            lead,
            ..Plan::default()
        });
        let hellos = world.wire.iter().filter(|(_, _, d)| is_client_hello(d));
        assert_eq!(
            hellos.count(),
            1,
            "a second one means that the first was lost"
        );
    }
}

#[test]
fn trap_04_checks_go_out_at_once() {
    let mut world = World::new(&Plan::default());
    world.start();
    assert!(world.run_until(SECOND, |world| world.opened(L)));
    let first = |side| {
        let (at, _, datagram) = world.wire.iter().find(|(_, s, _)| *s == side).unwrap();
        assert!(stun::glance(datagram).is_some());
        at.as_millis()
    };
    // With the candidate behind the offer, and with the one behind the answer.
    assert_eq!([first(R), first(L)], [50, 100]);
}

#[test]
fn trap_05_events_of_both_channels_come_in_one_order() {
    let run = || {
        let mut world = World::connected(&Plan::default());
        for n in 0..100u8 {
            world.send(L, Channel::ALL[usize::from(n % 2)], alloc::vec![n; 2000]);
        }
        world.settle(5 * SECOND);
        let kinds = |side: usize| {
            world.sides[side]
                .log
                .iter()
                .filter(|(_, u)| !matches!(u, Update::LocalDescription(_)))
                .cloned()
                .collect::<Vec<_>>()
        };
        [kinds(L), kinds(R)]
    };
    let first = run();
    for _ in 0..5 {
        assert!(run() == first);
    }
}

#[test]
fn trap_06_credentials_are_our_own() {
    let credentials = |seed| {
        let mut world = World::new(&Plan {
            seed,
            ..Plan::default()
        });
        world.start();
        let Some((_, Update::LocalDescription(sdp))) = world.sides[L].log.first() else {
            panic!("no description");
        };
        let value = |name: &str| {
            sdp.lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap()
                .to_string()
        };
        [value("a=ice-ufrag:"), value("a=ice-pwd:")]
    };
    assert_eq!(credentials(1), credentials(1));
    let all: BTreeSet<_> = (0..50).map(credentials).collect();
    assert_eq!(all.len(), 50);
    for [ufrag, password] in all {
        // RFC 8445 section 5.3: 24 and 128 bits of randomness at the least.
        assert_eq!((ufrag.len(), password.len()), (8, 24));
    }
}

#[test]
fn trap_07_disconnection_is_told_but_does_not_end_the_link() {
    let mut world = World::connected(&Plan::default());
    world.loss = 1000;
    world.settle(120 * SECOND);
    println!(
        "ICE gives up after {:?} ms",
        world.when(L, |u| *u == Update::Disconnected)
    );
    assert_eq!(world.count(L, |u| *u == Update::Disconnected), 1);
    assert_eq!(world.count(L, is_last) + world.count(R, is_last), 0);
}

#[test]
fn trap_08_what_was_written_before_a_close_arrives_if_it_was_waited_for() {
    let mut world = World::connected(&Plan::default());
    for n in 0..100u8 {
        world.send(L, Channel::Data, alloc::vec![n; 1000]);
    }
    let gone = |world: &World| {
        world.when(L, |u| {
            matches!(
                u,
                Update::BufferedAmount {
                    channel: Channel::Data,
                    bytes: 0
                }
            )
        })
    };
    assert!(world.run_until(10 * SECOND, |world| gone(world).is_some()));
    world.with(L, |link, now, out| link.close(now, out));
    world.settle(SECOND);
    assert_eq!(world.messages(R).len(), 100);

    // A goodbye alone needs no waiting: it leaves before the close does.
    let mut world = World::connected(&Plan::default());
    world.send(L, Channel::Data, &b"goodbye"[..]);
    world.with(L, |link, now, out| link.close(now, out));
    world.settle(SECOND);
    assert_eq!(world.messages(R), [&b"goodbye"[..]]);
}

#[test]
fn trap_09_what_str0m_does_not_take_waits_here_within_bounds() {
    let plan = Plan::default();
    let mut world = World::connected(&plan);
    let piece = Bytes::from(alloc::vec![7; 16 * 1024]);
    // Four times as much as the network would give it.
    for _ in 0..32 {
        world.send(L, Channel::Data, piece.clone());
    }
    assert!(world.run_until(30 * SECOND, |world| world.messages(R).len() == 32));
    assert_eq!(world.count(L, is_last), 0);
    // And without end: the link says so and ends.
    for _ in 0..100 {
        world.send(L, Channel::Data, piece.clone());
    }
    assert_eq!(
        world.sides[L].log.last().unwrap().1,
        Update::Failed(LinkFailure::Channel)
    );
    // More than the remote takes at once is a failure with a name, not a silence.
    let mut world = World::connected(&plan);
    world.send(L, Channel::Data, alloc::vec![7; 257 * 1024]);
    assert_eq!(
        world.count(L, |u| *u == Update::Failed(LinkFailure::Channel)),
        1
    );
}

#[test]
fn trap_10_str0m_never_holds_more_than_twice_the_channel_buffer() {
    let mut world = World::connected(&Plan::default());
    let limit = Limits::default().channel_buffer as usize;
    world.loss = 1000;
    for _ in 0..40 {
        world.send(L, Channel::Data, alloc::vec![7; 16 * 1024]);
        assert!(world.sides[L].link.inside(Channel::Data) <= 2 * limit);
    }
}

#[test]
fn trap_11_dtls_from_unknown_addresses_is_not_listened_to() {
    for lead in [false, true] {
        let mut world = World::new(&Plan {
            lead,
            ..Plan::default()
        });
        world.start();
        let stranger = address("203.0.113.9:9");
        for _ in 0..100 {
            world.settle(Duration::from_millis(5));
            // A fatal alert, and a handshake record that cannot be parsed.
            for rubbish in [
                &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40][..],
                &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 9, 9, 9, 9][..],
            ] {
                world.deliver(L, address("192.0.2.1:1000"), stranger, rubbish);
                world.deliver(R, address("192.0.2.2:2000"), stranger, rubbish);
            }
        }
        assert_eq!(world.sides[L].refused, 200);
        assert!(world.opened(L) && world.opened(R));
    }
}

#[test]
fn trap_12_without_a_path_nobody_gives_up_before_the_network_does() {
    let mut world = World::new(&Plan::default());
    world.loss = 1000;
    world.start();
    world.settle(60 * SECOND);
    assert_eq!(world.count(L, is_last) + world.count(R, is_last), 0);
    for side in [L, R] {
        assert!(world.sides[side].link.poll_timeout().is_some());
    }
}

#[test]
fn trap_13_commands_given_twice_or_in_the_wrong_order_do_nothing() {
    let mut world = World::connected(&Plan::default());
    let sdp = |world: &World, side: usize| {
        world.sides[side]
            .log
            .iter()
            .find_map(|(_, update)| match update {
                Update::LocalDescription(sdp) => Some(sdp.clone()),
                _ => None,
            })
            .unwrap()
    };
    let (offer, answer) = (sdp(&world, L), sdp(&world, R));
    for side in [L, R] {
        for lead in [false, true] {
            world.with(side, |link, now, out| link.create_offer(now, out));
            world.with(side, |link, now, out| {
                link.accept_offer(now, &offer, lead, out)
            });
            world.with(side, |link, now, out| {
                link.accept_answer(now, &answer, lead, out)
            });
        }
    }
    world.send(L, Channel::Data, &b"still"[..]);
    world.send(R, Channel::Data, &b"there"[..]);
    world.settle(SECOND);
    assert_eq!(world.messages(R), [&b"still"[..]]);
    assert_eq!(world.messages(L), [&b"there"[..]]);
    assert_eq!(world.count(L, is_last) + world.count(R, is_last), 0);
}

#[test]
fn trap_14_what_is_sent_before_the_channel_opens_arrives_and_after_the_end_nothing_happens() {
    let mut world = World::new(&Plan::default());
    for side in [L, R] {
        for n in 0..10u8 {
            world.send(side, Channel::Data, alloc::vec![n + 1; 100]);
        }
    }
    world.start();
    assert!(world.run_until(SECOND, |world| {
        world.messages(L).len() == 10 && world.messages(R).len() == 10
    }));
    assert!(world.messages(L).is_sorted() && world.messages(R).is_sorted());
    // The last acknowledgement is delayed by up to 200 ms and a round trip.
    world.settle(Duration::from_millis(300));
    for side in [L, R] {
        assert_eq!(world.sides[side].link.inside(Channel::Data), 0);
    }
    world.with(R, |link, now, out| link.close(now, out));
    world.settle(SECOND);
    let before = world.datagrams;
    for side in [L, R] {
        world.send(side, Channel::Data, &b"too late"[..]);
        world.probe(side);
    }
    world.settle(5 * SECOND);
    assert_eq!(world.datagrams, before);
}

#[test]
fn trap_15_probes_tell_life_while_sctp_is_silent() {
    let mut world = World::connected(&Plan::default());
    world.loss = 300;
    let from = world.now;
    for round in 0..600u32 {
        if round % 2 == 0 {
            world.send(L, Channel::Data, alloc::vec![1; 5000]);
        }
        world.probe(L);
        world.probe(R);
        world.settle(Duration::from_millis(500));
        if world.sides[L].link.inside(Channel::Data) > 100_000 {
            world.settle(SECOND);
        }
    }
    for side in [L, R] {
        let mut last = from;
        let mut longest = Duration::ZERO;
        for (at, update) in &world.sides[side].log {
            if *at >= from && is_alive(update) {
                longest = longest.max(at.since(last));
                last = *at;
            }
        }
        println!("longest silence at 30 % loss: {longest:?}");
        assert!(longest < 5 * SECOND);
    }
    assert_eq!(world.count(L, is_last) + world.count(R, is_last), 0);
}
