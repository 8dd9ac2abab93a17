//! A network in one piece of memory: what one node says another hears at once, unless a link is
//! held. Some joiners are written by hand and say what a `Network` never would.

use alloc::borrow::ToOwned as _;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::watched::Watched;
use crate::config::Config;
use crate::event::Event;
use crate::id::{LinkId, NodeId};
use crate::io::{Channel, Input, LinkCommand, LinkUpdate, Output};
use crate::link::negotiation::{self, OfferHello};
use crate::network::{Hosting, Network};
use crate::rng::Rng;
use crate::signaling::{
    RelayedKind, SignalingCommand, SignalingId, SignalingUpdate, write_relayed,
};
use crate::time::Timestamp;
use crate::wire::{Bundle, Frame, Hello, Number, Version, decode};

pub(super) const CODE: &str = "ABCDEF";
pub(super) const OPEN: &str = r#"{"type":"OPEN"}"#;
/// The host's place among the nodes.
pub(super) const HOST: usize = 0;

pub(super) struct Room {
    pub(super) now: Timestamp,
    pub(super) nodes: Vec<Watched>,
    news: VecDeque<(usize, News)>,
    wires: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    signaling: BTreeMap<usize, (SignalingId, String)>,
    /// Ends whose data channel goes nowhere for now.
    held: BTreeSet<(usize, LinkId)>,
    waiting: Vec<((usize, LinkId), (Channel, Bytes))>,
    /// The host's links whose other ends make the channels.
    in_band: BTreeSet<LinkId>,
    /// What nodes sent to the signaling server, and to nobody that is there.
    pub(super) unheard: Vec<String>,
    /// The joiners that are written by hand, by the host's link to them.
    pub(super) hands: BTreeMap<LinkId, Hand>,
}

/// What the host said to a joiner that is written by hand.
pub(super) struct Hand {
    pub(super) node: NodeId,
    pub(super) number: Number,
    pub(super) heard: Vec<Frame>,
    pub(super) closed: bool,
    /// Its channels take nothing.
    pub(super) stuck: bool,
    /// What it heard in the JSON dialect, and on which channel; it speaks nothing else.
    pub(super) said: Vec<(Channel, String)>,
}

enum News {
    Signaling(SignalingId, String),
    Described(LinkId),
    Connected(LinkId),
    Opened(LinkId, Channel),
    Message(LinkId, Channel, Bytes),
    Emptied(LinkId, Channel),
    Closed(LinkId),
}

impl Room {
    /// A host that has its code.
    pub(super) fn new(config: Config) -> Self {
        let mut room = Self {
            now: Timestamp::ZERO,
            nodes: Vec::new(),
            news: VecDeque::new(),
            wires: BTreeMap::new(),
            signaling: BTreeMap::new(),
            held: BTreeSet::new(),
            waiting: Vec::new(),
            in_band: BTreeSet::new(),
            unheard: Vec::new(),
            hands: BTreeMap::new(),
        };
        let mut host = Watched::new(config, [1; 32]);
        let code = CODE.parse().unwrap();
        let hosting = Hosting::Signaling { code: Some(code) };
        let outputs = host.begin(room.now, |network| network.host(Timestamp::ZERO, hosting));
        room.nodes.push(host);
        room.see_to(HOST, outputs);
        room.run();
        room
    }

    /// One more honest joiner, which is in.
    pub(super) fn add(&mut self, config: Config) -> usize {
        let index = self.nodes.len();
        self.nodes.push(Watched::new(config, [index as u8 + 1; 32]));
        self.join(index);
        index
    }

    pub(super) fn join(&mut self, index: usize) {
        let (now, code) = (self.now, CODE.parse().unwrap());
        let outputs = self.nodes[index].begin(now, |network| network.join(now, &code));
        self.see_to(index, outputs);
        self.run();
        assert!(
            self.nodes[index].network.nodes().count() > 1,
            "{:?}",
            self.nodes[index].events
        );
    }

    /// One more joiner that is written by hand: admitted and welcomed, and it said hello.
    pub(super) fn add_by_hand(&mut self) -> LinkId {
        let link = self.add_silent();
        let node = self.hands[&link].node;
        let version = Version::OURS;
        self.say(link, &[Frame::Hello(Hello { version, node })]);
        link
    }

    /// The same without a hello.
    pub(super) fn add_silent(&mut self) -> LinkId {
        let nth = self.hands.len() as u8;
        let node = NodeId::from_bytes([200 + nth; 16]);
        let before: Vec<LinkId> = self.hands.keys().copied().collect();
        let offer = offer_frame(
            &format!("hand {nth}"),
            &format!("dc_{nth}"),
            node,
            "by hand",
        );
        self.frame_to(HOST, &offer);
        let link = self
            .hands
            .keys()
            .copied()
            .find(|link| !before.contains(link))
            .expect("the host opens a link");
        let hand = self.hands.get_mut(&link).unwrap();
        hand.node = node;
        hand.number = hand
            .heard
            .iter()
            .find_map(|frame| match frame {
                Frame::Welcome(welcome) => Some(welcome.number),
                _ => None,
            })
            .expect("the host says welcome");
        link
    }

    /// A node wants to come back: the host's link for that, if it lets it.
    pub(super) fn offer_again(&mut self, node: NodeId, number: Number) -> Option<LinkId> {
        let nth = self.hands.len();
        let before: Vec<LinkId> = self.hands.keys().copied().collect();
        let hello = OfferHello {
            version: Version::OURS,
            node,
            native: false,
            resume: Some(number),
        };
        let connection = format!("dc_again_{nth}");
        let offer = negotiation::offer("by hand", &connection, &hello);
        let offer = write_relayed(RelayedKind::Offer, CODE, &offer);
        self.frame_to(HOST, &with_source(&format!("again {nth}"), &offer));
        let new = self
            .hands
            .keys()
            .copied()
            .find(|link| !before.contains(link))?;
        self.hands.get_mut(&new)?.node = node;
        Some(new)
    }

    /// A joiner that is written by hand says something reliably.
    pub(super) fn say(&mut self, link: LinkId, frames: &[Frame]) {
        self.say_bytes(link, Channel::Data, message(frames));
    }

    /// A joiner that is written by hand says something, whatever it may be.
    pub(super) fn say_bytes(&mut self, link: LinkId, channel: Channel, payload: Bytes) {
        self.news
            .push_back((HOST, News::Message(link, channel, payload)));
        self.run();
    }

    /// News of one of the host's links.
    pub(super) fn tell_host(&mut self, link: LinkId, update: LinkUpdate<'_>) {
        let outputs = self.update(HOST, link, update);
        self.see_to(HOST, outputs);
        self.run();
    }

    /// A frame comes to a node from the signaling server.
    pub(super) fn frame_to(&mut self, node: usize, text: &str) {
        let connection = self.signaling[&node].0;
        self.news
            .push_back((node, News::Signaling(connection, text.to_owned())));
        self.run();
    }

    /// An application's call.
    pub(super) fn call<T>(
        &mut self,
        node: usize,
        call: impl FnOnce(&mut Network, Timestamp) -> T,
    ) -> T {
        let now = self.now;
        let (result, outputs) = self.nodes[node].call(now, |network| call(network, now));
        self.see_to(node, outputs);
        self.run();
        result
    }

    /// The host's link to an honest joiner.
    pub(super) fn link_to(&self, node: usize) -> LinkId {
        self.wires
            .iter()
            .find(|((one, _), (other, _))| *one == HOST && *other == node)
            .map(|((_, link), _)| *link)
            .expect("there is a link")
    }

    /// From now on nothing reliable that the host says on this link arrives.
    pub(super) fn hold(&mut self, link: LinkId) {
        self.held.insert((HOST, link));
    }

    /// What was held arrives.
    pub(super) fn release(&mut self, link: LinkId) {
        self.held.remove(&(HOST, link));
        let (now, later) = core::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(end, _)| *end == (HOST, link));
        self.waiting = later;
        for ((node, link), (channel, payload)) in Vec::from_iter::<Vec<_>>(now) {
            self.carry(node, link, channel, payload);
        }
        self.run();
    }

    /// Time passes for everybody.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now.plus(time);
        for _ in 0..1_000_000 {
            let next = self
                .nodes
                .iter()
                .enumerate()
                .filter_map(|(index, node)| Some((node.network.poll_timeout()?, index)))
                .min()
                .filter(|(at, _)| *at <= end);
            let Some((at, index)) = next else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            let outputs = self.nodes[index].wake(self.now);
            self.see_to(index, outputs);
            self.run();
        }
        panic!("time does not pass");
    }

    /// As long, while those written by hand give signs of life.
    pub(super) fn pass_alive(&mut self, time: Duration) {
        let end = self.now.plus(time);
        while self.now < end {
            self.pass(Duration::from_millis(500).min(end.since(self.now)));
            let alive: Vec<LinkId> = self.hands.keys().copied().collect();
            for link in alive {
                self.tell_host(link, LinkUpdate::Alive { round_trip: None });
            }
        }
    }

    /// The payloads that a node got, with their senders.
    pub(super) fn messages(&self, node: usize) -> Vec<(NodeId, Bytes)> {
        self.nodes[node]
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Message { from, payload } => Some((*from, payload.clone())),
                _ => None,
            })
            .collect()
    }

    pub(super) fn id(&self, node: usize) -> NodeId {
        self.nodes[node].network.id()
    }

    fn run(&mut self) {
        for _ in 0..1_000_000 {
            let Some((node, news)) = self.news.pop_front() else {
                return;
            };
            let outputs = match &news {
                News::Signaling(connection, text) => {
                    let update = SignalingUpdate::Frame(*connection, text);
                    self.nodes[node].input(self.now, Input::Signaling(update))
                }
                News::Described(link) => {
                    let sdp = format!("end {node} {}", link.as_u64());
                    self.update(node, *link, LinkUpdate::LocalDescription(&sdp))
                }
                News::Connected(link) => self.update(node, *link, LinkUpdate::Connected),
                News::Opened(link, channel) => {
                    self.update(node, *link, LinkUpdate::ChannelOpened(*channel))
                }
                News::Message(link, channel, payload) => {
                    let (channel, payload) = (*channel, payload.clone());
                    self.update(node, *link, LinkUpdate::Message { channel, payload })
                }
                News::Emptied(link, channel) => {
                    let (channel, bytes) = (*channel, 0);
                    self.update(node, *link, LinkUpdate::BufferedAmount { channel, bytes })
                }
                News::Closed(link) => self.update(node, *link, LinkUpdate::Closed),
            };
            self.see_to(node, outputs);
        }
        panic!("the nodes never rest");
    }

    fn update(&mut self, node: usize, link: LinkId, update: LinkUpdate<'_>) -> Vec<Output> {
        self.nodes[node].input(self.now, Input::Link { link, update })
    }

    fn see_to(&mut self, node: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Signaling(command) => self.signaling_command(node, command),
                Output::Link { link, command } => self.link_command(node, link, command),
                Output::Server(_) | Output::Event(_) => {}
            }
        }
    }

    fn signaling_command(&mut self, node: usize, command: SignalingCommand) {
        match command {
            SignalingCommand::Open(connection, url) => {
                let (_, id) = url.split_once("&id=").unwrap();
                let id = id.split('&').next().unwrap().to_owned();
                self.signaling.insert(node, (connection, id));
                self.news
                    .push_back((node, News::Signaling(connection, OPEN.to_owned())));
            }
            SignalingCommand::Send(_, text) => {
                let target = self
                    .signaling
                    .iter()
                    .find(|(_, (_, id))| text.contains(&format!(r#""dst":"{id}""#)));
                if let Some((to, (connection, _))) = target {
                    let text = with_source(&self.signaling[&node].1, &text);
                    self.news
                        .push_back((*to, News::Signaling(*connection, text)));
                } else {
                    self.unheard.push(text);
                }
            }
            SignalingCommand::Close(_) => {}
        }
    }

    fn link_command(&mut self, node: usize, link: LinkId, command: LinkCommand) {
        match command {
            LinkCommand::Open { .. }
            | LinkCommand::MakeChannel(_)
            | LinkCommand::AddCandidate(_) => {}
            LinkCommand::TakeChannels => {
                self.in_band.insert(link);
            }
            LinkCommand::CreateOffer => self.news.push_back((node, News::Described(link))),
            LinkCommand::AcceptOffer { sdp, .. } => {
                self.news.push_back((node, News::Described(link)));
                if let Some(end) = end(&sdp) {
                    self.wires.insert((node, link), end);
                    self.wires.insert(end, (node, link));
                } else if node == HOST {
                    let hand = Hand {
                        node: NodeId::from_bytes([0; 16]),
                        number: 0,
                        heard: Vec::new(),
                        closed: false,
                        stuck: false,
                        said: Vec::new(),
                    };
                    self.hands.insert(link, hand);
                    if !self.in_band.contains(&link) {
                        self.open((node, link));
                    }
                }
            }
            LinkCommand::AcceptAnswer { .. } => {
                if let Some(end) = self.wires.get(&(node, link)).copied() {
                    self.open((node, link));
                    self.open(end);
                }
            }
            LinkCommand::Send { channel, message } => {
                self.carry(node, link, channel, message.to_bytes());
            }
            LinkCommand::Probe => {}
            LinkCommand::Close => {
                if let Some(end) = self.wires.remove(&(node, link)) {
                    self.wires.remove(&end);
                    self.news.push_back((end.0, News::Closed(end.1)));
                }
                if let Some(hand) = self.hands.get_mut(&link).filter(|_| node == HOST) {
                    hand.closed = true;
                }
            }
        }
    }

    fn open(&mut self, (node, link): (usize, LinkId)) {
        self.news.push_back((node, News::Connected(link)));
        for channel in Channel::ALL {
            self.news.push_back((node, News::Opened(link, channel)));
        }
    }

    fn carry(&mut self, node: usize, link: LinkId, channel: Channel, payload: Bytes) {
        if channel == Channel::Data && self.held.contains(&(node, link)) {
            self.waiting.push(((node, link), (channel, payload)));
            return;
        }
        if let Some((to, other)) = self.wires.get(&(node, link)) {
            self.news
                .push_back((*to, News::Message(*other, channel, payload)));
        } else if let Some(hand) = self.hands.get_mut(&link).filter(|_| node == HOST) {
            if hand.stuck {
                return;
            }
            if self.in_band.contains(&link) {
                let text = String::from_utf8(payload.to_vec()).unwrap();
                hand.said.push((channel, text));
            } else {
                hand.heard.extend(decode(payload, 256).unwrap());
            }
        }
        self.news.push_back((node, News::Emptied(link, channel)));
    }
}

/// The end that a description names.
fn end(sdp: &str) -> Option<(usize, LinkId)> {
    let (node, link) = sdp.strip_prefix("end ")?.split_once(' ')?;
    Some((node.parse().ok()?, LinkId::from_u64(link.parse().ok()?)))
}

/// A channel message with these frames.
pub(super) fn message(frames: &[Frame]) -> Bytes {
    let mut bundle = Bundle::default();
    for frame in frames {
        bundle.push(frame.encode());
    }
    bundle.finish().to_bytes()
}

/// A frame as the signaling server passes it on.
pub(super) fn with_source(source: &str, text: &str) -> String {
    format!(r#"{{"src":"{source}",{}"#, &text[1..])
}

/// An OFFER as the signaling server passes it on to the host.
pub(super) fn offer_frame(source: &str, connection: &str, node: NodeId, sdp: &str) -> String {
    let hello = OfferHello {
        version: Version::OURS,
        node,
        native: false,
        resume: None,
    };
    let offer = negotiation::offer(sdp, connection, &hello);
    with_source(source, &write_relayed(RelayedKind::Offer, CODE, &offer))
}

/// A seeded stream for a test.
pub(super) fn rng(label: &str) -> Rng {
    Rng::new([77; 32]).fork(label)
}
