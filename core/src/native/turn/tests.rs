//! The client against the simulated server, in virtual time.

mod bench;
mod coturn;

use alloc::vec::Vec;

use self::bench::{Bench, PEER, PEER_V6, SERVER, SERVER_V6, secs};
use super::*;
use crate::sim::{TurnConfig, TurnFault};

fn faulty(fault: TurnFault) -> TurnConfig {
    TurnConfig {
        fault,
        ..TurnConfig::default()
    }
}

fn credentials(username: &str, password: &str) -> Credentials {
    Credentials {
        username: username.into(),
        password: password.into(),
    }
}

#[test]
fn an_allocation_is_two_round_trips_away() {
    for transport in [Transport::Datagram, Transport::Stream] {
        for family in [Family::V4, Family::V6] {
            let mut bench = Bench::new(TurnConfig::default());
            bench.start(transport, family);
            assert!(bench.run_until(secs(5), |bench| bench.turn().relayed().is_some()));
            // 20 ms there, 20 ms back.
            assert_eq!(bench.now, Timestamp::from_millis(80));
            assert_eq!((bench.sent, bench.received), (2, 2));
            let TurnEvent::Allocated {
                relayed,
                mapped,
                lifetime,
            } = bench.events[0].1
            else {
                panic!("{:?}", bench.events);
            };
            let server = if family == Family::V4 {
                SERVER
            } else {
                SERVER_V6
            };
            assert_eq!(relayed.ip(), server.parse::<SocketAddr>().unwrap().ip());
            assert_eq!(mapped, bench.client);
            assert_eq!(lifetime, secs(600));
        }
    }
}

/// The count of packets and trips, and of bytes, that docs/wire.md tells.
#[test]
fn what_relaying_costs() {
    for (family, indication) in [(Family::V4, 36), (Family::V6, 48)] {
        let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, family);
        let peer = bench::peer(family);
        let begun = bench.now;
        let (sent, received) = (bench.sent, bench.received);
        bench.permit(peer);
        // Right behind the permission, which is not waited for.
        assert!(bench.send(peer, b"\x16data"));
        bench.run_until(secs(1), |bench| !bench.relayed.is_empty());
        // One trip to the server.
        assert_eq!(bench.now.since(begun), Duration::from_millis(20));
        // CreatePermission, the indication, ChannelBind; the first answer is on its way.
        assert_eq!((bench.sent - sent, bench.received - received), (3, 1));
        assert_eq!(bench.last_payload_bytes, 8 + indication);
        bench.answer(peer, b"back");
        bench.run_for(secs(1));
        assert_eq!(bench.data(), [(peer, b"back".to_vec())]);
        // From now on a channel: 4 bytes.
        assert!(bench.send(peer, b"\x16data"));
        bench.run_for(secs(1));
        assert_eq!(bench.last_payload_bytes, 5 + 4);
        bench.answer(peer, b"back");
        bench.run_for(secs(1));
        assert_eq!(bench.last_data_bytes, 4 + 4);
        assert_eq!(bench.relayed.len(), 2);
        assert_eq!(bench.turn().dropped(), 0);
    }
}

#[test]
fn checks_alone_bind_no_channel() {
    let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
    let peer = bench::peer(Family::V4);
    bench.permit(peer);
    let sent = bench.sent;
    for _ in 0..5 {
        assert!(bench.send(peer, &[0, 1, 0, 0]));
        bench.run_for(Duration::from_millis(100));
    }
    assert_eq!(bench.relayed.len(), 5);
    assert_eq!(bench.sent - sent, 5);
}

#[test]
fn data_passes_both_ways_on_a_stream_cut_anywhere() {
    for cut in [1, 2, 3, 7, 1000] {
        let mut bench = Bench::allocated(TurnConfig::default(), Transport::Stream, Family::V4);
        bench.cut = cut;
        let peer = bench::peer(Family::V4);
        bench.permit(peer);
        for length in 0..100 {
            let payload = alloc::vec![length; length.into()];
            assert!(bench.send(peer, &payload));
            bench.run_for(Duration::from_millis(50));
            assert_eq!(bench.relayed.pop().unwrap().1, payload);
            bench.answer(peer, &payload);
            bench.run_for(Duration::from_millis(50));
            assert_eq!(bench.data(), [(peer, payload)]);
        }
    }
}

#[test]
fn each_error_has_its_name() {
    for (code, failure) in [
        (400, TurnFailure::Server(400)),
        (403, TurnFailure::Forbidden),
        (440, TurnFailure::AddressFamily),
        (441, TurnFailure::Unauthorized),
        (442, TurnFailure::TransportUnsupported),
        (443, TurnFailure::PeerFamily),
        (486, TurnFailure::AllocationQuota),
        (500, TurnFailure::Server(500)),
        (508, TurnFailure::InsufficientCapacity),
        (300, TurnFailure::Redirects),
    ] {
        let mut bench = Bench::new(faulty(TurnFault::Error(code)));
        bench.start(Transport::Datagram, Family::V4);
        assert_eq!(bench.end(secs(2)), TurnEvent::Failed(failure), "{code}");
    }
    for (fault, failure) in [
        (TurnFault::StaleNonce, TurnFailure::StaleNonce),
        (TurnFault::Silence, TurnFailure::Unreachable),
        (TurnFault::BadIntegrity, TurnFailure::Unreachable),
        (TurnFault::Garbage, TurnFailure::Unreachable),
        (TurnFault::Noise, TurnFailure::Unreachable),
    ] {
        let mut bench = Bench::new(faulty(fault));
        bench.start(Transport::Datagram, Family::V4);
        assert_eq!(bench.end(secs(11)), TurnEvent::Failed(failure), "{fault:?}");
        assert!(bench.sent <= 7, "{fault:?}: {}", bench.sent);
    }
    for (config, family, failure) in [
        (
            TurnConfig {
                ipv6: false,
                ..TurnConfig::default()
            },
            Family::V6,
            TurnFailure::AddressFamily,
        ),
        (
            TurnConfig {
                quota: 0,
                ..TurnConfig::default()
            },
            Family::V4,
            TurnFailure::AllocationQuota,
        ),
        (
            TurnConfig {
                capacity: 0,
                ..TurnConfig::default()
            },
            Family::V4,
            TurnFailure::InsufficientCapacity,
        ),
    ] {
        let mut bench = Bench::new(config);
        bench.start(Transport::Datagram, family);
        assert_eq!(bench.end(secs(1)), TurnEvent::Failed(failure));
    }
}

#[test]
fn a_wrong_password_is_told_at_once() {
    for wrong in [
        credentials("player", "wrong"),
        credentials("nobody", "secret"),
    ] {
        let mut bench = Bench::new(TurnConfig::default());
        bench.start_as(wrong, Transport::Datagram, Family::V4);
        let expected = TurnEvent::Failed(TurnFailure::Unauthorized);
        assert_eq!(bench.end(Duration::from_millis(81)), expected);
        assert_eq!(bench.sent, 2);
    }
    // Unless others came meanwhile.
    let mut bench = Bench::new(TurnConfig {
        name_lifetime: Duration::ZERO,
        ..TurnConfig::default()
    });
    bench.start_as(credentials("a", "b"), Transport::Datagram, Family::V4);
    bench.run_for(Duration::from_millis(70));
    bench.set_credentials(credentials("player", "secret"));
    bench.run_for(secs(1));
    assert!(bench.turn().relayed().is_some());
    // Nobody's name is that long.
    let mut bench = Bench::new(TurnConfig::default());
    let name = "x".repeat(600);
    bench.start_as(credentials(&name, ""), Transport::Datagram, Family::V4);
    let expected = TurnEvent::Failed(TurnFailure::Unauthorized);
    assert_eq!(bench.end(secs(1)), expected);
}

#[test]
fn redirections_are_followed_but_not_for_ever() {
    let to = "192.0.2.99:3478".parse().unwrap();
    let mut bench = Bench::new(faulty(TurnFault::Redirect(to)));
    bench.start(Transport::Datagram, Family::V4);
    bench.permit(bench::peer(Family::V4));
    assert_eq!(bench.end(secs(1)), TurnEvent::Redirected { to });
    // The bench's server is everywhere.
    let mut hops = 0;
    let mut end = TurnEvent::Redirected { to };
    while let TurnEvent::Redirected { to } = end {
        hops += 1;
        let other = SocketAddr::from(([192, 0, 2, 99 + hops], 3478));
        bench.server.config.fault = TurnFault::Redirect(other);
        bench.follow(to);
        end = bench.end(secs(1));
    }
    assert_eq!(end, TurnEvent::Failed(TurnFailure::Redirects));
    assert_eq!(hops, MOST_HOPS);
    // Nowhere, the other family, itself, and somebody at home.
    for to in [
        "0.0.0.0:1",
        "192.0.2.9:0",
        "[::1]:5",
        SERVER,
        "127.0.0.1:22",
    ] {
        let mut bench = Bench::new(faulty(TurnFault::Redirect(to.parse().unwrap())));
        bench.start(Transport::Datagram, Family::V4);
        let expected = TurnEvent::Failed(TurnFailure::Redirects);
        assert_eq!(bench.end(secs(1)), expected);
    }
    // To an honest one, with all peers.
    let mut bench = Bench::new(faulty(TurnFault::Redirect("192.0.2.9:9".parse().unwrap())));
    bench.start(Transport::Datagram, Family::V4);
    bench.permit(bench::peer(Family::V4));
    bench.end(secs(1));
    bench.server.config.fault = TurnFault::None;
    bench.follow("192.0.2.9:9".parse().unwrap());
    bench.run_for(secs(1));
    assert!(bench.send(bench::peer(Family::V4), b"hello"));
    bench.run_for(secs(1));
    assert_eq!(bench.relayed.len(), 1);
}

#[test]
fn what_is_refreshed_lasts_for_months() {
    for (transport, days) in [(Transport::Datagram, 70), (Transport::Stream, 7)] {
        let mut bench = Bench::allocated(TurnConfig::default(), transport, Family::V4);
        let peer = bench::peer(Family::V4);
        bench.permit(peer);
        bench.send(peer, b"hello");
        for _ in 0..days {
            bench.run_for(secs(24 * 3600));
            assert!(bench.send(peer, b"x"));
            bench.answer(peer, b"y");
            bench.run_for(Duration::from_millis(100));
            // By the channel, in both directions.
            assert_eq!(bench.last_payload_bytes, bench::padded(transport, 5));
            assert_eq!(bench.data(), [(peer, b"y".to_vec())]);
        }
        assert_eq!(bench.relayed.len(), days + 1);
        assert_eq!(bench.events, []);
        assert_eq!(bench.turn().dropped(), 0);
    }
}

#[test]
fn whatever_expires_soon_is_refreshed_in_time() {
    // From 120 s on a minute before the end (or to keep the way open), before that at half time.
    for (seconds, refreshes) in [
        (2, 600),
        (5, 240),
        (10, 120),
        (30, 40),
        (119, 40),
        (121, 40),
    ] {
        let config = TurnConfig {
            lifetime: secs(seconds),
            ..TurnConfig::default()
        };
        let mut bench = Bench::allocated(config, Transport::Datagram, Family::V4);
        let sent = bench.sent;
        bench.run_for(secs(600));
        let sent = bench.sent - sent;
        assert!(
            sent.abs_diff(refreshes) <= refreshes / 10,
            "{seconds} s: {sent}"
        );
        assert_eq!(bench.events, []);
        // With a nonce that is stale each time, and something to do.
        bench.server.config.nonce_lifetime = secs(1);
        let peer = bench::peer(Family::V4);
        bench.permit(peer);
        bench.run_for(secs(1));
        for _ in 0..600 {
            bench.send(peer, b"x");
            bench.run_for(secs(1));
        }
        assert_eq!(bench.relayed.len(), 600, "{seconds} s");
        assert_eq!(bench.events, []);
    }
}

/// There is a floor: what lives for less than 2 s is not had, and not held on to.
#[test]
fn what_does_not_last_is_not_kept() {
    for (seconds, stands) in [(0, false), (1, false), (2, true)] {
        let config = TurnConfig {
            lifetime: secs(seconds),
            ..TurnConfig::default()
        };
        let mut bench = Bench::new(config);
        bench.start(Transport::Datagram, Family::V4);
        bench.run_for(secs(60));
        assert_eq!(bench.turn().relayed().is_some(), stands, "{seconds} s");
        if !stands {
            let failed = TurnEvent::Failed(TurnFailure::Expired);
            assert_eq!(bench.take_events(), [failed]);
            assert_eq!(bench.sent, 2);
        }
        // One that begins to be stingy.
        let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
        bench.server.config.lifetime = secs(seconds);
        bench.run_for(secs(16));
        let lost = [TurnEvent::Lost(TurnFailure::Expired)];
        let expected = if stands { &[] } else { &lost[..] };
        assert_eq!(bench.take_events(), expected, "{seconds} s");
    }
}

#[test]
fn a_nonce_may_turn_stale_at_any_time() {
    let config = TurnConfig {
        nonce_lifetime: Duration::from_millis(100),
        ..TurnConfig::default()
    };
    let mut bench = Bench::allocated(config, Transport::Datagram, Family::V4);
    for number in 0..200u8 {
        let peer = SocketAddr::from(([198, 51, 100, number], 9));
        bench.permit(peer);
        bench.run_for(secs(1));
        assert!(bench.send(peer, b"x"));
        bench.run_for(secs(1));
    }
    assert_eq!(bench.relayed.len(), 200);
    // A storm passes.
    bench.server.config.fault = TurnFault::StaleNonce;
    let sent = bench.sent;
    bench.run_for(secs(100));
    assert!(bench.turn().relayed().is_some());
    assert!(bench.sent - sent < 3000, "{}", bench.sent - sent);
    bench.server.config.fault = TurnFault::None;
    bench.run_for(secs(3600));
    assert_eq!(bench.events, []);
}

#[test]
fn a_server_that_forgets_is_noticed() {
    // While nothing is said, within the keep-alive; while data is sent, sooner; at once if asked.
    for (case, within) in [(0, secs(16)), (1, secs(4)), (2, secs(1))] {
        let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
        let peer = bench::peer(Family::V4);
        bench.permit(peer);
        bench.send(peer, b"x");
        bench.run_for(secs(100));
        bench.server.restart();
        let begun = bench.now;
        if case == 2 {
            bench.check();
        }
        while bench.events.is_empty() && bench.now.since(begun) < secs(60) {
            if case == 1 {
                bench.send(peer, b"x");
            }
            bench.run_for(Duration::from_millis(100));
        }
        assert!(bench.now.since(begun) <= within, "{}", bench.now);
        assert_eq!(bench.events[0].1, TurnEvent::Lost(TurnFailure::Forgotten));
        assert_eq!(bench.turn().poll_timeout(), None);
    }
}

#[test]
fn darkness_is_survived_and_a_dead_server_is_not_waited_for() {
    for dark in [1, 5, 15] {
        let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
        let peer = bench::peer(Family::V4);
        bench.permit(peer);
        bench.send(peer, b"x");
        bench.run_for(secs(100));
        bench.dark = true;
        for _ in 0..dark * 10 {
            bench.send(peer, b"lost");
            bench.run_for(Duration::from_millis(100));
        }
        bench.dark = false;
        bench.relayed.clear();
        bench.send(peer, b"x");
        bench.run_for(Duration::from_millis(20));
        assert_eq!(bench.relayed.len(), 1);
        bench.run_for(secs(3600));
        assert_eq!(bench.events, []);
    }
    for transport in [Transport::Datagram, Transport::Stream] {
        let mut bench = Bench::allocated(TurnConfig::default(), transport, Family::V4);
        bench.run_for(secs(100));
        bench.server.config.fault = TurnFault::Silence;
        let begun = bench.now;
        let expected = TurnEvent::Lost(TurnFailure::Unreachable);
        assert_eq!(bench.end(secs(100)), expected);
        assert!(bench.now.since(begun) < secs(60), "{}", bench.now);
    }
}

#[test]
fn sleep_is_no_silence_of_the_server() {
    for (sleep, survives) in [(60, true), (500, true), (700, false)] {
        let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
        bench.permit(bench::peer(Family::V4));
        bench.run_for(secs(101));
        bench.sleep(secs(sleep));
        bench.run_for(secs(60));
        let expired = [TurnEvent::Lost(TurnFailure::Expired)];
        let events: Vec<_> = bench.events.iter().map(|it| it.1.clone()).collect();
        assert_eq!(events, if survives { &[] } else { &expired[..] });
    }
}

#[test]
fn credentials_can_be_replaced_in_mid_life() {
    // The same name: used at once, so that it is never refused.
    let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
    bench.run_for(secs(100));
    bench.server.config.password = "new".into();
    bench.set_credentials(credentials("player", "new"));
    bench.run_for(secs(3600));
    assert_eq!(bench.events, []);

    // Too late, but before the allocation has expired.
    bench.server.config.password = "newer".into();
    bench.run_for(secs(300));
    assert_eq!(bench.take_events(), [TurnEvent::CredentialsRefused]);
    bench.permit(bench::peer(Family::V4));
    let sent = bench.sent;
    bench.run_for(secs(200));
    assert_eq!(bench.sent, sent, "nothing is asked that would be refused");
    bench.set_credentials(credentials("player", "newer"));
    bench.run_for(secs(3600));
    assert!(bench.send(bench::peer(Family::V4), b"x"));
    bench.run_for(secs(1));
    assert_eq!(bench.relayed.len(), 1);
    assert_eq!(bench.events, []);

    // Not at all.
    bench.server.config.password = "newest".into();
    let end = bench.end(secs(700));
    assert_eq!(end, TurnEvent::Lost(TurnFailure::Unauthorized));

    // Another name: kept until the old one is refused. This server ties the allocation to the old, so that
    // there is no more to be had of it.
    let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
    bench.set_credentials(credentials("somebody", "else"));
    bench.run_for(secs(3600));
    assert_eq!(bench.events, []);
    bench.server.config.username = "somebody".into();
    bench.server.config.password = "else".into();
    let end = bench.end(secs(16));
    assert_eq!(end, TurnEvent::Lost(TurnFailure::Unauthorized));
}

#[test]
fn who_may_not_send_is_found_out() {
    let config = TurnConfig {
        forbidden: alloc::vec!["198.51.100.3".parse().unwrap()],
        ..TurnConfig::default()
    };
    let mut bench = Bench::new(config);
    bench.start(Transport::Datagram, Family::V4);
    let peers = [1, 2, 3, 4, 5].map(|last| SocketAddr::from(([198, 51, 100, last], 7)));
    for peer in peers {
        bench.permit(peer);
    }
    bench.run_for(secs(2));
    let denied = TurnEvent::Denied {
        peer: peers[2].ip(),
        failure: TurnFailure::Forbidden,
    };
    assert_eq!(bench.take_events()[1..], [denied]);
    for _ in 0..100 {
        bench.relayed.clear();
        for peer in peers {
            bench.send(peer, b"x");
        }
        bench.run_for(secs(60));
        assert_eq!(bench.relayed.len(), 4);
    }
    assert_eq!(bench.events, []);
}

#[test]
fn strangers_and_the_forgotten_are_not_heard() {
    let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
    let peer: SocketAddr = PEER.parse().unwrap();
    let other = SocketAddr::from(([203, 0, 113, 9], 9));
    assert!(!bench.permit(PEER_V6.parse().unwrap()));
    assert!(!bench.send(peer, b"x"));
    bench.permit(peer);
    bench.run_for(secs(1));
    bench.answer(other, b"stranger");
    // Its address is permitted, whatever the port.
    bench.answer(SocketAddr::new(peer.ip(), 9), b"reflexive");
    bench.run_for(secs(1));
    let data = bench.data();
    assert_eq!(
        data,
        [(SocketAddr::new(peer.ip(), 9), b"reflexive".to_vec())]
    );
    bench.send(peer, b"x");
    bench.run_for(secs(1));
    bench.forget(peer);
    // The server still lets it in.
    bench.answer(peer, b"late");
    bench.run_for(secs(1));
    assert_eq!(bench.data(), []);
    assert_eq!(bench.turn().dropped(), 1);
    assert!(!bench.send(peer, b"x"));
    bench.run_for(secs(400));
    bench.answer(peer, b"too late");
    bench.run_for(secs(1));
    assert_eq!(bench.turn().dropped(), 1, "the permission has expired");
    // Back again: the same channel, as the server may still know it.
    bench.permit(peer);
    bench.send(peer, b"x");
    bench.run_for(secs(1));
    bench.send(peer, b"x");
    bench.run_for(secs(1));
    assert_eq!(bench.last_payload_bytes, 5);
    for number in 0..500u16 {
        let peer = SocketAddr::from(([203, 0, number.to_be_bytes()[0], number as u8], 1));
        assert_eq!(bench.permit(peer), usize::from(number) + 1 < MOST_PEERS);
    }
    bench.run_for(secs(1000));
    assert_eq!(bench.events, []);
}

/// Its channel stands at the server for ten minutes, and what it sends comes by that: the first checks of
/// a new link, long before we have anything but checks to send.
#[test]
fn whoever_was_forgotten_and_is_permitted_again_is_heard_on_its_channel() {
    let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
    let peer: SocketAddr = PEER.parse().unwrap();
    bench.permit(peer);
    bench.send(peer, b"x");
    bench.run_for(secs(1));
    bench.forget(peer);
    bench.run_for(secs(1));
    bench.permit(peer);
    bench.run_for(secs(1));
    bench.answer(peer, b"check");
    assert_eq!(bench.last_data_bytes, 5 + 4, "by the channel");
    bench.run_for(secs(1));
    assert_eq!(bench.data(), [(peer, b"check".to_vec())]);
    // Another link has to do with another port of that address: what came as an indication would pass.
    bench.permit(SocketAddr::new(peer.ip(), 9));
    bench.forget(peer);
    bench.answer(peer, b"check");
    bench.run_for(secs(1));
    assert_eq!(bench.data(), [(peer, b"check".to_vec())]);
    assert_eq!(bench.turn().dropped(), 0);
}

#[test]
fn an_allocation_is_given_back() {
    let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
    assert_eq!(bench.server.allocations(bench.now), 1);
    bench.release();
    assert_eq!(bench.end(secs(1)), TurnEvent::Released);
    assert_eq!(bench.server.allocations(bench.now), 0);
    // Also if nobody answers, or nothing is there yet.
    let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
    bench.dark = true;
    bench.release();
    assert_eq!(bench.end(secs(10)), TurnEvent::Released);
    for millis in [0, 30, 50, 70] {
        let mut bench = Bench::new(TurnConfig::default());
        bench.start(Transport::Datagram, Family::V4);
        bench.run_for(Duration::from_millis(millis));
        bench.release();
        assert_eq!(bench.end(secs(1)), TurnEvent::Released);
        bench.run_for(secs(1));
        assert_eq!(bench.server.allocations(bench.now), 0, "after {millis} ms");
    }
}

#[test]
fn where_an_allocation_stands_another_port_is_asked_for() {
    // One of ours, from before: it is given back.
    let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
    let before = bench.turn().relayed();
    bench.start(Transport::Datagram, Family::V4);
    bench.permit(bench::peer(Family::V4));
    assert_eq!(bench.end(secs(1)), TurnEvent::Occupied);
    bench.ask_from_another_port();
    bench.run_for(secs(1));
    let after = bench.turn().relayed();
    assert!(after.is_some() && after != before);
    assert_eq!(bench.server.allocations(bench.now), 1);
    assert!(bench.send(bench::peer(Family::V4), b"with all peers"));

    // Somebody else's: it stays.
    let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
    bench.server.config.username = "somebody".into();
    bench.server.config.password = "else".into();
    let new = credentials("somebody", "else");
    bench.start_as(new, Transport::Datagram, Family::V4);
    assert_eq!(bench.end(secs(1)), TurnEvent::Occupied);
    bench.ask_from_another_port();
    bench.run_for(secs(1));
    assert!(bench.turn().relayed().is_some());
    assert_eq!(bench.server.allocations(bench.now), 2);

    // Not for ever.
    let mut bench = Bench::new(faulty(TurnFault::Error(437)));
    bench.start(Transport::Datagram, Family::V4);
    for _ in 0..MOST_HOPS {
        assert_eq!(bench.end(secs(1)), TurnEvent::Occupied);
        bench.ask_from_another_port();
    }
    assert_eq!(bench.end(secs(1)), TurnEvent::Failed(TurnFailure::Mismatch));
}

#[test]
fn a_bad_path_costs_time_and_nothing_else() {
    for seed in 0..40 {
        let config = TurnConfig {
            nonce_lifetime: secs(20),
            lifetime: secs(60),
            ..TurnConfig::default()
        };
        let mut bench = Bench::seeded(config, seed);
        bench.loss_per_mille = 300;
        bench.twice_per_mille = 200;
        bench.jitter = Duration::from_millis(300);
        bench.start(Transport::Datagram, Family::V4);
        let peer = bench::peer(Family::V4);
        bench.permit(peer);
        let mut sent = 0u32;
        for _ in 0..1200 {
            bench.run_for(secs(1));
            // The first requests are lost too often: whoever needs it tries again.
            if bench.turn().is_over() && sent == 0 {
                bench.start(Transport::Datagram, Family::V4);
                bench.permit(peer);
            }
            sent += u32::from(bench.send(peer, b"x"));
            bench.answer(peer, b"y");
        }
        assert!(sent > 1150, "{sent}");
        // Of those that are not lost, all that could have been permitted; some come twice.
        let arrived = bench.relayed.len() as u32;
        assert!((750..1100).contains(&arrived), "{arrived}");
        let lost = |it: &(Timestamp, TurnEvent)| matches!(it.1, TurnEvent::Lost(_));
        assert!(!bench.events.iter().any(lost), "seed {seed}");
    }
}

#[test]
fn hostile_bytes_are_counted() {
    let mut bench = Bench::allocated(TurnConfig::default(), Transport::Datagram, Family::V4);
    let mut rng = Rng::new([3; 32]);
    let mut dropped = 0;
    for _ in 0..2000 {
        let mut bytes = rng.bytes::<64>();
        bytes[0] &= 0x4f;
        let length = rng.below(65) as usize;
        bench.inject(&bytes[..length]);
        dropped += 1;
        assert_eq!(bench.turn().dropped(), dropped);
    }
    assert_eq!(bench.events, []);
    // A stream cannot go on behind nonsense.
    let mut bench = Bench::allocated(TurnConfig::default(), Transport::Stream, Family::V4);
    bench.inject(b"SSH-2.0");
    let lost = TurnEvent::Lost(TurnFailure::Protocol);
    assert_eq!(bench.take_events(), [lost]);
    bench.inject(b"more");
    assert_eq!(bench.events, []);
}

#[test]
fn secrets_are_not_shown() {
    let mut bench = Bench::new(TurnConfig::default());
    let secret = credentials("player", "very secret");
    bench.start_as(secret, Transport::Datagram, Family::V4);
    bench.run_for(Duration::from_millis(50));
    assert!(!alloc::format!("{:?}", bench.turn()).contains("very secret"));
}
