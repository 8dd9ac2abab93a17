//! What an action does to a world.

use super::ledger::Sort;
use super::run::{App, Run};
use super::{Action, NatVerb, NodeVerb, PairVerb, Repeat, ServerVerb};
use crate::id::NodeId;
use crate::network::Hosting;
use crate::sim::{NatIndex, NodeIndex};
use crate::stats::Status;

use alloc::vec::Vec;
use core::time::Duration;

impl Run<'_> {
    /// Does an action for the `nth` time, and puts the next time on the agenda.
    pub(super) fn act(&mut self, action: usize, nth: u32) {
        let Some(timed) = self.plan.actions.get(action) else {
            return;
        };
        match timed.action {
            Action::Node(verb, node) => self.node(verb, node.into()),
            Action::Pair(verb, a, b) => self.pair(verb, NodeIndex(a.into()), NodeIndex(b.into())),
            Action::Server(ServerVerb::Stop) => self.world.stop_server(),
            Action::Server(ServerVerb::Start) => self.start_server(),
            Action::Send { from, to, repeat } => {
                let to = to.map(usize::from);
                let _ = self.send(from.into(), to, repeat.size.min(self.plan.message));
                self.again(action, nth, repeat);
            }
            Action::State { from, repeat } => {
                self.state(from.into(), repeat.size);
                self.again(action, nth, repeat);
            }
            Action::Path { direction, path } => match direction {
                Some((from, to)) => {
                    let (from, to) = (NodeIndex(from.into()), NodeIndex(to.into()));
                    self.world.set_one_way(from, to, path);
                }
                None => self.world.set_default_path(path),
            },
            Action::Quirks(quirks) => self.world.set_quirks(quirks),
            Action::Signaling(faults) => self.world.set_signaling_faults(faults),
            Action::Clock(node, clock) => self.world.set_clock(NodeIndex(node.into()), clock),
            Action::Sleep(node, time) => self.sleep(node.into(), time),
            Action::Roam(node, spot) => {
                if !self.is_asleep(node.into()) {
                    self.world.roam(NodeIndex(node.into()), spot.place());
                }
            }
            Action::Nat(verb, nat) => self.nat(verb, NatIndex(nat.into())),
            Action::Reboot(nat, dark) => self.world.reboot(NatIndex(nat.into()), dark),
            #[cfg(feature = "native")]
            Action::Turn(verb) => self.turn(verb),
            // Model nodes have no such server.
            #[cfg(not(feature = "native"))]
            Action::Turn(_) => {}
        }
    }

    fn again(&mut self, action: usize, nth: u32, repeat: Repeat) {
        let nth = nth.saturating_add(1);
        let at = self.world.now().plus(repeat.every);
        if nth < repeat.times {
            self.enter(at, action, nth);
        }
    }

    pub(super) fn node(&mut self, verb: NodeVerb, index: usize) {
        let node = NodeIndex(index);
        let now = self.world.now();
        // Nobody calls a machine that sleeps.
        let asleep = self.is_asleep(index);
        let Some(app) = self.apps.get_mut(index) else {
            return;
        };
        match verb {
            NodeVerb::Host | NodeVerb::Leave if asleep => {}
            NodeVerb::Host => {
                let hosting = Hosting::Signaling { code: self.code };
                if index == 0 && app.id.is_some() && self.world.try_host(node, hosting).is_ok() {
                    app.entering = Some(now);
                }
            }
            NodeVerb::Join => {
                app.wants_in = index > 0;
                self.join_if_wanted(index);
            }
            NodeVerb::Leave => {
                app.wants_in = false;
                let status = self.world.status(node);
                if let Some(id) = app.id
                    && status.is_some_and(|status| status != Status::Idle)
                {
                    // Whoever goes on leaving has no more time than it had.
                    app.leaving.get_or_insert(now);
                    app.entering = None;
                    self.reasons.left(id, index == 0);
                    self.world.leave(node);
                }
            }
            NodeVerb::Kick => {
                if let Some(id) = app.id
                    && self.world.kick(NodeIndex(0), id).is_ok()
                {
                    self.reasons.kicked(id);
                }
            }
            NodeVerb::Pause => {
                if self.plan.release {
                    app.paused = true;
                    self.world.pause_application(node, true);
                }
            }
            NodeVerb::Resume => self.resume(index),
            NodeVerb::Crash => {
                if let Some(id) = app.id.take() {
                    *app = App {
                        lives: app.lives,
                        ..App::default()
                    };
                    self.world.crash(node);
                    self.ledger.ended(id);
                }
            }
            NodeVerb::Restart => {
                if app.id.is_none() {
                    self.world.restart(node);
                    self.born(index);
                }
            }
            NodeVerb::Isolate => self.world.isolate(node),
            NodeVerb::Reconnect => self.world.reconnect(node),
        }
    }

    pub(super) fn join_if_wanted(&mut self, index: usize) {
        let now = self.world.now();
        let asleep = self.is_asleep(index);
        let (Some(app), Some(code)) = (self.apps.get_mut(index), self.code) else {
            return;
        };
        if app.wants_in && app.id.is_some() && !asleep {
            app.wants_in = false;
            if self.world.try_join(NodeIndex(index), &code).is_ok() {
                app.entering = Some(now);
            }
        }
    }

    pub(super) fn resume(&mut self, index: usize) {
        self.world.pause_application(NodeIndex(index), false);
        if let Some(app) = self.apps.get_mut(index) {
            app.paused = false;
        }
        self.take(index);
    }

    /// The application takes what waits for it, if nothing keeps it from it.
    pub(super) fn take(&mut self, index: usize) {
        let node = NodeIndex(index);
        if self.is_asleep(index) {
            return;
        }
        let Some(app) = self.apps.get_mut(index).filter(|app| !app.paused) else {
            return;
        };
        for (from, length) in core::mem::take(&mut app.untaken) {
            self.world.release(node, from, length);
        }
    }

    fn pair(&mut self, verb: PairVerb, a: NodeIndex, b: NodeIndex) {
        match verb {
            PairVerb::Partition => self.world.partition(a, b),
            PairVerb::Cut => self.world.partition_one_way(a, b),
            PairVerb::Heal => self.world.heal(a, b),
            PairVerb::Clog => self.world.clog(a, b),
            PairVerb::Unclog => self.world.unclog(a, b),
        }
    }

    fn nat(&mut self, verb: NatVerb, nat: NatIndex) {
        match verb {
            NatVerb::Rebind => self.world.rebind(nat),
            NatVerb::Readdress => self.world.change_outside_address(nat),
            NatVerb::Block => self.world.block_udp(nat, true),
            NatVerb::Unblock => self.world.block_udp(nat, false),
        }
    }

    /// What sleeps has its deadlines later.
    pub(super) fn sleep(&mut self, index: usize, time: Duration) {
        self.world.sleep(NodeIndex(index), time);
        if let Some(app) = self.apps.get_mut(index) {
            let begun = [&mut app.entering, &mut app.leaving];
            for since in begun.into_iter().flatten().chain(app.lost.values_mut()) {
                *since = since.plus(time);
            }
        }
    }

    pub(super) fn is_asleep(&self, index: usize) -> bool {
        let node = self.world.nodes.get(index);
        node.is_some_and(|node| node.asleep.is_some())
    }

    pub(super) fn start_server(&mut self) {
        if self.world.server.is_none() {
            self.world.start_server();
        }
    }

    /// Sends a reliable message; says whether it was taken.
    pub(super) fn send(&mut self, from: usize, to: Option<usize>, size: u32) -> bool {
        let Some(me) = self.apps.get(from).and_then(|app| app.id) else {
            return false;
        };
        let node = NodeIndex(from);
        let payload = self.ledger.next(me, Sort::Message, size);
        let (sent, receivers) = match to {
            Some(to) => {
                let Some(to) = self.apps.get(to).and_then(|app| app.id) else {
                    return false;
                };
                (self.world.send_to(node, to, payload), [to].into())
            }
            None => {
                let receivers = self.receivers(from, me);
                (self.world.broadcast(node, payload), receivers)
            }
        };
        if sent.is_ok() {
            self.ledger.sent(me, &receivers, size);
        }
        sent.is_ok()
    }

    /// Whom a broadcast reaches: all whom the sender sees, as far as anybody relays to them.
    fn receivers(&self, from: usize, me: NodeId) -> Vec<NodeId> {
        let seen = self.world.nodes(NodeIndex(from));
        let host = seen.first().copied();
        let all = from == 0 || self.plan.relay;
        seen.into_iter()
            .filter(|node| *node != me && (all || Some(*node) == host))
            .collect()
    }

    fn state(&mut self, from: usize, size: u32) {
        let Some(me) = self.apps.get(from).and_then(|app| app.id) else {
            return;
        };
        let payload = self.ledger.next(me, Sort::State, size);
        if let Ok(sequence) = self.world.broadcast_state(NodeIndex(from), payload) {
            let held = self.ledger.state_sent(me, sequence);
            self.judge(from, held);
        }
    }
}
