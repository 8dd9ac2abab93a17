//! Links: one remote node each.

mod channels;
mod liveness;
pub(crate) mod negotiation;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

pub(crate) use channels::{Bounds, Channels};
pub(crate) use liveness::{Liveness, RoundTrip, Silence};

use crate::config::Timeouts;
use crate::event::{PhaseTiming, Refusal};
use crate::id::LinkId;
use crate::io::{Channel, ChannelMessage};
use crate::membership::Interpreter;
use crate::report::{CandidateReport, LinkReport};
use crate::time::{Timestamp, earliest};
use crate::wire::{FRAMES_PER_MESSAGE, Farewell, Frame, Number, decode};
use negotiation::OfferHello;

/// How long a join may hold a place before anything authenticated came from it.
const FIRST_PACKET: Duration = Duration::from_secs(5);

/// A link to one remote node, from the first description to the last goodbye.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) via: Via,
    /// What a joiner said in its OFFER; `None` on the joiner's own side.
    pub(crate) hello: Option<OfferHello>,
    pub(crate) stage: Stage,
    pub(crate) channels: Channels,
    pub(crate) liveness: Liveness,
    pub(crate) clock: PhaseClock,
    /// Whether anything authenticated has come.
    pub(crate) heard: bool,
    /// Whether our description is made and sent; candidates follow it.
    pub(crate) described: bool,
    /// We answer, and take the roles that save two trips.
    pub(crate) leads: bool,
    /// How many candidates of the remote were used.
    pub(crate) candidates: u8,
    /// The frames of our ANSWER and candidates, to be sent again if the offer comes again or the
    /// signaling server was away.
    pub(crate) said: Vec<String>,
    /// What is reported of how it was made.
    pub(crate) notes: Notes,
    /// The node at the other end speaks the JSON dialect.
    pub(crate) interpreter: Option<Box<Interpreter>>,
    /// What it is for if it is no node's.
    pub(crate) aside: Aside,
}

/// What a link is for that is no node's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Aside {
    /// It is a node's, or will be.
    #[default]
    No,
    /// Carries the states of another link, whose node speaks the JSON dialect.
    States(LinkId),
    /// Is made to say no, in the JSON dialect.
    Refused(Refusal),
}

/// What is known of how a link is being made.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) report: Box<LinkReport>,
    pub(crate) local: Vec<CandidateReport>,
    pub(crate) remote: Vec<CandidateReport>,
}

/// Which way the two ends of a link negotiate it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// The signaling server: the remote's id there, and the connection's id between the two.
    Signaling { peer: String, connection: String },
    /// The host: another joiner's number, and which attempt of the two it is.
    Host { number: Number, attempt: u32 },
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not yet a node's link; it must be by the deadline.
    Joining { deadline: Timestamp },
    /// The link of the node with this number. `greeted` once its hello (at the host) came.
    Open { number: Number, greeted: bool },
    /// Carries the states of another link, on this channel.
    Carrying { on: Channel },
    /// Says goodbye once its queue is empty, and closes when that has left.
    Closing {
        farewell: Option<Farewell>,
        deadline: Timestamp,
    },
}

impl Link {
    pub(crate) fn new(now: Timestamp, via: Via, bounds: Bounds, deadline: Timestamp) -> Self {
        Self {
            via,
            hello: None,
            stage: Stage::Joining { deadline },
            channels: Channels::new(bounds),
            liveness: Liveness::new(now),
            clock: PhaseClock::new(now),
            heard: false,
            described: false,
            leads: false,
            candidates: 0,
            said: Vec::new(),
            notes: Notes::default(),
            interpreter: None,
            aside: Aside::No,
        }
    }

    /// The number of the node at the other end, if it is one.
    pub(crate) const fn number(&self) -> Option<Number> {
        match self.stage {
            Stage::Open { number, .. } => Some(number),
            Stage::Joining { .. } | Stage::Carrying { .. } | Stage::Closing { .. } => None,
        }
    }

    /// The remote's id at the signaling server; empty if the host is in between instead.
    pub(crate) fn signaling_id(&self) -> &str {
        match &self.via {
            Via::Signaling { peer, .. } => peer,
            Via::Host { .. } => "",
        }
    }

    /// The connection's id in signaling frames; empty if the host is in between instead.
    pub(crate) fn connection_id(&self) -> &str {
        match &self.via {
            Via::Signaling { connection, .. } => connection,
            Via::Host { .. } => "",
        }
    }

    /// The other joiner's number and the attempt, if this is a link between two joiners.
    pub(crate) const fn direct(&self) -> Option<(Number, u32)> {
        match &self.via {
            Via::Host { number, attempt } => Some((*number, *attempt)),
            Via::Signaling { .. } => None,
        }
    }

    /// The number of the node whose old link this one is to replace.
    pub(crate) fn resumes(&self) -> Option<Number> {
        self.hello.and_then(|hello| hello.resume)
    }

    /// Whether nothing came for so long that the other end is suspected.
    pub(crate) const fn is_silent(&self) -> bool {
        self.liveness.is_suspect()
    }

    pub(crate) const fn is_joining(&self) -> bool {
        matches!(self.stage, Stage::Joining { .. })
    }

    /// Whether it will be a node's, if all goes well, that has no place yet.
    pub(crate) fn wants_place(&self) -> bool {
        self.is_joining() && self.resumes().is_none() && self.aside == Aside::No
    }

    /// The link whose states it carries.
    pub(crate) const fn carries_for(&self) -> Option<LinkId> {
        match self.aside {
            Aside::States(of) => Some(of),
            Aside::No | Aside::Refused(_) => None,
        }
    }

    /// Turns what we say into the JSON dialect, if the node at the other end speaks it.
    pub(crate) fn interpret(&mut self, now: Timestamp, message: &ChannelMessage) -> bool {
        let Some(interpreter) = &mut self.interpreter else {
            return false;
        };
        // It is our own, so it can be read.
        let frames = decode(message.to_bytes(), FRAMES_PER_MESSAGE).unwrap_or_default();
        interpreter.say(now, frames);
        self.settle_buffers();
        true
    }

    /// Whether it is no wattle node's.
    pub(crate) fn is_foreign(&self) -> bool {
        self.interpreter.is_some() || self.aside != Aside::No
    }

    /// Whether there is something that the node has said in the dialect.
    pub(crate) fn has_heard(&self) -> bool {
        self.interpreter.as_ref().is_some_and(|one| one.has_heard())
    }

    /// The channels hold what the dialect made of our frames, not the frames.
    pub(crate) const fn settle_buffers(&mut self) {
        if let Some(interpreter) = &self.interpreter {
            let [data, state] = interpreter.buffered;
            let state = if interpreter.has_state { state } else { data };
            self.channels.buffered(Channel::Data, data);
            self.channels.buffered(Channel::State, state);
        }
    }

    /// Until when a join may go on: shorter as long as nothing was heard.
    pub(crate) fn join_deadline(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Joining { deadline } if self.heard => Some(deadline),
            Stage::Joining { deadline } => {
                // Who offers waits for an answer first.
                let ours = self.hello.is_none();
                let since = self.clock.answered.filter(|_| ours);
                let since = since.or_else(|| (!ours).then_some(self.clock.start));
                let first = since.map(|since| since.plus(FIRST_PACKET));
                Some(first.map_or(deadline, |first| first.min(deadline)))
            }
            Stage::Open { .. } | Stage::Carrying { .. } | Stage::Closing { .. } => None,
        }
    }

    /// Until when a joiner that was welcomed must have said its hello.
    pub(crate) fn greeting_deadline(&self, patience: Duration) -> Option<Timestamp> {
        // Who has come back is known already.
        let must = self.greets() && self.resumes().is_none();
        let welcomed = self.clock.welcomed.filter(|_| must);
        welcomed.map(|at| at.plus(patience))
    }

    /// Whether it is a node's that has yet to say its first word on it.
    pub(crate) const fn greets(&self) -> bool {
        matches!(self.stage, Stage::Open { greeted: false, .. })
    }

    /// When it wants something next.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Option<Timestamp> {
        let its = match self.stage {
            Stage::Joining { .. } => self.join_deadline(),
            Stage::Open { .. } => earliest(
                Some(self.liveness.next(timeouts)),
                earliest(
                    self.greeting_deadline(timeouts.datachannel),
                    self.channels.deadline(),
                ),
            ),
            Stage::Carrying { .. } => None,
            Stage::Closing { deadline, .. } => Some(deadline),
        };
        let interpreter = self.interpreter.as_ref();
        earliest(its, interpreter.and_then(|one| one.poll_timeout()))
    }

    /// Lets everything that waits go out, then the farewell, then closes.
    pub(crate) const fn close_after(&mut self, farewell: Farewell, deadline: Timestamp) {
        self.channels.hasten();
        self.stage = Stage::Closing {
            farewell: Some(farewell),
            deadline,
        };
    }

    /// Queues the farewell if its time has come; says whether it did.
    pub(crate) fn say_farewell(&mut self) -> bool {
        let Stage::Closing { farewell, .. } = &mut self.stage else {
            return false;
        };
        let why = self.channels.is_drained().then(|| farewell.take());
        if let Some(Some(why)) = why {
            self.channels.push_control(&Frame::Goodbye(why));
            return true;
        }
        false
    }

    /// Whether the farewell has left, or never can.
    pub(crate) fn is_over(&self) -> bool {
        let Stage::Closing { farewell, .. } = &self.stage else {
            return false;
        };
        // Who is refused closes it, or time does: what was said is not in the channels.
        if matches!(self.aside, Aside::Refused(_)) {
            return false;
        }
        !self.channels.is_open(Channel::Data) || farewell.is_none() && self.channels.is_flushed()
    }
}

/// When the phases of a connection ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PhaseClock {
    start: Timestamp,
    answered: Option<Timestamp>,
    connected: Option<Timestamp>,
    welcomed: Option<Timestamp>,
}

impl PhaseClock {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self {
            start: now,
            answered: None,
            connected: None,
            welcomed: None,
        }
    }

    pub(crate) const fn start(&self) -> Timestamp {
        self.start
    }

    pub(crate) fn answered(&mut self, now: Timestamp) {
        self.answered.get_or_insert(now);
    }

    /// A path can be there before the answer has come: then the phase took no time.
    pub(crate) fn connected(&mut self, now: Timestamp) {
        self.connected.get_or_insert(now);
    }

    pub(crate) fn welcomed(&mut self, now: Timestamp) {
        self.answered(now);
        self.connected(now);
        self.welcomed.get_or_insert(now);
    }

    pub(crate) fn timing(&self) -> PhaseTiming {
        PhaseTiming {
            signaling: self.answered.map(|at| at.since(self.start)),
            ice: self
                .answered
                .zip(self.connected)
                .map(|(from, to)| to.since(from)),
            datachannel: self
                .connected
                .max(self.answered)
                .zip(self.welcomed)
                .map(|(from, to)| to.since(from)),
            total: self.welcomed.map(|at| at.since(self.start)),
        }
    }
}
