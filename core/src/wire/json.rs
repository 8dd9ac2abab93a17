//! The JSON dialect: the frames of Clayground nodes and PeerJS pages, one object in each channel message.
//!
//! What others wrote is kept as they wrote it: payloads and numbers are raw text, never read into our
//! own types and written again.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::config::MOST_NODES;
use crate::io::ChannelMessage;
use crate::json::{self, Value, quoted};

/// A frame of the dialect, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JsonFrame<'a> {
    /// A reliable message, with its origin if somebody passed it on.
    Message {
        from: Option<Cow<'a, str>>,
        payload: &'a str,
    },
    /// A state; the numbers of one sender rise.
    State {
        from: Option<Cow<'a, str>>,
        sequence: u64,
        payload: &'a str,
    },
    /// To be answered with the same stamp, whatever it is.
    Ping {
        stamp: &'a str,
    },
    Pong {
        stamp: &'a str,
    },
    /// The host does not let the joiner in.
    Refused {
        reason: Cow<'a, str>,
    },
    /// Everyone but the host and the one that is told.
    Roster {
        nodes: Vec<Cow<'a, str>>,
    },
    Joined {
        node: Cow<'a, str>,
    },
    Left {
        node: Cow<'a, str>,
    },
}

/// Reads a channel message; `None` if it is no frame of the dialect.
pub(crate) fn read(message: &[u8]) -> Option<JsonFrame<'_>> {
    let text = core::str::from_utf8(message).ok()?;
    // What another type of frame has is not looked at, whatever it is.
    let [t, d, q, ts, r, sys, nodes, node_id, from] = json::members(
        text,
        ["t", "d", "q", "ts", "r", "sys", "nodes", "nodeId", "from"],
    )?;
    let from = json::optional(from, Value::text)?;
    Some(match t?.text()?.as_ref() {
        "m" => JsonFrame::Message {
            from,
            payload: d?.raw(),
        },
        "s" => JsonFrame::State {
            from,
            sequence: q?.number()?,
            payload: d?.raw(),
        },
        "p" => JsonFrame::Ping { stamp: stamp(ts?)? },
        "P" => JsonFrame::Pong { stamp: stamp(ts?)? },
        "R" => JsonFrame::Refused {
            reason: r.and_then(Value::text).unwrap_or_default(),
        },
        "y" => match sys?.text()?.as_ref() {
            "roster" => JsonFrame::Roster {
                nodes: names(nodes?)?,
            },
            "node_joined" => JsonFrame::Joined {
                node: node_id?.text()?,
            },
            "node_left" => JsonFrame::Left {
                node: node_id?.text()?,
            },
            _ => return None,
        },
        _ => return None,
    })
}

/// A stamp is a number: nothing else is sent back.
fn stamp(value: Value<'_>) -> Option<&str> {
    let text = value.raw();
    let digit = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
    (text.len() <= 32 && text.as_bytes().first().is_some_and(digit)).then_some(text)
}

fn names(list: Value<'_>) -> Option<Vec<Cow<'_, str>>> {
    let names = list.elements(MOST_NODES.into())?;
    names.into_iter().map(Value::text).collect()
}

/// Whether a payload can be said in the dialect: it is the text of one JSON object.
pub(crate) fn is_object(payload: &[u8]) -> bool {
    let value = core::str::from_utf8(payload).ok().and_then(Value::read);
    value.is_some_and(|value| value.raw().starts_with('{'))
}

/// What stands around the payload of a message or state of ours, at most, besides its origin's name.
pub(crate) const AROUND: usize = 64;

/// A message; `from` if we pass it on.
pub(crate) fn message(from: Option<&str>, payload: Bytes) -> ChannelMessage {
    let head = Bytes::from_static(br#"{"t":"m","d":"#);
    around(head, from, payload)
}

/// A state.
pub(crate) fn state(from: Option<&str>, sequence: u64, payload: Bytes) -> ChannelMessage {
    let head = format!(r#"{{"t":"s","q":{sequence},"d":"#);
    around(head.into_bytes().into(), from, payload)
}

/// The payload is shared, not copied.
fn around(head: Bytes, from: Option<&str>, payload: Bytes) -> ChannelMessage {
    let tail = match from {
        Some(from) => format!(r#","from":{}}}"#, quoted(from)).into_bytes().into(),
        None => Bytes::from_static(b"}"),
    };
    ChannelMessage::new(vec![head, payload, tail])
}

pub(crate) fn ping(stamp: u32) -> ChannelMessage {
    whole(format!(r#"{{"t":"p","ts":{stamp}}}"#))
}

/// The stamp is the other's, as it wrote it.
pub(crate) fn pong(stamp: &str) -> ChannelMessage {
    whole(format!(r#"{{"t":"P","ts":{stamp}}}"#))
}

pub(crate) fn refused(reason: &str) -> ChannelMessage {
    whole(format!(r#"{{"t":"R","r":{}}}"#, quoted(reason)))
}

pub(crate) fn roster<'a>(nodes: impl Iterator<Item = &'a str>) -> ChannelMessage {
    let nodes: Vec<String> = nodes.map(quoted).collect();
    let nodes = nodes.join(",");
    whole(format!(r#"{{"t":"y","sys":"roster","nodes":[{nodes}]}}"#))
}

pub(crate) fn joined(node: &str) -> ChannelMessage {
    let node = quoted(node);
    whole(format!(
        r#"{{"t":"y","sys":"node_joined","nodeId":{node}}}"#
    ))
}

pub(crate) fn left(node: &str) -> ChannelMessage {
    let node = quoted(node);
    whole(format!(r#"{{"t":"y","sys":"node_left","nodeId":{node}}}"#))
}

fn whole(text: String) -> ChannelMessage {
    Bytes::from(text.into_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &ChannelMessage) -> String {
        String::from_utf8(message.to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn frames_are_read() {
        assert_eq!(
            read(br#"{"t":"m","d":{"a":1.0}}"#),
            Some(JsonFrame::Message {
                from: None,
                payload: r#"{"a":1.0}"#
            })
        );
        assert_eq!(
            read(br#" {"d": {"x":[1,2]} , "from":"a\u0062c","q":17,"t":"s"} "#),
            Some(JsonFrame::State {
                from: Some("abc".into()),
                sequence: 17,
                payload: r#"{"x":[1,2]}"#
            })
        );
        assert_eq!(
            read(br#"{"t":"y","sys":"roster","nodes":["a","b"]}"#),
            Some(JsonFrame::Roster {
                nodes: vec!["a".into(), "b".into()]
            })
        );
        assert_eq!(
            read(br#"{"t":"y","sys":"node_joined","nodeId":"a"}"#),
            Some(JsonFrame::Joined { node: "a".into() })
        );
        assert_eq!(
            read(br#"{"t":"y","sys":"node_left","nodeId":"a"}"#),
            Some(JsonFrame::Left { node: "a".into() })
        );
        assert_eq!(
            read(br#"{"t":"R","r":"Network full"}"#),
            Some(JsonFrame::Refused {
                reason: "Network full".into()
            })
        );
    }

    #[test]
    fn numbers_of_others_come_back_as_they_were_written() {
        for stamp in ["1732309200123.25", "1e400", "-0", "12345678901234567890123"] {
            let ping = format!(r#"{{"t":"p","ts":{stamp}}}"#);
            assert_eq!(read(ping.as_bytes()), Some(JsonFrame::Ping { stamp }));
            assert_eq!(text(&pong(stamp)), format!(r#"{{"t":"P","ts":{stamp}}}"#));
        }
        for stamp in [
            r#""text""#,
            "null",
            "{}",
            "1111111111111111111111111111111111",
        ] {
            let ping = format!(r#"{{"t":"p","ts":{stamp}}}"#);
            assert_eq!(read(ping.as_bytes()), None, "{stamp}");
        }
    }

    #[test]
    fn defect_13_a_payload_that_is_no_object_is_not_made_one() {
        for payload in ["5", "\"text\"", "[1]", "null", "true"] {
            let frame = format!(r#"{{"t":"m","d":{payload}}}"#);
            let read = read(frame.as_bytes());
            assert_eq!(
                read,
                Some(JsonFrame::Message {
                    from: None,
                    payload
                })
            );
            assert!(!is_object(payload.as_bytes()));
        }
        assert!(is_object(b" {\"a\":{}}\n"));
        assert!(is_object(b"{}"));
        for not in [
            &b"{} {}"[..],
            b"{",
            b"",
            b"{\"a\":\xff}",
            b"\xef\xbb\xbf{}",
            b"{a:1}",
        ] {
            assert!(!is_object(not), "{not:?}");
        }
    }

    #[test]
    fn what_is_no_frame_is_not_read() {
        for not in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"t":5}"#,
            r#"{"t":"x"}"#,
            r#"{"t":"m"}"#,
            r#"{"t":"s","d":{}}"#,
            r#"{"t":"s","q":-1,"d":{}}"#,
            r#"{"t":"s","q":1.5,"d":{}}"#,
            r#"{"t":"s","q":"1","d":{}}"#,
            r#"{"t":"y","sys":"roster","nodes":[1]}"#,
            r#"{"t":"y","sys":"roster","nodes":"a"}"#,
            r#"{"t":"y","sys":"else"}"#,
            r#"{"t":"m","d":{},"from":{"a":1}}"#,
            r#"{"t":"m","d":{}}{"t":"m","d":{}}"#,
        ] {
            assert_eq!(read(not.as_bytes()), None, "{not}");
        }
        let many = vec!["\"a\""; 65].join(",");
        let many = format!(r#"{{"t":"y","sys":"roster","nodes":[{many}]}}"#);
        assert_eq!(read(many.as_bytes()), None);
    }

    #[test]
    fn frames_are_written() {
        let payload = Bytes::from_static(br#"{"a":1}"#);
        let shared = message(None, payload.clone());
        assert_eq!(text(&shared), r#"{"t":"m","d":{"a":1}}"#);
        assert_eq!(shared.parts()[1].as_ptr(), payload.as_ptr());
        assert_eq!(
            text(&message(Some("a\"b"), payload.clone())),
            r#"{"t":"m","d":{"a":1},"from":"a\"b"}"#
        );
        assert_eq!(
            text(&state(Some("x"), 7, payload.clone())),
            r#"{"t":"s","q":7,"d":{"a":1},"from":"x"}"#
        );
        assert!(state(None, u64::MAX, payload).len() < AROUND + 7);
        assert_eq!(text(&ping(9)), r#"{"t":"p","ts":9}"#);
        assert_eq!(
            text(&refused("Network full")),
            r#"{"t":"R","r":"Network full"}"#
        );
        assert_eq!(
            text(&roster(["a", "b"].into_iter())),
            r#"{"t":"y","sys":"roster","nodes":["a","b"]}"#
        );
        assert_eq!(
            text(&joined("a")),
            r#"{"t":"y","sys":"node_joined","nodeId":"a"}"#
        );
        assert_eq!(
            text(&left("a")),
            r#"{"t":"y","sys":"node_left","nodeId":"a"}"#
        );
    }

    #[test]
    fn deep_nesting_is_read_without_a_deep_stack() {
        let deep = ["{\"a\":".repeat(100_000), "1".into(), "}".repeat(100_000)].concat();
        assert!(is_object(deep.as_bytes()));
        let frame = format!(r#"{{"t":"m","d":{deep}}}"#);
        assert!(read(frame.as_bytes()).is_some());
    }
}
