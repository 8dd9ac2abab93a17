//! What the frames of other nodes lead to.

use bytes::Bytes;
use core::time::Duration;

use super::links::{end_of, reason_of};
use super::relaying::Copies;
use super::{Network, Role};
use crate::config::MOST_NODES;
use crate::error::EndReason;
use crate::event::{Event, LeaveReason, Route};
use crate::id::LinkId;
use crate::io::Channel;
use crate::link::{Link, Stage};
use crate::membership::{Delivered, GiveUp};
use crate::planted::planted;
use crate::wire::{
    Ack, Body, FRAMES_PER_MESSAGE, Farewell, Frame, HOST, Member, Number, Piece, State, Version,
    decode_into,
};

/// The sender of a frame broke the protocol; its link ends.
pub(super) struct Misbehaved;

pub(super) type Handled = Result<(), Misbehaved>;

impl Network {
    pub(super) fn handle_channel_message(&mut self, id: LinkId, channel: Channel, message: Bytes) {
        let read = decode_into(message, FRAMES_PER_MESSAGE, &mut self.frames);
        let mut handled = read.map_err(|error| {
            tracing::debug!(%error, "a channel message cannot be read");
            Misbehaved
        });
        while handled.is_ok()
            && let Some(frame) = self.frames.pop_front()
        {
            handled = self.handle_frame(id, channel, frame);
        }
        if handled.is_err() {
            self.frames.clear();
            self.misbehaved(id);
        }
    }

    pub(super) fn handle_frame(&mut self, id: LinkId, channel: Channel, frame: Frame) -> Handled {
        // A frame may have ended the link or the network.
        let Some(link) = self.links.get(&id) else {
            return Ok(());
        };
        let (stage, direct) = (link.stage, link.direct());
        let early = match stage {
            Stage::Open { greeted, .. } => !greeted,
            Stage::Joining { .. } | Stage::Carrying { .. } => true,
            Stage::Closing { .. } => {
                self.handle_frame_while_closing(id, &frame);
                return Ok(());
            }
        };
        match (channel, &frame) {
            (_, Frame::Unknown) => {}
            (Channel::State, Frame::Ping { .. } | Frame::Pong { .. }) => {
                self.handle_echo(id, &frame);
            }
            (Channel::State, Frame::RoundTrips(all)) => self.handle_round_trips(id, all),
            // The state channel may be faster than the first reliable frame.
            (
                Channel::State,
                Frame::Direct(Body::State(_)) | Frame::From { .. } | Frame::StateTo { .. },
            ) if early => {
                self.count_stale();
            }
            (Channel::State, Frame::Direct(Body::State(_)) | Frame::StateTo { .. })
            | (
                Channel::State,
                Frame::From {
                    body: Body::State(_),
                    ..
                },
            )
            | (Channel::Data, _) => {
                return match direct {
                    Some((number, _)) => self.handle_from_peer(id, number, frame),
                    None => self.handle_frame_at(id, stage, frame),
                };
            }
            (Channel::State, _) => return Err(Misbehaved),
        }
        Ok(())
    }

    fn handle_frame_at(&mut self, id: LinkId, stage: Stage, frame: Frame) -> Handled {
        match (&self.role, stage) {
            (Role::Joiner(_), Stage::Joining { .. }) => self.handle_first_of_host(id, frame),
            (Role::Joiner(_), Stage::Open { .. }) => self.handle_from_host(frame),
            (Role::Host(_), Stage::Joining { .. }) => self.handle_first_of_returned(id, frame),
            (
                Role::Host(_),
                Stage::Open {
                    number,
                    greeted: false,
                },
            ) => self.handle_greeting(id, number, frame),
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
        if let Frame::Resumed(resumed) = frame {
            return self.resumed(id, resumed).ok_or(Misbehaved);
        }
        if let Frame::Goodbye(why) = frame {
            if self.is_resuming(id) {
                self.place_gone();
            } else {
                self.end(end_of(why));
            }
            return Ok(());
        }
        Err(Misbehaved)
    }

    /// The joiner's first frame must repeat what its OFFER said, unless it has come back.
    fn handle_greeting(&mut self, id: LinkId, number: Number, frame: Frame) -> Handled {
        let Some(link) = self.links.get_mut(&id) else {
            return Ok(());
        };
        if link.resumes().is_some() {
            link.stage = Stage::Open {
                number,
                greeted: true,
            };
            return self.handle_from_joiner(id, number, frame);
        }
        match (&frame, link.hello) {
            (Frame::Hello(hello), Some(promised))
                if hello.node == promised.node && hello.version.major == Version::OURS.major =>
            {
                link.stage = Stage::Open {
                    number,
                    greeted: true,
                };
                Ok(())
            }
            (Frame::Goodbye(why), _) => {
                self.expel(number, own_reason(*why), None);
                Ok(())
            }
            _ => Err(Misbehaved),
        }
    }

    fn handle_from_joiner(&mut self, id: LinkId, number: Number, frame: Frame) -> Handled {
        match frame {
            Frame::Direct(Body::Message { sequence, piece }) => {
                self.deliver(number, Route::Relayed, sequence, piece)
            }
            Frame::Direct(Body::Ack(ack)) => self.acknowledged(number, ack),
            Frame::Direct(Body::State(state)) => {
                if !self.terms.mesh {
                    self.relay_state(id, number, &state);
                }
                self.deliver_state(number, state);
                Ok(())
            }
            Frame::StateTo { to, state } => self.relay_state_to(number, &to, state),
            Frame::SignalTo { to, signal } => self.relay_signal(number, to, signal),
            Frame::MessageTo { to, piece } => {
                // Named twice, one frame would be many messages (law 6).
                if names_twice(&to) {
                    return Err(Misbehaved);
                }
                let mut copies = Copies::new(&piece, to.len());
                for (to, sequence) in to {
                    if to == HOST {
                        self.deliver(number, Route::Relayed, sequence, piece.clone())?;
                    } else {
                        self.relay_piece(number, (to, sequence), &mut copies)?;
                    }
                }
                Ok(())
            }
            Frame::AckTo { to, ack } => self.relay_ack(number, to, ack),
            Frame::Anew { number: to } => {
                self.aware(number, to);
                Ok(())
            }
            Frame::Goodbye(why) => {
                self.expel(number, own_reason(why), None);
                Ok(())
            }
            Frame::Ping { .. } | Frame::Pong { .. } => {
                self.handle_echo(id, &frame);
                Ok(())
            }
            Frame::Unknown => Ok(()),
            Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::Resume(_)
            | Frame::Resumed(_)
            | Frame::Joined(_)
            | Frame::Foreign { .. }
            | Frame::Left { .. }
            | Frame::Away { .. }
            | Frame::Back { .. }
            | Frame::RoundTrips(_)
            | Frame::Peer { .. }
            | Frame::SignalFrom { .. }
            | Frame::From { .. } => Err(Misbehaved),
        }
    }

    fn handle_from_host(&mut self, frame: Frame) -> Handled {
        match frame {
            Frame::Joined(member) => self.node_came(member),
            Frame::Anew { number } => self.begins_anew(number),
            Frame::Away { number } => self.told_away(number, true),
            Frame::Back { number } => self.told_away(number, false),
            Frame::Foreign { number, most, name } => {
                self.know_foreign(number, most, name);
                Ok(())
            }
            Frame::Left { number, why } => {
                if number == HOST || number == self.me {
                    return Err(Misbehaved);
                }
                self.roster.node(number).ok_or(Misbehaved)?;
                self.told_left(number, reason_of(why));
                Ok(())
            }
            Frame::Goodbye(why @ (Farewell::Left | Farewell::Closed)) => {
                self.host_gone(LeaveReason::Left, end_of(why));
                Ok(())
            }
            Frame::Goodbye(why) => {
                if let Some(link) = self.link_of_node(HOST) {
                    self.close_link(link);
                }
                // In a mesh the others hear it from us, too, and do not look for another way to us.
                self.leave_as(why, end_of(why));
                Ok(())
            }
            Frame::SignalFrom { origin, signal } => {
                if !self.terms.mesh {
                    return Err(Misbehaved);
                }
                self.handle_signal(origin, &signal);
                Ok(())
            }
            Frame::Direct(body) => self.handle_body(HOST, Route::Relayed, body),
            Frame::From { origin, body } => {
                if origin == HOST || origin == self.me {
                    return Err(Misbehaved);
                }
                self.handle_body(origin, Route::Relayed, body)
            }
            Frame::Unknown | Frame::Ping { .. } | Frame::Pong { .. } => Ok(()),
            Frame::RoundTrips(all) => {
                self.note_round_trips(&all);
                Ok(())
            }
            Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::Resume(_)
            | Frame::Resumed(_)
            | Frame::Peer { .. }
            | Frame::StateTo { .. }
            | Frame::SignalTo { .. }
            | Frame::MessageTo { .. }
            | Frame::AckTo { .. } => Err(Misbehaved),
        }
    }

    /// The host says that somebody joined.
    pub(super) fn node_came(&mut self, member: Member) -> Handled {
        self.make_place(member.node);
        if self.roster.len() >= usize::from(MOST_NODES) || !self.roster.add(member) {
            return Err(Misbehaved);
        }
        let pair = Self::pair_of_joiner(self.terms, member.number);
        self.pairs.insert(member.number, pair);
        self.tell(Event::NodeJoined { node: member.node });
        self.meet(member.number);
        Ok(())
    }

    pub(super) fn handle_body(&mut self, origin: Number, route: Route, body: Body) -> Handled {
        match body {
            Body::Message { sequence, piece } => self.deliver(origin, route, sequence, piece),
            Body::Ack(ack) => self.acknowledged(origin, ack),
            Body::State(state) => {
                self.deliver_state(origin, state);
                Ok(())
            }
        }
    }

    fn deliver(&mut self, origin: Number, route: Route, sequence: u64, piece: Piece) -> Handled {
        let (Some(from), Some(pair)) = (self.roster.node(origin), self.pairs.get_mut(&origin))
        else {
            self.count_stale();
            return Ok(());
        };
        let repeat = planted!(self.config, ReplayDelivered).then(|| piece.payload.clone());
        match pair.receive(self.now, route, sequence, piece) {
            Ok(Delivered::Repeated) => {
                if let Some(payload) = repeat {
                    self.tell(Event::Message { from, payload });
                }
                Ok(())
            }
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

    pub(super) fn deliver_state(&mut self, origin: Number, state: State) {
        let (Some(from), Some(pair)) = (self.roster.node(origin), self.pairs.get_mut(&origin))
        else {
            self.count_stale();
            return;
        };
        let sequence = state.sequence;
        let stale = planted!(self.config, StateNotCompared).then(|| state.payload.clone());
        if let Some(payload) = pair.receive_state(self.now, state).or(stale) {
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
        match pair.handle_ack(self.now, ack) {
            Ok(progress) => {
                let is_here = !self.away.contains_key(&number);
                let back = progress && is_here && pair.take_back();
                if let Some(node) = self.roster.node(number).filter(|_| back) {
                    self.tell(Event::NodeBack { node });
                }
                Ok(())
            }
            // The host does not check it for us in a mesh, so it is not the host's fault.
            Err(_) if pair.has_routes() => {
                self.count_stale();
                Ok(())
            }
            Err(_) => Err(Misbehaved),
        }
    }

    fn handle_round_trips(&mut self, id: LinkId, all: &[(Number, u32)]) {
        let from_host = self.links.get(&id).and_then(Link::number) == Some(HOST);
        if from_host && matches!(self.role, Role::Joiner(_)) {
            self.note_round_trips(all);
        }
    }

    fn note_round_trips(&mut self, all: &[(Number, u32)]) {
        self.round_trips.clear();
        for (number, micros) in all {
            self.round_trips
                .insert(*number, Duration::from_micros((*micros).into()));
        }
    }

    pub(super) fn handle_echo(&mut self, id: LinkId, frame: &Frame) {
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

    pub(super) fn misbehaved(&mut self, id: LinkId) {
        self.counters.frames_bad = self.counters.frames_bad.saturating_add(1);
        let Some(link) = self.links.get(&id) else {
            return;
        };
        match (&self.role, link.number()) {
            (Role::Host(_), Some(number)) => {
                self.expel(number, LeaveReason::Misbehaved, Some(Farewell::Misbehaved));
            }
            (Role::Joiner(_), _) if link.direct().is_some() => {
                self.direct_over(id, GiveUp::Ours, LeaveReason::Misbehaved);
            }
            (Role::Joiner(_), _) => self.end(EndReason::HostMisbehaved),
            (Role::Host(_) | Role::Idle | Role::Leaving { .. }, _) => self.close_link(id),
        }
    }

    pub(super) const fn count_stale(&mut self) {
        self.counters.frames_stale = self.counters.frames_stale.saturating_add(1);
    }
}

/// Why a joiner goes of its own accord.
const fn own_reason(why: Farewell) -> LeaveReason {
    if matches!(why, Farewell::TooSlow) {
        LeaveReason::TooSlow
    } else {
        LeaveReason::Left
    }
}

/// Whether a number occurs more than once; there are at most 64.
fn names_twice(to: &[(Number, u64)]) -> bool {
    to.iter()
        .enumerate()
        .any(|(place, (number, _))| to.iter().take(place).any(|(other, _)| other == number))
}
