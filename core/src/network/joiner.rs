//! The joiner's part: the offer, the host's answer, the welcome.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::attempt::Attempt;
use super::{Network, Role};
use crate::code::NetworkCode;
use crate::error::{EndReason, JoinError};
use crate::event::{Event, LinkState, Phase, Refusal};
use crate::id::{LinkId, NodeId};
use crate::io::LinkCommand;
use crate::link::negotiation::{self, Admission, Verdict};
use crate::link::{PhaseClock, Stage};
use crate::planted::planted;
use crate::signaling::{ClientEvent, Relayed, RelayedKind, SignalingFailure, SignalingUrl};
use crate::time::{Timestamp, earliest};
use crate::wire::{Frame, HOST, Hello, Number, Token, Version, Welcome};

/// How many random ids are tried at the signaling server.
const ID_ATTEMPTS: u8 = 3;

/// What only a joiner has.
#[derive(Debug)]
pub(super) struct Joiner {
    pub(super) code: NetworkCode,
    pub(super) url: SignalingUrl,
    id_attempts: u8,
    last_failure: Option<SignalingFailure>,
    pub(super) link: LinkId,
    pub(super) phase: Phase,
    /// Until when the phase must be over; `None` once we are in.
    deadline: Option<Timestamp>,
    /// The link to the host that is being made: the first, or one in its place.
    pub(super) attempt: Option<Attempt>,
    /// When the path to the host is no more trusted, unless it shows that it works.
    pub(super) doubt: Option<Timestamp>,
    /// The last attempt to come back that was begun early was needless: until when none is.
    pub(super) calm_until: Option<Timestamp>,
    /// And how long that was.
    pub(super) calm: Duration,
    /// When the next attempt to come back begins.
    pub(super) again_at: Option<Timestamp>,
    /// Nodes that the host has lost and waits for.
    pub(super) missed_by_host: Vec<Number>,
    /// The host's id, once it has answered.
    pub(super) host: Option<NodeId>,
    /// The secret to take our place again with.
    pub(super) token: Option<Token>,
    /// The host is a page, which wants another connection for states.
    pub(super) wants_states: bool,
    /// The host speaks the JSON dialect, and takes both channels on one connection: when it is offered a second
    /// one, on which it leads, if no channel has opened.
    pub(super) second_offer_at: Option<Timestamp>,
    /// It was.
    pub(super) offered_second: bool,
    /// In a mesh without its host, where the others go on: how it ends when nobody is left.
    pub(super) without_host: Option<EndReason>,
    pub(super) clock: PhaseClock,
}

impl Joiner {
    pub(super) const fn is_welcome(&self) -> bool {
        self.token.is_some()
    }

    /// When it wants something next.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let repeat = self.attempt.as_ref().and_then(|attempt| attempt.repeat_at);
        let phase = earliest(self.deadline, self.second_offer_at);
        let way_back = earliest(self.doubt, self.again_at);
        earliest(phase, earliest(repeat, way_back))
    }
}

impl Network {
    pub(super) fn start_joining(&mut self, code: NetworkCode) -> Result<(), JoinError> {
        if !matches!(self.role, Role::Idle) {
            return Err(JoinError::Busy);
        }
        let url = code
            .lan_address()
            .map_or_else(|| self.config.signaling_url.clone(), SignalingUrl::lan);
        let id = self.client.random_id();
        self.client.register(self.now, url.clone(), id);
        // First of all: a browser needs its time to make the link, and the way to the server is long.
        self.pump_signaling();
        let timeouts = self.config.timeouts;
        let deadline = self.now.plus(timeouts.signaling.min(timeouts.connect));
        let hello = Frame::Hello(Hello {
            version: Version::OURS,
            node: self.id,
        });
        self.tell(Event::Phase(Phase::Signaling));
        // The link has no deadline of its own: the phases have.
        let forever = Timestamp::from_nanos(u64::MAX);
        let attempt = self.begin_attempt(code, forever, &hello);
        let link = attempt.link;
        if let Some(link) = self.links.get_mut(&link) {
            link.heard = true;
        }
        self.role = Role::Joiner(Box::new(Joiner {
            code,
            url,
            id_attempts: 1,
            last_failure: None,
            link,
            phase: Phase::Signaling,
            deadline: Some(deadline),
            attempt: Some(attempt),
            doubt: None,
            calm_until: None,
            calm: Duration::ZERO,
            again_at: None,
            missed_by_host: Vec::new(),
            host: None,
            token: None,
            wants_states: false,
            second_offer_at: None,
            offered_second: false,
            without_host: None,
            clock: PhaseClock::new(self.now),
        }));
        Ok(())
    }

    /// News of the registration.
    pub(super) fn joiner_signaling(&mut self, event: ClientEvent) {
        let Role::Joiner(joiner) = &mut self.role else {
            return;
        };
        match event {
            // Whatever was lost with the old connection is repeated, and the host recognises the offer by
            // its connection id.
            ClientEvent::Registered { again: true } => self.offer_again(),
            ClientEvent::Registered { again: false } => self.send_offer(),
            // It was ours already: the client goes on asking for it.
            ClientEvent::IdTaken if !self.client.is_idle() => {}
            ClientEvent::IdTaken if joiner.id_attempts < ID_ATTEMPTS => {
                joiner.id_attempts = joiner.id_attempts.saturating_add(1);
                let (url, id) = (joiner.url.clone(), self.client.random_id());
                self.client.register(self.now, url, id);
            }
            ClientEvent::IdTaken | ClientEvent::Unreachable(_) | ClientEvent::Refused(_)
                if joiner.is_welcome() =>
            {
                self.attempt_failed();
            }
            ClientEvent::IdTaken => {
                self.end(EndReason::SignalingRefused(
                    crate::error::ServerRefusal::IdTaken,
                ));
            }
            ClientEvent::Lost(failure) => joiner.last_failure = Some(failure),
            ClientEvent::Unreachable(failure) => {
                self.end(EndReason::SignalingUnreachable(failure));
            }
            ClientEvent::Refused(refusal) => self.end(EndReason::SignalingRefused(refusal)),
            ClientEvent::Connecting { .. } | ClientEvent::Relayed(_) | ClientEvent::Dropped => {}
        }
    }

    /// A frame from the host or about it; `None` if it made no sense.
    pub(super) fn joiner_relayed(&mut self, relayed: Relayed) -> Option<()> {
        let Role::Joiner(joiner) = &self.role else {
            return None;
        };
        let (attempt, has_host) = (joiner.attempt.as_ref()?, joiner.host.is_some());
        let (id, again, phase) = (attempt.link, joiner.is_welcome(), joiner.phase);
        let link = self.links.get(&id)?;
        if relayed.peer != link.signaling_id() {
            return None;
        }
        match relayed.kind {
            RelayedKind::Answer => {
                let answer = negotiation::read_answer(&relayed.payload)?;
                (answer.connection_id == link.connection_id()).then_some(())?;
                let carries = link.carries_for().is_some();
                self.answered(id);
                let link = self.links.get(&id)?;
                if carries {
                    self.states_answered(id, answer.verdict);
                } else if again && link.clock.timing().signaling.is_none() {
                    self.handle_verdict_again(id, answer.verdict);
                } else if !has_host {
                    self.handle_verdict(id, answer.verdict);
                }
                Some(())
            }
            RelayedKind::Candidate => {
                let candidate = negotiation::read_candidate(&relayed.payload)?;
                (candidate.connection_id == link.connection_id()).then_some(())?;
                self.add_candidate(id, candidate.candidate);
                Some(())
            }
            RelayedKind::Expire => {
                // It also comes for our candidates, once per frame at worst.
                if again {
                    self.attempt_failed();
                } else if phase == Phase::Signaling {
                    self.end(EndReason::CodeNotFound);
                }
                Some(())
            }
            RelayedKind::Leave => {
                let left = negotiation::read_leave(&relayed.payload)?;
                if left == link.connection_id() {
                    if again {
                        self.attempt_failed();
                    } else {
                        self.end(EndReason::HostClosed);
                    }
                }
                Some(())
            }
            RelayedKind::Offer => None,
        }
    }

    fn handle_verdict(&mut self, id: LinkId, verdict: Verdict) {
        match verdict {
            Verdict::Admitted(admission) if admission.version.major == Version::OURS.major => {
                self.admitted(id, admission);
            }
            Verdict::Admitted(_) => self.end(EndReason::Refused(Refusal::Version)),
            Verdict::Refused(version, reason) => {
                let reason = match reason {
                    Some(reason) => reason,
                    // A reason that we do not know is from another version.
                    None if version != Version::OURS => Refusal::Version,
                    None => Refusal::BadOffer,
                };
                self.end(EndReason::Refused(reason));
            }
            Verdict::Foreign(answer) => self.foreign_admitted(id, answer),
        }
    }

    fn admitted(&mut self, id: LinkId, admission: Admission) {
        let Admission {
            sdp,
            host,
            epoch,
            terms,
            led,
            ..
        } = admission;
        let fits = terms.message > 0
            && u64::from(terms.window) >= crate::membership::cost(terms.message as usize)
            && terms.message <= 16 * 1024 * 1024
            && sdp.len() <= self.config.limits.description as usize
            && host != self.id;
        if !fits {
            self.end(EndReason::HostMisbehaved);
            return;
        }
        self.terms = terms;
        self.epoch = epoch;
        let Role::Joiner(joiner) = &mut self.role else {
            return;
        };
        joiner.host = Some(host);
        joiner.clock.answered(self.now);
        if let Some(link) = self.links.get_mut(&id) {
            link.clock.answered(self.now);
        }
        self.enter_phase(Phase::Ice);
        self.command(id, LinkCommand::AcceptAnswer { sdp, led });
    }

    /// A path was found.
    pub(super) fn joiner_connected(&mut self) {
        let Role::Joiner(joiner) = &mut self.role else {
            return;
        };
        if joiner.host.is_some() && joiner.phase < Phase::Datachannel {
            joiner.clock.connected(self.now);
            self.enter_phase(Phase::Datachannel);
            self.expect_channels();
        }
    }

    pub(super) fn enter_phase(&mut self, phase: Phase) {
        let timeouts = self.config.timeouts;
        let Role::Joiner(joiner) = &mut self.role else {
            return;
        };
        joiner.phase = phase;
        let limit = match phase {
            Phase::Signaling => timeouts.signaling,
            Phase::Ice => timeouts.ice,
            Phase::Datachannel => timeouts.datachannel,
        };
        let last = joiner.clock.start().plus(timeouts.connect);
        joiner.deadline = Some(self.now.plus(limit).min(last));
        if planted!(self.config, DeadlineNotRearmed) {
            joiner.deadline = None;
        }
        self.tell(Event::Phase(phase));
    }

    /// The host's first frame; `None` if it is not what the host promised.
    pub(super) fn welcomed(&mut self, id: LinkId, welcome: Welcome) -> Option<()> {
        let Role::Joiner(joiner) = &mut self.role else {
            return None;
        };
        let link = self.links.get_mut(&id)?;
        let (first, last) = (welcome.roster.first()?, welcome.roster.last()?);
        let as_promised = !joiner.is_welcome()
            && Some(first.node) == joiner.host
            && first.number == HOST
            && last.node == self.id
            && last.number == welcome.number
            && welcome.number != HOST
            && welcome.epoch == self.epoch;
        as_promised.then_some(())?;
        self.me = welcome.number;
        for member in &welcome.roster {
            self.roster.add(*member).then_some(())?;
            if member.number != welcome.number {
                let pair = Self::pair_of_joiner(self.terms, member.number);
                self.pairs.insert(member.number, pair);
            }
        }
        link.stage = Stage::Open {
            number: HOST,
            greeted: true,
        };
        link.clock.welcomed(self.now);
        joiner.clock.welcomed(self.now);
        joiner.token = Some(welcome.token);
        joiner.attempt = None;
        joiner.deadline = None;
        let (from, timing) = (joiner.phase, joiner.clock.timing());
        joiner.phase = Phase::Datachannel;
        if from < Phase::Datachannel {
            self.tell(Event::Phase(Phase::Datachannel));
        }
        // From here on the host tells us everything; signaling has done its part, but for one thing.
        if !self.dial_states(id) {
            self.client.close();
        }
        let nodes: Vec<NodeId> = welcome.roster.iter().map(|member| member.node).collect();
        tracing::info!(nodes = nodes.len(), "joined");
        self.tell(Event::Joined {
            node: self.id,
            nodes: nodes.clone(),
            timing: timing.into(),
        });
        self.report_success(id);
        let me = self.id;
        for node in nodes.into_iter().filter(|node| *node != me) {
            self.tell(Event::NodeJoined { node });
        }
        self.diagnose_link(id, LinkState::Open);
        for member in &welcome.roster {
            self.meet(member.number);
        }
        Some(())
    }

    pub(super) fn joiner_timeout(&mut self) {
        let now = self.now;
        let Role::Joiner(joiner) = &mut self.role else {
            return;
        };
        if joiner.second_offer_at.take_if(|at| *at <= now).is_some() {
            joiner.offered_second = true;
            let timeouts = self.config.timeouts;
            let last = joiner.clock.start().plus(timeouts.connect);
            joiner.deadline = Some(now.plus(timeouts.signaling).min(last));
            self.offer_to_be_led();
            return;
        }
        if joiner.deadline.is_none_or(|at| at > self.now) {
            return;
        }
        let reason = match joiner.last_failure {
            Some(failure) if joiner.phase == Phase::Signaling && !self.client.is_registered() => {
                EndReason::SignalingUnreachable(failure)
            }
            _ => EndReason::TimedOut(joiner.phase),
        };
        self.end(reason);
    }
}
