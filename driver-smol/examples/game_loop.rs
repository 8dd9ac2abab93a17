//! A game's loop without `async`, 60 frames a second: as in Bevy, macroquad or a loop of your own.
//!
//! ```text
//! cargo run --example game_loop host         hosts on this LAN and shows the code
//! cargo run --example game_loop join CODE    joins
//! cargo run --example game_loop              shows itself: three players in one process, on loopback
//! ```
//!
//! Everybody walks in a circle and scores a point now and then. Where somebody is goes out as a state,
//! 20 times a second, and is drawn through an [`Interpolator`]. Points are messages: a wish to the host,
//! which counts and tells all. Who comes later is told all scores by the host.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::wildcard_enum_match_arm,
    reason = "a program with std, that needs few of the events"
)]

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use wattle_smol::{
    Component, Config, Event, Hosting, Interpolator, Network, NodeId, Options, SendError, Timestamp,
};

const FRAME: Duration = Duration::from_micros(16_667);
/// A state goes out every third frame: 20 in a second.
const FRAMES_PER_STATE: u32 = 3;
const FRAMES_PER_POINT: u32 = 45;

/// What a player's program holds.
struct Player {
    name: &'static str,
    network: Network,
    /// Known as soon as we are in the network.
    host: Option<NodeId>,
    scores: BTreeMap<NodeId, u32>,
    others: BTreeMap<NodeId, Interpolator<2>>,
    /// What had no room yet, in order; to all, or to one.
    unsent: VecDeque<(Option<NodeId>, String)>,
    frames: u32,
    has_ended: bool,
}

impl Player {
    fn new(name: &'static str, network: Network) -> Self {
        Self {
            name,
            network,
            host: None,
            scores: BTreeMap::new(),
            others: BTreeMap::new(),
            unsent: VecDeque::new(),
            frames: 0,
            has_ended: false,
        }
    }

    /// All that a frame does, from what came to what is drawn.
    fn frame(&mut self, now: Timestamp) {
        while let Some(event) = self.network.try_next_event() {
            self.take(event, now);
        }
        if let Some(host) = self.host.filter(|_| !self.has_ended) {
            if self.frames.is_multiple_of(FRAMES_PER_STATE) {
                // The count of states tells the others when it was.
                let count = self.frames / FRAMES_PER_STATE;
                let [x, y] = place(count);
                let state = [count.to_le_bytes(), x.to_le_bytes(), y.to_le_bytes()].concat();
                // It fails only if the network has just ended, and the next frame will know.
                let _ = self.network.broadcast_state(state);
            }
            if self.frames % FRAMES_PER_POINT == FRAMES_PER_POINT - 1 {
                if host == self.network.id() {
                    self.count_point(host);
                } else {
                    self.unsent.push_back((Some(host), "point".to_owned()));
                }
            }
            self.frames += 1;
        }
        self.send();
    }

    fn take(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::NetworkCreated { code } => {
                println!("{}: the code is {code}", self.name);
                self.host = Some(self.network.id());
            }
            Event::Joined { nodes, .. } => self.host = nodes.first().copied(),
            Event::NodeJoined { node } => {
                let place = Interpolator::new([Component::Linear; 2]);
                self.others.insert(node, place);
                if self.host == Some(self.network.id()) {
                    // All that was before, for the newcomer alone. Whatever the host sends to all from
                    // here on comes behind it.
                    let scores = self.scores.iter();
                    let whole = scores.map(|(who, score)| (Some(node), format!("{score} {who}")));
                    self.unsent.extend(whole);
                }
            }
            Event::NodeLeft { node, reason } => {
                println!("{}: {node} left: {reason}", self.name);
                self.others.remove(&node);
            }
            Event::State { from, payload, .. } => {
                if let (Some(place), Some((count, at))) =
                    (self.others.get_mut(&from), read_state(&payload))
                {
                    let sent = FRAME * FRAMES_PER_STATE * count;
                    place.push(now, sent, at);
                }
            }
            Event::Message { from, payload } => {
                let text = String::from_utf8_lossy(&payload);
                if self.host == Some(self.network.id()) {
                    if text == "point" {
                        self.count_point(from);
                    }
                } else if self.host == Some(from)
                    && let Some((score, who)) = text.split_once(' ')
                    && let (Ok(score), Ok(who)) = (score.parse(), who.parse())
                {
                    self.scores.insert(who, score);
                }
            }
            Event::Ended { reason } => {
                println!("{}: the end: {reason} {}", self.name, reason.remedy());
                self.has_ended = true;
            }
            // SendError::Full is tried again each frame, so Writable need not be looked at.
            _ => {}
        }
    }

    /// The host: a point for somebody, and all are to know.
    fn count_point(&mut self, who: NodeId) {
        let score = self.scores.entry(who).or_default();
        *score += 1;
        self.unsent.push_back((None, format!("{score} {who}")));
    }

    /// Sends what waits, in order, as far as there is room.
    fn send(&mut self) {
        while let Some((to, text)) = self.unsent.front() {
            let sent = match to {
                Some(node) => self.network.send_to(*node, text.clone()),
                None => self.network.broadcast(text.clone()),
            };
            match sent {
                Err(SendError::Full) => return,
                // Whoever it was for has just left.
                Ok(()) | Err(_) => drop(self.unsent.pop_front()),
            }
        }
    }

    /// A game would draw here, each frame.
    fn draw(&self, now: Timestamp) {
        let score: u32 = self.scores.values().sum();
        let places = self.others.values().map(|place| {
            let [x, y] = place.sample(now).unwrap_or_default();
            format!("({x:.1}, {y:.1})")
        });
        let places: Vec<String> = places.collect();
        println!(
            "{}: {score} points; others at {}",
            self.name,
            places.join(" ")
        );
    }
}

/// Where a walker is after so many states: once round in three seconds.
fn place(count: u32) -> [f32; 2] {
    let turn = f64::from(count) / 60.0 * std::f64::consts::TAU;
    [turn.cos(), turn.sin()].map(|coordinate| coordinate as f32)
}

/// `None` if it is not what we send: it comes from somebody else's program.
fn read_state(payload: &[u8]) -> Option<(u32, [f32; 2])> {
    let (words, []) = payload.as_chunks::<4>() else {
        return None;
    };
    let [count, x, y] = words else { return None };
    let place = [f32::from_le_bytes(*x), f32::from_le_bytes(*y)];
    Some((u32::from_le_bytes(*count), place))
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // No STUN server is needed on a LAN; over the internet, leave the default.
    let config = || Config::default().with_ice_servers(Vec::new());
    let player = match args[..] {
        ["host"] => Player::new("host", Network::start_host(Hosting::Lan, config())?),
        ["join", code] => Player::new("joiner", Network::start_join(&code.parse()?, config())?),
        [] => return show(),
        _ => return Err("usage: game_loop [host | join CODE]".into()),
    };
    run(vec![player], |_, _| Ok(()))
}

/// Frame after frame until all have ended; `each` does what is beside the game.
fn run(
    mut players: Vec<Player>,
    mut each: impl FnMut(u32, &mut Vec<Player>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let mut frame = 0;
    while !players.iter().all(|player| player.has_ended) {
        let now = Timestamp::ZERO.plus(begin.elapsed());
        for player in &mut players {
            player.frame(now);
            if frame % 60 == 59 {
                player.draw(now);
            }
        }
        each(frame, &mut players)?;
        frame += 1;
        std::thread::sleep(FRAME);
    }
    Ok(())
}

/// A host, a joiner, and one who comes two seconds later; after four the host leaves.
fn show() -> Result<(), Box<dyn Error>> {
    let loopback = || {
        let config = Config::default().with_ice_servers(Vec::new());
        Options::new(config).with_bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
    };
    let host = Player::new("host", Network::start_host(Hosting::Lan, loopback())?);
    run(vec![host], |frame, players| {
        let Some(host) = players.first() else {
            return Ok(());
        };
        let code = host.network.code();
        if frame == 240 {
            host.network.start_leave();
        }
        for (at, name) in [(10, "joiner"), (120, "late")] {
            if let Some(code) = code.filter(|_| frame == at) {
                players.push(Player::new(name, Network::start_join(&code, loopback())?));
            }
        }
        Ok(())
    })
}
