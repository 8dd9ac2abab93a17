//! Parts of a kind, of which an input touches one: the others are not looked at again.

use alloc::vec::Vec;
use core::ops::Deref;

use crate::map::{self, Map};
use crate::time::{NEVER, Timestamp};

/// Parts by name, which ones may have changed, and when each wants to be looked at.
///
/// Reading is that of the map. Whoever gets a part to change it has touched it, and the next
/// [`look`](Self::look) sees it.
#[derive(Debug)]
pub(super) struct Table<K, T> {
    parts: Map<K, T>,
    /// When each wants to be looked at, in the same order: one that was touched, at once.
    due: Vec<Timestamp>,
    /// The first of these.
    first: Timestamp,
}

const AT_ONCE: Timestamp = Timestamp::ZERO;

impl<K: Copy + Ord, T> Table<K, T> {
    pub(super) const fn new() -> Self {
        Self {
            parts: Map::new(),
            due: Vec::new(),
            first: NEVER,
        }
    }

    pub(super) fn insert(&mut self, key: K, part: T) {
        let (place, old) = self.parts.put(key, part);
        if old.is_none() {
            self.due.insert(place, NEVER);
        }
        self.touch(place);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<T> {
        let place = self.parts.place(key).ok()?;
        self.due.remove(place);
        self.first = self.due.iter().copied().min().unwrap_or(NEVER);
        self.parts.remove(key)
    }

    pub(super) fn pop_first(&mut self) -> Option<(K, T)> {
        let key = *self.parts.first_key_value()?.0;
        Some((key, self.remove(&key)?))
    }

    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.due.clear();
        self.first = NEVER;
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        let place = self.parts.place(key).ok()?;
        self.touch(place);
        self.parts.at_mut(place)
    }

    /// The first that is the one.
    pub(super) fn find_mut(&mut self, is_it: impl Fn(&T) -> bool) -> Option<&mut T> {
        let place = self.parts.values().position(is_it)?;
        self.touch(place);
        self.parts.at_mut(place)
    }

    pub(super) fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.touch_all();
        self.parts.values_mut()
    }

    /// Shows all that were touched, and those who want it by then, in order; `look` says when each wants to be
    /// shown again.
    pub(super) fn look(
        &mut self,
        by: Timestamp,
        mut look: impl FnMut(K, &mut T) -> Option<Timestamp>,
    ) {
        if self.first > by {
            return;
        }
        self.first = NEVER;
        for (due, (key, part)) in self.due.iter_mut().zip(&mut self.parts) {
            if *due <= by {
                *due = look(*key, part).unwrap_or(NEVER);
            }
            self.first = self.first.min(*due);
        }
    }

    /// Shows those alone that were touched, as if their times had not come.
    pub(super) fn look_at_touched(&mut self, look: impl FnMut(K, &mut T) -> Option<Timestamp>) {
        self.look(AT_ONCE, look);
    }

    /// All that were touched since the last look, in order.
    pub(super) fn touched(&self) -> impl Iterator<Item = (K, &T)> {
        let all = self.due.iter().zip(&self.parts);
        let touched = all.filter(|(due, _)| **due == AT_ONCE);
        touched.map(|(_, (key, part))| (*key, part))
    }

    /// When the first of them wants to be looked at: right if nothing was touched since the last look.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        Some(self.first).filter(|first| *first < NEVER)
    }

    fn touch(&mut self, place: usize) {
        self.first = AT_ONCE;
        if let Some(due) = self.due.get_mut(place) {
            *due = AT_ONCE;
        }
    }

    fn touch_all(&mut self) {
        self.first = if self.due.is_empty() { NEVER } else { AT_ONCE };
        self.due.fill(AT_ONCE);
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
        table.look_at_touched(|key, at| {
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
        let mut looked = Vec::new();
        for by in [9, 10] {
            table.look(at(by), |key, _| {
                looked.push((by, key));
                Some(at(15))
            });
        }
        assert_eq!(looked, [(10, 1)]);
        assert_eq!(table.deadline(), Some(at(15)));
        *table.get_mut(&1).unwrap() = None;
        assert_eq!(seen(&mut table), [1]);
        assert_eq!(table.deadline(), Some(at(20)));
        assert_eq!(table.remove(&2), Some(Some(20)));
        assert_eq!(table.deadline(), None);
    }
}
