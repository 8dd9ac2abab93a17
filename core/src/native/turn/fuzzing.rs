//! The TURN client, its readers and the simulated server, for the package in `fuzz/`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::channel_data::{self, Reader};
use super::message::{self, Incoming};
use super::{Credentials, Family, Transport, Turn, TurnEvent};
use crate::rng::Rng;
use crate::sim::turn::TurnServer;
use crate::sim::{TurnConfig, TurnFault};
use crate::time::Timestamp;

/// Where the simulated server is.
const SERVER: [([u16; 8], u16); 2] = [
    ([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201], 3478),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 3478),
];

fn server() -> [SocketAddr; 2] {
    SERVER.map(|(ip, port)| SocketAddr::new(IpAddr::from(ip).to_canonical(), port))
}

/// What a message from a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnMessage {
    /// ChannelData.
    Channel(u16, Vec<u8>),
    /// A Data indication.
    Data(SocketAddr, Vec<u8>),
    /// A response, with all that is read of it.
    Response(String),
}

/// Reads a message from a server.
#[must_use]
pub fn read_turn_message(bytes: &[u8]) -> Option<TurnMessage> {
    if let Some((number, payload)) = channel_data::read(bytes) {
        return Some(TurnMessage::Channel(number, payload.to_vec()));
    }
    match message::read(bytes)? {
        Incoming::Data { peer, payload } => Some(TurnMessage::Data(peer, payload)),
        Incoming::Response(response) => Some(TurnMessage::Response(format!("{response:?}"))),
    }
}

/// The message that carries a payload in a channel.
#[must_use]
pub fn write_channel_data(stream: bool, number: u16, payload: &[u8]) -> Option<Vec<u8>> {
    channel_data::frame(transport(stream), number, payload)
}

/// The message that carries a payload without a channel.
#[must_use]
pub fn write_send_indication(peer: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    message::send_indication([7; 12], peer, payload)
}

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub struct TurnStream(Reader);

impl TurnStream {
    /// The next whole message; `None` if `bytes` are used up.
    ///
    /// # Errors
    /// If the stream is not what TURN speaks.
    #[expect(clippy::result_unit_err, reason = "there is nothing to say about it")]
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, ()> {
        self.0.next(bytes).map_err(|channel_data::Broken| ())
    }
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnNews {
    /// It has a relay address.
    Allocated(SocketAddr),
    /// A payload came from a peer.
    Data(SocketAddr, Bytes),
    /// It goes on, with a trouble.
    Trouble,
    /// It is over, and another server is named, or the same for another port.
    Redirected(SocketAddr),
    /// It is over.
    Over,
}

/// A TURN client.
#[derive(Debug)]
pub struct TurnClient(Turn);

impl TurnClient {
    /// Asks the simulated server for an address, as its user.
    #[must_use]
    pub fn new(now: Timestamp, stream: bool, v6: bool) -> Self {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let rng = Rng::new([1; 32]);
        let [server, _] = server();
        let server = (server, transport(stream));
        Self(Turn::new(now, rng, server, user("secret"), family))
    }

    /// The client of the server that [`TurnNews::Redirected`] names.
    #[must_use]
    pub fn follow(&self, now: Timestamp, to: SocketAddr) -> Self {
        Self(self.0.follow(now, to))
    }

    /// Bytes of the server.
    pub fn handle_message(&mut self, now: Timestamp, bytes: &[u8]) {
        self.0.handle_message(now, bytes);
    }

    /// The time.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.0.handle_timeout(now);
    }

    /// When the time is to be told.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.0.poll_timeout()
    }

    /// What is to be sent.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.0.poll_transmit()
    }

    /// What has happened.
    pub fn poll_news(&mut self) -> Option<TurnNews> {
        Some(match self.0.poll_event()? {
            TurnEvent::Allocated { relayed, .. } => TurnNews::Allocated(relayed),
            TurnEvent::Data { peer, payload } => TurnNews::Data(peer, payload),
            TurnEvent::CredentialsRefused | TurnEvent::Denied { .. } => TurnNews::Trouble,
            TurnEvent::Redirected { to } => TurnNews::Redirected(to),
            TurnEvent::Occupied => TurnNews::Redirected(self.0.server()),
            TurnEvent::Failed(_) | TurnEvent::Lost(_) | TurnEvent::Released => TurnNews::Over,
        })
    }

    /// Lets a peer in.
    pub fn permit(&mut self, now: Timestamp, peer: SocketAddr) -> bool {
        self.0.permit(now, peer)
    }

    /// No more.
    pub fn forget(&mut self, peer: SocketAddr) {
        self.0.forget(peer);
    }

    /// Sends to a peer.
    pub fn send(&mut self, now: Timestamp, peer: SocketAddr, payload: &[u8]) -> bool {
        self.0.send(now, peer, payload)
    }

    /// Asks whether the allocation stands.
    pub fn check(&mut self, now: Timestamp) {
        self.0.check(now);
    }

    /// Another password, and perhaps another name.
    pub fn set_credentials(&mut self, now: Timestamp, name: &str, password: &str) {
        let credentials = Credentials {
            username: name.into(),
            password: password.into(),
        };
        self.0.set_credentials(now, credentials);
    }

    /// Gives the address back.
    pub fn release(&mut self, now: Timestamp) {
        self.0.release(now);
    }
}

/// The simulated server, with one client.
#[derive(Debug)]
pub struct TurnServing(TurnServer);

impl TurnServing {
    /// An honest one whose promises are short: allocations last a minute, nonces ten seconds.
    #[must_use]
    pub fn new() -> Self {
        let config = TurnConfig {
            lifetime: Duration::from_secs(60),
            nonce_lifetime: Duration::from_secs(10),
            ..TurnConfig::default()
        };
        Self(TurnServer::new(config, Rng::new([2; 32]), server()))
    }

    /// Becomes honest again, or faulty in one of six ways.
    pub const fn set_fault(&mut self, fault: u8) {
        self.0.config.fault = match fault % 7 {
            1 => TurnFault::Silence,
            2 => TurnFault::StaleNonce,
            3 => TurnFault::BadIntegrity,
            4 => TurnFault::Garbage,
            5 => TurnFault::Error(437),
            6 => TurnFault::Error(403),
            _ => TurnFault::None,
        };
    }

    /// Forgets everything.
    pub fn restart(&mut self) {
        self.0.restart();
    }

    /// A message of the client; gives the answer.
    pub fn receive(&mut self, now: Timestamp, bytes: &[u8]) -> Option<Bytes> {
        let client = SocketAddr::from(([198, 51, 100, 200], 5000));
        let [local, _] = server();
        let sent = self.0.receive(now, local, client, bytes)?;
        (sent.to == client).then_some(sent.bytes)
    }

    /// A payload of a peer, for the client's relay address; gives the message to the client.
    pub fn relay(
        &mut self,
        now: Timestamp,
        relayed: SocketAddr,
        peer: SocketAddr,
        payload: &[u8],
    ) -> Option<Bytes> {
        let sent = self.0.receive(now, relayed, peer, payload)?;
        Some(sent.bytes)
    }
}

impl Default for TurnServing {
    fn default() -> Self {
        Self::new()
    }
}

fn user(password: &str) -> Credentials {
    Credentials {
        username: "player".into(),
        password: password.into(),
    }
}

const fn transport(stream: bool) -> Transport {
    if stream {
        Transport::Stream
    } else {
        Transport::Datagram
    }
}
