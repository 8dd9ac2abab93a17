//! What a node of the dialect has taken.
//!
//! Its channels take all that they are given, also while its page is frozen, and the dialect has no word for what
//! was taken. But it answers pings in the order in which it handles messages: a ping behind messages, whose stamp
//! says how many went before it, is answered when these were handled.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec;
use bytes::Bytes;
use core::time::Duration;

use crate::io::ChannelMessage;
use crate::membership::pair::cost;
use crate::time::Timestamp;
use crate::wire::Number;

/// Pings for a sign of life have smaller stamps, and numbers of JavaScript hold larger ones.
const FIRST: u64 = 1 << 32;
/// How long a few messages wait for more to ask about, and an answer for another question: it may be lost.
const SOON: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_secs(2);
/// How often a node is asked that has never answered: its answers may come on a channel that loses.
const ASKS: u8 = 3;

#[derive(Debug)]
pub(super) struct Taking {
    /// Whose share of this is worth a question at once.
    window: u32,
    /// It has answered such a ping. There are nodes that answer none: they take what their channel takes.
    answers: bool,
    asks: u8,
    /// How many messages it was told, and how many of them it has handled.
    told: u64,
    handled: u64,
    /// Those between the two: whose they are, and how long.
    owed: VecDeque<(Number, usize)>,
    /// What they cost of a window.
    cost: u64,
    ask_at: Option<Timestamp>,
    /// How many the last ping asked about.
    asked: Option<u64>,
}

impl Taking {
    pub(super) const fn new(window: u32) -> Self {
        Self {
            window,
            answers: false,
            asks: 0,
            told: 0,
            handled: 0,
            owed: VecDeque::new(),
            cost: 0,
            ask_at: None,
            asked: None,
        }
    }

    /// A message goes to it. Gives back what counts as taken at once.
    pub(super) fn tell(
        &mut self,
        now: Timestamp,
        message: (Number, usize),
    ) -> Option<(Number, usize)> {
        self.told = self.told.saturating_add(1);
        let at_once = !self.answers;
        if at_once {
            self.handled = self.told;
        } else {
            self.owed.push_back(message);
            self.cost = self.cost.saturating_add(cost(message.1));
        }
        if self.asked.is_none() {
            self.ask_soon(now);
        }
        at_once.then_some(message)
    }

    fn ask_soon(&mut self, now: Timestamp) {
        let much = self.cost >= u64::from(self.window) / 8;
        let at = if much { now } else { now.plus(SOON) };
        self.ask_at = Some(self.ask_at.map_or(at, |before| before.min(at)));
    }

    /// It answered a ping. `None`: not one of these.
    pub(super) fn answered(&mut self, stamp: &str) -> Option<()> {
        let count = stamp.parse::<u64>().ok()?.checked_sub(FIRST)?;
        if self.asked.is_none_or(|asked| count > asked) {
            return Some(());
        }
        self.answers = true;
        self.handled = self.handled.max(count);
        if self.asked.is_some_and(|asked| asked <= count) {
            (self.asked, self.ask_at) = (None, None);
        }
        Some(())
    }

    /// After an answer: the next message that was handled.
    pub(super) fn poll(&mut self, now: Timestamp) -> Option<(Number, usize)> {
        let rest = self.told.saturating_sub(self.handled);
        if self.owed.len() as u64 <= rest {
            if rest > 0 && self.asked.is_none() {
                self.ask_soon(now);
            }
            return None;
        }
        let message = self.owed.pop_front()?;
        self.cost = self.cost.saturating_sub(cost(message.1));
        Some(message)
    }

    pub(super) const fn poll_timeout(&self) -> Option<Timestamp> {
        self.ask_at
    }

    /// The ping that is due.
    pub(super) fn ask(&mut self, now: Timestamp) -> Option<ChannelMessage> {
        self.ask_at.take_if(|at| *at <= now)?;
        self.asked = Some(self.told);
        self.asks = self.asks.saturating_add(1);
        let again = self.answers || self.asks < ASKS;
        self.ask_at = again.then(|| now.plus(AGAIN));
        let stamp = FIRST.saturating_add(self.told);
        let text = format!(r#"{{"t":"p","ts":{stamp}}}"#);
        Some(ChannelMessage::new(vec![Bytes::from(text)]))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn who_never_answers_is_asked_three_times_and_takes_what_its_channel_takes() {
        let mut taking = Taking::new(1000);
        assert_eq!(taking.tell(at(0), (1, 10)), Some((1, 10)));
        let mut asked = Vec::new();
        while let Some(due) = taking.poll_timeout() {
            assert!(taking.ask(due).is_some());
            assert_eq!(taking.tell(due, (1, 10)), Some((1, 10)));
            asked.push(due.as_millis());
        }
        assert_eq!(asked, [500, 2500, 4500]);
    }

    #[test]
    fn an_answer_is_for_what_went_before_the_question() {
        let mut taking = Taking::new(1000);
        let stamp = |count| alloc::format!("{}", FIRST + count);
        let _ = taking.tell(at(0), (1, 10));
        assert!(taking.ask(at(500)).is_some());
        assert_eq!(taking.answered("17"), None, "a sign of life");
        assert_eq!(taking.answered(&stamp(1)), Some(()));
        // From now on it is known to answer.
        assert_eq!(taking.tell(at(600), (1, 20)), None);
        assert_eq!(taking.tell(at(600), (2, 30)), None);
        assert_eq!(taking.poll(at(700)), None);
        assert!(taking.ask(at(1100)).is_some());
        assert_eq!(taking.tell(at(1200), (2, 40)), None);
        // More than was asked about says nothing.
        assert_eq!(taking.answered(&stamp(4)), Some(()));
        assert_eq!(taking.poll(at(1300)), None);
        assert_eq!(taking.answered(&stamp(3)), Some(()));
        assert_eq!(taking.poll(at(1300)), Some((1, 20)));
        assert_eq!(taking.poll(at(1300)), Some((2, 30)));
        assert_eq!(taking.poll(at(1300)), None);
        assert_eq!(
            taking.poll_timeout(),
            Some(at(1800)),
            "the last one is asked about, too"
        );
    }
}
