//! What the host of a star uploads: the figures of the README.
//!
//! ```text
//! cargo run --release -p wattle-core --example host_upload              2 to 64 nodes
//! cargo run --release -p wattle-core --example host_upload -- 8 100 20  nodes, bytes, states a second
//! ```
//!
//! Every node broadcasts a state at this rate. The nodes are full native ones (ICE, DTLS, SCTP) over
//! virtual paths of 20 ms without losses, in virtual time: what is counted are the datagrams that
//! they ask to be sent, with 28 bytes for the IPv4 and UDP headers of each.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::wildcard_enum_match_arm,
    reason = "a program with std, that needs few of the outputs; an origin for virtual time"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use wattle_core::native::{Input, Interface, Node, Output};
use wattle_core::signaling::{
    ConnectionId, ServerInput, ServerOutput, SignalingCommand, SignalingFailure, SignalingId,
    SignalingUpdate,
};
use wattle_core::{Config, Event, Hosting, NetworkCode, Timestamp};

const TRIP: Duration = Duration::from_millis(20);
/// How long is measured; long enough that the pings (one a second and link) are in it.
const MEASURED: Duration = Duration::from_secs(5);
/// IPv4 without options, and UDP.
const HEADERS: u64 = 28;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<u64> = std::env::args()
        .skip(1)
        .map(|argument| argument.parse())
        .collect::<Result<_, _>>()?;
    let (sizes, bytes, rate) = match arguments[..] {
        [] => (vec![2, 4, 8, 16, 32, 64], 100, 20),
        [nodes, bytes, rate] if (2..=64).contains(&nodes) && rate > 0 => (vec![nodes], bytes, rate),
        _ => return Err("usage: host_upload [NODES BYTES RATE]".into()),
    };
    println!("Every node broadcasts {bytes} bytes of state {rate} times a second.\n");
    println!("| nodes | the host sends | of that payload | packets | a joiner sends |");
    println!("|---:|---:|---:|---:|---:|");
    for nodes in sizes {
        measure(nodes, bytes, rate)?;
    }
    Ok(())
}

fn measure(nodes: u64, bytes: u64, rate: u64) -> Result<(), Box<dyn Error>> {
    let mut world = World::new(nodes)?;
    world.run_until(Timestamp::from_millis(5_000));
    if world
        .nodes
        .iter()
        .any(|node| node.nodes().count() as u64 != nodes)
    {
        return Err("not all nodes joined".into());
    }
    // A second to warm up, then what counts; the nodes' ticks are spread evenly.
    let begin = world.now;
    let interval = Duration::from_secs(1) / u32::try_from(rate * nodes)?;
    let ticks = |time: Duration| rate * nodes * time.as_secs();
    for tick in 0..ticks(Duration::from_secs(1) + MEASURED) {
        world.run_until(begin.plus(interval * u32::try_from(tick)?));
        if tick == ticks(Duration::from_secs(1)) {
            world.sent.fill(Sent::default());
            world.states = 0;
        }
        let node = usize::try_from(tick % nodes)?;
        let payload = vec![0; usize::try_from(bytes)?];
        world.nodes[node].broadcast_state(world.now, payload.into())?;
        world.drain(node);
    }
    let seconds = MEASURED.as_secs();
    let (host, joiner) = (world.sent[0], world.sent[1]);
    if world.states * 100 < ticks(MEASURED) * (nodes - 1) * 95 {
        return Err("states got lost".into());
    }
    // Its own states to all others, and those of each joiner to all but that one.
    let payload = bytes * rate * (nodes - 1) * (nodes - 1);
    println!(
        "| {nodes} | {} kbit/s | {} kbit/s | {}/s | {} kbit/s |",
        host.bits_with_headers() / seconds / 1000,
        payload * 8 / 1000,
        host.packets / seconds,
        joiner.bits_with_headers() / seconds / 1000,
    );
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Sent {
    packets: u64,
    bytes: u64,
}

impl Sent {
    const fn bits_with_headers(self) -> u64 {
        (self.bytes + self.packets * HEADERS) * 8
    }
}

/// All nodes, and what is on its way between them. Signaling takes no time.
struct World {
    now: Timestamp,
    /// The host first.
    nodes: Vec<Node>,
    /// When each node wants to be called.
    due: Vec<Option<Timestamp>>,
    wakes: BTreeSet<(Timestamp, usize)>,
    /// By arrival; the number keeps those of one moment in order.
    datagrams: BTreeMap<(Timestamp, u64), Datagram>,
    number: u64,
    /// The joiners' connections to the host's signaling server.
    connections: Vec<(usize, SignalingId)>,
    sent: Vec<Sent>,
    states: u64,
}

struct Datagram {
    from: usize,
    to: usize,
    payload: bytes::Bytes,
}

impl World {
    fn new(count: u64) -> Result<Self, Box<dyn Error>> {
        let (origin, now) = (Instant::now(), Timestamp::ZERO);
        let count = u8::try_from(count)?;
        let config = Config::default()
            .with_ice_servers(Vec::new())
            .with_max_nodes(count)?;
        let mut nodes = Vec::new();
        for index in 0..count {
            let mut node = Node::new(config.clone(), [index; 32], now, origin);
            let interface = Interface {
                name: "eth0".into(),
                address: address(index.into()),
            };
            node.handle_input(now, Input::Interfaces(&[interface]));
            nodes.push(node);
        }
        let mut world = Self {
            now,
            due: vec![None; nodes.len()],
            sent: vec![Sent::default(); nodes.len()],
            nodes,
            wakes: BTreeSet::new(),
            datagrams: BTreeMap::new(),
            number: 0,
            connections: Vec::new(),
            states: 0,
        };
        let server = SocketAddr::new(address(0).ip(), 9000);
        world.nodes[0].host(now, Hosting::Lan { address: server })?;
        world.drain(0);
        let code = NetworkCode::lan(server)?;
        for joiner in 1..world.nodes.len() {
            world.nodes[joiner].join(now, &code)?;
            world.drain(joiner);
        }
        Ok(world)
    }

    fn run_until(&mut self, end: Timestamp) {
        loop {
            let arrival = self.datagrams.first_key_value().map(|((at, _), _)| *at);
            let wake = self.wakes.first().map(|(at, _)| *at);
            let Some(at) = [arrival, wake].into_iter().flatten().min() else {
                break;
            };
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            if arrival == Some(at) {
                if let Some((_, datagram)) = self.datagrams.pop_first() {
                    self.arrive(&datagram);
                }
            } else if let Some((_, node)) = self.wakes.pop_first() {
                self.due[node] = None;
                self.nodes[node].handle_timeout(self.now);
                self.drain(node);
            }
        }
        self.now = self.now.max(end);
    }

    fn arrive(&mut self, datagram: &Datagram) {
        let input = Input::Datagram {
            local: address(datagram.to),
            remote: address(datagram.from),
            payload: &datagram.payload,
        };
        self.nodes[datagram.to].handle_input(self.now, input);
        self.drain(datagram.to);
    }

    /// Does what a node asks for, and what that leads to at others.
    fn drain(&mut self, me: usize) {
        while let Some(output) = self.nodes[me].poll_output() {
            match output {
                Output::Transmit(datagram) => {
                    let sent = &mut self.sent[me];
                    sent.packets += 1;
                    sent.bytes += datagram.payload.len() as u64;
                    self.number += 1;
                    let parcel = Datagram {
                        from: me,
                        to: index(datagram.remote),
                        payload: datagram.payload,
                    };
                    self.datagrams
                        .insert((self.now.plus(TRIP), self.number), parcel);
                }
                Output::Signaling(command) => self.ask_server(me, &command),
                Output::Server(output) => self.serve(&output),
                Output::Event(Event::State { .. }) => self.states += 1,
                _ => {}
            }
        }
        if let Some(due) = self.due[me].take() {
            self.wakes.remove(&(due, me));
        }
        self.due[me] = self.nodes[me].poll_timeout();
        self.wakes.extend(self.due[me].map(|due| (due, me)));
    }

    fn ask_server(&mut self, from: usize, command: &SignalingCommand) {
        let (SignalingCommand::Open(id, _)
        | SignalingCommand::Send(id, _)
        | SignalingCommand::Close(id)) = command
        else {
            return;
        };
        if matches!(command, SignalingCommand::Open(..)) {
            self.connections.push((from, *id));
        }
        let place = self.connections.iter().position(|end| *end == (from, *id));
        let connection = ConnectionId(place.unwrap_or(usize::MAX) as u64);
        let input = match command {
            SignalingCommand::Open(_, url) => ServerInput::Request {
                connection,
                peer: address(from).ip(),
                method: "GET",
                target: url.find("/peerjs").map_or("", |path| &url[path..]),
                upgrade: true,
            },
            SignalingCommand::Send(_, text) => ServerInput::Frame { connection, text },
            _ => ServerInput::Closed { connection },
        };
        self.nodes[0].handle_input(self.now, Input::Server(input));
        self.drain(0);
    }

    fn serve(&mut self, output: &ServerOutput) {
        let (ServerOutput::Upgrade { connection }
        | ServerOutput::Respond { connection, .. }
        | ServerOutput::Send { connection, .. }
        | ServerOutput::Close { connection }) = output
        else {
            return;
        };
        let Some(&(to, id)) = self.connections.get(connection.0 as usize) else {
            return;
        };
        let update = match output {
            ServerOutput::Upgrade { .. } => SignalingUpdate::Opened(id),
            ServerOutput::Send { text, .. } => SignalingUpdate::Frame(id, text),
            _ => SignalingUpdate::Closed(id, SignalingFailure::Closed),
        };
        self.nodes[to].handle_input(self.now, Input::Signaling(update));
        self.drain(to);
    }
}

/// Node `index` is at 10.0.0.(index + 1).
fn address(index: usize) -> SocketAddr {
    let ip = Ipv4Addr::new(10, 0, 0, index as u8 + 1);
    SocketAddr::new(IpAddr::V4(ip), 5000)
}

fn index(address: SocketAddr) -> usize {
    match address.ip() {
        IpAddr::V4(ip) => usize::from(ip.octets()[3]) - 1,
        IpAddr::V6(_) => 0,
    }
}
