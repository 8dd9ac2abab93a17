//! How an attempt to connect went: as a line of `--json`, and for a person.

use std::net::SocketAddr;

use serde::Serialize;
use wattle_smol::{
    CandidateCounts, CandidateReport, ConnectReport, NatMapping, SelectedPair, ServerReport,
    ServerResult,
};

use crate::human::duration;
use crate::json::{Timing, milliseconds};

/// The line `connect_report`.
#[derive(Debug, Serialize)]
pub(crate) struct ReportLine {
    node: Option<String>,
    verdict: &'static str,
    message: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    remedy: &'static str,
    ended_in: Option<&'static str>,
    took_ms: f64,
    timing: Timing,
    servers: Vec<ServerLine>,
    nat: Sides<&'static str>,
    candidates: Sides<Counts>,
    addresses: Sides<Vec<AddressLine>>,
    checks: ChecksLine,
    selected: Option<SelectedLine>,
}

#[derive(Debug, Serialize)]
struct Sides<T> {
    local: T,
    remote: T,
}

/// A STUN or TURN server and what became of it.
#[derive(Debug, Serialize)]
pub(crate) struct ServerLine {
    url: String,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mapped: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relayed: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'static str>,
}

impl From<&ServerReport> for ServerLine {
    fn from(server: &ServerReport) -> Self {
        let mut line = Self {
            url: server.url.clone(),
            result: server.result.name(),
            mapped: None,
            relayed: None,
            after_ms: None,
            code: None,
            failure: None,
        };
        match server.result {
            ServerResult::Answered {
                mapped,
                relayed,
                after,
            } => {
                line.mapped = Some(mapped);
                line.relayed = relayed;
                line.after_ms = Some(milliseconds(after));
            }
            ServerResult::Refused(code) => line.code = Some(code),
            ServerResult::StreamFailed(failure) => line.failure = Some(failure.name()),
            _ => {}
        }
        line
    }
}

#[derive(Debug, Serialize)]
struct Counts {
    host: u32,
    mdns: u32,
    srflx: u32,
    prflx: u32,
    relay: u32,
}

impl From<&[CandidateReport]> for Counts {
    fn from(candidates: &[CandidateReport]) -> Self {
        let counts = CandidateCounts::of(candidates);
        Self {
            host: counts.host,
            mdns: counts.mdns,
            srflx: counts.server_reflexive,
            prflx: counts.peer_reflexive,
            relay: counts.relay,
        }
    }
}

#[derive(Debug, Serialize)]
struct AddressLine {
    r#type: &'static str,
    address: Option<SocketAddr>,
}

fn addresses(candidates: &[CandidateReport]) -> Vec<AddressLine> {
    let line = |one: &CandidateReport| AddressLine {
        r#type: one.kind.name(),
        address: one.address,
    };
    candidates.iter().map(line).collect()
}

#[derive(Debug, Serialize)]
struct ChecksLine {
    pairs: u32,
    received: u32,
    answered: u32,
}

#[derive(Debug, Serialize)]
struct SelectedLine {
    relayed: bool,
    local: AddressLine,
    remote: AddressLine,
}

impl From<SelectedPair> for SelectedLine {
    fn from(pair: SelectedPair) -> Self {
        Self {
            relayed: pair.is_relayed(),
            local: AddressLine {
                r#type: pair.local.name(),
                address: pair.local_address,
            },
            remote: AddressLine {
                r#type: pair.remote.name(),
                address: pair.remote_address,
            },
        }
    }
}

impl From<&ConnectReport> for ReportLine {
    fn from(report: &ConnectReport) -> Self {
        Self {
            node: report.node.map(|node| node.to_string()),
            verdict: report.verdict.name(),
            message: report.verdict.to_string(),
            remedy: report.verdict.remedy(),
            ended_in: report.ended_in.map(wattle_smol::Phase::name),
            took_ms: milliseconds(report.took),
            timing: report.timing.into(),
            servers: report.servers.iter().map(ServerLine::from).collect(),
            nat: Sides {
                local: report.local_mapping.name(),
                remote: report.remote_mapping.name(),
            },
            candidates: Sides {
                local: report.local.as_slice().into(),
                remote: report.remote.as_slice().into(),
            },
            addresses: Sides {
                local: addresses(&report.local),
                remote: addresses(&report.remote),
            },
            checks: ChecksLine {
                pairs: report.checks.pairs,
                received: report.checks.received,
                answered: report.checks.answered,
            },
            selected: report.selected.map(SelectedLine::from),
        }
    }
}

/// What a person is shown, line by line: a word and what it says.
pub(crate) fn lines(report: &ConnectReport) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let timing = report.timing;
    for (phase, time) in [
        ("signaling", timing.signaling),
        ("ice", timing.ice),
        ("datachannel", timing.datachannel),
    ] {
        let ended = report.ended_in.is_some_and(|ended| ended.name() == phase);
        if ended {
            let took = duration(Some(report.took));
            lines.push((phase, format!("ended here, {took} after the start")));
        } else if time.is_some() {
            lines.push((phase, duration(time)));
        }
    }
    for server in &report.servers {
        lines.push(("server", format!("{}: {}", server.url, said(server))));
    }
    let sides = [
        ("this node", &report.local, report.local_mapping),
        ("other node", &report.remote, report.remote_mapping),
    ];
    for (side, candidates, mapping) in sides {
        // Before the phase of ICE there is nothing to show.
        if !candidates.is_empty() {
            let nat = nat(mapping);
            lines.push((side, format!("{}{nat}", counted(candidates))));
        }
    }
    let checks = report.checks;
    if checks.pairs > 0 {
        lines.push((
            "checks",
            format!(
                "{} pairs of addresses tried, {} checks came, {} answers came",
                checks.pairs, checks.received, checks.answered
            ),
        ));
    }
    if let Some(pair) = report.selected {
        let end = |kind: wattle_smol::CandidateKind, address: Option<SocketAddr>| match address {
            Some(address) => format!("{address} ({})", kind.name()),
            None => kind.name().to_owned(),
        };
        let (local, remote) = (
            end(pair.local, pair.local_address),
            end(pair.remote, pair.remote_address),
        );
        lines.push(("path", format!("{local} to {remote}")));
    }
    lines
}

/// What a server said, in words.
pub(crate) fn said(server: &ServerReport) -> String {
    match server.result {
        ServerResult::Answered {
            mapped,
            relayed,
            after,
        } => {
            let lends = relayed.map_or_else(String::new, |relayed| format!(", lends {relayed}"));
            let after = duration(Some(after));
            format!("answered after {after}, sees us at {mapped}{lends}")
        }
        ServerResult::Pending => "no answer yet".to_owned(),
        ServerResult::Silent => "no answer".to_owned(),
        ServerResult::Refused(401) => "does not accept the credentials (401)".to_owned(),
        ServerResult::Refused(code) => format!("answered with error {code}"),
        ServerResult::Unresolved => "its name has no address".to_owned(),
        ServerResult::StreamFailed(failure) => failure.to_string(),
        other => other.name().to_owned(),
    }
}

fn counted(candidates: &[CandidateReport]) -> String {
    let counts = CandidateCounts::of(candidates);
    let counts = [
        (counts.host, "host"),
        (counts.mdns, "mdns"),
        (counts.server_reflexive, "srflx"),
        (counts.peer_reflexive, "prflx"),
        (counts.relay, "relay"),
    ];
    let some: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, kind)| format!("{count} {kind}"))
        .collect();
    format!("candidates: {}", some.join(", "))
}

const fn nat(mapping: NatMapping) -> &'static str {
    match mapping {
        NatMapping::Open => "; no NAT",
        NatMapping::Independent => "; its NAT keeps one port for all",
        NatMapping::Dependent => "; its NAT takes another port for everybody",
        _ => "",
    }
}
