//! A host of the dialect, whose network we have joined.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::{Interpreter, Part};
use crate::config::{MOST_NODES, Timeouts};
use crate::id::NodeId;
use crate::io::Channel;
use crate::rng::Rng;
use crate::time::Timestamp;
use crate::wire::json::{self, JsonFrame};
use crate::wire::{Body, Farewell, Frame, HOST, Member, Number, Token, Welcome};

/// Our own number behind a host of the dialect; the others get higher ones.
const US: Number = 1;

/// A host need not send a roster to the first who joins it: we are welcome after this, or half of the time that
/// there is for channels.
const ROSTER: Duration = Duration::from_secs(1);

/// Who is there, as the host tells it.
#[derive(Debug)]
pub(super) struct Hosting {
    us: NodeId,
    our_name: String,
    host: NodeId,
    ids: Rng,
    next_number: Number,
    /// When we are welcome without a word; `None` until the channel is open.
    roster_by: Option<Timestamp>,
    welcome: bool,
    /// What it said when it did not let us in.
    refused: Option<String>,
}

impl Hosting {
    pub(super) fn new(us: NodeId, our_name: String, host_name: &str, ids: Rng) -> Self {
        Self {
            us,
            our_name,
            host: id_of(&ids, host_name),
            ids,
            next_number: US.saturating_add(1),
            roster_by: None,
            welcome: false,
            refused: None,
        }
    }

    /// When we are welcome without a word.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let waits = !self.welcome && self.refused.is_none();
        self.roster_by.filter(|_| waits)
    }
}

/// The id of a node of the dialect, from its name: the same whenever it comes, and only for us.
pub(crate) fn id_of(ids: &Rng, name: &str) -> NodeId {
    NodeId::from_bytes(ids.fork(name).bytes())
}

impl Interpreter {
    /// The host's own id.
    pub(crate) const fn host_id(&self) -> Option<NodeId> {
        match &self.part {
            Part::Host(hosting) => Some(hosting.host),
            Part::Joiner { .. } => None,
        }
    }

    /// The data channel to the host is open.
    pub(crate) fn opened(&mut self, now: Timestamp, timeouts: &Timeouts) {
        if let Part::Host(hosting) = &mut self.part {
            let patience = ROSTER.min(timeouts.datachannel / 2);
            hosting.roster_by = Some(now.plus(patience));
        }
    }

    /// Why the host does not let us in.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match &self.part {
            Part::Host(hosting) => hosting.refused.as_deref(),
            Part::Joiner { .. } => None,
        }
    }

    /// We are in, with these others.
    pub(super) fn welcome(&mut self, others: Vec<String>) {
        let Part::Host(hosting) = &mut self.part else {
            return;
        };
        if hosting.welcome || hosting.refused.is_some() {
            return;
        }
        hosting.welcome = true;
        let (us, host) = (hosting.us, hosting.host);
        let host = Member {
            number: HOST,
            node: host,
        };
        self.seat(HOST, String::new());
        let mut roster = [host].to_vec();
        for name in others {
            roster.extend(self.newcomer(&name));
        }
        roster.push(Member {
            number: US,
            node: us,
        });
        let welcome = Welcome {
            epoch: 0,
            number: US,
            token: Token([0; 16]),
            roster,
        };
        let all = welcome.roster.clone();
        self.push(Channel::Data, Frame::Welcome(welcome));
        for member in all.into_iter().filter(|member| member.number != US) {
            self.introduce(member.number);
        }
    }

    /// What our network has to know of a node behind the host.
    fn introduce(&mut self, number: Number) {
        if let Some(seat) = self.seats.get(&number) {
            let (most, name) = (self.most, seat.name.clone());
            self.push(Channel::Data, Frame::Foreign { number, most, name });
        }
    }

    /// Somebody whom the host names, if it is new.
    fn newcomer(&mut self, name: &str) -> Option<Member> {
        let known = self.seats.values().any(|seat| seat.name == name);
        let Part::Host(hosting) = &mut self.part else {
            return None;
        };
        let number = hosting.next_number;
        // Our own place is not among the seats.
        let full = self.seats.len() >= usize::from(MOST_NODES).saturating_sub(1);
        if known || full || name.is_empty() || name == hosting.our_name || number == Number::MAX {
            return None;
        }
        let node = id_of(&hosting.ids, name);
        // Names can be made up that lead to the same id.
        let same = |seat: &&super::Seat| id_of(&hosting.ids, &seat.name) == node;
        if node == hosting.us || node == hosting.host || self.seats.values().any(|s| same(&s)) {
            return None;
        }
        hosting.next_number = number.saturating_add(1);
        self.seat(number, name.to_string());
        Some(Member { number, node })
    }

    pub(super) fn say_to_host(&mut self, now: Timestamp, frame: Frame) {
        match frame {
            Frame::Direct(Body::Message { sequence, piece }) => {
                let whole = self.take(now, HOST, sequence, piece);
                self.say_message(whole);
            }
            // A message of ours goes to all; the host has it once, and so says all of it.
            Frame::MessageTo { to, piece } => {
                for (number, sequence) in to {
                    let whole = self.take(now, number, sequence, piece.clone());
                    if number == HOST {
                        self.say_message(whole);
                    }
                }
            }
            Frame::Direct(Body::Ack(ack)) => self.acknowledged(now, HOST, ack),
            Frame::AckTo { to, ack } => self.acknowledged(now, to, ack),
            Frame::Direct(Body::State(state)) => self.say_state(HOST, None, state),
            Frame::Ping { stamp } => self.ping(stamp),
            // It has no use for these, or no joiner says them.
            Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::Joined(_)
            | Frame::Left { .. }
            | Frame::Goodbye(_)
            | Frame::Pong { .. }
            | Frame::RoundTrips(_)
            | Frame::Resume(_)
            | Frame::Resumed(_)
            | Frame::Foreign { .. }
            | Frame::Anew { .. }
            | Frame::Away { .. }
            | Frame::Back { .. }
            | Frame::Peer { .. }
            | Frame::From { .. }
            | Frame::StateTo { .. }
            | Frame::SignalTo { .. }
            | Frame::SignalFrom { .. }
            | Frame::Unknown => {}
        }
    }

    fn say_message(&mut self, whole: Option<Bytes>) {
        if let Some(payload) = whole.filter(|payload| self.can_say(payload)) {
            self.tell(json::message(None, payload));
        }
    }

    pub(super) fn hear_host(&mut self, now: Timestamp, frame: JsonFrame<'_>, message: &Bytes) {
        let Part::Host(hosting) = &mut self.part else {
            return;
        };
        if !hosting.welcome {
            match &frame {
                JsonFrame::Refused { reason } => {
                    hosting.refused = Some(reason.chars().take(64).collect());
                    return;
                }
                JsonFrame::Roster { nodes } => {
                    let nodes = nodes.iter().map(|name| name.to_string()).collect();
                    self.welcome(nodes);
                    return;
                }
                // The state channel may be faster than the roster.
                JsonFrame::State { .. } => return,
                JsonFrame::Message { .. }
                | JsonFrame::Ping { .. }
                | JsonFrame::Pong { .. }
                | JsonFrame::Joined { .. }
                | JsonFrame::Left { .. } => self.welcome(Vec::new()),
            }
        }
        match frame {
            JsonFrame::Message { from, payload } => {
                let payload = message.slice_ref(payload.as_bytes());
                let from = from.as_deref();
                // The roster may be lost: Chromium loses what a page says in the task in which a channel opens,
                // once in a hundred times. Whoever the host passes on is there. (Not so of states, which may
                // come behind the word that their node has left.)
                if let Some(name) = from.filter(|_| self.origin(from).is_none()) {
                    self.joins(name);
                }
                match self.origin(from) {
                    Some(origin) => self.pass(now, origin, payload),
                    None => self.count_frame(),
                }
            }
            JsonFrame::State {
                from,
                sequence,
                payload,
            } => {
                let payload = message.slice_ref(payload.as_bytes());
                let Some(origin) = self.origin(from.as_deref()) else {
                    self.count_frame();
                    return;
                };
                if let Some(body) = self.hear_state(origin, sequence, payload) {
                    let frame = self.spoken_by(origin, body);
                    self.push(Channel::State, frame);
                }
            }
            JsonFrame::Joined { node } => self.joins(&node),
            // It was on its way for so long that we did not wait for it.
            JsonFrame::Roster { nodes } => {
                for node in nodes {
                    self.joins(&node);
                }
            }
            JsonFrame::Left { node } => {
                if let Some(number) = self.origin(Some(&node)) {
                    if let Some(seat) = self.seats.get_mut(&number) {
                        seat.left = true;
                    }
                    self.flush(now, number);
                }
            }
            JsonFrame::Ping { .. } | JsonFrame::Pong { .. } | JsonFrame::Refused { .. } => {
                self.count_frame();
            }
        }
    }

    /// The host names somebody; nothing new, if we know of it.
    fn joins(&mut self, name: &str) {
        // It is back before its last messages were taken.
        let mut seats = self.seats.iter();
        let before = seats.find(|(_, seat)| seat.left && seat.name == name);
        if let Some(number) = before.map(|(number, _)| *number) {
            self.leave(number);
            let why = Farewell::Left;
            self.push(Channel::Data, Frame::Left { number, why });
        }
        if let Some(member) = self.newcomer(name) {
            self.introduce(member.number);
            self.push(Channel::Data, Frame::Joined(member));
        }
    }

    /// Whose words the host passes on; its own, if it says nothing.
    fn origin(&self, from: Option<&str>) -> Option<Number> {
        let Some(from) = from else {
            return Some(HOST);
        };
        let mut seats = self.seats.iter();
        let found =
            seats.find(|(number, seat)| **number != HOST && !seat.left && seat.name == from);
        found.map(|(number, _)| *number)
    }
}
