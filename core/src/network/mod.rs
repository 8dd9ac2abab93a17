//! [`Network`]: owns the parts and routes what comes in from part to part; the only place that
//! knows them all.

mod admission;
mod attempt;
mod ending;
mod foreign;
mod foreign_host;
mod frames;
mod host;
mod inspect;
mod interpreting;
mod joiner;
mod links;
mod mesh;
mod parting;
mod readmission;
mod recovery;
mod relaying;
mod reporting;
mod resuming;
mod sending;
mod table;
#[cfg(test)]
mod tests;

use crate::map::Map;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use bytes::Bytes;
use core::time::Duration;

use crate::code::NetworkCode;
use crate::config::{Config, Credit, Topology};
use crate::error::{EndReason, HostError, JoinError, KickError, SendError};
use crate::event::{Diagnostic, Event, LeaveReason};
use crate::id::{LinkId, NodeId};
use crate::io::{Input, LinkCommand, Output};
use crate::link::Link;
use crate::link::negotiation::Terms;
use crate::membership::{Direct, Pair, Roster};
use crate::rng::Rng;
use crate::signaling::{Client, ClientEvent, Relayed, Server};
use crate::stats::Counters;
use crate::time::{Timestamp, earliest};
use crate::wire::{Farewell, Frame, HOST, Number};
use foreign::Foreign;
use host::Host;
use joiner::Joiner;
use recovery::Away;
use table::Table;

/// Where a network is hosted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "made by its users")]
pub enum Hosting {
    /// On the configured signaling server.
    Signaling {
        /// The code to register; a random one that is free if none is given.
        code: Option<NetworkCode>,
    },
    /// On the embedded signaling server, which the driver makes reachable at this address.
    #[cfg(any(feature = "server", test))]
    Lan {
        /// The address that the LAN code names.
        address: core::net::SocketAddr,
    },
}

/// One node's part in a network: signaling, negotiation, membership and messages.
///
/// A `Network` has no sockets and no links of its own: it asks the driver for links in JSEP terms
/// ([`LinkCommand`]) and is told what became of them ([`LinkUpdate`](crate::LinkUpdate)). Natively,
/// [`native::Node`](crate::native::Node) is a `Network` that has its links inside. The laws that
/// hold for all calls are in the [crate's documentation](crate).
#[derive(Debug)]
pub struct Network {
    config: Config,
    id: NodeId,
    now: Timestamp,
    rng: Rng,
    role: Role,
    client: Client,
    /// The embedded signaling server of a host on the LAN.
    server: Option<Server>,
    links: Table<LinkId, Link>,
    next_link: u64,
    /// How many networks were hosted: each draws its own code and tokens.
    networks: u64,
    /// The network that we are in.
    terms: Terms,
    epoch: u32,
    me: Number,
    roster: Roster,
    pairs: Table<Number, Pair>,
    /// Joiner in a mesh: the links to the other joiners.
    directs: Map<Number, Direct>,
    /// Nodes that are lost, and not given up yet.
    away: Map<Number, Away>,
    /// Nodes that speak the JSON dialect.
    foreign: Map<Number, Foreign>,
    /// Whether there was an interpreter in this network.
    interprets: bool,
    /// Joiner: how far the host is from each of the others.
    round_trips: Map<Number, Duration>,
    next_state: u32,
    /// Sends that were refused for want of room: to whom (`None`: a broadcast), and how long.
    blocked: Map<Option<Number>, usize>,
    counters: Counters,
    /// What is left of the message that is being read.
    frames: VecDeque<Frame>,
    outputs: VecDeque<Output>,
}

/// What this node is at the moment.
#[derive(Debug)]
enum Role {
    Idle,
    Host(Box<Host>),
    Joiner(Box<Joiner>),
    /// Saying goodbye; ends with the reason when all links are closed, at the latest then.
    Leaving {
        deadline: Timestamp,
        reason: EndReason,
    },
}

impl Network {
    /// Makes a node that is in no network yet.
    ///
    /// `seed` comes from the system's CSPRNG: names, tokens and keys are made from it.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Timestamp) -> Self {
        let rng = Rng::new(seed);
        let limits = *config.limits();
        Self {
            id: NodeId::from_bytes(rng.fork("node id").bytes()),
            client: Client::new(rng.fork("signaling client"), limits.signaling_frame),
            terms: Terms {
                message: limits.message,
                window: limits.window,
                relay: config.auto_relay,
                mesh: config.topology == Topology::Mesh,
            },
            config,
            now,
            rng,
            role: Role::Idle,
            server: None,
            links: Table::new(),
            next_link: 0,
            networks: 0,
            epoch: 0,
            me: HOST,
            roster: Roster::default(),
            pairs: Table::new(),
            directs: Map::new(),
            away: Map::new(),
            foreign: Map::new(),
            interprets: false,
            round_trips: Map::new(),
            next_state: 0,
            blocked: Map::new(),
            counters: Counters::default(),
            frames: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Makes a network and lets others join it.
    ///
    /// Leads to [`Event::NetworkCreated`] with the code, or to [`Event::Ended`] with the reason.
    ///
    /// # Errors
    /// [`HostError`] if this node is in a network already or the code or address cannot be used.
    pub fn host(&mut self, now: Timestamp, hosting: Hosting) -> Result<(), HostError> {
        self.advance(now);
        self.start_hosting(hosting)?;
        self.settle();
        Ok(())
    }

    /// Joins the network with this code.
    ///
    /// Leads to [`Event::Joined`], or to [`Event::Ended`] with the reason; each phase has a
    /// deadline ([`Timeouts`](crate::Timeouts)).
    ///
    /// # Errors
    /// [`JoinError`] if this node is in a network already.
    pub fn join(&mut self, now: Timestamp, code: &NetworkCode) -> Result<(), JoinError> {
        self.advance(now);
        self.start_joining(*code)?;
        self.settle();
        Ok(())
    }

    /// Says goodbye and leaves; does nothing when in no network.
    ///
    /// What was sent before is delivered first. Leads to [`Event::Ended`], at the latest after
    /// [`Timeouts::leave`](crate::Timeouts::leave).
    pub fn leave(&mut self, now: Timestamp) {
        self.advance(now);
        self.start_leaving();
        self.settle();
    }

    /// Host: removes a node at once. It is told, and so are the others.
    ///
    /// # Errors
    /// [`KickError`] if this node is not the host or there is no such node.
    pub fn kick(&mut self, now: Timestamp, node: NodeId) -> Result<(), KickError> {
        self.advance(now);
        if !matches!(self.role, Role::Host(_)) {
            return Err(KickError::NotHost);
        }
        match self.roster.number(node) {
            Some(number) if number != self.me => {
                self.expel(number, LeaveReason::Kicked, Some(Farewell::Kicked));
            }
            _ => return Err(KickError::UnknownNode),
        }
        self.settle();
        Ok(())
    }

    /// Sends a reliable message to all other nodes; arrives once and in order at each.
    ///
    /// All are those whom this node sees at this moment ([`nodes`](Self::nodes)): one that was
    /// welcomed a moment ago, and of whom we have not been told yet, does not get it.
    ///
    /// # Errors
    /// [`SendError::Full`] if one of them has not taken enough of what was sent before:
    /// [`Event::Writable`] follows when it would fit. One that is lost keeps the others waiting for
    /// [`Timeouts::too_slow`](crate::Timeouts::too_slow) from [`Event::NodeLost`] on at most: then it has
    /// left ([`LeaveReason::TooSlow`]) or, in a mesh, is left out
    /// ([`Event::NodeStalled`]).
    pub fn broadcast(&mut self, now: Timestamp, payload: Bytes) -> Result<(), SendError> {
        self.advance(now);
        let sent = self.send_message(None, &payload);
        self.settle();
        sent
    }

    /// Sends a reliable message to one other node; arrives once, and in order with `broadcast`.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast), and if there is no such node or the host does not relay.
    pub fn send_to(
        &mut self,
        now: Timestamp,
        node: NodeId,
        payload: Bytes,
    ) -> Result<(), SendError> {
        self.advance(now);
        let sent = self.send_message(Some(node), &payload);
        self.settle();
        sent
    }

    /// Sends our state to all other nodes: newest wins, losses are not repaired. Gives its number.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] over [`Limits::piece`](crate::Limits::piece) bytes; never `Full`.
    pub fn broadcast_state(&mut self, now: Timestamp, payload: Bytes) -> Result<u32, SendError> {
        self.advance(now);
        let sent = self.send_state(payload);
        self.settle();
        sent
    }

    /// With [`Credit::OnRelease`]: the application took a message of this many bytes from a node.
    pub fn release(&mut self, now: Timestamp, from: NodeId, bytes: u32) {
        self.advance(now);
        self.take(from, bytes as usize);
        self.settle();
    }

    /// Takes in what happened in the world.
    pub fn handle_input(&mut self, now: Timestamp, input: Input<'_>) {
        self.advance(now);
        match input {
            Input::Signaling(update) => self.client.handle_update(self.now, update),
            Input::Server(input) => self.handle_server_input(input),
            Input::NetworkChanged => self.network_changed(),
            Input::Link { link, update } => self.handle_link_update(link, update),
        }
        self.settle();
    }

    /// Does what is due; a call too early or too often changes nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
        self.client.handle_timeout(self.now);
        self.host_timeout();
        self.joiner_timeout();
        self.mesh_timeout();
        self.links_timeout();
        self.recovery_timeout();
        self.leaving_timeout();
        self.settle();
    }

    /// The next thing to do or to tell, in order; `None` when there is nothing more.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        if let Output::Event(Event::Message { from, payload }) = &output
            && self.config.credit == Credit::OnPoll
        {
            let (from, length) = (*from, payload.len());
            self.take(from, length);
        }
        Some(output)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest; `None`: not at all.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let own = match &self.role {
            Role::Idle => None,
            Role::Host(host) => self.host_deadline(host),
            Role::Joiner(joiner) => joiner.next_deadline(),
            Role::Leaving { deadline, .. } => Some(*deadline),
        };
        let parts = earliest(self.client.poll_timeout(), self.links_deadline());
        let others = earliest(self.acks_deadline(), self.mesh_deadline());
        earliest(
            earliest(own, parts),
            earliest(others, self.recovery_deadline()),
        )
    }

    /// Time never goes back.
    fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// Lets every part say what it has to say, so that nothing is left for the pollers to do.
    fn settle(&mut self) {
        loop {
            if let Some(event) = self.client.poll_event() {
                self.handle_client_event(event);
            } else if let Some(relayed) = self.poll_embedded_server() {
                self.handle_relayed(relayed);
            } else if !self.interprets || !self.hear_interpreters() {
                break;
            }
        }
        loop {
            self.send_acks();
            self.expel_overfull();
            self.pump_links();
            // What we said may lead to an answer at once.
            if !self.interprets || !self.hear_interpreters() {
                break;
            }
        }
        self.finish_leaving();
        self.tell_writable();
        self.pump_signaling();
    }

    fn pump_signaling(&mut self) {
        while let Some(command) = self.client.poll_command() {
            self.outputs.push_back(Output::Signaling(command));
        }
    }

    fn handle_client_event(&mut self, event: ClientEvent) {
        if let Some(diagnosis) = event.diagnosis() {
            self.diagnose(Diagnostic::Signaling(diagnosis));
        }
        match event {
            ClientEvent::Connecting { .. } => {}
            ClientEvent::Dropped => {
                self.counters.signaling_dropped = self.counters.signaling_dropped.saturating_add(1);
            }
            ClientEvent::Relayed(relayed) => self.handle_relayed(relayed),
            ClientEvent::Registered { .. }
            | ClientEvent::IdTaken
            | ClientEvent::Lost(_)
            | ClientEvent::Unreachable(_)
            | ClientEvent::Refused(_) => match self.role {
                Role::Host(_) => self.host_signaling(event),
                Role::Joiner(_) => self.joiner_signaling(event),
                Role::Idle | Role::Leaving { .. } => {}
            },
        }
    }

    fn handle_relayed(&mut self, relayed: Relayed) {
        let used = match self.role {
            Role::Host(_) => self.host_relayed(relayed),
            Role::Joiner(_) => self.joiner_relayed(relayed),
            Role::Idle | Role::Leaving { .. } => Some(()),
        };
        if used.is_none() {
            self.counters.signaling_dropped = self.counters.signaling_dropped.saturating_add(1);
        }
    }

    fn command(&mut self, link: LinkId, command: LinkCommand) {
        self.outputs.push_back(Output::Link { link, command });
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Nothing is told after the end, also of what began in the same moment.
    fn diagnose(&mut self, diagnostic: Diagnostic) {
        if self.config.verbose && !matches!(self.role, Role::Idle) {
            self.tell(Event::Diagnostic(diagnostic));
        }
    }

    fn new_link(&mut self) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link = self.next_link.saturating_add(1);
        link
    }

    /// A stream of random numbers for the use of this kind that has this number.
    fn fork(&self, label: &str, number: u64) -> Rng {
        self.rng.fork(&alloc::format!("{label} {number}"))
    }

    fn end(&mut self, reason: EndReason) {
        if matches!(self.role, Role::Idle) {
            return;
        }
        self.report_end(reason);
        self.give_up_joins();
        while let Some((link, _)) = self.links.pop_first() {
            self.command(link, LinkCommand::Close);
        }
        self.client.close();
        self.close_embedded_server();
        self.role = Role::Idle;
        self.roster.clear();
        self.pairs.clear();
        self.directs.clear();
        self.away.clear();
        self.foreign.clear();
        self.interprets = false;
        self.round_trips.clear();
        self.blocked.clear();
        self.me = HOST;
        tracing::info!(reason = reason.kind(), "network ended");
        self.tell(Event::Ended { reason });
    }
}
