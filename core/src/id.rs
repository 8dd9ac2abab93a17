//! Names of nodes and links.

use core::fmt;
use core::str::FromStr;

/// RFC 4648 base 32, lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The name of a node: 16 random bytes, written as 26 characters.
///
/// It is independent of the network code and of the id at the signaling server, and it survives
/// signaling reconnects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 16]);

impl NodeId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 128 bits are 26 characters of 5 bits; the last two bits of the last one are zero.
        let bits = u128::from_be_bytes(self.0);
        for place in 0..26u32 {
            let shift = 123 - 5 * place as i32;
            let digit = if shift >= 0 {
                bits >> shift
            } else {
                bits << -shift
            } & 31;
            let letter = ALPHABET.get(digit as usize).copied().unwrap_or(b'a');
            write!(f, "{}", letter as char)?;
        }
        Ok(())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not a [`NodeId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeIdError {
    /// A node id has 26 characters.
    #[error("a node id has 26 characters, this has {length}")]
    Length {
        /// How many characters it has.
        length: usize,
    },
    /// A character is not in `a`-`z`, `2`-`7`.
    #[error("'{character}' does not occur in a node id")]
    Character {
        /// The character.
        character: char,
    },
    /// The last character carries bits that no id has.
    #[error("the last character of this node id cannot be right")]
    Trailing,
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let length = text.chars().count();
        if length != 26 {
            return Err(NodeIdError::Length { length });
        }
        let mut bits: u128 = 0;
        for (place, character) in text.chars().enumerate() {
            let digit = u8::try_from(character.to_ascii_lowercase())
                .ok()
                .and_then(|byte| ALPHABET.iter().position(|&letter| letter == byte))
                .ok_or(NodeIdError::Character { character })? as u128;
            if place < 25 {
                bits = bits << 5 | digit;
            } else if digit & 3 != 0 {
                return Err(NodeIdError::Trailing);
            } else {
                bits = bits << 3 | digit >> 2;
            }
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

/// The name of one link within one node, never used for another link.
///
/// Late news of a link that was closed therefore names nothing, and is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(crate) u64);

impl LinkId {
    /// The number behind the name, for logs and for drivers that key by integers.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The name with this number, for drivers that key by integers.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link-{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn text_and_bytes_agree() {
        for bytes in [[0; 16], [255; 16], *b"0123456789abcdef"] {
            let id = NodeId::from_bytes(bytes);
            let text = id.to_string();
            assert_eq!(text.len(), 26);
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(text.to_uppercase().parse(), Ok(id));
        }
        // RFC 4648 writes sixteen zero bytes and sixteen 0xff bytes so (without padding).
        assert_eq!(
            NodeId::from_bytes([0; 16]).to_string(),
            "aaaaaaaaaaaaaaaaaaaaaaaaaa"
        );
        assert_eq!(
            NodeId::from_bytes([255; 16]).to_string(),
            "77777777777777777777777774"
        );
    }

    #[test]
    fn wrong_texts_are_named() {
        assert_eq!(
            "abc".parse::<NodeId>(),
            Err(NodeIdError::Length { length: 3 })
        );
        assert_eq!(
            "aaaaaaaaaaaaaaaaaaaaaaaaa1".parse::<NodeId>(),
            Err(NodeIdError::Character { character: '1' })
        );
        assert_eq!(
            "aaaaaaaaaaaaaaaaaaaaaaaaab".parse::<NodeId>(),
            Err(NodeIdError::Trailing)
        );
        assert_eq!(
            "äaaaaaaaaaaaaaaaaaaaaaaaaa".parse::<NodeId>(),
            Err(NodeIdError::Character { character: 'ä' })
        );
    }
}
