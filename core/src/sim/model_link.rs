//! Model links: what a browser's connections would do, without their insides.

mod transfer;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use self::transfer::{Buffer, OnTheWay, RETRANSMISSION};
use super::laws::Laws;
use super::run::What;
use super::world::{NodeIndex, World};
use crate::id::LinkId;
use crate::io::{Channel, Input, LinkCommand, LinkFailure, LinkUpdate};
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
    /// Since when nothing passes.
    dark: Option<Timestamp>,
    /// The node was told that the path does not work.
    disconnected: bool,
    /// Reliable messages that are on their way, in order.
    on_the_way: VecDeque<OnTheWay>,
    /// What is to happen to the first of them is on the heap.
    arriving: bool,
    /// When the last of them arrives at the earliest.
    last_due: Timestamp,
    /// How long SCTP waits for the next acknowledgement; grows with each that does not come.
    patience: Option<Duration>,
    data: Buffer,
    state: Buffer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    New,
    Connected,
    Open,
    Failed,
}

/// What becomes of an end.
#[derive(Clone, Debug)]
pub(super) enum ModelUpdate {
    Described,
    /// Of the offering end: both know each other, ICE can begin.
    Check,
    Connected,
    Opened,
    State(Bytes),
    /// Some of what was sent has left the buffer.
    Left(Channel),
    Alive {
        round_trip: Option<Duration>,
    },
    Closed,
    /// ICE has looked long enough.
    Patience,
    /// It has been dark for some time.
    Consent,
    /// It is not dark any more.
    Lighted,
    /// Told again, or although the link is closed; changes nothing in the link.
    Stale(Stale),
}

/// News that come once too often.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stale {
    Description,
    Candidate,
    Connected,
    Opened(Channel),
    Message(Channel),
    Buffered(Channel, u32),
    Disconnected,
    Failed(LinkFailure),
    Closed,
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
            LinkCommand::AddCandidate(_) => {}
            LinkCommand::Send { channel, message } => {
                let message = message.to_bytes();
                match channel {
                    Channel::Data => self.send_data(end, message),
                    Channel::State => self.send_state(end, message),
                }
            }
            LinkCommand::Probe => self.probe(end),
            LinkCommand::Close => self.close_end(end),
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
        let stage = self.links.live(end).map(|own| own.stage);
        if stage != Some(Stage::New) {
            return;
        }
        if !self.is_whole(end) {
            self.update_later(end, TRY_AGAIN, ModelUpdate::Check);
            return;
        }
        let Some((peer, here, there)) = self.both(end) else {
            return;
        };
        let mut took = Duration::ZERO;
        let trips = [(here, there), (there, here), (here, there), (there, here)].map(|(a, b)| {
            // With a path that loses all, this ends as well: ICE's patience does.
            while took < ICE_PATIENCE {
                match self.pass(a, b, HEADERS) {
                    Some(trip) => {
                        took += trip;
                        break;
                    }
                    None => took += TRY_AGAIN,
                }
            }
            took
        });
        let [_, connected, one_open, both_open] = trips;
        for (end, opened) in [(end, both_open), (peer, one_open)] {
            self.complete(end, connected, ModelUpdate::Connected);
            self.complete(end, opened, ModelUpdate::Opened);
        }
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
        for end in core::mem::take(&mut node.ends).into_values() {
            let peer = self.links.peer(end);
            self.links.close(end);
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

    pub(super) fn update_later(&mut self, end: EndIndex, after: Duration, update: ModelUpdate) {
        self.schedule(self.now.plus(after), What::Link { end, update });
    }

    pub(super) fn link_update(&mut self, end: EndIndex, update: ModelUpdate) {
        if let ModelUpdate::Stale(stale) = update {
            self.tell_stale(end, stale);
            return;
        }
        let whole = self.is_whole(end);
        let now = self.now;
        let Some(own) = self
            .links
            .live_mut(end)
            .filter(|own| own.stage != Stage::Failed)
        else {
            return;
        };
        let update = match update {
            ModelUpdate::Described => {
                let description = describe(end);
                self.input_link(end, LinkUpdate::LocalDescription(&description));
                self.maybe_again(end, Stale::Description);
                self.maybe_again(end, Stale::Candidate);
                LinkUpdate::LocalCandidate(CANDIDATE)
            }
            ModelUpdate::Check => {
                self.check(end);
                return;
            }
            // Nothing passes just now: a little later.
            ModelUpdate::Connected | ModelUpdate::Opened if !whole => {
                self.update_later(end, TRY_AGAIN, update);
                return;
            }
            ModelUpdate::Connected => {
                own.stage = own.stage.max(Stage::Connected);
                self.maybe_again(end, Stale::Connected);
                self.flicker(end);
                LinkUpdate::Connected
            }
            ModelUpdate::Opened => {
                own.stage = Stage::Open;
                if let Some(peer) = self.links.peer(end) {
                    self.next_arrival(peer);
                }
                self.input_link(end, LinkUpdate::ChannelOpened(Channel::Data));
                self.maybe_again(end, Stale::Opened(Channel::Data));
                self.maybe_again(end, Stale::Opened(Channel::State));
                LinkUpdate::ChannelOpened(Channel::State)
            }
            ModelUpdate::State(_) if own.stage != Stage::Open => return,
            ModelUpdate::State(payload) => LinkUpdate::Message {
                channel: Channel::State,
                payload,
            },
            // Acknowledgements do not pass.
            ModelUpdate::Left(_) if !whole && own.peer.is_some() => {
                self.update_later(end, RETRANSMISSION.0, update);
                return;
            }
            ModelUpdate::Left(channel) => {
                let Some(bytes) = own.buffer(channel).settle() else {
                    return;
                };
                self.maybe_again(end, Stale::Buffered(channel, bytes));
                LinkUpdate::BufferedAmount { channel, bytes }
            }
            ModelUpdate::Alive { round_trip } => LinkUpdate::Alive { round_trip },
            ModelUpdate::Closed => {
                self.maybe_again(end, Stale::Closed);
                LinkUpdate::Closed
            }
            ModelUpdate::Patience => {
                if own.stage != Stage::New {
                    return;
                }
                own.stage = Stage::Failed;
                LinkUpdate::Failed(LinkFailure::Ice)
            }
            ModelUpdate::Consent => {
                let Some(dark) = own.dark.map(|since| now.since(since)) else {
                    return;
                };
                if dark >= ICE_PATIENCE {
                    own.stage = Stage::Failed;
                    LinkUpdate::Failed(LinkFailure::Ice)
                } else if dark >= DISCONNECTED && !own.disconnected {
                    own.disconnected = true;
                    self.update_later(end, ICE_PATIENCE - dark, ModelUpdate::Consent);
                    LinkUpdate::Disconnected
                } else {
                    return;
                }
            }
            ModelUpdate::Lighted => {
                if own.dark.is_some() || !own.disconnected {
                    return;
                }
                own.disconnected = false;
                LinkUpdate::Connected
            }
            ModelUpdate::Stale(_) => return,
        };
        self.input_link(end, update);
    }

    fn tell_stale(&mut self, end: EndIndex, stale: Stale) {
        let description;
        let update = match stale {
            Stale::Description => {
                description = describe(end);
                LinkUpdate::LocalDescription(&description)
            }
            Stale::Candidate => LinkUpdate::LocalCandidate(CANDIDATE),
            Stale::Connected => LinkUpdate::Connected,
            Stale::Opened(channel) => LinkUpdate::ChannelOpened(channel),
            Stale::Message(channel) => LinkUpdate::Message {
                channel,
                payload: Bytes::from_static(b"said to a link that is closed"),
            },
            // Late or twice, it is read when it is told.
            Stale::Buffered(channel, bytes) => LinkUpdate::BufferedAmount {
                channel,
                bytes: match self.links.live_mut(end) {
                    Some(own) => own.buffer(channel).bytes(),
                    None => bytes,
                },
            },
            Stale::Disconnected => LinkUpdate::Disconnected,
            Stale::Failed(failure) => {
                if let Some(own) = self.links.live_mut(end) {
                    own.stage = Stage::Failed;
                }
                LinkUpdate::Failed(failure)
            }
            Stale::Closed => LinkUpdate::Closed,
        };
        self.input_link(end, update);
    }

    fn input_link(&mut self, end: EndIndex, update: LinkUpdate<'_>) {
        if let Some((node, life, link)) = self.links.link(end)
            && self.life(node) == Some(life)
        {
            let late = self.links.live(end).is_none();
            let before = late.then(|| self.late_updates(node));
            self.input(node, Input::Link { link, update });
            if let Some(before) = before {
                let held = Laws::counted(before, self.late_updates(node));
                self.watch.judge(self.now, node, held);
            }
        }
    }

    /// How much news of closed links a node has counted.
    fn late_updates(&self, node: usize) -> u64 {
        let stats = self.stats(NodeIndex(node));
        stats.map_or(0, |stats| stats.counters.late_updates)
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

const CANDIDATE: &str = "candidate:1 1 udp 1 10.0.0.1 9 typ host";

/// A description that names its end.
fn describe(EndIndex(end): EndIndex) -> String {
    format!("v=0\r\na=model:{end}\r\n")
}

/// The end that a description names.
fn described(sdp: &str) -> Option<EndIndex> {
    let (_, rest) = sdp.split_once("a=model:")?;
    rest.lines().next()?.parse().ok().map(EndIndex)
}
