//! A client and a server with a path between them.

use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;

use crate::native::turn::channel_data::Reader;
use crate::native::turn::{Credentials, Family, Transport, Turn, TurnEvent};
use crate::rng::Rng;
use crate::sim::TurnConfig;
use crate::sim::turn::TurnServer;
use crate::time::{Timestamp, earliest};

pub(super) const SERVER: &str = "192.0.2.1:3478";
pub(super) const SERVER_V6: &str = "[2001:db8::1]:3478";
pub(super) const CLIENT: &str = "198.51.100.200:5000";
pub(super) const PEER: &str = "203.0.113.1:6000";
pub(super) const PEER_V6: &str = "[2001:db8::7]:6000";

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn peer(family: Family) -> SocketAddr {
    let peer = match family {
        Family::V4 => PEER,
        Family::V6 => PEER_V6,
    };
    peer.parse().unwrap()
}

pub(super) const fn padded(transport: Transport, length: usize) -> usize {
    match transport {
        Transport::Datagram => length,
        Transport::Stream => length.next_multiple_of(4),
    }
}

#[derive(Clone, Copy)]
enum Way {
    ToServer,
    ToClient,
}

pub(super) struct Bench {
    pub(super) now: Timestamp,
    pub(super) server: TurnServer,
    pub(super) client: SocketAddr,
    address: SocketAddr,
    turn: Option<Turn>,
    transport: Transport,
    on_the_way: Vec<(Timestamp, u64, Way, Bytes)>,
    rng: Rng,
    reader: Reader,
    /// Of the path to the server and back.
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
    pub(super) loss_per_mille: u64,
    pub(super) twice_per_mille: u64,
    pub(super) dark: bool,
    /// Into pieces of how many bytes a stream is cut.
    pub(super) cut: usize,
    /// Messages to and from the server.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Bytes of the last message that was no request, and of the last that was no response.
    pub(super) last_payload_bytes: usize,
    pub(super) last_data_bytes: usize,
    /// What the server has sent to peers.
    pub(super) relayed: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) events: Vec<(Timestamp, TurnEvent)>,
    data: Vec<(SocketAddr, Vec<u8>)>,
}

impl Bench {
    pub(super) fn new(config: TurnConfig) -> Self {
        Self::seeded(config, 1)
    }

    pub(super) fn seeded(config: TurnConfig, seed: u8) -> Self {
        let addresses = [SERVER, SERVER_V6].map(|it| it.parse().unwrap());
        let rng = Rng::new([seed; 32]);
        Self {
            now: Timestamp::ZERO,
            server: TurnServer::new(config, rng.fork("server"), addresses),
            client: CLIENT.parse().unwrap(),
            address: addresses[0],
            turn: None,
            transport: Transport::Datagram,
            on_the_way: Vec::new(),
            rng,
            reader: Reader::default(),
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
            loss_per_mille: 0,
            twice_per_mille: 0,
            dark: false,
            cut: 1460,
            sent: 0,
            received: 0,
            last_payload_bytes: 0,
            last_data_bytes: 0,
            relayed: Vec::new(),
            events: Vec::new(),
            data: Vec::new(),
        }
    }

    /// With an allocation that stands.
    pub(super) fn allocated(config: TurnConfig, transport: Transport, family: Family) -> Self {
        let mut bench = Self::new(config);
        bench.start(transport, family);
        bench.run_for(secs(1));
        assert!(bench.turn().relayed().is_some());
        bench.events.clear();
        bench
    }

    pub(super) fn start(&mut self, transport: Transport, family: Family) {
        let credentials = Credentials {
            username: "player".into(),
            password: "secret".into(),
        };
        self.start_as(credentials, transport, family);
    }

    pub(super) fn start_as(&mut self, who: Credentials, transport: Transport, family: Family) {
        let rng = Rng::new(self.rng.bytes());
        let server = (self.address, transport);
        self.transport = transport;
        self.turn = Some(Turn::new(self.now, rng, server, who, family));
        self.drain();
    }

    pub(super) fn turn(&self) -> &Turn {
        self.turn.as_ref().unwrap()
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Turn, Timestamp) -> R) -> R {
        let result = act(self.turn.as_mut().unwrap(), self.now);
        self.drain();
        result
    }

    pub(super) fn permit(&mut self, peer: SocketAddr) -> bool {
        self.with(|turn, now| turn.permit(now, peer))
    }

    pub(super) fn forget(&mut self, peer: SocketAddr) {
        self.with(|turn, _| turn.forget(peer));
    }

    pub(super) fn send(&mut self, peer: SocketAddr, payload: &[u8]) -> bool {
        self.with(|turn, now| turn.send(now, peer, payload))
    }

    pub(super) fn check(&mut self) {
        self.with(Turn::check);
    }

    pub(super) fn release(&mut self) {
        self.with(Turn::release);
    }

    pub(super) fn set_credentials(&mut self, credentials: Credentials) {
        self.with(|turn, now| turn.set_credentials(now, credentials));
    }

    pub(super) fn inject(&mut self, bytes: &[u8]) {
        self.with(|turn, now| turn.handle_message(now, bytes));
    }

    pub(super) fn follow(&mut self, to: SocketAddr) {
        self.turn = Some(self.turn().follow(self.now, to));
        self.drain();
    }

    /// Goes on in the same way from another port.
    pub(super) fn from_another_port(&mut self) {
        self.run_for(self.delay);
        self.client.set_port(self.client.port() + 1);
        self.follow(self.turn().server());
    }

    /// A peer sends to the relay address.
    pub(super) fn answer(&mut self, peer: SocketAddr, payload: &[u8]) {
        let Some(relayed) = self.turn().relayed() else {
            return;
        };
        if let Some(sent) = self.server.receive(self.now, relayed, peer, payload) {
            self.last_data_bytes = sent.bytes.len();
            self.answered(sent.bytes);
        }
    }

    /// Nothing is handed in for so long; then all at once.
    pub(super) fn sleep(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        self.on_the_way.clear();
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Runs until the client is over, and gives how.
    pub(super) fn end(&mut self, time: Duration) -> TurnEvent {
        self.run_until(time, |bench| bench.turn().is_over());
        assert!(self.turn().is_over());
        assert_eq!(self.turn().poll_timeout(), None);
        self.take_events().pop().unwrap()
    }

    pub(super) fn take_events(&mut self) -> Vec<TurnEvent> {
        self.events.drain(..).map(|(_, event)| event).collect()
    }

    /// What came from peers since the last time.
    pub(super) fn data(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        core::mem::take(&mut self.data)
    }

    pub(super) fn run_until(
        &mut self,
        time: Duration,
        mut until: impl FnMut(&Self) -> bool,
    ) -> bool {
        let deadline = self.now.plus(time);
        loop {
            if until(self) {
                return true;
            }
            let arrival = self.on_the_way.iter().map(|it| (it.0, it.1)).min();
            let timeout = self.turn().poll_timeout();
            let next = earliest(arrival.map(|it| it.0), timeout);
            let Some(next) = next.filter(|at| *at <= deadline) else {
                self.now = deadline;
                return false;
            };
            self.now = self.now.max(next);
            if let Some(first) = arrival.filter(|it| it.0 <= self.now) {
                let place = self.on_the_way.iter().position(|it| it.1 == first.1);
                let (_, _, way, bytes) = self.on_the_way.remove(place.unwrap());
                match way {
                    Way::ToClient => self.with(|turn, now| turn.handle_message(now, &bytes)),
                    Way::ToServer => self.at_server(&bytes),
                }
            } else {
                self.with(Turn::handle_timeout);
                let next = self.turn().poll_timeout();
                // Law 3 and law 4.
                assert!(next.is_none_or(|at| at > self.now), "it spins");
                assert!(next.is_some() || self.turn().is_over(), "it hangs");
            }
        }
    }

    fn drain(&mut self) {
        while let Some(bytes) = self.turn.as_mut().unwrap().poll_transmit() {
            self.sent += 1;
            if bytes[0] >= 0x40 || bytes[..2] == [0x00, 0x16] {
                self.last_payload_bytes = bytes.len();
            }
            match self.transport {
                Transport::Datagram => self.travel(Way::ToServer, bytes),
                Transport::Stream => self.in_pieces(Way::ToServer, &bytes),
            }
        }
        while let Some(event) = self.turn.as_mut().unwrap().poll_event() {
            if let TurnEvent::Data { peer, payload } = event {
                self.data.push((peer, payload.to_vec()));
            } else {
                self.events.push((self.now, event));
            }
        }
    }

    fn at_server(&mut self, bytes: &[u8]) {
        let mut messages = Vec::new();
        if self.transport == Transport::Datagram {
            messages.push(bytes.to_vec());
        } else {
            let mut bytes = bytes;
            while let Some(message) = self.reader.next(&mut bytes).unwrap() {
                messages.push(message);
            }
        }
        for message in messages {
            let sent = self
                .server
                .receive(self.now, self.address, self.client, &message);
            let Some(sent) = sent else { continue };
            if sent.to == self.client {
                self.answered(sent.bytes);
            } else {
                self.relayed.push((sent.to, sent.bytes.to_vec()));
            }
        }
    }

    fn answered(&mut self, bytes: Bytes) {
        self.received += 1;
        match self.transport {
            Transport::Datagram => self.travel(Way::ToClient, bytes),
            Transport::Stream => {
                let mut bytes = bytes.to_vec();
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                self.in_pieces(Way::ToClient, &bytes);
            }
        }
    }

    fn in_pieces(&mut self, way: Way, bytes: &[u8]) {
        for piece in bytes.chunks(self.cut) {
            self.travel(way, Bytes::copy_from_slice(piece));
        }
    }

    fn travel(&mut self, way: Way, bytes: Bytes) {
        if self.dark || self.rng.below(1000) < self.loss_per_mille {
            return;
        }
        let twice = self.rng.below(1000) < self.twice_per_mille;
        let jitter = self.jitter.as_nanos() as u64;
        let at = |bench: &mut Self| {
            let late = Duration::from_nanos(bench.rng.below(jitter + 1));
            bench.now.plus(bench.delay + late)
        };
        // In the order in which they were sent, if they arrive at the same time.
        let number = self.next_number();
        if twice {
            let at = at(self);
            self.on_the_way.push((at, number + 1, way, bytes.clone()));
        }
        let at = at(self);
        self.on_the_way.push((at, number, way, bytes));
    }

    fn next_number(&mut self) -> u64 {
        let last = self.on_the_way.iter().map(|it| it.1).max();
        last.map_or(0, |last| last + 2)
    }
}
