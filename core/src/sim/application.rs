//! What a test lets the applications of a world's nodes do.

use alloc::format;
use alloc::string::String;
#[cfg(feature = "native")]
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Write as _;
use core::time::Duration;

use super::change::Change;
use super::machine::Machine;
use super::oracle::Reach;
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
        self.mark(&Change::PauseApplication { node, paused });
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
            panic!("{} cannot host: {error}", self.name(node));
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
            assert!(
                self.step(deadline),
                "no code came for {}: {}",
                self.name(node),
                self.standing(node)
            );
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
        assert!(together, "{}", self.apart(nodes));
        code
    }

    /// Why these nodes are no network.
    fn apart(&self, nodes: &[NodeIndex]) -> String {
        let mut text = format!(
            "{} nodes did not get together within a minute:",
            nodes.len()
        );
        let host = nodes.first().copied();
        for node in nodes {
            let seen = self.nodes(*node).len();
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n  {} sees {seen}: {}",
                self.name(*node),
                self.standing(*node)
            );
            let Some(host) = host.filter(|host| host != node) else {
                continue;
            };
            if self.is_native(host.0) != self.is_native(node.0) {
                text.push_str("; model nodes and full nodes cannot talk to each other");
            } else if self.reach(host, *node) == Reach::Unreachable {
                text.push_str("; it and the host cannot reach each other through their NATs");
            }
        }
        text
    }

    /// What a node is up to, and how it ended last.
    fn standing(&self, node: NodeIndex) -> String {
        let mut text = self.status(node).map_or_else(
            || "crashed".into(),
            |status| format!("{status:?}").to_lowercase(),
        );
        let ended = self.events(node).filter_map(|event| {
            if let Event::Ended { reason } = event {
                Some(reason)
            } else {
                None
            }
        });
        if let Some(reason) = ended.last() {
            // Writing to a string cannot fail.
            let _ = write!(text, ", ended: {reason}");
        }
        text
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

    /// Starts to join; does nothing at a node that [is not running](Self::is_running).
    ///
    /// # Panics
    /// If the node is in a network already.
    #[expect(
        clippy::panic,
        reason = "a test's world: a failed expectation ends the test"
    )]
    pub fn join(&mut self, node: NodeIndex, code: &NetworkCode) {
        if let Err(error) = self.try_join(node, code) {
            panic!("{} cannot join: {error}", self.name(node));
        }
    }

    /// Starts to join; does nothing at a node that [is not running](Self::is_running).
    ///
    /// # Errors
    /// As [`Network::join`](crate::Network::join).
    pub fn try_join(&mut self, node: NodeIndex, code: &NetworkCode) -> Result<(), JoinError> {
        self.begin(node, |machine, now| machine.join(now, code))
    }

    /// As [`Network::leave`](crate::Network::leave).
    pub fn leave(&mut self, node: NodeIndex) {
        self.mark(&Change::Leave { node });
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
    /// As there; `NotJoined` for a node that is crashed or asleep.
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
    /// As there; `NotJoined` for a node that is crashed or asleep.
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
    /// As there; `NotJoined` for a node that is crashed or asleep.
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
        self.is_running(NodeIndex(index))
            .then(|| self.node_time(index))
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
    #[should_panic(expected = "node-1 sees 0: idle, ended: no path between")]
    fn a_network_that_cannot_be_assembled_is_told() {
        let mut world = World::new(1);
        let nodes = [(); 2].map(|()| world.add_model(Config::default()));
        world.partition(nodes[0], nodes[1]);
        world.assemble(&nodes);
    }

    #[test]
    #[should_panic(expected = "ben sees 0: idle, ended: the network is full")]
    fn who_does_not_fit_into_a_network_is_named() {
        let mut world = World::new(1);
        let two = Config::default().with_max_nodes(2).unwrap();
        let nodes = [(); 3].map(|()| world.add_model(two.clone()));
        world.set_name(nodes[1], "anna");
        world.set_name(nodes[2], "ben");
        world.assemble(&nodes);
    }

    #[test]
    #[should_panic(expected = "cannot reach each other through their NATs")]
    fn nats_that_are_too_strict_are_named() {
        let mut world = World::new(1);
        let nodes = [(); 2].map(|()| {
            let nat = world.add_nat(crate::sim::NatConfig::symmetric());
            world.add_model_behind(Config::default(), nat)
        });
        world.assemble(&nodes);
    }

    #[cfg(feature = "native")]
    #[test]
    #[should_panic(expected = "model nodes and full nodes cannot talk to each other")]
    fn kinds_that_do_not_mix_are_named() {
        let mut world = World::new(1);
        let nodes = [
            world.add_model(Config::default()),
            world.add_native(Config::default()),
        ];
        world.assemble(&nodes);
    }

    #[test]
    fn a_game_runs_only_where_its_machine_does() {
        let mut world = World::new(1);
        let nodes = [(); 2].map(|()| world.add_model(Config::default()));
        world.assemble(&nodes);
        let ben = nodes[1];
        assert!(world.is_running(ben));
        world.sleep(ben, Duration::from_secs(1));
        assert!(!world.is_running(ben));
        world.run_for(Duration::from_secs(2));
        assert!(world.is_running(ben));
        let life = world.id(ben);
        world.crash(ben);
        assert!(!world.is_running(ben) && world.id(ben).is_none());
        world.restart(ben);
        assert!(world.is_running(ben) && world.id(ben) != life);
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
