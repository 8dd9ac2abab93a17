//! How a world goes on: what happens, and how inputs and outputs pass between that and the machines.

use alloc::boxed::Box;
use core::time::Duration;

use super::change::Change;
use super::laws::Laws;
use super::machine::Machine;
use super::model_link::{EndIndex, ModelUpdate};
use super::path::Fate;
use super::signaling::{Served, ToClient, ToServer};
use super::trace::To;
use super::world::World;
use crate::config::Credit;
use crate::event::Event;
use crate::io::{Input, Output};
use crate::signaling::{ConnectionId, Server, SignalingId};
use crate::stats::Status;
use crate::time::{NEVER, Timestamp};

#[cfg(feature = "native")]
use crate::native;

#[derive(Debug)]
pub(super) enum What {
    Link {
        end: EndIndex,
        update: ModelUpdate,
    },
    /// The next reliable message of this end is due at its peer.
    Arrival(EndIndex),
    ToServer {
        connection: ConnectionId,
        what: ToServer,
    },
    ToClient {
        client: usize,
        life: u64,
        signaling: SignalingId,
        what: ToClient,
    },
    Change(Box<Change>),
    /// A box passes datagrams again.
    BoxIsBack,
    #[cfg(feature = "native")]
    Datagram {
        /// `None`: a server.
        to: Option<usize>,
        crossing: super::internet::Crossing,
        payload: bytes::Bytes,
    },
    /// The resolver of a native node has an answer.
    #[cfg(feature = "native")]
    Resolved {
        node: usize,
        life: u64,
        name: String,
    },
    /// A UDP socket is open. There is no TCP in the simulation: such a stream cannot be opened.
    #[cfg(feature = "native")]
    Stream {
        node: usize,
        life: u64,
        stream: native::StreamId,
        local: Option<core::net::SocketAddr>,
    },
}

/// How many bytes of datagrams and states are kept for a sleeping node: what Linux gives a socket.
const KEPT: usize = 212_992;

impl World {
    /// Does the next thing, if it is not after the deadline; else moves to the deadline.
    pub(super) fn step(&mut self, deadline: Timestamp) -> bool {
        let (wake, node) = self.wakes.next();
        let due = wake.min(self.server_wake);
        let next = self.agenda.next().unwrap_or(NEVER);
        let at = due.min(next);
        if at > deadline || at == NEVER {
            self.now = self.now.max(deadline);
            return false;
        }
        self.now = self.now.max(at);
        // What arrives goes before what is due at the same moment.
        if due < next {
            if wake == due {
                self.wake_node(node);
            } else {
                self.wake_server();
            }
        } else if let Some(what) = self.agenda.pop() {
            self.happen(what);
        }
        true
    }

    fn wake_server(&mut self) {
        if let Some(server) = &mut self.server {
            server.handle_timeout(self.now);
        }
        self.drain_server();
    }

    pub(super) fn set_server_wake(&mut self) {
        let wake = self.server.as_ref().and_then(Server::poll_timeout);
        self.server_wake = wake.unwrap_or(NEVER);
    }

    pub(super) fn machine(&mut self, index: usize) -> Option<&mut Machine> {
        self.nodes.get_mut(index)?.machine.as_mut()
    }

    pub(super) fn schedule(&mut self, at: Timestamp, what: What) {
        self.agenda.push(at, what);
    }

    /// What becomes of the next packet from one node to another; `None`: it is lost.
    pub(super) fn carry(
        &mut self,
        from: usize,
        to: usize,
        bytes: u32,
        paced: bool,
    ) -> Option<Fate> {
        let isolated = self.is_isolated(from) || self.is_isolated(to);
        let (now, default) = (self.now, self.default_path);
        let way = self.way(from, to)?;
        let path = way.own.unwrap_or(default);
        way.carry(&path, now, bytes, paced).filter(|_| !isolated)
    }

    /// Lets something arrive after a while, or after the clog that holds it back.
    pub(super) fn deliver(&mut self, from: usize, to: usize, after: Duration, what: What) {
        let default = &self.default_path;
        let way = self.ways.get_mut(from).and_then(|ways| ways.get_mut(to));
        match way {
            Some(way) if way.own.as_ref().unwrap_or(default).clogged => way.held.push(what),
            _ => self.schedule(self.now.plus(after), what),
        }
    }

    fn happen(&mut self, what: What) {
        if let Some(index) = self.waits_for(&what) {
            self.hold(index, what);
            return;
        }
        match what {
            What::Link { end, update } => self.link_update(end, update),
            What::Arrival(end) => self.arrival(end),
            What::ToServer { connection, what } => self.arrived_at_server(connection, &what),
            What::ToClient {
                client,
                life,
                signaling,
                what,
            } => self.arrived_at_client(client, life, signaling, &what),
            What::Change(change) => self.apply(&change),
            What::BoxIsBack => self.links_may_be_dark(),
            #[cfg(feature = "native")]
            What::Datagram {
                crossing, payload, ..
            } => self.datagram(crossing, &payload),
            #[cfg(feature = "native")]
            What::Resolved { node, life, name } if self.life(node) == Some(life) => {
                let addresses = self.places.look_up(&name);
                let (name, addresses) = (&name, &addresses);
                self.input_native(node, native::Input::Resolved { name, addresses });
            }
            #[cfg(feature = "native")]
            What::Stream {
                node,
                life,
                stream,
                local,
            } if self.life(node) == Some(life) => {
                let failed = native::StreamUpdate::Failed(native::StreamFailure::Unreachable);
                let update = local.map_or(failed, |local| native::StreamUpdate::Opened { local });
                self.input_native(node, native::Input::Stream { stream, update });
            }
            // Of a life that is over.
            #[cfg(feature = "native")]
            What::Resolved { .. } | What::Stream { .. } => {}
        }
    }

    /// The node that must wake up (or be reachable again) before this can happen.
    fn waits_for(&self, what: &What) -> Option<usize> {
        let asleep = |index: usize| {
            self.nodes
                .get(index)
                .is_some_and(|node| node.asleep.is_some())
        };
        let node = match what {
            What::Link { end, .. } => self.links.node(*end)?,
            What::Arrival(end) => self.links.node(self.links.peer(*end)?)?,
            What::ToClient { client, .. } if self.is_isolated(*client) => return Some(*client),
            What::ToClient { client, .. } => *client,
            What::ToServer { connection, .. } => {
                let (client, served) = self.connections.ends(*connection)?;
                if self.is_isolated(client) {
                    return Some(client);
                }
                match served {
                    Served::World => return None,
                    Served::By(index) if self.is_isolated(index) => return Some(index),
                    Served::By(index) => index,
                }
            }
            What::Change(_) | What::BoxIsBack => return None,
            #[cfg(feature = "native")]
            What::Datagram { to, .. } => (*to)?,
            #[cfg(feature = "native")]
            What::Resolved { node, .. } | What::Stream { node, .. } => *node,
        };
        asleep(node).then_some(node)
    }

    fn hold(&mut self, index: usize, what: What) {
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        let bytes = match &what {
            What::Link {
                update: ModelUpdate::State(payload),
                ..
            } => payload.len(),
            #[cfg(feature = "native")]
            What::Datagram { payload, .. } => payload.len(),
            _ => 0,
        };
        if node.held_bytes.saturating_add(bytes) <= KEPT {
            node.held_bytes = node.held_bytes.saturating_add(bytes);
            node.held.push(what);
        }
    }

    pub(super) fn input(&mut self, index: usize, input: Input<'_>) {
        let now = self.node_time(index);
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        match (&mut node.machine, input) {
            (Some(Machine::Model(network)), input) => {
                self.trace.add(self.now, index, To::Node, &input);
                network.handle_input(now, input);
            }
            (Some(Machine::Foreign(foreign)), input) => {
                self.trace.add(self.now, index, To::Node, &input);
                foreign.handle_input(now, input);
            }
            #[cfg(feature = "native")]
            (Some(Machine::Native(_)), Input::Signaling(update)) => {
                self.input_native(index, native::Input::Signaling(update));
                return;
            }
            #[cfg(feature = "native")]
            (Some(Machine::Native(_)), Input::Server(input)) => {
                self.input_native(index, native::Input::Server(input));
                return;
            }
            #[cfg(feature = "native")]
            (Some(Machine::Native(_)), Input::NetworkChanged) => {
                self.input_native(index, native::Input::NetworkChanged);
                return;
            }
            #[cfg(feature = "native")]
            (Some(Machine::Native(_)), Input::Link { .. }) => return,
            (None, _) => return,
        }
        self.drain(index);
    }

    #[cfg(feature = "native")]
    pub(super) fn input_native(&mut self, index: usize, input: native::Input<'_>) {
        let at = self.now;
        let now = self.node_time(index);
        if self.trace_bytes {
            self.trace.add(at, index, To::Node, &input);
        } else {
            self.trace
                .add(at, index, To::Node, &Outline::of_input(&input));
        }
        self.note_own(index, &input);
        if let Some(node) = self.nodes.get_mut(index) {
            node.given.input(&input);
        }
        if let Some(Machine::Native(node)) = self.machine(index) {
            node.handle_input(now, input);
        }
        self.drain(index);
    }

    /// Takes every output of a node and sees to it; says how many there were.
    pub(super) fn drain(&mut self, index: usize) -> usize {
        let mut outputs: usize = 0;
        if let Some(node) = self.nodes.get_mut(index) {
            node.took = false;
        }
        while self.take_output(index) {
            outputs = outputs.saturating_add(1);
        }
        self.ask_for_wake(index);
        let wake = self.wakes.get(index);
        if let Some(node) = self.nodes.get(index) {
            let held = Laws::amplified(outputs, node.config.limits().outputs_per_input);
            self.watch.judge(self.now, index, held);
            if let Some(machine) = &node.machine {
                let connecting = machine.status() == Status::Connecting;
                let held = Laws::under_way(connecting, (wake < NEVER).then_some(wake));
                self.watch.judge(self.now, index, held);
            }
        }
        outputs
    }

    /// Takes one output of a node, if there is one, and sees to it.
    fn take_output(&mut self, index: usize) -> bool {
        match self.machine(index) {
            Some(Machine::Model(network)) => {
                let output = network.poll_output();
                output
                    .map(|output| self.model_output(index, output))
                    .is_some()
            }
            Some(Machine::Foreign(foreign)) => {
                let output = foreign.poll_output();
                output
                    .map(|output| self.model_output(index, output))
                    .is_some()
            }
            #[cfg(feature = "native")]
            Some(Machine::Native(node)) => {
                let output = node.poll_output();
                output
                    .map(|output| self.native_output(index, output))
                    .is_some()
            }
            None => false,
        }
    }

    fn model_output(&mut self, index: usize, output: Output) {
        self.trace.add(self.now, index, To::World, &output);
        match output {
            Output::Signaling(command) => self.signaling_command(index, command),
            Output::Server(output) => self.server_output(Served::By(index), output),
            Output::Link { link, command } => self.link_command(index, link, command),
            Output::Event(event) => self.event(index, event),
        }
    }

    #[cfg(feature = "native")]
    fn native_output(&mut self, index: usize, output: native::Output) {
        if self.trace_bytes {
            self.trace.add(self.now, index, To::World, &output);
        } else {
            self.trace
                .add(self.now, index, To::World, &Outline::of_output(&output));
        }
        match output {
            native::Output::Signaling(command) => self.signaling_command(index, command),
            native::Output::Server(output) => self.server_output(Served::By(index), output),
            native::Output::Event(event) => self.event(index, event),
            native::Output::Transmit(transmit) => self.transmit(index, transmit),
            native::Output::Resolve { name } => {
                if let Some(life) = self.life(index) {
                    let after = self.signaling_delay;
                    let node = index;
                    self.schedule(self.now.plus(after), What::Resolved { node, life, name });
                }
            }
            native::Output::Stream { stream, command } => {
                self.stream_command(index, stream, command);
            }
        }
    }

    /// A native node sends a datagram.
    #[cfg(feature = "native")]
    pub(super) fn transmit(&mut self, index: usize, transmit: native::Transmit) {
        let native::Transmit {
            local,
            remote,
            mut payload,
            ..
        } = transmit;
        if let Some(node) = self.nodes.get_mut(index) {
            node.datagrams = node.datagrams.saturating_add(1);
        }
        self.check_address(index, remote);
        let Some((to, crossing)) = self.depart(index, local, remote, &payload) else {
            return;
        };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let bytes = length.saturating_add(super::path::UDP_HEADERS);
        let Some(fate) = self.carry(index, to, bytes, false) else {
            return;
        };
        if let Some(bits) = fate.corrupt {
            let mut changed = Vec::from(payload.as_ref());
            let place = (bits % u64::from(length.max(1))) as usize;
            if let Some(byte) = changed.get_mut(place) {
                // Never the byte that it was.
                *byte ^= ((bits >> 56) as u8).max(1);
            }
            payload = changed.into();
        }
        for after in [Some(fate.after), fate.again].into_iter().flatten() {
            let datagram = What::Datagram {
                to: Some(to),
                crossing,
                payload: payload.clone(),
            };
            self.deliver(index, to, after, datagram);
        }
    }

    fn event(&mut self, index: usize, event: Event) {
        let at = self.now;
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        let held = node.laws.event(&event);
        #[cfg(feature = "native")]
        node.given.event(&event);
        self.watch.judge(self.now, index, held);
        if let Event::Message { .. } | Event::State { .. } = &event {
            node.messages = node.messages.saturating_add(1);
        }
        if let (Event::Message { from, payload }, Some(machine)) = (&event, &mut node.machine) {
            node.took = true;
            if node.config.credit == Credit::OnRelease && !node.paused {
                let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                machine.release(node.latest, *from, bytes);
            }
        }
        node.events.push((at, event));
    }
}

/// What goes into and comes out of a native node, without what differs from run to run: the bytes
/// of handshakes.
#[cfg(feature = "native")]
#[derive(Debug, Hash)]
enum Outline<'a> {
    Datagram(core::net::SocketAddr, core::net::SocketAddr),
    Transmit(core::net::SocketAddr, core::net::SocketAddr),
    Interfaces(&'a [native::Interface]),
    SignalingOpened(SignalingId),
    SignalingFrame(SignalingId),
    SignalingClosed(SignalingId, crate::signaling::SignalingFailure),
    SignalingOpen(SignalingId, &'a str),
    SignalingSend(SignalingId),
    SignalingClose(SignalingId),
    Server,
    NetworkChanged,
    Event(&'a Event),
    Resolved(&'a str, &'a [core::net::IpAddr]),
    Resolve(&'a str),
    StreamUpdate(native::StreamId),
    StreamCommand(native::StreamId),
}

#[cfg(feature = "native")]
impl<'a> Outline<'a> {
    const fn of_input(input: &native::Input<'a>) -> Self {
        use crate::signaling::SignalingUpdate;
        match input {
            native::Input::Datagram { local, remote, .. } => Self::Datagram(*local, *remote),
            native::Input::Interfaces(interfaces) => Self::Interfaces(interfaces),
            native::Input::Signaling(SignalingUpdate::Opened(id)) => Self::SignalingOpened(*id),
            native::Input::Signaling(SignalingUpdate::Frame(id, _)) => Self::SignalingFrame(*id),
            native::Input::Signaling(SignalingUpdate::Closed(id, failure)) => {
                Self::SignalingClosed(*id, *failure)
            }
            native::Input::Server(_) => Self::Server,
            native::Input::Resolved { name, addresses } => Self::Resolved(name, addresses),
            native::Input::Stream { stream, .. } => Self::StreamUpdate(*stream),
            native::Input::NetworkChanged => Self::NetworkChanged,
        }
    }

    const fn of_output(output: &'a native::Output) -> Self {
        use crate::signaling::SignalingCommand;
        match output {
            native::Output::Transmit(transmit) => Self::Transmit(transmit.local, transmit.remote),
            native::Output::Event(event) => Self::Event(event),
            native::Output::Resolve { name } => Self::Resolve(name.as_str()),
            native::Output::Stream { stream, .. } => Self::StreamCommand(*stream),
            native::Output::Server(_) => Self::Server,
            native::Output::Signaling(SignalingCommand::Open(id, url)) => {
                Self::SignalingOpen(*id, url.as_str())
            }
            native::Output::Signaling(SignalingCommand::Send(id, _)) => Self::SignalingSend(*id),
            native::Output::Signaling(SignalingCommand::Close(id)) => Self::SignalingClose(*id),
        }
    }
}
