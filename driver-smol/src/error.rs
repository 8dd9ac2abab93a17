//! What can go wrong besides what the machines say.

use std::io;
use std::net::IpAddr;

use wattle_core::{EndReason, HostError, JoinError, SendError};

/// A network could not be hosted or joined.
#[derive(Debug, thiserror::Error)]
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
    /// The address of [`Options::with_bind`](crate::Options::with_bind) is not one of this machine.
    #[error("cannot use the address {address}: {source}")]
    Bind {
        /// The address.
        address: IpAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system did not give what the driver needs: a thread, a socket, random bytes.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
    /// The driver's thread ended unexpectedly; this is a defect of wattle.
    #[error("the driver stopped unexpectedly")]
    DriverStopped,
}

impl ConnectError {
    /// The error's name: the `kind` of the command's JSON output.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ended(reason) => reason.kind(),
            Self::Host(_) | Self::Join(_) => "usage",
            Self::Bind { .. } => "bind_failed",
            Self::System(_) => "system",
            Self::DriverStopped => "driver_stopped",
        }
    }

    /// What a person can do about it; empty where there is nothing to do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Ended(reason) => reason.remedy(),
            Self::Bind { .. } => "Take an address of this machine, or none.",
            Self::System(_) => {
                "Check the limits of this process: open files, threads, permissions."
            }
            Self::Host(_) | Self::Join(_) => "",
            Self::DriverStopped => "Report it, with the log.",
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
    /// The driver's thread ended unexpectedly; this is a defect of wattle.
    #[error("the driver stopped unexpectedly")]
    DriverStopped,
}
