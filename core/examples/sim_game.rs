//! A small game with a bug that only some seeds show, and the test that finds it.
//!
//! ```text
//! cargo run -p wattle-core --features sim --example sim_game              finds it: ends with 1
//! cargo run -p wattle-core --features sim --example sim_game -- --fixed   the cure: ends with 0
//! … --example sim_game -- [--fixed] 1000                                  so many seeds
//! ```
//!
//! Coins appear, and whoever grabs one first has it. Here are a game that knows nothing of networks
//! ([`Game`]), a world to play it in ([`play`]) and a loop over seeds ([`main`]). The document
//! `docs/simulation.md` explains how to do the same with a game of yours.

#![allow(
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test's program with std; a player's number is its place"
)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use wattle_core::sim::choices::{Choices as _, FromSeed};
use wattle_core::sim::{Change, NodeIndex, Path, World};
use wattle_core::{Config, Event, NodeId};

// ------------------------------------------------------------------------------------- the game

/// Who decides whose a coin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Everybody: the first grab that I see counts. It works on the desk of whoever wrote it, where
    /// messages take no time.
    EachForThemselves,
    /// The host: a grab is only a wish until the host says whose the coin is.
    HostDecides,
}

/// What a player's machine knows. What happens goes in as calls and what is to be sent comes out; it
/// has no socket, no clock and no randomness of its own. So it runs in a test as in the real game.
#[derive(Debug)]
struct Game {
    rule: Rule,
    me: NodeId,
    host: NodeId,
    owners: BTreeMap<u8, NodeId>,
}

/// What is to be sent.
#[derive(Debug)]
enum Outgoing {
    ToAll(String),
    ToHost(String),
}

impl Game {
    const fn new(rule: Rule, me: NodeId, host: NodeId) -> Self {
        let owners = BTreeMap::new();
        Self {
            rule,
            me,
            host,
            owners,
        }
    }

    /// The player reaches for a coin.
    fn grab(&mut self, coin: u8) -> Option<Outgoing> {
        if self.rule == Rule::EachForThemselves || self.me == self.host {
            return self.award(coin, self.me);
        }
        Some(Outgoing::ToHost(format!("grab {coin}")))
    }

    /// A message came.
    fn message(&mut self, from: NodeId, text: &str) -> Option<Outgoing> {
        if let Some(coin) = text.strip_prefix("grab ") {
            let answer = self.award(coin.parse().ok()?, from);
            // Who sent it has told the others, too.
            return answer.filter(|_| self.rule == Rule::HostDecides);
        }
        let (coin, owner) = text.strip_prefix("coin ")?.split_once(" is of ")?;
        if from == self.host {
            self.owners.insert(coin.parse().ok()?, owner.parse().ok()?);
        }
        None
    }

    /// The coin is this player's, if it is still free; and the others are to know.
    fn award(&mut self, coin: u8, player: NodeId) -> Option<Outgoing> {
        if self.owners.contains_key(&coin) {
            return None;
        }
        self.owners.insert(coin, player);
        Some(Outgoing::ToAll(match self.rule {
            Rule::EachForThemselves => format!("grab {coin}"),
            Rule::HostDecides => format!("coin {coin} is of {player}"),
        }))
    }
}

// ------------------------------------------------------------------------------------ the world

const PLAYERS: [&str; 3] = ["anna", "ben", "carla"];
const COINS: u8 = 3;
/// How long after each other the coins appear.
const PAUSE: Duration = Duration::from_secs(2);
/// How often the game looks what came, and what its player does.
const TICK: Duration = Duration::from_millis(10);
/// How long one player's radio is gone at most, on the phones.
const GAP: Duration = Duration::from_millis(1500);

/// The networks in which the game is played.
const NETWORKS: [&str; 3] = ["desk", "wifi", "phones"];

/// The path between any two players there.
fn path(network: &str) -> Path {
    let (delay, tail, jitter, loss_per_mille) = match network {
        "desk" => (1, 0, 0, 0),
        "wifi" => (8, 4, 0, 5),
        _ => (35, 20, 30, 20),
    };
    Path {
        delay: Duration::from_millis(delay),
        tail: Duration::from_millis(tail),
        jitter: Duration::from_millis(jitter),
        loss_per_mille,
        ..Path::default()
    }
}

/// Plays one game and compares what the players hold in the end: the first coin that is not the same
/// player's for all. Everything that is left to chance follows from the seed.
fn play(seed: u64, network: &str, rule: Rule, world: &mut World) -> Option<u8> {
    let mut choices = FromSeed::new(seed);
    let nodes = PLAYERS.map(|name| {
        let node = world.add_model(Config::default());
        world.set_name(node, name);
        node
    });
    world.set_default_path(path(network));
    world.assemble(&nodes);
    let host = world.nodes(nodes[0])[0];
    let mut games = nodes.map(|node| Game::new(rule, world.id(node).unwrap_or(host), host));

    // A coin appears, and each player reaches for it as fast as it can.
    let start = world.now();
    let mut hands = Vec::new();
    for coin in 0..COINS {
        for player in 0..PLAYERS.len() {
            let reaction =
                choices.duration(Duration::from_millis(300), Duration::from_millis(1800));
            hands.push((start.plus(PAUSE * coin.into() + reaction), player, coin));
        }
    }
    hands.sort_unstable();
    if network == "phones" {
        // One of them drives through a tunnel.
        let node = nodes[choices.range(0, 2) as usize];
        let cut = start.plus(choices.duration(Duration::ZERO, PAUSE * COINS.into()));
        world.at(cut, Change::Isolate { node });
        let back = cut.plus(choices.duration(Duration::ZERO, GAP));
        world.at(back, Change::Reconnect { node });
    }

    // The world and the game's ticks, side by side; and some more seconds, until all has arrived.
    let end = start.plus(PAUSE * COINS.into() + Duration::from_secs(5));
    let mut hands = hands.into_iter().peekable();
    while world.now() < end {
        world.run_for(TICK);
        for (node, game) in nodes.iter().zip(&mut games) {
            for event in world.take_events(*node) {
                if let Event::Message { from, payload } = event {
                    let answer = game.message(from, &String::from_utf8_lossy(&payload));
                    carry(world, *node, game, answer);
                }
            }
        }
        while let Some((_, player, coin)) = hands.next_if(|(at, ..)| *at <= world.now()) {
            // Whoever sees that a coin is gone does not reach for it.
            if !games[player].owners.contains_key(&coin) {
                world.note(nodes[player], format!("reaches for coin {coin}"));
                let wish = games[player].grab(coin);
                carry(world, nodes[player], &games[player], wish);
            }
        }
    }
    for (node, game) in nodes.iter().zip(&games) {
        assert_eq!(world.nodes(*node).len(), PLAYERS.len(), "nobody has left");
        for (coin, owner) in &game.owners {
            world.note(*node, format!("believes that coin {coin} is of {owner}"));
        }
    }
    let owners = |coin: u8| games.each_ref().map(|game| game.owners.get(&coin).copied());
    (0..COINS).find(|coin| owners(*coin).windows(2).any(|two| two[0] != two[1]))
}

/// Gives to the network what the game wants to be sent.
fn carry(world: &mut World, node: NodeIndex, game: &Game, outgoing: Option<Outgoing>) {
    let sent = match outgoing {
        Some(Outgoing::ToAll(text)) => world.broadcast(node, text),
        Some(Outgoing::ToHost(text)) => world.send_to(node, game.host, text),
        None => return,
    };
    assert_eq!(sent, Ok(()), "so few messages always have room");
}

// ------------------------------------------------------------------------------- the many seeds

fn main() -> ExitCode {
    let (mut rule, mut seeds) = (Rule::EachForThemselves, 200);
    for argument in std::env::args().skip(1) {
        match (argument.as_str(), argument.parse()) {
            ("--fixed", _) => rule = Rule::HostDecides,
            (_, Ok(number)) => seeds = number,
            _ => {
                eprintln!("usage: sim_game [--fixed] [SEEDS]");
                return ExitCode::from(2);
            }
        }
    }
    let mut first = None;
    println!("{rule:?}: seeds in which the players do not agree whose a coin is");
    for network in NETWORKS {
        let run = |seed| play(seed, network, rule, &mut World::new(seed)).map(|coin| (seed, coin));
        let failed: Vec<(u64, u8)> = (0..seeds).filter_map(run).collect();
        println!("{network:>9}: {:>4} of {seeds}", failed.len());
        let failure = failed.first().map(|(seed, coin)| (network, *seed, *coin));
        first = first.or(failure);
    }
    let Some((network, seed, coin)) = first else {
        return ExitCode::SUCCESS;
    };
    // The same seed once more, with all that happens as text; of that, what the games did and heard.
    println!("\nseed {seed}, {network}: what happened to coin {coin}");
    let mut world = World::new(seed);
    world.keep_timeline();
    play(seed, network, rule, &mut world);
    for line in world.timeline().lines() {
        let is_about = ["grab ", "coin "].map(|word| line.contains(&format!("{word}{coin}")));
        if is_about.contains(&true) && (line.contains("--") || line.contains("Event(")) {
            println!("{line}");
        }
    }
    println!("\nWith --fixed the host decides, and no seed fails.");
    ExitCode::FAILURE
}
