//! The heap of events, and how inputs and outputs pass between it and the machines.

use core::cmp::{Ordering, Reverse};
use core::time::Duration;

use super::laws::Laws;
use super::machine::Machine;
use super::model_link::{End, ModelUpdate};
use super::signaling::{Served, ToClient, ToServer};
use super::world::World;
use crate::config::Credit;
use crate::event::Event;
use crate::io::{Input, Output};
use crate::signaling::{ConnectionId, Server, SignalingId};
use crate::stats::Status;
use crate::time::{Timestamp, earliest};

#[cfg(feature = "native")]
use crate::native;

/// What happens at a moment; of two at the same moment, what was scheduled first.
#[derive(Debug)]
pub(super) struct Scheduled {
    at: Timestamp,
    sequence: u64,
    what: What,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

#[derive(Debug)]
pub(super) enum What {
    Link {
        end: End,
        update: ModelUpdate,
    },
    /// The next reliable message of this end is due at its peer.
    Arrival(End),
    ToServer {
        connection: ConnectionId,
        what: ToServer,
    },
    ToClient {
        client: usize,
        signaling: SignalingId,
        what: ToClient,
    },
    #[cfg(feature = "native")]
    Datagram {
        crossing: super::internet::Crossing,
        payload: bytes::Bytes,
    },
}

enum Out {
    Model(Output),
    #[cfg(feature = "native")]
    Native(native::Output),
}

impl World {
    /// Does the next thing, if it is not after the deadline; else moves to the deadline.
    pub(super) fn step(&mut self, deadline: Timestamp) -> bool {
        let wake = self.next_wake();
        let next = self.heap.peek().map(|Reverse(next)| next.at);
        let at = earliest(wake.map(|(at, _)| at), next);
        let Some(at) = at.filter(|at| *at <= deadline) else {
            self.now = self.now.max(deadline);
            return false;
        };
        self.now = self.now.max(at);
        match wake {
            // What arrives goes before what is due at the same moment.
            Some((due, who)) if next.is_none_or(|next| due < next) => self.wake(who),
            _ => {
                if let Some(Reverse(scheduled)) = self.heap.pop() {
                    self.happen(scheduled.what);
                }
            }
        }
        true
    }

    /// Who is to be woken first; `None` for a node is the signaling server.
    fn next_wake(&self) -> Option<(Timestamp, Option<usize>)> {
        let nodes = self.nodes.iter().enumerate().filter_map(|(index, node)| {
            Some((node.machine.as_ref()?.poll_timeout()?, Some(index)))
        });
        let server = self
            .server
            .as_ref()
            .and_then(Server::poll_timeout)
            .map(|at| (at, None));
        nodes.chain(server).min_by_key(|(at, _)| *at)
    }

    fn wake(&mut self, who: Option<usize>) {
        let now = self.now;
        let Some(index) = who else {
            if let Some(server) = &mut self.server {
                server.handle_timeout(now);
            }
            self.drain_server();
            return;
        };
        self.trace.add(now, index, &"timeout");
        if let Some(machine) = self.machine(index) {
            machine.handle_timeout(now);
        }
        self.drain(index);
        if let Some(machine) = self.machine(index) {
            Laws::rested(now, machine.poll_timeout());
        }
    }

    pub(super) fn machine(&mut self, index: usize) -> Option<&mut Machine> {
        self.nodes.get_mut(index)?.machine.as_mut()
    }

    pub(super) fn schedule(&mut self, at: Timestamp, what: What) {
        self.sequence = self.sequence.saturating_add(1);
        self.heap.push(Reverse(Scheduled {
            at,
            sequence: self.sequence,
            what,
        }));
    }

    /// How long the next packet from one node to another takes, if it arrives at all.
    pub(super) fn pass(&mut self, from: usize, to: usize) -> Option<Duration> {
        let nth = self.packets.entry((from, to)).or_insert(0);
        *nth = nth.saturating_add(1);
        let nth = *nth;
        let path = self
            .paths
            .get(&(from, to))
            .copied()
            .unwrap_or(self.default_path);
        path.pass(&self.rng.fork(&alloc::format!("path {from} {to}")), nth)
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Link { end, update } => self.link_update(end, update),
            What::Arrival(end) => self.arrival(end),
            What::ToServer { connection, what } => self.arrived_at_server(connection, &what),
            What::ToClient {
                client,
                signaling,
                what,
            } => {
                self.arrived_at_client(client, signaling, &what);
            }
            #[cfg(feature = "native")]
            What::Datagram { crossing, payload } => self.datagram(crossing, &payload),
        }
    }

    pub(super) fn input(&mut self, index: usize, input: Input<'_>) {
        let now = self.now;
        self.trace.add(now, index, &input);
        match (self.machine(index), input) {
            (Some(Machine::Model(network)), input) => network.handle_input(now, input),
            #[cfg(feature = "native")]
            (Some(Machine::Native(node)), Input::Signaling(update)) => {
                node.handle_input(now, native::Input::Signaling(update));
            }
            #[cfg(feature = "native")]
            (Some(Machine::Native(node)), Input::Server(input)) => {
                node.handle_input(now, native::Input::Server(input));
            }
            #[cfg(feature = "native")]
            (Some(Machine::Native(_)), Input::Link { .. }) => {}
            (None, _) => {}
        }
        self.drain(index);
    }

    #[cfg(feature = "native")]
    pub(super) fn input_native(&mut self, index: usize, input: native::Input<'_>) {
        let now = self.now;
        // The bytes of a handshake differ from run to run; what must agree is who and when.
        if let native::Input::Datagram { remote, .. } = &input {
            self.trace.add(now, index, &("datagram", remote));
        } else {
            self.trace.add(now, index, &input);
        }
        if let Some(Machine::Native(node)) = self.machine(index) {
            node.handle_input(now, input);
        }
        self.drain(index);
    }

    /// Takes every output of a node and sees to it.
    pub(super) fn drain(&mut self, index: usize) {
        let mut outputs = 0;
        loop {
            let output = match self.machine(index) {
                Some(Machine::Model(network)) => network.poll_output().map(Out::Model),
                #[cfg(feature = "native")]
                Some(Machine::Native(node)) => node.poll_output().map(Out::Native),
                None => None,
            };
            match output {
                Some(Out::Model(output)) => self.model_output(index, output),
                #[cfg(feature = "native")]
                Some(Out::Native(output)) => self.native_output(index, output),
                None => break,
            }
            outputs += 1;
        }
        let now = self.now;
        if let Some(node) = self.nodes.get(index) {
            Laws::amplified(outputs, node.config.limits().outputs_per_input);
            if let Some(machine) = &node.machine {
                let connecting = machine.stats(now).status == Status::Connecting;
                Laws::under_way(connecting, machine.poll_timeout());
            }
        }
    }

    fn model_output(&mut self, index: usize, output: Output) {
        let now = self.now;
        self.trace.add(now, index, &output);
        match output {
            Output::Signaling(command) => self.signaling_command(index, command),
            Output::Server(output) => self.server_output(Served::By(index), output),
            Output::Link { link, command } => {
                let life = self.life(index).unwrap_or_default();
                self.link_command(
                    End {
                        node: index,
                        life,
                        link,
                    },
                    command,
                );
            }
            Output::Event(event) => self.event(index, event),
        }
    }

    #[cfg(feature = "native")]
    fn native_output(&mut self, index: usize, output: native::Output) {
        let now = self.now;
        match output {
            native::Output::Signaling(command) => self.signaling_command(index, command),
            native::Output::Server(output) => self.server_output(Served::By(index), output),
            native::Output::Event(event) => {
                self.trace.add(now, index, &event);
                self.event(index, event);
            }
            native::Output::Transmit(transmit) => {
                let native::Transmit {
                    local,
                    remote,
                    payload,
                    ..
                } = transmit;
                self.trace.add(now, index, &("transmit", remote));
                if let Some((to, crossing)) = self.depart(index, local, remote, &payload)
                    && let Some(time) = self.pass(index, to)
                {
                    self.schedule(now.plus(time), What::Datagram { crossing, payload });
                }
            }
        }
    }

    fn event(&mut self, index: usize, event: Event) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        node.laws.event(&event);
        if let Event::Message { .. } | Event::State { .. } = &event {
            node.messages = node.messages.saturating_add(1);
        }
        if let (Event::Message { from, payload }, Some(machine)) = (&event, &mut node.machine)
            && node.config.credit == Credit::OnRelease
            && !node.paused
        {
            machine.release(now, *from, u32::try_from(payload.len()).unwrap_or(u32::MAX));
        }
        node.events.push((now, event));
    }
}
