//! When something is to be asked for again.

use core::time::Duration;

use crate::time::Timestamp;

/// The longest pause after failures.
const LONGEST: Duration = Duration::from_secs(32);

/// When the next request for something goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Then.
    At(Timestamp),
    /// One waits for its answer.
    Asked,
    /// The server does not want it.
    Never,
}

/// What is asked for over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    pub(super) next: Next,
    /// How many requests in a row came to nothing.
    pub(super) failures: u8,
}

impl Schedule {
    pub(super) const fn at(when: Timestamp) -> Self {
        Self {
            next: Next::At(when),
            failures: 0,
        }
    }

    pub(super) const fn due(&self) -> Option<Timestamp> {
        match self.next {
            Next::At(when) => Some(when),
            Next::Asked | Next::Never => None,
        }
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.due().is_some_and(|when| when <= now)
    }

    /// Tries again after a pause: a second, two, four and so on.
    pub(super) fn postpone(&mut self, now: Timestamp) {
        let pause = Duration::from_secs(1 << self.failures.min(5)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.next = Next::At(now.plus(pause));
    }
}
