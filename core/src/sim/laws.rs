//! The laws of the contract, checked while a world runs.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::event::Event;
use crate::id::NodeId;
use crate::time::Timestamp;

/// What a node may say next.
#[derive(Debug, Default)]
pub(crate) struct Laws {
    present: BTreeSet<NodeId>,
    states: BTreeMap<NodeId, u32>,
    /// `host` or `join` was called, and has not ended.
    open: bool,
}

impl Laws {
    /// `host` or `join` was taken.
    pub(crate) fn started(&mut self) {
        assert!(!self.open, "law 8: begun again before the end");
        self.open = true;
    }

    /// Whether the end is still to come.
    #[cfg(test)]
    pub(crate) const fn is_open(&self) -> bool {
        self.open
    }

    /// Law 8: nodes join and leave in turn, messages fall between, and there is one end.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the law is about these events alone"
    )]
    pub(crate) fn event(&mut self, event: &Event) {
        assert!(self.open, "law 8: told outside a network: {event:?}");
        match event {
            Event::NodeJoined { node } => {
                assert!(self.present.insert(*node), "law 8: {node} joined twice");
                self.states.remove(node);
            }
            Event::NodeLeft { node, .. } => {
                assert!(
                    self.present.remove(node),
                    "law 8: {node} left without having joined"
                );
            }
            Event::Message { from, .. } => {
                assert!(
                    self.present.contains(from),
                    "law 8: a message of {from}, who is not here"
                );
            }
            Event::State { from, sequence, .. } => {
                assert!(
                    self.present.contains(from),
                    "law 8: a state of {from}, who is not here"
                );
                if let Some(last) = self.states.insert(*from, *sequence) {
                    let step = sequence.wrapping_sub(last);
                    assert!(
                        step != 0 && step < 1 << 31,
                        "a state older than the last one"
                    );
                }
            }
            Event::Ended { .. } => {
                self.present.clear();
                self.open = false;
            }
            _ => {}
        }
    }

    /// Law 3: after a wake-up and a drain there is nothing left to do now.
    pub(crate) fn rested(now: Timestamp, next: Option<Timestamp>) {
        assert!(
            next.is_none_or(|next| next > now),
            "law 3: woken at {now}, again at {next:?}"
        );
    }

    /// Law 4: whatever is under way has a deadline. A host that waits for joiners has its
    /// heartbeat, or (on the LAN) nothing to wait for.
    pub(crate) fn under_way(connecting: bool, next: Option<Timestamp>) {
        assert!(
            !connecting || next.is_some(),
            "law 4: something is under way without a deadline"
        );
    }

    /// Law 6: one input, a bounded number of outputs.
    pub(crate) fn amplified(outputs: usize, limit: u32) {
        assert!(
            outputs <= limit as usize,
            "law 6: {outputs} outputs of one input"
        );
    }

    /// A call with nothing due changes nothing.
    pub(crate) fn idle(outputs: usize) {
        assert!(
            outputs == 0,
            "a wake-up with nothing due gave {outputs} outputs"
        );
    }

    pub(crate) fn present(&self) -> Vec<NodeId> {
        self.present.iter().copied().collect()
    }
}
