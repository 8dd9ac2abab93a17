//! `wattle doctor`: what this machine's network lets through, and what would help.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use serde::Serialize;
use wattle_smol::doctor::{Chance, Examination, Ipv6, Peer, Udp};
use wattle_smol::{Config, NatMapping, Options, ServerReport, SignalingUrl};

use crate::FAILED;
use crate::args::Doctor;
use crate::human::{self, BRIGHT, FAINT, WRONG, duration, say, styled};
use crate::json::{self, Line, milliseconds};
use crate::report::{ServerLine, said};

pub(crate) async fn run(args: Doctor) -> ExitCode {
    let json = args.report.json;
    let mut config = Config::default();
    if let Some(url) = &args.signal {
        config = with_url(config, url);
    }
    if args.no_ice || !args.ice.is_empty() {
        let servers = args.ice.iter().flat_map(|together| together.0.clone());
        config = config.with_ice_servers(servers.collect());
    }
    let mut options = Options::new(config);
    if let Some(address) = args.bind {
        options = options.with_bind(address);
    }
    match wattle_smol::examine(options, !args.no_signal).await {
        Ok(examination) => {
            if json {
                json::print(&Line::Doctor(Box::new((&examination).into())));
            } else {
                tell(&examination);
            }
            if examination.problems().iter().any(|problem| problem.stops) {
                ExitCode::from(FAILED)
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            if json {
                json::print(&Line::error(error.kind(), &error, error.remedy()));
            } else {
                human::failure(&error.to_string(), error.remedy());
            }
            ExitCode::from(FAILED)
        }
    }
}

/// The URL has been parsed before: it cannot be refused now.
fn with_url(config: Config, url: &SignalingUrl) -> Config {
    let changed = config.clone().with_signaling_url(&url.to_string());
    changed.unwrap_or(config)
}

/// The line `doctor`.
#[derive(Debug, Serialize)]
pub(crate) struct DoctorLine {
    ok: bool,
    problems: Vec<ProblemLine>,
    signaling: Option<SignalingLine>,
    servers: Vec<ServerLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_transports: Vec<ServerLine>,
    udp: &'static str,
    ipv6: &'static str,
    nat: &'static str,
    addresses: Vec<IpAddr>,
    mapped: Vec<SocketAddr>,
    reach: Vec<ReachLine>,
    took_ms: f64,
}

#[derive(Debug, Serialize)]
struct ProblemLine {
    verdict: &'static str,
    message: String,
    remedy: &'static str,
    stops: bool,
}

#[derive(Debug, Serialize)]
struct SignalingLine {
    url: String,
    ok: bool,
    after_ms: f64,
}

#[derive(Debug, Serialize)]
struct ReachLine {
    peer: &'static str,
    direct: &'static str,
    relayed: bool,
}

impl From<&Examination> for DoctorLine {
    fn from(found: &Examination) -> Self {
        let problems = found.problems();
        Self {
            ok: !problems.iter().any(|problem| problem.stops),
            problems: problems
                .iter()
                .map(|problem| ProblemLine {
                    verdict: problem.verdict.name(),
                    message: problem.verdict.to_string(),
                    remedy: problem.verdict.remedy(),
                    stops: problem.stops,
                })
                .collect(),
            signaling: found.signaling.as_ref().map(|signaling| SignalingLine {
                url: signaling.url.clone(),
                ok: signaling.verdict.is_none(),
                after_ms: milliseconds(signaling.after),
            }),
            servers: found.servers.iter().map(ServerLine::from).collect(),
            other_transports: found.others.iter().map(ServerLine::from).collect(),
            udp: found.udp().name(),
            ipv6: found.ipv6().name(),
            nat: found.mapping.name(),
            addresses: found.addresses.clone(),
            mapped: found.mapped.clone(),
            reach: Peer::ALL
                .map(|peer| {
                    let reach = found.reach(peer);
                    ReachLine {
                        peer: peer.name(),
                        direct: reach.direct.name(),
                        relayed: reach.relayed,
                    }
                })
                .into(),
            took_ms: milliseconds(found.took),
        }
    }
}

/// A sign, a subject, and what there is to say of it.
fn line(sign: &str, what: &str, text: impl Display) {
    say(format_args!(
        "{sign} {} {text}",
        styled(FAINT, format_args!("{what:<10}"))
    ));
}

fn tell(found: &Examination) {
    let good = styled(BRIGHT, "+");
    let bad = styled(WRONG, "-");
    let open = styled(FAINT, "?");
    let sign = |is_good: bool| if is_good { &good } else { &bad };
    if let Some(signaling) = &found.signaling {
        let text = match signaling.verdict {
            None => format!("registers us after {}", duration(Some(signaling.after))),
            Some(verdict) => verdict.to_string(),
        };
        let is_good = signaling.verdict.is_none();
        let url = &signaling.url;
        line(sign(is_good), "signaling", format_args!("{url}: {text}"));
    }
    let server = |what: &str, server: &ServerReport| {
        let is_good = matches!(server.result, wattle_smol::ServerResult::Answered { .. });
        let (url, said) = (&server.url, said(server));
        line(sign(is_good), what, format_args!("{url}: {said}"));
    };
    for one in &found.servers {
        server("server", one);
    }
    for one in &found.others {
        server("also", one);
    }
    match found.udp() {
        Udp::Works => line(&good, "udp", "gets through"),
        Udp::Blocked => line(&bad, "udp", "is blocked: TCP gets through, UDP does not"),
        _ => line(&open, "udp", "not known: no server answered over UDP"),
    }
    match found.mapping {
        NatMapping::Open => line(
            &good,
            "nat",
            "none: the servers see this machine's own address",
        ),
        NatMapping::Independent => line(&good, "nat", "keeps one port for all destinations"),
        NatMapping::Dependent => {
            line(
                &bad,
                "nat",
                "takes another port for every destination (symmetric)",
            );
        }
        _ => line(
            &open,
            "nat",
            "not known: it takes two STUN servers that answer",
        ),
    }
    match found.ipv6() {
        Ipv6::Works => line(&good, "ipv6", "works"),
        Ipv6::Unproven => line(
            &open,
            "ipv6",
            "there is an address, but no server answered over it",
        ),
        _ => line(
            &open,
            "ipv6",
            "this machine has no IPv6 address of the internet",
        ),
    }
    let list = |list: Vec<String>| match list.is_empty() {
        true => "none".to_owned(),
        false => list.join(", "),
    };
    let own = found.addresses.iter().map(IpAddr::to_string).collect();
    line(sign(!found.addresses.is_empty()), "addresses", list(own));
    say("");
    say("From here you reach:");
    for peer in Peer::ALL {
        let (sign, text) = match (found.reach(peer).direct, found.reach(peer).relayed) {
            (Chance::Yes, _) => (&good, "directly"),
            (Chance::Sometimes, true) => (&good, "directly or through the TURN server"),
            (Chance::Sometimes, false) => (&open, "sometimes: it depends on the other firewall"),
            (Chance::Unknown, true) => (&good, "at least through the TURN server"),
            (Chance::Unknown, false) => (&open, "not known"),
            (Chance::No, true) => (&good, "through the TURN server"),
            (Chance::No, false) => (&bad, "not at all"),
        };
        say(format_args!("{sign} {:<46} {text}", place(peer)));
    }
    for problem in found.problems() {
        say("");
        let verdict = problem.verdict;
        let weight = if problem.stops {
            styled(WRONG, "problem:")
        } else {
            styled(FAINT, "note:")
        };
        say(format_args!("{weight} {verdict}"));
        say(format_args!("  {}", verdict.remedy()));
    }
    if let Some(better) = found.better_transport() {
        say("");
        say(format_args!(
            "{} {} works too: configure it for those whose UDP is blocked.",
            styled(FAINT, "note:"),
            better.url
        ));
    } else if found.problems().is_empty() && !found.has_relay() {
        say("");
        say(format_args!(
            "{} {}",
            styled(FAINT, "note:"),
            "A TURN server would reach the rest, best over TLS: turns:HOST:443."
        ));
    }
}

/// Where a node is, in words.
const fn place(peer: Peer) -> &'static str {
    match peer {
        Peer::SameNetwork => "nodes in your own network",
        Peer::Open => "nodes with a public address",
        Peer::Independent => "nodes behind most home routers",
        Peer::Dependent => "nodes behind symmetric NATs (phones, offices)",
        Peer::UdpBlocked => "nodes whose UDP is blocked",
        _ => "others",
    }
}
