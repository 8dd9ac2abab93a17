//! A rolling hash over everything that goes in and out, and the same as text if wanted.

use alloc::string::String;
use core::fmt::{self, Write as _};

use crate::time::Timestamp;

/// Folds entries into a hash; two runs agree exactly when all their entries do.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    entries: u64,
    text: Option<String>,
}

impl Trace {
    pub(super) const fn new() -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            entries: 0,
            text: None,
        }
    }

    /// From now on every entry is kept as a line of text, too.
    pub(super) fn keep_text(&mut self) {
        self.text.get_or_insert_default();
    }

    pub(super) fn add(&mut self, at: Timestamp, node: usize, what: &dyn fmt::Debug) {
        self.entries = self.entries.wrapping_add(1);
        // Writing to a hash or a string cannot fail.
        let _ = writeln!(Hasher(&mut self.hash), "{} {node} {what:?}", at.as_nanos());
        if let Some(text) = &mut self.text {
            let _ = writeln!(text, "{at} node {node}: {what:?}");
        }
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) const fn entries(&self) -> u64 {
        self.entries
    }

    pub(super) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }
}

/// FNV-1a over what is written.
struct Hasher<'a>(&'a mut u64);

impl fmt::Write for Hasher<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            *self.0 = (*self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
