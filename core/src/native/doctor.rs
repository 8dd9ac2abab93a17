//! [`Doctor`]: asks all servers of one machine, and tells what that means.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::demux::{Kind, classify};
use super::gather::{self, Gather, News};
use super::io::{Input, Interface, Output};
use super::stun;
use crate::config::Config;
use crate::doctor::{Examination, SignalingReport};
use crate::ice::{IcePolicy, IceScheme, IceServer, IceTransport, IceUrl};
use crate::report::{ServerReport, ServerResult, Verdict};
use crate::rng::Rng;
use crate::signaling::{Client, ClientEvent, SignalingFailure};
use crate::time::{Timestamp, earliest};

/// How long an examination takes at most. A server that was asked six times in that time is silent.
const PATIENCE: Duration = Duration::from_secs(9);

/// How long after the last news it is over: sockets of one machine do not all answer at once.
const CALM: Duration = Duration::from_millis(500);

/// An examination of one machine's network: every signaling, STUN and TURN server that is configured is
/// asked, and nobody else.
///
/// It is driven as a [`Node`](super::Node) is, with the same inputs and outputs, and has no network,
/// no code and no other node. It is over after 9 s at the latest;
/// [`examination`](Self::examination) then tells what was found.
#[derive(Debug)]
pub struct Doctor {
    now: Timestamp,
    start: Timestamp,
    client: Client,
    gather: Gather,
    outputs: VecDeque<Output>,
    signaling: Option<SignalingReport>,
    /// Whether the signaling server is still to be heard of.
    waits: bool,
    /// The last failure of its connection.
    failure: Option<SignalingFailure>,
    /// The servers that are configured.
    configured: Vec<IceServer>,
    /// The same TURN servers over the transports that are not.
    others: Vec<IceServer>,
    /// The other addresses of STUN servers, which they name in their answers.
    further: Vec<SocketAddr>,
    addresses: Vec<IpAddr>,
    /// When something was heard last.
    heard: Timestamp,
    examination: Option<Examination>,
}

impl Doctor {
    /// Begins an examination with the servers of this configuration; its signaling server is asked if
    /// `signaling` says so. Tell it the sockets with [`Input::Interfaces`] at once.
    ///
    /// `seed` comes from the system's secure randomness, as for a node.
    #[must_use]
    pub fn new(mut config: Config, seed: [u8; 32], now: Timestamp, signaling: bool) -> Self {
        let rng = Rng::new(seed);
        let mut client = Client::new(
            rng.fork("signaling client"),
            config.limits().signaling_frame,
        );
        let url = config.signaling_url.clone();
        let report = signaling.then(|| SignalingReport {
            url: url.without_query(),
            verdict: Some(Verdict::SignalingSilent),
            after: Duration::ZERO,
            outside: url.is_outside(),
        });
        if signaling {
            let id = client.random_id();
            client.register(now, url, id);
        }
        // The servers are to be seen, whatever a game would use them for.
        config.ice_policy = IcePolicy::All;
        let configured = core::mem::take(&mut config.ice_servers);
        let mut doctor = Self {
            now,
            start: now,
            client,
            gather: Gather::new(&config, rng.fork("gather")),
            outputs: VecDeque::new(),
            signaling: report,
            waits: signaling,
            failure: None,
            others: other_transports(&configured),
            configured,
            further: Vec::new(),
            addresses: Vec::new(),
            heard: now,
            examination: None,
        };
        let asked = doctor.asked();
        doctor.with_gather(|gather, now, news| {
            gather.set_servers(now, &asked, news);
            gather.set_running(now, true, news);
        });
        doctor.settle();
        doctor
    }

    /// Takes in what happened in the world.
    pub fn handle_input(&mut self, now: Timestamp, input: Input<'_>) {
        self.now = self.now.max(now);
        if self.examination.is_some() {
            return;
        }
        match input {
            Input::Signaling(update) => self.client.handle_update(self.now, update),
            Input::Interfaces(interfaces) => self.interfaces(interfaces),
            Input::Datagram {
                local,
                remote,
                payload,
            } => self.datagram(local, gather::plain(remote), payload),
            Input::Resolved { name, addresses } => {
                self.with_gather(|gather, now, news| gather.resolved(now, name, addresses, news));
            }
            Input::Stream { stream, update } => {
                self.with_gather(|gather, now, news| gather.stream(now, stream, update, news));
            }
            Input::Server(_) | Input::NetworkChanged => {}
        }
        self.settle();
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if self.examination.is_some() {
            return;
        }
        self.client.handle_timeout(self.now);
        self.with_gather(|gather, now, news| gather.handle_timeout(now, news));
        self.settle();
    }

    /// The next thing for the driver to do. There are no events among them.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; `None` once it is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.examination.is_some() {
            return None;
        }
        let end = self.start.plus(PATIENCE);
        let calm = self.is_answered().then(|| self.heard.plus(CALM));
        [self.client.poll_timeout(), self.gather.poll_timeout(), calm]
            .into_iter()
            .fold(Some(end), earliest)
    }

    /// What was found, once it is over.
    #[must_use]
    pub const fn examination(&self) -> Option<&Examination> {
        self.examination.as_ref()
    }

    /// All servers that are asked: the configured ones first.
    fn asked(&self) -> Vec<IceServer> {
        let further = self.further.iter();
        let further = further.filter_map(|address| {
            let url = alloc::format!("stun:{address}");
            IceServer::stun(&url).ok()
        });
        let known = self.configured.iter().chain(&self.others).cloned();
        known.chain(further).collect()
    }

    fn interfaces(&mut self, interfaces: &[Interface]) {
        self.addresses.clear();
        for interface in interfaces {
            let ip = interface.address.ip();
            if !self.addresses.contains(&ip) {
                self.addresses.push(ip);
            }
        }
        self.with_gather(|gather, now, news| gather.interfaces(now, interfaces, news));
    }

    fn datagram(&mut self, local: SocketAddr, remote: SocketAddr, payload: &[u8]) {
        let Some(local) = self.gather.by_given(local) else {
            return;
        };
        let at = (local, remote);
        if self.gather.is_of_relay(at)
            && self.with_gather(|gather, now, news| gather.relay_says(now, at, payload, news))
        {
            return;
        }
        if let Kind::Response { transaction } = classify(payload)
            && self.gather.expects(at, &transaction)
            && self.with_gather(|gather, now, news| gather.answer(now, at, payload, news))
            && let Some(other) = stun::other_address(payload)
        {
            self.further(other);
        }
    }

    /// A server that has another address is a second one, for what NATs do with ports: RFC 5780,
    /// section 4.3.
    fn further(&mut self, other: SocketAddr) {
        let is_new = self.further.is_empty() && gather::is_usable(other, true);
        if is_new {
            self.further.push(other);
            let asked = self.asked();
            self.with_gather(|gather, now, news| gather.set_servers(now, &asked, news));
        }
    }

    fn with_gather<T>(&mut self, call: impl FnOnce(&mut Gather, Timestamp, &mut News) -> T) -> T {
        let mut news = News::default();
        let answer = call(&mut self.gather, self.now, &mut news);
        if news.reports || !news.added.is_empty() || !news.removed.is_empty() {
            self.heard = self.now;
        }
        for name in news.resolves {
            self.outputs.push_back(Output::Resolve { name });
        }
        for (stream, command) in news.streams {
            let command = self.gather.command(command);
            self.outputs.push_back(Output::Stream { stream, command });
        }
        for mut transmit in news.transmits {
            if let Some(given) = self.gather.given(transmit.local) {
                transmit.local = given;
                self.outputs.push_back(Output::Transmit(transmit));
            }
        }
        answer
    }

    fn settle(&mut self) {
        while let Some(event) = self.client.poll_event() {
            self.client_said(event);
        }
        while let Some(command) = self.client.poll_command() {
            self.outputs.push_back(Output::Signaling(command));
        }
        let calm = self.is_answered() && self.heard.plus(CALM) <= self.now;
        if calm || self.start.plus(PATIENCE) <= self.now {
            self.finish();
        }
    }

    fn client_said(&mut self, event: ClientEvent) {
        let verdict = match event {
            ClientEvent::Registered { .. } => None,
            ClientEvent::IdTaken => Some(Verdict::SignalingRefused(
                crate::error::ServerRefusal::IdTaken,
            )),
            ClientEvent::Refused(refusal) => Some(Verdict::SignalingRefused(refusal)),
            ClientEvent::Unreachable(failure) => Some(unreachable(failure)),
            ClientEvent::Lost(failure) => {
                self.failure = Some(failure);
                return;
            }
            ClientEvent::Connecting { .. } | ClientEvent::Relayed(_) | ClientEvent::Dropped => {
                return;
            }
        };
        if let Some(report) = self.signaling.as_mut().filter(|_| self.waits) {
            report.verdict = verdict;
            report.after = self.now.since(self.start);
            self.waits = false;
            self.heard = self.now;
            self.client.close();
        }
    }

    /// Whether nothing is waited for any more.
    fn is_answered(&self) -> bool {
        let pending = |report: &ServerReport| report.result == ServerResult::Pending;
        !self.waits && !self.gather.reports().iter().any(pending)
    }

    fn finish(&mut self) {
        if let Some(report) = self.signaling.as_mut().filter(|_| self.waits) {
            report.verdict = Some(self.failure.map_or(Verdict::SignalingSilent, unreachable));
            report.after = self.now.since(self.start);
        }
        self.client.close();
        while let Some(command) = self.client.poll_command() {
            self.outputs.push_back(Output::Signaling(command));
        }
        let mut reports = self.gather.reports();
        for report in &mut reports {
            if report.result == ServerResult::Pending {
                report.result = ServerResult::Silent;
            }
        }
        let of = |servers: &[IceServer]| -> Vec<ServerReport> {
            let urls: Vec<String> = urls(servers).map(ToString::to_string).collect();
            let reports = reports.iter().filter(|one| urls.contains(&one.url));
            reports.cloned().collect()
        };
        let (servers, others) = (of(&self.configured), of(&self.others));
        let mut mapped = Vec::new();
        for seen in self.gather.observations() {
            if !mapped.contains(&seen.mapped) {
                mapped.push(seen.mapped);
            }
        }
        self.examination = Some(Examination {
            signaling: self.signaling.take(),
            servers,
            others,
            addresses: core::mem::take(&mut self.addresses),
            mapped,
            mapping: self.gather.mapping(),
            took: self.now.since(self.start),
        });
        self.with_gather(|gather, now, news| gather.set_running(now, false, news));
    }
}

fn urls(servers: &[IceServer]) -> impl Iterator<Item = &IceUrl> {
    servers.iter().flat_map(IceServer::urls)
}

/// A TURN server listens on UDP and on TCP, at the same port, unless somebody has forbidden one.
fn other_transports(configured: &[IceServer]) -> Vec<IceServer> {
    let mut others = Vec::new();
    for server in configured {
        let credentials = server.username().zip(server.credential());
        for url in server.urls() {
            let transport = match (url.scheme(), url.transport()) {
                (IceScheme::Turn, IceTransport::Udp) => IceTransport::Tcp,
                (IceScheme::Turn, IceTransport::Tcp) => IceTransport::Udp,
                _ => continue,
            };
            let (host, port, name) = (url.host(), url.port(), transport.name());
            let other = alloc::format!("turn:{host}:{port}?transport={name}");
            if let Ok(other) = other.parse::<IceUrl>()
                && !urls(configured).any(|known| *known == other)
                && let Ok(other) = IceServer::new(alloc::vec![other], credentials)
            {
                others.push(other);
            }
        }
    }
    others
}

const fn unreachable(failure: SignalingFailure) -> Verdict {
    if matches!(failure, SignalingFailure::TimedOut) {
        Verdict::SignalingSilent
    } else {
        Verdict::SignalingUnreachable(failure)
    }
}
