//! Which pair of addresses a link uses, whether that still works, and what else there may be.
//!
//! str0m selects pairs; [`Detour`](super::detour::Detour) and [`Shortcut`](super::shortcut::Shortcut) say when
//! its choice is in doubt, or could be better. Here is what is asked and heard on the pairs.

use core::net::SocketAddr;
use core::time::Duration;

use super::detour::Ends;
use super::{ADDRESSES, Link, Outbox, PROBE_PRIORITY, candidate};
use crate::event::CandidateKind;
use crate::native::gather::Local;
use crate::native::io::Transmit;
use crate::native::stun::{Role, Transaction};
use crate::time::Timestamp;

/// After so many probes without an answer the remote is looked for elsewhere, too.
const SILENT_PROBES: usize = 2;

/// A pair on which nothing came in for so long may be dead, if a check comes in elsewhere. (On one that works
/// str0m's come every 1.5 s, and their answers: asking in vain now and then costs less than waiting for two.)
const SILENCE: Duration = Duration::from_secs(1);

/// The same if more than a check comes in elsewhere: the remote does not use that pair any more.
const LEFT: Duration = Duration::from_millis(250);

impl Link {
    /// Whether it goes through this address, which is borrowed. (Of one of our own it would come back by
    /// itself: the remote hears of the next one by our checks.)
    pub(in crate::native) fn needs(&self, local: Local) -> bool {
        match local {
            Local::Relayed(relayed) => {
                self.secured && self.used().is_some_and(|(from, _)| from == relayed.address)
            }
            Local::Host(_) | Local::Reflexive(_) => false,
        }
    }

    /// Asks for a sign of life on the pair that is used; nothing happens before there is one.
    ///
    /// When that stays silent, also where the remote was last heard: it may have moved.
    pub(in crate::native) fn probe(&mut self, now: Timestamp, out: &mut Outbox) {
        let Some(used) = self.used() else {
            return;
        };
        if self.probes.unanswered() >= SILENT_PROBES {
            self.detour.doubt(now);
        }
        if !self.probe_both(now, out) {
            self.request(now, used, out);
        }
    }

    /// The pair that DTLS takes.
    pub(super) fn used(&self) -> Option<Ends> {
        self.path.map(|path| self.detour.instead_of(path))
    }

    /// Where the remote was last heard, if that is another pair than the one that is used.
    pub(super) fn elsewhere(&self) -> Option<Ends> {
        let used = self.used()?;
        self.heard_at.filter(|at| *at != used)
    }

    /// While the pair that is used is in doubt: asks there, and then where the remote was last heard.
    /// `false`: not now.
    pub(super) fn probe_both(&mut self, now: Timestamp, out: &mut Outbox) -> bool {
        let (Some(used), Some(ends)) = (self.used(), self.elsewhere()) else {
            return false;
        };
        if !self.detour.take_turn(now) {
            return false;
        }
        self.request(now, used, out);
        if let Some(transaction) = self.request(now, ends, out) {
            self.detour.tried(transaction, ends);
        }
        true
    }

    /// Something authentic came in there.
    pub(super) fn hear(&mut self, now: Timestamp, at: Ends) {
        if self.used() == Some(at) {
            self.used_heard = now;
            self.detour.trust();
        }
    }

    /// Data came in there.
    pub(super) fn hear_data(&mut self, now: Timestamp, at: Ends, out: &mut Outbox) {
        self.hear(now, at);
        if self.found && self.used() != Some(at) && now.since(self.used_heard) >= LEFT {
            self.heard_at = Some(at);
            self.detour.doubt(now);
            self.probe_both(now, out);
        }
    }

    /// A check came in there: if that is news, the remote may have moved, and the pair that is used may
    /// be dead.
    pub(super) fn hear_check(&mut self, now: Timestamp, at: Ends, out: &mut Outbox) {
        self.heard_at = Some(at);
        self.path = self.path.or(self.heard_at);
        self.hear(now, at);
        let is_new = self.heard_on.len() < ADDRESSES && self.heard_on.insert(at);
        let is_silent = now.since(self.used_heard) >= SILENCE;
        // Before there is a path str0m looks for the best one.
        if self.found {
            if is_new || is_silent {
                self.detour.doubt(now);
            }
            self.probe_both(now, out);
        }
    }

    /// Whether this is an address of ours, still.
    pub(super) fn has_local(&self, address: SocketAddr) -> bool {
        let mut own = self
            .locals
            .iter()
            .filter_map(|local| candidate::own(*local));
        own.any(|candidate| candidate.addr() == address)
    }

    fn request(&mut self, now: Timestamp, ends: Ends, out: &mut Outbox) -> Option<Transaction> {
        let remote = self.remote.as_ref().filter(|_| !self.ended)?;
        let role = self.role.unwrap_or(Role::Controlled(0));
        let (transaction, request) =
            self.probes
                .request(now, &self.local, remote, PROBE_PRIORITY, role)?;
        out.transmits.push(Transmit {
            local: ends.0,
            remote: ends.1,
            payload: request.into(),
        });
        Some(transaction)
    }

    /// Whether it goes through a TURN server, the remote's or ours.
    pub(in crate::native) fn is_by_relay(&self) -> bool {
        let Some((local, remote)) = self.used().filter(|_| self.secured && !self.ended) else {
            return false;
        };
        candidate::kind_of(local, &self.locals) == CandidateKind::Relay
            || self.kinds.get(&remote) == Some(&CandidateKind::Relay)
    }

    /// Sends checks from our sockets to the remote's.
    pub(super) fn knock(&mut self, out: &mut Outbox) {
        let (Some(remote), role) = (&self.remote, self.role.unwrap_or(Role::Controlled(0))) else {
            return;
        };
        for host in &self.locals {
            let Local::Host(host) = host else { continue };
            let kinds = self.kinds.iter();
            let sockets = kinds.filter(|(_, kind)| **kind != CandidateKind::Relay);
            for (address, _) in sockets.filter(|(address, _)| host.leads_to(**address)) {
                let check = self.probes.stray(&self.local, remote, PROBE_PRIORITY, role);
                out.transmits.extend(check.map(|check| Transmit {
                    local: host.address,
                    remote: *address,
                    payload: check.into(),
                }));
            }
        }
    }

    pub(in crate::native) fn expects(&self, transaction: &Transaction) -> bool {
        self.probes.expects(transaction)
    }

    /// The answer to a probe of ours. `false`: it is not authentic.
    pub(in crate::native) fn receive_probed(
        &mut self,
        now: Timestamp,
        transaction: &Transaction,
        datagram: &[u8],
        out: &mut Outbox,
    ) -> bool {
        let Some(remote) = &self.remote else {
            return false;
        };
        let unanswered = self.probes.unanswered();
        let round_trip = self.probes.response(now, transaction, datagram, remote);
        self.news.round_trip = round_trip;
        if let Some(round_trip) = round_trip {
            // Ours on the pair that is used went out before it, and was not answered.
            match (self.detour.answered(transaction), self.path) {
                (Some(ends), Some(path)) if unanswered > 1 => self.detour.take(path, ends),
                (Some(_), _) => {}
                (None, _) => {
                    self.used_heard = now;
                    self.detour.trust();
                }
            }
            self.window.set_round_trip(round_trip);
            self.window.set_heard();
        }
        self.report(out);
        round_trip.is_some()
    }
}
