//! Requests that wait for their answers.

use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use stun_codec::rfc5389::attributes::Realm;

use super::Credentials;
use super::channel_data::Transport;
use super::message::Ask;
use crate::native::stun::Transaction;
use crate::time::Timestamp;

/// How many may wait at a time.
const MOST: usize = 16;

/// The first pause before a request is sent again. RFC 8489 section 6.2.1 has 500 ms where the round
/// trip is not known; a game's server is nearer than that, and a lost first packet delays everything.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// How often a request is sent in a datagram: at 0, 0.25, 0.75, 1.75, 3.75 and 7.75 s.
const SENDS: u8 = 6;

/// How long a request waits for its answer.
pub(super) const PATIENCE: Duration = Duration::from_millis(9750);

/// A request that waits.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) ask: Ask,
    /// What it was signed with, if it was.
    pub(super) signed: Option<(Credentials, Realm)>,
    /// How many before it were answered with a challenge.
    pub(super) round: u8,
    /// When it was sent first.
    pub(super) sent: Timestamp,
    pub(super) transaction: Transaction,
    pub(super) bytes: Bytes,
}

#[derive(Debug)]
struct Waiting {
    request: Request,
    sends: u8,
    /// When it is sent again, or given up.
    next: Timestamp,
}

/// All that wait, oldest first.
#[derive(Debug)]
pub(super) struct Requests {
    transport: Transport,
    waiting: Vec<Waiting>,
}

/// What became of a request with time.
#[derive(Debug)]
pub(super) enum Due {
    /// It is to be sent again.
    Again(Bytes),
    /// It has not been answered.
    Silence(Request),
}

impl Requests {
    pub(super) const fn new(transport: Transport) -> Self {
        Self {
            transport,
            waiting: Vec::new(),
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.waiting.len() >= MOST
    }

    /// How many of this kind wait.
    pub(super) fn count(&self, kind: impl Fn(&Ask) -> bool) -> usize {
        let asks = self.waiting.iter().map(|it| &it.request.ask);
        asks.filter(|ask| kind(ask)).count()
    }

    /// Adds what has just been sent.
    pub(super) fn add(&mut self, request: Request) {
        let pause = match self.transport {
            Transport::Datagram => FIRST_PAUSE,
            // What carries it sends it again.
            Transport::Stream => PATIENCE,
        };
        self.waiting.push(Waiting {
            next: request.sent.plus(pause),
            sends: 1,
            request,
        });
    }

    /// The one that this transaction names.
    pub(super) fn get(&self, transaction: &Transaction) -> Option<&Request> {
        let mut requests = self.waiting.iter().map(|it| &it.request);
        requests.find(|it| it.transaction == *transaction)
    }

    /// The same, which then waits no longer.
    pub(super) fn take(&mut self, transaction: &Transaction) -> Option<Request> {
        let mut waiting = self.waiting.iter();
        let place = waiting.position(|it| it.request.transaction == *transaction)?;
        Some(self.waiting.remove(place).request)
    }

    /// Gives up all.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|it| it.next).min()
    }

    /// The next thing that time has brought.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Due> {
        let place = self.waiting.iter().position(|it| it.next <= now)?;
        let waiting = self.waiting.get_mut(place)?;
        let end = waiting.request.sent.plus(PATIENCE);
        if now >= end {
            return Some(Due::Silence(self.waiting.remove(place).request));
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << waiting.sends);
        waiting.sends = waiting.sends.saturating_add(1);
        waiting.next = if waiting.sends >= SENDS {
            end
        } else {
            now.plus(pause).min(end)
        };
        Some(Due::Again(waiting.request.bytes.clone()))
    }
}
