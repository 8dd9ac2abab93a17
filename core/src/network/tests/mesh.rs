//! What another joiner can do to a joiner in a mesh: nothing but keep its own words from it.

use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

use super::bare::{Bare, DIRECT, LINK, sent};
use crate::config::{Config, Timeouts, Topology};
use crate::event::{Event, LeaveReason, Route};
use crate::id::{LinkId, NodeId};
use crate::io::{LinkCommand, LinkUpdate, Output};
use crate::stats::Status;
use crate::wire::{Ack, Body, Farewell, Frame, Member, Piece, State, Step};

/// Number 2, to which there is a link, and number 4, which is relayed.
const TWO: NodeId = NodeId::from_bytes([52; 16]);
const FOUR: NodeId = NodeId::from_bytes([54; 16]);

fn message(sequence: u64, payload: &'static [u8]) -> Body {
    let total = Some(payload.len() as u32);
    let payload = Bytes::from_static(payload);
    let piece = Piece { total, payload };
    Body::Message { sequence, piece }
}

fn direct(sequence: u64, payload: &'static [u8]) -> Frame {
    Frame::Direct(message(sequence, payload))
}

fn relayed(sequence: u64, payload: &'static [u8]) -> Frame {
    let (origin, body) = (2, message(sequence, payload));
    Frame::From { origin, body }
}

fn heard(bare: &Bare) -> Vec<Bytes> {
    let messages = bare.joiner.events.iter().filter_map(|event| match event {
        Event::Message { payload, .. } => Some(payload.clone()),
        _ => None,
    });
    messages.collect()
}

fn routes(bare: &Bare) -> Vec<(NodeId, Route)> {
    let routes = bare.joiner.events.iter().filter_map(|event| match event {
        Event::NodeRoute { node, route } => Some((*node, *route)),
        _ => None,
    });
    routes.collect()
}

fn is_unharmed(bare: &Bare) -> bool {
    let network = &bare.joiner.network;
    network.status() == Status::Joined && network.nodes().count() == 4
}

fn closes(outputs: &[Output], wanted: LinkId) -> bool {
    outputs.iter().any(|output| match output {
        Output::Link { link, command } => *link == wanted && *command == LinkCommand::Close,
        _ => false,
    })
}

#[test]
fn the_first_frame_on_a_link_says_who_is_there() {
    let bare = Bare::linked(1);
    assert_eq!(routes(&bare), [(TWO, Route::Direct)]);
    for wrong in [
        direct(0, b"hasty"),
        Frame::Peer {
            epoch: 0,
            number: 4,
        },
        Frame::Peer {
            epoch: 1,
            number: 2,
        },
    ] {
        let mut bare = Bare::welcomed(Config::default().with_topology(Topology::Mesh), 1);
        let _ = bare.update_of(DIRECT, LinkUpdate::LocalDescription("an offer"));
        let _ = bare.signal(2, 1, Step::Answer, "an answer");
        let outputs = bare.say_directly(&[wrong]);
        assert!(closes(&outputs, DIRECT));
        assert!(heard(&bare).is_empty() && is_unharmed(&bare));
        bare.joiner.finish();
    }
}

#[test]
fn frames_that_are_the_hosts_end_the_link_and_nothing_else() {
    let member = Member {
        number: 9,
        node: NodeId::from_bytes([9; 16]),
    };
    for wrong in [
        Frame::Joined(member),
        Frame::Left {
            number: 4,
            why: Farewell::Left,
        },
        Frame::From {
            origin: 4,
            body: message(0, b"forged"),
        },
        Frame::MessageTo {
            to: vec![(4, 0)],
            piece: Piece {
                total: Some(0),
                payload: Bytes::new(),
            },
        },
        Frame::RoundTrips(vec![(4, 1)]),
    ] {
        let mut bare = Bare::linked(1);
        let outputs = bare.say_directly(&[wrong]);
        assert!(closes(&outputs, DIRECT));
        assert!(is_unharmed(&bare) && heard(&bare).is_empty());
        assert_eq!(routes(&bare).last(), Some(&(TWO, Route::Relayed)));
        bare.joiner.finish();
    }
}

#[test]
fn whichever_way_comes_first_a_message_is_told_once_and_in_order() {
    let mut bare = Bare::linked(1);
    let _ = bare.say(&[relayed(0, b"a"), relayed(1, b"b")]);
    let _ = bare.say_directly(&[direct(0, b"a"), direct(1, b"b"), direct(2, b"c")]);
    let _ = bare.say(&[relayed(2, b"c"), relayed(3, b"d")]);
    let _ = bare.say_directly(&[direct(3, b"d"), direct(4, b"e")]);
    assert_eq!(heard(&bare), ["a", "b", "c", "d", "e"]);
    assert!(is_unharmed(&bare));
    bare.joiner.finish();
}

#[test]
fn a_message_may_be_begun_on_one_way_and_ended_on_the_other() {
    let piece = |total, length| Piece {
        total,
        payload: vec![7; length].into(),
    };
    let body = |piece| Body::Message { sequence: 0, piece };
    let from = |body| Frame::From { origin: 2, body };
    let mut bare = Bare::linked(1);
    let first = || body(piece(Some(6000), 2000));
    let next = || body(piece(None, 2000));
    let _ = bare.say(&[from(first()), from(next())]);
    let _ = bare.say_directly(&[Frame::Direct(first()), Frame::Direct(next())]);
    assert!(heard(&bare).is_empty());
    let _ = bare.say_directly(&[Frame::Direct(next())]);
    let _ = bare.say(&[from(next())]);
    assert_eq!(heard(&bare).len(), 1);
    assert!(is_unharmed(&bare));
    bare.joiner.finish();
}

#[test]
fn lies_of_another_joiner_are_not_the_hosts() {
    let mut bare = Bare::linked(1);
    let ack = Ack {
        next: 99,
        limit: u64::MAX,
        idle: 0,
    };
    let large = Body::Message {
        sequence: 0,
        piece: Piece {
            total: Some(200_000),
            payload: vec![0; 16_000].into(),
        },
    };
    let mut frames = vec![Frame::From {
        origin: 2,
        body: Body::Ack(ack),
    }];
    // Far more than there is credit for, each left in the middle, with sequences that leave gaps.
    for sequence in (0..50).step_by(3) {
        let mut body = large.clone();
        if let Body::Message { sequence: own, .. } = &mut body {
            *own = sequence;
        }
        frames.push(Frame::From { origin: 2, body });
    }
    let _ = bare.say(&frames);
    assert!(is_unharmed(&bare));
    // The other joiner is heard as before.
    let hello = Frame::From {
        origin: 4,
        body: message(0, b"hello"),
    };
    let _ = bare.say(&[hello]);
    assert_eq!(heard(&bare), ["hello"]);
    bare.joiner.finish();
}

#[test]
fn an_acknowledgement_that_may_be_lost_is_said_again() {
    let mut bare = Bare::linked(1);
    let _ = bare.say_directly(&[direct(0, b"a")]);
    let due = bare.joiner.network.poll_timeout().unwrap();
    bare.now = due;
    let _ = bare.joiner.wake(due);
    // The link breaks; the sender may not have heard us.
    let outputs = bare.update_of(DIRECT, LinkUpdate::Closed);
    let acks = |outputs: &[Output]| {
        let frames = sent(outputs);
        let to_two = |frame: &&Frame| matches!(frame, Frame::AckTo { to: 2, ack } if ack.next == 1);
        frames.iter().filter(to_two).count()
    };
    assert_eq!(acks(&outputs), 1);
    // A repeated message is one whose acknowledgement was lost.
    let _ = bare.say(&[relayed(0, b"a")]);
    bare.now = bare.now.plus(core::time::Duration::from_millis(200));
    let outputs = bare.joiner.wake(bare.now);
    assert_eq!(acks(&outputs), 1);
    assert_eq!(heard(&bare), ["a"]);
    bare.joiner.finish();
}

#[test]
fn an_offer_replaces_the_link_and_a_late_one_does_not() {
    let mut bare = Bare::linked(1);
    // Number 4 is the later one: it offers to us.
    let outputs = bare.signal(4, 1, Step::Offer, "an offer");
    let accepted = |outputs: &[Output]| {
        outputs.iter().any(|output| {
            let Output::Link { command, .. } = output else {
                return false;
            };
            matches!(command, LinkCommand::AcceptOffer { .. })
        })
    };
    assert!(accepted(&outputs));
    assert!(!accepted(&bare.signal(4, 1, Step::Offer, "again")));
    assert!(!accepted(&bare.signal(4, 2, Step::Offer, "too soon")));
    bare.now = bare.now.plus(core::time::Duration::from_secs(1));
    let outputs = bare.signal(4, 3, Step::Offer, "a new one");
    assert!(accepted(&outputs) && closes(&outputs, LinkId(2)));
    // Number 2 is the earlier one: the host would not pass this on, and we would not take it.
    assert!(!accepted(&bare.signal(2, 9, Step::Offer, "not its turn")));
    assert!(is_unharmed(&bare));
    bare.joiner.finish();
}

#[test]
fn a_state_of_whom_we_have_no_link_to_comes_through_the_host() {
    let mut bare = Bare::linked(1);
    let now = bare.now;
    let (_, outputs) = bare.joiner.call(now, |network| {
        network.broadcast_state(now, Bytes::from_static(b"here"))
    });
    let state = State {
        sequence: 0,
        payload: Bytes::from_static(b"here"),
    };
    let mut frames = Vec::new();
    for output in &outputs {
        if let Output::Link {
            link,
            command: LinkCommand::Send { message, .. },
        } = output
        {
            let read = crate::wire::decode(message.to_bytes(), 256).unwrap();
            frames.extend(read.into_iter().map(|frame| (*link, frame)));
        }
    }
    let direct = Frame::Direct(Body::State(state.clone()));
    let to = vec![4, 0];
    assert_eq!(
        frames,
        [(LINK, Frame::StateTo { to, state }), (DIRECT, direct)]
    );
    bare.joiner.finish();
}

#[test]
fn without_the_host_the_linked_stay_and_the_others_have_left() {
    let mut bare = Bare::linked(1);
    let _ = bare.update(LinkUpdate::Closed);
    let left: Vec<_> = bare
        .joiner
        .events
        .iter()
        .filter_map(|event| match event {
            Event::NodeLeft { node, reason } => Some((*node, *reason)),
            _ => None,
        })
        .collect();
    assert_eq!(left.last(), Some(&(FOUR, LeaveReason::Lost)));
    assert_eq!(left.len(), 2);
    let lost = Event::HostLost {
        reason: LeaveReason::Lost,
    };
    assert!(bare.joiner.events.contains(&lost));
    let _ = bare.say_directly(&[direct(0, b"still here")]);
    assert_eq!(heard(&bare), ["still here"]);
    bare.joiner.finish();
}

#[test]
fn a_goodbye_that_the_host_does_not_know_of_is_not_waited_for_long() {
    for host_tells in [true, false] {
        let mut bare = Bare::linked(1);
        let direct = routes(&bare);
        let out = bare.say_directly(&[Frame::Goodbye(Farewell::Left)]);
        assert!(closes(&out, DIRECT));
        let _ = bare.update(LinkUpdate::Alive { round_trip: None });
        assert_eq!(routes(&bare), direct, "the way to it is of no use any more");
        if host_tells {
            let why = Farewell::Left;
            let _ = bare.say(&[Frame::Left { number: 2, why }]);
        }
        let _ = bare.joiner.wake(bare.now.plus(Timeouts::default().leave));
        let left = Event::NodeLeft {
            node: TWO,
            reason: LeaveReason::Left,
        };
        assert_eq!(bare.joiner.events.contains(&left), host_tells);
        let relayed = routes(&bare).contains(&(TWO, Route::Relayed));
        assert_eq!(relayed, !host_tells);
        bare.joiner.finish();
    }
}

#[test]
fn who_said_goodbye_has_left_when_the_host_goes() {
    for (why, reason) in [
        (Farewell::Left, LeaveReason::Left),
        (Farewell::Kicked, LeaveReason::Kicked),
    ] {
        let mut bare = Bare::linked(1);
        let _ = bare.say_directly(&[Frame::Goodbye(why)]);
        let _ = bare.update(LinkUpdate::Closed);
        let left = Event::NodeLeft { node: TWO, reason };
        assert!(bare.joiner.events.contains(&left));
        bare.joiner.finish();
    }
}
