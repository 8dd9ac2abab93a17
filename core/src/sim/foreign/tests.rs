//! Wattle nodes with others: what such nodes do one by one, and drawn worlds of both kinds.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "tests look for the one event they want"
)]

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;
use serde_json::Value;

use super::super::choices::{Choices, FromSeed};
use super::super::{Path, SignalingFaults};
use super::*;
use crate::config::{Config, Probing};
use crate::network::Hosting;

const CODE: &str = "ABCDEF";

fn code() -> NetworkCode {
    CODE.parse().unwrap()
}

/// A host of ours with its code.
fn hosted(seed: u64) -> (World, NodeIndex) {
    hosted_as(seed, Config::default())
}

/// One whose links ask below the channels, as browsers and native nodes do: who is frozen is not silent.
fn hosted_on_ice(seed: u64) -> (World, NodeIndex) {
    hosted_as(seed, Config::default().with_probing(Probing::ByLink))
}

fn hosted_as(seed: u64, config: Config) -> (World, NodeIndex) {
    let mut world = World::new(seed);
    let host = world.add_model(config);
    world
        .try_host(host, Hosting::Signaling { code: Some(code()) })
        .unwrap();
    world.run_for(SECOND);
    (world, host)
}

/// A host that is not ours.
fn foreign_hosted(seed: u64, what: Foreign) -> (World, NodeIndex) {
    let mut world = World::new(seed);
    let host = world.add_foreign(what);
    world
        .try_host(host, Hosting::Signaling { code: Some(code()) })
        .unwrap();
    world.run_for(SECOND);
    assert_eq!(world.code(host), Some(code()));
    (world, host)
}

fn joined(world: &mut World, nodes: &[NodeIndex]) {
    for node in nodes {
        world.join(*node, &code());
    }
    let all = |world: &World| {
        nodes
            .iter()
            .all(|node| world.status(*node) == Some(Status::Joined))
    };
    assert!(world.run_until(10 * SECOND, all));
    world.run_for(SECOND);
}

fn frames(world: &mut World, node: NodeIndex, kind: &str) -> Vec<String> {
    let head = format!(r#"{{"t":"{kind}""#);
    let frames = world.take_frames(node).into_iter().map(|frame| frame.text);
    frames.filter(|text| text.starts_with(&head)).collect()
}

fn texts(world: &mut World, node: NodeIndex) -> Vec<String> {
    let events = world.take_events(node).into_iter();
    let text = |event| match event {
        Event::Message { payload, .. } => Some(String::from_utf8(payload.to_vec()).unwrap()),
        _ => None,
    };
    events.filter_map(text).collect()
}

#[test]
fn both_kinds_are_in_a_wattle_nodes_network() {
    let (mut world, host) = hosted(1);
    let ours = world.add_model(Config::default());
    let native = world.add_foreign(Foreign::native("native"));
    let page = world.add_foreign(Foreign::page("page"));
    joined(&mut world, &[ours, native, page]);
    assert_eq!(world.nodes(host).len(), 4);
    assert_eq!(world.nodes(ours).len(), 4);
    let name = world.id(ours).unwrap().to_string();
    assert_eq!(world.foreign_roster(native), [CODE, name.as_str(), "page"]);
    assert_eq!(world.foreign_roster(page), [CODE, name.as_str(), "native"]);
    let _ = (world.take_frames(native), world.take_frames(page));
    for (node, text) in [
        (host, r#"{"a":0}"#),
        (ours, r#"{"a":1}"#),
        (native, r#"{"a":2}"#),
        (page, r#"{"a":3}"#),
    ] {
        world.broadcast(node, text).unwrap();
        world.run_for(SECOND);
    }
    assert_eq!(
        texts(&mut world, host),
        [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#]
    );
    assert_eq!(
        texts(&mut world, ours),
        [r#"{"a":0}"#, r#"{"a":2}"#, r#"{"a":3}"#]
    );
    assert_eq!(
        frames(&mut world, page, "m"),
        [
            r#"{"t":"m","d":{"a":0}}"#.to_string(),
            format!(r#"{{"t":"m","d":{{"a":1}},"from":"{name}"}}"#),
            r#"{"t":"m","d":{"a":2},"from":"native"}"#.to_string(),
        ]
    );
    // States go where they belong, both ways.
    for node in [ours, native, page] {
        world.broadcast_state(node, r#"{"s":1}"#).unwrap();
    }
    world.run_for(SECOND);
    let states = |event: &Event| matches!(event, Event::State { .. });
    assert_eq!(world.count_events(host, states), 3);
    for node in [native, page] {
        let heard = world.take_frames(node);
        assert_eq!(
            heard.iter().filter(|frame| frame.is_state).count(),
            2,
            "{heard:?}"
        );
    }
}

#[test]
fn wattle_nodes_are_in_the_networks_of_both_kinds() {
    for what in [Foreign::native(""), Foreign::page("")] {
        let (mut world, host) = foreign_hosted(2, what);
        let ours = world.add_model(Config::default());
        let too = world.add_model(Config::default());
        let page = world.add_foreign(Foreign::page("page"));
        joined(&mut world, &[ours, too, page]);
        assert_eq!(world.nodes(ours).len(), 4);
        assert_eq!(world.nodes(too).len(), 4);
        world.broadcast(ours, r#"{"a":1}"#).unwrap();
        world.broadcast_state(ours, r#"{"s":1}"#).unwrap();
        world.broadcast(page, r#"{"a":2}"#).unwrap();
        world.run_for(SECOND);
        let heard = world.take_frames(host);
        assert!(heard.iter().any(|frame| frame.is_state), "{heard:?}");
        let state = |event: &Event| matches!(event, Event::State { .. });
        assert_eq!(world.count_events(too, state), 1);
        assert_eq!(texts(&mut world, too), [r#"{"a":1}"#, r#"{"a":2}"#]);
        world.leave(host);
        world.run_for(SECOND);
        assert_eq!(world.status(ours), Some(Status::Idle));
    }
}

#[test]
fn defect_03_who_finds_another_kinds_network_full_is_told_so() {
    let (mut world, _) = foreign_hosted(
        3,
        Foreign {
            most: 2,
            ..Foreign::native("")
        },
    );
    let (ours, late) = (
        world.add_model(Config::default()),
        world.add_model(Config::default()),
    );
    joined(&mut world, &[ours]);
    world.join(late, &code());
    world.run_for(5 * SECOND);
    let reason = EndReason::Refused(crate::event::Refusal::NetworkFull);
    assert_eq!(world.take_events(late).pop(), Some(Event::Ended { reason }));
}

#[test]
fn who_goes_without_a_word_and_comes_again_under_its_name_is_let_in() {
    let (mut world, host) = hosted(4);
    let page = world.add_foreign(Foreign::page("page"));
    joined(&mut world, &[page]);
    let id = world.nodes(host)[1];
    world.crash(page);
    world.restart(page);
    world.join(page, &code());
    // As long as it may still be there, nobody takes its place.
    world.run_for(SECOND);
    assert_eq!(world.status(page), Some(Status::Idle));
    world.run_for(4 * SECOND);
    world.join(page, &code());
    world.run_for(SECOND);
    assert_eq!(world.status(page), Some(Status::Joined));
    assert_eq!(world.nodes(host), [world.id(host).unwrap(), id]);
    let left = |event: &Event| matches!(event, Event::NodeLeft { node, .. } if *node == id);
    assert_eq!(world.count_events(host, left), 1);
}

#[test]
fn a_page_is_joined_though_the_signaling_server_is_gone_between_offer_and_answer() {
    // Every moment of the join, a little apart.
    for step in 0..40 {
        let (mut world, host) = foreign_hosted(8, Foreign::page(""));
        let ours = world.add_model(Config::default());
        world.set_signaling_delay(Duration::from_millis(100));
        world.join(ours, &code());
        world.run_for(Duration::from_millis(10 * step));
        world.start_server();
        world.run_for(14 * SECOND);
        assert_eq!(world.status(ours), Some(Status::Joined), "{step}");
        assert_eq!(world.foreign_roster(host).len(), 1, "{step}");
    }
}

#[test]
fn a_flood_ends_for_the_one_that_makes_it_alone() {
    let (mut world, host) = hosted(5);
    let (flood, good) = (
        world.add_foreign(Foreign::native("flood")),
        world.add_foreign(Foreign::page("good")),
    );
    joined(&mut world, &[flood, good]);
    let text = format!(r#"{{"x":"{}"}}"#, "y".repeat(10_000));
    for _ in 0..1_000 {
        let _ = world.broadcast(flood, text.clone());
    }
    world.run_for(30 * SECOND);
    let reason = crate::event::LeaveReason::Misbehaved;
    let misbehaved =
        |event: &Event| matches!(event, Event::NodeLeft { reason: why, .. } if *why == reason);
    assert_eq!(world.count_events(host, misbehaved), 1);
    assert_eq!(world.nodes(host).len(), 2);
    world.broadcast(host, "{}").unwrap();
    world.run_for(SECOND);
    assert_eq!(
        frames(&mut world, good, "m").pop().as_deref(),
        Some(r#"{"t":"m","d":{}}"#)
    );
}

/// Of a kilobyte, with its number.
fn numbered(number: u32) -> String {
    let filled = "x".repeat(1_000);
    format!(r#"{{"n":{number},"x":"{filled}"}}"#)
}

fn numbers(world: &mut World, node: NodeIndex) -> Vec<u64> {
    let frames = frames(world, node, "m").into_iter();
    let number = |text: String| serde_json::from_str::<Value>(&text).unwrap()["d"]["n"].as_u64();
    frames.map(|text| number(text).unwrap()).collect()
}

/// Says as much as there is room for, up to this many in all.
fn say_all_that_fits(world: &mut World, node: NodeIndex, said: &mut u32, most: u32) {
    while *said < most && world.broadcast(node, numbered(*said)).is_ok() {
        *said += 1;
        if (*said).is_multiple_of(20) {
            world.run_for(Duration::from_millis(10));
        }
    }
}

#[test]
fn what_a_frozen_page_has_not_handled_is_bounded_and_it_is_too_slow_in_the_end() {
    for page in [true, false] {
        let (mut world, host) = hosted_on_ice(5);
        let ours = world.add_model(Config::default());
        let what = Foreign {
            page,
            ..Foreign::page("slow")
        };
        let slow = world.add_foreign(what);
        joined(&mut world, &[ours, slow]);
        // It has shown that it answers.
        world.broadcast(host, numbered(0)).unwrap();
        world.run_for(2 * SECOND);
        world.set_reads(slow, Some(0));
        let mut said = 1;
        say_all_that_fits(&mut world, host, &mut said, 3_000);
        assert!(
            (400..600).contains(&said),
            "{said} kB are a window of 512 KiB"
        );
        let gone = |world: &World| world.nodes(host).len() == 2;
        let since = world.now();
        assert!(world.run_until(30 * SECOND, gone));
        let took = world.now().since(since);
        assert!((18 * SECOND..22 * SECOND).contains(&took), "{took:?}");
        let too_slow = |event: &Event| match event {
            Event::NodeLeft { reason, .. } => *reason == crate::event::LeaveReason::TooSlow,
            _ => false,
        };
        assert_eq!(world.count_events(host, too_slow), 1);
        world.run_for(SECOND);
        world.broadcast(host, numbered(said)).unwrap();
        world.run_for(SECOND);
        assert_eq!(texts(&mut world, ours).len(), said as usize + 1);
    }
}

#[test]
fn a_page_that_thaws_in_time_and_a_slow_one_miss_nothing() {
    for reads in [None, Some(200)] {
        let (mut world, host) = hosted_on_ice(6);
        let slow = world.add_foreign(Foreign::page("slow"));
        joined(&mut world, &[slow]);
        world.broadcast(host, numbered(0)).unwrap();
        world.run_for(2 * SECOND);
        world.set_reads(slow, Some(0));
        let mut said = 1;
        say_all_that_fits(&mut world, host, &mut said, 3_000);
        world.run_for(15 * SECOND);
        world.set_reads(slow, reads);
        for _ in 0..20 {
            world.run_for(SECOND);
            say_all_that_fits(&mut world, host, &mut said, 3_000);
        }
        assert!(said > 2_000, "{said}: it goes on");
        world.run_for(20 * SECOND);
        let expected: Vec<u64> = (0..said.into()).collect();
        assert_eq!(numbers(&mut world, slow), expected);
        assert_eq!(world.count_events(host, is_doubt), 0);
    }
}

/// There are nodes that answer no ping: they are trusted to take what their channels take.
#[test]
fn who_answers_nothing_is_asked_once() {
    let (mut world, host) = hosted_on_ice(7);
    let mute = world.add_foreign(Foreign {
        pings: false,
        ..Foreign::native("mute")
    });
    joined(&mut world, &[mute]);
    for number in 0..2_000 {
        world.broadcast(host, numbered(number)).unwrap();
        world.run_for(Duration::from_millis(10));
    }
    world.run_for(SECOND);
    assert_eq!(numbers(&mut world, mute).len(), 2_000);
}

#[test]
fn an_idle_network_of_both_kinds_is_quiet() {
    for host in [None, Some(Foreign::page("")), Some(Foreign::native(""))] {
        let (mut world, host) = match host {
            None => hosted(6),
            Some(what) => foreign_hosted(6, what),
        };
        let nodes = [
            world.add_model(Config::default()),
            world.add_foreign(Foreign::native("native")),
            world.add_foreign(Foreign::page("page")),
            world.add_model(Config::default()),
        ];
        joined(&mut world, &nodes);
        let lossy = Path {
            loss_per_mille: 20,
            ..Path::default()
        };
        world.set_default_path(lossy);
        world.run_for(600 * SECOND);
        for node in nodes.into_iter().chain([host]) {
            let doubts = world.count_events(node, is_doubt);
            assert_eq!(doubts, 0, "{node:?}");
        }
    }
}

fn is_doubt(event: &Event) -> bool {
    matches!(
        event,
        Event::NodeSuspect { .. } | Event::NodeLost { .. } | Event::NodeLeft { .. }
    )
}

/// What is no frame, or no frame of a joiner, or speaks for another.
const NASTY: [&str; 12] = [
    "",
    "{",
    "null",
    r#"{"t":"m"}"#,
    r#"{"t":"m","d":5}"#,
    r#"{"t":"m","d":null,"from":"p0"}"#,
    r#"{"t":"s","q":99999999999,"d":{},"from":"p1"}"#,
    r#"{"t":"y","sys":"node_left","nodeId":"p1"}"#,
    r#"{"t":"y","sys":"roster","nodes":["x","y"]}"#,
    r#"{"t":"R","r":"Network full"}"#,
    r#"{"t":"P","ts":77}"#,
    r#"{"t":"p","ts":{}}"#,
];

/// A node of a drawn world, and what it knows.
struct Player {
    node: NodeIndex,
    /// The name, if it is not ours.
    foreign: Option<String>,
    life: u32,
    said: u32,
    /// What it heard last of each sender, by the sender's id or name, since that joined.
    heard: BTreeMap<String, (String, u32)>,
    /// What the sender of a payload must be called, by the text of its id.
    names: BTreeMap<String, String>,
}

struct Drawn {
    world: World,
    players: Vec<Player>,
    choices: FromSeed,
    by_foreign: bool,
}

impl Drawn {
    fn new(seed: u64) -> Self {
        let mut choices = FromSeed::new(seed);
        let mut world = World::new(seed);
        let by_foreign = choices.chance(300);
        let count = choices.range(2, 6);
        let mut players = Vec::new();
        for nth in 0..count {
            let foreign = if nth == 0 {
                by_foreign
            } else {
                choices.chance(500)
            };
            let name = if nth == 0 {
                CODE.to_string()
            } else {
                format!("p{nth}")
            };
            let what = Foreign {
                page: choices.chance(500),
                ..Foreign::page(name.clone())
            };
            let node = if foreign {
                world.add_foreign(what)
            } else {
                world.add_model(Config::default())
            };
            players.push(Player {
                node,
                foreign: foreign.then_some(name),
                life: 0,
                said: 0,
                heard: BTreeMap::new(),
                names: BTreeMap::new(),
            });
        }
        Self {
            world,
            players,
            choices,
            by_foreign,
        }
    }

    fn nth(&mut self) -> usize {
        self.choices.below(self.players.len() as u32) as usize
    }

    /// Everybody's words are numbered, and say whose they are.
    fn say(&mut self, nth: usize) -> bool {
        let player = &mut self.players[nth];
        let text = format!(r#"{{"o":"{nth}.{}","n":{}}}"#, player.life, player.said);
        let said = self.world.broadcast(player.node, text).is_ok();
        player.said += u32::from(said);
        said
    }

    fn show(&mut self, nth: usize) {
        let player = &self.players[nth];
        let text = format!(r#"{{"o":"{nth}.{}","n":0}}"#, player.life);
        let _ = self.world.broadcast_state(player.node, text);
    }

    /// Whose words these are: the dialect's name of the node, or its id.
    fn check_owner(&self, payload: &Value, from: &str, by: usize) {
        let owner = payload["o"].as_str().unwrap();
        let (nth, life) = owner.split_once('.').unwrap();
        let player = &self.players[nth.parse::<usize>().unwrap()];
        let name = match &player.foreign {
            Some(name) => name.clone(),
            // Its earlier lives had other ids.
            None if player.life.to_string() == life => self
                .world
                .id(player.node)
                .map_or_else(|| from.to_string(), |id| id.to_string()),
            None => from.to_string(),
        };
        assert_eq!(name, from, "{owner} is heard by {by} as another");
    }

    fn check_order(&mut self, by: usize, from: &str, payload: &Value) {
        let owner = payload["o"].as_str().unwrap().to_string();
        let number = u32::try_from(payload["n"].as_u64().unwrap()).unwrap();
        let heard = &mut self.players[by].heard;
        if let Some((before, last)) = heard.insert(from.to_string(), (owner.clone(), number))
            && before == owner
        {
            assert_eq!(
                last + 1,
                number,
                "of {owner} at {by}, at {:?}",
                self.world.now()
            );
        }
    }

    fn follow(&mut self) {
        for by in 0..self.players.len() {
            if self.players[by].foreign.is_some() {
                self.follow_foreign(by);
            } else {
                self.follow_wattle(by);
            }
        }
    }

    fn follow_wattle(&mut self, by: usize) {
        let node = self.players[by].node;
        for id in self.world.nodes(node) {
            if let Some(name) = self.world.foreign_name(node, id) {
                let name = name.to_string();
                self.players[by].names.insert(id.to_string(), name);
            }
        }
        for event in self.world.take_events(node) {
            let (from, payload, is_message) = match event {
                Event::NodeJoined { node } | Event::NodeLeft { node, .. } => {
                    self.players[by].heard.remove(&node.to_string());
                    continue;
                }
                Event::Ended { .. } => {
                    self.players[by].heard.clear();
                    continue;
                }
                Event::Message { from, payload } => (from, payload, true),
                Event::State { from, payload, .. } => (from, payload, false),
                _ => continue,
            };
            let payload: Value = serde_json::from_slice(&payload).unwrap();
            if payload.get("o").is_none() {
                continue;
            }
            let from = from.to_string();
            let name = self.players[by].names.get(&from).cloned();
            let name = if name.as_deref() == Some("") {
                Some(CODE.to_string())
            } else {
                name
            };
            let is_foreign_host = self.by_foreign && name.is_none();
            let name = name.unwrap_or_else(|| from.clone());
            if !is_foreign_host || payload["o"].as_str().unwrap().starts_with("0.") {
                let name = if is_foreign_host {
                    CODE.to_string()
                } else {
                    name
                };
                // In another's network a wattle node has a name, too: its id at the signaling server.
                if !self.by_foreign || self.is_foreign(&payload) {
                    self.check_owner(&payload, &name, by);
                }
            }
            if is_message {
                self.check_order(by, &from, &payload);
            }
        }
    }

    fn is_foreign(&self, payload: &Value) -> bool {
        let owner = payload["o"].as_str().unwrap();
        let nth: usize = owner.split_once('.').unwrap().0.parse().unwrap();
        self.players[nth].foreign.is_some()
    }

    fn follow_foreign(&mut self, by: usize) {
        let node = self.players[by].node;
        for event in self.world.take_events(node) {
            if matches!(event, Event::Ended { .. }) {
                self.players[by].heard.clear();
            }
        }
        for frame in self.world.take_frames(node) {
            let Ok(read) = serde_json::from_str::<Value>(&frame.text) else {
                panic!("{by} was told {}", frame.text);
            };
            let kind = read["t"].as_str().unwrap_or_default();
            if kind == "y" {
                if let Some(name) = read["nodeId"].as_str() {
                    self.players[by].heard.remove(name);
                }
                if read["sys"] == "roster" {
                    self.players[by].heard.clear();
                }
                continue;
            }
            let payload = &read["d"];
            if payload.get("o").is_none() {
                continue;
            }
            let from = read["from"].as_str().unwrap_or(&frame.of).to_string();
            let owner_is_host = payload["o"].as_str().unwrap().starts_with("0.");
            if self.is_foreign(payload) || !self.by_foreign && !owner_is_host {
                self.check_owner(payload, &from, by);
            }
            // A host hears of nobody's leaving: a new life begins anew.
            if kind == "m" && by > 0 {
                self.check_order(by, &from, payload);
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.world.now().plus(time);
        while self.world.now() < end {
            self.world.run_for(Duration::from_millis(20));
            self.follow();
        }
    }

    fn enter(&mut self, nth: usize) {
        let node = self.players[nth].node;
        if self.world.status(node) != Some(Status::Idle) {
            return;
        }
        let player = &mut self.players[nth];
        player.life += 1;
        player.said = 0;
        if nth == 0 {
            let hosting = Hosting::Signaling { code: Some(code()) };
            self.world.try_host(node, hosting).unwrap();
        } else {
            self.world.join(node, &code());
        }
    }

    fn trouble(&mut self) {
        let nth = self.nth();
        let other = self.nth();
        let (node, there) = (self.players[nth].node, self.players[other].node);
        match self.choices.below(14) {
            // Slow, frozen, or itself again.
            12 | 13 => {
                let reads = [None, Some(0), Some(5), Some(100)];
                let reads = self.choices.pick(&reads).copied().flatten();
                self.world.set_reads(node, reads);
            }
            0 => self.world.partition(node, there),
            1 | 2 => self.world.heal(node, there),
            3 if nth > 0 => self.world.isolate(node),
            4 => self.world.reconnect(node),
            5 if nth > 0 => {
                self.world.crash(node);
                self.world.restart(node);
                // What is still on the way is of another life.
                let player = &mut self.players[nth];
                player.heard.clear();
                player.life += 1;
                player.said = 0;
            }
            6 if nth > 0 => self.world.leave(node),
            7 => {
                let path = Path {
                    loss_per_mille: self.choices.below(200) as u16,
                    jitter: self
                        .choices
                        .duration(Duration::ZERO, Duration::from_millis(80)),
                    ..Path::default()
                };
                self.world.set_default_path(path);
            }
            8 => {
                self.world.set_signaling_faults(SignalingFaults {
                    loss_per_mille: self.choices.below(200) as u16,
                    duplicate_per_mille: self.choices.below(200) as u16,
                    ..SignalingFaults::default()
                });
            }
            9 => self.world.stop_server(),
            10 => self.world.start_server(),
            _ if self.players[nth].foreign.is_some() && nth > 0 && !self.by_foreign => {
                let text = self.choices.pick(&NASTY).copied().unwrap_or_default();
                let is_state = self.choices.chance(300);
                self.world.say_raw(node, is_state, text);
            }
            _ => {}
        }
    }

    fn all(&mut self) {
        for nth in 0..self.players.len() {
            self.enter(nth);
        }
        for _ in 0..self.choices.range(10, 120) {
            if self.choices.chance(200) {
                self.trouble();
            }
            for _ in 0..self.choices.below(6) {
                let nth = self.nth();
                self.say(nth);
            }
            let nth = self.nth();
            self.show(nth);
            let who = self.nth();
            if self.choices.chance(400) {
                self.enter(who);
            }
            let time = self
                .choices
                .duration(Duration::from_millis(1), Duration::from_millis(1_500));
            self.run(time);
        }
        self.world.heal_all();
        for player in &self.players {
            self.world.set_reads(player.node, None);
        }
        for (one, other) in self.pairs() {
            self.world.set_path(one, other, Path::default());
        }
        self.world.set_signaling_faults(SignalingFaults::default());
        self.world.start_server();
        let together = |drawn: &Self| {
            let count = drawn.players.len();
            drawn.players.iter().all(|player| match player.foreign {
                Some(_) => drawn.world.foreign_roster(player.node).len() + 1 == count,
                None => drawn.world.nodes(player.node).len() == count,
            })
        };
        // As long as who is lost may still be told to have left.
        let mut settled = 0;
        for _ in 0..300 {
            settled = if together(self) { settled + 1 } else { 0 };
            if settled > 30 {
                break;
            }
            for nth in 0..self.players.len() {
                self.enter(nth);
            }
            self.run(SECOND);
        }
        assert!(settled > 30, "they are not together: {:?}", self.rosters());
        for nth in 0..self.players.len() {
            assert!(self.say(nth), "{nth} cannot say anything");
            // A link that was dark and cannot be replaced goes on when SCTP tries again.
            for _ in 0..70 {
                self.run(SECOND);
                if self.all_heard(nth) {
                    break;
                }
            }
            for by in 0..self.players.len() {
                let heard = &self.players[by].heard;
                assert!(
                    self.has_heard(by, nth),
                    "{by} has not heard {nth}: {heard:?}"
                );
            }
        }
        let wattle = self
            .players
            .iter()
            .filter(|player| player.foreign.is_none());
        let wattle: Vec<NodeIndex> = wattle.map(|player| player.node).collect();
        self.world.run_for(60 * SECOND);
        for node in wattle {
            assert_eq!(
                self.world
                    .take_events(node)
                    .iter()
                    .filter(|event| is_doubt(event))
                    .count(),
                0
            );
        }
    }

    /// Whether one has heard the last words of another. (What foreign hosts hear is not kept.)
    fn has_heard(&self, by: usize, of: usize) -> bool {
        let player = &self.players[of];
        let last = (format!("{of}.{}", player.life), player.said - 1);
        let mut heard = self.players[by].heard.values();
        by == of || by == 0 && self.by_foreign || heard.any(|heard| *heard == last)
    }

    fn all_heard(&self, of: usize) -> bool {
        (0..self.players.len()).all(|by| self.has_heard(by, of))
    }

    fn pairs(&self) -> Vec<(NodeIndex, NodeIndex)> {
        let nodes = || self.players.iter().map(|player| player.node);
        let pairs = nodes().flat_map(|one| nodes().map(move |other| (one, other)));
        pairs.filter(|(one, other)| one < other).collect()
    }

    fn rosters(&self) -> Vec<(Option<Status>, usize)> {
        let players = self.players.iter();
        let seen = |player: &Player| match player.foreign {
            Some(_) => self.world.foreign_roster(player.node).len() + 1,
            None => self.world.nodes(player.node).len(),
        };
        players
            .map(|player| (self.world.status(player.node), seen(player)))
            .collect()
    }
}

fn run_worlds(seeds: core::ops::Range<u64>) {
    let mut failed = Vec::new();
    for seed in seeds {
        let run = std::panic::catch_unwind(|| Drawn::new(seed).all());
        if let Err(text) = run {
            let text = text.downcast_ref::<String>().cloned().unwrap_or_default();
            failed.push(format!("seed {seed}: {text}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// `SEED=7 cargo test … one_drawn_world -- --ignored --nocapture` shows what happens.
#[test]
#[ignore = "to look at one seed"]
fn one_drawn_world() {
    let seed = std::env::var("SEED").unwrap().parse().unwrap();
    let mut drawn = Drawn::new(seed);
    drawn.world.keep_timeline();
    let run = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| drawn.all()));
    std::println!("{}", drawn.world.timeline());
    assert!(run.is_ok());
}

#[test]
fn drawn_worlds_of_both_kinds_hold() {
    run_worlds(0..40);
}

#[test]
#[ignore = "takes a minute: as many as are run before a release"]
fn two_thousand_drawn_worlds_of_both_kinds_hold() {
    run_worlds(0..2_000);
}
