//! Datagrams into two native nodes that join and talk: genuine ones that somebody on the way loses,
//! repeats, delays, changes or sends again later, and forged ones.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use wattle_core::{Event, NodeId};

use crate::duo::{DELAY, Duo, HOST, JOINER, Parcel, address};
use crate::source::Source;

/// After this many datagrams all arrives as it should.
const HARMED: usize = 150;

/// Datagrams into two native nodes.
///
/// Strangers alone do no harm: if all genuine datagrams arrived, both are in the network, and what
/// they say arrives too. Otherwise whatever was begun comes to an end, and the laws hold.
pub fn datagrams(data: &[u8]) {
    let mut source = Source::new(data);
    let mut duo = Duo::new(source.u8());
    let mut air = Air::default();
    while !source.is_empty() && air.seen < HARMED {
        for parcel in std::mem::take(&mut duo.sent) {
            air.pass(&mut duo, &mut source, parcel);
        }
        let deadline = duo.now.plus(Duration::from_secs(1));
        if !duo.step(deadline) && source.below(2) == 0 {
            say(&mut duo, usize::from(source.below(2)), source.u16().into());
        }
    }
    duo.run(Duration::from_secs(60));
    if !air.harmed {
        assert!(duo.is_whole(), "strangers did harm: {:?}", duo.events);
        for from in [HOST, JOINER] {
            say(&mut duo, from, 3_000);
            let before = messages(&duo, 1 - from);
            duo.run(Duration::from_secs(5));
            assert_eq!(messages(&duo, 1 - from), before + 1, "a message is missing");
        }
    }
    duo.finish();
}

fn say(duo: &mut Duo, from: usize, length: usize) {
    let now = duo.now;
    let _ = duo.nodes[from].broadcast(now, vec![9; length].into());
    duo.drain(from);
}

fn messages(duo: &Duo, at: usize) -> usize {
    let other: NodeId = duo.nodes[1 - at].id();
    let is_message =
        |event: &&Event| matches!(event, Event::Message { from, .. } if *from == other);
    duo.events[at].iter().filter(is_message).count()
}

/// Who sits on the way.
#[derive(Default)]
struct Air {
    seen: usize,
    recorded: Vec<Parcel>,
    /// A genuine datagram was changed, lost or late, or its copy came from somewhere else: somebody
    /// on the path can stop a connection, and nobody can help it.
    harmed: bool,
}

impl Air {
    /// Decides what becomes of a datagram. Zero: it arrives.
    fn pass(&mut self, duo: &mut Duo, source: &mut Source<'_>, parcel: Parcel) {
        self.seen += 1;
        if self.recorded.len() < 64 {
            self.recorded.push(parcel.clone());
        }
        match source.u8() {
            0..=79 => {}
            80..=99 => {
                self.harmed = true;
                return;
            }
            100..=109 => {
                duo.post(DELAY, parcel.clone());
            }
            110..=119 => {
                self.harmed = true;
                let delay = Duration::from_millis(u64::from(source.u8()) * 10);
                return duo.post(delay, parcel);
            }
            120..=179 => {
                self.harmed = true;
                let changed = changed(source, &parcel.payload);
                return duo.post(
                    DELAY,
                    Parcel {
                        payload: changed,
                        ..parcel
                    },
                );
            }
            // Beside the genuine one: something old, changed, from anywhere.
            180..=219 => {
                let place = usize::from(source.u8()) % self.recorded.len();
                let old = self.recorded[place].clone();
                let (remote, genuine) = self.anywhere(source, &old);
                self.harmed = true;
                // Who forges the sender of an authentic check has given an address.
                if !genuine {
                    duo.given.insert(remote);
                }
                let payload = if source.flag() {
                    changed(source, &old.payload)
                } else {
                    old.payload.clone()
                };
                duo.post(
                    DELAY / 2,
                    Parcel {
                        remote,
                        payload,
                        ..old
                    },
                );
            }
            // Beside it: anything, made without knowing anything.
            220..=249 => {
                let (remote, genuine) = self.anywhere(source, &parcel);
                self.harmed |= genuine;
                let payload = forged(source);
                duo.post(
                    DELAY / 2,
                    Parcel {
                        remote,
                        payload,
                        ..parcel.clone()
                    },
                );
            }
            // At a socket that is not there.
            _ => {
                let local = SocketAddr::from(([10, 0, 0, 77], 5000));
                duo.post(
                    DELAY / 2,
                    Parcel {
                        local,
                        ..parcel.clone()
                    },
                );
            }
        }
        duo.post(DELAY, parcel);
    }

    /// Whom a datagram seems to be from, and whether that is the peer.
    fn anywhere(&self, source: &mut Source<'_>, like: &Parcel) -> (SocketAddr, bool) {
        match source.below(4) {
            0 => (like.remote, true),
            1 => (address(like.to), false),
            2 => ((like.remote.ip(), 5001).into(), false),
            _ => (SocketAddr::from(([203, 0, 113, 9], 9)), false),
        }
    }
}

fn changed(source: &mut Source<'_>, payload: &[u8]) -> Bytes {
    let mut payload = payload.to_vec();
    for _ in 0..=source.below(4) {
        if payload.is_empty() {
            break;
        }
        let at = usize::from(source.u16()) % payload.len();
        match source.below(6) {
            0 => payload[at] ^= 1 << source.below(8),
            1 => payload[at] = source.u8(),
            2 => payload.truncate(at),
            3 => {
                let more = source.few();
                payload.splice(at..at, more.iter().copied());
            }
            4 => {
                let end = (at + usize::from(source.u8())).min(payload.len());
                payload.drain(at..end);
            }
            _ => {
                let more = source.few();
                for (to, from) in payload[at..].iter_mut().zip(more) {
                    *to = *from;
                }
            }
        }
    }
    payload.into()
}

/// Bytes that look like STUN or DTLS at best.
fn forged(source: &mut Source<'_>) -> Bytes {
    let head: &[u8] = match source.below(6) {
        0 => &[],
        1 => &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
        2 => &[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
        3 => &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0],
        4 => &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40],
        _ => &[0x2f, 0, 1],
    };
    let mut payload = head.to_vec();
    payload.extend_from_slice(source.few());
    if source.flag() && payload.len() >= 20 && payload[0] < 2 {
        let length = (payload.len() - 20) as u16 & !3;
        payload[2..4].copy_from_slice(&length.to_be_bytes());
    }
    payload.into()
}
