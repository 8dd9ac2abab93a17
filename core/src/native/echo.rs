//! What SCTP sent on the reliable channel, sent again until it is acknowledged.
//!
//! SCTP's timer starts at 3 s, is never shorter than 1 and doubles to 60, and str0m lets nobody set
//! that: at 30 % loss reliable delivery stood still for over a minute now and then, and after 15 s
//! of darkness for as long again. But each SCTP packet passes through our DTLS, in the clear. So
//! here is a second, more patient timer, chunk by chunk: it never waits longer than
//! [`LONGEST_WAIT`]. What the remote has already got it drops by its TSN (RFC 9260 section 6.2), and
//! acknowledges again at once, because the chunk says so (RFC 7053): this also repairs a lost
//! acknowledgement, with any remote. SCTP takes the acknowledgement as one of its own packets' and
//! starts its timer anew.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::io::Channel;
use crate::time::Timestamp;

/// Before the first time. An acknowledgement may be delayed by 200 ms (RFC 9260 section 6.2) and a
/// round trip, which comes on top of this.
const FIRST_WAIT: Duration = Duration::from_millis(300);

/// Then, on top of the round trip: the acknowledgement is not delayed.
const NEXT_WAIT: Duration = Duration::from_millis(50);

/// How far the doubling goes: so long it may take until a path that was dark is used again.
const LONGEST_WAIT: Duration = Duration::from_millis(600);

/// How many chunks at the most are sent again at a time.
const CHUNKS: usize = 4;

/// After so many times in vain the path must be dark, and one chunk is enough to find out that it
/// is not any more.
const DARK: u32 = 8;

/// How much is kept. Of what is more, the first is kept: that is what has to arrive first.
const BYTES: usize = 32 * 1024;

/// RFC 9260 section 3.1: ports, verification tag, checksum.
const HEADER: usize = 12;
const CHECKSUM: core::ops::Range<usize> = 8..12;

/// RFC 9260 sections 3.3.1 and 3.3.4, RFC 3758 section 3.2.
const DATA: u8 = 0;
const SACK: u8 = 3;
const FORWARD_TSN: u8 = 192;

/// RFC 7053: the receiver is to acknowledge at once.
const IMMEDIATE: u8 = 1 << 3;

/// What one association has sent and not heard of.
#[derive(Debug, Default)]
pub(super) struct Echo {
    /// That of the last packet.
    header: [u8; HEADER],
    /// In the order of their TSNs.
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// The last word on what was given up of the unreliable channel. As long as it is not heard,
    /// SCTP waits for it, with its long timer.
    forward: Option<Chunk>,
    /// The largest packet so far: the path takes that much.
    largest: usize,
}

#[derive(Debug)]
struct Chunk {
    tsn: u32,
    /// With its header and padding.
    bytes: Vec<u8>,
    sent: Timestamp,
    /// How often it was sent again, since the remote was last heard to make progress.
    times: u32,
    /// The remote has got what was sent after it: no acknowledgement is delayed.
    passed: bool,
}

impl Echo {
    /// SCTP has sent a packet.
    pub(super) fn sent(&mut self, now: Timestamp, packet: &[u8]) {
        let Some((header, mut rest)) = packet.split_first_chunk::<HEADER>() else {
            return;
        };
        self.header = *header;
        self.largest = self.largest.max(packet.len());
        while let Some((chunk, next)) = split_chunk(rest) {
            rest = next;
            let (Some(kind), Some(tsn)) = (chunk.first(), u32_at(chunk, 4)) else {
                continue;
            };
            let chunk = Chunk {
                tsn,
                bytes: chunk.to_vec(),
                sent: now,
                times: 0,
                passed: false,
            };
            match *kind {
                DATA if u16_at(&chunk.bytes, 8) == Some(Channel::Data.id()) => self.keep(chunk),
                FORWARD_TSN => self.forward = Some(chunk),
                _ => {}
            }
        }
    }

    /// The remote has sent a packet, an authentic one.
    pub(super) fn received(&mut self, packet: &[u8]) {
        let mut rest = packet.get(HEADER..).unwrap_or_default();
        while let Some((chunk, next)) = split_chunk(rest) {
            rest = next;
            if chunk.first() == Some(&SACK) {
                self.acknowledged(chunk);
            }
        }
    }

    /// The association is over.
    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    pub(super) fn poll_timeout(&self, round_trip: Duration) -> Option<Timestamp> {
        let chunks = self.chunks.iter().take(self.at_a_time());
        chunks
            .chain(&self.forward)
            .map(|chunk| chunk.due(round_trip))
            .min()
    }

    /// The next packet to be sent again, if it is time for one.
    pub(super) fn poll_packet(&mut self, now: Timestamp, round_trip: Duration) -> Option<Vec<u8>> {
        let mut packet = self.header.to_vec();
        let at_a_time = self.at_a_time();
        let chunks = self.chunks.iter_mut().take(at_a_time);
        for chunk in chunks.chain(&mut self.forward) {
            let fits = packet.len().saturating_add(chunk.bytes.len()) <= self.largest;
            if fits && chunk.due(round_trip) <= now {
                let start = packet.len();
                packet.extend_from_slice(&chunk.bytes);
                if let Some([DATA, flags, ..]) = packet.get_mut(start..) {
                    *flags |= IMMEDIATE;
                }
                chunk.sent = now;
                chunk.times = chunk.times.saturating_add(1);
            }
        }
        if packet.len() == HEADER {
            return None;
        }
        packet.get_mut(CHECKSUM)?.fill(0);
        let checksum = crc32c(&packet).to_le_bytes();
        packet.get_mut(CHECKSUM)?.copy_from_slice(&checksum);
        Some(packet)
    }

    fn at_a_time(&self) -> usize {
        match self.chunks.front() {
            Some(first) if first.times >= DARK => 1,
            _ => CHUNKS,
        }
    }

    fn keep(&mut self, chunk: Chunk) {
        let before = |known: &Chunk| is_up_to(known.tsn, chunk.tsn);
        let place = self.chunks.iter().rposition(before);
        if let Some(known) = place.and_then(|place| self.chunks.get_mut(place))
            && known.tsn == chunk.tsn
        {
            *known = Chunk {
                passed: known.passed,
                ..chunk
            };
            return;
        }
        self.bytes = self.bytes.saturating_add(chunk.bytes.len());
        self.chunks
            .insert(place.map_or(0, |place| place.saturating_add(1)), chunk);
        while self.bytes > BYTES
            && let Some(last) = self.chunks.pop_back()
        {
            self.bytes = self.bytes.saturating_sub(last.bytes.len());
        }
    }

    fn acknowledged(&mut self, sack: &[u8]) {
        let (Some(up_to), Some(gaps)) = (u32_at(sack, 4), u16_at(sack, 12)) else {
            return;
        };
        let blocks = sack.get(16..).unwrap_or_default().chunks_exact(4);
        let blocks = blocks.take(gaps.into());
        let is_acknowledged = |tsn: u32| {
            is_up_to(tsn, up_to)
                || blocks.clone().any(|block| {
                    let bound = |at| u16_at(block, at).map(u32::from);
                    let place = Some(tsn.wrapping_sub(up_to));
                    bound(0) <= place && place <= bound(2)
                })
        };
        for chunk in self
            .chunks
            .iter_mut()
            .rev()
            .skip_while(|c| !is_acknowledged(c.tsn))
        {
            chunk.passed = true;
        }
        let before = self.chunks.len();
        self.chunks.retain(|chunk| !is_acknowledged(chunk.tsn));
        self.forward.take_if(|forward| is_up_to(forward.tsn, up_to));
        if self.chunks.len() < before {
            self.bytes = self.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
            for chunk in &mut self.chunks {
                chunk.times = 0;
            }
        }
    }
}

impl Chunk {
    fn due(&self, round_trip: Duration) -> Timestamp {
        let wait = match self.times {
            0 if !self.passed => round_trip.saturating_add(FIRST_WAIT),
            times => {
                let doubled = 1 << (times.saturating_sub(1) / 2).min(8);
                let wait = round_trip.saturating_add(NEXT_WAIT);
                let longest = LONGEST_WAIT.max(wait);
                wait.saturating_mul(doubled).min(longest)
            }
        };
        self.sent.plus(wait)
    }
}

/// RFC 9260 section 1.6: whether `a` is `b` or comes before it.
const fn is_up_to(a: u32, b: u32) -> bool {
    b.wrapping_sub(a) <= u32::MAX / 2
}

/// The first chunk, padded, and what follows it.
fn split_chunk(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(u16_at(packet, 2)?);
    (length >= 4)
        .then(|| packet.split_at_checked(length.next_multiple_of(4)))
        .flatten()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let (bytes, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let (bytes, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// RFC 9260 appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    /// The polynomial of Castagnoli, mirrored.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 }
        })
    })
}
