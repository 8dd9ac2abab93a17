//! A joiner learns that another node has left: from the host, from the node itself, or because the host is gone.

use alloc::vec::Vec;

use super::links::link_to;
use super::{Network, Role};
use crate::config::MOST_NODES;
use crate::error::EndReason;
use crate::event::{Event, LeaveReason};
use crate::id::{LinkId, NodeId};
use crate::link::{Link, Stage};
use crate::membership::{Direct, GiveUp, Leaves};
use crate::time::Timestamp;
use crate::wire::{Farewell, HOST, Number};

impl Network {
    /// A joiner said goodbye on our link to it; its leaving is the host's to tell, while there is one.
    pub(super) fn direct_goodbye(&mut self, id: LinkId, reason: LeaveReason) {
        let number = self.links.get(&id).and_then(Link::direct);
        let until = self.now.plus(self.config.timeouts.leave);
        if let Some((number, _)) = number
            && let Some(direct) = self.directs.get_mut(&number)
        {
            direct.leaves.get_or_insert(Leaves {
                until,
                reason,
                by_host: false,
            });
        }
        self.direct_over(id, GiveUp::Theirs, reason);
        if let Some((number, _)) = number
            && let Some(direct) = self.directs.get_mut(&number)
        {
            // There will be nobody to answer another offer.
            direct.failed(self.now, false);
        }
    }

    /// The host says that a node left. If our link to it still works, its last words come first.
    pub(super) fn told_left(&mut self, number: Number, reason: LeaveReason) {
        let until = self.now.plus(self.config.timeouts.leave);
        let last_words = reason == LeaveReason::Left && self.goes_directly(number);
        match self.directs.get_mut(&number).filter(|_| last_words) {
            Some(direct) => {
                direct.leaves = Some(Leaves {
                    until,
                    reason,
                    by_host: true,
                });
            }
            None => {
                self.part_from(number, until);
                self.node_gone(number, reason);
            }
        }
    }

    /// Says goodbye to a node that is not in the network any more: it may not know yet, and shall not take it for a
    /// link that broke.
    fn part_from(&mut self, number: Number, until: Timestamp) {
        if let Some(id) = self.directs.get(&number).and_then(Direct::link)
            && let Some(link) = self.links.get_mut(&id)
            && matches!(link.stage, Stage::Open { .. })
        {
            link.close_after(Farewell::Lost, until);
            self.directs.remove(&number);
        }
    }

    /// Before somebody new comes: nodes whose last words we wait for go now, if they are in the way.
    pub(super) fn make_place(&mut self, node: NodeId) {
        let full = self.roster.len() >= usize::from(MOST_NODES);
        let leaving: Vec<_> = self
            .directs
            .iter()
            .filter_map(|(number, direct)| Some((*number, direct.left()?.reason)))
            .filter(|(number, _)| full || self.roster.node(*number) == Some(node))
            .collect();
        for (number, reason) in leaving {
            self.node_gone(number, reason);
        }
    }

    /// A node is no longer part of the network, as this node sees it.
    pub(super) fn node_gone(&mut self, number: Number, reason: LeaveReason) {
        self.away.remove(&number);
        if let Role::Joiner(joiner) = &mut self.role {
            joiner.missed_by_host.retain(|other| *other != number);
        }
        self.foreign.remove(&number);
        if let Some(link) = self.directs.remove(&number).and_then(|one| one.link()) {
            self.close_link(link);
        }
        self.pairs.remove(&number);
        if let Some(node) = self.roster.remove(number) {
            tracing::info!(%node, reason = reason.name(), "node left");
            self.tell(Event::NodeLeft { node, reason });
        }
        self.end_if_left_alone();
    }

    /// Without a host, a network of one is over: nobody can come any more.
    fn end_if_left_alone(&mut self) {
        if let Role::Joiner(joiner) = &self.role
            && let Some(end) = joiner.without_host
            && self.roster.len() <= 1
        {
            self.end(end);
        }
    }

    /// The host is gone. In a mesh the others keep what they have; else the network is over.
    pub(super) fn host_gone(&mut self, reason: LeaveReason, end: EndReason) {
        let Role::Joiner(joiner) = &mut self.role else {
            return;
        };
        if !self.terms.mesh || !joiner.is_welcome() {
            return self.end(end);
        }
        joiner.without_host = Some(end);
        let link = joiner.link;
        self.give_up_attempt();
        self.close_link(link);
        self.client.close();
        self.away.remove(&HOST);
        let Some(host) = self.roster.remove(HOST) else {
            return;
        };
        self.pairs.remove(&HOST);
        self.round_trips.clear();
        self.tell(Event::NodeLeft { node: host, reason });
        self.tell(Event::HostLost { reason });
        // Who has a link with us, or one in the making, can still be reached.
        let lost: Vec<(Number, LeaveReason)> = self
            .directs
            .iter()
            .filter(|(_, direct)| direct.link().is_none())
            .map(|(number, direct)| {
                let reason = direct.leaves.map(|leaves| leaves.reason);
                (*number, reason.unwrap_or(LeaveReason::Lost))
            })
            .collect();
        for (number, reason) in lost {
            self.node_gone(number, reason);
        }
        let rest: Vec<Number> = self.directs.keys().copied().collect();
        for number in rest {
            self.choose_route(number);
            // Nothing was said of it as long as the host relayed.
            let silent = link_to(&mut self.links, number).is_some_and(|link| link.is_silent())
                && !self.away.contains_key(&number);
            if let Some(node) = self.roster.node(number).filter(|_| silent) {
                self.tell(Event::NodeSuspect { node });
            }
        }
        self.end_if_left_alone();
    }
}
