//! What goes into and comes out of [`Network`](crate::Network).
//!
//! Links to nodes that are not wattle's (they speak the JSON dialect of docs/wire.md) need two commands
//! more than others: [`LinkCommand::TakeChannels`] where the other side offers, and
//! [`LinkCommand::MakeChannel`] where it answers. A driver maps channels to [`Channel`]s and knows nothing
//! else of it: no frames, no labels but `data` and `state`, no second connections.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::time::Duration;

use crate::event::Event;
use crate::id::LinkId;
use crate::report::LinkReport;
use crate::signaling::{ServerInput, ServerOutput, SignalingCommand, SignalingUpdate};

/// What happened in the world, for [`Network::handle_input`](crate::Network::handle_input).
#[derive(Clone, Debug, Hash)]
#[non_exhaustive]
pub enum Input<'a> {
    /// News of the connection to the signaling server.
    Signaling(SignalingUpdate<'a>),
    /// News of a connection to the embedded signaling server (a host on the LAN).
    Server(ServerInput<'a>),
    /// The machine's network is another than it was: an address is gone or new, or it was asleep. All
    /// paths are in doubt, and what waits is tried again at once.
    NetworkChanged,
    /// News of a link.
    Link {
        /// Which link.
        link: LinkId,
        /// What became of it.
        update: LinkUpdate<'a>,
    },
}

/// What the driver must do, from [`Network::poll_output`](crate::Network::poll_output).
#[derive(Clone, Debug, Hash)]
#[non_exhaustive]
pub enum Output {
    /// For the connection to the signaling server.
    Signaling(SignalingCommand),
    /// For a connection to the embedded signaling server.
    Server(ServerOutput),
    /// For a link.
    Link {
        /// Which link.
        link: LinkId,
        /// What to do with it.
        command: LinkCommand,
    },
    /// For the application.
    Event(Event),
}

/// The two channels of a link, both negotiated before the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a link has these two channels; a third is another design"
)]
pub enum Channel {
    /// Reliable and ordered; negotiated id 0, label `data`.
    Data,
    /// Unordered, never retransmitted; negotiated id 1, label `state`.
    State,
}

impl Channel {
    /// Both channels, in the order of their ids.
    pub const ALL: [Self; 2] = [Self::Data, Self::State];

    /// The negotiated stream id.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::Data => 0,
            Self::State => 1,
        }
    }

    /// The label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::State => "state",
        }
    }
}

/// What a link is asked to do, in JSEP terms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkCommand {
    /// Make the connection with its two channels. Always the first command of a link.
    Open {
        /// Whether this side makes the offer.
        offerer: bool,
    },
    /// Make an offer and set it; answered by [`LinkUpdate::LocalDescription`], then by
    /// [`LinkUpdate::LocalCandidate`] for each candidate.
    CreateOffer,
    /// Set this offer, make an answer and set it; answered like `CreateOffer`.
    AcceptOffer {
        /// The remote's description.
        sdp: String,
        /// Take the DTLS client's and the controlling role, which saves two one-way trips. Only
        /// asked for when both sides are native.
        lead: bool,
    },
    /// Set this answer.
    AcceptAnswer {
        /// The remote's description.
        sdp: String,
        /// The remote took the roles of [`LinkCommand::AcceptOffer::lead`].
        led: bool,
    },
    /// The remote is not a wattle node: it makes its channels itself, in-band (RFC 8832). Comes right
    /// before [`LinkCommand::AcceptOffer`]; the negotiated channels are not made.
    ///
    /// Of the channels that come, the one with the label `state` is [`Channel::State`], the first of any
    /// other label is [`Channel::Data`]; more are ignored. They are reported as the negotiated ones are,
    /// and a text message as the bytes of its UTF-8.
    TakeChannels,
    /// The remote is not a wattle node: make this channel in-band, with its label and reliability, in the
    /// place of the negotiated one. Comes right before [`LinkCommand::AcceptAnswer`], for one channel or
    /// for both; of negotiated channels nothing is reported any more. Text messages count as above.
    MakeChannel(Channel),
    /// Add a candidate of the remote, as in the `candidate` member of `RTCIceCandidate`.
    AddCandidate(String),
    /// Send one message on a channel.
    Send {
        /// On which channel.
        channel: Channel,
        /// The message, never empty.
        message: ChannelMessage,
    },
    /// Ask the other side for a sign of life, or look whether there was one since this was last asked;
    /// answered by [`LinkUpdate::Alive`], or not at all.
    Probe,
    /// Close the link and forget it. Nothing is said about it any more.
    Close,
}

/// One message for a channel, in parts that are to be sent as one.
///
/// It comes in parts so that a payload for many receivers is shared, not copied: the one copy is
/// the driver's, into whatever its channel takes.
#[derive(Clone)]
pub struct ChannelMessage {
    parts: Parts,
}

/// Mostly there is one.
#[derive(Clone)]
enum Parts {
    One(Bytes),
    Some(Vec<Bytes>),
}

impl ChannelMessage {
    pub(crate) const fn new(parts: Vec<Bytes>) -> Self {
        Self {
            parts: Parts::Some(parts),
        }
    }

    /// The parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        match &self.parts {
            Parts::One(part) => core::slice::from_ref(part),
            Parts::Some(parts) => parts,
        }
    }

    /// The length of the whole, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts().iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing to send; never so in [`LinkCommand::Send`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts().iter().all(Bytes::is_empty)
    }

    /// Puts the whole into `buffer`, in place of what was there.
    pub fn write_into(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        for part in self.parts() {
            buffer.extend_from_slice(part);
        }
    }

    /// The whole as one piece of memory, copied unless it has one part.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        if let [only] = self.parts() {
            return only.clone();
        }
        let mut buffer = Vec::with_capacity(self.len());
        self.write_into(&mut buffer);
        buffer.into()
    }

    /// The same, given away.
    #[cfg(any(feature = "sim", test))]
    pub(crate) fn into_bytes(self) -> Bytes {
        match self.parts {
            Parts::One(part) => part,
            Parts::Some(_) => self.to_bytes(),
        }
    }
}

impl From<Bytes> for ChannelMessage {
    fn from(whole: Bytes) -> Self {
        Self {
            parts: Parts::One(whole),
        }
    }
}

impl Default for ChannelMessage {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

// Two with the same parts are the same, however they are kept.

impl PartialEq for ChannelMessage {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for ChannelMessage {}

impl Hash for ChannelMessage {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl fmt::Debug for ChannelMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ChannelMessage");
        shown.field("parts", &self.parts()).finish()
    }
}

/// What became of a link.
#[derive(Clone, Debug, Hash)]
#[non_exhaustive]
pub enum LinkUpdate<'a> {
    /// Our offer or answer is set: this is its text.
    LocalDescription(&'a str),
    /// A candidate of ours, as in the `candidate` member of `RTCIceCandidate`.
    LocalCandidate(&'a str),
    /// ICE has found a path.
    Connected,
    /// A channel can be written to, and the remote is the one that its fingerprint names.
    ChannelOpened(Channel),
    /// A message arrived.
    Message {
        /// On which channel.
        channel: Channel,
        /// The message.
        payload: Bytes,
    },
    /// How much of what we gave to the channel has not left yet (`bufferedAmount`). To be reported
    /// whenever it falls to half of what it was, and when it reaches zero.
    BufferedAmount {
        /// Which channel.
        channel: Channel,
        /// Bytes.
        bytes: u32,
    },
    /// An authenticated packet came from the remote.
    Alive {
        /// If a probe was answered: how long that took.
        round_trip: Option<Duration>,
    },
    /// What there is to know about how the link is being made, for the
    /// [`ConnectReport`](crate::ConnectReport): to be told again whenever it has changed.
    Report(Box<LinkReport>),
    /// The path does not work at the moment.
    Disconnected,
    /// The link can never work again.
    Failed(LinkFailure),
    /// The remote closed the link.
    Closed,
}

/// Why a link failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LinkFailure {
    /// The remote's description cannot be used.
    #[error("the other side's session description cannot be used")]
    Description,
    /// No pair of candidates worked.
    #[error("no path between the two nodes was found")]
    Ice,
    /// The remote is not the one whose fingerprint was signalled: somebody may be in between.
    #[error("the other side's certificate is not the one that was announced")]
    FingerprintMismatch,
    /// The DTLS handshake failed.
    #[error("the encrypted connection could not be made")]
    Dtls,
    /// A channel broke.
    #[error("a data channel broke")]
    Channel,
    /// The driver or the browser could not do it.
    #[error("the platform could not make the connection")]
    Platform,
}

impl LinkFailure {
    /// The failure's name in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Description => "description",
            Self::Ice => "ice",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::Dtls => "dtls",
            Self::Channel => "channel",
            Self::Platform => "platform",
        }
    }
}
