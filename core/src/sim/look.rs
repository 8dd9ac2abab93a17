//! What a test can see of a world.

use alloc::string::String;
use alloc::vec::Vec;

use super::choices::FromSeed;
use super::machine::Machine;
use super::path::Path;
use super::world::{NodeIndex, World};
use crate::code::NetworkCode;
use crate::event::Event;
use crate::id::NodeId;
use crate::stats::{Stats, Status};
use crate::time::Timestamp;

impl World {
    /// The time now.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The path from one node to another as it is now.
    #[must_use]
    pub fn path(&self, from: NodeIndex, to: NodeIndex) -> Path {
        *self.path_of(from.0, to.0)
    }

    pub(super) fn path_of(&self, from: usize, to: usize) -> &Path {
        let way = self.ways.get(from).and_then(|ways| ways.get(to));
        way.and_then(|way| way.own.as_ref())
            .unwrap_or(&self.default_path)
    }

    /// Choices that follow from the world's seed: for what players do, and what troubles they have.
    ///
    /// Take them once, at the scenario's begin: each call begins anew.
    #[must_use]
    pub fn choices(&self) -> FromSeed {
        FromSeed::new(self.seed)
    }

    /// Whether the node's program runs: it has neither [crashed](Self::crash) nor does its machine
    /// [sleep](Self::sleep). Where not, no game runs, either: a test's loop passes over it.
    #[must_use]
    pub fn is_running(&self, node: NodeIndex) -> bool {
        let node = self.nodes.get(node.0);
        node.is_some_and(|node| node.machine.is_some() && node.asleep.is_none())
    }

    /// The node's name; `None` if it is crashed. Another one after a [restart](Self::restart), which
    /// tells a test that a game's state is that of a former life.
    #[must_use]
    pub fn id(&self, node: NodeIndex) -> Option<NodeId> {
        Some(self.nodes.get(node.0)?.machine.as_ref()?.id())
    }

    /// The code of the network that a node hosts or joins.
    #[must_use]
    pub fn code(&self, node: NodeIndex) -> Option<NetworkCode> {
        self.nodes.get(node.0)?.machine.as_ref()?.code()
    }

    /// All nodes that a node sees, in join order.
    #[must_use]
    pub fn nodes(&self, node: NodeIndex) -> Vec<NodeId> {
        let machine = self
            .nodes
            .get(node.0)
            .and_then(|node| node.machine.as_ref());
        machine.map(Machine::nodes).unwrap_or_default()
    }

    /// The other nodes as the events of a node tell them, sorted.
    #[must_use]
    pub fn present(&self, node: NodeIndex) -> Vec<NodeId> {
        self.nodes
            .get(node.0)
            .map(|node| node.laws.present())
            .unwrap_or_default()
    }

    /// Whether the node is in a network; `None` if it is crashed.
    #[must_use]
    pub fn status(&self, node: NodeIndex) -> Option<Status> {
        Some(self.nodes.get(node.0)?.machine.as_ref()?.status())
    }

    /// The node's numbers.
    #[must_use]
    pub fn stats(&self, node: NodeIndex) -> Option<Stats> {
        let node = self.nodes.get(node.0)?;
        node.machine.as_ref()?.stats(node.clock.to_node(self.now))
    }

    /// How many of a full node's links go through a TURN server, its own or the other node's.
    #[cfg(feature = "native")]
    #[must_use]
    pub fn links_by_relay(&self, node: NodeIndex) -> usize {
        let machine = self
            .nodes
            .get(node.0)
            .and_then(|node| node.machine.as_ref());
        machine.map_or(0, |machine| machine.links_by_relay())
    }

    /// Everything that was told to a node's application so far.
    pub fn events(&self, node: NodeIndex) -> impl Iterator<Item = &Event> {
        self.timed_events(node).map(|(_, event)| event)
    }

    /// The same with the times.
    pub fn timed_events(&self, node: NodeIndex) -> impl Iterator<Item = (Timestamp, &Event)> {
        let events = self
            .nodes
            .get(node.0)
            .map_or(&[][..], |node| node.events.as_slice());
        events.iter().map(|(at, event)| (*at, event))
    }

    /// The first event of a node that is wanted, and when it came.
    pub fn find_event(
        &self,
        node: NodeIndex,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Option<(Timestamp, &Event)> {
        self.timed_events(node).find(|(_, event)| wanted(event))
    }

    /// How many events of a node are wanted.
    pub fn count_events(&self, node: NodeIndex, mut wanted: impl FnMut(&Event) -> bool) -> usize {
        self.events(node).filter(|event| wanted(event)).count()
    }

    /// What was told to a node's application since the last call of this.
    pub fn take_events(&mut self, node: NodeIndex) -> Vec<Event> {
        let Some(node) = self.nodes.get_mut(node.0) else {
            return Vec::new();
        };
        let events = node
            .events
            .iter()
            .skip(node.taken)
            .map(|(_, event)| event.clone())
            .collect();
        node.taken = node.events.len();
        events
    }

    /// Forgets the events of a node; for runs so long that they would fill the memory.
    pub fn forget_events(&mut self, node: NodeIndex) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.events.clear();
            node.taken = 0;
        }
    }

    /// How many messages and states a node's application was given.
    #[must_use]
    pub fn message_count(&self, node: NodeIndex) -> u64 {
        self.nodes.get(node.0).map_or(0, |node| node.messages)
    }

    /// How many datagrams a native node has asked to be sent, in all its lives: what a design costs.
    /// Zero for a model node, which sends none.
    #[must_use]
    pub fn datagram_count(&self, node: NodeIndex) -> u64 {
        self.nodes.get(node.0).map_or(0, |node| node.datagrams)
    }

    /// A hash over every input and output of every node so far: equal exactly for equal runs.
    ///
    /// Of a native node's datagrams it covers addresses and times; the bytes only with
    /// `trace_bytes`.
    #[must_use]
    pub const fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// How many inputs and outputs that hash covers.
    #[must_use]
    pub const fn trace_entries(&self) -> u64 {
        self.trace.entries()
    }

    /// From now on the trace of native nodes covers all bytes: of datagrams, and of what goes
    /// through signaling servers.
    ///
    /// Those of handshakes differ from run to run, and such hashes with them, unless the randomness of
    /// str0m, dimpl and sctp-proto is seeded as well, which needs a build of its own (this project's
    /// package `tests/exact` does it).
    #[cfg(feature = "native")]
    pub const fn trace_bytes(&mut self) {
        self.trace_bytes = true;
    }

    /// The node's name in the [`timeline`](Self::timeline).
    #[must_use]
    pub fn name(&self, node: NodeIndex) -> String {
        self.trace.name(node.0)
    }

    /// From now on keeps every input, output, change of the world and note as a line of
    /// [`timeline`](Self::timeline).
    pub fn keep_timeline(&mut self) {
        self.trace.keep_text(self.trace.entries()..u64::MAX);
    }

    /// What happened since [`keep_timeline`](Self::keep_timeline), line by line: the virtual time,
    /// the node, `<-` for what went into it and `->` for what came out, and what it was; `!!` before what
    /// changed in the world ([`Change`](super::Change)), `--` before a [`note`](Self::note). Names of nodes
    /// stand for their ids, and long payloads are cut.
    #[must_use]
    pub fn timeline(&self) -> &str {
        self.trace.text()
    }

    /// How many model links a node has an end of (`None` of a native one), and how many connections
    /// to signaling servers.
    pub(super) fn held_by(&self, NodeIndex(index): NodeIndex) -> (Option<u32>, u32) {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let node = self.nodes.get(index).and_then(|node| node.machine.as_ref());
        let links = match node {
            Some(Machine::Model(_) | Machine::Foreign(_)) | None => {
                Some(count(self.links.of(index)))
            }
            #[cfg(feature = "native")]
            Some(Machine::Native(_)) => None,
        };
        (links, count(self.connections.of(index)))
    }

    /// Whether a node wants to be woken.
    pub(super) fn is_awake(&self, NodeIndex(index): NodeIndex) -> bool {
        let node = self.nodes.get(index).and_then(|node| node.machine.as_ref());
        node.is_some_and(|machine| machine.poll_timeout().is_some())
    }

    /// How many ends of model links and how many signaling connections there are.
    #[must_use]
    pub fn leftovers(&self) -> (usize, usize) {
        (self.links.len(), self.connections.len())
    }
}
