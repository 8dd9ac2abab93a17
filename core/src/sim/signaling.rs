//! Connections between nodes and signaling servers.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::run::What;
use super::world::World;
use crate::io::Input;
use crate::signaling::{
    ConnectionId, Server, ServerInput, ServerOutput, SignalingCommand, SignalingFailure,
    SignalingId, SignalingUpdate,
};

/// Who serves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// The world's own signaling server.
    World,
    /// The embedded server of this node.
    By(usize),
}

/// A connection that a node opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    client: usize,
    signaling: SignalingId,
    served: Served,
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

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

#[derive(Debug)]
pub(super) enum ToServer {
    Request(String),
    Frame(String),
    Closed,
}

#[derive(Debug)]
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
            let at = self.now.plus(self.signaling_delay);
            self.schedule(at, What::ToServer { connection, what });
        }
    }

    fn open_signaling(&mut self, client: usize, signaling: SignalingId, url: &str) {
        let (address, target) = parts(url);
        let served = match address {
            None => self.server.is_some().then_some(Served::World),
            Some(address) => self.lan_host(address).map(Served::By),
        };
        let Some(served) = served else {
            let failure = SignalingFailure::ConnectionRefused;
            self.send_to_client(client, signaling, ToClient::Closed(failure));
            return;
        };
        let connection = ConnectionId(self.connections.next);
        self.connections.next = self.connections.next.saturating_add(1);
        self.connections.open.insert(
            connection,
            Connection {
                client,
                signaling,
                served,
            },
        );
        let at = self.now.plus(self.signaling_delay);
        self.schedule(
            at,
            What::ToServer {
                connection,
                what: ToServer::Request(target),
            },
        );
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
        let one = self.connections.open.get(&connection).copied();
        if let Some(one) = one.filter(|one| one.served == served) {
            self.send_to_client(one.client, one.signaling, what);
        }
    }

    fn send_to_client(&mut self, client: usize, signaling: SignalingId, what: ToClient) {
        let at = self.now.plus(self.signaling_delay);
        self.schedule(
            at,
            What::ToClient {
                client,
                signaling,
                what,
            },
        );
    }

    pub(super) fn arrived_at_client(&mut self, client: usize, id: SignalingId, what: &ToClient) {
        let update = match what {
            ToClient::Opened => SignalingUpdate::Opened(id),
            ToClient::Frame(text) => SignalingUpdate::Frame(id, text),
            ToClient::Closed(failure) => {
                if let Some(connection) = self.connections.find(client, id) {
                    self.connections.open.remove(&connection);
                }
                SignalingUpdate::Closed(id, *failure)
            }
        };
        self.input(client, Input::Signaling(update));
    }

    /// Breaks every connection of this server, as when its machine goes down.
    pub(super) fn break_connections(&mut self, served: Served) {
        let broken: Vec<Connection> = self
            .connections
            .open
            .values()
            .filter(|one| one.served == served)
            .copied()
            .collect();
        for one in broken {
            let what = ToClient::Closed(SignalingFailure::Closed);
            self.send_to_client(one.client, one.signaling, what);
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

/// The address in a URL that names one, and its request target.
fn parts(url: &str) -> (Option<SocketAddr>, String) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, target) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    (authority.parse().ok(), target.into())
}
