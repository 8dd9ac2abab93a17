//! After the chaos: a core of nodes is healed, the others are broken for good, and the core must
//! come to terms.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::run::Run;
use super::{Missing, NodeVerb};
use crate::config::{Timeouts, Topology};
use crate::id::NodeId;
use crate::sim::{
    Clock, Dropped, Knowledge, NatIndex, NodeIndex, Path, Quirks, Reach, SignalingFaults, Violation,
};
use crate::stats::Status;
use crate::time::Timestamp;

/// How often the core's applications look whether they are where they want to be.
const LOOK: Duration = Duration::from_millis(250);

/// Within this time after the heal the nodes of the core that have lost each other are back.
const BACK: Duration = Duration::from_secs(5);

/// How long a core is watched at rest.
pub const QUIET: Duration = Duration::from_secs(20);

/// What one link costs in a second of rest: each end is woken, asks, is asked, answers, and is told
/// three times what became of what it sent.
const ENTRIES_PER_LINK: u64 = 20;
/// What a host's registration costs in a second of rest: a heartbeat in five.
const ENTRIES_PER_NODE: u64 = 2;
/// How many pairs of candidates are kept alive on a link of nodes that have servers, at most.
const PAIRS: u64 = 4;
/// What servers cost a node in a second of rest: signs of life to each, nonces that are stale.
const ENTRIES_PER_SERVED: u64 = 8;

/// How long a core may take to come to terms.
///
/// At worst a joiner has just begun a join that cannot succeed, and begins another when that ends;
/// the host needs its time until who is lost has left, and to let go of the places that dead joins
/// hold.
#[must_use]
pub fn bound(timeouts: &Timeouts) -> Duration {
    let dead_join = timeouts.ice.saturating_add(timeouts.datachannel);
    timeouts
        .connect
        .saturating_mul(2)
        .saturating_add(dead_join)
        .saturating_add(timeouts.grace.max(timeouts.lost_after).saturating_mul(2))
        .saturating_add(timeouts.leave)
}

/// How long after the heal all pairs of a mesh that can have a direct link may take to have one.
///
/// At worst the core comes to terms at the last moment, and a pair has just failed to connect: it
/// waits for a minute, and then the attempt may take its whole time.
#[must_use]
pub fn direct_bound(timeouts: &Timeouts) -> Duration {
    bound(timeouts)
        .saturating_add(LONGEST_WAIT)
        .saturating_add(timeouts.ice)
        .saturating_add(timeouts.datachannel)
}

/// The longest that two joiners of a mesh wait before they try again to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A node that is frozen for good sleeps this long: longer than any world runs.
const FOR_GOOD: Duration = Duration::from_secs(24 * 3600);

impl Run<'_> {
    /// Heals the core and waits until it has come to terms; what is missing if it does not.
    pub(super) fn come_to_terms(&mut self) -> Result<Vec<Missing>, Violation> {
        let core = self.heal();
        self.follow()?;
        let now = self.world.now();
        let deadline = now.plus(bound(&Timeouts::default()));
        let before = self.still_lost(&core);
        self.run_until(now.plus(BACK))?;
        let mut missing = self.still_lost(&core);
        missing.retain(|pair| before.contains(pair));
        if !missing.is_empty() {
            return Ok(missing);
        }
        // What broke at the last moment (a server has forgotten all, a box its mappings) shows later.
        let shows = Timeouts::default().lost_after;
        self.run_until(now.plus(shows).plus(BACK))?;
        let missing = self.still_lost(&core);
        if !missing.is_empty() {
            return Ok(missing);
        }
        // Who was silent for too long before will have left by then.
        self.run_until(now.plus(Timeouts::default().grace))?;
        let (mut unsaid, mut tried) = (None, BTreeSet::new());
        let missing = self.until(deadline, |run| {
            run.reenter(&core, &mut tried);
            let apart = run.apart(&core);
            if !apart.is_empty() {
                unsaid = None;
                return apart;
            }
            let unsaid = unsaid.get_or_insert_with(|| run.said_by(&core));
            // Whose network has ended meanwhile, has nobody to say it to.
            let sayers = run.said_by(&core);
            unsaid.retain(|node| sayers.contains(node) && !run.send((*node).into(), None, MARKER));
            run.unheard(&core, unsaid)
        })?;
        if !missing.is_empty() {
            return Ok(missing);
        }
        let missing = self.until(deadline, |run| run.uncredited(&core))?;
        if !missing.is_empty() {
            return Ok(missing);
        }
        let missing = self.until(deadline, |run| run.leftovers(&core))?;
        if !missing.is_empty() {
            return Ok(missing);
        }
        let deadline = now.plus(direct_bound(&Timeouts::default()));
        let missing = self.until(deadline, |run| run.relayed(&core))?;
        if !missing.is_empty() {
            return Ok(missing);
        }
        self.rest(&core)
    }

    /// Asks again and again what is missing, until nothing is or the time is over.
    fn until(
        &mut self,
        deadline: Timestamp,
        mut missing: impl FnMut(&mut Self) -> Vec<Missing>,
    ) -> Result<Vec<Missing>, Violation> {
        loop {
            let still = missing(self);
            self.follow()?;
            if still.is_empty() || self.world.now() >= deadline {
                return Ok(still);
            }
            let next = self.world.now().plus(LOOK).min(deadline);
            self.run_until(next)?;
        }
    }

    /// Heals the core and breaks all others; gives the core.
    pub(super) fn heal(&mut self) -> Vec<u8> {
        self.agenda.clear();
        self.reasons.broken();
        let most = usize::from(self.plan.max_nodes);
        let core: Vec<u8> = self.plan.core.iter().copied().take(most).collect();
        self.world.heal_all();
        self.world.set_default_path(Path::default());
        self.world.set_quirks(Quirks::default());
        self.world.set_signaling_faults(SignalingFaults::default());
        let all = 0..u8::try_from(self.apps.len()).unwrap_or(u8::MAX);
        for (a, b) in all.clone().flat_map(|a| all.clone().map(move |b| (a, b))) {
            let cut = !(core.contains(&a) && core.contains(&b));
            let path = Path {
                cut,
                ..Path::default()
            };
            // Without a line for each pair, which would be most of what a failure shows.
            self.world
                .set_way(NodeIndex(a.into()), NodeIndex(b.into()), path);
        }
        // Boxes stay what they are, and blocked if they are; the oracle knows. But they are there.
        for nat in (0..self.plan.nats.len()).map(NatIndex) {
            let NatIndex(index) = nat;
            let gate = self.world.places.internet.gates.get(index);
            let now = self.world.now();
            if gate.is_some_and(|gate| gate.nat.check(now) == Err(Dropped::Rebooting)) {
                self.world.reboot(nat, Duration::ZERO);
            }
        }
        self.start_server();
        #[cfg(feature = "native")]
        self.turn(super::TurnVerb::Speak);
        for node in all {
            let index = usize::from(node);
            if core.contains(&node) {
                self.world.set_clock(NodeIndex(index), Clock::default());
                if self.is_asleep(index) {
                    self.world.sleep(NodeIndex(index), Duration::ZERO);
                }
                self.node(NodeVerb::Restart, index);
                self.resume(index);
                continue;
            }
            // The others are gone, frozen, or only cut off.
            match self.plan.seed.wrapping_add(node.into()) % 4 {
                0 | 2 => self.node(NodeVerb::Crash, index),
                1 => self.sleep(index, FOR_GOOD),
                // A TURN server would lead around the paths that are cut.
                _ if self.plan.servers == Knowledge::Turn => {
                    self.world.isolate(NodeIndex(index));
                }
                _ => {}
            }
        }
        core
    }

    /// Whether theory has a path between two nodes.
    fn reaches(&self, a: u8, b: u8) -> bool {
        let (a, b) = (NodeIndex(a.into()), NodeIndex(b.into()));
        a == b || self.world.reach(a, b) != Reach::Unreachable
    }

    /// Whoever of the core is in no network goes in again, if there is a host to go to; who cannot
    /// reach it tries once.
    fn reenter(&mut self, core: &[u8], tried: &mut BTreeSet<u8>) {
        if !core.contains(&0) {
            return;
        }
        for node in core {
            let index = usize::from(*node);
            if self.world.status(NodeIndex(index)) == Some(Status::Idle) {
                if !self.reaches(0, *node) && !tried.insert(*node) {
                    continue;
                }
                let verb = if index == 0 {
                    NodeVerb::Host
                } else {
                    NodeVerb::Join
                };
                self.node(verb, index);
            } else if index > 0 && self.is_stranded(NodeIndex(index)) {
                self.node(NodeVerb::Leave, index);
            }
        }
    }

    /// In a mesh whose host was lost, and knows it: nobody new can join there.
    fn is_stranded(&self, index: NodeIndex) -> bool {
        let seen = self.seen(index);
        self.world.status(index) == Some(Status::Joined)
            && !seen.contains(&Some(0))
            && !seen.contains(&None)
    }

    /// Who of the core has to be in the host's network, or is, though theory knows no path.
    fn members(&self, core: &[u8]) -> Vec<u8> {
        let is_in = |node: u8| {
            let index = NodeIndex(node.into());
            self.world.status(index) == Some(Status::Joined) && self.seen(index).contains(&Some(0))
        };
        let members = core.iter().copied();
        members
            .filter(|node| self.reaches(0, *node) || is_in(*node))
            .collect()
    }

    /// Who of the core still misses another of the core, which sees it. Without a host that they
    /// reach nobody leads those who have closed their link together again.
    fn still_lost(&self, core: &[u8]) -> Vec<Missing> {
        let mut missing = Vec::new();
        let sees = |node: u8, other| self.seen(NodeIndex(node.into())).contains(&Some(other));
        if !core.contains(&0) || self.world.status(NodeIndex(0)) != Some(Status::Joined) {
            return missing;
        }
        for from in core {
            let app = self.apps.get(usize::from(*from));
            for to in app.into_iter().flat_map(|app| app.lost.keys()) {
                let (from, Some(to)) = (*from, self.node_of(*to)) else {
                    continue;
                };
                let have_host = [from, to]
                    .iter()
                    .all(|node| sees(*node, 0) && sees(0, *node) && self.reaches(0, *node));
                if core.contains(&to) && sees(to, from) && have_host && self.reaches(from, to) {
                    missing.push(Missing::StillLost { from, to });
                }
            }
        }
        missing
    }

    /// Who does not see what all of the core must see.
    pub(super) fn apart(&mut self, core: &[u8]) -> Vec<Missing> {
        let mut missing = Vec::new();
        let members = self.members(core);
        for node in core {
            let index = NodeIndex((*node).into());
            let status = self.world.status(index);
            if !core.contains(&0) {
                if status != Some(Status::Idle) && !self.may_stay(core, index) {
                    missing.push(Missing::NotTold { node: *node });
                }
                continue;
            }
            if !members.contains(node) {
                if status != Some(Status::Idle) {
                    missing.push(Missing::NotEnded { node: *node });
                }
                continue;
            }
            if status != Some(Status::Joined) {
                missing.push(Missing::NotJoined {
                    node: *node,
                    status,
                });
                continue;
            }
            let mut sees = self.seen(index);
            sees.sort_unstable();
            if !sees.iter().copied().eq(members.iter().copied().map(Some)) {
                missing.push(Missing::Roster { node: *node, sees });
            }
        }
        missing
    }

    /// Which joiners of a mesh that has a host are relayed without need.
    pub(super) fn relayed(&self, core: &[u8]) -> Vec<Missing> {
        if self.plan.topology != Topology::Mesh || !core.contains(&0) {
            return Vec::new();
        }
        let joiners: Vec<u8> = self.members(core).into_iter().filter(|n| *n > 0).collect();
        let mut missing = Vec::new();
        for from in &joiners {
            let stats = self.world.stats(NodeIndex((*from).into()));
            for other in stats.into_iter().flat_map(|stats| stats.nodes) {
                if let Some(to) = self.node_of(other.node)
                    && other.relayed
                    && joiners.contains(&to)
                    && self.reaches(*from, to)
                {
                    missing.push(Missing::Relayed { from: *from, to });
                }
            }
        }
        missing
    }

    /// Without a host a star is over for everybody; in a mesh those who see each other stay.
    fn may_stay(&self, core: &[u8], index: NodeIndex) -> bool {
        self.plan.topology == Topology::Mesh
            && self.world.status(index) == Some(Status::Joined)
            && self
                .seen(index)
                .iter()
                .all(|node| node.is_some_and(|node| core.contains(&node)))
    }

    /// Whom a node sees; `None` for lives that are over.
    fn seen(&self, index: NodeIndex) -> Vec<Option<u8>> {
        let nodes = self.world.nodes(index);
        nodes.into_iter().map(|node| self.node_of(node)).collect()
    }

    pub(super) fn node_of(&self, id: NodeId) -> Option<u8> {
        let place = self.apps.iter().position(|app| app.id == Some(id))?;
        u8::try_from(place).ok()
    }

    /// Who of the core is in a network, and so has to be heard.
    fn said_by(&self, core: &[u8]) -> Vec<u8> {
        let joined = |node: &&u8| {
            let node = NodeIndex(usize::from(**node));
            self.world.status(node) == Some(Status::Joined) && self.world.nodes(node).len() > 1
        };
        core.iter().filter(joined).copied().collect()
    }

    /// Whose words have not arrived at whom.
    pub(super) fn unheard(&self, core: &[u8], unsaid: &[u8]) -> Vec<Missing> {
        let mut missing = Vec::new();
        for (from, to) in core.iter().flat_map(|a| core.iter().map(move |b| (*a, *b))) {
            let id = |node: u8| self.apps.get(usize::from(node)).and_then(|app| app.id);
            let (Some(a), Some(b)) = (id(from), id(to)) else {
                continue;
            };
            let waiting = self.ledger.unheard(a, b);
            let messages = match waiting {
                _ if unsaid.contains(&from) && from != to => None,
                Some(waiting) if waiting > 0 => Some(u32::try_from(waiting).unwrap_or(u32::MAX)),
                Some(_) | None => continue,
            };
            missing.push(Missing::Unheard { from, to, messages });
        }
        missing
    }

    /// Whose credit has not come back, although everything was taken.
    fn uncredited(&self, core: &[u8]) -> Vec<Missing> {
        let id = |node: u8| self.apps.get(usize::from(node)).and_then(|app| app.id);
        let mut missing = Vec::new();
        for from in core {
            let stats = self.world.stats(NodeIndex(usize::from(*from)));
            for other in stats.into_iter().flat_map(|stats| stats.nodes) {
                let to = core.iter().find(|to| id(**to) == Some(other.node));
                if let (Some(to), bytes @ 1..) = (to, other.bytes_in_flight) {
                    let (from, to) = (*from, *to);
                    missing.push(Missing::Uncredited { from, to, bytes });
                }
            }
        }
        missing
    }

    /// What should be gone.
    pub(super) fn leftovers(&self, core: &[u8]) -> Vec<Missing> {
        let mut missing = Vec::new();
        for node in core {
            let index = NodeIndex((*node).into());
            let seen = self.world.nodes(index).len();
            let others = u32::try_from(seen.saturating_sub(1)).unwrap_or(u32::MAX);
            let is_center = *node == 0 || self.plan.topology == Topology::Mesh;
            let needed = if is_center { others } else { others.min(1) };
            let hosts = *node == 0 && self.world.status(index) == Some(Status::Joined);
            let (links, connections) = self.world.held_by(index);
            let connections = (connections, u32::from(hosts));
            // What a native node has inside is not ours to count.
            let links = (links.unwrap_or(needed), needed);
            if links.0 > links.1 || connections.0 > connections.1 {
                missing.push(Missing::Leftovers {
                    node: *node,
                    links,
                    connections,
                });
            }
            if self.world.status(index) == Some(Status::Idle) && self.world.is_awake(index) {
                missing.push(Missing::Awake { node: *node });
            }
        }
        missing
    }

    /// At rest there is nothing but signs of life.
    pub(super) fn rest(&mut self, core: &[u8]) -> Result<Vec<Missing>, Violation> {
        // Those who are broken for good have nothing left to try by then.
        let settled = self.world.now().plus(bound(&Timeouts::default()) / 4);
        self.run_until(settled)?;
        let before = self.world.trace_entries();
        let rested = settled.plus(QUIET);
        self.run_until(rested)?;
        let entries = self.world.trace_entries().saturating_sub(before);
        let links: usize = core
            .iter()
            .map(|node| self.world.nodes(NodeIndex((*node).into())).len())
            .map(|seen| seen.saturating_sub(1))
            .sum();
        let links = if self.plan.topology == Topology::Mesh {
            links / 2
        } else {
            core.len().saturating_sub(1)
        };
        let (a_link, a_node) = if self.plan.servers == Knowledge::Host {
            (ENTRIES_PER_LINK, ENTRIES_PER_NODE)
        } else {
            (ENTRIES_PER_LINK.saturating_mul(PAIRS), ENTRIES_PER_SERVED)
        };
        let a_second = a_link
            .saturating_mul(links as u64)
            .saturating_add(a_node.saturating_mul(self.apps.len() as u64));
        let most = a_second.saturating_mul(QUIET.as_secs());
        if entries > most {
            return Ok(vec![Missing::Loud { entries, most }]);
        }
        Ok(Vec::new())
    }
}

/// The size of what each node of the core says, to be heard by all others.
const MARKER: u32 = 16;
