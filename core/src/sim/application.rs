//! What a test lets the applications of a world's nodes do.

use bytes::Bytes;
use core::time::Duration;

use super::machine::Machine;
use super::world::{NodeIndex, World};
use crate::code::NetworkCode;
use crate::error::{HostError, JoinError, KickError, SendError};
use crate::event::Event;
#[cfg(feature = "native")]
use crate::ice::IceServer;
use crate::id::NodeId;
use crate::network::Hosting;
use crate::time::Timestamp;

impl World {
    /// Whether a node's application stops taking messages (with
    /// [`Credit::OnRelease`](crate::Credit::OnRelease)).
    pub fn pause_application(&mut self, node: NodeIndex, paused: bool) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.paused = paused;
        }
    }

    /// Hosts a network on the world's signaling server and waits for its code.
    ///
    /// # Panics
    /// If the node cannot host or the code does not come within ten seconds.
    #[expect(
        clippy::panic,
        reason = "a test's world: a failed expectation ends the test"
    )]
    pub fn host(&mut self, node: NodeIndex) -> NetworkCode {
        let before = self.nodes.get(node.0).map_or(0, |node| node.events.len());
        if let Err(error) = self.try_host(node, Hosting::Signaling { code: None }) {
            panic!("{node:?} cannot host: {error}");
        }
        let deadline = self.now.plus(Duration::from_secs(10));
        loop {
            let code = self.events(node).skip(before).find_map(|event| {
                if let Event::NetworkCreated { code } = event {
                    Some(*code)
                } else {
                    None
                }
            });
            if let Some(code) = code {
                return code;
            }
            assert!(self.step(deadline), "no code came for {node:?}");
        }
    }

    /// Makes one network of these nodes: the first hosts, the others join all at once, and the world
    /// runs until everybody sees everybody.
    ///
    /// For tests of what comes after. Gives the network's code, for those who join later.
    ///
    /// # Panics
    /// If it does not come to that within a virtual minute.
    #[expect(
        clippy::panic,
        reason = "a test's world: a failed expectation ends the test"
    )]
    pub fn assemble(&mut self, nodes: &[NodeIndex]) -> NetworkCode {
        let Some((first, others)) = nodes.split_first() else {
            panic!("a network of no nodes");
        };
        let code = self.host(*first);
        for node in others {
            self.join(*node, &code);
        }
        let whole = |world: &Self| {
            let mut nodes_of = nodes.iter().map(|node| world.nodes(*node).len());
            nodes_of.all(|seen| seen == nodes.len())
        };
        let together = self.run_until(Duration::from_secs(60), whole);
        assert!(together, "{nodes:?} did not get together");
        code
    }

    /// Writes a line of the test's own into the [`timeline`](Self::timeline) (after `--`): what the
    /// game at this node did or believes.
    ///
    /// It counts in [`trace_hash`](Self::trace_hash), so
    /// [`first_difference`](super::first_difference) finds where a game's state is not the same twice
    /// even if nothing of it is sent.
    pub fn note(&mut self, node: NodeIndex, text: impl AsRef<str>) {
        self.trace.add_note(self.now, node.0, text.as_ref());
    }

    /// Hosts in whatever way.
    ///
    /// # Errors
    /// As [`Network::host`](crate::Network::host).
    pub fn try_host(&mut self, node: NodeIndex, hosting: Hosting) -> Result<(), HostError> {
        let result = self.begin(node, |machine, now| machine.host(now, hosting));
        if let Some(node) = self.nodes.get_mut(node.0).filter(|_| result.is_ok())
            && let Hosting::Lan { address } = hosting
        {
            node.lan = Some(address);
        }
        result
    }

    /// Starts to join.
    ///
    /// # Panics
    /// If the node is in a network already.
    #[expect(
        clippy::panic,
        reason = "a test's world: a failed expectation ends the test"
    )]
    pub fn join(&mut self, node: NodeIndex, code: &NetworkCode) {
        if let Err(error) = self.try_join(node, code) {
            panic!("{node:?} cannot join: {error}");
        }
    }

    /// Starts to join.
    ///
    /// # Errors
    /// As [`Network::join`](crate::Network::join).
    pub fn try_join(&mut self, node: NodeIndex, code: &NetworkCode) -> Result<(), JoinError> {
        self.begin(node, |machine, now| machine.join(now, code))
    }

    /// As [`Network::leave`](crate::Network::leave).
    pub fn leave(&mut self, node: NodeIndex) {
        let _ = self.call(node, |machine, now| machine.leave(now));
    }

    /// As [`Node::set_ice_servers`](crate::native::Node::set_ice_servers); also for the next lives of
    /// the node.
    #[cfg(feature = "native")]
    pub fn set_ice_servers(&mut self, node: NodeIndex, servers: Vec<IceServer>) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.config.ice_servers.clone_from(&servers);
            node.given.config(&node.config);
        }
        let _ = self.call(node, |machine, now| machine.set_ice_servers(now, &servers));
    }

    /// As [`Network::kick`](crate::Network::kick).
    ///
    /// # Errors
    /// As there.
    pub fn kick(&mut self, node: NodeIndex, whom: NodeId) -> Result<(), KickError> {
        self.call(node, |machine, now| machine.kick(now, whom))
            .unwrap_or(Err(KickError::UnknownNode))
    }

    /// As [`Network::broadcast`](crate::Network::broadcast).
    ///
    /// # Errors
    /// As there; `NotJoined` for a crashed node.
    pub fn broadcast(
        &mut self,
        node: NodeIndex,
        payload: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        let payload = payload.into();
        let sent = self.call(node, |machine, now| machine.send(now, None, payload));
        sent.unwrap_or(Err(SendError::NotJoined))
    }

    /// As [`Network::send_to`](crate::Network::send_to).
    ///
    /// # Errors
    /// As there; `NotJoined` for a crashed node.
    pub fn send_to(
        &mut self,
        node: NodeIndex,
        to: NodeId,
        payload: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        let payload = payload.into();
        let sent = self.call(node, |machine, now| machine.send(now, Some(to), payload));
        sent.unwrap_or(Err(SendError::NotJoined))
    }

    /// As [`Network::broadcast_state`](crate::Network::broadcast_state).
    ///
    /// # Errors
    /// As there; `NotJoined` for a crashed node.
    pub fn broadcast_state(
        &mut self,
        node: NodeIndex,
        payload: impl Into<Bytes>,
    ) -> Result<u32, SendError> {
        let payload = payload.into();
        self.call(node, |machine, now| machine.state(now, payload))
            .unwrap_or(Err(SendError::NotJoined))
    }

    /// As [`Network::release`](crate::Network::release).
    pub fn release(&mut self, node: NodeIndex, from: NodeId, bytes: u32) {
        let _ = self.call(node, |machine, now| machine.release(now, from, bytes));
    }

    fn call<T>(
        &mut self,
        NodeIndex(index): NodeIndex,
        call: impl FnOnce(&mut Machine, Timestamp) -> T,
    ) -> Option<T> {
        let now = self.awake(index)?;
        let result = call(self.machine(index)?, now);
        self.drain(index);
        Some(result)
    }

    /// A call that begins something that must end.
    fn begin<E>(
        &mut self,
        NodeIndex(index): NodeIndex,
        call: impl FnOnce(&mut Machine, Timestamp) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(now) = self.awake(index) else {
            return Ok(());
        };
        let Some(node) = self.nodes.get_mut(index) else {
            return Ok(());
        };
        let Some(machine) = &mut node.machine else {
            return Ok(());
        };
        call(machine, now)?;
        let held = node.laws.started();
        self.watch.judge(self.now, index, held);
        self.drain(index);
        Ok(())
    }

    /// The time for a call, of a node that can be called.
    fn awake(&mut self, index: usize) -> Option<Timestamp> {
        let node = self.nodes.get(index)?;
        (node.machine.is_some() && node.asleep.is_none()).then(|| self.node_time(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::sim::first_difference;
    use alloc::vec::Vec;

    #[test]
    fn a_network_is_assembled_and_its_nodes_make_notes() {
        let mut world = World::new(1);
        let nodes: Vec<_> = (0..5).map(|_| world.add_model(Config::default())).collect();
        world.set_name(nodes[3], "dave");
        let code = world.assemble(&nodes);
        assert_eq!(world.code(nodes[0]), Some(code));
        assert!(nodes.iter().all(|node| world.nodes(*node).len() == 5));
        world.keep_timeline();
        let dave = world.id(nodes[3]).unwrap();
        world.note(nodes[0], alloc::format!("greets {dave}"));
        let line = world.timeline().lines().next().unwrap();
        assert!(line.ends_with("s node-0   -- greets dave"), "{line}");
    }

    #[test]
    #[should_panic(expected = "did not get together")]
    fn a_network_that_cannot_be_assembled_is_told() {
        let mut world = World::new(1);
        let nodes = [(); 2].map(|()| world.add_model(Config::default()));
        world.partition(nodes[0], nodes[1]);
        world.assemble(&nodes);
    }

    #[test]
    fn notes_that_differ_are_a_difference() {
        let mut run = 0;
        let difference = first_difference(1, |world| {
            let node = world.add_model(Config::default());
            run += 1;
            world.note(node, alloc::format!("run {run}"));
        });
        let difference = difference.unwrap();
        assert!(difference.first.ends_with("-- run 3"), "{difference}");
        assert!(difference.second.ends_with("-- run 4"), "{difference}");
    }
}
