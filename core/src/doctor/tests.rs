//! Situations of one machine, and what is said of them.

use alloc::string::ToString as _;
use alloc::vec;
use core::time::Duration;

use super::*;
use crate::report::StreamFailure;
use crate::signaling::SignalingFailure;

const STUN: &str = "stun:a.example.org:3478";
const STUN_TOO: &str = "stun:b.example.org:3478";
const TURN: &str = "turn:c.example.org:3478?transport=udp";
const TURN_TCP: &str = "turn:c.example.org:3478?transport=tcp";
const TURN_TLS: &str = "turns:d.example.org:443?transport=tcp";

fn address() -> SocketAddr {
    "93.184.216.34:6000".parse().unwrap()
}

const fn answered(relayed: Option<SocketAddr>) -> ServerResult {
    ServerResult::Answered {
        mapped: SocketAddr::new(IpAddr::V4(core::net::Ipv4Addr::new(93, 184, 216, 34)), 6000),
        relayed,
        after: Duration::from_millis(30),
    }
}

fn lent() -> ServerResult {
    answered(Some("93.184.216.99:50000".parse().unwrap()))
}

fn reports(servers: &[(&str, ServerResult)]) -> Vec<ServerReport> {
    let report = |(url, result): &(&str, ServerResult)| ServerReport {
        url: (*url).to_string(),
        result: *result,
    };
    servers.iter().map(report).collect()
}

/// A machine at home, whose signaling server works.
fn home(servers: &[(&str, ServerResult)], mapping: NatMapping) -> Examination {
    let servers = reports(servers);
    let reached = |one: &ServerReport| one.is_udp() && one.result.is_reached();
    Examination {
        signaling: Some(SignalingReport {
            url: "wss://example.org/peerjs".to_string(),
            verdict: None,
            after: Duration::from_millis(100),
            outside: true,
        }),
        mapped: if servers.iter().any(reached) {
            vec![address()]
        } else {
            Vec::new()
        },
        servers,
        others: Vec::new(),
        addresses: vec!["192.168.1.2".parse().unwrap()],
        mapping,
        took: Duration::from_secs(5),
    }
}

fn problems(examination: &Examination) -> Vec<(Verdict, bool)> {
    let problems = examination.problems();
    problems
        .iter()
        .map(|one| (one.verdict, one.stops))
        .collect()
}

fn chances(examination: &Examination) -> [(Chance, bool); 5] {
    Peer::ALL.map(|peer| {
        let reach = examination.reach(peer);
        (reach.direct, reach.relayed)
    })
}

use Chance::{No, Sometimes, Unknown, Yes};
use NatMapping::{Dependent, Independent, Open};

#[test]
fn a_home_with_stun_reaches_most() {
    let home = home(
        &[(STUN, answered(None)), (STUN_TOO, answered(None))],
        Independent,
    );
    assert_eq!(problems(&home), []);
    assert_eq!(home.udp(), Udp::Works);
    assert_eq!(home.ipv6(), Ipv6::Missing);
    assert_eq!(
        chances(&home),
        [
            (Yes, false),
            (Yes, false),
            (Yes, false),
            (Sometimes, false),
            (No, false)
        ]
    );
}

#[test]
fn a_machine_in_the_internet_reaches_all_that_send_udp_unless_a_firewall_is_before_it() {
    let mut open = home(&[(STUN, answered(None))], Open);
    open.addresses = vec!["93.184.216.34".parse().unwrap()];
    assert_eq!(problems(&open), []);
    assert_eq!(
        chances(&open).map(|(direct, _)| direct),
        [Yes, Yes, Yes, Sometimes, No]
    );
}

#[test]
fn a_symmetric_nat_needs_a_relay() {
    let two = [(STUN, answered(None)), (STUN_TOO, answered(None))];
    let without = home(&two, Dependent);
    assert_eq!(
        problems(&without),
        [(Verdict::SymmetricNat(Side::Local), true)]
    );
    assert_eq!(
        chances(&without).map(|(direct, _)| direct),
        [Yes, Yes, Sometimes, No, No]
    );
    let with = home(&[two[0], two[1], (TURN, lent())], Dependent);
    assert_eq!(problems(&with), []);
    assert_eq!(chances(&with)[3], (No, true));
    // A relay over UDP is none for a node whose UDP is blocked.
    assert_eq!(chances(&with)[4], (No, false));
    let with = home(&[two[0], two[1], (TURN_TLS, lent())], Dependent);
    assert_eq!(chances(&with)[4], (No, true));
}

#[test]
fn blocked_udp_is_told_from_silent_servers() {
    let silent = [
        (STUN, ServerResult::Silent),
        (STUN_TOO, ServerResult::Silent),
    ];
    let blocked = home(&silent, NatMapping::Unknown);
    assert_eq!(blocked.udp(), Udp::Blocked);
    assert_eq!(problems(&blocked), [(Verdict::UdpBlocked, true)]);
    assert_eq!(
        chances(&blocked).map(|(direct, _)| direct),
        [Yes, No, No, No, No]
    );
    let relayed = home(
        &[silent[0], silent[1], (TURN_TLS, lent())],
        NatMapping::Unknown,
    );
    assert_eq!(problems(&relayed), [(Verdict::UdpBlocked, false)]);
    assert_eq!(chances(&relayed)[1], (No, true));
    assert_eq!(chances(&relayed)[4], (No, true));

    let mut offline = blocked;
    offline.signaling.as_mut().unwrap().verdict =
        Some(Verdict::SignalingUnreachable(SignalingFailure::UnknownHost));
    assert_eq!(offline.udp(), Udp::Unknown);
    assert_eq!(
        problems(&offline),
        [
            (
                Verdict::SignalingUnreachable(SignalingFailure::UnknownHost),
                true
            ),
            (Verdict::StunSilent, true)
        ]
    );
    assert_eq!(chances(&offline)[1].0, Unknown);
}

#[test]
fn a_wrong_turn_server_is_a_problem_even_where_it_is_not_needed() {
    for (result, verdict) in [
        (ServerResult::Refused(401), Verdict::TurnCredentialsRefused),
        (ServerResult::Refused(486), Verdict::TurnRefused(486)),
        (ServerResult::Silent, Verdict::TurnUnreachable),
        (
            ServerResult::StreamFailed(StreamFailure::Tls),
            Verdict::TurnUnreachable,
        ),
    ] {
        let home = home(&[(STUN, answered(None)), (TURN_TLS, result)], Independent);
        assert_eq!(problems(&home), [(verdict, true)]);
    }
}

#[test]
fn another_transport_of_the_same_server_is_shown_where_it_would_help() {
    let silent = [(STUN, ServerResult::Silent), (TURN, ServerResult::Silent)];
    let mut blocked = home(&silent, NatMapping::Unknown);
    blocked.others = reports(&[(TURN_TCP, lent())]);
    assert_eq!(blocked.udp(), Udp::Blocked);
    assert_eq!(blocked.better_transport().unwrap().url, TURN_TCP);
    assert!(!blocked.has_relay());
    let mut enough = home(&[(TURN_TLS, lent())], NatMapping::Unknown);
    enough.others = reports(&[(TURN_TCP, lent())]);
    assert_eq!(enough.better_transport(), None);
}

#[test]
fn without_servers_there_is_the_own_network() {
    let alone = home(&[], NatMapping::Unknown);
    assert_eq!(
        problems(&alone),
        [(Verdict::OnlyHostCandidates(Side::Local), false)]
    );
    assert_eq!(chances(&alone)[0].0, Yes);
    assert_eq!(chances(&alone)[1].0, Unknown);
    let mut nothing = alone;
    nothing.addresses.clear();
    assert_eq!(
        problems(&nothing),
        [(Verdict::NoCandidates(Side::Local), true)]
    );
}

#[test]
fn ipv6_is_proven_by_an_answer() {
    let mut home = home(&[(STUN, answered(None))], Independent);
    home.addresses.push("fe80::1".parse().unwrap());
    assert_eq!(home.ipv6(), Ipv6::Missing);
    home.addresses.push("2a00::1".parse().unwrap());
    assert_eq!(home.ipv6(), Ipv6::Unproven);
    home.mapped.push("[2a00::1]:5000".parse().unwrap());
    assert_eq!(home.ipv6(), Ipv6::Works);
}
