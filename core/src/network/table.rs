//! Parts of a kind, of which an input touches one: the others are not looked at again.

use alloc::vec::Vec;
use core::ops::Deref;

use crate::map::{self, Map};
use crate::time::Timestamp;

/// Parts by name, which ones may have changed, and when each wants to be looked at.
///
/// Reading is that of the map. Whoever gets a part to change it has touched it, and the next
/// [`look`](Self::look) sees it.
#[derive(Debug)]
pub(super) struct Table<K, T> {
    parts: Map<K, T>,
    /// Since the last look; some perhaps twice, and some perhaps removed since.
    touched: Vec<K>,
    /// When the parts want to be looked at, as they said at the last look.
    due: Vec<(K, Timestamp)>,
}

impl<K: Copy + Ord, T> Table<K, T> {
    pub(super) const fn new() -> Self {
        Self {
            parts: Map::new(),
            touched: Vec::new(),
            due: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, key: K, part: T) {
        self.parts.insert(key, part);
        self.touch(key);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<T> {
        note(&mut self.due, *key, None);
        self.parts.remove(key)
    }

    pub(super) fn pop_first(&mut self) -> Option<(K, T)> {
        let key = *self.parts.first_key_value()?.0;
        Some((key, self.remove(&key)?))
    }

    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.touched.clear();
        self.due.clear();
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        let part = self.parts.get_mut(key)?;
        if self.touched.last() != Some(key) {
            self.touched.push(*key);
        }
        Some(part)
    }

    pub(super) fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.touch_all();
        self.parts.values_mut()
    }

    /// Shows all that were touched, in order; `look` says when each wants to be touched again.
    pub(super) fn look(&mut self, mut look: impl FnMut(K, &mut T) -> Option<Timestamp>) {
        self.order();
        let Self {
            parts,
            touched,
            due,
        } = self;
        for key in touched.iter() {
            if let Some(part) = parts.get_mut(key) {
                note(due, *key, look(*key, part));
            }
        }
        touched.clear();
    }

    /// All that were touched since the last look, in order.
    pub(super) fn touched(&mut self) -> impl Iterator<Item = (K, &T)> {
        self.order();
        let touched = self.touched.iter();
        touched.filter_map(|key| Some((*key, self.parts.get(key)?)))
    }

    /// Touches those who want it by now.
    pub(super) fn touch_due(&mut self, now: Timestamp) {
        let due = self.due.iter().filter(|(_, at)| *at <= now);
        self.touched.extend(due.map(|(key, _)| *key));
    }

    /// When the first of them wants to be touched: right if nothing was touched since the last look.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.due.iter().map(|(_, at)| *at).min()
    }

    fn touch(&mut self, key: K) {
        self.touched.push(key);
    }

    fn touch_all(&mut self) {
        self.touched.clear();
        self.touched.extend(self.parts.keys());
    }

    /// Each once, in order; mostly there is one.
    fn order(&mut self) {
        if self.touched.len() > 1 {
            self.touched.sort_unstable();
            self.touched.dedup();
        }
    }
}

fn note<K: Copy + Ord>(due: &mut Vec<(K, Timestamp)>, key: K, at: Option<Timestamp>) {
    let place = due.iter().position(|(other, _)| *other == key);
    match (place, at) {
        #[expect(clippy::indexing_slicing, reason = "it was found there")]
        (Some(place), Some(at)) => due[place].1 = at,
        (Some(place), None) => drop(due.swap_remove(place)),
        (None, Some(at)) => due.push((key, at)),
        (None, None) => {}
    }
}

impl<K, T> Deref for Table<K, T> {
    type Target = Map<K, T>;

    fn deref(&self) -> &Map<K, T> {
        &self.parts
    }
}

impl<'a, K: Copy + Ord, T> IntoIterator for &'a Table<K, T> {
    type Item = (&'a K, &'a T);
    type IntoIter = map::Iter<'a, K, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.parts.iter()
    }
}

impl<'a, K: Copy + Ord, T> IntoIterator for &'a mut Table<K, T> {
    type Item = (&'a K, &'a mut T);
    type IntoIter = map::IterMut<'a, K, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.touch_all();
        self.parts.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(table: &mut Table<u8, Option<u64>>) -> Vec<u8> {
        let mut seen = Vec::new();
        table.look(|key, at| {
            seen.push(key);
            at.map(Timestamp::from_millis)
        });
        seen
    }

    #[test]
    fn only_what_was_touched_is_seen_once_and_in_order() {
        let mut table = Table::new();
        for key in [3, 1, 2] {
            table.insert(key, None);
        }
        assert_eq!(seen(&mut table), [1, 2, 3]);
        assert!(seen(&mut table).is_empty());
        for key in [3, 2, 3, 9] {
            let _ = table.get_mut(&key);
        }
        table.remove(&2);
        assert_eq!(seen(&mut table), [3]);
        assert_eq!(table.values_mut().count(), 2);
        assert_eq!(seen(&mut table), [1, 3]);
    }

    #[test]
    fn the_deadline_is_the_earliest_of_those_that_are_there() {
        let mut table = Table::new();
        let at = Timestamp::from_millis;
        table.insert(1, Some(10));
        table.insert(2, Some(20));
        table.insert(3, None);
        assert_eq!(seen(&mut table).len(), 3);
        assert_eq!(table.deadline(), Some(at(10)));
        table.touch_due(at(9));
        assert!(seen(&mut table).is_empty());
        table.touch_due(at(10));
        assert_eq!(seen(&mut table), [1]);
        *table.get_mut(&1).unwrap() = None;
        assert_eq!(seen(&mut table), [1]);
        assert_eq!(table.deadline(), Some(at(20)));
        assert_eq!(table.remove(&2), Some(Some(20)));
        assert_eq!(table.deadline(), None);
    }
}
