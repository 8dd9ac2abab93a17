//! The servers that are configured, and the addresses that their names stand for.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::News;
use crate::ice::{IceHost, IceScheme, IceServer, IceUrl};
use crate::time::Timestamp;

/// More URLs are not used: every one is asked by every socket.
const MOST_URLS: usize = 16;

/// How many addresses of a name are used, per family.
const MOST_ADDRESSES: usize = 2;

/// When a name that has no address is asked for again. A change of the network does so at once.
const AGAIN: Duration = Duration::from_secs(30);

/// One URL.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) url: IceUrl,
    /// For TURN: user name and password.
    pub(super) credentials: Option<(String, String)>,
    /// In the resolver's order.
    pub(super) addresses: Vec<SocketAddr>,
    /// Whether a name was looked up and has no address.
    pub(super) unresolved: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Servers {
    servers: Vec<Server>,
    /// The names that were asked for.
    asked: BTreeSet<String>,
    again: Option<Timestamp>,
}

impl Servers {
    /// Replaces them; what is known of names stays.
    pub(super) fn set(&mut self, servers: &[IceServer]) {
        let urls = servers.iter().flat_map(|server| {
            let credentials = server.username().zip(server.credential());
            let credentials = credentials.map(|(name, word)| (name.into(), word.into()));
            let urls = server.urls().iter();
            urls.map(move |url| (url.clone(), credentials.clone()))
        });
        let mut new: Vec<Server> = Vec::new();
        for (url, credentials) in urls {
            if new.len() >= MOST_URLS || new.iter().any(|known| known.url == url) {
                continue;
            }
            let addresses = match url.host() {
                IceHost::Address(ip) => alloc::vec![SocketAddr::new(*ip, url.port())],
                IceHost::Name(name) => {
                    let same = |known: &&Server| known.url.host() == url.host();
                    let known = self.servers.iter().find(same);
                    let known = known.map_or_else(Vec::new, |known| known.addresses.clone());
                    if known.is_empty() {
                        self.asked.remove(name);
                    }
                    let with_port = |known: SocketAddr| SocketAddr::new(known.ip(), url.port());
                    known.into_iter().map(with_port).collect()
                }
            };
            new.push(Server {
                url,
                credentials,
                addresses,
                unresolved: false,
            });
        }
        self.servers = new;
    }

    pub(super) fn all(&self) -> &[Server] {
        &self.servers
    }

    /// Where Binding requests go to, each address once.
    pub(super) fn stun(&self) -> Vec<SocketAddr> {
        let stun = self.servers.iter();
        let stun = stun.filter(|server| server.url.scheme() == IceScheme::Stun);
        let mut addresses = Vec::new();
        for address in stun.flat_map(|server| &server.addresses) {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        addresses
    }

    /// Asks for the names: for all of them, or for those that were not asked for yet.
    pub(super) fn resolve(&mut self, all: bool, news: &mut News) {
        for server in &self.servers {
            if let IceHost::Name(name) = server.url.host()
                && (all || !self.asked.contains(name))
                && !news.resolves.contains(name)
            {
                self.asked.insert(name.clone());
                news.resolves.push(name.clone());
            }
        }
    }

    /// Takes an answer in; `false`: nothing changed.
    pub(super) fn resolved(&mut self, now: Timestamp, name: &str, addresses: &[IpAddr]) -> bool {
        if !self.asked.contains(name) {
            return false;
        }
        let mut used: Vec<IpAddr> = Vec::new();
        for address in addresses {
            let same = |other: &&IpAddr| other.is_ipv4() == address.is_ipv4();
            let is_good = !address.is_unspecified() && !address.is_multicast();
            if is_good
                && !used.contains(address)
                && used.iter().filter(same).count() < MOST_ADDRESSES
            {
                used.push(*address);
            }
        }
        let mut changed = false;
        for server in &mut self.servers {
            if !matches!(server.url.host(), IceHost::Name(other) if other == name) {
                continue;
            }
            // A resolver that fails once does not take away what it said before.
            server.unresolved = used.is_empty() && server.addresses.is_empty();
            if server.unresolved {
                self.again = Some(now.plus(AGAIN));
            } else if !used.is_empty() {
                let with_port = |ip: &IpAddr| SocketAddr::new(*ip, server.url.port());
                let new: Vec<_> = used.iter().map(with_port).collect();
                changed |= new != server.addresses;
                server.addresses = new;
            }
        }
        changed
    }

    /// Asks again for names that have no address.
    pub(super) fn handle_timeout(&mut self, now: Timestamp, news: &mut News) {
        if self.again.is_none_or(|again| again > now) {
            return;
        }
        self.again = None;
        for server in &self.servers {
            if let (true, IceHost::Name(name)) = (server.unresolved, server.url.host()) {
                self.asked.remove(name);
            }
        }
        self.resolve(false, news);
    }

    pub(super) const fn poll_timeout(&self) -> Option<Timestamp> {
        self.again
    }

    /// Nothing is asked any more; the next start asks for every name anew.
    pub(super) fn stop(&mut self) {
        self.asked.clear();
        self.again = None;
    }
}
