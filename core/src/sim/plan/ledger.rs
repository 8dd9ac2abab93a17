//! What was sent and what may therefore still arrive: the laws about messages and states.
//!
//! The ledger sees every node at once, so it knows more than any of them. For each sender and
//! receiver it keeps *streams*: what was sent from the moment the sender saw the receiver until it
//! did not any more. While the receiver sees the sender, exactly one of them arrives, from its
//! beginning and in order.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use super::super::laws::{Held, Law, demand};
use crate::event::{Event, LeaveReason};
use crate::id::NodeId;

/// Who said what to whom.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    lives: BTreeMap<NodeId, Life>,
    streams: BTreeMap<(NodeId, NodeId), Vec<Stream>>,
    /// A goodbye may come by another way than what was said before it, and that may be broken.
    pub(super) goodbyes_overtake: bool,
}

/// One life of a node.
#[derive(Debug)]
struct Life {
    /// The node and how many lives it had before: what its messages are made of.
    name: Name,
    /// The number of its next reliable message, and of its next state.
    next: [u32; 2],
}

/// What was sent while the sender saw the receiver.
#[derive(Debug, Default)]
struct Stream {
    /// The sender still sees the receiver.
    is_open: bool,
    /// The receiver is hearing it: something of it has arrived.
    is_heard: bool,
    /// Sent and not yet arrived.
    waiting: VecDeque<Sent>,
}

/// Which life of which node.
pub(super) type Name = (u8, u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    number: u32,
    length: u32,
}

/// More streams of a pair than this are not kept: what is older cannot arrive any more.
const MOST_STREAMS: usize = 8;

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Message,
    State,
}

impl Ledger {
    /// A life begins.
    pub(super) fn born(&mut self, id: NodeId, name: Name) {
        self.lives.insert(id, Life { name, next: [0; 2] });
    }

    /// Which node this is, if it is one of ours.
    pub(super) fn name(&self, id: NodeId) -> Option<Name> {
        self.lives.get(&id).map(|life| life.name)
    }

    /// What a node sends next.
    pub(super) fn next(&self, id: NodeId, sort: Sort, length: u32) -> Bytes {
        let life = self.lives.get(&id);
        life.map_or_else(Bytes::new, |life| {
            content(sort, life.name, life.number(sort), length)
        })
    }

    /// The next reliable message was taken from the sender's application.
    pub(super) fn sent(&mut self, from: NodeId, to: &[NodeId], length: u32) {
        let Some(life) = self.lives.get_mut(&from) else {
            return;
        };
        let number = life.number(Sort::Message);
        life.advance(Sort::Message);
        for to in to {
            let stream = self
                .streams
                .get_mut(&(from, *to))
                .and_then(|all| all.last_mut());
            if let Some(stream) = stream.filter(|stream| stream.is_open) {
                stream.waiting.push_back(Sent { number, length });
            }
        }
    }

    /// The next state was taken; its number must be the one that we expect.
    pub(super) fn state_sent(&mut self, from: NodeId, sequence: u32) -> Held {
        let Some(life) = self.lives.get_mut(&from) else {
            return Ok(());
        };
        let expected = life.number(Sort::State);
        life.advance(Sort::State);
        demand(sequence == expected, Law::SentState, || {
            format!("state {expected} was numbered {sequence}")
        })
    }

    /// A life is over, or not in a network any more.
    pub(super) fn ended(&mut self, who: NodeId) {
        // Whatever was for it was for its time that is over now.
        self.streams.retain(|(_, to), _| *to != who);
        for ((from, _), streams) in &mut self.streams {
            if *from == who {
                streams.iter_mut().for_each(|stream| stream.is_open = false);
            }
        }
    }

    /// How many messages have not arrived that one node sent to another, whom it sees.
    pub(super) fn unheard(&self, from: NodeId, to: NodeId) -> Option<usize> {
        let stream = self.streams.get(&(from, to))?.last()?;
        stream.is_open.then_some(stream.waiting.len())
    }

    /// Something was told to the application of `me`.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the laws are about these events alone"
    )]
    pub(super) fn event(&mut self, me: NodeId, event: &Event) -> Held {
        match event {
            Event::NodeJoined { node } => {
                let streams = self.streams.entry((me, *node)).or_default();
                if streams.len() >= MOST_STREAMS {
                    streams.remove(0);
                }
                streams.push(Stream {
                    is_open: true,
                    ..Stream::default()
                });
                Ok(())
            }
            Event::NodeLeft { node, reason } => {
                self.close(me, *node);
                self.left(me, *node, *reason)
            }
            // What it has not taken may be lost, and nothing more goes there.
            Event::NodeStalled { node } => {
                self.close(me, *node);
                Ok(())
            }
            // What is said from now on goes there again.
            Event::NodeBack { node } => {
                let streams = self.streams.get_mut(&(me, *node));
                if let Some(stream) = streams.and_then(|streams| streams.last_mut()) {
                    stream.is_open = true;
                }
                Ok(())
            }
            Event::Message { from, payload } => self.arrived(me, *from, payload),
            Event::State {
                from,
                sequence,
                payload,
            } => self.state_arrived(*from, *sequence, payload),
            Event::Ended { .. } => {
                self.ended(me);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn close(&mut self, from: NodeId, to: NodeId) {
        let streams = self.streams.get_mut(&(from, to));
        for stream in streams.into_iter().flatten() {
            stream.is_open = false;
        }
    }

    /// A goodbye comes after everything that was said before it.
    fn left(&mut self, me: NodeId, node: NodeId, reason: LeaveReason) -> Held {
        let Some(streams) = self.streams.get_mut(&(node, me)) else {
            return Ok(());
        };
        // One that was not heard may be of the sender's next time already, but not if that is over, too.
        let heard = streams.iter().position(|stream| stream.is_heard);
        let over = heard.or(match streams.as_slice() {
            [only] if !only.is_open => Some(0),
            _ => None,
        });
        let Some(over) = over else { return Ok(()) };
        let stream = streams.remove(over);
        let missing = stream.waiting.len();
        demand(
            missing == 0 || reason != LeaveReason::Left || self.goodbyes_overtake,
            Law::Delivery,
            || format!("{node} said goodbye, and {missing} of its messages have not arrived"),
        )
    }

    fn arrived(&mut self, me: NodeId, from: NodeId, payload: &Bytes) -> Held {
        let Some(name) = self.name(from) else {
            return demand(false, Law::Delivery, || {
                format!("a message of {from}, who does not exist")
            });
        };
        let streams = self.streams.get_mut(&(from, me));
        let streams = streams.map_or(&mut [][..], |streams| streams.as_mut_slice());
        let is_next = |stream: &Stream| {
            stream.waiting.front().is_some_and(|next| {
                next.length as usize == payload.len()
                    && *payload == content(Sort::Message, name, next.number, next.length)
            })
        };
        let stream = match streams.iter().position(|stream| stream.is_heard) {
            Some(heard) => streams.get_mut(heard).filter(|stream| is_next(stream)),
            // The first of its time: of two that would fit, the newer.
            None => streams.iter_mut().rev().find(|stream| is_next(stream)),
        };
        if let Some(stream) = stream {
            stream.is_heard = true;
            stream.waiting.pop_front();
            return Ok(());
        }
        let next: Vec<_> = streams.iter().filter_map(|s| s.waiting.front()).collect();
        Err(super::super::laws::Broken {
            law: Law::Delivery,
            text: format!(
                "of node {}, life {}, came {}; expected is one of {next:?}",
                name.0,
                name.1,
                describe(Sort::Message, payload)
            ),
        })
    }

    fn state_arrived(&self, from: NodeId, sequence: u32, payload: &Bytes) -> Held {
        let Some(life) = self.lives.get(&from) else {
            return demand(false, Law::SentState, || {
                format!("a state of {from}, who does not exist")
            });
        };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let was_sent = sequence < life.number(Sort::State)
            && *payload == content(Sort::State, life.name, sequence, length);
        demand(was_sent, Law::SentState, || {
            let (node, life) = life.name;
            let is = describe(Sort::State, payload);
            format!("as state {sequence} of node {node}, life {life}, came {is}")
        })
    }
}

impl Life {
    const fn number(&self, sort: Sort) -> u32 {
        let [message, state] = self.next;
        match sort {
            Sort::Message => message,
            Sort::State => state,
        }
    }

    const fn advance(&mut self, sort: Sort) {
        let [message, state] = &mut self.next;
        let number = match sort {
            Sort::Message => message,
            Sort::State => state,
        };
        *number = number.wrapping_add(1);
    }
}

/// What the first bytes of a payload say, as far as they are there.
const HEAD: usize = 7;

/// The payload with this number: who it is from, and then bytes that follow from everything.
pub(super) fn content(sort: Sort, (node, life): Name, number: u32, length: u32) -> Bytes {
    let length = length as usize;
    let mut bytes = Vec::with_capacity(length.saturating_add(HEAD).saturating_add(8));
    bytes.extend([mark(sort), node, life]);
    bytes.extend(number.to_be_bytes());
    let mut word = u64::from(number) << 32 ^ (length as u64) << 16;
    word ^= u64::from(node) << 8 ^ u64::from(life);
    while bytes.len() < length {
        // Knuth's MMIX generator; the high bits are the good ones.
        word = word
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend((word ^ word >> 32).to_be_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

const fn mark(sort: Sort) -> u8 {
    match sort {
        Sort::Message => b'm',
        Sort::State => b's',
    }
}

/// A payload for a person to read.
fn describe(sort: Sort, payload: &Bytes) -> String {
    let length = payload.len();
    if let Some([kind, node, life, number @ ..]) = payload.first_chunk::<HEAD>() {
        let number = u32::from_be_bytes(*number);
        let name = (*node, *life);
        let whole = content(
            sort,
            name,
            number,
            u32::try_from(length).unwrap_or(u32::MAX),
        );
        if *kind == mark(sort) && *payload == whole {
            return format!("number {number} of node {node}, life {life} ({length} bytes)");
        }
    }
    format!("{length} bytes that nobody sends")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::EndReason;

    const A: NodeId = NodeId::from_bytes([1; 16]);
    const B: NodeId = NodeId::from_bytes([2; 16]);

    /// Two nodes that see each other.
    fn pair() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.born(A, (0, 0));
        ledger.born(B, (1, 0));
        joined(&mut ledger, A, B);
        joined(&mut ledger, B, A);
        ledger
    }

    fn joined(ledger: &mut Ledger, me: NodeId, node: NodeId) {
        ledger.event(me, &Event::NodeJoined { node }).unwrap();
    }

    fn left(ledger: &mut Ledger, me: NodeId, node: NodeId, reason: LeaveReason) -> Held {
        ledger.event(me, &Event::NodeLeft { node, reason })
    }

    /// A sends B a message of this length.
    fn send(ledger: &mut Ledger, length: u32) -> Bytes {
        let payload = ledger.next(A, Sort::Message, length);
        ledger.sent(A, &[B], length);
        payload
    }

    fn arrive(ledger: &mut Ledger, payload: &Bytes) -> Option<Law> {
        let event = Event::Message {
            from: A,
            payload: payload.clone(),
        };
        ledger.event(B, &event).err().map(|broken| broken.law)
    }

    #[test]
    fn what_is_sent_arrives() {
        let mut ledger = pair();
        let sent: Vec<_> = [0, 1, 7, 8, 100, 100_000]
            .map(|n| send(&mut ledger, n))
            .into();
        assert_eq!(ledger.unheard(A, B), Some(6));
        for payload in &sent {
            assert_eq!(arrive(&mut ledger, payload), None);
        }
        assert_eq!(ledger.unheard(A, B), Some(0));
    }

    #[test]
    fn nothing_more_is_expected_of_who_has_stalled() {
        let mut ledger = pair();
        let first = send(&mut ledger, 50);
        ledger.event(A, &Event::NodeStalled { node: B }).unwrap();
        let second = send(&mut ledger, 50);
        assert_eq!(ledger.unheard(A, B), None);
        assert_eq!(arrive(&mut ledger, &first), None, "it may still come");
        assert_eq!(arrive(&mut ledger, &second), Some(Law::Delivery));
    }

    #[test]
    fn whatever_else_arrives_is_noticed() {
        const LAW: Option<Law> = Some(Law::Delivery);
        let mut ledger = pair();
        let (first, second) = (send(&mut ledger, 50), send(&mut ledger, 50));
        assert_eq!(arrive(&mut ledger, &second), LAW, "out of order");
        assert_eq!(arrive(&mut ledger, &first), None);
        assert_eq!(arrive(&mut ledger, &first), LAW, "twice");
        let mut changed = second.to_vec();
        changed[30] ^= 1;
        assert_eq!(arrive(&mut ledger, &changed.into()), LAW, "modified");
        assert_eq!(arrive(&mut ledger, &second.slice(..49)), LAW, "shortened");
        assert_eq!(arrive(&mut ledger, &second), None);
        let never = content(Sort::Message, (0, 0), 2, 50);
        assert_eq!(arrive(&mut ledger, &never), LAW, "never sent");
        let stranger = Event::Message {
            from: NodeId::from_bytes([9; 16]),
            payload: first,
        };
        assert!(ledger.event(B, &stranger).is_err(), "from nobody");
    }

    #[test]
    fn a_message_is_for_whom_it_is_for() {
        let mut ledger = pair();
        let payload = ledger.next(A, Sort::Message, 20);
        ledger.sent(A, &[], 20);
        assert_eq!(arrive(&mut ledger, &payload), Some(Law::Delivery));
    }

    #[test]
    fn another_time_is_another_stream() {
        let mut ledger = pair();
        let (heard, lost) = (send(&mut ledger, 50), send(&mut ledger, 50));
        assert_eq!(arrive(&mut ledger, &heard), None);
        assert_eq!(left(&mut ledger, B, A, LeaveReason::Lost), Ok(()));
        assert_eq!(left(&mut ledger, A, B, LeaveReason::Lost), Ok(()));
        joined(&mut ledger, A, B);
        joined(&mut ledger, B, A);
        let fresh = send(&mut ledger, 50);
        assert_eq!(
            arrive(&mut ledger, &lost),
            Some(Law::Delivery),
            "of the last time"
        );
        assert_eq!(arrive(&mut ledger, &fresh), None);
    }

    #[test]
    fn a_stream_begins_at_its_beginning() {
        let mut ledger = pair();
        let (_, second) = (send(&mut ledger, 50), send(&mut ledger, 50));
        assert_eq!(arrive(&mut ledger, &second), Some(Law::Delivery));
    }

    #[test]
    fn a_goodbye_overtakes_nothing() {
        for (reason, law) in [
            (LeaveReason::Left, Some(Law::Delivery)),
            (LeaveReason::Lost, None),
        ] {
            let mut ledger = pair();
            let (first, _) = (send(&mut ledger, 50), send(&mut ledger, 50));
            assert_eq!(arrive(&mut ledger, &first), None);
            let held = left(&mut ledger, B, A, reason);
            assert_eq!(held.err().map(|broken| broken.law), law);
        }
    }

    #[test]
    fn a_goodbye_does_not_overtake_the_first_word_either() {
        let mut ledger = pair();
        let _ = send(&mut ledger, 50);
        let reason = EndReason::Left;
        ledger.event(A, &Event::Ended { reason }).unwrap();
        let held = left(&mut ledger, B, A, LeaveReason::Left);
        assert_eq!(held.err().map(|broken| broken.law), Some(Law::Delivery));
    }

    #[test]
    fn a_late_leaving_does_not_concern_the_next_time() {
        let mut ledger = pair();
        joined(&mut ledger, A, B);
        let fresh = send(&mut ledger, 50);
        assert_eq!(left(&mut ledger, B, A, LeaveReason::Left), Ok(()));
        joined(&mut ledger, B, A);
        assert_eq!(arrive(&mut ledger, &fresh), None);
    }

    #[test]
    fn an_end_closes_both_directions() {
        let mut ledger = pair();
        let payload = send(&mut ledger, 50);
        let reason = EndReason::Left;
        ledger.event(A, &Event::Ended { reason }).unwrap();
        assert_eq!(ledger.unheard(A, B), None);
        assert_eq!(arrive(&mut ledger, &payload), None, "it was on the way");
        ledger.event(B, &Event::Ended { reason }).unwrap();
        assert!(!ledger.streams.contains_key(&(A, B)));
    }

    #[test]
    fn states_are_what_was_sent() {
        let mut ledger = pair();
        let payload = ledger.next(A, Sort::State, 40);
        let state = |sequence, payload: &Bytes| Event::State {
            from: A,
            sequence,
            payload: payload.clone(),
        };
        assert!(
            ledger.event(B, &state(0, &payload)).is_err(),
            "not sent yet"
        );
        ledger.state_sent(A, 0).unwrap();
        assert_eq!(ledger.event(B, &state(0, &payload)), Ok(()));
        ledger.state_sent(A, 1).unwrap();
        assert!(
            ledger.event(B, &state(1, &payload)).is_err(),
            "of another number"
        );
        assert!(ledger.state_sent(A, 3).is_err(), "a number left out");
    }
}
