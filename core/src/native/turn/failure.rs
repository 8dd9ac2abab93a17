//! What can go wrong between us and a TURN server.

use thiserror::Error;

/// Why there is no allocation, or none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub(crate) enum TurnFailure {
    #[error("the TURN server does not answer")]
    Unreachable,
    #[error("the TURN server refuses this username and credential")]
    Unauthorized,
    #[error("the TURN server says no: its rules forbid this")]
    Forbidden,
    #[error("the TURN server still holds another allocation for this socket")]
    Mismatch,
    #[error("the TURN server has no relay addresses of this family")]
    AddressFamily,
    #[error("the TURN server relays no UDP")]
    TransportUnsupported,
    #[error("the peer's address is not of the family of the relay address")]
    PeerFamily,
    #[error("too many allocations for this username at the TURN server")]
    AllocationQuota,
    #[error("the TURN server has no room for another allocation")]
    InsufficientCapacity,
    #[error("the TURN server sends us from one server to the next, or nowhere")]
    Redirects,
    #[error("the TURN server has forgotten our allocation: it may have been restarted")]
    Forgotten,
    #[error("the allocation at the TURN server has expired")]
    Expired,
    #[error("the TURN server finds every nonce stale, even its newest")]
    StaleNonce,
    #[error("what the TURN server says makes no sense")]
    Protocol,
    #[error("the TURN server answers with error {0}")]
    Server(u16),
}

impl TurnFailure {
    /// What an error code means (RFC 8489 section 14.8, RFC 8656 section 19).
    pub(super) const fn of_code(code: u16) -> Self {
        match code {
            401 | 441 => Self::Unauthorized,
            403 => Self::Forbidden,
            437 => Self::Mismatch,
            438 => Self::StaleNonce,
            440 => Self::AddressFamily,
            442 => Self::TransportUnsupported,
            443 => Self::PeerFamily,
            486 => Self::AllocationQuota,
            508 => Self::InsufficientCapacity,
            other => Self::Server(other),
        }
    }
}
