//! What one joiner can do to the others: nothing.

use alloc::format;
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
fn what_is_for_nodes_that_are_gone_is_dropped() {
    let (mut room, honest, hand) = four();
    let piece = whole(b"anybody there?");
    room.say(hand, &[to(&[(77, 0)], piece.clone()), to(&[], piece)]);
    let ack = Ack { next: 0, limit: 0 };
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
