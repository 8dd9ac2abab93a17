//! Model links: what a browser's connections would do, without their insides.

mod news;
mod transfer;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

pub(super) use self::news::{ModelUpdate, Stale};
use self::transfer::{Buffer, OnTheWay};
use super::world::World;
use crate::id::LinkId;
use crate::io::{Channel, LinkCommand};
use crate::time::Timestamp;

/// One end of a model link; never used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndIndex(usize);

/// What comes on top of what a packet carries: IP, UDP, DTLS and SCTP.
const HEADERS: u32 = 90;
/// How long ICE, DTLS and consent checks wait before they try again (RFC 8445, section 14.3).
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// How long ICE looks for a path, as browsers do, and how long a connection without one is kept
/// (RFC 7675, section 5.1).
const ICE_PATIENCE: Duration = Duration::from_secs(30);
/// How soon a browser says that a path does not work.
const DISCONNECTED: Duration = Duration::from_secs(5);

/// All ends of all model links.
#[derive(Debug, Default)]
pub(super) struct ModelLinks {
    ends: Vec<ModelEnd>,
    live: usize,
}

#[derive(Debug)]
struct ModelEnd {
    node: usize,
    /// Which of the node's lives: what was meant for one before a crash is not for the next.
    life: u64,
    link: LinkId,
    /// How many draws were made for its quirks.
    drawn: u64,
    /// `None`: closed.
    live: Option<Box<Live>>,
}

#[derive(Debug, Default)]
struct Live {
    /// The other end, once its description came.
    peer: Option<EndIndex>,
    stage: Stage,
    /// How many trips of its ICE and DTLS have passed.
    trips: u8,
    /// Since when nothing passes.
    dark: Option<Timestamp>,
    /// The node was told that the path does not work.
    disconnected: bool,
    /// Reliable messages that are on their way, in order.
    on_the_way: VecDeque<OnTheWay>,
    /// What is to happen to the first of them is scheduled.
    arriving: bool,
    /// When the last of them arrives at the earliest.
    last_due: Timestamp,
    /// How long SCTP waits for the next acknowledgement; grows with each that does not come.
    patience: Option<Duration>,
    data: Buffer,
    state: Buffer,
    /// The channels that it makes itself, in-band; `None`: both ends make both.
    makes: Option<[bool; 2]>,
    /// The other end makes them.
    takes: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    New,
    Connected,
    Open,
    Failed,
}

impl ModelLinks {
    fn live(&self, EndIndex(end): EndIndex) -> Option<&Live> {
        self.ends.get(end)?.live.as_deref()
    }

    fn live_mut(&mut self, EndIndex(end): EndIndex) -> Option<&mut Live> {
        self.ends.get_mut(end)?.live.as_deref_mut()
    }

    /// The other end, if both know each other.
    pub(super) fn peer(&self, end: EndIndex) -> Option<EndIndex> {
        let peer = self.live(end)?.peer?;
        (self.live(peer)?.peer == Some(end)).then_some(peer)
    }

    pub(super) fn node(&self, EndIndex(end): EndIndex) -> Option<usize> {
        self.ends.get(end).map(|end| end.node)
    }

    /// How many ends a node has.
    pub(super) fn of(&self, node: usize) -> usize {
        let of = |end: &&ModelEnd| end.node == node && end.live.is_some();
        self.ends.iter().filter(of).count()
    }

    pub(super) fn link(&self, EndIndex(end): EndIndex) -> Option<(usize, u64, LinkId)> {
        let end = self.ends.get(end)?;
        Some((end.node, end.life, end.link))
    }

    /// The number of the next draw for an end's quirks.
    pub(super) fn next_draw(&mut self, EndIndex(end): EndIndex) -> u64 {
        let Some(end) = self.ends.get_mut(end) else {
            return 0;
        };
        end.drawn = end.drawn.wrapping_add(1);
        end.drawn
    }

    pub(super) const fn len(&self) -> usize {
        self.live
    }

    fn close(&mut self, EndIndex(end): EndIndex) -> Option<Box<Live>> {
        let live = self.ends.get_mut(end)?.live.take()?;
        self.live = self.live.saturating_sub(1);
        Some(live)
    }
}

impl World {
    pub(super) fn link_command(&mut self, node: usize, link: LinkId, command: LinkCommand) {
        if let LinkCommand::Open { .. } = command {
            self.open_link(node, link);
            return;
        }
        let Some(end) = self.nodes.get(node).and_then(|node| node.ends.get(&link)) else {
            return;
        };
        let end = *end;
        match command {
            LinkCommand::Open { .. } => {}
            LinkCommand::CreateOffer => self.complete(end, Duration::ZERO, ModelUpdate::Described),
            LinkCommand::AcceptOffer { sdp, .. } => {
                self.meet(end, &sdp);
                self.complete(end, Duration::ZERO, ModelUpdate::Described);
                self.update_later(end, ICE_PATIENCE, ModelUpdate::Patience);
            }
            LinkCommand::AcceptAnswer { sdp, .. } => {
                self.meet(end, &sdp);
                self.check(end);
                self.update_later(end, ICE_PATIENCE, ModelUpdate::Patience);
            }
            LinkCommand::TakeChannels => {
                if let Some(own) = self.links.live_mut(end) {
                    own.takes = true;
                }
            }
            LinkCommand::MakeChannel(channel) => {
                if let Some(own) = self.links.live_mut(end) {
                    let [data, state] = own.makes.get_or_insert_default();
                    *match channel {
                        Channel::Data => data,
                        Channel::State => state,
                    } = true;
                }
            }
            LinkCommand::Send { channel, .. } if !self.has_channel(end, channel) => {}
            LinkCommand::AddCandidate(_) => {}
            LinkCommand::Send { channel, message } => {
                let message = message.into_bytes();
                match channel {
                    Channel::Data => self.send_data(end, message),
                    Channel::State => self.send_state(end, message),
                }
            }
            LinkCommand::Probe => self.probe(end),
            LinkCommand::Close => self.close_end(end),
        }
    }

    /// Whether an end has this channel, as far as it is known.
    fn has_channel(&self, end: EndIndex, channel: Channel) -> bool {
        let Some(own) = self.links.live(end) else {
            return false;
        };
        let makes = if own.takes {
            let peer = own.peer.and_then(|peer| self.links.live(peer));
            peer.and_then(|peer| peer.makes).unwrap_or_default()
        } else {
            own.makes.unwrap_or([true; 2])
        };
        let [data, state] = makes;
        match channel {
            Channel::Data => data,
            Channel::State => state,
        }
    }

    fn open_link(&mut self, index: usize, link: LinkId) {
        let life = self.life(index).unwrap_or_default();
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        let end = EndIndex(self.links.ends.len());
        self.links.ends.push(ModelEnd {
            node: index,
            life,
            link,
            drawn: 0,
            live: Some(Box::default()),
        });
        self.links.live = self.links.live.saturating_add(1);
        node.ends.insert(link, end);
        node.links_opened = node.links_opened.saturating_add(1);
        self.fail_at_random(end);
    }

    fn meet(&mut self, end: EndIndex, sdp: &str) {
        if let Some(own) = self.links.live_mut(end) {
            own.peer = described(sdp);
        }
    }

    /// Both ends know each other: ICE and DTLS take their time, four trips in all; what is lost is
    /// sent again.
    fn check(&mut self, end: EndIndex) {
        let Some(trip) = self.links.live(end).map(|own| own.trips) else {
            return;
        };
        let both = self.both(end).filter(|_| self.is_whole(end));
        let passed = both.and_then(|(peer, here, there)| {
            let back = trip % 2 == 1;
            let (from, to) = if back { (there, here) } else { (here, there) };
            Some((peer, self.pass(from, to, HEADERS)?))
        });
        let Some((peer, took)) = passed else {
            self.update_later(end, TRY_AGAIN, ModelUpdate::Check);
            return;
        };
        if let Some(own) = self.links.live_mut(end) {
            own.trips = trip.saturating_add(1);
        }
        match trip {
            0 => {}
            1 => {
                self.complete(end, took, ModelUpdate::Connected);
                self.complete(peer, took, ModelUpdate::Connected);
            }
            2 => self.complete(peer, took, ModelUpdate::Opened),
            _ => return self.complete(end, took, ModelUpdate::Opened),
        }
        self.update_later(end, took, ModelUpdate::Check);
    }

    fn probe(&mut self, end: EndIndex) {
        let Some((peer, here, there)) = self.both(end).filter(|_| self.is_whole(end)) else {
            return;
        };
        let Some(first) = self.pass(here, there, HEADERS) else {
            return;
        };
        self.update_later(peer, first, ModelUpdate::Alive { round_trip: None });
        if let Some(second) = self.pass(there, here, HEADERS) {
            let round_trip = Some(first + second);
            self.update_later(end, first + second, ModelUpdate::Alive { round_trip });
        }
    }

    fn close_end(&mut self, end: EndIndex) {
        if let Some((node, _, link)) = self.links.link(end)
            && let Some(node) = self.nodes.get_mut(node)
        {
            node.ends.remove(&link);
        }
        let both = self.both(end);
        // Only DTLS can say that it closes, so there is nothing to be heard before it is up.
        let open = self.links.live(end).map(|own| own.stage) >= Some(Stage::Open);
        self.links.close(end);
        self.tell_after_close(end);
        if let Some((peer, here, there)) = both {
            if open
                && let Some(late) = self.close_is_noticed(end)
                && let Some(trip) = self.pass(here, there, HEADERS)
            {
                self.update_later(peer, trip + late, ModelUpdate::Closed);
            }
            self.look_for_light(peer);
        }
    }

    /// A node crashed: its ends are gone without a word.
    pub(super) fn forget_links(&mut self, index: usize) {
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        for end in core::mem::take(&mut node.ends).values() {
            let peer = self.links.peer(*end);
            self.links.close(*end);
            if let Some(peer) = peer {
                self.look_for_light(peer);
            }
        }
    }

    /// Something changed that may have darkened links, or lighted them up.
    pub(super) fn links_may_be_dark(&mut self) {
        for end in 0..self.links.ends.len() {
            self.look_for_light(EndIndex(end));
        }
    }

    fn look_for_light(&mut self, end: EndIndex) {
        let dark = !self.is_whole(end);
        let now = self.now;
        let Some(own) = self.links.live_mut(end) else {
            return;
        };
        match (own.stage, own.dark.is_some(), dark) {
            (Stage::New | Stage::Failed, ..) => {}
            (_, false, true) => {
                own.dark = Some(now);
                self.update_later(end, DISCONNECTED, ModelUpdate::Consent);
            }
            (_, true, false) => {
                own.dark = None;
                if own.disconnected {
                    self.complete(end, TRY_AGAIN, ModelUpdate::Lighted);
                }
            }
            _ => {}
        }
        self.next_arrival(end);
    }

    /// The other end, and the nodes here and there.
    fn both(&self, end: EndIndex) -> Option<(EndIndex, usize, usize)> {
        let peer = self.links.peer(end)?;
        Some((peer, self.links.node(end)?, self.links.node(peer)?))
    }

    /// Whether packets pass between the two ends at the moment, both ways.
    fn is_whole(&self, end: EndIndex) -> bool {
        self.both(end).is_some_and(|(_, here, there)| {
            let passes = |from, to| {
                let path = self.path_of(from, to);
                !path.cut && !path.clogged
            };
            let answers = |node: usize| {
                let node = self.nodes.get(node);
                node.is_some_and(|node| !node.isolated && node.asleep.is_none())
            };
            let whole = passes(here, there) && passes(there, here);
            whole && answers(here) && answers(there) && self.meets(here, there)
        })
    }
}

/// The end that a description names.
fn described(sdp: &str) -> Option<EndIndex> {
    let (_, rest) = sdp.split_once("a=model:")?;
    rest.lines().next()?.parse().ok().map(EndIndex)
}
