//! Nodes that are lost for the moment: how long they are waited for, and what is done about it.
//!
//! A link that is silent is kept: its path may come back. A joiner besides looks for another one to the
//! host ([`resuming`](super::resuming)). What is sent meanwhile waits in the pairs.

use alloc::vec::Vec;
use core::time::Duration;

use super::frames::{Handled, Misbehaved};
use super::links::link_to;
use super::{Network, Role};
use crate::error::EndReason;
use crate::event::{Event, LeaveReason};
use crate::id::LinkId;
use crate::membership::{GiveUp, Pair, Stall};
use crate::time::Timestamp;
use crate::wire::{Frame, HOST, Number};

/// How long a path that is in doubt has to show that it works, before another one is looked for.
const DOUBT: Duration = Duration::from_millis(500);

/// A node that is lost and not given up yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    since: Timestamp,
    until: Timestamp,
    /// Why it left, if it does not come back until then.
    reason: LeaveReason,
}

impl Network {
    /// Nothing is heard of a node any more, or its link broke: a joiner looks for another way to its host.
    pub(super) fn lose(&mut self, number: Number, reason: LeaveReason) {
        self.miss(number, reason);
        if number == HOST {
            self.look_for_host();
        }
    }

    /// Waits for a node, for as long as the grace time.
    pub(super) fn miss(&mut self, number: Number, reason: LeaveReason) {
        let has_host = self.has_host();
        let link = link_to(&mut self.links, number);
        let (heard, suspected) = link.map_or((self.now, false), |link| {
            // Of a link between two joiners nothing was said, as long as the host relayed.
            let told = link.is_silent() && !(link.direct().is_some() && has_host);
            (link.liveness.heard_at(), told)
        });
        let Some(node) = self.roster.node(number) else {
            return;
        };
        if !self.away.contains_key(&number) {
            let timeouts = self.config.timeouts;
            let grace = timeouts.grace.max(timeouts.lost_after);
            // Who is found to be lost late, because we slept, has as long as ever to come back.
            let rest = grace.saturating_sub(timeouts.lost_after);
            let until = heard.plus(grace).max(self.now.plus(rest));
            let away = Away {
                since: self.now,
                until,
                reason,
            };
            self.away.insert(number, away);
            tracing::info!(%node, reason = reason.name(), "node lost");
            if !suspected {
                self.tell(Event::NodeSuspect { node });
            }
            self.tell(Event::NodeLost { node });
            self.tell_others(number, &Frame::Away { number });
        }
    }

    /// When a receiver has had its time to take something, as things are. One that is lost is waited for, as
    /// long as that is nobody else's loss.
    pub(super) fn over_at(
        &self,
        number: Number,
        stall: &Stall,
        others_wait: impl FnOnce() -> bool,
    ) -> Option<Timestamp> {
        let patience = self.config.timeouts.too_slow;
        match self.away.get(&number) {
            None => stall.over_at(patience),
            Some(away) => {
                let since = stall.since().filter(|_| others_wait())?;
                Some(since.max(away.since).plus(patience))
            }
        }
    }

    /// Whether we have something to say to all, among them others than this node that are there, and could
    /// not.
    pub(super) fn is_in_the_way(&self, number: Number) -> bool {
        let mut others = self.pairs.iter().filter(|(other, _)| **other != number);
        let is_there =
            |(other, pair): (&Number, &Pair)| !pair.is_given_up() && !self.away.contains_key(other);
        self.blocked.contains_key(&None) && others.any(is_there)
    }

    /// The host tells everybody but that node what it knows of it, behind what that node said.
    fn tell_others(&mut self, number: Number, frame: &Frame) {
        if self.me != HOST {
            return;
        }
        for link in self.links.values_mut() {
            if link.number().is_some_and(|other| other != number) {
                link.channels.push(number, frame);
            }
        }
    }

    /// The host has lost another joiner, or has it back.
    pub(super) fn told_away(&mut self, number: Number, is_away: bool) -> Handled {
        if number == HOST || number == self.me {
            return Err(Misbehaved);
        }
        let Role::Joiner(joiner) = &mut self.role else {
            return Ok(());
        };
        if self.roster.node(number).is_none() {
            self.count_stale();
        } else if is_away {
            if !joiner.missed_by_host.contains(&number) {
                joiner.missed_by_host.push(number);
            }
            self.miss_with_host(number);
        } else if joiner.missed_by_host.contains(&number) {
            joiner.missed_by_host.retain(|other| *other != number);
            if self.away.contains_key(&number) {
                self.found(number);
            }
        }
        Ok(())
    }

    /// Who is lost to the host is lost to us, too, unless we have a link to it that works.
    pub(super) fn miss_with_host(&mut self, number: Number) {
        if self.is_missed_by_host(number) && !self.hears_directly(number) {
            self.miss(number, LeaveReason::Lost);
        }
    }

    fn is_missed_by_host(&self, number: Number) -> bool {
        match &self.role {
            Role::Joiner(joiner) => joiner.missed_by_host.contains(&number),
            Role::Idle | Role::Host(_) | Role::Leaving { .. } => false,
        }
    }

    /// A node that was suspected or lost is there again.
    pub(super) fn found(&mut self, number: Number) {
        if self.away.remove(&number).is_some() {
            self.tell_others(number, &Frame::Back { number });
        }
        // What it did not take while it could not be reached is not held against it.
        self.data_moved(number);
        if let Some(pair) = self.pairs.get_mut(&number) {
            let _ = pair.take_back();
        }
        if let Some(node) = self.roster.node(number) {
            self.tell(Event::NodeBack { node });
        }
        if number == HOST {
            self.relay_again();
        }
    }

    /// The host relays again: what was lost together with it is not, and its link is made anew.
    fn relay_again(&mut self) {
        let lost: Vec<Number> = self.away.keys().copied().collect();
        for number in lost {
            if self.is_missed_by_host(number) {
                continue;
            }
            self.found(number);
            if let Some(id) = self.link_of_node(number) {
                self.direct_over(id, GiveUp::Ours, LeaveReason::Lost);
            }
        }
    }

    /// The link of a node can never be used again.
    pub(super) fn lose_link(&mut self, id: LinkId, number: Number, reason: LeaveReason) {
        self.lose(number, reason);
        self.close_link(id);
    }

    /// The machine's network is another: every path may be gone.
    ///
    /// Links to come back over are begun anew: a path that was found and is gone again cannot be replaced
    /// before DTLS is done, because it is the other side that would have to choose.
    pub(super) fn network_changed(&mut self) {
        let is_coming_back = matches!(&self.role, Role::Joiner(joiner)
            if joiner.is_welcome() && joiner.attempt.is_some());
        if is_coming_back {
            self.give_up_attempt();
        }
        self.client.reconnect(self.now);
        if is_coming_back {
            self.look_for_host();
        }
        self.refuse_returning();
        for link in self.links.values_mut() {
            link.liveness.doubt();
        }
        self.doubt_host();
    }

    /// The path to the host may be gone: soon it has to have shown that it is not.
    pub(super) fn doubt_host(&mut self) {
        let doubt = self.now.plus(DOUBT);
        if let Role::Joiner(joiner) = &mut self.role
            && joiner.is_welcome()
            && joiner.without_host.is_none()
        {
            joiner.doubt = Some(doubt);
        }
    }

    /// The nodes of which we say ourselves when they have left: all others only if there is no host.
    fn judged(&self) -> impl Iterator<Item = (Number, Away)> + '_ {
        let by_host = self.me != HOST && self.has_host();
        let away = self.away.iter().map(|(number, away)| (*number, *away));
        away.filter(move |(number, _)| !by_host || *number == HOST)
    }

    pub(super) fn recovery_deadline(&self) -> Option<Timestamp> {
        if self.away.is_empty() {
            return None;
        }
        self.judged().map(|(_, away)| away.until).min()
    }

    pub(super) fn recovery_timeout(&mut self) {
        let now = self.now;
        let due = |at: Timestamp| at <= now;
        // One after the other: once the host has left, we judge the others, too.
        loop {
            let next = self.judged().find(|(_, away)| due(away.until));
            let Some((number, away)) = next else { break };
            self.away.remove(&number);
            self.given_up(number, away.reason);
        }
        if let Role::Joiner(joiner) = &mut self.role {
            let attempt = joiner.attempt.as_mut();
            let repeat = attempt.and_then(|attempt| attempt.repeat_at.take_if(|at| due(*at)));
            if repeat.is_some() {
                self.send_offer();
            }
        }
        if let Role::Joiner(joiner) = &mut self.role {
            let doubt = joiner.doubt.take_if(|at| due(*at)).is_some();
            let again = joiner.again_at.take_if(|at| due(*at)).is_some();
            if doubt && self.link_of_node(HOST).is_none() {
                self.lose(HOST, LeaveReason::Lost);
            } else if doubt || again {
                self.look_for_host();
            }
        }
    }

    /// The time in which a node could have come back is over.
    fn given_up(&mut self, number: Number, reason: LeaveReason) {
        match self.role {
            Role::Host(_) => self.expel(number, reason, None),
            Role::Joiner(_) if number == HOST => {
                let end = if let LeaveReason::LinkFailed(failure) = reason {
                    EndReason::HostLinkFailed(failure)
                } else {
                    EndReason::HostLost
                };
                self.host_gone(reason, end);
            }
            Role::Joiner(_) => self.node_gone(number, reason),
            Role::Idle | Role::Leaving { .. } => {}
        }
    }
}
