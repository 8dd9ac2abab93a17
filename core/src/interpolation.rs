//! Smooth motion out of states that come now and then: a leaf that nothing else in the core reads.
//!
//! No decision of a network depends on it, which is why it may use floats.

use alloc::collections::VecDeque;
use core::f32::consts::{PI, TAU};
use core::time::Duration;

use crate::time::Timestamp;

/// How far behind the newest states the motion plays.
const DELAY: Duration = Duration::from_millis(120);
/// How long it goes on without a new one.
const EXTRAPOLATION: Duration = Duration::from_millis(200);
/// So many snapshots are kept: half a second at 60 Hz.
const KEPT: usize = 32;
/// A velocity is measured over this much, if there is as much: two states that come at once say
/// nothing of it.
const BASELINE: i64 = 25_000_000;
/// A clock that is off by more than this is another clock: the sender began anew.
const ANOTHER_CLOCK: i64 = 2_000_000_000;
/// The playing point moves to a better estimate by a tenth of the time that passes, so nothing jumps.
const SLEW: i64 = 10;
/// Clocks may drift apart by a thousandth, which is more than they do.
const DRIFT: i64 = 1_000;

/// What a number of a snapshot means, and so how it is blended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Component {
    /// A coordinate, a speed, a size: blended in a straight line.
    Linear,
    /// An angle in radians: turned the short way round, and given between -π and π.
    Angle,
    /// A flag, a level, a frame of an animation: not blended, it changes when its time has come.
    Step,
}

/// Makes smooth motion out of another node's states: one for each thing that moves.
///
/// It plays a constant [delay](Self::with_delay) behind (120 ms), so that there are nearly always two
/// snapshots to blend between, whatever the network does; beyond the last it goes on as before for
/// [200 ms](Self::with_extrapolation) at most, and then holds still. Nothing is allocated after
/// [`new`](Self::new).
///
/// # Which time a snapshot has
///
/// A path that delays one packet more than the next (jitter) distorts motion that is timed by arrival:
/// what was sent every 50 ms arrives after 20 and 80, and would run too fast and then too slow. So
/// **the sender's time** decides, in [`push`](Self::push): any clock of its own that runs evenly, put
/// into the state, or simply its count of ticks. Where the sender's clock stands is learnt from the
/// packets that were fastest; that it drifts, or begins anew, does no harm. If there is no such time,
/// [`push_arrived`](Self::push_arrived) takes the time of arrival for it.
///
/// # A game's loop
///
/// ```
/// use core::time::Duration;
/// use wattle_core::{Component, Interpolator, Timestamp};
///
/// // x, y and where it looks, for one other player who sends his state 20 times a second.
/// let mut player = Interpolator::new([Component::Linear, Component::Linear, Component::Angle]);
///
/// // For each `Event::State { sequence, payload, .. }` of that player. (Every 50 ms the next number,
/// // so the number is the clock; a path with jitter brings them at odd times.)
/// for (sequence, arrived, x) in [(0, 1_000, 0.0), (1, 1_070, 1.0), (2, 1_105, 2.0), (3, 1_150, 3.0)] {
///     let sent = Duration::from_millis(50) * sequence;
///     player.push(Timestamp::from_millis(arrived), sent, [x, 5.0, 0.0]);
/// }
///
/// // For each frame that is drawn, as often as you like.
/// let now = Timestamp::from_millis(1_195);
/// if let Some([x, y, angle]) = player.sample(now) {
///     // Sent after 75 ms, halfway between the second and the third.
///     assert!((x - 1.5).abs() < 0.001 && y == 5.0 && angle == 0.0);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Interpolator<const N: usize> {
    components: [Component; N],
    delay: i64,
    extrapolation: i64,
    /// In the order of their times.
    snapshots: VecDeque<Snapshot<N>>,
    clock: Option<Clock>,
}

#[derive(Clone, Copy, Debug)]
struct Snapshot<const N: usize> {
    /// On the sender's clock, in nanoseconds.
    at: i64,
    /// It was not reached by moving.
    jump: bool,
    values: [f32; N],
}

/// How far the sender's clock and the fastest packet's way put us behind.
#[derive(Clone, Copy, Debug)]
struct Clock {
    from: i64,
    to: i64,
    since: i64,
}

impl Clock {
    /// Moves evenly to the newest estimate.
    fn offset(&self, now: i64) -> i64 {
        let most = now.saturating_sub(self.since).max(0) / SLEW;
        let wanted = self.to.saturating_sub(self.from);
        self.from.saturating_add(wanted.clamp(-most, most))
    }
}

impl<const N: usize> Interpolator<N> {
    /// An empty buffer for snapshots of `N` numbers of these kinds.
    #[must_use]
    pub fn new(components: [Component; N]) -> Self {
        Self {
            components,
            delay: nanos(DELAY),
            extrapolation: nanos(EXTRAPOLATION),
            snapshots: VecDeque::with_capacity(KEPT),
            clock: None,
        }
    }

    /// Plays this far behind: the time between two states, and what the path's delay varies by.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = nanos(delay);
        self
    }

    /// Goes on for so long beyond the last snapshot; zero: holds still at it.
    #[must_use]
    pub fn with_extrapolation(mut self, extrapolation: Duration) -> Self {
        self.extrapolation = nanos(extrapolation);
        self
    }

    /// Takes a snapshot that was `sent` at this time of the sender's clock and came at `arrived`.
    ///
    /// Says whether it is used: not if it is older than those that were dropped to make room, or a
    /// number is infinite or not a number.
    pub fn push(&mut self, arrived: Timestamp, sent: Duration, values: [f32; N]) -> bool {
        self.insert(arrived, nanos(sent), false, values)
    }

    /// The same for a snapshot that its sender did not move to: nothing is drawn in between.
    ///
    /// The motion plays up to the last snapshot before, holds still, and is here when its time comes.
    pub fn push_teleport(&mut self, arrived: Timestamp, sent: Duration, values: [f32; N]) -> bool {
        self.insert(arrived, nanos(sent), true, values)
    }

    /// Takes a snapshot whose sender's time is not known: when it came is when it was.
    ///
    /// Not to be mixed with [`push`](Self::push).
    pub fn push_arrived(&mut self, arrived: Timestamp, values: [f32; N]) -> bool {
        self.insert(arrived, time(arrived), false, values)
    }

    /// Forgets everything, the sender's clock as well: a new round, another player in its place.
    pub fn reset(&mut self) {
        self.snapshots.clear();
        self.clock = None;
    }

    /// Whether there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty()
    }

    /// What to draw now; `None` before the first snapshot.
    #[must_use]
    pub fn sample(&self, now: Timestamp) -> Option<[f32; N]> {
        let now = time(now);
        let offset = self.clock?.offset(now);
        let at = now.saturating_sub(offset).saturating_sub(self.delay);
        let next = self.snapshots.partition_point(|one| one.at <= at);
        let Some(before) = next.checked_sub(1) else {
            return self.snapshots.front().map(|first| first.values);
        };
        let from = self.snapshots.get(before)?;
        match self.snapshots.get(next) {
            Some(to) if to.jump => Some(from.values),
            Some(to) => Some(self.between(from, to, at)),
            None => Some(self.beyond(from, at)),
        }
    }

    fn insert(&mut self, arrived: Timestamp, at: i64, jump: bool, values: [f32; N]) -> bool {
        if !values.iter().all(|value| value.is_finite()) {
            return false;
        }
        self.set_clock(time(arrived), at);
        let place = self.snapshots.partition_point(|one| one.at < at);
        let new = Snapshot { at, jump, values };
        if let Some(same) = self.snapshots.get_mut(place).filter(|one| one.at == at) {
            *same = new;
            return true;
        }
        if self.snapshots.len() >= KEPT {
            if place == 0 {
                return false;
            }
            self.snapshots.pop_front();
            self.snapshots.insert(place.saturating_sub(1), new);
        } else {
            self.snapshots.insert(place, new);
        }
        true
    }

    /// The packet that was fastest tells best where the sender's clock stands.
    fn set_clock(&mut self, arrived: i64, at: i64) {
        let seen = arrived.saturating_sub(at);
        let same = |clock: &Clock| seen.saturating_sub(clock.to).saturating_abs() < ANOTHER_CLOCK;
        self.clock = Some(match self.clock.filter(same) {
            Some(clock) => {
                let drift = arrived.saturating_sub(clock.since).max(0) / DRIFT;
                Clock {
                    from: clock.offset(arrived),
                    to: seen.min(clock.to.saturating_add(drift)),
                    since: arrived.max(clock.since),
                }
            }
            None => {
                self.snapshots.clear();
                Clock {
                    from: seen,
                    to: seen,
                    since: arrived,
                }
            }
        });
    }

    fn between(&self, from: &Snapshot<N>, to: &Snapshot<N>, at: i64) -> [f32; N] {
        let part = share(at.saturating_sub(from.at), to.at.saturating_sub(from.at));
        self.blend(from, to, part)
    }

    fn beyond(&self, last: &Snapshot<N>, at: i64) -> [f32; N] {
        // What it moved lately, but for what lies before a jump.
        let mut base = None;
        let mut may_go_back = !last.jump;
        for one in self.snapshots.iter().rev().skip(1) {
            if !may_go_back {
                break;
            }
            base = Some(one);
            may_go_back = !one.jump && last.at.saturating_sub(one.at) < BASELINE;
        }
        let Some(base) = base else {
            return last.values;
        };
        let ahead = at.saturating_sub(last.at).min(self.extrapolation);
        let whole = last.at.saturating_sub(base.at);
        self.blend(base, last, share(whole.saturating_add(ahead), whole))
    }

    /// `part` is 0 at `from`, 1 at `to`, and more beyond it.
    fn blend(&self, from: &Snapshot<N>, to: &Snapshot<N>, part: f32) -> [f32; N] {
        let mut values = to.values;
        let pairs = from.values.iter().zip(&self.components);
        for (value, (from, component)) in values.iter_mut().zip(pairs) {
            let blended = match component {
                Component::Linear => from * (1.0 - part) + *value * part,
                Component::Angle => turned(from + turned(*value - from) * part),
                Component::Step if part < 1.0 => *from,
                Component::Step => *value,
            };
            // Only of numbers that are at the end of their range.
            if blended.is_finite() {
                *value = blended;
            }
        }
        values
    }
}

/// The same angle from -π to π.
fn turned(angle: f32) -> f32 {
    let angle = angle % TAU;
    if angle > PI {
        angle - TAU
    } else if angle < -PI {
        angle + TAU
    } else {
        angle
    }
}

/// How much of the whole a part is.
fn share(part: i64, whole: i64) -> f32 {
    (part as f64 / whole.max(1) as f64) as f32
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn time(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 10_000;

    /// One linear number and one angle, without a delay.
    fn at_once() -> Interpolator<2> {
        Interpolator::new([Component::Linear, Component::Angle]).with_delay(Duration::ZERO)
    }

    fn push(buffer: &mut Interpolator<2>, sent: u64, x: f32, angle: f32) -> bool {
        let arrived = Timestamp::from_millis(START + sent);
        buffer.push(arrived, Duration::from_millis(sent), [x, angle])
    }

    fn x_at(buffer: &Interpolator<2>, millis: u64) -> f32 {
        buffer
            .sample(Timestamp::from_millis(START + millis))
            .unwrap()[0]
    }

    fn angle_at(buffer: &Interpolator<2>, millis: u64) -> f32 {
        buffer
            .sample(Timestamp::from_millis(START + millis))
            .unwrap()[1]
    }

    #[track_caller]
    fn is_near(value: f32, wanted: f32) {
        assert!((value - wanted).abs() < 1e-4, "{value}, not {wanted}");
    }

    #[test]
    fn it_plays_a_constant_delay_behind() {
        let mut buffer = Interpolator::new([Component::Linear]);
        assert!(buffer.is_empty());
        assert_eq!(buffer.sample(Timestamp::from_millis(START)), None);
        for (sent, x) in [(0, 0.0), (50, 10.0), (100, 20.0), (150, 30.0)] {
            let arrived = Timestamp::from_millis(START + sent);
            assert!(buffer.push(arrived, Duration::from_millis(sent), [x]));
        }
        let at = |millis| {
            buffer
                .sample(Timestamp::from_millis(START + millis))
                .unwrap()[0]
        };
        is_near(at(100), 0.0);
        is_near(at(120), 0.0);
        is_near(at(145), 5.0);
        is_near(at(170), 10.0);
        is_near(at(207), 17.4);
        is_near(at(270), 30.0);
    }

    #[test]
    fn beyond_the_last_it_goes_on_for_200_milliseconds() {
        let mut buffer = at_once();
        push(&mut buffer, 0, 0.0, 0.0);
        is_near(x_at(&buffer, 500), 0.0);
        push(&mut buffer, 50, 10.0, 0.1);
        is_near(x_at(&buffer, 100), 20.0);
        is_near(angle_at(&buffer, 100), 0.2);
        is_near(x_at(&buffer, 250), 50.0);
        is_near(x_at(&buffer, 251), 50.0);
        is_near(x_at(&buffer, 60_000), 50.0);
        let still = buffer.clone().with_extrapolation(Duration::ZERO);
        is_near(x_at(&still, 100), 10.0);
    }

    #[test]
    fn two_states_that_came_together_are_no_speed() {
        let mut buffer = at_once();
        push(&mut buffer, 0, 0.0, 0.0);
        push(&mut buffer, 49, 9.8, 0.0);
        push(&mut buffer, 50, 10.0, 0.0);
        // 10 in 50 ms, although the last two say 0.2 in one.
        is_near(x_at(&buffer, 100), 20.0);
        let mut jerk = at_once();
        push(&mut jerk, 0, 0.0, 0.0);
        push(&mut jerk, 49, 0.0, 0.0);
        push(&mut jerk, 50, 10.0, 0.0);
        is_near(x_at(&jerk, 100), 20.0);
    }

    #[test]
    fn angles_take_the_short_way_round() {
        let degrees = |angle: f32| angle * PI / 180.0;
        for (from, to, middle) in [
            (170.0, -170.0, 180.0),
            (-170.0, 170.0, 180.0),
            (10.0, 50.0, 30.0),
            (350.0, 370.0, 0.0),
            (0.0, 725.0, 2.5),
            (-30.0, 30.0, 0.0),
        ] {
            let mut buffer = at_once();
            push(&mut buffer, 0, 0.0, degrees(from));
            push(&mut buffer, 100, 0.0, degrees(to));
            let off = turned(angle_at(&buffer, 50) - degrees(middle));
            assert!(off.abs() < 1e-4, "{from} to {to}: {off}");
            assert!(angle_at(&buffer, 50).abs() <= PI);
        }
        // Beyond the last it turns on, through the seam.
        let mut buffer = at_once();
        push(&mut buffer, 0, 0.0, degrees(160.0));
        push(&mut buffer, 100, 0.0, degrees(175.0));
        is_near(angle_at(&buffer, 200), degrees(-170.0));
    }

    #[test]
    fn a_teleport_is_not_blended_and_not_gone_beyond() {
        let mut buffer = at_once();
        push(&mut buffer, 0, 0.0, 0.0);
        push(&mut buffer, 50, 10.0, 0.0);
        let arrived = Timestamp::from_millis(START + 100);
        buffer.push_teleport(arrived, Duration::from_millis(100), [500.0, 1.0]);
        is_near(x_at(&buffer, 25), 5.0);
        is_near(x_at(&buffer, 99), 10.0);
        is_near(x_at(&buffer, 100), 500.0);
        is_near(x_at(&buffer, 200), 500.0);
        push(&mut buffer, 150, 510.0, 1.0);
        is_near(x_at(&buffer, 125), 505.0);
        is_near(x_at(&buffer, 200), 520.0);
        buffer.reset();
        assert!(buffer.is_empty());
    }

    #[test]
    fn steps_change_when_their_time_has_come() {
        let mut buffer = Interpolator::new([Component::Step]).with_delay(Duration::ZERO);
        let at = Timestamp::from_millis;
        buffer.push_arrived(at(1_000), [1.0]);
        buffer.push_arrived(at(1_050), [2.0]);
        assert_eq!(buffer.sample(at(1_049)), Some([1.0]));
        assert_eq!(buffer.sample(at(1_050)), Some([2.0]));
        assert_eq!(buffer.sample(at(1_500)), Some([2.0]));
    }

    #[test]
    fn jitter_does_not_distort_the_motion() {
        // Sent every 50 ms at one unit a millisecond; the path adds 20 ms, and up to 40 besides.
        let jitter = [0, 33, 7, 40, 12, 0, 25, 39, 3, 18];
        let mut sent = Interpolator::new([Component::Linear]);
        let mut arrived = Interpolator::new([Component::Linear]);
        let (mut worst_sent, mut worst_arrived) = (0.0_f32, 0.0_f32);
        for frame in 0..2_000_u64 {
            for nth in 0..40_u64 {
                let due = nth * 50 + 20 + jitter[(nth % 10) as usize];
                if due == frame {
                    let at = Timestamp::from_millis(START + due);
                    let x = (nth * 50) as f32;
                    sent.push(at, Duration::from_millis(nth * 50), [x]);
                    arrived.push_arrived(at, [x]);
                }
            }
            if frame > 300 {
                let now = Timestamp::from_millis(START + frame);
                let truth = (frame - 140) as f32;
                worst_sent = worst_sent.max((sent.sample(now).unwrap()[0] - truth).abs());
                worst_arrived = worst_arrived.max((arrived.sample(now).unwrap()[0] - truth).abs());
            }
        }
        assert!(worst_sent < 0.5, "{worst_sent}");
        assert!(worst_arrived > 20.0, "{worst_arrived}");
    }

    #[test]
    fn a_faster_packet_moves_the_playing_point_without_a_jump() {
        let mut buffer = Interpolator::new([Component::Linear]);
        // The first comes 50 ms late, all others at once.
        for (sent, late) in [(0, 50), (50, 0), (100, 0), (150, 0), (200, 0), (250, 0)] {
            let arrived = Timestamp::from_millis(START + sent + late);
            buffer.push(arrived, Duration::from_millis(sent), [sent as f32]);
        }
        let mut last = None;
        for frame in 51..250 {
            let x = buffer
                .sample(Timestamp::from_millis(START + frame))
                .unwrap()[0];
            if let Some(last) = last {
                let step: f32 = x - last;
                assert!((0.0..1.11).contains(&step), "{step}");
            }
            last = Some(x);
        }
    }

    #[test]
    fn a_sender_that_begins_anew_is_followed() {
        let mut buffer = at_once();
        push(&mut buffer, 60_000, 1.0, 0.0);
        push(&mut buffer, 60_050, 2.0, 0.0);
        let arrived = Timestamp::from_millis(START + 60_100);
        buffer.push(arrived, Duration::ZERO, [7.0, 0.0]);
        is_near(x_at(&buffer, 60_100), 7.0);
    }

    #[test]
    fn late_and_repeated_snapshots_find_their_place() {
        let mut buffer = at_once();
        push(&mut buffer, 0, 0.0, 0.0);
        push(&mut buffer, 100, 20.0, 0.0);
        let late = Timestamp::from_millis(START + 110);
        assert!(buffer.push(late, Duration::from_millis(50), [5.0, 0.0]));
        assert!(buffer.push(late, Duration::from_millis(50), [6.0, 0.0]));
        is_near(x_at(&buffer, 50), 6.0);
        for nth in 0..1_000 {
            push(&mut buffer, 200 + nth * 10, 0.0, 0.0);
        }
        assert_eq!(buffer.snapshots.len(), KEPT);
        assert!(!buffer.push(
            Timestamp::from_millis(START + 10_200),
            Duration::from_millis(9_500),
            [0.0, 0.0]
        ));
    }

    #[test]
    fn what_is_no_number_is_not_taken_and_the_largest_do_not_overflow() {
        let mut buffer = at_once();
        assert!(!push(&mut buffer, 0, f32::NAN, 0.0));
        assert!(!push(&mut buffer, 0, 0.0, f32::INFINITY));
        push(&mut buffer, 0, f32::MIN, f32::MAX);
        push(&mut buffer, 50, f32::MAX, f32::MIN);
        for millis in 0..400 {
            let values = buffer
                .sample(Timestamp::from_millis(START + millis))
                .unwrap();
            assert!(values.iter().all(|value| value.is_finite()));
        }
        let far = Timestamp::from_nanos(u64::MAX);
        buffer.push(far, Duration::MAX, [0.0, 0.0]);
        assert!(buffer.sample(far).is_some());
        assert!(buffer.sample(Timestamp::ZERO).is_some());
    }
}
