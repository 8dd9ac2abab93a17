//! Looking: nothing here changes anything.

use alloc::vec::Vec;

use super::{Network, Role};
use crate::code::NetworkCode;
use crate::event::{Phase, PhaseTiming};
use crate::id::NodeId;
use crate::link::RoundTrip;
use crate::stats::{NodeStats, Stats, Status};
use crate::time::Timestamp;
use crate::wire::{HOST, Member, Number};

impl Network {
    /// Our own name.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// Whether we are in a network.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.role {
            Role::Idle => Status::Idle,
            Role::Leaving { .. } => Status::Leaving,
            Role::Host(host) if host.is_created() => Status::Joined,
            Role::Joiner(joiner) if joiner.is_welcome() => Status::Joined,
            Role::Host(_) | Role::Joiner(_) => Status::Connecting,
        }
    }

    /// Whether there is, or should be, a link between this node and us: of others only the host tells.
    #[cfg(feature = "native")]
    pub(crate) fn is_linked(&self, node: NodeId) -> bool {
        self.me == HOST || self.terms.mesh || self.roster.node(HOST) == Some(node)
    }

    /// Joiner: the phase of the connection, until we are in.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        match &self.role {
            Role::Joiner(joiner) if !joiner.is_welcome() => Some(joiner.phase),
            Role::Joiner(_) | Role::Idle | Role::Host(_) | Role::Leaving { .. } => None,
        }
    }

    /// Joiner: how long each phase of the connection took.
    #[must_use]
    pub fn timing(&self) -> PhaseTiming {
        match &self.role {
            Role::Joiner(joiner) => joiner.clock.timing(),
            Role::Idle | Role::Host(_) | Role::Leaving { .. } => PhaseTiming::default(),
        }
    }

    /// The code of the network that we host or join.
    #[must_use]
    pub const fn code(&self) -> Option<NetworkCode> {
        match &self.role {
            Role::Host(host) => Some(host.code),
            Role::Joiner(joiner) => Some(joiner.code),
            Role::Idle | Role::Leaving { .. } => None,
        }
    }

    /// The largest message, in bytes: the host's limit once we are in its network.
    #[must_use]
    pub const fn max_message(&self) -> u32 {
        self.terms.message
    }

    /// All nodes in join order, the host first, ourselves included; empty before we are in.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.roster.members().iter().map(|member| member.node)
    }

    /// Numbers of everything, at `now`.
    #[must_use]
    pub fn stats(&self, now: Timestamp) -> Stats {
        let now = self.now.max(now);
        let members = self
            .roster
            .members()
            .iter()
            .filter(|member| member.node != self.id);
        let nodes: Vec<_> = members
            .map(|member| self.node_stats(now, *member))
            .collect();
        Stats {
            status: self.status(),
            latency_best: nodes.iter().filter_map(|node| node.latency_best).min(),
            nodes,
            counters: self.counters,
        }
    }

    /// There and back through the host: our way to it, and its way to the other.
    fn relayed_round_trip(&self, number: Number) -> RoundTrip {
        let ours = self.links.values().find(|link| link.number() == Some(HOST));
        let ours = ours.and_then(|link| link.liveness.round_trip().smoothed);
        let both = ours.zip(self.round_trips.get(&number));
        RoundTrip {
            smoothed: both.map(|(ours, theirs)| ours.saturating_add(*theirs)),
            best: None,
        }
    }

    fn node_stats(&self, now: Timestamp, Member { number, node }: Member) -> NodeStats {
        let link = self
            .links
            .values()
            .find(|link| link.number() == Some(number));
        let pair = self.pairs.get(&number);
        let relayed = self.me != HOST && number != HOST && !self.goes_directly(number);
        let round_trip = match link.filter(|_| !relayed) {
            Some(link) => link.liveness.round_trip(),
            None => self.relayed_round_trip(number),
        };
        let totals = pair.map(|pair| pair.totals).unwrap_or_default();
        NodeStats {
            node,
            latency: round_trip.smoothed,
            latency_best: round_trip.best,
            silent_for: link.map(|link| link.liveness.silent_for(now)),
            relayed,
            messages_sent: totals.messages_sent,
            messages_received: totals.messages_received,
            bytes_sent: totals.bytes_sent,
            bytes_received: totals.bytes_received,
            bytes_in_flight: pair.map_or(0, |pair| {
                u32::try_from(pair.in_flight()).unwrap_or(u32::MAX)
            }),
            state: pair.map(|pair| pair.state_stats(now)).unwrap_or_default(),
            timing: link.map(|link| link.clock.timing()).unwrap_or_default(),
        }
    }
}
