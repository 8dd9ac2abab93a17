//! DTLS for str0m: dimpl, with a clock of its own and a window into it for the link.
//!
//! dimpl doubles its timer from the moment the handshake is prepared, which is before there is a
//! path. Found late, the path would then see a burst of the same ClientHello, and the next one
//! seconds later. So DTLS's clock stands still until there is a path, and jumps over what is longer
//! than [`LONGEST_WAIT`].

mod even;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::OnceLock;
#[expect(
    clippy::disallowed_types,
    reason = "in the signatures of str0m's traits"
)]
use std::time::Instant;

use dimpl::{Config, Dtls, DtlsCertificate, Error, Output, ProtocolVersion};
use str0m::config::DtlsVersion;
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsInstance, DtlsProvider};
use tracing::trace;

use super::echo::Echo;
use crate::rng::Rng;
use crate::time::Timestamp;

/// The first retransmission of a flight. RFC 9147 section 5.8.2 says 1 s, and less where ICE has
/// measured the path, as it has here.
const FLIGHT_RTO: Duration = Duration::from_millis(150);

/// How far the doubling goes. At 30 % loss every second try fails, and the network's deadline for
/// all of the handshake is 10 s.
const LONGEST_WAIT: Duration = Duration::from_millis(600);

/// Tries for 14 s at [`LONGEST_WAIT`]: deadlines are the network's, never DTLS's own.
const FLIGHT_RETRIES: usize = 24;

/// How soon what is due again at once is done again. While something in the middle of the other
/// side's flight is missing, dimpl wants to acknowledge the rest now, and again now; and str0m calls
/// after every packet. About a quarter of a flight's time is what RFC 9147 section 7.1 says of a flight that
/// has not come whole.
const PAUSE: Duration = Duration::from_millis(40);

/// Longer than all tries together on DTLS's clock (150 ms doubled 24 times is 29 days): what lies
/// beyond is no retransmission, and not jumped to.
const HANDSHAKE: Duration = Duration::from_secs(365 * 24 * 3600);
const RETRANSMISSION: Duration = Duration::from_secs(60 * 24 * 3600);

/// "Not before something else happens".
const LATER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a link and its DTLS know of each other.
#[derive(Debug)]
pub(super) struct Window {
    has_path: AtomicBool,
    records: AtomicU64,
    /// In nanoseconds: str0m's time stands still while it is only written to.
    now: AtomicU64,
    round_trip: AtomicU64,
    /// There was a sign of life outside of DTLS.
    heard: AtomicBool,
    /// One side has refused the other's handshake, and nothing has gone on since.
    refused: AtomicBool,
    /// [`u64::MAX`] if there is nothing to be sent again.
    echo: AtomicU64,
    draws: Draws,
}

/// What DTLS draws beside its keys: its random values, and how much sooner or later than at the set time it
/// sends again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Draws {
    /// From the system.
    System,
    /// As everybody draws who has this number: in simulated worlds, which are the same each time.
    Seed(u64),
}

impl Draws {
    /// Each has settings of its own, so there are only a few.
    const SEEDS: [Self; 4] = [Self::Seed(0), Self::Seed(1), Self::Seed(2), Self::Seed(3)];

    pub(super) fn seed(rng: &mut Rng) -> Self {
        Self::Seed(rng.below(Self::SEEDS.len() as u64))
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new(Draws::System)
    }
}

impl Window {
    pub(super) const fn new(draws: Draws) -> Self {
        Self {
            has_path: AtomicBool::new(false),
            records: AtomicU64::new(0),
            now: AtomicU64::new(0),
            round_trip: AtomicU64::new(0),
            heard: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            echo: AtomicU64::new(u64::MAX),
            draws,
        }
    }

    /// ICE has found a path: the handshake may start.
    pub(super) fn open(&self) {
        self.has_path.store(true, Ordering::Relaxed);
    }

    /// How many records with data were decrypted. str0m does not say whether a datagram was
    /// authentic unless it completed a message.
    pub(super) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// To be told before DTLS is called.
    pub(super) fn set_now(&self, now: Timestamp) {
        self.now.store(now.as_nanos(), Ordering::Relaxed);
    }

    pub(super) fn set_round_trip(&self, round_trip: Duration) {
        let nanos = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX);
        self.round_trip.store(nanos, Ordering::Relaxed);
    }

    /// The remote has given an authentic sign of life outside of DTLS.
    pub(super) fn set_heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Whether one side has refused the other's handshake, and nothing has gone on since. Anybody can say so: nothing
    /// of it is authentic.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// When DTLS is to be called, for what it sends again.
    pub(super) fn echo(&self) -> Option<Timestamp> {
        let nanos = self.echo.load(Ordering::Relaxed);
        (nanos != u64::MAX).then(|| Timestamp::from_nanos(nanos))
    }

    pub(super) fn set_echo(&self, due: Option<Timestamp>) {
        let nanos = due.map_or(u64::MAX, Timestamp::as_nanos);
        self.echo.store(nanos, Ordering::Relaxed);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now.load(Ordering::Relaxed))
    }

    fn round_trip(&self) -> Duration {
        Duration::from_nanos(self.round_trip.load(Ordering::Relaxed))
    }
}

std::thread_local! {
    /// The way from a link to the instance that str0m makes for it, which nothing else leads along.
    static NEXT: RefCell<Option<Arc<Window>>> = const { RefCell::new(None) };
}

/// Runs `build`, in which str0m makes exactly one DTLS instance: that one gets this window.
pub(super) fn with_window<T>(window: &Arc<Window>, build: impl FnOnce() -> T) -> T {
    NEXT.set(Some(Arc::clone(window)));
    let built = build();
    NEXT.set(None);
    built
}

/// The settings of an instance. They are made once for all: dimpl tries out all of its cryptography
/// each time, which takes longer than a link's whole handshake.
fn settings(mtu: Option<usize>, draws: Draws) -> Result<Arc<Config>, CryptoError> {
    static SYSTEM: OnceLock<Vec<Arc<Config>>> = OnceLock::new();
    static SEEDED: OnceLock<Vec<Arc<Config>>> = OnceLock::new();
    let (known, all, index) = match draws {
        Draws::System => (&SYSTEM, [Draws::System].as_slice(), 0),
        Draws::Seed(seed) => (&SEEDED, Draws::SEEDS.as_slice(), seed),
    };
    if known.get().is_none() {
        let all = all.iter().map(|draws| make_settings(mtu, *draws));
        // If somebody else has set them meanwhile, those stay.
        let _ = known.set(all.collect::<Result<_, _>>()?);
    }
    let known = known.get().and_then(|known| known.get(index as usize));
    match known.filter(|known| mtu.is_none_or(|mtu| mtu == known.mtu())) {
        Some(known) => Ok(Arc::clone(known)),
        None => make_settings(mtu, draws),
    }
}

fn make_settings(mtu: Option<usize>, draws: Draws) -> Result<Arc<Config>, CryptoError> {
    let provider = dimpl::crypto::rust_crypto::default_provider();
    let mut settings = match draws {
        Draws::System => Config::builder().with_crypto_provider(provider),
        Draws::Seed(seed) => Config::builder()
            .with_crypto_provider(even::provider(provider))
            .dangerously_set_rng_seed(seed),
    }
    // ICE has proved the address already, and a cookie costs a round trip.
    .use_server_cookie(false)
    .flight_start_rto(FLIGHT_RTO)
    .flight_retries(FLIGHT_RETRIES)
    .handshake_timeout(HANDSHAKE);
    if let Some(mtu) = mtu {
        settings = settings.mtu(mtu);
    }
    Ok(Arc::new(settings.build()?))
}

/// An alert in the clear that ends the handshake: RFC 6347 section 4.1, RFC 8446 section 6.
const fn is_fatal_alert(packet: &[u8]) -> bool {
    matches!(packet, [21, _, _, 0, 0, _, _, _, _, _, _, _, _, 2, _, ..])
}

/// Makes dimpl instances.
#[derive(Debug)]
pub(super) struct Dimpl;

#[expect(clippy::disallowed_types, reason = "str0m's trait")]
impl DtlsProvider for Dimpl {
    /// Never asked for: each node brings its own.
    fn generate_certificate(&self) -> Option<DtlsCertificate> {
        None
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCertificate,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let window = NEXT.take().unwrap_or_default();
        let config = settings(mtu, window.draws)?;
        let certificate = certificate.clone();
        let make = match version {
            DtlsVersion::Dtls12 => Dtls::new_12,
            DtlsVersion::Dtls13 => Dtls::new_13,
            DtlsVersion::Auto | _ => Dtls::new_auto,
        };
        Ok(Box::new(Instance {
            dtls: make(config, certificate, now),
            window,
            echo: Echo::default(),
            stands: true,
            last: now,
            told: Timestamp::ZERO,
            clock: now,
            done: None,
        }))
    }
}

#[derive(Debug)]
#[expect(
    clippy::disallowed_types,
    reason = "str0m's time, only calculated with"
)]
struct Instance {
    dtls: Dtls,
    window: Arc<Window>,
    echo: Echo,
    /// Whether DTLS's clock stands.
    stands: bool,
    /// The last time that was told, by str0m or the window; and what it is on the window's clock.
    last: Instant,
    told: Timestamp,
    /// What it is on DTLS's clock.
    clock: Instant,
    /// When on that clock it did what was due, if no packet has come since.
    done: Option<Instant>,
}

impl Instance {
    /// Sends again what is due.
    fn repeat(&mut self) {
        let (now, round_trip) = (self.window.now(), self.window.round_trip());
        if self.window.heard.swap(false, Ordering::Relaxed) {
            self.echo.heard();
        }
        while let Some(packet) = self.echo.poll_packet(now, round_trip) {
            if let Err(error) = self.dtls.send_application_data(&packet) {
                trace!(%error, "nothing is sent again");
                self.echo.stop();
            }
        }
        self.window.set_echo(self.echo.poll_timeout(round_trip));
    }
}

#[expect(clippy::disallowed_types, reason = "str0m's trait")]
impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.dtls.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), Error> {
        // str0m tells the time behind what came: a flight that answers it would wait from the last time on, and
        // go out again too early.
        let passed = self.window.now().since(self.told);
        if !self.stands && !passed.is_zero() {
            self.told = self.window.now();
            self.last += passed;
            self.clock += passed;
            self.dtls.handle_timeout(self.clock)?;
        }
        self.done = None;
        let taken = self.dtls.handle_packet(packet);
        let refused = &self.window.refused;
        match taken {
            Err(Error::SecurityError(_) | Error::CertificateError(_)) => {
                refused.store(true, Ordering::Relaxed);
            }
            // To dimpl it is no answer that it knows as long as it does not know the version.
            Err(_) if is_fatal_alert(packet) => refused.store(true, Ordering::Relaxed),
            Ok(()) if !self.dtls.is_closed() => refused.store(false, Ordering::Relaxed),
            Ok(()) | Err(_) => {}
        }
        taken
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "everything else passes through, whatever dimpl adds"
    )]
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> Output<'a> {
        self.repeat();
        match self.dtls.poll_output(buf) {
            Output::Timeout(at) if self.stands => {
                let has_path = self.window.has_path.load(Ordering::Relaxed);
                Output::Timeout(if has_path {
                    // At once: `handle_timeout` starts the clock.
                    self.last
                } else {
                    self.last.checked_add(LATER).unwrap_or(at)
                })
            }
            Output::Timeout(at) => {
                let mut wait = at.saturating_duration_since(self.clock);
                if wait.is_zero() && self.done == Some(self.clock) {
                    wait = PAUSE;
                }
                if wait > LONGEST_WAIT && wait < RETRANSMISSION {
                    self.clock += wait - LONGEST_WAIT;
                    wait = LONGEST_WAIT;
                }
                Output::Timeout(self.last.checked_add(wait).unwrap_or(at))
            }
            Output::ApplicationData(data) => {
                self.window.records.fetch_add(1, Ordering::Relaxed);
                self.echo.received(data);
                Output::ApplicationData(data)
            }
            other => other,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.stands {
            self.stands = !self.window.has_path.load(Ordering::Relaxed);
        } else {
            self.clock += now.saturating_duration_since(self.last);
            if self.done == Some(self.clock) {
                return Ok(());
            }
            self.done = Some(self.clock);
        }
        self.last = now.max(self.last);
        self.told = self.window.now();
        self.dtls.handle_timeout(self.clock)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, Error> {
        let taken = self.dtls.send_application_data(data)?;
        if taken == data.len() {
            self.echo.sent(self.window.now(), data);
        }
        Ok(taken)
    }

    fn is_active(&self) -> bool {
        self.dtls.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.dtls.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.dtls.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.dtls.is_closed()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.echo.stop();
        self.dtls.close()
    }
}
