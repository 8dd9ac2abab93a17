//! What becomes of links, whoever is at the other end.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::table::Table;
use super::{Network, Role};
use crate::config::{MOST_NODES, Probing};
use crate::error::EndReason;
use crate::event::{Diagnostic, Event, LeaveReason, LinkState, Side};
use crate::id::{LinkId, NodeId};
use crate::io::{Channel, LinkCommand, LinkFailure, LinkUpdate, Output};
use crate::link::negotiation;
use crate::link::{Aside, Bounds, Link, Silence, Stage};
use crate::membership::GiveUp;
use crate::planted::planted;
use crate::report::CandidateReport;
use crate::signaling::{RelayedKind, write_relayed};
use crate::time::{NEVER, Timestamp};
use crate::wire::{Farewell, Frame, HOST, Number};

impl Network {
    pub(super) fn handle_link_update(&mut self, id: LinkId, update: LinkUpdate<'_>) {
        let mut id = id;
        if planted!(self.config, GenerationUnchecked) && !self.links.contains_key(&id) {
            id = self.links.keys().next_back().copied().unwrap_or(id);
        }
        let Some(link) = self.links.get_mut(&id) else {
            // The link was closed; its driver did not know that yet.
            self.counters.late_updates = self.counters.late_updates.saturating_add(1);
            return;
        };
        match update {
            LinkUpdate::LocalDescription(sdp) => match self.role {
                Role::Host(_) => self.send_answer(id, sdp),
                Role::Joiner(_) if link.direct().is_some() => self.direct_described(id, sdp),
                Role::Joiner(_) => self.offer_made(id, sdp),
                Role::Idle | Role::Leaving { .. } => {}
            },
            LinkUpdate::LocalCandidate(candidate) => self.local_candidate(id, candidate),
            LinkUpdate::Connected => {
                link.clock.connected(self.now);
                let direct = link.direct().is_some();
                self.heard(id, None);
                if direct {
                    self.direct_connected(id);
                } else {
                    self.joiner_connected();
                }
                self.diagnose_link(id, LinkState::Connected);
            }
            LinkUpdate::ChannelOpened(channel) => {
                link.channels.opened(channel);
                if let Some(interpreter) = &mut link.interpreter {
                    // Without a channel for them, states take the other.
                    match channel {
                        Channel::Data => {
                            interpreter.opened(self.now, &self.config.timeouts);
                            link.channels.opened(Channel::State);
                        }
                        Channel::State => interpreter.has_state = true,
                    }
                }
                let aside = link.aside != Aside::No;
                self.heard(id, None);
                if aside {
                    self.aside_opened(id, channel);
                } else if channel == Channel::Data {
                    self.data_opened(id);
                }
            }
            LinkUpdate::Message { channel, payload } => {
                let foreign = link.is_foreign();
                self.heard(id, None);
                if !foreign || !self.hear_foreign(id, &payload) {
                    self.handle_channel_message(id, channel, payload);
                }
            }
            LinkUpdate::BufferedAmount { channel, bytes } => {
                if link.is_foreign() {
                    self.foreign_buffered(id, channel, bytes);
                    return;
                }
                let moved = link.channels.buffered(channel, bytes);
                if let Some(number) = link.number().filter(|_| moved) {
                    self.data_moved(number);
                }
            }
            LinkUpdate::Alive { round_trip } => {
                self.alive(id, round_trip, self.config.probing == Probing::ByLink);
            }
            LinkUpdate::Report(report) => self.link_reported(id, report),
            // Our own liveness decides; a passing loss of the path is no end. But it may not pass.
            LinkUpdate::Disconnected => {
                self.diagnose_link(id, LinkState::Disconnected);
                if self.links.get(&id).and_then(Link::number) == Some(HOST) {
                    self.look_for_host();
                }
            }
            LinkUpdate::Failed(failure) => {
                self.diagnose_link(id, LinkState::Failed(failure));
                self.link_broke(id, Some(failure));
            }
            LinkUpdate::Closed => {
                self.diagnose_link(id, LinkState::Closed);
                self.link_broke(id, None);
            }
        }
    }

    /// Something of what waited in a data channel has left.
    pub(super) fn data_moved(&mut self, over: Number) {
        let now = self.now;
        if let Role::Host(host) = &mut self.role {
            host.relay.moved(now, over);
        }
        if let Some(pair) = self.pairs.get_mut(&over) {
            pair.moved(now);
        }
        if over == HOST {
            // It carries what is for those that we have no link to.
            let own = |n: &Number| self.directs.contains_key(n) && self.goes_directly(*n);
            let waiting = self.pairs.iter().filter(|(_, pair)| pair.is_waiting());
            let waiting = waiting.map(|(number, _)| *number);
            for number in waiting.filter(|n| !own(n)).collect::<Vec<Number>>() {
                if let Some(pair) = self.pairs.get_mut(&number) {
                    pair.moved(now);
                }
            }
        }
    }

    fn data_opened(&mut self, id: LinkId) {
        match self.role {
            Role::Host(_) => {
                self.welcome(id);
                self.diagnose_link(id, LinkState::Open);
            }
            Role::Joiner(_) if self.links.get(&id).and_then(Link::direct).is_some() => {
                self.direct_opened(id);
            }
            // Channels cannot open without a path, even if nobody told us of it.
            Role::Joiner(_) => {
                self.joiner_connected();
                if let Role::Joiner(joiner) = &mut self.role {
                    joiner.second_offer_at = None;
                }
            }
            Role::Idle | Role::Leaving { .. } => {}
        }
    }

    fn local_candidate(&mut self, id: LinkId, candidate: &str) {
        self.candidate_known(id, Side::Local, candidate);
        match self.role {
            Role::Host(_) => {
                let most = usize::from(self.config.limits.candidates);
                let link = self.links.get_mut(&id);
                let Some(link) = link.filter(|link| link.is_joining()) else {
                    return;
                };
                let payload = negotiation::candidate(link.connection_id(), candidate);
                let text = write_relayed(RelayedKind::Candidate, link.signaling_id(), &payload);
                if link.said.len() <= most {
                    link.said.push(text.clone());
                }
                self.signal(text);
            }
            Role::Joiner(_) if self.links.get(&id).and_then(Link::direct).is_some() => {
                self.direct_candidate(id, candidate);
            }
            Role::Joiner(_) => self.candidate_found(id, candidate),
            Role::Idle | Role::Leaving { .. } => {}
        }
    }

    /// A candidate of the remote came.
    pub(super) fn add_candidate(&mut self, id: LinkId, candidate: String) {
        self.candidate_known(id, Side::Remote, &candidate);
        let most = self.config.limits.candidates;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        // The empty candidate says that there are no more, which nobody waits for.
        if candidate.is_empty() {
            return;
        }
        if link.candidates >= most || candidate.len() > 1024 {
            self.counters.candidates_dropped = self.counters.candidates_dropped.saturating_add(1);
            return;
        }
        link.candidates = link.candidates.saturating_add(1);
        self.command(id, LinkCommand::AddCandidate(candidate));
    }

    /// More than a sign of life came. That counts in any case, as the application is going to see it; and
    /// of a path that leads one way it does not come for long, as nobody says that it came.
    pub(super) fn heard(&mut self, id: LinkId, round_trip: Option<Duration>) {
        self.alive(id, round_trip, false);
    }

    /// An authenticated packet came.
    fn alive(&mut self, id: LinkId, round_trip: Option<Duration>, bare: bool) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.heard = true;
        let was_suspect = link.liveness.heard(self.now, round_trip, bare);
        let direct = link.direct().is_some();
        let Some(number) = link.number() else {
            return;
        };
        // What comes from there shows only one half of a path, but an answer both. (Of a link that cannot be
        // asked below its channels everything counts.)
        if number == HOST && (round_trip.is_some() || self.config.probing == Probing::ByFrames) {
            self.host_heard();
        }
        if !was_suspect {
            return;
        }
        if direct && self.has_host() {
            // The node itself was never in doubt: the host hears it. Unless the host was lost, too.
            self.choose_route(number);
            if self.away.contains_key(&number) {
                self.found(number);
            }
        } else {
            self.found(number);
        }
    }

    /// The link cannot be used any more; `None`: the remote closed it.
    fn link_broke(&mut self, id: LinkId, failure: Option<LinkFailure>) {
        if self.foreign_broke(id, failure) {
            return;
        }
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let direct = link.direct().is_some();
        match (link.stage, &self.role) {
            (Stage::Open { .. } | Stage::Joining { .. }, Role::Joiner(_)) if direct => {
                let by = failure.map_or(GiveUp::Theirs, |_| GiveUp::Ours);
                let reason = failure.map_or(LeaveReason::Lost, LeaveReason::LinkFailed);
                self.direct_over(id, by, reason);
            }
            (Stage::Open { .. }, Role::Joiner(joiner)) => match failure {
                Some(failure) => self.lose_link(id, HOST, LeaveReason::LinkFailed(failure)),
                // The host has a new one already, perhaps, and we hear of it in a moment.
                None if joiner.attempt.is_some() => {
                    if link.is_silent() {
                        self.miss(HOST, LeaveReason::Lost);
                    }
                    self.doubt_host();
                    self.close_link(id);
                }
                None => self.host_gone(LeaveReason::Lost, EndReason::HostLost),
            },
            (Stage::Joining { .. }, Role::Joiner(joiner)) if joiner.is_welcome() => {
                self.attempt_failed();
            }
            (Stage::Joining { .. }, Role::Joiner(_)) => self.end(match failure {
                Some(failure) => EndReason::LinkFailed(failure),
                // A host that closes its network says so through the signaling server; this one gave
                // up on the link.
                None => EndReason::LinkFailed(LinkFailure::Channel),
            }),
            (Stage::Open { number, .. }, Role::Host(_)) => match failure {
                Some(failure) => self.lose_link(id, number, LeaveReason::LinkFailed(failure)),
                None => self.link_closed(id, number, LeaveReason::Lost),
            },
            (
                Stage::Joining { .. }
                | Stage::Carrying { .. }
                | Stage::Closing { .. }
                | Stage::Open { .. },
                _,
            ) => {
                self.report_failure(id, failure.or(Some(LinkFailure::Channel)));
                self.close_link(id);
            }
        }
    }

    /// The link of the node with this number, if there is one.
    pub(super) fn link_of_node(&self, number: Number) -> Option<LinkId> {
        let mut links = self.links.iter();
        let found = links.find(|(_, link)| link.number() == Some(number));
        found.map(|(id, _)| *id)
    }

    pub(super) fn close_link(&mut self, id: LinkId) {
        if self.links.remove(&id).is_some() {
            self.command(id, LinkCommand::Close);
            let mut links = self.links.iter();
            let carrier = links.find(|(_, link)| link.carries_for() == Some(id));
            if let Some(carrier) = carrier.map(|(id, _)| *id) {
                self.close_link(carrier);
            }
        }
    }

    /// When the first link wants something.
    pub(super) fn links_deadline(&self) -> Option<Timestamp> {
        let links = self.links.values();
        debug_assert_eq!(
            self.links.deadline(),
            links
                .filter_map(|link| link.deadline(&self.config.timeouts))
                .min()
                .filter(|at| *at < NEVER),
            "all that were touched have been looked at"
        );
        self.links.deadline()
    }

    pub(super) fn links_timeout(&mut self) {
        // First: what comes of it may change what is due of the links.
        self.interpreters_timeout();
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            let Some(link) = self.links.get(&id) else {
                continue;
            };
            match link.stage {
                Stage::Carrying { .. } => {}
                Stage::Joining { .. } => {
                    if link.join_deadline().is_some_and(|at| at <= self.now) {
                        tracing::debug!(phase = %Self::join_phase(link), "a join timed out");
                        if link.direct().is_some() {
                            self.direct_over(id, GiveUp::Ours, LeaveReason::Lost);
                        } else if self.is_resuming(id) {
                            self.attempt_failed();
                        } else {
                            self.report_failure(id, None);
                            self.close_link(id);
                        }
                    }
                }
                Stage::Open { number, .. } => {
                    let greeting = link.greeting_deadline(self.config.timeouts.datachannel);
                    if greeting.is_some_and(|at| at <= self.now) {
                        // Not its fault, perhaps: behind a slow line the hello may wait while states,
                        // which nobody sends again, come through.
                        if link.direct().is_some() {
                            self.direct_over(id, GiveUp::Ours, LeaveReason::Lost);
                        } else {
                            self.expel(number, LeaveReason::Lost, None);
                        }
                    } else {
                        self.check_liveness(id);
                    }
                }
                Stage::Closing { deadline, .. } => {
                    if deadline <= self.now && !planted!(self.config, TimerInThePast) {
                        self.close_link(id);
                    }
                }
            }
        }
    }

    fn check_liveness(&mut self, id: LinkId) {
        loop {
            let (now, timeouts) = (self.now, self.config.timeouts);
            let Some(link) = self.links.get_mut(&id) else {
                return;
            };
            let Some(number) = link.number() else { return };
            let direct = link.direct().is_some();
            let Some(silence) = link.liveness.check(now, &timeouts) else {
                return;
            };
            match silence {
                Silence::Probe => self.probe(id),
                Silence::Doubt if number == HOST => self.look_early(),
                Silence::Doubt => {}
                Silence::Suspect if direct && self.has_host() => self.choose_route(number),
                Silence::Suspect => {
                    if let Some(node) = self.roster.node(number) {
                        self.tell(Event::NodeSuspect { node });
                    }
                    // However often it was silent for less without need.
                    if number == HOST {
                        self.look_for_host();
                    }
                }
                Silence::Lost => self.lost(id, number),
            }
        }
    }

    /// Nothing was heard for too long of the node with this number, on this link to it.
    fn lost(&mut self, id: LinkId, number: Number) {
        let direct = self.links.get(&id).is_some_and(|l| l.direct().is_some());
        match self.role {
            // While the host relays, a link between two joiners is no loss; and it is tried anew.
            Role::Joiner(_) if direct && self.has_host() && !self.away.contains_key(&HOST) => {
                self.direct_over(id, GiveUp::Ours, LeaveReason::Lost);
            }
            Role::Joiner(_) | Role::Host(_) => self.lose(number, LeaveReason::Lost),
            Role::Idle | Role::Leaving { .. } => self.close_link(id),
        }
    }

    fn probe(&mut self, id: LinkId) {
        let probing = self.config.probing;
        if probing != Probing::ByFrames {
            self.command(id, LinkCommand::Probe);
        }
        if probing != Probing::ByLink {
            // Microseconds, modulo 2^32: more than an hour, and a round trip is shorter.
            let stamp = (self.now.as_nanos() / 1000) as u32;
            if let Some(link) = self.links.get_mut(&id) {
                link.channels.push_echo(&Frame::Ping { stamp });
            }
        }
    }

    /// Hands over what the channels have room for; says goodbyes whose time has come.
    pub(super) fn pump_links(&mut self) {
        let now = self.now;
        self.pump_interpreters();
        let timeouts = &self.config.timeouts;
        let (outputs, mut over) = (&mut self.outputs, Vec::new());
        self.links.look(now, |id, link| {
            loop {
                while let Some((channel, message)) = link.channels.poll(now) {
                    // Of those it is a goodbye at most, for which the dialect has no word.
                    if link.interpret(now, &message) {
                        continue;
                    }
                    let command = LinkCommand::Send { channel, message };
                    outputs.push_back(Output::Link { link: id, command });
                }
                if !link.say_farewell() {
                    break;
                }
            }
            if link.is_over() {
                over.push(id);
            }
            link.deadline(timeouts)
        });
        for id in over {
            self.close_link(id);
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        let limits = &self.config.limits;
        // A broadcast may fill all channels at once (law 6).
        let pieces = limits.outputs_per_input / (2 * u32::from(MOST_NODES));
        let most = pieces.saturating_mul(limits.piece.into());
        Bounds {
            channel_buffer: limits.channel_buffer.min(most),
            piece: limits.piece,
            frames: limits.frames_per_message,
        }
    }

    pub(super) fn node_of(&self, id: LinkId) -> Option<NodeId> {
        let link = self.links.get(&id)?;
        if let Some((number, _)) = link.direct() {
            return self.roster.node(number);
        }
        match (&self.role, link.hello) {
            (_, Some(hello)) => Some(hello.node),
            (Role::Joiner(joiner), None) => joiner.host,
            (Role::Idle | Role::Host(_) | Role::Leaving { .. }, None) => None,
        }
    }

    pub(super) fn diagnose_link(&mut self, id: LinkId, state: LinkState) {
        if self.config.verbose {
            let node = self.node_of(id);
            self.diagnose(Diagnostic::Link { node, state });
        }
    }

    fn candidate_known(&mut self, id: LinkId, side: Side, candidate: &str) {
        self.note_candidate(id, side, candidate);
        if self.config.verbose
            && let Some(CandidateReport { kind, .. }) = CandidateReport::read(candidate)
        {
            let node = self.node_of(id);
            self.diagnose(Diagnostic::Candidate { node, side, kind });
        }
    }
}

/// The link of the node with this number.
pub(super) fn link_to(links: &mut Table<LinkId, Link>, number: Number) -> Option<&mut Link> {
    links.find_mut(|link| link.number() == Some(number))
}

/// Why the host sends somebody away, as that node's end.
pub(super) const fn end_of(farewell: Farewell) -> EndReason {
    match farewell {
        Farewell::Left | Farewell::Closed => EndReason::HostClosed,
        Farewell::Kicked => EndReason::Kicked,
        Farewell::TooSlow => EndReason::TooSlow,
        Farewell::Misbehaved => EndReason::Misbehaved,
        Farewell::Lost | Farewell::LinkFailed => EndReason::HostLost,
    }
}

/// Why a node left, as the host tells it or the node itself.
pub(super) const fn reason_of(farewell: Farewell) -> LeaveReason {
    match farewell {
        Farewell::Left | Farewell::Closed => LeaveReason::Left,
        Farewell::Kicked => LeaveReason::Kicked,
        Farewell::Lost => LeaveReason::Lost,
        Farewell::TooSlow => LeaveReason::TooSlow,
        Farewell::Misbehaved => LeaveReason::Misbehaved,
        Farewell::LinkFailed => LeaveReason::LinkFailed(LinkFailure::Channel),
    }
}
