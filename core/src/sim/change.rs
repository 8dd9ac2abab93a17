//! What changes in a world, as data, and when.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::clock::Clock;
use super::internet::{NatIndex, Place};
use super::path::Path;
use super::quirks::Quirks;
use super::run::What;
use super::signaling::SignalingFaults;
use super::world::{NodeIndex, World};
use crate::time::Timestamp;

/// Something that changes in a world, for [`World::at`].
///
/// Pure data: a list of times and changes is a schedule that can be kept, compared, printed and cut
/// down to what matters. A change that names a node that does not exist does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// As [`World::set_default_path`].
    DefaultPath(Path),
    /// As [`World::set_path`]: both directions.
    Path {
        /// One of the two.
        a: NodeIndex,
        /// The other.
        b: NodeIndex,
        /// What their path is like from then on.
        path: Path,
    },
    /// As [`World::set_one_way`].
    OneWay {
        /// The sending node.
        from: NodeIndex,
        /// The receiving node.
        to: NodeIndex,
        /// What the path is like from then on.
        path: Path,
    },
    /// As [`World::partition`]: cuts both directions.
    Partition {
        /// One of the two.
        a: NodeIndex,
        /// The other.
        b: NodeIndex,
    },
    /// As [`World::partition_one_way`].
    PartitionOneWay {
        /// The node that is not heard any more.
        from: NodeIndex,
        /// The node that does not hear it.
        to: NodeIndex,
    },
    /// As [`World::heal`].
    Heal {
        /// One of the two.
        a: NodeIndex,
        /// The other.
        b: NodeIndex,
    },
    /// As [`World::isolate`].
    Isolate {
        /// Which node.
        node: NodeIndex,
    },
    /// As [`World::reconnect`].
    Reconnect {
        /// Which node.
        node: NodeIndex,
    },
    /// As [`World::heal_all`].
    HealAll,
    /// As [`World::clog`].
    Clog {
        /// The sending node.
        from: NodeIndex,
        /// The receiving node.
        to: NodeIndex,
    },
    /// As [`World::unclog`].
    Unclog {
        /// The sending node.
        from: NodeIndex,
        /// The receiving node.
        to: NodeIndex,
    },
    /// As [`World::stop_server`].
    StopServer,
    /// As [`World::start_server`].
    StartServer,
    /// As [`World::set_signaling_faults`].
    SignalingFaults(SignalingFaults),
    /// As [`World::set_quirks`].
    Quirks(Quirks),
    /// As [`World::crash`].
    Crash {
        /// Which node.
        node: NodeIndex,
    },
    /// As [`World::restart`].
    Restart {
        /// Which node.
        node: NodeIndex,
    },
    /// As [`World::leave`]: its player has had enough.
    Leave {
        /// Which node.
        node: NodeIndex,
    },
    /// As [`World::sleep`].
    Sleep {
        /// Which node.
        node: NodeIndex,
        /// For how long.
        time: Duration,
    },
    /// As [`World::set_clock`].
    Clock {
        /// Whose.
        node: NodeIndex,
        /// How it runs from then on.
        clock: Clock,
    },
    /// As [`World::pause_application`].
    PauseApplication {
        /// Whose.
        node: NodeIndex,
        /// Whether it takes no messages.
        paused: bool,
    },
    /// As [`World::roam`].
    Roam {
        /// Which node.
        node: NodeIndex,
        /// Where to.
        place: Place,
    },
    /// As [`World::rebind`].
    Rebind {
        /// Which box.
        nat: NatIndex,
    },
    /// As [`World::reboot`].
    Reboot {
        /// Which box.
        nat: NatIndex,
        /// How long nothing passes it.
        dark: Duration,
    },
    /// As [`World::change_outside_address`].
    ChangeOutsideAddress {
        /// Which box's.
        nat: NatIndex,
    },
    /// As [`World::block_udp`].
    BlockUdp {
        /// Which box.
        nat: NatIndex,
        /// Whether it stops all UDP.
        blocked: bool,
    },
}

impl Change {
    /// Whether this ends or replaces what `earlier` began: of such two neither is left out without the
    /// other, as a trouble that never ends is another one.
    pub(super) fn ends(&self, earlier: &Self) -> bool {
        let same_pair = |x, y, a, b| (x, y) == (a, b) || (x, y) == (b, a);
        match (self, earlier) {
            (
                Self::Heal { a, b },
                Self::Partition { a: x, b: y } | Self::PartitionOneWay { from: x, to: y },
            )
            | (Self::Path { a, b, .. }, Self::Path { a: x, b: y, .. }) => same_pair(x, y, a, b),
            (Self::Unclog { from, to }, Self::Clog { from: x, to: y })
            | (Self::OneWay { from, to, .. }, Self::OneWay { from: x, to: y, .. }) => {
                (from, to) == (x, y)
            }
            (Self::Reconnect { node }, Self::Isolate { node: other })
            | (Self::Restart { node }, Self::Crash { node: other })
            | (Self::Clock { node, .. }, Self::Clock { node: other, .. })
            | (Self::PauseApplication { node, .. }, Self::PauseApplication { node: other, .. })
            | (Self::Roam { node, .. }, Self::Roam { node: other, .. }) => node == other,
            (Self::BlockUdp { nat, .. }, Self::BlockUdp { nat: other, .. }) => nat == other,
            (Self::StartServer, Self::StopServer)
            | (Self::DefaultPath(_), Self::DefaultPath(_))
            | (Self::SignalingFaults(_), Self::SignalingFaults(_))
            | (Self::Quirks(_), Self::Quirks(_)) => true,
            _ => false,
        }
    }
}

impl World {
    /// Lets a change happen at a time; at once if that is over.
    ///
    /// Changes of the same time happen in the order in which they were given.
    pub fn at(&mut self, time: Timestamp, change: Change) {
        let time = time.max(self.now);
        let number = self.planned.len();
        self.planned.push((time, change.clone()));
        if !self.left_out.contains(&number) {
            self.schedule(time, What::Change(Box::new(change)));
        }
    }

    /// Lets a change happen now.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::DefaultPath(path) => self.set_default_path(*path),
            Change::Path { a, b, path } => self.set_path(*a, *b, *path),
            Change::OneWay { from, to, path } => self.set_one_way(*from, *to, *path),
            Change::Partition { a, b } => self.partition(*a, *b),
            Change::PartitionOneWay { from, to } => self.partition_one_way(*from, *to),
            Change::Heal { a, b } => self.heal(*a, *b),
            Change::Isolate { node } => self.isolate(*node),
            Change::Reconnect { node } => self.reconnect(*node),
            Change::HealAll => self.heal_all(),
            Change::Clog { from, to } => self.clog(*from, *to),
            Change::Unclog { from, to } => self.unclog(*from, *to),
            Change::StopServer => self.stop_server(),
            Change::StartServer => self.start_server(),
            Change::SignalingFaults(faults) => self.set_signaling_faults(*faults),
            Change::Quirks(quirks) => self.set_quirks(*quirks),
            Change::Crash { node } => self.crash(*node),
            Change::Restart { node } => self.restart(*node),
            Change::Leave { node } => self.leave(*node),
            Change::Sleep { node, time } => self.sleep(*node, *time),
            Change::Clock { node, clock } => self.set_clock(*node, *clock),
            Change::PauseApplication { node, paused } => self.pause_application(*node, *paused),
            Change::Roam { node, place } => self.roam(*node, *place),
            Change::Rebind { nat } => self.rebind(*nat),
            Change::Reboot { nat, dark } => self.reboot(*nat, *dark),
            Change::ChangeOutsideAddress { nat } => self.change_outside_address(*nat),
            Change::BlockUdp { nat, blocked } => self.block_udp(*nat, *blocked),
        }
    }

    /// Cuts both directions between two nodes; links that exist go silent.
    pub fn partition(&mut self, a: NodeIndex, b: NodeIndex) {
        self.mark(&Change::Partition { a, b });
        self.edit(a, b, |path| path.cut = true);
        self.edit(b, a, |path| path.cut = true);
    }

    /// Cuts one direction: `to` does not hear `from` any more, but is heard.
    pub fn partition_one_way(&mut self, from: NodeIndex, to: NodeIndex) {
        self.mark(&Change::PartitionOneWay { from, to });
        self.edit(from, to, |path| path.cut = true);
    }

    /// Undoes [`partition`](Self::partition) and [`partition_one_way`](Self::partition_one_way).
    pub fn heal(&mut self, a: NodeIndex, b: NodeIndex) {
        self.mark(&Change::Heal { a, b });
        self.edit(a, b, |path| path.cut = false);
        self.edit(b, a, |path| path.cut = false);
    }

    /// Pulls a node's plug: it reaches nobody, nor the signaling server, and nobody reaches it,
    /// whatever the paths say. Connections to signaling servers stay open, and what is sent waits.
    pub fn isolate(&mut self, node: NodeIndex) {
        self.mark(&Change::Isolate { node });
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.isolated = true;
        }
        self.links_may_be_dark();
    }

    /// Undoes [`isolate`](Self::isolate).
    pub fn reconnect(&mut self, node: NodeIndex) {
        self.mark(&Change::Reconnect { node });
        self.plug_in(node);
    }

    fn plug_in(&mut self, node: NodeIndex) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.isolated = false;
        }
        self.release_held(node.0);
        self.links_may_be_dark();
    }

    /// Undoes every partition, isolation and clog; the rest of the paths stays as it is.
    pub fn heal_all(&mut self) {
        self.mark(&Change::HealAll);
        let paths = self
            .ways
            .iter_mut()
            .flatten()
            .filter_map(|way| way.own.as_mut());
        for path in paths.chain([&mut self.default_path]) {
            path.cut = false;
            path.clogged = false;
        }
        for index in 0..self.nodes.len() {
            self.plug_in(NodeIndex(index));
        }
        self.paths_changed();
    }

    /// Holds back everything that is sent from one node to another.
    pub fn clog(&mut self, from: NodeIndex, to: NodeIndex) {
        self.mark(&Change::Clog { from, to });
        self.edit(from, to, |path| path.clogged = true);
    }

    /// Undoes [`clog`](Self::clog): what was held back arrives at once, in order.
    pub fn unclog(&mut self, from: NodeIndex, to: NodeIndex) {
        self.mark(&Change::Unclog { from, to });
        self.edit(from, to, |path| path.clogged = false);
    }

    /// A line of the timeline: every call that a [`Change`] stands for begins with it, so a change is told
    /// once, whether it was called or came by [`at`](Self::at).
    pub(super) fn mark(&mut self, change: &Change) {
        self.trace.add_change(self.now, change);
    }

    fn edit(&mut self, from: NodeIndex, to: NodeIndex, edit: impl FnOnce(&mut Path)) {
        let mut path = self.path(from, to);
        edit(&mut path);
        self.set_way(from, to, path);
    }

    /// After paths were changed: lets go of what clogs held back, and tells the links.
    pub(super) fn paths_changed(&mut self) {
        let default = self.default_path;
        let freed: Vec<What> = self
            .ways
            .iter_mut()
            .flatten()
            .filter(|way| !way.held.is_empty() && !way.own.unwrap_or(default).clogged)
            .flat_map(|way| core::mem::take(&mut way.held))
            .collect();
        for what in freed {
            self.schedule(self.now, what);
        }
        self.links_may_be_dark();
    }

    /// What was kept for a node goes on now, in order.
    pub(super) fn release_held(&mut self, index: usize) {
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        node.held_bytes = 0;
        for what in core::mem::take(&mut node.held) {
            self.schedule(self.now, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::sim::nat::NatConfig;

    #[test]
    fn every_change_is_one_line_of_the_timeline() {
        let mut world = World::new(1);
        let [a, b] = [(); 2].map(|()| world.add_model(Config::default()));
        let nat = world.add_nat(NatConfig::default());
        let path = Path::default();
        world.keep_timeline();
        let changes = [
            Change::DefaultPath(path),
            Change::Path { a, b, path },
            Change::OneWay {
                from: a,
                to: b,
                path,
            },
            Change::Partition { a, b },
            Change::PartitionOneWay { from: a, to: b },
            Change::Heal { a, b },
            Change::Isolate { node: a },
            Change::Reconnect { node: a },
            Change::HealAll,
            Change::Clog { from: a, to: b },
            Change::Unclog { from: a, to: b },
            Change::StopServer,
            Change::StartServer,
            Change::SignalingFaults(SignalingFaults::default()),
            Change::Quirks(Quirks::default()),
            Change::Crash { node: a },
            Change::Restart { node: a },
            Change::Leave { node: a },
            Change::Sleep {
                node: a,
                time: Duration::ZERO,
            },
            Change::Clock {
                node: a,
                clock: Clock::default(),
            },
            Change::PauseApplication {
                node: a,
                paused: true,
            },
            Change::Roam {
                node: a,
                place: Place::internet(),
            },
            Change::Rebind { nat },
            Change::Reboot {
                nat,
                dark: Duration::ZERO,
            },
            Change::ChangeOutsideAddress { nat },
            Change::BlockUdp { nat, blocked: true },
        ];
        for (before, change) in changes.iter().enumerate() {
            world.apply(change);
            let told = world.timeline().matches(" !! ").count();
            assert_eq!(told, before + 1, "{change:?}");
        }
        world.roam(b, Place::internet());
        assert!(world.timeline().contains("!! Roam { node: node-1"));
    }
}
