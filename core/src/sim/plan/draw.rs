//! Plans are drawn: first which kinds of trouble there are at all, then the trouble.

use alloc::vec::Vec;
use core::str::FromStr;
use core::time::Duration;

use super::settings::Settings as _;
use super::{
    Action, NodeKind, NodeVerb, PairVerb, Plan, Repeat, ServerVerb, Timed, places, servers,
};
use crate::config::Topology;
use crate::sim::choices::Choices;
use crate::sim::{Clock, Path, Quirks, SignalingFaults};

/// What kind of plan is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Family {
    /// Model nodes in a star.
    Star,
    /// Model nodes in a mesh.
    Mesh,
    /// Star or mesh, with some native nodes.
    Mixed,
}

/// A text names no family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("a family of plans is one of: star, mesh, mixed")]
pub struct FamilyError;

impl Family {
    /// All families.
    pub const ALL: [Self; 3] = [Self::Star, Self::Mesh, Self::Mixed];

    /// The family's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Star => "star",
            Self::Mesh => "mesh",
            Self::Mixed => "mixed",
        }
    }
}

impl FromStr for Family {
    type Err = FamilyError;

    fn from_str(text: &str) -> Result<Self, FamilyError> {
        let found = Self::ALL.into_iter().find(|family| family.name() == text);
        found.ok_or(FamilyError)
    }
}

/// A kind of trouble, with what undoes it.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// This happens to a node, and later that.
    Node(NodeVerb, Option<NodeVerb>),
    /// This happens between two nodes, and later that.
    Pair(PairVerb, PairVerb),
    Server,
    Path,
    PathOfAll,
    Quirks,
    Signaling,
    Clock,
    Sleep,
}

/// Every kind of trouble: a new one is one line here.
const TROUBLES: [Trouble; 15] = [
    Trouble::Node(NodeVerb::Leave, Some(NodeVerb::Join)),
    Trouble::Node(NodeVerb::Kick, Some(NodeVerb::Join)),
    Trouble::Node(NodeVerb::Join, Some(NodeVerb::Leave)),
    Trouble::Node(NodeVerb::Pause, Some(NodeVerb::Resume)),
    Trouble::Node(NodeVerb::Isolate, Some(NodeVerb::Reconnect)),
    Trouble::Pair(PairVerb::Partition, PairVerb::Heal),
    Trouble::Pair(PairVerb::Cut, PairVerb::Heal),
    Trouble::Pair(PairVerb::Clog, PairVerb::Unclog),
    Trouble::Server,
    Trouble::Path,
    Trouble::PathOfAll,
    Trouble::Quirks,
    Trouble::Signaling,
    Trouble::Clock,
    Trouble::Sleep,
];
/// Drawn besides those above, since two things happen at its end: it restarts, and enters again.
const CRASH: u32 = 400;

/// How much of everything, at most.
const MOST_TROUBLES: u32 = 24;
const MOST_TALKS: u32 = 8;
const LONGEST: Duration = Duration::from_secs(40);

impl Plan {
    /// Draws a plan of this family with this many nodes (at least one, at most 64).
    ///
    /// The seed is the world's; the plan depends on `choices` alone.
    #[must_use]
    pub fn draw(family: Family, nodes: u8, seed: u64, choices: &mut impl Choices) -> Self {
        let nodes = nodes.clamp(1, 64);
        let mut plan = Self::new(seed, nodes);
        let mesh = match family {
            Family::Star => false,
            Family::Mesh => true,
            Family::Mixed => choices.chance(500),
        };
        if mesh {
            plan.topology = Topology::Mesh;
        }
        if family == Family::Mixed {
            for kind in &mut plan.nodes {
                if choices.chance(300) {
                    *kind = NodeKind::Native;
                }
            }
            // A network of both kinds is none: model links and real ones cannot talk.
            if plan.nodes.contains(&NodeKind::Native) {
                plan.nodes.fill(NodeKind::Native);
            }
        }
        let mut drawing = Drawing {
            nodes,
            length: choices.duration(Duration::from_secs(2), LONGEST),
            actions: Vec::new(),
            choices,
        };
        drawing.settings(&mut plan);
        drawing.entering();
        drawing.talks(plan.message);
        drawing.troubles();
        plan.heal_at = drawing.length;
        plan.core = drawing.core();
        plan.actions = drawing.actions;
        places::draw(&mut plan, choices);
        servers::draw(&mut plan, choices);
        plan.actions.retain(|timed| timed.at <= plan.heal_at);
        // Stable: what was drawn first happens first.
        plan.actions.sort_by_key(|timed| timed.at);
        plan
    }
}

struct Drawing<'c, C> {
    nodes: u8,
    length: Duration,
    actions: Vec<Timed>,
    choices: &'c mut C,
}

impl<C: Choices> Drawing<'_, C> {
    fn settings(&mut self, plan: &mut Plan) {
        plan.max_nodes = self.nodes.max(2);
        if self.choices.chance(250) {
            let less = self.choices.range(1, 3);
            let fewer = u32::from(plan.max_nodes).saturating_sub(less).max(2);
            plan.max_nodes = u8::try_from(fewer).unwrap_or(2);
        }
        plan.relay = plan.topology == Topology::Mesh || !self.choices.chance(100);
        plan.release = self.choices.chance(400);
        let sizes = [plan.message, 2_000, 20_000];
        if let Some(size) = self.choices.pick(&sizes) {
            plan.message = *size;
        }
    }

    fn entering(&mut self) {
        self.at(Duration::ZERO, Action::Node(NodeVerb::Host, 0));
        let apart = self.choices.chance(500);
        for node in 1..self.nodes {
            let at = if apart {
                self.time()
            } else {
                Duration::from_millis(100)
            };
            self.at(at, Action::Node(NodeVerb::Join, node));
        }
    }

    fn talks(&mut self, message: u32) {
        let states = self.choices.chance(500);
        let large = self.choices.chance(300);
        let talks = self.choices.below(MOST_TALKS.saturating_add(1));
        for _ in 0..talks {
            let from = self.node();
            let at = self.time();
            // As often as a game sends, or now and then.
            let longest = if self.choices.chance(500) { 1_000 } else { 50 };
            let every = self
                .choices
                .duration(Duration::from_millis(5), Duration::from_millis(longest));
            let most = if large { message } else { message.min(1000) };
            let size = self.choices.below(most.saturating_add(1));
            let times = self.choices.range(1, if size > 10_000 { 20 } else { 200 });
            let mut repeat = Repeat { size, times, every };
            let action = if states && self.choices.chance(600) {
                repeat.size = repeat.size.min(1000);
                Action::State { from, repeat }
            } else {
                let to = self.choices.chance(400).then(|| self.node());
                Action::Send { from, to, repeat }
            };
            self.at(at, action);
        }
    }

    fn troubles(&mut self) {
        let weights: [u32; TROUBLES.len()] = core::array::from_fn(|_| {
            if self.choices.chance(350) {
                self.choices.range(1, 8)
            } else {
                0
            }
        });
        let crashes = if self.choices.chance(CRASH) { 1 } else { 0 };
        let paths = Path::draw_mask(self.choices);
        let quirks = Quirks::draw_mask(self.choices);
        let faults = SignalingFaults::draw_mask(self.choices);
        let clocks = Clock::draw_mask(self.choices);
        if self.choices.chance(500) {
            let path = Path::draw(self.choices, paths);
            let direction = None;
            self.at(Duration::ZERO, Action::Path { direction, path });
        }
        let count = self.choices.below(MOST_TROUBLES.saturating_add(1));
        for _ in 0..count {
            let at = self.time();
            let lasts = self.lasting();
            if self.choices.weighted(&[10, crashes * 3]) == Some(1) {
                self.crash(at, lasts);
                continue;
            }
            let Some(trouble) = self.choices.weighted(&weights) else {
                continue;
            };
            match TROUBLES.get(trouble) {
                Some(Trouble::Node(verb, undo)) => {
                    let node = self.node();
                    if *verb == NodeVerb::Leave && self.choices.chance(500) {
                        self.last_words(at, node);
                    }
                    self.at(at, Action::Node(*verb, node));
                    if let Some(undo) = undo.filter(|_| self.choices.chance(800)) {
                        self.at(at.saturating_add(lasts), Action::Node(undo, node));
                    }
                }
                Some(Trouble::Pair(verb, undo)) => {
                    let (a, b) = (self.node(), self.node());
                    self.at(at, Action::Pair(*verb, a, b));
                    if self.choices.chance(800) {
                        self.at(at.saturating_add(lasts), Action::Pair(*undo, a, b));
                    }
                }
                Some(Trouble::Server) => {
                    self.at(at, Action::Server(ServerVerb::Stop));
                    let start = Action::Server(ServerVerb::Start);
                    self.at(at.saturating_add(lasts), start);
                }
                Some(Trouble::Path) => {
                    let direction = Some((self.node(), self.node()));
                    let path = Path::draw(self.choices, paths);
                    self.at(at, Action::Path { direction, path });
                }
                Some(Trouble::PathOfAll) => {
                    let direction = None;
                    let path = Path::draw(self.choices, paths);
                    self.at(at, Action::Path { direction, path });
                }
                Some(Trouble::Quirks) => {
                    let quirks = Quirks::draw(self.choices, quirks);
                    self.at(at, Action::Quirks(quirks));
                }
                Some(Trouble::Signaling) => {
                    let faults = SignalingFaults::draw(self.choices, faults);
                    self.at(at, Action::Signaling(faults));
                }
                Some(Trouble::Clock) => {
                    let node = self.node();
                    let clock = Clock::draw(self.choices, clocks);
                    self.at(at, Action::Clock(node, clock));
                }
                Some(Trouble::Sleep) => {
                    let node = self.node();
                    self.at(at, Action::Sleep(node, lasts));
                }
                None => {}
            }
        }
    }

    /// Much is said right before a goodbye, which must not overtake it.
    fn last_words(&mut self, at: Duration, from: u8) {
        let repeat = Repeat {
            size: self.choices.below(80_000),
            times: 1,
            every: Duration::ZERO,
        };
        let to = None;
        self.at(at, Action::Send { from, to, repeat });
    }

    fn crash(&mut self, at: Duration, lasts: Duration) {
        let node = self.node();
        self.at(at, Action::Node(NodeVerb::Crash, node));
        if self.choices.chance(800) {
            let back = at.saturating_add(lasts);
            self.at(back, Action::Node(NodeVerb::Restart, node));
            let enter = if node == 0 {
                NodeVerb::Host
            } else {
                NodeVerb::Join
            };
            self.at(back, Action::Node(enter, node));
        }
    }

    fn core(&mut self) -> Vec<u8> {
        let with_host = !self.choices.chance(300);
        let all = 0..self.nodes;
        all.filter(|node| {
            if *node == 0 {
                with_host
            } else {
                !self.choices.chance(300)
            }
        })
        .collect()
    }

    fn at(&mut self, at: Duration, action: Action) {
        self.actions.push(Timed { at, action });
    }

    fn node(&mut self) -> u8 {
        u8::try_from(self.choices.below(self.nodes.into())).unwrap_or(0)
    }

    fn time(&mut self) -> Duration {
        self.choices.duration(Duration::ZERO, self.length)
    }

    /// How long a trouble lasts: some are over before anybody notices, some outlast every deadline.
    fn lasting(&mut self) -> Duration {
        let longest = [500, 4_000, 30_000];
        let longest = self.choices.pick(&longest).copied().unwrap_or(500);
        self.choices
            .duration(Duration::from_millis(1), Duration::from_millis(longest))
    }
}
