//! What `getStats` tells.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use js_sys::{Map, Reflect};
use wasm_bindgen::JsValue;
use wattle_core::{CandidateKind, Checks, LinkReport, SelectedPair};

/// What we take from it.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) report: LinkReport,
    /// How many of ICE's checks came, all authenticated.
    pub(crate) checks: u64,
    /// How many answers to ours came.
    pub(crate) answers: u64,
    /// How long the last answer took on the path in use.
    pub(crate) round_trip: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    kind: CandidateKind,
    address: Option<SocketAddr>,
}

/// Reads an `RTCStatsReport`, which has `Map`'s methods.
pub(crate) fn statistics(answer: &Map) -> Statistics {
    let mut candidates = Vec::new();
    let mut pairs = Vec::new();
    let mut selected = None;
    answer.for_each(&mut |entry: JsValue, id: JsValue| {
        let id = id.as_string().unwrap_or_default();
        match text(&entry, "type").as_deref() {
            Some("local-candidate" | "remote-candidate") => {
                candidates.push((id, candidate(&entry)));
            }
            Some("candidate-pair") => {
                // Firefox marks the pair itself.
                if flag(&entry, "selected") {
                    selected = Some(id.clone());
                }
                pairs.push((id, entry));
            }
            Some("transport") => {
                if let Some(pair) = text(&entry, "selectedCandidatePairId") {
                    selected = Some(pair);
                }
            }
            _ => {}
        }
    });
    let mut statistics = Statistics::default();
    let mut checks = Checks::default();
    for (id, pair) in &pairs {
        let (came, answered) = (
            count(pair, "requestsReceived"),
            count(pair, "responsesReceived"),
        );
        checks.pairs += u32::from(count(pair, "requestsSent") > 0);
        checks.received = checks.received.saturating_add(clipped(came));
        checks.answered = checks.answered.saturating_add(clipped(answered));
        statistics.checks = statistics.checks.saturating_add(came);
        statistics.answers = statistics.answers.saturating_add(answered);
        if selected.as_ref() == Some(id) {
            // Seconds; anything else is no duration.
            let seconds = get(pair, "currentRoundTripTime").and_then(|time| time.as_f64());
            let round_trip = seconds.map(Duration::try_from_secs_f64);
            statistics.round_trip = round_trip.and_then(Result::ok);
            let end = |name| {
                let wanted = text(pair, name)?;
                let found = candidates.iter().find(|(id, _)| *id == wanted);
                found.map(|(_, candidate)| *candidate)
            };
            if let (Some(local), Some(remote)) = (end("localCandidateId"), end("remoteCandidateId"))
            {
                statistics.report.selected = Some(SelectedPair {
                    local: local.kind,
                    local_address: local.address,
                    remote: remote.kind,
                    remote_address: remote.address,
                });
            }
        }
    }
    statistics.report.checks = checks;
    statistics
}

fn candidate(entry: &JsValue) -> Candidate {
    let address = text(entry, "address").or_else(|| text(entry, "ip"));
    let address = address.unwrap_or_default();
    let kind = match text(entry, "candidateType").as_deref() {
        Some("srflx") => CandidateKind::ServerReflexive,
        Some("prflx") => CandidateKind::PeerReflexive,
        Some("relay") => CandidateKind::Relay,
        _ if address.ends_with(".local") => CandidateKind::Mdns,
        _ => CandidateKind::Host,
    };
    let port = u16::try_from(count(entry, "port")).unwrap_or(0);
    let ip = address.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    Candidate {
        kind,
        address: ip.map(|ip| SocketAddr::new(ip, port)),
    }
}

fn get(entry: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(entry, &name.into()).ok()
}

fn text(entry: &JsValue, name: &str) -> Option<String> {
    get(entry, name)?.as_string()
}

fn flag(entry: &JsValue, name: &str) -> bool {
    get(entry, name).is_some_and(|value| value.as_bool() == Some(true))
}

fn count(entry: &JsValue, name: &str) -> u64 {
    get(entry, name)
        .and_then(|value| value.as_f64())
        .map_or(0, |number| number as u64)
}

fn clipped(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
