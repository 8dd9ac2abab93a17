//! Links with an [`Interpreter`]: what it says in the place of its node, and what becomes JSON on the way out.

use alloc::vec::Vec;
use bytes::Bytes;

use super::{Network, Role};
use crate::config::Probing;
use crate::error::EndReason;
use crate::event::{LeaveReason, Refusal};
use crate::id::LinkId;
use crate::io::{Channel, LinkCommand, LinkFailure, Output};
use crate::link::{Aside, Link, Stage};
use crate::membership::{Interpreter, PING, STALE};
use crate::wire::HOST;

impl Network {
    /// States of this link have no connection of their own any more.
    pub(super) fn states_gone(&mut self, of: LinkId) {
        if let Some(interpreter) = self.interpreter(of) {
            interpreter.has_state = false;
            interpreter.buffered = [interpreter.buffered[0], 0];
        }
    }

    /// A browser tells of few signs of life, but for the answers to our pings.
    pub(super) fn expect_signs(&mut self, id: LinkId) {
        let by_both = self.config.probing == Probing::ByBoth;
        if let Some(link) = self.links.get_mut(&id)
            && let Some(interpreter) = &link.interpreter
        {
            link.liveness.expect_few(by_both && interpreter.is_mute());
        }
    }

    pub(super) fn interpreter(&mut self, id: LinkId) -> Option<&mut Interpreter> {
        self.links.get_mut(&id)?.interpreter.as_deref_mut()
    }

    /// What came on a link whose node speaks the dialect, or on the one that carries its states. `false`:
    /// it is neither.
    pub(super) fn hear_foreign(&mut self, id: LinkId, message: &Bytes) -> bool {
        let Some(link) = self.links.get(&id).filter(|link| link.is_foreign()) else {
            return false;
        };
        if matches!(link.aside, Aside::Refused(_)) {
            return true;
        }
        let of = link.carries_for().unwrap_or(id);
        if of != id {
            self.heard(of, None);
        }
        let now = self.now;
        let Some(interpreter) = self.interpreter(of) else {
            return false;
        };
        let heard = interpreter.hear(now, message);
        self.expect_signs(of);
        if heard.is_err() {
            if matches!(self.role, Role::Joiner(_)) {
                // Our application takes too little; the others' host cannot wait for it.
                self.end(EndReason::TooSlow);
            } else {
                self.misbehaved(of);
            }
        }
        true
    }

    /// How much a channel of such a link holds.
    pub(super) fn foreign_buffered(&mut self, id: LinkId, channel: Channel, bytes: u32) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        if matches!(link.aside, Aside::Refused(_)) {
            return;
        }
        let carries = link.carries_for();
        let of = carries.unwrap_or(id);
        let Some(interpreter) = self.interpreter(of) else {
            return;
        };
        let [data, state] = &mut interpreter.buffered;
        let place = match channel {
            Channel::Data if carries.is_none() => data,
            Channel::Data | Channel::State => state,
        };
        // A ping that leaves is no word that moves.
        let less = bytes < *place && *place > PING;
        *place = bytes;
        let moved = less && carries.is_none() && channel == Channel::Data;
        if let Some(link) = self.links.get_mut(&of) {
            link.settle_buffers();
            if let Some(number) = link.number().filter(|_| moved) {
                self.data_moved(number);
            }
        }
    }

    /// A link broke; `false`: it is a wattle node's, and nothing was done about it.
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
        let now = self.now;
        for id in self.interpreted() {
            let mut links = self.links.iter();
            let carrier = links.find_map(|(other, link)| match link.stage {
                Stage::Carrying { on } => (link.carries_for() == Some(id)).then_some((*other, on)),
                Stage::Joining { .. } | Stage::Open { .. } | Stage::Closing { .. } => None,
            });
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            while let Some((_, message)) = link.channels.poll(now) {
                link.interpret(now, &message);
            }
            let Some(interpreter) = &mut link.interpreter else {
                continue;
            };
            interpreter.acknowledge(now);
            interpreter.ask(now);
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

    /// Whether the node of this link is lost: nothing is heard of it until it is back, not even what was kept
    /// of its words for somebody who has a new link.
    fn is_away(&self, id: LinkId) -> bool {
        let number = self.links.get(&id).and_then(Link::number);
        number.is_some_and(|number| self.away.contains_key(&number))
    }

    fn interpreted(&self) -> Vec<LinkId> {
        let links = self.links.iter();
        let with = links.filter(|(_, link)| link.interpreter.is_some());
        with.map(|(id, _)| *id).collect()
    }

    /// Takes in what interpreters say in the place of their nodes; says whether there was anything.
    pub(super) fn hear_interpreters(&mut self) -> bool {
        let mut any = false;
        for id in self.interpreted() {
            while self.links.get(&id).is_some_and(Link::has_heard)
                && !self.is_away(id)
                && let Some((channel, frame)) =
                    self.interpreter(id).and_then(Interpreter::poll_frame)
            {
                any = true;
                if self.handle_frame(id, channel, frame).is_err() {
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
