//! Who is let in: from a joiner's offer to its welcome.

use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use super::{Network, Role};
use crate::event::{Diagnostic, Event, Phase, Refusal};
use crate::id::LinkId;
use crate::io::LinkCommand;
use crate::link::negotiation::{self, Admission, Offer, OfferHello};
use crate::link::{Aside, Link, Stage, Via};
use crate::membership::Pair;
use crate::planted::planted;
use crate::signaling::{RelayedKind, write_relayed};
use crate::wire::{Frame, Member, Number, Token, Version, Welcome};

impl Network {
    pub(super) fn handle_offer(&mut self, peer: String, offer: Offer) {
        let Some(hello) = offer.hello else {
            self.handle_foreign_offer(peer, offer);
            return;
        };
        if let Some(link) = self.link_of(&peer, &offer.connection_id) {
            // The offer came twice, or again after a reconnect that may have cost the answer.
            self.say_again(link);
            return;
        }
        let admitted = match hello.resume {
            None => self.admit(&peer, &hello, &offer),
            Some(number) => self.admit_again(&peer, number, &hello, &offer),
        };
        match admitted {
            Ok(()) => self.open_link(peer, hello, offer),
            Err(reason) => {
                self.counters.joins_refused = self.counters.joins_refused.saturating_add(1);
                self.diagnose(Diagnostic::Refused {
                    node: Some(hello.node),
                    reason,
                });
                let refusal = negotiation::refusal(&offer.connection_id, reason);
                self.signal(write_relayed(RelayedKind::Answer, &peer, &refusal));
            }
        }
    }

    /// Whether somebody may come in: decided before anything is spent on it.
    fn admit(&mut self, peer: &str, hello: &OfferHello, offer: &Offer) -> Result<(), Refusal> {
        if hello.version.major != Version::OURS.major {
            return Err(Refusal::Version);
        }
        if offer.sdp.len() > self.config.limits.description as usize {
            return Err(Refusal::BadOffer);
        }
        if self.roster.number(hello.node).is_some() {
            return Err(Refusal::NodeIdTaken);
        }
        // The same node tries again: its earlier attempt is given up. Only it can know its signaling
        // id and its name; another one with that name waits until the first has come or gone.
        let earlier = self.links.iter().find(|(_, link)| {
            link.is_joining() && link.hello.is_some_and(|other| other.node == hello.node)
        });
        match earlier.map(|(id, link)| (*id, link.signaling_id() == peer)) {
            Some((id, true)) => self.close_link(id),
            Some((_, false)) => return Err(Refusal::NodeIdTaken),
            None => {}
        }
        if self.joins_too_often(peer) {
            return Err(Refusal::TooManyAttempts);
        }
        if !self.has_place(0) {
            return Err(Refusal::NetworkFull);
        }
        Ok(())
    }

    /// Whether as many joins of one signaling id are under way as may be.
    pub(super) fn joins_too_often(&self, peer: &str) -> bool {
        let joining = self.links.values().filter(|link| link.is_joining());
        let same = joining.filter(|link| link.signaling_id() == peer).count();
        same >= usize::from(self.config.limits.joins_per_signaling_id)
    }

    /// Host: whether there is a place for one more, when so many of the roster have gone.
    pub(super) fn has_place(&self, gone: usize) -> bool {
        let Role::Host(host) = &self.role else {
            return false;
        };
        // Who comes back has a place already.
        let under_way = if planted!(self.config, JoinNotCounted) {
            0
        } else {
            let links = self.links.values();
            links.filter(|link| link.wants_place()).count()
        };
        let places = self.roster.len().saturating_add(under_way);
        let max_nodes = usize::from(self.config.max_nodes);
        places.saturating_sub(gone) < max_nodes && host.next_number < Number::MAX
    }

    /// A link that somebody who joins has offered.
    pub(super) fn joining_link(&self, peer: String, connection: String) -> Link {
        let timeouts = self.config.timeouts;
        let deadline = self.now.plus(timeouts.ice).plus(timeouts.datachannel);
        let via = Via::Signaling { peer, connection };
        Link::new(self.now, via, self.bounds(), deadline)
    }

    fn open_link(&mut self, peer: String, hello: OfferHello, offer: Offer) {
        let id = self.new_link();
        let mut link = self.joining_link(peer, offer.connection_id);
        link.hello = Some(hello);
        self.links.insert(id, link);
        self.command(id, LinkCommand::Open { offerer: false });
        let lead = self.leads(&hello);
        self.command(
            id,
            LinkCommand::AcceptOffer {
                sdp: offer.sdp,
                lead,
            },
        );
        self.diagnose_link(id, crate::event::LinkState::Negotiating);
    }

    /// Whether we take the roles that save two trips: only native links know how.
    const fn leads(&self, hello: &OfferHello) -> bool {
        hello.native && self.config.native
    }

    /// Our answer is made.
    pub(super) fn send_answer(&mut self, id: LinkId, sdp: &str) {
        let (host, epoch, terms, now) = (self.id, self.epoch, self.terms, self.now);
        let hello = self.links.get(&id).and_then(|link| link.hello);
        let led = hello.is_some_and(|hello| self.leads(&hello));
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let unmarked = link.interpreter.is_some() || link.aside != Aside::No;
        let version = Version::OURS;
        let admission = Admission {
            sdp: sdp.to_string(),
            version,
            host,
            epoch,
            terms,
            led,
        };
        let (peer, connection) = (link.signaling_id(), link.connection_id());
        let text = if unmarked {
            let payload = negotiation::answer_unmarked(connection, sdp);
            write_relayed(RelayedKind::Answer, peer, &payload)
        } else {
            let payload = negotiation::answer(connection, &admission);
            write_relayed(RelayedKind::Answer, peer, &payload)
        };
        link.said = vec![text.clone()];
        link.clock.answered(now);
        self.signal(text);
    }

    /// Repeats our answer and candidates, as long as the joiner may be waiting for them.
    pub(super) fn say_again(&mut self, id: LinkId) {
        let said = self.links.get(&id).map(|link| link.said.clone());
        for text in said.unwrap_or_default() {
            self.signal(text);
        }
    }

    /// The data channel of a joiner is open: it is a node now, and told so at once.
    pub(super) fn welcome(&mut self, id: LinkId) {
        self.make_way(id);
        let Role::Host(host) = &mut self.role else {
            return;
        };
        let number = host.next_number;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let new = link.is_joining() && link.resumes().is_none();
        let Some(hello) = link.hello.filter(|_| new) else {
            return;
        };
        host.next_number = number.saturating_add(1);
        let member = Member {
            number,
            node: hello.node,
        };
        let token = Token(host.tokens.bytes());
        host.places.insert(number, token);
        self.announce(id, number);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.stage = Stage::Open {
            number,
            // An interpreter has nothing to prove.
            greeted: link.interpreter.is_some(),
        };
        link.clock.welcomed(self.now);
        // Candidates may still come, but nobody waits for the answer again.
        link.said = Vec::new();
        self.roster.add(member);
        self.pairs.insert(number, Pair::new(self.terms));
        let roster = self.roster.members().to_vec();
        let welcome = Frame::Welcome(Welcome {
            epoch: self.epoch,
            number,
            token,
            roster,
        });
        link.channels.push_control(&welcome);
        for number in self.away.keys() {
            link.channels.push_control(&Frame::Away { number: *number });
        }
        self.announce_all(id);
        for (other, link) in &mut self.links {
            if *other != id && link.number().is_some() {
                // If it was here before, its last words and its leaving come first.
                link.channels
                    .hurry(|origin| self.roster.node(origin).is_none());
                let again = usize::from(number) >= self.roster.len();
                if !(again && planted!(self.config, RosterNotResent)) {
                    link.channels.push_control(&Frame::Joined(member));
                }
            }
        }
        tracing::info!(node = %hello.node, "node joined");
        self.report_success(id);
        self.tell(Event::NodeJoined { node: hello.node });
    }

    /// The link of a peer's connection; a peer can have several.
    pub(super) fn link_of(&self, peer: &str, connection_id: &str) -> Option<LinkId> {
        self.links
            .iter()
            .find(|(_, link)| link.signaling_id() == peer && link.connection_id() == connection_id)
            .map(|(id, _)| *id)
    }

    /// The phase of a join at the host's side, for what a timeout means.
    pub(super) fn join_phase(link: &Link) -> Phase {
        let timing = link.clock.timing();
        if timing.signaling.is_none() {
            Phase::Signaling
        } else if timing.ice.is_none() {
            Phase::Ice
        } else {
            Phase::Datachannel
        }
    }
}
