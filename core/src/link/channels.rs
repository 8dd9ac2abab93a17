//! What waits for the two channels of a link, and in which order it leaves.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::config::MOST_NODES;
use crate::io::{Channel, ChannelMessage};
use crate::time::Timestamp;
use crate::wire::{Bundle, Frame, Number, Outgoing};

/// Below this many bytes inside the data channel everything is handed over at once; above it only
/// full bundles are. Many small messages in the channel cost more than their bytes.
const EAGER: u32 = 16 * 1024;
/// A bundle that is worth handing over while the channel is busy.
const FULL_BUNDLE: usize = 8 * 1024;
/// The state channel shares SCTP's window, so states wait here, where newer ones replace them.
const STATE_BUFFER: u32 = 16 * 1024;
/// Bytes that may wait of what one joiner says to another about their link: one description with
/// its candidates.
const SIGNALS: usize = 48 * 1024;
/// So many origins are kept in memory; a network has no more nodes.
const STREAMS: usize = MOST_NODES as usize;
/// States that wait together travel together, up to what one packet holds.
const STATE_BUNDLE: usize = 1_000;

/// The queues of one link.
#[derive(Debug)]
pub(crate) struct Channels {
    data: Lane,
    state: Lane,
    /// Goes before everything else.
    control: VecDeque<Outgoing>,
    /// The newest acknowledgement per node; goes right behind control.
    acks: VecDeque<(Number, Frame)>,
    /// Until when these wait for company; `None`: they go as soon as there is room.
    acks_wait: Option<Timestamp>,
    /// What joiners say to each other about links of their own, each with its origin.
    signals: VecDeque<(Number, Outgoing)>,
    /// Reliable frames by origin, in rising order; pieces of different origins take turns. An empty
    /// one stays for its memory, and goes when there are too many.
    streams: Vec<(Number, Stream)>,
    /// Who had the last turn.
    last_turn: Number,
    queued: usize,
    /// The newest state of each origin.
    states: VecDeque<(Number, Outgoing)>,
    /// Pings, pongs and round trips, which go with the states.
    echoes: VecDeque<Outgoing>,
    /// Empty, but for its memory.
    bundle: Bundle,
    limits: Bounds,
}

/// Sizes that a channel message keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes that may wait inside the data channel.
    pub(crate) channel_buffer: u32,
    /// Bytes of a piece, and so roughly of a channel message.
    pub(crate) piece: u16,
    /// Frames of a channel message.
    pub(crate) frames: u16,
}

#[derive(Debug, Default)]
struct Lane {
    open: bool,
    /// What the channel still holds of what we gave to it.
    buffered: u32,
}

#[derive(Debug, Default)]
struct Stream {
    frames: VecDeque<Outgoing>,
    bytes: usize,
}

impl Channels {
    pub(crate) fn new(limits: Bounds) -> Self {
        Self {
            data: Lane::default(),
            state: Lane::default(),
            control: VecDeque::new(),
            acks: VecDeque::new(),
            acks_wait: None,
            signals: VecDeque::new(),
            streams: Vec::new(),
            last_turn: 0,
            queued: 0,
            states: VecDeque::new(),
            echoes: VecDeque::new(),
            bundle: Bundle::default(),
            limits,
        }
    }

    pub(crate) const fn opened(&mut self, channel: Channel) {
        self.lane(channel).open = true;
    }

    pub(crate) const fn is_open(&self, channel: Channel) -> bool {
        match channel {
            Channel::Data => self.data.open,
            Channel::State => self.state.open,
        }
    }

    /// The channel holds so much now; says whether some of the data has left.
    pub(crate) const fn buffered(&mut self, channel: Channel, bytes: u32) -> bool {
        let lane = self.lane(channel);
        let less = bytes < lane.buffered;
        lane.buffered = bytes;
        less && matches!(channel, Channel::Data)
    }

    /// Queues a frame that goes before everything else.
    pub(crate) fn push_control(&mut self, frame: &Frame) {
        let frame = self.bundle.encode(frame);
        self.queued = self.queued.saturating_add(frame.len());
        self.control.push_back(frame);
    }

    /// Queues a frame behind those of the same origin.
    pub(crate) fn push(&mut self, origin: Number, frame: &Frame) {
        let frame = self.encode(frame);
        self.push_encoded(origin, frame);
    }

    /// A frame as it waits, here or elsewhere.
    pub(crate) fn encode(&mut self, frame: &Frame) -> Outgoing {
        self.bundle.encode(frame)
    }

    pub(crate) fn push_encoded(&mut self, origin: Number, frame: Outgoing) {
        self.queued = self.queued.saturating_add(frame.len());
        let stream = self.stream(origin);
        stream.bytes = stream.bytes.saturating_add(frame.len());
        stream.frames.push_back(frame);
    }

    /// The stream of an origin, made if there is none.
    fn stream(&mut self, origin: Number) -> &mut Stream {
        if self.streams.len() >= STREAMS {
            self.streams.retain(|(_, stream)| !stream.frames.is_empty());
        }
        let place = self.streams.partition_point(|(other, _)| *other < origin);
        if self
            .streams
            .get(place)
            .is_none_or(|(other, _)| *other != origin)
        {
            self.streams.insert(place, (origin, Stream::default()));
        }
        #[expect(clippy::indexing_slicing, reason = "it is there, or was made")]
        &mut self.streams[place].1
    }

    /// Bytes of frames that wait of one origin.
    pub(crate) fn queued_of(&self, origin: Number) -> usize {
        let of_origin = self.streams.iter().find(|(other, _)| *other == origin);
        of_origin.map_or(0, |(_, stream)| stream.bytes)
    }

    /// Drops the frames that wait of one origin, which sends all of them again.
    pub(crate) fn drop_queued_of(&mut self, origin: Number) {
        let stream = core::mem::take(self.stream(origin));
        self.queued = self.queued.saturating_sub(stream.bytes);
    }

    /// Queues a word of a joiner about its link to the one at the other end; says whether there was
    /// room. One that is lost costs an attempt, which is repeated.
    pub(crate) fn push_signal(&mut self, origin: Number, frame: &Frame) -> bool {
        let frame = self.bundle.encode(frame);
        let of_origin = self.signals.iter().filter(|(other, _)| *other == origin);
        let waiting: usize = of_origin.map(|(_, frame)| frame.len()).sum();
        let fits = waiting.saturating_add(frame.len()) <= SIGNALS;
        if fits {
            self.queued = self.queued.saturating_add(frame.len());
            self.signals.push_back((origin, frame));
        }
        fits
    }

    /// Puts what still waits of these origins before whatever is queued from now on.
    pub(crate) fn hurry(&mut self, is_one: impl Fn(Number) -> bool) {
        for (_, stream) in self
            .streams
            .iter_mut()
            .filter(|(origin, _)| is_one(*origin))
        {
            self.control.append(&mut stream.frames);
            stream.bytes = 0;
        }
    }

    /// Puts an acknowledgement in the place of the one that waits there: it is cumulative, so the
    /// newest says everything. `node` is whose messages, or who, it is about: one of both is us. It
    /// waits until then at most, for a message that it can go with.
    pub(crate) fn put_ack(&mut self, node: Number, frame: Frame, until: Timestamp) {
        self.acks_wait = if self.acks.is_empty() {
            Some(until)
        } else {
            self.acks_wait.map(|before| before.min(until))
        };
        match self.acks.iter_mut().find(|(other, _)| *other == node) {
            Some((_, old)) => *old = frame,
            None => self.acks.push_back((node, frame)),
        }
    }

    /// Puts a state in its origin's place; says whether one that waited there was replaced.
    pub(crate) fn put_state(&mut self, origin: Number, frame: Outgoing) -> bool {
        let place = self.states.iter_mut().find(|(other, _)| *other == origin);
        let superseded = place.is_some();
        match place {
            Some((_, old)) => *old = frame,
            None => self.states.push_back((origin, frame)),
        }
        superseded
    }

    /// Queues a ping or pong; over a handful the oldest are dropped, a newer one says the same.
    pub(crate) fn push_echo(&mut self, frame: &Frame) {
        if self.echoes.len() >= 4 {
            let _ = self.echoes.pop_front();
        }
        let frame = self.bundle.encode(frame);
        self.echoes.push_back(frame);
    }

    /// Forgets what a node that left takes with it: states and acknowledgements, not messages.
    pub(crate) fn forget(&mut self, origin: Number) {
        self.states.retain(|(other, _)| *other != origin);
        self.acks.retain(|(other, _)| *other != origin);
        if self.acks.is_empty() {
            self.acks_wait = None;
        }
        let mut gone = 0;
        self.signals.retain(|(other, frame)| {
            let keep = *other != origin;
            gone += if keep { 0 } else { frame.len() };
            keep
        });
        self.queued = self.queued.saturating_sub(gone);
    }

    /// Forgets everything that waits.
    pub(crate) fn clear(&mut self) {
        self.control.clear();
        self.acks.clear();
        self.acks_wait = None;
        self.signals.clear();
        self.streams.clear();
        self.states.clear();
        self.echoes.clear();
        self.queued = 0;
    }

    /// Bytes of reliable frames that wait.
    pub(crate) const fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes and frames that wait, to be looked at by tests.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let streams = self.streams.iter().map(|(_, stream)| stream.frames.len());
        (
            self.queued,
            self.control.len() + self.acks.len() + self.signals.len() + streams.sum::<usize>(),
        )
    }

    /// Whether all reliable frames have left this queue.
    pub(crate) fn is_drained(&self) -> bool {
        self.queued == 0 && self.acks.is_empty()
    }

    /// Whether all reliable frames have left the channel too.
    pub(crate) fn is_flushed(&self) -> bool {
        self.is_drained() && self.data.buffered == 0
    }

    /// When what waits for company is to go without.
    pub(crate) const fn deadline(&self) -> Option<Timestamp> {
        self.acks_wait
    }

    /// Nothing waits for company any more.
    pub(crate) const fn hasten(&mut self) {
        self.acks_wait = None;
    }

    /// The next message to send, if its channel has room.
    #[inline]
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<(Channel, ChannelMessage)> {
        let idle = self.is_drained() && self.states.is_empty() && self.echoes.is_empty();
        if idle {
            None
        } else {
            self.poll_what_waits(now)
        }
    }

    /// Apart, as mostly nothing waits.
    #[inline(never)]
    fn poll_what_waits(&mut self, now: Timestamp) -> Option<(Channel, ChannelMessage)> {
        let data = self.poll_data(now).map(|message| (Channel::Data, message));
        let next = data.or_else(|| self.poll_state().map(|message| (Channel::State, message)))?;
        let lane = self.lane(next.0);
        let length = u32::try_from(next.1.len()).unwrap_or(u32::MAX);
        lane.buffered = lane.buffered.saturating_add(length);
        Some(next)
    }

    fn poll_data(&mut self, now: Timestamp) -> Option<ChannelMessage> {
        let Lane { open, buffered } = self.data;
        self.acks_wait = self.acks_wait.filter(|until| *until > now);
        let waits = self.acks_wait.is_some() && self.queued == 0;
        if !open || self.is_drained() || waits || buffered >= self.limits.channel_buffer {
            return None;
        }
        if buffered >= EAGER && self.queued < FULL_BUNDLE {
            return None;
        }
        self.acks_wait = None;
        while !self.is_drained() {
            let room = match self.bundle.frames() {
                0 => usize::MAX,
                frames if frames >= self.limits.frames => break,
                _ => usize::from(self.limits.piece).saturating_sub(self.bundle.len()),
            };
            if self.control.is_empty()
                && let Some((_, ack)) = self.acks.front()
            {
                if !self.bundle.write(ack, room) {
                    break;
                }
                let _ = self.acks.pop_front();
            } else if let Some(frame) = self.take_frame(room) {
                self.bundle.push(frame);
            } else {
                break;
            }
        }
        Some(self.bundle.finish())
    }

    /// The next frame, unless it is longer than this.
    fn take_frame(&mut self, room: usize) -> Option<Outgoing> {
        let fits = |frame: &&Outgoing| frame.len() <= room;
        let frame = if let Some(first) = self.control.front() {
            fits(&first).then(|| self.control.pop_front())??
        } else if let Some((_, first)) = self.signals.front() {
            fits(&first).then(|| self.signals.pop_front())??.1
        } else {
            let place = self.next_stream()?;
            let (origin, stream) = self.streams.get_mut(place)?;
            stream.frames.front().filter(fits)?;
            let frame = stream.frames.pop_front()?;
            stream.bytes = stream.bytes.saturating_sub(frame.len());
            self.last_turn = *origin;
            frame
        };
        self.queued = self.queued.saturating_sub(frame.len());
        Some(frame)
    }

    /// The place of the first stream after the one that had the last turn.
    fn next_stream(&self) -> Option<usize> {
        let mut first = None;
        for (place, (origin, stream)) in self.streams.iter().enumerate() {
            if !stream.frames.is_empty() {
                if *origin > self.last_turn {
                    return Some(place);
                }
                first = first.or(Some(place));
            }
        }
        first
    }

    fn poll_state(&mut self) -> Option<ChannelMessage> {
        let waits = !self.echoes.is_empty() || !self.states.is_empty();
        if !waits || !self.state.open || self.state.buffered >= STATE_BUFFER {
            return None;
        }
        while let Some(frame) = self.echoes.pop_front() {
            self.bundle.push(frame);
        }
        while let Some((_, frame)) = self.states.front() {
            let length = self.bundle.len().saturating_add(frame.len());
            if self.bundle.frames() > 0 && length > STATE_BUNDLE {
                break;
            }
            if let Some((_, frame)) = self.states.pop_front() {
                self.bundle.push(frame);
            }
        }
        Some(self.bundle.finish())
    }

    const fn lane(&mut self, channel: Channel) -> &mut Lane {
        match channel {
            Channel::Data => &mut self.data,
            Channel::State => &mut self.state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Ack, Body, Piece, State, decode};
    use bytes::Bytes;

    const BOUNDS: Bounds = Bounds {
        channel_buffer: 128 * 1024,
        piece: 16 * 1024,
        frames: 256,
    };

    const NOW: Timestamp = Timestamp::from_millis(1000);

    fn open() -> Channels {
        let mut channels = Channels::new(BOUNDS);
        channels.opened(Channel::Data);
        channels.opened(Channel::State);
        channels
    }

    fn message(origin: Number, sequence: u64, length: usize) -> Frame {
        let piece = Piece {
            total: Some(length as u32),
            payload: Bytes::from(alloc::vec![0; length]),
        };
        Frame::From {
            origin,
            body: Body::Message { sequence, piece },
        }
    }

    fn sent(channels: &mut Channels) -> Vec<(Channel, Vec<Frame>)> {
        core::iter::from_fn(|| channels.poll(NOW))
            .map(|(channel, message)| (channel, decode(message.to_bytes(), 256).unwrap()))
            .collect()
    }

    #[test]
    fn nothing_leaves_before_the_channel_is_open() {
        let mut channels = Channels::new(BOUNDS);
        channels.push_control(&Frame::Ping { stamp: 1 });
        assert!(sent(&mut channels).is_empty());
        channels.opened(Channel::Data);
        assert_eq!(sent(&mut channels).len(), 1);
    }

    #[test]
    fn small_messages_that_wait_together_travel_together() {
        let mut channels = open();
        channels.buffered(Channel::Data, EAGER);
        for sequence in 0..200 {
            channels.push(1, &message(1, sequence, 10));
        }
        assert!(
            sent(&mut channels).is_empty(),
            "a busy channel takes full bundles only"
        );
        channels.buffered(Channel::Data, EAGER - 1);
        let messages = sent(&mut channels);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].1.len(), 200);
    }

    #[test]
    fn origins_take_turns_and_control_goes_first() {
        let mut channels = open();
        for sequence in 0..3 {
            channels.push(1, &message(1, sequence, 12_000));
        }
        channels.push(2, &message(2, 0, 12_000));
        channels.push_control(&Frame::Ping { stamp: 1 });
        let order: Vec<_> = sent(&mut channels)
            .into_iter()
            .flat_map(|(_, frames)| frames)
            .map(|frame| {
                if let Frame::From { origin, .. } = frame {
                    origin
                } else {
                    0
                }
            })
            .collect();
        assert_eq!(order, [0, 1, 2, 1, 1]);
    }

    #[test]
    fn acknowledgements_wait_in_one_place_and_pass_messages() {
        let mut channels = open();
        let ack = |next| Frame::From {
            origin: 3,
            body: Body::Ack(Ack {
                next,
                limit: next,
                idle: 0,
            }),
        };
        channels.buffered(Channel::Data, BOUNDS.channel_buffer);
        channels.push(1, &message(1, 0, 100));
        for next in 0..1000 {
            channels.put_ack(3, ack(next), NOW);
        }
        channels.put_ack(4, ack(7), NOW);
        channels.forget(4);
        assert!(!channels.is_drained());
        channels.buffered(Channel::Data, 0);
        let messages = sent(&mut channels);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].1.len(), 2);
        assert_eq!(messages[0].1[0], ack(999));
        assert!(channels.is_drained());
    }

    #[test]
    fn acknowledgements_wait_for_company_but_not_longer_than_they_may() {
        let later = |ms| NOW.plus(core::time::Duration::from_millis(ms));
        let ack = Frame::Ping { stamp: 1 };
        let mut channels = open();
        channels.put_ack(3, ack.clone(), later(50));
        channels.put_ack(4, ack.clone(), later(20));
        assert_eq!(channels.poll(NOW), None);
        assert_eq!(channels.deadline(), Some(later(20)));
        assert!(channels.poll(later(20)).is_some(), "both");
        assert!(channels.is_drained() && channels.deadline().is_none());

        channels.put_ack(3, ack.clone(), later(50));
        channels.push(1, &message(1, 0, 10));
        assert!(channels.poll(NOW).is_some(), "with a message");
        assert!(channels.is_drained() && channels.deadline().is_none());

        channels.buffered(Channel::Data, BOUNDS.channel_buffer);
        channels.put_ack(3, ack.clone(), later(50));
        assert_eq!(channels.poll(later(50)), None, "there is no room");
        assert_eq!(channels.deadline(), None, "nor anything to wait for");
        channels.put_ack(4, ack.clone(), later(90));
        channels.buffered(Channel::Data, 0);
        assert!(channels.poll(later(60)).is_some());
        assert!(channels.is_drained());

        channels.put_ack(3, ack, later(50));
        channels.hasten();
        assert!(channels.poll(NOW).is_some());
    }

    #[test]
    fn the_channel_is_never_overfilled() {
        let mut channels = open();
        for sequence in 0..40 {
            channels.push(1, &message(1, sequence, 16_000));
        }
        let bytes: usize = core::iter::from_fn(|| channels.poll(NOW))
            .map(|(_, m)| m.len())
            .sum();
        assert!((128 * 1024..145 * 1024).contains(&bytes), "{bytes}");
        channels.buffered(Channel::Data, 0);
        assert!(channels.poll(NOW).is_some());
    }

    #[test]
    fn the_newest_state_wins_while_the_link_is_behind() {
        let mut channels = open();
        channels.buffered(Channel::State, STATE_BUFFER);
        let state = |sequence| State {
            sequence,
            payload: Bytes::from_static(b"x"),
        };
        let relayed = |sequence| Frame::From {
            origin: 3,
            body: Body::State(state(sequence)),
        };
        let own = Frame::Direct(Body::State(state(9)));
        assert!(!channels.put_state(3, relayed(1).encode()));
        assert!(channels.put_state(3, relayed(2).encode()));
        channels.put_state(0, own.encode());
        assert!(sent(&mut channels).is_empty());
        channels.buffered(Channel::State, 0);
        let messages = sent(&mut channels);
        assert_eq!(messages.len(), 1, "both states fit one packet");
        assert_eq!(messages[0].1, [relayed(2), own]);
    }
}
