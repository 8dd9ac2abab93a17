//! Model links: what a browser's connections would do, without their insides.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use bytes::Bytes;
use core::time::Duration;

use super::run::What;
use super::world::{NodeIndex, World};
use crate::id::LinkId;
use crate::io::{Channel, Input, LinkCommand, LinkUpdate};
use crate::time::Timestamp;

/// One end of a model link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    pub(super) node: usize,
    /// Which of the node's lives: what was meant for one before a crash is not for the next.
    pub(super) life: u64,
    pub(super) link: LinkId,
}

/// ICE and DTLS, as one wait once both ends know each other: four one-way trips.
const HANDSHAKE_TRIPS: u32 = 4;
/// What SCTP waits before it sends a lost message again.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// All ends of all model links.
#[derive(Debug, Default)]
pub(super) struct ModelLinks {
    ends: BTreeMap<End, ModelEnd>,
}

#[derive(Debug, Default)]
struct ModelEnd {
    /// The other end, once its description came.
    peer: Option<End>,
    /// Reliable messages that are on their way, in order.
    on_the_way: VecDeque<Bytes>,
    /// When the last of them arrives.
    last_arrival: Timestamp,
    /// Bytes given to each channel and not yet acknowledged.
    buffered: [u32; 2],
}

/// What becomes of an end.
#[derive(Debug)]
pub(super) enum ModelUpdate {
    Described,
    Connected,
    Opened,
    State(Bytes),
    Acknowledged { channel: Channel, bytes: u32 },
    Alive { round_trip: Option<Duration> },
    Closed,
}

impl ModelLinks {
    /// The other end, if both know each other.
    fn peer(&self, end: End) -> Option<End> {
        let peer = self.ends.get(&end)?.peer?;
        (self.ends.get(&peer)?.peer == Some(end)).then_some(peer)
    }

    pub(super) fn forget_node(&mut self, node: usize) {
        self.ends.retain(|end, _| end.node != node);
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}

impl ModelEnd {
    fn buffered(&mut self, channel: Channel) -> &mut u32 {
        let [data, state] = &mut self.buffered;
        match channel {
            Channel::Data => data,
            Channel::State => state,
        }
    }
}

impl World {
    pub(super) fn link_command(&mut self, end: End, command: LinkCommand) {
        match command {
            LinkCommand::Open { .. } => {
                self.links.ends.insert(end, ModelEnd::default());
            }
            LinkCommand::CreateOffer => {
                self.update_later(end, Duration::ZERO, ModelUpdate::Described)
            }
            LinkCommand::AcceptOffer { sdp, .. } => {
                self.meet(end, &sdp);
                self.update_later(end, Duration::ZERO, ModelUpdate::Described);
            }
            LinkCommand::AcceptAnswer { sdp, .. } => {
                self.meet(end, &sdp);
                self.connect(end);
            }
            LinkCommand::AddCandidate(_) => {}
            LinkCommand::Send { channel, message } => self.send(end, channel, message.to_bytes()),
            LinkCommand::Probe => self.probe(end),
            LinkCommand::Close => {
                let closed = self.links.ends.remove(&end).and_then(|end| end.peer);
                if let Some(peer) = closed.filter(|peer| self.links.ends.contains_key(peer))
                    && let Some(time) = self.pass_link(end.node, peer.node)
                {
                    self.update_later(peer, time, ModelUpdate::Closed);
                }
            }
        }
    }

    fn meet(&mut self, end: End, sdp: &str) {
        if let Some(own) = self.links.ends.get_mut(&end) {
            own.peer = described(sdp);
        }
    }

    /// Both ends know each other: ICE and DTLS take their time, if the path is whole.
    fn connect(&mut self, end: End) {
        let Some(peer) = self.links.peer(end) else {
            return;
        };
        if !self.meets(end.node, peer.node) {
            return;
        }
        let there = self.path(NodeIndex(end.node), NodeIndex(peer.node));
        let back = self.path(NodeIndex(peer.node), NodeIndex(end.node));
        let trip = there.delay.max(back.delay);
        for (end, trips) in [(end, HANDSHAKE_TRIPS), (peer, HANDSHAKE_TRIPS - 1)] {
            self.update_later(end, trip * 2, ModelUpdate::Connected);
            self.update_later(end, trip * trips, ModelUpdate::Opened);
        }
    }

    fn send(&mut self, end: End, channel: Channel, message: Bytes) {
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let now = self.now;
        let Some(own) = self.links.ends.get_mut(&end) else {
            return;
        };
        let buffered = own.buffered(channel);
        *buffered = buffered.saturating_add(length);
        let Some(peer) = own.peer else { return };
        match channel {
            Channel::Data => {
                own.on_the_way.push_back(message);
                let after = own.last_arrival;
                let at = now.plus(self.retransmitted(end.node, peer.node)).max(after);
                if let Some(own) = self.links.ends.get_mut(&end) {
                    own.last_arrival = at;
                }
                self.schedule(at, What::Arrival(end));
            }
            Channel::State => {
                let trip = self.pass_link(end.node, peer.node);
                if let Some(trip) = trip {
                    self.update_later(peer, trip, ModelUpdate::State(message));
                }
                let round = trip.unwrap_or(RETRANSMISSION) * 2;
                let update = ModelUpdate::Acknowledged {
                    channel,
                    bytes: length,
                };
                self.update_later(end, round, update);
            }
        }
    }

    /// How long a reliable message takes: lost packets are sent again until one passes.
    fn retransmitted(&mut self, from: usize, to: usize) -> Duration {
        let mut waited = Duration::ZERO;
        loop {
            match self.pass_link(from, to) {
                Some(trip) => return waited + trip,
                // The path is cut: the arrival itself will wait.
                None if waited > Duration::from_secs(2) => return waited,
                None => waited += RETRANSMISSION,
            }
        }
    }

    /// The first reliable message on the way is due; while the path is cut it waits.
    pub(super) fn arrival(&mut self, end: End) {
        let Some(peer) = self.links.peer(end) else {
            return;
        };
        let path = self.path(NodeIndex(end.node), NodeIndex(peer.node));
        if path.cut || !self.meets(end.node, peer.node) {
            let at = self.now.plus(RETRANSMISSION);
            if let Some(own) = self.links.ends.get_mut(&end) {
                own.last_arrival = own.last_arrival.max(at);
            }
            self.schedule(at, What::Arrival(end));
            return;
        }
        let Some(own) = self.links.ends.get_mut(&end) else {
            return;
        };
        let Some(payload) = own.on_the_way.pop_front() else {
            return;
        };
        let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let channel = Channel::Data;
        self.update_later(
            end,
            path.delay,
            ModelUpdate::Acknowledged { channel, bytes },
        );
        let update = LinkUpdate::Message { channel, payload };
        self.input_link(peer, update);
    }

    fn probe(&mut self, end: End) {
        let Some(peer) = self.links.peer(end) else {
            return;
        };
        let Some(there) = self.pass_link(end.node, peer.node) else {
            return;
        };
        self.update_later(peer, there, ModelUpdate::Alive { round_trip: None });
        if let Some(back) = self.pass_link(peer.node, end.node) {
            let round_trip = Some(there + back);
            self.update_later(end, there + back, ModelUpdate::Alive { round_trip });
        }
    }

    /// How long the next packet of a link takes, if the boxes between let links pass at all.
    fn pass_link(&mut self, from: usize, to: usize) -> Option<Duration> {
        self.meets(from, to).then(|| self.pass(from, to)).flatten()
    }

    fn update_later(&mut self, end: End, time: Duration, update: ModelUpdate) {
        self.schedule(self.now.plus(time), What::Link { end, update });
    }

    pub(super) fn link_update(&mut self, end: End, update: ModelUpdate) {
        let description;
        let update = match update {
            ModelUpdate::Described => {
                description = describe(end);
                self.input_link(end, LinkUpdate::LocalDescription(&description));
                LinkUpdate::LocalCandidate("candidate:1 1 udp 1 10.0.0.1 9 typ host")
            }
            // The handshake was broken off in the middle.
            ModelUpdate::Connected | ModelUpdate::Opened if !self.is_whole(end) => return,
            ModelUpdate::Connected => LinkUpdate::Connected,
            ModelUpdate::Opened => {
                self.input_link(end, LinkUpdate::ChannelOpened(Channel::Data));
                LinkUpdate::ChannelOpened(Channel::State)
            }
            ModelUpdate::State(payload) => LinkUpdate::Message {
                channel: Channel::State,
                payload,
            },
            ModelUpdate::Acknowledged { channel, bytes } => {
                let Some(own) = self.links.ends.get_mut(&end) else {
                    return;
                };
                let buffered = own.buffered(channel);
                *buffered = buffered.saturating_sub(bytes);
                LinkUpdate::BufferedAmount {
                    channel,
                    bytes: *buffered,
                }
            }
            ModelUpdate::Alive { round_trip } => LinkUpdate::Alive { round_trip },
            ModelUpdate::Closed => LinkUpdate::Closed,
        };
        self.input_link(end, update);
    }

    fn input_link(&mut self, end: End, update: LinkUpdate<'_>) {
        if self.life(end.node) == Some(end.life) {
            self.input(
                end.node,
                Input::Link {
                    link: end.link,
                    update,
                },
            );
        }
    }

    /// Whether packets pass between the two ends at the moment.
    fn is_whole(&self, end: End) -> bool {
        self.links.peer(end).is_some_and(|peer| {
            let (a, b) = (NodeIndex(end.node), NodeIndex(peer.node));
            self.meets(end.node, peer.node) && !self.path(a, b).cut && !self.path(b, a).cut
        })
    }
}

/// A description that names its end.
fn describe(End { node, life, link }: End) -> String {
    format!("v=0\r\na=model:{node} {life} {}\r\n", link.as_u64())
}

/// The end that a description names.
fn described(sdp: &str) -> Option<End> {
    let (_, rest) = sdp.split_once("a=model:")?;
    let mut words = rest.lines().next()?.split(' ');
    Some(End {
        node: words.next()?.parse().ok()?,
        life: words.next()?.parse().ok()?,
        link: LinkId::from_u64(words.next()?.parse().ok()?),
    })
}
