//! Leaving, in such a way that the others know.

use alloc::vec::Vec;

use super::{Network, Role};
use crate::error::EndReason;
use crate::id::LinkId;
use crate::link::{Link, Stage, negotiation};
use crate::signaling::{RelayedKind, write_relayed};
use crate::wire::Farewell;

impl Network {
    pub(super) fn start_leaving(&mut self) {
        let farewell = match &self.role {
            Role::Idle | Role::Leaving { .. } => return,
            Role::Host(_) => Farewell::Closed,
            Role::Joiner(_) => Farewell::Left,
        };
        self.leave_as(farewell, EndReason::Left);
    }

    /// Says goodbye to all, and ends with this reason once they can have heard it.
    pub(super) fn leave_as(&mut self, farewell: Farewell, reason: EndReason) {
        self.report_end(reason);
        let deadline = self.now.plus(self.config.timeouts.leave);
        for link in self.links.values_mut() {
            if matches!(link.stage, Stage::Open { .. }) {
                link.close_after(farewell, deadline);
            }
        }
        self.give_up_joins();
        self.close_embedded_server();
        self.client.close();
        self.blocked.clear();
        self.directs.clear();
        self.role = Role::Leaving { deadline, reason };
    }

    /// Closes what is still joining; the other side hears it through the signaling server, so that
    /// nobody waits for a deadline.
    pub(super) fn give_up_joins(&mut self) {
        let joining: Vec<_> = self
            .links
            .iter()
            .filter(|(_, link)| link.is_joining())
            .map(|(id, _)| *id)
            .collect();
        for id in joining {
            self.withdraw(id);
        }
    }

    /// Gives up a link that is being made.
    ///
    /// A page that hears LEAVE closes all connections, not just the one for states.
    pub(super) fn withdraw(&mut self, id: LinkId) {
        let told = |link: &&Link| link.direct().is_none() && link.carries_for().is_none();
        if let Some(link) = self.links.get(&id).filter(told) {
            let leave = negotiation::leave(link.connection_id());
            let text = write_relayed(RelayedKind::Leave, link.signaling_id(), &leave);
            self.signal(text);
        }
        self.close_link(id);
    }

    pub(super) fn leaving_timeout(&mut self) {
        if let Role::Leaving { deadline, reason } = self.role
            && deadline <= self.now
        {
            self.end(reason);
        }
    }

    /// Left once the last goodbye is out.
    pub(super) fn finish_leaving(&mut self) {
        if let Role::Leaving { reason, .. } = self.role
            && self.links.is_empty()
        {
            self.end(reason);
        }
    }
}
