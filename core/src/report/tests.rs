//! Every situation that people meet, and its verdict.

use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::*;
use crate::error::{EndReason, ServerRefusal};
use crate::event::{Refusal, Side};
use crate::io::LinkFailure;
use crate::signaling::SignalingFailure;

const HOST: &str = "candidate:1 1 udp 2130706431 192.168.1.2 5000 typ host";
const PUBLIC: &str = "candidate:1 1 udp 2130706431 93.184.216.34 5000 typ host";
const MDNS: &str = "candidate:1 1 udp 1 4b2c.local 5000 typ host generation 0";
const REFLEXIVE: &str =
    "candidate:2 1 udp 1694498815 93.184.216.34 6000 typ srflx raddr 192.168.1.2 rport 5000";
const OTHER_PORT: &str =
    "candidate:3 1 udp 1694498815 93.184.216.34 6001 typ srflx raddr 192.168.1.2 rport 5000";
const RELAY: &str =
    "candidate:4 1 udp 16777215 93.184.216.99 7000 typ relay raddr 93.184.216.34 rport 6000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A situation: what was there, before ICE came to nothing in 10 s.
#[derive(Clone)]
struct Situation {
    end: Option<EndReason>,
    took: u64,
    registered: bool,
    outside: bool,
    silent: bool,
    link: LinkReport,
    local: Vec<&'static str>,
    remote: Vec<&'static str>,
}

impl Default for Situation {
    fn default() -> Self {
        Self {
            end: Some(EndReason::TimedOut(Phase::Ice)),
            took: 11,
            registered: true,
            outside: true,
            silent: true,
            link: LinkReport::default(),
            local: vec![HOST, REFLEXIVE],
            remote: vec![HOST, REFLEXIVE],
        }
    }
}

impl Situation {
    fn ended(end: EndReason) -> Self {
        Self {
            end: Some(end),
            ..Self::default()
        }
    }

    fn servers(servers: &[(&str, ServerResult)]) -> Self {
        let mut this = Self::default();
        this.link.servers = servers
            .iter()
            .map(|(url, result)| ServerReport {
                url: (*url).to_string(),
                result: *result,
            })
            .collect();
        this
    }

    fn local(mut self, local: &[&'static str]) -> Self {
        self.local = local.to_vec();
        self
    }

    fn remote(mut self, remote: &[&'static str]) -> Self {
        self.remote = remote.to_vec();
        self
    }

    fn verdict(&self) -> Verdict {
        let read = |lines: &[&str]| -> Vec<CandidateReport> {
            let read = |line: &&str| CandidateReport::read(line).unwrap();
            lines.iter().map(read).collect()
        };
        judge(&Facts {
            end: self.end,
            took: Duration::from_secs(self.took),
            registered: self.registered,
            outside: self.outside,
            silent: self.silent,
            link: &self.link,
            local: &read(&self.local),
            remote: &read(&self.remote),
        })
    }
}

fn answered() -> ServerResult {
    ServerResult::Answered {
        mapped: address("93.184.216.34:6000"),
        relayed: None,
        after: Duration::from_millis(30),
    }
}

const SILENT: ServerResult = ServerResult::Silent;
const STUN: &str = "stun:a.example.org:3478";
const STUN_TOO: &str = "stun:b.example.org:3478";
const TURN: &str = "turn:a.example.org:3478?transport=udp";
const TURN_TCP: &str = "turn:a.example.org:3478?transport=tcp";
const TURN_TLS: &str = "turns:c.example.org:443?transport=tcp";

#[test]
fn the_end_says_it() {
    let failure = SignalingFailure::UnknownHost;
    let cases = [
        (EndReason::Left, Verdict::GivenUp),
        (EndReason::CodeNotFound, Verdict::CodeNotFound),
        (EndReason::ForeignHost, Verdict::ForeignHost),
        (EndReason::HostClosed, Verdict::HostClosed),
        (EndReason::HostMisbehaved, Verdict::Misbehaved),
        (EndReason::HostLost, Verdict::PeerSilent),
        (
            EndReason::Refused(Refusal::NetworkFull),
            Verdict::NetworkFull,
        ),
        (
            EndReason::Refused(Refusal::Version),
            Verdict::Refused(Refusal::Version),
        ),
        (
            EndReason::SignalingUnreachable(failure),
            Verdict::SignalingUnreachable(failure),
        ),
        (
            EndReason::SignalingUnreachable(SignalingFailure::TimedOut),
            Verdict::SignalingSilent,
        ),
        (
            EndReason::SignalingRefused(ServerRefusal::Full),
            Verdict::SignalingRefused(ServerRefusal::Full),
        ),
        (
            EndReason::LinkFailed(LinkFailure::FingerprintMismatch),
            Verdict::FingerprintMismatch,
        ),
        (
            EndReason::LinkFailed(LinkFailure::Platform),
            Verdict::LinkFailed(LinkFailure::Platform),
        ),
        (
            EndReason::LinkFailed(LinkFailure::Dtls),
            Verdict::PeerSilent,
        ),
        (EndReason::TimedOut(Phase::Datachannel), Verdict::PeerSilent),
        (EndReason::TimedOut(Phase::Signaling), Verdict::HostSilent),
    ];
    for (end, verdict) in cases {
        assert_eq!(Situation::ended(end).verdict(), verdict, "{end:?}");
    }
    let heard = |end| Situation {
        silent: false,
        ..Situation::ended(end)
    };
    assert_eq!(
        heard(EndReason::TimedOut(Phase::Datachannel)).verdict(),
        Verdict::TimedOut(Phase::Datachannel)
    );
    assert_eq!(
        heard(EndReason::LinkFailed(LinkFailure::Dtls)).verdict(),
        Verdict::LinkFailed(LinkFailure::Dtls)
    );
    let unregistered = Situation {
        registered: false,
        ..Situation::ended(EndReason::TimedOut(Phase::Signaling))
    };
    assert_eq!(unregistered.verdict(), Verdict::SignalingSilent);
}

#[test]
fn connected_is_told_from_relayed() {
    let pair = |local, remote| {
        let mut this = Situation {
            end: None,
            ..Situation::default()
        };
        this.link.selected = Some(SelectedPair {
            local,
            local_address: None,
            remote,
            remote_address: None,
        });
        this.verdict()
    };
    use CandidateKind::{Host, PeerReflexive, Relay};
    assert_eq!(pair(Host, PeerReflexive), Verdict::Connected);
    assert_eq!(pair(Relay, Host), Verdict::ConnectedByRelay);
    assert_eq!(pair(PeerReflexive, Relay), Verdict::ConnectedByRelay);
}

#[test]
fn what_the_servers_show() {
    use ServerResult::{Pending, Refused, StreamFailed, Unresolved};
    let cases: &[(&[(&str, ServerResult)], Verdict)] = &[
        // Both servers and UDP work: it is the way between the nodes.
        (&[(STUN, answered())], Verdict::NoDirectPath),
        (
            &[(STUN, SILENT), (STUN_TOO, answered())],
            Verdict::NoDirectPath,
        ),
        // One server that is silent may be down; two are not.
        (&[(STUN, SILENT)], Verdict::StunSilent),
        (&[(STUN, Pending)], Verdict::StunSilent),
        (&[(STUN, SILENT), (STUN, SILENT)], Verdict::StunSilent),
        (
            &[(STUN, SILENT), (STUN_TOO, Unresolved)],
            Verdict::StunSilent,
        ),
        (&[(STUN, SILENT), (STUN_TOO, SILENT)], Verdict::UdpBlocked),
        (&[(STUN, Pending), (STUN_TOO, Pending)], Verdict::UdpBlocked),
        (
            &[(STUN, SILENT), (TURN, SILENT), (STUN_TOO, SILENT)],
            Verdict::UdpBlocked,
        ),
        // The same machine answers over TCP.
        (
            &[(TURN, SILENT), (TURN_TCP, Refused(508))],
            Verdict::TurnRefused(508),
        ),
        (
            &[(STUN, SILENT), (TURN_TCP, answered())],
            Verdict::UdpBlocked,
        ),
        (
            &[(STUN, Unresolved), (STUN_TOO, Unresolved)],
            Verdict::ServersUnresolved,
        ),
        (
            &[(STUN, answered()), (TURN, SILENT)],
            Verdict::TurnUnreachable,
        ),
        (&[(TURN, SILENT)], Verdict::TurnUnreachable),
        (
            &[(STUN, answered()), (TURN, Unresolved)],
            Verdict::TurnUnreachable,
        ),
        (
            &[
                (STUN, SILENT),
                (STUN_TOO, SILENT),
                (TURN_TLS, StreamFailed(StreamFailure::Tls)),
            ],
            Verdict::TurnUnreachable,
        ),
        (
            &[(STUN, answered()), (TURN, Refused(401))],
            Verdict::TurnCredentialsRefused,
        ),
        (
            &[(STUN, SILENT), (STUN_TOO, SILENT), (TURN_TLS, Refused(401))],
            Verdict::TurnCredentialsRefused,
        ),
        (
            &[(TURN, Refused(486)), (TURN_TCP, SILENT)],
            Verdict::TurnRefused(486),
        ),
        (
            &[(TURN, Refused(486)), (TURN_TCP, Refused(401))],
            Verdict::TurnCredentialsRefused,
        ),
    ];
    for (servers, verdict) in cases {
        assert_eq!(
            Situation::servers(servers).verdict(),
            *verdict,
            "{servers:?}"
        );
    }
    // Without anything outside, silence says little.
    let inside = Situation {
        outside: false,
        ..Situation::servers(&[(STUN, SILENT), (STUN_TOO, SILENT)])
    };
    assert_eq!(inside.verdict(), Verdict::StunSilent);
    // Nor does it after a second.
    let short = Situation {
        took: 1,
        ..Situation::servers(&[(STUN, Pending), (STUN_TOO, Pending)])
    };
    assert_eq!(short.verdict(), Verdict::TimedOut(Phase::Ice));
    // What comes from the other node came over UDP.
    let mut heard = Situation::servers(&[(STUN, SILENT), (STUN_TOO, SILENT)]);
    heard.link.checks.received = 7;
    assert_eq!(heard.verdict(), Verdict::OneWay);
}

#[test]
fn what_the_candidates_show() {
    let with_stun = Situation::servers(&[(STUN, answered())]);
    let cases = [
        (with_stun.clone(), Verdict::NoDirectPath),
        (
            Situation::default().local(&[HOST]),
            Verdict::OnlyHostCandidates(Side::Local),
        ),
        (
            Situation::default().local(&[MDNS]),
            Verdict::OnlyHostCandidates(Side::Local),
        ),
        (
            Situation::default().local(&[HOST]).remote(&[HOST]),
            Verdict::OnlyHostCandidates(Side::Local),
        ),
        (
            with_stun.clone().remote(&[HOST, MDNS]),
            Verdict::OnlyHostCandidates(Side::Remote),
        ),
        // An address of the internet needs no STUN server.
        (Situation::default().local(&[PUBLIC]), Verdict::NoDirectPath),
        (with_stun.clone().remote(&[PUBLIC]), Verdict::NoDirectPath),
        (
            Situation::default().local(&[]),
            Verdict::NoCandidates(Side::Local),
        ),
        (
            Situation::default().remote(&[]),
            Verdict::NoCandidates(Side::Remote),
        ),
        (with_stun.clone().local(&[RELAY]), Verdict::RelayUseless),
        (
            with_stun.clone().remote(&[HOST, RELAY]),
            Verdict::RelayUseless,
        ),
        // The policy lets nothing but relays out, and the server lends none.
        (
            Situation::servers(&[(TURN, SILENT)]).local(&[]),
            Verdict::TurnUnreachable,
        ),
    ];
    for (number, (situation, verdict)) in cases.into_iter().enumerate() {
        assert_eq!(situation.verdict(), verdict, "{number}");
    }
}

#[test]
fn symmetric_is_said_with_evidence_of_both_alone() {
    let verdict = |mapping, remote: &[&'static str]| {
        let mut this = Situation::servers(&[(STUN, answered()), (STUN_TOO, answered())]);
        this.link.mapping = mapping;
        this.remote(remote).verdict()
    };
    let symmetric = [HOST, REFLEXIVE, OTHER_PORT];
    let dependent = NatMapping::Dependent;
    assert_eq!(verdict(dependent, &symmetric), Verdict::SymmetricNats);
    assert_eq!(
        verdict(dependent, &[REFLEXIVE]),
        Verdict::SymmetricNat(Side::Local)
    );
    assert_eq!(
        verdict(NatMapping::Independent, &[REFLEXIVE]),
        Verdict::NoDirectPath
    );
    for unproven in [NatMapping::Independent, NatMapping::Unknown] {
        assert_eq!(
            verdict(unproven, &symmetric),
            Verdict::SymmetricNat(Side::Remote)
        );
    }
    let relayed = [REFLEXIVE, OTHER_PORT, RELAY];
    assert_eq!(verdict(dependent, &relayed), Verdict::RelayUseless);
}

#[test]
fn one_way_takes_more_than_one_packet() {
    let verdict = |received, responses| {
        let mut this = Situation::servers(&[(STUN, answered())]);
        this.link.checks = Checks {
            pairs: 4,
            received,
            answered: responses,
        };
        this.verdict()
    };
    assert_eq!(verdict(2, 0), Verdict::OneWay);
    assert_eq!(verdict(1, 0), Verdict::NoDirectPath);
    assert_eq!(verdict(2, 1), Verdict::NoDirectPath);
}

#[test]
fn mappings_are_told_from_what_servers_saw() {
    let seen = |list: &[(&str, &str, &str)]| {
        let list: Vec<Observation> = list
            .iter()
            .map(|(local, server, mapped)| Observation {
                local: address(local),
                server: address(server),
                mapped: address(mapped),
            })
            .collect();
        NatMapping::of(&list)
    };
    let (us, too) = ("192.168.1.2:5000", "192.168.1.2:5001");
    let (a, b) = ("9.9.9.9:3478", "8.8.8.8:3478");
    let (one, other) = ("93.184.216.34:6000", "93.184.216.34:6001");
    assert_eq!(seen(&[]), NatMapping::Unknown);
    assert_eq!(seen(&[(us, a, us)]), NatMapping::Open);
    assert_eq!(seen(&[(us, a, one)]), NatMapping::Unknown);
    assert_eq!(seen(&[(us, a, one), (us, b, one)]), NatMapping::Independent);
    assert_eq!(seen(&[(us, a, one), (us, b, other)]), NatMapping::Dependent);
    // Another socket has another mapping, and the same server tells nothing new.
    assert_eq!(seen(&[(us, a, one), (too, b, other)]), NatMapping::Unknown);
    assert_eq!(seen(&[(us, a, one), (us, a, other)]), NatMapping::Unknown);
    // One family is not translated; of the other's NAT nothing is known.
    let open = ("[2001:db8::1]:5000", "[2001:db8::9]:3478");
    assert_eq!(
        seen(&[(open.0, open.1, open.0), (us, a, one)]),
        NatMapping::Unknown
    );
    let six = ("[2001:db8::1]:5000", "[2001:db8::9]:3478");
    assert_eq!(
        seen(&[(six.0, six.1, six.0), (us, a, one), (us, b, other)]),
        NatMapping::Dependent
    );
}

#[test]
fn candidates_are_read() {
    let read = |line| CandidateReport::read(line).map(|one| (one.kind, one.address, one.related));
    assert_eq!(
        read(HOST),
        Some((CandidateKind::Host, Some(address("192.168.1.2:5000")), None))
    );
    assert_eq!(read(MDNS), Some((CandidateKind::Mdns, None, None)));
    assert_eq!(
        read(REFLEXIVE),
        Some((
            CandidateKind::ServerReflexive,
            Some(address("93.184.216.34:6000")),
            Some(address("192.168.1.2:5000"))
        ))
    );
    let hidden = "candidate:1 1 udp 1 1.2.3.4 5 typ srflx raddr 0.0.0.0 rport 0";
    assert_eq!(
        read(hidden),
        Some((
            CandidateKind::ServerReflexive,
            Some(address("1.2.3.4:5")),
            None
        ))
    );
    for wrong in [
        "",
        "candidate:1 1 udp 1",
        "candidate:1 1 udp 1 1.2.3.4 5 typ x",
    ] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

#[test]
fn urls_are_told_apart() {
    let server = |url: &str| ServerReport {
        url: url.to_string(),
        result: SILENT,
    };
    let told = |url| {
        let server = server(url);
        (server.is_turn(), server.is_udp(), server.host().to_string())
    };
    let host = "a.example.org".to_string();
    assert_eq!(told(STUN), (false, true, host.clone()));
    assert_eq!(told(TURN), (true, true, host.clone()));
    assert_eq!(told(TURN_TCP), (true, false, host));
    assert_eq!(told(TURN_TLS), (true, false, "c.example.org".to_string()));
    assert_eq!(
        told("turn:[2001:db8::1]:3478"),
        (true, true, "2001:db8::1".to_string())
    );
}

#[test]
fn addresses_of_the_internet_are_known() {
    let cases = [
        ("8.8.8.8", true),
        ("10.0.0.1", false),
        ("172.16.0.1", false),
        ("192.168.0.1", false),
        ("169.254.0.1", false),
        ("127.0.0.1", false),
        ("100.64.0.1", false),
        ("100.128.0.1", true),
        ("224.0.0.1", false),
        ("0.0.0.0", false),
        ("2001:4860::8888", true),
        ("fe80::1", false),
        ("fd00::1", false),
        ("::1", false),
        ("::ffff:10.0.0.1", false),
    ];
    for (ip, public) in cases {
        assert_eq!(is_public(ip.parse().unwrap()), public, "{ip}");
    }
}

/// Every verdict, those with something inside with all that the judgement puts there: a signaling server
/// or a host that says nothing has a verdict of its own.
fn all_verdicts() -> Vec<Verdict> {
    use SignalingFailure as Signaling;
    let mut all = vec![
        Verdict::Connected,
        Verdict::ConnectedByRelay,
        Verdict::GivenUp,
        Verdict::SignalingSilent,
        Verdict::CodeNotFound,
        Verdict::ForeignHost,
        Verdict::HostSilent,
        Verdict::HostClosed,
        Verdict::NetworkFull,
        Verdict::Misbehaved,
        Verdict::ServersUnresolved,
        Verdict::StunSilent,
        Verdict::UdpBlocked,
        Verdict::SymmetricNats,
        Verdict::NoDirectPath,
        Verdict::TurnCredentialsRefused,
        Verdict::TurnUnreachable,
        Verdict::TurnRefused(486),
        Verdict::RelayUseless,
        Verdict::OneWay,
        Verdict::FingerprintMismatch,
        Verdict::PeerSilent,
        Verdict::LinkFailed(LinkFailure::Dtls),
        Verdict::LinkFailed(LinkFailure::Platform),
    ];
    for side in [Side::Local, Side::Remote] {
        all.push(Verdict::NoCandidates(side));
        all.push(Verdict::OnlyHostCandidates(side));
        all.push(Verdict::SymmetricNat(side));
    }
    for phase in [Phase::Ice, Phase::Datachannel] {
        all.push(Verdict::TimedOut(phase));
    }
    for failure in [
        Signaling::UnknownHost,
        Signaling::ConnectionRefused,
        Signaling::Unreachable,
        Signaling::Certificate,
        Signaling::Tls,
        Signaling::Http(404),
        Signaling::Protocol,
        Signaling::Closed,
    ] {
        all.push(Verdict::SignalingUnreachable(failure));
    }
    for refusal in [
        ServerRefusal::IdTaken,
        ServerRefusal::InvalidKey,
        ServerRefusal::Full,
        ServerRefusal::Other,
    ] {
        all.push(Verdict::SignalingRefused(refusal));
    }
    for refusal in [
        Refusal::NodeIdTaken,
        Refusal::Version,
        Refusal::TooManyAttempts,
        Refusal::BadOffer,
    ] {
        all.push(Verdict::Refused(refusal));
    }
    all
}

/// Grows with the enum: whoever adds a verdict is led to the list above.
const fn is_listed(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Connected
        | Verdict::ConnectedByRelay
        | Verdict::GivenUp
        | Verdict::SignalingUnreachable(_)
        | Verdict::SignalingSilent
        | Verdict::SignalingRefused(_)
        | Verdict::CodeNotFound
        | Verdict::ForeignHost
        | Verdict::HostSilent
        | Verdict::HostClosed
        | Verdict::NetworkFull
        | Verdict::Refused(_)
        | Verdict::Misbehaved
        | Verdict::NoCandidates(_)
        | Verdict::ServersUnresolved
        | Verdict::StunSilent
        | Verdict::UdpBlocked
        | Verdict::OnlyHostCandidates(_)
        | Verdict::SymmetricNats
        | Verdict::SymmetricNat(_)
        | Verdict::NoDirectPath
        | Verdict::TurnCredentialsRefused
        | Verdict::TurnUnreachable
        | Verdict::TurnRefused(_)
        | Verdict::RelayUseless
        | Verdict::OneWay
        | Verdict::FingerprintMismatch
        | Verdict::PeerSilent
        | Verdict::LinkFailed(_)
        | Verdict::TimedOut(_) => true,
    }
}

/// The row of `docs/troubleshooting.md` that a verdict must have.
fn row(verdict: Verdict) -> String {
    // Numbers stand for all of their kind.
    let meaning = verdict
        .to_string()
        .replace("486", "…")
        .replace("404", "…")
        .replace(
            &LinkFailure::Platform.to_string(),
            "the link could not be made, for the reason that is shown",
        );
    let mut first = meaning.chars();
    let begin = first.next().unwrap().to_uppercase();
    alloc::format!(
        "| `{}` | {begin}{}. | {} |",
        verdict.name(),
        first.as_str(),
        verdict.remedy()
    )
}

#[test]
fn every_verdict_is_documented_with_its_remedy() {
    const DOCUMENT: &str = include_str!("../../../docs/troubleshooting.md");
    let (_, table) = DOCUMENT.split_once("## The verdicts").unwrap();
    let rows: Vec<String> = all_verdicts().into_iter().map(row).collect();
    let missing: Vec<&String> = rows
        .iter()
        .filter(|row| !table.lines().any(|line| line == **row))
        .collect();
    assert!(missing.is_empty(), "{}", rows.join("\n"));
    let stale: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| `") && !rows.iter().any(|row| row == line))
        .collect();
    assert!(stale.is_empty(), "{stale:?}");
    assert!(all_verdicts().into_iter().all(is_listed));
}

#[test]
fn every_failure_has_a_name_of_its_own_and_one_sentence_of_remedy() {
    let mut names = Vec::new();
    for verdict in all_verdicts() {
        assert!(!names.contains(&verdict.name()), "{verdict:?}");
        names.push(verdict.name());
        let remedy = verdict.remedy();
        let nothing_to_do = verdict.is_connected() || verdict == Verdict::GivenUp;
        assert_eq!(remedy.is_empty(), nothing_to_do, "{verdict:?}");
        assert!(
            remedy.is_empty() || remedy.ends_with(['.', '…']),
            "{remedy}"
        );
        assert!(!remedy.contains(". "), "more than one sentence: {remedy}");
    }
}
