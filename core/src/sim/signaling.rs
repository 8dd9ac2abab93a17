//! Connections between nodes and signaling servers.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use super::draw::{self, Draw, Kind};
use super::run::What;
use super::world::World;
use crate::io::Input;
use crate::signaling::{
    ConnectionId, Server, ServerInput, ServerOutput, SignalingCommand, SignalingFailure,
    SignalingId, SignalingUpdate,
};
use crate::time::Timestamp;

/// Who serves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// The world's own signaling server.
    World,
    /// The embedded server of this node.
    By(usize),
}

/// How the connections to signaling servers behave; all chances are in a thousand, and zero by
/// default.
///
/// A frame never overtakes another of the same connection and direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by tests, with `..Default::default()`"
)]
pub struct SignalingFaults {
    /// Up to how much longer a frame takes, drawn evenly. Default zero.
    pub jitter: Duration,
    /// How often the server drops a frame.
    pub loss_per_mille: u16,
    /// How often a frame comes twice.
    pub duplicate_per_mille: u16,
    /// How often a frame to a node comes once more, up to ten seconds later, whether its connection
    /// still exists or not.
    pub stale_per_mille: u16,
    /// How often a connection is refused.
    pub refuse_per_mille: u16,
    /// Whether all are. Connections that exist live on.
    pub refusing: bool,
}

/// A connection that a node opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    client: usize,
    life: u64,
    signaling: SignalingId,
    served: Served,
    /// When the last frame arrives at the server and at the client.
    last: [Timestamp; 2],
    /// How many frames were sent, both ways.
    frames: u64,
}

/// All connections, by the name that their server knows them by.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: BTreeMap<ConnectionId, Connection>,
    next: u64,
}

impl Connections {
    fn find(&self, client: usize, signaling: SignalingId) -> Option<ConnectionId> {
        self.open
            .iter()
            .find(|(_, one)| one.client == client && one.signaling == signaling)
            .map(|(id, _)| *id)
    }

    /// How many a client has.
    pub(super) fn of(&self, client: usize) -> usize {
        let of = self.open.values().filter(|one| one.client == client);
        of.count()
    }

    /// Who opened it, and who serves it.
    pub(super) fn ends(&self, connection: ConnectionId) -> Option<(usize, Served)> {
        let one = self.open.get(&connection)?;
        Some((one.client, one.served))
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

#[derive(Clone, Debug)]
pub(super) enum ToServer {
    Request(String),
    Frame(String),
    Closed,
}

#[derive(Clone, Debug)]
pub(super) enum ToClient {
    Opened,
    Frame(String),
    Closed(SignalingFailure),
}

impl World {
    pub(super) fn signaling_command(&mut self, client: usize, command: SignalingCommand) {
        let (id, what) = match command {
            SignalingCommand::Open(id, url) => {
                self.open_signaling(client, id, &url);
                return;
            }
            SignalingCommand::Send(id, text) => (id, ToServer::Frame(text)),
            SignalingCommand::Close(id) => (id, ToServer::Closed),
        };
        if let Some(connection) = self.connections.find(client, id) {
            self.send_to_server(connection, what);
        }
    }

    fn open_signaling(&mut self, client: usize, signaling: SignalingId, url: &str) {
        let (address, target) = parts(url);
        let served = match address {
            None => self.server.is_some().then_some(Served::World),
            Some(address) => self.lan_host(address).map(Served::By),
        };
        let life = self.life(client).unwrap_or_default();
        let cut = match served {
            Some(Served::By(index)) => self.is_isolated(index),
            Some(Served::World) | None => false,
        };
        let refused = self.signaling_faults.refusing
            || signaling_draw(self.seed, client, life, signaling, u64::MAX)
                .chance(0, self.signaling_faults.refuse_per_mille);
        let failure = if cut || self.is_isolated(client) {
            Some(SignalingFailure::Unreachable)
        } else if refused {
            Some(SignalingFailure::ConnectionRefused)
        } else {
            None
        };
        let served = match (served, failure) {
            (Some(served), None) => served,
            (_, failure) => {
                // Told by the node's own machine, if there is no way.
                let failure = failure.unwrap_or(SignalingFailure::ConnectionRefused);
                let what = ToClient::Closed(failure);
                let what = What::ToClient {
                    client,
                    life,
                    signaling,
                    what,
                };
                self.schedule(self.now.plus(self.signaling_delay), what);
                return;
            }
        };
        let connection = ConnectionId(self.connections.next);
        self.connections.next = self.connections.next.saturating_add(1);
        self.connections.open.insert(
            connection,
            Connection {
                client,
                life,
                signaling,
                served,
                last: [Timestamp::ZERO; 2],
                frames: 0,
            },
        );
        self.send_to_server(connection, ToServer::Request(target));
    }

    /// When what is sent over a connection arrives, and when it does so once more.
    ///
    /// `side`: 0 to the server, 1 to the client.
    fn post(
        &mut self,
        connection: ConnectionId,
        side: usize,
        is_frame: bool,
    ) -> Option<(Connection, Draw, Vec<Timestamp>)> {
        let (seed, now, delay) = (self.seed, self.now, self.signaling_delay);
        let faults = self.signaling_faults;
        let one = self.connections.open.get_mut(&connection)?;
        one.frames = one.frames.wrapping_add(1);
        let draw = signaling_draw(seed, one.client, one.life, one.signaling, one.frames);
        let last = one.last.get_mut(side)?;
        let at = now.plus(delay + draw.up_to(0, faults.jitter)).max(*last);
        *last = at;
        let mut times = Vec::new();
        if !is_frame || !draw.chance(1, faults.loss_per_mille) {
            times.push(at);
        }
        if is_frame && draw.chance(2, faults.duplicate_per_mille) {
            times.push(at);
        }
        Some((*one, draw, times))
    }

    fn send_to_server(&mut self, connection: ConnectionId, what: ToServer) {
        let is_frame = matches!(what, ToServer::Frame(_));
        let Some((_, _, times)) = self.post(connection, 0, is_frame) else {
            return;
        };
        for at in times {
            let what = what.clone();
            self.schedule(at, What::ToServer { connection, what });
        }
    }

    fn send_to_client(&mut self, connection: ConnectionId, what: &ToClient) {
        let is_frame = matches!(what, ToClient::Frame(_));
        let Some((one, draw, mut times)) = self.post(connection, 1, is_frame) else {
            return;
        };
        if is_frame && draw.chance(3, self.signaling_faults.stale_per_mille) {
            let late = draw.up_to(4, Duration::from_secs(10));
            times.push(self.now.plus(self.signaling_delay + late));
        }
        for at in times {
            let what = What::ToClient {
                client: one.client,
                life: one.life,
                signaling: one.signaling,
                what: what.clone(),
            };
            self.schedule(at, what);
        }
    }

    pub(super) fn arrived_at_server(&mut self, connection: ConnectionId, what: &ToServer) {
        let Some(one) = self.connections.open.get(&connection).copied() else {
            return;
        };
        let input = match what {
            ToServer::Request(target) => ServerInput::Request {
                connection,
                peer: IpAddr::V4(Ipv4Addr::new(10, 0, 0, one.client as u8)),
                method: "GET",
                target,
                upgrade: true,
            },
            ToServer::Frame(text) => ServerInput::Frame { connection, text },
            ToServer::Closed => {
                self.connections.open.remove(&connection);
                ServerInput::Closed { connection }
            }
        };
        self.server_input(one.served, input);
    }

    fn server_input(&mut self, served: Served, input: ServerInput<'_>) {
        match served {
            Served::World => {
                let now = self.now;
                if let Some(server) = &mut self.server {
                    server.handle_input(now, input);
                }
                self.drain_server();
            }
            Served::By(index) => self.input(index, Input::Server(input)),
        }
    }

    pub(super) fn drain_server(&mut self) {
        while let Some(output) = self.server.as_mut().and_then(Server::poll_output) {
            self.server_output(Served::World, output);
        }
        self.set_server_wake();
    }

    pub(super) fn server_output(&mut self, served: Served, output: ServerOutput) {
        let (connection, what) = match output {
            ServerOutput::Upgrade { connection } => (connection, ToClient::Opened),
            ServerOutput::Send { connection, text } => (connection, ToClient::Frame(text)),
            ServerOutput::Close { connection } => {
                (connection, ToClient::Closed(SignalingFailure::Closed))
            }
            ServerOutput::Respond {
                connection, status, ..
            } => (connection, ToClient::Closed(SignalingFailure::Http(status))),
        };
        let one = self.connections.open.get(&connection);
        if one.is_some_and(|one| one.served == served) {
            self.send_to_client(connection, &what);
        }
    }

    pub(super) fn arrived_at_client(
        &mut self,
        client: usize,
        life: u64,
        id: SignalingId,
        what: &ToClient,
    ) {
        if let ToClient::Closed(_) = what
            && let Some(connection) = self.connections.find(client, id)
        {
            self.connections.open.remove(&connection);
        }
        if self.life(client) != Some(life) {
            // Its socket went with the node that had it.
            return;
        }
        let update = match what {
            ToClient::Opened => SignalingUpdate::Opened(id),
            ToClient::Frame(text) => SignalingUpdate::Frame(id, text),
            ToClient::Closed(failure) => SignalingUpdate::Closed(id, *failure),
        };
        self.input(client, Input::Signaling(update));
    }

    /// Breaks every connection of this server, as when its machine goes down.
    pub(super) fn break_connections(&mut self, served: Served) {
        let broken: Vec<ConnectionId> = self
            .connections
            .open
            .iter()
            .filter(|(_, one)| one.served == served)
            .map(|(id, _)| *id)
            .collect();
        for connection in broken {
            let what = ToClient::Closed(SignalingFailure::Closed);
            self.send_to_client(connection, &what);
        }
    }

    /// A node is gone, and with it the connections that it had opened.
    pub(super) fn drop_client(&mut self, client: usize) {
        let gone: Vec<_> = self
            .connections
            .open
            .iter()
            .filter(|(_, one)| one.client == client)
            .map(|(id, one)| (*id, one.served))
            .collect();
        for (connection, served) in gone {
            self.connections.open.remove(&connection);
            self.server_input(served, ServerInput::Closed { connection });
        }
    }
}

/// What is drawn for the n-th frame of a connection.
fn signaling_draw(seed: u64, client: usize, life: u64, signaling: SignalingId, n: u64) -> Draw {
    let client = (client as u64) << 32 | life;
    Draw::of(draw::key(seed, Kind::Signaling, client, signaling.0), n)
}

/// The address in a URL that names one, and its request target.
fn parts(url: &str) -> (Option<SocketAddr>, String) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, target) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    (authority.parse().ok(), target.into())
}
