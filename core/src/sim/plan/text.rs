//! A plan as text: one thing in a line, in an order that never changes.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::str::{FromStr, SplitAsciiWhitespace};
use core::time::Duration;

use super::places::{NAT_VERBS, STACKS, Stack};
use super::servers::{SERVERS, TURN_VERBS};
use super::settings::{Knob, Settings, Unit};
use super::{
    Action, KINDS, MOST_NODES, NODE_VERBS, Nat, NatVerb, NodeVerb, PAIR_VERBS, PairVerb, Plan,
    Repeat, SERVER_VERBS, ServerVerb, Spot, TOPOLOGIES, Timed, name_of, named,
};
use crate::sim::Knowledge;

/// A text is not a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("line {line}: {kind}")]
pub struct ParseError {
    /// In which line, from 1.
    pub line: u32,
    /// What is wrong there.
    pub kind: ParseErrorKind,
}

/// What is wrong in a line of a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// A word that means nothing there.
    #[error("{0:?} means nothing here")]
    Unknown(String),
    /// The line ends too early.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Something that should be a number or a time is not one.
    #[error("{word:?} is not {what}")]
    NotA {
        /// The word.
        word: String,
        /// What it should be.
        what: &'static str,
    },
    /// A node that the plan does not have (nodes are named before everything about them).
    #[error("there is no node {0}")]
    NoNode(u8),
    /// A NAT box that the plan does not have (boxes, too, are named before everything about them).
    #[error("there is no NAT box {0}")]
    NoNat(u8),
    /// An action is earlier than the one before it.
    #[error("it happens before the line above")]
    Order,
    /// Settings that no node takes.
    #[error("{0}")]
    Config(String),
}

type Kind = ParseErrorKind;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "topology {}", name_of(&TOPOLOGIES, self.topology))?;
        f.write_str("nodes")?;
        for kind in &self.nodes {
            write!(f, " {}", name_of(&KINDS, *kind))?;
        }
        writeln!(f)?;
        for nat in &self.nats {
            f.write_str("nat")?;
            if let Some(outer) = nat.behind {
                write!(f, " behind {outer}")?;
            }
            write_settings(f, &nat.config)?;
            writeln!(f)?;
        }
        if self.servers != Knowledge::Host {
            writeln!(f, "servers {}", name_of(&SERVERS, self.servers))?;
        }
        writeln!(f, "max-nodes {}", self.max_nodes)?;
        writeln!(f, "relay {}", on_off(self.relay))?;
        writeln!(f, "release {}", on_off(self.release))?;
        writeln!(f, "message {}", self.message)?;
        for timed in &self.actions {
            writeln!(f, "{timed}")?;
        }
        write!(f, "heal {} core", Time(self.heal_at))?;
        for node in &self.core {
            write!(f, " {node}")?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} {}", Time(self.at), self.action)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(verb, node) => write!(f, "{} {node}", name_of(&NODE_VERBS, *verb)),
            Self::Pair(verb, a, b) => write!(f, "{} {a} {b}", name_of(&PAIR_VERBS, *verb)),
            Self::Server(verb) => write!(f, "server {}", name_of(&SERVER_VERBS, *verb)),
            Self::Send { from, to, repeat } => {
                write!(f, "send {from} to ")?;
                match to {
                    Some(to) => write!(f, "{to}")?,
                    None => f.write_str("all")?,
                }
                write!(f, " {repeat}")
            }
            Self::State { from, repeat } => write!(f, "state {from} {repeat}"),
            Self::Path { direction, path } => {
                match direction {
                    Some((from, to)) => write!(f, "path {from} {to}")?,
                    None => f.write_str("path others")?,
                }
                write_settings(f, path)
            }
            Self::Quirks(quirks) => {
                f.write_str("quirks")?;
                write_settings(f, quirks)
            }
            Self::Signaling(faults) => {
                f.write_str("signaling")?;
                write_settings(f, faults)
            }
            Self::Clock(node, clock) => {
                write!(f, "clock {node}")?;
                write_settings(f, clock)
            }
            Self::Sleep(node, time) => write!(f, "sleep {node} {}", Time(*time)),
            Self::Roam(node, spot) => write!(f, "roam {node} {spot}"),
            Self::Nat(verb, nat) => write!(f, "{} nat {nat}", name_of(&NAT_VERBS, *verb)),
            Self::Reboot(nat, dark) => write!(f, "reboot nat {nat} {}", Time(*dark)),
            Self::Turn(verb) => write!(f, "turn {}", name_of(&TURN_VERBS, *verb)),
        }
    }
}

/// The settings that are not the usual ones.
fn write_settings<T: Settings>(f: &mut fmt::Formatter<'_>, it: &T) -> fmt::Result {
    for knob in T::KNOBS {
        let value = (knob.get)(it);
        if value != (knob.get)(&T::default()) {
            write!(f, " {}", knob.name)?;
            match knob.unit {
                Unit::Micros => write!(f, " {}", Time(Duration::from_micros(value)))?,
                Unit::Number => write!(f, " {value}")?,
                Unit::Flag => {}
                Unit::Word(words) => {
                    let place = usize::try_from(value).unwrap_or(usize::MAX);
                    write!(f, " {}", words.get(place).copied().unwrap_or("?"))?;
                }
            }
        }
    }
    Ok(())
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nat {
            Some(nat) => write!(f, "behind {nat}")?,
            None => f.write_str("internet")?,
        }
        if self.stack != Stack::Ipv4 {
            write!(f, " {}", name_of(&STACKS, self.stack))?;
        }
        Ok(())
    }
}

impl fmt::Display for Repeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "size {}", self.size)?;
        if (self.times, self.every) != (1, Duration::ZERO) {
            write!(f, " times {} every {}", self.times, Time(self.every))?;
        }
        Ok(())
    }
}

/// A time in whole milliseconds, or else in microseconds.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        if micros.is_multiple_of(1000) {
            write!(f, "{}ms", micros / 1000)
        } else {
            write!(f, "{micros}us")
        }
    }
}

const fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl FromStr for Plan {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut plan = Self::new(0, 0);
        let mut last = 0;
        for (line, text) in (1..).zip(text.lines()) {
            last = line;
            let text = text.split('#').next().unwrap_or_default();
            let mut words = Words(text.split_ascii_whitespace());
            words
                .line(&mut plan)
                .map_err(|kind| ParseError { line, kind })?;
        }
        let whole = plan.check().map_err(|kind| ParseError { line: last, kind });
        whole.map(|()| plan)
    }
}

impl Plan {
    fn check(&self) -> Result<(), Kind> {
        if self.nodes.is_empty() {
            return Err(Kind::Missing("a line with the nodes"));
        }
        self.config()
            .map(|_| ())
            .map_err(|error| Kind::Config(error.to_string()))
    }
}

/// The words of a line that have not been read.
struct Words<'a>(SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    fn line(&mut self, plan: &mut Plan) -> Result<(), Kind> {
        let Some(first) = self.0.next() else {
            return Ok(());
        };
        match first {
            "seed" => plan.seed = self.number("a seed")?,
            "topology" => plan.topology = self.one_of(&TOPOLOGIES, "a topology")?,
            "nodes" => {
                plan.nodes = self.rest(|words| words.one_of(&KINDS, "a kind of node"))?;
                if plan.nodes.len() > MOST_NODES {
                    return Err(Kind::Unknown("a 65th node".into()));
                }
            }
            "nat" => {
                let behind = if self.skip("behind") {
                    Some(self.nat(plan)?)
                } else {
                    None
                };
                let config = self.settings()?;
                if plan.nats.len() >= MOST_NODES {
                    return Err(Kind::Unknown("a 65th NAT box".into()));
                }
                plan.nats.push(Nat { behind, config });
            }
            "servers" => plan.servers = self.one_of(&SERVERS, "none, stun or turn")?,
            "max-nodes" => plan.max_nodes = self.number("a number of nodes")?,
            "relay" => plan.relay = self.one_of(&ON_OFF, "on or off")?,
            "release" => plan.release = self.one_of(&ON_OFF, "on or off")?,
            "message" => plan.message = self.number("a size")?,
            "at" => {
                let at = self.time()?;
                if plan.actions.last().is_some_and(|last| last.at > at) {
                    return Err(Kind::Order);
                }
                let action = self.action(plan)?;
                plan.actions.push(Timed { at, action });
            }
            "heal" => {
                plan.heal_at = self.time()?;
                self.expect("core")?;
                plan.core = self.rest(|words| words.node(plan))?;
                plan.core.sort_unstable();
                plan.core.dedup();
            }
            other => return Err(Kind::Unknown(other.into())),
        }
        self.end()
    }

    fn action(&mut self, plan: &Plan) -> Result<Action, Kind> {
        let word = self.word("what happens")?;
        if let Some(verb) = named::<NodeVerb>(&NODE_VERBS, word) {
            return Ok(Action::Node(verb, self.node(plan)?));
        }
        if let Some(verb) = named::<PairVerb>(&PAIR_VERBS, word) {
            return Ok(Action::Pair(verb, self.node(plan)?, self.node(plan)?));
        }
        if let Some(verb) = named::<NatVerb>(&NAT_VERBS, word) {
            self.expect("nat")?;
            return Ok(Action::Nat(verb, self.nat(plan)?));
        }
        match word {
            "server" => Ok(Action::Server(
                self.one_of::<ServerVerb>(&SERVER_VERBS, "what the server does")?,
            )),
            "send" => {
                let from = self.node(plan)?;
                self.expect("to")?;
                let to = if self.skip("all") {
                    None
                } else {
                    Some(self.node(plan)?)
                };
                let repeat = self.repeat()?;
                Ok(Action::Send { from, to, repeat })
            }
            "state" => {
                let from = self.node(plan)?;
                let repeat = self.repeat()?;
                Ok(Action::State { from, repeat })
            }
            "path" => {
                let direction = if self.skip("others") {
                    None
                } else {
                    Some((self.node(plan)?, self.node(plan)?))
                };
                let path = self.settings()?;
                Ok(Action::Path { direction, path })
            }
            "quirks" => Ok(Action::Quirks(self.settings()?)),
            "signaling" => Ok(Action::Signaling(self.settings()?)),
            "clock" => Ok(Action::Clock(self.node(plan)?, self.settings()?)),
            "sleep" => Ok(Action::Sleep(self.node(plan)?, self.time()?)),
            "roam" => Ok(Action::Roam(self.node(plan)?, self.spot(plan)?)),
            "reboot" => {
                self.expect("nat")?;
                Ok(Action::Reboot(self.nat(plan)?, self.time()?))
            }
            "turn" => Ok(Action::Turn(
                self.one_of(&TURN_VERBS, "what the TURN server does")?,
            )),
            other => Err(Kind::Unknown(other.into())),
        }
    }

    fn spot(&mut self, plan: &Plan) -> Result<Spot, Kind> {
        let nat = if self.skip("internet") {
            None
        } else {
            self.expect("behind")?;
            Some(self.nat(plan)?)
        };
        let word = self.0.clone().next().unwrap_or_default();
        let stack = named(&STACKS, word);
        if stack.is_some() {
            let _ = self.0.next();
        }
        let stack = stack.unwrap_or(Stack::Ipv4);
        Ok(Spot { nat, stack })
    }

    fn nat(&mut self, plan: &Plan) -> Result<u8, Kind> {
        let nat: u8 = self.number("a NAT box")?;
        if usize::from(nat) < plan.nats.len() {
            Ok(nat)
        } else {
            Err(Kind::NoNat(nat))
        }
    }

    fn settings<T: Settings>(&mut self) -> Result<T, Kind> {
        let mut it = T::default();
        while let Some(word) = self.0.next() {
            let is_it = |knob: &&Knob<T>| knob.name == word;
            let Some(knob) = T::KNOBS.iter().find(is_it) else {
                return Err(Kind::Unknown(word.into()));
            };
            let value = match knob.unit {
                Unit::Micros => u64::try_from(self.time()?.as_micros()).unwrap_or(u64::MAX),
                Unit::Number => self.number("a number")?,
                Unit::Flag => 1,
                Unit::Word(words) => {
                    let word = self.word("a word")?;
                    let place = words.iter().position(|other| *other == word);
                    let place = place.ok_or_else(|| Kind::Unknown(word.into()))?;
                    u64::try_from(place).unwrap_or(0)
                }
            };
            (knob.set)(&mut it, value);
        }
        Ok(it)
    }

    fn repeat(&mut self) -> Result<Repeat, Kind> {
        self.expect("size")?;
        let size = self.number("a size")?;
        let (mut times, mut every) = (1, Duration::ZERO);
        if self.skip("times") {
            times = self.number("a number of times")?;
            self.expect("every")?;
            every = self.time()?;
        }
        Ok(Repeat { size, times, every })
    }

    fn node(&mut self, plan: &Plan) -> Result<u8, Kind> {
        let node: u8 = self.number("a node")?;
        if usize::from(node) < plan.nodes.len() {
            Ok(node)
        } else {
            Err(Kind::NoNode(node))
        }
    }

    fn time(&mut self) -> Result<Duration, Kind> {
        let word = self.word("a time")?;
        let not_a_time = || Kind::NotA {
            word: word.into(),
            what: "a time, as in 1500ms or 250us",
        };
        let (digits, micros) = match (word.strip_suffix("ms"), word.strip_suffix("us")) {
            (Some(digits), _) => (digits, 1000),
            (None, Some(digits)) => (digits, 1),
            (None, None) => return Err(not_a_time()),
        };
        let number: u32 = digits.parse().map_err(|_| not_a_time())?;
        Ok(Duration::from_micros(u64::from(number) * micros))
    }

    fn number<T: FromStr>(&mut self, what: &'static str) -> Result<T, Kind> {
        let word = self.word(what)?;
        word.parse().map_err(|_| Kind::NotA {
            word: word.into(),
            what,
        })
    }

    fn one_of<T: Copy>(
        &mut self,
        table: &[(T, &'static str)],
        what: &'static str,
    ) -> Result<T, Kind> {
        let word = self.word(what)?;
        named(table, word).ok_or_else(|| Kind::NotA {
            word: word.into(),
            what,
        })
    }

    fn rest<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Kind>,
    ) -> Result<Vec<T>, Kind> {
        let mut all = Vec::new();
        while self.0.clone().next().is_some() {
            all.push(read(self)?);
        }
        Ok(all)
    }

    fn word(&mut self, what: &'static str) -> Result<&'a str, Kind> {
        self.0.next().ok_or(Kind::Missing(what))
    }

    fn skip(&mut self, word: &str) -> bool {
        let there = self.0.clone().next() == Some(word);
        if there {
            let _ = self.0.next();
        }
        there
    }

    fn expect(&mut self, word: &'static str) -> Result<(), Kind> {
        match self.word(word)? {
            found if found == word => Ok(()),
            other => Err(Kind::Unknown(other.into())),
        }
    }

    fn end(&mut self) -> Result<(), Kind> {
        match self.0.next() {
            None => Ok(()),
            Some(word) => Err(Kind::Unknown(word.into())),
        }
    }
}

const ON_OFF: [(bool, &str); 2] = [(true, "on"), (false, "off")];

#[cfg(test)]
mod tests {
    use super::super::draw::Family;
    use super::*;
    use crate::sim::choices::FromSeed;

    #[test]
    fn what_is_printed_is_read_again() {
        for family in Family::ALL {
            for seed in 0..200 {
                let nodes = 2 + (seed % 7) as u8;
                let plan = Plan::draw(family, nodes, seed, &mut FromSeed::new(seed));
                let text = plan.to_string();
                assert_eq!(text.parse(), Ok(plan), "{text}");
            }
        }
    }

    #[test]
    fn every_line_has_its_form() {
        let text = "\
seed 18446744073709551615
topology mesh
nodes model native model
nat
nat behind 0 mapping port filtering none ports random lifetime 30000ms no-hairpin ipv6 open
servers turn
max-nodes 3
relay off
release on
message 2048
at 0ms roam 0 internet dual
at 0ms roam 1 behind 1
at 0ms roam 2 behind 0 ipv6
at 0ms host 0
at 0ms path others delay 30ms loss 5
at 1ms join 1
at 2ms path 1 2 delay 1500us jitter 7ms cut
at 3ms send 1 to all size 0
at 3ms send 1 to 2 size 9 times 3 every 50ms
at 3ms state 2 size 100 times 2 every 20ms
at 4ms partition 1 2
at 5ms isolate 1
at 6ms server stop
at 6ms quirks stale 500 flicker 20
at 6ms signaling jitter 250us refusing
at 6ms clock 1 slow 200 late 3ms
at 7ms sleep 2 9000ms
at 8ms clog 1 2
at 8ms rebind nat 0
at 8ms readdress nat 1
at 8ms block nat 1
at 8ms unblock nat 1
at 8ms reboot nat 0 500ms
at 8ms turn silence
at 8ms turn speak
at 8ms turn restart
at 8ms turn renew
heal 9000ms core 0 2
";
        let plan: Plan = text.parse().unwrap();
        assert_eq!(plan.to_string(), text);
    }

    #[test]
    fn comments_and_indentation_mean_nothing() {
        let plan: Plan = "\n  nodes model # just one\n# at 5ms join 9\n"
            .parse()
            .unwrap();
        assert_eq!(
            plan,
            Plan {
                core: Vec::new(),
                ..Plan::new(0, 1)
            }
        );
    }

    #[test]
    fn errors_name_the_line_and_what_is_wrong_with_it() {
        let wrong = |text: &str| {
            let error = text.parse::<Plan>().unwrap_err();
            (error.line, error.kind.to_string())
        };
        let cases = [
            ("seed x", 1, "\"x\" is not a seed"),
            ("seed 1 2", 1, "\"2\" means nothing here"),
            (
                "nodes model\nat 5ms jump 0",
                2,
                "\"jump\" means nothing here",
            ),
            ("nodes model\nat 5ms join 1", 2, "there is no node 1"),
            ("nodes model\nat 5ms join", 2, "a node is missing"),
            ("nodes model\nnat behind 0", 2, "there is no NAT box 0"),
            (
                "nodes model\nnat\nat 5ms rebind 0",
                3,
                "\"0\" means nothing here",
            ),
            (
                "nodes model\nnat mapping all",
                2,
                "\"all\" means nothing here",
            ),
            (
                "nodes model\nat 5 join 0",
                2,
                "\"5\" is not a time, as in 1500ms or 250us",
            ),
            (
                "nodes model\nat 5ms join 0\nat 4ms join 0",
                3,
                "it happens before the line above",
            ),
            (
                "nodes model\nat 5ms path others warp 9",
                2,
                "\"warp\" means nothing here",
            ),
            (
                "nodes model\nat 5ms send 0 all size 1",
                2,
                "\"all\" means nothing here",
            ),
            ("nodes cat", 1, "\"cat\" is not a kind of node"),
            ("seed 1", 1, "a line with the nodes is missing"),
            (
                "nodes model\nmax-nodes 1",
                2,
                "a network has 2 to 64 nodes, not 1",
            ),
        ];
        for (text, line, what) in cases {
            assert_eq!(wrong(text), (line, what.into()), "{text}");
        }
    }
}
