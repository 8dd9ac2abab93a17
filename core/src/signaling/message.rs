//! The JSON frames of PeerServer.

use alloc::borrow::Cow;
use alloc::string::String;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// A frame as it comes; only what we look at.
#[derive(Debug, Deserialize)]
pub(crate) struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(crate) src: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    #[cfg(any(feature = "server", test))]
    pub(crate) dst: Option<Cow<'a, str>>,
    /// As it was written. `null` is a payload too: PeerServer passes it on.
    #[serde(default, borrow, deserialize_with = "present")]
    pub(crate) payload: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    /// The frame in `text`, unless it is not a JSON object with a `type`.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        // serde would read a list as the members in their order; to PeerServer it is no frame.
        if !text
            .trim_start_matches([' ', '\t', '\n', '\r'])
            .starts_with('{')
        {
            return None;
        }
        serde_json::from_str(text).ok()
    }
}

/// Unlike serde's own rule for `Option`, `null` is something.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

/// A frame as it leaves, in PeerServer's order of members.
#[derive(Debug, Serialize)]
pub(crate) struct FrameOut<'a, P: Serialize> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) src: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dst: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<P>,
}

impl<P: Serialize> FrameOut<'_, P> {
    /// The frame as text.
    pub(crate) fn to_text(&self) -> String {
        // Strings, numbers and raw JSON cannot fail to serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_pass_as_they_are_written() {
        let text =
            r#" {"x":[],"payload": {"b":1.0, "a":1e999,"a":"\ud800"},"dst":"B\u0041","type":"T"}"#;
        let frame = Frame::parse(text).unwrap();
        assert_eq!(
            (frame.kind.as_ref(), frame.dst.as_deref()),
            ("T", Some("BA"))
        );
        assert!(frame.src.is_none());
        let out = FrameOut {
            kind: &frame.kind,
            src: Some("a\"b"),
            dst: frame.dst.as_deref(),
            payload: frame.payload,
        };
        assert_eq!(
            out.to_text(),
            r#"{"type":"T","src":"a\"b","dst":"BA","payload":{"b":1.0, "a":1e999,"a":"\ud800"}}"#
        );
    }

    #[test]
    fn null_is_a_payload_and_nothing_is_none() {
        let null = Frame::parse(r#"{"type":"T","dst":null,"payload":null}"#).unwrap();
        assert_eq!(null.payload.map(RawValue::get), Some("null"));
        assert!(null.dst.is_none());
        assert!(Frame::parse(r#"{"type":"T"}"#).unwrap().payload.is_none());
    }

    #[test]
    fn what_is_no_frame() {
        for text in [
            "",
            "null",
            "1",
            "\"OFFER\"",
            "{",
            "{}",
            r#"{"id":"a"}"#,
            r#"["OFFER","a","b",{}]"#,
            r#"{"type":1}"#,
            r#"{"type":"T","dst":5}"#,
            r#"{"type":"T","type":"T"}"#,
            r#"{"type":"T"} x"#,
            "\u{feff}{\"type\":\"T\"}",
        ] {
            assert!(Frame::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn deep_payloads_do_not_overflow_the_stack() {
        let depth = 200_000;
        let text = [
            r#"{"type":"T","payload":"#,
            &"[".repeat(depth),
            &"]".repeat(depth),
            "}",
        ]
        .concat();
        assert!(Frame::parse(&text).unwrap().payload.is_some());
    }
}
