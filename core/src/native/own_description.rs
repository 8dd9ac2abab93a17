//! Our own session descriptions, as we tell them: str0m draws names in them from the system, which nobody else
//! can know, and the answer comes back under ours.

use alloc::string::String;

use crate::rng::Rng;

/// Our own description, with an origin as RFC 9429 section 5.2.1 wants it, and a session id that is drawn from
/// the seed, always of the same length: str0m draws from the system.
pub(super) fn with_origin(text: &str, rng: &mut Rng) -> String {
    const LEAST: u64 = 1_000_000_000_000_000_000;
    let id = LEAST + rng.below(8 * LEAST);
    let mut sdp = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let origin = line.strip_prefix("o=").map(|origin| origin.splitn(3, ' '));
        match origin.and_then(|mut origin| origin.nth(2)) {
            Some(version_and_address) => {
                sdp.push_str(&alloc::format!("o=- {id} {version_and_address}"));
            }
            None => sdp.push_str(line),
        }
    }
    sdp
}

/// How the one section of our offers is called, which is also what every candidate says that we signal: others
/// refuse a candidate for a section that they do not know. str0m draws a name.
const MID: &str = "0";

/// SCTP's INIT in the description (SNAP).
const INIT: &str = "a=sctp-init:";

/// What stands in an offer of str0m's, and is looked for in the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offered {
    mid: String,
    init: Option<String>,
}

impl Offered {
    /// The offer as we tell it, and what was in it.
    pub(super) fn new(sdp: &str) -> (String, Self) {
        let value = |name| {
            sdp.lines()
                .find_map(|line| line.trim_end().strip_prefix(name))
        };
        let offered = Self {
            mid: value("a=mid:").unwrap_or(MID).into(),
            init: value(INIT).map(Into::into),
        };
        (with_mid(sdp, MID), offered)
    }

    /// The answer as str0m expects it. libdatachannel repeats in its answer what it does not know, such as our own
    /// part of SNAP: so the other side would seem to be able to do it, with our own numbers.
    pub(super) fn answer(&self, sdp: &str) -> String {
        let is_echo = |line: &&str| {
            let init = line.trim_end().strip_prefix(INIT);
            init.is_some() && init == self.init.as_deref()
        };
        let heard: String = sdp
            .split_inclusive('\n')
            .filter(|line| !is_echo(line))
            .collect();
        with_mid(&heard, &self.mid)
    }
}

/// The same description with another name for its one section.
fn with_mid(sdp: &str, mid: &str) -> String {
    let mut renamed = String::with_capacity(sdp.len());
    for line in sdp.split_inclusive('\n') {
        match ["a=mid:", "a=group:BUNDLE "].map(|name| line.strip_prefix(name).and(Some(name))) {
            [Some(name), _] | [_, Some(name)] => {
                renamed.extend([name, mid, "\r\n"]);
            }
            [None, None] => renamed.push_str(line),
        }
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\na=ice-ufrag:abcd\r\n";

    #[test]
    fn our_session_id_is_the_seeds_and_always_of_one_length() {
        let offer = OFFER.replace("o=- 1 ", "o=str0m-0.25.0 2991005362358542912 ");
        let with = |seed| with_origin(&offer, &mut Rng::new([seed; 32]));
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
        for seed in 0..50 {
            let sdp = with(seed);
            assert_eq!(sdp.len(), OFFER.len() + 18, "{sdp}");
            assert!(
                sdp.starts_with("v=0\r\no=- ") && sdp.ends_with(&OFFER[10..]),
                "{sdp}"
            );
        }
    }

    #[test]
    fn the_one_section_is_called_otherwise_and_an_echo_is_no_answer() {
        let sdp = OFFER.replace(
            "a=mid:0",
            "a=group:BUNDLE zHd\r\na=mid:zHd\r\na=sctp-init:AQAAGg==",
        );
        let (told, offered) = Offered::new(&sdp);
        assert!(told.contains("a=group:BUNDLE 0\r\na=mid:0\r\na=sctp-init:AQAAGg==\r\n"));
        assert_eq!(told.replace("zHd", ""), told);
        let answer = offered.answer(&told);
        assert_eq!(answer, sdp.replace("a=sctp-init:AQAAGg==\r\n", ""));
        let theirs = told.replace("AQAAGg==", "AQAAGh==");
        assert!(offered.answer(&theirs).contains("a=sctp-init:AQAAGh==\r\n"));
    }
}
