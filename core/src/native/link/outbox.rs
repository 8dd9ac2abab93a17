//! What a link says: to the network above, and to the wire below.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use crate::io::{Channel, LinkFailure, LinkUpdate};
use crate::native::io::Transmit;
use crate::report::LinkReport;

/// What came out of a call.
#[derive(Debug, Default)]
pub(in crate::native) struct Outbox {
    /// Their `local` is as ICE knows it.
    pub(in crate::native) transmits: Vec<Transmit>,
    pub(in crate::native) updates: Vec<Update>,
    /// Addresses that this link now has to do with.
    pub(in crate::native) addresses: Vec<SocketAddr>,
    /// Candidates of the remote whose address is to be looked up.
    pub(in crate::native) hidden: Vec<String>,
    pub(in crate::native) candidates_dropped: u64,
}

/// A [`LinkUpdate`] that owns what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::native) enum Update {
    LocalDescription(String),
    LocalCandidate(String),
    Connected,
    ChannelOpened(Channel),
    Message { channel: Channel, payload: Bytes },
    BufferedAmount { channel: Channel, bytes: u32 },
    Alive { round_trip: Option<Duration> },
    Disconnected,
    Failed(LinkFailure),
    Closed,
    Report(Box<LinkReport>),
}

impl Update {
    pub(in crate::native) fn as_link_update(&self) -> LinkUpdate<'_> {
        match self {
            Self::LocalDescription(sdp) => LinkUpdate::LocalDescription(sdp),
            Self::LocalCandidate(candidate) => LinkUpdate::LocalCandidate(candidate),
            Self::Connected => LinkUpdate::Connected,
            Self::ChannelOpened(channel) => LinkUpdate::ChannelOpened(*channel),
            Self::Message { channel, payload } => LinkUpdate::Message {
                channel: *channel,
                payload: payload.clone(),
            },
            Self::BufferedAmount { channel, bytes } => LinkUpdate::BufferedAmount {
                channel: *channel,
                bytes: *bytes,
            },
            Self::Alive { round_trip } => LinkUpdate::Alive {
                round_trip: *round_trip,
            },
            Self::Disconnected => LinkUpdate::Disconnected,
            Self::Failed(failure) => LinkUpdate::Failed(*failure),
            Self::Closed => LinkUpdate::Closed,
            Self::Report(report) => LinkUpdate::Report(report.clone()),
        }
    }

    /// Whether nothing can come after it.
    pub(in crate::native) const fn is_last(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Closed)
    }
}
