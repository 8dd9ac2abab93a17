//! The clocks of the nodes, and how they are woken.

use core::time::Duration;

use super::change::Change;
use super::draw::{self, Draw, Kind};
use super::laws::Laws;
use super::machine::Machine;
use super::world::{NodeIndex, World};
use crate::time::{NEVER, Timestamp};

/// How a node's clock runs, and how well its driver keeps time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by tests, with `..Default::default()`"
)]
pub struct Clock {
    /// How far it is ahead of the world's. Default zero.
    pub ahead: Duration,
    /// How much too fast it runs, in parts per million; negative: too slow. At most half a million
    /// either way. Default 0; quartz has up to 200.
    pub drift_ppm: i32,
    /// Up to how much later than asked for the node is woken. Default zero.
    pub late: Duration,
    /// How many times in a thousand it is woken too early as well, which must change nothing.
    /// Default 0.
    pub early_per_mille: u16,
    /// How many times in a thousand it is woken twice at the same moment. Default 0.
    pub repeated_per_mille: u16,
    /// How many calls in a thousand have a time that is up to [`backward`](Self::backward) too
    /// small. Default 0.
    pub backward_per_mille: u16,
    /// Up to how far the time of a call goes back. Default zero.
    pub backward: Duration,
}

const MILLION: i128 = 1_000_000;

impl Clock {
    fn speed(&self) -> i128 {
        MILLION + i128::from(self.drift_ppm.clamp(-500_000, 500_000))
    }

    /// What the clock shows at a moment of the world.
    pub(super) fn to_node(self, world: Timestamp) -> Timestamp {
        if self.drift_ppm == 0 {
            return world.plus(self.ahead);
        }
        let shown = i128::from(world.as_nanos()) * self.speed() / MILLION;
        let shown = u64::try_from(shown).unwrap_or(u64::MAX);
        Timestamp::from_nanos(shown).plus(self.ahead)
    }

    /// The first moment of the world at which the clock shows at least this.
    pub(super) fn to_world(self, node: Timestamp) -> Timestamp {
        let ahead = u64::try_from(self.ahead.as_nanos()).unwrap_or(u64::MAX);
        let shown = i128::from(node.as_nanos().saturating_sub(ahead));
        let speed = self.speed();
        let world = (shown * MILLION + speed - 1) / speed;
        Timestamp::from_nanos(u64::try_from(world).unwrap_or(u64::MAX))
    }
}

impl World {
    /// Sets how a node's clock runs, from now on.
    pub fn set_clock(&mut self, node: NodeIndex, clock: Clock) {
        self.mark(&Change::Clock { node, clock });
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.clock = clock;
        }
        self.ask_for_wake(node.0);
    }

    /// Lets a node's machine sleep, as a laptop does: it is not called at all for this long, and
    /// calls of its application do nothing ([`NotJoined`](crate::SendError::NotJoined)): it sleeps, too,
    /// so let no game run at a node that [is not running](Self::is_running). What
    /// arrives meanwhile is kept (datagrams and states up to 208 KiB). Then comes one late wake-up,
    /// and all that was kept at once.
    pub fn sleep(&mut self, node: NodeIndex, time: Duration) {
        self.mark(&Change::Sleep { node, time });
        let until = self.now.plus(time);
        let Some(sleeper) = self.nodes.get_mut(node.0) else {
            return;
        };
        if sleeper.machine.is_none() {
            return;
        }
        sleeper.asleep = Some(until);
        self.wakes.set(node.0, until);
        self.links_may_be_dark();
    }

    /// The time to give to a node's machine with the next call.
    pub(super) fn node_time(&mut self, index: usize) -> Timestamp {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(index) else {
            return now;
        };
        let mut time = node.clock.to_node(now);
        if node.clock.backward_per_mille > 0 {
            node.calls = node.calls.wrapping_add(1);
            let key = draw::key(self.seed, Kind::Clock, index as u64, 0);
            let draw = Draw::of(key, node.calls);
            if draw.chance(0, node.clock.backward_per_mille) {
                let back = u64::try_from(draw.up_to(1, node.clock.backward).as_nanos());
                let nanos = time.as_nanos().saturating_sub(back.unwrap_or(u64::MAX));
                time = Timestamp::from_nanos(nanos);
            }
        }
        node.latest = node.latest.max(time);
        time
    }

    /// Notes when a node wants to be woken, in the world's time.
    pub(super) fn ask_for_wake(&mut self, index: usize) {
        let wake = self.wanted_wake(index).unwrap_or(NEVER);
        self.wakes.set(index, wake);
    }

    fn wanted_wake(&self, index: usize) -> Option<Timestamp> {
        let node = self.nodes.get(index)?;
        if node.asleep.is_some() {
            return node.asleep;
        }
        let due = node.machine.as_ref()?.poll_timeout()?;
        if due == NEVER || node.clock == Clock::default() {
            return Some(due);
        }
        let now = self.now;
        let key = draw::key(self.seed, Kind::Clock, index as u64, 1);
        let draw = Draw::of(key, due.as_nanos());
        let at = node.clock.to_world(due).max(now);
        if node.early != due && draw.chance(1, node.clock.early_per_mille) {
            // Once for each time that is asked for.
            let early = now.plus(draw.up_to(2, at.since(now)));
            if early > now && early < at {
                return Some(early);
            }
        }
        Some(at.plus(draw.up_to(0, node.clock.late)))
    }

    /// Wakes a node because it is time to, or was.
    pub(super) fn wake_node(&mut self, index: usize) {
        if self
            .nodes
            .get(index)
            .is_some_and(|node| node.asleep.is_some())
        {
            self.rise(index);
        }
        let mut again = false;
        let key = draw::key(self.seed, Kind::Clock, index as u64, 2);
        if let Some(node) = self.nodes.get_mut(index)
            && node.clock != Clock::default()
        {
            let due = node.machine.as_ref().and_then(Machine::poll_timeout);
            node.early = due.unwrap_or(NEVER);
            let draw = Draw::of(key, self.now.as_nanos());
            again = draw.chance(0, node.clock.repeated_per_mille);
        }
        self.time_out(index);
        if again {
            self.time_out(index);
        }
    }

    fn time_out(&mut self, index: usize) {
        let time = self.node_time(index);
        self.trace.add_timeout(self.now, index);
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        let Some(machine) = &mut node.machine else {
            return;
        };
        // With what was taken by polling, an early call says what the next one would have said.
        let due = machine.poll_timeout();
        let idle = machine.is_model() && !node.took && due.is_none_or(|due| due > node.latest);
        machine.handle_timeout(time);
        let outputs = self.drain(index);
        if idle {
            let held = Laws::idle(outputs);
            self.watch.judge(self.now, index, held);
        }
        if let Some(node) = self.nodes.get(index)
            && let Some(machine) = &node.machine
        {
            let held = Laws::rested(node.latest, machine.poll_timeout());
            self.watch.judge(self.now, index, held);
        }
    }

    /// The end of a sleep: what was kept is to arrive right after the wake-up.
    fn rise(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.asleep = None;
        }
        self.release_held(index);
        self.links_may_be_dark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_world_and_of_nodes_agree() {
        for drift_ppm in [0, 1, -1, 200, -200, 500_000, -500_000, i32::MIN] {
            for ahead in [
                Duration::ZERO,
                Duration::from_nanos(7),
                Duration::from_secs(3600),
            ] {
                let clock = Clock {
                    ahead,
                    drift_ppm,
                    ..Clock::default()
                };
                for nanos in [
                    0,
                    1,
                    2,
                    3,
                    999,
                    1_000_001,
                    77_777_777_777,
                    3_600_000_000_000,
                ] {
                    let shown = clock.to_node(Timestamp::from_nanos(nanos));
                    let world = clock.to_world(shown);
                    assert!(world.as_nanos() <= nanos, "{clock:?} {nanos}");
                    assert_eq!(clock.to_node(world), shown, "{clock:?} {nanos}");
                    // The first moment: one nanosecond before it shows less.
                    if let Some(before) = world.as_nanos().checked_sub(1) {
                        assert!(clock.to_node(Timestamp::from_nanos(before)) < shown);
                    }
                    // Whatever is asked for has come when the node is woken.
                    let asked = Timestamp::from_nanos(nanos);
                    assert!(clock.to_node(clock.to_world(asked)) >= asked);
                }
            }
        }
        let fast = Clock {
            drift_ppm: 200,
            ..Clock::default()
        };
        let hour = Timestamp::from_millis(3_600_000);
        assert_eq!(fast.to_node(hour).as_millis(), 3_600_720);
    }
}
