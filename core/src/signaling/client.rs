//! The client of a signaling server: registration, heartbeat, back-off, the same id again.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::time::Duration;

use super::io::{SignalingCommand, SignalingFailure, SignalingId, SignalingUpdate};
use super::message::{Frame, FrameOut};
use super::url::SignalingUrl;
use crate::error::ServerRefusal;
use crate::event::SignalingDiagnostic;
use crate::json;
use crate::rng::Rng;
use crate::time::Timestamp;

/// PeerServer closes a client that was silent for `alive_timeout` (90 s by default), and counts
/// only this frame as life. The PeerJS library sends it as often.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// How long a connection may take to open and register.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was begun so long ago at most is not begun anew when the network changes.
const FRESH: Duration = Duration::from_millis(500);
/// How long a server may take to object when we come again with the same id and token. One that has
/// not noticed that our old connection is gone takes the new one in its place without another OPEN.
const OBJECTION_TIME: Duration = Duration::from_millis(500);
/// The first wait after a failure; doubled after each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// The longest wait. A host must be joinable again within 10 s of its server's return.
const BACKOFF_MAX: Duration = Duration::from_secs(4);
/// How often a first registration is tried before it counts as failed.
const FIRST_ATTEMPTS: u32 = 3;

/// What became of the registration, and what came from others.
#[derive(Debug)]
pub(crate) enum ClientEvent {
    Connecting {
        attempt: u32,
    },
    Registered {
        again: bool,
    },
    IdTaken,
    /// The connection broke; another attempt follows.
    Lost(SignalingFailure),
    /// The first registration failed for good; the client is idle.
    Unreachable(SignalingFailure),
    /// The server does not want us; the client is idle.
    Refused(ServerRefusal),
    /// A frame that the server relayed.
    Relayed(Relayed),
    /// A frame that could not be read or made no sense.
    Dropped,
}

impl ClientEvent {
    /// What of it is worth a diagnostic.
    pub(crate) const fn diagnosis(&self) -> Option<SignalingDiagnostic> {
        match self {
            Self::Connecting { attempt } => {
                Some(SignalingDiagnostic::Connecting { attempt: *attempt })
            }
            Self::Registered { .. } => Some(SignalingDiagnostic::Registered),
            Self::IdTaken => Some(SignalingDiagnostic::IdTaken),
            Self::Lost(failure) | Self::Unreachable(failure) => {
                Some(SignalingDiagnostic::Failed(*failure))
            }
            Self::Relayed(Relayed {
                kind: RelayedKind::Expire,
                ..
            }) => Some(SignalingDiagnostic::Expired),
            Self::Refused(_) | Self::Relayed(_) | Self::Dropped => None,
        }
    }
}

/// A frame that the server relayed, or its word that a target never registered.
#[derive(Debug)]
pub(crate) struct Relayed {
    pub(crate) kind: RelayedKind,
    /// The signaling id of the sender; for `Expire` the target that never registered.
    pub(crate) peer: String,
    /// JSON.
    pub(crate) payload: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelayedKind {
    Offer,
    Answer,
    Candidate,
    Leave,
    Expire,
}

impl RelayedKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Offer => "OFFER",
            Self::Answer => "ANSWER",
            Self::Candidate => "CANDIDATE",
            Self::Leave => "LEAVE",
            Self::Expire => "EXPIRE",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [
            Self::Offer,
            Self::Answer,
            Self::Candidate,
            Self::Leave,
            Self::Expire,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// Reads a frame that the server relayed; `None` if it is not one.
pub(crate) fn read_relayed(text: &str) -> Option<Relayed> {
    let frame = Frame::parse(text)?;
    let kind = RelayedKind::from_name(&frame.kind)?;
    Some(Relayed {
        kind,
        peer: frame.src?.into_owned(),
        payload: frame.payload.unwrap_or("null").to_string(),
    })
}

/// Writes a frame for another client; the payload is JSON.
pub(crate) fn write_relayed(kind: RelayedKind, to: &str, payload: &str) -> String {
    FrameOut {
        kind: kind.name(),
        src: None,
        dst: Some(to),
        payload: Some(payload),
    }
    .to_text()
}

/// One id at one signaling server.
#[derive(Debug)]
pub(crate) struct Client {
    rng: Rng,
    next_connection: u64,
    registration: Option<Registration>,
    state: State,
    commands: VecDeque<SignalingCommand>,
    events: VecDeque<ClientEvent>,
    max_frame: usize,
}

#[derive(Debug)]
struct Registration {
    url: SignalingUrl,
    id: String,
    /// The same id with the same token silently replaces the old socket: that is how a client gets
    /// its id back.
    token: String,
    /// Failures since the last success.
    failures: u32,
    /// Whether the id was ours once: from then on we never give up.
    registered_once: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Opening {
        connection: SignalingId,
        deadline: Timestamp,
    },
    /// Open, and the server has not objected yet to our coming again.
    Unopposed {
        connection: SignalingId,
        until: Timestamp,
    },
    Registered {
        connection: SignalingId,
        heartbeat_at: Timestamp,
    },
    Waiting {
        until: Timestamp,
    },
}

impl Client {
    pub(crate) fn new(rng: Rng, max_frame: u32) -> Self {
        Self {
            rng,
            next_connection: 0,
            registration: None,
            state: State::Idle,
            commands: VecDeque::new(),
            events: VecDeque::new(),
            max_frame: max_frame as usize,
        }
    }

    /// A name that nobody else has.
    pub(crate) fn random_id(&mut self) -> String {
        format!("wattle-{:032x}", u128::from_be_bytes(self.rng.bytes()))
    }

    /// Registers `id`, in place of what was registered before.
    pub(crate) fn register(&mut self, now: Timestamp, url: SignalingUrl, id: String) {
        self.close();
        let token = format!("{:032x}", u128::from_be_bytes(self.rng.bytes()));
        self.registration = Some(Registration {
            url,
            id,
            token,
            failures: 0,
            registered_once: false,
        });
        self.open(now);
    }

    /// The way to the server may have changed: connects anew, with the same id, instead of waiting for
    /// what may never come.
    pub(crate) fn reconnect(&mut self, now: Timestamp) {
        if let State::Opening { deadline, .. } = self.state
            && deadline >= now.plus(OPEN_TIMEOUT.saturating_sub(FRESH))
        {
            return;
        }
        if let Some(connection) = self.connection() {
            self.commands.push_back(SignalingCommand::Close(connection));
        }
        if !self.is_idle() {
            self.open(now);
        }
    }

    /// Gives the id back.
    pub(crate) fn close(&mut self) {
        if let Some(connection) = self.connection() {
            self.commands.push_back(SignalingCommand::Close(connection));
        }
        self.registration = None;
        self.state = State::Idle;
    }

    /// The id that it has registered, or tries to; empty if none.
    pub(crate) fn id(&self) -> &str {
        self.registration.as_ref().map_or("", |one| &one.id)
    }

    /// Whether it has nothing to do any more.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    pub(crate) const fn is_registered(&self) -> bool {
        matches!(self.state, State::Registered { .. })
    }

    /// Sends a frame; dropped unless registered (whoever cares sends again when it is).
    pub(crate) fn send(&mut self, text: String) {
        if let State::Registered { connection, .. } = self.state {
            self.commands
                .push_back(SignalingCommand::Send(connection, text));
        }
    }

    pub(crate) fn poll_command(&mut self) -> Option<SignalingCommand> {
        self.commands.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Timestamp> {
        match self.state {
            State::Idle => None,
            State::Opening { deadline, .. } => Some(deadline),
            State::Unopposed { until, .. } => Some(until),
            State::Registered { heartbeat_at, .. } => Some(heartbeat_at),
            State::Waiting { until } => Some(until),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        match self.state {
            State::Opening {
                connection,
                deadline,
            } if deadline <= now => {
                self.commands.push_back(SignalingCommand::Close(connection));
                self.failed(now, SignalingFailure::TimedOut);
            }
            State::Registered {
                connection,
                heartbeat_at,
            } if heartbeat_at <= now => {
                let heartbeat = r#"{"type":"HEARTBEAT"}"#.to_string();
                self.commands
                    .push_back(SignalingCommand::Send(connection, heartbeat));
                self.state = State::Registered {
                    connection,
                    heartbeat_at: now.plus(HEARTBEAT_INTERVAL),
                };
            }
            State::Unopposed { connection, until } if until <= now => self.opened(now, connection),
            State::Waiting { until } if until <= now => self.open(now),
            State::Idle
            | State::Opening { .. }
            | State::Unopposed { .. }
            | State::Registered { .. }
            | State::Waiting { .. } => {}
        }
    }

    pub(crate) fn handle_update(&mut self, now: Timestamp, update: SignalingUpdate<'_>) {
        let current = self.connection();
        match update {
            SignalingUpdate::Opened(connection) if current == Some(connection) => {
                self.socket_opened(now, connection);
            }
            SignalingUpdate::Frame(connection, text) if current == Some(connection) => {
                self.handle_frame(now, connection, text);
            }
            SignalingUpdate::Closed(connection, failure) if current == Some(connection) => {
                self.failed(now, failure);
            }
            // Late news of a connection that was given up.
            SignalingUpdate::Opened(_)
            | SignalingUpdate::Frame(..)
            | SignalingUpdate::Closed(..) => {}
        }
    }

    /// The server's OPEN says that the id is ours, not the socket's; but only the first time.
    fn socket_opened(&mut self, now: Timestamp, connection: SignalingId) {
        let Some(registration) = &self.registration else {
            return;
        };
        if registration.registered_once && matches!(self.state, State::Opening { .. }) {
            self.state = State::Unopposed {
                connection,
                until: now.plus(OBJECTION_TIME),
            };
        }
    }

    fn handle_frame(&mut self, now: Timestamp, connection: SignalingId, text: &str) {
        if text.len() > self.max_frame {
            self.events.push_back(ClientEvent::Dropped);
            return;
        }
        let Some(frame) = Frame::parse(text) else {
            self.events.push_back(ClientEvent::Dropped);
            return;
        };
        match &*frame.kind {
            "OPEN" => self.opened(now, connection),
            "ID-TAKEN" => self.id_taken(now, connection),
            "ERROR" => self.refused(now, connection, frame.payload),
            _ => {
                let event = read_relayed(text).map_or(ClientEvent::Dropped, ClientEvent::Relayed);
                self.events.push_back(event);
            }
        }
    }

    fn opened(&mut self, now: Timestamp, connection: SignalingId) {
        let Some(registration) = &mut self.registration else {
            return;
        };
        if matches!(self.state, State::Registered { .. }) {
            return;
        }
        let again = registration.registered_once;
        registration.registered_once = true;
        registration.failures = 0;
        self.state = State::Registered {
            connection,
            heartbeat_at: now.plus(HEARTBEAT_INTERVAL),
        };
        self.events.push_back(ClientEvent::Registered { again });
    }

    fn id_taken(&mut self, now: Timestamp, connection: SignalingId) {
        self.commands.push_back(SignalingCommand::Close(connection));
        self.events.push_back(ClientEvent::IdTaken);
        let Some(registration) = &self.registration else {
            return;
        };
        if registration.registered_once {
            // Somebody took it while the server was away; the links live on, so keep asking.
            self.wait(now);
        } else {
            self.registration = None;
            self.state = State::Idle;
        }
    }

    fn refused(&mut self, now: Timestamp, connection: SignalingId, payload: Option<&str>) {
        let text = payload
            .and_then(|payload| json::members(payload, ["msg"]))
            .and_then(|[msg]| msg?.text())
            .unwrap_or_default();
        let refusal = if text.contains("Invalid key") {
            ServerRefusal::InvalidKey
        } else if text.contains("concurrent user limit") {
            ServerRefusal::Full
        } else {
            ServerRefusal::Other
        };
        self.commands.push_back(SignalingCommand::Close(connection));
        let Some(registration) = &self.registration else {
            return;
        };
        if registration.registered_once {
            self.events
                .push_back(ClientEvent::Lost(SignalingFailure::Closed));
            self.wait(now);
        } else {
            self.registration = None;
            self.state = State::Idle;
            self.events.push_back(ClientEvent::Refused(refusal));
        }
    }

    fn open(&mut self, now: Timestamp) {
        let Some(registration) = &self.registration else {
            return;
        };
        let connection = SignalingId(self.next_connection);
        self.next_connection = self.next_connection.saturating_add(1);
        let url = registration
            .url
            .for_client(&registration.id, &registration.token);
        let attempt = registration.failures.saturating_add(1);
        self.commands
            .push_back(SignalingCommand::Open(connection, url));
        self.events.push_back(ClientEvent::Connecting { attempt });
        self.state = State::Opening {
            connection,
            deadline: now.plus(OPEN_TIMEOUT),
        };
    }

    fn failed(&mut self, now: Timestamp, failure: SignalingFailure) {
        let Some(registration) = &mut self.registration else {
            self.state = State::Idle;
            return;
        };
        registration.failures = registration.failures.saturating_add(1);
        let hopeless = registration.failures >= FIRST_ATTEMPTS || !failure.is_passing();
        if hopeless && !registration.registered_once {
            self.registration = None;
            self.state = State::Idle;
            self.events.push_back(ClientEvent::Unreachable(failure));
        } else {
            self.events.push_back(ClientEvent::Lost(failure));
            self.wait(now);
        }
    }

    /// Waits half of the back-off and a random part of the other half, so that the clients of a
    /// restarted server do not all come at once.
    fn wait(&mut self, now: Timestamp) {
        let failures = self.registration.as_ref().map_or(0, |one| one.failures);
        let doublings = failures.saturating_sub(1).min(8);
        let backoff = BACKOFF_FIRST
            .saturating_mul(1 << doublings)
            .min(BACKOFF_MAX);
        let half = backoff / 2;
        let jitter = self.rng.below(half.as_nanos() as u64);
        let until = now.plus(half).plus(Duration::from_nanos(jitter));
        self.state = State::Waiting { until };
    }

    const fn connection(&self) -> Option<SignalingId> {
        match self.state {
            State::Opening { connection, .. }
            | State::Unopposed { connection, .. }
            | State::Registered { connection, .. } => Some(connection),
            State::Idle | State::Waiting { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn client() -> Client {
        let mut client = Client::new(Rng::new([5; 32]), 65_536);
        client.register(
            Timestamp::ZERO,
            SignalingUrl::default(),
            "ABCDEF".to_string(),
        );
        client
    }

    fn opened(client: &mut Client) -> (SignalingId, String) {
        loop {
            match client.poll_command() {
                Some(SignalingCommand::Open(connection, url)) => return (connection, url),
                Some(_) => {}
                None => panic!("no connection was opened"),
            }
        }
    }

    fn events(client: &mut Client) -> Vec<ClientEvent> {
        core::iter::from_fn(|| client.poll_event()).collect()
    }

    const OPEN: &str = r#"{"type":"OPEN"}"#;

    #[test]
    fn heartbeats_keep_a_registered_client_alive() {
        let mut client = client();
        let (connection, _) = opened(&mut client);
        client.handle_update(Timestamp::ZERO, SignalingUpdate::Opened(connection));
        assert!(!client.is_registered());
        client.handle_update(Timestamp::ZERO, SignalingUpdate::Frame(connection, OPEN));
        assert!(client.is_registered());
        let mut heartbeats = 0;
        while let Some(at) = client
            .poll_timeout()
            .filter(|at| *at <= Timestamp::from_millis(90_000))
        {
            client.handle_timeout(at);
            while let Some(SignalingCommand::Send(_, text)) = client.poll_command() {
                assert_eq!(text, r#"{"type":"HEARTBEAT"}"#);
                heartbeats += 1;
            }
        }
        assert_eq!(heartbeats, 18);
    }

    #[test]
    fn a_drop_brings_the_same_id_and_token_again_within_ten_seconds_of_any_outage() {
        let mut client = client();
        let (first, url) = opened(&mut client);
        client.handle_update(Timestamp::ZERO, SignalingUpdate::Frame(first, OPEN));
        let mut now = Timestamp::from_millis(1000);
        client.handle_update(
            now,
            SignalingUpdate::Closed(first, SignalingFailure::Closed),
        );
        for _ in 0..40 {
            let at = client.poll_timeout().unwrap();
            assert!(at.since(now) <= BACKOFF_MAX, "{:?}", at.since(now));
            now = at;
            client.handle_timeout(now);
            let (connection, again) = opened(&mut client);
            assert_eq!(url, again);
            client.handle_update(
                now,
                SignalingUpdate::Closed(connection, SignalingFailure::ConnectionRefused),
            );
        }
        client.handle_timeout(client.poll_timeout().unwrap());
        let (connection, _) = opened(&mut client);
        client.handle_update(now, SignalingUpdate::Frame(connection, OPEN));
        assert!(matches!(
            events(&mut client).last(),
            Some(ClientEvent::Registered { again: true })
        ));
    }

    #[test]
    fn a_server_that_missed_the_drop_says_nothing_and_that_is_a_yes() {
        let mut client = client();
        let (first, _) = opened(&mut client);
        client.handle_update(Timestamp::ZERO, SignalingUpdate::Frame(first, OPEN));
        let closed = SignalingUpdate::Closed(first, SignalingFailure::Closed);
        client.handle_update(Timestamp::ZERO, closed);
        let now = client.poll_timeout().unwrap();
        client.handle_timeout(now);
        let (second, _) = opened(&mut client);
        client.handle_update(now, SignalingUpdate::Opened(second));
        assert!(!client.is_registered());
        client.handle_timeout(client.poll_timeout().unwrap());
        assert!(client.is_registered());
        assert!(matches!(
            events(&mut client).last(),
            Some(ClientEvent::Registered { again: true })
        ));
    }

    #[test]
    fn a_server_that_objects_is_heard() {
        let mut client = client();
        let (first, _) = opened(&mut client);
        client.handle_update(Timestamp::ZERO, SignalingUpdate::Frame(first, OPEN));
        let closed = SignalingUpdate::Closed(first, SignalingFailure::Closed);
        client.handle_update(Timestamp::ZERO, closed);
        client.handle_timeout(client.poll_timeout().unwrap());
        let (second, _) = opened(&mut client);
        let now = client.poll_timeout().unwrap();
        client.handle_update(now, SignalingUpdate::Opened(second));
        let taken = r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#;
        client.handle_update(now, SignalingUpdate::Frame(second, taken));
        assert!(!client.is_registered());
        assert!(matches!(
            events(&mut client).last(),
            Some(ClientEvent::IdTaken)
        ));
        assert!(
            client.poll_timeout().is_some(),
            "it goes on asking for its id"
        );
    }

    #[test]
    fn a_first_registration_is_tried_three_times() {
        let mut client = client();
        let mut attempts = 0;
        let mut now = Timestamp::ZERO;
        while let Some(SignalingCommand::Open(connection, _)) = client.poll_command() {
            attempts += 1;
            let failure = SignalingFailure::ConnectionRefused;
            client.handle_update(now, SignalingUpdate::Closed(connection, failure));
            if let Some(at) = client.poll_timeout() {
                now = at;
                client.handle_timeout(now);
            }
        }
        assert_eq!(attempts, FIRST_ATTEMPTS);
        assert!(now < Timestamp::from_millis(1000), "{now}");
        assert!(matches!(
            events(&mut client).last(),
            Some(ClientEvent::Unreachable(_))
        ));
    }

    #[test]
    fn a_wrong_certificate_is_never_tried_again() {
        let mut client = client();
        let (connection, _) = opened(&mut client);
        let failure = SignalingFailure::Certificate;
        client.handle_update(
            Timestamp::ZERO,
            SignalingUpdate::Closed(connection, failure),
        );
        assert!(matches!(
            events(&mut client).last(),
            Some(ClientEvent::Unreachable(SignalingFailure::Certificate))
        ));
        assert_eq!(client.poll_timeout(), None);
    }

    #[test]
    fn a_silent_server_times_out() {
        let mut client = client();
        let (connection, _) = opened(&mut client);
        client.handle_update(Timestamp::ZERO, SignalingUpdate::Opened(connection));
        client.handle_timeout(Timestamp::ZERO.plus(OPEN_TIMEOUT));
        assert_eq!(
            client.poll_command(),
            Some(SignalingCommand::Close(connection))
        );
        assert!(matches!(
            events(&mut client).last(),
            Some(ClientEvent::Lost(SignalingFailure::TimedOut))
        ));
    }

    #[test]
    fn refusals_are_told_apart() {
        for (text, expected) in [
            ("Invalid key provided", ServerRefusal::InvalidKey),
            (
                "Server has reached its concurrent user limit",
                ServerRefusal::Full,
            ),
            (
                "No id, token, or key supplied to websocket server",
                ServerRefusal::Other,
            ),
        ] {
            let mut client = client();
            let (connection, _) = opened(&mut client);
            let frame = format!(r#"{{"type":"ERROR","payload":{{"msg":"{text}"}}}}"#);
            client.handle_update(Timestamp::ZERO, SignalingUpdate::Frame(connection, &frame));
            assert!(matches!(
                events(&mut client).last(),
                Some(ClientEvent::Refused(refusal)) if *refusal == expected
            ));
        }
    }

    #[test]
    fn late_and_hostile_frames_are_harmless() {
        let mut client = client();
        let (connection, _) = opened(&mut client);
        client.handle_update(Timestamp::ZERO, SignalingUpdate::Frame(connection, OPEN));
        let _ = events(&mut client);
        client.handle_update(
            Timestamp::ZERO,
            SignalingUpdate::Frame(SignalingId(99), OPEN),
        );
        assert!(events(&mut client).is_empty());
        let huge = "[".repeat(70_000);
        for text in [
            "",
            "{",
            "[]",
            "null",
            r#"{"type":5}"#,
            r#"{"type":"OFFER"}"#,
            &huge,
        ] {
            client.handle_update(Timestamp::ZERO, SignalingUpdate::Frame(connection, text));
            assert!(
                matches!(events(&mut client).as_slice(), [ClientEvent::Dropped]),
                "{text:.20}"
            );
        }
        assert!(client.is_registered());
    }
}
