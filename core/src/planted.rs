//! Bugs that are known, to prove that the simulation finds such bugs.
//!
//! They are compiled in only with `--cfg wattle_planted`, and each only acts if
//! `Config::with_planted` asks for it.

/// Whether this bug is to act; always `false` without the cfg.
macro_rules! planted {
    ($config:expr, $bug:ident) => {{
        #[cfg(wattle_planted)]
        let acts = $config.planted == Some($crate::Planted::$bug);
        #[cfg(not(wattle_planted))]
        let acts = false;
        acts
    }};
}
pub(crate) use planted;

/// A planted bug.
#[cfg(wattle_planted)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Planted {
    /// Once somebody has left, the host does not tell the others who joins.
    RosterNotResent,
    /// News of a link that is closed counts for the newest link.
    GenerationUnchecked,
    /// A joiner's next phase has no deadline.
    DeadlineNotRearmed,
    /// What the host relays has the first joiner as its origin.
    OriginWrong,
    /// Joins under way hold no place.
    JoinNotCounted,
    /// An acknowledgement grants no more than the first did.
    CreditNotRenewed,
    /// A state is delivered even if it is older than the last one.
    StateNotCompared,
    /// That a node left is told before what it had said.
    LeftOvertakes,
    /// A link whose goodbye does not get out is not closed at its deadline, which stays.
    TimerInThePast,
    /// In a mesh: what was sent again on a new way is delivered again.
    ReplayDelivered,
    /// In a mesh: what may have been lost on the old way is not sent again.
    ReplayForgotten,
}

#[cfg(wattle_planted)]
impl Planted {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::RosterNotResent,
        Self::GenerationUnchecked,
        Self::DeadlineNotRearmed,
        Self::OriginWrong,
        Self::JoinNotCounted,
        Self::CreditNotRenewed,
        Self::StateNotCompared,
        Self::LeftOvertakes,
        Self::TimerInThePast,
        Self::ReplayDelivered,
        Self::ReplayForgotten,
    ];

    /// Whether it only shows in a mesh.
    #[must_use]
    pub const fn needs_mesh(self) -> bool {
        matches!(self, Self::ReplayDelivered | Self::ReplayForgotten)
    }
}
