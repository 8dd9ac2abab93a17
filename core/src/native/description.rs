//! Session descriptions of others, read before str0m sees them.
//!
//! What a remote writes is cut down to what we expect, so that str0m's larger world (media, ICE
//! restarts, candidates in any order) is out of its reach.

use alloc::string::String;
use alloc::vec::Vec;

use super::credentials::Credentials;

/// RFC 8839 section 5.4: 4 to 256 and 22 to 256 characters.
const UFRAG: core::ops::RangeInclusive<usize> = 4..=256;
const PASSWORD: core::ops::RangeInclusive<usize> = 22..=256;

/// A remote's description, ready for str0m.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Description {
    /// Without candidates.
    pub(super) sdp: String,
    /// The candidates that were in it, in their order: str0m would take them through a HashSet.
    pub(super) candidates: Vec<String>,
    /// For our own probes.
    pub(super) credentials: Credentials,
}

/// Reads a description; `None` if it is not of one data connection with a SHA-256 fingerprint.
///
/// With `lead`, `a=setup:actpass` becomes `passive`: str0m then answers `active`, which makes us
/// the DTLS client.
pub(super) fn read(text: &str, limit: usize, lead: bool) -> Option<Description> {
    if text.len() > limit {
        return None;
    }
    let mut sdp = String::with_capacity(text.len());
    let mut candidates = Vec::new();
    let (mut ufrag, mut password) = (None, None);
    let (mut media, mut fingerprint) = (0, false);
    for line in text.lines() {
        let line = line.trim_end();
        if let Some(candidate) = line.strip_prefix("a=candidate:") {
            candidates.push(["candidate:", candidate].concat());
            continue;
        }
        let mut kept = line;
        if line.starts_with("m=") {
            media += 1;
            if !line.starts_with("m=application ") {
                return None;
            }
        } else if line.starts_with("a=end-of-candidates") {
            continue;
        } else if let Some(value) = line.strip_prefix("a=ice-ufrag:") {
            set_once(&mut ufrag, value)?;
        } else if let Some(value) = line.strip_prefix("a=ice-pwd:") {
            set_once(&mut password, value)?;
        } else if let Some(value) = line.strip_prefix("a=fingerprint:") {
            let (hash, _) = value.split_once(' ')?;
            if !hash.eq_ignore_ascii_case("sha-256") {
                // Others may stand beside it (RFC 8122 section 5); we go by SHA-256 alone.
                continue;
            }
            fingerprint = true;
        } else if lead && line == "a=setup:actpass" {
            kept = "a=setup:passive";
        }
        sdp.push_str(kept);
        sdp.push_str("\r\n");
    }
    let credentials = Credentials {
        ufrag: ufrag.filter(|ufrag| UFRAG.contains(&ufrag.len()))?,
        password: password.filter(|password| PASSWORD.contains(&password.len()))?,
    };
    (media == 1 && fingerprint).then_some(Description {
        sdp,
        candidates,
        credentials,
    })
}

/// The same value may stand at both levels; two different ones cannot both be meant.
fn set_once(place: &mut Option<String>, value: &str) -> Option<()> {
    match place {
        Some(other) => (other == value).then_some(()),
        None => {
            *place = Some(value.into());
            Some(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
        a=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n\
        a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
        a=candidate:2 1 udp 1 10.0.0.2 5 typ host\r\na=candidate:1 1 udp 1 10.0.0.1 5 typ host\r\n";

    #[test]
    fn trap_05_candidates_are_taken_out_in_their_order() {
        let read = read(OFFER, 4096, false).unwrap();
        assert!(!read.sdp.contains("candidate"));
        assert!(read.candidates[0].starts_with("candidate:2 "));
        assert!(read.candidates[1].starts_with("candidate:1 "));
        assert_eq!(read.credentials.ufrag, "abcd");
    }

    #[test]
    fn who_leads_makes_the_other_passive() {
        let led = read(OFFER, 4096, true).unwrap();
        assert!(led.sdp.contains("a=setup:passive\r\n"));
        assert!(
            read(OFFER, 4096, false)
                .unwrap()
                .sdp
                .contains("a=setup:actpass\r\n")
        );
    }

    #[test]
    fn bare_line_ends_are_mended() {
        let bare = OFFER.replace("\r\n", "\n");
        assert_eq!(read(&bare, 4096, false), read(OFFER, 4096, false));
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for (what, by) in [
            ("m=application", "m=audio"),
            ("sha-256", "sha-1"),
            ("a=ice-ufrag:abcd", "a=ice-ufrag:abc"),
            ("a=ice-ufrag:abcd", "a=ice-ufrag:abcd\r\na=ice-ufrag:abce"),
            ("a=ice-pwd", "a=ice-pw"),
            (
                "a=mid:0",
                "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            ),
        ] {
            assert_eq!(read(&OFFER.replace(what, by), 4096, false), None, "{by}");
        }
        assert_eq!(read(OFFER, OFFER.len() - 1, false), None);
    }
}
