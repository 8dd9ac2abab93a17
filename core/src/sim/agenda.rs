//! What happens next in a world: what was scheduled, and which node wants to be woken.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::run::What;
use crate::time::{NEVER, Timestamp};

/// What happens when; of two things at the same moment, what was scheduled first.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// Moments are few: most of what was sent together arrives together.
    moments: BTreeMap<Timestamp, Chain>,
    places: Vec<Place>,
    free: Vec<usize>,
}

/// All that happens at a moment: each place names the next.
#[derive(Debug)]
struct Chain {
    first: usize,
    last: usize,
}

#[derive(Debug)]
struct Place {
    what: Option<What>,
    next: usize,
}

impl Agenda {
    pub(super) fn push(&mut self, at: Timestamp, what: What) {
        let what = Some(what);
        let place = self.free.pop().unwrap_or(self.places.len());
        match self.places.get_mut(place) {
            Some(free) => free.what = what,
            None => self.places.push(Place { what, next: place }),
        }
        let (first, last) = (place, place);
        let chain = self.moments.entry(at).or_insert(Chain { first, last });
        if let Some(before) = self.places.get_mut(chain.last) {
            before.next = place;
        }
        chain.last = place;
    }

    /// When the next thing happens.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.moments.first_key_value().map(|(at, _)| *at)
    }

    pub(super) fn pop(&mut self) -> Option<What> {
        let mut moment = self.moments.first_entry()?;
        let chain = moment.get_mut();
        let (first, last) = (chain.first, chain.last);
        let place = self.places.get_mut(first)?;
        chain.first = place.next;
        if first == last {
            moment.remove();
        }
        self.free.push(first);
        place.what.take()
    }
}

/// When each node wants to be woken.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    at: Vec<Timestamp>,
    /// The node that is woken next.
    first: usize,
}

impl Wakes {
    /// One node more, which does not want to be woken.
    pub(super) fn add(&mut self) {
        self.at.push(NEVER);
    }

    pub(super) fn get(&self, node: usize) -> Timestamp {
        self.at.get(node).copied().unwrap_or(NEVER)
    }

    pub(super) fn set(&mut self, node: usize, at: Timestamp) {
        let Some(wake) = self.at.get_mut(node) else {
            return;
        };
        *wake = at;
        if node == self.first {
            let all = self.at.iter().enumerate();
            let first = all.min_by_key(|(_, at)| **at);
            self.first = first.map_or(0, |(node, _)| node);
        } else if (at, node) < (self.get(self.first), self.first) {
            self.first = node;
        }
    }

    /// When which node is woken next.
    pub(super) fn next(&self) -> (Timestamp, usize) {
        (self.get(self.first), self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::super::signaling::ToServer;
    use super::*;
    use crate::signaling::ConnectionId;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn what_was_scheduled_first_happens_first_at_its_moment() {
        let mut agenda = Agenda::default();
        let mut happened = Vec::new();
        let mut take = |agenda: &mut Agenda| {
            let when = agenda.next().map(Timestamp::as_millis);
            if let Some(What::ToServer { connection, .. }) = agenda.pop() {
                happened.push((when.unwrap(), connection.0));
            }
        };
        let put = |agenda: &mut Agenda, when, number| {
            let (connection, what) = (ConnectionId(number), ToServer::Closed);
            agenda.push(at(when), What::ToServer { connection, what });
        };
        for (when, number) in [(20, 1), (10, 2), (20, 3), (10, 4)] {
            put(&mut agenda, when, number);
        }
        take(&mut agenda);
        put(&mut agenda, 10, 5);
        put(&mut agenda, 5, 6);
        (0..6).for_each(|_| take(&mut agenda));
        let expected = [(10, 2), (5, 6), (10, 4), (10, 5), (20, 1), (20, 3)];
        assert_eq!(happened, expected);
        assert_eq!(agenda.places.len(), 5, "places are used again");
    }

    #[test]
    fn the_first_node_of_those_that_want_it_earliest_is_woken() {
        let mut wakes = Wakes::default();
        assert_eq!(wakes.next().0, NEVER);
        (0..4).for_each(|_| wakes.add());
        for (node, when, next) in [
            (2, 20, 2),
            (3, 20, 2),
            (1, 20, 1),
            (0, 30, 1),
            (1, 40, 2),
            (2, 50, 3),
            (3, 10, 3),
            (3, 30, 0),
        ] {
            wakes.set(node, at(when));
            assert_eq!(wakes.next(), (wakes.get(next), next));
        }
        wakes.set(9, at(1));
        assert_eq!(wakes.next(), (at(30), 0));
    }
}
