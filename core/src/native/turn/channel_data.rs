//! ChannelData (RFC 8656 section 12.4), and where messages end in a stream.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// Channel numbers that there are.
pub(super) const NUMBERS: RangeInclusive<u16> = 0x4000..=0x4fff;

const HEADER: usize = 4;
const STUN_HEADER: usize = 20;

/// How messages are cut on the way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// One datagram is one message.
    Datagram,
    /// TCP or TLS: ChannelData is padded, and messages come in any pieces.
    Stream,
}

/// A ChannelData message; `None` if the payload is too long for one.
pub(super) fn frame(transport: Transport, number: u16, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len()).ok()?;
    let mut bytes = Vec::with_capacity(HEADER + payload.len().next_multiple_of(4));
    bytes.extend(number.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(payload);
    if transport == Transport::Stream {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    Some(bytes)
}

/// Number and payload of a ChannelData message; what follows the payload is padding.
pub(super) fn read(message: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = message.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let number = u16::from_be_bytes(*number);
    let length = usize::from(u16::from_be_bytes(*length));
    NUMBERS
        .contains(&number)
        .then(|| rest.get(..length))?
        .map(|payload| (number, payload))
}

/// The stream is not what TURN speaks, and cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The messages of a stream. Never holds more than one, so at most 64 KiB and a header.
#[derive(Debug, Default)]
pub(super) struct Reader {
    begun: Vec<u8>,
}

impl Reader {
    /// The next whole message, taken from what was begun before and the front of `bytes`; `None` if
    /// `bytes` are used up.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        // Two steps: what tells the length, then all of it.
        self.take(bytes, HEADER);
        let Some(length) = length(&self.begun)? else {
            return Ok(None);
        };
        self.take(bytes, length);
        if self.begun.len() < length {
            return Ok(None);
        }
        Ok(Some(core::mem::take(&mut self.begun)))
    }

    /// Takes as much as makes `length` of what was begun, or all that there is.
    fn take(&mut self, bytes: &mut &[u8], length: usize) {
        let missing = length.saturating_sub(self.begun.len());
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        self.begun.extend(taken);
        *bytes = rest;
    }
}

/// How long the message that begins so is, with padding; `None` if that is not to be seen yet.
fn length(begun: &[u8]) -> Result<Option<usize>, Broken> {
    let Some([a, b, c, d]) = begun.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let body = usize::from(u16::from_be_bytes([*c, *d]));
    match a >> 6 {
        0 if body % 4 == 0 => Ok(Some(STUN_HEADER + body)),
        1 if NUMBERS.contains(&u16::from_be_bytes([*a, *b])) => {
            Ok(Some(HEADER + body.next_multiple_of(4)))
        }
        _ => Err(Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_streams_are_padded() {
        let datagram = frame(Transport::Datagram, 0x4001, b"hello").unwrap();
        assert_eq!(datagram, b"\x40\x01\x00\x05hello");
        let stream = frame(Transport::Stream, 0x4001, b"hello").unwrap();
        assert_eq!(stream, b"\x40\x01\x00\x05hello\0\0\0");
        for bytes in [datagram, stream] {
            assert_eq!(read(&bytes), Some((0x4001, &b"hello"[..])));
        }
        assert_eq!(read(b"\x50\x00\x00\x00"), None);
        assert_eq!(read(b"\x40\x00\x00\x01"), None);
        assert_eq!(frame(Transport::Stream, 0x4000, &[0; 65536]), None);
    }

    #[test]
    fn a_stream_may_be_cut_anywhere() {
        let mut stun = alloc::vec![0; 28];
        stun[3] = 8;
        let messages = [
            stun,
            frame(Transport::Stream, 0x4000, b"").unwrap(),
            frame(Transport::Stream, 0x4fff, b"123456789").unwrap(),
            frame(Transport::Stream, 0x4001, &[7; 65535]).unwrap(),
        ];
        let stream = messages.concat();
        for piece in [1, 2, 3, 4, 5, 7, 19, 20, 21, 1460, stream.len()] {
            let mut reader = Reader::default();
            let mut read = Vec::new();
            for mut bytes in stream.chunks(piece) {
                while let Some(message) = reader.next(&mut bytes).unwrap() {
                    read.push(message);
                }
                assert!(bytes.is_empty());
            }
            assert_eq!(read, messages, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_turn_breaks_the_stream() {
        for begin in [
            &b"SSH-2.0"[..],
            &[0x50, 0, 0, 0],
            &[0x80, 0, 0, 0],
            &[0, 1, 0, 3],
        ] {
            let mut bytes = begin;
            assert_eq!(Reader::default().next(&mut bytes), Err(Broken));
        }
    }
}
