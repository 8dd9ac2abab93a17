//! Signs of life of nodes that speak the JSON dialect: those that answer pings, on one channel or on both,
//! and those that know none.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::room::{HOST, Room};
use crate::config::{Config, Probing};
use crate::event::Event;
use crate::id::LinkId;
use crate::io::{Channel, LinkUpdate};

const MINUTE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(50);

impl Room {
    /// The node answers what it was asked on these channels; gives on which it was asked at all.
    fn answers(&mut self, link: LinkId, listens_on: &[Channel]) -> Vec<Channel> {
        let said = core::mem::take(&mut self.hands.get_mut(&link).unwrap().said);
        let is_ping = |text: &String| text.starts_with(r#"{"t":"p""#);
        let pings: Vec<_> = said.into_iter().filter(|(_, text)| is_ping(text)).collect();
        for (channel, ping) in &pings {
            if listens_on.contains(channel) {
                let pong = ping.replace(r#""t":"p""#, r#""t":"P""#);
                self.say_bytes(link, *channel, pong.into());
            }
        }
        pings.into_iter().map(|(channel, _)| channel).collect()
    }

    /// How often the host doubted somebody.
    fn doubts(&self) -> usize {
        let doubts = |event: &&Event| {
            matches!(
                event,
                Event::NodeSuspect { .. } | Event::NodeLost { .. } | Event::NodeLeft { .. }
            )
        };
        self.nodes[HOST].events.iter().filter(doubts).count()
    }

    fn idles(&mut self, time: Duration, mut step: impl FnMut(&mut Self, Duration)) {
        let end = self.now.plus(time);
        while self.now < end {
            self.pass(STEP);
            let rest = end.since(self.now);
            step(self, rest);
        }
    }
}

#[test]
fn a_node_that_listens_on_one_channel_alone_is_never_suspected() {
    for listens_on in [Channel::Data, Channel::State] {
        for probing in [Probing::ByFrames, Probing::ByBoth] {
            let mut room = Room::new(Config::default().with_probing(probing));
            let clay = room.add_clayground("clay");
            let mut asked = [0, 0];
            room.idles(10 * MINUTE, |room, _| {
                for channel in room.answers(clay, &[listens_on]) {
                    asked[usize::from(channel == Channel::State)] += 1;
                }
            });
            assert_eq!(room.doubts(), 0, "{listens_on:?} {probing:?}");
            let [data, state] = asked;
            let (heard, vain) = if listens_on == Channel::Data {
                (data, state)
            } else {
                (state, data)
            };
            assert!(heard > 250 && vain < 3, "{asked:?}");
            // It is asked in vain at last.
            room.pass(MINUTE);
            assert!(room.doubts() > 0);
        }
    }
}

#[test]
fn a_node_that_knows_no_pings_is_never_suspected_while_its_browser_checks() {
    // How far apart both sides' checks are, if they fall together: in Chromium, and at most.
    for apart in [Duration::from_millis(2_500), Duration::from_secs(6)] {
        let mut room = Room::new(Config::default().with_probing(Probing::ByBoth));
        let page = room.add_page("page");
        let mut last = room.now;
        room.idles(10 * MINUTE, |room, _| {
            let _ = room.answers(page, &[]);
            if room.now.since(last) >= apart {
                last = room.now;
                let round_trip = Some(Duration::from_millis(3));
                room.tell_host(page, LinkUpdate::Alive { round_trip });
            }
        });
        assert_eq!(room.doubts(), 0, "{apart:?}");
        // Then its machine is gone.
        room.pass(Duration::from_secs(8));
        assert_eq!(room.doubts(), 1);
        room.pass(Duration::from_secs(8));
        assert_eq!(room.doubts(), 2);
        room.pass(Duration::from_secs(20));
        assert_eq!(room.doubts(), 3);
    }
}

#[test]
fn a_node_that_has_answered_is_suspected_as_any_other() {
    let mut room = Room::new(Config::default().with_probing(Probing::ByBoth));
    let clay = room.add_clayground("clay");
    room.idles(MINUTE, |room, _| {
        let _ = room.answers(clay, &Channel::ALL);
    });
    assert_eq!(room.doubts(), 0);
    room.pass(Duration::from_millis(2_500));
    assert_eq!(room.doubts(), 1);
}

#[test]
fn what_comes_on_the_connection_for_states_is_life() {
    let mut room = Room::new(Config::default());
    let page = room.add_page("page");
    let states = room.offer_unmarked("page", "second", "clay_state");
    let states = states.expect("the host opens another link");
    room.opens(states, Channel::Data);
    let mut sequence = 0;
    room.idles(MINUTE, |room, _| {
        let _ = room.answers(page, &[]);
        let _ = room.answers(states, &[]);
        sequence += 1;
        let state = alloc::format!(r#"{{"t":"s","q":{sequence},"d":{{}}}}"#);
        room.says(states, &state);
    });
    assert_eq!(room.doubts(), 0);
}
