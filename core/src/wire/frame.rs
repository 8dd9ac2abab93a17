//! The frames: what nodes say to each other.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use super::Number;
use super::hello::{Hello, Member, Resume, Resumed, Welcome};
use super::signal::Signal;

/// One frame between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Hello(Hello),
    Welcome(Welcome),
    Joined(Member),
    Left {
        number: Number,
        why: Farewell,
    },
    Goodbye(Farewell),
    Ping {
        stamp: u32,
    },
    Pong {
        stamp: u32,
    },
    /// How far the host is from each joiner, in microseconds there and back.
    RoundTrips(Vec<(Number, u32)>),
    /// The joiner's first frame on a link that takes the place of its old one.
    Resume(Resume),
    /// The host's answer to it.
    Resumed(Resumed),
    /// From the host: this node has a new link, and what was on its way to or from it may be lost.
    /// From a joiner: it knows, and what follows for this node begins with what that may lack.
    Anew {
        number: Number,
    },
    /// From the host: it has lost this node, and waits for it.
    Away {
        number: Number,
    },
    /// From the host: this node is there, again or still.
    Back {
        number: Number,
    },
    /// The node with this number speaks the JSON dialect: it takes JSON objects alone, of at most so many
    /// bytes, and has this name there. Said before it joins, or behind a welcome.
    Foreign {
        number: Number,
        most: u32,
        name: String,
    },
    /// The first frame on a link between two joiners: who is at this end.
    Peer {
        epoch: u32,
        number: Number,
    },
    /// From the sender of the frame, to us.
    Direct(Body),
    /// To be passed on: a message for several, each with its sequence for that pair of nodes.
    MessageTo {
        to: Vec<(Number, u64)>,
        piece: Piece,
    },
    /// To be passed on.
    AckTo {
        to: Number,
        ack: Ack,
    },
    /// To be passed on: a state for those that are not linked to its origin.
    StateTo {
        to: Vec<Number>,
        state: State,
    },
    /// To be passed on.
    SignalTo {
        to: Number,
        signal: Signal,
    },
    /// Passed on by the host.
    SignalFrom {
        origin: Number,
        signal: Signal,
    },
    /// Passed on by the host, which vouches for the origin.
    From {
        origin: Number,
        body: Body,
    },
    /// Of a later minor version.
    Unknown,
}

/// What one node says to another, directly or through the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Message { sequence: u64, piece: Piece },
    Ack(Ack),
    State(State),
}

/// A piece of a reliable message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The length of the whole message, if this is its first piece.
    pub(crate) total: Option<u32>,
    pub(crate) payload: Bytes,
}

/// What a receiver has of a sender, cumulative: a repeated or lost one does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    /// The next sequence it waits for.
    pub(crate) next: u64,
    /// The sum of costs that the sender may have sent in all.
    pub(crate) limit: u64,
    /// For how many milliseconds the application has taken nothing although there was something.
    pub(crate) idle: u32,
}

/// A state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) sequence: u32,
    pub(crate) payload: Bytes,
}

/// Why a node goes or is sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Farewell {
    Left,
    Kicked,
    Lost,
    TooSlow,
    Misbehaved,
    LinkFailed,
    /// The host closed the network.
    Closed,
}

impl Farewell {
    pub(super) const ALL: [(Self, u8); 7] = [
        (Self::Left, 0),
        (Self::Kicked, 1),
        (Self::Lost, 2),
        (Self::TooSlow, 3),
        (Self::Misbehaved, 4),
        (Self::LinkFailed, 5),
        (Self::Closed, 6),
    ];

    pub(super) fn to_byte(self) -> u8 {
        Self::ALL
            .iter()
            .find(|(one, _)| *one == self)
            .map_or(0, |(_, byte)| *byte)
    }

    /// A reason that we do not know (of a later minor version) must not look like a clean end.
    pub(super) fn from_byte(byte: u8) -> Self {
        Self::ALL
            .iter()
            .find(|(_, one)| *one == byte)
            .map_or(Self::LinkFailed, |(why, _)| *why)
    }
}

/// Cuts a message into pieces that share its memory; an empty message is one empty piece.
pub(crate) fn pieces(payload: &Bytes, most: usize) -> impl Iterator<Item = Piece> + '_ {
    let most = most.max(1);
    let total = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let count = payload.len().div_ceil(most).max(1);
    (0..count).map(move |nth| {
        let start = nth.saturating_mul(most);
        let end = start.saturating_add(most).min(payload.len());
        Piece {
            total: (nth == 0).then_some(total),
            payload: payload.slice(start..end),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_into_pieces_that_share_its_memory() {
        let payload = Bytes::from(alloc::vec![7; 10]);
        let cut: Vec<_> = pieces(&payload, 4).collect();
        assert_eq!(
            cut.iter().map(|p| p.payload.len()).collect::<Vec<_>>(),
            [4, 4, 2]
        );
        assert_eq!(
            cut.iter().map(|p| p.total).collect::<Vec<_>>(),
            [Some(10), None, None]
        );
        assert_eq!(cut[1].payload.as_ptr(), payload[4..].as_ptr());
        assert_eq!(pieces(&Bytes::new(), 4).count(), 1);
        assert_eq!(pieces(&payload, 10).count(), 1);
    }
}
