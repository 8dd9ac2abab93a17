//! Names and passwords in ICE, drawn by ourselves: str0m's come from a generator that is not
//! cryptographic (trap 6).

use alloc::string::String;
use core::fmt;

use crate::rng::Rng;

/// One side's name and password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) ufrag: String,
    pub(super) password: String,
}

impl Credentials {
    /// 48 and 144 bits, where RFC 8445 section 5.3 wants 24 and 128.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        Self {
            ufrag: token(&rng.bytes::<6>()),
            password: token(&rng.bytes::<18>()),
        }
    }
}

impl fmt::Debug for Credentials {
    /// The password is never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.ufrag).finish()
    }
}

/// Random bytes as ICE characters (RFC 8839 section 5.4): 6 bits each.
fn token(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let bits = chunk
                .iter()
                .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
            [18, 12, 6, 0].map(|shift| {
                let digit = (bits >> shift & 63) as usize;
                char::from(ALPHABET.get(digit).copied().unwrap_or(b'A'))
            })
        })
        .collect()
}
