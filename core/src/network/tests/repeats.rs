//! What comes twice, and numbers that begin anew.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use super::bare::Bare;
use super::room::{HOST, Room, offer_frame};
use crate::config::Config;
use crate::error::{EndReason, ServerRefusal};
use crate::event::Event;
use crate::id::NodeId;
use crate::io::{Input, LinkCommand, LinkUpdate, Output};
use crate::signaling::{SignalingCommand, SignalingId, SignalingUpdate};
use crate::time::Timestamp;

fn sent(outputs: &[Output]) -> Vec<&String> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Signaling(SignalingCommand::Send(_, text)) => Some(text),
            _ => None,
        })
        .collect()
}

fn opened(outputs: &[Output]) -> usize {
    outputs
        .iter()
        .filter(|output| {
            matches!(output, Output::Link { command, .. } if matches!(command, LinkCommand::Open { .. }))
        })
        .count()
}

fn node(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 16])
}

fn say(room: &mut Room, offer: &str) -> Vec<Output> {
    let update = SignalingUpdate::Frame(SignalingId(0), offer);
    room.nodes[HOST].input(Timestamp::ZERO, Input::Signaling(update))
}

/// PROTOCOL.md, section 3, items 4 and 5: a repeated offer is the same connection, another one is
/// another, and whatever the host says of each carries its id.
#[test]
fn an_offer_that_comes_twice_opens_one_link_and_gets_its_answer_twice() {
    let mut room = Room::new(Config::default());
    let first = offer_frame("peer", "dc_first", node(5), "an offer");
    let outputs = say(&mut room, &first);
    assert_eq!(opened(&outputs), 1);
    assert!(say(&mut room, &first).is_empty(), "nothing to say yet");
    let second = offer_frame("peer", "dc_second", node(6), "an offer");
    assert_eq!(
        opened(&say(&mut room, &second)),
        1,
        "a connection of its own"
    );
    for (link, connection) in [(0, "dc_first"), (1, "dc_second")] {
        let link = crate::id::LinkId::from_u64(link);
        for update in [
            LinkUpdate::LocalDescription("an answer"),
            LinkUpdate::LocalCandidate("candidate:1 1 udp 1 10.0.0.1 5 typ host"),
        ] {
            let outputs = room.nodes[HOST].input(Timestamp::ZERO, Input::Link { link, update });
            let [text] = sent(&outputs)[..] else {
                panic!("{outputs:?}")
            };
            let id = format!(r#""connectionId":"{connection}""#);
            assert!(text.contains(&id), "{text}");
        }
    }
    let outputs = say(&mut room, &first);
    assert_eq!((opened(&outputs), sent(&outputs).len()), (0, 2));
    // A third of the same signaling id is one too many.
    let third = offer_frame("peer", "dc_third", node(7), "an offer");
    let outputs = say(&mut room, &third);
    assert_eq!(opened(&outputs), 0);
    assert!(sent(&outputs)[0].contains("too_many_attempts"));
    room.nodes[HOST].finish();
}

#[test]
fn an_answer_that_comes_twice_is_taken_once() {
    let mut bare = Bare::offering(Config::default(), 1);
    let answer = bare.answer();
    assert_eq!(bare.frame(&answer).len(), 2, "the phase, and the answer");
    assert!(bare.frame(&answer).is_empty());
    // Nor is another verdict, once there was one.
    let refused = answer.replace(r#""epoch""#, r#""refused":"network_full","epoch""#);
    assert!(refused != answer && bare.frame(&refused).is_empty());
    bare.joiner.finish();
}

#[test]
fn a_joiner_whose_id_is_taken_takes_others_and_then_gives_up() {
    const TAKEN: &str = r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#;
    let mut joiner = super::watched::Watched::new(Config::default(), [9; 32]);
    let now = Timestamp::ZERO;
    let code = super::room::CODE.parse().unwrap();
    let mut outputs = joiner.begin(now, |network| network.join(now, &code));
    let mut urls = Vec::new();
    for connection in 0..3 {
        urls.extend(outputs.iter().find_map(|output| match output {
            Output::Signaling(SignalingCommand::Open(_, url)) => Some(url.clone()),
            _ => None,
        }));
        let update = SignalingUpdate::Frame(SignalingId(connection), TAKEN);
        outputs = joiner.input(now, Input::Signaling(update));
    }
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), 3, "{urls:?}");
    let reason = EndReason::SignalingRefused(ServerRefusal::IdTaken);
    assert_eq!(joiner.events.last(), Some(&Event::Ended { reason }));
    joiner.finish();
}

/// PROTOCOL.md, section 3, item 15: the sequence of states cannot wrap.
#[test]
fn states_go_on_across_the_wrap_of_their_numbers() {
    let mut room = Room::new(Config::default());
    let joiners = [room.add(Config::default()), room.add(Config::default())];
    for sender in [HOST, joiners[0]] {
        room.nodes[sender].network.next_state = u32::MAX - 2;
        for nth in 0..6u8 {
            let sequence = room.call(sender, |network, now| {
                network.broadcast_state(now, Bytes::from(alloc::vec![nth]))
            });
            assert_eq!(sequence, Ok((u32::MAX - 2).wrapping_add(nth.into())));
        }
        let id = room.id(sender);
        for receiver in [HOST, joiners[0], joiners[1]] {
            let got: Vec<u8> = room.nodes[receiver]
                .events
                .iter()
                .filter_map(|event| match event {
                    Event::State { from, payload, .. } if *from == id => Some(payload[0]),
                    _ => None,
                })
                .collect();
            let expected: &[u8] = if receiver == sender {
                &[]
            } else {
                &[0, 1, 2, 3, 4, 5]
            };
            assert_eq!(got, expected);
        }
    }
}
