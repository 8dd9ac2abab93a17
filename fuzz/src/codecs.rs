//! Formats that are read and written again.

use bytes::Bytes;
use wattle_core::fuzzing::{self, Frames};
use wattle_core::{IceServer, NetworkCode, NodeId, SignalingUrl};

/// Frames between two nodes: what was read can be written and is the same when it is read again.
pub fn frames(data: &[u8]) {
    let Some(read) = Frames::decode(Bytes::copy_from_slice(data)) else {
        return;
    };
    assert!(read.len() <= Frames::MOST, "too many frames");
    assert!(read.len() <= data.len() / 2, "frames out of nothing");
    let known = read.known();
    let written = known.encode();
    assert!(written.len() <= data.len(), "our way is the shortest");
    let again = Frames::decode(written.clone()).expect("what we write can be read");
    assert_eq!(known, again);
    assert_eq!(written, again.encode());
}

/// Network codes and node ids: one thing has one text, and every text is a code or an error that
/// names what is wrong.
pub fn codes(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<NetworkCode>() {
        Ok(code) => {
            let shown = code.to_string();
            assert_eq!(shown.parse(), Ok(code));
            assert_eq!(shown, text.trim_ascii().to_ascii_uppercase());
            if let Some(address) = code.lan_address() {
                assert_eq!(NetworkCode::lan(address), Ok(code));
            } else {
                assert_eq!(shown.len(), 6);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match text.parse::<NodeId>() {
        Ok(id) => {
            assert_eq!(id.to_string(), text.to_ascii_lowercase());
            assert_eq!(NodeId::from_bytes(*id.as_bytes()), id);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Addresses of signaling servers, and STUN and TURN servers.
pub fn urls(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<SignalingUrl>() {
        Ok(url) => {
            let shown = url.to_string();
            assert_eq!(shown.parse(), Ok(url), "{shown}");
            assert!(shown.starts_with("ws://") || shown.starts_with("wss://"));
            // It stands in the request line of an HTTP request: nothing may break out of it.
            assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()), "{shown}");
            assert_eq!(shown.matches('?').count(), 1, "{shown}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match text.parse::<IceServer>() {
        Ok(server) => {
            for url in server.urls() {
                let shown = url.to_string();
                assert_eq!(shown.parse().as_ref(), Ok(url), "{shown}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Frames of the signaling server and the payloads in them: what was read can be written and is the
/// same when it is read again.
pub fn payloads(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let frame = fuzzing::read_signaling_frame(text);
    let payload = frame.as_ref().map_or(text, |(_, _, payload)| payload);
    comes_back(payload, fuzzing::rewrite_offer);
    comes_back(payload, fuzzing::rewrite_candidate);
    comes_back(payload, fuzzing::rewrite_leave);
    if let Some((read, Some(written))) = fuzzing::rewrite_answer(payload) {
        let again = fuzzing::rewrite_answer(&written).expect("what we write can be read");
        assert_eq!((read, Some(written)), again);
    }
}

fn comes_back(payload: &str, rewrite: impl Fn(&str) -> Option<(String, String)>) {
    if let Some((read, written)) = rewrite(payload) {
        let again = rewrite(&written).expect("what we write can be read");
        assert_eq!((read, written), again);
    }
}

/// The two readers of STUN: one that only looks, and one that checks.
pub fn stun(data: &[u8]) {
    let known = fuzzing::look(data);
    if fuzzing::is_authentic(data, "secret of the fuzzer, 22 or more") {
        assert!(known, "authentic, and yet of no use");
    }
}
