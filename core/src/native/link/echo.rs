//! The first datagrams with data, sent again until it is known that data passes.
//!
//! SCTP waits 3 s before it repeats anything, as long as it has not measured a round trip: a link
//! whose first frames are lost once would have used up a third of its deadline. DTLS drops what
//! comes twice.

use alloc::vec::Vec;
use core::time::Duration;

use super::outbox::Outbox;
use crate::native::io::Transmit;
use crate::time::Timestamp;

/// An acknowledgement may be delayed by 200 ms (RFC 9260 section 6.2) and a round trip.
const AFTER: Duration = Duration::from_millis(350);

/// After 350, 700 and 1,400 ms: then SCTP repeats by itself.
const ROUNDS: u32 = 3;

/// The welcome, its acknowledgement, a hello: more is not in flight so early.
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

    /// A datagram with data left.
    pub(super) fn sent(&mut self, now: Timestamp, transmit: &Transmit) {
        if self.over || self.datagrams.len() >= DATAGRAMS {
            return;
        }
        self.datagrams.push(transmit.clone());
        self.due = self.due.or_else(|| Some(now.plus(AFTER)));
    }

    /// Data came from the remote, or nothing is to be sent any more.
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
            self.due = Some(now.plus(AFTER.saturating_mul(1 << self.round)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_and_no_more() {
        let transmit = Transmit {
            local: "192.0.2.1:1".parse().unwrap(),
            remote: "192.0.2.2:2".parse().unwrap(),
            payload: b"x"[..].into(),
        };
        let mut echo = Echo::default();
        let mut out = Outbox::default();
        for _ in 0..10 {
            echo.sent(Timestamp::ZERO, &transmit);
        }
        let mut times = Vec::new();
        while let Some(due) = echo.poll_timeout() {
            echo.handle_timeout(due, &mut out);
            times.push(due.as_millis());
        }
        assert_eq!(times, [350, 1050, 2450]);
        assert_eq!(out.transmits.len(), 3 * DATAGRAMS);
        echo.sent(Timestamp::ZERO, &transmit);
        assert_eq!(echo.poll_timeout(), None);
    }
}
