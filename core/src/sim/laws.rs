//! The laws of the contract, checked while a world runs.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::world::NodeIndex;
use crate::event::Event;
use crate::id::NodeId;
use crate::map::Map;
use crate::time::Timestamp;

/// What always holds, whatever happens in a world.
///
/// The first five are laws of the [contract](crate#the-laws) and keep its numbers; the others are
/// about a whole network, and checked where a [`Plan`](super::plan::Plan) is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Law {
    /// Law 3: after a wake-up and a drain, the next wake-up is later; one too early does nothing.
    NoSpin,
    /// Law 4: what is under way has a deadline, and ends by it.
    NoHang,
    /// Law 6: one input yields a bounded number of outputs, and no limit is exceeded.
    Bounded,
    /// Law 7: news of a link that was closed is counted, and nothing else.
    LateNews,
    /// Law 8: joining and leaving alternate, messages fall between, and there is one end. Who is
    /// suspected or lost comes back or leaves, and no message of it arrives before.
    Alternation,
    /// A state is newer than all states of its sender before it.
    NewerState,
    /// Reliable messages arrive in order, once, unmodified, and only if they were sent.
    Delivery,
    /// A state that arrives was sent, and is unmodified.
    SentState,
    /// Whoever is in the network is one of its nodes, and there are no more than it may have.
    Membership,
    /// A reason that is told is the true one: nobody is blamed for what it did not do.
    Reason,
    /// Nothing is sent to an address that nobody gave to the sender.
    Address,
    /// Once a core of nodes is healed, it agrees on who is there, hears each other and falls quiet.
    Liveness,
}

impl Law {
    /// The law's name, as it stands before what broke it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSpin => "law 3",
            Self::NoHang => "law 4",
            Self::Bounded => "law 6",
            Self::LateNews => "law 7",
            Self::Alternation => "law 8",
            Self::NewerState => "newer state",
            Self::Delivery => "delivery",
            Self::SentState => "sent state",
            Self::Membership => "membership",
            Self::Reason => "reason",
            Self::Address => "address",
            Self::Liveness => "liveness",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A law was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{law}: {text} (node {}, {at})", node.0)]
pub struct Violation {
    /// Which law.
    pub law: Law,
    /// When.
    pub at: Timestamp,
    /// At which node it showed.
    pub node: NodeIndex,
    /// What was seen, for a person to read.
    pub text: String,
}

/// What broke a law, before it is said where and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) law: Law,
    pub(crate) text: String,
}

/// Whether a law held.
pub(crate) type Held = Result<(), Broken>;

/// The law holds if `holds` does; the text is made only if it does not.
pub(crate) fn demand(holds: bool, law: Law, text: impl FnOnce() -> String) -> Held {
    if holds {
        Ok(())
    } else {
        Err(Broken { law, text: text() })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.text)
    }
}

/// What a world does when a law is broken: it panics, unless somebody collects violations.
#[derive(Debug, Default)]
pub(super) struct Watch {
    collects: bool,
    first: Option<Violation>,
}

impl Watch {
    pub(super) const fn collect(&mut self) {
        self.collects = true;
    }

    #[expect(clippy::panic, reason = "a test's world: a broken law ends the test")]
    pub(super) fn judge(&mut self, at: Timestamp, node: usize, held: Held) {
        let Err(broken) = held else { return };
        let violation = Violation {
            law: broken.law,
            at,
            node: NodeIndex(node),
            text: broken.text,
        };
        if !self.collects {
            panic!("{violation}");
        }
        self.first.get_or_insert(violation);
    }

    /// The first violation; what follows it may follow from it.
    pub(super) const fn first(&self) -> Option<&Violation> {
        self.first.as_ref()
    }
}

/// What a node was told against another, and nothing for it since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Doubt {
    suspect: bool,
    lost: bool,
    stalled: bool,
}

impl Doubt {
    /// It is back: heard again, or it has taken something.
    fn ends(&mut self) -> bool {
        core::mem::take(self) != Self::default()
    }
}

/// What a node was told of another that is here.
#[derive(Debug, Default)]
struct Standing {
    doubt: Doubt,
    /// The latest state.
    state: Option<u32>,
}

/// What a node may say next.
#[derive(Debug, Default)]
pub(crate) struct Laws {
    present: Map<NodeId, Standing>,
    /// `host` or `join` was called, and has not ended.
    open: bool,
}

impl Laws {
    /// `host` or `join` was taken.
    pub(crate) fn started(&mut self) -> Held {
        let was_open = core::mem::replace(&mut self.open, true);
        demand(!was_open, Law::Alternation, || {
            "begun again before the end".into()
        })
    }

    /// Whether the end is still to come.
    #[cfg(test)]
    pub(crate) const fn is_open(&self) -> bool {
        self.open
    }

    /// Law 8: nodes join and leave in turn, messages fall between, and there is one end.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the law is about these events alone"
    )]
    pub(crate) fn event(&mut self, event: &Event) -> Held {
        const LAW: Law = Law::Alternation;
        demand(self.open, LAW, || {
            format!("told outside a network: {event:?}")
        })?;
        match event {
            Event::NodeJoined { node } => {
                let old = self.present.insert(*node, Standing::default());
                demand(old.is_none(), LAW, || format!("{node} joined twice"))
            }
            Event::NodeLeft { node, .. } => {
                let was_here = self.present.remove(node).is_some();
                demand(was_here, LAW, || {
                    format!("{node} left without having joined")
                })
            }
            Event::NodeSuspect { node }
            | Event::NodeLost { node }
            | Event::NodeStalled { node } => {
                let Some(Standing { doubt, .. }) = self.present.get_mut(node) else {
                    return demand(false, LAW, || format!("{event:?}, who is not here"));
                };
                let old = *doubt;
                let new = match event {
                    // Another link to the same node may fall silent, too.
                    Event::NodeSuspect { .. } => {
                        doubt.suspect = true;
                        !old.lost
                    }
                    Event::NodeLost { .. } => !core::mem::replace(&mut doubt.lost, true),
                    _ => !core::mem::replace(&mut doubt.stalled, true),
                };
                demand(new, LAW, || format!("{event:?} after {old:?}"))
            }
            Event::NodeBack { node } => {
                let standing = self.present.get_mut(node);
                let doubted = standing.is_some_and(|standing| standing.doubt.ends());
                demand(doubted, LAW, || format!("{node} is back, and was not away"))
            }
            Event::Message { from, .. } => {
                let hears = self.present.get(from).is_some_and(|one| !one.doubt.lost);
                demand(hears, LAW, || {
                    format!("a message of {from}, who is not here")
                })
            }
            Event::State { from, sequence, .. } => {
                // States keep no order with what the host says of their sender.
                let Some(standing) = self.present.get_mut(from) else {
                    return demand(false, LAW, || format!("a state of {from}, who is not here"));
                };
                let last = standing.state.replace(*sequence);
                let newer = last.is_none_or(|last| {
                    let step = sequence.wrapping_sub(last);
                    step != 0 && step < 1 << 31
                });
                demand(newer, Law::NewerState, || {
                    format!("state {sequence} of {from} after {last:?}")
                })
            }
            Event::Ended { .. } => {
                self.present.clear();
                self.open = false;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Law 3: after a wake-up and a drain there is nothing left to do now.
    pub(crate) fn rested(now: Timestamp, next: Option<Timestamp>) -> Held {
        demand(next.is_none_or(|next| next > now), Law::NoSpin, || {
            format!("woken at {now}, again at {next:?}")
        })
    }

    /// Law 4: whatever is under way has a deadline. A host that waits for joiners has its
    /// heartbeat, or (on the LAN) nothing to wait for.
    pub(crate) fn under_way(connecting: bool, next: Option<Timestamp>) -> Held {
        demand(!connecting || next.is_some(), Law::NoHang, || {
            "something is under way without a deadline".into()
        })
    }

    /// Law 6: one input, a bounded number of outputs.
    pub(crate) fn amplified(outputs: usize, limit: u32) -> Held {
        demand(outputs <= limit as usize, Law::Bounded, || {
            format!("{outputs} outputs of one input")
        })
    }

    /// A call with nothing due changes nothing.
    pub(crate) fn idle(outputs: usize) -> Held {
        demand(outputs == 0, Law::NoSpin, || {
            format!("a wake-up with nothing due gave {outputs} outputs")
        })
    }

    /// Law 7: late news is counted as such; `before` and `after` it came.
    pub(crate) fn counted(before: u64, after: u64) -> Held {
        demand(after == before.saturating_add(1), Law::LateNews, || {
            "news of a link that was closed was taken for something else".into()
        })
    }

    pub(crate) fn present(&self) -> Vec<NodeId> {
        self.present.keys().copied().collect()
    }

    /// How many others are here.
    pub(super) fn count(&self) -> usize {
        self.present.len()
    }

    pub(super) fn is_present(&self, node: NodeId) -> bool {
        self.present.contains_key(&node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::EndReason;
    use crate::event::LeaveReason;
    use bytes::Bytes;

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 16])
    }

    fn joined(number: u8) -> Event {
        Event::NodeJoined { node: node(number) }
    }

    fn left(number: u8) -> Event {
        Event::NodeLeft {
            node: node(number),
            reason: LeaveReason::Left,
        }
    }

    fn message(number: u8) -> Event {
        Event::Message {
            from: node(number),
            payload: Bytes::new(),
        }
    }

    fn state(number: u8, sequence: u32) -> Event {
        Event::State {
            from: node(number),
            sequence,
            payload: Bytes::new(),
        }
    }

    fn lost(number: u8) -> Event {
        Event::NodeLost { node: node(number) }
    }

    fn back(number: u8) -> Event {
        Event::NodeBack { node: node(number) }
    }

    fn suspect(number: u8) -> Event {
        Event::NodeSuspect { node: node(number) }
    }

    fn stalled(number: u8) -> Event {
        Event::NodeStalled { node: node(number) }
    }

    fn ended() -> Event {
        Event::Ended {
            reason: EndReason::Left,
        }
    }

    /// The law that the last of these events breaks; those before it must break none.
    fn last_breaks(events: &[Event]) -> Option<Law> {
        let mut laws = Laws::default();
        assert_eq!(laws.started(), Ok(()));
        let held: Vec<Held> = events.iter().map(|event| laws.event(event)).collect();
        let first = held.iter().position(Result::is_err)?;
        assert_eq!(first + 1, events.len(), "an earlier one broke it");
        held.into_iter().find_map(|held| held.err().map(|b| b.law))
    }

    #[test]
    fn a_proper_course_breaks_nothing() {
        let course = [joined(1), message(1), left(1), joined(1), state(1, 5)];
        assert_eq!(last_breaks(&course), None);
        assert_eq!(last_breaks(&[joined(1), ended()]), None);
        assert_eq!(
            last_breaks(&[joined(1), state(1, u32::MAX), state(1, 0)]),
            None
        );
    }

    #[test]
    fn every_breach_is_noticed() {
        let breaches = [
            [joined(1), joined(1)],
            [joined(1), left(2)],
            [joined(1), message(2)],
            [left(1), left(1)],
            [joined(1), state(2, 0)],
            [ended(), message(1)],
        ];
        for breach in &breaches {
            let mut laws = Laws::default();
            laws.started().unwrap();
            let broken = breach.iter().find_map(|event| laws.event(event).err());
            assert_eq!(broken.map(|b| b.law), Some(Law::Alternation), "{breach:?}");
        }
        for (first, second) in [(5, 5), (5, 4), (0, u32::MAX), (0, 1 << 31)] {
            let events = [joined(1), state(1, first), state(1, second)];
            assert_eq!(last_breaks(&events), Some(Law::NewerState));
        }
        let mut laws = Laws::default();
        assert!(laws.event(&joined(1)).is_err(), "before the beginning");
        laws.started().unwrap();
        assert!(laws.started().is_err(), "begun twice");
    }

    #[test]
    fn who_is_doubted_comes_back_or_leaves() {
        let courses: [&[Event]; 5] = [
            &[joined(1), suspect(1), back(1), message(1), suspect(1)],
            &[
                joined(1),
                suspect(1),
                lost(1),
                state(1, 0),
                back(1),
                state(1, 1),
            ],
            &[joined(1), lost(1), left(1), joined(1), message(1), lost(1)],
            &[
                joined(1),
                stalled(1),
                suspect(1),
                back(1),
                stalled(1),
                back(1),
            ],
            &[joined(1), stalled(1), message(1), ended()],
        ];
        for course in courses {
            assert_eq!(last_breaks(course), None, "{course:?}");
        }
        let breaches: [&[Event]; 7] = [
            &[joined(1), stalled(1), suspect(1), back(1), back(1)],
            &[joined(1), lost(1), lost(1)],
            &[joined(1), lost(1), suspect(1)],
            &[joined(1), lost(2)],
            &[joined(1), back(1)],
            &[joined(1), lost(1), back(1), back(1)],
            &[joined(1), lost(1), message(1)],
        ];
        for breach in breaches {
            assert_eq!(last_breaks(breach), Some(Law::Alternation), "{breach:?}");
        }
    }

    #[test]
    fn spinning_hanging_and_flooding_are_noticed() {
        let at = Timestamp::from_millis;
        assert_eq!(Laws::rested(at(5), None), Ok(()));
        assert_eq!(Laws::rested(at(5), Some(at(6))), Ok(()));
        let law = |held: Held| held.err().map(|broken| broken.law);
        assert_eq!(law(Laws::rested(at(5), Some(at(5)))), Some(Law::NoSpin));
        assert_eq!(law(Laws::rested(at(5), Some(at(4)))), Some(Law::NoSpin));
        assert_eq!(Laws::idle(0), Ok(()));
        assert_eq!(law(Laws::idle(1)), Some(Law::NoSpin));
        assert_eq!(Laws::under_way(false, None), Ok(()));
        assert_eq!(law(Laws::under_way(true, None)), Some(Law::NoHang));
        assert_eq!(Laws::counted(4, 5), Ok(()));
        assert_eq!(law(Laws::counted(4, 4)), Some(Law::LateNews));
        assert_eq!(Laws::amplified(10, 10), Ok(()));
        assert_eq!(law(Laws::amplified(11, 10)), Some(Law::Bounded));
    }

    #[test]
    fn the_first_violation_is_kept_if_somebody_collects() {
        let mut watch = Watch::default();
        watch.collect();
        let at = Timestamp::from_millis(7);
        watch.judge(at, 3, Ok(()));
        assert!(watch.first().is_none());
        watch.judge(at, 3, Laws::amplified(2, 1));
        watch.judge(at, 4, Laws::under_way(true, None));
        let first = watch.first().unwrap();
        assert_eq!((first.law, first.node), (Law::Bounded, NodeIndex(3)));
        assert_eq!(
            format!("{first}"),
            "law 6: 2 outputs of one input (node 3, 0.007000s)"
        );
    }

    #[test]
    #[should_panic(expected = "law 6: 2 outputs of one input")]
    fn nobody_who_collects_means_panic() {
        Watch::default().judge(Timestamp::ZERO, 0, Laws::amplified(2, 1));
    }
}
