//! A rolling hash over everything that goes in and out, and the same as text if wanted.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::hash::{Hash, Hasher as _};
use core::ops::Range;

use crate::id::NodeId;
use crate::time::Timestamp;

/// Which way an entry goes, seen from the node.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum To {
    Node,
    World,
    /// Neither: what the application says of itself.
    Nobody,
}

/// Folds entries into a hash; two runs agree exactly when all their entries do.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    entries: u64,
    /// The hash after each entry, if kept.
    hashes: Option<Vec<u64>>,
    /// Which entries are kept as lines.
    wanted: Range<u64>,
    text: String,
    names: Vec<String>,
    ids: Vec<(String, usize)>,
}

impl Trace {
    pub(super) const fn new() -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            entries: 0,
            hashes: None,
            wanted: 0..0,
            text: String::new(),
            names: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// Keeps these entries as lines of text, too.
    pub(super) const fn keep_text(&mut self, wanted: Range<u64>) {
        self.wanted = wanted;
    }

    /// From now on keeps the hash after each entry.
    pub(super) fn keep_hashes(&mut self) {
        self.hashes.get_or_insert_default();
    }

    pub(super) fn add<T: Hash + fmt::Debug>(
        &mut self,
        at: Timestamp,
        node: usize,
        to: To,
        what: &T,
    ) {
        let mut folder = Folder(self.hash);
        folder.write_u64(at.as_nanos());
        folder.write_u64((node as u64) << 2 | to as u64);
        what.hash(&mut folder);
        self.hash = folder.finish();
        if let Some(hashes) = &mut self.hashes {
            hashes.push(self.hash);
        }
        if self.wanted.contains(&self.entries) {
            self.write_line(at, node, to, what);
        }
        self.entries = self.entries.wrapping_add(1);
    }

    pub(super) fn add_timeout(&mut self, at: Timestamp, node: usize) {
        #[derive(Debug, Hash)]
        struct Timeout;
        self.add(at, node, To::Node, &Timeout);
    }

    pub(super) fn add_note(&mut self, at: Timestamp, node: usize, text: &str) {
        #[derive(Hash)]
        struct Note<'a>(&'a str);
        impl fmt::Debug for Note<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        self.add(at, node, To::Nobody, &Note(text));
    }

    /// Whether all is kept as lines from here on.
    pub(super) const fn is_timeline(&self) -> bool {
        self.wanted.end == u64::MAX
    }

    /// A line of what changes in the world itself; nothing that a node did, so the hash does not count it.
    pub(super) fn add_change(&mut self, at: Timestamp, change: &dyn fmt::Debug) {
        if !self.is_timeline() {
            return;
        }
        let mut text = format!("{change:?}");
        for node in (0..self.names.len().max(self.ids.len())).rev() {
            text = text.replace(&format!("NodeIndex({node})"), &self.name(node));
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{:>13} world    !! {text}", at.to_string());
    }

    fn write_line(&mut self, at: Timestamp, node: usize, to: To, what: &dyn fmt::Debug) {
        let mut line = String::new();
        let arrow = match to {
            To::Node => "<-",
            To::World => "->",
            To::Nobody => "--",
        };
        let name = self.name(node);
        let _ = write!(line, "{:>13} {name:<8} {arrow} ", at.to_string());
        let _ = write!(Short::new(&mut line), "{what:?}");
        self.text.push_str(&self.with_names(line));
        self.text.push('\n');
    }

    /// The text with nodes' names where their ids stand.
    pub(super) fn with_names(&self, mut text: String) -> String {
        for (id, node) in &self.ids {
            if text.contains(id.as_str()) {
                text = text.replace(id.as_str(), &self.name(*node));
            }
        }
        text
    }

    pub(super) fn name(&self, node: usize) -> String {
        self.names
            .get(node)
            .filter(|name| !name.is_empty())
            .cloned()
            .unwrap_or_else(|| format!("node-{node}"))
    }

    pub(super) fn set_name(&mut self, node: usize, name: String) {
        if self.names.len() <= node {
            self.names.resize(node.saturating_add(1), String::new());
        }
        if let Some(place) = self.names.get_mut(node) {
            *place = name;
        }
    }

    /// From now on a line shows the node's name instead of this.
    pub(super) fn set_id(&mut self, node: usize, id: NodeId) {
        self.ids.push((id.to_string(), node));
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn hashes(&self) -> &[u64] {
        self.hashes.as_deref().unwrap_or_default()
    }

    pub(super) const fn entries(&self) -> u64 {
        self.entries
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Eight bytes at a time, and the same on every platform: all lengths count as 64 bits.
struct Folder(u64);

impl Folder {
    const fn fold(&mut self, word: u64) {
        // The two halves of a wide product (as in wyhash): fast, and no bit is lost.
        let wide = (self.0 ^ word) as u128 * 0xa076_1d64_78bd_642f;
        self.0 = ((wide >> 64) as u64 ^ wide as u64).wrapping_add(0xe703_7ed1_a0b4_28db);
    }
}

impl core::hash::Hasher for Folder {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        if rest.is_empty() {
            return;
        }
        self.fold(match bytes.last_chunk() {
            // What was folded already is shifted out.
            Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
            None => rest
                .iter()
                .rfold(0, |word, byte| word << 8 | u64::from(*byte)),
        });
    }

    fn write_u8(&mut self, number: u8) {
        self.fold(number.into());
    }

    fn write_u16(&mut self, number: u16) {
        self.fold(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.fold(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.fold(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.fold(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.fold(number as i64 as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What of a quoted text is shown.
const SHOWN: u32 = 48;

/// Passes text on, and cuts what stands in quotes.
struct Short<'a> {
    to: &'a mut String,
    quoted: bool,
    escaped: bool,
    length: u32,
}

impl<'a> Short<'a> {
    const fn new(to: &'a mut String) -> Self {
        Self {
            to,
            quoted: false,
            escaped: false,
            length: 0,
        }
    }
}

impl fmt::Write for Short<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let ends = character == '"' && !self.escaped;
            self.escaped = character == '\\' && !self.escaped;
            if ends {
                self.quoted = !self.quoted;
                if self.length > SHOWN {
                    write!(self.to, "\u{2026}{} more", self.length - SHOWN)?;
                }
                self.length = 0;
            } else if self.quoted {
                self.length = self.length.saturating_add(1);
                if self.length > SHOWN {
                    continue;
                }
            }
            self.to.push(character);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn hash(what: impl Hash) -> u64 {
        let mut folder = Folder(1);
        what.hash(&mut folder);
        folder.finish()
    }

    #[test]
    fn what_differs_hashes_differently() {
        let mut all = vec![
            hash(0u64),
            hash(0u32.wrapping_sub(1)),
            hash("ab"),
            hash(("a", "b")),
            hash(Bytes::from_static(b"12345678")),
            hash(Bytes::from_static(b"123456789")),
            hash([0u8; 3]),
            hash([0u8; 4]),
        ];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8);
    }

    #[test]
    fn long_payloads_are_cut_and_names_are_put_in() {
        let mut trace = Trace::new();
        trace.keep_text(0..2);
        let id = NodeId::from_bytes([9; 16]);
        trace.set_id(1, id);
        trace.set_name(1, "bob".into());
        let payload = Bytes::from(vec![b'x'; 3_000]);
        trace.add(
            Timestamp::from_millis(1),
            0,
            To::Node,
            &(id, payload, "a\"b"),
        );
        trace.add(Timestamp::from_millis(2), 1, To::World, &7u8);
        trace.add(Timestamp::from_millis(3), 1, To::World, &8u8);
        let lines: Vec<&str> = trace.text().lines().collect();
        let shown = "x".repeat(48);
        assert_eq!(
            lines[0],
            format!("    0.001000s node-0   <- (bob, b\"{shown}…2952 more\", \"a\\\"b\")")
        );
        assert_eq!(lines[1], "    0.002000s bob      -> 7");
        assert_eq!(lines.len(), 2);
        assert_eq!(trace.entries(), 3);
    }
}
