//! The world of two links: delays, losses, dead addresses, and a log of what each side was told.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "str0m wants an instant to start from; nothing else reads the clock"
)]

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;

use crate::config::{Config, Limits};
use crate::io::{Channel, ChannelMessage};
use crate::native::certificate;
use crate::native::clock::Clock;
use crate::native::demux::{Kind, classify};
use crate::native::gather::{Gather, Local, News};
use crate::native::io::Interface;
use crate::native::link::{Link, Outbox, Setup, Update};
use crate::rng::Rng;
use crate::time::Timestamp;

/// The side that makes the offer, and the one that answers it.
pub(super) const L: usize = 0;
pub(super) const R: usize = 1;

pub(super) const TRIP: Duration = Duration::from_millis(50);
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A ClientHello in the clear: record type 22, handshake type 1 behind the 13 bytes of its header.
pub(super) fn is_client_hello(datagram: &[u8]) -> bool {
    datagram.first() == Some(&22) && datagram.get(13) == Some(&1)
}

pub(super) fn is_last(update: &Update) -> bool {
    update.is_last()
}

pub(super) fn is_alive(update: &Update) -> bool {
    matches!(update, Update::Alive { .. })
}

pub(super) struct Side {
    pub(super) link: Link,
    pub(super) log: Vec<(Timestamp, Update)>,
    pub(super) candidates_dropped: u64,
    /// Written as soon as the data channel opens.
    pub(super) greeting: Option<Bytes>,
    gather: Gather,
    /// Refused by the link, as a demultiplexer would count them.
    pub(super) refused: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Parcel {
    Datagram {
        local: SocketAddr,
        remote: SocketAddr,
        payload: Bytes,
    },
    Offer(String),
    Answer(String),
    Candidate(String),
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) sides: [Side; 2],
    pub(super) lead: bool,
    pub(super) led: bool,
    /// Datagrams lost, in a thousand.
    pub(super) loss: u64,
    pub(super) delay: Duration,
    /// Every datagram arrives twice.
    pub(super) twice: bool,
    pub(super) signaling: Duration,
    /// Addresses that nothing reaches and nothing leaves.
    pub(super) dead: BTreeSet<SocketAddr>,
    /// Sides that DTLS does not reach.
    pub(super) deaf: [bool; 2],
    /// Changes what is signalled.
    pub(super) tamper: fn(Parcel) -> Vec<Parcel>,
    pub(super) datagrams: u64,
    pub(super) wire: Vec<(Timestamp, usize, Bytes)>,
    queue: BTreeMap<(Timestamp, u64), (usize, Parcel)>,
    sequence: u64,
    rng: Rng,
}

pub(super) struct Plan {
    pub(super) seed: u8,
    pub(super) lead: bool,
    pub(super) addresses: [Vec<&'static str>; 2],
    pub(super) limits: Limits,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            lead: true,
            addresses: [alloc::vec!["192.0.2.1:1000"], alloc::vec!["192.0.2.2:2000"]],
            limits: Limits::default(),
        }
    }
}

impl World {
    pub(super) fn new(plan: &Plan) -> Self {
        let clock = Clock::new(Instant::now());
        let rng = Rng::new([plan.seed; 32]);
        let side = |which: usize| {
            let rng = rng.fork(["left", "right"][which]);
            let interfaces: Vec<_> = plan.addresses[which]
                .iter()
                .map(|address| Interface {
                    name: "eth0".to_string(),
                    address: address.parse().unwrap(),
                })
                .collect();
            let config = Config::default().with_ice_servers(Vec::new());
            let mut gather = Gather::new(&config, rng.fork("gather"));
            gather.interfaces(Timestamp::ZERO, &interfaces, &mut News::default());
            let certificate = certificate::make(&mut rng.fork("certificate")).unwrap();
            let link = Link::open(
                Timestamp::ZERO,
                Setup {
                    offerer: which == L,
                    clock,
                    rng: rng.fork("link"),
                    simulated: true,
                    certificate: &certificate,
                    limits: &plan.limits,
                    loopback: false,
                    locals: gather.locals(),
                },
            );
            Side {
                link,
                log: Vec::new(),
                candidates_dropped: 0,
                greeting: None,
                gather,
                refused: 0,
            }
        };
        Self {
            now: Timestamp::ZERO,
            sides: [side(L), side(R)],
            lead: plan.lead,
            led: plan.lead,
            loss: 0,
            delay: TRIP,
            twice: false,
            signaling: TRIP,
            dead: BTreeSet::new(),
            deaf: [false; 2],
            tamper: |parcel| alloc::vec![parcel],
            datagrams: 0,
            wire: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            rng: rng.fork("world"),
        }
    }

    /// A world in which both have connected.
    pub(super) fn connected(plan: &Plan) -> Self {
        let mut world = Self::new(plan);
        world.start();
        assert!(world.run_until(Duration::from_secs(20), |world| {
            world.opened(L) && world.opened(R)
        }));
        world.settle(Duration::from_secs(1));
        world
    }

    pub(super) fn start(&mut self) {
        self.with(L, |link, now, out| link.create_offer(now, out));
    }

    /// Calls a link and takes what comes out of it.
    pub(super) fn with<T>(
        &mut self,
        side: usize,
        call: impl FnOnce(&mut Link, Timestamp, &mut Outbox) -> T,
    ) -> T {
        let mut out = Outbox::default();
        let given = call(&mut self.sides[side].link, self.now, &mut out);
        self.take(side, out);
        given
    }

    fn take(&mut self, side: usize, out: Outbox) {
        self.sides[side].candidates_dropped += out.candidates_dropped;
        for transmit in out.transmits {
            self.datagrams += 1;
            self.wire.push((self.now, side, transmit.payload.clone()));
            let lost = self.rng.below(1000) < self.loss
                || self.dead.contains(&transmit.local)
                || self.dead.contains(&transmit.remote);
            let parcel = Parcel::Datagram {
                local: transmit.remote,
                remote: transmit.local,
                payload: transmit.payload,
            };
            for _ in 0..u8::from(!lost) << u8::from(self.twice) {
                self.post(self.delay, 1 - side, parcel.clone());
            }
        }
        for update in out.updates {
            self.sides[side].log.push((self.now, update.clone()));
            let signal = match &update {
                Update::LocalDescription(sdp) if side == L => Parcel::Offer(sdp.clone()),
                Update::LocalDescription(sdp) => Parcel::Answer(sdp.clone()),
                Update::LocalCandidate(candidate) => Parcel::Candidate(candidate.clone()),
                Update::ChannelOpened(Channel::Data) => {
                    if let Some(greeting) = self.sides[side].greeting.clone() {
                        self.send(side, Channel::Data, greeting);
                    }
                    continue;
                }
                _ => continue,
            };
            for signal in (self.tamper)(signal) {
                self.post(self.signaling, 1 - side, signal);
            }
        }
    }

    pub(super) fn post(&mut self, delay: Duration, to: usize, parcel: Parcel) {
        self.sequence += 1;
        self.queue
            .insert((self.now.plus(delay), self.sequence), (to, parcel));
    }

    pub(super) fn send(&mut self, side: usize, channel: Channel, payload: impl Into<Bytes>) {
        let payload: Bytes = payload.into();
        // In two parts, as the network gives them.
        let middle = payload.len() / 2;
        let parts = alloc::vec![payload.slice(..middle), payload.slice(middle..)];
        let message = ChannelMessage::new(parts);
        self.with(side, |link, now, out| link.send(now, channel, message, out));
    }

    pub(super) fn probe(&mut self, side: usize) {
        self.with(side, |link, now, out| link.probe(now, out));
    }

    /// New sockets on a side.
    pub(super) fn interfaces(&mut self, side: usize, addresses: &[&str]) {
        let interfaces: Vec<_> = addresses
            .iter()
            .map(|address| Interface {
                name: "eth0".to_string(),
                address: address.parse().unwrap(),
            })
            .collect();
        let mut news = News::default();
        let gather = &mut self.sides[side].gather;
        gather.interfaces(self.now, &interfaces, &mut news);
        let each = |list: Vec<Local>| list.into_iter();
        for local in each(news.removed) {
            self.with(side, |link, now, out| link.remove_local(now, local, out));
        }
        for local in each(news.added) {
            self.with(side, |link, now, out| link.add_local(now, local, out));
        }
    }

    /// Gives a datagram to a side as a node does.
    pub(super) fn deliver(
        &mut self,
        side: usize,
        local: SocketAddr,
        remote: SocketAddr,
        payload: &[u8],
    ) {
        if self.sides[side].gather.by_given(local).is_none() {
            return;
        }
        let (at, deaf) = ((local, remote), self.deaf[side]);
        let taken = self.with(side, |link, now, out| match classify(payload) {
            Kind::Request { local_ufrag } => {
                local_ufrag == link.ufrag() && link.receive_check(now, at, payload, out)
            }
            Kind::Response { transaction } if link.expects(&transaction) => {
                link.receive_probed(now, &transaction, payload, out)
            }
            Kind::Response { transaction } => {
                link.receive_answer(now, at, &transaction, payload, out)
            }
            Kind::Dtls if deaf => false,
            Kind::Dtls => link.receive(now, at, payload, out),
            Kind::Other => false,
        });
        self.sides[side].refused += u64::from(!taken);
    }

    fn next(&self) -> Option<Timestamp> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        self.sides
            .iter()
            .filter_map(|side| side.link.poll_timeout())
            .chain(queued)
            .min()
    }

    /// Runs until `done`, at most `limit`; whether it was done.
    pub(super) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now.plus(limit);
        while !done(self) {
            let Some(next) = self.next().filter(|next| *next <= end) else {
                self.now = end;
                return done(self);
            };
            self.now = self.now.max(next);
            let due = self
                .queue
                .first_key_value()
                .is_some_and(|((at, _), _)| *at <= self.now);
            if due {
                let (_, (to, parcel)) = self.queue.pop_first().unwrap();
                self.hand(to, parcel);
                continue;
            }
            for side in [L, R] {
                self.with(side, |link, now, out| link.handle_timeout(now, out));
                // Law 3.
                let due = self.sides[side].link.poll_timeout();
                assert!(due.is_none_or(|due| due > self.now), "a link spins");
            }
        }
        true
    }

    pub(super) fn settle(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn hand(&mut self, to: usize, parcel: Parcel) {
        let (lead, led) = (self.lead, self.led);
        match parcel {
            Parcel::Datagram {
                local,
                remote,
                payload,
            } => self.deliver(to, local, remote, &payload),
            Parcel::Offer(sdp) => {
                self.with(to, |link, now, out| link.accept_offer(now, &sdp, lead, out));
            }
            Parcel::Answer(sdp) => {
                self.with(to, |link, now, out| link.accept_answer(now, &sdp, led, out));
            }
            Parcel::Candidate(text) => {
                self.with(to, |link, now, out| link.add_candidate(now, &text, out));
            }
        }
    }

    /// When a side was first told something, in milliseconds.
    pub(super) fn when(&self, side: usize, what: impl Fn(&Update) -> bool) -> Option<u64> {
        self.sides[side]
            .log
            .iter()
            .find(|(_, update)| what(update))
            .map(|(at, _)| at.as_millis())
    }

    pub(super) fn count(&self, side: usize, what: impl Fn(&Update) -> bool) -> usize {
        self.sides[side]
            .log
            .iter()
            .filter(|(_, update)| what(update))
            .count()
    }

    pub(super) fn opened(&self, side: usize) -> bool {
        self.when(side, |u| *u == Update::ChannelOpened(Channel::Data))
            .is_some()
    }

    pub(super) fn messages(&self, side: usize) -> Vec<Bytes> {
        self.sides[side]
            .log
            .iter()
            .filter_map(|(_, update)| match update {
                Update::Message { payload, .. } => Some(payload.clone()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn greeted(&self, side: usize) -> Option<u64> {
        self.when(side, |u| matches!(u, Update::Message { .. }))
    }
}
