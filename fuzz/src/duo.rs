//! Two full native nodes, a host on the LAN and a joiner, and the air between them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wattle_core::fuzzing::Laws;
use wattle_core::native::{Input, Interface, Node, Output};
use wattle_core::signaling::{
    ConnectionId, ServerInput, ServerOutput, SignalingCommand, SignalingFailure, SignalingId,
    SignalingUpdate,
};
use wattle_core::{Config, Event, Hosting, NetworkCode, Status, Timestamp};

/// The host's place.
pub(crate) const HOST: usize = 0;
/// The joiner's place.
pub(crate) const JOINER: usize = 1;

/// How long a datagram takes.
pub(crate) const DELAY: Duration = Duration::from_millis(5);

/// A datagram under way.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub to: usize,
    /// The socket that it comes to.
    pub local: SocketAddr,
    /// Whom it seems to be from.
    pub remote: SocketAddr,
    pub payload: Bytes,
}

/// Two nodes and the air between them.
pub(crate) struct Duo {
    pub nodes: [Node; 2],
    pub now: Timestamp,
    pub events: [Vec<Event>; 2],
    laws: [Laws; 2],
    open: [bool; 2],
    sequence: u64,
    air: BTreeMap<(Timestamp, u64), Parcel>,
    /// What nodes sent and nobody has seen to: who decides what becomes of it empties this.
    pub sent: Vec<Parcel>,
    /// Where nodes may send to: addresses that somebody gave them.
    pub given: BTreeSet<SocketAddr>,
    signaling: Option<SignalingId>,
}

pub(crate) fn address(of: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + of as u8], 5000))
}

impl Duo {
    /// Hosts, and lets the other join.
    pub(crate) fn new(seed: u8) -> Self {
        let origin = Instant::now();
        let nodes = [HOST, JOINER].map(|of| {
            let seed = [seed.wrapping_mul(2).wrapping_add(of as u8); 32];
            Node::new(
                Config::default().with_ice_servers(Vec::new()),
                seed,
                Timestamp::ZERO,
                origin,
            )
        });
        let mut duo = Self {
            nodes,
            now: Timestamp::from_millis(1),
            events: [const { Vec::new() }; 2],
            laws: Default::default(),
            open: [false; 2],
            sequence: 0,
            air: BTreeMap::new(),
            sent: Vec::new(),
            given: [address(HOST), address(JOINER)].into(),
            signaling: None,
        };
        for of in [HOST, JOINER] {
            let interface = Interface {
                name: "eth0".into(),
                address: address(of),
            };
            duo.input(of, Input::Interfaces(&[interface]));
        }
        let lan: SocketAddr = ([10, 0, 0, 1], 9000).into();
        let code = NetworkCode::lan(lan).expect("an address of a LAN");
        let now = duo.now;
        duo.laws.iter_mut().for_each(Laws::started);
        duo.open = [true; 2];
        duo.nodes[HOST]
            .host(now, Hosting::Lan { address: lan })
            .expect("hosts");
        duo.drain(HOST);
        duo.nodes[JOINER].join(now, &code).expect("joins");
        duo.drain(JOINER);
        duo
    }

    pub(crate) fn input(&mut self, of: usize, input: Input<'_>) {
        self.nodes[of].handle_input(self.now, input);
        self.drain(of);
    }

    /// Lets a datagram fly.
    pub(crate) fn post(&mut self, delay: Duration, parcel: Parcel) {
        self.sequence += 1;
        self.air
            .insert((self.now.plus(delay), self.sequence), parcel);
    }

    /// The next thing that happens, not after `deadline`; `false` if there is none.
    pub(crate) fn step(&mut self, deadline: Timestamp) -> bool {
        let arrival = self.air.first_key_value().map(|((at, _), _)| *at);
        let timeouts = [HOST, JOINER].map(|of| self.nodes[of].poll_timeout());
        let wake = timeouts.into_iter().flatten().min();
        let Some(at) = arrival
            .into_iter()
            .chain(wake)
            .min()
            .filter(|at| *at <= deadline)
        else {
            self.now = self.now.max(deadline);
            return false;
        };
        self.now = self.now.max(at);
        if arrival == Some(at) {
            let (_, parcel) = self.air.pop_first().expect("it was there");
            let Parcel {
                to,
                local,
                remote,
                payload,
            } = parcel;
            let payload = payload.as_ref();
            self.input(
                to,
                Input::Datagram {
                    local,
                    remote,
                    payload,
                },
            );
        } else {
            let of = if timeouts[HOST] == Some(at) {
                HOST
            } else {
                JOINER
            };
            self.nodes[of].handle_timeout(self.now);
            self.drain(of);
            Laws::rested(self.now, self.nodes[of].poll_timeout());
        }
        true
    }

    /// All that was sent arrives as it should, for this long.
    pub(crate) fn run(&mut self, time: Duration) {
        let deadline = self.now.plus(time);
        loop {
            for parcel in std::mem::take(&mut self.sent) {
                self.post(DELAY, parcel);
            }
            if !self.step(deadline) {
                break;
            }
        }
    }

    /// Takes all outputs of a node; datagrams wait in `sent`.
    pub(crate) fn drain(&mut self, of: usize) {
        let mut signaling = Vec::new();
        let mut outputs = 0;
        while let Some(output) = self.nodes[of].poll_output() {
            outputs += 1;
            match output {
                Output::Transmit(transmit) => {
                    let (local, remote) = (transmit.local, transmit.remote);
                    assert_eq!(local, address(of), "a socket that is not ours");
                    assert!(self.given.contains(&remote), "{remote}: nobody gave it us");
                    assert!(transmit.payload.len() <= 1500, "{}", transmit.payload.len());
                    if remote == address(1 - of) {
                        self.sent.push(Parcel {
                            to: 1 - of,
                            local: remote,
                            remote: local,
                            payload: transmit.payload,
                        });
                    }
                }
                Output::Event(event) => {
                    self.laws[of].event(&event);
                    if matches!(event, Event::Ended { .. }) {
                        self.open[of] = false;
                    }
                    self.events[of].push(event);
                }
                other => signaling.push(other),
            }
        }
        // One call of ours may be several inputs of the network inside, each with its own limit.
        Laws::amplified(outputs, 3 * 4096);
        let status = self.nodes[of].status();
        let under_way = matches!(status, Status::Connecting | Status::Leaving);
        Laws::under_way(under_way, self.nodes[of].poll_timeout());
        assert_eq!(status != Status::Idle, self.open[of], "law 8: {status:?}");
        for output in signaling {
            self.signal(output);
        }
    }

    /// The joiner's WebSocket to the server that the host embeds, which takes no time.
    fn signal(&mut self, output: Output) {
        let connection = ConnectionId(1);
        let peer = address(JOINER).ip();
        match output {
            Output::Signaling(SignalingCommand::Open(id, url)) => {
                self.signaling = Some(id);
                let target = url.split_once("9000").map_or("", |(_, target)| target);
                self.input(
                    HOST,
                    Input::Server(ServerInput::Request {
                        connection,
                        peer,
                        method: "GET",
                        target,
                        upgrade: true,
                    }),
                );
            }
            Output::Signaling(SignalingCommand::Send(_, text)) => {
                let text = text.as_str();
                self.input(HOST, Input::Server(ServerInput::Frame { connection, text }));
            }
            Output::Signaling(SignalingCommand::Close(_)) => {
                self.signaling = None;
                self.input(HOST, Input::Server(ServerInput::Closed { connection }));
            }
            Output::Server(output) => {
                let Some(id) = self.signaling else {
                    return;
                };
                let update = match &output {
                    ServerOutput::Upgrade { .. } => SignalingUpdate::Opened(id),
                    ServerOutput::Send { text, .. } => SignalingUpdate::Frame(id, text),
                    _ => {
                        self.signaling = None;
                        SignalingUpdate::Closed(id, SignalingFailure::Closed)
                    }
                };
                self.input(JOINER, Input::Signaling(update));
            }
            _ => {}
        }
    }

    /// Whether both are in the network and see each other.
    pub(crate) fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| node.nodes().count() == 2)
    }

    /// Everybody leaves; that comes to an end, and nothing stays.
    pub(crate) fn finish(&mut self) {
        let now = self.now;
        for of in [JOINER, HOST] {
            self.nodes[of].leave(now);
            self.drain(of);
        }
        self.run(Duration::from_secs(10));
        for of in [HOST, JOINER] {
            assert_eq!(
                self.nodes[of].status(),
                Status::Idle,
                "law 4: it never ended"
            );
            assert_eq!(self.nodes[of].poll_timeout(), None, "something is left");
        }
    }
}
