//! Events and numbers as plain objects of JavaScript, in the words of the command's `--json`.

use std::net::SocketAddr;
use std::time::Duration;

use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::JsValue;
use wattle_core::{
    CandidateCounts, CandidateKind, CandidateReport, ConnectReport, Counters, Diagnostic, Event,
    LinkState, NodeId, NodeStats, PhaseTiming, Route, ServerReport, ServerResult,
    SignalingDiagnostic, Stats, Status,
};

/// An object with these members.
pub(super) fn object(members: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in members {
        // A fresh object takes every member.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}

fn list(values: impl IntoIterator<Item = JsValue>) -> JsValue {
    values.into_iter().collect::<Array>().into()
}

pub(super) fn name(node: NodeId) -> JsValue {
    node.to_string().into()
}

fn maybe<T: Into<JsValue>>(value: Option<T>) -> JsValue {
    value.map_or(JsValue::NULL, Into::into)
}

/// Milliseconds, rounded to microseconds.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

fn time(duration: Option<Duration>) -> JsValue {
    maybe(duration.map(milliseconds))
}

fn number(count: u64) -> JsValue {
    (count as f64).into()
}

/// An event: `event` is its name.
pub(super) fn event(event: Event) -> JsValue {
    match event {
        Event::NetworkCreated { code } => object(&[
            ("event", "network_created".into()),
            ("code", code.to_string().into()),
        ]),
        Event::Phase(phase) => object(&[("event", "phase".into()), ("phase", phase.name().into())]),
        Event::Joined {
            node,
            nodes,
            timing: times,
        } => object(&[
            ("event", "joined".into()),
            ("node", name(node)),
            ("nodes", list(nodes.into_iter().map(name))),
            ("timing", timing(times)),
        ]),
        Event::NodeJoined { node } => of_node("node_joined", node),
        Event::NodeSuspect { node } => of_node("node_suspect", node),
        Event::NodeLost { node } => of_node("node_lost", node),
        Event::NodeBack { node } => of_node("node_back", node),
        Event::NodeStalled { node } => of_node("node_stalled", node),
        Event::NodeRoute { node, route } => object(&[
            ("event", "node_route".into()),
            ("node", name(node)),
            ("route", self::route(route)),
        ]),
        Event::NodeLeft { node, reason } => object(&[
            ("event", "node_left".into()),
            ("node", name(node)),
            ("reason", reason.name().into()),
            ("message", reason.to_string().into()),
        ]),
        Event::HostLost { reason } => object(&[
            ("event", "host_lost".into()),
            ("reason", reason.name().into()),
            ("message", reason.to_string().into()),
        ]),
        Event::Message { from, payload } => object(&[
            ("event", "message".into()),
            ("from", name(from)),
            ("bytes", Uint8Array::from(&*payload).into()),
        ]),
        Event::State {
            from,
            sequence,
            payload,
        } => object(&[
            ("event", "state".into()),
            ("from", name(from)),
            ("seq", sequence.into()),
            ("bytes", Uint8Array::from(&*payload).into()),
        ]),
        Event::Writable => object(&[("event", "writable".into())]),
        Event::SignalingLost { failure } => object(&[
            ("event", "signaling_lost".into()),
            ("kind", failure.kind().into()),
            ("message", failure.to_string().into()),
        ]),
        Event::SignalingRestored => object(&[("event", "signaling_restored".into())]),
        Event::ConnectReport(report) => connect_report(&report),
        Event::Diagnostic(diagnostic) => self::diagnostic(diagnostic),
        Event::Ended { reason } => object(&[
            ("event", "ended".into()),
            ("reason", reason.kind().into()),
            ("message", reason.to_string().into()),
            ("remedy", reason.remedy().into()),
            ("clean", reason.is_clean().into()),
        ]),
        // Not their Debug text: the code that makes it would be a tenth of the module.
        _ => object(&[("event", "other".into())]),
    }
}

fn of_node(event: &str, node: NodeId) -> JsValue {
    object(&[("event", event.into()), ("node", name(node))])
}

fn route(route: Route) -> JsValue {
    match route {
        Route::Direct => "direct".into(),
        Route::Relayed => "relayed".into(),
    }
}

/// How long each phase took.
pub(super) fn timing(timing: PhaseTiming) -> JsValue {
    object(&[
        ("signaling_ms", time(timing.signaling)),
        ("ice_ms", time(timing.ice)),
        ("datachannel_ms", time(timing.datachannel)),
        ("total_ms", time(timing.total)),
    ])
}

/// A status's name.
pub(super) const fn status(status: Status) -> &'static str {
    match status {
        Status::Idle => "idle",
        Status::Connecting => "connecting",
        Status::Joined => "joined",
        Status::Leaving => "leaving",
        _ => "other",
    }
}

/// All numbers.
pub(super) fn stats(stats: &Stats) -> JsValue {
    object(&[
        ("status", status(stats.status).into()),
        ("latency_best_ms", time(stats.latency_best)),
        ("nodes", list(stats.nodes.iter().map(node_stats))),
        ("counters", counters(&stats.counters)),
    ])
}

fn node_stats(stats: &NodeStats) -> JsValue {
    let state = stats.state;
    object(&[
        ("node", name(stats.node)),
        ("relayed", stats.relayed.into()),
        ("latency_ms", time(stats.latency)),
        ("latency_best_ms", time(stats.latency_best)),
        ("silent_ms", time(stats.silent_for)),
        ("messages_sent", number(stats.messages_sent)),
        ("messages_received", number(stats.messages_received)),
        ("bytes_sent", number(stats.bytes_sent)),
        ("bytes_received", number(stats.bytes_received)),
        ("bytes_in_flight", stats.bytes_in_flight.into()),
        (
            "state",
            object(&[
                ("seq", maybe(state.sequence)),
                ("received", number(state.received)),
                ("stale", number(state.stale)),
                ("age_ms", time(state.age)),
            ]),
        ),
        ("timing", timing(stats.timing)),
    ])
}

fn counters(counters: &Counters) -> JsValue {
    object(&[
        ("signaling_dropped", number(counters.signaling_dropped)),
        ("frames_bad", number(counters.frames_bad)),
        ("frames_stale", number(counters.frames_stale)),
        ("candidates_dropped", number(counters.candidates_dropped)),
        ("joins_refused", number(counters.joins_refused)),
        ("late_updates", number(counters.late_updates)),
        ("messages_relayed", number(counters.messages_relayed)),
        ("states_superseded", number(counters.states_superseded)),
    ])
}

fn connect_report(report: &ConnectReport) -> JsValue {
    let sides = |local, remote| object(&[("local", local), ("remote", remote)]);
    let ended_in = report.ended_in.map(wattle_core::Phase::name);
    let selected = report.selected.map(|pair| {
        object(&[
            ("relayed", pair.is_relayed().into()),
            ("local", address(pair.local, pair.local_address)),
            ("remote", address(pair.remote, pair.remote_address)),
        ])
    });
    object(&[
        ("event", "connect_report".into()),
        ("node", maybe(report.node.map(name))),
        ("verdict", report.verdict.name().into()),
        ("message", report.verdict.to_string().into()),
        ("remedy", report.verdict.remedy().into()),
        ("ended_in", maybe(ended_in)),
        ("took_ms", time(Some(report.took))),
        ("timing", timing(report.timing)),
        ("servers", list(report.servers.iter().map(server))),
        (
            "nat",
            sides(
                report.local_mapping.name().into(),
                report.remote_mapping.name().into(),
            ),
        ),
        (
            "candidates",
            sides(counts(&report.local), counts(&report.remote)),
        ),
        (
            "addresses",
            sides(addresses(&report.local), addresses(&report.remote)),
        ),
        (
            "checks",
            object(&[
                ("pairs", report.checks.pairs.into()),
                ("received", report.checks.received.into()),
                ("answered", report.checks.answered.into()),
            ]),
        ),
        ("selected", maybe(selected)),
    ])
}

fn server(server: &ServerReport) -> JsValue {
    let code = match server.result {
        ServerResult::Refused(code) => Some(code),
        _ => None,
    };
    object(&[
        ("url", server.url.as_str().into()),
        ("result", server.result.name().into()),
        ("code", maybe(code)),
    ])
}

fn counts(candidates: &[CandidateReport]) -> JsValue {
    let counts = CandidateCounts::of(candidates);
    object(&[
        ("host", counts.host.into()),
        ("mdns", counts.mdns.into()),
        ("srflx", counts.server_reflexive.into()),
        ("prflx", counts.peer_reflexive.into()),
        ("relay", counts.relay.into()),
    ])
}

fn addresses(candidates: &[CandidateReport]) -> JsValue {
    list(candidates.iter().map(|one| address(one.kind, one.address)))
}

fn address(kind: CandidateKind, address: Option<SocketAddr>) -> JsValue {
    let address = address.map(|address| address.to_string());
    object(&[("type", kind.name().into()), ("address", maybe(address))])
}

fn diagnostic(diagnostic: Diagnostic) -> JsValue {
    let head = |kind: &str| {
        object(&[
            ("event", "diagnostic".into()),
            ("phase", diagnostic.phase().name().into()),
            ("kind", kind.into()),
        ])
    };
    let with = |head: JsValue, members: &[(&str, JsValue)]| {
        for (name, value) in members {
            let _ = Reflect::set(&head, &(*name).into(), value);
        }
        head
    };
    match &diagnostic {
        Diagnostic::Signaling(news) => {
            let (state, attempt, failure) = match news {
                SignalingDiagnostic::Connecting { attempt } => ("connecting", Some(*attempt), None),
                SignalingDiagnostic::Registered => ("registered", None, None),
                SignalingDiagnostic::IdTaken => ("id_taken", None, None),
                SignalingDiagnostic::Failed(failure) => ("failed", None, Some(failure.kind())),
                SignalingDiagnostic::Expired => ("expired", None, None),
                _ => ("other", None, None),
            };
            let members = [
                ("state", state.into()),
                ("attempt", maybe(attempt)),
                ("failure", maybe(failure)),
            ];
            with(head("signaling"), &members)
        }
        Diagnostic::Candidate { node, side, kind } => {
            let members = [
                ("node", maybe(node.map(name))),
                ("side", side.name().into()),
                ("type", kind.name().into()),
            ];
            with(head("candidate"), &members)
        }
        Diagnostic::Link { node, state } => {
            let failure = match state {
                LinkState::Failed(failure) => Some(failure.name()),
                _ => None,
            };
            let members = [
                ("node", maybe(node.map(name))),
                ("state", state.name().into()),
                ("failure", maybe(failure)),
            ];
            with(head("link"), &members)
        }
        Diagnostic::Refused { node, reason } => {
            let members = [
                ("node", maybe(node.map(name))),
                ("reason", reason.name().into()),
            ];
            with(head("refused"), &members)
        }
        Diagnostic::ForeignOffer { signaling_id } => with(
            head("foreign_offer"),
            &[("signaling_id", signaling_id.as_str().into())],
        ),
        _ => head("other"),
    }
}
