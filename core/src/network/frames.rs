//! What the frames of other nodes lead to.

use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::links::{end_of, link_to, reason_of};
use super::{Network, Role};
use crate::error::EndReason;
use crate::event::{Event, LeaveReason};
use crate::id::LinkId;
use crate::io::Channel;
use crate::link::Stage;
use crate::membership::{Delivered, Pair};
use crate::wire::{
    Ack, Body, FRAMES_PER_MESSAGE, Farewell, Frame, HOST, Number, Piece, State, Version, decode,
};

/// The sender of a frame broke the protocol; its link ends.
struct Misbehaved;

type Handled = Result<(), Misbehaved>;

impl Network {
    pub(super) fn handle_channel_message(&mut self, id: LinkId, channel: Channel, message: Bytes) {
        let handled = match decode(message, FRAMES_PER_MESSAGE) {
            Ok(frames) => self.handle_frames(id, channel, frames),
            Err(error) => {
                tracing::debug!(%error, "a channel message cannot be read");
                Err(Misbehaved)
            }
        };
        if handled.is_err() {
            self.misbehaved(id);
        }
    }

    fn handle_frames(&mut self, id: LinkId, channel: Channel, frames: Vec<Frame>) -> Handled {
        for frame in frames {
            // A frame may have ended the link or the network.
            let Some(stage) = self.links.get(&id).map(|link| link.stage) else {
                return Ok(());
            };
            let early = match stage {
                Stage::Open { greeted, .. } => !greeted,
                Stage::Joining { .. } => true,
                Stage::Closing { .. } => {
                    self.handle_frame_while_closing(id, &frame);
                    continue;
                }
            };
            match (channel, &frame) {
                (_, Frame::Unknown) => {}
                (Channel::State, Frame::Ping { .. } | Frame::Pong { .. }) => {
                    self.handle_echo(id, &frame);
                }
                // The state channel may be faster than the first reliable frame.
                (Channel::State, Frame::Direct(Body::State(_)) | Frame::From { .. }) if early => {
                    self.count_stale();
                }
                (Channel::State, Frame::Direct(Body::State(_)))
                | (
                    Channel::State,
                    Frame::From {
                        body: Body::State(_),
                        ..
                    },
                )
                | (Channel::Data, _) => self.handle_frame(id, stage, frame)?,
                (Channel::State, _) => return Err(Misbehaved),
            }
        }
        Ok(())
    }

    fn handle_frame(&mut self, id: LinkId, stage: Stage, frame: Frame) -> Handled {
        match (&self.role, stage) {
            (Role::Joiner(_), Stage::Joining { .. }) => self.handle_first_of_host(id, frame),
            (Role::Joiner(_), Stage::Open { .. }) => self.handle_from_host(frame),
            (
                Role::Host(_),
                Stage::Open {
                    number,
                    greeted: false,
                },
            ) => self.handle_greeting(id, number, &frame),
            (
                Role::Host(_),
                Stage::Open {
                    number,
                    greeted: true,
                },
            ) => self.handle_from_joiner(id, number, frame),
            _ => Ok(()),
        }
    }

    /// The host's first frame is the welcome, unless it changed its mind.
    fn handle_first_of_host(&mut self, id: LinkId, frame: Frame) -> Handled {
        if let Frame::Welcome(welcome) = frame {
            return self.welcomed(id, welcome).ok_or(Misbehaved);
        }
        if let Frame::Goodbye(why) = frame {
            self.end(end_of(why));
            return Ok(());
        }
        Err(Misbehaved)
    }

    /// The joiner's first frame must repeat what its OFFER said.
    fn handle_greeting(&mut self, id: LinkId, number: Number, frame: &Frame) -> Handled {
        let Some(link) = self.links.get_mut(&id) else {
            return Ok(());
        };
        match (frame, link.hello) {
            (Frame::Hello(hello), Some(promised))
                if hello.node == promised.node && hello.version.major == Version::OURS.major =>
            {
                link.stage = Stage::Open {
                    number,
                    greeted: true,
                };
                Ok(())
            }
            (Frame::Goodbye(_), _) => {
                self.expel(number, LeaveReason::Left, None);
                Ok(())
            }
            _ => Err(Misbehaved),
        }
    }

    fn handle_from_joiner(&mut self, id: LinkId, number: Number, frame: Frame) -> Handled {
        match frame {
            Frame::Direct(Body::Message { sequence, piece }) => {
                self.deliver(number, sequence, piece)
            }
            Frame::Direct(Body::Ack(ack)) => self.acknowledged(number, ack),
            Frame::Direct(Body::State(state)) => {
                self.relay_state(id, number, &state);
                self.deliver_state(number, state);
                Ok(())
            }
            Frame::MessageTo { to, piece } => {
                // Named twice, one frame would be many messages (law 6).
                if names_twice(&to) {
                    return Err(Misbehaved);
                }
                for (to, sequence) in to {
                    if to == HOST {
                        self.deliver(number, sequence, piece.clone())?;
                    } else {
                        self.relay_piece(number, to, sequence, &piece)?;
                    }
                }
                Ok(())
            }
            Frame::AckTo { to, ack } => self.relay_ack(number, to, ack),
            Frame::Goodbye(_) => {
                self.expel(number, LeaveReason::Left, None);
                Ok(())
            }
            Frame::Ping { .. } | Frame::Pong { .. } => {
                self.handle_echo(id, &frame);
                Ok(())
            }
            Frame::Unknown => Ok(()),
            Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::Joined(_)
            | Frame::Left { .. }
            | Frame::From { .. } => Err(Misbehaved),
        }
    }

    fn handle_from_host(&mut self, frame: Frame) -> Handled {
        match frame {
            Frame::Joined(member) => {
                if self.roster.len() >= 64 || !self.roster.add(member) {
                    return Err(Misbehaved);
                }
                self.pairs.insert(member.number, Pair::new(self.terms));
                self.tell(Event::NodeJoined { node: member.node });
                Ok(())
            }
            Frame::Left { number, why } => {
                if number == HOST || number == self.me {
                    return Err(Misbehaved);
                }
                let node = self.roster.remove(number).ok_or(Misbehaved)?;
                self.pairs.remove(&number);
                self.tell(Event::NodeLeft {
                    node,
                    reason: reason_of(why),
                });
                Ok(())
            }
            Frame::Goodbye(why) => {
                self.end(end_of(why));
                Ok(())
            }
            Frame::Direct(body) => self.handle_body(HOST, body),
            Frame::From { origin, body } => {
                if origin == HOST || origin == self.me {
                    return Err(Misbehaved);
                }
                self.handle_body(origin, body)
            }
            Frame::Unknown | Frame::Ping { .. } | Frame::Pong { .. } => Ok(()),
            Frame::Hello(_) | Frame::Welcome(_) | Frame::MessageTo { .. } | Frame::AckTo { .. } => {
                Err(Misbehaved)
            }
        }
    }

    fn handle_body(&mut self, origin: Number, body: Body) -> Handled {
        match body {
            Body::Message { sequence, piece } => self.deliver(origin, sequence, piece),
            Body::Ack(ack) => self.acknowledged(origin, ack),
            Body::State(state) => {
                self.deliver_state(origin, state);
                Ok(())
            }
        }
    }

    fn deliver(&mut self, origin: Number, sequence: u64, piece: Piece) -> Handled {
        let (Some(from), Some(pair)) = (self.roster.node(origin), self.pairs.get_mut(&origin))
        else {
            self.count_stale();
            return Ok(());
        };
        match pair.receive(self.now, sequence, piece) {
            Ok(Delivered::Partly) => Ok(()),
            Ok(Delivered::Message(payload)) => {
                self.tell(Event::Message { from, payload });
                Ok(())
            }
            Err(error) => {
                tracing::debug!(%from, %error, "a node broke the protocol");
                Err(Misbehaved)
            }
        }
    }

    fn deliver_state(&mut self, origin: Number, state: State) {
        let (Some(from), Some(pair)) = (self.roster.node(origin), self.pairs.get_mut(&origin))
        else {
            self.count_stale();
            return;
        };
        let sequence = state.sequence;
        if let Some(payload) = pair.receive_state(self.now, state) {
            self.tell(Event::State {
                from,
                sequence,
                payload,
            });
        }
    }

    fn acknowledged(&mut self, number: Number, ack: Ack) -> Handled {
        let Some(pair) = self.pairs.get_mut(&number) else {
            self.count_stale();
            return Ok(());
        };
        pair.handle_ack(self.now, ack)
            .map(|_| ())
            .map_err(|_| Misbehaved)
    }

    /// Host: passes a piece on, without looking into it or copying it.
    fn relay_piece(&mut self, origin: Number, to: Number, sequence: u64, piece: &Piece) -> Handled {
        let Role::Host(host) = &mut self.role else {
            return Err(Misbehaved);
        };
        if !self.terms.relay || to == origin {
            return Err(Misbehaved);
        }
        let Some(link) = link_to(&mut self.links, to) else {
            // It left; its Left is on the way to the origin.
            self.count_stale();
            return Ok(());
        };
        if let Err(error) = host.relay.pass(self.now, (origin, to), sequence, piece) {
            tracing::debug!(origin, to, %error, "a node broke the protocol");
            return Err(Misbehaved);
        }
        if piece.total.is_some() {
            self.counters.messages_relayed = self.counters.messages_relayed.saturating_add(1);
        }
        let body = Body::Message {
            sequence,
            piece: piece.clone(),
        };
        link.channels
            .push(origin, Frame::From { origin, body }.encode());
        Ok(())
    }

    fn relay_ack(&mut self, from: Number, to: Number, ack: Ack) -> Handled {
        let Role::Host(host) = &mut self.role else {
            return Err(Misbehaved);
        };
        if from == to {
            return Err(Misbehaved);
        }
        let Some(link) = link_to(&mut self.links, to) else {
            self.count_stale();
            return Ok(());
        };
        let ack = host.relay.pass_ack(self.now, from, to, ack);
        let Some(ack) = ack.map_err(|_| Misbehaved)? else {
            // It says nothing new, and is not worth the receiver's channel.
            self.count_stale();
            return Ok(());
        };
        let frame = Frame::From {
            origin: from,
            body: Body::Ack(ack),
        };
        link.channels.put_ack(from, frame);
        Ok(())
    }

    fn relay_state(&mut self, id: LinkId, origin: Number, state: &State) {
        if !self.terms.relay || state.payload.len() > usize::from(self.config.limits.piece) {
            return;
        }
        for (other, link) in &mut self.links {
            if *other != id
                && link.number().is_some()
                && link.channels.put_state(origin, state.clone())
            {
                self.counters.states_superseded = self.counters.states_superseded.saturating_add(1);
            }
        }
    }

    fn handle_echo(&mut self, id: LinkId, frame: &Frame) {
        let now = (self.now.as_nanos() / 1000) as u32;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if let Frame::Ping { stamp } = frame {
            link.channels.push_echo(&Frame::Pong { stamp: *stamp });
        } else if let Frame::Pong { stamp } = frame {
            let round_trip = Duration::from_micros(now.wrapping_sub(*stamp).into());
            if round_trip < Duration::from_secs(60) {
                self.heard(id, Some(round_trip));
            }
        }
    }

    /// We are saying goodbye: only the other's goodbye still matters.
    fn handle_frame_while_closing(&mut self, id: LinkId, frame: &Frame) {
        if matches!(frame, Frame::Goodbye(_)) {
            self.close_link(id);
        }
    }

    fn misbehaved(&mut self, id: LinkId) {
        self.counters.frames_bad = self.counters.frames_bad.saturating_add(1);
        let Some(link) = self.links.get(&id) else {
            return;
        };
        match (&self.role, link.number()) {
            (Role::Host(_), Some(number)) => {
                self.expel(number, LeaveReason::Misbehaved, Some(Farewell::Misbehaved));
            }
            (Role::Joiner(_), _) => self.end(EndReason::HostMisbehaved),
            (Role::Host(_) | Role::Idle | Role::Leaving { .. }, _) => self.close_link(id),
        }
    }

    const fn count_stale(&mut self) {
        self.counters.frames_stale = self.counters.frames_stale.saturating_add(1);
    }
}

/// Whether a number occurs more than once; there are at most 64.
fn names_twice(to: &[(Number, u64)]) -> bool {
    to.iter()
        .enumerate()
        .any(|(place, (number, _))| to.iter().take(place).any(|(other, _)| other == number))
}
