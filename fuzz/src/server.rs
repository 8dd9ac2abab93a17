//! The signaling server and its hostile clients.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use wattle_core::Timestamp;
use wattle_core::signaling::{ConnectionId, Server, ServerConfig, ServerInput, ServerOutput};

use crate::source::Source;

/// More makes an input slow and says nothing new.
const STEPS: usize = 400;

const IDS: [&str; 6] = ["a", "b", "HOST", "c", "peer 4", "d"];
const KINDS: [&str; 8] = [
    "OFFER",
    "ANSWER",
    "CANDIDATE",
    "LEAVE",
    "EXPIRE",
    "HEARTBEAT",
    "OPEN",
    "OTHER",
];

/// A signaling server and its clients. What a client gets was sent to it, by whom it says; nothing
/// is said on connections that are gone; limits hold; the machine rests.
pub fn server(data: &[u8]) {
    let mut source = Source::new(data);
    let mut hall = Hall::open(&mut source);
    let mut steps = 0;
    while !source.is_empty() && steps < STEPS {
        hall.step(&mut source);
        hall.drain();
        steps += 1;
    }
    hall.end();
}

/// A sender whose id is not known: its request was any text.
const ANYBODY: &str = "?";

/// A server, and what is known of its clients.
struct Hall {
    server: Server,
    config: ServerConfig,
    now: Timestamp,
    latest: Timestamp,
    embedded: bool,
    closed: bool,
    /// Those that we told of and that are not gone, with the id that each asked for.
    connections: BTreeMap<ConnectionId, Seat>,
    next: u64,
    /// Type, sender, target and payload of all that was ever sent.
    sent: BTreeSet<(String, String, String, String)>,
}

#[derive(Clone, Default)]
struct Seat {
    /// `None`: it let the server choose, or has not asked.
    id: Option<String>,
    asked: bool,
    open: bool,
}

impl Hall {
    fn open(source: &mut Source<'_>) -> Self {
        let choice = source.u8();
        let small = ServerConfig {
            connections: 4,
            connections_per_address: 3,
            pending: 4,
            id: 16,
            frame: 2048,
            frames_per_second: 5,
            frame_burst: 20,
            flood: 10,
            alive: Duration::from_secs(9),
            idle: Duration::from_secs(2),
            waiting_frames: 6,
            waiting_bytes: 3000,
            waiting_frames_per_sender: 4,
            waiting_bytes_per_sender: 2000,
            bare_ids: choice & 8 == 0,
            ..ServerConfig::default()
        };
        let config = match choice & 3 {
            0 | 1 => small,
            2 => ServerConfig::embedded(),
            _ => ServerConfig::default(),
        };
        let now = Timestamp::from_millis(1);
        let mut server = Server::new(config.clone(), [choice; 32], now);
        let embedded = choice & 4 != 0;
        if embedded {
            server.register_host(now);
        }
        Self {
            server,
            config,
            now,
            latest: now,
            embedded,
            closed: false,
            connections: BTreeMap::new(),
            next: 0,
            sent: BTreeSet::new(),
        }
    }

    fn step(&mut self, source: &mut Source<'_>) {
        match source.below(16) {
            0 => {
                let (connection, peer) = (self.new_connection(), address(source));
                self.input(ServerInput::Accepted { connection, peer });
            }
            // The usual way in.
            1..=3 => {
                let (connection, peer) = (self.new_connection(), address(source));
                if source.flag() {
                    self.input(ServerInput::Accepted { connection, peer });
                    self.drain();
                }
                let id = source.one_of(&IDS);
                let token = source.one_of(&["t", "u", ""]);
                let target = format!(
                    "/peerjs?key=peerjs&id={}&token={token}",
                    id.replace(' ', "%20")
                );
                self.request(connection, peer, "GET", &target, true, Some(id));
            }
            4 => {
                let connection = self.some_connection(source);
                let peer = address(source);
                let method = source.one_of(&["GET", "OPTIONS", "POST", "get", ""]);
                let upgrade = source.flag();
                let target = if source.flag() {
                    source.text()
                } else {
                    source
                        .one_of(&[
                            "/peerjs/id",
                            "/peerjs/peers",
                            "/",
                            "",
                            "/peerjs?key=x&id=a&token=t",
                            "/x/peerjs?id=a",
                            "/peerjs/peerjs/id",
                            "/peerjs?key=peerjs",
                            "/peerjs?id=%00&token=%ff",
                            "*",
                        ])
                        .to_string()
                };
                self.request(connection, peer, method, &target, upgrade, None);
            }
            5..=9 => {
                let connection = self.some_connection(source);
                let text = self.frame(source, connection);
                self.sends(Some(connection), &text);
            }
            10 if self.embedded => {
                let text = self.frame(source, ConnectionId(u64::MAX));
                self.sends(None, &text);
            }
            11 => {
                let connection = self.some_connection(source);
                self.connections.remove(&connection);
                self.input(ServerInput::Closed { connection });
            }
            12 => {
                // A flood.
                let connection = self.some_connection(source);
                let text = self.frame(source, connection);
                for _ in 0..source.below(64) {
                    self.sends(Some(connection), &text);
                    self.drain();
                }
            }
            13 if source.u8() == 255 => {
                self.server.close(self.now);
                self.closed = true;
            }
            _ => self.pass_time(source),
        }
    }

    fn new_connection(&mut self) -> ConnectionId {
        self.next += 1;
        ConnectionId(self.next)
    }

    /// Mostly one that is open.
    fn some_connection(&mut self, source: &mut Source<'_>) -> ConnectionId {
        let choice = source.u8();
        let open: Vec<_> = self.connections.keys().copied().collect();
        match open.get(usize::from(choice) % open.len().max(1)) {
            Some(connection) if choice < 240 => *connection,
            _ => ConnectionId(u64::from(choice % 16)),
        }
    }

    fn input(&mut self, input: ServerInput<'_>) {
        if let ServerInput::Accepted { connection, .. } = &input {
            self.connections.entry(*connection).or_default();
        }
        self.latest = self.latest.max(self.now);
        self.server.handle_input(self.now, input);
    }

    fn request(
        &mut self,
        connection: ConnectionId,
        peer: std::net::IpAddr,
        method: &str,
        target: &str,
        upgrade: bool,
        id: Option<&str>,
    ) {
        // What is due now may close it, after which the request is for nobody.
        self.wake();
        let seat = self.connections.entry(connection).or_default();
        if !seat.asked {
            seat.asked = true;
            seat.id = id.map(Into::into);
        }
        self.input(ServerInput::Request {
            connection,
            peer,
            method,
            target,
            upgrade,
        });
    }

    /// Text of a frame; now and then not one.
    fn frame(&mut self, source: &mut Source<'_>, from: ConnectionId) -> String {
        let mark = format!("{}", from.0);
        match source.below(8) {
            0 => source.text(),
            1 => r#"{"type":"HEARTBEAT"}"#.into(),
            2 => {
                let length = 100 * usize::from(source.u8());
                let to = source.one_of(&IDS);
                format!(
                    r#"{{"type":"OFFER","dst":"{to}","payload":"{}"}}"#,
                    "x".repeat(length)
                )
            }
            _ => {
                let kind = source.one_of(&KINDS);
                let to = source.one_of(&IDS);
                let payload = source.u8();
                match source.below(4) {
                    // Nobody can speak for somebody else.
                    0 => {
                        let lie = source.one_of(&IDS);
                        format!(
                            r#"{{"type":"{kind}","src":"{lie}","dst":"{to}","payload":[{mark},{payload}]}}"#
                        )
                    }
                    1 => format!(r#"{{"type":"{kind}"}}"#),
                    _ => {
                        format!(r#"{{"type":"{kind}","dst":"{to}","payload":[{mark},{payload}]}}"#)
                    }
                }
            }
        }
    }

    /// `None`: the host in the same process.
    fn sends(&mut self, from: Option<ConnectionId>, text: &str) {
        let id = match from {
            None => Some(String::from("HOST")),
            Some(connection) => self
                .connections
                .get(&connection)
                .and_then(|seat| seat.id.clone()),
        };
        if let Some((kind, _, Some(to), payload)) = read(text) {
            let id = id.unwrap_or_else(|| ANYBODY.into());
            self.sent.insert((kind, id, to, payload));
        }
        match from {
            Some(connection) => self.input(ServerInput::Frame { connection, text }),
            None => self.server.host_sends(self.now, text),
        }
    }

    fn pass_time(&mut self, source: &mut Source<'_>) {
        let choice = source.u8();
        let millis = |count: u8| self.now.plus(Duration::from_millis(u64::from(count)));
        self.now = match choice {
            0..=99 => self.server.poll_timeout().unwrap_or(self.now).max(self.now),
            100..=179 => millis(choice - 99),
            180..=219 => self
                .now
                .plus(Duration::from_millis(u64::from(choice - 179) * 500)),
            220..=229 => Timestamp::from_nanos(self.now.as_nanos() / 2),
            _ => self.now,
        };
        self.wake();
    }

    fn wake(&mut self) {
        self.latest = self.latest.max(self.now);
        self.server.handle_timeout(self.now);
        self.drain();
        let next = self.server.poll_timeout();
        assert!(
            next.is_none_or(|next| next > self.latest),
            "law 3: {next:?}"
        );
        self.server.handle_timeout(self.now);
        assert!(self.server.poll_output().is_none(), "a spurious wake-up");
        assert_eq!(self.server.poll_timeout(), next, "a spurious wake-up");
    }

    fn drain(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.server.poll_output() {
            outputs += 1;
            self.check(output);
        }
        while let Some(text) = self.server.poll_host_frame() {
            outputs += 1;
            assert!(
                self.embedded,
                "a frame for a host that is not there: {text}"
            );
            self.check_frame("HOST", &text);
        }
        let config = &self.config;
        let most = config.connections + config.pending + config.waiting_frames + 3;
        assert!(outputs <= most, "law 6: {outputs} outputs of one call");
        let load = self.server.load();
        assert!(load.connections <= config.connections + config.pending);
        assert!(load.clients <= config.connections + u32::from(self.embedded));
        assert!(load.waiting_frames <= config.waiting_frames);
        assert!(load.waiting_bytes <= config.waiting_bytes);
        if self.closed {
            assert_eq!(
                (load.connections, load.clients, load.waiting_frames),
                (0, 0, 0)
            );
        }
        assert!(
            load.connections == 0 || self.server.poll_timeout().is_some(),
            "law 4: a connection without a deadline"
        );
    }

    fn check(&mut self, output: ServerOutput) {
        match output {
            ServerOutput::Upgrade { connection } => {
                let seat = self
                    .connections
                    .get_mut(&connection)
                    .expect("nobody's handshake");
                assert!(seat.asked && !seat.open, "upgraded without having asked");
                seat.open = true;
            }
            ServerOutput::Respond { connection, .. } => {
                let seat = self
                    .connections
                    .remove(&connection)
                    .expect("nobody's request");
                assert!(seat.asked && !seat.open, "answered without having asked");
            }
            ServerOutput::Close { connection } => {
                assert!(
                    self.connections.remove(&connection).is_some(),
                    "closed twice"
                );
            }
            ServerOutput::Send { connection, text } => {
                let seat = self
                    .connections
                    .get(&connection)
                    .expect("a frame for nobody");
                assert!(seat.open, "a frame before the handshake");
                if let Some(id) = seat.id.clone() {
                    self.check_frame(&id, &text);
                }
            }
            other => panic!("an output that nobody knows: {other:?}"),
        }
    }

    /// A client gets what was sent to it, and what the server itself says.
    fn check_frame(&self, id: &str, text: &str) {
        let (kind, from, to, payload) = read(text).expect("frames of ours can be read");
        match kind.as_str() {
            "OPEN" | "ERROR" | "ID-TAKEN" => assert_eq!((from, to), (None, None), "{text}"),
            // Of the server, or as any other frame.
            "EXPIRE" if payload.is_empty() => assert_eq!(to.as_deref(), Some(id), "{text}"),
            _ => {
                assert_eq!(to.as_deref(), Some(id), "another's frame: {text}");
                let mut frame = (kind, from.unwrap_or_default(), id.into(), payload);
                let known = self.sent.contains(&frame);
                frame.1 = ANYBODY.into();
                assert!(
                    known || self.sent.contains(&frame),
                    "nobody sent this: {text}"
                );
            }
        }
    }

    /// All connections go, and the server has nothing left.
    fn end(&mut self) {
        self.now = self.latest;
        let connections: Vec<_> = self.connections.keys().copied().collect();
        for connection in connections {
            self.wake();
            self.connections.remove(&connection);
            self.input(ServerInput::Closed { connection });
            self.drain();
        }
        for _ in 0..10_000 {
            let Some(next) = self.server.poll_timeout() else {
                break;
            };
            self.now = next;
            self.wake();
        }
        assert_eq!(self.server.poll_timeout(), None, "it never rests");
        let load = self.server.load();
        assert_eq!(
            (load.connections, load.waiting_frames, load.waiting_bytes),
            (0, 0, 0)
        );
    }
}

fn address(source: &mut Source<'_>) -> std::net::IpAddr {
    match source.below(4) {
        3 => [0xfe80, 0, 0, 1, 0, 0, 0, source.u8().into()].into(),
        choice => [10, 0, 0, choice].into(),
    }
}

/// Type, src, dst, and the payload as it stands there.
fn read(text: &str) -> Option<(String, Option<String>, Option<String>, String)> {
    let frame: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    let string = |name: &str| {
        let value: Value = serde_json::from_str(frame.get(name)?.get()).ok()?;
        value.as_str().map(String::from)
    };
    let payload = frame.get("payload").map_or("", |raw| raw.get());
    Some((
        string("type")?,
        string("src"),
        string("dst"),
        payload.into(),
    ))
}
