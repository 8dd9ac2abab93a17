//! The signaling server, as a machine.

mod config;
mod connections;
mod rate;
mod relay;
mod request;
#[cfg(test)]
mod tests;
mod waiting;

pub use config::{ServerConfig, ServerCounters, ServerLoad};

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString as _};
use core::net::IpAddr;
use core::time::Duration;

use tracing::debug;

use self::connections::{Connections, Counts, Full, Registration};
use self::request::{Parameters, Request};
use self::waiting::{Expired, Waiting};
use super::io::{ConnectionId, ServerInput, ServerOutput};
use super::message::FrameOut;
use crate::code::LAN_HOST_ID;
use crate::json::Object;
use crate::rng::Rng;
use crate::time::{Timestamp, earliest};

const WRONG_PARAMETERS: &str = "No id, token, or key supplied to websocket server";
const WRONG_KEY: &str = "Invalid key provided";
const FULL: &str = "Server has reached its concurrent user limit";

/// A signaling server that speaks PeerServer's protocol, as a machine.
///
/// Connections and frames go in, frames come out; whoever drives it does the HTTP and WebSocket
/// framing, and holds no state of the protocol. It keeps the laws of the crate's machines: any
/// order of calls is safe, time never runs backwards, `poll_*` do no work, everything is bounded by
/// [`ServerConfig`], and the same seed and inputs give the same outputs. One call yields at most
/// `connections + pending + waiting_frames + 3` outputs, most of them far fewer.
///
/// # A host in the same process
///
/// A host on the LAN brings its own server along and is the client `HOST` of it, without a socket:
/// [`register_host`](Self::register_host), then [`host_sends`](Self::host_sends) and
/// [`poll_host_frame`](Self::poll_host_frame) instead of a connection. Nobody else can register as
/// `HOST` then, whatever the token. On a standalone server `HOST` is an id like any other.
///
/// # Where it differs from PeerServer
///
/// - It takes any path that ends in `/peerjs`, and answers `GET …/KEY/id` and `GET …/` under any.
/// - A client may bring an id alone ([`ServerConfig::bare_ids`]).
/// - It has limits. PeerServer's only one is the number of clients.
/// - Frames wait their full time per pair of sender and target, checked to the nanosecond;
///   PeerServer counts from the first frame to the target, whoever sent it, and looks once a second.
/// - A connection whose client has given up its id (a LEAVE without a target), or whose id went to
///   another one that has left since, can no longer speak; at PeerServer it still can, even as an id
///   that somebody else has by then.
/// - Heartbeats are counted per connection, from the moment it opens; at PeerServer a client that
///   comes back takes over the silence of the connection before.
/// - Payloads pass as they are written; PeerServer writes them again, which changes numbers that
///   JavaScript cannot hold. A member that occurs twice makes a frame malformed.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    rng: Rng,
    now: Timestamp,
    connections: Connections,
    clients: BTreeMap<String, Client>,
    waiting: Waiting,
    outputs: VecDeque<ServerOutput>,
    host_frames: VecDeque<String>,
    registrations: u64,
    counters: ServerCounters,
    closed: bool,
}

/// A registered id.
#[derive(Debug)]
struct Client {
    number: u64,
    /// Without one, nobody else can take the id.
    token: Option<String>,
    seat: Seat,
}

/// Where frames to a client go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    /// Into our own process.
    Host,
    Connection(ConnectionId),
}

impl Server {
    /// Makes a server without connections.
    ///
    /// The seed makes the ids that it gives away.
    #[must_use]
    pub fn new(config: ServerConfig, seed: [u8; 32], now: Timestamp) -> Self {
        Self {
            config,
            rng: Rng::new(seed).fork("signaling server ids"),
            now,
            connections: Connections::default(),
            clients: BTreeMap::new(),
            waiting: Waiting::default(),
            outputs: VecDeque::new(),
            host_frames: VecDeque::new(),
            registrations: 0,
            counters: ServerCounters::default(),
            closed: false,
        }
    }

    /// News of a connection. Whatever comes, it is answered, counted or ignored.
    pub fn handle_input(&mut self, now: Timestamp, input: ServerInput<'_>) {
        let (ServerInput::Accepted { connection, .. }
        | ServerInput::Request { connection, .. }
        | ServerInput::Frame { connection, .. }
        | ServerInput::Closed { connection }) = input;
        let known = self.connections.contains(connection);
        self.advance(now);
        if known && !self.connections.contains(connection) {
            // Its time was over just now. It is closed already, and must not begin anew.
            return;
        }
        match input {
            ServerInput::Accepted { connection, peer } => self.accept(connection, peer),
            ServerInput::Request {
                connection,
                peer,
                method,
                target,
                upgrade,
            } => self.request(connection, peer, &Request::parse(method, target, upgrade)),
            ServerInput::Frame { connection, text } => self.frame(connection, text),
            ServerInput::Closed { connection } => {
                self.remove(connection);
            }
        }
    }

    /// Time has passed: closes connections that are silent, answers frames that nobody took.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
    }

    /// What to do next, in order; `None` if there is nothing left.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<ServerOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let connection = self.connections.next_deadline();
        let connection = connection.map(|(deadline, _)| deadline);
        earliest(connection, self.waiting.next_deadline())
    }

    /// Registers the host of this process as `HOST`; its first frame is an OPEN, as for any client.
    ///
    /// Call it right after [`new`](Self::new). A client that has the id loses it and is closed. A
    /// second call starts again: OPEN comes once more.
    pub fn register_host(&mut self, now: Timestamp) {
        self.advance(now);
        if self.closed {
            return;
        }
        if let Some(Seat::Connection(connection)) = self.clients.get(LAN_HOST_ID).map(|c| c.seat) {
            self.close_connection(connection);
        }
        self.host_frames.clear();
        self.register(LAN_HOST_ID, None, Seat::Host);
    }

    /// A frame from the host of this process, as a client would send it; ignored if it is not
    /// registered. There is no limit to the rate, and no need of heartbeats.
    pub fn host_sends(&mut self, now: Timestamp, text: &str) {
        self.advance(now);
        let host = self.clients.get(LAN_HOST_ID);
        match host {
            Some(client) if client.seat == Seat::Host => self.client_sends(LAN_HOST_ID, text, None),
            Some(_) | None => count(&mut self.counters.unexpected),
        }
    }

    /// The next frame for the host of this process; `None` if there is none.
    ///
    /// To be drained like [`poll_output`](Self::poll_output), after every call that takes a time.
    #[must_use]
    pub fn poll_host_frame(&mut self) -> Option<String> {
        self.host_frames.pop_front()
    }

    /// Closes every connection and forgets everything. What comes later is turned away.
    pub fn close(&mut self, now: Timestamp) {
        self.advance(now);
        self.closed = true;
        while let Some(connection) = self.connections.first() {
            self.close_connection(connection);
        }
        self.clients.clear();
        self.host_frames.clear();
        self.waiting = Waiting::default();
    }

    /// What it has seen since it was made.
    #[must_use]
    pub const fn counters(&self) -> ServerCounters {
        self.counters
    }

    /// What it holds right now.
    #[must_use]
    pub fn load(&self) -> ServerLoad {
        let Counts { pending, open } = self.connections.total();
        let waiting = self.waiting.total();
        ServerLoad {
            connections: open.saturating_add(pending),
            clients: self.clients.len().try_into().unwrap_or(u32::MAX),
            waiting_frames: waiting.frames,
            waiting_bytes: waiting.bytes,
        }
    }

    // Time.

    fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        while let Some((deadline, connection)) = self.connections.next_deadline() {
            if deadline > self.now {
                break;
            }
            let counter = if self.speaker(connection).is_some() {
                &mut self.counters.closed_silent
            } else {
                &mut self.counters.closed_idle
            };
            count(counter);
            debug!(?connection, "silent for too long");
            self.close_connection(connection);
        }
        while let Some(Expired { pair, frames }) = self.waiting.expire(self.now) {
            let expired = &mut self.counters.expired;
            *expired = expired.saturating_add(frames.into());
            self.send_expire(&pair);
        }
    }

    // Connections.

    fn accept(&mut self, connection: ConnectionId, peer: IpAddr) {
        if self.connections.contains(connection) {
            count(&mut self.counters.unexpected);
            return;
        }
        if self.closed || !self.connections.has_room_to_wait(peer, &self.config) {
            count(&mut self.counters.refused_pending);
            self.outputs.push_back(ServerOutput::Close { connection });
            return;
        }
        let deadline = self.now.plus(self.config.idle);
        self.connections.insert(connection, peer, None, deadline);
    }

    fn request(&mut self, connection: ConnectionId, peer: IpAddr, request: &Request) {
        if self.connections.registration(connection).is_some() {
            return count(&mut self.counters.unexpected);
        }
        // From here on it either has a client or is gone.
        self.connections.remove(connection);
        if self.closed {
            self.respond(connection, 503, "Service Unavailable");
            return;
        }
        match request {
            Request::WebSocket(parameters) => self.open(connection, peer, parameters),
            Request::Id => {
                let id = request::uuid(self.rng.bytes());
                self.respond(connection, 200, &id);
            }
            // PeerServer's answer unless `allow_discovery` is set: whoever knows the ids can call.
            Request::Peers => self.respond(connection, 401, "Unauthorized"),
            Request::Greeting => {
                self.respond(connection, 200, &request::greeting());
            }
            Request::Preflight => self.respond(connection, 204, ""),
            Request::WrongPath => self.respond(connection, 400, "Bad Request"),
            Request::WrongMethod => self.respond(connection, 405, "Method Not Allowed"),
            Request::Unknown => self.respond(connection, 404, "Not Found"),
        }
    }

    fn respond(&mut self, connection: ConnectionId, status: u16, body: &str) {
        match status {
            400 | 405 => count(&mut self.counters.refused_path),
            _ => count(&mut self.counters.http_requests),
        }
        self.outputs.push_back(ServerOutput::Respond {
            connection,
            status,
            body: body.to_string(),
        });
    }

    /// A WebSocket asks to be let in. Those that are refused leave no trace but a counter.
    fn open(&mut self, connection: ConnectionId, peer: IpAddr, parameters: &Parameters) {
        let Parameters { id, token, key } = parameters;
        let bare = self.config.bare_ids && token.is_empty() && key.is_empty();
        if !self.is_id(id)
            || token.len() > as_usize(self.config.id)
            || !bare && (token.is_empty() || key.is_empty())
        {
            count(&mut self.counters.refused_parameters);
            return self.refuse_error(connection, WRONG_PARAMETERS);
        }
        if !bare && *key != self.config.key {
            count(&mut self.counters.refused_key);
            return self.refuse_error(connection, WRONG_KEY);
        }
        let token = (!bare).then(|| token.clone());
        let before = match self.clients.get(id) {
            None => None,
            Some(client) => match client.seat {
                Seat::Connection(before) if token.is_some() && client.token == token => {
                    Some((before, client.number))
                }
                Seat::Connection(_) | Seat::Host => {
                    count(&mut self.counters.refused_id_taken);
                    let payload = Some("ID is taken");
                    return self.refuse(connection, "ID-TAKEN", payload);
                }
            },
        };
        // Who takes its id again does not need room for two.
        let mut room = self.connections.room(peer, None, &self.config);
        if let Some((before, _)) = before
            && room.is_err()
        {
            room = self.connections.room(peer, Some(before), &self.config);
            if room.is_ok() {
                self.connections.remove(before);
                self.outputs
                    .push_back(ServerOutput::Close { connection: before });
            }
        }
        if let Err(full) = room {
            match full {
                Full::Total => count(&mut self.counters.refused_full),
                Full::Address => count(&mut self.counters.refused_address),
            }
            return self.refuse_error(connection, FULL);
        }
        self.outputs.push_back(ServerOutput::Upgrade { connection });
        let seat = Seat::Connection(connection);
        let number = match before {
            None => self.register(id, token, seat),
            Some((_, number)) => {
                // Silently: PeerServer sends no second OPEN, and leaves the old connection alone.
                count(&mut self.counters.replaced);
                debug!(?connection, "took its id again");
                if let Some(client) = self.clients.get_mut(id) {
                    client.seat = seat;
                }
                number
            }
        };
        let registration = Registration {
            id: id.clone(),
            number,
        };
        let deadline = self.now.plus(self.config.alive);
        self.connections
            .insert(connection, peer, Some(registration), deadline);
    }

    fn is_id(&self, id: &str) -> bool {
        !id.is_empty()
            && id.len() <= as_usize(self.config.id)
            && id.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    }

    fn refuse_error(&mut self, connection: ConnectionId, msg: &str) {
        self.refuse(connection, "ERROR", Some(msg));
    }

    fn refuse(&mut self, connection: ConnectionId, kind: &str, msg: Option<&str>) {
        debug!(?connection, kind, "refused");
        let payload = msg.map(|msg| {
            let mut payload = Object::new();
            payload.text("msg", msg);
            payload.end()
        });
        let frame = FrameOut {
            kind,
            src: None,
            dst: None,
            payload: payload.as_deref(),
        };
        let text = frame.to_text();
        self.outputs.extend([
            ServerOutput::Upgrade { connection },
            ServerOutput::Send { connection, text },
            ServerOutput::Close { connection },
        ]);
    }

    /// A new client: OPEN, then what waits for it. Its number.
    fn register(&mut self, id: &str, token: Option<String>, seat: Seat) -> u64 {
        count(&mut self.counters.registered);
        debug!(?seat, "registered");
        self.registrations = self.registrations.wrapping_add(1);
        let number = self.registrations;
        let client = Client {
            number,
            token,
            seat,
        };
        self.clients.insert(id.to_string(), client);
        let open = FrameOut {
            kind: "OPEN",
            src: None,
            dst: None,
            payload: None,
        };
        self.send(seat, open.to_text());
        for text in self.waiting.take_for(id) {
            count(&mut self.counters.relayed_late);
            self.send(seat, text);
        }
        number
    }

    fn set_life(&mut self, connection: ConnectionId, life: Duration) {
        self.connections
            .set_deadline(connection, self.now.plus(life));
    }

    fn close_connection(&mut self, connection: ConnectionId) {
        if self.remove(connection) {
            self.outputs.push_back(ServerOutput::Close { connection });
        }
    }

    /// Forgets a connection, and the client whose seat it was. Whether it was known.
    fn remove(&mut self, connection: ConnectionId) -> bool {
        let registered = self.speaker(connection);
        if let Some((id, seat)) = registered
            && seat == Seat::Connection(connection)
        {
            // Without a word to the others, as PeerServer: their links do not need it.
            debug!(?connection, "gone");
            self.clients.remove(&id);
        }
        self.connections.remove(connection)
    }

    /// As whom a connection may speak, and where that client sits.
    fn speaker(&self, connection: ConnectionId) -> Option<(String, Seat)> {
        let registration = self.connections.registration(connection)?;
        let client = self.clients.get(&registration.id)?;
        (client.number == registration.number).then(|| (registration.id.clone(), client.seat))
    }
}

fn as_usize(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

const fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
