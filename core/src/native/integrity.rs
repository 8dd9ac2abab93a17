//! MESSAGE-INTEGRITY (RFC 8489 section 14.5), checked over the bytes as they came.
//!
//! stun_codec checks what it would write itself, where padding is zero (RFC 5769 has spaces), and
//! takes time with the third power of how often the attribute comes, which is up to whoever sends.

use alloc::vec::Vec;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

const HEADER: usize = 20;
const MESSAGE_INTEGRITY: u16 = 0x0008;
/// With its type and length.
const WHOLE: u16 = 24;

/// A message that is signed.
#[derive(Debug)]
pub(super) struct Signed {
    /// Everything in front of the signature, as a message of its own.
    content: Vec<u8>,
    /// What the header says where it is signed: the length with the signature.
    length: [u8; 2],
    signature: [u8; 20],
}

impl Signed {
    /// The signature of a STUN message; `None` if it has none, or says that it is longer or shorter
    /// than it is.
    pub(super) fn of(message: &[u8]) -> Option<Self> {
        let (header, body) = message.split_first_chunk::<HEADER>()?;
        let [_, _, high, low, ..] = *header;
        if usize::from(u16::from_be_bytes([high, low])) != body.len() {
            return None;
        }
        let mut rest = body;
        loop {
            let (kind, tail) = rest.split_first_chunk::<2>()?;
            let (length, tail) = tail.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            if u16::from_be_bytes(*kind) == MESSAGE_INTEGRITY {
                let signature = tail.get(..length)?.try_into().ok()?;
                let in_front = message.len().checked_sub(rest.len())?;
                let length = u16::try_from(in_front.checked_sub(HEADER)?).ok()?;
                let mut content = message.get(..in_front)?.to_vec();
                content
                    .get_mut(2..4)?
                    .copy_from_slice(&length.to_be_bytes());
                return Some(Self {
                    content,
                    length: length.checked_add(WHOLE)?.to_be_bytes(),
                    signature,
                });
            }
            rest = tail.get(length.next_multiple_of(4)..)?;
        }
    }

    /// Whether it was made with this key.
    pub(super) fn is_by(&self, key: &[u8]) -> bool {
        Hmac::<Sha1>::new_from_slice(key).is_ok_and(|mut mac| {
            mac.update(self.content.get(..2).unwrap_or(&[]));
            mac.update(&self.length);
            mac.update(self.content.get(4..).unwrap_or(&[]));
            mac.verify_slice(&self.signature).is_ok()
        })
    }

    /// The message without its signature and what follows that.
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 section 2.1, a request whose padding is spaces.
    const SAMPLE: [u8; 108] = [
        0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6,
        0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74,
        0x65, 0x73, 0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e,
        0x00, 0x01, 0xff, 0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36,
        0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20,
        0x20, 0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e,
        0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5,
        0x7a, 0x3b, 0xcf,
    ];

    #[test]
    fn the_sample_of_the_standard_is_authentic() {
        let signed = Signed::of(&SAMPLE).unwrap();
        assert!(signed.is_by(b"VOkJxbRl1RmTxUk/WvJxBt"));
        assert!(!signed.is_by(b"VOkJxbRl1RmTxUk/WvJxBT"));
        let mut content = SAMPLE[..76].to_vec();
        content[3] = 56;
        assert_eq!(signed.content(), content);
        for length in 0..SAMPLE.len() {
            assert!(Signed::of(&SAMPLE[..length]).is_none());
        }
    }

    #[test]
    fn a_message_of_nothing_else_takes_no_time() {
        let mut message = SAMPLE[..20].to_vec();
        for _ in 0..2700 {
            message.extend([0, 8, 0, 20]);
            message.extend([0; 20]);
        }
        let length = u16::try_from(message.len() - 20).unwrap();
        message[2..4].copy_from_slice(&length.to_be_bytes());
        let signed = Signed::of(&message).unwrap();
        assert!(!signed.is_by(b"key"));
        assert_eq!(signed.content().len(), 20);
    }
}
