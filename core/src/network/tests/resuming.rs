//! A new link in the place of an old one, and those who have no right to one.

use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::bare::Bare;
use super::room::{HOST, Room};
use crate::config::Config;
use crate::event::{Event, LeaveReason};
use crate::id::{LinkId, NodeId};
use crate::io::{LinkCommand, LinkFailure, LinkUpdate, Output};
use crate::wire::{Body, Farewell, Frame, Hello, Number, Piece, Resume, Resumed, Token, Version};

fn events(room: &Room, node: usize) -> &[Event] {
    &room.nodes[node].events
}

fn token(room: &Room, link: LinkId) -> Token {
    let heard = &room.hands[&link].heard;
    let welcome = heard.iter().find_map(|frame| match frame {
        Frame::Welcome(welcome) => Some(welcome.token),
        _ => None,
    });
    welcome.unwrap()
}

fn resume(node: NodeId, number: Number, token: Token) -> Frame {
    Frame::Resume(Resume {
        hello: Hello {
            version: Version::OURS,
            node,
        },
        number,
        token,
    })
}

fn whole(payload: &'static [u8]) -> Piece {
    Piece {
        total: Some(payload.len() as u32),
        payload: Bytes::from_static(payload),
    }
}

fn pieces(frames: &[Frame]) -> Vec<(u64, Bytes)> {
    let pieces = frames.iter().filter_map(|frame| match frame {
        Frame::Direct(Body::Message { sequence, piece })
        | Frame::From {
            body: Body::Message { sequence, piece },
            ..
        } => Some((*sequence, piece.payload.clone())),
        _ => None,
    });
    pieces.collect()
}

/// An honest host, an honest joiner, and one that is written by hand.
fn three() -> (Room, usize, LinkId, NodeId, Number) {
    let mut room = Room::new(Config::default());
    let honest = room.add(Config::default());
    let link = room.add_by_hand();
    let (node, number) = (room.hands[&link].node, room.hands[&link].number);
    (room, honest, link, node, number)
}

#[test]
fn who_has_the_token_takes_its_place_again_and_misses_nothing() {
    let (mut room, honest, old, node, number) = three();
    let secret = token(&room, old);
    let anything = Bytes::from_static(b"to all");
    room.call(HOST, |network, now| {
        network.broadcast(now, anything.clone())
    })
    .unwrap();
    room.call(honest, |network, now| {
        network.broadcast(now, Bytes::from_static(b"from afar"))
    })
    .unwrap();
    let failed = LinkUpdate::Failed(LinkFailure::Ice);
    room.tell_host(old, failed);
    assert!(events(&room, HOST).contains(&Event::NodeLost { node }));
    // What is said while it is away waits.
    room.call(HOST, |network, now| {
        network.broadcast(now, Bytes::from_static(b"meanwhile"))
    })
    .unwrap();

    let new = room.offer_again(node, number).unwrap();
    assert!(
        room.hands[&new].heard.is_empty(),
        "nothing before it is known"
    );
    room.say(new, &[resume(node, number, secret)]);
    let heard = room.hands[&new].heard.clone();
    let Some(Frame::Resumed(Resumed {
        roster, departed, ..
    })) = heard.first()
    else {
        panic!("{heard:?}")
    };
    assert_eq!((roster.len(), departed.len()), (3, 0));
    // It has acknowledged nothing: all comes again, in order, from the host and from the other.
    let said = [
        (0, Bytes::from_static(b"to all")),
        (1, Bytes::from_static(b"meanwhile")),
        (0, Bytes::from_static(b"from afar")),
    ];
    assert_eq!(pieces(&heard), said);
    assert!(events(&room, HOST).contains(&Event::NodeBack { node }));
    let gone = |event: &&Event| matches!(event, Event::NodeLeft { .. });
    assert_eq!(events(&room, HOST).iter().find(gone), None);
    // It goes on where it was.
    let body = Body::Message {
        sequence: 0,
        piece: whole(b"here I am"),
    };
    room.say(new, &[Frame::Direct(body)]);
    let from_it = room.messages(HOST);
    assert_eq!(from_it.last().unwrap().1, Bytes::from_static(b"here I am"));
}

#[test]
fn a_wrong_token_moves_nobody() {
    let (mut room, honest, old, node, number) = three();
    let thief = room.offer_again(node, number).unwrap();
    room.say(thief, &[resume(node, number, Token([9; 16]))]);
    assert_eq!(
        room.hands[&thief].heard,
        [Frame::Goodbye(Farewell::Lost)],
        "and not a word more"
    );
    room.pass(Duration::from_secs(3));
    assert!(room.hands[&thief].closed);
    assert!(!room.hands[&old].closed);
    for node_index in [HOST, honest] {
        assert_eq!(room.nodes[node_index].network.nodes().count(), 3);
    }
}

#[test]
fn what_comes_on_such_a_link_before_its_token_ends_it_and_nothing_else() {
    let secret = Token([0; 16]);
    let frames: [fn(NodeId, Number, Token) -> Frame; 5] = [
        |node, _, _| {
            Frame::Hello(Hello {
                version: Version::OURS,
                node,
            })
        },
        |_, _, _| {
            Frame::Direct(Body::Message {
                sequence: 0,
                piece: whole(b"early"),
            })
        },
        |_, number, _| Frame::Anew { number },
        |node, number, token| resume(node, number + 1, token),
        |_, number, token| resume(NodeId::from_bytes([7; 16]), number, token),
    ];
    for frame in frames {
        let (mut room, _, old, node, number) = three();
        let new = room.offer_again(node, number).unwrap();
        room.say(new, &[frame(node, number, secret)]);
        assert!(room.hands[&new].closed);
        assert!(!room.hands[&old].closed);
        assert_eq!(room.nodes[HOST].network.nodes().count(), 3);
        assert_eq!(room.messages(HOST), vec![]);
    }
}

#[test]
fn after_false_alarms_the_host_is_looked_for_once_it_is_suspected() {
    let opens = |output: &Output| match output {
        Output::Link { command, .. } => *command == LinkCommand::Open { offerer: true },
        _ => false,
    };
    let mut bare = Bare::welcomed(Config::default(), 1);
    let mut looked = Vec::new();
    for _ in 0..4 {
        let round_trip = Some(Duration::from_millis(20));
        let _ = bare.update(LinkUpdate::Alive { round_trip });
        let heard = bare.now;
        let mut outputs = Vec::new();
        while !outputs.iter().any(opens) {
            bare.now = bare.joiner.network.poll_timeout().unwrap();
            outputs = bare.joiner.wake(bare.now);
        }
        looked.push(bare.now.since(heard).as_millis());
    }
    assert_eq!(looked, [1_280, 1_280, 2_000, 2_000]);
    bare.joiner.finish();
}

#[test]
fn who_gives_up_before_it_knows_that_it_is_back_keeps_its_place() {
    let (mut room, _, old, node, number) = three();
    let secret = token(&room, old);
    let gone = |room: &Room| {
        let gone = |event: &&Event| matches!(event, Event::NodeLeft { .. });
        events(room, HOST).iter().filter(gone).count()
    };
    // Its network changes while RESUMED is on its way.
    for _ in 0..3 {
        let new = room.offer_again(node, number).unwrap();
        room.say(new, &[resume(node, number, secret)]);
        room.tell_host(new, LinkUpdate::Closed);
        assert_eq!(gone(&room), 0);
    }
    let new = room.offer_again(node, number).unwrap();
    room.say(new, &[resume(node, number, secret)]);
    let body = Body::Message {
        sequence: 0,
        piece: whole(b"here I am"),
    };
    room.say(new, &[Frame::Direct(body)]);
    assert_eq!(gone(&room), 0);
    room.tell_host(new, LinkUpdate::Closed);
    assert_eq!(gone(&room), 1, "it knew, and closed it");
}

#[test]
fn places_that_are_not_there_and_too_many_attempts_are_refused() {
    let (mut room, _, _, node, number) = three();
    assert_eq!(room.offer_again(node, number + 1), None, "another's number");
    assert_eq!(room.offer_again(NodeId::from_bytes([7; 16]), number), None);
    assert_eq!(room.offer_again(room.id(HOST), 0), None, "the host itself");
    assert!(room.offer_again(node, number).is_some());
    assert!(room.offer_again(node, number).is_some());
    assert_eq!(room.offer_again(node, number), None, "a third at once");
    // They take no places: the network is as full as before.
    let free = usize::from(Config::default().max_nodes) - 3;
    for _ in 0..free {
        room.add(Config::default());
    }
    room.call(HOST, |network, now| network.kick(now, node))
        .unwrap();
    assert_eq!(room.offer_again(node, number), None, "its place is gone");
}

#[test]
fn who_comes_back_hears_why_others_left() {
    let (mut room, honest, old, node, number) = three();
    let secret = token(&room, old);
    let (other, left) = (room.id(honest), room.id(honest));
    room.tell_host(old, LinkUpdate::Failed(LinkFailure::Ice));
    room.call(HOST, |network, now| network.kick(now, other))
        .unwrap();
    let reason = LeaveReason::Kicked;
    assert!(events(&room, HOST).contains(&Event::NodeLeft { node: left, reason }));
    let new = room.offer_again(node, number).unwrap();
    room.say(new, &[resume(node, number, secret)]);
    let Some(Frame::Resumed(resumed)) = room.hands[&new].heard.first() else {
        panic!("{:?}", room.hands[&new].heard)
    };
    assert_eq!(resumed.departed, [(1, Farewell::Kicked)]);
    assert_eq!(resumed.roster.len(), 2);
}

#[test]
fn everybody_is_told_who_is_away() {
    let (mut room, honest, old, node, number) = three();
    let secret = token(&room, old);
    let third = room.add_by_hand();
    room.tell_host(old, LinkUpdate::Failed(LinkFailure::Ice));
    assert!(events(&room, honest).contains(&Event::NodeLost { node }));
    assert!(room.hands[&third].heard.contains(&Frame::Away { number }));
    // Who comes now, and who comes back.
    let late = room.add(Config::default());
    assert!(events(&room, late).contains(&Event::NodeLost { node }));
    let (its_node, its_number) = (room.hands[&third].node, room.hands[&third].number);
    let its_secret = token(&room, third);
    let its_new = room.offer_again(its_node, its_number).unwrap();
    room.say(its_new, &[resume(its_node, its_number, its_secret)]);
    assert!(room.hands[&its_new].heard.contains(&Frame::Away { number }));
    let there = Frame::Back { number: 1 };
    assert!(room.hands[&its_new].heard.contains(&there));
    // It is back.
    let new = room.offer_again(node, number).unwrap();
    room.say(new, &[resume(node, number, secret)]);
    for one in [honest, late] {
        assert_eq!(events(&room, one).last(), Some(&Event::NodeBack { node }));
    }
    assert!(room.hands[&its_new].heard.contains(&Frame::Anew { number }));
}

#[test]
fn a_joiner_that_never_says_that_it_knows_is_heard_by_nobody_who_came_back() {
    let (mut room, honest, stubborn, _, _) = three();
    let third = room.add_by_hand();
    let (node, number, secret) = (
        room.hands[&third].node,
        room.hands[&third].number,
        token(&room, third),
    );
    let new = room.offer_again(node, number).unwrap();
    room.say(new, &[resume(node, number, secret)]);
    let anew = Frame::Anew { number };
    assert!(room.hands[&stubborn].heard.contains(&anew));
    let to_it = |sequence| Frame::MessageTo {
        to: vec![(number, sequence)],
        piece: whole(b"x"),
    };
    for sequence in 0..5 {
        room.say(stubborn, &[to_it(sequence)]);
    }
    assert_eq!(pieces(&room.hands[&new].heard), []);
    // When it does, it begins again with what was not acknowledged.
    room.say(stubborn, &[anew.clone(), to_it(0), to_it(1)]);
    let heard: Vec<u64> = pieces(&room.hands[&new].heard)
        .into_iter()
        .map(|(sequence, _)| sequence)
        .collect();
    assert_eq!(heard, [0, 1]);
    // Saying it again and again changes nothing, a gap is what it always was.
    room.say(stubborn, &[anew.clone(), anew, to_it(2)]);
    assert_eq!(pieces(&room.hands[&new].heard).len(), 3);
    room.say(stubborn, &[to_it(9)]);
    assert!(room.hands[&stubborn].closed);
    assert!(!room.hands[&new].closed);
    let _ = honest;
}

#[test]
fn what_is_sent_again_is_no_more_than_a_window() {
    let (mut room, _, greedy, _, _) = three();
    let third = room.add_by_hand();
    let (node, number, secret) = (
        room.hands[&third].node,
        room.hands[&third].number,
        token(&room, third),
    );
    let large = |sequence, payload: &Bytes| Frame::MessageTo {
        to: vec![(number, sequence)],
        piece: Piece {
            total: Some(payload.len() as u32),
            payload: payload.clone(),
        },
    };
    // Small ones the first time, and large ones under the same numbers the second.
    for sequence in 0..100 {
        room.say(greedy, &[large(sequence, &Bytes::from_static(b"x"))]);
    }
    let new = room.offer_again(node, number).unwrap();
    room.say(new, &[resume(node, number, secret)]);
    room.say(greedy, &[Frame::Anew { number }]);
    let payload = Bytes::from(vec![1; 16 * 1024]);
    for sequence in 0..40 {
        room.say(greedy, &[large(sequence, &payload)]);
    }
    assert!(room.hands[&greedy].closed);
    assert!(!room.hands[&new].closed);
    let passed: usize = pieces(&room.hands[&new].heard)
        .iter()
        .map(|(_, payload)| payload.len())
        .sum();
    assert!(passed <= 512 * 1024, "{passed}");
}
