//! The nodes of a network, in the order in which they joined.

use alloc::vec::Vec;

use crate::id::NodeId;
use crate::wire::{Member, Number};

/// All nodes, the host first, ourselves included.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    members: Vec<Member>,
}

impl Roster {
    /// Adds a node at the end; `false` if its number or name is there already.
    pub(crate) fn add(&mut self, member: Member) -> bool {
        let known = self
            .members
            .iter()
            .any(|other| other.number == member.number || other.node == member.node);
        if !known {
            self.members.push(member);
        }
        !known
    }

    pub(crate) fn remove(&mut self, number: Number) -> Option<NodeId> {
        let place = self
            .members
            .iter()
            .position(|member| member.number == number)?;
        Some(self.members.remove(place).node)
    }

    pub(crate) fn clear(&mut self) {
        self.members.clear();
    }

    pub(crate) fn node(&self, number: Number) -> Option<NodeId> {
        self.members
            .iter()
            .find(|member| member.number == number)
            .map(|member| member.node)
    }

    pub(crate) fn number(&self, node: NodeId) -> Option<Number> {
        self.members
            .iter()
            .find(|member| member.node == node)
            .map(|member| member.number)
    }

    pub(crate) const fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }
}
