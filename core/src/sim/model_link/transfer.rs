//! How messages pass over a model link: as over SCTP, without its insides.

use bytes::Bytes;
use core::time::Duration;

use super::super::run::What;
use super::super::world::World;
use super::{EndIndex, HEADERS, Live, ModelUpdate, Stage};
use crate::io::{Channel, LinkUpdate};
use crate::time::Timestamp;

/// How much of a message fits a packet.
const PACKET: u32 = 1138;
/// What SCTP waits before it sends a lost packet again, at first and at most: Chromium's dcSCTP begins
/// with 400 ms, where RFC 9260, section 16 has a second. It doubles each time while nothing passes.
pub(super) const RETRANSMISSION: (Duration, Duration) =
    (Duration::from_millis(400), Duration::from_secs(60));
/// With so many packets in flight a loss is noticed after a round trip (RFC 9260, section 7.2.4).
const FAST: u32 = 4;

#[derive(Debug)]
pub(super) struct OnTheWay {
    payload: Bytes,
    /// How many of its packets have to be sent again.
    lost: u32,
    /// When it arrives, or is sent again.
    due: Timestamp,
}

/// What a channel holds of what was given to it.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: u32,
    /// The most that it held since the node was told.
    most: u32,
    /// How many bytes have left, which is not counted yet.
    left: u32,
    /// The news is scheduled.
    telling: bool,
}

impl Buffer {
    pub(super) const fn bytes(&self) -> u32 {
        self.bytes
    }

    fn put(&mut self, bytes: u32) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.most = self.most.max(self.bytes);
    }

    /// What has left is counted; gives what the node is to be told.
    pub(super) fn settle(&mut self) -> Option<u32> {
        self.telling = false;
        self.bytes = self.bytes.saturating_sub(self.left);
        self.left = 0;
        if self.bytes > self.most / 2 {
            return None;
        }
        self.most = self.bytes;
        Some(self.bytes)
    }
}

impl Live {
    pub(super) const fn buffer(&mut self, channel: Channel) -> &mut Buffer {
        match channel {
            Channel::Data => &mut self.data,
            Channel::State => &mut self.state,
        }
    }

    /// How long SCTP waits after a packet was sent again, and lost again: twice as long as the last
    /// time if nothing can pass.
    fn wait(&mut self, dark: bool) -> Duration {
        let (first, most) = RETRANSMISSION;
        let wait = match self.patience {
            Some(last) if dark => (last * 2).min(most),
            _ => first,
        };
        self.patience = Some(wait);
        wait
    }
}

impl World {
    pub(super) fn send_state(&mut self, end: EndIndex, message: Bytes) {
        let length = length_of(&message);
        let Some(own) = self.links.live_mut(end) else {
            return;
        };
        own.state.put(length);
        own.state.left = own.state.left.saturating_add(length);
        let Some((peer, here, there)) = self.both(end) else {
            return;
        };
        if let Some(after) = self.pass_all(here, there, length, false).1 {
            let update = ModelUpdate::State(message);
            self.deliver(here, there, after, What::Link { end: peer, update });
        }
        let round = self.delay(here, there) * 2;
        self.tell_left(end, Channel::State, round);
    }

    pub(super) fn send_data(&mut self, end: EndIndex, payload: Bytes) {
        let length = length_of(&payload);
        let now = self.now;
        if let Some(own) = self.links.live_mut(end) {
            own.data.put(length);
        }
        let Some((_, here, there)) = self.both(end) else {
            return;
        };
        let packets = packets_of(length);
        let (lost, after) = self.pass_all(here, there, length, true);
        let round = self.delay(here, there) * 2;
        let Some(own) = self.links.live_mut(end) else {
            return;
        };
        let in_flight = packets.saturating_add(own.on_the_way.len() as u32);
        let after = match after {
            Some(after) => after,
            None if in_flight >= FAST && lost < packets => round,
            None => own.patience.unwrap_or(RETRANSMISSION.0),
        };
        if lost > 0 {
            own.patience.get_or_insert(RETRANSMISSION.0);
        }
        let due = now.plus(after).max(own.last_due);
        own.last_due = due;
        own.on_the_way.push_back(OnTheWay { payload, lost, due });
        self.next_arrival(end);
    }

    /// Waits for the first message on the way, if nobody does yet.
    pub(super) fn next_arrival(&mut self, end: EndIndex) {
        if let Some(own) = self.links.live_mut(end)
            && !own.arriving
            && let Some(first) = own.on_the_way.front()
        {
            let due = first.due.max(self.now);
            own.arriving = true;
            self.schedule(due, What::Arrival(end));
        }
    }

    /// The first reliable messages on the way are due, to arrive or to be sent again.
    pub(in super::super) fn arrival(&mut self, end: EndIndex) {
        if let Some(own) = self.links.live_mut(end) {
            own.arriving = false;
        }
        let Some((peer, here, there)) = self.both(end) else {
            return;
        };
        let open = self
            .links
            .live(peer)
            .is_some_and(|peer| peer.stage == Stage::Open);
        if !open || self.path_of(here, there).clogged {
            // When that changes, this comes again.
            return;
        }
        loop {
            let now = self.now;
            let Some(own) = self.links.live_mut(end) else {
                return;
            };
            let Some(first) = own.on_the_way.front_mut().filter(|first| first.due <= now) else {
                break;
            };
            if first.lost == 0 {
                let Some(OnTheWay { payload, .. }) = own.on_the_way.pop_front() else {
                    break;
                };
                own.patience = None;
                let channel = Channel::Data;
                own.data.left = own.data.left.saturating_add(length_of(&payload));
                let back = self.delay(there, here);
                self.tell_left(end, channel, back);
                self.input_link(peer, LinkUpdate::Message { channel, payload });
                continue;
            }
            let missing = first.lost;
            let (lost, after) = self.pass_all(here, there, missing * PACKET, true);
            let dark = !self.is_whole(end);
            let Some(own) = self.links.live_mut(end) else {
                return;
            };
            let after = after.unwrap_or_else(|| own.wait(dark));
            let due = now.plus(after);
            own.last_due = own.last_due.max(due);
            if let Some(first) = own.on_the_way.front_mut() {
                first.lost = lost;
                first.due = due;
            }
        }
        self.next_arrival(end);
    }

    /// One packet; what is corrupt is lost.
    pub(super) fn pass(&mut self, from: usize, to: usize, bytes: u32) -> Option<Duration> {
        let meets = self.meets(from, to);
        let fate = self.carry(from, to, bytes, false).filter(|_| meets)?;
        fate.corrupt.is_none().then_some(fate.after)
    }

    /// All packets of a message: how many are lost, and when the last one arrives if none is.
    fn pass_all(
        &mut self,
        from: usize,
        to: usize,
        length: u32,
        paced: bool,
    ) -> (u32, Option<Duration>) {
        let meets = self.meets(from, to);
        let (mut lost, mut last, mut left) = (0, Duration::ZERO, length);
        for _ in 0..packets_of(length) {
            let part = left.min(PACKET);
            left -= part;
            match self.carry(from, to, part + HEADERS, paced) {
                Some(fate) if meets && fate.corrupt.is_none() => last = last.max(fate.after),
                _ => lost += 1,
            }
        }
        (lost, (lost == 0).then_some(last))
    }

    fn tell_left(&mut self, end: EndIndex, channel: Channel, after: Duration) {
        if let Some(own) = self.links.live_mut(end) {
            let buffer = own.buffer(channel);
            if !buffer.telling {
                buffer.telling = true;
                self.complete(end, after, ModelUpdate::Left(channel));
            }
        }
    }

    fn delay(&self, from: usize, to: usize) -> Duration {
        self.path_of(from, to).delay
    }
}

fn length_of(message: &Bytes) -> u32 {
    u32::try_from(message.len()).unwrap_or(u32::MAX)
}

const fn packets_of(length: u32) -> u32 {
    if length <= PACKET {
        1
    } else {
        length.div_ceil(PACKET)
    }
}
