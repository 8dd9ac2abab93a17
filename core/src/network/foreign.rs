//! Nodes that are not wattle's: Clayground's own and PeerJS pages, which speak the JSON dialect.
//!
//! An [`Interpreter`] on their link makes each look like one of ours ([`interpreting`](super::interpreting)).
//! Here is who is let in, and what the others are told; [`foreign_host`](super::foreign_host) is the other way
//! round.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use bytes::Bytes;

use super::{Network, Role};
use crate::config::MOST_NODES;
use crate::error::SendError;
use crate::event::{Diagnostic, LeaveReason, LinkState, Refusal};
use crate::id::{LinkId, NodeId};
use crate::io::{Channel, LinkCommand};
use crate::link::negotiation::{self, Offer, OfferHello, STATES};
use crate::link::{Aside, Link, Stage};
use crate::membership::Interpreter;
use crate::wire::{Frame, Number, Version, json};

/// Links that are made to refuse somebody, at once.
const REFUSALS: usize = 4;
/// Names of nodes are no longer than this.
const NAME: usize = 64;
/// Ids of connections are no longer than this.
const CONNECTION: usize = 256;
/// No message of the dialect is longer: what browsers take.
const FRAME: u32 = 256 * 1024;
/// What stands around a payload: members, and a name of which each byte may be escaped.
const AROUND: u32 = (json::AROUND + 6 * NAME) as u32;

/// A node of the network that speaks the dialect.
#[derive(Debug)]
pub(super) struct Foreign {
    /// The longest payload it can be given.
    most: u32,
    name: String,
}

impl Network {
    /// Host: an offer of a peer without our marker.
    pub(super) fn handle_foreign_offer(&mut self, peer: String, offer: Offer) {
        let signaling_id = peer.chars().take(NAME).collect();
        self.diagnose(Diagnostic::ForeignOffer { signaling_id });
        if let Some(link) = self.link_of(&peer, &offer.connection_id) {
            self.say_again(link);
            return;
        }
        let fits = peer.len() <= NAME
            && offer.connection_id.len() <= CONNECTION
            && offer.sdp.len() <= self.config.limits.description as usize;
        if !fits || self.joins_too_often(&peer) {
            self.count_refused();
            return;
        }
        if offer.label == STATES {
            self.take_states(peer, offer);
            return;
        }
        let node = self.foreign_id(&peer);
        match self.admit_foreign(&peer, node) {
            Ok(()) => self.open_foreign(peer, offer, Some(node), Aside::No),
            Err(reason) => {
                self.count_refused();
                let node = Some(node);
                self.diagnose(Diagnostic::Refused { node, reason });
                let refusing = |link: &&Link| matches!(link.aside, Aside::Refused(_));
                // It can only be told on a link.
                if self.links.values().filter(refusing).count() < REFUSALS {
                    self.open_foreign(peer, offer, None, Aside::Refused(reason));
                }
            }
        }
    }

    const fn count_refused(&mut self) {
        self.counters.joins_refused = self.counters.joins_refused.saturating_add(1);
    }

    fn foreign_id(&self, name: &str) -> NodeId {
        NodeId::from_bytes(self.rng.fork("foreign").fork(name).bytes())
    }

    fn admit_foreign(&self, peer: &str, node: NodeId) -> Result<(), Refusal> {
        // Not in the place of one that is heard: whoever comes back has to wait until it is not.
        let is_there = |link: &Link| {
            let same = link.hello.is_some_and(|hello| hello.node == node);
            same && !(link.number().is_some() && link.is_silent())
        };
        let named = peer.parse().ok().and_then(|id| self.roster.number(id));
        if named.is_some() || self.links.values().any(is_there) {
            return Err(Refusal::NodeIdTaken);
        }
        // Whose name it has leaves when it comes.
        let again = usize::from(self.roster.number(node).is_some());
        if !self.has_place(again) {
            return Err(Refusal::NetworkFull);
        }
        Ok(())
    }

    fn open_foreign(&mut self, peer: String, offer: Offer, node: Option<NodeId>, aside: Aside) {
        let id = self.new_link();
        let mut link = self.joining_link(peer, offer.connection_id);
        link.hello = node.map(|node| OfferHello {
            version: Version::OURS,
            node,
            native: false,
            resume: None,
        });
        link.aside = aside;
        if aside == Aside::No {
            let (most, piece) = (self.longest(&offer.sdp), self.config.limits.piece);
            let interpreter = Interpreter::of_joiner(self.terms, most, piece);
            link.interpreter = Some(Box::new(interpreter));
            self.interprets = true;
        }
        self.links.insert(id, link);
        self.expect_signs(id);
        self.command(id, LinkCommand::Open { offerer: false });
        self.command(id, LinkCommand::TakeChannels);
        let (sdp, lead) = (offer.sdp, false);
        self.command(id, LinkCommand::AcceptOffer { sdp, lead });
        self.diagnose_link(id, LinkState::Negotiating);
    }

    /// The longest payload that a peer with this description can be given.
    pub(super) fn longest(&self, sdp: &str) -> u32 {
        let said = negotiation::longest_message(sdp);
        let ours = self.config.limits.channel_buffer.saturating_mul(2);
        said.min(ours).min(FRAME).saturating_sub(AROUND)
    }

    /// A page's other connection, for states.
    fn take_states(&mut self, peer: String, offer: Offer) {
        let its = |(_, link): &(&LinkId, &Link)| {
            link.interpreter.is_some() && link.signaling_id() == peer
        };
        let Some(of) = self.links.iter().find(its).map(|(id, _)| *id) else {
            self.count_refused();
            return;
        };
        let before = self.links.iter();
        let mut before = before.filter(|(_, link)| link.carries_for() == Some(of));
        if let Some(id) = before.next().map(|(id, _)| *id) {
            self.close_link(id);
            self.states_gone(of);
        }
        self.open_foreign(peer, offer, None, Aside::States(of));
    }

    /// Host: a channel of a link that is no node's is open.
    pub(super) fn aside_opened(&mut self, id: LinkId, on: Channel) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        // Who is refused hears it on each channel: nobody knows on which one it listens, or which opens first.
        if !link.is_joining() && !matches!(link.aside, Aside::Refused(_)) {
            return;
        }
        match link.aside {
            Aside::No => {}
            Aside::States(of) => {
                link.stage = Stage::Carrying { on };
                if let Some(interpreter) = self.interpreter(of) {
                    interpreter.has_state = true;
                } else {
                    self.close_link(id);
                }
                if let Role::Joiner(joiner) = &mut self.role {
                    joiner.attempt = None;
                    self.client.close();
                }
            }
            Aside::Refused(reason) => {
                let deadline = self.now.plus(self.config.timeouts.leave);
                let text = match reason {
                    Refusal::NetworkFull => "Network full",
                    Refusal::NodeIdTaken => "Already in the network",
                    Refusal::Version
                    | Refusal::TooManyAttempts
                    | Refusal::BadOffer
                    | Refusal::PlaceGone => "Refused",
                };
                let message = json::refused(text);
                let farewell = None;
                link.stage = Stage::Closing { farewell, deadline };
                let channel = on;
                self.command(id, LinkCommand::Send { channel, message });
            }
        }
    }

    /// Host: before it is welcome, a node that was here under the same name has gone.
    pub(super) fn make_way(&mut self, id: LinkId) {
        let link = self.links.get(&id);
        let node = link.filter(|link| link.interpreter.is_some() && link.is_joining());
        let node = node.and_then(|link| Some(link.hello?.node));
        if let Some(number) = node.and_then(|node| self.roster.number(node)) {
            self.expel(number, LeaveReason::Lost, None);
        }
    }

    /// Host: a link is about to be a node's. Who speaks the dialect is known to all before it joins; a new
    /// one gets the others' names.
    pub(super) fn announce(&mut self, id: LinkId, number: Number) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let name = link.signaling_id().to_string();
        if let Some(interpreter) = &mut link.interpreter {
            for (number, foreign) in &self.foreign {
                interpreter.name(*number, foreign.name.clone());
            }
            let most = interpreter.most();
            self.know_foreign(number, most, name.clone());
            for (other, link) in &mut self.links {
                if *other != id && link.number().is_some() {
                    let name = name.clone();
                    let foreign = Frame::Foreign { number, most, name };
                    link.channels.push_control(&foreign);
                }
            }
        }
    }

    /// Host: a wattle node hears who speaks the dialect.
    pub(super) fn announce_all(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if link.interpreter.is_some() {
            return;
        }
        for (number, foreign) in &self.foreign {
            link.channels.push_control(&Frame::Foreign {
                number: *number,
                most: foreign.most,
                name: foreign.name.clone(),
            });
        }
    }

    /// A node of the network speaks the dialect, or will when it joins.
    pub(super) fn know_foreign(&mut self, number: Number, most: u32, name: String) {
        let known = self.foreign.contains_key(&number);
        if known || self.foreign.len() < usize::from(MOST_NODES) {
            self.foreign.insert(number, Foreign { most, name });
        }
    }

    /// The name in the JSON dialect of a node that speaks it (a Clayground node or a PeerJS page): its id at
    /// the signaling server. `None`: it is a wattle node, or not here.
    ///
    /// Such a node takes [JSON objects](SendError::NotJson) alone.
    #[must_use]
    pub fn foreign_name(&self, node: NodeId) -> Option<&str> {
        let number = self.roster.number(node)?;
        Some(&self.foreign.get(&number)?.name)
    }

    /// Whether these receivers can be given this payload.
    pub(super) fn check_dialects(
        &self,
        receivers: impl Iterator<Item = Number>,
        payload: &Bytes,
    ) -> Result<(), SendError> {
        if self.foreign.is_empty() {
            return Ok(());
        }
        let foreign = receivers.filter_map(|number| self.foreign.get(&number));
        match foreign.map(|foreign| foreign.most).min() {
            None => Ok(()),
            Some(max) if payload.len() > max as usize => Err(SendError::TooLarge { max }),
            Some(_) if !json::is_object(payload) => Err(SendError::NotJson),
            Some(_) => Ok(()),
        }
    }
}
