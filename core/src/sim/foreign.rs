//! Nodes that are not wattle's: a model of Clayground's own nodes and of pages with PeerJS.
//!
//! They do what those do, the defects included, over model links and the world's signaling server. Nobody
//! checks laws for them; how wattle nodes fare with them is what is looked at.

mod links;
mod signals;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use self::links::Peer;
use super::machine::Machine;
use super::world::{NodeIndex, World};
use crate::code::NetworkCode;
use crate::error::{EndReason, HostError, JoinError, SendError};
use crate::event::{Event, Phase};
use crate::id::{LinkId, NodeId};
use crate::io::{Channel, Input, Output};
use crate::network::Hosting;
use crate::rng::Rng;
use crate::signaling::{SignalingCommand, SignalingFailure, SignalingId};
use crate::stats::Status;
use crate::time::{Timestamp, earliest};

/// How often it says at the signaling server that it lives, and asks the others whether they do.
const BEAT: Duration = Duration::from_secs(5);
const PING: Duration = Duration::from_secs(2);
/// How long a join may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How soon a host comes back to a signaling server that went away.
const RETRY: Duration = Duration::from_secs(1);

const SECOND: Duration = Duration::from_secs(1);

/// A node that is not wattle's, as a test makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by tests, with `..Foreign::page(name)`"
)]
pub struct Foreign {
    /// Its id at the signaling server, and so its name in the dialect. A host has its code instead.
    pub name: String,
    /// A page with PeerJS: a connection has one channel, and states have a connection of their own.
    /// Otherwise one of Clayground's native nodes.
    pub page: bool,
    /// Whether it asks others for signs of life, and answers when it is asked.
    pub pings: bool,
    /// How many nodes it lets in, itself included, if it hosts.
    pub most: u8,
    /// How many messages it handles in a second: `None` is as many as come, 0 a page that is frozen. What waits is
    /// not lost. [`World::set_reads`] changes it.
    pub reads: Option<u16>,
}

impl Foreign {
    /// A page with PeerJS.
    #[must_use]
    pub fn page(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            page: true,
            pings: true,
            most: 8,
            reads: None,
        }
    }

    /// One of Clayground's native nodes.
    #[must_use]
    pub fn native(name: impl Into<String>) -> Self {
        Self {
            page: false,
            ..Self::page(name)
        }
    }
}

/// A frame that such a node heard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct ForeignFrame {
    /// The signaling id of the node at the other end of the link: of the host, its code.
    pub of: String,
    /// Whether it came where states come.
    pub is_state: bool,
    /// The frame, as it was written.
    pub text: String,
}

#[derive(Debug)]
enum Role {
    Idle,
    Joiner {
        code: String,
        /// `None`: it is in.
        deadline: Option<Timestamp>,
    },
    Host {
        code: NetworkCode,
        told: bool,
    },
}

/// The machine of such a node.
#[derive(Debug)]
pub(super) struct ForeignNode {
    what: Foreign,
    id: NodeId,
    rng: Rng,
    token: u64,
    now: Timestamp,
    role: Role,
    signaling: Option<SignalingId>,
    registered: bool,
    next_signaling: u64,
    next_link: u64,
    beat_at: Option<Timestamp>,
    ping_at: Option<Timestamp>,
    retry_at: Option<Timestamp>,
    peers: BTreeMap<LinkId, Peer>,
    /// The others, as it was told.
    others: BTreeSet<String>,
    counted: u64,
    heard: Vec<ForeignFrame>,
    /// What it has not handled yet, and when it handles the next.
    waiting: VecDeque<(LinkId, Channel, Bytes)>,
    read_at: Option<Timestamp>,
    outputs: VecDeque<Output>,
}

impl ForeignNode {
    pub(super) fn new(what: Foreign, seed: [u8; 32], now: Timestamp) -> Self {
        let mut rng = Rng::new(seed);
        let id = NodeId::from_bytes(rng.bytes());
        let token = rng.u64();
        Self {
            what,
            id,
            rng,
            token,
            now,
            role: Role::Idle,
            signaling: None,
            registered: false,
            next_signaling: 0,
            next_link: 0,
            beat_at: None,
            ping_at: None,
            retry_at: None,
            peers: BTreeMap::new(),
            others: BTreeSet::new(),
            counted: 0,
            heard: Vec::new(),
            waiting: VecDeque::new(),
            read_at: None,
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn host(&mut self, now: Timestamp, hosting: Hosting) -> Result<(), HostError> {
        let Hosting::Signaling { code: Some(code) } = hosting else {
            return Err(HostError::NotAShortCode);
        };
        if self.status() != Status::Idle {
            return Err(HostError::Busy);
        }
        self.begin(now);
        self.what.name = code.to_string();
        self.role = Role::Host { code, told: false };
        self.connect();
        Ok(())
    }

    pub(super) fn join(&mut self, now: Timestamp, code: &NetworkCode) -> Result<(), JoinError> {
        if self.status() != Status::Idle {
            return Err(JoinError::Busy);
        }
        self.begin(now);
        self.role = Role::Joiner {
            code: code.to_string(),
            deadline: Some(now.plus(PATIENCE)),
        };
        self.connect();
        Ok(())
    }

    fn begin(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.counted = 0;
        self.others.clear();
        self.ping_at = Some(self.now.plus(PING));
    }

    pub(super) fn leave(&mut self) {
        if self.status() != Status::Idle {
            self.end(EndReason::Left);
        }
    }

    fn end(&mut self, reason: EndReason) {
        for link in self.peers.keys().copied().collect::<Vec<_>>() {
            self.close(link);
        }
        if let Some(id) = self.signaling.take() {
            self.signal(SignalingCommand::Close(id));
        }
        self.role = Role::Idle;
        self.waiting.clear();
        (self.beat_at, self.ping_at, self.retry_at) = (None, None, None);
        self.others.clear();
        self.outputs
            .push_back(Output::Event(Event::Ended { reason }));
    }

    fn signal(&mut self, command: SignalingCommand) {
        self.outputs.push_back(Output::Signaling(command));
    }

    fn connect(&mut self) {
        let id = SignalingId(self.next_signaling);
        self.next_signaling = self.next_signaling.saturating_add(1);
        self.signaling = Some(id);
        self.registered = false;
        let (name, token) = (&self.what.name, self.token);
        let url = format!("ws://signaling/peerjs?key=peerjs&id={name}&token={token}");
        self.signal(SignalingCommand::Open(id, url));
    }

    fn disconnected(&mut self, failure: SignalingFailure) {
        self.signaling = None;
        self.registered = false;
        self.beat_at = None;
        match &self.role {
            // Its links live on.
            Role::Idle | Role::Joiner { deadline: None, .. } => {}
            Role::Host { .. } => self.retry_at = Some(self.now.plus(RETRY)),
            Role::Joiner { .. } => self.end(EndReason::SignalingUnreachable(failure)),
        }
    }

    /// A message to all, or a state.
    pub(super) fn say(&mut self, is_state: bool, payload: &Bytes) -> Result<(), SendError> {
        let Ok(payload) = core::str::from_utf8(payload) else {
            return Err(SendError::NotJson);
        };
        if self.status() != Status::Joined {
            return Err(SendError::NotJoined);
        }
        let text = if is_state {
            self.counted = self.counted.saturating_add(1);
            format!(r#"{{"t":"s","q":{},"d":{payload}}}"#, self.counted)
        } else {
            format!(r#"{{"t":"m","d":{payload}}}"#)
        };
        self.say_all(is_state, &text);
        Ok(())
    }

    pub(super) fn handle_input(&mut self, now: Timestamp, input: Input<'_>) {
        self.now = self.now.max(now);
        match input {
            Input::Signaling(update) => self.signaling_update(update),
            Input::Link { link, update } => self.link_update(link, update),
            Input::Server(_) | Input::NetworkChanged => {}
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let deadline = match &self.role {
            Role::Joiner { deadline, .. } => *deadline,
            Role::Idle | Role::Host { .. } => None,
        };
        let asks = self.ping_at.filter(|_| self.what.pings);
        let refused = self.peers.values().filter_map(|peer| peer.close_at).min();
        let first = earliest(self.beat_at, self.retry_at);
        let first = earliest(earliest(first, asks), self.read_at);
        earliest(first, earliest(deadline, refused))
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let now = self.now;
        let is_due = |at: &mut Timestamp| *at <= now;
        if self.beat_at.take_if(is_due).is_some()
            && let Some(id) = self.signaling
        {
            let beat = r#"{"type":"HEARTBEAT"}"#.into();
            self.signal(SignalingCommand::Send(id, beat));
            self.beat_at = Some(now.plus(BEAT));
        }
        if self.retry_at.take_if(is_due).is_some() {
            self.connect();
        }
        if self.ping_at.take_if(is_due).is_some() {
            self.ping_at = Some(now.plus(PING));
            if self.what.pings && self.what.reads != Some(0) {
                // Its own time, of which nobody else knows anything.
                let stamp = now.as_millis().saturating_add(1_732_309_200_123);
                self.say_all(false, &format!(r#"{{"t":"p","ts":{stamp}}}"#));
            }
        }
        if self.read_at.take_if(is_due).is_some() {
            self.read();
        }
        let over = self.peers.iter();
        let over = over.filter(|(_, peer)| peer.close_at.is_some_and(|at| at <= now));
        for link in over.map(|(link, _)| *link).collect::<Vec<_>>() {
            self.close(link);
        }
        if let Role::Joiner { deadline, .. } = &mut self.role
            && deadline.take_if(is_due).is_some()
        {
            self.end(EndReason::TimedOut(Phase::Ice));
        }
    }

    fn set_reads(&mut self, reads: Option<u16>) {
        self.what.reads = reads;
        self.read_at = None;
        self.read();
    }

    /// Handles what waits, as far as it is its time.
    pub(super) fn read(&mut self) {
        let pause = match self.what.reads {
            None => Duration::ZERO,
            Some(0) => return,
            Some(reads) => SECOND / u32::from(reads),
        };
        while self.read_at.is_none()
            && let Some((link, channel, message)) = self.waiting.pop_front()
        {
            self.hear(link, channel, &message);
            self.read_at = (!pause.is_zero()).then(|| self.now.plus(pause));
        }
    }

    pub(super) const fn id(&self) -> NodeId {
        self.id
    }

    pub(super) const fn code(&self) -> Option<NetworkCode> {
        match &self.role {
            Role::Host { code, .. } => Some(*code),
            Role::Idle | Role::Joiner { .. } => None,
        }
    }

    pub(super) const fn status(&self) -> Status {
        match &self.role {
            Role::Idle => Status::Idle,
            Role::Host { told: true, .. } | Role::Joiner { deadline: None, .. } => Status::Joined,
            Role::Host { .. } | Role::Joiner { .. } => Status::Connecting,
        }
    }
}

impl World {
    /// Adds a node that is not wattle's, over model links. It hosts, joins, sends and leaves as others do;
    /// but a host needs a code, and what it hears are [frames](Self::take_frames), not events.
    pub fn add_foreign(&mut self, foreign: Foreign) -> NodeIndex {
        self.add_machine(crate::config::Config::default(), false, Some(foreign))
    }

    /// What such a node heard since it was last asked: all but pings.
    pub fn take_frames(&mut self, node: NodeIndex) -> Vec<ForeignFrame> {
        let NodeIndex(index) = node;
        let Some(Machine::Foreign(foreign)) = self.machine(index) else {
            return Vec::new();
        };
        core::mem::take(&mut foreign.heard)
    }

    /// How many messages such a node handles in a second from now on: see [`Foreign::reads`].
    pub fn set_reads(&mut self, node: NodeIndex, reads: Option<u16>) {
        let NodeIndex(index) = node;
        let now = self.now();
        if let Some(Machine::Foreign(foreign)) = self.machine(index) {
            foreign.now = foreign.now.max(now);
            foreign.set_reads(reads);
            self.drain(index);
        }
    }

    /// The names of the others in its network, as such a node was told.
    #[must_use]
    pub fn foreign_roster(&self, node: NodeIndex) -> Vec<String> {
        let NodeIndex(index) = node;
        let node = self.nodes.get(index).and_then(|node| node.machine.as_ref());
        let Some(Machine::Foreign(foreign)) = node else {
            return Vec::new();
        };
        foreign.others.iter().cloned().collect()
    }

    /// As [`Network::foreign_name`](crate::Network::foreign_name), of a model node.
    #[must_use]
    pub fn foreign_name(&self, node: NodeIndex, of: NodeId) -> Option<&str> {
        let NodeIndex(index) = node;
        let node = self.nodes.get(index).and_then(|node| node.machine.as_ref());
        let Some(Machine::Model(network)) = node else {
            return None;
        };
        network.foreign_name(of)
    }

    /// Lets such a node send this to everybody that it has a link to, whatever it is.
    pub fn say_raw(&mut self, node: NodeIndex, is_state: bool, text: &str) {
        let NodeIndex(index) = node;
        if let Some(Machine::Foreign(foreign)) = self.machine(index) {
            foreign.say_all(is_state, text);
            self.drain(index);
        }
    }
}
