//! What a hostile signaling server, or a hostile node behind an honest one, sends to a `Network`.

use std::time::Duration;

use serde_json::{Value, json};
use wattle_core::fuzzing;
use wattle_core::signaling::SignalingCommand;
use wattle_core::{LinkUpdate, NodeId, Output};

use crate::network::{CODE, OPEN, Stage};
use crate::source::Source;

/// Frames of a signaling server as texts, one to a line, to a node in any stage of joining or
/// hosting. In a line `$C` stands for the connection id of the node's own offer, `$S` for its
/// signaling id, `$N` for the host's node id.
///
/// A line that begins with `@` is no frame: it lets that many milliseconds pass (`@3000`), or opens
/// what was asked for (`@link`).
pub fn signaling(data: &[u8]) {
    let mut source = Source::new(data);
    let mut stage = Stage::set(&mut source);
    let host = NodeId::from_bytes(crate::network::HOST).to_string();
    let text = String::from_utf8_lossy(source.rest());
    for line in text.split('\n').take(100) {
        if let Some(what) = line.strip_prefix('@') {
            pause(&mut stage, what);
            continue;
        }
        let line = line
            .replace("$C", &stage.heard.connection)
            .replace("$S", &stage.heard.source)
            .replace("$N", &host);
        stage.frame(&line);
        let most = 64;
        assert!(stage.watched.links().count() <= most, "links without end");
        assert!(stage.watched.network.nodes().count() <= most);
    }
    stage.watched.finish();
}

fn pause(stage: &mut Stage, what: &str) {
    if let Ok(millis) = what.trim().parse::<u16>() {
        stage.now = stage.now.plus(Duration::from_millis(millis.into()));
        let _ = stage.watched.wake(stage.now);
    } else {
        let links: Vec<_> = stage.watched.links().collect();
        for link in links {
            stage.link(link, LinkUpdate::LocalDescription("a description"));
            let candidate = "candidate:1 1 udp 1 10.0.0.1 5 typ host";
            stage.link(link, LinkUpdate::LocalCandidate(candidate));
        }
    }
}

/// What a node said to its signaling server.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The connection id of its last frame.
    pub connection: String,
    /// The id under which it registered.
    pub source: String,
}

impl Heard {
    pub(crate) fn output(&mut self, output: &Output) {
        match output {
            Output::Signaling(SignalingCommand::Open(_, url)) => {
                let id = url
                    .split(['?', '&'])
                    .find_map(|part| part.strip_prefix("id="));
                self.source = id.unwrap_or_default().into();
            }
            Output::Signaling(SignalingCommand::Send(_, text)) => {
                let frame: Value = serde_json::from_str(text).unwrap_or_default();
                if let Some(id) = frame["payload"]["connectionId"].as_str() {
                    self.connection = id.into();
                }
            }
            _ => {}
        }
    }
}

fn relayed(kind: &str, source: &str, payload: &str) -> String {
    format!(r#"{{"type":"{kind}","src":"{source}","dst":"me","payload":{payload}}}"#)
}

/// An OFFER as a signaling server passes it on.
pub(crate) fn offer(source: &str, connection: &str, node: NodeId, sdp: &str) -> String {
    relayed("OFFER", source, &fuzzing::offer(connection, sdp, node))
}

/// The host's ANSWER.
pub(crate) fn answer(connection: &str, mesh: bool) -> String {
    let host = NodeId::from_bytes(crate::network::HOST);
    let payload = fuzzing::answer(connection, "an answer", host, (262_144, 524_288), mesh);
    relayed("ANSWER", CODE, &payload)
}

/// A frame made of choices.
pub(crate) fn frame(source: &mut Source<'_>, heard: &Heard) -> String {
    let kind = source.below(12);
    let from = source.one_of(&["peer 0", CODE, "peer 1", "wattle-0", ""]);
    let connection = source.one_of(&[&heard.connection, "dc_0", "dc_1", "dc_2", ""]);
    let node = NodeId::from_bytes([source.one_of(&[60, 61, 62, 8, 52, 0]); 16]);
    let sdp = source.one_of(&["an offer", "", "v=0\r\n"]);
    match kind {
        0 | 1 => offer(from, connection, node, sdp),
        2 => offer(from, connection, node, &"v".repeat(20_000)),
        3 => offer(from, connection, node, sdp).replace("\"wattle\"", "\"other\""),
        4 => offer(from, connection, node, sdp).replace("[1,", "[2,"),
        5 => relayed("ANSWER", from, &fuzzing::refusal(connection)),
        6 => {
            let terms = [0, 1, 1000, 262_144, 16_777_216, u32::MAX];
            let terms = (source.one_of(&terms), source.one_of(&terms));
            let payload = fuzzing::answer(connection, sdp, node, terms, source.flag());
            relayed("ANSWER", from, &payload)
        }
        7 => relayed("EXPIRE", from, "null"),
        8 => {
            let line = source.one_of(&["candidate:1 1 udp 1 10.0.0.1 5 typ host", "", "x"]);
            let line = if source.flag() {
                "y".repeat(3000)
            } else {
                line.into()
            };
            let payload = json!({
                "type": "data", "connectionId": connection,
                "candidate": { "candidate": line, "sdpMid": "0", "sdpMLineIndex": 0 },
            });
            relayed("CANDIDATE", from, &payload.to_string())
        }
        9 => {
            let payload = json!({ "connectionId": connection });
            relayed("LEAVE", from, &payload.to_string())
        }
        10 => source
            .one_of(&[OPEN, r#"{"type":"HEARTBEAT"}"#, "null", "[[[["])
            .into(),
        _ => source.text(),
    }
}
