//! Nodes that are not wattle's: Clayground's own and PeerJS pages, which speak the JSON dialect.
//!
//! An [`Interpreter`] on their link makes each look like one of ours. Here is what is left: who is let in,
//! and the other connection that a page wants for states.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::{Network, Role};
use crate::config::MOST_NODES;
use crate::error::{EndReason, SendError};
use crate::event::{Diagnostic, LeaveReason, LinkState, Phase, Refusal};
use crate::id::{LinkId, NodeId};
use crate::io::{Channel, LinkCommand, LinkFailure, Output};
use crate::link::negotiation::{self, ForeignAnswer, Offer, OfferHello, STATES, Verdict};
use crate::link::{Aside, Link, Stage, Via};
use crate::membership::Interpreter;
use crate::wire::{Frame, HOST, Number, Version, json};

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
/// How long channels may take to open on a path that works, before another connection is made
/// instead: four trips are enough, a loss included.
const CHANNELS: Duration = Duration::from_secs(2);
/// Over this many bytes in its channel a state or a pong is not worth more.
const STALE: u32 = 64 * 1024;

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
        let joining = self.links.values().filter(|link| link.is_joining());
        let same = joining.filter(|link| link.signaling_id() == peer).count();
        if !fits || same >= usize::from(self.config.limits.joins_per_signaling_id) {
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
        let Role::Host(host) = &self.role else {
            return Err(Refusal::NetworkFull);
        };
        // Not in the place of one that is heard: whoever comes back has to wait until it is not.
        let is_there = |link: &Link| {
            let same = link.hello.is_some_and(|hello| hello.node == node);
            same && !(link.number().is_some() && link.is_silent())
        };
        let named = peer.parse().ok().and_then(|id| self.roster.number(id));
        if named.is_some() || self.links.values().any(is_there) {
            return Err(Refusal::NodeIdTaken);
        }
        let under_way = self
            .links
            .values()
            .filter(|link| link.wants_place())
            .count();
        let again = usize::from(self.roster.number(node).is_some());
        let places = self
            .roster
            .len()
            .saturating_add(under_way)
            .saturating_sub(again);
        if places >= usize::from(self.config.max_nodes) || host.next_number == Number::MAX {
            return Err(Refusal::NetworkFull);
        }
        Ok(())
    }

    fn open_foreign(&mut self, peer: String, offer: Offer, node: Option<NodeId>, aside: Aside) {
        let id = self.new_link();
        let timeouts = self.config.timeouts;
        let deadline = self.now.plus(timeouts.ice).plus(timeouts.datachannel);
        let via = Via::Signaling {
            peer,
            connection: offer.connection_id,
        };
        let mut link = Link::new(self.now, via, self.bounds(), deadline);
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
        self.command(id, LinkCommand::Open { offerer: false });
        self.command(id, LinkCommand::TakeChannels);
        let (sdp, lead) = (offer.sdp, false);
        self.command(id, LinkCommand::AcceptOffer { sdp, lead });
        self.diagnose_link(id, LinkState::Negotiating);
    }

    /// The longest payload that a peer with this description can be given.
    fn longest(&self, sdp: &str) -> u32 {
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
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_joining()) else {
            return;
        };
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
                // What says that it is not over before the time, or before the other side closes.
                let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
                link.channels.buffered(on, length);
                let farewell = None;
                link.stage = Stage::Closing { farewell, deadline };
                let channel = on;
                self.command(id, LinkCommand::Send { channel, message });
            }
        }
    }

    /// States of this link have no connection of their own any more.
    pub(super) fn states_gone(&mut self, of: LinkId) {
        if let Some(interpreter) = self.interpreter(of) {
            interpreter.has_state = false;
            interpreter.buffered = [interpreter.buffered[0], 0];
        }
    }

    pub(super) fn interpreter(&mut self, id: LinkId) -> Option<&mut Interpreter> {
        self.links.get_mut(&id)?.interpreter.as_deref_mut()
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

    /// Whether we are a joiner, and our host speaks the dialect.
    pub(super) fn host_is_foreign(&self) -> bool {
        match &self.role {
            Role::Joiner(joiner) => {
                let link = self.links.get(&joiner.link);
                link.is_some_and(|link| link.interpreter.is_some())
            }
            Role::Idle | Role::Host(_) | Role::Leaving { .. } => false,
        }
    }

    /// Joiner: the host's answer has no marker.
    pub(super) fn foreign_admitted(&mut self, id: LinkId, answer: ForeignAnswer) {
        let ForeignAnswer { sdp, both_channels } = answer;
        let fits = |sdp: &String| sdp.len() <= self.config.limits.description as usize;
        let Some(sdp) = sdp.filter(fits) else {
            return self.end(EndReason::ForeignHost);
        };
        let limits = self.config.limits;
        self.terms.message = limits.message;
        self.terms.window = limits.window;
        self.terms.relay = true;
        self.terms.mesh = false;
        self.epoch = 0;
        let most = self.longest(&sdp);
        let name = self.client.id().to_string();
        let (terms, us, ids) = (self.terms, self.id, self.rng.fork("foreign"));
        let (Role::Joiner(joiner), Some(link)) = (&mut self.role, self.links.get_mut(&id)) else {
            return;
        };
        let at = (link.signaling_id(), ids);
        let interpreter = Interpreter::of_host(terms, most, limits.piece, us, name, at);
        joiner.host = interpreter.host_id();
        joiner.wants_states = !both_channels;
        let (first, led) = (joiner.phase < Phase::Ice, joiner.led);
        joiner.clock.answered(self.now);
        link.clock.answered(self.now);
        link.interpreter = Some(Box::new(interpreter));
        self.interprets = true;
        if first {
            self.enter_phase(Phase::Ice);
        }
        self.command(id, LinkCommand::MakeChannel(Channel::Data));
        if both_channels {
            self.command(id, LinkCommand::MakeChannel(Channel::State));
        }
        self.command(id, LinkCommand::AcceptAnswer { sdp, led });
    }

    /// Joiner: a path to the host was found, and channels should open soon.
    pub(super) fn expect_channels(&mut self) {
        let at = self.now.plus(CHANNELS);
        if self.host_is_foreign()
            && let Role::Joiner(joiner) = &mut self.role
            && !joiner.wants_states
            && !joiner.led
        {
            joiner.led_at = Some(at);
        }
    }

    /// Joiner: a page's answer to our offer of a connection for states.
    pub(super) fn states_answered(&mut self, id: LinkId, verdict: Verdict) {
        let Verdict::Foreign(ForeignAnswer { sdp: Some(sdp), .. }) = verdict else {
            return self.attempt_failed();
        };
        let now = self.now;
        match self.links.get_mut(&id) {
            Some(link) if link.clock.timing().signaling.is_none() => link.clock.answered(now),
            _ => return,
        }
        self.command(id, LinkCommand::MakeChannel(Channel::State));
        let led = false;
        self.command(id, LinkCommand::AcceptAnswer { sdp, led });
    }

    /// What came on a link whose node speaks the dialect, or on the one that carries its states. `false`:
    /// it is neither.
    pub(super) fn hear_foreign(&mut self, id: LinkId, message: &Bytes) -> bool {
        let Some(link) = self.links.get(&id) else {
            return false;
        };
        if matches!(link.aside, Aside::Refused(_)) {
            return true;
        }
        let of = link.carries_for().unwrap_or(id);
        let now = self.now;
        let Some(interpreter) = self.interpreter(of) else {
            return false;
        };
        if interpreter.hear(now, message).is_err() {
            if matches!(self.role, Role::Joiner(_)) {
                // Our application takes too little; the others' host cannot wait for it.
                self.end(EndReason::TooSlow);
            } else {
                self.misbehaved(of);
            }
        }
        true
    }

    /// How much a channel of such a link holds. `false`: it is not such a link.
    pub(super) fn foreign_buffered(&mut self, id: LinkId, channel: Channel, bytes: u32) -> bool {
        let Some(link) = self.links.get(&id) else {
            return false;
        };
        if matches!(link.aside, Aside::Refused(_)) {
            return true;
        }
        let carries = link.carries_for();
        let of = carries.unwrap_or(id);
        let Some(interpreter) = self.interpreter(of) else {
            return carries.is_some();
        };
        let [data, state] = &mut interpreter.buffered;
        let place = match channel {
            Channel::Data if carries.is_none() => data,
            Channel::Data | Channel::State => state,
        };
        let less = bytes < *place;
        *place = bytes;
        let moved = less && carries.is_none() && channel == Channel::Data;
        if let Some(link) = self.links.get_mut(&of) {
            link.settle_buffers();
            if let Some(number) = link.number().filter(|_| moved) {
                self.data_moved(number);
            }
        }
        true
    }

    /// A link that is not a wattle node's broke. `false`: it is one.
    pub(super) fn foreign_broke(&mut self, id: LinkId, failure: Option<LinkFailure>) -> bool {
        let Some(link) = self.links.get(&id) else {
            return false;
        };
        if let (Some(of), Stage::Carrying { .. }) = (link.carries_for(), link.stage) {
            self.close_link(id);
            self.states_gone(of);
            return true;
        }
        let (true, Some(number)) = (link.interpreter.is_some(), link.number()) else {
            return false;
        };
        // It has no word for goodbye, and no way to come back.
        let reason = failure.map_or(LeaveReason::Left, LeaveReason::LinkFailed);
        if number == HOST {
            let end = failure.map_or(EndReason::HostClosed, EndReason::HostLinkFailed);
            self.host_gone(reason, end);
        } else {
            self.expel(number, reason, None);
        }
        true
    }

    /// Turns what waits for nodes of the dialect into JSON, and hands it over.
    pub(super) fn pump_interpreters(&mut self) {
        if !self.interprets {
            return;
        }
        let (now, me) = (self.now, self.me);
        for id in self.interpreted() {
            let mut links = self.links.iter();
            let carrier = links.find_map(|(other, link)| match link.stage {
                Stage::Carrying { on } => (link.carries_for() == Some(id)).then_some((*other, on)),
                Stage::Joining { .. } | Stage::Open { .. } | Stage::Closing { .. } => None,
            });
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            while let Some((_, message)) = link.channels.poll(now, me) {
                link.interpret(now, &message);
            }
            let Some(interpreter) = &mut link.interpreter else {
                continue;
            };
            interpreter.acknowledge(now);
            while let Some((channel, message)) = interpreter.poll_message() {
                let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
                let apart = channel == Channel::State && interpreter.has_state;
                let [data, state] = &mut interpreter.buffered;
                let place = if apart { state } else { data };
                if channel == Channel::State && *place > STALE {
                    continue;
                }
                *place = place.saturating_add(length);
                let (link, channel) = match carrier {
                    Some(carrier) if apart => carrier,
                    _ if apart => (id, Channel::State),
                    _ => (id, Channel::Data),
                };
                let command = LinkCommand::Send { channel, message };
                self.outputs.push_back(Output::Link { link, command });
            }
            let skipped = core::mem::take(&mut interpreter.skipped);
            let counters = &mut self.counters;
            counters.payloads_skipped = counters.payloads_skipped.saturating_add(skipped.payloads);
            counters.json_dropped = counters.json_dropped.saturating_add(skipped.frames);
            link.settle_buffers();
        }
    }

    /// Does what is due in the place of nodes that speak the dialect.
    pub(super) fn interpreters_timeout(&mut self) {
        if self.interprets {
            let now = self.now;
            for link in self.links.values_mut() {
                if let Some(interpreter) = &mut link.interpreter {
                    interpreter.handle_timeout(now);
                }
            }
            self.hear_interpreters();
        }
    }

    fn interpreted(&self) -> Vec<LinkId> {
        let links = self.links.iter();
        let with = links.filter(|(_, link)| link.interpreter.is_some());
        with.map(|(id, _)| *id).collect()
    }

    /// Takes in what interpreters say in the place of their nodes; says whether there was anything.
    pub(super) fn hear_interpreters(&mut self) -> bool {
        if !self.interprets {
            return false;
        }
        let mut any = false;
        for id in self.interpreted() {
            while self.links.get(&id).is_some_and(Link::has_heard)
                && let Some((channel, frame)) =
                    self.interpreter(id).and_then(Interpreter::poll_frame)
            {
                any = true;
                let frames = [frame].into();
                if self.handle_frames(id, channel, frames).is_err() {
                    self.misbehaved(id);
                }
            }
            let interpreter = self
                .links
                .get(&id)
                .and_then(|link| link.interpreter.as_ref());
            if let Some(reason) = interpreter.and_then(|one| one.refusal()) {
                let full = reason.to_ascii_lowercase().contains("full");
                let reason = if full {
                    Refusal::NetworkFull
                } else {
                    Refusal::BadOffer
                };
                self.end(EndReason::Refused(reason));
            }
        }
        any
    }
}
