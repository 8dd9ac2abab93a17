//! The machine: a [`Network`], its links, and what they share.

mod carrying;
mod datagrams;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
#[expect(
    clippy::disallowed_types,
    reason = "the origin that the driver hands; str0m counts from it"
)]
use std::time::Instant;

use dimpl::DtlsCertificate;

use super::certificate;
use super::clock::Clock;
use super::demux::Demux;
use super::gather::{Gather, Local};
use super::hidden::Hidden;
use super::io::{Input, Output};
use super::link::{Link, Update};
use crate::code::NetworkCode;
use crate::config::{Config, Credit, Limits, Probing};
use crate::error::{HostError, JoinError, KickError, SendError};
use crate::event::{Event, Phase, PhaseTiming};
use crate::ice::IceServer;
use crate::id::{LinkId, NodeId};
use crate::io as network_io;
use crate::network::{Hosting, Network};
use crate::rng::Rng;
use crate::stats::{Stats, Status};
use crate::time::{Timestamp, earliest};

/// How soon the credit for messages that the application took is passed on. Soon, because the
/// sender may wait for it; not at once, because `poll_output` does no work.
const CREDIT_DELAY: Duration = Duration::from_millis(1);

/// A node with native links: datagrams in, datagrams out.
///
/// It is a [`Network`] whose links are str0m connections, so all that is said there holds here.
/// The driver binds one UDP socket per interface, tells them all with [`Input::Interfaces`] (before
/// or after [`host`](Self::host) and [`join`](Self::join), and again when they change), hands every
/// datagram to [`handle_input`](Self::handle_input) and sends what [`Output::Transmit`] says.
///
/// The same seed and inputs give the same certificate and credentials. Bytes inside DTLS, SCTP and STUN
/// differ, and moments when lost parts of a DTLS handshake are sent again: str0m and dimpl draw on the
/// system's randomness. (In simulated worlds those moments come from the seed.)
#[derive(Debug)]
pub struct Node {
    network: Network,
    clock: Clock,
    /// The latest time seen: it never goes back (law 2).
    now: Timestamp,
    rng: Rng,
    simulated: bool,
    certificate: Option<DtlsCertificate>,
    limits: Limits,
    loopback: bool,
    gather: Gather,
    demux: Demux,
    hidden: Hidden,
    links: BTreeMap<LinkId, Link>,
    /// What links said, for the network.
    updates: VecDeque<(LinkId, Update)>,
    outputs: VecDeque<Output>,
    /// Whether handing a message out counts as taking it.
    credit_on_poll: bool,
    /// What was handed out and not yet passed on as credit.
    taken: Vec<(NodeId, u32)>,
    taken_due: Option<Timestamp>,
    datagrams_dropped: u64,
    candidates_dropped: u64,
}

impl Node {
    /// Makes a node that is in no network yet.
    ///
    /// `seed` makes its keys: it has to come from the system's secure randomness. `origin` is the
    /// instant that [`Timestamp::ZERO`] stands for.
    #[must_use]
    #[expect(clippy::disallowed_types, reason = "str0m's time")]
    pub fn new(mut config: Config, seed: [u8; 32], now: Timestamp, origin: Instant) -> Self {
        let rng = Rng::new(seed);
        let credit_on_poll = config.credit == Credit::OnPoll;
        // The network is drained at once; what counts is when we are.
        config.credit = Credit::OnRelease;
        config.probing = Probing::ByLink;
        config.native = true;
        Self {
            clock: Clock::new(origin),
            now,
            certificate: certificate::make(&mut rng.fork("certificate")),
            limits: config.limits,
            loopback: config.loopback,
            gather: Gather::new(&config, rng.fork("gather")),
            demux: Demux::default(),
            hidden: Hidden::default(),
            links: BTreeMap::new(),
            updates: VecDeque::new(),
            outputs: VecDeque::new(),
            credit_on_poll,
            taken: Vec::new(),
            taken_due: None,
            datagrams_dropped: 0,
            candidates_dropped: 0,
            rng,
            simulated: false,
            network: Network::new(config, seed, now),
        }
    }

    /// In a simulated world DTLS draws from the seed whatever changes the times of packets. Not outside:
    /// anybody could know its random values.
    #[cfg(any(feature = "sim", test))]
    pub(crate) const fn simulate(&mut self) {
        self.simulated = true;
    }

    /// See [`Network::host`].
    ///
    /// # Errors
    /// Those of [`Network::host`].
    pub fn host(&mut self, now: Timestamp, hosting: Hosting) -> Result<(), HostError> {
        self.call(now, |network, now| network.host(now, hosting))
    }

    /// See [`Network::join`].
    ///
    /// # Errors
    /// Those of [`Network::join`].
    pub fn join(&mut self, now: Timestamp, code: &NetworkCode) -> Result<(), JoinError> {
        self.call(now, |network, now| network.join(now, code))
    }

    /// See [`Network::leave`].
    pub fn leave(&mut self, now: Timestamp) {
        self.call(now, |network, now| network.leave(now));
    }

    /// See [`Network::kick`].
    ///
    /// # Errors
    /// Those of [`Network::kick`].
    pub fn kick(&mut self, now: Timestamp, node: NodeId) -> Result<(), KickError> {
        self.call(now, |network, now| network.kick(now, node))
    }

    /// See [`Network::broadcast`].
    ///
    /// # Errors
    /// Those of [`Network::broadcast`].
    pub fn broadcast(&mut self, now: Timestamp, payload: Bytes) -> Result<(), SendError> {
        self.call(now, |network, now| network.broadcast(now, payload))
    }

    /// See [`Network::send_to`].
    ///
    /// # Errors
    /// Those of [`Network::send_to`].
    pub fn send_to(
        &mut self,
        now: Timestamp,
        node: NodeId,
        payload: Bytes,
    ) -> Result<(), SendError> {
        self.call(now, |network, now| network.send_to(now, node, payload))
    }

    /// See [`Network::broadcast_state`].
    ///
    /// # Errors
    /// Those of [`Network::broadcast_state`].
    pub fn broadcast_state(&mut self, now: Timestamp, payload: Bytes) -> Result<u32, SendError> {
        self.call(now, |network, now| network.broadcast_state(now, payload))
    }

    /// See [`Network::release`].
    pub fn release(&mut self, now: Timestamp, from: NodeId, bytes: u32) {
        // With `OnPoll` it has been, or is going to be.
        if !self.credit_on_poll {
            self.call(now, |network, now| network.release(now, from, bytes));
        }
    }

    /// Replaces the STUN and TURN servers of [`Config::with_ice_servers`], also while a network is
    /// hosted or joined: for credentials that expire, call it before they do.
    ///
    /// Servers that stay are not disturbed; new credentials of one are used from its next refresh on.
    pub fn set_ice_servers(&mut self, now: Timestamp, servers: &[IceServer]) {
        let now = self.clamp(now);
        self.with_gather(now, |gather, news| gather.set_servers(now, servers, news));
        self.pump(now);
    }

    /// Takes in what happened in the world. Whatever a remote sends, this does not fail.
    pub fn handle_input(&mut self, now: Timestamp, input: Input<'_>) {
        let now = self.clamp(now);
        match input {
            Input::Signaling(update) => self
                .network
                .handle_input(now, network_io::Input::Signaling(update)),
            Input::Server(input) => self
                .network
                .handle_input(now, network_io::Input::Server(input)),
            Input::Datagram {
                local,
                remote,
                payload,
            } => self.datagram(now, local, remote, payload),
            Input::Interfaces(interfaces) => {
                let gone = self.with_gather(now, |gather, news| {
                    gather.interfaces(now, interfaces, news);
                    news.removed.iter().any(Local::is_host)
                });
                if gone {
                    self.network_changed(now);
                }
            }
            Input::NetworkChanged => {
                self.with_gather(now, |gather, news| gather.network_changed(now, news));
                self.network_changed(now);
            }
            Input::Resolved { name, addresses } => self.resolved(now, name, addresses),
            Input::Stream { stream, update } => self.with_gather(now, |gather, news| {
                gather.stream(now, stream, update, news);
            }),
        }
        self.pump(now);
    }

    /// Does what is due. Best called at [`poll_timeout`](Self::poll_timeout); a call too many
    /// changes nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.clamp(now);
        let due: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| link.poll_timeout().is_some_and(|due| due <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.with_link(id, |link, out| link.handle_timeout(now, out));
        }
        if self.gather.poll_timeout().is_some_and(|due| due <= now) {
            self.with_gather(now, |gather, news| gather.handle_timeout(now, news));
        }
        self.network.handle_timeout(now);
        self.pump(now);
        for link in self.links.values_mut() {
            link.rest(now);
        }
    }

    /// The next thing for the driver to do, if there is one.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if let Some(Output::Event(Event::Message { from, payload })) = &output
            && self.credit_on_poll
        {
            let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            self.taken.push((*from, bytes));
            self.taken_due = self.taken_due.or_else(|| Some(self.now.plus(CREDIT_DELAY)));
        }
        output
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, unless something else
    /// comes before. Every other call may change it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.links
            .values()
            .map(Link::poll_timeout)
            .fold(self.network.poll_timeout(), earliest)
            .into_iter()
            .chain(self.taken_due)
            .chain(self.gather.poll_timeout())
            .min()
    }

    /// See [`Network::id`].
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.network.id()
    }

    /// See [`Network::status`].
    #[must_use]
    pub fn status(&self) -> Status {
        self.network.status()
    }

    /// See [`Network::phase`].
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.network.phase()
    }

    /// See [`Network::timing`].
    #[must_use]
    pub fn timing(&self) -> PhaseTiming {
        self.network.timing()
    }

    /// See [`Network::code`].
    #[must_use]
    pub fn code(&self) -> Option<NetworkCode> {
        self.network.code()
    }

    /// See [`Network::nodes`].
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.network.nodes()
    }

    /// See [`Network::stats`]; the counters of datagrams and candidates are added here.
    #[must_use]
    pub fn stats(&self, now: Timestamp) -> Stats {
        let mut stats = self.network.stats(now);
        let counters = &mut stats.counters;
        counters.datagrams_dropped += self.datagrams_dropped;
        counters.candidates_dropped += self.candidates_dropped;
        stats
    }

    /// How many links go through a TURN server. For the simulation, which looks on.
    #[cfg(any(feature = "sim", test))]
    pub(crate) fn links_by_relay(&self) -> usize {
        let links = self.links.values();
        links.filter(|link| link.is_by_relay()).count()
    }

    fn clamp(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        self.now
    }

    /// A call of the application: the network's answer, and whatever follows from it.
    fn call<T>(&mut self, now: Timestamp, call: impl FnOnce(&mut Network, Timestamp) -> T) -> T {
        let now = self.clamp(now);
        let answer = call(&mut self.network, now);
        self.pump(now);
        answer
    }

    fn network_changed(&mut self, now: Timestamp) {
        self.network
            .handle_input(now, network_io::Input::NetworkChanged);
    }
}

#[cfg(test)]
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one update among many"
)]
#[path = "tests/node.rs"]
mod tests;
