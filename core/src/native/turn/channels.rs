//! Channels (RFC 8656 section 12): 4 bytes in front of each payload instead of 36 or more.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;

use super::channel_data::NUMBERS;
use super::requests::PATIENCE;
use super::schedule::{Next, Schedule};
use crate::time::Timestamp;

/// How long a channel stands.
const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// When it is bound again.
const REFRESH: Duration = Duration::from_secs(8 * 60);
/// How long after its end neither its number nor its peer may be bound otherwise.
const REST: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
struct Channel {
    peer: SocketAddr,
    /// It is to be kept.
    wanted: bool,
    schedule: Schedule,
    /// Until when we may write to it.
    bound: Option<Timestamp>,
    /// Until when it may stand at the server.
    until: Timestamp,
}

/// All channels that the server may know, ours and those of peers that are forgotten.
#[derive(Debug)]
pub(super) struct Channels {
    by_number: BTreeMap<u16, Channel>,
    by_peer: BTreeMap<SocketAddr, u16>,
    /// Where to look for the next free number.
    next: u16,
}

impl Channels {
    pub(super) const fn new() -> Self {
        Self {
            by_number: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            next: *NUMBERS.start(),
        }
    }

    /// A channel to this peer is worth it.
    pub(super) fn want(&mut self, now: Timestamp, peer: SocketAddr) {
        if let Some(channel) = self.of_mut(peer) {
            if !channel.wanted {
                channel.wanted = true;
                if channel.schedule.next != Next::Asked {
                    channel.schedule = Schedule::at(now);
                }
            }
            return;
        }
        let Some(number) = self.free(now) else {
            return;
        };
        let channel = Channel {
            peer,
            wanted: true,
            schedule: Schedule::at(now),
            bound: None,
            until: now,
        };
        self.by_number.insert(number, channel);
        self.by_peer.insert(peer, number);
    }

    /// The channel ends when its time is over.
    pub(super) fn forget(&mut self, peer: SocketAddr) {
        if let Some(channel) = self.of_mut(peer) {
            channel.wanted = false;
        }
    }

    /// The number to write to.
    pub(super) fn number(&self, now: Timestamp, peer: SocketAddr) -> Option<u16> {
        let number = *self.by_peer.get(&peer)?;
        let channel = self.by_number.get(&number)?;
        (channel.wanted && channel.bound? > now).then_some(number)
    }

    /// Who writes with this number. The server may use it before we know that it is bound, and for as
    /// long as the channel stands there: also for a peer that was forgotten, and is permitted again.
    pub(super) fn peer(&self, number: u16) -> Option<SocketAddr> {
        self.by_number.get(&number).map(|channel| channel.peer)
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let wanted = self.by_number.values().filter(|it| it.wanted);
        wanted.filter_map(|it| it.schedule.due()).min()
    }

    /// A channel to bind now.
    pub(super) fn ask(&mut self, now: Timestamp) -> Option<(u16, SocketAddr)> {
        let mut channels = self.by_number.iter_mut();
        let (number, channel) = channels.find(|(_, it)| it.wanted && it.schedule.is_due(now))?;
        channel.schedule.next = Next::Asked;
        // The last of the requests may be the one that arrives.
        channel.until = now.plus(LIFETIME + PATIENCE);
        Some((*number, channel.peer))
    }

    /// The request that was sent then has succeeded.
    pub(super) fn bound(&mut self, number: u16, sent: Timestamp) {
        if let Some(channel) = self.by_number.get_mut(&number) {
            channel.bound = Some(sent.plus(LIFETIME));
            channel.schedule = Schedule::at(sent.plus(REFRESH));
        }
    }

    /// The request came to nothing, for no reason that would last.
    pub(super) fn postpone(&mut self, number: u16, now: Timestamp) {
        if let Some(channel) = self.by_number.get_mut(&number) {
            channel.schedule.postpone(now);
        }
    }

    /// The server has refused: indications must do.
    pub(super) fn refused(&mut self, number: u16) {
        if let Some(channel) = self.by_number.get_mut(&number) {
            channel.schedule.next = Next::Never;
        }
    }

    fn of_mut(&mut self, peer: SocketAddr) -> Option<&mut Channel> {
        let number = self.by_peer.get(&peer)?;
        self.by_number.get_mut(number)
    }

    /// A number that nobody has, or has had lately.
    fn free(&mut self, now: Timestamp) -> Option<u16> {
        self.by_number
            .retain(|_, it| it.wanted || now <= it.until.plus(REST));
        let (by_number, by_peer) = (&self.by_number, &mut self.by_peer);
        by_peer.retain(|_, number| by_number.contains_key(number));
        let from_here = (self.next..=*NUMBERS.end()).chain(*NUMBERS.start()..self.next);
        let number = from_here
            .into_iter()
            .find(|number| !self.by_number.contains_key(number))?;
        self.next = if number == *NUMBERS.end() {
            *NUMBERS.start()
        } else {
            number + 1
        };
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u16) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, 1], number))
    }

    #[test]
    fn numbers_rest_before_they_are_given_again() {
        let mut channels = Channels::new();
        let mut now = Timestamp::ZERO;
        for port in 1..=4096 {
            channels.want(now, peer(port));
            let (number, to) = channels.ask(now).unwrap();
            assert_eq!((number, to), (0x4000 + port - 1, peer(port)));
            channels.bound(number, now);
            channels.forget(peer(port));
        }
        let sent = now;
        // All are used, or were lately.
        channels.want(now, peer(5000));
        assert_eq!(channels.ask(now), None);
        // Whoever had one gets the same again, as the server knows it.
        channels.want(now, peer(7));
        assert_eq!(channels.ask(now), Some((0x4006, peer(7))));
        channels.forget(peer(7));
        now = sent.plus(LIFETIME + PATIENCE + REST);
        channels.want(now, peer(5000));
        assert_eq!(channels.ask(now), None);
        now = now.plus(Duration::from_nanos(1));
        channels.want(now, peer(5000));
        assert_eq!(channels.ask(now), Some((0x4000, peer(5000))));
        assert_eq!(channels.by_number.len(), channels.by_peer.len());
    }

    #[test]
    fn what_was_not_refreshed_in_time_is_not_written_to() {
        let mut channels = Channels::new();
        let now = Timestamp::from_millis(1);
        channels.want(now, peer(1));
        assert_eq!(channels.number(now, peer(1)), None);
        let (number, _) = channels.ask(now).unwrap();
        assert_eq!(channels.peer(number), Some(peer(1)));
        channels.bound(number, now);
        assert_eq!(channels.number(now, peer(1)), Some(number));
        assert_eq!(channels.poll_timeout(), Some(now.plus(REFRESH)));
        assert_eq!(channels.number(now.plus(LIFETIME), peer(1)), None);
    }
}
