//! Events that wait for the application: bounded however slowly it takes them.
//!
//! Messages are bounded by the credit that the core gives to their senders; it is renewed when the
//! application takes them. States are replaced by newer ones of the same node, as they are on the
//! wire. Diagnostics over the limit are dropped. What else there is comes in pairs, and when too
//! much waits, a pair that cancels out is taken away: a node that came and went unseen was never
//! here.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "an event that is not named here just waits its turn"
)]

use crate::map::Map;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::event::{Event, Route};
use crate::id::NodeId;

/// How many diagnostics may wait.
const DIAGNOSTICS: usize = 512;

/// From how many waiting events on pairs are cancelled.
const CROWDED: usize = 1024;

/// Events that wait for an application that takes them when it likes, for drivers that have such a
/// queue: bounded however slowly it takes them.
///
/// Messages are bounded by the credit of their senders: use [`Credit::OnRelease`](crate::Credit), and
/// call `release` for each that is taken. Of the states of a node only the newest waits. Diagnostics
/// over 512 are dropped, and where more than 1024 events wait, so are pairs that cancel out, such as a
/// node's coming and going.
#[derive(Debug, Default)]
pub struct EventQueue {
    events: VecDeque<Slot>,
    /// Which slot holds the waiting state of a node: absolute numbers, see `taken`.
    states: Map<NodeId, u64>,
    /// How many slots were taken from the front since the beginning.
    taken: u64,
    diagnostics: usize,
    writable: bool,
}

/// A place in the queue; emptied when its event is cancelled, so that numbers stay.
type Slot = Option<Event>;

/// Messages that nobody will read: their senders are to be given credit for them.
type Cancelled = Vec<(NodeId, u32)>;

impl EventQueue {
    /// Adds an event. Gives the senders and lengths of messages that went away with it: `release` them.
    pub fn push(&mut self, event: Event) -> Vec<(NodeId, u32)> {
        let mut cancelled = Vec::new();
        match &event {
            Event::State {
                from,
                sequence,
                payload,
            } => {
                if self.replace_state(*from, *sequence, payload) {
                    return cancelled;
                }
                let place = self.next_number();
                self.states.insert(*from, place);
            }
            Event::Diagnostic(_) | Event::ConnectReport(_) => {
                if self.diagnostics >= DIAGNOSTICS {
                    return cancelled;
                }
                self.diagnostics = self.diagnostics.saturating_add(1);
            }
            Event::Writable => {
                if self.writable {
                    return cancelled;
                }
                self.writable = true;
            }
            Event::NodeLeft { node, .. } => {
                // A state of a later stay must not appear in this one.
                self.states.remove(node);
                if self.is_crowded() && self.cancel_stay(*node, &mut cancelled) {
                    return cancelled;
                }
            }
            Event::NodeBack { node } if self.is_crowded() => {
                // A suspicion comes before every loss.
                self.cancel_last(&Event::NodeLost { node: *node });
                if self.cancel_last(&Event::NodeSuspect { node: *node }) {
                    return cancelled;
                }
            }
            Event::NodeRoute { node, route }
                if self.is_crowded() && self.cancel_route(*node, *route) =>
            {
                return cancelled;
            }
            Event::SignalingRestored if self.is_crowded() && self.cancel_signaling_lost() => {
                return cancelled;
            }
            _ => {}
        }
        self.events.push_back(Some(event));
        cancelled
    }

    /// Takes the oldest event.
    pub fn pop(&mut self) -> Option<Event> {
        loop {
            let slot = self.events.pop_front()?;
            let number = self.taken;
            self.taken = self.taken.saturating_add(1);
            let Some(event) = slot else { continue };
            match &event {
                Event::State { from, .. } if self.states.get(from) == Some(&number) => {
                    self.states.remove(from);
                }
                Event::Diagnostic(_) | Event::ConnectReport(_) => {
                    self.diagnostics = self.diagnostics.saturating_sub(1);
                }
                Event::Writable => self.writable = false,
                _ => {}
            }
            return Some(event);
        }
    }

    fn next_number(&self) -> u64 {
        self.taken.saturating_add(self.events.len() as u64)
    }

    fn is_crowded(&self) -> bool {
        self.events.len() >= CROWDED
    }

    fn replace_state(&mut self, from: NodeId, sequence: u32, payload: &Bytes) -> bool {
        let Some(number) = self.states.get(&from) else {
            return false;
        };
        let place = usize::try_from(number.saturating_sub(self.taken)).unwrap_or(usize::MAX);
        let Some(slot) = self.events.get_mut(place) else {
            return false;
        };
        *slot = Some(Event::State {
            from,
            sequence,
            payload: payload.clone(),
        });
        true
    }

    /// Takes away a stay of `node` that waits from its beginning on.
    fn cancel_stay(&mut self, node: NodeId, cancelled: &mut Cancelled) -> bool {
        let joined = Event::NodeJoined { node };
        let Some(begin) = self.last_place(&joined) else {
            return false;
        };
        for slot in self.events.iter_mut().skip(begin) {
            let of_node = match slot {
                Some(
                    Event::NodeJoined { node: of }
                    | Event::NodeSuspect { node: of }
                    | Event::NodeLost { node: of }
                    | Event::NodeBack { node: of }
                    | Event::NodeRoute { node: of, .. }
                    | Event::State { from: of, .. },
                ) => *of == node,
                Some(Event::Message { from, payload }) if *from == node => {
                    let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                    cancelled.push((node, bytes));
                    true
                }
                _ => false,
            };
            if of_node {
                *slot = None;
            }
        }
        self.sweep();
        true
    }

    /// Takes away the word of the other way, if it is of the same stay: the node is back on the way
    /// that the application knows.
    fn cancel_route(&mut self, node: NodeId, route: Route) -> bool {
        let of_node = |slot: &&mut Slot| {
            matches!(slot, Some(Event::NodeRoute { node: of, .. } | Event::NodeLeft { node: of, .. })
                if *of == node)
        };
        let Some(slot) = self.events.iter_mut().rev().find(of_node) else {
            return false;
        };
        if !matches!(slot, Some(Event::NodeRoute { route: last, .. }) if *last != route) {
            return false;
        }
        *slot = None;
        self.sweep();
        true
    }

    fn cancel_last(&mut self, event: &Event) -> bool {
        let Some(place) = self.last_place(event) else {
            return false;
        };
        if let Some(slot) = self.events.get_mut(place) {
            *slot = None;
        }
        self.sweep();
        true
    }

    fn cancel_signaling_lost(&mut self) -> bool {
        let lost = self
            .events
            .iter_mut()
            .rev()
            .find(|slot| matches!(slot, Some(Event::SignalingLost { .. })));
        match lost {
            Some(slot) => {
                *slot = None;
                self.sweep();
                true
            }
            None => false,
        }
    }

    fn last_place(&self, event: &Event) -> Option<usize> {
        self.events
            .iter()
            .rposition(|slot| slot.as_ref() == Some(event))
    }

    /// Removes empty slots once they are many.
    fn sweep(&mut self) {
        let empty = self.events.iter().filter(|slot| slot.is_none()).count();
        if empty < CROWDED / 2 {
            return;
        }
        self.events.retain(Option::is_some);
        self.states.clear();
        for (number, slot) in (self.taken..).zip(&self.events) {
            match slot {
                Some(Event::State { from, .. }) => {
                    self.states.insert(*from, number);
                }
                Some(Event::NodeLeft { node, .. }) => {
                    self.states.remove(node);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CandidateKind, Diagnostic, LeaveReason, Side};

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 16])
    }

    fn state(from: u8, sequence: u32) -> Event {
        Event::State {
            from: node(from),
            sequence,
            payload: Bytes::from_static(b"x"),
        }
    }

    fn message(from: u8) -> Event {
        Event::Message {
            from: node(from),
            payload: Bytes::from_static(b"four"),
        }
    }

    fn left(number: u8) -> Event {
        Event::NodeLeft {
            node: node(number),
            reason: LeaveReason::Left,
        }
    }

    fn drained(queue: &mut EventQueue) -> Vec<Event> {
        core::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn the_newest_state_of_each_node_waits_where_the_first_one_did() {
        let mut queue = EventQueue::default();
        for event in [
            state(1, 1),
            message(2),
            state(2, 7),
            state(1, 2),
            state(1, 3),
        ] {
            queue.push(event);
        }
        assert_eq!(drained(&mut queue), [state(1, 3), message(2), state(2, 7)]);
        queue.push(state(1, 4));
        assert_eq!(drained(&mut queue), [state(1, 4)]);
    }

    #[test]
    fn a_state_stays_within_its_stay() {
        let joined = Event::NodeJoined { node: node(1) };
        let mut queue = EventQueue::default();
        let events = [joined.clone(), state(1, 1), left(1), joined, state(1, 1)];
        for event in events.clone() {
            queue.push(event);
        }
        assert_eq!(drained(&mut queue), events);
    }

    #[test]
    fn nodes_that_come_and_go_unseen_take_no_room() {
        let mut queue = EventQueue::default();
        let mut credit = 0;
        for round in 0..100_000_u32 {
            let number = (round % 200) as u8;
            queue.push(Event::NodeJoined { node: node(number) });
            queue.push(state(number, 1));
            queue.push(message(number));
            credit += queue.push(left(number)).len();
        }
        assert!(queue.events.len() < 3 * CROWDED, "{}", queue.events.len());
        let events = drained(&mut queue);
        let messages = events
            .iter()
            .filter(|event| matches!(event, Event::Message { .. }))
            .count();
        assert_eq!(messages + credit, 100_000);
    }

    #[test]
    fn diagnostics_and_writable_are_bounded() {
        let mut queue = EventQueue::default();
        for _ in 0..10 * DIAGNOSTICS {
            queue.push(Event::Writable);
            queue.push(Event::Diagnostic(Diagnostic::Candidate {
                node: None,
                side: Side::Local,
                kind: CandidateKind::Host,
            }));
        }
        assert_eq!(drained(&mut queue).len(), DIAGNOSTICS + 1);
        queue.push(Event::Writable);
        assert_eq!(drained(&mut queue), [Event::Writable]);
    }

    #[test]
    fn a_flapping_node_takes_no_room() {
        let mut queue = EventQueue::default();
        for _ in 0..100_000 {
            queue.push(Event::NodeSuspect { node: node(1) });
            queue.push(Event::NodeBack { node: node(1) });
        }
        assert!(queue.events.len() < 3 * CROWDED);
    }
    fn route(number: u8, route: Route) -> Event {
        Event::NodeRoute {
            node: node(number),
            route,
        }
    }

    #[test]
    fn a_node_whose_way_flaps_takes_no_room_and_its_last_way_is_told() {
        let mut queue = EventQueue::default();
        for round in 0..100_001_u32 {
            let other = (round % 7) as u8;
            queue.push(message(other));
            queue.pop();
            queue.push(route(other, Route::Direct));
            queue.push(route(other, Route::Relayed));
        }
        queue.push(route(3, Route::Direct));
        assert!(queue.events.len() < 3 * CROWDED, "{}", queue.events.len());
        let mut ways = Map::new();
        for event in drained(&mut queue) {
            if let Event::NodeRoute { node, route } = event {
                // The two ways take turns, as they do without a crowd.
                assert_ne!(ways.insert(node, route), Some(route));
            }
        }
        assert_eq!(ways.remove(&node(3)), Some(Route::Direct));
        assert!(ways.values().all(|way| *way == Route::Relayed));
    }

    #[test]
    fn a_way_of_an_earlier_stay_cancels_nothing() {
        let mut queue = EventQueue::default();
        for _ in 0..CROWDED {
            queue.push(message(2));
        }
        let events = [
            route(1, Route::Relayed),
            left(1),
            Event::NodeJoined { node: node(1) },
            route(1, Route::Direct),
        ];
        for event in events.clone() {
            queue.push(event);
        }
        assert_eq!(drained(&mut queue)[CROWDED..], events);
    }

    #[test]
    fn the_loss_of_the_host_is_always_told() {
        let mut queue = EventQueue::default();
        for _ in 0..CROWDED {
            queue.push(message(2));
        }
        let lost = Event::HostLost {
            reason: LeaveReason::Lost,
        };
        // Nobody has seen the host, and yet the network has none any more.
        queue.push(Event::NodeJoined { node: node(1) });
        queue.push(left(1));
        queue.push(lost.clone());
        assert_eq!(drained(&mut queue)[CROWDED..], [lost]);
    }
}
