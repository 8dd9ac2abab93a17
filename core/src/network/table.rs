//! Parts of a kind, of which an input touches one: the others are not looked at again.

use alloc::vec::Vec;
use core::ops::Deref;

use crate::map::{self, Map};
use crate::time::{Timestamp, earliest};

/// Parts by name, which ones may have changed, and when each wants to be looked at.
///
/// Reading is that of the map. Whoever gets a part to change it has touched it, and the next
/// [`look`](Self::look) sees it.
#[derive(Debug)]
pub(super) struct Table<K, T> {
    parts: Map<K, T>,
    /// One for each part, in the same order.
    marks: Vec<Mark>,
    /// Whether any was touched since the last look.
    touched: bool,
    /// When the first of them wants to be looked at.
    first: Option<Timestamp>,
}

#[derive(Debug)]
struct Mark {
    /// Since the last look.
    touched: bool,
    /// When the part wants to be looked at, as it said at the last look.
    due: Option<Timestamp>,
}

const TOUCHED: Mark = Mark {
    touched: true,
    due: None,
};

impl<K: Copy + Ord, T> Table<K, T> {
    pub(super) const fn new() -> Self {
        Self {
            parts: Map::new(),
            marks: Vec::new(),
            touched: false,
            first: None,
        }
    }

    pub(super) fn insert(&mut self, key: K, part: T) {
        self.touched = true;
        match self.parts.put(key, part) {
            (place, Some(_)) => self.touch(place),
            (place, None) => self.marks.insert(place, TOUCHED),
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<T> {
        let place = self.parts.place(key).ok()?;
        self.marks.remove(place);
        self.find_first();
        self.parts.remove(key)
    }

    pub(super) fn pop_first(&mut self) -> Option<(K, T)> {
        let key = *self.parts.first_key_value()?.0;
        Some((key, self.remove(&key)?))
    }

    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.marks.clear();
        self.first = None;
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        let place = self.parts.place(key).ok()?;
        self.touch(place);
        self.parts.at_mut(place)
    }

    pub(super) fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.touch_all();
        self.parts.values_mut()
    }

    /// Shows all that were touched, in order; `look` says when each wants to be touched again.
    pub(super) fn look(&mut self, mut look: impl FnMut(K, &mut T) -> Option<Timestamp>) {
        if !core::mem::take(&mut self.touched) {
            return;
        }
        self.first = None;
        for (mark, (key, part)) in self.marks.iter_mut().zip(&mut self.parts) {
            if core::mem::take(&mut mark.touched) {
                mark.due = look(*key, part);
            }
            self.first = earliest(self.first, mark.due);
        }
    }

    /// All that were touched since the last look, in order.
    pub(super) fn touched(&self) -> impl Iterator<Item = (K, &T)> {
        let all = self.marks.iter().zip(&self.parts);
        let touched = all.filter(|(mark, _)| mark.touched);
        touched.map(|(_, (key, part))| (*key, part))
    }

    /// Touches those who want it by now.
    pub(super) fn touch_due(&mut self, now: Timestamp) {
        if self.first.is_none_or(|first| first > now) {
            return;
        }
        self.touched = true;
        for mark in &mut self.marks {
            mark.touched |= mark.due.is_some_and(|due| due <= now);
        }
    }

    /// When the first of them wants to be touched: right if nothing was touched since the last look.
    pub(super) const fn deadline(&self) -> Option<Timestamp> {
        self.first
    }

    fn find_first(&mut self) {
        self.first = self.marks.iter().filter_map(|mark| mark.due).min();
    }

    fn touch(&mut self, place: usize) {
        self.touched = true;
        if let Some(mark) = self.marks.get_mut(place) {
            mark.touched = true;
        }
    }

    fn touch_all(&mut self) {
        self.touched = true;
        for mark in &mut self.marks {
            mark.touched = true;
        }
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
