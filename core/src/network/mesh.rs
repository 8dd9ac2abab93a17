//! A joiner in a mesh: its links to the other joiners, and which way messages take.
//!
//! Two joiners negotiate through the host, over the links that they have to it; the later one offers.
//! Until their link is open, and whenever it is silent or gone, the host relays. What was not
//! acknowledged when the way changes goes on the new one as well.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use bytes::Bytes;

use super::frames::{Handled, Misbehaved};
use super::links::{link_to, reason_of};
use super::{Network, Role};
use crate::error::EndReason;
use crate::event::{Event, LeaveReason, LinkState, Route};
use crate::id::LinkId;
use crate::io::LinkCommand;
use crate::link::negotiation::Terms;
use crate::link::{Link, Stage, Via};
use crate::membership::{Direct, GiveUp, Pair};
use crate::time::{Timestamp, earliest};
use crate::wire::{Farewell, Frame, HOST, Number, Signal, Step};

impl Network {
    /// The pair that a joiner is with this node.
    pub(super) fn pair_of_joiner(terms: Terms, number: Number) -> Pair {
        if terms.mesh && number != HOST {
            Pair::with_routes(terms)
        } else {
            Pair::new(terms)
        }
    }

    /// Another joiner is in the network: in a mesh the later of the two offers a link.
    pub(super) fn meet(&mut self, number: Number) {
        if self.terms.mesh && number != HOST && number != self.me {
            self.directs.insert(number, Direct::default());
            if number < self.me {
                self.offer_link(number);
            }
        }
    }

    fn offer_link(&mut self, number: Number) {
        let id = self.new_link();
        let Some(direct) = self.directs.get_mut(&number) else {
            return;
        };
        let attempt = direct.offer(id);
        self.open_direct(id, number, attempt, false);
        self.command(id, LinkCommand::Open { offerer: true });
        self.command(id, LinkCommand::CreateOffer);
    }

    fn open_direct(&mut self, id: LinkId, number: Number, attempt: u32, leads: bool) {
        let via = Via::Host { number, attempt };
        let deadline = self.now.plus(self.config.timeouts.ice);
        let mut link = Link::new(self.now, via, self.bounds(), deadline);
        link.heard = true;
        link.leads = leads;
        let (epoch, number) = (self.epoch, self.me);
        link.channels.push_control(&Frame::Peer { epoch, number });
        self.links.insert(id, link);
    }

    /// Our description of a link to another joiner is made.
    pub(super) fn direct_described(&mut self, id: LinkId, sdp: &str) {
        let (me, native, now) = (self.me, self.config.native, self.now);
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_joining()) else {
            return;
        };
        let Some((number, attempt)) = link.direct() else {
            return;
        };
        if core::mem::replace(&mut link.described, true) {
            return;
        }
        let candidates = core::mem::take(&mut link.said);
        let (step, flag) = if number < me {
            (Step::Offer, native)
        } else {
            link.clock.answered(now);
            (Step::Answer, link.leads)
        };
        self.signal_to(number, attempt, step, flag, sdp);
        for candidate in candidates {
            self.signal_to(number, attempt, Step::Candidate, false, &candidate);
        }
    }

    /// A candidate of ours, for a link to another joiner.
    pub(super) fn direct_candidate(&mut self, id: LinkId, candidate: &str) {
        let most = usize::from(self.config.limits.candidates);
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_joining()) else {
            return;
        };
        let Some((number, attempt)) = link.direct() else {
            return;
        };
        if link.described {
            self.signal_to(number, attempt, Step::Candidate, false, candidate);
        } else if link.said.len() < most {
            link.said.push(candidate.to_string());
        }
    }

    fn signal_to(&mut self, to: Number, attempt: u32, step: Step, flag: bool, text: &str) {
        let signal = Signal {
            epoch: self.epoch,
            attempt,
            step,
            flag,
            text: Bytes::copy_from_slice(text.as_bytes()),
        };
        if let Some(link) = link_to(&mut self.links, HOST) {
            link.channels.push_control(&Frame::SignalTo { to, signal });
        }
    }

    /// Another joiner's word about the link between us; the host vouches for who says it.
    pub(super) fn handle_signal(&mut self, origin: Number, signal: &Signal) {
        let Ok(text) = core::str::from_utf8(&signal.text) else {
            return self.count_stale();
        };
        let fits = text.len() <= self.config.limits.description as usize;
        let known = self.directs.get(&origin).filter(|_| fits);
        let Some(direct) = known.filter(|_| signal.epoch == self.epoch) else {
            return self.count_stale();
        };
        let attempt = signal.attempt;
        let link = direct.link_of(attempt);
        match (signal.step, link) {
            (Step::Offer, _) if origin > self.me && direct.accepts(self.now, attempt) => {
                self.accept_direct(origin, attempt, signal.flag, text.to_string());
            }
            (Step::Answer, Some(id)) if origin < self.me => {
                self.direct_answered(id, signal.flag, text.to_string());
            }
            (Step::Candidate, Some(id)) => self.add_candidate(id, text.to_string()),
            (Step::GiveUp, Some(id)) => {
                self.direct_over(id, GiveUp::Theirs, LeaveReason::Lost);
            }
            (Step::Offer | Step::Answer | Step::Candidate | Step::GiveUp, _) => self.count_stale(),
        }
    }

    fn accept_direct(&mut self, origin: Number, attempt: u32, native: bool, sdp: String) {
        if let Some(old) = self.directs.get(&origin).and_then(Direct::link) {
            // Its end of the old link is gone, or it would not offer a new one.
            self.close_link(old);
            self.choose_route(origin);
        }
        let id = self.new_link();
        let (now, lead) = (self.now, native && self.config.native);
        if let Some(direct) = self.directs.get_mut(&origin) {
            direct.answer(now, attempt, id);
        }
        self.open_direct(id, origin, attempt, lead);
        self.command(id, LinkCommand::Open { offerer: false });
        self.command(id, LinkCommand::AcceptOffer { sdp, lead });
        self.diagnose_link(id, LinkState::Negotiating);
    }

    fn direct_answered(&mut self, id: LinkId, led: bool, sdp: String) {
        let (now, led) = (self.now, led && self.config.native);
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_joining()) else {
            return;
        };
        if link.described && link.clock.timing().signaling.is_none() {
            link.clock.answered(now);
            self.command(id, LinkCommand::AcceptAnswer { sdp, led });
        }
    }

    /// A path was found: the rest has its own time.
    pub(super) fn direct_connected(&mut self, id: LinkId) {
        let deadline = self.now.plus(self.config.timeouts.datachannel);
        if let Some(link) = self.links.get_mut(&id).filter(|link| link.is_joining()) {
            link.stage = Stage::Joining { deadline };
        }
    }

    /// The data channel is open: from now on messages go directly.
    pub(super) fn direct_opened(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_joining()) else {
            return;
        };
        let Some((number, _)) = link.direct() else {
            return;
        };
        link.stage = Stage::Open {
            number,
            greeted: false,
        };
        link.clock.welcomed(self.now);
        link.said = Vec::new();
        if let Some(direct) = self.directs.get_mut(&number) {
            direct.opened();
        }
        if let Some(pair) = self.pairs.get_mut(&number) {
            pair.route_ended(Route::Direct);
        }
        self.diagnose_link(id, LinkState::Open);
        self.report_success(id);
        self.choose_route(number);
    }

    /// A link to another joiner is no more, or came to nothing.
    pub(super) fn direct_over(&mut self, id: LinkId, by: GiveUp, reason: LeaveReason) {
        let Some((number, attempt)) = self.links.get(&id).and_then(Link::direct) else {
            return;
        };
        self.report_direct_over(id, by == GiveUp::Ours, reason);
        self.close_link(id);
        let (now, ours) = (self.now, number < self.me);
        let Some(direct) = self.directs.get_mut(&number) else {
            return;
        };
        direct.failed(now, ours);
        if let Some(left) = direct.left() {
            return self.node_gone(number, left.reason);
        }
        if !self.has_host() {
            return self.node_gone(number, reason);
        }
        if by == GiveUp::Ours {
            self.signal_to(number, attempt, Step::GiveUp, false, "");
        }
        self.choose_route(number);
    }

    /// On a link between two joiners.
    pub(super) fn handle_from_peer(&mut self, id: LinkId, number: Number, frame: Frame) -> Handled {
        // What comes tells that the channel is open, whatever the driver has told.
        self.direct_opened(id);
        let Some(link) = self.links.get_mut(&id) else {
            return Ok(());
        };
        let Stage::Open { greeted, .. } = &mut link.stage else {
            return Ok(());
        };
        if !*greeted {
            let expected = Frame::Peer {
                epoch: self.epoch,
                number,
            };
            *greeted = frame == expected;
            return if *greeted { Ok(()) } else { Err(Misbehaved) };
        }
        match frame {
            Frame::Direct(body) => self.handle_body(number, Route::Direct, body),
            Frame::Goodbye(why) => {
                // Whom the host has sent away says that, not that it leaves.
                self.direct_goodbye(id, reason_of(why));
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
            | Frame::Anew { .. }
            | Frame::Away { .. }
            | Frame::Back { .. }
            | Frame::Foreign { .. }
            | Frame::Joined(_)
            | Frame::Left { .. }
            | Frame::RoundTrips(_)
            | Frame::Peer { .. }
            | Frame::MessageTo { .. }
            | Frame::AckTo { .. }
            | Frame::StateTo { .. }
            | Frame::SignalTo { .. }
            | Frame::SignalFrom { .. }
            | Frame::From { .. } => Err(Misbehaved),
        }
    }

    /// Whether frames to this joiner go over our own link to it.
    pub(super) fn goes_directly(&self, number: Number) -> bool {
        self.links
            .values()
            .any(|link| link.number() == Some(number) && (!link.is_silent() || !self.can_relay()))
    }

    /// Whether a link to this node works. (What is said to it goes over a silent one, too, if nobody relays.)
    pub(super) fn hears_directly(&self, number: Number) -> bool {
        let mut links = self.links.values();
        links.any(|link| link.number() == Some(number) && !link.is_silent())
    }

    /// Whether the host is there and passes on what joiners say.
    pub(super) fn can_relay(&self) -> bool {
        self.terms.relay && self.has_host()
    }

    /// Whether there is a host; only a mesh lives on without one.
    pub(super) fn has_host(&self) -> bool {
        match &self.role {
            Role::Joiner(joiner) => joiner.without_host.is_none(),
            Role::Idle | Role::Host(_) | Role::Leaving { .. } => true,
        }
    }

    /// After whatever may have changed the way to another joiner: if it did, says so, and sends on the
    /// new one what may be lost on the old one.
    pub(super) fn choose_route(&mut self, number: Number) {
        let directly = self.goes_directly(number);
        let Some(direct) = self.directs.get_mut(&number) else {
            return;
        };
        // Nobody has a use for another way to a node that is about to have left.
        if !directly && direct.leaves.is_some() {
            return;
        }
        if core::mem::replace(&mut direct.in_use, directly) == directly {
            return;
        }
        let route = if directly {
            Route::Direct
        } else {
            Route::Relayed
        };
        if let Some(node) = self.roster.node(number) {
            self.tell(Event::NodeRoute { node, route });
        }
        // The host may have lost it: our link to it works.
        if self.hears_directly(number) && self.away.contains_key(&number) {
            self.found(number);
        }
        let now = self.now;
        if let Some(pair) = self.pairs.get_mut(&number) {
            pair.say_ack_again(now);
        }
        self.send_again(number, route);
        self.miss_with_host(number);
    }

    /// Who takes too little: `None` is ourselves, else a node that gives no account of it. The host
    /// does not see what goes directly, so in a mesh a node judges itself; and one that is too slow
    /// and does not say so is left out by those that it keeps waiting.
    fn slow_joiner(&self) -> Option<(Timestamp, Option<Number>)> {
        let patience = self.config.timeouts.too_slow;
        let pairs = self.pairs.iter().filter(|(_, pair)| pair.has_routes());
        pairs
            .flat_map(|(number, pair)| {
                let ours = pair.starves_at(patience).map(|at| (at, None));
                let silent = self.over_at(*number, pair.stall(), || self.is_in_the_way(*number));
                let silent = silent.filter(|_| !pair.is_given_up());
                [ours, silent.map(|at| (at, Some(*number)))]
            })
            .flatten()
            .min()
    }

    pub(super) fn mesh_deadline(&self) -> Option<Timestamp> {
        if self.directs.is_empty() {
            return None;
        }
        let slow = self.slow_joiner().map(|(at, _)| at);
        self.directs
            .values()
            .flat_map(|one| [one.retry_at(), one.leaves.map(|leaves| leaves.until)])
            .fold(slow, earliest)
    }

    pub(super) fn mesh_timeout(&mut self) {
        let now = self.now;
        let due = |at: Timestamp| at <= now;
        let mut over = Vec::new();
        for (number, one) in &mut self.directs {
            if let Some(leaves) = one.leaves.take_if(|leaves| due(leaves.until)) {
                over.push((*number, leaves));
            }
        }
        for (number, leaves) in over {
            if leaves.by_host {
                self.node_gone(number, leaves.reason);
            } else {
                // The host does not know of it: its own goodbye was lost, perhaps.
                self.choose_route(number);
            }
        }
        let again: Vec<Number> = self
            .directs
            .iter()
            .filter(|(_, one)| one.retry_at().is_some_and(due))
            .map(|(number, _)| *number)
            .collect();
        for number in again {
            self.offer_link(number);
        }
        while let Some((_, slow)) = self.slow_joiner().filter(|(at, _)| due(*at)) {
            let Some(number) = slow else {
                return self.leave_as(Farewell::TooSlow, EndReason::TooSlow);
            };
            let node = self.roster.node(number);
            if let (Some(pair), Some(node)) = (self.pairs.get_mut(&number), node) {
                pair.give_up();
                self.tell(Event::NodeStalled { node });
            }
        }
    }
}
