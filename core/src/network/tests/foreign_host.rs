//! A joiner in the network of a Clayground node or a PeerJS page, which the test plays.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::bare::{Bare, LINK};
use super::room::{CODE, rng};
use crate::config::{Config, Timeouts};
use crate::error::{EndReason, SendError};
use crate::event::{Event, LeaveReason, Refusal};
use crate::id::{LinkId, NodeId};
use crate::io::{Channel, Input, LinkCommand, LinkFailure, LinkUpdate, Output};
use crate::signaling::{SignalingCommand, SignalingFailure, SignalingId, SignalingUpdate};
use crate::stats::Status;

const STATES: LinkId = LinkId(1);

impl Bare {
    fn answer_of(&mut self, connection: &str, native: bool) -> Vec<Output> {
        let browser = if native {
            r#","browser":"libdatachannel""#
        } else {
            ""
        };
        let text = format!(
            r#"{{"type":"ANSWER","src":"{CODE}","dst":"x","payload":{{"sdp":{{"type":"answer","sdp":"v=0\r\na=max-message-size:262144\r\n"}},"type":"data","connectionId":"{connection}"{browser}}}}}"#
        );
        self.frame(&text)
    }

    /// Answered by a host without our marker, and its channel is open.
    fn foreign(native: bool) -> Self {
        Self::foreign_with(native, Config::default())
    }

    fn foreign_with(native: bool, config: Config) -> Self {
        let mut bare = Self::offering(config, 5);
        let connection = bare.connection.clone();
        let outputs = bare.answer_of(&connection, native);
        let made = commands(&outputs, LINK);
        assert_eq!(made[0], LinkCommand::MakeChannel(Channel::Data));
        assert_eq!(
            made.contains(&LinkCommand::MakeChannel(Channel::State)),
            native
        );
        assert!(matches!(
            made.last(),
            Some(LinkCommand::AcceptAnswer { led: false, .. })
        ));
        let _ = bare.update(LinkUpdate::Connected);
        let outputs = bare.update(LinkUpdate::ChannelOpened(Channel::Data));
        assert!(said(&outputs).is_empty(), "our hello is not for it");
        if native {
            let _ = bare.update(LinkUpdate::ChannelOpened(Channel::State));
        }
        bare
    }

    fn joined(native: bool, roster: &str) -> (Self, Vec<Output>) {
        let mut bare = Self::foreign(native);
        let outputs = bare.hears(&format!(r#"{{"t":"y","sys":"roster","nodes":{roster}}}"#));
        assert_eq!(bare.joiner.network.status(), Status::Joined);
        (bare, outputs)
    }

    fn hears(&mut self, text: &str) -> Vec<Output> {
        let payload = Bytes::copy_from_slice(text.as_bytes());
        let channel = Channel::Data;
        self.update(LinkUpdate::Message { channel, payload })
    }

    fn named(&self, name: &str) -> NodeId {
        let network = &self.joiner.network;
        let found = network
            .nodes()
            .find(|id| network.foreign_name(*id) == Some(name));
        found.expect("it is there")
    }

    fn host(&self) -> NodeId {
        self.joiner.network.nodes().next().unwrap()
    }

    fn broadcast(&mut self, text: &str) -> (Result<(), SendError>, Vec<Output>) {
        let (now, payload) = (self.now, Bytes::copy_from_slice(text.as_bytes()));
        self.joiner
            .call(now, |network| network.broadcast(now, payload))
    }

    fn waits(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now.plus(time);
        let mut outputs = Vec::new();
        while let Some(at) = self.joiner.network.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            outputs.extend(self.joiner.wake(self.now));
        }
        self.now = end;
        outputs
    }

    fn ended(&self) -> Option<EndReason> {
        self.joiner.events.iter().find_map(|event| match event {
            Event::Ended { reason } => Some(*reason),
            _ => None,
        })
    }

    fn texts(&self) -> Vec<(NodeId, String)> {
        let messages = self.joiner.events.iter().filter_map(|event| match event {
            Event::Message { from, payload } => {
                Some((*from, String::from_utf8(payload.to_vec()).unwrap()))
            }
            _ => None,
        });
        messages.collect()
    }
}

fn commands(outputs: &[Output], link: LinkId) -> Vec<LinkCommand> {
    let its = outputs.iter().filter_map(|output| match output {
        Output::Link { link: of, command } if *of == link => Some(command.clone()),
        _ => None,
    });
    its.collect()
}

/// What went to the host, on which link and channel.
fn said(outputs: &[Output]) -> Vec<(LinkId, Channel, String)> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Link {
            link,
            command: LinkCommand::Send { channel, message },
        } => {
            let text = String::from_utf8(message.to_bytes().to_vec()).unwrap();
            Some((*link, *channel, text))
        }
        _ => None,
    });
    sent.filter(|(_, _, text)| !text.starts_with(r#"{"t":"p""#))
        .collect()
}

fn signaled(outputs: &[Output]) -> Vec<String> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Signaling(SignalingCommand::Send(_, text)) => Some(text.clone()),
        _ => None,
    });
    sent.collect()
}

#[test]
fn a_wattle_node_joins_a_clayground_host() {
    let (mut bare, _) = Bare::joined(true, r#"["a","b"]"#);
    assert_eq!(bare.joiner.network.nodes().count(), 4);
    let (host, a, b) = (bare.host(), bare.named("a"), bare.named("b"));
    assert_eq!(bare.joiner.network.foreign_name(host), Some(""));
    let (sent, outputs) = bare.broadcast(r#"{"x":1}"#);
    assert_eq!(sent, Ok(()));
    let message = r#"{"t":"m","d":{"x":1}}"#.to_owned();
    assert_eq!(
        said(&outputs),
        [(LINK, Channel::Data, message)],
        "once for all"
    );
    let _ = bare.hears(r#"{"t":"m","d":{"y":1}}"#);
    let _ = bare.hears(r#"{"t":"m","d":{"z":1},"from":"b"}"#);
    assert_eq!(
        bare.texts(),
        [
            (host, r#"{"y":1}"#.to_owned()),
            (b, r#"{"z":1}"#.to_owned())
        ]
    );
    let _ = bare.hears(r#"{"t":"s","q":4,"d":{"s":1},"from":"a"}"#);
    let stated = bare
        .joiner
        .events
        .iter()
        .any(|event| matches!(event, Event::State { from, sequence: 0, .. } if *from == a));
    assert!(stated);
    let now = bare.now;
    let (_, outputs) = bare.joiner.call(now, |network| {
        network.broadcast_state(now, Bytes::from_static(b"{}"))
    });
    let state = r#"{"t":"s","q":1,"d":{}}"#.to_owned();
    assert_eq!(said(&outputs), [(LINK, Channel::State, state)]);
    // They come and go.
    let _ = bare.hears(r#"{"t":"y","sys":"node_left","nodeId":"a"}"#);
    let _ = bare.hears(r#"{"t":"y","sys":"node_joined","nodeId":"c"}"#);
    let _ = bare.hears(r#"{"t":"m","d":{},"from":"c"}"#);
    let c = bare.named("c");
    assert_eq!(bare.texts().last().unwrap().0, c);
    let reason = LeaveReason::Left;
    assert!(
        bare.joiner
            .events
            .contains(&Event::NodeLeft { node: a, reason })
    );
    let _ = bare.hears(r#"{"t":"y","sys":"node_joined","nodeId":"a"}"#);
    assert_eq!(bare.named("a"), a, "the same name is the same node");
    bare.joiner.finish();
}

#[test]
fn a_page_that_hosts_is_dialled_again_for_states() {
    let (mut bare, outputs) = Bare::joined(false, "[]");
    let made = commands(&outputs, STATES);
    assert_eq!(
        made,
        [
            LinkCommand::Open { offerer: true },
            LinkCommand::CreateOffer
        ]
    );
    let outputs = bare.update_of(STATES, LinkUpdate::LocalDescription("another"));
    let offer = signaled(&outputs).pop().unwrap();
    assert!(offer.contains(r#""label":"clay_state""#), "{offer}");
    assert!(!offer.contains(r#""wattle":"#), "{offer}");
    let connection = offer.split(r#""connectionId":""#).nth(1).unwrap();
    let connection = connection.split('"').next().unwrap().to_owned();
    assert_ne!(connection, bare.connection);
    let candidate = LinkUpdate::LocalCandidate("candidate:1 1 udp 1 10.0.0.1 5 typ host");
    let outputs = bare.update_of(STATES, candidate);
    assert!(signaled(&outputs)[0].contains(&connection));
    // States take the first connection until then.
    let now = bare.now;
    let state = |bare: &mut Bare| {
        let (_, outputs) = bare.joiner.call(now, |network| {
            network.broadcast_state(now, Bytes::from_static(b"{}"))
        });
        said(&outputs)[0].clone()
    };
    assert_eq!(state(&mut bare).0, LINK);
    let outputs = bare.answer_of(&connection, false);
    let made = commands(&outputs, STATES);
    assert_eq!(made[0], LinkCommand::MakeChannel(Channel::State));
    let outputs = bare.update_of(STATES, LinkUpdate::ChannelOpened(Channel::State));
    let closed = |output: &Output| matches!(output, Output::Signaling(SignalingCommand::Close(_)));
    assert!(outputs.iter().any(closed), "signaling has done its part");
    assert_eq!(state(&mut bare).0, STATES);
    bare.joiner.finish();
}

#[test]
fn states_do_without_a_connection_that_cannot_be_made() {
    let (mut bare, _) = Bare::joined(false, "[]");
    let _ = bare.update_of(STATES, LinkUpdate::LocalDescription("another"));
    let outputs = bare.update_of(STATES, LinkUpdate::Failed(LinkFailure::Ice));
    let leaves = signaled(&outputs);
    assert!(
        leaves.is_empty(),
        "a page takes LEAVE for all connections: {leaves:?}"
    );
    assert_eq!(bare.joiner.network.status(), Status::Joined);
    assert_eq!(bare.joiner.network.links.len(), 1);
    assert!(bare.joiner.network.client.is_idle());
}

#[test]
fn defect_08_a_joiner_that_cannot_reach_one_alone_is_told_so() {
    let (mut bare, _) = Bare::joined(true, r#"["a"]"#);
    let (now, host, a) = (bare.now, bare.host(), bare.named("a"));
    for node in [host, a] {
        let (sent, _) = bare.joiner.call(now, |network| {
            network.send_to(now, node, Bytes::from_static(b"{}"))
        });
        assert_eq!(sent, Err(SendError::BroadcastOnly));
    }
    assert_eq!(bare.broadcast("[1]").0, Err(SendError::NotJson));
}

#[test]
fn defect_03_a_host_that_is_full_says_so() {
    let mut bare = Bare::foreign(true);
    let _ = bare.hears(r#"{"t":"R","r":"Network full"}"#);
    assert_eq!(bare.ended(), Some(EndReason::Refused(Refusal::NetworkFull)));
    let mut bare = Bare::foreign(false);
    let _ = bare.hears(r#"{"t":"R","r":"no"}"#);
    assert_eq!(bare.ended(), Some(EndReason::Refused(Refusal::BadOffer)));
}

#[test]
fn defect_11_when_the_host_goes_it_is_over() {
    let (mut bare, _) = Bare::joined(true, r#"["a"]"#);
    let _ = bare.update(LinkUpdate::Closed);
    assert_eq!(bare.ended(), Some(EndReason::HostClosed));
    let (mut bare, _) = Bare::joined(true, r#"["a"]"#);
    let _ = bare.update(LinkUpdate::Failed(LinkFailure::Ice));
    let reason = EndReason::HostLinkFailed(LinkFailure::Ice);
    assert_eq!(bare.ended(), Some(reason));
    let (mut bare, _) = Bare::joined(false, "[]");
    let outputs = bare.waits(Duration::from_secs(25));
    assert_eq!(bare.ended(), Some(EndReason::HostLost));
    let offers = signaled(&outputs);
    assert!(
        offers.iter().all(|text| !text.contains("resume")),
        "it knows of no coming back"
    );
}

#[test]
fn a_silence_that_passes_is_no_end() {
    let (mut bare, _) = Bare::joined(true, "[]");
    let _ = bare.update(LinkUpdate::Disconnected);
    bare.waits(Duration::from_secs(8));
    let node = bare.host();
    assert!(bare.joiner.events.contains(&Event::NodeLost { node }));
    let _ = bare.hears(r#"{"t":"m","d":{}}"#);
    assert!(bare.joiner.events.contains(&Event::NodeBack { node }));
    assert_eq!(bare.texts().len(), 1);
}

#[test]
fn who_gets_no_roster_is_welcome_after_a_second_or_with_the_first_word() {
    let mut bare = Bare::foreign(true);
    bare.waits(Duration::from_millis(999));
    assert_eq!(bare.joiner.network.status(), Status::Connecting);
    bare.waits(Duration::from_millis(1));
    assert_eq!(bare.joiner.network.status(), Status::Joined);
    let mut bare = Bare::foreign(true);
    let _ = bare.hears(r#"{"t":"m","d":{"first":1}}"#);
    assert_eq!(bare.texts().len(), 1);
}

#[test]
fn what_a_host_of_the_dialect_is_waited_for_fits_the_time_for_channels() {
    let hurried = |datachannel| {
        let timeouts = Timeouts {
            datachannel,
            ..Timeouts::default()
        };
        Config::default().with_timeouts(timeouts).unwrap()
    };
    // The first who joins may get no roster.
    let config = hurried(Duration::from_millis(800));
    let mut bare = Bare::foreign_with(true, config);
    bare.waits(Duration::from_secs(1));
    assert_eq!(bare.ended(), None);
    assert_eq!(bare.joiner.network.status(), Status::Joined);
    // Who opens no channel gets another offer.
    let mut bare = Bare::offering(hurried(Duration::from_millis(1500)), 5);
    let first = bare.connection.clone();
    let _ = bare.answer_of(&first, true);
    let _ = bare.update(LinkUpdate::Connected);
    let outputs = bare.waits(Duration::from_secs(1));
    assert!(commands(&outputs, LinkId(1)).contains(&LinkCommand::CreateOffer));
}

#[test]
fn a_host_that_opens_no_channel_gets_another_offer() {
    let mut bare = Bare::offering(Config::default(), 5);
    let first = bare.connection.clone();
    let _ = bare.answer_of(&first, true);
    let _ = bare.update(LinkUpdate::Connected);
    let outputs = bare.waits(Duration::from_secs(2));
    assert!(commands(&outputs, LINK).contains(&LinkCommand::Close));
    let second = LinkId(1);
    assert!(commands(&outputs, second).contains(&LinkCommand::CreateOffer));
    let sdp = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    let outputs = bare.update_of(second, LinkUpdate::LocalDescription(sdp));
    let offer = signaled(&outputs).pop().unwrap();
    assert!(
        offer.contains(r"\r\na=ice-lite\r\nm=application"),
        "{offer}"
    );
    assert!(!offer.contains(r#""wattle":"#), "{offer}");
    let connection = offer.split(r#""connectionId":""#).nth(1).unwrap();
    let connection = connection.split('"').next().unwrap().to_owned();
    let _ = bare.answer_of(&connection, true);
    let _ = bare.update_of(second, LinkUpdate::Connected);
    let _ = bare.update_of(second, LinkUpdate::ChannelOpened(Channel::Data));
    bare.waits(Duration::from_secs(1));
    assert_eq!(bare.joiner.network.status(), Status::Joined);
    bare.joiner.finish();
    // It is tried once.
    let mut bare = Bare::foreign(true);
    bare.waits(Duration::from_secs(9));
    assert_eq!(bare.joiner.network.links.len(), 1);
}

#[test]
fn an_answer_that_describes_nothing_is_no_host() {
    let mut bare = Bare::offering(Config::default(), 5);
    let connection = &bare.connection;
    let text = format!(
        r#"{{"type":"ANSWER","src":"{CODE}","dst":"x","payload":{{"type":"data","connectionId":"{connection}"}}}}"#
    );
    let _ = bare.frame(&text);
    assert_eq!(bare.ended(), Some(EndReason::ForeignHost));
}

#[test]
fn what_comes_faster_than_it_is_taken_waits_and_then_it_is_over() {
    let config = Config::default().with_credit(crate::config::Credit::OnRelease);
    let mut bare = Bare::offering(config, 5);
    let connection = bare.connection.clone();
    let _ = bare.answer_of(&connection, true);
    let _ = bare.update(LinkUpdate::ChannelOpened(Channel::Data));
    let text = format!(r#"{{"t":"m","d":{{"x":"{}"}}}}"#, "y".repeat(100_000));
    for _ in 0..100 {
        if bare.ended().is_some() {
            break;
        }
        let _ = bare.hears(&text);
    }
    assert_eq!(bare.ended(), Some(EndReason::TooSlow));
}

#[test]
fn last_words_that_wait_come_before_the_leaving() {
    let config = Config::default().with_credit(crate::config::Credit::OnRelease);
    let mut bare = Bare::offering(config, 5);
    let connection = bare.connection.clone();
    let _ = bare.answer_of(&connection, true);
    let _ = bare.update(LinkUpdate::ChannelOpened(Channel::Data));
    let _ = bare.hears(r#"{"t":"y","sys":"roster","nodes":["a"]}"#);
    let a = bare.named("a");
    let text = format!(
        r#"{{"t":"m","d":{{"x":"{}"}},"from":"a"}}"#,
        "y".repeat(100_000)
    );
    for _ in 0..8 {
        let _ = bare.hears(&text);
    }
    let _ = bare.hears(r#"{"t":"y","sys":"node_left","nodeId":"a"}"#);
    let now = bare.now;
    assert!(bare.texts().len() < 8);
    for _ in 0..8 {
        let _ = bare
            .joiner
            .call(now, |network| network.release(now, a, 100_008));
        bare.waits(Duration::from_millis(300));
    }
    assert_eq!(bare.texts().len(), 8);
    let reason = LeaveReason::Left;
    assert!(
        bare.joiner
            .events
            .contains(&Event::NodeLeft { node: a, reason })
    );
}

#[test]
fn whatever_the_host_says_the_laws_hold() {
    let many: Vec<String> = (0..64).map(|n| format!("\"n{n}\"")).collect();
    let many = format!(r#"{{"t":"y","sys":"roster","nodes":[{}]}}"#, many.join(","));
    let me = "wattle-00000000000000000000000000000000".to_string();
    let words = vec![
        r#"{"t":"m","d":{}}"#.to_owned(),
        r#"{"t":"m","d":{},"from":"a"}"#.to_owned(),
        r#"{"t":"m","d":{},"from":"nobody"}"#.to_owned(),
        r#"{"t":"m","d":{},"from":""}"#.to_owned(),
        r#"{"t":"s","q":9,"d":{},"from":"a"}"#.to_owned(),
        r#"{"t":"y","sys":"roster","nodes":["a","a","","b"]}"#.to_owned(),
        r#"{"t":"y","sys":"node_joined","nodeId":"a"}"#.to_owned(),
        r#"{"t":"y","sys":"node_joined","nodeId":""}"#.to_owned(),
        r#"{"t":"y","sys":"node_left","nodeId":"a"}"#.to_owned(),
        r#"{"t":"y","sys":"node_left","nodeId":""}"#.to_owned(),
        format!(r#"{{"t":"y","sys":"node_left","nodeId":"{me}"}}"#),
        r#"{"t":"p","ts":0}"#.to_owned(),
        many,
        "nothing".to_owned(),
    ];
    for seed in 0..60 {
        let mut rng = rng(&format!("foreign host {seed}"));
        let mut bare = Bare::foreign(seed % 2 == 0);
        for _ in 0..200 {
            let word = &words[rng.below(words.len() as u64) as usize];
            let mut bytes = word.as_bytes().to_vec();
            if rng.below(5) == 0 {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            let channel = Channel::ALL[rng.below(2) as usize];
            let payload = bytes.into();
            let _ = bare.update(LinkUpdate::Message { channel, payload });
            if rng.below(10) == 0 {
                bare.waits(Duration::from_millis(rng.below(900)));
                let _ = bare.broadcast("{}");
            }
        }
        assert_eq!(bare.ended(), None, "{seed}");
        bare.joiner.finish();
    }
}

#[test]
fn a_late_roster_is_a_roster() {
    let mut bare = Bare::foreign(true);
    let _ = bare.waits(Duration::from_millis(1_200));
    assert_eq!(bare.joiner.network.nodes().count(), 2, "welcome without it");
    let _ = bare.hears(r#"{"t":"y","sys":"roster","nodes":["one","two"]}"#);
    assert_eq!(bare.joiner.network.nodes().count(), 4);
    let one = bare.named("one");
    let _ = bare.hears(r#"{"t":"m","d":{},"from":"one"}"#);
    assert_eq!(bare.texts(), [(one, "{}".to_owned())]);
    bare.joiner.finish();
}

#[test]
fn whoever_the_host_passes_on_is_there_though_no_roster_named_it() {
    let (mut bare, _) = Bare::joined(true, "[]");
    let dropped = bare.joiner.network.counters.json_dropped;
    // A state may come behind the word that its node has left.
    let _ = bare.hears(r#"{"t":"s","q":1,"d":{},"from":"one"}"#);
    assert_eq!(bare.joiner.network.nodes().count(), 2);
    let _ = bare.hears(r#"{"t":"m","d":{"n":1},"from":"one"}"#);
    let one = bare.named("one");
    assert!(
        bare.joiner
            .events
            .contains(&Event::NodeJoined { node: one })
    );
    assert_eq!(bare.texts(), [(one, r#"{"n":1}"#.to_owned())]);
    // The late roster names it as well.
    let _ = bare.hears(r#"{"t":"y","sys":"roster","nodes":["one","two"]}"#);
    assert_eq!(bare.joiner.network.nodes().count(), 4);
    // The host and we ourselves are nobody else.
    let us = bare.joiner.network.client.id().to_string();
    for from in ["", CODE, us.as_str()] {
        let _ = bare.hears(&format!(r#"{{"t":"m","d":{{}},"from":"{from}"}}"#));
    }
    assert_eq!(bare.joiner.network.nodes().count(), 4);
    assert_eq!(bare.joiner.network.counters.json_dropped, dropped + 4);
    bare.joiner.finish();
}

#[test]
fn an_offer_is_repeated_only_if_the_server_has_kept_no_answer() {
    let offers = |outputs: &[Output]| {
        let said = signaled(outputs);
        said.iter().filter(|text| text.contains("OFFER")).count()
    };
    for answered in [false, true] {
        let mut bare = Bare::offering(Config::default(), 6);
        let connection = bare.connection.clone();
        let lost = SignalingUpdate::Closed(SignalingId(0), SignalingFailure::Closed);
        let _ = bare.joiner.input(bare.now, Input::Signaling(lost));
        let _ = bare.waits(Duration::from_millis(600));
        let again = SignalingUpdate::Frame(SignalingId(1), super::room::OPEN);
        let outputs = bare.joiner.input(bare.now, Input::Signaling(again));
        assert_eq!(offers(&outputs), 0, "the answer may be on its way");
        if answered {
            let text = format!(
                r#"{{"type":"ANSWER","src":"{CODE}","dst":"x","payload":{{"sdp":{{"type":"answer","sdp":"v=0"}},"type":"data","connectionId":"{connection}"}}}}"#
            );
            let kept = SignalingUpdate::Frame(SignalingId(1), &text);
            let outputs = bare.joiner.input(bare.now, Input::Signaling(kept));
            assert!(commands(&outputs, LINK).contains(&LinkCommand::MakeChannel(Channel::Data)));
        }
        let outputs = bare.waits(Duration::from_secs(3));
        assert_eq!(offers(&outputs), usize::from(!answered));
    }
}
