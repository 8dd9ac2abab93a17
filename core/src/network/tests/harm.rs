//! What one joiner can do to the others: nothing.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::room::{HOST, Room};
use crate::config::Config;
use crate::event::{Event, LeaveReason};
use crate::id::LinkId;
use crate::io::{Channel, Input, LinkUpdate};
use crate::network::Role;
use crate::network::tests::room::{OPEN, message, offer_frame};
use crate::signaling::{SignalingFailure, SignalingUpdate};
use crate::wire::{Ack, Body, Farewell, Frame, Member, Number, Piece, State};

fn whole(payload: &'static [u8]) -> Piece {
    Piece {
        total: Some(payload.len() as u32),
        payload: Bytes::from_static(payload),
    }
}

fn to(targets: &[(Number, u64)], piece: Piece) -> Frame {
    Frame::MessageTo {
        to: targets.to_vec(),
        piece,
    }
}

fn direct(sequence: u64, piece: Piece) -> Frame {
    Frame::Direct(Body::Message { sequence, piece })
}

/// A host, two honest joiners and one written by hand, in this order.
fn four() -> (Room, [usize; 2], LinkId) {
    let mut room = Room::new(Config::default());
    let honest = [room.add(Config::default()), room.add(Config::default())];
    let hand = room.add_by_hand();
    (room, honest, hand)
}

fn number(room: &Room, node: usize) -> Number {
    room.nodes[node].network.me
}

fn left(room: &Room, node: usize, hand: LinkId) -> Option<LeaveReason> {
    let who = room.hands[&hand].node;
    room.nodes[node]
        .events
        .iter()
        .find_map(|event| match event {
            Event::NodeLeft { node, reason } if *node == who => Some(*reason),
            _ => None,
        })
}

/// Bytes and frames that wait in the host for this link.
fn queued(room: &Room, link: LinkId) -> (usize, usize) {
    let network = &room.nodes[HOST].network;
    network
        .links
        .get(&link)
        .map_or((0, 0), |link| link.channels.waiting())
}

/// The honest nodes hear each other, in order, and nobody else.
fn assert_unharmed(room: &mut Room, honest: [usize; 2]) {
    let all = [HOST, honest[0], honest[1]];
    let before: Vec<usize> = all.iter().map(|node| room.messages(*node).len()).collect();
    for round in 0..3 {
        for node in all {
            let text = format!("{node} {round}");
            room.call(node, |network, now| network.broadcast(now, text.into()))
                .unwrap();
        }
    }
    let ids: Vec<_> = all.iter().map(|node| room.id(*node)).collect();
    for (node, before) in all.into_iter().zip(before) {
        assert_eq!(
            room.nodes[node].network.nodes().collect::<Vec<_>>()[..3],
            ids
        );
        let heard: Vec<_> = room.messages(node).split_off(before);
        for (other, id) in all
            .into_iter()
            .zip(&ids)
            .filter(|(other, _)| *other != node)
        {
            let from: Vec<_> = heard
                .iter()
                .filter(|(from, _)| from == id)
                .map(|(_, payload)| payload.clone())
                .collect();
            let expected: Vec<Bytes> = (0..3)
                .map(|round| format!("{other} {round}").into())
                .collect();
            assert_eq!(from, expected, "{other} to {node}");
        }
    }
}

#[test]
fn each_wrong_frame_ends_its_sender_and_nobody_else() {
    type Wrong = fn(&Room, LinkId) -> Vec<Frame>;
    let cases: [(&str, Wrong); 18] = [
        ("a welcome to the host", |_, _| {
            vec![Frame::Welcome(crate::wire::Welcome {
                epoch: 0,
                number: 1,
                token: crate::wire::Token([0; 16]),
                roster: vec![],
            })]
        }),
        ("a node that is not its to announce", |_, _| {
            let node = crate::id::NodeId::from_bytes([9; 16]);
            vec![Frame::Joined(Member { number: 9, node })]
        }),
        ("another's leaving", |_, _| {
            let why = Farewell::Kicked;
            vec![Frame::Left { number: 1, why }]
        }),
        ("a forged origin", |_, _| {
            let body = Body::Message {
                sequence: 0,
                piece: whole(b"I am the first joiner"),
            };
            vec![Frame::From { origin: 1, body }]
        }),
        ("a sequence too far", |_, _| vec![direct(5, whole(b"a"))]),
        ("a piece without a first", |_, _| {
            let payload = Bytes::from_static(b"a");
            vec![direct(
                0,
                Piece {
                    total: None,
                    payload,
                },
            )]
        }),
        ("a message that is too large", |_, _| {
            let payload = Bytes::from(vec![0; 2000]);
            let total = Some(256 * 1024 + 1);
            vec![direct(0, Piece { total, payload })]
        }),
        ("the same for a joiner", |_, _| {
            let payload = Bytes::from(vec![0; 2000]);
            let total = Some(256 * 1024 + 1);
            vec![to(&[(1, 0)], Piece { total, payload })]
        }),
        ("over credit to a joiner", |_, _| {
            (0..3u64)
                .flat_map(|sequence| {
                    (0..16u32).map(move |nth| {
                        let payload = Bytes::from(vec![0; 16 * 1024]);
                        let total = (nth == 0).then_some(256 * 1024);
                        to(&[(1, sequence)], Piece { total, payload })
                    })
                })
                .collect()
        }),
        ("an acknowledgement of what was never sent", |_, _| {
            vec![Frame::Direct(Body::Ack(Ack {
                next: 1,
                limit: 0,
                idle: 0,
            }))]
        }),
        ("an absurd grant", |_, _| {
            let limit = u64::MAX;
            vec![Frame::Direct(Body::Ack(Ack {
                next: 0,
                limit,
                idle: 0,
            }))]
        }),
        ("an absurd grant to a joiner", |_, _| {
            let limit = u64::MAX;
            vec![Frame::AckTo {
                to: 1,
                ack: Ack {
                    next: 0,
                    limit,
                    idle: 0,
                },
            }]
        }),
        ("a message to itself", |room, hand| {
            vec![to(&[(room.hands[&hand].number, 0)], whole(b"me"))]
        }),
        ("an acknowledgement to itself", |room, hand| {
            let to = room.hands[&hand].number;
            vec![Frame::AckTo {
                to,
                ack: Ack {
                    next: 0,
                    limit: 0,
                    idle: 0,
                },
            }]
        }),
        ("the host twice", |_, _| {
            vec![to(&[(0, 0), (0, 1)], whole(b"x"))]
        }),
        ("a joiner twice", |_, _| {
            vec![to(&[(1, 0), (1, 1)], whole(b"x"))]
        }),
        ("crumbs for a joiner", |_, _| {
            let payload = Bytes::from_static(b"x");
            vec![to(
                &[(1, 0)],
                Piece {
                    total: Some(9000),
                    payload,
                },
            )]
        }),
        ("a second hello", |room, hand| {
            let node = room.hands[&hand].node;
            let version = crate::wire::Version::OURS;
            vec![Frame::Hello(crate::wire::Hello { version, node })]
        }),
    ];
    for (what, frames) in cases {
        let (mut room, honest, hand) = four();
        let frames = frames(&room, hand);
        for frame in frames {
            room.say(hand, &[frame]);
        }
        for node in [HOST, honest[0], honest[1]] {
            assert_eq!(
                left(&room, node, hand),
                Some(LeaveReason::Misbehaved),
                "{what}"
            );
        }
        let goodbye = Frame::Goodbye(Farewell::Misbehaved);
        assert_eq!(room.hands[&hand].heard.last(), Some(&goodbye), "{what}");
        assert!(room.hands[&hand].closed, "{what}");
        assert_unharmed(&mut room, honest);
        for node in &mut room.nodes {
            node.finish();
        }
    }
}

#[test]
fn who_never_says_hello_does_not_stay_a_node() {
    let mut room = Room::new(Config::default());
    let honest = room.add(Config::default());
    let hand = room.add_silent();
    room.pass_alive(Duration::from_secs(9));
    assert_eq!(left(&room, HOST, hand), None);
    room.pass_alive(Duration::from_secs(2));
    assert_eq!(left(&room, HOST, hand), Some(LeaveReason::Lost));
    assert_eq!(left(&room, honest, hand), Some(LeaveReason::Lost));
}

#[test]
fn what_is_for_nodes_that_are_gone_is_dropped() {
    let (mut room, honest, hand) = four();
    let piece = whole(b"anybody there?");
    room.say(hand, &[to(&[(77, 0)], piece.clone()), to(&[], piece)]);
    let ack = Ack {
        next: 0,
        limit: 0,
        idle: 0,
    };
    room.say(hand, &[Frame::AckTo { to: 77, ack }]);
    assert_eq!(left(&room, HOST, hand), None);
    assert_unharmed(&mut room, honest);
}

/// PROTOCOL.md, section 3, item 6: a joiner speaks as another, and mutes it with a huge number.
#[test]
fn nobody_is_muted_by_another_ones_states() {
    let (mut room, honest, hand) = four();
    let huge = Body::State(State {
        sequence: u32::MAX / 2,
        payload: Bytes::from_static(b"loud"),
    });
    room.say_bytes(hand, Channel::State, message(&[Frame::Direct(huge)]));
    room.call(honest[0], |network, now| {
        network.broadcast_state(now, Bytes::from_static(b"quiet"))
    })
    .unwrap();
    let quiet = room.id(honest[0]);
    let heard = |node: usize| {
        room.nodes[node].events.iter().any(|event| {
            matches!(event, Event::State { from, payload, .. } if *from == quiet && payload == "quiet")
        })
    };
    assert!(heard(HOST) && heard(honest[1]));
}

/// A message that never gets its last piece is the sender's fault, not the receiver's.
#[test]
fn a_message_that_stops_in_the_middle_gets_nobody_else_removed() {
    let (mut room, honest, hand) = four();
    let victim = number(&room, honest[0]);
    let payload = Bytes::from(vec![0; 2000]);
    let total = Some(256 * 1024);
    room.say(hand, &[to(&[(victim, 0)], Piece { total, payload })]);
    room.pass_alive(Duration::from_secs(100));
    assert_unharmed(&mut room, honest);
}

#[test]
fn a_flood_of_acknowledgements_fills_no_queue() {
    let (mut room, honest, hand) = four();
    let (victim, link) = (number(&room, honest[0]), room.link_to(honest[0]));
    // The victim said something that may be acknowledged, byte by byte.
    let to = room.hands[&hand].node;
    room.call(honest[0], |network, now| {
        network.send_to(now, to, vec![0; 10_000].into())
    })
    .unwrap();
    // Its channel is full.
    room.hold(link);
    room.call(HOST, |network, now| {
        network.broadcast(now, vec![0; 200 * 1024].into())
    })
    .unwrap();
    let before = queued(&room, link);
    for limit in 0..5_000 {
        let ack = Ack {
            next: 0,
            limit: 512 * 1024 + limit,
            idle: 0,
        };
        room.say(hand, &[Frame::AckTo { to: victim, ack }]);
    }
    let after = queued(&room, link);
    assert!(after.1 <= before.1 + 1, "{before:?} {after:?}");
    room.release(link);
    assert_unharmed(&mut room, honest);
}

#[test]
fn acknowledging_what_has_not_even_left_the_host_does_not_fill_it() {
    let (mut room, honest, hand) = four();
    room.hands.get_mut(&hand).unwrap().stuck = true;
    let mut cost = 0;
    for sequence in 0..1_000u64 {
        let sent = room.call(HOST, |network, now| {
            network.broadcast(now, vec![0; 64 * 1024].into())
        });
        assert_eq!(sent, Ok(()), "{sequence}");
        cost += 64 * 1024 + 32;
        let ack = Ack {
            next: sequence + 1,
            limit: cost + 512 * 1024,
            idle: 0,
        };
        room.say(hand, &[Frame::Direct(Body::Ack(ack))]);
        // The honest ones acknowledge in their own time.
        room.pass_alive(Duration::from_millis(5));
        assert!(queued(&room, hand).0 < 8 * 1024 * 1024);
    }
    assert!(left(&room, HOST, hand).is_some());
    assert_unharmed(&mut room, honest);
}

/// A node that leaves and comes back under its name, while one receiver is far behind.
#[test]
fn who_comes_back_is_announced_after_its_leaving() {
    let (mut room, honest, _) = four();
    let [back, behind] = honest;
    let link = room.link_to(behind);
    room.hold(link);
    for nth in 0..20u8 {
        room.call(back, |network, now| {
            network.broadcast(now, vec![nth; 16 * 1024].into())
        })
        .unwrap();
    }
    room.call(back, |network, now| network.leave(now));
    room.pass(Duration::from_millis(100));
    room.join(back);
    room.call(back, |network, now| {
        network.broadcast(now, Bytes::from_static(b"here again"))
    })
    .unwrap();
    room.release(link);
    let who = room.id(back);
    let story: Vec<_> = room.nodes[behind]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::NodeJoined { node } if *node == who => Some("joined"),
            Event::NodeLeft { node, .. } if *node == who => Some("left"),
            Event::Message { payload, .. } if payload == "here again" => Some("again"),
            Event::Message { .. } => Some("before"),
            _ => None,
        })
        .collect();
    let mut expected = vec!["joined"];
    expected.extend([&"before"; 20]);
    expected.extend(["left", "joined", "again"]);
    assert_eq!(story, expected);
}

/// A receiver that is behind but moves is not too slow: its way is narrow.
#[test]
fn a_narrow_way_is_not_a_slow_reader() {
    let (mut room, honest, _) = four();
    let link = room.link_to(honest[0]);
    room.hold(link);
    room.call(HOST, |network, now| {
        network.broadcast(now, vec![0; 256 * 1024].into())
    })
    .unwrap();
    for nth in 1..16u32 {
        let update = LinkUpdate::BufferedAmount {
            channel: Channel::Data,
            bytes: (16 - nth) * 8 * 1024,
        };
        room.pass_alive(Duration::from_secs(1));
        room.tell_host(link, update);
    }
    room.release(link);
    assert_unharmed(&mut room, honest);
}

/// The host's own connection to the signaling server breaks between the offer and the answer.
#[test]
fn an_answer_that_found_no_server_is_sent_when_it_is_back() {
    let mut room = Room::new(Config::default());
    let host = &mut room.nodes[HOST];
    let node = crate::id::NodeId::from_bytes([5; 16]);
    let now = room.now;
    let sent = |outputs: Vec<crate::io::Output>| -> Vec<String> {
        outputs
            .into_iter()
            .filter_map(|output| match output {
                crate::io::Output::Signaling(crate::signaling::SignalingCommand::Send(_, text)) => {
                    Some(text)
                }
                _ => None,
            })
            .collect()
    };
    let first = crate::signaling::SignalingId(0);
    let offer = offer_frame("peer", "dc_x", node, "an offer");
    let _ = host.input(now, Input::Signaling(SignalingUpdate::Frame(first, &offer)));
    let closed = SignalingUpdate::Closed(first, SignalingFailure::Closed);
    let _ = host.input(now, Input::Signaling(closed));
    let link = LinkId::from_u64(0);
    for update in [
        LinkUpdate::LocalDescription("an answer"),
        LinkUpdate::LocalCandidate("candidate:1 1 udp 1 10.0.0.1 5 typ host"),
    ] {
        assert!(sent(host.input(now, Input::Link { link, update })).is_empty());
    }
    let at = host.network.poll_timeout().unwrap();
    let _ = host.wake(at);
    let second = crate::signaling::SignalingId(1);
    let texts = sent(host.input(at, Input::Signaling(SignalingUpdate::Frame(second, OPEN))));
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("an answer") && texts[1].contains("10.0.0.1"));
    // And again if the offer comes again, for the joiner may have missed both.
    let texts = sent(host.input(at, Input::Signaling(SignalingUpdate::Frame(second, &offer))));
    assert_eq!(texts.len(), 2, "{texts:?}");
}

#[test]
fn flows_of_nodes_that_left_are_forgotten() {
    let (mut room, honest, hand) = four();
    assert_unharmed(&mut room, honest);
    room.say(hand, &[Frame::Goodbye(Farewell::Left)]);
    for node in honest {
        room.call(node, |network, now| network.leave(now));
    }
    room.pass(Duration::from_secs(3));
    let network = &room.nodes[HOST].network;
    let Role::Host(host) = &network.role else {
        panic!("still a host")
    };
    assert_eq!(host.relay.len(), 0);
    assert!(network.pairs.is_empty() && network.links.is_empty());
    assert_eq!(network.roster.len(), 1);
}
