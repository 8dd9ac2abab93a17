//! A joiner in the network of a Clayground node or a PeerJS page.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use core::time::Duration;

use super::{Network, Role};
use crate::error::EndReason;
use crate::event::Phase;
use crate::id::LinkId;
use crate::io::{Channel, LinkCommand};
use crate::link::Aside;
use crate::link::negotiation::{ForeignAnswer, Verdict};
use crate::membership::Interpreter;
use crate::time::Timestamp;
use crate::wire::{Frame, Hello, Version};

/// How long channels may take to open on a path that works, before another connection is made
/// instead: four trips are enough, a loss included. Half of the time that there is, if that is less.
const CHANNELS: Duration = Duration::from_secs(2);

impl Network {
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
        let (first, led) = (joiner.phase < Phase::Ice, joiner.offered_second);
        joiner.clock.answered(self.now);
        link.clock.answered(self.now);
        link.interpreter = Some(Box::new(interpreter));
        self.interprets = true;
        self.expect_signs(id);
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
        let patience = CHANNELS.min(self.config.timeouts.datachannel / 2);
        let at = self.now.plus(patience);
        if self.host_is_foreign()
            && let Role::Joiner(joiner) = &mut self.role
            && !joiner.wants_states
            && !joiner.offered_second
        {
            joiner.second_offer_at = Some(at);
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

    /// Begins the other connection to a page that hosts, for states, if it wants one.
    pub(super) fn dial_states(&mut self, of: LinkId) -> bool {
        let timeouts = self.config.timeouts;
        let deadline = self.now.plus(timeouts.ice).plus(timeouts.datachannel);
        let code = match &self.role {
            Role::Joiner(joiner) if joiner.wants_states => joiner.code,
            Role::Joiner(_) | Role::Idle | Role::Host(_) | Role::Leaving { .. } => return false,
        };
        let mut attempt = self.dial(code, deadline, |link| {
            link.aside = Aside::States(of);
            link.heard = true;
        });
        attempt.settled = true;
        if let Role::Joiner(joiner) = &mut self.role {
            joiner.attempt = Some(attempt);
        }
        true
    }

    /// Begins anew with a host of the JSON dialect that found a path, but opens no channel: there are
    /// stacks in which the controlling side of ICE begins SCTP, whereas ours leaves it to the DTLS client.
    pub(super) fn offer_to_be_led(&mut self) {
        let forever = Timestamp::from_nanos(u64::MAX);
        let Role::Joiner(joiner) = &mut self.role else {
            return;
        };
        joiner.host = None;
        let (code, old) = (joiner.code, joiner.link);
        let first = Frame::Hello(Hello {
            version: Version::OURS,
            node: self.id,
        });
        let mut attempt = self.begin_attempt(code, forever, &first);
        attempt.led = true;
        if let Some(link) = self.links.get_mut(&attempt.link) {
            link.heard = true;
        }
        if let Role::Joiner(joiner) = &mut self.role {
            joiner.link = attempt.link;
            joiner.attempt = Some(attempt);
        }
        self.close_link(old);
    }
}
