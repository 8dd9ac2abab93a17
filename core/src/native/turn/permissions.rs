//! Who may send to our relay address (RFC 8656 section 9).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::schedule::{Next, Schedule};
use crate::time::Timestamp;

/// Permissions stand for five minutes.
const REFRESH: Duration = Duration::from_secs(4 * 60);

/// What is due so soon goes along with what is due now.
const ALONG: Duration = Duration::from_secs(30);

/// How many go into one request: they stay far below what any path carries.
const BATCH: usize = 16;

#[derive(Debug)]
struct Permission {
    schedule: Schedule,
    /// A request with others was refused: who of them is to blame, single requests tell.
    alone: bool,
}

/// The permissions that we want.
#[derive(Debug, Default)]
pub(super) struct Permissions(BTreeMap<IpAddr, Permission>);

impl Permissions {
    pub(super) fn want(&mut self, now: Timestamp, peer: IpAddr) {
        self.0.entry(peer).or_insert_with(|| Permission {
            schedule: Schedule::at(now),
            alone: false,
        });
    }

    pub(super) fn forget(&mut self, peer: IpAddr) {
        self.0.remove(&peer);
    }

    /// Whether we want what this one sends.
    pub(super) fn contains(&self, peer: IpAddr) -> bool {
        self.0.contains_key(&peer)
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.0.values().filter_map(|it| it.schedule.due()).min()
    }

    /// Those to ask for now, in one request; none if none is due.
    pub(super) fn ask(&mut self, now: Timestamp) -> Vec<IpAddr> {
        let mut due = self.0.values().filter(|it| it.schedule.is_due(now));
        let Some(first) = due.next() else {
            return Vec::new();
        };
        let alone = first.alone;
        let (soon, most) = if alone {
            (now, 1)
        } else {
            (now.plus(ALONG), BATCH)
        };
        let fits = |it: &Permission| it.alone == alone && it.schedule.is_due(soon);
        let batch = self.0.iter_mut().filter(|(_, it)| fits(it)).take(most);
        batch
            .map(|(peer, it)| {
                it.schedule.next = Next::Asked;
                *peer
            })
            .collect()
    }

    /// The request that was sent then has succeeded.
    pub(super) fn granted(&mut self, peers: &[IpAddr], sent: Timestamp) {
        for peer in peers {
            if let Some(permission) = self.0.get_mut(peer) {
                permission.schedule = Schedule::at(sent.plus(REFRESH));
            }
        }
    }

    /// The request came to nothing, for no reason that would last.
    pub(super) fn postpone(&mut self, peers: &[IpAddr], now: Timestamp) {
        for peer in peers {
            if let Some(permission) = self.0.get_mut(peer) {
                permission.schedule.postpone(now);
            }
        }
    }

    /// The server has refused. Gives the one that it refuses, as far as that is known.
    pub(super) fn refused(&mut self, peers: &[IpAddr], now: Timestamp) -> Option<IpAddr> {
        if let [peer] = peers {
            self.0.get_mut(peer)?.schedule.next = Next::Never;
            return Some(*peer);
        }
        for peer in peers {
            if let Some(permission) = self.0.get_mut(peer) {
                permission.alone = true;
                permission.schedule.next = Next::At(now);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([198, 51, 100, last])
    }

    #[test]
    fn many_go_together_and_one_culprit_is_found() {
        let mut permissions = Permissions::default();
        let now = Timestamp::from_millis(5);
        for last in 0..20 {
            permissions.want(now, ip(last));
        }
        let first = permissions.ask(now);
        let second = permissions.ask(now);
        assert_eq!((first.len(), second.len()), (16, 4));
        assert!(permissions.ask(now).is_empty());
        permissions.granted(&first, now);
        assert_eq!(permissions.refused(&second, now), None);
        for peer in second {
            assert_eq!(permissions.ask(now), [peer]);
            if peer == ip(18) {
                assert_eq!(permissions.refused(&[peer], now), Some(peer));
            } else {
                permissions.granted(&[peer], now);
            }
        }
        // A permission is refreshed before it ends, all of a kind in one request.
        assert_eq!(permissions.poll_timeout(), Some(now.plus(REFRESH)));
        assert_eq!(permissions.ask(now.plus(REFRESH)), first);
    }

    #[test]
    fn what_is_due_soon_goes_along() {
        let mut permissions = Permissions::default();
        let now = Timestamp::ZERO;
        for (last, at) in [(1, 0), (2, 20), (3, 40)] {
            let at = now.plus(Duration::from_secs(at));
            permissions.want(at, ip(last));
            let asked = permissions.ask(at);
            permissions.granted(&asked, at);
        }
        assert_eq!(permissions.ask(now.plus(REFRESH)), [ip(1), ip(2)]);
    }
}
