//! What str0m makes of texts, for the package in `fuzz/`.

use str0m::change::{SdpAnswer, SdpOffer};

use super::candidate;

/// Whether str0m can read it as an offer and as an answer.
pub(in crate::native) fn readable(sdp: &str) -> [bool; 2] {
    [
        SdpOffer::from_sdp_string(sdp).is_ok(),
        SdpAnswer::from_sdp_string(sdp).is_ok(),
    ]
}

/// Whether a candidate can be read and used.
pub(in crate::native) fn usable(candidate: &str, loopback: bool) -> bool {
    candidate::remote(candidate, loopback).is_some()
}
