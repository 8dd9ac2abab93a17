//! Addresses that TURN servers lend: one allocation per URL and family, for all links.
//!
//! A server may have several addresses. They are tried one after the other, the next one soon, and
//! whichever comes first counts.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::hosts::HostAddress;
use super::relay::{By, Relay, Way, next_stream};
use super::servers::Server;
use super::{News, Relayed};
use crate::ice::{IceScheme, IceTransport, IceUrl};
use crate::native::io::{StreamId, StreamUpdate, Transmit};
use crate::native::turn::{Credentials, Family, Turn};
use crate::report::{Observation, ServerResult, StreamFailure};
use crate::rng::Rng;
use crate::time::{Timestamp, earliest};

/// How long one address of a server may be silent before the next one is asked as well.
const NEXT: Duration = Duration::from_secs(1);

/// How long a stream may take to open; one of a driver that does not say.
const OPEN: Duration = Duration::from_secs(10);

/// RFC 8445 section 5.1.2.2 says 0 for relays; libwebrtc and we prefer those that are reached by UDP.
const fn type_preference(transport: IceTransport) -> u8 {
    match transport {
        IceTransport::Udp => 2,
        IceTransport::Tcp => 1,
        IceTransport::Tls => 0,
    }
}

/// All that we have at TURN servers, or try to have.
#[derive(Debug)]
pub(super) struct Relays {
    rng: Rng,
    streams: u64,
    relays: Vec<Relay>,
    /// Whom the links have to do with.
    peers: BTreeSet<SocketAddr>,
    /// Whether somebody can be reached by IPv6 alone.
    v6: bool,
}

impl Relays {
    pub(super) const fn new(rng: Rng) -> Self {
        Self {
            rng,
            streams: 0,
            relays: Vec::new(),
            peers: BTreeSet::new(),
            v6: false,
        }
    }

    /// Which servers and sockets there are now. What is new is asked, what is gone given up; new
    /// credentials are used when they are needed.
    pub(super) fn update(
        &mut self,
        now: Timestamp,
        servers: &[Server],
        hosts: &[HostAddress],
        news: &mut News,
    ) {
        let families: &[Family] = if self.v6 {
            &[Family::V4, Family::V6]
        } else {
            &[Family::V4]
        };
        let mut old = core::mem::take(&mut self.relays);
        for server in servers {
            if server.url.scheme() == IceScheme::Stun {
                continue;
            }
            let credentials = server.credentials.clone().unwrap_or_default();
            let credentials = Credentials {
                username: credentials.0,
                password: credentials.1,
            };
            for family in families {
                let same = |relay: &Relay| relay.url == server.url && relay.family == *family;
                let mut relay = match old.iter().position(same) {
                    Some(place) => old.swap_remove(place),
                    None => Relay::new(server.url.clone(), *family, credentials.clone()),
                };
                relay.set_credentials(now, &credentials);
                self.relays.push(relay);
            }
        }
        for mut relay in old {
            relay.give_up(now, news);
        }
        for relay in &mut self.relays {
            relay.lose_sockets(now, hosts, news);
        }
        self.go_on(now, servers, hosts, news);
    }

    /// Begins what can be begun now.
    pub(super) fn go_on(
        &mut self,
        now: Timestamp,
        servers: &[Server],
        hosts: &[HostAddress],
        news: &mut News,
    ) {
        for place in 0..self.relays.len() {
            let Some(relay) = self.relays.get_mut(place) else {
                continue;
            };
            let is_due = relay.next.is_none_or(|next| next <= now);
            let is_idle = relay.tries.is_empty();
            if relay.stands() || !is_due || (!is_idle && relay.next.is_none()) {
                continue;
            }
            let (url, family) = (relay.url.clone(), relay.family);
            if family == Family::V6 && !self.may_borrow_v6(&url) {
                continue;
            }
            let Some(relay) = self.relays.get(place) else {
                continue;
            };
            let Some(server) = servers.iter().find(|server| server.url == relay.url) else {
                continue;
            };
            let count = server.addresses.len();
            let from = if is_idle && relay.begun >= count {
                0
            } else {
                relay.begun
            };
            let addresses = server.addresses.iter().enumerate().skip(from);
            let mut ways = addresses.filter_map(|(n, address)| {
                let socket = self.socket_for(&server.url, *address, hosts)?;
                Some((n.saturating_add(1), *address, socket))
            });
            let found = ways.next();
            let Some(relay) = self.relays.get_mut(place) else {
                continue;
            };
            let Some((begun, address, socket)) = found else {
                // All are under way, or none leads there: then again from the first.
                relay.begun = 0;
                relay.next = None;
                if is_idle && from > 0 {
                    relay.postpone(now);
                }
                continue;
            };
            relay.begun = begun;
            relay.next = (begun < count).then(|| now.plus(NEXT));
            let way = match socket {
                Some(beside) if relay.elsewhere => {
                    let stream = next_stream(&mut self.streams);
                    Way::Port { stream, beside }
                }
                Some(socket) => Way::Socket(socket),
                None => Way::Stream(next_stream(&mut self.streams)),
            };
            let rng = Rng::new(self.rng.bytes());
            relay.begin(now, rng, (address, way), &self.peers, news);
        }
    }

    /// Whether an IPv6 address may be had from this URL: there may be one way alone to the server, and
    /// that is for an IPv4 address, which more need, unless the server has none.
    fn may_borrow_v6(&self, url: &IceUrl) -> bool {
        let mut same = self.relays.iter().filter(|relay| relay.url == *url);
        same.find(|relay| relay.family == Family::V4)
            .is_none_or(|v4| v4.stands() || v4.result == ServerResult::Refused(440))
    }

    /// Which socket a server is asked from, `Some(None)` by a stream; `None`: there is no way. A socket
    /// has one allocation at one address (RFC 8656 section 5): a second one would push the first away.
    fn socket_for(
        &self,
        url: &IceUrl,
        server: SocketAddr,
        hosts: &[HostAddress],
    ) -> Option<Option<SocketAddr>> {
        if url.transport() != IceTransport::Udp {
            return Some(None);
        }
        let is_free =
            |host: &&HostAddress| host.leads_to(server) && !self.is_used(host.address, server);
        hosts.iter().find(is_free).map(|host| Some(host.address))
    }

    pub(super) fn handle_timeout(
        &mut self,
        now: Timestamp,
        servers: &[Server],
        hosts: &[HostAddress],
        news: &mut News,
    ) {
        for relay in &mut self.relays {
            relay.each(now, &mut self.streams, news, |one| {
                if one.turn.poll_timeout().is_some_and(|due| due <= now) {
                    one.turn.handle_timeout(now);
                }
                let is_late = !one.open && one.since.plus(OPEN) <= now;
                is_late.then_some((StreamFailure::TimedOut, By::Us))
            });
        }
        self.go_on(now, servers, hosts, news);
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let tries = self.relays.iter().flat_map(|relay| &relay.tries);
        let due = tries.map(|one| {
            let open = (!one.open).then(|| one.since.plus(OPEN));
            earliest(one.turn.poll_timeout(), open)
        });
        let next = self.relays.iter().map(|relay| relay.next);
        due.chain(next).fold(None, earliest)
    }

    /// Whether datagrams from there, at this socket, are a TURN server's.
    pub(super) fn expects(&self, (local, remote): (SocketAddr, SocketAddr)) -> bool {
        let mut tries = self.relays.iter().flat_map(|relay| &relay.tries);
        tries.any(|one| one.way == Way::Socket(local) && one.turn.server() == remote)
    }

    /// Whether this socket, or one beside it, has to do with this server.
    fn is_used(&self, socket: SocketAddr, server: SocketAddr) -> bool {
        let mut tries = self.relays.iter().flat_map(|relay| &relay.tries);
        tries.any(|one| one.way.socket() == Some(socket) && one.turn.server() == server)
    }

    /// A datagram of a TURN server. `false`: it was of no use.
    pub(super) fn receive(
        &mut self,
        now: Timestamp,
        (local, remote): (SocketAddr, SocketAddr),
        datagram: &[u8],
        news: &mut News,
    ) -> bool {
        let way = Way::Socket(local);
        let dropped = self.dropped();
        for relay in &mut self.relays {
            relay.each(now, &mut self.streams, news, |one| {
                if one.way == way && one.turn.server() == remote {
                    one.turn.handle_message(now, datagram);
                }
                None
            });
        }
        self.dropped() == dropped
    }

    fn dropped(&self) -> u64 {
        let tries = self.relays.iter().flat_map(|relay| &relay.tries);
        let dropped = tries.map(|one| one.turn.dropped());
        dropped.fold(0, u64::saturating_add)
    }

    /// News of a stream.
    pub(super) fn stream(
        &mut self,
        now: Timestamp,
        stream: StreamId,
        update: StreamUpdate<'_>,
        news: &mut News,
    ) {
        for relay in &mut self.relays {
            relay.each(now, &mut self.streams, news, |one| {
                if one.way.stream() != Some(stream) {
                    return None;
                }
                match update {
                    StreamUpdate::Opened { .. } => one.open = true,
                    StreamUpdate::Bytes(bytes) => one.turn.handle_message(now, bytes),
                    StreamUpdate::Closed => return Some((StreamFailure::Broken, By::Driver)),
                    StreamUpdate::Failed(failure) => return Some((failure, By::Driver)),
                }
                None
            });
        }
    }

    /// A link has to do with this address.
    pub(super) fn permit(&mut self, now: Timestamp, peer: SocketAddr, news: &mut News) {
        if !self.peers.insert(peer) {
            return;
        }
        for relay in &mut self.relays {
            relay.each(now, &mut self.streams, news, |one| {
                one.turn.permit(now, peer);
                None
            });
        }
    }

    /// No link has to do with this address any more.
    pub(super) fn forget(&mut self, peer: SocketAddr) {
        self.peers.remove(&peer);
        for one in self.relays.iter_mut().flat_map(|relay| &mut relay.tries) {
            one.turn.forget(peer);
        }
    }

    /// From now on IPv6 addresses are borrowed, too. `false`: they were before.
    pub(super) fn want_v6(&mut self) -> bool {
        !core::mem::replace(&mut self.v6, true)
    }

    /// Whether this is one of the addresses that we have borrowed.
    pub(super) fn has(&self, address: SocketAddr) -> bool {
        self.standing()
            .any(|(_, turn)| turn.relayed() == Some(address))
    }

    /// Sends from a borrowed address.
    pub(super) fn send(&mut self, now: Timestamp, transmit: &Transmit, news: &mut News) {
        for relay in &mut self.relays {
            relay.each(now, &mut self.streams, news, |one| {
                if one.turn.relayed() == Some(transmit.local) {
                    one.turn.send(now, transmit.remote, &transmit.payload);
                }
                None
            });
        }
    }

    /// The network may have changed: do the servers still know us?
    pub(super) fn check(&mut self, now: Timestamp, news: &mut News) {
        for relay in &mut self.relays {
            relay.hope();
            relay.each(now, &mut self.streams, news, |one| {
                one.turn.check(now);
                None
            });
        }
    }

    /// A link is to be made: who gave us nothing is asked again soon.
    pub(super) fn hurry(&mut self) {
        for relay in &mut self.relays {
            relay.hurry();
        }
    }

    /// Gives back all that was borrowed.
    pub(super) fn release(&mut self, now: Timestamp, news: &mut News) {
        for mut relay in core::mem::take(&mut self.relays) {
            relay.give_up(now, news);
        }
        self.v6 = false;
    }

    /// What others may be told of.
    pub(super) fn relayed(&self) -> impl Iterator<Item = Relayed> + '_ {
        self.standing()
            .enumerate()
            .filter_map(|(place, (relay, turn))| {
                let rank = u16::try_from(place).unwrap_or(u16::MAX);
                Some(Relayed {
                    address: turn.relayed()?,
                    kind: type_preference(relay.url.transport()),
                    preference: u16::MAX.saturating_sub(rank),
                })
            })
    }

    /// What was seen by which server, over UDP.
    pub(super) fn observations(&self) -> impl Iterator<Item = Observation> + '_ {
        let tries = self.relays.iter().flat_map(|relay| &relay.tries);
        tries.filter_map(|one| match one.way {
            Way::Socket(local) => Some(Observation {
                local,
                server: one.turn.server(),
                mapped: one.mapped?,
            }),
            Way::Port { .. } | Way::Stream(_) => None,
        })
    }

    /// Where servers see our sockets: socket, and address.
    pub(super) fn mapped(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> + '_ {
        let tries = self.relays.iter().flat_map(|relay| &relay.tries);
        tries.filter_map(|one| match one.way {
            Way::Socket(socket) => Some((socket, one.mapped?)),
            Way::Port { .. } | Way::Stream(_) => None,
        })
    }

    /// What became of a URL.
    pub(super) fn results(&self, url: &IceUrl) -> impl Iterator<Item = ServerResult> {
        let of_url = self.relays.iter().filter(move |relay| relay.url == *url);
        of_url.map(|relay| relay.result)
    }

    fn standing(&self) -> impl Iterator<Item = (&Relay, &Turn)> {
        let tries = self
            .relays
            .iter()
            .flat_map(|relay| relay.tries.iter().map(move |one| (relay, one)));
        tries
            .map(|(relay, one)| (relay, &one.turn))
            .filter(|(_, turn)| turn.relayed().is_some())
    }
}
