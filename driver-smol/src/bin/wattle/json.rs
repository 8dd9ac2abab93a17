//! The lines of `--json`: one object each, `event` first. `docs/cli.md` documents them.

use std::io::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use wattle_smol::{
    Counters, Diagnostic, EndReason, Event, LinkState, NodeId, NodeStats, PhaseTiming, Route,
    SignalingDiagnostic, Stats, Status,
};

use crate::doctor::DoctorLine;
use crate::report::ReportLine;

/// One line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Line {
    NetworkCreated {
        code: String,
        node: String,
    },
    Listening {
        address: String,
        url: String,
    },
    Phase {
        phase: &'static str,
    },
    Joined {
        node: String,
        nodes: Vec<String>,
        timing: Timing,
    },
    NodeJoined {
        node: String,
    },
    NodeSuspect {
        node: String,
    },
    NodeLost {
        node: String,
    },
    NodeBack {
        node: String,
    },
    NodeStalled {
        node: String,
    },
    NodeRoute {
        node: String,
        route: &'static str,
    },
    NodeLeft {
        node: String,
        reason: &'static str,
        message: String,
    },
    HostLost {
        reason: &'static str,
        message: String,
    },
    Message {
        from: String,
        #[serde(flatten)]
        content: Content,
    },
    State {
        from: String,
        seq: u32,
        #[serde(flatten)]
        content: Content,
    },
    Writable,
    SignalingLost {
        kind: &'static str,
        message: String,
    },
    SignalingRestored,
    ConnectReport(Box<ReportLine>),
    Doctor(Box<DoctorLine>),
    Diagnostic {
        phase: &'static str,
        #[serde(flatten)]
        detail: Detail,
    },
    Stats {
        status: &'static str,
        latency_best_ms: Option<f64>,
        nodes: Vec<NodeNumbers>,
        counters: CounterNumbers,
    },
    Warning {
        kind: &'static str,
        message: String,
    },
    Error {
        kind: &'static str,
        message: String,
        #[serde(skip_serializing_if = "str::is_empty")]
        remedy: &'static str,
        #[serde(skip_serializing_if = "str::is_empty")]
        command: &'static str,
    },
    Summary {
        nodes: u8,
        seconds: f64,
        messages: u64,
        states: u64,
    },
    Ended {
        reason: &'static str,
        message: String,
    },
}

/// Bytes of the application: as text if they are.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    Text(String),
    Base64(String),
}

impl Content {
    fn new(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }
}

/// Milliseconds, with three places.
#[derive(Debug, Serialize)]
pub(crate) struct Timing {
    signaling_ms: Option<f64>,
    ice_ms: Option<f64>,
    datachannel_ms: Option<f64>,
    total_ms: Option<f64>,
}

impl From<PhaseTiming> for Timing {
    fn from(timing: PhaseTiming) -> Self {
        Self {
            signaling_ms: timing.signaling.map(milliseconds),
            ice_ms: timing.ice.map(milliseconds),
            datachannel_ms: timing.datachannel.map(milliseconds),
            total_ms: timing.total.map(milliseconds),
        }
    }
}

/// Rounded to microseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Detail {
    Signaling {
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<&'static str>,
    },
    Candidate {
        node: Option<String>,
        side: &'static str,
        r#type: &'static str,
    },
    Link {
        node: Option<String>,
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<&'static str>,
    },
    Refused {
        node: Option<String>,
        reason: &'static str,
    },
    ForeignOffer {
        signaling_id: String,
    },
    Other {
        text: String,
    },
}

impl From<Diagnostic> for Detail {
    fn from(diagnostic: Diagnostic) -> Self {
        match diagnostic {
            Diagnostic::Signaling(news) => signaling(news),
            Diagnostic::Candidate { node, side, kind } => Self::Candidate {
                node: node.map(text),
                side: side.name(),
                r#type: kind.name(),
            },
            Diagnostic::Link { node, state } => Self::Link {
                node: node.map(text),
                state: state.name(),
                failure: match state {
                    LinkState::Failed(failure) => Some(failure.name()),
                    _ => None,
                },
            },
            Diagnostic::Refused { node, reason } => Self::Refused {
                node: node.map(text),
                reason: reason.name(),
            },
            Diagnostic::ForeignOffer { signaling_id } => Self::ForeignOffer { signaling_id },
            other => Self::Other {
                text: format!("{other:?}"),
            },
        }
    }
}

fn signaling(news: SignalingDiagnostic) -> Detail {
    let (state, attempt, failure) = match news {
        SignalingDiagnostic::Connecting { attempt } => ("connecting", Some(attempt), None),
        SignalingDiagnostic::Registered => ("registered", None, None),
        SignalingDiagnostic::IdTaken => ("id_taken", None, None),
        SignalingDiagnostic::Failed(failure) => ("failed", None, Some(failure.kind())),
        SignalingDiagnostic::Expired => ("expired", None, None),
        _ => ("other", None, None),
    };
    Detail::Signaling {
        state,
        attempt,
        failure,
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct NodeNumbers {
    node: String,
    relayed: bool,
    latency_ms: Option<f64>,
    latency_best_ms: Option<f64>,
    silent_ms: Option<f64>,
    messages_sent: u64,
    messages_received: u64,
    bytes_sent: u64,
    bytes_received: u64,
    bytes_in_flight: u32,
    state: StateNumbers,
    timing: Timing,
}

#[derive(Debug, Serialize)]
struct StateNumbers {
    seq: Option<u32>,
    received: u64,
    stale: u64,
    age_ms: Option<f64>,
}

impl From<&NodeStats> for NodeNumbers {
    fn from(stats: &NodeStats) -> Self {
        Self {
            node: text(stats.node),
            relayed: stats.relayed,
            latency_ms: stats.latency.map(milliseconds),
            latency_best_ms: stats.latency_best.map(milliseconds),
            silent_ms: stats.silent_for.map(milliseconds),
            messages_sent: stats.messages_sent,
            messages_received: stats.messages_received,
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
            bytes_in_flight: stats.bytes_in_flight,
            state: StateNumbers {
                seq: stats.state.sequence,
                received: stats.state.received,
                stale: stats.state.stale,
                age_ms: stats.state.age.map(milliseconds),
            },
            timing: stats.timing.into(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct CounterNumbers {
    signaling_dropped: u64,
    frames_bad: u64,
    frames_stale: u64,
    candidates_dropped: u64,
    joins_refused: u64,
    late_updates: u64,
    messages_relayed: u64,
    states_superseded: u64,
    datagrams_dropped: u64,
}

impl From<Counters> for CounterNumbers {
    fn from(counters: Counters) -> Self {
        Self {
            signaling_dropped: counters.signaling_dropped,
            frames_bad: counters.frames_bad,
            frames_stale: counters.frames_stale,
            candidates_dropped: counters.candidates_dropped,
            joins_refused: counters.joins_refused,
            late_updates: counters.late_updates,
            messages_relayed: counters.messages_relayed,
            states_superseded: counters.states_superseded,
            datagrams_dropped: counters.datagrams_dropped,
        }
    }
}

/// A status in output.
pub(crate) const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Idle => "idle",
        Status::Connecting => "connecting",
        Status::Joined => "joined",
        Status::Leaving => "leaving",
        _ => "other",
    }
}

fn text(node: NodeId) -> String {
    node.to_string()
}

impl Line {
    /// An error without a command.
    pub(crate) fn error(
        kind: &'static str,
        message: impl std::fmt::Display,
        remedy: &'static str,
    ) -> Self {
        Self::Error {
            kind,
            message: message.to_string(),
            remedy,
            command: "",
        }
    }

    /// The end.
    pub(crate) fn ended(reason: EndReason) -> Self {
        Self::Ended {
            reason: reason.kind(),
            message: reason.to_string(),
        }
    }

    /// The line of an event; `own` is the node that it happened to.
    pub(crate) fn from_event(event: Event, own: NodeId) -> Self {
        match event {
            Event::NetworkCreated { code } => Self::NetworkCreated {
                code: code.to_string(),
                node: text(own),
            },
            Event::Phase(phase) => Self::Phase {
                phase: phase.name(),
            },
            Event::Joined {
                node,
                nodes,
                timing,
            } => Self::Joined {
                node: text(node),
                nodes: nodes.into_iter().map(text).collect(),
                timing: (*timing).into(),
            },
            Event::NodeJoined { node } => Self::NodeJoined { node: text(node) },
            Event::NodeSuspect { node } => Self::NodeSuspect { node: text(node) },
            Event::NodeLost { node } => Self::NodeLost { node: text(node) },
            Event::NodeBack { node } => Self::NodeBack { node: text(node) },
            Event::NodeStalled { node } => Self::NodeStalled { node: text(node) },
            Event::NodeRoute { node, route } => Self::NodeRoute {
                node: text(node),
                route: match route {
                    Route::Direct => "direct",
                    Route::Relayed => "relayed",
                },
            },
            Event::NodeLeft { node, reason } => Self::NodeLeft {
                node: text(node),
                reason: reason.name(),
                message: reason.to_string(),
            },
            Event::HostLost { reason } => Self::HostLost {
                reason: reason.name(),
                message: reason.to_string(),
            },
            Event::Message { from, payload } => Self::Message {
                from: text(from),
                content: Content::new(&payload),
            },
            Event::State {
                from,
                sequence,
                payload,
            } => Self::State {
                from: text(from),
                seq: sequence,
                content: Content::new(&payload),
            },
            Event::Writable => Self::Writable,
            Event::SignalingLost { failure } => Self::SignalingLost {
                kind: failure.kind(),
                message: failure.to_string(),
            },
            Event::SignalingRestored => Self::SignalingRestored,
            Event::Diagnostic(diagnostic) => Self::Diagnostic {
                phase: diagnostic.phase().name(),
                detail: diagnostic.into(),
            },
            Event::ConnectReport(report) => Self::ConnectReport(Box::new((&*report).into())),
            Event::Ended { reason } => Self::ended(reason),
            other => Self::Warning {
                kind: "unknown_event",
                message: format!("{other:?}"),
            },
        }
    }
}

impl From<Stats> for Line {
    fn from(stats: Stats) -> Self {
        Self::Stats {
            status: status_name(stats.status),
            latency_best_ms: stats.latency_best.map(milliseconds),
            nodes: stats.nodes.iter().map(NodeNumbers::from).collect(),
            counters: stats.counters.into(),
        }
    }
}

/// A line of one of several nodes: `at` says which.
#[derive(Debug, Serialize)]
pub(crate) struct At {
    #[serde(flatten)]
    pub(crate) line: Line,
    pub(crate) at: String,
}

/// Writes the line at once. `false` when nobody reads any more.
pub(crate) fn print(line: &impl Serialize) -> bool {
    let Ok(mut text) = serde_json::to_vec(line) else {
        // Strings and numbers always can be written.
        return true;
    };
    text.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use wattle_smol::{CandidateKind, LeaveReason, Phase, Side};

    fn own() -> NodeId {
        NodeId::from_bytes([0; 16])
    }

    fn shown(event: Event) -> String {
        serde_json::to_string(&Line::from_event(event, own())).unwrap()
    }

    #[test]
    fn lines_are_as_documented() {
        let id = own().to_string();
        let message = |payload: &'static [u8]| Event::Message {
            from: own(),
            payload: Bytes::from_static(payload),
        };
        let cases = [
            (
                Event::NodeStalled { node: own() },
                format!(r#"{{"event":"node_stalled","node":"{id}"}}"#),
            ),
            (Event::Phase(Phase::Ice), r#"{"event":"phase","phase":"ice"}"#.to_owned()),
            (
                message(b"hi"),
                format!(r#"{{"event":"message","from":"{id}","text":"hi"}}"#),
            ),
            (
                message(&[255]),
                format!(r#"{{"event":"message","from":"{id}","base64":"/w=="}}"#),
            ),
            (
                Event::NodeLeft { node: own(), reason: LeaveReason::Left },
                format!(
                    r#"{{"event":"node_left","node":"{id}","reason":"left","message":"it left"}}"#
                ),
            ),
            (
                Event::Diagnostic(Diagnostic::Candidate {
                    node: None,
                    side: Side::Local,
                    kind: CandidateKind::Host,
                }),
                r#"{"event":"diagnostic","phase":"ice","kind":"candidate","node":null,"side":"local","type":"host"}"#
                    .to_owned(),
            ),
            (Event::Writable, r#"{"event":"writable"}"#.to_owned()),
            (
                Event::NodeRoute { node: own(), route: Route::Direct },
                format!(r#"{{"event":"node_route","node":"{id}","route":"direct"}}"#),
            ),
            (
                Event::NodeRoute { node: own(), route: Route::Relayed },
                format!(r#"{{"event":"node_route","node":"{id}","route":"relayed"}}"#),
            ),
            (
                Event::HostLost { reason: LeaveReason::Lost },
                r#"{"event":"host_lost","reason":"lost","message":"nothing was heard of it any more"}"#
                    .to_owned(),
            ),
            (
                Event::Ended { reason: EndReason::Left },
                r#"{"event":"ended","reason":"left","message":"left the network"}"#.to_owned(),
            ),
        ];
        for (event, line) in cases {
            assert_eq!(shown(event), line);
        }
    }

    #[test]
    fn an_error_says_what_it_knows() {
        let line = Line::error("usage", "no", "");
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"event":"error","kind":"usage","message":"no"}"#
        );
        let at = At {
            line,
            at: "x".to_owned(),
        };
        assert_eq!(
            serde_json::to_string(&at).unwrap(),
            r#"{"event":"error","kind":"usage","message":"no","at":"x"}"#
        );
    }

    #[test]
    fn times_are_milliseconds() {
        assert_eq!(milliseconds(Duration::from_nanos(1_234_567)), 1.235);
    }
}
