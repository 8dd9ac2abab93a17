//! TURN: its messages, its streams, and a server that means no good.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use wattle_core::Timestamp;
use wattle_core::fuzzing::{
    self, Laws, TurnClient, TurnMessage, TurnNews, TurnServing, TurnStream,
};

use crate::source::Source;

/// How much one datagram, or the time, may bring about.
const MOST_OUTPUTS: u32 = 64;

/// How long a silent server may be waited for: the last answer, 20 s of doubt, pauses, and a last
/// request's patience.
const PATIENCE: Duration = Duration::from_secs(90);

/// Messages from a TURN server: what is read of them is what they say.
pub fn turn_messages(data: &[u8]) {
    match fuzzing::read_turn_message(data) {
        Some(TurnMessage::Channel(number, payload)) => {
            let written = fuzzing::write_channel_data(false, number, &payload);
            assert!(data.starts_with(&written.expect("it came in one")));
        }
        Some(TurnMessage::Data(peer, payload)) => {
            let written = fuzzing::write_send_indication(peer, &payload);
            let mut written = written.expect("it came in one");
            assert!(written.len() <= data.len().max(48 + payload.len().next_multiple_of(4)));
            // What we send and what comes differ in this alone.
            written[1] = 0x17;
            let read = fuzzing::read_turn_message(&written);
            assert_eq!(read, Some(TurnMessage::Data(peer, payload)));
        }
        Some(TurnMessage::Response(_)) | None => {}
    }
    // The simulated server, too, must survive all that clients say.
    TurnServing::new().receive(Timestamp::ZERO, data);
}

/// A stream, cut anywhere: the messages do not depend on the cuts, and none is longer than what
/// came.
pub fn turn_stream(data: &[u8]) {
    let mut source = Source::new(data);
    let cuts: Vec<usize> = source.few().iter().map(|cut| usize::from(*cut)).collect();
    let stream = source.rest();
    let whole = messages(&mut core::iter::once(stream));
    let mut rest = stream;
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, tail) = rest.split_at(cut.min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    assert_eq!(whole, messages(&mut pieces.into_iter()));
    assert!(stream.starts_with(&whole.0.concat()), "not what came");
    for message in &whole.0 {
        assert!(message.len() >= 4 && message.len() % 4 == 0);
        if let Some(TurnMessage::Channel(number, payload)) = fuzzing::read_turn_message(message) {
            let written = fuzzing::write_channel_data(true, number, &payload).expect("it came");
            assert_eq!(written.len(), message.len());
        }
    }
}

/// All messages of a stream, and whether it can be read to its end.
fn messages<'a>(pieces: &mut dyn Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
    let (mut stream, mut all) = (TurnStream::default(), Vec::new());
    for mut bytes in pieces {
        loop {
            match stream.next(&mut bytes) {
                Ok(Some(message)) => all.push(message),
                Ok(None) => break,
                Err(()) => return (all, false),
            }
        }
        assert!(bytes.is_empty(), "left unread");
    }
    (all, true)
}

/// A client and what a hostile server, or somebody on the way to an honest one, does to it.
pub fn turn(data: &[u8]) {
    let mut source = Source::new(data);
    let (stream, v6) = (source.flag(), source.flag());
    let mut game = Game {
        now: Timestamp::from_millis(1),
        client: TurnClient::new(Timestamp::from_millis(1), stream, v6),
        server: TurnServing::new(),
        stream,
        v6,
        sent: Vec::new(),
        answers: Vec::new(),
        permitted: BTreeSet::new(),
        relayed: None,
        redirected: None,
        over: false,
    };
    game.drain(MOST_OUTPUTS);
    while !source.is_empty() {
        game.act(&mut source);
    }
    game.end();
}

struct Game {
    now: Timestamp,
    client: TurnClient,
    server: TurnServing,
    stream: bool,
    v6: bool,
    /// What the client has sent and nobody has seen to.
    sent: Vec<Bytes>,
    /// What it was answered.
    answers: Vec<Bytes>,
    permitted: BTreeSet<SocketAddr>,
    relayed: Option<SocketAddr>,
    redirected: Option<SocketAddr>,
    over: bool,
}

impl Game {
    fn act(&mut self, source: &mut Source<'_>) {
        let now = self.now;
        match source.below(20) {
            // The server does what it should.
            0..=2 => {
                if let Some(answer) = self.honest_answer() {
                    self.hand_in(&answer);
                }
            }
            // Somebody changes it.
            3 => {
                if let Some(answer) = self.honest_answer() {
                    let mut answer = answer.to_vec();
                    let place = usize::from(source.u16()) % answer.len().max(1);
                    match source.below(3) {
                        0 => answer.truncate(place),
                        1 => answer.extend(source.few()),
                        _ => {
                            if let Some(byte) = answer.get_mut(place) {
                                *byte ^= source.u8();
                            }
                        }
                    }
                    self.hand_in(&answer);
                }
            }
            // The server is somebody else, who sees what it is asked.
            4..=6 => {
                if let Some(answer) = self.forged_answer(source) {
                    self.hand_in(&answer);
                }
            }
            7 => {
                let bytes = source.few().to_vec();
                self.hand_in(&bytes);
            }
            8 => {
                let place = usize::from(source.u8());
                if let Some(answer) = self.answers.get(place).cloned() {
                    self.hand_in(&answer);
                }
            }
            9 => drop(self.oldest()),
            10 | 11 => {
                if let Some(at) = self.client.poll_timeout() {
                    self.time(at);
                }
            }
            12 => self.time(now.plus(Duration::from_millis(source.u16().into()))),
            13 => self.time(now.plus(Duration::from_secs(source.u16().into()))),
            14 => {
                let peer = self.peer(source);
                if self.client.permit(now, peer) {
                    self.permitted.insert(peer);
                    assert!(self.permitted.len() <= 256, "too many peers");
                }
                self.drain(MOST_OUTPUTS);
            }
            15 => {
                let peer = self.peer(source);
                self.client.forget(peer);
                self.permitted.remove(&peer);
                self.drain(MOST_OUTPUTS);
            }
            16 => {
                let peer = self.peer(source);
                let payload = source.few();
                let sent = self.client.send(now, peer, payload);
                assert!(!sent || self.is_permitted(peer.ip()), "sent to a stranger");
                assert!(!sent || self.relayed.is_some(), "sent from nowhere");
                self.drain(MOST_OUTPUTS);
                if let Some(relayed) = self.relayed.filter(|_| source.flag()) {
                    let relay = self.server.relay(now, relayed, peer, payload);
                    if let Some(message) = relay {
                        self.hand_in(&message);
                    }
                }
            }
            17 => {
                match source.below(4) {
                    0 => self.client.check(now),
                    1 => self.client.set_credentials(now, "player", "secret"),
                    2 => self.client.set_credentials(now, "player", "wrong"),
                    _ => self.client.set_credentials(now, "another", "secret"),
                }
                self.drain(MOST_OUTPUTS);
            }
            18 => match source.below(4) {
                0 => self.server.restart(),
                1 => self.server.set_fault(source.u8()),
                // Time that goes back is no time.
                2 => {
                    self.client.handle_timeout(Timestamp::ZERO);
                    self.drain(MOST_OUTPUTS);
                }
                _ => {
                    self.client.release(now);
                    self.drain(MOST_OUTPUTS);
                }
            },
            _ => {
                if let Some(to) = self.redirected.take() {
                    self.client = self.client.follow(now, to);
                    self.over = false;
                    self.relayed = None;
                    self.sent.clear();
                    self.drain(MOST_OUTPUTS);
                }
            }
        }
    }

    fn oldest(&mut self) -> Option<Bytes> {
        (!self.sent.is_empty()).then(|| self.sent.remove(0))
    }

    fn honest_answer(&mut self) -> Option<Bytes> {
        let request = self.oldest()?;
        self.server.receive(self.now, &request)
    }

    /// An answer to the oldest message, of any kind and with any attributes.
    fn forged_answer(&mut self, source: &mut Source<'_>) -> Option<Bytes> {
        let request = self.oldest()?;
        let method = request.get(1).copied()?;
        let transaction = request.get(8..20)?.to_vec();
        let mut attributes = Vec::new();
        for _ in 0..source.below(8) {
            let (kind, value): (u16, Vec<u8>) = match source.below(8) {
                // An error.
                0 => (
                    9,
                    [0, 0, source.one_of(&[3, 4, 5]), source.below(100)].into(),
                ),
                // Realm and nonce.
                1 => (0x14, source.one_of(&["wattle.example", "other"]).into()),
                2 => (0x15, source.few().to_vec()),
                // Addresses.
                3 => {
                    let kind = source.one_of(&[0x16, 0x20, 0x8023, 0x12]);
                    (kind, [&[0, 1][..], source.bytes(6)].concat())
                }
                4 => {
                    let kind = source.one_of(&[0x16, 0x20, 0x8023, 0x12]);
                    (kind, [&[0, 2][..], source.bytes(18)].concat())
                }
                // Lifetime.
                5 => (0x0d, source.u32().to_be_bytes().into()),
                // Integrity, or so.
                6 => (0x08, source.bytes(20).to_vec()),
                _ => (source.u16(), source.few().to_vec()),
            };
            attributes.extend(kind.to_be_bytes());
            attributes.extend((value.len() as u16).to_be_bytes());
            attributes.extend(&value);
            attributes.resize(attributes.len().next_multiple_of(4), 0);
        }
        let mut answer = vec![1, method | if source.flag() { 0x10 } else { 0 }];
        answer.extend((attributes.len() as u16).to_be_bytes());
        answer.extend([0x21, 0x12, 0xa4, 0x42]);
        answer.extend(transaction);
        answer.extend(attributes);
        Some(answer.into())
    }

    fn peer(&self, source: &mut Source<'_>) -> SocketAddr {
        let (host, port) = (source.u8(), 1 + u16::from(source.below(4)));
        if self.v6 != (source.below(8) == 7) {
            SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 1, host.into()], port))
        } else {
            SocketAddr::from(([203, 0, 113, host], port))
        }
    }

    fn is_permitted(&self, ip: IpAddr) -> bool {
        self.permitted.iter().any(|peer| peer.ip() == ip)
    }

    fn hand_in(&mut self, bytes: &[u8]) {
        if self.answers.len() < 256 {
            self.answers.push(Bytes::copy_from_slice(bytes));
        }
        let mut most = MOST_OUTPUTS;
        let mut bytes = bytes.to_vec();
        if self.stream {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            most += bytes.len() as u32 / 4 * MOST_OUTPUTS;
        }
        self.client.handle_message(self.now, &bytes);
        self.drain(most);
    }

    fn time(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        self.client.handle_timeout(self.now);
        self.drain(MOST_OUTPUTS);
        Laws::rested(self.now, self.client.poll_timeout());
    }

    fn drain(&mut self, most: u32) {
        let was_over = self.over;
        let mut outputs = 0;
        while let Some(message) = self.client.poll_transmit() {
            outputs += 1;
            assert!(!was_over, "it talks after its end");
            let channel = message[0] & 0xf0 == 0x40;
            let stun = message.get(4..8) == Some(&[0x21, 0x12, 0xa4, 0x42]);
            assert!(channel || stun, "no TURN: {message:?}");
            assert!(!self.stream || message.len() % 4 == 0, "without padding");
            self.sent.push(message);
        }
        while let Some(news) = self.client.poll_news() {
            outputs += 1;
            assert!(!self.over, "{news:?} after the end");
            match news {
                TurnNews::Allocated(relayed) => {
                    assert_eq!(self.relayed, None, "allocated twice");
                    assert_eq!(relayed.is_ipv6(), self.v6);
                    self.relayed = Some(relayed);
                }
                TurnNews::Data(peer, _) => {
                    assert!(self.relayed.is_some(), "data without an allocation");
                    assert!(self.is_permitted(peer.ip()), "data of a stranger");
                }
                TurnNews::Trouble => assert!(self.relayed.is_some(), "trouble with nothing"),
                TurnNews::Redirected(to) => {
                    self.redirected = Some(to);
                    self.over = true;
                }
                TurnNews::Over => self.over = true,
            }
        }
        Laws::amplified(outputs, most);
        Laws::under_way(!self.over, self.client.poll_timeout());
        assert!(!self.over || self.client.poll_timeout().is_none());
        self.sent.truncate(4096);
    }

    /// Nobody answers any more: it notices, or gives up what it holds.
    fn end(&mut self) {
        // With other credentials than those that were refused it asks again.
        self.client.set_credentials(self.now, "player", "again");
        self.client.check(self.now);
        self.drain(MOST_OUTPUTS);
        let begun = self.now;
        let mut steps = 0;
        while let Some(at) = self.client.poll_timeout() {
            steps += 1;
            assert!(steps < 1000, "it goes on and on");
            assert!(at.since(begun) < PATIENCE, "it waits for a silent server");
            self.time(at);
        }
        assert!(self.over, "it hangs");
    }
}
