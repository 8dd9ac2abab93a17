//! Clayground nodes and PeerJS pages in our network, written by hand; most say what those never would.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::room::{CODE, HOST, Room, rng};
use crate::config::{Config, Topology};
use crate::error::SendError;
use crate::event::{Event, LeaveReason};
use crate::id::{LinkId, NodeId};
use crate::io::{Channel, LinkFailure, LinkUpdate};
use crate::wire::{Body, Frame, Piece};

const SDP: &str = "v=0\\r\\na=max-message-size:262144\\r\\n";

impl Room {
    /// An offer without our marker: the host's link for it, if it makes one.
    pub(super) fn offer_unmarked(
        &mut self,
        peer: &str,
        connection: &str,
        label: &str,
    ) -> Option<LinkId> {
        let before: Vec<LinkId> = self.hands.keys().copied().collect();
        let offer = format!(
            r#"{{"type":"OFFER","src":"{peer}","dst":"{CODE}","payload":{{"sdp":{{"type":"offer","sdp":"{SDP}"}},"type":"data","connectionId":"{connection}","label":"{label}","reliable":true,"serialization":"json"}}}}"#
        );
        self.frame_to(HOST, &offer);
        let mut links = self.hands.keys().copied();
        links.find(|link| !before.contains(link))
    }

    pub(super) fn opens(&mut self, link: LinkId, channel: Channel) {
        self.tell_host(link, LinkUpdate::Connected);
        self.tell_host(link, LinkUpdate::ChannelOpened(channel));
    }

    /// A Clayground node, which has both channels.
    pub(super) fn add_clayground(&mut self, peer: &str) -> LinkId {
        let link = self.offer_unmarked(peer, &format!("dc_{peer}"), "data");
        let link = link.expect("the host opens a link");
        self.opens(link, Channel::Data);
        self.opens(link, Channel::State);
        link
    }

    /// A page, with its first connection alone.
    pub(super) fn add_page(&mut self, peer: &str) -> LinkId {
        let connection = format!("dc_{peer}");
        let link = self.offer_unmarked(peer, &connection, &connection);
        let link = link.expect("the host opens a link");
        self.opens(link, Channel::Data);
        link
    }

    pub(super) fn says(&mut self, link: LinkId, text: &str) {
        let text = Bytes::copy_from_slice(text.as_bytes());
        self.say_bytes(link, Channel::Data, text);
    }

    pub(super) fn says_state(&mut self, link: LinkId, text: &str) {
        let text = Bytes::copy_from_slice(text.as_bytes());
        self.say_bytes(link, Channel::State, text);
    }

    /// What it heard since the last time, but pings.
    pub(super) fn heard(&mut self, link: LinkId) -> Vec<String> {
        let said = core::mem::take(&mut self.hands.get_mut(&link).unwrap().said);
        let said = said.into_iter().map(|(_, text)| text);
        said.filter(|text| !text.starts_with(r#"{"t":"p""#))
            .collect()
    }

    fn heard_on(&mut self, link: LinkId, channel: Channel) -> Vec<String> {
        let said = core::mem::take(&mut self.hands.get_mut(&link).unwrap().said);
        let said = said.into_iter().filter(|(on, _)| *on == channel);
        let said = said.map(|(_, text)| text);
        said.filter(|text| !text.starts_with(r#"{"t":"p""#))
            .collect()
    }

    pub(super) fn named(&self, node: usize, name: &str) -> NodeId {
        let network = &self.nodes[node].network;
        let found = network
            .nodes()
            .find(|id| network.foreign_name(*id) == Some(name));
        found.expect("it is there")
    }

    pub(super) fn texts(&self, node: usize) -> Vec<(NodeId, String)> {
        let messages = self.messages(node).into_iter();
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        messages
            .map(|(from, payload)| (from, text(payload)))
            .collect()
    }

    fn states(&self, node: usize) -> Vec<(NodeId, String)> {
        let states = self.nodes[node]
            .events
            .iter()
            .filter_map(|event| match event {
                Event::State { from, payload, .. } => {
                    Some((*from, String::from_utf8(payload.to_vec()).unwrap()))
                }
                _ => None,
            });
        states.collect()
    }

    pub(super) fn host_stats(&self) -> crate::stats::Counters {
        self.nodes[HOST].network.stats(self.now).counters
    }
}

fn json(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[test]
fn a_clayground_joiner_is_a_node_like_others() {
    let mut room = Room::new(Config::default());
    let wattle = room.add(Config::default());
    let clay = room.add_clayground("clay1");
    let name = room.id(wattle).to_string();
    assert_eq!(
        room.heard(clay),
        [format!(r#"{{"t":"y","sys":"roster","nodes":["{name}"]}}"#)]
    );
    let id = room.named(HOST, "clay1");
    assert_eq!(room.named(wattle, "clay1"), id, "all call it the same");
    assert!(
        room.nodes[wattle]
            .events
            .contains(&Event::NodeJoined { node: id })
    );
    // It comes, it is told of others, it goes.
    let other = room.add_clayground("clay2");
    assert_eq!(
        room.heard(other),
        [format!(
            r#"{{"t":"y","sys":"roster","nodes":["{name}","clay1"]}}"#
        )]
    );
    assert_eq!(
        room.heard(clay),
        [r#"{"t":"y","sys":"node_joined","nodeId":"clay2"}"#]
    );
    let late = room.add(Config::default());
    let late_name = room.id(late);
    assert_eq!(
        room.heard(clay),
        [format!(
            r#"{{"t":"y","sys":"node_joined","nodeId":"{late_name}"}}"#
        )]
    );
    assert_eq!(
        room.named(late, "clay1"),
        id,
        "who comes later knows it, too"
    );
    room.tell_host(other, LinkUpdate::Closed);
    assert_eq!(
        room.heard(clay),
        [r#"{"t":"y","sys":"node_left","nodeId":"clay2"}"#]
    );
    let left = |event: &Event| {
        matches!(
            event,
            Event::NodeLeft {
                reason: LeaveReason::Left,
                ..
            }
        )
    };
    assert!(room.nodes[wattle].events.iter().any(left));
}

#[test]
fn messages_pass_between_the_dialects() {
    let mut room = Room::new(Config::default());
    let wattle = room.add(Config::default());
    let (one, two) = (room.add_clayground("one"), room.add_page("two"));
    let (first, me) = (room.named(HOST, "one"), room.id(wattle));
    for link in [one, two] {
        room.heard(link);
    }
    let sent = r#"{"t":"m","d":{"big":12345678901234567890.10,"x":[1,null]}}"#;
    room.says(one, sent);
    let raw = r#"{"big":12345678901234567890.10,"x":[1,null]}"#.to_owned();
    assert_eq!(room.texts(HOST), [(first, raw.clone())]);
    assert_eq!(room.texts(wattle), [(first, raw.clone())]);
    assert_eq!(
        room.heard(two),
        [format!(r#"{{"t":"m","d":{raw},"from":"one"}}"#)]
    );
    assert!(room.heard(one).is_empty(), "nothing comes back");

    room.call(wattle, |network, now| {
        network.broadcast(now, json(r#"{"a":1}"#))
    })
    .unwrap();
    for link in [one, two] {
        assert_eq!(
            room.heard(link),
            [format!(r#"{{"t":"m","d":{{"a":1}},"from":"{me}"}}"#)]
        );
    }
    // To one alone, from the host and from a joiner.
    room.call(HOST, |network, now| network.send_to(now, first, json("{}")))
        .unwrap();
    room.call(wattle, |network, now| {
        network.send_to(now, first, json(r#"{"b":2}"#))
    })
    .unwrap();
    assert_eq!(
        room.heard(one),
        [
            r#"{"t":"m","d":{}}"#.to_owned(),
            format!(r#"{{"t":"m","d":{{"b":2}},"from":"{me}"}}"#)
        ]
    );
    assert!(room.heard(two).is_empty());
    // Long ones go in pieces and arrive whole, ordered.
    let long = format!(r#"{{"long":"{}"}}"#, "x".repeat(200_000));
    room.call(wattle, |network, now| network.broadcast(now, json(&long)))
        .unwrap();
    room.call(wattle, |network, now| network.broadcast(now, json("{}")))
        .unwrap();
    let heard = room.heard(one);
    assert_eq!(heard[0], format!(r#"{{"t":"m","d":{long},"from":"{me}"}}"#));
    assert_eq!(heard[1], format!(r#"{{"t":"m","d":{{}},"from":"{me}"}}"#));
}

#[test]
fn what_is_no_json_object_is_refused_to_its_sender() {
    let mut room = Room::new(Config::default());
    let wattle = room.add(Config::default());
    let clay = room.add_clayground("clay");
    let foreign = room.named(HOST, "clay");
    room.heard(clay);
    for node in [HOST, wattle] {
        for not in ["\u{1}binary", "5", "[1]", "\"text\"", "null", "{", ""] {
            let sent = room.call(node, |network, now| network.broadcast(now, json(not)));
            assert_eq!(sent, Err(SendError::NotJson), "{not}");
            let sent = room.call(node, |network, now| network.broadcast_state(now, json(not)));
            assert_eq!(sent, Err(SendError::NotJson), "{not}");
            let sent = room.call(node, |network, now| {
                network.send_to(now, foreign, json(not))
            });
            assert_eq!(sent, Err(SendError::NotJson), "{not}");
        }
        let other = if node == HOST {
            room.id(wattle)
        } else {
            room.id(HOST)
        };
        let sent = room.call(node, |network, now| {
            network.send_to(now, other, json("\u{1}"))
        });
        assert_eq!(sent, Ok(()), "two wattle nodes may say what they like");
        let long = format!(r#"{{"long":"{}"}}"#, "x".repeat(262_000));
        let sent = room.call(node, |network, now| network.broadcast(now, json(&long)));
        assert!(matches!(sent, Err(SendError::TooLarge { .. })), "{sent:?}");
    }
    assert!(room.heard(clay).is_empty());
    assert_eq!(room.messages(HOST).len(), 1);
    room.tell_host(clay, LinkUpdate::Closed);
    let sent = room.call(wattle, |network, now| network.broadcast(now, json("\u{1}")));
    assert_eq!(sent, Ok(()), "it has left");
}

#[test]
fn what_an_older_node_sends_nevertheless_is_counted_and_taken() {
    let mut room = Room::new(Config::default());
    let hand = room.add_by_hand();
    let clay = room.add_clayground("clay");
    room.heard(clay);
    let told = room.hands[&hand]
        .heard
        .iter()
        .any(|frame| matches!(frame, Frame::Foreign { number: 2, name, .. } if name == "clay"));
    assert!(told);
    let piece = Piece {
        total: Some(3),
        payload: Bytes::from_static(&[1, 2, 3]),
    };
    let to = vec![(0, 0), (2, 0)];
    room.say(hand, &[Frame::MessageTo { to, piece }]);
    room.pass(Duration::from_millis(300));
    assert!(room.heard(clay).is_empty());
    assert_eq!(room.host_stats().payloads_skipped, 1);
    let acked = room.hands[&hand].heard.iter().any(
        |frame| matches!(frame, Frame::From { origin: 2, body: Body::Ack(ack) } if ack.next == 1),
    );
    assert!(acked, "its credit is not lost");
}

#[test]
fn defect_06_nobody_speaks_for_another_nor_mutes_it() {
    let mut room = Room::new(Config::default());
    let wattle = room.add(Config::default());
    let (evil, good) = (room.add_clayground("evil"), room.add_clayground("good"));
    let listener = room.add_clayground("listener");
    let evil_id = room.named(HOST, "evil");
    let good_id = room.named(HOST, "good");
    room.heard(listener);
    room.says(evil, r#"{"t":"m","d":{"n":1},"from":"good"}"#);
    room.says_state(
        evil,
        r#"{"t":"s","q":99999999999,"d":{"n":2},"from":"good"}"#,
    );
    room.says_state(good, r#"{"t":"s","q":1,"d":{"n":3}}"#);
    for node in [HOST, wattle] {
        assert_eq!(room.texts(node), [(evil_id, r#"{"n":1}"#.to_owned())]);
        assert_eq!(
            room.states(node),
            [
                (evil_id, r#"{"n":2}"#.to_owned()),
                (good_id, r#"{"n":3}"#.to_owned())
            ]
        );
    }
    assert_eq!(
        room.heard(listener),
        [
            r#"{"t":"m","d":{"n":1},"from":"evil"}"#,
            r#"{"t":"s","q":1,"d":{"n":2},"from":"evil"}"#,
            r#"{"t":"s","q":1,"d":{"n":3},"from":"good"}"#
        ]
    );
    // And nobody takes the name of a wattle node.
    let name = room.id(wattle).to_string();
    let link = room
        .offer_unmarked(&name, "dc_x", "data")
        .expect("to be refused");
    room.opens(link, Channel::Data);
    assert!(room.heard(link)[0].starts_with(r#"{"t":"R""#));
}

#[test]
fn states_are_numbered_from_one_and_the_latest_wins() {
    let mut room = Room::new(Config::default());
    let wattle = room.add(Config::default());
    let clay = room.add_clayground("clay");
    let me = room.id(wattle);
    room.heard(clay);
    for n in 0..3 {
        let state = format!(r#"{{"n":{n}}}"#);
        room.call(wattle, |network, now| {
            network.broadcast_state(now, json(&state))
        })
        .unwrap();
    }
    room.call(HOST, |network, now| {
        network.broadcast_state(now, json("{}"))
    })
    .unwrap();
    assert_eq!(
        room.heard_on(clay, Channel::State),
        [
            format!(r#"{{"t":"s","q":1,"d":{{"n":0}},"from":"{me}"}}"#),
            format!(r#"{{"t":"s","q":2,"d":{{"n":1}},"from":"{me}"}}"#),
            format!(r#"{{"t":"s","q":3,"d":{{"n":2}},"from":"{me}"}}"#),
            r#"{"t":"s","q":1,"d":{}}"#.to_owned(),
        ]
    );
    for q in [1, 2, 2, 1, 5, 4] {
        room.says_state(clay, &format!(r#"{{"t":"s","q":{q},"d":{{"q":{q}}}}}"#));
    }
    let id = room.named(HOST, "clay");
    let its = room
        .states(wattle)
        .into_iter()
        .filter(|(from, _)| *from == id);
    let seen: Vec<String> = its.map(|(_, text)| text).collect();
    assert_eq!(seen, [r#"{"q":1}"#, r#"{"q":2}"#, r#"{"q":5}"#]);
}

#[test]
fn a_page_gets_its_states_on_its_second_connection() {
    let mut room = Room::new(Config::default());
    let page = room.add_page("page");
    let stranger = room.offer_unmarked("stranger", "dc_s", "clay_state");
    assert_eq!(stranger, None, "it has no first connection");
    room.heard(page);
    let say = |room: &mut Room, text: &str| {
        let text = json(text);
        room.call(HOST, |network, now| network.broadcast_state(now, text))
            .unwrap();
    };
    say(&mut room, r#"{"n":1}"#);
    assert_eq!(
        room.heard_on(page, Channel::Data),
        [r#"{"t":"s","q":1,"d":{"n":1}}"#],
        "as long as there is no other way"
    );
    let states = room.offer_unmarked("page", "dc_states", "clay_state");
    let states = states.expect("a second link");
    room.opens(states, Channel::Data);
    say(&mut room, r#"{"n":2}"#);
    assert_eq!(
        room.heard_on(states, Channel::Data),
        [r#"{"t":"s","q":2,"d":{"n":2}}"#]
    );
    assert!(room.heard(page).is_empty());
    room.says(states, r#"{"t":"s","q":1,"d":{"from":"page"}}"#);
    let id = room.named(HOST, "page");
    assert_eq!(room.states(HOST), [(id, r#"{"from":"page"}"#.to_owned())]);
    assert_eq!(
        room.nodes[HOST].network.nodes().count(),
        2,
        "it is one node"
    );
    // It breaks: states go with the rest again, and nobody has left.
    room.tell_host(states, LinkUpdate::Failed(LinkFailure::Ice));
    say(&mut room, r#"{"n":3}"#);
    assert_eq!(room.heard(page), [r#"{"t":"s","q":3,"d":{"n":3}}"#]);
    // The page goes: so does a new one for states.
    let states = room
        .offer_unmarked("page", "dc_again", "clay_state")
        .unwrap();
    room.opens(states, Channel::Data);
    room.tell_host(page, LinkUpdate::Closed);
    assert!(room.hands[&states].closed);
    assert_eq!(room.nodes[HOST].network.nodes().count(), 1);
}

#[test]
fn defect_03_who_finds_the_network_full_is_told_so() {
    let mut room = Room::new(Config::default().with_max_nodes(2).unwrap());
    room.add_clayground("first");
    let mut refused = Vec::new();
    for nth in 0..5 {
        let peer = format!("late{nth}");
        if let Some(link) = room.offer_unmarked(&peer, "dc_x", "data") {
            refused.push(link);
        }
    }
    assert_eq!(refused.len(), 4, "no more than four at once");
    // libdatachannel's channels open in any order, and nobody knows on which one it listens.
    let orders: [&[Channel]; 4] = [
        &[Channel::Data],
        &[Channel::State],
        &[Channel::Data, Channel::State],
        &[Channel::State, Channel::Data],
    ];
    for (link, order) in refused.iter().zip(orders) {
        for channel in order {
            room.opens(*link, *channel);
            assert_eq!(room.heard(*link), [r#"{"t":"R","r":"Network full"}"#]);
            assert!(!room.hands[link].closed, "it has time to read that");
        }
        room.says(*link, r#"{"t":"m","d":{}}"#);
    }
    assert!(room.messages(HOST).is_empty());
    assert_eq!(room.nodes[HOST].network.nodes().count(), 2);
    room.pass(Duration::from_secs(3));
    assert!(refused.iter().all(|link| room.hands[link].closed));
    assert!(room.offer_unmarked("later", "dc_x", "data").is_some());
}

#[test]
fn defect_04_candidates_carry_the_offers_connection_id() {
    let mut room = Room::new(Config::default());
    let link = room.offer_unmarked("page", "dc_mine", "dc_mine").unwrap();
    room.tell_host(
        link,
        LinkUpdate::LocalCandidate("candidate:1 1 udp 1 10.0.0.1 5 typ host"),
    );
    let to_page = |text: &String| text.contains(r#""dst":"page""#);
    room.unheard.retain(to_page);
    assert_eq!(room.unheard.len(), 2);
    for text in &room.unheard {
        assert!(text.contains(r#""connectionId":"dc_mine""#), "{text}");
        assert!(!text.contains("wattle\":"), "{text}");
    }
    assert!(room.unheard[0].contains("ANSWER"));
}

#[test]
fn defect_05_a_second_offer_of_the_same_peer_takes_nothing_from_the_first() {
    let mut room = Room::new(Config::default());
    let first = room.add_page("page");
    let second = room
        .offer_unmarked("page", "dc_second", "dc_second")
        .unwrap();
    room.opens(second, Channel::Data);
    assert_eq!(
        room.heard(second),
        [r#"{"t":"R","r":"Already in the network"}"#]
    );
    room.heard(first);
    room.says(first, r#"{"t":"m","d":{"still":true}}"#);
    assert_eq!(room.messages(HOST).len(), 1);
    // The first is silent: now it may take its place.
    room.tell_host(second, LinkUpdate::Closed);
    room.pass(Duration::from_secs(3));
    let third = room.offer_unmarked("page", "dc_third", "dc_third").unwrap();
    assert_eq!(
        room.nodes[HOST].network.nodes().count(),
        2,
        "not before it is there"
    );
    room.opens(third, Channel::Data);
    assert!(room.hands[&first].closed);
    assert_eq!(room.nodes[HOST].network.nodes().count(), 2);
    room.says(third, r#"{"t":"m","d":{"again":true}}"#);
    assert_eq!(room.messages(HOST).len(), 2);
}

#[test]
fn defect_09_a_path_that_is_gone_for_a_moment_is_no_end() {
    let mut room = Room::new(Config::default());
    let clay = room.add_clayground("clay");
    let node = room.named(HOST, "clay");
    room.tell_host(clay, LinkUpdate::Disconnected);
    room.pass(Duration::from_secs(7));
    room.call(HOST, |network, now| {
        network.broadcast(now, json(r#"{"late":1}"#))
    })
    .unwrap();
    room.tell_host(clay, LinkUpdate::Alive { round_trip: None });
    room.pass(Duration::from_millis(100));
    assert!(room.nodes[HOST].events.contains(&Event::NodeLost { node }));
    assert!(room.nodes[HOST].events.contains(&Event::NodeBack { node }));
    room.heard(clay);
    room.says(clay, r#"{"t":"m","d":{}}"#);
    assert_eq!(room.messages(HOST).len(), 1);
    room.pass(Duration::from_secs(21));
    let reason = LeaveReason::Lost;
    assert!(
        room.nodes[HOST]
            .events
            .contains(&Event::NodeLeft { node, reason })
    );
}

#[test]
fn defect_10_what_fails_before_a_channel_opens_leaves_nothing_behind() {
    let mut room = Room::new(Config::default().with_max_nodes(2).unwrap());
    for nth in 0..20 {
        let link = room
            .offer_unmarked("page", &format!("dc_{nth}"), "x")
            .unwrap();
        if nth % 2 == 0 {
            room.tell_host(link, LinkUpdate::Failed(LinkFailure::Ice));
        } else {
            room.pass(Duration::from_secs(6));
        }
        assert!(room.nodes[HOST].network.links.is_empty(), "{nth}");
    }
    room.add_page("page");
}

#[test]
fn defect_12_joins_under_way_are_counted() {
    let mut room = Room::new(Config::default().with_max_nodes(3).unwrap());
    let links: Vec<LinkId> = (0..3)
        .map(|nth| room.offer_unmarked(&format!("p{nth}"), "dc", "x").unwrap())
        .collect();
    for link in &links {
        room.opens(*link, Channel::Data);
    }
    assert_eq!(room.nodes[HOST].network.nodes().count(), 3);
    assert_eq!(room.heard(links[2]), [r#"{"t":"R","r":"Network full"}"#]);
}

#[test]
fn defect_14_pings_are_answered_with_their_own_stamp_and_time_is_ours() {
    let mut room = Room::new(Config::default());
    let clay = room.add_clayground("clay");
    room.pass(Duration::from_secs(2));
    let said = core::mem::take(&mut room.hands.get_mut(&clay).unwrap().said);
    let ping = said
        .iter()
        .find(|(_, text)| text.starts_with(r#"{"t":"p""#));
    let (channel, ping) = ping.expect("the host asks");
    assert_eq!(*channel, Channel::State);
    let pong = ping.replace(r#""t":"p""#, r#""t":"P""#);
    room.says_state(clay, &pong);
    let node = room.named(HOST, "clay");
    let stats = room.nodes[HOST].network.stats(room.now);
    let stats = stats.nodes.iter().find(|stats| stats.node == node).unwrap();
    assert!(stats.latency.is_some());
    room.says(clay, r#"{"t":"p","ts":1732309200123.5}"#);
    assert_eq!(room.heard(clay), [r#"{"t":"P","ts":1732309200123.5}"#]);
}

#[test]
fn defect_18_who_says_more_than_the_others_take_is_sent_away() {
    let mut room = Room::new(Config::default());
    let wattle = room.add(Config::default());
    let slow = room.add_by_hand();
    let clay = room.add_clayground("clay");
    let node = room.named(HOST, "clay");
    let text = format!(r#"{{"t":"m","d":{{"x":"{}"}}}}"#, "y".repeat(100_000));
    for _ in 0..100 {
        if room.hands[&clay].closed {
            break;
        }
        room.says(clay, &text);
    }
    assert!(room.hands[&clay].closed);
    assert!(!room.hands[&slow].closed);
    let reason = LeaveReason::Misbehaved;
    assert!(
        room.nodes[wattle]
            .events
            .contains(&Event::NodeLeft { node, reason })
    );
}

#[test]
fn a_node_that_takes_nothing_does_not_hold_up_the_others_for_ever() {
    let mut room = Room::new(Config::default());
    let wattle = room.add(Config::default());
    let clay = room.add_clayground("clay");
    room.hands.get_mut(&clay).unwrap().stuck = true;
    let text = format!(r#"{{"x":"{}"}}"#, "y".repeat(100_000));
    let mut sent = 0;
    for _ in 0..60 {
        while room.call(wattle, |network, now| network.broadcast(now, json(&text))) == Ok(()) {
            sent += 1;
            assert!(sent < 1_000);
        }
        room.tell_host(clay, LinkUpdate::Alive { round_trip: None });
        room.pass(Duration::from_millis(500));
        if room.hands[&clay].closed {
            break;
        }
    }
    assert!(room.hands[&clay].closed);
    let sent = room.call(wattle, |network, now| network.broadcast(now, json(&text)));
    assert_eq!(sent, Ok(()));
}

#[test]
fn in_a_mesh_it_is_relayed() {
    let mesh = Config::default().with_topology(Topology::Mesh);
    let mut room = Room::new(mesh.clone());
    let one = room.add(mesh.clone());
    let clay = room.add_clayground("clay");
    let two = room.add(mesh);
    room.heard(clay);
    room.pass(Duration::from_millis(500));
    room.says(clay, r#"{"t":"m","d":{"n":1}}"#);
    room.says_state(clay, r#"{"t":"s","q":1,"d":{"n":2}}"#);
    let id = room.named(HOST, "clay");
    for node in [HOST, one, two] {
        assert_eq!(room.texts(node), [(id, r#"{"n":1}"#.to_owned())]);
        assert_eq!(room.states(node), [(id, r#"{"n":2}"#.to_owned())]);
    }
    let (first, second) = (room.id(one), room.id(two));
    for node in [one, two] {
        room.call(node, |network, now| network.broadcast(now, json("{}")))
            .unwrap();
        room.call(node, |network, now| {
            network.broadcast_state(now, json("{}"))
        })
        .unwrap();
    }
    let mut heard = room.heard(clay);
    heard.sort();
    let mut wanted: Vec<String> = [first, second]
        .iter()
        .flat_map(|id| {
            [
                format!(r#"{{"t":"m","d":{{}},"from":"{id}"}}"#),
                format!(r#"{{"t":"s","q":1,"d":{{}},"from":"{id}"}}"#),
            ]
        })
        .collect();
    wanted.sort();
    assert_eq!(heard, wanted);
}

#[test]
fn a_host_that_does_not_relay_hears_them_alone() {
    let mut room = Room::new(Config::default().with_auto_relay(false));
    let wattle = room.add(Config::default());
    let (one, two) = (room.add_clayground("one"), room.add_clayground("two"));
    room.heard(two);
    room.says(one, r#"{"t":"m","d":{}}"#);
    room.says_state(one, r#"{"t":"s","q":1,"d":{}}"#);
    assert_eq!(room.messages(HOST).len(), 1);
    assert_eq!(room.states(HOST).len(), 1);
    assert!(room.messages(wattle).is_empty());
    assert!(room.heard(two).is_empty());
}

#[test]
fn whatever_a_foreign_node_says_the_network_stands() {
    let words = [
        r#"{"t":"m","d":{}}"#,
        r#"{"t":"m"}"#,
        r#"{"t":"m","d":5,"from":"x"}"#,
        r#"{"t":"s","q":1,"d":{}}"#,
        r#"{"t":"s","q":18446744073709551615,"d":{}}"#,
        r#"{"t":"s","q":18446744073709551616,"d":{}}"#,
        r#"{"t":"p","ts":1e999}"#,
        r#"{"t":"P","ts":4294967295}"#,
        r#"{"t":"P","ts":-1}"#,
        r#"{"t":"R","r":"you"}"#,
        r#"{"t":"y","sys":"roster","nodes":["a","b"]}"#,
        r#"{"t":"y","sys":"node_joined","nodeId":"a"}"#,
        r#"{"t":"y","sys":"node_left","nodeId":"one"}"#,
        "\u{0}\u{1}",
        "{",
        "",
    ];
    for seed in 0..30 {
        let mut rng = rng(&format!("foreign words {seed}"));
        let config = if seed % 3 == 0 {
            Config::default().with_topology(Topology::Mesh)
        } else {
            Config::default()
        };
        let mut room = Room::new(config.clone());
        let wattle = room.add(config);
        let links = [room.add_clayground("one"), room.add_page("two")];
        for _ in 0..300 {
            let link = links[rng.below(2) as usize];
            let word = words[rng.below(words.len() as u64) as usize];
            let mut bytes = word.as_bytes().to_vec();
            if rng.below(4) == 0 && !bytes.is_empty() {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            let channel = Channel::ALL[rng.below(2) as usize];
            match rng.below(20) {
                0 => room.tell_host(link, LinkUpdate::ChannelOpened(channel)),
                1 => room.tell_host(link, LinkUpdate::Disconnected),
                2 => room.pass(Duration::from_millis(rng.below(1_500))),
                3 => {
                    let bytes = rng.below(1 << 20) as u32;
                    room.tell_host(link, LinkUpdate::BufferedAmount { channel, bytes });
                }
                4 => {
                    let label = ["clay_state", "x"][rng.below(2) as usize];
                    room.offer_unmarked("two", &format!("dc{}", rng.below(9)), label);
                }
                5 => {
                    let _ = room.call(wattle, |network, now| network.broadcast(now, json("{}")));
                }
                _ => room.say_bytes(link, channel, bytes.into()),
            }
        }
        // It goes on for those who behave; the laws were watched all along.
        let before = room.messages(HOST).len();
        let sent = room.call(wattle, |network, now| network.broadcast(now, json("{}")));
        assert_eq!(sent, Ok(()));
        assert!(room.messages(HOST).len() > before);
        room.nodes[HOST].finish();
    }
}
