//! A joiner of the dialect in our network: we are its host.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use bytes::Bytes;

use super::{Interpreter, Part};
use crate::config::MOST_NODES;
use crate::event::Route;
use crate::io::Channel;
use crate::time::Timestamp;
use crate::wire::json::{self, JsonFrame};
use crate::wire::{Body, Frame, HOST, Member, Number, Signal, State, Step};

impl Interpreter {
    /// A node of the network that speaks the dialect has a name in it; others are called by their id.
    pub(crate) fn name(&mut self, number: Number, name: String) {
        if self.names.len() < usize::from(MOST_NODES) {
            self.names.insert(number, name);
        }
    }

    fn seat_member(&mut self, member: Member) -> Option<String> {
        let name = self.names.remove(&member.number);
        let name = name.unwrap_or_else(|| member.node.to_string());
        self.seat(member.number, name.clone()).then_some(name)
    }

    pub(super) fn say_to_joiner(&mut self, now: Timestamp, frame: Frame) {
        match frame {
            Frame::Welcome(welcome) => {
                self.part = Part::Joiner {
                    number: Some(welcome.number),
                };
                let others = welcome.roster.into_iter();
                let others = others.filter(|member| member.number != welcome.number);
                let names: Vec<String> = others
                    .filter_map(|member| {
                        let name = self.seat_member(member)?;
                        (member.number != HOST).then_some(name)
                    })
                    .collect();
                self.tell(json::roster(names.iter().map(String::as_str)));
            }
            Frame::Foreign { number, name, .. } => self.name(number, name),
            Frame::Joined(member) => {
                if let Some(name) = self.seat_member(member) {
                    self.tell(json::joined(&name));
                }
            }
            Frame::Left { number, .. } => {
                if let Some(name) = self.leave(number) {
                    self.tell(json::left(&name));
                }
            }
            Frame::Ping { stamp } => self.ping(stamp),
            Frame::Direct(body) => self.say_body(now, HOST, body),
            Frame::From { origin, body } => self.say_body(now, origin, body),
            Frame::Anew { number } => self.begin_anew(now, number),
            Frame::SignalFrom { origin, signal } => self.decline(origin, &signal),
            // It has no use for these, or no host says them.
            Frame::Hello(_)
            | Frame::Goodbye(_)
            | Frame::Pong { .. }
            | Frame::RoundTrips(_)
            | Frame::Resume(_)
            | Frame::Resumed(_)
            | Frame::Peer { .. }
            | Frame::Away { .. }
            | Frame::Back { .. }
            | Frame::MessageTo { .. }
            | Frame::AckTo { .. }
            | Frame::StateTo { .. }
            | Frame::SignalTo { .. }
            | Frame::Unknown => {}
        }
    }

    fn say_body(&mut self, now: Timestamp, origin: Number, body: Body) {
        let from = self.seats.get(&origin).filter(|_| origin != HOST);
        let from = from.map(|seat| seat.name.clone());
        match body {
            Body::Message { sequence, piece } => {
                let whole = self.take(now, origin, sequence, piece);
                if let Some(payload) = whole.filter(|payload| self.can_say(payload)) {
                    self.tell(json::message(from.as_deref(), payload));
                }
            }
            Body::Ack(ack) => self.acknowledged(now, origin, ack),
            Body::State(state) => self.say_state(origin, from, state),
        }
    }

    /// Another joiner has a new link to us.
    fn begin_anew(&mut self, now: Timestamp, number: Number) {
        self.push(Channel::Data, Frame::Anew { number });
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        seat.pair.route_ended(Route::Relayed);
        seat.pair.say_ack_again(now);
        for (sequence, payload) in seat.pair.turn_to(Route::Relayed) {
            self.push_message(number, sequence, &payload);
        }
    }

    /// It has no links to other joiners.
    fn decline(&mut self, origin: Number, signal: &Signal) {
        if signal.step == Step::Offer {
            let signal = Signal {
                step: Step::GiveUp,
                flag: false,
                text: Bytes::new(),
                ..*signal
            };
            self.push(Channel::Data, Frame::SignalTo { to: origin, signal });
        }
    }

    pub(super) fn hear_joiner(&mut self, now: Timestamp, frame: JsonFrame<'_>, message: &Bytes) {
        let Part::Joiner { number: Some(me) } = self.part else {
            return;
        };
        // Whatever it says of an origin: it speaks for itself alone.
        match frame {
            JsonFrame::Message { payload, .. } => {
                let payload = message.slice_ref(payload.as_bytes());
                let relay = self.terms.relay;
                let all = self.seats.keys().copied();
                let to: Vec<Number> = all.filter(|to| relay || *to == HOST).collect();
                for to in to {
                    self.pass(now, to, payload.clone());
                }
            }
            JsonFrame::State {
                sequence, payload, ..
            } => {
                let payload = message.slice_ref(payload.as_bytes());
                if let Some(Body::State(state)) = self.hear_state(HOST, sequence, payload) {
                    let frame = self.state_for_all(me, state);
                    self.push(Channel::State, frame);
                }
            }
            JsonFrame::Ping { .. }
            | JsonFrame::Pong { .. }
            | JsonFrame::Refused { .. }
            | JsonFrame::Roster { .. }
            | JsonFrame::Joined { .. }
            | JsonFrame::Left { .. } => self.count_frame(),
        }
    }

    /// In a mesh the host passes on what it is asked to.
    fn state_for_all(&self, me: Number, state: State) -> Frame {
        if !self.terms.mesh {
            return Frame::Direct(Body::State(state));
        }
        let to = self.seats.keys().copied().filter(|to| *to != me).collect();
        Frame::StateTo { to, state }
    }
}
