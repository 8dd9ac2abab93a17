//! One link: a str0m connection. With `crypto` and `dtls` the only file that names str0m.
//!
//! Every call ends with str0m drained: its documentation asks for it, and its events of several
//! channels come in random order, so they are collected first and reported in a fixed one.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use dimpl::DtlsCertificate;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::config::DtlsVersion;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, CandidateKind, IceCreds, Rtc, RtcConfig, RtcError};
use tracing::{debug, trace};

use super::clock::Clock;
use super::description;
use super::dtls::{self, Window};
use super::gather::{self, HostAddress};
use super::probe::{Credentials, Probes};
use super::stun::{self, Role, Transaction};
use super::{crypto, io::Transmit};
use crate::config::Limits;
use crate::io::{Channel, ChannelMessage, LinkFailure, LinkUpdate};
use crate::rng::{Rng, fnv1a};
use crate::time::{Timestamp, earliest};

/// str0m paces checks by 50 ms, but each early timeout brings one more. Three after every input
/// save that wait (trap 4).
const EAGER: u8 = 3;

/// How often a timeout that is due at once is answered before it is put off.
const SPINS: u8 = 8;
const PUT_OFF: Duration = Duration::from_millis(1);

/// The first retransmission of a check. RFC 8445 section 14.3 says at least 500 ms, libwebrtc takes
/// 250; a check is 100 bytes, and it doubles.
const CHECK_RTO: Duration = Duration::from_millis(100);

/// How far the doubling goes, and how often a path that works is checked by str0m. Its default, 3 s,
/// makes a join at 30 % loss take longer than its deadline now and then.
const CHECK_INTERVAL: Duration = Duration::from_millis(1500);

/// SCTP waits 3 s before it repeats anything, as long as it has not measured a round trip: the first
/// frames of a link would take a third of the deadline if they are lost once. So the first
/// datagrams with data are sent again after 350 ms (an acknowledgement may be delayed by 200),
/// 700 and 1,400, until the remote has sent some. DTLS drops what comes twice.
const ECHO_AFTER: Duration = Duration::from_millis(350);
const ECHOES: u32 = 3;
const ECHOED: usize = 4;

/// Addresses of the remote that we listen to: signalled ones and those that checks came from. The
/// remote could make up any number, and str0m remembers each.
const ADDRESSES: usize = 64;

/// str0m keeps checks that come before the remote's description, at most this many.
const EARLY_CHECKS: u8 = 100;

/// RFC 8445 section 5.1.2.1: peer-reflexive type preference, highest local preference, component 1.
const PROBE_PRIORITY: u32 = 110 << 24 | 0xffff << 8 | 255;

/// RFC 8445 section 5.1.2.2: the type preference of host candidates.
const HOST: u32 = 126;

/// What a link is made of.
pub(super) struct Setup<'a> {
    pub(super) offerer: bool,
    pub(super) clock: Clock,
    pub(super) rng: Rng,
    pub(super) certificate: &'a DtlsCertificate,
    pub(super) limits: &'a Limits,
    pub(super) loopback: bool,
    pub(super) addresses: &'a [HostAddress],
}

/// What came out of a call.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Their `local` is as ICE knows it.
    pub(super) transmits: Vec<Transmit>,
    pub(super) updates: Vec<Update>,
    /// Addresses that this link now has to do with.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) candidates_dropped: u64,
}

/// A [`LinkUpdate`] that owns what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Update {
    LocalDescription(String),
    LocalCandidate(String),
    Connected,
    ChannelOpened(Channel),
    Message { channel: Channel, payload: Bytes },
    BufferedAmount { channel: Channel, bytes: u32 },
    Alive { round_trip: Option<Duration> },
    Disconnected,
    Failed(LinkFailure),
    Closed,
}

impl Update {
    pub(super) fn as_link_update(&self) -> LinkUpdate<'_> {
        match self {
            Self::LocalDescription(sdp) => LinkUpdate::LocalDescription(sdp),
            Self::LocalCandidate(candidate) => LinkUpdate::LocalCandidate(candidate),
            Self::Connected => LinkUpdate::Connected,
            Self::ChannelOpened(channel) => LinkUpdate::ChannelOpened(*channel),
            Self::Message { channel, payload } => LinkUpdate::Message {
                channel: *channel,
                payload: payload.clone(),
            },
            Self::BufferedAmount { channel, bytes } => LinkUpdate::BufferedAmount {
                channel: *channel,
                bytes: *bytes,
            },
            Self::Alive { round_trip } => LinkUpdate::Alive {
                round_trip: *round_trip,
            },
            Self::Disconnected => LinkUpdate::Disconnected,
            Self::Failed(failure) => LinkUpdate::Failed(*failure),
            Self::Closed => LinkUpdate::Closed,
        }
    }

    /// Whether nothing can come after it.
    pub(super) const fn is_last(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Closed)
    }
}

/// A connection to one other node.
pub(super) struct Link {
    rtc: Box<Rtc>,
    window: Arc<Window>,
    clock: Clock,
    limits: Limits,
    loopback: bool,
    local: Credentials,
    /// Set with the remote's description.
    remote: Option<Credentials>,
    pending: Option<SdpPendingOffer>,
    /// Our sockets, in the order in which they are signalled.
    hosts: Vec<HostAddress>,
    /// Our description is out: candidates may follow.
    described: bool,
    /// Candidates that came before the remote's description.
    held: Vec<Candidate>,
    candidates: u8,
    addresses: BTreeSet<SocketAddr>,
    early_checks: u8,
    channels: [Line; 2],
    /// The selected pair, local and remote.
    path: Option<(SocketAddr, SocketAddr)>,
    /// What the last check of ours said.
    role: Option<Role>,
    probes: Probes,
    connected: bool,
    /// DTLS is done: the remote is the one of the fingerprint.
    secured: bool,
    ended: bool,
    due: Option<Timestamp>,
    echo: Echo,
    news: News,
    /// Where the parts of a message come together for str0m.
    scratch: Vec<u8>,
}

/// The first datagrams with data, until it is known that data passes.
#[derive(Debug, Default)]
struct Echo {
    datagrams: Vec<Transmit>,
    due: Option<Timestamp>,
    round: u32,
    over: bool,
}

impl Echo {
    fn sent(&mut self, now: Timestamp, transmit: &Transmit) {
        if self.over || self.datagrams.len() >= ECHOED {
            return;
        }
        self.datagrams.push(transmit.clone());
        self.due.get_or_insert(now.plus(ECHO_AFTER));
    }

    fn heard(&mut self) {
        *self = Self {
            over: true,
            ..Self::default()
        };
    }

    fn handle_timeout(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        out.transmits.extend(self.datagrams.iter().cloned());
        self.round += 1;
        if self.round == ECHOES {
            self.heard();
        } else {
            self.due = Some(now.plus(ECHO_AFTER.saturating_mul(1 << self.round)));
        }
    }
}

/// One channel of a link.
#[derive(Debug)]
struct Line {
    channel: Channel,
    id: Option<ChannelId>,
    open: bool,
    reported: bool,
    /// What str0m does not take yet.
    waiting: VecDeque<ChannelMessage>,
    /// The most that was buffered since the last report.
    peak: usize,
}

impl Line {
    const fn new(channel: Channel) -> Self {
        Self {
            channel,
            id: None,
            open: false,
            reported: false,
            waiting: VecDeque::new(),
            peak: 0,
        }
    }
}

/// What one drain brought, before it is put in order.
#[derive(Debug, Default)]
struct News {
    connected: bool,
    disconnected: bool,
    heard: bool,
    round_trip: Option<Duration>,
    messages: Vec<(Channel, Bytes)>,
    failed: Option<LinkFailure>,
    closed: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("local", &self.local)
            .field("connected", &self.connected)
            .field("secured", &self.secured)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn open(now: Timestamp, setup: Setup<'_>) -> Self {
        let Setup {
            offerer,
            clock,
            mut rng,
            certificate,
            limits,
            loopback,
            addresses,
        } = setup;
        let local = Credentials {
            ufrag: token(&rng.bytes::<6>()),
            password: token(&rng.bytes::<18>()),
        };
        // What the network may queue, and the frame that crosses the line: above this str0m says
        // no, for ever if a message is larger (trap 9).
        let buffer = inside_limit(limits);
        let mut config = RtcConfig::new()
            .clear_codecs()
            .clear_extension_map()
            .set_crypto_provider(crypto::provider())
            .set_dtls_cert(certificate.clone())
            .set_dtls_version(DtlsVersion::Auto)
            .set_snap_enabled(true)
            .set_sctp_max_buffered_amount(buffer)
            .set_local_ice_credentials(IceCreds {
                ufrag: local.ufrag.clone(),
                pass: local.password.clone(),
            });
        config.set_initial_stun_rto(CHECK_RTO);
        config.set_max_stun_rto(CHECK_INTERVAL);
        let window = Arc::new(Window::default());
        let mut rtc = dtls::with_window(&window, || config.build(clock.instant(now)));
        rtc.direct_api().set_ice_controlling(offerer);
        Self {
            rtc: Box::new(rtc),
            window,
            clock,
            limits: *limits,
            loopback,
            local,
            remote: None,
            pending: None,
            hosts: addresses.to_vec(),
            described: false,
            held: Vec::new(),
            candidates: 0,
            addresses: BTreeSet::new(),
            early_checks: 0,
            channels: Channel::ALL.map(Line::new),
            path: None,
            role: None,
            probes: Probes::new(rng),
            connected: false,
            secured: false,
            ended: false,
            due: None,
            echo: Echo::default(),
            news: News::default(),
            scratch: Vec::new(),
        }
    }

    /// The name by which the remote's checks call this link.
    pub(super) fn ufrag(&self) -> &str {
        &self.local.ufrag
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        earliest(self.due, self.echo.due)
    }

    pub(super) fn create_offer(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.ended || self.described || self.remote.is_some() {
            return;
        }
        let mut changes = self.rtc.sdp_api();
        for line in &mut self.channels {
            line.id = Some(changes.add_channel_with_config(config(line.channel)));
        }
        match changes.apply() {
            Some((offer, pending)) => {
                self.pending = Some(pending);
                self.describe(offer.to_sdp_string(), out);
            }
            None => self.fail(LinkFailure::Platform),
        }
        self.step(now, out);
    }

    pub(super) fn accept_offer(&mut self, now: Timestamp, sdp: &str, lead: bool, out: &mut Outbox) {
        if self.ended || self.described || self.remote.is_some() {
            return;
        }
        let limit = self.limits.description as usize;
        let answered = description::read(sdp, limit, lead).and_then(|read| {
            let offer = SdpOffer::from_sdp_string(&read.sdp).ok()?;
            let answer = self.rtc.sdp_api().accept_offer(offer).ok()?;
            Some((answer, read.credentials, read.candidates))
        });
        let Some((answer, credentials, candidates)) = answered else {
            self.fail(LinkFailure::Description);
            self.step(now, out);
            return;
        };
        // After `accept_offer`, which makes us the controlled side.
        self.rtc.direct_api().set_ice_controlling(lead);
        for line in &mut self.channels {
            let config = config(line.channel);
            line.id = Some(self.rtc.direct_api().create_data_channel(config));
        }
        self.remote = Some(credentials);
        self.describe(answer.to_sdp_string(), out);
        self.add_remote_candidates(&candidates, out);
        self.step(now, out);
    }

    pub(super) fn accept_answer(&mut self, now: Timestamp, sdp: &str, led: bool, out: &mut Outbox) {
        if self.ended {
            return;
        }
        let Some(pending) = self.pending.take() else {
            return;
        };
        // Before any check that came early is answered: they are from the controlling side.
        self.rtc.direct_api().set_ice_controlling(!led);
        let limit = self.limits.description as usize;
        let accepted = description::read(sdp, limit, false).and_then(|read| {
            let answer = SdpAnswer::from_sdp_string(&read.sdp).ok()?;
            self.rtc.sdp_api().accept_answer(pending, answer).ok()?;
            Some((read.credentials, read.candidates))
        });
        match accepted {
            Some((credentials, candidates)) => {
                self.remote = Some(credentials);
                self.add_remote_candidates(&candidates, out);
            }
            None => self.fail(LinkFailure::Description),
        }
        self.step(now, out);
    }

    pub(super) fn add_candidate(&mut self, now: Timestamp, text: &str, out: &mut Outbox) {
        if self.ended {
            return;
        }
        self.take_candidate(text, out);
        self.step(now, out);
    }

    pub(super) fn send(
        &mut self,
        now: Timestamp,
        channel: Channel,
        message: ChannelMessage,
        out: &mut Outbox,
    ) {
        // An empty write would break the channel for ever (trap 1).
        if self.ended || message.is_empty() {
            return;
        }
        let inside = inside_limit(&self.limits);
        let line = self.line(channel);
        let waiting: usize = line.waiting.iter().map(ChannelMessage::len).sum();
        let too_much = message.len() > inside || waiting > inside.saturating_mul(2);
        line.waiting.push_back(message);
        if too_much {
            self.fail(LinkFailure::Channel);
        }
        self.step(now, out);
    }

    /// Asks for a sign of life on the selected pair; nothing happens before there is one.
    pub(super) fn probe(&mut self, now: Timestamp, out: &mut Outbox) {
        let (Some((local, remote)), Some(credentials), false) =
            (self.path, &self.remote, self.ended)
        else {
            return;
        };
        let role = self.role.unwrap_or(Role::Controlled(0));
        let request = self
            .probes
            .request(now, &self.local, credentials, PROBE_PRIORITY, role);
        if let Some(request) = request {
            out.transmits.push(Transmit {
                local,
                remote,
                payload: request.into(),
            });
        }
    }

    /// Tells the remote at once; what was not sent yet is lost.
    pub(super) fn close(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.ended {
            return;
        }
        self.ended = true;
        let _ = self.rtc.close();
        self.drain(now, out);
        self.silence();
    }

    /// Nothing is to come any more.
    fn silence(&mut self) {
        self.ended = true;
        self.due = None;
        self.echo.heard();
    }

    /// A check or a probe of the remote. `false`: it is not authentic, or from one address too many.
    pub(super) fn receive_check(
        &mut self,
        now: Timestamp,
        at: (SocketAddr, SocketAddr),
        datagram: &[u8],
        out: &mut Outbox,
    ) -> bool {
        if self.ended || !stun::is_authentic(datagram, &self.local.password) {
            return false;
        }
        if !self.claim(at.1, out) {
            return false;
        }
        if self.remote.is_none() {
            self.early_checks = self.early_checks.saturating_add(1).min(EARLY_CHECKS);
        }
        self.news.heard = true;
        self.nominated(at, datagram);
        self.receive(now, at, datagram, out)
    }

    pub(super) fn expects(&self, transaction: &Transaction) -> bool {
        self.probes.expects(transaction)
    }

    /// The answer to a probe of ours. `false`: it is not authentic.
    pub(super) fn receive_probed(
        &mut self,
        now: Timestamp,
        transaction: &Transaction,
        datagram: &[u8],
        out: &mut Outbox,
    ) -> bool {
        let Some(remote) = &self.remote else {
            return false;
        };
        let round_trip = self.probes.response(now, transaction, datagram, remote);
        self.news.round_trip = round_trip;
        self.report(out);
        round_trip.is_some()
    }

    /// DTLS, or the answer to a check. `false`: str0m has no use for it.
    pub(super) fn receive(
        &mut self,
        now: Timestamp,
        (local, remote): (SocketAddr, SocketAddr),
        datagram: &[u8],
        out: &mut Outbox,
    ) -> bool {
        if self.ended || !self.addresses.contains(&remote) {
            return false;
        }
        let records = self.window.records();
        let received = Receive::new(Protocol::Udp, remote, local, datagram)
            .map_err(RtcError::from)
            .and_then(|receive| {
                let at = self.clock.instant(now);
                self.rtc.handle_input(str0m::Input::Receive(at, receive))
            });
        if let Err(error) = &received {
            trace!(%error, "datagram refused");
        }
        self.drain(now, out);
        if self.window.records() != records {
            self.news.heard = true;
            self.echo.heard();
        }
        self.step(now, out);
        received.is_ok()
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.ended {
            return;
        }
        self.echo.handle_timeout(now, out);
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        for _ in 0..SPINS {
            self.tick(now, out);
            if self.due.is_none_or(|due| due > now) {
                break;
            }
        }
        self.step(now, out);
        if self.due.is_some_and(|due| due <= now) {
            self.due = Some(now.plus(PUT_OFF));
        }
    }

    /// A socket of ours is new.
    pub(super) fn add_host(&mut self, now: Timestamp, host: HostAddress, out: &mut Outbox) {
        if self.ended {
            return;
        }
        self.hosts.push(host);
        if self.described {
            self.offer_host(host, out);
        }
        self.step(now, out);
    }

    /// A socket of ours is gone.
    pub(super) fn remove_host(&mut self, now: Timestamp, host: HostAddress, out: &mut Outbox) {
        if self.ended {
            return;
        }
        self.hosts.retain(|known| known.address != host.address);
        self.path = self.path.filter(|(local, _)| *local != host.address);
        let candidate = host_candidate(host);
        self.rtc.direct_api().invalidate_candidate(&candidate);
        self.step(now, out);
    }

    /// What str0m holds of a channel.
    #[cfg(test)]
    pub(super) fn inside(&mut self, channel: Channel) -> usize {
        let id = self.line(channel).id;
        id.and_then(|id| self.rtc.channel(id))
            .map_or(0, |mut channel| channel.buffered_amount())
    }

    fn line(&mut self, channel: Channel) -> &mut Line {
        let [data, state] = &mut self.channels;
        match channel {
            Channel::Data => data,
            Channel::State => state,
        }
    }

    /// Our description is made: tell it, then the candidates, which are not in it.
    fn describe(&mut self, sdp: String, out: &mut Outbox) {
        out.updates.push(Update::LocalDescription(sdp));
        self.described = true;
        for host in self.hosts.clone() {
            self.offer_host(host, out);
        }
    }

    fn offer_host(&mut self, host: HostAddress, out: &mut Outbox) {
        if let Some(candidate) = self.rtc.add_local_candidate(host_candidate(host)) {
            let text = candidate.to_sdp_string();
            out.updates.push(Update::LocalCandidate(text));
        }
    }

    /// The remote's description is set: add what was in it and what came before it.
    fn add_remote_candidates(&mut self, candidates: &[String], out: &mut Outbox) {
        for candidate in core::mem::take(&mut self.held) {
            self.rtc.add_remote_candidate(candidate);
        }
        for candidate in candidates {
            self.take_candidate(candidate, out);
        }
    }

    fn take_candidate(&mut self, text: &str, out: &mut Outbox) {
        let text = text.trim();
        let text = text.strip_prefix("a=").unwrap_or(text);
        // The end of candidates, which we have no use for.
        if text.is_empty() {
            return;
        }
        let candidate = (self.candidates < self.limits.candidates)
            .then(|| Candidate::from_sdp_string(text).ok())
            .flatten()
            .filter(|candidate| candidate.proto() == Protocol::Udp)
            .filter(|candidate| gather::is_usable(candidate.addr(), self.loopback))
            .filter(|candidate| self.claim(candidate.addr(), out));
        let Some(candidate) = candidate else {
            out.candidates_dropped += 1;
            return;
        };
        self.candidates += 1;
        if self.remote.is_some() {
            self.rtc.add_remote_candidate(candidate);
        } else {
            self.held.push(candidate);
        }
    }

    /// From here on, datagrams from this address are listened to. `false`: there are too many.
    fn claim(&mut self, address: SocketAddr, out: &mut Outbox) -> bool {
        if !self.addresses.contains(&address) {
            if self.addresses.len() >= ADDRESSES {
                return false;
            }
            self.addresses.insert(address);
            out.addresses.push(address);
        }
        true
    }

    fn fail(&mut self, failure: LinkFailure) {
        debug!(%failure, "link failed");
        self.rtc.disconnect();
        self.news.failed.get_or_insert(failure);
    }

    /// What follows every input.
    fn step(&mut self, now: Timestamp, out: &mut Outbox) {
        self.drain(now, out);
        self.check_eagerly(now, out);
        self.flush(now, out);
        self.report(out);
    }

    fn check_eagerly(&mut self, now: Timestamp, out: &mut Outbox) {
        let settled = self.channels.iter().all(|line| line.reported);
        if self.remote.is_none() || settled {
            return;
        }
        // str0m answers one early check per timeout, and does nothing else in it.
        let early = core::mem::take(&mut self.early_checks);
        for round in 0..early.saturating_add(EAGER) {
            let sent = out.transmits.len();
            self.tick(now, out);
            if round >= early && out.transmits.len() == sent {
                break;
            }
        }
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outbox) {
        let at = self.clock.instant(now);
        if let Err(error) = self.rtc.handle_input(str0m::Input::Timeout(at)) {
            debug!(%error, "timeout");
        }
        self.drain(now, out);
    }

    /// Writes what waits, as far as str0m takes it.
    fn flush(&mut self, now: Timestamp, out: &mut Outbox) {
        if !self.secured {
            return;
        }
        for place in 0..self.channels.len() {
            while let Some(line) = self.channels.get_mut(place) {
                let (Some(message), Some(id)) = (line.waiting.front(), line.id) else {
                    break;
                };
                let Some(mut channel) = self.rtc.channel(id) else {
                    break;
                };
                message.write_into(&mut self.scratch);
                match channel.write(true, &self.scratch) {
                    Ok(true) => {
                        line.waiting.pop_front();
                    }
                    Ok(false) => break,
                    Err(error) => {
                        debug!(%error, "write refused");
                        self.fail(LinkFailure::Channel);
                        return;
                    }
                }
                line.peak = line.peak.max(buffered(&mut self.rtc, line));
                self.drain(now, out);
            }
            if let Some(line) = self.channels.get_mut(place) {
                line.peak = line.peak.max(buffered(&mut self.rtc, line));
            }
        }
    }

    /// Takes everything out of str0m.
    fn drain(&mut self, now: Timestamp, out: &mut Outbox) {
        for _ in 0..self.limits.outputs_per_input {
            match self.rtc.poll_output() {
                Ok(str0m::Output::Timeout(at)) => {
                    self.due = self.clock.deadline(now, at);
                    if !self.rtc.is_alive() && !self.ended && !self.news.closed {
                        self.fail(LinkFailure::Dtls);
                    }
                    return;
                }
                Ok(str0m::Output::Transmit(transmit)) => self.transmit(now, transmit, out),
                Ok(str0m::Output::Event(event)) => self.event(event),
                Err(error) => {
                    debug!(%error, "connection broke");
                    self.fail(failure_of(&error));
                    self.due = None;
                    return;
                }
            }
        }
        // More than one input may bring (law 6): the rest comes with the next call, which is now.
        self.due = Some(now);
    }

    fn transmit(&mut self, now: Timestamp, transmit: str0m::net::Transmit, out: &mut Outbox) {
        if transmit.proto != Protocol::Udp {
            return;
        }
        let transmit = Transmit {
            local: transmit.source,
            remote: transmit.destination,
            payload: Vec::from(transmit.contents).into(),
        };
        match transmit.payload.first() {
            Some(20..=63) => {
                self.path = Some((transmit.local, transmit.remote));
                if self.secured {
                    self.echo.sent(now, &transmit);
                }
            }
            Some(_) => {
                self.role = stun::role_of(&transmit.payload).or(self.role);
                self.nominated((transmit.local, transmit.remote), &transmit.payload);
            }
            None => return,
        }
        out.transmits.push(transmit);
    }

    /// Follows the selected pair: a link that sends no data is told of a new one by this alone.
    fn nominated(&mut self, path: (SocketAddr, SocketAddr), request: &[u8]) {
        if self.path.is_none() || stun::nominates(request) {
            self.path = Some(path);
        }
    }

    fn event(&mut self, event: str0m::Event) {
        match event {
            str0m::Event::IceConnectionStateChange(state) => {
                debug!(?state, "ice");
                if state.is_connected() && !self.connected {
                    self.connected = true;
                    self.news.connected = true;
                    self.window.open();
                } else if state.is_disconnected() && self.connected {
                    self.connected = false;
                    self.news.disconnected = true;
                }
            }
            // str0m has compared the certificate with the fingerprint before it says this.
            str0m::Event::Connected => self.secured = true,
            str0m::Event::ChannelOpen(id, _) => {
                for line in &mut self.channels {
                    line.open |= line.id == Some(id);
                }
            }
            str0m::Event::ChannelData(data) => {
                let line = self.channels.iter().find(|line| line.id == Some(data.id));
                if let Some(line) = line {
                    let message = (line.channel, Bytes::from(data.data));
                    self.news.messages.push(message);
                }
            }
            str0m::Event::ChannelClose(id) => {
                // While the link closes this is the end of everything, not of a channel.
                if self.channels.iter().any(|line| line.id == Some(id)) && !self.news.closed {
                    self.news.failed.get_or_insert(LinkFailure::Channel);
                }
            }
            str0m::Event::Closed => self.news.closed = true,
            event => trace!(?event, "not used"),
        }
    }

    /// Says what happened, in an order that does not depend on str0m's.
    fn report(&mut self, out: &mut Outbox) {
        if self.ended {
            return;
        }
        let news = core::mem::take(&mut self.news);
        let updates = &mut out.updates;
        if news.heard || news.round_trip.is_some() {
            updates.push(Update::Alive {
                round_trip: news.round_trip,
            });
        }
        if news.connected {
            updates.push(Update::Connected);
        }
        for line in &mut self.channels {
            if self.secured && line.open && !line.reported {
                line.reported = true;
                updates.push(Update::ChannelOpened(line.channel));
            }
        }
        for (channel, payload) in news.messages {
            updates.push(Update::Message { channel, payload });
        }
        for line in &mut self.channels {
            // The same for half and for zero: half of one byte is none.
            if line.peak == 0 {
                continue;
            }
            let amount = buffered(&mut self.rtc, line);
            if amount <= line.peak / 2 {
                line.peak = amount;
                updates.push(Update::BufferedAmount {
                    channel: line.channel,
                    bytes: u32::try_from(amount).unwrap_or(u32::MAX),
                });
            }
        }
        if news.disconnected {
            updates.push(Update::Disconnected);
        }
        if news.closed {
            updates.push(Update::Closed);
            self.silence();
        } else if let Some(failure) = news.failed {
            updates.push(Update::Failed(failure));
            self.silence();
        }
    }
}

fn inside_limit(limits: &Limits) -> usize {
    (limits.channel_buffer as usize).saturating_mul(2)
}

fn config(channel: Channel) -> ChannelConfig {
    ChannelConfig {
        label: channel.label().into(),
        ordered: channel == Channel::Data,
        reliability: match channel {
            Channel::Data => Reliability::Reliable,
            Channel::State => Reliability::MaxRetransmits { retransmits: 0 },
        },
        negotiated: Some(channel.id()),
        protocol: String::new(),
    }
}

/// What of a channel has not arrived yet, ours and str0m's.
fn buffered(rtc: &mut Rtc, line: &Line) -> usize {
    let inside = line
        .id
        .and_then(|id| rtc.channel(id))
        .map_or(0, |mut channel| channel.buffered_amount());
    let waiting: usize = line.waiting.iter().map(ChannelMessage::len).sum();
    inside.saturating_add(waiting)
}

/// A candidate with a priority of our own: str0m would give the first of each family the highest,
/// also when it is a tunnel.
fn host_candidate(host: HostAddress) -> Candidate {
    let priority = HOST << 24 | u32::from(host.preference) << 8 | 255;
    let foundation = match host.address.ip() {
        core::net::IpAddr::V4(ip) => fnv1a(&ip.octets()),
        core::net::IpAddr::V6(ip) => fnv1a(&ip.octets()),
    };
    Candidate::from_parts(
        alloc::format!("{:08x}", foundation & 0xffff_ffff),
        1,
        Protocol::Udp,
        priority,
        host.address,
        CandidateKind::Host,
        None,
        None,
        None,
    )
}

/// str0m's errors are texts; their kinds tell enough: of the description it complains here only
/// when the certificate is not the announced one.
fn failure_of(error: &RtcError) -> LinkFailure {
    match error {
        RtcError::RemoteSdp(_) => LinkFailure::FingerprintMismatch,
        RtcError::Sctp(_) => LinkFailure::Channel,
        _ => LinkFailure::Dtls,
    }
}

/// Random bytes as ICE characters (RFC 8839 section 5.4): 6 bits each.
fn token(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let bits = chunk
                .iter()
                .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
            [18, 12, 6, 0].map(|shift| {
                let digit = (bits >> shift & 63) as usize;
                char::from(ALPHABET.get(digit).copied().unwrap_or(b'A'))
            })
        })
        .collect()
}
