//! One other node: sequences, acknowledgements, credit and reassembly between it and us.
//!
//! All of it is end to end: it does not matter whether frames go directly or through the host. The route
//! can change in the middle, or begin anew over another link: then what was not acknowledged, and was not
//! given to it before, goes there as well, and the receiver drops what it has already.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::stall::{Account, Stall};
use crate::config::{LEAST_PIECE, MESSAGE_COST};
use crate::event::Route;
use crate::link::negotiation::Terms;
use crate::stats::StateStats;
use crate::time::Timestamp;
use crate::wire::{Ack, Piece, State};

/// How long an acknowledgement may wait for company.
pub(crate) const ACK_DELAY: Duration = Duration::from_millis(200);
/// How long it may wait when the sender may soon run out of credit: long enough for the application
/// to take what was just delivered.
const ACK_SOON: Duration = Duration::from_millis(2);
/// How often the sender of a message that comes in slowly hears that it does.
const ACCOUNT: Duration = Duration::from_secs(2);

/// What we and another node still owe each other.
#[derive(Debug)]
pub(crate) struct Pair {
    terms: Terms,
    /// Whether the route between the two can change.
    routes: bool,
    // Ours to it.
    next_sequence: u64,
    acknowledged: u64,
    /// What it has not acknowledged, the first being `acknowledged`.
    kept: VecDeque<Bytes>,
    /// The first that was not given to each route: a route loses nothing until it ends.
    given: [u64; 2],
    sent_cost: u64,
    /// How much we may send in all.
    limit: u64,
    stall: Stall,
    /// It took nothing for too long: nothing more goes to it.
    given_up: bool,
    // Its to us.
    expected: u64,
    /// The message under way, on each route: one may end what the other has begun.
    partials: [Option<Partial>; 2],
    /// What the message under way costs; `None` before its first piece.
    begun: Option<u64>,
    received_cost: u64,
    taken_cost: u64,
    /// Since when the application could have taken something and did not.
    untaken_since: Option<Timestamp>,
    /// What it was last told.
    told: Ack,
    ack_at: Option<Timestamp>,
    /// The acknowledgement goes out even if it says nothing new: the last may be lost.
    repeat_ack: bool,
    // States.
    next_state: Option<u32>,
    state: StateStats,
    state_at: Option<Timestamp>,
    pub(crate) totals: Totals,
}

/// Counters of a pair.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) messages_sent: u64,
    pub(crate) messages_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
}

#[derive(Debug)]
struct Partial {
    sequence: u64,
    total: u32,
    bytes: Vec<u8>,
}

/// The other side broke the rules of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PairError {
    #[error("a message is out of sequence")]
    Sequence,
    #[error("a message is longer than the network allows")]
    TooLarge,
    #[error("the pieces of a message do not fit together")]
    Pieces,
    #[error("more was sent than there was credit for")]
    Credit,
    #[error("something was acknowledged that was never sent")]
    Acknowledgement,
}

/// What a piece led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// More pieces are needed.
    Partly,
    /// It was here already, or cannot be used; nothing follows from it.
    Repeated,
    Message(Bytes),
}

impl Pair {
    /// There is one route to the other node, though it may begin anew over another link.
    pub(crate) fn new(terms: Terms) -> Self {
        Self::make(terms, false)
    }

    /// The route can change between direct and relayed.
    pub(crate) fn with_routes(terms: Terms) -> Self {
        Self::make(terms, true)
    }

    fn make(terms: Terms, routes: bool) -> Self {
        let window = u64::from(terms.window);
        Self {
            terms,
            routes,
            next_sequence: 0,
            acknowledged: 0,
            kept: VecDeque::new(),
            given: [0; 2],
            sent_cost: 0,
            limit: window,
            stall: Stall::default(),
            given_up: false,
            expected: 0,
            partials: [None, None],
            begun: None,
            received_cost: 0,
            taken_cost: 0,
            untaken_since: None,
            told: Ack {
                next: 0,
                limit: window,
                idle: 0,
            },
            ack_at: None,
            repeat_ack: false,
            next_state: None,
            state: StateStats::default(),
            state_at: None,
            totals: Totals::default(),
        }
    }

    /// Whether the route between the two can change.
    pub(crate) const fn has_routes(&self) -> bool {
        self.routes
    }

    /// Whether a message of this length may be sent now.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        self.sent_cost.saturating_add(cost(length)) <= self.limit
    }

    /// Takes the next sequence for a message, which must have room.
    pub(crate) fn send(&mut self, now: Timestamp, payload: &Bytes) -> u64 {
        let length = payload.len();
        let sequence = self.next_sequence;
        self.kept.push_back(payload.clone());
        self.next_sequence = sequence.saturating_add(1);
        self.sent_cost = self.sent_cost.saturating_add(cost(length));
        self.totals.messages_sent = self.totals.messages_sent.saturating_add(1);
        self.totals.bytes_sent = self.totals.bytes_sent.saturating_add(length as u64);
        self.stall.sent(now, self.is_full());
        sequence
    }

    /// From now on this route is used: what it has to carry besides, in order.
    pub(crate) fn turn_to(&mut self, route: Route) -> Vec<(u64, Bytes)> {
        let from = *self.given(route);
        *self.given(route) = self.next_sequence;
        let all = (self.acknowledged..).zip(self.kept.iter().cloned());
        all.filter(|(sequence, _)| *sequence >= from).collect()
    }

    /// Everything that was sent so far was given to this route, or to another before.
    pub(crate) const fn gave(&mut self, route: Route) {
        *self.given(route) = self.next_sequence;
    }

    const fn given(&mut self, route: Route) -> &mut u64 {
        let [relayed, direct] = &mut self.given;
        match route {
            Route::Relayed => relayed,
            Route::Direct => direct,
        }
    }

    /// The route changed: an acknowledgement that was on the old one may be lost.
    pub(crate) fn say_ack_again(&mut self, now: Timestamp) {
        self.repeat_ack = true;
        self.arm(now, Duration::ZERO);
    }

    /// Costs of what the other has not taken yet.
    pub(crate) fn in_flight(&self) -> u64 {
        let taken = self.limit.saturating_sub(self.terms.window.into());
        self.sent_cost.saturating_sub(taken)
    }

    /// The other acknowledges and grants; says whether it took something.
    pub(crate) fn handle_ack(&mut self, now: Timestamp, ack: Ack) -> Result<bool, PairError> {
        let most = self.sent_cost.saturating_add(self.terms.window.into());
        if ack.next > self.next_sequence || ack.limit > most {
            return Err(PairError::Acknowledgement);
        }
        let received = self.acknowledged < ack.next;
        while self.acknowledged < ack.next {
            self.acknowledged = self.acknowledged.saturating_add(1);
            let _ = self.kept.pop_front();
        }
        let progress = ack.limit > self.limit;
        self.limit = self.limit.max(ack.limit);
        let said = Account::of(progress, received);
        self.stall.acknowledged(now, ack, said, self.is_full());
        Ok(progress)
    }

    /// Whether we may be waiting: the largest message would not fit any more.
    fn is_full(&self) -> bool {
        !self.has_room(self.terms.message as usize)
    }

    /// Nothing more goes to it, until it takes something.
    pub(crate) const fn give_up(&mut self) {
        self.given_up = true;
    }

    /// It takes again: what is sent from now on is for it; says whether it had been given up.
    pub(crate) const fn take_back(&mut self) -> bool {
        core::mem::replace(&mut self.given_up, false)
    }

    pub(crate) const fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// When our own application has let the other wait for too long, as things are: it has taken
    /// nothing although there was something, and the largest message would not fit any more.
    pub(crate) fn starves_at(&self, patience: Duration) -> Option<Timestamp> {
        let left = self.told.limit.saturating_sub(self.received_cost);
        self.untaken_since
            .filter(|_| left < cost(self.terms.message as usize))
            .map(|since| since.plus(patience))
    }

    /// Whether its window is full, so that it matters if something moves.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.stall.is_waiting()
    }

    /// What we gave to the way to it moves.
    pub(crate) fn moved(&mut self, now: Timestamp) {
        self.stall.moved(now);
    }

    /// How long it lets us wait.
    pub(crate) const fn stall(&self) -> &Stall {
        &self.stall
    }

    /// A piece came.
    pub(crate) fn receive(
        &mut self,
        now: Timestamp,
        route: Route,
        sequence: u64,
        piece: Piece,
    ) -> Result<Delivered, PairError> {
        if sequence > self.expected && !self.routes {
            return Err(PairError::Sequence);
        }
        if sequence < self.expected {
            // The sender does not know yet that we have it.
            self.repeat_ack = true;
            self.arm(now, ACK_DELAY);
            return Ok(Delivered::Repeated);
        }
        if sequence > self.expected {
            // Its sender has left some out, which is its own affair: each route brings everything from
            // the first that we have not acknowledged.
            self.skip_to(sequence);
        }
        let partial = self.partial(route).take();
        let message = match (piece.total, partial) {
            (Some(total), partial) => {
                if partial.is_some() && !self.routes {
                    return Err(PairError::Pieces);
                }
                if !self.begin(total)? {
                    return Ok(Delivered::Repeated);
                }
                if piece.payload.len() == total as usize {
                    piece.payload
                } else if piece.payload.len() < total as usize && !is_crumb(&piece) {
                    *self.partial(route) = Some(Partial {
                        sequence,
                        total,
                        bytes: piece.payload.to_vec(),
                    });
                    return Ok(self.partly(now));
                } else {
                    return Err(PairError::Pieces);
                }
            }
            (None, Some(mut partial)) => {
                partial.bytes.extend_from_slice(&piece.payload);
                let total = partial.total as usize;
                if partial.sequence != sequence
                    || partial.bytes.len() > total
                    || piece.payload.is_empty()
                {
                    return Err(PairError::Pieces);
                }
                if partial.bytes.len() < total {
                    if is_crumb(&piece) {
                        return Err(PairError::Pieces);
                    }
                    *self.partial(route) = Some(partial);
                    return Ok(self.partly(now));
                }
                partial.bytes.into()
            }
            (None, None) => return Err(PairError::Pieces),
        };
        self.delivered(now, message.len());
        Ok(Delivered::Message(message))
    }

    const fn partial(&mut self, route: Route) -> &mut Option<Partial> {
        let [relayed, direct] = &mut self.partials;
        match route {
            Route::Relayed => relayed,
            Route::Direct => direct,
        }
    }

    /// What was under way on this route does not arrive any more, on neither side.
    pub(crate) fn route_ended(&mut self, route: Route) {
        *self.partial(route) = None;
        *self.given(route) = 0;
    }

    fn skip_to(&mut self, sequence: u64) {
        self.expected = sequence;
        self.partials = [None, None];
        let begun = self.begun.take().unwrap_or_default();
        self.received_cost = self.received_cost.saturating_sub(begun);
    }

    /// More is to come; its sender hears that it does, if it takes long.
    fn partly(&mut self, now: Timestamp) -> Delivered {
        if self.ack_at.is_none() {
            self.repeat_ack = true;
            self.arm(now, ACCOUNT);
        }
        Delivered::Partly
    }

    /// A message is whole.
    fn delivered(&mut self, now: Timestamp, length: usize) {
        self.expected = self.expected.saturating_add(1);
        self.partials = [None, None];
        self.begun = None;
        let totals = &mut self.totals;
        totals.messages_received = totals.messages_received.saturating_add(1);
        totals.bytes_received = totals.bytes_received.saturating_add(length as u64);
        self.untaken_since.get_or_insert(now);
        let busy = self.unannounced() >= u64::from(self.terms.window) / 4;
        self.arm(now, if busy { ACK_SOON } else { ACK_DELAY });
    }

    /// Counts the cost of the next message, once; says whether it can be taken.
    fn begin(&mut self, total: u32) -> Result<bool, PairError> {
        if total > self.terms.message {
            return Err(PairError::TooLarge);
        }
        let cost = cost(total as usize);
        let counted = self.begun.unwrap_or_default();
        let received = self
            .received_cost
            .saturating_add(cost.saturating_sub(counted));
        if received > self.told.limit {
            // Where the route can change, the host cannot check this for us: it is the sender's fault,
            // and its own loss.
            return if self.routes {
                Ok(false)
            } else {
                Err(PairError::Credit)
            };
        }
        self.received_cost = received;
        self.begun = Some(cost.max(counted));
        Ok(true)
    }

    /// The application took a message of this length.
    pub(crate) fn take(&mut self, length: usize) {
        let taken = self.taken_cost.saturating_add(cost(length));
        self.taken_cost = taken.min(self.received_cost);
    }

    /// Costs of whole messages.
    fn delivered_cost(&self) -> u64 {
        self.received_cost
            .saturating_sub(self.begun.unwrap_or_default())
    }

    /// Costs that came since the other was last told.
    fn unannounced(&self) -> u64 {
        let told = self.told.limit.saturating_sub(self.terms.window.into());
        self.received_cost.saturating_sub(told)
    }

    /// After `take`: brings the acknowledgement forward if it matters.
    pub(crate) fn taken(&mut self, now: Timestamp) {
        self.untaken_since = (self.taken_cost < self.delivered_cost()).then_some(now);
        let told = self.told.limit.saturating_sub(self.terms.window.into());
        let waiting = self.taken_cost.saturating_sub(told);
        if waiting >= u64::from(self.terms.window) / 4 {
            self.arm(now, ACK_SOON);
        } else if waiting > 0 {
            self.arm(now, ACK_DELAY);
        }
    }

    /// Nobody knows whether its application could take more: it gives no account of that.
    pub(crate) const fn no_account(&mut self) {
        self.untaken_since = None;
    }

    fn arm(&mut self, now: Timestamp, delay: Duration) {
        let at = now.plus(delay);
        self.ack_at = Some(self.ack_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Timestamp> {
        self.ack_at
    }

    /// The acknowledgement, if it is due, or will be until then and would not say more.
    pub(crate) fn poll_ack(&mut self, now: Timestamp, until: Timestamp) -> Option<Ack> {
        let until = self.untaken_since.map_or(until, |_| now);
        if self.ack_at.is_none_or(|at| at > until) {
            return None;
        }
        self.ack_at = None;
        let idle = self
            .untaken_since
            .map_or(Duration::ZERO, |since| now.since(since));
        if self.untaken_since.is_some() {
            // The application has not taken all of it yet: look again later.
            self.arm(now, ACK_DELAY);
        }
        // Whole seconds are news enough of an application that sleeps.
        let idle = u32::try_from(idle.as_secs())
            .unwrap_or(u32::MAX)
            .saturating_mul(1000);
        let limit = self.taken_cost.saturating_add(self.terms.window.into());
        let ack = Ack {
            next: self.expected,
            limit,
            idle,
        };
        if ack == self.told && !core::mem::take(&mut self.repeat_ack) {
            return None;
        }
        self.repeat_ack = false;
        self.told = ack;
        Some(ack)
    }

    /// A state came: its payload if it is newer than all before it.
    pub(crate) fn receive_state(&mut self, now: Timestamp, state: State) -> Option<Bytes> {
        if self
            .next_state
            .is_some_and(|next| !is_newer_or_same(state.sequence, next))
        {
            self.state.stale = self.state.stale.saturating_add(1);
            return None;
        }
        self.next_state = Some(state.sequence.wrapping_add(1));
        self.state.sequence = Some(state.sequence);
        self.state.received = self.state.received.saturating_add(1);
        self.state_at = Some(now);
        Some(state.payload)
    }

    pub(crate) fn state_stats(&self, now: Timestamp) -> StateStats {
        StateStats {
            age: self.state_at.map(|at| now.since(at)),
            ..self.state
        }
    }
}

/// What a message costs of the window.
pub(crate) fn cost(length: usize) -> u64 {
    (length as u64).saturating_add(MESSAGE_COST.into())
}

/// Whether this piece is too small to be any but the last of its message.
pub(crate) const fn is_crumb(piece: &Piece) -> bool {
    piece.payload.len() < LEAST_PIECE as usize
}

/// Serial number arithmetic (RFC 1982): newer than the last one is what is less than half of the
/// numbers ahead of it, and `next` is one ahead of it.
const fn is_newer_or_same(sequence: u32, next: u32) -> bool {
    sequence.wrapping_sub(next) < (1 << 31) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        message: 1000,
        window: 2000,
        relay: true,
        mesh: false,
    };

    fn whole(payload: &'static [u8]) -> Piece {
        Piece {
            total: Some(payload.len() as u32),
            payload: Bytes::from_static(payload),
        }
    }

    fn part(total: Option<u32>, length: usize) -> Piece {
        Piece {
            total,
            payload: alloc::vec![1; length].into(),
        }
    }

    fn pair() -> Pair {
        Pair::new(TERMS)
    }

    #[test]
    fn messages_come_in_sequence_and_once() {
        let mut pair = pair();
        let now = Timestamp::ZERO;
        let first = pair.receive(now, Route::Relayed, 0, whole(b"a"));
        assert_eq!(first, Ok(Delivered::Message(Bytes::from_static(b"a"))));
        assert_eq!(
            pair.receive(now, Route::Relayed, 0, whole(b"a")),
            Ok(Delivered::Repeated)
        );
        assert_eq!(
            pair.receive(now, Route::Relayed, 2, whole(b"a")),
            Err(PairError::Sequence)
        );
        assert!(
            pair.receive(now, Route::Relayed, 1, whole(b"")).is_ok(),
            "an empty message is a message"
        );
    }

    #[test]
    fn pieces_make_a_message_or_an_error() {
        let now = Timestamp::ZERO;
        let large = || {
            Pair::new(Terms {
                message: 10_000,
                window: 20_000,
                relay: true,
                mesh: false,
            })
        };
        let mut one = large();
        assert_eq!(
            one.receive(now, Route::Relayed, 0, part(Some(4000), 1024)),
            Ok(Delivered::Partly)
        );
        assert_eq!(
            one.receive(now, Route::Relayed, 0, part(None, 2975)),
            Ok(Delivered::Partly)
        );
        let last = one.receive(now, Route::Relayed, 0, part(None, 1));
        assert!(matches!(last, Ok(Delivered::Message(m)) if m.len() == 4000));

        for pieces in [
            [part(Some(10), 11), part(None, 1)],
            [part(Some(4000), 0), part(None, 1)],
            [part(None, 1), part(None, 1)],
            [part(Some(4000), 2000), part(None, 2001)],
            [part(Some(4000), 2000), part(None, 0)],
            [part(Some(4000), 2000), part(Some(4000), 2000)],
            // Crumbs.
            [part(Some(4000), 1023), part(None, 2977)],
            [part(Some(4000), 2000), part(None, 1023)],
        ] {
            let mut pair = large();
            let outcome = pieces
                .into_iter()
                .map(|piece| pair.receive(now, Route::Relayed, 0, piece))
                .find(Result::is_err);
            assert_eq!(outcome, Some(Err(PairError::Pieces)));
        }
        assert_eq!(
            pair().receive(now, Route::Relayed, 0, part(Some(1001), 1)),
            Err(PairError::TooLarge)
        );
    }

    #[test]
    fn credit_comes_back_as_the_application_takes() {
        let mut sender = pair();
        let mut receiver = pair();
        let mut now = Timestamp::ZERO;
        let mut sent = 0;
        while sender.has_room(500) {
            let sequence = sender.send(now, &alloc::vec![1; 500].into());
            assert!(
                receiver
                    .receive(now, Route::Relayed, sequence, part(Some(500), 500))
                    .is_ok()
            );
            sent += 1;
        }
        assert_eq!(sent, 3, "3 * 532 fit into 2000");
        assert_eq!(sender.in_flight(), 3 * 532);
        // A fourth would break the rule.
        assert_eq!(
            receiver.receive(now, Route::Relayed, 3, part(Some(500), 500)),
            Err(PairError::Credit)
        );

        let mut receiver = pair();
        for sequence in 0..3 {
            receiver
                .receive(now, Route::Relayed, sequence, part(Some(500), 500))
                .unwrap();
        }
        now = receiver.poll_timeout().unwrap();
        // Nothing taken: what came is acknowledged, no credit is given.
        let ack = receiver.poll_ack(now, now).unwrap();
        assert_eq!(
            ack,
            Ack {
                next: 3,
                limit: 2000,
                idle: 0
            }
        );
        assert_eq!(sender.handle_ack(now, ack), Ok(false));
        assert!(!sender.has_room(500));
        assert!(
            receiver.poll_timeout().unwrap() > now,
            "no spin while the application sleeps"
        );
        receiver.take(500);
        receiver.taken(now);
        let due = receiver.poll_timeout().unwrap();
        let ack = receiver.poll_ack(due, due).unwrap();
        assert_eq!(ack.limit, 2532);
        assert_eq!(sender.handle_ack(now, ack), Ok(true));
        assert!(sender.has_room(500));
        assert!(!sender.has_room(1000));
    }

    #[test]
    fn an_acknowledgement_goes_along_with_others_once_it_says_all() {
        let (mut pair, now) = (pair(), Timestamp::ZERO);
        pair.receive(now, Route::Relayed, 0, whole(b"abc")).unwrap();
        let due = pair.poll_timeout().unwrap();
        assert_eq!(pair.poll_ack(now, due), None, "more once it is taken");
        pair.take(3);
        pair.taken(now);
        assert_eq!(pair.poll_ack(now, now), None);
        assert_eq!(pair.poll_ack(now, due).unwrap().limit, 2000 + 35);
        assert_eq!(pair.poll_timeout(), None);
    }

    #[test]
    fn taking_more_than_came_gives_no_credit() {
        let mut pair = pair();
        pair.receive(Timestamp::ZERO, Route::Relayed, 0, whole(b"abc"))
            .unwrap();
        for _ in 0..100 {
            pair.take(1000);
        }
        pair.taken(Timestamp::ZERO);
        let due = pair.poll_timeout().unwrap();
        let ack = pair.poll_ack(due, due).unwrap();
        assert_eq!(ack.limit, 2000 + 35);
    }

    #[test]
    fn wrong_acknowledgements_are_refused() {
        let mut pair = pair();
        let wrong = Err(PairError::Acknowledgement);
        assert_eq!(
            pair.handle_ack(
                Timestamp::ZERO,
                Ack {
                    next: 1,
                    limit: 0,
                    idle: 0
                }
            ),
            wrong
        );
        assert_eq!(
            pair.handle_ack(
                Timestamp::ZERO,
                Ack {
                    next: 0,
                    limit: 2001,
                    idle: 0
                }
            ),
            wrong
        );
        assert_eq!(
            pair.handle_ack(
                Timestamp::ZERO,
                Ack {
                    next: 0,
                    limit: 1,
                    idle: 0
                }
            ),
            Ok(false),
            "an old one"
        );
    }

    #[test]
    fn states_go_forward_only_and_wrap() {
        let mut pair = pair();
        let mut newer = |sequence| {
            pair.receive_state(
                Timestamp::ZERO,
                State {
                    sequence,
                    payload: Bytes::new(),
                },
            )
            .is_some()
        };
        assert!(newer(u32::MAX - 1));
        assert!(!newer(u32::MAX - 1), "a repeat");
        assert!(newer(1), "across the wrap, with a gap");
        assert!(!newer(u32::MAX), "late, from before the wrap");
        assert!(newer(2));
        let stats = pair.state_stats(Timestamp::from_millis(9));
        assert_eq!(
            (stats.sequence, stats.received, stats.stale),
            (Some(2), 3, 2)
        );
        assert_eq!(stats.age, Some(Duration::from_millis(9)));
    }
}
