//! The first datagrams of a burst, sent again until all of it is acknowledged.
//!
//! SCTP's timer starts at 3 s, is never shorter than 1, and doubles to 60: a welcome that is lost
//! twice would have used up the deadline of its join, and a lone message on a lossy path takes
//! tens of seconds. Neither can be set through str0m. But DTLS drops what comes twice, so a datagram
//! may be sent again as it is. Only the first few are, and only for some seconds: in the middle of
//! traffic losses are SCTP's, which it repairs well there.

use alloc::vec::Vec;
use core::time::Duration;

use super::outbox::Outbox;
use crate::native::io::Transmit;
use crate::time::Timestamp;

/// An acknowledgement may be delayed by 200 ms (RFC 9260 section 6.2) and a round trip, which comes
/// on top of this.
const AFTER: Duration = Duration::from_millis(300);

/// Then again and again, for the 10 s that a handshake may take.
const INTERVAL: Duration = Duration::from_millis(700);
const ROUNDS: u32 = 14;

/// A welcome with its roster, or a message of a few kilobytes.
const DATAGRAMS: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Echo {
    datagrams: Vec<Transmit>,
    due: Option<Timestamp>,
    round: u32,
    over: bool,
}

impl Echo {
    pub(super) const fn poll_timeout(&self) -> Option<Timestamp> {
        self.due
    }

    /// Whether a datagram with data is to be told to `sent`.
    pub(super) const fn listens(&self) -> bool {
        !self.over && self.datagrams.len() < DATAGRAMS
    }

    pub(super) fn sent(&mut self, now: Timestamp, transmit: &Transmit, round_trip: Duration) {
        self.datagrams.push(transmit.clone());
        self.due = self.due.or_else(|| Some(now.plus(AFTER + round_trip)));
    }

    /// All is acknowledged: what comes next is another burst.
    pub(super) fn rest(&mut self) {
        if self.over || self.due.is_some() {
            *self = Self::default();
        }
    }

    /// Nothing is to be sent any more.
    pub(super) fn stop(&mut self) {
        *self = Self {
            over: true,
            ..Self::default()
        };
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        out.transmits.extend(self.datagrams.iter().cloned());
        self.round += 1;
        if self.round == ROUNDS {
            self.stop();
        } else {
            self.due = Some(now.plus(INTERVAL));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_ten_seconds_and_no_longer() {
        let transmit = Transmit {
            local: "192.0.2.1:1".parse().unwrap(),
            remote: "192.0.2.2:2".parse().unwrap(),
            payload: b"x"[..].into(),
        };
        let mut echo = Echo::default();
        let mut out = Outbox::default();
        while echo.listens() {
            echo.sent(Timestamp::ZERO, &transmit, Duration::from_millis(50));
        }
        let mut times = Vec::new();
        while let Some(due) = echo.poll_timeout() {
            echo.handle_timeout(due, &mut out);
            times.push(due.as_millis());
        }
        assert_eq!(times[..3], [350, 1050, 1750]);
        assert_eq!(times.last(), Some(&9450));
        assert_eq!(out.transmits.len(), times.len() * DATAGRAMS);
        assert!(!echo.listens());
        echo.rest();
        assert!(echo.listens());
    }
}
