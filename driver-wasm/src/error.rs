//! What can go wrong besides what the core says.

use wattle_core::{EndReason, HostError, JoinError, SendError};

/// A network could not be hosted or joined.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// It ended before it began: the reason says in which phase, and why.
    #[error("{0}")]
    Ended(EndReason),
    /// It cannot be hosted like this.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It cannot be joined like this.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// This is no page of a browser that has WebRTC.
    #[error("WebRTC is not there: {missing}")]
    Platform {
        /// What is missing.
        missing: &'static str,
    },
}

impl ConnectError {
    /// The error's name: the `kind` of errors in JavaScript.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ended(reason) => reason.kind(),
            Self::Host(_) | Self::Join(_) => "usage",
            Self::Platform { .. } => "platform",
        }
    }

    /// What a person can do about it; empty where there is nothing to do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Ended(reason) => reason.remedy(),
            Self::Host(_) | Self::Join(_) => "",
            Self::Platform { .. } => {
                "Use a browser with WebRTC, and call this in a page, not in a worker."
            }
        }
    }
}

/// A send that waits for room has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The message cannot be sent, room or not.
    #[error(transparent)]
    Send(SendError),
    /// The network ended meanwhile.
    #[error("the network ended: {0}")]
    Ended(EndReason),
}
