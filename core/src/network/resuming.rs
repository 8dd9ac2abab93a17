//! A joiner makes a new link to the host in the old one's place, through the signaling server. The host's
//! part is [`readmission`](super::readmission).
//!
//! The joiner offers, with its number, and proves by the token of its welcome, which only travels on the
//! new link, that it is the one who has it. Then both ends send again what the other has not acknowledged,
//! and every other joiner is told that the way through the host to this one begins anew.

use alloc::vec::Vec;
use core::time::Duration;

use super::frames::Handled;
use super::links::{link_to, reason_of};
use super::{Network, Role};
use crate::config::Probing;
use crate::error::EndReason;
use crate::event::{LeaveReason, LinkState, Refusal, Route};
use crate::id::LinkId;
use crate::io::LinkCommand;
use crate::link::Stage;
use crate::link::negotiation::{Admission, Verdict};
use crate::time::Timestamp;
use crate::wire::{Frame, HOST, Hello, Number, Resume, Resumed, Version};

/// How long after the beginning of an attempt that came to nothing the next one begins.
const AGAIN: Duration = Duration::from_secs(1);

/// After attempts that were not needed: for how long none is begun early, twice as long each time, up to
/// this. Each costs the signaling server a connection, and there are paths that are silent for a second
/// again and again; but whoever moves once may soon move again.
const CALM: Duration = Duration::from_secs(60);

/// The first of these times.
const FIRST_CALM: Duration = Duration::from_secs(1);

impl Network {
    /// The host is silent for longer than it should be, but not yet suspected. It may be elsewhere, and
    /// cannot say so: a new link is begun beside the old one, and given up if that speaks first.
    pub(super) fn look_early(&mut self) {
        if let Role::Joiner(joiner) = &self.role
            && joiner.is_welcome()
            && joiner.calm_until.is_none_or(|until| until <= self.now)
        {
            self.look_for_host();
        }
    }

    /// Begins a new link to the host, unless one is under way.
    pub(super) fn look_for_host(&mut self) {
        // Who speaks the JSON dialect knows of no coming back; the old path may work again.
        if self.host_is_foreign() {
            return;
        }
        let Role::Joiner(joiner) = &mut self.role else {
            return;
        };
        let (Some(token), None, None) = (joiner.token, &joiner.attempt, joiner.without_host) else {
            return;
        };
        joiner.again_at = None;
        let (code, url) = (joiner.code, joiner.url.clone());
        if self.client.is_idle() {
            let id = self.client.random_id();
            self.client.register(self.now, url, id);
        }
        let timeouts = self.config.timeouts;
        // Not longer, if it found a path but comes to nothing: another attempt may find a better one
        // within the grace time.
        let deadline = self.now.plus(timeouts.ice);
        let first = Frame::Resume(Resume {
            hello: Hello {
                version: Version::OURS,
                node: self.id,
            },
            number: self.me,
            token,
        });
        let attempt = self.begin_attempt(code, deadline, &first);
        if let Role::Joiner(joiner) = &mut self.role {
            joiner.attempt = Some(attempt);
        }
    }

    /// Whether this link is to take the place of the one to the host.
    pub(super) fn is_resuming(&self, id: LinkId) -> bool {
        match &self.role {
            Role::Joiner(joiner) => {
                joiner.is_welcome() && joiner.attempt.as_ref().is_some_and(|one| one.link == id)
            }
            Role::Idle | Role::Host(_) | Role::Leaving { .. } => false,
        }
    }

    /// The host was heard on its old link: a new one is not needed, unless the host may have it already.
    ///
    /// After a long darkness it is, where links cannot be asked below SCTP: what waits there is sent again
    /// only after about as long again.
    pub(super) fn host_heard(&mut self) {
        let was_lost = self.away.contains_key(&HOST);
        let Role::Joiner(joiner) = &mut self.role else {
            return;
        };
        joiner.doubt = None;
        if !joiner.is_welcome() || joiner.attempt.as_ref().is_some_and(|one| one.settled) {
            return;
        }
        if was_lost && self.config.probing != Probing::ByLink {
            self.look_for_host();
            if let Role::Joiner(joiner) = &mut self.role
                && let Some(attempt) = &mut joiner.attempt
            {
                attempt.settled = true;
            }
            return;
        }
        let waits = joiner.again_at.take().is_some();
        if joiner.attempt.is_some() && !was_lost {
            let long_ago = |until: Timestamp| until.plus(CALM) <= self.now;
            joiner.calm = if joiner.calm_until.is_none_or(long_ago) {
                FIRST_CALM
            } else {
                joiner.calm.saturating_mul(2).min(CALM)
            };
            joiner.calm_until = Some(self.now.plus(joiner.calm));
        }
        if joiner.attempt.is_some() || waits {
            self.give_up_attempt();
            self.client.close();
        }
    }

    /// Gives up the attempt to come back that is under way, if there is one.
    pub(super) fn give_up_attempt(&mut self) {
        let Role::Joiner(joiner) = &mut self.role else {
            return;
        };
        if let Some(attempt) = joiner.attempt.take() {
            self.withdraw(attempt.link);
        }
    }

    /// The attempt came to nothing: another one follows, for as long as the host is missed.
    pub(super) fn attempt_failed(&mut self) {
        let begun = match &self.role {
            Role::Joiner(joiner) => joiner.attempt.as_ref().map(|attempt| attempt.begun),
            Role::Idle | Role::Host(_) | Role::Leaving { .. } => None,
        };
        let begun = begun.unwrap_or(self.now);
        let again = begun.plus(AGAIN);
        self.give_up_attempt();
        let link = link_to(&mut self.links, HOST);
        let unheard = link.map(|link| link.liveness.heard_at() < begun);
        if unheard.is_none() {
            self.miss(HOST, LeaveReason::Lost);
        }
        // Not lost yet, and as silent as when this one was begun: there may be no other sign for seconds.
        let missed = self.away.contains_key(&HOST) || unheard == Some(true);
        if let Role::Joiner(joiner) = &mut self.role {
            if missed && again <= self.now {
                self.look_for_host();
            } else if missed {
                joiner.again_at = Some(again);
            } else {
                self.client.close();
            }
        }
    }

    /// The host has no place for us any more.
    pub(super) fn place_gone(&mut self) {
        self.host_gone(LeaveReason::Lost, EndReason::HostLost);
    }

    /// What the host answers to our wish to come back.
    pub(super) fn handle_verdict_again(&mut self, id: LinkId, verdict: Verdict) {
        match verdict {
            Verdict::Admitted(Admission {
                sdp,
                host,
                epoch,
                terms,
                led,
                ..
            }) if self.roster.node(HOST) == Some(host)
                && epoch == self.epoch
                && terms == self.terms
                && sdp.len() <= self.config.limits.description as usize =>
            {
                let now = self.now;
                if let Role::Joiner(joiner) = &mut self.role
                    && let Some(attempt) = &mut joiner.attempt
                {
                    attempt.settled = true;
                    attempt.repeat_at = None;
                }
                if let Some(link) = self.links.get_mut(&id) {
                    link.clock.answered(now);
                }
                self.command(id, LinkCommand::AcceptAnswer { sdp, led });
            }
            Verdict::Refused(_, Some(Refusal::PlaceGone)) => self.place_gone(),
            // Somebody else has the code now, or the host cannot just now.
            Verdict::Admitted(_) | Verdict::Refused(..) | Verdict::Foreign(_) => {
                self.attempt_failed();
            }
        }
    }

    /// The host's first frame on the new link; `None` if it is not what it should be.
    pub(super) fn resumed(&mut self, id: LinkId, resumed: Resumed) -> Option<()> {
        let Resumed {
            epoch,
            roster,
            departed,
        } = resumed;
        let me = (self.me, self.id);
        let first = roster.first()?;
        let as_promised = self.is_resuming(id)
            && epoch == self.epoch
            && first.number == HOST
            && Some(first.node) == self.roster.node(HOST)
            && roster
                .iter()
                .any(|member| (member.number, member.node) == me);
        let Role::Joiner(joiner) = &mut self.role else {
            return None;
        };
        as_promised.then_some(())?;
        let old = core::mem::replace(&mut joiner.link, id);
        joiner.attempt = None;
        joiner.again_at = None;
        joiner.doubt = None;
        let was_silent = self.links.get(&old).is_some_and(|link| link.is_silent());
        self.close_link(old);
        self.client.close();
        let link = self.links.get_mut(&id)?;
        link.stage = Stage::Open {
            number: HOST,
            greeted: true,
        };
        link.clock.welcomed(self.now);
        self.diagnose_link(id, LinkState::Open);
        if was_silent || self.away.contains_key(&HOST) {
            self.found(HOST);
        }
        let known = self.roster.members().to_vec();
        for member in known {
            if !roster.contains(&member) {
                let why = departed.iter().find(|(number, _)| *number == member.number);
                let reason = why.map_or(LeaveReason::Lost, |(_, why)| reason_of(*why));
                self.told_left(member.number, reason);
            }
        }
        for member in roster {
            if self.roster.node(member.number).is_none() {
                self.node_came(member).ok()?;
            }
        }
        let numbers: Vec<Number> = self.pairs.keys().copied().collect();
        for number in numbers {
            self.route_anew(number);
        }
        Some(())
    }

    /// What was on its way between this node and us, through the host, may be lost.
    pub(super) fn route_anew(&mut self, number: Number) {
        let now = self.now;
        if let Some(pair) = self.pairs.get_mut(&number) {
            pair.route_ended(Route::Relayed);
            pair.say_ack_again(now);
        }
        if number == HOST || self.me == HOST || !self.goes_directly(number) {
            self.send_again(number, Route::Relayed);
        }
    }

    /// The host says that another joiner has a new link, and so is there again.
    pub(super) fn begins_anew(&mut self, number: Number) -> Handled {
        self.told_away(number, false)?;
        // What of ours is on its way to the host now comes to nothing there, until this.
        let me = self.me;
        if let Some(link) = link_to(&mut self.links, HOST) {
            link.channels.push(me, &Frame::Anew { number });
        }
        self.route_anew(number);
        Ok(())
    }
}
