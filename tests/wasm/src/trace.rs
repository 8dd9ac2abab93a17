//! The trace: everything that goes in and comes out, folded into one number.

use std::fmt;

/// A 64-bit FNV-1a hash of text.
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Folds one entry in: what it is, and what was in it.
    pub(crate) fn record(&mut self, what: &str, content: &dyn fmt::Debug) {
        // Writing into a hash cannot fail.
        let _ = fmt::write(self, format_args!("{what} {content:?}\n"));
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.0
    }
}

impl fmt::Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
