//! Frames whose target is not registered (yet).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::config::ServerConfig;
use crate::time::Timestamp;

/// The frames that wait, per pair of target and sender.
///
/// PeerServer keeps one queue and one age per target, so that a stranger's frame to the same target
/// shortens everybody's wait. Per pair, each sender has its full time.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pairs: BTreeMap<Pair, Frames>,
    deadlines: BTreeSet<(Timestamp, Pair)>,
    senders: BTreeMap<String, Usage>,
    total: Usage,
    /// Counts frames, to deliver those of several senders in the order in which they came.
    arrivals: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) dst: String,
    pub(super) src: String,
}

#[derive(Debug)]
struct Frames {
    deadline: Timestamp,
    /// With the number of arrival.
    texts: Vec<(u64, String)>,
}

/// What waits, of one sender or in all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) frames: u32,
    pub(super) bytes: u32,
}

impl Usage {
    const fn plus(self, other: Self) -> Self {
        Self {
            frames: self.frames.saturating_add(other.frames),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            frames: self.frames.saturating_sub(other.frames),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    const fn exceeds(self, frames: u32, bytes: u32) -> bool {
        self.frames > frames || self.bytes > bytes
    }
}

/// A limit that one more frame would pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    Total,
    Sender,
}

/// Frames whose target did not come.
#[derive(Debug)]
pub(super) struct Expired {
    pub(super) pair: Pair,
    pub(super) frames: u32,
}

impl Waiting {
    pub(super) fn push(
        &mut self,
        now: Timestamp,
        pair: &Pair,
        text: String,
        config: &ServerConfig,
    ) -> Result<(), NoRoom> {
        let one = usage(&text);
        let total = self.total.plus(one);
        if total.exceeds(config.waiting_frames, config.waiting_bytes) {
            return Err(NoRoom::Total);
        }
        let sender = self.senders.get(&pair.src).copied().unwrap_or_default();
        let sender = sender.plus(one);
        if sender.exceeds(
            config.waiting_frames_per_sender,
            config.waiting_bytes_per_sender,
        ) {
            return Err(NoRoom::Sender);
        }
        self.total = total;
        self.senders.insert(pair.src.to_string(), sender);
        let frames = self.pairs.entry(pair.clone()).or_insert_with(|| {
            let deadline = now.plus(config.expire);
            self.deadlines.insert((deadline, pair.clone()));
            Frames {
                deadline,
                texts: Vec::new(),
            }
        });
        frames.texts.push((self.arrivals, text));
        self.arrivals = self.arrivals.wrapping_add(1);
        Ok(())
    }

    /// Whether a frame of this pair waits.
    pub(super) fn contains(&self, pair: &Pair) -> bool {
        self.pairs.contains_key(pair)
    }

    /// What waits for `dst`, in the order in which it came.
    pub(super) fn take_for(&mut self, dst: &str) -> Vec<String> {
        let from = Pair {
            dst: dst.to_string(),
            src: String::new(),
        };
        let pairs: Vec<Pair> = self
            .pairs
            .range(from..)
            .map(|(pair, _)| pair)
            .take_while(|pair| pair.dst == dst)
            .cloned()
            .collect();
        let mut texts: Vec<(u64, String)> =
            pairs.iter().flat_map(|pair| self.remove(pair)).collect();
        texts.sort_unstable();
        texts.into_iter().map(|(_, text)| text).collect()
    }

    /// One pair whose time is over at `now`, if there is any.
    pub(super) fn expire(&mut self, now: Timestamp) -> Option<Expired> {
        let (deadline, pair) = self.deadlines.first()?;
        if *deadline > now {
            return None;
        }
        let pair = pair.clone();
        let frames = self.remove(&pair).len().try_into().unwrap_or(u32::MAX);
        Some(Expired { pair, frames })
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(super) const fn total(&self) -> Usage {
        self.total
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
            && self.deadlines.is_empty()
            && self.senders.is_empty()
            && self.total.frames == 0
            && self.total.bytes == 0
    }

    fn remove(&mut self, pair: &Pair) -> Vec<(u64, String)> {
        let Some(Frames { deadline, texts }) = self.pairs.remove(pair) else {
            return Vec::new();
        };
        self.deadlines.remove(&(deadline, pair.clone()));
        let gone = texts
            .iter()
            .fold(Usage::default(), |sum, (_, text)| sum.plus(usage(text)));
        self.total = self.total.minus(gone);
        if let Some(sender) = self.senders.get_mut(&pair.src) {
            *sender = sender.minus(gone);
            if sender.frames == 0 {
                self.senders.remove(&pair.src);
            }
        }
        texts
    }
}

fn usage(text: &str) -> Usage {
    Usage {
        frames: 1,
        bytes: text.len().try_into().unwrap_or(u32::MAX),
    }
}
