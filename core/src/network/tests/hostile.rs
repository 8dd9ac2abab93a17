//! A thousand and more hostile inputs of each kind, with the laws as the oracle.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::bare::{Bare, DIRECT, HOST_ID, LINK};
use super::room::{CODE, HOST, OPEN, Room, message, offer_frame, rng, with_source};
use super::watched::Watched;
use crate::config::{Config, Credit, Topology};
use crate::id::{LinkId, NodeId};
use crate::io::{Channel, Input, LinkFailure, LinkUpdate};
use crate::link::negotiation;
use crate::network::{Hosting, Network};
use crate::rng::Rng;
use crate::signaling::{
    ConnectionId, RelayedKind, ServerInput, SignalingFailure, SignalingId, SignalingUpdate,
    write_relayed,
};
use crate::stats::Status;
use crate::time::Timestamp;
use crate::wire::{
    Ack, Body, Farewell, Frame, Hello, Member, Number, Piece, Signal, State, Step, Token, Version,
    Welcome,
};

/// Inputs of each kind, at least.
const INPUTS: usize = 1_200;

fn one_of<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.below(all.len() as u64) as usize]
}

// Signaling.

/// Changes, cuts, doubles or inserts some characters.
fn mutated(rng: &mut Rng, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..rng.below(4) {
        let place = rng.below(characters.len() as u64 + 1) as usize;
        let strange = one_of(
            rng,
            &['"', '{', '}', '\\', '0', ',', '\0', 'ü', '\u{1f980}', 'x'],
        );
        match rng.below(5) {
            0 => characters.truncate(place),
            1 => characters.insert(place, strange),
            2 if place < characters.len() => characters[place] = strange,
            3 if place < characters.len() => {
                let _ = characters.remove(place);
            }
            _ => {
                let again: Vec<char> = characters[place..].iter().take(20).copied().collect();
                characters.extend(again);
            }
        }
    }
    characters.into_iter().collect()
}

/// A frame as a signaling server would pass it on, or nothing like that.
fn signaling_frame(rng: &mut Rng, connection: &str, answer: &str) -> String {
    let source = one_of(rng, &[CODE, "hand 0", "peer", "wattle-0", ""]);
    let connection = one_of(rng, &[connection, "dc_0", "dc_1", ""]);
    let node = NodeId::from_bytes([rng.below(40) as u8; 16]);
    let relay = |kind, payload: String| with_source(source, &write_relayed(kind, "me", &payload));
    let text = match rng.below(12) {
        0 => offer_frame(source, connection, node, "by hand"),
        1 => offer_frame(source, connection, HOST_ID, &"v".repeat(20_000)),
        2 => offer_frame(source, connection, node, "by hand").replace("\"wattle\"", "\"other\""),
        3 => offer_frame(source, connection, node, "by hand").replace("[1,", "[9,"),
        4 => answer.into(),
        5 => {
            let kind = one_of(
                rng,
                &[
                    RelayedKind::Offer,
                    RelayedKind::Answer,
                    RelayedKind::Candidate,
                    RelayedKind::Leave,
                ],
            );
            relay(
                kind,
                serde_json::json!({ "connectionId": connection, "type": "data" }).to_string(),
            )
        }
        6 => {
            let reason = one_of(rng, &["network_full", "version", "because"]);
            relay(
                RelayedKind::Answer,
                serde_json::json!({ "type": "data", "connectionId": connection,
                    "wattle": { "version": [1, rng.below(3)], "refused": reason } })
                .to_string(),
            )
        }
        7 => relay(RelayedKind::Expire, "null".into()),
        8 | 9 => {
            let line = one_of(
                rng,
                &[
                    "candidate:1 1 udp 1 10.0.0.1 5 typ host",
                    "",
                    "typ typ typ typ typ typ",
                ],
            );
            let line = if rng.below(8) == 0 {
                "x".repeat(3000)
            } else {
                line.into()
            };
            relay(
                RelayedKind::Candidate,
                negotiation::candidate(connection, &line),
            )
        }
        10 => one_of(
            rng,
            &[
                OPEN,
                r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#,
                r#"{"type":"ERROR","payload":{"msg":"Invalid key provided"}}"#,
                r#"{"type":"HEARTBEAT"}"#,
                "[[[[[[[[",
                "null",
            ],
        )
        .into(),
        _ => (0..rng.below(60))
            .map(|_| char::from(rng.below(128) as u8))
            .collect(),
    };
    if rng.below(3) == 0 {
        mutated(rng, &text)
    } else {
        text
    }
}

#[test]
fn signaling_frames_to_a_host() {
    let mut rng = rng("signaling frames to a host");
    for _ in 0..INPUTS / 40 {
        let mut room = Room::new(Config::default().with_verbose(true));
        let honest = room.add(Config::default());
        for _ in 0..40 {
            let text = signaling_frame(&mut rng, "dc_0", "{}");
            room.frame_to(HOST, &text);
            if rng.below(10) == 0 {
                room.pass(Duration::from_millis(rng.below(3000)));
            }
            let network = &room.nodes[HOST].network;
            assert!(network.links.len() <= 8 && network.roster.len() <= 8);
            assert!(network.nodes().any(|node| node == room.id(honest)));
        }
        for node in &mut room.nodes {
            node.finish();
        }
    }
}

#[test]
fn signaling_frames_to_a_joiner() {
    let mut rng = rng("signaling frames to a joiner");
    let mut frames = 0;
    while frames < INPUTS {
        let seed = rng.below(200) as u8;
        let mut bare = match rng.below(3) {
            0 => Bare::offering(Config::default().with_verbose(true), seed),
            1 => Bare::admitted(Config::default().with_verbose(true), seed),
            _ => Bare::welcomed(Config::default().with_verbose(true), seed),
        };
        let (connection, answer) = (bare.connection.clone(), bare.answer());
        for _ in 0..20 {
            let text = signaling_frame(&mut rng, &connection, &answer);
            let _ = bare.frame(&text);
            frames += 1;
        }
        bare.joiner.finish();
    }
}

// Channel messages.

fn ack(rng: &mut Rng) -> Ack {
    Ack {
        next: one_of(rng, &[0, 1, 2, u64::MAX]),
        limit: one_of(rng, &[0, 1, 524_288, 524_320, 1_048_576, u64::MAX]),
        idle: one_of(rng, &[0, 5_000, u32::MAX]),
    }
}

fn piece(rng: &mut Rng) -> Piece {
    let length = one_of(rng, &[0, 1, 100, 1024, 16_384]);
    let total = one_of(
        rng,
        &[
            None,
            Some(length),
            Some(0),
            Some(5000),
            Some(262_144),
            Some(u32::MAX),
        ],
    );
    Piece {
        total,
        payload: vec![1; length as usize].into(),
    }
}

fn body(rng: &mut Rng) -> Body {
    match rng.below(5) {
        0 => Body::Ack(ack(rng)),
        1 => Body::State(State {
            sequence: rng.u64() as u32,
            payload: vec![2; rng.below(2000) as usize].into(),
        }),
        _ => Body::Message {
            sequence: one_of(rng, &[0, 0, 1, 2, 3, u64::MAX]),
            piece: piece(rng),
        },
    }
}

fn signal(rng: &mut Rng) -> Signal {
    Signal {
        epoch: one_of(rng, &[0, 0, 0, 1]),
        attempt: one_of(rng, &[0, 1, 1, 2, u32::MAX]),
        step: one_of(
            rng,
            &[Step::Offer, Step::Answer, Step::Candidate, Step::GiveUp],
        ),
        flag: rng.below(2) == 0,
        text: one_of(
            rng,
            &[
                &b"v=0"[..],
                b"",
                b"\xff\xfe",
                b"candidate:1 1 udp 1 h 5 typ host",
            ],
        )
        .into(),
    }
}

/// A star or a mesh.
fn any_topology(rng: &mut Rng) -> Config {
    Config::default().with_topology(one_of(rng, &[Topology::Star, Topology::Mesh]))
}

/// Any frame, with numbers that mean something now and then.
fn frame(rng: &mut Rng) -> Frame {
    let number = |rng: &mut Rng| -> Number { one_of(rng, &[0, 1, 2, 3, 4, 5, 77, 65_535]) };
    let node = NodeId::from_bytes([rng.below(60) as u8; 16]);
    match rng.below(24) {
        0 => Frame::Hello(Hello {
            version: Version::OURS,
            node,
        }),
        1 => Frame::Welcome(Welcome {
            epoch: 0,
            number: number(rng),
            token: Token([0; 16]),
            roster: vec![
                Member {
                    number: 0,
                    node: HOST_ID,
                },
                Member {
                    number: number(rng),
                    node,
                },
            ],
        }),
        2 => Frame::Joined(Member {
            number: number(rng),
            node,
        }),
        3 => Frame::Left {
            number: number(rng),
            why: Farewell::Left,
        },
        4 if rng.below(4) == 0 => Frame::Goodbye(Farewell::Kicked),
        5 => Frame::Ping { stamp: 7 },
        6 => Frame::Pong {
            stamp: rng.u64() as u32,
        },
        7..=9 => Frame::Direct(body(rng)),
        10 | 11 => Frame::From {
            origin: number(rng),
            body: body(rng),
        },
        12 | 13 => {
            let to = (0..rng.below(5))
                .map(|_| (number(rng), one_of(rng, &[0, 0, 0, 1, 2])))
                .collect();
            Frame::MessageTo {
                to,
                piece: piece(rng),
            }
        }
        14 => Frame::AckTo {
            to: number(rng),
            ack: ack(rng),
        },
        15 | 16 => Frame::SignalTo {
            to: number(rng),
            signal: signal(rng),
        },
        17 | 18 => Frame::SignalFrom {
            origin: number(rng),
            signal: signal(rng),
        },
        19 | 20 => Frame::StateTo {
            to: (0..rng.below(5)).map(|_| number(rng)).collect(),
            state: State {
                sequence: rng.u64() as u32,
                payload: vec![2; rng.below(2000) as usize].into(),
            },
        },
        21 => Frame::RoundTrips(vec![(number(rng), 5), (number(rng), u32::MAX)]),
        22 => Frame::Peer {
            epoch: 0,
            number: number(rng),
        },
        _ => Frame::Unknown,
    }
}

/// Random bytes, or one or more frames, whole or with some bytes changed.
fn channel_message(rng: &mut Rng) -> Bytes {
    if rng.below(8) == 0 {
        return (0..rng.below(60)).map(|_| rng.below(256) as u8).collect();
    }
    let count = one_of(rng, &[1, 1, 1, 2, 5, 300]);
    let frames: Vec<Frame> = (0..count).map(|_| frame(rng)).collect();
    let mut bytes = message(&frames).to_vec();
    if rng.below(4) == 0 && !bytes.is_empty() {
        for _ in 0..rng.below(4) {
            let place = rng.below(bytes.len() as u64) as usize;
            bytes[place] = rng.below(256) as u8;
        }
        if rng.below(3) == 0 {
            bytes.truncate(rng.below(bytes.len() as u64) as usize);
        }
    }
    bytes.into()
}

#[test]
fn channel_messages_to_a_host() {
    let mut rng = rng("channel messages to a host");
    let mut said = 0;
    while said < INPUTS {
        let mut room = Room::new(any_topology(&mut rng).with_max_nodes(6).unwrap());
        let honest = [room.add(Config::default()), room.add(Config::default())];
        let hands = [room.add_by_hand(), room.add_silent(), room.add_by_hand()];
        for _ in 0..12 {
            let link = one_of(&mut rng, &hands);
            let channel = one_of(&mut rng, &[Channel::Data, Channel::Data, Channel::State]);
            room.say_bytes(link, channel, channel_message(&mut rng));
            said += 1;
            if rng.below(6) == 0 {
                room.pass(Duration::from_millis(rng.below(2500)));
            }
        }
        // Whoever broke the rules is out, and the honest ones do not notice.
        for (node, other) in [(honest[0], honest[1]), (honest[1], HOST), (HOST, honest[0])] {
            let before = room.messages(node).len();
            let to = room.id(node);
            let sent = room.call(other, |network, now| {
                network.send_to(now, to, Bytes::from_static(b"still here"))
            });
            assert_eq!(sent, Ok(()));
            let got = room.messages(node).split_off(before);
            assert_eq!(got, [(room.id(other), Bytes::from_static(b"still here"))]);
        }
        let roster: Vec<_> = room.nodes[HOST].network.nodes().collect();
        for node in honest {
            assert_eq!(room.nodes[node].network.nodes().collect::<Vec<_>>(), roster);
        }
        for node in &mut room.nodes {
            node.finish();
        }
    }
}

#[test]
fn channel_messages_to_a_joiner() {
    let mut rng = rng("channel messages to a joiner");
    let mut said = 0;
    while said < INPUTS {
        let seed = rng.below(200) as u8;
        let mut bare = match rng.below(4) {
            0 => Bare::admitted(any_topology(&mut rng), seed),
            1 => Bare::linked(seed),
            _ => Bare::welcomed(any_topology(&mut rng), seed),
        };
        for _ in 0..10 {
            let channel = one_of(&mut rng, &[Channel::Data, Channel::Data, Channel::State]);
            let payload = channel_message(&mut rng);
            let link = one_of(&mut rng, &[LINK, LINK, DIRECT, LinkId(2)]);
            let _ = bare.update_of(link, LinkUpdate::Message { channel, payload });
            said += 1;
        }
        bare.joiner.finish();
    }
}

/// One channel message with as many frames as it may carry, each with as many targets.
#[test]
fn the_largest_channel_message_stays_within_the_bound() {
    let mut room = Room::new(Config::default().with_max_nodes(64).unwrap());
    for _ in 0..40 {
        room.add_by_hand();
    }
    let hand = room.add_by_hand();
    let all: Vec<Number> = room.hands.values().map(|hand| hand.number).collect();
    let me = room.hands[&hand].number;
    let frames: Vec<Frame> = (0..256)
        .map(|sequence| Frame::MessageTo {
            to: core::iter::once(0)
                .chain(all.iter().copied().filter(|number| *number != me))
                .map(|number| (number, sequence))
                .collect(),
            piece: Piece {
                total: Some(0),
                payload: Bytes::new(),
            },
        })
        .collect();
    // The room's laws count the outputs.
    room.say(hand, &frames);
    assert_eq!(room.messages(HOST).len(), 256);
}

// Links, times, calls.

fn link_update(rng: &mut Rng) -> LinkUpdate<'static> {
    let channel = one_of(rng, &Channel::ALL);
    match rng.below(10) {
        0 => LinkUpdate::LocalDescription(one_of(rng, &["", "v=0"])),
        1 => LinkUpdate::LocalCandidate(one_of(rng, &["", "candidate:1 1 udp 1 h 5 typ host"])),
        2 => LinkUpdate::Connected,
        3 => LinkUpdate::ChannelOpened(channel),
        4 => LinkUpdate::Message {
            channel,
            payload: channel_message(rng),
        },
        5 => LinkUpdate::BufferedAmount {
            channel,
            bytes: one_of(rng, &[0, 1, 20_000, u32::MAX]),
        },
        6 => LinkUpdate::Alive {
            round_trip: one_of(rng, &[None, Some(Duration::ZERO), Some(Duration::MAX)]),
        },
        7 => LinkUpdate::Disconnected,
        8 if rng.below(6) == 0 => LinkUpdate::Failed(LinkFailure::Dtls),
        9 if rng.below(6) == 0 => LinkUpdate::Closed,
        _ => LinkUpdate::Connected,
    }
}

/// Later, the same, earlier, or much later.
fn moved(rng: &mut Rng, now: Timestamp) -> Timestamp {
    let nanos = now.as_nanos();
    Timestamp::from_nanos(match rng.below(8) {
        0..=2 => nanos,
        3 | 4 => nanos + rng.below(50_000_000),
        5 => nanos.saturating_sub(rng.below(5_000_000_000)),
        6 => 0,
        _ => nanos + rng.below(3_000_000_000),
    })
}

fn call(rng: &mut Rng, node: &mut Watched, now: Timestamp) {
    let target = one_of(
        rng,
        &[
            HOST_ID,
            NodeId::from_bytes([52; 16]),
            NodeId::from_bytes([200; 16]),
            node.network.id(),
        ],
    );
    let payload = Bytes::from(vec![3; one_of(rng, &[0, 1, 20_000, 262_144, 262_145])]);
    match rng.below(12) {
        0 => {
            let code = Some(CODE.parse().unwrap());
            let code = if rng.below(2) == 0 { code } else { None };
            let _ = node.begin(now, |network| {
                network.host(now, Hosting::Signaling { code })
            });
        }
        1 => {
            let address = one_of(rng, &["192.168.1.42:9000", "0.0.0.0:0"])
                .parse()
                .unwrap();
            let _ = node.begin(now, |network| network.host(now, Hosting::Lan { address }));
        }
        2 => {
            let code = one_of(rng, &[CODE, "L1HGE14A-6Y0"]).parse().unwrap();
            let _ = node.begin(now, |network| network.join(now, &code));
        }
        3 => drop(node.call(now, |network| network.leave(now))),
        4 => drop(node.call(now, |network| network.kick(now, target))),
        5 | 6 => drop(node.call(now, |network| network.broadcast(now, payload))),
        7 | 8 => drop(node.call(now, |network| network.send_to(now, target, payload))),
        9 => drop(node.call(now, |network| network.broadcast_state(now, payload))),
        10 => {
            let bytes = one_of(rng, &[0, 1, u32::MAX]);
            drop(node.call(now, |network| network.release(now, target, bytes)));
        }
        _ => {
            let stats = node.network.stats(now);
            assert_eq!(stats.status, node.network.status());
        }
    }
}

#[test]
fn link_updates_in_any_order() {
    let mut rng = rng("link updates");
    for round in 0..INPUTS / 30 {
        let mut room = Room::new(any_topology(&mut rng));
        let hands = [room.add_by_hand(), room.add_silent()];
        let gone = room.add_by_hand();
        room.say(gone, &[Frame::Goodbye(Farewell::Left)]);
        // One that is still joining: nobody plays its link.
        let node = NodeId::from_bytes([33; 16]);
        let offer = offer_frame("late", "dc_late", node, "end 0 9");
        room.frame_to(HOST, &offer);
        let joining = LinkId(3);
        let links = [
            hands[0],
            hands[1],
            gone,
            joining,
            LinkId(99),
            LinkId(u64::MAX),
        ];
        let mut bare = match round % 4 {
            0 => Bare::offering(any_topology(&mut rng), 1),
            1 => Bare::admitted(any_topology(&mut rng), 2),
            2 => Bare::linked(4),
            _ => Bare::welcomed(any_topology(&mut rng), 3),
        };
        for _ in 0..30 {
            room.tell_host(one_of(&mut rng, &links), link_update(&mut rng));
            let link = one_of(&mut rng, &[LINK, LINK, DIRECT, LinkId(2), LinkId(7)]);
            let update = link_update(&mut rng);
            let _ = bare.joiner.input(bare.now, Input::Link { link, update });
        }
        room.nodes[HOST].finish();
        bare.joiner.finish();
    }
}

/// Everything at once, at times that jump about: calls, links, signaling, the embedded server.
#[test]
fn anything_in_any_order_at_any_time() {
    let mut rng = rng("anything");
    for round in 0..120u8 {
        let credit = one_of(&mut rng, &[Credit::OnPoll, Credit::OnRelease]);
        let config = any_topology(&mut rng)
            .with_verbose(true)
            .with_credit(credit);
        let (mut node, mut now, connection) = match round % 4 {
            0 => {
                let bare = Bare::welcomed(config, round);
                (bare.joiner, bare.now, bare.connection)
            }
            1 => {
                let mut room = Room::new(config);
                room.add_by_hand();
                (room.nodes.remove(HOST), room.now, "dc_0".into())
            }
            _ => (
                Watched::new(config, [round; 32]),
                Timestamp::ZERO,
                "dc_0".into(),
            ),
        };
        for _ in 0..60 {
            now = moved(&mut rng, now);
            match rng.below(10) {
                0..=3 => call(&mut rng, &mut node, now),
                4 => {
                    let link = LinkId(rng.below(6));
                    let update = link_update(&mut rng);
                    let _ = node.input(now, Input::Link { link, update });
                }
                5 | 6 => {
                    let text = signaling_frame(&mut rng, &connection, "{}");
                    let id = SignalingId(rng.below(4));
                    let update = match rng.below(6) {
                        0 => SignalingUpdate::Opened(id),
                        1 => SignalingUpdate::Closed(id, SignalingFailure::Closed),
                        2 => SignalingUpdate::Frame(id, OPEN),
                        _ => SignalingUpdate::Frame(id, &text),
                    };
                    let _ = node.input(now, Input::Signaling(update));
                }
                7 => {
                    let connection = ConnectionId(rng.below(3));
                    let text = signaling_frame(&mut rng, "dc_0", "{}");
                    let peer = [10, 0, 0, 1].into();
                    let input = match rng.below(4) {
                        0 => ServerInput::Accepted { connection, peer },
                        1 => ServerInput::Request {
                            connection,
                            peer,
                            method: "GET",
                            target: "/peerjs?key=peerjs&id=peer&token=t",
                            upgrade: true,
                        },
                        2 => ServerInput::Closed { connection },
                        _ => {
                            let text = &text;
                            ServerInput::Frame { connection, text }
                        }
                    };
                    let _ = node.input(now, Input::Server(input));
                }
                _ => drop(node.wake(now)),
            }
        }
        node.finish();
    }
}

/// Law 4: whatever a joiner hears or does not hear, it is in or out when its time is over.
#[test]
fn every_join_comes_to_its_end_by_itself() {
    let timeouts = Config::default().timeouts;
    let expected = [timeouts.signaling, timeouts.ice, timeouts.grace];
    for (stage, expected) in expected.into_iter().enumerate() {
        let mut bare = match stage {
            0 => Bare::offering(Config::default(), 1),
            1 => Bare::admitted(Config::default(), 2),
            _ => Bare::welcomed(Config::default(), 3),
        };
        let (start, mut end) = (bare.now, bare.now);
        while bare.joiner.network.status() != Status::Idle {
            let at = bare.joiner.network.poll_timeout().expect("law 4");
            assert!(at >= end, "law 2: {at}");
            end = at;
            let _ = bare.joiner.wake(at);
        }
        assert_eq!(end.since(start), expected, "law 4: it ends when it must");
        bare.joiner.finish();
    }
}

/// Law 2: what was due is done once, and nothing is scheduled in the past.
#[test]
fn a_clock_that_goes_back_delays_nothing_and_repeats_nothing() {
    let mut room = Room::new(Config::default());
    room.add(Config::default());
    room.pass(Duration::from_secs(60));
    let host = &mut room.nodes[HOST];
    let before = host.network.poll_timeout();
    for millis in [30_000, 0, 59_999] {
        let outputs = host.wake(Timestamp::from_millis(millis));
        assert!(outputs.is_empty(), "{}", format!("{outputs:?}"));
        assert_eq!(host.network.poll_timeout(), before);
    }
}

fn trace(network: &mut Network) -> Vec<String> {
    core::iter::from_fn(|| network.poll_output())
        .map(|output| format!("{output:?}"))
        .collect()
}

/// Calls of `handle_timeout` before anything is due change nothing at all.
#[test]
fn spurious_wake_ups_change_nothing() {
    let run = |spurious: bool| {
        let mut rng = rng("spurious");
        let mut bare = Bare::welcomed(Config::default(), 5);
        let network = &mut bare.joiner.network;
        let (mut now, mut all) = (bare.now, Vec::new());
        for sequence in 0..200 {
            let step = now.plus(Duration::from_millis(rng.below(90)));
            while let Some(at) = network.poll_timeout().filter(|at| *at <= step) {
                network.handle_timeout(at);
                all.extend(trace(network));
            }
            now = step;
            if spurious {
                for _ in 0..3 {
                    network.handle_timeout(now);
                }
            }
            let piece = Piece {
                total: Some(900),
                payload: vec![1; 900].into(),
            };
            let frame = Frame::Direct(Body::Message { sequence, piece });
            let update = LinkUpdate::Message {
                channel: Channel::Data,
                payload: message(&[frame]),
            };
            network.handle_input(now, Input::Link { link: LINK, update });
            let _ = network.broadcast(now, vec![sequence as u8; 700].into());
            all.extend(trace(network));
            all.push(format!("{:?}", network.poll_timeout()));
        }
        all
    };
    assert!(run(false).len() > 300);
    assert_eq!(run(false), run(true));
}

/// Draining after each input or after all that came at one moment gives the same.
#[test]
fn when_outputs_are_taken_makes_no_difference() {
    let run = |each: bool| {
        let mut rng = rng("draining");
        let mut bare = Bare::welcomed(Config::default(), 6);
        let network = &mut bare.joiner.network;
        let (mut now, mut all, mut sequence) = (bare.now, Vec::new(), 0);
        for _ in 0..150 {
            now = now.plus(Duration::from_millis(rng.below(300)));
            network.handle_timeout(now);
            all.extend(trace(network));
            for _ in 0..rng.below(6) {
                let piece = Piece {
                    total: Some(9000),
                    payload: vec![1; 9000].into(),
                };
                let frame = Frame::Direct(Body::Message { sequence, piece });
                sequence += 1;
                let update = LinkUpdate::Message {
                    channel: Channel::Data,
                    payload: message(&[frame]),
                };
                network.handle_input(now, Input::Link { link: LINK, update });
                if each {
                    all.extend(trace(network));
                }
                let _ = network.broadcast(now, vec![2; 300].into());
                if each {
                    all.extend(trace(network));
                }
            }
            all.extend(trace(network));
            all.push(format!("{:?}", network.poll_timeout()));
        }
        all
    };
    assert!(run(true).len() > 500);
    assert_eq!(run(true), run(false));
}
