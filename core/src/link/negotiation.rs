//! The payloads of OFFER, ANSWER, CANDIDATE and LEAVE: PeerJS's shape with our marker in it.
//!
//! PeerServer passes these three untouched and drops everything else, so whatever two nodes have to
//! say before they have a link travels under the one extra key `wattle`.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString as _};

use crate::event::Refusal;
use crate::id::NodeId;
use crate::json::{self, Object, Value};
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

/// How PeerJS pages label the second connection, which is for states.
pub(crate) const STATES: &str = "clay_state";

// The JSON as it is written. PeerJS looks at all that stands in an offer, in this order or another.

fn description(kind: &str, sdp: &str) -> String {
    let mut description = Object::new();
    description.text("type", kind);
    description.text("sdp", sdp);
    description.end()
}

fn version(version: Version) -> String {
    format!("[{},{}]", version.major, version.minor)
}

/// The payload of our OFFER.
pub(crate) fn offer(sdp: &str, connection_id: &str, hello: &OfferHello) -> String {
    let mut marker = Object::new();
    marker.raw("version", &version(hello.version));
    marker.text("node", &hello.node.to_string());
    marker.flag("native", hello.native);
    if let Some(number) = hello.resume {
        marker.raw("resume", &number.to_string());
    }
    let mut offer = plain_offer(sdp, connection_id, connection_id, true);
    offer.raw("wattle", &marker.end());
    offer.end()
}

/// The payload of an OFFER to a host that speaks the JSON dialect, after the first: of another connection to
/// a PeerJS page, for states, or of one in the first one's place.
pub(crate) fn offer_unmarked(sdp: &str, connection_id: &str, label: &str) -> String {
    plain_offer(sdp, connection_id, label, label != STATES).end()
}

fn plain_offer(sdp: &str, connection_id: &str, label: &str, reliable: bool) -> Object {
    let mut offer = Object::new();
    offer.raw("sdp", &description("offer", sdp));
    offer.text("type", "data");
    offer.text("connectionId", connection_id);
    offer.text("label", label);
    offer.flag("reliable", reliable);
    offer.text("serialization", "json");
    offer
}

/// The payload of an ANSWER to a peer without a marker.
pub(crate) fn answer_unmarked(connection_id: &str, sdp: &str) -> String {
    plain_answer(Some(sdp), connection_id).end()
}

/// The payload of an ANSWER that lets a joiner in.
pub(crate) fn answer(connection_id: &str, admission: &Admission) -> String {
    let mut terms = Object::new();
    terms.raw("message", &admission.terms.message.to_string());
    terms.raw("window", &admission.terms.window.to_string());
    terms.flag("relay", admission.terms.relay);
    terms.flag("mesh", admission.terms.mesh);
    let mut marker = Object::new();
    marker.raw("version", &version(admission.version));
    marker.text("node", &admission.host.to_string());
    marker.raw("epoch", &admission.epoch.to_string());
    marker.raw("terms", &terms.end());
    marker.flag("led", admission.led);
    let mut answer = plain_answer(Some(&admission.sdp), connection_id);
    answer.raw("wattle", &marker.end());
    answer.end()
}

/// The payload of an ANSWER that refuses a joiner: no description, so no link is spent.
pub(crate) fn refusal(connection_id: &str, reason: Refusal) -> String {
    let mut marker = Object::new();
    marker.raw("version", &version(Version::OURS));
    marker.text("refused", reason.name());
    marker.raw("epoch", "0");
    marker.flag("led", false);
    let mut answer = plain_answer(None, connection_id);
    answer.raw("wattle", &marker.end());
    answer.end()
}

fn plain_answer(sdp: Option<&str>, connection_id: &str) -> Object {
    let mut answer = Object::new();
    if let Some(sdp) = sdp {
        answer.raw("sdp", &description("answer", sdp));
    }
    answer.text("type", "data");
    answer.text("connectionId", connection_id);
    answer
}

/// The payload of a CANDIDATE.
pub(crate) fn candidate(connection_id: &str, candidate: &str) -> String {
    let mut init = Object::new();
    init.text("candidate", candidate);
    init.text("sdpMid", "0");
    init.raw("sdpMLineIndex", "0");
    let mut payload = Object::new();
    payload.raw("candidate", &init.end());
    payload.text("type", "data");
    payload.text("connectionId", connection_id);
    payload.end()
}

/// The payload of a LEAVE: which join is given up.
pub(crate) fn leave(connection_id: &str) -> String {
    let mut payload = Object::new();
    payload.text("connectionId", connection_id);
    payload.end()
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

// The JSON as it is read. Members that are missing or have another type make the whole unreadable, which
// is counted; members that we do not know are ignored.

/// Reads a LEAVE's payload; `None` if it names no join.
pub(crate) fn read_leave(payload: &str) -> Option<String> {
    let [connection_id] = json::members(payload, ["connectionId"])?;
    owned(connection_id?)
}

/// Reads an OFFER's payload; `None` if it is not one.
pub(crate) fn read_offer(payload: &str) -> Option<Offer> {
    let [
        sdp,
        kind,
        connection_id,
        label,
        reliable,
        serialization,
        marker,
    ] = json::members(
        payload,
        [
            "sdp",
            "type",
            "connectionId",
            "label",
            "reliable",
            "serialization",
            "wattle",
        ],
    )?;
    kind?.text()?;
    flag(reliable)?;
    serialization.map_or(Some(Cow::Borrowed("")), Value::text)?;
    let (kind, sdp) = read_description(sdp?)?;
    let offer = Offer {
        sdp,
        connection_id: owned(connection_id?)?,
        label: label.map_or(Some(String::new()), owned)?,
        hello: json::optional(marker, read_hello)?,
    };
    (kind == "offer").then_some(offer)
}

fn read_hello(marker: Value<'_>) -> Option<OfferHello> {
    let [version, node, native, resume] =
        marker.members(["version", "node", "native", "resume"])?;
    Some(OfferHello {
        version: read_version(version?)?,
        node: node?.text()?.parse().ok()?,
        native: flag(native)?,
        resume: json::optional(resume, Value::number)?,
    })
}

/// Reads an ANSWER's payload; `None` if it is not one.
pub(crate) fn read_answer(payload: &str) -> Option<Answer> {
    let [sdp, kind, connection_id, browser, marker] = json::members(
        payload,
        ["sdp", "type", "connectionId", "browser", "wattle"],
    )?;
    kind?.text()?;
    let sdp = json::optional(sdp, read_description)?.map(|(_, sdp)| sdp);
    // Clayground's own nodes say what they are made of, PeerJS says nothing.
    let both_channels = json::optional(browser, Value::text)?.is_some();
    let connection_id = owned(connection_id?)?;
    let verdict = match marker.filter(|marker| !marker.is_null()) {
        None => Verdict::Foreign(ForeignAnswer { sdp, both_channels }),
        Some(marker) => read_verdict(marker, sdp)?,
    };
    Some(Answer {
        connection_id,
        verdict,
    })
}

fn read_verdict(marker: Value<'_>, sdp: Option<String>) -> Option<Verdict> {
    let [version, refused, node, epoch, terms, led] =
        marker.members(["version", "refused", "node", "epoch", "terms", "led"])?;
    let version = read_version(version?)?;
    let refused = json::optional(refused, Value::text)?;
    let node = json::optional(node, Value::text)?;
    let epoch = epoch.map_or(Some(0), Value::number)?;
    let terms = json::optional(terms, read_terms)?;
    let led = flag(led)?;
    Some(match refused {
        Some(reason) => Verdict::Refused(version, Refusal::from_name(&reason)),
        None => Verdict::Admitted(Admission {
            sdp: sdp?,
            version,
            host: node?.parse().ok()?,
            epoch,
            terms: terms?,
            led,
        }),
    })
}

fn read_terms(terms: Value<'_>) -> Option<Terms> {
    let [message, window, relay, mesh] = terms.members(["message", "window", "relay", "mesh"])?;
    Some(Terms {
        message: message?.number()?,
        window: window?.number()?,
        relay: relay?.flag()?,
        mesh: flag(mesh)?,
    })
}

/// Reads a CANDIDATE's payload; `None` if it is not one.
pub(crate) fn read_candidate(payload: &str) -> Option<RemoteCandidate> {
    let [init, kind, connection_id] =
        json::members(payload, ["candidate", "type", "connectionId"])?;
    kind?.text()?;
    let [candidate, mid, line] = init?.members(["candidate", "sdpMid", "sdpMLineIndex"])?;
    json::optional(mid, Value::text)?;
    json::optional(line, Value::number::<u32>)?;
    Some(RemoteCandidate {
        connection_id: owned(connection_id?)?,
        candidate: owned(candidate?)?,
    })
}

/// The type of a session description, and the description.
fn read_description(value: Value<'_>) -> Option<(Cow<'_, str>, String)> {
    let [kind, sdp] = value.members(["type", "sdp"])?;
    Some((kind?.text()?, owned(sdp?)?))
}

fn read_version(value: Value<'_>) -> Option<Version> {
    let [major, minor] = <[_; 2]>::try_from(value.elements(2)?).ok()?;
    Some(Version {
        major: major.number()?,
        minor: minor.number()?,
    })
}

fn owned(value: Value<'_>) -> Option<String> {
    value.text().map(Cow::into_owned)
}

/// Not set if it is missing.
fn flag(member: Option<Value<'_>>) -> Option<bool> {
    member.map_or(Some(false), Value::flag)
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
        let text = offer("v=0\r\n", "dc_1", &hello());
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
        let text = answer("dc_1", &admission);
        assert_eq!(
            read_answer(&text).unwrap().verdict,
            Verdict::Admitted(admission)
        );
        let text = refusal("dc_1", Refusal::NetworkFull);
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
        let text = candidate("dc_1", "candidate:1 1 udp 1 10.0.0.1 5 typ host");
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
