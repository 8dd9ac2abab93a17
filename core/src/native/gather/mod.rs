//! Which addresses others may be told of: our sockets', those that STUN servers see, those that
//! TURN servers lend. Gathered once for all links, from `host` or `join` on, and never waited for.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

mod hosts;
mod relay;
mod relays;
mod servers;
mod stun;
#[cfg(test)]
mod tests;

pub use self::hosts::is_virtual_interface;
pub(super) use self::hosts::{HostAddress, is_usable, plain};

use self::hosts::Hosts;
use self::relays::Relays;
use self::servers::Servers;
use self::stun::Bindings;
use super::io::{Interface, StreamCommand, StreamId, StreamUpdate, Transmit};
use super::stun::Transaction;
use crate::config::Config;
use crate::ice::{IcePolicy, IceScheme, IceServer};
use crate::report::{NatMapping, Observation, ServerReport, ServerResult};
use crate::rng::Rng;
use crate::time::{Timestamp, earliest};

/// Servers are asked again when the driver says that the network has changed, but not more often than
/// this: later then, for what they said before may be true no more.
const SETTLE: Duration = Duration::from_millis(250);

/// An address of ours that others may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Local {
    Host(HostAddress),
    Reflexive(Reflexive),
    Relayed(Relayed),
}

impl Local {
    pub(super) const fn is_host(&self) -> bool {
        matches!(self, Self::Host(_))
    }
}

/// Where the world sees a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reflexive {
    pub(super) address: SocketAddr,
    /// The socket.
    pub(super) base: SocketAddr,
    /// The socket's.
    pub(super) preference: u16,
}

/// What a TURN server lends us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Relayed {
    pub(super) address: SocketAddr,
    /// RFC 8445 section 5.1.2.1: the type preference.
    pub(super) kind: u8,
    pub(super) preference: u16,
}

/// What came out of a call.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Their `local` is as ICE knows it.
    pub(super) transmits: Vec<Transmit>,
    pub(super) resolves: Vec<String>,
    pub(super) streams: Vec<(StreamId, StreamCommand)>,
    /// What came to our borrowed addresses: to which, from where, and what.
    pub(super) data: Vec<(SocketAddr, SocketAddr, Bytes)>,
    pub(super) added: Vec<Local>,
    pub(super) removed: Vec<Local>,
    /// Something of [`Gather::reports`] is new.
    pub(super) reports: bool,
}

/// All addresses of ours, and the machines that find them.
#[derive(Debug)]
pub(super) struct Gather {
    loopback: bool,
    policy: IcePolicy,
    hosts: Hosts,
    servers: Servers,
    bindings: Bindings,
    relays: Relays,
    /// Whether there is a network to be in.
    running: bool,
    /// When servers were asked last because the network may have changed.
    asked: Timestamp,
    /// When they are asked next, because it has changed since.
    ask_at: Option<Timestamp>,
    /// What others may be told of now.
    locals: Vec<Local>,
}

impl Gather {
    pub(super) fn new(config: &Config, rng: Rng) -> Self {
        let mut servers = Servers::default();
        servers.set(&config.ice_servers);
        Self {
            loopback: config.loopback,
            policy: config.ice_policy,
            hosts: Hosts::new(config.loopback),
            servers,
            bindings: Bindings::new(rng.fork("bindings")),
            relays: Relays::new(rng.fork("relays")),
            running: false,
            asked: Timestamp::ZERO,
            ask_at: None,
            locals: Vec::new(),
        }
    }

    /// What others may be told of, sockets first.
    pub(super) fn locals(&self) -> &[Local] {
        &self.locals
    }

    /// Whether nobody but a TURN server may see an address of ours.
    pub(super) fn is_relay_only(&self) -> bool {
        self.policy == IcePolicy::RelayOnly
    }

    /// Our address as ICE knows it, for one that the driver uses.
    pub(super) fn by_given(&self, given: SocketAddr) -> Option<SocketAddr> {
        self.hosts.by_given(given).map(|host| host.address)
    }

    /// The address that the driver uses, for one that ICE knows.
    pub(super) fn given(&self, address: SocketAddr) -> Option<SocketAddr> {
        self.hosts.given(address)
    }

    /// What is to be done with a stream, with addresses as the driver uses them.
    pub(super) fn command(&self, mut command: StreamCommand) -> StreamCommand {
        if let StreamCommand::OpenUdp { beside, .. } = &mut command {
            *beside = self.given(*beside).unwrap_or(*beside);
        }
        command
    }

    /// Takes the new set of sockets.
    pub(super) fn interfaces(&mut self, now: Timestamp, interfaces: &[Interface], news: &mut News) {
        let change = self.hosts.update(interfaces);
        let changed = !change.added.is_empty() || !change.removed.is_empty();
        if self.running && changed {
            self.ask(now, true, news);
        }
        self.settle(news);
    }

    /// The network is another behind the same sockets.
    pub(super) fn network_changed(&mut self, now: Timestamp, news: &mut News) {
        if !self.running {
            return;
        }
        let at = self.asked.plus(SETTLE);
        if at > now {
            self.ask_at = Some(at);
            return;
        }
        self.relays.check(now, news);
        self.ask(now, true, news);
        self.settle(news);
    }

    /// Replaces the servers. What stays is not disturbed.
    pub(super) fn set_servers(&mut self, now: Timestamp, servers: &[IceServer], news: &mut News) {
        self.servers.set(servers);
        if self.running {
            self.ask(now, false, news);
        }
        self.settle(news);
    }

    /// Begins when a network is hosted or joined, ends with it.
    pub(super) fn set_running(&mut self, now: Timestamp, running: bool, news: &mut News) {
        if running == self.running {
            return;
        }
        self.running = running;
        if running {
            self.ask(now, true, news);
        } else {
            self.ask_at = None;
            self.servers.stop();
            self.bindings.update(now, &[], &[], false);
            self.relays.release(now, news);
            self.settle(news);
        }
    }

    /// An answer of the resolver.
    pub(super) fn resolved(
        &mut self,
        now: Timestamp,
        name: &str,
        addresses: &[IpAddr],
        news: &mut News,
    ) {
        let changed = self.servers.resolved(now, name, addresses);
        news.reports = true;
        if changed && self.running {
            self.update(now, false, news);
            self.settle(news);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp, news: &mut News) {
        if self.ask_at.take_if(|at| *at <= now).is_some() {
            self.network_changed(now, news);
        }
        self.servers.handle_timeout(now, news);
        self.bindings.handle_timeout(now, news);
        let (servers, hosts) = (self.servers.all(), self.hosts.addresses());
        self.relays.handle_timeout(now, servers, hosts, news);
        self.settle(news);
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let servers = earliest(self.bindings.poll_timeout(), self.servers.poll_timeout());
        let servers = earliest(servers, self.ask_at);
        earliest(servers, self.relays.poll_timeout())
    }

    /// Whether a datagram that came from there is a TURN server's.
    pub(super) fn is_of_relay(&self, ends: (SocketAddr, SocketAddr)) -> bool {
        self.relays.expects(ends)
    }

    /// A datagram of a TURN server. `false`: it was of no use.
    pub(super) fn relay_says(
        &mut self,
        now: Timestamp,
        ends: (SocketAddr, SocketAddr),
        datagram: &[u8],
        news: &mut News,
    ) -> bool {
        let taken = self.relays.receive(now, ends, datagram, news);
        self.settle_relays(now, news);
        taken
    }

    /// News of a stream to a TURN server.
    pub(super) fn stream(
        &mut self,
        now: Timestamp,
        stream: StreamId,
        update: StreamUpdate<'_>,
        news: &mut News,
    ) {
        self.relays.stream(now, stream, update, news);
        self.settle_relays(now, news);
    }

    /// A link is to be made, which may need a relay.
    pub(super) fn hurry(&mut self, now: Timestamp, news: &mut News) {
        if self.running {
            self.relays.hurry();
            let (servers, hosts) = (self.servers.all(), self.hosts.addresses());
            self.relays.go_on(now, servers, hosts, news);
        }
    }

    /// A link has to do with this address.
    pub(super) fn permit(&mut self, now: Timestamp, peer: SocketAddr, news: &mut News) {
        if !is_usable(peer, self.loopback) {
            return;
        }
        self.relays.permit(now, peer, news);
        let is_out_of_reach = |host: &HostAddress| !host.leads_to(peer);
        if peer.is_ipv6()
            && self.running
            && (self.is_relay_only() || self.hosts.addresses().iter().all(is_out_of_reach))
            && self.relays.want_v6()
        {
            self.update(now, false, news);
            self.settle(news);
        }
    }

    /// No link has to do with this address any more.
    pub(super) fn forget(&mut self, peer: SocketAddr) {
        self.relays.forget(peer);
    }

    /// Whether this is an address that a TURN server lends us. None can lend us what is ours.
    pub(super) fn is_relayed(&self, address: SocketAddr) -> bool {
        self.relays.has(address) && self.hosts.given(address).is_none()
    }

    /// Sends from such an address.
    pub(super) fn send_relayed(&mut self, now: Timestamp, transmit: &Transmit, news: &mut News) {
        self.relays.send(now, transmit, news);
        self.settle_relays(now, news);
    }

    /// Whether a response answers a request of ours.
    pub(super) fn expects(&self, ends: (SocketAddr, SocketAddr), to: &Transaction) -> bool {
        self.bindings.expects(ends, to)
    }

    /// The answer to a request of ours. `false`: it is of no use.
    pub(super) fn answer(
        &mut self,
        now: Timestamp,
        ends: (SocketAddr, SocketAddr),
        datagram: &[u8],
        news: &mut News,
    ) -> bool {
        let taken = self.bindings.answer(now, ends, datagram, self.loopback);
        news.reports |= taken;
        self.settle(news);
        taken
    }

    /// Every server with what became of it, for reports.
    pub(super) fn reports(&self) -> Vec<ServerReport> {
        let report = |server: &servers::Server| {
            let results = server.addresses.iter();
            let results = results.flat_map(|address| self.bindings.results(*address));
            let results = match server.url.scheme() {
                IceScheme::Stun => results.reduce(better),
                IceScheme::Turn | IceScheme::Turns => {
                    self.relays.results(&server.url).reduce(better)
                }
            };
            ServerReport {
                url: server.url.to_string(),
                result: match results {
                    Some(ServerResult::Pending) | None if server.unresolved => {
                        ServerResult::Unresolved
                    }
                    Some(result) => result,
                    None => ServerResult::Pending,
                },
            }
        };
        self.servers.all().iter().map(report).collect()
    }

    /// What our NAT does with ports, as far as the servers' answers show it.
    pub(super) fn mapping(&self) -> NatMapping {
        NatMapping::of(&self.observations())
    }

    /// What was seen by which server, over UDP.
    pub(super) fn observations(&self) -> Vec<Observation> {
        let mut observations = self.bindings.observations();
        observations.extend(self.relays.observations());
        observations
    }

    /// Asks all servers, the resolver included.
    fn ask(&mut self, now: Timestamp, again: bool, news: &mut News) {
        self.asked = now;
        self.ask_at = None;
        self.servers.resolve(again, news);
        self.update(now, again, news);
    }

    fn update(&mut self, now: Timestamp, again: bool, news: &mut News) {
        // Who does not tell others where it is needs not know.
        if !self.is_relay_only() {
            let (hosts, servers) = (self.hosts.addresses(), self.servers.stun());
            self.bindings.update(now, hosts, &servers, again);
        }
        self.bindings.handle_timeout(now, news);
        let (servers, hosts) = (self.servers.all(), self.hosts.addresses());
        self.relays.update(now, servers, hosts, news);
    }

    /// After every call of the relays that may have brought something new.
    fn settle_relays(&mut self, now: Timestamp, news: &mut News) {
        if news.reports {
            let (servers, hosts) = (self.servers.all(), self.hosts.addresses());
            self.relays.go_on(now, servers, hosts, news);
            self.settle(news);
        }
    }

    /// Compares what others may be told of now with what it was.
    fn settle(&mut self, news: &mut News) {
        let locals = self.collect();
        let is_new = |local: &&Local| !self.locals.contains(local);
        let is_gone = |local: &&Local| !locals.contains(local);
        news.removed.extend(self.locals.iter().filter(is_gone));
        news.added.extend(locals.iter().filter(is_new));
        self.locals = locals;
    }

    fn collect(&self) -> Vec<Local> {
        let mut lent: Vec<Relayed> = Vec::new();
        for relayed in self.relays.relayed() {
            let is_same = |other: &Relayed| other.address == relayed.address;
            if self.hosts.given(relayed.address).is_none() && !lent.iter().any(is_same) {
                lent.push(relayed);
            }
        }
        let relayed = lent.into_iter().map(Local::Relayed);
        if self.is_relay_only() {
            return relayed.collect();
        }
        let mut locals = Vec::new();
        let hosts = self.hosts.addresses();
        locals.extend(hosts.iter().map(|host| Local::Host(*host)));
        let mut seen: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
        for host in hosts {
            let by_relays = self.relays.mapped();
            let by_relays = by_relays.filter(|(socket, _)| *socket == host.address);
            let mapped = self.bindings.mapped(host.address).into_iter();
            for address in mapped.chain(by_relays.map(|(_, address)| address)) {
                // Another name for what is offered already.
                if !seen.contains(&address) {
                    seen.push(address);
                    locals.push(Local::Reflexive(Reflexive {
                        address,
                        base: host.address,
                        preference: host.preference,
                    }));
                }
            }
        }
        locals.extend(relayed);
        locals
    }
}

/// Of what became of several ways to ask a server, the one that counts.
fn better(one: ServerResult, other: ServerResult) -> ServerResult {
    let rank = |result: &ServerResult| match result {
        ServerResult::Answered { .. } => 0,
        ServerResult::Refused(_) => 1,
        ServerResult::Pending => 2,
        ServerResult::StreamFailed(_) => 3,
        ServerResult::Silent => 4,
        ServerResult::Unresolved => 5,
    };
    if rank(&other) < rank(&one) {
        other
    } else {
        one
    }
}
