//! Messages, states and acknowledgements of our own.

use alloc::vec::Vec;
use bytes::Bytes;

use super::links::link_to;
use super::relaying::Copies;
use super::{Network, Role};
use crate::error::SendError;
use crate::event::{Event, Route};
use crate::id::NodeId;
use crate::membership::{ACK_DELAY, Pair};
use crate::planted::planted;
use crate::time::Timestamp;
use crate::wire::{Ack, Body, Frame, HOST, Number, Piece, State, pieces};

impl Network {
    pub(super) fn send_message(
        &mut self,
        to: Option<NodeId>,
        payload: &Bytes,
    ) -> Result<(), SendError> {
        let to = match to {
            None => None,
            Some(node) => Some(self.receiver(node)?),
        };
        self.check_joined()?;
        let max = self.terms.message;
        if payload.len() > max as usize {
            return Err(SendError::TooLarge { max });
        }
        self.check_dialects(self.receivers(to), payload)?;
        let length = payload.len();
        if !self.has_room(to, length) {
            self.blocked.insert(to, length);
            return Err(SendError::Full);
        }
        let mut numbered: Vec<(Number, u64)> = Vec::with_capacity(self.pairs.len());
        numbered.extend(self.receivers(to).map(|number| (number, 0)));
        for (number, sequence) in &mut numbered {
            if let Some(pair) = self.pairs.get_mut(number) {
                *sequence = pair.send(self.now, payload);
            }
        }
        for piece in pieces(payload, usize::from(self.config.limits.piece)) {
            self.queue_piece(&numbered, &piece);
        }
        if self.terms.mesh && self.me != HOST {
            for (number, _) in numbered {
                let route = if self.goes_directly(number) {
                    Route::Direct
                } else if self.can_relay() {
                    Route::Relayed
                } else {
                    continue;
                };
                if let Some(pair) = self.pairs.get_mut(&number) {
                    pair.gave(route);
                }
            }
        }
        Ok(())
    }

    fn check_joined(&self) -> Result<(), SendError> {
        let joined = match &self.role {
            Role::Host(_) => true,
            Role::Joiner(joiner) => joiner.is_welcome(),
            Role::Idle | Role::Leaving { .. } => false,
        };
        if joined {
            Ok(())
        } else {
            Err(SendError::NotJoined)
        }
    }

    fn receiver(&self, node: NodeId) -> Result<Number, SendError> {
        self.check_joined()?;
        if node == self.id {
            return Err(SendError::Myself);
        }
        let number = self.roster.number(node).ok_or(SendError::UnknownNode)?;
        if self.host_is_foreign() {
            return Err(SendError::BroadcastOnly);
        }
        if !self.is_for(number) {
            return Err(SendError::NotRelayed);
        }
        if self.pairs.get(&number).is_some_and(Pair::is_given_up) {
            return Err(SendError::NotTaking);
        }
        Ok(number)
    }

    /// Whether what we send is for this node, be there a way to it at the moment or not: where the
    /// host relays, all that we see hear us, and what finds no way waits for the next one.
    fn is_for(&self, number: Number) -> bool {
        self.terms.relay || self.is_reachable(number)
    }

    /// Without a relaying host a joiner reaches the host and those that it has a link to.
    pub(super) fn is_reachable(&self, number: Number) -> bool {
        self.me == HOST || number == HOST || self.can_relay() || self.goes_directly(number)
    }

    fn receivers(&self, to: Option<Number>) -> impl Iterator<Item = Number> + '_ {
        self.pairs
            .iter()
            .filter(|(_, pair)| !pair.is_given_up())
            .map(|(number, _)| *number)
            .filter(move |number| to.is_none_or(|to| to == *number) && self.is_for(*number))
    }

    fn has_room(&self, to: Option<Number>, length: usize) -> bool {
        self.receivers(to).all(|number| {
            self.pairs
                .get(&number)
                .is_none_or(|pair| pair.has_room(length))
        })
    }

    /// A route is used from now on, or begins anew: what may be lost otherwise goes there as well.
    pub(super) fn send_again(&mut self, number: Number, route: Route) {
        if !self.is_reachable(number) {
            return;
        }
        let besides = self.pairs.get_mut(&number).map(|pair| pair.turn_to(route));
        let besides = besides.filter(|_| !planted!(self.config, ReplayForgotten));
        for (sequence, payload) in besides.unwrap_or_default() {
            for piece in pieces(&payload, usize::from(self.config.limits.piece)) {
                self.queue_piece(&[(number, sequence)], &piece);
            }
        }
    }

    pub(super) fn queue_piece(&mut self, to: &[(Number, u64)], piece: &Piece) {
        let me = self.me;
        let is_direct = |to: Number| me == HOST || to != HOST && self.goes_directly(to);
        let (mut direct, mut relayed) = (to.to_vec(), to.to_vec());
        direct.retain(|(to, _)| is_direct(*to));
        relayed.retain(|(to, _)| !is_direct(*to));
        if !relayed.is_empty() {
            let frame = match relayed.as_slice() {
                [(HOST, sequence)] => Frame::Direct(Body::Message {
                    sequence: *sequence,
                    piece: piece.clone(),
                }),
                _ => Frame::MessageTo {
                    to: relayed,
                    piece: piece.clone(),
                },
            };
            if let Some(link) = link_to(&mut self.links, HOST) {
                link.channels.push(me, &frame);
            }
        }
        let mut copies = Copies::new(piece, direct.len());
        for (number, sequence) in direct {
            if let Some(link) = link_to(&mut self.links, number) {
                let frame = copies.get(&mut link.channels, sequence, Frame::Direct);
                link.channels.push_encoded(me, frame);
            }
        }
    }

    pub(super) fn send_state(&mut self, payload: Bytes) -> Result<u32, SendError> {
        self.check_joined()?;
        let max = self.config.limits.piece.into();
        if payload.len() > max as usize {
            return Err(SendError::TooLarge { max });
        }
        self.check_dialects(self.receivers(None), &payload)?;
        let sequence = self.next_state;
        self.next_state = sequence.wrapping_add(1);
        let me = self.me;
        // In a mesh the host passes it on to those alone that cannot be reached otherwise.
        let mut far: Vec<Number> = Vec::new();
        if self.terms.mesh && me != HOST && self.can_relay() {
            far = self.pairs.keys().copied().collect();
            far.retain(|number| *number != HOST && !self.goes_directly(*number));
            if !far.is_empty() {
                far.push(HOST);
            }
        }
        let state = State { sequence, payload };
        let through_host = (!far.is_empty()).then(|| {
            let (to, state) = (far, state.clone());
            Frame::StateTo { to, state }.encode()
        });
        let frame = Frame::Direct(Body::State(state)).encode();
        for link in self.links.values_mut() {
            let Some(number) = link.number() else {
                continue;
            };
            let to_host = through_host.as_ref().filter(|_| number == HOST);
            let frame = to_host.unwrap_or(&frame).clone();
            let superseded = link.channels.put_state(me, frame);
            if superseded {
                self.counters.states_superseded = self.counters.states_superseded.saturating_add(1);
            }
        }
        Ok(sequence)
    }

    /// The application took a message.
    pub(super) fn take(&mut self, from: NodeId, length: usize) {
        let now = self.now;
        if let Some(number) = self.roster.number(from)
            && let Some(pair) = self.pairs.get_mut(&number)
        {
            pair.take(length);
            pair.taken(now);
        }
        self.pairs.look_at_touched(|_, pair| pair.poll_timeout());
    }

    /// Sends the acknowledgements that are due.
    pub(super) fn send_acks(&mut self) {
        let now = self.now;
        self.pairs.look_at_touched(|_, pair| pair.poll_timeout());
        if self.pairs.deadline().is_none_or(|at| at > now) {
            return;
        }
        // One that is due takes along those that would follow: one wake-up, and one message.
        let until = now.plus(ACK_DELAY);
        let mut due: Vec<(Number, Ack)> = Vec::with_capacity(self.pairs.len());
        self.pairs.look(until, |number, pair| {
            due.extend(pair.poll_ack(now, until).map(|ack| (number, ack)));
            pair.poll_timeout()
        });
        for (number, mut ack) in due {
            if planted!(self.config, CreditNotRenewed) {
                ack.limit = self.terms.window.into();
            }
            let direct = self.me == HOST || number == HOST || self.goes_directly(number);
            let (over, frame) = if direct {
                (number, Frame::Direct(Body::Ack(ack)))
            } else {
                (HOST, Frame::AckTo { to: number, ack })
            };
            if let Some(link) = link_to(&mut self.links, over) {
                link.channels.put_ack(number, frame, now);
            }
        }
    }

    pub(super) fn acks_deadline(&self) -> Option<Timestamp> {
        debug_assert_eq!(
            self.pairs.deadline(),
            self.pairs.values().filter_map(Pair::poll_timeout).min(),
            "all that were touched have been looked at"
        );
        self.pairs.deadline()
    }

    /// Tells once that something that was refused would fit now.
    pub(super) fn tell_writable(&mut self) {
        if self.blocked.is_empty() {
            return;
        }
        let fits: Vec<Option<Number>> = self
            .blocked
            .iter()
            .filter(|(to, length)| self.has_room(**to, **length))
            .map(|(to, _)| *to)
            .collect();
        for to in &fits {
            self.blocked.remove(to);
        }
        if !fits.is_empty() {
            self.tell(Event::Writable);
        }
    }
}
