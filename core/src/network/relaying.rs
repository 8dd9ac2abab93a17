//! The host between two joiners: what it passes on, and to whom.

use super::frames::{Handled, Misbehaved};
use super::links::link_to;
use super::{Network, Role};
use crate::id::LinkId;
use crate::link::Channels;
use crate::membership::Passed;
use crate::planted::planted;
use crate::wire::{Ack, Body, Frame, HOST, Number, Outgoing, Piece, Signal, State, Step};

impl Network {
    /// Host: passes a piece on, without looking into it or copying it.
    pub(super) fn relay_piece(
        &mut self,
        origin: Number,
        (to, sequence): (Number, u64),
        copies: &mut Copies<'_>,
    ) -> Handled {
        let (piece, shared) = (copies.piece, copies.many);
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
        match host
            .relay
            .pass(self.now, (origin, to), sequence, piece, shared)
        {
            Ok(Passed::On) => {}
            Ok(Passed::Nothing) => {
                self.count_stale();
                return Ok(());
            }
            Ok(Passed::Again) => link.channels.drop_queued_of(origin),
            Err(error) => {
                tracing::debug!(origin, to, %error, "a node broke the protocol");
                return Err(Misbehaved);
            }
        }
        // In a mesh the host does not know the credit; but nobody has more under way than this.
        let most = (self.terms.window as usize).saturating_mul(2);
        if self.terms.mesh && link.channels.queued_of(origin) > most {
            return Err(Misbehaved);
        }
        if piece.total.is_some() {
            self.counters.messages_relayed = self.counters.messages_relayed.saturating_add(1);
        }
        let mut stamped = origin;
        if planted!(self.config, OriginWrong) {
            let first = self.roster.members().get(1);
            stamped = first.map_or(origin, |member| member.number);
        }
        let frame = copies.get(&mut link.channels, sequence, |body| Frame::From {
            origin: stamped,
            body,
        });
        link.channels.push_encoded(origin, frame);
        Ok(())
    }

    pub(super) fn relay_ack(&mut self, from: Number, to: Number, ack: Ack) -> Handled {
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
        let Some((ack, wait)) = ack.map_err(|_| Misbehaved)? else {
            // It says nothing new, and is not worth the receiver's channel.
            self.count_stale();
            return Ok(());
        };
        let frame = Frame::From {
            origin: from,
            body: Body::Ack(ack),
        };
        link.channels.put_ack(from, frame, self.now.plus(wait));
        Ok(())
    }

    pub(super) fn relay_state(&mut self, id: LinkId, origin: Number, state: &State) {
        if !self.terms.relay || state.payload.len() > usize::from(self.config.limits.piece) {
            return;
        }
        let frame = relayed_state(origin, state);
        for (other, link) in &mut self.links {
            if *other != id
                && link.number().is_some()
                && link.channels.put_state(origin, frame.clone())
            {
                self.counters.states_superseded = self.counters.states_superseded.saturating_add(1);
            }
        }
    }

    /// Host in a mesh: a state for those that its origin has no link to.
    pub(super) fn relay_state_to(
        &mut self,
        origin: Number,
        to: &[Number],
        state: State,
    ) -> Handled {
        let fits = state.payload.len() <= usize::from(self.config.limits.piece);
        if !self.terms.mesh || to.contains(&origin) {
            return Err(Misbehaved);
        }
        if self.terms.relay && fits {
            let frame = relayed_state(origin, &state);
            for link in self.links.values_mut() {
                let wanted = link.number().is_some_and(|number| to.contains(&number));
                if wanted && link.channels.put_state(origin, frame.clone()) {
                    self.counters.states_superseded =
                        self.counters.states_superseded.saturating_add(1);
                }
            }
        }
        if to.contains(&HOST) {
            self.deliver_state(origin, state);
        }
        Ok(())
    }

    /// Host in a mesh: two joiners negotiate a link.
    pub(super) fn relay_signal(&mut self, origin: Number, to: Number, signal: Signal) -> Handled {
        // The later of the two offers, the other answers.
        let turn = match signal.step {
            Step::Offer => origin > to,
            Step::Answer => origin < to,
            Step::Candidate | Step::GiveUp => true,
        };
        let fits = signal.text.len() <= self.config.limits.description as usize;
        if !self.terms.mesh || to == HOST || to == origin || !turn || !fits {
            return Err(Misbehaved);
        }
        let Some(link) = link_to(&mut self.links, to) else {
            self.count_stale();
            return Ok(());
        };
        if !link
            .channels
            .push_signal(origin, &Frame::SignalFrom { origin, signal })
        {
            self.counters.signaling_dropped = self.counters.signaling_dropped.saturating_add(1);
        }
        Ok(())
    }
}

/// A piece for one receiver or many: those who get it under the same sequence share its encoding.
pub(super) struct Copies<'a> {
    piece: &'a Piece,
    many: bool,
    last: Option<(u64, Outgoing)>,
}

impl<'a> Copies<'a> {
    pub(super) const fn new(piece: &'a Piece, receivers: usize) -> Self {
        Self {
            piece,
            many: receivers > 1,
            last: None,
        }
    }

    /// The piece under this sequence, in a frame that is made the same way for all.
    pub(super) fn get(
        &mut self,
        channels: &mut Channels,
        sequence: u64,
        make: impl FnOnce(Body) -> Frame,
    ) -> Outgoing {
        if let Some((_, copy)) = self.last.as_ref().filter(|(of, _)| *of == sequence) {
            return copy.clone();
        }
        let piece = self.piece.clone();
        let frame = channels.encode(&make(Body::Message { sequence, piece }));
        if self.many {
            self.last = Some((sequence, frame.clone()));
        }
        frame
    }
}

/// A state as it is passed on: the same for all who get it.
fn relayed_state(origin: Number, state: &State) -> Outgoing {
    let body = Body::State(state.clone());
    Frame::From { origin, body }.encode()
}
