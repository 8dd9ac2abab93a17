//! Our [`Timestamp`] and str0m's `Instant`.

use core::time::Duration;
#[expect(
    clippy::disallowed_types,
    reason = "str0m counts in Instants: they are made here from timestamps, never read from a clock"
)]
use std::time::Instant;

use crate::time::Timestamp;

/// Far enough ahead that whatever compares with the wall clock (sctp-proto's INIT timer does, unless
/// SNAP is on) always finds virtual time to be the later one.
const AHEAD: Duration = Duration::from_secs(3600);

/// Beyond this a str0m timeout means "never" (it uses ten years).
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Longer than any process runs, and within what every platform's `Instant` can hold.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The map between the two, fixed by the instant that the driver hands.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::disallowed_types, reason = "the map itself")]
pub(super) struct Clock {
    zero: Instant,
}

#[expect(clippy::disallowed_types, reason = "the map itself")]
impl Clock {
    pub(super) fn new(origin: Instant) -> Self {
        Self {
            zero: origin.checked_add(AHEAD).unwrap_or(origin),
        }
    }

    /// Saturating: what is later than the platform (or a century) can hold is its last moment.
    pub(super) fn instant(&self, at: Timestamp) -> Instant {
        let since_zero = Duration::from_nanos(at.as_nanos()).min(CENTURY);
        self.zero.checked_add(since_zero).unwrap_or(self.zero)
    }

    pub(super) fn timestamp(&self, instant: Instant) -> Timestamp {
        Timestamp::ZERO.plus(instant.saturating_duration_since(self.zero))
    }

    /// When a str0m timeout is due; `None` for its "never".
    pub(super) fn deadline(&self, now: Timestamp, instant: Instant) -> Option<Timestamp> {
        let at = self.timestamp(instant);
        (at.since(now) < NEVER).then_some(at)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "an instant can only be had from the clock"
)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let clock = Clock::new(Instant::now());
        for at in [0, 1, 1_000_000_007, u64::MAX / 16] {
            let at = Timestamp::from_nanos(at);
            assert_eq!(clock.timestamp(clock.instant(at)), at);
        }
    }

    #[test]
    fn trap_03_virtual_time_is_ahead_of_the_wall_clock() {
        let origin = Instant::now();
        let start = Clock::new(origin).instant(Timestamp::ZERO);
        assert!(start >= origin + Duration::from_secs(3600));
    }

    #[test]
    fn the_last_moment_does_not_panic_and_order_holds() {
        let clock = Clock::new(Instant::now());
        let last = clock.instant(Timestamp::from_nanos(u64::MAX));
        assert!(last >= clock.instant(Timestamp::from_nanos(u64::MAX - 1)));
    }

    #[test]
    fn never_is_no_deadline() {
        let clock = Clock::new(Instant::now());
        let now = Timestamp::from_millis(5);
        let never = clock.instant(now) + Duration::from_secs(10 * 365 * 24 * 3600);
        assert_eq!(clock.deadline(now, never), None);
        let soon = clock.instant(now) + Duration::from_millis(50);
        assert_eq!(
            clock.deadline(now, soon),
            Some(now.plus(Duration::from_millis(50)))
        );
    }
}
