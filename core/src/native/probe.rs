//! Signs of life on the selected pair: our own Binding requests, as RFC 7675 uses them.
//!
//! They are not str0m's checks, because SCTP's back-off silences even the unreliable channel and
//! str0m's own checks come every three seconds, without telling anybody how long they took.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::credentials::Credentials;
use super::stun::{self, Role, Transaction};
use crate::rng::Rng;
use crate::time::Timestamp;

/// How many probes may be unanswered: at four a second, an answer may take eight seconds.
const OUTSTANDING: usize = 32;

/// The probes of one link that wait for their answers.
#[derive(Debug)]
pub(super) struct Probes {
    rng: Rng,
    outstanding: VecDeque<(Transaction, Timestamp)>,
}

impl Probes {
    pub(super) const fn new(rng: Rng) -> Self {
        Self {
            rng,
            outstanding: VecDeque::new(),
        }
    }

    /// Makes a request, to be sent on the selected pair now.
    pub(super) fn request(
        &mut self,
        now: Timestamp,
        local: &Credentials,
        remote: &Credentials,
        priority: u32,
        role: Role,
    ) -> Option<(Transaction, Vec<u8>)> {
        let transaction = self.rng.bytes();
        let username = stun::username(&remote.ufrag, &local.ufrag);
        let request =
            stun::binding_request(transaction, &username, &remote.password, priority, role)?;
        if self.outstanding.len() == OUTSTANDING {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back((transaction, now));
        Some((transaction, request))
    }

    /// Makes a request whose answer is not waited for.
    pub(super) fn stray(
        &mut self,
        local: &Credentials,
        remote: &Credentials,
        priority: u32,
        role: Role,
    ) -> Option<Vec<u8>> {
        let username = stun::username(&remote.ufrag, &local.ufrag);
        stun::binding_request(
            self.rng.bytes(),
            &username,
            &remote.password,
            priority,
            role,
        )
    }

    /// How many were sent since the last answer (or are on their way).
    pub(super) fn unanswered(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether a response answers one of these.
    pub(super) fn expects(&self, transaction: &Transaction) -> bool {
        self.outstanding.iter().any(|(ours, _)| ours == transaction)
    }

    /// Takes a response in; gives the round trip if it is authentic. An error response is as good
    /// a sign of life as a success.
    pub(super) fn response(
        &mut self,
        now: Timestamp,
        transaction: &Transaction,
        datagram: &[u8],
        remote: &Credentials,
    ) -> Option<Duration> {
        let place = self
            .outstanding
            .iter()
            .position(|(ours, _)| ours == transaction)?;
        if !stun::is_authentic(datagram, &remote.password) {
            return None;
        }
        let (_, sent) = *self.outstanding.get(place)?;
        // Older ones are given up, so that what is left tells how long there was silence.
        self.outstanding.drain(..=place);
        Some(now.since(sent))
    }
}
