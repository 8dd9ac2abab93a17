//! The JSON frames of PeerServer.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::json::{self, Object, Value};

/// A frame as it comes; only what we look at.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Cow<'a, str>,
    pub(crate) src: Option<Cow<'a, str>>,
    #[cfg(any(feature = "server", test))]
    pub(crate) dst: Option<Cow<'a, str>>,
    /// As it was written. `null` is a payload too: PeerServer passes it on.
    pub(crate) payload: Option<&'a str>,
}

impl<'a> Frame<'a> {
    /// The frame in `text`, unless it is not a JSON object with a `type`.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let [kind, src, dst, payload] = json::members(text, ["type", "src", "dst", "payload"])?;
        let src = json::optional(src, Value::text)?;
        let dst = json::optional(dst, Value::text)?;
        #[cfg(not(any(feature = "server", test)))]
        let _ = dst;
        Some(Self {
            kind: kind?.text()?,
            src,
            #[cfg(any(feature = "server", test))]
            dst,
            payload: payload.map(Value::raw),
        })
    }
}

/// A frame as it leaves, in PeerServer's order of members.
#[derive(Debug)]
pub(crate) struct FrameOut<'a> {
    pub(crate) kind: &'a str,
    pub(crate) src: Option<&'a str>,
    pub(crate) dst: Option<&'a str>,
    /// JSON.
    pub(crate) payload: Option<&'a str>,
}

impl FrameOut<'_> {
    /// The frame as text.
    pub(crate) fn to_text(&self) -> String {
        let mut frame = Object::new();
        frame.text("type", self.kind);
        if let Some(src) = self.src {
            frame.text("src", src);
        }
        if let Some(dst) = self.dst {
            frame.text("dst", dst);
        }
        if let Some(payload) = self.payload {
            frame.raw("payload", payload);
        }
        frame.end()
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
        assert_eq!(null.payload, Some("null"));
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
