//! Nobody is blamed for what it did not do.

use alloc::collections::BTreeSet;
use alloc::format;

use super::super::laws::{Held, Law, demand};
use super::settings::{is_breaking, is_dark};
use super::{Action, NodeVerb, PairVerb, Plan};
use crate::config::Topology;
use crate::error::EndReason;
use crate::event::{Event, LeaveReason};
use crate::id::NodeId;

/// What really happened, as far as a reason may name it.
#[derive(Debug)]
pub(super) struct Reasons {
    left: BTreeSet<NodeId>,
    host_left: bool,
    mesh: bool,
    kicked: BTreeSet<NodeId>,
    /// Packets may be lost or nodes may vanish at some time: silence has a cause.
    silence: bool,
    /// Applications may take nothing for a while, or paths are so bad that it looks like it.
    slowness: bool,
}

impl Reasons {
    pub(super) fn new(plan: &Plan) -> Self {
        let any = |is: fn(&Action) -> bool| plan.actions.iter().any(|timed| is(&timed.action));
        let silence = any(|action| match action {
            Action::Node(verb, _) => matches!(verb, NodeVerb::Crash | NodeVerb::Isolate),
            Action::Pair(verb, ..) => !matches!(verb, PairVerb::Heal),
            Action::Path { path, .. } => is_dark(path),
            Action::Quirks(quirks) => is_breaking(quirks),
            Action::Clock(..) | Action::Sleep(..) => true,
            Action::Roam(..) | Action::Nat(..) | Action::Reboot(..) | Action::Turn(_) => true,
            Action::Server(_)
            | Action::Signaling(_)
            | Action::Send { .. }
            | Action::State { .. } => false,
        });
        let pauses = any(|action| matches!(action, Action::Node(NodeVerb::Pause, _)));
        Self {
            left: BTreeSet::new(),
            host_left: false,
            mesh: plan.topology == Topology::Mesh,
            kicked: BTreeSet::new(),
            silence,
            slowness: silence || plan.release && pauses,
        }
    }

    /// The application of this node left; a host that does so closes its network.
    pub(super) fn left(&mut self, node: NodeId, is_host: bool) {
        self.left.insert(node);
        self.host_left |= is_host;
    }

    /// The application of the host removed this node.
    pub(super) fn kicked(&mut self, node: NodeId) {
        self.kicked.insert(node);
    }

    /// In a mesh the host may tell what the way between two others does not carry.
    pub(super) const fn goodbyes_overtake(&self) -> bool {
        self.mesh && self.silence
    }

    /// Packets may be lost, or nodes vanish.
    pub(super) const fn has_silence(&self) -> bool {
        self.silence
    }

    /// From now on nodes are broken on purpose.
    pub(super) const fn broken(&mut self) {
        self.silence = true;
        self.slowness = true;
    }

    /// Something was told to the application of `me`.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the law is about the reasons that blame somebody"
    )]
    pub(super) fn event(&self, me: NodeId, event: &Event) -> Held {
        let holds = match event {
            Event::NodeLeft { node, reason } => match reason {
                LeaveReason::Left => self.left.contains(node),
                LeaveReason::Kicked => self.kicked.contains(node),
                // In a mesh a goodbye of one who went together with the host may count as silence.
                LeaveReason::Lost | LeaveReason::LinkFailed(_) => {
                    self.silence || self.host_left && self.mesh
                }
                // Who is lost is waited for until others wait, too.
                LeaveReason::TooSlow => self.slowness || self.silence,
                LeaveReason::Misbehaved => false,
            },
            Event::Ended { reason } => match reason {
                EndReason::Left => self.left.contains(&me),
                EndReason::HostClosed => self.host_left,
                EndReason::Kicked => self.kicked.contains(&me),
                EndReason::HostLost => self.silence,
                EndReason::HostLinkFailed(_) => self.silence,
                EndReason::TooSlow => self.slowness,
                EndReason::Misbehaved | EndReason::HostMisbehaved => false,
                _ => true,
            },
            Event::NodeStalled { .. } => self.slowness || self.silence,
            Event::NodeSuspect { .. } | Event::NodeLost { .. } => {
                self.silence || self.host_left && self.mesh
            }
            _ => true,
        };
        demand(holds, Law::Reason, || format!("{event:?}, which is not so"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId::from_bytes([1; 16]);

    fn left(reason: LeaveReason) -> Event {
        Event::NodeLeft { node: A, reason }
    }

    #[test]
    fn each_blame_needs_its_deed() {
        let mut reasons = Reasons::new(&Plan::new(0, 2));
        let false_ones = [
            left(LeaveReason::Left),
            left(LeaveReason::Kicked),
            left(LeaveReason::Lost),
            left(LeaveReason::TooSlow),
            left(LeaveReason::Misbehaved),
            Event::NodeStalled { node: A },
            Event::NodeSuspect { node: A },
            Event::NodeLost { node: A },
            Event::Ended {
                reason: EndReason::Left,
            },
            Event::Ended {
                reason: EndReason::HostClosed,
            },
            Event::Ended {
                reason: EndReason::Kicked,
            },
            Event::Ended {
                reason: EndReason::HostLost,
            },
            Event::Ended {
                reason: EndReason::TooSlow,
            },
            Event::Ended {
                reason: EndReason::Misbehaved,
            },
            Event::Ended {
                reason: EndReason::HostMisbehaved,
            },
        ];
        for event in &false_ones {
            let law = reasons.event(A, event).err().map(|b| b.law);
            assert_eq!(law, Some(Law::Reason), "{event:?}");
        }
        reasons.left(A, true);
        reasons.kicked(A);
        reasons.broken();
        let still_false: Vec<_> = false_ones
            .iter()
            .filter(|event| reasons.event(A, event).is_err())
            .collect();
        assert_eq!(
            still_false,
            [&false_ones[4], &false_ones[13], &false_ones[14]]
        );
    }

    #[test]
    fn a_plan_says_whether_silence_has_a_cause() {
        let plan = Plan::new(0, 2);
        assert!(!Reasons::new(&plan).silence);
        let crash = plan.clone().at(5, Action::Node(NodeVerb::Crash, 1));
        assert!(Reasons::new(&crash).silence);
        let mut pause = plan.at(5, Action::Node(NodeVerb::Pause, 1));
        assert!(!Reasons::new(&pause).slowness, "a pause that has no effect");
        pause.release = true;
        assert!(Reasons::new(&pause).slowness);
    }
}
