//! Every attempt is reported once, in its place among the events, with what there is to know.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::bare::{Bare, DIRECT, HOST_ID, LINK};
use super::room::{CODE, HOST, Room, offer_frame, with_source};
use crate::config::{Config, Topology};
use crate::error::EndReason;
use crate::event::{CandidateKind, Event, Phase};
use crate::id::NodeId;
use crate::io::{Channel, Input, LinkFailure, LinkUpdate};
use crate::link::negotiation;
use crate::report::{
    CandidateCounts, Checks, ConnectReport, LinkReport, NatMapping, SelectedPair, ServerReport,
    ServerResult, Verdict,
};
use crate::signaling::{RelayedKind, SignalingId, SignalingUpdate, write_relayed};
use crate::wire::{Frame, Step};

const LOCAL: &str = "candidate:1 1 udp 2130706431 192.168.1.2 5000 typ host";
const REFLEXIVE: &str =
    "candidate:2 1 udp 1694498815 93.184.216.34 6000 typ srflx raddr 192.168.1.2 rport 5000";
const OTHER_PORT: &str =
    "candidate:3 1 udp 1694498815 93.184.216.34 6001 typ srflx raddr 192.168.1.2 rport 5000";

fn reports(events: &[Event]) -> Vec<ConnectReport> {
    let reports = events.iter().filter_map(|event| match event {
        Event::ConnectReport(report) => Some((**report).clone()),
        _ => None,
    });
    reports.collect()
}

/// The only report, which must stand right before the end.
fn last_words(bare: &Bare) -> ConnectReport {
    let [.., Event::ConnectReport(report), Event::Ended { .. }] = &bare.joiner.events[..] else {
        panic!("{:?}", bare.joiner.events);
    };
    assert_eq!(reports(&bare.joiner.events).len(), 1);
    (**report).clone()
}

fn link_report(kind: CandidateKind) -> LinkUpdate<'static> {
    LinkUpdate::Report(Box::new(LinkReport {
        servers: vec![ServerReport {
            url: "stun:stun.example.org:3478".to_string(),
            result: ServerResult::Answered {
                mapped: "93.184.216.34:6000".parse().unwrap(),
                relayed: None,
                after: Duration::from_millis(20),
            },
        }],
        mapping: NatMapping::Dependent,
        checks: Checks {
            pairs: 3,
            received: 0,
            answered: 0,
        },
        selected: Some(SelectedPair {
            local: kind,
            local_address: None,
            remote: CandidateKind::Host,
            remote_address: None,
        }),
    }))
}

fn pass(bare: &mut Bare, time: Duration) {
    let end = bare.now.plus(time);
    while let Some(at) = bare.joiner.network.poll_timeout().filter(|at| *at <= end) {
        bare.now = bare.now.max(at);
        let now = bare.now;
        let _ = bare.joiner.wake(now);
    }
    bare.now = end;
}

#[test]
fn a_code_that_nobody_has() {
    let mut bare = Bare::offering(Config::default(), 1);
    let expire = with_source(CODE, r#"{"type":"EXPIRE","dst":"me"}"#);
    let _ = bare.frame(&expire);
    let report = last_words(&bare);
    assert_eq!(report.verdict, Verdict::CodeNotFound);
    assert_eq!(report.ended_in, Some(Phase::Signaling));
    assert_eq!(report.timing.signaling, None);
    assert_eq!(report.node, None);
}

#[test]
fn ice_that_finds_nothing_tells_what_was_tried() {
    let mut bare = Bare::admitted(Config::default(), 2);
    let _ = bare.update(LinkUpdate::LocalCandidate(LOCAL));
    let _ = bare.update(LinkUpdate::LocalCandidate(REFLEXIVE));
    for line in [LOCAL, REFLEXIVE, OTHER_PORT] {
        let payload = negotiation::candidate(&bare.connection, line);
        let text = with_source(CODE, &write_relayed(RelayedKind::Candidate, "me", &payload));
        let _ = bare.frame(&text);
    }
    let _ = bare.update(link_report(CandidateKind::Host));
    pass(&mut bare, Duration::from_secs(11));
    let report = last_words(&bare);
    assert_eq!(report.verdict, Verdict::SymmetricNats);
    assert_eq!(report.ended_in, Some(Phase::Ice));
    assert_eq!(report.node, Some(HOST_ID));
    assert!(report.timing.signaling.is_some());
    assert_eq!(report.took, Duration::from_secs(10));
    assert_eq!(report.servers.len(), 1);
    assert_eq!(report.checks.pairs, 3);
    assert_eq!(report.local_mapping, NatMapping::Dependent);
    assert_eq!(report.remote_mapping, NatMapping::Dependent);
    let counts = CandidateCounts::of(&report.local);
    assert_eq!((counts.host, counts.server_reflexive), (1, 1));
    let counts = CandidateCounts::of(&report.remote);
    assert_eq!((counts.host, counts.server_reflexive), (1, 2));
}

#[test]
fn a_path_that_goes_dark_is_told_from_a_slow_one() {
    let mut bare = Bare::admitted(Config::default(), 3);
    let _ = bare.update(LinkUpdate::Connected);
    pass(&mut bare, Duration::from_secs(11));
    assert_eq!(last_words(&bare).verdict, Verdict::PeerSilent);

    let mut bare = Bare::admitted(Config::default(), 4);
    let _ = bare.update(LinkUpdate::Connected);
    for _ in 0..11 {
        let _ = bare.update(LinkUpdate::Alive { round_trip: None });
        pass(&mut bare, Duration::from_secs(1));
    }
    let report = last_words(&bare);
    assert_eq!(report.verdict, Verdict::TimedOut(Phase::Datachannel));
}

#[test]
fn a_welcome_is_reported_between_joined_and_the_nodes() {
    let mut bare = Bare::admitted(Config::default(), 5);
    let _ = bare.update(link_report(CandidateKind::Relay));
    let _ = bare.update(LinkUpdate::Connected);
    let _ = bare.update(LinkUpdate::ChannelOpened(Channel::Data));
    let welcome = bare.welcome();
    let _ = bare.say(&[welcome]);
    let events = &bare.joiner.events;
    let joined = events
        .iter()
        .position(|event| matches!(event, Event::Joined { .. }))
        .unwrap();
    let Event::ConnectReport(report) = &events[joined + 1] else {
        panic!("{events:?}");
    };
    assert!(matches!(events[joined + 2], Event::NodeJoined { .. }));
    assert_eq!(report.verdict, Verdict::ConnectedByRelay);
    assert_eq!(report.ended_in, None);
    assert!(report.timing.total.is_some());
    // What comes later is no news of this attempt.
    let _ = bare.update(link_report(CandidateKind::Host));
    bare.joiner.finish();
    assert_eq!(reports(&bare.joiner.events).len(), 1);
}

#[test]
fn who_gives_up_is_told_once() {
    let mut bare = Bare::admitted(Config::default(), 6);
    bare.joiner.finish();
    let report = last_words(&bare);
    assert_eq!(report.verdict, Verdict::GivenUp);
    assert_eq!(report.ended_in, Some(Phase::Ice));
}

#[test]
fn a_broken_link_is_told_by_its_failure() {
    let mut bare = Bare::admitted(Config::default(), 7);
    let failed = LinkUpdate::Failed(LinkFailure::FingerprintMismatch);
    let _ = bare.update(failed);
    assert_eq!(last_words(&bare).verdict, Verdict::FingerprintMismatch);
    let end = EndReason::LinkFailed(LinkFailure::FingerprintMismatch);
    assert_eq!(
        bare.joiner.events.last(),
        Some(&Event::Ended { reason: end })
    );
}

#[test]
fn a_host_is_told_of_joins_if_it_asked() {
    for verbose in [false, true] {
        let mut room = Room::new(Config::default().with_verbose(verbose));
        let joiner = room.add(Config::default());
        let told = reports(&room.nodes[HOST].events);
        assert_eq!(told.len(), usize::from(verbose));
        if let [report] = &told[..] {
            assert_eq!(report.node, Some(room.id(joiner)));
            assert_eq!(report.verdict, Verdict::Connected);
        }
        // One that comes to nothing: no path is found within the 5 s that it gets.
        let node = NodeId::from_bytes([77; 16]);
        let offer = offer_frame("other", "dc_other", node, "nowhere");
        let frame = Input::Signaling(SignalingUpdate::Frame(SignalingId(0), &offer));
        let _ = room.nodes[HOST].input(room.now, frame);
        room.pass(Duration::from_secs(6));
        let told = reports(&room.nodes[HOST].events);
        assert_eq!(told.len(), 2 * usize::from(verbose));
        if let [_, report] = &told[..] {
            assert_eq!(report.node, Some(node));
            assert!(report.ended_in.is_some());
            assert!(!report.verdict.is_connected());
        }
        assert_eq!(reports(&room.nodes[joiner].events).len(), 1);
    }
}

#[test]
fn links_of_a_mesh_are_told_if_asked_for() {
    for verbose in [false, true] {
        let config = Config::default()
            .with_topology(Topology::Mesh)
            .with_verbose(verbose);
        let mut bare = Bare::welcomed(config, 8);
        let _ = bare.update_of(DIRECT, LinkUpdate::LocalDescription("an offer"));
        let _ = bare.signal(2, 1, Step::Answer, "an answer");
        let _ = bare.update_of(DIRECT, LinkUpdate::Failed(LinkFailure::Ice));
        pass(&mut bare, Duration::from_secs(2));
        let links = bare.joiner.network.links.iter();
        let direct = links.filter(|(_, link)| link.direct().is_some());
        let again = direct.map(|(id, _)| *id).max().unwrap();
        assert_ne!(again, LINK);
        let _ = bare.update_of(again, LinkUpdate::LocalDescription("an offer"));
        let _ = bare.signal(2, 2, Step::Answer, "an answer");
        let _ = bare.update_of(again, LinkUpdate::Connected);
        let _ = bare.update_of(again, LinkUpdate::ChannelOpened(Channel::Data));
        let peer = Frame::Peer {
            epoch: 0,
            number: 2,
        };
        let payload = super::room::message(&[peer]);
        let channel = Channel::Data;
        let _ = bare.update_of(again, LinkUpdate::Message { channel, payload });
        let told = reports(&bare.joiner.events);
        let verdicts: Vec<bool> = told.iter().map(|one| one.verdict.is_connected()).collect();
        if verbose {
            assert_eq!(verdicts, [true, false, true]);
            assert_eq!(told[1].node, Some(NodeId::from_bytes([52; 16])));
        } else {
            assert_eq!(verdicts, [true]);
        }
    }
}
