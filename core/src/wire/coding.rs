//! Frames as bytes: `type, length, body`, one or more in a channel message.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use super::Outgoing;
use super::bundle::{Bundle, COPIED};
use super::frame::{Ack, Body, Farewell, Frame, Piece, State};
use super::hello::{Hello, Member, Resume, Resumed, Welcome};
use super::signal::Signal;
use super::varint::{Reader, groups, put};
use crate::config::MOST_NODES;

/// Frame types. A type that we do not know is skipped: a later minor version may add it.
mod kind {
    pub(super) const HELLO: u8 = 0x01;
    pub(super) const WELCOME: u8 = 0x02;
    pub(super) const JOINED: u8 = 0x03;
    pub(super) const LEFT: u8 = 0x04;
    pub(super) const GOODBYE: u8 = 0x05;
    pub(super) const PING: u8 = 0x06;
    pub(super) const PONG: u8 = 0x07;
    pub(super) const ROUND_TRIPS: u8 = 0x08;
    pub(super) const RESUME: u8 = 0x09;
    pub(super) const RESUMED: u8 = 0x0a;
    pub(super) const ANEW: u8 = 0x0b;
    pub(super) const AWAY: u8 = 0x0c;
    pub(super) const BACK: u8 = 0x0d;
    pub(super) const FOREIGN: u8 = 0x0e;
    pub(super) const MESSAGE: u8 = 0x10;
    pub(super) const MESSAGE_TO: u8 = 0x11;
    pub(super) const MESSAGE_FROM: u8 = 0x12;
    pub(super) const ACK: u8 = 0x14;
    pub(super) const ACK_TO: u8 = 0x15;
    pub(super) const ACK_FROM: u8 = 0x16;
    pub(super) const STATE: u8 = 0x18;
    pub(super) const STATE_TO: u8 = 0x19;
    pub(super) const STATE_FROM: u8 = 0x1a;
    pub(super) const SIGNAL_TO: u8 = 0x20;
    pub(super) const SIGNAL_FROM: u8 = 0x21;
    pub(super) const PEER: u8 = 0x22;
}

/// A channel message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// It ends in the middle of something.
    #[error("a frame ends too early")]
    Short,
    /// A number is out of its range.
    #[error("a number in a frame is out of range")]
    Number,
    /// There are more frames than a message may carry.
    #[error("too many frames in one message")]
    TooManyFrames,
}

const FIRST: u8 = 1;

/// What most frames take, but for their payload.
const HEAD: usize = 48;

impl Piece {
    fn write_head(&self, out: &mut Vec<u8>) {
        match self.total {
            Some(total) => {
                out.push(FIRST);
                put(out, total.into());
            }
            None => out.push(0),
        }
    }

    fn read(mut from: Reader) -> Result<Self, WireError> {
        let total = if from.u8()? & FIRST != 0 {
            Some(from.u32()?)
        } else {
            None
        };
        Ok(Self {
            total,
            payload: from.rest(),
        })
    }
}

impl Ack {
    fn write(self, out: &mut Vec<u8>) {
        put(out, self.next);
        put(out, self.limit);
        put(out, self.idle.into());
    }

    fn read(from: &mut Reader) -> Result<Self, WireError> {
        Ok(Self {
            next: from.u64()?,
            limit: from.u64()?,
            idle: from.u32()?,
        })
    }
}

impl Frame {
    /// The frame as it waits in a queue.
    pub(crate) fn encode(&self) -> Outgoing {
        Bundle::default().encode(self)
    }

    /// Appends the frame, but for a long payload that goes behind it and that other receivers share.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Bytes {
        let payload = self.payload();
        let (copied, shared) = match payload {
            Some(payload) if payload.len() <= COPIED => (payload.as_ref(), None),
            shared => (&[][..], shared),
        };
        out.reserve(HEAD.saturating_add(copied.len()));
        let start = out.len();
        // The type and the length: mostly a byte each.
        out.extend_from_slice(&[0; 2]);
        let kind = self.write_own(out);
        out.extend_from_slice(copied);
        let own = out.len().saturating_sub(start).saturating_sub(2);
        let shared = shared.cloned().unwrap_or_default();
        let length = own.saturating_add(shared.len());
        let place = start..start.saturating_add(2);
        match (u8::try_from(length), out.get_mut(place.clone())) {
            (Ok(short @ ..0x80), Some([first, second])) => (*first, *second) = (kind, short),
            _ => drop(out.splice(place, core::iter::once(kind).chain(groups(length as u64)))),
        }
        shared
    }

    /// Appends what is neither its type, its length nor its payload; gives the type.
    fn write_own(&self, body: &mut Vec<u8>) -> u8 {
        match self {
            Self::Hello(hello) => {
                hello.write(body);
                kind::HELLO
            }
            Self::Welcome(welcome) => {
                welcome.write(body);
                kind::WELCOME
            }
            Self::Joined(member) => {
                member.write(body);
                kind::JOINED
            }
            Self::Left { number, why } => {
                put(body, (*number).into());
                body.push(why.to_byte());
                kind::LEFT
            }
            Self::Goodbye(why) => {
                body.push(why.to_byte());
                kind::GOODBYE
            }
            Self::Resume(resume) => {
                resume.write(body);
                kind::RESUME
            }
            Self::Resumed(resumed) => {
                resumed.write(body);
                kind::RESUMED
            }
            Self::Anew { number } => {
                put(body, (*number).into());
                kind::ANEW
            }
            Self::Away { number } => {
                put(body, (*number).into());
                kind::AWAY
            }
            Self::Back { number } => {
                put(body, (*number).into());
                kind::BACK
            }
            Self::Foreign { number, most, name } => {
                put(body, (*number).into());
                put(body, (*most).into());
                body.extend_from_slice(name.as_bytes());
                kind::FOREIGN
            }
            Self::Ping { stamp } => {
                put(body, (*stamp).into());
                kind::PING
            }
            Self::Pong { stamp } => {
                put(body, (*stamp).into());
                kind::PONG
            }
            Self::Direct(direct) => write_body(direct, body).0,
            Self::From {
                origin,
                body: relayed,
            } => {
                put(body, (*origin).into());
                write_body(relayed, body).1
            }
            Self::MessageTo { to, piece } => {
                put(body, to.len() as u64);
                for (number, sequence) in to {
                    put(body, (*number).into());
                    put(body, *sequence);
                }
                piece.write_head(body);
                kind::MESSAGE_TO
            }
            Self::AckTo { to, ack } => {
                put(body, (*to).into());
                ack.write(body);
                kind::ACK_TO
            }
            Self::RoundTrips(all) => {
                put(body, all.len() as u64);
                for (number, micros) in all {
                    put(body, (*number).into());
                    put(body, (*micros).into());
                }
                kind::ROUND_TRIPS
            }
            Self::Peer { epoch, number } => {
                put(body, (*epoch).into());
                put(body, (*number).into());
                kind::PEER
            }
            Self::StateTo { to, state } => {
                put(body, to.len() as u64);
                for number in to {
                    put(body, (*number).into());
                }
                put(body, state.sequence.into());
                kind::STATE_TO
            }
            Self::SignalTo { to: node, signal } => {
                put(body, (*node).into());
                signal.write_head(body);
                kind::SIGNAL_TO
            }
            Self::SignalFrom { origin, signal } => {
                put(body, (*origin).into());
                signal.write_head(body);
                kind::SIGNAL_FROM
            }
            // We never make one; a zero-length frame of an unused type is skipped by everybody.
            Self::Unknown => 0,
        }
    }

    /// What is an application's in it, or not for us to read.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "few have something of an application in them"
    )]
    const fn payload(&self) -> Option<&Bytes> {
        match self {
            Self::Direct(body) | Self::From { body, .. } => match body {
                Body::Message { piece, .. } => Some(&piece.payload),
                Body::State(state) => Some(&state.payload),
                Body::Ack(_) => None,
            },
            Self::MessageTo { piece, .. } => Some(&piece.payload),
            Self::StateTo { state, .. } => Some(&state.payload),
            Self::SignalTo { signal, .. } | Self::SignalFrom { signal, .. } => Some(&signal.text),
            _ => None,
        }
    }

    fn read(kind: u8, body: Bytes) -> Result<Self, WireError> {
        let mut from = Reader::new(body);
        Ok(match kind {
            kind::HELLO => Self::Hello(Hello::read(&mut from)?),
            kind::WELCOME => Self::Welcome(Welcome::read(from)?),
            kind::JOINED => Self::Joined(Member::read(&mut from)?),
            kind::LEFT => Self::Left {
                number: from.u16()?,
                why: Farewell::from_byte(from.u8()?),
            },
            kind::GOODBYE => Self::Goodbye(Farewell::from_byte(from.u8()?)),
            kind::RESUME => Self::Resume(Resume::read(from)?),
            kind::RESUMED => Self::Resumed(Resumed::read(from)?),
            kind::ANEW => Self::Anew {
                number: from.u16()?,
            },
            kind::AWAY => Self::Away {
                number: from.u16()?,
            },
            kind::BACK => Self::Back {
                number: from.u16()?,
            },
            kind::FOREIGN => Self::Foreign {
                number: from.u16()?,
                most: from.u32()?,
                name: String::from_utf8_lossy(&from.rest()).into_owned(),
            },
            kind::PING => Self::Ping { stamp: from.u32()? },
            kind::PONG => Self::Pong { stamp: from.u32()? },
            kind::MESSAGE => Self::Direct(Body::read_message(from)?),
            kind::ACK => Self::Direct(Body::Ack(Ack::read(&mut from)?)),
            kind::STATE => Self::Direct(Body::read_state(from)?),
            kind::MESSAGE_FROM => Self::From {
                origin: from.u16()?,
                body: Body::read_message(from)?,
            },
            kind::ACK_FROM => Self::From {
                origin: from.u16()?,
                body: Body::Ack(Ack::read(&mut from)?),
            },
            kind::STATE_FROM => Self::From {
                origin: from.u16()?,
                body: Body::read_state(from)?,
            },
            kind::ACK_TO => Self::AckTo {
                to: from.u16()?,
                ack: Ack::read(&mut from)?,
            },
            kind::MESSAGE_TO => {
                let count = count(&mut from)?;
                let mut to = Vec::with_capacity(count.into());
                for _ in 0..count {
                    to.push((from.u16()?, from.u64()?));
                }
                Self::MessageTo {
                    to,
                    piece: Piece::read(from)?,
                }
            }
            kind::ROUND_TRIPS => {
                let count = count(&mut from)?;
                let all = (0..count).map(|_| Ok((from.u16()?, from.u32()?)));
                Self::RoundTrips(all.collect::<Result<_, WireError>>()?)
            }
            kind::PEER => Self::Peer {
                epoch: from.u32()?,
                number: from.u16()?,
            },
            kind::STATE_TO => {
                let count = count(&mut from)?;
                let to = (0..count).map(|_| from.u16()).collect::<Result<_, _>>()?;
                let state = State::read(from)?;
                Self::StateTo { to, state }
            }
            kind::SIGNAL_TO => Self::SignalTo {
                to: from.u16()?,
                signal: Signal::read(from)?,
            },
            kind::SIGNAL_FROM => Self::SignalFrom {
                origin: from.u16()?,
                signal: Signal::read(from)?,
            },
            _ => Self::Unknown,
        })
    }
}

/// How many nodes follow: at most as many as a network has; more is a mistake, not a reason to
/// allocate.
pub(super) fn count(from: &mut Reader) -> Result<u16, WireError> {
    let count = from.u16()?;
    if count > u16::from(MOST_NODES) {
        return Err(WireError::Number);
    }
    Ok(count)
}

impl State {
    fn read(mut from: Reader) -> Result<Self, WireError> {
        Ok(Self {
            sequence: from.u32()?,
            payload: from.rest(),
        })
    }
}

impl Body {
    fn read_message(mut from: Reader) -> Result<Self, WireError> {
        Ok(Self::Message {
            sequence: from.u64()?,
            piece: Piece::read(from)?,
        })
    }

    fn read_state(from: Reader) -> Result<Self, WireError> {
        State::read(from).map(Self::State)
    }
}

/// Writes all but the payload; gives the frame types for direct and relayed.
fn write_body(body: &Body, out: &mut Vec<u8>) -> (u8, u8) {
    match body {
        Body::Message { sequence, piece } => {
            put(out, *sequence);
            piece.write_head(out);
            (kind::MESSAGE, kind::MESSAGE_FROM)
        }
        Body::Ack(ack) => {
            ack.write(out);
            (kind::ACK, kind::ACK_FROM)
        }
        Body::State(state) => {
            put(out, state.sequence.into());
            (kind::STATE, kind::STATE_FROM)
        }
    }
}

/// Reads the frames of a channel message, at most `max`, behind those that are there; payloads share its
/// memory.
///
/// All of it is read before any of it is acted on: a message that breaks in the middle has no
/// effect at all.
pub(crate) fn decode_into(
    message: Bytes,
    max: u16,
    frames: &mut VecDeque<Frame>,
) -> Result<(), WireError> {
    let mut reader = Reader::new(message);
    let mut count: u16 = 0;
    while !reader.is_empty() {
        if count >= max {
            return Err(WireError::TooManyFrames);
        }
        count = count.saturating_add(1);
        let kind = reader.u8()?;
        let length = reader.u32()?;
        let body = reader.bytes(length as usize)?;
        frames.push_back(Frame::read(kind, body)?);
    }
    Ok(())
}

/// The frames of a channel message, at most `max`.
pub(crate) fn decode(message: Bytes, max: u16) -> Result<Vec<Frame>, WireError> {
    let mut frames = VecDeque::new();
    decode_into(message, max, &mut frames)?;
    Ok(frames.into())
}

#[cfg(test)]
mod tests {
    use super::super::{Step, Token, Version};
    use super::*;
    use crate::id::NodeId;
    use crate::rng::Rng;
    use alloc::vec;

    fn every_frame() -> Vec<Frame> {
        let node = NodeId::from_bytes([3; 16]);
        let member = Member { number: 700, node };
        let piece = Piece {
            total: Some(9),
            payload: Bytes::from_static(b"some more"),
        };
        let rest = Piece {
            total: None,
            payload: Bytes::from_static(b""),
        };
        let ack = Ack {
            next: 5,
            limit: u64::MAX,
            idle: 6_000,
        };
        let state = State {
            sequence: u32::MAX,
            payload: Bytes::from_static(&[0, 255]),
        };
        let message = Body::Message {
            sequence: 1 << 40,
            piece: piece.clone(),
        };
        vec![
            Frame::Hello(Hello {
                version: Version::OURS,
                node,
            }),
            Frame::Welcome(Welcome {
                epoch: 1,
                number: 9,
                token: Token([4; 16]),
                roster: vec![member, member],
            }),
            Frame::Resume(Resume {
                hello: Hello {
                    version: Version::OURS,
                    node,
                },
                number: 9,
                token: Token([4; 16]),
            }),
            Frame::Resumed(Resumed {
                epoch: 1,
                roster: vec![member],
                departed: vec![(3, Farewell::Kicked), (70, Farewell::Lost)],
            }),
            Frame::Anew { number: 300 },
            Frame::Away { number: 300 },
            Frame::Back { number: 300 },
            Frame::Foreign {
                number: 300,
                most: 70_000,
                name: "x".into(),
            },
            Frame::Joined(member),
            Frame::Left {
                number: 3,
                why: Farewell::TooSlow,
            },
            Frame::Goodbye(Farewell::Closed),
            Frame::Ping { stamp: 77 },
            Frame::Pong { stamp: u32::MAX },
            Frame::Direct(message.clone()),
            Frame::Direct(Body::Ack(ack)),
            Frame::Direct(Body::State(state.clone())),
            Frame::From {
                origin: 2,
                body: message,
            },
            Frame::From {
                origin: 2,
                body: Body::Ack(ack),
            },
            Frame::From {
                origin: 2,
                body: Body::State(state),
            },
            Frame::MessageTo {
                to: vec![(0, 5), (65_535, u64::MAX)],
                piece,
            },
            Frame::MessageTo {
                to: vec![],
                piece: rest,
            },
            Frame::AckTo { to: 4, ack },
            Frame::RoundTrips(vec![(1, 1_500), (65_535, u32::MAX)]),
            Frame::Peer {
                epoch: 1,
                number: 300,
            },
            Frame::StateTo {
                to: vec![0, 300],
                state: State {
                    sequence: 9,
                    payload: Bytes::from_static(b"far"),
                },
            },
            Frame::SignalTo {
                to: 3,
                signal: signal(Step::Offer, "v=0"),
            },
            Frame::SignalFrom {
                origin: 3,
                signal: signal(Step::Answer, "v=0"),
            },
            Frame::SignalFrom {
                origin: 3,
                signal: signal(Step::Candidate, "candidate:1"),
            },
            Frame::SignalTo {
                to: 3,
                signal: signal(Step::GiveUp, ""),
            },
        ]
    }

    fn signal(step: Step, text: &'static str) -> Signal {
        Signal {
            epoch: 1,
            attempt: 700,
            step,
            flag: step == Step::Offer,
            text: Bytes::from_static(text.as_bytes()),
        }
    }

    fn message(frames: &[Frame]) -> Bytes {
        let mut bundle = Bundle::default();
        for frame in frames {
            bundle.push(frame.encode());
        }
        bundle.finish().to_bytes()
    }

    #[test]
    fn every_frame_comes_back() {
        let frames = every_frame();
        assert_eq!(decode(message(&frames), 256), Ok(frames.clone()));
        for frame in frames {
            assert_eq!(
                decode(message(core::slice::from_ref(&frame)), 1),
                Ok(vec![frame])
            );
        }
    }

    #[test]
    fn every_farewell_comes_back() {
        for (why, byte) in Farewell::ALL {
            assert_eq!(Farewell::from_byte(why.to_byte()), why);
            assert_eq!(why.to_byte(), byte);
        }
        assert_eq!(Farewell::from_byte(200), Farewell::LinkFailed);
    }

    #[test]
    fn unknown_frames_and_later_members_are_skipped() {
        let mut bytes = vec![0x7f, 3, 1, 2, 3];
        let mut hello = Frame::Hello(Hello {
            version: Version::OURS,
            node: NodeId::from_bytes([1; 16]),
        })
        .encode()
        .head
        .to_vec();
        // A later minor version adds one byte to the hello.
        hello[1] += 1;
        hello.push(42);
        bytes.extend_from_slice(&hello);
        let frames = decode(bytes.into(), 256).unwrap();
        assert_eq!(frames[0], Frame::Unknown);
        assert!(matches!(frames[1], Frame::Hello(_)));
    }

    #[test]
    fn every_cut_and_every_limit_is_an_error() {
        for frame in every_frame() {
            let whole = message(core::slice::from_ref(&frame));
            for end in 1..whole.len() {
                assert!(
                    decode(whole.slice(..end), 256).is_err(),
                    "{frame:?} cut at {end}"
                );
            }
        }
        let pings = vec![Frame::Ping { stamp: 0 }; 3];
        assert_eq!(decode(message(&pings), 2), Err(WireError::TooManyFrames));
    }

    #[test]
    fn hostile_messages_do_no_harm() {
        let mut rng = Rng::new([9; 32]).fork("hostile frames");
        let whole = message(&every_frame());
        for _ in 0..20_000 {
            let mut bytes = if rng.below(2) == 0 {
                whole.to_vec()
            } else {
                (0..rng.below(80)).map(|_| rng.below(256) as u8).collect()
            };
            for _ in 0..rng.below(6) {
                let place = rng.below(bytes.len().max(1) as u64) as usize;
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = rng.below(256) as u8;
                }
            }
            if let Ok(frames) = decode(bytes.into(), 256) {
                // What was read can be written and read again.
                let known: Vec<_> = frames
                    .into_iter()
                    .filter(|f| *f != Frame::Unknown)
                    .collect();
                assert_eq!(decode(message(&known), 256), Ok(known));
            }
        }
    }

    #[test]
    fn payloads_share_the_memory_of_the_message() {
        let payload = Bytes::from(vec![7; 4000]);
        let frame = Frame::Direct(Body::Message {
            sequence: 0,
            piece: Piece {
                total: Some(4000),
                payload,
            },
        });
        let message = message(&[frame]);
        let range = message.as_ptr_range();
        let frames = decode(message.clone(), 1).unwrap();
        let Frame::Direct(Body::Message { piece, .. }) = &frames[0] else {
            panic!("{frames:?}")
        };
        assert!(range.contains(&piece.payload.as_ptr()));
    }
}
