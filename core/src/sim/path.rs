//! What a path between two nodes does to what is sent over it.

use alloc::vec::Vec;
use core::time::Duration;

use super::draw::{self, Draw, Kind};
use super::run::What;
use crate::time::Timestamp;

/// One direction between two nodes.
///
/// What happens to a packet is a function of the world's seed, the two nodes, the packet's number on
/// this path and these figures alone. So one more packet elsewhere, or a fault that a test leaves
/// out, changes nothing here; and switching jitter on does not change which packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by tests, with `..Default::default()`"
)]
pub struct Path {
    /// How long every packet takes at least. Default 20 ms.
    pub delay: Duration,
    /// The mean of an exponentially distributed time on top, as queues on the way cause: most
    /// packets take little more, a few much more. Default none.
    pub tail: Duration,
    /// Up to how much longer a packet may take, drawn evenly. Default none.
    ///
    /// With this or a tail, packets overtake each other. The reliable channel stays in order.
    pub jitter: Duration,
    /// How many packets in a thousand are lost, one by one. Default 0.
    pub loss_per_mille: u16,
    /// Times at which many are lost in a row. Default none.
    pub burst: Burst,
    /// How many packets in a thousand arrive twice. Default 0.
    ///
    /// Only datagrams of native nodes: a link's SCTP takes repeats out.
    pub duplicate_per_mille: u16,
    /// How many packets in a thousand arrive with a changed byte. Default 0.
    ///
    /// On a model link that is a loss: DTLS does not let it in.
    pub corrupt_per_mille: u16,
    /// How many bytes pass in a second, headers included; the others wait in a queue. Default
    /// `None`: all at once.
    pub capacity: Option<u32>,
    /// How many bytes the queue before [`capacity`](Self::capacity) holds; what does not fit is
    /// lost. Default 64 KiB. A link's reliable messages wait in the sender's buffer instead.
    pub queue: u32,
    /// The largest packet that passes, IP and UDP headers included; larger ones are lost. Default
    /// 1500 bytes. Packets of model links have at most 1200 bytes and headers.
    pub mtu: u16,
    /// Everything is held back, and delivered at once and in order when this ends. Default `false`.
    pub clogged: bool,
    /// Nothing passes at all. Default `false`.
    pub cut: bool,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(20),
            tail: Duration::ZERO,
            jitter: Duration::ZERO,
            loss_per_mille: 0,
            burst: Burst::default(),
            duplicate_per_mille: 0,
            corrupt_per_mille: 0,
            capacity: None,
            queue: 64 * 1024,
            mtu: 1500,
            clogged: false,
            cut: false,
        }
    }
}

/// Losses in bursts (the model of Gilbert and Elliott): a path is in one of two moods, and every
/// 10 ms it may change.
///
/// A burst lasts 10 s / `leave_per_mille` on average, and a time between bursts 10 s /
/// `enter_per_mille`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by tests, with `..Default::default()`"
)]
pub struct Burst {
    /// How often in a thousand times a burst begins. Default 0: never.
    pub enter_per_mille: u16,
    /// How often in a thousand times it ends. Default 0; then one lasts for good.
    pub leave_per_mille: u16,
    /// How many packets in a thousand are lost in a burst. Default 0.
    pub loss_per_mille: u16,
}

/// How often a path may change its mood.
const SLOT: Duration = Duration::from_millis(10);
/// How far back a mood is looked for. With one change in a thousand slots, one look in 60 would
/// have to go further.
const SLOTS: u64 = 4096;

impl Burst {
    /// Whether there is a burst at this time.
    ///
    /// One number per slot says into which mood each mood would change. From the latest slot whose
    /// number leads to the same mood from either, the mood is known without any history: that is
    /// the chain itself, not an approximation.
    fn is_on(&self, key: u64, now: Timestamp) -> bool {
        if self.enter_per_mille == 0 {
            return false;
        }
        let slot = now.as_nanos() / SLOT.as_nanos() as u64;
        let enter = u64::from(self.enter_per_mille.min(1000));
        let stay = 1000 - u64::from(self.leave_per_mille.min(1000));
        let mut swapped = false;
        for slot in (slot.saturating_sub(SLOTS)..=slot).rev() {
            let drawn = Draw::of(key, slot).below(0, 1000);
            match (drawn < enter, drawn < stay) {
                (true, true) => return !swapped,
                (false, false) => return swapped,
                // It stays as it was.
                (false, true) => {}
                (true, false) => swapped = !swapped,
            }
        }
        swapped
    }
}

/// IP and UDP.
#[cfg(feature = "native")]
pub(super) const UDP_HEADERS: u32 = 28;

/// What becomes of a packet that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// After which time.
    pub(super) after: Duration,
    /// It arrives once more, after this time.
    pub(super) again: Option<Duration>,
    /// A byte of it is changed: these bits say which, and how.
    pub(super) corrupt: Option<u64>,
}

/// One direction between two nodes, as the world keeps it.
#[derive(Debug)]
pub(super) struct Way {
    /// `None`: the default path.
    pub(super) own: Option<Path>,
    key: u64,
    burst_key: u64,
    /// How many packets were sent so far.
    sent: u64,
    /// When what is in the queue has passed.
    free_at: Timestamp,
    /// What a clog holds back, in order.
    pub(super) held: Vec<What>,
}

impl Way {
    pub(super) fn new(seed: u64, from: usize, to: usize) -> Self {
        let (from, to) = (from as u64, to as u64);
        Self {
            own: None,
            key: draw::key(seed, Kind::Path, from, to),
            burst_key: draw::key(seed, Kind::Burst, from, to),
            sent: 0,
            free_at: Timestamp::ZERO,
            held: Vec::new(),
        }
    }

    /// What becomes of the next packet; `None`: it is lost. `paced`: its sender waits for room in
    /// the queue instead of losing it.
    pub(super) fn carry(
        &mut self,
        path: &Path,
        now: Timestamp,
        bytes: u32,
        paced: bool,
    ) -> Option<Fate> {
        self.sent = self.sent.wrapping_add(1);
        if path.cut || bytes > u32::from(path.mtu) {
            return None;
        }
        let queued = self.queue(path, now, bytes, paced)?;
        let draw = Draw::of(self.key, self.sent);
        if draw.chance(0, path.loss_per_mille)
            || (path.burst.is_on(self.burst_key, now) && draw.chance(1, path.burst.loss_per_mille))
        {
            return None;
        }
        let trip = |lane| {
            let jitter = draw.up_to(lane, path.jitter);
            path.delay + jitter + draw.exponential(lane + 1, path.tail)
        };
        let corrupt = draw.chance(4, path.corrupt_per_mille);
        let again = draw.chance(5, path.duplicate_per_mille);
        Some(Fate {
            after: queued + trip(2),
            again: again.then(|| queued + trip(6)),
            corrupt: corrupt.then(|| draw.bits(8)),
        })
    }

    /// How long a packet waits and is sent where the capacity is least.
    fn queue(&mut self, path: &Path, now: Timestamp, bytes: u32, paced: bool) -> Option<Duration> {
        let Some(capacity) = path.capacity else {
            return Some(Duration::ZERO);
        };
        let capacity = u64::from(capacity.max(1));
        let waiting = self.free_at.since(now);
        let waiting_bytes = waiting.as_nanos() * u128::from(capacity) / 1_000_000_000;
        if !paced && waiting_bytes + u128::from(bytes) > u128::from(path.queue) {
            return None;
        }
        let own = Duration::from_nanos(u64::from(bytes) * 1_000_000_000 / capacity);
        self.free_at = now.plus(waiting + own);
        Some(waiting + own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn fates(path: &Path, count: u64) -> Vec<Option<Fate>> {
        let mut way = Way::new(1, 0, 1);
        let at = |n| Timestamp::ZERO.plus(10 * MS * n as u32);
        (0..count)
            .map(|n| way.carry(path, at(n), 100, false))
            .collect()
    }

    #[test]
    fn a_plain_path_takes_its_delay() {
        let plain = Fate {
            after: 20 * MS,
            again: None,
            corrupt: None,
        };
        assert!(
            fates(&Path::default(), 100)
                .iter()
                .all(|fate| *fate == Some(plain))
        );
        let cut = Path {
            cut: true,
            ..Path::default()
        };
        assert!(fates(&cut, 100).iter().all(Option::is_none));
    }

    #[test]
    fn jitter_leaves_the_losses_as_they_were() {
        let lossy = Path {
            loss_per_mille: 100,
            ..Path::default()
        };
        let shaky = Path {
            jitter: 50 * MS,
            tail: 5 * MS,
            duplicate_per_mille: 100,
            corrupt_per_mille: 100,
            ..lossy
        };
        let lost = |path| -> Vec<bool> { fates(path, 2000).iter().map(Option::is_none).collect() };
        assert_eq!(lost(&lossy), lost(&shaky));
        let count = lost(&lossy).iter().filter(|lost| **lost).count();
        assert!((160..240).contains(&count), "{count}");
        let all: Vec<_> = fates(&shaky, 2000).into_iter().flatten().collect();
        for picked in [
            all.iter().filter(|fate| fate.again.is_some()).count(),
            all.iter().filter(|fate| fate.corrupt.is_some()).count(),
        ] {
            assert!((130..230).contains(&picked), "{picked}");
        }
    }

    #[test]
    fn bursts_come_as_often_and_last_as_long_as_they_say() {
        let burst = Burst {
            enter_per_mille: 5,
            leave_per_mille: 50,
            loss_per_mille: 1000,
        };
        let path = Path {
            burst,
            ..Path::default()
        };
        let lost: Vec<bool> = fates(&path, 100_000).iter().map(Option::is_none).collect();
        let all = lost.iter().filter(|lost| **lost).count();
        // 5 / (5 + 50) of the time, each time for 20 slots.
        assert!((7_500..10_700).contains(&all), "{all}");
        let begins = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        let mean = all / begins;
        assert!((16..25).contains(&mean), "{mean}");
        // The mood of a moment is the same whatever was asked before.
        let key = draw::key(1, Kind::Burst, 0, 1);
        for n in (0..1000u32).rev() {
            let on = burst.is_on(key, Timestamp::ZERO.plus(10 * MS * n));
            assert_eq!(on, lost[n as usize]);
        }
    }

    #[test]
    fn capacity_delays_and_the_queue_overflows() {
        let path = Path {
            capacity: Some(100_000),
            queue: 1_000,
            ..Path::default()
        };
        let mut way = Way::new(1, 0, 1);
        let now = Timestamp::from_millis(5);
        let after: Vec<_> = (0..12)
            .map(|_| way.carry(&path, now, 100, false).map(|fate| fate.after))
            .collect();
        // 100 bytes take 1 ms each; ten of them fill the queue.
        for (n, after) in after.iter().take(10).enumerate() {
            assert_eq!(*after, Some((21 + n as u32) * MS));
        }
        assert_eq!(after[10..], [None, None]);
        // Who waits for room loses nothing.
        let waited = way.carry(&path, now, 100, true).unwrap();
        assert_eq!(waited.after, 31 * MS);
        // A moment later there is room again.
        let later = now.plus(5 * MS);
        assert!(way.carry(&path, later, 100, false).is_some());
    }

    #[test]
    fn large_packets_do_not_pass() {
        let mut way = Way::new(1, 0, 1);
        let path = Path {
            mtu: 1280,
            ..Path::default()
        };
        assert!(way.carry(&path, Timestamp::ZERO, 1281, false).is_none());
        assert!(way.carry(&path, Timestamp::ZERO, 1280, false).is_some());
    }
}
