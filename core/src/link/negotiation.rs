//! The payloads of OFFER, ANSWER, CANDIDATE and LEAVE: PeerJS's shape with our marker in it.
//!
//! PeerServer passes these three untouched and drops everything else, so whatever two nodes have to
//! say before they have a link travels under the one extra key `wattle`.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use serde::{Deserialize, Serialize};

use crate::event::Refusal;
use crate::id::NodeId;
use crate::wire::{Number, Version};

/// What a joiner says of itself in its OFFER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OfferHello {
    pub(crate) version: Version,
    pub(crate) node: NodeId,
    /// Whether its links are native: only those can take turns with roles.
    pub(crate) native: bool,
    /// It is a node of the network with this number, whose link is to be replaced.
    pub(crate) resume: Option<Number>,
}

/// An OFFER as the host reads it.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) sdp: String,
    pub(crate) connection_id: String,
    pub(crate) label: String,
    /// `None`: not a wattle node.
    pub(crate) hello: Option<OfferHello>,
}

/// The host's answer, as the joiner reads it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) connection_id: String,
    pub(crate) verdict: Verdict,
}

/// What the host says of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admitted(Admission),
    /// With the host's version, and the reason if we know it.
    Refused(Version, Option<Refusal>),
    /// The marker is missing: not a wattle node.
    Foreign(ForeignAnswer),
}

/// The answer of a host that speaks the JSON dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignAnswer {
    /// `None`: it did not describe its side, so there is no link.
    pub(crate) sdp: Option<String>,
    /// It takes both channels on one connection; a PeerJS page wants another for states.
    pub(crate) both_channels: bool,
}

/// The terms of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    pub(crate) sdp: String,
    pub(crate) version: Version,
    pub(crate) host: NodeId,
    pub(crate) epoch: u32,
    pub(crate) terms: Terms,
    /// The host took the DTLS client's and the controlling role.
    pub(crate) led: bool,
}

/// The limits that hold for everybody in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) message: u32,
    pub(crate) window: u32,
    pub(crate) relay: bool,
    /// The joiners are linked to each other too.
    pub(crate) mesh: bool,
}

/// A candidate of the other side.
#[derive(Debug)]
pub(crate) struct RemoteCandidate {
    pub(crate) connection_id: String,
    pub(crate) candidate: String,
}

// The JSON. Members that are missing or have another type make the whole unreadable, which is
// counted; members that we do not know are ignored.

#[derive(Serialize, Deserialize)]
struct Description<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    sdp: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfferPayload<'a> {
    #[serde(borrow)]
    sdp: Description<'a>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    connection_id: Cow<'a, str>,
    #[serde(borrow, default)]
    label: Cow<'a, str>,
    #[serde(default)]
    reliable: bool,
    #[serde(borrow, default)]
    serialization: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    wattle: Option<OfferMarker<'a>>,
}

#[derive(Serialize, Deserialize)]
struct OfferMarker<'a> {
    version: (u16, u16),
    #[serde(borrow)]
    node: Cow<'a, str>,
    #[serde(default)]
    native: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resume: Option<Number>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerPayload<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    sdp: Option<Description<'a>>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    connection_id: Cow<'a, str>,
    /// Clayground's own nodes say what they are made of, PeerJS says nothing.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    browser: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    wattle: Option<AnswerMarker<'a>>,
}

#[derive(Serialize, Deserialize)]
struct AnswerMarker<'a> {
    version: (u16, u16),
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    refused: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    node: Option<Cow<'a, str>>,
    #[serde(default)]
    epoch: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    terms: Option<TermsPayload>,
    #[serde(default)]
    led: bool,
}

#[derive(Serialize, Deserialize)]
struct TermsPayload {
    message: u32,
    window: u32,
    relay: bool,
    #[serde(default)]
    mesh: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CandidatePayload<'a> {
    #[serde(borrow)]
    candidate: CandidateInit<'a>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    connection_id: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CandidateInit<'a> {
    #[serde(borrow)]
    candidate: Cow<'a, str>,
    #[serde(borrow, default)]
    sdp_mid: Option<Cow<'a, str>>,
    #[serde(default)]
    sdp_m_line_index: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeavePayload<'a> {
    #[serde(borrow)]
    connection_id: Cow<'a, str>,
}

const DATA: Cow<'static, str> = Cow::Borrowed("data");

/// How PeerJS pages label the second connection, which is for states.
pub(crate) const STATES: &str = "clay_state";

fn description(kind: &'static str, sdp: &str) -> Description<'static> {
    Description {
        kind: kind.into(),
        sdp: sdp.to_string().into(),
    }
}

/// The payload of our OFFER.
pub(crate) fn offer(sdp: &str, connection_id: &str, hello: &OfferHello) -> impl Serialize {
    OfferPayload {
        sdp: description("offer", sdp),
        kind: DATA,
        connection_id: connection_id.to_string().into(),
        label: connection_id.to_string().into(),
        reliable: true,
        serialization: "json".into(),
        wattle: Some(OfferMarker {
            version: (hello.version.major, hello.version.minor),
            node: hello.node.to_string().into(),
            native: hello.native,
            resume: hello.resume,
        }),
    }
}

/// The payload of an OFFER to a host that speaks the JSON dialect, after the first: of another connection to
/// a PeerJS page, for states, or of one in the first one's place.
pub(crate) fn offer_unmarked(sdp: &str, connection_id: &str, label: &str) -> impl Serialize {
    OfferPayload {
        sdp: description("offer", sdp),
        kind: DATA,
        connection_id: connection_id.to_string().into(),
        label: label.to_string().into(),
        reliable: label != STATES,
        serialization: "json".into(),
        wattle: None,
    }
}

/// The payload of an ANSWER to a peer without a marker.
pub(crate) fn answer_unmarked(connection_id: &str, sdp: &str) -> impl Serialize {
    AnswerPayload {
        sdp: Some(description("answer", sdp)),
        kind: DATA,
        connection_id: connection_id.to_string().into(),
        browser: None,
        wattle: None,
    }
}

/// The longest message that a description allows (RFC 8841 section 6: 64 KiB if it says nothing, any
/// if it says 0).
pub(crate) fn longest_message(sdp: &str) -> u32 {
    let said = sdp
        .lines()
        .find_map(|line| line.trim().strip_prefix("a=max-message-size:"));
    match said.map(|number| number.trim().parse()) {
        Some(Ok(0)) => u32::MAX,
        Some(Ok(most)) => most,
        Some(Err(_)) | None => 64 * 1024,
    }
}

/// The payload of an ANSWER that lets a joiner in.
pub(crate) fn answer(connection_id: &str, admission: &Admission) -> impl Serialize {
    AnswerPayload {
        sdp: Some(description("answer", &admission.sdp)),
        kind: DATA,
        connection_id: connection_id.to_string().into(),
        browser: None,
        wattle: Some(AnswerMarker {
            version: (admission.version.major, admission.version.minor),
            refused: None,
            node: Some(admission.host.to_string().into()),
            epoch: admission.epoch,
            terms: Some(TermsPayload {
                message: admission.terms.message,
                window: admission.terms.window,
                relay: admission.terms.relay,
                mesh: admission.terms.mesh,
            }),
            led: admission.led,
        }),
    }
}

/// The payload of an ANSWER that refuses a joiner: no description, so no link is spent.
pub(crate) fn refusal(connection_id: &str, reason: Refusal) -> impl Serialize {
    AnswerPayload {
        sdp: None,
        kind: DATA,
        connection_id: connection_id.to_string().into(),
        browser: None,
        wattle: Some(AnswerMarker {
            version: (Version::OURS.major, Version::OURS.minor),
            refused: Some(reason.name().into()),
            node: None,
            epoch: 0,
            terms: None,
            led: false,
        }),
    }
}

/// The payload of a CANDIDATE.
pub(crate) fn candidate(connection_id: &str, candidate: &str) -> impl Serialize {
    CandidatePayload {
        candidate: CandidateInit {
            candidate: candidate.to_string().into(),
            sdp_mid: Some("0".into()),
            sdp_m_line_index: Some(0),
        },
        kind: DATA,
        connection_id: connection_id.to_string().into(),
    }
}

/// The payload of a LEAVE: which join is given up.
pub(crate) fn leave(connection_id: &str) -> impl Serialize {
    LeavePayload {
        connection_id: connection_id.to_string().into(),
    }
}

/// Reads a LEAVE's payload; `None` if it names no join.
pub(crate) fn read_leave(payload: &str) -> Option<String> {
    let payload: LeavePayload<'_> = serde_json::from_str(payload).ok()?;
    Some(payload.connection_id.into_owned())
}

/// Reads an OFFER's payload; `None` if it is not one.
pub(crate) fn read_offer(payload: &str) -> Option<Offer> {
    let offer: OfferPayload<'_> = serde_json::from_str(payload).ok()?;
    let hello = match offer.wattle {
        None => None,
        Some(marker) => Some(OfferHello {
            version: Version {
                major: marker.version.0,
                minor: marker.version.1,
            },
            node: marker.node.parse().ok()?,
            native: marker.native,
            resume: marker.resume,
        }),
    };
    (offer.sdp.kind == "offer").then(|| Offer {
        sdp: offer.sdp.sdp.into_owned(),
        connection_id: offer.connection_id.into_owned(),
        label: offer.label.into_owned(),
        hello,
    })
}

/// Reads an ANSWER's payload; `None` if it is not one.
pub(crate) fn read_answer(payload: &str) -> Option<Answer> {
    let answer: AnswerPayload<'_> = serde_json::from_str(payload).ok()?;
    let verdict = match answer.wattle {
        None => Verdict::Foreign(ForeignAnswer {
            sdp: answer.sdp.map(|description| description.sdp.into_owned()),
            both_channels: answer.browser.is_some(),
        }),
        Some(marker) => {
            let version = Version {
                major: marker.version.0,
                minor: marker.version.1,
            };
            if let Some(reason) = marker.refused {
                Verdict::Refused(version, Refusal::from_name(&reason))
            } else {
                let terms = marker.terms?;
                Verdict::Admitted(Admission {
                    sdp: answer.sdp?.sdp.into_owned(),
                    version,
                    host: marker.node?.parse().ok()?,
                    epoch: marker.epoch,
                    terms: Terms {
                        message: terms.message,
                        window: terms.window,
                        relay: terms.relay,
                        mesh: terms.mesh,
                    },
                    led: marker.led,
                })
            }
        }
    };
    Some(Answer {
        connection_id: answer.connection_id.into_owned(),
        verdict,
    })
}

/// Reads a CANDIDATE's payload; `None` if it is not one.
pub(crate) fn read_candidate(payload: &str) -> Option<RemoteCandidate> {
    let payload: CandidatePayload<'_> = serde_json::from_str(payload).ok()?;
    Some(RemoteCandidate {
        connection_id: payload.connection_id.into_owned(),
        candidate: payload.candidate.candidate.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> OfferHello {
        OfferHello {
            version: Version::OURS,
            node: NodeId::from_bytes([1; 16]),
            native: true,
            resume: None,
        }
    }

    #[test]
    fn the_offer_has_the_shape_that_peerjs_reads() {
        let text = serde_json::to_string(&offer("v=0\r\n", "dc_1", &hello())).unwrap();
        assert_eq!(
            text,
            r#"{"sdp":{"type":"offer","sdp":"v=0\r\n"},"type":"data","connectionId":"dc_1","label":"dc_1","reliable":true,"serialization":"json","wattle":{"version":[1,0],"node":"aeaqcaibaeaqcaibaeaqcaibae","native":true}}"#
        );
        let read = read_offer(&text).unwrap();
        assert_eq!(read.sdp, "v=0\r\n");
        assert_eq!(read.connection_id, "dc_1");
        assert_eq!(read.hello, Some(hello()));
    }

    #[test]
    fn a_peerjs_offer_has_no_marker() {
        let text = r#"{"sdp":{"type":"offer","sdp":"v=0"},"type":"data","connectionId":"dc_x","label":"dc_x","reliable":true,"serialization":"json","metadata":{"a":1},"browser":"chrome"}"#;
        assert!(read_offer(text).unwrap().hello.is_none());
    }

    #[test]
    fn answers_come_back() {
        let admission = Admission {
            sdp: "v=0".to_string(),
            version: Version::OURS,
            host: NodeId::from_bytes([2; 16]),
            epoch: 3,
            terms: Terms {
                message: 1,
                window: 40,
                relay: false,
                mesh: true,
            },
            led: true,
        };
        let text = serde_json::to_string(&answer("dc_1", &admission)).unwrap();
        assert_eq!(
            read_answer(&text).unwrap().verdict,
            Verdict::Admitted(admission)
        );
        let text = serde_json::to_string(&refusal("dc_1", Refusal::NetworkFull)).unwrap();
        assert_eq!(
            text,
            r#"{"type":"data","connectionId":"dc_1","wattle":{"version":[1,0],"refused":"network_full","epoch":0,"led":false}}"#
        );
        assert_eq!(
            read_answer(&text).unwrap().verdict,
            Verdict::Refused(Version::OURS, Some(Refusal::NetworkFull))
        );
        let foreign = r#"{"sdp":{"type":"answer","sdp":"v=0"},"type":"data","connectionId":"dc_1","browser":"libdatachannel"}"#;
        assert_eq!(
            read_answer(foreign).unwrap().verdict,
            Verdict::Foreign(ForeignAnswer {
                sdp: Some("v=0".to_string()),
                both_channels: true
            })
        );
        let page = foreign.replace(r#","browser":"libdatachannel""#, "");
        assert_eq!(
            read_answer(&page).unwrap().verdict,
            Verdict::Foreign(ForeignAnswer {
                sdp: Some("v=0".to_string()),
                both_channels: false
            })
        );
    }

    #[test]
    fn the_longest_message_is_in_the_description() {
        assert_eq!(
            longest_message("v=0\r\na=max-message-size:262144\r\n"),
            262_144
        );
        assert_eq!(longest_message("a=max-message-size:0"), u32::MAX);
        assert_eq!(longest_message("a=max-message-size:x"), 65_536);
        assert_eq!(longest_message(""), 65_536);
    }

    #[test]
    fn candidates_come_back() {
        let text = serde_json::to_string(&candidate(
            "dc_1",
            "candidate:1 1 udp 1 10.0.0.1 5 typ host",
        ))
        .unwrap();
        assert_eq!(
            text,
            r#"{"candidate":{"candidate":"candidate:1 1 udp 1 10.0.0.1 5 typ host","sdpMid":"0","sdpMLineIndex":0},"type":"data","connectionId":"dc_1"}"#
        );
        let read = read_candidate(&text).unwrap();
        assert_eq!(read.connection_id, "dc_1");
        assert_eq!(read.candidate, "candidate:1 1 udp 1 10.0.0.1 5 typ host");
    }

    #[test]
    fn wrong_payloads_are_refused() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"sdp":5}"#,
            r#"{"type":"data","connectionId":"x","wattle":{"version":[1,0]}}"#,
        ] {
            assert!(read_offer(text).is_none(), "{text}");
            assert!(read_answer(text).is_none(), "{text}");
            assert!(read_candidate(text).is_none(), "{text}");
        }
    }
}
