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

/// How many packets at the most are sent again at a time.
const PACKETS: usize = 4;

/// After so many times in vain the path must be dark, and one chunk is enough to find out that it
/// is not any more.
const DARK: u32 = 8;

/// A path that is alive is never held to be darker than after so many times.
const ALIVE: u32 = 3;

/// How much is kept: what str0m has on its way in one round trip. Of what is more, the first is kept:
/// that is what has to arrive first. (What is not kept waits for SCTP's timer, a second or more.)
const BYTES: usize = 128 * 1024;

/// And how many chunks: each acknowledgement is compared with all of them.
const CHUNKS: usize = 2048;

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
    /// How often it was sent again; less when the remote was heard since.
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

    /// There was a sign of life of the remote: whatever is late was lost, not the path.
    pub(super) fn heard(&mut self) {
        // Those that were sent again are the first ones.
        let again = self.chunks.iter_mut().take_while(|chunk| chunk.times > 0);
        for chunk in again.chain(&mut self.forward) {
            chunk.times = chunk.times.min(ALIVE);
        }
    }

    /// The remote has sent a packet, an authentic one.
    pub(super) fn received(&mut self, packet: &[u8]) {
        self.heard();
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
            _ => {
                let mut room = self.largest.saturating_mul(PACKETS);
                let fits = self.chunks.iter().take_while(|chunk| {
                    let left = room.checked_sub(chunk.bytes.len());
                    room = left.unwrap_or(0);
                    left.is_some()
                });
                fits.count().max(1)
            }
        }
    }

    fn keep(&mut self, chunk: Chunk) {
        let before = |known: &Chunk| is_up_to(known.tsn, chunk.tsn);
        let place = self.chunks.iter().rposition(before);
        if let Some(known) = place.and_then(|place| self.chunks.get_mut(place))
            && known.tsn == chunk.tsn
        {
            // SCTP's own timer has come: that is no news of the remote.
            known.sent = chunk.sent;
            return;
        }
        self.bytes = self.bytes.saturating_add(chunk.bytes.len());
        self.chunks
            .insert(place.map_or(0, |place| place.saturating_add(1)), chunk);
        while (self.bytes > BYTES || self.chunks.len() > CHUNKS)
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

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: Duration = Duration::from_millis(100);

    fn packet(chunks: &[&[u8]]) -> Vec<u8> {
        [&[7; HEADER][..]]
            .iter()
            .chain(chunks)
            .copied()
            .flatten()
            .copied()
            .collect()
    }

    fn data(tsn: u32, stream: u8, size: usize) -> Vec<u8> {
        let length = u16::try_from(16 + size).unwrap().to_be_bytes();
        let mut chunk = [&[DATA, 3][..], &length, &tsn.to_be_bytes()].concat();
        chunk.extend_from_slice(&[0, stream, 0, 0, 0, 0, 0, 53]);
        chunk.resize((16 + size).next_multiple_of(4), 9);
        chunk
    }

    fn sack(up_to: u32, blocks: &[[u16; 2]]) -> Vec<u8> {
        let count = u16::try_from(blocks.len()).unwrap();
        let mut chunk = [&[SACK, 0][..], &(16 + 4 * count).to_be_bytes()].concat();
        chunk.extend_from_slice(&up_to.to_be_bytes());
        chunk.extend_from_slice(&[0, 1, 0, 0]);
        for number in [count, 0].iter().chain(blocks.as_flattened()) {
            chunk.extend_from_slice(&number.to_be_bytes());
        }
        packet(&[&chunk])
    }

    fn tsns(echo: &Echo) -> Vec<u32> {
        echo.chunks.iter().map(|chunk| chunk.tsn).collect()
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        // The value that RFC 3720 appendix B.4 gives for 32 bytes of zeros is 8a9136aa.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn only_reliable_chunks_that_are_not_acknowledged_are_kept() {
        let mut echo = Echo::default();
        let first = u32::MAX - 1;
        for n in 0..6 {
            let state = data(first.wrapping_add(n), 1, 5);
            let reliable = data(first.wrapping_add(n), 0, 5);
            let chunk = if n == 2 { state } else { reliable };
            echo.sent(Timestamp::ZERO, &packet(&[&chunk]));
        }
        assert_eq!(tsns(&echo), [first, u32::MAX, 1, 2, 3]);
        echo.received(&sack(first, &[[3, 4]]));
        assert_eq!(tsns(&echo), [u32::MAX, 3]);
        echo.received(&sack(3, &[]));
        assert!(echo.chunks.is_empty());
        assert_eq!((echo.bytes, echo.poll_timeout(TRIP)), (0, None));
    }

    #[test]
    fn a_chunk_waits_longer_and_longer_but_never_long() {
        let mut echo = Echo::default();
        echo.sent(Timestamp::ZERO, &packet(&[&data(1, 0, 100)]));
        let mut times = Vec::new();
        for _ in 0..10 {
            let due = echo.poll_timeout(TRIP).unwrap();
            times.push(due.as_millis());
            let again = echo.poll_packet(due, TRIP).unwrap();
            assert_eq!((again[HEADER], again[HEADER + 1]), (DATA, 3 | IMMEDIATE));
            assert_eq!(echo.poll_packet(due, TRIP), None);
        }
        assert_eq!(
            times,
            [400, 550, 700, 1000, 1300, 1900, 2500, 3100, 3700, 4300]
        );
    }

    #[test]
    fn four_at_a_time_and_in_the_dark_one() {
        let mut echo = Echo::default();
        for tsn in 0..20 {
            echo.sent(Timestamp::ZERO, &packet(&[&data(tsn, 0, 1000)]));
        }
        let mut now = Timestamp::ZERO;
        let mut counts = Vec::new();
        for _ in 0..10 {
            now = now.plus(Duration::from_secs(1));
            counts.push(core::iter::from_fn(|| echo.poll_packet(now, TRIP)).count());
        }
        assert_eq!(counts, [4, 4, 4, 4, 4, 4, 4, 1, 1, 1]);
        assert!(echo.poll_timeout(TRIP).is_some_and(|due| due > now));
        echo.received(&sack(0, &[]));
        assert_eq!(
            core::iter::from_fn(|| echo.poll_packet(now, TRIP)).count(),
            4
        );
    }

    #[test]
    fn little_is_kept_and_of_that_the_first() {
        let mut echo = Echo::default();
        for tsn in (0..1000).rev() {
            echo.sent(Timestamp::ZERO, &packet(&[&data(tsn, 0, 1000)]));
            assert!(echo.bytes <= BYTES);
        }
        assert_eq!(tsns(&echo)[..2], [0, 1]);
    }

    #[test]
    fn what_is_no_packet_does_nothing() {
        let mut echo = Echo::default();
        echo.sent(Timestamp::ZERO, &packet(&[&data(1, 0, 10)]));
        let whole = sack(1, &[[1, 1], [4, 9]]);
        for end in 0..HEADER + 16 {
            echo.received(&whole[..end]);
            echo.sent(Timestamp::ZERO, &whole[..end]);
        }
        for length in 0..8 {
            echo.received(&packet(&[&[SACK, 0, 0, length, 0, 0, 0, 9]]));
        }
        assert_eq!(tsns(&echo), [1]);
    }
}
