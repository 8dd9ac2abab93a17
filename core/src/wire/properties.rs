//! Numbers and frames: what was written is read as it was, and in no other way.

use alloc::vec::Vec;
use bytes::Bytes;

use proptest::prelude::*;

use super::varint::{Reader, length, put};
use super::{
    Ack, Body, Bundle, Farewell, Frame, Hello, Member, Piece, Resume, Resumed, Signal, State, Step,
    Token, Version, Welcome, decode,
};
use crate::id::NodeId;
use crate::properties::check;

/// All sizes of numbers, not only the largest.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(number, shift)| number >> shift)
}

fn small() -> impl Strategy<Value = u32> {
    (any::<u32>(), 0..32u32).prop_map(|(number, shift)| number >> shift)
}

fn payload() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..600).prop_map(Bytes::from)
}

fn member() -> impl Strategy<Value = Member> {
    (any::<u16>(), any::<[u8; 16]>()).prop_map(|(number, node)| Member {
        number,
        node: NodeId::from_bytes(node),
    })
}

fn ack() -> impl Strategy<Value = Ack> {
    (number(), number(), small()).prop_map(|(next, limit, idle)| Ack { next, limit, idle })
}

fn piece() -> impl Strategy<Value = Piece> {
    (prop::option::of(small()), payload()).prop_map(|(total, payload)| Piece { total, payload })
}

fn state() -> impl Strategy<Value = State> {
    (small(), payload()).prop_map(|(sequence, payload)| State { sequence, payload })
}

fn signal() -> impl Strategy<Value = Signal> {
    let step = prop::sample::select(alloc::vec![
        Step::Offer,
        Step::Answer,
        Step::Candidate,
        Step::GiveUp,
    ]);
    (small(), small(), step, any::<bool>(), payload()).prop_map(
        |(epoch, attempt, step, flag, text)| Signal {
            epoch,
            attempt,
            step,
            flag,
            text,
        },
    )
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        (number(), piece()).prop_map(|(sequence, piece)| Body::Message { sequence, piece }),
        ack().prop_map(Body::Ack),
        state().prop_map(Body::State),
    ]
}

fn farewell() -> impl Strategy<Value = Farewell> {
    prop::sample::select(alloc::vec![
        Farewell::Left,
        Farewell::Kicked,
        Farewell::Lost,
        Farewell::TooSlow,
        Farewell::Misbehaved,
        Farewell::LinkFailed,
        Farewell::Closed,
    ])
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let roster = prop::collection::vec(member(), 0..=64);
    (small(), any::<u16>(), any::<[u8; 16]>(), roster).prop_map(|(epoch, number, token, roster)| {
        Welcome {
            epoch,
            number,
            token: Token(token),
            roster,
        }
    })
}

fn resumed() -> impl Strategy<Value = Resumed> {
    let roster = prop::collection::vec(member(), 0..=64);
    let departed = prop::collection::vec((any::<u16>(), farewell()), 0..=64);
    (small(), roster, departed).prop_map(|(epoch, roster, departed)| Resumed {
        epoch,
        roster,
        departed,
    })
}

fn frame() -> impl Strategy<Value = Frame> {
    let targets = prop::collection::vec((any::<u16>(), number()), 0..=64);
    let numbers = prop::collection::vec(any::<u16>(), 0..=64);
    let trips = prop::collection::vec((any::<u16>(), small()), 0..=64);
    let meeting = prop_oneof![
        (any::<u16>(), any::<u16>(), any::<[u8; 16]>()).prop_map(|(major, minor, node)| {
            Frame::Hello(Hello {
                version: Version { major, minor },
                node: NodeId::from_bytes(node),
            })
        }),
        welcome().prop_map(Frame::Welcome),
        (any::<u16>(), any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(|(number, node, token)| {
            Frame::Resume(Resume {
                hello: Hello {
                    version: Version::OURS,
                    node: NodeId::from_bytes(node),
                },
                number,
                token: Token(token),
            })
        }),
        resumed().prop_map(Frame::Resumed),
        any::<u16>().prop_map(|number| Frame::Anew { number }),
        any::<u16>().prop_map(|number| Frame::Away { number }),
        any::<u16>().prop_map(|number| Frame::Back { number }),
        (any::<u16>(), small(), "[a-zA-Z0-9 é]{0,9}")
            .prop_map(|(number, most, name)| { Frame::Foreign { number, most, name } }),
        member().prop_map(Frame::Joined),
        (any::<u16>(), farewell()).prop_map(|(number, why)| Frame::Left { number, why }),
        farewell().prop_map(Frame::Goodbye),
        small().prop_map(|stamp| Frame::Ping { stamp }),
        small().prop_map(|stamp| Frame::Pong { stamp }),
        trips.prop_map(Frame::RoundTrips),
        (small(), any::<u16>()).prop_map(|(epoch, number)| Frame::Peer { epoch, number }),
    ];
    let talk = prop_oneof![
        body().prop_map(Frame::Direct),
        (any::<u16>(), body()).prop_map(|(origin, body)| Frame::From { origin, body }),
        (targets, piece()).prop_map(|(to, piece)| Frame::MessageTo { to, piece }),
        (any::<u16>(), ack()).prop_map(|(to, ack)| Frame::AckTo { to, ack }),
        (numbers, state()).prop_map(|(to, state)| Frame::StateTo { to, state }),
        (any::<u16>(), signal()).prop_map(|(to, signal)| Frame::SignalTo { to, signal }),
        (any::<u16>(), signal()).prop_map(|(origin, signal)| Frame::SignalFrom { origin, signal }),
    ];
    prop_oneof![meeting, talk]
}

/// A frame that the strategy above does not make would not be tried: this does not compile then.
fn is_made(frame: &Frame) -> bool {
    match frame {
        Frame::Hello(_)
        | Frame::Welcome(_)
        | Frame::Resume(_)
        | Frame::Resumed(_)
        | Frame::Anew { .. }
        | Frame::Away { .. }
        | Frame::Back { .. }
        | Frame::Foreign { .. }
        | Frame::Joined(_)
        | Frame::Left { .. }
        | Frame::Goodbye(_)
        | Frame::Ping { .. }
        | Frame::Pong { .. }
        | Frame::RoundTrips(_)
        | Frame::Peer { .. }
        | Frame::Direct(_)
        | Frame::MessageTo { .. }
        | Frame::AckTo { .. }
        | Frame::StateTo { .. }
        | Frame::SignalTo { .. }
        | Frame::SignalFrom { .. }
        | Frame::From { .. } => true,
        Frame::Unknown => false,
    }
}

fn written(frames: &[Frame]) -> Bytes {
    let mut bundle = Bundle::default();
    for frame in frames {
        bundle.push(frame.encode());
    }
    bundle.finish().to_bytes()
}

#[test]
fn numbers_come_back() {
    check(number(), |value| {
        let mut out = Vec::new();
        put(&mut out, value);
        prop_assert_eq!(out.len(), length(value));
        let read = |wanted: u64| {
            let mut reader = Reader::new(out.clone().into());
            let read = (reader.u64(), wanted);
            (read, reader.is_empty())
        };
        prop_assert_eq!(read(value), ((Ok(value), value), true));
        let fits = |max: u64| value <= max;
        let small = Reader::new(out.clone().into()).u32();
        prop_assert_eq!(small.is_ok(), fits(u32::MAX.into()));
        let small = Reader::new(out.clone().into()).u16();
        prop_assert_eq!(small.is_ok(), fits(u16::MAX.into()));
        for end in 0..out.len() {
            let short = Bytes::copy_from_slice(&out[..end]);
            prop_assert!(Reader::new(short).u64().is_err());
        }
        Ok(())
    });
}

#[test]
fn frames_come_back() {
    check(prop::collection::vec(frame(), 0..6), |frames| {
        prop_assert!(frames.iter().all(is_made));
        prop_assert_eq!(decode(written(&frames), 256), Ok(frames.clone()));
        let length: usize = frames.iter().map(|frame| frame.encode().len()).sum();
        prop_assert_eq!(written(&frames).len(), length);
        Ok(())
    });
}

/// Of a message that is cut, nothing is read, unless it is cut between two frames.
#[test]
fn what_is_cut_is_not_read() {
    let frames = prop::collection::vec(frame(), 1..4);
    check((frames, any::<prop::sample::Index>()), |(frames, place)| {
        let whole = written(&frames);
        let end = place.index(whole.len());
        let ends: Vec<usize> = (0..=frames.len())
            .map(|count| written(&frames[..count]).len())
            .collect();
        match ends.iter().position(|length| *length == end) {
            Some(count) => {
                prop_assert_eq!(
                    decode(whole.slice(..end), 256),
                    Ok(frames[..count].to_vec())
                );
            }
            None => prop_assert!(decode(whole.slice(..end), 256).is_err()),
        }
        Ok(())
    });
}
