//! The first datagrams with data, sent again until something of it is acknowledged.
//!
//! SCTP waits 3 s before it repeats anything, then 6, as long as it has not measured a round trip:
//! a link whose first frames are lost twice, or come before the end of the handshake, would have
//! used up its deadline. DTLS drops what comes twice.

use alloc::vec::Vec;
use core::time::Duration;

use super::outbox::Outbox;
use crate::native::io::Transmit;
use crate::time::Timestamp;

/// An acknowledgement may be delayed by 200 ms (RFC 9260 section 6.2) and a round trip.
const AFTER: Duration = Duration::from_millis(350);

/// Then again and again, for the 10 s that the handshake may take.
const INTERVAL: Duration = Duration::from_millis(700);
const ROUNDS: u32 = 14;

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

    /// Data was acknowledged, or nothing is to be sent any more.
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
        for _ in 0..10 {
            echo.sent(Timestamp::ZERO, &transmit);
        }
        let mut times = Vec::new();
        while let Some(due) = echo.poll_timeout() {
            echo.handle_timeout(due, &mut out);
            times.push(due.as_millis());
        }
        assert_eq!(times[..3], [350, 1050, 1750]);
        assert_eq!(times.last(), Some(&9450));
        assert_eq!(out.transmits.len(), times.len() * DATAGRAMS);
        echo.sent(Timestamp::ZERO, &transmit);
        assert_eq!(echo.poll_timeout(), None);
    }
}
