//! How attempts to connect went: what links and the network know of them becomes a
//! [`ConnectReport`], once per attempt.

use alloc::boxed::Box;
use core::time::Duration;

use super::{Network, Role};
use crate::error::EndReason;
use crate::event::{Event, LeaveReason, Phase, PhaseTiming, Side};
use crate::id::{LinkId, NodeId};
use crate::io::LinkFailure;
use crate::link::Link;
use crate::report::{CandidateReport, ConnectReport, Facts, LinkReport, NatMapping, judge};

/// How long ICE must have searched before a joiner's giving up says something about the path.
const SEARCHED: Duration = Duration::from_secs(3);

/// What came of an attempt, apart from what its link knows.
struct Outcome {
    node: Option<NodeId>,
    end: Option<EndReason>,
    phase: Phase,
    timing: PhaseTiming,
    registered: bool,
}

impl Network {
    /// Whether anybody is told how this link was made.
    fn reports(&self, link: &Link) -> bool {
        match self.role {
            Role::Joiner(_) if link.direct().is_none() => true,
            Role::Joiner(_) | Role::Host(_) => self.config.verbose,
            Role::Idle | Role::Leaving { .. } => false,
        }
    }

    /// What a link's driver knows of it.
    pub(super) fn link_reported(&mut self, id: LinkId, report: Box<LinkReport>) {
        let reports = self.links.get(&id).is_some_and(|link| self.reports(link));
        let link = self.links.get_mut(&id);
        if let Some(link) = link.filter(|link| reports && link.is_joining()) {
            link.notes.report = report;
        }
    }

    /// A candidate of a link was found, or came.
    pub(super) fn note_candidate(&mut self, id: LinkId, side: Side, candidate: &str) {
        let reports = self.links.get(&id).is_some_and(|link| self.reports(link));
        let link = self.links.get_mut(&id);
        let Some(link) = link.filter(|link| reports && link.is_joining()) else {
            return;
        };
        let most = usize::from(self.config.limits.candidates);
        let notes = match side {
            Side::Local => &mut link.notes.local,
            Side::Remote => &mut link.notes.remote,
        };
        if notes.len() < most
            && let Some(candidate) = CandidateReport::read(candidate)
        {
            notes.push(candidate);
        }
    }

    /// A join or a link to another joiner has come to its good end.
    pub(super) fn report_success(&mut self, id: LinkId) {
        self.report_link(id, None);
    }

    /// Host: a join has failed. A joiner's own join ends with [`report_end`](Self::report_end).
    pub(super) fn report_failure(&mut self, id: LinkId, failure: Option<LinkFailure>) {
        let Some(link) = self.links.get(&id).filter(|link| link.is_joining()) else {
            return;
        };
        let phase = Self::join_phase(link);
        let end = failure.map_or(EndReason::TimedOut(phase), EndReason::LinkFailed);
        self.report_link(id, Some(end));
    }

    /// The other side has given up a join.
    pub(super) fn report_given_up(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id).filter(|link| link.is_joining()) else {
            return;
        };
        let searched = self.now.since(link.clock.start()) >= SEARCHED;
        let end = match Self::join_phase(link) {
            Phase::Ice if searched => EndReason::TimedOut(Phase::Ice),
            Phase::Signaling | Phase::Ice | Phase::Datachannel => EndReason::Left,
        };
        self.report_link(id, Some(end));
    }

    /// A link to another joiner came to nothing.
    pub(super) fn report_direct_over(&mut self, id: LinkId, ours: bool, reason: LeaveReason) {
        match reason {
            LeaveReason::LinkFailed(failure) => self.report_failure(id, Some(failure)),
            LeaveReason::Left
            | LeaveReason::Kicked
            | LeaveReason::Lost
            | LeaveReason::TooSlow
            | LeaveReason::Misbehaved => {
                if ours {
                    self.report_failure(id, None);
                } else {
                    self.report_given_up(id);
                }
            }
        }
    }

    fn report_link(&mut self, id: LinkId, end: Option<EndReason>) {
        let node = self.node_of(id);
        let Some(link) = self.links.get(&id).filter(|link| self.reports(link)) else {
            return;
        };
        let outcome = Outcome {
            node,
            end,
            phase: Self::join_phase(link),
            timing: link.clock.timing(),
            registered: true,
        };
        self.report(id, outcome);
    }

    /// A joiner that is not in yet is at its end.
    pub(super) fn report_end(&mut self, end: EndReason) {
        let Role::Joiner(joiner) = &self.role else {
            return;
        };
        if joiner.is_welcome() {
            return;
        }
        let outcome = Outcome {
            node: joiner.host,
            end: Some(end),
            phase: joiner.phase,
            timing: joiner.clock.timing(),
            registered: joiner.phase > Phase::Signaling || self.client.is_registered(),
        };
        let link = joiner.link;
        self.report(link, outcome);
    }

    fn report(&mut self, id: LinkId, outcome: Outcome) {
        let Outcome {
            node,
            end,
            phase,
            timing,
            registered,
        } = outcome;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let took = self.now.since(link.clock.start());
        let silent = link.liveness.silent_for(self.now) >= self.config.timeouts.suspect_after;
        // Said once; nobody asks for it again.
        let notes = core::mem::take(&mut link.notes);
        let facts = Facts {
            end,
            took,
            registered,
            outside: registered && self.meets_outside(),
            silent,
            link: &notes.report,
            local: &notes.local,
            remote: &notes.remote,
        };
        let verdict = judge(&facts);
        if end.is_some() {
            tracing::info!(verdict = verdict.name(), "no connection");
        }
        let LinkReport {
            servers,
            mapping,
            checks,
            selected,
        } = *notes.report;
        self.tell(Event::ConnectReport(Box::new(ConnectReport {
            node,
            ended_in: end.map(|_| phase),
            timing,
            took,
            servers,
            local_mapping: mapping.max(NatMapping::of_candidates(&notes.local)),
            remote_mapping: NatMapping::of_candidates(&notes.remote),
            local: notes.local,
            remote: notes.remote,
            checks,
            selected,
            verdict,
        })));
    }

    /// Whether the signaling server that we are registered at is outside of our own network, as far as
    /// its name tells.
    fn meets_outside(&self) -> bool {
        let on_lan = match &self.role {
            Role::Joiner(joiner) => joiner.code.lan_address().is_some(),
            Role::Host(_) | Role::Idle | Role::Leaving { .. } => self.server.is_some(),
        };
        !on_lan && self.config.signaling_url.is_outside()
    }
}
