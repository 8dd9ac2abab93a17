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

#[derive(Debug)]
pub(super) struct Taking {
    /// Whose share of this is worth a question at once.
    window: u32,
    /// It has answered such a ping. There are nodes that answer none: they take what their channel takes.
    answers: bool,
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
        // Who has never answered is asked once.
        self.ask_at = self.answers.then(|| now.plus(AGAIN));
        let stamp = FIRST.saturating_add(self.told);
        let text = format!(r#"{{"t":"p","ts":{stamp}}}"#);
        Some(ChannelMessage::new(vec![Bytes::from(text)]))
    }
}
