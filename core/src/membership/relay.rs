//! The host between two joiners: it checks what passes, and stores nothing of it.
//!
//! A receiver must never have to blame the host for what an origin did, and no queue of the host may
//! grow beyond the receiver's credit; so the host follows each pair's sequence, pieces and credit.
//!
//! In a mesh it sees only the part of a flow that needs it. There it checks that pieces make messages,
//! and leaves sequence and credit to the two ends: a receiver in a mesh bears with both.

use crate::map::Map;
use core::time::Duration;

use super::pair::{cost, is_crumb};
use super::stall::{Account, Stall};
use crate::link::negotiation::Terms;
use crate::time::Timestamp;
use crate::wire::{Ack, Number, Piece};

/// How long an acknowledgement that is passed on may wait for others to the same node: a quarter of what
/// its receiver waited itself.
const ACK_COMPANY: Duration = Duration::from_millis(50);

/// All ordered pairs of joiners.
#[derive(Debug)]
pub(crate) struct Relay {
    terms: Terms,
    flows: Map<(Number, Number), Flow>,
    /// How many flows are stuck: mostly none, and then nobody has to look for them.
    stuck: usize,
}

/// What goes from one joiner to another.
#[derive(Debug)]
struct Flow {
    next: u64,
    /// What is missing of the message under way.
    missing: Option<u32>,
    /// How many times the origin has to say that it knows of the receiver's new link.
    unaware: u8,
    /// The next piece begins with the first message that the receiver may lack.
    anew: bool,
    /// Messages before this one are in `sent` already.
    counted: u64,
    /// What was sent again of those.
    repeated: u64,
    acknowledged: u64,
    sent: u64,
    /// The part of it that has passed with its last piece: only of this can anything be taken.
    complete: u64,
    limit: u64,
    stall: Stall,
    /// What passed last was for others, too: if this receiver has no room, they wait.
    shared: bool,
}

/// What a piece means for what waits of the same flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// It follows what passed before.
    On,
    /// The origin begins anew here, with the first that the receiver has not acknowledged: what still
    /// waits of it comes again, or has come another way.
    Again,
    /// The receiver has a new link and the origin does not know yet: it will send it again.
    Nothing,
}

/// An end of a flow broke its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RelayError {
    #[error("a message to be relayed is out of sequence or its pieces do not fit together")]
    Sequence,
    #[error("a message to be relayed is longer than the network allows")]
    TooLarge,
    #[error("more was sent than there was credit for")]
    Credit,
    #[error("something was acknowledged that was never sent")]
    Acknowledgement,
}

impl Relay {
    pub(crate) const fn new(terms: Terms) -> Self {
        Self {
            terms,
            flows: Map::new(),
            stuck: 0,
        }
    }

    /// A piece of `sequence` goes from `origin` to `to`, and perhaps to others: then it is `shared`.
    pub(crate) fn pass(
        &mut self,
        now: Timestamp,
        (origin, to): (Number, Number),
        sequence: u64,
        piece: &Piece,
        shared: bool,
    ) -> Result<Passed, RelayError> {
        let terms = self.terms;
        let flow = self.flow((origin, to));
        if flow.unaware > 0 {
            return Ok(Passed::Nothing);
        }
        let mut passed = Passed::On;
        if flow.anew && !terms.mesh {
            // The origin knows of no acknowledgement that did not pass here.
            if piece.total.is_none() || sequence > flow.acknowledged {
                return Err(RelayError::Sequence);
            }
            flow.next = sequence;
            flow.missing = None;
        }
        flow.anew = false;
        if terms.mesh && piece.total.is_some() {
            if sequence != flow.next || flow.missing.is_some() {
                passed = Passed::Again;
            }
            flow.next = sequence;
            flow.missing = None;
        }
        if sequence != flow.next {
            return Err(RelayError::Sequence);
        }
        let length = u32::try_from(piece.payload.len()).map_err(|_| RelayError::TooLarge)?;
        let missing = match (piece.total, flow.missing) {
            (Some(total), None) => {
                if total > terms.message {
                    return Err(RelayError::TooLarge);
                }
                if !terms.mesh && !flow.afford(terms, sequence, cost(total as usize)) {
                    return Err(RelayError::Credit);
                }
                total
            }
            (None, Some(missing)) if length > 0 => missing,
            (Some(_), Some(_)) | (None, _) => return Err(RelayError::Sequence),
        };
        let missing = missing.checked_sub(length).ok_or(RelayError::Sequence)?;
        if missing > 0 && is_crumb(piece) {
            return Err(RelayError::Sequence);
        }
        if missing == 0 {
            flow.missing = None;
            flow.complete = flow.sent;
            flow.next = flow.next.saturating_add(1);
        } else {
            flow.missing = Some(missing);
        }
        flow.shared = shared;
        let before = flow.stall.is_waiting();
        flow.stall.sent(now, flow.is_stuck(terms));
        let after = flow.stall.is_waiting();
        self.count_stuck(before, after);
        Ok(passed)
    }

    /// `from` acknowledges what came from `to`: what is to be passed on, if it says anything new, and how
    /// long that may wait. Not at all if the origin may soon run out of credit.
    pub(crate) fn pass_ack(
        &mut self,
        now: Timestamp,
        from: Number,
        to: Number,
        ack: Ack,
    ) -> Result<Option<(Ack, Duration)>, RelayError> {
        let terms = self.terms;
        if terms.mesh {
            // The origin knows what it sent, and bears with a wrong one.
            return Ok(Some((ack, Duration::ZERO)));
        }
        let flow = self.flow((to, from));
        if ack.next > flow.next.max(flow.counted)
            || ack.limit > flow.sent.saturating_add(terms.window.into())
        {
            return Err(RelayError::Acknowledgement);
        }
        let granted = ack.limit.saturating_sub(flow.limit);
        let progress = granted > 0;
        let received = ack.next > flow.acknowledged;
        let news = progress || received;
        flow.limit = flow.limit.max(ack.limit);
        flow.acknowledged = flow.acknowledged.max(ack.next);
        let before = flow.stall.is_waiting();
        let matters = before || granted >= u64::from(terms.window) / 4;
        flow.stall.acknowledged(
            now,
            ack,
            Account::of(progress, received),
            flow.is_stuck(terms),
        );
        let after = flow.stall.is_waiting();
        let ack = Ack {
            next: flow.acknowledged,
            limit: flow.limit,
            idle: ack.idle,
        };
        self.count_stuck(before, after);
        let wait = if matters { Duration::ZERO } else { ACK_COMPANY };
        Ok(news.then_some((ack, wait)))
    }

    const fn count_stuck(&mut self, before: bool, after: bool) {
        match (before, after) {
            (false, true) => self.stuck = self.stuck.saturating_add(1),
            (true, false) => self.stuck = self.stuck.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
    }

    /// What waits for this receiver moves.
    pub(crate) fn moved(&mut self, now: Timestamp, to: Number) {
        if self.stuck > 0 {
            let flows = self.flows.iter_mut();
            for (_, flow) in flows.filter(|((_, receiver), _)| *receiver == to) {
                flow.stall.moved(now);
            }
        }
    }

    /// A node left: nothing goes to it or from it any more.
    pub(crate) fn remove(&mut self, node: Number) {
        self.flows
            .retain(|(origin, to), _| *origin != node && *to != node);
        let waiting = |flow: &&Flow| flow.stall.is_waiting();
        self.stuck = self.flows.values().filter(waiting).count();
    }

    /// How many flows there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// This node has a new link: what comes from it begins anew, and what goes to it as soon as its
    /// origin knows.
    pub(crate) fn anew(&mut self, node: Number, others: impl Iterator<Item = Number>) {
        for other in others {
            let from = self.flow((node, other));
            from.unaware = 0;
            from.begin_anew();
            let to = self.flow((other, node));
            to.unaware = to.unaware.saturating_add(1);
            to.begin_anew();
        }
    }

    /// An origin says that it knows.
    pub(crate) fn aware(&mut self, origin: Number, to: Number) {
        if let Some(flow) = self.flows.get_mut(&(origin, to)) {
            flow.unaware = flow.unaware.saturating_sub(1);
        }
    }

    /// The first receiver whose time will be over, and when. `over_at` says so of the origin, the receiver,
    /// how long that lets it wait, and whether others wait, too.
    pub(crate) fn slowest(
        &self,
        over_at: impl Fn((Number, Number), &Stall, bool) -> Option<Timestamp>,
    ) -> Option<(Timestamp, Number)> {
        if self.stuck == 0 {
            return None;
        }
        let flows = self.flows.iter();
        flows
            .filter_map(|(pair, flow)| Some((over_at(*pair, &flow.stall, flow.shared)?, pair.1)))
            .min()
    }

    fn flow(&mut self, pair: (Number, Number)) -> &mut Flow {
        let window = self.terms.window.into();
        self.flows.get_or_insert_with(pair, || Flow {
            next: 0,
            missing: None,
            unaware: 0,
            anew: false,
            counted: 0,
            repeated: 0,
            acknowledged: 0,
            sent: 0,
            complete: 0,
            limit: window,
            stall: Stall::default(),
            shared: false,
        })
    }
}

impl Flow {
    fn begin_anew(&mut self) {
        let begun = u64::from(self.missing.is_some());
        self.counted = self.counted.max(self.next.saturating_add(begun));
        self.repeated = 0;
        self.anew = true;
    }

    /// Counts a message; says whether there is credit for it.
    fn afford(&mut self, terms: Terms, sequence: u64, cost: u64) -> bool {
        if sequence >= self.counted {
            self.sent = self.sent.saturating_add(cost);
            return self.sent <= self.limit;
        }
        // It was counted the first time; and never more than a window was on its way.
        self.repeated = self.repeated.saturating_add(cost);
        self.repeated <= terms.window.into()
    }

    /// Whether the origin may be waiting for the receiver: the largest message would not fit any
    /// more, and there is a whole message that was not taken.
    fn is_stuck(&self, terms: Terms) -> bool {
        let taken = self.limit.saturating_sub(terms.window.into());
        let full = self.limit.saturating_sub(self.sent) < cost(terms.message as usize);
        full && self.complete > taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const TERMS: Terms = Terms {
        message: 10_000,
        window: 20_000,
        relay: true,
        mesh: false,
    };

    fn piece(total: Option<u32>, length: usize) -> Piece {
        Piece {
            total,
            payload: vec![0; length].into(),
        }
    }

    #[test]
    fn what_passes_is_checked_for_the_receiver() {
        let now = Timestamp::ZERO;
        let mut relay = Relay::new(TERMS);
        assert_eq!(
            relay.pass(now, (1, 2), 0, &piece(Some(10), 10), false),
            Ok(Passed::On)
        );
        assert_eq!(
            relay.pass(now, (1, 2), 0, &piece(Some(10), 10), false),
            Err(RelayError::Sequence)
        );
        assert_eq!(
            relay.pass(now, (1, 2), 1, &piece(None, 10), false),
            Err(RelayError::Sequence)
        );
        assert_eq!(
            relay.pass(now, (1, 2), 1, &piece(Some(4000), 2000), false),
            Ok(Passed::On)
        );
        assert_eq!(
            relay.pass(now, (1, 2), 1, &piece(None, 2001), false),
            Err(RelayError::Sequence)
        );
        assert_eq!(
            relay.pass(now, (1, 2), 1, &piece(None, 2000), false),
            Ok(Passed::On)
        );
        assert_eq!(
            relay.pass(now, (1, 2), 2, &piece(Some(4000), 1023), false),
            Err(RelayError::Sequence),
            "a crumb"
        );
        let mut relay = Relay::new(TERMS);
        assert_eq!(
            relay.pass(now, (1, 2), 0, &piece(Some(10_001), 6000), false),
            Err(RelayError::TooLarge)
        );
        assert_eq!(
            relay.pass(now, (3, 2), 0, &piece(Some(10_000), 10_000), false),
            Ok(Passed::On)
        );
        assert_eq!(
            relay.pass(now, (3, 2), 1, &piece(Some(10_000), 10_000), false),
            Err(RelayError::Credit)
        );
    }

    #[test]
    fn in_a_mesh_an_origin_may_begin_anew_anywhere_but_not_with_wrong_pieces() {
        let now = Timestamp::ZERO;
        let mut relay = Relay::new(Terms {
            mesh: true,
            ..TERMS
        });
        let mut pass = |sequence, piece: &Piece| relay.pass(now, (1, 2), sequence, piece, false);
        let (whole, first) = (piece(Some(10), 10), piece(Some(4000), 2000));
        assert_eq!(
            pass(7, &whole),
            Ok(Passed::Again),
            "what was before went directly"
        );
        assert_eq!(pass(8, &whole), Ok(Passed::On));
        assert_eq!(pass(8, &whole), Ok(Passed::Again), "repeated");
        assert_eq!(pass(20, &first), Ok(Passed::Again), "skipped");
        assert_eq!(
            pass(20, &first),
            Ok(Passed::Again),
            "begun again in the middle"
        );
        assert_eq!(pass(20, &piece(None, 2000)), Ok(Passed::On));
        assert_eq!(
            pass(20, &piece(None, 2000)),
            Err(RelayError::Sequence),
            "a piece of nothing"
        );
        assert_eq!(
            pass(21, &piece(Some(10_001), 6000)),
            Err(RelayError::TooLarge)
        );
    }

    #[test]
    fn grants_are_bounded_by_the_window() {
        let now = Timestamp::ZERO;
        let mut relay = Relay::new(TERMS);
        relay
            .pass(now, (1, 2), 0, &piece(Some(100), 100), false)
            .unwrap();
        let too_much = Ack {
            next: 1,
            limit: 20_133,
            idle: 0,
        };
        assert_eq!(
            relay.pass_ack(now, 2, 1, too_much),
            Err(RelayError::Acknowledgement)
        );
        assert_eq!(
            relay.pass_ack(
                now,
                2,
                1,
                Ack {
                    next: 1,
                    limit: 20_132,
                    idle: 0,
                }
            ),
            Ok(Some((
                Ack {
                    next: 1,
                    limit: 20_132,
                    idle: 0
                },
                ACK_COMPANY
            )))
        );
        // Nothing new, and never less than before.
        let old = Ack {
            next: 1,
            limit: 5,
            idle: 0,
        };
        assert_eq!(relay.pass_ack(now, 2, 1, old), Ok(None));
        assert_eq!(
            relay.pass_ack(
                now,
                2,
                1,
                Ack {
                    next: 2,
                    limit: 0,
                    idle: 0
                }
            ),
            Err(RelayError::Acknowledgement)
        );
    }

    #[test]
    fn a_receiver_that_takes_nothing_is_noticed_and_progress_forgives_it() {
        const PATIENCE: Duration = Duration::from_secs(5);
        let mut relay = Relay::new(TERMS);
        let at = Timestamp::from_millis;
        relay
            .pass(at(0), (1, 2), 0, &piece(Some(9000), 9000), false)
            .unwrap();
        assert_eq!(
            relay.slowest(|_, stall, _| stall.over_at(PATIENCE)),
            None,
            "the largest message still fits"
        );
        relay
            .pass(at(10), (1, 2), 1, &piece(Some(9000), 9000), false)
            .unwrap();
        assert_eq!(
            relay.slowest(|_, stall, _| stall.over_at(PATIENCE)),
            Some((at(20_010), 2))
        );
        let idle = Ack {
            next: 1,
            limit: 20_000,
            idle: 5_000,
        };
        relay.pass_ack(at(5_000), 2, 1, idle).unwrap();
        assert_eq!(
            relay.slowest(|_, stall, _| stall.over_at(PATIENCE)),
            Some((at(5_010), 2)),
            "it says so itself"
        );
        let ack = Ack {
            next: 1,
            limit: 38_000,
            idle: 0,
        };
        let passed = relay.pass_ack(at(5_005), 2, 1, ack);
        assert_eq!(
            passed,
            Ok(Some((ack, Duration::ZERO))),
            "the origin waits for it"
        );
        assert_eq!(relay.slowest(|_, stall, _| stall.over_at(PATIENCE)), None);
        relay.remove(2);
        assert!(relay.flows.is_empty());
    }
}
