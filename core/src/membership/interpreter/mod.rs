//! A node that speaks the JSON dialect, made to look like one of ours.
//!
//! It stands on our side of the link: what our network says to the node is turned into JSON, what the
//! node says into frames, and what the dialect does not have (numbers, sequences, acknowledgements,
//! credit) is kept here in the node's place. So all rules of the network hold for it, and nothing else
//! in the network has to know of the dialect.

mod host;
mod joiner;
mod taking;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use self::taking::Taking;
use super::{Delivered, Pair};
use crate::config::MOST_NODES;
use crate::event::Route;
use crate::id::NodeId;
use crate::io::{Channel, ChannelMessage};
use crate::link::negotiation::Terms;
use crate::map::Map;
use crate::rng::Rng;
use crate::time::{Timestamp, earliest};
use crate::wire::json::{self, JsonFrame};
use crate::wire::{Ack, Body, Farewell, Frame, HOST, Number, Piece, State, pieces};

/// After so many states in a row that are not newer, their sender has begun to count anew.
const BEGUN_ANEW: u8 = 8;

/// Over this many bytes in its channel a state, a ping or a pong is not worth more.
pub(crate) const STALE: u32 = 64 * 1024;

/// So many bytes are no more than a ping, or two.
pub(crate) const PING: u32 = 64;

/// What one link to a node of the dialect needs.
#[derive(Debug)]
pub(crate) struct Interpreter {
    part: Part,
    terms: Terms,
    /// The longest payload that fits a message to the other end, whatever stands around it.
    most: u32,
    /// States over this are not passed.
    piece: u16,
    /// Those behind the link, or those that the one at its end hears: names and what is owed.
    seats: Map<Number, Seat>,
    /// Names of nodes of the dialect that are not announced yet.
    names: Map<Number, String>,
    /// Bytes of messages that wait for credit.
    waiting: usize,
    frames: VecDeque<(Channel, Frame)>,
    messages: VecDeque<(Channel, ChannelMessage)>,
    /// Has a channel for states, on this link or another.
    pub(crate) has_state: bool,
    /// What the channels hold: the data channel, and the one for states.
    pub(crate) buffered: [u32; 2],
    pub(crate) skipped: Skipped,
    pings: Pings,
    taking: Taking,
}

/// How the node is asked for a sign of life.
#[derive(Debug)]
struct Pings {
    /// Over which channel: another is tried when no answer comes. The one for states loses, and there are
    /// nodes that listen to one of the two alone.
    on: Channel,
    /// The last was not answered yet.
    waiting: bool,
    /// None was ever answered.
    vain: bool,
}

/// What could not be turned into the other language, to be counted by the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Messages and states of others that are no JSON objects.
    pub(crate) payloads: u64,
    /// What the node said that makes no sense.
    pub(crate) frames: u64,
}

/// What the node at the other end is.
#[derive(Debug)]
enum Part {
    /// A joiner; its number, once it is welcome.
    Joiner { number: Option<Number> },
    /// The host of the network that we join.
    Host(Box<host::Hosting>),
}

/// One node as the other end of the link sees it.
#[derive(Debug)]
struct Seat {
    name: String,
    pair: Pair,
    /// Messages to it that wait for its credit.
    waiting: VecDeque<Bytes>,
    heard: Order,
    said: Count,
    /// States from it, in our own count.
    next_state: u32,
    /// It has left, which is told behind its last message.
    left: bool,
}

/// In which order the states of one sender come.
#[derive(Debug, Default)]
struct Order {
    last: Option<u64>,
    old: u8,
}

impl Order {
    /// Whether this is news. Numbers that only fall are a sender that counts anew, or one that wraps.
    fn is_new(&mut self, sequence: u64) -> bool {
        let new = self.last.is_none_or(|last| sequence > last) || self.old >= BEGUN_ANEW;
        if new {
            self.last = Some(sequence);
            self.old = 0;
        } else if self.last != Some(sequence) {
            self.old = self.old.saturating_add(1);
        }
        new
    }
}

/// The numbers of our states in the dialect: from 1, rising, without a wrap.
#[derive(Debug, Default)]
struct Count {
    last: Option<(u32, u64)>,
}

impl Count {
    fn next(&mut self, sequence: u32) -> Option<u64> {
        let number = match self.last {
            None => 1,
            Some((last, number)) => {
                let ahead = sequence.wrapping_sub(last);
                (ahead > 0 && ahead < 1 << 31).then_some(())?;
                number.saturating_add(ahead.into())
            }
        };
        self.last = Some((sequence, number));
        Some(number)
    }
}

/// The node says more than the others can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overfull;

impl Interpreter {
    fn new(part: Part, terms: Terms, most: u32, piece: u16) -> Self {
        Self {
            part,
            terms,
            most,
            piece,
            seats: Map::new(),
            names: Map::new(),
            waiting: 0,
            frames: VecDeque::new(),
            messages: VecDeque::new(),
            has_state: false,
            buffered: [0; 2],
            skipped: Skipped::default(),
            pings: Pings {
                on: Channel::State,
                waiting: false,
                vain: true,
            },
            taking: Taking::new(terms.window),
        }
    }

    /// A joiner of the dialect in our network.
    pub(crate) fn of_joiner(terms: Terms, most: u32, piece: u16) -> Self {
        Self::new(Part::Joiner { number: None }, terms, most, piece)
    }

    /// A host of the dialect; nodes behind it get the ids that `ids` makes of their names.
    pub(crate) fn of_host(
        terms: Terms,
        most: u32,
        piece: u16,
        us: NodeId,
        our_name: String,
        (host_name, ids): (&str, Rng),
    ) -> Self {
        let hosting = host::Hosting::new(us, our_name, host_name, ids);
        Self::new(Part::Host(Box::new(hosting)), terms, most, piece)
    }

    /// The longest payload that the node can be given.
    pub(crate) const fn most(&self) -> u32 {
        self.most
    }

    /// Whether it has never answered a ping, as nodes do that know none.
    pub(crate) const fn is_mute(&self) -> bool {
        self.pings.vain
    }

    fn ping(&mut self, stamp: u32) {
        if core::mem::replace(&mut self.pings.waiting, true) {
            self.pings.on = match self.pings.on {
                // It would wait behind all that.
                Channel::State if self.buffered[0] > STALE => Channel::State,
                Channel::State => Channel::Data,
                Channel::Data => Channel::State,
            };
        }
        self.messages.push_back((self.pings.on, json::ping(stamp)));
    }

    /// What our network says to the node.
    pub(crate) fn say(&mut self, now: Timestamp, frames: Vec<Frame>) {
        for frame in frames {
            match self.part {
                Part::Joiner { .. } => self.say_to_joiner(now, frame),
                Part::Host(_) => self.say_to_host(now, frame),
            }
        }
    }

    /// What the node says.
    pub(crate) fn hear(&mut self, now: Timestamp, message: &Bytes) -> Result<(), Overfull> {
        match json::read(message) {
            Some(JsonFrame::Ping { stamp }) => {
                let pong = json::pong(stamp);
                self.messages.push_back((Channel::State, pong));
            }
            Some(JsonFrame::Pong { stamp }) if self.taking.answered(stamp).is_some() => {
                while let Some((number, length)) = self.taking.poll(now) {
                    self.taken(now, number, length);
                }
            }
            Some(JsonFrame::Pong { stamp }) => match stamp.parse() {
                Ok(stamp) => {
                    self.pings.waiting = false;
                    self.pings.vain = false;
                    self.push(Channel::State, Frame::Pong { stamp });
                }
                Err(_) => self.count_frame(),
            },
            Some(frame) => match self.part {
                Part::Joiner { .. } => self.hear_joiner(now, frame, message),
                Part::Host(_) => self.hear_host(now, frame, message),
            },
            None => self.count_frame(),
        }
        let most = (self.terms.window as usize).max(self.terms.message as usize);
        if self.waiting > most.saturating_mul(2) {
            return Err(Overfull);
        }
        Ok(())
    }

    /// Whether there is a frame for our network.
    pub(crate) fn has_heard(&self) -> bool {
        !self.frames.is_empty()
    }

    /// The next frame for our network, as if the node had sent it.
    pub(crate) fn poll_frame(&mut self) -> Option<(Channel, Frame)> {
        self.frames.pop_front()
    }

    /// The next message for the node, and which channel it is for.
    pub(crate) fn poll_message(&mut self) -> Option<(Channel, ChannelMessage)> {
        self.messages.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let acks = self
            .seats
            .values()
            .filter_map(|seat| seat.pair.poll_timeout());
        let welcome = match &self.part {
            Part::Host(hosting) => hosting.deadline(),
            Part::Joiner { .. } => None,
        };
        earliest(earliest(acks.min(), welcome), self.taking.poll_timeout())
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        if let Part::Host(hosting) = &self.part
            && hosting.deadline().is_some_and(|at| at <= now)
        {
            self.welcome(Vec::new());
        }
        self.acknowledge(now);
    }

    /// Asks whether it has taken what it was told, if that is due.
    pub(crate) fn ask(&mut self, now: Timestamp) {
        if let Some(ping) = self.taking.ask(now) {
            self.tell(ping);
        }
    }

    /// It has taken a message.
    fn taken(&mut self, now: Timestamp, number: Number, length: usize) {
        if let Some(seat) = self.seats.get_mut(&number) {
            seat.pair.take(length);
            seat.pair.taken(now);
            seat.pair.no_account();
        }
    }

    /// The acknowledgements that are due.
    pub(crate) fn acknowledge(&mut self, now: Timestamp) {
        let due =
            |(number, seat): (&Number, &mut Seat)| Some((*number, seat.pair.poll_ack(now, now)?));
        let acks: Vec<(Number, Ack)> = self.seats.iter_mut().filter_map(due).collect();
        for (number, ack) in acks {
            let frame = self.spoken_by(number, Body::Ack(ack));
            self.push(Channel::Data, frame);
        }
    }

    /// The frame in which this goes to our network. Behind a host it is from that node; of a joiner, for
    /// that node.
    fn spoken_by(&self, number: Number, body: Body) -> Frame {
        match (&self.part, body) {
            (_, body) if number == HOST => Frame::Direct(body),
            (Part::Host(_), body) => Frame::From {
                origin: number,
                body,
            },
            (Part::Joiner { .. }, Body::Ack(ack)) => Frame::AckTo { to: number, ack },
            (Part::Joiner { .. }, Body::Message { sequence, piece }) => Frame::MessageTo {
                to: [(number, sequence)].into(),
                piece,
            },
            (Part::Joiner { .. }, body @ Body::State(_)) => Frame::Direct(body),
        }
    }

    fn push(&mut self, channel: Channel, frame: Frame) {
        self.frames.push_back((channel, frame));
    }

    fn tell(&mut self, message: ChannelMessage) {
        self.messages.push_back((Channel::Data, message));
    }

    const fn count_frame(&mut self) {
        self.skipped.frames = self.skipped.frames.saturating_add(1);
    }

    const fn count_payload(&mut self) {
        self.skipped.payloads = self.skipped.payloads.saturating_add(1);
    }

    /// Somebody is there whom the other end hears.
    fn seat(&mut self, number: Number, name: String) -> bool {
        if self.seats.len() >= usize::from(MOST_NODES) || self.seats.contains_key(&number) {
            return false;
        }
        let routes = self.terms.mesh && number != HOST;
        let pair = if routes {
            Pair::with_routes(self.terms)
        } else {
            Pair::new(self.terms)
        };
        let seat = Seat {
            name,
            pair,
            waiting: VecDeque::new(),
            heard: Order::default(),
            said: Count::default(),
            next_state: 0,
            left: false,
        };
        self.seats.insert(number, seat);
        true
    }

    fn leave(&mut self, number: Number) -> Option<String> {
        let seat = self.seats.remove(&number)?;
        let waited: usize = seat.waiting.iter().map(Bytes::len).sum();
        self.waiting = self.waiting.saturating_sub(waited);
        Some(seat.name)
    }

    /// A message of the node for our network, through this seat: now, or when there is credit.
    fn pass(&mut self, now: Timestamp, number: Number, payload: Bytes) {
        if payload.len() > self.terms.message as usize {
            self.count_frame();
            return;
        }
        let length = payload.len();
        if let Some(seat) = self.seats.get_mut(&number) {
            seat.waiting.push_back(payload);
            self.waiting = self.waiting.saturating_add(length);
            self.flush(now, number);
        }
    }

    /// Sends what waits, as far as there is credit.
    fn flush(&mut self, now: Timestamp, number: Number) {
        while let Some(seat) = self.seats.get_mut(&number)
            && let Some(first) = seat.waiting.front()
            && seat.pair.has_room(first.len())
            && let Some(payload) = seat.waiting.pop_front()
        {
            let sequence = seat.pair.send(now, &payload);
            self.waiting = self.waiting.saturating_sub(payload.len());
            self.push_message(number, sequence, &payload);
        }
        if self
            .seats
            .get(&number)
            .is_some_and(|seat| seat.left && seat.waiting.is_empty())
        {
            self.leave(number);
            let why = Farewell::Left;
            self.push(Channel::Data, Frame::Left { number, why });
        }
    }

    fn push_message(&mut self, number: Number, sequence: u64, payload: &Bytes) {
        for piece in pieces(payload, self.piece.into()) {
            let body = Body::Message { sequence, piece };
            let frame = self.spoken_by(number, body);
            self.push(Channel::Data, frame);
        }
    }

    /// A piece of our network for the node: the message, once it is whole.
    fn take(
        &mut self,
        now: Timestamp,
        number: Number,
        sequence: u64,
        piece: Piece,
    ) -> Option<Bytes> {
        let seat = self.seats.get_mut(&number)?;
        match seat.pair.receive(now, Route::Relayed, sequence, piece) {
            Ok(Delivered::Message(payload)) => {
                seat.pair.no_account();
                // The channel has room for it, or this would not be said.
                let told = (number, payload.len());
                if let Some((number, length)) = self.taking.tell(now, told) {
                    self.taken(now, number, length);
                }
                Some(payload)
            }
            Ok(Delivered::Partly | Delivered::Repeated) => None,
            Err(_) => {
                self.count_frame();
                None
            }
        }
    }

    /// Whether the payload can be said in the dialect; counted if not.
    fn can_say(&mut self, payload: &[u8]) -> bool {
        let can = payload.len() <= self.most as usize && json::is_object(payload);
        if !can {
            self.count_payload();
        }
        can
    }

    fn acknowledged(&mut self, now: Timestamp, number: Number, ack: Ack) {
        if let Some(seat) = self.seats.get_mut(&number)
            && seat.pair.handle_ack(now, ack).is_ok()
        {
            self.flush(now, number);
        }
    }

    /// A state of our network for the node; `from` is its origin's name.
    fn say_state(&mut self, number: Number, from: Option<String>, state: State) {
        if !self.can_say(&state.payload) {
            return;
        }
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        if let Some(sequence) = seat.said.next(state.sequence) {
            let message = json::state(from.as_deref(), sequence, state.payload);
            self.messages.push_back((Channel::State, message));
        }
    }

    /// A state of the node, or passed on by it: as a body for our network.
    fn hear_state(&mut self, number: Number, sequence: u64, payload: Bytes) -> Option<Body> {
        if payload.len() > usize::from(self.piece) {
            self.count_frame();
            return None;
        }
        let seat = self.seats.get_mut(&number)?;
        seat.heard.is_new(sequence).then(|| {
            let sequence = seat.next_state;
            seat.next_state = sequence.wrapping_add(1);
            Body::State(State { sequence, payload })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defect_15_a_sender_that_counts_anew_is_heard_again() {
        let mut order = Order::default();
        assert!(order.is_new(5));
        assert!(!order.is_new(5));
        assert!(!order.is_new(4));
        assert!(order.is_new(u64::MAX));
        let heard = (1..=20).filter(|sequence| order.is_new(*sequence)).count();
        assert_eq!(heard, 20 - usize::from(BEGUN_ANEW));
    }

    #[test]
    fn our_numbers_rise_although_ours_wrap() {
        let mut count = Count::default();
        assert_eq!(count.next(u32::MAX - 1), Some(1));
        assert_eq!(count.next(u32::MAX), Some(2));
        assert_eq!(count.next(u32::MAX), None);
        assert_eq!(count.next(3), Some(6));
        assert_eq!(count.next(2), None);
    }
}
