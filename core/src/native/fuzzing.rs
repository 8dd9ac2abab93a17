//! The readers of what comes from the network, for the package in `fuzz/`.

use alloc::string::String;
use alloc::vec::Vec;

use super::demux::{Kind, classify};
use super::link::fuzzing as link;
use super::{description, stun};

/// A remote's description as str0m will see it.
#[derive(Debug, PartialEq, Eq)]
pub struct Description {
    /// Without candidates.
    pub sdp: String,
    /// The candidates that were in it.
    pub candidates: Vec<String>,
    /// The remote's name and password.
    pub credentials: [String; 2],
    /// Whether str0m can read it as an offer and as an answer.
    pub readable: [bool; 2],
}

/// Reads a description.
#[must_use]
pub fn read_description(text: &str, limit: usize, lead: bool) -> Option<Description> {
    let read = description::read(text, limit, lead)?;
    Some(Description {
        readable: link::readable(&read.sdp),
        sdp: read.sdp,
        candidates: read.candidates,
        credentials: [read.credentials.ufrag, read.credentials.password],
    })
}

/// Whether a candidate can be read and used.
#[must_use]
pub fn read_candidate(text: &str, loopback: bool) -> bool {
    link::usable(text, loopback)
}

/// Whether a datagram looks like something that belongs to a link.
pub fn look(datagram: &[u8]) -> bool {
    let known = !matches!(classify(datagram), Kind::Other);
    let _ = (stun::role_of(datagram), stun::nominates(datagram));
    known
}

/// Whether a STUN message was made with this password.
#[must_use]
pub fn is_authentic(datagram: &[u8], password: &str) -> bool {
    stun::is_authentic(datagram, password)
}
