//! Whether the other side still lives: counted from its last authenticated packet.

use core::time::Duration;

use crate::config::Timeouts;
use crate::time::Timestamp;

/// A link that is quiet is probed this often, for its round-trip time.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Silence after which we begin to ask.
const QUIET: Duration = Duration::from_secs(1);
/// The same where packets came all the time until now: there silence says more, and games talk all the time.
const HUSHED: Duration = Duration::from_millis(500);
/// What is all the time: so many packets, each so soon after the one before. (Not fewer: where nothing is
/// said, both sides ask, and question and answer may come together.)
const STEADY: u8 = 8;
const SOON: Duration = Duration::from_millis(250);
/// How long we may ask in vain, beside a round trip and a half, until the path is in doubt: there may be
/// another one, and it takes a second to find it. (Two were asked by then, and could have been answered.)
const IN_VAIN: Duration = Duration::from_millis(250);
/// A round trip before one is measured.
const ROUND_TRIP: Duration = Duration::from_millis(250);
/// How often we ask then. With 30 % loss each way a probe and its answer pass with p = 0.49, and the
/// other side asks as well: sixteen rounds from 1 s to 5 s all fail with p < 10^-13.
const RETRY: Duration = Duration::from_millis(250);

/// Who does not hear us cannot answer, and takes us for dead: what comes from there is no life for us
/// either after so long without an answer. There is a path, but it leads one way.
///
/// Only where the link itself is asked (as RFC 7675 does, which gives 30 s): the answer to a frame may
/// wait for longer behind what fills a slow line.
const ONE_WAY: Duration = Duration::from_secs(5);
/// How often we ask while there is no answer, though something comes.
const UNANSWERED: Duration = Duration::from_millis(500);

/// Of a node that answers no ping only the checks of a browser's ICE can be noticed, which are 4 to 6 s
/// apart (RFC 7675, section 5.1; in Chromium 2.5 s), and their answers.
const RARE: Duration = Duration::from_secs(7);

/// One link's liveness.
#[derive(Debug)]
pub(crate) struct Liveness {
    heard: Timestamp,
    /// When the last packet came at all, life or not.
    came: Timestamp,
    /// How many came soon after the one before, in a row, up to `STEADY`.
    steady: u8,
    /// When we began to ask without being answered.
    in_vain: Option<Timestamp>,
    /// `None`: never yet, so at once, for a first round-trip time.
    asked: Option<Timestamp>,
    /// When we asked for the first time since `heard`. Silence before that may be our own: a hidden tab
    /// or a machine that slept asks late, and nobody answers what was not asked.
    first_asked: Option<Timestamp>,
    in_doubt: bool,
    suspect: bool,
    lost: bool,
    /// Whether signs of life are rare, though all is well.
    rare: bool,
    round_trip: RoundTrip,
}

/// Round-trip times, smoothed as RFC 6298 does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrip {
    pub(crate) smoothed: Option<Duration>,
    pub(crate) best: Option<Duration>,
}

impl RoundTrip {
    pub(crate) fn add(&mut self, sample: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => sample,
            Some(smoothed) => (smoothed.saturating_mul(7).saturating_add(sample)) / 8,
        });
        self.best = Some(self.best.map_or(sample, |best| best.min(sample)));
    }
}

/// What the silence means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Ask for a sign of life.
    Probe,
    /// There may be another path that works.
    Doubt,
    Suspect,
    Lost,
}

impl Liveness {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            heard: now,
            came: now,
            steady: 0,
            in_vain: None,
            asked: None,
            first_asked: None,
            in_doubt: false,
            suspect: false,
            lost: false,
            rare: false,
            round_trip: RoundTrip::default(),
        }
    }

    /// An authenticated packet came; says whether the node was suspected until now. It is `bare` if there is
    /// nothing for us in it, on a link that is asked itself: alone it shows one half of a path.
    pub(crate) fn heard(
        &mut self,
        now: Timestamp,
        round_trip: Option<Duration>,
        bare: bool,
    ) -> bool {
        if let Some(sample) = round_trip {
            self.round_trip.add(sample);
            self.in_vain = None;
        }
        let gap = now.since(self.came);
        self.came = now;
        self.steady = if gap <= SOON {
            self.steady.saturating_add(1).min(STEADY)
        } else {
            0
        };
        if gap > QUIET {
            // Nobody could have answered: there was no path at all.
            self.in_vain = None;
        }
        let unanswered = self.in_vain.map(|since| now.since(since));
        if bare && unanswered >= Some(ONE_WAY) {
            return false;
        }
        self.heard = now;
        self.first_asked = None;
        self.lost = false;
        self.in_doubt = false;
        core::mem::take(&mut self.suspect)
    }

    /// When the last authenticated packet came.
    pub(crate) const fn heard_at(&self) -> Timestamp {
        self.heard
    }

    /// Something happened that may have cost the path: ask at once.
    pub(crate) const fn doubt(&mut self) {
        self.asked = None;
    }

    /// Whether signs of life are rare from now on, though all is well: nothing that we ask is answered.
    pub(crate) const fn expect_few(&mut self, rare: bool) {
        self.rare = rare;
    }

    /// The silence after which we begin to ask.
    const fn quiet(&self) -> Duration {
        if self.steady < STEADY { QUIET } else { HUSHED }
    }

    /// The silence after which the path is in doubt, the node is suspected, and it is lost.
    fn limits(&self, timeouts: &Timeouts) -> [Duration; 3] {
        let (suspect, lost) = (timeouts.suspect_after, timeouts.lost_after);
        if self.rare {
            let suspect = suspect.max(RARE);
            return [suspect, suspect, lost.max(RARE.saturating_mul(2))];
        }
        let round_trip = self.round_trip.smoothed.unwrap_or(ROUND_TRIP);
        let in_vain = IN_VAIN.saturating_add(round_trip.saturating_mul(3) / 2);
        [
            self.quiet().saturating_add(in_vain).min(suspect),
            suspect,
            lost,
        ]
    }

    pub(crate) const fn is_suspect(&self) -> bool {
        self.suspect
    }

    pub(crate) const fn silent_for(&self, now: Timestamp) -> Duration {
        now.since(self.heard)
    }

    pub(crate) const fn round_trip(&self) -> RoundTrip {
        self.round_trip
    }

    /// When `check` is to be called next.
    pub(crate) fn next(&self, timeouts: &Timeouts) -> Timestamp {
        let probe = self.next_probe();
        if self.lost {
            return probe;
        }
        let [doubt, suspect, lost] = self.limits(timeouts);
        let limit = match (self.suspect, self.in_doubt) {
            (true, _) => lost,
            (false, true) => suspect,
            (false, false) => doubt,
        };
        self.judged_at(limit).map_or(probe, |at| at.min(probe))
    }

    /// When so much silence counts: the other side has had the time to answer, too, that it has when we
    /// ask as soon as it is quiet. `None`: not before we have asked.
    fn judged_at(&self, limit: Duration) -> Option<Timestamp> {
        let quiet = self.quiet();
        let asked = match self.first_asked {
            _ if limit <= quiet => self.heard,
            asked => asked?.plus(limit.saturating_sub(quiet)),
        };
        Some(asked.max(self.heard.plus(limit)))
    }

    fn next_probe(&self) -> Timestamp {
        let Some(asked) = self.asked else {
            return self.heard;
        };
        let idle = asked.plus(match self.in_vain {
            Some(_) => UNANSWERED.max(
                self.round_trip
                    .smoothed
                    .unwrap_or_default()
                    .saturating_mul(2),
            ),
            None => PROBE_INTERVAL,
        });
        let quiet = self.heard.plus(self.quiet()).max(asked.plus(RETRY));
        idle.min(quiet)
    }

    /// What is due; to be called until `None`.
    pub(crate) fn check(&mut self, now: Timestamp, timeouts: &Timeouts) -> Option<Silence> {
        let due = |limit| self.judged_at(limit).is_some_and(|at| at <= now);
        let [doubt, suspect, lost] = self.limits(timeouts);
        if !self.in_doubt && due(doubt) {
            self.in_doubt = true;
            return Some(Silence::Doubt);
        }
        if !self.suspect && due(suspect) {
            self.suspect = true;
            return Some(Silence::Suspect);
        }
        if !self.lost && self.suspect && due(lost) {
            self.lost = true;
            return Some(Silence::Lost);
        }
        if self.next_probe() <= now {
            self.asked = Some(now);
            self.first_asked.get_or_insert(now);
            self.in_vain.get_or_insert(now);
            return Some(Silence::Probe);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn run(until_ms: u64, mut heard: impl FnMut(Timestamp) -> bool) -> (u64, u64, Option<u64>) {
        let timeouts = Timeouts::default();
        let mut liveness = Liveness::new(Timestamp::ZERO);
        let (mut probes, mut suspects) = (0, 0);
        loop {
            let now = liveness.next(&timeouts);
            if now > Timestamp::from_millis(until_ms) {
                return (probes, suspects, None);
            }
            while let Some(verdict) = liveness.check(now, &timeouts) {
                match verdict {
                    Silence::Probe => {
                        probes += 1;
                        if heard(now) {
                            let round_trip = Some(Duration::from_millis(50));
                            liveness.heard(now, round_trip, true);
                        }
                    }
                    Silence::Doubt => assert_eq!(suspects, 0),
                    Silence::Suspect => suspects += 1,
                    Silence::Lost => return (probes, suspects, Some(now.as_millis())),
                }
            }
        }
    }

    #[test]
    fn a_healthy_idle_link_costs_one_probe_a_second() {
        assert_eq!(run(60_000, |_| true), (61, 0, None));
    }

    #[test]
    fn silence_is_suspect_after_two_seconds_and_lost_after_five() {
        let (probes, suspects, lost) = run(60_000, |_| false);
        assert_eq!((suspects, lost), (1, Some(5_000)));
        assert!((16..=18).contains(&probes), "{probes}");
    }

    #[test]
    fn who_talked_all_the_time_is_asked_and_doubted_sooner() {
        let timeouts = Timeouts::default();
        for (apart, asked, doubted) in [(20, 500, 825), (250, 500, 825), (251, 1_000, 1_325)] {
            let mut liveness = Liveness::new(Timestamp::ZERO);
            for step in 1..=20 {
                let now = Timestamp::from_millis(step * apart);
                // What is asked all the same, now and then, is not meant.
                while liveness.check(now, &timeouts).is_some() {}
                liveness.heard(now, Some(Duration::from_millis(50)), true);
            }
            let last = Timestamp::from_millis(20 * apart);
            let mut seen = Vec::new();
            while liveness.next(&timeouts).since(last) < timeouts.suspect_after {
                let now = liveness.next(&timeouts);
                while let Some(verdict) = liveness.check(now, &timeouts) {
                    seen.push((verdict, now.since(last).as_millis()));
                }
            }
            seen.dedup_by_key(|(verdict, _)| *verdict);
            assert!(
                seen.starts_with(&[(Silence::Probe, asked), (Silence::Doubt, doubted)]),
                "{apart}: {seen:?}"
            );
        }
    }

    #[test]
    fn silence_counts_once_we_have_asked() {
        let timeouts = Timeouts::default();
        let mut liveness = Liveness::new(Timestamp::ZERO);
        let mut verdicts = |now| {
            let now = Timestamp::from_millis(now);
            core::iter::from_fn(|| liveness.check(now, &timeouts)).collect::<Vec<_>>()
        };
        // A hidden tab is woken once a minute.
        assert_eq!(verdicts(60_000), [Silence::Probe]);
        assert_eq!(verdicts(60_624), [Silence::Probe]);
        assert_eq!(verdicts(60_625), [Silence::Doubt]);
        assert_eq!(verdicts(60_999), [Silence::Probe]);
        assert_eq!(verdicts(61_000), [Silence::Suspect]);
        assert_eq!(verdicts(63_999), [Silence::Probe]);
        assert_eq!(verdicts(64_000), [Silence::Lost]);
    }

    #[test]
    fn one_probe_in_four_is_enough() {
        let mut nth = 0;
        let (_, _, lost) = run(3_600_000, |_| {
            nth += 1;
            nth % 4 == 0
        });
        assert_eq!(lost, None);
    }

    #[test]
    fn rare_signs_are_enough_where_no_more_can_come() {
        let timeouts = Timeouts::default();
        let mut liveness = Liveness::new(Timestamp::ZERO);
        liveness.expect_few(true);
        let mut seen = Vec::new();
        for step in 0..12_000 {
            let now = Timestamp::from_millis(step * 10);
            while let Some(verdict) = liveness.check(now, &timeouts) {
                if verdict != Silence::Probe {
                    seen.push((verdict, now.as_millis()));
                }
            }
            // Six seconds apart, for a minute and a half.
            if step % 600 == 0 && step <= 9_000 {
                liveness.heard(now, None, false);
            }
        }
        assert_eq!(
            seen,
            [
                (Silence::Doubt, 97_000),
                (Silence::Suspect, 97_000),
                (Silence::Lost, 104_000)
            ]
        );
    }

    #[test]
    fn who_never_answers_is_lost_though_it_is_heard() {
        let timeouts = Timeouts::default();
        let mut liveness = Liveness::new(Timestamp::ZERO);
        let mut seen = Vec::new();
        for step in 0..1500 {
            let now = Timestamp::from_millis(step * 10);
            while let Some(verdict) = liveness.check(now, &timeouts) {
                if verdict != Silence::Probe {
                    seen.push((verdict, now.as_millis()));
                }
            }
            // It asks us twice a second.
            if step % 50 == 0 {
                liveness.heard(now, None, true);
            }
        }
        assert_eq!(
            seen,
            [
                (Silence::Doubt, 6_130),
                (Silence::Suspect, 6_500),
                (Silence::Lost, 9_500)
            ]
        );
        let answer = Some(Duration::from_millis(9));
        assert!(liveness.heard(Timestamp::from_millis(15_000), answer, true));
        assert!(!liveness.is_suspect());
    }

    #[test]
    fn after_a_darkness_the_first_packet_is_life() {
        let timeouts = Timeouts::default();
        let mut liveness = Liveness::new(Timestamp::ZERO);
        for step in 0..1500 {
            let now = Timestamp::from_millis(step * 10);
            while liveness.check(now, &timeouts).is_some() {}
        }
        assert!(liveness.heard(Timestamp::from_millis(15_000), None, true));
    }

    #[test]
    fn round_trips_are_smoothed_and_the_best_is_kept() {
        let mut round_trip = RoundTrip::default();
        round_trip.add(Duration::from_millis(100));
        round_trip.add(Duration::from_millis(20));
        assert_eq!(round_trip.smoothed, Some(Duration::from_millis(90)));
        assert_eq!(round_trip.best, Some(Duration::from_millis(20)));
    }
}
