//! The host's part in a joiner's coming back: whose place it is, and what is said to everybody. The
//! joiner's is [`resuming`](super::resuming).

use alloc::vec;
use alloc::vec::Vec;

use super::frames::{Handled, Misbehaved};
use super::{Network, Role};
use crate::event::{LeaveReason, LinkState, Refusal};
use crate::id::LinkId;
use crate::link::negotiation::{self, Offer, OfferHello};
use crate::link::{Link, Stage};
use crate::signaling::{RelayedKind, write_relayed};
use crate::wire::{Farewell, Frame, HOST, Number, Resumed, Token, Version};

/// How many attempts of one node to come back may be under way.
const ATTEMPTS: usize = 2;

impl Network {
    /// Whether a node may come back.
    pub(super) fn admit_again(
        &mut self,
        peer: &str,
        number: Number,
        hello: &OfferHello,
        offer: &Offer,
    ) -> Result<(), Refusal> {
        if hello.version.major != Version::OURS.major {
            return Err(Refusal::Version);
        }
        if offer.sdp.len() > self.config.limits.description as usize {
            return Err(Refusal::BadOffer);
        }
        if number == HOST || self.roster.node(number) != Some(hello.node) {
            return Err(Refusal::PlaceGone);
        }
        // It tries again: its earlier attempt is given up.
        let earlier = self.links.iter().find(|(_, link)| {
            link.is_joining() && link.resumes() == Some(number) && link.signaling_id() == peer
        });
        if let Some(id) = earlier.map(|(id, _)| *id) {
            self.close_link(id);
        }
        let returning = self.links.values().filter(|link| link.is_joining());
        let same = returning.filter(|link| link.resumes() == Some(number));
        if same.count() >= ATTEMPTS {
            return Err(Refusal::TooManyAttempts);
        }
        Ok(())
    }

    /// Whoever is on its way back shall begin again: what it hears of us from now on is a LEAVE.
    pub(super) fn refuse_returning(&mut self) {
        let links = self.links.iter();
        let returning = links.filter(|(_, link)| link.is_joining() && link.resumes().is_some());
        let returning: Vec<LinkId> = returning.map(|(id, _)| *id).collect();
        for id in returning {
            if let Some(link) = self.links.get_mut(&id) {
                let leave = negotiation::leave(link.connection_id());
                let to = link.signaling_id();
                link.said = vec![write_relayed(RelayedKind::Leave, to, &leave)];
            }
            // Else once we are registered again.
            if self.server.is_some() {
                self.say_again(id);
            }
        }
    }

    /// The first frame on a link that is to replace another.
    pub(super) fn handle_first_of_returned(&mut self, id: LinkId, frame: Frame) -> Handled {
        let Some(link) = self.links.get(&id) else {
            return Ok(());
        };
        let Some(promised) = link.hello.filter(|hello| hello.resume.is_some()) else {
            // A joiner's hello, before we were told that the channel is open.
            return Ok(());
        };
        if let Frame::Resume(resume) = frame
            && promised.resume == Some(resume.number)
            && promised.node == resume.hello.node
        {
            self.take_back(id, resume.number, resume.token);
            return Ok(());
        }
        if matches!(frame, Frame::Goodbye(_)) {
            self.close_link(id);
            return Ok(());
        }
        Err(Misbehaved)
    }

    fn take_back(&mut self, id: LinkId, number: Number, token: Token) {
        let Role::Host(host) = &mut self.role else {
            return;
        };
        let deadline = self.now.plus(self.config.timeouts.leave);
        let is_its_own = host.places.get(&number) == Some(&token);
        if !is_its_own {
            if let Some(link) = self.links.get_mut(&id) {
                link.close_after(Farewell::Lost, deadline);
            }
            return;
        }
        let others = self.roster.members().iter().map(|member| member.number);
        let others = others.filter(|other| *other != HOST && *other != number);
        host.relay.anew(number, others);
        let departed: Vec<(Number, Farewell)> = host.departed.iter().copied().collect();
        let old = self.link_of_node(number);
        let was_silent = old
            .and_then(|old| self.links.get(&old))
            .is_some_and(Link::is_silent);
        if let Some(old) = old {
            self.close_link(old);
        }
        let roster = self.roster.members().to_vec();
        let epoch = self.epoch;
        for (other, link) in &mut self.links {
            if *other == id {
                // Until its next frame it may not know of this, and give the link up.
                link.stage = Stage::Open {
                    number,
                    greeted: false,
                };
                link.clock.welcomed(self.now);
                link.said.clear();
                link.channels.push_control(&Frame::Resumed(Resumed {
                    epoch,
                    roster: roster.clone(),
                    departed: departed.clone(),
                }));
                let others = roster.iter().map(|member| member.number);
                for other in others.filter(|other| *other != HOST && *other != number) {
                    link.channels
                        .push_control(&if self.away.contains_key(&other) {
                            Frame::Away { number: other }
                        } else {
                            Frame::Back { number: other }
                        });
                }
            } else if link.number().is_some() {
                // All of it comes again.
                link.channels.drop_queued_of(number);
                link.channels.push(number, &Frame::Anew { number });
            }
        }
        self.announce_all(id);
        self.diagnose_link(id, LinkState::Open);
        if was_silent || self.away.contains_key(&number) {
            self.found(number);
        }
        self.route_anew(number);
    }

    /// The joiner closed its link without a goodbye, or withdrew its offer. If it was not through with coming
    /// back over it, it begins again; else it has left.
    pub(super) fn link_closed(&mut self, id: LinkId, number: Number, reason: LeaveReason) {
        let link = self.links.get(&id);
        if link.is_some_and(|link| link.resumes().is_some() && link.greets()) {
            self.lose_link(id, number, LeaveReason::Lost);
        } else {
            self.expel(number, reason, None);
        }
    }

    /// A joiner knows that the way to another begins anew.
    pub(super) fn aware(&mut self, origin: Number, to: Number) {
        if let Role::Host(host) = &mut self.role {
            host.relay.aware(origin, to);
        }
    }
}
