//! Not for users: doors through which the package in `fuzz/` reaches what is not public.
//!
//! Behind the feature `fuzzing`, which promises nothing from one release to the next. Everything
//! here only passes on; what must hold is said in `fuzz/`.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use bytes::Bytes;

use crate::event::{Event, Refusal};
use crate::id::NodeId;
use crate::link::negotiation::{self, Admission, OfferHello, Terms, Verdict};
use crate::signaling::{SignalingId, read_relayed};
use crate::sim::laws;
use crate::time::Timestamp;
use crate::wire::json::{self, JsonFrame};
use crate::wire::{Bundle, FRAMES_PER_MESSAGE, Frame, Version, decode};

#[cfg(feature = "native")]
pub use crate::native::fuzzing::{
    Description, is_authentic, look, read_candidate, read_description,
};
#[cfg(feature = "native")]
pub use crate::native::turn::fuzzing::{
    TurnClient, TurnMessage, TurnNews, TurnServing, TurnStream, read_turn_message,
    write_channel_data, write_send_indication,
};

/// The frames of a channel message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames(Vec<Frame>);

impl Frames {
    /// How many frames a channel message may carry.
    pub const MOST: usize = FRAMES_PER_MESSAGE as usize;

    /// Reads a channel message.
    #[must_use]
    pub fn decode(message: Bytes) -> Option<Self> {
        decode(message, FRAMES_PER_MESSAGE).ok().map(Self)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without those of a type that we do not know.
    #[must_use]
    pub fn known(mut self) -> Self {
        self.0.retain(|frame| *frame != Frame::Unknown);
        self
    }

    /// Writes them as one channel message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bundle = Bundle::default();
        for frame in &self.0 {
            bundle.push(frame.encode());
        }
        bundle.finish().to_bytes()
    }
}

/// Names a connection to the signaling server, as the client numbers them.
#[must_use]
pub const fn signaling_id(number: u64) -> SignalingId {
    SignalingId(number)
}

/// Type, sender and payload of a frame as a signaling server passes it on.
#[must_use]
pub fn read_signaling_frame(text: &str) -> Option<(&'static str, String, String)> {
    read_relayed(text).map(|relayed| (relayed.kind.name(), relayed.peer, relayed.payload))
}

/// What can be read of an OFFER's payload, and the payload that we would write for the same.
#[must_use]
pub fn rewrite_offer(payload: &str) -> Option<(String, String)> {
    let offer = negotiation::read_offer(payload)?;
    let hello = offer.hello.unwrap_or(OfferHello {
        version: Version::OURS,
        node: NodeId::from_bytes([0; 16]),
        native: false,
        resume: None,
    });
    let read = alloc::format!("{:?} {:?} {hello:?}", offer.sdp, offer.connection_id);
    let written = negotiation::offer(&offer.sdp, &offer.connection_id, &hello);
    Some((read, written))
}

/// What can be read of an ANSWER's payload, and the payload that we would write for the same;
/// `None` in its place if we never write such a one.
#[must_use]
pub fn rewrite_answer(payload: &str) -> Option<(String, Option<String>)> {
    let answer = negotiation::read_answer(payload)?;
    let read = alloc::format!("{answer:?}");
    let id = answer.connection_id;
    let written = match &answer.verdict {
        Verdict::Admitted(admission) => Some(negotiation::answer(&id, admission)),
        Verdict::Refused(Version::OURS, Some(reason)) => Some(negotiation::refusal(&id, *reason)),
        Verdict::Refused(..) | Verdict::Foreign(_) => None,
    };
    Some((read, written))
}

/// What can be read of a message of the JSON dialect, and the message that we would write for the same;
/// `None` in its place if we never write such a one.
#[must_use]
pub fn rewrite_json(message: &[u8]) -> Option<(String, Option<Vec<u8>>)> {
    let frame = json::read(message)?;
    let shared = |payload: &str| Bytes::copy_from_slice(payload.as_bytes());
    let written = match &frame {
        JsonFrame::Message { from, payload } => {
            Some(json::message(from.as_deref(), shared(payload)))
        }
        JsonFrame::State {
            from,
            sequence,
            payload,
        } => Some(json::state(from.as_deref(), *sequence, shared(payload))),
        JsonFrame::Ping { stamp } => stamp.parse().ok().map(json::ping),
        JsonFrame::Pong { stamp } => Some(json::pong(stamp)),
        JsonFrame::Refused { reason } => Some(json::refused(reason)),
        JsonFrame::Roster { nodes } => Some(json::roster(nodes.iter().map(AsRef::as_ref))),
        JsonFrame::Joined { node } => Some(json::joined(node)),
        JsonFrame::Left { node } => Some(json::left(node)),
    };
    let written = written.map(|message| message.to_bytes().to_vec());
    Some((alloc::format!("{frame:?}"), written))
}

/// What can be read of a CANDIDATE's payload, and the payload that we would write for the same.
#[must_use]
pub fn rewrite_candidate(payload: &str) -> Option<(String, String)> {
    let read = negotiation::read_candidate(payload)?;
    let written = negotiation::candidate(&read.connection_id, &read.candidate);
    Some((alloc::format!("{read:?}"), written))
}

/// What can be read of a LEAVE's payload, and the payload that we would write for the same.
#[must_use]
pub fn rewrite_leave(payload: &str) -> Option<(String, String)> {
    let read = negotiation::read_leave(payload)?;
    let written = negotiation::leave(&read);
    Some((read, written))
}

/// The payload of an ANSWER that lets a joiner in, into a mesh or a star.
#[must_use]
pub fn answer(
    connection: &str,
    sdp: &str,
    host: NodeId,
    (message, window): (u32, u32),
    mesh: bool,
) -> String {
    let admission = Admission {
        sdp: sdp.to_string(),
        version: Version::OURS,
        host,
        epoch: 0,
        terms: Terms {
            message,
            window,
            relay: true,
            mesh,
        },
        led: false,
    };
    negotiation::answer(connection, &admission)
}

/// The payload of an OFFER.
#[must_use]
pub fn offer(connection: &str, sdp: &str, node: NodeId) -> String {
    let hello = OfferHello {
        version: Version::OURS,
        node,
        native: false,
        resume: None,
    };
    negotiation::offer(sdp, connection, &hello)
}

/// The payload of an ANSWER that refuses a joiner because the network is full.
#[must_use]
pub fn refusal(connection: &str) -> String {
    negotiation::refusal(connection, Refusal::NetworkFull)
}

/// The laws of the contract, as the simulation checks them.
#[derive(Debug, Default)]
pub struct Laws(laws::Laws);

impl Laws {
    /// `host` or `join` was taken.
    pub fn started(&mut self) {
        must(self.0.started());
    }

    /// Law 8.
    pub fn event(&mut self, event: &Event) {
        must(self.0.event(event));
    }

    /// Who has joined and not left.
    #[must_use]
    pub fn present(&self) -> Vec<NodeId> {
        self.0.present()
    }

    /// Law 3.
    pub fn rested(now: Timestamp, next: Option<Timestamp>) {
        must(laws::Laws::rested(now, next));
    }

    /// Law 4.
    pub fn under_way(under_way: bool, next: Option<Timestamp>) {
        must(laws::Laws::under_way(under_way, next));
    }

    /// Law 6.
    pub fn amplified(outputs: usize, limit: u32) {
        must(laws::Laws::amplified(outputs, limit));
    }
}

#[expect(clippy::panic, reason = "a fuzzer looks for this")]
fn must(held: laws::Held) {
    if let Err(broken) = held {
        panic!("{}: {}", broken.law, broken.text);
    }
}
