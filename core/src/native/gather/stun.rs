//! Which address the world sees: STUN servers asked from the sockets that the links use.
//!
//! Every socket asks every server, all at once, and each answer counts as soon as it comes. Of those
//! that saw the same address the first one is asked again and again, which keeps the NAT's binding
//! alive; the others have done their duty.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::News;
use super::hosts::{self, HostAddress};
use crate::native::io::Transmit;
use crate::native::stun::{self, Answer, Transaction};
use crate::report::{Observation, ServerResult};
use crate::rng::Rng;
use crate::time::{Timestamp, earliest};

/// RFC 8489 section 6.2.1: the first retransmission. It says 500 ms where nothing is known of the
/// path; libwebrtc and we take half, for a request is 28 bytes, and the pause doubles.
const RTO: Duration = Duration::from_millis(250);

/// How often a request is sent: Rc of RFC 8489.
const SENDS: u32 = 7;

/// How long the answer to the last one may take, in RTOs: Rm of RFC 8489. With the pauses before it
/// a silent server is given up after 19.75 s.
const LAST: u32 = 16;

/// How often a binding is kept alive: Tr of RFC 8445 section 11. The shortest that NATs are allowed
/// to forget after is 2 minutes (RFC 4787), the shortest that is seen 30 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// When a server that did not answer, or with an error, is asked again.
const AGAIN: Duration = Duration::from_secs(60);

/// So many requests leave at once, each further one after a pause (RFC 8445 appendix B.1: 5 ms at
/// the least).
const BURST: u32 = 8;
const PACE: Duration = Duration::from_millis(5);

/// How many socket and server pairs there may be; more are not asked.
const MOST: usize = 256;

/// A socket of ours and a server.
type Ends = (SocketAddr, SocketAddr);

/// One socket's dealings with one server.
#[derive(Debug)]
struct Binding {
    asked: Option<Asked>,
    mapped: Option<SocketAddr>,
    /// It was the first to see that address, and keeps it alive.
    keeps: bool,
    /// When it is asked again.
    next: Option<Timestamp>,
    result: ServerResult,
}

/// A request under way.
#[derive(Debug)]
struct Asked {
    transaction: Transaction,
    sends: u32,
    /// When it was sent first.
    since: Timestamp,
    /// When it is sent again, or given up.
    due: Timestamp,
    pause: Duration,
}

/// All bindings.
#[derive(Debug)]
pub(super) struct Bindings {
    rng: Rng,
    bindings: BTreeMap<Ends, Binding>,
}

impl Bindings {
    pub(super) const fn new(rng: Rng) -> Self {
        Self {
            rng,
            bindings: BTreeMap::new(),
        }
    }

    /// Which sockets and servers there are now. What is new is asked at once, what is gone
    /// forgotten; with `again` also those who have answered.
    pub(super) fn update(
        &mut self,
        now: Timestamp,
        hosts: &[HostAddress],
        servers: &[SocketAddr],
        again: bool,
    ) {
        let mut wanted = BTreeSet::new();
        let mut order = Vec::new();
        for host in hosts {
            for server in servers {
                let ends = (host.address, *server);
                if host.leads_to(*server) && wanted.len() < MOST && wanted.insert(ends) {
                    order.push(ends);
                }
            }
        }
        self.bindings.retain(|ends, _| wanted.contains(ends));
        let mut count: u32 = 0;
        for ends in order {
            let is_new = !self.bindings.contains_key(&ends);
            let binding = self.bindings.entry(ends).or_insert(Binding {
                asked: None,
                mapped: None,
                keeps: false,
                next: None,
                result: ServerResult::Pending,
            });
            if is_new || again {
                let paced = PACE * count.saturating_sub(BURST.saturating_sub(1));
                count = count.saturating_add(1);
                binding.ask(now.plus(paced), &mut self.rng);
            }
        }
    }

    /// Sends what is due, and gives up what is over.
    pub(super) fn handle_timeout(&mut self, now: Timestamp, news: &mut News) {
        let due: Vec<Ends> = self
            .bindings
            .iter()
            .filter(|(_, binding)| binding.due().is_some_and(|due| due <= now))
            .map(|(ends, _)| *ends)
            .collect();
        for ends in due {
            let Some(binding) = self.bindings.get_mut(&ends) else {
                continue;
            };
            if binding.next.is_some_and(|next| next <= now) {
                binding.ask(now, &mut self.rng);
            }
            match &mut binding.asked {
                Some(asked) if asked.due > now => {}
                Some(asked) if asked.sends < SENDS => asked.send(now, ends, news),
                Some(_) => {
                    binding.fail(now, ServerResult::Silent);
                    news.reports = true;
                    self.hand_over(now, ends.0, RTO);
                }
                None => {}
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let due = self.bindings.values().map(Binding::due);
        due.fold(None, earliest)
    }

    /// Whether a response answers a request that went from this socket to that server.
    pub(super) fn expects(&self, ends: Ends, transaction: &Transaction) -> bool {
        let asked = self.bindings.get(&ends).map(|binding| &binding.asked);
        matches!(asked, Some(Some(asked)) if asked.transaction == *transaction)
    }

    /// Takes the answer to a request in. `false`: it is of no use, and whatever it is, it does not
    /// end the wait for a better one.
    pub(super) fn answer(
        &mut self,
        now: Timestamp,
        ends: Ends,
        datagram: &[u8],
        loopback: bool,
    ) -> bool {
        let Some(binding) = self.bindings.get_mut(&ends) else {
            return false;
        };
        let Some(asked) = &binding.asked else {
            return false;
        };
        match stun::read_answer(datagram) {
            Some(Answer::Mapped(mapped))
                if mapped.is_ipv4() == ends.0.is_ipv4() && hosts::is_usable(mapped, loopback) =>
            {
                binding.result = ServerResult::Answered {
                    mapped,
                    relayed: None,
                    after: now.since(asked.since),
                };
                binding.asked = None;
                binding.mapped = Some(mapped);
                binding.keeps = false;
                binding.next = None;
                self.hand_over(now, ends.0, KEEP_ALIVE);
                true
            }
            Some(Answer::Error(code)) => {
                binding.fail(now, ServerResult::Refused(code));
                self.hand_over(now, ends.0, RTO);
                true
            }
            Some(Answer::Mapped(_)) | None => false,
        }
    }

    /// Every address that servers see a socket at has one of them to keep it alive. One that takes
    /// over is asked after this pause.
    fn hand_over(&mut self, now: Timestamp, local: SocketAddr, pause: Duration) {
        let kept = self.of_socket(local).filter(|(_, binding)| binding.keeps);
        let mut kept: BTreeSet<SocketAddr> =
            kept.filter_map(|(_, binding)| binding.mapped).collect();
        for (_, binding) in self.bindings.range_mut(range(local)) {
            if let (Some(mapped), None) = (binding.mapped, &binding.asked)
                && kept.insert(mapped)
            {
                binding.keeps = true;
                binding.next = Some(now.plus(pause));
            }
        }
    }

    fn of_socket(&self, local: SocketAddr) -> impl Iterator<Item = (&Ends, &Binding)> {
        self.bindings.range(range(local))
    }

    /// The addresses that a socket is seen at, each once.
    pub(super) fn mapped(&self, local: SocketAddr) -> Vec<SocketAddr> {
        let mut mapped = Vec::new();
        for address in self.of_socket(local).filter_map(|(_, b)| b.mapped) {
            if !mapped.contains(&address) {
                mapped.push(address);
            }
        }
        mapped
    }

    /// What was seen by which server.
    pub(super) fn observations(&self) -> Vec<Observation> {
        let seen = self.bindings.iter().filter_map(|(ends, binding)| {
            Some(Observation {
                local: ends.0,
                server: ends.1,
                mapped: binding.mapped?,
            })
        });
        seen.collect()
    }

    /// What became of asking a server.
    pub(super) fn results(&self, server: SocketAddr) -> impl Iterator<Item = ServerResult> {
        let of_server = self
            .bindings
            .iter()
            .filter(move |(ends, _)| ends.1 == server);
        of_server.map(|(_, binding)| binding.result)
    }
}

/// All keys of a socket.
fn range(local: SocketAddr) -> impl core::ops::RangeBounds<Ends> {
    let from = SocketAddr::from(([0, 0, 0, 0], 0));
    let to = SocketAddr::from(([0xffff; 8], u16::MAX));
    (local, from)..=(local, to)
}

impl Binding {
    fn ask(&mut self, at: Timestamp, rng: &mut Rng) {
        self.next = None;
        self.asked = Some(Asked {
            transaction: rng.bytes(),
            sends: 0,
            since: at,
            due: at,
            pause: RTO,
        });
    }

    fn due(&self) -> Option<Timestamp> {
        let asked = self.asked.as_ref().map(|asked| asked.due);
        earliest(asked, self.next)
    }

    fn fail(&mut self, now: Timestamp, result: ServerResult) {
        self.asked = None;
        self.mapped = None;
        self.keeps = false;
        self.next = Some(now.plus(AGAIN));
        self.result = result;
    }
}

impl Asked {
    fn send(&mut self, now: Timestamp, (local, remote): Ends, news: &mut News) {
        if self.sends == 0 {
            self.since = now;
        }
        self.sends = self.sends.saturating_add(1);
        let pause = if self.sends == SENDS {
            RTO * LAST
        } else {
            self.pause
        };
        self.due = now.plus(pause);
        self.pause = self.pause.saturating_mul(2);
        if let Some(payload) = stun::question(self.transaction) {
            news.transmits.push(Transmit {
                local,
                remote,
                payload: payload.into(),
            });
        }
    }
}
