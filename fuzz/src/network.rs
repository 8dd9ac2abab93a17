//! A `Network` from raw inputs: signaling, links, the embedded server, the application and the
//! time, in any order. The fuzzer plays everybody else.

use bytes::Bytes;
use std::time::Duration;

use wattle_core::fuzzing::signaling_id;
use wattle_core::signaling::{ConnectionId, ServerInput, SignalingFailure, SignalingUpdate};
use wattle_core::{
    Channel, Config, Credit, Hosting, LinkFailure, LinkId, LinkUpdate, NodeId, Output, Timestamp,
    Topology,
};

use crate::channel::{self, Names};
use crate::signaling::{self, Heard};
use crate::source::Source;
use crate::watched::{CHANNELS, Watched};

pub(crate) const CODE: &str = "ABCDEF";
pub(crate) const OPEN: &str = r#"{"type":"OPEN"}"#;
pub(crate) const HOST: [u8; 16] = [8; 16];

/// More makes an input slow and says nothing new.
const STEPS: usize = 300;

/// A `Network` from raw inputs; the laws are the oracle.
pub fn network(data: &[u8]) {
    let mut source = Source::new(data);
    let mut stage = Stage::set(&mut source);
    let mut steps = 0;
    while !source.is_empty() && steps < STEPS {
        stage.step(&mut source);
        steps += 1;
    }
    stage.watched.finish();
}

/// A network, and what the fuzzer knows of it.
pub(crate) struct Stage {
    pub watched: Watched,
    pub now: Timestamp,
    pub names: Names,
    pub heard: Heard,
    joiners: u8,
    mesh: bool,
}

impl Stage {
    /// The first choices: the settings, and how far it is already.
    pub(crate) fn set(source: &mut Source<'_>) -> Self {
        let choice = source.u8();
        let mut config = Config::default().with_verbose(choice & 1 == 0);
        if choice & 2 != 0 {
            config = config.with_credit(Credit::OnRelease);
        }
        if choice & 4 != 0 {
            config = config.with_auto_relay(false);
        }
        if choice & 8 != 0 {
            config = config.with_max_nodes(2 + (choice >> 5)).expect("2 to 64");
        }
        let mesh = choice & 16 != 0;
        if mesh {
            config = config.with_topology(Topology::Mesh);
        }
        let mut stage = Self {
            watched: Watched::new(config, [choice; 32]),
            now: Timestamp::from_millis(5),
            names: Names::default(),
            heard: Heard::default(),
            joiners: 0,
            mesh,
        };
        let me = *stage.watched.network.id().as_bytes();
        stage.names.nodes = vec![HOST, me, [52; 16], [53; 16], [60; 16], [61; 16]];
        match source.below(6) {
            0 => {}
            1 => stage.offering(),
            2 => stage.admitted(),
            3 => stage.welcomed(),
            4 => stage.hosting(),
            _ => {
                stage.hosting();
                stage.joined();
                stage.joined();
            }
        }
        stage
    }

    /// Has sent its offer.
    pub(crate) fn offering(&mut self) {
        let now = self.now;
        let code = CODE.parse().expect("a code");
        self.watched.begin(now, |network| network.join(now, &code));
        self.drain();
        self.frame(OPEN);
        let links: Vec<_> = self.watched.links().collect();
        for link in links {
            self.link(link, LinkUpdate::LocalDescription("an offer"));
        }
    }

    /// The host has answered, but the channels are not open.
    pub(crate) fn admitted(&mut self) {
        self.offering();
        let answer = signaling::answer(&self.heard.connection, self.mesh);
        self.frame(&answer);
    }

    /// In the network, as number 1, with the host and nodes 2 and 3.
    pub(crate) fn welcomed(&mut self) {
        self.admitted();
        let links: Vec<_> = self.watched.links().collect();
        for link in links {
            self.link(link, LinkUpdate::Connected);
            for channel in Channel::ALL {
                self.link(link, LinkUpdate::ChannelOpened(channel));
            }
            let me = *self.watched.network.id().as_bytes();
            let payload = channel::welcome(HOST, me, &[(2, [52; 16]), (3, [53; 16])]);
            let channel = Channel::Data;
            self.link(link, LinkUpdate::Message { channel, payload });
        }
    }

    /// Has its code.
    pub(crate) fn hosting(&mut self) {
        let now = self.now;
        let code = CODE.parse().ok();
        self.watched.begin(now, |network| {
            network.host(now, Hosting::Signaling { code })
        });
        self.drain();
        self.frame(OPEN);
    }

    /// One more has joined, if we host and there is room.
    pub(crate) fn joined(&mut self) {
        let node = [60 + self.joiners % 8; 16];
        let peer = format!("peer {}", self.joiners);
        let connection = format!("dc_{}", self.joiners);
        self.joiners = self.joiners.wrapping_add(1);
        let before: Vec<_> = self.watched.links().collect();
        let offer = signaling::offer(&peer, &connection, NodeId::from_bytes(node), "an offer");
        self.frame(&offer);
        let new = self.watched.links().find(|link| !before.contains(link));
        let Some(link) = new else {
            return;
        };
        self.link(link, LinkUpdate::LocalDescription("an answer"));
        self.link(link, LinkUpdate::Connected);
        for channel in Channel::ALL {
            self.link(link, LinkUpdate::ChannelOpened(channel));
        }
        let payload = channel::hello(node);
        let channel = Channel::Data;
        self.link(link, LinkUpdate::Message { channel, payload });
    }

    pub(crate) fn frame(&mut self, text: &str) {
        let id = self.watched.signaling();
        self.watched
            .signaling_update(self.now, SignalingUpdate::Frame(id, text));
        self.drain();
    }

    pub(crate) fn link(&mut self, link: LinkId, update: LinkUpdate<'_>) {
        self.watched.link_update(self.now, link, update);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        let outputs = self.watched.drain();
        self.hear(&outputs);
    }

    fn hear(&mut self, outputs: &[Output]) {
        for output in outputs {
            self.heard.output(output);
        }
    }

    /// Does one thing. The topmost bit leaves its outputs for later.
    fn step(&mut self, source: &mut Source<'_>) {
        let choice = source.u8();
        match choice & 15 {
            0..=2 => self.message(source),
            3 | 4 => self.update(source),
            5 => self.pass_time(source),
            6 => {
                let outputs = self.watched.wake(self.now);
                self.hear(&outputs);
            }
            7 | 8 => self.call(source),
            9 => {
                let text = signaling::frame(source, &self.heard);
                let id = self.watched.signaling();
                self.watched
                    .signaling_update(self.now, SignalingUpdate::Frame(id, &text));
            }
            10 => self.signaling(source),
            11 => self.server(source),
            12 => self.joined(),
            13 => {
                // What the link of the last offer or answer needs to open.
                if let Some(link) = self.some_link(source) {
                    self.link(link, LinkUpdate::LocalDescription("a description"));
                    self.link(link, LinkUpdate::Connected);
                    for channel in Channel::ALL {
                        self.link(link, LinkUpdate::ChannelOpened(channel));
                    }
                }
            }
            14 => {
                // Alive, all of them.
                let links: Vec<_> = self.watched.links().collect();
                let round_trip = source.flag().then_some(Duration::from_millis(30));
                for link in links {
                    self.link(link, LinkUpdate::Alive { round_trip });
                }
            }
            _ => {
                let answer = signaling::answer(&self.heard.connection, self.mesh);
                self.frame(&answer);
            }
        }
        if choice & 128 == 0 {
            self.drain();
        }
    }

    /// Mostly one that there is.
    fn some_link(&self, source: &mut Source<'_>) -> Option<LinkId> {
        let choice = source.u8();
        let links: Vec<_> = self.watched.links().collect();
        match choice {
            0..=239 => links.get(usize::from(choice) % links.len().max(1)).copied(),
            // One that was, may be, or will never be.
            240..=254 => Some(LinkId::from_u64(u64::from(choice - 240))),
            255 => Some(LinkId::from_u64(u64::MAX)),
        }
    }

    fn message(&mut self, source: &mut Source<'_>) {
        let Some(link) = self.some_link(source) else {
            return;
        };
        let channel = source.one_of(&CHANNELS);
        let payload = channel::message(source, &self.names);
        let update = LinkUpdate::Message { channel, payload };
        self.watched.link_update(self.now, link, update);
    }

    fn update(&mut self, source: &mut Source<'_>) {
        let Some(link) = self.some_link(source) else {
            return;
        };
        let kind = source.below(12);
        let channel = source.one_of(&CHANNELS);
        let update = match kind {
            0 => LinkUpdate::LocalDescription("v=0"),
            1 => LinkUpdate::LocalCandidate("candidate:1 1 udp 1 10.0.0.1 5 typ host"),
            2 => LinkUpdate::Connected,
            3 => LinkUpdate::ChannelOpened(channel),
            4 => LinkUpdate::Message {
                channel,
                payload: Bytes::copy_from_slice(source.few()),
            },
            5 | 6 => LinkUpdate::BufferedAmount {
                channel,
                bytes: source.one_of(&[0, 1, 20_000, 65_536, 131_072, u32::MAX]),
            },
            7 => LinkUpdate::Alive {
                round_trip: source.one_of(&[
                    None,
                    Some(Duration::ZERO),
                    Some(Duration::from_millis(40)),
                    Some(Duration::MAX),
                ]),
            },
            8 => LinkUpdate::Disconnected,
            9 => LinkUpdate::Failed(source.one_of(&[
                LinkFailure::Description,
                LinkFailure::Ice,
                LinkFailure::FingerprintMismatch,
                LinkFailure::Dtls,
                LinkFailure::Channel,
                LinkFailure::Platform,
            ])),
            10 => LinkUpdate::Closed,
            _ => LinkUpdate::LocalCandidate(""),
        };
        self.watched.link_update(self.now, link, update);
    }

    fn pass_time(&mut self, source: &mut Source<'_>) {
        let nanos = self.now.as_nanos();
        let choice = source.u8();
        let next = self.watched.network.poll_timeout();
        let millis = |count: u64| Timestamp::from_nanos(nanos).plus(Duration::from_millis(count));
        self.now = match choice {
            0..=99 => next.unwrap_or(self.now).max(self.now),
            100..=149 => millis(u64::from(choice - 99)),
            150..=199 => millis(u64::from(choice - 149) * 20),
            200..=229 => millis(u64::from(choice - 199) * 1000),
            // Back: a machine does not mind.
            230..=239 => Timestamp::from_nanos(nanos.saturating_sub(u64::from(choice) * 1_000_000)),
            240 => Timestamp::ZERO,
            241 => Timestamp::from_nanos(nanos + 1),
            242 => millis(365 * 24 * 3_600_000),
            _ => millis(20),
        };
        if choice < 243 {
            let outputs = self.watched.wake(self.now);
            self.hear(&outputs);
        }
    }

    fn call(&mut self, source: &mut Source<'_>) {
        let now = self.now;
        let kind = source.below(16);
        let choice = usize::from(source.u8());
        let node = self.names.nodes[choice % self.names.nodes.len()];
        let node = NodeId::from_bytes(node);
        let length = source.one_of(&[10, 0, 1, 1000, 20_000, 262_144, 262_145]);
        let payload = Bytes::from(vec![3; length]);
        let watched = &mut self.watched;
        match kind {
            0 => {
                let code = (choice % 2 == 0).then(|| CODE.parse().expect("a code"));
                watched.begin(now, |network| {
                    network.host(now, Hosting::Signaling { code })
                });
            }
            1 => {
                let address = ["192.168.1.42:9000", "0.0.0.0:0", "[::1]:80"][choice % 3];
                let address = address.parse().expect("an address");
                watched.begin(now, |network| network.host(now, Hosting::Lan { address }));
            }
            2 => {
                let code = [CODE, "L1HGE14A-6Y0"][choice % 2].parse().expect("a code");
                watched.begin(now, |network| network.join(now, &code));
            }
            3 if choice < 64 => watched.call(now, |network| network.leave(now)),
            4 => {
                let _ = watched.call(now, |network| network.kick(now, node));
            }
            5..=7 => {
                let _ = watched.call(now, |network| network.broadcast(now, payload));
            }
            8..=10 => {
                let _ = watched.call(now, |network| network.send_to(now, node, payload));
            }
            11 | 12 => {
                let _ = watched.call(now, |network| network.broadcast_state(now, payload));
            }
            13 | 14 => {
                let bytes = length as u32;
                watched.call(now, |network| network.release(now, node, bytes));
            }
            _ => {
                let stats = watched.network.stats(now);
                assert_eq!(stats.status, watched.network.status());
                assert!(watched.network.nodes().count() <= 64);
            }
        }
    }

    fn signaling(&mut self, source: &mut Source<'_>) {
        let id = match source.u8() {
            0..=199 => self.watched.signaling(),
            choice => signaling_id(u64::from(choice - 200)),
        };
        let update = match source.below(6) {
            0 => SignalingUpdate::Opened(id),
            1 => SignalingUpdate::Frame(id, OPEN),
            2 => {
                let status = source.u16();
                let failure = source.one_of(&[
                    SignalingFailure::Closed,
                    SignalingFailure::UnknownHost,
                    SignalingFailure::ConnectionRefused,
                    SignalingFailure::Unreachable,
                    SignalingFailure::Certificate,
                    SignalingFailure::Tls,
                    SignalingFailure::Http(status),
                    SignalingFailure::Protocol,
                    SignalingFailure::TimedOut,
                ]);
                // What was said to it before must not be taken for news to a closed one.
                self.drain();
                self.watched.signaling_closed(id);
                SignalingUpdate::Closed(id, failure)
            }
            3 => SignalingUpdate::Frame(id, r#"{"type":"ID-TAKEN","payload":{"msg":"x"}}"#),
            4 => SignalingUpdate::Frame(id, r#"{"type":"ERROR","payload":{"msg":"x"}}"#),
            _ => SignalingUpdate::Frame(id, r#"{"type":"EXPIRE","src":"ABCDEF"}"#),
        };
        self.watched.signaling_update(self.now, update);
        self.drain();
    }

    fn server(&mut self, source: &mut Source<'_>) {
        // A driver knows what it was told of a connection before it says more of it.
        self.drain();
        let connection = ConnectionId(source.below(4).into());
        let peer = [10, 0, 0, source.below(2)].into();
        match source.below(8) {
            0 => {
                let input = ServerInput::Accepted { connection, peer };
                self.watched
                    .input(self.now, wattle_core::Input::Server(input));
            }
            1 | 2 => {
                let target = source.one_of(&[
                    "/peerjs?key=peerjs&id=peer%200&token=t",
                    "/peerjs?key=peerjs&id=peer%201&token=t",
                    "/peerjs?key=peerjs&id=HOST&token=t",
                    "/peerjs?id=x",
                    "/",
                ]);
                let input = ServerInput::Request {
                    connection,
                    peer,
                    method: source.one_of(&["GET", "OPTIONS", "POST"]),
                    target,
                    upgrade: !source.flag(),
                };
                self.watched
                    .input(self.now, wattle_core::Input::Server(input));
            }
            3 => {
                let input = ServerInput::Closed { connection };
                self.watched.connection_closed(connection);
                self.watched
                    .input(self.now, wattle_core::Input::Server(input));
            }
            _ => {
                let text = signaling::frame(source, &self.heard);
                let text = text.replace("\"src\":\"", "\"dst\":\"HOST\",\"x\":\"");
                let input = ServerInput::Frame {
                    connection,
                    text: &text,
                };
                self.watched
                    .input(self.now, wattle_core::Input::Server(input));
            }
        }
    }
}
