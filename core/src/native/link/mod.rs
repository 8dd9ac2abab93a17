//! One link: a str0m connection. Beside this folder only `crypto` and `dtls` name str0m.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use dimpl::DtlsCertificate;
use str0m::change::SdpPendingOffer;
use str0m::config::DtlsVersion;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, IceCreds, Rtc, RtcConfig, RtcError};
use tracing::{debug, trace};

mod candidate;
mod checks;
mod detour;
#[cfg(feature = "fuzzing")]
pub(in crate::native) mod fuzzing;
mod lines;
mod negotiation;
mod news;
mod outbox;
mod paths;
mod peer_reflexive;
mod shortcut;

use self::checks::Checks;
use self::detour::{Detour, Ends};
use self::lines::Lines;
use self::news::News;
pub(in crate::native) use self::outbox::{Outbox, Update};
use self::peer_reflexive::PeerReflexive;
use self::shortcut::Shortcut;
use super::clock::Clock;
use super::credentials::Credentials;
use super::crypto;
use super::dtls::{self, Draws, Window};
use super::gather::Local;
use super::own_description::Offered;
use super::probe::Probes;
use super::stun::{self, Role, Transaction};
use crate::config::Limits;
use crate::event::CandidateKind;
use crate::io::{Channel, ChannelMessage, LinkFailure};
use crate::report::{self, SelectedPair};
use crate::rng::Rng;
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

/// Addresses of the remote that we listen to: signalled ones and those that checks came from. The
/// remote could make up any number, and str0m remembers each.
const ADDRESSES: usize = 64;

/// str0m keeps checks that come before the remote's description, at most this many.
const EARLY_CHECKS: u8 = 100;

/// How long a refused handshake is given to go on all the same: the refusal may be forged, or of an earlier link.
const REFUSAL_STANDS: Duration = Duration::from_secs(1);

/// RFC 9147 section 4.1: the first byte of a handshake record in the clear.
const HANDSHAKE: u8 = 22;

/// A round trip before one is measured.
const ROUND_TRIP: Duration = Duration::from_millis(50);

/// RFC 8445 section 5.1.2.1: peer-reflexive type preference, highest local preference, component 1.
const PROBE_PRIORITY: u32 = 110 << 24 | 0xffff << 8 | 255;

/// What a link is made of.
pub(in crate::native) struct Setup<'a> {
    pub(in crate::native) offerer: bool,
    pub(in crate::native) clock: Clock,
    pub(in crate::native) rng: Rng,
    /// Whether DTLS draws from `rng`, too, what it may.
    pub(in crate::native) simulated: bool,
    pub(in crate::native) certificate: &'a DtlsCertificate,
    pub(in crate::native) limits: &'a Limits,
    pub(in crate::native) loopback: bool,
    pub(in crate::native) locals: &'a [Local],
}

/// A connection to one other node.
pub(in crate::native) struct Link {
    rtc: Box<Rtc>,
    window: Arc<Window>,
    clock: Clock,
    limits: Limits,
    loopback: bool,
    local: Credentials,
    /// Set with the remote's description.
    remote: Option<Credentials>,
    pending: Option<(SdpPendingOffer, Offered)>,
    /// Our addresses, in the order in which they are signalled.
    locals: Vec<Local>,
    /// Our description is out: candidates may follow.
    described: bool,
    /// Candidates that came before the remote's description.
    held: Vec<Candidate>,
    candidates: u8,
    addresses: BTreeSet<SocketAddr>,
    peer_reflexive: PeerReflexive,
    early_checks: u8,
    lines: Lines,
    /// The selected pair, local and remote.
    path: Option<Ends>,
    /// Where the last authentic check came in.
    heard_at: Option<Ends>,
    /// All pairs that such came in on.
    heard_on: BTreeSet<Ends>,
    /// When something authentic last came in on the pair that is used.
    used_heard: Timestamp,
    detour: Detour,
    shortcut: Shortcut,
    /// What the last check of ours said.
    role: Option<Role>,
    checks: Checks,
    /// The types of the remote's candidates.
    kinds: BTreeMap<SocketAddr, CandidateKind>,
    probes: Probes,
    rng: Rng,
    connected: bool,
    /// There was a path once.
    found: bool,
    /// The remote has said its DTLS hello.
    greeted: bool,
    /// Since when one side's DTLS refuses the other's.
    refused: Option<Timestamp>,
    /// DTLS is done: the remote is the one of the fingerprint.
    secured: bool,
    ended: bool,
    due: Option<Timestamp>,
    /// The last time that str0m was told.
    told: Timestamp,
    news: News,
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
    pub(in crate::native) fn open(now: Timestamp, setup: Setup<'_>) -> Self {
        let Setup {
            offerer,
            clock,
            mut rng,
            simulated,
            certificate,
            limits,
            loopback,
            locals,
        } = setup;
        let local = Credentials::draw(&mut rng);
        let mut config = RtcConfig::new()
            .clear_codecs()
            .clear_extension_map()
            .set_crypto_provider(crypto::provider())
            .set_dtls_cert(certificate.clone())
            .set_dtls_version(DtlsVersion::Auto)
            .set_snap_enabled(true)
            .set_sctp_max_buffered_amount(Lines::inside_limit(limits))
            .set_local_ice_credentials(IceCreds {
                ufrag: local.ufrag.clone(),
                pass: local.password.clone(),
            });
        config.set_initial_stun_rto(CHECK_RTO);
        config.set_max_stun_rto(CHECK_INTERVAL);
        let window = Arc::new(Window::new(if simulated {
            Draws::seed(&mut rng.fork("dtls"))
        } else {
            Draws::System
        }));
        window.set_round_trip(ROUND_TRIP);
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
            locals: locals.to_vec(),
            described: false,
            held: Vec::new(),
            candidates: 0,
            addresses: BTreeSet::new(),
            peer_reflexive: PeerReflexive::new(now),
            early_checks: 0,
            lines: Lines::new(limits),
            path: None,
            heard_at: None,
            heard_on: BTreeSet::new(),
            used_heard: now,
            detour: Detour::default(),
            shortcut: Shortcut::default(),
            role: None,
            checks: Checks::default(),
            kinds: BTreeMap::new(),
            probes: Probes::new(rng.fork("probes")),
            rng,
            connected: false,
            found: false,
            greeted: false,
            refused: None,
            secured: false,
            ended: false,
            due: None,
            told: now,
            news: News::default(),
        }
    }

    /// The name by which the remote's checks call this link.
    pub(in crate::native) fn ufrag(&self) -> &str {
        &self.local.ufrag
    }

    /// Whether it is on its way to be open.
    pub(in crate::native) fn is_making(&self) -> bool {
        !self.ended && !self.lines.are_reported()
    }

    /// How far it has come with that: what was tried, and which path was found.
    pub(in crate::native) fn facts(&self) -> (report::Checks, Option<SelectedPair>) {
        let selected = self.path.filter(|_| self.connected).map(|(local, remote)| {
            let kind = self.kinds.get(&remote).copied();
            SelectedPair {
                local: candidate::kind_of(local, &self.locals),
                local_address: Some(local),
                remote: kind.unwrap_or(CandidateKind::PeerReflexive),
                remote_address: Some(remote),
            }
        });
        (self.checks.report(), selected)
    }

    pub(in crate::native) fn poll_timeout(&self) -> Option<Timestamp> {
        if self.ended {
            return self.due;
        }
        let doubt = self.elsewhere().and_then(|_| self.detour.due());
        let ours = earliest(earliest(doubt, self.shortcut.due()), self.refusal());
        earliest(earliest(self.due, self.window.echo()), ours)
    }

    pub(in crate::native) fn send(
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
        // str0m starts the timers of what is written at the time that it was told last: without this
        // SCTP would send again at once whatever follows a second of silence.
        if self.secured && self.told < now {
            self.tick(now, out);
        }
        if !self.lines.push(channel, message) {
            self.fail(LinkFailure::Channel);
        }
        self.step(now, out);
    }

    /// Tells the remote at once; what was not sent yet is lost.
    pub(in crate::native) fn close(&mut self, now: Timestamp, out: &mut Outbox) {
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
    }

    /// A check or a probe of the remote. `false`: it is not authentic, or from one address too many.
    pub(in crate::native) fn receive_check(
        &mut self,
        now: Timestamp,
        at: (SocketAddr, SocketAddr),
        datagram: &[u8],
        out: &mut Outbox,
    ) -> bool {
        if self.ended || !stun::is_authentic(datagram, &self.local.password) {
            return false;
        }
        let is_known = self.addresses.contains(&at.1);
        if !(is_known || self.peer_reflexive.admit(now, at.1)) || !self.claim(at.1, out) {
            return false;
        }
        if self.remote.is_none() {
            self.early_checks = self.early_checks.saturating_add(1).min(EARLY_CHECKS);
        }
        self.checks.received();
        self.news.heard = true;
        self.window.set_heard();
        self.hear_check(now, at, out);
        self.receive(now, at, datagram, out)
    }

    /// The answer to a check. `false`: str0m has no use for it.
    pub(in crate::native) fn receive_answer(
        &mut self,
        now: Timestamp,
        at: (SocketAddr, SocketAddr),
        transaction: &Transaction,
        datagram: &[u8],
        out: &mut Outbox,
    ) -> bool {
        let is_ours = self.checks.answered(transaction, at);
        if is_ours {
            self.hear(now, at);
        }
        let taken = is_ours && self.receive(now, at, datagram, out);
        if taken {
            self.detour.works(at);
        }
        taken
    }

    /// DTLS, or a check. `false`: str0m has no use for it.
    pub(in crate::native) fn receive(
        &mut self,
        now: Timestamp,
        (local, remote): (SocketAddr, SocketAddr),
        datagram: &[u8],
        out: &mut Outbox,
    ) -> bool {
        if self.ended || !self.addresses.contains(&remote) {
            return false;
        }
        // Before its hello only another link of the same remote's can mean this: an old one that this one
        // is to replace. After that dimpl would have no ear for a hello any more.
        self.greeted |= datagram.first() == Some(&HANDSHAKE);
        if !self.greeted && is_encrypted(datagram) {
            return false;
        }
        let records = self.window.records();
        self.told = now;
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
        let is_refused = self.window.is_refused() && !self.secured;
        self.refused = is_refused.then(|| self.refused.unwrap_or(now));
        if self.window.records() != records {
            self.news.heard = true;
            self.hear_data(now, (local, remote), out);
        }
        self.step(now, out);
        received.is_ok()
    }

    pub(in crate::native) fn handle_timeout(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.ended {
            return;
        }
        let is_due = |due: Option<Timestamp>| due.is_some_and(|due| due <= now);
        if !is_due(self.poll_timeout()) {
            return;
        }
        if is_due(self.refusal()) {
            self.fail(LinkFailure::Dtls);
        }
        self.probe_both(now, out);
        if self.shortcut.take_turn(now) && self.is_by_relay() {
            self.knock(out);
        }
        for _ in 0..SPINS {
            self.tick(now, out);
            if !is_due(self.due) {
                break;
            }
        }
        self.step(now, out);
        self.rest(now);
    }

    /// When a refusal of one side's DTLS is the last word.
    fn refusal(&self) -> Option<Timestamp> {
        self.refused.map(|since| since.plus(REFUSAL_STANDS))
    }

    /// After everything that a wake-up led to: what str0m still wants at once has to wait a moment
    /// (law 3).
    pub(in crate::native) fn rest(&mut self, now: Timestamp) {
        let is_due = |due: Option<Timestamp>| due.is_some_and(|due| due <= now);
        if is_due(self.due) {
            self.due = Some(now.plus(PUT_OFF));
        }
        if is_due(self.window.echo()) {
            self.window.set_echo(Some(now.plus(PUT_OFF)));
        }
        self.detour.rest(now.plus(PUT_OFF));
    }

    /// What str0m holds of a channel.
    #[cfg(test)]
    pub(in crate::native) fn inside(&mut self, channel: Channel) -> usize {
        self.lines.inside(&mut self.rtc, channel)
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
        // str0m, which is let go of here, is found dead by every later look at it: that is not another failure.
        if self.news.failed.is_none() {
            debug!(%failure, "link failed");
            self.rtc.disconnect();
            self.news.failed = Some(failure);
        }
    }

    /// What follows every input.
    fn step(&mut self, now: Timestamp, out: &mut Outbox) {
        self.drain(now, out);
        if self.secured {
            self.shortcut.begin(now);
        }
        self.check_eagerly(now, out);
        self.flush(now, out);
        self.report(out);
    }

    fn check_eagerly(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.remote.is_none() || self.lines.are_reported() {
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
        self.told = now;
        let at = self.clock.instant(now);
        if let Err(error) = self.rtc.handle_input(str0m::Input::Timeout(at)) {
            debug!(%error, "timeout");
        }
        self.drain(now, out);
    }

    /// Writes what waits, as far as str0m takes it.
    fn flush(&mut self, now: Timestamp, out: &mut Outbox) {
        while self.secured {
            match self.lines.write(&mut self.rtc) {
                Ok(true) => self.drain(now, out),
                Ok(false) => return,
                Err(error) => {
                    debug!(%error, "write refused");
                    self.fail(LinkFailure::Channel);
                    return;
                }
            }
        }
    }
}

/// Whether this is a record of DTLS 1.2 with data, or one of DTLS 1.3 that is encrypted (RFC 9147
/// section 4.1).
fn is_encrypted(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(23 | 32..=63))
}
