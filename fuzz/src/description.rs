//! Descriptions and candidates of a hostile remote, as texts into native nodes.

use std::time::{Duration, Instant};

use serde_json::json;
use wattle_core::fuzzing;
use wattle_core::native::{Input, Interface, Node, Output};
use wattle_core::signaling::{
    ConnectionId, ServerInput, SignalingCommand, SignalingId, SignalingUpdate,
};
use wattle_core::{Config, Hosting, NodeId, Status, Timestamp};

use crate::duo::address;

/// The largest description, as by default.
const LIMIT: usize = 16 * 1024;

/// A description and, after an empty line, candidates, one to a line. What the readers take goes
/// on into native nodes, as an offer and as an answer.
pub fn description(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (sdp, candidates) = text.split_once("\n\n").unwrap_or((text, ""));
    let candidates: Vec<&str> = candidates.lines().take(50).collect();
    for candidate in &candidates {
        let usable = fuzzing::read_candidate(candidate, false);
        let on_loopback = fuzzing::read_candidate(candidate, true);
        assert!(!usable || on_loopback, "{candidate}");
    }
    let Some(read) = fuzzing::read_description(sdp, LIMIT, false) else {
        return;
    };
    assert!(sdp.len() <= LIMIT);
    let candidate = |line: &str| line.starts_with("a=candidate:");
    assert!(!read.sdp.lines().any(candidate), "candidates are taken out");
    assert_eq!(
        read.sdp.matches("\r\nm=").count() + usize::from(read.sdp.starts_with("m=")),
        1
    );
    let [name, password] = &read.credentials;
    assert!((4..=256).contains(&name.len()) && (22..=256).contains(&password.len()));
    let again = fuzzing::read_description(&read.sdp, LIMIT * 2, false).expect("ours is read");
    assert_eq!(
        (&again.sdp, &again.credentials),
        (&read.sdp, &read.credentials)
    );
    let _ = fuzzing::read_description(sdp, LIMIT, true);
    let [offer, answer] = read.readable;
    if offer {
        as_offer(sdp, &candidates);
    }
    if answer {
        as_answer(sdp, &candidates);
    }
}

/// To a host on the LAN, by a client of its server.
fn as_offer(sdp: &str, candidates: &[&str]) {
    let mut lone = Lone::new();
    let now = lone.now;
    let lan = ([10, 0, 0, 1], 9000).into();
    lone.node
        .host(now, Hosting::Lan { address: lan })
        .expect("hosts");
    lone.drain();
    let connection = ConnectionId(1);
    lone.input(Input::Server(ServerInput::Request {
        connection,
        peer: [10, 0, 0, 2].into(),
        method: "GET",
        target: "/peerjs?key=peerjs&id=peer&token=t",
        upgrade: true,
    }));
    let node = NodeId::from_bytes([7; 16]);
    let payload = fuzzing::offer("dc_1", sdp, node).replace("\"native\":false", "\"native\":true");
    let text = format!(r#"{{"type":"OFFER","dst":"HOST","payload":{payload}}}"#);
    let text = text.as_str();
    lone.input(Input::Server(ServerInput::Frame { connection, text }));
    for candidate in candidates {
        let text = candidate_frame("HOST", "dc_1", candidate);
        let text = text.as_str();
        lone.input(Input::Server(ServerInput::Frame { connection, text }));
    }
    lone.finish();
}

/// To a joiner, by whoever answers.
fn as_answer(sdp: &str, candidates: &[&str]) {
    let mut lone = Lone::new();
    let now = lone.now;
    let code = "ABCDEF".parse().expect("a code");
    lone.node.join(now, &code).expect("joins");
    lone.drain();
    lone.frame(r#"{"type":"OPEN"}"#);
    let connection = lone.connection.clone();
    let payload = fuzzing::answer(
        &connection,
        sdp,
        NodeId::from_bytes([8; 16]),
        (262_144, 524_288),
        false,
    );
    lone.frame(&format!(
        r#"{{"type":"ANSWER","src":"ABCDEF","payload":{payload}}}"#
    ));
    for candidate in candidates {
        lone.frame(
            &candidate_frame("x", &connection, candidate)
                .replace("\"dst\":\"x\"", "\"src\":\"ABCDEF\""),
        );
    }
    lone.finish();
}

fn candidate_frame(to: &str, connection: &str, candidate: &str) -> String {
    let payload = json!({
        "type": "data", "connectionId": connection,
        "candidate": { "candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0 },
    });
    format!(r#"{{"type":"CANDIDATE","dst":"{to}","payload":{payload}}}"#)
}

/// A node whose datagrams nobody answers.
struct Lone {
    node: Node,
    now: Timestamp,
    signaling: Option<SignalingId>,
    connection: String,
    sent: usize,
}

impl Lone {
    fn new() -> Self {
        let node = Node::new(
            Config::default().with_ice_servers(Vec::new()),
            [5; 32],
            Timestamp::ZERO,
            Instant::now(),
        );
        let mut lone = Self {
            node,
            now: Timestamp::from_millis(1),
            signaling: None,
            connection: String::new(),
            sent: 0,
        };
        let interface = Interface {
            name: "eth0".into(),
            address: address(0),
        };
        lone.input(Input::Interfaces(&[interface]));
        lone
    }

    fn input(&mut self, input: Input<'_>) {
        self.node.handle_input(self.now, input);
        self.drain();
    }

    fn frame(&mut self, text: &str) {
        if let Some(id) = self.signaling {
            self.input(Input::Signaling(SignalingUpdate::Frame(id, text)));
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Signaling(SignalingCommand::Open(id, _)) => self.signaling = Some(id),
                Output::Signaling(SignalingCommand::Close(_)) => self.signaling = None,
                Output::Signaling(SignalingCommand::Send(_, text)) => {
                    let frame: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                    if let Some(id) = frame["payload"]["connectionId"].as_str() {
                        self.connection = id.into();
                    }
                }
                Output::Transmit(transmit) => {
                    let to = transmit.remote.ip();
                    assert!(!to.is_multicast() && !to.is_unspecified() && !to.is_loopback());
                    assert_ne!(transmit.remote.port(), 0);
                    self.sent += 1;
                }
                _ => {}
            }
        }
    }

    /// Whatever was begun ends, and what it sends on the way is bounded.
    fn finish(&mut self) {
        for _ in 0..20 {
            if let Some(at) = self.node.poll_timeout() {
                self.wake(at.min(self.now.plus(Duration::from_secs(2))));
            }
        }
        let now = self.now;
        self.node.leave(now);
        self.drain();
        for _ in 0..2_000 {
            if self.node.status() == Status::Idle {
                break;
            }
            let at = self.node.poll_timeout();
            self.wake(at.expect("law 4: leaving without a deadline"));
        }
        assert_eq!(self.node.status(), Status::Idle, "law 4: it never ended");
        assert_eq!(self.node.poll_timeout(), None, "something is left");
        assert!(self.sent < 5_000, "{} datagrams for nobody", self.sent);
    }

    fn wake(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        self.node.handle_timeout(self.now);
        self.drain();
        let next = self.node.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "law 3: {next:?}");
    }
}
