//! The table of connections: where each comes from, and until when it may be silent.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::net::{IpAddr, Ipv6Addr};

use super::config::ServerConfig;
use super::rate::{Rate, Verdict};
use crate::signaling::io::ConnectionId;
use crate::time::Timestamp;

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    table: BTreeMap<ConnectionId, Connection>,
    /// One for each connection.
    deadlines: BTreeSet<(Timestamp, ConnectionId)>,
    addresses: BTreeMap<IpAddr, Counts>,
    total: Counts,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    deadline: Timestamp,
    rate: Rate,
    /// Nothing before the request.
    registration: Option<Registration>,
}

/// As whom a connection speaks, as long as the id is still registered by this number.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    pub(super) id: String,
    pub(super) number: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Without a request yet.
    pub(super) pending: u32,
    /// WebSockets.
    pub(super) open: u32,
}

impl Counts {
    const fn of(&mut self, registered: bool) -> &mut u32 {
        if registered {
            &mut self.open
        } else {
            &mut self.pending
        }
    }
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Address,
}

impl Connections {
    /// Adds a connection that is not known; without a registration it is one without a request.
    pub(super) fn insert(
        &mut self,
        connection: ConnectionId,
        peer: IpAddr,
        registration: Option<Registration>,
        deadline: Timestamp,
    ) {
        let address = network_of(peer);
        let registered = registration.is_some();
        let here = self.addresses.entry(address).or_default();
        for counts in [here, &mut self.total] {
            let counter = counts.of(registered);
            *counter = counter.saturating_add(1);
        }
        self.deadlines.insert((deadline, connection));
        let known = Connection {
            address,
            deadline,
            rate: Rate::default(),
            registration,
        };
        self.table.insert(connection, known);
    }

    /// Forgets a connection; whether it was known.
    pub(super) fn remove(&mut self, connection: ConnectionId) -> bool {
        let Some(known) = self.table.remove(&connection) else {
            return false;
        };
        self.deadlines.remove(&(known.deadline, connection));
        let registered = known.registration.is_some();
        if let Some(here) = self.addresses.get_mut(&known.address) {
            let counter = here.of(registered);
            *counter = counter.saturating_sub(1);
            if here.open == 0 && here.pending == 0 {
                self.addresses.remove(&known.address);
            }
        }
        let counter = self.total.of(registered);
        *counter = counter.saturating_sub(1);
        true
    }

    /// Moves the end of a connection's patience.
    pub(super) fn set_deadline(&mut self, connection: ConnectionId, deadline: Timestamp) {
        if let Some(known) = self.table.get_mut(&connection) {
            self.deadlines.remove(&(known.deadline, connection));
            known.deadline = deadline;
            self.deadlines.insert((deadline, connection));
        }
    }

    /// One frame came; `None` if the connection is not one that may send frames.
    pub(super) fn admit_frame(
        &mut self,
        connection: ConnectionId,
        now: Timestamp,
        config: &ServerConfig,
    ) -> Option<Verdict> {
        let known = self.table.get_mut(&connection)?;
        known.registration.as_ref()?;
        Some(known.rate.admit(now, config))
    }

    pub(super) fn contains(&self, connection: ConnectionId) -> bool {
        self.table.contains_key(&connection)
    }

    pub(super) fn registration(&self, connection: ConnectionId) -> Option<&Registration> {
        self.table.get(&connection)?.registration.as_ref()
    }

    pub(super) fn first(&self) -> Option<ConnectionId> {
        self.table.keys().next().copied()
    }

    /// The connection whose patience ends first, and when.
    pub(super) fn next_deadline(&self) -> Option<(Timestamp, ConnectionId)> {
        self.deadlines.first().copied()
    }

    pub(super) const fn total(&self) -> Counts {
        self.total
    }

    /// Whether one more WebSocket from `peer` is within the limits, once `without` is gone.
    pub(super) fn room(
        &self,
        peer: IpAddr,
        without: Option<ConnectionId>,
        config: &ServerConfig,
    ) -> Result<(), Full> {
        let leaving = without.and_then(|connection| self.table.get(&connection));
        let from_here = leaving.is_some_and(|known| known.address == network_of(peer));
        let total = self.total.open.saturating_sub(leaving.is_some().into());
        let here = self.counts(peer).open.saturating_sub(from_here.into());
        if total >= config.connections {
            Err(Full::Total)
        } else if here >= config.connections_per_address {
            Err(Full::Address)
        } else {
            Ok(())
        }
    }

    /// Whether one more connection from `peer` may wait for its request.
    pub(super) fn has_room_to_wait(&self, peer: IpAddr, config: &ServerConfig) -> bool {
        self.total.pending < config.pending
            && self.counts(peer).pending < config.pending.div_ceil(4)
    }

    fn counts(&self, peer: IpAddr) -> Counts {
        let address = network_of(peer);
        self.addresses.get(&address).copied().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
            && self.deadlines.is_empty()
            && self.addresses.is_empty()
            && self.total.open == 0
            && self.total.pending == 0
    }
}

/// To whom an address belongs, as far as limits go.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        // A customer gets 64 bits of addresses or more (RFC 6177): one by one they are no limit.
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> 64 << 64)),
    }
}
