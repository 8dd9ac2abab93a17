//! An address that one URL's server lends: the ways to that server, and what became of each.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::News;
use super::hosts::HostAddress;
use crate::ice::{IceHost, IceTransport, IceUrl};
use crate::native::io::{StreamCommand, StreamId, Transmit};
use crate::native::turn::{Credentials, Family, Transport, Turn, TurnEvent, TurnFailure};
use crate::report::{ServerResult, StreamFailure};
use crate::rng::Rng;
use crate::time::Timestamp;

/// When a server that gave us nothing is asked again: after a second, two, four and so on, and then so
/// often.
const AGAIN: Duration = Duration::from_secs(30);

/// And not sooner than this, however dearly a link needs it.
const SOON: Duration = Duration::from_secs(1);

/// An allocation that is lost is made anew at once, unless it was young: then after this.
const PAUSE: Duration = Duration::from_secs(2);

/// An address to be had from one URL.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) url: IceUrl,
    pub(super) family: Family,
    credentials: Credentials,
    pub(super) tries: Vec<Try>,
    /// How many ways were begun since the last success.
    pub(super) begun: usize,
    /// When the next way is tried as well, or all of them again.
    pub(super) next: Option<Timestamp>,
    /// How often in a row all ways came to nothing, and when the last time was.
    failures: u8,
    failed: Timestamp,
    /// The server was silent to one of our sockets: the next time another port may fare better, as where
    /// a NAT box has got this one's way wrong.
    pub(super) elsewhere: bool,
    pub(super) result: ServerResult,
}

/// One way to a server.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) way: Way,
    pub(super) since: Timestamp,
    /// A socket always is; all else has to be opened.
    pub(super) open: bool,
    pub(super) turn: Turn,
    /// Our address as the server sees it.
    pub(super) mapped: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// One of our sockets.
    Socket(SocketAddr),
    /// A socket for this alone, on the address of one of ours.
    Port {
        stream: StreamId,
        beside: SocketAddr,
    },
    Stream(StreamId),
}

impl Way {
    /// The socket of ours that it is, or is beside.
    pub(super) const fn socket(self) -> Option<SocketAddr> {
        match self {
            Self::Socket(socket) | Self::Port { beside: socket, .. } => Some(socket),
            Self::Stream(_) => None,
        }
    }

    /// What the driver has opened for it.
    pub(super) const fn stream(self) -> Option<StreamId> {
        match self {
            Self::Socket(_) => None,
            Self::Port { stream, .. } | Self::Stream(stream) => Some(stream),
        }
    }

    /// The same way once more, from another port of ours.
    fn anew(self, streams: &mut u64) -> Self {
        let stream = next_stream(streams);
        match self.socket() {
            Some(beside) => Self::Port { stream, beside },
            None => Self::Stream(stream),
        }
    }
}

/// Who gives up a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Driver,
    Us,
}

pub(super) fn next_stream(streams: &mut u64) -> StreamId {
    *streams = streams.saturating_add(1);
    StreamId(*streams)
}

impl Relay {
    pub(super) const fn new(url: IceUrl, family: Family, credentials: Credentials) -> Self {
        Self {
            url,
            family,
            credentials,
            tries: Vec::new(),
            begun: 0,
            next: None,
            failures: 0,
            failed: Timestamp::ZERO,
            elsewhere: false,
            result: ServerResult::Pending,
        }
    }

    pub(super) fn stands(&self) -> bool {
        self.tries.iter().any(Try::stands)
    }

    pub(super) fn set_credentials(&mut self, now: Timestamp, credentials: &Credentials) {
        if self.credentials == *credentials {
            return;
        }
        self.credentials = credentials.clone();
        for one in &mut self.tries {
            one.turn.set_credentials(now, credentials.clone());
        }
        self.hope();
    }

    /// Nothing has worked so far: later again.
    pub(super) fn postpone(&mut self, now: Timestamp) {
        let pause = Duration::from_secs(1 << self.failures.min(5)).min(AGAIN);
        self.failures = self.failures.saturating_add(1);
        self.failed = now;
        self.next = Some(now.plus(pause));
    }

    /// Something is different now: whoever was given up may be had.
    pub(super) fn hope(&mut self) {
        self.failures = 0;
        if self.tries.is_empty() {
            self.next = None;
        }
    }

    /// A link is to be made, which may need it.
    pub(super) fn hurry(&mut self) {
        if self.tries.is_empty() && self.failures > 0 {
            let soon = self.failed.plus(SOON);
            self.next = self.next.map(|next| next.min(soon));
        }
    }

    pub(super) fn begin(
        &mut self,
        now: Timestamp,
        rng: Rng,
        (server, way): (SocketAddr, Way),
        peers: &BTreeSet<SocketAddr>,
        news: &mut News,
    ) {
        let transport = match way {
            Way::Socket(_) | Way::Port { .. } => Transport::Datagram,
            Way::Stream(_) => Transport::Stream,
        };
        let credentials = self.credentials.clone();
        let mut turn = Turn::new(now, rng, (server, transport), credentials, self.family);
        for peer in peers {
            turn.permit(now, *peer);
        }
        let mut one = Try {
            way,
            since: now,
            open: false,
            turn,
            mapped: None,
        };
        one.begin(&self.url, news);
        self.tries.push(one);
    }

    /// Calls every try, and does what follows from what comes out. A call may say that a try's stream
    /// is no more.
    pub(super) fn each(
        &mut self,
        now: Timestamp,
        streams: &mut u64,
        news: &mut News,
        mut call: impl FnMut(&mut Try) -> Option<(StreamFailure, By)>,
    ) {
        let mut kept = Vec::new();
        let mut over = None;
        for mut one in core::mem::take(&mut self.tries) {
            let stood = one.stands();
            let stream = call(&mut one);
            if stream.is_none() {
                one.transmit(news);
            }
            let goes_on = self.events(now, streams, &mut one, news);
            match stream {
                Some((failure, by)) => {
                    match one.way {
                        Way::Stream(_) => self.tell(ServerResult::StreamFailed(failure), news),
                        // What became of the socket says more of the server.
                        Way::Socket(_) | Way::Port { .. } => self.elsewhere = false,
                    }
                    if by == By::Us {
                        one.close(news);
                    }
                }
                None if goes_on => {
                    kept.push(one);
                    continue;
                }
                None => one.close(news),
            }
            over = Some((stood, now.since(one.since)));
        }
        self.tries = kept;
        // The first that stands is enough.
        if self.stands() {
            self.next = None;
            self.begun = 0;
            self.failures = 0;
            if self.tries.len() > 1 {
                let (first, rest): (Vec<Try>, Vec<Try>) = core::mem::take(&mut self.tries)
                    .into_iter()
                    .partition(Try::stands);
                let mut first = first.into_iter();
                self.tries.extend(first.next());
                for mut one in first.chain(rest) {
                    one.give_up(now, news);
                }
            }
        } else if let Some((stood, lived)) = over {
            if stood && lived >= PAUSE {
                self.next = Some(now);
            } else if stood {
                self.next = Some(now.plus(PAUSE));
            } else if self.next.is_some() {
                // There is another way to try: now.
                self.next = Some(now);
            } else if self.tries.is_empty() {
                self.postpone(now);
            }
        }
    }

    /// Takes what a try has to say. `false`: it is over.
    fn events(
        &mut self,
        now: Timestamp,
        streams: &mut u64,
        one: &mut Try,
        news: &mut News,
    ) -> bool {
        let mut goes_on = true;
        while let Some(event) = one.turn.poll_event() {
            match event {
                TurnEvent::Allocated {
                    relayed, mapped, ..
                } => {
                    one.mapped = Some(mapped);
                    let result = ServerResult::Answered {
                        mapped,
                        relayed: Some(relayed),
                        after: now.since(one.since),
                    };
                    one.since = now;
                    self.tell(result, news);
                }
                TurnEvent::Redirected { to } => {
                    one.close(news);
                    one.turn = one.turn.follow(now, to);
                    if one.way.stream().is_some() {
                        one.way = one.way.anew(streams);
                        one.since = now;
                    }
                    one.begin(&self.url, news);
                }
                TurnEvent::Occupied => {
                    tracing::debug!("the TURN server is asked from another port");
                    self.tell(result_of(TurnFailure::Mismatch), news);
                    one.close(news);
                    one.turn = one.turn.follow(now, one.turn.server());
                    one.way = one.way.anew(streams);
                    one.since = now;
                    one.begin(&self.url, news);
                }
                TurnEvent::Failed(failure) => {
                    self.tell(result_of(failure), news);
                    self.elsewhere = one.may_fare_better(failure);
                    goes_on = false;
                }
                TurnEvent::Lost(failure) => {
                    tracing::debug!(%failure, "allocation lost");
                    self.tell(result_of(failure), news);
                    self.elsewhere = one.may_fare_better(failure);
                    goes_on = false;
                }
                TurnEvent::Released => goes_on = false,
                TurnEvent::CredentialsRefused => {
                    self.tell(ServerResult::Refused(401), news);
                }
                TurnEvent::Denied { peer, failure } => {
                    tracing::debug!(%peer, %failure, "peer not permitted");
                }
                TurnEvent::Data { peer, payload } => {
                    if let Some(relayed) = one.turn.relayed() {
                        news.data.push((relayed, peer, payload));
                    }
                }
            }
        }
        goes_on
    }

    fn tell(&mut self, result: ServerResult, news: &mut News) {
        self.result = result;
        news.reports = true;
    }

    /// What was asked from a socket that is gone, is of no use.
    pub(super) fn lose_sockets(&mut self, now: Timestamp, hosts: &[HostAddress], news: &mut News) {
        let is_there = |one: &Try| {
            let socket = one.way.socket();
            socket.is_none_or(|socket| hosts.iter().any(|host| host.address == socket))
        };
        let (kept, gone): (Vec<Try>, Vec<Try>) = core::mem::take(&mut self.tries)
            .into_iter()
            .partition(is_there);
        self.tries = kept;
        if !gone.is_empty() {
            self.begun = 0;
            self.hope();
        }
        for mut one in gone {
            one.give_up(now, news);
        }
    }

    pub(super) fn give_up(&mut self, now: Timestamp, news: &mut News) {
        for mut one in core::mem::take(&mut self.tries) {
            one.give_up(now, news);
        }
    }
}

impl Try {
    const fn stands(&self) -> bool {
        self.turn.relayed().is_some()
    }

    /// Whether what failed may work from another port.
    fn may_fare_better(&self, failure: TurnFailure) -> bool {
        failure == TurnFailure::Unreachable && matches!(self.way, Way::Socket(_))
    }

    /// Opens what is to be opened, and begins.
    fn begin(&mut self, url: &IceUrl, news: &mut News) {
        let remote = self.turn.server();
        self.open = match self.way {
            Way::Socket(_) => true,
            Way::Port { stream, beside } => {
                let command = StreamCommand::OpenUdp { remote, beside };
                news.streams.push((stream, command));
                false
            }
            Way::Stream(stream) => {
                let tls = (url.transport() == IceTransport::Tls).then(|| server_name(url.host()));
                let command = StreamCommand::Open { remote, tls };
                news.streams.push((stream, command));
                false
            }
        };
        self.transmit(news);
    }

    /// Sends what the machine has to say.
    fn transmit(&mut self, news: &mut News) {
        while let Some(payload) = self.open.then(|| self.turn.poll_transmit()).flatten() {
            match self.way {
                Way::Socket(local) => news.transmits.push(Transmit {
                    local,
                    remote: self.turn.server(),
                    payload,
                }),
                Way::Port { stream, .. } | Way::Stream(stream) => {
                    news.streams.push((stream, StreamCommand::Send(payload)));
                }
            }
        }
    }

    /// Gives the allocation back without waiting for the server's answer.
    fn give_up(&mut self, now: Timestamp, news: &mut News) {
        self.turn.release(now);
        self.transmit(news);
        self.close(news);
    }

    fn close(&self, news: &mut News) {
        if let Some(stream) = self.way.stream() {
            news.streams.push((stream, StreamCommand::Close));
        }
    }
}

/// The name that a certificate has to be for.
fn server_name(host: &IceHost) -> String {
    match host {
        IceHost::Name(name) => name.clone(),
        IceHost::Address(IpAddr::V4(v4)) => v4.to_string(),
        IceHost::Address(IpAddr::V6(v6)) => v6.to_string(),
    }
}

/// How a report puts it.
const fn result_of(failure: TurnFailure) -> ServerResult {
    ServerResult::Refused(match failure {
        TurnFailure::Unreachable => return ServerResult::Silent,
        TurnFailure::Unauthorized => 401,
        TurnFailure::Forbidden => 403,
        TurnFailure::Mismatch | TurnFailure::Forgotten | TurnFailure::Expired => 437,
        TurnFailure::StaleNonce => 438,
        TurnFailure::AddressFamily => 440,
        TurnFailure::TransportUnsupported => 442,
        TurnFailure::PeerFamily => 443,
        TurnFailure::AllocationQuota => 486,
        TurnFailure::InsufficientCapacity => 508,
        TurnFailure::Redirects => 300,
        TurnFailure::Protocol => 400,
        TurnFailure::Server(code) => code,
    })
}
