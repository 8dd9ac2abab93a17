//! The examples of docs/wire.md are what this crate writes and reads.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use serde_json::Value;

use super::{
    Ack, Body, Farewell, Frame, Hello, Member, Piece, Resume, Resumed, Signal, State, Step, Token,
    Version, Welcome, decode,
};
use crate::event::Refusal;
use crate::id::NodeId;
use crate::link::negotiation::{self, Admission, OfferHello, Terms};

const DOCUMENT: &str = include_str!("../../../docs/wire.md");
const HOST: NodeId = NodeId::from_bytes([0; 16]);
const JOINER: NodeId = NodeId::from_bytes([0xff; 16]);

/// What the table of examples shows, by the name in its first column.
fn frames() -> BTreeMap<&'static str, Vec<Frame>> {
    let hi = |total| Piece {
        total,
        payload: Bytes::from_static(b"hi"),
    };
    let first = Body::Message {
        sequence: 0,
        piece: hi(Some(2)),
    };
    let next = Body::Message {
        sequence: 300,
        piece: hi(None),
    };
    let ack = Ack {
        next: 1,
        limit: 524_322,
        idle: 300,
    };
    let xy = State {
        sequence: 7,
        payload: Bytes::from_static(b"xy"),
    };
    let state = Body::State(xy.clone());
    let signal = |step| Signal {
        epoch: 0,
        attempt: 1,
        step,
        flag: true,
        text: Bytes::from_static(b"v=0"),
    };
    let member = |number, node| Member { number, node };
    let welcome = Welcome {
        epoch: 0,
        number: 1,
        token: Token([0xaa; 16]),
        roster: vec![member(0, HOST), member(1, JOINER)],
    };
    BTreeMap::from([
        (
            "HELLO",
            vec![Frame::Hello(Hello {
                version: Version::OURS,
                node: JOINER,
            })],
        ),
        ("WELCOME", vec![Frame::Welcome(welcome)]),
        (
            "RESUME",
            vec![Frame::Resume(Resume {
                hello: Hello {
                    version: Version::OURS,
                    node: JOINER,
                },
                number: 1,
                token: Token([0xaa; 16]),
            })],
        ),
        (
            "RESUMED",
            vec![Frame::Resumed(Resumed {
                epoch: 0,
                roster: vec![member(0, HOST), member(1, JOINER)],
                departed: vec![(2, Farewell::Lost)],
            })],
        ),
        ("ANEW", vec![Frame::Anew { number: 1 }]),
        ("AWAY", vec![Frame::Away { number: 1 }]),
        ("BACK", vec![Frame::Back { number: 1 }]),
        (
            "FOREIGN",
            vec![Frame::Foreign {
                number: 2,
                most: 1000,
                name: "abc".to_string(),
            }],
        ),
        ("JOINED", vec![Frame::Joined(member(2, HOST))]),
        (
            "LEFT",
            vec![Frame::Left {
                number: 2,
                why: Farewell::Lost,
            }],
        ),
        ("GOODBYE", vec![Frame::Goodbye(Farewell::Closed)]),
        ("PING", vec![Frame::Ping { stamp: 1_000_000 }]),
        ("PONG", vec![Frame::Pong { stamp: 1_000_000 }]),
        ("ROUND_TRIPS", vec![Frame::RoundTrips(vec![(2, 20_000)])]),
        ("MESSAGE", vec![Frame::Direct(first.clone())]),
        ("MESSAGE, a later piece", vec![Frame::Direct(next)]),
        (
            "MESSAGE_TO",
            vec![Frame::MessageTo {
                to: vec![(0, 0), (2, 300)],
                piece: hi(Some(2)),
            }],
        ),
        (
            "MESSAGE_FROM",
            vec![Frame::From {
                origin: 1,
                body: first.clone(),
            }],
        ),
        ("ACK", vec![Frame::Direct(Body::Ack(ack))]),
        ("ACK_TO", vec![Frame::AckTo { to: 2, ack }]),
        (
            "ACK_FROM",
            vec![Frame::From {
                origin: 2,
                body: Body::Ack(ack),
            }],
        ),
        ("STATE", vec![Frame::Direct(state.clone())]),
        (
            "STATE_TO",
            vec![Frame::StateTo {
                to: vec![2, 0],
                state: xy,
            }],
        ),
        (
            "SIGNAL_TO",
            vec![Frame::SignalTo {
                to: 1,
                signal: signal(Step::Offer),
            }],
        ),
        (
            "SIGNAL_FROM",
            vec![Frame::SignalFrom {
                origin: 2,
                signal: signal(Step::Answer),
            }],
        ),
        (
            "PEER",
            vec![Frame::Peer {
                epoch: 0,
                number: 2,
            }],
        ),
        (
            "STATE_FROM",
            vec![Frame::From {
                origin: 300,
                body: state,
            }],
        ),
        (
            "two in one channel message",
            vec![Frame::Direct(Body::Ack(ack)), Frame::Direct(first)],
        ),
    ])
}

fn written(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        let outgoing = frame.encode();
        bytes.extend_from_slice(&outgoing.head);
        bytes.extend_from_slice(&outgoing.payload);
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

/// The rows of the table of examples: name and bytes.
fn rows() -> BTreeMap<&'static str, &'static str> {
    let (_, table) = DOCUMENT.split_once("| example | bytes |").unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        (cells[1], cells[2].trim_matches('`'))
    })
    .collect()
}

/// The JSON below a heading.
fn json(heading: &str) -> Value {
    let (_, section) = DOCUMENT.split_once(&format!("### {heading}\n")).unwrap();
    let (_, block) = section.split_once("```json\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    serde_json::from_str(block).unwrap()
}

#[test]
fn every_frame_is_documented_as_it_is() {
    let shown: BTreeMap<_, _> = rows()
        .into_iter()
        .map(|(name, bytes)| (name, bytes.to_string()))
        .collect();
    let ours: BTreeMap<_, _> = frames()
        .into_iter()
        .map(|(name, frames)| (name, hex(&written(&frames))))
        .collect();
    assert_eq!(shown, ours);
}

#[test]
fn every_documented_frame_can_be_read() {
    let frames = frames();
    for (name, text) in rows() {
        let bytes: Vec<u8> = text
            .split(' ')
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        assert_eq!(decode(bytes.into(), 256).as_ref(), Ok(&frames[name]));
    }
}

#[test]
fn every_payload_is_documented_as_it_is() {
    let version = Version::OURS;
    let hello = OfferHello {
        version,
        node: JOINER,
        native: true,
        resume: None,
    };
    let admission = Admission {
        sdp: "v=0\r\n…".into(),
        version,
        host: HOST,
        epoch: 0,
        terms: Terms {
            message: 262_144,
            window: 524_288,
            relay: true,
            mesh: false,
        },
        led: true,
    };
    let candidate = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host";
    let id = "dc_0123456789abcdef";
    let ours = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for (heading, payload) in [
        ("OFFER", negotiation::offer("v=0\r\n…", id, &hello)),
        ("ANSWER", negotiation::answer(id, &admission)),
        (
            "ANSWER that refuses",
            negotiation::refusal(id, Refusal::NetworkFull),
        ),
        ("CANDIDATE", negotiation::candidate(id, candidate)),
    ] {
        assert_eq!(json(heading), ours(&payload), "{heading}");
    }
}
