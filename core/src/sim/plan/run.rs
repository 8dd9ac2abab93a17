//! A plan runs: the world takes its course, and after every step the laws are checked.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::ledger::Ledger;
use super::reason::Reasons;
use super::{Missing, NodeKind, Plan};
use crate::code::NetworkCode;
use crate::config::{Config, ConfigError};
use crate::event::Event;
use crate::id::NodeId;
use crate::sim::laws::{Broken, Held, demand};
use crate::sim::{Law, NatIndex, NodeIndex, Violation, World};
use crate::stats::Status;
use crate::time::Timestamp;

/// What became of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Whether all held.
    pub verdict: Verdict,
    /// The hash over every input and output: equal for equal runs.
    pub hash: u64,
    /// How many things happened.
    pub steps: u64,
    /// How much time passed in the world.
    pub time: Duration,
    /// Everything that happened, line by line, if it was asked for.
    pub timeline: String,
}

/// Whether all held.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// All laws held, and the core came to terms.
    Held,
    /// A law was broken; the world was stopped there.
    Broken(Violation),
    /// The healed core did not come to terms in time.
    Dead(Vec<Missing>),
    /// The settings are such that no node takes them.
    Unfit(ConfigError),
}

impl Verdict {
    /// The law that did not hold.
    #[must_use]
    pub const fn law(&self) -> Option<Law> {
        match self {
            Self::Broken(violation) => Some(violation.law),
            Self::Dead(_) => Some(Law::Liveness),
            Self::Held | Self::Unfit(_) => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("all laws held"),
            Self::Broken(violation) => write!(f, "{violation}"),
            Self::Unfit(error) => write!(f, "{error}"),
            Self::Dead(missing) => {
                write!(f, "{}: ", Law::Liveness)?;
                for (nth, one) in missing.iter().enumerate() {
                    let comma = if nth > 0 { "; " } else { "" };
                    write!(f, "{comma}{one}")?;
                }
                Ok(())
            }
        }
    }
}

impl Plan {
    /// Runs the plan.
    #[must_use]
    pub fn run(&self) -> Report {
        self.run_with(|config| config)
    }

    /// Runs the plan with nodes whose settings were changed by `configure`; what may be changed, is said
    /// at [`Options::configure`](crate::sim::campaign::Options::configure).
    #[must_use]
    pub fn run_with(&self, configure: impl Fn(Config) -> Config) -> Report {
        self.report(&configure, false)
    }

    /// Runs the plan and keeps everything that happens as text.
    #[must_use]
    pub fn run_with_timeline(&self, configure: impl Fn(Config) -> Config) -> Report {
        self.report(&configure, true)
    }

    fn report(&self, configure: &dyn Fn(Config) -> Config, timeline: bool) -> Report {
        let mut world = World::new(self.seed);
        world.watch.collect();
        if timeline {
            world.keep_timeline();
        }
        let mut run = Run::new(self, world);
        let verdict = match self.config() {
            Ok(config) => run.all(&configure(config)),
            Err(error) => Verdict::Unfit(error),
        };
        Report {
            verdict,
            hash: run.world.trace_hash(),
            steps: run.steps,
            time: run.world.now().since(Timestamp::ZERO),
            timeline: run.world.timeline().to_string(),
        }
    }
}

/// A plan while it runs.
#[derive(Debug)]
pub(super) struct Run<'p> {
    pub(super) plan: &'p Plan,
    pub(super) world: World,
    pub(super) apps: Vec<App>,
    pub(super) ledger: Ledger,
    pub(super) reasons: Reasons,
    #[cfg(feature = "native")]
    pub(super) servers: super::servers::Servers,
    /// The code of the network, once there is one.
    pub(super) code: Option<NetworkCode>,
    /// What is to be done: which action, and the how-manieth time.
    pub(super) agenda: BTreeMap<(Timestamp, u64), (usize, u32)>,
    pub(super) entered: u64,
    next_look: Timestamp,
    steps: u64,
    /// Steps since the last look at everything.
    recent: u64,
    scratch: Vec<(Timestamp, Event)>,
}

/// The application of a node.
#[derive(Debug, Default)]
pub(super) struct App {
    /// `None`: crashed.
    pub(super) id: Option<NodeId>,
    pub(super) lives: u8,
    /// Joins once there is a code.
    pub(super) wants_in: bool,
    pub(super) paused: bool,
    /// Messages that were not taken: who sent them, and how long they are.
    pub(super) untaken: VecDeque<(NodeId, u32)>,
    /// Since when it waits for being in, and for being out.
    pub(super) entering: Option<Timestamp>,
    pub(super) leaving: Option<Timestamp>,
    /// How many links it had opened when it was in.
    pub(super) links_opened: u64,
    /// How many times it has told its node new credentials.
    #[cfg(feature = "native")]
    pub(super) renewed: u32,
    /// Whom it was told to be lost, and when.
    pub(super) lost: BTreeMap<NodeId, Timestamp>,
}

/// How often everything is looked at that no event tells.
const LOOK: Duration = Duration::from_secs(1);
/// A join may take this much longer than its deadlines.
const GRACE: Duration = Duration::from_secs(1);
/// More steps than this in a second are a storm.
const STORM: u64 = 1_000_000;

impl<'p> Run<'p> {
    pub(super) fn new(plan: &'p Plan, world: World) -> Self {
        Self {
            plan,
            world,
            apps: Vec::new(),
            ledger: Ledger::default(),
            reasons: Reasons::new(plan),
            #[cfg(feature = "native")]
            servers: super::servers::Servers::default(),
            code: None,
            agenda: BTreeMap::new(),
            entered: 0,
            next_look: Timestamp::ZERO,
            steps: 0,
            recent: 0,
            scratch: Vec::new(),
        }
    }

    fn all(&mut self, config: &Config) -> Verdict {
        self.populate(config);
        let healed = Timestamp::ZERO.plus(self.plan.heal_at);
        let outcome = self.run_until(healed).and_then(|()| self.come_to_terms());
        match outcome {
            Ok(missing) if missing.is_empty() => Verdict::Held,
            Ok(missing) => Verdict::Dead(missing),
            Err(violation) => Verdict::Broken(violation),
        }
    }

    /// Boxes, nodes, and the agenda.
    pub(super) fn populate(&mut self, config: &Config) {
        for (nth, nat) in self.plan.nats.iter().enumerate() {
            match nat.behind.filter(|outer| usize::from(*outer) < nth) {
                Some(outer) => self
                    .world
                    .add_nat_behind(nat.config, NatIndex(outer.into())),
                None => self.world.add_nat(nat.config),
            };
        }
        #[cfg(feature = "native")]
        self.start_servers();
        for kind in &self.plan.nodes {
            let NodeIndex(index) = match kind {
                #[cfg(feature = "native")]
                NodeKind::Native => {
                    let config = config.clone().with_ice_servers(self.servers.list());
                    let node = self.world.add_native(config);
                    self.world.set_knowledge(node, self.plan.servers);
                    node
                }
                #[cfg(not(feature = "native"))]
                NodeKind::Native => self.world.add_model(config.clone()),
                NodeKind::Model => self.world.add_model(config.clone()),
            };
            self.apps.push(App::default());
            self.born(index);
        }
        for (nth, timed) in self.plan.actions.iter().enumerate() {
            if timed.at <= self.plan.heal_at {
                self.enter(Timestamp::ZERO.plus(timed.at), nth, 0);
            }
        }
    }

    /// A node has begun a life.
    pub(super) fn born(&mut self, index: usize) {
        let id = self.world.id(NodeIndex(index));
        if let (Some(app), Some(id)) = (self.apps.get_mut(index), id) {
            self.ledger
                .born(id, (u8::try_from(index).unwrap_or(u8::MAX), app.lives));
            *app = App {
                id: Some(id),
                lives: app.lives.wrapping_add(1),
                ..App::default()
            };
        }
    }

    /// Puts an action on the agenda, behind those of the same time.
    pub(super) fn enter(&mut self, at: Timestamp, action: usize, nth: u32) {
        self.entered = self.entered.saturating_add(1);
        self.agenda.insert((at, self.entered), (action, nth));
    }

    /// Runs until then, or until a law is broken.
    pub(super) fn run_until(&mut self, deadline: Timestamp) -> Result<(), Violation> {
        loop {
            let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let until = deadline
                .min(self.next_look)
                .min(next.unwrap_or(Timestamp::from_nanos(u64::MAX)));
            while self.world.step(until) {
                self.steps = self.steps.saturating_add(1);
                self.recent = self.recent.saturating_add(1);
                if self.recent > STORM {
                    let text = format!("{STORM} steps within a second");
                    let law = Law::Bounded;
                    self.judge(0, Err(Broken { law, text }));
                }
                self.follow()?;
            }
            if next == Some(until) {
                if let Some((_, (action, nth))) = self.agenda.pop_first() {
                    self.act(action, nth);
                    self.follow()?;
                }
            } else if self.next_look == until {
                self.next_look = until.plus(LOOK);
                self.recent = 0;
                self.look();
                self.follow()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Takes in what the nodes' applications were told.
    pub(super) fn follow(&mut self) -> Result<(), Violation> {
        for index in 0..self.apps.len() {
            let Some(node) = self.world.nodes.get_mut(index) else {
                continue;
            };
            if node.events.is_empty() {
                continue;
            }
            let mut events =
                core::mem::replace(&mut node.events, core::mem::take(&mut self.scratch));
            for (_, event) in events.drain(..) {
                self.told(index, &event);
            }
            self.scratch = events;
        }
        match self.world.watch.first() {
            None => Ok(()),
            Some(violation) => Err(violation.clone()),
        }
    }

    pub(super) fn judge(&mut self, index: usize, held: Held) {
        let now = self.world.now();
        self.world.watch.judge(now, index, held);
    }

    fn told(&mut self, index: usize, event: &Event) {
        let Some(me) = self.apps.get(index).and_then(|app| app.id) else {
            return;
        };
        self.ledger.goodbyes_overtake =
            self.reasons.goodbyes_overtake() || self.has_another_link(index);
        let held = self
            .ledger
            .event(me, event)
            .and_then(|()| self.reasons.event(me, event))
            .and_then(|()| self.membership(index, me, event));
        self.judge(index, held);
        self.react(index, event);
    }

    /// Whether a joiner's link to the host may have been replaced: what of one that has left since was on
    /// the old one is lost with it, and nobody can send it again. In a native node we do not see it.
    fn has_another_link(&self, index: usize) -> bool {
        let (app, node) = (self.apps.get(index), self.world.nodes.get(index));
        let replaced = app.zip(node).is_some_and(|(app, node)| {
            self.world.is_native(index) || node.links_opened > app.links_opened
        });
        index > 0 && replaced && self.reasons.has_silence()
    }

    /// Who is in the network is one of ours, and there are no more than may be.
    fn membership(&self, index: usize, me: NodeId, event: &Event) -> Held {
        const LAW: Law = Law::Membership;
        let most = usize::from(self.plan.max_nodes);
        let known = |node: &NodeId| {
            let known = self.ledger.name(*node).is_some();
            demand(known, LAW, || format!("{node} is none of our nodes"))
        };
        if let Event::NodeJoined { node } = event {
            known(node)?;
            let node = self.world.nodes.get(index);
            let others = node.map_or(0, |node| node.laws.count());
            demand(index > 0 || others < most, LAW, || {
                format!("the host let in {others} others, of {most} nodes in all")
            })?;
        }
        if let Event::Joined { node, nodes, .. } = event {
            nodes.iter().try_for_each(known)?;
            let fits = *node == me && nodes.contains(&me) && nodes.len() <= most;
            demand(fits, LAW, || {
                format!("{me} joined as {node} with {nodes:?}")
            })?;
        }
        Ok(())
    }

    /// What an application does about what it is told.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an application reacts to what concerns it"
    )]
    fn react(&mut self, index: usize, event: &Event) {
        let now = self.world.now();
        let node = self.world.nodes.get(index);
        let links_opened = node.map_or(0, |node| node.links_opened);
        let Some(app) = self.apps.get_mut(index) else {
            return;
        };
        match event {
            Event::NodeLost { node } => {
                app.lost.insert(*node, now);
            }
            Event::NodeBack { node } => {
                app.lost.remove(node);
                // It may be the host, which judges the others anew.
                if index != 0 {
                    app.lost.values_mut().for_each(|since| *since = now);
                }
            }
            Event::NetworkCreated { code } => {
                app.entering = None;
                self.code = Some(*code);
                for index in 0..self.apps.len() {
                    self.join_if_wanted(index);
                }
            }
            Event::Joined { .. } => {
                app.entering = None;
                app.links_opened = links_opened;
            }
            Event::Message { from, payload } if app.paused => {
                let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                app.untaken.push_back((*from, length));
            }
            Event::NodeLeft { node, .. } => {
                app.untaken.retain(|(from, _)| from != node);
                app.lost.remove(node);
            }
            Event::Ended { .. } => {
                // Who gives up a join says so, and that is a goodbye.
                if app.entering.take().is_some()
                    && let Some(me) = app.id
                {
                    self.reasons.left(me, false);
                }
                app.leaving = None;
                app.untaken.clear();
                app.lost.clear();
            }
            _ => {}
        }
    }

    /// Looks at what no event tells.
    fn look(&mut self) {
        for index in 0..self.apps.len() {
            self.take(index);
            #[cfg(feature = "native")]
            self.tell_servers(index);
            let held = self.look_at(index);
            self.judge(index, held);
        }
    }

    fn look_at(&self, index: usize) -> Held {
        let now = self.world.now();
        let (Some(app), Some(node)) = (self.apps.get(index), self.world.nodes.get(index)) else {
            return Ok(());
        };
        let Some(machine) = &node.machine else {
            return Ok(());
        };
        let timeouts = node.config.timeouts();
        let grace = timeouts.grace.max(timeouts.lost_after);
        // Of another joiner the host says what becomes of it, and may be lost itself before it does.
        let lost = |by_host: bool| {
            let of_host = |node: NodeId| index == 0 || self.node_of(node) == Some(0);
            let lost = app
                .lost
                .iter()
                .filter(|(node, _)| of_host(**node) != by_host);
            lost.map(|(_, since)| *since).min()
        };
        for (since, most, what) in [
            (app.entering, timeouts.connect, "host or join"),
            (app.leaving, timeouts.leave, "leave"),
            (lost(false), grace, "wait for a lost node"),
            (
                lost(true),
                grace.saturating_mul(2),
                "wait for a node that the host lost",
            ),
        ] {
            let over = since.is_some_and(|since| now > since.plus(most).plus(GRACE));
            demand(!over, Law::NoHang, || {
                format!("{what}, begun at {since:?}, has not ended")
            })?;
        }
        if machine.status() != Status::Joined {
            return Ok(());
        }
        let Some(stats) = machine.stats(now) else {
            return Ok(());
        };
        let seen: Vec<NodeId> = stats.nodes.iter().map(|node| node.node).collect();
        let told = node.laws.count();
        let agree = seen.len() == told && seen.iter().all(|node| self.is_told(index, *node));
        demand(agree, Law::Membership, || {
            format!("it sees {seen:?}, and was told of {told}")
        })?;
        let window = node.config.limits().window;
        let over = stats
            .nodes
            .iter()
            .find(|node| node.bytes_in_flight > window);
        demand(over.is_none(), Law::Bounded, || {
            format!("more is on the way than the window holds: {over:?}")
        })
    }

    fn is_told(&self, index: usize, of: NodeId) -> bool {
        let node = self.world.nodes.get(index);
        node.is_some_and(|node| node.laws.is_present(of))
    }
}
