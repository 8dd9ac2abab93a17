//! A TURN client (RFC 8656): one allocation at one server, from one socket or over one stream.
//!
//! A machine like the others: bytes and the time go in, bytes and events come out. What it needs of
//! the world is little: messages of the server by [`Turn::handle_message`], the time by
//! [`Turn::handle_timeout`], and that everything of [`Turn::poll_transmit`] is sent to the server.
//! After [`TurnEvent::Failed`], [`Lost`](TurnEvent::Lost), [`Redirected`](TurnEvent::Redirected),
//! [`Occupied`](TurnEvent::Occupied) or [`Released`](TurnEvent::Released) it is over and does nothing any
//! more.
//!
//! ```text
//! Allocate ──► 401, realm and nonce ──► Allocate, signed ──► Allocated
//!    permit ──► CreatePermission;  send ──► Send indications, then ChannelBind and ChannelData
//!    in time: Refresh, CreatePermission, ChannelBind again
//! ```
//!
//! No request waits for another: what is sent to a peer right behind its `permit` is not held back
//! until the server has confirmed that.

mod answers;
pub(crate) mod attributes;
mod channel_data;
mod channels;
mod failure;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod message;
mod permissions;
mod requests;
mod schedule;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use bytes::Bytes;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use self::channel_data::Reader;
use self::channels::Channels;
use self::message::{Ask, Challenge, Incoming};
use self::permissions::Permissions;
use self::requests::{Due, Request, Requests};
use self::schedule::{Next, Schedule};
use crate::rng::Rng;
use crate::time::{Timestamp, earliest};

pub(crate) use self::channel_data::Transport;
pub(crate) use self::failure::TurnFailure;

/// How many peers may be permitted at a time.
const MOST_PEERS: usize = 256;

/// How many payloads may wait to be taken, in each direction; more are lost, as on any path.
const MOST_WAITING: usize = 1024;

/// How many redirections in a row are followed, and other ports tried (RFC 8656 section 7.4: three in all).
const MOST_HOPS: u8 = 3;

/// How many requests for permissions wait at a time; later ones go together.
const MOST_PERMITS: usize = 4;

/// After so long without a word of the server it is asked for one: it keeps the way to it open
/// through NAT boxes, and shows that there is still somebody.
const IDLE: Duration = Duration::from_secs(15);

/// The same while payloads are sent, which commonly are answered.
const DOUBT: Duration = Duration::from_secs(3);

/// A request that is sent after so long a silence and not answered either is the last.
const SILENCE: Duration = Duration::from_secs(20);

/// The family of a relay address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Who sent what a Data indication carries; `None` if this is none. For the simulation, which looks on.
#[cfg(any(feature = "sim", test))]
pub(crate) fn peer_of_data(datagram: &[u8]) -> Option<SocketAddr> {
    // RFC 8656 section 18.4; nothing else is worth being decoded.
    if !datagram.starts_with(&[0x00, 0x17]) {
        return None;
    }
    match message::read(datagram)? {
        Incoming::Data { peer, .. } => Some(peer),
        Incoming::Response(_) => None,
    }
}

/// What a server knows its users by. They are taken as they are, without SASLprep: what people have
/// is ASCII, which it would not change.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl Credentials {
    /// The key of what is signed with them (RFC 8489 section 9.2.2).
    fn key(&self, realm: &str) -> [u8; 16] {
        let Self { username, password } = self;
        md5::compute(alloc::format!("{username}:{realm}:{password}")).0
    }
}

impl fmt::Debug for Credentials {
    /// The password is never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.username).finish()
    }
}

/// What became of an allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TurnEvent {
    /// It stands, and lasts until it is released or lost.
    Allocated {
        /// Ours at the server.
        relayed: SocketAddr,
        /// Our address as the server sees it.
        mapped: SocketAddr,
        /// How long the server keeps it without a refresh. (Refreshes are sent in time.)
        lifetime: Duration,
    },
    /// The server names another one: [`Turn::follow`] makes the machine for that. This one is over.
    Redirected { to: SocketAddr },
    /// The server holds an allocation for the address and port that it sees us at, of somebody else's or
    /// of ours from before: [`Turn::follow`] makes the machine for another port (or stream). This one is
    /// over.
    Occupied,
    /// It came to none. Over.
    Failed(TurnFailure),
    /// It is gone. Over; another one may be had in the same way.
    Lost(TurnFailure),
    /// It was released. Over.
    Released,
    /// It stands, but the server refuses our credentials: unless [`Turn::set_credentials`] brings
    /// others, it will expire.
    CredentialsRefused,
    /// The server does not let this peer in.
    Denied { peer: IpAddr, failure: TurnFailure },
    /// A payload of a peer whose address (not: port) is permitted.
    Data { peer: SocketAddr, payload: Bytes },
}

/// An allocation, from the first request to its end.
#[derive(Debug)]
pub(crate) struct Turn {
    now: Timestamp,
    rng: Rng,
    server: SocketAddr,
    transport: Transport,
    family: Family,
    credentials: Credentials,
    /// Others with another name, for when these are refused: a server may tie an allocation to the
    /// name that it was made with (RFC 8656 section 5).
    spare: Option<Credentials>,
    /// The server has refused ours, and there are no others.
    refused: bool,
    challenge: Option<Challenge>,
    state: State,
    /// When the server was heard last.
    heard: Timestamp,
    requests: Requests,
    peers: BTreeSet<SocketAddr>,
    permissions: Permissions,
    channels: Channels,
    reader: Reader,
    hops: u8,
    transmits: VecDeque<Bytes>,
    events: VecDeque<TurnEvent>,
    dropped: u64,
}

#[derive(Debug)]
enum State {
    Allocating,
    Standing {
        relayed: SocketAddr,
        until: Timestamp,
        refresh: Schedule,
    },
    Releasing,
    Over,
}

impl Turn {
    /// Asks a server for a relay address. The first request is ready to be transmitted; it must not
    /// be, on a stream, before the stream is open.
    pub(crate) fn new(
        now: Timestamp,
        rng: Rng,
        (server, transport): (SocketAddr, Transport),
        credentials: Credentials,
        family: Family,
    ) -> Self {
        let mut turn = Self {
            now,
            rng,
            server,
            transport,
            family,
            credentials,
            spare: None,
            refused: false,
            challenge: None,
            state: State::Allocating,
            heard: now,
            requests: Requests::new(transport),
            peers: BTreeSet::new(),
            permissions: Permissions::default(),
            channels: Channels::new(),
            reader: Reader::default(),
            hops: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            dropped: 0,
        };
        turn.ask(Ask::Allocate(family), 0);
        turn
    }

    /// The machine for the server that [`TurnEvent::Redirected`] names, or for the same one from another
    /// port, with the same peers.
    pub(crate) fn follow(&self, now: Timestamp, to: SocketAddr) -> Self {
        let mut next = Self::new(
            now,
            self.rng.fork("redirected"),
            (to, self.transport),
            self.spare.as_ref().unwrap_or(&self.credentials).clone(),
            self.family,
        );
        next.hops = self.hops.saturating_add(1);
        for peer in &self.peers {
            next.permit(now, *peer);
        }
        next
    }

    pub(crate) const fn server(&self) -> SocketAddr {
        self.server
    }

    /// Our address at the server, while the allocation stands.
    pub(crate) const fn relayed(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Standing { relayed, .. } => Some(*relayed),
            State::Allocating | State::Releasing | State::Over => None,
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// How much of what came, or was to be sent, was of no use.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a datagram of the server, or the next bytes of the stream.
    pub(crate) fn handle_message(&mut self, now: Timestamp, mut bytes: &[u8]) {
        self.set_now(now);
        match self.transport {
            Transport::Datagram => self.message(bytes),
            Transport::Stream => {
                while !self.is_over() {
                    match self.reader.next(&mut bytes) {
                        Ok(Some(message)) => self.message(&message),
                        Ok(None) => break,
                        Err(channel_data::Broken) => self.end(TurnFailure::Protocol),
                    }
                }
            }
        }
        self.work();
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        self.set_now(now);
        while let Some(due) = self.requests.due(self.now) {
            match due {
                Due::Again(bytes) => self.transmits.push_back(bytes),
                Due::Silence(request) => self.silence(request),
            }
        }
        self.work();
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let requests = self.requests.poll_timeout();
        let State::Standing { until, refresh, .. } = &self.state else {
            return requests;
        };
        let mut next = earliest(requests, Some(*until));
        if self.may_ask() {
            next = earliest(next, self.refresh_due(refresh));
            next = earliest(next, self.channels.poll_timeout());
            if self.may_ask_permits() {
                next = earliest(next, self.permissions.poll_timeout());
            }
        }
        next
    }

    /// What is to be sent to the server: a datagram, or whole messages of the stream.
    pub(crate) fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmits.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<TurnEvent> {
        self.events.pop_front()
    }

    /// Lets a peer in until it is forgotten; may be said again and at any time. (The server lets in
    /// the whole IP address.) `false` if the peer is of the other family, or there are too many.
    pub(crate) fn permit(&mut self, now: Timestamp, peer: SocketAddr) -> bool {
        self.set_now(now);
        if Family::of(peer.ip()) != self.family || self.is_over() {
            return false;
        }
        if !self.peers.contains(&peer) {
            if self.peers.len() >= MOST_PEERS {
                return false;
            }
            self.peers.insert(peer);
            self.permissions.want(self.now, peer.ip());
            self.work();
        }
        true
    }

    /// The end of [`permit`](Self::permit): from now on nothing of this peer is passed on, and at the
    /// server it ends by itself.
    pub(crate) fn forget(&mut self, peer: SocketAddr) {
        if !self.peers.remove(&peer) {
            return;
        }
        self.channels.forget(peer);
        if self.peers.iter().all(|other| other.ip() != peer.ip()) {
            self.permissions.forget(peer.ip());
        }
    }

    /// Sends to a peer whose address is permitted. `false`: not sent, as the allocation does not
    /// stand, nobody permitted the address, or the payload is too long.
    ///
    /// A channel is made for a peer as soon as something else than STUN is sent to it: checks go to
    /// many addresses, of which few come to more.
    pub(crate) fn send(&mut self, now: Timestamp, peer: SocketAddr, payload: &[u8]) -> bool {
        self.set_now(now);
        if self.relayed().is_none()
            || !self.permissions.contains(peer.ip())
            || self.transmits.len() >= MOST_WAITING
        {
            return false;
        }
        let number = self.channels.number(self.now, peer);
        let message = match number {
            Some(number) => channel_data::frame(self.transport, number, payload),
            None => message::send_indication(self.rng.bytes(), peer, payload),
        };
        let Some(message) = message else {
            return false;
        };
        self.transmits.push_back(message.into());
        let is_stun = payload.first().is_some_and(|first| *first < 4);
        if number.is_none() && !is_stun && self.peers.contains(&peer) {
            self.channels.want(self.now, peer);
            self.work();
        }
        if self.now.since(self.heard) > DOUBT {
            self.check(self.now);
        }
        true
    }

    /// Asks the server now whether the allocation still stands, as when the network has changed: if
    /// it does not, [`TurnEvent::Lost`] comes a round trip later.
    pub(crate) fn check(&mut self, now: Timestamp) {
        self.set_now(now);
        if let State::Standing { refresh, .. } = &mut self.state
            && refresh.failures == 0
            && refresh.next != Next::Asked
        {
            refresh.next = Next::At(self.now);
        }
        self.work();
    }

    /// Replaces the credentials. Those with the name of the old ones are used from now on; others are
    /// kept for when the server refuses the old ones, and for the next allocation.
    pub(crate) fn set_credentials(&mut self, now: Timestamp, credentials: Credentials) {
        self.set_now(now);
        let stands = matches!(self.state, State::Standing { .. } | State::Releasing);
        if stands && !self.refused && credentials.username != self.credentials.username {
            self.spare = Some(credentials);
            return;
        }
        self.spare = None;
        self.credentials = credentials;
        if core::mem::take(&mut self.refused) {
            if let State::Standing { refresh, .. } = &mut self.state {
                *refresh = Schedule::at(self.now);
            }
            self.work();
        }
    }

    /// Gives the allocation back; ends in [`TurnEvent::Released`]. Who cannot wait for it may send
    /// what is to be transmitted and drop the machine.
    pub(crate) fn release(&mut self, now: Timestamp) {
        self.set_now(now);
        match self.state {
            State::Releasing | State::Over => {}
            // It has not told us its nonce: there can be no allocation.
            State::Allocating if self.challenge.is_none() => self.over(TurnEvent::Released),
            State::Allocating | State::Standing { .. } => {
                self.requests.clear();
                self.state = State::Releasing;
                self.ask(Ask::Release, 0);
            }
        }
    }

    fn set_now(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// One message of the server.
    fn message(&mut self, bytes: &[u8]) {
        let data = if let Some((number, payload)) = channel_data::read(bytes) {
            let peer = self.channels.peer(number);
            peer.map(|peer| (peer, Bytes::copy_from_slice(payload)))
        } else {
            match message::read(bytes) {
                Some(Incoming::Response(response)) => {
                    self.response(response);
                    return;
                }
                Some(Incoming::Data { peer, payload }) => Some((peer, payload.into())),
                None => None,
            }
        };
        match data {
            Some((peer, payload))
                if self.relayed().is_some()
                    && self.permissions.contains(peer.ip())
                    && self.events.len() < MOST_WAITING =>
            {
                self.heard = self.now;
                self.events.push_back(TurnEvent::Data { peer, payload });
            }
            Some(_) | None => self.drop_one(),
        }
    }

    /// Asks for what is due.
    fn work(&mut self) {
        let State::Standing { until, .. } = self.state else {
            return;
        };
        if self.now >= until {
            self.end(if self.refused {
                TurnFailure::Unauthorized
            } else {
                TurnFailure::Expired
            });
            return;
        }
        if self.may_ask()
            && let State::Standing { refresh, .. } = &self.state
            && self.refresh_due(refresh).is_some_and(|at| at <= self.now)
        {
            if let State::Standing { refresh, .. } = &mut self.state {
                refresh.next = Next::Asked;
            }
            self.ask(Ask::Refresh, 0);
        }
        while self.may_ask() && self.may_ask_permits() {
            let peers = self.permissions.ask(self.now);
            if peers.is_empty() {
                break;
            }
            self.ask(Ask::Permit(peers), 0);
        }
        while self.may_ask() {
            let Some((number, peer)) = self.channels.ask(self.now) else {
                break;
            };
            self.ask(Ask::Bind { number, peer }, 0);
        }
    }

    fn may_ask(&self) -> bool {
        !self.refused && !self.requests.is_full()
    }

    fn may_ask_permits(&self) -> bool {
        let waiting = self.requests.count(|ask| matches!(ask, Ask::Permit(_)));
        waiting < MOST_PERMITS
    }

    /// When the allocation is to be refreshed, or the server to be asked whether it is there.
    fn refresh_due(&self, refresh: &Schedule) -> Option<Timestamp> {
        let due = refresh.due()?;
        if refresh.failures > 0 {
            return Some(due);
        }
        Some(due.min(self.heard.plus(IDLE)))
    }

    /// Sends a request, as the answer to this many challenges.
    fn ask(&mut self, ask: Ask, round: u8) {
        let transaction = self.rng.bytes();
        let signing = self.challenge.as_ref().map(|it| (&self.credentials, it));
        let Some(bytes) = message::request(transaction, &ask, signing) else {
            // A name of more than 512 bytes is nobody's.
            self.end(TurnFailure::Unauthorized);
            return;
        };
        let signed =
            signing.map(|(credentials, challenge)| (credentials.clone(), challenge.realm.clone()));
        let bytes = Bytes::from(bytes);
        self.transmits.push_back(bytes.clone());
        self.requests.add(Request {
            ask,
            signed,
            round,
            sent: self.now,
            transaction,
            bytes,
        });
    }

    /// The end, for a reason.
    fn end(&mut self, failure: TurnFailure) {
        let event = match self.state {
            State::Allocating => TurnEvent::Failed(failure),
            State::Standing { .. } => TurnEvent::Lost(failure),
            State::Releasing => TurnEvent::Released,
            State::Over => return,
        };
        self.over(event);
    }

    fn over(&mut self, event: TurnEvent) {
        self.state = State::Over;
        self.requests.clear();
        self.events.push_back(event);
    }

    fn drop_one(&mut self) {
        self.dropped = self.dropped.saturating_add(1);
    }
}
